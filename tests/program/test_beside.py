"""Equations that do the same are worked on side by side: the same answers in fewer rounds, as predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted

from tacit import protocols, testing
from tacit.algebra.ring import Ring
from tacit.array import beside
from tacit.array import functions as fn
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.late import late
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.passes import localise, once, prune
from tacit.array.program import Program, parse
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime
from tacit.array.together import MOVED_ELEMENTS, gather
from tacit.array.widths import ways
from tacit.core.blocks import elements
from tacit.core.cost import CostModel
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.errors import UndeclaredDisclosure
from tacit.study import run_clear

COMPUTE = ("alice", "bob", "carol")
PARTIES = (*COMPUTE, "dave")
N = 7


def values() -> dict[str, dict[str, Any]]:
    """Return quarters, and nothing at which the program below asks."""
    rng = np.random.default_rng(11)
    return {o: {"x": rng.integers(-30, 30, N) / 4 + 0.125, "k": rng.integers(-9, 9, N)} for o in PARTIES}


def scoring() -> Program:
    """Record a score with cases of sums that nobody knows, functions of them, and a loop of comparisons."""
    trace = Trace()
    x = [trace.input("x", o, (N,), "fixed", -8, 8) for o in PARTIES]
    k = [trace.input("k", o, (N,), "int", -10, 10) for o in PARTIES]
    a, b, n, m = x[0] + x[1], x[2] - x[3], k[0] + k[3], k[1] - k[2]
    score = fn.where(a < 1, 10, fn.where(a < -1, 5.0, b)) + fn.where(b > 1, a, 2)
    score = score + fn.where((n > m) & (a > 3), -1, 4) + fn.where((m > 2) | (n < -4), 1, 0)
    score = score + fn.maximum(a[:3], 0.5)[0] + fn.sum(fn.minimum(b, 2)) + fn.abs(a) - fn.abs(b - 4)
    whole = fn.floor(a) + fn.floor(b * 2) + n * m + m * m + (n == m) + (fn.maximum(n, 3) == k[3] + 1)
    fitted = (
        fn.exp(fn.clip(a, -2, 2)) + fn.exp(fn.clip(b, -2, 2)) + fn.sqrt(fn.abs(a) + 1) + fn.log(fn.abs(b) + 1)
    )
    fitted = fitted + a / (fn.abs(b) + 1) + b / (fn.abs(a) + 1)

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        p, q = carry
        return [fn.maximum(p - row[0], -4), fn.where(q < p, q + 0.5, q - 0.5)], [(p < 0) ^ (q < 1)]

    ends, _ = repeat(turn, [], [fn.clip(a, -4, 4), fn.clip(b, -4, 4)], [(-4, 4), (-8, 8)], [[0.25, 0.5]])
    results = [score, whole, fitted, *ends, n > 3, b < 0]
    for i, each in enumerate(results):
        reveal(each, why="test", name=f"r{i}", to=["dave", "alice"] if i in (1, 5) else "all")
    reveal(score > 9, why="test", name="late", to=["bob"])
    return trace.program()


def run(program: Program, protocol: str, fmt: Format) -> tuple[dict[str, Any], dict[str, Any]]:
    def body(p: Any) -> Any:
        runtime = Runtime(p, fmt, PARTIES)
        return runtime.run(program, values().get(p.party.name, {})), p.party.mesh.meter.snapshot()

    dealer = testing.dealer_of(protocol, "dealer")
    out = testing.run(protocol, fmt.width, body, clients=("dave",), dealer=dealer, seed=3)
    return {n: found for n, (found, _) in out.items()}, {n: s for n, (_, s) in out.items()}


@pytest.mark.parametrize("fmt", [Format(64, 16), Format(128, 30)], ids=str)
def test_the_same_answers_in_fewer_rounds(fmt: Format) -> None:
    plain = once(prune(localise(scoring())))
    made = parse(optimise(scoring()).text())
    want = run_clear(plain, fmt, values())
    assert all(np.allclose(want[k], v, atol=2.0**-20) for k, v in run_clear(made, fmt, values()).items())
    rounds = []
    for program in (plain, made):
        got, meters = run(program, "rep3", fmt)
        readers = {
            **dict.fromkeys(want, PARTIES),
            "r1": ("dave", "alice"),
            "r5": ("dave", "alice"),
            "late": ("bob",),
        }
        for party in PARTIES:
            assert got[party].keys() == {name for name, names in readers.items() if party in names}
            for name, value in got[party].items():
                assert value.shape == want[name].shape and value.dtype == want[name].dtype
                assert np.allclose(value, want[name], atol=90 * 2.0**-fmt.frac_bits), name
        cost = predict(program, "rep3", fmt, COMPUTE, PARTIES)
        assert_as_predicted(meters, cost)
        rounds.append(cost.rounds)
    assert rounds[1] < rounds[0] * (0.6 if fmt.width == 64 else 0.65)


def test_rows_of_public_tables_differ_in_every_turn() -> None:
    """A table's row in a loop is no constant of the loop's text, whatever the program's text says of the table."""
    trace = Trace()
    x, y = (trace.input("x", o, (2,), "fixed", -8, 8) for o in COMPUTE[:2])
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.5])

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        p, q = carry
        return [fn.where(p < 1.5, row[0], row[1]), fn.where(q < 1.5, row[1], row[0])], []

    ends, _ = repeat(turn, [], [fn.sum(x + y), fn.sum(x - y)], [(-32, 32)] * 2, [low, high])
    for i, each in enumerate(ends):
        reveal(each, why="test", name=f"r{i}")
    program, fmt = optimise(trace.program()), Format(64, 16)
    arrays = {o: {"x": np.array([1.0, 2.0])} for o in COMPUTE[:2]}
    p, q = 6.0, 0.0
    for a, b in zip(low, high, strict=True):
        p, q = a if p < 1.5 else b, b if q < 1.5 else a

    def body(held: Any) -> Any:
        return Runtime(held, fmt, COMPUTE).run(program, arrays.get(held.party.name, {}))

    for found in (run_clear(program, fmt, arrays), *testing.run("rep3", 64, body).values()):
        assert found == {"r0": p, "r1": q}


def test_other_protocols() -> None:
    made, fmt = parse(optimise(scoring()).text()), Format(64, 16)
    want = run_clear(made, fmt, values())
    got, meters = run(made, "semi2k", fmt)
    assert all(np.allclose(got["alice"][k], want[k], atol=0.01) for k in got["alice"])
    cost = predict(made, "semi2k", fmt, COMPUTE, PARTIES, dealer="dealer")
    assert cost.rounds == max(s.rounds for s in meters.values())


def nobody(width: int) -> CostModel:
    """Return parties that send nothing, to plan with."""
    return CostModel("rep3", protocols.load("rep3").cards, nowhere(COMPUTE), Ring(width))


def inputs(trace: Trace, hi: float = 8, n: int = 5) -> list[Any]:
    """Return secrets that no single party knows, and one owner's own."""
    x, y = (trace.input("x", o, (n,), "fixed", -hi, hi) for o in COMPUTE[:2])
    return [x + y, x - y, trace.input("z", "carol", (n,), "fixed", -hi, hi)]


def grouped(results: list[Any], width: int = 64) -> list[list[str]]:
    """Return the operations that share rounds, by group, once they are gathered."""
    program = prune(gather(once(prune(results[0].context.program(results)))))
    return [
        [e.op for e in group]
        for group in beside.groups(program, infer(program), nobody(width), Format(width, 16))
        if len(group) > 1
    ]


def test_what_may_be_joined() -> None:
    a, b, c = inputs(Trace())
    assert grouped([a < b, fn.maximum(b, c), fn.abs(c - a), a > 1]) == [["lt", "maximum", "abs", "lt"]]
    assert grouped([a == b, b == c, a != 1]) == [["eq", "eq", "eq"]]
    assert grouped([fn.where(a < b, c, 1), fn.where(b < c, a, 2)]) == [["lt"] * 2, ["select"] * 2]
    assert grouped([fn.floor(a), fn.floor(b[:2])]) == [["floor", "floor"]]
    truths = [a < b, b < c, c < a]
    assert grouped([truths[0] & truths[1], truths[1] & truths[2]])[1:] == [["and", "and"]]
    assert grouped([fn.astype(t, "int") for t in truths])[1:] == [["convert"] * 3]


def test_what_a_longer_chain_begins_with_is_begun_first() -> None:
    """A product that may be left, too: what reads it then goes with its like, which would have gone alone."""

    def clipped(v: Any) -> Any:
        return fn.minimum(fn.maximum(v, -3), 3)

    a, _, c = inputs(Trace())
    x = a * c
    results = [clipped(clipped(x)), clipped(clipped(fn.cumulative_sum(x) * 0.3))]
    assert grouped(results) == [["maximum"] * 2, ["minimum"] * 2] * 2


def test_what_goes_alone() -> None:
    a, b, c = inputs(Trace())
    assert grouped([fn.exp(a), fn.exp(fn.assume(b, -4, 4))]) == []  # fitted to other ranges
    assert grouped([fn.exp(a), fn.exp(b)]) == [["exp", "exp"]]
    low = a < b
    assert grouped([low, fn.where(low, a, b) < c]) == []  # one after the other
    truths = [a < b, b < c]
    assert grouped([fn.astype(t, k) for t, k in zip(truths, ("int", "fixed"), strict=True)]) == [["lt"] * 2]
    assert grouped([a == b, fn.floor(a) == fn.floor(b)]) == [["floor"] * 2]  # kinds
    assert grouped([a < b, fn.abs(fn.assume(c + a, 0, 4))]) == []  # local
    public = np.arange(5) < 3
    assert grouped([low & public, (b < c) & public]) == [["lt", "lt"]]  # what is local is no call
    assert grouped([a * b, b * c]) == []  # may be left (test_together)
    long = inputs(Trace(), n=elements(LOOPBACK) // 2 + 1)
    assert grouped([long[0] < 1, long[1] < 1]) == []
    short = inputs(Trace(), n=elements(LOOPBACK) // 2)
    assert grouped([short[0] < 1, short[1] < 1]) == [["lt", "lt"]]


def test_many_elements_go_with_their_like() -> None:
    """Of many elements each bit counts: they are not compared with those that have more, nor copy by copy."""
    n = beside.ELEMENTS + 1
    a, b, c = inputs(Trace(), n=n)
    assert grouped([a < b, b < c]) == [["lt", "lt"]]
    assert grouped([fn.exp(a), fn.exp(b)]) == [["exp", "exp"]]
    few = fn.less(fn.assume(a, -(2.0**-10), 2.0**-10), 0)
    assert grouped([few, b < c]) == []
    assert grouped([fn.sum(a) < 1, b < c]) == []
    rows = [fn.broadcast_to(x[:5, None], (5, n)) for x in (a, b)]
    assert grouped([x < 1 for x in rows]) == []
    trace = Trace()
    x = [trace.input("x", o, (n,), "bool", 0, 1) for o in COMPUTE]
    wide, narrow = (fn.sum(fn.astype(t, "int")) for t in (x[0] & x[1], x[1] & x[2]))
    for name, each in (("wide", wide * 2.0**-20 * wide), ("narrow", narrow)):
        reveal(each, why="test", name=name)
    program = optimise(trace.program())
    ins, p = [i.aval for i in program.inputs], nobody(64)
    found = ways(program, ins, p, Format(64, 16), False)[1]
    assert [len(g) for g in found if g[0].op in ("and", "convert")] == [2, 1, 1]


def by_groups(n: int, count: int, what: Callable[[Any, Any], Any]) -> Program:
    """Record something of each group of rows, one after another."""
    trace = Trace()
    g, x = (
        trace.input(name, "alice", (n,), kind, lo, hi) + trace.input(name, "bob", (n,), kind, lo, hi)
        for name, kind, lo, hi in (("g", "int", 0, 40), ("x", "fixed", -4, 4))
    )
    for k in range(count):
        reveal(what(g == k, x), why="test", name=f"m{k}")
    return optimise(trace.program())


def mean(here: Any, x: Any) -> Any:
    """Return the mean of some rows."""
    return fn.sum(fn.where(here, x, 0)) / fn.maximum(fn.sum(fn.astype(here, "int")), 1)


@pytest.mark.parametrize("network", [LOOPBACK, PRESETS["wan"]], ids=lambda n: n.name)
def test_groups_of_many_rows_in_the_rounds_of_one(network: Network) -> None:
    n, fmt, rng = beside.ELEMENTS + 64, Format(64, 16), np.random.default_rng(5)
    g, x = rng.integers(0, 4, n), rng.uniform(-4, 4, n)
    given = {"alice": {"g": g, "x": x}, "bob": {"g": np.zeros(n, int), "x": np.zeros(n)}, "carol": {}}
    rounds = []
    for count in (1, 4):
        program = by_groups(n, count, mean)

        def body(p: Any, program: Program = program) -> Any:
            return Runtime(p, fmt, COMPUTE).run(program, given[p.party.name]), p.party.mesh.meter.snapshot()

        out = testing.run("rep3", 64, body, network=network)
        cost = predict(program, "rep3", fmt, COMPUTE, COMPUTE, network=network)
        assert_as_predicted({name: meter for name, (_, meter) in out.items()}, cost)
        for k in range(count):
            assert abs(out["alice"][0][f"m{k}"] - x[g == k].mean()) < 0.01
        rounds.append(cost.rounds)
    assert rounds[1] <= rounds[0] + 4  # opening is last, and constants are of more kinds


def test_sums_of_many_rows_are_made_at_once() -> None:
    """No more of what is summed is held than an equation may be moved across."""
    n = 1 << 18
    program = by_groups(n, 40, mean)
    avals, held, most = infer(program), 0, 0
    numbers = {v for v, a in avals.items() if (a.size, a.where) == (n, "secret") and a.kind != "bool"}
    for eqn, dead in zip(program.eqns, program.last_uses(), strict=True):
        held += len(numbers.intersection(eqn.outs))
        most = max(most, held)
        held -= len(numbers.intersection(dead))
    assert most * n <= MOVED_ELEMENTS


@pytest.mark.parametrize("fmt", [Format(64, 16), Format(128, 30)], ids=str)
@pytest.mark.parametrize("shape", [(), (3, 5)], ids=str)
def test_what_is_divided_by_one_number_is_divided_at_once(fmt: Format, shape: tuple[int, ...]) -> None:
    """Whatever ranges numerators have; what is found of the divisor is found once."""
    rng, costs = np.random.default_rng(2), []
    x, y, tops = (
        rng.uniform(-4, 4, shape),
        rng.uniform(1, 4, shape),
        [(8, 0.5), (1, 1.0), (64, 8.0), (3, -2.0)],
    )
    given = {"alice": {"x": x}, "bob": {"x": 0 * x}, "carol": {}}
    for i in range(4):
        given["alice"][f"y{i}"] = given["bob"][f"y{i}"] = np.asarray(y / (1 + i) + 1)
    for divisors in (1, 2, 4):
        trace = Trace()
        a, b = (trace.input("x", o, shape, "fixed", -4, 4) for o in COMPUTE[:2])
        under = [
            fn.add(*(trace.input(f"y{i}", o, shape, "fixed", 1, 8) for o in COMPUTE[:2])) for i in range(4)
        ]
        for i, (most, times) in enumerate(tops):
            top = fn.assume((a + b) * times, -most - 32, most + 32)
            reveal((1 if i == 3 else top) / under[i % divisors], why="test", name=f"r{i}")
        program = optimise(trace.program())

        def body(p: Any, program: Program = program) -> Any:
            return Runtime(p, fmt, COMPUTE).run(program, given[p.party.name]), p.party.mesh.meter.snapshot()

        out = testing.run("rep3", fmt.width, body, seed=4)
        cost = predict(program, "rep3", fmt, COMPUTE, COMPUTE)
        assert_as_predicted({name: meter for name, (_, meter) in out.items()}, cost)
        for i, (_, times) in enumerate(tops):
            want = (1 if i == 3 else x * times) / given["alice"][f"y{i % divisors}"] / 2
            assert np.allclose(out["alice"][0][f"r{i}"], want, atol=4 * 2.0**-fmt.frac_bits, rtol=2.0**-12)
        costs.append((cost.rounds, sum(cost.links.values())))
    assert costs[0][0] <= costs[1][0] == costs[2][0] < 40
    assert costs[0][1] < costs[1][1]


def test_a_larger_quotient_leaves_no_error_to_others() -> None:
    """In a ring without room for all bits, quotients are joined if each is as close as by itself."""
    trace = Trace()
    a, b, c = inputs(trace, 4)
    under = fn.assume(c, 2.0**-8, 4)
    far = fn.assume(a * 2.0**18, -(2.0**20), 2.0**20)
    assert grouped([a / under, b / under]) == [["div", "div"]]
    assert grouped([a / under, far / under]) == []
    assert grouped([a / under, far / under], 128) == [["div", "div"]]


def test_the_ring_holds_what_common_ranges_need() -> None:
    """Each pair is near itself; the pairs are far from each other."""
    trace = Trace()
    x = [trace.input("x", o, (3,), "fixed", lo, lo + 1) for o, lo in (("alice", 2.0**45), ("bob", 2.0**45))]
    y = [trace.input("y", o, (3,), "fixed", -lo, 1 - lo) for o, lo in (("alice", 2.0**45), ("bob", 2.0**45))]
    assert grouped([x[0] == x[1], y[0] == y[1]]) == []
    assert grouped([x[0] == x[1], y[0] == y[1]], 128) == [["eq", "eq"]]
    assert grouped([x[0] < x[1], y[0] < y[1]]) == [["lt", "lt"]]  # signs of differences alone


def test_results_are_opened_last_and_at_once() -> None:
    trace = Trace()
    a, b, c = inputs(trace)
    reveal(a, why="test", name="first")
    reveal(fn.sum(b) < 3, why="test", name="bit")
    reveal(b * c, why="test", name="second")
    reveal(c, why="test", name="mine", to=["carol"])
    opened = reveal(fn.sum(a < 1), why="test", name="count")
    reveal(fn.where(opened > 2, a, b) < c, why="test", name="third")
    program = optimise(trace.program())
    order = [e.params["name"] for e in program.eqns if e.op == "reveal"]
    assert order.index("count") < order.index("first")  # what others wait for comes first
    found = beside.groups(program, infer(program), nobody(64), Format(64, 16))
    groups = [[e.params["name"] for e in g] for g in found if g[0].op == "reveal"]
    assert sorted(map(sorted, groups)) == [["bit", "third"], ["count"], ["first", "second"], ["mine"]]


def test_nothing_is_opened_if_one_result_is_not_listed() -> None:
    trace = Trace()
    a, b, _ = inputs(trace)
    for name, value in (("listed", a), ("hidden", b)):
        reveal(value, why="test", name=name)
    program = optimise(trace.program())

    def body(p: Any) -> Any:
        runtime = Runtime(p, Format(64, 16), COMPUTE, frozenset({"listed"}))
        p.reveal = p.reveal_bits = None  # fails if called
        with pytest.raises(UndeclaredDisclosure, match="hidden"):
            runtime.run(program, {"x": np.zeros(5), "z": np.zeros(5)})
        return runtime.opened

    assert not any(testing.run("rep3", 64, body).values())


def test_differences_of_unlike_size_are_compared_together() -> None:
    """The sign of each is found, and what is selected by it, wherever the largest is in the row."""
    trace = Trace()
    wide, near = inputs(trace, 2.0**20, 3)[0], [trace.input("n", o, (3,), "int", 0, 1) for o in COMPUTE[:2]]
    small = near[0] - near[1]
    for i, each in enumerate([small < 1, wide < 0.5, fn.maximum(wide, 1.5), small < 0]):
        reveal(each, why="test", name=f"r{i}")
    program, fmt = optimise(trace.program()), Format(64, 16)
    x = np.array([2.0**19, -(2.0**19), 0.25])
    given = {o: {"x": x, "z": x, "n": np.array([i, 0, 1])} for i, o in enumerate(COMPUTE)}

    def body(p: Any) -> Any:
        return Runtime(p, fmt, COMPUTE).run(program, given[p.party.name])

    found = testing.run("rep3", 64, body)["alice"]
    want = [np.array([0, 0, 0]) < 1, 2 * x < 0.5, np.maximum(2 * x, 1.5), np.array([-1, 0, 0]) < 0]
    assert all(np.array_equal(found[f"r{i}"], w) for i, w in enumerate(want))


def test_owners_values_are_opened_in_two_rounds() -> None:
    """Shared at once, then opened at once; what is public anyway goes to its readers alone."""
    trace = Trace()
    for o in COMPUTE:
        reveal(trace.input("x", o, (2,), "fixed", -8, 8), why="test", name=o)
    reveal(trace.const(np.ones(2)), ["bob"], why="test", name="one")
    program, fmt = optimise(trace.program()), Format(64, 16)

    def body(p: Any) -> Any:
        found = Runtime(p, fmt, COMPUTE).run(program, {"x": np.full(2, p.party.index)})
        return found, p.party.mesh.meter.snapshot().rounds

    out = testing.run("rep3", 64, body)
    for name, (found, _) in out.items():
        assert found.keys() == {*COMPUTE, *(["one"] if name == "bob" else [])}
        assert all(np.array_equal(found[o], np.full(2, i)) for i, o in enumerate(COMPUTE))
    assert max(rounds for _, rounds in out.values()) == 2
    assert predict(program, "rep3", fmt, COMPUTE, COMPUTE).rounds == 2


@pytest.mark.parametrize("network", ["loopback", "close", "wan"])
@pytest.mark.parametrize("n", [5, 1100, 1365])
def test_products_that_comparisons_round(network: str, n: int) -> None:
    """Several such comparisons go side by side as long as no role is turned for all of them, or they go alone."""
    trace = Trace()
    x = [trace.input("x", o, (n,), "fixed", -8, 8) for o in COMPUTE]
    a, b, c = x[0] + x[1], x[1] - x[2], x[2] + x[0]
    made = [
        fn.maximum(a * b + 0.5, 0),
        fn.minimum(1.0, b * c),
        a * c < 2,
        fn.maximum(b, c),
        fn.less(1.0, c * a - b),
    ]
    for i, each in enumerate(made):
        reveal(each, why="test", name=f"r{i}")
    program, fmt = optimise(trace.program()), Format(64, 16)
    net = PRESETS.get(network, Network("close", 200, 31_250_000))  # a round is worth 12,500 bytes
    rng = np.random.default_rng(n)
    arrays = {o: {"x": rng.integers(-32, 32, n) / 4 + 0.125} for o in COMPUTE}
    want = run_clear(program, fmt, arrays)

    def body(p: Any) -> Any:
        return Runtime(p, fmt, COMPUTE).run(program, arrays[p.party.name]), p.party.mesh.meter.snapshot()

    out = testing.run("rep3", 64, body, network=net)
    assert all(np.allclose(out["bob"][0][k], v, atol=4 * 2.0**-16) for k, v in want.items())
    cost = predict(program, "rep3", fmt, COMPUTE, COMPUTE, network=net)
    assert cost.rounds == max(s.rounds for _, s in out.values())
    p = CostModel("rep3", protocols.load("rep3").cards, nowhere(COMPUTE, network=net), Ring(64))
    avals = infer(program)
    fine = late(program, avals, p, fmt)
    groups = [
        [e.op for e in g]
        for g in beside.groups(program, avals, p, fmt, dict.fromkeys(fine, 16))
        if len(g) > 1
    ]
    rounded = [g for g in groups if set(g) & {"minimum", "lt"}]
    if (network, n) == ("close", 1100):
        assert len(fine) >= 3 and rounded == [["maximum", "minimum"]]
    elif n == 5 or network == "wan":
        assert len(fine) >= 3 and rounded == [["maximum", "minimum", "lt"]]


N_ROWS = 6


def of_rows(op: str, trace: Trace, i: int) -> Any:
    """Record one of several operations on arrays of one shape, of other values."""
    x, z = (trace.input(f"x{i}", o, (N_ROWS,), "fixed", -2, 2) for o in COMPUTE[:2])
    a = (x + z) * (0.5 + 0.25 * i) if op in ("lookup", "spread", "table") else x + z
    k = trace.input(f"k{i}", "bob", (N_ROWS,), "int", 0, 2) + trace.input(
        f"k{i}", "carol", (N_ROWS,), "int", 0, 3
    )
    if op == "owned":  # of the rows of one who has no more to say, by numbers that one other knows
        a, k = (
            trace.input("rows", "carol", (N_ROWS,), "fixed", -2, 2),
            trace.input(f"k{i}", "bob", (N_ROWS,), "int", 0, 2),
        )
    rows, at = fn.reshape(a, (1, N_ROWS, 1)), fn.reshape(k, (1, N_ROWS))
    known = fn.reshape(trace.const(np.arange(N_ROWS) * 0.5 + i), (1, N_ROWS, 1))
    bind = trace.bind
    if op == "group":  # twice by one key, which is taken apart once
        size = {"size": N_ROWS, "last": False}
        return fn.concat([bind("spread", [rows, at], size)[0], bind("lookup", [rows, at], {})[0]])
    if op in ("lookup", "table", "owned"):
        return bind("lookup", [known if op == "table" else rows, at], {})[0]
    if op in ("spread", "counts"):
        given = fn.reshape(trace.const(np.ones(N_ROWS, np.int64)), (1, N_ROWS, 1)) if op == "counts" else rows
        return bind("spread", [given, at], {"size": 9, "last": False})[0]
    if op == "running":
        return bind("running", [fn.reshape(a, (3, 2))], {"least": True})[0]
    if op == "ranked":
        order = bind("order", [a], {"descending": [True]})[0]
        return fn.concat(bind("arrange", [order, a, trace.const(np.arange(N_ROWS) * 2.0)], {}))
    square = fn.reshape(a[:4], (2, 2))
    matrix = fn.assume(square @ square.T + np.eye(2) * 0.5, -32, 32.5)
    return bind("inverse", [fn.reshape(matrix, (1, 2, 2))], {"least": 0.5})[0]


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize(
    "op", ["group", "lookup", "table", "owned", "spread", "counts", "running", "ranked", "inverse"]
)
def test_arrays_of_one_shape(op: str, protocol: str) -> None:
    rng, fmt, costs = np.random.default_rng(19), Format(64, 20), []
    data: dict[str, dict[str, Any]] = {o: {} for o in COMPUTE}
    for i in range(3):
        for o in COMPUTE[:2]:
            data[o][f"x{i}"] = np.round(rng.uniform(-2, 2, N_ROWS) * 2**16) / 2**16
        data["bob"][f"k{i}"], data["carol"][f"k{i}"] = (rng.integers(0, n, N_ROWS) for n in (3, 4))
    data["carol"]["rows"] = np.arange(N_ROWS) / 4
    dealer = testing.dealer_of(protocol, "dealer")
    for count in (1, 3):
        trace = Trace()
        for i in range(count):
            reveal(of_rows(op, trace, i), why="test", name=f"r{i}")
        program = optimise(trace.program())

        def body(p: Any, program: Program = program) -> Any:
            made = Runtime(p, fmt, COMPUTE).run(program, data.get(p.party.name, {}))
            return made, p.party.mesh.meter.snapshot()

        out = testing.run(protocol, fmt.width, body, dealer=dealer, seed=4)
        cost = predict(program, protocol, fmt, COMPUTE, COMPUTE, dealer)
        assert_as_predicted({name: meter for name, (_, meter) in out.items()}, cost)
        want = run_clear(program, fmt, data)
        for name, value in want.items():
            assert np.allclose(out["alice"][0][name], value, atol=2.0**-12), (op, name)
        costs.append((cost.rounds, sum(cost.links.values())))
    assert costs[1][0] <= costs[0][0] + 4  # products share rounds on rep3 alone
    assert costs[1][1] <= 3.2 * costs[0][1]
