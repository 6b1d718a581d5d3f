"""Sorted values, and points between them: quantiles of equal values are that value.

`jnp.quantile` writes low·(1 − w) + high·w. Each product is rounded by itself, so between two equal values it may be a
unit off, and whoever counts what lies above it counts all of the ties or none. low + (high − low)·w is rounded once,
not at all where both are equal, and lies between them. What is sorted already is not sorted again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array.plain import within
from tacit.frontends.jax_flat import Step, Value, known, with_notes

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

CLOSE = 1e-12


def _sorted(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note by which axis keys are in order."""
    if step.params["num_keys"] == 1 and not known(outs[0]):
        it.ranked[outs[0].ref] = step.params["dimension"]


def _picked(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note what is taken from sorted values by known places."""
    x = ins[0]
    if not known(x) and x.ref in it.ranked and not known(outs[0]) and all(known(v) for v in ins[1:]):
        it.picked[outs[0].ref] = x


def _same(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    x = ins[0]
    if not known(x) and x.ref in it.picked and not known(outs[0]):
        it.picked.setdefault(outs[0].ref, it.picked[x.ref])


def _share(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note products of what is picked with known shares."""
    x, w = ins if known(ins[1]) else ins[::-1]
    if known(x) or not known(w) or known(outs[0]) or x.ref not in it.picked or x.shape != outs[0].shape:
        return
    share = np.asarray(w, np.float64)
    if share.size and share.min() >= 0 and share.max() <= 1:
        it.shares[outs[0].ref] = x, share


def _between(it: Interpreter, ins: list[Value]) -> list[Value] | None:
    """Return what lies between two values picked from the same sorted ones."""
    first, second = (None if known(v) else it.shares.get(v.ref) for v in ins)
    if first is None or second is None:
        return None
    (low, p), (high, q) = first, second
    of = it.picked[low.ref]
    if low.shape != high.shape or it.picked[high.ref].ref != of.ref or p.shape != q.shape:
        return None
    if not np.all(np.abs(p + q - 1) <= CLOSE):
        return None
    point = xp.add(xp.astype(low, "fixed"), xp.multiply(xp.subtract(high, low), it.context.const(q, "fixed")))
    return [within(point, of, "a point between two values lies in their range")]


def _again(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return values as they are if they are sorted already."""
    x = ins[0]
    alone = len(ins) == 1 and not known(x)
    return [x] if alone and it.ranked.get(x.ref) == step.params["dimension"] else None


def ranking(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those of sorts and what lies between sorted values keeping these facts."""
    notes = {
        "sort": _sorted,
        "gather": _picked,
        "slice": _picked,
        "dynamic_slice": _picked,
        "squeeze": _same,
        "reshape": _same,
        "convert_element_type": _same,
        "mul": _share,
    }
    made = with_notes(rules, notes)
    add, sort = made["add"], made["sort"]
    made["add"] = lambda it, step, ins: _between(it, ins) or add(it, step, ins)
    made["sort"] = lambda it, step, ins: _again(it, step, ins) or sort(it, step, ins)
    return made
