"""Counts, means, variances and cross tables of columns with missing values.

Written once against the Python array API standard: the same code is the clear check on NumPy, runs on JAX, and
runs on Tacit's arrays.

How it is arranged for joint computation. A column is (values with 0 where missing, a mask of what is present),
with a public bound [lo, hi]. Every value is centred on the bound's middle c and divided by its half width h, so
|u| ≤ 1. Then each quantity is ONE sum over the rows (axis 0) of something elementwise, so each owner can add up
its own rows in the clear and only totals are shared. What follows the totals has a few elements.

What is opened is the caller's choice; nothing here opens anything. Two ways are meant:

- the count is a declared result: reveal it first and pass it back as `n`. Division by it is then a
  multiplication with a public reciprocal;
- the count stays secret: leave `n` out, and the division is by the secret count.

Scaling back to the columns' own units uses public numbers only. On shares it costs bits of the ring (a variance
in mmHg² is ten thousand times one in standard units); so the results meant to be opened are those of
`standard_mean` and `standard_variance`, and `mean_in_units`, `variance_in_units` finish in the clear. `mean` and
`variance` do it on shares, for those who compute on.

With too few rows a mean or variance does not exist, and fixed point has no NaN: the functions then give the
centre (mean of no rows) or 0 (variance of fewer than two). `blank` turns these into NaN once the count is known;
a caller who prints them without it prints a wrong number.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tacit.errors import RangeError, ShapeError
from tacit.stats._bounds import (
    Bounds,
    Floats,
    as_int,
    as_number,
    guard_scale,
    namespace,
    number,
    whole,
    within,
)


class Totals(NamedTuple):
    """Totals of one column (0-d) or k columns (1-d) in standard units; totals of more rows add up."""

    n: Any
    """How many rows are present, int."""
    first: Any
    """Sum of u, within [−rows, rows]."""
    second: Any
    """Sum of u², within [0, rows]."""
    rows: int
    """Public number of rows, present or not."""

    def join(self, other: Totals) -> Totals:
        """Return the totals of both sets of rows."""
        return Totals(
            self.n + other.n, self.first + other.first, self.second + other.second, self.rows + other.rows
        )


class CrossTable(NamedTuple):
    """Exact counts by row group and column group: all rows, and those with the flag."""

    rows: Any
    flagged: Any


def standardise(values: Any, present: Any, bounds: Bounds) -> Any:
    """Return u = (x − centre) / half width where present and 0 where missing, so that |u| ≤ 1.

    `values` has shape (rows,) with the bounds of one column, or (rows, k) with those of k columns.
    """
    if values.shape != present.shape or bounds.lo.shape not in ((), values.shape[1:]):
        raise ShapeError(
            f"values {values.shape}, present {present.shape} and bounds {bounds.lo.shape} do not fit together"
        )
    xp = namespace(values, present)
    centre = number(bounds.centre)
    filled = xp.where(present, as_number(values), centre)
    # True because reading the table checked every present value against the bound.
    filled = within(filled, float(np.min(bounds.lo)), float(np.max(bounds.hi)), slack=0.0)
    return within((filled - centre) * number(1.0 / bounds.half), -1.0, 1.0)


def columns(arrays: Sequence[Any]) -> Any:
    """Return the arrays of shape (rows,) as the columns of one of shape (rows, k)."""
    return namespace(*arrays).stack(list(arrays), axis=1)


def count(present: Any) -> Any:
    """Return how many rows are present, exactly."""
    return namespace(present).sum(as_int(present), axis=0)


def totals(units: Any, present: Any) -> Totals:
    """Return count, sum and sum of squares of standardised columns."""
    xp = namespace(units)
    return Totals(count(present), xp.sum(units, axis=0), xp.sum(units * units, axis=0), int(units.shape[0]))


def at_least_one(n: Any, less: int = 0) -> Any:
    """Return max(n − less, 1), for a count that is secret, opened, or an ordinary number."""
    xp = namespace(n)
    return xp.maximum(n - less, 1)


def per_row(total: Any, n: Any, rows: int, less: int = 0) -> tuple[Any, int]:
    """Return (t·total/(n − less), t) for t = guard_scale(rows), |total| ≤ n ≤ rows; divisors below 1 count as 1.

    In two factors, total·t/w and w/(n − less) with w = whole(rows), because the second one is a number of few
    binary places that keeps its precision, where 1/n would not. It is one division if n is secret, whatever the
    number of totals. The error is about 2^−f·(w/n) and, relatively, 2^−f.
    """
    t, w = guard_scale(rows), whole(rows)
    inverse = namespace(n).divide(float(w), at_least_one(n, less))
    # n/(n − less) ≤ less + 1 for n > less; otherwise the divisor is 1 and |total| ≤ n ≤ less.
    reach = float(t * (less + 1))
    return within(total * (t / w) * inverse, -reach, reach), t


def standard_mean(sums: Totals, n: Any = None) -> Any:
    """Return means in standard units, within [−1, 1]; 0 where no row is present (see `blank`)."""
    scaled, t = per_row(sums.first, sums.n if n is None else n, sums.rows)
    return scaled * (1.0 / t)


def standard_variance(sums: Totals, n: Any = None, ddof: int = 1) -> Any:
    """Return variances over n − ddof in standard units; 0 where n ≤ ddof (see `blank`)."""
    scaled, t = _variance(sums, n, ddof)
    return scaled * (1.0 / t)


def _variance(sums: Totals, n: Any, ddof: int) -> tuple[Any, int]:
    """Return (t·variance, t) in standard units."""
    count_ = sums.n if n is None else n
    scaled, t = per_row(sums.first, count_, sums.rows)
    # Σ(u − ū)² = Σu² − (Σu)²/n lies in [0, Σu²] and Σu² ≤ n.
    around = within(sums.second - sums.first * scaled * (1.0 / t), 0.0, float(max(sums.rows, 1)))
    quotient, t = per_row(around, count_, sums.rows, ddof)
    # Rounding may leave a constant column a unit below zero.
    return namespace(quotient).maximum(quotient, 0.0), t


def mean_in_units(standard: Any, bounds: Bounds) -> Any:
    """Return means in the columns' own units from means in standard units, by public numbers only."""
    return standard * number(bounds.half) + number(bounds.centre)


def variance_in_units(standard: Any, bounds: Bounds) -> Any:
    """Return variances in the columns' own squared units from those in standard units, by public numbers only."""
    return standard * number(bounds.half**2)


def mean(sums: Totals, bounds: Bounds, n: Any = None) -> Any:
    """Return means in the columns' own units; the centre where no row is present (see `blank`)."""
    scaled, t = per_row(sums.first, sums.n if n is None else n, sums.rows)
    return scaled * number(bounds.half / t) + number(bounds.centre)


def variance(sums: Totals, bounds: Bounds, n: Any = None, ddof: int = 1) -> Any:
    """Return variances over n − ddof in squared units; 0 where n ≤ ddof (see `blank`)."""
    scaled, t = _variance(sums, n, ddof)
    return scaled * number(bounds.half**2 / t)


def standard_error(variance_: Any, n: Any) -> Any:
    """Return the standard error of the mean, √(variance / n).

    It follows from variance and count: where both are declared results, compute it from the opened values.
    """
    xp = namespace(variance_, n)
    return xp.sqrt(xp.divide(xp.maximum(variance_, 0.0), at_least_one(n)))


def blank(value: Any, n: Any, least: int) -> Floats:
    """Return opened `value` with NaN wherever fewer than `least` rows stand behind it (mean 1, variance 2)."""
    return np.where(np.asarray(n) >= least, np.asarray(value, np.float64), np.nan)


# -- cross tables -----------------------------------------------------------------------------------------


def code_masks(values: Any, present: Any, codes: Sequence[float]) -> Any:
    """Return masks (rows, codes): present and equal to each public code."""
    values = as_number(values)
    return columns([(values == c) & present for c in codes])


def band_masks(values: Any, present: Any, edges: Sequence[float]) -> Any:
    """Return masks (rows, bands): present and in [edge, next edge) for each pair of neighbours in `edges`."""
    if len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise RangeError("bands need two or more edges in ascending order")
    values = as_number(values)
    above = [values >= e for e in edges]
    return columns([a & ~b & present for a, b in itertools.pairwise(above)])


def cross_table(across: Any, down: Any, flag: Any, known: Any) -> CrossTable:
    """Count rows by two groupings, and those with `flag`; one exact product contracts the rows.

    `across` (rows, a) and `down` (rows, b) are masks, `flag` and `known` (rows,) the flag and where it is known.
    Rows where the flag is not known count nowhere. Returns counts of shape (a, b).
    """
    xp = namespace(across, down, flag)
    a = as_int(across & known[:, None])
    b = as_int(down)
    both = as_int(across & (flag & known)[:, None])
    right = xp.permute_dims(xp.concat([a, both], axis=1), (1, 0))
    counts = xp.matmul(right, b)
    groups = across.shape[1]
    return CrossTable(counts[:groups], counts[groups:])


def rates(table: CrossTable) -> Floats:
    """Return flagged over rows of an opened table; NaN where there are no rows."""
    rows, flagged = np.asarray(table.rows, np.float64), np.asarray(table.flagged, np.float64)
    return np.divide(flagged, rows, out=np.full(rows.shape, np.nan), where=rows > 0)
