"""Normalisation to one interval, and functions on ranges of every length: within their bounds, at their costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit.algebra.ring import Ring
from tacit.array.bounds import end_units
from tacit.array.program import Aval
from tacit.gadgets import approximate as ap
from tacit.gadgets import separable as sep
from tacit.testing import gather, run, scatter

Array = npt.NDArray[Any]
SEED, K, F = 14, 64, 16
RING = Ring(K)
RANGES = [
    (0.01, 1000), (1, 8), (1, 2.5), (1, 1.5), (0.0001, 60), (2**-16, 1e6), (100, 2.0**40), (3, 40), (1, 15), (5, 300),
    (2.0**20, 2.0**30), (2.0**40, 2.0**43), (0.001, 0.002), (0.001, 2.0**24), (2**-15, 2.0**26), (2**-16, 2.0**28),
]  # fmt: skip


def _values(lo: float, hi: float, n: int = 700, f: int = F) -> Array:
    """Return units of values in [lo, hi], uniform in the logarithm, the ends and powers of two among them."""
    low, high = max(math.ceil(lo * 2**f), 1), math.floor(hi * 2**f)
    rng = np.random.default_rng([SEED, low % 2**32])
    drawn = np.exp(rng.uniform(math.log(low), math.log(high), n)).astype(np.int64)
    powers = [1 << e for e in range(high.bit_length()) if low <= 1 << e <= high]
    edges = [low, high, *powers, *(v - 1 for v in powers if v > low)]
    return np.array([*edges, *np.clip(drawn, low, high)], np.int64)


def _bits(v: float) -> int:
    return max(0, math.floor(math.log2(v)) + 1)


def _calls(
    lo: float, hi: float, ends: tuple[int, int] = (0, 0)
) -> dict[str, tuple[Callable[[Any, Any, Ring], Any], Callable[[Array], Array], Any]]:
    """Return for each function how it is called, its exact value, and its bound."""
    m = math.floor(hi * 2**F).bit_length()
    least = math.ceil(lo * 2**F).bit_length() - 1
    root, inverse, whole = _bits(math.sqrt(hi)), _bits(1 / math.sqrt(lo)), _bits(1 / lo)
    calls: dict[str, Any] = {
        "sqrt": (
            lambda p, x, into: ap.sqrt(p, x, F, m, root, least, into, ends),
            np.sqrt,
            ap.root_error(K, F, m, root),
        ),
        "rsqrt": (
            lambda p, x, into: ap.rsqrt(p, x, F, m, inverse, least, into, ends),
            lambda v: 1 / np.sqrt(v),
            ap.root_error(K, F, m, inverse),
        ),
        "log": (lambda p, x, into: ap.log(p, x, F, m, least, into, ends), np.log, ap.log_error(K, F, m)),
    }
    if whole + m <= K - 2:
        bound = ap.divide_error(K, F, m, whole)
        one = RING.constant(1 << F)
        calls["reciprocal"] = (
            lambda p, x, into: ap.reciprocal(p, x, F, m, whole, least, into, ends),
            lambda v: 1 / v,
            bound,
        )
        calls["divide"] = (
            lambda p, x, into: ap.divide(
                p, p.constant(np.broadcast_to(one, x.shape).copy()), x, F, m, whole, least, into, ends
            ),
            lambda v: 1 / v,
            bound,
        )
    return calls


@pytest.mark.parametrize("known", ["bits", "ends"])
@pytest.mark.parametrize("spare", [None, 0, 9])
@pytest.mark.parametrize(
    ("lo", "hi"), [*RANGES, (1, 2), (0.97, 2.03), (2, 5), (1, 10), (0.9, 1.1), (7, 9), (1, 1.001)]
)
def test_functions_keep_their_bounds_on_any_range(
    lo: float, hi: float, spare: int | None, known: str
) -> None:
    """Made with all bits, or with those that results have, a unit and their sign, and some to spare."""
    units = _values(lo, hi)
    calls = _calls(lo, hi, (int(units.min()), int(units.max())) if known == "ends" else (0, 0))
    wants = [exact(units / 2.0**F) for _, exact, _ in calls.values()]
    most = [int(np.abs(v).max() * (1 + 2.0**-9) * 2**F + 4).bit_length() + 1 for v in wants]
    rings = [RING if spare is None else Ring(min(bits + spare, K)) for bits in most]

    def body(p: Any) -> list[Any]:
        made = zip(calls.values(), rings, strict=True)
        return [fn(p, scatter(p, RING.encode_ints(units)), into) for (fn, _, _), into in made]

    got = run("rep3", K, body)
    for i, (name, (_, _, (absolute, relative))) in enumerate(calls.items()):
        shares = {n: v[i].map(rings[i].low) for n, v in got.items()}
        found = rings[i].to_ints(gather(shares, "rep3", rings[i])).astype(float) / 2**F
        want = wants[i]
        over = np.abs(found - want) / (absolute + relative * np.abs(want))
        assert over.max() < 0.95, (
            f"{name} on [{lo}, {hi}]: {over.max():.3f} of its bound at {units[over.argmax()]}"
        )


@pytest.mark.parametrize("f", [20, 22, 24, 26, 28])
@pytest.mark.parametrize(
    ("lo", "hi"),
    [(2**-4, 1), (2**-8, 1), (2**-12, 1), (2**-12, 2**4), (2**-12, 260), (2**-19, 1), (0.5, 2), (1, 1e5)],
)
def test_roots_and_logarithms_are_series_at_every_scale(lo: float, hi: float, f: int) -> None:
    """The long way takes some forty rounds."""
    units = _values(lo, hi, 300, f)
    m, least = math.floor(hi * 2**f).bit_length(), math.ceil(lo * 2**f).bit_length() - 1
    out = _bits(1 / math.sqrt(lo))

    def body(p: Any) -> Any:
        x, made = scatter(p, RING.encode_ints(units)), []
        for call in (lambda: ap.rsqrt(p, x, f, m, out, least), lambda: ap.log(p, x, f, m, least)):
            before = p.party.mesh.meter.rounds
            made.append((call(), p.party.mesh.meter.rounds - before))
        return made

    got, values = run("rep3", K, body), units / 2.0**f
    wants = [(values**-0.5, ap.root_error(K, f, m, out)), (np.log(values), ap.log_error(K, f, m))]
    for i, (want, (absolute, relative)) in enumerate(wants):
        assert max(each[i][1] for each in got.values()) <= 16
        found = RING.to_ints(gather({n: each[i][0] for n, each in got.items()}, "rep3", RING)) / 2.0**f
        assert np.max(np.abs(found - want) / (absolute + relative * np.abs(want))) < 0.95


@pytest.mark.parametrize("hi", [1.0, 60.0, 2.0**30, 2.0**44])
def test_the_root_of_zero_is_zero(hi: float) -> None:
    units = np.append(_values(0.0, hi, 300), [0, 0])
    m, out = math.floor(hi * 2**F).bit_length(), _bits(math.sqrt(hi))
    got = run("rep3", K, lambda p: ap.sqrt(p, scatter(p, RING.encode_ints(units)), F, m, out))
    found = RING.to_ints(gather(got, "rep3", RING)).astype(float)
    absolute, relative = ap.root_error(K, F, m, out)
    want = np.sqrt(units * 2.0**F)
    assert np.all(np.abs(found - want) <= absolute * 2**F + relative * want)
    assert not np.any(found[-2:])


@pytest.mark.parametrize("m", [1, 2, 3, 7, 26, 40])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_tests_bring_every_value_to_the_interval(m: int, step: int) -> None:
    """However the tests err, a value between two places included."""
    for least in range(m):
        for exact in (False, True):
            for zero in (False, True) if least == 0 and not exact else (False,):
                where = sep.octaves(m, least, step, exact, zero)
                for x in {v for e in range(least, m) for v in (1 << e, (2 << e) - 1)}:
                    sure = sum(x < 1 << place for place in where.at)
                    # Bit 0 has no carry from below: that test does not err.
                    maybe = sure if exact else sum(x < (2 << place if place else 1) for place in where.at)
                    for k in range(sure, maybe + 1):
                        assert 1 << m <= x << step * k + where.span and x << step * k < 1 << m
                assert where.groups == len(where.at) + 1 - zero
                assert not zero or where.at[-1] == 0


@pytest.mark.parametrize("f", [16, 20, 24])
@pytest.mark.parametrize(("lo", "hi"), [(1, 2), (0.984, 2.016), (0.9, 1.1), (2, 5)])
def test_a_short_interval_takes_a_short_series(lo: float, hi: float, f: int) -> None:
    """Wherever it lies among powers of two: fewer bytes than its octaves, and no test."""
    units = _values(lo, hi, 100, f)
    m, least = int(units.max()).bit_length(), int(units.min()).bit_length() - 1
    calls: list[Callable[..., Any]] = [
        lambda p, x, ends: ap.reciprocal(p, x, f, m, 1, least, None, ends),
        lambda p, x, ends: ap.sqrt(p, x, f, m, 2, least, None, ends),
        lambda p, x, ends: ap.rsqrt(p, x, f, m, 1, least, None, ends),
        lambda p, x, ends: ap.log(p, x, f, m, least, None, ends),
    ]

    def cost(call: Callable[..., Any], ends: tuple[int, int]) -> tuple[int, int]:
        def body(p: Any) -> tuple[int, int]:
            x, before = scatter(p, RING.encode_ints(units)), p.party.mesh.meter.snapshot()
            call(p, x, ends)
            spent = p.party.mesh.meter.snapshot() - before
            return spent.rounds, sum(t.payload_sent for t in spent.peers.values())

        rounds, sent = zip(*run("rep3", K, body).values(), strict=True)
        return max(rounds), sum(sent)

    for call in calls:
        rounds, sent = cost(call, (int(units.min()), int(units.max())))
        before, all_sent = cost(call, (0, 0))
        assert rounds <= min(before, 4) and sent < 0.85 * all_sent


@pytest.mark.parametrize("f", [16, 20, 24, 28])
@pytest.mark.parametrize(
    ("lo", "hi"), [(4096, 4096), (4096, 4352), (4096, 8192), (4608, 5120), (1 << 18, 1 << 18)]
)
def test_a_unit_beyond_known_ends_is_within_the_bound(lo: int, hi: int, f: int) -> None:
    """Where a unit is most of an interval: `end_units` knows none of fewer units than 2^12."""
    units = np.array([lo - 1, lo, hi, hi + 1] * 25, np.int64)
    m, least, whole = (hi + 1).bit_length(), lo.bit_length() - 1, _bits(2.0**f / lo)
    root = _bits(math.sqrt(hi / 2**f))
    half = _bits(math.sqrt(2**f / lo))

    def body(p: Any) -> list[Any]:
        x, ends, one = (
            scatter(p, RING.encode_ints(units)),
            (lo, hi),
            p.constant(RING.constant(1 << f) + 0 * units.view(np.uint64)),
        )
        return [
            ap.reciprocal(p, x, f, m, whole, least, None, ends),
            ap.divide(p, one, x, f, m, whole, least, None, ends),
            ap.sqrt(p, x, f, m, root, least, None, ends),
            ap.rsqrt(p, x, f, m, half, least, None, ends),
            ap.log(p, x, f, m, least, None, ends),
        ]

    got, v = run("rep3", K, body), units / 2.0**f
    bounds = [ap.divide_error(K, f, m, whole)] * 2 + [
        ap.root_error(K, f, m, root),
        ap.root_error(K, f, m, half),
    ]
    wants = [1 / v, 1 / v, np.sqrt(v), v**-0.5, np.log(v)]
    for i, (want, (absolute, relative)) in enumerate(
        zip(wants, [*bounds, ap.log_error(K, f, m)], strict=True)
    ):
        found = RING.to_ints(gather({n: each[i] for n, each in got.items()}, "rep3", RING)) / 2.0**f
        assert np.max(np.abs(found - want) / (absolute + relative * np.abs(want))) < 1, i
    assert end_units(Aval((), "fixed", 4095 / 2**f, 1), f) == (0, 0)
    assert end_units(Aval((), "fixed", -1, -4096 / 2**f), f) == (4096, 1 << f)


def test_ends_are_taken_outward_to_four_bits() -> None:
    for lo, hi in [(1, 1), (5, 5), (17, 17), (1000, 1001), (1 << 40, (1 << 41) + 1), (255, 256)]:
        low, high = sep.outward(lo, hi)
        assert low <= lo and high >= hi and low < high
        for v in (low, high):
            assert v >> max(0, v.bit_length() - 4) << max(0, v.bit_length() - 4) == v
    assert sep.outward(0, 0) == (0, 0)


def test_short_ranges_need_no_normalisation() -> None:
    units = _values(1, 8, 5)

    def body(p: Any) -> int:
        before = p.party.mesh.meter.rounds
        ap.sqrt(p, scatter(p, RING.encode_ints(units)), F, 20, 2, 16)
        return int(p.party.mesh.meter.rounds - before)

    assert max(run("rep3", K, body).values()) == 3


def test_exponents_of_a_long_range_take_one_digit_more_than_they_fill() -> None:
    for lo, hi in ((-8.0, 8.0), (-20.0, 0.0), (0.0, 10.0), (-1.0, 1.0), (3.0, 3.1), (-11.0, -10.5)):
        plan = sep.exp_plan(K, F, lo, hi, 20)
        assert plan is not None
        first, last = (v * 1.4426950408889634 - plan.base for v in (lo, hi))
        assert plan.step <= first and last < plan.digits * plan.step
