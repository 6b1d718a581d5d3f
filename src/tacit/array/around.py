"""Squares about a common centre, computed where the rows are: what a variance or covariance of pooled rows needs.

For any m, Σ(x − m)(y − l) over one owner's rows is Σ(x − x̄)(y − ȳ) + n(x̄ − m)(ȳ − l) with that owner's own means
(T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).
Nothing is subtracted that is large: the owner computes the first sum and its means in float64, and only these are
shared. Rows left out by a mask count in no mean and no n.

Likewise, with c = x − x̄, g = x̄ − m and M_k the mean of c^k (P. Pébay, "Formulas for robust, one-pass parallel
computation of covariances and arbitrary-order statistical moments", Sandia report SAND2008-6212, 2008):

    Σ(x − m)³ = Σc³ + n·g·(3 M₂ + g²),   Σ(x − m)⁴ = Σc⁴ + n·g·(4 M₃ + g·(6 M₂ + g²)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array.program import Eqn

if TYPE_CHECKING:
    from tacit.array.passes import _Localiser

ROUNDED = 2.0**-10
"""More than what is rounded of a row's share in a sum of powers: some units."""


@dataclass(frozen=True, slots=True)
class Shifted:
    """The array x − m, zero where a mask is false; x in parts along an axis, m the same all along it."""

    axis: int
    parts: tuple[int, ...]
    centre: int
    """One row of m, of size 1 along the axis."""
    masks: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """What owners know of it: their rows about their own means, these means less m, and their numbers of rows."""

    powers: dict[int, list[int]]
    """Of their rows about their own means: the first, and those that were asked for."""
    gaps: int
    counts: int
    each: list[int]
    """By what each owner divides a sum over its rows: how many they are, and at least one."""


class Around:
    """Follows such differences through a program, beside the rewriting pass that it emits equations with."""

    def __init__(self, to: _Localiser) -> None:
        self.to = to
        self.made = {v: eqn for eqn in to.program.eqns for v in eqn.outs}
        self.held: dict[int, Shifted] = {}
        self.products: dict[int, tuple[Shifted, Shifted]] = {}
        self.powers: dict[int, tuple[Shifted, int]] = {}
        self.local: dict[Shifted, Local] = {}

    def take(self, eqn: Eqn) -> bool:
        """Note what an equation does to a difference; emit a sum of squares or products, and say so."""
        rule = getattr(self, f"_on_{eqn.op}", None)
        return bool(rule is not None and rule(eqn))

    # -- what is followed; the equation itself is emitted as it stands, and dropped if nothing needs it ------------

    def _on_sub(self, eqn: Eqn) -> None:
        x, m = eqn.ins
        if x not in self.to.parts or m in self.to.parts:
            return
        axis, parts = self.to.parts[x]
        if not self._constant_along(m, axis) or not any(self.to.avals[p].owner for p in parts):
            return
        centre = self.to._slice(self.to._get(m), axis, 0, 1)
        self.held[eqn.outs[0]] = Shifted(axis, tuple(parts), centre)

    def _constant_along(self, m: int, axis: int) -> bool:
        eqn = self.made.get(m)
        if eqn is None or eqn.op != "broadcast":
            return False
        dims = list(eqn.params["dims"])
        return axis not in dims or self.to.old[eqn.ins[0]].shape[dims.index(axis)] == 1

    def _on_select(self, eqn: Eqn) -> None:
        mask, x, other = eqn.ins
        held = self.held.get(x)
        if held is None or held.masks is not None or not self._is_zero(other):
            return
        cut = self.to._cut(mask, held.axis, [self._rows(p, held.axis) for p in held.parts])
        if cut is not None:
            self.held[eqn.outs[0]] = Shifted(held.axis, held.parts, held.centre, tuple(cut))

    def _is_zero(self, v: int) -> bool:
        eqn = self.made.get(v)
        while eqn is not None and eqn.op in ("broadcast", "convert"):
            eqn = self.made.get(eqn.ins[0])
        return eqn is not None and eqn.op == "const" and not np.any(eqn.params["value"])

    def _on_transpose(self, eqn: Eqn) -> None:
        held, perm = self.held.get(eqn.ins[0]), eqn.params["perm"]
        if held is None:
            return

        def turned(v: int) -> int:
            return self._emit("transpose", [v], eqn.params)

        masks = None if held.masks is None else tuple(turned(v) for v in held.masks)
        parts = tuple(turned(v) for v in held.parts)
        self.held[eqn.outs[0]] = Shifted(perm.index(held.axis), parts, turned(held.centre), masks)

    def _on_square(self, eqn: Eqn) -> None:
        x = self.held.get(eqn.ins[0])
        if x is not None:
            self.products[eqn.outs[0]] = x, x
        self._raise(eqn.outs[0], eqn.ins[0], eqn.ins[0])

    def _power(self, v: int) -> tuple[Shifted, int] | None:
        return (self.held[v], 1) if v in self.held else self.powers.get(v)

    def _raise(self, out: int, v: int, w: int) -> None:
        """Note a power of a difference, up to the fourth."""
        x, y = self._power(v), self._power(w)
        if x is not None and y is not None and x[0] == y[0] and x[1] + y[1] <= 4:
            self.powers[out] = x[0], x[1] + y[1]

    def _on_mul(self, eqn: Eqn) -> None:
        self._raise(eqn.outs[0], *eqn.ins)
        x, y = (self.held.get(v) for v in eqn.ins)
        if x is None or y is None or x.axis != y.axis:
            return
        if [self._rows(p, x.axis) for p in x.parts] != [self._rows(p, y.axis) for p in y.parts]:
            return
        # Where one factor is zero, rows of the other count no more than its own.
        masks = x.masks or y.masks
        if (y.masks or masks) == masks:
            self.products[eqn.outs[0]] = replace(x, masks=masks), replace(y, masks=masks)

    # -- what is computed where the rows are -------------------------------------------------------------------

    def _on_sum(self, eqn: Eqn) -> bool:
        pair, power = self.products.get(eqn.ins[0]), self.powers.get(eqn.ins[0])
        if pair is None and power is not None and power[0].axis in eqn.params["axes"]:
            self.to.whole[eqn.outs[0]] = self._moment(eqn, *power)
            return True
        if pair is None or pair[0].axis not in eqn.params["axes"]:
            return False
        (x, y), axes = (self._locally(held) for held in pair), {"axes": list(eqn.params["axes"])}
        rows = [self._product(v, w) for v, w in zip(x.powers[1], y.powers[1], strict=True)]
        sums = [self._emit("sum", [v], axes) for v in rows]
        weighted = self._emit("mul", [self._product(x.gaps, y.gaps), x.counts], {})
        self.to.whole[eqn.outs[0]] = self.to._add_up([*sums, self._emit("sum", [weighted], axes)])
        return True

    def _moment(self, eqn: Eqn, held: Shifted, power: int) -> int:
        """Return the sum of third or fourth powers: what is multiplied on shares is no larger than a row's."""
        x, axes = self._locally(held), {"axes": list(eqn.params["axes"])}
        sums = [self._emit("sum", [v], axes) for v in self._raised(x, power)]
        inner = self._product(x.gaps, x.gaps)
        for k, weight in {3: [(2, 3)], 4: [(2, 6), (3, 4)]}[power]:
            means = [self._mean(v, n, held.axis) for v, n in zip(self._raised(x, k), x.each, strict=True)]
            joined = self.to._joined(means, held.axis)
            factor = self._const(np.full(self.to.avals[joined].shape, float(weight)))
            scaled = self._emit("mul", [joined, factor], {})
            if k > 2:
                inner = self._emit("mul", [x.gaps, inner], {})
            inner = self._emit("add", [scaled, inner], {})
        inner = self._emit("mul", [self._emit("mul", [x.gaps, inner], {}), x.counts], {})
        found = self.to._add_up([*sums, self._emit("sum", [inner], axes)])
        # Its parts' intervals add up to more than that of the powers, which it equals but for what is rounded.
        whole, slack = self.to.old[eqn.outs[0]], sum(self._rows(p, held.axis) for p in held.parts) * ROUNDED
        ends = {"lo": whole.lo - slack, "hi": whole.hi + slack, "why": "powers about a mean"}
        return self._emit("assume", [found], ends)

    def _raised(self, x: Local, power: int) -> list[int]:
        """Return each owner's rows about its own mean, raised to a power; each power is computed once."""
        if power not in x.powers:
            two = self._raised(x, power // 2), self._raised(x, power - power // 2)
            x.powers[power] = [self._product(v, w) for v, w in zip(*two, strict=True)]
        return x.powers[power]

    def _mean(self, v: int, divisor: int, axis: int) -> int:
        shape = self.to.avals[v].shape
        total = self._total(v, axis, [1 if i == axis else n for i, n in enumerate(shape)])
        return self._emit("div", [total, divisor], {})

    def _product(self, v: int, w: int) -> int:
        return self._emit("square", [v], {}) if v == w else self._emit("mul", [v, w], {})

    def _on_matmul(self, eqn: Eqn) -> bool:
        left, right = (self.held.get(v) for v in eqn.ins)
        if left is None or right is None or any(len(self.to.old[v].shape) != 2 for v in eqn.ins):
            return False
        if (left.axis, right.axis) != (1, 0) or left.masks is not None or right.masks is not None:
            return False
        if [self._rows(p, 1) for p in left.parts] != [self._rows(p, 0) for p in right.parts]:
            return False
        a, b = self._locally(left), self._locally(right)
        terms = [self._emit("matmul", pair, {}) for pair in zip(a.powers[1], b.powers[1], strict=True)]
        weighted = self._emit("mul", [a.gaps, a.counts], {})
        self.to.whole[eqn.outs[0]] = self.to._add_up([*terms, self._emit("matmul", [weighted, b.gaps], {})])
        return True

    def _locally(self, held: Shifted) -> Local:
        if held not in self.local:
            self.local[held] = self._made(held)
        return self.local[held]

    def _made(self, held: Shifted) -> Local:
        centred, gaps, counts, each = [], [], [], []
        for at, part in enumerate(held.parts):
            shape = self.to.avals[part].shape
            if not shape[held.axis]:
                continue
            row = [1 if i == held.axis else n for i, n in enumerate(shape)]
            if held.masks is None:
                total, mask = self._total(part, held.axis, row), None
                mean = self._emit("mul", [total, self._const(np.full(row, 1 / shape[held.axis]))], {})
                count = self._const(np.full(row, shape[held.axis], np.int64))
                divisor = self._const(np.full(row, float(shape[held.axis])))
            else:
                mask = held.masks[at]
                kept = self._emit("select", [mask, part, self._zeros(shape)], {})
                count = self._total(self._emit("convert", [mask], {"kind": "int"}), held.axis, row)
                divisor = self._emit("maximum", [count, self._const(np.ones(row, np.int64))], {})
                divisor = self._emit("convert", [divisor], {"kind": "fixed"})
                mean = self._emit("div", [self._total(kept, held.axis, row), divisor], {})
            wide = self._emit("broadcast", [mean], {"shape": list(shape), "dims": list(range(len(shape)))})
            rest = self._emit("sub", [part, wide], {})
            if mask is not None:
                rest = self._emit("select", [mask, rest, self._zeros(shape)], {})
            centred.append(rest)
            gaps.append(self._emit("sub", [mean, held.centre], {}))
            counts.append(count)
            each.append(divisor)
        return Local({1: centred}, self.to._joined(gaps, held.axis), self.to._joined(counts, held.axis), each)

    def _total(self, v: int, axis: int, row: list[int]) -> int:
        return self._emit("reshape", [self._emit("sum", [v], {"axes": [axis]})], {"shape": row})

    def _rows(self, v: int, axis: int) -> int:
        return self.to.avals[v].shape[axis]

    def _zeros(self, shape: tuple[int, ...]) -> int:
        """Return as many zeros as there are rows, which a Program's text need not list."""
        return self._emit("broadcast", [self._const(np.zeros(()))], {"shape": list(shape), "dims": []})

    def _const(self, value: Any) -> int:
        return self._emit("const", [], {"value": value})

    def _emit(self, op: str, ins: Any, params: dict[str, Any]) -> int:
        return self.to._emit(op, list(ins), params)[0]
