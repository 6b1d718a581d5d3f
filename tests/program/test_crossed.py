"""Values that are compared with all of some others are sorted with them when a Program runs, if that is worth less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered
from on_shares import OWNERS, run_on_shares

from tacit import testing
from tacit.array import crossed, steps
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ranges import check, secret_steps
from tacit.array.repeat import repeat
from tacit.array.runtime import Format
from tacit.array.session import simulate
from tacit.core.timing import PRESETS

FMT = Format(64, 16)
Body = Callable[[Any, Any], Any]
N, M = 40, 60


def recorded(body: Body, shapes: Any = ((N,), (M,)), kind: str = "int", most: float = 30) -> Program:
    """Record a function of two arrays that no party knows."""
    trace, made = Trace(), []
    for i, (owner, shape) in enumerate(zip(OWNERS[:2], shapes, strict=True)):
        a = trace.input(f"v{i}", owner, shape, kind, -most, most)
        made.append(a + trace.input(f"z{i}", "carol", shape, kind, 0, 0))
    reveal(body(*made), why="test", name="r")
    return optimise(trace.program())


def given_to(*values: Any) -> dict[str, dict[str, Any]]:
    zeros = {f"z{i}": np.zeros_like(v) for i, v in enumerate(values)}
    return {"alice": {"v0": values[0]}, "bob": {"v1": values[1]}, "carol": zeros}


def as_run(program: Program, protocol: str = "rep3", fmt: Format = FMT) -> Program:
    """Return what is run of a program on inputs as it declares them."""
    ins = [i.aval for i in program.inputs]
    return testing.run(
        protocol,
        fmt.width,
        lambda p: steps.prepared(program, ins, p, fmt, False).program,
        dealer=testing.dealer_of(protocol, "dealer"),
    )["carol"]


def ops(program: Program, protocol: str = "rep3") -> list[str]:
    return [e.op for e in as_run(program, protocol).eqns]


@pytest.fixture
def cheap_sorts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sorts be worth it for arrays that a test can hold against pairs."""
    monkeypatch.setattr(crossed._Finder, "_pays", lambda *_: True)


def any_of(pairs: Any, axis: int = 1) -> Any:
    return fn.any(pairs, axis)


def count(pairs: Any, axis: int = 1, kind: str = "int") -> Any:
    return fn.sum(fn.astype(pairs, kind), axis)


def across(x: Any) -> Any:
    return fn.expand_dims(x, axis=1)


ASKED: dict[str, tuple[Body, Body]] = {
    "any": (lambda x, y: any_of(across(x) == y), lambda x, y: np.isin(x, y)),
    "any of columns": (lambda x, y: any_of(across(x) == y, 0), lambda x, y: np.isin(y, x)),
    "none": (lambda x, y: fn.all(across(x) != y, 1), lambda x, y: ~np.isin(x, y)),
    "equal": (lambda x, y: count(across(x) == y), lambda x, y: (x[:, None] == y).sum(1)),
    "equal columns": (lambda x, y: count(across(x) == y, 0), lambda x, y: (x[:, None] == y).sum(0)),
    "as fractions": (
        lambda x, y: count(across(x) == y, kind="fixed") * 0.5,
        lambda x, y: (x[:, None] == y).sum(1) / 2,
    ),
    "unequal": (lambda x, y: count(across(x) != y), lambda x, y: (x[:, None] != y).sum(1)),
    "less": (lambda x, y: count(across(x) < y), lambda x, y: (x[:, None] < y).sum(1)),
    "less or equal": (lambda x, y: count(across(x) <= y), lambda x, y: (x[:, None] <= y).sum(1)),
    "greater": (lambda x, y: count(across(x) > y), lambda x, y: (x[:, None] > y).sum(1)),
    "greater or equal": (lambda x, y: count(across(x) >= y), lambda x, y: (x[:, None] >= y).sum(1)),
    "less, columns": (lambda x, y: count(across(x) < y, 0), lambda x, y: (x[:, None] < y).sum(0)),
    "ranks": (lambda x, y: count(across(y) < y), lambda x, y: (y[:, None] < y).sum(1)),
    "known": (
        lambda x, y: any_of(across(x) == np.arange(20) * 3),
        lambda x, y: np.isin(x, np.arange(20) * 3),
    ),
}


@pytest.mark.usefixtures("cheap_sorts")
@pytest.mark.parametrize("kind", ["int", "fixed"])
@pytest.mark.parametrize("name", ASKED)
def test_a_sort_finds_what_pairs_do(name: str, kind: str) -> None:
    """Equal ones on both sides, ends of the range, all or none equal."""
    body, clear = ASKED[name]
    program = recorded(body, kind=kind)
    assert "order" in ops(program)
    rng = np.random.default_rng(3)
    for x, y in (
        (rng.integers(-9, 9, N), rng.integers(-9, 9, M)),
        (rng.choice([-30, 30], N), rng.integers(-30, 31, M)),
        (np.full(N, 7), np.full(M, 7)),
        (np.full(N, 8), np.full(M, 7)),
    ):
        x, y = (a.astype(np.int64 if kind == "int" else float) for a in (x, y))
        got = run_on_shares(program, given_to(x, y), "rep3", FMT, 5)["r"]
        assert np.array_equal(got, clear(x, y)), (x, y)


@pytest.mark.usefixtures("cheap_sorts")
def test_any_shapes() -> None:
    """Of more axes, laid out as the comparison had them."""
    pairs = lambda x, y: fn.reshape(x, (5, 8, 1, 1)) == fn.reshape(y, (1, 1, 6, 10))  # noqa: E731
    x, y = np.random.default_rng(4).integers(-30, 30, (2, 60))
    x = x[:N]
    inside = (x[:, None] == y).reshape(5, 8, 6, 10)
    for body, want in (
        (lambda x, y: count(pairs(x, y), (2, 3)), inside.sum((2, 3))),  # type: ignore[arg-type]
        (lambda x, y: count(pairs(x, y), (0, 1)), inside.sum((0, 1))),  # type: ignore[arg-type]
        (lambda x, y: fn.any(pairs(x, y), axis=(2, 3)), inside.any((2, 3))),
    ):
        program = recorded(body)
        assert "order" in ops(program)
        got = run_on_shares(program, given_to(x, y), "rep3", FMT, 5)["r"]
        assert np.array_equal(got, want)


@pytest.mark.usefixtures("cheap_sorts")
@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: fn.all(across(x) == y, 1),  # all equal
        lambda x, y: any_of(across(x) < y),
        lambda x, y: fn.sum(fn.matmul(fn.astype(across(x) == y, "int"), across(y))),  # read by a product
        lambda x, y: count(across(x) == y) + fn.astype((across(x) == y)[:, 0], "int"),  # read twice
        lambda x, y: count(fn.reshape(y, (6, 10)) == fn.reshape(y, (6, 10))[:, :1]),  # rows with rows
        lambda x, y: count(across(x) == y, (0, 1)),  # type: ignore[arg-type]  # of all pairs
        lambda x, y: count(x == 3, 0),
        lambda x, y: count(across(x) == y[:4]),  # few
    ],
)
def test_what_is_no_question_of_all_stays(body: Body) -> None:
    assert "order" not in ops(recorded(body))


def test_the_price_decides() -> None:
    """A few hundred are compared, thousands are sorted; without a shuffle, all are compared."""
    body, _ = ASKED["any"]
    few, many = recorded(body, ((100,), (100,))), recorded(body, ((5000,), (5000,)))
    assert "order" not in ops(few)
    assert "order" in ops(many)
    assert "order" not in ops(many, "semi2k")
    # Keys of as many bits as the ring has are not sorted with room for their differences.
    wide = recorded(body, ((5000,), (5000,)), "int", 2.0**60)
    assert "order" not in ops(wide)


@pytest.mark.usefixtures("cheap_sorts")
def test_in_loops() -> None:
    """A loop's body is a Program, too."""

    def turn(_: Any, held: Any, __: Any) -> Any:
        return [fn.assume(held[0] + count(across(held[0]) == held[0]), -5, 5 + 3 * N, why="three counts")], []

    program = recorded(lambda x, y: repeat(turn, [], [x], [(-5, 5 + 3 * N)], [np.arange(3)])[0][0], most=5)
    x, y = np.random.default_rng(6).integers(-5, 5, (2, M))
    want = x[:N]
    for _ in range(3):
        want = want + (want[:, None] == want).sum(1)
    got = run_on_shares(program, given_to(x[:N], y), "rep3", FMT, 5)["r"]
    assert np.array_equal(got, want)


@pytest.mark.parametrize("network", ["loopback", "wan"])
@pytest.mark.parametrize("name", ["any", "equal", "less"])
def test_as_predicted_and_for_less(name: str, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and rounds are those of the plan; what was chosen is worth less, where a round is long the comparisons."""
    n = 1200
    program = recorded(ASKED[name][0], ((n,), (n,)), most=3000)
    x, y = np.random.default_rng(7).integers(-3000, 3000, (2, n))
    with simulate("rep3", frac_bits=16, seed=3, network=network) as s:
        learned, meters = run_metered(s, program, given_to(x, y))
    assert np.array_equal(learned["alice"]["r"], ASKED[name][1](x, y))
    of = PRESETS[network]
    cost = predict(program, "rep3", FMT, OWNERS, OWNERS, network=of)
    assert_as_predicted(meters, cost)
    monkeypatch.setattr(steps, "crossed", lambda program, *_: program)
    before = predict(program.replace(), "rep3", FMT, OWNERS, OWNERS, network=of)
    sent = [max(c.sent_by(o) for o in OWNERS) + c.rounds * of.round_bytes for c in (cost, before)]
    assert (sent[0] < sent[1]) == (network == "loopback")
    assert sent[0] <= sent[1]


@pytest.mark.usefixtures("cheap_sorts")
@pytest.mark.parametrize("name", ASKED)
def test_what_is_sorted_fits(name: str) -> None:
    """Each equation that stands in place of others is checked as they were, in formats as narrow as they allow."""
    program = recorded(ASKED[name][0], kind="fixed", most=2.0**40)
    for fmt in (Format(64, 16), Format(128, 16)):
        made = as_run(program, fmt=fmt)
        assert "order" in [e.op for e in made.eqns]
        for step in secret_steps(made, fmt):
            check(step, fmt)
