"""Operations that only move elements: no message, no rounding, the same code on shares and in the clear."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import intervals as iv
from tacit.array.ops import Op, Params
from tacit.array.program import Aval
from tacit.core.share import Share, join
from tacit.errors import NotRealised, ShapeError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
Move = Callable[[Array], Array]
Prepare = Callable[[tuple[int, ...], Params], Move]
"""What moves the elements of an array of a shape, or ValueError, IndexError, TypeError, AxisError."""


def _moved(a: Aval, shape: tuple[int, ...]) -> list[Aval]:
    return [Aval(tuple(int(s) for s in shape), a.kind, a.lo, a.hi)]


def _probe(name: str, prepare: Prepare) -> Callable[[list[Aval], Params], list[Aval]]:
    """Derive the result's shape by moving an array that takes no memory."""

    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        shape = ins[0].shape
        try:
            return _moved(
                ins[0], prepare(shape, params)(np.broadcast_to(np.zeros((), np.uint8), shape)).shape
            )
        except (ValueError, IndexError, TypeError, np.exceptions.AxisError) as exc:
            raise ShapeError(f"{name} of shape {shape} with {params}: {exc}") from None

    return abstract


def _mover(name: str, prepare: Prepare) -> Op:
    def clear(vals: list[Array], params: Params) -> list[Array]:
        return [prepare(vals[0].shape, params)(vals[0])]

    def lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
        return [rt.share(vals[0]).map(prepare(vals[0].aval.shape, params))]

    return Op(name, _probe(name, prepare), clear, lower, prepare=prepare)


def _reshape(shape: tuple[int, ...], params: Params) -> Move:
    to = tuple(params["shape"])
    return lambda a: a.reshape(to)


def _transpose(shape: tuple[int, ...], params: Params) -> Move:
    order = tuple(params["perm"])
    return lambda a: a.transpose(order)


def _flip(shape: tuple[int, ...], params: Params) -> Move:
    axes = tuple(params["axes"])
    return lambda a: np.flip(a, axes)


def _broadcast(shape: tuple[int, ...], params: Params) -> Move:
    to, dims = tuple(params["shape"]), params["dims"]
    if len(dims) != len(shape) or sorted(set(dims)) != list(dims):
        raise ValueError("dims must name one result axis for each axis, in order")
    middle = [1] * len(to)
    for axis, d in enumerate(dims):
        middle[d] = shape[axis]
    return lambda a: np.broadcast_to(a.reshape(middle), to)


def _slice(shape: tuple[int, ...], params: Params) -> Move:
    steps, keys = params.get("steps") or [1] * len(shape), []
    for start, stop, step, size in zip(params["start"], params["stop"], steps, shape, strict=True):
        if not (0 <= start <= stop <= size and step > 0):
            raise ValueError(f"slice {start}:{stop}:{step} leaves an axis of {size}")
        keys.append(slice(start, stop, step))
    key = tuple(keys)
    return lambda a: a[key]


def _take(shape: tuple[int, ...], params: Params) -> Move:
    idx, axis = np.asarray(params["indices"], np.int64), params["axis"]
    if idx.size and (idx.min() < 0 or idx.max() >= shape[axis]):
        raise IndexError(f"an index leaves the axis of {shape[axis]}")
    steps = np.diff(idx) if idx.ndim == 1 else idx
    # Every other row is a view, as a slice is; but a few rows of many do not keep the others in memory.
    if steps.size and steps[0] > 0 and np.all(steps == steps[0]) and 2 * idx.size >= shape[axis]:
        key = (slice(None),) * axis + (slice(int(idx[0]), int(idx[-1]) + 1, int(steps[0])),)
        return lambda a: a[key]
    return lambda a: np.take(a, idx, axis=axis)


def _take_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    a, axis, idx = ins[0], params["axis"], np.asarray(params["indices"])
    if axis >= len(a.shape) or (idx.size and (idx.min() < 0 or idx.max() >= a.shape[axis])):
        raise ShapeError(f"take of shape {a.shape}: an axis or an index leaves it")
    return _moved(a, (*a.shape[:axis], idx.size, *a.shape[axis + 1 :]))


def _concat_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    if len({a.kind for a in ins}) != 1:
        raise ShapeError("concat: the kinds differ; convert first")
    axis, first = params["axis"], ins[0].shape
    rest = {(*a.shape[:axis], *a.shape[axis + 1 :]) for a in ins}
    if axis >= len(first) or len(rest) != 1 or len({len(a.shape) for a in ins}) != 1:
        raise ShapeError(
            f"concat along axis {axis} of shapes {[a.shape for a in ins]}: they differ elsewhere"
        )
    shape = (*first[:axis], sum(a.shape[axis] for a in ins), *first[axis + 1 :])
    # Of nothing but empty arrays the ranges stay what they are, so that what is composed of it stays allowed.
    lo, hi = iv.hull(*((a.lo, a.hi) for a in ([a for a in ins if a.size] or ins)))
    return [Aval(shape, ins[0].kind, lo, hi)]


def _index(vals: list[Array], size: tuple[int, ...], sizes: list[int]) -> tuple[slice, ...]:
    # As in JAX, a start that would leave the array is moved back inside.
    starts = [min(max(int(v), 0), s - n) for v, s, n in zip(vals, size, sizes, strict=True)]
    return tuple(slice(s, s + n) for s, n in zip(starts, sizes, strict=True))


def _public_index(vals: list[Value]) -> list[Array]:
    found = []
    for v in vals:
        if v.data is None or v.aval.where != "public":
            raise NotRealised("an index must be public here; look up with a one-hot selection instead")
        found.append(v.data)
    return found


def _dynamic_slice_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    a = ins[0]
    if len(params["sizes"]) != len(a.shape) or any(
        n > s for n, s in zip(params["sizes"], a.shape, strict=True)
    ):
        raise ShapeError(f"dynamic_slice of {params['sizes']} from shape {a.shape}")
    return _moved(a, tuple(params["sizes"]))


def _dynamic_slice_clear(vals: list[Array], params: Params) -> list[Array]:
    return [vals[0][_index(vals[1:], vals[0].shape, params["sizes"])]]


def _dynamic_slice_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    key = _index(_public_index(vals[1:]), vals[0].aval.shape, params["sizes"])
    return [rt.share(vals[0])[key]]


def _dynamic_update_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    a, u = ins[0], ins[1]
    if len(u.shape) != len(a.shape) or any(n > s for n, s in zip(u.shape, a.shape, strict=True)):
        raise ShapeError(f"dynamic_update of shape {u.shape} in shape {a.shape}")
    if a.kind != u.kind:
        raise ShapeError("dynamic_update: the kinds differ; convert first")
    lo, hi = iv.hull((a.lo, a.hi), (u.lo, u.hi))
    return [Aval(a.shape, a.kind, lo, hi)]


def _dynamic_update_clear(vals: list[Array], params: Params) -> list[Array]:
    out = vals[0].copy()
    out[_index(vals[2:], out.shape, list(vals[1].shape))] = vals[1]
    return [out]


def _dynamic_update_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    key = _index(_public_index(vals[2:]), vals[0].aval.shape, list(vals[1].aval.shape))
    whole, part = rt.share(vals[0]), rt.share(vals[1])
    parts = []
    for a, u in zip(whole.parts, part.parts, strict=True):
        fresh = a.copy()
        fresh[key] = u
        parts.append(fresh)
    return [Share(tuple(parts))]


ENTRIES = [
    _mover("reshape", _reshape),
    _mover("transpose", _transpose),
    _mover("broadcast", _broadcast),
    _mover("slice", _slice),
    _mover("flip", _flip),
    dataclasses.replace(_mover("take", _take), abstract=_take_abstract),
    Op(
        "concat",
        _concat_abstract,
        lambda v, p: [np.concatenate(v, axis=p["axis"])],
        lambda rt, v, o, p: [join([rt.share(x) for x in v], p["axis"])],
    ),
    Op("dynamic_slice", _dynamic_slice_abstract, _dynamic_slice_clear, _dynamic_slice_lower),
    Op("dynamic_update", _dynamic_update_abstract, _dynamic_update_clear, _dynamic_update_lower),
]
