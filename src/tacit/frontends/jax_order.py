"""The table of JAX primitives: sorting. `jnp.sort`, `argsort`, `lexsort`, `median` and `quantile` arrive as these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Step, Value
from tacit.frontends.jax_places import Places, order_of, sorted_places
from tacit.frontends.jax_rules import Rule

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter


def _last(x: SecretArray, axis: int) -> tuple[SecretArray, list[int]]:
    """Move `axis` to the end; return with it the axes that move it back."""
    there = [*(i for i in range(x.ndim) if i != axis), axis]
    return xp.permute_dims(x, there), [there.index(i) for i in range(x.ndim)]


def _sort(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    axis, keys = step.params["dimension"], step.params["num_keys"]
    last = axis == len(step.avals[0].shape) - 1
    if last and keys == 1 and (found := sorted_places(it, step, ins)) is not None:
        return found
    moved = [_last(it.lift(v), axis) for v in ins]
    columns = [x for x, _ in moved]
    # Every sort here is stable, so `is_stable` asks for nothing more.
    order = od.order(columns[:keys])
    arranged = od.arrange(order, *columns)
    if last:
        order_of(it, order, ins, arranged)
    return [xp.permute_dims(x, back) for x, (_, back) in zip(arranged, moved, strict=True)]


def _top_k(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    x = it.lift(ins[0])
    axis = step.params.get("axis", x.ndim - 1) % x.ndim
    moved, back = _last(x, axis)
    k = step.params["k"]
    if od.few(moved.shape, k):
        values, places = od.top_k(moved, k)
    else:
        order = od.order(moved, descending=True)
        values, places = (v[..., :k] for v in od.arrange(order, moved, od.places_of(moved)))
        if axis == x.ndim - 1:
            it.places[places.ref] = Places.of(order, count=k)
    return [xp.permute_dims(values, back), xp.permute_dims(places, back)]


RULES: dict[str, Rule] = {"sort": _sort, "top_k": _top_k}
