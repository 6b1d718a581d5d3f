"""The native sums of sines and powers behind the signatures of ``reference_waves``: allocate, call C++."""

from __future__ import annotations

import numpy as np

from tacit.kernels import _native
from tacit.kernels.compiled import held
from tacit.kernels.shapes import Array, Mask, Scales, halves


def waves_left(
    x: Array,
    masks: Mask,
    stride: int,
    rate: int,
    step: int,
    scale: float,
    harmonics: int,
    width: int,
) -> Array:
    """Return rows rint(scale·cos), rint(scale·sin) of every harmonic of x, less the masks."""
    out = np.empty(2 * harmonics * (-(-x.size * width // 8)), np.uint8)
    _native.waves_left(out, x, held(masks), stride, rate, step, scale, harmonics, width)
    return out


def waves_right(
    x: Array, rows: Mask, stride: int, rate: int, step: int, a: Array, b: Array, width: int
) -> Array:
    """Return Σ_j row 2j·rint(a_j cos + b_j sin) + row 2j+1·rint(b_j cos − a_j sin), mod 2^64; `a` may be empty."""
    out = np.empty(x.size, np.uint64)
    _native.waves_right(out, x, held(rows), stride, rate, step, a, b, width)
    return out


def powers_left(
    x: Array,
    masks: Mask,
    stride: int,
    rate: int,
    offset: int,
    step: int,
    scales: Scales,
    width: int,
) -> Array:
    """Return rows rint(2^(step·u)·scales[(h + j) mod digits]), h.u being x·rate + offset in digits, less the masks."""
    out = np.empty((-(-x.size * width // 8)) << scales.bits, np.uint8)
    _native.powers_left(out, x, held(masks), stride, rate, offset, step, *scales, width)
    return out


def powers_right(
    x: Array, rows: Mask, stride: int, rate: int, step: int, scale: float, bits: int, width: int
) -> Array:
    """Return row h·rint(2^(step·u)·scale) mod 2^64, h.u being x·rate in 2^bits digits."""
    out = np.empty(x.size, np.uint64)
    _native.powers_right(out, x, held(rows), stride, rate, step, scale, bits, width)
    return out


def lift_product(alpha: Array, beta: Array, gamma: Array, bits: int, n: int) -> Array:
    """Return, packed, α·β − γ mod 2^bits."""
    out = np.empty(-(-n * bits // 8), np.uint8)
    _native.lift_product(out, alpha, beta, gamma, bits, n)
    return out


def lift_bit(m: Array, mask: Array, add: int, w: int) -> Array:
    """Return, packed, 1 − bit w−1 of m + add, XOR the mask."""
    out = np.empty(-(-m.size // 8), np.uint8)
    _native.lift_bit(out, m, mask, *halves(add), w)
    return out


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
    """Return, packed, a party's part of a lifted sum: ((m + add) mod 2^w >> f) + p·2^(w−f) + constant − t mod 2^k."""
    out = np.empty(-(-m.size * k // 8), np.uint8)
    numbers = (*halves(add), *halves(constant))
    _native.lift_part(out, m, mine, theirs, own, gamma, t, *numbers, w, f, lead, k)
    return out


def bits_left(bits: Array, masks: Mask, stride: int, width: int, n: int) -> Array:
    """Return the bits of planes as rows of `width` bits, less the masks."""
    out = np.empty(bits.shape[0] * (-(-n * width // 8)), np.uint8)
    _native.bits_left(out, bits, held(masks), stride, bits.shape[0], width, n)
    return out


def bits_right(
    bits: Array, rows: Mask, stride: int, weights: Array, masks: Array, lead: bool, width: int
) -> Array:
    """Return Σ_r weights[o, r]·((1 − 2γ_r)·row r + lead·γ_r) − masks[o] mod 2^64, for the planes γ."""
    out, (outs, count) = np.empty(masks.shape, np.uint64), weights.shape
    _native.bits_right(out, bits, held(rows), stride, weights, masks, lead, count, outs, width)
    return out
