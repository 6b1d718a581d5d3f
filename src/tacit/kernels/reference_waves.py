"""Sums of sines and powers of masked numbers in plain NumPy: the specification of their native twins.

Cosine, sine and powers of two in float64, bit for bit the same on every machine: two parties evaluate them on their
own machines and must get equal bits, which the C library does not promise. IEEE 754 fixes the result of one addition
or product, so sums and products in a fixed order suffice (NumPy never contracts two operations into one). Series:
Taylor's, to below 2^-52.

Rows are elements of `width` bits, packed low bit first; row r starts at bit r·stride of its buffer, or of a key stream.
"""

from __future__ import annotations

import numpy as np

from tacit.kernels import reference
from tacit.kernels.reference_aes import expanded
from tacit.kernels.shapes import Array, Mask, Scales

_TURN = 3.4061215800865545e-19  # 2π / 2^64
_LN2 = 0.6931471805599453
_SIN = (
    -1.6666666666666666e-01, 8.3333333333333333e-03, -1.9841269841269841e-04, 2.7557319223985893e-06,
    -2.5052108385441720e-08, 1.6059043836821613e-10, -7.6471637318198165e-13,
)  # fmt: skip
_COS = (
    -5.0000000000000000e-01, 4.1666666666666664e-02, -1.3888888888888889e-03, 2.4801587301587302e-05,
    -2.7557319223985888e-07, 2.0876756987868100e-09, -1.1470745597729725e-11, 4.7794773323873853e-14,
)  # fmt: skip
_EXP = (
    1.0, 5.0000000000000000e-01, 1.6666666666666666e-01, 4.1666666666666664e-02, 8.3333333333333332e-03,
    1.3888888888888889e-03, 1.9841269841269841e-04, 2.4801587301587302e-05, 2.7557319223985893e-06,
    2.7557319223985888e-07, 2.5052108385441720e-08, 2.0876756987868100e-09, 1.6059043836821613e-10,
)  # fmt: skip


def _series(z: Array, coefficients: tuple[float, ...]) -> Array:
    """Return 1 + c1·z + c2·z² + …, by Horner's rule."""
    out = np.full(z.shape, coefficients[-1])
    for c in coefficients[-2::-1]:
        out *= z
        out += c
    out *= z
    out += 1.0
    return out


def turn(angle: Array) -> tuple[Array, Array]:
    """Return (cos, sin) of uint64 angles, 2^64 being a full turn."""
    quarter = (angle + np.uint64(1 << 61)) >> np.uint64(62)
    rest = (angle - (quarter << np.uint64(62))).view(np.int64)  # within an eighth of a turn
    theta = rest.astype(np.float64) * _TURN
    z = theta * theta
    sin, cos = _series(z, _SIN), _series(z, _COS)
    sin *= theta
    odd = (quarter & np.uint64(1)).astype(bool)
    sin, cos = np.where(odd, cos, sin), np.where(odd, sin, cos)
    # A quarter turn takes (cos, sin) to (−sin, cos).
    return np.where((quarter == 1) | (quarter == 2), -cos, cos), np.where(quarter >= 2, -sin, sin)


def power(fraction: Array, step: int) -> Array:
    """Return 2^(step·u) for uint64 u = fraction / 2^64 in [0, 1) and step below 2^7."""
    # step·u = whole + rest with |rest| ≤ 1/2; whole < 2^7, so 57 bits of u remain exact.
    u = (fraction >> np.uint64(7)) * np.uint64(step)
    whole = (u + np.uint64(1 << 56)) >> np.uint64(57)
    rest = (u - (whole << np.uint64(57))).view(np.int64).astype(np.float64) * 2.0**-57
    return np.asarray(np.ldexp(_series(rest * _LN2, _EXP), whole.astype(np.int64)))


def _words(values: Array) -> Array:
    return np.rint(values).astype(np.int64).view(np.uint64)


def row(rows: Array, r: int, stride: int, width: int, n: int) -> Array:
    """Return row r, `n` elements."""
    start, skip = divmod(r * stride, 8)
    count = -(-(skip + n * width) // 8)
    held = rows[start : start + count]
    if skip:
        bits = np.unpackbits(held, bitorder="little")[skip : skip + n * width]
        held = np.packbits(bits, bitorder="little")
    return reference.unpack_words(np.ascontiguousarray(held[: -(-n * width // 8)]), width, n)


def mask_rows(values: list[Array], masks: Mask, stride: int, width: int) -> Array:
    """Return the values less the rows of the masks, mod 2^width, as whole rows of bytes."""
    n, masks = values[0].size, expanded(masks)
    out = [
        reference.pack_words(value - row(masks, r, stride, width, n), width) for r, value in enumerate(values)
    ]
    return np.concatenate(out)


def _harmonics(x: Array, rate: int, step: int, count: int) -> list[tuple[Array, Array]]:
    """Return (cos, sin) of n·x·rate, 2^64 being a turn, for n = 1, 1 + step and so on."""
    out = [turn(x * np.uint64(rate))]
    c, s = turn(x * np.uint64(rate * step % 2**64))
    for _ in range(count - 1):
        cos, sin = out[-1]
        out.append((cos * c - sin * s, sin * c + cos * s))
    return out


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
    found = _harmonics(x, rate, step, harmonics)
    return mask_rows([_words(v * scale) for pair in found for v in pair], masks, stride, width)


def waves_right(
    x: Array, rows: Mask, stride: int, rate: int, step: int, a: Array, b: Array, width: int
) -> Array:
    """Return Σ_j row 2j·rint(a_j cos + b_j sin) + row 2j+1·rint(b_j cos − a_j sin), mod 2^64; `a` may be empty."""
    out, rows = np.zeros(x.size, np.uint64), expanded(rows)
    for j, (cos, sin) in enumerate(_harmonics(x, rate, step, b.size)):
        one, other = sin * b[j], cos * b[j]
        if a.size:
            one, other = cos * a[j] + one, other - sin * a[j]
        out += row(rows, 2 * j, stride, width, x.size) * _words(one)
        out += row(rows, 2 * j + 1, stride, width, x.size) * _words(other)
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
    bits, table = scales.bits, scales.table()
    at = x * np.uint64(rate) + np.uint64(offset)
    digit, value = at >> np.uint64(64 - bits), power(at << np.uint64(bits), step)
    last = np.uint64(table.size - 1)
    rows = [_words(value * table[(digit + np.uint64(j)) & last]) for j in range(table.size)]
    return mask_rows(rows, masks, stride, width)


def powers_right(
    x: Array, rows: Mask, stride: int, rate: int, step: int, scale: float, bits: int, width: int
) -> Array:
    """Return row h·rint(2^(step·u)·scale) mod 2^64, h.u being x·rate in 2^bits digits."""
    at = x * np.uint64(rate)
    digit, value = at >> np.uint64(64 - bits), _words(power(at << np.uint64(bits), step) * scale)
    rows = expanded(rows)
    held = np.stack([row(rows, r, stride, width, x.size) for r in range(1 << bits)])
    return np.asarray(value * held[digit, np.arange(x.size)])
