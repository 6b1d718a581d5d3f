"""Trigonometric and error functions, and other exponentials and logarithms, composed from the op table.

Errors are in units of the last place, absolute; tests/unit/test_elementary.py sweeps them.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.integers import parity
from tacit.array.secret import SecretArray
from tacit.errors import RangeError
from tacit.gadgets import smooth
from tacit.gadgets.polynomial import chebyshev_fit
from tacit.gadgets.waves import Real

__all__ = [
    "atan",
    "atan2",
    "cbrt",
    "cos",
    "erf",
    "erfc",
    "exp2",
    "expm1",
    "log1p",
    "log2",
    "log10",
    "sin",
    "tan",
]

LN2, LN10 = 0.6931471805599453, 2.302585092994046
# Coefficients are float64; what is left out of a series stays below this.
TOLERANCE = 2.0**-45
# Whole turns are subtracted with a float64 π, whose error grows with the argument.
MOST_ANGLE = 2.0**20
# erfc(6) = 2·10^-17 is zero in every format.
ERF_END = 6.0


def _series(fn: Real, x: SecretArray, lo: float, hi: float) -> SecretArray:
    """Return a polynomial for `fn` on [lo, hi]: powers in log2(degree) steps, one rounding for the sum."""
    c = chebyshev_fit(fn, lo, hi, TOLERANCE)
    u = xp.subtract(xp.multiply(x, 2 / (hi - lo)), (hi + lo) / (hi - lo))
    powers, degree = xp.reshape(u, (1, -1)), len(c) - 1
    while powers.shape[0] < degree:
        count = min(powers.shape[0], degree - powers.shape[0])
        powers = xp.concat([powers, xp.multiply(powers[:count], powers[-1:])])
    total = xp.matmul(np.array(c[1:])[None, :], powers)
    return xp.reshape(xp.add(total, c[0]), x.shape)


def _fixed(x: SecretArray) -> SecretArray:
    return xp.astype(xp._number(x), "fixed")


# -- exponentials and logarithms ------------------------------------------------------------------------------


def exp2(x: SecretArray) -> SecretArray:
    """2^x; the bound of exp, and 2 units of the argument."""
    return xp.exp(xp.multiply(_fixed(x), LN2))


def expm1(x: SecretArray) -> SecretArray:
    """e^x − 1; the bound of exp."""
    return xp.subtract(xp.exp(x), 1.0)


def log1p(x: SecretArray) -> SecretArray:
    """Ln(1 + x) for x > −1; the bound of log."""
    return xp.log(xp.add(_fixed(x), 1.0))


def log2(x: SecretArray) -> SecretArray:
    """Logarithm to base 2 for x > 0; 4 units."""
    return xp.multiply(xp.log(x), 1 / LN2)


def log10(x: SecretArray) -> SecretArray:
    """Logarithm to base 10 for x > 0; 3 units."""
    return xp.multiply(xp.log(x), 1 / LN10)


def cbrt(x: SecretArray) -> SecretArray:
    """Cube root of a value whose range excludes zero; 4 units and 2 units for each one of the result."""
    x = _fixed(x)
    if x.aval.hi < 0:
        return xp.negative(cbrt(xp.negative(x)))
    if x.aval.lo < 2.0**-16:
        raise RangeError(
            f"cbrt of a value in [{x.aval.lo:.6g}, {x.aval.hi:.6g}], which may be zero; keep it away from zero, for "
            "example maximum(x, 0.01)"
        )
    return xp.exp(xp.multiply(xp.log(x), 1 / 3))


# -- angles ---------------------------------------------------------------------------------------------------


def sinc_of_square(z: Decimal) -> Decimal:
    """Return sin(√z)/√z."""
    total = term = Decimal(1)
    for n in range(1, 40):
        term *= -z / (2 * n * (2 * n + 1))
        total += term
    return total


def check_angle(lo: float, hi: float) -> None:
    """Raise RangeError for angles beyond 2^20."""
    if max(abs(lo), abs(hi)) > MOST_ANGLE:
        raise RangeError(
            f"sine or cosine of a value in [{lo:.6g}, {hi:.6g}]; bound its argument by {MOST_ANGLE:g}"
        )


def _half_turn(x: SecretArray, shift: float) -> SecretArray:
    """Return sin(x − shift·π) for shift 0 or 1/2: to within a quarter turn of n·π, and (−1)^n·sin of what is left."""
    r, sign = x, None
    if shift or x.aval.magnitude > 1.58:
        n = xp.floor(xp.add(xp.multiply(x, 1 / math.pi), 0.5 - shift))
        r = xp.subtract(xp.subtract(x, xp.multiply(n, math.pi)), shift * math.pi)
        # The multiple of π that is subtracted is the nearest, up to the rounding of x/π.
        if r.aval.magnitude > 1.58:
            r = xp.assume(r, -1.58, 1.58, "what is left of an angle is at most a quarter turn")
        sign = xp.subtract(1, xp.multiply(parity(n), 2))
    out = xp.multiply(r, _series(sinc_of_square, xp.square(r), 0.0, 2.5))
    out = xp.assume(out, -1 - 2.0**-8, 1 + 2.0**-8, "a sine is between −1 and 1")
    return out if sign is None else xp.multiply(sign, out)


def sin(x: SecretArray) -> SecretArray:
    """Sine of |x| ≤ 2^20; 4 units and |x|·2^-52."""
    return xp._bind("sin", _fixed(x))


def long_sin(x: SecretArray) -> SecretArray:
    """Sine, from the nearest multiple of π."""
    return _half_turn(x, 0.0)


def cos(x: SecretArray) -> SecretArray:
    """Cosine of |x| ≤ 2^20; 4 units and |x|·2^-52."""
    return xp._bind("cos", _fixed(x))


def long_cos(x: SecretArray) -> SecretArray:
    """Cosine, from the nearest odd multiple of π/2."""
    return xp.negative(_half_turn(x, 0.5))


def tan(x: SecretArray) -> SecretArray:
    """Tangent where the range lies between two poles, 1/16 away from each; 4·(1 + t²) units for a result t."""
    lo, hi = x.aval.lo, x.aval.hi
    n = math.floor(lo / math.pi + 0.5) if abs(lo) <= MOST_ANGLE else 0
    left, right = lo - (n - 0.5) * math.pi, (n + 0.5) * math.pi - hi
    if min(left, right) < 1 / 16:
        raise RangeError(
            f"tan of a value in [{lo:.6g}, {hi:.6g}], which comes within 1/16 of a pole; bound its argument"
        )
    # One series would need the poles; sine and cosine have none, and away from the poles the cosine is not small.
    least = math.sin(min(left, right, math.pi / 2)) - 2.0**-8
    bottom = cos(x)
    span = (least, 1 + 2.0**-8) if n % 2 == 0 else (-1 - 2.0**-8, -least)
    bottom = xp.assume(bottom, *span, "the range of a tangent keeps away from the poles")
    return xp.divide(sin(x), bottom)


def _arctan_series(z: Decimal) -> Decimal:
    return smooth.atan(z.sqrt()) / z.sqrt()


def _first_octant(low: SecretArray, high: SecretArray) -> SecretArray:
    """Return atan(low/high) for 0 ≤ low ≤ high."""
    w = xp.assume(xp.divide(low, high), 0.0, 1 + 2.0**-8, "the lesser over the greater is at most one")
    return xp.multiply(w, _series(_arctan_series, xp.square(w), 0.0, 1.0))


def atan(x: SecretArray) -> SecretArray:
    """Arc tangent; 4 units."""
    return xp._bind("atan", _fixed(x))


def long_atan(x: SecretArray) -> SecretArray:
    """Arc tangent, from the quotient of the lesser of |x| and 1 over the greater."""
    a = xp.abs(x)
    one = xp._lift(x.context, 1.0)
    angle = _first_octant(xp.minimum(a, one), xp.maximum(a, one))
    if a.aval.hi > 1:
        angle = xp.where(xp.greater(a, 1.0), xp.subtract(math.pi / 2, angle), angle)
    return angle if x.aval.lo >= 0 else xp.where(xp.less(x, 0), xp.negative(angle), angle)


def atan2(y: Any, x: Any) -> SecretArray:
    """Angle of the point (x, y), one of whose ranges must exclude zero; 4 units."""
    y, x = xp._pair(y, x)
    y, x = _fixed(y), _fixed(x)
    a, b = xp.abs(x), xp.abs(y)
    most = xp.maximum(a, b)
    if most.aval.lo <= 0:
        raise RangeError(
            f"atan2 of values in [{y.aval.lo:.6g}, {y.aval.hi:.6g}] and [{x.aval.lo:.6g}, {x.aval.hi:.6g}], which "
            "may both be zero; keep one away from zero"
        )
    angle = _first_octant(xp.minimum(a, b), most)
    angle = xp.where(xp.greater(b, a), xp.subtract(math.pi / 2, angle), angle)
    if x.aval.lo < 0:
        angle = xp.where(xp.less(x, 0), xp.subtract(math.pi, angle), angle)
    return angle if y.aval.lo >= 0 else xp.where(xp.less(y, 0), xp.negative(angle), angle)


# -- the error function ---------------------------------------------------------------------------------------


def scaled_erfc(x: Decimal) -> Decimal:
    """Return e^(x²)·erfc(x) for 0 ≤ x ≤ 7, to 15 digits at least of the context's 40."""
    total = term = x
    for n in range(1, 1000):
        term *= 2 * x * x / (2 * n + 1)
        total += term
        if term < Decimal("1e-36"):
            break
    return (x * x).exp() - 2 * total / smooth.PI.sqrt()


def _by_share(t: Decimal) -> Decimal:
    return scaled_erfc(2 / t - 2)


def _upper_erfc(a: SecretArray) -> SecretArray:
    """Return erfc(a) for a ≥ 0: e^(−a²) times a series in 2/(2 + a); beyond 6 the argument is 6."""
    if a.aval.hi > ERF_END:
        a = xp.minimum(a, ERF_END)
    t = xp.divide(2.0, xp.add(a, 2.0))
    scaled = _series(_by_share, t, 0.25, 1.0)
    return xp.multiply(xp.exp(xp.negative(xp.square(a))), scaled)


def erfc(x: SecretArray) -> SecretArray:
    """Complement of the error function, 1 − erf(x); 6 units."""
    return xp.subtract(1.0, erf(x))


def erf(x: SecretArray) -> SecretArray:
    """Error function; 6 units."""
    return xp._bind("erf", _fixed(x))


def long_erf(x: SecretArray) -> SecretArray:
    """Error function, from e^(−x²)."""
    upper = xp.subtract(1.0, _upper_erfc(xp.abs(x)))
    return upper if x.aval.lo >= 0 else xp.where(xp.less(x, 0), xp.negative(upper), upper)
