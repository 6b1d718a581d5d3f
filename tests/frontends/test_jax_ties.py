"""Gradients of what compares: JAX's at ties and everywhere else, with no comparison beside the function's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program, parse
from tacit.array.runtime import Format, Runtime
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.testing import run

OWNERS = ("alice", "bob", "carol")
FMT = Format(64, 16)
UNIT = 2.0**-16
# Ties with 0, 1, −1 and 2, their next neighbours, and what lies between.
X = np.array([0.0, UNIT, -UNIT, 1.0, 1.0 + UNIT, 1.0 - UNIT, -1.0, -1.0 - UNIT, 2.0, 0.5, -0.5, 3.75, -3.75])
Y = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0, -1.0, -2.0, 0.75, -0.5, 3.75, 3.5])
G = np.array([1.0, -0.5, 0.25, 3.0, -2.0, 1.0, 0.5, 4.0, -1.0, 2.0, -0.75, 1.5, 0.125])

# name: (function of x and y, signs found for each element)
FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "maximum": (lambda x, y: jnp.maximum(x, 0), 2),
    "a number first": (lambda x, y: jnp.maximum(1.0, x), 2),
    "minimum": (lambda x, y: jnp.minimum(x, 1), 2),
    "of two": (lambda x, y: jnp.maximum(x, y), 2),
    "least of two": (lambda x, y: jnp.minimum(x, y), 2),
    "greatest and least": (lambda x, y: jnp.maximum(x, y) * 2 - jnp.minimum(x, y), 2),
    "relu": (lambda x, y: jax.nn.relu(x), 1),
    "relu6": (lambda x, y: jax.nn.relu6(x), 2),
    "leaky": (lambda x, y: jax.nn.leaky_relu(x), 1),
    "clip": (lambda x, y: jnp.clip(x, -1, 1), 4),
    "clamp": (lambda x, y: lax.clamp(-1.0, x, 1.0), 2),
    "between two": (lambda x, y: lax.clamp(-1.0, x - y, 1.0), 2),
    "abs": (lambda x, y: jnp.abs(x), 1),
    "distance": (lambda x, y: jnp.abs(x - y), 1),
    "hinge": (lambda x, y: jnp.maximum(0, 1 - x * 2), 2),
    "sign": (lambda x, y: jnp.sign(x) * x, 2),
    "where": (lambda x, y: jnp.where(x > 0, x, jnp.maximum(x, 0) * y), 2),
    "within a loop": (
        lambda x, y: lax.scan(lambda c, v: (jnp.maximum(c - v, 0), v), x, jnp.stack([y, -y, y]))[0],
        6,
    ),
}


def recorded(function: Callable[..., Any], shapes: list[tuple[int, ...]]) -> Program:
    """Record a function of arrays that no party knows."""
    trace, ins = Trace(), []
    for i, shape in enumerate(shapes):
        known = trace.input(f"x{i}", "alice", shape, "fixed", -4, 4)
        ins.append(known + trace.input(f"n{i}", "bob", shape, "fixed", 0, 0))
    for i, a in enumerate(
        jax.tree_util.tree_leaves(trace_jax(function, ins), is_leaf=lambda v: hasattr(v, "ref"))
    ):
        reveal(a, why="test", name=f"r{i}")
    return optimise(trace.program())


def with_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    def both(x: Any, y: Any, g: Any) -> Any:
        out, back = jax.vjp(function, x, y)
        return (out, *back(g))

    return both


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_at_ties_and_everywhere(name: str) -> None:
    function, sides = FUNCTIONS[name]
    whole = with_gradients(function)
    program = parse(recorded(whole, [X.shape] * 3).text())
    values = {f"x{i}": v for i, v in enumerate((X, Y, G))}
    data = {"alice": values, "bob": {f"n{i}": np.zeros(X.shape) for i in range(3)}, "carol": {}}
    found = run("rep3", 64, lambda p: Runtime(p, FMT, OWNERS).run(program, data[p.party.name]), seed=5)
    with x64():
        want = whole(*(jnp.asarray(v) for v in (X, Y, G)))
    for i, w in enumerate(want):
        # A product rounds by a unit; a comparison that went another way would be off by an eighth at least.
        np.testing.assert_allclose(found["bob"][f"r{i}"], np.asarray(w), atol=8 * UNIT, err_msg=f"result {i}")
    elements = predict(program, "rep3", FMT, OWNERS, OWNERS).elements
    assert {k: elements[k] for k in ("sign", "is_zero") if elements[k]} == {"sign": sides * X.size}


def test_a_training_step_compares_as_often_as_its_layers_do() -> None:
    """Two layers of ReLU, whose gradients tell ties apart: both sides of a comparison, in one call each."""

    def loss(w1: Any, w2: Any, x: Any) -> Any:
        hidden = jnp.maximum(x @ w1, 0)
        return (jnp.maximum(hidden @ w2, 0) * 0.125).sum()

    program = recorded(lambda w1, w2, x: jax.grad(loss, argnums=(0, 1))(w1, w2, x), [(3, 4), (4, 2), (5, 3)])
    cost = predict(program, "rep3", FMT, OWNERS, OWNERS)
    assert cost.calls["sign"] == 2
    assert cost.elements["sign"] == 2 * (5 * 4 + 5 * 2)
    assert not cost.calls["is_zero"]
    assert not cost.calls["and_"]


def test_one_side_of_a_comparison_is_enough_for_relu() -> None:
    program = recorded(lambda x: jax.grad(lambda v: jax.nn.relu(v).sum())(x), [(6,)])
    cost = predict(program, "rep3", FMT, OWNERS, OWNERS)
    assert (cost.calls["sign"], cost.elements["sign"]) == (1, 6)
