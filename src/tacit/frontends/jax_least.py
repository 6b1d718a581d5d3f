"""Least squares and pseudo-inverses that JAX computes by singular values, without these.

`jnp.linalg.lstsq` and `pinv` are V·S⁻¹·Uᵀ·b and V·S⁻¹·Uᵀ in JAX: thousands of rounds on secrets, and more where a has
many rows. Of full rank, which whoever calls has to state anyway, they are one solution by elimination or reflections
(`array.linalg`). Where singular values may be left out as too small, or are read by anything else, they are computed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.array import linalg as la
from tacit.errors import TacitError
from tacit.frontends import jax_facts as facts
from tacit.frontends.jax_flat import Atom, Const, Flat, Step, Value, fold, known, live

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

Made = Mapping[int, Step]
TURN = (1, 0)
CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Solved:
    """What V·S⁻¹·Uᵀ is applied to, if anything; the factor for each singular value; and the steps in its place."""

    right: Atom | None
    factor: Atom
    inverted: bool
    """Whether the factor divides."""
    values: int
    """The singular values."""
    shape: tuple[int, int]


class _Inverse:
    """The solution as one primitive, for values that are known while tracing."""

    multiple_results = False

    def bind(self, a: Any, *right: Any, **_: Any) -> Any:
        """Solve in the clear."""
        inverse = np.linalg.pinv(np.asarray(a))
        return inverse @ np.asarray(right[0]) if right else inverse


def direct(flat: Flat) -> Flat:
    """Answer products with a pseudo-inverse by the matrix itself, where its singular values are then not needed."""
    if not any(s.name == "svd" and s.params.get("compute_uv") for s in flat.steps):
        return flat
    for step in flat.steps:
        if (
            step.name == "svd"
            and step.params.get("compute_uv")
            and not {"solved", "as_it_is"} & set(step.params)
        ):
            made = {v: s for s in flat.steps for v in s.outs}
            found = {s.outs[0]: how for s in flat.steps if (how := _solved(s, step, made)) is not None}
            steps = [_one(s, step, found[s.outs[0]], flat) if s.outs[0] in found else s for s in flat.steps]
            kept = tuple(live(steps, flat.outs))
            if found and step not in kept:
                flat = dataclasses.replace(flat, steps=kept)
    return flat


def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    """Solve, if nothing that is stated lets singular values be left out; else do as the function says."""
    a, how = ins[0], step.params["solved"]
    if known(a):
        inverse = np.linalg.pinv(np.asarray(a, np.float64))
        return [xp.matmul(inverse, it.lift(ins[1]))]
    least = facts.least_of(it, a)
    if least is not None and not _all_count(step.params["instead"], how, a.aval.magnitude, least):
        given = [v for atom, v in zip(step.ins, ins, strict=True) if isinstance(atom, int)]
        return it.run(step.params["instead"], given)
    if len(ins) == 1:
        return [la.pinv(a, least=least)]
    if a.shape[0] < a.shape[1]:
        return [xp.matmul(la.pinv(a, least=least), it.lift(ins[1]))]
    return [la.lstsq(a, it.lift(ins[1]), least=least)]


def _all_count(flat: Flat, how: Solved, magnitude: float, least: float) -> bool:
    """Whether every singular value from `least` to the largest possible one is inverted, whatever the others are."""
    longest = max(math.sqrt(math.prod(how.shape)) * magnitude, least)
    made = {v: s for s in flat.steps for v in s.outs}
    for most in (longest, least):
        values = np.full(min(how.shape), least)
        values[0] = most
        try:
            got = _of_values(how.factor, how.values, values, made)
        except (TacitError, ValueError, TypeError):
            return False
        want = values if how.inverted else 1 / values
        column = np.reshape(want, (-1, 1))
        if got is None or not np.all(np.abs(got - column) <= CLOSE * column):
            return False
    return True


def _of_values(atom: Atom, name: int, values: Any, made: Made) -> Any:
    """Return what a variable is for given singular values; None if it depends on anything else."""
    if isinstance(atom, Const):
        return np.asarray(atom.value)
    if atom == name:
        return values
    step = made.get(atom)
    if step is None or step.name == "svd" or step.effect:
        return None
    ins = [_of_values(a, name, values, made) for a in step.ins]
    return None if any(v is None for v in ins) else fold(step, ins)[step.outs.index(atom)]


def _solved(step: Step, svd: Step, made: Made) -> Solved | None:
    """Say how a step is V times something over the singular values, or None."""
    values, u, vt = svd.outs
    if len(svd.avals[1].shape) != 2 or not _is_product(step, svd.avals[2].shape[1]):
        return None
    scaled = _turned_product(step, vt, made)
    inner = made.get(scaled) if isinstance(scaled, int) else None
    if inner is None or inner.name not in ("mul", "div"):
        return None
    shape = (svd.avals[1].shape[0], svd.avals[2].shape[1])
    for x, factor in _factors(inner):
        if not _is_of(factor, values, made):
            continue
        how = Solved(None, factor, inner.name == "div", values, shape)
        if _is_turned(x, u, made):
            return how
        product = made.get(x) if isinstance(x, int) else None
        right = None if product is None else _turned_product(product, u, made)
        if right is not None and not _depends(right, svd, made):
            return dataclasses.replace(how, right=right)
    return None


def _factors(step: Step) -> Iterator[tuple[Atom, Atom]]:
    x, y = step.ins
    yield x, y
    if step.name == "mul":
        yield y, x


def _is_product(step: Step, rows: int) -> bool:
    return step.name == "dot_general" and len(step.avals[0].shape) == 2 and step.avals[0].shape[0] == rows


def _turned_product(step: Step, name: int, made: Made) -> Atom | None:
    """Return the b of a step that is the transpose of a matrix, times a matrix b; or None."""
    if step.name != "dot_general":
        return None
    (left, right), batch = step.params["dimension_numbers"]
    if any(batch) or tuple(right) != (0,) or len(step.avals[0].shape) != 2:
        return None
    plain = step.ins[0] == name and tuple(left) == (0,)
    turned = tuple(left) == (1,) and _is_turned(step.ins[0], name, made)
    return step.ins[1] if plain or turned else None


def _is_turned(atom: Atom, name: int, made: Made) -> bool:
    step = made.get(atom) if isinstance(atom, int) else None
    return (
        step is not None
        and step.name == "transpose"
        and step.ins[0] == name
        and tuple(step.params["permutation"]) == TURN
    )


def _is_of(atom: Atom, name: int, made: Made) -> bool:
    """Whether a variable depends on the singular values, and on nothing else that is not known."""
    if isinstance(atom, Const):
        return False
    found, todo = False, [atom]
    while todo:
        v = todo.pop()
        if v == name:
            found = True
            continue
        step = made.get(v)
        if step is None or step.name == "svd":
            return False
        todo += [a for a in step.ins if isinstance(a, int)]
    return found


def _depends(atom: Atom, svd: Step, made: Made) -> bool:
    """Whether a variable depends on a decomposition."""
    todo = [atom] if isinstance(atom, int) else []
    while todo:
        v = todo.pop()
        if v in svd.outs:
            return True
        step = made.get(v)
        todo += [a for a in step.ins if isinstance(a, int)] if step is not None else []
    return False


def _one(step: Step, svd: Step, how: Solved, flat: Flat) -> Step:
    """Return the step that stands for a product with the pseudo-inverse."""
    ins = (svd.ins[0],) if how.right is None else (svd.ins[0], how.right)
    names = tuple(a for a in ins if isinstance(a, int))
    between = [
        dataclasses.replace(s, params={**s.params, "as_it_is": True}) if s is svd else s
        for s in flat.steps
        if not set(s.outs) & set(names)
    ]
    instead = Flat(names, tuple(live(between, step.outs)), step.outs, (), step.avals)
    params = {"solved": how, "instead": instead, "compute_uv": True}
    return dataclasses.replace(step, name="svd", primitive=_Inverse(), params=params, ins=ins)
