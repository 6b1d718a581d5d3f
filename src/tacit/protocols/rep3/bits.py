"""Bits of a + b, where P0 knows a = x0 + x1 and P1 and P2 know b = x2: signs, carries, all bits.

P0 shares a table of each block of a's bits; P1 and P2 select from it by b's bits, which is linear in the table, and
reshare what the block generates and propagates; trees of AND join the blocks (docs/decisions/0003).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.core.share import Planes, Share
from tacit.core.timing import Network
from tacit.protocols.rep3 import trees, twoparty
from tacit.protocols.rep3.trees import NONE, Plan, plan
from tacit.protocols.rep3.turns import Steps, joined, joined_planes, one_role, run

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
RADICES = (4, 3, 5, 6, 7, 8)
"""Bits that a block may have; the first of equal price is taken."""


def trunc_exact(p: Rep3, x: Share, f: int) -> Share:
    """F_floor: F_trunc with the carry c of the low f bits computed and added."""
    p.check_shift(f)
    if f == 0:
        return x
    c = _carry(p, x, f)
    carry = twoparty.to_arith(p, c).reshape(*x.shape)
    parts = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]

    def steps(q: Rep3, low: int, high: int) -> Steps[Share]:
        mine = [part[low:high] for part in parts]
        return twoparty._trunc(q, (mine[0], mine[1]), high - low, f, round_up=0)

    return p.add(joined(run(p, x.size, steps), x.shape), carry)


def sign(p: Rep3, x: Share, bits: int) -> Planes:
    """F_sign: bit `bits` of a + b = a_m ⊕ b_m ⊕ carry out of the low m bits (docs/decisions/0003).

    1. P0 shares a_m, and block tables of a's low bits. 2. P1 and P2 select by b's bits, reshare generate and
    propagate. 3… a binary tree of AND joins the blocks.
    """
    p.check_bits(bits + 1)
    top, blocks = _joined_blocks(p, x, bits, top=True)
    return p.xor(top, trees.carry(p, blocks)) if bits else top


def _carry(p: Rep3, x: Share, bits: int) -> Planes:
    """Return one plane: the carry of a + b out of the low `bits` bits."""
    return trees.carry(p, _joined_blocks(p, x, bits)[1])


def is_zero(p: Rep3, x: Share, bits: int) -> Planes:
    """F_zero: a = −b mod 2^m, block by block: a + (b − 1) is all ones; then a tree of AND."""
    p.check_bits(bits)
    return trees.and_all(p, _joined_blocks(p, x, bits, equal=True)[1])


@lru_cache(maxsize=1 << 12)
def block_bits(bits: int, n: int, network: Network) -> int:
    """Return how many bits a block has: wide ones make a tree of fewer levels, each a round, of larger tables.

    The least price wins, in bytes of the party that sends most (`Protocol.price`), for signs and carries alike.
    """
    lane, turned = 8 * -(-n // 64), not one_role(n, network)

    def price(radix: int) -> int:
        nb = -(-bits // radix)
        table = table_rows(bits, radix)
        if turned:
            plans = trees.carry_plans(nb)
            planes = -(-(table + 2 * max(2 * nb - 1, 0)) // 3) + sum(len(each.a) for each in plans)
            return len(plans) * network.round_bytes + lane * planes
        return lane * table + trees.cheapest(nb, lane, network.round_bytes, True)[0]

    return min(RADICES, key=price)


def table_rows(bits: int, radix: int) -> int:
    """Return how many table planes P0 shares for `bits` bits in blocks of `radix`."""
    full, rest = divmod(bits, radix)
    return full * (2**radix - 1) + (2**rest - 1)


# -- blocks --------------------------------------------------------------------------------------------------


Blocks = tuple[Planes, Planes]
"""The plane a_m ⊕ b_m, or none; propagate and generate of each block."""


def _joined_blocks(p: Rep3, x: Share, bits: int, top: bool = False, equal: bool = False) -> Blocks:
    parts = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]
    n = x.size
    radix, nb = block_bits(bits, n, p.party.network), -(-bits // block_bits(bits, n, p.party.network))
    # The lowest propagate is never needed for a carry and is left out; for equality only propagates are made.
    some = (0, nb) if equal else (1, max(2 * nb - 1, 0))
    how = Tables(bits, radix, top, equal, some)
    tops, blocks = (Planes((_planes(rows, n), _planes(rows, n)), n) for rows in (int(top), some[1]))

    def steps(q: Rep3, low: int, high: int) -> Steps[None]:
        return _blocks(q, [part[low:high] for part in parts], how, tops, blocks, low // 64)

    run(p, n, steps)
    if p.party.index == 0 and one_role(n, p.party.network):
        p.take_along(2 if blocks.planes else 1)
    return tops, blocks


def _planes(rows: int, n: int) -> Array:
    return np.empty((rows, -(-n // 64)), np.uint64)


class Tables(NamedTuple):
    """What is made of the bits of a + b."""

    bits: int
    radix: int
    """How many bits a block has."""
    top: bool
    """Whether a_m ⊕ b_m is wanted."""
    equal: bool
    """Whether b − 1 is added instead of b."""
    some: tuple[int, int]
    """Of all propagates, then all generates, which is the first that is wanted, and how many are."""


def _blocks(q: Rep3, x: list[Array], how: Tables, tops: Planes, blocks: Planes, at: int) -> Steps[None]:
    """Write shared planes from their word `at` on: a_m ⊕ b_m; propagates and generates of blocks of a + b."""
    party, n = q.party, x[0].size
    bits, radix, top, equal, some = how
    lanes, count = -(-n // 64), some[1]
    rows = table_rows(bits, radix) + top
    here = slice(at, at + lanes)
    if party.index == 0:
        with2, with1 = q.common(+2, "rep3/blocks"), q.common(+1, "rep3/blocks")
        rho = with2.plane_mask(rows, n)
        sent = kernels.table_first(x[0], x[1], rho, bits, top, radix, tops.parts[0], at)
        party.send(party.peer(1), "rep3.table", sent)  # 1
        party.flush()
        tops.parts[1][:, here] = sent[: int(top)]
        for part, source in zip(blocks.parts, (with2, with1), strict=True):
            kernels.place_rows(part, source.plane_mask(count, n), at, lanes)
        return
    known = x[party.index % 2]
    if equal:
        known = q.ring.sub(known, q.ring.constant(1))
    if party.index == 1:
        mask = q.common(-1, "rep3/blocks").plane_mask(count, n)
        (got,) = yield ((party.peer(-1), "rep3.table", 8 * rows * lanes),)
        kept = (blocks.parts[0], tops.parts[1], tops.parts[0])
        mine = kernels.table_second(known, got.view(np.uint64), mask, bits, top, radix, True, some, kept, at)
        rest, offset = blocks.parts[1], +1
    else:
        with0 = q.common(+1, "rep3/blocks")
        rho, mask = with0.plane_mask(rows, n), with0.plane_mask(count, n)
        kept = (blocks.parts[1], tops.parts[0], tops.parts[1])
        mine = kernels.table_second(known, rho, mask, bits, top, radix, False, some, kept, at)
        rest, offset = blocks.parts[0], -1
        yield ()
    if not count:
        return
    party.send(party.peer(offset), "rep3.blocks", mine)  # 2
    (theirs,) = yield ((party.peer(offset), "rep3.blocks", 8 * count * lanes),)
    np.bitwise_xor(mine, theirs.view(np.uint64).reshape(count, lanes), out=rest[:, here])


# -- all bits ------------------------------------------------------------------------------------------------


def decompose(p: Rep3, x: Share, bits: int) -> Planes:
    """F_a2b: all carries of a + b, by pairs of bits and a parallel prefix (Sklansky 1960) over the pairs.

    1. P0 shares a's bits and tables of pairs. 2. P1 and P2 reshare generate of every lower bit, generate and
    propagate of every pair. 3… the prefix. Last, what a carry into a pair does to its upper bit.
    """
    p.check_bits(bits)
    parts = [np.ascontiguousarray(part).reshape(-1) for part in x.parts]

    def steps(q: Rep3, low: int, high: int) -> Steps[Planes]:
        return _pairs(q, [part[low:high] for part in parts], bits)

    whole = joined_planes(run(p, x.size, steps))
    out, carries = whole[:bits], whole[bits:]
    count = pair_counts(bits)[2]
    carries = trees.climb(p, carries, prefix_plans(count), prefix_ways(count))
    upper = range(3, bits, 2)
    if len(upper):
        both = Planes(
            tuple(np.concatenate([o[2:-1:2], c]) for o, c in zip(out.parts, carries.parts, strict=True)),
            x.size,
        )
        moved = p.and_(both[: len(upper)], both[len(upper) : 2 * len(upper)])
        for o, m in zip(out.parts, moved.parts, strict=True):
            o[3::2] ^= m
    for o, c in zip(out.parts, carries.parts, strict=True):
        o[2::2] ^= c
    return out


def pair_counts(bits: int) -> tuple[int, int, int]:
    """Return the numbers of pairs of bits, of those with an upper bit, and of those with a pair above them."""
    return -(-bits // 2), bits // 2, -(-bits // 2) - 1


def pair_rows(bits: int) -> tuple[int, int]:
    """Return how many planes P0 shares for `decompose`, and how many are reshared."""
    pairs, upper, below = pair_counts(bits)
    return pairs + 3 * below + int(upper == pairs), upper + max(2 * below - 1, 0)


def _pairs(q: Rep3, x: list[Array], bits: int) -> Steps[Planes]:
    """Return the half sums a_i ⊕ b_i, upper ones plus generate of the bit below; then P (but the lowest), G of pairs.

    Of all pairs but the last, which carries into nothing. P0's planes: lower bits, tables of pairs, the last upper bit.
    """
    party, n = q.party, x[0].size
    lanes = -(-n // 64)
    pairs, upper, below = pair_counts(bits)
    rows, count = pair_rows(bits)

    def halves(shared: Array) -> Array:
        out = np.empty((bits, lanes), np.uint64)
        out[::2] = shared[:pairs]
        out[1 : 2 * below : 2] = shared[pairs + 1 : pairs + 3 * below : 3]  # of a pair's table, [A >= 2]
        if upper == pairs:
            out[-1] = shared[-1]
        return out

    def finish(half: tuple[Array, Array], reshared: tuple[Array, Array]) -> Planes:
        for h, r in zip(half, reshared, strict=True):
            h[1 : 2 * upper : 2] ^= r[:upper]
        return Planes(tuple(np.concatenate([h, r[upper:]]) for h, r in zip(half, reshared, strict=True)), n)

    if party.index == 0:
        a = kernels.to_planes(x[0], bits, x[1])
        with2, with1 = q.common(+2, "rep3/a2b"), q.common(+1, "rep3/a2b")
        rho = with2.planes(rows, n)
        table = kernels.block_table(a[: 2 * below], 2, rho[pairs : pairs + 3 * below])
        last = a[bits - 1 :][: int(upper == pairs)]
        masked = np.concatenate([a[::2] ^ rho[:pairs], table, last ^ rho[rows - len(last) :]])
        party.send(party.peer(1), "rep3.a2b", masked)  # 1
        party.flush()
        return finish((halves(rho), halves(masked)), (with2.planes(count, n), with1.planes(count, n)))
    b = kernels.to_planes(x[party.index % 2], bits)

    def generated(shared: Array, lead: bool) -> Array:
        lower = shared[:upper] & b[: 2 * upper : 2]
        if not below:
            return lower
        both = kernels.block_select(shared[pairs : pairs + 3 * below], b[: 2 * below], 2, lead)
        return np.concatenate([lower, both[1:]])

    sent = count > 0
    if party.index == 1:
        mask = q.common(-1, "rep3/a2b").planes(count, n)
        (got,) = yield ((party.peer(-1), "rep3.a2b", 8 * rows * lanes),)
        shared = got.view(np.uint64).reshape(rows, lanes)
        mine: Array = generated(shared, True) ^ mask
        rest = mine
        if sent:
            party.send(party.peer(1), "rep3.a2b-g", mine)  # 2
            (theirs,) = yield ((party.peer(1), "rep3.a2b-g", 8 * count * lanes),)
            rest = mine ^ theirs.view(np.uint64).reshape(count, lanes)
        return finish((halves(shared), b.copy()), (mask, rest))
    with0 = q.common(+1, "rep3/a2b")
    shared, mask = with0.planes(rows, n), with0.planes(count, n)
    mine = generated(shared, False) ^ mask
    yield ()
    rest = mine
    if sent:
        party.send(party.peer(-1), "rep3.a2b-g", mine)  # 2
        (got,) = yield ((party.peer(-1), "rep3.a2b-g", 8 * count * lanes),)
        rest = mine ^ got.view(np.uint64).reshape(count, lanes)
    return finish((b.copy(), halves(shared)), (rest, mask))


@lru_cache(maxsize=256)
def prefix_plans(count: int) -> tuple[Plan, ...]:
    """Return the levels of a parallel prefix over (P, G) of `count` digits; after the last, G alone is left.

    Before the level of `span` digits, rows are P of digits span…, then G of all; a digit that reaches the lowest one
    needs no P any more.
    """
    plans, span = [], 1
    while span < count:

        def p_row(i: int) -> int:
            return i - span  # noqa: B023

        def g_row(i: int) -> int:
            return count - span + i  # noqa: B023

        low = {i: i // span * span - 1 for i in range(count) if i & span}
        wide = [i for i in low if i >= 2 * span]
        a = [p_row(i) for i in (*wide, *low)]
        b = [*(p_row(low[i]) for i in wide), *(g_row(low[i]) for i in low)]
        kept = range(2 * span, count)
        old = [NONE if i in low else p_row(i) for i in kept] + [g_row(i) for i in range(count)]
        made = {i: len(wide) + j for j, i in enumerate(low)}
        new = [wide.index(i) if i in low else NONE for i in kept] + [made.get(i, NONE) for i in range(count)]
        plans.append(plan(a, b, old, new))
        span *= 2
    return tuple(plans)


@lru_cache(maxsize=256)
def prefix_ways(count: int) -> trees.Ways:
    """Return levels to the rows of `prefix_plans` that join several spans at once, as `trees.carry_levels` blocks."""
    ways = []
    for radix, spans in trees.radices(count):
        levels = []
        for span in spans:
            sums: list[trees.Sum] = []
            below = {i: [i, *trees.lower_ends(i, span, radix)] for i in range(count)}
            for i in range(span * radix, count):
                sums.append([frozenset(j - span for j in below[i])])
            for each in below.values():
                made = [[count - span + g, *(j - span for j in each[:b])] for b, g in enumerate(each)]
                sums.append([frozenset(rows) for rows in made])
            levels.append(trees.joined(sums))
        ways.append(tuple(levels))
    return tuple(ways)
