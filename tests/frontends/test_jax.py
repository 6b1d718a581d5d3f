"""Functions of jax.numpy, traced and run on shares, equal JAX in float64; what cannot be is refused by name."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_cases import CASES, REFUSED, logistic_regression

from tacit import errors
from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Program, parse
from tacit.array.runtime import Format, Runtime
from tacit.array.secret import SecretArray
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.testing import run

NAMES = [(subject, name) for subject, cases in CASES.items() for name in cases]
FORMATS = [Format(64, 16), Format(128, 40)]
rng = np.random.default_rng(20)
GRID = 2.0**16  # exact in both formats, so only the operations round
DATA = {
    "x": np.round(rng.uniform(-4, 4, (6, 3)) * GRID) / GRID,
    "y": np.round(rng.uniform(1, 9, (6, 3)) * GRID) / GRID,
    "k": rng.integers(0, 11, 6),
    "b": rng.random(6) < 0.5,
}
DATA["x"][0] = [-2.5, 1.5, 0.625]  # ties of rounding


def hidden(trace: Trace) -> list[SecretArray]:
    """Inputs that no one owner knows: each is shared before the first operation."""
    x = trace.input("x", "alice", (6, 3), "fixed", -4, 4)
    y = trace.input("y", "bob", (6, 3), "fixed", 1, 9)
    k = trace.input("k", "carol", (6,), "int", 0, 10)
    b = trace.input("b", "alice", (6,), "bool", 0, 1)
    zero = trace.input("zero", "bob", (), "fixed", 0, 0)
    nought = trace.input("nought", "carol", (), "fixed", 0, 0)
    none = trace.input("none", "alice", (), "int", 0, 0)
    no = trace.input("no", "bob", (6,), "bool", 0, 1)
    return [x + zero, y + nought, k + none, b ^ no]


ZEROS = {"zero": np.zeros(()), "nought": np.zeros(()), "none": np.zeros((), int), "no": np.zeros(6, bool)}


def is_array(v: Any) -> bool:
    return isinstance(v, SecretArray)


def record(function: Callable[..., Any]) -> tuple[Program, Any]:
    """Trace a function of x, y, k, b and reveal every result."""
    trace = Trace()
    out = trace_jax(function, hidden(trace))
    leaves, tree = jax.tree_util.tree_flatten(out, is_leaf=is_array)
    for i, a in enumerate(leaves):
        reveal(a, why="test", name=f"r{i}")
    return trace.program(), tree


def execute(program: Program, fmt: Format, protocol: str = "rep3") -> dict[str, Any]:
    def go(p: Any) -> dict[str, Any]:
        return Runtime(p, fmt, ("alice", "bob", "carol")).run(program, {**DATA, **ZEROS})

    return run(protocol, fmt.width, go)["alice"]


recorded = functools.cache(record)


@functools.cache
def wanted() -> dict[tuple[str, str], tuple[list[Any], Any]]:
    """Return what JAX gives in float64, all functions compiled as one: compiling them one by one takes longer."""
    with x64():
        every = jax.jit(lambda *values: [CASES[subject][name](*values) for subject, name in NAMES])
        outs = every(*(jnp.asarray(DATA[n]) for n in "xykb"))
        flat = [jax.tree_util.tree_flatten(out) for out in outs]
        return {
            at: ([np.asarray(v) for v in leaves], tree)
            for at, (leaves, tree) in zip(NAMES, flat, strict=True)
        }


# Largest error in units in the last place (relative above 1), by subject; others 24.
UNITS = {
    "arithmetic": 4,
    "integers": 1,
    "elementary": 12,
    "functions": 20,
    "comparison": 1,
    "movement": 1,
    "reductions": 4,
    "products": 4,
}


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f"{f.width}-{f.frac_bits}")
@pytest.mark.parametrize(("subject", "name"), NAMES, ids=lambda v: v)
def test_equals_jax(subject: str, name: str, fmt: Format) -> None:
    function = CASES[subject][name]
    program, tree = recorded(function)
    text = program.text()
    assert parse(text).text() == text
    got = execute(parse(text), fmt)
    want, want_tree = wanted()[subject, name]
    assert tree == want_tree
    assert len(got) == len(want)
    bound = UNITS.get(subject, 24) * 2.0**-fmt.frac_bits
    for i, w in enumerate(want):
        g = got[f"r{i}"]
        assert np.shape(g) == w.shape
        if w.dtype.kind in "biu":
            assert np.array_equal(g, w), f"{name}[{i}] is exact"
        else:
            scale = np.maximum(np.abs(w), 1)
            assert np.max(np.abs(g - w) / scale, initial=0) <= bound, f"{name}[{i}]"


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_name_and_line(name: str) -> None:
    function, error, word = REFUSED[name]
    trace = Trace()
    x = trace.input("x", "alice", (6,), "fixed", -3, 3)
    k = trace.input("k", "bob", (6,), "int", 0, 5)
    with pytest.raises(errors.UsageError) as caught:
        trace_jax(function, (x, k))
    assert type(caught.value).__name__ == error
    assert word in str(caught.value)
    line = function.__code__.co_firstlineno
    assert any(str(caught.value).startswith(f"jax_cases.py:{line + d}:") for d in range(4)), str(caught.value)


def test_equations_carry_the_users_line() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", -1, 1)

    def study(v: Any) -> Any:
        w = v * 2.5
        return jnp.exp(w)

    trace_jax(study, (x,))
    line = study.__code__.co_firstlineno
    by_op = {e.op: e.source for e in trace.eqns}
    assert by_op["mul"] == f"test_jax.py:{line + 1}"
    assert by_op["exp"] == f"test_jax.py:{line + 2}"
    fn.sum(x)
    assert trace.eqns[-1].source.startswith("test_jax.py:"), "the line is not kept for later equations"


def test_other_arguments_stay_what_they_are() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", -1, 1)

    def study(table: dict[str, Any], n: int, *, weights: Any) -> Any:
        assert isinstance(weights, np.ndarray)
        return [table["x"] * i for i in range(n)], jnp.asarray(weights).sum()

    parts, total = trace_jax(study, ({"x": x}, 3), {"weights": np.arange(4.0)})
    assert len(parts) == 3
    assert total.aval.where == "public"
    with pytest.raises(errors.UsageError, match="at least one array"):
        trace_jax(jnp.sin, (1.0,))
    other = Trace().input("z", "bob", (3,), "fixed", -1, 1)
    with pytest.raises(errors.UsageError, match="different sessions"):
        trace_jax(jnp.add, (x, other))


def test_known_values_add_no_equations() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (8,), "fixed", -1, 1)

    def study(v: Any) -> Any:
        window = jnp.hanning(8) * jnp.sin(jnp.arange(8.0))
        return v * window

    trace_jax(study, (x,))
    assert [e.op for e in trace.eqns] == ["const", "mul"]


def test_no_global_switch() -> None:
    before = jnp.arange(2.0).dtype
    record(lambda x, y, k, b: x)
    assert jnp.arange(2.0).dtype == before


def test_loops_stay_loops() -> None:
    def steps(n: int) -> int:
        trace = Trace()
        x = trace.input("x", "alice", (40, 3), "fixed", -1, 1)
        trace_jax(
            lambda v: jax.lax.fori_loop(0, n, lambda i, w: w - 0.1 * (v.T @ jnp.tanh(v @ w)), jnp.ones(3)),
            (x,),
        )
        return len(trace.program().text())

    assert abs(steps(5) - steps(40)) < 20


def test_same_text_every_time() -> None:
    texts = {record(lambda x, y, k, b: logistic_regression(x, b))[0].text() for _ in range(3)}
    assert len(texts) == 1


def test_a_node_runs_it_without_jax() -> None:
    program, _ = record(lambda x, y, k, b: (logistic_regression(x, b), jax.nn.softmax(x)))
    code = """
import sys
import numpy as np
import tacit.array.runtime as rt
from tacit.array.program import parse
from tacit.testing import run
program = parse(sys.stdin.read())
data = {i.name: np.zeros(i.aval.shape, {"fixed": float, "int": int, "bool": bool}[i.aval.kind]) for i in program.inputs}
data["y"] += 1
out = run("rep3", 64, lambda p: rt.Runtime(p, rt.Format(64, 16), ("alice", "bob", "carol")).run(program, data))
assert abs(out["bob"]["r1"] - 1 / 3).max() < 1e-4
assert "jax" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], input=program.text(), text=True, check=True, timeout=60)
