"""Public numbers that secrets are compared with, where rounding them to a unit would change the answer.

A whole number is below 2.5 if it is below 3, and never equals 2.5: so a comparison of whole numbers stays one, exact
in every format. Of fixed-point values each is a whole number of units, as is what it is compared with; a number that
is none is rounded to the nearest one, as an owner's value is, so that 0.1 stays equal to 0.1. But zero is below a
number above zero, also one that rounds to zero: there `faithful` takes the unit beyond instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.array.loop import infer
from tacit.array.program import SECRET, Eqn, Program
from tacit.array.schema import MOVES
from tacit.array.secret import SecretArray

Array = npt.NDArray[Any]


def _fractions(secret: Any, public: Any) -> Array | None:
    """Return the public operand beside secret whole numbers, if it is of floats that whole numbers can stand for."""
    if not isinstance(secret, SecretArray) or secret.dtype != "int" or isinstance(public, SecretArray):
        return None
    c = np.asarray(public)
    if c.dtype.kind != "f" or not (np.abs(c := c.astype(np.float64)) < 2.0**62).all():
        return None
    return c


def whole_limits(x: Any, y: Any) -> tuple[Any, Any]:
    """Return the operands of x < y; beside secret whole numbers fractions become the whole numbers that decide it."""
    if (c := _fractions(x, y)) is not None:
        return x, np.ceil(c).astype(np.int64)
    if (c := _fractions(y, x)) is not None:
        return np.floor(c).astype(np.int64), y
    return x, y


def whole_equal(x: Any, y: Any) -> tuple[Any, Any, Array | None]:
    """Return the operands of x = y, whole numbers where one side is secret and whole, and where they can be equal."""
    for secret, public in ((x, y), (y, x)):
        if (c := _fractions(secret, public)) is not None:
            whole = np.floor(c)
            possible = whole == c
            return secret, whole.astype(np.int64), None if possible.all() else possible
    return x, y, None


def faithful(program: Program, frac_bits: int) -> Program:
    """Return the Program with comparisons of secrets kept right beside numbers that round to zero but are none.

    Left alone are values in which such a number is part already, as in maximum(x, 1e-9) < 1e-9, where both are rounded
    alike, and what is computed in loops.
    """
    avals = infer(program)
    to = _Rewriter(program, frac_bits)
    for eqn in program.eqns:
        secret = eqn.op in ("lt", "eq", "compare") and avals[eqn.outs[0]].where == SECRET
        if not (secret and avals[eqn.ins[0]].kind == "fixed" and to.take(eqn)):
            to.eqns.append(eqn)
    return program.replace(eqns=tuple(to.eqns)) if to.changed else program


@dataclass(slots=True)
class _Rewriter:
    """The equations of a Program as they are emitted again."""

    program: Program
    frac_bits: int
    eqns: list[Eqn] = field(default_factory=list)
    changed: bool = False
    made: dict[int, Eqn] = field(init=False)
    unclear: set[int] = field(default_factory=set)
    """Variables in which a number that rounding loses may be part."""
    fresh: int = field(init=False)

    def __post_init__(self) -> None:
        self.made = {v: eqn for eqn in self.program.eqns for v in eqn.outs}
        self.fresh = 1 + max([*self.made, *(i.var for i in self.program.inputs)], default=-1)
        for eqn in self.program.eqns:
            lost = eqn.op == "const" and self._lost(np.asarray(eqn.params["value"])).any()
            if lost or "body" in eqn.params or not self.unclear.isdisjoint(eqn.ins):
                self.unclear.update(eqn.outs)

    def take(self, eqn: Eqn) -> bool:
        """Emit a comparison anew if it is of a value with a number that rounds to zero and is none; say whether."""
        lost = [self._vanishing(v) for v in eqn.ins]
        if lost.count(True) != 1 or eqn.ins[lost.index(False)] in self.unclear:
            return False
        self.changed = True
        if eqn.op == "lt":
            self._less(eqn, eqn.ins, eqn.outs[0])
        elif eqn.op == "eq":
            self._equal(eqn, eqn.ins[lost.index(True)])
        else:
            self._compare(eqn)
        return True

    def _vanishing(self, v: int) -> bool:
        """Return whether a variable repeats a public number, one or more, and rounding loses one."""
        eqn = self.made.get(v)
        while eqn is not None and eqn.op in MOVES:
            eqn = self.made.get(eqn.ins[0])
        return (
            eqn is not None and eqn.op == "const" and bool(self._lost(np.asarray(eqn.params["value"])).any())
        )

    def _lost(self, c: Array) -> Array:
        if c.dtype.kind != "f":
            return np.zeros(c.shape, bool)
        return np.asarray((c != 0) & (np.rint(np.ldexp(c, self.frac_bits)) == 0))

    def _emit(self, op: str, ins: tuple[int, ...], params: dict[str, Any], source: str, out: int = -1) -> int:
        if out < 0:
            out, self.fresh = self.fresh, self.fresh + 1
        self.eqns.append(Eqn(op, ins, (out,), params, source))
        return out

    def _moved(self, v: int, change: Any) -> int:
        """Emit a constant changed, and the moves that lead from it to a variable."""
        eqn = self.made[v]
        if eqn.op == "const":
            value = np.asarray(eqn.params["value"])
            return self._emit("const", (), {"value": np.asarray(change(value))}, eqn.source)
        return self._emit(eqn.op, (self._moved(eqn.ins[0], change),), eqn.params, eqn.source)

    def _less(self, eqn: Eqn, ins: tuple[int, ...], out: int) -> None:
        """Emit x < y: of y rounded up, of x rounded down, where rounding to the nearest unit gives zero."""
        unit = 2.0**-self.frac_bits

        def towards(sign: int) -> Any:
            return lambda c: np.where(self._lost(c), np.where(sign * c > 0, sign * unit, 0.0), c)

        x, y = ins
        if self._vanishing(x):
            x = self._moved(x, towards(-1))
        if self._vanishing(y):
            y = self._moved(y, towards(1))
        self._emit("lt", (x, y), {}, eqn.source, out)

    def _equal(self, eqn: Eqn, public: int) -> None:
        """Emit x = y, false where the number is lost: no value is so close to zero but zero."""
        possible = self._moved(public, lambda c: ~self._lost(c))
        same = self._emit("eq", eqn.ins, eqn.params, eqn.source)
        self._emit("and", (same, possible), {}, eqn.source, eqn.outs[0])

    def _compare(self, eqn: Eqn) -> None:
        """Emit truths of a comparison each by itself, numbers as they were: these are off by less than a unit."""
        x, y = eqn.ins
        rest = []
        for name, out in zip(eqn.params["want"], eqn.outs, strict=True):
            if name == "less":
                self._less(eqn, (x, y), out)
            elif name == "greater":
                self._less(eqn, (y, x), out)
            else:
                rest.append((name, out))
        if rest:
            names, outs = zip(*rest, strict=True)
            self.eqns.append(Eqn("compare", eqn.ins, outs, {**eqn.params, "want": list(names)}, eqn.source))
