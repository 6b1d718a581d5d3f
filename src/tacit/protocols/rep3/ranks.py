"""Where rows go that are sorted by a digit of w shared bits.

The two-operand view (docs/decisions/0003) of the digit A XOR B, where P0 knows A and P1 and P2 know B: P0 shares
[A = v] for all v, and [A XOR B = v] = [A = v XOR B], which P1 and P2 take from what they hold, without a product of
bits. Numbers stay bit planes until they are counted (docs/decisions/0040).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.core.blocks import elements
from tacit.core.share import Planes, Share
from tacit.core.timing import Network
from tacit.kernels import rows as kernels
from tacit.protocols.rep3.turns import Steps, run

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
LABEL, STREAM = "rep3.digit", "rep3/digit"


def planes(bits: int, width: int) -> int:
    """Return how many planes tell 2^bits digits apart: a number of `width` bits for each, but digit 0."""
    return ((1 << bits) - 1) * width


def row_blocks(n: int, network: Network) -> list[tuple[int, int]]:
    """Return which rows are told apart at a time: masks and messages of all at once would be most of the memory."""
    step = elements(network)
    return [(at, min(at + step, n)) for at in range(0, max(n, 1), step)]


def digit_ranks(p: Rep3, digit: Planes, blocks: int, rows: int) -> Share:
    """F_rank: rank = Σ_v hot_v·C_v − 1, C_v how many rows of the block come before a row or at it, were v its digit.

    1., 2. share hot_v = [digit = v] in the ring for v > 0. 3. C_v is a sum of those: every party adds up its summands
    of Σ_v hot_v·(C_v − C_0), masks them, and reshares; C_0 − 1 it adds itself.
    """
    width, n = p.ring.width, digit.n
    hot: list[Planes] = []
    for at, end in row_blocks(n, p.party.network):

        def steps(q: Rep3, low: int, high: int, at: int = at) -> Steps[Planes]:
            words = slice(-(-(at + low) // 64), -(-(at + high) // 64))
            return _hot(q, [part[:, words] for part in digit.parts], high - low)

        hot += run(p, end - at, steps, planes(digit.planes, width))
    own, previous = (p.common(offset, "rep3/digit-ranks").packed(width, n, p.ring) for offset in (+1, -1))
    first, second = ([h.parts[j] for h in hot] for j in (0, 1))
    one = int(p.holds_constant(0)), int(p.holds_constant(1))
    z, at0, at1 = kernels.digit_ranks(first, second, [h.n for h in hot], *one, own, previous, blocks, width)
    del hot, first, second
    p.party.send(p.party.peer(-1), "rep3.dot", z)
    theirs = p.ring.unpack(p.party.recv(p.party.peer(+1), "rep3.dot", z.size), at1.shape)
    np.add(at1, theirs, out=at1)
    return Share((at0, p.ring.reduce_fresh(at1)))


def _hot(q: Rep3, bits: list[Array], n: int) -> Steps[Planes]:
    """Return planes of hot_v for v > 0: with H_v = [A = v], Σ_v H_v = 1, hot_v = H_(v XOR B).

    1. P0 shares H between P1 and P2. 2. They take their summands of H_(v XOR B), and reshare.
    """
    party, k = q.party, q.ring.width
    count = planes(bits[0].shape[0], k)
    shape = (count, -(-n // 64))
    size, back = 8 * count * shape[1], LABEL + "-exchange"
    if party.index == 0:
        with2 = q.common(+2, STREAM)
        first = kernels.hot_first(bits[0], bits[1], with2.planes(count, n), k)
        party.send(party.peer(1), LABEL, first)  # 1
        return Planes((with2.planes(count, n), q.common(+1, STREAM).planes(count, n)), n)
    if party.index == 1:
        t = q.common(-1, STREAM).planes(count, n)
        (got,) = yield ((party.peer(-1), LABEL, size),)
        mine = kernels.hot_second(got.view(np.uint64).reshape(shape), bits[1], t, True, k)
        party.send(party.peer(1), back, mine)  # 2
        (theirs,) = yield ((party.peer(1), back, size),)
        return Planes((t, kernels.sum_planes(mine, theirs.view(np.uint64).reshape(shape), k)), n)
    with0 = q.common(+1, STREAM)
    rho, t = with0.planes(count, n), with0.planes(count, n)
    mine = kernels.hot_second(rho, bits[0], t, False, k)
    del rho
    yield ()
    party.send(party.peer(-1), back, mine)  # 2
    (got,) = yield ((party.peer(-1), back, size),)
    return Planes((kernels.sum_planes(mine, got.view(np.uint64).reshape(shape), k), t), n)
