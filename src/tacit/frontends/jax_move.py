"""JAX primitives that move elements, and the general product of arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised
from tacit.frontends import jax_extremes
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
    jax_extremes.spread(it, x, out, dims)
    return [out]


def _reshape(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    order = step.params.get("dimensions") if step.name == "reshape" else None
    x = ins[0] if order is None else xp.permute_dims(ins[0], order)
    out = xp.reshape(x, tuple(step.avals[0].shape))
    if x is ins[0]:
        jax_extremes.reshape(it, x, out)
    return [out]


def _transpose(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    out = xp.permute_dims(ins[0], tuple(step.params["permutation"]))
    jax_extremes.turn(it, ins[0], out, step.params["permutation"])
    return [out]


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


def places_of(step: Step, operands: Sequence[Value], rest: Sequence[Value], fill: int) -> np.ndarray:
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


def pick(it: Interpreter, operands: Sequence[Value], places: np.ndarray) -> SecretArray:
    """Return the elements of the joined operands at `places`."""
    flat = [xp.reshape(it.lift(v), (-1,)) for v in operands]
    joined = flat[0] if len(flat) == 1 else xp.concat(flat)
    return xp.reshape(xp.take(joined, places.reshape(-1)), places.shape)


def _pad(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, value = ins
    config = [tuple(int(v) for v in c) for c in step.params["padding_config"]]

    def filled(shape: list[int]) -> Value:
        return np.full(shape, value) if known(value) else xp.broadcast_to(it.lift(value), shape)

    for axis, (_, _, between) in enumerate(config):
        n = x.shape[axis]
        if between and n > 1:
            # Each element and what follows it are a row; what follows the last one is left out.
            before, after = x.shape[:axis], x.shape[axis + 1 :]
            rows = xp.concat(
                [xp.expand_dims(it.lift(x), axis + 1), filled([*before, n, between, *after])], axis + 1
            )
            x = xp.reshape(rows, [*before, n * (between + 1), *after])
            x = x[(slice(None),) * axis + (slice(n * (between + 1) - between),)]
    for axis, (lo, hi, _) in enumerate(config):
        ends = ([*x.shape[:axis], max(n, 0), *x.shape[axis + 1 :]] for n in (lo, hi))
        first, last = ([filled(shape)] if shape[axis] else [] for shape in ends)
        x = xp.concat([*first, x, *last], axis) if first or last else x
        # What one end takes away may be what the other has put there.
        kept = slice(max(-lo, 0), x.shape[axis] - max(-hi, 0))
        x = x[(slice(None),) * axis + (kept,)]
    return [x]


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
    "dot_general": _dot_general,
}
