// The register blocks of CPUs with AVX512-IFMA and VNNI (Ice Lake and Zen 4, and later). An element is a = a' + a" 2^52:
//   ab mod 2^64 = lo(a'b') + (hi(a'b') + a"b' + a'b") 2^52, lo the lowest 52 bits of 104 and hi the others.
// IFMA reads a' of a by itself and adds lo or hi to a sum. Of the rest only 12 bits count, so 12 bits of each factor do:
// VNNI adds both products of 16-bit numbers at once. Five steps for 16 products, vpmullq and vpaddq take eight.
#pragma once

#include <immintrin.h>

#include "product.h"

namespace tacit::TACIT_TARGET {
namespace {

struct Split {
    using type = u64;
    static constexpr size_t MR = 4, NR = 16, KC = 128, MC = 64 * MR, NC = 32 * NR, PAD = 1;
    static constexpr size_t A_BYTES = 12 * MR, B_BYTES = 12 * NR;  // elements, and the 12 bits of both their parts
    static constexpr bool A_IN_STEPS = false, B_IN_STEPS = true, IN_PLACE = false;

    // The 12 bits of both parts, those of the lower part first for one factor and last for the other.
    static __m512i low_first(__m512i x) {
        const __m512i low = _mm512_and_si512(x, _mm512_set1_epi64(0xFFF));
        return _mm512_or_si512(low, _mm512_slli_epi64(_mm512_srli_epi64(x, 52), 16));
    }
    static __m512i high_first(__m512i x) {
        const __m512i low = _mm512_and_si512(x, _mm512_set1_epi64(0xFFF));
        return _mm512_or_si512(_mm512_srli_epi64(x, 52), _mm512_slli_epi64(low, 16));
    }
    static void put_small(u8 *to, __m512i x) {
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), _mm512_cvtepi64_epi32(x));
    }

    static void begin() {}
    static void end() {}

    // Packed: MR elements for each of k inner indices, then their bits.
    static void pack_a(u8 *to, const u64 *a, const u64 *a2, Steps step, size_t rows, size_t k) {
        u8 *small = to + 8 * MR * k;
        for (size_t l = 0; l < k; l += LANES) {
            const size_t inner = least(LANES, k - l);
            V turned[MR];
            if (step.inner == 1) {
                V row[MR] = {};
                for (size_t r = 0; r < rows; ++r) {
                    row[r] = load(a + r * step.outer + l, inner);
                    if (a2) row[r] = row[r] + load(a2 + r * step.outer + l, inner);
                }
                turn(turned, row);
            } else if (step.outer == 1 && step.inner == MR && rows == MR && !a2) {
                for (size_t i = 0; i * LANES < MR * inner; ++i)
                    turned[i] = load(a + MR * l + i * LANES, MR * inner - i * LANES);
            } else {
                alignas(64) u64 columns[LANES * MR] = {};
                for (size_t i = 0; i < inner; ++i) {
                    const size_t at = (l + i) * step.inner;
                    fetch(columns + i * MR, a + at, a2 ? a2 + at : a2, step.outer, rows, MR);
                }
                for (size_t i = 0; i < MR; ++i) turned[i] = load(columns + i * LANES);
            }
            const size_t have = MR * inner;
            for (size_t i = 0; i * LANES < have; ++i) {
                const size_t at = MR * l + i * LANES, left = have - i * LANES;
                store(reinterpret_cast<u64 *>(to) + at, turned[i], left);
                const __mmask8 keep = __mmask8(left < LANES ? (1u << left) - 1 : 0xFF);
                _mm512_mask_cvtepi64_storeu_epi32(small + 4 * at, keep, low_first(__m512i(turned[i])));
            }
        }
    }

    // Four rows of eight become eight rows of four.
    static void turn(V *out, const V *in) {
        const __m512i *r = reinterpret_cast<const __m512i *>(in);
        const __m512i first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), last = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
        const __m512i e01 = _mm512_unpacklo_epi64(r[0], r[1]), o01 = _mm512_unpackhi_epi64(r[0], r[1]);
        const __m512i e23 = _mm512_unpacklo_epi64(r[2], r[3]), o23 = _mm512_unpackhi_epi64(r[2], r[3]);
        for (size_t half = 0; half < 2; ++half) {
            const __m512i even = _mm512_permutex2var_epi64(e01, half ? last : first, e23);
            const __m512i odd = _mm512_permutex2var_epi64(o01, half ? last : first, o23);
            out[2 * half] = V(_mm512_shuffle_i64x2(even, odd, 0x44));
            out[2 * half + 1] = V(_mm512_shuffle_i64x2(even, odd, 0xEE));
        }
    }

    // Packed for each inner index: NR elements, then their bits.
    static void pack_b(u8 *to, const u64 *b, const u64 *b2, Steps step, size_t columns, size_t k) {
        for (size_t l = 0; l < k; ++l, to += B_BYTES) {
            u64 *const row = reinterpret_cast<u64 *>(to);
            fetch(row, b + l * step.outer, b2 ? b2 + l * step.outer : b2, step.inner, columns, NR);
            for (size_t j = 0; j < NR; j += LANES) put_small(to + 8 * NR + 4 * j, high_first(_mm512_load_si512(row + j)));
        }
    }
    static void run(u64 *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        __m512i low[MR][2], high[MR][2], cross[MR];
        for (size_t r = 0; r < MR; ++r) {
            cross[r] = _mm512_setzero_si512();
            for (size_t w = 0; w < 2; ++w) low[r][w] = high[r][w] = _mm512_setzero_si512();
        }
        const u8 *ps = pa + 8 * MR * k;
        for (size_t l = 0; l < k; ++l, pa += 8 * MR, ps += 4 * MR, pb += B_BYTES) {
            const __m512i y0 = _mm512_load_si512(pb), y1 = _mm512_load_si512(pb + 64), z = _mm512_load_si512(pb + 128);
#pragma GCC unroll 8
            for (size_t r = 0; r < MR; ++r) {
                u64 whole;
                u32 small;
                memcpy(&whole, pa + 8 * r, sizeof whole);
                memcpy(&small, ps + 4 * r, sizeof small);
                const __m512i x = _mm512_set1_epi64((long long)whole);
                low[r][0] = _mm512_madd52lo_epu64(low[r][0], x, y0);
                low[r][1] = _mm512_madd52lo_epu64(low[r][1], x, y1);
                high[r][0] = _mm512_madd52hi_epu64(high[r][0], x, y0);
                high[r][1] = _mm512_madd52hi_epu64(high[r][1], x, y1);
                cross[r] = _mm512_dpwssd_epi32(cross[r], _mm512_set1_epi32(int(small)), z);
            }
        }
        for (size_t r = 0; r < rows; ++r) {
            add_to(c + r * ldc, low[r][0], high[r][0], _mm512_castsi512_si256(cross[r]), columns);
            if (columns > LANES)
                add_to(c + r * ldc + LANES, low[r][1], high[r][1], _mm512_extracti64x4_epi64(cross[r], 1),
                       columns - LANES);
        }
    }

    static void add_to(u64 *c, __m512i low, __m512i high, __m256i cross, size_t n) {
        const __m512i upper = _mm512_add_epi64(high, _mm512_cvtepu32_epi64(cross));
        const V sum = V(_mm512_add_epi64(low, _mm512_slli_epi64(upper, 52)));
        store(c, load(c, n) + sum, n);
    }
};

// Where only the lowest 52 bits count, IFMA reads these and adds those of the product: one step for eight products.
struct Low : Plain<u64, 8, 2> {
    static constexpr size_t KC = 128, MC = 32 * MR, NC = 32 * NR;
    static_assert(NR == 2 * LANES);

    static V step(V sum, V x, V y) { return V(_mm512_madd52lo_epu64(__m512i(sum), __m512i(x), __m512i(y))); }

    static void run(u64 *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        const u64 *a = reinterpret_cast<const u64 *>(pa), *b = reinterpret_cast<const u64 *>(pb);
        __m512i sum[MR][2];
        for (size_t r = 0; r < MR; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
        for (size_t l = 0; l < k; ++l, a += MR, b += NR) {
            const __m512i y0 = _mm512_load_si512(b), y1 = _mm512_load_si512(b + LANES);
#pragma GCC unroll 8
            for (size_t r = 0; r < MR; ++r) {
                const __m512i x = _mm512_set1_epi64((long long)a[r]);
                sum[r][0] = _mm512_madd52lo_epu64(sum[r][0], x, y0);
                sum[r][1] = _mm512_madd52lo_epu64(sum[r][1], x, y1);
            }
        }
        for (size_t r = 0; r < rows; ++r) {
            u64 *const to = c + r * ldc;
            store(to, load(to, columns) + V(sum[r][0]), columns);
            if (columns > LANES)
                store(to + LANES, load(to + LANES, columns - LANES) + V(sum[r][1]), columns - LANES);
        }
    }
};

// Elements of 128 bits, a = a0 + a1 2^52 + a2 2^104, are multiplied as three sums with the weights 1, 2^52 and 2^104:
//   lo(a0b0),  hi(a0b0) + lo(a0b1) + lo(a1b0),  hi(a0b1) + hi(a1b0) + lo(a1b1) + lo(a0b2) + lo(a2b0).
// The first two must not wrap: each of KC inner indices adds less than 3 * 2^52. Of the third 24 bits count.
struct SplitWide {
    using type = u128;
    static constexpr size_t MR = 4, NR = 16, KC = 128, MC = 32 * MR, NC = 48 * NR, PAD = 1, LIMBS = 3;
    static constexpr size_t A_BYTES = 8 * LIMBS * MR, B_BYTES = 8 * LIMBS * NR;
    static constexpr bool A_IN_STEPS = true, B_IN_STEPS = true, IN_PLACE = false;
    static_assert(3 * KC < 1 << 12, "sums of limbs stay below 2^64");

    static void begin() {}
    static void end() {}

    // Limbs of `count` elements, those of one weight next to each other; IFMA reads the lower 52 bits of each.
    static void limbs(u64 *to, const u128 *x, size_t count) {
        for (size_t i = 0; i < count; ++i) {
            to[i] = x[i].lo;
            to[count + i] = x[i].lo >> 52 | x[i].hi << 12;
            to[2 * count + i] = x[i].hi >> 40;
        }
    }
    template <size_t N>
    static void pack(u8 *to, const u128 *x, const u128 *x2, size_t across, size_t along, size_t have, size_t k) {
        for (size_t l = 0; l < k; ++l, to += 8 * LIMBS * N) {
            u128 row[N];
            fetch(row, x + l * along, x2 ? x2 + l * along : x2, across, have, N);
            limbs(reinterpret_cast<u64 *>(to), row, N);
        }
    }
    static void pack_a(u8 *to, const u128 *a, const u128 *a2, Steps step, size_t rows, size_t k) {
        pack<MR>(to, a, a2, step.outer, step.inner, rows, k);
    }
    static void pack_b(u8 *to, const u128 *b, const u128 *b2, Steps step, size_t columns, size_t k) {
        pack<NR>(to, b, b2, step.inner, step.outer, columns, k);
    }
    static void run(u128 *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        __m512i s[MR][NR / LANES][LIMBS];
        for (size_t r = 0; r < MR; ++r)
            for (size_t w = 0; w < NR / LANES; ++w)
                for (size_t i = 0; i < LIMBS; ++i) s[r][w][i] = _mm512_setzero_si512();
        for (size_t l = 0; l < k; ++l, pa += A_BYTES, pb += B_BYTES) {
            const u64 *a = reinterpret_cast<const u64 *>(pa), *b = reinterpret_cast<const u64 *>(pb);
#pragma GCC unroll 2
            for (size_t w = 0; w < NR / LANES; ++w) {
                __m512i y[LIMBS];
#pragma GCC unroll 3
                for (size_t i = 0; i < LIMBS; ++i) y[i] = __m512i(load(b + i * NR + w * LANES));
#pragma GCC unroll 4
                for (size_t r = 0; r < MR; ++r) {
                    __m512i *const t = s[r][w];
                    const __m512i x0 = __m512i(all(a[r])), x1 = __m512i(all(a[MR + r])), x2 = __m512i(all(a[2 * MR + r]));
                    t[0] = _mm512_madd52lo_epu64(t[0], x0, y[0]);
                    t[1] = _mm512_madd52hi_epu64(t[1], x0, y[0]);
                    t[2] = _mm512_madd52hi_epu64(t[2], x0, y[1]);
                    t[1] = _mm512_madd52lo_epu64(t[1], x0, y[1]);
                    t[2] = _mm512_madd52hi_epu64(t[2], x1, y[0]);
                    t[1] = _mm512_madd52lo_epu64(t[1], x1, y[0]);
                    t[2] = _mm512_madd52lo_epu64(t[2], x1, y[1]);
                    t[2] = _mm512_madd52lo_epu64(t[2], x0, y[2]);
                    t[2] = _mm512_madd52lo_epu64(t[2], x2, y[0]);
                }
            }
        }
        for (size_t r = 0; r < rows; ++r)
            for (size_t w = 0; w * LANES < columns; ++w) {
                u64 sum[LIMBS][LANES];
                for (size_t i = 0; i < LIMBS; ++i) store(sum[i], V(s[r][w][i]));
                for (size_t j = 0; j < LANES && w * LANES + j < columns; ++j) {
                    u128 &to = c[r * ldc + w * LANES + j];
                    to = put(num(to) + sum[0][j] + (Int(sum[1][j]) << 52) + (Int(sum[2][j]) << 104));
                }
            }
    }
};

}  // namespace
}  // namespace tacit::TACIT_TARGET
