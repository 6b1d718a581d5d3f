"""Windows at secret starts, shifted by the bits of the start: n·log n selections where all windows are n²."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array.ops import kind_dtype
from tacit.array.secret import SecretArray

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

MANY = 1 << 20
"""Elements of all windows together from which they are not laid side by side: 16 MB of shares."""


def long(shape: Sequence[int], sizes: Sequence[int], hidden: Sequence[int]) -> int | None:
    """Return the one axis with a secret start if its windows are better shifted, or None."""
    if len(hidden) != 1:
        return None
    n, size = shape[hidden[0]], sizes[hidden[0]]
    places = n - size + 1
    return hidden[0] if places * size > max(MANY, 4 * n * places.bit_length()) else None


def window(it: Interpreter, x: SecretArray, axis: int, start: SecretArray, size: int) -> SecretArray:
    """Return the `size` elements of an axis from a secret start on, which is moved inside."""
    n = x.shape[axis]
    for bit, step in _bits(it, start, n - size):
        # As many as later steps may still need; behind the end is nothing that is asked for.
        keep = min(n, size + 2 * step - 1)
        here = _part(x, axis, 0, min(keep, x.shape[axis]))
        moved = _padded(it, _part(x, axis, step, x.shape[axis]), axis, 0, here.shape[axis])
        x = xp.where(bit, moved, here)
        x = _part(x, axis, 0, min(x.shape[axis], size + step - 1))
    return _part(x, axis, 0, size)


def put(it: Interpreter, x: SecretArray, u: SecretArray, axis: int, start: SecretArray) -> SecretArray:
    """Return x with the elements of an axis from a secret start on, which is moved inside, replaced by u."""
    n, size = x.shape[axis], u.shape[axis]
    shape = tuple(size if a == axis else 1 for a in range(x.ndim))
    covers = it.lift(np.ones(shape, np.int64))
    for bit, step in reversed(_bits(it, start, n - size)):
        grown = min(n, u.shape[axis] + step)
        u, covers = (
            xp.where(bit, _padded(it, v, axis, step, grown), _padded(it, v, axis, 0, grown))
            for v in (u, covers)
        )
    return xp.where(xp.greater(_padded(it, covers, axis, 0, n), 0), _padded(it, u, axis, 0, n), x)


def _bits(it: Interpreter, start: SecretArray, most: int) -> list[tuple[SecretArray, int]]:
    """Return the bits of a start within [0, most], and their weights, the highest first."""
    start = xp.minimum(xp.maximum(start, 0), most)
    count = most.bit_length()
    found = xp._bind("bits", xp.reshape(start, (1,)), at=list(range(count)))
    return [(xp.reshape(found[i], ()), 1 << i) for i in reversed(range(count))]


def _part(x: SecretArray, axis: int, first: int, last: int) -> SecretArray:
    return x[tuple(slice(first, last) if a == axis else slice(None) for a in range(x.ndim))]


def _padded(it: Interpreter, x: SecretArray, axis: int, before: int, size: int) -> SecretArray:
    """Return x behind so many zeros, cut or filled with zeros to a size."""
    x = _part(x, axis, 0, min(x.shape[axis], size - before))

    def nought(count: int) -> list[SecretArray]:
        shape = tuple(count if a == axis else s for a, s in enumerate(x.shape))
        return [it.lift(np.zeros(shape, kind_dtype(x.dtype)))] if math.prod(shape) else []

    parts = [*nought(before), x, *nought(size - before - x.shape[axis])]
    return xp.concat(parts, axis=axis) if len(parts) > 1 else x
