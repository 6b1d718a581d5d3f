"""Scores that a mask sends to minus infinity, or to the end of a float's range, on their way to a softmax.

No secret can be infinite, but what becomes of such a score is certain: its exponential is zero, less the maximum or
not. So it is set well below every other score instead. That is right only where nothing else looks at it: arrays that
hold such places may move, be reduced to their maxima, have these subtracted, be exponentiated; all else is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.errors import RangeError
from tacit.frontends.jax_extremes import beside
from tacit.frontends.jax_flat import Step, Value, fold, known

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

FAR = -1e30
"""From here down a score is none: no 128-bit format holds it."""
BELOW = 64.0
"""How far below the least other score, and below zero: e^−64 is below 2^−92, zero in every format."""
MOVES = frozenset(
    [
        "transpose",
        "reshape",
        "broadcast_in_dim",
        "squeeze",
        "expand_dims",
        "slice",
        "rev",
        "stop_gradient",
        "copy",
    ]
)


@dataclass(frozen=True, slots=True)
class Masked:
    """Which array holds such places, and what they are."""

    floor: float
    value: float
    """What JAX has there: minus infinity, or a finite number far below."""
    kept: Any
    """Where the mask is known: true where there is a score; else None."""
    stage: str = "scores"
    """What the array holds: "scores", their "maxima", or scores "less" their maxima."""
    sure: bool = True
    """Of maxima: whether JAX's are finite for certain."""


def _far(v: Value) -> float | None:
    a = np.asarray(v) if known(v) else None
    if a is None or a.dtype.kind != "f" or not a.size or not np.all(a == a.flat[0]) or not a.flat[0] <= FAR:
        return None
    return float(a.flat[0])


def _select(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return scores with masked places set low, or None if this is no such mask."""
    if len(ins) != 3 or all(known(v) for v in ins[1:]):
        return None
    which, first, second = ins
    if known(which) and (not np.any(which) or np.all(which)):
        return None
    far, x = (_far(first), second) if known(first) else (_far(second), first)
    if (
        far is None
        or known(x)
        or x.dtype == "bool"
        or x.ref in it.masked
        or tuple(x.shape) != step.avals[0].shape
    ):
        return None
    kept = None
    if known(which):
        kept = np.broadcast_to(np.asarray(which).astype(bool) == known(first), x.shape)
    x = xp.astype(x, "fixed")
    floor = min(x.aval.lo, 0.0) - BELOW
    sides = (x, floor) if known(first) else (floor, x)
    out = xp.where(
        which if not known(which) else np.broadcast_to(np.asarray(which).astype(bool), x.shape), *sides
    )
    it.masked[out.ref] = Masked(floor, far, kept)
    return [out]


def check(it: Interpreter, step: Step, ins: list[Value]) -> None:
    """Refuse an operation that would look at masked places."""
    for v in ins:
        held = None if known(v) else it.masked.get(v.ref)
        if held is None or step.name in MOVES or _converts(step):
            continue
        if step.name == "reduce_max" and held.stage == "scores":
            continue
        if step.name == "max" and all(v is w or _above(w, held) for w in ins):
            continue
        if step.name == "sub" and v is ins[0] and _less(it, ins):
            continue
        if step.name == "sub" and v is ins[1] and held.stage == "maxima" and _less(it, ins):
            if held.sure:
                continue
            raise RangeError(
                f"a mask makes scores {held.value:g}, and where all are masked JAX answers NaN; mask with a finite "
                "number such as -1e9"
            )
        if step.name == "exp" and held.stage != "maxima":
            continue
        raise RangeError(
            f"jax primitive {step.name!r} looks at places that a mask makes {held.value:g}; no secret is NaN or "
            "infinite, or beyond 1e30, and only exp makes these zero; use a finite number in its place, such as -1e9 "
            "or the end of the value's range"
        )


def _converts(step: Step) -> bool:
    return step.name == "convert_element_type" and np.dtype(step.params["new_dtype"]).kind == "f"


def _above(v: Value, held: Masked) -> bool:
    """Whether a known operand of a maximum is above the masked places, or minus infinity."""
    return known(v) and bool(np.all((np.asarray(v) > held.floor) | (np.asarray(v) == -np.inf)))


def _less(it: Interpreter, ins: list[Value]) -> bool:
    return not any(known(v) for v in ins) and beside(it, ins[0], ins[1], least=False) is not None


def carry(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note which results hold masked places."""
    held = [None if known(v) else it.masked.get(v.ref) for v in ins]
    found = next((h for h in held if h is not None), None)
    if found is None or known(outs[0]) or step.name == "exp":
        return
    if step.name == "max" and any(known(v) and not np.any(np.isneginf(v)) for v in ins):
        return  # the known operand is above every masked place
    stage = {"reduce_max": "maxima", "sub": "less"}.get(step.name, found.stage)
    kept, sure = found.kept, found.sure
    if step.name == "reduce_max":
        rows = kept is not None and bool(np.all(np.any(kept, axis=tuple(step.params["axes"]))))
        sure = math.isfinite(found.value) or rows
    if kept is not None and step.name in MOVES and step.name not in ("stop_gradient", "copy"):
        kept = np.asarray(fold(step, [kept])[0]).astype(bool)
    elif step.name in ("reduce_max", "sub"):
        kept = None
    it.masked[outs[0].ref] = replace(found, kept=kept, stage=stage, sure=sure)


def outputs(it: Interpreter, outs: list[Value]) -> None:
    """Refuse to return masked places."""
    for v in outs:
        held = None if known(v) else it.masked.get(v.ref)
        if held is not None:
            raise RangeError(
                f"a result holds places that a mask makes {held.value:g}; no secret is NaN or infinite, or beyond "
                "1e30; use a finite number in its place"
            )


def masking(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, the selection by a mask among them."""
    plain = rules["select_n"]
    return {**rules, "select_n": lambda it, step, ins: _select(it, step, ins) or plain(it, step, ins)}
