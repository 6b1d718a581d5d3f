// Matrix products on the tile unit of recent Intel CPUs, exact: elements are cut into bytes, the byte products are
// summed in 32 bits, and diagonals s = i + j of byte positions are added up with weight 2^(8 s).
// 64-bit elements take 36 byte products, 128-bit ones 136; the tile unit does 1024 of them in a cycle.
#include <immintrin.h>

#include "right.h"

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t TILE = 1024;  // bytes: 16 rows of 64

inline __m512i get(const void *p) { return _mm512_loadu_si512(p); }
inline void put(void *p, __m512i v) { _mm512_storeu_si512(p, v); }

// Words of one half of eight elements.
inline __m512i words(const u64 *p, size_t) { return get(p); }
inline __m512i words(const u128 *p, size_t half) {
    const __m512i low = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i pick = _mm512_add_epi64(low, _mm512_set1_epi64((long long)half));
    return _mm512_permutex2var_epi64(get(p), pick, get(p + 4));
}

// Transpose an 8x8 matrix of 64-bit words in eight registers.
inline void transpose8(__m512i r[8]) {
    __m512i t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
    }
    for (int i = 0; i < 2; ++i)
        for (int h = 0; h < 8; h += 4) {
            u[h + i] = _mm512_shuffle_i64x2(t[h + i], t[h + i + 2], 0x88);
            u[h + i + 2] = _mm512_shuffle_i64x2(t[h + i], t[h + i + 2], 0xDD);
        }
    // u[h + i]: columns i, i + 4 of rows h..h+3; u[h + i + 2]: columns i + 2, i + 6.
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i64x2(u[i], u[i + 4], 0x88);
        r[i + 4] = _mm512_shuffle_i64x2(u[i], u[i + 4], 0xDD);
    }
}

struct alignas(64) Config {
    u8 palette = 1, start = 0, reserved[14] = {};
    std::uint16_t bytes[16] = {};
    u8 rows[16] = {};
    Config() {
        for (int i = 0; i < 8; ++i) {
            bytes[i] = 64;
            rows[i] = 16;
        }
    }
};

// A block of 32 x 32 elements: tiles 0..3 sum one diagonal, 4 and 5 hold bytes of A, 6 and 7 bytes of B.
// Packed: for each 64 inner indices, for each byte position, two tiles.
template <class T> struct Tiles {
    using type = T;
    static constexpr size_t LIMBS = sizeof(T);
    // KC: the sums of a diagonal, at most LIMBS * KC * 255^2, stay below 2^32.
    static constexpr size_t MR = 32, NR = 32, PAD = 64, KC = 8192 / LIMBS, MC = 4 * MR, NC = 16 * NR;
    static constexpr size_t A_BYTES = MR * LIMBS, B_BYTES = NR * LIMBS;
    static constexpr bool A_IN_STEPS = false, B_IN_STEPS = false, IN_PLACE = false;

    static void begin() {
        const Config config;
        _tile_loadconfig(&config);
    }
    static void end() { _tile_release(); }

    static u8 *tile(u8 *to, size_t block, size_t limb, size_t t) {
        return to + ((block * LIMBS + limb) * 2 + t) * TILE;
    }

    // Tile of A: row r holds the bytes of 64 inner indices.
    static void pack_a(u8 *to, const T *a, const T *a2, Steps step, size_t rows, size_t k) {
        const __m512i gather = _mm512_set_epi64(0x3F372F271F170F07, 0x3E362E261E160E06, 0x3D352D251D150D05,
                                                0x3C342C241C140C04, 0x3B332B231B130B03, 0x3A322A221A120A02,
                                                0x3931292119110901, 0x3830282018100800);
        T padded[64];
        for (size_t block = 0; block * 64 < k; ++block)
            for (size_t r = 0; r < MR; ++r) {
                const size_t at = r * step.outer + block * 64 * step.inner;
                const T *from = a + at;
                const size_t have = r < rows ? least(64, k - block * 64) : 0;
                if (have < 64 || step.inner != 1 || a2) {
                    fetch<T>(padded, from, a2 ? a2 + at : a2, step.inner, have, 64);
                    from = padded;
                }
                for (size_t half = 0; half < LIMBS / 8; ++half) {
                    __m512i v[8];
                    for (size_t i = 0; i < 8; ++i)  // word j of v[i]: byte j of eight elements
                        v[i] = _mm512_permutexvar_epi8(gather, words(from + 8 * i, half));
                    transpose8(v);
                    for (size_t j = 0; j < 8; ++j) put(tile(to, block, 8 * half + j, r / 16) + r % 16 * 64, v[j]);
                }
            }
    }

    // Tile of B: row l / 4 holds, for 16 columns, the bytes of four inner indices.
    static void pack_b(u8 *to, const T *b, const T *b2, Steps step, size_t columns, size_t k) {
        const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
        const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
        T row[4][NR];
        for (size_t l = 0; l < up(k, PAD); l += 4) {
            for (size_t q = 0; q < 4; ++q) {
                const size_t at = (l + q) * step.outer, have = l + q < k ? columns : 0;
                fetch<T>(row[q], b + at, b2 ? b2 + at : nullptr, step.inner, have, NR);
            }
            for (size_t t = 0; t < 2; ++t)
                for (size_t half = 0; half < LIMBS / 8; ++half) {
                    // pair[8-column half][p]: words of columns (0,1), (2,3), ..: byte positions 2p, then 2p + 1.
                    __m512i pair[2][4];
                    for (size_t h = 0; h < 2; ++h) {
                        __m512i v[4];
                        for (size_t q = 0; q < 4; ++q) v[q] = words(&row[q][16 * t + 8 * h], half);
                        const __m512i e01 = _mm512_unpacklo_epi8(v[0], v[1]), e23 = _mm512_unpacklo_epi8(v[2], v[3]);
                        const __m512i o01 = _mm512_unpackhi_epi8(v[0], v[1]), o23 = _mm512_unpackhi_epi8(v[2], v[3]);
                        const __m512i el = _mm512_unpacklo_epi16(e01, e23), eh = _mm512_unpackhi_epi16(e01, e23);
                        const __m512i ol = _mm512_unpacklo_epi16(o01, o23), oh = _mm512_unpackhi_epi16(o01, o23);
                        pair[h][0] = _mm512_unpacklo_epi32(el, ol);
                        pair[h][1] = _mm512_unpackhi_epi32(el, ol);
                        pair[h][2] = _mm512_unpacklo_epi32(eh, oh);
                        pair[h][3] = _mm512_unpackhi_epi32(eh, oh);
                    }
                    for (size_t p = 0; p < 4; ++p) {
                        const size_t at = l % 64 / 4 * 64, limb = 8 * half + 2 * p;
                        const __m512i x = pair[0][p], y = pair[1][p];
                        put(tile(to, l / 64, limb, t) + at, _mm512_permutex2var_epi64(x, even, y));
                        put(tile(to, l / 64, limb + 1, t) + at, _mm512_permutex2var_epi64(x, odd, y));
                    }
                }
        }
    }

    static void run(u64 *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        alignas(64) u32 sums[LIMBS][4][256];
        multiply(sums, pa, pb, (k + 63) / 64);
        for (size_t r = 0; r < rows; ++r)
            for (size_t j = 0; j < columns; j += 8) {
                const size_t at = r % 16 * 16 + j % 16, t = r / 16 * 2 + j / 16;
                __m512i s = _mm512_setzero_si512();
                for (size_t i = LIMBS; i-- > 0;) s = _mm512_add_epi64(_mm512_slli_epi64(s, 8), low(&sums[i][t][at]));
                add_to(c + r * ldc + j, s, least(8, columns - j));
            }
    }

    static void run(u128 *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        alignas(64) u32 sums[LIMBS][4][256];
        multiply(sums, pa, pb, (k + 63) / 64);
        for (size_t r = 0; r < rows; ++r)
            for (size_t j = 0; j < columns; j += 8) {
                const size_t at = r % 16 * 16 + j % 16, t = r / 16 * 2 + j / 16;
                __m512i w[4];  // four diagonals each, below 2^57, with weights 2^(32 g)
                for (size_t g = 0; g < 4; ++g) {
                    w[g] = low(&sums[4 * g + 3][t][at]);
                    for (size_t i = 3; i-- > 0;)
                        w[g] = _mm512_add_epi64(_mm512_slli_epi64(w[g], 8), low(&sums[4 * g + i][t][at]));
                }
                const __m512i lo = _mm512_add_epi64(w[0], _mm512_slli_epi64(w[1], 32));
                __m512i hi = _mm512_add_epi64(_mm512_srli_epi64(w[1], 32), w[2]);
                hi = _mm512_add_epi64(hi, _mm512_slli_epi64(w[3], 32));
                hi = _mm512_mask_add_epi64(hi, _mm512_cmplt_epu64_mask(lo, w[0]), hi, _mm512_set1_epi64(1));
                u64 x[8], y[8];
                put(x, lo);
                put(y, hi);
                for (size_t i = 0; i < least(8, columns - j); ++i)
                    c[r * ldc + j + i] = c[r * ldc + j + i] + u128{x[i], y[i]};
            }
    }

    static __m512i low(const u32 *p) {
        return _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p)));
    }

    static void add_to(u64 *c, __m512i s, size_t n) {
        const __mmask8 keep = __mmask8((1u << n) - 1);
        _mm512_mask_storeu_epi64(c, keep, _mm512_add_epi64(_mm512_maskz_loadu_epi64(keep, c), s));
    }

    // sums[s] = sum over i + j = s of A_i B_j, as 2 x 2 tiles.
    static void multiply(u32 (*sums)[4][256], const u8 *a, const u8 *b, size_t blocks) {
        __asm__ volatile("" ::: "memory");  // the tile intrinsics do not tell the compiler what they read and write
        for (size_t s = 0; s < LIMBS; ++s) {
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (size_t block = 0; block < blocks; ++block)
                for (size_t i = 0; i <= s; ++i) {
                    const u8 *x = a + (block * LIMBS + i) * 2 * TILE, *y = b + (block * LIMBS + s - i) * 2 * TILE;
                    _tile_loadd(4, x, 64);
                    _tile_loadd(6, y, 64);
                    _tile_loadd(5, x + TILE, 64);
                    _tile_loadd(7, y + TILE, 64);
                    _tile_dpbuud(0, 4, 6);
                    _tile_dpbuud(1, 4, 7);
                    _tile_dpbuud(2, 5, 6);
                    _tile_dpbuud(3, 5, 7);
                }
            _tile_stored(0, sums[s][0], 64);
            _tile_stored(1, sums[s][1], 64);
            _tile_stored(2, sums[s][2], 64);
            _tile_stored(3, sums[s][3], 64);
        }
        __asm__ volatile("" ::: "memory");
    }
};

}  // namespace

Kernels kernels() {
    Kernels k = avx512::kernels();
    k.narrow.whole = {product<Tiles<u64>, Plain<u64, 8, 3>>, Choose<Tiles<u64>, Plain<u64, 8, 3>, u64>::table()};
    k.wide.whole = {product<Tiles<u128>, Plain<u128, 2, 2>>, Choose<Tiles<u128>, Plain<u128, 2, 2>, u128>::table()};
    return k;
}

}  // namespace tacit::TACIT_TARGET
