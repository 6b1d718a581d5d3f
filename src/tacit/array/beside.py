"""Equations that do the same to different elements are worked on side by side, in the rounds of one (decision 0074).

Each case of a score asks a comparison of its own, and each result is opened by an equation of its own, though none
waits for another. `together.gather` puts such equations next to each other; a run joins their operands, calls the
operation once, and takes the results apart.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tacit.array.late import of_one_role, signs
from tacit.array.ops import table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program, params_text

if TYPE_CHECKING:
    from tacit.array.runtime import Format
    from tacit.core.protocol import Protocol

COMPARED = frozenset({"lt", "compare", "maximum", "minimum", "abs"})
"""Operations that begin with the signs of differences (`compare.side_by_side`)."""
EXACT = frozenset({"eq", "floor", "select", "and", "or", "mul", "square", "convert"})
"""Operations on elements that give the same whatever else their operands' ranges allow."""
FITTED = frozenset({"div", "sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh", "erf", "atan", "sin", "cos"})
"""Those that are fitted to ranges, which have to be the same."""
JOINED = COMPARED | EXACT | FITTED
LOCAL_BY_PUBLIC = {"and": (0, 1), "or": (0, 1), "mul": (0, 1), "div": (1,), "select": (0,)}
"""Operands that, if public, leave nothing to do with others, or a product that may be left (`together`)."""
ELEMENTS = 1 << 12
"""Most results of one operation that are joined: their operands are copied."""
OPENED = 1 << 16
"""Most that are opened at once."""
Key = tuple[Any, ...]


def key(eqn: Eqn, ins: Sequence[Aval], outs: Sequence[Aval]) -> Key | None:
    """Return what equations have in common that can be worked on side by side; None for one that goes alone."""
    if not 0 < outs[0].size <= most(eqn):
        return None
    if eqn.op == "reveal":
        return ("reveal", *eqn.params["to"], ins[0].kind == "bool") if ins[0].where != PUBLIC else None
    if eqn.op not in JOINED or outs[0].where != SECRET:
        return None
    if eqn.op in COMPARED:
        return ("compare",) if eqn.op != "abs" or ins[0].lo < 0 else None
    if any(ins[i].where == PUBLIC for i in LOCAL_BY_PUBLIC.get(eqn.op, ())):
        return None
    kinds = {a.kind for a in ins}
    if (eqn.op in ("mul", "square") and kinds == {"fixed"}) or (eqn.op == "convert" and kinds != {"bool"}):
        return None  # the one may be left, the other is local
    fitted = [(a.lo, a.hi) for a in ins] if eqn.op in FITTED else []
    return (eqn.op, params_text(eqn), *(a.kind for a in ins), *fitted)


def most(eqn: Eqn) -> int:
    """Return how many elements are joined at most."""
    return OPENED if eqn.op == "reveal" else ELEMENTS


def groups(
    program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format, late: Container[int] = ()
) -> Iterator[list[Eqn]]:
    """Yield the equations in order: those next to each other that are worked on side by side in one list.

    Comparisons that round what they read, the `late` variables (decision 0073), go with their like.
    """
    group: list[Eqn] = []
    common: Key | None = None
    made: set[int] = set()
    for eqn in program.eqns:
        own = key(eqn, [avals[v] for v in eqn.ins], [avals[v] for v in eqn.outs])
        if own is not None:
            own = (*own, any(v in late for v in eqn.ins))
        more = [*group, eqn]
        if (
            own is None
            or own != common
            or not made.isdisjoint(eqn.ins)
            or not _fits(more, avals, p, fmt, own[-1])
        ):
            if group:
                yield group
            group, common, made = [], own, set()
        group.append(eqn)
        made.update(eqn.outs)
    if group:
        yield group


def _fits(group: list[Eqn], avals: dict[int, Aval], p: Protocol, fmt: Format, late: bool) -> bool:
    """Whether so many elements are joined, and the ring holds what their common ranges need."""
    if sum(avals[e.outs[0]].size for e in group) > most(group[0]):
        return False
    if late:  # read by roles that are not turned, as each of them is
        found = [signs(e, [avals[v] for v in e.ins], p, fmt.frac_bits) for e in group]
        return of_one_role(p, sum(n for n, _ in found), max(bits for _, bits in found))
    if group[0].op not in EXACT:
        return True
    ins, outs = _avals(group, avals)
    return table()[group[0].op].need(ins, outs, group[0].params, fmt.frac_bits) <= fmt.width - 2


def as_one(group: list[Eqn], avals: dict[int, Aval]) -> tuple[Eqn, list[Aval]]:
    """Return the equation that a group is worked on as, and what is known of its results, in a row.

    Its operands are those of one equation after another, and so are its results.
    """
    first = group[0]
    ins, outs = (v for e in group for v in e.ins), (v for e in group for v in e.outs)
    row = [] if first.op == "reveal" or first.op in COMPARED else _avals(group, avals)[1]
    return Eqn(first.op, tuple(ins), tuple(outs), first.params, first.source), row


def _avals(group: list[Eqn], avals: dict[int, Aval]) -> tuple[list[Aval], list[Aval]]:
    """Return what is known of each operand and each result of a group, in a row."""
    columns = zip(*(e.ins for e in group), strict=True), zip(*(e.outs for e in group), strict=True)
    ins, outs = ([hull([avals[v] for v in column]) for column in each] for each in columns)
    return ins, outs


def hull(avals: list[Aval]) -> Aval:
    """Return what is known of all the elements in a row."""
    where = PUBLIC if all(a.where == PUBLIC for a in avals) else SECRET
    size = sum(a.size for a in avals)
    return Aval((size,), avals[0].kind, min(a.lo for a in avals), max(a.hi for a in avals), where)
