// Matrix products: thin shapes directly, others over packed panels with a register block (a "micro kernel").
#pragma once

#include "windows.h"

namespace tacit::TACIT_TARGET {
namespace {

// --- thin shapes ------------------------------------------------------------------------------------------

template <class T, size_t ROWS, size_t WIDE> void strip(const Task<T> &task, size_t i, size_t j, size_t lanes) {
    using R = Reg<T>;
    typename R::type acc[ROWS][WIDE];
    for (size_t r = 0; r < ROWS; ++r)
        for (size_t w = 0; w < WIDE; ++w) acc[r][w] = R::get(task.out(i + r, j + w * R::LANE), lanes);
    for (size_t t = 0; t < task.count; ++t) {
        const T *b = task.b(t, 0, j), *b2 = task.b2(t, 0, j);
        const size_t step = task.b_step.outer;
        for (size_t l = 0; l < task.k; ++l) {
            typename R::type y[WIDE];
            for (size_t w = 0; w < WIDE; ++w) y[w] = R::get(b + l * step + w * R::LANE, lanes);
            if (b2)
                for (size_t w = 0; w < WIDE; ++w) y[w] = y[w] + R::get(b2 + l * step + w * R::LANE, lanes);
            for (size_t r = 0; r < ROWS; ++r) {
                const T *more = task.a2(t, i + r, l);
                const typename R::type x = R::same(more ? *task.a(t, i + r, l) + *more : *task.a(t, i + r, l));
                for (size_t w = 0; w < WIDE; ++w) acc[r][w] = acc[r][w] + x * y[w];
            }
        }
    }
    for (size_t r = 0; r < ROWS; ++r)
        for (size_t w = 0; w < WIDE; ++w) R::set(task.out(i + r, j + w * R::LANE), acc[r][w], lanes);
}

template <class T, size_t ROWS> void strips(const Task<T> &task, size_t i) {
    constexpr size_t LANE = Reg<T>::LANE, WIDE = 4;
    size_t j = 0;
    for (; j + WIDE * LANE <= task.n; j += WIDE * LANE) strip<T, ROWS, WIDE>(task, i, j, LANE);
    for (; j < task.n; j += LANE) strip<T, ROWS, 1>(task, i, j, task.n - j < LANE ? task.n - j : LANE);
}

// Registers that hold a whole row of the result, beside those that a row of b passes through.
template <class T> constexpr size_t ROW_REGISTERS = Reg<T>::LANE == 8 ? 16 : Reg<T>::LANE > 1 ? 8 : 0;

// One row that fits WIDE registers, the last of `lanes`: b is read in the order of memory, which from beyond the second
// cache takes half the time of reading four rows of it side by side.
template <class T, size_t WIDE, bool BOTH> void short_row(const Task<T> &task, size_t t, size_t lanes) {
    using R = Reg<T>;
    typename R::type acc[WIDE];
    T *const c = task.out(0, 0);
#pragma GCC unroll 16
    for (size_t w = 0; w < WIDE; ++w) acc[w] = R::get(c + w * R::LANE, w + 1 < WIDE ? R::LANE : lanes);
    for (size_t l = 0; l < task.k; ++l) {
        const T *const b = task.b(t, l, 0), *const b2 = BOTH ? task.b2(t, l, 0) : nullptr;
        const T *const more = task.a2(t, 0, l);
        const typename R::type x = R::same(more ? *task.a(t, 0, l) + *more : *task.a(t, 0, l));
#pragma GCC unroll 16
        for (size_t w = 0; w < WIDE; ++w) {
            const size_t have = w + 1 < WIDE ? R::LANE : lanes;
            typename R::type y = R::get(b + w * R::LANE, have);
            if (BOTH) y = y + R::get(b2 + w * R::LANE, have);
            acc[w] = acc[w] + x * y;
        }
    }
#pragma GCC unroll 16
    for (size_t w = 0; w < WIDE; ++w) R::set(c + w * R::LANE, acc[w], w + 1 < WIDE ? R::LANE : lanes);
}

template <class T, size_t WIDE> void short_row(const Task<T> &task) {
    if constexpr (WIDE > 0) {
        if (task.n <= (WIDE - 1) * Reg<T>::LANE) return short_row<T, WIDE - 1>(task);
        const size_t lanes = task.n - (WIDE - 1) * Reg<T>::LANE;
        for (size_t t = 0; t < task.count; ++t)
            if (task.b2(t, 0, 0))
                short_row<T, WIDE, true>(task, t, lanes);
            else
                short_row<T, WIDE, false>(task, t, lanes);
    }
}

// One row: it gains multiples of the rows of b, which are read once and in order.
template <class T> void one_row(const Task<T> &task) {
    using R = Reg<T>;
    if (task.n <= ROW_REGISTERS<T> * R::LANE) return short_row<T, ROW_REGISTERS<T>>(task);
    constexpr size_t AT_ONCE = 4;
    T *const c = task.out(0, 0);
    for (size_t t = 0; t < task.count; ++t)
        for (size_t l = 0; l < task.k; l += AT_ONCE) {
            const size_t rows = task.k - l < AT_ONCE ? task.k - l : AT_ONCE;
            T x[AT_ONCE] = {};
            const T *b[AT_ONCE], *b2[AT_ONCE];
            for (size_t r = 0; r < AT_ONCE; ++r) {
                const size_t from = r < rows ? l + r : l;  // beyond the last: zero times any row
                b[r] = task.b(t, from, 0);
                b2[r] = task.b2(t, from, 0);
                const T *more = task.a2(t, 0, from);
                if (r < rows) x[r] = more ? *task.a(t, 0, from) + *more : *task.a(t, 0, from);
            }
            for (size_t j = 0; j < task.n; j += R::LANE) {
                const size_t lanes = task.n - j < R::LANE ? task.n - j : R::LANE;
                typename R::type s = R::get(c + j, lanes);
#pragma GCC unroll 4
                for (size_t r = 0; r < AT_ONCE; ++r) {
                    typename R::type y = R::get(b[r] + j, lanes);
                    if (b2[r]) y = y + R::get(b2[r] + j, lanes);
                    s = s + R::same(x[r]) * y;
                }
                R::set(c + j, s, lanes);
            }
        }
}

// Few rows: every row of b is read once for up to four rows of a. Rows of b must be whole.
template <class T> void few_rows(const Task<T> &task) {
    if (task.m == 1) return one_row(task);
    size_t i = 0;
    for (; i + 4 <= task.m; i += 4) strips<T, 4>(task, i);
    if (task.m - i == 3) strips<T, 3>(task, i);
    if (task.m - i == 2) strips<T, 2>(task, i);
    if (task.m - i == 1) strips<T, 1>(task, i);
}

// Few columns: b transposed, then dot products along the rows of a, which must be whole.
template <class T> bool few_columns(const Task<T> &task) {
    using R = Reg<T>;
    const Buffer buffer(task.k * task.n * sizeof(T));
    T *bt = buffer.as<T>();
    if (!bt) return false;
    for (size_t t = 0; t < task.count; ++t) {
        for (size_t l = 0; l < task.k; ++l) {
            const T *b = task.b(t, l, 0), *b2 = task.b2(t, l, 0);
            for (size_t j = 0, at = 0; j < task.n; ++j, at += task.b_step.inner)
                bt[j * task.k + l] = b2 ? b[at] + b2[at] : b[at];
        }
        for (size_t i = 0; i < task.m; ++i) {
            const T *a = task.a(t, i, 0), *a2 = task.a2(t, i, 0);
            for (size_t j = 0; j < task.n; ++j) {
                const T *y = bt + j * task.k;
                typename R::type s0{}, s1{};
                size_t l = 0;
                if (!a2)
                    for (; l + 2 * R::LANE <= task.k; l += 2 * R::LANE) {
                        s0 = s0 + R::get(a + l) * R::get(y + l);
                        s1 = s1 + R::get(a + l + R::LANE) * R::get(y + l + R::LANE);
                    }
                else
                    for (; l + R::LANE <= task.k; l += R::LANE)
                        s0 = s0 + (R::get(a + l) + R::get(a2 + l)) * R::get(y + l);
                T s = R::total(s0 + s1);
                for (; l < task.k; ++l) s = s + (a2 ? a[l] + a2[l] : a[l]) * y[l];
                *task.out(i, j) = *task.out(i, j) + s;
            }
        }
    }
    return true;
}

// c^T += b^T a^T by `way`, then turned back: where the operands' rows do not suit a way, those of their transposes do.
template <class T, class F> bool turned(const Task<T> &task, F way) {
    const Buffer buffer(task.m * task.n * sizeof(T));
    T *ct = buffer.as<T>();
    if (!ct) return false;
    memset(static_cast<void *>(ct), 0, task.m * task.n * sizeof(T));
    Term<T> terms[MOST_TERMS];
    for (size_t t = 0; t < task.count; ++t)
        terms[t] = {task.b(t, 0, 0), task.b2(t, 0, 0), task.a(t, 0, 0), task.a2(t, 0, 0)};
    const Steps a = task.a_step, b = task.b_step;
    way({ct, terms, task.count, task.n, task.k, task.m, 0, 0, {b.inner, b.outer}, {a.inner, a.outer}, task.m, {}, {}});
    for (size_t i = 0; i < task.m; ++i)
        for (size_t j = 0; j < task.n; ++j) *task.out(i, j) = *task.out(i, j) + ct[j * task.m + i];
    return true;
}

// --- micro kernels ----------------------------------------------------------------------------------------

// Copy `have` elements b (+ b2), `step` apart, to dst, zero up to `want`.
template <class T> inline void fetch(T *dst, const T *b, const T *b2, size_t step, size_t have, size_t want) {
    if (step != 1)
        for (size_t j = 0; j < have; ++j) dst[j] = b2 ? b[j * step] + b2[j * step] : b[j * step];
    else if (b2)
        for (size_t j = 0; j < have; ++j) dst[j] = b[j] + b2[j];
    else
        for (size_t j = 0; j < have; ++j) dst[j] = b[j];
    for (size_t j = have; j < want; ++j) dst[j] = T{};
}

constexpr size_t LONGEST_RUN = 8;

// How many of these places follow one another.
inline size_t run_of(const std::int64_t *at, size_t n) {
    size_t run = 1;
    while (run < n && run < LONGEST_RUN && at[run] == at[0] + std::int64_t(run)) ++run;
    return run;
}

inline size_t runs(const std::int64_t *at, size_t n) {
    size_t count = 0;
    for (size_t l = 0; l < n; l += run_of(at + l, n - l)) ++count;
    return count;
}

// COUNT columns in runs of N, at first[r] + at[0], at[N], …
template <class T, size_t COUNT, size_t N>
void gather_runs(T *dst, const T *a, const T *a2, const std::int64_t *first, const std::int64_t *at, size_t rows,
                 size_t length) {
    for (size_t r = 0; r < rows; ++r, dst += length) {
        const T *const p = a + first[r], *const q = a2 ? a2 + first[r] : nullptr;
        T x[COUNT];
#pragma GCC unroll 8
        for (size_t l = 0; l < COUNT; ++l) x[l] = p[at[l / N * N] + std::int64_t(l % N)];
        if (q)
#pragma GCC unroll 8
            for (size_t l = 0; l < COUNT; ++l) x[l] = x[l] + q[at[l / N * N] + std::int64_t(l % N)];
#pragma GCC unroll 8
        for (size_t l = 0; l < COUNT; ++l) dst[l] = x[l];
    }
}

// Copy elements at first[r] + second[l] of a (+ a2) to rows of `length`; where places of second follow one another, as
// those of windows in a row do, many at once.
template <class T>
void gather(T *dst, const T *a, const T *a2, const std::int64_t *first, const std::int64_t *second, size_t rows,
            size_t columns, size_t length) {
    size_t l = 0;
    for (; l + LONGEST_RUN <= columns; l += LONGEST_RUN) {
        const std::int64_t *const at = second + l;
        const size_t run = run_of(at, LONGEST_RUN);
        if (run == LONGEST_RUN)
            gather_runs<T, LONGEST_RUN, LONGEST_RUN>(dst + l, a, a2, first, at, rows, length);
        else if (run >= LONGEST_RUN / 2 && run_of(at + LONGEST_RUN / 2, LONGEST_RUN / 2) == LONGEST_RUN / 2)
            gather_runs<T, LONGEST_RUN, LONGEST_RUN / 2>(dst + l, a, a2, first, at, rows, length);
        else
            gather_runs<T, LONGEST_RUN, 1>(dst + l, a, a2, first, at, rows, length);
    }
    for (; l < columns; ++l) gather_runs<T, 1, 1>(dst + l, a, a2, first, second + l, rows, length);
}

// Gather a block along the index whose places follow one another more; return how it lies.
template <class T>
Steps near_to(T *dst, const T *a, const T *a2, const std::int64_t *first, const std::int64_t *second, size_t rows,
              size_t columns) {
    if (4 * runs(first, rows) * columns < runs(second, columns) * rows) {  // what then has to be turned takes longer
        gather(dst, a, a2, second, first, columns, rows, rows);
        return {1, rows};
    }
    gather(dst, a, a2, first, second, rows, columns, columns);
    return {columns, 1};
}

// A register block of MR rows by NV registers. A is packed as (k, MR), B as (k, NR).
template <class T, size_t ROWS, size_t WIDE> struct Plain {
    using R = Reg<T>;
    using type = T;
    static constexpr size_t MR = ROWS, NR = WIDE * R::LANE, KC = 256, MC = 16 * MR, NC = 64 * NR, PAD = 1;
    static constexpr size_t A_BYTES = sizeof(T) * MR, B_BYTES = sizeof(T) * NR;  // for each k
    static constexpr bool A_IN_STEPS = true, B_IN_STEPS = true;  // each k's bytes follow those of the one before
    static constexpr bool IN_PLACE = R::LANE == 8;               // whether windows may be read where they lie

    static typename R::type step(typename R::type sum, typename R::type x, typename R::type y) { return sum + x * y; }

    static void begin() {}
    static void end() {}
    static void pack_a(u8 *to, const T *a, const T *a2, Steps step, size_t rows, size_t k) {
        T *dst = reinterpret_cast<T *>(to);
        size_t l = 0;
#if defined(__AVX512F__)
        if constexpr (MR == LANES && sizeof(T) == sizeof(u64))
            if (step.inner == 1 && rows == MR)
                for (; l + LANES <= k; l += LANES) {
                    V row[LANES];
                    for (size_t r = 0; r < LANES; ++r) {
                        row[r] = load(a + r * step.outer + l);
                        if (a2) row[r] = row[r] + load(a2 + r * step.outer + l);
                    }
                    turn(row);
                    for (size_t r = 0; r < LANES; ++r) store(dst + (l + r) * MR, row[r]);
                }
#endif
        for (; l < k; ++l)
            fetch(dst + l * MR, a + l * step.inner, a2 ? a2 + l * step.inner : a2, step.outer, rows, MR);
    }
    static void pack_b(u8 *to, const T *b, const T *b2, Steps step, size_t columns, size_t k) {
        T *dst = reinterpret_cast<T *>(to);
        for (size_t l = 0; l < k; ++l)
            fetch(dst + l * NR, b + l * step.outer, b2 ? b2 + l * step.outer : b2, step.inner, columns, NR);
    }
    static void run(T *c, size_t ldc, const u8 *pa, const u8 *pb, size_t rows, size_t columns, size_t k) {
        const T *a = reinterpret_cast<const T *>(pa), *b = reinterpret_cast<const T *>(pb);
        typename R::type acc[MR][WIDE] = {};
        for (size_t l = 0; l < k; ++l, a += MR, b += NR) {
            typename R::type y[WIDE];
            for (size_t w = 0; w < WIDE; ++w) y[w] = R::get(b + w * R::LANE);
#pragma GCC unroll 8
            for (size_t r = 0; r < MR; ++r)
#pragma GCC unroll 8
                for (size_t w = 0; w < WIDE; ++w) acc[r][w] = acc[r][w] + R::same(a[r]) * y[w];
        }
        T tile[MR][NR];
        for (size_t r = 0; r < MR; ++r)
            for (size_t w = 0; w < WIDE; ++w) R::set(&tile[r][w * R::LANE], acc[r][w], R::LANE);
        for (size_t r = 0; r < rows; ++r)
            for (size_t j = 0; j < columns; ++j) c[r * ldc + j] = c[r * ldc + j] + tile[r][j];
    }
};

// --- the loops around a micro kernel ----------------------------------------------------------------------

constexpr size_t SOME = 8;  // inner indices that are packed at a time, of either operand

template <class K> bool packed(const Task<typename K::type> &task) {
    using T = typename K::type;
    const size_t kc = up(least(K::KC, task.k), K::PAD);
    const size_t mc = least(K::MC, up(task.m, K::MR)), nc = least(K::NC, up(task.n, K::NR));
    const size_t a_panel = up(K::A_BYTES * kc, 64), b_panel = up(K::B_BYTES * kc, 64);
    const bool spread = task.a_at.first;
    const size_t stage = spread ? up(sizeof(T) * kc * (K::MR > K::NR ? K::MR : K::NR), 64) : 0;
    const Buffer buffer(a_panel * (mc / K::MR) + b_panel * (nc / K::NR) + stage);
    u8 *const bs = buffer.as<u8>();
    if (!bs) return false;
    u8 *const as = bs + b_panel * (nc / K::NR);
    T *const near = reinterpret_cast<T *>(as + a_panel * (mc / K::MR));
    const auto pack_a = [&](u8 *to, size_t t, size_t i, size_t l, size_t rows, size_t k) {
        if (!spread) return K::pack_a(to, task.a(t, i, l), task.a2(t, i, l), task.a_step, rows, k);
        const Term<T> &from = task.terms[t];
        const Steps lies = near_to(near, from.a, from.a2, task.a_at.first + i, task.a_at.second + l, rows, k);
        K::pack_a(to, near, nullptr, lies, rows, k);
    };
    const auto pack_b = [&](u8 *to, size_t t, size_t l, size_t j, size_t columns, size_t k) {
        if (!spread) return K::pack_b(to, task.b(t, l, j), task.b2(t, l, j), task.b_step, columns, k);
        const Term<T> &from = task.terms[t];
        const Steps lies = near_to(near, from.b, from.b2, task.b_at.first + l, task.b_at.second + j, k, columns);
        K::pack_b(to, near, nullptr, lies, columns, k);
    };
    // Where panels are next to each other in memory, some inner indices at a time: so it is read in order.
    const size_t b_some = K::B_IN_STEPS && !spread && task.b_step.inner == 1 ? SOME : K::KC;
    const size_t a_some = K::A_IN_STEPS && !spread && task.a_step.outer == 1 ? SOME : K::KC;
    K::begin();
    for (size_t jc = 0; jc < task.n; jc += nc)
        for (size_t t = 0; t < task.count; ++t)
            for (size_t l = 0; l < task.k; l += K::KC) {
                const size_t k = least(K::KC, task.k - l), columns = least(nc, task.n - jc);
                for (size_t s = 0; s < k; s += b_some)
                    for (size_t j = 0; j < columns; j += K::NR)
                        pack_b(bs + j / K::NR * b_panel + s * K::B_BYTES, t, l + s, jc + j, least(K::NR, columns - j),
                               least(b_some, k - s));
                for (size_t ic = 0; ic < task.m; ic += mc) {
                    const size_t rows = least(mc, task.m - ic);
                    for (size_t s = 0; s < k; s += a_some)
                        for (size_t i = 0; i < rows; i += K::MR)
                            pack_a(as + i / K::MR * a_panel + s * K::A_BYTES, t, ic + i, l + s, least(K::MR, rows - i),
                                   least(a_some, k - s));
                    for (size_t j = 0; j < columns; j += K::NR)
                        for (size_t i = 0; i < rows; i += K::MR)
                            K::run(task.out(ic + i, jc + j), task.ldc, as + i / K::MR * a_panel,
                                   bs + j / K::NR * b_panel, least(K::MR, rows - i), least(K::NR, columns - j), k);
                }
            }
    K::end();
    return true;
}

// Write a part of a result, (columns, rows), from row `i` on, where it belongs: where places follow one another, as those of
// windows in a row do, in runs.
template <class T> void put(const Task<T> &task, const T *ct, size_t i, size_t rows) {
    const std::int64_t *const to = task.to + i;
    for (size_t r = 0; r < rows;) {
        size_t run = 1;
        while (r + run < rows && to[r + run] == to[r] + std::int64_t(run)) ++run;
        T *c = task.c + to[r] + task.column * task.step;
        for (size_t j = 0; j < task.n; ++j, c += task.step)
            memcpy(static_cast<void *>(c), ct + j * rows + r, run * sizeof(T));
        r += run;
    }
}

// Gathered operands whose transposed product would fill more registers.
template <class K> bool packed_apart(const Task<typename K::type> &task) {
    using T = typename K::type;
    const Buffer buffer(task.m * task.n * sizeof(T));
    T *const own = buffer.as<T>();
    if (!own) return false;
    memset(static_cast<void *>(own), 0, task.m * task.n * sizeof(T));
    if (!packed<K>({own, task.terms, task.count, task.m, task.k, task.n, 0, 0, {}, {}, task.n, task.a_at, task.b_at}))
        return false;
    for (size_t i = 0; i < task.m; ++i)
        for (size_t j = 0; j < task.n; ++j) task.c[task.to[i] + (task.column + j) * task.step] = own[i * task.n + j];
    return true;
}

// Gathered operands, some columns of the transposed product at a time: whole registers of windows, and few results
// need not fill any.
template <class K> bool packed_turned(const Task<typename K::type> &task) {
    using T = typename K::type;
    const size_t most = least(K::NC, task.m);
    const Buffer buffer(task.n * most * sizeof(T));
    T *const ct = buffer.as<T>();
    if (!ct) return false;
    Term<T> terms[MOST_TERMS];
    for (size_t t = 0; t < task.count; ++t) {
        const Term<T> &of = task.terms[t];
        terms[t] = {of.b, of.b2, of.a, of.a2};
    }
    for (size_t i = 0; i < task.m; i += most) {
        const size_t rows = least(most, task.m - i);
        const Places a = {nullptr, task.b_at.second, task.b_at.first}, b = {nullptr, task.a_at.second, task.a_at.first + i};
        memset(static_cast<void *>(ct), 0, task.n * rows * sizeof(T));
        if (!packed<K>({ct, terms, task.count, task.n, task.k, rows, 0, 0, {}, {}, rows, a, b})) return false;
        put(task, ct, i, rows);
    }
    return true;
}

// The definition, for want of memory.
template <class T> void plain(const Task<T> &task) {
    const auto out = [&](size_t i, size_t j) {
        return task.to ? task.c + task.to[i] + (task.column + j) * task.step : task.out(i, j);
    };
    for (size_t i = 0; task.to && i < task.m; ++i)
        for (size_t j = 0; j < task.n; ++j) *out(i, j) = T{};
    for (size_t t = 0; t < task.count; ++t)
        for (size_t i = 0; i < task.m; ++i)
            for (size_t j = 0; j < task.n; ++j)
                for (size_t l = 0; l < task.k; ++l) {
                    const Term<T> &from = task.terms[t];
                    const size_t p = task.place_a(i, l), q = task.place_b(l, j);
                    const T x = from.a2 ? from.a[p] + from.a2[p] : from.a[p];
                    const T y = from.b2 ? from.b[q] + from.b2[q] : from.b[q];
                    *out(i, j) = *out(i, j) + x * y;
                }
}

// Small: the micro kernel for shapes that do not fill Big's block.
template <class Big, class Small> void one(const Task<typename Big::type> &task) {
    using T = typename Big::type;
    const auto rows = [](const Task<T> &thin) {
        few_rows(thin);
        return true;
    };
    const auto fills = [&](size_t m, size_t n) { return m >= Big::MR / 2 && n >= Big::NR / 2 && task.k >= Big::PAD / 2; };
    const auto blocks = [&] { return fills(task.m, task.n) ? packed<Big>(task) : packed<Small>(task); };
    if constexpr (Big::IN_PLACE)
        if (task.a_at.first && (sums_in_place<Big>(task) || windows_in_place<Big>(task))) return;
    bool done = false;
    if (task.a_at.first) {
        const size_t whole = up(task.m, Big::MR) * up(task.n, Big::NR), turn = up(task.n, Big::MR) * up(task.m, Big::NR);
        if (turn > whole)
            done = fills(task.m, task.n) ? packed_apart<Big>(task) : packed_apart<Small>(task);
        else
            done = fills(task.n, task.m) ? packed_turned<Big>(task) : packed_turned<Small>(task);
    }
    else if (task.n < 8)
        done = task.a_step.inner == 1 ? few_columns(task) : turned(task, rows);
    else if (task.m <= 4 || (task.k <= 3 && task.b_step.inner == 1))
        done = task.b_step.inner == 1 ? rows(task) : turned(task, few_columns<T>);
    else
        done = blocks();
    if (!done) plain(task);
}

constexpr size_t WORTH = 1 << 17;  // multiply-adds that repay waking a thread
constexpr size_t SHORT = 1 << 10;  // elements of a result of which every thread may have its own

// A short result of long sums: each thread adds up some of the inner index, so that operands are read in order.
template <class Big, class Small, class T = typename Big::type>
bool in_sums(T *c, const Term<T> *terms, size_t count, const Shape &shape, Steps a_step, Steps b_step, size_t threads) {
    const size_t m = shape.m, k = shape.k, n = shape.n, each = (k + threads - 1) / threads;
    const Buffer buffer((threads - 1) * m * n * sizeof(T));
    T *const others = buffer.as<T>();
    if (!others) return false;
    memset(static_cast<void *>(others), 0, (threads - 1) * m * n * sizeof(T));
    parallel(threads, 1, [=](size_t i, size_t end) {
        for (; i < end; ++i) {
            const size_t from = least(i * each, k), some = least(each, k - from);
            Term<T> moved[MOST_TERMS];
            for (size_t t = 0; t < count; ++t) moved[t] = shifted(terms[t], from * a_step.inner, from * b_step.outer);
            T *const own = i ? others + (i - 1) * m * n : c;
            if (some) one<Big, Small>({own, moved, count, m, some, n, 0, 0, a_step, b_step, n, {}, {}});
        }
    });
    for (size_t i = 1; i < threads; ++i)
        for (size_t j = 0; j < m * n; ++j) c[j] = c[j] + others[(i - 1) * m * n + j];
    return true;
}

template <class Big, class Small, class T = typename Big::type>
void product(T *c, const Term<T> *terms, size_t count, const Shape &shape) {
    const size_t batch = shape.batch, m = shape.m, k = shape.k, n = shape.n;
    if (!batch || !m || !k || !n) return;
    const Steps a_step = shape.a_turned ? Steps{1, m} : Steps{k, 1}, b_step = shape.b_turned ? Steps{1, k} : Steps{n, 1};
    const auto part = [=](size_t b, size_t row, size_t rows, size_t column, size_t columns) {
        Term<T> moved[MOST_TERMS];
        const size_t a = shape.a_at.batch ? size_t(shape.a_at.batch[b]) : b * m * k;
        const size_t y = shape.b_at.batch ? size_t(shape.b_at.batch[b]) : b * k * n;
        for (size_t t = 0; t < count; ++t) moved[t] = shifted(terms[t], a, y);
        Places a_at = shape.a_at, b_at = shape.b_at;
        if (a_at.first) a_at.first += row, b_at.second += column;
        const std::int64_t *const to = shape.to ? shape.to + row : nullptr;
        T *const own = c + b * (to ? shape.apart : m * n);
        one<Big, Small>({own, moved, count, rows, k, columns, row, column, a_step, b_step, n, a_at, b_at, to, shape.step});
    };
    const size_t work = m * k * n, threads = size_t(get_threads());
    if (batch >= threads || work < 2 * WORTH) {
        parallel(batch, work < WORTH ? (WORTH + work - 1) / work : 1, [=](size_t b, size_t end) {
            for (; b < end; ++b) part(b, 0, m, 0, n);
        });
        return;
    }
    const size_t share = work / WORTH < threads ? work / WORTH : threads;
    if (batch == 1 && m * n <= SHORT && (m == 1 || n == 1) && !shape.a_at.first && share > 1 &&
        in_sums<Big, Small>(c, terms, count, shape, a_step, b_step, share))
        return;
    for (size_t b = 0; b < batch; ++b)
        if (m >= n)
            parallel(m, up((m + share - 1) / share, Big::MR),
                     [=](size_t i, size_t end) { part(b, i, end - i, 0, n); });
        else
            parallel(n, up((n + share - 1) / share, Big::NR),
                     [=](size_t j, size_t end) { part(b, 0, m, j, end - j); });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
