"""Loops of as many turns, none of which reads what another makes, take them together: a pass, like those of `passes`.

A model is fitted for each outcome, or without each fifth of the rows, by loops written one after another. As one loop
that carries what each of them does, their turns share rounds as other independent equations do (decision 0104).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from tacit.array.loop import infer, infer_eqn, inside, scan_types, split
from tacit.array.program import Aval, Eqn, Input, Program
from tacit.array.together import gather, turns
from tacit.errors import RangeError

CARRIED_ELEMENTS = 1 << 20
"""Most that loops read and make which are one: all of it is held at a time."""


def abreast(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Make one of loops that stand next to each other (`together.gather`), where ranges stay; loops' own loops, too."""
    if not any(eqn.op == "scan" for eqn in program.eqns):
        return program
    avals = infer(program, ins)
    program = inside(program, avals, abreast)
    eqns: list[Eqn] = []
    group: list[Eqn] = []
    for eqn in program.eqns:
        if group and not _joins(group, eqn, avals):
            eqns += _as_one(group, avals)
            group = []
        group.append(eqn)
    eqns += _as_one(group, avals)
    return program if len(eqns) == len(program.eqns) else program.replace(eqns=tuple(eqns))


def _joins(group: list[Eqn], eqn: Eqn, avals: dict[int, Aval]) -> bool:
    """Whether a loop has as many turns as those before it, reads none of their results, and there is room for it."""
    key = turns(eqn, [avals[v] for v in eqn.outs])
    if key is None or key != turns(group[0], [avals[v] for v in group[0].outs]):
        return False
    if not {v for e in group for v in e.outs}.isdisjoint(eqn.ins):
        return False
    return sum(avals[v].size for e in (*group, eqn) for v in {*e.ins, *e.outs}) <= CARRIED_ELEMENTS


def _as_one(group: list[Eqn], avals: dict[int, Aval]) -> list[Eqn]:
    """Return one loop in place of several; these where ranges would not be found, or be others."""
    if len(group) < 2:
        return group
    made = _merged(group)
    try:
        found = infer_eqn(made, [avals[v] for v in made.ins])
    except RangeError:
        return group
    if found != [avals[v] for v in made.outs]:
        return group
    ins = scan_types([avals[v] for v in made.ins], made.params)[0]
    return [replace(made, params={**made.params, "body": abreast(gather(made.params["body"], ins), ins)})]


def _merged(group: list[Eqn]) -> Eqn:
    """Return the loop whose body is those of several, one after another; what they have in common it reads once."""
    kept: list[dict[int, Input]] = [{}, {}, {}]
    ends: list[list[int]] = [[], []]
    outs: list[list[int]] = [[], []]
    eqns: list[Eqn] = []
    numbers = count()
    for loop in group:
        body, names = loop.params["body"], dict[int, int]()
        parts = zip(kept, split(loop.params, loop.ins), split(loop.params, body.inputs), strict=True)
        for which, (known, read, inputs) in enumerate(parts):
            for v, given in zip(read, inputs, strict=True):
                carried = which == 1  # each on its own, whatever it begins with
                place = -len(known) - 1 if carried else v
                if place not in known:
                    number = next(numbers)
                    known[place] = Input(f"v{number}", "", number, given.aval)
                names[given.var] = known[place].var
        for eqn in body.eqns:
            names.update((v, next(numbers)) for v in eqn.outs)
            eqns.append(
                replace(eqn, ins=tuple(names[v] for v in eqn.ins), outs=tuple(names[v] for v in eqn.outs))
            )
        at = loop.params["n_carry"]
        for some, more, cut in zip(ends, outs, (slice(at), slice(at, None)), strict=True):
            some += [names[v] for v in body.outputs[cut]]
            more += loop.outs[cut]
    consts, carry, rows = kept
    read = [*consts, *(v for e in group for v in split(e.params, e.ins)[1]), *rows]
    body = Program(
        tuple(i for each in kept for i in each.values()), tuple(eqns), tuple(v for each in ends for v in each)
    )
    params = {**group[0].params, "n_consts": len(consts), "n_carry": len(carry), "body": body}
    return Eqn("scan", tuple(read), tuple(v for each in outs for v in each), params, group[0].source)
