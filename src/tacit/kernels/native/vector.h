// The vector type of a dispatch target, and 128-bit elements. Included by target.cpp only.
#pragma once

#include "pool.h"
#include "table.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define TACIT_LANES 8
#elif defined(__AVX2__)
#define TACIT_LANES 4
#else
#define TACIT_LANES 2
#endif

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t LANES = TACIT_LANES;
constexpr size_t COLUMNS = 1 << 10;  // words of every bit plane that one piece of work covers
typedef u64 V __attribute__((vector_size(8 * TACIT_LANES)));
typedef u64 VLoose __attribute__((vector_size(8 * TACIT_LANES), aligned(8), may_alias));
typedef unsigned __int128 Int;

inline V load(const u64 *p) { return *reinterpret_cast<const VLoose *>(p); }
inline void store(u64 *p, V v) { *reinterpret_cast<VLoose *>(p) = v; }
inline V all(u64 x) { return x - V{}; }

// The first n lanes only, n > 0; the others are zero. Short rows are nothing but such: no detour through memory.
#if defined(__AVX512F__)
inline V load(const u64 *p, size_t n) {
    return n >= LANES ? load(p) : V(_mm512_maskz_loadu_epi64(__mmask8((1u << n) - 1), p));
}

inline void store(u64 *p, V v, size_t n) {
    if (n >= LANES) return store(p, v);
    _mm512_mask_storeu_epi64(p, __mmask8((1u << n) - 1), __m512i(v));
}

// Eight rows of eight words become their columns.
inline void turn(V *rows) {
    __m512i *const r = reinterpret_cast<__m512i *>(rows), pairs[8], fours[8];
    for (size_t i = 0; i < 8; i += 2) {
        pairs[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
    }
    const __m512i first = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0), last = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
    for (size_t i = 0; i < 8; i += 4)
        for (size_t odd = 0; odd < 2; ++odd) {
            fours[i + odd] = _mm512_permutex2var_epi64(pairs[i + odd], first, pairs[i + odd + 2]);
            fours[i + odd + 2] = _mm512_permutex2var_epi64(pairs[i + odd], last, pairs[i + odd + 2]);
        }
    for (size_t i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_i64x2(fours[i], fours[i + 4], 0x44);
        r[i + 4] = _mm512_shuffle_i64x2(fours[i], fours[i + 4], 0xEE);
    }
}
#elif defined(__AVX2__)
inline __m256i lanes(size_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}

inline V load(const u64 *p, size_t n) {
    return n >= LANES ? load(p) : V(_mm256_maskload_epi64(reinterpret_cast<const long long *>(p), lanes(n)));
}

inline void store(u64 *p, V v, size_t n) {
    if (n >= LANES) return store(p, v);
    _mm256_maskstore_epi64(reinterpret_cast<long long *>(p), lanes(n), __m256i(v));
}
#else
inline V load(const u64 *p, size_t n) { return n >= LANES ? load(p) : V{*p, 0}; }

inline void store(u64 *p, V v, size_t n) {
    if (n >= LANES) return store(p, v);
    *p = v[0];
}
#endif

inline u64 sum(V v) {
    u64 s = 0;
    for (size_t i = 0; i < LANES; ++i) s += v[i];
    return s;
}

inline Int num(u128 a) { return Int(a.hi) << 64 | a.lo; }
inline u128 put(Int a) { return {u64(a), u64(a >> 64)}; }

inline u128 operator+(u128 a, u128 b) { return put(num(a) + num(b)); }
inline u128 operator-(u128 a, u128 b) { return put(num(a) - num(b)); }
inline u128 operator*(u128 a, u128 b) { return put(num(a) * num(b)); }
inline u128 operator<<(u128 a, unsigned s) { return put(num(a) << s); }
inline u128 operator>>(u128 a, unsigned s) { return put(num(a) >> s); }

template <class T> constexpr unsigned WIDTH = 8 * sizeof(T);

}  // namespace
}  // namespace tacit::TACIT_TARGET
