"""Which side of a number an array is on where it is selected for being there, as in `x / where(n > 0, n, 1)`.

A comparison with a number says of its array what a selection of that very array keeps. Whole numbers above 0 are 1 at
least. Of fixed-point numbers it says no more than the number itself, which a format rounds: what is above zero may be
one unit, over which nothing can be divided, so that zero is no end that keeps away from it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array import intervals as iv
from tacit.array.loop import HUGE
from tacit.array.ranges import FINE, FINE_BITS
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Step, Value, known, with_notes
from tacit.frontends.jax_masked import MOVES
from tacit.frontends.jax_rules import only

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

Sides = dict[Hashable, tuple[iv.Interval, iv.Interval]]
"""Arrays, and within what they are where a truth value is true, and where it is false."""
ANY = (-math.inf, math.inf)
WHY = "what a comparison selects, on its side of a number"
TURNED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
NEAR = 32 * 2.0**-FINE_BITS
"""Ends closer to zero than this are rounded too much to be taken for what they are."""
COARSE = 2.0
"""Ends farther from zero than this are not, in any format."""


def called(it: Interpreter, v: SecretArray) -> Hashable:
    """Return what arrays have in common that are one, moved alike."""
    return it.moved.get(v.ref, v.ref)


def _within(x: iv.Interval, y: iv.Interval) -> iv.Interval:
    return max(x[0], y[0]), min(x[1], y[1])


def _sides(x: SecretArray, what: str, k: float) -> tuple[iv.Interval, iv.Interval]:
    """Return within what x is where its comparison with k is true, and where it is false."""
    if what in ("eq", "ne"):
        step = 1.0 if x.dtype == "int" else 0.0
        other = (
            x.aval.lo + step if k == x.aval.lo else -math.inf,
            x.aval.hi - step if k == x.aval.hi else math.inf,
        )
        found = ((k, k), other)
    elif x.dtype == "int":
        above = math.floor(k) + 1 if what in ("gt", "le") else math.ceil(k)
        found = ((above, math.inf), (-math.inf, above - 1))
    else:
        found = ((k, math.inf), (-math.inf, k))
    return found if what in ("eq", "gt", "ge") else found[::-1]


def _compare(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    x, y = ins
    what = TURNED[step.name] if known(x) else step.name
    x, k = (y, only(x)) if known(x) else (x, only(y))
    if known(outs[0]) or k is None or x.dtype == "bool" or x.shape != outs[0].shape or not abs(k) < HUGE:
        return
    it.sides[outs[0].ref] = {called(it, x): _sides(x, what, float(k))}


def _not(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    if not known(outs[0]) and (found := it.sides.get(ins[0].ref)) is not None:
        it.sides[outs[0].ref] = {x: (no, yes) for x, (yes, no) in found.items()}


def _both(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note what holds where both are true, or where neither is."""
    if known(outs[0]) or outs[0].dtype != "bool" or any(outs[0] is v for v in ins):
        return
    found: Sides = {}
    for v in ins:
        for x, (yes, no) in ({} if known(v) or v.shape != outs[0].shape else it.sides.get(v.ref, {})).items():
            held = found.get(x, (ANY, ANY))
            found[x] = (_within(held[0], yes), ANY) if step.name == "and" else (ANY, _within(held[1], no))
    it.sides[outs[0].ref] = found


def _moves(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Follow arrays, and truth values with what they say, through moves."""
    x, out = ins[0], outs[0]
    if len(ins) != 1 or known(out) or out is x:
        return
    how = (step.name, *(f"{k}={v}" for k, v in sorted(step.params.items())))
    it.moved[out.ref] = (how, called(it, x))
    if (found := it.sides.get(x.ref)) is not None:
        it.sides[out.ref] = {(how, of): spans for of, spans in found.items()}


def _away(end: float, exact: bool) -> tuple[float, str]:
    """Return an end that is not zero so that no format rounds a value across it, and what formats that asks for."""
    if exact or abs(end) >= COARSE:
        return end, ""
    return (end, FINE) if abs(end) >= NEAR else (end / 4, "")


def _span(v: Value) -> tuple[iv.Interval, bool]:
    """Return the range of a value, and whether every format holds its ends."""
    if not known(v):
        return (v.aval.lo, v.aval.hi), v.dtype == "int"
    a = np.asarray(v, np.float64)
    return (float(a.min()), float(a.max())), bool(np.all(a * 16 == np.rint(a * 16)))


def _selected(it: Interpreter, ins: list[Value], out: Value) -> Value:
    """Narrow what a truth value has selected to what it says of it."""
    which, cases = ins[0], ins[1:]
    sides = None if known(which) or known(out) else it.sides.get(which.ref)
    if not sides or len(cases) != 2 or not out.size or out.dtype == "bool":
        return out
    x, same = cases[0], only(cases[1])
    held = not known(x) and x.shape == out.shape and x.dtype == out.dtype
    if held and same is not None and sides.get(called(it, x), (ANY, ANY))[0] == (same, same):
        return x  # what is put in its place is what it is there, as zero is where JAX seeks a minus zero
    spans, exact = [], True
    for v, true in zip(cases, (False, True), strict=True):
        span, whole = _span(v)
        yes, no = (ANY, ANY) if known(v) else sides.get(called(it, v), (ANY, ANY))
        kept = _within(span, yes if true else no)
        # Of a side on which no value is, nothing is selected.
        spans += [kept] if kept[0] <= kept[1] else []
        exact = exact and whole
    if not spans or not all(math.isfinite(end) for span in spans for end in span):
        return out
    lo, hi = iv.hull(*spans)
    fine = ""
    if lo > 0 >= out.aval.lo:
        lo, fine = _away(lo, exact)
    elif hi < 0 <= out.aval.hi:
        hi, fine = _away(hi, exact)
    # What is not narrowed is not stated: in a loop it may grow.
    lo, hi = lo if lo > out.aval.lo else -HUGE, hi if hi < out.aval.hi else HUGE
    return out if (lo, hi) == (-HUGE, HUGE) else xp.assume(out, lo, hi, f"{WHY} {fine}".rstrip())


def siding(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those that compare, move and select arrays knowing it."""
    notes = {**dict.fromkeys(TURNED, _compare), **dict.fromkeys(MOVES, _moves)}
    made = with_notes(rules, {**notes, "not": _not, "and": _both, "or": _both})
    select = made["select_n"]

    def selecting(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        return [_selected(it, ins, out) for out in select(it, step, ins)]

    return {**made, "select_n": selecting}
