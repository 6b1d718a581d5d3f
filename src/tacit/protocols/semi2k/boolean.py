"""Bits of additively shared values: a masked value is opened, the dealer shares the bits of the mask.

With c = x + r opened and b = −r known to the dealer, x = c + b: two operands, one public, one shared by the
dealer in whatever form is convenient. As in Damgård, Fitzi, Kiltz, Nielsen, Toft, TCC 2006 (bits of a masked
value); random bits in two sharings (daBits): Rotaru and Wood, INDOCRYPT 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring, low_words, ring_of
from tacit.core.share import Planes, Share, halvings, stack_planes
from tacit.protocols.semi2k.arithmetic import (
    open_masked,
    open_masked_planes,
    open_shifted,
    shifted,
)
from tacit.protocols.semi2k.material import RADIX

if TYPE_CHECKING:
    from tacit.protocols.semi2k import Semi2k

Array = npt.NDArray[Any]


def and_(p: Semi2k, x: Planes, y: Planes) -> Planes:
    """F_and: Beaver's product over GF(2); both operands have the same planes."""
    a, b, c = p.material("and_").bit_triple(x.planes, x.n)
    opened = open_masked_planes(p, "semi2k.and", np.concatenate([x.parts[0] ^ a, y.parts[0] ^ b]))
    d, e = opened[: x.planes], opened[x.planes :]
    if p.holds_constant(0):
        b = b ^ e
    return Planes((c ^ (d & b) ^ (e & a),), x.n)


def sign(p: Semi2k, x: Share, bits: int) -> Planes:
    """F_sign: 1. open c = x + r mod 2^(bits+1); 2. blocks of c + b; 3… a tree of AND; the sum's top bit."""
    p.check_bits(bits + 1)
    p, x = _in_words(p, x, bits + 1)
    material = p.material("sign")
    r, b = material.mask(x.size, bits + 1)
    top = Planes((material.share_planes(lambda: b[bits:], 1, x.size),), x.size)
    table = material.blocks(b, x.size, bits) if bits else None
    c = _open_low(p, x, r, bits + 1, "semi2k.sign")  # 1
    top = p.xor_public(top, c[bits:])
    if table is None:
        return top
    return p.xor(top, carry_tree(p, *_blocks(p, table, c[:bits], x.size)))  # 2, 3


def is_zero(p: Semi2k, x: Share, bits: int) -> Planes:
    """F_zero: 1. open c = x + r mod 2^bits; 2. is (c − 1) + b all ones, block by block; 3… AND."""
    p.check_bits(bits)
    p, x = _in_words(p, x, bits)
    material = p.material("is_zero")
    r, b = material.mask(x.size, bits)
    table = material.blocks(b, x.size, bits)
    r = p.add_public(Share((r,)), p.ring.constant(-1)).parts[0]
    return p.and_all(_blocks(p, table, _open_low(p, x, r, bits, "semi2k.zero"), x.size)[1])


def decompose(p: Semi2k, x: Share, bits: int) -> Planes:
    """F_a2b: 1. open c = x + r mod 2^bits; 2… all carries of c + b by Sklansky's prefix (1960)."""
    p.check_bits(bits)
    p, x = _in_words(p, x, bits)
    material = p.material("decompose")
    n = x.size
    r, b_planes = material.mask(n, bits)
    b = Planes((material.share_planes(lambda: b_planes, bits, n),), n)
    c = _open_low(p, x, r, bits, "semi2k.a2b")  # 1
    half_sum = p.xor_public(b, c)
    g, q = Planes((b.parts[0] & c,), n), half_sum
    for nodes, low, keep in prefix_steps(bits):  # 2
        left, tail = q[nodes], len(nodes) - keep
        both = p.and_(stack_planes([left, left[tail:]]), stack_planes([g[low], q[low[tail:]]]))
        new_g, new_q = g.parts[0].copy(), q.parts[0].copy()
        new_g[nodes] ^= both.parts[0][: len(nodes)]
        new_q[nodes[tail:]] = both.parts[0][len(nodes) :]
        g, q = Planes((new_g,), n), Planes((new_q,), n)
    carries = np.concatenate([np.zeros_like(g.parts[0][:1]), g.parts[0][:-1]])
    return p.xor(half_sum, Planes((carries,), n))


def to_arith(p: Semi2k, b: Planes) -> Share:
    """F_b2a: 1. open e = bit ⊕ ρ for a random bit shared twice; 2. bit = e + ρ − 2eρ."""
    ring = p.ring
    rho, lifted = p.material("to_arith").dabits(b.planes, b.n)
    opened = open_masked_planes(p, "semi2k.b2a", b.parts[0] ^ rho)  # 1
    rows = np.stack([kernels.unpack_bool(row, b.n) for row in opened])
    e = ring.from_words(rows.astype(np.uint64))
    flip = ring.sub(ring.constant(1), ring.shl(e, 1))
    return p.add_public(Share((ring.mul(lifted, flip),)), e)  # 2


def trunc_exact(p: Semi2k, x: Share, f: int) -> Share:
    """F_floor: F_trunc with the carry of the low f bits of c + b computed and added."""
    if f == 0:
        return x
    p.check_shift(f)
    material = p.material("trunc_exact")
    r, high, v, b = material.shifted_mask(x.shape, f)
    table = material.blocks(_low_planes(b, f, material.dealing), x.size, f)
    c = open_shifted(p, x, r)
    low = kernels.to_planes(np.ascontiguousarray(c).reshape(-1), f)
    carry = to_arith(p, carry_tree(p, *_blocks(p, table, low, x.size)))
    return p.add(shifted(p, c, high, v, f), carry.reshape(*x.shape))


# -- helpers -------------------------------------------------------------------------------------------------


def _low_planes(b: Array, f: int, dealing: bool) -> Array:
    """Return the planes of the dealer's operand; a party has none."""
    return kernels.to_planes(np.ascontiguousarray(b).reshape(-1), f) if dealing else np.empty(0, np.uint64)


def word_ring(ring: Ring, bits: int) -> Ring:
    """Return the ring over which the low `bits` bits are masked: elements of one word if these are enough."""
    return ring_of(64) if ring.wide and bits <= 64 else ring


def _in_words(p: Semi2k, x: Share, bits: int) -> tuple[Semi2k, Share]:
    """Return x, of which the low `bits` bits count, in words of no more than these take: half of two is worked on."""
    narrow = word_ring(p.ring, bits)
    return (p, x) if narrow is p.ring else (p.over(narrow), x.map(low_words))


def _open_low(p: Semi2k, x: Share, r: Array, bits: int, label: str) -> Array:
    """Open x + r mod 2^bits; return its planes."""
    flat = np.ascontiguousarray(x.parts[0]).reshape(-1)
    return kernels.to_planes(open_masked(p, label, (p.ring.add(flat, r), bits))[0], bits)


def _blocks(p: Semi2k, table: Array, c: Array, n: int) -> tuple[Planes, Planes]:
    """Return generate and propagate of each block of c + b: linear in b's table, since c is public."""
    q, g = np.split(kernels.block_select(table, c, RADIX, p.holds_constant(0)), 2)
    return Planes((g,), n), Planes((q,), n)


def carry_tree(p: Semi2k, g: Planes, q: Planes) -> Planes:
    """Join blocks pairwise: (G, P) = (G1 ⊕ P1·G0, P1·P0); the lowest block has no carry in, so needs no P."""
    while g.planes > 1:
        m = g.planes // 2
        low_g, high_g = g[0 : 2 * m : 2], g[1 : 2 * m : 2]
        low_q, high_q = q[0 : 2 * m : 2], q[1 : 2 * m : 2]
        both = p.and_(stack_planes([high_q, high_q[1:]]), stack_planes([low_g, low_q[1:]]))
        joined_g, joined_q = p.xor(high_g, both[:m]), stack_planes([low_q[:1], both[m:]])
        rest = slice(2 * m, None)
        g = joined_g if g.planes == 2 * m else stack_planes([joined_g, g[rest]])
        q = joined_q if q.planes == 2 * m else stack_planes([joined_q, q[rest]])
    return g


def tree_planes(blocks: int) -> list[int]:
    """Return the AND planes of each level of `carry_tree`."""
    return [2 * pairs - 1 for pairs in halvings(blocks)]


def prefix_steps(bits: int) -> list[tuple[Array, Array, int]]:
    """Return, per Sklansky level, (nodes, their lower partners, how many trailing nodes still need P)."""
    steps, span = [], 1
    while span < bits - 1:
        nodes = np.array([i for i in range(bits - 1) if i & span])
        low = (nodes // span) * span - 1
        steps.append((nodes, low, int(np.sum(nodes >= 2 * span))))
        span *= 2
    return steps
