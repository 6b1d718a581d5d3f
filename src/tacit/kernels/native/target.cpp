// Compiled once for each dispatch target, with that target's instruction set; TACIT_TARGET is its name.
// No standard templates here: the linker could keep the copy with the newest instructions for everybody.
#include "blocks.h"
#include "elementwise.h"
#include "planes.h"
#include "product.h"
#include "rep3.h"
#include "right.h"
#include "rows.h"
#include "seats.h"
#include "signs.h"
#include "sort.h"
#if defined(__AVX2__) && !defined(__AVX512F__)
#include "product_avx2.h"
#endif

namespace tacit::TACIT_TARGET {
namespace {

#if defined(__AVX512F__)
using Block = Plain<u64, 8, 2>;
#elif defined(__AVX2__)
using Block = Halves;
#else
// Neither SSE2 nor NEON multiplies 64-bit lanes.
struct Scalar {
    u64 x;
};
inline Scalar operator+(Scalar a, Scalar b) { return {a.x + b.x}; }
inline Scalar operator*(Scalar a, Scalar b) { return {a.x * b.x}; }
template <> struct Reg<Scalar> {
    using type = Scalar;
    static constexpr size_t LANE = 1;
    static Scalar get(const Scalar *p, size_t = 1) { return *p; }
    static void set(Scalar *p, Scalar v, size_t) { *p = v; }
    static Scalar same(Scalar x) { return x; }
    static Scalar total(Scalar v) { return v; }
};
using Block = Plain<Scalar, 4, 2>;
#endif

template <class T> Ring<T> ring(const Products<T> &products) {
    return {add<T>,        sub<T>,        neg<T>,         mul<T>,         shl<T>,          shr<T>,         products,
            {},            to_planes<T>,  from_planes<T>, pack_words<T>,  unpack_words<T>,
            rep3_products<T>, add_masks<T>, trunc_first<T>, trunc_second<T>, trunc_third<T>, select_first<T>, select_second<T>,
            select_trunc_first<T>, select_trunc_second<T>, bits_first<T>, bits_second<T>,
            table_first<T>, table_second<T>, moved<T>, placed<T>, places<T>};
}

#if !defined(__AVX2__)
void scalar_product(u64 *c, const Term<u64> *terms, size_t count, const Shape &shape) {
    product<Block, Block>(reinterpret_cast<Scalar *>(c), reinterpret_cast<const Term<Scalar> *>(terms), count, shape);
}
#endif

}  // namespace

Kernels kernels() {
#if defined(__AVX2__)
    const auto narrow = product<Block, Block>;
#else
    const auto narrow = scalar_product;
#endif
    using Pair = Plain<u128, 2, 2>;
    return {ring<u64>({narrow, Choose<Block, Block, u64>::table()}),
            ring<u128>({product<Pair, Pair>, Choose<Pair, Pair, u128>::table()}),
            pack_bool,
            unpack_bool,
            add_planes,
            block_table,
            block_select,
            place_rows,
            and_rows,
            lambda_rows,
            sum_rows,
            hot_first,
            hot_second,
            sum_planes,
            digit_ranks,
            permutation,
            mix_rows,
            seat_gaps,
            seat_sums,
            seat_wins,
            won_rows,
            rows_below,
            row_numbers};
}

}  // namespace tacit::TACIT_TARGET
