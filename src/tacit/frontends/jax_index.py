"""JAX primitives that pick or change elements by index: known while tracing, public in a loop, or secret.

A known index becomes places in the program text. Any other becomes a look-up of whole rows: of the axes it indexes,
flattened into one, with a window's elements beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.ops import kind_dtype
from tacit.array.program import PUBLIC
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised
from tacit.frontends import jax_shift
from tacit.frontends.jax_flat import Step, Value, known, without_fractions
from tacit.frontends.jax_move import MAX_PLACES, pick, places_of
from tacit.frontends.jax_places import picked, put
from tacit.frontends.jax_rules import Rule
from tacit.frontends.jax_windows import add_rows

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

Array = Any
# Each update by a secret index reads and writes the whole array.
MAX_WRITES = 64
# Elements times places: how many are compared when each place looks for the elements that name it.
MAX_MEETINGS = 1 << 20


def _shape(v: Value) -> tuple[int, ...]:
    return tuple(np.shape(v)) if known(v) else tuple(v.shape)


# -- windows at indices that are not known ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """Windows of `sizes` in an array of `shape`, at indices along `axes`; the axes `blocks` go with the indices'."""

    shape: tuple[int, ...]
    sizes: tuple[int, ...]
    axes: tuple[int, ...]
    blocks: tuple[int, ...] = ()

    @property
    def places(self) -> list[int]:
        """Number of places of a window along each indexed axis."""
        return [self.shape[a] - self.sizes[a] + 1 for a in self.axes]

    @property
    def window(self) -> list[int]:
        """Sizes of a window along the axes that are no blocks."""
        return [n for a, n in enumerate(self.sizes) if a not in self.blocks]

    @property
    def plain(self) -> bool:
        """Whether a window is one element of each indexed axis and all of the others."""
        whole = all(
            n == s for a, (n, s) in enumerate(zip(self.shape, self.sizes, strict=True)) if a not in self._set
        )
        return whole and all(self.sizes[a] == 1 for a in self.axes)

    @property
    def _set(self) -> set[int]:
        return {*self.axes, *self.blocks}

    def _split(self) -> tuple[list[int], list[tuple[str, int]]]:
        """Return the shape with each indexed axis split in places and window, and what each axis then is."""
        dims, names = [], []
        for a, n in enumerate(self.shape):
            if a in self.axes:
                dims += [n - self.sizes[a] + 1, self.sizes[a]]
                names += [("place", a), ("window", a)]
            else:
                dims.append(n if a in self.blocks else self.sizes[a])
                names.append(("block" if a in self.blocks else "window", a))
        return dims, names

    def _order(self, names: list[tuple[str, int]]) -> list[int]:
        wanted = [("block", a) for a in self.blocks] + [("place", a) for a in self.axes]
        wanted += [("window", a) for a in range(len(self.shape)) if a not in self.blocks]
        return [names.index(w) for w in wanted]

    def table(self, x: SecretArray) -> SecretArray:
        """Return all windows as rows of a table, (blocks, places, elements of a window)."""
        x = x[tuple(slice(0, n if a in self._set else self.sizes[a]) for a, n in enumerate(self.shape))]
        for a, n in zip(self.axes, self.places, strict=True):
            if self.sizes[a] > 1:
                x = xp.take(x, (np.arange(n)[:, None] + np.arange(self.sizes[a])).reshape(-1), a)
        dims, names = self._split()
        moved = xp.permute_dims(xp.reshape(x, dims), self._order(names))
        return xp.reshape(moved, (self._count(), math.prod(self.places), math.prod(self.window)))

    def _count(self) -> int:
        return math.prod(self.shape[a] for a in self.blocks)

    def folded(self, rows: SecretArray) -> SecretArray:
        """Return the array that adds up such rows, each at its place."""
        dims, names = self._split()
        order = self._order(names)
        x = xp.reshape(rows, [dims[i] for i in order])
        x = xp.permute_dims(x, [int(i) for i in np.argsort(order)])
        for a in range(len(self.shape)):
            # Every axis before this one is whole again, so it stands at its number.
            if a in self.axes:
                n, s = x.shape[a], x.shape[a + 1]
                front = [a, a + 1, *(i for i in range(x.ndim) if i not in (a, a + 1))]
                flat = xp.permute_dims(x, front)
                flat = xp.reshape(flat, (n * s, *flat.shape[2:]))
                if s > 1:
                    flat = add_rows(flat, (np.arange(n)[:, None] + np.arange(s)).reshape(-1), self.shape[a])
                back = [*range(1, a + 1), 0, *range(a + 1, flat.ndim)]
                x = xp.permute_dims(flat, back)
            elif x.shape[a] < self.shape[a]:
                gap = [*x.shape[:a], self.shape[a] - x.shape[a], *x.shape[a + 1 :]]
                x = xp.concat([x, np.zeros(gap, kind_dtype(x.dtype))], a)
        return x


def _clips(mode: Any) -> bool:
    # What is promised to be inside is moved inside: JAX leaves the result open otherwise.
    return "FILL" not in str(mode)


def _flat_index(
    it: Interpreter, frame: Frame, columns: list[SecretArray]
) -> tuple[SecretArray, SecretArray | None]:
    """Return one index for all axes, moved inside, and whether it was inside (None if it must have been)."""
    total: SecretArray | None = None
    inside: SecretArray | None = None
    for v, n in zip(columns, frame.places, strict=True):
        if v.aval.lo < 0 or v.aval.hi > n - 1:
            moved = v
            if v.aval.lo < 0:
                good = xp.greater_equal(v, 0)
                inside = good if inside is None else xp.logical_and(inside, good)
                moved = xp.maximum(moved, 0)
            if v.aval.hi > n - 1:
                good = xp.less_equal(v, n - 1)
                inside = good if inside is None else xp.logical_and(inside, good)
                moved = xp.minimum(moved, n - 1)
            v = moved
        total = v if total is None else xp.add(xp.multiply(total, n), v)
    assert total is not None
    return total, inside


def _columns(index: SecretArray, batching: Sequence[int]) -> tuple[list[SecretArray], list[int]]:
    """Return the parts of an index as (blocks, m) each, and the order in which its axes are in there."""
    order = [*batching, *(i for i in range(index.ndim - 1) if i not in batching)]
    moved = xp.permute_dims(index, (*order, index.ndim - 1))
    blocks = math.prod(moved.shape[: len(batching)])
    flat = xp.reshape(moved, (blocks, math.prod(moved.shape[len(batching) : -1]), moved.shape[-1]))
    return [flat[:, :, k] for k in range(flat.shape[2])], order


def _gather_rows(it: Interpreter, step: Step, x: Value, index: SecretArray) -> SecretArray:
    dims, mode = step.params["dimension_numbers"], step.params["mode"]
    frame = Frame(
        _shape(x),
        tuple(int(n) for n in step.params["slice_sizes"]),
        tuple(dims.start_index_map),
        tuple(dims.operand_batching_dims),
    )
    columns, order = _columns(index, dims.start_indices_batching_dims)
    at, inside = _flat_index(it, frame, columns)
    table, found = frame.table(it.lift(x)), None
    if inside is None and len(frame.axes) == 1:
        found = picked(it, index, dims.start_indices_batching_dims, table)
    found = xp._bind("lookup", table, at) if found is None else found
    if inside is not None and not _clips(mode):
        value = step.params["fill_value"]
        if value is None or not np.all(np.isfinite(value)):
            raise NotRealised(
                "an index that may leave the array, where JAX answers NaN; declare its bound, use mode='clip', or "
                "mode='fill' with a fill_value"
            )
        found = xp.where(xp.expand_dims(inside, 2), found, np.asarray(value, kind_dtype(found.dtype)))
    batch = [index.shape[i] for i in order]
    kept = [a for a in range(len(frame.shape)) if a not in (*dims.collapsed_slice_dims, *frame.blocks)]
    found = xp.reshape(found, (*batch, *(frame.sizes[a] for a in kept)))
    # Where each axis of the result stands in what was found.
    offsets = list(dims.offset_dims)
    axes: list[int] = []
    windows, firsts = iter(range(len(batch), found.ndim)), iter(range(len(batch)))
    for i in range(found.ndim):
        axes.append(next(windows) if i in offsets else order.index(next(firsts)))
    return xp.permute_dims(found, axes)


# -- updates at indices that are not known ------------------------------------------------------------------


def _within(x: SecretArray, lo: float, hi: float, why: str) -> SecretArray:
    return xp._bind("assume", x, lo=lo, hi=hi, why=why)


def _spread(frame: Frame, rows: SecretArray, at: SecretArray, last: bool = False) -> SecretArray:
    return xp._bind("spread", rows, at, size=math.prod(frame.places), last=last)


def _placed(
    it: Interpreter, step: Step, x: Value, index: SecretArray, u: Value
) -> tuple[Frame, SecretArray, SecretArray, SecretArray | None]:
    """Return the frame, rows of updates with their places, and which are inside (None if all are)."""
    dims, mode = step.params["dimension_numbers"], step.params["mode"]
    frame = Frame(
        _shape(x),
        _window_sizes(dims, _shape(x), _shape(u)),
        tuple(dims.scatter_dims_to_operand_dims),
        tuple(dims.operand_batching_dims),
    )
    columns, order = _columns(index, dims.scatter_indices_batching_dims)
    at, inside = _flat_index(it, frame, columns)
    # The updates' axes that are no window's are the index's, in its order.
    lifted = it.lift(u)
    rest = [a for a in range(lifted.ndim) if a not in dims.update_window_dims]
    moved = xp.permute_dims(lifted, [*(rest[i] for i in order), *dims.update_window_dims])
    rows = xp.reshape(moved, (*at.shape, math.prod(frame.window)))
    return frame, rows, at, None if inside is not None and _clips(mode) else inside


def _scatter_rows(
    it: Interpreter, step: Step, x: Value, index: SecretArray, u: Value, add: bool
) -> SecretArray:
    frame, rows, at, inside = _placed(it, step, x, index, without_fractions(u) if add else u)
    blocks = step.params["dimension_numbers"].scatter_indices_batching_dims
    plain = inside is None and frame.plain and len(frame.axes) == 1
    if (every := put(it, index, blocks, rows) if plain else None) is not None:
        return xp.add(it.lift(x), frame.folded(xp._number(every))) if add else frame.folded(every)
    if add:
        rows = xp._number(rows)
        if inside is not None:
            rows = xp.where(xp.expand_dims(inside, 2), rows, 0)
        return xp.add(it.lift(x), frame.folded(_spread(frame, rows, at)))
    return _written(it, step, frame, it.lift(x), rows, at, inside)


def _written(
    it: Interpreter,
    step: Step,
    frame: Frame,
    x: SecretArray,
    rows: SecretArray,
    at: SecretArray,
    inside: SecretArray | None,
) -> SecretArray:
    """Return x with the rows put at their indices; of several rows for one place, the last."""
    if x.dtype == "bool" or rows.dtype == "bool":
        numbers = _written(it, step, frame, xp._number(x), xp._number(rows), at, inside)
        return xp.greater(numbers, 0)
    if x.dtype != rows.dtype:
        x, rows = xp.astype(x, "fixed"), xp.astype(rows, "fixed")
    count = at.shape[1]
    if at.aval.where == PUBLIC and frame.plain and (inside is None or inside.aval.where == PUBLIC):
        return _written_publicly(it, frame, x, rows, at, inside)
    if count > MAX_WRITES:
        return _written_at_once(it, step, frame, x, rows, at, inside)
    for i in range(count):
        ones = it.lift(np.ones((at.shape[0], 1, rows.shape[2]), np.int64))
        kept = ones if inside is None else xp.multiply(ones, xp.expand_dims(inside[:, i : i + 1], 2))
        row = rows[:, i : i + 1]
        if inside is not None:
            row = xp.where(xp.expand_dims(inside[:, i : i + 1], 2), row, 0)
        place = at[:, i : i + 1]
        taken = _within(
            frame.folded(_spread(frame, kept, place)), 0, 1, "one window is at each place at most"
        )
        new = frame.folded(_spread(frame, row, place))
        lo, hi = min(x.aval.lo, rows.aval.lo), max(x.aval.hi, rows.aval.hi)
        changed = xp.add(xp.subtract(x, xp.multiply(x, taken)), new)
        x = _within(changed, lo, hi, "an element is the old or the new one")
    return x


def _at_place(
    it: Interpreter, step: Step, frame: Frame, at: SecretArray, inside: SecretArray | None
) -> SecretArray:
    """Return which place each index names, (blocks, m, places); refuse what would take too much."""
    blocks, m = at.shape
    places = math.prod(frame.places)
    if not frame.plain or blocks * m * places > MAX_MEETINGS:
        how = "windows of several elements" if not frame.plain else f"{m} elements among {places} places"
        raise NotRealised(
            f"jax primitive {step.name!r} puts {how} at indices that are not public; put at most {MAX_WRITES} "
            f"elements, or whole rows with elements x places up to {MAX_MEETINGS}, add instead (.at[i].add), or sort "
            "by the index and reduce neighbours"
        )
    here = xp.equal(xp.expand_dims(at, 2), np.arange(places))
    return here if inside is None else xp.logical_and(here, xp.expand_dims(inside, 2))


def _written_at_once(
    it: Interpreter,
    step: Step,
    frame: Frame,
    x: SecretArray,
    rows: SecretArray,
    at: SecretArray,
    inside: SecretArray | None,
) -> SecretArray:
    """Return x with rows put at their indices: each place finds the last row that names it, and looks it up."""
    numbers = np.arange(1, at.shape[1] + 1)[:, None]
    last = xp.max(xp.where(_at_place(it, step, frame, at, inside), numbers, 0), 1)
    chosen = xp._bind("lookup", rows, xp.maximum(xp.subtract(last, 1), 0))
    return frame.folded(xp.where(xp.expand_dims(xp.greater(last, 0), 2), chosen, frame.table(x)))


def _written_publicly(
    it: Interpreter,
    frame: Frame,
    x: SecretArray,
    rows: SecretArray,
    at: SecretArray,
    inside: SecretArray | None,
) -> SecretArray:
    """Return x with rows put at public indices: each place takes the last row that names it."""
    blocks, count = at.shape
    numbers = it.lift(np.broadcast_to(np.arange(1, count + 1), (blocks, count)).copy())
    if inside is not None:
        # What falls outside goes to a place behind the last one.
        at = xp.where(inside, at, math.prod(frame.places))
    size = math.prod(frame.places) + 1
    last = xp._bind("spread", xp.expand_dims(numbers, 2), at, size=size, last=True)[:, :-1, 0]
    chosen = xp._bind("lookup", rows, xp.maximum(xp.subtract(last, 1), 0))
    kept = xp.where(xp.expand_dims(xp.greater(last, 0), 2), chosen, frame.table(x))
    return frame.folded(kept)


# -- slices -----------------------------------------------------------------------------------------------


def _dynamic_slice(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [_window(it, ins[0], ins[1:], [int(s) for s in step.params["slice_sizes"]])]


def _window(it: Interpreter, x: Value, index: list[Value], sizes: list[int]) -> SecretArray:
    """Return one window; starts that would leave the array are moved back inside."""
    if all(known(v) for v in index) and not known(x):
        starts = [min(max(int(v), 0), n - s) for v, n, s in zip(index, x.shape, sizes, strict=True)]
        return x[tuple(slice(a, a + s) for a, s in zip(starts, sizes, strict=True))]
    x = it.lift(x)
    found = [it.lift(np.asarray(v, np.int64) if known(v) else v) for v in index]
    hidden = [a for a, v in enumerate(found) if v.aval.where != PUBLIC and sizes[a] < x.shape[a]]
    first = [n if a in hidden else s for a, (n, s) in enumerate(zip(x.shape, sizes, strict=True))]
    zero = it.lift(np.int64(0))
    plain = [zero if v.aval.where != PUBLIC else v for v in found]
    if first != list(x.shape):
        x = it.context.bind("dynamic_slice", [x, *plain], {"sizes": first})[0]
    if not hidden or not math.prod(sizes):
        return x
    if (axis := jax_shift.long(x.shape, sizes, hidden)) is not None:
        return jax_shift.window(it, x, axis, found[axis], sizes[axis])
    frame = Frame(x.shape, tuple(sizes), tuple(hidden))
    at, _ = _flat_index(it, frame, [xp.reshape(found[a], (1, 1)) for a in hidden])
    return xp.reshape(xp._bind("lookup", frame.table(x), at), sizes)


def _dynamic_update_slice(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [_put(it, step, ins[0], ins[1], ins[2:])]


def _put(it: Interpreter, step: Step, x: Value, u: Value, index: list[Value]) -> SecretArray:
    """Return x with one window replaced; a start that would leave the array is moved back inside."""
    a, b = it.lift(x), it.lift(u)
    if a.dtype != b.dtype:
        a, b = xp.astype(a, "fixed"), xp.astype(b, "fixed")
    found = [it.lift(np.asarray(v, np.int64) if known(v) else v) for v in index]
    hidden = [i for i, v in enumerate(found) if v.aval.where != PUBLIC and b.shape[i] < a.shape[i]]
    zero = it.lift(np.int64(0))
    plain = [zero if v.aval.where != PUBLIC else v for v in found]
    if not hidden or not math.prod(b.shape):
        return it.context.bind("dynamic_update", [a, b, *plain], {})[0]
    sizes = [n if i in hidden else s for i, (n, s) in enumerate(zip(a.shape, b.shape, strict=True))]
    part = it.context.bind("dynamic_slice", [a, *plain], {"sizes": sizes})[0]
    if (axis := jax_shift.long(part.shape, b.shape, hidden)) is not None:
        new = jax_shift.put(it, part, b, axis, found[axis])
    else:
        frame = Frame(part.shape, b.shape, tuple(hidden))
        at, _ = _flat_index(it, frame, [xp.reshape(found[i], (1, 1)) for i in hidden])
        new = _written(it, step, frame, part, xp.reshape(b, (1, 1, -1)), at, None)
    return it.context.bind("dynamic_update", [a, new, *plain], {})[0]


# -- gather and scatter ---------------------------------------------------------------------------------------


def _gather(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, index = ins
    dims, sizes = step.params["dimension_numbers"], [int(s) for s in step.params["slice_sizes"]]
    if not known(index):
        if (
            index.aval.where == PUBLIC
            and index.size == len(dims.start_index_map)
            and not dims.operand_batching_dims
        ):
            return [xp.reshape(_window_at(it, step, x, index, dims, sizes), step.avals[0].shape)]
        if not math.prod(step.avals[0].shape):
            return [np.zeros(step.avals[0].shape, step.avals[0].dtype)]
        return [_gather_rows(it, step, x, index)]
    if (rows := _rows(step, np.asarray(index), x.shape, dims, sizes)) is not None:
        return [rows(x)]
    fill = int(np.prod(x.shape))
    if max(fill, math.prod(step.avals[0].shape)) > MAX_PLACES >= np.size(index):
        return [_gather_rows(it, step, x, it.lift(np.asarray(index, np.int64)))]
    places = places_of(step, [x], [index], fill)
    if not places.size or (places.min() >= 0 and places.max() < fill):
        return [pick(it, [x], places)]
    if (value := step.params["fill_value"]) is None:
        raise NotRealised("an index leaves the array, where JAX answers NaN; correct it or use mode='clip'")
    return [pick(it, [x, np.asarray(value)], np.where((places < 0) | (places > fill), fill, places))]


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
    starts = _starts(index, tuple(dims.start_index_map), len(sizes))
    shape = np.shape(x) if known(x) else x.shape
    for v, n, s in zip(starts, shape, sizes, strict=True):
        inside = known(v) or 0 <= v.aval.lo <= v.aval.hi <= n - s
        if not inside and not _clips(step.params["mode"]):
            raise NotRealised("an index that may leave the array, where JAX answers NaN; use mode='clip'")
    return _window(it, x, starts, sizes)


def _starts(index: SecretArray, axes: tuple[int, ...], ndim: int) -> list[Value]:
    """Return the start along each axis of the one window that an index names."""
    flat = xp.reshape(index, (-1,))
    starts: list[Value] = [np.int64(0)] * ndim
    for i, axis in enumerate(axes):
        starts[axis] = flat[i]
    return starts


def _scatter(add: bool) -> Rule:
    def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        x, index, u = ins
        if not math.prod(_shape(u)) or not math.prod(_shape(x)):
            return [x]
        if not known(index):
            dims = step.params["dimension_numbers"]
            axes = dims.scatter_dims_to_operand_dims
            if index.aval.where == PUBLIC and index.size == len(axes) and not dims.operand_batching_dims:
                found = _scatter_window(it, step, x, index, u, add)
                if found is not None:
                    return [found]
            return [_scatter_rows(it, step, x, index, u, add)]
        if not add and max(math.prod(_shape(v)) for v in (x, u)) > MAX_PLACES >= np.size(index):
            return [_scatter_rows(it, step, x, it.lift(np.asarray(index, np.int64)), u, False)]
        if not add:
            return [pick(it, [x, u], places_of(step, [x], [index, _numbers(u, x)], 0))]
        return [_added(it, step, x, index, u)]

    return rule


def _numbers(u: Value, x: Value) -> np.ndarray:
    size = int(np.prod(np.shape(x) if known(x) else x.shape))
    shape = np.shape(u) if known(u) else u.shape
    return np.arange(size, size + int(np.prod(shape)), dtype=np.int64).reshape(shape)


def _targets(step: Step, x: Value, index: Value, u: Value) -> Array:
    """Return the place in x of each update, flat; −1 for one that is dropped."""
    from jax import lax

    # The places that a gather of the same windows would read.
    dims = step.params["dimension_numbers"]
    back = lax.GatherDimensionNumbers(
        offset_dims=dims.update_window_dims,
        collapsed_slice_dims=dims.inserted_window_dims,
        start_index_map=dims.scatter_dims_to_operand_dims,
        operand_batching_dims=dims.operand_batching_dims,
        start_indices_batching_dims=dims.scatter_indices_batching_dims,
    )
    numbered = np.arange(math.prod(_shape(x)), dtype=np.int64).reshape(_shape(x))
    sizes = _window_sizes(dims, _shape(x), _shape(u))
    found = lax.gather(numbered, np.asarray(index), back, sizes, mode=step.params["mode"], fill_value=-1)
    return np.asarray(found).reshape(-1)


def _added(it: Interpreter, step: Step, x: Value, index: Value, u: Value) -> Value:
    """Return x with all updates added, each at the place that its known index names."""
    size, count = math.prod(_shape(x)), math.prod(_shape(u))
    if max(size, count) > MAX_PLACES:
        return _scatter_rows(it, step, x, it.lift(np.asarray(index, np.int64)), u, True)
    target = _targets(step, x, index, u)
    kept = np.flatnonzero(target >= 0)
    if not kept.size:
        return x
    if size * int(np.bincount(target[kept]).max()) > 4 * MAX_PLACES:
        return _scatter_rows(it, step, x, it.lift(np.asarray(index, np.int64)), u, True)
    rows = xp.take(xp.reshape(xp._number(it.lift(u)), (-1,)), kept)
    return xp.add(x, xp.reshape(add_rows(rows, target[kept], size), _shape(x)))


def _scatter_by(join: Callable[..., SecretArray]) -> Rule:
    """Return the rule of updates that are joined with what is there, at known indices."""

    def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        x, index, u = ins
        if not math.prod(_shape(u)) or not math.prod(_shape(x)):
            return [x]
        size, count = math.prod(_shape(x)), math.prod(_shape(u))
        if not known(index):
            return [_joined_rows(it, step, x, index, u, join)]
        if max(size, count) > MAX_PLACES:
            raise NotRealised(
                f"jax primitive {step.name!r} at known indices takes at most {MAX_PLACES} places; "
                "combine with where and a reduction"
            )
        target = _targets(step, x, index, u)
        kept = np.flatnonzero(target >= 0)
        held = xp.reshape(it.lift(x), (-1,))
        rows = xp.reshape(it.lift(u), (-1,))
        # One round for the first update of every place, one for the second, and so on.
        order = kept[np.argsort(target[kept], kind="stable")]
        at = target[order]
        rank = np.arange(len(at)) - np.searchsorted(at, at)
        for r in range(int(rank.max(initial=-1)) + 1):
            here, which = at[rank == r], order[rank == r]
            joined = join(xp.take(held, here), xp.take(rows, which))
            moved = np.arange(size)
            moved[here] = size + np.arange(len(here))
            held = xp.take(xp.concat([held, joined]), moved)
        return [xp.reshape(held, _shape(x))]

    return rule


def _joined_rows(
    it: Interpreter, step: Step, x: Value, index: SecretArray, u: Value, join: Callable[..., SecretArray]
) -> SecretArray:
    """Return x with rows joined to what stands at their indices: every place takes those that name it."""
    frame, rows, at, inside = _placed(it, step, x, index, u)
    held, rows = frame.table(xp._number(it.lift(x))), xp._number(rows)
    if held.dtype != rows.dtype:
        held, rows = xp.astype(held, "fixed"), xp.astype(rows, "fixed")
    # What changes nothing: one, or what is never above (below) what stands there.
    nothing: float = 1
    if join is not xp.multiply:
        nothing = held.aval.lo if join is xp.maximum else held.aval.hi
    if not math.isfinite(nothing):
        raise NotRealised(f"jax primitive {step.name!r} needs a bounded array; clip it")
    nothing = int(nothing) if held.dtype == "int" else nothing
    here = xp.expand_dims(_at_place(it, step, frame, at, inside), 3)
    met = xp.where(here, xp.expand_dims(rows, 2), nothing)
    reduce = {xp.maximum: xp.max, xp.minimum: xp.min, xp.multiply: xp.prod}[join]
    out = frame.folded(join(held, reduce(met, 1)))
    return xp.astype(out, "bool") if np.dtype(step.avals[0].dtype).kind == "b" else out


def _window_sizes(dims: Any, shape: Sequence[int], updates: Sequence[int]) -> tuple[int, ...]:
    gone = {*dims.inserted_window_dims, *dims.operand_batching_dims}
    window = iter(dims.update_window_dims)
    return tuple(1 if i in gone else int(updates[next(window)]) for i in range(len(shape)))


def _scatter_window(
    it: Interpreter, step: Step, x: Value, index: SecretArray, u: Value, add: bool
) -> SecretArray | None:
    """Change one window at a public index; None if it may leave the array."""
    shape, axes = step.avals[0].shape, tuple(step.params["dimension_numbers"].scatter_dims_to_operand_dims)
    sizes = list(_window_sizes(step.params["dimension_numbers"], shape, _shape(u)))
    starts = _starts(index, axes, len(sizes))
    for v, n, s in zip(starts, shape, sizes, strict=True):
        if not known(v) and not 0 <= v.aval.lo <= v.aval.hi <= n - s:
            return None
    piece = xp.reshape(it.lift(u), sizes)
    return _put(it, step, x, xp.add(_window(it, x, starts, sizes), piece) if add else piece, starts)


RULES: dict[str, Rule] = {
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "scatter": _scatter(False),
    "scatter-add": _scatter(True),
    "scatter-max": _scatter_by(xp.maximum),
    "scatter-min": _scatter_by(xp.minimum),
    "scatter-mul": _scatter_by(xp.multiply),
}
