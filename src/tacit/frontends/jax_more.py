"""The table of JAX primitives: whole-number division, bits, angles and their inverses, error and gamma functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.program import PUBLIC
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised, RangeError
from tacit.frontends import jax_index, jax_rules
from tacit.frontends.jax_extremes import one_is_met
from tacit.frontends.jax_flat import Step, Value, known

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter


def _quotient(it: Interpreter, step: Step, ins: list[Value]) -> tuple[SecretArray, SecretArray]:
    """Return quotient and remainder; the same operands divide once."""
    x, y = ins
    # Facts of a variable stand under its number; what is kept of a quotient under its complement.
    key = ~x.ref if isinstance(x, SecretArray) else None
    of = y.ref if isinstance(y, SecretArray) else y.tobytes()
    held = it.facts.get(key) if key is not None else None
    if held is not None and held[0] == of:
        return held[1], held[2]
    q, r = xp.divmod_trunc(x if isinstance(x, SecretArray) else it.lift(x), y)
    if key is not None:
        it.facts[key] = (of, q, r)
    return q, r


def _div(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    if not jax_rules.is_int(step):
        x, y = ins
        if not (known(x) or known(y)) and it.facts.get(x.ref) == ("sine", y.ref):
            # jnp.sinc divides a sine by its angle, which is not zero there but may be as small as one unit.
            return [xp.sin_over(y)]
        shared = None if known(x) or known(y) else _shared_out(it, it.facts.get(x.ref), it.facts.get(y.ref))
        out = xp.divide(x, y) if shared is None else shared
        if not known(x) and (divisor := jax_rules.only(y)) and out.dtype == "fixed" and out is not x:
            it.multiples[out.ref] = (x.ref, 1 / float(divisor))
        return [out]
    return [_quotient(it, step, ins)[0]]


def _shared_out(it: Interpreter, x: Any, y: Any) -> SecretArray | None:
    """Return a truth value over one of two numbers, by the facts of both, without a division; None of anything else.

    JAX shares the gradient of a maximum between operands that are equal: [x = max] / (2 if [y = max] else 1).
    """
    if x is None or y is None or x[0] != "truth" or y[0] != "either" or x[1].shape != y[1].shape:
        return None
    (_, truth), (_, which, second, first) = x, y
    second, first = 1 / second, 1 / first
    if one_is_met(it, truth, which) and first >= second >= 0:
        # Without `which`, `truth` holds: the weights add up to what it is worth alone.
        return xp._bind("weigh", truth, xp.logical_not(which), weights=np.array([second, first - second]))
    both = xp.logical_and(truth, which)
    out = xp._bind("weigh", both, xp.logical_xor(truth, both), weights=np.array([second, first]))
    lo, hi = min(0, second, first), max(0, second, first)
    return xp._bind("assume", out, lo=lo, hi=hi, why="at most one of two truth values is true")


def _rem(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [_quotient(it, step, ins)[1]]


def _sin(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    out = xp.sin(ins[0])
    it.facts[out.ref] = ("sine", ins[0].ref)
    return [out]


def _pow(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, y = ins
    exponent = jax_rules.only(y)
    if exponent is not None and not known(x) and float(2 * exponent).is_integer():
        return [jax_rules.as_result(jax_rules.root_power(x, exponent), step)]
    return [xp.power(x, y)]


def _logic(on_truth: Callable[..., Any], on_bits: Callable[..., Any]) -> jax_rules.Rule:
    def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        if jax_rules.is_int(step):
            return [on_bits(*ins)]
        sides = ((ins[0], ins[1]), (ins[1], ins[0])) if step.name in ("and", "or") else ()
        for v, other in sides:
            if (c := jax_rules.only(v)) is not None:
                # False decides an `and`, true an `or`; the other way round it changes nothing.
                decided = bool(c) == (step.name == "or")
                return [jax_rules.as_result(np.bool_(c) if decided else other, step)]
        return [on_truth(*ins)]

    return rule


def _not(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    dtype = np.dtype(step.avals[0].dtype)
    # Of a type without a sign, NOT is what is missing to its greatest number; 64 bits of it are no constant here.
    if dtype.kind == "u" and dtype.itemsize < 8:
        return [xp.subtract(int(np.iinfo(dtype).max), ins[0])]
    return [(xp.bitwise_invert if jax_rules.is_int(step) else xp.logical_not)(ins[0])]


def _shift(fn: Callable[..., Any], logical: bool = False) -> jax_rules.Rule:
    def rule(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        x, by = it.lift(ins[0]), ins[1]
        if not known(by) and by.aval.where != PUBLIC:
            picked = "write the sum of jnp.where(k == i, x >> i, 0) over each i that k may be"
            remedy = "write x * 2**k" if step.name == "shift_left" else picked
            raise NotRealised(
                f"jax primitive {step.name!r} by a secret number of places is not supported; {remedy}"
            )
        if logical and x.aval.lo < 0:
            raise RangeError(
                f"jax primitive {step.name!r} of a value in [{x.aval.lo:.6g}, {x.aval.hi:.6g}], which may be negative"
            )
        if step.name == "shift_left" and (kept := _kept(step, x, by)):
            x = xp.bitwise_and(x, 2**kept - 1)
        return [fn(x, np.asarray(by) if known(by) else by)]

    return rule


def _kept(step: Step, x: SecretArray, by: Value) -> int:
    """Return how many low bits a shift by a known amount leaves in a type without a sign; 0 if all have room."""
    places, dtype = jax_rules.only(by), np.dtype(step.avals[0].dtype)
    if places is None or dtype.kind != "u" or dtype.itemsize == 8 or not 0 <= places < 8 * dtype.itemsize:
        return 0
    kept = 8 * dtype.itemsize - int(places)
    return kept if x.aval.lo < 0 or x.aval.hi >= 2**kept else 0


def _clz(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    """Count the zeros above the highest bit: one for each power of two that is greater."""
    x, own = ins[0], 8 * np.dtype(step.avals[0].dtype).itemsize
    if x.aval.lo < 0:
        raise RangeError(
            f"jax primitive 'clz' of a value in [{x.aval.lo:.6g}, {x.aval.hi:.6g}], which may be negative; take the "
            "bits that count, as x & 0xFFFF does, or bound it"
        )
    powers = 2 ** np.arange(int(x.aval.hi).bit_length())
    passed = xp.sum(xp.astype(xp.greater_equal(xp.expand_dims(x, x.ndim), powers), "int"), x.ndim)
    return [xp.subtract(own, passed)]


def _scatter_sub(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x, index, u = ins
    return jax_index.RULES["scatter-add"](
        it, step, [x, index, -np.asarray(u) if known(u) else xp.negative(u)]
    )


RULES: dict[str, jax_rules.Rule] = {
    "scatter-sub": _scatter_sub,
    # Total order, which differs from `lt` and `le` for NaN alone.
    "lt_to": jax_rules.one(xp.less),
    "le_to": jax_rules.one(xp.less_equal),
    "div": _div,
    "rem": _rem,
    "divmod": lambda it, step, ins: list(xp.divmod_floor(*ins)),
    "floor_divide": jax_rules.one(xp.floor_divide),
    "remainder": jax_rules.one(xp.remainder),
    "sin": _sin,
    "cos": jax_rules.one(xp.cos),
    "tan": jax_rules.one(xp.tan),
    "atan": jax_rules.one(xp.atan),
    "atan2": jax_rules.one(xp.atan2),
    "erf": jax_rules.one(xp.erf),
    "erfc": jax_rules.one(xp.erfc),
    "cbrt": jax_rules.one(xp.cbrt),
    "asin": jax_rules.one(xp.asin),
    "acos": jax_rules.one(xp.acos),
    "asinh": jax_rules.one(xp.asinh),
    "acosh": jax_rules.one(xp.acosh),
    "atanh": jax_rules.one(xp.atanh),
    "erf_inv": jax_rules.one(xp.erfinv),
    "lgamma": jax_rules.one(xp.lgamma),
    "digamma": jax_rules.one(xp.digamma),
    "pow": _pow,
    "and": _logic(xp.logical_and, xp.bitwise_and),
    "or": _logic(xp.logical_or, xp.bitwise_or),
    "xor": _logic(xp.logical_xor, xp.bitwise_xor),
    "not": _not,
    "shift_left": _shift(xp.bitwise_left_shift),
    "shift_right_arithmetic": _shift(xp.bitwise_right_shift),
    "shift_right_logical": _shift(xp.bitwise_right_shift, logical=True),
    "clz": _clz,
    "population_count": jax_rules.one(xp.population_count),
}
