"""Where the leading one of x = a + b is, to within a place, without carries; and sums of shared bits.

With t = a XOR b, bits i and above of a + b are 0 or all ones, whatever comes in from below, if and only if
t_{j+1} = (a_j OR b_j) for all j ≥ i: leading-zero anticipation (Schmookler and Nowka, ARITH 2001; positive results).
P0 knows a, P1 and P2 know b, so each such equation, and the product of two, is linear in a few planes that P0 shares
(docs/decisions/0050).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.share import Planes, Share
from tacit.errors import RangeError
from tacit.kernels import rows
from tacit.kernels.waves import bits_left, bits_right
from tacit.protocols.rep3 import trees
from tacit.protocols.rep3.lift import Into
from tacit.protocols.rep3.trees import NONE, Plan, climb, plan
from tacit.protocols.rep3.turns import Steps, joined_planes, leave_or_run, run

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
LABEL = "rep3/combine"


class Layout(NamedTuple):
    """Blocks of one or two places, from the top; places count from the lowest that is asked for."""

    low: int
    single: Array
    """Lower place of each block of one, and its number among all blocks."""
    double: Array
    """Lower place of each block of two, and its number."""
    blocks: int
    ends: tuple[int, ...]
    """Last block before each place that is asked for."""

    def rows(self, bits: int) -> int:
        """Return how many planes P0 shares: its bits, and three products for each block of two."""
        return bits + 1 - self.low + 3 * self.double.shape[1]


@lru_cache(maxsize=256)
def layout(bits: int, at: tuple[int, ...]) -> Layout:
    """Return the blocks for falling places `at` of a value below 2^bits."""
    single: list[tuple[int, int]] = []
    double: list[tuple[int, int]] = []
    ends, number = [], 0
    for top, end in zip((bits, *at), at, strict=False):
        for place in range(top - 1, end - 1, -2):
            found = single if place == end else double
            found.append((max(place - 1, end) - at[-1], number))
            number += 1
        ends.append(number - 1)
    ones, twos = (np.array(v, np.int64).reshape(-1, 2).T for v in (single, double))
    return Layout(at[-1], ones, twos, number, tuple(ends))


@lru_cache(maxsize=256)
def prefix_plans(blocks: int, ends: tuple[int, ...]) -> tuple[Plan, ...]:
    """Return the levels of a parallel prefix (Sklansky 1960) of ANDs, of what the prefixes at `ends` need."""
    spans = [1 << i for i in range((blocks - 1).bit_length())]
    wanted, levels = set(ends), []
    for span in reversed(spans):
        levels.append((span, sorted(i for i in wanted if i & span)))
        wanted |= {i // span * span - 1 for i in levels[-1][1]}
    plans = []
    for span, nodes in reversed(levels):
        low = [i // span * span - 1 for i in nodes]
        made = {i: j for j, i in enumerate(nodes)}
        old = [NONE if i in made else i for i in range(blocks)]
        plans.append(plan(nodes, low, old, [made.get(i, NONE) for i in range(blocks)]))
    return tuple(plans)


@lru_cache(maxsize=256)
def prefix_ways(blocks: int, ends: tuple[int, ...]) -> trees.Ways:
    """Return levels to the rows of `prefix_plans` at `ends` that join several spans at once."""
    ways = []
    for radix, spans in trees.radices(blocks):
        wanted, levels = set(ends), []
        for span in reversed(spans):
            lower = {i: trees.lower_ends(i, span, radix) if i in wanted else [] for i in range(blocks)}
            levels.append(trees.joined([[frozenset([i, *low])] for i, low in lower.items()]))
            wanted.update(*lower.values())
        ways.append(tuple(reversed(levels)))
    return tuple(ways)


def below(p: Rep3, x: Share, bits: int, at: Sequence[int]) -> Planes:
    """F_below: for falling places i, a plane that is 1 if x < 2^i and 0 if x ≥ 2^(i+1), for 0 ≤ x < 2^bits.

    1. P0 shares its bits and products of them. 2. P1 and P2 reshare one bit for each block. 3… a prefix of ANDs.
    """
    p.check_bits(bits + 1)
    if not at or list(at) != sorted(set(at), reverse=True) or not 0 <= at[-1] <= at[0] < bits:
        raise RangeError(f"places are falling numbers from {bits - 1} to 0, not {list(at)}")
    how = layout(bits, tuple(at))
    parts = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]

    def steps(q: Rep3, low: int, high: int) -> Steps[Planes]:
        return _blocks(q, [part[low:high] for part in parts], bits, how)

    none = joined_planes(run(p, x.size, steps))
    none = climb(p, none, prefix_plans(how.blocks, how.ends), prefix_ways(how.blocks, how.ends))
    return none[list(how.ends)]


def _blocks(q: Rep3, x: list[Array], bits: int, how: Layout) -> Steps[Planes]:
    """Return a plane for each block: whether all its equations hold."""
    party, n = q.party, x[0].size
    lanes, rows, count = -(-n // 64), how.rows(bits), how.blocks
    if party.index == 0:
        with2, with1 = q.common(+2, "rep3/below"), q.common(+1, "rep3/below")
        a = kernels.to_planes(x[0], bits + 1, x[1])[how.low :]
        a0, a1, a2 = (a[how.double[0] + i] for i in range(3))
        rho = with2.planes(rows, n)
        party.send(party.peer(1), "rep3.below", np.concatenate([a, a2 & a1, a2 & a0, a1 & a0]) ^ rho)  # 1
        party.flush()
        return Planes((with2.planes(count, n), with1.planes(count, n)), n)
    b = kernels.to_planes(x[party.index % 2], bits + 1)[how.low :]
    if party.index == 1:
        mask = q.common(-1, "rep3/below").planes(count, n)
        (got,) = yield ((party.peer(-1), "rep3.below", 8 * rows * lanes),)
        mine = _equations(got.view(np.uint64).reshape(rows, lanes), b, how, True) ^ mask
        party.send(party.peer(1), "rep3.below-exchange", mine)  # 2
        (theirs,) = yield ((party.peer(1), "rep3.below-exchange", 8 * count * lanes),)
        return Planes((mask, mine ^ theirs.view(np.uint64).reshape(count, lanes)), n)
    with0 = q.common(+1, "rep3/below")
    rho, mask = with0.planes(rows, n), with0.planes(count, n)
    mine = _equations(rho, b, how, False) ^ mask
    yield ()
    party.send(party.peer(-1), "rep3.below-exchange", mine)  # 2
    (got,) = yield ((party.peer(-1), "rep3.below-exchange", 8 * count * lanes),)
    return Planes((mine ^ got.view(np.uint64).reshape(count, lanes), mask), n)


def _equations(shared: Array, b: Array, how: Layout, lead: bool) -> Array:
    """Return a part of every block's product of 1 ⊕ b_{j+1} ⊕ b_j ⊕ a_{j+1} ⊕ a_j·(1 ⊕ b_j), over its places j."""
    out = np.empty((how.blocks, b.shape[1]), np.uint64)
    a = shared[: b.shape[0]]
    place, number = how.single
    if place.size:
        one = a[place + 1] ^ (a[place] & ~b[place])
        out[number] = one ^ ~(b[place + 1] ^ b[place]) if lead else one
    place, number = how.double
    if place.size:
        a0, a1, a2 = (a[place + i] for i in range(3))
        a21, a20, a10 = shared[b.shape[0] :].reshape(3, place.size, -1)
        n0, n1 = ~b[place], ~b[place + 1]
        c0, c1 = b[place + 1] ^ n0, b[place + 2] ^ n1
        two = a21 ^ (n0 & (a20 ^ (n1 & a10) ^ (c1 & a0))) ^ (c0 & a2) ^ ((c1 ^ n1 ^ (n1 & c0)) & a1)
        out[number] = two ^ (c0 & c1) if lead else two
    return out


# -- sums of bits ---------------------------------------------------------------------------------------------


def combine(p: Rep3, b: Planes, weights: Array, widths: Sequence[int]) -> list[Share]:
    """F_combine: sums Σ_r weights[o, r]·b_r of bits, the o-th over Z/2^widths[o].

    1. P0 shares β = b0 ⊕ b1, over p's ring. 2. P1 and P2 know γ = b2, and reshare sums of β(1 − 2γ) + γ.
    """
    if not 1 <= max(widths) <= p.ring.width <= 64:
        raise RangeError(f"sums of {max(widths)} bits do not fit a ring of {p.ring.width} bits, at most 64")
    weights = np.ascontiguousarray(weights, np.uint64)

    rings = [Ring(w) for w in widths]
    sums = [(np.empty(b.n, r.dtype), np.empty(b.n, r.dtype)) for r in rings]

    def steps(q: Rep3, low: int, high: int) -> Steps[None]:
        lanes = slice(-(-low // 64), -(-high // 64))
        parts = [np.ascontiguousarray(part[:, lanes]) for part in b.parts]
        into = [(first[low:high], second[low:high]) for first, second in sums]
        return _combine(q, parts[0], parts[1], weights, rings, into)

    leave_or_run(p, b.n, steps, b.planes * p.ring.width)
    return [Share(parts) for parts in sums]


def _combine(
    q: Rep3, b0: Array, b1: Array, weights: Array, rings: list[Ring], into: list[Into]
) -> Steps[None]:
    party, ring, planes, n = q.party, q.ring, b0.shape[0], into[0][0].size
    sizes, row = [r.wire_bytes(n) for r in rings], 8 * ring.wire_bytes(n)
    if party.index == 0:
        with2, with1 = q.common(+2, LABEL), q.common(+1, LABEL)
        rho = with2.mask(ring.width, planes * n, ring)
        masked = bits_left(b0 ^ b1, rho, ring.width * n, ring.width, n)
        party.send(party.peer(1), "rep3.combine", masked.reshape(planes, row // 8))  # 1
        party.flush()
        for r, (first, second) in zip(rings, into, strict=True):
            with2.fill(r, first)
            with1.fill(r, second)
        return
    if party.index == 1:
        with0 = q.common(-1, LABEL)
        t = [with0.fill(r, first) for r, (first, _) in zip(rings, into, strict=True)]
        (got,) = yield ((party.peer(-1), "rep3.combine", planes * row // 8),)
        sums = bits_right(b1, got, row, weights, np.stack(t), False, ring.width)
    else:
        with0 = q.common(+1, LABEL)
        rho = with0.mask(ring.width, planes * n, ring)
        t = [with0.fill(r, second) for r, (_, second) in zip(rings, into, strict=True)]
        sums = bits_right(b0, rho, ring.width * n, weights, np.stack(t), True, ring.width)
    packed = [r.pack(m) for r, m in zip(rings, sums, strict=True)]
    other = party.peer(1 if party.index == 1 else -1)
    if party.index == 2:
        yield ()
    party.send(other, "rep3.combine-exchange", *packed)  # 2
    (theirs,) = yield ((other, "rep3.combine-exchange", sum(sizes)),)
    at = 0
    for r, mine, parts, size in zip(rings, packed, into, sizes, strict=True):
        last = parts[party.index % 2]
        rows.placed(mine, theirs[at : at + size], None, rows.ADD, r.width, n, r.wide, last)
        at += size
