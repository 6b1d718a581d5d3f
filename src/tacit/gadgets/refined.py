"""Quotients and roots over rings of two words: a series of one word, and one step of Newton's iteration.

A series in Z/2^64 (`separable`) gives 1/a or 1/√a of the mantissa a to some 2^−24, in a few rounds and without the bits
of the number; a step squares that error, which is below what float64 constants leave anywhere (`approximate.FLOOR`).
The mantissa x·c / 2^m, of less than 62 bits, is exact in a word, too (docs/decisions/0078).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tacit.algebra.ring import Ring
from tacit.core.protocol import Protocol
from tacit.core.share import Share
from tacit.gadgets import separable as sep

WORD = Ring(64)
PRECISION = {"inverse": 25, "rsqrt": 26}
"""Bits to which 1/a and 1/√a are fitted, within 5/2·2^−bits: the step leaves the square of that, or 3/2 of it."""
SPARE = 2
"""Fractional bits beyond these."""
LEAST = PRECISION["inverse"] + SPARE
"""Where quotients have no more fractional bits than these, the step is not worth it."""
LEFT = (2.5 + 1.5 * 2.0**-SPARE) ** 2 * 4.0 ** -PRECISION["inverse"]
"""What the step leaves of an error in 1/a: a series within 5/2·2^−bits, its truncation and its constant, squared."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What is known of x before the step."""

    a: Share
    """x·2^(step·k) / 2^m with s fractional bits."""
    r: Share
    """1/a or 1/√a with s fractional bits, off by some 2^−24."""
    half: Share
    """Half of that, exactly."""
    powers: list[Share]
    """2^(e·k) for the exponents e that were asked for, or 2^(−e·(top − k)) if e < 0, k being at most `top`."""
    top: int


def plan(
    p: Protocol, fn: str, m: int, least: int, s: int, n: int, ends: sep.Units = (0, 0)
) -> sep.Mantissa | None:
    """Plan "inverse" or "rsqrt" of n values in [2^least, 2^m), with s fractional bits; None where it has no room."""
    if p.ring.width <= 64 or s <= PRECISION[fn] + SPARE or not p.offers("factored"):
        return None
    found = sep.word_plan(p, fn, m, least, n, PRECISION[fn], PRECISION[fn] + SPARE, ends)
    # What is multiplied is below 2^span, and a product has a sign and two spare bits.
    return found if found is not None and 2 * s + found.octaves.span + 3 <= p.ring.width else None


def guess(p: Protocol, x: Share, fn: str, how: sep.Mantissa, s: int, exponents: tuple[int, ...]) -> Guess:
    """Return the mantissa, its series, and the powers of two by which results are scaled."""
    where, word = how.octaves, p.over(WORD)
    x, top = x.map(WORD.low), where.groups - 1
    one = word.constant(np.broadcast_to(WORD.constant(1), x.shape).copy())
    scale, found, c = None, [one for _ in exponents], one
    if where.at:
        tables = [[1 << where.step * k for k in range(top + 1)]]
        tables += [[1 << (e * k if e >= 0 else -e * (top - k)) for k in range(top + 1)] for e in exponents]
        tests, widths = where.tests(word, x), [64] * len(tables)
        c, *found, scale = sep.choose(word, tests, [*tables, how.scales()], [*widths, how.period])
    scaled = how.scaled(word, x, scale)
    with p.together():
        r = p.factored(scaled, how.series)
        word = p.over(WORD)  # which may leave calls, too
        a = word.mul_into(x, c, max(0, where.m - s), p.ring)
        powers = [word.mul_into(each, one, 0, p.ring) for each in found]
    out = PRECISION[fn] + SPARE
    r = p.add_public(r, p.ring.encode_floats(how.series.series.constant, out))
    a = p.shl(a, s - where.m) if s > where.m else a
    return Guess(a, p.shl(r, s - out), p.shl(r, s - out - 1), powers, top)


def inverse(p: Protocol, at: Guess, s: int) -> Share:
    """Return 1/a = r·(2 − a·r)."""
    gap = p.add_public(p.neg(p.mul_trunc(at.a, at.r, s)), p.ring.constant(2 << s))
    return p.mul_trunc(at.r, gap, s)


def inverse_root(p: Protocol, at: Guess, s: int) -> Share:
    """Return 1/√a = 3/2·r − (a·r)·r²/2."""
    with p.together():
        ar, square = p.mul_trunc(at.a, at.r, s), p.mul_trunc(at.r, at.r, s)
    return p.sub(p.mul_public(at.half, p.ring.constant(3)), p.mul_trunc(ar, square, s + 1))
