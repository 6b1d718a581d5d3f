"""Interval arithmetic for range analysis: outward, on Python numbers."""

from __future__ import annotations

import math
from functools import lru_cache

Interval = tuple[float, float]


def hull(*spans: Interval) -> Interval:
    """Return the smallest interval that holds all of them."""
    return min(s[0] for s in spans), max(s[1] for s in spans)


def add(a: Interval, b: Interval) -> Interval:
    """Return the interval of x + y."""
    return a[0] + b[0], a[1] + b[1]


def sub(a: Interval, b: Interval) -> Interval:
    """Return the interval of x − y."""
    return a[0] - b[1], a[1] - b[0]


def mul(a: Interval, b: Interval) -> Interval:
    """Return the interval of x·y."""
    corners = [_times(x, y) for x in a for y in b]
    return min(corners), max(corners)


def square(a: Interval) -> Interval:
    """Return the interval of x·x."""
    top = max(_times(a[0], a[0]), _times(a[1], a[1]))
    return (0 if a[0] <= 0 <= a[1] else min(_times(a[0], a[0]), _times(a[1], a[1]))), top


def scale(a: Interval, n: float) -> Interval:
    """Return the interval of a sum of n terms."""
    return _times(a[0], n), _times(a[1], n)


def reciprocal(a: Interval) -> Interval:
    """Return the interval of 1/x for an interval without zero."""
    return 1 / a[1], 1 / a[0]


def _times(x: float, y: float) -> float:
    # 0·inf is 0 here: a factor that is certainly zero makes the product zero.
    return 0 if x == 0 or y == 0 else x * y


def bits_of(magnitude: float, frac_bits: int) -> int:
    """Return b such that |x|·2^frac_bits < 2^b for every |x| ≤ magnitude, half a unit of rounding included."""
    if magnitude == math.inf or math.isnan(magnitude):
        return 1 << 20
    units = (
        math.ceil(magnitude) << frac_bits
        if magnitude >= 2**52
        else math.ceil(math.ldexp(magnitude, frac_bits))
    )
    return max(int(units + 1).bit_length(), 1)


@lru_cache(maxsize=1 << 12)
def rounded_bits(magnitude: float, frac_bits: int) -> int:
    """Return `bits_of` with a margin for a range that was assumed of the exact value; whole numbers have none."""
    if not frac_bits or not math.isfinite(magnitude):
        return bits_of(magnitude, frac_bits)
    return bits_of(magnitude + margin(magnitude, frac_bits), frac_bits)


def margin(magnitude: float, frac_bits: int) -> float:
    """Return what a computed value may pass an assumed end by: 1/32 of it and 256 units."""
    return magnitude * 2.0**-5 + math.ldexp(256.0, -frac_bits)


def refuses_zero(what: str, a: Interval) -> str:
    """Say that nothing is divided by what may be zero, or is not known not to be: its range is one interval."""
    why, signs = "which may be zero", ""
    if a[0] < 0 < a[1]:
        why += " by what is known of it (a range with both signs has zero inside, even if no value is zero)"
        signs = "; for both signs divide x * s by maximum(abs(y), 1), with s = where(y < 0, -1, 1)"
    return (
        f"{what} by a value in [{a[0]:.6g}, {a[1]:.6g}], {why}; keep it away from zero, for example maximum(y, 1), or "
        f"state what you know with tacit.assume(y, lo, hi){signs}"
    )
