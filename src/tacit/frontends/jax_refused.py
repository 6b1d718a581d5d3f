"""What to write instead of what is refused of JAX: primitives without a rule, functions whose results may be NaN."""

from __future__ import annotations

_POLYNOMIAL = "use a polynomial on a bounded range"
_BITS = "secrets are not floats of 64 bits; compare with zero, or use & | ^ and shifts on whole numbers"
_DRAW = "draw randomness from a fixed key, outside of what secrets decide"
REMEDIES: dict[str, str] = {
    **dict.fromkeys(
        ["igamma", "igammac", "regularized_incomplete_beta"],
        f"as an integral it has no short form; {_POLYNOMIAL}",
    ),
    **dict.fromkeys(["bessel_i0e", "bessel_i1e", "polygamma", "zeta", "random_gamma_grad"], _POLYNOMIAL),
    **dict.fromkeys(
        ["eig", "schur", "hessenberg"], "its eigenvalues may be complex; eigh takes symmetric matrices"
    ),
    **dict.fromkeys(["lu_pivots_to_permutation", "tridiagonal"], "use eigh, qr or solve"),
    "householder_product": "use jnp.linalg.qr",
    "geqrf": "use jnp.linalg.qr",
    "bitcast_convert_type": _BITS,
    **dict.fromkeys(["random_bits", "threefry2x32", "rng_bit_generator"], _DRAW),
    "nextafter": "fixed point has no next number of its own; add a step that you choose",
    "cumlogsumexp": "use log(cumsum(exp(x))) on a bounded range",
    "reduce": "use sum, prod, max, min, any or all",
    "fft": "write it as a product with the matrix of the transform",
    "complex": "keep real and imaginary parts apart",
    "pure_callback": "secrets exist only as shares; compute with array operations",
    "io_callback": "secrets exist only as shares; compute with array operations",
    **dict.fromkeys(["debug_callback", "debug_print"], "a secret cannot be printed; reveal it on purpose"),
}

INSTEAD: dict[str, str] = {
    "corrcoef": "a column that does not vary has no correlation, and shares have no NaN; tacit.stats.correlation "
    "says which columns vary",
    "gcd": "its steps go on until nothing is left; take as many as the greatest number may need, 10 below 100: "
    "lax.fori_loop(0, 10, lambda i, c: (jnp.where(c[1] > 0, c[1], c[0]), jnp.where(c[1] > 0, c[0] % "
    "jnp.maximum(c[1], 1), 0)), (x, y))[0]",
    "packbits": "JAX adds eight bits up in a type that they just fit; write "
    "bits.astype(int).reshape(-1, 8) @ 2 ** jnp.arange(7, -1, -1)",
    "polyfit": "powers of a column that does not vary determine no polynomial; tacit.stats.ols says whether they do",
}
"""By the function's name in jax.numpy, for what is refused inside of it."""
