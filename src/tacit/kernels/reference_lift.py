"""Steps from two additive parts to replicated shares, in NumPy: the specification of ``native/lift.h``.

Words are uint64, or U128 for rings of more than 64 bits; ``packed`` means ``pack_words``, of one bit where nothing
else is said. Who holds which argument, and why the protocols that use these steps are private, is said in
``protocols/rep3/lift.py`` and ``leading.py``.
"""

from __future__ import annotations

import numpy as np

from tacit.kernels.reference import add as plus
from tacit.kernels.reference import mul, pack_words, shl, shr, sub, unpack_bool, unpack_words
from tacit.kernels.reference_aes import expanded
from tacit.kernels.reference_waves import mask_rows, row
from tacit.kernels.shapes import U128, Array, Mask, is_wide


def _words(a: Array, wide: bool) -> Array:
    """Return uint64 words or, if `wide`, U128 ones."""
    if not wide or is_wide(a):
        return a
    out = np.zeros(a.shape, U128)
    out["lo"] = a
    return out


def _number(value: int, n: int, wide: bool) -> Array:
    if not wide:
        return np.full(n, value % 2**64, np.uint64)
    out = np.empty(n, U128)
    out["lo"], out["hi"] = value % 2**64, value >> 64 & 2**64 - 1
    return out


def _low(a: Array, k: int) -> Array:
    """Return words mod 2^k."""
    full = 128 if is_wide(a) else 64
    return shr(shl(a, full - k), full - k)


def lift_product(alpha: Array, beta: Array, gamma: Array, bits: int, n: int) -> Array:
    """Return, packed, α·β − γ mod 2^bits."""
    wide = bits > 64
    a, b = (unpack_words(x, 1, n) for x in (alpha, beta))
    return pack_words(sub(_words(a & b, wide), unpack_words(gamma, bits, n, wide)), bits)


def lift_bit(m: Array, mask: Array, add: int, w: int) -> Array:
    """Return, packed, 1 − bit w−1 of m + add, XOR the mask; m is U128 if w > 64."""
    moved = shr(plus(m, _number(add, m.size, w > 64)), w - 1)
    top = (moved["lo"] if w > 64 else moved) & np.uint64(1)
    return pack_words(top ^ np.uint64(1), 1) ^ mask


def lift_part(
    m: Array,
    mine: Array,
    theirs: Array,
    own: Array,
    gamma: Array,
    t: Array,
    add: int,
    constant: int,
    w: int,
    f: int,
    lead: bool,
    k: int,
) -> Array:
    """Return, packed, ((m + add) mod 2^w >> f) + p·2^(w−f) + constant − t mod 2^k.

    With the bits x, y of `mine` and `theirs` and z of `own`, p is y·(x XOR z) if `lead`, else y·z·(1 − 2x), and in
    both cases (1 − 2x)(1 − 2y)·γ; γ has k − w + f bits. If that is none, p does not count, and those four are empty.
    m is U128 if w > 64, and t if k > 64.
    """
    n, wide = m.size, max(w, k) > 64
    moved = plus(_words(m, wide), _number(add, n, wide))
    out = sub(plus(shr(_low(moved, w), f), _number(constant, n, wide)), _words(t, wide))
    if k + f > w:
        x, y, z = (unpack_words(b, 1, n) for b in (mine, theirs, own))
        g = _words(unpack_words(gamma, k - w + f, n, wide), wide)
        one_less_2x, one_less_2y = (sub(_number(1, n, wide), _words(b << np.uint64(1), wide)) for b in (x, y))
        p = _words(y & (x ^ z) if lead else y & z, wide)
        if not lead:
            p = mul(p, one_less_2x)
        p = plus(p, mul(mul(g, one_less_2x), one_less_2y))
        out = plus(out, shl(p, w - f))
    return pack_words(out, k)


def bits_left(bits: Array, masks: Mask, stride: int, width: int, n: int) -> Array:
    """Return the bits of planes as rows of `width` bits, less the masks (see ``reference_waves``)."""
    return mask_rows([unpack_bool(plane, n).astype(np.uint64) for plane in bits], masks, stride, width)


def bits_right(
    bits: Array, rows: Mask, stride: int, weights: Array, masks: Array, lead: bool, width: int
) -> Array:
    """Return Σ_r weights[o, r]·((1 − 2γ_r)·row r + lead·γ_r) − masks[o] mod 2^64, for the planes γ."""
    out, n, rows = -masks, masks.shape[1], expanded(rows)
    for r, plane in enumerate(bits):
        held = row(rows, r, stride, width, n)
        v = np.where(unpack_bool(plane, n), np.uint64(lead) - held, held)
        out += weights[:, r, None] * v
    return out
