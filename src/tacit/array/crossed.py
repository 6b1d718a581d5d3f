"""Values that are compared with all of some others: by one sort of both, where that is worth less (decision 0100).

`(a[:, None] == b).any(1)`, which is `jnp.isin`, compares n·m pairs; sorted together, equal values are neighbours. So
where nothing but `any` or a sum reads the comparisons of every element of one array with every one of another, a run
sorts both, counts along, and moves what it finds back. It is what a Program's equations find pair by pair, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.bounds import difference_bits
from tacit.array.inner import Factor, unrepeated
from tacit.array.interpret import Again
from tacit.array.late import Calls, uses
from tacit.array.loop import infer_once
from tacit.array.ops_order import key_span
from tacit.array.passes import read
from tacit.array.program import SECRET, Aval, Eqn, Program
from tacit.array.secret import SecretArray
from tacit.core.protocol import Protocol
from tacit.core.rows import index_ring
from tacit.gadgets import sort

if TYPE_CHECKING:
    from tacit.array.runtime import Format

COMPARED = {"eq": "is_zero", "lt": "sign"}
FOLLOWED = frozenset({"not", "transpose", "reshape", "convert"})
"""What may stand between comparisons and what adds them up."""
FEW = 16
"""Fewer values than so many are never sorted with others, so nobody asks what that is worth."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of comparisons: of every element of `x`, how many of `y` or whether any."""

    x: int
    y: int
    op: str
    turned: bool
    """Whether x is the second operand."""
    negated: bool


def crossed(program: Program, ins: Sequence[Aval], p: Protocol, fmt: Format) -> Program:
    """Return the Program in which few sorts stand in place of many comparisons; the second time from memory."""
    if not p.offers("place"):
        return program  # a sort by exchanges compares about as much
    of = p.party
    key = "crossed", id(p.cards), of.network, of.n, fmt, *ins
    known: tuple[object, Program] | None = program.memo.get(key)
    if known is None:
        found = _Finder(program, infer_once(program, ins, fmt), p, fmt).find()
        made = read(_Sorted(program, infer_once(program, ins, fmt), fmt, found).run()) if found else program
        known = program.memo.setdefault(key, (p.cards, made))
    return known[1]


class _Finder:
    """Goes through a Program; says which of its results are found by sorting."""

    def __init__(self, program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format) -> None:
        self.program, self.avals, self.p, self.fmt = program, avals, p, fmt
        self.maker = {v: eqn for eqn in program.eqns for v in eqn.outs}
        self.uses, self.kept = uses(program), frozenset(program.outputs)

    def find(self) -> dict[int, _Asked]:
        """Return what is asked of pairs, by the variable that has the answer."""
        found: dict[int, _Asked] = {}
        for eqn in self.program.eqns:
            asked = self._asked(eqn) if eqn.op in ("every", "sum") else None
            if asked is None:
                continue
            both = self._both(asked)
            bits = key_span(both, self.fmt.frac_bits)[1]
            # Neighbours are compared, too: their differences take a bit more.
            if (
                0 < bits <= self.fmt.width - 3
                and both.size < 1 << 32
                and self._pays(asked, eqn, both.size, bits)
            ):
                found[eqn.outs[0]] = asked
        return found

    def _asked(self, eqn: Eqn) -> _Asked | None:
        """Follow what adds up, or ANDs, back to a comparison of all with all."""
        v, between = eqn.ins[0], list[Eqn]()
        while v not in self.kept and len(self.uses[v]) == 1 and (of := self.maker.get(v)) is not None:
            if of.op in COMPARED:
                break
            if of.op not in FOLLOWED:
                return None
            between.append(of)
            v = of.ins[0]
        else:
            return None
        shape = self.avals[v].shape
        if self.avals[v].where != SECRET or math.prod(shape) < FEW * FEW:
            return None
        labels = self._labels(shape, between)
        negated = sum(e.op == "not" for e in between) % 2 == 1
        if labels is None or (eqn.op == "every" and not (negated and of.op == "eq")):
            return None
        axes = (0,) if eqn.op == "every" else tuple(eqn.params["axes"])
        gone = {label for axis in axes for label in labels[axis]}
        left = [label for axis, own in enumerate(labels) if axis not in axes for label in own]
        pair = [unrepeated(self.maker, self.avals, u) for u in of.ins]
        for turned, (x, y) in ((False, pair), (True, pair[::-1])):
            if self._all_of(x, left) and self._all_of(y, sorted(gone)):
                return _Asked(x.var, y.var, of.op, turned, negated)
        return None

    def _labels(self, shape: tuple[int, ...], between: list[Eqn]) -> list[tuple[int, ...]] | None:
        """Return of each axis that is left which axes of the comparison it holds; None if one was taken apart."""
        labels: list[tuple[int, ...]] = [(i,) if n != 1 else () for i, n in enumerate(shape)]
        for eqn in reversed(between):
            if eqn.op == "transpose":
                labels = [labels[i] for i in eqn.params["perm"]]
            elif eqn.op == "reshape":
                rest, made = [label for label in labels if label], list[tuple[int, ...]]()
                for n in eqn.params["shape"]:
                    held: tuple[int, ...] = ()
                    while math.prod(shape[i] for i in held) < n:
                        held += rest.pop(0)
                    if math.prod(shape[i] for i in held) != n:
                        return None
                    made.append(held)
                labels = made
        return labels

    def _all_of(self, factor: Factor, axes: list[int]) -> bool:
        """Whether a factor has these axes of the comparison, in this order, and no others."""
        own = [a for axis in axes if (a := factor.axes[axis]) is not None]
        whole = sum(a is not None for a in factor.axes) == len(own) == len(axes)
        size = math.prod(self.avals[factor.var].shape[a] for a in own)
        return whole and own == sorted(own) and size == self.avals[factor.var].size >= FEW

    def _both(self, asked: _Asked) -> Aval:
        """Return what is known of both arrays in a row."""
        a, b = self.avals[asked.x], self.avals[asked.y]
        return Aval((a.size + b.size,), a.kind, min(a.lo, b.lo), max(a.hi, b.hi))

    def _pays(self, asked: _Asked, eqn: Eqn, rows: int, bits: int) -> bool:
        """Whether a sort of rows is worth less than all comparisons, even if to add up or to AND these took nothing."""
        p, a, b = self.p, self.avals[asked.x], self.avals[asked.y]
        ring, wide = index_ring(rows), self.fmt.width
        pairs, of = a.size * b.size, difference_bits([a, b], self.fmt.frac_bits)
        ranked: Calls = [("decompose", rows, {"bits": bits})]
        moved: Calls = []
        if asked.op == "eq":
            held = 1 if eqn.op == "every" else 2 * wide
            ranked.append(("is_zero", rows, {"bits": bits}))
            moved += [("fetch", rows, {"widths": (held, wide), "index": ring.width})]
            moved += [("digit_ranks", rows, {"bits": 1})]
            moved += [("place", rows, {"widths": (1, held), "index": ring.width})]
            moved += [("fetch", rows, {"widths": (held,), "index": ring.width})]
            ranked.append(("select" if held > 1 else "and_", rows, {}))
        else:
            moved.append(("fetch", rows, {"widths": (wide,), "index": ring.width}))
        moved.append(("place", rows, {"widths": (1 if eqn.op == "every" else wide,), "index": ring.width}))
        sorts = p.price(*ranked) + sort.radix(p, bits, 1, rows)[1] + p.over(ring).price(*moved)
        return sorts < p.price((COMPARED[asked.op], pairs, {"bits": of}))


class _Sorted(Again):
    """Records a Program again, sorts in place of comparisons."""

    def __init__(
        self, program: Program, avals: dict[int, Aval], fmt: Format, found: dict[int, _Asked]
    ) -> None:
        super().__init__(program, avals)
        self.fmt, self.found = fmt, found

    def instead(self, eqn: Eqn, ins: list[SecretArray]) -> SecretArray | None:
        """Record what is asked of all pairs, by a sort."""
        asked = self.found.get(eqn.outs[0]) if eqn.outs else None
        if asked is None:
            return None
        was = self.avals[eqn.outs[0]]
        x, y = (xp.reshape(self.now[v], (-1,)) for v in (asked.x, asked.y))
        if eqn.op == "every":
            return xp.reshape(xp.logical_not(self._any(x, y)), was.shape)
        m = y.shape[0]
        count = self._equal(x, y) if asked.op == "eq" else self._below(x, y, up_to=not asked.turned)
        count = xp.assume(count, 0, m, "no more are counted than there are")
        if asked.negated != (asked.op == "lt" and not asked.turned):
            count = xp.subtract(m, count)
        return xp.reshape(xp.astype(count, was.kind), was.shape)

    def _any(self, x: SecretArray, y: SecretArray) -> SecretArray:
        """Return of each x whether it is among y: of a group of equal values, those of y come first."""
        order, keys, ours = self._together(y, x, bool)
        ours, keys = od.arrange(order, ours, keys)
        (first,) = od.fill(_starts(keys), ours)
        return od.restore(order, first)[0][y.shape[0] :]

    def _equal(self, x: SecretArray, y: SecretArray) -> SecretArray:
        """Return of each x how many of y are equal: how many of y came up to it, less how many before its group."""
        order, keys, ours = self._together(y, x, np.int64)
        ours, keys = od.arrange(order, ours, keys)
        passed = xp.cumulative_sum(ours)
        (before,) = od.fill(_starts(keys), xp.subtract(passed, ours))
        return od.restore(order, xp.subtract(passed, before))[0][y.shape[0] :]

    def _below(self, x: SecretArray, y: SecretArray, up_to: bool) -> SecretArray:
        """Return of each x how many of y are less, or no greater: of equal ones, those that count come first."""
        order, _, ours = self._together(*((y, x) if up_to else (x, y)), np.int64, up_to)
        passed = xp.cumulative_sum(od.arrange(order, ours)[0])
        (passed,) = od.restore(order, passed)
        return passed[y.shape[0] :] if up_to else passed[: x.shape[0]]

    def _together(
        self, first: SecretArray, last: SecretArray, kind: Any, counts_first: bool = True
    ) -> tuple[Any, SecretArray, SecretArray]:
        """Return the order of two arrays in a row, the row, and 1 where the one that counts stands in it."""
        keys = xp.concat([first, last])
        mark = (np.arange(keys.shape[0]) < first.shape[0]) == counts_first
        return od.order(keys), keys, self.const(mark.astype(kind))


def _starts(keys: SecretArray) -> SecretArray:
    """Return which of sorted keys differ from the one before; the first does."""
    same = xp.equal(keys[1:], keys[:-1])
    return xp.concat([keys.context.const(np.ones(1, bool)), xp.logical_not(same)])
