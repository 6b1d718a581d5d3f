"""Whole-number quotients and remainders are exact, at every edge, or refused before the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from accuracy import compute, points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tacit.array import functions as fn
from tacit.array.interpret import Trace
from tacit.array.runtime import Format
from tacit.errors import NotRealised, RangeError

FORMATS = [Format(64, 16), Format(128, 40)]
IDS = ["64-16", "128-40"]
QUIET = settings(deadline=None, max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))


def toward_zero(x: Any, y: Any) -> Any:
    return np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))


KINDS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "floor_divide": (fn.floor_divide, np.floor_divide),
    "remainder": (fn.remainder, np.remainder),
    "quotient": (lambda x, y: fn.divmod_trunc(x, y)[0], toward_zero),
    "fmod": (fn.fmod, np.fmod),
}


def edges(top: int, n: int, seed: int = 0) -> Any:
    """Return the ends, multiples of n and their neighbours, and random values within [−top, top]."""
    rng = np.random.default_rng(seed)
    times = [-3, -2, -1, 0, 1, 2, 3, top // abs(n), -(top // abs(n)), *rng.integers(0, top // abs(n) + 1, 20)]
    found = [
        top,
        -top,
        top - 1,
        *(int(t) * n + d for t in times for d in (-1, 0, 1)),
        *rng.integers(-top, top, 40),
    ]
    x = np.unique(np.array(found, np.int64))
    return x[np.abs(x) <= top]


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("kind", KINDS)
def test_by_public_whole_numbers(kind: str, fmt: Format) -> None:
    function, exact = KINDS[kind]
    for top, divisors in (
        (100, (1, -1, 2, 3, -7, 101)),
        (10**9, (3, 1024, -1000, 10**9)),
        (2**44, (3, 12345, 10**12)),
        (2**52, (2**20, -(10**9))),
    ):
        for n in divisors:
            x = edges(top, n)
            got = compute(lambda v, n=n: function(v, n), [x], [(-top, top)], fmt).values
            assert np.array_equal(got.astype(np.int64), exact(x, n)), f"by {n} up to {top}"
    many = np.array([1, 2, -3, 4, -5])
    x = np.random.default_rng(1).integers(-1000, 1000, (7, 5))
    got = compute(lambda v: function(v, many), [x], [(-1000, 1000)], fmt).values
    assert np.array_equal(got.astype(np.int64), exact(x, many))


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("kind", KINDS)
def test_by_secret_whole_numbers(kind: str, fmt: Format) -> None:
    function, exact = KINDS[kind]
    rng = np.random.default_rng(2)
    spans = [((0, 100), (1, 10)), ((-1000, 1000), (-9, -1)), ((-(10**6), 10**6), (1, 1000))]
    spans += [((0, 10**9), (10**5, 10**6))] if fmt.width == 64 else [((-(2**40), 2**40), (1, 2**30))]
    for (xl, xh), (yl, yh) in spans:
        y = np.concatenate([[yl, yh, yl, yh], rng.integers(yl, yh + 1, 90)])
        x = np.concatenate([[xl, xh, xh, xl], rng.integers(xl, xh + 1, 90)])
        # Multiples of the divisor and their neighbours.
        x[34:] = np.clip(y[34:] * (x[34:] // y[34:]) + rng.integers(-1, 2, 60), xl, xh)
        got = compute(function, [x, y], [(xl, xh), (yl, yh)], fmt).values
        assert np.array_equal(got.astype(np.int64), exact(x, y)), f"{xl, xh} by {yl, yh}"


@pytest.mark.parametrize(("frac_bits", "bits"), [(8, 39), (16, 31)])
@pytest.mark.parametrize("kind", KINDS)
def test_quotients_with_the_fewest_bits_are_exact(kind: str, frac_bits: int, bits: int) -> None:
    """Each division is then off by nearly what `COARSE` allows, in a ring that has no bit to spare."""
    function, exact = KINDS[kind]
    rng, top = np.random.default_rng([2, bits]), 2**bits - 2**22
    y = np.concatenate([rng.integers(1, 8, 60), np.full(20, 1)])
    x = np.concatenate([[top, top - 1, 0], rng.integers(0, top + 1, 77)])
    x[20:60] = np.clip(y[20:60] * (x[20:60] // y[20:60]) + rng.integers(-1, 2, 40), 0, top)
    got = compute(function, [x, y], [(0, top), (1, 7)], Format(64, frac_bits)).values
    assert np.array_equal(got.astype(np.int64), exact(x, y))


@QUIET
@given(st.integers(1, 2**30), st.integers(1, 2**20), st.booleans(), st.data())
def test_any_range(top: int, least: int, secret: bool, data: st.DataObject) -> None:
    x = np.array(data.draw(st.lists(st.integers(-top, top), min_size=1, max_size=20)))
    y = np.array(data.draw(st.lists(st.integers(least, 2 * least), min_size=len(x), max_size=len(x))))
    for function, exact in KINDS.values():
        if secret:
            got = compute(function, [x, y], [(-top, top), (least, 2 * least)], Format(128, 24), "clear")
        else:
            got = compute(lambda v, f=function: f(v, y), [x], [(-top, top)], Format(64, 16), "clear")
        assert np.array_equal(got.values.astype(np.int64), exact(x, y))


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_fixed_point_by_public_values(fmt: Format) -> None:
    x = points(-1000, 1000, fmt.frac_bits)
    for n in (2.0, 0.5, -3.25, 7.0):
        for function, exact in (
            (fn.floor_divide, np.floor_divide),
            (fn.remainder, np.remainder),
            (fn.fmod, np.fmod),
        ):
            got = compute(lambda v, n=n, f=function: f(v, n), [x], [(-1000, 1000)], fmt).values
            assert np.array_equal(got.astype(float), exact(x, n))


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_rounding(fmt: Format) -> None:
    x = np.unique(np.concatenate([points(-100, 100, fmt.frac_bits), np.arange(-10, 10) + 0.5]))
    for function, exact in (
        (fn.ceil, np.ceil),
        (fn.trunc, np.trunc),
        (fn.round, np.round),
        (fn.sign, np.sign),
    ):
        assert np.array_equal(compute(function, [x], [(-100, 100)], fmt).values.astype(float), exact(x))
    k = np.arange(-3, 4)
    for function in (fn.ceil, fn.trunc, fn.round):
        assert np.array_equal(
            compute(lambda v, f=function: f(v) + 0, [k], [(-3, 3)], fmt).values.astype(int), k
        )


def test_what_is_not_exact_is_refused() -> None:
    x, y = np.arange(3), np.arange(3)
    fmt = Format(64, 16)
    with pytest.raises(RangeError, match="may be zero"):
        compute(fn.floor_divide, [x, y], [(0, 5), (0, 5)], fmt)
    with pytest.raises(RangeError, match="by zero"):
        compute(lambda v: fn.remainder(v, 0), [x], [(0, 5)], fmt)
    with pytest.raises(RangeError, match="exact only up to"):
        compute(lambda v: fn.floor_divide(v, 10), [x], [(0, 2**60)], fmt)
    with pytest.raises(RangeError, match="may overflow"):
        compute(fn.floor_divide, [x, y + 1], [(0, 10**11), (1, 5)], fmt)
    with pytest.raises(NotRealised, match="2\\^-16"):
        compute(lambda v: fn.remainder(v, 0.3), [x + 0.5], [(0, 5)], fmt)


@pytest.mark.parametrize("divisor", [np.uint64(2**64 - 1), np.uint64(2**63), np.int64(-(2**63))])
def test_divisors_of_64_bits_are_refused(divisor: Any) -> None:
    trace = Trace()
    x = trace.input("x", "dora", (3,), "int", 0, 100)
    for f in (fn.remainder, fn.floor_divide):
        with pytest.raises(RangeError, match="no more than 63 bits"):
            f(x, divisor)
