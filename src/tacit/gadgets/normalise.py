"""Leading-one normalisation: v·2^s has its top bit at a known place, 2^s and s stay secret."""

from __future__ import annotations

import numpy as np

from tacit.core.protocol import Protocol
from tacit.core.share import Planes, Share, join, stack_planes


def shift_bits(p: Protocol, v: Share, m: int) -> Share:
    """Return the bits of s = m − 1 − floor(log2 v) for 0 ≤ v < 2^m (s = 0 for v = 0), arithmetic, (t, n)."""
    ones = p.invert(none_above(p, v, m))
    # Row j of `hot` is 1 where bit j is the leading one: some bit at j or above, none above j.
    hot = _xor_rows(ones, m)
    places = np.arange(m)
    rows = []
    for t in range(max(1, (m - 1).bit_length())):
        chosen = places[((m - 1 - places) >> t) & 1 == 1]
        rows.append(_parity(hot, chosen))
    return p.to_arith(stack_planes(rows))


def none_above(p: Protocol, v: Share, m: int) -> Planes:
    """Return, for each j < m, whether v < 2^j, for 0 ≤ v < 2^m (Sklansky prefix AND of its bits from the top)."""
    planes = p.decompose(v, m)
    rows = p.invert(planes)[::-1]
    span = 1
    while span < m:
        nodes = np.array([i for i in range(m) if i & span])
        low = (nodes // span) * span - 1
        joined = p.and_(rows[nodes], rows[low])
        parts = []
        for whole, new in zip(rows.parts, joined.parts, strict=True):
            if whole.flags.writeable and whole.dtype == np.uint64:
                fresh = whole.copy()
                fresh[nodes] = new
                parts.append(fresh)
            else:
                parts.append(whole)
        rows = Planes(tuple(parts), planes.n)
        span *= 2
    return rows[::-1]


def _xor_rows(y: Planes, m: int) -> Planes:
    parts = []
    for part in y.parts:
        above = np.concatenate([part[1:], np.zeros_like(part[:1])])
        parts.append(part ^ above)
    return Planes(tuple(parts), y.n)


def _parity(rows: Planes, chosen: np.ndarray) -> Planes:
    return Planes(tuple(np.bitwise_xor.reduce(part[chosen], axis=0)[None, :] for part in rows.parts), rows.n)


def power_of_two(p: Protocol, bits: Share, weights: list[tuple[int, int]]) -> Share:
    """Return the product over t of (w0 if bit t is 0 else w1), for integer pairs (w0, w1), exact; flat (n,)."""
    ring = p.ring
    factors = []
    for t, (w0, w1) in enumerate(weights):
        scaled = p.mul_public(bits[t], ring.constant(w1 - w0))
        factors.append(p.add_public(scaled, ring.constant(w0)))
    while len(factors) > 1:
        half = len(factors) // 2
        product = p.mul(join(factors[:half]), join(factors[half : 2 * half]))
        n = bits.shape[1]
        factors = [product[i * n : (i + 1) * n] for i in range(half)] + factors[2 * half :]
    return factors[0]
