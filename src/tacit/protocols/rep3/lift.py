"""z = m1 + m2 over Z/2^w, m1 at P1 and m2 at P2, becomes shares of z/2^f over Z/2^k.

Each shifts its part on its own machine; the sum of both is z/2^f, off by a carry, as z is by a multiple of 2^w: by
one if either part has its top bit, as that of z is 0. So the wrap is 1 − u·v with a bit u that P1 knows and v that
P2 knows, and P0, who knows their masks α and β, shares α·β: Beaver's product (CRYPTO 1991) with the dealer in P0's
place. Then both add up what they have, less masks that P0 knows, and exchange it. With k ≤ w − f the wrap does not
count, and only the exchange is left (docs/decisions/0050).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.factors import lifted_bits
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.kernels import Packed
from tacit.kernels.waves import lift_bit, lift_part, lift_product
from tacit.protocols.rep3.turns import Steps, leave_or_run

if TYPE_CHECKING:
    from tacit.crypto.prg import Source
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]


class Lift(NamedTuple):
    """From Z/2^width, less `shift` bits, to a ring; messages are named after `label`."""

    width: int
    shift: int
    label: str

    def bits(self, ring: Ring) -> int:
        """Return how many bits of the wrap's multiple count in the ring."""
        return lifted_bits(ring.width, self.width, self.shift)

    def constants(self) -> tuple[int, int]:
        """Return what P1 adds before and after the shift, mod 2^64."""
        return _constants(self.width, self.shift)

    def cut(self, ring: Ring, m: Array, lead: bool) -> Array:
        """Return a party's part where the wrap does not count."""
        add, after = (np.uint64(c if lead else 0) for c in self.constants())
        narrow = Ring(self.width)
        return ring.reduce(narrow.shr(narrow.reduce(m + add), self.shift) + after)

    def message(self, ring: Ring, n: int) -> int:
        """Return the bytes of P0's message."""
        return ring.wire_bytes(n, self.bits(ring))


@lru_cache(maxsize=256)
def _constants(width: int, shift: int) -> tuple[int, int]:
    """Return the constants of a lift.

    2^(w−2), so that no sum is negative, less one if f > 0, so that multiples of 2^f stay exact; then what undoes
    both, and −2^(w−f) for a wrap.
    """
    up, quarter = int(shift > 0), (1 << width) >> 2
    after = up - (quarter >> shift) - (1 << (width - shift))
    return (quarter - up) % 2**64, after % 2**64


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
    """P0's part. 1. P0 → P1: what comes `before`, and a share of α·β."""
    party, ring, bits, n = q.party, q.ring, how.bits(q.ring), into[0].size
    beta, gamma = with2.packed(1, n, ring), with2.packed(bits, n, ring)
    alpha = with1.packed(1, n, ring)
    party.send(party.peer(1), how.label, *before, lift_product(alpha, beta, gamma, bits, n))
    party.flush()  # the others wait for this, and not for P0's own shares
    return Share((with2.fill(ring, into[0]), with1.fill(ring, into[1])))


class Second(NamedTuple):
    """What P1 draws before it has P0's message."""

    alpha: Array
    into: Into

    @classmethod
    def draw(cls, q: Rep3, how: Lift, with0: Source, into: Into) -> Second:
        """Draw what P0 draws."""
        alpha = with0.packed(1, into[0].size, q.ring)
        with0.fill(q.ring, into[0])
        return cls(alpha, into)

    def run(self, q: Rep3, m1: Array, gamma: Array, how: Lift) -> Steps[Share]:
        """P1's part, which has P0's message. 2. P1 → P2: masked u. 3. P1 → P2: masked part."""
        party, ring, n, t1 = q.party, q.ring, m1.size, self.into[0]
        w, f, (add, constant) = how.width, how.shift, how.constants()
        other, bit, part = party.peer(1), how.label + "-bit", how.label + "-part"
        hat = lift_bit(m1, self.alpha, add, w)
        party.send(other, bit, hat)
        (theirs,) = yield ((other, bit, hat.size),)
        mine = lift_part(m1, hat, theirs, self.alpha, gamma, t1, add, constant, w, f, True, ring.width)
        party.send(other, part, ring.pack(mine))
        (last,) = yield ((other, part, ring.wire_bytes(n)),)
        return Share((t1, ring.add(mine, ring.unpack(last, (n,)), self.into[1])))


class Third(NamedTuple):
    """What P2 draws before it sends its masked v."""

    beta: Array
    gamma: Array
    into: Into

    @classmethod
    def draw(cls, q: Rep3, n: int, how: Lift, with0: Source, into: Into) -> Third:
        """Draw what P0 draws."""
        ring = q.ring
        beta, gamma = with0.packed(1, n, ring), with0.packed(how.bits(ring), n, ring)
        with0.fill(ring, into[1])
        return cls(beta, gamma, into)

    def run(self, q: Rep3, m2: Array, how: Lift) -> Steps[Share]:
        """P2's part. 2. P2 → P1: masked v, which needs nothing of P0's. 3. P2 → P1: masked part."""
        party, ring, n, t0 = q.party, q.ring, m2.size, self.into[1]
        w, f = how.width, how.shift
        other, bit, part = party.peer(-1), how.label + "-bit", how.label + "-part"
        hat = lift_bit(m2, self.beta, 0, w)
        yield ()
        party.send(other, bit, hat)
        (theirs,) = yield ((other, bit, hat.size),)
        mine = lift_part(m2, hat, theirs, self.beta, self.gamma, t0, 0, 0, w, f, False, ring.width)
        party.send(other, part, ring.pack(mine))
        (rest,) = yield ((other, part, ring.wire_bytes(n)),)
        return Share((ring.add(mine, ring.unpack(rest, (n,)), self.into[0]), t0))


Mask = Array | None
Product = Callable[["Rep3", int, int, Mask, Mask, Packed | None], Array]
"""(party, start, stop, plus, minus, packed) → this party's part of the product's elements, masked by these."""


def mul_into(p: Rep3, x: Share, y: Share, f: int, ring: Ring) -> Share:
    """F_mul then F_trunc into a wider ring: neighbours of x·y / 2^f for |x·y| < 2^(w−2), flat."""
    narrow, how = p.ring, Lift(p.ring.width, f, "rep3.mul-into")
    if not (0 <= f <= how.width - 2 and how.width - f < ring.width <= 64):
        raise RangeError(f"a product of {how.width} bits, shifted by {f}, does not lift to {ring.width}")

    def product(q: Rep3, low: int, high: int, plus: Mask, minus: Mask, packed: Packed | None) -> Array:
        x0, x1, y0, y1 = (part[low:high] for s in (x, y) for part in s.parts)
        return kernels.rep3_products(x0, x1, y0, y1, plus, minus, narrow.width, packed=packed)

    return product_into(p.over(ring), product, x.shape, how)


def product_into(p: Rep3, product: Product, shape: tuple[int, ...], how: Lift) -> Share:
    """Lift an additively shared z = z0 + z1 + z2 (a local product) without resharing it first.

    P1 and P2 move a draw r of theirs from one part to the other: the part alone says how z is rounded, and P0 knows
    its own mask and how z2 depends on the factors.
    1. P0 → P1: z0, masked by a draw with P2, and what the lift needs. 2. and 3. as every lift.
    """
    return in_place(p, shape, lambda q, low, high, into: _product(q, product, low, high, how, into))


def _product(q: Rep3, product: Product, low: int, high: int, how: Lift, into: Into) -> Steps[Share]:
    party, ring, n = q.party, q.ring, high - low
    narrow = ring if ring.width == how.width else Ring(how.width)
    stream = how.label.replace(".", "/", 1)
    if party.index == 0:
        with2, with1 = q.common(+2, stream), q.common(+1, stream)
        masked = product(q, low, high, None, with2.ring(narrow, (n,)), None)
        return first(q, how, with1, with2, into, narrow.pack(masked))
    if party.index == 1:
        size = narrow.wire_bytes(n)
        r, drawn = _moved(q, +1, narrow, n, how, True), Second.draw(q, how, q.common(-1, stream), into)
        (buf,) = yield ((party.peer(-1), how.label, size + how.message(ring, n)),)
        m1 = product(q, low, high, narrow.unpack(buf[:size], (n,)), None, r)
        return (yield from drawn.run(q, m1, buf[size:], how))
    with0 = q.common(+1, stream)
    mask, r = with0.ring(narrow, (n,)), _moved(q, -1, narrow, n, how, False)
    m2 = product(q, low, high, mask, None, r)
    return (yield from Third.draw(q, n, how, with0, into).run(q, m2, how))


def _moved(q: Rep3, offset: int, narrow: Ring, n: int, how: Lift, less: bool) -> Packed | None:
    """Draw r, of the bits that are rounded off."""
    if not how.shift:
        return None
    return Packed(q.common(offset, "rep3/rounding").packed(how.shift, n, narrow), how.shift, less)
