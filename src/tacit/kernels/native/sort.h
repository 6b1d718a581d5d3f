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

// [A = v] - rho for the digits A whose bits are the planes of bits0 ^ bits1.
template <unsigned BITS>
void hot_first(u64 *__restrict out, const u64 *bits0, const u64 *bits1, const u64 *rho, unsigned k, size_t length) {
    over_columns(length, [=](size_t c, size_t n) {
        V a[BITS];
        for (unsigned b = 0; b < BITS; ++b) a[b] = load(bits0 + b * length + c, n) ^ load(bits1 + b * length + c, n);
        for (unsigned v = 1; v < 1u << BITS; ++v) {
            V hot = all(~u64(0));
            for (unsigned b = 0; b < BITS; ++b) hot &= v >> b & 1 ? a[b] : ~a[b];
            size_t at = size_t(v - 1) * k * length + c;
            V r = load(rho + at, n), borrow = ~hot & r;
            store(out + at, hot ^ r, n);
            for (unsigned i = 1; i < k; ++i) {
                at += length;
                soon(rho + at);
                r = load(rho + at, n);
                store(out + at, r ^ borrow, n);
                borrow |= r;
            }
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
    over_columns(length, [=](size_t c, size_t n) {
        size_t at = c;
        for (size_t number = 0; number < count; ++number) {
            V carry{};
            for (unsigned i = 0; i < k; ++i, at += length) {
                soon(a + at);
                soon(b + at);
                const V x = load(a + at, n), y = load(b + at, n), both = x ^ y;
                store(out + at, both ^ carry, n);
                carry = (x & y) | (both & carry);
            }
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

struct alignas(64) Square {
    u32 w[32][TILE / 32];
};

template <unsigned J> inline void exchange(Square &t, u32 mask) {
    const V m = all(mask | u64(mask) << 32);
    for (unsigned row = 0; row < 32; row = (row + J + 1) & ~J) {
        for (size_t c = 0; c < TILE / 32; c += 2 * LANES) {
            u64 *const a = reinterpret_cast<u64 *>(&t.w[row][c]), *const b = reinterpret_cast<u64 *>(&t.w[row + J][c]);
            const V low = load(a), high = load(b), swap = ((low >> J) ^ high) & m;
            store(a, low ^ (swap << J));
            store(b, high ^ swap);
        }
    }
}

// The numbers of k planes, `words` words of each: that of row r comes to w[r % 32][r / 32].
inline void from_tile(Square &t, const u64 *planes, unsigned k, size_t length, size_t words) {
    if (words < 8) memset(&t, 0, sizeof t);
    for (unsigned i = 0; i < k; ++i) {
        memcpy(t.w[i], planes + i * length, 8 * words);
        soon(planes + i * length);
    }
    memset(t.w[k], 0, (32 - k) * sizeof t.w[0]);
    exchange<16>(t, 0x0000FFFF);
    exchange<8>(t, 0x00FF00FF);
    exchange<4>(t, 0x0F0F0F0F);
    exchange<2>(t, 0x33333333);
    exchange<1>(t, 0x55555555);
}

// How many of the rows from..to of one piece have each digit.
template <unsigned BITS>
void count_rows(u32 *total, const u64 *planes, u32 one, unsigned k, size_t length, size_t from, size_t to) {
    const size_t first = from / 64, last = (to - 1) / 64;
    const u64 head = ~u64(0) << from % 64, tail = ~u64(0) >> (63 - (to - 1) % 64);
    total[0] = one * u32(to - from);
    for (unsigned v = 1; v < 1u << BITS; ++v) {
        u32 sum = 0;
        for (unsigned i = 0; i < k; ++i, planes += length) {
            u64 count = 0;
            for (size_t j = first; j <= last; j += 8) __builtin_prefetch(planes + length + j);
            if (first == last) {
                count = __builtin_popcountll(planes[first] & head & tail);
            } else {
                count = __builtin_popcountll(planes[first] & head) + __builtin_popcountll(planes[last] & tail);
                for (size_t j = first + 1; j < last; ++j) count += __builtin_popcountll(planes[j]);
            }
            sum += u32(count) << i;
        }
        total[v] = sum;
        total[0] -= sum;
    }
}

typedef u32 W __attribute__((vector_size(8 * TACIT_LANES)));
constexpr size_t COLUMN = 2 * LANES, ALONG = TILE / 32;

// One party's two parts of [digit = v] for a tile's rows, and of how many rows of each digit came before; what is made of
// them: counts of digit 0 up to each row, and summands of the product that chooses by the digit.
template <unsigned SIZE> struct Tiles {
    Square d[SIZE], f[SIZE], low, high, s;
    u32 c[SIZE], e[SIZE];

    static W &at(Square &t, size_t i, size_t b) { return *reinterpret_cast<W *>(&t.w[i][b]); }

    // Where the rows of each column start to count, if those of the columns before it come before it.
    static void starts(u32 (*out)[ALONG], Square *numbers, u32 *before) {
        for (unsigned v = 0; v < SIZE; ++v) {
            for (size_t b = 0; b < ALONG; b += COLUMN) {
                W sum{};
                for (size_t i = 0; i < 32; ++i) sum += at(numbers[v], i, b);
                memcpy(&out[v][b], &sum, sizeof sum);
            }
            for (size_t b = 0; b < ALONG; ++b) {
                const u32 here = out[v][b];
                out[v][b] = before[v];
                before[v] += here;
            }
        }
    }

    // All rows, which are of one block: the columns side by side.
    void whole() {
        u32 from[SIZE][ALONG], other[SIZE][ALONG];
        starts(from, d, c);
        starts(other, f, e);
        for (size_t b = 0; b < ALONG; b += COLUMN) {
            W x[SIZE], y[SIZE];
            for (unsigned v = 0; v < SIZE; ++v) memcpy(&x[v], &from[v][b], sizeof(W)), memcpy(&y[v], &other[v][b], sizeof(W));
            for (size_t i = 0; i < 32; ++i) {
                const W l = x[0] += at(d[0], i, b), h = y[0] += at(f[0], i, b);
                W sum{};
                for (unsigned v = 1; v < SIZE; ++v) {
                    const W p = at(d[v], i, b), q = at(f[v], i, b);
                    const W own = (x[v] += p) - l, both = own + ((y[v] += q) - h);
                    sum += p * both + q * own;
                }
                at(low, i, b) = l;
                at(high, i, b) = h;
                at(s, i, b) = sum;
            }
        }
    }

    // Some rows, one after another.
    void rows(size_t r, size_t to) {
        for (; r < to; ++r) {
            const size_t i = r % 32, b = r / 32;
            const u32 l = c[0] += d[0].w[i][b], h = e[0] += f[0].w[i][b];
            u32 sum = 0;
            for (unsigned v = 1; v < SIZE; ++v) {
                const u32 p = d[v].w[i][b], q = f[v].w[i][b], own = (c[v] += p) - l;
                sum += p * (own + ((e[v] += q) - h)) + q * own;
            }
            low.w[i][b] = l;
            high.w[i][b] = h;
            s.w[i][b] = sum;
        }
    }
};

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
    parallel(tasks.size(), 1, [=](size_t t, size_t end) {
        Tiles<SIZE> tile;
        u64 z[TILE], p[TILE], q[TILE];
        for (; t < end; ++t) {
            const Third &x = *task[t].third;
            size_t j = task[t].span, in = 0;  // the span, and how many of its rows are done
            for (size_t from = task[t].from; from < task[t].to; from += TILE) {
                const size_t n = task[t].to - from < TILE ? task[t].to - from : TILE, words = (n + 63) / 64;
                for (size_t i = 0; i < 32; ++i)
                    for (size_t b = 0; b < ALONG; ++b) tile.d[0].w[i][b] = one0, tile.f[0].w[i][b] = one1;
                for (unsigned v = 1; v < SIZE; ++v) {
                    const size_t plane = size_t(v - 1) * k * x.length + from / 64;
                    from_tile(tile.d[v], x.part0 + plane, k, x.length, words);
                    from_tile(tile.f[v], x.part1 + plane, k, x.length, words);
                    for (size_t i = 0; i < 32; ++i)
                        for (size_t b = 0; b < ALONG; ++b)
                            tile.d[0].w[i][b] -= tile.d[v].w[i][b], tile.f[0].w[i][b] -= tile.f[v].w[i][b];
                }
                for (size_t i = 0, next; i < n; i = next) {
                    if (!in)
                        for (unsigned v = 0; v < SIZE; ++v)
                            tile.c[v] = totals[j].of[0][v], tile.e[v] = totals[j].of[1][v];
                    const size_t left = span[j].to - span[j].from - in;
                    next = left < n - i ? i + left : n;
                    if (next - i == n)
                        tile.whole();
                    else
                        tile.rows(i, next);
                    in = next - i == left ? (++j, 0) : in + next - i;
                }
                const size_t at = x.first + from, byte = at / 8 * k;
                unpack_run(p, plus + byte, k, n);
                unpack_run(q, minus + byte, k, n);
                for (size_t b = 0; b * 32 < n; ++b)
                    for (size_t i = 0, r = 32 * b; i < 32 && r < n; ++i, ++r) {
                        z[r] = (tile.s.w[i][b] + p[r] - q[r]) & mask;
                        at0[at + r] = (z[r] + (tile.low.w[i][b] - one0)) & mask;
                        at1[at + r] = (tile.high.w[i][b] - one1) & mask;
                    }
                pack_run(message + byte, z, k, n);
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
