"""How many bits of a value count, by what its readers need of it (decision 0077).

A share over Z/2^k is one over Z/2^m, too, for any m ≤ k: sums and products modulo 2^k are right modulo 2^m. So if
all that reads a value is an opening, a comparison or a product that its proven range fits into m bits, whatever makes
it exchanges m bits of each element. And a product that is rounded to fewer than its own bits less f needs no account
of its wrap: a round less (`protocols/rep3/lift.py`). A run follows from it what a Program's equations do one by one:
values, ranges and errors are the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.array import beside
from tacit.array import intervals as iv
from tacit.array.beside import COMPARED
from tacit.array.bounds import (
    difference_bits,
    end_units,
    input_bits,
    least_bits,
    least_units,
    scale_of,
    tournament_bits,
    value_bits,
)
from tacit.array.late import PRODUCTS, factors, is_product
from tacit.array.loop import infer_once
from tacit.array.ops import table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.scales import BY_PUBLIC, USUAL, Rounding, factor, scales
from tacit.array.schema import wanted
from tacit.array.words import looked_at
from tacit.core.blocks import elements
from tacit.core.share import Share, apart, join
from tacit.errors import RangeError
from tacit.gadgets import approximate, smooth, tournament
from tacit.gadgets.tournament import ROOM, cheapest

if TYPE_CHECKING:
    from tacit.array.runtime import Format, Runtime
    from tacit.core.protocol import Protocol

Array = npt.NDArray[Any]
SPARE = 8
"""Bits that an opened value has beyond its range: so what a false assumption makes of it is seen (`outside`)."""
SELECTING = COMPARED | {"select", "extreme"}
"""Operations that make numbers of any width, as products do."""
SHOWN = 1
"""Such bits of a function's result that wraps not far beyond its range, whatever the operand: others say no more."""
FUNCTIONS = frozenset({"div", "sqrt", "rsqrt", "exp", "log", *smooth.NAMES})
"""Operations whose last step makes numbers of any width, whatever they read."""
WORK = 100_000_000
"""Bytes that a link carries in a second from which on a call's work counts beside its bytes."""
WORD = 64
"""Bits of a word: what takes no more is held and computed in one, also where the format's elements are of two."""
LEVELS = 64
"""How many equations back one looks, up to products, to see what fewer bits of a value save."""
NUMBERS = frozenset({"greatest", "least", "distance"})


@dataclass(frozen=True, slots=True)
class Widths:
    """What a run follows."""

    roundings: list[Rounding]
    """How each group's results are held, with the ring in which they are made."""
    needed: dict[int, int]
    """The bits that all readers of a value need."""
    short: frozenset[int] = frozenset()
    """Products whose wrap does not count: rounding them is no round of its own."""
    price: int = 0
    """What the calls are worth that depend on all this (`core.protocol.price`)."""


def widths(
    groups: Sequence[list[Eqn]],
    outputs: Sequence[int],
    avals: Mapping[int, Aval],
    how: Mapping[int, Rounding],
    p: Protocol,
    fmt: Format,
    opened: bool = False,
    lifts: bool = True,
) -> Widths:
    """Go through a program backwards: what reads a value says how many of its bits count.

    Of its outputs all count, or if they are only `opened` afterwards, those that this needs. Where that is worth less,
    a value is made with the bits of its range, and lifted for readers that need more.
    """
    usual = [how.get(group[0].outs[0], USUAL) for group in groups]
    if not p.offers("select_narrowed"):
        return Widths(usual, {})
    maker = {v: eqn for group in groups for eqn in group for v in eqn.outs}
    # Truth values need no more than differences, whatever becomes of them.
    numbers = [e for group in groups for e in group if any(avals[v].kind != "bool" for v in e.outs)]
    uses = Counter(v for eqn in numbers for v in set(eqn.ins))
    finder = _Finder(avals, maker, uses, how, p, fmt, lifts)
    for v in outputs:
        finder.read(v, finder.opening(v) if opened else fmt.width)
    made = [finder.made(*each) for each in zip(reversed(groups), reversed(usual), strict=True)]
    return Widths(made[::-1], finder.needed, frozenset(finder.short), finder.price)


Way = tuple[dict[int, int], list[list[Eqn]], Widths]
"""The fractional bits of values beyond the format's, what is worked on side by side, and with which bits."""


def ways(program: Program, ins: Sequence[Aval], p: Protocol, fmt: Format, opened: bool) -> Way:
    """Return how a program runs on such inputs; the second time from memory: a party that plans a job runs it then."""
    of = p.party
    key = "way", id(p.cards), of.network, of.n, fmt, opened, *ins
    known: tuple[object, Way] | None = program.memo.get(key)
    if known is None:
        # The cards are kept, so that no others get their number.
        known = program.memo[key] = p.cards, _way(program, infer_once(program, ins, fmt), p, fmt, opened)
    return known[1]


def _way(program: Program, avals: dict[int, Aval], p: Protocol, fmt: Format, opened: bool) -> Way:
    """Choose what is rounded later: of all products, of none, or of those whose rounding is a round of its own.

    Then, whether values are lifted for some of their readers.
    """
    held: list[dict[int, Rounding]] = []

    def way(how: dict[int, Rounding]) -> Way:
        held.append(how)
        extra = {v: r.extra for v, r in how.items() if r.extra}
        groups = list(beside.groups(program, avals, p, fmt, extra))
        if any(beside.many(group, avals) for group in groups):
            groups = list(beside.groups(program, avals, p, fmt, extra, None))
            bits = widths(groups, program.outputs, avals, how, p, fmt, opened, False).needed
            groups = list(beside.groups(program, avals, p, fmt, extra, bits))
        return extra, groups, widths(groups, program.outputs, avals, how, p, fmt, opened, False)

    asked = [way(scales(program, avals, p, fmt))]
    if asked[0][2].needed:
        products = frozenset(e.outs[0] for e in program.eqns if is_product(e, avals))
        asked.append(way(scales(program, avals, p, fmt, products)))
        if (short := asked[1][2].short) != products:
            asked.append(way(scales(program, avals, p, fmt, short)))
    at = min(range(len(asked)), key=lambda i: asked[i][2].price)
    extra, groups, made = asked[at]
    if made.needed:
        lifted = widths(groups, program.outputs, avals, held[at], p, fmt, opened)
        made = min(made, lifted, key=lambda each: each.price)
    return extra, groups, made


def outside(opened: Array, aval: Aval) -> bool:
    """Whether opened numbers pass their range by as much as it is: so far no rounding goes, but a false assumption."""
    by = aval.magnitude + 1
    return bool(opened.size and (opened.min() < aval.lo - by or opened.max() > aval.hi + by))


def refuse(doubted: Aval | None) -> None:
    """Raise RangeError for a result that is outside its range: by the last message, so nobody else learns of it."""
    if doubted is not None:
        raise RangeError(
            f"a result that was to lie within [{doubted.lo:.6g}, {doubted.hi:.6g}] is far from that: something that "
            "the program assumes of its values (tacit.assume) is false, and no result of this run can be trusted"
        )


def widened(rt: Runtime, shares: list[Share], outs: Sequence[Aval]) -> list[Share]:
    """Return an equation's results as their readers need them: numbers of fewer bits are lifted, all at once."""
    if not rt.rounding.lift:
        return shares
    numbers = [i for i, a in enumerate(outs) if a.kind != "bool"]
    low = least_units(beside.hull([outs[i] for i in numbers]), rt.f)
    row, q = join([shares[i].reshape(shares[i].size) for i in numbers]), rt.over(rt.rounding.short)
    row = tournament.widened(rt.over(rt.rounding.lift), q, tournament.stored(q, row), low)
    found = dict(zip(numbers, apart(row, [outs[i].size for i in numbers]), strict=True))
    return [found[i].reshape(*a.shape) if i in found else shares[i] for i, a in enumerate(outs)]


class _Finder:
    """Knows what the readers of a value need, of all that come after an equation."""

    def __init__(
        self,
        avals: Mapping[int, Aval],
        maker: Mapping[int, Eqn],
        uses: Mapping[int, int],
        how: Mapping[int, Rounding],
        p: Protocol,
        fmt: Format,
        lifts: bool,
    ) -> None:
        self.maker, self.uses, self.how, self.lifts = maker, uses, how, lifts
        self.costs: dict[tuple[int, int], int] = {}
        # Where bytes are hardly more than the processor's work, to lift is about as much work again.
        self.again = 2 if p.party.network.bytes_per_s >= WORK else 1
        self.avals, self.p, self.k, self.f = avals, p, fmt.width, fmt.frac_bits
        self.extra = {v: r.extra for v, r in how.items()}
        self.needed: dict[int, int] = {}
        self.short: set[int] = set()
        self.price = 0

    def worth(self, width: int, name: str, n: int, **sizes: Any) -> int:
        """Return the price of a call over a ring, the whole one if 0."""
        p = self.p.over(Ring(width)) if width else self.p
        return p.price((name, n, sizes))

    def call(self, width: int, name: str, n: int, **sizes: Any) -> None:
        """Count a call."""
        self.price += self.worth(width, name, n, **sizes)

    def read(self, v: int, bits: int) -> None:
        """Note that a reader needs so many bits of a value, if that is held as numbers on shares."""
        if self.avals[v].where != PUBLIC and self.avals[v].kind != "bool":
            self.needed[v] = max(self.needed.get(v, 0), min(bits, self.k))

    def made(self, group: list[Eqn], usual: Rounding) -> Rounding:
        """Decide in which ring the results of equations are made, and note what that needs of their operands."""
        wanted_bits = max([self.needed.get(v, 0) for e in group for v in e.outs], default=0)
        narrow = self._narrow(group, usual, wanted_bits) if self.lifts else 0
        made = self._made(group, usual, narrow or wanted_bits)
        # What is not computed, as |x| of x ≥ 0, has the bits that were asked for, over whatever ring.
        low = made.width or narrow
        if narrow and low < wanted_bits:
            self.call(wanted_bits, "trunc", self._numbers(group), f=wanted_bits - low)
            made = replace(made, short=low, lift=wanted_bits)
        return made

    def _made(self, group: list[Eqn], usual: Rounding, wanted_bits: int) -> Rounding:
        """Do so where so many bits of the results are needed."""
        eqn = group[0]
        if eqn.op == "scan":  # whatever its results are, the first of which may be public, as a counter is
            self._all(group, self.k)
            return usual
        if eqn.op == "reveal":
            return self._opened(group, usual)
        if self.avals[eqn.outs[0]].where != SECRET:
            return usual  # in the clear
        if eqn.op in ("extreme", "running"):
            return self._tournament(group, usual, wanted_bits)
        if eqn.op in COMPARED:
            return self._compared(group, usual, wanted_bits)
        if eqn.op == "bits":
            self._all(group, looked := eqn.params["at"][-1] + 1)
            return self._word(usual, looked)
        if eqn.op == "part" and wanted_bits and self.k <= WORD:
            return self._part(group, usual, wanted_bits)
        if eqn.op in ("hot", "lookup", "spread") and wanted_bits and self.k <= WORD:
            return self._by_index(group, usual, wanted_bits)
        if wanted_bits and eqn.op in ("select", "convert", "weigh", "word"):
            return self._bits(group, usual, wanted_bits)
        if wanted_bits and self._linear(eqn, usual):
            self._all(group, wanted_bits)
            return self._word(usual, wanted_bits)
        shift = self._shift(eqn, usual) if wanted_bits and eqn.op in BY_PUBLIC else None
        if shift is not None and wanted_bits + shift <= self.k:
            return self._cut(group, usual, wanted_bits, shift)
        if wanted_bits and eqn.op in PRODUCTS and all(self.avals[v].where != PUBLIC for v in eqn.ins):
            return self._product(group, usual, wanted_bits)
        if shift is not None and not usual.quiet:
            self.call(0, "trunc", self.avals[eqn.outs[0]].size, f=self.f)
        short = self._in_a_word(group)
        for e in group:
            for i, v in enumerate(e.ins):
                self.read(v, WORD if short and i == len(e.ins) - 1 else self.k)
        if short:
            return replace(usual, of=WORD)
        ends = eqn.op in FUNCTIONS and shift is None and self.k <= WORD
        return self._in(usual, wanted_bits) if wanted_bits and ends else usual

    def _in_a_word(self, group: list[Eqn]) -> bool:
        """Whether a quotient or a root over two words begins with its last operand's low word (`gadgets.refined`)."""
        eqn, n = group[0], sum(self.avals[e.outs[0]].size for e in group)
        y, out = self.avals[eqn.ins[-1]], self.avals[eqn.outs[0]]
        if self.k <= WORD or y.where == PUBLIC or y.lo < 0 or n > elements(self.p.party.network):
            return False
        m, least, bits = input_bits(y, self.f), max(least_bits(y, self.f), 0), value_bits(out)
        return eqn.op in approximate.SERIES and approximate.in_a_word(
            self.p, eqn.op, self.f, m, bits, least, n, end_units(y, self.f)
        )

    # -- values that are made narrow, and lifted ---------------------------------------------------------------

    def _numbers(self, group: list[Eqn]) -> int:
        """Return how many numbers equations have as results."""
        return sum(self.avals[v].size for e in group for v in e.outs if self.avals[v].kind != "bool")

    def _narrow(self, group: list[Eqn], usual: Rounding, bits: int) -> int:
        """Return the bits in which results are made, and then lifted to `bits`; 0 if it is worth less without."""
        outs = [v for e in group for v in e.outs if self.avals[v].kind != "bool"]
        sends = group[0].op in SELECTING or is_product(group[0], self.avals)
        if not bits or not outs or not sends or not self._as_ever(group[0], usual):
            return 0
        if len({self.avals[v].kind for v in outs}) > 1:  # of units that differ there is no range of all
            return 0
        low = tournament_bits(beside.hull([self.avals[v] for v in outs]), self.k, self.f) + ROOM
        if low + SPARE >= bits:  # those that show a false assumption are kept
            return 0
        lift = self.worth(bits, "trunc", self._numbers(group), f=bits - low)
        now, then = (sum(self._cost(e.outs[-1], b, LEVELS) for e in group) for b in (bits, low))
        return low if then + self.again * lift < now else 0

    def _as_ever(self, eqn: Eqn, usual: Rounding) -> bool:
        """Whether a result is held with the fractional bits of the format, and not as that of a factor that follows."""
        if usual.extra or usual.times != 1 or usual.done:
            return False
        return usual.drop is None or usual.drop == self.f + sum(self.extra.get(v, 0) for v in factors(eqn))

    def _cost(self, v: int, bits: int, levels: int) -> int:
        """Return about what it takes to have so many bits of a value, as far as that depends on how many they are.

        Of what several read each takes a share. Products end it: what they need of factors depends less on it.
        """
        found = self.costs.get((v, bits))
        if found is None:
            found, needed = self._own(v, bits)
            if needed and levels:
                ins = {u for u in self.maker[v].ins if u in self.maker and self.avals[u].kind != "bool"}
                found += sum(self._cost(u, needed, levels - 1) // max(1, self.uses[u]) for u in ins)
            self.costs[v, bits] = found
        return found

    def _own(self, v: int, bits: int) -> tuple[int, int]:
        """Return the price of an equation's own messages if so many bits of its result are made, and what it needs.

        Nothing where neither depends on the bits.
        """
        eqn = self.maker[v]
        if self.avals[v].where != SECRET or self.avals[v].kind == "bool":
            return 0, 0
        usual, n = self.how.get(eqn.outs[0], USUAL), self.avals[v].size
        ins = [self.avals[u] for u in eqn.ins]
        if eqn.op in COMPARED and not (eqn.op == "abs" and ins[0].lo >= 0):
            y = ins[1] if len(ins) > 1 else Aval((), ins[0].kind, 0, 0)
            fine = any(self.extra.get(u) for u in eqn.ins)
            most = max(bits, difference_bits([ins[0], y], self.f) + 1) + (self.f if fine else 0)
            name = "select_narrowed" if fine else "select"
            return (self.worth(bits, name, n), most) if most <= self.k else (0, 0)
        if eqn.op == "select" and ins[0].where == SECRET:
            return self.worth(bits, "select", n), bits
        if eqn.op == "extreme" and not eqn.params["place"]:
            return self._pooled(eqn, bits)
        if is_product(eqn, self.avals):
            drop = self.f if usual.drop is None else usual.drop
            if not drop:
                return self.worth(bits, PRODUCTS[eqn.op], n), 0
            of = self._of(eqn, usual, bits, drop)
            return self.worth(of, f"{PRODUCTS[eqn.op]}_into", n, f=drop, into=bits), 0
        return (0, bits) if self._linear(eqn, usual) else (0, 0)

    def _pooled(self, eqn: Eqn, bits: int, count: int = 1) -> tuple[int, int]:
        """Return the price of tournaments whose greatest have so many bits, and what these need of the values."""
        a = self.avals[eqn.ins[0]]
        least = tournament_bits(a, self.k, self.f)
        p = self.p.over(Ring(min(max(bits, least + ROOM), self.k)))
        price, q, _ = cheapest(p, a.shape[0], count * a.size // a.shape[0], least)
        return price, q.ring.width

    # -- one kind of equation after the other ------------------------------------------------------------------

    def _cut(self, group: list[Eqn], usual: Rounding, bits: int, shift: int) -> Rounding:
        """Round a product with a constant to so many bits."""
        self._all(group, bits + shift)
        if not shift:
            return self._word(usual, bits)
        self.call(bits + shift, "trunc_into", self.avals[group[0].outs[0]].size, f=shift, into=bits)
        return self._word(replace(usual, width=bits, of=bits + shift), bits + shift)

    def _bits(self, group: list[Eqn], usual: Rounding, bits: int) -> Rounding:
        """Truth values times numbers, and whole numbers as fixed-point ones, whose last bits are zero."""
        eqn, n = group[0], sum(self.avals[e.outs[0]].size for e in group)
        moved = eqn.op == "convert" and [self.avals[v].kind for v in (*eqn.ins, *eqn.outs)] == [
            "int",
            "fixed",
        ]
        # Operands of one word beside results of two would be of other words than these.
        fewer = moved and (bits <= WORD or self.k <= WORD)
        self._all(group, max(1, bits - self.f) if fewer else bits)
        made = self._word(self._in(usual, bits), bits)
        kinds = [self.avals[v].kind for v in eqn.ins if self.avals[v].where != PUBLIC]
        if eqn.op in ("weigh", "word") and self.p.offers("combine"):
            planes = len(eqn.params["weights"]) if eqn.op == "word" else len(kinds)
            self.call(bits, "combine", n * planes, planes=planes, widths=(bits,))
        elif eqn.op == "select" and kinds[:1] == ["bool"] and self.avals[eqn.outs[0]].kind != "bool":
            self.call(made.width, "select", n)
        elif eqn.op == "convert" and kinds == ["bool"]:
            self.call(made.width, "to_arith", n, planes=1)
        return made

    def _part(self, group: list[Eqn], usual: Rounding, bits: int) -> Rounding:
        """Make part of a number, of all its bits or of those that are looked at."""
        a = beside.hull([self.avals[e.ins[0]] for e in group])
        self._all(group, looked_at(self.p, bits, a.size, a, group[0].params) or self.k)
        return self._in(usual, bits)

    def _by_index(self, group: list[Eqn], usual: Rounding, bits: int) -> Rounding:
        """Take an index apart, or make sums of products with its bits, which are right modulo any 2^m."""
        for eqn in group:
            at = 0 if eqn.op == "hot" else 1
            n = self.avals[eqn.ins[0]].shape[1] if eqn.op == "lookup" else eqn.params["size"]
            for i, v in enumerate(eqn.ins):
                self.read(v, (n - 1).bit_length() if i == at else bits)
        return self._in(usual, bits)

    def _all(self, group: list[Eqn], bits: int) -> None:
        for eqn in group:
            for v in eqn.ins:
                self.read(v, bits)

    def _in(self, usual: Rounding, bits: int) -> Rounding:
        return replace(usual, width=bits) if bits < self.k else usual

    def _word(self, made: Rounding, bits: int) -> Rounding:
        """Let an equation that reads, and makes, so many bits do so in words of 64, if these are not the format's."""
        return replace(made, word=True) if bits <= WORD < self.k else made

    def _linear(self, eqn: Eqn, usual: Rounding) -> bool:
        """Whether results are sums of operands times whole numbers: shares of both are right modulo the same 2^m."""
        if usual.done or table()[eqn.op].local:
            return True
        public = [v for v in eqn.ins if self.avals[v].where == PUBLIC]
        if eqn.op not in ("mul", "matmul") or not public:
            return False
        return usual.quiet or self.avals[public[0]].kind != "fixed"

    def opening(self, v: int) -> int:
        """Return the bits that are needed of a value that is opened."""
        a, made = self.avals[v], self.maker.get(v)
        of = made.op if made is not None and a.where == SECRET and self.k <= WORD else ""
        # Quotients and the whole part of a logarithm have no such end; sums have room up to 2.
        wraps = of in FUNCTIONS and of not in ("div", "log") and 2 * a.magnitude + 1 >= 2
        return iv.rounded_bits(a.magnitude, scale_of(a, self.f)) + 1 + (SHOWN if wraps else SPARE)

    def _shift(self, eqn: Eqn, usual: Rounding) -> int | None:
        """Return the bits that a product with a constant loses; None if it is not multiplied and rounded once."""
        found = factor(eqn, self.avals, self.maker, self.k, self.f)
        if found is None:
            return None
        (secret,) = (v for v in eqn.ins if self.avals[v].where != PUBLIC)
        return max(0, found[1] + self.extra.get(secret, 0) - usual.extra)

    def _opened(self, group: list[Eqn], usual: Rounding) -> Rounding:
        avals = [self.avals[e.ins[0]] for e in group]
        if any(a.where == PUBLIC or a.kind == "bool" for a in avals):
            return usual
        bits = min(max(self.opening(e.ins[0]) for e in group), self.k)
        self._all(group, bits)
        return self._in(usual, bits)

    def _compared(self, group: list[Eqn], usual: Rounding, bits: int) -> Rounding:
        """Find signs of differences, of whose bits all count, and select as many bits as are needed."""
        fine = any(self.extra.get(v) for e in group for v in e.ins)
        if any(self.avals[e.ins[0]].lo >= 0 for e in group if e.op == "abs"):
            self._all(group, bits or self.k)  # one that is not computed
            return self._word(usual, bits or self.k)
        least = n = 0
        for eqn in group:
            x = self.avals[eqn.ins[0]]
            y = self.avals[eqn.ins[1]] if len(eqn.ins) > 1 else Aval((), x.kind, 0, 0)
            least = max(least, difference_bits([x, y], self.f))
            n += x.size
        self.call(0, "sign", n, bits=least)
        numbers = any(not NUMBERS.isdisjoint(wanted(e)) for e in group)
        more = self.f if fine else 0
        most = max(bits, least + 1) + more
        if bits and numbers and most > WORD:  # made of what is compared, in the same words
            bits = max(bits, WORD + 1)
            most = max(most, bits + more)
        if most > self.k or (fine and numbers and not bits):
            self._all(group, self.k)
            if numbers:
                self.call(0, "select_trunc" if fine else "select", n, **({"f": self.f} if fine else {}))
            return usual
        self._all(group, most)
        if not numbers:
            return self._word(usual, most)
        made = self._word(self._in(usual, bits), most)
        self.call(made.width, "select_narrowed" if fine else "select", n)
        return made

    def _tournament(self, group: list[Eqn], usual: Rounding, bits: int) -> Rounding:
        """Differences are compared; of the values, those bits are held that are needed of the greatest, or of these."""
        eqn, a = group[0], self.avals[group[0].ins[0]]
        least = tournament_bits(a, self.k, self.f)
        if eqn.params.get("place"):
            most = (
                max(bits, least + ROOM) if self.k > WORD else least + ROOM
            )  # in the words of what is compared
            self._all(group, most)
            return self._word(usual, most)
        bits = min(max(bits, least + ROOM), self.k)
        made = self._in(usual, bits)
        if eqn.op == "extreme":
            price, read = self._pooled(eqn, bits, len(group))
            self.price += price
            self._all(group, read)
            return self._word(made, max(bits, read))
        self._all(group, bits)
        return self._word(made, bits)

    def _product(self, group: list[Eqn], usual: Rounding, bits: int) -> Rounding:
        eqn = group[0]
        ins = [self.avals[v] for v in eqn.ins]
        drop = 0
        if all(a.kind == "fixed" for a in ins):
            drop = self.f if usual.drop is None else usual.drop
        name, n = PRODUCTS[eqn.op], sum(self.avals[e.outs[0]].size for e in group)
        if not drop:
            self._all(group, bits)
            made = self._word(self._in(usual, bits), bits)
            self.call(made.width, f"{name}_early" if usual.early else name, n)
            return made
        of = self._of(eqn, usual, bits, drop)
        self._all(group, of)
        self.call(of, f"{name}_into", n, f=drop, into=bits)
        if bits + drop <= of:
            self.short.add(eqn.outs[0])
        made = replace(usual, width=bits, of=of) if of < self.k or bits < self.k else usual
        return self._word(made, of)

    def _of(self, eqn: Eqn, usual: Rounding, bits: int, drop: int) -> int:
        """Return the bits of a product that is rounded to fewer: with `drop` more its wrap does not count."""
        most = self.avals[eqn.outs[0]].magnitude
        most = (most + iv.margin(most, self.f)) * abs(usual.times)
        frac = 2 * self.f + sum(self.extra.get(v, 0) for v in factors(eqn))
        whole = min(max(iv.bits_of(most, frac), drop) + 2, self.k)  # no less than can be shifted by so many
        cut = bits + drop
        if cut <= whole:
            return cut
        if cut > self.k:
            return whole
        # A round more or, of both factors, some bits more.
        n, name = self.avals[eqn.outs[0]].size, f"{PRODUCTS[eqn.op]}_into"
        less, more = (self.worth(of, name, n, f=drop, into=bits) for of in (cut, whole))
        # What is shared from the start is there with all its bits.
        read = sum(self.avals[v].size for v in eqn.ins if v in self.maker or self.avals[v].where != SECRET)
        return cut if less + read * (cut - whole) // 8 <= more else whole
