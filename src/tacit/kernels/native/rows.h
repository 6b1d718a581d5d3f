// Rows that move by a permutation (protocols/rep3/shuffle.py), masked and packed as they move.
#pragma once

#include "rep3.h"

namespace tacit::TACIT_TARGET {
namespace {

template <class T> inline T joined(T a, T b, unsigned how) {
    if (how == ADD) return a + b;
    if (how == SUBTRACT) return a - b;
    return a ^ b;
}

inline u64 low(u64 a) { return a; }
inline u64 low(u128 a) { return a.lo; }
inline bool below(u64 a, u64 limit) { return a < limit; }
inline bool below(u128 a, u64 limit) { return !a.hi && a.lo < limit; }

// out[i] = (x + y)[at[i]] ± mask[i], as elements or, where `words` is null, packed; y and mask may be absent.
template <class T>
void moved(T *words, u8 *packed, const T *x, const T *y, const u32 *at, const u8 *masks, unsigned sum, unsigned how,
           unsigned k, size_t n) {
    const T mask = ones<T>(k);
    over_runs(n, [=](size_t first, size_t count) {
        T s[RUN], m[RUN];
        const u32 *const from = at + first;
        if (y)
            for (size_t i = 0; i < count; ++i) s[i] = joined(x[from[i]], y[from[i]], sum);
        else
            for (size_t i = 0; i < count; ++i) s[i] = x[from[i]];
        if (masks) {
            unpack_run(m, masks + first / 8 * k, k, count);
            if (how == ADD)
                for (size_t i = 0; i < count; ++i) s[i] = s[i] + m[i];
            else if (how == SUBTRACT)
                for (size_t i = 0; i < count; ++i) s[i] = s[i] - m[i];
            else
                for (size_t i = 0; i < count; ++i) s[i] = s[i] ^ m[i];
        }
        if (words)
            for (size_t i = 0; i < count; ++i) words[first + i] = s[i] & mask;
        else
            pack_run(packed + first / 8 * k, s, k, count);
    });
}

// out[at[i]] = a[i] + b[i], of packed elements; b and at may be absent.
template <class T>
void placed(T *out, const u8 *a, const u8 *b, const u32 *at, unsigned how, unsigned k, size_t n) {
    const T mask = ones<T>(k);
    over_runs(n, [=](size_t first, size_t count) {
        T s[RUN], t[RUN];
        unpack_run(s, a + first / 8 * k, k, count);
        if (b) {
            unpack_run(t, b + first / 8 * k, k, count);
            for (size_t i = 0; i < count; ++i) s[i] = joined(s[i], t[i], how) & mask;
        }
        if (at)
            for (size_t i = 0; i < count; ++i) out[at[first + i]] = s[i];
        else
            for (size_t i = 0; i < count; ++i) out[first + i] = s[i];
    });
}

// Places of rows in the flattened blocks, of packed elements a + b below `rows`; false if they are no permutation.
template <class T>
bool places(u32 *out, u64 *seen, const u8 *a, const u8 *b, unsigned how, unsigned k, size_t blocks, size_t rows) {
    const T mask = ones<T>(k);
    T s[RUN], t[RUN];
    u64 wrong = 0;
    for (size_t first = 0, block = 0, row = 0; first < blocks * rows; first += RUN) {
        const size_t count = blocks * rows - first < RUN ? blocks * rows - first : RUN;
        unpack_run(s, a + first / 8 * k, k, count);
        unpack_run(t, b + first / 8 * k, k, count);
        for (size_t i = 0; i < count; ++i) s[i] = joined(s[i], t[i], how) & mask;
        for (size_t i = 0; i < count; ++i) {
            const bool inside = below(s[i], rows);
            const u64 at = block * rows + (inside ? low(s[i]) : 0);
            wrong |= u64(!inside) | (seen[at / 64] >> at % 64 & 1);
            seen[at / 64] |= u64(1) << at % 64;
            out[first + i] = u32(at);
            if (++row == rows) ++block, row = 0;
        }
    }
    return !wrong;
}

// One row after another changes places with itself or a later one (Fisher and Yates); false if a draw must be repeated.
bool permutation(u32 *out, const u64 *draws, size_t blocks, size_t n) {
    for (size_t b = 0; b < blocks; ++b, out += n, draws += n) {
        const u32 base = u32(b * n);
        for (size_t i = 0; i < n; ++i) out[i] = base + u32(i);
        for (size_t i = 0; i < n; ++i) {
            const u64 left = n - i;
            const Int wide = Int(draws[i]) * left;
            if (u64(wide) < left && u64(wide) < (0 - left) % left) return false;
            const size_t j = i + size_t(wide >> 64);
            const u32 here = out[i];
            out[i] = out[j];
            out[j] = here;
        }
    }
    return true;
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
