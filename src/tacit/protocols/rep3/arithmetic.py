"""Replicated sharing over Z/2^k: input, reveal, products.

x = x0 + x1 + x2; P_i holds (x_i, x_{i+1}). Source of sharing and multiplication: Araki, Furukawa, Lindell,
Nof, Ohara, "High-throughput semi-honest secure three-party computation with an honest majority", CCS 2016,
section 2.2 (the ring variant), with correlated randomness as in section 2.2's computational case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.share import Gathered, Matrix, Planes, Share, laid_out
from tacit.errors import RangeError
from tacit.kernels import Cut, Masks
from tacit.protocols.rep3 import twoparty
from tacit.protocols.rep3.lift import Lift, Product, lift_of, product_into
from tacit.protocols.rep3.turns import Running, Steps, alike, alone, ends_at_once, leave, rows_at_once

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]


def zero_share(p: Rep3, n: int, label: str) -> Masks:
    """Return F(k_i) and F(k_{i−1}), packed: their differences at the three parties sum to zero (section 2.2)."""
    k, ring = p.ring.width, p.ring
    return Masks(p.common(+1, label).mask(k, n, ring), p.common(-1, label).mask(k, n, ring))


def mul(p: Rep3, x: Share, y: Share) -> Share:
    """F_mul: 1. local product plus zero share; 2. send z_i to P_{i−1}; 3. receive z_{i+1}."""
    (x0, x1), (y0, y1) = x.parts, y.parts
    z = kernels.rep3_products(x0, x1, y0, y1, zero_share(p, x.size, "rep3/mul"), p.ring.width)  # 1
    return _reshare(p, z, "rep3.mul")  # 2, 3


def matmul(p: Rep3, x: Matrix, y: Matrix) -> Share:
    """F_matmul: as F_mul; the messages have the size of the result, whatever the inner dimension."""
    z = local_matmul(p, x, y)
    masked = kernels.add_masks(z.reshape(-1), zero_share(p, z.size, "rep3/matmul"), p.ring.width)
    return _reshare(p, masked.reshape(z.shape), "rep3.matmul")


def local_matmul(p: Rep3, x: Matrix, y: Matrix) -> Array:
    """Return this party's additive part of x @ y (`kernels.rep3_matmul`), not reduced: what masks it does that.

    Of the nine products of components, P0 needs one matrix product for the four that it can compute, P1 and P2 two.
    """
    role, bits = p.party.index, p.ring.width
    if isinstance(x, Gathered) and isinstance(y, Gathered):
        a, b = x.flat.parts, y.flat.parts
        out = x.times(y, lambda at, by, into: kernels.gathered_matmul(a, at, b, by, role, into, bits=bits))
        return out[0] if len(out) == 1 else out
    x, y = laid_out(x), laid_out(y)
    if len(x.shape) == len(y.shape) == 2:
        return kernels.rep3_matmul(role, *x.parts, *y.parts, bits=bits)
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    flat = [
        np.broadcast_to(part, batch + part.shape[-2:]).reshape(-1, *part.shape[-2:])
        for part in (*x.parts, *y.parts)
    ]
    out = kernels.rep3_matmul(role, *flat, bits=bits)
    return out.reshape(*batch, *out.shape[-2:])


def mul_trunc(p: Rep3, x: Share, y: Share, f: int) -> Share:
    """F_mul then F_trunc: every party masks its local product for the truncation as it computes it."""
    return twoparty.product_trunc(p, _elements(p, x, y), x.shape, f)


def mul_into(p: Rep3, x: Share, y: Share, f: int, ring: Ring) -> Share:
    """F_mul then F_trunc into another ring: in two rounds if that has no more than k − f bits."""
    how = _into(p, f, ring)
    return product_into(p.over(ring), _elements(p, x, y), x.shape, how)


def _into(p: Rep3, f: int, ring: Ring) -> Lift:
    if not 0 <= f <= p.ring.width - 2:
        raise RangeError(f"a product of {p.ring.width} bits, shifted by {f}, does not lift to {ring.width}")
    return lift_of(p.ring.width, f, "rep3.mul-into", ring.width)


def mul_early(p: Rep3, x: Share, y: Share) -> Share:
    """F_mul, in which P0 receives nothing."""
    return twoparty.product_early(p, _elements(p, x, y), x.shape)


def _elements(p: Rep3, x: Share, y: Share) -> Product:
    """Return this party's part of x·y, and its masks, in one pass."""
    width = p.ring.width
    flat = [np.ascontiguousarray(part).reshape(-1) for part in (*x.parts, *y.parts)]

    def product(q: Rep3, low: int, high: int, masks: Masks, cut: Cut | None = None) -> Array:
        x0, x1, y0, y1 = flat if high - low == x.size else [part[low:high] for part in flat]
        return kernels.rep3_products(x0, x1, y0, y1, masks, width, cut=cut)

    return product


def matmul_trunc(p: Rep3, x: Matrix, y: Matrix, f: int) -> Share:
    """F_matmul then F_trunc; the messages have the size of the result."""
    z, ready = _in_rows(p, x, y)
    return twoparty.product_trunc(p, _entries(p, z, ready), z.shape, f)


def matmul_into(p: Rep3, x: Matrix, y: Matrix, f: int, ring: Ring) -> Share:
    """F_matmul then F_trunc into another ring: `mul_into` of the result's entries."""
    how = _into(p, f, ring)
    z, ready = _in_rows(p, x, y)
    return product_into(p.over(ring), _entries(p, z, ready), z.shape, how)


def matmul_early(p: Rep3, x: Matrix, y: Matrix) -> Share:
    """F_matmul, in which P0 receives nothing; the messages have the size of the result."""
    z = local_matmul(p, x, y)
    return twoparty.product_early(p, _entries(p, z, _nothing), z.shape)


def _entries(p: Rep3, z: Array, ready: Callable[[int, int], None]) -> Product:
    """Return this party's part of a matrix product, and its masks; `ready` computes what is not yet there.

    Masks are added in place, as each element is asked for once.
    """
    flat, width = z.reshape(-1), p.ring.width

    def product(q: Rep3, low: int, high: int, masks: Masks, cut: Cut | None = None) -> Array:
        ready(low, high)
        return kernels.add_masks(flat[low:high], masks, width, cut)

    return product


def _in_rows(p: Rep3, x: Matrix, y: Matrix) -> tuple[Array, Callable[[int, int], None]]:
    """Return where this party's part of x @ y goes, and what computes its flat elements that are not yet there.

    Some rows at a time where blocks of it are to leave while the next are computed (`turns.pieces`), else at once.
    There parties have machines of their own: roles are turned from block to block, for as much work for each.
    """
    if not (isinstance(x, Share) and isinstance(y, Share) and len(x.shape) == len(y.shape) == 2):
        return local_matmul(p, x, y), _nothing
    (m, k), n = x.shape, y.shape[1]
    rows = rows_at_once(m, k, n, p.party.network)
    if not rows:
        return local_matmul(p, x, y), _nothing
    z, missing = np.empty((m, n), p.ring.dtype), [True] * -(-m // rows)
    compute = kernels.rep3_matmul_rows(*x.parts, *y.parts, bits=p.ring.width)

    def ready(low: int, high: int) -> None:
        for i in range(low // n // rows, -(-high // (n * rows))):
            if missing[i]:
                some = z[i * rows : (i + 1) * rows]
                compute(i * rows, some, (p.party.index - i) % 3)
                missing[i] = False

    return z, ready


def _nothing(low: int, high: int) -> None:
    """All elements are there."""


def dot(p: Rep3, x: Share, y: Share) -> Share:
    """F_mul and the sum over the first axis: the local products add up before they are reshared."""
    (x0, x1), (y0, y1) = x.parts, y.parts
    shape, k = x.shape[1:], p.ring.width
    masks = zero_share(p, prod(shape), "rep3/dot")
    if not x.shape[0]:
        return _reshare(
            p, kernels.add_masks(p.ring.zeros((prod(shape),)), masks, k).reshape(shape), "rep3.dot"
        )
    z = kernels.rep3_products(x0, x1, y0, y1, masks, k, summed=True)
    return _reshare(p, z, "rep3.dot")


def _reshare(p: Rep3, z: Array, label: str) -> Share:
    ends_at_once(p)
    p.party.send(p.party.peer(-1), label, p.ring.pack(z))
    buf = p.party.recv(p.party.peer(+1), label, p.ring.wire_bytes(z.size))
    return Share((z, p.ring.unpack(buf, z.shape)))


# -- input and reveal ----------------------------------------------------------------------------------------


def share_input(p: Rep3, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
    """F_input, by a compute party or a client.

    An owner P_o that computes: x_o from the stream with P_{o−1}, x_{o+1} = v − x_o − x_{o+2} to P_{o+1}: one element
    in all. x_{o+2} comes from a stream that everybody knows: it hides nothing, but truncation rounds by the low digits
    of a component, and would always round up if that were 0. Another owner: see `client`; two elements in all.
    """
    ring, party = p.ring, p.party
    left = p.patient and owner in party.compute
    if not left:
        p.settle()
    else:
        alike(p)
    if owner not in party.compute:
        return _from_client(p, owner, shape)
    place = (party.index - party.compute.index(owner)) % 3
    known = party.open("rep3/input-spread").ring(ring, shape)
    if place == 0:
        assert value is not None
        mine = party.common(-1, "rep3/input").ring(ring, shape)
        rest = ring.sub(ring.sub(value, mine), known)
        party.send(party.peer(+1), "rep3.input", ring.pack(rest))
        party.flush()
        return Share((mine, rest))
    if place == 1:
        into = np.empty(shape, ring.dtype)
        steps = _given(p, owner, into)
        if left:
            leave(p, [Running(steps)])
        else:
            alone(p, steps)
        return Share((into, known))
    return Share((known, party.common(+1, "rep3/input").ring(ring, shape)))


def _given(p: Rep3, owner: str, into: Array) -> Steps[None]:
    """Receive an owner's part."""
    (got,) = yield ((owner, "rep3.input", p.ring.wire_bytes(into.size)),)
    into[...] = p.ring.unpack(got, into.shape)


def share_bits(p: Rep3, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
    """F_input for truth values: as `share_input` over GF(2), packed."""
    p.settle()
    party, n = p.party, int(np.prod(shape, dtype=np.int64))
    if owner not in party.compute:
        return p.unpack(_bits_from_client(p, owner, n), shape)
    place = (party.index - party.compute.index(owner)) % 3
    zero = np.zeros((1, -(-n // 64)), np.uint64)
    if place == 0:
        assert value is not None
        mine = party.common(-1, "rep3/input-bits").planes(1, n)
        rest = kernels.pack_bool(value.reshape(-1))[None, :] ^ mine
        party.send(party.peer(+1), "rep3.input-bits", rest)
        party.flush()
        parts: tuple[Array, Array] = (mine, rest)
    elif place == 1:
        buf = party.recv(owner, "rep3.input-bits", zero.nbytes)
        parts = (buf.view(np.uint64).reshape(zero.shape), zero)
    else:
        parts = (zero, party.common(+1, "rep3/input-bits").planes(1, n))
    return p.unpack(Planes(parts, n), shape)


def _from_client(p: Rep3, owner: str, shape: tuple[int, ...]) -> Share:
    # Components 0 and 1 come from seeds that the owner sent to their holders; P1 and P2 are sent component 2.
    low, high = p.seeds_from(owner)
    ring, i = p.ring, p.party.index
    if i == 0:
        return Share((low.ring(ring, shape), high.ring(ring, shape)))
    size = ring.wire_bytes(int(np.prod(shape, dtype=np.int64)))
    sent = ring.unpack(p.party.recv(owner, "rep3.client-input", size), shape)
    return Share((high.ring(ring, shape), sent) if i == 1 else (sent, low.ring(ring, shape)))


def _bits_from_client(p: Rep3, owner: str, n: int) -> Planes:
    low, high = p.seeds_from(owner)
    if p.party.index == 0:
        return Planes((low.planes(1, n), high.planes(1, n)), n)
    lanes = -(-n // 64)
    buf = p.party.recv(owner, "rep3.client-bits", 8 * lanes)
    sent = buf.view(np.uint64).reshape(1, lanes)
    return Planes((high.planes(1, n), sent) if p.party.index == 1 else (sent, low.planes(1, n)), n)


def reveal(p: Rep3, x: Share, to: Sequence[str]) -> Array | None:
    """F_reveal, to compute parties and clients.

    To P_j: P_{j−1} sends the component x_{j−1} that P_j lacks. To a client: P0 sends x0 + r and P1 sends
    x1 + x2 − r for fresh common r, so that the client sees the sum alone, whatever x's history.
    """
    ends_at_once(p)
    ring, party = p.ring, p.party
    size = ring.wire_bytes(x.size)
    for name in to:
        if name in party.compute:
            if party.peer(+1) == name:
                party.send(name, "rep3.reveal", ring.pack(x.parts[0]))
            continue
        if party.index == 2:
            continue
        r = party.common(+1 if party.index == 0 else -1, "rep3/reveal-client").ring(ring, x.shape)
        if party.index == 0:
            masked = ring.add(x.parts[0], r)
        else:
            masked = ring.sub(ring.add(*x.parts), r)
        party.send(name, "rep3.reveal", ring.pack(masked))
    party.flush()
    if party.name not in to:
        return None
    missing = ring.unpack(party.recv(party.peer(-1), "rep3.reveal", size), x.shape)
    return ring.add(ring.add(*x.parts), missing)


def reveal_bits(p: Rep3, x: Share, to: Sequence[str]) -> Array | None:
    """F_reveal for truth values: as `reveal` over GF(2), packed."""
    ends_at_once(p)
    party, planes = p.party, p.pack(x)
    for name in to:
        if name in party.compute:
            if party.peer(+1) == name:
                party.send(name, "rep3.reveal-bits", planes.parts[0])
            continue
        if party.index == 2:
            continue
        r = party.common(+1 if party.index == 0 else -1, "rep3/reveal-bits-client").planes(1, x.size)
        masked = planes.parts[0] ^ r if party.index == 0 else planes.parts[0] ^ planes.parts[1] ^ r
        party.send(name, "rep3.reveal-bits", masked)
    party.flush()
    if party.name not in to:
        return None
    buf = party.recv(party.peer(-1), "rep3.reveal-bits", planes.parts[0].nbytes)
    opened = planes.parts[0] ^ planes.parts[1] ^ buf.view(np.uint64).reshape(1, -1)
    return np.asarray(kernels.unpack_bool(opened[0], x.size)).reshape(x.shape)
