"""Every function keeps its stated bound over its range; known wrong answers of others are right or refused here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from accuracy import Extended, compute, on_grid, points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tacit
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.constants import split
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Aval, Program
from tacit.array.ranges import fit
from tacit.array.runtime import Format, Runtime
from tacit.errors import RangeError, TacitError
from tacit.testing import run

FORMATS = [Format(64, 16), Format(64, 20), Format(128, 40)]
IDS = ["64-16", "64-20", "128-40"]
COMPUTE = ("alice", "bob", "carol")
QUIET = settings(deadline=None, max_examples=15, derandomize=True, suppress_health_check=list(HealthCheck))


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


# Function, exact value, units that operations before the last one add, ranges.
SWEEPS: dict[str, tuple[Callable[..., Any], Callable[..., Any], float, list[tuple[float, float]]]] = {
    "exp": (fn.exp, np.exp, 0, [(-10, 10), (0, 1), (-50, 0), (-3, 20), (-1e4, 2), (-20, -15), (30, 50)]),
    "log": (fn.log, np.log, 0, [(2**-10, 100), (0.5, 2), (1, 1e6), (100, 1e9), (2**-16, 1)]),
    "sqrt": (fn.sqrt, np.sqrt, 0, [(0, 100), (0, 1), (1, 1e6), (0, 1e9), (200, 201), (0, 0.01)]),
    "rsqrt": (fn.rsqrt, lambda x: 1 / np.sqrt(x), 0, [(2**-10, 100), (1, 1e6), (100, 1e9), (2**-16, 1)]),
    "reciprocal": (fn.reciprocal, lambda x: 1 / x, 0, [(2**-10, 100), (1, 1e6), (1, 1e9), (-8, -0.5)]),
    "sigmoid": (fn.sigmoid, _sigmoid, 0, [(-10, 10), (-1, 1), (-1e5, 1e5), (3, 4)]),
    "tanh": (fn.tanh, np.tanh, 0, [(-10, 10), (-1, 1), (-40, 40), (3, 6)]),
    "square": (fn.square, np.square, 0, [(-100, 100), (-1, 1)]),
    "third": (lambda x: x * (1 / 3), lambda x: x * Extended(1 / 3), 0, [(-1e6, 1e6), (-1, 1), (0, 1e9)]),
    "nano": (lambda x: x * 1e-9, lambda x: x * Extended(1e-9), 0, [(-1e9, 1e9), (0, 10)]),
    "over7": (lambda x: x / 7.0, lambda x: x / 7, 0, [(-1e6, 1e6), (-1, 1)]),
    "thousandth": (lambda x: x / 1e-3, lambda x: x / Extended(1e-3), 0, [(-1e3, 1e3)]),
}


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("name", SWEEPS)
def test_error_stays_below_the_bound(name: str, fmt: Format) -> None:
    function, exact, units, spans = SWEEPS[name]
    unit = 2.0**-fmt.frac_bits
    for lo, hi in spans:
        if 0 < lo < unit:
            continue
        x = points(lo, hi, fmt.frac_bits)
        try:
            got = compute(function, [x], [(lo, hi)], fmt)
        except RangeError:
            assert fmt.width == 64, "width 128 holds every one of these"
            continue
        with np.errstate(all="ignore"):
            want = exact(x.astype(Extended))
        assert got.excess(want, units * unit) <= 1, f"on [{lo}, {hi}]"


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "reciprocal", "sigmoid", "tanh"])
def test_the_longer_way_keeps_the_bound_where_functions_do_not_separate(name: str) -> None:
    function, exact, units, spans = SWEEPS[name]
    lo, hi = spans[0]
    x = points(lo, hi, 16, count=40)
    got = compute(function, [x], [(lo, hi)], FORMATS[0], "semi2k", dealer="zoe")
    assert got.excess(exact(x.astype(Extended)), units * 2.0**-16) <= 1


@pytest.mark.parametrize("fmt", [Format(64, 24), Format(64, 16), Format(128, 44)], ids=str)
def test_an_exponential_ends_where_nothing_is_left_of_it(fmt: Format) -> None:
    """A range too long for powers costs a clamp more than the shorter one, and no bits of it."""

    def cost(lo: float) -> Any:
        trace = Trace()
        x = trace.input("x", "alice", (30_000,), "fixed", lo, 0) + trace.input(
            "n", "bob", (30_000,), "fixed", 0, 0
        )
        reveal(fn.exp(x), why="test", name="y")
        return predict(trace.program(), "rep3", fmt, COMPUTE, COMPUTE)

    short, long = cost(-15), cost(-1000)
    assert long.rounds <= short.rounds + 12 and sum(long.links.values()) < 2.5 * sum(short.links.values())
    got = compute(fn.exp, [np.linspace(-1000, 0, 501)], [(-1000, 0)], fmt)
    assert got.excess(np.exp(np.linspace(-1000, 0, 501).astype(Extended)), 3 * 2.0**-fmt.frac_bits) <= 1


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_quotients_and_products(fmt: Format) -> None:
    f, rng = fmt.frac_bits, np.random.default_rng(5)
    for top, low, high in ((100, 0.5, 50), (1, 2**-8, 1), (1000, 1, 1e5), (1, -9, -1)):
        x, y = on_grid(rng.uniform(-top, top, 400), f), on_grid(rng.uniform(low, high, 400), f)
        x[:4], y[:4] = [top, -top, top, 0], [low, low, high, high]
        y = np.clip(y, low, high)
        got = compute(fn.divide, [x, y], [(-top, top), (low, high)], fmt)
        assert got.excess(x.astype(Extended) / y) <= 1
    x, y = on_grid(rng.uniform(-99, 99, 400), f), on_grid(rng.uniform(-9, 9, 400), f)
    assert compute(fn.multiply, [x, y], [(-99, 99), (-9, 9)], fmt).excess(x.astype(Extended) * y) <= 1
    a, b = on_grid(rng.uniform(-9, 9, (7, 60)), f), on_grid(rng.uniform(-2, 2, (60, 5)), f)
    want = a.astype(Extended) @ b.astype(Extended)
    assert compute(fn.matmul, [a, b], [(-9, 9), (-2, 2)], fmt).excess(want) <= 1
    assert compute(lambda v: fn.matmul(v, b), [a], [(-9, 9)], fmt).excess(want) <= 1
    c = rng.uniform(-2, 2, (60, 5))
    assert (
        compute(lambda v: fn.matmul(v, c), [a], [(-9, 9)], fmt).excess(
            a.astype(Extended) @ c.astype(Extended)
        )
        <= 1
    )


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_mean_and_variance(fmt: Format) -> None:
    x = on_grid(np.random.default_rng(6).uniform(0, 100, 20_000), fmt.frac_bits)
    exact, unit = x.astype(Extended), 2.0**-fmt.frac_bits
    assert compute(fn.mean, [x], [(0, 100)], fmt, "clear").excess(np.mean(exact)) <= 1
    # The centred values carry the mean's error, which the squares spread: twice |x|·unit at most, and it averages out.
    assert compute(fn.var, [x], [(0, 100)], fmt, "clear").excess(np.var(exact), 4 * unit) <= 1
    k = np.arange(1000)
    assert compute(fn.mean, [k], [(0, 999)], fmt).excess(Extended(499.5)) <= 1
    assert compute(lambda v: v * 0.37, [k], [(0, 999)], fmt).excess(k * Extended(0.37)) <= 1


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_exact_operations(fmt: Format) -> None:
    x = points(-1e6, 1e5, fmt.frac_bits)
    y = x[::-1].copy()
    span = [(-1e6, 1e5)] * 2
    cases: list[tuple[Any, Any]] = [
        (fn.maximum, np.maximum(x, y)),
        (fn.minimum, np.minimum(x, y)),
        (fn.add, x + y),
        (fn.subtract, x - y),
        (lambda a, b: fn.where(a < b, a, b), np.where(x < y, x, y)),
        (lambda a, b: abs(a), np.abs(x)),
        (lambda a, b: fn.floor(a), np.floor(x)),
        (lambda a, b: fn.astype(a, "int"), np.trunc(x)),
        (lambda a, b: fn.sign(a), np.sign(x)),
        (lambda a, b: a * 0.25 * 4.0 - a * 0.5, None),
    ]
    for function, want in cases:
        got = compute(function, [x, y], span, fmt)
        if want is not None:
            assert np.array_equal(got.values.astype(float), want)


@QUIET
@given(
    st.floats(-20, 20),
    st.floats(0.01, 30),
    st.sampled_from(["exp", "log", "sqrt", "sigmoid", "tanh", "reciprocal"]),
)
def test_any_range(centre: float, width: float, name: str) -> None:
    function, exact, units, _ = SWEEPS[name]
    fmt = Format(64, 20)
    lo, hi = on_grid(centre - width / 2, 20).item(), on_grid(centre + width / 2, 20).item()
    if name in ("log", "sqrt", "reciprocal"):
        lo, hi = max(lo, 2.0**-20), max(hi, 1.0)
    x = points(lo, hi, 20, count=60)
    try:
        got = compute(function, [x], [(lo, hi)], fmt, "clear")
    except RangeError:
        return
    assert got.excess(exact(x.astype(Extended)), units * 2.0**-20) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("name", SWEEPS)
def test_dense_sweep(name: str, fmt: Format) -> None:
    function, exact, units, spans = SWEEPS[name]
    for lo, hi in spans:
        for seed in range(5):
            x = points(lo, hi, fmt.frac_bits, count=5000, seed=seed)
            try:
                got = compute(function, [x], [(lo, hi)], fmt, seed=seed)
            except RangeError:
                continue
            with np.errstate(all="ignore"):
                assert got.excess(exact(x.astype(Extended)), units * 2.0**-fmt.frac_bits) <= 1, (
                    f"{lo} {hi} {seed}"
                )


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "rsqrt", "reciprocal", "square", "third"])
def test_no_cliff_at_the_end_of_the_largest_range(name: str, fmt: Format) -> None:
    """At the greatest bound that is accepted the answer is right; a little above it is refused."""
    function, exact, units, _ = SWEEPS[name]
    low = {"exp": 0.0, "sqrt": 0.0, "square": 0.0, "third": 0.0}.get(name, 1.0)
    good, bad = 2.0, 2.0**120
    x = np.zeros(1)

    def accepted(hi: float) -> bool:
        try:
            compute(function, [x + low], [(low, hi)], fmt, "clear")
        except TacitError:
            return False
        return True

    for _ in range(60):
        middle = (good * bad) ** 0.5
        good, bad = (middle, bad) if accepted(middle) else (good, middle)
    step = 2.0 ** (np.floor(np.log2(good)) - 45)
    top = (
        np.floor(good / step) * step
        if step > 2.0**-fmt.frac_bits
        else on_grid(good - 2.0**-fmt.frac_bits, fmt.frac_bits)
    )
    ends = np.array([top, top * 0.75, top / 2])
    ends = on_grid(ends, fmt.frac_bits) if top < 2.0**50 else ends
    got = compute(function, [ends], [(low, good)], fmt)
    with np.errstate(all="ignore"):
        assert got.excess(exact(ends.astype(Extended)), units * 2.0**-fmt.frac_bits) <= 1, f"up to {good}"


# -- what others get wrong ------------------------------------------------------------------------------------


def secret(value: float, bound: float, low: float | None = None) -> Callable[[Callable[[Any], Any]], float]:
    def go(function: Callable[[Any], Any]) -> float:
        trace = Trace()
        x = trace.input("x", "alice", (), "fixed", -bound if low is None else low, bound)
        zero = trace.input("zero", "bob", (), "fixed", 0, 0)
        reveal(function(x + zero), why="test", name="r")
        program = trace.program()
        fmt = fit(program)
        data = {"x": np.array(value), "zero": np.zeros(())}
        parties = ("alice", "bob", "carol")
        return float(
            run("rep3", fmt.width, lambda p: Runtime(p, fmt, parties).run(program, data))["bob"]["r"]
        )

    return go


@pytest.mark.parametrize(
    ("function", "value", "bound", "low", "want"),
    [
        (fn.exp, 4.0, 8.0, -8.0, 54.598150033144236),
        (fn.tanh, 5.0, 8.0, -8.0, 0.9999092042625951),
        (fn.square, 3e4, 3e4, -3e4, 9e8),
        (fn.reciprocal, 1e6, 1e6, 1.0, 1e-6),
        (fn.sqrt, 200.0, 1000.0, 0.0, 14.142135623730951),
        (fn.log, 1e6, 1e6, 1.0, 13.815510557964274),
        (lambda x: x * x * x, 3e4, 3e4, -3e4, 2.7e13),
    ],
    ids=["exp4", "tanh5", "3e4x3e4", "1/1e6", "sqrt200", "log1e6", "cube"],
)
def test_known_wrong_answers_are_right(
    function: Any, value: float, bound: float, low: float, want: float
) -> None:
    got = secret(value, bound, low)(function)
    assert abs(got - want) <= 3e-5 + 2e-6 * abs(want)


def test_variance_of_a_million_values() -> None:
    x = np.random.default_rng(8).uniform(0, 100, 1_000_000)
    trace = Trace()
    parts = [
        trace.input(f"x{i}", owner, (500_000,), "fixed", 0, 100) for i, owner in enumerate(("alice", "bob"))
    ]
    reveal(fn.var(fn.concat(parts)), why="test", name="v")
    reveal(fn.sum(fn.concat(parts)), why="test", name="s")
    program = trace.program()
    fmt = fit(program)
    data = {"x0": x[:500_000], "x1": x[500_000:]}
    out = run("rep3", fmt.width, lambda p: Runtime(p, fmt, ("alice", "bob", "carol")).run(program, data))[
        "carol"
    ]
    assert out["v"] == pytest.approx(np.var(x), rel=1e-6)
    assert abs(out["s"] - x.sum()) < 0.05, "inputs are rounded, not cut: the sum has no drift"


def test_whole_numbers_are_exact_or_refused() -> None:
    def product(a: int, b: int, third: int = 1) -> Program:
        trace = Trace()
        x, y = trace.input("x", "alice", (), "int", 0, a), trace.input("y", "bob", (), "int", 0, b)
        reveal(x * y * third, why="test", name="r")
        return trace.program()

    program = product(2**40, 2**20)
    data = {"x": np.array(2**40), "y": np.array(2**20)}
    fmt = fit(program)
    out = run("rep3", fmt.width, lambda p: Runtime(p, fmt, ("alice", "bob", "carol")).run(program, data))
    assert int(out["alice"]["r"]) == 2**60
    with pytest.raises(RangeError, match="may overflow"):
        fit(product(2**62, 2**62, 2**20))
    with pytest.raises(TacitError):
        Trace().const(np.array([2**63], dtype=np.uint64))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused_not_zero(bad: float) -> None:
    with pytest.raises(TacitError, match="NaN"):
        secret(bad, 8.0)(fn.exp)
    with pytest.raises(TacitError, match="NaN"):
        Trace().const(np.array([1.0, bad]))


def test_constants_keep_their_precision() -> None:
    wide = Aval((), "fixed", -1e9, 1e9)
    assert len(split(128, 40, wide, 1e-9).parts) == 1
    assert split(64, 16, wide, 1e-9).drop > 0, "the bits of x that a small constant hides go first"
    assert len(split(64, 16, wide, 0.3).parts) > 1, "a second part where one constant would be too coarse"
    assert split(64, 16, Aval((), "fixed", -10, 10), 0.3).units() < 1.1


@pytest.mark.parametrize(
    ("fmt", "bound", "size"),
    [(Format(64, 16), 2.0**28, -20), (Format(64, 20), 2.0**21, -14), (Format(128, 40), 2.0**42, -20)],
    ids=str,
)
def test_a_constant_of_few_bits_fits_beside_all_bits_of_the_secret(
    fmt: Format, bound: float, size: int
) -> None:
    """Whatever the bits of a small constant, 24 in a float32, the product is that of the largest secret."""
    trace = Trace()
    x = trace.input("x", "alice", (2,), "fixed", -bound, bound) + trace.input("y", "bob", (2,), "fixed", 0, 0)
    constants = [np.ldexp(1 - 2.0**-b, size) for b in range(1, 54)]
    for b, c in enumerate(constants):
        reveal(x * c, why="test", name=f"r{b}")
    program, ends = trace.program(), np.array([bound, -bound])
    fit(program, fmt.width, fmt.frac_bits)
    data = {"alice": {"x": ends}, "bob": {"y": np.zeros(2)}, "carol": {}}
    got = run("rep3", fmt.width, lambda p: Runtime(p, fmt, tuple(data)).run(program, data[p.party.name]))
    for b, c in enumerate(constants):
        units = split(fmt.width, fmt.frac_bits, Aval((), "fixed", -bound, bound), c).units()
        gap = np.max(np.abs(got["carol"][f"r{b}"] - ends * c))
        assert gap <= units * 2.0**-fmt.frac_bits + np.spacing(bound * c), f"{b + 1} bits"


# -- the array API ---------------------------------------------------------------------------------------------


def study(x: Any, y: Any, b: Any) -> Any:
    """Written against the standard alone; runs on NumPy's arrays and on ours."""
    xp = x.__array_namespace__()
    z = xp.where(b, x, y)
    centred = x - xp.mean(x, axis=0, keepdims=True)
    return [
        xp.add(x, y) * 2 - x / y,
        xp.sum(z, axis=1),
        xp.mean(z, axis=0),
        xp.var(x, axis=0, correction=1),
        xp.std(y),
        xp.max(x, axis=1),
        xp.min(y),
        xp.matmul(xp.permute_dims(centred, (1, 0)), centred) / (x.shape[0] - 1),
        xp.concat([x, y], axis=1),
        xp.stack([x, y], axis=1),
        xp.reshape(x, (2, -1)),
        xp.expand_dims(x, axis=1),
        xp.squeeze(xp.expand_dims(x, axis=0), axis=0),
        xp.broadcast_to(x[0, :], (2, 3)),
        xp.flip(x, axis=1),
        xp.take(x, np.array([2, 0]), axis=0),
        xp.abs(x) + xp.sqrt(y) + xp.exp(x) + xp.log(y) + xp.tanh(x),
        xp.sign(x) + xp.floor(y),
        xp.square(x) - xp.negative(y) + xp.positive(x),
        xp.maximum(x, y) + xp.minimum(x, y),
        xp.logical_and(x < y, b) | xp.logical_not(b),
        xp.any(x > 3, axis=0),
        xp.all(y > 0),
        xp.cumulative_sum(x, axis=0),
        xp.prod(y[:3, 0]),
        xp.astype(b, x.dtype) + x,
        x[1:, ::2],
        x.T,
        abs(-x) ** 2,
        xp.equal(b, b),
        xp.outer(x[0, :], y[0, :]),
    ]


def test_one_study_on_numpy_and_on_shares() -> None:
    rng = np.random.default_rng(9)
    x, y, b = rng.uniform(-4, 4, (4, 3)), rng.uniform(1, 9, (4, 3)), rng.random((4, 3)) < 0.5
    with tacit.simulate("rep3", owners=("owner",)) as session:
        zero = session.input(
            0.0, owner="bob", bound=(0, 0)
        )  # a second owner: nothing is computed in the clear
        no = session.input(False, owner="bob")
        args = [
            session.input(x, owner="alice", bound=4) + zero,
            session.input(y, owner="owner", bound=(1, 9)) + zero,
            session.input(b, owner="carol") ^ no,
        ]
        got = [np.asarray(tacit.reveal(v, why="test")) for v in study(*args)]
    for i, (g, w) in enumerate(zip(got, study(x, y, b), strict=True)):
        assert g.shape == np.shape(w), i
        assert np.allclose(g.astype(float), np.asarray(w, float), atol=2e-4, rtol=1e-5), i
