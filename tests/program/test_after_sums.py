"""Public factors behind the sums that they are in: the same answers, closer, in no wider a ring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from on_shares import OWNERS, run_on_shares

from tacit.array import functions as fn
from tacit.array.after_sums import added, after_sums, lost, spared
from tacit.array.analyse import plan
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Eqn, Program, parse
from tacit.array.ranges import fit, settled
from tacit.array.runtime import Format
from tacit.errors import RangeError
from tacit.study import run_clear

ROWS = 500
rng = np.random.default_rng(98)
X = rng.uniform(-1, 1, (ROWS, 3))
S = rng.uniform(-3, 3, ROWS)
Body = Callable[[Any, Any], Any]


def recorded(body: Body, rows: int = ROWS) -> Program:
    """Record a function of an array and a column that no party knows."""
    trace = Trace()
    x = trace.input("x", "alice", (rows, 3), "fixed", -1, 1) + trace.input(
        "y", "bob", (rows, 3), "fixed", 0, 0
    )
    s = trace.input("s", "bob", (rows,), "fixed", -3, 3) + trace.input("z", "carol", (rows,), "fixed", 0, 0)
    reveal(body(x, s), why="test", name="r")
    return parse(optimise(trace.program()).text())


def data(rows: int = ROWS) -> dict[str, dict[str, Any]]:
    return {
        "alice": {"x": X[:rows]},
        "bob": {"y": 0 * X[:rows], "s": S[:rows]},
        "carol": {"z": 0 * S[:rows]},
    }


def ops(program: Program) -> list[str]:
    return [eqn.op for eqn in program.eqns]


def factors(program: Program) -> list[Eqn]:
    """Return the products with a public number."""
    avals = infer(program)
    return [e for e in program.eqns if e.op == "mul" and any(avals[v].where == "public" for v in e.ins)]


def cox(x: Any, s: Any) -> Any:
    """Return the gradient of a partial likelihood as JAX makes it: the mean's 1/n comes first."""
    e = fn.exp(s)
    per_row = (x[:, 2] * (1 / ROWS)) / fn.cumulative_sum(e)
    w = fn.flip(fn.cumulative_sum(fn.flip(per_row))) * e
    return fn.matmul(fn.reshape(w, (1, -1)), x)


def cox_of(x: Any, s: Any) -> Any:
    e = np.exp(s)
    return ((x[:, 2] / np.cumsum(e))[::-1].cumsum()[::-1] * e) @ x / ROWS


BODIES: dict[str, tuple[Body, Callable[[Any, Any], Any]]] = {
    "a product of matrices": (
        lambda x, s: fn.matmul(fn.reshape(s * 0.002, (1, -1)), x),
        lambda x, s: s @ x * 0.002,
    ),
    "divided": (lambda x, s: fn.matmul(fn.reshape(s / 500.0, (1, -1)), x), lambda x, s: s @ x / 500),
    "a sum of products": (lambda x, s: fn.sum(x[:, 0] * (s * 0.002)), lambda x, s: x[:, 0] @ s * 0.002),
    "of both factors": (
        lambda x, s: fn.sum((x[:, 0] * 0.5) * (s * 0.002)),
        lambda x, s: x[:, 0] @ s * 0.001,
    ),
    "squared": (lambda x, s: fn.sum(fn.square(s * 0.01)), lambda x, s: (s**2).sum() * 1e-4),
    "of either sign": (
        lambda x, s: fn.sum((s * -0.002 + x[:, 1] * 0.002) * x[:, 0]),
        lambda x, s: ((x[:, 1] - s) * x[:, 0]).sum() * 0.002,
    ),
    "chosen": (
        lambda x, s: fn.sum(fn.where(x[:, 0] > 0, s * 0.002, 0.0)),
        lambda x, s: s[x[:, 0] > 0].sum() * 0.002,
    ),
    "moved": (
        lambda x, s: fn.sum(fn.flip(fn.reshape(s * 0.002, (5, 100)), axis=1)[1:3, ::2], axis=0),
        lambda x, s: (s.reshape(5, 100)[:, ::-1][1:3, ::2]).sum(0) * 0.002,
    ),
    "two numbers": (
        lambda x, s: fn.matmul(fn.reshape(s * 0.002, (1, -1)), x) * 0.25,
        lambda x, s: s @ x * 0.0005,
    ),
    "over a secret": (
        lambda x, s: fn.sum((x[:, 0] * 0.002) / (fn.abs(s) + 1.0)),
        lambda x, s: (x[:, 0] / (np.abs(s) + 1)).sum() * 0.002,
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
def test_a_factor_is_multiplied_once_behind_the_sum(name: str, protocol: str) -> None:
    body, want = BODIES[name]
    program = recorded(body)
    moved = after_sums(program)
    assert len(factors(moved)) == 1
    assert [infer(moved)[e.outs[0]].size for e in factors(moved)] <= [100]
    fmt = fit(moved)
    got = run_on_shares(moved, data(), protocol, fmt, 1)["r"]
    # A few units, of however many rows; before, of each.
    np.testing.assert_allclose(np.squeeze(got), want(X, S), atol=8 * 2.0**-fmt.frac_bits)
    assert after_sums(moved) is moved


def _turned(t: Any, x: Any, s: Any) -> Any:
    return t.reshape(5, -1).T.reshape(-1)


def _within(x: Any, y: Any) -> Any:
    return x.context.bind("div", [x, y], {"within": [-0.002, 0.002], "why": "a mean"})[0]


STAYS: dict[str, Body] = {
    "a result": lambda x, s: s * 0.002,
    "compared": lambda x, s: fn.sum(fn.maximum(s * 0.002, x[:, 0])),
    "a divisor": lambda x, s: fn.sum(x[:, 0] / (fn.abs(s) * 0.5 + 1)),
    "of two sizes": lambda x, s: fn.sum(s * 0.002 + x[:, 0] * 0.001),
    "with what has none": lambda x, s: fn.sum(s * 0.002 + x[:, 0]),
    "read twice": lambda x, s: (lambda t: fn.sum(t) + fn.sum(fn.exp(t)))(s * 0.002),
    "not summed": lambda x, s: (s * 0.002) * x[:, 0],
    "a sum of one": lambda x, s: fn.sum(fn.reshape(s * 0.002, (-1, 1)), axis=1),
    "within stated bounds": lambda x, s: fn.sum(_within(x[:, 0] * 0.002, fn.abs(s) + 0.5)),
    "above one": lambda x, s: fn.sum((s * 2.0) * x[:, 0]),
}


@pytest.mark.parametrize("name", STAYS)
def test_a_factor_stays_where_no_sum_can_take_it(name: str) -> None:
    program = recorded(STAYS[name])
    assert after_sums(program) is program
    assert spared(program) == 0


def test_owners_scale_their_own_columns_for_nothing() -> None:
    def made(body: Callable[[Any, Any, Any], Any]) -> Program:
        trace = Trace()
        s = trace.input("s", "alice", (ROWS,), "fixed", -3, 3)
        t = trace.input("t", "bob", (ROWS,), "fixed", -3, 3)
        reveal(body(s, t, s + t), why="test", name="r")
        return optimise(trace.program())

    alone = made(lambda s, t, both: fn.sum((s * 0.01) * both))
    assert after_sums(alone) is alone
    met = made(lambda s, t, both: fn.sum((s * 0.01 - fn.abs(both) * 0.01) * both))
    assert len(factors(after_sums(met))) == 1
    divided = made(lambda s, t, both: fn.sum((s * 0.01) / (fn.abs(both) + 1.0)))
    assert len(factors(after_sums(divided))) == 1


def test_what_owners_scale_down_to_next_to_nothing_waits_too() -> None:
    """A whole number over n is rounded the same way in every row: 1/3000 by a hundredth in 16 bits."""
    rows = 3000
    draw = np.random.default_rng(7)
    y, x = draw.integers(0, 2, rows), draw.uniform(-1, 1, rows)
    x += 0.5 * y
    trace = Trace()
    of_y = trace.input("y", "alice", (rows,), "int", 0, 1)
    of_x = trace.input("x", "bob", (rows,), "fixed", -2, 2) + trace.input(
        "z", "carol", (rows,), "fixed", 0, 0
    )
    reveal(fn.sum((of_y * (1 / rows)) * of_x), why="test", name="r")
    program = optimise(trace.program())
    best, fmt = settled(program, 64, 16)
    assert best is not program
    arrays = {"alice": {"y": y}, "bob": {"x": x}, "carol": {"z": 0 * x}}
    got = run_on_shares(best, arrays, "rep3", fmt, 1)["r"]
    np.testing.assert_allclose(got, y @ x / rows, atol=8 * 2.0**-16)


def test_bits_are_not_given_up_where_other_sums_need_them() -> None:
    def large(x: Any, s: Any) -> Any:
        return fn.sum((s * (1 / ROWS)) * (fn.abs(x[:, 0]) * 2.0**13))

    def small(x: Any, s: Any) -> Any:
        # The number is chosen, so nothing is multiplied that could wait.
        return fn.sum(fn.where(s > 0, 1 / ROWS, 0.0) * x[:, 1])

    program = recorded(large)
    given_up = fit(program).frac_bits - settled(program)[1].frac_bits
    assert 0 < given_up <= spared(program) and added(settled(program)[0]) == 0
    both = recorded(lambda x, s: fn.stack([large(x, s), small(x, s)]))
    assert added(after_sums(both)) == pytest.approx(spared(both))
    assert settled(both)[1].frac_bits == fit(both).frac_bits
    # Of three columns there are few errors, however small the number is.
    few = recorded(lambda x, s: fn.matmul((x * 2.0**20) * 2.0**-13, fn.stack([s[:3]], axis=1)))
    assert fit(few).frac_bits > fit(after_sums(few)).frac_bits
    assert spared(few) < 1 and settled(few)[0] is few


def test_nothing_is_lost_where_a_quotient_of_little_is_added_up() -> None:
    program = recorded(cox)
    assert "scale the sum instead" in lost(program, 16)
    # Said of a format that somebody asks for; another is taken by itself.
    assert "scale the sum instead" in plan(program, "rep3", Format(64, 16), OWNERS, OWNERS).noise
    assert fit(program).width == 128 and not lost(program, fit(program).frac_bits)
    best, fmt = settled(program)
    assert best is not program and not lost(best, 16)
    got = run_on_shares(best, data(), "rep3", fmt, 3)["r"]
    np.testing.assert_allclose(got[0], cox_of(X, S), atol=2 * 2.0**-fmt.frac_bits)


def test_sums_are_made_first_where_no_wider_ring_is_needed() -> None:
    def mean(x: Any, s: Any) -> Any:
        return fn.matmul(fn.reshape(s * (1 / ROWS), (1, -1)), x)

    program = recorded(mean)
    best, fmt = settled(program)
    assert fmt.width == fit(program).width == 64 and best is not program
    # Rings as told: the larger sums fit none of 64 bits with so many fractional bits, so nothing is moved.
    big = recorded(lambda x, s: fn.sum((s * 1e-6) * (fn.abs(x[:, 0]) * 2.0**29)))
    assert settled(big, 64)[0] is big
    with pytest.raises(RangeError):
        fit(after_sums(big), 64)
    # As many bits as roundings cost are given up for it, no more.
    few = recorded(lambda x, s: fn.sum((s * 0.125) * (fn.abs(x[:, 0]) * 2.0**11)))
    assert fit(few).frac_bits - fit(after_sums(few)).frac_bits > spared(few)
    assert settled(few)[0] is few


def test_loops_have_their_own() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (ROWS, 3), "fixed", -1, 1) + trace.input(
        "y", "bob", (ROWS, 3), "fixed", 0, 0
    )
    s = trace.input("s", "bob", (ROWS,), "fixed", -3, 3) + trace.input("z", "carol", (ROWS,), "fixed", 0, 0)
    body = Trace()
    rows, column = body.parameter(x.aval), body.parameter(s.aval)
    carry = body.parameter(fn.reshape(s, (-1,))[:3].aval)
    step = fn.reshape(fn.matmul(fn.reshape(column * (1 / ROWS), (1, -1)), rows), (3,))
    inner = body.program([fn.clip(carry + step, -2, 2)])
    params = {"n_consts": 2, "n_carry": 1, "length": 4, "reverse": False, "body": inner}
    (last,) = trace.bind("scan", [x, s, s[:3]], params)
    reveal(last, why="test", name="r")
    program = optimise(trace.program())
    moved = after_sums(program)
    assert moved is not program and spared(program) == spared(recorded(BODIES["divided"][0]))
    want = S[:3]
    for _ in range(4):
        want = np.clip(want + S @ X / ROWS, -2, 2)
    got = run_on_shares(moved, data(), "rep3", settled(program)[1], 5)["r"]
    np.testing.assert_allclose(got, want, atol=40 * 2.0**-16)


STEPS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (lambda t, x, s: t * x[:, 1], lambda t, x, s: t * x[:, 1]),
    (lambda t, x, s: -t, lambda t, x, s: -t),
    (lambda t, x, s: fn.flip(t), lambda t, x, s: t[::-1]),
    (lambda t, x, s: fn.reshape(fn.permute_dims(fn.reshape(t, (5, -1)), (1, 0)), (-1,)), _turned),
    (lambda t, x, s: t / (fn.abs(s) + 1.0), lambda t, x, s: t / (np.abs(s) + 1)),
    (lambda t, x, s: fn.where(x[:, 0] > 0, t, -t), lambda t, x, s: np.where(x[:, 0] > 0, t, -t)),
    (lambda t, x, s: t + t * x[:, 2], lambda t, x, s: t + t * x[:, 2]),
    (lambda t, x, s: fn.cumulative_sum(t), lambda t, x, s: t.cumsum()),
    (lambda t, x, s: t * -0.5, lambda t, x, s: t * -0.5),
    (lambda t, x, s: fn.concat([t[:250], t[250:]]), lambda t, x, s: t),
    (lambda t, x, s: t + s, lambda t, x, s: t + s),
    (lambda t, x, s: fn.maximum(t, 0.0), lambda t, x, s: np.maximum(t, 0)),
]


@pytest.mark.parametrize("seed", range(40))
def test_random_ways_to_a_sum_give_what_they_gave(seed: int) -> None:
    """Steps through which a factor goes, and some that need it, before a sum or none."""
    draw = np.random.default_rng(seed)
    steps = [STEPS[i] for i in draw.integers(0, len(STEPS), draw.integers(1, 5))]
    summed = draw.random() < 0.8

    def way(t: Any, x: Any, s: Any, which: int) -> Any:
        for step in steps:
            t = step[which](t, x, s)
        return t

    def body(x: Any, s: Any) -> Any:
        t = way(s * 0.004, x, s, 0)
        return fn.sum(t) if summed else t

    program = recorded(body)
    moved = after_sums(program)
    want = way(S * 0.004, X, S, 1)
    fmt = Format(128, 44)
    arrays = data()
    for each in (program, moved):
        got = run_clear(each, fmt, arrays)["r"]
        np.testing.assert_allclose(got, want.sum() if summed else want, rtol=1e-7, atol=1e-7)
