"""What is known of matrices besides the range of their entries, stated or proved, and how operations keep it.

A fact stands under the number of the variable: ("matrix", least, kind) says that no singular value is below `least`;
a "definite" matrix is symmetric and no eigenvalue is, a "factor" is triangular with a positive diagonal. `x.T @ x`
is definite with `least` 0, and a multiple of the identity adds to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.ad_checkpoint import checkpoint_name

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.errors import UsageError
from tacit.frontends.jax_extremes import Reduced, attain, beside
from tacit.frontends.jax_flat import Step, Value, known

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

Note = Callable[["Interpreter", Step, list[Value], list[Value]], list[Value]]
EITHER = 2
"""The axis of weights that are all the same."""
_NUMBER = r"(-?[0-9.e+-]+|-?inf)"
_RANGE = re.compile(f"^tacit: range {_NUMBER} {_NUMBER} ?(.*)$")
_LEAST = re.compile(f"^tacit: least {_NUMBER} (definite|full)$")


def state_range(x: Any, lo: float, hi: float, why: str) -> Any:
    """Carry a statement about a JAX array through its trace."""
    if not lo <= hi:
        raise UsageError(f"assume: [{lo}, {hi}] is empty")
    return checkpoint_name(x, f"tacit: range {float(lo)!r} {float(hi)!r} {why}".rstrip())


def state_conditioned(a: Any, least: float, definite: bool) -> Any:
    """Carry a statement about JAX matrices through their trace."""
    return checkpoint_name(a, f"tacit: least {float(least)!r} {'definite' if definite else 'full'}")


def least_of(it: Interpreter, x: Value, definite: bool = False) -> float | None:
    """Return the bound below on singular values (eigenvalues if `definite`) that is known, or None."""
    fact = None if known(x) else it.facts.get(x.ref)
    if fact is None or fact[0] != "matrix" or not fact[1] or (definite and fact[2] != "definite"):
        return None
    return float(fact[1])


def is_definite(it: Interpreter, x: Value) -> bool:
    """Whether matrices are known to be symmetric positive definite."""
    return least_of(it, x, definite=True) is not None


def know(it: Interpreter, x: SecretArray, least: float, kind: str) -> SecretArray:
    """Record a fact about matrices."""
    it.facts[x.ref] = ("matrix", least, kind)
    return x


def name(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    """Rule of the identity that carries a statement."""
    x, text = ins[0], str(step.params["name"])
    if found := _RANGE.match(text):
        lo, hi = float(found[1]), float(found[2])
        lo, hi = max(lo, x.aval.lo), min(hi, x.aval.hi)
        return [x if (lo, hi) == (x.aval.lo, x.aval.hi) else xp.assume(x, lo, hi, found[3])]
    if found := _LEAST.match(text):
        know(it, x, float(found[1]), found[2])
    return [x]


def _fact(it: Interpreter, v: Value) -> Any:
    found = None if known(v) else it.facts.get(v.ref)
    return found if found is not None and found[0] == "matrix" else None


def _transpose(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    perm, n = list(step.params["permutation"]), len(step.params["permutation"])
    if n >= 2 and perm == [*range(n - 2), n - 1, n - 2] and not known(outs[0]) and outs[0] is not ins[0]:
        it.facts[outs[0].ref] = _fact(it, ins[0]) or ("turned", ins[0].ref)
    return outs


def _dot_general(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    (lc, rc), (lb, rb) = step.params["dimension_numbers"]
    if any(known(v) for v in ins) or any(v.ndim != 2 for v in ins) or lb or rb or len(lc) != 1:
        return outs

    def source(v: SecretArray, axis: int) -> tuple[int, int]:
        ref = v.ref
        while (fact := it.facts.get(ref)) is not None and (
            fact[0] == "turned" or (fact[0] == "weighed" and fact[2] in (axis, EITHER))
        ):
            ref, axis = fact[1], 1 - axis if fact[0] == "turned" else axis
        return ref, axis

    if source(ins[0], lc[0]) == source(ins[1], rc[0]):
        know(it, outs[0], 0.0, "definite")
    return outs


def _broadcast(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    """Note along which axis a matrix varies that repeats a vector."""
    dims = step.params["broadcast_dimensions"]
    varies = [axis for axis, size in zip(dims, np.shape(ins[0]), strict=True) if size > 1]
    if not known(outs[0]) and outs[0].ndim == 2 and len(varies) == 1:
        it.along[outs[0].ref] = varies[0]
    return outs


def _axis_of_weights(it: Interpreter, w: Value) -> int | None:
    """Return the one axis along which numbers vary that a matrix is multiplied with, none negative, or None."""
    if (float(np.min(w, initial=0)) if known(w) else w.aval.lo) < 0:
        return None
    varies = [axis for axis, size in enumerate(np.shape(w)) if size > 1]
    if known(w) and len(varies) == 2:
        a = np.asarray(w)
        varies = [axis for axis in varies if not np.all(a == a.take([0], axis))]
    if not varies:
        return EITHER
    return varies[0] if len(varies) == 1 else None if known(w) else it.along.get(w.ref)


def _weigh(it: Interpreter, x: Value, w: Value, out: Value) -> None:
    """Note a matrix whose rows, or columns, have weights: (w·x)ᵀ x is definite as xᵀ x is."""
    is_matrix = not (known(x) or known(out)) and x.shape == out.shape and out.ndim == 2
    axis = _axis_of_weights(it, w) if is_matrix else None
    # Weights of one leave x as it is: noted as made of itself, it would be looked for behind itself without end.
    if axis is not None and x.ref < out.ref and out.ref not in it.facts:
        it.facts[out.ref] = ("weighed", x.ref, axis)


def _add(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    if known(outs[0]) or outs[0].ndim < 2:
        return outs
    facts = [_fact(it, v) or _diagonal(v) for v in ins]
    if all(f is not None and f[2] == "definite" for f in facts):
        # Eigenvalues of a sum of symmetric matrices are at least the sum of the least ones.
        know(it, outs[0], sum(f[1] for f in facts), "definite")
    return outs


def _diagonal(v: Value) -> Any:
    """Return the fact of a known diagonal matrix without a negative entry."""
    a = np.asarray(v) if known(v) else None
    if a is None or a.ndim < 2 or a.shape[-1] != a.shape[-2] or not a.size:
        return None
    eye = np.eye(a.shape[-1], dtype=bool)
    return (
        ("matrix", float(a[..., eye].min()), "definite")
        if np.all(a[..., ~eye] == 0) and a.min() >= 0
        else None
    )


def _scaled(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    x, y = ins
    _weigh(it, x, y, outs[0])
    if step.name == "mul":
        _weigh(it, y, x, outs[0])
    if step.name == "mul" and known(x):
        x, y = y, x
    fact = _fact(it, x)
    if fact is None or known(outs[0]) or not known(y) or not np.size(y):
        return outs
    factor = np.asarray(y).reshape(-1)
    if np.all(factor == factor[0]) and (factor[0] > 0 or (factor[0] < 0 and fact[2] != "definite")):
        size = abs(float(factor[0]))
        know(it, outs[0], fact[1] * size if step.name == "mul" else fact[1] / size, fact[2])
    return outs


def _select(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    """Keep the facts of a triangular matrix whose other half is made zero, and note rows that are left out."""
    if len(ins) == 3:
        for v, w in (ins[1:], ins[:0:-1]):
            if known(w) and not np.any(w) and not known(v):
                _weigh(it, v, ins[0], outs[0])
    if not known(outs[0]) and known(ins[0]):
        for v in ins[1:]:
            fact = _fact(it, v)
            others = [w for w in ins[1:] if w is not v]
            if (
                fact is not None
                and fact[2] in ("triangular", "factor")
                and all(known(w) and not np.any(w) for w in others)
            ):
                it.facts[outs[0].ref] = fact
    return outs


def _gather(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    """Keep what is known of pivots when the diagonal is taken out."""
    fact = None if known(ins[0]) else it.facts.get(ins[0].ref)
    if fact is None or not known(ins[1]) or known(outs[0]) or not outs[0].size:
        return outs
    index = np.asarray(ins[1])
    if index.ndim != 2 or index.shape[1] != 2 or not np.array_equal(index[:, 0], index[:, 1]):
        return outs
    if fact[0] == "pivots":
        it.facts[outs[0].ref] = ("away", *fact[1:])
    elif fact[0] == "matrix" and fact[2] == "factor":
        return [xp.maximum(outs[0], fact[1])]
    return outs


def away_from_zero(it: Interpreter, x: Value) -> bool:
    """Whether no value of an array is zero, of either sign."""
    fact = None if known(x) else it.facts.get(x.ref)
    return fact is not None and fact[0] == "away"


def _abs(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    fact = None if known(ins[0]) else it.facts.get(ins[0].ref)
    if fact is None or fact[0] != "away":
        return outs
    out = xp.maximum(outs[0], fact[1])
    it.facts[out.ref] = ("sizes", *fact[1:])
    return [out]


def _log(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    fact = None if known(ins[0]) else it.facts.get(ins[0].ref)
    if fact is not None and fact[0] == "sizes":
        it.facts[outs[0].ref] = ("logarithms", *fact[1:])
    return outs


def _reduce_min(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    axes = tuple(int(a) for a in step.params["axes"])
    it.reduced[outs[0].ref] = Reduced.of(ins[0], axes, "min")
    return outs


def _eq(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    """Note which elements equal their own maximum or minimum: one at least does, exactly."""
    if not known(outs[0]):
        attain(it, ins[0], ins[1], outs[0])
    if known(outs[0]) or any(known(v) for v in ins):
        return outs
    for x, y in (ins, ins[::-1]):
        for what in ("max", "min"):
            axes = beside(it, x, y, what)
            if axes is not None and outs[0].shape == x.shape:
                it.facts[outs[0].ref] = ("attained", axes)
    return outs


def _convert(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    fact = None if known(ins[0]) else it.facts.get(ins[0].ref)
    if fact is not None and fact[0] == "attained" and not known(outs[0]) and outs[0].dtype != "bool":
        it.facts[outs[0].ref] = fact
    return outs


def _reduce_sum(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> list[Value]:
    fact = None if known(ins[0]) else it.facts.get(ins[0].ref)
    if fact == ("attained", tuple(step.params["axes"])) and outs[0].aval.lo < 1 <= outs[0].aval.hi:
        # JAX shares the gradient of a maximum among the elements that attain it, by dividing by their number.
        return [xp.assume(outs[0], 1, outs[0].aval.hi, "an extreme is one of the values, exactly")]
    if fact is None or fact[0] != "logarithms" or tuple(step.params["axes"]) != (ins[0].ndim - 1,):
        return outs
    _, _, least, most, n = fact
    # |det| lies between the n-th power of the least singular value and Hadamard's bound.
    lo, hi = n * math.log(least) - 1, n * (math.log(most) + math.log(n) / 2) + 1
    out = outs[0]
    lo, hi = max(lo, out.aval.lo), min(hi, out.aval.hi)
    return [xp.assume(out, lo, hi, "the determinant by Hadamard's bound") if lo <= hi else out]


NOTES: dict[str, Note] = {
    "transpose": _transpose,
    "dot_general": _dot_general,
    "broadcast_in_dim": _broadcast,
    "add": _add,
    "add_any": _add,
    "mul": _scaled,
    "div": _scaled,
    "select_n": _select,
    "gather": _gather,
    "abs": _abs,
    "log": _log,
    "reduce_sum": _reduce_sum,
    "reduce_min": _reduce_min,
    "eq": _eq,
    "convert_element_type": _convert,
}


def noted(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those that keep facts about matrices doing so."""

    def with_note(rule: Rule, note: Note) -> Rule:
        return lambda it, step, ins: note(it, step, ins, rule(it, step, ins))

    return {n: with_note(r, NOTES[n]) if n in NOTES else r for n, r in rules.items()}
