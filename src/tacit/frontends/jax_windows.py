"""JAX primitives on sliding windows: convolution, pooling, and what their gradients lower to.

A window is taken apart axis by axis, as a tournament of neighbours: partial results that windows share are computed
once. The bits of a maximum's comparisons are kept, so its gradient compares nothing again. Where there is no gradient,
and nothing to share, a window is one tournament (gadgets/tournament.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.ops import kind_dtype
from tacit.array.secret import SecretArray
from tacit.array.windows import Axis
from tacit.errors import NotRealised
from tacit.frontends.jax_flat import Step, Value, known
from tacit.frontends.jax_rules import Rule

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

Array = Any
Join = Callable[[SecretArray, SecretArray], SecretArray]
# Up to this many elements, the windows of a sum are laid side by side.
MAX_SPREAD = 1 << 22


# -- convolution ------------------------------------------------------------------------------------------


def _permuted(x: Value, order: Sequence[int]) -> Value:
    return np.transpose(np.asarray(x), order) if known(x) else xp.permute_dims(x, order)


def _conv(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    p = step.params
    shape, layout = tuple(step.avals[0].shape), p["dimension_numbers"]
    x, w = _permuted(ins[0], layout.lhs_spec), _permuted(ins[1], layout.rhs_spec)
    if not math.prod(shape) or not math.prod(np.shape(w)[1:] if known(w) else w.shape[1:]):
        return [np.zeros(shape, step.avals[0].dtype)]
    groups, split = int(p["feature_group_count"]), int(p["batch_group_count"])
    x, w = xp._number(it.lift(x)), xp._number(it.lift(w))
    if split > 1:
        # Each part of the batch meets its own results, as each group of features does.
        n, c, *places = x.shape
        parts = xp.reshape(x, (split, n // split, c, *places))
        front = xp.permute_dims(parts, (1, 0, *range(2, len(places) + 3)))
        x, groups = xp.reshape(front, (n // split, split * c, *places)), split
    if not math.prod(x.shape):
        return [np.zeros(shape, step.avals[0].dtype)]
    params = {
        "strides": [int(v) for v in p["window_strides"]],
        "low": [int(v[0]) for v in p["padding"]],
        "high": [int(v[1]) for v in p["padding"]],
        "base": [int(v) for v in p["lhs_dilation"]],
        "dilation": [int(v) for v in p["rhs_dilation"]],
        "groups": groups,
    }
    out = it.context.bind("conv", [x, w], params)[0]
    return [xp.permute_dims(out, [int(i) for i in np.argsort(layout.out_spec)])]


# -- windows along one axis -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Level:
    """One round of a tournament along an axis: which places meet, and which go on alone."""

    left: Array
    right: Array
    alone: Array
    size: int
    """Places before this round."""


def rounds(slots: Array, size: int) -> tuple[list[Level], Array]:
    """Pair neighbours of all windows until each has one place; return the rounds and each window's place.

    `slots` (windows, taps) holds places from 0 to `size`, and −1 for none. Pairs that windows share are made once.
    """
    levels = []
    while slots.shape[1] > 1:
        if slots.shape[1] % 2:
            slots = np.concatenate([slots, np.full((len(slots), 1), -1)], axis=1)
        a, b = slots[:, 0::2], slots[:, 1::2]
        both = (a >= 0) & (b >= 0)
        single = np.where(both, -1, np.maximum(a, b))
        # One number for two places: NumPy sorts rows ten times slower.
        pairs, at = np.unique(a[both] * (size + 1) + b[both], return_inverse=True)
        left, right = np.divmod(pairs, size + 1)
        alone, to = np.unique(single[single >= 0], return_inverse=True)
        levels.append(Level(left, right, alone, size))
        slots = np.full(a.shape, -1)
        slots[both] = at
        slots[single >= 0] = len(pairs) + to.reshape(-1)
        size = len(pairs) + len(alone)
    return levels, slots[:, 0]


def _rows(x: SecretArray, at: Array, axis: int) -> SecretArray:
    """Return rows of an axis."""
    if np.array_equal(at, np.arange(x.shape[axis])):
        return x
    return xp.take(x, at, axis)


def _both(met: SecretArray | None, alone: SecretArray | None, axis: int) -> SecretArray:
    pieces = [p for p in (met, alone) if p is not None and p.shape[axis]]
    return xp.concat(pieces, axis) if len(pieces) > 1 else pieces[0]


def _filled(x: SecretArray, value: Any, axis: int) -> SecretArray:
    """Return x with one more row, of a public number."""
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    return xp.concat([x, np.full(shape, value, kind_dtype(x.dtype))], axis)


def _apart_in(x: SecretArray, sizes: tuple[int, int], axis: int) -> SecretArray:
    """Return x with an axis taken apart in two."""
    return xp.reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


def add_rows(g: SecretArray, at: Array, size: int, axis: int = 0) -> SecretArray:
    """Return `size` rows of an axis: row j adds up the rows i of g with at[i] = j."""
    order = np.argsort(at, kind="stable")
    counts = np.bincount(at, minlength=size)
    depth = int(counts.max(initial=1))
    table = np.full((size, depth), len(at))
    starts = np.cumsum(counts) - counts
    table[at[order], np.arange(len(at)) - starts[at[order]]] = order
    if np.any(table == len(at)):
        g = _filled(g, 0, axis)
    rows = _rows(g, table.reshape(-1), axis)
    return rows if depth == 1 else xp.sum(_apart_in(rows, (size, depth), axis), axis + 1)


# -- pooling ----------------------------------------------------------------------------------------------


def _frame(step: Step, shape: Sequence[int]) -> tuple[Axis, ...]:
    p, ones = step.params, (1,) * len(shape)
    columns = zip(
        shape,
        p["window_dimensions"],
        p["window_strides"],
        p["padding"],
        p.get("base_dilation") or ones,
        p.get("window_dilation") or ones,
        strict=True,
    )
    return tuple(
        Axis(int(n), int(t), int(s), int(pad[0]), int(pad[1]), int(b), int(d))
        for n, t, s, pad, b, d in columns
    )


def _placed(y: SecretArray, final: Array, empty: Any, axis: int) -> SecretArray:
    """Return each window's row; `empty` where it has none."""
    if np.all(final >= 0):
        return _rows(y, final, axis)
    if not np.all(np.isfinite(empty)):
        raise NotRealised("a window meets padding alone, where JAX answers infinity; use less padding")
    return _rows(_filled(y, empty, axis), np.where(final < 0, y.shape[axis], final), axis)


def _reduced(x: SecretArray, frame: Axis, axis: int, join: Join, empty: Any) -> SecretArray:
    """Reduce the windows along one axis; `empty` stands where a window has no element."""
    levels, final = rounds(frame.slots(), frame.size)
    for level in levels:
        met = join(_rows(x, level.left, axis), _rows(x, level.right, axis)) if len(level.left) else None
        x = _both(met, _rows(x, level.alone, axis) if len(level.alone) else None, axis)
    return _placed(x, final, empty, axis)


def _summed(x: SecretArray, frame: Axis, axis: int) -> SecretArray:
    """Add up the windows along one axis."""
    if x.size // max(frame.size, 1) * frame.windows * frame.taps > MAX_SPREAD:
        return _reduced(x, frame, axis, xp.add, 0)
    slots = frame.slots()
    if np.any(slots < 0):
        x = _filled(x, 0, axis)
    spread = _rows(x, np.where(slots < 0, frame.size, slots).reshape(-1), axis)
    return xp.sum(_apart_in(spread, (frame.windows, frame.taps), axis), axis + 1)


def _window_sum(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x = xp._number(ins[0])
    for axis, frame in enumerate(_frame(step, x.shape)):
        if not frame.plain:
            x = _summed(x, frame, axis)
    return [x]


JOINS: dict[str, tuple[Join, Any]] = {
    "add": (xp.add, 0),
    "mul": (xp.multiply, 1),
    "max": (xp.maximum, -math.inf),
    "min": (xp.minimum, math.inf),
    "and": (xp.logical_and, True),
    "or": (xp.logical_or, False),
}


def _joins(step: Step) -> str:
    """Return the name of what a window is reduced by; NotRealised for anything but one known operation."""
    jaxpr = getattr(step.params["jaxpr"], "jaxpr", step.params["jaxpr"])
    eqns = jaxpr.eqns
    if len(eqns) == 1 and set(eqns[0].invars) == set(jaxpr.invars) and len(jaxpr.invars) == 2:
        name = eqns[0].primitive.name
        whole = np.dtype(step.avals[0].dtype).kind in "iu"
        if name in JOINS and not (name in ("and", "or") and whole):
            return str(name)
    raise NotRealised(
        "jax primitive 'reduce_window' reduces by add, mul, max, min, or and/or of truth values, not by this function"
    )


def _window(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    what = _joins(step)
    if len(ins) != 2 or not known(ins[1]):
        raise NotRealised("jax primitive 'reduce_window' needs an initial value that is known while tracing")
    x, start = it.lift(ins[0]), np.asarray(ins[1])
    if x.dtype == "bool":
        what = {"max": "or", "min": "and"}.get(what, what)
    join, neutral = JOINS[what]
    limits = np.iinfo(start.dtype) if start.dtype.kind in "iu" else None
    ends = {"max": limits.min, "min": limits.max} if limits is not None else {}
    plain = start == neutral or (what in ends and start == ends[what])
    frames = _frame(step, x.shape)
    if not plain and what in ("add", "mul") and any(f.taps_used()[0] < f.taps for f in frames):
        raise NotRealised(
            f"jax primitive 'reduce_window' with padding needs {neutral} as its initial value here"
        )
    empty = neutral if plain else start
    for axis in reversed(range(x.ndim)):
        if not frames[axis].plain:
            summed = what == "add"
            x = _summed(x, frames[axis], axis) if summed else _reduced(x, frames[axis], axis, join, empty)
    return [x if plain else join(x, it.lift(np.asarray(start).astype(kind_dtype(x.dtype))))]


# -- greatest and least, and their gradients ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contest:
    """How the windows along one axis were decided: rounds, each window's place, and whether the right side won."""

    axis: int
    size: int
    levels: list[Level]
    final: Array
    bits: list[SecretArray | None]


def _contests(
    it: Interpreter, x: SecretArray, frames: tuple[Axis, ...], least: bool
) -> tuple[SecretArray, list[Contest]]:
    """Return the extremes of all windows and how they were found; of equal elements the first wins, in row order."""
    key = (x.ref, frames, least)
    if key in it.windows:
        return it.windows[key]
    held = []
    y = x
    for axis in reversed(range(x.ndim)):
        if frames[axis].plain:
            continue
        levels, final = rounds(frames[axis].slots(), frames[axis].size)
        bits: list[SecretArray | None] = []
        for level in levels:
            met, bit = None, None
            if len(level.left):
                a, b = _rows(y, level.left, axis), _rows(y, level.right, axis)
                bit = xp.less(b, a) if least else xp.less(a, b)
                met = xp.where(bit, b, a)
            bits.append(bit)
            y = _both(met, _rows(y, level.alone, axis) if len(level.alone) else None, axis)
        y = _placed(y, final, math.inf if least else -math.inf, axis)
        held.append(Contest(axis, frames[axis].size, levels, final, bits))
    it.windows[key] = (y, held)
    return y, held


def _extreme(least: bool) -> Rule:
    def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        x = ins[0]
        if x.dtype == "bool":
            join = xp.logical_and if least else xp.logical_or
            for axis, frame in enumerate(_frame(step, x.shape)):
                x = x if frame.plain else _reduced(x, frame, axis, join, math.inf)
            return [x]
        frames = _frame(step, x.shape)
        if not it.asks_again and all(frame.plain or _apart(frame) for frame in frames):
            return [_tournament(x, frames, least)]
        return [_contests(it, x, frames, least)[0]]

    return rule


def _apart(frame: Axis) -> bool:
    """Whether windows share no element and meet no padding, so that they share no comparison either."""
    slots = frame.slots()
    return bool(slots.size and slots.min() >= 0 and len(np.unique(slots)) == slots.size)


def _tournament(x: SecretArray, frames: tuple[Axis, ...], least: bool) -> SecretArray:
    """Return the extremes of windows that are apart, each decided in one tournament over all its axes."""
    shape: list[int] = []
    taps: list[int] = []
    for axis, frame in enumerate(frames):
        if frame.plain:
            shape.append(frame.size)
            continue
        x = _rows(x, frame.slots().reshape(-1), axis)
        taps.append(len(shape) + 1)
        shape += [frame.windows, frame.taps]
    return (xp.min if least else xp.max)(xp.reshape(x, shape), tuple(taps))


def _least(step: Step) -> bool:
    name = step.params["select_prim"].name
    if name not in ("ge", "le"):
        raise NotRealised(f"jax primitive {step.name!r} selects by ge or le, not by {name}")
    return bool(name == "le")


def _gather_add(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    """Return, for each window, what stands beside its greatest or least element."""
    t, x = it.lift(ins[0]), it.lift(ins[1])
    for c in _contests(it, x, _frame(step, x.shape), _least(step))[1]:
        for level, bit in zip(c.levels, c.bits, strict=True):
            left, right, alone = (_rows(t, at, c.axis) for at in (level.left, level.right, level.alone))
            t = _both(None if bit is None else xp.where(bit, right, left), alone, c.axis)
        t = _placed(t, c.final, 0, c.axis)
    return [t]


def _scatter_add(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    """Add each window's value to the place of its greatest or least element: every contest, backwards."""
    g, x = it.lift(ins[0]), it.lift(ins[1])
    for c in reversed(_contests(it, x, _frame(step, x.shape), _least(step))[1]):
        g = _back(g, c)
    return [g]


def _back(g: SecretArray, c: Contest) -> SecretArray:
    size = len(c.levels[-1].left) + len(c.levels[-1].alone) if c.levels else c.size
    held = np.flatnonzero(c.final >= 0)
    g = add_rows(_rows(g, held, c.axis), c.final[held], size, c.axis)
    for level, bit in zip(reversed(c.levels), reversed(c.bits), strict=True):
        n, ahead = len(level.left), (slice(None),) * c.axis
        pieces, at = [g[(*ahead, slice(n, None))]], [level.alone]
        if bit is not None:
            met = g[(*ahead, slice(n))]
            won = xp.where(bit, met, 0)
            lost = xp.subtract(met, won)
            lo, hi = min(met.aval.lo, 0), max(met.aval.hi, 0)
            why = "a gradient goes to one side of a comparison"
            pieces = [won, xp._bind("assume", lost, lo=lo, hi=hi, why=why), *pieces]
            at = [level.right, level.left, *at]
        g = _laid([(p, to) for p, to in zip(pieces, at, strict=True) if len(to)], level.size, c.axis)
    return g


def _laid(pieces: list[tuple[SecretArray, Array]], size: int, axis: int) -> SecretArray:
    """Return `size` rows of an axis, the sums of the rows of all pieces that go there."""
    pieces.sort(key=lambda piece: int(piece[1][0]))
    values, at = zip(*pieces, strict=True)
    if len({len(to) for to in at}) == 1 and np.array_equal(np.stack(at, 1).reshape(-1), np.arange(size)):
        # One of each in turn, as where windows are apart: they are written once.
        columns = [_apart_in(p, (p.shape[axis], 1), axis) for p in values]
        whole = xp.concat(columns, axis + 1)
        return xp.reshape(whole, (*whole.shape[:axis], size, *whole.shape[axis + 2 :]))
    joined = xp.concat(values, axis) if len(values) > 1 else values[0]
    return add_rows(joined, np.concatenate(at), size, axis)


def _unless_empty(rule: Rule) -> Rule:
    """Return a rule for which some window, and some element, is there."""

    def checked(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        shapes = [step.avals[0].shape, *(np.shape(v) if known(v) else v.shape for v in ins)]
        if all(math.prod(s) for s in shapes):
            return rule(it, step, ins)
        empty = not math.prod(step.avals[0].shape) or step.name in (
            "reduce_window_sum",
            "select_and_scatter_add",
        )
        if not empty:
            raise NotRealised(f"jax primitive {step.name!r} has windows, and no element for them")
        return [np.zeros(step.avals[0].shape, step.avals[0].dtype)]

    return checked


RULES: dict[str, Rule] = {
    "conv_general_dilated": _conv,
    "reduce_window_sum": _unless_empty(_window_sum),
    "reduce_window_max": _unless_empty(_extreme(False)),
    "reduce_window_min": _unless_empty(_extreme(True)),
    "reduce_window": _unless_empty(_window),
    "select_and_gather_add": _unless_empty(_gather_add),
    "select_and_scatter_add": _unless_empty(_scatter_add),
}
