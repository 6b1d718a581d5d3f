"""Large arrays of one owner, read and computed in blocks of rows, so that a table need not fit into memory.

`Rows` takes an array's place at its owner. What keeps rows apart (sums of columns, products, comparisons) stays
unread; what takes rows together (sums, Gram products, extremes, counts by an index) reads every block once and
computes all such results of a Program that it can in the same pass. Any other operation reads the whole array.
Nothing here changes an answer beyond the order in which float64 numbers are added.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.array.ops import join_where, kind_dtype, table
from tacit.array.program import PUBLIC, Aval, Eqn, Program
from tacit.array.schema import ELEMENTWISE
from tacit.errors import DataError, RangeError, ShapeError

Array = npt.NDArray[Any]
Memo = dict[tuple[int, int, int], Array]
Read = Callable[[int, int, Memo], Array]
BLOCK = 1 << 17
"""Rows in a block."""
LARGE = 1 << 22
"""From this many rows on, tables are read in blocks."""
_SMALL = 4096
_APART = ("reveal", "scan")
_NUMBERS = {"arrange": 0, "restore": 0, "lookup": 0, "dynamic_slice": 0, "spread": 1, "dynamic_update": 2}
"""How many operands, from the first on, are numbers that are worked with; others are moved, or say where to."""


class Rows:
    """An array of a known shape whose blocks along `axis` are computed when asked for."""

    __slots__ = ("_read", "axis", "dtype", "shape", "within")

    def __init__(
        self,
        shape: Sequence[int],
        dtype: Any,
        axis: int,
        read: Read,
        within: tuple[float, float] | None = None,
    ) -> None:
        self.shape, self.dtype, self.axis, self._read = tuple(shape), np.dtype(dtype), axis, read
        self.within = within
        """Bounds that a reader has checked already, for finite values."""

    @property
    def rows(self) -> int:
        """Length of the axis that is read in blocks."""
        return self.shape[self.axis]

    def block(self, start: int, stop: int, memo: Memo | None = None) -> Array:
        """Return the rows from start to stop; `memo` keeps what several results of one pass share."""
        memo = {} if memo is None else memo
        key = (id(self), start, stop)
        if key not in memo:
            memo[key] = self._read(start, stop, memo)
        return memo[key]

    def blocks(self) -> list[tuple[int, int]]:
        """Return the bounds of all blocks."""
        return [(at, min(at + BLOCK, self.rows)) for at in range(0, self.rows, BLOCK)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        out = np.empty(self.shape, self.dtype)
        for start, stop in self.blocks():
            out[_at(self.axis, start, stop)] = self.block(start, stop)
        return out if dtype is None else out.astype(dtype, copy=False)


def whole(data: Any) -> Any:
    """Return a plain array for Rows, anything else as it is."""
    return np.asarray(data) if isinstance(data, Rows) else data


def cast(rows: Rows, dtype: Any) -> Rows:
    """Return Rows of another element type."""
    if rows.dtype == np.dtype(dtype):
        return rows
    return Rows(
        rows.shape, dtype, rows.axis, lambda s, t, memo: rows.block(s, t, memo).astype(dtype), rows.within
    )


def from_file(mapped: np.memmap[Any, Any]) -> Rows:
    """Return a memory-mapped array as Rows that are read from the file, so that they do not stay in memory."""
    row = int(np.prod(mapped.shape[1:], dtype=np.int64))
    # A view of a mapping has the mapping as its base, and may start anywhere.
    file = None if isinstance(mapped.base, np.memmap) or not mapped.flags.c_contiguous else mapped.filename

    def read(start: int, stop: int, memo: Memo) -> Array:
        if file is None:
            return np.array(mapped[start:stop])
        offset = mapped.offset + start * row * mapped.dtype.itemsize
        flat = np.fromfile(file, mapped.dtype, (stop - start) * row, offset=offset)
        return flat.reshape(stop - start, *mapped.shape[1:])

    return Rows(mapped.shape, mapped.dtype, 0, read)


def _at(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)


def _cut(data: Any, axis: int, start: int, stop: int, memo: Memo) -> Array:
    return data.block(start, stop, memo) if isinstance(data, Rows) else data[_at(axis, start, stop)]


# -- operations on Rows -----------------------------------------------------------------------------------


def _type(a: Aval) -> Any:
    """Return the element type of a value in the clear: whole numbers that may pass 64 bits are Python's."""
    return np.dtype(object) if a.kind == "int" and a.magnitude >= 2**63 else kind_dtype(a.kind)


def _run(eqn: Eqn, data: list[Any], outs: list[Aval], params: Mapping[str, Any] | None = None) -> list[Array]:
    """Run one equation on arrays; as on shares, no whole number within its range is cut to 64 bits."""
    types = [None if a.kind == "perm" else _type(a) for a in outs]
    if np.dtype(object) in types:
        numbers = _NUMBERS.get(eqn.op, len(data))
        data = [np.asarray(d) for d in data]
        data = [d.astype(object) if d.dtype.kind in "iu" and i < numbers else d for i, d in enumerate(data)]
    results = table()[eqn.op].clear(data, dict(eqn.params if params is None else params))
    return [np.asarray(r, t) for r, t in zip(results, types, strict=True)]


@dataclass(frozen=True, slots=True)
class Fold:
    """A result that takes together, by adding up or by `join`, what its operation makes of every block."""

    eqn: Eqn
    data: list[Any]
    axes: list[int]
    rows: int
    out: Aval
    join: Callable[[Any, Any], Any] = operator.add

    def of(self, start: int, stop: int, memo: Memo) -> Array:
        """Return the part of one block."""
        parts = [_cut(d, a, start, stop, memo) for d, a in zip(self.data, self.axes, strict=True)]
        return _run(self.eqn, parts, [self.out])[0]


def plan(eqn: Eqn, data: list[Any], out: Aval) -> Rows | Fold | None:
    """Say how an operation with Rows among its operands goes by blocks; None if it needs whole arrays."""
    streams = [d for d in data if isinstance(d, Rows)]
    axis, rows = streams[0].axis, streams[0].rows
    if eqn.op in ELEMENTWISE or (eqn.op == "concat" and eqn.params["axis"] != axis):
        if any(d.axis != axis or d.rows != rows for d in streams):
            return None
        return _each(eqn, data, [axis] * len(data), out, axis)
    if eqn.op == "matmul":
        return _matmul(eqn, data, out)
    if eqn.op == "spread" and axis < 2 and all(d.axis == axis for d in streams):
        return Fold(eqn, data, [1, 1], rows, out) if axis else _each(eqn, data, [0, 0], out, 0)
    if eqn.op == "lookup" and axis == 1 and not isinstance(data[0], Rows):
        return _each(eqn, [_every(data[0]), data[1]], [1, 1], out, 1)
    if len(data) != 1:
        return None
    if eqn.op == "sum":
        axes = eqn.params["axes"]
        if axis in axes:
            return Fold(eqn, data, [axis], rows, out)
        return _each(eqn, data, [axis], out, axis - sum(a < axis for a in axes))
    if eqn.op == "every" or (eqn.op == "extreme" and not eqn.params["place"]):
        if axis:
            return _each(eqn, data, [axis], out, axis - 1)
        join = np.logical_and if eqn.op == "every" else np.minimum if eqn.params["least"] else np.maximum
        return Fold(eqn, data, [0], rows, out, join)
    if eqn.op in ("bits", "word"):  # a first axis of bits, before or afterwards
        beyond = axis + (1 if eqn.op == "bits" else -1)
        return _each(eqn, data, [axis], out, beyond) if beyond >= 0 else None
    rule = _MOVES.get(eqn.op)
    return None if rule is None else rule(eqn, streams[0], out)


def _each(eqn: Eqn, data: list[Any], axes: list[int], out: Aval, axis: int, key: str = "") -> Rows:
    """Return the result block by block; `key` names the parameter that holds a shape or an end."""

    def read(start: int, stop: int, memo: Memo) -> Array:
        params = eqn.params
        if key:
            sizes = list(params[key])
            sizes[axis] = stop - start
            params = {**params, key: sizes}
        with np.errstate(all="ignore"):
            cut = [_cut(d, a, start, stop, memo) for d, a in zip(data, axes, strict=True)]
            return _run(eqn, cut, [out], params)[0]

    return Rows(out.shape, _type(out), axis, read)


def _matmul(eqn: Eqn, data: list[Any], out: Aval) -> Rows | Fold | None:
    x, y = data
    rank = len(out.shape)
    if isinstance(x, Rows) and isinstance(y, Rows):
        if (x.axis, y.axis) == (rank - 1, rank - 2):
            return Fold(eqn, data, [rank - 1, rank - 2], x.rows, out)
        same = x.axis == y.axis < rank - 2
        return _each(eqn, data, [x.axis] * 2, out, x.axis) if same else None
    rows, inner = (x, rank - 1) if isinstance(x, Rows) else (y, rank - 2)
    if rows.axis == inner:
        return Fold(eqn, data, [rank - 1, rank - 2], rows.rows, out)
    if rows.axis < rank - 2:
        return _each(eqn, data, [rows.axis] * 2, out, rows.axis)
    held = [d if isinstance(d, Rows) else _every(d) for d in data]
    return _each(eqn, held, [rows.axis] * 2, out, rows.axis)


def _every(a: Array) -> Rows:
    """Return an operand that every block meets whole."""
    return Rows(a.shape, a.dtype, 0, lambda start, stop, memo: a)


def _transpose(eqn: Eqn, x: Rows, out: Aval) -> Rows:
    return _each(eqn, [x], [x.axis], out, eqn.params["perm"].index(x.axis))


def _broadcast(eqn: Eqn, x: Rows, out: Aval) -> Rows | None:
    axis = eqn.params["dims"][x.axis]
    return _each(eqn, [x], [x.axis], out, axis, "shape") if out.shape[axis] == x.rows else None


def _reshape(eqn: Eqn, x: Rows, out: Aval) -> Rows | None:
    lead = int(np.prod(x.shape[: x.axis], dtype=np.int64))
    for axis, n in enumerate(out.shape):
        if n == x.rows and int(np.prod(out.shape[:axis], dtype=np.int64)) == lead:
            return _each(eqn, [x], [x.axis], out, axis, "shape")
    return None


def _slice(eqn: Eqn, x: Rows, out: Aval) -> Rows | None:
    p, axis = eqn.params, x.axis
    first, steps = p["start"][axis], p.get("steps")
    if steps and steps[axis] != 1:
        return None
    op = table()["slice"]

    def read(start: int, stop: int, memo: Memo) -> Array:
        begin, end = list(p["start"]), list(p["stop"])
        begin[axis], end[axis] = 0, stop - start
        part = x.block(start + first, stop + first, memo)
        return np.asarray(op.clear([part], {**p, "start": begin, "stop": end})[0])

    return Rows(out.shape, x.dtype, axis, read)


def _along(eqn: Eqn, x: Rows, out: Aval) -> Rows | None:
    return _each(eqn, [x], [x.axis], out, x.axis) if eqn.params["axis"] != x.axis else None


_MOVES: dict[str, Callable[[Eqn, Rows, Aval], Rows | None]] = {
    "transpose": _transpose,
    "broadcast": _broadcast,
    "reshape": _reshape,
    "slice": _slice,
    "take": _along,
    "cumsum": _along,
}


def fold(folds: Mapping[int, Fold]) -> dict[int, Array]:
    """Return all results, by variable, reading the blocks once; all have equally many rows."""
    out: dict[int, Array] = {}
    rows = next(iter(folds.values())).rows
    with np.errstate(all="ignore"):
        for start in range(0, max(rows, 1), BLOCK):
            memo: Memo = {}
            for var, f in folds.items():
                part = f.of(start, min(start + BLOCK, rows), memo)
                out[var] = f.join(out[var], part) if var in out else part
    return out


def clear(eqn: Eqn, data: list[Any], outs: list[Aval]) -> list[Any]:
    """Run one equation in the clear, by blocks where that is possible."""
    if not any(isinstance(d, Rows) for d in data):
        return _run(eqn, data, outs)
    how = plan(eqn, data, outs[0]) if len(outs) == 1 else None
    if isinstance(how, Fold):
        return [fold({0: how})[0]]
    if how is None:
        return _run(eqn, [whole(d) for d in data], outs)
    return [how if how.rows > BLOCK else np.asarray(how)]


def ahead(
    program: Program, at: int, env: Mapping[int, Any], avals: Mapping[int, Aval], mine: str
) -> dict[int, Array]:
    """Return, by variable, what a pass over the rows gives at once: all sums over the rows from equation `at` on.

    `env` holds what this party knows of the variables so far; sums that depend on other sums wait for their own
    pass. The result is empty if the equation at `at` adds up no rows.
    """
    known, folds, rows = dict(env), {}, -1
    for place, eqn in enumerate(program.eqns[at:]):
        usable = len(eqn.outs) == 1 and eqn.op not in _APART and all(v in known for v in eqn.ins)
        if usable and join_where([avals[v] for v in eqn.ins]) in (PUBLIC, mine):
            data, out = [known[v] for v in eqn.ins], avals[eqn.outs[0]]
            large = any(isinstance(d, Rows) for d in data)
            how = plan(eqn, data, out) if large else None
            if isinstance(how, Rows):
                known[eqn.outs[0]] = how
            elif isinstance(how, Fold) and rows in (-1, how.rows):
                folds[eqn.outs[0]], rows = how, how.rows
            elif not large and (eqn.op == "broadcast" or out.size <= _SMALL):
                known[eqn.outs[0]] = clear(eqn, data, [out])[0]
        if place == 0 and not folds:
            return {}
    return fold(folds)


# -- what owners provide --------------------------------------------------------------------------------------


def check_input(name: str, value: Any, aval: Aval) -> Any:
    """Return an owner's array as its declared kind; errors name the input and the bound, never a value."""
    a = from_file(value) if isinstance(value, np.memmap) else value
    a = a if isinstance(a, Rows) else np.asarray(a)
    if tuple(a.shape) != aval.shape:
        raise ShapeError(
            f"input {name!r} was declared with shape {aval.shape}, the data has {tuple(a.shape)}"
        )
    allowed = {"int": "iub", "fixed": "fiub", "bool": "b"}[aval.kind]
    if a.dtype.kind not in allowed:
        raise DataError(f"input {name!r} was declared {aval.kind}, the data is {a.dtype}")
    if isinstance(a, Rows):
        if a.within is None or a.within[0] < aval.lo or a.within[1] > aval.hi:
            for start, stop in a.blocks():
                _check_values(name, a.block(start, stop), aval)
        return cast(a, _held_as(a, aval))
    _check_values(name, a, aval)  # first: a word of 64 bits without a sign may be none with one
    return a.astype(_held_as(a, aval), copy=False)


def _held_as(a: Any, aval: Aval) -> Any:
    """Return the element type of an input: words without a sign may be beyond 64 bits with one."""
    return _type(aval) if a.dtype == np.uint64 else kind_dtype(aval.kind)


def _check_values(name: str, a: Array, aval: Aval) -> None:
    if a.dtype.kind == "f" and not np.all(np.isfinite(a)):
        raise DataError(
            f"input {name!r} holds NaN or infinity; declare a missing-value code or clean the table"
        )
    if aval.kind != "bool" and a.size and (a.min() < aval.lo or a.max() > aval.hi):
        raise RangeError(
            f"input {name!r} was declared within [{aval.lo:g}, {aval.hi:g}], and a value lies outside; correct the "
            "table or the bound"
        )
