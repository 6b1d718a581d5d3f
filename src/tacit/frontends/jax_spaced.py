"""Evenly spaced points between secret ends, as `jnp.histogram` makes its edges where none are given.

Fixed point rounds the points in between, so a value that lies on one of them would be counted on either side of it.
They are numbers like any others until something is put in order among them: that is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.errors import NotRealised
from tacit.frontends.jax_flat import Step, Value, known, with_notes

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

ORDERS = frozenset(["lt", "le", "gt", "ge", "lt_to", "le_to", "sort"])
LOOPS = frozenset(["scan", "while"])


def _share(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note the product of a secret end and known factors."""
    x, y = ins
    if known(x):
        x, y = y, x
    if known(x) or not known(y) or known(outs[0]) or np.ndim(y) != 1 or np.asarray(y).dtype.kind != "f":
        return
    if x.size == 1 and np.size(y) > 1:
        it.facts.setdefault(outs[0].ref, ("share", np.asarray(y)))


def _sum(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note points between two ends: shares whose factors add up to one, and are not whole."""
    facts = [None if known(v) else it.facts.get(v.ref) for v in ins]
    if known(outs[0]) or any(f is None or f[0] != "share" for f in facts):
        return
    p, q = (f[1] for f in facts if f is not None)
    if p.shape == q.shape and np.allclose(p + q, 1.0, rtol=0, atol=1e-12) and np.any(p != np.rint(p)):
        it.facts.setdefault(outs[0].ref, ("spaced",))


def _joined(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    if not known(outs[0]) and any(_is_spaced(it, v) for v in ins):
        it.facts.setdefault(outs[0].ref, ("spaced",))


def _is_spaced(it: Interpreter, v: Value) -> bool:
    return not known(v) and it.facts.get(v.ref) == ("spaced",)


def _puts_in_order(jaxpr: Any) -> bool:
    """Whether a loop's body, or what it calls, compares as `jnp.searchsorted` does."""
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        inner = [v for v in eqn.params.values() if hasattr(v, "eqns") or hasattr(v, "jaxpr")]
        if eqn.primitive.name in ("lt_to", "le_to") or any(_puts_in_order(v) for v in inner):
            return True
    return False


def _refuse(it: Interpreter, step: Step, ins: list[Value]) -> None:
    if not any(_is_spaced(it, v) for v in ins):
        return
    bodies = [v for v in step.params.values() if hasattr(v, "eqns") or hasattr(v, "jaxpr")]
    if step.name in LOOPS and not any(_puts_in_order(b) for b in bodies):
        return
    raise NotRealised(
        f"jax primitive {step.name!r} puts values in order among evenly spaced edges with secret ends (jnp.histogram "
        "without range or edges): the edges between are rounded, so a value on one would count on either side; use "
        "range=(lo, hi), or edges known while tracing"
    )


def spacing(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those that make such points or order among them knowing it."""
    notes = {
        "mul": _share,
        "add": _sum,
        "concatenate": _joined,
        "reshape": _joined,
        "broadcast_in_dim": _joined,
    }

    def refusing(rule: Rule) -> Rule:
        def run(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
            _refuse(it, step, ins)
            return rule(it, step, ins)

        return run

    return {n: refusing(r) if n in ORDERS | LOOPS else r for n, r in with_notes(rules, notes).items()}
