"""The place of the greatest of many rows, the first of equal ones: selected with it, or traced back from who won.

A group's rows follow one another, and those of the groups before it come before them: so the first of equal ones wins,
if it does in each group (docs/decisions/0061).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.blocks import put_together
from tacit.core.protocol import Card, Protocol, Wave, price
from tacit.core.share import Share, apart, join, stack_planes
from tacit.core.timing import Network
from tacit.gadgets import tournament as tm
from tacit.gadgets.exchange import repeat

Array = npt.NDArray[Any]

Part = Callable[[int, int], Share]
"""The seats of groups from one to another."""


class Level(NamedTuple):
    """One level of a tournament of groups of k rows that follow one another; who is alone is the last row."""

    rows: int
    k: int
    groups: int
    alone: int


def _levels(rows: int, levels: tuple[int, ...]) -> list[Level]:
    """Return the levels of groups of such sizes; a group's winner takes its place among the rows of the next."""
    found = list[Level]()
    for k in levels:
        groups, alone = tm.groups_of(rows, k)
        found.append(Level(rows, k, groups, alone))
        rows = groups + alone
    return found


def greatest_place(p: Protocol, x: Share, bits: int) -> Share:
    """Return the number of the first row that holds the greatest of each column of x (rows, columns).

    As `tournament.greatest`. Rows' numbers either move with the elements, or are found at the end from who won: [row
    won its group], AND the same of its group's winner, and so on up, by F_and of many; the bits of the row's number
    are XORs of these, and become ring elements by F_b2a. That sends few bits a row, for a few rounds more.
    """
    rows, columns = x.shape
    if rows == 1 or not columns:
        return p.constant(p.ring.zeros((columns,)))
    most = max(bits, (rows - 1).bit_length())
    both, numbered, with_numbers = tm.cheapest(
        p, lambda q: tm.plan(q, rows, columns, bits, 2), most + tm.ROOM, columns
    )
    one, plain, without = tm.cheapest(p, lambda q: tm.plan(q, rows, columns, bits, 1), bits + 1, 0)
    tracing, joined = _tracing(p, rows, columns, len(without))
    if both <= one + tracing:
        return _carried(p, numbered, x, bits, with_numbers)
    return _traced(p, plain, x, bits, without, joined)


def _tracing(p: Protocol, rows: int, columns: int, levels: int) -> tuple[int, int]:
    """Return the least price of finding the rows' numbers, and how many levels are joined at a time."""
    cards = p.card("and_all"), p.card("to_arith")
    return _cheapest(cards, p.party.n, p.party.network, p.ring, rows, columns, levels)


@lru_cache(maxsize=1 << 10)
def _cheapest(
    cards: tuple[Card, Card], parties: int, network: Network, ring: Ring, rows: int, columns: int, levels: int
) -> tuple[int, int]:
    planes = (rows - 1).bit_length()

    def worth(at_once: int) -> int:
        waves, left, (every, convert) = list[Wave](), levels, cards
        while left > 1:
            sizes = {"planes": min(at_once, left)}
            waves += every.pattern(ring, rows * columns, parties=parties, network=network, **sizes)
            left = -(-left // at_once)
        waves += convert.pattern(ring, columns * planes, parties=parties, network=network, planes=planes)
        return price(network, parties, waves)

    return min((worth(at_once), at_once) for at_once in range(2, max(2, levels) + 1))


def _seats(p: Protocol, x: Share, k: int, wide: bool, low: int, high: int) -> Share:
    """Return the seats of some groups, views of x (rows, columns) if it is of the ring of p already."""
    rows = tm.held(x[low * k : high * k], (high - low) * k)
    seats = rows.map(lambda a: a.reshape(high - low, k, a.shape[1]).swapaxes(0, 1))
    return tm.over(p, seats) if wide else seats


# -- rows' numbers that move with the elements -------------------------------------------------------------------


def _carried(p: Protocol, q: Protocol, x: Share, bits: int, levels: tuple[int, ...]) -> Share:
    """Select the rows' numbers as the elements, both over the ring of q."""
    rows, columns = x.shape
    found = _levels(rows, levels)
    x = tm.over(q, x)
    where = q.constant(np.repeat(q.ring.encode_ints(np.arange(rows)), columns).reshape(rows, columns))
    for level in found[:-1]:
        seats, places = (_seats(q, a, level.k, False, 0, level.groups) for a in (x, where))
        gaps, hot = tm.meet(q, seats, bits)
        steps = join([a.reshape(a.size) for a in (gaps, q.sub(places[:-1], places[-1:]))])
        steps = q.select(repeat(q, hot, 2), steps).reshape(2, *gaps.shape)
        x, where = (
            join([tm.moved(q, step, seat[-1]), *[rows[rows.shape[0] - 1 :]] * level.alone])
            for step, seat, rows in ((steps[0], seats, x), (steps[1], places, where))
        )
    seats, places = (_seats(q, a, found[-1].k, False, 0, found[-1].groups) for a in (x, where))
    hot = tm.meet(q, seats, bits)[1]
    found_place = tm.chosen(q, hot, q.sub(places[:-1], places[-1:]), places[-1])
    return tm.lifted(p, q, found_place.reshape(columns))


# -- rows' numbers from who won ----------------------------------------------------------------------------------

Step = tuple[Share, tuple[Level, ...]]
"""Whether each row (rows, columns) won, there and at the levels that have been joined with it; all of these."""


def _traced(p: Protocol, q: Protocol, x: Share, bits: int, levels: tuple[int, ...], joined: int) -> Share:
    """Find the rows' numbers from who won at each level, over the ring of q; so many levels are joined at a time."""
    rows, columns = x.shape
    steps: list[Step] = []
    x_last, wide = tm.over(q, x[rows - 1 :]), True
    for level in _levels(rows, levels):
        some = partial(_seats, q, x, level.k, wide)
        shape, hots = (level.k, level.groups, columns), list[Share]()
        if level.groups + level.alone > 1:
            x = put_together(
                level.groups + level.alone, chain(_noting(q, shape, bits, some, hots), [x_last] * level.alone)
            )
        else:
            hots = [q.unpack(hot, gaps.shape) for _, gaps, hot in tm.met(q, shape, bits, some)]
        del some  # which holds all rows of the level below
        x_last, wide = x[x.shape[0] - 1 :], False
        steps.append((_winners(p, join(hots, 1), level), (level,)))
    while len(steps) > 1:
        steps = _joined(p, steps, min(joined, len(steps)))
    return _number(p, steps[0][0])


def _noting(
    p: Protocol, shape: tuple[int, ...], bits: int, seats: Part, hots: list[Share]
) -> Iterator[Share]:
    """Give each block's greatest; add to `hots` which seats won."""
    for part, gaps, hot in tm.met(p, shape, bits, seats):
        hots.append(p.unpack(hot, gaps.shape))
        yield tm.chosen(p, hot, gaps, part[-1])


def _winners(p: Protocol, hot: Share, level: Level) -> Share:
    """Return whether each row (rows, columns) wins its group, from all seats but the last; who is alone does."""
    parts = []
    for j, a in enumerate(hot.parts):
        one = np.uint8(p.holds_constant(j))
        last = (a[0] if level.k == 2 else np.bitwise_xor.reduce(a, axis=0)) ^ one
        parts.append(_rows([*a, last], level, np.full((level.alone, a.shape[2]), one)))
    return Share(tuple(parts))


def _rows(seats: Sequence[Array], level: Level, alone: Array) -> Array:
    """Return the rows of a level, from k seats (groups, columns) and who is alone."""
    out = np.empty((level.groups * level.k + level.alone, alone.shape[1]), np.uint8)
    grouped = out[: level.groups * level.k].reshape(level.groups, level.k, -1)
    for i, seat in enumerate(seats):
        grouped[:, i] = seat
    out[len(out) - level.alone :] = alone
    return out[: level.rows]  # without the missing ones


def _below(level: Level, above: Array) -> Array:
    """Return, for each row of a level, that of the row above it."""
    return _rows([above[: level.groups]] * level.k, level, above[level.groups :])


def _joined(p: Protocol, steps: list[Step], count: int) -> list[Step]:
    """Join so many steps at a time, at the rows of the lowest: a row won there, and the one above it, and so on."""
    chunks = [steps[at : at + count] for at in range(0, len(steps), count)]
    kept = chunks.pop() if len(chunks[-1]) == 1 else []
    sizes = [chunk[0][0].size for chunk in chunks]
    # Bytes of one plane at a time: all of them would be the most that is held.
    planes = [
        tm.packed(p, join([_seen_below(p, chunk, i) for chunk in chunks]).reshape(1, sum(sizes)))
        for i in range(count)
    ]
    won = p.unpack(p.and_all(stack_planes(planes)), (sum(sizes),))
    made = [
        (part.reshape(*chunk[0][0].shape), tuple(chain(*(levels for _, levels in chunk))))
        for part, chunk in zip(apart(won, sizes), chunks, strict=True)
    ]
    return [*made, *kept]


def _seen_below(p: Protocol, chunk: list[Step], i: int) -> Share:
    """Return, for each row of a chunk's lowest step, who won at step i above it; all did where there is none."""
    if i >= len(chunk):
        return p.constant_bits(np.ones(chunk[0][0].size, np.uint8))
    won = chunk[i][0]
    for _, levels in chunk[:i][::-1]:
        for level in levels[::-1]:
            won = won.map(partial(_below, level))
    return won.reshape(won.size)


def _number(p: Protocol, hot: Share) -> Share:
    """Return the number of the one row of each column that is marked."""
    bits = (hot.shape[0] - 1).bit_length()
    planes = tm.packed(p, hot.map(lambda a: _number_bits(a, bits)))
    weights = p.ring.encode_ints(1 << np.arange(bits, dtype=np.int64)[::-1])[:, None]
    return p.sum(p.mul_public(p.to_arith(planes), weights), (0,))


def _number_bits(hot: Array, bits: int) -> Array:
    """Return the XOR of the numbers of marked rows, the highest bit first."""
    out = np.empty((bits, hot.shape[1]), np.uint8)
    hot = np.concatenate([hot, np.zeros(((1 << bits) - len(hot), hot.shape[1]), np.uint8)])
    for row, b in enumerate(range(bits)[::-1]):
        upper = hot[1 << b :]
        np.bitwise_xor.reduce(upper, axis=0, out=out[row])
        hot = hot[: 1 << b] ^ upper
    return out
