"""Sorting, ranking and order statistics of secret arrays, NumPy's names.

An `order` is a secret permutation: make it once from the keys, arrange any number of columns by it. Ties keep their
places (every sort here is stable), and nothing is opened that tells anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.array.plain import array, bind, constant, kind_of, space, whole, within
from tacit.array.secret import SecretArray, axis_of
from tacit.errors import ShapeError, UsageError

APART = 64
"""Of so many times as many values as are wanted, the greatest are an operation of their own (`array/top.py`)."""


def order(keys: Any, descending: bool | Sequence[bool] = False) -> Any:
    """Return the order that sorts by the first key, ties by the next, along the last axis; stable."""
    held = list(keys) if isinstance(keys, list | tuple) else [keys]
    if not held:
        raise UsageError("an order needs at least one key")
    for key in held:
        array(key, "a key of an order")
    down = [descending] * len(held) if isinstance(descending, bool) else [bool(d) for d in descending]
    return bind("order", held, descending=down)[0]


def arrange(at: Any, *columns: Any) -> list[Any]:
    """Return the columns in this order: row i of the result is row at[i]."""
    return bind("arrange", [at, *columns]) if columns else []


def restore(at: Any, *columns: Any) -> list[Any]:
    """Undo `arrange`: row at[i] of the result is row i."""
    return bind("restore", [at, *columns]) if columns else []


def fill(flags: Any, *columns: Any) -> list[Any]:
    """Return, for each row, the columns of the nearest flagged row at or before it; zero before the first."""
    return bind("fill", [flags, *columns]) if columns else []


def shuffle(*columns: Any) -> list[Any]:
    """Return the columns with their rows (last axis) in one uniformly random order that nobody learns."""
    if not columns:
        return []
    return bind("shuffle", columns)


def _last(x: Any, axis: int) -> tuple[Any, list[int]]:
    last = axis_of(axis, array(x, "what is ordered").shape)
    axes = [i for i in range(x.ndim) if i != last] + [last]
    return space(x).permute_dims(x, axes), [int(i) for i in np.argsort(axes)]


def places_of(x: Any) -> Any:
    """Return the number of each element along the last axis."""
    return constant(x, np.broadcast_to(np.arange(x.shape[-1]), x.shape).copy())


def sort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Sort along `axis`."""
    moved, back = _last(x, axis)
    return space(x).permute_dims(arrange(order(moved, descending), moved)[0], back)


def argsort(x: Any, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """Return the places of the sorted values, as secret integers; ties in their own order."""
    moved, back = _last(x, axis)
    return space(x).permute_dims(arrange(order(moved, descending), places_of(moved))[0], back)


def argmax(x: Any, *, axis: int = 0) -> Any:
    """Return the place along `axis` of the greatest value, the first of equal ones, as a secret integer."""
    return _extreme_place(x, axis, least=False)


def argmin(x: Any, *, axis: int = 0) -> Any:
    """Return the place along `axis` of the least value, the first of equal ones, as a secret integer."""
    return _extreme_place(x, axis, least=True)


def cummax(x: Any, *, axis: int = 0) -> Any:
    """Return the greatest value so far, along `axis`."""
    return _running(x, axis, least=False)


def cummin(x: Any, *, axis: int = 0) -> Any:
    """Return the least value so far, along `axis`."""
    return _running(x, axis, least=True)


def _running(x: Any, axis: int, least: bool) -> Any:
    _, back = _last(x, axis)
    rows = _rows_of(x, axis)
    found = bind("running", [rows], least=least)[0]
    moved = space(x).permute_dims(found, [*range(1, x.ndim), 0])
    return space(x).permute_dims(moved, back)


def _rows_of(x: Any, axis: int) -> Any:
    """Return numbers with `axis` first."""
    moved, _ = _last(x, axis)
    rows = space(x).permute_dims(moved, [x.ndim - 1, *range(x.ndim - 1)])
    return space(x).astype(rows, "int") if kind_of(rows) == "bool" else rows


def _extreme_place(x: Any, axis: int, least: bool) -> Any:
    return bind("extreme", [_rows_of(x, axis)], least=least, place=True)[0]


def top_k(x: Any, k: int) -> tuple[Any, Any]:
    """Return the k greatest values along the last axis, greatest first, and their places."""
    if not array(x, "top_k: x").shape or not 0 <= whole(k, "top_k: k") <= x.shape[-1]:
        raise ShapeError(f"top_k of {k} from shape {x.shape}")
    if few(x.shape, k):
        values, places = bind("top", [space(x).astype(x, "int") if kind_of(x) == "bool" else x], k=k)
        return values, places
    values, places = sorted_first(x, x, places_of(x), k=k)
    return values, places


def sorted_first(x: Any, *columns: Any, k: int) -> list[Any]:
    """Return the first k of columns in the order of x, greatest first."""
    return [v[..., :k] for v in arrange(order(x, descending=True), *columns)]


def few(shape: tuple[int, ...], k: int) -> bool:
    """Return whether k are so few of each row's values that not all of them need be sorted."""
    return 0 < APART * k <= shape[-1]


def quantile(x: Any, q: Any, *, axis: int | None = None) -> Any:
    """Return the quantiles at public `q` in [0, 1], interpolated linearly as NumPy does; q's axes come first."""
    fn, wanted = space(x), _points(q, 1)
    moved, _ = _last(fn.reshape(x, (-1,)) if axis is None else x, -1 if axis is None else axis)
    n = moved.shape[-1]
    if n == 0:
        raise ShapeError("a quantile of no values does not exist")
    ranked = arrange(order(moved), moved)[0]
    at = wanted.reshape(-1) * (n - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, n - 1)
    below, above = (fn.take(ranked, i, axis=ranked.ndim - 1) for i in (low, high))
    share = at - low
    if np.any(share):
        below, above = fn.astype(below, "fixed"), fn.astype(above, "fixed")
        between = fn.multiply(fn.subtract(above, below), share)
        # A point between two values lies in their range, which intervals alone do not see.
        found = within(fn.add(below, between), x, "a quantile lies within its data's range")
    else:
        found = below
    found = fn.permute_dims(found, [found.ndim - 1, *range(found.ndim - 1)])
    return found if wanted.ndim else found[0]


def _points(q: Any, most: int) -> Any:
    """Return public points as float64; UsageError unless they lie between 0 and `most`."""
    try:
        points = None if isinstance(q, SecretArray) else np.asarray(q, np.float64)
    except (TypeError, ValueError):
        points = None
    if points is None or points.ndim > 1 or not np.all((points >= 0) & (points <= most)):
        raise UsageError(f"q must be one public number or a list of numbers between 0 and {most}")
    return points


def median(x: Any, *, axis: int | None = None) -> Any:
    """Return the median: the middle value, or the mean of the middle two."""
    return quantile(x, 0.5, axis=axis)


def percentile(x: Any, q: Any, *, axis: int | None = None) -> Any:
    """Return the quantiles at public `q` in [0, 100]."""
    return quantile(x, _points(q, 100) / 100, axis=axis)
