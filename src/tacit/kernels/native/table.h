// What a dispatch target offers: one function pointer for each kernel, on raw, checked, contiguous memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tacit {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using std::size_t;

// The memory of NumPy's U128 and of a little-endian unsigned __int128, but aligned to 8 bytes only.
struct u128 {
    u64 lo, hi;
};

// One term of a sum of matrix products: (a + a2) @ (b + b2), where a2 or b2 may be null.
template <class T> struct Term {
    const T *a, *a2, *b, *b2;
};

// Where the elements (i, j) of a batch of matrices lie: at batch[b] + first[i] + second[j]; null for whole matrices.
struct Places {
    const std::int64_t *batch, *first, *second;
};

// A batch of products (m,k) @ (k,n); an operand that is `turned` lies in memory as its transpose.
struct Shape {
    size_t batch, m, k, n;
    bool a_turned, b_turned;
    Places a_at, b_at;  // for both operands or for none
    // Where elements (i, j) of products of such operands are written, not added: to[i] + j * step, `apart` from those of
    // the next product.
    const std::int64_t *to = nullptr;
    size_t step = 0, apart = 0;
};

// Products of some rows at a time: the right operands b + b2 of the terms (k,n) are packed once.
template <class T> struct Prepared {
    size_t (*bytes)(size_t k, size_t n);  // of one packed operand
    void (*pack)(u8 *to, const Term<T> *terms, size_t count, size_t k, size_t n, bool turned);
    // c (m,n), preset by the caller, gains the sum of the terms' (a + a2) (m,k) @ packed operand which[t]. An a that
    // is turned is a part of `whole` rows. False for want of memory.
    bool (*rows)(T *c, const Term<T> *terms, const size_t *which, size_t count, const u8 *packed, size_t m, size_t whole,
                 size_t k, size_t n, bool turned);
};

constexpr unsigned LOW_BITS = 52;

template <class T> struct Products {
    // c (batch,m,n), preset by the caller, gains the sum of the terms' products (batch,m,k) @ (batch,k,n).
    void (*product)(T *c, const Term<T> *terms, size_t count, const Shape &shape);
    Prepared<T> prepared;
};

struct AesKeys {
    alignas(16) u8 round[11][16], keep[16];
};

// Masks that a kernel makes where it reads them: a key stream from block `first` on.
struct StreamPart {
    void (*blocks)(u8 *out, const AesKeys &keys, u64 high, u64 low, size_t count);
    AesKeys keys;
    u64 first;

    static constexpr size_t SLACK = 32;  // bytes of whole blocks around those that are read

    // Make bytes at, ..., at + n - 1 in `room`, of n + SLACK bytes; return where they begin there.
    const u8 *read(u8 *room, size_t at, size_t n) const {
        blocks(room, keys, 0, first + at / 16, (at % 16 + n + 15) / 16);
        return room + at % 16;
    }
};

// Packed words in memory, or made where they are read, or absent: then both are null.
struct Octets {
    const u8 *p;
    const StreamPart *made;
    explicit operator bool() const { return p || made; }
};

// Packed masks of words mod 2^k: `plus` and `minus` of k bits, and `moved` of `bits`, taken away if `less`; each may be absent.
struct Masks {
    Octets plus, minus, moved;
    unsigned bits;
    bool less;
};

// Words that are taken away: they lie in memory, or are made, mod 2^bits, and written there, too. Null: none.
template <class T> struct Drawn {
    T *words;
    const StreamPart *made;
};

// What becomes of masked words s, packed to `bits` each: (s + add mod 2^k >> shift) + constant - t. Without `out` the
// words stay as they are.
template <class T> struct Cut {
    u8 *out;
    Drawn<T> t;
    T add, constant;
    unsigned shift, bits;
};

// Where a comparison's planes are kept: rows of masks, `step` words apart, and two top planes.
struct Kept {
    u64 *masks;
    size_t step;
    u64 *top_own, *top_table;
};

// The kernels on elements of type T. n counts elements; out never overlaps an input.
template <class T> struct Ring {
    void (*add)(T *out, const T *a, const T *b, size_t n);
    void (*sub)(T *out, const T *a, const T *b, size_t n);
    void (*neg)(T *out, const T *a, size_t n);
    void (*mul)(T *out, const T *a, const T *b, size_t n);
    void (*shl)(T *out, const T *a, unsigned s, size_t n);
    void (*shr)(T *out, const T *a, unsigned s, size_t n);
    Products<T> whole, low;  // of all bits, and of the lowest LOW_BITS, with any bits above: null where that is no faster
    void (*to_planes)(u64 *out, const T *words, const T *plus, size_t bits, size_t n);
    void (*from_planes)(T *out, const u64 *planes, size_t bits, size_t length, size_t n);
    void (*pack_words)(u8 *out, const T *words, size_t bits, size_t n);
    void (*unpack_words)(T *out, const u8 *buf, size_t bits, size_t n);
    // Steps of replicated sharing in Z/2^k (rep3.h); x, y have `rows` rows of n, and z may be null.
    void (*rep3_products)(T *out, const T *x0, const T *x1, const T *y0, const T *y1, const Masks &masks,
                          const Cut<T> &cut, size_t rows, unsigned k, size_t n);
    void (*add_masks)(T *into, const Masks &masks, const Cut<T> &cut, unsigned k, size_t n);
    void (*trunc_first)(T *c1, u8 *message, T *out0, T *out1, const T *x, const T *y, const T *c0,
                        const u8 *s0, const u8 *t02, const u8 *t01, unsigned round_up, unsigned f, unsigned k, size_t n);
    void (*trunc_second)(u8 *message, const u8 *s, const T *b, const u8 *t, unsigned f, unsigned k, size_t n);
    void (*trunc_third)(T *edge, T *last, const T *c, const u8 *t, const T *b, const u8 *mine, const u8 *theirs,
                        unsigned round_up, unsigned f, unsigned k, size_t n);
    void (*select_first)(u8 *out, const u64 *bits0, const u64 *bits1, const T *x, const T *y, Octets rho0,
                         Octets rho1, unsigned k, size_t n);
    void (*select_second)(u8 *out, Octets m0, Octets m1, const u64 *bits, const T *x, const T *b, const Drawn<T> &t,
                          bool lead, unsigned k, size_t n);
    void (*select_trunc_first)(T *out, u8 *wraps, u8 *chosen, const u64 *bits0, const u64 *bits1, const T *x, const T *y,
                               const T *rho, const u8 *s0, const u8 *s1, unsigned f, unsigned k, size_t n);
    void (*select_trunc_second)(T *out, const T *m0, const T *m1, const T *x, const u8 *s, const u8 *r, const u64 *bits,
                                const T *b, const T *t, bool lead, unsigned f, unsigned k, size_t n);
    void (*bits_first)(T *out, const u64 *bits0, const u64 *bits1, const T *rho, size_t rows, unsigned k, size_t n);
    void (*bits_second)(T *out, const T *m, const u64 *bits, const T *t, bool lead, size_t rows, unsigned k, size_t n);
    // First steps of comparisons (signs.h).
    void (*table_first)(u64 *out, u64 *kept, const T *x, const T *y, Octets mask, size_t bits, bool top, unsigned radix,
                        size_t n);
    void (*table_second)(u64 *out, const Kept &kept, const T *b, Octets table, Octets mask, size_t bits, bool top,
                         unsigned radix, bool lead, size_t skip, size_t count, size_t n);
    // Rows that move (rows.h); all of `at` is below n, and nothing is written twice at a time.
    void (*moved)(T *words, u8 *packed, const T *x, const T *y, const u32 *at, const u8 *masks, unsigned sum, unsigned how,
                  unsigned k, size_t n);
    void (*placed)(T *out, const u8 *a, const u8 *b, const u32 *at, unsigned how, unsigned k, size_t n);
    bool (*places)(u32 *out, u64 *seen, const u8 *a, const u8 *b, unsigned how, unsigned k, size_t blocks, size_t rows);
};

enum How : unsigned { ADD, SUBTRACT, XOR };

// The bit planes that a party holds of rows first... of an array (sort.h): two parts, `length` words in each plane.
struct Third {
    const u64 *part0, *part1;
    size_t first, rows, length;
};

// Sums of products of rows: products of rows u and v; of each sum where its terms begin; of each term two numbers.
struct Terms {
    const std::int64_t *u, *v, *begins, *of_w, *of_share;
    size_t products;
};

constexpr size_t MOST_SEATS = 64;

// Rows (rows, columns) of words that meet in groups of k; seat i of group g is row first + i·apart + g·step, or the last
// row where there are fewer. An element lies at row·down + column·across.
struct Seats {
    size_t rows, columns, down, across, k, groups, apart, step, first;
};

struct Kernels {
    Ring<u64> narrow;
    Ring<u128> wide;
    void (*pack_bool)(u64 *out, const u8 *a, size_t n);
    void (*unpack_bool)(u8 *out, const u64 *words, size_t n);
    void (*add_planes)(u64 *out, const u64 *a, const u64 *b, size_t m, size_t length);
    void (*block_table)(u64 *out, const u64 *a, const u64 *mask, size_t m, size_t length, unsigned radix);
    void (*block_select)(u64 *g, u64 *p, const u64 *t, const u64 *b, size_t m, size_t length, unsigned radix,
                         bool lead);
    void (*place_rows)(u64 *out, size_t step, Octets from, size_t rows, size_t length);
    void (*and_rows)(u64 *out, const u64 *s0, const u64 *s1, const std::int64_t *a, const std::int64_t *b, Octets plus,
                     Octets minus, size_t first, size_t rows, size_t length);
    void (*lambda_rows)(u64 *out, const u64 *s0, const u64 *s1, const std::int64_t *x, const std::int64_t *y,
                        const u64 *mask, size_t held, size_t rows, size_t length);
    void (*sum_rows)(u64 *out, const u64 *w, const u64 *share, const u64 *sets, const Terms &terms, const u64 *mask,
                     bool lead, size_t sums, size_t length);
    void (*hot_first)(u64 *out, const u64 *bits0, const u64 *bits1, const u64 *rho, unsigned bits, unsigned k,
                      size_t length);
    void (*hot_second)(u64 *out, const u64 *held, const u64 *digit, const u64 *t, bool lead, unsigned bits, unsigned k,
                       size_t length);
    void (*sum_planes)(u64 *out, const u64 *a, const u64 *b, size_t count, unsigned k, size_t length);
    void (*digit_ranks)(u8 *message, u64 *at0, u64 *at1, const Third *thirds, size_t count, u32 one0, u32 one1,
                        const u8 *plus, const u8 *minus, unsigned bits, size_t rows, unsigned k);
    bool (*permutation)(u32 *out, const u64 *draws, size_t blocks, size_t n);
    void (*mix_rows)(u64 *out, const u64 *s, const u64 *z, const std::int64_t *a, const std::int64_t *b, size_t rows,
                     size_t length);
    // Levels of a tournament (seats.h).
    void (*seat_gaps)(u64 *out, const u64 *x, const Seats &s, unsigned bits);
    void (*seat_sums)(u64 *out, const u64 *steps, const u64 *x, const Seats &s, unsigned bits);
    void (*seat_wins)(u64 *out, const u64 *met, size_t k, size_t n, bool one, size_t length);
    void (*won_rows)(u64 *out, size_t at, const u64 *hot, bool one, size_t rows, size_t alone, size_t k, size_t columns);
    void (*rows_below)(u64 *out, size_t at, const u64 *above, size_t start, size_t rows, size_t k, size_t columns);
    void (*row_numbers)(u64 *out, u64 *held, u64 *room, size_t count, size_t columns, size_t length);
};

// One per compilation of target.cpp; ifma and amx replace the products of avx512.
namespace baseline { Kernels kernels(); }
namespace avx2 { Kernels kernels(); }
namespace avx512 { Kernels kernels(); }
namespace ifma { Kernels kernels(); }
namespace amx { Kernels kernels(); }

// AES-128-CTR (aes_x86.cpp, aes_arm.cpp): null without the CPU's AES instructions; there is no table-based AES.
struct Aes {
    const char *name;
    // Write nbytes of the key stream of a 16-byte key from the 128-bit counter (high, low), each block AND `keep`.
    void (*stream)(u8 *out, const u8 *key, u64 high, u64 low, size_t nbytes, u128 keep);
    AesKeys (*expand)(const u8 *key, u128 keep);
    // Write `count` whole blocks; the low half of the counter carries into the high one.
    void (*blocks)(u8 *out, const AesKeys &keys, u64 high, u64 low, size_t count);
};

Aes find_aes(bool allow_wide_vectors);

}  // namespace tacit
