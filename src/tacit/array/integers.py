"""Quotients, remainders and rounding to whole numbers: exact, with 8 fractional bits or more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array import intervals as iv
from tacit.array.program import PUBLIC
from tacit.array.secret import SecretArray
from tacit.array.words import weights_of, width
from tacit.errors import NotRealised, RangeError, ScaleError

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "ceil",
    "divmod_floor",
    "divmod_trunc",
    "floor_divide",
    "fmod",
    "parity",
    "population_count",
    "remainder",
    "round",
    "trunc",
]

# A quotient by a public value is off by less than a half below these sizes, in every format: see `_by_public`.
MOST_WHOLE = 2.0**52
MOST_FIXED = 2.0**30
# The relative error of a division is at most 2^-10, the absolute one far below 2^-6: see `divide_error`.
COARSE, SLACK = 2.0**-10, 2.0**-6
# Above this quotient, one division does not settle the last place: 480·COARSE + SLACK < 1/2.
SETTLED = 480
LESS = "a remainder is less than its divisor"


def floor_divide(x: Any, y: Any) -> SecretArray:
    """Greatest whole number not above x / y, exact, as int."""
    return divmod_floor(x, y)[0]


def remainder(x: Any, y: Any) -> SecretArray:
    """X − y·floor(x / y), with the sign of y, exact."""
    a, b, turned = _positive_divisor(x, y)
    if a.dtype == "int" and (by := _power_of_two(b)):
        low = a if 0 <= a.aval.lo <= a.aval.hi < 2**by else xp._bind("part", a, by=by, low=True)
        return xp.multiply(low, turned)
    return xp.multiply(_divmod(a, b)[1], turned)


def fmod(x: Any, y: Any) -> SecretArray:
    """X − y·trunc(x / y), with the sign of x, exact."""
    return divmod_trunc(x, y)[1]


def divmod_floor(x: Any, y: Any) -> tuple[SecretArray, SecretArray]:
    """Return floor(x / y) as int and what remains; y's range must exclude zero."""
    a, b, turned = _positive_divisor(x, y)
    q, r = _divmod(a, b)
    return q, xp.multiply(r, turned)


def divmod_trunc(x: Any, y: Any) -> tuple[SecretArray, SecretArray]:
    """Return x / y rounded toward zero, as int, and what remains; y's range must exclude zero."""
    a, b, turned = _positive_divisor(x, y)
    if a.aval.lo >= 0:
        q, r = _divmod(a, b)
        return q, xp.multiply(r, turned)
    if a.dtype == "int":
        # trunc(a/b) = floor((a + b − 1)/b) for negative a; the remainder is then less by as much.
        lift = xp.where(xp.less(a, 0), b - 1, 0)
        q, r = _divmod(xp.add(a, lift), b)
        top = _top(b) - 1
        r = _proved(xp.subtract(r, lift), max(-top, a.aval.lo), top, LESS)
        return q, xp.multiply(r, turned)
    below = xp.less(a, 0)
    q, r = _divmod(xp.abs(a), b)
    return xp.where(below, xp.negative(q), q), xp.multiply(xp.where(below, xp.negative(r), r), turned)


def _positive_divisor(x: Any, y: Any) -> tuple[SecretArray, Any, Any]:
    """Return ±x, |y| (NumPy if public) and the sign of y, of one shape; refuse what is not exact."""
    ctx = xp._context(x, y)
    a = xp._number(xp._lift(ctx, x))
    if isinstance(y, SecretArray):
        b = xp._number(y)
        if b.aval.lo <= 0 <= b.aval.hi:
            raise RangeError(iv.refuses_zero("a quotient", (b.aval.lo, b.aval.hi)))
        # Fixed-point values are whole multiples of one unit, and their quotients are as those of whole numbers.
        a, b = (xp.astype(v, "fixed") if "fixed" in (a.dtype, b.dtype) else v for v in (a, b))
        turned = 1 if b.aval.lo > 0 else -1
        if turned < 0:
            a, b = xp.negative(a), xp.negative(b)
        shape = xp._common_shape(a.shape, b.shape)
        # A public divisor that is not known yet becomes a reciprocal, as in `_by_public`, of a wider fixed-point value.
        _within(a, MOST_FIXED if b.aval.where == PUBLIC or b.dtype == "fixed" else MOST_WHOLE)
        return xp.broadcast_to(a, shape), xp.broadcast_to(b, shape), turned
    n = np.asarray(y)
    if n.dtype.kind in "iu" and n.size and not -(2**63) < int(n.min()) <= int(n.max()) < 2**63:
        raise RangeError("a divisor must have no more than 63 bits")
    n = n.astype(np.int64) if n.dtype.kind in "biu" else n.astype(np.float64)
    if n.dtype.kind == "f" and a.dtype == "int":
        a = xp.astype(a, "fixed")
    if a.dtype == "fixed" and np.any(np.ldexp(n, 16) != np.rint(np.ldexp(n.astype(float), 16))):
        raise NotRealised(
            "the remainder of a division by a value that 16 fractional bits do not hold depends on how it is "
            "rounded; use a multiple of 2^-16, or floor(x / y)"
        )
    if not np.all(n):
        raise RangeError("a quotient by zero")
    if not np.all(np.isfinite(n)):
        raise RangeError("a quotient by NaN or infinity")
    _within(a, MOST_WHOLE if a.dtype == "int" else MOST_FIXED)
    shape = xp._common_shape(a.shape, n.shape)
    signs = np.sign(n).astype(np.int64)
    if np.any(signs < 0):
        a = xp.multiply(a, signs if n.ndim else int(signs))
    turned = 1 if np.all(signs > 0) else signs if n.ndim else int(signs)
    return xp.broadcast_to(a, shape), np.abs(n), turned


def _within(a: SecretArray, most: float) -> None:
    if a.aval.magnitude > most:
        raise RangeError(
            f"a quotient of a value in [{a.aval.lo:.6g}, {a.aval.hi:.6g}] is exact only up to {most:.6g}; bound it"
        )


def _proved(x: SecretArray, lo: float, hi: float, why: str) -> SecretArray:
    lo, hi = max(lo, x.aval.lo), min(hi, x.aval.hi)
    return x if (lo, hi) == (x.aval.lo, x.aval.hi) else xp.assume(x, lo, hi, why)


def _top(b: Any) -> Any:
    return b.aval.hi if isinstance(b, SecretArray) else b.max(initial=1).item()


def _divmod(a: SecretArray, b: Any) -> tuple[SecretArray, SecretArray]:
    """Return floor(a/b) and a − b·floor(a/b) for b > 0."""
    if (by := _power_of_two(b)) is not None:
        return _by_power(a, by)
    q, r = _by_secret(a, b) if isinstance(b, SecretArray) else _by_public(a, b)
    # The estimate is the quotient or one less, so 0 ≤ r < 2b and one comparison settles it.
    r = _proved(r, 0, 2 * _top(b), "what a settled quotient leaves is below twice the divisor")
    more = xp.greater_equal(r, b)
    q = xp.add(q, xp.astype(more, "int"))
    # The quotient is monotone in each operand, so its ends are at corners.
    ends = (b.aval.lo, b.aval.hi) if isinstance(b, SecretArray) else (b.min(initial=_top(b)).item(), _top(b))
    low = min(math.floor(a.aval.lo / e) for e in ends)
    high = max(math.floor(a.aval.hi / e) for e in ends)
    q = _proved(q, low, high, "a quotient lies between those of the ends")
    r = xp.subtract(r, xp.where(more, b, 0) if a.dtype == "int" else xp.multiply(xp.astype(more, "int"), b))
    top = _top(b) - (a.dtype == "int")
    return q, _proved(r, 0, top, LESS)


def _power_of_two(b: Any) -> int | None:
    """Return k of 2^k, if a public divisor is that everywhere; else None."""
    if isinstance(b, SecretArray) or not b.size or np.any(b != b.flat[0]):
        return None
    number = b.flat[0].item()
    if isinstance(number, int):  # which may have more bits than a float
        return number.bit_length() - 1 if not number & (number - 1) else None
    half, by = math.frexp(number)
    return by - 1 if half == 0.5 else None


def _by_power(a: SecretArray, by: int) -> tuple[SecretArray, SecretArray]:
    """Return the quotient by 2^by and what it leaves: bits that are cut off."""
    if a.dtype == "int":
        q = _dropped(a, by, a.shape)
        return q, _proved(xp.subtract(a, xp.multiply(q, 2**by)), 0, 2**by - 1, LESS)
    # Shifted up a value is what it was; shifted down it could be rounded up to the next whole number.
    q = _dropped(xp.floor(a), by, a.shape) if by >= 0 else xp.floor(xp.multiply(a, 2.0**-by))
    return q, _proved(xp.subtract(a, xp.multiply(q, 2.0**by)), 0, 2.0**by, LESS)


def _by_public(a: SecretArray, n: Any) -> tuple[SecretArray, SecretArray]:
    """Return an estimate that is the quotient or one less, and what it leaves.

    The product with 1/n is off by at most 13 units: up to the sizes that are admitted `split` has room for as many
    parts of the constant as it wants. The float64 1/n adds |a/n|·2^-53, at most a quarter for n ≥ 2. So the error is
    below a half, floor(estimate − 1/2) lies in (a/n − 2, a/n], and it is the quotient or one less.
    """
    if a.dtype == "int":
        if np.all(n == 1):
            return a, xp.multiply(a, 0)
        near = xp.multiply(a, np.where(n == 1, 0.0, 1.0 / n))
        q = _estimate(xp.subtract(near, 0.5))
        if np.any(n == 1):
            q = xp.where(np.broadcast_to(n == 1, a.shape), a, q)
        return q, xp.subtract(a, xp.multiply(q, n))
    q = _estimate(xp.subtract(xp.divide(a, n), 0.5))
    # n is a multiple of 2^-16, so the product is exact.
    return q, xp.subtract(a, xp.multiply(q, n.astype(np.float64)))


def _by_secret(a: SecretArray, b: SecretArray) -> tuple[SecretArray, SecretArray]:
    """Return an estimate that is the quotient or one less, and what it leaves.

    A division of v = r/b is off by at most |v|·2^-10 + 2^-6, so what its floor leaves is at most |r|·2^-10 + 1.1·b,
    and nine bits are won. Once |v| ≤ SETTLED the error is below a half, and floor(estimate − 1/2) is in (v − 2, v].
    """
    q = None
    largest, most = float(a.aval.magnitude), a.aval.magnitude / b.aval.lo
    r = a
    while most > SETTLED:
        step = _estimate(xp.divide(r, b))
        q = step if q is None else xp.add(q, step)
        r = xp.subtract(r, xp.multiply(step, b))
        most = most * COARSE + 1.1
        largest = math.ceil(largest * COARSE + 1.1 * b.aval.hi)
        r = _proved(r, -largest, largest, "what a quotient leaves is bounded by the error of the division")
    step = _estimate(xp.subtract(xp.divide(r, b), 0.5))
    return (step if q is None else xp.add(q, step)), xp.subtract(r, xp.multiply(step, b))


def _estimate(x: SecretArray) -> SecretArray:
    """Return the greatest whole number not above what shares of x are; a remainder settles it, `ratios` leaves it."""
    return xp._bind("floor", x, estimate=True)


# -- rounding -------------------------------------------------------------------------------------------------


def ceil(x: SecretArray) -> SecretArray:
    """Least whole number not below x, as int."""
    x = xp._number(x)
    return x if x.dtype == "int" else xp.negative(xp.floor(xp.negative(x)))


def trunc(x: SecretArray) -> SecretArray:
    """X rounded toward zero, as int."""
    return xp.astype(xp._number(x), "int")


def round(x: SecretArray) -> SecretArray:
    """Nearest whole number, halves to the even one, as int."""
    x = xp._number(x)
    if x.dtype == "int":
        return x
    up = xp.floor(xp.add(x, 0.5))
    tie = xp.equal(xp.subtract(xp.astype(up, "fixed"), x), 0.5)
    return xp.subtract(up, xp.astype(xp.logical_and(tie, xp.equal(parity(up), 1)), "int"))


def parity(n: SecretArray) -> SecretArray:
    """Return 1 for an odd whole number, 0 for an even one."""
    half = xp.floor(xp.multiply(n, 0.5))
    return _proved(xp.subtract(n, xp.multiply(half, 2)), 0, 1, "the remainder of a division by two is 0 or 1")


# -- whole numbers as bits, two's complement ------------------------------------------------------------------

Bitwise = Callable[[Any, Any], Any]
MOST_PLACES = 62


def _bits(x: Any, at: Sequence[int], ndim: int) -> Any:
    """Return the bits of whole numbers at rising places, truth values: places, then as many axes as asked for."""
    shape = (len(at), *[1] * (ndim - x.ndim), *x.shape)
    if not isinstance(x, SecretArray):
        return ((x >> np.reshape(at, (-1, *[1] * x.ndim))) & 1).astype(bool).reshape(shape)
    own = width(*_ends(x))
    low = [i for i in at if i < own]
    if len(low) == len(at):
        return xp.reshape(xp._bind("bits", x, at=low), shape)
    # Beyond its own bits a number has its sign.
    rest = (len(at) - len(low), *x.shape)
    if x.aval.lo >= 0:
        rows = [xp._bind("bits", x, at=low)] if low else []
        return xp.reshape(xp.concat([*rows, xp._lift(x.context, np.zeros(rest, bool))]), shape)
    known = xp._bind("bits", x, at=sorted({*low, own - 1}))
    return xp.reshape(xp.concat([known[: len(low)], xp.broadcast_to(known[-1:], rest)]), shape)


def _word(rows: SecretArray, places: Sequence[int], signed: bool) -> SecretArray:
    """Return the whole numbers that have these bits; if signed, the last is their sign."""
    return xp._bind("word", rows, weights=weights_of(places, signed))


def _bitwise(x: Any, y: Any, name: str, fn: Bitwise) -> SecretArray:
    ctx = xp._context(x, y)
    for v in (x, y):
        kind = (
            v.dtype
            if isinstance(v, SecretArray)
            else {"b": "bool", "i": "int", "u": "int"}.get(np.asarray(v).dtype.kind)
        )
        if kind != "int":
            raise ScaleError(
                f"{name} takes whole numbers; on truth values use & | ^ or logical_and, logical_or"
            )
    if not isinstance(x, SecretArray):
        x, y = y, x
    y = y if isinstance(y, SecretArray) else np.asarray(y, np.int64)
    spans, shape = [_ends(x), _ends(y)], xp._common_shape(x.shape, y.shape)
    # AND has no bit above those of one that is not negative, so none is looked at.
    most = [hi for lo, hi in spans if lo >= 0] if name == "bitwise_and" else []
    low, high = min(lo for lo, _ in spans), max(hi for _, hi in spans)
    count = min(most).bit_length() if most else width(low, high)
    if count - (low < 0 and not most) > MOST_PLACES:
        raise RangeError(
            f"{name} of a value in [{low:.6g}, {high:.6g}], whose bits are found up to 2^{MOST_PLACES}; bound it, "
            f"or keep its low bits where it is smaller, as x & 0xFFFF does, up to x & 2**{MOST_PLACES} - 1"
        )
    at = list(range(count))
    if name == "bitwise_and" and not isinstance(y, SecretArray):
        at = [i for i in at if np.any((y >> i) & 1)]
        if (
            most
            and len(at) == count
            and np.all(y == 2**count - 1)
            and 0 <= spans[0][0] <= spans[0][1] < 2**count
        ):
            return xp.broadcast_to(x, shape)
    if not at:
        return xp._lift(ctx, np.zeros(shape, np.int64))
    if most and not isinstance(y, SecretArray) and count > 1 and np.all(y == 2**count - 1):
        return xp.broadcast_to(xp._bind("part", x, by=count, low=True), shape)
    rows = _met(x, y, at, len(shape), name, fn)
    found = _word(xp.broadcast_to(rows, (len(at), *shape)), at, low < 0 and not most)
    return _proved(found, 0, min(most), "AND is not above either") if most else found


def _met(x: Any, y: Any, at: list[int], ndim: int, name: str, fn: Bitwise) -> SecretArray:
    """Return the bits of both, met; above those of the shorter one, OR and XOR have the bits of the other."""
    if name == "bitwise_and":
        a, b = _bits(x, at, ndim), _bits(y, at, ndim)
        return a if not isinstance(b, SecretArray) and b.all() else fn(a, b)
    for short, other in ((x, y), (y, x)):
        lo, hi = _ends(short)
        if lo >= 0 and (own := width(lo, hi)) < len(at):
            rows = _bits(other, at, ndim)
            if not own:
                return xp._lift(xp._context(x, y), rows)
            met = fn(rows[:own], _bits(short, at[:own], ndim))
            rest = rows[own:]
            shape = (len(at) - own, *met.shape[1:])
            rest = (
                xp.broadcast_to(rest, shape)
                if isinstance(rest, SecretArray)
                else np.broadcast_to(rest, shape)
            )
            return xp.concat([met, rest])
    return fn(_bits(x, at, ndim), _bits(y, at, ndim))


def _ends(x: Any) -> tuple[int, int]:
    """Return the least and the greatest that whole numbers may be."""
    if isinstance(x, SecretArray):
        return int(x.aval.lo), int(x.aval.hi)
    return (int(x.min()), int(x.max())) if x.size else (0, 0)


def bitwise_and(x: Any, y: Any) -> SecretArray:
    """Bits that both have; with a public 2^k − 1 it is the remainder by 2^k."""
    return _bitwise(x, y, "bitwise_and", xp.logical_and)


def bitwise_or(x: Any, y: Any) -> SecretArray:
    """Bits that either has."""
    return _bitwise(x, y, "bitwise_or", xp.logical_or)


def bitwise_xor(x: Any, y: Any) -> SecretArray:
    """Bits that one of them has."""
    return _bitwise(x, y, "bitwise_xor", xp.logical_xor)


def bitwise_invert(x: SecretArray) -> SecretArray:
    """Every bit changed: −x − 1; NOT of a truth value."""
    return xp.logical_not(x) if x.dtype == "bool" else xp.subtract(-1, _whole(x, "bitwise_invert"))


def population_count(x: SecretArray) -> SecretArray:
    """Count the bits that are 1 of whole numbers that are not negative."""
    x = _whole(x, "population_count")
    if x.aval.lo < 0:
        raise RangeError(
            f"population_count of a value in [{x.aval.lo:.6g}, {x.aval.hi:.6g}], which may be negative"
        )
    count = max(width(*_ends(x)), 1)
    if count > MOST_PLACES:
        raise RangeError(
            f"population_count of a value up to {x.aval.hi:.6g}, whose bits are found up to 2^{MOST_PLACES}; bound it"
        )
    return xp._bind("word", _bits(x, range(count), x.ndim), weights=np.ones(count, np.int64))


def _whole(x: SecretArray, name: str) -> SecretArray:
    if x.dtype == "fixed":
        raise ScaleError(f"{name} takes whole numbers; convert with astype, or floor")
    return xp._number(x)


def _amount(x: Any, by: Any, name: str) -> Any:
    """Return a public number of places, NumPy or an array of the session or trace; refuse what is none."""
    if isinstance(x, SecretArray):
        _whole(x, name)
    if isinstance(by, SecretArray):
        if by.aval.where != PUBLIC:
            raise NotRealised(
                f"{name} by a secret number of places; write the sum of where(k == i, …) over each i that k may be"
            )
        if by.dtype != "int" or by.aval.lo < 0 or by.aval.hi > MOST_PLACES:
            raise RangeError(
                f"{name} by a value in [{by.aval.lo:.6g}, {by.aval.hi:.6g}]; a number of places is a whole number "
                f"from 0 to {MOST_PLACES}"
            )
        return by
    places = np.asarray(by)
    if places.dtype.kind not in "iu" or np.any(places < 0) or np.any(places > MOST_PLACES):
        raise RangeError(f"{name} by {by}: a number of places is from 0 to {MOST_PLACES}")
    return places.astype(np.int64)


def _looked_up(by: SecretArray, row: Any) -> SecretArray:
    """Return row[by] for public numbers that only the run knows, as those of a loop's turn are: exact, no message."""
    low = int(by.aval.lo)
    row = row[low : int(by.aval.hi) + 1]
    at = np.arange(low, low + len(row)).reshape(-1, *[1] * by.ndim)
    one_of_them = xp.astype(xp.equal(xp.expand_dims(by, 0), at), "int")
    found = xp.sum(xp.multiply(one_of_them, row.reshape(at.shape)), 0)
    return _proved(found, int(row.min()), int(row.max()), "an entry of a public table")


def bitwise_left_shift(x: Any, by: Any) -> SecretArray:
    """x·2^by for a public `by`; what could overflow is refused."""
    by = _amount(x, by, "bitwise_left_shift")
    powers = 2 ** np.arange(MOST_PLACES + 1)
    return xp.multiply(x, _looked_up(by, powers) if isinstance(by, SecretArray) else powers[by])


def _dropped(x: SecretArray, by: int, shape: tuple[int, ...]) -> SecretArray:
    """Return whole numbers without their lowest bits."""
    lo, hi = _ends(x)
    own, shape = width(lo, hi), xp._common_shape(x.shape, shape)
    if by == 0 or own > MOST_PLACES + 1:
        found = floor_divide(x, 2**by) if by else x
    elif own <= by and lo >= 0:
        found = xp._lift(x.context, np.zeros(x.shape, np.int64))
    elif own <= by:
        found = _word(xp._bind("bits", x, at=[own - 1]), [0], True)
    else:
        found = xp._bind("part", x, by=by, low=False)
    return xp.broadcast_to(found, shape)


def bitwise_right_shift(x: Any, by: Any) -> SecretArray:
    """Floor of x / 2^by for a public `by`, exact."""
    small = isinstance(x, SecretArray) and width(x.aval.lo, x.aval.hi) <= MOST_PLACES + 1
    if small and not isinstance(by, SecretArray) and np.asarray(by).dtype.kind in "iu":
        # Of so many bits, one place more leaves no less than the sign, either.
        by = np.where(np.equal(by, MOST_PLACES + 1), MOST_PLACES, by)
    by = _amount(x, by, "bitwise_right_shift")
    if not isinstance(by, SecretArray):
        x, places = xp._number(x), np.unique(by)
        return _dropped(x, int(places[0]), by.shape) if len(places) == 1 else floor_divide(x, 2**by)
    x, most = xp._number(xp._lift(by.context, x)), int(by.aval.hi)
    shape = xp._common_shape(x.shape, by.shape)
    x, by = xp.broadcast_to(x, shape), xp.broadcast_to(by, shape)
    places = np.arange(MOST_PLACES + 1)
    if math.ldexp(x.aval.magnitude, most) <= MOST_FIXED:
        # x·2^(most − by) is exact, and its divisor the same for every amount.
        return floor_divide(xp.multiply(x, _looked_up(by, 2 ** np.maximum(most - places, 0))), 2**most)
    # What is larger has no room for that: 1, 2, 4, … places, each taken where the amount has that bit.
    for bit in range(most.bit_length()):
        has = _looked_up(by, places >> bit & 1)
        x = xp.where(xp.equal(has, 1), floor_divide(x, 2 ** (1 << bit)), x)
    return x
