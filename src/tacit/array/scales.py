"""With how many fractional bits values are held, and where a run rounds (decisions 0073 and 0075).

A product has the fractional bits of both factors. Where the ring has room, it keeps them until something that rounds
anyway reads it; truth values that a sum with weights or a conversion makes a number of take few bits from the start;
and a product that is then multiplied by one public number is multiplied and rounded at once. A run follows it from
what a Program's equations do one by one: values, ranges and stated errors are the same.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from tacit.array import intervals as iv
from tacit.array.bounds import public_factor
from tacit.array.constants import fraction_bits
from tacit.array.late import LINEAR, PRODUCTS, Calls, factors, is_product, late, uses
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program

if TYPE_CHECKING:
    from tacit.array.runtime import Format
    from tacit.core.protocol import Protocol

MOVES = LINEAR - {"add", "sub"}
"""Operations on one value that give its elements as they are, or their opposites."""
SUMS = LINEAR | {"sum"}
"""Operations that take values of other fractional bits as they are."""
BY_PUBLIC = ("mul", "div")
READERS = 64
"""Most equations through which a value is followed to whatever rounds it."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """How an equation's results are held, and what a product loses."""

    extra: int = 0
    """Fractional bits of the results beyond the format's; fewer if negative."""
    drop: int | None = None
    """Bits that a product of two secrets loses; None for those of the format."""
    times: int = 1
    """What it is multiplied by before it is rounded: for a public factor that follows."""
    early: bool = True
    """Whether a product that loses nothing takes the form in which the first party waits for nobody (0068)."""
    done: bool = False
    """Whether the product before was multiplied by this equation's public factor: only its bits are named anew."""
    quiet: bool = False
    """Whether nothing is sent where the equation, as it stands, would send a truncation."""
    width: int = 0
    """Bits of the ring in which results are made, which the format's ring holds; 0 for all (decision 0077)."""
    of: int = 0
    """Bits of the ring in which a product is computed that is rounded, or of what a series is fitted to; 0 for all."""
    short: int = 0
    """Bits of which results are sure where they are lifted once they are made; 0 if they are not."""
    lift: int = 0
    """Bits of the ring to which they are."""
    word: bool = False
    """Whether operands are read, and results made, in words of 64 bits though the format's are of 128."""


USUAL = Rounding()


def scales(
    program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format, short: frozenset[int] = frozenset()
) -> dict[int, Rounding]:
    """Return how equations round, by their first results; the others as ever, at once.

    Products that are `short` (decision 0077) are never kept with all their bits.
    """
    fine = late(program, avals, p, fmt, short)
    made = {v: Rounding(fmt.frac_bits, 0) for v in fine}
    return made | _Finder(program, avals, p, fmt, frozenset(fine), short).find()


def factor(
    eqn: Eqn, avals: Mapping[int, Aval], maker: Mapping[int, Eqn], k: int, f: int
) -> tuple[int, int] | None:
    """Return (m, t) if a secret fixed-point value is multiplied by m/2^t, a constant as exact as ever."""
    ins = [avals[v] for v in eqn.ins]
    public = [v for v, a in zip(eqn.ins, ins, strict=True) if a.where == PUBLIC]
    inverse = eqn.op == "div"
    if len(public) != 1 or any(a.kind != "fixed" for a in ins) or (inverse and public[0] != eqn.ins[1]):
        return None
    number = _number(maker, public[0])
    if not number:
        return None
    value = 1 / Fraction(number) if inverse else Fraction(number)
    how = public_factor(ins, k, f, inverse=inverse)
    least = value.denominator.bit_length() - 1
    if value.denominator == 1 << least and least <= min(how.room, 1022):
        return int(value * (1 << least)), least
    if how.drop or len(how.parts) > 1:
        return None
    t = how.parts[0]
    return round(value * (1 << t)), t


def _number(maker: Mapping[int, Eqn], v: int) -> float | None:
    """Return the one number that a constant repeats."""
    eqn = maker.get(v)
    while eqn is not None and eqn.op in ("broadcast", "reshape"):
        eqn = maker.get(eqn.ins[0])
    if eqn is None or eqn.op != "const":
        return None
    value = np.asarray(eqn.params["value"])
    if not value.size or value.dtype.kind != "f":
        return None
    first = float(value.flat[0])
    return first if not any(value.strides) or bool(np.all(value == first)) else None


class _Finder:
    """Goes through equations in order: of what it has decided the bits are known."""

    def __init__(
        self,
        program: Program,
        avals: dict[int, Aval],
        p: Protocol,
        fmt: Format,
        fine: frozenset[int],
        short: frozenset[int],
    ) -> None:
        self.eqns, self.avals, self.p, self.fine, self.short = program.eqns, avals, p, fine, short
        self.k, self.f = fmt.width, fmt.frac_bits
        self.early = p.offers("mul_early")
        self.kept = frozenset(program.outputs)
        self.uses = uses(program)
        self.maker = {v: eqn for eqn in program.eqns for v in eqn.outs}
        self.extra: dict[int, int] = {}
        self.found: dict[int, Rounding] = {}

    def find(self) -> dict[int, Rounding]:
        """Return what is not rounded as ever."""
        for eqn in self.eqns:
            out = eqn.outs[0]
            if self.avals[out].where != SECRET or out in self.fine or out in self.found:
                continue
            if eqn.op in ("weigh", "convert"):
                self._truths(eqn)
            elif is_product(eqn, self.avals):
                self._product(eqn)
            elif eqn.op in BY_PUBLIC:
                self._by_public(eqn)
        return self.found

    # -- what may be held otherwise -------------------------------------------------------------------------

    def _truths(self, eqn: Eqn) -> None:
        """Hold a sum of truth values with as many fractional bits as its weights have."""
        out = eqn.outs[0]
        if self.avals[out].kind != "fixed" or self.avals[eqn.ins[0]].kind != "bool":
            return
        bits = fraction_bits(eqn.params["weights"]) if eqn.op == "weigh" else 0
        if bits < self.f and (held := self._followed(out, bits - self.f)) is not None:
            self._hold(out, held, Rounding(bits - self.f))

    def _product(self, eqn: Eqn) -> None:
        """Keep a product's bits, or round it once for a public factor that follows, or as ever."""
        out, n = eqn.outs[0], self.avals[eqn.outs[0]].size
        bits = self.f + self._extras(eqn)
        if bits and (following := self._following(eqn, bits)) is not None:
            last, times, t = following
            self.found[out] = Rounding(0, bits + t, times)
            self.found[last] = Rounding(done=True, quiet=True)
            return
        may = bits and out not in self.short and self.p.offers("mul_early")
        held = self._followed(out, bits) if may else None
        if held is None or not self._pays(eqn, n, bits, held):
            if bits != self.f:
                self.found[out] = Rounding(0, bits, early=self.early)
            return
        self._hold(out, held, Rounding(bits, 0, early=self.early))

    def _by_public(self, eqn: Eqn) -> None:
        """Keep the bits of a product with a public number, which takes no message then."""
        out = eqn.outs[0]
        factor = self._factor(eqn)
        if factor is None or not factor[1]:
            return
        secret = self._secret(eqn)
        bits = factor[1] + self.extra.get(secret, 0)
        if bits > 0 and (held := self._followed(out, bits)) is not None:
            now, then = self._prices(held)
            now.append(("trunc", self.avals[out].size, {"f": bits}))
            if self.p.price(*then) < self.p.price(*now):
                self._hold(out, held, Rounding(bits, quiet=True))

    def _hold(self, out: int, held: Mapping[int, int], how: Rounding) -> None:
        self.found[out] = how
        for v, extra in held.items():
            self.extra[v] = extra
            if v != out:
                self.found[v] = Rounding(extra)

    # -- what reads it ----------------------------------------------------------------------------------------

    def _followed(self, out: int, extra: int) -> dict[int, int] | None:
        """Return what is held with other bits if a value is; None unless products, which round, read all of it."""
        held = {out: extra}
        todo = list(self.uses.get(out, ()))
        seen: set[int] = set()
        if out in self.kept or not self._fits(out, extra):
            return None
        while todo:
            at = heapq.heappop(todo)
            if at in seen:
                continue
            seen.add(at)
            eqn = self.eqns[at]
            made = eqn.outs[0]
            if len(seen) > READERS or made in self.fine:
                return None
            if eqn.op in SUMS:
                bits = self._summed(eqn, held)
                if not bits:
                    continue  # it is as ever from there on
                if made in self.kept or not self._fits(made, bits):
                    return None
                held[made] = bits
                for later in self.uses.get(made, ()):
                    heapq.heappush(todo, later)
            elif not self._rounds(eqn, held):
                return None
        return held if seen else None

    def _summed(self, eqn: Eqn, held: Mapping[int, int]) -> int:
        """Return the bits beyond the format's that are left: of two values the finer has its own, never fewer."""
        among = [self._now(held, v) for v in eqn.ins if self.avals[v].where != PUBLIC]
        return max(0, *among) if eqn.op in ("add", "sub") else among[0]

    def _now(self, held: Mapping[int, int], v: int) -> int:
        return held.get(v, self.extra.get(v, 0))

    def _rounds(self, eqn: Eqn, held: Mapping[int, int]) -> bool:
        """Whether an equation rounds what it makes of such values, in the ring."""
        out = eqn.outs[0]
        if is_product(eqn, self.avals):
            bits = self.f + sum(self._now(held, v) for v in factors(eqn))
            return bits >= 0 and bits <= self.k - 2 and self._fits(out, bits)
        if eqn.op not in BY_PUBLIC or (factor := self._factor(eqn)) is None:
            return False
        bits = factor[1] + self._now(held, self._secret(eqn))
        return 0 <= bits <= self.k - 2 and self._fits(out, bits)

    def _fits(self, v: int, extra: int) -> bool:
        """Whether the ring holds a value with so many bits more, as far as a truncation needs."""
        most = self.avals[v].magnitude
        return iv.bits_of(most + iv.margin(most, self.f), max(0, self.f + extra)) <= self.k - 2

    def _extras(self, eqn: Eqn) -> int:
        return sum(self.extra.get(v, 0) for v in factors(eqn))

    # -- public factors ---------------------------------------------------------------------------------------

    def _secret(self, eqn: Eqn) -> int:
        (secret,) = (v for v in eqn.ins if self.avals[v].where != PUBLIC)
        return secret

    def _factor(self, eqn: Eqn) -> tuple[int, int] | None:
        return factor(eqn, self.avals, self.maker, self.k, self.f)

    def _following(self, eqn: Eqn, bits: int) -> tuple[int, int, int] | None:
        """Return the result, m and t of the one product with a public number that reads a product."""
        v = eqn.outs[0]
        while v not in self.kept and len(self.uses.get(v, ())) == 1:
            reader = self.eqns[self.uses[v][0]]
            if reader.op in MOVES:
                v = reader.outs[0]
                continue
            if reader.op not in BY_PUBLIC or reader.outs[0] in self.fine:
                return None
            factor = self._factor(reader)
            if factor is None or not factor[0] or not factor[1]:
                return None
            times, t = factor
            most = self.avals[eqn.outs[0]].magnitude
            most = (most + iv.margin(most, self.f)) * abs(times)
            if bits + t > self.k - 2 or iv.bits_of(most, self.f + bits) > self.k - 2:
                return None
            return reader.outs[0], times, t
        return None

    # -- prices -----------------------------------------------------------------------------------------------

    def _pays(self, eqn: Eqn, n: int, bits: int, held: Mapping[int, int]) -> bool:
        name = PRODUCTS[eqn.op]
        now, then = self._prices(held)
        now.append((f"{name}_trunc", n, {"f": bits}))
        then.append((f"{name}_early" if self.early else name, n, {}))
        return self.p.price(*then) < self.p.price(*now)

    def _prices(self, held: Mapping[int, int]) -> tuple[Calls, Calls]:
        """Return the calls of all that reads such values, if they are held as ever and as here."""
        now: Calls = []
        then: Calls = []
        for eqn in self._read_by(held):
            n = self.avals[eqn.outs[0]].size
            if is_product(eqn, self.avals):
                name = f"{PRODUCTS[eqn.op]}_trunc"
                before = self.f + self._extras(eqn)
                after = self.f + sum(self._now(held, v) for v in factors(eqn))
            else:
                factor = self._factor(eqn)
                assert factor is not None
                name, before = "trunc", factor[1] + self.extra.get(self._secret(eqn), 0)
                after = factor[1] + self._now(held, self._secret(eqn))
            now += [(name, n, {"f": before})] if before > 0 else []
            then += [(name, n, {"f": after})] if after > 0 else []
        return now, then

    def _read_by(self, held: Mapping[int, int]) -> Iterator[Eqn]:
        for at in sorted({at for v in held for at in self.uses.get(v, ())}):
            if self.eqns[at].op not in SUMS:
                yield self.eqns[at]
