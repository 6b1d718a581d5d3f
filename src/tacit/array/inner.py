"""Products that are only added up, as inner products (decision 0094).

`sum(x * y)` of shares exchanges a message for each product; `x @ y` one for each sum. So where nothing but a sum reads
a product, a run multiplies matrices instead, if the sums fit the ring before they are rounded: operands that were
repeated to meet each other (`x[:, None] * y`) are rows and columns of one. What a truth value selects, or else zero, is
its product with it, so `sum(where(m, x, 0))` may be an inner product, too. A run follows from it what a
Program's equations do one by one: values and ranges are the same, errors no larger.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array.late import Calls, factors, uses
from tacit.array.loop import infer_eqn, infer_once
from tacit.array.ops import bits_needed
from tacit.array.passes import read
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.together import in_order
from tacit.errors import RangeError

if TYPE_CHECKING:
    from tacit.array.runtime import Format
    from tacit.core.protocol import Protocol


CONVERTED = 4
"""Truth values are made numbers before they meet where that is a fourth as many, or less."""


@dataclass(slots=True)
class Factor:
    """An array that stands in a product, and which of its axes each axis of the product is; None where it repeats."""

    var: int
    axes: list[int | None]


def inner(program: Program, ins: Sequence[Aval], p: Protocol, fmt: Format) -> Program:
    """Return the Program in which sums of products are products of matrices; the second time from memory."""
    of = p.party
    key = "inner", id(p.cards), of.network, of.n, fmt, *ins
    known: tuple[object, Program] | None = program.memo.get(key)
    if known is None:
        found = _Finder(program, infer_once(program, ins, fmt), p, fmt).run()
        known = program.memo.setdefault(key, (p.cards, found))
    return known[1]


def unrepeated(maker: Mapping[int, Eqn], avals: Mapping[int, Aval], v: int) -> Factor:
    """Return what a factor was before it was repeated to the shape of what it stands in."""
    found = Factor(v, [i if n != 1 else None for i, n in enumerate(avals[v].shape)])
    while (eqn := maker.get(found.var)) is not None and eqn.op in ("broadcast", "reshape"):
        before, now = avals[eqn.ins[0]].shape, avals[found.var].shape
        if eqn.op == "broadcast":
            back = {axis: i for i, axis in enumerate(eqn.params["dims"]) if before[i] == now[axis]}
        else:
            olds, news = ([i for i, n in enumerate(s) if n != 1] for s in (before, now))
            if [before[i] for i in olds] != [now[i] for i in news]:
                break
            back = dict(zip(news, olds, strict=True))
        found = Factor(eqn.ins[0], [None if a is None else back.get(a) for a in found.axes])
    return found


class _Finder:
    """Goes through a Program; sums of products that fit are made otherwise, all else stays."""

    def __init__(self, program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format) -> None:
        self.program, self.avals, self.p, self.fmt = program, dict(avals), p, fmt
        self.maker = {v: eqn for eqn in program.eqns for v in eqn.outs}
        self.uses, self.kept = uses(program), frozenset(program.outputs)
        self.fresh = max(self.avals, default=-1) + 1
        self.made: list[Eqn] = []
        self.numbers: dict[int, int] = {}
        """Truth values that have been made whole numbers, which others then read, too."""

    def run(self) -> Program:
        """Return the Program with what stands in place of sums, and without what nothing reads any more."""
        eqns: list[Eqn] = []
        for eqn in self.program.eqns:
            if eqn.op == "sum":
                self.made, known = [], dict(self.numbers)
                if self._put(eqn):
                    eqns += self.made
                    continue
                self.numbers = known
            eqns.append(eqn)
        if len(eqns) == len(self.program.eqns):
            return self.program
        # Products of matrices stand where the sums stood; they may share their rounds.
        return in_order(read(self.program.replace(eqns=tuple(self._made_once(eqns)))), self.avals)

    def _put(self, total: Eqn) -> bool:
        """Make the sum of a product by a product of matrices, and say whether that can be."""
        (v,), summed = total.ins, frozenset(total.params["axes"])
        eqn = self._only(v)
        bits = eqn is not None and eqn.op == "convert" and self.avals[eqn.ins[0]].kind == "bool"
        eqn = self._only(eqn.ins[0]) if eqn is not None and bits else eqn
        pair = () if eqn is None else self._factors(eqn, bits)
        if (
            eqn is None
            or not pair
            or not self.avals[v].size
            or self.avals[v].where != SECRET
            or any(self.avals[u].where == PUBLIC for u in pair)
        ):
            return False
        x, y = (unrepeated(self.maker, self.avals, u) for u in pair)
        shape, of = self.avals[v].shape, [self.avals[factor.var].size for factor in (x, y)]
        if bits and CONVERTED * sum(of) > math.prod(shape):
            return False
        among: dict[tuple[bool, bool, bool], list[int]] = {}
        for axis in (axis for axis, size in enumerate(shape) if size != 1):
            kind = x.axes[axis] is not None, y.axes[axis] is not None, axis in summed
            among.setdefault(kind, []).append(axis)
        both, inside = among.get((True, True, False), []), among.get((True, True, True), [])
        left, right = among.get((True, False, False), []), among.get((False, True, False), [])
        lone = among.get((True, False, True), []), among.get((False, True, True), [])
        if not (inside or lone[0] or lone[1]) or any(not (of_x or of_y) for of_x, of_y, _ in among):
            return False
        try:
            chosen = eqn.op == "select"
            for factor in (x, y) if bits else (x,) if chosen else ():
                factor.var = self._number(total, factor.var, negated=chosen and pair[1] == eqn.ins[2])
            a = self._laid(total, x, (both, left, inside), lone[0])
            # Of squares, the same in memory.
            b = a if x == y and not left else self._laid(total, y, (both, inside, right), lone[1])
            b = self._shaped(
                total, b, [math.prod(shape[axis] for axis in group) for group in (both, inside, right)]
            )
            if chosen and not self._pays(eqn, a, b):
                return False
            out = self._product(total, a, b)
            order = [*both, *left, *right]
            out = self._shaped(total, out, [shape[axis] for axis in order])
            out = self._turned(total, out, sorted(range(len(order)), key=order.__getitem__))
            out = self._shaped(total, out, self.avals[total.outs[0]].shape)
            if self.avals[out].kind != self.avals[v].kind:
                out = self._emit(total, "convert", [out], {"kind": self.avals[v].kind})
        except RangeError:
            return False
        # What is known of the sum, of squares that it is not negative, stays known.
        was = self.avals[total.outs[0]]
        self.made.append(Eqn("assume", (out,), total.outs, {"lo": was.lo, "hi": was.hi}, total.source))
        return True

    def _factors(self, eqn: Eqn, bits: bool) -> tuple[int, ...]:
        """Return the factors of what is summed; of what is selected or zero, the truth values first."""
        if eqn.op in (("and",) if bits else ("mul", "square")):
            return factors(eqn)
        if eqn.op == "select" and not bits:
            of, *cases = eqn.ins
            for v, other in (cases, cases[::-1]):
                a = self.avals[other]
                if a.where == PUBLIC and a.lo == a.hi == 0:
                    return of, v
        return ()

    def _number(self, total: Eqn, v: int, negated: bool) -> int:
        """Return truth values, or what they are not, as whole numbers, the second time those that were made."""
        while (eqn := self.maker.get(v)) is not None and eqn.op == "not":
            (v,), negated = eqn.ins, not negated
        if v not in self.numbers:
            self.numbers[v] = self._emit(total, "convert", [v], {"kind": "int"})
        if not negated:
            return self.numbers[v]
        one = self._emit(total, "const", [], {"value": np.ones((), np.int64)})
        ones = self._emit(total, "broadcast", [one], {"shape": list(self.avals[v].shape), "dims": []})
        return self._emit(total, "sub", [ones, self.numbers[v]], {})

    def _made_once(self, eqns: list[Eqn]) -> list[Eqn]:
        """Return equations of which the first that makes numbers of such truth values makes them for all."""
        found, made = list[Eqn](), set[int]()
        for eqn in eqns:
            number = self.numbers.get(eqn.ins[0]) if eqn.op == "convert" else None
            if number is None:
                found.append(eqn)
                continue
            if number not in made:
                made.add(number)
                found.append(Eqn("convert", eqn.ins, (number,), {"kind": "int"}, eqn.source))
            if eqn.params["kind"] == "fixed":
                found.append(Eqn("convert", (number,), eqn.outs, eqn.params, eqn.source))
            elif eqn.outs != (number,):
                shape = list(self.avals[number].shape)
                found.append(Eqn("reshape", (number,), eqn.outs, {"shape": shape}, eqn.source))
        return found

    def _pays(self, chosen: Eqn, a: int, b: int) -> bool:
        """Whether truth values, made numbers once for all that they select, and sums are worth less than selections."""
        shapes = tuple(self.avals[v].shape for v in (a, b))
        (batch, m, k), n = shapes[0], shapes[1][2]
        of = self.avals[chosen.ins[0]]
        calls: Calls = [("matmul", batch * m * n, {"inner": k, "shapes": shapes})]
        if of.where == SECRET:
            calls.insert(0, ("to_arith", batch * m * k, {"planes": 1}))
        return self.p.price(*calls) < self.p.price(("select", self.avals[chosen.outs[0]].size, {}))

    def _only(self, v: int) -> Eqn | None:
        """Return what makes a variable that one equation reads and nothing else."""
        return self.maker.get(v) if v not in self.kept and len(self.uses[v]) == 1 else None

    def _laid(self, total: Eqn, factor: Factor, groups: Sequence[Sequence[int]], alone: Sequence[int]) -> int:
        """Lay a factor out as matrices, by the product's axes; axes that it alone is summed over are summed first."""
        v, shape = factor.var, self.avals[factor.var].shape
        gone = sorted(i for axis in alone if (i := factor.axes[axis]) is not None)
        if gone:
            v = self._emit(total, "sum", [v], {"axes": gone})
        axes = [i for group in groups for axis in group if (i := factor.axes[axis]) is not None]
        v = self._shaped(total, v, [shape[i] for i in sorted(axes)])
        v = self._turned(total, v, [sorted(axes).index(i) for i in axes])
        sizes = self.avals[total.ins[0]].shape
        return self._shaped(total, v, [math.prod(sizes[axis] for axis in group) for group in groups])

    def _product(self, total: Eqn, a: int, b: int) -> int:
        """Multiply matrices (batch, m, k) by (batch, k, n), in as many parts of k as keep sums within the ring."""
        (batch, m, k), n = self.avals[a].shape, self.avals[b].shape[2]
        most = self._most(a, b) if k > 1 else 1
        if most < min(k, 2):
            raise RangeError("no two products fit")
        if most >= k:
            return self._matmul(total, a, b)
        parts, rest = divmod(k, most)
        left = self._shaped(total, self._cut(total, a, 2, 0, parts * most), (batch, m, parts, most))
        left = self._shaped(total, self._turned(total, left, [0, 2, 1, 3]), (batch * parts, m, most))
        right = self._shaped(total, self._cut(total, b, 1, 0, parts * most), (batch * parts, most, n))
        out, ends = self._matmul(total, left, right), k - rest
        # Both are asked for before either is read, in the same rounds.
        cut = [self._cut(total, a, 2, ends, k), self._cut(total, b, 1, ends, k)] if rest else []
        others = [self._matmul(total, *cut)] if rest else []
        out = self._emit(total, "sum", [self._shaped(total, out, (batch, parts, m, n))], {"axes": [1]})
        return self._emit(total, "add", [out, *others], {}) if others else out

    def _most(self, a: int, b: int) -> int:
        """Return how many products of elements may be added up before they are rounded: a power of two, or all."""
        x, y = self.avals[a], self.avals[b]
        most = x.shape[2]
        while most > 1:
            of = [replace(x, shape=(1, 1, most)), replace(y, shape=(1, most, 1))]
            made = infer_eqn(Eqn("matmul", (0, 1), (2,), {}, ""), of, self.fmt)
            if bits_needed("matmul", of, made, {}, self.fmt.frac_bits) <= self.fmt.width - 2:
                return most
            most = 1 << (most - 1).bit_length() - 1
        return 0

    def _matmul(self, total: Eqn, a: int, b: int) -> int:
        """Multiply two matrices, or as many as they hold."""
        batch = self.avals[a].shape[0]
        of = [a, b] if batch > 1 else [self._shaped(total, v, self.avals[v].shape[1:]) for v in (a, b)]
        out = self._emit(total, "matmul", of, {})
        return out if batch > 1 else self._shaped(total, out, (1, *self.avals[out].shape))

    def _cut(self, total: Eqn, v: int, axis: int, start: int, stop: int) -> int:
        shape = self.avals[v].shape
        if (start, stop) == (0, shape[axis]):
            return v
        ends = [0] * len(shape), list(shape), [1] * len(shape)
        ends[0][axis], ends[1][axis] = start, stop
        return self._emit(total, "slice", [v], dict(zip(("start", "stop", "steps"), ends, strict=True)))

    def _shaped(self, total: Eqn, v: int, shape: Sequence[int]) -> int:
        same = self.avals[v].shape == tuple(shape)
        return v if same else self._emit(total, "reshape", [v], {"shape": list(shape)})

    def _turned(self, total: Eqn, v: int, perm: list[int]) -> int:
        return v if perm == sorted(perm) else self._emit(total, "transpose", [v], {"perm": perm})

    def _emit(self, total: Eqn, op: str, ins: list[int], params: dict[str, Any]) -> int:
        """Add an equation; RangeError if the format is too narrow for it."""
        of, draft = [self.avals[v] for v in ins], Eqn(op, tuple(ins), (self.fresh,), params, total.source)
        (made,) = infer_eqn(draft, of, self.fmt)
        if bits_needed(op, of, [made], params, self.fmt.frac_bits) > self.fmt.width - 2:
            raise RangeError("the sum of products does not fit")
        self.made.append(draft)
        self.avals[self.fresh] = made
        self.fresh += 1
        return draft.outs[0]
