"""What every run of a Program has in common: its equations, prepared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tacit.array import beside
from tacit.array.crossed import crossed
from tacit.array.inner import inner
from tacit.array.loop import infer_once
from tacit.array.ops import Op, table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.scales import SUMS, USUAL, Rounding
from tacit.array.together import Waiting, is_shared_at_once, shared_ahead
from tacit.array.widths import ways
from tacit.core.protocol import Protocol

if TYPE_CHECKING:
    from tacit.array.runtime import Format, Value

Array = npt.NDArray[Any]
KEPT_ELEMENTS = 1 << 12
"""Constants of up to so many elements are kept from one run of a program to the next."""
PLAIN = USUAL, replace(USUAL, word=True)


@dataclass(slots=True)
class Step:
    """One equation, prepared, or several that are worked on side by side."""

    at: int
    """Which equation of the program it is, or the first of them."""
    eqns: list[Eqn]
    eqn: Eqn
    """It, or the one that they are worked on as (`beside.as_one`)."""
    row: list[Aval]
    """What is known of the results in a row, where operands are joined."""
    outs: list[Aval]
    """What is known of each."""
    dead: tuple[int, ...]
    fixed: bool
    """Whether the results are small and follow from this program's text alone, whatever its inputs."""
    ends: frozenset[int] | None
    """The calls that were left and must end before it; None for all."""
    left: int
    """Its own number, if it may be left, else 0."""
    rounding: Rounding
    """How its results are held."""
    shared: tuple[int, ...]
    """Owners' values that are shared before it, in one round."""
    op: Op | None = None
    """What it does, if all that it takes are shares and it sends nothing."""
    rule: Op | None = None
    """What it does, if it computes on shares and reads them as they are."""
    move: Callable[[Array], Array] | None = None
    """What it does to each part, if it only moves the elements of one share."""
    kept: list[Value] | None = None
    """The results, from the first run on."""
    sheds: bool = False
    """Whether it is a product with a public number, whose other factor may lose bits before."""
    late: frozenset[int] = frozenset()
    """What is not there yet when it begins, if so."""
    text: frozenset[int] = frozenset()
    """Operands, by place, that in all of the equations follow from this program's text alone."""
    joined: dict[int, Value] = field(default_factory=dict)
    """They in a row, from the first run on."""


@dataclass(slots=True)
class Prepared:
    """What every run of a program on inputs of these avals has in common."""

    text: Program
    """As it was approved."""
    program: Program
    """As it is run."""
    ins: list[Aval]
    opened: bool
    avals: dict[int, Aval]
    steps: list[Step]
    needed: dict[int, int]
    """Bits of values that their readers need."""


def prepared(program: Program, ins: list[Aval], p: Protocol, fmt: Format, opened: bool) -> Prepared:
    """Return what runs of a program on such inputs have in common; the second time from memory, as `ways`.

    Results that are kept are shares of one session's parties: steps that keep any are the runtime's own.
    """
    text, program = program, inner(crossed(program, ins, p, fmt), ins, p, fmt)
    of = p.party
    key = "steps", id(p.cards), of.network, of.n, fmt, opened, *ins
    # Parties of one process, threads, all take what the first has stored.
    known: tuple[object, list[Step]] = program.memo.get(key) or program.memo.setdefault(
        key, (p.cards, _steps(program, ins, p, fmt, opened))
    )
    steps = [replace(step, kept=None, joined={}) if step.fixed or step.text else step for step in known[1]]
    needed = ways(program, ins, p, fmt, opened)[2].needed
    return Prepared(text, program, ins, opened, infer_once(program, ins, fmt), steps, needed)


def _steps(program: Program, ins: list[Aval], p: Protocol, fmt: Format, opened: bool) -> list[Step]:
    avals, dead = infer_once(program, ins, fmt), program.last_uses()
    steps: list[Step] = []
    waiting = Waiting()
    known: set[int] = set()  # of the text alone
    ahead = shared_ahead(program, avals)
    extra, groups, held = ways(program, ins, p, fmt, opened)
    at = 0
    for group, rounding in zip(groups, held.roundings, strict=True):
        fixed = group[0].op not in ("reveal", "scan") and known.issuperset(group[0].ins)
        if fixed:
            known.update(group[0].outs)
        # What is worked on side by side sends messages, and is not left: the first of it ends all that waits.
        first, made = ([avals[v] for v in vs] for vs in (group[0].ins, group[0].outs))
        ends, left = waiting.take(group[0], first, made, rounding.quiet, rounding.done, rounding.lift > 0)
        eqn, row = beside.as_one(group, avals) if len(group) > 1 else (group[0], [])
        outs = [avals[v] for v in eqn.outs]
        here = slice(at, at + len(group))
        places = enumerate(zip(*(e.ins for e in group), strict=False)) if row else ()
        usual = len(group) == 1 and rounding in PLAIN and extra.keys().isdisjoint(eqn.ins)
        op = table()[eqn.op] if usual and eqn.ins else None
        op = op if op and op.local and all(avals[v].secret for v in eqn.ins) else None
        prepare = op.prepare if op and not any(ahead[here]) else None
        added = eqn.op in SUMS and (rounding.extra or not extra.keys().isdisjoint(eqn.ins))
        ready = not (added or rounding.done or any(is_shared_at_once(avals[v]) for v in eqn.ins))
        sheds = left > 0 and eqn.op in ("mul", "div") and any(avals[v].where == PUBLIC for v in eqn.ins)
        secret = len(group) == 1 and eqn.op not in ("reveal", "scan") and outs[0].where == SECRET
        steps.append(
            Step(
                at,
                group,
                eqn,
                row,
                outs,
                dead=tuple(v for last in dead[here] for v in last),
                fixed=fixed and sum(a.size for a in outs) <= KEPT_ELEMENTS,
                ends=ends,
                left=left,
                rounding=rounding,
                shared=tuple(v for values in ahead[here] for v in values),
                op=op,
                rule=table()[eqn.op] if ready and secret else None,
                move=prepare(avals[eqn.ins[0]].shape, eqn.params) if prepare else None,
                sheds=sheds,
                late=frozenset(waiting.outs if sheds else ()),
                text=frozenset(i for i, column in places if known.issuperset(column)),
            )
        )
        at += len(group)
    return steps
