// AES-128-CTR with AES-NI, and four blocks at once with VAES on 512-bit vectors. Constant time.
#include "table.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "pool.h"

namespace tacit {
namespace {

constexpr size_t CHUNK = 1 << 14;  // blocks (256 kB) in a piece of work

struct Keys {
    __m128i round[11], keep;
};
static_assert(sizeof(Keys) == sizeof(AesKeys));

template <int CONSTANT> __attribute__((target("aes,sse2"))) __m128i next_key(__m128i k) {
    const __m128i word = _mm_shuffle_epi32(_mm_aeskeygenassist_si128(k, CONSTANT), 0xFF);
    k = _mm_xor_si128(k, _mm_slli_si128(k, 4));
    k = _mm_xor_si128(k, _mm_slli_si128(k, 8));
    return _mm_xor_si128(k, word);
}

__attribute__((target("aes,sse2"))) Keys expand(const u8 *key) {
    Keys k;
    k.round[0] = _mm_loadu_si128(reinterpret_cast<const __m128i *>(key));
    k.round[1] = next_key<0x01>(k.round[0]);
    k.round[2] = next_key<0x02>(k.round[1]);
    k.round[3] = next_key<0x04>(k.round[2]);
    k.round[4] = next_key<0x08>(k.round[3]);
    k.round[5] = next_key<0x10>(k.round[4]);
    k.round[6] = next_key<0x20>(k.round[5]);
    k.round[7] = next_key<0x40>(k.round[6]);
    k.round[8] = next_key<0x80>(k.round[7]);
    k.round[9] = next_key<0x1B>(k.round[8]);
    k.round[10] = next_key<0x36>(k.round[9]);
    return k;
}

// Both functions write `count` whole blocks; the low half of the counter carries into the high one.
__attribute__((target("aes,sse2"))) void narrow(u8 *out, const Keys &k, u64 high, u64 low, size_t count) {
    constexpr size_t SIDE = 8;
    for (size_t i = 0; i < count; i += SIDE) {
        const size_t n = count - i < SIDE ? count - i : SIDE;
        __m128i s[SIDE];
        for (size_t j = 0; j < SIDE; ++j) {
            const u64 at = low + i + j;
            const u64 top = high + (at < low);
            s[j] = _mm_set_epi64x((long long)__builtin_bswap64(at), (long long)__builtin_bswap64(top));
            s[j] = _mm_xor_si128(s[j], k.round[0]);
        }
        for (int r = 1; r < 10; ++r)
            for (size_t j = 0; j < SIDE; ++j) s[j] = _mm_aesenc_si128(s[j], k.round[r]);
        for (size_t j = 0; j < SIDE; ++j) s[j] = _mm_and_si128(_mm_aesenclast_si128(s[j], k.round[10]), k.keep);
        for (size_t j = 0; j < n; ++j) _mm_storeu_si128(reinterpret_cast<__m128i *>(out + 16 * (i + j)), s[j]);
    }
}

__attribute__((target("avx512f,avx512bw,vaes,aes"))) void wide(u8 *out, const Keys &k, u64 high, u64 low,
                                                               size_t count) {
    constexpr size_t SIDE = 8, STEP = 4 * SIDE;
    size_t i = 0;
    if (low + count >= low) {  // the low half does not wrap, so all counters share the high one
        __m512i keys[11];
        for (int r = 0; r < 11; ++r) keys[r] = _mm512_broadcast_i32x4(k.round[r]);
        const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
        const __m512i keep = _mm512_broadcast_i32x4(k.keep);
        const __m512i four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
        const long long h = (long long)high, l = (long long)low;
        __m512i counter = _mm512_set_epi64(l + 3, h, l + 2, h, l + 1, h, l, h);
        for (; i + SIDE < count; i += STEP) {  // a few last blocks are left to the narrow form
            __m512i s[SIDE];
            for (size_t j = 0; j < SIDE; ++j) {
                s[j] = _mm512_xor_si512(_mm512_shuffle_epi8(counter, swap), keys[0]);
                counter = _mm512_add_epi64(counter, four);
            }
            for (int r = 1; r < 10; ++r)
                for (size_t j = 0; j < SIDE; ++j) s[j] = _mm512_aesenc_epi128(s[j], keys[r]);
            for (size_t j = 0; j < SIDE; ++j) s[j] = _mm512_and_si512(_mm512_aesenclast_epi128(s[j], keys[10]), keep);
            const size_t left = count - i;
            u8 *const to = out + 16 * i;
            if (left >= STEP) {
                for (size_t j = 0; j < SIDE; ++j) _mm512_storeu_si512(to + 64 * j, s[j]);
                continue;
            }
            for (size_t j = 0; j < SIDE; ++j) {
                const size_t held = left > 4 * j ? left - 4 * j : 0;
                _mm512_mask_storeu_epi64(to + 64 * j, held >= 4 ? 0xFF : __mmask8((1u << 2 * held) - 1), s[j]);
            }
            return;
        }
    }
    narrow(out + 16 * i, k, high + (low + i < low), low + i, count - i);
}

template <void (*BLOCKS)(u8 *, const Keys &, u64, u64, size_t)>
void stream(u8 *out, const u8 *key, u64 high, u64 low, size_t nbytes, u128 keep) {
    Keys k = expand(key);
    k.keep = _mm_set_epi64x((long long)keep.hi, (long long)keep.lo);
    const size_t count = nbytes / 16, rest = nbytes % 16;
    parallel(count, CHUNK, [=, &k](size_t i, size_t end) {
        BLOCKS(out + 16 * i, k, high + (low + i < low), low + i, end - i);
    });
    if (rest) {
        u8 last[16];
        BLOCKS(last, k, high + (low + count < low), low + count, 1);
        memcpy(out + 16 * count, last, rest);
    }
}

AesKeys expanded(const u8 *key, u128 keep) {
    Keys k = expand(key);
    k.keep = _mm_set_epi64x((long long)keep.hi, (long long)keep.lo);
    AesKeys out;
    memcpy(&out, &k, sizeof out);
    return out;
}

template <void (*BLOCKS)(u8 *, const Keys &, u64, u64, size_t)>
void blocks(u8 *out, const AesKeys &keys, u64 high, u64 low, size_t count) {
    Keys k;
    memcpy(&k, &keys, sizeof k);
    BLOCKS(out, k, high, low, count);
}

}  // namespace

Aes find_aes(bool allow_wide_vectors) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("aes")) return {"none", nullptr, nullptr, nullptr};
    if (allow_wide_vectors && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("vaes"))
        return {"vaes", stream<wide>, expanded, blocks<wide>};
    return {"aes-ni", stream<narrow>, expanded, blocks<narrow>};
}

}  // namespace tacit
#endif
