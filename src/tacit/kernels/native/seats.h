// Levels of a tournament (gadgets/tournament.py, places.py): differences of groups' rows, and bits that say who won.
#pragma once

#include "rep3.h"

namespace tacit::TACIT_TARGET {
namespace {

// Elements `at`… of one seat of every group: where they lie in memory if they follow one another there, else in `room`.
inline const u64 *of_seat(u64 *room, const u64 *x, const Seats &s, size_t seat, size_t at, size_t count) {
    const size_t begin = s.first + seat * s.apart, last = s.rows - 1;
    if (s.step == 1 && s.down == s.columns && begin + (at + count - 1) / s.columns <= last)
        return x + begin * s.columns + at;
    size_t row = begin + at / s.columns * s.step, c = at % s.columns;
    if (s.columns == 1) {
        const size_t there = row > last ? 0 : (last - row) / s.step + 1, held = there < count ? there : count;
        const u64 *const from = x + row;
        if (s.step == 2)
            for (size_t i = 0; i < held; ++i) room[i] = from[2 * i];
        else
            for (size_t i = 0; i < held; ++i) room[i] = from[i * s.step];
        for (size_t i = held; i < count; ++i) room[i] = x[last];
        return room;
    }
    for (size_t i = 0; i < count; ++i) {
        room[i] = x[(row < last ? row : last) * s.down + c * s.across];
        if (++c == s.columns) c = 0, row += s.step;
    }
    return room;
}

inline void less(u64 *__restrict out, const u64 *a, const u64 *b, u64 mask, size_t count) {
    for (size_t i = 0; i < count; ++i) out[i] = (a[i] - b[i]) & mask;
}

// Pairs of seats: those with the last one, then the others in order; each the first less the second.
void seat_gaps(u64 *out, const u64 *x, const Seats &s, unsigned bits) {
    const size_t n = s.groups * s.columns, k = s.k;
    const u64 mask = ones<u64>(bits);
    over_runs(n, [=](size_t at, size_t count) {
        const std::unique_ptr<u64[]> room(new u64[k * RUN]);
        const u64 *held[MOST_SEATS];
        for (size_t i = 0; i < k; ++i) held[i] = of_seat(room.get() + i * RUN, x, s, i, at, count);
        u64 *to = out + at;
        for (size_t i = 0; i + 1 < k; ++i, to += n) less(to, held[i], held[k - 1], mask, count);
        for (size_t i = 0; i + 1 < k; ++i)
            for (size_t j = i + 1; j + 1 < k; ++j, to += n) less(to, held[i], held[j], mask, count);
    });
}

// The last seat plus the steps of all others.
void seat_sums(u64 *out, const u64 *steps, const u64 *x, const Seats &s, unsigned bits) {
    const size_t n = s.groups * s.columns, k = s.k;
    const u64 mask = ones<u64>(bits);
    over_runs(n, [=](size_t at, size_t count) {
        u64 room[RUN], sum[RUN];
        const u64 *const last = of_seat(room, x, s, k - 1, at, count);
        for (size_t i = 0; i < count; ++i) sum[i] = last[i] + steps[at + i];
        for (size_t j = 1; j + 1 < k; ++j)
            for (size_t i = 0; i < count; ++i) sum[i] += steps[j * n + at + i];
        for (size_t i = 0; i < count; ++i) out[at + i] = sum[i] & mask;
    });
}

// -- strings of bits -------------------------------------------------------------------------------------------

// Up to 64 bits from any place on; those above are zero.
inline u64 bits_from(const u64 *from, size_t at, size_t n) {
    const unsigned low = at % 64;
    u64 w = from[at / 64] >> low;
    if (low + n > 64) w |= from[at / 64 + 1] << (64 - low);
    return w & ones<u64>(unsigned(n));
}

// Bits put one after another, from any place on of words that are zero from there.
class Put {
  public:
    Put(u64 *to, size_t at) : to_(to + at / 64), used_(at % 64), word_(used_ ? *to_ : 0) {}
    ~Put() {
        if (used_) *to_ = word_;
    }
    void operator()(u64 bits, size_t n) {  // 1 to 64 bits, those above zero
        word_ |= bits << used_;
        used_ += unsigned(n);
        if (used_ < 64) return;
        *to_++ = word_;
        used_ -= 64;
        word_ = used_ ? bits >> (n - used_) : 0;
    }

  private:
    u64 *to_;
    unsigned used_;
    u64 word_;
};

inline void put_run(Put &put, const u64 *from, size_t at, size_t n, u64 flip) {
    for (size_t i = 0; i < n; i += 64) {
        const size_t count = n - i < 64 ? n - i : 64;
        put(bits_from(from, at + i, count) ^ (flip & ones<u64>(unsigned(count))), count);
    }
}

// Row `other` (k−1 of them) has, seat after seat, the n bits of that seat's pair with another; turned where it is first.
void seat_wins(u64 *out, const u64 *met, size_t k, size_t n, bool one, size_t length) {
    for (size_t other = 0; other + 1 < k; ++other) {
        Put put(out + other * length, 0);
        for (size_t seat = 0; seat + 1 < k; ++seat) {
            const size_t with = other + (other >= seat), i = seat < with ? seat : with, j = seat < with ? with : seat;
            // Pairs (i, j) with j < k−1 follow those with the last seat.
            const size_t pair = j == k - 1 ? i : (k - 1) + i * (2 * k - 3 - i) / 2 + (j - i - 1);
            put_run(put, met, pair * n, n, one && with > seat ? ~u64(0) : 0);
        }
    }
}

// 32 bits, each in the lower half of two.
inline u64 spread(u64 a) {
    a = (a | a << 16) & 0x0000FFFF0000FFFFull;
    a = (a | a << 8) & 0x00FF00FF00FF00FFull;
    a = (a | a << 4) & 0x0F0F0F0F0F0F0F0Full;
    a = (a | a << 2) & 0x3333333333333333ull;
    return (a | a << 1) & 0x5555555555555555ull;
}

// Bits of rows, group after group, put from `at` on, then of those who are alone: these are `one`. `hot` has the bits of
// all seats but the last, which has the XOR of those and `one`. Of the last group there may be fewer rows.
void won_rows(u64 *out, size_t at, const u64 *hot, bool one, size_t rows, size_t alone, size_t k, size_t columns) {
    const size_t groups = (rows + k - 1) / k, n = groups * columns;
    const u64 flip = one ? ~u64(0) : 0;
    u64 seats[MOST_SEATS];
    Put put(out, at);
    if (columns == 1) {
        for (size_t g = 0; g < groups; g += 32) {
            const size_t count = groups - g < 32 ? groups - g : 32, left = rows - g * k;
            seats[k - 1] = flip & ones<u64>(unsigned(count));
            for (size_t s = 0; s + 1 < k; ++s) seats[k - 1] ^= seats[s] = bits_from(hot, s * n + g, count);
            if (k == 2) {
                const size_t here = left < 64 ? left : 64;
                put((spread(seats[0]) | spread(seats[1]) << 1) & ones<u64>(unsigned(here)), here);
                continue;
            }
            for (size_t i = 0; i < count; ++i) {
                const size_t here = left - i * k < k ? left - i * k : k;
                u64 word = 0;
                for (size_t s = 0; s < here; ++s) word |= (seats[s] >> i & 1) << s;
                put(word, here);
            }
        }
    } else {
        for (size_t row = 0; row < rows; ++row) {
            const size_t from = row / k * columns, seat = row % k;
            for (size_t c = 0; c < columns; c += 64) {
                const size_t count = columns - c < 64 ? columns - c : 64;
                u64 bits = flip & ones<u64>(unsigned(count));
                if (seat + 1 < k)
                    bits = bits_from(hot, seat * n + from + c, count);
                else
                    for (size_t s = 0; s + 1 < k; ++s) bits ^= bits_from(hot, s * n + from + c, count);
                put(bits, count);
            }
        }
    }
    for (size_t c = 0; c < alone * columns; c += 64) {
        const size_t count = alone * columns - c < 64 ? alone * columns - c : 64;
        put(flip & ones<u64>(unsigned(count)), count);
    }
}

// For each of so many rows the bits of the row above it, which stands for k of them; put from `at` on.
void rows_below(u64 *out, size_t at, const u64 *above, size_t start, size_t rows, size_t k, size_t columns) {
    Put put(out, at);
    if (k == 1) return put_run(put, above, start, rows * columns, 0);
    if (columns > 1) {
        for (size_t row = 0; row < rows; ++row) put_run(put, above, start + row / k * columns, columns, 0);
        return;
    }
    for (size_t row = 0; row < rows; row += 32 * k) {
        const size_t left = rows - row, count = left < 32 * k ? (left + k - 1) / k : 32;
        const u64 bits = bits_from(above, start + row / k, count);
        if (k == 2) {
            const u64 both = spread(bits), n = left < 64 ? left : 64;
            put((both | both << 1) & ones<u64>(unsigned(n)), n);
            continue;
        }
        for (size_t i = 0; i < count; ++i) {
            const size_t here = left - i * k < k ? left - i * k : k;
            put((u64(0) - (bits >> i & 1)) & ones<u64>(unsigned(here)), here);
        }
    }
}

// The first n bits gain the n that follow them.
inline void fold(u64 *bits, size_t n) {
    for (size_t i = 0; i < n; i += 64) bits[i / 64] ^= bits_from(bits, n + i, n - i < 64 ? n - i : 64);
}

// The XOR of the numbers of marked rows, column by column, the highest bit first. `held` and `room` have 2^count rows
// each; the marks in `held` are used up.
void row_numbers(u64 *out, u64 *held, u64 *room, size_t count, size_t columns, size_t length) {
    for (size_t b = count; b-- > 0; out += length) {
        const size_t half = (size_t(1) << b) * columns;
        for (size_t i = 0; i < half; i += 64) room[i / 64] = bits_from(held, half + i, half - i < 64 ? half - i : 64);
        fold(held, half);
        for (size_t e = b; e-- > 0;) fold(room, (size_t(1) << e) * columns);
        for (size_t i = 0; i < columns; i += 64) out[i / 64] = bits_from(room, i, columns - i < 64 ? columns - i : 64);
    }
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
