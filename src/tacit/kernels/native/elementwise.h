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

}  // namespace
}  // namespace tacit::TACIT_TARGET
