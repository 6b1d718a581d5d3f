// Requests to valgrind, for constant_time.py, and mistakes that it must report.
#if !__has_include(<valgrind/memcheck.h>)
#error "no headers of valgrind"
#endif
#include <valgrind/memcheck.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace {
volatile std::uint32_t counted = 0;
volatile std::uint32_t table[256] = {};
}  // namespace

extern "C" {

int watched() { return RUNNING_ON_VALGRIND; }

void undefine(const void *p, std::size_t n) { VALGRIND_MAKE_MEM_UNDEFINED(p, n); }

// Bytes of which any bit is undefined.
std::size_t undefined(const void *p, std::size_t n) {
    std::vector<unsigned char> bits(n);
    if (!n || VALGRIND_GET_VBITS(p, bits.data(), n) != 1) return 0;
    std::size_t count = 0;
    for (unsigned char b : bits) count += b != 0;
    return count;
}

std::size_t reports() { return VALGRIND_COUNT_ERRORS; }

// A line of valgrind's report.
void say(const char *line) { VALGRIND_PRINTF("%s\n", line); }

void choose_by_branch(std::uint32_t *out, const std::uint32_t *bit) {
    if (*bit & 1) counted = counted + 1;
    *out = *bit;
}

void choose_by_look_up(std::uint32_t *out, const std::uint32_t *at) { *out = *at ^ table[*at & 255]; }

void choose_by_mask(std::uint32_t *out, const std::uint32_t *bit) { *out = 7 ^ ((7 ^ 11) & (0 - (*bit & 1))); }
}
