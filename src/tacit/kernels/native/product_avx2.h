// The register block of AVX2, which multiplies 32-bit halves only: ab = lo lo + (lo hi + hi lo) 2^32 mod 2^64.
#pragma once

#include <immintrin.h>

#include "product.h"

namespace tacit::TACIT_TARGET {
namespace {

// The two sums are kept apart and joined at the end. A and B are packed with their high halves beside them.
struct Halves {
    using type = u64;
    static constexpr size_t MR = 2, NR = 8, KC = 256, MC = 64 * MR, NC = 128 * NR, PAD = 1;
    static constexpr size_t A_BYTES = 16 * MR, B_BYTES = 16 * NR;
    static constexpr bool A_IN_STEPS = true, B_IN_STEPS = true, IN_PLACE = false;

    static void begin() {}
    static void end() {}
    static void pack_a(u8 *to, const u64 *a, const u64 *a2, Steps step, size_t rows, size_t k) {
        u64 *dst = reinterpret_cast<u64 *>(to);
        for (size_t l = 0; l < k; ++l, dst += 2 * MR) {
            fetch(dst, a + l * step.inner, a2 ? a2 + l * step.inner : a2, step.outer, rows, MR);
            for (size_t r = 0; r < MR; ++r) dst[MR + r] = dst[r] >> 32;
        }
    }
    static void pack_b(u8 *to, const u64 *b, const u64 *b2, Steps step, size_t columns, size_t k) {
        u64 *dst = reinterpret_cast<u64 *>(to);
        for (size_t l = 0; l < k; ++l, dst += 2 * NR) {
            fetch(dst, b + l * step.outer, b2 ? b2 + l * step.outer : b2, step.inner, columns, NR);
            for (size_t j = 0; j < NR; ++j) dst[NR + j] = dst[j] >> 32;
        }
    }
    static void run(u64 *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        const u64 *a = reinterpret_cast<const u64 *>(pa), *b = reinterpret_cast<const u64 *>(pb);
        __m256i low[MR][2], cross[MR][2];
        for (size_t r = 0; r < MR; ++r)
            for (size_t w = 0; w < 2; ++w) low[r][w] = cross[r][w] = _mm256_setzero_si256();
        for (size_t l = 0; l < k; ++l, a += 2 * MR, b += 2 * NR) {
            __m256i y[2], yh[2];
            for (size_t w = 0; w < 2; ++w) {
                y[w] = reinterpret_cast<__m256i>(load(b + 4 * w));
                yh[w] = reinterpret_cast<__m256i>(load(b + NR + 4 * w));
            }
#pragma GCC unroll 2
            for (size_t r = 0; r < MR; ++r) {
                const __m256i x = reinterpret_cast<__m256i>(all(a[r])), xh = reinterpret_cast<__m256i>(all(a[MR + r]));
#pragma GCC unroll 2
                for (size_t w = 0; w < 2; ++w) {
                    low[r][w] = _mm256_add_epi64(low[r][w], _mm256_mul_epu32(x, y[w]));
                    cross[r][w] = _mm256_add_epi64(cross[r][w], _mm256_mul_epu32(x, yh[w]));
                    cross[r][w] = _mm256_add_epi64(cross[r][w], _mm256_mul_epu32(xh, y[w]));
                }
            }
        }
        u64 tile[MR][NR];
        for (size_t r = 0; r < MR; ++r)
            for (size_t w = 0; w < 2; ++w)
                store(&tile[r][4 * w],
                      reinterpret_cast<V>(_mm256_add_epi64(low[r][w], _mm256_slli_epi64(cross[r][w], 32))));
        for (size_t r = 0; r < rows; ++r)
            for (size_t j = 0; j < columns; ++j) c[r * ldc + j] += tile[r][j];
    }
};

}  // namespace
}  // namespace tacit::TACIT_TARGET
