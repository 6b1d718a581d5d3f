"""Cosine, sine and powers of two in float64, bit for bit the same on every machine.

Two parties evaluate these on their own machines and must get equal bits, which the C library does not promise.
IEEE 754 fixes the result of one addition or product, so sums and products in a fixed order suffice (NumPy never
contracts two operations into one). Series: Taylor's, to below 2^-52.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

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


def power(fraction: Array, scale: int) -> Array:
    """Return 2^(scale·u) for uint64 u = fraction / 2^64 in [0, 1)."""
    # scale·u = whole + rest with |rest| ≤ 1/2; whole < 2^7, so 57 bits of u remain exact.
    u = (fraction >> np.uint64(7)) * np.uint64(scale)
    whole = (u + np.uint64(1 << 56)) >> np.uint64(57)
    rest = (u - (whole << np.uint64(57))).view(np.int64).astype(np.float64) * 2.0**-57
    return np.asarray(np.ldexp(_series(rest * _LN2, _EXP), whole.astype(np.int64)))
