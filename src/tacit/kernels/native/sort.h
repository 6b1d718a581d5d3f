// Counting digits of shared keys (gadgets/sort.py).
#pragma once

#include "rep3.h"

namespace tacit::TACIT_TARGET {
namespace {

// Of products over sets of bits, one for each set, to whether the digit is v, for each v: Moebius inversion.
template <unsigned BITS> inline void invert(u64 *d) {
    for (unsigned b = 0; b < BITS; ++b)
        for (unsigned v = 0; v < 1u << BITS; ++v)
            if (!(v >> b & 1)) d[v] -= d[v | 1u << b];
}

template <unsigned BITS>
void count_block(u64 *hot, u64 *gap, u64 *base, const u64 *ones_, u64 one, size_t step, size_t rows, u64 mask) {
    constexpr unsigned SIZE = 1u << BITS;
    u64 total[SIZE], count[SIZE];
    total[0] = one * rows;
    for (unsigned s = 1; s < SIZE; ++s) {
        u64 sum = 0;
        for (size_t i = 0; i < rows; ++i) sum += ones_[(s - 1) * step + i];
        total[s] = sum;
    }
    invert<BITS>(total);
    u64 before = 0;
    for (unsigned v = 0; v < SIZE; ++v) {
        count[v] = before;
        before += total[v];
    }
    for (size_t i = 0; i < rows; ++i) {
        u64 d[SIZE];
        d[0] = one;
        for (unsigned s = 1; s < SIZE; ++s) d[s] = ones_[(s - 1) * step + i];
        invert<BITS>(d);
        for (unsigned v = 0; v < SIZE; ++v) count[v] += d[v];
        base[i] = (count[0] - one) & mask;
        for (unsigned v = 1; v < SIZE; ++v) {
            hot[(v - 1) * step + i] = d[v] & mask;
            gap[(v - 1) * step + i] = (count[v] - count[0]) & mask;
        }
    }
}

void digit_counts(u64 *hot, u64 *gap, u64 *base, const u64 *ones_, u64 one, unsigned bits, size_t blocks, size_t rows,
                  unsigned k) {
    using Step = void (*)(u64 *, u64 *, u64 *, const u64 *, u64, size_t, size_t, u64);
    static const Step steps[] = {count_block<1>, count_block<2>, count_block<3>, count_block<4>};
    const Step step = steps[bits - 1];
    const u64 mask = ones<u64>(k);
    parallel(blocks, rows ? (size_t(1) << 14) / rows + 1 : 1, [=](size_t b, size_t end) {
        for (; b < end; ++b)
            step(hot + b * rows, gap + b * rows, base + b * rows, ones_ + b * rows, one, blocks * rows, rows, mask);
    });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
