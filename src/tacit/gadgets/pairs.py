"""Where a few rows go that are sorted: every one is compared with every other, in the rounds of one comparison.

Comparison counting (Knuth, TAOCP vol. 3, 5.2, Algorithm C), stable: of two equal rows the first comes first. A pass of
radix sort takes some rounds for every few bits of a key, all pairs some bytes for every pair; the price of the network
says which (docs/decisions/0083).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from tacit.algebra.ring import Ring, ring_of
from tacit.core.ghost import Ghost
from tacit.core.protocol import Protocol
from tacit.core.rows import Column, index_ring
from tacit.core.share import Share
from tacit.gadgets import exchange, sort

Array = npt.NDArray[Any]
MOST = 1 << 21
"""Pairs at a time: what is computed of so many is some 100 MB."""
WORTH = 2
"""Pairs have to cost so many times less, as processor time is in no price: on loopback both take as long there."""


def order(p: Protocol, x: Share, bits: int, blocks: int, rows: int) -> Column:
    """Return the stable sorting permutation of keys 0 ≤ x < 2^bits in every block: row i of it sorted is row at[i].

    It is a permutation whatever x is: other keys count as `ranks` says.
    """
    index = index_ring(rows)
    at = Column(ranks(p, x.reshape(x.size), bits, blocks, rows), index)
    (found,) = p.place(at, [exchange.places(p, (blocks, rows), index)])
    return found


def cheaper(p: Protocol, bits: int, blocks: int, rows: int) -> bool:
    """Return whether all pairs are compared: they are few enough, and cost less than radix sort."""
    n, pairs = blocks * rows, blocks * (rows * (rows - 1) // 2)
    if not (p.offers("place") and 0 < pairs <= MOST and 0 < bits < p.ring.width):
        return False
    index, narrow = index_ring(rows), p.over(ring_of(bits + 1))
    compared = p.price(("sign", n, {"bits": bits}))
    compared += narrow.price(("select", n, {}), ("sign", pairs, {"bits": bits}))
    moved = ("place", n, {"widths": (index.width,), "index": index.width})
    compared += p.over(index).price(("to_arith", pairs, {"planes": 1}), moved)
    radix = p.price(("decompose", n, {"bits": bits})) + sort.radix(p, bits, blocks, rows)[1]
    return WORTH * compared < radix


def ranks(p: Protocol, x: Share, bits: int, blocks: int, rows: int) -> Share:
    """Return where each row goes, a permutation of every block as elements of `index_ring`; x is flat.

    1. x modulo 2^(bits + 1), or 0 if its highest bit is set: so all differences lie within bits + 1 bits, their signs
    order the rows, and what moves rows opens a permutation, even of an x that was said to be smaller than it is.
    2. Row i against row i + r, for all r up to half of the rows: [x_(i+r) < x_i], or ≤ if that row comes before row i.
    3. A row's rank is how many of those it comes after, as row i, and how many come before it, as row i + r.
    """
    narrow, index = p.over(ring_of(bits + 1)), p.over(index_ring(rows))
    x = narrow.select(p.invert(p.sign(x, bits)), _low(p, x, narrow.ring)).reshape(blocks, rows)  # 1
    steps, each = rows // 2, rows * (rows - 1) // 2
    apart = narrow.add_public(_apart(narrow, x, steps), _round(narrow.ring, steps, rows))  # 2
    # Of an even number, the last step has half of the pairs.
    apart = apart.reshape(blocks, steps * rows)[:, :each].reshape(blocks * each)
    after = index.to_arith(narrow.sign(apart, bits)).reshape(blocks, each)  # 3
    if isinstance(p, Ghost):
        return index.sub(p.made((blocks, rows), index.ring), after[:, :1])
    parts = (_counted(index.ring, part, steps, rows) for part in after.parts)
    before = steps - (rows % 2 == 0) * (np.arange(rows) < steps)
    return index.add_public(Share(tuple(parts)), before.astype(np.uint64))


def _low(p: Protocol, x: Share, ring: Ring) -> Share:
    """Return x modulo a narrower ring, in its words."""
    return x.map(ring.low) if p.ring.wide and not (ring.wide or isinstance(p, Ghost)) else x


def _apart(p: Protocol, x: Share, steps: int) -> Share:
    """Return row i + r less row i, round the end: (blocks, steps, rows)."""
    blocks, rows = x.shape
    if isinstance(p, Ghost):
        return p.sub(p.made((blocks, steps, rows)), p.made((blocks, 1, rows)))

    def windows(part: Array) -> Array:
        return sliding_window_view(np.concatenate([part, part[:, :steps]], axis=1)[:, 1:], rows, axis=1)

    return p.sub(x.map(windows), x.map(lambda part: part[:, None]))


def _round(ring: Ring, steps: int, rows: int) -> Array:
    """Return −1 where row i + r is before row i, round the end, else 0."""
    past = np.add.outer(np.arange(1, steps + 1), np.arange(rows)) >= rows
    return np.where(past, ring.constant(-1), ring.constant(0))


def _counted(ring: Ring, after: Array, steps: int, rows: int) -> Array:
    """Return how many of the rows on its right each comes after, less how many of those on its left come after it."""
    blocks, each = after.shape
    flat = np.zeros((blocks, steps * rows), np.uint64)
    flat[:, :each] = after
    right = flat.reshape(blocks, steps, rows)
    table = np.concatenate([right, right], axis=2)  # to be read from any column on
    size = table.itemsize
    left = as_strided(
        table.reshape(blocks, -1)[:, rows - 1 :],
        (blocks, steps, rows),
        (table.strides[0], (2 * rows - 1) * size, size),
    )
    return ring.reduce(right.sum(1) - left.sum(1))
