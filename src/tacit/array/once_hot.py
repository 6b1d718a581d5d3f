"""What several look-ups and sums ask of one index is made once: a pass, like those of `passes` (docs/decisions/0097).

A group-by adds up one column after another by one key, and looks the sums up by it again. Each takes the key apart into
bits of which one is set. `once_hot` lets `hot` make these where the first of them stands, and gives them to all.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacit.array.lookup import low_bits
from tacit.array.loop import infer, inside
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program

ASKING = ("lookup", "spread")


def once_hot(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Take an index that several look-ups or sums have apart once, where that sends less; in loops, too."""
    avals = infer(program, ins)
    program = inside(program, avals, once_hot)
    asked: dict[int, list[Eqn]] = {}
    for eqn in program.eqns:
        if _asks(eqn, avals):
            asked.setdefault(eqn.ins[1], []).append(eqn)
    how = {v: found for v, eqns in asked.items() if (found := _shared(eqns, avals)) is not None}
    return _with_hot(program, avals, how) if how else program


def _asks(eqn: Eqn, avals: dict[int, Aval]) -> bool:
    """Whether an equation takes an index apart on its own."""
    if eqn.op not in ASKING or len(eqn.ins) > 2 or avals[eqn.outs[0]].where != SECRET:
        return False
    index = avals[eqn.ins[1]]
    return index.where != PUBLIC and index.size > 0


def _shared(eqns: list[Eqn], avals: dict[int, Aval]) -> tuple[int, int] | None:
    """Return among how many places, and with how many bits last, to take an index apart; None for each alone."""
    sizes = [e.params["size"] if e.op == "spread" else avals[e.ins[0]].shape[1] for e in eqns]
    columns = [avals[e.ins[0]] for e in eqns]
    widths = [0 if a.where == PUBLIC else a.shape[2] for a in columns]
    alone = sum(low_bits(n, width)[0] for n, width in zip(sizes, widths, strict=True))
    # No place beyond those that it may name.
    places = int(avals[eqns[0].ins[1]].hi) + 1
    together, low = low_bits(places, sum(widths))
    return (places, low) if together < alone and 1 << low < places else None


def _with_hot(program: Program, avals: dict[int, Aval], how: dict[int, tuple[int, int]]) -> Program:
    eqns: list[Eqn] = []
    made: dict[int, tuple[int, ...]] = {}
    fresh = max(avals) + 1
    for eqn in program.eqns:
        if _asks(eqn, avals) and (index := eqn.ins[1]) in how:
            size, low = how[index]
            if index not in made:
                made[index] = (fresh, fresh + 1) if low else (fresh,)
                fresh += 2
                eqns.append(Eqn("hot", (index,), made[index], {"size": size, "low": low}, eqn.source))
            eqn = Eqn(eqn.op, (*eqn.ins, *made[index]), eqn.outs, eqn.params, eqn.source)
        eqns.append(eqn)
    return program.replace(eqns=tuple(eqns))
