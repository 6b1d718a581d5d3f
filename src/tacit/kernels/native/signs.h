// First steps of comparisons (protocols/rep3/bits.py) in one pass: words become planes, tables and what is selected from
// them a piece at a time, which stays in the cache, and masks are made there.
#pragma once

#include "blocks.h"
#include "rep3.h"

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t AT_ONCE = 128;  // words of every plane, at most

inline void xor_row(u64 *to, const u64 *from, size_t count) {
    for (size_t i = 0; i < count; i += LANES) {
        const size_t n = count - i < LANES ? count - i : LANES;
        store(to + i, load(to + i, n) ^ load(from + i, n), n);
    }
}

// Planes of n words (+ plus, which may be null), `step` words apart.
template <class T>
inline void planes_of_piece(u64 *out, size_t step, const T *words, const T *plus, size_t bits, size_t n) {
    for (size_t at = 0; at < n; at += GROUP) {
        const size_t count = n - at < GROUP ? n - at : GROUP;
        for (size_t half = 0; 64 * half < bits; ++half)
            planes_of_group(out + 64 * half * step + at / 64, step, words + at, plus ? plus + at : nullptr, half,
                            bits - 64 * half < 64 ? bits - 64 * half : 64, count);
    }
}

// Pieces of `length` words: room for `rows` rows, the words from one to the next, and which words they are.
template <class F> void over_pieces(size_t length, size_t rows, F body) {
    const size_t step = apart(length < AT_ONCE ? length : AT_ONCE) + StreamPart::SLACK / 8;
    parallel((length + AT_ONCE - 1) / AT_ONCE, 2, [=](size_t piece, size_t end) {
        const std::unique_ptr<u64[]> room(new u64[rows * step]);
        for (; piece < end; ++piece) {
            const size_t low = piece * AT_ONCE;
            body(room.get(), step, low, length - low < AT_ONCE ? length - low : AT_ONCE);
        }
    });
}

// What P0 sends: plane `bits` of x + y if `top`, then tables of those below, masked. `kept` gets the first row's mask.
template <class T>
void table_first(u64 *out, u64 *kept, const T *x, const T *y, Octets mask, size_t bits, bool top, unsigned radix,
                 size_t n) {
    const size_t length = (n + 63) / 64, planes = bits + top;
    over_pieces(length, planes + 1, [=](u64 *a, size_t step, size_t low, size_t count) {
        u64 *const room = a + planes * step, *const to = out + low;
        const size_t first = 64 * low;
        planes_of_piece(a, step, x + first, y + first, planes, n - first < 64 * AT_ONCE ? n - first : 64 * AT_ONCE);
        size_t rows = 0;
        if (top) memcpy(to, a + bits * step, 8 * count), rows = 1;
        for (size_t at = 0; at < bits; at += radix) {
            const size_t wide = bits - at < radix ? bits - at : radix;
            table_steps(wide)(to + rows * length, length, a + at * step, step, count);
            rows += (size_t(1) << wide) - 1;
        }
        for (size_t r = 0; r < rows; ++r) {
            const u64 *const masks = words_of(mask, room, r * length + low, count);
            xor_row(to + r * length, masks, count);
            if (top && !r) memcpy(kept + low, masks, 8 * count);
        }
    });
}

// P1's or P2's part of what blocks of b and of the other operand, by its table, propagate and generate: rows `skip` and
// following of all propagates, then all generates, masked; the masks are kept. With `top` the first row of the table
// is kept, and plane `bits` of b.
template <class T>
void table_second(u64 *out, const Kept &kept, const T *b, Octets table, Octets mask, size_t bits, bool top,
                  unsigned radix, bool lead, size_t skip, size_t count, size_t n) {
    const size_t length = (n + 63) / 64, planes = bits + top, blocks = (bits + radix - 1) / radix;
    const size_t most = (size_t(1) << (bits < radix ? bits : radix)) - 1;
    over_pieces(length, planes + 3 + most, [=](u64 *own, size_t step, size_t low, size_t wide) {
        u64 *const unused = own + planes * step, *const room = unused + 2 * step, *const made = room + step;
        const size_t first = 64 * low;
        planes_of_piece<T>(own, step, b + first, nullptr, planes, n - first < 64 * AT_ONCE ? n - first : 64 * AT_ONCE);
        if (top) {
            memcpy(kept.top_own + low, own + bits * step, 8 * wide);
            memcpy(kept.top_table + low, words_of(table, room, low, wide), 8 * wide);
        }
        const auto row = [=](size_t r, size_t i) {
            return r >= skip && r < skip + count ? out + (r - skip) * length + low : unused + i * step;
        };
        const u64 *rows[255];
        for (size_t at = 0, block = 0, from = top; at < bits; at += radix, ++block) {
            const size_t v = bits - at < radix ? bits - at : radix, some = (size_t(1) << v) - 1;
            for (size_t r = 0; r < some; ++r)
                rows[r] = words_of(table, made + r * step, (from + r) * length + low, wide);
            select_steps(v)(row(blocks + block, 0), row(block, 1), rows, own + at * step, step, wide, lead);
            from += some;
        }
        for (size_t r = 0; r < count; ++r) {
            const u64 *const masks = words_of(mask, room, r * length + low, wide);
            memcpy(kept.masks + r * kept.step + low, masks, 8 * wide);
            xor_row(out + r * length + low, masks, wide);
        }
    });
}

// Rows of words, `step` apart.
void place_rows(u64 *out, size_t step, Octets from, size_t rows, size_t length) {
    constexpr size_t SOME = 1 << 9;
    const size_t pieces = (length + SOME - 1) / SOME;
    parallel(rows * pieces, 16, [=](size_t piece, size_t end) {
        u64 room[SOME + StreamPart::SLACK / 8];
        for (; piece < end; ++piece) {
            const size_t r = piece / pieces, low = piece % pieces * SOME, n = length - low < SOME ? length - low : SOME;
            memcpy(out + r * step + low, words_of(from, room, r * length + low, n), 8 * n);
        }
    });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
