"""Running a function of jax.numpy on values that no party knows, and JAX in float64 beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tacit.array.interpret import Trace, reveal
from tacit.array.ranges import fit
from tacit.array.runtime import Runtime
from tacit.array.secret import SecretArray
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.testing import run

OWNERS = ("alice", "bob", "carol")


def shared(function: Callable[..., Any], values: list[Any], lo: float = -4, hi: float = 4) -> list[Any]:
    """Run a function on values that no party knows; fixed point for floats, int for whole numbers."""
    trace, ins, data = Trace(), [], {o: {} for o in OWNERS}
    for i, v in enumerate(values):
        a = np.asarray(v)
        kind = {"f": "fixed", "i": "int", "b": "bool"}[a.dtype.kind]
        ends = (lo, hi) if kind == "fixed" else (int(a.min(initial=0)), int(a.max(initial=1)))
        x = trace.input(f"x{i}", "alice", a.shape, kind, *ends)
        nought = trace.input(f"n{i}", "bob", a.shape, kind, 0, 1 if kind == "bool" else 0)
        data["alice"][f"x{i}"], data["bob"][f"n{i}"] = a, np.zeros(a.shape, a.dtype)
        ins.append(x ^ nought if kind == "bool" else x + nought)
    out = trace_jax(function, ins)
    leaves = jax.tree_util.tree_leaves(out, is_leaf=lambda v: isinstance(v, SecretArray))
    for i, a in enumerate(leaves):
        reveal(a, why="test", name=f"r{i}")
    program = trace.program()
    fmt = fit(program)
    found = run("rep3", fmt.width, lambda p: Runtime(p, fmt, OWNERS).run(program, data[p.party.name]), seed=2)
    return [np.asarray(found["carol"][f"r{i}"]) for i in range(len(leaves))]


def same(function: Callable[..., Any], values: list[Any], atol: float = 2.0**-14, **ends: float) -> None:
    """Compare with JAX in float64."""
    got = shared(function, values, **ends)
    with x64():
        want = jax.tree_util.tree_leaves(jax.jit(function)(*(jnp.asarray(v) for v in values)))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape
        np.testing.assert_allclose(g.astype(float), np.asarray(w, float), atol=atol, rtol=atol)
