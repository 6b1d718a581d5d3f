"""`clear`: the ideal world. One trusted party holds every value; the oracle of the conformance tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.protocol import Card, Protocol, Wave
from tacit.core.rows import Column, flat_places, inverse_places, take_rows
from tacit.core.share import Matrix, Planes, Share

Array = npt.NDArray[Any]


def _silent(ring: Ring, n: int, **_: object) -> list[Wave]:
    return []


class Clear(Protocol):
    """Every functionality, computed on the value itself with the exact result of its specification."""

    name = "clear"
    parts = 1

    def holds_constant(self, part: int) -> bool:
        """Return True: the one party adds constants."""
        return True

    def share_input(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input."""
        assert value is not None
        return Share((value,))

    share_bits = share_input

    def reveal(self, x: Share, to: Sequence[str]) -> Array | None:
        """F_reveal."""
        return x.parts[0]

    reveal_bits = reveal

    def mul(self, x: Share, y: Share) -> Share:
        """F_mul."""
        return Share((self.ring.mul(x.parts[0], y.parts[0]),))

    def matmul(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul."""
        return self.matmul_public(x, y.parts[0] if isinstance(y, Share) else y)

    def trunc(self, x: Share, f: int) -> Share:
        """F_trunc: here the nearest multiple, ties upward."""
        self.check_shift(f)
        if f == 0:
            return x
        ring = self.ring
        half = ring.constant((1 << (f - 1)) + (1 << (ring.width - 2)))
        shifted = ring.shr(ring.add(x.parts[0], half), f)
        return Share((ring.sub(shifted, ring.constant(1 << (ring.width - 2 - f))),))

    def trunc_exact(self, x: Share, f: int) -> Share:
        """F_floor."""
        self.check_shift(f)
        ring = self.ring
        shifted = ring.shr(ring.add(x.parts[0], ring.constant(1 << (ring.width - 2))), f)
        return Share((ring.sub(shifted, ring.constant(1 << (ring.width - 2 - f))),))

    def and_(self, x: Planes, y: Planes) -> Planes:
        """F_and."""
        return Planes((x.parts[0] & y.parts[0],), x.n)

    def and_all(self, x: Planes) -> Planes:
        """F_and of many."""
        return Planes((np.bitwise_and.reduce(x.parts[0], axis=0, keepdims=True),), x.n)

    def sign(self, x: Share, bits: int) -> Planes:
        """F_sign."""
        self.check_bits(bits + 1)
        planes = kernels.to_planes(np.ascontiguousarray(x.parts[0]).reshape(-1), bits + 1)
        return Planes((planes[bits:],), x.size)

    def is_zero(self, x: Share, bits: int) -> Planes:
        """F_zero."""
        self.check_bits(bits)
        planes = kernels.to_planes(np.ascontiguousarray(x.parts[0]).reshape(-1), bits)
        return Planes((~np.bitwise_or.reduce(planes, axis=0)[None, :],), x.size)

    def decompose(self, x: Share, bits: int) -> Planes:
        """F_a2b."""
        self.check_bits(bits)
        return Planes((kernels.to_planes(np.ascontiguousarray(x.parts[0]).reshape(-1), bits),), x.size)

    def to_arith(self, b: Planes) -> Share:
        """F_b2a."""
        rows = [kernels.unpack_bool(row, b.n) for row in b.parts[0]]
        return Share((self.ring.from_words(np.array(rows, np.uint64).reshape(b.planes, b.n)),))

    def select(self, b: Planes, x: Share) -> Share:
        """F_inject."""
        bit = self.ring.from_words(kernels.unpack_bool(b.parts[0][0], b.n).astype(np.uint64))
        return Share((self.ring.mul(bit.reshape(x.shape), x.parts[0]),))

    def dot(self, x: Share, y: Share) -> Share:
        """F_mul and the sum over the first axis."""
        return self.sum(self.mul(x, y), (0,))

    def digit_ranks(self, digit: Planes, blocks: int, rows: int) -> Share:
        """F_rank."""
        value = self.words(digit).parts[0].reshape(blocks, rows)
        order = np.argsort(value, axis=-1, kind="stable")
        ranks = np.empty(order.shape, np.uint64)
        np.put_along_axis(ranks, order, np.arange(rows, dtype=np.uint64), axis=-1)
        return Share((ranks,))

    def shuffle(self, columns: Sequence[Column]) -> list[Column]:
        """F_shuffle."""
        if not columns:
            return []
        order = self.party.keys.private("clear/shuffle").permutation(*columns[0].share.shape)
        return _moved(columns, order)

    def place(self, at: Column, columns: Sequence[Column]) -> list[Column]:
        """F_place."""
        return _moved(columns, inverse_places(_places(at)))

    def fetch(self, at: Column, columns: Sequence[Column]) -> list[Column]:
        """F_fetch."""
        return _moved(columns, _places(at))


def _places(at: Column) -> Array:
    value = at.share.parts[0]
    return flat_places(value["lo"] if at.ring.wide else value)


def _moved(columns: Sequence[Column], source: Array) -> list[Column]:
    return [c.with_parts(take_rows(c.share.parts[0], source)) for c in columns]


_REALISED = (
    "share_input share_bits reveal reveal_bits agree mul matmul and_ and_all trunc trunc_exact mul_trunc "
    "matmul_trunc sign is_zero decompose to_arith select dot digit_ranks shuffle place fetch"
)
Clear.cards = {
    name: Card(name, "clear", "the specification", "none", "0 of 1", "none", "everything", _silent)
    for name in _REALISED.split(" ")
}
