"""Steps from two additive parts to replicated shares, in NumPy: the specification of ``native/lift.h``.

Words are uint64; ``packed`` means ``pack_words``, of one bit where nothing else is said. Who holds which argument, and
why the protocols that use these steps are private, is said in ``protocols/rep3/lift.py`` and ``leading.py``.
"""

from __future__ import annotations

import numpy as np

from tacit.kernels.reference import pack_words, unpack_bool, unpack_words
from tacit.kernels.reference_waves import mask_rows, row
from tacit.kernels.shapes import Array


def _low(k: int) -> np.uint64:
    return np.uint64((1 << k) - 1)


def lift_product(alpha: Array, beta: Array, gamma: Array, bits: int, n: int) -> Array:
    """Return, packed, α·β − γ mod 2^bits."""
    a, b = (unpack_words(x, 1, n) for x in (alpha, beta))
    return pack_words((a & b) - unpack_words(gamma, bits, n), bits)


def lift_bit(m: Array, mask: Array, add: int, w: int) -> Array:
    """Return, packed, 1 − bit w−1 of m + add, XOR the mask."""
    top = (m + np.uint64(add)) >> np.uint64(w - 1) & np.uint64(1)
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
    """
    n = m.size
    shifted = (((m + np.uint64(add)) & _low(w)) >> np.uint64(f)) + np.uint64(constant) - t
    if k + f <= w:
        return pack_words(shifted & _low(k), k)
    x, y, z = (unpack_words(b, 1, n) for b in (mine, theirs, own))
    g, one = unpack_words(gamma, k - w + f, n), np.uint64(1)
    own_part = y & (x ^ z) if lead else (y & z) * (one - (x << one))
    p = own_part + np.where(x ^ y, -g.view(np.int64), g.view(np.int64)).view(np.uint64)
    return pack_words((shifted + (p << np.uint64(w - f))) & _low(k), k)


def bits_left(bits: Array, masks: Array, stride: int, width: int, n: int) -> Array:
    """Return the bits of planes as rows of `width` bits, less the masks (see ``reference_waves``)."""
    return mask_rows([unpack_bool(plane, n).astype(np.uint64) for plane in bits], masks, stride, width)


def bits_right(
    bits: Array, rows: Array, stride: int, weights: Array, masks: Array, lead: bool, width: int
) -> Array:
    """Return Σ_r weights[o, r]·((1 − 2γ_r)·row r + lead·γ_r) − masks[o] mod 2^64, for the planes γ."""
    out, n = -masks, masks.shape[1]
    for r, plane in enumerate(bits):
        held = row(rows, r, stride, width, n)
        v = np.where(unpack_bool(plane, n), np.uint64(lead) - held, held)
        out += weights[:, r, None] * v
    return out
