"""Ratios of whole numbers stay ratios where they are compared or rounded down: a pass, like those of `passes`.

`votes / 1000 >= 0.05` and `floor(cents / 100)` ask about whole numbers, and have one answer also where both sides are
equal, or a quotient is whole. A quotient of shares may be a unit off, so there it would be chance. `exact` puts
`votes >= 50` and `cents // 100` in their place: no quotient is computed then, and none is rounded
(docs/decisions/0089). Where the whole numbers would not fit, the equation stays as it was written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array import integers
from tacit.array.interpret import Again, Context
from tacit.array.loop import infer, inside
from tacit.array.passes import prune
from tacit.array.program import Array, Aval, Eqn, Program, params_text
from tacit.array.schema import MOVES
from tacit.array.secret import SecretArray
from tacit.errors import RangeError, UsageError

MOST = 2**52
"""Whole numbers that are compared stay below this, as quotients of whole numbers do (`integers`)."""
SHORT = 10**6
"""A public factor stands for the fraction of the least denominator, up to this, whose float64 it is: 0.05 for 1/20."""
KEPT_BITS = 12
"""A product with a multiple of 2^-12 has no more fractional bits than every format, so nothing is rounded."""
SLACK = 2.0**-40
"""How far, for its size, the end of a range is at most from where float64 has it."""
SUMS = frozenset({"sum", "cumsum"})
"""Sums along an axis, of ratios over nothing secret."""
MOST_NUMBERS = 1000
"""As many different numbers of one array are read as fractions."""

BEYOND = "the whole numbers of a ratio do not fit"


@dataclass(frozen=True, eq=False)
class Listed:
    """Whole numbers that all know: an array of the Program's text, times its common denominator."""

    value: Array


Leaf = tuple[int | Listed, tuple[tuple[str, str], ...]]
"""Whole numbers or truth values of the Program, and what moved them since: operations and their parameters as text."""


@dataclass(frozen=True)
class Ratio:
    """(the sum of whole numbers times fractions, plus a fraction) over a positive whole number, or over 1."""

    terms: tuple[tuple[Leaf, Fraction], ...]
    shift: Fraction = Fraction(0)
    under: Leaf | None = None
    inexact: bool = False
    """Whether it was made of what had been rounded: a third, thrice, is not the whole again."""
    stated: str | None = None
    """Why its range is narrower than that of the whole numbers, if it is: the reason of a `tacit.assume`."""

    @property
    def rounded(self) -> bool:
        """Whether shares of it may be off by a unit, as no sum of whole numbers is."""
        numbers = [*(c for _, c in self.terms), self.shift] if self.terms else []
        return self.inexact or self.under is not None or any(2**KEPT_BITS % c.denominator for c in numbers)

    @property
    def known(self) -> bool:
        """Whether it is a number of the Program's text."""
        return not self.terms and self.under is None and not self.inexact

    def times(self, factor: Fraction) -> Ratio:
        """Return the ratio times a number."""
        terms = tuple((v, c * factor) for v, c in self.terms if factor)
        return Ratio(terms, self.shift * factor, self.under, self.rounded, self.stated)

    def plus(self, other: Ratio) -> Ratio:
        """Return the sum of two ratios over the same."""
        terms = dict(self.terms)
        for v, c in other.terms:
            terms[v] = terms.get(v, Fraction(0)) + c
        left = tuple((v, c) for v, c in terms.items() if c)
        stated = other.stated if self.stated is None else self.stated
        return Ratio(left, self.shift + other.shift, self.under, self.rounded or other.rounded, stated)


def exact(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Return the Program with comparisons and floors of ratios put as ones of whole numbers, in loops, too."""
    avals = infer(program, ins)
    inner = inside(program, avals, exact)
    found = _Finder(avals)
    wanted = {eqn.outs[0]: ask for eqn in inner.eqns if (ask := found.take(eqn)) is not None}
    if not wanted and inner is program:
        return program
    try:
        return prune(_Exact(inner, found, wanted).run())
    except UsageError:  # whole numbers have other ranges, and what follows may need those of the quotients
        return program


def short(value: float) -> Fraction:
    """Return the fraction of the least denominator whose float64 or float32 this is, if it is small, or the float."""
    whole = Fraction(value)
    if whole.denominator == 1:
        return whole
    near = _simplest(whole, Fraction(math.ulp(value)) / 2)
    if near.denominator <= SHORT and float(near) == value:
        return near
    if float(np.float32(value)) == value:
        near = _simplest(whole, Fraction(float(abs(np.spacing(np.float32(value))))) / 2)
        if near.denominator <= math.isqrt(SHORT) and float(np.float32(float(near))) == value:
            return near
    return whole


def _simplest(middle: Fraction, off: Fraction) -> Fraction:
    """Return the fraction of the least denominator that is no further than `off` from another."""
    if middle < 0:
        return -_simplest(-middle, off)
    low, high, parts = middle - off, middle + off, []
    while math.ceil(low) > high:  # as many whole ones in both: the rest decides, turned over
        parts.append(math.floor(low))
        low, high = 1 / (high - parts[-1]), 1 / (low - parts[-1])
    found = Fraction(math.ceil(low))
    for part in reversed(parts):
        found = part + 1 / found
    return found


def _numbers(value: Array) -> Ratio | None:
    """Return the ratio that numbers of the text are: one fraction, or whole numbers over a common denominator."""
    if value.dtype.kind not in "if" or not value.size or not np.all(np.isfinite(value)):
        return None
    if np.all(value == value.flat[0]):
        return Ratio((), short(value.flat[0].item()))
    found, at = np.unique(value, return_inverse=True)
    if value.dtype.kind == "i" or len(found) > MOST_NUMBERS:
        return None
    fractions, below = [], 1
    for v in found:
        fractions.append(short(v.item()))
        below = math.lcm(below, fractions[-1].denominator)
        if below > SHORT or abs(fractions[-1]) * below >= MOST:
            return None
    whole = np.array([int(v * below) for v in fractions], np.int64)[at].reshape(value.shape)
    return Ratio((((Listed(whole), ()), Fraction(1, below)),))


def _beside(a: Ratio, under: Leaf | None) -> Ratio:
    """Return a number of the text as a ratio over a secret that it is added to another over."""
    if under is None or not a.known:
        return a
    return Ratio(((under, a.shift),) if a.shift else (), under=under)


Ask = Callable[["_Whole"], SecretArray]


class _Finder:
    """Says which variables are ratios, equation by equation, and what a comparison of two asks of whole numbers."""

    def __init__(self, avals: dict[int, Aval]) -> None:
        self.avals = avals
        self.ratios: dict[int, Ratio] = {}
        self.params: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, v: int) -> Ratio | None:
        """Return the ratio that a variable is."""
        if v not in self.ratios and self.avals[v].kind in ("int", "bool"):
            self.ratios[v] = Ratio((((v, ()), Fraction(1)),))
        return self.ratios.get(v)

    def take(self, eqn: Eqn) -> Ask | None:
        """Note what an equation makes; return what stands in its place if it asks something of ratios."""
        self.note(eqn)
        return self.asked(eqn) if len(eqn.outs) == 1 else None

    def note(self, eqn: Eqn) -> None:
        """Note what an equation makes."""
        if eqn.op == "const":
            made = _numbers(eqn.params["value"])
            if made is not None:
                self.ratios[eqn.outs[0]] = made
            return
        of = self._all(eqn)
        made = self._made(eqn, of) if of is not None and len(eqn.outs) == 1 else None
        # A whole number is its own ratio, unless all know it.
        if made is not None and (self.avals[eqn.outs[0]].kind == "fixed" or made.known):
            self.ratios[eqn.outs[0]] = made

    def _all(self, eqn: Eqn) -> list[Ratio] | None:
        """Return the ratios that all operands are."""
        ratios = [r for v in eqn.ins if (r := self.of(v)) is not None]
        return ratios if len(ratios) == len(eqn.ins) else None

    def _made(self, eqn: Eqn, of: list[Ratio]) -> Ratio | None:
        if eqn.op == "convert":
            return of[0]
        if eqn.op == "assume":
            before, after = self.avals[eqn.ins[0]], self.avals[eqn.outs[0]]
            narrower = (before.lo, before.hi) != (after.lo, after.hi)
            return replace(of[0], stated=eqn.params.get("why", "")) if narrower else of[0]
        if eqn.op in MOVES | SUMS | {"take"}:
            return self._moved(eqn, of[0])
        if eqn.op == "neg":
            return of[0].times(Fraction(-1))
        if eqn.op in ("add", "sub"):
            a, b = of[0], of[1] if eqn.op == "add" else of[1].times(Fraction(-1))
            a, b = _beside(a, b.under), _beside(b, a.under)
            return a.plus(b) if a.under == b.under else None
        if eqn.op == "mul":
            for a, b in (of, of[::-1]):
                if b.known:
                    return a.times(b.shift)
        if eqn.op == "div":
            return self._divided(*of)
        return None

    def _moved(self, eqn: Eqn, of: Ratio) -> Ratio | None:
        count = self.avals[eqn.ins[0]].size // max(1, self.avals[eqn.outs[0]].size) if eqn.op == "sum" else 1
        if eqn.op in SUMS and (of.under is not None or (eqn.op == "cumsum" and of.shift)):
            return None
        move = (eqn.op, params_text(eqn))
        self.params[move] = eqn.params

        def to(leaf: Leaf) -> Leaf:
            return leaf[0], (*leaf[1], move)

        under = None if of.under is None else to(of.under)
        return Ratio(tuple((to(v), c) for v, c in of.terms), of.shift * count, under, of.rounded, of.stated)

    def _divided(self, a: Ratio, b: Ratio) -> Ratio | None:
        if b.known:
            return a.times(1 / b.shift) if b.shift else None
        if a.under is None and b.under is None and len(b.terms) == 1 and not b.shift:
            leaf, factor = b.terms[0]
            aval = None if isinstance(leaf[0], Listed) else self.avals[leaf[0]]
            if (
                factor > 0
                and aval is not None
                and aval.kind == "int"
                and aval.lo >= 1
                and not any(op in SUMS for op, _ in leaf[1])
            ):
                return replace(a, under=leaf, inexact=True).times(1 / factor)
        return None

    def asked(self, eqn: Eqn) -> Ask | None:
        """Return what stands in place of an equation that asks something of ratios."""
        if eqn.op not in ("lt", "eq", "floor") or "estimate" in eqn.params:
            return None
        of = self._all(eqn)
        if of is None or not any(r.rounded for r in of):
            return None
        like = self.avals[eqn.ins[0]]
        if eqn.op == "floor":
            return lambda whole: whole.floor(of[0], like)
        return lambda whole: whole.compare(eqn.op == "lt", of[0], of[1], like.shape)


class _Whole:
    """Puts what is asked of ratios as a question about whole numbers."""

    def __init__(
        self,
        context: Context,
        now: dict[int, SecretArray],
        params: dict[tuple[str, str], dict[str, Any]],
    ) -> None:
        self.context, self.now, self.params = context, now, params

    def compare(self, less: bool, a: Ratio, b: Ratio, shape: tuple[int, ...]) -> SecretArray:
        """Return whether a < b, or a = b, which all know if nothing is left of their difference."""
        if a.under == b.under:
            left, right = Ratio(a.terms, a.shift), Ratio(b.terms, b.shift)
        else:
            left, right = self._over(a, b.under), self._over(b, a.under)
        gap = left.plus(right.times(Fraction(-1)))
        if not gap.terms:
            return self.context.const(np.full(shape, gap.shift < 0 if less else gap.shift == 0))
        scale = Fraction(math.lcm(*(c.denominator for _, c in gap.terms)), 1)
        scale /= math.gcd(*(int(c * scale) for _, c in gap.terms))
        total, low, high = self._sum(gap, scale)
        bound = -gap.shift * scale
        if less:
            return xp.less(total, min(max(math.ceil(bound), low), high + 1))
        return xp.equal(total, int(bound) if bound.denominator == 1 and low <= bound <= high else high + 1)

    def floor(self, a: Ratio, like: Aval) -> SecretArray:
        """Return the greatest whole number not above a, in the range that an assumption gave to a."""
        made = self._floor(a, like.shape)
        # The end above may be a whole number that float64 missed; the end below is below it then.
        low, high = math.floor(like.lo), math.floor(like.hi + abs(like.hi) * SLACK)
        if a.stated is None or (low <= made.aval.lo and made.aval.hi <= high):
            return made
        return xp.assume(made, low, high, a.stated)

    def _floor(self, a: Ratio, shape: tuple[int, ...]) -> SecretArray:
        whole = 0 if a.under is None else math.floor(dict(a.terms).get(a.under, 0))
        if whole and a.under is not None:  # beside the quotient, so that less is divided
            return xp.add(self._floor(a.plus(Ratio(((a.under, Fraction(-whole)),))), shape), whole)
        scale = math.lcm(*(c.denominator for _, c in a.terms))
        if a.under is not None:
            scale = math.lcm(scale, a.shift.denominator)
        more = math.floor(a.shift * scale)
        total, low, high = self._sum(a, Fraction(scale)) if a.terms else (None, 0, 0)
        if max(abs(low + more), abs(high + more)) >= MOST:
            raise RangeError(BEYOND)
        if total is None:
            total = self.context.const(np.full(shape, more))
        elif more:
            total = xp.add(total, more)
        if a.under is None:
            return integers.floor_divide(total, scale) if scale > 1 else total
        under = self._leaf(a.under)
        return integers.floor_divide(total, xp.multiply(under, scale) if scale > 1 else under)

    def _over(self, of: Ratio, other: Leaf | None) -> Ratio:
        """Return what stands above the line, times a whole number that stands below that of the other side."""
        if other is None:
            return Ratio(of.terms, of.shift)
        terms = [(self._product(v, other), c) for v, c in of.terms]
        return Ratio((*terms, *([(other, of.shift)] if of.shift else [])))

    def _product(self, a: Leaf, b: Leaf) -> Leaf:
        made = xp.multiply(self._leaf(a), self._leaf(b))
        if made.aval.magnitude >= MOST:
            raise RangeError(BEYOND)
        var = -1 - made.ref  # a name that the Program does not have
        self.now[var] = made
        return var, ()

    def _sum(self, of: Ratio, scale: Fraction) -> tuple[SecretArray, int, int]:
        """Return the sum of whole numbers times their fractions times `scale`, and the range that it stays in."""
        terms = [(self._leaf(v), int(c * scale)) for v, c in of.terms]
        ends = [sorted((int(a.aval.lo) * c, int(a.aval.hi) * c)) for a, c in terms]
        low, high = sum(e[0] for e in ends), sum(e[1] for e in ends)
        if sum(max(abs(e[0]), abs(e[1])) for e in ends) + abs(of.shift * scale) >= MOST:
            raise RangeError(BEYOND)
        total: Any = None
        for a, c in terms:
            part = a if abs(c) == 1 else xp.multiply(a, abs(c))
            if total is None:
                total = part if c > 0 else xp.negative(part)
            else:
                total = xp.add(total, part) if c > 0 else xp.subtract(total, part)
        return total, low, high

    def _leaf(self, leaf: Leaf) -> SecretArray:
        v, moves = leaf
        a = self.context.const(v.value) if isinstance(v, Listed) else self.now[v]
        if a.dtype == "bool":
            a = xp.astype(a, "int")
        for move in moves:
            a = self.context.bind(move[0], [a], self.params[move])[0]
        return a


class _Exact(Again):
    """Records a Program again, with other equations where something is asked of ratios."""

    def __init__(self, program: Program, found: _Finder, wanted: Mapping[int, Ask]) -> None:
        super().__init__(program, found.avals)
        self.params, self.wanted = found.params, wanted

    def instead(self, eqn: Eqn, ins: list[SecretArray]) -> SecretArray | None:
        """Record what is asked; take it back if it does not fit."""
        if not eqn.outs or (ask := self.wanted.get(eqn.outs[0])) is None:
            return None
        recorded = len(self.eqns)
        try:
            return ask(_Whole(self, self.now, self.params))
        except UsageError:
            del self.eqns[recorded:]
            return None


class Live:
    """The ratios among the arrays of a session; what one is a ratio of stays with the parties as long as it does."""

    def __init__(self) -> None:
        self.finder = _Finder({})
        self.held: dict[int, dict[int, SecretArray]] = {}

    def instead(self, eqn: Eqn, ins: Sequence[SecretArray]) -> list[SecretArray] | None:
        """Return what an equation asks of ratios, computed on whole numbers; None where that cannot be."""
        self.finder.avals.update({a.ref: a.aval for a in ins})
        ask = self.finder.asked(eqn)
        if ask is None:
            return None
        try:
            return [ask(_Whole(ins[0].context, self._now(ins), self.finder.params))]
        except UsageError:
            return None

    def note(self, eqn: Eqn, ins: Sequence[SecretArray], outs: Sequence[SecretArray]) -> None:
        """Note what an equation made, and keep what that is a ratio of."""
        self.finder.avals.update({a.ref: a.aval for a in (*ins, *outs)})
        self.finder.note(eqn)
        for out in outs:
            ratio = self.finder.ratios.get(out.ref)
            if ratio is not None and not ratio.known:
                now, under = self._now(ins), [] if ratio.under is None else [ratio.under]
                of = [v for v, _ in (*(leaf for leaf, _ in ratio.terms), *under)]
                self.held[out.ref] = {v: now[v] for v in of if not isinstance(v, Listed)}

    def forget(self, var: int) -> None:
        """Forget a variable that nobody refers to."""
        for known in (self.finder.avals, self.finder.ratios, self.held):
            known.pop(var, None)

    def _now(self, ins: Sequence[SecretArray]) -> dict[int, SecretArray]:
        """Return the arrays that operands are, and those that they are ratios of."""
        now = {a.ref: a for a in ins}
        for a in ins:
            now.update(self.held.get(a.ref, {}))
        return now
