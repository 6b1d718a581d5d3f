"""Sorting and moving rows by compare and exchange, for protocols that cannot shuffle: only AND, XOR and selection.

Batcher's merge exchange (K. Batcher, "Sorting networks and their applications", AFIPS 1968; Knuth, TAOCP vol. 3,
5.2.2, Algorithm M) compares pairs of rows that depend on the number of rows alone, t(t + 1)/2 waves of them for
t = ceil(log2 rows). The row's own place is part of what is compared, so that no two rows are equal and the order is
stable. Whether the rows of a pair change places stays a secret bit. These bits are the permutation: other columns
follow it by the same exchanges, or undo it by the exchanges backwards (docs/decisions/0070).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.ghost import Ghost
from tacit.core.protocol import Protocol
from tacit.core.rows import Column, index_ring
from tacit.core.share import Planes, Share, join, stack_planes

Array = npt.NDArray[Any]
WORD = 64
Pairs = tuple[Array, Array]


@lru_cache(maxsize=64)
def waves(rows: int) -> tuple[Pairs, ...]:
    """Return the pairs (upper row, lower row) of each wave of merge exchange."""
    if rows < 2:
        return ()
    found, every = [], np.arange(rows)
    top = 1 << ((rows - 1).bit_length() - 1)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            upper = every[: rows - d]
            upper = upper[(upper & p) == r]
            found.append((upper, upper + d))
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Moves:
    """A secret permutation of the rows of every block: for each wave, which of its pairs change places."""

    rows: int
    bits: tuple[Planes, ...]

    def forward(self, p: Protocol, columns: Sequence[Column]) -> list[Column]:
        """Move rows to where the sort moved them; a round for each wave, two if some columns are ring elements."""
        held = list(columns)
        for pair, bit in zip(waves(self.rows), self.bits, strict=True):
            held = _exchange(p, bit, held, pair)
        return held

    def back(self, p: Protocol, columns: Sequence[Column]) -> list[Column]:
        """Undo `forward`."""
        held = list(columns)
        for pair, bit in zip(waves(self.rows)[::-1], self.bits[::-1], strict=True):
            held = _exchange(p, bit, held, pair)
        return held


def sort(p: Protocol, keys: Sequence[Column]) -> tuple[list[Column], Moves]:
    """Sort rows by columns of XOR-shared words, the first the least significant; no two rows may be equal.

    Each wave takes 2 + ceil(log2 b) rounds for b bits a row: b ANDs to compare bit by bit, about 2b to join the
    comparisons, b to exchange.
    """
    held, bits = list(keys), []
    rows = keys[0].share.shape[1]
    for pair in waves(rows):
        upper, lower = (
            stack_planes([p.low_planes(_flat(c.share[:, at]), c.ring.width) for c in held]) for at in pair
        )
        bits.append(_greater(p, upper, lower))
        held = _exchange(p, bits[-1], held, pair)
    return held, Moves(rows, tuple(bits))


def order(p: Protocol, keys: Planes | None, blocks: int, rows: int) -> Column:
    """Return the stable sorting permutation of each block: row i of the sorted block is row at[i]."""
    shape, ring = (blocks, rows), index_ring(rows)
    columns = [places(p, shape, ring)]
    for start in range(0, 0 if keys is None else keys.planes, WORD):
        assert keys is not None
        some = keys[start : start + WORD]
        columns.append(Column(p.words(some).reshape(*shape), Ring(some.planes), True))
    return columns[0] if keys is None else sort(p, columns)[0][0]


def flagged(p: Protocol, flags: Planes, blocks: int, rows: int) -> Moves:
    """Return the moves that bring flagged rows to the front of each block, all in their order."""
    shape = (blocks, rows)
    last = Column(p.words(p.invert(flags)).reshape(*shape), Ring(1), True)
    return sort(p, [places(p, shape, index_ring(rows)), last])[1]


def moves(p: Protocol, at: Column) -> Moves:
    """Return the moves that put row i of every block at row at[i]: those that sort `at`, XOR-shared words."""
    return sort(p, [at])[1]


def places(p: Protocol, shape: tuple[int, int], ring: Ring) -> Column:
    """Return every row's own place, shared trivially."""
    if isinstance(p, Ghost):
        return Column(p.made(shape), ring, True)
    every = np.broadcast_to(np.arange(shape[1], dtype=np.uint64), shape)
    parts = (every.copy() if p.holds_constant(j) else np.zeros(shape, np.uint64) for j in range(p.parts))
    return Column(Share(tuple(parts)), ring, True)


def _flat(share: Share) -> Share:
    return share.reshape(share.size)


def _greater(p: Protocol, x: Planes, y: Planes) -> Planes:
    """Return the plane [x > y] of whole numbers, lowest bit first: neighbouring bits join, the higher one decides."""
    same = p.invert(p.xor(x, y))
    wins = p.and_(x, p.invert(y))
    while wins.planes > 1:
        even = wins.planes // 2 * 2
        low, high = slice(0, even, 2), slice(1, even, 2)
        met = p.and_(stack_planes([same[high]] * 2), stack_planes([wins[low], same[low]]))
        half = even // 2
        # Either the higher bits differ, or the lower ones decide: never both.
        first, both = p.xor(wins[high], met[:half]), met[half:]
        rest = slice(even, None)
        alone = wins.planes > even
        wins = stack_planes([first, *([wins[rest]] if alone else [])])
        same = stack_planes([both, *([same[rest]] if alone else [])])
    return wins


def _exchange(p: Protocol, bit: Planes, columns: list[Column], pair: Pairs) -> list[Column]:
    """Return columns whose pairs of rows have changed places where the bit is set.

    Both rows take the same difference, if the bit is set: the XOR, or one adds it and one subtracts it.
    """
    gaps = [_gap(p, c, pair) for c in columns]
    words = [i for i, c in enumerate(columns) if c.xor]
    numbers = [i for i, c in enumerate(columns) if not c.xor]
    moved: dict[int, Share] = {}
    if words:
        planes = [p.low_planes(_flat(gaps[i]), columns[i].ring.width) for i in words]
        wide = stack_planes(planes)
        kept, start = p.and_(wide, stack_planes([bit] * wide.planes)), 0
        for i, some in zip(words, planes, strict=True):
            moved[i] = p.words(kept[start : start + some.planes]).reshape(*gaps[i].shape)
            start += some.planes
    if numbers:
        flat = join([_flat(gaps[i]) for i in numbers])
        chosen = p.select(repeat(p, bit, len(numbers)), flat)
        for k, i in enumerate(numbers):
            moved[i] = chosen[k * bit.n : (k + 1) * bit.n].reshape(*gaps[i].shape)
    return [_put(p, c, moved[i], pair) for i, c in enumerate(columns)]


def _gap(p: Protocol, c: Column, pair: Pairs) -> Share:
    upper, lower = pair
    if isinstance(p, Ghost):
        return p.made((c.share.shape[0], len(upper)))
    return Share(tuple(np.ascontiguousarray(c.minus(a[:, lower], a[:, upper])) for a in c.share.parts))


def _put(p: Protocol, c: Column, gap: Share, pair: Pairs) -> Column:
    if isinstance(p, Ghost):
        return c
    upper, lower = pair
    parts = []
    for a, g in zip(c.share.parts, gap.parts, strict=True):
        out = a.copy()
        out[:, upper] = c.plus(a[:, upper], g)
        out[:, lower] = c.minus(a[:, lower], g)
        parts.append(out)
    return c.with_parts(*parts)


def repeat(p: Protocol, bit: Planes, times: int) -> Planes:
    """Return a plane's bits, so many times one after another."""
    if times == 1:
        return bit
    return p.pack(join([p.unpack(bit, (bit.n,))] * times))
