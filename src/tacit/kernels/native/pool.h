// A small thread pool. It starts with the first large input, per process: a fork's child starts its own.
#pragma once

#include <cstddef>

namespace tacit {

// Call body(context, begin, end) over [0, count) in steps of at most grain, on several threads.
// A call that finds the pool busy (another Python thread has it) does the work alone.
void parallel_for(std::size_t count, std::size_t grain, void (*body)(void *, std::size_t, std::size_t), void *context);

void set_threads(int threads);
int get_threads();

// Static: each dispatch target keeps its own copy, so no linker can mix their instruction sets.
template <class F> static inline void parallel(std::size_t count, std::size_t grain, F body) {
    if (count <= grain) {
        if (count) body(std::size_t(0), count);
        return;
    }
    parallel_for(count, grain,
                 [](void *f, std::size_t begin, std::size_t end) { (*static_cast<F *>(f))(begin, end); }, &body);
}

}  // namespace tacit
