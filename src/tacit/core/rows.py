"""Columns of shares whose rows move together: what shuffling and permuting take and return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.share import Share

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One value for each row: ring elements, or words of `ring.width` XOR-shared bits.

    Parts have shape (blocks, rows); rows move within their block only. Words are uint64 (at most 64 bits).
    """

    share: Share
    ring: Ring
    xor: bool = False

    def with_parts(self, *parts: Array) -> Column:
        """Return a column of the same type with other parts."""
        return Column(Share(parts), self.ring, self.xor)

    def plus(self, a: Array, b: Array) -> Array:
        """Return a + b, or a XOR b."""
        return a ^ b if self.xor else self.ring.add(a, b)

    def minus(self, a: Array, b: Array) -> Array:
        """Return a − b, or a XOR b."""
        return a ^ b if self.xor else self.ring.sub(a, b)

    def nbytes(self) -> int:
        """Bytes of one part on the wire."""
        return self.ring.wire_bytes(self.share.size)


def index_ring(rows: int) -> Ring:
    """Return the narrowest ring that tells `rows` places apart."""
    return Ring(max((rows - 1).bit_length(), 1))


def take_rows(a: Array, at: Array) -> Array:
    """Return out[b, i] = a[b, at'[b, i]], where `at` holds places in the flattened array."""
    return np.asarray(a.reshape(-1)[at].reshape(a.shape))


def flat_places(at: Array) -> Array:
    """Return places within blocks (blocks, rows) as places in the flattened array."""
    blocks, rows = at.shape
    return np.asarray((at.astype(np.int64) + (np.arange(blocks) * rows)[:, None]).reshape(-1))


def inverse_places(at: Array) -> Array:
    """Return the inverse of a permutation of the flattened array."""
    out = np.empty_like(at)
    out[at] = np.arange(at.size, dtype=at.dtype)
    return out
