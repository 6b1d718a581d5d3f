"""Stable sorting of secret keys by their bits, and moving rows by the order found.

Radix sort by shuffle and reveal: Hamada, Ikarashi, Chida, Takahashi, "Oblivious radix sort", ePrint 2014/121;
Chida et al., "An efficient secure three-party sorting protocol with an honest majority", ePrint 2019/695; Asharov
et al., "Efficient secure three-party sorting with applications to data analysis and heavy hitters", CCS 2022.
Here rows of packed XOR-shared words (the key bits still to come, and the row's first place) move from pass to
pass, ranks are computed modulo the number of rows, and a pass takes several bits (docs/decisions/0040).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.ghost import Ghost
from tacit.core.protocol import Card, Protocol, Wave, price
from tacit.core.rows import Column, index_ring
from tacit.core.share import Planes, Share, join, stack_planes
from tacit.core.timing import Network
from tacit.gadgets import exchange

Array = npt.NDArray[Any]
WORD = 64


STEPS = (3, 4, 2, 1)
"""Key bits that one pass may take; the first of equal price is chosen."""


def radix(p: Protocol, bits: int, blocks: int, rows: int) -> tuple[int, int]:
    """Return how many key bits one pass takes, and the price of all: three are fewest bytes, more are fewer rounds."""
    cards = tuple(p.card(name) for name in ("digit_ranks", "place"))
    return _cheapest(cards, p.party.n, p.party.network, bits, blocks * rows, index_ring(rows))


@lru_cache(maxsize=1 << 10)
def _cheapest(
    cards: tuple[Card, ...], parties: int, network: Network, bits: int, n: int, ring: Ring
) -> tuple[int, int]:
    def worth(step: int) -> int:
        waves: list[Wave] = []
        for done in range(0, bits, step):
            width, left = min(step, bits - done), bits - min(done + step, bits) + ring.width
            words = tuple(min(WORD, left - at) for at in range(0, left, WORD))
            calls: list[dict[str, Any]] = [{"bits": width}, {"widths": words, "index": ring.width}]
            for card, sizes in zip(cards, calls, strict=True):
                waves += card.pattern(ring, n, parties=parties, network=network, **sizes)
        return price(network, parties, waves)

    prices = {step: worth(step) for step in STEPS}
    best = min(STEPS, key=prices.__getitem__)
    return best, prices[best]


def order(p: Protocol, keys: Planes | None, blocks: int, rows: int, step: int = 0) -> Column:
    """Return the stable sorting permutation of each block: row i of the sorted block is row at[i].

    `keys` holds the bits of all keys (flattened), least significant first; None leaves every row where it is.
    Rounds: for each pass 3 for ranks, 2 to move.
    """
    if not p.offers("place"):
        return exchange.order(p, keys, blocks, rows)
    ring = index_ring(rows)
    bits = 0 if keys is None else keys.planes
    columns = _rows_of(p, keys, bits, blocks, rows)
    del keys  # what is no longer needed is let go: here by name, below by having none
    step = step or (radix(p, bits, blocks, rows)[0] if bits else 1)
    while bits:
        width = min(step, bits, columns[0].ring.width)
        digit = p.low_planes(columns[0].share, width)
        columns[:1] = _without(p, columns[0], width)
        at = [Column(p.over(ring).digit_ranks(digit, blocks, rows), ring)]
        columns = p.place(at.pop(), [columns.pop(0) for _ in range(len(columns))])
        bits -= width
    return columns[0]


def _without(p: Protocol, c: Column, bits: int) -> list[Column]:
    """Shift the low bits out of words that nobody else holds, in place; nothing is left of a column of no more."""
    if not isinstance(p, Ghost):
        for a in c.share.parts:
            np.right_shift(a, np.uint64(bits), out=a)
    return [Column(c.share, Ring(c.ring.width - bits), True)] if bits < c.ring.width else []


def _rows_of(p: Protocol, keys: Planes | None, bits: int, blocks: int, rows: int) -> list[Column]:
    """Pack the key bits, then the row's own place above them, into words; the last word is full if possible."""
    ring = index_ring(rows)
    shape = (blocks, rows)
    places = np.broadcast_to(np.arange(rows, dtype=np.uint64), shape)
    total = bits + ring.width
    cuts = list(range(total, 0, -WORD))[::-1]
    # The places stay in one word, though it leaves that word's key bits fewer.
    start, columns = 0, []
    for stop in cuts:
        low, high = start, min(stop, bits)
        held = p.words(keys[low:high]).reshape(*shape) if keys is not None and high > low else None
        if stop == total:
            shift = np.uint64(bits - low)
            mine = _plus_public(p, held, places << shift, shape)
            columns.append(Column(mine, Ring(total - low), True))
        else:
            assert held is not None
            columns.append(Column(held, Ring(high - low), True))
        start = high
    return columns


def _plus_public(p: Protocol, words: Share | None, value: Array, shape: tuple[int, ...]) -> Share:
    if isinstance(p, Ghost):
        return p.made(shape)
    held = words.parts if words is not None else (np.zeros(shape, np.uint64),) * p.parts
    return Share(tuple(a ^ value if p.holds_constant(j) else a for j, a in enumerate(held)))


def place(p: Protocol, at: Column, columns: Sequence[Column]) -> list[Column]:
    """Return out[at[i]] = x[i] in every block: F_place, or by a network where the protocol has none."""
    if p.offers("place"):
        return p.place(at, columns)
    return exchange.moves(p, at).forward(p, columns)


def fetch(p: Protocol, at: Column, columns: Sequence[Column]) -> list[Column]:
    """Return out[i] = x[at[i]] in every block: F_fetch, or by a network where the protocol has none."""
    if p.offers("fetch"):
        return p.fetch(at, columns)
    return exchange.moves(p, at).back(p, columns)


# -- filling gaps ----------------------------------------------------------------------------------------------


def fill(p: Protocol, flags: Planes, columns: Sequence[Column]) -> list[Column]:
    """Return, for each row, the columns of the nearest flagged row at or before it; zero where there is none.

    1. Flagged rows move to the front, in order. 2. Each takes the difference to the one before it; rows that are
    not flagged take zero. 3. They move back, and running sums add up to the last flagged row's value. The ring
    wraps as often as it likes. Four rounds of moving, three of ranks and two of selection, whatever the size.
    """
    if not columns:
        return []
    blocks, rows = columns[0].share.shape
    marks = Column(p.words(flags).reshape(blocks, rows), Ring(1), True)
    if not p.offers("place"):
        moves = exchange.flagged(p, flags, blocks, rows)
        mark, *front = moves.forward(p, [marks, *columns])
        return [_running(p, c) for c in moves.back(p, _steps(p, p.low_planes(mark.share, 1), front))]
    ring = index_ring(rows)
    at = Column(p.over(ring).digit_ranks(p.invert(flags), blocks, rows), ring)
    mark, *front = p.place(at, [marks, *columns])  # 1
    back = p.fetch(at, _steps(p, p.low_planes(mark.share, 1), front))  # 2, 3
    return [_running(p, c) for c in back]


def _steps(p: Protocol, kept: Planes, columns: list[Column]) -> list[Column]:
    """Return each row less the row before it, zero where `kept` is 0."""
    out: list[Column] = []
    gaps = columns if isinstance(p, Ghost) else [_gap(c) for c in columns]
    sums = [i for i, c in enumerate(gaps) if not c.xor]
    shape = columns[0].share.shape
    chosen: dict[int, Share] = {}
    if sums:
        flat = join([gaps[i].share.reshape(gaps[i].share.size) for i in sums])
        masked = p.select(exchange.repeat(p, kept, len(sums)), flat)
        n = kept.n
        chosen = {i: masked[j * n : (j + 1) * n].reshape(*shape) for j, i in enumerate(sums)}
    for i, c in enumerate(gaps):
        if c.xor:
            planes = p.low_planes(c.share, c.ring.width)
            masks = stack_planes([kept] * planes.planes)
            chosen[i] = p.words(p.and_(planes, masks)).reshape(*shape)
        out.append(Column(chosen[i], c.ring, c.xor))
    return out


def _gap(c: Column) -> Column:
    parts = []
    for a in c.share.parts:
        before = np.zeros_like(a)
        before[:, 1:] = a[:, :-1]
        parts.append(c.minus(a, before))
    return c.with_parts(*parts)


def _running(p: Protocol, c: Column) -> Column:
    if isinstance(p, Ghost):
        return c
    if c.xor:
        return c.with_parts(*(np.bitwise_xor.accumulate(a, axis=1) for a in c.share.parts))
    return c.with_parts(*(c.ring.cumsum(a, 1) for a in c.share.parts))


def constant_planes(p: Protocol, value: Array, bits: int) -> Planes:
    """Return the trivial sharing of the low bits of public ring elements (flattened)."""
    planes = kernels.to_planes(np.ascontiguousarray(value).reshape(-1), bits)
    zero = np.zeros_like(planes)
    return Planes(tuple(planes if p.holds_constant(j) else zero for j in range(p.parts)), int(value.size))
