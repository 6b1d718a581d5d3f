"""Comparisons, floors and roundings of ratios of whole numbers: exact where sides are equal, or a quotient is whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from on_shares import OWNERS, run_on_shares

from tacit.array import functions as fn
from tacit.array import integers, ratios
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ratios import exact, short
from tacit.array.repeat import repeat
from tacit.array.runtime import Format
from tacit.array.session import simulate
from tacit.study import run_clear

FMT = Format(64, 16)
N = 8
MOST = 300
Body = Callable[[Any, Any], Any]


def recorded(body: Body, low: int = 0, n: int = N) -> Program:
    """Record a function of two arrays of whole numbers that no party knows."""
    trace, made = Trace(), []
    for i, owner in enumerate(OWNERS[:2]):
        known = trace.input(f"v{i}", owner, (n,), "int", low, MOST)
        made.append(known + trace.input(f"z{i}", "carol", (n,), "int", 0, 0))
    reveal(body(*made), why="test", name="r")
    return optimise(trace.program())


def data(x: Any, y: Any) -> dict[str, dict[str, Any]]:
    zero = np.zeros(len(x), np.int64)
    return {"alice": {"v0": np.asarray(x)}, "bob": {"v1": np.asarray(y)}, "carol": {"z0": zero, "z1": zero}}


def run(program: Program, x: Any, y: Any, protocol: str, seed: int) -> Any:
    return run_on_shares(program, data(x, y), protocol, FMT, seed)["r"]


def ops(program: Program) -> set[str]:
    return {e.op for e in program.eqns}


# Asked of x + y = 50 everywhere, or of x = y: (function of shares, answer)
X, Y = np.array([20, 25, 30, 10, 50, 0, 49, 1]), np.array([30, 25, 20, 40, 0, 50, 1, 49])
RATES = np.array([5, 0.3, 5.1, 4.9, 5, 5.01, -2.5, 5])
SHARES = np.array([0.5, 0.03, 0.51, 0.49, 0.5, 0.501, -0.25, 0.5])
BELOW = RATES <= 5
AT_ENDS: dict[str, tuple[Body, Any]] = {
    "a hurdle": (lambda x, y: (x + y) / 1000 >= 0.05, True),
    "a hurdle in percent": (lambda x, y: 100 * (x + y) / 1000 <= 5, True),
    "times a rate": (lambda x, y: 0.05 * (x + y) > 2.5, False),
    "of its rate": (lambda x, y: (x + y) * 0.1 == 5, True),
    "no such rate": (lambda x, y: (x + y) * 0.1 == 5.01, False),
    "beside a number of no short fraction": (lambda x, y: (x + y) / 7 < 7.142857142857142857, False),
    "floor": (lambda x, y: fn.floor((x + y) / 10), 5),
    "ceil": (lambda x, y: integers.ceil((x + y) / 10), 5),
    "towards zero": (lambda x, y: fn.astype((x + y) / -10, "int"), -5),
    "round": (lambda x, y: integers.round((x + y) / 20), 2),
    "round up": (lambda x, y: integers.round((x + y + 20) / 20), 4),
    "a share of all": (lambda x, y: (x + y) / fn.maximum(x + y, 1) >= 1, True),
    "half of a secret": (lambda x, y: (x + y) / (2 * fn.maximum(x + y, 1)) <= 0.5, True),
    "two shares": (lambda x, y: x / fn.maximum(x + y, 1) < 2 * x / (2 * x + 2 * y + 0 * x + 0).clip(1, None), False),
    "one over a secret": (lambda x, y: 1 / fn.maximum(x + y, 1) >= 0.02, True),
    "floor of a secret's": (lambda x, y: fn.floor(7 * (x + y) / fn.maximum(x + y, 1)), 7),
    "a mean": (lambda x, y: fn.mean(x + y) / 3 >= 16.666666666666668, True),
    "a seventh, fourteen times": (lambda x, y: fn.floor((x + y) / 7 * 14), 100),
    "a third, thrice": (lambda x, y: (x + y) / 3 * 3 == x + y, True),
    "percent": (lambda x, y: (x + y) / 20 * 100 >= 250, True),
    "a tenth, ten times": (lambda x, y: fn.astype((x + y) * 0.1 * 10, "int"), 50),
    "a mean, down and up": (lambda x, y: fn.floor(fn.mean(fn.flip(x + y)) / 6 * -3), -25),
    "two parts of it": (lambda x, y: fn.floor((x + y) * 0.3 + (x + y) * 0.7), 50),
    "a number that no unit holds, ten times": (lambda x, y: (x + y + 0.1) * 10 == 501, True),
    "terms that cancel": (lambda x, y: x / 3 < x * (1 / 3), False),
    "terms that cancel, equal": (lambda x, y: x / 3 + 0.5 == x * (1 / 3) + 0.5, True),
    "floor of terms that cancel": (lambda x, y: fn.floor((x + y) / 3 - (x + y) * (1 / 3) + 1), 1),
    "floor of a number over a secret": (lambda x, y: fn.floor(100 / fn.maximum(x + y, 1)), 2),
    "a number less a share": (lambda x, y: 1 - (x + y) / fn.maximum(x + y, 1) <= 0, True),
    "a number and a secret's": (lambda x, y: fn.astype(3 * (x + y) / fn.maximum(x + y, 1) + 10, "int"), 13),
    "up from a half": (lambda x, y: fn.floor(7 * (x + y) / (2 * fn.maximum(x + y, 1)) + 0.5), 4),
    "beside numbers": (lambda x, y: (x + y) * 0.1 >= RATES, BELOW),
    "numbers passed": (lambda x, y: (x + y) * 0.1 > RATES, BELOW & (RATES != 5)),
    "one of numbers": (lambda x, y: (x + y) * 0.1 == RATES, RATES == 5),
    "a share beside numbers": (lambda x, y: (x + y) / fn.maximum(2 * (x + y), 1) >= SHARES, BELOW),
    "numbers less": (lambda x, y: fn.floor(RATES + (x + y) / 7 - 50 / 7), np.floor(RATES).astype(int)),
    "taken": (lambda x, y: fn.take((x + y) / 10, np.array([3, 2, 1, 1, 1, 0, 7, 5])) >= 5, True),
    "so far": (lambda x, y: fn.cumulative_sum((x + y) * 0.1) >= 5 * np.arange(1, N + 1), True),
    "how many of all": (lambda x, y: fn.mean(fn.astype(x < 0, "int") + 3) / 7 >= 3 / 7, True),
}  # fmt: skip


@pytest.mark.parametrize("name", AT_ENDS)
def test_at_the_ends_there_is_one_answer(name: str) -> None:
    """Whatever the masks, shares answer as whole numbers do."""
    body, want = AT_ENDS[name]
    program = recorded(body)
    for seed in range(3):
        found = run(program, X, Y, "rep3", seed)
        assert np.array_equal(found, np.full_like(found, want)), (seed, found)


@pytest.mark.parametrize(
    "name", [n for n in AT_ENDS if not n.startswith("round")]
)  # which halves a whole number
def test_what_is_asked_is_asked_of_whole_numbers(name: str) -> None:
    """No mask can be to blame then, whichever were tried."""
    program = recorded(AT_ENDS[name][0])
    avals = infer(program)
    for eqn in program.eqns:
        asked = eqn.op in ("lt", "eq") or (eqn.op == "floor" and "estimate" not in eqn.params)
        assert not asked or {avals[v].kind for v in eqn.ins} == {"int"}, program.text()


@pytest.mark.parametrize("name", ["a hurdle", "floor", "a share of all", "floor of a secret's"])
def test_with_a_dealer(name: str) -> None:
    body, want = AT_ENDS[name]
    found = run(recorded(body), X, Y, "semi2k", 1)
    assert np.array_equal(found, np.full_like(found, want))


@pytest.mark.parametrize("name", AT_ENDS)
def test_in_a_session_as_in_a_program(name: str) -> None:
    """A quotient that is there already is not what is compared."""
    body, want = AT_ENDS[name]
    for seed in range(2):
        with simulate(frac_bits=16, seed=seed) as s:
            x, y = (s.input(v, owner, (0, MOST)) for v, owner in ((X, "alice"), (Y, "bob")))
            found = reveal(body(x, y), why="test")
        assert np.array_equal(found, np.full_like(found, want)), (seed, found)


def test_a_session_keeps_what_its_ratios_are_of_and_no_longer() -> None:
    with simulate(frac_bits=16, seed=1) as s:
        held = s.cluster.workers["alice"].values  # type: ignore[attr-defined]
        x, y = (s.input(v, owner, (0, MOST)) for v, owner in ((X, "alice"), (Y, "bob")))
        quotient = (x + y) / 10  # of a sum that has no name
        flipped = fn.flip(quotient)
        del quotient
        assert np.array_equal(reveal(fn.floor(flipped), why="test"), [5] * N)
        assert np.array_equal(reveal(flipped * 2 < 10, why="test"), [False] * N)
        del flipped
        reveal(x, why="the session drops what it can with the next operation")
        assert len(held) == 3, held


@pytest.mark.parametrize("most", [2**40, 2**20])
def test_a_session_computes_a_quotient_where_whole_numbers_do_not_fit(most: int) -> None:
    with simulate(width=128, frac_bits=30, seed=2) as s:
        x, y = (s.input(np.array([most // 8, 3]), owner, (1, most)) for owner in ("alice", "bob"))
        ratio = (x + y) * 1000 / fn.maximum(y, 1)
        assert np.array_equal(reveal(ratio * 0.001 < 2.5, why="test"), [True, True])
        assert np.array_equal(reveal(ratio * 0.001 < 1.5, why="test"), [False, False])


def test_a_comparison_with_a_public_rate_is_one_of_whole_numbers() -> None:
    """No division, product or truncation is left of it."""
    assert ops(recorded(lambda x, y: (x + y) / 1000 >= 0.05)) <= {
        "add",
        "const",
        "broadcast",
        "lt",
        "not",
        "reveal",
    }
    assert "div" not in ops(recorded(lambda x, y: x / fn.maximum(y, 1) >= 0.3))


def test_a_divisor_that_is_written_twice_is_one() -> None:
    program = recorded(lambda x, y: x / fn.maximum(x + y, 1) + y / fn.maximum(x + y, 1) >= 1)
    assert "div" not in ops(program)
    assert np.all(run(program, X, Y, "rep3", 1))


@pytest.mark.parametrize(
    "body",
    [
        lambda x, y: (x + y) * np.array([0.3, math.pi] * 4) >= 5,  # by several numbers
        lambda x, y: (x + y) * 0.3 >= np.array([0.3, math.pi] * 4),  # beside one of no short fraction
        lambda x, y: fn.cumulative_sum(x / 7 + 0.1) >= 1,  # numbers that differ from row to row
        lambda x, y: fn.where(x > 5, x / 7, y / 7) >= 1,  # one of two
        lambda x, y: fn.concat([x / 7, y / 7]) >= 1,
        lambda x, y: (x + y) / 4 >= 2.25,  # a product with 1/4 is exact
        lambda x, y: x / (y + 0.5) >= 2,  # not by a whole number
        lambda x, y: fn.sqrt(x) / 10 >= 0.5,  # nor of one
        lambda x, y: x / fn.maximum(y, 1) * y >= 5,  # nor a ratio
        lambda x, y: (x * x * x * x * x * x) / fn.maximum(y, 1) >= 1 / 999983,  # would not fit
        lambda x, y: fn.where(y > 0, x, -x) / 3,  # nothing is asked
    ],
)
def test_what_is_no_ratio_or_would_not_fit_stays(body: Body) -> None:
    trace, made = Trace(), []
    for i, owner in enumerate(OWNERS[:2]):
        made.append(trace.input(f"v{i}", owner, (N,), "int", 0, MOST))
    reveal(body(*made), why="test", name="r")
    program = trace.program()
    assert exact(program).text() == program.text()


ASSUMED: dict[str, Body] = {
    "a floor": lambda x, y: 60 / fn.floor(fn.assume((x + y) / 10, 1, 5.5)),
    "scaled": lambda x, y: 60 / fn.floor(fn.assume((x + y) / 70, 1 / 7, 0.8) * 7),
    "moved, and more": lambda x, y: 60 / fn.floor(fn.flip(fn.assume((x + y) / 10, 1, 5, "who knows why")) - 0.5 + 0.5),
    "divided by a secret": lambda x, y: 60 / fn.floor(fn.assume((x + y) / 10 / fn.maximum(x * 0 + 1, 1), 1, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", ASSUMED)
def test_what_is_assumed_of_a_ratio_is_of_its_floor(name: str) -> None:
    program = recorded(ASSUMED[name])
    ends = [
        (e.params["lo"], e.params["hi"])
        for e in program.eqns
        if e.op == "assume" and e.params.get("why", "who knows why") == "who knows why"
    ]
    assert ends == [(1, 5)]
    assert np.allclose(run(program, X, Y, "rep3", 1), 12, atol=0.01)


def test_what_is_assumed_in_a_session_is_of_the_floor() -> None:
    with simulate(frac_bits=16, seed=1) as s:
        x, y = (s.input(v, owner, (0, MOST)) for v, owner in ((X, "alice"), (Y, "bob")))
        found = reveal(60 / fn.floor(fn.assume((x + y) / 10, 1, 5.5)), why="test")
    assert np.allclose(found, 12, atol=0.01)


def test_a_program_that_whole_numbers_would_have_refused_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were the range of a floor wider than before, what follows could be refused in a line that was right."""
    trace = Trace()
    x = trace.input("x", "alice", (N,), "int", 0, MOST) + trace.input("y", "bob", (N,), "int", 0, MOST)
    reveal(60 / (10 - fn.floor(fn.assume(x / 10, 1, 9))), why="test", name="r")
    program = trace.program()
    assert exact(program).text() != program.text()
    monkeypatch.setattr(ratios, "SLACK", 1.0)
    assert exact(program) is program


def test_in_a_loop_and_of_what_was_moved() -> None:
    """Bodies of loops are looked through; views and sums of ratios are ratios."""

    def step(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        over = fn.astype((consts[0] + row[0]) / 10 >= 5.5, "int")
        return [carry[0] + fn.sum(over)], [over]

    def body(x: Any, y: Any) -> Any:
        both = fn.flip(fn.reshape((x + y) / 2, (2, N // 2)))
        (count,), _ = repeat(step, [x + y], [fn.sum(x) * 0], [(0, 3 * N)], [np.array([4, 5, 6])])
        halves = fn.sum(fn.astype(both / 5 >= 5, "int")) + fn.astype(fn.sum(both) / 7 >= 200 / 7, "int")
        return count * 100 + halves

    program = recorded(body)
    inner = next(e.params["body"] for e in program.eqns if e.op == "scan")
    assert "mul" not in {e.op for e in inner.eqns} and "div" not in {e.op for e in inner.eqns}
    assert [int(run(program, X, Y, "rep3", s)) for s in range(2)] == [200 * N + N + 1] * 2


def simplest(value: float) -> Fraction:
    """Return the fraction of the least denominator that a float64 is of, tried one by one."""
    return next(Fraction(n, d) for d in range(1, 101) if float(Fraction(n := round(value * d), d)) == value)


@pytest.mark.parametrize(
    "value", [923456789.01, 923456789.25, -712345678.9, 0.05, 1 / 3, -2 / 3, 0.7, 1e9, 0.01]
)
def test_a_number_of_the_text_stands_for_its_shortest_fraction(value: float) -> None:
    assert short(value) == simplest(value)


@pytest.mark.parametrize(
    ("single", "want"), [(0.1, Fraction(1, 10)), (-2 / 3, Fraction(-2, 3)), (2.7, Fraction(27, 10))]
)
def test_so_does_one_of_32_bits(single: float, want: Fraction) -> None:
    assert short(float(np.float32(single))) == want


@pytest.mark.parametrize("value", [0.1 + 0.2, 2.0**60 + 2.0**20, 0.0, 5e-324, 1e300, math.pi, 1e-7])
def test_a_number_of_no_short_fraction_is_itself(value: float) -> None:
    assert short(value) == Fraction(value)


def test_cents_beside_a_threshold() -> None:
    cents = np.array([92345678900, 92345678901, 92345678902])

    def body(x: Any) -> list[Any]:
        return [x / 100 >= 923456789.01, x / 100 == 923456789.01, x / 100 <= 923456789.01]

    with simulate(width=128, frac_bits=20, seed=1) as s:
        found = [reveal(v, why="test") for v in body(s.input(cents, "alice", (0, 2**37)))]
    assert np.array_equal(found, [[False, True, True], [False, True, False], [True, True, False]])


Tree = tuple[Any, ...]
NUMBERS = st.sampled_from([1, 2, 3, 7, 10, 12, 100, 1000, 0.1, 0.05, 0.3, 2.5, 0.25, 1 / 3, 2 / 3, -0.7, -3])
LEAVES = st.sampled_from([("x",), ("y",), ("x+y",), ("x-y",)])
TREES = st.recursive(
    LEAVES,
    lambda t: st.one_of(
        st.tuples(st.just("scale"), t, NUMBERS),
        st.tuples(st.just("over"), t, NUMBERS),
        st.tuples(st.just("plus"), t, NUMBERS),
        st.tuples(st.just("neg"), t),
        st.tuples(st.just("sum"), t, t),
    ),
    max_leaves=3,
)


def number(v: float) -> Fraction:
    return Fraction(v).limit_denominator(1000)


def shares(tree: Tree, x: Any, y: Any) -> Any:
    op, *of = tree
    if len(of) == 0:
        return {"x": lambda: x, "y": lambda: y, "x+y": lambda: x + y, "x-y": lambda: x - y}[op]()
    a = shares(of[0], x, y)
    if op in ("scale", "over", "plus"):
        return {"scale": fn.multiply, "over": fn.divide, "plus": fn.add}[op](a, of[1])
    return fn.negative(a) if op == "neg" else a + shares(of[1], x, y)


def plain(tree: Tree, x: int, y: int) -> Fraction:
    op, *of = tree
    if len(of) == 0:
        return Fraction({"x": x, "y": y, "x+y": x + y, "x-y": x - y}[op])
    a = plain(of[0], x, y)
    if op in ("scale", "over", "plus"):
        k = number(of[1])
        return a * k if op == "scale" else a / k if op == "over" else a + k
    return -a if op == "neg" else a + plain(of[1], x, y)


ASKED: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Fraction, Fraction], Any]]] = {
    "less": (lambda a, b: a < b, lambda a, b: a < b),
    "at least": (lambda a, b: a >= b, lambda a, b: a >= b),
    "equal": (lambda a, b: a == b, lambda a, b: a == b),
    "floor": (lambda a, b: fn.floor(a), lambda a, b: math.floor(a)),
    "over a secret": (lambda a, b: a / fn.maximum(fn.abs(fn.floor(b)), 1) < 0.6,
                      lambda a, b: a / max(abs(math.floor(b)), 1) < Fraction(3, 5)),
}  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.one_of(TREES, st.tuples(st.just("plus"), st.just(("scale", ("x",), 0)), NUMBERS)),
       st.sampled_from(sorted(ASKED)), st.integers(0, 2**32))  # fmt: skip
def test_ratios_answer_as_fractions_do(a: Tree, b: Tree, asked: str, seed: int) -> None:
    """In ring arithmetic, on values for which both sides are often equal, and without any division left by a number."""
    rng = np.random.default_rng(seed)
    x, y = rng.choice([0, 1, 5, 10, 50, 60, 250, 300], 2 * N), rng.choice([0, 1, 3, 10, 12, 50, 100], 2 * N)
    of_shares, of_fractions = ASKED[asked]
    program = recorded(lambda u, v: of_shares(shares(a, u, v), shares(b, u, v)), n=2 * N)
    got = run_clear(program, FMT, data(x, y))["r"]
    want = [
        of_fractions(plain(a, int(u), int(v)), plain(b, int(u), int(v))) for u, v in zip(x, y, strict=True)
    ]
    assert [int(g) for g in got] == [int(w) for w in want], (a, b, asked, x, y)
