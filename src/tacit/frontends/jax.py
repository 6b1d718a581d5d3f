"""The JAX front end: a plain `jax.numpy` function becomes Tacit equations, by way of its jaxpr.

JAX is only the reader of the function. What it works out (shapes, `grad`, `vmap`, `scan`) arrives as primitives;
a table says for each one which array functions compute it, and a primitive without a row is refused by name. What
follows from constants alone is computed here, while tracing, and adds no equation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np

from tacit.array import functions as xp
from tacit.array.interpret import Context, is_users
from tacit.array.secret import SecretArray
from tacit.errors import (
    InternalError,
    NotRealised,
    RangeError,
    SecretUsedAsPublic,
    TacitError,
    UsageError,
)
from tacit.frontends import (
    jax_facts,
    jax_index,
    jax_least,
    jax_linalg,
    jax_loops,
    jax_masked,
    jax_more,
    jax_move,
    jax_norms,
    jax_order,
    jax_pieces,
    jax_places,
    jax_ranked,
    jax_rules,
    jax_sides,
    jax_spaced,
    jax_taken,
    jax_windows,
)
from tacit.frontends.jax_extremes import Reduced
from tacit.frontends.jax_flat import (
    PLACES_OF_JAX,
    Atom,
    Const,
    Flat,
    Step,
    Value,
    flatten,
    fold,
    kind_of,
    known,
    x64,
)
from tacit.frontends.jax_refused import INSTEAD, REMEDIES

_PLAIN: dict[str, jax_rules.Rule] = {
    **jax_rules.RULES,
    **jax_move.RULES,
    **jax_index.RULES,
    **jax_loops.RULES,
    **jax_order.RULES,
    **jax_more.RULES,
    **jax_windows.RULES,
    **jax_linalg.RULES,
}
RULES = jax_masked.masking(
    jax_spaced.spacing(
        jax_pieces.piecing(
            jax_taken.taking(
                jax_facts.noted(
                    jax_norms.norming(jax_ranked.ranking(jax_places.placing(jax_sides.siding(_PLAIN))))
                )
            )
        )
    )
)
WIDE, NARROW = re.compile(r"\b(int|float)64\b"), re.compile(r"\b(u?int(8|16|32)|b?float(16|32))\b")
"""Types of columns, and those that meet them in functions written for JAX's usual 32 bits."""
DTYPES = {"fixed": np.float64, "int": np.int64, "bool": np.bool_}
ASKED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def trace_jax(fn: Callable[..., Any], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
    """Call `fn(*args, **kwargs)`, a function of `jax.numpy`, on arrays of one session or trace.

    Arrays anywhere in the arguments (lists, tuples, dictionaries) are traced; everything else (numbers, NumPy arrays,
    names) reaches `fn` as it is, so it may decide shapes and loops. Returns what `fn` returns, made of Tacit arrays.
    """
    leaves, tree = jax.tree_util.tree_flatten((tuple(args), dict(kwargs or {})), is_leaf=_is_secret)
    at = [i for i, leaf in enumerate(leaves) if _is_secret(leaf)]
    if not at:
        raise UsageError("trace_jax needs at least one array of a session or trace among its arguments")
    secrets = [leaves[i] for i in at]
    context = secrets[0].context
    for a in secrets:
        if a.context is not context:
            raise UsageError("the arguments belong to different sessions or traces")

    def body(*traced: Any) -> Any:
        filled = list(leaves)
        for i, t in zip(at, traced, strict=True):
            filled[i] = t
        positional, named = jax.tree_util.tree_unflatten(tree, filled)
        return fn(*positional, **named)

    with x64():
        specs = [jax.ShapeDtypeStruct(a.shape, DTYPES[a.dtype]) for a in secrets]
        closed, out_tree = _make_jaxpr(body, specs)
        flat = flatten(closed)
        names = _names(out_tree)
        outs = Interpreter(context).run(flat, secrets, names)
    for name, v in zip(names, outs, strict=True):
        if _not_finite(v):
            raise RangeError(
                f"{name} holds NaN or infinity, which no secret is; use a finite number in its place"
            )
    results = [finish(context, v, aval.dtype) for v, aval in zip(outs, flat.out_avals, strict=True)]
    return jax.tree_util.tree_unflatten(out_tree, results)


def _is_secret(x: Any) -> bool:
    return isinstance(x, SecretArray)


def _make_jaxpr(body: Callable[..., Any], specs: list[Any]) -> tuple[Any, Any]:
    try:
        closed, shape = jax.make_jaxpr(body, return_shape=True)(*specs)
    except ASKED as exc:
        raise SecretUsedAsPublic(
            f"{_line(exc)}: Python asked for the value of a secret (in `if`, `while`, `range`, `float()`, a NumPy "
            "call or an index); use jnp.where, lax.fori_loop or a fixed size"
        ) from None
    except TypeError as exc:
        if not WIDE.search(str(exc)) or not NARROW.search(str(exc)):
            raise
        raise UsageError(
            f"{_line(exc)}: {' '.join(str(exc).split())} (columns are int64, float64 or bool in a traced function: "
            "write jnp.zeros((), x.dtype) beside a column x, or .astype(x.dtype))"
        ) from None
    return closed, jax.tree_util.tree_structure(shape)


def _names(tree: Any) -> list[str]:
    """Say which result each leaf of what a function returns is."""
    leaves = jax.tree_util.tree_unflatten(tree, range(tree.num_leaves))
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(leaves)[0]]
    keys = [[str(getattr(k, "key", getattr(k, "idx", k))) for k in path] for path in paths]
    return [f"result {'/'.join(k)!r}" if k else "the result" for k in keys]


def _line(exc: BaseException) -> str:
    found, tb = "the function", exc.__traceback__
    while tb is not None:
        name = tb.tb_frame.f_code.co_filename
        if is_users(name):
            found = f"{name.rsplit('/', 1)[-1]}:{tb.tb_lineno}"
        tb = tb.tb_next
    return found


def _not_finite(v: Value) -> bool:
    """Whether a value known while tracing holds NaN or an infinity."""
    float_ = known(v) and getattr(v, "dtype", None) is not None and np.dtype(v.dtype).kind == "f"
    return float_ and not np.all(np.isfinite(np.asarray(v)))


def finish(context: Context, v: Value, dtype: Any) -> SecretArray:
    """Return a value as an array of the context, of the kind that JAX's type asks for."""
    kind = kind_of(dtype)
    a = v if isinstance(v, SecretArray) else context.const(np.asarray(v), kind)
    return xp.astype(a, kind)


class Interpreter:
    """Runs flat steps on values of one context; `facts` are proved properties that intervals alone miss."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.facts: dict[int, tuple[Any, ...]] = {}
        self.along: dict[int, int] = {}
        """Along which axis matrices vary that repeat a vector."""
        self.reduced: dict[int, Reduced] = {}
        """Which arrays hold maxima, minima, sums or norms, and of what."""
        self.squares: dict[int, int] = {}
        """Which arrays are squares, and of what."""
        self.multiples: dict[int, tuple[int, float]] = {}
        """Which arrays are others, multiplied with a number."""
        self.norms: dict[int, tuple[tuple[int, ...], float]] = {}
        """Over which axes of an array the squares add up to no more than the square of a number."""
        self.weights: dict[int, tuple[int, ...]] = {}
        """Over which axes of an array, not negative, the elements add up to no more than one."""
        self.of_two: dict[int, tuple[Hashable, Hashable]] = {}
        """Which arrays are the greater or lesser of two, and of which."""
        self.attains: dict[int, tuple[int, int]] = {}
        """Which truth values say that such an array equals one of its two, and which one."""
        self.views: dict[int, tuple[int, tuple[int, ...]]] = {}
        """Which arrays are others with their axes permuted, and how."""
        self.sides: dict[int, jax_sides.Sides] = {}
        """Which truth values say on which side of a number arrays are, by `moved` or their numbers."""
        self.moved: dict[int, Hashable] = {}
        """Which arrays are others, moved, and how."""
        self.places: dict[int, jax_places.Places] = {}
        """Which arrays hold places of an order."""
        self.ranked: dict[int, int] = {}
        """By which axis arrays are sorted."""
        self.picked: dict[int, SecretArray] = {}
        """Which arrays were picked by known places, and from which sorted ones."""
        self.shares: dict[int, tuple[SecretArray, Any]] = {}
        """Which arrays are such ones, multiplied with known shares."""
        self.masked: dict[int, jax_masked.Masked] = {}
        """Which arrays hold scores that a mask sends to minus infinity."""
        self.pieces: dict[int, jax_pieces.Pieces] = {}
        """Which arrays are constant between numbers, of what."""
        self.sought: dict[Hashable, SecretArray] = {}
        """Which arrays, as `jax_sides` calls them, were sought in a known table, with their elements in one row."""
        self.passed: dict[int, list[jax_pieces.Passed]] = {}
        """Which numbers such a row has been compared with, and the truth values."""
        self.windows: dict[Any, Any] = {}
        """How the windows of a maximum were decided: its gradient asks again."""
        self.asks_again = False
        self.source = ""

    def run(self, flat: Flat, args: Sequence[Value], names: Sequence[str] = ()) -> list[Value]:
        """Run the steps; return the outputs, known ones as NumPy arrays. `names` are what errors call them."""
        flat = jax_least.direct(jax_linalg.direct(flat))
        self.asks_again |= any(step.name.startswith("select_and_") for step in flat.steps)
        env: dict[int, Value] = dict(zip(flat.ins, args, strict=True))
        last: dict[int, int] = {}
        for at, step in enumerate(flat.steps):
            last.update(dict.fromkeys((a for a in step.ins if isinstance(a, int)), at))
        last.update(dict.fromkeys((a for a in flat.outs if isinstance(a, int)), len(flat.steps)))

        def read(a: Atom) -> Value:
            return a.value if isinstance(a, Const) else env[a]

        for at, step in enumerate(flat.steps):
            outs = self.step(step, [read(a) for a in step.ins])
            env.update(zip(step.outs, outs, strict=True))
            for a in {a for a in step.ins if isinstance(a, int)}:
                if last[a] == at:
                    del env[a]
        outs = [read(a) for a in flat.outs]
        jax_masked.outputs(self, outs, names)
        return outs

    def step(self, step: Step, ins: list[Value]) -> list[Value]:
        """Run one step: fold it if everything is known, else by its rule."""
        if all(known(v) for v in ins):
            return fold(step, ins)
        rule = RULES.get(step.name)
        where = step.source or "the function"
        if rule is not None and not step.effect and all(0 in a.shape for a in step.avals):
            return [np.zeros(a.shape, a.dtype) for a in step.avals]
        if rule is None:
            remedy = REMEDIES.get(step.name, "rewrite it with operations that docs/operations.md lists")
            raise NotRealised(f"{where}: jax primitive {step.name!r} is not supported on secrets; {remedy}")
        outer, outer_ctx = self.source, self.context.source
        self.source, self.context.source = step.source, step.source
        try:
            for aval in step.avals:
                kind_of(aval.dtype)
            if self.masked:
                jax_masked.check(self, step, ins)
            outs = rule(self, step, ins)
            if self.masked:
                jax_masked.carry(self, step, ins, outs)
        except TacitError as exc:
            if isinstance(exc, RangeError) and any(_not_finite(v) for v in ins):
                raise RangeError(
                    f"{where}: jax primitive {step.name!r} meets a constant that is NaN or infinite, which no secret "
                    "can be; use a finite number in its place, such as the end of the value's range"
                ) from None
            if not exc.args:
                raise
            said = str(exc.args[0]) if where in str(exc) else f"{where}: {exc.args[0]}"
            if step.within in INSTEAD and INSTEAD[step.within] not in said:
                said = f"{said} (jnp.{step.within}: {INSTEAD[step.within]})"
            exc.args = (said, *exc.args[1:])
            raise
        finally:
            self.source, self.context.source = outer, outer_ctx
        return [self._checked(step, v, a) for v, a in zip(outs, step.avals, strict=True)]

    def _checked(self, step: Step, v: Value, aval: Any) -> Value:
        if tuple(np.shape(v) if known(v) else v.shape) != tuple(aval.shape):
            raise InternalError(f"{step.source}: {step.name} gave shape {v.shape}, JAX says {aval.shape}")
        if known(v):
            return v
        kind = kind_of(aval.dtype)
        # Signed types of 32 and 64 bits are what JAX itself computes places in; they are exact where JAX would wrap.
        unsigned = np.dtype(aval.dtype).kind == "u" and step.within not in PLACES_OF_JAX
        if kind == "int" and (np.dtype(aval.dtype).itemsize <= 2 or unsigned):
            ends = np.iinfo(aval.dtype)
            if v.size and not ends.min <= v.aval.lo <= v.aval.hi <= ends.max:
                masked = f" (x & {ends.max:#x} does)" if ends.min == 0 and ends.bits < 64 else ""
                raise RangeError(
                    f"{step.source}: jax primitive {step.name!r} may leave {aval.dtype}, with values in "
                    f"[{v.aval.lo:.6g}, {v.aval.hi:.6g}], and wrap; convert to int64 first, which never wraps{masked}, "
                    "or bound it"
                )
        # A float that is whole by construction stays an int: it needs no truncation later and is exact.
        if v.dtype == kind or (kind, v.dtype) == ("fixed", "int"):
            return v
        return xp.astype(v, kind)

    def lift(self, v: Value) -> SecretArray:
        """Return a value as an array of the context."""
        return v if isinstance(v, SecretArray) else self.context.const(v)
