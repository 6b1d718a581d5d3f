"""A jaxpr as a flat list of steps: every call inlined, every variable a number, dead steps left out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from tacit.array.interpret import is_users
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised
from tacit.frontends.jax_refused import INSTEAD

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

Known = Any
"""A value known while tracing: a NumPy or JAX array."""
Value = SecretArray | Known

# Calls that only group equations; differentiation rules have been applied before a jaxpr arrives here.
CALLS = {
    "jit",
    "pjit",
    "closed_call",
    "core_call",
    "call",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "remat",
    "remat2",
    "checkpoint",
    "custom_lin",
}

PLACES_OF_JAX = frozenset({"searchsorted"})
"""Functions of jax.numpy that count places in an unsigned type; their ranges do not show that none is negative."""


QUOTIENTS = frozenset({"divmod", "floor_divide", "remainder"})
"""Functions of jax.numpy that are one step by a known divisor: JAX cuts off, and asks for signs to round down."""


def x64() -> AbstractContextManager[Any]:
    """Return a context in which JAX traces 64-bit types; nothing is switched globally."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    older: Any = importlib.import_module("jax.experimental")
    return older.enable_x64()


@dataclass(frozen=True, slots=True)
class Const:
    """An operand that is known while tracing."""

    value: Known


Atom = int | Const


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive: outs = name(ins; params), with its results' shapes and types and the user's line."""

    name: str
    primitive: Any
    params: dict[str, Any]
    ins: tuple[Atom, ...]
    outs: tuple[int, ...]
    avals: tuple[Any, ...]
    source: str
    effect: bool = False
    """Whether it does something besides computing its results, such as printing."""
    within: str = ""
    """The function of JAX that it is part of, of those in `jax_refused.INSTEAD` and `PLACES_OF_JAX`."""


@dataclass(frozen=True, slots=True)
class Flat:
    """Inputs, steps in order, outputs."""

    ins: tuple[int, ...]
    steps: tuple[Step, ...]
    outs: tuple[Atom, ...]
    in_avals: tuple[Any, ...]
    out_avals: tuple[Any, ...]
    as_it_is: bool = False
    """Whether nothing is to be answered in another way (`jax_least`)."""


def source_of(info: Any) -> str:
    """Return "file.py:line" of the user's code that made an equation, or "" where JAX does not say."""
    try:
        for frame in info.traceback.frames:
            if is_users(frame.file_name):
                line = getattr(frame, "line_num", None) or getattr(frame, "start_line", 0)
                return f"{os.path.basename(frame.file_name)}:{line}"
    except (AttributeError, TypeError):
        pass
    return ""


class _Flattener:
    def __init__(self) -> None:
        self.count = 0
        self.steps: list[Step] = []

    def fresh(self) -> int:
        self.count += 1
        return self.count - 1

    def inline(
        self, jaxpr: Any, consts: Sequence[Known], ins: Sequence[Atom], outer: str, within: str = ""
    ) -> list[Atom]:
        env: dict[Any, Atom] = dict(zip(jaxpr.constvars, (Const(c) for c in consts), strict=True))
        env.update(zip(jaxpr.invars, ins, strict=True))

        def read(v: Any) -> Atom:
            return Const(np.asarray(v.val, _dtype(v))) if isinstance(v, Literal) else env[v]

        for eqn in jaxpr.eqns:
            args = [read(v) for v in eqn.invars]
            source = source_of(eqn.source_info) or outer
            name = eqn.primitive.name
            body = _body(eqn.params) if name in CALLS else None
            called = str(eqn.params.get("name", ""))
            if body is not None and called in QUOTIENTS and _is_quotient(called, eqn, args):
                name, body = called, None
            if body is not None:
                inner, inner_consts = (
                    (body.jaxpr, body.consts) if isinstance(body, ClosedJaxpr) else (body, ())
                )
                results = self.inline(
                    inner,
                    inner_consts,
                    args,
                    source,
                    called if called in INSTEAD or called in PLACES_OF_JAX else within,
                )
            else:
                outs = tuple(self.fresh() for _ in eqn.outvars)
                avals = tuple(v.aval for v in eqn.outvars)
                self.steps.append(
                    Step(
                        name,
                        eqn.primitive,
                        eqn.params,
                        tuple(args),
                        outs,
                        avals,
                        source,
                        bool(eqn.effects),
                        within,
                    )
                )
                results = list(outs)
            env.update(zip(eqn.outvars, results, strict=True))
        return [read(v) for v in jaxpr.outvars]


def _is_quotient(called: str, eqn: Any, args: Sequence[Atom]) -> bool:
    """Whether a call is the function of jax.numpy of this name, by a known divisor."""
    if len(args) != 2 or isinstance(args[0], Const) or not isinstance(args[1], Const):
        return False
    types = [(v.aval.shape, v.aval.dtype, v.aval.weak_type) for v in eqn.invars]
    return bool(np.all(args[1].value)) and str(eqn.params.get("jaxpr")) == _as_jax_has_it(called, *types)


@cache
def _as_jax_has_it(called: str, *types: tuple[Any, ...]) -> str:
    """Return the body of a function of jax.numpy as text: one of the user's may have its name."""
    with x64():
        like = [jax.ShapeDtypeStruct(shape, dtype, weak_type=weak) for shape, dtype, weak in types]
        eqns = jax.make_jaxpr(getattr(jax.numpy, called))(*like).eqns
    return str(eqns[0].params.get("jaxpr")) if len(eqns) == 1 else ""


def _dtype(literal: Any) -> Any:
    return literal.aval.dtype


def _body(params: dict[str, Any]) -> Any:
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if hasattr(params.get(key), "eqns"):
            return params[key]
    return None


def flatten(closed: Any, source: str = "", within: str = "") -> Flat:
    """Inline every call of a closed jaxpr and drop what no output needs; `source` is the line of who calls it.

    `within` is the function of JAX that it is part of, as of a `Step`.
    """
    f = _Flattener()
    ins = tuple(f.fresh() for _ in closed.jaxpr.invars)
    outs = tuple(f.inline(closed.jaxpr, closed.consts, ins, source, within))
    in_avals = tuple(v.aval for v in closed.jaxpr.invars)
    steps, outs = _once(f.steps, outs)
    return Flat(ins, tuple(live(steps, outs)), outs, in_avals, tuple(v.aval for v in closed.jaxpr.outvars))


MOST_BYTES = 1 << 16
"""Known arrays up to this size are the same if their bytes are; larger ones if they are one array."""


def _once(steps: Sequence[Step], outs: tuple[Atom, ...]) -> tuple[list[Step], tuple[Atom, ...]]:
    """Take the same step of the same operands once: what is known of its result is known wherever it is asked for."""
    now: dict[int, int] = {}
    made: dict[Hashable, tuple[int, ...]] = {}
    kept: list[Step] = []

    def renamed(atoms: Sequence[Atom]) -> tuple[Atom, ...]:
        return tuple(now.get(a, a) if isinstance(a, int) else a for a in atoms)

    for step in steps:
        ins = renamed(step.ins)
        key = None if step.effect else (step.name, *map(_identity, ins), step.within, _as_key(step.params))
        first = step.outs if key is None else made.setdefault(key, step.outs)
        if first is step.outs:
            kept.append(replace(step, ins=ins))
        else:
            now.update(zip(step.outs, first, strict=True))
    return kept, renamed(outs)


def _identity(a: Atom) -> Hashable:
    if isinstance(a, int):
        return a
    v = a.value
    plain = isinstance(v, np.ndarray | np.generic) and v.nbytes <= MOST_BYTES and v.dtype.kind in "fiub"
    return (v.dtype.str, v.shape, v.tobytes()) if plain else ("one array", id(v))


def _as_key(params: Mapping[str, Any]) -> Hashable:
    """Return parameters as something to compare: programs in them, as loops have, are the same if they are one."""
    found = []
    for name, value in sorted(params.items()):
        try:
            hash(value)
        except TypeError:
            value = ("one value", id(value))
        found.append((name, value))
    return tuple(found)


def live(steps: Sequence[Step], outs: Sequence[Atom]) -> Iterator[Step]:
    """Return the steps that the outputs need, or that have an effect, in order."""
    needed = {a for a in outs if isinstance(a, int)}
    kept = []
    for step in reversed(steps):
        if step.effect or needed.intersection(step.outs):
            kept.append(step)
            needed.update(a for a in step.ins if isinstance(a, int))
    return reversed(kept)


def known(v: Value) -> bool:
    """Whether a value is known while tracing."""
    return not isinstance(v, SecretArray)


MOST_WHOLE = 1 << 20
"""Known floats up to this that are whole are added up as whole numbers."""


def without_fractions(v: Value) -> Value:
    """Return known floats that are whole as whole numbers: sums of these have no fractional bits to send."""
    if not known(v) or np.asarray(v).dtype.kind != "f":
        return v
    whole = np.all(np.abs(v) <= MOST_WHOLE) and np.all(np.rint(v) == v)
    return np.asarray(v, np.int64) if whole else v


_NUMPY: dict[str, Any] = {
    "floor_divide": np.floor_divide,
    "remainder": np.remainder,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "neg": np.negative,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}


def fold(step: Step, ins: Sequence[Known]) -> list[Known]:
    """Compute one step on known values, without an equation."""
    fn = _NUMPY.get(step.name)
    plain = all(isinstance(v, np.ndarray | np.generic) for v in ins)
    if plain and step.name == "convert_element_type":
        return [np.asarray(ins[0]).astype(step.avals[0].dtype)]
    if plain and fn is not None:
        with np.errstate(all="ignore"):
            return [np.asarray(fn(*ins), dtype=step.avals[0].dtype)]
    out = step.primitive.bind(*ins, **step.params)
    outs = list(out) if step.primitive.multiple_results else [out]
    return [as_numpy(v) for v in outs]


def kind_of(dtype: Any) -> str:
    """Return the kind of array that JAX's type asks for; NotRealised names a type that has none."""
    kind = (
        {"f": "fixed", "i": "int", "u": "int", "b": "bool"}.get(np.dtype(dtype).kind)
        if _plain(dtype)
        else None
    )
    if kind is None:
        raise NotRealised(f"values of type {dtype} cannot be secret; secrets are float, int or bool")
    return kind


def _plain(dtype: Any) -> bool:
    return not jax.dtypes.issubdtype(dtype, jax.dtypes.extended)


def as_numpy(v: Known) -> Known:
    """Return a NumPy array; a random key or a value being traced by JAX stays what it is."""
    if isinstance(v, jax.core.Tracer) or (
        hasattr(v, "dtype") and jax.dtypes.issubdtype(v.dtype, jax.dtypes.extended)
    ):
        return v
    return np.asarray(v)


def with_notes(
    rules: dict[str, Rule], notes: Mapping[str, Callable[[Interpreter, Step, list[Value], list[Value]], None]]
) -> dict[str, Rule]:
    """Return the rules, those that `notes` names telling theirs what they got and made."""

    def noting(rule: Rule, note: Callable[..., None]) -> Rule:
        def run(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
            outs = rule(it, step, ins)
            note(it, step, ins, outs)
            return outs

        return run

    return {n: noting(r, notes[n]) if n in notes else r for n, r in rules.items()}
