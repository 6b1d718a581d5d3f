"""Independent products share their rounds: the same equations and answers, the predicted cost is the metered cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from metering import assert_as_predicted
from program_gen import programs

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.passes import localise, once, prune
from tacit.array.program import Aval, Eqn, Program, parse
from tacit.array.ranges import fit
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.together import WAITING_ELEMENTS, Waiting, gather, shared_ahead
from tacit.core.cost import Cost
from tacit.errors import RangeError
from tacit.net import memory
from tacit.study import run_clear

COMPUTE = ("alice", "bob", "carol")
PARTIES = (*COMPUTE, "dave")
FMT = Format(64, 16)
FMT_RING = Ring(FMT.width)


def values() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(3)
    return {o: {"x": np.round(rng.uniform(-2, 2, (5, 4)), 3)} for o in PARTIES}


def training() -> Program:
    """Record a step of a model with two layers, a loop that has one more, and means of what four owners hold."""
    trace = Trace()
    x, w, v, d = (trace.input("x", o, (5, 4), "fixed", -2, 2) for o in PARTIES)
    hidden = x @ w.T + d @ v.T
    error = hidden * 0.25 - 0.125
    grads = [error.T @ x, error @ w, error * error, (error * 0.3).sum(axis=0)]
    steps = [w - grads[0] * 0.01, v - grads[1] * 0.02, grads[2] * 0.7]

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        a, b = carry
        halves = [a * consts[0] * row[0], b * consts[0] * row[0]]
        return [fn.minimum(fn.maximum(h, -4), 4) for h in halves], []

    carried, _ = repeat(turn, [v], steps[:2], [(-4, 4)] * 2, [[0.1, 0.2]])
    means = [fn.mean(each * other) for each, other in ((x, w), (w, v), (x, x), (x, x))]
    for i, a in enumerate([*steps, *carried, *means, grads[3]]):
        reveal(a, why="test", name=f"r{i}")
    return trace.program()


def run(program: Program, fmt: Format = FMT) -> tuple[dict[str, Any], dict[str, Any]]:
    def body(p: Any) -> Any:
        runtime = Runtime(p, fmt, PARTIES)
        return runtime.run(program, values()[p.party.name]), p.party.mesh.meter.snapshot()

    out = testing.run("rep3", fmt.width, body, clients=("dave",), seed=3)
    return out["alice"][0], {n: s for n, (_, s) in out.items()}


@pytest.mark.parametrize("fmt", [FMT, Format(128, 30)], ids=str)
def test_gathered_programs(fmt: Format) -> None:
    plain = once(localise(training()))
    made = gather(plain)
    assert Counter(e.outs for e in plain.eqns) == Counter(e.outs for e in made.eqns)
    assert infer(made) == infer(plain)
    want = run_clear(plain, fmt, values())
    assert all(np.array_equal(want[k], v) for k, v in run_clear(made, fmt, values()).items())
    rounds = []
    for program in (plain, prune(made)):
        got, meters = run(parse(program.text()), fmt)
        for name, value in want.items():
            assert np.allclose(got[name], value, atol=60 * 2.0**-fmt.frac_bits), name
        cost = predict(program, "rep3", fmt, COMPUTE, PARTIES)
        assert_as_predicted(meters, cost)
        rounds.append(cost.rounds)
    # Another order may take a round more or less.
    assert rounds[1] <= rounds[0] + (-8 if fmt.width == 64 else 1)
    assert gather(made).text() == made.text()


def test_what_may_wait_does_until_it_is_read() -> None:
    program = prune(gather(localise(training())))
    avals, waiting = infer(program), Waiting()
    held: set[int] = set()
    for eqn in program.eqns:
        ends, left = waiting.take(eqn, [avals[v] for v in eqn.ins], [avals[v] for v in eqn.outs])
        held = set() if ends else held
        assert held.isdisjoint(eqn.ins)
        held |= set(eqn.outs) if left else set()
    shared = [v for each in shared_ahead(program, avals) for v in each]
    assert len(shared) == len(set(shared)) > 0


def test_large_results_do_not_wait() -> None:
    trace = Trace()
    x, y = (trace.input("x", o, (WAITING_ELEMENTS + 1,), "fixed", -1, 1) for o in COMPUTE[:2])
    product = x * y
    program = prune(trace.program([product, x * product]))
    avals = infer(program)
    for eqn in program.eqns:
        ins, outs = ([avals[v] for v in vs] for vs in (eqn.ins, eqn.outs))
        assert Waiting().take(eqn, ins, outs) == (frozenset(), 0)


def test_a_loop_carries_products_that_its_body_ends_with() -> None:
    """And a block returns none that still waits: whoever runs it reads them at once."""
    trace = Trace()
    x, y = (trace.input("x", o, (5, 4), "fixed", -2, 2) for o in COMPUTE[:2])
    z = x + y

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        a, b = carry
        return [b * consts[0] * 0.125, a * row[0]], [a * b]

    ends, rows = repeat(turn, [z], [z, z * 0.25], [(-4, 4)] * 2, [[0.5, -0.75, 0.25]])
    program = prune(trace.program([*ends, *rows]))
    arrays = {o: values()[o]["x"] for o in COMPUTE[:2]}

    def body(p: Any) -> Any:
        given = [Value(i.aval, arrays[i.owner] if p.party.name == i.owner else None) for i in program.inputs]
        runtime = Runtime(p, FMT, COMPUTE)
        return [runtime.p.reveal(v.share, COMPUTE) for v in runtime.block(program, given)]

    found = [FMT_RING.to_floats(v, FMT.frac_bits) for v in testing.run("rep3", 64, body)["bob"]]
    a = b = z = arrays["alice"] + arrays["bob"]
    b, piles = z * 0.25, []
    for c in (0.5, -0.75, 0.25):
        piles.append(a * b)
        a, b = b * z * 0.125, a * c
    assert all(np.allclose(v, w, atol=1e-3) for v, w in zip(found, (a, b, piles), strict=True))


def test_what_goes_on_with_results_of_a_call_ends_it_first() -> None:
    """A convolution in groups copies its products; secrets lose bits and are multiplied; parts of a product add up."""
    trace = Trace()
    x, y = (trace.input("x", o, (4, 6), "fixed", -2, 2) for o in COMPUTE[:2])
    big = trace.input("big", "carol", (4, 6), "fixed", -(2.0**30), 2.0**30)
    z = x + y
    axes = {"strides": [1], "low": [0], "high": [0], "base": [1], "dilation": [1], "groups": 3}
    pairs = [fn.reshape(z, (1, 6, 4)), fn.reshape(z[:3], (9, 2, 1))]
    made = [
        fn.square(z),
        trace.bind("conv", pairs, axes)[0],
        (big + z) * 2.0**-30,
        (big + x) * 1.1e-9,
        (big + y) * 0.37,
    ]
    for i, value in enumerate(made):
        reveal(value, why="test", name=f"r{i}")
    program = prune(trace.program())
    rng = np.random.default_rng(9)
    arrays: dict[str, Any] = {o: {"x": rng.integers(-8, 8, (4, 6)) / 4} for o in COMPUTE[:2]}
    arrays["carol"] = {"big": rng.integers(-(2**29), 2**29, (4, 6)) / 1.0}
    want = run_clear(program, FMT, arrays)

    def body(p: Any) -> Any:
        return Runtime(p, FMT, COMPUTE).run(program, arrays[p.party.name])

    got = testing.run("rep3", 64, body)["alice"]
    assert all(np.allclose(got[k], v, atol=8 * 2.0**-FMT.frac_bits) for k, v in want.items())


def test_nobody_paces_before_it_has_taken_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parties with roles turned send much to one another and leave it; each of them has to take it some time."""
    monkeypatch.setattr(memory, "AHEAD_BYTES", 1 << 16)
    trace = Trace()
    x, y = (trace.input("x", o, (40_000,), "fixed", -2, 2) for o in COMPUTE[:2])
    z = x + y
    ends = [fn.sum(fn.sign(z - c), 0) for c in (0, 0.5)]
    ends.append(fn.sum(z[:64] * z[:64], 0))
    for i, end in enumerate(ends):
        reveal(end, why="test", name=f"r{i}")
    rng = np.random.default_rng(5)
    arrays = {o: {"x": rng.integers(-8, 8, 40_000) / 4} for o in COMPUTE[:2]}
    program = optimise(trace.program())
    want = run_clear(program, FMT, arrays)

    def body(p: Any) -> Any:
        return Runtime(p, FMT, COMPUTE).run(program, arrays.get(p.party.name, {}))

    got = testing.run("rep3", 64, body)["alice"]
    assert all(np.allclose(got[k], v, atol=1e-2) for k, v in want.items())


def test_no_more_results_wait_than_may() -> None:
    square, half = Eqn("square", (0,), (1,), {}), Aval((WAITING_ELEMENTS // 2,), "fixed", -1, 1)
    waiting = Waiting()
    taken = [waiting.take(replace(square, outs=(i,)), [half], [half]) for i in range(1, 5)]
    assert taken == [(frozenset(), 1), (frozenset(), 2), (None, 3), (frozenset(), 4)]


def test_what_is_read_ends_alone_and_views_of_it_wait() -> None:
    a, public = Aval((4,), "fixed", -1, 1), Aval((4,), "fixed", 0.5, 0.5, "public")

    def eqn(op: str, out: int, *ins: int) -> tuple[Eqn, list[Aval], list[Aval]]:
        return Eqn(op, ins, (out,), {}), [public if v == 9 else a for v in ins], [a]

    waiting = Waiting()
    some = [("square", 1, 0), ("square", 2, 0), ("flip", 3, 1), ("transpose", 4, 3), ("assume", 5, 2)]
    assert [waiting.take(*eqn(*each)) for each in some] == [
        (frozenset(), 1), (frozenset(), 2), (frozenset(), 0), (frozenset(), 0), (frozenset(), 0)
    ]  # fmt: skip
    assert waiting.take(*eqn("mul", 6, 9, 4)) == (frozenset({1}), 3)  # by a view of a view of it
    assert waiting.take(*eqn("neg", 7, 1)) == (frozenset(), 0)  # which has ended
    assert waiting.take(*eqn("add", 8, 5, 6)) == (frozenset({2, 3}), 0)
    assert waiting.take(*eqn("square", 10, 0)) == (frozenset(), 4)
    assert waiting.take(*eqn("maximum", 11, 0, 9)) == (None, 0)  # sends messages of its own
    assert waiting.take(*eqn("maximum", 12, 0, 9)) == (frozenset(), 0)
    assert waiting.take(*eqn("square", 13, 0)) == (frozenset(), 5)
    across = replace(a, shape=(1, 4, 1)), replace(a, shape=(2, 2))
    assert waiting.take(Eqn("reshape", (13,), (14,), {}), [a], [across[0]]) == (frozenset(), 0)
    assert waiting.take(Eqn("reshape", (14,), (15,), {}), [across[0]], [across[1]]) == (frozenset({5}), 0)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs(most=8))
def test_random_programs(program: Program) -> None:
    """The same equations, each after what it needs, and the same answers in the clear."""
    before = once(prune(program))
    after = gather(before)
    assert Counter((e.op, e.ins, e.outs) for e in before.eqns) == Counter(
        (e.op, e.ins, e.outs) for e in after.eqns
    )
    assert infer(after) == infer(before)
    try:
        fmt = fit(before)
    except RangeError:
        return
    rng, n = np.random.default_rng(1), program.inputs[0].aval.shape
    arrays = {
        "alice": {"x": rng.integers(-2, 3, n) * 1.5},
        "bob": {"k": rng.integers(-5, 10, n)},
        "carol": {"b": rng.integers(0, 2, n).astype(bool)},
    }
    was, *others = (run_clear(parse(each.text()), fmt, arrays) for each in (program, before, after))
    for now in others:
        assert was.keys() == now.keys() and all(np.array_equal(was[k], now[k]) for k in was)


@pytest.mark.parametrize("small_first", [True, False])
def test_one_constant_of_many_products(small_first: bool) -> None:
    """What is kept of a constant suits the bounds of the other factor, and no division."""
    trace, spans = Trace(), {"small": 1.0, "large": 2.0**28}
    inputs = []
    for name, most in spans.items():
        ours, theirs = (trace.input(name, o, (3,), "fixed", -most, most) for o in COMPUTE[:2])
        inputs.append(ours + theirs)
    third = np.array([1 / 3, 2 / 3, 1 / 2])
    inputs = inputs if small_first else inputs[::-1]
    for i, x in enumerate(inputs):
        reveal(x * third, why="test", name=f"product{i}")
    for i, x in reversed([*enumerate(inputs)]):
        reveal(x / third, why="test", name=f"quotient{i}")
    program = parse(prune(gather(once(trace.program()))).text())
    assert sum(e.op == "const" for e in program.eqns) == 1
    data = {n: np.array([v, -v, v - 0.5]) for n, v in spans.items()}
    out = testing.run(
        "rep3",
        64,
        lambda p: Runtime(p, FMT, PARTIES).run(program, data if p.party.name in COMPUTE[:2] else {}),
        clients=("dave",),
    )["alice"]
    for i, name in enumerate(spans if small_first else [*spans][::-1]):
        assert np.allclose(out[f"product{i}"], 2 * data[name] * third, rtol=2.0**-14, atol=2.0**-12)
        assert np.allclose(out[f"quotient{i}"], 2 * data[name] / third, rtol=2.0**-14, atol=2.0**-12)


@pytest.mark.parametrize("fmt", [Format(64, 16), Format(64, 24), Format(128, 40)], ids=str)
def test_what_loses_bits_before_a_product_does_so_at_once(fmt: Format) -> None:
    """Means of columns one after another take the rounds of one, in every ring, and are as exact."""
    rng, n, rounds = np.random.default_rng(7), 3000, []
    given: dict[str, dict[str, Any]] = {o: {} for o in COMPUTE}
    for i in range(5):
        given["alice"][f"x{i}"], given["bob"][f"x{i}"] = rng.uniform(-900, 900, (2, n + i))
    for count in (1, 5):
        trace = Trace()
        for i in range(count):
            x, y = (trace.input(f"x{i}", o, (n + i,), "fixed", -900, 900) for o in COMPUTE[:2])
            reveal(fn.sum(fn.maximum(x, y)) / (n + i), why="test", name=f"m{i}")
            reveal(fn.sum(fn.minimum(x, y)) * 0.0001, why="test", name=f"s{i}")
        program = optimise(trace.program())

        def body(p: Any, program: Any = program) -> Any:
            return Runtime(p, fmt, COMPUTE).run(program, given[p.party.name]), p.party.mesh.meter.snapshot()

        out = testing.run("rep3", fmt.width, body)
        cost = predict(program, "rep3", fmt, COMPUTE, COMPUTE)
        assert_as_predicted({name: meter for name, (_, meter) in out.items()}, cost)
        for i in range(count):
            a, b = given["alice"][f"x{i}"], given["bob"][f"x{i}"]
            assert abs(out["alice"][0][f"m{i}"] - np.maximum(a, b).mean()) < 3 * 2.0**-fmt.frac_bits
            assert abs(out["alice"][0][f"s{i}"] - np.minimum(a, b).sum() / 10000) < 3 * 2.0**-fmt.frac_bits
        rounds.append(cost.rounds)
    assert rounds[1] <= rounds[0] + 1


@pytest.mark.parametrize("fmt", [Format(64, 20), Format(128, 44)], ids=str)
def test_products_that_end_together_lose_bits_together(fmt: Format) -> None:
    """Matrix products that wait for each other, each of them scaled down, as both steps of a factorisation are."""
    rng, rounds = np.random.default_rng(9), []
    given: dict[str, dict[str, Any]] = {o: {} for o in COMPUTE}
    given["alice"]["x"] = rng.uniform(-90, 90, (8, 200))
    given["bob"] |= {f"y{i}": rng.uniform(-90, 90, (200, 3)) for i in range(4)}
    for count in (1, 4):
        trace = Trace()
        x = trace.input("x", "alice", (8, 200), "fixed", -90, 90)
        y = [trace.input(f"y{i}", "bob", (200, 3), "fixed", -90, 90) for i in range(count)]
        made = [fn.matmul(x, each) for each in y]
        for i, each in enumerate(made):
            reveal(each * (0.000123 / (1 + i)), why="test", name=f"r{i}")
        program = optimise(trace.program())

        def body(p: Any, program: Any = program) -> Any:
            return Runtime(p, fmt, COMPUTE).run(program, given[p.party.name]), p.party.mesh.meter.snapshot()

        out = testing.run("rep3", fmt.width, body, seed=2)
        cost = predict(program, "rep3", fmt, COMPUTE, COMPUTE)
        assert_as_predicted({name: meter for name, (_, meter) in out.items()}, cost)
        for i in range(count):
            want = given["alice"]["x"] @ given["bob"][f"y{i}"] * (0.000123 / (1 + i))
            assert np.allclose(out["alice"][0][f"r{i}"], want, rtol=0, atol=3 * 2.0**-fmt.frac_bits)
        rounds.append(cost.rounds)
    assert rounds[1] == rounds[0]


C = 0.000123
LOSING: dict[str, Any] = {
    # Of the same value, and of each product its own bits, or none.
    "a half": lambda xp, a, b, z: [(z - a) * C, a * 0.5, a * 0.00777],
    "a number, by it": lambda xp, a, b, z: [(z - a) * C, z * 0.001, z / 0.001, a / 0.001, a * 0.001],
    "a matrix": lambda xp, a, b, z: [(z - a) * C, xp.matmul(a, np.full((50, 3), 0.5)), a * 0.00777],
    # A product that is there when it is multiplied again, but not yet when another loses bits.
    "what waited": lambda xp, a, b, z: (lambda x: [(z - a) * C, x * b, x * C])(a * b),
}


@pytest.mark.parametrize("name", LOSING)
def test_each_product_loses_its_own_bits_before(name: str) -> None:
    """Whatever else is multiplied by what, and whatever is there by then."""
    body, shape, most = LOSING[name], (4, 50), (9e7, 0.9, 9e7)
    rng, trace, inputs, sums = np.random.default_rng(8), Trace(), [], []
    given: dict[str, dict[str, Any]] = {o: {} for o in COMPUTE}
    for i, m in enumerate(most):
        ends = -m / 2, m / 2
        inputs.append(sum(trace.input(f"x{i}", o, shape, "fixed", *ends) for o in COMPUTE[:2]))
        given["alice"][f"x{i}"], given["bob"][f"x{i}"] = x, y = (
            np.trunc(rng.uniform(*ends, (2, *shape)) * 64) / 64
        )
        sums.append(x + y)
    for i, v in enumerate(body(fn, *inputs)):
        reveal(v, why="test", name=f"r{i}")
    program = optimise(trace.program())
    out = testing.run(
        "rep3", 64, lambda p: Runtime(p, FMT, COMPUTE).run(program, given[p.party.name]), seed=3
    )
    for i, want in enumerate(body(np, *sums)):
        np.testing.assert_allclose(out["alice"][f"r{i}"], want, rtol=1e-6, atol=2e-3, err_msg=str(i))


def by_group(rows: int, groups: int) -> Program:
    """Record sums of one owner's numbers by another's groups, one written after another, as whole numbers times."""
    trace = Trace()
    x, g = trace.input("x", "alice", (rows,), "fixed", -2, 2), trace.input("g", "bob", (rows,), "int", 0, 9)
    for k in range(groups):
        within = fn.astype(fn.equal(g, k), "int")
        reveal(fn.sum(within * x), why="test", name=f"sum{k}")
        reveal(fn.sum(within), why="test", name=f"count{k}")
    return optimise(trace.program())


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize("width", [64, 128])
def test_products_that_lose_no_bits_share_rounds(protocol: str, width: int) -> None:
    rng, groups = np.random.default_rng(5), 6
    program, fmt = by_group(40, groups), Format(width, 16)
    data = {"alice": {"x": np.round(rng.uniform(-2, 2, 40), 3)}, "bob": {"g": rng.integers(0, groups, 40)}}

    def body(p: Any) -> Any:
        learned = Runtime(p, fmt, COMPUTE).run(program, data.get(p.party.name, {}))
        return learned, p.party.mesh.meter.snapshot()

    dealer = testing.dealer_of(protocol, "zoe")
    out = testing.run(protocol, width, body, dealer=dealer, seed=3)
    cost = predict(program, protocol, fmt, COMPUTE, COMPUTE, dealer)
    assert_as_predicted({name: meter for name, (_, meter) in out.items()}, cost)
    for k in range(groups):
        chosen = data["bob"]["g"] == k
        assert abs(out["alice"][0][f"sum{k}"] - data["alice"]["x"][chosen].sum()) < 40 * 2.0**-fmt.frac_bits
        assert out["alice"][0][f"count{k}"] == chosen.sum()
    if protocol == "rep3":
        once_more = predict(by_group(40, 1), protocol, fmt, COMPUTE, PARTIES)
        assert cost.rounds <= once_more.rounds + 1


def test_what_many_products_read_is_not_held_at_a_time() -> None:
    """And owners' values are shared some at a time, in the rounds of one."""

    def cost(rows: int, groups: int) -> Cost:
        return predict(by_group(rows, groups), "rep3", FMT, COMPUTE, COMPUTE)

    rows = WAITING_ELEMENTS
    most = [max(cost(rows, groups).memory.values()) for groups in (3, 9)]
    assert most[1] < most[0] * 1.1
    few, many = cost(rows // 8, 1).rounds, cost(rows // 8, 9).rounds
    assert few < many <= few + 4
