// Element-wise kernels: plain loops that the compiler vectorises, cut into pieces for the pool.
#pragma once

#include "vector.h"

namespace tacit::TACIT_TARGET {
namespace {

constexpr size_t PIECE = 1 << 16;  // elements: at least some 30 µs of work, to repay waking a thread

template <class T> void add(T *__restrict out, const T *a, const T *b, size_t n) {
    parallel(n, PIECE, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = a[i] + b[i];
    });
}

template <class T> void sub(T *__restrict out, const T *a, const T *b, size_t n) {
    parallel(n, PIECE, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = a[i] - b[i];
    });
}

template <class T> void neg(T *__restrict out, const T *a, size_t n) {
    parallel(n, PIECE, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = T{} - a[i];
    });
}

template <class T> void mul(T *__restrict out, const T *a, const T *b, size_t n) {
    parallel(n, PIECE, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = a[i] * b[i];
    });
}

// A shift by the full width is undefined in C++ and zero here.
template <class T> void shl(T *__restrict out, const T *a, unsigned s, size_t n) {
    if (s >= WIDTH<T>) return void(memset(out, 0, n * sizeof(T)));
    parallel(n, PIECE, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = a[i] << s;
    });
}

template <class T> void shr(T *__restrict out, const T *a, unsigned s, size_t n) {
    if (s >= WIDTH<T>) return void(memset(out, 0, n * sizeof(T)));
    parallel(n, PIECE, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = a[i] >> s;
    });
}

template <class T>
void rep3_mul(T *__restrict out, const T *x0, const T *x1, const T *y0, const T *y1, const T *z, size_t n) {
    parallel(n, PIECE / 2, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = x0[i] * (y0[i] + y1[i]) + x1[i] * y0[i] + z[i];
    });
}

template <class T>
void rep3_dot(T *__restrict out, const T *x0, const T *x1, const T *y0, const T *y1, const T *z, size_t n, size_t m) {
    const auto part = [=](size_t at, size_t begin, size_t end) {
        T s{};
        for (size_t j = at + begin; j < at + end; ++j) s = s + (x0[j] * (y0[j] + y1[j]) + x1[j] * y0[j]);
        return s;
    };
    if (n < 4 && m > 2 * PIECE) {  // few long sums: cut each into pieces; the order of exact additions is free
        constexpr size_t MOST = 64;
        const size_t step = (m + MOST - 1) / MOST;
        for (size_t i = 0; i < n; ++i) {
            T partial[MOST] = {};
            T *sums = partial;
            parallel(MOST, 1, [=](size_t b, size_t end) {
                for (; b < end; ++b) {
                    const size_t low = b * step < m ? b * step : m, high = low + step < m ? low + step : m;
                    sums[b] = part(i * m, low, high);
                }
            });
            T s = z[i];
            for (const T &t : partial) s = s + t;
            out[i] = s;
        }
        return;
    }
    const size_t rows = m ? (PIECE / 2 + m - 1) / m : n;
    parallel(n, rows ? rows : 1, [=](size_t i, size_t end) {
        for (; i < end; ++i) out[i] = part(i * m, 0, m) + z[i];
    });
}

}  // namespace
}  // namespace tacit::TACIT_TARGET
