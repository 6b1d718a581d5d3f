"""`jnp.linalg` and `jax.scipy.linalg` on secrets equal JAX in float64; what nothing is known of is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest

import tacit
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Program, parse
from tacit.array.ranges import check, secret_steps
from tacit.array.runtime import Format, Runtime
from tacit.errors import NotRealised, RangeError, UsageError
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.testing import dealer_of, run

FMT = Format(64, 16)
rng = np.random.default_rng(3)


def grid(a: Any) -> Any:
    return np.round(np.asarray(a) * 2.0**16) / 2.0**16


_Q, _P = (np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(2))
_S = grid(_Q * [0.5, 1, 2, 3] @ _Q.T)
DATA = {
    "a": grid(_Q * [0.5, 1, 2, 3] @ _P),
    "s": np.tril(_S) + np.tril(_S, -1).T,
    "x": grid(rng.uniform(-1, 1, (8, 3))),
    "b": grid(rng.uniform(-2, 2, 4)),
}
SPANS = {"a": (-3, 3), "s": (-3, 3), "x": (-1, 1), "b": (-2, 2)}


def C(a: Any) -> Any:
    return tacit.conditioned(a, 0.45)


def P(a: Any) -> Any:
    return tacit.conditioned(a, 0.45, definite=True)


def X(x: Any) -> Any:
    return tacit.conditioned(x, 0.5)


def by_qr(x: Any) -> Any:
    q, r = jnp.linalg.qr(X(x))
    return jsl.solve_triangular(r, q.T @ jnp.ones(8))


def rebuilt(x: Any) -> Any:
    u, s, vt = jnp.linalg.svd(X(x), full_matrices=False)
    return u * s @ vt


def weighed(x: Any, weight: Callable[[Any], Any], _: Any = None) -> Any:
    u, s, vt = jnp.linalg.svd(X(x), full_matrices=False)
    return vt.T @ (weight(s)[:, None] * (u.T @ x[:, :2]))


def gram(x: Any, y: Any) -> Any:
    """A product that is definite, and a multiple of the identity, inverted."""
    a = x @ y
    return jnp.linalg.solve(a + 0.5 * jnp.eye(len(a)), jnp.ones(len(a)))


def ridge(x: Any, y: Any) -> Any:
    u, s, vt = jnp.linalg.svd(X(x) if not isinstance(x, np.ndarray) else x, full_matrices=False)
    return vt.T @ ((s / (s**2 + 0.5))[:, None] * (u.T @ y))


def by_hand(x: Any) -> Any:
    u, s, vt = jnp.linalg.svd(X(x), full_matrices=False)
    return vt.T @ ((1 / s)[:, None] * (u.T @ x[:, :1])), (vt.T / s) @ u.T


def lower(s: Any) -> Any:
    return tacit.conditioned(jnp.tril(s) + 2 * jnp.eye(4), 0.4)


CASES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "cholesky": lambda a, s, x, b: (jnp.linalg.cholesky(P(s)), jnp.linalg.cholesky(P(s), upper=True)),
    "solve": lambda a, s, x, b: (jnp.linalg.solve(C(a), b), jnp.linalg.solve(C(a), x[:4])),
    "inverse": lambda a, s, x, b: (jnp.linalg.inv(C(a)), jnp.linalg.inv(P(s))),
    "vmap": lambda a, s, x, b: jax.vmap(jnp.linalg.solve)(C(jnp.stack([a, a.T])), jnp.stack([b, b])),
    "batch": lambda a, s, x, b: jnp.linalg.solve(C(jnp.stack([a, a.T])), jnp.stack([x[:4], x[4:]])),
    "shared": lambda a, s, x, b: jax.vmap(lambda m: jnp.linalg.solve(m, b))(C(jnp.stack([a, a.T]))),
    "solve_grad": lambda a, s, x, b: jax.grad(lambda m, v: (jnp.linalg.solve(C(m), v) ** 2).sum(), (0, 1))(
        a, b
    ),
    "inverse_grad": lambda a, s, x, b: jax.grad(lambda m: jnp.linalg.inv(C(m))[0, 1])(a),
    "cholesky_grad": lambda a, s, x, b: jax.grad(lambda m: jnp.linalg.cholesky(P(m)).sum())(s),
    "cho_solve": lambda a, s, x, b: jsl.cho_solve(jsl.cho_factor(P(s)), b),
    "positive": lambda a, s, x, b: jsl.solve(P(s), b, assume_a="pos"),
    "triangular": lambda a, s, x, b: (
        jsl.solve_triangular(lower(s), b, lower=True),
        jsl.solve_triangular(lower(s), b, lower=True, trans=1),
        jsl.solve_triangular(lower(s).T, x[:4]),
        jax.lax.linalg.triangular_solve(lower(s), x.T[:, :4], lower=True),
        jsl.solve_triangular(np.tril(DATA["s"]), b, lower=True),
    ),
    "det": lambda a, s, x, b: (jnp.linalg.det(C(a)), jnp.linalg.det(a[:2, :2]), jnp.linalg.det(a[:3, :3])),
    "slogdet": lambda a, s, x, b: jnp.linalg.slogdet(C(a)),
    "slogdet_grad": lambda a, s, x, b: jax.grad(lambda m: jnp.linalg.slogdet(C(m))[1])(a),
    "ridge": lambda a, s, x, b: jnp.linalg.solve(x.T @ x + 0.5 * jnp.eye(3), x.T @ jnp.ones(8)),
    "ridge_factor": lambda a, s, x, b: jnp.linalg.cholesky(x.T @ x / 8 + 0.5 * jnp.eye(3)),
    "ridge of rows": lambda a, s, x, b: gram(x[jnp.array([0, 2, 3, 5])].T, x[jnp.array([0, 2, 3, 5])]),
    "ridge by weights": lambda a, s, x, b: gram((x * (x[:, 0] ** 2)[:, None]).T, x),
    "ridge by public weights": lambda a, s, x, b: gram(x.T, x * jnp.arange(8.0)[:, None] / 8),
    "ridge of rows that are": lambda a, s, x, b: gram(jnp.where(x[:, :1] > 0, x, 0.0).T, x),
    "ridge without rows that are": lambda a, s, x, b: gram(jnp.where(x[:, :1] > 0, 0.0, x).T, x),
    "ridge by two weights": lambda a, s, x, b: gram((x * (x[:, :1] > 0)).T, x * (x[:, 1:2] ** 2) / 4),
    "ridge by one number": lambda a, s, x, b: gram(x.T * 0.25, x),
    "ridge of columns": lambda a, s, x, b: gram(x[:4] * (x[0] ** 2), x[:4].T),
    "eigvalsh": lambda a, s, x, b: jnp.linalg.eigvalsh(s),
    "eigh": lambda a, s, x, b: (jnp.abs(jnp.linalg.eigh(s)[1]), jnp.log(jnp.linalg.eigvalsh(P(s)))),
    "eigh_grad": lambda a, s, x, b: jax.grad(lambda m: jnp.linalg.eigvalsh(m)[0])(s),
    "qr": lambda a, s, x, b: (*jnp.linalg.qr(X(x)), *jnp.linalg.qr(C(a))),
    "qr_solve": lambda a, s, x, b: by_qr(x),
    "svd": lambda a, s, x, b: (jnp.linalg.svd(x, compute_uv=False), rebuilt(x)),
    "pinv": lambda a, s, x, b: jnp.linalg.pinv(X(x)),
    "lstsq": lambda a, s, x, b: jnp.linalg.lstsq(X(x), jnp.ones(8))[0],
    "lstsq of a matrix": lambda a, s, x, b: jnp.linalg.lstsq(X(x), x[:, :2] * jnp.array([1, 2]))[0],
    "lstsq and residuals": lambda a, s, x, b: jnp.linalg.lstsq(X(x), jnp.arange(8.0) / 8)[:2],
    "lstsq by singular values": lambda a, s, x, b: jnp.linalg.lstsq(X(x), jnp.ones(8))[:3],
    "lstsq of low rank": lambda a, s, x, b: jnp.linalg.lstsq(X(x), jnp.ones(8), rcond=0.8)[0],
    "wide lstsq": lambda a, s, x, b: jnp.linalg.lstsq(X(x).T, x[0])[0],
    "wide pinv": lambda a, s, x, b: jnp.linalg.pinv(X(x).T),
    "pinv_grad": lambda a, s, x, b: jax.grad(lambda m: jnp.linalg.pinv(X(m))[0, 1])(x),
    "pinv of a public matrix": lambda a, s, x, b: jnp.linalg.lstsq(DATA["x"], x[:, 0])[0],
    "by hand": lambda a, s, x, b: by_hand(x),
    "public ridge": lambda a, s, x, b: ridge(DATA["x"], x[:, :2]),
    "public pinv of low rank": lambda a, s, x, b: (
        jnp.linalg.pinv(jnp.asarray(DATA["x"]), rtol=0.8) @ x[:, :2]
    ),
    "public pinvs": lambda a, s, x, b: jnp.linalg.pinv(DATA["x"]) @ x + jnp.linalg.pinv(2 * DATA["x"]) @ x,
    "ridge by values": lambda a, s, x, b: ridge(X(x), x[:, :2]),
    "other places": lambda a, s, x, b: weighed(x, lambda v: (1 / v)[jnp.array([0, 2, 1])]),
    "a share of the sum": lambda a, s, x, b: weighed(x, lambda v: jnp.where(v > 0.25 * v.sum(), 1 / v, 0.0)),
    "upside down": lambda a, s, x, b: weighed(x, lambda v: 1 / v[::-1]),
    "below": lambda a, s, x, b: weighed(x, lambda v: jnp.where(v > 1.5, 0.0, 1 / v)),
    "single": lambda a, s, x, b: weighed(x, lambda v: (1 / v.astype(jnp.float32)).astype(float)),
    "printed": lambda a, s, x, b: weighed(x, lambda v: 1 / v, jax.debug.print("public")),
    "powers": lambda a, s, x, b: (jnp.linalg.matrix_power(a, 3), jnp.linalg.matrix_power(C(a), -2)),
    "norms": lambda a, s, x, b: (*(jnp.linalg.norm(x, o) for o in (None, 1, jnp.inf, 2)), jnp.linalg.norm(b)),
    "rank": lambda a, s, x, b: (jnp.linalg.cond(C(a)), jnp.linalg.matrix_rank(C(a))),
    "normal": lambda a, s, x, b: jax.scipy.stats.multivariate_normal.logpdf(b, jnp.zeros(4), P(s)),
    "public": lambda a, s, x, b: (
        jnp.linalg.solve(np.eye(4) * 2, b),
        jnp.linalg.inv(np.eye(3) * 2),
        jnp.linalg.solve(C(a), np.ones(4)),
    ),
    "assumed": lambda a, s, x, b: (
        jnp.sqrt(tacit.assume(b * b + 0.1, 0.05, 5)),
        tacit.assume(b, -2, 2, "known"),
    ),
}


def record(fn: Callable[..., Any]) -> Program:
    trace = Trace()
    args = [
        trace.input(k, "alice", v.shape, "fixed", *SPANS[k]) + trace.input("z" + k, "bob", (), "fixed", 0, 0)
        for k, v in DATA.items()
    ]
    out = trace_jax(fn, args)
    for i, leaf in enumerate(jax.tree_util.tree_leaves(out, is_leaf=lambda v: hasattr(v, "aval"))):
        reveal(leaf, why="test", name=f"r{i}")
    return trace.program()


def execute(program: Program, protocol: str) -> dict[str, Any]:
    data = {**DATA, **{"z" + k: np.zeros(()) for k in DATA}}
    names = ("alice", "bob", "carol")
    dealer = dealer_of(protocol, "dave")
    return run(protocol, 64, lambda p: Runtime(p, FMT, names).run(program, data), dealer=dealer)["alice"]


def compared(fn: Callable[..., Any], program: Program, protocol: str) -> None:
    got = execute(program, protocol)
    with x64():
        want = [np.asarray(w) for w in jax.tree_util.tree_leaves(jax.jit(fn)(*DATA.values()))]
    assert len(got) == len(want)
    for i, w in enumerate(want):
        assert got[f"r{i}"].shape == w.shape
        if w.dtype.kind in "bi":
            assert np.array_equal(got[f"r{i}"], w)
        else:
            gap = np.max(np.abs(got[f"r{i}"] - w) / np.maximum(np.abs(w), 1), initial=0)
            assert gap * 2.0**16 <= 24, f"result {i} is off by {gap * 2.0**16:.1f} units"


@pytest.mark.parametrize("name", CASES)
def test_equals_jax(name: str) -> None:
    program = record(CASES[name])
    assert parse(program.text()).text() == program.text()
    for step in secret_steps(program):
        check(step, FMT)
    compared(CASES[name], program, "rep3")


def test_what_is_solved_for_may_have_been_computed_in_many_ways() -> None:
    """Each step of which reads the last one twice: paths double, steps do not."""

    def doubled(x: Any) -> Any:
        y = x[:, :1]
        for _ in range(60):
            y = (y + y[::-1]) / 2
        return jnp.linalg.lstsq(X(x), y)[0]

    assert ROTATED not in record(lambda a, s, x, b: doubled(x)).text()


ROTATED = "no entry of a turned matrix exceeds its norm"


@pytest.mark.parametrize(
    ("name", "by_values"),
    {
        "lstsq": False,
        "lstsq of a matrix": False,
        "lstsq and residuals": False,
        "lstsq by singular values": True,
        "lstsq of low rank": True,
        "wide lstsq": False,
        "pinv": False,
        "wide pinv": False,
        "pinv_grad": False,
        "pinv of a public matrix": False,
        "public ridge": False,
        "ridge by values": True,
        "other places": True,
        "a share of the sum": True,
        "upside down": True,
        "below": True,
        "printed": False,
        "single": False,
    }.items(),
)
def test_least_squares_take_singular_values_only_where_they_are_asked_for(name: str, by_values: bool) -> None:
    """Or may be left out as too small: JAX takes them always, in thousands of rounds."""
    assert (ROTATED in record(CASES[name]).text()) == by_values


@pytest.mark.parametrize("name", ["cholesky", "solve", "eigvalsh"])
def test_on_additive_shares(name: str) -> None:
    compared(CASES[name], record(CASES[name]), "semi2k")


REFUSED: dict[str, tuple[Callable[..., Any], type[Exception], str]] = {
    "unknown": (lambda a, s, x, b: jnp.linalg.inv(a), RangeError, "tacit.conditioned"),
    "factor": (lambda a, s, x, b: jnp.linalg.cholesky(s), RangeError, "definite=True"),
    "not definite": (lambda a, s, x, b: jnp.linalg.cholesky(C(s)), RangeError, "definite=True"),
    "gram alone": (lambda a, s, x, b: jnp.linalg.inv(x.T @ x), RangeError, "multiple of the identity"),
    "wide": (lambda a, s, x, b: jnp.linalg.qr(X(x.T)), NotRealised, "fewer rows"),
    "complete": (lambda a, s, x, b: jnp.linalg.qr(X(x), mode="complete"), NotRealised, "reduced"),
    "negative weights": (lambda a, s, x, b: gram((x * x[:, :1]).T, x), RangeError, "tacit.conditioned"),
    "public ones": (lambda a, s, x, b: gram(x.T * (jnp.arange(8.0) - 4), x), RangeError, "tacit.conditioned"),
    "weights of columns": (lambda a, s, x, b: gram((x * x[0] ** 2).T, x), RangeError, "tacit.conditioned"),
    "other rows": (lambda a, s, x, b: gram(x[:4].T, x[4:]), RangeError, "tacit.conditioned"),
    "a number for a row": (
        lambda a, s, x, b: gram(jnp.where(x > 0, x, 1.0).T, x),
        RangeError,
        "tacit.conditioned",
    ),
    "elements that are": (
        lambda a, s, x, b: gram(jnp.where(x > 0, x, 0.0).T, x),
        RangeError,
        "tacit.conditioned",
    ),
    "vectors": (lambda a, s, x, b: jnp.linalg.svd(x, full_matrices=False), RangeError, "tacit.conditioned"),
    "low rank": (lambda a, s, x, b: jnp.linalg.pinv(X(x), rtol=0.8), RangeError, "a mask makes"),
    "any": (lambda a, s, x, b: jnp.linalg.eigvals(a), NotRealised, "eigh"),
    "clustered": (
        lambda a, s, x, b: jax.grad(lambda m: jnp.linalg.eigh(m)[1][0, 0])(s),
        RangeError,
        "may be zero",
    ),
    "nothing": (lambda a, s, x, b: tacit.conditioned(a, 0.0), UsageError, "positive"),
    "empty": (lambda a, s, x, b: tacit.assume(a, 2, 1), UsageError, "empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    function, error, word = REFUSED[name]
    with pytest.raises(error, match=word):
        record(function)


def test_statements_are_checked_where_values_are_known() -> None:
    assert tacit.conditioned(np.eye(2), 0.5).shape == (2, 2)
    with pytest.raises(RangeError, match="does not"):
        tacit.conditioned(np.eye(2), 2.0)
    with pytest.raises(RangeError, match="does not"):
        tacit.conditioned(-np.eye(2), 0.5, definite=True)
    with pytest.raises(RangeError, match="does not"):
        tacit.assume(np.ones(2), 2, 3)
    trace = Trace()
    with pytest.raises(UsageError, match="least="):
        tacit.conditioned(trace.input("a", "alice", (2, 2), "fixed", -1, 1), 0.5)


def test_statements_stand_in_the_program() -> None:
    text = record(lambda a, s, x, b: tacit.assume(b, -1, 1, "scores are standardised")).text()
    assert "scores are standardised" in text
