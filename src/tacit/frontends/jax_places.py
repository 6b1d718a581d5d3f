"""Arrays that hold the places of an order, as `argsort` gives them: picking by them is moving rows by the order.

A look-up by a secret index compares it with every place. By all places of an order it is what a sort does with columns
that it carries: `x[jnp.argsort(k)]` moves x by the order of k, `x.at[jnp.argsort(k)].set(u)` moves u back, and the
order of an order is its inverse. So nothing is sorted twice and nothing looked up that has been in order already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Step, Value, known, with_notes

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

MOST_COLUMNS = 64
"""Rows of more elements are looked up: each element of a row is a column."""


@dataclass(frozen=True, slots=True)
class Places:
    """Elements `first` to `last` of a permutation, in each of its blocks, an array's elements in row order."""

    order: SecretArray
    inverse: bool = False
    """Whether it is the inverse of the order, which says for each row where it went."""
    from_end: bool = False
    """Whether places are counted from the last row."""
    turned: bool = False
    """Whether they stand last first."""
    first: int = 0
    last: int = 0

    @classmethod
    def of(cls, order: SecretArray, from_end: bool = False, count: int | None = None) -> Places:
        """Return the first places of an order, or all."""
        return cls(order, from_end=from_end, last=order.shape[-1] if count is None else count)

    @property
    def rows(self) -> int:
        """How many rows the order moves."""
        return self.order.shape[-1]

    @property
    def blocks(self) -> int:
        """How many orders there are beside one another."""
        return math.prod(self.order.shape[:-1])

    @property
    def whole(self) -> bool:
        """Whether every place is there."""
        return (self.first, self.last) == (0, self.rows)

    @property
    def inverted(self) -> Places:
        """The inverse permutation, of the whole of one."""
        return replace(self, inverse=not self.inverse, from_end=self.turned, turned=self.from_end)

    def backwards(self) -> Places:
        """Return these, the last first."""
        return replace(self, turned=not self.turned, first=self.rows - self.last, last=self.rows - self.first)

    def move(self, columns: Sequence[SecretArray]) -> list[SecretArray]:
        """Return the elements of columns (blocks, rows) that the places of the whole permutation name."""
        shaped = [xp.reshape(c, self.order.shape) for c in columns]
        moved = (od.restore if self.inverse else od.arrange)(
            self.order, *(_turn(c, self.from_end) for c in shaped)
        )
        return [xp.reshape(_turn(c, self.turned), (self.blocks, self.rows)) for c in moved]


def _turn(x: SecretArray, last_first: bool) -> SecretArray:
    return xp.flip(x, axis=x.ndim - 1) if last_first else x


def places_in(it: Interpreter, index: Value) -> Places | None:
    """Return which places of an order an array holds."""
    return None if known(index) else it.places.get(index.ref)


def _moves(it: Interpreter, index: SecretArray, batching: Sequence[int], table: SecretArray) -> Places | None:
    """Return which places an index holds, if it names rows of a table (blocks, rows, elements) by blocks of orders.

    `batching` are the index's axes that are blocks: only if they lie first are an array's blocks those of its places.
    """
    held = places_in(it, index)
    if held is None or tuple(batching) != tuple(range(len(batching))) or table.shape[2] > MOST_COLUMNS:
        return None
    fits = (held.blocks, held.rows) == table.shape[:2] and index.size == held.blocks * (
        held.last - held.first
    )
    return held if fits else None


def picked(
    it: Interpreter, index: SecretArray, batching: Sequence[int], table: SecretArray
) -> SecretArray | None:
    """Return rows of a table (blocks, rows, elements) that an index names; None if they are to be looked up."""
    held = _moves(it, index, batching, table)
    if held is None or (held.last - held.first) ** 2 < held.rows * (table.shape[2] - 1):
        return None  # looking up a few long rows takes less than moving all
    moved = held.move([table[:, :, j] for j in range(table.shape[2])])
    return xp.stack(moved, 2)[:, held.first : held.last]


def put(
    it: Interpreter, index: SecretArray, batching: Sequence[int], rows: SecretArray
) -> SecretArray | None:
    """Return a table (blocks, rows, elements) of rows put at the places that an index names, if that is every place."""
    held = _moves(it, index, batching, rows)
    if held is None or not held.whole:
        return None
    return xp.stack(held.inverted.move([rows[:, :, j] for j in range(rows.shape[2])]), 2)


def order_of(
    it: Interpreter, order: SecretArray, columns: Sequence[Value], moved: Sequence[SecretArray]
) -> None:
    """Note which columns that an order has moved are its places: those that counted the rows."""
    numbers = np.arange(order.shape[-1])
    for v, x in zip(columns, moved, strict=True):
        if known(v) and np.shape(v) == order.shape:
            for from_end in (False, True):
                if np.all(np.asarray(v) == (numbers[::-1] if from_end else numbers)):
                    it.places[x.ref] = Places.of(order, from_end)


def sorted_places(it: Interpreter, step: Step, columns: list[Value]) -> list[Value] | None:
    """Return columns sorted by the first, if that holds all places of an order; else None."""
    held = places_in(it, columns[0])
    if held is None or not held.whole or columns[0].shape != held.order.shape:
        return None
    shape, inverse = held.order.shape, held.inverted
    moved = (
        [xp.reshape(v, shape) for v in inverse.move([it.lift(v) for v in columns[1:]])] if columns[1:] else []
    )
    numbers = np.broadcast_to(np.arange(shape[-1]), shape)
    for v, out in zip(columns[1:], moved, strict=True):
        if known(v) and np.all(np.asarray(v) == numbers):
            # The order of an order is its inverse: what stands at i goes to the i-th place.
            it.places[out.ref] = inverse
    return [numbers.astype(step.avals[0].dtype), *moved]


def _same_places(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    held = places_in(it, ins[0])
    if held is None or known(outs[0]) or outs[0].size != ins[0].size or outs[0].dtype == "bool":
        return
    if step.params.get("dimensions") is None:
        it.places.setdefault(outs[0].ref, held)


def _some_places(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    """Note a part of the places, of all blocks."""
    held, x, p = places_in(it, ins[0]), ins[0], step.params
    if held is None or known(outs[0]) or x.shape != (*held.order.shape[:-1], held.last - held.first):
        return
    if outs[0].shape[:-1] == x.shape[:-1] and (p["strides"] is None or p["strides"][-1] == 1):
        first, last = int(p["start_indices"][-1]), int(p["limit_indices"][-1])
        it.places.setdefault(outs[0].ref, replace(held, first=held.first + first, last=held.first + last))


def _turned_places(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    held, x = places_in(it, ins[0]), ins[0]
    if held is None or known(outs[0]) or tuple(step.params["dimensions"]) != (x.ndim - 1,):
        return
    if x.shape == (*held.order.shape[:-1], held.last - held.first):
        it.places.setdefault(outs[0].ref, held.backwards())


def placing(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those that reshape or turn an array, or take a part of it, keeping what is known of places."""
    moves = ("reshape", "broadcast_in_dim", "squeeze", "expand_dims", "convert_element_type", "copy")
    return with_notes(
        rules, {**dict.fromkeys(moves, _same_places), "slice": _some_places, "rev": _turned_places}
    )
