"""How large arrays can be that are divided by their own norms or sums, as normalised layers, attention and cosines do.

Intervals say of (x − mean) / sqrt(variance + ε) no more than of any quotient: as much as x may be, over as little as
sqrt(ε). But no square exceeds the sum of all, so it is within ±sqrt(n), and the squares of a row add up to no more than
n: times a matrix whose entries are within ±w it is within ±n·w (Cauchy and Schwarz), not ±n·sqrt(n)·w. What is not
negative and divided by its sum is a weight: a mean with such weights stays among its values.

Sums are followed to where they stand beside their elements (`jax_extremes`). JAX writes some things twice, such as
deviations from a mean, for the variance and again; `jax_flat` takes such steps once.

The bounds hold for what is computed. With u the unit, a computed square is less than a unit off, and what a number
multiplies two units more: a computed c Σ x² lacks at most some units k, so that |x| over the root r of that, or of
more, is

    |x| / r <= sqrt((1 + k u / r²) / c),

r being no less than its range's lower end, or half of that where it has been rounded. A sixteenth more is for what
roots and quotients are off by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array.ranges import FINE, FINE_BITS
from tacit.array.secret import SecretArray
from tacit.frontends.jax_extremes import Reduced, beside, reduced
from tacit.frontends.jax_flat import Step, Value, known
from tacit.frontends.jax_rules import Rule, only

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

Note = Callable[["Interpreter", Step, list[Value], SecretArray], SecretArray]
UNIT = 2.0**-FINE_BITS
SLACK = 1 + 2.0**-4
WORTH = 0.8
"""A range is narrowed to so much of itself, or not at all."""
SQUARES, ROOT, INVERSE, SUM = "squares", "root", "inverse root", "sum"
"""What an array holds of another: the sum of its squares, and more; the root of that, and more; one over such a root;
the sum of its elements, none of them negative, and more."""


@dataclass(frozen=True, slots=True)
class Norm:
    """At least `size` times a sum, as computed; of a root, that of what is under it."""

    short: tuple[float, float]
    """Units by which it may lack the square of one element; that of all."""
    size: float = 1.0
    unit: float = UNIT
    scale: float = 1.0
    """What a root, also one that something is over, has been multiplied with."""
    least: float = 0.0
    """What an inverse is one over is no less."""

    def times(self, factor: float) -> Norm:
        """Return this of a sum that is multiplied with a number."""
        one, every = self.short
        return replace(self, size=self.size * factor, short=(one * factor + 2, every * factor + 2))

    def over(self, least: float) -> tuple[float, float]:
        """Return bounds on one element, and on the root of the sum of squares, over a root that is at least `least`."""
        least /= self.scale
        # What is proved positive is at least a unit as computed, and was rounded from half of one at least.
        unit = min(self.unit, 2 * least)
        one, every = (
            math.sqrt((1 + 2 * k * unit / least**2) / self.size) * SLACK / self.scale for k in self.short
        )
        return one, every


# -- what is proved ------------------------------------------------------------------------------------------


def _factor(v: Value) -> float | None:
    """Return the positive number that fills a known array, or None."""
    factor = only(v)
    return float(factor) if factor is not None and 0 < factor < math.inf else None


def _magnitude(v: Value) -> float:
    return float(np.max(np.abs(v), initial=0)) if known(v) else v.aval.magnitude


def _within(x: SecretArray, lo: float, hi: float, why: str) -> SecretArray:
    least, most = max(lo, x.aval.lo), min(hi, x.aval.hi)
    if not least <= most or most - least > WORTH * (x.aval.hi - x.aval.lo):
        return x
    # No more than what is proved: what else is known here of a loop's first turns may not hold in the next.
    return xp.assume(x, lo, hi, why)


# -- sums and roots ------------------------------------------------------------------------------------------


def _square(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    if step.name == "square" or step.params["y"] == 2:
        it.squares[out.ref] = ins[0].ref
    return out


def _sum(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    x, axes = ins[0], tuple(int(a) for a in step.params["axes"])
    if (root := it.squares.get(x.ref)) is not None:
        terms = math.prod(x.shape[a] for a in axes)
        norm = Norm((1.0, float(terms)))
        it.reduced[out.ref] = replace(Reduced.of(x, axes, SQUARES), of_ref=root, norm=norm)
    elif x.dtype != "bool" and x.aval.lo >= 0:
        it.reduced[out.ref] = Reduced.of(x, axes, SUM)
    return out


def _scale(it: Interpreter, x: Value, factor: float, out: SecretArray) -> None:
    """Follow what is multiplied with a positive number."""
    found = reduced(it, x, SQUARES, ROOT, INVERSE)
    if found is not None and found.norm is not None and out.shape == x.shape:
        norm = found.norm
        if found.what == SQUARES:
            norm = norm.times(factor)
        elif found.what == ROOT:
            norm = replace(norm, scale=norm.scale * factor)
        else:
            norm = replace(norm, scale=norm.scale / factor, least=norm.least / factor)
        it.reduced[out.ref] = replace(found, norm=norm)
    if not known(x) and x.ref in it.norms and out.shape == x.shape:
        axes, bound = it.norms[x.ref]
        it.norms[out.ref] = axes, bound * factor


def _more(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    """Follow what something is added to that is not negative, or that gives way to what is larger."""
    for x, y in (ins, ins[::-1]):
        found = reduced(it, x, SQUARES, ROOT, SUM)
        least = float(np.min(y, initial=0)) if known(y) else y.aval.lo
        if found is not None and out.shape == x.shape and (step.name == "max" or least >= 0):
            it.reduced[out.ref] = found
            return out
    for x, y in (ins, ins[::-1]):
        if step.name == "add" and not known(x) and x.ref in it.norms and out.shape == x.shape:
            axes, bound = it.norms[x.ref]
            it.norms[out.ref] = axes, bound + _magnitude(y) * math.sqrt(math.prod(x.shape[a] for a in axes))
            return out
    return out


def _root(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    found, least = reduced(it, ins[0], SQUARES), max(ins[0].aval.lo, 0.0)
    if found is not None and found.norm is not None:
        norm = replace(found.norm, unit=min(UNIT, 2 * least or UNIT), least=math.sqrt(least))
        it.reduced[out.ref] = replace(found, what=ROOT if step.name == "sqrt" else INVERSE, norm=norm)
    return out


# -- products and quotients ---------------------------------------------------------------------------------


def _normalised(
    it: Interpreter, axes: tuple[int, ...], bounds: tuple[float, float], out: SecretArray
) -> SecretArray:
    one, every = bounds
    out = _within(out, -one, one, f"an element over the root of the sum of squares {FINE}")
    it.norms[out.ref] = axes, every
    return out


def _div(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    x, y = ins
    if (factor := _factor(y)) is not None:
        _scale(it, x, 1 / factor, out)
    found = None if known(y) or y.aval.lo <= 0 else reduced(it, y, ROOT, SUM)
    if found is None:
        return out
    if known(x):
        if (factor := _factor(x)) is not None and found.norm is not None and out.shape == y.shape:
            norm = replace(found.norm, scale=found.norm.scale / factor, least=y.aval.lo / factor)
            it.reduced[out.ref] = replace(found, what=INVERSE, norm=norm)
        return out
    axes = beside(it, x, y, found.what)
    if axes is None or out.shape != x.shape:
        return out
    if found.norm is not None:
        return _normalised(it, axes, found.norm.over(y.aval.lo), out)
    if x.aval.lo >= 0:
        out = _within(out, 0, SLACK, f"an element over the sum of all, none of them negative {FINE}")
        if math.prod(x.shape[a] for a in axes) * UNIT <= (SLACK - 1) / 2:
            it.weights[out.ref] = axes
    return out


def _mul(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    x, y = ins
    if x is y:
        it.squares[out.ref] = x.ref
        return out
    for x, y in (ins, ins[::-1]):
        if (factor := _factor(y)) is not None:
            _scale(it, x, factor, out)
            return out
        found = None if known(x) else reduced(it, y, INVERSE)
        if found is not None and found.norm is not None and out.shape == x.shape:
            axes = beside(it, x, y, INVERSE)
            if axes is not None:
                bounds = found.norm.over(found.norm.least)
                return _normalised(it, axes, bounds, out)
        if not known(x) and x.ref in it.norms and out.shape == x.shape:
            axes, bound = it.norms[x.ref]
            it.norms[out.ref] = axes, bound * _magnitude(y)
    return out


def _over(it: Interpreter, v: Value, axes: Sequence[int]) -> tuple[bool, float | None]:
    """Return whether an array holds weights over these axes; and what its norm over them is at most, if known."""
    if known(v):
        return False, None
    base, held = it.views.get(v.ref, (v.ref, tuple(range(v.ndim))))
    wanted = sorted(held[a] for a in axes)
    axes_of_norm, norm = it.norms.get(base, ((), None))
    return sorted(it.weights.get(base, ())) == wanted, norm if sorted(axes_of_norm) == wanted else None


def _dot_general(it: Interpreter, step: Step, ins: list[Value], out: SecretArray) -> SecretArray:
    contracted, _ = step.params["dimension_numbers"]
    if not contracted[0]:
        return out
    held = [_over(it, v, axes) for v, axes in zip(ins, contracted, strict=True)]
    for (weights, norm), y, theirs, axes in zip(held, ins[::-1], held[::-1], contracted[::-1], strict=True):
        if weights:
            lo, hi = (float(np.min(y)), float(np.max(y))) if known(y) else (y.aval.lo, y.aval.hi)
            out = _within(
                out, min(lo, 0) * SLACK, max(hi, 0) * SLACK, f"a mean by weights that add up to one {FINE}"
            )
        if norm is not None:
            other = math.sqrt(math.prod(np.shape(y)[a] for a in axes)) * _magnitude(y)
            most = norm * min(other, theirs[1] if theirs[1] is not None else other) * SLACK
            out = _within(out, -most, most, f"a product is no larger than the norms of its factors {FINE}")
    return out


NOTES: dict[str, Note] = {
    "square": _square,
    "integer_pow": _square,
    "reduce_sum": _sum,
    "add": _more,
    "add_any": _more,
    "max": _more,
    "sqrt": _root,
    "rsqrt": _root,
    "div": _div,
    "mul": _mul,
    "dot_general": _dot_general,
}


def norming(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those that make or use sums, norms and quotients by them knowing it."""

    def with_note(note: Note, rule: Rule) -> Rule:
        def run(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
            out = rule(it, step, ins)[0]
            return [out if known(out) or out.dtype != "fixed" else note(it, step, ins, out)]

        return run

    return {n: with_note(NOTES[n], r) if n in NOTES else r for n, r in rules.items()}
