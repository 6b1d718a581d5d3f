"""The place of the greatest of many rows, the first of equal ones: selected with it, or traced back from who won.

A group's rows follow one another, and those of the groups before it come before them: so the first of equal ones wins,
if it does in each group (docs/decisions/0061).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.blocks import put_together
from tacit.core.ghost import Ghost
from tacit.core.protocol import Card, Protocol, Wave, price
from tacit.core.share import Planes, Share, join
from tacit.core.timing import Network
from tacit.gadgets import tournament as tm
from tacit.gadgets.exchange import repeat
from tacit.gadgets.tournament import Seats
from tacit.kernels import seats as kernels
from tacit.kernels.seats import Seating

Array = npt.NDArray[Any]

Met = tuple[Seats, Share, Planes]
"""Some groups' seats, and what `tournament.meet` says of them."""


class Level(NamedTuple):
    """One level of a tournament of groups of k rows that follow one another; who is alone is the last row."""

    rows: int
    k: int
    groups: int
    alone: int

    @property
    def seating(self) -> Seating:
        """Return which rows meet."""
        return Seating(self.k, self.groups, 1, self.k)


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
    both, numbered, with_numbers = tm.cheapest_of(
        p, lambda q: tm.plan(q, rows, columns, bits, 2), most + tm.ROOM, columns
    )
    one, plain, without = tm.cheapest_of(p, lambda q: tm.plan(q, rows, columns, bits, 1), bits + 1, 0)
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


# -- rows' numbers that move with the elements -------------------------------------------------------------------


def _carried(p: Protocol, q: Protocol, x: Share, bits: int, levels: tuple[int, ...]) -> Share:
    """Select the rows' numbers as the elements, both over the ring of q."""
    rows, columns = x.shape
    x = tm.over(q, x)
    where = q.constant(np.repeat(q.ring.encode_ints(np.arange(rows)), columns).reshape(rows, columns))
    *found, last = _levels(rows, levels)
    for level in found:
        seats, places = (Seats(a, level.seating) for a in (x, where))
        gaps, hot = tm.meet(q, seats, bits)
        steps = join([a.reshape(a.size) for a in (gaps, _steps(q, places))])
        steps = q.select(repeat(q, hot, 2), steps).reshape(2, *gaps.shape)
        x, where = (
            join([tm.moved(q, step, of), *[of.x[of.x.shape[0] - 1 :]] * level.alone])
            for step, of in ((steps[0], seats), (steps[1], places))
        )
    places = Seats(where, last.seating)
    hot = tm.meet(q, Seats(x, last.seating), bits)[1]
    return tm.lifted(p, q, tm.chosen(q, hot, _steps(q, places), places).reshape(columns))


def _steps(q: Protocol, places: Seats) -> Share:
    """Return all seats but the last, less the last."""
    laid = places.laid_out()
    return q.sub(laid[:-1], laid[-1:])


# -- rows' numbers from who won ----------------------------------------------------------------------------------


class Step(NamedTuple):
    """Whether each row won at some levels: flat words with the bits of the lowest one's rows, from `start` on."""

    won: Share
    start: int
    levels: tuple[Level, ...]


def _traced(p: Protocol, q: Protocol, x: Share, bits: int, levels: tuple[int, ...], joined: int) -> Share:
    """Find the rows' numbers from who won at each level, over the ring of q; so many levels are joined at a time."""
    rows, columns = x.shape
    steps: list[Step] = []
    x = tm.in_place(q, x)
    for level in _levels(rows, levels):
        won = _zeros(p, level.rows * columns)
        met = _noted(q, tm.met(q, Seats(x, level.seating), bits), won, level)
        if level.groups + level.alone > 1:
            alone = [tm.stored(q, x[level.rows - 1 :])] * level.alone
            winners = (tm.chosen(q, hot, gaps, part) for part, gaps, hot in met)
            x = put_together(level.groups + level.alone, chain(winners, alone))
        else:
            deque(met, maxlen=0)
        steps.append(Step(won, 0, (level,)))
    while len(steps) > 1:
        steps = _joined(p, steps, min(joined, len(steps)), columns)
    return _number(p, steps[0].won, rows, columns)


def _zeros(p: Protocol, n: int) -> Share:
    """Return flat words for n bits; none where nothing is held."""
    return Share(
        () if isinstance(p, Ghost) else tuple([np.zeros(-(-n // 64), np.uint64) for _ in range(p.parts)])
    )


def _noted(p: Protocol, met: Iterable[Met], won: Share, level: Level) -> Iterator[Met]:
    """Pass on what blocks of groups say, and note in `won` which rows won; who is alone does."""
    row, end = 0, level.rows - level.alone
    for part, gaps, hot in met:
        rows = min(part.at.groups * level.k, end - row)
        alone = level.alone if row + rows == end else 0
        columns = part.shape[2]
        for j, words in enumerate(won.parts):
            one = p.holds_constant(j)
            kernels.won_rows(words, row * columns, hot.parts[j][0], one, rows, alone, level.k, columns)
        row += rows
        yield part, gaps, hot


def _joined(p: Protocol, steps: list[Step], count: int, columns: int) -> list[Step]:
    """Join so many steps at a time, at the rows of the lowest: a row won there, and the one above it, and so on."""
    chunks = [steps[at : at + count] for at in range(0, len(steps), count)]
    kept = chunks.pop() if len(chunks[-1]) == 1 else []
    *starts, n = accumulate((chunk[0].levels[0].rows * columns for chunk in chunks), initial=0)
    if isinstance(p, Ghost):
        planes = p.made_planes(count, n)
    else:
        planes = Planes(tuple([np.zeros((count, -(-n // 64)), np.uint64) for _ in range(p.parts)]), n)
        for j, part in enumerate(planes.parts):
            for i, plane in enumerate(part):
                for chunk, start in zip(chunks, starts, strict=True):
                    _see_below(plane, start, chunk, i, j, p.holds_constant(j), columns)
    found = p.and_all(planes)
    won = Share(tuple([a[0] for a in found.parts]))
    made = [
        Step(won, start, tuple(chain(*(step.levels for step in chunk))))
        for start, chunk in zip(starts, chunks, strict=True)
    ]
    return [*made, *kept]


def _see_below(plane: Array, at: int, chunk: list[Step], i: int, part: int, one: bool, columns: int) -> None:
    """Put in place, for each row of a chunk's lowest step, who won at step i above it; all did where there is none."""
    rows = chunk[0].levels[0].rows
    if i >= len(chunk):
        words, start = np.full(-(-rows * columns // 64), 2**64 - 1 if one else 0, np.uint64), 0
    else:
        words, start = chunk[i].won.parts[part], chunk[i].start
        below = [level for step in chunk[:i] for level in step.levels]
        for level in below[:0:-1]:
            more = np.zeros(-(-level.rows * columns // 64), np.uint64)
            kernels.rows_below(more, 0, words, start, level.rows, level.k, columns)
            words, start = more, 0
    k = chunk[0].levels[0].k if 0 < i < len(chunk) else 1
    kernels.rows_below(plane, at, words, start, rows, k, columns)


def _number(p: Protocol, won: Share, rows: int, columns: int) -> Share:
    """Return the number of the one row of each column that is marked."""
    bits = (rows - 1).bit_length()
    if isinstance(p, Ghost):
        planes = p.made_planes(bits, columns)
    else:
        planes = Planes(tuple([kernels.row_numbers(a, rows, columns, bits) for a in won.parts]), columns)
    weights = p.ring.encode_ints(1 << np.arange(bits, dtype=np.int64)[::-1])[:, None]
    return p.sum(p.mul_public(p.to_arith(planes), weights), (0,))
