// Places of rows in the order of a digit of shared keys (gadgets/sort.py).
#pragma once

#include "rep3.h"
#include <vector>

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t CHUNK = 16 * RUN;  // rows that are counted at a time

// Of products over sets of bits, one for each set, to whether the digit is v, for each v: Moebius inversion.
template <unsigned BITS, class T, size_t N> inline void invert(T (*d)[N], size_t count) {
    for (unsigned b = 0; b < BITS; ++b)
        for (unsigned v = 0; v < 1u << BITS; ++v)
            if (!(v >> b & 1))
                for (size_t i = 0; i < count; ++i) d[v][i] -= d[v | 1u << b][i];
}

// How many rows of a chunk have each digit.
template <unsigned BITS> void count_chunk(u64 *total, const u64 *ones_, u64 one, size_t step, size_t rows) {
    u64(*const sums)[1] = reinterpret_cast<u64(*)[1]>(total);
    total[0] = one * rows;
    for (unsigned s = 1; s < 1u << BITS; ++s) {
        u64 sum = 0;
        for (size_t i = 0; i < rows; ++i) sum += ones_[(s - 1) * step + i];
        total[s] = sum;
    }
    invert<BITS>(sums, 1);
}

// One party's two parts of what one row has before it, and its summand of the product that chooses by the digit.
struct Side {
    u64 *base;
    const u64 *ones;
    u64 one;
    const u64 *before;
};

template <class T, unsigned BITS>
void place_chunk(u64 *z, Side x, Side y, const u64 *plus, const u64 *minus, size_t step, size_t rows, u64 mask) {
    constexpr unsigned SIZE = 1u << BITS;
    T c[SIZE], e[SIZE], d[SIZE][RUN], f[SIZE][RUN], low[RUN], high[RUN], g[RUN], h[RUN], s[RUN];
    for (unsigned v = 0; v < SIZE; ++v) c[v] = T(x.before[v]), e[v] = T(y.before[v]);
    for (size_t at = 0; at < rows; at += RUN) {
        const size_t count = rows - at < RUN ? rows - at : RUN;
        for (size_t i = 0; i < count; ++i) d[0][i] = T(x.one), f[0][i] = T(y.one);
        for (unsigned v = 1; v < SIZE; ++v) {
            const u64 *const a = x.ones + (v - 1) * step + at, *const b = y.ones + (v - 1) * step + at;
            for (size_t i = 0; i < count; ++i) d[v][i] = T(a[i]), f[v][i] = T(b[i]);
        }
        invert<BITS>(d, count);
        invert<BITS>(f, count);
        for (size_t i = 0; i < count; ++i) low[i] = c[0] += d[0][i], high[i] = e[0] += f[0][i];
        for (size_t i = 0; i < count; ++i) {
            x.base[at + i] = u64(T(low[i] - T(x.one))) & mask;
            y.base[at + i] = u64(T(high[i] - T(y.one))) & mask;
            s[i] = T(plus[at + i]) - T(minus[at + i]);
        }
        for (unsigned v = 1; v < SIZE; ++v) {
            for (size_t i = 0; i < count; ++i) g[i] = c[v] += d[v][i], h[i] = e[v] += f[v][i];
            for (size_t i = 0; i < count; ++i) {
                const T own = g[i] - low[i], other = h[i] - high[i];
                s[i] += d[v][i] * (own + other) + f[v][i] * own;
            }
        }
        for (size_t i = 0; i < count; ++i) z[at + i] = u64(s[i]) & mask;
    }
}

template <class T, unsigned BITS>
void digit_places(u64 *z, u64 *base0, u64 *base1, const u64 *ones0, const u64 *ones1, u64 one0, u64 one1,
                  const u64 *plus, const u64 *minus, size_t blocks, size_t rows, unsigned k) {
    constexpr size_t SIZE = size_t(1) << BITS;
    const size_t chunks = (rows + CHUNK - 1) / CHUNK, step = blocks * rows, several = CHUNK / rows + 1;
    std::vector<u64> held(2 * blocks * chunks * SIZE);
    u64 *const totals = held.data();
    const auto over = [=](auto body) {
        parallel(blocks * chunks, several, [=](size_t task, size_t end) {
            for (; task < end; ++task) {
                const size_t at = task % chunks * CHUNK, left = rows - at;
                body(task / chunks * rows + at, left < CHUNK ? left : CHUNK, totals + 2 * task * SIZE);
            }
        });
    };
    over([=](size_t at, size_t count, u64 *total) {
        count_chunk<BITS>(total, ones0 + at, one0, step, count);
        count_chunk<BITS>(total + SIZE, ones1 + at, one1, step, count);
    });
    for (size_t block = 0; block < blocks; ++block)
        for (size_t part = 0; part < 2; ++part) {
            u64 before = 0;
            for (size_t v = 0; v < SIZE; ++v)
                for (size_t chunk = 0; chunk < chunks; ++chunk) {
                    u64 &total = totals[(2 * (block * chunks + chunk) + part) * SIZE + v];
                    const u64 here = total;
                    total = before;
                    before += here;
                }
        }
    over([=](size_t at, size_t count, u64 *total) {
        place_chunk<T, BITS>(z + at, {base0 + at, ones0 + at, one0, total}, {base1 + at, ones1 + at, one1, total + SIZE},
                             plus + at, minus + at, step, count, ones<u64>(k));
    });
}

void digit_ranks(u64 *z, u64 *base0, u64 *base1, const u64 *ones0, const u64 *ones1, u64 one0, u64 one1,
                 const u64 *plus, const u64 *minus, unsigned bits, size_t blocks, size_t rows, unsigned k) {
    using Step = decltype(&digit_places<u64, 1>);
    using Short = std::uint32_t;
    static const Step steps[2][4] = {
        {digit_places<u64, 1>, digit_places<u64, 2>, digit_places<u64, 3>, digit_places<u64, 4>},
        {digit_places<Short, 1>, digit_places<Short, 2>, digit_places<Short, 3>, digit_places<Short, 4>}};
    if (rows) steps[k <= 32][bits - 1](z, base0, base1, ones0, ones1, one0, one1, plus, minus, blocks, rows, k);
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
