"""Functions of jax.numpy that sort, traced on shares and plainly in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tacit
from tacit.array.interpret import Trace, reveal
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64

CASES: dict[str, Callable[[Any, Any], Any]] = {
    "sort": lambda x, k: (jnp.sort(x), jnp.sort(x, axis=0), jnp.sort(k, descending=True)),
    "argsort": lambda x, k: (jnp.argsort(k), jnp.argsort(k, descending=True), jnp.argsort(x, axis=0)),
    "lexsort": lambda x, k: jnp.lexsort((x[0], k[0])),
    "several operands": lambda x, k: lax.sort((k, x, x * 2), num_keys=2),
    "known operands": lambda x, k: lax.sort((k, np.arange(15).reshape(3, 5)), num_keys=1),
    "ranks": lambda x, k: jnp.argsort(jnp.argsort(k)),
    "top_k": lambda x, k: lax.top_k(x, 2),
    "median": lambda x, k: (jnp.median(x), jnp.median(x, axis=0), jnp.median(x, axis=1)),
    "quantile": lambda x, k: (jnp.quantile(x, jnp.array([0.1, 0.5, 0.93])), jnp.percentile(x, 25, axis=1)),
    "trimmed mean": lambda x, k: jnp.sort(x.ravel())[2:-2].mean(),
    "batched": lambda x, k: jax.vmap(lambda r: jnp.sort(r)[::-1])(x),
    "in a loop": lambda x, k: lax.fori_loop(0, 3, lambda i, c: jnp.sort(c, axis=1) * 0.5, x),
}


@pytest.mark.parametrize("name", CASES)
def test_sorting_functions(name: str) -> None:
    rng = np.random.default_rng(5)
    x, k = rng.permutation(60)[:15].reshape(3, 5) / 8 - 3, rng.integers(0, 4, (3, 5))
    with x64():
        want = jax.tree_util.tree_leaves(CASES[name](jnp.asarray(x), jnp.asarray(k)))
    with tacit.simulate("rep3", seed=3) as s:
        secret = s.input(x, "alice", bound=8) + s.input(np.zeros_like(x), "bob", bound=0)
        whole = s.input(k, "bob", bound=(0, 4)) + s.input(np.zeros_like(k), "carol", bound=0)
        got = [np.asarray(tacit.reveal(v, why="t")) for v in jax.tree_util.tree_leaves(
            trace_jax(CASES[name], (secret, whole)))]  # fmt: skip
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, rtol=0, atol=3 * 2.0**-16)


TIED = {
    "whole": np.repeat(np.arange(6), 7),
    "fixed": np.repeat(np.arange(1, 7) * 0.75, 7),
}
POINTS = np.array([0.1, 0.2, 0.3, 0.55, 0.7, 0.95])


@pytest.mark.parametrize("name", TIED)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantiles_between_equal_values_are_that_value(name: str, axis: int | None) -> None:
    """Else all of the ties lie on one side of it, by chance."""

    def function(x: Any) -> Any:
        q = jnp.quantile(x, POINTS, axis=axis, keepdims=True)
        return q, (x > q).sum((1, 2)), (x == q).sum((1, 2)), jnp.quantile(x, 0.3)

    x = np.random.default_rng(2).permutation(TIED[name]).reshape(21, 2)
    for seed in range(3):
        with tacit.simulate("rep3", seed=seed) as s:
            secret = s.input(x, "alice", bound=(0, 8)) + s.input(np.zeros_like(x), "bob", bound=(0, 0))
            got = [np.asarray(tacit.reveal(v, why="t")) for v in trace_jax(function, (secret,))]
        with x64():
            want = function(jnp.asarray(x))
        assert np.allclose(got[0], want[0], rtol=0, atol=2.0**-15)
        q = np.round(np.asarray(want[0]), 9)  # plain floats may miss the tie themselves
        assert np.array_equal(got[1], (x > q).sum((1, 2)))
        assert np.array_equal(got[2], (x == q).sum((1, 2)))


def test_what_is_sorted_already_is_not_sorted_again() -> None:
    def function(x: Any) -> Any:
        s = jnp.sort(x)
        return s, jnp.sort(s), jnp.median(s, axis=1), jnp.sort(s[:, ::-1]), jnp.sort(s, axis=0)

    trace = Trace()
    x = trace.input("x", "alice", (4, 9), "fixed", -4, 4) + trace.input("y", "bob", (4, 9), "fixed", -4, 4)
    for i, v in enumerate(trace_jax(function, (x,))):
        reveal(v, why="test", name=f"r{i}")
    # Of rows once, of what is turned round, and of columns.
    assert [e.op for e in trace.program().eqns].count("order") == 3
