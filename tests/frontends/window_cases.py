"""Tracing a function of jax.numpy on hidden arrays, running it on shares, and its answer in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tacit.array.interpret import Trace, reveal
from tacit.array.program import Program, parse
from tacit.array.runtime import Format, Runtime
from tacit.array.secret import SecretArray
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.study import run_clear
from tacit.testing import dealer_of, run

OWNERS = ("alice", "bob", "carol")
FORMAT = Format(64, 16)
GRID = 2.0**16
Array = Any
Bounds = Sequence[tuple[float, float]]


def grid(seed: int, *shape: int, lo: float = -2, hi: float = 2) -> Array:
    """Return uniform values that the fixed-point format holds exactly."""
    return np.round(np.random.default_rng(seed).uniform(lo, hi, shape) * GRID) / GRID


def record(
    function: Callable[..., Any], values: Sequence[Array], bounds: Bounds, hide: bool = True
) -> tuple[Program, dict[str, Array]]:
    """Trace `function`; with `hide`, no argument is one owner's when it starts."""
    trace, arrays, data = Trace(), [], {}
    for i, (v, (lo, hi)) in enumerate(zip(values, bounds, strict=True)):
        kind = {"f": "fixed", "i": "int", "b": "bool"}[np.asarray(v).dtype.kind]
        x = trace.input(f"a{i}", OWNERS[i % 3], np.shape(v), kind, lo, hi)
        data[f"a{i}"] = np.asarray(v)
        if hide:
            zero = trace.input(f"z{i}", OWNERS[(i + 1) % 3], (), kind, 0, int(kind == "bool"))
            data[f"z{i}"] = np.zeros((), np.asarray(v).dtype)
            x = x ^ zero if kind == "bool" else x + zero
        arrays.append(x)
    out = trace_jax(function, arrays)
    for i, a in enumerate(jax.tree_util.tree_leaves(out, is_leaf=lambda v: isinstance(v, SecretArray))):
        reveal(a, why="test", name=f"r{i}")
    return parse(trace.program().text()), data


def compare(
    function: Callable[..., Any],
    values: Sequence[Array],
    bounds: Bounds,
    units: float,
    protocol: str = "rep3",
    fmt: Format = FORMAT,
    hide: bool = True,
) -> Program:
    """Assert that results on shares are JAX's in float64, within `units` in the last place; whole numbers exactly."""
    program, data = record(function, values, bounds, hide)

    def go(p: Any) -> dict[str, Any]:
        return Runtime(p, fmt, OWNERS).run(program, data)

    if protocol == "clear":
        got = run_clear(program, fmt, dict.fromkeys(OWNERS, data))
    else:
        got = run(protocol, fmt.width, go, dealer=dealer_of(protocol, "dave"))["alice"]
    with x64():
        want = jax.tree_util.tree_leaves(function(*(jnp.asarray(v) for v in values)))
    assert len(got) == len(want)
    for i, w in enumerate(map(np.asarray, want)):
        g = np.asarray(got[f"r{i}"])
        assert g.shape == w.shape
        if w.dtype.kind in "biu":
            assert np.array_equal(g, w), i
        else:
            scale = np.maximum(np.abs(w), 1)
            assert np.max(np.abs(g - w) / scale, initial=0) <= units * 2.0**-fmt.frac_bits, i
    return program
