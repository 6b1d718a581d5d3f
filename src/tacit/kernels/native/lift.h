// From two additive parts to replicated shares (protocols/rep3/lift.py, leading.py); formulas in reference_lift.py.
#pragma once

#include <type_traits>

#include "planes.h"
#include "table.h"
#include "vector.h"

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t LIFT_RUN = 256;  // whole groups of packed words, and their arrays stay in L1
constexpr size_t LIFT_GRAIN = 64;

inline u64 number(u64 x) { return x; }
inline Int number(u128 x) { return num(x); }
inline void store(u64 &to, u64 x) { to = x; }
inline void store(u128 &to, Int x) { to = put(x); }

template <class N> inline N ones_below(unsigned k) { return k >= 8 * sizeof(N) ? ~N(0) : (N(1) << k) - 1; }

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

template <class T>
void multiply_bits(u8 *__restrict out, const u8 *alpha, const u8 *beta, const u8 *gamma, unsigned bits, size_t n) {
    over_lifted(n, [=](size_t at, size_t count) {
        T g[LIFT_RUN];
        u64 a[LIFT_RUN], b[LIFT_RUN];
        const size_t byte = at / 8 * bits;
        unpack_run(g, gamma + byte, bits, count);
        bits_run(a, alpha, at, count);
        bits_run(b, beta, at, count);
        for (size_t i = 0; i < count; ++i) store(g[i], (a[i] & b[i]) - number(g[i]));
        pack_run(out + byte, g, bits, count);
    });
}

void lift_product(u8 *__restrict out, const u8 *alpha, const u8 *beta, const u8 *gamma, unsigned bits, size_t n) {
    (bits > 64 ? multiply_bits<u128> : multiply_bits<u64>)(out, alpha, beta, gamma, bits, n);
}

template <class S>
void top_bits(u8 *__restrict out, const void *words, const u8 *mask, u128 plus, unsigned w, size_t n) {
    using N = decltype(number(S{}));
    const S *const m = static_cast<const S *>(words);
    const N add = N(num(plus));
    over_lifted(n, [=](size_t at, size_t count) {
        for (size_t g = 0; g < count; g += 64) {
            const size_t left = count - g < 64 ? count - g : 64;
            u64 word = 0, held = 0;
            for (size_t i = 0; i < left; ++i) word |= u64(~(number(m[at + g + i]) + add) >> (w - 1) & 1) << i;
            memcpy(&held, mask + (at + g) / 8, (left + 7) / 8);
            held ^= word;
            memcpy(out + (at + g) / 8, &held, (left + 7) / 8);
        }
    });
}

void lift_bit(u8 *__restrict out, const void *m, const u8 *mask, u128 add, unsigned w, size_t n) {
    (w > 64 ? top_bits<u128> : top_bits<u64>)(out, m, mask, add, w, n);
}

// The result is packed. Without bits of the wrap's multiple that count, all between m and t is left out. Numbers are as
// wide as the wider of both rings, of whose words m and t are.
template <class S, class T>
void shifted_part(u8 *__restrict out, const void *from, const u8 *mine, const u8 *theirs, const u8 *own, const u8 *gamma,
                  const void *into, u128 plus, u128 after, unsigned w, unsigned f, bool lead, unsigned k, size_t n) {
    using W = std::conditional_t<sizeof(S) < sizeof(T), T, S>;
    using N = decltype(number(W{}));
    const S *const m = static_cast<const S *>(from);
    const T *const t = static_cast<const T *>(into);
    const N narrow = ones_below<N>(w), add = N(num(plus)), constant = N(num(after));
    const unsigned bits = k + f > w ? k + f - w : 0, to = w - f;
    over_lifted(n, [=](size_t at, size_t count) {
        W g[LIFT_RUN];
        u64 x[LIFT_RUN], y[LIFT_RUN], z[LIFT_RUN];
        if (bits) {
            unpack_run(g, gamma + at / 8 * bits, bits, count);
            bits_run(x, mine, at, count);
            bits_run(y, theirs, at, count);
            bits_run(z, own, at, count);
            if (lead)
                for (size_t i = 0; i < count; ++i) z[i] = y[i] & (x[i] ^ z[i]);
            else
                for (size_t i = 0; i < count; ++i) z[i] = y[i] & z[i];
            for (size_t i = 0; i < count; ++i) {
                const N flip = x[i] ^ y[i], turn = lead ? N(0) : N(x[i]);
                const N uv = ((z[i] ^ (0 - turn)) + turn) + ((number(g[i]) ^ (0 - flip)) + flip);
                store(g[i], (((number(m[at + i]) + add) & narrow) >> f) + (uv << to) + constant - number(t[at + i]));
            }
        } else {
            for (size_t i = 0; i < count; ++i)
                store(g[i], (((number(m[at + i]) + add) & narrow) >> f) + constant - number(t[at + i]));
        }
        pack_run(out + at / 8 * k, g, k, count);
    });
}

void lift_part(u8 *__restrict out, const void *m, const u8 *mine, const u8 *theirs, const u8 *own, const u8 *gamma,
               const void *t, u128 add, u128 constant, unsigned w, unsigned f, bool lead, unsigned k, size_t n) {
    const auto part = w > 64   ? (k > 64 ? shifted_part<u128, u128> : shifted_part<u128, u64>)
                      : k > 64 ? shifted_part<u64, u128>
                               : shifted_part<u64, u64>;
    part(out, m, mine, theirs, own, gamma, t, add, constant, w, f, lead, k, n);
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
