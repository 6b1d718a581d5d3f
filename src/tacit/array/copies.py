"""Values that hold each number many times, as broadcasting leaves them: it is worked on once (decision 0092).

Which axes repeat follows from the equations that moved a value, so all participants find the same, whatever they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array.program import PUBLIC, Aval, Eqn, Program
from tacit.array.schema import ELEMENTWISE, MOVES
from tacit.core.share import Share

if TYPE_CHECKING:
    from tacit.array.ops import Op
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
Axes = frozenset[int]
NONE: Axes = frozenset()


@dataclass(slots=True)
class Known:
    """What is known of a value before there is one."""

    aval: Aval
    same: Axes = NONE


def axes(v: Value | Known) -> Axes:
    """Return the axes, of more than one element, along which a value holds copies."""
    if v.aval.where == PUBLIC and v.aval.lo == v.aval.hi:
        return frozenset(i for i, n in enumerate(v.aval.shape) if n > 1)
    return v.same


def common(values: Iterable[Value | Known]) -> Axes:
    """Return the axes along which all of several values hold copies."""
    found: Axes | None = None
    for v in values:
        if not v.same and v.aval.where != PUBLIC:
            return NONE  # as nearly always
        found = axes(v) if found is None else found & axes(v)
    return found or NONE


def of_rows(values: Sequence[Value], arity: int) -> list[Axes]:
    """Return the axes along which all first, second... operands of equations hold copies: of all of one shape.

    None if the last ones hold none: whatever others do, all elements are worked on, those of a row.
    """
    alike = len({v.aval.shape for v in values}) == 1 and common(values[arity - 1 :: arity])
    return [common(values[i::arity]) for i in range(arity)] if alike else []


def note(eqn: Eqn, ins: Sequence[Value | Known], outs: Sequence[Value | Known]) -> None:
    """Note along which axes an equation's results hold copies."""
    if eqn.op in ELEMENTWISE:
        found = common(ins)
    elif eqn.op in MOVES:
        found = _moved(eqn, ins[0])
    else:
        return
    if found:
        for v in outs:
            v.same = found


def note_each(eqns: Sequence[Eqn], ins: Sequence[Value], outs: Sequence[Value]) -> None:
    """Note it of equations that were worked on side by side, with their operands and results in a row."""
    if len(eqns) == 1:
        return note(eqns[0], ins, outs)
    read, made = iter(ins), iter(outs)
    for eqn in eqns:
        note(eqn, list(islice(read, len(eqn.ins))), list(islice(made, len(eqn.outs))))


def repeated(program: Program, avals: Mapping[int, Aval]) -> frozenset[int]:
    """Return the variables of a program that hold copies, of those that its own equations repeat."""
    known = {v: Known(a) for v, a in avals.items()}
    for eqn in program.eqns:
        if eqn.ins:
            note(eqn, [known[v] for v in eqn.ins], [known[v] for v in eqn.outs])
    return frozenset(v for v, each in known.items() if each.same)


def _moved(eqn: Eqn, v: Value | Known) -> Axes:
    """Return the axes of copies of what only moved."""
    before, of, params = v.aval.shape, axes(v), eqn.params
    if eqn.op == "broadcast":
        shape, dims = params["shape"], params["dims"]
        own = {d for i, d in enumerate(dims) if before[i] == shape[d] and i not in of}
        return frozenset(d for d, n in enumerate(shape) if n > 1 and d not in own)
    if not of or eqn.op == "flip":
        return of
    if eqn.op == "transpose":
        return frozenset(i for i, axis in enumerate(params["perm"]) if axis in of)
    if eqn.op == "slice":
        steps = params.get("steps") or [1] * len(before)
        return frozenset(i for i in of if params["stop"][i] - params["start"][i] > steps[i])
    kept, after = ([i for i, n in enumerate(shape) if n != 1] for shape in (before, params["shape"]))
    if [before[i] for i in kept] != [params["shape"][i] for i in after]:
        return NONE
    return frozenset(to for i, to in zip(kept, after, strict=True) if i in of)


def cut(a: Aval, some: Axes) -> Aval:
    """Return what is known of a value of which one copy is taken along some axes."""
    return replace(a, shape=tuple(1 if i in some else n for i, n in enumerate(a.shape)))


def once(rt: Runtime, v: Value, some: Axes) -> Value:
    """Return one copy of a value along axes of copies; an owner's is shared first, for all that reads it."""
    key = tuple(slice(1) if i in some else slice(None) for i in range(len(v.aval.shape)))
    return taken(rt, v, cut(v.aval, some), lambda a: a[key])


def taken(rt: Runtime, v: Value, aval: Aval, take: Callable[[Array], Array]) -> Value:
    """Return some of a value's elements, of this aval; those of axes that are left are copies as they were."""
    same = frozenset(i for i in v.same if aval.shape[i] > 1)
    if v.aval.where == PUBLIC:
        data = None if v.data is None else take(v.data)
        return replace(v, aval=aval, data=data, share=None, encoded=None, factors=None, one=None, same=same)
    share = v.share if v.share is not None else rt.share(v)
    return replace(v, aval=aval, data=None, share=share.map(take), same=same)


def above(rt: Runtime, v: Value, shape: tuple[int, ...], of: Axes = NONE) -> Value:
    """Return values in a row in a shape with one more axis in front, or one value as its copies along that.

    Those in a row hold copies along some axes `of` their own.
    """
    aval, row = replace(v.aval, shape=shape), v.aval.size == prod(shape)

    def put(a: Array) -> Array:
        return a.reshape(shape) if row else np.broadcast_to(a, shape)

    same = frozenset(i + 1 for i in of) if row else frozenset((0, *(i + 1 for i in v.same)))
    if v.aval.where == PUBLIC or (row and v.aval.owner and v.share is None):
        data = None if v.data is None else put(v.data)
        return replace(v, aval=aval, data=data, share=None, encoded=None, factors=None, one=None, same=same)
    return replace(v, aval=aval, data=None, share=rt.share(v).map(put), same=same)


def of_all(op: Op, ins: Sequence[Value]) -> Axes:
    """Return the axes along which one copy is worked on: those of all operands, where an operation has messages."""
    return common(ins) if not op.local and op.name in ELEMENTWISE else NONE


def spread(s: Share, shape: tuple[int, ...]) -> Share:
    """Return a share with copies along axes of one element."""
    return s.map(lambda a: np.broadcast_to(a, shape))


def in_rows(
    rt: Runtime,
    v: list[Value],
    out: Aval,
    step: int,
    whole: Callable[[list[Value], list[Aval]], list[Share]],
    together: Callable[[int, Iterable[Share]], Share],
) -> list[Share] | None:
    """Work on values whose last holds copies by blocks of about `step` of its numbers; None where it holds none.

    They are cut along the longest axis that is none of copies, so that a block has all copies of its numbers.
    """
    some = axes(v[-1])
    if not some:
        return None
    numbers = prod(n for i, n in enumerate(out.shape) if i not in some)
    if numbers <= step:
        return whole(v, [out])
    axis = max((i for i in range(len(out.shape)) if i not in some), key=lambda i: out.shape[i])
    n = out.shape[axis]
    rows = max(1, step * n // numbers)

    def piece(at: int) -> Share:
        key = (*[slice(None)] * axis, slice(at, min(n, at + rows)))

        def block(a: Aval) -> Aval:
            return replace(a, shape=(*a.shape[:axis], min(n, at + rows) - at, *a.shape[axis + 1 :]))

        ins = [taken(rt, x, block(x.aval), lambda a: a[key]) for x in v]
        return whole(ins, [block(out)])[0].map(lambda a: np.moveaxis(a, axis, 0))

    return [together(n, map(piece, range(0, n, rows))).map(lambda a: np.moveaxis(a, 0, axis))]
