"""Trigonometric, error and other elementary functions keep their stated bounds and have no cliff."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from accuracy import Extended, compute, on_grid, points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.array import functions as fn
from tacit.array.runtime import Format
from tacit.errors import RangeError
from tacit.gadgets import smooth

FORMATS = [Format(64, 16), Format(64, 20), Format(128, 40)]
IDS = ["64-16", "64-20", "128-40"]
QUIET = settings(deadline=None, max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
Spans = list[tuple[float, float]]


def in_double(function: Callable[[float], float]) -> Callable[..., Any]:
    # float64's relative error is far below a unit of results that are at most 2.
    return lambda x: np.vectorize(function, otypes=[float])(x.astype(float)).astype(Extended)


def flat(units: float) -> Callable[..., Any]:
    return lambda x, want, unit: units * unit


def angle(x: Any, want: Any, unit: float) -> Any:
    return 4 * unit + np.abs(x) * 2.0**-52


def power(x: Any, want: Any, unit: float) -> Any:
    # Two units of the exponential, two of its argument, and its relative error.
    return 2 * unit + np.abs(want) * (2 * unit + 2.0**-20)


# Function, exact value, bound on the error given argument, result and unit, ranges.
SWEEPS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], Spans]] = {
    "sin": (fn.sin, np.sin, angle, [(-8, 8), (-1.5, 1.5), (0, 1000), (-1e6, 1e6), (3, 3.25)]),
    "cos": (fn.cos, np.cos, angle, [(-8, 8), (0, 1), (0, 1000), (-1e6, 1e6)]),
    "tan": (
        fn.tan,
        np.tan,
        lambda x, t, u: 4 * u * (1 + t**2),
        [(-1.5, 1.5), (2, 4), (0, 0.5), (-4.5, -1.75)],
    ),
    "atan": (fn.atan, np.arctan, flat(4), [(-8, 8), (-1, 1), (0, 1e5), (-1e6, 1e6), (2, 3), (-0.5, 0)]),
    "erf": (fn.erf, in_double(math.erf), flat(6), [(-8, 8), (0, 1), (-1e5, 1e5), (5, 7), (-3, -2)]),
    "erfc": (fn.erfc, in_double(math.erfc), flat(6), [(-8, 8), (0, 1), (-1e5, 1e5), (5, 7), (-3, -2)]),
    "cbrt": (fn.cbrt, np.cbrt, lambda x, r, u: u * (4 + 2 * np.abs(r)), [(2**-10, 8), (1, 1e6), (-100, -1)]),
    "exp2": (fn.exp2, np.exp2, power, [(-8, 8), (-100, 3), (0, 20)]),
    "expm1": (fn.expm1, np.expm1, power, [(-8, 8), (-1, 1)]),
    "log1p": (fn.log1p, np.log1p, flat(3), [(-0.75, 8), (0, 1e6)]),
    "log2": (fn.log2, np.log2, flat(4), [(2**-10, 8), (1, 1e6)]),
    "log10": (fn.log10, np.log10, flat(3), [(2**-10, 8), (1, 1e6)]),
}


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("name", SWEEPS)
def test_error_stays_below_the_bound(name: str, fmt: Format) -> None:
    function, exact, bound, spans = SWEEPS[name]
    unit = 2.0**-fmt.frac_bits
    for lo, hi in spans:
        x = points(lo, hi, fmt.frac_bits)
        try:
            got = compute(function, [x], [(lo, hi)], fmt)
        except RangeError:
            assert fmt.width == 64, "width 128 holds every one of these"
            continue
        want = exact(x.astype(Extended))
        assert np.max(np.abs(got.values - want) / bound(x, want, unit)) <= 1, f"on [{lo}, {hi}]"


@pytest.mark.parametrize("name", ["sin", "cos", "atan", "erf"])
def test_the_longer_way_keeps_the_bound_where_functions_do_not_separate(name: str) -> None:
    function, exact, bound, spans = SWEEPS[name]
    lo, hi = spans[0]
    x = points(lo, hi, 16, count=40)
    got = compute(function, [x], [(lo, hi)], FORMATS[0], "semi2k", dealer="zoe")
    want = exact(x.astype(Extended))
    assert np.max(np.abs(got.values - want) / bound(x, want, 2.0**-16)) <= 1


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_angle_of_points(fmt: Format) -> None:
    f, rng = fmt.frac_bits, np.random.default_rng(3)
    for (yl, yh), (xl, xh) in (
        ((-8, 8), (1, 8)),
        ((0.5, 2), (-8, 8)),
        ((-9, -1), (-3, 0)),
        ((0, 1), (-1000, -1)),
    ):
        y, x = on_grid(rng.uniform(yl, yh, 300), f), on_grid(rng.uniform(xl, xh, 300), f)
        y[:4], x[:4] = [yl, yl, yh, yh], [xl, xh, xl, xh]
        got = compute(fn.atan2, [y, x], [(yl, yh), (xl, xh)], fmt)
        assert np.max(np.abs(got.values - np.arctan2(y.astype(Extended), x))) <= 4 * 2.0**-f
    with pytest.raises(RangeError, match="both be zero"):
        compute(fn.atan2, [y, x], [(-1, 1), (-1000, 1)], fmt)


@QUIET
@given(st.floats(-50, 50), st.floats(0.01, 60), st.sampled_from(["sin", "cos", "tan", "atan", "erf", "erfc"]))
def test_any_range(centre: float, width: float, name: str) -> None:
    function, exact, bound, _ = SWEEPS[name]
    fmt = Format(64, 20)
    lo, hi = on_grid(centre - width / 2, 20).item(), on_grid(centre + width / 2, 20).item()
    x = points(lo, hi, 20, count=60)
    try:
        got = compute(function, [x], [(lo, hi)], fmt, "clear")
    except RangeError:
        assert name == "tan", "only a range with a pole is refused"
        return
    want = exact(x.astype(Extended))
    assert np.max(np.abs(got.values - want) / bound(x, want, 2.0**-20)) <= 1


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("name", ["erf", "erfc", "atan"])
def test_far_values_saturate(name: str, fmt: Format) -> None:
    function, exact, bound, _ = SWEEPS[name]
    top = 2.0**20
    x = np.array([-top, top, -100.0, 100.0, 5.75, 6.0, 6.25, -6.0, -6.25])
    got = compute(function, [x], [(-top, top)], fmt)
    assert np.max(np.abs(got.values - exact(x.astype(Extended)))) <= bound(x, x, 2.0**-fmt.frac_bits)


@pytest.mark.parametrize(
    ("name", "span", "word"),
    [
        ("sin", (0, 2.0**21), "bound its argument"),
        ("cos", (-math.inf, 0), "bound its argument"),
        ("tan", (0, 2), "pole"),
        ("cbrt", (-1, 1), "may be zero"),
        ("log2", (0, 1), "zero or negative"),
    ],
)
def test_what_has_no_bound_is_refused(name: str, span: tuple[float, float], word: str) -> None:
    with pytest.raises(RangeError, match=word):
        compute(SWEEPS[name][0], [np.zeros(1)], [span], Format(64, 16))


def test_ranges_of_one_reach_are_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So are those that no series of the length suits: each step of a loop that is written out has its own range."""
    asked: list[float] = []

    def none(fn: Any, lo: float, hi: float, *how: Any) -> Any:
        asked.append(hi)
        raise ValueError("none is short enough")

    monkeypatch.setattr(smooth, "fit", none)
    odd = smooth.Odd(smooth.ODD["tanh"].fn, 1.0, lambda f: math.inf)
    assert [smooth._odd(odd, 64, 16, 20 + i / 1000) for i in range(1, 200)] == [()] * 199
    assert asked == [20.25] * len(smooth.GAPS)
