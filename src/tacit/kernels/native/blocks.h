// Bit-sliced addition of a shared and a clear operand: thermometer tables, and selection from them.
#pragma once

#include "vector.h"

namespace tacit::TACIT_TARGET {
namespace {

template <class F> void over_columns(size_t length, F body) {
    parallel(length, COLUMNS, [=](size_t i, size_t end) {
        for (; i < end; i += LANES) body(i, end - i < LANES ? end - i : LANES);
    });
}

void add_planes(u64 *out, const u64 *a, const u64 *b, size_t m, size_t length) {
    over_columns(length, [=](size_t i, size_t n) {
        V carry = all(0);
        for (size_t bit = 0; bit < m; ++bit) {
            const V x = load(a + bit * length + i, n), y = load(b + bit * length + i, n);
            store(out + bit * length + i, x ^ y ^ carry, n);
            carry = (x & y) | (carry & (x ^ y));
        }
    });
}

// Planes [A >= j] of one block of bits: with a new top bit h over a table of A', they are h | T'_j, h, h & T'_j.
template <unsigned BITS> void table_of_block(u64 *out, const u64 *a, const u64 *mask, size_t length) {
    over_columns(length, [=](size_t i, size_t n) {
        V t[(1 << BITS) - 1];
        for (unsigned bit = 0; bit < BITS; ++bit) {
            const V h = load(a + bit * length + i, n);
            const unsigned below = (1u << bit) - 1;
            t[below] = h;
            for (unsigned j = 0; j < below; ++j) {
                t[below + 1 + j] = h & t[j];
                t[j] |= h;
            }
        }
        if (mask)
            for (unsigned j = 0; j < (1u << BITS) - 1; ++j) t[j] ^= load(mask + j * length + i, n);
        for (unsigned j = 0; j < (1u << BITS) - 1; ++j) store(out + j * length + i, t[j], n);
    });
}

template <unsigned BITS> inline V choose(V *option, const V *bits) {
    for (unsigned bit = 0; bit < BITS; ++bit)
        for (unsigned c = 0; c < (1u << BITS) >> (bit + 1); ++c)
            option[c] = option[2 * c] ^ (bits[bit] & (option[2 * c] ^ option[2 * c + 1]));
    return option[0];
}

template <unsigned BITS>
void select_in_block(u64 *g, u64 *p, const u64 *t, const u64 *b, size_t length, bool lead) {
    constexpr unsigned SIZE = 1 << BITS;
    over_columns(length, [=](size_t i, size_t n) {
        V bits[BITS], carry[SIZE], below[SIZE];
        for (unsigned bit = 0; bit < BITS; ++bit) bits[bit] = load(b + bit * length + i, n);
        carry[0] = all(0);                      // T_{2^v}
        below[SIZE - 1] = all(lead ? ~u64(0) : 0);  // T_0
        for (unsigned j = 1; j < SIZE; ++j) carry[SIZE - j] = below[SIZE - 1 - j] = load(t + (j - 1) * length + i, n);
        const V out = choose<BITS>(carry, bits);
        store(g + i, out, n);
        store(p + i, choose<BITS>(below, bits) ^ out, n);
    });
}

// mask may be null; otherwise it is added to the table.
void block_table(u64 *out, const u64 *a, const u64 *mask, size_t m, size_t length, unsigned radix) {
    using Step = void (*)(u64 *, const u64 *, const u64 *, size_t);
    static const Step steps[] = {table_of_block<1>, table_of_block<2>, table_of_block<3>, table_of_block<4>,
                                 table_of_block<5>, table_of_block<6>, table_of_block<7>, table_of_block<8>};
    for (size_t low = 0; low < m; low += radix) {
        const size_t bits = m - low < radix ? m - low : radix;
        steps[bits - 1](out, a + low * length, mask, length);
        const size_t words = ((size_t(1) << bits) - 1) * length;
        out += words;
        if (mask) mask += words;
    }
}

void block_select(u64 *g, u64 *p, const u64 *t, const u64 *b, size_t m, size_t length, unsigned radix, bool lead) {
    using Step = void (*)(u64 *, u64 *, const u64 *, const u64 *, size_t, bool);
    static const Step steps[] = {select_in_block<1>, select_in_block<2>, select_in_block<3>, select_in_block<4>,
                                 select_in_block<5>, select_in_block<6>, select_in_block<7>, select_in_block<8>};
    for (size_t low = 0; low < m; low += radix) {
        const size_t bits = m - low < radix ? m - low : radix;
        steps[bits - 1](g, p, t, b + low * length, length, lead);
        t += ((size_t(1) << bits) - 1) * length;
        g += length;
        p += length;
    }
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
