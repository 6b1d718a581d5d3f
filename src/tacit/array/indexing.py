"""NumPy's square brackets on arrays of a session or trace."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised, ShapeError, UsageError

__all__ = ["getitem"]


def getitem(x: SecretArray, key: Any) -> SecretArray:
    """NumPy's basic indexing, and one public integer array or list."""
    items = list(key) if isinstance(key, tuple) else [key]
    count = sum(1 for k in items if k is not None and k is not Ellipsis)
    if count > x.ndim:
        raise ShapeError(f"{count} indices for shape {x.shape}")
    if Ellipsis not in [k for k in items if not isinstance(k, np.ndarray | list | SecretArray)]:
        items.append(Ellipsis)
    at = next(i for i, k in enumerate(items) if k is Ellipsis)
    items[at : at + 1] = [slice(None)] * (x.ndim - count)
    start, stop, steps, flips, shape, fancy = [], [], [], [], [], None
    axis = 0
    for k in items:
        if k is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(k, slice):
            a, b, s = k.indices(n)
            length = len(range(a, b, s))
            if s < 0:
                flips.append(axis)
                a, b, s = (a + (length - 1) * s, a + 1, -s) if length else (0, 0, 1)
            elif not length:
                a = b = 0
            shape.append(length)
        elif isinstance(k, np.ndarray | list) and np.ndim(k) == 1:
            if fancy is not None:
                raise NotRealised("only one index array at a time")
            chosen = np.asarray(k)
            if chosen.dtype.kind == "b":
                if len(chosen) != n:
                    raise ShapeError(f"a mask of {len(chosen)} truth values for an axis of {n}")
                chosen = np.flatnonzero(chosen)
            fancy, (a, b, s) = (axis, chosen), (0, n, 1)
            shape.append(-2)
        else:
            a = _whole(k)
            if not -n <= a < n:
                raise ShapeError(f"index {a} leaves the axis of {n}")
            a %= n
            b, s = a + 1, 1
        start.append(a)
        stop.append(b)
        steps.append(s)
        axis += 1
    if fancy is not None and np.any(np.diff([i for i, k in enumerate(items) if not _spans(k)]) > 1):
        raise NotRealised(
            "NumPy moves the axis of an index array to the front where a slice stands between it and a number; write "
            "one step after the other, x[0][:, [1, 2]]"
        )
    out = x
    if (start, stop, steps) != ([0] * x.ndim, list(x.shape), [1] * x.ndim):
        out = xp._bind("slice", x, start=start, stop=stop, steps=steps)
    if flips:
        out = xp._bind("flip", out, axes=flips)
    if fancy is not None:
        out = xp.take(out, fancy[1], fancy[0])
        shape = [len(fancy[1]) if s == -2 else s for s in shape]
    return xp.reshape(out, shape)


def _spans(k: Any) -> bool:
    return k is None or isinstance(k, slice)


def _whole(k: Any) -> int:
    try:
        if not isinstance(k, bool | np.bool_):
            return operator.index(k)
    except TypeError:
        pass
    raise UsageError(
        "an index is a public whole number, a slice, None, an ellipsis, or one list of whole numbers or truth values, "
        f"not {type(k).__name__}; a mask of several axes goes into where(mask, x, 0)"
    )
