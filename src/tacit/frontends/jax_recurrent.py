"""Loops whose carry is a recurrence that can be told ahead: all of their turns at once (decision 0095).

A moving average, a running maximum, a filter, a balance: what such a loop carries follows from the rows by products
with public numbers, sums and comparisons that need not wait for each other. What else the body computes, from rows
and from what is carried, is then the same for every turn: it runs once, on arrays with a row for each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.secret import SecretArray
from tacit.frontends.jax_affine import TooFar, moves, states, too_many
from tacit.frontends.jax_flat import QUOTIENTS, Atom, Const, Flat, Step, Value, flatten, kind_of, known, live
from tacit.frontends.jax_rules import so_far

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_loops import Loop

LEAST = 4
"""Turns: of fewer, a loop has hardly more rounds and not more roundings."""
MOST = 1 << 22
"""Elements of an array with a row for each turn: a loop of more keeps its memory."""
WIDE = 1 << 11
"""Elements of a carry: of more, a turn is worth its rounds, and a loop sends about half where all states are read."""
MAX_MIXED = 32
"""Elements of carries of which each may be made of all others."""
MAX_MOVED = 1 << 9
"""Elements of those that are only moved, as in windows."""
MAX_COEFFICIENTS = 1 << 20

CONVERSIONS = frozenset(["convert_element_type", "copy", "copy_p"])
SAME_PLACE = CONVERSIONS | {"add", "add_any", "sub", "mul", "neg", "div", "select_n"}
PLACING = frozenset(["reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "rev"])
MOVING = PLACING | {"dynamic_slice", "gather", "reduce_sum", "cumsum"}
ADDING = frozenset(["add", "add_any", "sub", "concatenate", "stack", "select_n"])
PRODUCTS = frozenset(["mul", "dot_general"])
EXTREMES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "max": (od.cummax, xp.max),
    "min": (od.cummin, xp.min),
}
NONE = {"max": -np.inf, "min": np.inf}
"""What such a loop may start with, though no secret is infinite."""
FEW_BITS = 1 << 18
"""Truth values that are met by doubling: of more, pairs spare bytes worth more than their rounds."""
LOGIC: dict[str, Callable[..., Any]] = {"or": xp.logical_or, "and": xp.logical_and}


def at_once(
    it: Interpreter, loop: Loop, carried: list[int], moving: list[int], tables: dict[int, Any]
) -> list[SecretArray] | None:
    """Return the final carry and the stacked outputs of a loop, or None if it must go turn by turn."""
    turns = _Turns(it, loop, carried, moving, tables)
    try:
        return turns.run() if turns.groups() else None
    except TooFar:
        return None


@dataclass(slots=True)
class _Turns:
    """The rest of a loop's body, and what is known of it for all turns."""

    it: Interpreter
    loop: Loop
    carried: list[int]
    moving: list[int]
    tables: dict[int, Any]
    depends: dict[int, set[int]] = field(default_factory=dict)
    """Which carries a variable is made of."""
    avals: dict[int, Any] = field(default_factory=dict)
    order: list[list[int]] = field(default_factory=list)
    """The carries, those that depend on each other together, after those that they depend on."""
    env: dict[int, Value] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)
    """Variables of which the values have a row for each turn."""

    # -- which loops ---------------------------------------------------------------------------------------

    def groups(self) -> bool:
        """Put the carries in order; return whether every group of them is one of those that can be told ahead."""
        loop, body = self.loop, self.loop.body
        steps = loop.rest
        self.avals = dict(zip(body.ins, body.in_avals, strict=True))
        self.avals.update((v, a) for s in body.steps for v, a in zip(s.outs, s.avals, strict=True))
        sizes = [self.avals[v].size for s in steps for v in s.outs] + [
            body.out_avals[i].size for i in self.carried if body.outs[i] != loop.carry_ids[i]
        ]
        if loop.length < LEAST or not self.carried or loop.length * max(sizes, default=0) > MOST:
            return False
        if any(s.effect for s in steps) or any(0 in body.out_avals[i].shape for i in self.carried):
            return False
        self.depends = {loop.carry_ids[i]: {i} for i in self.carried}
        for s in steps:
            of = set().union(*(self.of(a) for a in s.ins))
            self.depends.update(dict.fromkeys(s.outs, of))
        reached = {i: self.of(body.outs[i]) for i in self.carried}
        for _ in self.carried:
            reached = {i: of.union(*(reached[j] for j in of)) for i, of in reached.items()}
        groups = {tuple(sorted({i} | {j for j in of if i in reached[j]})) for i, of in reached.items()}
        self.order = [list(g) for g in sorted(groups, key=lambda g: (len(reached[g[0]] | set(g)), g))]
        return all(self._simple(g) and not self._wide(g) for g in self.order)

    def of(self, a: Atom) -> set[int]:
        """Return which carries an operand is made of."""
        return set() if isinstance(a, Const) else self.depends.get(a, set())

    def _simple(self, group: list[int]) -> bool:
        first = group[0]
        if len(group) == 1 and (
            first not in self.of(self._out(first)) or self._out(first) == self._in(first)
        ):
            return True
        return self.extreme(group) is not None or self.affine(group)

    def _wide(self, group: list[int]) -> bool:
        size = max(self.loop.body.out_avals[i].size for i in group)
        return size > WIDE and bool(self.path(group)) and self._stacked(group)

    def _in(self, i: int) -> int:
        return self.loop.carry_ids[i]

    def _out(self, i: int) -> Atom:
        return self.loop.body.outs[i]

    def path(self, group: Collection[int]) -> list[Step]:
        """Return the steps that lead from carries to what they are next."""
        steps = [s for s in self.loop.rest if not set(group).isdisjoint(self.of(s.outs[0]))]
        return list(live(steps, [self._out(i) for i in group]))

    def extreme(self, group: list[int]) -> tuple[str, Atom] | None:
        """Return how a carry meets a row, if by one of `EXTREMES` or `LOGIC` and nothing else, and the row."""
        carried = self.loop.body.out_avals[group[0]]
        met, names = [], {self._in(group[0])}
        for s in self.path(group):
            if s.name in CONVERSIONS:
                names.update(s.outs)
            else:
                met.append(s)
            if kind_of(s.avals[0].dtype) != kind_of(carried.dtype) or not _roomy(s.avals[0].dtype):
                return None
        if len(group) > 1 or len(met) != 1 or met[0].avals[0].shape != carried.shape:
            return None
        name, others = met[0].name, [a for a in met[0].ins if isinstance(a, Const) or a not in names]
        truth = kind_of(carried.dtype) == "bool"
        return (name, others[0]) if len(others) == 1 and name in (LOGIC if truth else EXTREMES) else None

    def affine(self, group: list[int]) -> bool:
        """Whether the carries are next sums of public multiples of themselves, and of what they do not decide."""
        kinds = {kind_of(self.loop.body.out_avals[i].dtype) for i in group}
        steps, of = self.path(group), set(group)
        if len(kinds) > 1 or "bool" in kinds:
            return False
        for s in steps:
            moved = [not of.isdisjoint(self.of(a)) for a in s.ins]
            others = [self.public(a) for a, m in zip(s.ins, moved, strict=True) if not m]
            if s.name in ADDING:
                fits = s.name != "select_n" or (not moved[0] and self.public(s.ins[0]))
            elif s.name in PRODUCTS:
                fits = sum(moved) == 1 and all(others)
            else:
                fits = moved[0] and sum(moved) == 1 and all(others)
                fits &= (
                    not s.params.get("fill_value")
                    and s.name in MOVING | SAME_PLACE
                    and (s.name != "div" or kinds == {"fixed"})
                )
            if not fits or kind_of(s.avals[0].dtype) not in kinds or not _roomy(s.avals[0].dtype):
                return False
        size = sum(self.loop.body.out_avals[i].size for i in group)
        if self.same_place(group):
            return True
        if size > MAX_MOVED or (self.multiplied(group) and (size > MAX_MIXED or self.many(group, size))):
            return False
        return size <= MAX_MIXED or moves(self.coefficients(group)[0]) is not None

    def multiplied(self, group: list[int]) -> bool:
        """Whether carries are more than moved and added."""
        of = set(group)
        steps = [s for s in self.path(group) if s.name in PRODUCTS or s.name == "div"]
        factors = [a for s in steps for a in s.ins if of.isdisjoint(self.of(a))]
        values = [a.value if isinstance(a, Const) else self.loop.invariant.get(a, np.nan) for a in factors]
        return any(not np.all(np.isin(np.asarray(v), (0, 1))) for v in values)

    def many(self, group: list[int], size: int) -> bool:
        """Whether it is sure, before coefficients are looked for, that they are too many."""
        read = {a for s in self.path(group) for a in s.ins if isinstance(a, int)}
        return read.isdisjoint(self.tables) and too_many(self.loop.length, size)

    def public(self, a: Atom) -> bool:
        """Whether an operand is known while tracing."""
        return isinstance(a, Const) or a in self.loop.invariant or a in self.tables

    def same_place(self, group: list[int]) -> bool:
        """Whether each element of the carries is made of the elements at its place."""
        shape = self.avals[self._in(group[0])].shape
        of = set(group)
        arrays = {v for s in self.path(group) for v in (*s.ins, *s.outs) if isinstance(v, int)}
        arrays = {v for v in arrays if not of.isdisjoint(self.of(v))} | {self._in(i) for i in group}
        return all(self.avals[v].shape == shape for v in arrays) and all(
            s.name in SAME_PLACE for s in self.path(group)
        )

    # -- the run -------------------------------------------------------------------------------------------

    def run(self) -> list[SecretArray]:
        """Return the final carries and the stacked outputs."""
        loop = self.loop
        self.env = dict(loop.invariant)
        self.env.update(zip(loop.const_ids, loop.consts, strict=True))
        pairs = [(v, x) for v, x in zip(loop.x_ids, loop.xs, strict=True) if not known(x)]
        for v, x in (*pairs, *self.tables.items()):
            self.rows.add(v)
            self.env[v] = self._turned(x)
        final: dict[int, SecretArray] = {}
        for group in self.order:
            final.update(self._follow(group))
        outs = self.values([loop.body.outs[j] for j in self.moving])
        stacks = [
            self._turned(self._typed(self.of_turns(*v), loop.body.out_avals[j]))
            for j, v in zip(self.moving, outs, strict=True)
        ]
        return [*(final[i] for i in self.carried), *stacks]

    def _read(self, group: list[int]) -> set[int]:
        """Return what is read by anything else than the steps from the group's carries to the next.

        And what these read of which the results are: they are taken again, for all turns.
        """
        outs, path = self.loop.body.outs, self.path(group)
        own, after = {s.outs for s in path}, {a for a in (outs[i] for i in group) if isinstance(a, int)}
        read = {a for s in self.loop.rest if s.outs not in own for a in s.ins if isinstance(a, int)}
        others = [outs[j] for j in (*self.carried, *self.moving) if j not in group]
        read.update(a for a in others if isinstance(a, int))
        for s in reversed(path):
            if not read.isdisjoint(set(s.outs) - after):
                read.update(a for a in s.ins if isinstance(a, int))
        return read

    def _stacked(self, group: list[int]) -> bool:
        """Whether what carries are after every turn is read by anything else."""
        made = [v for s in self.path(group) for v in s.outs]
        return not self._read(group).isdisjoint([*(self._in(i) for i in group), *made])

    def _turned(self, x: Any) -> Any:
        if not self.loop.reverse:
            return x
        return np.flip(x, 0) if known(x) else xp.flip(x, 0)

    def _typed(self, v: Value, aval: Any) -> SecretArray:
        kind = kind_of(aval.dtype)
        lifted = self.it.context.const(np.asarray(v), kind) if known(v) else v
        return xp.astype(lifted, kind)

    def of_turns(self, v: Value, rows: bool) -> Any:
        """Return a value with a row for each turn."""
        if rows:
            return v
        shape = (self.loop.length, *np.shape(v)) if known(v) else (self.loop.length, *v.shape)
        return np.broadcast_to(np.asarray(v), shape) if known(v) else xp.broadcast_to(v, shape)

    def _follow(self, group: list[int]) -> dict[int, SecretArray]:
        """Bind what carries of a group are before and after each turn; return what they are in the end."""
        avals = {i: self.loop.body.out_avals[i] for i in group}
        start = {i: self.loop.carry[i] for i in group}
        stacked = self._stacked(group)
        i = group[0]
        if len(group) == 1 and self._out(i) == self._in(i):
            self.env[self._in(i)] = self._typed(start[i], avals[i])
            return {i: self._typed(start[i], avals[i])}
        if len(group) == 1 and i not in self.of(self._out(i)):
            (found,) = self.values([self._out(i)])
            after = {i: self._typed(self.of_turns(*found), avals[i])}
        elif (met := self.extreme(group)) is not None:
            (found,) = self.values([met[1]])
            row, shape = self._typed(self.of_turns(*found), avals[i]), avals[i].shape
            if row.ndim <= len(shape):  # one number for all places
                row = xp.broadcast_to(xp.reshape(row, (-1, *(1 for _ in shape))), (row.shape[0], *shape))
            none = known(start[i]) and met[0] in NONE and np.all(np.asarray(start[i]) == NONE[met[0]])
            first = None if none else xp.expand_dims(self._typed(start[i], avals[i]), 0)
            after = {i: _extremes(met[0], first, row, stacked)}
        else:
            zeros: dict[int, Value] = {self._in(j): np.zeros(a.shape, a.dtype) for j, a in avals.items()}
            offsets = self.values([self._out(j) for j in group], zeros)
            b = [self._typed(self.of_turns(*v), avals[j]) for j, v in zip(group, offsets, strict=True)]
            fed = self.fed(group)
            found_states = states(self.it, self.coefficients(group), b, list(start.values()), stacked, fed)
            after = dict(zip(group, found_states, strict=True))
        read = self._read(group)
        for j, rows in after.items():
            if (v := self._in(j)) in read:
                first = xp.expand_dims(self._typed(start[j], avals[j]), 0)
                self.env[v] = xp.concat([first, rows[:-1]])
                self.rows.add(v)
            out = self._out(j)
            if stacked and isinstance(out, int) and out not in self.env:
                self.env[out] = rows
                self.rows.add(out)
        return {j: rows[-1] for j, rows in after.items()}

    # -- steps of all turns ----------------------------------------------------------------------------------

    def values(self, wanted: list[Atom], given: dict[int, Value] | None = None) -> list[tuple[Value, bool]]:
        """Return values of the body, and whether they have a row for each turn; what is `given` is so in all."""
        env = {**self.env, **(given or {})}
        batch = _Batch(env, self.rows, self.avals, self.loop.length)
        steps = _needed(self.loop.rest, wanted, env)
        for step in steps:
            batch.add(step)
        # What is read again, by steps that wait for further carries, is computed once.
        changed, made = set(given or {}), {s.outs for s in steps}
        for s in steps:
            if not changed.isdisjoint(a for a in s.ins if isinstance(a, int)):
                changed.update(s.outs)
        others = {a for s in self.loop.rest if s.outs not in made for a in s.ins if isinstance(a, int)}
        others.update(a for a in self.loop.body.outs if isinstance(a, int))
        if given:
            again = [s for s in steps if not changed.isdisjoint(s.outs)]
            others.update(a for s in again for a in s.ins if isinstance(a, int))
        kept = [v for s in steps for v in s.outs if v in others and v not in changed]
        outs = tuple(a if isinstance(a, Const) else batch.at.get(a, a) for a in (*wanted, *kept))
        found = self.it.run(Flat(tuple(env), tuple(batch.steps), outs, (), ()), list(env.values()))
        self.env.update(zip(kept, found[len(wanted) :], strict=True))
        self.rows.update(v for v in kept if v in batch.rows)
        of = found[: len(wanted)]
        return [(v, not isinstance(a, Const) and a in batch.rows) for v, a in zip(of, wanted, strict=True)]

    def coefficients(self, group: list[int]) -> tuple[np.ndarray[Any, Any], bool]:
        """Return by what the carries are multiplied: (turns or 1, places or 1, to, from), and whether by place."""
        shapes = [self.loop.body.out_avals[i].shape for i in group]
        each = self.same_place(group)
        names = {a for s in self.path(group) for a in s.ins if isinstance(a, int) and a in self.tables}

        def once(carries: Any, row: Any) -> Any:
            return self._once(group, carries, row, 0)

        count = len(group) if each else sum(int(np.prod(s)) for s in shapes)
        places = int(np.prod(shapes[0])) if each else 1
        turns = self.loop.length if names else 1
        if turns * places * count * count > MAX_COEFFICIENTS:
            raise TooFar
        probes, done = [], 0
        for j, shape in enumerate(shapes):
            size = int(np.prod(shape))
            probe = np.zeros((count, size), self.loop.body.out_avals[group[j]].dtype)
            if each:
                probe[j] = 1
            else:
                probe[done + np.arange(size), np.arange(size)] = 1
            done += size
            probes.append(probe.reshape(count, *shape))
        table = {v: jax.numpy.asarray(self._turned(self.tables[v])) for v in names}
        over = jax.vmap(once, (0, None))
        found = jax.vmap(over, (None, 0))(probes, table) if names else [v[None] for v in over(probes, {})]
        parts = [np.asarray(v).reshape(turns, count, places if each else -1) for v in found]
        made = (
            np.stack(parts, 3).transpose(0, 2, 3, 1)
            if each
            else np.concatenate(parts, 2).transpose(0, 2, 1)[:, None]
        )
        for axis in (0, 1):
            if np.all(made == made.take([0], axis)):
                made = made.take([0], axis)
        return made, each

    def fed(self, group: list[int]) -> list[np.ndarray[Any, Any]] | None:
        """Return which elements of the carries anything is added to: what is not a number reaches them.

        None if that may differ by turn, or whole numbers are carried.
        """
        avals = [self.loop.body.out_avals[i] for i in group]
        names = {a for s in self.path(group) for a in s.ins if isinstance(a, int)}
        if not names.isdisjoint(self.tables) or any(kind_of(a.dtype) == "int" for a in avals):
            return None
        found = self._once(group, [jax.numpy.zeros(a.shape, a.dtype) for a in avals], {}, np.nan)
        return [np.asarray(v) != 0 for v in found]

    def _once(self, group: list[int], carries: Any, row: dict[int, Any], added: float) -> list[Any]:
        """Return the linear part of a turn, `added` in place of all that is added and is not nought."""
        env = dict(zip((self._in(i) for i in group), carries, strict=True))
        for s in self.path(group):
            ins = [self._factor(a, s.name, k, set(group), env, row, added) for k, a in enumerate(s.ins)]
            out = s.primitive.bind(*ins, **s.params)
            env.update(zip(s.outs, out if s.primitive.multiple_results else [out], strict=True))
        return [env[self._out(i)] for i in group]  # type: ignore[index]

    def _factor(
        self,
        a: Atom,
        name: str,
        k: int,
        of: set[int],
        env: dict[int, Any],
        row: dict[int, Any],
        added: float,
    ) -> Any:
        if not of.isdisjoint(self.of(a)):
            return env[a]  # type: ignore[index]
        value = a.value if isinstance(a, Const) else self.loop.invariant.get(a)
        if name in ADDING and not (name == "select_n" and k == 0):
            aval = self.avals[a] if isinstance(a, int) else np.asarray(a.value)
            there = added if value is None or not added else np.where(np.asarray(value) != 0, added, 0)
            return jax.numpy.broadcast_to(jax.numpy.asarray(there, aval.dtype), aval.shape)
        return row[a] if isinstance(a, int) and a in row else jax.numpy.asarray(value)


def _roomy(dtype: Any) -> bool:
    """Whether a type is one of JAX's that do not wrap here."""
    return np.dtype(dtype).kind in "fb" or (np.dtype(dtype).kind == "i" and np.dtype(dtype).itemsize >= 4)


def _needed(steps: Iterable[Step], wanted: Iterable[Atom], env: dict[int, Value]) -> list[Step]:
    """Return the steps that what is wanted needs beside what is there."""
    names = {a for a in wanted if isinstance(a, int) and a not in env}
    kept = []
    for s in reversed(list(steps)):
        if names.intersection(s.outs):
            kept.append(s)
            names.update(a for a in s.ins if isinstance(a, int) and a not in env)
    return kept[::-1]


def _extremes(name: str, first: SecretArray | None, rows: SecretArray, stacked: bool) -> SecretArray:
    """Return what is carried by maxima, minima or truth values, after each turn, or after the last."""
    x = rows if first is None else xp.concat([first, rows])
    skip = x.shape[0] - rows.shape[0]
    if name in EXTREMES:
        running, last = EXTREMES[name]
        return running(x, axis=0)[skip:] if stacked else xp.expand_dims(last(x, (0,)), 0)
    if not stacked:
        return xp.expand_dims((xp.any if name == "or" else xp.all)(x, (0,)), 0)
    columns = max(1, x.size // x.shape[0])
    return so_far(LOGIC[name], x, max(2, FEW_BITS // columns))[skip:]


class _Batch:
    """Steps of one turn as steps of all: JAX's own `vmap`, a step at a time, so that each keeps its line."""

    def __init__(self, env: dict[int, Value], rows: set[int], avals: dict[int, Any], length: int) -> None:
        self.rows, self.avals, self.length = set(rows), avals, length
        self.at: dict[int, Atom] = {}
        self.steps: list[Step] = []
        self.fresh = 1 + max([*env, *avals], default=0)

    def add(self, step: Step) -> None:
        """Add a step, for all turns if what it reads differs by turn."""
        ins = [a if isinstance(a, Const) else self.at.get(a, a) for a in step.ins]
        moved = [not isinstance(a, Const) and a in self.rows for a in step.ins]
        if not any(moved):
            self.steps.append(replace(step, ins=tuple(ins)))
            return
        self.rows.update(step.outs)
        specs = [
            jax.ShapeDtypeStruct((self.length, *a.shape) if m else a.shape, a.dtype)
            for a, m in zip(map(self._aval, step.ins), moved, strict=True)
        ]
        if step.name in QUOTIENTS and moved == [True, False] and self._aligned(step):
            # `vmap` would write it out.
            outs = range(self.fresh, self.fresh + len(step.outs))
            self.fresh += len(outs)
            avals = tuple(a.update(shape=(self.length, *a.shape)) for a in step.avals)
            self.steps.append(replace(step, ins=tuple(ins), outs=tuple(outs), avals=avals))
            self.at.update(zip(step.outs, outs, strict=True))
            return
        one = lambda *args: step.primitive.bind(*args, **step.params)  # noqa: E731
        closed = jax.make_jaxpr(jax.vmap(one, [0 if m else None for m in moved]))(*specs)
        flat = flatten(closed)
        names = dict(zip(flat.ins, ins, strict=True))
        for s in flat.steps:
            for v in s.outs:
                names[v], self.fresh = self.fresh, self.fresh + 1
            within = step.within or s.within
            self.steps.append(
                replace(
                    s,
                    ins=tuple(a if isinstance(a, Const) else names[a] for a in s.ins),
                    outs=tuple(names[v] for v in s.outs),  # type: ignore[misc]
                    source=step.source,
                    within=within,
                )
            )
        self.at.update(
            zip(step.outs, (a if isinstance(a, Const) else names[a] for a in flat.outs), strict=True)
        )

    def _aligned(self, step: Step) -> bool:
        """Whether a dividend has all axes of the quotient, so that one more before them changes nothing."""
        dividend, divisor = (len(self._aval(a).shape) for a in step.ins)
        return divisor <= dividend == len(step.avals[0].shape)

    def _aval(self, a: Atom) -> Any:
        return np.asarray(a.value) if isinstance(a, Const) else self.avals[a]
