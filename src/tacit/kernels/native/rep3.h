// Steps of replicated sharing (protocols/rep3), each one pass over the elements; the formulas are in reference_rep3.py.
#pragma once

#include "planes.h"
#include "table.h"
#include "vector.h"

#include <memory>

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t RUN = 256;        // elements at a time: whole groups of packed words, and their arrays stay in L1
constexpr size_t MANY_RUNS = 64;   // to repay waking a thread

inline u128 operator&(u128 a, u128 b) { return {a.lo & b.lo, a.hi & b.hi}; }
inline u128 operator^(u128 a, u128 b) { return {a.lo ^ b.lo, a.hi ^ b.hi}; }

template <class T> inline T ones(unsigned k);
template <> inline u64 ones<u64>(unsigned k) { return k >= 64 ? ~u64(0) : (u64(1) << k) - 1; }
template <> inline u128 ones<u128>(unsigned k) { return put(k >= 128 ? ~Int(0) : (Int(1) << k) - 1); }

template <class T> inline T lift(u64 x);
template <> inline u64 lift<u64>(u64 x) { return x; }
template <> inline u128 lift<u128>(u64 x) { return {x, 0}; }

inline u64 bit_of(u64 a, unsigned at) { return a >> at & 1; }
inline u64 bit_of(u128 a, unsigned at) { return u64(num(a) >> at) & 1; }
// All ones for a one: bits are secret, and of a `?:` compilers make branches.
template <class T> inline T every(u64 bit) { return T{} - lift<T>(bit); }
// own - x for a one, else x.
template <class T> inline T turned_by(u64 bit, T own, T x) {
    const T chosen = every<T>(bit);
    return (own & chosen) + (x ^ chosen) - chosen;
}

template <class F> void over_runs(size_t n, F body) {
    parallel((n + RUN - 1) / RUN, MANY_RUNS, [=](size_t run, size_t end) {
        for (; run < end; ++run) body(run * RUN, n - run * RUN < RUN ? n - run * RUN : RUN);
    });
}

// As `unpack_run`, of packed words from byte `at` on.
template <class T> inline void unpack_some(T *out, const Octets &from, size_t at, size_t bits, size_t n) {
    if (from.p) return unpack_run(out, from.p + at, bits, n);
    alignas(64) u8 room[RUN * sizeof(T) + StreamPart::SLACK];
    unpack_run(out, from.made->read(room, at, (n * bits + 7) / 8), bits, n);
}

// Some of the words that are taken away.
template <class T> inline const T *drawn_run(const Drawn<T> &from, unsigned bits, size_t at, size_t count) {
    T *const to = from.words + at;
    if (!from.made) return to;
    alignas(64) u8 room[RUN * sizeof(T) + StreamPart::SLACK];
    memcpy(to, from.made->read(room, at * sizeof(T), count * sizeof(T)), count * sizeof(T));
    const T mask = ones<T>(bits);
    for (size_t i = 0; i < count; ++i) to[i] = to[i] & mask;
    return to;
}

// `count` words s from `at` on gain their masks; then they are written to `words`, or cut.
template <class T>
inline void finish_run(T *s, T *words, const Masks &masks, const Cut<T> &cut, unsigned k, size_t at, size_t count) {
    const T mask = ones<T>(k);
    T r[RUN];
    if (masks.plus) {
        unpack_some(r, masks.plus, at / 8 * k, k, count);
        for (size_t i = 0; i < count; ++i) s[i] = s[i] + r[i];
    }
    if (masks.minus) {
        unpack_some(r, masks.minus, at / 8 * k, k, count);
        for (size_t i = 0; i < count; ++i) s[i] = s[i] - r[i];
    }
    if (masks.moved) {
        unpack_some(r, masks.moved, at / 8 * masks.bits, masks.bits, count);
        if (masks.less)
            for (size_t i = 0; i < count; ++i) s[i] = s[i] - r[i];
        else
            for (size_t i = 0; i < count; ++i) s[i] = s[i] + r[i];
    }
    if (!cut.out) {
        for (size_t i = 0; i < count; ++i) words[at + i] = s[i] & mask;
        return;
    }
    for (size_t i = 0; i < count; ++i) s[i] = (((s[i] + cut.add) & mask) >> cut.shift) + cut.constant;
    if (cut.t.words) {
        const T *const t = drawn_run(cut.t, cut.bits, at, count);
        for (size_t i = 0; i < count; ++i) s[i] = s[i] - t[i];
    }
    pack_run(cut.out + at / 8 * cut.bits, s, cut.bits, count);
}

template <class T> void add_masks(T *into, const Masks &masks, const Cut<T> &cut, unsigned k, size_t n) {
    over_runs(n, [=](size_t at, size_t count) {
        T s[RUN];
        memcpy(s, into + at, count * sizeof(T));
        finish_run(s, into, masks, cut, k, at, count);
    });
}

template <class T>
void rep3_products(T *__restrict out, const T *x0, const T *x1, const T *y0, const T *y1, const Masks &masks,
                   const Cut<T> &cut, size_t rows, unsigned k, size_t n) {
    over_runs(n, [=](size_t at, size_t count) {
        T s[RUN];
        for (size_t i = 0; i < count; ++i) s[i] = x0[at + i] * (y0[at + i] + y1[at + i]) + x1[at + i] * y0[at + i];
        for (size_t r = 1; r < rows; ++r) {
            const size_t row = r * n + at;
            for (size_t i = 0; i < count; ++i)
                s[i] = s[i] + (x0[row + i] * (y0[row + i] + y1[row + i]) + x1[row + i] * y0[row + i]);
        }
        finish_run(s, out, masks, cut, k, at, count);
    });
}

template <class T>
void trunc_first(T *__restrict c1, u8 *__restrict message, T *__restrict out0, T *__restrict out1, const T *x,
                 const T *y, const T *c0, const u8 *s0, const u8 *t02, const u8 *t01, unsigned round_up, unsigned f,
                 unsigned k, size_t n) {
    const T mask = ones<T>(k), offset = (lift<T>(1) << (k - 2)) - lift<T>(round_up);
    over_runs(n, [=](size_t at, size_t count) {
        T s[RUN], t2[RUN], t1[RUN];
        const size_t byte = at / 8 * f;
        unpack_run(s, s0 + byte, f, count);
        unpack_run(t2, t02 + byte, f, count);
        unpack_run(t1, t01 + byte, f, count);
        for (size_t i = 0; i < count; ++i) {
            const T a = (x[at + i] + y[at + i] + offset) & mask;
            const T c = c0[at + i], d = ((a >> f) - c) & mask;
            s[i] = lift<T>(1) - (a >> (k - 1)) - s[i];
            c1[at + i] = d;
            out0[at + i] = (c + (t2[i] << (k - f))) & mask;
            out1[at + i] = (d + (t1[i] << (k - f))) & mask;
        }
        pack_run(message + byte, s, f, count);
    });
}

template <class T>
void trunc_second(u8 *__restrict message, const u8 *s, const T *b, const u8 *t, unsigned f, unsigned k, size_t n) {
    over_runs(n, [=](size_t at, size_t count) {
        T u[RUN], v[RUN];
        const size_t byte = at / 8 * f;
        unpack_run(u, s + byte, f, count);
        unpack_run(v, t + byte, f, count);
        for (size_t i = 0; i < count; ++i) u[i] = (u[i] & every<T>(1 ^ bit_of(b[at + i], k - 1))) - v[i];
        pack_run(message + byte, u, f, count);
    });
}

template <class T>
void trunc_third(T *__restrict edge, T *__restrict last, const T *c, const u8 *t, const T *b, const u8 *mine,
                 const u8 *theirs, unsigned round_up, unsigned f, unsigned k, size_t n) {
    const T mask = ones<T>(k);
    const T offset = lift<T>(round_up) - (lift<T>(1) << (k - 2 - f)) - (lift<T>(1) << (k - f));
    over_runs(n, [=](size_t at, size_t count) {
        T u[RUN], m[RUN], o[RUN];
        const size_t byte = at / 8 * f;
        unpack_run(u, t + byte, f, count);
        unpack_run(m, mine + byte, f, count);
        unpack_run(o, theirs + byte, f, count);
        for (size_t i = 0; i < count; ++i) {
            edge[at + i] = (c[at + i] + (u[i] << (k - f))) & mask;
            last[at + i] = ((b[at + i] >> f) + offset + ((m[i] + o[i]) << (k - f))) & mask;
        }
    });
}

// Groups of 64 elements with the word of their bits.
template <class F> void over_bits(size_t n, F body) {
    parallel((n + 63) / 64, 4 * MANY_RUNS, [=](size_t group, size_t end) {
        for (; group < end; ++group) body(group, 64 * group, n - 64 * group < 64 ? n - 64 * group : 64);
    });
}

// Both rows of the message, packed; masks are packed.
template <class T>
void select_first(u8 *__restrict out, const u64 *bits0, const u64 *bits1, const T *x, const T *y, Octets rho0,
                  Octets rho1, unsigned k, size_t n) {
    const size_t row = (n * k + 7) / 8;
    over_runs(n, [=](size_t at, size_t count) {
        T a[RUN], b[RUN];
        const size_t byte = at / 8 * k;
        unpack_some(a, rho0, byte, k, count);
        unpack_some(b, rho1, byte, k, count);
        for (size_t low = 0; low < count; low += 64) {
            const u64 word = bits0[(at + low) / 64] ^ bits1[(at + low) / 64];
            const size_t many = count - low < 64 ? count - low : 64;
            for (size_t i = 0; i < many; ++i) {
                const u64 bit = word >> i & 1;
                const T sum = x[at + low + i] + y[at + low + i];
                a[low + i] = (sum & every<T>(bit)) - a[low + i];
                b[low + i] = lift<T>(bit) - b[low + i];
            }
        }
        pack_run(out + byte, a, k, count);
        pack_run(out + row + byte, b, k, count);
    });
}

template <class T>
void select_second(u8 *__restrict out, Octets m0, Octets m1, const u64 *bits, const T *x, const T *b,
                   const Drawn<T> &t, bool lead, unsigned k, size_t n) {
    const T given = lead ? ones<T>(8 * sizeof(T)) : T{};
    over_runs(n, [=](size_t at, size_t count) {
        T w[RUN], m[RUN];
        const size_t byte = at / 8 * k;
        unpack_some(w, m0, byte, k, count);
        unpack_some(m, m1, byte, k, count);
        const T *const drawn = drawn_run(t, k, at, count);
        for (size_t low = 0; low < count; low += 64) {
            const u64 word = bits[(at + low) / 64];
            const size_t many = count - low < 64 ? count - low : 64;
            // Two loops, so that each is a loop of vectors.
            for (size_t i = 0; i < many; ++i) w[low + i] = w[low + i] + m[low + i] * b[at + low + i];
            for (size_t i = 0; i < many; ++i) {
                const T both = w[low + i], own = x[at + low + i] + (b[at + low + i] & given);
                w[low + i] = turned_by(word >> i & 1, own, both) - drawn[low + i];
            }
        }
        pack_run(out + byte, w, k, count);
    });
}

template <class T>
void select_trunc_first(T *__restrict out, u8 *__restrict wraps, u8 *__restrict chosen, const u64 *bits0,
                        const u64 *bits1, const T *x, const T *y, const T *rho, const u8 *s0, const u8 *s1, unsigned f,
                        unsigned k, size_t n) {
    const T mask = ones<T>(k), one = lift<T>(1), offset = (one << (k - 2)) - one;
    const T after = one - (one << (k - 2 - f)) - (one << (k - f));
    over_bits(n, [=](size_t group, size_t at, size_t count) {
        const u64 word = bits0[group] ^ bits1[group];
        const size_t byte = at / 8 * f;
        T s[64], r[64];
        unpack_run(s, s0 + byte, f, count);
        unpack_run(r, s1 + byte, f, count);
        for (size_t i = 0; i < count; ++i) {
            const u64 bit = word >> i & 1;
            const T a = (x[at + i] + y[at + i] + offset) & mask, upper = (a >> f) + after, u = one - (a >> (k - 1));
            out[at + i] = ((upper & every<T>(bit)) - rho[at + i]) & mask;
            out[n + at + i] = (lift<T>(bit) - rho[n + at + i]) & mask;
            out[2 * n + at + i] = (upper - rho[2 * n + at + i]) & mask;
            s[i] = u - s[i];
            r[i] = (u & every<T>(bit)) - r[i];
        }
        pack_run(wraps + byte, s, f, count);
        pack_run(chosen + byte, r, f, count);
    });
}

template <class T>
void select_trunc_second(T *__restrict out, const T *m0, const T *m1, const T *x, const u8 *s, const u8 *r,
                         const u64 *bits, const T *b, const T *t, bool lead, unsigned f, unsigned k, size_t n) {
    const T mask = ones<T>(k);
    over_bits(n, [=](size_t group, size_t at, size_t count) {
        const u64 word = bits[group];
        const size_t byte = at / 8 * f;
        T u[64], v[64];
        unpack_run(u, s + byte, f, count);
        unpack_run(v, r + byte, f, count);
        for (size_t i = 0; i < count; ++i) {
            const u64 bit = word >> i & 1;
            const T below = every<T>(1 ^ bit_of(b[at + i], k - 1)), low = b[at + i] >> f;
            const T w = m0[at + i] + m1[at + i] * low + ((v[i] << (k - f)) & below);
            const T own = (lead ? x[at + i] + low : x[at + i]) + ((u[i] << (k - f)) & below);
            out[at + i] = (turned_by(bit, own, w) - t[at + i]) & mask;
        }
    });
}

template <class T>
void bits_first(T *__restrict out, const u64 *bits0, const u64 *bits1, const T *rho, size_t rows, unsigned k,
                size_t n) {
    const T mask = ones<T>(k);
    const size_t length = (n + 63) / 64;
    for (size_t r = 0; r < rows; ++r, out += n, rho += n, bits0 += length, bits1 += length)
        over_bits(n, [=](size_t group, size_t at, size_t count) {
            const u64 word = bits0[group] ^ bits1[group];
            for (size_t i = 0; i < count; ++i) out[at + i] = (lift<T>(word >> i & 1) - rho[at + i]) & mask;
        });
}

template <class T>
void bits_second(T *__restrict out, const T *m, const u64 *bits, const T *t, bool lead, size_t rows, unsigned k,
                 size_t n) {
    const T mask = ones<T>(k);
    const size_t length = (n + 63) / 64;
    for (size_t r = 0; r < rows; ++r, out += n, m += n, t += n, bits += length)
        over_bits(n, [=](size_t group, size_t at, size_t count) {
            const u64 word = bits[group];
            const T own = lift<T>(lead);
            for (size_t i = 0; i < count; ++i)
                out[at + i] = (turned_by(word >> i & 1, own, m[at + i]) - t[at + i]) & mask;
        });
}

// --- trees of AND on bit planes: which rows meet is the caller's --------------------------------------------

// Words from the given one on, where they lie or, made, in `room`.
inline const u64 *words_of(const Octets &from, u64 *room, size_t at, size_t count) {
    if (!from.made) return reinterpret_cast<const u64 *>(from.p) + at;
    return reinterpret_cast<const u64 *>(from.made->read(reinterpret_cast<u8 *>(room), 8 * at, 8 * count));
}

// Masks' rows begin with `first`.
void and_rows(u64 *__restrict out, const u64 *s0, const u64 *s1, const std::int64_t *a, const std::int64_t *b,
              Octets plus, Octets minus, size_t first, size_t rows, size_t length) {
    constexpr size_t SOME = COLUMNS / 2;  // the rows and masks of a piece stay in the first-level cache
    parallel(rows * ((length + SOME - 1) / SOME), 16, [=](size_t piece, size_t end) {
        const size_t pieces = (length + SOME - 1) / SOME;
        u64 room[SOME + StreamPart::SLACK / 8];
        for (; piece < end; ++piece) {
            const size_t r = piece / pieces, low = piece % pieces * SOME, n = length - low < SOME ? length - low : SOME;
            const u64 *x0 = s0 + a[r] * length + low, *x1 = s1 + a[r] * length + low, *y0 = s0 + b[r] * length + low,
                      *y1 = s1 + b[r] * length + low;
            u64 *__restrict to = out + r * length + low;
            const size_t at = (first + r) * length + low;
            const u64 *m = words_of(plus, room, at, n);
            for (size_t i = 0; i < n; ++i) to[i] = (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ m[i];
            m = words_of(minus, room, at, n);
            for (size_t i = 0; i < n; ++i) to[i] ^= m[i];
        }
    });
}

constexpr size_t NARROW = 32;  // words of every row that one piece of work covers: hundreds of rows stay in the cache

// Words of a piece in whole vectors: rows that are kept for it lie so far apart.
inline size_t apart(size_t words) { return (words + LANES - 1) / LANES * LANES; }

// out[r] = the product of two rows each; numbers from −2 down are products before. `row(r, i)` loads another row's
// words from the i-th on.
template <class Row>
void products_of_rows(u64 *out, const std::int64_t *x, const std::int64_t *y, size_t count, size_t step, Row row) {
    const auto at = [=](std::int64_t r, size_t i) { return r >= 0 ? row(r, i) : load(out + (-2 - r) * step + i); };
    for (size_t r = 0; r < count; ++r)
        for (size_t i = 0; i < step; i += LANES) store(out + r * step + i, at(x[r], i) & at(y[r], i));
}

void lambda_rows(u64 *__restrict out, const u64 *s0, const u64 *s1, const std::int64_t *x, const std::int64_t *y,
                 const u64 *mask, size_t held, size_t rows, size_t length) {
    parallel((length + NARROW - 1) / NARROW, (size_t(1) << 11) / (held + rows + 1) + 1, [=](size_t piece, size_t end) {
        const std::unique_ptr<u64[]> kept(new u64[(held + rows) * apart(length < NARROW ? length : NARROW)]);
        for (; piece < end; ++piece) {
            const size_t low = piece * NARROW, wide = length - low < NARROW ? length - low : NARROW, step = apart(wide);
            u64 *const known = kept.get(), *const made = known + held * step;
            for (size_t r = 0; r < held; ++r)
                for (size_t i = 0; i < wide; i += LANES) {
                    const size_t from = r * length + low + i;
                    store(known + r * step + i, load(s0 + from, wide - i) ^ load(s1 + from, wide - i));
                }
            products_of_rows(made, x, y, rows, step,
                             [=](std::int64_t r, size_t i) { return load(known + r * step + i); });
            for (size_t r = 0; r < rows; ++r)
                for (size_t i = 0; i < wide; i += LANES) {
                    const size_t to = r * length + low + i;
                    store(out + to, load(made + r * step + i) ^ load(mask + to, wide - i), wide - i);
                }
        }
    });
}

void sum_rows(u64 *__restrict out, const u64 *w, const u64 *share, const u64 *sets, const Terms &terms, const u64 *mask,
              bool lead, size_t sums, size_t length) {
    const Terms t = terms;
    const size_t work = t.products + size_t(t.begins[sums]) + 1;
    parallel((length + NARROW - 1) / NARROW, (size_t(1) << 11) / work + 1, [=](size_t piece, size_t end) {
        const std::unique_ptr<u64[]> kept(new u64[t.products * apart(length < NARROW ? length : NARROW)]);
        u64 *const made = kept.get(), ones[NARROW];
        memset(ones, 0xFF, sizeof ones);
        for (; piece < end; ++piece) {
            const size_t low = piece * NARROW, wide = length - low < NARROW ? length - low : NARROW, step = apart(wide);
            products_of_rows(made, t.u, t.v, t.products, step, [=](std::int64_t r, size_t i) {
                return load(w + r * length + low + i, wide - i);
            });
            for (size_t o = 0; o < sums; ++o) {
                V sum[NARROW / LANES];
                for (size_t i = 0; i < wide; i += LANES) sum[i / LANES] = load(mask + o * length + low + i, wide - i);
                for (std::int64_t at = t.begins[o]; at < t.begins[o + 1]; ++at) {
                    const std::int64_t p = t.of_w[at], s = t.of_share[at];
                    if (s == -1 && !lead) continue;
                    const u64 *const a = p >= 0 ? w + p * length + low : p == -1 ? ones : made + (-2 - p) * step;
                    const u64 *const b = s >= 0 ? share + s * length + low : s == -1 ? ones : sets + (-2 - s) * length + low;
                    for (size_t i = 0; i < wide; i += LANES)
                        sum[i / LANES] ^= load(a + i, wide - i) & load(b + i, wide - i);
                }
                for (size_t i = 0; i < wide; i += LANES) store(out + o * length + low + i, sum[i / LANES], wide - i);
            }
        }
    });
}

void mix_rows(u64 *__restrict out, const u64 *s, const u64 *z, const std::int64_t *a, const std::int64_t *b, size_t rows,
              size_t length) {
    parallel(rows, length ? (size_t(1) << 16) / length + 1 : 1, [=](size_t r, size_t end) {
        for (; r < end; ++r) {
            u64 *__restrict to = out + r * length;
            if (a[r] < 0) {
                memcpy(to, z + b[r] * length, 8 * length);
            } else if (b[r] < 0) {
                memcpy(to, s + a[r] * length, 8 * length);
            } else {
                const u64 *x = s + a[r] * length, *y = z + b[r] * length;
                for (size_t i = 0; i < length; ++i) to[i] = x[i] ^ y[i];
            }
        }
    });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
