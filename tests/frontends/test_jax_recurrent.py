"""Loops that are told ahead: the same as JAX's, in few rounds; and loops that are not, which stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import OWNERS, same

from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.array.session import simulate
from tacit.errors import NotRealised, RangeError
from tacit.frontends import jax_affine, jax_recurrent
from tacit.frontends.jax import trace_jax

rng = np.random.default_rng(11)


def on_grid(*shape: int) -> Any:
    return np.round(rng.uniform(-1, 1, shape) * 2**16) / 2**16


def traced(function: Callable[..., Any], x: Any, lo: float = -1, hi: float = 1) -> Program:
    """Record a function of an array that two owners share the sum of, all of its results revealed."""
    trace, a = Trace(), np.asarray(x)
    kind = {"f": "fixed", "i": "int", "b": "bool"}[a.dtype.kind]
    ends = (0, 1) if kind == "bool" else (lo, hi)
    one = trace.input("x", "alice", a.shape, kind, *ends)
    two = trace.input("nought", "bob", a.shape, kind, 0, 1 if kind == "bool" else 0)
    out = trace_jax(function, [one ^ two if kind == "bool" else one + two])
    for i, leaf in enumerate(jax.tree_util.tree_leaves(out, is_leaf=lambda v: hasattr(v, "context"))):
        reveal(leaf, why="test", name=f"r{i}")
    return trace.program()


def loops(program: Program) -> int:
    return [e.op for e in program.eqns].count("scan")


def mean(x: Any) -> Any:
    return lax.scan(lambda c, v: (0.9 * c + 0.1 * v,) * 2, 0.0, x)


def trend(x: Any) -> Any:
    """Holt's linear trend: two states, each made of both."""

    def turn(c: Any, v: Any) -> Any:
        level = 0.3 * v + 0.7 * (c[0] + c[1])
        slope = 0.1 * (level - c[0]) + 0.9 * c[1]
        return (level, slope), level + slope

    return lax.scan(turn, (x[0], 0.0), x)


def chained(x: Any) -> Any:
    """What is carried follows from what is carried beside it; one is passed on, one is counted."""

    def turn(c: Any, v: Any) -> Any:
        fast, total, top, first, n = c
        fast = 0.5 * fast + v
        return (fast, total + c[0] * v, jnp.maximum(top, total), first, n + 1), (
            top * v,
            first + v,
            jnp.tanh(fast / 4),
        )

    return lax.scan(turn, (0.0, 0.0, -1.0, x[0], 0), x)


STEP = np.array([[0.5, 0.2, 0.1], [0.0, 0.6, 0.3], [0.1, -0.2, 0.4]])
TOLD: dict[str, tuple[Callable[..., Any], Any]] = {
    "moving average": (mean, on_grid(300)),
    "its end": (lambda x: mean(x)[0], on_grid(70)),
    "four turns": (mean, on_grid(4)),
    "blocks and a turn": (mean, on_grid(33)),
    "short memory": (lambda x: lax.scan(lambda c, v: (0.3 * c + v, c), x[0], x), on_grid(90)),
    "trend": (trend, on_grid(50)),
    "chained": (chained, on_grid(20)),
    "matrix": (lambda x: lax.scan(lambda c, v: (STEP @ c + v, c.sum()), jnp.ones(3), x), on_grid(20, 3)),
    "stacked": (
        lambda x: lax.scan(lambda c, v: (jnp.stack([c[1] * 0.9, c[0] * 0.4 + v]), c), jnp.zeros(2), x),
        on_grid(40),
    ),
    "places": (
        lambda x: lax.scan(lambda c, v: (c * jnp.array([0.5, 0.25, 1]) + v, c), jnp.ones((2, 3)), x),
        on_grid(19, 2, 3),
    ),
    "filter": (
        lambda x: lax.scan(lambda c, v: ((0.5 * c[0] - 0.3 * c[1] + v, c[0]), c[0]), (0.0, x[0]), x),
        on_grid(41),
    ),
    "returns, backwards": (
        lambda x: lax.scan(lambda c, v: (v + 0.9 * c,) * 2, 0.0, x, reverse=True),
        on_grid(33),
    ),
    "by turn": (
        lambda x: lax.scan(
            lambda c, v: ((1 - v[1]) * c + v[1] * v[0], c), 0.0, (x, jnp.linspace(0.2, 0.9, 45))
        ),
        on_grid(45),
    ),
    "by turn and place": (
        lambda x: lax.scan(
            lambda c, v: (v[1] * c + v[0], c), jnp.ones(2), (x, jnp.linspace(0, 1, 60).reshape(30, 2))
        ),
        on_grid(30, 2),
    ),
    "set back": (
        lambda x: lax.fori_loop(0, 30, lambda i, c: jnp.where(i % 7 == 0, 0.0, c) * 0.5 + x[i], 0.0),
        on_grid(30),
    ),
    "growth": (lambda x: lax.scan(lambda c, v: (1.05 * c + v, c), 0.0, x), on_grid(40)),
    "nothing added": (lambda x: lax.scan(lambda c, v: (0.5 * c, c * v), x[0], x), on_grid(12)),
    "delays": (lambda x: lax.scan(lambda c, v: ((v * v, c[0]), c[1]), (0.0, 0.0), x), on_grid(9)),
    "mapped": (jax.vmap(mean), on_grid(3, 25)),
    "sums": (lambda k: lax.scan(lambda c, v: (c + v, c * 2), 0, k), rng.integers(-3, 4, 19)),
    "whole numbers": (lambda k: lax.scan(lambda c, v: (3 * c - v, c), 1, k), rng.integers(-3, 4, 12)),
    "Fibonacci": (
        lambda k: lax.fori_loop(0, 20, lambda i, c: (c[1], c[0] + c[1]), (k[0], k[1])),
        np.array([2, 3]),
    ),
    "two widths": (
        lambda x: lax.scan(
            lambda c, v: ((c[1].astype(jnp.float32) * 0.5, c[0].astype(jnp.float64) * 0.5 + c[1] / 8 + v), c),
            (jnp.float32(1), jnp.float64(0)),
            x,
        ),
        on_grid(20),
    ),
    "two widths of whole numbers": (
        lambda k: lax.scan(
            lambda c, v: ((c[1].astype(jnp.int32), c[0].astype(jnp.int64) - c[1] + v), c[0]),
            (jnp.int32(2), jnp.int64(0)),
            k,
        ),
        rng.integers(-3, 4, 40),
    ),
    "window": (
        lambda x: lax.scan(lambda c, v: (jnp.append(c[1:], v), c.max()), jnp.full(40, x[3]), x),
        on_grid(60),
    ),
    "delay, its end": (
        lambda x: lax.scan(lambda c, v: ((c[1], c[2], v), None), (x[0], 0.5, -1.0), x)[0],
        on_grid(7),
    ),
    "ring": (lambda x: lax.scan(lambda c, v: (jnp.roll(c, 1) + v, c), x[0], x), on_grid(20, 5)),
    "some moved away": (
        lambda x: lax.scan(lambda c, v: (c[jnp.array([1, 0, 0, 2])] + v, c), jnp.arange(4.0), x),
        on_grid(12),
    ),
    "greatest": (lambda x: lax.scan(lambda c, v: (jnp.maximum(c, v),) * 2, x[0], x), on_grid(21, 2)),
    "least, backwards": (
        lambda x: lax.scan(lambda c, v: (jnp.minimum(v, c), c), x[0], x, reverse=True),
        on_grid(21),
    ),
    "with one number for all places": (
        lambda x: lax.scan(lambda c, v: (jnp.maximum(c, v), None), x[:3], x)[0],
        on_grid(9),
    ),
    "greatest of all": (lambda x: lax.scan(lambda c, v: (jnp.maximum(c, v),) * 2, -jnp.inf, x), on_grid(21)),
    "any": (lambda b: lax.scan(lambda c, v: (c | v, c & v), False, b), rng.random(37) < 0.1),
    "all": (lambda b: lax.scan(lambda c, v: (c & v, None), True, b)[0], rng.random(9) < 0.9),
}


@pytest.mark.parametrize("name", TOLD)
def test_all_turns_at_once(name: str) -> None:
    function, x = TOLD[name]
    assert not loops(traced(function, x, -3, 3))
    same(function, [x], lo=-1, hi=1)


def costs(program: Program) -> tuple[int, int]:
    """Return the rounds, and the bytes of all parties."""
    cost = predict(program, "rep3", fit(program), OWNERS, OWNERS)
    return cost.rounds, sum(cost.links.values())


def looped(monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], x: Any, *ends: float) -> Program:
    """Record the function with its loops as loops."""
    with monkeypatch.context() as m:
        m.setattr(jax_recurrent, "LEAST", 1 << 20)
        return traced(function, x, *ends)


WHOLE: dict[str, Callable[..., Any]] = {
    "back and forth": lambda k: lax.scan(lambda c, v: (v - c, c), 7, k),
    "by place": lambda k: lax.scan(lambda c, v: (c * jnp.array([1, -1]) + v, c), jnp.array([7, 0]), k),
    "sums of sums": lambda k: lax.scan(lambda c, v: ((c[0] + c[1], c[1] + v), c[0]), (0, 7), k),
    "secret start": lambda k: lax.scan(lambda c, v: (v - c, c), k[0], k),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_stay_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their products are local, whatever they start with."""
    function, k = WHOLE[name], rng.integers(-3, 4, 150)
    told = traced(function, k, -3, 3)
    assert not loops(told)
    before = costs(looped(monkeypatch, function, k, -3, 3))
    assert all(now <= then for now, then in zip(costs(told), before, strict=True))
    same(function, [k], atol=0)


QUOTIENTS: dict[str, Callable[[Any], Any]] = {
    "//": lambda v: v // 8,
    "%": lambda v: v % 7,
    "divmod": lambda v: jnp.divmod(v, 7)[0],
    "rem": lambda v: jnp.fmod(v, 8),
    "power": lambda v: v**3,
    "one by several": lambda v: jnp.stack([v // 2, v // 5], -1),
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_steps_of_all_turns_are_those_of_one(name: str) -> None:
    """A quotient by a known number is one step, with a row for each turn too: as many rounds as without a loop."""
    k, apart = rng.integers(-200, 200, 40), QUOTIENTS[name]
    zero = np.zeros(np.shape(apart(0)), int)
    function = lambda k: lax.scan(lambda c, v: (c + apart(v),) * 2, zero, k)[1]  # noqa: E731
    told = traced(function, k, -200, 200)
    assert not loops(told)
    assert costs(told)[0] <= costs(traced(lambda k: jnp.cumsum(apart(k), 0), k, -200, 200))[0]
    same(function, [k], atol=0)


@pytest.mark.parametrize("turns", [4, 5, 30, 31])
def test_truth_values_are_met_in_pairs_where_there_are_many(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of T turns 2 T meetings, for T log T of doubling."""
    function = lambda b: lax.scan(lambda c, v: (c | v, c & v), b[0], b)  # noqa: E731
    bits = rng.random((turns, 3)) < 0.1
    few = costs(traced(function, bits))
    monkeypatch.setattr(jax_recurrent, "FEW_BITS", 8)
    same(function, [bits])
    assert not loops(traced(function, bits))
    if turns == 30:
        assert costs(traced(function, bits))[0] > few[0]
    wide = traced(function, np.zeros((300, 50), bool))
    monkeypatch.setattr(jax_recurrent, "FEW_BITS", 1 << 30)
    assert costs(wide)[1] < 0.5 * costs(traced(function, np.zeros((300, 50), bool)))[1]


def test_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows are moved, not multiplied by matrices; coefficients of all turns are few beside a loop's."""
    window = lambda x: lax.scan(lambda c, v: (jnp.append(c[1:], v), c.sum()), jnp.zeros(100), x)[1]  # noqa: E731
    told = traced(window, np.zeros(150))
    before = costs(looped(monkeypatch, window, np.zeros(150)))
    assert not loops(told) and len(told.text()) < 20_000
    assert all(now <= then for now, then in zip(costs(told), before, strict=True))
    for places, length in ((8, 1000), (80, 1000), (800, 1000), (2, 100_000)):
        factors = np.linspace(0.1, 0.9, places)
        leaky = lambda x, f=factors: lax.scan(lambda c, v: (f * c + v, None), 0 * f, x)[0]  # noqa: E731
        assert len(traced(leaky, np.zeros((length, places))).text()) < 200_000
    dense = lambda x: lax.scan(lambda c, v: (np.full((20, 20), 0.01) @ c + v, None), jnp.zeros(20), x)[0]  # noqa: E731
    assert loops(traced(dense, np.zeros((500, 20)))) == 1


TOO_MANY: dict[str, tuple[Callable[..., Any], Any]] = {
    "stencil": (
        lambda x: lax.fori_loop(0, 30, lambda i, u: u + 0.2 * (jnp.roll(u, 1) - 2 * u + jnp.roll(u, -1)), x),
        on_grid(20),
    ),
    "comb": (
        lambda x: lax.scan(lambda c, v: (jnp.append(c[1:], v + 0.5 * c[0]), c[0]), jnp.zeros(40), x),
        on_grid(50),
    ),
}


@pytest.mark.parametrize("name", TOO_MANY)
def test_what_takes_too_many_numbers_is_not_probed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To run a body on unit vectors takes longer than to record the loop."""
    monkeypatch.setattr(jax_recurrent._Turns, "coefficients", None)
    assert loops(traced(*TOO_MANY[name])) == 1


def test_what_several_carries_read_is_computed_once() -> None:
    def function(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            e = jnp.exp(v)
            return (0.5 * c[0] + e, 0.9 * c[1] + e, jnp.maximum(c[2], 2 * e)), (c, e)

        return lax.scan(step, (0.0, 0.0, 0.0), x)

    told = traced(function, np.zeros(30))
    assert not loops(told) and [e.op for e in told.eqns].count("exp") == 1
    same(function, [on_grid(12)], lo=-1, hi=1)


def interest(x: Any) -> Any:
    """What is computed on the way to the next balance is a result, too."""

    def month(c: Any, v: Any) -> Any:
        due = c * 0.25
        return c + due - v, due

    return lax.scan(month, 1.0, x)


def direct_form(x: Any) -> Any:
    """A filter by its states: what converts them to the type of its factors is asked for twice."""
    a, b = np.array([0.5, -0.25]), np.array([0.1, 0.2, 0.1])

    def turn(c: Any, v: Any) -> Any:
        w = v + a[0] * c[0] + a[1] * c[1]
        return (w, c[0]), b[0] * w + b[1] * c[0] + b[2] * c[1]

    return lax.scan(turn, (0.0, 0.0), x)


ON_THE_WAY: dict[str, Callable[[Any], Any]] = {
    "interest": interest,
    "direct form": direct_form,
    "comb": lambda x: lax.scan(
        lambda c, v: (jnp.append(c[1:], v + 0.5 * c[0]), v + 0.5 * c[0]), jnp.zeros(6), x
    ),
    "differences": lambda x: lax.scan(
        lambda c, v: ((c[0] + 0.5 * (v - c[0]), c[1] + (v - c[0]) ** 2), None), (0.0, 0.0), x
    ),
    "set to a number": lambda x: lax.scan(lambda c, v: ((1.0, c[0] + v), c), (x[0], x[1]), x),
    "gradient": jax.grad(
        lambda x: jnp.square(lax.scan(lambda c, v: (0.9 * c + 0.1 * v,) * 2, 0.0, x)[1]).sum()
    ),
}


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_what_is_computed_on_the_way_may_be_read(name: str) -> None:
    function, x = ON_THE_WAY[name], on_grid(20)
    assert not loops(traced(function, x))
    same(function, [x], lo=-1, hi=1)


PROVED_OF_ONE: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda v: jnp.linalg.cholesky(v.T @ v + jnp.eye(2))[1, 0],
    "solve": lambda v: jnp.linalg.solve(v.T @ v + jnp.eye(2), v[0])[0],
}


@pytest.mark.parametrize("name", PROVED_OF_ONE)
def test_what_is_proved_of_one_turn_alone_stays_a_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a matrix times itself has no negative eigenvalue is found of one matrix, not of one for each turn."""
    of = PROVED_OF_ONE[name]
    function = lambda x: lax.scan(lambda c, v: (0.5 * c + of(v), c), 0.0, x)  # noqa: E731
    x = on_grid(6, 3, 2)
    told = traced(function, x)
    assert loops(told) == 1
    assert costs(optimise(told)) == costs(optimise(looped(monkeypatch, function, x)))
    same(function, [x], lo=-1, hi=1)


def test_loops_inside_of_as_many_turns_as_the_turn_says_are_refused() -> None:
    inside = lambda c, i: (0.5 * c + lax.fori_loop(0, i, lambda _, a: 0.5 * a * a, c * 0 + 1), c)  # noqa: E731
    rows = lambda x: lax.scan(  # noqa: E731
        lambda c, v: (c, lax.fori_loop(0, v[1], lambda _, a: 0.5 * a * a, v[0])), x[0], (x, jnp.arange(20))
    )
    for function in (lambda x: lax.scan(inside, x[0], jnp.arange(20)), rows):
        with pytest.raises(NotRealised, match=r"the number of iterations .*; use lax.fori_loop with"):
            traced(function, on_grid(20))


def beyond(c: Any, v: Any) -> Any:
    """Not linear: what is not there counts as one."""
    return 0.5 * c.at[jnp.array([0, 5])].get(mode="fill", fill_value=1.0) + v, c


STAY: dict[str, tuple[Callable[..., Any], Any]] = {
    "squares": (lambda x: lax.scan(lambda c, v: (jnp.clip(c * c + v, -1, 1), c), 0.0, x), on_grid(9)),
    "shared factors": (lambda x: lax.scan(lambda c, v: (c * v, c), 1.0, x), on_grid(9)),
    "choices": (lambda x: lax.scan(lambda c, v: (jnp.where(c > 0, c, -c) * 0.5 + v, c), 1.0, x), on_grid(9)),
    "one of two": (
        lambda x: lax.scan(lambda c, v: ((c[0] / 2, jnp.sin(c[1])), v), (1.0, x[0]), x),
        on_grid(9),
    ),
    "thirty lags": (
        lambda x: lax.scan(
            lambda c, v: (jnp.append(c[1:], v + c @ np.full(30, 0.02)), c[0]), jnp.zeros(30), x
        ),
        on_grid(9),
    ),
    "places beyond": (lambda x: lax.scan(beyond, jnp.zeros(2), x), on_grid(9, 2)),
    "few turns": (mean, on_grid(3)),
    "a loop inside": (lambda x: lax.scan(lambda c, v: (mean(v + c)[0], c), 0.0, x), on_grid(5, 6)),
}


@pytest.mark.parametrize("name", STAY)
def test_other_loops_stay(name: str) -> None:
    function, x = STAY[name]
    assert loops(traced(function, x)) == 1
    same(function, [x], lo=-1, hi=1)


@pytest.mark.parametrize("turns", [0, 1])
def test_no_turns_and_one(turns: int) -> None:
    same(mean, [on_grid(turns)], lo=-1, hi=1)


def test_wide_states_of_every_turn_stay_a_loop() -> None:
    """A loop of wide rows sends less, and its rounds are few beside that."""
    x, start = np.zeros((5, jax_recurrent.WIDE + 1)), np.zeros(jax_recurrent.WIDE + 1)
    for read, count in ((True, 1), (False, 0)):
        step = lambda c, v, read=read: (0.5 * c + v, c if read else None)  # noqa: E731
        assert loops(traced(lambda x, step=step: lax.scan(step, start, x), x)) == count


def test_errors_do_not_grow_with_turns() -> None:
    """A loop's error is that of 1/(1 - 0.99) turns, two roundings each."""
    slow = lambda x: lax.scan(lambda c, v: (0.99 * c + v / 128,) * 2, 0.0, x)[1]  # noqa: E731
    same(slow, [np.ones(900)], atol=110 * 2.0**-24, lo=-1, hi=1)


def test_ranges_are_those_of_all_turns_together() -> None:
    """No wider than a loop's, which takes every turn's range for itself; and what grows beyond is refused."""
    a = traced(trend, np.zeros(1000))
    assert fit(a).width == 64
    held = traced(lambda x: mean(x)[1], np.zeros(200))
    kept = [e.params for e in held.eqns if e.op == "assume"][-1]
    assert -1 <= kept["lo"] < kept["hi"] <= 1
    with pytest.raises(RangeError, match="may grow without bound"):
        traced(lambda x: lax.scan(lambda c, v: (2 * c + v, c), 0.0, x), np.zeros(300))


@pytest.mark.parametrize("decay", [0.1, 0.3, 0.5, 0.75, 0.9, 0.99])
def test_formats_are_no_coarser_than_a_loops(decay: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of numbers so large that one bit of their sums counts."""

    def formats() -> list[int]:
        f = lambda x: lax.scan(lambda c, v: (decay * c + v,) * 2, 0.0, x)[1]  # noqa: E731
        held = [
            fit(traced(f, np.zeros(200), -most, most)) for most in (1.0, *(500 * 1.3**i for i in range(16)))
        ]
        return [fmt.frac_bits if fmt.width == 64 else 0 for fmt in held]

    told = formats()
    monkeypatch.setattr(jax_recurrent, "LEAST", 1 << 20)
    assert all(ours >= loops for ours, loops in zip(told, formats(), strict=True))


UNEQUAL = {
    "a hundred times": ([[0.1, 0.001], [100, 0.5]], [1, 0], 50),
    "unequal decay": ([[0.9, 0.05], [0.1, 0.1]], [1, -1], 5000),
    "slow and large": ([[0.99, 0.001], [10, 0.1]], [1, 0], 50),
    "large for a small one": ([[0.427, 20.6], [0.00234, 0.159]], [-0.644, -0.00973], 46.7),
    "three": ([[0.1, 0.001, 0], [100, 0.5, 10], [0, 0.01, 0]], [1, 0, 0], 50),
}


@pytest.mark.parametrize("name", UNEQUAL)
def test_formats_of_unequal_carries_are_no_coarser_than_a_loops(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of products that are large for one of them alone."""
    a, b, most = UNEQUAL[name]

    def function(x: Any) -> Any:
        def step(c: Any, v: Any) -> Any:
            new = [sum(f * old for f, old in zip(row, c, strict=True)) for row in a]
            return tuple(s + f * v for s, f in zip(new, b, strict=True)), c

        return lax.scan(step, (0.0,) * len(b), x)

    told = traced(function, np.zeros(150), -most, most)
    before = looped(monkeypatch, function, np.zeros(150), -most, most)
    assert not loops(told) and fit(told).width == fit(before).width == 64
    assert fit(told).frac_bits >= fit(before).frac_bits
    assert 5 * costs(told)[0] < costs(before)[0] and costs(told)[1] < 5 * costs(before)[1]
    if name != "unequal decay":
        same(function, [on_grid(40)], lo=-1, hi=1)


@pytest.mark.parametrize("name", ["moving average", "trend", "by turn", "greatest", "any"])
def test_plan_is_what_is_sent(name: str) -> None:
    function, x = TOLD[name]
    program = traced(function, x)
    fmt = fit(program)
    with simulate("rep3", width=fmt.width, frac_bits=fmt.frac_bits, seed=3) as session:
        before = session.traffic()
        session.run(program, {"alice": {"x": x}, "bob": {"nought": np.zeros_like(x)}})
        meters = {who: now - before[who] for who, now in session.traffic().items()}
    cost = predict(program, "rep3", fmt, OWNERS, OWNERS)
    assert max(m.rounds for m in meters.values()) == cost.rounds < 40
    sent = {
        (me, to): t.payload_sent for me, m in meters.items() for to, t in m.peers.items() if t.payload_sent
    }
    assert sent == {link: n for link, n in cost.links.items() if n}


def test_reach_holds_what_any_rows_lead_to() -> None:
    """Beside ten thousand random rows at the ends of their ranges."""
    a = np.array([[[[0.9, 0.3], [-0.2, 0.5]]]])
    lo, hi = jax_affine.reach(a, 40, np.array([[-1.0, 2], [0, 1]]), np.array([[0.0, 0], [-1, 1]]))
    draws = rng.random((10_000, 41, 2)) < 0.5
    state = np.stack([np.zeros(10_000), np.where(draws[:, 40, 1], 1.0, -1.0)], 1)
    least, most = np.full(2, np.inf), np.full(2, -np.inf)
    for t in range(40):
        state = state @ a[0, 0].T + np.stack([np.where(draws[:, t, 0], 2, -1), draws[:, t, 1]], 1)
        least, most = np.minimum(least, state.min(0)), np.maximum(most, state.max(0))
    assert np.all(lo <= least) and np.all(most <= hi)
    assert np.all(hi - lo < 2 * (most - least))
