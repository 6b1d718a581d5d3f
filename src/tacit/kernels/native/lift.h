// From two additive parts to replicated shares (protocols/rep3/lift.py, leading.py); formulas in reference_lift.py.
#pragma once

#include "planes.h"
#include "table.h"

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t LIFT_RUN = 256;  // whole groups of packed words, and their arrays stay in L1
constexpr size_t LIFT_GRAIN = 64;

inline u64 ones_below(unsigned k) { return k >= 64 ? ~u64(0) : (u64(1) << k) - 1; }

template <class F> void over_lifted(size_t n, F body) {
    parallel((n + LIFT_RUN - 1) / LIFT_RUN, LIFT_GRAIN, [=](size_t run, size_t end) {
        for (; run < end; ++run) body(run * LIFT_RUN, n - run * LIFT_RUN < LIFT_RUN ? n - run * LIFT_RUN : LIFT_RUN);
    });
}

// Bits of packed bytes from element `at` on, a multiple of 8.
inline void bits_run(u64 *out, const u8 *p, size_t at, size_t count) {
    for (size_t g = 0; g < count; g += 64) {
        const size_t left = count - g < 64 ? count - g : 64;
        u64 word = 0;
        memcpy(&word, p + (at + g) / 8, (left + 7) / 8);
        for (size_t i = 0; i < left; ++i) out[g + i] = word >> i & 1;
    }
}

void lift_product(u8 *__restrict out, const u8 *alpha, const u8 *beta, const u8 *gamma, unsigned bits, size_t n) {
    over_lifted(n, [=](size_t at, size_t count) {
        u64 g[LIFT_RUN], a[LIFT_RUN], b[LIFT_RUN];
        const size_t byte = at / 8 * bits;
        unpack_run(g, gamma + byte, bits, count);
        bits_run(a, alpha, at, count);
        bits_run(b, beta, at, count);
        for (size_t i = 0; i < count; ++i) g[i] = (a[i] & b[i]) - g[i];
        pack_run(out + byte, g, bits, count);
    });
}

void lift_bit(u8 *__restrict out, const u64 *m, const u8 *mask, u64 add, unsigned w, size_t n) {
    over_lifted(n, [=](size_t at, size_t count) {
        for (size_t g = 0; g < count; g += 64) {
            const size_t left = count - g < 64 ? count - g : 64;
            u64 word = 0, held = 0;
            for (size_t i = 0; i < left; ++i) word |= (~(m[at + g + i] + add) >> (w - 1) & 1) << i;
            memcpy(&held, mask + (at + g) / 8, (left + 7) / 8);
            held ^= word;
            memcpy(out + (at + g) / 8, &held, (left + 7) / 8);
        }
    });
}

// The result is packed. Without bits of the wrap's multiple that count, all between m and t is left out.
void lift_part(u8 *__restrict out, const u64 *m, const u8 *mine, const u8 *theirs, const u8 *own, const u8 *gamma,
               const u64 *t, u64 add, u64 constant, unsigned w, unsigned f, bool lead, unsigned k, size_t n) {
    const u64 narrow = ones_below(w);
    const unsigned bits = k + f > w ? k + f - w : 0, to = w - f;
    over_lifted(n, [=](size_t at, size_t count) {
        u64 g[LIFT_RUN], x[LIFT_RUN], y[LIFT_RUN], z[LIFT_RUN];
        if (bits) {
            unpack_run(g, gamma + at / 8 * bits, bits, count);
            bits_run(x, mine, at, count);
            bits_run(y, theirs, at, count);
            bits_run(z, own, at, count);
            if (lead)
                for (size_t i = 0; i < count; ++i) z[i] = y[i] & (x[i] ^ z[i]);
            else
                for (size_t i = 0; i < count; ++i) z[i] = (y[i] & z[i]) * (1 - 2 * x[i]);
            for (size_t i = 0; i < count; ++i) {
                const u64 flip = x[i] ^ y[i], uv = z[i] + ((g[i] ^ (0 - flip)) + flip);
                g[i] = (((m[at + i] + add) & narrow) >> f) + (uv << to) + constant - t[at + i];
            }
        } else {
            for (size_t i = 0; i < count; ++i) g[i] = (((m[at + i] + add) & narrow) >> f) + constant - t[at + i];
        }
        pack_run(out + at / 8 * k, g, k, count);
    });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
