"""The table of JAX primitives: linear algebra. `jnp.linalg` arrives as these.

How far a matrix is from a singular one is stated by `tacit.conditioned` or proved (`jax_facts`). `jnp.linalg.solve`
and `inv` bring an elimination with pivots; they are answered by reflections instead, which need neither pivots nor room
for growth.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tacit.array import eigen as ei
from tacit.array import functions as xp
from tacit.array import linalg as la
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised
from tacit.frontends import jax_facts as facts
from tacit.frontends import jax_least
from tacit.frontends.jax_flat import Atom, Flat, Step, Value, flatten, known, live

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule


def _lower_half(a: SecretArray) -> SecretArray:
    """Return the symmetric matrix whose lower half `a` holds."""
    n = a.shape[-1]
    return xp.where(np.tril(np.ones((n, n), bool)), a, la.turned(a))


def _cholesky(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    least = facts.least_of(it, ins[0], definite=True)
    out = la.cholesky(_lower_half(ins[0]), least=least)
    return [facts.know(it, out, math.sqrt(least or 0), "factor")]


def _triangular_solve(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    p, (a, b) = step.params, ins
    lower, turn, unit = p["lower"], p["transpose_a"], p["unit_diagonal"]
    if not p["left_side"]:
        # x·a = b is aᵀ·xᵀ = bᵀ.
        turn, b = not turn, _turned(b)
    if known(a):
        m = np.tril(a) if lower else np.triu(a)
        m = m - np.eye(m.shape[-1]) * m + np.eye(m.shape[-1]) if unit else m
        inverse = np.linalg.inv(m)
        out = xp.matmul(np.swapaxes(inverse, -1, -2) if turn else inverse, it.lift(b))
    else:
        least = facts.least_of(it, a)
        out = la.solve_triangular(a, it.lift(b), least=least, lower=lower, transpose=turn, unit_diagonal=unit)
    return [out if p["left_side"] else _turned(out)]


def _turned(v: Value) -> Value:
    return np.swapaxes(np.asarray(v), -1, -2) if known(v) else la.turned(v)


def _qr(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x = ins[0]
    if step.params["pivoting"]:
        raise NotRealised(
            "jax primitive 'qr' with pivoting: the order of columns would be secret; factor without it"
        )
    if step.params["full_matrices"] and x.shape[-1] != x.shape[-2]:
        raise NotRealised("jax primitive 'qr' of a matrix that is not square, complete; use mode='reduced'")
    least = facts.least_of(it, x)
    q, r = la.qr(x, least=least)
    return [q, facts.know(it, r, least or 0.0, "triangular")]


def _eigh(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x = ins[0]
    if step.params.get("subset_by_index") is not None:
        raise NotRealised("jax primitive 'eigh' of some eigenvalues; take all and select")
    half = _lower_half(x) if step.params["lower"] else _lower_half(la.turned(x))
    values, vectors = ei.eigh(half)
    if (least := facts.least_of(it, x, definite=True)) is not None and values.size:
        values = xp.assume(values, least / 2, values.aval.hi, "no eigenvalue is below what was stated")
    return [vectors, values]


def _svd(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, p = ins[0], step.params
    if "solved" in p:
        return jax_least.rule(it, step, ins)
    if p.get("subset_by_index") is not None:
        raise NotRealised("jax primitive 'svd' of some singular values; take all and select")
    least = facts.least_of(it, x)
    if not p["compute_uv"]:
        values = ei.svdvals(x)
        if least is not None and values.size:
            values = xp.assume(
                values, least / 2, values.aval.hi, "no singular value is below what was stated"
            )
        return [values]
    if p["full_matrices"] and x.shape[-1] != x.shape[-2]:
        raise NotRealised(
            "jax primitive 'svd' of a matrix that is not square, complete; use full_matrices=False"
        )
    u, s, vt = ei.svd(x, least=least)
    return [s, u, vt]


def _lu(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x = ins[0]
    n, m = x.shape[-2:]
    if n != m:
        raise NotRealised("jax primitive 'lu' of a matrix that is not square; use qr")
    least = facts.least_of(it, x)
    found, pivots, order = ei.lu_factor(x, least=least)
    if least is not None:
        it.facts[found.ref] = (
            "pivots",
            least / math.sqrt(max(n, 1)),
            least,
            max(x.aval.magnitude, 2.0**-30),
            n,
        )
    return [found, pivots, order]


# -- linear systems -------------------------------------------------------------------------------------------


class _Direct:
    """The solution of a linear system as one primitive, for values that are known while tracing."""

    multiple_results = False

    def bind(self, a: Any, b: Any, layout: tuple[int, bool, int]) -> Any:
        """Solve in the clear."""
        return _solved(a, b, layout, jax.numpy.linalg.solve, jax.numpy.transpose, jax.numpy.swapaxes)


def direct(flat: Flat) -> Flat:
    """Answer each linear system that was factored with pivots by the matrix itself; drop factors nobody else needs."""
    made = {v: s for s in flat.steps for v in s.outs}
    if not any("jaxprs" in s.params for s in flat.steps):
        return flat
    steps = [_direct(s, made) if "jaxprs" in s.params else s for s in flat.steps]
    return dataclasses.replace(flat, steps=tuple(live(steps, flat.outs)))


def _direct(step: Step, made: dict[int, Step]) -> Step:
    lengths, n = step.params["const_lengths"], len(step.avals)
    consts = step.ins[lengths.matvec + lengths.vecmat :][: lengths.solve]
    factored = any(isinstance(a, int) and a in made and made[a].name == "lu" for a in consts)
    matvec = step.params["jaxprs"].matvec
    if not (factored and lengths.matvec == 1 and n == 1):
        return step
    layout = _layout(matvec, matvec.in_avals[0].shape, tuple(step.avals[0].shape))
    if layout is None:
        return step
    ins: tuple[Atom, ...] = (step.ins[0], step.ins[-1])
    return dataclasses.replace(step, primitive=_Direct(), params={"layout": layout}, ins=ins)


def _layout(matvec: Any, a_shape: Sequence[int], b_shape: Sequence[int]) -> tuple[int, bool, int] | None:
    """Return where b's axes stand and whether a is transposed, found by trying numbers, or None."""
    # Numbers without symmetry.
    a, x = (np.cos(np.arange(1.0, math.prod(s) + 1) ** 1.5).reshape(s) for s in (a_shape, b_shape))
    (want,) = jax.core.eval_jaxpr(matvec.jaxpr, matvec.consts, a, x)
    extra = len(b_shape) - (len(a_shape) - 1)
    if extra < 0:
        return None

    def times(m: Any, v: Any) -> Any:
        return m @ v

    for where in range(3):
        for turn in (False, True):
            try:
                got = _solved(a, x, (where, turn, extra), times, np.transpose, np.swapaxes)
            except ValueError:
                continue
            if got.shape == want.shape and np.allclose(got, want):
                return where, turn, extra
    return None


def _solved(a: Any, b: Any, layout: tuple[int, bool, int], fn: Any, transpose: Any, swap: Any) -> Any:
    """Return fn(a, b) for b (batch, extra, n), (extra, batch, n) or (batch, n, extra) by layout 0, 1, 2."""
    where, turn, extra = layout
    batch = a.ndim - 2
    lead = list(range(batch)), list(range(batch, batch + extra)), [batch + extra]
    order = (lead[0] + lead[1] + lead[2], lead[1] + lead[0] + lead[2], lead[0] + lead[2] + lead[1])[where]
    # order[i] is the place, among (batch, extra, n), of axis i of b.
    there = [order.index(i) for i in (*lead[0], *lead[2], *lead[1])]
    moved = transpose(b, there)
    shape = moved.shape
    columns = moved.reshape((*shape[: batch + 1], math.prod(shape[batch + 1 :])))
    if columns.shape[:-1] != tuple(a.shape[:-1]):
        raise ValueError("the shapes do not fit")
    out = fn(swap(a, -1, -2) if turn else a, columns)
    return transpose(out.reshape(shape), tuple(int(i) for i in np.argsort(there)))


def _system(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    a, b = ins
    layout = step.params["layout"]
    if known(a):
        inverse = np.linalg.inv(np.asarray(a))
        return [_solved(inverse, b, layout, xp.matmul, xp.permute_dims, np.swapaxes)]
    least = facts.least_of(it, a)
    definite = facts.is_definite(it, a)

    def fn(m: Any, v: Any) -> SecretArray:
        return la.solve(m, v, least=least, definite=definite)

    where, turn, extra = layout
    turn = turn and not definite
    b = it.lift(b)
    return [_solved(a, b, (where, turn, extra), fn, xp.permute_dims, lambda m, _i, _j: la.turned(m))]


def _custom_linear_solve(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    if "layout" in step.params:
        return _system(it, step, ins)
    lengths = step.params["const_lengths"]
    start = lengths.matvec + lengths.vecmat
    consts = ins[start : start + lengths.solve]
    right = ins[start + lengths.solve + lengths.transpose_solve :]
    return it.run(flatten(step.params["jaxprs"].solve, step.source), [*consts, *right])


RULES: dict[str, Rule] = {
    "cholesky": _cholesky,
    "triangular_solve": _triangular_solve,
    "qr": _qr,
    "eigh": _eigh,
    "svd": _svd,
    "lu": _lu,
    "custom_linear_solve": _custom_linear_solve,
    "name": facts.name,
}
