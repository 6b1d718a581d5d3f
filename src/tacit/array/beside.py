"""Equations that do the same to different elements are worked on side by side, in the rounds of one (decision 0074).

Each case of a score asks a comparison of its own, and each result is opened by an equation of its own, though none
waits for another. `together.gather` puts such equations next to each other; a run joins their operands, calls the
operation once, and takes the results apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import copies
from tacit.array.bounds import difference_bits
from tacit.array.late import of_one_role, signs
from tacit.array.ops import table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program, params_text
from tacit.array.schema import ASKED
from tacit.core.blocks import elements

if TYPE_CHECKING:
    from tacit.array.runtime import Format, Runtime, Value
    from tacit.core.protocol import Protocol
    from tacit.core.share import Share

COMPARED = frozenset({*ASKED, "compare"})
"""Operations that begin with the signs of differences (`compare.side_by_side`)."""
EXACT = frozenset({"eq", "floor", "select", "and", "or", "mul", "square", "convert", "part"})
"""Operations on elements that give the same whatever else their operands' ranges allow."""
FITTED = frozenset({"div", "sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh", "erf", "atan", "sin", "cos"})
"""Those that are fitted to the range of their last operand, which has to be the same."""
STACKED = {
    "order": (0, 0),
    "arrange": (0, 0),
    "restore": (0, 0),
    "extreme": (1, 0),
    "every": (1, 0),
    "running": (1, 1),
}
"""Operations on rows of independent columns, or columns of independent rows: along which axis of operands others may
stand, and of results."""
BLOCKS = frozenset({"hot", "inverse", "lookup", "spread"})
"""Operations on blocks that have nothing to do with each other: others are more of these."""
JOINED = COMPARED | EXACT | FITTED | {"bits"}
LOCAL_BY_PUBLIC = {"and": (0, 1), "or": (0, 1), "mul": (0, 1), "div": (1,), "select": (0,)}
"""Operands that, if public, leave nothing to do with others, or a product that may be left (`together`)."""
ELEMENTS = 1 << 12
"""So many results of one operation are joined whatever they hold. Of more, those that hold copies stay alone."""
MOST_ELEMENTS = 1 << 20
"""Most that are put next to each other, whatever network a run then joins them for: their operands are copied."""
NOMINAL = 20
"""Fractional bits in which bits are counted before a format is chosen."""
OPENED = 1 << 16
"""Most that are opened at once, or of which bits are found: less is copied than that takes."""
Key = tuple[Any, ...]
EMPTY: Mapping[int, int] = MappingProxyType({})


def key(eqn: Eqn, ins: Sequence[Aval], outs: Sequence[Aval], at_most: int = MOST_ELEMENTS) -> Key | None:
    """Return what equations have in common that can be worked on side by side; None for one that goes alone."""
    if not 0 < size(eqn, ins, outs) <= most(eqn, at_most):
        return None
    if eqn.op in STACKED or eqn.op in BLOCKS:
        return _shapes(eqn, ins) if outs[0].where == SECRET else None
    if eqn.op == "reveal":
        return ("reveal", *eqn.params["to"], ins[0].kind == "bool") if ins[0].where != PUBLIC else None
    if eqn.op not in JOINED or outs[0].where != SECRET:
        return None
    if eqn.op == "bits":
        return ("bits", params_text(eqn))
    if eqn.op in COMPARED:
        return ("compare", *_bits(eqn, ins)) if eqn.op != "abs" or ins[0].lo < 0 else None
    if any(ins[i].where == PUBLIC for i in LOCAL_BY_PUBLIC.get(eqn.op, ())):
        return None
    kinds = {a.kind for a in ins}
    if (eqn.op in ("mul", "square") and kinds == {"fixed"}) or (eqn.op == "convert" and kinds != {"bool"}):
        return None  # the one may be left, the other is local
    fitted = [(a.lo, a.hi) for a in ins if a is ins[-1] or a.where == PUBLIC] if eqn.op in FITTED else []
    many = _bits(eqn, ins) if eqn.op in ("eq", "floor", "part") else ("many",) * (outs[0].size > ELEMENTS)
    return (eqn.op, params_text(eqn), *(a.kind for a in ins), *fitted, *many)


def _shapes(eqn: Eqn, ins: Sequence[Aval]) -> Key | None:
    """Return what equations on several arrays have in common: shapes, and where it matters ranges."""
    by_index = eqn.op in BLOCKS and eqn.op != "inverse"
    chosen = ins[int(by_index and eqn.op != "hot")]
    if chosen.where == PUBLIC or not (by_index or all(a.secret or a.where == PUBLIC for a in ins)):
        return None
    alike = [(a.kind, a.shape, a.where == PUBLIC, *(() if by_index else (a.lo, a.hi))) for a in ins]
    return (eqn.op, params_text(eqn), chosen.where, *alike)  # whose an index is decides how it is taken apart


def size(eqn: Eqn, ins: Sequence[Aval], outs: Sequence[Aval]) -> int:
    """Return how many elements an equation adds to those that are joined."""
    return max(a.size for a in (*ins, *outs)) if eqn.op in STACKED or eqn.op in BLOCKS else outs[0].size


def _bits(eqn: Eqn, ins: Sequence[Aval]) -> Key:
    """Return about how many bits an operation on many elements looks at: joined, all have as many as the most."""
    if ins[0].size <= ELEMENTS:
        return ()
    other = ins[1] if len(ins) > 1 else Aval((), ins[0].kind, 0, 0)
    return (ins[0].kind, (difference_bits([ins[0], other], NOMINAL) - 1).bit_length())


def most(eqn: Eqn, at_most: int = MOST_ELEMENTS) -> int:
    """Return how many elements are joined at most, other than what is opened or taken apart."""
    if eqn.op == "bits":
        return OPENED * len(eqn.params["at"])
    return OPENED if eqn.op == "reveal" else at_most


class Alone:
    """Which equations of many elements stay alone, as a copy of what they read is worked on once (`copies`)."""

    def __init__(self, program: Program, avals: Mapping[int, Aval]) -> None:
        self.program, self.avals = program, avals
        self.found: frozenset[int] | None = None

    def __contains__(self, eqn: Eqn) -> bool:
        if self.avals[eqn.outs[0]].size <= ELEMENTS:
            return False
        if self.found is None:
            self.found = copies.repeated(self.program, self.avals)
        return eqn.outs[0] in self.found or (eqn.op == "div" and eqn.ins[1] in self.found)


def groups(
    program: Program,
    avals: dict[int, Aval],
    p: Protocol,
    fmt: Format,
    extra: Mapping[int, int] = EMPTY,
    needed: Mapping[int, int] | None = EMPTY,
) -> Iterator[list[Eqn]]:
    """Yield the equations in order: those next to each other that are worked on side by side in one list.

    Comparisons that round what they read, as it has `extra` fractional bits (decision 0073), go with their like, and
    so do results that have some. Of more elements than one block has, copies of operands are worth more than rounds;
    those of many go with others of which as many bits are `needed`, or alone while it is None.
    """
    at_most = ELEMENTS if needed is None else elements(p.party.network)
    alone = Alone(program, avals)
    group: list[Eqn] = []
    common: Key | None = None
    made: set[int] = set()
    room = _Room(p, fmt, at_most)
    for eqn in program.eqns:
        ins, outs = [avals[v] for v in eqn.ins], [avals[v] for v in eqn.outs]
        own, rounded = key(eqn, ins, outs, at_most), any(v in extra for v in eqn.ins)
        if own is not None:
            own = (*own, rounded, extra.get(eqn.outs[0], 0))
            if needed and size(eqn, ins, outs) > ELEMENTS:
                own = (*own, *(needed.get(v, 0) for v in eqn.outs))
        if (
            own is None
            or own != common
            or not made.isdisjoint(eqn.ins)
            or group[0] in alone
            or eqn in alone
            or not room.take(eqn, ins, outs, rounded)
        ):
            if group:
                yield group
            group, made, room = [], set(), _Room(p, fmt, at_most)
            common = own if own is not None and room.take(eqn, ins, outs, rounded) else None
        group.append(eqn)
        made.update(eqn.outs)
    if group:
        yield group


def many(group: Sequence[Eqn], avals: Mapping[int, Aval]) -> bool:
    """Whether equations of many elements are joined: which of them, depends on the bits that are needed of each."""
    if len(group) < 2 or group[0].op == "reveal":
        return False
    return any(size(e, *([avals[v] for v in vs] for vs in (e.ins, e.outs))) > ELEMENTS for e in group)


class _Room:
    """What a group takes so far: elements, common ranges, signs to find of products that are rounded late."""

    def __init__(self, p: Protocol, fmt: Format, at_most: int) -> None:
        self.p, self.fmt, self.at_most = p, fmt, at_most
        self.size = self.signs = self.bits = 0
        self.row: tuple[list[Aval], list[Aval]] | None = None
        self.error = math.inf, math.inf

    def take(self, eqn: Eqn, ins: list[Aval], outs: list[Aval], late: bool) -> bool:
        """Count one more equation in, if so many elements are joined, and the ring holds what common ranges need."""
        total = self.size + size(eqn, ins, outs)
        if total > most(eqn, self.at_most):
            return False
        if late:  # read by roles that are not turned, as each of them is
            n, bits = signs(eqn, ins, self.p, self.fmt.frac_bits)
            n, bits = self.signs + n, max(self.bits, bits)
            if not of_one_role(self.p, n, bits):
                return False
            self.signs, self.bits = n, bits
        elif eqn.op in EXACT or eqn.op == "div":
            row, op = (ins, outs), table()[eqn.op]
            if self.row is not None:
                row = _row(self.row[0], ins), _row(self.row[1], outs)
            if op.need(*row, eqn.params, self.fmt.frac_bits) > self.fmt.width - 2:
                return False
            if eqn.op == "div":  # of quotients, the largest leaves the fewest bits for all
                assert op.error is not None
                own, common = (
                    op.error(*each, eqn.params, self.fmt.width, self.fmt.frac_bits)
                    for each in ((ins, outs), row)
                )
                error = min(self.error[0], own[0]), min(self.error[1], own[1])
                if common[0] > error[0] or common[1] > error[1]:
                    return False
                self.error = error
            self.row = row
        self.size = total
        return True


def _row(some: list[Aval], more: list[Aval]) -> list[Aval]:
    """Return what is known of each operand or result with more elements behind."""
    return [hull([a, b]) for a, b in zip(some, more, strict=True)]


def as_one(group: list[Eqn], avals: dict[int, Aval]) -> tuple[Eqn, list[Aval]]:
    """Return the equation that a group is worked on as, and what is known of its results, in a row.

    Its operands are those of one equation after another, and so are its results.
    """
    first = group[0]
    ins, outs = (v for e in group for v in e.ins), (v for e in group for v in e.outs)
    if first.op in STACKED or first.op in BLOCKS:
        row = [
            replace(a, shape=_together(first.op, len(group), avals[v].shape, 1))
            for v, a in zip(first.outs, _avals(group, avals)[1], strict=True)
        ]
        return Eqn(first.op, tuple(ins), tuple(outs), first.params, first.source), row
    row = [] if first.op in ("reveal", "bits") or first.op in COMPARED else _avals(group, avals)[1]
    if divided_by_one(group):
        row = [replace(a, shape=(len(group), *avals[first.outs[0]].shape)) for a in row]
    return Eqn(first.op, tuple(ins), tuple(outs), first.params, first.source), row


def _together(op: str, count: int, shape: tuple[int, ...], which: int) -> tuple[int, ...]:
    """Return the shape of so many operands (0) or results (1) of one shape that are worked on as one."""
    if op in BLOCKS:
        return (count * shape[0], *shape[1:])
    axis = STACKED[op][which]
    return (*shape[:axis], count, *shape[axis:])


def as_one_operand(rt: Runtime, op: str, count: int, row: Value, shape: tuple[int, ...]) -> Value:
    """Return operands of one shape, which are given in a row, as an operation takes them together."""
    axis = 0 if op in BLOCKS else STACKED[op][0]
    if not axis:
        return copies.above(rt, row, _together(op, count, shape, 0))
    whole = copies.above(rt, row, (count, *shape))
    return copies.taken(
        rt,
        whole,
        replace(whole.aval, shape=_together(op, count, shape, 0)),
        partial(np.moveaxis, source=0, destination=axis),
    )


def whose(op: str, place: int, a: Aval) -> str:
    """Return where operands are that are joined: an owner's index stays the owner's, who takes it apart."""
    return a.where if op in BLOCKS and op != "inverse" and place == int(op != "hot") else SECRET


def each_of(op: str, count: int, s: Share) -> list[Share]:
    """Return the results that are there together."""
    if op in BLOCKS:
        each = s.shape[0] // count
        return [s[slice(i * each, (i + 1) * each)] for i in range(count)]
    before = (slice(None),) * STACKED[op][1]
    return [s[(*before, i)] for i in range(count)]


def divided_by_one(group: Sequence[Eqn]) -> bool:
    """Whether equations divide by the same: what is found of that is found once for all."""
    return group[0].op == "div" and len({e.ins[1] for e in group}) == 1


def _avals(group: list[Eqn], avals: dict[int, Aval]) -> tuple[list[Aval], list[Aval]]:
    """Return what is known of each operand and each result of a group, in a row."""
    columns = zip(*(e.ins for e in group), strict=True), zip(*(e.outs for e in group), strict=True)
    ins, outs = ([hull([avals[v] for v in column]) for column in each] for each in columns)
    return ins, outs


def hull(avals: list[Aval], where: str = SECRET) -> Aval:
    """Return what is known of all the elements in a row: `where` they are, if not all are public."""
    where = PUBLIC if all(a.where == PUBLIC for a in avals) else where
    size = sum(a.size for a in avals)
    return Aval((size,), avals[0].kind, min(a.lo for a in avals), max(a.hi for a in avals), where)
