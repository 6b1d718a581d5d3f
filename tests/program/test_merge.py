"""One comparison for all that compare the same operands: the same values, fewer signs, never a dearer Program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from metering import assert_as_predicted
from on_shares import OWNERS, run_on_shares
from program_gen import programs

from tacit import testing
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.late import BLOCKS
from tacit.array.loop import infer
from tacit.array.merge import merge, optimise
from tacit.array.passes import localise, prune
from tacit.array.program import Program, parse
from tacit.array.ranges import fit
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime
from tacit.core.blocks import LEAST
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.errors import DataError, RangeError, ScaleError
from tacit.study import run_clear

FMT = Format(64, 16)
# Every order of two values, equal ones of either sign and next neighbours among them.
X = np.array([0.0, 0.0, 1.5, -1.5, 2.0, -2.0, 2.0**-16, -(2.0**-16), 3.75, -4.0, 4.0, 4.0])
Y = np.array([0.0, 1.0, 1.5, -1.5, -3.0, 0.25, 0.0, 0.0, 3.5, -4.0, -4.0, 4.0])
Body = Callable[[Any, Any], list[Any]]


def recorded(body: Body, kind: str = "fixed") -> Program:
    """Record a function of two arrays that no party knows."""
    trace, made = Trace(), []
    for i, owner in enumerate(("alice", "bob")):
        known = trace.input(f"v{i}", owner, X.shape, kind, -4, 4)
        made.append(known + trace.input(f"z{i}", "carol", X.shape, kind, 0, 0))
    for i, a in enumerate(body(*made)):
        reveal(a, why="test", name=f"r{i}")
    return trace.program()


def data(kind: str = "fixed") -> dict[str, dict[str, Any]]:
    x, y = (X, Y) if kind == "fixed" else (np.round(X), np.round(Y))
    values = {"v0": x, "v1": y, "z0": 0 * x, "z1": 0 * y}
    values = {k: v.astype(np.int64) if kind == "int" else v for k, v in values.items()}
    return {"alice": {"v0": values["v0"]}, "bob": {"v1": values["v1"]}, "carol": values}


def run(program: Program, fmt: Format, protocol: str, kind: str = "fixed") -> list[Any]:
    found = run_on_shares(program, data(kind), protocol, fmt, 4)
    return [found[f"r{i}"] for i in range(len(found))]


def signs(program: Program, fmt: Format = FMT) -> Counter[str]:
    """Return how many elements are compared, by functionality."""
    cost = predict(program, "rep3", fmt, OWNERS, OWNERS)
    return Counter({k: cost.elements[k] for k in ("sign", "is_zero") if cost.elements[k]})


# name: (function, in NumPy, elements whose sign is found, over the number of elements)
SHARED: dict[str, tuple[Body, Body, int]] = {
    "maximum and less": (
        lambda x, y: [fn.maximum(x, y), fn.less(x, y), fn.where(fn.less(x, y), x, 0)],
        lambda x, y: [np.maximum(x, y), x < y, np.where(x < y, x, 0)],
        1,
    ),
    "the other way round": (
        lambda x, y: [fn.maximum(x, y), fn.less(y, x), fn.greater_equal(y, x)],
        lambda x, y: [np.maximum(x, y), y < x, y >= x],
        1,
    ),
    "both ways": (
        lambda x, y: [fn.less(x, y), fn.less(y, x), fn.minimum(y, x)],
        lambda x, y: [x < y, y < x, np.minimum(x, y)],
        2,
    ),
    "greatest and least": (
        lambda x, y: [fn.maximum(x, y), fn.minimum(y, x)],
        lambda x, y: [np.maximum(x, y), np.minimum(x, y)],
        1,
    ),
    "which is the greatest": (
        lambda x, y: [fn.equal(x, fn.maximum(x, y)), fn.equal(fn.maximum(y, x), y)],
        lambda x, y: [x >= y, y >= x],
        2,
    ),
    "which is the least": (
        lambda x, y: [fn.equal(x, fn.minimum(x, y)), fn.not_equal(y, fn.minimum(x, y))],
        lambda x, y: [x <= y, y > x],
        2,
    ),
    "with constants": (
        lambda x, y: [fn.maximum(x, 0.0), fn.greater(x, np.zeros(X.shape)), fn.maximum(0.0, x)],
        lambda x, y: [np.maximum(x, 0), x > 0, np.maximum(x, 0)],
        1,
    ),
    "size and sign": (
        lambda x, y: [abs(x), fn.less(x, 0.0), fn.sign(x)],
        lambda x, y: [np.abs(x), x < 0, np.sign(x)],
        2,
    ),
    "clip": (
        lambda x, y: [fn.clip(x, -1.5, 1.5), (x > -1.5) & (x < 1.5)],
        lambda x, y: [np.clip(x, -1.5, 1.5), (x > -1.5) & (x < 1.5)],
        2,
    ),
    "clipped from above first": (
        lambda x, y: [fn.maximum(fn.minimum(x, 1.5), -1.5), (x > -1.5) & (x < 1.5)],
        lambda x, y: [np.clip(x, -1.5, 1.5), (x > -1.5) & (x < 1.5)],
        2,
    ),
}


@pytest.mark.parametrize("name", SHARED)
def test_compared_once(name: str) -> None:
    body, clear, sides = SHARED[name]
    before = prune(recorded(body))
    after = merge(before)
    assert signs(before)["sign"] + signs(before)["is_zero"] > sides * X.size
    assert signs(after) == {"sign": sides * X.size}
    want = clear(X, Y)
    for got in (
        run(after, FMT, "rep3"),
        run(after, Format(128, 40), "rep3"),
        run(after, FMT, "semi2k"),
        list(run_clear(after, FMT, data()).values()),
    ):
        for g, w in zip(got, want, strict=True):
            assert np.array_equal(g, w), "a comparison is exact"


@pytest.mark.parametrize("n", [0, 3, 64, 200, BLOCKS * LEAST + 1])
def test_the_predicted_cost_is_the_metered_cost(n: int) -> None:
    trace = Trace()
    x, y = (trace.input("x", o, (n,), "fixed", -4, 4) for o in OWNERS[:2])
    less, greater, most, gap = trace.bind(
        "compare", [x, y], {"want": ["less", "greater", "greatest", "distance"]}
    )
    c = trace.bind("weigh", [less, ~greater], {"weights": np.array([0.5, 0.5])})[0]
    reveal(c * most + gap, why="test", name="r")
    program = trace.program()

    def body(p: Any) -> Any:
        value = np.zeros(n) if p.party.name in OWNERS[:2] else None
        Runtime(p, FMT, OWNERS).run(program, {} if value is None else {"x": value})
        return p.party.mesh.meter.snapshot()

    meters = testing.run("rep3", FMT.width, body)
    cost = predict(program, "rep3", FMT, OWNERS, OWNERS)
    assert_as_predicted(meters, cost)


def test_whole_numbers() -> None:
    def body(x: Any, y: Any) -> list[Any]:
        return [fn.maximum(x, y), fn.equal(y, fn.maximum(x, y)), fn.sign(x), abs(x)]

    after = merge(recorded(body, "int"))
    x, y = np.round(X), np.round(Y)
    assert signs(after) == {"sign": 3 * X.size}
    for g, w in zip(
        run(after, FMT, "rep3", "int"), [np.maximum(x, y), y >= x, np.sign(x), np.abs(x)], strict=True
    ):
        assert np.array_equal(g, w)


def test_ranges_stay_what_they_were() -> None:
    def body(x: Any, y: Any) -> list[Any]:
        z = y * 0.25
        return [fn.maximum(x, z), fn.minimum(x, z), x < z, abs(x)]

    program = recorded(body)
    spans = []
    for p in (program, merge(program)):
        avals = infer(p)
        spans.append([avals[e.ins[0]] for e in p.eqns if e.op == "reveal"])
    assert spans[0] == spans[1]


def test_limits_that_a_format_may_not_tell_apart_are_compared_apart() -> None:
    near = 1.0 + 2.0**-9

    def body(x: Any, y: Any) -> list[Any]:
        return [fn.clip(x, 1.0, near), x < near]

    assert signs(merge(recorded(body))) == {"sign": 3 * X.size}
    coarse = Format(64, 4)
    got = run_clear(
        merge(recorded(body)), coarse, {"alice": {"v0": X}, "bob": {"v1": Y}, "carol": data()["carol"]}
    )
    assert np.array_equal(got["r1"], np.round(X * 16) / 16 < 1.0)


def test_rounded_operands_are_not_the_same() -> None:
    """Products of the same numbers may differ in the last place: they stay two variables."""
    after = merge(recorded(lambda x, y: [fn.maximum(x * y, 0.5), fn.less(x * y, 0.5)]))
    assert signs(after) == {"sign": 2 * X.size}


def test_what_is_added_up_twice_is_the_same_and_found_in_no_time() -> None:
    def doubled(x: Any) -> Any:
        for _ in range(50):
            x = (x + x) - x
        return x

    after = merge(recorded(lambda x, y: [fn.maximum(doubled(x), y), doubled(x) < y, y < doubled(y)]))
    assert Counter(e.op for e in after.eqns if e.op in ("lt", "maximum", "compare")) == {
        "lt": 1,
        "compare": 1,
    }


def test_in_loops() -> None:
    def step(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        c = fn.maximum(carry[0] + row[0], 0.5)
        up = fn.less(carry[0] + row[0], 0.5)
        low = fn.equal(c, fn.minimum(c, 2.0))
        return [fn.minimum(c, 2.0)], [up, low]

    def body(x: Any, y: Any) -> list[Any]:
        rows = X.reshape(X.size, 1)
        (last,), (up, low) = repeat(step, [], [y[:1]], [(-8, 8)], [rows])
        return [last, up, low]

    before = recorded(body)
    after = merge(before)
    c, ups, lows = Y[0], [], []
    for v in X:
        ups.append([c + v < 0.5])
        c = max(c + v, 0.5)
        lows.append([c <= 2])
        c = min(c, 2.0)
    for g, w in zip(run(after, FMT, "rep3"), [[c], ups, lows], strict=True):
        assert np.array_equal(g, w)
    assert sum(signs(before).values()) == 5 * X.size > sum(signs(after).values())


def test_what_an_owner_compares_alone_stays_as_it_is() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (4,), "fixed", -1, 1)
    reveal(fn.where(x < 0, fn.maximum(x, 0), 1.0), why="test", name="r")
    program = prune(trace.program())
    assert merge(program).text() == program.text()


def test_comparisons_pass_to_owners_of_rows() -> None:
    """A second pass over a merged Program leaves every owner its own rows."""
    trace = Trace()
    rows = fn.concat([trace.input(f"x{o}", o, (3,), "fixed", -1, 1) for o in OWNERS])
    zero = fn.broadcast_to(trace.const(0.0), (9,))
    less, greatest = trace.bind("compare", [rows, zero], {"want": ["less", "greatest"]})
    weighed = trace.bind("weigh", [less, ~less], {"weights": np.array([0.5, -1.0])})[0]
    reveal((weighed + greatest).sum(), why="test", name="r")
    program = optimise(trace.program())
    assert predict(program, "rep3", FMT, OWNERS, OWNERS).total_bytes < 200
    values = {f"x{o}": np.array([-0.5, 0.0, 0.25 * i]) for i, o in enumerate(OWNERS)}
    got = run_clear(program, FMT, {o: {f"x{o}": values[f"x{o}"]} for o in OWNERS})["r"]
    x = np.concatenate(list(values.values()))
    assert got == np.sum(np.where(x < 0, 0.5, -1.0) + np.maximum(x, 0))


def test_weights() -> None:
    weights = np.array([0.3, -2.5, 1.0])
    known = np.arange(X.size) % 2 == 0

    def body(x: Any, y: Any) -> list[Any]:
        bits = [x < y, y < x, x.context.const(known)]
        whole = x.context.bind("weigh", bits[:2], {"weights": np.array([3, -1])})[0]
        return [x.context.bind("weigh", bits, {"weights": weights})[0], whole]

    program = parse(recorded(body).text())
    want = 0.3 * (X < Y) - 2.5 * (Y < X) + known
    for fmt, protocol in ((FMT, "rep3"), (FMT, "semi2k"), (Format(128, 40), "rep3")):
        got, whole = run(program, fmt, protocol)
        assert np.abs(got - want).max() <= 2.0 ** -(fmt.frac_bits + 1)
        assert np.array_equal(whole, 3 * (X < Y) - 1 * (Y < X))
    avals = infer(program, fmt=FMT)
    (out,) = [avals[e.outs[0]] for e in program.eqns if e.op == "weigh" and len(e.ins) == 3]
    assert (out.lo, out.hi) == pytest.approx((-2.5, 1.3), abs=2.0**-16)


@pytest.mark.parametrize(
    "text",
    [
        'compare %0 %1 {"want": ["greater", "less"]}',
        'compare %0 %1 {"want": ["less", "less"]}',
        'compare %0 %1 {"want": []}',
        'compare %0 %1 {"want": ["more"]}',
        'compare %0 {"want": ["less"]}',
        'weigh %2 {"weights": {"dtype": "<f8", "shape": [2], "values": [1.0, 2.0]}}',
        'weigh %2 {"weights": {"dtype": "|b1", "shape": [1], "values": [true]}}',
    ],
)
def test_malformed(text: str) -> None:
    head = (
        'tacit-program 1\ninput %0 alice x {"kind": "fixed", "shape": [2], "lo": -1, "hi": 1}\n'
        'input %1 bob y {"kind": "fixed", "shape": [2], "lo": -1, "hi": 1}\n%2 = lt %0 %1\n'
    )
    with pytest.raises((DataError, ScaleError)):
        infer(parse(f"{head}%3 = {text}\nreturn\n"))


# Compared at two other shapes, bytes may round up differently: up to a word for each message.
SLACK = 64


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=programs(most=8))
def test_random_programs_keep_their_values_and_grow_no_dearer(program: Program) -> None:
    rng = np.random.default_rng(1)
    before = prune(program)
    after = merge(before)
    assert merge(after).text() == after.text()
    try:
        fmt = fit(before)
    except RangeError:
        return
    assert fit(after) == fmt
    n = program.inputs[0].aval.shape
    arrays = {
        "alice": {"x": rng.integers(-2, 3, n) * 1.5},
        "bob": {"k": rng.integers(-5, 10, n)},
        "carol": {"b": rng.integers(0, 2, n).astype(bool)},
    }
    was, now = (run_clear(parse(p.text()), fmt, arrays) for p in (before, after))
    assert was.keys() == now.keys()
    for k in was:
        assert np.array_equal(was[k], now[k])
    for network in (LOOPBACK, PRESETS["wan"]):
        old, new = (cost(p, fmt, network) for p in (before, after))
        assert new[0] <= old[0]
        assert new[1] <= old[1] + SLACK


def cost(program: Program, fmt: Format, network: Network) -> tuple[int, int]:
    found = predict(localise(program), "rep3", fmt, OWNERS, OWNERS, network=network)
    return found.rounds, found.total_bytes
