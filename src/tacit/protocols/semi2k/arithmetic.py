"""Additive sharing over Z/2^k: input, reveal, products, truncation. x = x_0 + … + x_{n−1}; P_i holds x_i.

Source of products: Beaver, "Efficient multiparty protocols using circuit randomization", CRYPTO 1991.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.core.share import Gathered, Matrix, Planes, Share, laid_out

if TYPE_CHECKING:
    from tacit.protocols.semi2k import Semi2k

Array = npt.NDArray[Any]


# -- input ---------------------------------------------------------------------------------------------------


def share_input(p: Semi2k, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
    """F_input. An owner that computes keeps v − Σ of what its streams with the others say: nothing is sent.

    A client shares a stream with all but the last party, which is sent the difference.
    """
    ring, party = p.ring, p.party
    if owner == party.name:
        assert value is not None
        rest = value
        for peer in party.compute:
            if peer != owner:
                rest = ring.sub(rest, party.common_with(peer, "semi2k/input").ring(ring, shape))
        return Share((rest,))
    if owner not in party.compute and party.index == party.n - 1:
        size = ring.wire_bytes(int(np.prod(shape, dtype=np.int64)))
        return Share((ring.unpack(party.recv(owner, "semi2k.input", size), shape),))
    return Share((party.common_with(owner, "semi2k/input").ring(ring, shape),))


def share_bits(p: Semi2k, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
    """F_input for truth values: as `share_input` over GF(2), packed."""
    party, n = p.party, int(np.prod(shape, dtype=np.int64))
    if owner == party.name:
        assert value is not None
        rest = kernels.pack_bool(np.ascontiguousarray(value).reshape(-1))[None, :]
        for peer in party.compute:
            if peer != owner:
                rest = rest ^ party.common_with(peer, "semi2k/input-bits").planes(1, n)
    elif owner not in party.compute and party.index == party.n - 1:
        buf = party.recv(owner, "semi2k.input-bits", 8 * -(-n // 64))
        rest = buf.view(np.uint64).reshape(1, -1)
    else:
        rest = party.common_with(owner, "semi2k/input-bits").planes(1, n)
    return p.unpack(Planes((rest,), n), shape)


# -- reveal --------------------------------------------------------------------------------------------------


def reveal(p: Semi2k, x: Share, to: Sequence[str]) -> Array | None:
    """F_reveal. 1. Add a pairwise zero share. 2. Send it to every party named. 3. Add up.

    Without step 1 a recipient would see each share, and shares remember how x came about: those of a
    constant are public, those of a party's own input differ from it by what the others know. With it, the
    shares sent are uniform among those with sum x, whatever x's history: no program has to be argued about.
    """
    ring, party = p.ring, p.party
    z = x.parts[0]
    for j, peer in enumerate(party.compute):
        if j != party.index:
            s = party.common_with(peer, "semi2k/reveal-zero").ring(ring, x.shape)
            z = ring.add(z, s) if party.index < j else ring.sub(z, s)  # 1
    payload = ring.pack(z)
    for name in to:
        if name != party.name:
            party.send(name, "semi2k.reveal", payload)  # 2
    party.flush()
    if party.name not in to:
        return None
    for peer in party.compute:
        if peer != party.name:
            z = ring.add(z, ring.unpack(party.recv(peer, "semi2k.reveal", payload.nbytes), x.shape))  # 3
    return z


def reveal_bits(p: Semi2k, x: Share, to: Sequence[str]) -> Array | None:
    """F_reveal for truth values: as `reveal` over GF(2), packed."""
    party = p.party
    z = p.pack(x).parts[0]
    for peer in party.compute:
        if peer != party.name:
            z = z ^ party.common_with(peer, "semi2k/reveal-bits-zero").planes(1, x.size)
    for name in to:
        if name != party.name:
            party.send(name, "semi2k.reveal-bits", z)
    party.flush()
    if party.name not in to:
        return None
    for peer in party.compute:
        if peer != party.name:
            z = z ^ party.recv(peer, "semi2k.reveal-bits", z.nbytes).view(np.uint64).reshape(z.shape)
    return np.asarray(kernels.unpack_bool(z[0], x.size)).reshape(x.shape)


# -- opening of masked values --------------------------------------------------------------------------------


def open_masked(p: Semi2k, label: str, *masked: tuple[Array, int]) -> list[Array]:
    """Open ring values to every compute party, each mod 2^bits; every share must carry a fresh mask."""
    ring, party = p.ring, p.party
    total, widths = (list(each) for each in zip(*masked, strict=True))
    del masked  # what is open takes the place of what was masked
    payloads = [ring.pack(a, bits) for a, bits in zip(total, widths, strict=True)]
    for peer in party.compute:
        if peer != party.name:
            party.send(peer, label, *payloads)
    sizes = [payload.nbytes for payload in payloads]
    for peer in party.compute:
        if peer == party.name:
            continue
        buf, at = party.recv(peer, label, sum(sizes)), 0
        for i, bits in enumerate(widths):
            theirs = ring.unpack(buf[at : at + sizes[i]].copy(), total[i].shape, bits)
            total[i] = ring.add(total[i], theirs, None if ring.wide else theirs)
            at += sizes[i]
    return [ring.low_bits(a, bits) for a, bits in zip(total, widths, strict=True)]


def open_masked_planes(p: Semi2k, label: str, masked: Array) -> Array:
    """Open bit planes to every compute party; every share must carry a fresh uniform mask."""
    party = p.party
    for peer in party.compute:
        if peer != party.name:
            party.send(peer, label, masked)
    total = masked
    for peer in party.compute:
        if peer != party.name:
            total = total ^ party.recv(peer, label, masked.nbytes).view(np.uint64).reshape(masked.shape)
    return total


# -- products ------------------------------------------------------------------------------------------------


def mul(p: Semi2k, x: Share, y: Share) -> Share:
    """F_mul: 1. take a triple (a, b, c = ab); 2. open d = x − a, e = y − b; 3. c + d·b + e·a + d·e."""
    ring, k = p.ring, p.ring.width
    a, b, c = p.material("mul").triple(x.shape)  # 1
    d, e = open_masked(p, "semi2k.mul", (ring.sub(x.parts[0], a), k), (ring.sub(y.parts[0], b), k))  # 2
    z = ring.add(c, ring.add(ring.mul(d, b), ring.mul(e, a)))
    return Share((ring.add(z, ring.mul(d, e)) if p.holds_constant(0) else z,))  # 3


def matmul(p: Semi2k, x: Matrix, y: Matrix) -> Share:
    """F_matmul: as F_mul with a matrix triple; the messages have the size of the operands, laid out."""
    ring, k = p.ring, p.ring.width
    a, b, c = p.material("matmul").matrix_triple(x.shape, y.shape)  # 1
    mine, other = laid_out(x).parts[0], laid_out(y).parts[0]
    d, e = open_masked(p, "semi2k.matmul", (ring.sub(mine, a), k), (ring.sub(other, b), k))  # 2
    if p.holds_constant(0):
        b = ring.add(b, e)  # d@(b + e) = d@b + d@e
    z = Share((ring.add(c, ring.add(ring.matmul(d, b), ring.matmul(a, e))),))  # 3
    return x.in_runs(z) if isinstance(x, Gathered) else z


# -- truncation ----------------------------------------------------------------------------------------------


def trunc(p: Semi2k, x: Share, f: int) -> Share:
    """F_trunc without a wrap error: 1. open c = x − 1 + 2^(k−2) + r; 2. `shifted` with b = −r, plus one unit."""
    if f == 0:
        return x
    p.check_shift(f)
    material = p.material("trunc")
    r, high, v, _ = material.shifted_mask(x.shape, f)
    return p.add_public(shifted(p, open_shifted(p, x, r, 1), high, v, f), p.ring.constant(1))


def open_shifted(p: Semi2k, x: Share, r: Array, round_up: int = 0) -> Array:
    """Open c = x − round_up + 2^(k−2) + r."""
    ring = p.ring
    masked = p.add_public(
        Share((ring.add(x.parts[0], r),)), ring.constant((1 << (ring.width - 2)) - round_up)
    )
    return open_masked(p, "semi2k.trunc", (masked.parts[0], ring.width))[0]


def shifted(p: Semi2k, c: Array, high: Array, v: Array, f: int) -> Share:
    """Return shares of floor(x/2^f) less the carry of the low f bits of c + b.

    With 0 ≤ x' = c + b mod 2^k < 2^(k−1): floor(x'/2^f) = (c>>f) + (b>>f) + carry − wrap·2^(k−f), and
    wrap = 1 − u·v, u = 1 − msb(c), v = 1 − msb(b): x' has top bit 0, so one top bit set forces a wrap, and
    none set excludes it. u and c are public, so all of it is linear; u·v counts mod 2^f only.
    """
    ring, k = p.ring, p.ring.width
    u = ring.from_words(ring.top_bit(c) ^ np.uint64(1))
    share = Share((ring.add(high, ring.shl(ring.mul(u, v), k - f)),))
    return p.add_public(share, ring.add(ring.shr(c, f), ring.constant(-(1 << (k - f)) - (1 << (k - 2 - f)))))
