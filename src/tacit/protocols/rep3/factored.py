"""F_factored: Σ_j g_j(a)·h_j(b) for a = x0 + x1, which P0 knows, and b = x2, which P1 and P2 know.

P0 shares every g_j(a) between P1 and P2; they weigh by h_j(b), add up and reshare. The sum may live in a narrower
ring Z/2^w; lifting it to Z/2^k is the truncation of `twoparty` with a wrap at 2^w, and as P0's components of the
sum come from streams, its part of the truncation travels with its first message: three rounds in all. Large arrays
are worked on in thirds with the roles turned (`turns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core import factors
from tacit.core.factors import Factors, Operand
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.protocols.rep3.turns import Steps, run

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
LABEL = "rep3/factored"


def factored(p: Rep3, operands: Sequence[Operand], how: Factors) -> Share:
    """F_factored on flat operands.

    1. P0 → P1: masked g_j(a); shares of (t0+t1)>>f and of its top bit. P2 → P1: its masked part of the sum.
    2. P1 → P2: its masked part, and its part of the wrap. 3. P2 → P1: its part of the wrap.
    """
    w, k = how.width, p.ring.width
    if not (w <= k <= 64 and 0 <= how.shift <= max(w - 2, 0)):
        raise RangeError(f"a sum of {w} bits, shifted by {how.shift}, does not lift to {k}")
    sets = factors.sets(operands[0])

    def steps(q: Rep3, low: int, high: int) -> Steps[Share]:
        known = [_known(q, x, low, high) for x in operands]
        run_as = (_first, _second, _third)[q.party.index]
        return run_as(q, known, sets * (high - low), how)

    pieces = run(p, factors.size(operands[0]) // sets, steps)
    if len(pieces) == 1:
        return pieces[0]
    # A piece holds its part of every set.
    parts = zip(*(piece.parts for piece in pieces), strict=True)
    return Share(tuple(np.concatenate([x.reshape(sets, -1) for x in ps], axis=1).reshape(-1) for ps in parts))


def _known(q: Rep3, x: Operand, low: int, high: int) -> Array:
    """Return a or b of one operand, from `low` to `high` of each of its sets, as words."""
    i = q.party.index
    if isinstance(x, Share):
        parts = [part[low:high] for part in x.parts]
        return np.asarray(q.ring.add(*parts) if i == 0 else parts[1 if i == 1 else 0])
    lanes = slice(-(-low // 64), -(-high // 64))
    known = [s.parts[0] ^ s.parts[1] if i == 0 else s.parts[1 if i == 1 else 0] for s in x]
    words = [kernels.from_planes(np.ascontiguousarray(a[:, lanes]), high - low, False) for a in known]
    return np.concatenate(words)


def _first(q: Rep3, known: list[Array], n: int, how: Factors) -> Steps[Share]:
    party, ring, narrow, f = q.party, q.ring, Ring(how.width), how.shift
    with2, with1 = q.common(+2, LABEL), q.common(+1, LABEL)
    masks = with2.packed(how.width, how.terms * n, narrow)
    rows = how.mask(known, masks, n * how.width).reshape(how.terms, -(-n * how.width // 8))
    t0, t1 = with2.ring(narrow, (n,)), with1.ring(narrow, (n,))
    bits = factors.lifted_bits(ring.width, how.width, f)
    if bits == 0:
        party.send(party.peer(1), "rep3.factored", *rows)  # 1
        return Share((t0, t1))
    a = narrow.add(narrow.add(t0, t1), narrow.constant((1 << (how.width - 2)) - bool(f)))
    u = narrow.top_bit(a) ^ np.uint64(1)
    c0, s0 = with2.ring(ring, (n,)), with2.bits(bits, (n,), ring)
    c1 = ring.sub(narrow.shr(a, f), c0)
    party.send(party.peer(1), "rep3.factored", *rows, ring.pack(c1), ring.pack(ring.sub(u, s0), bits))  # 1
    t02, t01 = with2.bits(bits, (n,), ring), with1.bits(bits, (n,), ring)
    at = how.width - f
    return Share((ring.add(c0, ring.shl(t02, at)), ring.add(c1, ring.shl(t01, at))))
    yield  # nothing is waited for


def _second(q: Rep3, known: list[Array], n: int, how: Factors) -> Steps[Share]:
    party, ring, narrow, f = q.party, q.ring, Ring(how.width), how.shift
    bits = factors.lifted_bits(ring.width, how.width, f)
    row, whole, few = ring.wire_bytes(n, how.width), ring.wire_bytes(n), ring.wire_bytes(n, bits)
    first = how.terms * row
    extra = whole + few if bits else 0
    t1 = q.common(-1, LABEL).ring(narrow, (n,))
    summed, buf = yield (
        (party.peer(1), "rep3.factored-sum", row),
        (party.peer(-1), "rep3.factored", first + extra),
    )
    w1 = narrow.reduce(how.weigh(known, buf[:first], 8 * row))
    mine = narrow.sub(w1, t1)
    b = narrow.add(mine, narrow.unpack(summed, (n,)))
    if bits == 0:
        party.send(party.peer(1), "rep3.factored-back", narrow.pack(mine))  # 2
        party.flush()
        return Share((t1, b))
    c1 = ring.unpack(_piece(buf, first, whole), (n,))
    s1 = ring.unpack(_piece(buf, first + whole, few), (n,), bits)
    t01 = q.common(-1, LABEL).bits(bits, (n,), ring)
    wrap = _wrap_part(ring, s1, narrow.top_bit(b), t01, bits)
    party.send(party.peer(1), "rep3.factored-back", narrow.pack(mine), ring.pack(wrap, bits))  # 2
    party.flush()
    yield ()
    (back,) = yield ((party.peer(1), "rep3.factored-wrap", few),)
    edge = ring.add(c1, ring.shl(t01, how.width - f))
    return Share((edge, _last(ring, b, ring.add(wrap, ring.unpack(back, (n,), bits)), how)))


def _third(q: Rep3, known: list[Array], n: int, how: Factors) -> Steps[Share]:
    party, ring, narrow, f = q.party, q.ring, Ring(how.width), how.shift
    bits = factors.lifted_bits(ring.width, how.width, f)
    row, few = ring.wire_bytes(n, how.width), ring.wire_bytes(n, bits)
    with0 = q.common(+1, LABEL)
    masks = with0.packed(how.width, how.terms * n, narrow)
    w2 = narrow.reduce(how.weigh(known, masks, n * how.width))
    t0 = with0.ring(narrow, (n,))
    mine = narrow.sub(w2, t0)
    party.send(party.peer(-1), "rep3.factored-sum", narrow.pack(mine))  # 1
    yield ()
    if bits == 0:
        (back,) = yield ((party.peer(-1), "rep3.factored-back", row),)
        return Share((narrow.add(mine, narrow.unpack(back, (n,))), t0))
    c0, s0 = with0.ring(ring, (n,)), with0.bits(bits, (n,), ring)
    t02 = with0.bits(bits, (n,), ring)
    (buf,) = yield ((party.peer(-1), "rep3.factored-back", row + few),)
    b = narrow.add(mine, narrow.unpack(_piece(buf, 0, row), (n,)))
    other = ring.unpack(_piece(buf, row, few), (n,), bits)
    wrap = _wrap_part(ring, s0, narrow.top_bit(b), t02, bits)
    party.send(party.peer(-1), "rep3.factored-wrap", ring.pack(wrap, bits))  # 3
    party.flush()
    edge = ring.add(c0, ring.shl(t02, how.width - f))
    return Share((_last(ring, b, ring.add(wrap, other), how), edge))


def _wrap_part(ring: Ring, s: Array, top: Array, mask: Array, bits: int) -> Array:
    """Return s·v less its mask, v = 1 − msb(b); only `bits` bits count."""
    return ring.low_bits(ring.sub(ring.mul(s, ring.from_words(top ^ np.uint64(1))), mask), bits)


def _last(ring: Ring, b: Array, no_wrap: Array, how: Factors) -> Array:
    """Return component 2: (b>>f) + rounding − offset − (1 − u·v)·2^(w−f)."""
    w, f = how.width, how.shift
    constant = bool(f) - (1 << (w - 2 - f)) - (1 << (w - f))
    c2 = ring.add(ring.shr(b, f), ring.constant(constant))
    return ring.add(c2, ring.shl(no_wrap, w - f))


def _piece(buf: Array, start: int, length: int) -> Array:
    """Return part of a message, aligned for any element type."""
    part = buf[start : start + length]
    return part if start % 8 == 0 else part.copy()
