"""The table of JAX primitives: whole-number division, angles, the error function, cube roots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.frontends import jax_rules
from tacit.frontends.jax_flat import Step, Value

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
        return [xp.divide(*ins)]
    return [_quotient(it, step, ins)[0]]


def _rem(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    return [_quotient(it, step, ins)[1]]


RULES: dict[str, jax_rules.Rule] = {
    "div": _div,
    "rem": _rem,
    "sin": jax_rules.one(xp.sin),
    "cos": jax_rules.one(xp.cos),
    "tan": jax_rules.one(xp.tan),
    "atan": jax_rules.one(xp.atan),
    "atan2": jax_rules.one(xp.atan2),
    "erf": jax_rules.one(xp.erf),
    "erfc": jax_rules.one(xp.erfc),
    "cbrt": jax_rules.one(xp.cbrt),
}
