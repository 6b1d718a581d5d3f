// The products of Intel's CPUs with AVX512-IFMA and VNNI; all else is that of avx512.
#include "product_ifma.h"
#include "right.h"

namespace tacit::TACIT_TARGET {

Kernels kernels() {
    Kernels k = avx512::kernels();
    k.narrow.product = product<Split, Split>;
    k.wide.product = product<SplitWide, SplitWide>;
    k.narrow.prepared = Choose<Split, Split, u64>::table();
    k.wide.prepared = Choose<SplitWide, SplitWide, u128>::table();
    return k;
}

}  // namespace tacit::TACIT_TARGET
