"""Functions that separate over two operands: sums of sines and cosines, and powers (core/factors.py).

cos(α+β) = cos α·cos β − sin α·sin β, so a trigonometric sum of a masked number needs no comparison, and masks are
periodic like it. A smooth function on an interval shorter than the period is such a sum, to any precision worth
having, with a handful of terms: the coefficients are a least-squares fit ("Fourier extension", Huybrechs, "On the
Fourier extension of nonperiodic functions", SIAM J. Numer. Anal. 2010), computed alike on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.kernels import Mask, Scales, expanded
from tacit.kernels.waves import powers_left, powers_right, turn, waves_left, waves_right

Array = npt.NDArray[Any]
Real = Callable[[Decimal], Decimal]
DIGITS = Context(prec=40)
MOST = 40
"""More harmonics than this are never worth it."""
GRID = 320
"""Nodes of a fit, at least four for each coefficient."""
LARGEST = 100.0
"""Coefficients that cancel more than this cost more bits than harmonics."""


# -- sums of sines and cosines ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Series:
    """constant + Σ_j cosines[j]·cos(2π·n_j·x/period) + sines[j]·sin(2π·n_j·x/period), n_j = 1 + j·step.

    Without cosines if the function is odd.
    """

    constant: float
    cosines: tuple[float, ...]
    sines: tuple[float, ...]
    step: int = 1

    @property
    def weight(self) -> float:
        """The most that both weights of all harmonics, A cos β + B sin β and B cos β − A sin β, add up to in size."""
        pairs = zip(self.cosines or (0.0,) * self.harmonics, self.sines, strict=True)
        return math.fsum(math.sqrt(2 * (a * a + b * b)) for a, b in pairs)

    @property
    def harmonics(self) -> int:
        """Number of harmonics."""
        return len(self.sines)


@cache
def fit(fn: Real, lo: float, hi: float, period: float, tolerance: float, odd: bool = False) -> Series:
    """Return the shortest series within `tolerance` of fn on [lo, hi]; ValueError if 40 harmonics are too few.

    An odd fn is fitted on [−hi, hi] by sines of odd multiples alone: they suit functions that flatten out.
    """
    # Chebyshev's nodes and the harmonics come from `turn`, the function from decimals, inner products from sums in one
    # order: every machine finds the same coefficients.
    middle, half = (0.0, hi) if odd else ((lo + hi) / 2, (hi - lo) / 2)
    left = _values(fn, middle, half, odd)
    solver = _Orthogonal([])
    if not odd:
        angle = _angles(_nodes(False) * half + middle, 1 / period)
        left = solver.add(np.ones(len(angle)), left)
    for j in range(MOST):
        if odd:
            left = solver.take(*_odd_column(hi / period, j), left)
        else:
            for column in turn(angle * np.uint64(1 + j)):
                left = solver.add(column, left)
        if float(np.max(np.abs(left))) < tolerance:
            c = solver.coefficients()
            # With more harmonics the coefficients get smaller slowly.
            if math.fsum(map(abs, c)) >= LARGEST:
                break
            return Series(0.0, (), tuple(c), 2) if odd else Series(c[0], tuple(c[1::2]), tuple(c[2::2]))
    raise ValueError(f"no series of {MOST} harmonics, with small coefficients, is within {tolerance:.3g}")


def _nodes(odd: bool) -> Array:
    at, _ = turn((2 * np.arange(GRID, dtype=np.uint64) + np.uint64(1)) * np.uint64((1 << 62) // GRID))
    return np.append(at[at > 0], 1.0) if odd else np.append(at, [1.0, -1.0])


def _angles(x: Array, turns: float) -> Array:
    return (x * turns * 2.0**52).astype(np.int64).view(np.uint64) << np.uint64(12)


@lru_cache(maxsize=64)
def _values(fn: Real, middle: float, half: float, odd: bool) -> Array:
    """Return the function at the nodes, which fits of other periods need again."""
    with localcontext(DIGITS):
        return np.array([float(fn(Decimal(float(v)))) for v in _nodes(odd) * half + middle])


@cache
def _odd_column(turns: float, j: int) -> tuple[Array, list[float]]:
    """Return a column of sines, made orthogonal: the same for all intervals that are as large a part of the period."""
    _, sin = turn(_angles(_nodes(True), turns) * np.uint64(1 + 2 * j))
    return _orthogonal([_odd_column(turns, i)[0] for i in range(j)], sin)


def _orthogonal(basis: list[Array], v: Array) -> tuple[Array, list[float]]:
    """Return the part of a column that is orthogonal to those before it, and what it takes of each and of that."""
    row = np.zeros(len(basis))
    if basis:
        known = np.array(basis)
        for _ in range(2):  # what rounding leaves of the others goes with the second turn
            d = _added(known * v)
            row += d
            v = v - _added(known.T * d)
    size = math.sqrt(_inner(v, v))
    return v / size, [*row.tolist(), size]


@dataclass(slots=True)
class _Orthogonal:
    """Least squares by Gram and Schmidt's method, each column made orthogonal to those before it twice.

    Twice is enough: Giraud, Langou and Rozložník, "The loss of orthogonality in the Gram-Schmidt orthogonalization
    process", Computers & Mathematics with Applications 2005.
    """

    basis: list[Array]
    rows: list[list[float]] = field(default_factory=list)
    target: list[float] = field(default_factory=list)

    def add(self, column: Array, left: Array) -> Array:
        """Take one more column; return what is left of the target."""
        return self.take(*_orthogonal(self.basis, column), left)

    def take(self, v: Array, row: list[float], left: Array) -> Array:
        """Take one that is orthogonal already."""
        share = _inner(v, left)
        self.basis.append(v)
        self.rows.append(row)
        self.target.append(share)
        return left - share * v

    def coefficients(self) -> list[float]:
        """Return the coefficients of the columns, by back substitution."""
        out = [0.0] * len(self.basis)
        for i in reversed(range(len(out))):
            known = math.fsum(self.rows[j][i] * out[j] for j in range(i + 1, len(out)))
            out[i] = (self.target[i] - known) / self.rows[i][i]
        return out


def _inner(a: Array, b: Array) -> float:
    return float(_added(a * b))


def _added(a: Array) -> Array:
    """Return the sum along the last axis, one after the other: `sum` has another order on other machines."""
    return np.asarray(np.add.accumulate(a, axis=-1)[..., -1])


@dataclass(frozen=True, slots=True)
class Waves:
    """A series of x·rate/2^64 turns, with `s` and `t` fractional bits of its halves."""

    series: Series
    rate: int
    s: int
    t: int
    width: int
    shift: int
    weights: tuple[Array, Array] = field(init=False, compare=False, repr=False)
    """The coefficients of cosines and of sines, scaled."""

    def __post_init__(self) -> None:
        a, b = (np.array(c) * 2.0**self.t for c in (self.series.cosines, self.series.sines))
        object.__setattr__(self, "weights", (a, b))

    @property
    def terms(self) -> int:
        """Two products for each harmonic."""
        return 2 * self.series.harmonics

    def mask(self, known: Array, masks: Mask, stride: int) -> Array:
        """Return the rows cos n_j α and sin n_j α."""
        scale, series = 2.0**self.s, self.series
        return waves_left(known, masks, stride, self.rate, series.step, scale, series.harmonics, self.width)

    def weigh(self, known: Array, rows: Mask, stride: int) -> Array:
        """Weigh by A cos n_j β + B sin n_j β and B cos n_j β − A sin n_j β."""
        return waves_right(known, rows, stride, self.rate, self.series.step, *self.weights, self.width)


def exponent(v: float) -> int:
    """Return the least e ≥ 0 with v < 2^e, without the C library's logarithm."""
    return max(0, math.frexp(v)[1])


def whole_bits(v: float) -> int:
    """Return the least e ≥ 1 with v ≤ 2^e: parties choose sizes by it, so it must be the same on every machine."""
    fraction, e = math.frexp(v)
    return max(1, e - (fraction == 0.5))


def waves(series: Series, rate: int, precision: int, out: int, most: float) -> Waves:
    """Plan a series with `out` fractional bits, |result| ≤ most; rounding its halves adds at most 2^−precision."""
    s = precision + exponent(series.weight)
    # The sizes of a sine and a cosine of one angle add up to √2 at most.
    t = precision + exponent(1.4142135623730951 * series.harmonics)
    return Waves(series, rate, s, t, s + t + exponent(most) + 2, s + t - out)


# -- powers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Powers:
    """2^(step·t + base) for t = (x·rate + offset) / 2^64 · digits in [1, digits).

    The whole digits h of the operands are added by a table, their fractions by a product: with x = a + b,
    h_a + h_b ≡ h or h − 1, and what is missing is in the product of the fractions' powers.
    """

    rate: int
    offset: int
    digits: int
    step: int
    base: int
    s: int
    t: int
    width: int
    shift: int

    @property
    def terms(self) -> int:
        """One for each value of the digit that two parties know."""
        return self.digits

    def mask(self, known: Array, masks: Mask, stride: int) -> Array:
        """Return, for every digit j of the other operand, 2^(step·(h_a + j mod digits + fraction) + base)."""
        # No digit that matters has a larger power than this.
        scales = Scales(self.digits.bit_length() - 1, self.step, self.base + self.s, 61 - self.step)
        return powers_left(known, masks, stride, self.rate, self.offset, self.step, scales, self.width)

    def weigh(self, known: Array, rows: Mask, stride: int) -> Array:
        """Weigh by [h_b = j]·2^(step·fraction)."""
        bits = self.digits.bit_length() - 1
        return powers_right(known, rows, stride, self.rate, self.step, 2.0**self.t, bits, self.width)


@dataclass(frozen=True, slots=True)
class WidePowers(Powers):
    """`Powers` of numbers and sums of two words: t = (x·rate mod 2^128, its high word, + offset) / 2^64 · digits.

    A power has a float64's 53 bits, wherever its point is: it is rounded to a word, and shifted where it is larger.
    """

    def _places(self, known: Array) -> Array:
        """Return the high words of x·rate: a unit of them is 2^−64 of all digits."""
        return np.ascontiguousarray(PAIR.mul(known, PAIR.constant(self.rate, known.shape))["hi"])

    def mask(self, known: Array, masks: Mask, stride: int) -> Array:
        """Return, for every digit j of the other operand, 2^(step·(h_a + j mod digits + fraction) + base)."""
        n, ring, most = known.size, Ring(self.width), 61 - self.step
        powers = np.array([h * self.step + self.base + self.s for h in range(self.digits)])
        held = np.minimum(powers, most)
        scales = Scales(self.digits.bit_length() - 1, self.step, self.base + self.s, most)
        more = [min(int(e), self.width) for e in powers - held]
        at = self._places(known) + np.uint64(self.offset)
        found = _words(at, self.step, scales).reshape(self.digits, n)
        digit = (at >> np.uint64(64 - (self.digits.bit_length() - 1))).astype(np.int64)
        larger = ring.encode_ints(np.array([1 << e for e in more], object))
        held_masks = _rows(masks, self.digits, n, stride, ring)
        rows = []
        for j in range(self.digits):
            value = ring.from_words(found[j])
            if any(more):
                value = ring.mul(value, larger[(digit + j) % self.digits])
            rows.append(ring.pack(ring.sub(value, held_masks[j])))
        return np.concatenate(rows)

    def weigh(self, known: Array, rows: Mask, stride: int) -> Array:
        """Weigh by [h_b = j]·2^(step·fraction)."""
        n, ring, bits = known.size, Ring(self.width), self.digits.bit_length() - 1
        at = self._places(known)
        # Of one digit alone: what is left of it is the fraction.
        fraction = at << np.uint64(bits) >> np.uint64(1)
        power = _words(fraction, self.step, Scales(1, 0, self.t, self.t))[:n]
        chosen = _rows(rows, self.digits, n, stride, ring)[
            (at >> np.uint64(64 - bits)).astype(np.int64), np.arange(n)
        ]
        return ring.mul(chosen, ring.from_words(power))


PAIR = Ring(128)


def _words(at: Array, step: int, scales: Scales) -> Array:
    """Return whole numbers 2^(step·fraction)·scales[(h + j) mod digits] for each j, in turn."""
    n = at.size
    packed = powers_left(at, np.zeros(8 * n << scales.bits, np.uint8), 64 * n, 1, 0, step, scales, 64)
    return packed.view(np.uint64)


def _rows(packed: Mask, terms: int, n: int, stride: int, ring: Ring) -> Array:
    """Return rows of a ring's elements, each from a whole byte on or all without a gap."""
    packed = expanded(packed)
    if stride == n * ring.width:
        return ring.unpack(packed[: ring.wire_bytes(terms * n)], (terms, n))
    size = stride // 8
    return np.stack(
        [ring.unpack(packed[r * size : r * size + ring.wire_bytes(n)], (n,)) for r in range(terms)]
    )
