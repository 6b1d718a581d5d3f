"""Replicated sharing seen as two operands: a = x0 + x1, which P0 knows, and b = x2, which P1 and P2 know.

Any function that is linear in values P0 knows, with coefficients that P1 and P2 both know, costs one masked
message from P0 and one exchange between P1 and P2. Truncation, comparison and every conversion below are of
that form (docs/decisions/0003). Two-operand view: Mohassel and Rindal, "ABY3", CCS 2018, section 5.3 (bits
of x0+x1 input by one party); the rest is argued, message by message, in the decision record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.core.share import Planes, Share, stack_planes

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
RADIX = 4


# -- arithmetic ----------------------------------------------------------------------------------------------


def trunc(p: Rep3, x: Share, f: int) -> Share:
    """F_trunc on a shared x: a and b are at hand, so no message precedes `_trunc_ab`."""
    p.check_shift(f)
    if f == 0:
        return x
    if p.party.index == 0:
        return _trunc_ab(p, p.ring.add(*x.parts), None, x.shape, f, None)
    return _trunc_ab(p, None, _b(p, x), x.shape, f, None)


def product_trunc(p: Rep3, z: Array, f: int) -> Share:
    """F_trunc of an additively shared z (a local product), without resharing it first.

    1. P1 and P2 draw r and ρ; P1 sends z1 − r + ρ, P2 sends z2 − ρ, both to P0. Now a = z − r, b = r.
    """
    party, ring = p.party, p.ring
    size = ring.wire_bytes(z.size)
    if party.index == 0:
        m1 = ring.unpack(party.recv(party.peer(1), "rep3.product", size), z.shape)
        m2 = ring.unpack(party.recv(party.peer(2), "rep3.product", size), z.shape)
        return _trunc_ab(p, ring.add(z, ring.add(m1, m2)), None, z.shape, f, None)
    common = party.common(+1 if party.index == 1 else -1, "rep3/product")
    r, rho = common.ring(ring, z.shape), common.ring(ring, z.shape)
    masked = ring.add(ring.sub(z, r), rho) if party.index == 1 else ring.sub(z, rho)
    party.send(party.compute[0], "rep3.product", ring.pack(masked))
    return _trunc_ab(p, None, r, z.shape, f, None)


def _trunc_ab(
    p: Rep3, a: Array | None, b: Array | None, shape: tuple[int, ...], f: int, carry: Share | None
) -> Share:
    """Return shares of floor((a+b)/2^f) − c + 1, c the carry out of the low f bits (then +c−1 if given).

    With x' = a + b + 2^(k−2) < 2^(k−1): floor(x'/2^f) = (a>>f) + (b>>f) + c − wrap·2^(k−f), where
    wrap = 1 − u·v, u = 1 − msb(a), v = 1 − msb(b); u·v counts mod 2^f only.
    2. P0 shares a>>f and u between P1 and P2. 3. P1 and P2 exchange u·v masked.
    """
    ring, party, k = p.ring, p.party, p.ring.width
    n = int(np.prod(shape, dtype=np.int64))
    size, fsize = ring.wire_bytes(n), ring.wire_bytes(n, f)
    round_up = 0 if carry is not None else 1
    if party.index == 0:
        assert a is not None
        with2, with1 = party.common(+2, "rep3/trunc"), party.common(+1, "rep3/trunc")
        a = ring.add(a, ring.constant(1 << (k - 2)))
        u = ring.from_words(ring.top_bit(a) ^ np.uint64(1))
        c0, s0 = with2.ring(ring, shape), with2.bits(f, shape, ring)
        c1 = ring.sub(ring.shr(a, f), c0)
        party.send(party.peer(1), "rep3.trunc", ring.pack(c1), ring.pack(ring.sub(u, s0), f))  # 2
        party.flush()
        t02, t01 = with2.bits(f, shape, ring), with1.bits(f, shape, ring)
        out = Share((ring.add(c0, ring.shl(t02, k - f)), ring.add(c1, ring.shl(t01, k - f))))
        return out if carry is None else p.add(out, carry)
    assert b is not None
    v = ring.from_words(ring.top_bit(b) ^ np.uint64(1))
    if party.index == 1:
        from0 = party.recv(party.peer(-1), "rep3.trunc", size + fsize)
        theirs = ring.unpack(party.recv(party.peer(1), "rep3.trunc-uv", fsize), shape, f)
        c1 = ring.unpack(np.ascontiguousarray(from0[:size]), shape)
        s1 = ring.unpack(np.ascontiguousarray(from0[size:]), shape, f)
        t01 = party.common(-1, "rep3/trunc").bits(f, shape, ring)
        mine = ring.low_bits(ring.sub(ring.mul(s1, v), t01), f)
        party.send(party.peer(1), "rep3.trunc-uv", ring.pack(mine, f))  # 3
        party.flush()
        edge = ring.add(c1, ring.shl(t01, k - f))
    else:
        with0 = party.common(+1, "rep3/trunc")
        c0, s0 = with0.ring(ring, shape), with0.bits(f, shape, ring)
        t02 = with0.bits(f, shape, ring)
        mine = ring.low_bits(ring.sub(ring.mul(s0, v), t02), f)
        party.send(party.peer(-1), "rep3.trunc-uv", ring.pack(mine, f))  # 3
        theirs = ring.unpack(party.recv(party.peer(-1), "rep3.trunc-uv", fsize), shape, f)
        edge = ring.add(c0, ring.shl(t02, k - f))
    offset = round_up - (1 << (k - 2 - f)) - (1 << (k - f))
    c2 = ring.add(ring.shr(b, f), ring.constant(offset))
    c2 = ring.add(c2, ring.shl(ring.add(mine, theirs), k - f))
    out = Share((edge, c2) if party.index == 1 else (c2, edge))
    return out if carry is None else p.add(out, carry)


def trunc_exact(p: Rep3, x: Share, f: int) -> Share:
    """F_floor: F_trunc with the carry c of the low f bits computed and added."""
    p.check_shift(f)
    if f == 0:
        return x
    party, ring = p.party, p.ring
    a = ring.add(*x.parts) if party.index == 0 else None
    b = None if party.index == 0 else _b(p, x)
    c = carry_out(p, a, b, x.size, f)
    carry = to_arith(p, c).reshape(*x.shape)
    return _trunc_ab(p, a, b, x.shape, f, carry)


def to_arith(p: Rep3, b: Planes) -> Share:
    """F_b2a: β = b0 ⊕ b1 at P0, γ = b2 at P1 and P2; b = β·(1 − 2γ) + γ.

    1. P0 shares β between P1 and P2. 2. P1 and P2 reshare β(1 − 2γ) + γ.
    """
    party, ring = p.party, p.ring
    shape = (b.planes, b.n)
    if party.index == 0:
        beta = _ring_bits(p, b.parts[0] ^ b.parts[1], b.n)
        rho = party.common(+2, "rep3/b2a").ring(ring, shape)
        party.send(party.peer(1), "rep3.b2a", ring.pack(ring.sub(beta, rho)))  # 1
        return _exchange(p, None, shape, "rep3/b2a", "rep3.b2a-exchange")
    gamma = _ring_bits(p, b.parts[1 if party.index == 1 else 0], b.n)
    flip = ring.sub(ring.constant(1), ring.shl(gamma, 1))
    if party.index == 1:
        return _exchange(
            p,
            lambda m: ring.mul(ring.unpack(m, shape), flip),
            shape,
            "rep3/b2a",
            "rep3.b2a-exchange",
            ("rep3.b2a", ring.wire_bytes(gamma.size)),
        )
    rho = party.common(+1, "rep3/b2a").ring(ring, shape)
    w = ring.add(ring.mul(rho, flip), gamma)
    return _exchange(p, lambda m: w, shape, "rep3/b2a", "rep3.b2a-exchange")


def select(p: Rep3, b: Planes, x: Share) -> Share:
    """F_inject: b·x = βA(1−2γ) + A·γ + β·B(1−2γ) + γ·B with A = x0 + x1 at P0, B = x2 at P1 and P2.

    A is already additively shared between P1 (x1) and P2 (x0). 1. P0 shares βA and β. 2. P1 and P2 reshare.
    """
    party, ring = p.party, p.ring
    shape, n = x.shape, x.size
    size = ring.wire_bytes(n)
    if party.index == 0:
        beta = _ring_bits(p, b.parts[0] ^ b.parts[1], n).reshape(shape)
        rho = party.common(+2, "rep3/select").ring(ring, (2, *shape))
        beta_a = ring.mul(beta, ring.add(*x.parts))
        first = ring.pack(ring.sub(beta_a, rho[0]))
        party.send(party.peer(1), "rep3.select", first, ring.pack(ring.sub(beta, rho[1])))  # 1
        return _exchange(p, None, shape, "rep3/select", "rep3.select-exchange")
    gamma = _ring_bits(p, b.parts[1 if party.index == 1 else 0], n).reshape(shape)
    flip = ring.sub(ring.constant(1), ring.shl(gamma, 1))
    operand = _b(p, x)
    flip_b = ring.mul(flip, operand)
    if party.index == 1:

        def weigh(m: Array) -> Array:
            m0, m1 = ring.unpack(m[:size].copy(), shape), ring.unpack(m[size:].copy(), shape)
            w = ring.add(ring.mul(m0, flip), ring.mul(x.parts[0], gamma))
            return ring.add(w, ring.mul(m1, flip_b))

        incoming = ("rep3.select", 2 * size)
        return _exchange(p, weigh, shape, "rep3/select", "rep3.select-exchange", incoming)
    rho = party.common(+1, "rep3/select").ring(ring, (2, *shape))
    w = ring.add(ring.mul(rho[0], flip), ring.mul(x.parts[1], gamma))
    w = ring.add(w, ring.add(ring.mul(rho[1], flip_b), ring.mul(gamma, operand)))
    return _exchange(p, lambda m: w, shape, "rep3/select", "rep3.select-exchange")


def _exchange(
    p: Rep3,
    weigh: Callable[[Array], Array] | None,
    shape: tuple[int, ...],
    stream: str,
    label: str,
    incoming: tuple[str, int] | None = None,
) -> Share:
    """Turn W = w1 + w2, held by P1 and P2, into replicated shares: t0 (P0, P2), t1 (P0, P1), W − t0 − t1.

    P2's masked part does not depend on P0's message, so it leaves in the first wave.
    """
    party, ring = p.party, p.ring
    size = ring.wire_bytes(int(np.prod(shape, dtype=np.int64)))
    if party.index == 0:
        party.flush()
        t0 = party.common(+2, stream).ring(ring, shape)
        return Share((t0, party.common(+1, stream).ring(ring, shape)))
    assert weigh is not None
    if party.index == 1:
        first = party.recv(party.peer(-1), *incoming) if incoming else np.empty(0, np.uint8)
        theirs = ring.unpack(party.recv(party.peer(1), label, size), shape)
        t = party.common(-1, stream).ring(ring, shape)
        mine = ring.sub(weigh(first), t)
        party.send(party.peer(1), label, ring.pack(mine))
        party.flush()
        return Share((t, ring.add(mine, theirs)))
    t = party.common(+1, stream).ring(ring, shape)
    mine = ring.sub(weigh(np.empty(0, np.uint8)), t)
    party.send(party.peer(-1), label, ring.pack(mine))
    theirs = ring.unpack(party.recv(party.peer(-1), label, size), shape)
    return Share((ring.add(mine, theirs), t))


# -- bits of a + b -------------------------------------------------------------------------------------------


def sign(p: Rep3, x: Share, bits: int) -> Planes:
    """F_sign: bit `bits` of a + b = a_m ⊕ b_m ⊕ carry out of the low m bits (docs/decisions/0003).

    1. P0 shares block tables of a's low bits, and a_m. 2. P1 and P2 select by b's bits, reshare generate and
    propagate. 3… a binary tree of AND joins the blocks.
    """
    p.check_bits(bits + 1)
    a, b = _bit_planes(p, x, bits + 1)
    top = _top_plane(p, a, b, bits, x.size)
    if bits == 0:
        return top
    return p.xor(top, _carry_tree(p, *_blocks(p, a, b, bits, x.size, "rep3/sign")))


def carry_out(p: Rep3, a: Array | None, b: Array | None, n: int, bits: int) -> Planes:
    """Return one plane: the carry of a + b out of the low `bits` bits."""
    pa = None if a is None else kernels.to_planes(np.ascontiguousarray(a).reshape(-1), bits)
    pb = None if b is None else kernels.to_planes(np.ascontiguousarray(b).reshape(-1), bits)
    return _carry_tree(p, *_blocks(p, pa, pb, bits, n, "rep3/carry"))


def is_zero(p: Rep3, x: Share, bits: int) -> Planes:
    """F_zero: a = −b mod 2^m, block by block: a + (b − 1) is all ones; then a tree of AND."""
    p.check_bits(bits)
    ring, n = p.ring, x.size
    if p.party.index == 0:
        pa, pb = kernels.to_planes(ring.add(*x.parts).reshape(-1), bits), None
    else:
        pa, pb = None, kernels.to_planes(ring.sub(_b(p, x), ring.constant(1)).reshape(-1), bits)
    _, equal = _blocks(p, pa, pb, bits, n, "rep3/zero", equal=True)
    while equal.planes > 1:
        half = equal.planes // 2
        joined = p.and_(equal[:half], equal[half : 2 * half])
        equal = joined if equal.planes % 2 == 0 else stack_planes([joined, equal[2 * half :]])
    return equal


def _blocks(
    p: Rep3, a: Array | None, b: Array | None, bits: int, n: int, label: str, equal: bool = False
) -> tuple[Planes, Planes]:
    """Return shared generate and propagate planes, one each per block of RADIX bits of a + b.

    The lowest propagate is never needed for a carry and is left zero; for equality only propagates are made.
    """
    party, lanes = p.party, -(-n // 64)
    rows, nb = table_rows(bits), -(-bits // RADIX)
    count = nb if equal else 2 * nb - 1

    def choose(t: Array, lead: bool) -> Array:
        g, q = kernels.block_select(t, b[:bits], RADIX, lead)  # type: ignore[index]
        return q if equal else np.concatenate([g, q[1:]])

    if party.index == 0:
        assert a is not None
        rho = party.common(+2, label).planes(rows, n)
        party.send(party.peer(1), "rep3.table", kernels.block_table(a[:bits], RADIX) ^ rho)
        party.flush()
        parts = (party.common(+2, label).planes(count, n), party.common(+1, label).planes(count, n))
    elif party.index == 1:
        t = party.recv(party.peer(-1), "rep3.table", rows * lanes * 8).view(np.uint64).reshape(rows, lanes)
        theirs = (
            party.recv(party.peer(1), "rep3.blocks", count * lanes * 8).view(np.uint64).reshape(count, lanes)
        )
        mask = party.common(-1, label).planes(count, n)
        mine = choose(t, True) ^ mask
        party.send(party.peer(1), "rep3.blocks", mine)
        party.flush()
        parts = (mask, mine ^ theirs)
    else:
        rho = party.common(+1, label).planes(rows, n)
        mask = party.common(+1, label).planes(count, n)
        mine = choose(rho, False) ^ mask
        party.send(party.peer(-1), "rep3.blocks", mine)
        theirs = party.recv(party.peer(-1), "rep3.blocks", mine.nbytes).view(np.uint64).reshape(count, lanes)
        parts = (mine ^ theirs, mask)
    both = Planes(parts, n)
    if equal:
        return both, both
    lowest = Planes(tuple(np.zeros((1, lanes), np.uint64) for _ in range(2)), n)
    return both[:nb], stack_planes([lowest, both[nb:]])


def table_rows(bits: int) -> int:
    """Return how many table planes P0 shares for `bits` bits."""
    full, rest = divmod(bits, RADIX)
    return full * (2**RADIX - 1) + (2**rest - 1)


def _carry_tree(p: Rep3, g: Planes, q: Planes) -> Planes:
    """Join blocks pairwise: (G, P) = (G1 ⊕ P1·G0, P1·P0), all joins of one level in one round."""
    while g.planes > 1:
        m = g.planes // 2
        low_g, high_g = g[0 : 2 * m : 2], g[1 : 2 * m : 2]
        low_q, high_q = q[0 : 2 * m : 2], q[1 : 2 * m : 2]
        # The lowest block has no carry in, so its propagate is never needed.
        both = p.and_(stack_planes([high_q, high_q[1:]]), stack_planes([low_g, low_q[1:]]))
        joined_g = p.xor(high_g, both[:m])
        joined_q = stack_planes([low_q[:1], both[m:]])
        rest = slice(2 * m, None)
        g = joined_g if g.planes == 2 * m else stack_planes([joined_g, g[rest]])
        q = joined_q if q.planes == 2 * m else stack_planes([joined_q, q[rest]])
    return g


def _top_plane(p: Rep3, a: Array | None, b: Array | None, bits: int, n: int) -> Planes:
    """Return a_m ⊕ b_m: P0 inputs a_m, b_m is component 2."""
    party = p.party
    if party.index == 0:
        assert a is not None
        rho = party.common(+2, "rep3/top").planes(1, n)
        rest: Array = a[bits : bits + 1] ^ rho
        party.send(party.peer(1), "rep3.top", rest)
        if bits == 0:
            party.flush()
        return Planes((rho, rest), n)
    assert b is not None
    top = b[bits : bits + 1]
    if party.index == 1:
        rest = party.recv(party.peer(-1), "rep3.top", top.nbytes).view(np.uint64).reshape(top.shape)
        return Planes((rest, top), n)
    return Planes((top, party.common(+1, "rep3/top").planes(1, n)), n)


def decompose(p: Rep3, x: Share, bits: int) -> Planes:
    """F_a2b: all carries of a + b by a parallel prefix (Sklansky 1960) over bit planes.

    1. P0 inputs a's bits. 2. P1 and P2 reshare g = a·b. 3… log2(bits) levels of AND.
    """
    p.check_bits(bits)
    a, b = _bit_planes(p, x, bits)
    n = x.size
    party, lanes = p.party, -(-x.size // 64)
    size = bits * lanes * 8
    shape = (bits, lanes)
    zero = np.zeros(shape, np.uint64)
    if party.index == 0:
        rho = party.common(+2, "rep3/a2b").planes(bits, n)
        party.send(party.peer(1), "rep3.a2b", a ^ rho)
        party.flush()
        g0, g1 = party.common(+2, "rep3/a2b").planes(bits, n), party.common(+1, "rep3/a2b").planes(bits, n)
        g, q = Planes((g0, g1), n), Planes((rho, a ^ rho), n)
    elif party.index == 1:
        a1 = party.recv(party.peer(-1), "rep3.a2b", size).view(np.uint64).reshape(shape)
        theirs = party.recv(party.peer(1), "rep3.a2b-g", size).view(np.uint64).reshape(shape)
        mask = party.common(-1, "rep3/a2b").planes(bits, n)
        mine = (a1 & b) ^ mask
        party.send(party.peer(1), "rep3.a2b-g", mine)
        party.flush()
        g, q = Planes((mask, mine ^ theirs), n), Planes((a1, b), n)
    else:
        rho, mask = (party.common(+1, "rep3/a2b").planes(bits, n) for _ in range(2))
        mine = (rho & b) ^ mask
        party.send(party.peer(-1), "rep3.a2b-g", mine)
        theirs = party.recv(party.peer(-1), "rep3.a2b-g", size).view(np.uint64).reshape(shape)
        g, q = Planes((mine ^ theirs, mask), n), Planes((b, rho), n)
    half_sum = q
    for step in prefix_steps(bits):
        g, q = _prefix_level(p, g, q, *step)
    carries = Planes(tuple(np.concatenate([zero[:1], part[:-1]]) for part in g.parts), n)
    return p.xor(half_sum, carries)


def prefix_steps(bits: int) -> list[tuple[Array, Array, int]]:
    """Return, per Sklansky level, (nodes, their lower partners, how many trailing nodes still need P)."""
    steps, span = [], 1
    while span < bits - 1:
        nodes = np.array([i for i in range(bits - 1) if i & span])
        low = (nodes // span) * span - 1
        steps.append((nodes, low, int(np.sum(nodes >= 2 * span))))
        span *= 2
    return steps


def _prefix_level(
    p: Rep3, g: Planes, q: Planes, nodes: Array, low: Array, keep: int
) -> tuple[Planes, Planes]:
    left, tail = q[nodes], len(nodes) - keep
    both = p.and_(stack_planes([left, left[tail:]]), stack_planes([g[low], q[low[tail:]]]))
    new_g, new_q = [], []
    for j in range(2):
        gj, qj = g.parts[j].copy(), q.parts[j].copy()
        gj[nodes] ^= both.parts[j][: len(nodes)]
        qj[nodes[tail:]] = both.parts[j][len(nodes) :]
        new_g.append(gj)
        new_q.append(qj)
    return Planes(tuple(new_g), g.n), Planes(tuple(new_q), g.n)


# -- small helpers -------------------------------------------------------------------------------------------


def _b(p: Rep3, x: Share) -> Array:
    """Component 2, which P1 holds second and P2 first."""
    return x.parts[1 if p.party.index == 1 else 0]


def _bit_planes(p: Rep3, x: Share, bits: int) -> tuple[Array, Array] | tuple[Any, Any]:
    if p.party.index == 0:
        return kernels.to_planes(p.ring.add(*x.parts).reshape(-1), bits), None
    return None, kernels.to_planes(np.ascontiguousarray(_b(p, x)).reshape(-1), bits)


def _ring_bits(p: Rep3, planes: Array, n: int) -> Array:
    """Planes (m, lanes) to ring elements 0 or 1 of shape (m, n)."""
    flat = np.array([kernels.unpack_bool(row, n) for row in planes], np.uint64)
    return p.ring.from_words(flat.reshape(len(planes), n))
