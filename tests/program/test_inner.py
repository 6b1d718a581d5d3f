"""Sums of products are products of matrices when a Program runs: what they exchange, and that they are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from metering import assert_as_predicted, run_metered
from on_shares import OWNERS, run_on_shares

from tacit import testing
from tacit.array import functions as fn
from tacit.array import inner as inner_module
from tacit.array import steps
from tacit.array.analyse import predict
from tacit.array.inner import inner
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ranges import check, secret_steps
from tacit.array.runtime import Format
from tacit.array.session import simulate
from tacit.core.timing import PRESETS

FMT = Format(64, 16)
Body = Callable[[Any, Any], Any]


def recorded(body: Body, shapes: Any, most: float = 4, kind: str = "fixed") -> Program:
    """Record a function of two arrays that no party knows."""
    trace, made = Trace(), []
    for i, (owner, shape) in enumerate(zip(OWNERS[:2], shapes, strict=True)):
        a = trace.input(f"v{i}", owner, shape, kind, -most, most)
        b = trace.input(f"z{i}", "carol", shape, kind, 0, 1)
        made.append(a * b)  # of which the owner of neither knows
    reveal(body(*made), why="test", name="r")
    return optimise(trace.program())


def given_to(program: Program, *values: Any) -> dict[str, dict[str, Any]]:
    ones = {f"z{i}": np.ones_like(v) for i, v in enumerate(values)}
    return {"alice": {"v0": values[0]}, "bob": {"v1": values[1]}, "carol": ones}


def run(program: Program, values: Any, protocol: str = "rep3", fmt: Format = FMT, seed: int = 1) -> Any:
    return run_on_shares(program, given_to(program, *values), protocol, fmt, seed)["r"]


def as_run(program: Program, fmt: Format = FMT) -> Program:
    ins = [i.aval for i in program.inputs]
    return testing.run("rep3", fmt.width, lambda p: inner(program, ins, p, fmt))["carol"]


def ops(program: Program) -> list[str]:
    """Return what is run on shares, the products left out that make the operands of `recorded`."""
    made = {e.outs[0] for e in program.eqns if e.op == "mul"}
    first = sorted(made)[:2]
    return [e.op for e in program.eqns if e.outs[0] not in first]


@st.composite
def sums(draw: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]:
    """Shapes of two factors that are repeated to meet, the axes of the sum, and whether the second is the first."""
    rank = draw(st.integers(1, 4))
    whole = [draw(st.sampled_from([1, 2, 3, 5, 0])) for _ in range(rank)]
    x, y = ([n if draw(st.integers(0, 3)) else 1 for n in whole] for _ in range(2))
    axes = sorted(draw(st.sets(st.integers(0, rank - 1), min_size=1)))
    return tuple(x), tuple(y), tuple(axes), draw(st.booleans())


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    sums(), st.sampled_from([4.0, 2**13, 2.0**20]), st.sampled_from(["rep3", "semi2k"]), st.integers(0, 99)
)
def test_any_sum_of_products(of: Any, most: float, protocol: str, seed: int) -> None:
    """Of any shapes, over any axes, of squares, too; where only a few products fit, of so many at a time."""
    x_shape, y_shape, axes, square = of
    fmt = Format(64, 16) if most < 2**20 else Format(128, 40)
    body = lambda x, y: fn.sum(x * x if square else x * y, axes)  # noqa: E731
    program = recorded(body, (x_shape, y_shape), most)
    rng = np.random.default_rng(seed)
    x, y = (np.round(rng.uniform(-most, most, s) * 256) / 256 for s in (x_shape, y_shape))
    want = np.sum(x * x if square else x * y, axes)
    got = run(program, (x, y), protocol, fmt, seed)
    assert got.shape == want.shape
    far = max(x.size, y.size, 125) * (2.0**-fmt.frac_bits + most**2 * 2.0**-52)  # NumPy rounds, too
    assert np.abs(got - want).max(initial=0) <= far


X, Y = (40, 30), (30,)


@pytest.mark.parametrize(
    ("body", "made"),
    [
        (lambda x, y: fn.sum(x * x), 1),
        (lambda x, y: fn.sum(x * x, 1), 40),
        (lambda x, y: fn.sum(x * y, 0), 30),  # x is summed, then multiplied
        (lambda x, y: fn.sum((x - y) * (x - y), 0) / 40, 30),
        (lambda x, y: fn.sum(fn.expand_dims(x, axis=1) * x, 2), 40 * 40),
        (lambda x, y: fn.sum(fn.expand_dims(x, axis=1) * fn.expand_dims(x, axis=0), (0, 2)), 40),
    ],
)
def test_messages_are_of_sums_not_of_products(body: Body, made: int) -> None:
    """A product of matrices has as many elements as the sum."""
    program = as_run(recorded(body, (X, Y), 1))
    kept = ops(program)
    assert "sum" not in kept or kept.index("sum") < kept.index("matmul")
    avals = {v: a for s in secret_steps(program, FMT) for v, a in zip(s.eqn.outs, s.outs, strict=True)}
    assert [avals[e.outs[0]].size for e in program.eqns if e.op == "matmul"] == [made]


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: fn.sum(x * 3.5),  # public
        lambda x, y: fn.sum(x * x) + fn.sum(x * x, 1),  # read twice
        lambda x, y: fn.sum(fn.expand_dims(x * x, axis=1), 1),  # of one product each
        lambda x, y: fn.sum(x + x),
        lambda x, y: fn.sum(x * y, 0) * 0 + (x * y)[0],
    ],
)
def test_what_is_no_sum_of_products_stays(body: Body) -> None:
    program = recorded(body, (X, Y))
    assert as_run(program) is program


def test_as_many_products_at_a_time_as_the_ring_holds() -> None:
    """At the greatest values there are, in every format that the Program may have; fewer messages than products."""
    n, most = 1000, 250.0
    program = recorded(lambda x, y: fn.sum(x * y), ((n,), (n,)), most)
    x = np.full(n, most)
    for fmt in (Format(64, 22), Format(64, 20), Format(64, 16), Format(128, 44)):
        for step in secret_steps(program, fmt):
            check(step, fmt)
        made = as_run(program, fmt)
        for step in secret_steps(made, fmt):
            check(step, fmt)
        avals = {v: a for s in secret_steps(made, fmt) for v, a in zip(s.eqn.outs, s.outs, strict=True)}
        parts = [avals[e.outs[0]].size for e in made.eqns if e.op == "matmul"]
        assert sum(parts) <= n // 2 and (len(parts) == 1) == (n % (n // parts[0]) == 0), (fmt, parts)
        for y in (x, -x):
            assert abs(run(program, (x, y), fmt=fmt) - np.sum(x * y)) <= n * 2.0**-fmt.frac_bits


def test_one_after_another_they_share_their_rounds() -> None:
    """Lagged products of one series take the rounds of one, those aside that open."""

    def lagged(most: int) -> Body:
        return lambda x, _: fn.stack([fn.sum(x[k:] * x[:-k]) for k in range(1, most + 1)])

    x, rounds = np.random.default_rng(3).uniform(-1, 1, 40), []
    for most in (1, 6):
        program = recorded(lagged(most), [(40,), (40,)], 1.0)
        found = run(program, [x, x])
        assert np.allclose(found, [(x[k:] * x[:-k]).sum() for k in range(1, most + 1)], atol=2.0**-9)
        rounds.append(predict(program, "rep3", FMT, OWNERS[:3], OWNERS[:3]).rounds)
    assert rounds[1] == rounds[0]


def test_squares_stay_above_zero() -> None:
    """What a range says of the sum, it says of the product of matrices."""
    program = recorded(lambda x, y: fn.sqrt(fn.sum(x * x, 1)), (X, Y))
    last = [s for s in secret_steps(as_run(program), FMT) if s.eqn.op == "sqrt"]
    assert last and last[0].ins[0].lo >= 0
    x = np.zeros(X)
    x[0, 0] = 3
    assert np.allclose(run(program, (x, np.zeros(Y))), [3, *[0] * 39], atol=1e-4)


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
def test_pairs_of_truth_values_meet_as_numbers(protocol: str) -> None:
    """Where rows are compared with rows; beside as many of their own, they stay truth values."""

    def pairs(x: Any, y: Any) -> Any:
        return fn.sum(fn.astype(fn.expand_dims(x > 0, axis=1) & fn.expand_dims(x > 1, axis=0), "int"), 2)

    def pairs_as_fractions(x: Any, y: Any) -> Any:
        return fn.sum(fn.astype(fn.expand_dims(x > 0, axis=1) & fn.expand_dims(x > 1, axis=0), "fixed"), 2)

    program = recorded(pairs, (X, Y))
    assert {"and", "sum"}.isdisjoint(ops(as_run(program)))
    x = np.round(np.random.default_rng(5).uniform(-4, 4, X), 2)
    want = ((x > 0)[:, None] & (x > 1)[None]).sum(2)
    assert np.array_equal(run(program, (x, np.zeros(Y)), protocol), want)
    like = recorded(lambda x, y: (made := pairs_as_fractions(x, y)) + fn.square(made) * 0.5, (X, Y))
    assert "and" not in ops(as_run(like))
    assert np.allclose(run(like, (x, np.zeros(Y)), protocol), want + want**2 / 2, atol=1e-3)
    alone = recorded(lambda x, y: fn.sum(fn.astype((x > 0) & (x > 1), "int"), 1), (X, Y))
    assert as_run(alone) is alone


def chosen(x: Any, y: Any) -> Any:
    """What a truth value selects, or its opposite; of columns, too; and how many were selected."""
    keep = y > 0
    rows = fn.broadcast_to(fn.expand_dims(keep, axis=0), (40, 30))
    return fn.concat(
        [
            fn.sum(fn.where(rows, x, 0.0), 1),
            fn.sum(fn.where(rows, 0.0, x), 1),
            fn.reshape(fn.sum(fn.where(fn.logical_not(keep), 0.0, y)), (1,)),
            fn.reshape(fn.sum(fn.astype(keep, "fixed")), (1,)),
        ]
    )


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize("most", [4.0, 2.0**20])
def test_what_truth_values_select_is_summed_at_once(
    protocol: str, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, as a selection is: truth values are made numbers once, also for those that count them."""
    monkeypatch.setattr(inner_module._Finder, "_pays", lambda *_: True)
    program = recorded(chosen, (X, Y), most)
    ins = [i.aval for i in program.inputs]
    made = testing.run(
        protocol,
        64,
        lambda p: inner(program, ins, p, FMT),
        dealer=testing.dealer_of(protocol, "dealer"),
    )["carol"]
    kept = ops(made)
    assert "select" not in kept and kept.count("matmul") == 3
    avals = {v: a for s in secret_steps(made, FMT) for v, a in zip(s.eqn.outs, s.outs, strict=True)}
    bits = [e for e in made.eqns if e.op == "convert" and avals[e.ins[0]].kind == "bool"]
    assert [avals[e.outs[0]].size for e in bits] == [30]
    rng = np.random.default_rng(8)
    x, y = (np.round(rng.uniform(-most, most, s) * 256) / 256 for s in (X, Y))
    keep = y > 0
    want = [*(x * keep).sum(1), *(x * ~keep).sum(1), y[keep].sum(), keep.sum()]
    # What stands there is the product of what two owners gave, rounded to a unit.
    assert np.abs(run(program, (x, y), protocol) - want).max() <= 30 * 2.0**-FMT.frac_bits


def test_few_are_selected() -> None:
    """Where a round is worth more than what it saves, and where something else reads what was selected."""
    few = recorded(lambda x, y: fn.sum(fn.where(x > 0, x, 0.0)), ((20,), (1,)))
    read = recorded(lambda x, y: fn.sum(of := fn.where(x > 0, x, 0.0)) + of[0], ((5000,), (1,)))
    other = recorded(lambda x, y: fn.sum(fn.where(x > 0, x, 1.0)), ((5000,), (1,)))
    known = recorded(lambda x, y: fn.sum(fn.where(x > 0, np.arange(5000.0) / 7, 0.0)), ((5000,), (1,)))
    for program in (few, read, other, known):
        assert as_run(program) is program


@pytest.mark.parametrize("network", ["loopback", "wan"])
@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: fn.sum(fn.where(x > 0, x, 0.0)),
        lambda x, y: fn.sum(fn.where(fn.broadcast_to(fn.expand_dims(x[:, 0] > 0, axis=1), X), x, 0.0), 0),
    ],
)
def test_selected_as_predicted(body: Body, network: str) -> None:
    program = recorded(body, (X, Y))
    data = given_to(program, np.full(X, 3.0), np.zeros(Y))
    with simulate("rep3", frac_bits=16, seed=3, network=network) as s:
        learned, meters = run_metered(s, program, data)
    assert np.all(learned["alice"]["r"] == (3600 if not np.ndim(learned["alice"]["r"]) else 120))
    assert_as_predicted(meters, predict(program, "rep3", FMT, OWNERS, OWNERS, network=PRESETS[network]))


@pytest.mark.parametrize("network", ["loopback", "wan"])
def test_as_predicted_and_for_less(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and rounds are those of the plan: no more rounds than the products took, and fewer bytes."""
    program = recorded(lambda x, y: fn.sum((x - y) * (x - y)) / 7, (X, Y), 100)
    data = given_to(program, np.full(X, 99.0), np.full(Y, -99.0))
    with simulate("rep3", frac_bits=16, seed=3, network=network) as s:
        learned, meters = run_metered(s, program, data)
    assert abs(learned["alice"]["r"] - 198**2 * 1200 / 7) < 1
    cost = predict(program, "rep3", FMT, OWNERS, OWNERS, network=PRESETS[network])
    assert_as_predicted(meters, cost)
    monkeypatch.setattr(steps, "inner", lambda program, *_: program)
    before = predict(program.replace(), "rep3", FMT, OWNERS, OWNERS, network=PRESETS[network])
    assert cost.rounds <= before.rounds
    # 1,200 products of more than four bytes, each sent at least once.
    assert sum(before.links.values()) - sum(cost.links.values()) > 4 * 1200
