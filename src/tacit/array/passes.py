"""Program transformations. None is needed for correctness; each changes the cost, not the answer.

`localise` moves sums, extremes, counts by an index and Gram products through the concatenation of owners' rows: a
pooled mean of three hospitals then shares three sums instead of every row. `around` does so for variances. `prune`
drops what no result needs, `once` what has been computed. `merge.py` holds one more, and all of them in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from tacit.array.around import Around
from tacit.array.loop import infer, infer_eqn, split
from tacit.array.ops import join_where
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program, params_text
from tacit.array.schema import ELEMENTWISE

AT_ONCE = ELEMENTWISE | {"broadcast", "const", "flip", "lookup", "reshape", "slice", "take", "transpose"}
"""What a loop may hold whose steps are written out, so that owners take them on their own rows."""
MOST_STEPS = 32
MOST_EQUATIONS = 4096


def prune(program: Program) -> Program:
    """Drop equations that neither a result nor a reveal needs, and renumber."""
    return _renumber(read(program))


def read(program: Program) -> Program:
    """Drop equations that neither a result nor a reveal needs."""
    needed = set(program.outputs)
    kept: list[Eqn] = []
    for eqn in reversed(program.eqns):
        if eqn.op == "reveal" or needed & set(eqn.outs):
            kept.append(eqn)
            needed.update(eqn.ins)
    return program.replace(eqns=tuple(reversed(kept)))


FRESH = frozenset({"reveal", "shuffle"})
"""Operations that do something new every time."""


def once(program: Program) -> Program:
    """Compute the same equation of the same operands once, in loops too: a mean that is asked for three times."""
    now: dict[int, int] = {}
    made: dict[tuple[Any, ...], tuple[int, ...]] = {}
    kept: list[Eqn] = []
    for eqn in program.eqns:
        ins, params = tuple(now.get(v, v) for v in eqn.ins), eqn.params
        if "body" in params:
            params = {**params, "body": once(params["body"])}
        elif eqn.op not in FRESH:
            outs = made.setdefault((eqn.op, ins, params_text(eqn)), eqn.outs)
            if outs != eqn.outs:
                now.update(zip(eqn.outs, outs, strict=True))
                continue
        kept.append(Eqn(eqn.op, ins, eqn.outs, params, eqn.source))
    return _renumber(program.replace(eqns=tuple(kept), outputs=tuple(now.get(v, v) for v in program.outputs)))


def _renumber(program: Program) -> Program:
    names: dict[int, int] = {}
    for spec in program.inputs:
        names[spec.var] = len(names)
    eqns = []
    for eqn in program.eqns:
        outs = []
        ins = tuple(names[v] for v in eqn.ins)
        for v in eqn.outs:
            names[v] = len(names)
            outs.append(names[v])
        eqns.append(Eqn(eqn.op, ins, tuple(outs), eqn.params, eqn.source))
    inputs = tuple(type(i)(i.name, i.owner, names[i.var], i.aval) for i in program.inputs)
    return Program(inputs, tuple(eqns), tuple(names[v] for v in program.outputs))


def localise(program: Program) -> Program:
    """Push computation to the owners of rows (see the module's first paragraph), then prune."""
    return prune(_Localiser(program).run())


class _Localiser:
    """Rewrites equation by equation; a variable is held whole, in parts along one axis, or both."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.old = infer(program)
        self.avals: dict[int, Aval] = {}
        self.eqns: list[Eqn] = []
        self.whole: dict[int, int] = {}
        self.parts: dict[int, tuple[int, list[int]]] = {}
        self.next = 0
        self.unnamed = 0
        """The last name of a variable that the program does not have: they count down."""
        self.source = ""
        self.around = Around(self)

    def run(self) -> Program:
        inputs = []
        for spec in self.program.inputs:
            var = self._new(spec.aval)
            self.whole[spec.var] = var
            inputs.append(type(spec)(spec.name, spec.owner, var, spec.aval))
        for eqn in self.program.eqns:
            self.source = eqn.source
            if not (self._split(eqn) or self.around.take(eqn)):
                outs = self._emit(eqn.op, [self._get(v) for v in eqn.ins], eqn.params)
                self.whole.update(zip(eqn.outs, outs, strict=True))
        return Program(tuple(inputs), tuple(self.eqns), tuple(self._get(v) for v in self.program.outputs))

    def _new(self, aval: Aval) -> int:
        self.avals[self.next] = aval
        self.next += 1
        return self.next - 1

    def _emit(self, op: str, ins: Sequence[int], params: dict[str, Any]) -> list[int]:
        draft = Eqn(op, tuple(ins), (), params, self.source)
        outs = [self._new(a) for a in infer_eqn(draft, [self.avals[v] for v in ins])]
        self.eqns.append(Eqn(op, tuple(ins), tuple(outs), params, self.source))
        return outs

    def _get(self, v: int) -> int:
        """Return the whole variable, joining its parts once."""
        if v not in self.whole:
            axis, parts = self.parts[v]
            self.whole[v] = self._emit("concat", parts, {"axis": axis})[0]
        return self.whole[v]

    def _sizes(self, axis: int, parts: list[int]) -> list[int]:
        return [self.avals[p].shape[axis] for p in parts]

    # -- one rule for each way an operation passes through a concatenation --------------------------------

    def _split(self, eqn: Eqn) -> bool:
        if eqn.op == "concat":
            return self._concat(eqn)
        if not any(v in self.parts for v in eqn.ins):
            return False
        if eqn.op in ELEMENTWISE:
            return self._elementwise(eqn)
        rule = getattr(self, f"_rule_{eqn.op}", None)
        return bool(rule is not None and rule(eqn))

    def _concat(self, eqn: Eqn) -> bool:
        axis, out = eqn.params["axis"], self.old[eqn.outs[0]]
        if any(v in self.parts and self.parts[v][0] != axis for v in eqn.ins) and self._elementwise(eqn):
            return True  # columns side by side, each split by rows alike
        owners = {self.old[v].where for v in eqn.ins}
        if out.where != SECRET or not any(
            w.startswith("owner:") for w in owners | self._part_places(eqn.ins, axis)
        ):
            return False
        flat: list[int] = []
        for v in eqn.ins:
            inner = self.parts.get(v)
            flat += inner[1] if inner is not None and inner[0] == axis else [self._get(v)]
        self.parts[eqn.outs[0]] = (axis, flat)
        return True

    def _part_places(self, ins: Sequence[int], axis: int) -> set[str]:
        return {
            self.avals[p].where
            for v in ins
            if v in self.parts and self.parts[v][0] == axis
            for p in self.parts[v][1]
        }

    def _elementwise(self, eqn: Eqn) -> bool:
        axis, parts = next(self.parts[v] for v in eqn.ins if v in self.parts)
        sizes = self._sizes(axis, parts)
        columns: list[list[int]] = []
        for v in eqn.ins:
            cut = self._cut(v, axis, sizes)
            if cut is None:
                return False
            columns.append(cut)
        made = [self._emit(eqn.op, row, eqn.params) for row in zip(*columns, strict=True)]
        for v, outs in zip(eqn.outs, zip(*made, strict=True), strict=True):
            self.parts[v] = (axis, list(outs))
        return True

    def _cut(self, v: int, axis: int, sizes: list[int]) -> list[int] | None:
        """Return v in parts of the given sizes along axis, slicing a public array if need be."""
        if v in self.parts:
            own_axis, parts = self.parts[v]
            return parts if own_axis == axis and self._sizes(axis, parts) == sizes else None
        if self.old[v].where != PUBLIC:
            return None
        whole, ends = self._get(v), [0, *accumulate(sizes)]
        return [self._slice(whole, axis, start, stop) for start, stop in pairwise(ends)]

    def _slice(self, v: int, axis: int, first: int, last: int) -> int:
        shape = self.avals[v].shape
        start, stop = [0] * len(shape), list(shape)
        start[axis], stop[axis] = first, last
        return self._emit("slice", [v], {"start": start, "stop": stop, "steps": [1] * len(shape)})[0]

    def _add_up(self, terms: list[int]) -> int:
        total = terms[0]
        for t in terms[1:]:
            total = self._emit("add", [total, t], {})[0]
        return total

    def _rule_sum(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        axes = eqn.params["axes"]
        sums = [self._emit("sum", [p], eqn.params)[0] for p in parts]
        if axis in axes:
            self.whole[eqn.outs[0]] = self._add_up(sums)
        else:
            self.parts[eqn.outs[0]] = (axis - sum(a < axis for a in axes), sums)
        return True

    def _rule_bits(self, eqn: Eqn) -> bool:
        return self._along(eqn, 1)

    def _rule_word(self, eqn: Eqn) -> bool:
        return self._along(eqn, -1)

    def _along(self, eqn: Eqn, by: int) -> bool:
        """Work on each part by itself; the first axis is rows of bits, before or afterwards."""
        axis, parts = self.parts[eqn.ins[0]]
        if axis + by < 0:
            return False
        return self._each(eqn, axis + by, [eqn.params] * len(parts))

    def _is_local(self, *vs: int) -> bool:
        """Whether somebody computes with these alone: all are public, or some are and one owner has the others."""
        return join_where([self.avals[v] for v in vs]) != SECRET

    def _rule_extreme(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        if eqn.params["place"] and not axis:
            return self._place(eqn, self._filled(parts))
        return self._reduced(eqn)

    def _rule_top(self, eqn: Eqn) -> bool:
        """Let each owner find the first of its own, among which those of all are; of equal ones the first is first."""
        axis, parts = self.parts[eqn.ins[0]]
        shape, k = self.old[eqn.ins[0]].shape, eqn.params["k"]
        if axis != len(shape) - 1 or not self._all_local(parts):
            return False
        found: list[list[int]] = []
        ends = list(accumulate(self._sizes(axis, parts)))
        for p, start, stop in zip(parts, [0, *ends], ends, strict=False):
            offset = np.broadcast_to(np.arange(start, stop), (*shape[:-1], stop - start))
            pair = [p]
            if stop - start > k:
                pair = self._emit("top", [p], {"k": k})
                offset = np.full((*shape[:-1], k), start)
            (at,) = self._emit("const", [], {"value": offset.astype(np.int64)})
            found.append([pair[0], self._emit("add", [pair[1], at], {})[0] if pair[1:] else at])
        values, places = (self._joined(column, axis) for column in zip(*found, strict=True))
        (order,) = self._emit("order", [values], {"descending": [True]})
        for out, v in zip(eqn.outs, self._emit("arrange", [order, values, places], {}), strict=True):
            self.whole[out] = self._slice(v, axis, 0, k)
        return True

    def _rule_every(self, eqn: Eqn) -> bool:
        return self._reduced(eqn)

    def _all_local(self, parts: Sequence[int]) -> bool:
        return all(self._is_local(p) for p in parts)

    def _filled(self, parts: list[int]) -> list[int]:
        """Return the parts that have rows."""
        return [p for p in parts if self.avals[p].shape[0]]

    def _joined(self, parts: Sequence[int], axis: int = 0) -> int:
        return self._emit("concat", parts, {"axis": axis})[0] if len(parts) > 1 else parts[0]

    def _place(self, eqn: Eqn, parts: list[int]) -> bool:
        """Find where the extreme is among those of the parts, the first of equal ones, by halves of these."""
        if not self._all_local(parts):
            return False
        held, start = [], 0
        for p in parts:
            (value,) = self._emit("extreme", [p], {**eqn.params, "place": False})
            (place,) = self._emit("extreme", [p], eqn.params)
            offset = self._emit("const", [], {"value": np.full(self.avals[place].shape, start, np.int64)})
            held.append((value, self._emit("add", [place, *offset], {})[0]))
            start += self.avals[p].shape[0]
        while len(held) > 1:
            met: list[tuple[int, int]] = []
            for (x, i), (y, j) in zip(held[::2], held[1::2], strict=False):
                (later,) = self._emit("lt", [y, x] if eqn.params["least"] else [x, y], {})
                value, place = (self._emit("select", [later, *two], {})[0] for two in ((y, x), (j, i)))
                met.append((value, place))
            held = met + held[len(held) // 2 * 2 :]
        self.whole[eqn.outs[0]] = held[0][1]
        return True

    def _reduced(self, eqn: Eqn) -> bool:
        """Reduce the rows that somebody has alone, each its own; what is left is reduced with those that nobody has."""
        axis, parts = self.parts[eqn.ins[0]]
        if axis:
            return self._all_local(parts) and self._each(eqn, axis - 1, [eqn.params] * len(parts))
        rows: dict[str, list[int]] = {}
        for p in self._filled(parts):
            rows.setdefault(self.avals[p].where, []).append(p)
        if rows.keys() <= {SECRET}:
            return False
        found: list[int] = []
        for where, held in rows.items():
            if where == SECRET:
                found += held
                continue
            (mine,) = self._emit(eqn.op, [self._joined(held)], eqn.params)
            found += self._emit("reshape", [mine], {"shape": [1, *self.avals[mine].shape]})
        self.whole[eqn.outs[0]] = self._emit(eqn.op, [self._joined(found)], eqn.params)[0]
        return True

    def _rule_lookup(self, eqn: Eqn) -> bool:
        at, held = eqn.ins[0], self.parts.get(eqn.ins[1])
        if held is None or held[0] != 1 or self.old[at].where != PUBLIC or not self._all_local(held[1]):
            return False
        table = self._get(at)
        self.parts[eqn.outs[0]] = (1, [self._emit("lookup", [table, p], {})[0] for p in held[1]])
        return True

    def _rule_spread(self, eqn: Eqn) -> bool:
        axis, parts = next(self.parts[v] for v in eqn.ins if v in self.parts)
        cuts = [self._cut(v, axis, self._sizes(axis, parts)) for v in eqn.ins] if axis < 2 else [None]
        if None in cuts:
            return False
        pairs = list(zip(*(c for c in cuts if c is not None), strict=True))
        alone = [pair for pair in pairs if self._is_local(*pair)]
        rest = [pair for pair in pairs if not self._is_local(*pair)]
        if rest and not axis:
            return False
        if rest:  # at once, in the rounds of one
            alone.append(tuple(self._joined(column, 1) for column in zip(*rest, strict=True)))
        sums = [self._emit("spread", pair, eqn.params)[0] for pair in alone]
        if axis:
            self.whole[eqn.outs[0]] = self._add_up(sums)
        else:
            self.parts[eqn.outs[0]] = (axis, sums)
        return True

    def _rule_scan(self, eqn: Eqn) -> bool:
        """Write a short loop of steps on rows out, if every owner can take all of them on its own."""
        (consts, carry, xs), body = split(eqn.params, eqn.ins), eqn.params["body"]
        length = eqn.params["length"]
        if len(body.outputs) != len(carry) or not 0 < length <= MOST_STEPS:
            return False
        if any(self.old[v].where != PUBLIC for v in xs):
            return False
        written = length * len(body.eqns) * max(len(self.parts[v][1]) for v in eqn.ins if v in self.parts)
        if any(q.op not in AT_ONCE for q in body.eqns) or written > MOST_EQUATIONS:
            return False
        before = (len(self.eqns), dict(self.whole), dict(self.parts), self.source)
        for i in range(length)[:: -1 if eqn.params["reverse"] else 1]:
            rows = [self._row(v, i) for v in xs]
            now = dict(zip((spec.var for spec in body.inputs), [*consts, *carry, *rows], strict=True))
            if not all(self._step(q, now) for q in body.eqns):
                del self.eqns[before[0] :]
                self.whole, self.parts, self.source = before[1:]
                return False
            carry = [now[v] for v in body.outputs]
        for v, last in zip(eqn.outs, carry, strict=True):
            if last in self.parts:
                self.parts[v] = self.parts[last]
            else:
                self.whole[v] = self._get(last)
        self.source = before[3]
        return True

    def _row(self, v: int, i: int) -> int:
        """Return a new name for row i of a public variable."""
        part = self._slice(self._get(v), 0, i, i + 1)
        (row,) = self._emit("reshape", [part], {"shape": list(self.old[v].shape[1:])})
        self.unnamed -= 1
        self.old[self.unnamed], self.whole[self.unnamed] = self.avals[row], row
        return self.unnamed

    def _step(self, eqn: Eqn, now: dict[int, int]) -> bool:
        """Take one equation of a loop on rows that owners hold; say whether they could. `now` names its variables."""
        ins = tuple(now[v] for v in eqn.ins)
        self.source = eqn.source
        found = infer_eqn(Eqn(eqn.op, ins, (), eqn.params, eqn.source), [self.old[v] for v in ins])
        outs = tuple(range(self.unnamed - 1, self.unnamed - 1 - len(found), -1))
        self.unnamed -= len(found)
        now.update(zip(eqn.outs, outs, strict=True))
        self.old.update(zip(outs, found, strict=True))
        if any(v in self.parts for v in ins):
            cut = self._split(Eqn(eqn.op, ins, outs, eqn.params, eqn.source))
            return cut and all(v in self.parts and self._all_local(self.parts[v][1]) for v in outs)
        made = self._emit(eqn.op, [self._get(v) for v in ins], eqn.params)
        self.whole.update(zip(outs, made, strict=True))
        return self._all_local(made)

    def _rule_matmul(self, eqn: Eqn) -> bool:
        x, y = eqn.ins
        rank = len(self.old[x].shape)
        px, py = self.parts.get(x), self.parts.get(y)
        if px and py and px[0] == rank - 1 and py[0] == rank - 2:
            if self._sizes(*px) != self._sizes(*py):
                return False
            terms = [self._emit("matmul", pair, {})[0] for pair in zip(px[1], py[1], strict=True)]
            self.whole[eqn.outs[0]] = self._add_up(terms)
            return True
        if px and not py and px[0] == rank - 2 and self.old[y].where == PUBLIC:
            other = self._get(y)
            self.parts[eqn.outs[0]] = (rank - 2, [self._emit("matmul", [p, other], {})[0] for p in px[1]])
            return True
        if py and not px and py[0] == rank - 1 and self.old[x].where == PUBLIC:
            other = self._get(x)
            self.parts[eqn.outs[0]] = (rank - 1, [self._emit("matmul", [other, p], {})[0] for p in py[1]])
            return True
        if px and not py and px[0] == rank - 1 and self.old[y].where == PUBLIC:
            cut = self._cut(y, rank - 2, self._sizes(*px))
            assert cut is not None
            terms = [self._emit("matmul", pair, {})[0] for pair in zip(px[1], cut, strict=True)]
            self.whole[eqn.outs[0]] = self._add_up(terms)
            return True
        return False

    def _each(self, eqn: Eqn, axis: int, params: list[dict[str, Any]]) -> bool:
        _, parts = self.parts[eqn.ins[0]]
        outs = [self._emit(eqn.op, [p], q)[0] for p, q in zip(parts, params, strict=True)]
        self.parts[eqn.outs[0]] = (axis, outs)
        return True

    def _rule_transpose(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        return self._each(eqn, eqn.params["perm"].index(axis), [eqn.params] * len(parts))

    def _rule_broadcast(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        out = eqn.params["dims"][axis]
        if eqn.params["shape"][out] != sum(self._sizes(axis, parts)):
            return False
        return self._each(eqn, out, [self._with(eqn, "shape", out, n) for n in self._sizes(axis, parts)])

    def _rule_reshape(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        before, after = self.old[eqn.ins[0]].shape, list(eqn.params["shape"])
        lead = int(np.prod(before[:axis], dtype=np.int64))
        for j, n in enumerate(after):
            if n == before[axis] and int(np.prod(after[:j], dtype=np.int64)) == lead:
                return self._each(eqn, j, [self._with(eqn, "shape", j, s) for s in self._sizes(axis, parts)])
        return False

    def _rule_slice(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        p, n = eqn.params, self.old[eqn.ins[0]].shape[axis]
        if (p["start"][axis], p["stop"][axis], (p.get("steps") or [1] * (axis + 1))[axis]) != (0, n, 1):
            return False
        return self._each(eqn, axis, [self._with(eqn, "stop", axis, s) for s in self._sizes(axis, parts)])

    def _rule_flip(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        self._each(eqn, axis, [eqn.params] * len(parts))
        if axis in eqn.params["axes"]:
            self.parts[eqn.outs[0]][1].reverse()
        return True

    def _rule_take(self, eqn: Eqn) -> bool:
        axis, parts = self.parts[eqn.ins[0]]
        return axis != eqn.params["axis"] and self._each(eqn, axis, [eqn.params] * len(parts))

    _rule_cumsum = _rule_take

    def _rule_conv(self, eqn: Eqn) -> bool:
        x, w = eqn.ins
        held = self.parts.get(x)
        if held is None or held[0] != 0 or self.old[w].where != PUBLIC:
            return False
        other = self._get(w)
        self.parts[eqn.outs[0]] = (0, [self._emit("conv", [p, other], eqn.params)[0] for p in held[1]])
        return True

    @staticmethod
    def _with(eqn: Eqn, key: str, at: int, value: int) -> dict[str, Any]:
        changed = list(eqn.params[key])
        changed[at] = value
        return {**eqn.params, key: changed}
