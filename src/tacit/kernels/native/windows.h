// Products of windows with kernels where windows follow one another in memory, as those of a row of an image do: eight of
// them are eight elements in a row for every tap, so they are read where they lie, and neither gathered nor packed. So are
// sums over places that follow one another in both operands, as those of a gradient by the kernels.
#pragma once

#include <algorithm>
#include <type_traits>

#include "task.h"

namespace tacit::TACIT_TARGET {
namespace {

// Places that follow one another in two tables, at most as many as a register has lanes, and the first of them.
struct Strip {
    std::int64_t from, to;
    size_t lanes;
};

// All places of two tables in strips; none if these are mostly short, which registers would be half empty for, or for
// want of memory: threads of the pool may not throw.
struct Strips {
    Strips(const std::int64_t *from, const std::int64_t *to, size_t m, size_t most)
        : buffer((m * 4 / (3 * most) + 1) * sizeof(Strip)), all(buffer.as<Strip>()) {
        const size_t room = all ? m * 4 / (3 * most) : 0;
        size_t i = 0;
        const auto follows = [=](size_t at, size_t n) {
            return from[at + n] == from[at] + std::int64_t(n) && to[at + n] == to[at] + std::int64_t(n);
        };
        for (size_t n; i < m && size < room; i += n) {
            n = 1;
            while (n < most && i + n < m && follows(i, n)) ++n;
            all[size++] = {from[i], to[i], n};
        }
        if (i < m) size = 0;
    }
    const Buffer buffer;
    Strip *const all;
    size_t size = 0;
};

// ROWS results of WIDE strips; the kernels' elements are packed as (k, ROWS) for each term.
template <class K, size_t ROWS, size_t WIDE, bool WHOLE>
void few_strips(const Task<typename K::type> &task, const Strip *strips, const typename K::type *packed, size_t result) {
    using T = typename K::type;
    using R = Reg<T>;
    typename R::type sum[ROWS][WIDE] = {};
    const auto add = [&](auto both, const T *a, const T *a2, const T *w) __attribute__((always_inline)) {
        for (size_t l = 0; l < task.k; ++l, w += ROWS) {
            const std::int64_t tap = task.a_at.second[l];
            typename R::type y[WIDE];
#pragma GCC unroll 3
            for (size_t i = 0; i < WIDE; ++i) {
                const size_t lanes = WHOLE ? R::LANE : strips[i].lanes;
                y[i] = R::get(a + (strips[i].from + tap), lanes);
                if constexpr (both.value) y[i] = y[i] + R::get(a2 + (strips[i].from + tap), lanes);
            }
#pragma GCC unroll 8
            for (size_t r = 0; r < ROWS; ++r) {
                const typename R::type x = R::same(w[r]);
#pragma GCC unroll 3
                for (size_t i = 0; i < WIDE; ++i) sum[r][i] = K::step(sum[r][i], x, y[i]);
            }
        }
    };
    for (size_t t = 0; t < task.count; ++t, packed += task.k * ROWS) {
        const Term<T> &of = task.terms[t];
        if (of.a2)
            add(std::true_type(), of.a, of.a2, packed);
        else
            add(std::false_type(), of.a, of.a2, packed);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < ROWS; ++r) {
        T *const c = task.c + (task.column + result + r) * task.step;
#pragma GCC unroll 3
        for (size_t i = 0; i < WIDE; ++i) R::set(c + strips[i].to, sum[r][i], WHOLE ? R::LANE : strips[i].lanes);
    }
}

template <class K, size_t ROWS>
void some_results(const Task<typename K::type> &task, const Strip *strips, size_t whole, size_t n,
                  const typename K::type *packed, size_t result) {
    size_t i = 0;
    for (; i + 3 <= whole; i += 3) few_strips<K, ROWS, 3, true>(task, strips + i, packed, result);
    if (whole - i == 2) few_strips<K, ROWS, 2, true>(task, strips + i, packed, result);
    if (whole - i == 1) few_strips<K, ROWS, 1, true>(task, strips + i, packed, result);
    for (i = whole; i < n; ++i) few_strips<K, ROWS, 1, false>(task, strips + i, packed, result);
}

// How many of n results are computed at a time.
inline size_t at_once(size_t n) { return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1; }

// c[to] = windows (m, k) @ kernels (k, n); false if too few windows follow one another, or for want of memory.
template <class K> bool windows_in_place(const Task<typename K::type> &task) {
    using T = typename K::type;
    constexpr size_t LANE = Reg<T>::LANE, NEAR = 48;  // strips whose images stay in the cache for all results
    const Strips strips(task.a_at.first, task.to, task.m, LANE);
    if (!strips.size) return false;
    const Buffer buffer(task.count * task.k * task.n * sizeof(T));
    T *const packed = buffer.as<T>();
    if (!packed) return false;
    T *to = packed;
    for (size_t j = 0, rows; j < task.n; j += rows) {
        rows = at_once(task.n - j);
        for (size_t t = 0; t < task.count; ++t)
            for (size_t l = 0; l < task.k; ++l)
                for (size_t r = 0; r < rows; ++r) {
                    const size_t at = task.place_b(l, j + r);
                    *to++ = task.terms[t].b2 ? task.terms[t].b[at] + task.terms[t].b2[at] : task.terms[t].b[at];
                }
    }
    for (size_t i = 0; i < strips.size; i += NEAR) {
        Strip *const some = strips.all + i;
        const size_t n = least(NEAR, strips.size - i);
        const auto full = [](const Strip &s) { return s.lanes == LANE; };
        const size_t whole = size_t(std::partition(some, some + n, full) - some);
        const T *held = packed;
        for (size_t j = 0, rows; j < task.n; j += rows) {
            rows = at_once(task.n - j);
            if (rows == 8) some_results<K, 8>(task, some, whole, n, held, j);
            if (rows == 4) some_results<K, 4>(task, some, whole, n, held, j);
            if (rows == 2) some_results<K, 2>(task, some, whole, n, held, j);
            if (rows == 1) some_results<K, 1>(task, some, whole, n, held, j);
            held += task.count * task.k * rows;
        }
    }
    return true;
}

// c[to] gains ROWS rows of one operand times WIDE columns of the other, both read in strips of the inner index.
template <class K, size_t ROWS, size_t WIDE>
void few_sums(const Task<typename K::type> &task, const Strip *strips, size_t n, size_t row, size_t column) {
    using T = typename K::type;
    using R = Reg<T>;
    typename R::type sum[ROWS][WIDE] = {};
    std::int64_t a_at[ROWS], b_at[WIDE];
    for (size_t r = 0; r < ROWS; ++r) a_at[r] = task.a_at.first[row + r];
    for (size_t w = 0; w < WIDE; ++w) b_at[w] = task.b_at.second[column + w];
    const auto add = [&](auto left, auto right, const Term<T> &of) __attribute__((always_inline)) {
        const auto strip = [&](const Strip &s, size_t lanes) __attribute__((always_inline)) {
            typename R::type y[WIDE];
#pragma GCC unroll 4
            for (size_t w = 0; w < WIDE; ++w) {
                y[w] = R::get(of.b + (b_at[w] + s.to), lanes);
                if constexpr (right.value) y[w] = y[w] + R::get(of.b2 + (b_at[w] + s.to), lanes);
            }
#pragma GCC unroll 6
            for (size_t r = 0; r < ROWS; ++r) {
                typename R::type x = R::get(of.a + (a_at[r] + s.from), lanes);
                if constexpr (left.value) x = x + R::get(of.a2 + (a_at[r] + s.from), lanes);
#pragma GCC unroll 4
                for (size_t w = 0; w < WIDE; ++w) sum[r][w] = K::step(sum[r][w], x, y[w]);
            }
        };
        for (size_t i = 0; i < n; ++i)
            if (strips[i].lanes == R::LANE)
                strip(strips[i], R::LANE);
            else
                strip(strips[i], strips[i].lanes);
    };
    for (size_t t = 0; t < task.count; ++t) {
        const Term<T> &of = task.terms[t];
        if (of.a2)  // then of both: see Part in module.cpp
            add(std::true_type(), std::true_type(), of);
        else if (of.b2)
            add(std::false_type(), std::true_type(), of);
        else
            add(std::false_type(), std::false_type(), of);
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
        for (size_t w = 0; w < WIDE; ++w) {
            T &c = task.c[task.to[row + r] + std::int64_t((task.column + column + w) * task.step)];
            c = c + R::total(sum[r][w]);
        }
}

template <class K, size_t WIDE>
void columns_of_sums(const Task<typename K::type> &task, const Strip *strips, size_t n, size_t column) {
    size_t i = 0;
    for (; i + 6 <= task.m; i += 6) few_sums<K, 6, WIDE>(task, strips, n, i, column);
    for (; i + 2 <= task.m; i += 2) few_sums<K, 2, WIDE>(task, strips, n, i, column);
    if (i < task.m) few_sums<K, 1, WIDE>(task, strips, n, i, column);
}

// c[to] = rows (m, k) @ columns (k, n) for few results of long sums; false if too few places follow one another.
template <class K> bool sums_in_place(const Task<typename K::type> &task) {
    using T = typename K::type;
    constexpr size_t LANE = Reg<T>::LANE, NEAR = 64;  // strips whose operands stay in the cache for all sums
    if (task.k < 4 * task.m || task.k < 4 * task.n) return false;
    const Strips strips(task.a_at.second, task.b_at.first, task.k, LANE);
    if (!strips.size) return false;
    for (size_t i = 0; i < task.m; ++i)
        for (size_t j = 0; j < task.n; ++j) task.c[task.to[i] + std::int64_t((task.column + j) * task.step)] = T{};
    for (size_t s = 0; s < strips.size; s += NEAR) {
        const Strip *const some = strips.all + s;
        const size_t n = least(NEAR, strips.size - s);
        size_t j = 0;
        for (; j + 4 <= task.n; j += 4) columns_of_sums<K, 4>(task, some, n, j);
        for (; j + 2 <= task.n; j += 2) columns_of_sums<K, 2>(task, some, n, j);
        if (j < task.n) columns_of_sums<K, 1>(task, some, n, j);
    }
    return true;
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
