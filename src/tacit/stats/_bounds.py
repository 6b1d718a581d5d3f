"""Declared bounds of columns, and statements about ranges that mathematics, not interval arithmetic, proves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.array import functions
from tacit.array.secret import SecretArray
from tacit.errors import RangeError, ShapeError

Floats = npt.NDArray[np.float64]

WHY = "proved from the declared bounds, in the docstrings of tacit.stats"
SLACK = 2.0**-6
"""Part of a span by which `within` reaches outward, so that rounding cannot make a true statement false."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Public bounds lo ≤ x ≤ hi of one column (0-d) or of k columns (1-d)."""

    lo: Floats
    hi: Floats

    @classmethod
    def of(cls, lo: float | Sequence[float], hi: float | Sequence[float]) -> Bounds:
        """Return checked bounds; RangeError if they are empty or not finite, ShapeError if they do not pair."""
        low, high = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
        if low.shape != high.shape or low.ndim > 1:
            raise ShapeError(
                f"bounds of shapes {low.shape} and {high.shape}: give one lo and one hi a column"
            )
        if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high)) and np.all(low <= high)):
            raise RangeError("a column's bounds need finite numbers with lo ≤ hi")
        return cls(low, high)

    @classmethod
    def join(cls, parts: Sequence[Bounds]) -> Bounds:
        """Return the bounds of several columns as one."""
        return cls(
            np.concatenate([np.atleast_1d(p.lo) for p in parts]),
            np.concatenate([np.atleast_1d(p.hi) for p in parts]),
        )

    @property
    def centre(self) -> Floats:
        """Middle of each bound."""
        return np.asarray(self.lo + (self.hi - self.lo) / 2)

    @property
    def half(self) -> Floats:
        """Half the width of each bound; 1 for a bound of one point, where any scale does."""
        half = (self.hi - self.lo) / 2
        return np.asarray(np.where(half > 0, half, 1.0))

    def __len__(self) -> int:
        return int(self.lo.size)


def number(x: Floats) -> Any:
    """Return a 0-d array as a Python number, which takes part in any namespace's arithmetic."""
    return float(x) if np.ndim(x) == 0 else x


def namespace(*xs: Any) -> Any:
    """Return the array API namespace of these, a session's or trace's before any other."""
    for x in xs:
        if isinstance(x, SecretArray):
            return x.__array_namespace__()
    for x in xs:
        if hasattr(x, "__array_namespace__"):
            return x.__array_namespace__()
    return np


def within(x: Any, lo: float, hi: float, slack: float = SLACK) -> Any:
    """State that x lies in [lo, hi], widened by `slack` of the span for rounding.

    On a session's or trace's array this narrows the interval unless that is narrow enough already; the plan
    lists it as an assumption, so each use carries its proof in a comment. On NumPy arrays it is checked and
    raises RangeError; on other arrays, which may be tracers without values, it does nothing.
    """
    room = (hi - lo) * slack
    lo, hi = lo - room, hi + room
    if isinstance(x, SecretArray):
        return x if lo <= x.aval.lo and x.aval.hi <= hi else functions.assume(x, lo, hi, WHY)
    if isinstance(x, np.ndarray | np.generic) and np.size(x):
        rounding = 1e-9 * max(abs(lo), abs(hi), 1.0)
        if not (float(np.min(x)) >= lo - rounding and float(np.max(x)) <= hi + rounding):  # also catches NaN
            raise RangeError(
                f"a value stated to lie in [{lo:.6g}, {hi:.6g}] does not; correct the table or the declared bound"
            )
    return x


def as_int(mask: Any) -> Any:
    """Return truth values as integers 0 and 1."""
    # The method, not the namespace's astype, which NumPy has only since 2.1.
    return mask.astype(namespace(mask).int32)


def as_number(values: Any) -> Any:
    """Return a column's values as numbers: truth values as 0 and 1, which go with bounds and codes."""
    return as_int(values) if str(values.dtype) == "bool" else values


def guard_scale(rows: int) -> int:
    """Return the power of two by which values per row are scaled, to keep bits below the last place.

    A total of `rows` terms in [−1, 1] times this factor stays below 2^13 for up to 2^12 rows, so that its product
    with another number of f fractional bits fits where 2f + 14 bits do: the 64-bit ring at f = 24.
    """
    return int(2 ** max(0, 12 - _bits(rows)))


def whole(rows: int) -> int:
    """Return the least power of two that is not below `rows`."""
    return int(2 ** _bits(rows))


def _bits(rows: int) -> int:
    return math.ceil(math.log2(max(rows, 1)))
