"""Functions by F_factored: few rounds and bytes where a protocol offers it and the ring has room.

Each `…_plan` returns None where the function must go the longer way (`approximate`); it depends on public values
alone, so all participants choose alike. Errors stay within the bounds that `approximate` states for both ways.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from tacit.algebra.ring import Ring
from tacit.core.protocol import Protocol
from tacit.core.share import Planes, Share, stack_planes
from tacit.gadgets.normalise import shift_planes
from tacit.gadgets.waves import Lookup, Powers, Together, Waves, fit, waves

LOG2E = 1.4426950408889634
LN2 = 0.6931471805599453
MOST_DIGITS = 16
"""Beyond this table, clamping the argument of exp is cheaper."""


def offered(p: Protocol) -> bool:
    """Whether F_factored is there, over the ring of whole words: their wrap is a whole number of turns."""
    return p.ring.width == 64 and p.offers("factored")


# -- exp --------------------------------------------------------------------------------------------------


def exp_plan(k: int, f: int, lo: float, hi: float, relative: int) -> Powers | None:
    """Plan e^x on [lo, hi] with a relative error below 2^−relative, beside the rounding of the last place."""
    digits = 2
    while k <= 64 and digits <= MOST_DIGITS:
        # The least step with `digits − 1` digits of room, one being spare for the carry.
        step = max(1, math.ceil((hi - lo) * LOG2E / (digits - 1) + 2.0**-20))
        step += math.floor(hi * LOG2E / step + 2.0**-20) - _base(lo, step) >= digits
        if math.floor(hi * LOG2E / step + 2.0**-20) - _base(lo, step) >= digits:
            digits *= 2
            continue
        s, t = f + step + 1, relative + 2
        top = max(0, math.floor(hi * LOG2E) + 1)
        rate = round(2.0 ** (64 - f) * LOG2E / (step * digits))
        drift = max(abs(lo), abs(hi)) * 2.0**f * step * digits * 2.0**-64
        if top + s + t + 2 <= k and step <= t and drift < 2.0 ** -(relative + 2) and rate < 1 << 63:
            base = _base(lo, step)
            offset = -base * (1 << 64) // digits % (1 << 64)
            return Powers(rate, offset, digits, step, base, s, t, top + s + t + 2, s + t - f)
        digits *= 2
    return None


def _base(lo: float, step: int) -> int:
    return math.floor(lo * LOG2E / step - 2.0**-20) - 1


# -- what is computed on a mantissa -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Index:
    """The bits of a shift in two digits, low and high, of equally many planes."""

    low: Planes
    high: Planes
    low_bits: int
    high_bits: int

    @property
    def size(self) -> int:
        """Entries of a table for either digit."""
        return 1 << max(self.low_bits, self.high_bits)


def index_bits(m: int) -> tuple[int, int]:
    """Return how many bits of the shift of an m-bit value go to the low and to the high digit."""
    count = max(1, (m - 1).bit_length())
    return (count + 1) // 2, count - (count + 1) // 2


def index(p: Protocol, v: Share, m: int, mark_zero: bool = False) -> Index:
    """Return the shift that brings v to [2^(m−1), 2^m); the high digit's top bit marks v = 0 if asked for."""
    bits, zero = shift_planes(p, v, m)
    low_bits, high_bits = index_bits(m)
    low, high = bits[:low_bits], [bits[low_bits:]] if high_bits else []
    if mark_zero:
        high, high_bits = [*high, zero], high_bits + 1
    if not high:
        return Index(low, p.xor(low, low), low_bits, 0)
    return Index(low, stack_planes(high), low_bits, high_bits)


def scale(p: Protocol, at: Index, width: int, low: list[int], high: list[int]) -> tuple[Share, Share]:
    """Return low[digit] and high[digit] in Z/2^width."""
    pad = [table + [0] * (at.size - len(table)) for table in (low, high)]
    how = Lookup((tuple(pad[0]), tuple(pad[1])), width)
    out = p.over(Ring(width)).factored([(at.low, at.high)], how)
    n = at.low.n
    return out[:n], out[n:]


def _powers(at: Index, m: int) -> tuple[list[int], list[int]]:
    """Return tables of 2^low and 2^(high·2^low_bits), whose product is 2^shift."""
    low = [1 << i for i in range(1 << at.low_bits)]
    return low, [1 << min(i << at.low_bits, m) for i in range(1 << at.high_bits)]


def _period_bits(plan: Waves) -> int:
    """Return b where an operand of the plan counts mod 2^b: 2^b units are the series' period."""
    return 65 - plan.rate.bit_length()


def mantissa(p: Protocol, v: Share, at: Index, m: int, plan: Waves) -> Share:
    """Return v·2^shift in [2^(m−1), 2^m), modulo the plan's period."""
    narrow = p.over(Ring(_period_bits(plan)))
    a, b = scale(p, at, narrow.ring.width, *_powers(at, m))
    return narrow.mul(narrow.mul(v.map(narrow.ring.reduce), a), b)


@cache
def _on_mantissa(k: int, fn: str, m: int, precision: int, out: int, most: float) -> Waves | None:
    """Plan a function on mantissas of m bits in [1/2, 1), with the fewest bytes."""
    best: Waves | None = None
    for period in (1.0, 2.0):
        try:
            series = fit(FUNCTIONS[fn], 0.5, 1.0, period, 2.0**-precision)
        except ValueError:
            continue
        plan = waves(series, 1 << (64 - m - (period == 2.0)), precision, out, most)
        if plan.width <= k and plan.shift >= 0 and (best is None or _cost(plan) < _cost(best)):
            best = plan
    return best


def _cost(plan: Waves) -> int:
    return plan.terms * plan.width


FUNCTIONS = {
    "inverse": lambda v: 1 / v,
    "log": lambda v: v.ln(),
    "sqrt": lambda v: v.sqrt(),
    "rsqrt": lambda v: 1 / v.sqrt(),
}


def _finish(p: Protocol, out: Share, plan: Waves, f: int) -> Share:
    return p.add_public(out, p.ring.encode_floats(plan.series.constant, f))


# -- logarithm --------------------------------------------------------------------------------------------


def log_plan(k: int, f: int, m: int) -> Waves | None:
    """Plan ln on values below 2^m."""
    return None if m >= 62 or k > 64 else _on_mantissa(k, "log", m, f + 3, f, m * LN2 + 2)


def log(p: Protocol, y: Share, plan: Waves, f: int, m: int) -> Share:
    """Return ln(mantissa) − shift·ln 2 + (m − f)·ln 2, in one sum."""
    at = index(p, y, m)
    a = mantissa(p, y, at, m, plan)
    unit = LN2 * 2.0 ** (plan.s + plan.t)
    low = Lookup((tuple(-round(unit * i) for i in range(1 << at.low_bits)),), plan.width, plan.shift)
    high_values = tuple(-round(unit * (i << at.low_bits)) for i in range(1 << at.high_bits))
    high = Lookup((high_values,), plan.width, plan.shift)
    out = p.factored([a, (at.low,), (at.high,)], Together((plan, low, high)))
    return p.add_public(_finish(p, out, plan, f), p.ring.encode_floats((m - f) * LN2, f))


# -- division and roots -----------------------------------------------------------------------------------


def inverse_plan(k: int, m: int, s: int) -> Waves | None:
    """Plan 1/v with s fractional bits and an error below 2^−(s−2)."""
    return None if m >= 62 or k > 64 else _on_mantissa(k, "inverse", m, s - 2, s, 2.0)


def inverse(p: Protocol, y: Share, plan: Waves, m: int, s: int) -> tuple[Share, Share]:
    """Return c = 2^shift and 1/(y·c/2^m)."""
    at = index(p, y, m)
    a, b = scale(p, at, p.ring.width, *_powers(at, m))
    c = p.mul(a, b)
    narrow = p.over(Ring(_period_bits(plan)))
    mant = narrow.mul(y.map(narrow.ring.reduce), c.map(narrow.ring.reduce))
    return c, _finish(p, p.factored([mant], plan), plan, s)


def root_plan(k: int, fn: str, f: int, m: int, s: int) -> Waves | None:
    """Plan √v or 1/√v with s − 3 fractional bits."""
    if m >= 62 or k > 64:
        return None
    # value·low has twice s − 2 bits and two; what it leaves, times 2^(m/2), s and m/2.
    return _on_mantissa(k, fn, m, s - 3, s - 2, 2.0) if max(2 * s, s + m // 2 + 2) <= k - 2 else None


def sqrt(p: Protocol, y: Share, plan: Waves, f: int, m: int, s: int) -> Share:
    """Return √y = √mantissa·2^((m+f−shift)/2) units; nothing at y = 0."""
    at = index(p, y, m, mark_zero=True)
    highest = (1 << (at.high_bits - 1)) - 1
    least = (m + f) / 2 - ((highest << at.low_bits) + (1 << at.low_bits) - 1) / 2
    whole = math.floor(least)
    low = [2.0 ** (least - whole + ((1 << at.low_bits) - 1 - i) / 2) for i in range(1 << at.low_bits)]
    high = [1 << ((highest - i) << at.low_bits >> 1) for i in range(highest + 1)]
    return _root(p, y, plan, at, m, s, low, high, whole)


def rsqrt(p: Protocol, y: Share, plan: Waves, f: int, m: int, s: int) -> Share:
    """Return 1/√y = 1/√mantissa·2^((shift−m+f)/2 + f) units."""
    at = index(p, y, m)
    least = (3 * f - m) / 2
    whole = math.floor(least)
    low = [2.0 ** (least - whole + i / 2) for i in range(1 << at.low_bits)]
    high = [1 << (min(i << at.low_bits, m) >> 1) for i in range(1 << at.high_bits)]
    return _root(p, y, plan, at, m, s, low, high, whole)


def _root(
    p: Protocol, y: Share, plan: Waves, at: Index, m: int, s: int, low: list[float], high: list[int], by: int
) -> Share:
    """Return fn(mantissa)·low·high·2^by."""
    o = s - 2
    a, b = scale(p, at, p.ring.width, [round(v * 2.0**o) for v in low], high)
    value = _finish(p, p.factored([mantissa(p, y, at, m, plan)], plan), plan, o)
    value = p.mul_trunc(value, a, o)
    shift = o - by
    return p.mul_trunc(value, b, shift) if shift > 0 else p.shl(p.mul(value, b), -shift)
