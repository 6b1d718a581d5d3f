"""Quotients that need no division: a pass, like those of `passes`.

A gradient divides by what it then multiplies with: that of log σ(z) is g/σ times σ·(1 − σ). `cancelled` follows
products and quotients as powers of their factors, and where a factor meets its inverse, both go. It knows one function
by its formula, too, which everybody writes who comes from NumPy, and every gradient of log(1 + e^z): e^z/(1 + e^z) is
σ(z), and 1/(1 + e^z) is σ(−z). A division takes ten rounds and room for e^z; σ takes four, for any z.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tacit.array.loop import infer, infer_eqn, inside
from tacit.array.passes import prune, read
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program

LONG = 8.0
"""Beyond -LONG an exponential that is at most one, and what follows, takes fewer bytes than the series of σ."""
ROOM = 2.0**12
"""Exponentials up to this are divided where σ would be multiplied by more than `REACH`, as would its units."""
REACH = 2.0**8
MOST = 4
"""Factors that are multiplied anew in place of a quotient."""
MOST_POWERS = 8
"""Factors that are followed."""
MOST_BITS = 64.0
"""Of products before the public number that scales them down: larger ones take a ring of 128 at least."""


def cancelled(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Return the Program without divisions that are not needed, in loops, too; the same one if all are."""
    avals = infer(program, ins)
    program = inside(program, avals, cancelled)
    if not any(eqn.op in ("div", "exp") for eqn in program.eqns):
        return program
    made = _Maker(program, avals).run()
    return prune(made) if made is not program else program


@dataclass(slots=True)
class _Product:
    """A number times powers of variables."""

    number: float = 1.0
    powers: dict[int, int] = field(default_factory=dict)

    def times(self, other: _Product, power: int = 1) -> _Product:
        """Return the product with a power of another."""
        powers = dict(self.powers)
        for v, p in other.powers.items():
            powers[v] = powers.get(v, 0) + p * power
        left = {v: p for v, p in powers.items() if p}
        return _Product(self.number * other.number**power, left)

    @property
    def divisors(self) -> int:
        """How many of the factors are divisors."""
        return sum(-p for p in self.powers.values() if p < 0)


class _Maker:
    """Goes through a Program and writes it anew."""

    def __init__(self, program: Program, avals: dict[int, Aval]) -> None:
        self.program, self.avals = program, dict(avals)
        self.maker = {v: eqn for eqn in program.eqns for v in eqn.outs}
        self.readers: dict[int, list[Eqn]] = defaultdict(list)
        for eqn in read(program).eqns:
            for v in dict.fromkeys(eqn.ins):
                self.readers[v].append(eqn)
        self.products: dict[int, _Product] = {}
        self.sigmoids: dict[tuple[int, bool], int] = {}
        self.apart: dict[tuple[int, int], int] = {}
        """Differences of two numbers, of which σ is taken either way."""
        self.now: dict[int, int] = {}
        """What stands for results that have been made already."""
        self.fresh = max(self.avals, default=-1) + 1
        self.eqns: list[Eqn] = []

    def run(self) -> Program:
        """Return the Program with what takes the place of divisions; the same one if nothing does."""
        changed = False
        for eqn in self.program.eqns:
            put = len(eqn.outs) == 1 and self.avals[eqn.outs[0]].where == SECRET and self._put(eqn)
            changed |= put
            if not put:
                self._write(eqn.op, eqn.ins, eqn.outs, eqn.params, eqn)
        if not changed:
            return self.program
        outputs = tuple(self.now.get(v, v) for v in self.program.outputs)
        return self.program.replace(eqns=tuple(self.eqns), outputs=outputs)

    def _put(self, eqn: Eqn) -> bool:
        """Write what an equation computes otherwise, and say whether that can be."""
        if eqn.op == "exp":
            return self._of_sum_of_powers(eqn)
        if self.avals[eqn.outs[0]].kind != "fixed":
            return False
        if eqn.op == "neg":
            of = self._product(eqn.ins[0])
            self.products[eqn.outs[0]] = _Product(-of.number, of.powers)
        if eqn.op not in ("mul", "div", "square"):
            return False
        x, y = (self._product(v) for v in (eqn.ins * 2)[:2])
        if eqn.op == "div" and len(y.powers) != 1:
            y = _Product(1.0, {eqn.ins[1]: 1})
        whole = x.times(y, -1 if eqn.op == "div" else 1)
        if sum(map(abs, whole.powers.values())) > MOST_POWERS:
            return False
        self.products[eqn.outs[0]] = whole
        factors, inverse = self._known(whole)
        before = x.divisors + y.divisors + (eqn.op == "div" and not y.divisors)
        if (
            inverse
            or not before
            or len(factors) > MOST
            or not whole.number
            or self._is_wide(whole)
            or not math.isfinite(whole.number)
        ):
            return False
        alone = factors[0] if len(factors) == 1 and whole.number == 1 else ()
        if isinstance(alone, int) and (self.avals[alone].where, self.avals[alone].kind) != (SECRET, "fixed"):
            return False  # what an owner knows is shared here, as it was
        self._multiply(eqn, whole.number, factors)
        return True

    def _product(self, v: int) -> _Product:
        a = self.avals[v]
        if a.where == PUBLIC and a.lo == a.hi and a.lo:
            return _Product(float(a.lo))
        return self.products.get(v) or _Product(1.0, {v: 1})

    def _known(self, of: _Product) -> tuple[list[tuple[int, bool] | int], dict[int, int]]:
        """Return the factors, a sigmoid as its argument and whether of its opposite, and divisors that stay."""
        powers = dict(of.powers)
        factors: list[tuple[int, bool] | int] = []
        for d, p in of.powers.items():
            e = self._less_one(d) if p < 0 else None
            if e is None or self._is_short(e) or self._is_far(of, e):
                continue
            (z,) = self._exponential(e).ins
            del powers[d]
            for _ in range(-p):
                both = powers.get(e, 0) > 0
                factors.append((z, not both))
                if both:
                    powers[e] -= 1
        for v, p in powers.items():
            factors += [v] * p
        return factors, {v: -p for v, p in powers.items() if p < 0}

    def _is_short(self, e: int) -> bool:
        """Whether z of e^z is far below nought and never above, as -|x|: 1 + e^z of [1, 2] is soon divided by."""
        z = self.avals[self._exponential(e).ins[0]]
        return z.hi <= 0 and z.lo < -LONG

    def _is_far(self, of: _Product, e: int) -> bool:
        """Whether what σ is multiplied by is so large that a quotient is closer, and its exponential has room."""
        beside = [self.avals[v].magnitude ** p for v, p in of.powers.items() if p > 0 and v != e]
        return abs(of.number) * math.prod(beside) > REACH and self.avals[e].magnitude <= ROOM

    def _is_wide(self, of: _Product) -> bool:
        """Whether the factors, each scaled down so far, would be multiplied as large as they are."""
        bits = [p * math.log2(max(self.avals[v].magnitude, 1.0)) for v, p in of.powers.items() if p > 0]
        return abs(of.number) < 1 and sum(bits) > MOST_BITS

    def _exponential(self, e: int) -> Eqn:
        eqn = self._made(e, "exp")
        assert eqn is not None
        return eqn

    def _less_one(self, d: int) -> int | None:
        """Return e of d = e + 1 if e is an exponential."""
        eqn = self._made(d, "add")
        for e, one in (eqn.ins, eqn.ins[::-1]) if eqn else ():
            a = self.avals[one]
            if a.where == PUBLIC and a.lo == a.hi == 1 and self._made(e, "exp"):
                return e
        return None

    def _made(self, v: int, *ops: str) -> Eqn | None:
        """Return the equation that makes a variable if it is one of these; what is assumed of its range left out."""
        eqn = self.maker.get(v)
        while eqn is not None and eqn.op == "assume" and "assume" not in ops:
            eqn = self.maker.get(eqn.ins[0])
        return eqn if eqn is not None and eqn.op in ops else None

    # -- writing ------------------------------------------------------------------------------------------

    def _write(
        self, op: str, ins: Sequence[int], outs: tuple[int, ...], params: dict[str, Any], like: Eqn
    ) -> Eqn:
        eqn = Eqn(op, tuple(self.now.get(v, v) for v in ins), outs, params, like.source)
        self.eqns.append(eqn)
        return eqn

    def _emit(self, op: str, ins: Sequence[int], like: Eqn, **params: object) -> int:
        eqn = self._write(op, ins, (self.fresh,), params, like)
        (self.avals[self.fresh],) = infer_eqn(eqn, [self.avals[v] for v in eqn.ins])
        self.fresh += 1
        return self.fresh - 1

    def _number(self, number: float, like: Eqn) -> int:
        v = self._emit("const", (), like, value=np.asarray(number))
        shape = list(self.avals[like.outs[0]].shape)
        return self._emit("broadcast", (v,), like, shape=shape, dims=[]) if shape else v

    def _sigmoid(self, z: int, opposite: bool, like: Eqn) -> int:
        neg = self.maker.get(z)
        if neg is not None and neg.op == "neg":
            z, opposite = neg.ins[0], not opposite
        if (z, opposite) not in self.sigmoids:
            if (z, not opposite) in self.sigmoids:
                # σ(−z) = 1 − σ(z), which nothing is sent for.
                one = self._number(1.0, like)
                self.sigmoids[z, opposite] = self._emit("sub", (one, self.sigmoids[z, not opposite]), like)
            else:
                of = self._emit("neg", (z,), like) if opposite else z
                self.sigmoids[z, opposite] = self._emit("sigmoid", (of,), like)
        return self.sigmoids[z, opposite]

    def _multiply(self, eqn: Eqn, number: float, factors: Sequence[tuple[int, bool] | int]) -> None:
        made = sorted(self._sigmoid(*f, eqn) if isinstance(f, tuple) else f for f in factors)
        if not made:
            made = [self._number(1.0, eqn)]
        made = [
            self._emit("convert", (v,), eqn, kind="fixed") if self.avals[v].kind == "int" else v for v in made
        ]
        while len(made) > 1:
            x, y, *rest = made
            made = [self._emit("square", (x,), eqn) if x == y else self._emit("mul", (x, y), eqn), *rest]
        if number != 1:
            (x,) = made
            made = [
                self._emit("neg", (x,), eqn)
                if number == -1
                else self._emit("mul", (self._number(number, eqn), x), eqn)
            ]
        self.now[eqn.outs[0]] = made[0]

    # -- e to the power of x less log(e^x + e^y) ------------------------------------------------------------

    def _of_sum_of_powers(self, eqn: Eqn) -> bool:
        """Write exp(x − logaddexp(x, y)), the derivative of logaddexp, as σ(x − y).

        Where logaddexp itself is asked for, too, its own exponential is there already, and another takes fewer bytes.
        """
        less = self._made(eqn.ins[0], "sub", "neg")
        ends = self._logaddexp(less.ins[-1]) if less else None
        if less is None or ends is None or not self._is_for_exponentials(less.ins[-1]):
            return False
        first = [i for i, v in enumerate(ends) if (v == less.ins[0] if less.op == "sub" else self._is(v, 0))]
        if not first:
            return False
        x, y = ends if first[0] == 0 else ends[::-1]
        if self._is(x, 0) or self._is(y, 0):
            self.now[eqn.outs[0]] = self._sigmoid(*((x, False) if self._is(y, 0) else (y, True)), eqn)
            return True
        if ends not in self.apart:
            self.apart[ends] = self._emit("sub", ends, eqn)
        self.now[eqn.outs[0]] = self._sigmoid(self.apart[ends], first[0] == 1, eqn)
        return True

    def _is_for_exponentials(self, v: int) -> bool:
        """Whether all that reads a variable is the exponential of what it is taken from."""
        total = self._made(v, "add")
        v = total.outs[0] if total else v
        if v in self.program.outputs:
            return False
        return all(
            eqn.op == "exp"
            or (
                eqn.op in ("sub", "neg", "assume")
                and eqn.ins[-1] == v
                and self._is_for_exponentials(eqn.outs[0])
            )
            for eqn in self.readers[v]
        )

    def _logaddexp(self, v: int) -> tuple[int, int] | None:
        """Return x and y of max(x, y) + log(1 + exp(−|x − y|))."""
        total = self._made(v, "add")
        for high, low in (total.ins, total.ins[::-1]) if total else ():
            most, log = self._made(high, "maximum"), self._made(low, "log")
            e = self._less_one(log.ins[0]) if most and log else None
            neg = self._made(self._exponential(e).ins[0], "neg") if e is not None else None
            size = self._made(neg.ins[0], "abs") if neg else None
            if most is None or size is None:
                continue
            x, y = most.ins
            between = self._made(size.ins[0], "sub")
            apart = {*between.ins} == {x, y} if between else False
            if apart or (size.ins[0] == x and self._is(y, 0)) or (size.ins[0] == y and self._is(x, 0)):
                return x, y
        return None

    def _is(self, v: int, number: float) -> bool:
        a = self.avals[v]
        return a.where == PUBLIC and a.lo == a.hi == number
