"""Places that a mask sends to an infinity, or to an end of a float's range, on their way to where they do not count.

No secret can be infinite, but what becomes of such a place is certain: the exponential of minus infinity is zero, less
the maximum or not; no maximum is minus infinity, and no minimum infinity, of which anything is left. So it is set well
beyond every other value instead. That is right only where nothing else looks at it: arrays that hold such places may
move, be reduced to their maxima or minima or to where these are, have maxima subtracted, be exponentiated; all else is
refused. Whole numbers have no infinity: JAX takes the end of their type, which would need a ring of two words. They are
treated alike, but given that end where something looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.errors import RangeError
from tacit.frontends.jax_extremes import beside
from tacit.frontends.jax_flat import Step, Value, fold, known
from tacit.frontends.jax_index import RULES

if TYPE_CHECKING:
    from tacit.array.secret import SecretArray
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

FAR = 1e30
"""A number of this size, or larger, is none: no 128-bit format holds it."""
APART = 64
"""How far beyond every other value, and zero: e^−64 is below 2^−92, zero in every format."""
EXTREMES = {-1: "max", 1: "min"}
"""The operation that leaves out what is far down, or up."""
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

    held: float
    """What the array has there."""
    value: float
    """What JAX has there: an infinity, a finite number far below or above, or an int, the end of its type."""
    kept: Any
    """Where the mask is known: true where there is a value; else None."""
    stage: str = "values"
    """What the array holds: "values", their "extremes", or values "less" their maxima."""

    @property
    def side(self) -> int:
        """−1 if such places lie far down, 1 if far up."""
        return 1 if self.value > 0 else -1

    @property
    def whole(self) -> bool:
        """Whether the array holds whole numbers, which can have JAX's value."""
        return isinstance(self.value, int)

    def leaves_out(self, name: str) -> bool:
        """Whether no such place is what a primitive finds, or where."""
        extreme = EXTREMES[self.side]
        return self.stage != "less" and name in (f"reduce_{extreme}", f"arg{extreme}", f"cum{extreme}")

    def meets(self, name: str) -> bool:
        """Whether a primitive takes what lies farther from such places, of two, where they are what `held` says."""
        return self.stage != "less" and name == EXTREMES[self.side]


def _far(v: Value) -> float | None:
    """Return what a mask puts in a place so that it counts for nothing, an int for whole numbers; None if it is not."""
    a = np.asarray(v) if known(v) else None
    if a is None or not a.size or not np.all(a == a.flat[0]):
        return None
    if a.dtype.kind == "i" and a.itemsize >= 4:
        ends = np.iinfo(a.dtype)
        return int(a.flat[0]) if a.flat[0] in (ends.min, ends.max) else None
    return float(a.flat[0]) if a.dtype.kind == "f" and abs(a.flat[0]) >= FAR else None


def _select(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return values with masked places set apart, or None if this is no such mask."""
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
    apart = max(x.aval.hi, 0) + APART if far > 0 else min(x.aval.lo, 0) - APART
    if not isinstance(far, int):
        x = xp.astype(x, "fixed")
    elif x.dtype != "int" or not abs(apart := int(apart)) < abs(far):
        return None
    sides = (x, apart) if known(first) else (apart, x)
    out = xp.where(
        which if not known(which) else np.broadcast_to(np.asarray(which).astype(bool), x.shape), *sides
    )
    it.masked[out.ref] = Masked(apart, far, kept)
    return [out]


def check(it: Interpreter, step: Step, ins: list[Value]) -> None:
    """Refuse an operation that would look at masked places; if they are whole numbers, show it those of JAX."""
    for i, v in enumerate(ins):
        held = None if known(v) else it.masked.get(v.ref)
        if held is None or _unseen(it, step, ins, v, held):
            continue
        if held.whole:
            ins[i] = _shown(v, held)
            continue
        if held.stage == "extremes" and step.name == "sub" and _less(it, ins):
            raise RangeError(
                f"a mask makes scores {held.value:g}, and where all are masked JAX answers NaN; mask with a finite "
                "number such as -1e9"
            )
        never = (
            "only exp makes these zero, and maxima leave them out"
            if held.side < 0
            else "only minima leave these out"
        )
        raise RangeError(
            f"jax primitive {step.name!r} looks at places that a mask makes {held.value:g}; no secret is NaN or "
            f"infinite, or beyond 1e30, and {never}; use a finite number in its place, such as {held.side}e9 "
            "or the end of the value's range"
        )


def _unseen(it: Interpreter, step: Step, ins: list[Value], v: Value, held: Masked) -> bool:
    """Whether what a step makes of an array is the same whatever lies in its masked places, or they stay masked."""
    if step.name in MOVES or held.leaves_out(step.name):
        return True
    if held.meets(step.name) and all(v is w or _meets(it, w, held) for w in ins):
        return True
    if held.whole:
        return False
    if step.name == "sort":
        return v is ins[0] and all(known(w) or w.ref not in it.masked for w in ins[1:])
    if step.name == "sub" and _less(it, ins):
        return v is ins[0] or (held.stage == "extremes" and math.isfinite(held.value))
    return _converts(step) or (step.name == "exp" and held.side < 0 and held.stage != "extremes")


def _shown(v: SecretArray, held: Masked) -> SecretArray:
    """Return whole numbers with JAX's in masked places."""
    return xp.where(v == held.held, held.value, v)


def _converts(step: Step) -> bool:
    return step.name == "convert_element_type" and np.dtype(step.params["new_dtype"]).kind == "f"


def _nearer(v: Value, held: Masked) -> Any:
    """Whether a value, or each element of a known one, is on the near side of the masked places."""
    if known(v):
        return np.asarray(v) < held.held if held.side > 0 else np.asarray(v) > held.held
    return v.aval.hi < held.held if held.side > 0 else v.aval.lo > held.held


def _meets(it: Interpreter, v: Value, held: Masked) -> bool:
    """Whether the greater of v and an array (the lesser, if masked places are far up) is certain where these are."""
    if known(v):
        return bool(np.all(np.isfinite(np.asarray(v))) or np.all(np.asarray(v) == held.side * math.inf))
    return v.ref not in it.masked and bool(_nearer(v, held))


def _met(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return the greater, or lesser, of an array and a known number that is beyond its masked places; else None."""
    for v, w in (ins, ins[::-1]):
        held = None if known(v) else it.masked.get(v.ref)
        if held is None or not known(w) or not np.all(np.isfinite(np.asarray(w))) or np.all(_nearer(w, held)):
            continue
        edge = held.held - held.side * (APART // 2)  # no value is as far
        masked, other = v > edge if held.side > 0 else v < edge, np.asarray(w)
        nearest = np.maximum(other, edge) if held.side < 0 else np.minimum(other, edge)
        return [xp.where(masked, other, (xp.maximum if held.side < 0 else xp.minimum)(v, nearest))]
    return None


def _grouped(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return extremes of groups that JAX starts at an infinity, which an empty one keeps; None of other starts."""
    start, index, x = ins
    far = -math.inf if step.name == "scatter-max" else math.inf
    if known(x) or not known(start) or not np.size(start) or not np.all(np.asarray(start) == far):
        return None
    apart = max(x.aval.hi, 0) + APART if far > 0 else min(x.aval.lo, 0) - APART
    out = RULES[step.name](it, step, [np.full(np.shape(start), apart, np.float64), index, x])[0]
    kept = (
        np.isfinite(fold(step, [start, index, np.zeros(x.shape, np.asarray(start).dtype)])[0])
        if known(index)
        else None
    )
    if kept is None or not np.all(kept):
        it.masked[out.ref] = Masked(apart, far, kept, "extremes")
    return [out]


def _less(it: Interpreter, ins: list[Value]) -> bool:
    return not any(known(v) for v in ins) and beside(it, ins[0], ins[1], "max") is not None


def carry(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note which results hold masked places."""
    found = next((h for v in ins if not known(v) and (h := it.masked.get(v.ref)) is not None), None)
    if found is None or known(outs[0]) or step.name == "exp" or step.name.startswith("arg"):
        return
    if step.name in ("max", "min") and any(_is_finite(it, v) for v in ins):
        return
    kept, stage = found.kept, found.stage
    if step.name.startswith("reduce"):
        if kept is not None and np.all(np.any(kept, axis=tuple(step.params["axes"]))):
            return
        kept, stage = None, "extremes"
    elif step.name.startswith("cum"):
        kept, stage = None if kept is None else _so_far(step, kept), "extremes"
    elif step.name == "sort":
        kept = None if kept is None else _sorted(step, kept, found.side)
    elif step.name == "sub":
        kept, stage = None, "less"
    elif kept is not None and step.name in MOVES and step.name not in ("stop_gradient", "copy"):
        kept = np.asarray(fold(step, [kept])[0]).astype(bool)
    if kept is not None and np.all(kept):
        return
    it.masked[outs[0].ref] = replace(found, kept=kept, stage=stage)


def _so_far(step: Step, kept: Any) -> Any:
    """Return where a running extreme has met a value."""
    axis = step.params["axis"]
    turned = np.flip(kept, axis) if step.params["reverse"] else kept
    found = np.logical_or.accumulate(turned, axis)
    return np.flip(found, axis) if step.params["reverse"] else found


def _sorted(step: Step, kept: Any, side: int) -> Any:
    """Return where values are among what has been sorted: masked places are the last, or the first."""
    found = np.sort(kept, step.params["dimension"])
    return np.flip(found, step.params["dimension"]) if side > 0 else found


def _is_finite(it: Interpreter, v: Value) -> bool:
    return bool(np.all(np.isfinite(np.asarray(v)))) if known(v) else v.ref not in it.masked


def outputs(it: Interpreter, outs: list[Value], names: Sequence[str]) -> None:
    """Refuse to return masked places, or show those of whole numbers; `names` are what results are called."""
    for i, v in enumerate(outs):
        held = None if known(v) else it.masked.get(v.ref)
        if held is not None and held.whole:
            outs[i] = _shown(v, held)
        elif held is not None:
            raise RangeError(
                f"{names[i] if names else 'a result'} holds places that a mask makes {held.value:g}; no secret is NaN "
                "or infinite, or beyond 1e30; use a finite number in its place"
            )


def masking(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, the selection by a mask and what meets masked places among them."""

    def first(special: Callable[[Interpreter, Step, list[Value]], list[Value] | None], plain: Rule) -> Rule:
        return lambda it, step, ins: special(it, step, ins) or plain(it, step, ins)

    special = {"select_n": _select, **dict.fromkeys(EXTREMES.values(), _met)}
    special |= dict.fromkeys(("scatter-max", "scatter-min"), _grouped)
    return {**rules, **{name: first(rule, rules[name]) for name, rule in special.items()}}
