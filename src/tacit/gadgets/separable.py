"""Functions by F_factored: few rounds and bytes where a protocol offers it and the ring has room.

Each `…_plan` returns None where the function must go the longer way (`approximate`); it depends on public values
alone, so all participants choose alike. Errors stay within the bounds that `approximate` states for both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import cache, lru_cache
from itertools import pairwise, product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.protocol import Call, Card, Protocol, Wave, price
from tacit.core.share import Planes, Share
from tacit.core.timing import Network
from tacit.gadgets.normalise import none_above
from tacit.gadgets.waves import DIGITS, Powers, Waves, WidePowers, exponent, fit, waves

Array = npt.NDArray[Any]
LOG2E = 1.4426950408889634
LN2 = 0.6931471805599453
MOST_DIGITS = 16
"""Beyond this table, clamping the argument of exp is cheaper."""


def offered(p: Protocol) -> bool:
    """Whether F_factored is there, over the ring of whole words: their wrap is a whole number of turns."""
    return p.ring.width == 64 and p.offers("factored")


@lru_cache(maxsize=256)
def number(ring: Ring, value: float, f: int) -> Array:
    """Return a public number modulo the ring's size, which a summand may pass where the sum does not; read only."""
    return ring.constant(round(value * 2.0**f))


S = TypeVar("S", Waves, Powers)
Ends = tuple[float, float]
Units = tuple[int, int]
"""The least and the largest value that there is, in units; (0, 0) if that is not known."""


@lru_cache(maxsize=256)
def _of_width(how: S, width: int) -> S:
    return replace(how, width=width)


def uncounted(how: S, into: Ring) -> S | None:
    """Return the same sum over a ring so wide that its wrap does not count in the result: bits, but a round less."""
    width = into.width + how.shift
    return _of_width(how, width) if how.width < width <= 64 else None


def cheaper(p: Protocol, how: S, n: int) -> S:
    """Return how n sums are worth least over p's ring."""
    wide = uncounted(how, p.ring)
    return how if wide is None else min(how, wide, key=lambda each: p.price(sized(each, n)))


def sized(how: Waves | Powers, n: int) -> Call:
    """Return the call that evaluates n sums, to be priced."""
    return "factored", n, {"terms": how.terms, "width": how.width, "shift": how.shift}


# -- exp --------------------------------------------------------------------------------------------------


def exp_plan(k: int, f: int, lo: float, hi: float, relative: int) -> Powers | None:
    """Plan e^x on [lo, hi] with a relative error below 2^−relative, beside 3/2 units of the last place.

    Of three halves, one is the rounding of the result and a half what rounded left values, to f + step bits, add up to
    when they are multiplied by less than 2^step; right values are rounded to relative + 1 bits.
    """
    least, most = math.floor(lo * LOG2E - 2.0**-20), hi * LOG2E + 2.0**-20
    top, t, digits = max(0, math.floor(hi * LOG2E) + 1), relative + 1, 2
    while k <= 64 and digits <= MOST_DIGITS:
        # One digit is spare, for the carry: the exponents' digits lie in [1, digits).
        step = max(1, math.floor((most - least) / (digits - 1)) + 1)
        base, s, width = least - step, f + step, top + f + step + t + 2
        rate = round(2.0 ** (64 - f) * LOG2E / (step * digits))
        drift = max(abs(lo), abs(hi)) * 2.0**f * step * digits * 2.0**-64
        if width <= k and step <= t and drift < 2.0 ** -(relative + 2) and rate < 1 << 63:
            offset = -base * (1 << 64) // (digits * step) % (1 << 64)
            return Powers(rate, offset, digits, step, base, s, t, width, s + t - f)
        digits *= 2
    return None


def wide_exp_plan(f: int, lo: float, hi: float, relative: int) -> WidePowers | None:
    """Plan e^x over Z/2^128 as `exp_plan` does over words, whose kernels' powers are words of less than 62 bits."""
    least, most = math.floor(lo * LOG2E - 2.0**-20), hi * LOG2E + 2.0**-20
    top, t, digits = max(0, math.floor(hi * LOG2E) + 1), relative + 1, 2
    while digits <= MOST_DIGITS:
        step = max(1, math.floor((most - least) / (digits - 1)) + 1)
        base, s, width = least - step, f + step, top + f + step + t + 2
        if 64 < width <= 128 and step + t <= 61:
            rate = round(2.0 ** (128 - f) * LOG2E / (step * digits))
            offset = -base * (1 << 64) // (digits * step) % (1 << 64)
            return WidePowers(rate, offset, digits, step, base, s, t, width, s + t - f)
        digits *= 2
    return None


# -- what is computed on a mantissa -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Octaves:
    """How values in [2^least, 2^m) are brought to one interval: times 2^(step·k), k being how many tests hold.

    A test is [x < 2^i], which may err between 2^i and 2^(i+1) (F_below): so the interval is one octave longer than
    the step, unless tests are `exact`. With `zero`, x may be 0, and then one test more holds. Without tests, `ends` may
    say what the interval is more closely, in parts of 2^m.
    """

    m: int
    step: int
    at: tuple[int, ...]
    exact: bool = False
    zero: bool = False
    ends: Ends | None = None

    @property
    def span(self) -> int:
        """Octaves of the interval [2^(m − span), 2^m)."""
        return self.step + (not self.exact)

    @property
    def interval(self) -> Ends:
        """To where values are brought, in parts of 2^m."""
        return self.ends or (2.0**-self.span, 1.0)

    @property
    def groups(self) -> int:
        """How many values k has, of what is not zero."""
        return len(self.at) + 1 - self.zero

    def tests(self, p: Protocol, x: Share) -> Planes:
        """Return a plane for each test."""
        if not self.exact:
            return p.below(x, self.m, self.at)
        return none_above(p, x, self.m)[list(self.at)]


@cache
def octaves(m: int, least: int, step: int, exact: bool = False, zero: bool = False) -> Octaves:
    """Plan the fewest tests."""
    span, at = step + (not exact), []
    place = m - span
    while place > least:
        at.append(place)
        if place - step <= least - exact:
            break
        place -= step
    if zero and (not at or at[-1]):
        at.append(0)
    return Octaves(m, step, tuple(at), exact, zero)


def choose(p: Protocol, tests: Planes, values: Sequence[Sequence[int]], widths: Sequence[int]) -> list[Share]:
    """Return, for each list of values over Z/2^width, the one whose number is how many tests hold."""
    weights = [[(b - a) % 2**64 for a, b in pairwise(row)] for row in values]
    found = p.over(Ring(max(widths))).combine(tests, np.array(weights, np.uint64), widths)
    out = []
    for row, share, width in zip(values, found, widths, strict=True):
        narrow = p.over(Ring(width))
        out.append(narrow.add_public(share, narrow.ring.constant(row[0] % 2**width)))
    return out


@dataclass(frozen=True, slots=True)
class Mantissa:
    """A function of v = x·2^(step·k) / 2^m: a series of x·2^(step·k)·factor, which counts mod 2^period units.

    The product with the scale is `early` where the calls around it are.
    """

    octaves: Octaves
    series: Waves
    factor: int
    period: int
    early: bool

    def scales(self) -> list[int]:
        """Return by what x is multiplied for each k."""
        powers = [self.factor << self.octaves.step * k for k in range(self.octaves.groups)]
        return powers + [0] * self.octaves.zero

    def value(self, p: Protocol, x: Share, scaled: Share | None) -> Share:
        """Return the function, to which the constant is still to be added, given the scale if there are tests."""
        return p.factored(self.scaled(p, x, scaled), self.series)

    def scaled(self, p: Protocol, x: Share, scale: Share | None) -> Share:
        """Return what the series takes."""
        narrow = p.over(Ring(self.period))  # as whose elements x is taken, whatever its bits above
        if scale is None:
            return narrow.mul_public(x, narrow.ring.constant(self.factor))
        return (narrow.mul_early if self.early else narrow.mul)(x, scale)


FACTORS = ((1, 0), (1, 1), (3, 2), (5, 3), (9, 4))
"""By what mantissas are multiplied, and how many bits the period then has more: it is 1, 2, 4/3, 8/5 or 16/9 of 2^m."""


@cache
def _on_mantissa(k: int, fn: str, ends: Ends, m: int, precision: int, out: int) -> Series3 | None:
    """Plan a function of x/2^m between two ends, with the fewest bytes, within 5/2·2^−precision.

    A series, by what x is multiplied before, and the bits of x·factor in a period.
    """
    best: tuple[Waves, int, int] | None = None
    for (factor, more), shorter in product(FACTORS, range(SHORTEST)):
        bits = m + more - shorter
        room = 2.0 ** (more - shorter) / factor / (ends[1] - ends[0])
        if not ROOM[0] <= room <= ROOM[1] or not 2 <= bits <= 62:
            continue
        try:
            series = fit(FUNCTIONS[fn], *ends, 2.0 ** (more - shorter) / factor, 1.5 * 2.0**-precision)
        except ValueError:
            continue
        most = _largest(fn, ends, series.constant) + 2.0**-8
        plan = waves(series, 1 << (64 - bits), precision, out, most)
        if (
            plan.width <= k
            and 0 <= plan.shift <= plan.width - 2
            and (best is None or plan.terms * plan.width < best[0].terms * best[0].width)
        ):
            best = plan, factor, bits
    return best


SHORTEST = 8
"""Periods are halved so often at most, less one."""
ROOM = (1.5, 4.1)
"""Periods, in lengths of the interval: shorter ones need many harmonics, longer ones cancel."""
ROOT2 = Decimal(2).sqrt(DIGITS)
FUNCTIONS = {
    "inverse": lambda v: 1 / v,
    "log": lambda v: v.ln(),
    "sqrt": lambda v: v.sqrt(),
    "rsqrt": lambda v: 1 / v.sqrt(),
    "sqrt·√2": lambda v: v.sqrt() * ROOT2,
    "rsqrt·√2": lambda v: ROOT2 / v.sqrt(),
}


def _largest(fn: str, ends: Ends, less: float = 0.0) -> float:
    """Return the largest size of a function, less a constant, between two ends; all are monotonic."""
    with localcontext(DIGITS):
        values = [float(FUNCTIONS[fn](Decimal(v))) for v in ends]
    return max(abs(v - less) for v in values)


def _finish(p: Protocol, out: Share, plan: Waves, f: int) -> Share:
    return p.add_public(out, number(p.ring, plan.series.constant, f))


# -- the cheapest way -------------------------------------------------------------------------------------

Series3 = tuple[Waves, int, int]
MOST_SPAN = 4
"""Octaves that one series spans without tests, at most."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A function fn on n values in [2^least, 2^m), with s bits of precision; with `zero`, 0 among them.

    Results have `into` bits, and what leads to them no more than k. Values may be known to be in [lo, hi].
    """

    fn: str
    n: int
    k: int
    into: int
    f: int
    m: int
    least: int
    s: int = 0
    zero: bool = False
    lo: int = 0
    hi: int = 0

    def ends(self) -> Ends | None:
        """Return where values are, in parts of 2^m, if that is known and no more than `MOST_SPAN` octaves."""
        known = 0 < self.lo <= self.hi <= self.lo << MOST_SPAN and not self.zero
        return (math.ldexp(self.lo, -self.m), math.ldexp(self.hi, -self.m)) if known else None


def outward(lo: int, hi: int) -> tuple[int, int]:
    """Return a number of four bits that is not above the one, and one that is not below the other and above the first.

    So there are few intervals, each of which is fitted once.
    """
    low, high = max(0, lo.bit_length() - 4), max(0, hi.bit_length() - 4)
    at, to = lo >> low << low, -(-hi >> high) << high
    return (at, max(to, at + (1 << low))) if lo else (0, 0)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a protocol's calls cost on a network."""

    cards: tuple[Card, ...]
    parties: int
    network: Network

    @classmethod
    def of(cls, p: Protocol) -> Costs:
        """Return the costs of a protocol's calls."""
        names = ("below", "combine", "mul", "mul_early", "factored", "mul_into")
        return cls(tuple(p.card(name) for name in names), p.party.n, p.party.network)

    def worth(
        self, what: Wanted, where: Octaves, width: int, series: Waves, period: int, lost: int | None
    ) -> tuple[int, bool]:
        """Return what one way costs, and whether its product with the scale is `early`.

        With tests, series and scales have `width` bits; their product loses so many, if they are multiplied.

        A round counts as the bytes that the network carries in its time. If the first party receives nothing in the
        calls before and after that product, it had better receive nothing in between (docs/decisions/0068).
        """

        def waves(card: Card, ring: Ring, size: int, **more: Any) -> list[Wave]:
            return card.pattern(ring, size, parties=self.parties, network=self.network, **more)

        below, combine, mul, mul_early, factored, mul_into = self.cards
        n, planes = what.n, len(where.at)
        made = Ring(width if planes else what.into)
        series_waves = waves(factored, made, n, terms=series.terms, width=series.width, shift=series.shift)
        if not planes:
            return price(self.network, self.parties, series_waves), False
        outer = Ring(max(width, period))
        scales = waves(combine, outer, n * planes, planes=planes, widths=(width, period))
        early = not any(to == 0 for wave in (*scales, *series_waves) for _, to, _ in wave)
        found = [
            *waves(below, Ring(what.k), n, bits=what.m, at=where.at),
            *scales,
            *waves(mul_early if early else mul, Ring(period), n),
            *series_waves,
            *(waves(mul_into, made, n, f=lost, into=what.into) if lost is not None else []),
        ]
        return price(self.network, self.parties, found), early

    def cheapest(
        self,
        what: Wanted,
        ways: Iterable[Octaves],
        plan: Callable[[Octaves], Series3 | None],
        width: Callable[[Octaves], int],
        lost: Callable[[Octaves], int] | None = None,
    ) -> Mantissa | None:
        """Return the way that is worth least of those that can be planned, with scales of so many bits.

        They multiply what the series gives, and that product loses so many bits, or are added.
        """
        best, least = None, 0
        for where in ways:
            found = plan(where)
            if found is None:
                continue
            series, factor, period = found
            bits, drop = width(where), lost(where) if lost else None
            wide = uncounted(series, Ring(bits if where.at else what.into))
            for each in (series, wide) if wide else (series,):
                worth, early = self.worth(what, where, bits, each, period, drop)
                if best is None or worth < least:
                    best, least = Mantissa(where, each, factor, period, early), worth
        return best


def _ways(what: Wanted, steps: tuple[int, ...]) -> list[Octaves]:
    """Return the ways to normalise: without any test where the range is short, and by tests that may err."""
    short, step, ends = (
        what.m - what.least <= MOST_SPAN and not what.zero,
        max(1, what.m - what.least - 1),
        what.ends(),
    )
    return [
        *([Octaves(what.m, step, ())] if short else []),
        *([Octaves(what.m, step, (), ends=ends)] if ends else []),
        *(octaves(what.m, what.least, step, False, what.zero) for step in steps),
    ]


def _possible(what: Wanted) -> bool:
    return what.m < 62 and what.k <= 64


# -- logarithm --------------------------------------------------------------------------------------------


def log_plan(
    p: Protocol, f: int, m: int, least: int, n: int, into: Ring, ends: Units = (0, 0)
) -> Mantissa | None:
    """Plan ln on n values in [2^least, 2^m)."""
    what = Wanted("log", n, p.ring.width, into.width, f, m, least, 0, False, *outward(*ends))
    return _log_plan(Costs.of(p), what)


@lru_cache(maxsize=1 << 10)
def _log_plan(costs: Costs, what: Wanted) -> Mantissa | None:
    def plan(o: Octaves) -> Series3 | None:
        # More bits than 27 are more than `approximate.log_error` promises over 64-bit rings, and not to be had.
        return _on_mantissa(what.k, "log", o.interval, what.m, min(what.f + 3, 27), what.f)

    ways = _ways(what, (1, 2))
    found = costs.cheapest(what, ways, plan, lambda _: what.into) if _possible(what) else None
    return found


def log(p: Protocol, x: Share, plan: Mantissa, f: int, into: Ring) -> Share:
    """Return ln(mantissa) + (m − f − step·k)·ln 2, the second with the series' constant rounded to units."""
    where, q = plan.octaves, p.over(into)
    rest = [plan.series.series.constant + (where.m - f - where.step * k) * LN2 for k in range(where.groups)]
    if not where.at:
        return q.add_public(plan.value(q, x, None), number(into, rest[0], f))
    table = [round(v * 2.0**f) for v in rest]
    scale, whole = choose(p, where.tests(p, x), [plan.scales(), table], [plan.period, into.width])
    return q.add(plan.value(q, x, scale), whole)


# -- quotients and roots ----------------------------------------------------------------------------------


def word_plan(
    p: Protocol, fn: str, m: int, least: int, n: int, precision: int, out: int, ends: Units = (0, 0)
) -> Mantissa | None:
    """Plan "inverse" or "rsqrt" of mantissas of n values within 5/2·2^−precision, with `out` bits, in words."""
    # A quotient counts on reciprocals of mantissas that are not above 2^3.
    near = outward(*ends) if outward(*ends)[0] << 3 >= 1 << m else (0, 0)
    return _word_plan(Costs.of(p), Wanted(fn, n, 64, 64, 0, m, least, precision, False, *near), out)


@lru_cache(maxsize=1 << 10)
def _word_plan(costs: Costs, what: Wanted, out: int) -> Mantissa | None:
    def plan(o: Octaves) -> Series3 | None:
        return _on_mantissa(what.k, what.fn, o.interval, what.m, what.s, out)

    step = 1 if what.fn == "inverse" else 2
    # On the shorter interval of exact tests, which take more rounds, series of more bits fit the ring.
    exact = [octaves(what.m, what.least, step, True)]
    for ways in (_ways(what, (step,)), exact) if _possible(what) else ():
        found = costs.cheapest(what, ways, plan, lambda _: what.k)
        if found is not None:
            return found
    return None


def inverse(p: Protocol, x: Share, plan: Mantissa, s: int) -> tuple[Share, Share]:
    """Return c = 2^(step·k) and 2^m/(x·c): in (1, 4] with tests, in (1, 16] without."""
    where = plan.octaves
    powers = [1 << where.step * k for k in range(where.groups)]
    if not where.at:
        one = p.constant(np.broadcast_to(p.ring.constant(1), x.shape).copy())
        return one, _finish(p, plan.value(p, x, None), plan.series, s)
    c, scaled = choose(p, where.tests(p, x), [powers, plan.scales()], [p.ring.width, plan.period])
    return c, _finish(p, plan.value(p, x, scaled), plan.series, s)


@dataclass(frozen=True, slots=True)
class Scaled:
    """fn(v)·2^(exponents[k]) units: `out` fractional bits of fn times 2^(exponents[k] − base), over 2^(out − base).

    The product takes `width` bits.
    """

    mantissa: Mantissa
    width: int
    out: int
    base: int
    exponents: tuple[int, ...]


def scaled_plan(
    p: Protocol,
    fn: str,
    f: int,
    m: int,
    least: int,
    s: int,
    n: int,
    into: Ring,
    zero: bool = False,
    ends: Units = (0, 0),
) -> Scaled | None:
    """Plan "sqrt", "rsqrt" or "inverse" of n values within 15/8 units, or a unit and 13/16·2^−s of the result."""
    what = Wanted(fn, n, p.ring.width, into.width, f, m, least, s, zero, *outward(*ends))
    return _scaled_plan(Costs.of(p), what)


@lru_cache(maxsize=1 << 10)
def _scaled_plan(costs: Costs, what: Wanted) -> Scaled | None:
    step = 1 if what.fn == "inverse" else 2
    found = _scaled(costs, what, _ways(what, (step,)))
    if what.fn == "rsqrt":
        # A series of √2·fn has more bits than one of fn, which numbers of one bit more ask for; and one on a shorter
        # interval has fewer, after exact tests, which take more rounds.
        longer = replace(what, m=what.m + 1)
        found = found or _scaled(costs, longer, _ways(longer, (step,)))
        for each in (what, longer):
            found = found or _scaled(costs, each, [octaves(each.m, each.least, step, True)])
    return found


def _scaled(costs: Costs, what: Wanted, ways: list[Octaves]) -> Scaled | None:
    """Plan by the cheapest of these ways."""
    # √x is √v·2^((f + m − step·k)/2) units, 1/√x is 1/√v·2^((3f − m + step·k)/2): an odd half goes into the function.
    # 1/x is 1/v·2^(2f − m + step·k).
    f, m = what.f, what.m
    start = {"sqrt": f + m, "rsqrt": 3 * f - m, "inverse": 2 * (2 * f - m)}[what.fn]
    half = {"sqrt": -1, "rsqrt": 1, "inverse": 2}[what.fn]
    fn = what.fn + "·√2" * (start % 2)

    def exponents(o: Octaves) -> tuple[int, ...]:
        return tuple(start // 2 + half * o.step * j // 2 for j in range(o.groups))

    # In parts of a result's unit: fit 3/8, its rounding 1/4, their truncation 1/8, the constant 1/16, the product's
    # truncation 1. Without tests: fit 3/16, its rounding 1/8, the truncation 1, the constant 1/2.
    def precision(o: Octaves) -> int:
        return max(4, min(max(exponents(o)), what.s))

    def out(o: Octaves) -> int:
        return max(precision(o) + 3, min(exponents(o)))

    def width(o: Octaves) -> int:
        e = exponents(o)
        return max(out(o) + exponent(_largest(fn, o.interval) * 1.01) + max(e) - min(e), out(o) - min(e)) + 2

    def lost(o: Octaves) -> int:
        return out(o) - min(exponents(o))

    def plan(o: Octaves) -> Series3 | None:
        e, bits = exponents(o), precision(o)
        if o.at and width(o) > what.k:
            return None
        # Without tests the series itself gives units.
        return _on_mantissa(what.k, fn, o.interval, m, bits + 2 + (not o.at), out(o) if o.at else e[0])

    found = costs.cheapest(what, ways, plan, width, lost) if _possible(what) else None
    if found is None:
        return None
    where = found.octaves
    e = exponents(where)
    return Scaled(found, width(where), out(where), min(e), e)


def scaled(p: Protocol, x: Share, plan: Scaled, into: Ring) -> Share:
    """Return the planned function; 0 for x = 0 where that is allowed."""
    where, by = plan.mantissa.octaves, plan.out - plan.base
    if not where.at:
        q = p.over(into)
        return _finish(q, plan.mantissa.value(q, x, None), plan.mantissa.series, plan.base)
    factors = [1 << e - plan.base for e in plan.exponents] + [0] * where.zero
    tables = [factors, plan.mantissa.scales()]
    narrow = p.over(Ring(plan.width))
    outer, inner = choose(p, where.tests(p, x), tables, [plan.width, plan.mantissa.period])
    value = _finish(narrow, plan.mantissa.value(narrow, x, inner), plan.mantissa.series, plan.out)
    return narrow.mul_into(value, outer, by, into)
