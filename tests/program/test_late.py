"""Products that are rounded by the comparison that reads them: the same answers, fewer rounds, costs as predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered, with_all_bits

import tacit
from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import scales
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.late import late
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Program, parse
from tacit.array.repeat import repeat
from tacit.array.runtime import Format
from tacit.array.session import simulate
from tacit.core.cost import CostModel
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.protocols import load
from tacit.protocols.rep3.turns import turned_from
from tacit.study import run_clear

OWNERS = ("alice", "bob", "carol")
FMT = Format(64, 16)
UNIT = 2.0**-16
NETWORKS = [*PRESETS.values(), Network("narrow", 1000, 20_000)]


def layer(x: Any, w: Any, b: Any) -> Any:
    return (x @ w + fn.broadcast_to(b, (6, 4))).reshape(-1)


def gradient(x: Any, w: Any, b: Any) -> Any:
    """Three results of one comparison, as a gradient asks for them."""
    z = layer(x, w, b)
    return [fn.maximum(z, 0.25), fn.where(z < 0.25, 1.0, 0.0), fn.where(z > 0.25, 1.0, 0.0)]


def turning(x: Any, w: Any, b: Any) -> Any:
    """Go through three layers in a loop."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        return [fn.maximum(carry[0] @ consts[0], 0.0) * row[0]], []

    return repeat(turn, [w @ w.T], [x[:4, :]], [(-4, 4)], [[0.25, 0.125, 0.5]])[0][0]


def told(x: Any, w: Any, b: Any) -> Any:
    """Carry a number that is selected, and return the product itself from the loop, too."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        z = carry[0] @ consts[0]
        return [fn.maximum(z, 0.0) * row[0]], [z]

    (last,), (every,) = repeat(turn, [w @ w.T], [x[:4, :]], [(-4, 4)], [[0.25, 0.125]])
    return [last, every]


BODIES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "maximum": lambda x, w, b: fn.maximum(layer(x, w, b), 0.0),
    "maximum, turned": lambda x, w, b: fn.maximum(-0.5, -layer(x, w, b)),
    "minimum": lambda x, w, b: fn.minimum(layer(x, w, b), 0.125),
    "clip": lambda x, w, b: fn.minimum(fn.maximum(layer(x, w, b), -0.5), 0.5),
    "less": lambda x, w, b: fn.where(layer(x, w, b) < 0.25, 1.0, 0.0),
    "more": lambda x, w, b: fn.where(layer(x, w, b) > 0.25, 1.0, 0.0),
    "compare": gradient,
    "compare, the least": lambda x, w, b: [
        fn.minimum(z := layer(x, w, b), 0.25),
        fn.where(z > 0.25, 1.0, 0.0),
    ],
    "two products": lambda x, w, b: fn.maximum(x * (x @ w @ w.T) - (x @ w) @ w.T, 0.0),
    "sums of products": lambda x, w, b: fn.maximum(fn.maximum(x @ w - x[:, :4] * x[:, 1:], 0.5) * 2, 0.0),
    "assumed": lambda x, w, b: fn.maximum(tacit.assume(layer(x, w, b), -4, 4, why="a test"), 0.0),
    "loop": turning,
}


def recorded(body: Callable[[Any, Any, Any], Any]) -> Program:
    trace = Trace()
    x = trace.input("x", "alice", (6, 5), "fixed", -1, 1)
    w = trace.input("w", "bob", (5, 4), "fixed", -1, 1)
    b = trace.input("b", "carol", (4,), "fixed", -1, 1)
    outs = body(x, w, b)
    for i, out in enumerate(outs if isinstance(outs, list) else [outs]):
        reveal(out, why="a test", name=f"r{i}")
    return parse(optimise(trace.program()).text())


def given(seed: int = 3) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    draw = lambda *shape: np.round(rng.uniform(-1, 1, shape), 2)  # noqa: E731
    return {"alice": {"x": draw(6, 5)}, "bob": {"w": draw(5, 4)}, "carol": {"b": draw(4)}}


def found(program: Program, fmt: Format = FMT, protocol: str = "rep3", network: Network = LOOPBACK) -> Any:
    place = nowhere(OWNERS, network=network)
    model = CostModel(protocol, load(protocol).cards, place, Ring(fmt.width), dealer="zoe")
    return late(program, infer(program, fmt=fmt), model, fmt)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("fmt", [FMT, Format(128, 30)], ids=str)
@pytest.mark.parametrize("name", BODIES)
def test_same_answers_at_the_cost_that_was_predicted(
    name: str, fmt: Format, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = recorded(BODIES[name])
    want = run_clear(program, fmt, given())

    def run() -> tuple[Any, int]:
        with simulate(
            "rep3", OWNERS, network=network, seed=3, width=fmt.width, frac_bits=fmt.frac_bits
        ) as session:
            got, meters = run_metered(session, program, given())
        model = predict(program, "rep3", fmt, OWNERS, OWNERS, network=network)
        assert_as_predicted(meters, model)
        return got["carol"], model.rounds

    got, _ = run()
    assert all(np.allclose(got[k], v, atol=16 * 2.0**-fmt.frac_bits) for k, v in want.items())
    with_all_bits(monkeypatch)
    got, rounds = run()
    assert all(np.allclose(got[k], v, atol=16 * 2.0**-fmt.frac_bits) for k, v in want.items())
    monkeypatch.setattr(scales, "late", lambda *_: frozenset())
    before, other = run()
    assert rounds < other if network in PRESETS.values() else rounds <= other
    assert all(np.allclose(got[k], v, atol=16 * 2.0**-fmt.frac_bits) for k, v in before.items())


def test_what_a_comparison_says_of_a_product_fits_what_it_selects() -> None:
    """Near 0 a product is rounded up or down, but once: bits and numbers are those of one value."""
    trace = Trace()
    x, y = (trace.input(v, o, (900,), "fixed", -1, 1) for v, o in (("x", "alice"), ("y", "bob")))
    z = x * y
    results = {"max": fn.maximum(z, 0.0), "less": z < 0.0, "more": z > 0.0}
    for key, value in results.items():
        reveal(fn.where(value, 1.0, 0.0) if key != "max" else value, why="a test", name=key)
    program = optimise(trace.program())
    assert [e.op for e in program.eqns if e.op == "compare"] and found(program)
    rng = np.random.default_rng(5)
    a = rng.integers(-300, 301, 900) * UNIT
    b = rng.integers(-300, 301, 900) * UNIT
    a[:100], b[100:200], b[200:300] = 0, 0, rng.integers(-1, 2, 100)
    with simulate("rep3", OWNERS, seed=7) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]
    greatest, exact = np.rint(got["max"] / UNIT), a * b / UNIT
    assert np.array_equal(got["more"] == 1, greatest > 0)
    assert not np.any((got["more"] == 1) & (got["less"] == 1))
    assert np.all(greatest[exact <= 0] == 0) and np.all(got["more"][exact <= 0] == 0)
    assert np.all(got["less"][exact >= 0] == 0)
    up = greatest - np.floor(np.maximum(exact, 0))
    assert np.all((up == 0) | (up == 1)) and np.all(up[exact == np.floor(exact)] == 0)
    low = (exact < 0) & (exact > -1)
    assert 0 < np.count_nonzero(got["less"][low]) < np.count_nonzero(low)  # rounded to −1 or to 0
    assert np.all(got["less"][exact <= -1] == 1)


def test_eager_sessions_round_at_once_and_differ_by_units() -> None:
    data, body = given(), BODIES["maximum"]
    with simulate("rep3", OWNERS, seed=5) as session:
        x, w, b = (session.input(data[o][v], o, bound=1) for o, v in zip(OWNERS, "xwb", strict=True))
        eager = reveal(body(x, w, b), why="a test", name="r0")
    with simulate("rep3", OWNERS, seed=5) as session:
        traced = session.run(recorded(body), data)["carol"]["r0"]
    assert np.max(np.abs(eager - traced)) <= UNIT


OTHERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "a product that is opened, too": lambda x, w, b: [fn.maximum(z := layer(x, w, b), 0.0), z],
    "one that is multiplied, too": lambda x, w, b: [fn.maximum(z := layer(x, w, b), 0.0), z * 0.5],
    "a comparison with a secret": lambda x, w, b: fn.maximum(layer(x, w, b), x.reshape(-1)[:24]),
    "an absolute value": lambda x, w, b: fn.abs(layer(x, w, b)),
    "an absolute value beside a sign": lambda x, w, b: [
        fn.abs(z := layer(x, w, b)),
        fn.where(z < 0.0, 1.0, 0.0),
    ],
    "equality": lambda x, w, b: fn.where(fn.equal(layer(x, w, b), 0.0), 1.0, 0.0),
    "both ends": lambda x, w, b: [fn.maximum(z := layer(x, w, b), 0.0), fn.minimum(z, 0.0)],
    "a sum": lambda x, w, b: fn.maximum((x @ w).sum(axis=0), 0.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_reads_a_product_has_it_rounded_at_once(name: str) -> None:
    assert not found(recorded(OTHERS[name]))


def test_long_sums_are_followed() -> None:
    trace = Trace()
    x, y = (trace.input("x", o, (4,), "fixed", -0.001, 0.001) for o in OWNERS[:2])
    total = x * y
    for _ in range(1500):
        total = total + x
    reveal(fn.maximum(total, 0.0), why="a test", name="r")
    assert len(found(trace.program())) == 1501


def test_it_is_done_where_it_fits_and_pays() -> None:
    program = recorded(BODIES["maximum"])
    assert len(found(program)) == 3
    assert found(program, Format(128, 30))
    assert not found(program, protocol="semi2k")
    assert not found(program, network=NETWORKS[-1])

    def product(n: int, bound: float) -> Program:
        trace = Trace()
        x, y = (trace.input("x", o, (n,), "fixed", -bound, bound) for o in OWNERS[:2])
        reveal(fn.maximum(x * y, 0.0), why="a test", name="r")
        return trace.program()

    fits = [found(product(8, 2.0**b)) for b in (1, 12, 16)]
    assert fits[0] and fits[1] and not fits[2]  # 24 + 32 and 32 + 32 bits of a product
    large = {
        n: [bool(found(product(k, 1), network=n)) for k in (100, 1000, 10_000, 100_000)] for n in NETWORKS
    }
    assert [sum(each) for each in large.values()] == [2, 2, 3, 0]


def test_what_a_loop_tells_is_rounded_at_once() -> None:
    program = recorded(told)
    with simulate("rep3", OWNERS, seed=3) as session:
        got = session.run(program, given())["carol"]
    assert all(np.allclose(got[k], v, atol=16 * UNIT) for k, v in run_clear(program, FMT, given()).items())


@pytest.mark.parametrize("share", [0.96, 0.98, 1.0, 1.5, 1.99])
def test_differences_up_to_the_end_of_the_ring(share: float) -> None:
    """With 2f fractional bits x·y − c takes k − 2 bits at most, its margin included; a wider one is rounded at once."""
    most, top = 2.0**30, 2.0**14.5 // UNIT * UNIT
    c = top * top - share * most
    trace = Trace()
    x, y = (trace.input(v, o, (64,), "fixed", -top, top) for v, o in (("x", "alice"), ("y", "bob")))
    for key, value in {"r": fn.minimum(x * y, c), "s": fn.where(x * y > c, 1.0, 0.0)}.items():
        reveal(value, why="a test", name=key)
    program = trace.program()
    assert bool(found(program)) == (share < 0.97)
    rng = np.random.default_rng(11)
    a, b = (rng.choice([-1, 1], 64) * (top - UNIT * rng.integers(0, 3, 64)) for _ in range(2))
    with simulate("rep3", OWNERS, seed=11) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]
    assert np.all(np.abs(got["r"] - np.minimum(a * b, c)) <= UNIT)
    assert np.array_equal(got["s"] == 1, a * b > c)


@pytest.mark.parametrize("network", NETWORKS[:3], ids=lambda n: n.name)
def test_nothing_is_rounded_late_where_roles_are_turned(network: Network) -> None:
    """What is narrowed is an operand of roles that are not turned; others would read other numbers."""
    first = turned_from(network)

    def compared(n: int) -> Program:
        trace = Trace()
        x, y = (trace.input(v, o, (n,), "fixed", -1, 1) for v, o in (("x", "alice"), ("y", "bob")))
        reveal(fn.where(x * y < 0.25, 1.0, 0.0), why="a test", name="r")
        return trace.program()

    assert found(compared(first - 1), network=network)
    assert not found(compared(first), network=network)
    assert not found(compared(2 * first), network=network)
