"""Divisions that are not needed: the same answers without them, σ where its formula is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from on_shares import run_on_shares

from tacit.array import functions as fn
from tacit.array.cancel import cancelled
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program, parse
from tacit.array.ranges import fit
from tacit.array.runtime import Format
from tacit.study import run_clear

ROWS = 40
rng = np.random.default_rng(102)
X = np.concatenate([rng.uniform(-4, 4, ROWS - 4), [0.0, 4.0, -4.0, 2.0**-16]])
Y = np.concatenate([rng.uniform(0.5, 2, ROWS - 4), [0.5, 2.0, 1.0, 1.0]])
Body = Callable[[Any, Any], Any]


def recorded(body: Body, reach: float = 4.0) -> Program:
    """Record a function of two arrays that no party knows, the second away from zero."""
    trace = Trace()
    x = trace.input("x", "alice", (ROWS,), "fixed", -reach, reach)
    x = x + trace.input("n", "bob", (ROWS,), "fixed", 0, 0)
    y = trace.input("y", "bob", (ROWS,), "fixed", 0.5, 2) + trace.input("m", "carol", (ROWS,), "fixed", 0, 0)
    reveal(body(x, y), why="test", name="r")
    return trace.program()


def data(scale: float = 1.0) -> dict[str, dict[str, Any]]:
    return {"alice": {"x": X * scale}, "bob": {"y": Y, "n": 0 * X}, "carol": {"m": 0 * Y}}


def ops(program: Program) -> Counter[str]:
    return Counter(eqn.op for eqn in program.eqns)


def log1p(x: Any) -> Any:
    return fn.log(x + 1.0)


def softplus(x: Any) -> Any:
    return fn.maximum(x, 0.0) + log1p(fn.exp(-fn.abs(x)))


def sigma(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


FORMULAS: dict[str, tuple[Body, Callable[[Any, Any], Any]]] = {
    "1/(1 + e^-x)": (lambda x, y: 1.0 / (1.0 + fn.exp(-x)), lambda x, y: sigma(x)),
    "1/(1 + e^x)": (lambda x, y: 1.0 / (fn.exp(x) + 1.0), lambda x, y: sigma(-x)),
    "e^x/(1 + e^x)": (lambda x, y: (lambda e: e / (1.0 + e))(fn.exp(x)), lambda x, y: sigma(x)),
    "its multiple": (lambda x, y: 3.0 / (1.0 + fn.exp(-x)), lambda x, y: 3 * sigma(x)),
    "its opposite": (lambda x, y: -1.0 / (1.0 + fn.exp(-x)), lambda x, y: -sigma(x)),
    "y times": (lambda x, y: y / (1.0 + fn.exp(-x)), lambda x, y: y * sigma(x)),
    "tanh": (lambda x, y: 2.0 / (1.0 + fn.exp(x * -2.0)) - 1.0, lambda x, y: np.tanh(x)),
    "its derivative": (
        lambda x, y: (lambda e: e / fn.square(1.0 + e))(fn.exp(-x)),
        lambda x, y: sigma(x) * sigma(-x),
    ),
    "that of log(1 + e^x)": (
        lambda x, y: (lambda e: (y / (e + 1.0)) * e)(fn.exp(x)),
        lambda x, y: y * sigma(x),
    ),
    "that of softplus": (lambda x, y: fn.exp(x - softplus(x)), lambda x, y: sigma(x)),
    "and of its other end": (lambda x, y: fn.exp(-softplus(x)), lambda x, y: sigma(-x)),
    "that of logaddexp": (
        lambda x, y: fn.exp(y - (fn.maximum(x, y) + log1p(fn.exp(-fn.abs(x - y))))),
        lambda x, y: sigma(y - x),
    ),
    "that of log σ": (
        lambda x, y: (lambda s: (y / s) * (s * (1.0 - s)))(fn.sigmoid(x)),
        lambda x, y: y * sigma(-x),
    ),
    "both sides": (
        lambda x, y: (lambda e: 1.0 / (1.0 + e) + 5.0 * (e / (1.0 + e)))(fn.exp(x)),
        lambda x, y: sigma(-x) + 5 * sigma(x),
    ),
}
FACTORS: dict[str, tuple[Body, Callable[[Any, Any], Any]]] = {
    "at once": (lambda x, y: (x / y) * y, lambda x, y: x),
    "later": (lambda x, y: -(x / y) * x * y, lambda x, y: -x * x),
    "squared": (lambda x, y: (x / fn.square(y)) * y * y, lambda x, y: x),
    "a quotient divided": (lambda x, y: (y * x) / y, lambda x, y: x),
    "one": (lambda x, y: (y * 2.0) / y, lambda x, y: 2.0 + 0 * x),
}


@pytest.mark.parametrize("name", [*FORMULAS, *FACTORS])
@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
def test_divisions_go(name: str, protocol: str) -> None:
    body, want = (FORMULAS | FACTORS)[name]
    program = parse(optimise(recorded(body)).text())
    found = ops(program)
    assert not found["div"] and not found["exp"] and not found["log"]
    assert found["sigmoid"] == (name in FORMULAS)
    fmt = fit(program)
    got = run_on_shares(program, data(), protocol, fmt, 1)["r"]
    np.testing.assert_allclose(got, want(X, Y), atol=16 * 4.0 * 2.0**-fmt.frac_bits)


def test_arguments_may_be_anything() -> None:
    """The exponential of 80 fits no ring of 64 bits, and what is made of it did not."""
    program = optimise(recorded(FORMULAS["1/(1 + e^-x)"][0], 80))
    fmt = fit(program)
    assert fmt.width == 64
    got = run_on_shares(program, data(20), "rep3", fmt, 2)["r"]
    np.testing.assert_allclose(got, sigma(20 * X), atol=4 * 2.0**-fmt.frac_bits)


STAYS: dict[str, Body] = {
    "another": lambda x, y: (x / y) * x,
    "a power more": lambda x, y: (x / fn.square(y)) * y,
    "a sum with one, of no exponential": lambda x, y: x / (y + 1.0),
    "an exponential and two": lambda x, y: y / (fn.exp(x) + 2.0),
    "far below nought": lambda x, y: y / (fn.exp(-fn.abs(x * 10.0)) + 1.0),
    "of another's": lambda x, y: fn.exp(y - softplus(x)),
    "times what is far larger": lambda x, y: fn.exp(x * 2.0) / (1.0 + fn.exp(x)),
    "nothing to divide": lambda x, y: x * y * fn.exp(y),
}


@pytest.mark.parametrize("name", STAYS)
def test_others_stay(name: str) -> None:
    program = recorded(STAYS[name])
    assert cancelled(program) is program


def test_what_is_asked_for_twice_is_made_once() -> None:
    def body(x: Any, y: Any) -> Any:
        e = fn.exp(-x)
        s = 1.0 / (1.0 + e)
        # Its gradient as JAX makes it, and itself: σ(−x) = 1 − σ(x).
        return s + (y / fn.square(1.0 + e)) * e

    program = optimise(recorded(body))
    assert ops(program)["sigmoid"] == 1 and not ops(program)["div"]
    got = run_on_shares(program, data(), "rep3", Format(64, 20), 3)["r"]
    np.testing.assert_allclose(got, sigma(X) + Y * sigma(X) * sigma(-X), atol=16 * 2.0**-20)


def logaddexp(x: Any, y: Any) -> Any:
    return fn.maximum(x, y) + log1p(fn.exp(-fn.abs(x - y)))


def test_both_derivatives_of_a_sum_of_powers_are_of_one_sigmoid() -> None:
    def body(x: Any, y: Any) -> Any:
        return 3.0 * fn.exp(y - logaddexp(x, y)) + fn.exp(x - logaddexp(x, y))

    program = optimise(recorded(body))
    assert ops(program)["sigmoid"] == 1 and not ops(program)["exp"]
    got = run_on_shares(program, data(), "rep3", Format(64, 20), 3)["r"]
    np.testing.assert_allclose(got, 3 * sigma(Y - X) + sigma(X - Y), atol=16 * 2.0**-20)


@pytest.mark.parametrize("of", [softplus, lambda x: logaddexp(x, -x)])
def test_a_value_with_its_derivative_keeps_its_exponential(of: Callable[[Any], Any]) -> None:
    """The logarithm is asked for, so that its exponential is there; another of what is below nought is cheap."""
    program = recorded(lambda x, y: (lambda v: v + y * fn.exp(x - v))(of(x)))
    assert cancelled(program) is program
    alone = recorded(lambda x, y: y * fn.exp(x - of(x)))
    assert ops(cancelled(alone))["sigmoid"] == 1


def test_what_is_scaled_down_first_is_not_multiplied_as_large_as_it_was() -> None:
    """Four numbers of 2^30 each, a 2^30th of them: their product as they are fits no ring."""
    scale = 2.0**-30

    def body(x: Any, y: Any) -> Any:
        u = x * scale
        return (u * u * u * u / y) * y

    program = optimise(recorded(body, 2.0**30))
    fmt = fit(program)
    assert fmt.width == 64
    got = run_on_shares(program, data(2.0**28), "rep3", fmt, 4)["r"]
    np.testing.assert_allclose(got, (X / 4) ** 4, atol=16 * 2.0**-fmt.frac_bits)
    # Where there is room, nothing is divided.
    near = optimise(recorded(lambda x, y: ((x * 2.0**-9) / y) * y * (x * 2.0**-9), 2.0**9))
    assert not ops(near)["div"]


def test_loops_and_results_that_another_result_is() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (ROWS,), "fixed", -4, 4) + trace.input("n", "bob", (ROWS,), "fixed", 0, 0)
    body = Trace()
    carry = body.parameter(x.aval)
    new = 1.0 / (1.0 + fn.exp(-carry))
    params = {"n_consts": 0, "n_carry": 1, "length": 3, "reverse": False, "body": body.program([new, new])}
    last, rows = trace.bind("scan", [x], params)
    reveal(last, why="test", name="r")
    reveal(rows, why="test", name="s")
    program = optimise(trace.program())
    inner = next(eqn.params["body"] for eqn in program.eqns if eqn.op == "scan")
    assert ops(inner)["sigmoid"] == 1 and not ops(inner)["div"]
    got = run_on_shares(program, data(), "rep3", fit(program), 5)
    np.testing.assert_allclose(got["r"], sigma(sigma(sigma(X))), atol=2.0**-14)
    np.testing.assert_array_equal(got["r"], got["s"][-1])


STEPS: list[Callable[[Any, Any, Any, Any], Any]] = [
    lambda m, t, x, y: t * y,
    lambda m, t, x, y: t / y,
    lambda m, t, x, y: t * x,
    lambda m, t, x, y: t / (1.0 + m.exp(x)),
    lambda m, t, x, y: t * m.exp(x),
    lambda m, t, x, y: -t,
    lambda m, t, x, y: t * 0.5,
    lambda m, t, x, y: t / m.square(y),
    lambda m, t, x, y: t * (1.0 - m.sigmoid(x)),
    lambda m, t, x, y: t / m.sigmoid(x),
    lambda m, t, x, y: t + y,
]
IN_NUMPY = SimpleNamespace(exp=np.exp, square=np.square, sigmoid=sigma)


@pytest.mark.parametrize("seed", range(60))
def test_random_products_and_quotients(seed: int) -> None:
    draw = np.random.default_rng(seed)
    steps = [STEPS[i] for i in draw.integers(0, len(STEPS), draw.integers(2, 7))]

    def way(m: Any, x: Any, y: Any) -> Any:
        t = x * 0.25
        for step in steps:
            t = step(m, t, x, y)
        return t

    program = recorded(lambda x, y: way(fn, x, y))
    made = cancelled(program)
    assert ops(made)["div"] <= ops(program)["div"]
    want, fmt = way(IN_NUMPY, X, Y), Format(128, 40)
    for each in (program, made):
        got = run_clear(each, fmt, data())["r"]
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
