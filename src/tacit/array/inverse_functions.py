"""Inverse trigonometric, hyperbolic and error functions, powers, the gamma function; composed from the op table.

Errors are absolute, in units of the last place; tests/unit/test_inverse_functions.py sweeps them.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.array import functions as xp
from tacit.array.elementary import _series, scaled_erfc, sinc_of_square
from tacit.array.secret import SecretArray
from tacit.errors import RangeError
from tacit.gadgets import smooth

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atanh",
    "digamma",
    "erfinv",
    "hypot",
    "lgamma",
    "logaddexp",
    "power",
    "sin_over",
]

_EXPONENTS = 32
"""Up to so many known whole exponents of one power are taken by products, each of the elements it belongs to."""
# Stirling's series begins where its terms fall fast enough; the recurrence brings arguments there.
SHIFT = 8
STIRLING = tuple(
    b / (2 * i * (2 * i - 1)) for i, b in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730), 1)
)


def _fixed(x: Any) -> SecretArray:
    return xp.astype(xp._number(x), "fixed")


def _signed(x: SecretArray, fn: Any) -> SecretArray:
    """Return the odd function whose values for x ≥ 0 `fn` computes."""
    upper = fn(xp.abs(x))
    return upper if x.aval.lo >= 0 else xp.where(xp.less(x, 0), xp.negative(upper), upper)


def _inside(x: SecretArray, name: str, lo: float, hi: float, open_ends: bool = False) -> None:
    span = x.aval
    if span.lo < lo or span.hi > hi or (open_ends and (span.lo == lo or span.hi == hi)):
        where = f"strictly between {lo:g} and {hi:g}" if open_ends else f"in [{lo:g}, {hi:g}]"
        raise RangeError(
            f"{name} of a value in [{span.lo:.6g}, {span.hi:.6g}], which is not {where}; clip it, or state what you "
            "know with tacit.assume(x, lo, hi)"
        )


# -- inverse trigonometric ------------------------------------------------------------------------------------


def _asin_series(z: Decimal) -> Decimal:
    return smooth.atan((z / (1 - z)).sqrt()) / z.sqrt()


def _small_asin(w: SecretArray) -> SecretArray:
    """Return the arc sine of 0 ≤ w ≤ 1/2."""
    w = xp.assume(w, 0.0, min(w.aval.hi, 0.5 + 2.0**-8), "a sine of at most a twelfth of a turn")
    return xp.multiply(w, _series(_asin_series, xp.square(w), 0.0, 0.26))


def _upper_asin(a: SecretArray) -> SecretArray:
    if a.aval.hi <= 0.5:
        return _small_asin(a)
    # asin a = π/2 − 2·asin √((1 − a)/2), and 1 − a is exact where the arc sine is steep.
    far = xp.greater(a, 0.5)
    turned = xp.multiply(xp.sqrt(xp.maximum(xp.subtract(1.0, a), 0.0)), math.sqrt(0.5))
    angle = _small_asin(xp.where(far, turned, a))
    return xp.where(far, xp.subtract(math.pi / 2, xp.multiply(angle, 2)), angle)


def asin(x: SecretArray) -> SecretArray:
    """Arc sine of a value in [−1, 1]; 6 units."""
    x = _fixed(x)
    _inside(x, "asin", -1, 1)
    return _signed(x, _upper_asin)


def acos(x: SecretArray) -> SecretArray:
    """Arc cosine of a value in [−1, 1]; 6 units."""
    return xp.subtract(math.pi / 2, asin(x))


# -- inverse hyperbolic ---------------------------------------------------------------------------------------


def _upper_asinh(a: SecretArray) -> SecretArray:
    # √(a² + 1) as the greater of a and 1, times √(1 + (lesser/greater)²): nothing is squared that is large.
    greater = xp.maximum(a, 1.0)
    share = xp.assume(xp.divide(xp.minimum(a, 1.0), greater), 0.0, 1 + 2.0**-8, "the lesser over the greater")
    root = xp.multiply(greater, xp.sqrt(xp.add(xp.square(share), 1.0)))
    return xp.log(xp.maximum(xp.add(a, root), 1.0))


def asinh(x: SecretArray) -> SecretArray:
    """Inverse hyperbolic sine; 8 units."""
    return _signed(_fixed(x), _upper_asinh)


def acosh(x: SecretArray) -> SecretArray:
    """Inverse hyperbolic cosine of x ≥ 1; 8 units."""
    x = _fixed(x)
    _inside(x, "acosh", 1, math.inf)
    root = xp.multiply(xp.sqrt(xp.subtract(x, 1.0)), xp.sqrt(xp.add(x, 1.0)))
    return xp.log(xp.maximum(xp.add(x, root), 1.0))


def atanh(x: SecretArray) -> SecretArray:
    """Inverse hyperbolic tangent of −1 < x < 1; 4 units."""
    x = _fixed(x)
    _inside(x, "atanh", -1, 1, open_ends=True)
    ends = xp.log(xp.stack([xp.add(x, 1.0), xp.subtract(1.0, x)]))
    return xp.multiply(xp.subtract(ends[0], ends[1]), 0.5)


# -- the error function's inverse -----------------------------------------------------------------------------


def _by_gap(gap: Decimal) -> Decimal:
    """Return erfinv(x)/x for 1 − x² = e^(−gap): Newton's iteration for the logarithm of erfc."""
    rest = (-gap).exp()
    x = (1 - rest).sqrt()
    goal, y = (rest / (1 + x)).ln(), gap.sqrt()
    for _ in range(50):
        scaled = scaled_erfc(y)
        step = (scaled.ln() - y * y - goal) * scaled * smooth.PI.sqrt() / 2
        y += step
        if abs(step) < Decimal("1e-10"):  # the next one would be its square
            break
    return y / x


def _by_root(v: Decimal) -> Decimal:
    return _by_gap(v * v)


def erfinv(x: SecretArray) -> SecretArray:
    """Inverse of the error function for −1 < x < 1; 8 units (M. Giles, "Approximating the erfinv function", 2011)."""
    x = _fixed(x)
    _inside(x, "erfinv", -1, 1, open_ends=True)
    gap = xp.negative(xp.sum(xp.log(xp.stack([xp.subtract(1.0, x), xp.add(x, 1.0)])), 0))
    most = -math.log1p(-(x.aval.magnitude**2)) + 0.01
    gap = xp.assume(gap, -(2.0**-8), most, "−log(1 − x²)")
    if most <= 5:
        return xp.multiply(x, _series(_by_gap, gap, 0.0, 5.0))
    near = _series(_by_gap, xp.minimum(gap, 5.0), 0.0, 5.0)
    top = max(4.0, math.ceil(math.sqrt(most)))
    far = _series(_by_root, xp.sqrt(xp.maximum(gap, 4.9)), 2.2, top)
    return xp.multiply(x, xp.where(xp.less(gap, 5.0), near, far))


# -- powers and lengths ---------------------------------------------------------------------------------------


def power(x: Any, y: Any) -> SecretArray:
    """x^y = e^(y·ln x) for x > 0, either secret; the relative error is 4 units for each one of y, and of y·ln x.

    An array of a few known whole exponents takes products instead, as one exponent does: they are closer, if none is
    below zero, and a base that may be zero or negative has nothing else.
    """
    if not isinstance(y, SecretArray) and (each := _whole_powers(x, np.asarray(y))) is not None:
        return each
    x, y = xp._pair(x, y)
    x, y = _fixed(x), _fixed(y)
    if x.aval.lo <= 0:
        raise RangeError(
            f"a power of a value in [{x.aval.lo:.6g}, {x.aval.hi:.6g}], which may be zero or negative, to an exponent "
            "that is not a known whole number; keep the base positive, for example maximum(x, 0.01)"
        )
    return xp.exp(xp.multiply(y, xp.log(x)))


def _whole_powers(x: SecretArray, y: npt.NDArray[Any]) -> SecretArray | None:
    """Return x^y for known exponents that are whole, each element by its own; None if they are not, or too many."""
    exponents = np.unique(y)
    if not 0 < exponents.size <= _EXPONENTS or not all(float(e).is_integer() for e in exponents):
        return None
    if exponents[0] < 0 < x.aval.lo:
        return None
    shape = np.broadcast_shapes(x.shape, y.shape)
    flat = xp.reshape(xp.broadcast_to(_fixed(x), shape), -1)
    each = np.broadcast_to(y, shape).ravel()
    order = np.argsort(each, kind="stable")
    ends = np.searchsorted(each[order], exponents, side="right")
    parts = [
        xp.pow(xp.take(flat, places), int(exponent))
        for exponent, places in zip(exponents, np.split(order, ends[:-1]), strict=True)
    ]
    return xp.reshape(xp.take(xp.concat(parts), np.argsort(order)), shape)


def hypot(x: Any, y: Any) -> SecretArray:
    """√(x² + y²), one of whose ranges must exclude zero; 4 units for each one of the result, and 2."""
    x, y = xp._pair(x, y)
    a, b = xp.abs(_fixed(x)), xp.abs(_fixed(y))
    most = xp.maximum(a, b)
    if most.aval.lo <= 0:
        raise RangeError(
            "hypot of values that may both be zero; keep one away from zero, or take sqrt(x*x + y*y)"
        )
    share = xp.assume(xp.divide(xp.minimum(a, b), most), 0.0, 1 + 2.0**-8, "the lesser over the greater")
    return xp.multiply(most, xp.sqrt(xp.add(xp.square(share), 1.0)))


def logaddexp(x: Any, y: Any) -> SecretArray:
    """Ln(e^x + e^y), from the greater one so that nothing grows; 6 units."""
    x, y = xp._pair(x, y)
    x, y = _fixed(x), _fixed(y)
    gap = xp.exp(xp.negative(xp.abs(xp.subtract(x, y))))
    return xp.add(xp.maximum(x, y), xp.log(xp.add(gap, 1.0)))


def sin_over(x: SecretArray) -> SecretArray:
    """Sin(x)/x, which is 1 at 0; 6 units."""
    x = _fixed(x)
    a = xp.abs(x)
    near = _series(sinc_of_square, xp.square(xp.minimum(a, 2.0)), 0.0, 4.0)
    if a.aval.hi <= 2:
        return near
    far = xp.maximum(a, 1.5)
    return xp.where(xp.less(a, 2.0), near, xp.divide(xp.sin(far), far))


# -- the gamma function ---------------------------------------------------------------------------------------


def _steps(x: SecretArray, name: str) -> tuple[SecretArray, SecretArray]:
    """Return x, x + 1, …, x + 7 along a first axis, and x + 8."""
    x = _fixed(x)
    _inside(x, name, 0, math.inf, open_ends=True)
    places = np.arange(float(SHIFT)).reshape(-1, *[1] * x.ndim)
    return xp.add(xp.expand_dims(x, 0), places), xp.add(x, float(SHIFT))


def lgamma(x: SecretArray) -> SecretArray:
    """Logarithm of the gamma function of x > 0; 24 units, and 4 for each one of x (Stirling's series)."""
    steps, z = _steps(x, "lgamma")
    inverse = xp.reciprocal(z)
    square = xp.square(inverse)
    series = xp.multiply(inverse, _horner(square, STIRLING))
    main = xp.subtract(xp.multiply(xp.subtract(z, 0.5), xp.log(z)), z)
    shift = xp.sum(xp.log(steps), 0)
    return xp.subtract(xp.add(xp.add(main, series), math.log(2 * math.pi) / 2), shift)


def digamma(x: SecretArray) -> SecretArray:
    """Logarithmic derivative of the gamma function of x > 0; 24 units and 2^-18 of 1/x."""
    steps, z = _steps(x, "digamma")
    inverse = xp.reciprocal(z)
    square = xp.square(inverse)
    series = xp.multiply(square, _horner(square, tuple((2 * i + 1) * c for i, c in enumerate(STIRLING))))
    shift = xp.sum(xp.reciprocal(steps), 0)
    return xp.subtract(xp.subtract(xp.log(z), xp.multiply(inverse, 0.5)), xp.add(series, shift))


def _horner(x: SecretArray, coefficients: tuple[float, ...]) -> SecretArray:
    total: Any = coefficients[-1]
    for c in coefficients[-2::-1]:
        total = xp.add(xp.multiply(x, total), c)
    return total
