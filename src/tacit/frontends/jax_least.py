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
from tacit.frontends import jax_facts as facts
from tacit.frontends.jax_flat import Atom, Const, Flat, Step, Value, fold, known, live

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

Made = Mapping[int, Step]
TURN = (1, 0)
CLOSE = 1e-6
SAME = frozenset({"convert_element_type", "copy", "reshape", "squeeze", "broadcast_in_dim"})
"""What leaves numbers as they are; their places are held against the shape of what they divide."""


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
    """The steps as one primitive, for values that are known while tracing."""

    multiple_results = False

    def bind(self, *ins: Any, instead: Flat, **_: Any) -> Any:
        """Do as the function says."""
        env: dict[int, Any] = dict(zip(instead.ins, ins, strict=True))
        for step in instead.steps:
            given = [a.value if isinstance(a, Const) else env[a] for a in step.ins]
            env.update(zip(step.outs, fold(step, given), strict=True))
        (out,) = instead.outs
        assert isinstance(out, int)
        return env[out]


def direct(flat: Flat) -> Flat:
    """Answer products with a pseudo-inverse by the matrix itself, where its singular values are then not needed."""
    for svd in () if flat.as_it_is else flat.steps:
        if svd.name != "svd" or not svd.params.get("compute_uv") or "solved" in svd.params:
            continue
        made = {v: s for s in flat.steps for v in s.outs}
        found = {s.outs[0]: how for s in flat.steps if s.outs and (how := _solved(s, svd, made)) is not None}
        if not found:
            continue
        steps = [
            _one(s, svd, found[s.outs[0]], flat) if s.outs and s.outs[0] in found else s for s in flat.steps
        ]
        kept = tuple(live(steps, flat.outs))
        if all(s is not svd for s in kept):
            flat = dataclasses.replace(flat, steps=kept)
    return flat


def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    """Solve, if every singular value counts; else do as the function says."""
    a, how, instead = ins[0], step.params["solved"], step.params["instead"]
    least = None if known(a) else facts.least_of(it, a)
    if known(a) or (least is not None and not _all_count(instead, how, a.aval.magnitude, least)):
        return it.run(instead, ins)
    if len(ins) == 1:
        return [la.pinv(a, least=least)]
    if a.shape[0] < a.shape[1]:
        return [xp.matmul(la.pinv(a, least=least), it.lift(ins[1]))]
    return [la.lstsq(a, it.lift(ins[1]), least=least)]


def _all_count(flat: Flat, how: Solved, magnitude: float, least: float) -> bool:
    """Whether every singular value from `least` to the longest that is possible is inverted.

    The factor is 1/s wherever s is above a threshold, which only the first of them moves (`_kind`): so it is enough to
    look where that is longest and the others are least, and where all are least.
    """
    longest = max(math.sqrt(math.prod(how.shape)) * magnitude, least)
    made = {v: s for s in flat.steps for v in s.outs}
    kind = next(s.avals[0].dtype for s in flat.steps if how.values in s.outs)
    for most in (longest, least):
        values = np.full(min(how.shape), least, kind)
        values[0] = most
        got = _of_values(how.factor, {how.values: values}, made)
        want = np.reshape(values if how.inverted else 1 / values, (-1, 1))
        if not np.all(np.abs(got - want) <= CLOSE * want):
            return False
    return True


def _of_values(atom: Atom, found: dict[int, Any], made: Made) -> Any:
    """Return what a variable is, given those of which it is made."""
    if isinstance(atom, Const):
        return np.asarray(atom.value)
    if atom not in found:
        step = made[atom]
        found.update(zip(step.outs, fold(step, [_of_values(a, found, made) for a in step.ins]), strict=True))
    return found[atom]


def _kind(atom: Atom, found: dict[int, str], made: Made) -> str:
    """Return what a variable is of singular values s in descending order, each in its place; "" for anything else.

    "number" if it does not depend on them, "first" for a multiple of the first, "above" for whether each is above a
    number or such a multiple, "s" and "1/s" for each itself or a number instead where it is not above.
    """
    if isinstance(atom, Const):
        return "number"
    if atom not in found:
        step = made.get(atom)
        found[atom] = ""
        if step is not None and step.name != "svd" and not step.effect:
            found[atom] = _of_kinds(step, [_kind(a, found, made) for a in step.ins])
    return found[atom]


def _of_kinds(step: Step, kinds: list[str]) -> str:
    if all(k == "number" for k in kinds):
        return "number"
    if "" in kinds:
        return ""
    if step.name in SAME and len(kinds) == 1:
        if step.avals[0].dtype.kind != ("b" if kinds[0] == "above" else "f"):
            return ""  # whole numbers are others
        return kinds[0] if kinds[0] == "first" or _in_place(step) else ""
    if step.name == "slice" and kinds == ["s"]:
        p = step.params
        return "first" if (tuple(p["start_indices"]), tuple(p["limit_indices"])) == ((0,), (1,)) else ""
    found = {
        ("mul", "number", "first"): "first",
        ("mul", "first", "number"): "first",
        ("gt", "s", "number"): "above",
        ("gt", "s", "first"): "above",
        ("ge", "s", "number"): "above",
        ("ge", "s", "first"): "above",
        ("and", "above", "above"): "above",
        ("select_n", "above", "number", "s"): "s",
        ("select_n", "above", "number", "1/s"): "1/s",
        ("div", "number", "s"): "1/s",
    }
    return found.get((step.name, *kinds), "")


def _in_place(step: Step) -> bool:
    """Whether a step leaves a number for each row, in order: a row of numbers, or columns that are alike."""
    out, before = step.avals[0].shape, tuple(step.params.get("broadcast_dimensions", ()))
    if step.name == "broadcast_in_dim":
        return len(out) == 2 and before in ((0,), (0, 1))
    return step.name in ("convert_element_type", "copy") or len(out) == 1 or (len(out) == 2 and out[1] == 1)


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
    if svd.avals[0].shape != (min(shape),):
        return None
    for x, factor in _factors(inner):
        inverted = inner.name == "div"
        if not _is_column(factor, made) or _kind(factor, {values: "s"}, made) != ("s" if inverted else "1/s"):
            continue
        how = Solved(None, factor, inverted, values, shape)
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


def _is_column(atom: Atom, made: Made) -> bool:
    """Whether a variable has two axes, so that there is a number for each row."""
    step = made.get(atom) if isinstance(atom, int) else None
    return step is not None and len(step.avals[step.outs.index(atom)].shape) == 2


def _depends(atom: Atom, svd: Step, made: Made) -> bool:
    """Whether a variable depends on a decomposition."""
    todo: list[Atom] = [atom]
    seen: set[Atom] = set()
    while todo:
        v = todo.pop()
        if not isinstance(v, int) or v in seen:
            continue
        if v in svd.outs:
            return True
        seen.add(v)
        todo += made[v].ins if v in made else ()
    return False


def _one(step: Step, svd: Step, how: Solved, flat: Flat) -> Step:
    """Return the step that stands for a product with the pseudo-inverse."""
    ins = (svd.ins[0],) if how.right is None else (svd.ins[0], how.right)
    first = 1 + max(v for s in flat.steps for v in s.outs)
    names = tuple(range(first, first + len(ins)))
    given = {a: name for a, name in zip(ins, names, strict=True) if isinstance(a, int)}
    inner = [
        dataclasses.replace(s, ins=tuple(given.get(a, a) if isinstance(a, int) else a for a in s.ins))
        for s in flat.steps
        if not s.effect
    ]
    kept = tuple(live(inner, step.outs))
    instead = Flat(names, kept, step.outs, (), step.avals, as_it_is=True)
    params = {"solved": how, "instead": instead, "compute_uv": True}
    return dataclasses.replace(step, name="svd", primitive=_Inverse(), params=params, ins=ins)
