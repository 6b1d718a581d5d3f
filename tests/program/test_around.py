"""Variances and covariances of pooled rows: owners add up squares about their own means, a few numbers are shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from tacit import testing
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.passes import localise, prune
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.array.runtime import Runtime
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64

OWNERS = ("alice", "bob", "carol")
ROWS = {"alice": 70, "bob": 0, "carol": 55}  # bob has none
Body = Callable[..., Any]


def masked(x: Any, b: Any) -> Any:
    """Variance of what a mask leaves, over n − 1."""
    n = jnp.maximum(b.sum(), 2)
    middle = jnp.where(b, x[:, 0], 0.0).sum() / n
    return jnp.square(jnp.where(b, x[:, 0] - middle, 0.0)).sum() / (n - 1)


def correlated(x: Any, b: Any) -> Any:
    """Products of two columns about their means, of all rows and of what masks leave."""
    u, v = x[:, 0] - x[:, 0].mean(), x[:, 1] - x[:, 1].mean()
    w = x[:, 2] - 7.0 * (x[:, 2].mean() / 40)  # about no mean of its own
    some = jnp.where(b, u, 0.0)
    return (
        (u * v).mean(),
        (u * w).sum(),
        (some * v).sum(),
        (w * some).sum(),
        (some * jnp.where(b, w, 0.0)).sum(),
    )


def other_masks(x: Any, b: Any) -> Any:
    """A row counts in a product if it does in both factors."""
    u, v = x[:, 0] - x[:, 0].mean(), x[:, 1] - x[:, 1].mean()
    return (jnp.where(b, u, 0.0) * jnp.where(x[:, 2] > 9, v, 0.0)).sum() / 100


def powers(x: Any, b: Any) -> Any:
    """Third and fourth moments of rows, of columns, about no mean of their own, and of what a mask leaves."""
    z = x / 80
    u = z - z.mean(axis=0)
    v = u.T
    w = z[:, 0] - 0.1 * z[:, 1].mean()
    some = jnp.where(b, w, 0.0)
    return (
        (u**3).mean(axis=0),
        (u**4).mean(axis=0),
        (v * v * v).sum(axis=1),
        (w * w * (w * w)).sum(),
        (w**2 * w * w).mean(),
        (some**3).sum(),
        (some**4).sum(),
    )


BODIES: dict[str, Body] = {
    "powers": powers,
    "products": correlated,
    "products under two masks": other_masks,
    "extremes": lambda x, b: (jnp.max(x, axis=0), jnp.argmin(x[:, 1]), jnp.any(b), jnp.all(x > -19, axis=0)),
    "var": lambda x, b: (jnp.var(x), jnp.var(x, axis=0, ddof=1), jnp.var(x, axis=0, keepdims=True)),
    "var of columns": lambda x, b: jnp.var(x.T, axis=1),
    "std": lambda x, b: jnp.std(x[:, 1]),
    "cov": lambda x, b: (jnp.cov(x, rowvar=False), jnp.cov(x.T, bias=True)),
    "two columns": lambda x, b: jnp.cov(x[:, 0], x[:, 2]),
    "masked": masked,
    "used twice": lambda x, b: (x - x.mean(0))[:3] + jnp.var(x, axis=0),
}
SHARES_ROWS = ("used twice", "products under two masks")


def pooled(body: Body, rows: dict[str, int]) -> Program:
    trace = Trace()
    xs = [trace.input("x", o, (n, 3), "fixed", -20, 80) for o, n in rows.items()]
    bs = [trace.input("b", o, (n,), "bool", 0, 1) for o, n in rows.items()]
    out = trace_jax(body, [fn.concat(xs), fn.concat(bs)])
    for i, a in enumerate(out if isinstance(out, tuple) else (out,)):
        reveal(a, why="test", name=f"r{i}")
    return trace.program()


def values(rows: dict[str, int], seed: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {o: {"x": rng.uniform(-20, 80, (n, 3)), "b": rng.random(n) < 0.7} for o, n in rows.items()}


def run(program: Program, data: dict[str, Any]) -> dict[str, Any]:
    fmt = fit(program)

    def go(p: Any) -> Any:
        return Runtime(p, fmt, OWNERS).run(program, data[p.party.name])

    return testing.run("rep3", fmt.width, go, seed=3)["bob"]


@pytest.mark.parametrize("name", BODIES)
def test_only_sums_are_shared_and_the_answer_is_that_of_the_pooled_rows(name: str) -> None:
    program, data = pooled(BODIES[name], ROWS), values(ROWS)
    local = localise(program)
    got = run(local, data)
    x, b = (np.concatenate([data[o][k] for o in OWNERS]) for k in ("x", "b"))
    with x64():
        want = BODIES[name](jnp.asarray(x), jnp.asarray(b))
    for i, w in enumerate(want if isinstance(want, tuple) else (want,)):
        np.testing.assert_allclose(np.asarray(got[f"r{i}"]), np.asarray(w), rtol=2e-4, atol=2.0**-9)
    if name not in SHARES_ROWS:
        fmt = fit(local)
        few = {o: 10 * n for o, n in ROWS.items()}
        costs = [predict(localise(pooled(BODIES[name], r)), "rep3", fmt, OWNERS, OWNERS) for r in (ROWS, few)]
        # Ten times the rows cost a few more bits of each number, and may be worth other ways to join them. A quotient
        # of one element is planned for time: a longer series with fewer tests, or the other way round.
        assert costs[1].total_bytes <= 1.5 * costs[0].total_bytes
        assert costs[0].total_bytes < predict(prune(program), "rep3", fmt, OWNERS, OWNERS).total_bytes


def test_no_digits_cancel() -> None:
    rows = {"alice": 500_000, "bob": 300_000, "carol": 200_000}
    rng = np.random.default_rng(8)
    trace = Trace()
    xs = [trace.input("x", o, (n,), "fixed", 0, 100) for o, n in rows.items()]
    reveal(trace_jax(lambda x: jnp.var(x), [fn.concat(xs)]), why="test", name="r0")
    data = {o: {"x": rng.uniform(0, 100, n)} for o, n in rows.items()}
    data["carol"]["x"] = 100 - 1e-3 * rng.random(rows["carol"])
    got = run(localise(trace.program()), data)["r0"]
    want = np.var(np.concatenate([d["x"] for d in data.values()]))
    assert abs(float(got) - want) < 2.0**-9


def test_values_within_one_owner_stay_there_without_any_message_of_rows() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (9, 3), "fixed", -20, 80)
    y = trace.input("y", "bob", (9, 3), "fixed", -20, 80)
    # Side by side along another axis: no sum over an owner's rows, nothing to move.
    out = trace_jax(lambda x, y: jnp.var(jnp.concatenate([x, y], 1), axis=0), [x, y])
    reveal(out, why="test", name="r0")
    data = {
        "alice": {"x": values({"a": 9})["a"]["x"]},
        "bob": {"y": values({"a": 9}, 6)["a"]["x"]},
        "carol": {},
    }
    got = run(localise(trace.program()), data)["r0"]
    want = np.var(np.concatenate([data["alice"]["x"], data["bob"]["y"]], 1), axis=0)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4)
