"""A product that is rounded by what reads it: x = F_trunc(z, f), compared and selected without an exchange of its own.

With z + 2^(k−2) − 1 = a + b, P0 knowing a and P1 and P2 knowing b, F_trunc gives x = (a>>f) + (b>>f) + 1 − 2^(k−2−f)
− wrap·2^(k−f) (`twoparty._trunc`). Over Z/2^(k−f) the wrap does not count, so P0 knows one operand of x and P1 and P2
the other: that is all that a comparison asks for. Where x is multiplied by a bit, the wrap is a product of a bit of
P0's with one that P1 and P2 know, and rides in the exchange that the selection takes anyway (docs/decisions/0073).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tacit import kernels
from tacit.core.share import Planes, Share
from tacit.errors import UsageError
from tacit.protocols.rep3 import twoparty
from tacit.protocols.rep3.lift import Into, added
from tacit.protocols.rep3.turns import Steps, one_role

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
LABEL = "rep3/select-trunc"


def narrowed(p: Rep3, x: Share, f: int) -> Share:
    """Return F_trunc(x, f) over Z/2^(k−f), as two operands: one in P0's first component, one in that of P1 and P2.

    No message. Sums, negations and calls of one role (`turns.one_role`) that read two operands may follow, no others.
    """
    p.check_shift(f)
    ring, k, i = p.ring, p.ring.width, p.party.index
    if f == 0:
        return x
    if i == 0:
        a = ring.add(ring.add(*x.parts), ring.constant((1 << (k - 2)) - 1))
        return Share((ring.add(ring.shr(a, f), ring.constant(1 - (1 << (k - 2 - f)))), ring.zeros(x.shape)))
    both = ring.zeros(x.shape), ring.shr(x.parts[i % 2], f)
    return Share(both if i == 1 else both[::-1])


def select_trunc(p: Rep3, b: Planes, x: Share, f: int) -> Share:
    """F_trunc then F_inject: β ⊕ γ times A + B + u·v·2^(k−f); β, A, u are P0's, γ, B, v known to P1 and P2.

    1. P0 shares βA, β, A, and u and βu mod 2^f, which are multiplied by 2^(k−f). 2. P1 and P2 reshare.
    """
    p.check_shift(f)
    if f == 0:
        return p.select(b, x)
    return twoparty.with_bits(p, b, x, partial(_select_trunc, f=f))


def _select_trunc(q: Rep3, bits: list[Array], x: list[Array], into: Into, f: int) -> Steps[Share]:
    party, ring, n = q.party, q.ring, into[0].size
    if party.index == 0:
        with2 = q.common(+2, LABEL)
        rho, s0, s1 = with2.ring(ring, (3, n)), with2.packed(f, n, ring), with2.packed(f, n, ring)
        rows, wraps, chosen = kernels.select_trunc_first(
            bits[0], bits[1], x[0], x[1], rho, s0, s1, f, ring.width
        )
        party.send(party.peer(1), "rep3.select-trunc", *map(ring.pack, rows), wraps, chosen)  # 1
        return twoparty._drawn(q, into, LABEL)
    if party.index == 1:
        size, small = ring.wire_bytes(n), ring.wire_bytes(n, f)
        t = q.common(-1, LABEL).fill(ring, into[0])
        (got,) = yield ((party.peer(-1), "rep3.select-trunc", 3 * size + 2 * small),)
        m0, m1, held = (ring.unpack(got[j * size : (j + 1) * size], (n,)) for j in range(3))
        wraps, chosen = got[3 * size : 3 * size + small], got[3 * size + small :]
        mine = kernels.select_trunc_second(
            m0, m1, held, wraps, chosen, bits[1], x[1], t, False, f, ring.width
        )
        return (yield from twoparty._reshared(q, mine, into, "rep3.select-trunc-exchange"))
    with0 = q.common(+1, LABEL)
    rho, s0, s1 = with0.ring(ring, (3, n)), with0.packed(f, n, ring), with0.packed(f, n, ring)
    t = with0.fill(ring, into[1])
    mine = kernels.select_trunc_second(rho[0], rho[1], rho[2], s0, s1, bits[0], x[0], t, True, f, ring.width)
    return (yield from twoparty._exchanged(q, mine, into, "rep3.select-trunc-exchange"))


def select_narrowed(p: Rep3, b: Planes, x: Share) -> Share:
    """F_inject on two operands: b·x = β ⊕ γ times A + B; β and A are P0's, γ and B known to P1 and P2.

    As `twoparty.select` does, with A shared, too. 1. P0 shares βA, β and A. 2. P1 and P2 reshare. Operands belong to
    parties, so roles are never turned.
    """
    if not one_role(x.size, p.party.network):
        raise UsageError(
            f"{x.size} numbers in two operands are selected in turned roles, which do not know them"
        )
    return twoparty.with_bits(p, b, x, _select_narrowed)


def _select_narrowed(q: Rep3, bits: list[Array], x: list[Array], into: Into) -> Steps[Share]:
    party, ring, n = q.party, q.ring, into[0].size
    k, size, stream, label = ring.width, ring.wire_bytes(n), "rep3/select-narrowed", "rep3.select-narrowed"
    if party.index == 0:
        with2 = q.common(+2, stream)
        rho, more, held = with2.mask(k, n, ring), with2.mask(k, n, ring), with2.ring(ring, (n,))
        first = kernels.select_first(bits[0], bits[1], x[0], x[1], rho, more, k)
        known = ring.sub(ring.add(x[0], x[1]), held)
        party.send(party.peer(1), label, first[:size], first[size:], ring.pack(known))  # 1
        return twoparty._drawn(q, into, stream)
    if party.index == 1:
        t = q.common(-1, stream).keep(ring, into[0])
        (got,) = yield ((party.peer(-1), label, 3 * size),)
        held = ring.unpack(got[2 * size :], (n,))
        mine = kernels.select_second(got[:size], got[size : 2 * size], bits[1], held, x[1], t, False, k)
        yield from added(q, +1, label + "-exchange", mine, into[1])  # 2
        return Share(into)
    with0 = q.common(+1, stream)
    rho, more, held = with0.mask(k, n, ring), with0.mask(k, n, ring), with0.ring(ring, (n,))
    t = with0.keep(ring, into[1])
    mine = kernels.select_second(rho, more, bits[0], held, x[0], t, True, k)
    yield ()
    yield from added(q, -1, label + "-exchange", mine, into[0])  # 2
    return Share(into)
