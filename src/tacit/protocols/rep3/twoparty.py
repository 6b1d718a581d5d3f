"""Replicated sharing seen as two operands: a = x0 + x1, which P0 knows, and b = x2, which P1 and P2 know.

Any function that is linear in values P0 knows, with coefficients that P1 and P2 both know, costs one masked
message from P0 and one exchange between P1 and P2. Truncation, comparison and every conversion below are of
that form (docs/decisions/0003); on large arrays the three roles are turned (`turns`). Two-operand view: Mohassel
and Rindal, "ABY3", CCS 2018, section 5.3 (bits of x0+x1 input by one party); the rest is argued, message by
message, in the decision record.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.share import Planes, Share
from tacit.errors import RangeError
from tacit.kernels import Cut, Masks, rows
from tacit.protocols.rep3.lift import Into, Lift, Product, added, in_place, lift_of, product_into, room
from tacit.protocols.rep3.turns import Running, Steps, alone, joined, leave, run

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]


# -- truncation ----------------------------------------------------------------------------------------------


def trunc(p: Rep3, x: Share, f: int) -> Share:
    """F_trunc on a shared x: a and b are at hand, so no message precedes `_trunc`."""
    p.check_shift(f)
    if f == 0:
        return x
    parts = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]

    def steps(q: Rep3, low: int, high: int, into: Into) -> Steps[Share]:
        mine = [part[low:high] for part in parts]
        return _trunc(q, (mine[0], mine[1]), high - low, f, round_up=1, into=into)

    return in_place(p, x.shape, steps)


def trunc_into(p: Rep3, x: Share, f: int, ring: Ring) -> Share:
    """F_trunc into a ring of at most k − f bits: its wrap does not count, so P0's part is all that is sent.

    With x = a + b, P0 shares a>>f with P1, masked by a draw with P2; P1 and P2 know b>>f.
    """
    p.check_shift(f)
    if ring.width > p.ring.width - f:
        raise RangeError(f"{p.ring.width} bits, shifted by {f}, are not cut to {ring.width}")
    parts = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]
    how = lift_of(p.ring.width, f, "rep3.trunc-into", ring.width)

    def steps(q: Rep3, low: int, high: int, into: Into) -> Steps[Share]:
        return _trunc_into(q, parts[0][low:high], parts[1][low:high], how, into)

    return in_place(p.over(ring), x.shape, steps)


def _trunc_into(q: Rep3, x0: Array, x1: Array, how: Lift, into: Into) -> Steps[Share]:
    party, ring, n, stream, label = q.party, q.ring, x0.size, how.stream, how.label
    if party.index == 0:
        less = how.end(q.common(+2, stream), ring, into[0], True)
        sent = kernels.add_masks(how.words.add(x0, x1), Masks(), how.width, less)
        party.send(party.peer(1), label, sent)
        party.flush()
        rows.placed(sent, None, None, rows.ADD, ring.width, n, ring.wide, into[1])
        return Share(into)
    if party.index == 1:
        (got,) = yield ((party.peer(-1), label, ring.wire_bytes(n)),)
        rows.placed(got, None, None, rows.ADD, ring.width, n, ring.wide, into[0])
        how.shifted(ring, x1, into[1])
        return Share(into)
    q.common(+1, stream).fill(ring, into[1])
    how.shifted(ring, x0, into[0])
    yield ()
    return Share(into)


def product_trunc(p: Rep3, product: Product, shape: tuple[int, ...], f: int) -> Share:
    """F_trunc of an additively shared z (a local product), without resharing it first: by a lift."""
    return product_into(p, product, shape, lift_of(p.ring.width, f, "rep3.product", p.ring.width))


def _trunc(
    q: Rep3, held: tuple[Array, Array], n: int, f: int, round_up: int, into: Into | None = None
) -> Steps[Share]:
    """Return shares of floor((x−round_up)/2^f) − c + round_up for x = a + b, c the carry out of the low f bits.

    `held`: at P0 two summands of a, at P1 (–, b), at P2 (b, –).

    With round_up, multiples of 2^f stay exact and any other x goes to either neighbour, without bias (0003).
    With x' = x − round_up + 2^(k−2) < 2^(k−1), the summand taken into a:
    floor(x'/2^f) = (a>>f) + (b>>f) + c − wrap·2^(k−f), where
    wrap = 1 − u·v, u = 1 − msb(a), v = 1 − msb(b); u·v counts mod 2^f only.
    2. P0 shares a>>f and u between P1 and P2. 3. P1 and P2 exchange u·v masked.
    """
    ring, party, k = q.ring, q.party, q.ring.width
    size, fsize = ring.wire_bytes(n), ring.wire_bytes(n, f)
    if party.index == 0:
        with2, with1 = q.common(+2, "rep3/trunc"), q.common(+1, "rep3/trunc")
        c0, s0, t02 = with2.ring(ring, (n,)), with2.packed(f, n, ring), with2.packed(f, n, ring)
        t01 = with1.packed(f, n, ring)
        c1, s1, out0, out1 = kernels.trunc_first(*held, c0, s0, t02, t01, round_up, f, k, into)
        party.send(party.peer(1), "rep3.trunc", ring.pack(c1), s1)  # 2
        return Share((out0, out1))
    if party.index == 1:
        t01 = q.common(-1, "rep3/trunc").packed(f, n, ring)
        (from0,) = yield ((party.peer(-1), "rep3.trunc", size + fsize),)
        c1, s1 = ring.unpack(from0[:size], (n,)), from0[size:]
        mine = kernels.trunc_second(s1, held[1], t01, f, k)
        party.send(party.peer(1), "rep3.trunc-uv", mine)  # 3
        (theirs,) = yield ((party.peer(1), "rep3.trunc-uv", fsize),)
        edge, last = kernels.trunc_third(c1, t01, held[1], mine, theirs, round_up, f, k, into)
        return Share((edge, last))
    with0 = q.common(+1, "rep3/trunc")
    c0, s0, t02 = with0.ring(ring, (n,)), with0.packed(f, n, ring), with0.packed(f, n, ring)
    mine = kernels.trunc_second(s0, held[0], t02, f, k)
    yield ()
    party.send(party.peer(-1), "rep3.trunc-uv", mine)  # 3
    (theirs,) = yield ((party.peer(-1), "rep3.trunc-uv", fsize),)
    turned = into and (into[1], into[0])
    edge, last = kernels.trunc_third(c0, t02, held[0], mine, theirs, round_up, f, k, turned)
    return Share((last, edge))


# -- a product in which P0 receives nothing ------------------------------------------------------------------


def product_early(p: Rep3, product: Product, shape: tuple[int, ...]) -> Share:
    """F_mul or F_matmul; with z0 + z1 + z2 the local products of Araki et al., z0 is what P0 knows.

    1. P0 → P1: z0 − ρ. 2. P1 and P2 reshare z1 + (z0 − ρ) and z2 + ρ. Each party sends one element, so the roles are
    never turned.
    """
    into = room(p, prod(shape))
    steps = _product_early(p, product, into)
    if p.patient:
        leave(p, [Running(steps)])
    else:
        alone(p, steps)
    return Share(into).reshape(*shape)


def _product_early(q: Rep3, product: Product, into: Into) -> Steps[Share]:
    party, ring, n = q.party, q.ring, into[0].size
    k = ring.width
    if party.index == 0:
        rho = q.common(+2, "rep3/mul-early").mask(k, n, ring)
        party.send(party.peer(1), "rep3.mul-early", product(q, 0, n, Masks(None, rho), Cut(k)))  # 1
        return _drawn(q, into, "rep3/mul-early")
    if party.index == 1:
        t = q.common(-1, "rep3/mul-early").keep(ring, into[0])
        (got,) = yield ((party.peer(-1), "rep3.mul-early", ring.wire_bytes(n)),)
        mine = product(q, 0, n, Masks(got), Cut(k, t))
        yield from added(q, +1, "rep3.mul-early-exchange", mine, into[1])  # 2
        return Share(into)
    with0 = q.common(+1, "rep3/mul-early")
    rho, t = with0.mask(k, n, ring), with0.keep(ring, into[1])
    mine = product(q, 0, n, Masks(rho), Cut(k, t))
    yield ()
    yield from added(q, -1, "rep3.mul-early-exchange", mine, into[0])  # 2
    return Share(into)


# -- bits to ring elements -----------------------------------------------------------------------------------


def to_arith(p: Rep3, b: Planes) -> Share:
    """F_b2a: β = b0 ⊕ b1 at P0, γ = b2 at P1 and P2; b = β·(1 − 2γ) + γ.

    1. P0 shares β between P1 and P2. 2. P1 and P2 reshare β(1 − 2γ) + γ.
    """

    def steps(q: Rep3, low: int, high: int) -> Steps[Share]:
        parts = (
            b.parts if high - low == b.n else [part[:, -(-low // 64) : -(-high // 64)] for part in b.parts]
        )
        return _to_arith(q, parts[0], parts[1], (b.planes, high - low))

    return joined(run(p, b.n, steps), (b.planes, b.n))


def _to_arith(q: Rep3, b0: Array, b1: Array, shape: tuple[int, int]) -> Steps[Share]:
    party, ring = q.party, q.ring
    into = room(q, shape)
    if party.index == 0:
        rho = q.common(+2, "rep3/b2a").ring(ring, shape)
        first = ring.pack(kernels.bits_first(b0, b1, rho, ring.width))
        party.send(party.peer(1), "rep3.b2a", first)  # 1
        return _drawn(q, into, "rep3/b2a")
    if party.index == 1:
        size = ring.wire_bytes(prod(shape))
        t = q.common(-1, "rep3/b2a").fill(ring, into[0])
        (got,) = yield ((party.peer(-1), "rep3.b2a", size),)
        mine = kernels.bits_second(ring.unpack(got, shape), b1, t, False, ring.width)
        return (yield from _reshared(q, mine, into, "rep3.b2a-exchange"))
    with0 = q.common(+1, "rep3/b2a")
    rho, t = with0.ring(ring, shape), with0.fill(ring, into[1])
    mine = kernels.bits_second(rho, b0, t, True, ring.width)
    return (yield from _exchanged(q, mine, into, "rep3.b2a-exchange"))


def select(p: Rep3, b: Planes, x: Share) -> Share:
    """F_inject: b·x = βA(1−2γ) + A·γ + β·B(1−2γ) + γ·B with A = x0 + x1 at P0, B = x2 at P1 and P2.

    A is already additively shared between P1 (x1) and P2 (x0). 1. P0 shares βA and β. 2. P1 and P2 reshare.
    """
    return with_bits(p, b, x, _select, min(p.ring.width, 64))


def with_bits(
    p: Rep3,
    b: Planes,
    x: Share,
    make: Callable[[Rep3, list[Array], list[Array], Into], Steps[Share]],
    wide: int = 64,
) -> Share:
    """Run `make(q, bits, numbers, into)` on pieces of one plane and of as many numbers, `wide` bits each to `turns`."""
    flat = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]

    def steps(q: Rep3, low: int, high: int, into: Into) -> Steps[Share]:
        bits = [part[0, -(-low // 64) : -(-high // 64)] for part in b.parts]
        return make(q, bits, [part[low:high] for part in flat], into)

    return in_place(p, x.shape, steps, wide)


def _select(q: Rep3, bits: list[Array], x: list[Array], into: Into) -> Steps[Share]:
    party, ring, n = q.party, q.ring, into[0].size
    k, size = ring.width, ring.wire_bytes(n)
    if party.index == 0:
        with2 = q.common(+2, "rep3/select")
        rho, more = with2.mask(k, n, ring), with2.mask(k, n, ring)
        first = kernels.select_first(bits[0], bits[1], x[0], x[1], rho, more, k)
        party.send(party.peer(1), "rep3.select", first[:size], first[size:])  # 1
        return _drawn(q, into, "rep3/select")
    if party.index == 1:
        t = q.common(-1, "rep3/select").keep(ring, into[0])
        (got,) = yield ((party.peer(-1), "rep3.select", 2 * size),)
        mine = kernels.select_second(got[:size], got[size:], bits[1], x[0], x[1], t, False, k)
        yield from added(q, +1, "rep3.select-exchange", mine, into[1])  # 2
        return Share(into)
    with0 = q.common(+1, "rep3/select")
    rho, more, t = with0.mask(k, n, ring), with0.mask(k, n, ring), with0.keep(ring, into[1])
    mine = kernels.select_second(rho, more, bits[0], x[1], x[0], t, True, k)
    yield ()
    yield from added(q, -1, "rep3.select-exchange", mine, into[0])  # 2
    return Share(into)


# -- W = w1 + w2, held by P1 and P2, into shares t0 (P0, P2), t1 (P0, P1), W − t0 − t1 ------------------------


def _drawn(q: Rep3, into: Into, stream: str) -> Share:
    """P0's part: two draws, after its message has left."""
    q.party.flush()
    t0 = q.common(+2, stream).fill(q.ring, into[0])
    return Share((t0, q.common(+1, stream).fill(q.ring, into[1])))


def _reshared(q: Rep3, mine: Array, into: Into, label: str) -> Steps[Share]:
    """P1's part, whose t1 is drawn: exchange w1 − t1 with P2."""
    q.party.send(q.party.peer(1), label, q.ring.pack(mine))
    (theirs,) = yield ((q.party.peer(1), label, q.ring.wire_bytes(mine.size)),)
    return Share((into[0], q.ring.add(mine, q.ring.unpack(theirs, mine.shape), into[1])))


def _exchanged(q: Rep3, mine: Array, into: Into, label: str) -> Steps[Share]:
    """P2's part, whose t0 is drawn: exchange w2 − t0 with P1."""
    yield ()
    q.party.send(q.party.peer(-1), label, q.ring.pack(mine))
    (theirs,) = yield ((q.party.peer(-1), label, q.ring.wire_bytes(mine.size)),)
    return Share((q.ring.add(mine, q.ring.unpack(theirs, mine.shape), into[0]), into[1]))
