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
template <unsigned BITS> inline void table_at(V *t, const u64 *a, size_t step, size_t n) {
    for (unsigned bit = 0; bit < BITS; ++bit) {
        const V h = load(a + bit * step, n);
        const unsigned below = (1u << bit) - 1;
        t[below] = h;
        for (unsigned j = 0; j < below; ++j) {
            t[below + 1 + j] = h & t[j];
            t[j] |= h;
        }
    }
}

// The table of `count` words of planes that lie `step` apart, in rows `out_step` apart.
template <unsigned BITS>
void table_of_words(u64 *out, size_t out_step, const u64 *a, size_t step, size_t count) {
    for (size_t i = 0; i < count; i += LANES) {
        const size_t n = count - i < LANES ? count - i : LANES;
        V t[(1 << BITS) - 1];
        table_at<BITS>(t, a + i, step, n);
        for (unsigned j = 0; j < (1u << BITS) - 1; ++j) store(out + j * out_step + i, t[j], n);
    }
}

template <unsigned BITS> void table_of_block(u64 *out, const u64 *a, const u64 *mask, size_t length) {
    over_columns(length, [=](size_t i, size_t n) {
        V t[(1 << BITS) - 1];
        table_at<BITS>(t, a + i, length, n);
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

// Carry and propagate of one block, by the bits at b; row j of its table is at row(j).
template <unsigned BITS, class Row>
inline void select_at(u64 *g, u64 *p, Row row, const u64 *b, size_t step, size_t n, bool lead) {
    constexpr unsigned SIZE = 1 << BITS;
    V bits[BITS], carry[SIZE], below[SIZE];
    for (unsigned bit = 0; bit < BITS; ++bit) bits[bit] = load(b + bit * step, n);
    carry[0] = all(0);                          // T_{2^v}
    below[SIZE - 1] = all(lead ? ~u64(0) : 0);  // T_0
    for (unsigned j = 1; j < SIZE; ++j) carry[SIZE - j] = below[SIZE - 1 - j] = load(row(j - 1), n);
    const V out = choose<BITS>(carry, bits);
    store(g, out, n);
    store(p, choose<BITS>(below, bits) ^ out, n);
}

template <unsigned BITS>
void select_of_words(u64 *g, u64 *p, const u64 *const *rows, const u64 *b, size_t step, size_t count, bool lead) {
    for (size_t i = 0; i < count; i += LANES)
        select_at<BITS>(g + i, p + i, [=](unsigned j) { return rows[j] + i; }, b + i, step,
                        count - i < LANES ? count - i : LANES, lead);
}

template <unsigned BITS>
void select_in_block(u64 *g, u64 *p, const u64 *t, const u64 *b, size_t length, bool lead) {
    over_columns(length, [=](size_t i, size_t n) {
        select_at<BITS>(g + i, p + i, [=](unsigned j) { return t + j * length + i; }, b + i, length, n, lead);
    });
}

inline auto table_steps(size_t bits) {
    using Step = void (*)(u64 *, size_t, const u64 *, size_t, size_t);
    static const Step steps[] = {table_of_words<1>, table_of_words<2>, table_of_words<3>, table_of_words<4>,
                                 table_of_words<5>, table_of_words<6>, table_of_words<7>, table_of_words<8>};
    return steps[bits - 1];
}

inline auto select_steps(size_t bits) {
    using Step = void (*)(u64 *, u64 *, const u64 *const *, const u64 *, size_t, size_t, bool);
    static const Step steps[] = {select_of_words<1>, select_of_words<2>, select_of_words<3>, select_of_words<4>,
                                 select_of_words<5>, select_of_words<6>, select_of_words<7>, select_of_words<8>};
    return steps[bits - 1];
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
