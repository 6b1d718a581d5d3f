"""Public factors after the sums that they are in (decision 0101): a pass, like those of `passes`.

A gradient of a mean starts from 1/n, so every row's share of it is scaled down before rows are added up, and rounding,
of one unit a row, is added up with them. `after_sums` multiplies sums instead: Σ(c·x)·y = c·Σx·y for whatever is
linear on the way. Errors are those of a few sums then, not of n rows; what it takes is room for sums that are 1/c times
as large, so `settled` weighs it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tacit.array.loop import infer, inside
from tacit.array.passes import prune
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.schema import MOVES

ALIKE = frozenset({"add", "sub", "concat"})
"""Operations that are linear in all of their operands at once: all have the factor, or are nought."""
BOTH = frozenset({"mul", "matmul", "conv"})
"""Operations that are linear in each of two operands."""
FIRST = MOVES | {"neg", "sum", "cumsum", "take", "dynamic_slice", "div"}
"""Operations that are linear in their first operand."""
LEAST = 2.0**-10
"""What an owner scales down to less loses too many of its bits to rounding, a whole number's always the same way."""


def after_sums(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Return the Program with public factors below one behind sums, in loops, too; the same one if there are none."""
    avals = infer(program, ins)
    program = inside(program, avals, after_sums)
    found = _Factors(program, avals)
    return prune(found.moved()) if found.waiting else program


def lost(program: Program, frac_bits: int, ins: Sequence[Aval] | None = None) -> str:
    """Say where a public factor leaves less than a unit of what is added up afterwards, or ""."""
    avals = infer(program, ins)
    found = _Factors(program, avals)
    unit = math.ldexp(1.0, -frac_bits)
    for eqn, factor, left in found.least():
        if left < unit:
            where = eqn.op + (f" at {eqn.source}" if eqn.source else "")
            return (
                f"{where}: values that are scaled down, by {factor:.3g}, are divided by up to "
                f"{avals[eqn.ins[1]].magnitude:.6g} and then added up, though less than one unit, {unit:.3g}, may be "
                "left of each; take more fractional bits, or scale the sum instead"
            )
    said: list[str] = []

    def look(body: Program, of: list[Aval]) -> Program:
        said.append(lost(body, frac_bits, of))
        return body

    inside(program, avals, look)
    return next(filter(None, said), "")


def spared(program: Program, ins: Sequence[Aval] | None = None) -> float:
    """Return how many bits of rounding the sums are spared that `after_sums` multiplies.

    The errors of n rows are independent, and add up to √n of them: of a factor 1/n half the bits were lost. A sum of
    few has few errors, whatever the factor.
    """
    avals = infer(program, ins)
    bits = [0.0]

    def look(body: Program, of: list[Aval]) -> Program:
        bits.append(spared(body, of))
        return body

    inside(program, avals, look)
    found = _Factors(program, avals)
    terms = found.terms()
    return max(*bits, *(_half(found.ways[v].factor, terms[v]) for v in found.waiting), 0.0)


def added(program: Program, ins: Sequence[Aval] | None = None) -> float:
    """Return how many bits of rounding are added up in sums of what public numbers below one scaled down at once.

    Of a Program that `after_sums` has moved: of factors that met something else on their way, and of numbers that a
    truth value chooses. A coarser unit makes these errors larger.
    """
    avals = infer(program, ins)
    bits = [0.0]

    def look(body: Program, of: list[Aval]) -> Program:
        bits.append(added(body, of))
        return body

    inside(program, avals, look)
    found = _Factors(program, avals)
    return max(*bits, *found.added(), 0.0)


def _half(factor: float, terms: int) -> float:
    return min(-math.log2(factor), math.log2(max(terms, 1))) / 2


@dataclass(frozen=True, slots=True)
class _Way:
    """What an equation does to factors of its operands."""

    factor: float
    """Of its result, above nought: a sign stays with the value."""
    linear: tuple[int, ...]
    """Operands, by place, whose factors are taken out."""
    sums: bool = False
    by_public: bool = False
    negative: bool = False
    """Whether the public number is."""


class _Factors:
    """Finds which variables of a Program can wait for their public factor until something is summed."""

    def __init__(self, program: Program, avals: dict[int, Aval]) -> None:
        self.program, self.avals = program, avals
        self.readers: dict[int, list[Eqn]] = defaultdict(list)
        for eqn in program.eqns:
            for v in dict.fromkeys(eqn.ins):
                self.readers[v].append(eqn)
        at_once = set(program.outputs)
        while True:
            self.ways, self.waiting = self._find(at_once)
            late = self.waiting - self._good() or self._for_nothing()
            if not late:
                return
            at_once |= late

    def _find(self, at_once: set[int]) -> tuple[dict[int, _Way], set[int]]:
        """Return what equations do to factors, by their results, if those named have theirs at once; and what waits."""
        ways: dict[int, _Way] = {}
        waiting: set[int] = set()
        for eqn in self.program.eqns:
            way = self._way(eqn, {v: ways[v].factor for v in eqn.ins if v in waiting})
            if way is not None and way.factor and math.isfinite(way.factor):
                ways[eqn.outs[0]] = way
                waiting.update({*eqn.outs} - at_once)
        return ways, waiting

    def _good(self) -> set[int]:
        """Return the variables all of whose readers sum them, or hand them on to what does."""
        good: set[int] = set()
        for eqn in reversed(self.program.eqns):
            for v in eqn.outs:
                readers = self.readers[v]
                if v in self.waiting and readers and all(self._takes(reader, v, good) for reader in readers):
                    good.add(v)
        return good

    def _for_nothing(self) -> set[int]:
        """Return what owners multiply themselves, for nothing.

        Not what meets something that waits, is divided on its way, or has next to nothing left of it.
        """
        meets: set[int] = set()
        for eqn in reversed(self.program.eqns):
            v = eqn.outs[0] if eqn.outs else -1
            if v not in self.ways:
                continue
            met = eqn.op in ("add", "sub", "select") or (eqn.op == "div" and not self.ways[v].by_public)
            if met or (v in self.waiting and v in meets):
                meets.update(eqn.ins)
        return {
            v
            for v in self.waiting
            if self.ways[v].by_public
            and self.avals[v].where != SECRET
            and self.avals[v].magnitude >= LEAST
            and v not in meets
        }

    def _takes(self, reader: Eqn, v: int, good: set[int]) -> bool:
        way = self.ways.get(reader.outs[0]) if len(reader.outs) == 1 else None
        if way is None or any(u == v and i not in way.linear for i, u in enumerate(reader.ins)):
            return False
        # Two public numbers are one; for two readers there would be two products again.
        return way.sums or reader.outs[0] in good or (way.by_public and len(self.readers[v]) == 1)

    def _way(self, eqn: Eqn, factors: dict[int, float]) -> _Way | None:
        op, ins = eqn.op, eqn.ins
        of = [self.avals[v] for v in ins]
        if (
            len(eqn.outs) != 1
            or self.avals[eqn.outs[0]].where == PUBLIC
            or self.avals[eqn.outs[0]].kind != "fixed"
        ):
            return None
        if op in ("mul", "div") and (by := self._public(op, of)) is not None:
            place, number = by
            had, size = factors.get(ins[place]), abs(number)
            if had is None and size >= 1:
                return None
            return _Way((had or 1.0) * size, (place,), by_public=True, negative=number < 0)
        has = [v in factors for v in ins]
        if not any(has):
            return None
        if op in ALIKE:
            some = {factors.get(v) for v, a in zip(ins, of, strict=True) if not _nought(a)}
            factor = some.pop() if len(some) == 1 else None
            return None if factor is None else _Way(factor, tuple(range(len(ins))))
        if op == "select" and not has[0]:
            some = {factors.get(v) for v, a in zip(ins[1:], of[1:], strict=True) if not _nought(a)}
            factor = some.pop() if len(some) == 1 else None
            return None if factor is None else _Way(factor, (1, 2))
        if op == "square":
            return _Way(factors[ins[0]] ** 2, (0,))
        if op in BOTH:
            sums = op != "mul" and (op == "conv" or of[0].shape[-1] > 1)
            linear = tuple(i for i, here in enumerate(has) if here)
            return _Way(math.prod(factors[ins[i]] for i in linear), linear, sums)
        if op in FIRST and has[0] and not any(has[1:]) and "within" not in eqn.params:
            sums = op in ("sum", "cumsum") and of[0].size > self._results(eqn)
            return _Way(factors[ins[0]], (0,), sums)
        return None

    def _results(self, eqn: Eqn) -> int:
        if eqn.op == "sum":
            return self.avals[eqn.outs[0]].size
        a = self.avals[eqn.ins[0]]
        return a.size // max(a.shape[eqn.params["axis"]], 1)

    def _summed(self, eqn: Eqn) -> int:
        """Return how many terms each result is at most the sum of."""
        a = self.avals[eqn.ins[0]]
        if eqn.op == "matmul":
            return a.shape[-1]
        if eqn.op == "conv":
            return self.avals[eqn.ins[1]].size
        return a.size // max(self._results(eqn), 1) if eqn.op in ("sum", "cumsum") else 1

    def terms(self) -> dict[int, int]:
        """Return of how many terms the sums are that variables wait for."""
        found: dict[int, int] = defaultdict(int)
        for eqn in reversed(self.program.eqns):
            way = self.ways.get(eqn.outs[0]) if eqn.outs else None
            for i in way.linear if way else ():
                found[eqn.ins[i]] = max(found[eqn.ins[i]], self._summed(eqn), found[eqn.outs[0]])
        return found

    def added(self) -> Iterator[float]:
        """Yield the bits that each sum of what has been scaled down loses."""
        scaled: dict[int, float] = {}
        for eqn in self.program.eqns:
            op, of = eqn.op, [self.avals[v] for v in eqn.ins]
            out = self.avals[eqn.outs[0]] if len(eqn.outs) == 1 else None
            if out is None or out.where == PUBLIC or out.kind != "fixed":
                continue
            has = [scaled[v] for v in eqn.ins if v in scaled]
            if op in ("mul", "div") and (by := self._public(op, of)) is not None:
                factor = scaled.get(eqn.ins[by[0]], 1.0) * abs(by[1])
            elif op == "select":
                numbers = [a.magnitude for a in of[1:] if a.where == PUBLIC and a.magnitude]
                factor = min(*has, *numbers, 1.0, 1.0)
            elif op in ALIKE:
                factor = min(has, default=1.0)
            elif op == "square" or op in BOTH or (op in FIRST and eqn.ins[0] in scaled):
                factor = math.prod(has * 2 if op == "square" else has)
            else:
                continue
            if not 0 < factor < 1:
                continue
            if (terms := self._summed(eqn)) > 1:
                yield _half(factor, terms)
            else:
                scaled[eqn.outs[0]] = factor

    def _public(self, op: str, of: list[Aval]) -> tuple[int, float] | None:
        """Return which operand a public number multiplies, and the number."""
        for place, other in ((0, 1), (1, 0)) if op == "mul" else ((0, 1),):
            by = of[other]
            if by.where == PUBLIC and by.lo == by.hi and by.lo and of[place].where != PUBLIC:
                return place, float(by.lo) if op == "mul" else 1 / float(by.lo)
        return None

    def least(self) -> Iterator[tuple[Eqn, float, float]]:
        """Yield quotients on the way to a sum, their factors, and what may be left of the largest numerator."""
        left: dict[int, float] = {}
        for eqn in self.program.eqns:
            v = eqn.outs[0] if eqn.outs else -1
            if v not in self.waiting:
                continue
            way = self.ways[v]
            of = [left.get(eqn.ins[i], self.avals[eqn.ins[i]].magnitude) for i in way.linear]
            magnitude = self.avals[v].magnitude
            left[v] = min(
                magnitude, max(of, default=magnitude) if eqn.op not in (*BOTH, "div") else magnitude
            )
            if eqn.op == "div" and not way.by_public:
                left[v] = of[0] / self.avals[eqn.ins[1]].magnitude
                yield eqn, way.factor, left[v]

    def moved(self) -> Program:
        """Return the Program with what waits made without its factor, and sums multiplied."""
        base: dict[int, int] = {}
        fresh = max(self.avals, default=-1) + 1
        eqns: list[Eqn] = []

        def emit(op: str, ins: Sequence[int], like: Eqn, **params: object) -> int:
            nonlocal fresh
            eqns.append(Eqn(op, tuple(ins), (fresh,), params, like.source))
            fresh += 1
            return fresh - 1

        def times(v: int, factor: float, eqn: Eqn) -> None:
            shape = list(self.avals[eqn.outs[0]].shape)
            number = emit("const", (), eqn, value=np.asarray(factor))
            if shape:
                number = emit("broadcast", (number,), eqn, shape=shape, dims=[])
            eqns.append(Eqn("mul", (number, v), eqn.outs, {}, eqn.source))

        for eqn in self.program.eqns:
            v = eqn.outs[0] if eqn.outs else -1
            way = self.ways.get(v)
            had = way is not None and any(eqn.ins[i] in base for i in way.linear)
            if way is None or not (had or v in self.waiting):
                eqns.append(eqn)
                continue
            ins = [base.get(u, u) for u in eqn.ins]
            if way.by_public:
                made = ins[way.linear[0]]
                if eqn.ins[way.linear[0]] not in base and self.avals[made].kind != "fixed":
                    made = emit("convert", (made,), eqn, kind="fixed")
                if way.negative:
                    made = emit("neg", (made,), eqn)
            else:
                made = emit(eqn.op, ins, eqn, **eqn.params)
            if v in self.waiting:
                base[v] = made
            else:
                times(made, way.factor, eqn)
        return self.program.replace(eqns=tuple(eqns))


def _nought(a: Aval) -> bool:
    return a.where == PUBLIC and a.lo == a.hi == 0
