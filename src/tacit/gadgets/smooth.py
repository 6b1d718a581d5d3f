"""Functions that are one trigonometric sum of their argument: sines, and odd functions that flatten out.

One call of F_factored each (`waves`); where the argument may leave the series' interval, its ends are found meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from tacit.algebra.ring import Ring
from tacit.core.protocol import Protocol
from tacit.core.share import Share, join
from tacit.gadgets.separable import LN2, cheaper, number, sized
from tacit.gadgets.waves import Real, Series, Waves, fit, waves, whole_bits

PI = Decimal("3.14159265358979323846264338327950288419716939937510")
GAPS = (0.05, 0.15, 0.4, 1.0, 2.0)
"""Parts of the interval that a series' quarter period is longer; the cheapest is taken."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A series, and what is added to it; from its `end` on, if it has one, it is ±`most` instead."""

    series: Waves
    offset: float = 0.0
    end: float | None = None
    most: float = 0.0


def _sigmoid(v: Decimal) -> Decimal:
    return 1 / (1 + (-v).exp()) - Decimal("0.5")


def _tanh(v: Decimal) -> Decimal:
    z = (-2 * v).exp()
    return (1 - z) / (1 + z)


def _erf(v: Decimal) -> Decimal:
    power = total = v
    for n in range(1, 1000):
        power *= -v * v / n
        total += power / (2 * n + 1)
        if abs(power) < Decimal("1e-36"):
            break
    return 2 * total / PI.sqrt()


def atan(v: Decimal) -> Decimal:
    """Return the arc tangent of v ≥ 0."""
    halvings = 0
    while v > Decimal("0.05"):  # atan v = 2 atan(v / (1 + √(1 + v²)))
        v, halvings = v / (1 + (1 + v * v).sqrt()), halvings + 1
    total, power = v, v
    for n in range(1, 20):
        power *= -v * v
        total += power / (2 * n + 1)
    return total * 2**halvings


@dataclass(frozen=True, slots=True)
class Odd:
    """An odd function, after an offset is taken off; from `end(f)` on it is within a quarter unit of flat."""

    fn: Real
    most: float
    end: Callable[[int], float]
    offset: float = 0.0


ODD = {
    "sigmoid": Odd(_sigmoid, 0.5, lambda f: (f + 2) * LN2, 0.5),
    "tanh": Odd(_tanh, 1.0, lambda f: (f + 3) * LN2 / 2),
    "erf": Odd(_erf, 1.0, lambda f: math.sqrt((f + 2) * LN2)),
    "atan": Odd(atan, 1.6, lambda f: math.inf),
}
NAMES = (*ODD, "sin", "cos")


def plan(
    p: Protocol, name: str, f: int, lo: float, hi: float, n: int, into: Ring | None = None
) -> Plan | None:
    """Plan a function of NAMES on n elements in [lo, hi] within two units, or return None: it must go another way.

    Where a short series with ends competes with a long one, the network decides: to find the ends takes rounds.
    """
    q = p.over(into or p.ring)
    found = [_in(how, cheaper(q, how.series, n)) for how in ways(name, p.ring.width, f, lo, hi)]
    magnitude = max(abs(lo), abs(hi))
    if len(found) < 2:
        return found[0] if found else None
    return min(found, key=lambda how: _price(q, how, f, magnitude, n))


def _in(how: Plan, series: Waves) -> Plan:
    return how if series is how.series else replace(how, series=series)


def _price(p: Protocol, how: Plan, f: int, magnitude: float, n: int) -> int:
    value = sized(how.series, n)
    if how.end is None:
        return p.price(value)
    bits = _end_bits(how.end, f, magnitude)
    return p.price(("sign", 2 * n, {"bits": bits}), ("select", 2 * n, {}), along=value)


@cache
def ways(name: str, k: int, f: int, lo: float, hi: float) -> tuple[Plan, ...]:
    """Return the plans of a function on [lo, hi]: without ends, with them, or neither."""
    if k > 64:
        return ()
    magnitude = max(abs(lo), abs(hi))
    return _odd(ODD[name], k, f, magnitude) if name in ODD else _sine(name, k, f, magnitude)


def _sine(name: str, k: int, f: int, magnitude: float) -> tuple[Plan, ...]:
    rate = 2.0 ** (64 - f) / (2 * math.pi)
    # The rate is rounded to a whole number, and 2π to a float64.
    if magnitude * 2 * math.pi * (2.0 ** (f - 65) + rate * 2.0 ** (f - 64 - 52)) > 2.0 ** -(f + 2):
        return ()
    series = Series(0.0, *(((), (1.0,)) if name == "sin" else ((1.0,), (0.0,))))
    chosen = waves(series, round(rate), f + 1, f, 1.0)
    return (Plan(chosen),) if chosen.width <= k else ()


def _odd(what: Odd, k: int, f: int, magnitude: float) -> tuple[Plan, ...]:
    reach = math.ceil(4 * max(magnitude, 0.25)) / 4
    end = what.end(f)
    found = []
    whole = _cheapest(what, k, f, reach) if reach <= min(3 * end, 64) else None
    if whole is not None:
        found.append(Plan(whole, what.offset))
    if end < reach:
        limit = math.ceil(4 * end) / 4
        part = _cheapest(what, k, f, limit)
        if part is not None:
            found.append(Plan(part, what.offset, limit, what.most))
    return tuple(found)


@cache
def _cheapest(what: Odd, k: int, f: int, limit: float) -> Waves | None:
    """Return the series on [−limit, limit] that costs least, or None: that, too, is found once."""
    found = []
    for gap in GAPS:
        period = 4 * limit * (1 + gap)
        try:
            series = fit(what.fn, -limit, limit, period, 2.0 ** -(f + 2), True)
        except ValueError:
            continue
        found.append(waves(series, round(2.0 ** (64 - f) / period), f + 1, f, what.most))
    return min((w for w in found if w.width <= k), key=_bits, default=None)


def _bits(how: Waves) -> int:
    return how.terms * how.width


def evaluate(p: Protocol, x: Share, how: Plan, f: int, magnitude: float, into: Ring | None = None) -> Share:
    """Return the planned function of |x| ≤ magnitude, over p's ring or one of fewer bits."""
    q = p.over(into or p.ring)
    if how.end is None:
        out = q.factored(x, how.series)
    else:
        out = _flattened(p, x, how, how.end, f, magnitude, q.ring)
    return q.add_public(out, number(q.ring, how.offset, f)) if how.offset else out


def _flattened(p: Protocol, x: Share, how: Plan, end: float, f: int, magnitude: float, into: Ring) -> Share:
    """Return the series of x in (−end, end), ±most beyond: both ends are compared while the series is evaluated.

    Beyond the ends the series gives anything, as its sum may wrap; that is added once and taken off once.
    """
    n = x.size
    below, above = number(p.ring, -end, f), number(p.ring, end, f)
    over = join([p.add_public(x, below), p.neg(p.add_public(x, above))])
    p.settle()
    with p.later():
        value = p.over(into).factored(x, how.series)
    with p.taking_along():
        inside = p.sign(over, _end_bits(end, f, magnitude))
    p.settle()
    q = p.over(into)
    rest = q.neg(value)
    upper, lower = (number(into, end, f) for end in (how.most, -how.most))
    moved = q.select(q.invert(inside), join([q.add_public(rest, upper), q.add_public(rest, lower)]))
    return q.add(q.add(value, moved[:n]), moved[n:])


def _end_bits(end: float, f: int, magnitude: float) -> int:
    return whole_bits(magnitude + end + 1) + f + 1
