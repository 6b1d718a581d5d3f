"""Differences of neighbours in a known table, as `jnp.interp` asks for them: looked up as one table of differences.

Two look-ups at i and i − 1 and a subtraction would forget that the entries are neighbours: the range of the difference
would hold zero even where the table rises. A fact ("place", i, c) says that an index is i + c, ("taken", i, entries)
that an array holds the entries of a table for the values of i, lowest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Step, Value, known, with_notes

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

MAX_ENTRIES = 1 << 16


def _place(it: Interpreter, v: Value) -> tuple[SecretArray, int] | None:
    """Return (i, c) where a whole number is i + c."""
    if known(v) or v.dtype != "int":
        return None
    fact = it.facts.get(v.ref)
    return (fact[1], fact[2]) if fact is not None and fact[0] == "place" else (v, 0)


def _only(v: Value) -> int | None:
    a = np.asarray(v) if known(v) else None
    if a is None or not a.size or a.dtype.kind not in "iu" or not np.all(a == a.flat[0]):
        return None
    return int(a.flat[0])


def _moved(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note what a known number adds to an index."""
    x, y = ins
    if step.name == "add" and known(x):
        x, y = y, x
    found, by = _place(it, x), _only(y)
    if found is None or by is None or known(outs[0]) or outs[0].shape != x.shape or outs[0] is x:
        return
    it.facts.setdefault(outs[0].ref, ("place", found[0], found[1] + (by if step.name == "add" else -by)))


def _reshaped(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    found = _place(it, ins[0])
    if found is not None and not known(outs[0]) and outs[0].size == ins[0].size and outs[0] is not ins[0]:
        it.facts.setdefault(outs[0].ref, ("place", *found))


def _gathered(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note the entries of a known vector that an index takes."""
    table, index = ins
    dims = step.params["dimension_numbers"]
    if not known(table) or known(index) or known(outs[0]) or np.ndim(table) != 1 or dims.offset_dims:
        return
    found = _place(it, index)
    if found is None or outs[0].size != index.size:
        return
    base, by = found
    places = np.arange(int(base.aval.lo), int(base.aval.hi) + 1) + by
    if 0 < len(places) <= MAX_ENTRIES and places[0] >= 0 and places[-1] < len(table):
        it.facts[outs[0].ref] = ("taken", base, np.asarray(table)[places])


def _difference(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return the difference of two entries for one index, from a table of differences."""
    facts = [None if known(v) else it.facts.get(v.ref) for v in ins]
    if any(f is None or f[0] != "taken" for f in facts):
        return None
    (_, base, left), (_, other, right) = facts  # type: ignore[misc]
    if base.ref != other.ref or ins[0].shape != ins[1].shape or ins[0].size != base.size:
        return None
    table = np.subtract(left, right)
    at = xp.subtract(base, int(base.aval.lo)) if base.aval.lo else base
    found = xp._bind("lookup", it.lift(table.reshape(1, -1, 1)), xp.reshape(at, (1, base.size)))
    return [xp.reshape(found, ins[0].shape)]


def taking(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those of indices and known tables keeping these facts."""

    def subtract(rule: Rule) -> Rule:
        return lambda it, step, ins: _difference(it, step, ins) or rule(it, step, ins)

    notes = {
        "add": _moved,
        "sub": _moved,
        "reshape": _reshaped,
        "broadcast_in_dim": _reshaped,
        "gather": _gathered,
    }
    made = with_notes(rules, notes)
    made["sub"] = subtract(made["sub"])
    return made
