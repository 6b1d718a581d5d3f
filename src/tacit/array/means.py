"""Means of some of an array's values lie among these: a pass, like those of `passes` (docs/decisions/0085).

Intervals say of `sum(where(m, x, 0)) / maximum(sum(m), 1)` that all may be added up and divided by 1: with a million
rows 20 bits more than any mean has, which can take a ring of two words. But a sum of what is chosen, over no less than
how many are, lies between the least and the greatest of x, or zero. So the Program is told so.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacit.array.inner import Factor, unrepeated
from tacit.array.loop import infer, inside
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program

WORTH = 0.8
"""A range is narrowed to so much of itself, or not at all."""
LEFT = 2.0**13
"""A quotient may be so large while it is computed: bits that it does not take would go to its divisor, by rounds."""
SLACK = 1 + 2.0**-4
"""Values may be rounded beyond their range by half of that, or what computes them is called noisy."""
WHY = "a mean of some values lies among them, or is zero"
Labels = list[int | None]
"""For each axis of a quotient, which axis of the weights it runs along; None where they repeat."""


def means(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Return the Program with what is known of means by truth values or whole weights; in loops, too."""
    avals = infer(program, ins)
    program = inside(program, avals, means)
    finder, eqns = _Finder(program, avals), list[Eqn]()
    fresh = max(avals, default=-1) + 1
    told = {eqn.ins[0] for eqn in program.eqns if eqn.op == "assume" and eqn.params.get("why") == WHY}
    for eqn in program.eqns:
        span = finder.span(eqn) if eqn.op == "div" and eqn.outs[0] not in told else None
        if span is None:
            eqns.append(eqn)
            continue
        wide, params = max(1.0, LEFT / max(map(abs, span))) if any(span) else 1.0, eqn.params
        if avals[eqn.outs[0]].magnitude > wide * max(map(abs, span)):
            params = {"within": [end * wide for end in span], "why": WHY}
        eqns.append(Eqn("div", eqn.ins, (fresh,), params, eqn.source))
        stated = {"lo": span[0], "hi": span[1], "why": WHY}
        eqns.append(Eqn("assume", (fresh,), eqn.outs, stated, eqn.source))
        fresh += 1
    return program if len(eqns) == len(program.eqns) else program.replace(eqns=tuple(eqns))


class _Finder:
    """Knows what each variable of a Program is made of."""

    def __init__(self, program: Program, avals: dict[int, Aval]) -> None:
        self.avals = avals
        self.maker = {v: eqn for eqn in program.eqns for v in eqn.outs}

    def span(self, eqn: Eqn) -> tuple[float, float] | None:
        """Return within what a quotient lies that is a mean; None if it is none, or that is no news."""
        out, (above, below) = self.avals[eqn.outs[0]], eqn.ins
        if out.where != SECRET or self.avals[below].where == PUBLIC or self.avals[below].lo <= 0:
            return None
        total, axes = self._sum(above, exactly=True)
        count, beside = self._sum(below, exactly=False)
        if total is None or count is None:
            return None
        for weights, x in self._products(total.ins[0]):
            lo, hi = min(self.avals[x].lo, 0), max(self.avals[x].hi, 0)
            if hi - lo > WORTH * (out.hi - out.lo):
                continue
            of = self._weights(count.ins[0])
            places = [_left(weights, total, axes), _left(of, count, beside)]
            gone = [_gone(weights, total), _gone(of, count)]
            if (
                weights.var == of.var
                and gone[0] is not None
                and gone[0] == gone[1]
                and places[0] == places[1]
            ):
                return lo * SLACK, hi * SLACK
        return None

    def _sum(self, v: int, exactly: bool) -> tuple[Eqn | None, Labels]:
        """Return the sum that a variable repeats, or if not `exactly` is no less than, and its axis for each axis."""
        axes: Labels = [i if n != 1 else None for i, n in enumerate(self.avals[v].shape)]
        while True:
            found = unrepeated(self.maker, self.avals, v)
            axes = [None if i is None else found.axes[i] for i in axes]
            eqn = self.maker.get(found.var)
            if eqn is None or eqn.op == "sum":
                return eqn, axes
            if eqn.op in ("assume", "convert"):
                v = eqn.ins[0]
            elif eqn.op in ("maximum", "add") and not exactly:
                known = [u for u in eqn.ins if self.avals[u].where == PUBLIC]
                others = [u for u in eqn.ins if u not in known]
                if len(others) != 1 or (eqn.op == "add" and self.avals[known[0]].lo < 0):
                    return None, axes
                v = others[0]
            else:
                return None, axes

    def _products(self, v: int) -> list[tuple[Factor, int]]:
        """Return the weights and the values, either way, that a sum's terms are products of, exactly."""
        eqn = self.maker.get(v)
        if eqn is None or eqn.op not in ("mul", "select"):
            return []
        if eqn.op == "mul":
            pairs = [eqn.ins, eqn.ins[::-1]]
        else:
            of, x, zero = eqn.ins
            a = self.avals[zero]
            pairs = [(of, x)] if a.where == PUBLIC and a.lo == a.hi == 0 else []
        return [(w, x) for u, x in pairs if (w := self._weights(u)) and self._whole(w.var)]

    def _weights(self, v: int) -> Factor:
        """Return what weights were before they were repeated, and before they were made numbers."""
        found = unrepeated(self.maker, self.avals, v)
        while (eqn := self.maker.get(found.var)) is not None and eqn.op == "convert":
            before = unrepeated(self.maker, self.avals, eqn.ins[0])
            found = Factor(before.var, [None if i is None else before.axes[i] for i in found.axes])
        return found

    def _whole(self, v: int) -> bool:
        """Whether these are truth values or whole numbers, none of them negative: products with them are exact."""
        return self.avals[v].kind != "fixed" and self.avals[v].lo >= 0


def _left(weights: Factor, total: Eqn, axes: Labels) -> Labels:
    """Return which axis of the weights each axis of a quotient runs along, after a sum of them or their products."""
    left = [a for i, a in enumerate(weights.axes) if i not in total.params["axes"]]
    return [None if i is None else left[i] for i in axes]


def _gone(weights: Factor, total: Eqn) -> list[int] | None:
    """Return which axes of the weights a sum adds up, of these each once; None if it adds up copies of them."""
    gone = [weights.axes[i] for i in total.params["axes"]]
    return None if any(i is None for i in gone) else sorted(i for i in gone if i is not None)
