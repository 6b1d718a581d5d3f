"""The table of JAX primitives: sorting. `jnp.sort`, `argsort`, `lexsort`, `median` and `quantile` arrive as these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Step, Value
from tacit.frontends.jax_rules import Rule

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter


def _last(x: SecretArray, axis: int) -> tuple[SecretArray, list[int]]:
    """Move `axis` to the end; return with it the axes that move it back."""
    there = [*(i for i in range(x.ndim) if i != axis), axis]
    return xp.permute_dims(x, there), [there.index(i) for i in range(x.ndim)]


def _sort(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    axis, keys = step.params["dimension"], step.params["num_keys"]
    moved = [_last(it.lift(v), axis) for v in ins]
    columns = [x for x, _ in moved]
    # Every sort here is stable, so `is_stable` asks for nothing more.
    arranged = od.arrange(od.order(columns[:keys]), *columns)
    return [xp.permute_dims(x, back) for x, (_, back) in zip(arranged, moved, strict=True)]


def _top_k(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x = it.lift(ins[0])
    axis = step.params.get("axis", x.ndim - 1) % x.ndim
    moved, back = _last(x, axis)
    values, places = od.top_k(moved, step.params["k"])
    return [xp.permute_dims(values, back), xp.permute_dims(places, back)]


RULES: dict[str, Rule] = {"sort": _sort, "top_k": _top_k}
