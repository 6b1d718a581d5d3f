// What a matrix product is told: its operands, where they lie, and the registers of their elements.
#pragma once

#include <cstdlib>

#include "vector.h"

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t MOST_TERMS = 2;

inline size_t up(size_t x, size_t step) { return (x + step - 1) / step * step; }
inline size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Distances in memory, in elements, between neighbours along the first and along the second index.
struct Steps {
    size_t outer, inner;
};

template <class T> Term<T> shifted(const Term<T> &of, size_t a, size_t b) {
    return {of.a + a, of.a2 ? of.a2 + a : nullptr, of.b + b, of.b2 ? of.b2 + b : nullptr};
}

// c (m,n) += sum of (a + a2) (m,k) @ (b + b2) (k,n).
template <class T> struct Task {
    T *c;
    const Term<T> *terms;
    size_t count, m, k, n, row, column;  // row, column: where this part of c begins
    Steps a_step, b_step;
    size_t ldc;
    Places a_at, b_at;  // instead of steps, from `row` and `column` on
    // With them: where rows of the result are written, from `row` on, and how far apart its columns are there.
    const std::int64_t *to = nullptr;
    size_t step = 0;

    T *out(size_t i, size_t j) const { return c + (row + i) * ldc + column + j; }
    const T *a(size_t t, size_t i, size_t l) const { return terms[t].a + at_a(i, l); }
    const T *b(size_t t, size_t l, size_t j) const { return terms[t].b + at_b(l, j); }
    const T *a2(size_t t, size_t i, size_t l) const { return terms[t].a2 ? terms[t].a2 + at_a(i, l) : nullptr; }
    const T *b2(size_t t, size_t l, size_t j) const { return terms[t].b2 ? terms[t].b2 + at_b(l, j) : nullptr; }

    size_t place_a(size_t i, size_t l) const { return a_at.first ? a_at.first[i] + a_at.second[l] : at_a(i, l); }
    size_t place_b(size_t l, size_t j) const { return b_at.first ? b_at.first[l] + b_at.second[j] : at_b(l, j); }

  private:
    size_t at_a(size_t i, size_t l) const { return (row + i) * a_step.outer + l * a_step.inner; }
    size_t at_b(size_t l, size_t j) const { return l * b_step.outer + (column + j) * b_step.inner; }
};

// Elements in registers: vectors of 64-bit words, single 128-bit ones.
template <class T> struct Reg;
template <> struct Reg<u64> {
    using type = V;
    static constexpr size_t LANE = LANES;
    static V get(const u64 *p, size_t n) { return load(p, n); }
    static V get(const u64 *p) { return load(p); }
    static void set(u64 *p, V v, size_t n) { store(p, v, n); }
    static V same(u64 x) { return all(x); }
    static u64 total(V v) { return sum(v); }
};
template <> struct Reg<u128> {
    using type = u128;
    static constexpr size_t LANE = 1;
    static u128 get(const u128 *p, size_t = 1) { return *p; }
    static void set(u128 *p, u128 v, size_t) { *p = v; }
    static u128 same(u128 x) { return x; }
    static u128 total(u128 v) { return v; }
};

// Aligned here and not by aligned_alloc: glibc keeps the piece that it cuts off in front for small objects, so that what
// is freed is too short for the next such buffer, and a process grew by one at every product.
struct Buffer {
    void *whole;
    explicit Buffer(size_t bytes) : whole(std::malloc(bytes + 63)) {}
    ~Buffer() { std::free(whole); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    template <class T> T *as() const { return reinterpret_cast<T *>((uintptr_t(whole) + 63) & ~uintptr_t(63)); }
};

}  // namespace
}  // namespace tacit::TACIT_TARGET
