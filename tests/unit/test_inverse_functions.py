"""Inverse functions, powers and the gamma function keep their stated bounds; whole numbers keep their bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from accuracy import compute, on_grid, points

from tacit.array import functions as fn
from tacit.array.runtime import Format
from tacit.errors import NotRealised, RangeError, ScaleError

FORMATS = [Format(64, 16), Format(64, 20), Format(128, 40)]
IDS = ["64-16", "64-20", "128-40"]


def flat(units: float) -> Callable[..., Any]:
    return lambda x, u: units * u


# Function, exact value, bound on the error given argument and unit, ranges.
SWEEPS: dict[str, tuple[Any, Any, Callable[..., Any], list[tuple[float, float]]]] = {
    "asin": (fn.asin, np.arcsin, flat(6), [(-1, 1), (0, 0.5), (-1, -0.75), (0.5, 1)]),
    "acos": (fn.acos, np.arccos, flat(6), [(-1, 1), (0.25, 1)]),
    "asinh": (fn.asinh, np.arcsinh, flat(8), [(-8, 8), (0, 0.5), (0, 1e6), (-1e6, 1e6), (3, 4)]),
    "acosh": (fn.acosh, np.arccosh, flat(8), [(1, 8), (1, 1e6), (2, 3)]),
    "atanh": (fn.atanh, np.arctanh, flat(4), [(-0.99, 0.99), (0, 0.5), (-1 + 2**-14, 0)]),
    "erfinv": (
        fn.erfinv,
        sp.erfinv,
        flat(8),
        [(-0.9, 0.9), (-1 + 2**-14, 0.5), (0.5, 1 - 2**-10), (0, 0.01)],
    ),
    "sin_over": (
        fn.sin_over,
        lambda x: np.sinc(x / np.pi),
        flat(6),
        [(-1, 1), (-20, 20), (5, 1000), (-3, 0)],
    ),
    "lgamma": (fn.lgamma, sp.gammaln, lambda x, u: (24 + 4 * x) * u, [(0.0625, 8), (1, 100), (50, 2000)]),
    "digamma": (fn.digamma, sp.digamma, lambda x, u: 24 * u + 2.0**-18 / x, [(0.0625, 8), (1, 100)]),
}


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("name", SWEEPS)
def test_error_stays_below_the_bound(name: str, fmt: Format) -> None:
    function, exact, bound, spans = SWEEPS[name]
    unit = 2.0**-fmt.frac_bits
    for lo, hi in spans:
        x = points(*(on_grid(v, fmt.frac_bits).item() for v in (lo, hi)), fmt.frac_bits, count=80)
        got = compute(function, [x], [(min(lo, x.min()), max(hi, x.max()))], fmt).values
        # scipy has 53 bits.
        assert np.max(np.abs(got - exact(x)) / (bound(x, unit) + 2.0**-50)) <= 1, f"on [{lo}, {hi}]"


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_two_operands(fmt: Format) -> None:
    f, rng = fmt.frac_bits, np.random.default_rng(5)
    unit = 2.0**-f
    x, y = (on_grid(rng.uniform(1, 8, 200), f) for _ in range(2))
    z = on_grid(rng.uniform(-2, 2, 200), f)
    z[:3] = [-2, 2, 0]
    got = compute(fn.power, [x, z], [(1, 8), (-2, 2)], fmt).values
    want = x**z
    relative = 4 * (1 + np.abs(z) + np.abs(z * np.log(x))) * unit + 2.0**-20 * (f < 24)
    assert np.max(np.abs(got - want) / (2 * unit + want * relative)) <= 1
    got = compute(fn.hypot, [x, z], [(1, 8), (-2, 2)], fmt).values
    assert np.max(np.abs(got - np.hypot(x, z)) / (2 + 4 * np.hypot(x, z))) <= unit
    got = compute(fn.logaddexp, [x, y], [(1, 8), (1, 8)], fmt).values
    assert np.max(np.abs(got - np.logaddexp(x, y))) <= 6 * unit
    for exponent in (0.3, -1.7):
        got = compute(lambda v, e=exponent: fn.pow(v, e), [x], [(1, 8)], fmt).values
        assert np.max(np.abs(got - x**exponent) / (2 + 12 * x**exponent)) <= unit + 2.0**-22 * (f < 24)


def test_known_bases_and_whole_exponents() -> None:
    k, fmt = np.arange(0, 9), Format(64, 20)
    got = compute(lambda v: 2.0**v, [k], [(0, 8)], fmt).values
    assert np.max(np.abs(got - 2.0**k) / 2.0**k) <= 2.0**-14
    x = on_grid(np.linspace(0.5, 3, 20), 20)
    for e in (-3, -1, 0, 2, 4, 0.5, -0.5):
        got = compute(lambda v, e=e: v**e, [x], [(0.5, 3)], fmt).values
        assert np.max(np.abs(got - x**e) / np.maximum(x**e, 1)) <= 2.0**-12


@pytest.mark.parametrize("fmt", [Format(64, 16), Format(128, 40)], ids=["64-16", "128-40"])
def test_fixed_point_by_secret_values(fmt: Format) -> None:
    f, rng = fmt.frac_bits, np.random.default_rng(7)
    for (xl, xh), (yl, yh) in (((-100, 100), (0.5, 4)), ((0, 1000), (-3, -0.25)), ((-8, 8), (1, 1.5))):
        y = on_grid(rng.uniform(yl, yh, 120), f)
        x = on_grid(rng.uniform(xl, xh, 120), f)
        # Multiples of the divisor and their neighbours by one unit.
        x[:60] = np.clip(y[:60] * np.floor(x[:60] / y[:60]) + rng.integers(-1, 2, 60) * 2.0**-f, xl, xh)
        for function, exact in (
            (fn.floor_divide, np.floor_divide),
            (fn.remainder, np.remainder),
            (fn.fmod, np.fmod),
        ):
            got = compute(function, [x, y], [(xl, xh), (yl, yh)], fmt).values
            assert np.array_equal(got.astype(float), exact(x, y)), f"{xl, xh} by {yl, yh}"


def test_bits_of_whole_numbers() -> None:
    rng, fmt = np.random.default_rng(8), Format(64, 16)
    for lo, hi in ((0, 255), (-128, 127), (-1000, 3), (0, 2**40)):
        x, y = rng.integers(lo, hi + 1, 60), rng.integers(lo, hi + 1, 60)
        x[:4], y[:4] = [lo, hi, lo, hi], [lo, hi, hi, lo]
        for function, exact in (
            (fn.bitwise_and, np.bitwise_and),
            (fn.bitwise_or, np.bitwise_or),
            (fn.bitwise_xor, np.bitwise_xor),
        ):
            got = compute(function, [x, y], [(lo, hi)] * 2, fmt).values
            assert np.array_equal(got.astype(np.int64), exact(x, y))
            for mask in (0, 1, 6, 255, -2):  # what changes nothing records no equation by itself
                got = compute(
                    lambda v, f=function, m=mask: fn.add(f(v, m), v * 0), [x], [(lo, hi)], fmt
                ).values
                assert np.array_equal(got.astype(np.int64), exact(x, mask)), mask
        for by in (0, 1, 5):
            right = lambda v, s=by: fn.add(fn.bitwise_right_shift(v, s), v * 0)  # noqa: E731
            got = compute(right, [x], [(lo, hi)], fmt).values
            assert np.array_equal(got.astype(np.int64), x >> by)
            got = compute(lambda v, s=by: fn.bitwise_left_shift(v, s), [x], [(lo, hi)], fmt).values
            assert np.array_equal(got.astype(np.int64), x << by)
        assert np.array_equal(compute(fn.bitwise_invert, [x], [(lo, hi)], fmt).values.astype(np.int64), ~x)
        if lo == 0:
            got = compute(fn.population_count, [x], [(lo, hi)], fmt).values
            assert np.array_equal(got.astype(np.int64), np.bitwise_count(x))


@pytest.mark.parametrize(
    ("function", "kind", "span", "error", "word"),
    [
        (fn.asin, float, (-2, 1), RangeError, "clip"),
        (fn.acosh, float, (0, 2), RangeError, "acosh"),
        (fn.atanh, float, (-1, 0.5), RangeError, "strictly"),
        (fn.erfinv, float, (0, 1), RangeError, "strictly"),
        (fn.lgamma, float, (0, 2), RangeError, "strictly"),
        (lambda x: x**x, float, (0, 2), RangeError, "base positive"),
        (lambda x: fn.hypot(x, x), float, (-1, 2), RangeError, "both be zero"),
        (fn.population_count, int, (-1, 2), RangeError, "negative"),
        (lambda x: x << x, int, (0, 2), NotRealised, "secret number of places"),
        (lambda x: x << -1, int, (0, 2), RangeError, "62"),
        (lambda x: x >> 1, float, (0, 2), ScaleError, "whole numbers"),
        (lambda x: x << 60, int, (0, 100), RangeError, "may overflow"),
        (lambda x: x & 1.5, int, (0, 2), ScaleError, "whole numbers"),
        (lambda x: x & x, float, (0, 2), ScaleError, "truth values"),
    ],
)
def test_what_has_no_bound_is_refused(
    function: Any, kind: Any, span: tuple[float, float], error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        compute(function, [np.ones(2).astype(kind)], [span], Format(64, 16))
