// Packed words of fewer than 64 bits, low bit first, with 512-bit vectors: eight words are `width` whole bytes.
#pragma once

#include "table.h"

#if defined(__AVX512BW__)
#include <immintrin.h>

#define TACIT_EIGHTS 1

namespace tacit::TACIT_TARGET {
namespace {

inline __mmask64 first_bytes(size_t n) { return n >= 64 ? ~__mmask64(0) : (__mmask64(1) << n) - 1; }
inline __mmask8 first_words(size_t n) { return n >= 8 ? 0xFF : __mmask8((1u << n) - 1); }

// The n words from bit `bit` of p on; `bytes` from p on may be read.
inline void unpack_eights(u64 *out, const u8 *p, size_t bytes, unsigned bit, unsigned width, size_t n) {
    const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), keep = _mm512_set1_epi64((long long)((1ull << width) - 1));
    const __m512i at = _mm512_add_epi64(_mm512_mul_epu32(lane, _mm512_set1_epi64(width)), _mm512_set1_epi64(bit));
    const __m512i shift = _mm512_and_si512(at, _mm512_set1_epi64(15));
    const __m512i back = _mm512_sub_epi64(_mm512_set1_epi64(64), shift);
    // A word begins in 16 bits of the input, and ends in the fourth after them or, at a shift, in the fifth.
    __m512i first = _mm512_srli_epi64(at, 4);
    const __m512i fifth = _mm512_add_epi64(first, _mm512_set1_epi64(4));
    first = _mm512_or_si512(first, _mm512_slli_epi64(first, 16));
    first = _mm512_or_si512(first, _mm512_slli_epi64(first, 32));
    first = _mm512_add_epi64(first, _mm512_set1_epi64(0x0003000200010000));
    for (size_t i = 0; i < n; i += 8, p += width, bytes -= width) {
        const __m512i v = bytes >= 64 ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi8(first_bytes(bytes), p);
        __m512i x = _mm512_srlv_epi64(_mm512_permutexvar_epi16(first, v), shift);
        if (width > 49) x = _mm512_or_si512(x, _mm512_sllv_epi64(_mm512_permutexvar_epi16(fifth, v), back));
        _mm512_mask_storeu_epi64(out + i, first_words(n - i), _mm512_and_si512(x, keep));
    }
}

// Pack the low `width` >= 8 bits of n words. A 64-bit word of the output takes what is left of one of eight words, and of
// those that follow it what has room: all of it is moved by a table, and shifts of 64 or more leave nothing.
inline void pack_eights(u8 *out, const u64 *words, unsigned width, size_t n) {
    constexpr size_t MOST = 9;
    const __m512i keep = _mm512_set1_epi64((long long)((1ull << width) - 1)), wide = _mm512_set1_epi64(width);
    const __m512i start = _mm512_set_epi64(448, 384, 320, 256, 192, 128, 64, 0);
    // start / width: exact, as 448 * width < 2^16.
    __m512i from = _mm512_srli_epi64(_mm512_mul_epu32(start, _mm512_set1_epi64((1 << 16) / width + 1)), 16);
    const __m512i gone = _mm512_sub_epi64(start, _mm512_mul_epu32(from, wide));
    __m512i word[MOST], shift[MOST];
    const size_t terms = 62 / width + 2;
    for (size_t t = 0; t < terms; ++t) {
        word[t] = from;
        shift[t] = _mm512_sub_epi64(_mm512_mul_epu32(from, wide), start);
        from = _mm512_add_epi64(from, _mm512_set1_epi64(1));
    }
    for (size_t i = 0; i < n; i += 8, out += width) {
        const size_t count = n - i < 8 ? n - i : 8;
        const __m512i v = _mm512_and_si512(_mm512_maskz_loadu_epi64(first_words(count), words + i), keep);
        __m512i x = _mm512_srlv_epi64(_mm512_permutexvar_epi64(word[0], v), gone);
        for (size_t t = 1; t < terms; ++t)
            x = _mm512_or_si512(x, _mm512_sllv_epi64(_mm512_permutexvar_epi64(word[t], v), shift[t]));
        _mm512_mask_storeu_epi8(out, first_bytes((count * width + 7) / 8), x);
    }
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
#endif
