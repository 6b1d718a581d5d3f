"""Correlated randomness from a dealer: one description, walked by the dealer and by every party.

The dealer shares one stream with each party. A uniform value is the sum of what the n streams say, so nothing
is sent for it; a dependent value takes n − 1 shares from the streams and sends the last party the difference.
At a party every method returns its own share, at the dealer the value itself. Source of triples: Beaver,
"Efficient multiparty protocols using circuit randomization", CRYPTO 1991; shares from seeds with one
correction are folklore.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.party import Party
from tacit.crypto.prg import Source

Array = npt.NDArray[Any]
RADIX = 4


class Material:
    """One participant's end; the dealer's own end computes what the others receive."""

    def __init__(self, party: Party, ring: Ring, dealer: str) -> None:
        self.party = party
        self.ring = ring
        self.dealer = dealer
        self.dealing = party.name == dealer

    def _streams(self) -> list[Source]:
        if self.dealing:
            return [self.party.common_with(name, "semi2k/deal") for name in self.party.compute]
        return [self.party.common_with(self.dealer, "semi2k/deal")]

    @property
    def _last(self) -> bool:
        return self.party.index == self.party.n - 1

    # -- uniform values: no message --------------------------------------------------------------------------

    def uniform(self, shape: tuple[int, ...], bits: int | None = None) -> Array:
        """Share a uniform element (below 2^bits: shares add up mod 2^bits)."""
        bits = self.ring.width if bits is None else bits
        drawn = [self._draw(s, shape, bits) for s in self._streams()]
        return self.ring.low_bits(self._total(drawn), bits)

    def uniform_planes(self, planes: int, n: int) -> Array:
        """Share uniform bit planes."""
        drawn = [s.planes(planes, n) for s in self._streams()]
        return np.asarray(np.bitwise_xor.reduce(drawn, axis=0))

    # -- dependent values: one correction to the last party --------------------------------------------------

    def share(self, value: Callable[[], Array], shape: tuple[int, ...], bits: int | None = None) -> Array:
        """Share what `value` returns (asked at the dealer alone), mod 2^bits."""
        ring = self.ring
        bits = ring.width if bits is None else bits
        if self.dealing:
            drawn = [self._draw(s, shape, bits) for s in self._streams()[:-1]]
            rest = ring.low_bits(ring.sub(value().reshape(shape), self._total(drawn)), bits)
            self._correct(ring.pack(rest, bits))
            return rest
        if not self._last:
            return self._draw(self._streams()[0], shape, bits)
        size = ring.wire_bytes(int(np.prod(shape, dtype=np.int64)), bits)
        return ring.unpack(self.party.recv(self.dealer, "semi2k.deal", size), shape, bits)

    def share_planes(self, value: Callable[[], Array], planes: int, n: int) -> Array:
        """Share the bit planes that `value` returns (asked at the dealer alone)."""
        if self.dealing:
            rest = value().copy()
            for s in self._streams()[:-1]:
                rest ^= s.planes(planes, n)
            self._correct(rest)
            return rest
        if not self._last:
            return self._streams()[0].planes(planes, n)
        lanes = -(-n // 64)
        buf = self.party.recv(self.dealer, "semi2k.deal", planes * lanes * 8)
        return buf.view(np.uint64).reshape(planes, lanes)

    # -- the correlations ------------------------------------------------------------------------------------

    def triple(self, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Share a, b, a·b elementwise."""
        a, b = self.uniform(shape), self.uniform(shape)
        return a, b, self.share(lambda: self.ring.mul(a, b), shape)

    def matrix_triple(self, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Share A, B, A@B of shapes `x` and `y`."""
        a, b = self.uniform(x), self.uniform(y)
        shape = (*np.broadcast_shapes(x[:-2], y[:-2]), x[-2], y[-1])
        return a, b, self.share(lambda: self.ring.matmul(a, b), shape)

    def bit_triple(self, planes: int, n: int) -> tuple[Array, Array, Array]:
        """Share a, b, a AND b."""
        a, b = self.uniform_planes(planes, n), self.uniform_planes(planes, n)
        return a, b, self.share_planes(lambda: a & b, planes, n)

    def shifted_mask(self, shape: tuple[int, ...], f: int) -> tuple[Array, Array, Array, Array]:
        """Share r and, for b = −r: b>>f, 1 − msb(b) mod 2^f; the dealer also gets b itself, last."""
        ring = self.ring
        r = self.uniform(shape)
        b = ring.neg(r)  # meaningful at the dealer alone
        high = self.share(lambda: ring.shr(b, f), shape)
        v = self.share(lambda: ring.from_words(ring.top_bit(b) ^ np.uint64(1)), shape, f)
        return r, high, v, b

    def mask(self, n: int, bits: int) -> tuple[Array, Array]:
        """Share r mod 2^bits; the dealer also gets the planes of b = −r."""
        r = self.uniform((n,), bits)
        return r, kernels.to_planes(self.ring.neg(r), bits) if self.dealing else np.empty(0, np.uint64)

    def blocks(self, b: Array, n: int, bits: int) -> Array:
        """Share the block tables of b's low `bits` planes (known to the dealer)."""
        rows = table_rows(bits)
        return self.share_planes(lambda: kernels.block_table(b[:bits], RADIX), rows, n)

    def dabits(self, planes: int, n: int) -> tuple[Array, Array]:
        """Share random bits twice: as planes and as ring elements (planes, n)."""
        ring = self.ring
        bits = self.uniform_planes(planes, n)

        def lifted() -> Array:
            rows = np.stack([kernels.unpack_bool(row, n) for row in bits])
            return ring.from_words(rows.astype(np.uint64))

        return bits, self.share(lifted, (planes, n))

    # -- helpers ---------------------------------------------------------------------------------------------

    def _draw(self, source: Source, shape: tuple[int, ...], bits: int) -> Array:
        return (
            source.ring(self.ring, shape) if bits == self.ring.width else source.bits(bits, shape, self.ring)
        )

    def _total(self, drawn: list[Array]) -> Array:
        total = drawn[0]
        for d in drawn[1:]:
            total = self.ring.add(total, d)
        return total

    def _correct(self, payload: Array) -> None:
        self.party.send(self.party.compute[-1], "semi2k.deal", payload)
        self.party.flush()


def table_rows(bits: int) -> int:
    """Return how many table planes describe `bits` bits in blocks of RADIX."""
    full, rest = divmod(bits, RADIX)
    return full * (2**RADIX - 1) + (2**rest - 1)
