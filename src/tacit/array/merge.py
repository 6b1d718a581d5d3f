"""One comparison where a Program holds several of the same operands (decision 0071): a pass, like those of `passes`.

A gradient asks again what its function compared: whether x = max(x, y), whether x > 0 after max(x, 0). `merge` puts
one `compare` where the first of them stands and lets the others have its results.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tacit.array.abreast import abreast
from tacit.array.cancel import cancelled
from tacit.array.loop import infer, inside
from tacit.array.means import means
from tacit.array.once_hot import once_hot
from tacit.array.ops import kind_dtype
from tacit.array.passes import localise, once, prune
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.ratios import exact
from tacit.array.same_bits import found_once, unmade
from tacit.array.schema import ASKED, MOVES, WANTED
from tacit.array.together import gather

SAME = MOVES | {"convert", "add", "sub", "neg", "not"}
"""Operations without rounding: their results are the same again if their operands are."""
EXTREMES = {op: ASKED[op] for op in ("maximum", "minimum")}
Role = tuple[str, bool]
"""Which result of a comparison stands for a variable, and whether negated."""


def optimise(program: Program, local: bool = True) -> Program:
    """Return the Program as it is put before those who approve it: owners' own computation first, if `local`."""
    program = cancelled(unmade(means(exact(once(program)))))
    program = once(localise(program) if local else prune(program))
    return prune(abreast(gather(merge(once_hot(found_once(program))))))


def merge(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Compare once what is compared several times, loops included; then prune."""
    avals = infer(program, ins)
    program = inside(program, avals, merge)
    found = _Finder(avals).find(program)
    return prune(_rewritten(program, avals, found)) if found else program


@dataclass(slots=True)
class _Pair:
    """What a Program asks of one comparison of x with y: the equations, by number, and their roles."""

    x: int
    y: int
    roles: dict[int, Role] = field(default_factory=dict)

    @property
    def want(self) -> list[str]:
        names = {name for name, _ in self.roles.values()}
        return [name for name in WANTED if name in names]


class _Finder:
    """Reads a Program once and gathers comparisons by what they compare."""

    def __init__(self, avals: dict[int, Aval]) -> None:
        self.avals = avals
        self.keys: dict[int, int] = {}
        """A number below zero for what a variable holds, where two variables may hold the same."""
        self.numbers: dict[Hashable, int] = {}
        self.fills: dict[int, tuple[str, Any]] = {}
        """Kind and value of arrays of one public number, by key."""
        self.pairs: dict[tuple[int, int], _Pair] = {}
        self.ends: dict[int, tuple[_Pair, str]] = {}
        """Which variables are the greater or lesser of two, and of which."""
        self.clipped: dict[int, list[tuple[int, str, Aval]]] = {}
        """For a variable, its greater or lesser with another."""

    def find(self, program: Program) -> list[_Pair]:
        """Return the comparisons that several equations ask for."""
        for at, eqn in enumerate(program.eqns):
            if eqn.op == "const" or eqn.op in SAME:
                self.keys[eqn.outs[0]] = self._holds(eqn)
            elif len(eqn.outs) == 1 and self.avals[eqn.outs[0]].where == SECRET:
                self._take(at, eqn)
        return [p for p in self.pairs.values() if len(p.roles) > 1]

    def key(self, v: int) -> int:
        return self.keys.get(v, v)

    def _number(self, what: Hashable) -> int:
        return self.numbers.setdefault(what, ~len(self.numbers))

    def _fill(self, kind: str, value: Any, shape: tuple[int, ...]) -> int:
        number = self._number(("fill", kind, value, shape))
        self.fills[number] = kind, value
        return number

    def _holds(self, eqn: Eqn) -> int:
        out = self.avals[eqn.outs[0]]
        if eqn.op == "const":
            value = np.asarray(eqn.params["value"])
            if value.size and np.all(value == value.reshape(-1)[0]):
                return self._fill(out.kind, value.reshape(-1)[0].item(), out.shape)
            return self._number(("const", out.kind, out.shape, value.tobytes()))
        of = [self.key(v) for v in eqn.ins]
        if eqn.op in MOVES and of[0] in self.fills:
            return self._fill(*self.fills[of[0]], out.shape)
        return self._number((eqn.op, *of, repr(sorted(eqn.params.items()))))

    def _take(self, at: int, eqn: Eqn) -> None:
        if eqn.op == "abs":
            a = self.avals[eqn.ins[0]]
            if a.lo < 0:
                self._ask(at, eqn, self.key(eqn.ins[0]), self._fill(a.kind, 0, a.shape), "distance")
        elif eqn.op in EXTREMES:
            x, y = eqn.ins
            pair = self._ask(at, eqn, self.key(x), self.key(y), EXTREMES[eqn.op])
            if pair is not None:
                end = self.key(eqn.outs[0])
                self.ends[end] = (pair, EXTREMES[eqn.op])
                for v, other in ((x, y), (y, x)):
                    limit = (end, EXTREMES[eqn.op], self.avals[other])
                    self.clipped.setdefault(self.key(v), []).append(limit)
        elif eqn.op == "lt":
            self._less(at, eqn)
        elif eqn.op == "eq":
            self._equal(at, eqn)

    def _ask(self, at: int, eqn: Eqn, x: int, y: int, what: str) -> _Pair | None:
        if x == y:
            return None
        turned = (y, x) in self.pairs
        pair = self.pairs.setdefault((y, x) if turned else (x, y), _Pair(x, y))
        if turned:
            what = {"less": "greater", "greater": "less"}.get(what, what)
        pair.roles[at] = (what, False)
        # Asked for again it is the same variable, once the two are merged.
        self.keys[eqn.outs[0]] = self._number((what, pair.x, pair.y))
        return pair

    def _less(self, at: int, eqn: Eqn) -> None:
        """For l < h, x < h if and only if max(x, l) < h, which clip has compared, and l < x if l < min(x, h)."""
        (v, w), (x, y) = eqn.ins, [self.key(v) for v in eqn.ins]
        for of, end, limit in self.clipped.get(x, []):
            if end == "greatest" and _apart(limit, self.avals[w]) and self._asked(of, y):
                x = of
                break
        for of, end, limit in self.clipped.get(y, []):
            if end == "least" and _apart(self.avals[v], limit) and self._asked(x, of):
                y = of
                break
        self._ask(at, eqn, x, y, "less")

    def _asked(self, x: int, y: int) -> bool:
        return (x, y) in self.pairs or (y, x) in self.pairs

    def _equal(self, at: int, eqn: Eqn) -> None:
        """Take x = max(x, y) as not x < y: of two values the greater is one of them, exactly."""
        for v, z in (eqn.ins, eqn.ins[::-1]):
            pair, end = self.ends.get(self.key(z), (None, ""))
            if pair is not None and self.key(v) in (pair.x, pair.y):
                beyond = (self.key(v) == pair.x) == (end == "greatest")
                side = "less" if beyond else "greater"
                pair.roles[at] = (side, True)
                self.keys[eqn.outs[0]] = self._number(("not", self._number((side, pair.x, pair.y)), "[]"))
                return


def _apart(low: Aval, high: Aval) -> bool:
    """Whether public numbers are in this order in any format, the coarsest included."""
    return low.where == high.where == PUBLIC and high.lo - low.hi >= 0.125


def _rewritten(program: Program, avals: dict[int, Aval], found: list[_Pair]) -> Program:
    of = {at: pair for pair in found for at in pair.roles}
    made: dict[int, dict[str, int]] = {}
    now: dict[int, int] = {}
    negations: dict[int, int] = {}
    eqns: list[Eqn] = []
    fresh = max(avals, default=-1) + 1

    def emit(op: str, ins: list[int], count: int, params: dict[str, Any], source: str) -> list[int]:
        nonlocal fresh
        outs = list(range(fresh, fresh + count))
        fresh += count
        eqns.append(Eqn(op, tuple(ins), tuple(outs), params, source))
        return outs

    for at, eqn in enumerate(program.eqns):
        ins = [now.get(v, v) for v in eqn.ins]
        pair = of.get(at)
        if eqn.op == "not" and ins[0] in negations:  # as after x ≥ y, which is not x < y
            now[eqn.outs[0]] = negations[ins[0]]
            continue
        if pair is None:
            eqns.append(Eqn(eqn.op, tuple(ins), eqn.outs, eqn.params, eqn.source))
            continue
        if id(pair) not in made and len(pair.want) == 1:  # the same equation again
            eqns.append(Eqn(eqn.op, tuple(ins), eqn.outs, eqn.params, eqn.source))
            made[id(pair)] = {pair.want[0]: eqn.outs[0]}
            continue
        if id(pair) not in made:
            if len(ins) == 1:  # |x| alone names no zero
                a = avals[eqn.ins[0]]
                zero = emit("const", [], 1, {"value": np.zeros((), kind_dtype(a.kind))}, eqn.source)
                ins += emit("broadcast", zero, 1, {"shape": list(a.shape), "dims": []}, eqn.source)
            outs = emit("compare", ins, len(pair.want), {"want": pair.want}, eqn.source)
            made[id(pair)] = dict(zip(pair.want, outs, strict=True))
        name, negated = pair.roles[at]
        now[eqn.outs[0]] = held = made[id(pair)][name]
        if negated:
            now[eqn.outs[0]] = other = emit("not", [held], 1, {}, eqn.source)[0]
            negations[other] = held
    return program.replace(eqns=tuple(eqns), outputs=tuple(now.get(v, v) for v in program.outputs))
