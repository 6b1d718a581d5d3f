"""The place of the greatest of many rows, the first of equal ones: selected with it, or traced back from who won.

Rows are put in order once, so that every level of the tournament finds the seats of its groups one after another in
memory (docs/decisions/0061).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit.core.blocks import put_together
from tacit.core.protocol import Call, Protocol
from tacit.core.rows import inverse_places
from tacit.core.share import Share, apart, join, stack_planes
from tacit.gadgets import tournament as tm
from tacit.gadgets.exchange import repeat

Array = npt.NDArray[Any]

Part = Callable[[int, int], Share]
"""The seats of groups from one to another."""


class Level(NamedTuple):
    """The rows of one level as they are stored: the seats of all groups, the first of each first; then who is alone."""

    k: int
    groups: int
    alone: int
    seats: Array | None
    """Where the seats are stored, if some are missing: these are the last row again."""
    kept: Array | None
    """Then, at which seat each stored row is."""


@lru_cache(maxsize=4)
def stored(rows: int, levels: tuple[int, ...]) -> tuple[Array, Array, tuple[Level, ...]]:
    """Return which row is stored where, the last one last; these with the first level's missing seats; the levels.

    A group's rows follow one another, and those of the groups before it come before them: so the first of equal ones
    wins, if it does in each group. Its winner is stored where the level above wants it.
    """
    sizes = [rows]
    for k in levels[:-1]:
        sizes.append(sum(tm.groups_of(sizes[-1], k)))
    order: Array = np.zeros(1, np.uint32)
    found = list[Level]()
    for n, k in zip(sizes[::-1], levels[::-1], strict=True):
        groups, alone = tm.groups_of(n, k)
        row = (order[:groups] * np.uint32(k) + np.arange(k, dtype=np.uint32)[:, None]).reshape(-1)
        if k * groups <= n:
            filled = order = np.append(row, np.uint32(n - 1)) if alone else row
            found.append(Level(k, groups, alone, None, None))
            continue
        kept = np.concatenate(
            [np.flatnonzero(row < n - 1).astype(np.uint32), np.flatnonzero(row == n - 1).astype(np.uint32)]
        )
        order, filled = row[kept], np.minimum(row, np.uint32(n - 1))
        seats = None
        if n < rows:
            at = np.empty(n, np.uint32)
            at[order] = np.arange(n, dtype=np.uint32)
            seats = at[filled]
        found.append(Level(k, groups, alone, seats, kept))
    return order, filled, tuple(found[::-1])


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
    planes = (rows - 1).bit_length()

    def calls(at_once: int) -> list[Call]:
        found, left = list[Call](), levels
        while left > 1:
            found.append(("and_all", rows * columns, {"planes": min(at_once, left)}))
            left = -(-left // at_once)
        return [*found, ("to_arith", columns * planes, {"planes": planes})]

    return min((p.price(*calls(at_once)), at_once) for at_once in range(2, max(2, levels) + 1))


def _taken(x: Share, at: Array) -> Share:
    return x.map(lambda a: np.take(a, at, axis=0))


def _seats(x: Share, level: Level) -> Share:
    """Return the rows of a level, or anything of theirs, by seat and group."""
    rows = x[: level.k * level.groups] if level.seats is None else _taken(x, level.seats)
    return rows.reshape(level.k, level.groups, *x.shape[1:])


# -- rows' numbers that move with the elements -------------------------------------------------------------------


def _carried(p: Protocol, q: Protocol, x: Share, bits: int, levels: tuple[int, ...]) -> Share:
    """Select the rows' numbers as the elements, both over the ring of q."""
    rows, columns = x.shape
    _, filled, found = stored(rows, levels)
    x = tm.over(q, _taken(x, filled))
    where = q.constant(np.repeat(q.ring.encode_ints(filled), columns).reshape(-1, columns))
    for level in found[:-1]:
        seats, places = _seats(x, level), _seats(where, level)
        gaps, hot = tm.meet(q, seats, bits)
        steps = join([a.reshape(a.size) for a in (gaps, q.sub(places[:-1], places[-1:]))])
        steps = q.select(repeat(q, hot, 2), steps).reshape(2, *gaps.shape)
        x, where = (
            join([tm.moved(q, step, seat[-1]), *[rows[rows.shape[0] - 1 :]] * level.alone])
            for step, seat, rows in ((steps[0], seats, x), (steps[1], places, where))
        )
    seats, places = _seats(x, found[-1]), _seats(where, found[-1])
    hot = tm.meet(q, seats, bits)[1]
    found_place = tm.chosen(q, hot, q.sub(places[:-1], places[-1:]), places[-1])
    return tm.lifted(p, q, found_place.reshape(columns))


# -- rows' numbers from who won ----------------------------------------------------------------------------------

Step = tuple[Share, tuple[Level, ...]]
"""Whether each row (rows, columns) won, there and at the levels that have been joined with it; all of these."""


def _traced(p: Protocol, q: Protocol, x: Share, bits: int, levels: tuple[int, ...], joined: int) -> Share:
    """Find the rows' numbers from who won at each level, over the ring of q; so many levels are joined at a time."""
    (rows, columns), (order, filled, found) = x.shape, stored(x.shape[0], levels)
    steps: list[Step] = []
    x_last = tm.over(q, x[rows - 1 :])
    for level in found:
        some: Part
        if level is found[0]:  # of the rows as they came, in the ring of p
            at = filled[: level.k * level.groups].reshape(level.k, level.groups)
            some = partial(_gathered, q, x, at)
        else:
            some = partial(tm.block, q, _seats(x, level), False)
        shape, hots = (level.k, level.groups, columns), list[Share]()
        if level.groups + level.alone > 1:
            x = put_together(
                level.groups + level.alone, chain(_noting(q, shape, bits, some, hots), [x_last] * level.alone)
            )
        else:
            hots = [q.unpack(hot, gaps.shape) for _, gaps, hot in tm.met(q, shape, bits, some)]
        del some  # which holds all rows of the level below
        x_last = x[x.shape[0] - 1 :]
        steps.append((_winners(p, join(hots, 1), level), (level,)))
    while len(steps) > 1:
        steps = _joined(p, steps, min(joined, len(steps)))
    hot = steps[0][0]
    return _number(p, _taken(hot, inverse_places(order)))


def _gathered(q: Protocol, x: Share, at: Array, low: int, high: int) -> Share:
    """Return the seats of some groups over the ring of q, from the rows of all where `at` says."""
    return tm.over(q, _taken(x, at[:, low:high]))


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
        one, columns = np.uint8(p.holds_constant(j)), a.shape[2]
        seats = np.empty((level.k, *a.shape[1:]), np.uint8)
        seats[:-1] = a
        seats[-1] = (a[0] if level.k == 2 else np.bitwise_xor.reduce(a, axis=0)) ^ one
        parts.append(_rows(seats, level, np.full((level.alone, columns), one)))
    return Share(tuple(parts))


def _rows(seats: Array, level: Level, alone: Array) -> Array:
    """Return the rows of a level as they are stored, from its seats (k, groups, columns) and who is alone."""
    rows = seats.reshape(level.k * level.groups, -1)
    if level.kept is not None:
        return np.take(rows, level.kept, axis=0)
    return np.concatenate([rows, alone]) if level.alone else rows


def _below(level: Level, above: Array) -> Array:
    """Return, for each row of a level, that of the row above it."""
    groups = above[: level.groups]
    return _rows(np.broadcast_to(groups, (level.k, *groups.shape)), level, above[level.groups :])


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
