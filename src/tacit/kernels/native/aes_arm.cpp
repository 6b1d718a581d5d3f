// AES-128-CTR with the ARMv8 cryptographic extension. Constant time.
#include "table.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include "pool.h"

#if defined(__clang__)
#define TACIT_AES __attribute__((target("aes")))
#else
#define TACIT_AES __attribute__((target("+crypto")))
#endif

namespace tacit {
namespace {

constexpr size_t CHUNK = 1 << 14;  // blocks (256 kB) in a piece of work

// SubWord, from the instruction: equal columns make ShiftRows the identity.
TACIT_AES u32 substitute(u32 word) {
    const uint8x16_t s = vaeseq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), vdupq_n_u8(0));
    return vgetq_lane_u32(vreinterpretq_u32_u8(s), 0);
}

TACIT_AES AesKeys expand(const u8 *key, u128 keep) {
    u32 w[44];
    memcpy(w, key, 16);
    u32 constant = 1;
    for (int i = 4; i < 44; ++i) {
        u32 t = w[i - 1];
        if (i % 4 == 0) {
            t = substitute((t >> 8) | (t << 24)) ^ constant;  // words are little-endian here
            constant = (constant << 1) ^ (constant & 0x80 ? 0x11B : 0);
        }
        w[i] = w[i - 4] ^ t;
    }
    AesKeys k;
    memcpy(k.round, w, sizeof k.round);
    memcpy(k.keep, &keep, sizeof k.keep);
    return k;
}

TACIT_AES void blocks(u8 *out, const AesKeys &k, u64 high, u64 low, size_t count) {
    constexpr size_t SIDE = 8;
    for (size_t i = 0; i < count; i += SIDE) {
        const size_t n = count - i < SIDE ? count - i : SIDE;
        uint8x16_t s[SIDE];
        for (size_t j = 0; j < SIDE; ++j) {
            const u64 at = low + i + j;
            const u64 words[2] = {__builtin_bswap64(high + (at < low)), __builtin_bswap64(at)};
            s[j] = vreinterpretq_u8_u64(vld1q_u64(words));
        }
        for (int r = 0; r < 9; ++r) {
            const uint8x16_t key = vld1q_u8(k.round[r]);
            for (size_t j = 0; j < SIDE; ++j) s[j] = vaesmcq_u8(vaeseq_u8(s[j], key));
        }
        const uint8x16_t before = vld1q_u8(k.round[9]), last = vld1q_u8(k.round[10]);
        const uint8x16_t keep = vld1q_u8(k.keep);
        for (size_t j = 0; j < n; ++j)
            vst1q_u8(out + 16 * (i + j), vandq_u8(veorq_u8(vaeseq_u8(s[j], before), last), keep));
    }
}

void stream(u8 *out, const u8 *key, u64 high, u64 low, size_t nbytes, u128 keep) {
    const AesKeys k = expand(key, keep);
    const size_t count = nbytes / 16, rest = nbytes % 16;
    parallel(count, CHUNK, [=, &k](size_t i, size_t end) {
        blocks(out + 16 * i, k, high + (low + i < low), low + i, end - i);
    });
    if (rest) {
        u8 last[16];
        blocks(last, k, high + (low + count < low), low + count, 1);
        memcpy(out + 16 * count, last, rest);
    }
}

}  // namespace

Aes find_aes(bool) {
#if defined(__linux__)
    constexpr unsigned long HWCAP_AES_BIT = 1ul << 3;
    if (!(getauxval(AT_HWCAP) & HWCAP_AES_BIT)) return {"none", nullptr, nullptr, nullptr};
#endif  // every arm64 Mac has it
    return {"armv8", stream, expand, blocks};
}

}  // namespace tacit
#elif !defined(__x86_64__)
namespace tacit {
Aes find_aes(bool) { return {"none", nullptr, nullptr, nullptr}; }
}  // namespace tacit
#endif
