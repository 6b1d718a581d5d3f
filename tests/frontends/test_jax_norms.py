"""Quotients by norms and sums: ranges that intervals alone do not prove, beside JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same

from tacit.array.analyse import plan
from tacit.array.interpret import Trace, reveal
from tacit.array.ops import table
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.array.runtime import Format, Runtime
from tacit.errors import RangeError
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.testing import dealer_of, run

rng = np.random.default_rng(5)
N = 9
X = rng.uniform(-4, 4, (4, N))
SMALL = X * 2.0**-10
EPS = 1e-2
OWNERS = ("alice", "bob", "carol")


def layer(x: Any, axis: int = -1, eps: float = EPS) -> Any:
    return (x - x.mean(axis, keepdims=True)) / jnp.sqrt(x.var(axis, keepdims=True) + eps)


def unit(x: Any) -> Any:
    return x / jnp.sqrt((x * x).sum(1, keepdims=True) + EPS)


def shares(x: Any) -> Any:
    return x / (x.sum(1, keepdims=True) + 0.5)


def softmax(x: Any) -> Any:
    return jax.nn.softmax(x, 1)


# The largest value that each may be proved to stay within, apart from a sixteenth and what is rounded.
ROOT = np.sqrt(N)
BOUNDED: dict[str, tuple[Callable[[Any], Any], float]] = {
    "a layer's rows": (layer, ROOT),
    "its columns": (lambda x: layer(x, 0), 2),
    "all of it": (lambda x: layer(x, None), 2 * ROOT),
    "by the inverse root": (
        lambda x: (x - x.mean(1, keepdims=True)) * lax.rsqrt(x.var(1, keepdims=True) + EPS),
        ROOT,
    ),
    "by one over the root": (lambda x: x * (1 / jnp.sqrt((x**2).mean(1, keepdims=True) + EPS)), ROOT),
    "root of a mean square": (lambda x: x / jnp.sqrt((x**2).mean(1, keepdims=True) + EPS), ROOT),
    "half of it": (lambda x: 0.5 * (x / jnp.sqrt((x**2).mean(1, keepdims=True) + EPS)), ROOT / 2),
    "over twice the root": (lambda x: x / (2 * jnp.sqrt((x**2).mean(1, keepdims=True) + EPS)), ROOT / 2),
    "a unit vector": (unit, 1),
    "its larger norm": (lambda x: x / jnp.maximum(jnp.sqrt((x * x).sum(1, keepdims=True)), 0.25), 1.1),
    "with a weight and an offset": (lambda x: layer(x) * x[:1] + 1, 4 * ROOT + 1),
    "cosines": (lambda x: unit(x) @ unit(x[::-1]).T, 1),
    "turned": (lambda x: unit(x.T.T).T, 1),
    "a layer times a matrix": (lambda x: layer(x) @ x.T, 4 * N),
    "the matrix before it": (lambda x: x @ layer(x).T, 4 * N),
    "an offset layer times a matrix": (lambda x: (0.5 * layer(x) + 1) @ x.T, 4 * ROOT * (ROOT / 2 + ROOT)),
    "weights": (softmax, 1),
    "means by weights": (lambda x: softmax(x) @ x.T, 4),
    "a known matrix by weights": (lambda x: softmax(x) @ np.linspace(-3, 5, N)[:, None], 5),
    "turned weights": (lambda x: softmax(x).T.T @ x.T, 4),
    "shares of a sum": (lambda x: shares(jnp.abs(x)), 1),
}


def traced(function: Callable[[Any], Any], shape: tuple[int, ...] = X.shape) -> tuple[Any, Program]:
    trace = Trace()
    x = trace.input("x", "alice", shape, "fixed", -4, 4) + trace.input("n", "bob", shape, "fixed", 0, 0)
    out = trace_jax(function, [x])
    reveal(out, why="test", name="r")
    return out, trace.program()


def ranges_hold(function: Callable[[Any], Any], x: Any) -> None:
    """Evaluate a Program in float64: every range that the front end states holds, and that of the result."""
    out, program = traced(function, x.shape)
    held: dict[int, Any] = {i.var: x if i.name == "x" else np.zeros(x.shape) for i in program.inputs}
    for eqn in program.eqns:
        values = [np.asarray(held[v]) for v in eqn.ins]
        if eqn.op == "assume":
            lo, hi = eqn.params["lo"], eqn.params["hi"]
            assert np.all((values[0] >= lo - 1e-9) & (values[0] <= hi + 1e-9)), eqn.params
        held.update(zip(eqn.outs, table()[eqn.op].clear(values, eqn.params), strict=True))
    with x64():
        want = np.asarray(function(jnp.asarray(x)))
    assert np.all((want >= out.aval.lo - 1e-9) & (want <= out.aval.hi + 1e-9))


@pytest.mark.parametrize("name", BOUNDED)
def test_what_is_divided_by_its_own_norm_is_bounded(name: str) -> None:
    function, bound = BOUNDED[name]
    out, _ = traced(function)
    assert out.aval.magnitude <= 1.4 * bound
    for x in (X, SMALL, np.zeros_like(X), np.eye(4, N) * 4, np.full_like(X, 4)):
        ranges_hold(function, x)
        same(function, [x], atol=2.0**-9)


def over_columns(x: Any) -> Any:
    return x / jnp.sqrt((x**2).sum(1)[None, :] + EPS)


def tenth(x: Any) -> Any:
    return x / (0.1 * x.sum(1, keepdims=True) + 0.1)


def other_means(x: Any) -> Any:
    rows, columns = x - x.mean(1, keepdims=True), x - x.mean(0, keepdims=True)
    return columns / jnp.sqrt((rows**2).sum(1, keepdims=True) + EPS)


# As above, but for one thing: what such a bound would say is wrong, and JAX's result is beyond it.
ONE = np.eye(4, N) * 4
STEPS = np.broadcast_to([[4.0], [-4.0], [1.0], [0.0]], X.shape)
NOT_ITS_OWN: dict[str, Callable[[Any], Any]] = {
    "another row's": lambda x: x / jnp.sqrt((x**2).sum(1, keepdims=True)[::-1] + EPS),
    "another axis's": lambda x: over_columns(x[:, :4]),
    "another array's": lambda x: x / jnp.sqrt(((0.01 * x) ** 2).sum(1, keepdims=True) + EPS),
    "deviations from something else": lambda x: (
        (x - x.max(1, keepdims=True)) / jnp.sqrt(x[:, 1:].var(1, keepdims=True) + EPS)
    ),
    "less than the squares": lambda x: (
        x / jnp.sqrt(jnp.maximum((x**2).sum(1, keepdims=True) - 15.9, 0) + EPS)
    ),
    "some of the squares": lambda x: x / jnp.sqrt((x[:, 4:] ** 2).sum(1, keepdims=True) + EPS),
    "less, by a negative number": lambda x: (
        x / jnp.sqrt(jnp.maximum((x**2).sum(1, keepdims=True) + -15.9, 0) + EPS)
    ),
    "the inverse root and more": lambda x: x * (lax.rsqrt((x * x).sum(1, keepdims=True) + EPS) + 1),
    "other factors": lambda x: (x * 2) / jnp.sqrt(((x * 0.01) ** 2).sum(1, keepdims=True) + EPS),
    "means over other axes": lambda x: other_means(x[:, :4]),
    "a tenth of the sum": lambda x: tenth(jnp.abs(x)),
    "signs over their sum": lambda x: x / jnp.maximum(x.sum(1, keepdims=True), 0.1),
    "a mean by less than all weights": lambda x: shares(jnp.abs(x)) @ (x.T * 0 + 3.0),
    "fourth roots": lambda x: x**2 / jnp.sqrt((x**2).sum(1, keepdims=True) + EPS),
    "the lesser of norm and number": lambda x: (
        x / jnp.minimum(jnp.sqrt((x**2).sum(1, keepdims=True) + EPS), 0.5)
    ),
    "a sum without signs": lambda x: x / (x.sum(1, keepdims=True) ** 2 + 0.25),
    "shares of another sum": lambda x: jnp.abs(x) / (jnp.abs(x).sum(1, keepdims=True)[::-1] + 0.5),
    "weights over another axis": lambda x: softmax(x[:, :4]).T @ jnp.abs(x[:, :4]),
    "a norm over another axis": lambda x: unit(x[:, :4]).T @ jnp.ones((4, 2)),
    "twice": lambda x: 2 * unit(x) + x / (0.5 * jnp.sqrt((x**2).sum(1, keepdims=True) + EPS)),
    "multiplied": lambda x: (unit(x) * x[:, :1]) @ np.full((N, 1), 4.0),
}


@pytest.mark.parametrize("name", NOT_ITS_OWN)
def test_what_is_divided_by_another_norm_is_not(name: str) -> None:
    for x in (
        ONE,
        ONE[:, ::-1],
        X,
        np.abs(X),
        np.full_like(X, 4),
        np.roll(ONE, 1, 0) * [[0.01], [1], [0.1], [1]],
    ):
        ranges_hold(NOT_ITS_OWN[name], x)
        same(NOT_ITS_OWN[name], [x], atol=2.0**-7, lo=-4, hi=4)


FAINT: dict[str, Callable[[Any, float], Any]] = {
    "layer": lambda x, u: layer(x, eps=u),
    "unit": lambda x, u: x / jnp.sqrt((x * x).sum(1, keepdims=True) + u),
    "norm": lambda x, u: x / jnp.maximum(jnp.sqrt((x * x).sum(1, keepdims=True)), 16 * u),
}


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize("frac_bits", [16, 20])
@pytest.mark.parametrize("units", [4, 8, 40])
@pytest.mark.parametrize("name", FAINT)
def test_bounds_hold_where_everything_is_rounding(
    name: str, frac_bits: int, units: int, protocol: str
) -> None:
    """Values and ε of a few units: a norm that is computed may be much smaller than the exact one."""
    unit, signs = 2.0**-frac_bits, np.where(np.arange(64) % 2, 1, -1)
    x = np.stack([np.sqrt(k * unit) * signs for k in (0.4, 0.9, 1.7, 30)])
    trace = Trace()
    a = trace.input("x", "alice", x.shape, "fixed", -4, 4) + trace.input("n", "bob", x.shape, "fixed", 0, 0)
    y = trace_jax(lambda v: FAINT[name](v, units * unit), [a])
    product = trace_jax(lambda v: v @ (signs / 8)[:, None], [y])
    for i, out in enumerate((y, product)):
        reveal(out, why="test", name=f"r{i}")
    program, fmt = trace.program(), Format(64, frac_bits)
    assert [e for e in program.eqns if e.op == "assume"]
    found = ran(program, fmt, x, protocol)
    for i, out in enumerate((y, product)):
        assert np.all(np.abs(found[f"r{i}"]) <= out.aval.magnitude)


def ran(program: Program, fmt: Format, x: Any, protocol: str) -> dict[str, Any]:
    data = {"alice": {"x": x}, "bob": {"n": np.zeros_like(x)}}

    def body(p: Any) -> Any:
        return Runtime(p, fmt, OWNERS).run(program, data.get(p.party.name, {}))

    return run(protocol, fmt.width, body, seed=3, dealer=dealer_of(protocol, "dave"))["carol"]


def apart(x: Any, first: bool) -> Any:
    """The norm of what was computed twice, and rounded twice, by a large factor apart."""
    q = x / 3
    a = q * 1e5 if first else (x / 3) * 1e5
    b = (x / 3) * 1e5 if first else q * 1e5
    return a / jnp.sqrt((b**2).sum(1, keepdims=True) + 1e-4), jnp.where(q > 0.0, 1.0, -1.0)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_what_was_rounded_twice_may_be_apart(first: bool, turned: bool) -> None:
    x = np.full((50, 1), 2.0**-16)
    trace = Trace()
    a = trace.input("x", "alice", x.shape, "fixed", -4, 4) + trace.input("n", "bob", x.shape, "fixed", 0, 0)
    y = trace_jax(lambda v: apart(v, first)[0].T.T if turned else apart(v, first)[0], [a])
    reveal(y, why="test", name="y")
    found = ran(trace.program(), Format(128, 16), x, "semi2k")["y"]
    assert np.all(np.abs(found) <= y.aval.magnitude)


def test_what_is_written_twice_is_computed_once() -> None:
    """So its maximum is one of its elements, however they are rounded."""
    trace = Trace()
    a = trace.input("x", "alice", (40, 5), "fixed", -1, 1) + trace.input("n", "bob", (40, 5), "fixed", 0, 0)
    equal = trace_jax(lambda x: (x / 3 == (x / 3).max(1, keepdims=True)).astype(float).sum(1), [a])
    assert equal.aval.lo == 1
    reveal(equal, why="test", name="y")
    x = np.random.default_rng(4).uniform(-1, 1, (40, 5))
    found = ran(trace.program(), Format(64, 16), x, "rep3")["y"]
    assert np.all(found >= 1)


def test_ranges_that_need_fine_units_are_refused_with_coarse_ones() -> None:
    _, program = traced(unit)
    with pytest.raises(RangeError, match="14 fractional bits"):
        fit(program, frac_bits=8)
    assert fit(program, frac_bits=14).frac_bits == 14


def test_a_moment_that_is_scaled_first_is_not_negative() -> None:
    """(c·g)·g is c·g²: Adam's second moment as it is often written."""

    def second(x: Any) -> Any:
        return jnp.sqrt(0.01 * x * x), jnp.sqrt(x * (0.5 * x)), -0.25 * x * x

    same(second, [X], atol=2.0**-10)
    # The sign of a square, whichever way it is put.
    same(lambda x: jnp.exp(-x * x / 2) + jnp.exp(-x * x * 100), [X], atol=2.0**-10)
    same(lambda x: 1e4 * x * x, [np.linspace(1e-3, 4e-3, 8)], atol=2.0**-18, hi=4e-3, lo=0)
    with pytest.raises(Exception, match="may be negative"):
        traced(lambda x: jnp.sqrt(0.01 * x * x[::-1]))


@pytest.mark.parametrize("factor", [0.5, 2.0, -0.25, 3.0])
def test_a_square_that_is_scaled_first_costs_what_a_square_does(factor: float) -> None:
    def compiled(f: Callable[[Any], Any]) -> tuple[Program, Any]:
        trace = Trace()
        x = trace.input("x", "alice", (11,), "fixed", -1, 1) + trace.input("n", "bob", (11,), "fixed", -1, 1)
        reveal(y := trace_jax(f, [x]), why="test", name="y")
        return trace.program(), y.aval

    (square, _), (scaled, aval) = compiled(lambda x: x * x), compiled(lambda x: factor * x * x)
    fmt = Format(64, 24)
    costs = [plan(p, "rep3", fmt, OWNERS, OWNERS).cost for p in (square, scaled)]
    assert costs[0].rounds == costs[1].rounds
    # And has the factor's sign where all but nothing is left of it.
    units = np.arange(-5.0, 6) / 2**24
    found = ran(scaled, fmt, units, "rep3")["y"]
    assert np.all(found * factor >= 0) and (aval.hi if factor < 0 else aval.lo) == 0


def test_a_transformer_block_takes_the_narrow_ring() -> None:
    def block(x: Any, w: Any) -> Any:
        y = layer(x)
        mask = jnp.tril(jnp.ones((16, 16), bool))
        scores = jnp.where(mask, (y @ w) @ (y @ w).T / 4, -jnp.inf)
        x = x + jax.nn.softmax(scores, -1) @ (y @ w)
        return x + jax.nn.gelu(layer(x) @ w) @ w

    trace = Trace()
    x = trace.input("x", "alice", (16, 16), "fixed", -1, 1)
    w = trace.input("w", "bob", (16, 16), "fixed", -1, 1)
    reveal(trace_jax(block, [x, w]), why="test", name="r")
    assert fit(trace.program()).width == 64
