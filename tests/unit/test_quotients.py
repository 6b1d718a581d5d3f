"""Quotients stay below their bound where it is hardest, whichever way they go, and the bound is near (0082)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tacit.algebra.ring import Ring
from tacit.array import bounds, integers
from tacit.array.ops import table
from tacit.array.program import Aval
from tacit.array.rounding import leaving
from tacit.array.runtime import Format
from tacit.errors import RangeError
from tacit.gadgets import approximate as ap
from tacit.gadgets import refined
from tacit.gadgets import separable as sep
from tacit.testing import gather, run, scatter

SEED = 82
# Divisors, in units of 2^-f: with tests of one and of many octaves, without tests on three and on two, of few bits.
DIVISORS = {"ninth": (1.0, 9.0), "three octaves": (1.0, 7.9), "two": (1.0, 3.9), "wide": (2.0**-7, 1000.0)}
INTERVALS = DIVISORS | {"octave": (1.0, 2.0), "narrow": (1.95, 2.05)}


def divisors(low: int, high: int, rng: Any, n: int) -> list[int]:
    """Return divisors uniform in the logarithm, and near both ends of every interval to which they are brought."""
    drawn = [round(math.exp(v)) for v in rng.uniform(math.log(low), math.log(high), n)]
    for e in range(low.bit_length() - 1, high.bit_length()):
        drawn += [d for i in range(4) for d in ((1 << e) + i, (2 << e) - 1 - i)] * 3
        drawn += [round((2 << e) * (1 - u)) for u in rng.uniform(0, 0.08, 25)]
    return [min(max(y, low), high) for y in drawn]


def excess(
    k: int, f: int, q: int, name: str, inverse: bool = False, n: int = 200, known: bool = False
) -> float:
    """Return the largest error over its bound, in exact arithmetic, of quotients up to the limit and small ones."""
    ring, rng = Ring(k), np.random.default_rng([SEED, k, f, q])
    low, high = (math.ceil(v * 2**f) if i == 0 else int(v * 2**f) for i, v in enumerate(INTERVALS[name]))
    q = (2**f // low).bit_length() if inverse else q
    m, least, ends = high.bit_length(), low.bit_length() - 1, (low, high) if known else (0, 0)
    if q + m > k - 2:
        pytest.skip("x would pass the ring")
    ys = divisors(low, high, rng, n)
    # |x/y| ≤ 2^q − 2, and what is computed is below 2^q − 1.
    top = Fraction((1 << q) - 2) / (1 + 2 * Fraction(ap.divide_error(k, f, m, q)[1]))
    sizes = [1 - u if i % 3 else 2.0**-q * 4 * u for i, u in enumerate(rng.uniform(0, 1e-2, len(ys)))]
    xs = [1 << f if inverse else int(top * y * Fraction(u)) for y, u in zip(ys, sizes, strict=True)]
    units = [ring.encode_ints(np.array(v, object)) for v in (xs, ys)]

    def body(p: Any) -> Any:
        y = scatter(p, units[1])
        if inverse:
            return ap.reciprocal(p, y, f, m, q, least, None, ends)
        return ap.divide(p, scatter(p, units[0]), y, f, m, q, least, None, ends)

    found = ring.to_ints(gather(run("rep3", k, body), "rep3", ring))
    absolute, relative = map(Fraction, ap.divide_error(k, f, m, q))
    worst = Fraction(0)
    for x, y, got in zip(xs, ys, found, strict=True):
        want = Fraction(x << f, y)
        worst = max(worst, abs(int(got) - want) / (absolute * (1 << f) + relative * want))
    return float(worst)


@pytest.fixture
def longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the way by bits, a polynomial and Newton's steps, as protocols without F_factored do."""
    monkeypatch.setattr(sep, "offered", lambda p: False)
    monkeypatch.setattr(refined, "plan", lambda *a: None)


@pytest.mark.parametrize("name", DIVISORS)
@pytest.mark.parametrize("f", [8, 16, 20, 24])
def test_quotients_by_series(f: int, name: str) -> None:
    # From the shortest mantissa to more room than is wanted.
    found = {q: excess(64, f, q, name) for q in (48 - f, 43 - f, 39 - f, 34 - f, 6) if q + 10 + f < 60}
    assert max(found.values()) <= 1, found
    assert max(found.values()) > 0.4, f"the bound is not near: {found}"
    assert excess(64, f, 0, name, inverse=True) <= 1


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("f", [8, 16, 20, 24])
def test_quotients_whose_divisors_have_known_ends(f: int, name: str) -> None:
    found = {q: excess(64, f, q, name, known=True) for q in (48 - f, 39 - f, 34 - f, 6) if q + 10 + f < 60}
    assert max(found.values()) <= 1, found
    assert excess(64, f, 0, name, inverse=True, known=True) <= 1
    if f == 24:
        assert excess(128, f, 4, name, n=50, known=True) <= 1


@pytest.mark.parametrize(("k", "f"), [(64, 8), (64, 16), (64, 24), (128, 24), (128, 44)])
def test_quotients_by_newton(longer: None, k: int, f: int) -> None:
    found = {
        q: excess(k, f, q, "ninth", n=50)
        for q in (k - 16 - f, k - 20 - f, k - 26 - f, 12, 3)
        if 0 < q < k - f - 8
    }
    assert max(found.values()) <= 1, found
    assert max(found.values()) > 0.4, found
    assert excess(k, f, 0, "wide", inverse=True, n=50) <= 1


@pytest.mark.parametrize("f", [24, 40, 44])
def test_quotients_over_two_words(f: int) -> None:
    found = {q: excess(128, f, q, "ninth", n=50) for q in (112 - f, 100 - f, 84 - f, 64 - f, 4)}
    assert max(found.values()) <= 1, found
    assert max(found.values()) > 0.4, found
    assert excess(128, f, 0, "wide", inverse=True, n=50) <= 1


@pytest.mark.parametrize("span", [1, 2, 3])
def test_every_series_is_within_its_share_of_the_bound(span: int) -> None:
    """Also where a divisor is a unit below the range that it is fitted to, which is at most 2^-8 of it."""
    v = np.concatenate(
        [np.linspace(2.0**-span * (1 - 2.0**-8), 1, 3001), 2.0**-span * (1 + np.logspace(-9, -2, 99))]
    )
    planned = 0
    for precision in range(10, 29):
        found = sep._on_mantissa(64, "inverse", (2.0**-span, 1.0), 40, precision, precision)
        if found is None:
            continue
        plan, factor, period = found
        turn = 2 * np.pi * v * factor / 2.0 ** (period - 40)
        a, b = plan.series.cosines, plan.series.sines
        sums = sum(a[j] * np.cos((j + 1) * turn) + b[j] * np.sin((j + 1) * turn) for j in range(len(a)))
        off = v * np.abs(plan.series.constant + sums - 1 / v)
        assert np.max(off + v * 2.0**-precision) <= 2.5 * 2.0**-precision
        left = plan.series.weight * 2.0 ** -(plan.s + 1)
        right = math.sqrt(2) * plan.series.harmonics * 2.0 ** -(plan.t + 1)
        assert left + right <= 2.0**-precision
        planned += 1
    assert planned >= 8


def test_reciprocals_of_mantissas_stay_below_eight_where_a_quotient_counts_on_it() -> None:
    """x·c loses a part of 2^-guard, times at most 2^3; on four octaves only where the guard is four bits."""
    # What does not come so close with few harmonics does not come closer.
    assert sep._on_mantissa(64, "inverse", (2.0**-4, 1.0), 40, ap.LEAST_MANTISSA, ap.LEAST_MANTISSA) is None
    for f in range(4, 25):
        for q in range(1, 60 - f):
            try:
                at = ap.divide_precision(64, f, 20, q)
            except RangeError:
                continue
            assert at.guard == 4 or at.fit >= ap.LEAST_MANTISSA
            assert f + q + at.guard + at.s <= 62


def test_a_bound_holds_for_the_range_that_a_run_goes_by() -> None:
    """A run chooses its bits by the range with the error in it, which may end beyond a power of two."""
    div = table()["div"]
    y = Aval((), "fixed", 1, 9)
    for fmt in (Format(64, 16), Format(64, 8), Format(64, 24), Format(128, 44)):
        for e in range(1, 30):
            for less in (0, 0.5, 1.0001, 2, 3, 2.0**e / 1500):
                hi = 2.0**e - less
                if hi <= 0:
                    continue
                x = Aval((), "fixed", 0, hi)
                try:
                    stated = bounds.div_error([x, y], [x], {}, fmt.width, fmt.frac_bits)
                except RangeError:
                    continue
                (held,) = leaving(div, [x, y], [x], {}, fmt)
                m, q = bounds.input_bits(y, fmt.frac_bits), bounds.value_bits(held)
                run_by = ap.divide_error(fmt.width, fmt.frac_bits, m, q)
                assert all(a <= b for a, b in zip(run_by, stated, strict=True))


def test_exact_quotients_may_rely_on_the_bound() -> None:
    for k in (64, 128):
        for f in range(8, k // 2 - 7):
            for q in range(1, k - f):
                try:
                    absolute, relative = ap.divide_error(k, f, 20, q)
                except RangeError:
                    continue
                assert absolute + relative * 2.0**q <= integers.SLACK + integers.COARSE * 2.0**q
