"""Products that are rounded by the comparison that reads them (decision 0073).

A product of two fixed-point secrets has 2f fractional bits. Rounding it to f takes an exchange; where all that reads it
is a comparison with a public number, which selects by the bit it finds, that rounds it as it selects. So such a product
keeps its bits, through sums and moves, until then. A run follows from it what a Program's equations do one by one:
values, ranges and errors are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tacit.array import intervals as iv
from tacit.array.bounds import difference_bits
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.schema import ASKED, wanted
from tacit.core.blocks import elements

if TYPE_CHECKING:
    from tacit.array.runtime import Format
    from tacit.core.protocol import Protocol

PRODUCTS = {"mul": "mul", "square": "mul", "matmul": "matmul", "conv": "matmul"}
"""Functionalities of products, whose names go on with how they round."""
LINEAR = frozenset({"add", "sub", "neg", "broadcast", "reshape", "transpose", "slice", "flip", "assume"})
"""Operations that take values of more fractional bits as they are."""
READERS = frozenset({*ASKED, "compare"}) - {"abs"}
"""Operations that compare, and round what they select."""
Calls = list[tuple[str, int, dict[str, Any]]]
BLOCKS = 8
"""Up to so many blocks of elements (decision 0067) are compared both ways at once: 32 bytes of copies for each."""


def at_once(want: Iterable[str], n: int, p: Protocol) -> int:
    """Return how many signs `compare` finds at once: both truth values, unless that would double very many elements."""
    both = {"less", "greater"} <= set(want)
    return 2 if both and n <= BLOCKS * elements(p.party.network) else 1


def late(
    program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format, short: frozenset[int] = frozenset()
) -> frozenset[int]:
    """Return the variables that are held with 2f fractional bits, none of those products that are `short`."""
    if not p.offers("select_trunc"):
        return frozenset()
    return _Finder(program, avals, p, fmt).find(short)


def signs(eqn: Eqn, ins: Sequence[Aval], p: Protocol, f: int) -> tuple[int, int]:
    """Return how many signs a comparison finds, and the bits of the differences."""
    return ins[0].size * at_once(wanted(eqn), ins[0].size, p), difference_bits(list(ins), f)


def of_one_role(p: Protocol, n: int, bits: int) -> bool:
    """Return whether n signs are found in roles of which the first receives nothing (decision 0068)."""
    waves = p.card("sign").pattern(p.ring, n, bits=bits, network=p.party.network)
    return not any(to == 0 for wave in waves for _, to, _ in wave)


def uses(program: Program) -> dict[int, list[int]]:
    """Return where in order equations read each variable; one that none reads has no entry."""
    found: dict[int, list[int]] = {}
    for at, eqn in enumerate(program.eqns):
        for v in set(eqn.ins):
            found.setdefault(v, []).append(at)
    return found


def factors(eqn: Eqn) -> tuple[int, ...]:
    """Return both factors of a product, that of a square twice."""
    return eqn.ins if len(eqn.ins) == 2 else (*eqn.ins, *eqn.ins)


def is_product(eqn: Eqn, avals: Mapping[int, Aval]) -> bool:
    """Whether an equation multiplies two fixed-point values on shares."""
    if eqn.op not in PRODUCTS or avals[eqn.outs[0]].where != SECRET:
        return False
    ins = [avals[v] for v in eqn.ins]
    return all(a.kind == "fixed" and a.where != PUBLIC for a in ins)


class _Finder:
    """Follows products to what reads them, and compares prices."""

    def __init__(self, program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format) -> None:
        self.eqns, self.avals, self.p, self.fmt = program.eqns, avals, p, fmt
        self.uses = uses(program)
        self.kept = frozenset(program.outputs)
        self.readers: dict[int, frozenset[int] | None] = {}
        """The comparisons that read a variable, or None if anything else does."""

    def find(self, short: frozenset[int]) -> frozenset[int]:
        """Return all that it pays to round late: products with common readers are decided together."""
        for eqn in reversed(self.eqns):
            if eqn.op in LINEAR or eqn.op in PRODUCTS:
                self.readers[eqn.outs[0]] = self._readers(eqn.outs[0])
        groups: list[tuple[set[int], set[int]]] = []
        for at, eqn in enumerate(self.eqns):
            out = eqn.outs[0]
            readers = self.readers[out] if out not in short and is_product(eqn, self.avals) else None
            if readers:
                joined, reached = {at}, set(readers)
                for group in [g for g in groups if g[1] & reached]:
                    groups.remove(group)
                    joined |= group[0]
                    reached |= group[1]
                groups.append((joined, reached))
        found: set[int] = set()
        for products, ends in groups:
            if self._pays(products, ends):
                found.update(self.eqns[at].outs[0] for at in products)
        for eqn in self.eqns:
            if eqn.op in LINEAR and not found.isdisjoint(eqn.ins):
                found.update(eqn.outs)
        return frozenset(found)

    def _readers(self, v: int) -> frozenset[int] | None:
        """Find what reads a variable; that of all later ones is known."""
        found: set[int] = set()
        if v in self.kept:
            return None
        for at in self.uses.get(v, []):
            eqn = self.eqns[at]
            if eqn.op in LINEAR:
                further = self.readers[eqn.outs[0]]
                if further is None:
                    return None
                found |= further
            elif eqn.op in READERS and self._reads(eqn):
                found.add(at)
            else:
                return None
        return frozenset(found)

    def _reads(self, eqn: Eqn) -> bool:
        """Whether a comparison is one with public numbers, of a difference that keeps its bits in the ring."""
        ins = [self.avals[v] for v in eqn.ins]
        if all(a.where != PUBLIC for a in ins) or {"greatest", "least"} <= (want := set(wanted(eqn))):
            return False
        lo, hi = iv.sub(*((a.lo, a.hi) for a in ins))
        k, f = self.fmt.width, self.fmt.frac_bits
        most = max(abs(lo), abs(hi))
        wide = iv.bits_of(most + iv.margin(most, f), 2 * f)
        return "distance" not in want and wide <= k - 2  # so the rounded one has fewer than k − f bits

    def _pays(self, products: Iterable[int], ends: Iterable[int]) -> bool:
        """Whether it is worth less, all in roles of which the first receives nothing (decision 0068)."""
        f, p = self.fmt.frac_bits, self.p
        now: Calls = []
        then: Calls = []
        for at in sorted(products):
            eqn = self.eqns[at]
            n, name = self.avals[eqn.outs[0]].size, PRODUCTS[eqn.op]
            now.append((f"{name}_trunc", n, {"f": f}))
            then.append((f"{name}_early", n, {}))
        for at in sorted(ends):
            eqn = self.eqns[at]
            ins, want = [self.avals[v] for v in eqn.ins], set(wanted(eqn))
            n, (count, bits) = ins[0].size, signs(eqn, ins, p, f)
            if not of_one_role(p, count, bits):
                return False
            sign = ("sign", count, {"bits": bits})
            now.append(sign)
            then.append(sign)
            if not want <= {"less", "greater"}:
                now.append(("select", n, {}))
                then.append(("select_trunc", n, {"f": f}))
        return p.price(*then) < p.price(*now)
