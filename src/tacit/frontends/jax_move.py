"""JAX primitives that move elements, and the general product of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised
from tacit.frontends.jax_flat import Step, Value, fold, known

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

# A moved element is named by its place in the program text: beyond this, the text would hold more places than program.
MAX_PLACES = 1 << 18


def _broadcast_in_dim(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, shape, dims = ins[0], tuple(step.params["shape"]), tuple(step.params["broadcast_dimensions"])
    if math.prod(shape) == x.size and [shape[d] for d in dims if shape[d] != 1] == [
        s for s in shape if s != 1
    ]:
        out = xp.reshape(x, shape)
    else:
        out = it.context.bind("broadcast", [x], {"shape": [int(s) for s in shape], "dims": list(dims)})[0]
    _keep_fact(it, x, out)
    return [out]


def _keep_fact(it: Interpreter, x: Value, out: SecretArray) -> None:
    """Carry what is known of a maximum through the axes that keepdims puts back."""
    if not known(x) and (fact := it.facts.get(x.ref)) is not None and fact[0] == "max":
        it.facts[out.ref] = fact


def _reshape(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    order = step.params.get("dimensions") if step.name == "reshape" else None
    x = ins[0] if order is None else xp.permute_dims(ins[0], order)
    out = xp.reshape(x, tuple(step.avals[0].shape))
    _keep_fact(it, ins[0], out)
    return [out]


def _transpose(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [xp.permute_dims(ins[0], tuple(step.params["permutation"]))]


def _slice(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    p = step.params
    steps = p["strides"] or (1,) * ins[0].ndim
    key = tuple(slice(*k) for k in zip(p["start_indices"], p["limit_indices"], steps, strict=True))
    return [ins[0][key]]


def _split(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    axis, ends = step.params["axis"], np.cumsum([0, *step.params["sizes"]])
    key = (slice(None),) * axis
    return [ins[0][(*key, slice(int(a), int(b)))] for a, b in pairwise(ends)]


def _rev(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [xp.flip(ins[0], tuple(step.params["dimensions"]))]


def _concatenate(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    pieces = [v for v in ins if np.prod(np.shape(v) if known(v) else v.shape)]
    return [xp.concat(pieces or ins, step.params["dimension"])]


def _stack(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [xp.concat([xp.expand_dims(it.lift(v), step.params["axis"]) for v in ins], step.params["axis"])]


def _unstack(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    key = (slice(None),) * int(step.params["axis"])
    return [ins[0][(*key, i)] for i in range(len(step.outs))]


def _tile(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, reps = ins[0], step.params["reps"]
    spread = xp.reshape(x, [n for s in x.shape for n in (1, s)])
    wide = xp.broadcast_to(spread, [n for r, s in zip(reps, x.shape, strict=True) for n in (int(r), s)])
    return [xp.reshape(wide, step.avals[0].shape)]


# -- places known while tracing ---------------------------------------------------------------------------


def _places(step: Step, operands: Sequence[Value], rest: Sequence[Value], fill: int) -> np.ndarray:
    """Return, for each result element, the place in the joined operands that it comes from; `fill` for none."""
    total = sum(int(np.prod(v.shape)) for v in operands)
    size = int(np.prod(step.avals[0].shape, dtype=np.int64))
    if max(total, size) > MAX_PLACES:
        raise NotRealised(
            f"jax primitive {step.name!r} with this index pattern would list {max(total, size)} places; "
            "take whole rows or slices"
        )
    starts, numbered = 0, []
    for v in operands:
        n = int(np.prod(v.shape))
        numbered.append(np.arange(starts, starts + n, dtype=np.int64).reshape(v.shape))
        starts += n
    aval = step.avals[0].update(dtype=np.dtype(np.int64))
    params = dict(step.params)
    if "fill_value" in params:
        params["fill_value"] = fill
    moved = Step(step.name, step.primitive, params, (), step.outs, (aval,), step.source)
    return np.asarray(fold(moved, [*numbered, *rest])[0])


def _pick(it: Interpreter, operands: Sequence[Value], places: np.ndarray) -> SecretArray:
    """Return the elements of the joined operands at `places`."""
    flat = [xp.reshape(it.lift(v), (-1,)) for v in operands]
    joined = flat[0] if len(flat) == 1 else xp.concat(flat)
    return xp.reshape(xp.take(joined, places.reshape(-1)), places.shape)


def _pad(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, value = ins
    config = [tuple(int(v) for v in c) for c in step.params["padding_config"]]
    if any(c[2] for c in config) and x.size <= MAX_PLACES:
        joined = [x, value]
        places = _places(step, [x], [np.int64(x.size)], 0)
        return [_pick(it, joined, places)]
    if any(c[2] for c in config):
        raise NotRealised("jax primitive 'pad' between elements of so large an array is not supported")
    out = x[
        tuple(slice(max(-lo, 0), s - max(-hi, 0)) for (lo, hi, _), s in zip(config, x.shape, strict=True))
    ]
    for axis, (lo, hi, _) in enumerate(config):
        pieces = []
        for n in (lo, None, hi):
            shape = [*out.shape[:axis], n or 0, *out.shape[axis + 1 :]]
            if n is None:
                pieces.append(out)
            elif n > 0:
                pieces.append(
                    xp.broadcast_to(it.lift(value), shape) if not known(value) else np.full(shape, value)
                )
        out = xp.concat(pieces, axis)
    return [out]


# -- indexing ---------------------------------------------------------------------------------------------


def _starts(it: Interpreter, index: list[Value]) -> list[SecretArray]:
    found = []
    for v in index:
        start = it.lift(np.asarray(v, np.int64) if known(v) else v)
        if start.aval.where != "public":
            raise NotRealised(
                "an index that depends on a secret is not supported; select with a one-hot comparison, for example "
                "jnp.sum(jnp.where(jnp.arange(n) == i, x, 0))"
            )
        found.append(start)
    return found


def _dynamic_slice(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [_window(it, ins[0], ins[1:], [int(s) for s in step.params["slice_sizes"]])]


def _window(it: Interpreter, x: Value, index: list[Value], sizes: list[int]) -> SecretArray:
    if all(known(v) for v in index) and not known(x):
        starts = [_clamped(v, n, s) for v, n, s in zip(index, x.shape, sizes, strict=True)]
        return x[tuple(slice(a, a + s) for a, s in zip(starts, sizes, strict=True))]
    x = it.lift(x)
    return it.context.bind("dynamic_slice", [x, *_starts(it, index)], {"sizes": sizes})[0]


def _clamped(v: Value, n: int, size: int) -> int:
    return min(max(int(v), 0), n - size)


def _dynamic_update_slice(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [_put(it, ins[0], ins[1], ins[2:])]


def _put(it: Interpreter, x: Value, u: Value, index: list[Value]) -> SecretArray:
    a, b = it.lift(x), it.lift(u)
    if a.dtype != b.dtype:
        a, b = xp.astype(a, "fixed"), xp.astype(b, "fixed")
    return it.context.bind("dynamic_update", [a, b, *_starts(it, index)], {})[0]


def _gather(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, index = ins
    dims, sizes = step.params["dimension_numbers"], [int(s) for s in step.params["slice_sizes"]]
    if not known(index):
        return [xp.reshape(_window_at(it, step, x, index, dims, sizes), step.avals[0].shape)]
    if (rows := _rows(step, np.asarray(index), x.shape, dims, sizes)) is not None:
        return [rows(x)]
    fill = int(np.prod(x.shape))
    places = _places(step, [x], [index], fill)
    if not places.size or (places.min() >= 0 and places.max() < fill):
        return [_pick(it, [x], places)]
    if (value := step.params["fill_value"]) is None:
        raise NotRealised("an index leaves the array, where JAX answers NaN; correct it or use mode='clip'")
    return [_pick(it, [x, np.asarray(value)], np.where((places < 0) | (places > fill), fill, places))]


def _rows(
    step: Step, index: np.ndarray, shape: Sequence[int], dims: Any, sizes: list[int]
) -> Callable[[SecretArray], SecretArray] | None:
    """Return how to take whole slices along one axis, the common case, or None."""
    if len(dims.start_index_map) != 1 or dims.operand_batching_dims:
        return None
    axis = dims.start_index_map[0]
    whole = all(n == s for i, (n, s) in enumerate(zip(shape, sizes, strict=True)) if i != axis)
    if not whole or sizes[axis] != 1 or tuple(dims.collapsed_slice_dims) != (axis,):
        return None
    where = index[..., 0].astype(np.int64)
    if where.size and (where.min() < 0 or where.max() >= shape[axis]):
        if "CLIP" not in str(step.params["mode"]):
            return None
        where = np.clip(where, 0, shape[axis] - 1)
    offsets, ndim = list(dims.offset_dims), len(step.avals[0].shape)
    batch = [i for i in range(ndim) if i not in offsets]

    def move(x: SecretArray) -> SecretArray:
        taken = xp.take(x, where.reshape(-1), axis)
        rest = [n for i, n in enumerate(shape) if i != axis]
        front = xp.permute_dims(taken, (axis, *(i for i in range(x.ndim) if i != axis)))
        spread = xp.reshape(front, (*where.shape, *rest))
        return xp.permute_dims(spread, tuple(int(i) for i in np.argsort([*batch, *offsets])))

    return move


def _window_at(
    it: Interpreter, step: Step, x: Value, index: SecretArray, dims: Any, sizes: list[int]
) -> SecretArray:
    """Return the one window that a public index of a loop names."""
    starts = _index_scalars(step, index, tuple(dims.start_index_map), dims.operand_batching_dims, sizes)
    shape = np.shape(x) if known(x) else x.shape
    for v, n, s in zip(starts, shape, sizes, strict=True):
        if (
            not known(v)
            and "CLIP" not in str(step.params["mode"])
            and not 0 <= v.aval.lo <= v.aval.hi <= n - s
        ):
            raise NotRealised("an index that may leave the array, where JAX answers NaN; use mode='clip'")
    return _window(it, x, starts, sizes)


def _index_scalars(
    step: Step, index: SecretArray, axes: tuple[int, ...], batching: Any, sizes: Sequence[int]
) -> list[Value]:
    if index.size != len(axes) or batching:
        raise NotRealised(
            f"jax primitive {step.name!r} with several indices that are not known; use one index in a loop"
        )
    flat = xp.reshape(index, (-1,))
    starts: list[Value] = [np.int64(0)] * len(sizes)
    for i, axis in enumerate(axes):
        starts[axis] = flat[i]
    return starts


def _scatter(add: bool) -> Rule:
    def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        x, index, u = ins
        if not known(index):
            return [_scatter_window(it, step, x, index, u, add)]
        if not add:
            return [_pick(it, [x, u], _places(step, [x], [index, _numbers(u, x)], 0))]
        return [xp.add(x, _added(it, step, x, index, u))]

    return rule


def _numbers(u: Value, x: Value) -> np.ndarray:
    size = int(np.prod(np.shape(x) if known(x) else x.shape))
    shape = np.shape(u) if known(u) else u.shape
    return np.arange(size, size + int(np.prod(shape)), dtype=np.int64).reshape(shape)


def _added(it: Interpreter, step: Step, x: Value, index: Value, u: Value) -> SecretArray:
    """Return, for each place of x, the sum of the updates that fall on it."""
    from jax import lax

    size = int(np.prod(step.avals[0].shape))
    shape = np.shape(u) if known(u) else u.shape
    if max(size, int(np.prod(shape))) > MAX_PLACES:
        raise NotRealised(
            "jax primitive 'scatter-add' of so many elements is not supported; sum by matrix product"
        )
    # Where update j falls: gather the places with the same windows, one at a time through a scatter of j.
    dims, mode = step.params["dimension_numbers"], step.params["mode"]
    back = lax.GatherDimensionNumbers(
        offset_dims=dims.update_window_dims,
        collapsed_slice_dims=dims.inserted_window_dims,
        start_index_map=dims.scatter_dims_to_operand_dims,
        operand_batching_dims=dims.operand_batching_dims,
        start_indices_batching_dims=dims.scatter_indices_batching_dims,
    )
    sizes = _window_sizes(dims, step.avals[0].shape, shape)
    numbered = np.arange(size, dtype=np.int64).reshape(step.avals[0].shape)
    target = np.asarray(
        lax.gather(numbered, np.asarray(index), back, sizes, mode=mode, fill_value=-1)
    ).reshape(-1)
    groups: list[list[int]] = [[] for _ in range(size)]
    for j, t in enumerate(target):
        if 0 <= t < size:
            groups[t].append(j)
    depth = max((len(g) for g in groups), default=0)
    if depth == 0 or size * depth > 4 * MAX_PLACES:
        raise NotRealised(
            "jax primitive 'scatter-add' with this index pattern is not supported; sum by matrix product"
        )
    nothing = int(np.prod(shape))
    table = np.array([g + [nothing] * (depth - len(g)) for g in groups], np.int64)
    lifted = it.lift(u)
    picked = _pick(it, [lifted, np.zeros((), np.float64 if lifted.dtype == "fixed" else np.int64)], table)
    return xp.reshape(xp.sum(picked, 1) if depth > 1 else picked, step.avals[0].shape)


def _window_sizes(dims: Any, shape: Sequence[int], updates: Sequence[int]) -> tuple[int, ...]:
    gone = {*dims.inserted_window_dims, *dims.operand_batching_dims}
    window = iter(dims.update_window_dims)
    return tuple(1 if i in gone else int(updates[next(window)]) for i in range(len(shape)))


def _scatter_window(
    it: Interpreter, step: Step, x: Value, index: SecretArray, u: Value, add: bool
) -> SecretArray:
    dims, shape = step.params["dimension_numbers"], step.avals[0].shape
    update_shape = np.shape(u) if known(u) else u.shape
    sizes = list(_window_sizes(dims, shape, update_shape))
    starts = _index_scalars(
        step, index, tuple(dims.scatter_dims_to_operand_dims), dims.operand_batching_dims, sizes
    )
    for v, n, s in zip(starts, shape, sizes, strict=True):
        if not known(v) and not 0 <= v.aval.lo <= v.aval.hi <= n - s:
            raise NotRealised("an update whose index may leave the array; use lax.dynamic_update_slice")
    piece = xp.reshape(it.lift(u), sizes)
    return _put(it, x, xp.add(_window(it, x, starts, sizes), piece) if add else piece, starts)


# -- products ---------------------------------------------------------------------------------------------


def _dot_general(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    (lc, rc), (lb, rb) = step.params["dimension_numbers"]
    left, right = ins
    lf = [i for i in range(len(left.shape)) if i not in (*lc, *lb)]
    rf = [i for i in range(len(right.shape)) if i not in (*rc, *rb)]
    batch = [left.shape[i] for i in lb]
    inner = math.prod(left.shape[i] for i in lc)
    # Everything becomes (batch, rows, inner) @ (batch, inner, columns).
    a = _arranged(left, (*lb, *lf, *lc), (*batch, math.prod(left.shape[i] for i in lf), inner))
    b = _arranged(right, (*rb, *rc, *rf), (*batch, inner, math.prod(right.shape[i] for i in rf)))
    return [xp.reshape(xp.matmul(a, b), step.avals[0].shape)]


def _arranged(x: Value, perm: tuple[int, ...], shape: tuple[int, ...]) -> Value:
    if known(x):
        return np.transpose(np.asarray(x), perm).reshape(shape)
    return xp.reshape(xp.permute_dims(x, perm), shape)


RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "rev": _rev,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
    "tile": _tile,
    "pad": _pad,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "scatter": _scatter(False),
    "scatter-add": _scatter(True),
    "dot_general": _dot_general,
}
