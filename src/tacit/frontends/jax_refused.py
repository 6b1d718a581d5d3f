"""What to write instead of a JAX primitive that has no rule."""

from __future__ import annotations

_POLYNOMIAL = "use a polynomial on a bounded range"
_BITS = "secrets have no bit operations; compare, or take the floor of a quotient"
_DRAW = "draw randomness from a fixed key, outside of what secrets decide"

REMEDIES: dict[str, str] = {
    **dict.fromkeys(["asin", "acos", "asinh", "acosh", "atanh"], _POLYNOMIAL),
    **dict.fromkeys(["erf_inv", "lgamma", "digamma", "igamma", "bessel_i0e"], _POLYNOMIAL),
    **dict.fromkeys(
        ["eig", "schur", "hessenberg"], "its eigenvalues may be complex; eigh takes symmetric matrices"
    ),
    **dict.fromkeys(["lu_pivots_to_permutation", "tridiagonal"], "use eigh, qr or solve"),
    "householder_product": "use jnp.linalg.qr",
    "geqrf": "use jnp.linalg.qr",
    **dict.fromkeys(["shift_left", "shift_right_logical", "shift_right_arithmetic", "reduce_xor"], _BITS),
    **dict.fromkeys(["population_count", "clz", "bitcast_convert_type", "nextafter"], _BITS),
    **dict.fromkeys(["random_bits", "threefry2x32", "rng_bit_generator"], _DRAW),
    **dict.fromkeys(["scatter-mul", "scatter-min", "scatter-max"], "combine with where and a reduction"),
    "cumlogsumexp": "use log(cumsum(exp(x))) on a bounded range",
    "reduce": "use sum, prod, max, min, any or all",
    "fft": "write it as a product with the matrix of the transform",
    "complex": "keep real and imaginary parts apart",
    "pure_callback": "secrets exist only as shares; compute with array operations",
    "io_callback": "secrets exist only as shares; compute with array operations",
    **dict.fromkeys(["debug_callback", "debug_print"], "a secret cannot be printed; reveal it on purpose"),
}
