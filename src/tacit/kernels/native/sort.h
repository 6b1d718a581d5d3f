// Places of rows in the order of a digit of shared keys (protocols/rep3/ranks.py); the formulas are in reference_rows.py.
// Shared numbers are bit planes here: row (v - 1) * k + i holds bit i of [the digit is v], one row of k for each v > 0.
#pragma once

#include "blocks.h"
#include "rep3.h"
#include <vector>

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t TILE = 512;         // rows that are transposed at a time: eight words of each plane, a cache line
constexpr size_t CHUNK = 16 * TILE;  // rows of one piece of work

// The next words of a plane: no processor follows as many streams as there are planes by itself.
inline void soon(const u64 *words) { __builtin_prefetch(words + 8); }

// Columns of numbers, one number after another: the planes of all of them are more pages than a processor remembers.
template <class F> void over_numbers(size_t count, size_t length, F body) {
    parallel(length, COLUMNS, [=](size_t from, size_t end) {
        for (size_t number = 0; number < count; ++number)
            for (size_t c = from; c < end; c += LANES) body(number, c, end - c < LANES ? end - c : LANES);
    });
}

// [A = v] - rho for the digits A whose bits are the planes of bits0 ^ bits1.
template <unsigned BITS>
void hot_first(u64 *__restrict out, const u64 *bits0, const u64 *bits1, const u64 *rho, unsigned k, size_t length) {
    over_numbers((1u << BITS) - 1, length, [=](size_t number, size_t c, size_t n) {
        V hot = all(~u64(0));
        for (unsigned b = 0; b < BITS; ++b) {
            const V a = load(bits0 + b * length + c, n) ^ load(bits1 + b * length + c, n);
            hot &= (number + 1) >> b & 1 ? a : ~a;
        }
        size_t at = number * k * length + c;
        V r = load(rho + at, n), borrow = ~hot & r;
        store(out + at, hot ^ r, n);
        for (unsigned i = 1; i < k; ++i) {
            at += length;
            soon(rho + at);
            r = load(rho + at, n);
            store(out + at, r ^ borrow, n);
            borrow |= r;
        }
    });
}

// h[v ^ B] - t for the digits B of `bits`, h one party's summand of [A = v], of which h[0] = lead - the others' sum.
template <unsigned BITS>
void hot_second(u64 *__restrict out, const u64 *held, const u64 *bits, const u64 *t, bool lead, unsigned k,
                size_t length) {
    constexpr unsigned SIZE = 1u << BITS;
    const size_t row = k * length;
    over_columns(length, [=](size_t c, size_t n) {
        V swap[BITS], h[SIZE], carry[SIZE], borrow[SIZE];
        for (unsigned b = 0; b < BITS; ++b) swap[b] = load(bits + b * length + c, n);
        for (unsigned v = 0; v < SIZE; ++v) carry[v] = borrow[v] = V{};
        for (unsigned i = 0; i < k; ++i) {
            const size_t at = i * length + c;
            for (unsigned v = 1; v < SIZE; ++v) {
                soon(held + (v - 1) * row + at);
                soon(t + (v - 1) * row + at);
                h[v] = load(held + (v - 1) * row + at, n);
            }
            V total = h[1];
            for (unsigned v = 2; v < SIZE; ++v) {
                const V x = total ^ h[v], y = total & h[v];
                total = x ^ carry[v];
                carry[v] = y | (x & carry[v]);
            }
            if (lead && !i) {
                h[0] = ~total;  // 1 - total borrows nothing
            } else {
                h[0] = total ^ borrow[0];
                borrow[0] |= total;
            }
            for (unsigned b = 0; b < BITS; ++b)
                for (unsigned v = 0; v < SIZE; ++v)
                    if (!(v >> b & 1)) {
                        const V both = (h[v] ^ h[v | 1u << b]) & swap[b];
                        h[v] ^= both;
                        h[v | 1u << b] ^= both;
                    }
            for (unsigned v = 1; v < SIZE; ++v) {
                const V m = load(t + (v - 1) * row + at, n), x = h[v] ^ m;
                store(out + (v - 1) * row + at, x ^ borrow[v], n);
                borrow[v] = (~h[v] & m) | (~x & borrow[v]);
            }
        }
    });
}

// Sums of numbers of k planes each.
void sum_planes(u64 *__restrict out, const u64 *a, const u64 *b, size_t count, unsigned k, size_t length) {
    over_numbers(count, length, [=](size_t number, size_t c, size_t n) {
        size_t at = number * k * length + c;
        V carry{};
        for (unsigned i = 0; i < k; ++i, at += length) {
            soon(a + at);
            soon(b + at);
            const V x = load(a + at, n), y = load(b + at, n), both = x ^ y;
            store(out + at, both ^ carry, n);
            carry = (x & y) | (both & carry);
        }
    });
}

// --- counting ---------------------------------------------------------------------------------------------

// Rows of one block that one task takes: global numbers. What is counted of them: two parts.
struct Span {
    size_t from, to;
};
template <unsigned SIZE> struct Totals {
    u32 of[2][SIZE];
};
struct Piece {
    const Third *third;
    size_t from, to, span;  // rows of the third; the first of its spans
};

typedef u32 W __attribute__((vector_size(8 * TACIT_LANES)));
constexpr size_t COLUMN = 2 * LANES, ALONG = TILE / 32;

struct alignas(64) Square {
    u32 w[32][ALONG];

    W &at(size_t i, size_t b) { return *reinterpret_cast<W *>(&w[i][b]); }
};

// The high J of each 2 J bits of `low` and the low J of `high` change places; or `high` was zero.
template <unsigned J> inline V lower() { return all(~u64(0) / ((u64(1) << J) + 1)); }

template <unsigned J> inline void exchange(V &low, V &high) {
    const V swap = ((low >> J) ^ high) & lower<J>();
    low ^= swap << J;
    high ^= swap;
}

template <unsigned J> inline void divide(V &low, V &high) {
    high = (low >> J) & lower<J>();
    low &= lower<J>();
}

// Bit j of row i of 16 changes places with bit i of row j, in each 16 bits; rows from COUNT on are zero before.
template <unsigned J, unsigned COUNT> inline void turn(V (&t)[16]) {
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; ++i) {
        if (i & J) continue;
        if (i % (2 * J) + J < COUNT)
            exchange<J>(t[i], t[i + J]);
        else if (i % (2 * J) < COUNT)
            divide<J>(t[i], t[i + J]);
    }
    if constexpr (J > 1) turn<J / 2, COUNT>(t);
}

// The numbers of k planes, `words` words of each: that of row r comes to w[r % 32][r / 32]; and their sums for each r / 32.
// Planes from 16 on are no more than HIGH, a power of two, or none.
template <unsigned HIGH>
void from_tile(Square &t, u32 *sums, const u64 *planes, unsigned k, size_t length, size_t words) {
    for (size_t c = 0; c < TILE / 64; c += LANES) {
        const size_t n = words > c ? words - c : 0;
        const auto take = [=](unsigned i) {
            soon(planes + i * length + c);
            return i < k && n ? load(planes + i * length + c, n) : V{};
        };
        V low[16], high[16] = {};
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; ++i) low[i] = take(i);
        turn<8, 16>(low);
        if constexpr (HIGH > 0) {
#pragma GCC unroll 16
            for (unsigned i = 0; i < HIGH; ++i) high[i] = take(16 + i);
            turn<8, HIGH>(high);
        }
        W sum{};
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; ++i) {
            exchange<16>(low[i], high[i]);
            sum += t.at(i, 2 * c) = W(low[i]);
            sum += t.at(i + 16, 2 * c) = W(high[i]);
        }
        memcpy(sums + 2 * c, &sum, sizeof sum);
    }
}

using FromTile = decltype(&from_tile<0>);

inline FromTile tile_reader(unsigned k) {
    if (k <= 16) return from_tile<0>;
    if (k == 17) return from_tile<1>;
    if (k == 18) return from_tile<2>;
    return k <= 20 ? from_tile<4> : k <= 24 ? from_tile<8> : from_tile<16>;
}

// How many of the rows from..to of one piece have each digit.
template <unsigned BITS>
void count_rows(u32 *total, const u64 *planes, u32 one, unsigned k, size_t length, size_t from, size_t to) {
    const size_t first = from / 64, last = (to - 1) / 64;
    const u64 head = ~u64(0) << from % 64, tail = ~u64(0) >> (63 - (to - 1) % 64);
    total[0] = one * u32(to - from);
    for (unsigned v = 1; v < 1u << BITS; ++v, planes += k * length) {
        V held[32] = {};  // sums of the rows of whole vectors of words, mod 2^k as numbers are
        size_t rest = first + 1;
        for (; rest + LANES <= last; rest += LANES) {
            V carry{};
            for (unsigned i = 0; i < k; ++i) {
                soon(planes + i * length + rest);
                const V x = load(planes + i * length + rest), both = x ^ held[i];
                const V over = (x & held[i]) | (both & carry);
                held[i] = both ^ carry;
                carry = over;
            }
        }
        u32 sum = 0;
        for (unsigned i = 0; i < k; ++i) {
            const u64 *const plane = planes + i * length;
            u64 count = __builtin_popcountll(plane[first] & head & (first == last ? tail : ~u64(0)));
            for (size_t j = rest; j < last; ++j) count += __builtin_popcountll(plane[j]);
            if (first < last) count += __builtin_popcountll(plane[last] & tail);
            if (rest > first + 1)
                for (size_t lane = 0; lane < LANES; ++lane) count += __builtin_popcountll(held[i][lane]);
            sum += u32(count) << i;
        }
        total[v] = sum;
        total[0] -= sum;
    }
}

// One party's two parts of [digit = v] for a tile's rows, and of how many rows of each digit came before (of all digits, if
// v = 0); what is made of them: counts of digit 0 up to each row, and summands of the product that chooses by the digit.
template <unsigned SIZE> struct Tiles {
    Square d[SIZE - 1], f[SIZE - 1], low, high, s;
    u32 sums[2][SIZE - 1][ALONG];  // of the rows of each column
    u32 c[SIZE], e[SIZE], one0, one1;

    void start(const Totals<SIZE> &totals) {
        c[0] = e[0] = 0;
        for (unsigned v = 0; v < SIZE; ++v) {
            c[0] += totals.of[0][v], e[0] += totals.of[1][v];
            if (v) c[v] = totals.of[0][v], e[v] = totals.of[1][v];
        }
    }

    // Where each column starts to count, if the columns before it come before it.
    static void starts(u32 (*numbers)[ALONG], u32 *before) {
        for (unsigned v = 1; v < SIZE; ++v)
            for (size_t b = 0; b < ALONG; ++b) {
                const u32 here = numbers[v - 1][b];
                numbers[v - 1][b] = before[v];
                before[v] += here;
            }
    }

    // All rows, which are of one block: the columns side by side. A row has one digit: the counts add up to that of rows.
    void whole() {
        starts(sums[0], c);
        starts(sums[1], e);
        W down;
        for (size_t b = 0; b < COLUMN; ++b) down[b] = u32(32 * b);
        for (size_t b = 0; b < ALONG; b += COLUMN, down += u32(32 * COLUMN)) {
            W x[SIZE], y[SIZE], all0 = c[0] + one0 * down, all1 = e[0] + one1 * down;
            for (unsigned v = 1; v < SIZE; ++v)
                memcpy(&x[v], &sums[0][v - 1][b], sizeof(W)), memcpy(&y[v], &sums[1][v - 1][b], sizeof(W));
            for (size_t i = 0; i < 32; ++i) {
                W l = all0 += one0, h = all1 += one1, sum{};
                for (unsigned v = 1; v < SIZE; ++v) {
                    l -= x[v] += d[v - 1].at(i, b);
                    h -= y[v] += f[v - 1].at(i, b);
                }
                for (unsigned v = 1; v < SIZE; ++v) {
                    const W p = d[v - 1].at(i, b), q = f[v - 1].at(i, b), own = x[v] - l, both = own + (y[v] - h);
                    sum += p * both + q * own;
                }
                low.at(i, b) = l;
                high.at(i, b) = h;
                s.at(i, b) = sum;
            }
        }
        c[0] += u32(TILE) * one0;
        e[0] += u32(TILE) * one1;
    }

    // Some rows, one after another.
    void rows(size_t r, size_t to) {
        for (; r < to; ++r) {
            const size_t i = r % 32, b = r / 32;
            u32 l = c[0] += one0, h = e[0] += one1, sum = 0;
            for (unsigned v = 1; v < SIZE; ++v) {
                l -= c[v] += d[v - 1].w[i][b];
                h -= e[v] += f[v - 1].w[i][b];
            }
            for (unsigned v = 1; v < SIZE; ++v) {
                const u32 own = c[v] - l;
                sum += d[v - 1].w[i][b] * (own + (e[v] - h)) + f[v - 1].w[i][b] * own;
            }
            low.w[i][b] = l;
            high.w[i][b] = h;
            s.w[i][b] = sum;
        }
    }
};

// Bring w[r % 32][r / 32] to out[r]: pairs of numbers change places in vectors, then they move two at a time.
inline void in_order(u32 *out, Square &t) {
    for (size_t i = 0; i < 32; i += 2)
        for (size_t b = 0; b < ALONG; b += COLUMN) {
            V low = V(t.at(i, b)), high = V(t.at(i + 1, b));
            exchange<32>(low, high);
            for (size_t j = 0; j < LANES; ++j) {
                const u64 first = low[j], second = high[j];
                memcpy(out + 32 * (b + 2 * j) + i, &first, 8);
                memcpy(out + 32 * (b + 2 * j + 1) + i, &second, 8);
            }
        }
}

// The masked summands z, in place of one of the masks, and the parts of ranks.
inline void finish(u64 *__restrict z, u64 *__restrict at0, u64 *__restrict at1, const u64 *minus, const u32 *sum,
                   const u32 *low, const u32 *high, u32 one0, u32 one1, u64 mask, size_t n) {
    for (size_t r = 0; r < n; ++r) {
        z[r] = (z[r] - minus[r] + sum[r]) & mask;
        at0[r] = (z[r] + (low[r] - one0)) & mask;
        at1[r] = (high[r] - one1) & mask;
    }
}

template <unsigned BITS>
void digit_places(u8 *message, u64 *at0, u64 *at1, const Third *thirds, size_t count, u32 one0, u32 one1,
                  const u8 *plus, const u8 *minus, size_t rows, unsigned k) {
    constexpr unsigned SIZE = 1u << BITS;
    std::vector<Piece> tasks;
    std::vector<Span> spans;
    for (const Third *third = thirds; third < thirds + count; ++third)
        for (size_t from = 0; from < third->rows; from += CHUNK) {
            const size_t to = from + CHUNK < third->rows ? from + CHUNK : third->rows;
            tasks.push_back({third, from, to, spans.size()});
            for (size_t at = third->first + from, next; at < third->first + to; at = next) {
                next = (at / rows + 1) * rows;
                if (next > third->first + to) next = third->first + to;
                spans.push_back({at, next});
            }
        }
    std::vector<Totals<SIZE>> held(spans.size());
    const Piece *const task = tasks.data();
    const Span *const span = spans.data();
    Totals<SIZE> *const totals = held.data();
    parallel(tasks.size(), 1, [=](size_t t, size_t end) {
        for (; t < end; ++t) {
            const Third &x = *task[t].third;
            for (size_t j = task[t].span, at = task[t].from; at < task[t].to; ++j) {
                const size_t to = span[j].to - x.first;
                count_rows<BITS>(totals[j].of[0], x.part0, one0, k, x.length, at, to);
                count_rows<BITS>(totals[j].of[1], x.part1, one1, k, x.length, at, to);
                at = to;
            }
        }
    });
    // Of a block's rows, those of smaller digits come before, and those of the same digit in spans before.
    for (size_t j = 0, end; j < spans.size(); j = end) {
        for (end = j + 1; end < spans.size() && span[end].from % rows;) ++end;
        for (unsigned part = 0; part < 2; ++part) {
            u32 before = 0;
            for (unsigned v = 0; v < SIZE; ++v)
                for (size_t m = j; m < end; ++m) {
                    u32 &total = totals[m].of[part][v];
                    const u32 here = total;
                    total = before;
                    before += here;
                }
        }
    }
    const u64 mask = ones<u64>(k);
    const FromTile read = tile_reader(k);
    parallel(tasks.size(), 1, [=](size_t t, size_t end) {
        Tiles<SIZE> tile;
        tile.one0 = one0, tile.one1 = one1;
        u64 p[TILE], q[TILE];
        u32 low[TILE], high[TILE], sum[TILE];
        for (; t < end; ++t) {
            const Third &x = *task[t].third;
            size_t j = task[t].span, in = 0;  // the span, and how many of its rows are done
            for (size_t from = task[t].from; from < task[t].to; from += TILE) {
                const size_t n = task[t].to - from < TILE ? task[t].to - from : TILE, words = (n + 63) / 64;
                for (unsigned v = 1; v < SIZE; ++v) {
                    const size_t plane = size_t(v - 1) * k * x.length + from / 64;
                    read(tile.d[v - 1], tile.sums[0][v - 1], x.part0 + plane, k, x.length, words);
                    read(tile.f[v - 1], tile.sums[1][v - 1], x.part1 + plane, k, x.length, words);
                }
                for (size_t i = 0, next; i < n; i = next) {
                    if (!in) tile.start(totals[j]);
                    const size_t left = span[j].to - span[j].from - in;
                    next = left < n - i ? i + left : n;
                    if (next - i == n)
                        tile.whole();
                    else
                        tile.rows(i, next);
                    in = next - i == left ? (++j, 0) : in + next - i;
                }
                const size_t at = x.first + from, byte = at / 8 * k;
                in_order(low, tile.low);
                in_order(high, tile.high);
                in_order(sum, tile.s);
                unpack_run(p, plus + byte, k, n);
                unpack_run(q, minus + byte, k, n);
                finish(p, at0 + at, at1 + at, q, sum, low, high, one0, one1, mask, n);
                pack_run(message + byte, p, k, n);
            }
        }
    });
}

void hot_first(u64 *out, const u64 *bits0, const u64 *bits1, const u64 *rho, unsigned bits, unsigned k, size_t length) {
    using Step = decltype(&hot_first<1>);
    static const Step steps[] = {hot_first<1>, hot_first<2>, hot_first<3>, hot_first<4>};
    steps[bits - 1](out, bits0, bits1, rho, k, length);
}

void hot_second(u64 *out, const u64 *held, const u64 *digit, const u64 *t, bool lead, unsigned bits, unsigned k,
                size_t length) {
    using Step = decltype(&hot_second<1>);
    static const Step steps[] = {hot_second<1>, hot_second<2>, hot_second<3>, hot_second<4>};
    steps[bits - 1](out, held, digit, t, lead, k, length);
}

void digit_ranks(u8 *message, u64 *at0, u64 *at1, const Third *thirds, size_t count, u32 one0, u32 one1, const u8 *plus,
                 const u8 *minus, unsigned bits, size_t rows, unsigned k) {
    using Step = decltype(&digit_places<1>);
    static const Step steps[] = {digit_places<1>, digit_places<2>, digit_places<3>, digit_places<4>};
    if (rows) steps[bits - 1](message, at0, at1, thirds, count, one0, one1, plus, minus, rows, k);
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
