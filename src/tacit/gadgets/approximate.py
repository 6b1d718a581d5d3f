"""Division, roots, logarithm and exponential on fixed-point shares.

All take and return flat shares. A value y with f fractional bits is normalised to a mantissa by its leading
one, approximated there by a Chebyshev polynomial, refined by Newton's iteration, and scaled back. The method
is that of Catrina and Saxena, "Secure computation with fixed-point numbers", FC 2010, and Aly and Smart,
"Benchmarking privacy preserving scientific operations", ACNS 2019; the working precision follows from the
ranges that are known, and the error that remains is stated by the `…_error` functions. `ends`, the least and
the largest y in units, may say more than bits: a short interval takes a short series. A result that is asked
for `into` a ring of fewer bits is right modulo its size, whatever is above (decision 0077).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from tacit.algebra.ring import Ring
from tacit.core.protocol import Protocol
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.gadgets import refined
from tacit.gadgets import separable as sep
from tacit.gadgets.normalise import power_of_two, shift_bits
from tacit.gadgets.polynomial import centred, chebyshev_fit, evaluate
from tacit.gadgets.separable import Units
from tacit.gadgets.waves import whole_bits

LOG2E = 1.4426950408889634
LN2 = 0.6931471805599453
MIN_PRECISION = 14
LEAST_MANTISSA = 12
"""Of a quotient: with fewer bits its relative error would pass 2^−10, on which exact ones rely (`array.integers`)."""
ENOUGH = 20
"""Bits of a quotient for which others give way that would make it no closer where it has no room for all."""
MOST_FIT = 25
"""Of such a quotient: to fit its series closer takes tests of six rounds more."""
# Coefficients are float64, so no result is more exact than this, relatively.
FLOOR = 2.0**-47
WIDE_RELATIVE = 46
"""Bits of powers that are computed in float64, and multiplied in pairs."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Working precision of one call.

    `s` mantissa bits, `guard` bits below the result's last place, and series within 5/2·2^−fit.
    """

    s: int
    guard: int = 0
    fit: int = 0


def _fitted(s: int) -> float:
    """Return how close a polynomial comes to a function of s bits; float64 shows no more."""
    return max(2.0 ** -(s + 1), FLOOR / 2)


def _rescale(p: Protocol, x: Share, by: int) -> Share:
    """Divide by 2^by, or multiply by 2^−by."""
    return p.trunc(x, by) if by > 0 else p.shl(x, -by)


def _product(p: Protocol, x: Share, y: Share, by: int, into: Ring | None) -> Share:
    """Return x·y / 2^by, in a ring of no more bits."""
    return p.mul_trunc(x, y, by) if into is None or into == p.ring else p.mul_into(x, y, by, into)


def _mantissa(p: Protocol, v: Share, c: Share, m: int, s: int) -> Share:
    """Return v·c / 2^m with s fractional bits."""
    return _rescale(p, p.mul(v, c), m - s) if m <= s else p.mul_trunc(v, c, m - s)


def _binary_weights(count: int) -> list[tuple[int, int]]:
    return [(1, 1 << (1 << t)) for t in range(count)]


# -- division ---------------------------------------------------------------------------------------------


def divide_precision(k: int, f: int, m: int, q_bits: int) -> Precision:
    """Choose s, guard and fit for |x/y| < 2^q_bits and y·2^f < 2^m; RangeError if the ring is too narrow.

    x/y·2^(f + guard + s) is the largest number. Where it has no room for all that is wanted, `guard` gives way
    before s falls below `ENOUGH`, and a series is fitted to the last of its bits.
    """
    room = k - 2 - f - q_bits
    wanted = min((k - 5) // 2, f + q_bits + 4)
    guard = min(4, max(2, room - ENOUGH))
    s = min(wanted, room - guard)
    if s < LEAST_MANTISSA or q_bits + m > k - 2:
        raise RangeError(f"division needs more than {k} bits for these ranges")
    fit = s - 2 if s == wanted else min(max(s - 2, min(s, ENOUGH)), MOST_FIT)
    return Precision(s, guard, fit)


def divide_error(k: int, f: int, m: int, q_bits: int) -> tuple[float, float]:
    """Return (absolute, relative) parts of the bound on |computed − x/y|, proved in docs/decisions/0082."""
    prec = divide_precision(k, f, m, q_bits)
    # What x·c loses is multiplied by less than 2^3·(1 + 2^−8); a reciprocal by `scaled` is off by 15/8 units.
    units = max(1 + 8.04 * 2.0**-prec.guard, 2.0)
    if k > 64 and prec.s > refined.LEAST:
        return units * 2.0**-f, 5.5 * 2.0**-prec.s + refined.LEFT
    # A series, its truncation and constant; `scaled`: 13/16·2^−(fit − 2); Newton's steps leave 15/4·2^−s.
    return units * 2.0**-f, max(2.5 * 2.0**-prec.fit + 1.5 * 2.0**-prec.s, 3.25 * 2.0**-prec.fit)


def divide(
    p: Protocol,
    x: Share,
    y: Share,
    f: int,
    m: int,
    q_bits: int,
    least: int = 0,
    into: Ring | None = None,
    ends: Units = (0, 0),
    spread: Callable[[Share], Share] | None = None,
) -> Share:
    """Return x/y for 2^least ≤ y·2^f < 2^m and |x/y| < 2^q_bits, which holds for what is computed, too.

    Where several x have one y, `spread` puts what is found of y beside each of them.
    """
    prec = divide_precision(p.ring.width, f, m, q_bits)
    c, r = _reciprocal_mantissa(p, y, m, prec, least, ends)
    if spread is not None:
        c, r = spread(c), spread(r)
    # x·c = (x/y)·mantissa·2^m, so one truncation brings it to f + guard fractional bits of (x/y)·mantissa.
    by = m - f - prec.guard
    t = p.mul_trunc(x, c, by) if by > 0 else p.shl(p.mul(x, c), -by)
    return _product(p, t, r, prec.s + prec.guard, into)


def reciprocal(
    p: Protocol,
    y: Share,
    f: int,
    m: int,
    q_bits: int,
    least: int = 0,
    into: Ring | None = None,
    ends: Units = (0, 0),
) -> Share:
    """Return 1/y for 2^least ≤ y·2^f < 2^m and 1/y < 2^q_bits; the bound of `divide`."""
    prec, made = divide_precision(p.ring.width, f, m, q_bits), into or p.ring
    how = ("inverse", f, m, least, prec.fit - 2, y.size, made, False, ends)
    plan = sep.scaled_plan(p, *how) if sep.offered(p) else None
    if plan is not None:
        return sep.scaled(p, y, plan, made)
    c, r = _reciprocal_mantissa(p, y, m, prec, least, ends)
    if prec.s + m - f + q_bits > p.ring.width - 3:
        # 2^s·c·r, which is 2^(s + m − f)/y, would wrap: first c to f + guard fractional bits, as in `divide`.
        return _product(p, _rescale(p, c, m - 2 * f - prec.guard), r, prec.s + prec.guard, into)
    # c·r is 2^m/y in units.
    by = prec.s + m - 2 * f
    return _product(p, c, r, by, into) if by > 0 else p.shl(p.mul(c, r), -by)


def _reciprocal_mantissa(
    p: Protocol, y: Share, m: int, prec: Precision, least: int, ends: Units
) -> tuple[Share, Share]:
    """Return c = 2^shift and r = 1/(y·c/2^m) with s fractional bits, 1 < r ≤ 4, or 8 where c = 1."""
    s = prec.s
    plan = sep.word_plan(p, "inverse", m, least, y.size, prec.fit, s, ends) if sep.offered(p) else None
    if plan is not None:
        return sep.inverse(p, y, plan, s)
    short = refined.plan(p, "inverse", m, least, s, y.size, ends)
    if short is not None:
        at = refined.guess(p, y, "inverse", short, s, (short.octaves.step,))
        return at.powers[0], refined.inverse(p, at, s)
    bits = shift_bits(p, y, m)
    c = power_of_two(p, bits, _binary_weights(bits.shape[0]))
    a = _mantissa(p, y, c, m, s)
    r = evaluate(p, centred(p, a, 0.5, 1.0, s), chebyshev_fit(_reciprocal, 0.5, 1.0, 2.0**-11), s)
    two = p.ring.constant(2 << s)
    for _ in range(max(1, math.ceil(math.log2((s + 2) / 10)))):
        error = p.mul_trunc(a, r, s)
        r = p.mul_trunc(r, p.add_public(p.neg(error), two), s)
    return c, r


def _reciprocal(v: Decimal) -> Decimal:
    return 1 / v


SERIES = {"div": "inverse", "sqrt": "rsqrt", "rsqrt": "rsqrt"}
"""Functions that begin with a series of the last operand's mantissa."""


def in_a_word(
    p: Protocol, fn: str, f: int, m: int, bits: int, least: int, n: int, ends: Units = (0, 0)
) -> bool:
    """Whether one of SERIES, of n results below 2^bits, reads no more of its 2^least ≤ y·2^f < 2^m than 64 bits."""
    if fn == "div":
        s = divide_precision(p.ring.width, f, m, bits).s
    else:
        m = _of_even(m, f)
        s = root_precision(p.ring.width, f, m, bits).s
    return not sep.offered(p) and refined.plan(p, SERIES[fn], m, least, s, n, ends) is not None


# -- roots ------------------------------------------------------------------------------------------------


def root_precision(k: int, f: int, m: int, out_bits: int) -> Precision:
    """Choose s for y·2^f < 2^m and a result below 2^out_bits."""
    t = max(1, (m - 1).bit_length())
    s = min((k - 6) // 2, f + out_bits + 6, k - 4 - (1 << (t - 1)))
    if s < MIN_PRECISION or m > k - 2:
        raise RangeError(f"the root needs more than {k} bits for these ranges")
    return Precision(s)


def root_error(k: int, f: int, m: int, out_bits: int) -> tuple[float, float]:
    """Return (absolute, relative) parts of the bound on the error of sqrt and rsqrt."""
    return 2.0 * 2.0**-f, max(2.0 ** -(root_precision(k, f, m, out_bits).s - 5), FLOOR)


def sqrt(
    p: Protocol,
    y: Share,
    f: int,
    m: int,
    out_bits: int,
    least: int = -1,
    into: Ring | None = None,
    ends: Units = (0, 0),
) -> Share:
    """Return √y for 2^least ≤ y·2^f < 2^m, or 0 ≤ y if least < 0."""
    exact, made = root_precision(p.ring.width, f, m, out_bits).s, into or p.ring
    zero, least = least < 0, max(least, 0)
    how = ("sqrt", f, m, least, exact - 4, y.size, made, zero, ends)
    plan = sep.scaled_plan(p, *how) if sep.offered(p) else None
    if plan is not None:
        return sep.scaled(p, y, plan, made)
    s, a, r, down, top, m = _rsqrt_mantissa(p, y, f, m, out_bits, least, -1, ends)
    root = p.mul_trunc(a, r, s)
    by = s + top - (m + f) // 2
    return _product(p, root, down, by, into) if by > 0 else p.shl(p.mul(root, down), -by)


def rsqrt(
    p: Protocol,
    y: Share,
    f: int,
    m: int,
    out_bits: int,
    least: int = 0,
    into: Ring | None = None,
    ends: Units = (0, 0),
) -> Share:
    """Return 1/√y for 2^least ≤ y·2^f < 2^m."""
    exact, made = root_precision(p.ring.width, f, m, out_bits).s, into or p.ring
    how = ("rsqrt", f, m, least, exact - 5, y.size, made, False, ends)
    plan = sep.scaled_plan(p, *how) if sep.offered(p) else None
    if plan is not None:
        return sep.scaled(p, y, plan, made)
    s, _, r, up, _, m = _rsqrt_mantissa(p, y, f, m, out_bits, least, 1, ends)
    by = s - f + (m - f) // 2
    return _product(p, r, up, by, into) if by > 0 else p.shl(p.mul(r, up), -by)


def _rsqrt_mantissa(
    p: Protocol, y: Share, f: int, m: int, out_bits: int, least: int, sign: int, ends: Units
) -> tuple[int, Share, Share, Share, int, int]:
    """Return s, the mantissa a = y·4^k / 2^(m−f), r = 1/√a, a power of two, the most k, and an m of f's parity.

    The power is 2^k if `sign` is 1, and 2^(top − k) if it is −1.
    """
    m = _of_even(m, f)
    s = root_precision(p.ring.width, f, m, out_bits).s
    short = refined.plan(p, "rsqrt", m, least, s, y.size, ends)
    if short is not None:
        at = refined.guess(p, y, "rsqrt", short, s, (sign,))
        return s, at.a, refined.inverse_root(p, at, s), at.powers[0], at.top, m
    bits = shift_bits(p, y, m)
    half = power_of_two(p, bits[1:], _binary_weights(bits.shape[0] - 1))
    a = _mantissa(p, y, p.mul(half, half), m, s)
    ring = p.ring
    # [1/4, 5/4] has a width of one, which makes the change of variable a shift.
    r = evaluate(p, centred(p, a, 0.25, 1.25, s), chebyshev_fit(_inverse_root, 0.25, 1.25, 2.0**-9), s)
    for _ in range(max(1, math.ceil(math.log2((s + 2) / 8)))):
        ar = p.mul_trunc(a, r, s)
        gap = p.add_public(p.neg(p.mul_trunc(ar, r, s)), ring.constant(3 << s))
        r = p.mul_trunc(r, gap, s + 1)
    count = bits.shape[0] - 1
    top = (1 << count) - 1
    scale = half
    if sign < 0:
        scale = power_of_two(p, bits[1:], [(1 << (1 << t), 1) for t in range(count)])
    return s, a, r, scale, top, m


def _of_even(m: int, f: int) -> int:
    """Return the least m that is not below this one nor 4, and for which m − f is even."""
    return max(m + (m + f) % 2, 4)


def _inverse_root(v: Decimal) -> Decimal:
    return 1 / v.sqrt()


# -- logarithm --------------------------------------------------------------------------------------------


def log_precision(k: int, f: int, m: int) -> Precision:
    """Choose s for y·2^f < 2^m."""
    s = min((k - 8) // 2, f + 6)
    if s < MIN_PRECISION or m > k - 2:
        raise RangeError(f"the logarithm needs more than {k} bits for these ranges")
    return Precision(s)


def log_error(k: int, f: int, m: int) -> tuple[float, float]:
    """Return (absolute, relative) parts of the bound on the error of log."""
    return 2.0 * 2.0**-f + 2.0 ** -(log_precision(k, f, m).s - 4), FLOOR


def log(
    p: Protocol, y: Share, f: int, m: int, least: int = 0, into: Ring | None = None, ends: Units = (0, 0)
) -> Share:
    """Return ln y for 2^least ≤ y·2^f < 2^m: ln(mantissa) + (m − f − shift)·ln 2."""
    s, ring, made = log_precision(p.ring.width, f, m).s, p.ring, into or p.ring
    short = sep.log_plan(p, f, m, least, y.size, made, ends) if sep.offered(p) else None
    if short is not None:
        return sep.log(p, y, short, f, made)
    bits = shift_bits(p, y, m)
    c = power_of_two(p, bits, _binary_weights(bits.shape[0]))
    a = _mantissa(p, y, c, m, s)
    series = evaluate(p, centred(p, a, 0.5, 1.0, s), chebyshev_fit(Decimal.ln, 0.5, 1.0, _fitted(s)), s)
    for t in range(bits.shape[0]):
        step = p.mul_public(bits[t], ring.encode_floats(-LN2 * (1 << t), s))
        series = p.add(series, step)
    whole = p.add_public(series, ring.encode_floats((m - f) * LN2, s))
    return _rescale(p, whole, s - f)


# -- exponential ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExpPlan:
    """How exp is computed on one range: base-2 exponents from `base` to `base + 2^int_bits − 1`."""

    base: int
    int_bits: int
    s: int
    clamp: float | None


def exp_plan(k: int, f: int, lo: float, hi: float) -> ExpPlan:
    """Plan exp on [lo, hi]; arguments whose result is below a quarter unit are clamped there."""
    floor = -(f + 2) * LN2
    clamp = floor if lo < floor else None
    low = max(lo, floor)
    high = max(hi, low)
    base = math.floor(low * LOG2E - 2.0**-8)
    span = math.floor(high * LOG2E + 2.0**-8) - base + 1
    int_bits = max(1, (span - 1).bit_length())
    x_bits = whole_bits(max(abs(low), abs(high), 1.0) + 1)
    s = min((k - 6) // 2, k - 4 - span, k - 4 - f - x_bits, f + max(0, base + span) + 6)
    if s < MIN_PRECISION:
        raise RangeError(f"exp needs more than {k} bits on [{lo:.3g}, {hi:.3g}]; bound its argument")
    return ExpPlan(base, int_bits, s, clamp)


def _exp2(v: Decimal) -> Decimal:
    return (v * Decimal(2).ln()).exp()


def exp_error(k: int, f: int, lo: float, hi: float) -> tuple[float, float]:
    """Return (absolute, relative) parts of the bound on the error of exp."""
    # log2(e) is a float64: its error grows with the argument.
    floor = 2 * FLOOR + max(abs(hi), min(abs(lo), f)) * 2.0**-52
    return 2.0 * 2.0**-f, max(2.0 ** -(exp_plan(k, f, lo, hi).s - 5), floor)


def exp(p: Protocol, x: Share, f: int, lo: float, hi: float, into: Ring | None = None) -> Share:
    """Return e^x for lo ≤ x ≤ hi: 2^i·2^u with i + u = x·log2(e), i by bits, 2^u by a polynomial."""
    plan, ring = exp_plan(p.ring.width, f, lo, hi), p.ring
    wide = ring.width == 128 and p.offers("factored")

    def powers(lo: float, hi: float) -> sep.Powers | sep.WidePowers | None:
        if wide:
            return sep.wide_exp_plan(f, lo, hi, min(plan.s - 5, WIDE_RELATIVE))
        return sep.exp_plan(ring.width, f, lo, hi, plan.s - 5) if sep.offered(p) else None

    how = powers(lo, hi)
    if how is None and plan.clamp is not None:
        # A range that is too long for powers as it is ends where the result is nothing.
        x = clamp_below(p, x, plan.clamp, f, max(abs(lo), abs(hi)))
        how = powers(plan.clamp, max(hi, plan.clamp))
    if isinstance(how, sep.Powers):
        q = p.over(into or ring)
        return q.factored(x, sep.cheaper(q, how, x.size))
    if how is not None:
        return p.factored(x, how)
    s = plan.s
    w = p.trunc(p.mul_public(x, ring.encode_floats(LOG2E, s)), f)
    w = p.add_public(w, ring.constant(-plan.base << s))
    bits = p.to_arith(p.decompose(w, s + plan.int_bits)[s:])
    u = w
    for b in range(plan.int_bits):
        u = p.sub(u, p.shl(bits[b], s + b))
    mantissa = evaluate(p, centred(p, u, 0.0, 1.0, s), chebyshev_fit(_exp2, 0.0, 1.0, _fitted(s)), s)
    scale = power_of_two(p, bits, _binary_weights(plan.int_bits))
    by = s - f - plan.base
    return p.mul_trunc(mantissa, scale, by) if by > 0 else p.shl(p.mul(mantissa, scale), -by)


def clamp_below(p: Protocol, x: Share, bound: float, f: int, magnitude: float) -> Share:
    """Return max(x, bound) for |x| ≤ magnitude."""
    bits = whole_bits(magnitude + abs(bound) + 1) + f + 1
    over = p.add_public(x, p.ring.encode_floats(-bound, f))
    keep = p.invert(p.sign(over, bits))
    return p.add_public(p.select(keep, over), p.ring.encode_floats(bound, f))
