"""z = m1 + m2 over Z/2^w, m1 at P1 and m2 at P2, becomes shares of z/2^f over Z/2^k.

Each shifts its part on its own machine; the sum of both is z/2^f, off by a carry, as z is by a multiple of 2^w: by
one if either part has its top bit, as that of z is 0. So the wrap is 1 − u·v with a bit u that P1 knows and v that
P2 knows, and P0, who knows their masks α and β, shares α·β: Beaver's product (CRYPTO 1991) with the dealer in P0's
place. Then both add up what they have, less masks that P0 knows, and exchange it. With k ≤ w − f the wrap does not
count, and only the exchange is left (docs/decisions/0050).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring, ring_of
from tacit.core.factors import lifted_bits
from tacit.core.share import Share
from tacit.kernels import Cut, Masks, Packed, rows
from tacit.kernels.waves import lift_bit, lift_part, lift_product
from tacit.protocols.rep3.turns import Steps, leave_or_run

if TYPE_CHECKING:
    from tacit.crypto.prg import Source
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Lift:
    """From Z/2^width, less `shift` bits, to Z/2^to; messages are named after `label`. Make it by `lift_of`."""

    width: int
    shift: int
    label: str
    to: int
    bits: int = field(init=False)
    """How many bits of the wrap's multiple count."""
    add: int = field(init=False)
    """What P1 adds before the shift, mod 2^128: 2^(w−2), so that no sum is negative, less one if f > 0, so that
    multiples of 2^f stay exact."""
    after: int = field(init=False)
    """What P1 adds after it: what undoes both, and −2^(w−f) for a wrap."""
    narrow: Ring = field(init=False)
    """Z/2^width."""
    words: Ring = field(init=False)
    """The ring of whole words in which parts are held."""
    stream: str = field(init=False)
    """What is drawn is named after it."""

    def __post_init__(self) -> None:
        w, f = self.width, self.shift
        up, quarter = int(f > 0), (1 << w) >> 2
        for name, value in (
            ("bits", lifted_bits(self.to, w, f)),
            ("add", (quarter - up) % 2**128),
            ("after", (up - (quarter >> f) - (1 << (w - f))) % 2**128),
            ("narrow", ring_of(w)),
            ("words", ring_of(128 if w > 64 else 64)),
            ("stream", self.label.replace(".", "/", 1)),
        ):
            object.__setattr__(self, name, value)

    def shifted(self, ring: Ring, m: Array, out: Array) -> None:
        """Write the part of a party that adds nothing, where the wrap does not count, nor any bit above that."""
        if self.words.wide:
            out[...] = ring.low(self.words.shr(m, self.shift))
        else:
            np.right_shift(m, np.uint64(self.shift), out=out)
            np.bitwise_and(out, ring.ones, out=out)

    def end(self, with0: Source, ring: Ring, t: Array, lead: bool) -> Cut:
        """Return what makes what a party exchanges of its product, less what it draws as t: the wrap does not count."""
        # In words of the parts, the low bits of which are packed.
        same = (self.to > 64) == (self.width > 64)
        drawn = with0.keep(ring, t) if same else self.words.from_words(with0.fill(ring, t))
        add, after = (self.add, self.after) if lead else (0, 0)
        return Cut(self.to, drawn, add, after, self.shift)

    def message(self, n: int) -> int:
        """Return the bytes of P0's message."""
        return -(-n * self.bits // 8)


@lru_cache(maxsize=1 << 10)
def lift_of(width: int, shift: int, label: str, to: int) -> Lift:
    """Return a lift, the same object each time."""
    return Lift(width, shift, label, to)


Into = tuple[Array, Array]
"""Where the parts of a result are written."""


def room(q: Rep3, shape: int | tuple[int, ...]) -> Into:
    """Return empty parts, whose pieces are written in place."""
    return np.empty(shape, q.ring.dtype), np.empty(shape, q.ring.dtype)


def in_place(
    p: Rep3, shape: tuple[int, ...], make: Callable[[Rep3, int, int, Into], Steps[Share]], bits: int = 64
) -> Share:
    """Run `make(p, start, stop, into)` on pieces, as `run` does; each writes its part of the result to `into`."""
    n = prod(shape)
    whole = first, second = room(p, n)

    def steps(q: Rep3, low: int, high: int) -> Steps[Share]:
        into = whole if high - low == n else (first[low:high], second[low:high])
        return make(q, low, high, into)

    leave_or_run(p, n, steps, bits)
    return Share(whole if len(shape) == 1 else (first.reshape(shape), second.reshape(shape)))


def first(q: Rep3, how: Lift, with1: Source, with2: Source, into: Into, *before: Array) -> Share:
    """P0's part. 1. P0 → P1: what comes `before`, and a share of α·β if the wrap counts."""
    party, ring, bits, n = q.party, q.ring, how.bits, into[0].size
    if bits:
        beta, gamma = with2.packed(1, n, ring), with2.packed(bits, n, ring)
        before = (*before, lift_product(with1.packed(1, n, ring), beta, gamma, bits, n))
    party.send(party.peer(1), how.label, *before)
    party.flush()  # the others wait for this, and not for P0's own shares
    return Share((with2.fill(ring, into[0]), with1.fill(ring, into[1])))


NOTHING = np.empty(0, np.uint8)


class Second(NamedTuple):
    """What P1 draws before it has P0's message."""

    alpha: Array
    """P1's mask, nothing if the wrap does not count."""
    into: Into

    @classmethod
    def draw(cls, q: Rep3, how: Lift, with0: Source, into: Into) -> Second:
        """Draw what P0 draws."""
        alpha = with0.packed(1, into[0].size, q.ring) if how.bits else NOTHING
        with0.fill(q.ring, into[0])
        return cls(alpha, into)

    def run(self, q: Rep3, m1: Array, gamma: Array, how: Lift) -> Steps[Share]:
        """P1's part, which has P0's message. 2. P1 → P2: masked u, if the wrap counts. 3. P1 → P2: masked part."""
        t1, last = self.into
        hat = theirs = NOTHING
        if how.bits:
            hat = lift_bit(m1, self.alpha, how.add, how.width)
            theirs = yield from _told(q, +1, how, hat)
        held = (self.alpha, gamma, t1)
        yield from _exchanged(q, +1, how, m1, (hat, theirs), held, (how.add, how.after), last)
        return Share(self.into)


class Third(NamedTuple):
    """What P2 draws before it sends its masked v."""

    beta: Array
    """P2's mask, nothing if the wrap does not count."""
    gamma: Array
    """Its share of α·β, or nothing."""
    into: Into

    @classmethod
    def draw(cls, q: Rep3, n: int, how: Lift, with0: Source, into: Into) -> Third:
        """Draw what P0 draws."""
        ring, bits = q.ring, how.bits
        beta = with0.packed(1, n, ring) if bits else NOTHING
        gamma = with0.packed(bits, n, ring) if bits else NOTHING
        with0.fill(ring, into[1])
        return cls(beta, gamma, into)

    def run(self, q: Rep3, m2: Array, how: Lift) -> Steps[Share]:
        """P2's part. 2. P2 → P1: masked v, which needs nothing of P0's, if the wrap counts. 3. P2 → P1: masked part."""
        last, t0 = self.into
        hat = theirs = NOTHING
        if how.bits:
            hat = lift_bit(m2, self.beta, 0, how.width)
        yield ()
        if how.bits:
            theirs = yield from _told(q, -1, how, hat)
        held = (self.beta, self.gamma, t0)
        yield from _exchanged(q, -1, how, m2, (hat, theirs), held, (0, 0), last)
        return Share(self.into)


def _told(q: Rep3, offset: int, how: Lift, hat: Array) -> Steps[Array]:
    """Exchange masked top bits."""
    other, label = q.party.peer(offset), how.label + "-bit"
    q.party.send(other, label, hat)
    (theirs,) = yield ((other, label, hat.size),)
    return theirs


def _exchanged(
    q: Rep3,
    offset: int,
    how: Lift,
    m: Array,
    hats: tuple[Array, Array],
    held: tuple[Array, Array, Array],
    constants: tuple[int, int],
    last: Array,
) -> Steps[None]:
    """Exchange masked parts, and write their sum."""
    own, gamma, t = held
    mine = lift_part(m, *hats, own, gamma, t, *constants, how.width, how.shift, offset > 0, q.ring.width)
    yield from added(q, offset, how.label + "-part", mine, last)


def added(q: Rep3, offset: int, label: str, mine: Array, last: Array) -> Steps[None]:
    """Exchange packed parts with the compute party `offset` places after this one, and write their sum to `last`."""
    other, ring = q.party.peer(offset), q.ring
    q.party.send(other, label, mine)
    (theirs,) = yield ((other, label, mine.size),)
    rows.placed(mine, theirs, None, rows.ADD, ring.width, last.size, ring.wide, last)


class Product(Protocol):
    """A party's part of a product's elements."""

    def __call__(self, q: Rep3, low: int, high: int, masks: Masks, cut: Cut | None = None) -> Array:
        """Return elements from `low` to `high`, masked: flat, or what `cut` makes of them, packed."""


def product_into(p: Rep3, product: Product, shape: tuple[int, ...], how: Lift) -> Share:
    """Lift an additively shared z = z0 + z1 + z2 (a local product) without resharing it first.

    P1 and P2 move a draw r of theirs from one part to the other: the part alone says how z is rounded, and P0 knows
    its own mask and how z2 depends on the factors.
    1. P0 → P1: z0, masked by a draw with P2, and what the lift needs. 2. and 3. as every lift.
    """
    return in_place(p, shape, lambda q, low, high, into: _product(q, product, low, high, how, into))


def _product(q: Rep3, product: Product, low: int, high: int, how: Lift, into: Into) -> Steps[Share]:
    party, ring, n, narrow, stream = q.party, q.ring, high - low, how.narrow, how.stream
    if party.index == 0:
        with2, with1 = q.common(+2, stream), q.common(+1, stream)
        masks = Masks(None, with2.mask(how.width, n, narrow))
        return first(q, how, with1, with2, into, product(q, low, high, masks, Cut(how.width)))
    if party.index == 1:
        size = narrow.wire_bytes(n)
        r, with0 = _moved(q, +1, narrow, n, how, True), q.common(-1, stream)
        sent = ((party.peer(-1), how.label, size + how.message(n)),)
        if how.bits:
            second = Second.draw(q, how, with0, into)
            (buf,) = yield sent
            masks = Masks(buf[:size], None, r)
            return (yield from second.run(q, product(q, low, high, masks), buf[size:], how))
        end = how.end(with0, ring, into[0], True)
        (buf,) = yield sent
        yield from added(q, +1, how.label + "-part", product(q, low, high, Masks(buf, None, r), end), into[1])
        return Share(into)
    with0 = q.common(+1, stream)
    masks = Masks(with0.mask(how.width, n, narrow), None, _moved(q, -1, narrow, n, how, False))
    if how.bits:
        third = Third.draw(q, n, how, with0, into)
        return (yield from third.run(q, product(q, low, high, masks), how))
    mine = product(q, low, high, masks, how.end(with0, ring, into[1], False))
    yield ()
    yield from added(q, -1, how.label + "-part", mine, into[0])
    return Share(into)


def _moved(q: Rep3, offset: int, narrow: Ring, n: int, how: Lift, less: bool) -> Packed | None:
    """Draw r, of the bits that are rounded off."""
    if not how.shift:
        return None
    return Packed(q.common(offset, "rep3/rounding").mask(how.shift, n, narrow), how.shift, less)
