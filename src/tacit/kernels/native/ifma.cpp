// The products of CPUs with AVX512-IFMA and VNNI; all else is that of avx512. So are AMD's products modulo 2^64: one step of
// its multipliers is a whole vpmullq, of Intel's a third.
#include "product_ifma.h"
#include "right.h"

namespace tacit::TACIT_TARGET {

Kernels kernels() {
    Kernels k = avx512::kernels();
    if (!__builtin_cpu_is("amd")) k.narrow.whole = {product<Split, Split>, Choose<Split, Split, u64>::table()};
    k.narrow.low = {product<Low, Low>, Choose<Low, Low, u64>::table()};
    k.wide.whole = {product<SplitWide, SplitWide>, Choose<SplitWide, SplitWide, u128>::table()};
    return k;
}

}  // namespace tacit::TACIT_TARGET
