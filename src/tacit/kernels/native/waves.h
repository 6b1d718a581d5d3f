// Sums of sines and powers of masked numbers (gadgets/waves.py): one pass over cache-sized blocks for all products.
// Compiled with -ffp-contract=off: two machines must compute equal bits, so no product may be fused with an addition.
#pragma once

#include "table.h"

namespace tacit {

// Rows of `width`-bit elements, packed low bit first; row r starts at bit r * stride.
struct Rows {
    Octets from;
    size_t stride, bytes;
};

// A power of two for each value h of a digit of `bits` bits: 2^min(slope·h + base, most), and no less than 2^-1022.
struct Scales {
    unsigned bits;
    std::int64_t slope, base, most;
};

struct WaveKernels {
    // out row 2j, 2j+1 = rint(scale·cos jθ), rint(scale·sin jθ) less the masks' rows, θ = x·rate of 2^64 a turn.
    void (*waves_left)(u8 *out, const u64 *x, Rows masks, u64 rate, unsigned step, double scale, size_t harmonics,
                       unsigned width, size_t n);
    // out = Σ_j row 2j · rint(a_j cos + b_j sin) + row 2j+1 · rint(b_j cos − a_j sin); a may be null.
    void (*waves_right)(u64 *out, const u64 *x, Rows rows, u64 rate, unsigned step, const double *a, const double *b,
                        size_t harmonics, unsigned width, size_t n);
    // out row j = rint(2^(step·u)·scales[(h + j) mod 2^bits]) less the mask's row, h.u = (x·rate + offset)·2^bits / 2^64.
    void (*powers_left)(u8 *out, const u64 *x, Rows masks, u64 rate, u64 offset, unsigned step, const Scales &scales,
                        unsigned width, size_t n);
    // out = row h · rint(2^(step·u)·scale).
    void (*powers_right)(u64 *out, const u64 *x, Rows rows, u64 rate, unsigned step, double scale, unsigned bits,
                         unsigned width, size_t n);
    // What turns sums that two parties hold into shares (lift.h); alpha, beta, mask, mine, theirs, own: packed bits.
    // Words of more than 64 bits, of w at m and of k at t, are u128.
    void (*lift_product)(u8 *out, const u8 *alpha, const u8 *beta, const u8 *gamma, unsigned bits, size_t n);
    void (*lift_bit)(u8 *out, const void *m, const u8 *mask, u128 add, unsigned w, size_t n);
    void (*lift_part)(u8 *out, const void *m, const u8 *mine, const u8 *theirs, const u8 *own, const u8 *gamma,
                      const void *t, u128 add, u128 constant, unsigned w, unsigned f, bool lead, unsigned k, size_t n);
    // out row r = bits of plane r, less the masks.
    void (*bits_left)(u8 *out, const u64 *bits, Rows masks, size_t count, unsigned width, size_t n);
    // out row o = Σ_r weights[o][r]·((1 − 2γ_r)·row r + lead·γ_r) − masks row o, γ the bits of the planes.
    void (*bits_right)(u64 *out, const u64 *bits, Rows rows, const u64 *weights, const u64 *masks, bool lead, size_t count,
                       size_t outs, unsigned width, size_t n);
};

namespace baseline { WaveKernels wave_kernels(); }
namespace avx2 { WaveKernels wave_kernels(); }
namespace avx512 { WaveKernels wave_kernels(); }
namespace ifma { WaveKernels wave_kernels(); }
namespace amx { WaveKernels wave_kernels(); }

}  // namespace tacit
