"""The greatest of many rows: a tournament of groups, each decided by comparing all of its pairs at once.

Pairs need the fewest comparisons. A group of k needs k(k−1)/2 of them, all in one batch, and its winner is known
after the AND of k − 1 of them, where pairs would take ⌈log2 k⌉ batches one after the other. So groups are small
while many rows are left, and large near the end, where rounds are what costs (docs/decisions/0061).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.blocks import elements, put_together
from tacit.core.protocol import Card, Protocol, Wave, price
from tacit.core.share import Planes, Share, join, stack_planes
from tacit.core.timing import Network

Array = npt.NDArray[Any]
Call = tuple[str, int, dict[str, Any]]

ARITIES = (2, 3, 4, 5, 7, 9, 17, 33, 64)
"""Sizes of groups, besides all that are left: with all up to 64, plans are worth less than 1% more."""


def greatest(p: Protocol, x: Share, bits: int) -> Share:
    """Return the greatest of each column of x (rows, columns).

    Differences of a column's elements must be less than 2^bits. Each level: F_sign of all pairs, F_and of many,
    F_inject.
    """
    rows, columns = x.shape
    for k in plan(p, rows, columns, bits, 1)[1]:
        groups, alone = groups_of(rows, k)
        seats = _held(x, groups * k).reshape(
            k, groups, columns
        )  # of rows far apart: which of equal ones wins does not show
        won = (_chosen(p, hot, gaps, part[-1]) for part, gaps, hot in _met(p, seats, bits))
        x = put_together(groups + alone, chain(won, [x[rows - 1 :]] * alone))
        rows = groups + alone
    return x.reshape(columns)


def greatest_place(p: Protocol, x: Share, bits: int) -> Share:
    """Return the number of the first row that holds the greatest of each column of x (rows, columns).

    As `greatest`. Rows' numbers either move with the elements, or are found at the end from who won: [row won its
    group], AND the same of its group's winner, and so on up, by F_and of many; the bits of the row's number
    are XORs of these, and become ring elements by F_b2a. That sends few bits a row, for a few rounds more.
    """
    rows, columns = x.shape
    if rows == 1 or not columns:
        return _numbers(p, 1, columns).reshape(columns)
    (both, with_numbers), (one, without) = (plan(p, rows, columns, bits, moving) for moving in (2, 1))
    tracing, joined = _tracing(p, rows, columns, len(without))
    if both <= one + tracing:
        return _carried(p, x, bits, with_numbers)
    return _traced(p, x, bits, without, joined)


# -- how large the groups are ---------------------------------------------------------------------------------


def groups_of(rows: int, k: int) -> tuple[int, int]:
    """Return the groups that k-ary comparison makes of the rows, and how many rows (0 or 1) go on alone."""
    full, rest = divmod(rows, k)
    return (full, rest) if rest < 2 else (full + 1, 0)


def plan(p: Protocol, rows: int, columns: int, bits: int, moving: int) -> tuple[int, tuple[int, ...]]:
    """Return the least price on the agreed network (`core.protocol.price`), and the sizes of groups level by level.

    For rows × columns elements whose differences have `bits` bits; `moving` values are selected for each winner.
    """
    cards = tuple(p.card(name) for name in ("sign", "and_all", "select"))
    return _cheapest(cards, p.party.n, p.party.network, p.ring, rows, columns, bits, moving)


@lru_cache(maxsize=1 << 10)
def _cheapest(
    cards: tuple[Card, ...],
    parties: int,
    network: Network,
    ring: Ring,
    rows: int,
    columns: int,
    bits: int,
    moving: int,
) -> tuple[int, tuple[int, ...]]:
    found: dict[int, tuple[int, tuple[int, ...]]] = {1: (0, ())}

    def best(n: int) -> tuple[int, tuple[int, ...]]:
        if n not in found:
            least: tuple[int, tuple[int, ...]] = (0, ())
            for k in (*(k for k in ARITIES if k < n), *([n] if n <= ARITIES[-1] else [])):
                groups, alone = groups_of(n, k)
                met = groups * columns
                here = _level(cards, parties, network, ring, met * k * (k - 1) // 2, met, k, bits, moving)
                if least[1] and here >= least[0]:
                    break  # larger groups compare more
                rest, levels = best(groups + alone)
                if not least[1] or here + rest < least[0]:
                    least = (here + rest, (k, *levels))
            found[n] = least
        return found[n]

    return best(rows) if columns else (0, ())


def _level(
    cards: tuple[Card, ...],
    parties: int,
    network: Network,
    ring: Ring,
    compared: int,
    n: int,
    k: int,
    bits: int,
    moving: int,
) -> int:
    """Return the price of so many comparisons that decide n groups of k."""
    compare, every, select = cards
    calls: tuple[tuple[Card, int, dict[str, Any]], ...] = (
        (compare, compared, {"bits": bits}),
        (every, n * (k - 1), {"planes": k - 1}),
        (select, n * (k - 1) * moving, {}),
    )
    waves: list[Wave] = []
    for card, size, sizes in calls:
        waves += card.pattern(ring, size, parties=parties, network=network, **sizes)
    return price(network, parties, waves)


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


# -- one level -------------------------------------------------------------------------------------------------


def _held(x: Share, rows: int) -> Share:
    """Return so many rows of x; missing ones are the last one again, which never beats itself."""
    more = rows - x.shape[0]
    return x[:rows] if more <= 0 else join([x, *[x[-1:]] * more])


@lru_cache(maxsize=256)
def _pairs(k: int) -> tuple[Array, Array]:
    """Return the seats (first, second) of every pair of k: those with the last seat, then the others."""
    first, second = np.triu_indices(k - 1, 1)
    return np.concatenate([np.arange(k - 1), first]), np.concatenate([np.full(k - 1, k - 1), second])


@lru_cache(maxsize=256)
def _against(k: int) -> tuple[Array, Array]:
    """Return, of each seat but the last (second axis), the pairs with all others, and whether it is first in them."""
    pair, seat = np.zeros((k, k), np.int64), np.arange(k - 1)
    pair[_pairs(k)] = np.arange(k * (k - 1) // 2)
    other = np.arange(k - 1)[:, None]
    other = other + (other >= seat)
    return pair[np.minimum(seat, other), np.maximum(seat, other)], (other > seat).astype(np.uint8)[:, :, None]


def _meet(p: Protocol, seats: Share, bits: int) -> tuple[Share, Planes]:
    """Return, of seats (k, groups, columns), the first k − 1 less the last, and whether each of these wins."""
    k = seats.shape[0]
    gaps = pairs = p.sub(seats[:-1], seats[-1:])
    if k > 2:
        first, second = (seat[k - 1 :] for seat in _pairs(k))
        pairs = join([gaps, p.sub(seats[first], seats[second])])
    later = p.sign(pairs.reshape(pairs.size), bits)
    return gaps, p.invert(later) if k == 2 else _winners(
        p, p.unpack(later, (pairs.shape[0], gaps[0].size)), k
    )


def _met(p: Protocol, seats: Share, bits: int) -> Iterator[tuple[Share, Share, Planes]]:
    """Run the groups' comparisons, many in blocks (decision 0067); give each block's seats and what `_meet` says."""
    k, groups, columns = seats.shape
    step = max(1, elements(p.party.network) // max(1, columns * max(k, k * (k - 1) // 2)))
    for at in range(0, groups, step):
        part = seats if step >= groups else seats[:, at : at + step]
        gaps, hot = _meet(p, part, bits)
        yield part, gaps, hot


def _winners(p: Protocol, met: Share, k: int) -> Planes:
    """Return whether each seat but the last wins: one plane of k−1 times n bits, from (k(k−1)/2, n) truth values.

    `met` says of each pair, in the order of `_pairs`, whether the second is greater; so of equal ones the first wins,
    and of all seats exactly one.
    """
    pair, earlier = _against(k)
    won = met[pair]
    won = Share(tuple(a ^ earlier if p.holds_constant(j) else a for j, a in enumerate(won.parts)))
    return p.and_all(_packed(p, won.reshape(k - 1, (k - 1) * met.shape[1])))


def _packed(p: Protocol, x: Share) -> Planes:
    """Return a plane for each row of x, truth values (rows, n); all are packed at once."""
    rows, n = x.shape
    more = np.zeros((rows, -n % 64), np.uint8)
    flat = p.pack(x.map(lambda a: np.concatenate([a, more], axis=1)))
    return Planes(tuple(a.reshape(rows, -1) for a in flat.parts), n)


def _chosen(p: Protocol, hot: Planes, gaps: Share, last: Share) -> Share:
    """Return the last seat plus the gap of the seat that won, if another did."""
    step = p.select(hot, gaps.reshape(gaps.size)).reshape(*gaps.shape)
    return p.add(step[0] if step.shape[0] == 1 else p.sum(step, (0,)), last)


# -- places ----------------------------------------------------------------------------------------------------


def _neighbours(x: Share, k: int, groups: int) -> Share:
    """Return seats (k, groups, …) of rows that follow one another, so that the first of equal ones wins."""
    return _held(x, groups * k).reshape(groups, k, *x.shape[1:]).map(lambda a: a.swapaxes(0, 1))


def _numbers(p: Protocol, rows: int, columns: int) -> Share:
    numbers = p.ring.encode_ints(np.arange(rows, dtype=np.int64))
    return p.constant(np.repeat(numbers, columns).reshape(rows, columns))


def _carried(p: Protocol, x: Share, bits: int, levels: tuple[int, ...]) -> Share:
    """Select the rows' numbers as the elements."""
    rows, columns = x.shape
    where = _numbers(p, rows, columns)
    for k in levels:
        groups, alone = groups_of(rows, k)
        seats, places = (_neighbours(a, k, groups) for a in (x, where))
        gaps, hot = _meet(p, seats, bits)
        moved = p.sub(places[:-1], places[-1:])
        if groups + alone == 1:
            return _chosen(p, hot, moved, places[-1]).reshape(columns)
        twice = p.unpack(hot, gaps.shape)
        won = _chosen(
            p, p.pack(join([twice, twice], 2)), join([gaps, moved], 2), join([seats[-1], places[-1]], 1)
        )
        x, where = (
            join([a, old[rows - 1 :]]) if alone else a
            for a, old in ((won[:, :columns], x), (won[:, columns:], where))
        )
        rows = groups + alone
    return where.reshape(columns)


def _traced(p: Protocol, x: Share, bits: int, levels: tuple[int, ...], joined: int) -> Share:
    """Find the rows' numbers from who won at each level; so many levels are joined at a time."""
    rows = x.shape[0]
    steps: list[tuple[Share, int]] = []
    """Whether a row won its group; how many of these rows one row of the next has below it."""
    for k in levels:
        groups, alone = groups_of(rows, k)
        seats, hots = _neighbours(x, k, groups), list[Share]()
        if groups + alone > 1:
            x = put_together(groups + alone, chain(_noting(p, seats, bits, hots), [x[rows - 1 :]] * alone))
        else:
            hots = [p.unpack(hot, gaps.shape) for _, gaps, hot in _met(p, seats, bits)]
        steps.append((_all_seats(p, join(hots, 1), rows, alone), k))
        rows = groups + alone
    while len(steps) > 1:
        steps = _joined(p, steps, min(joined, len(steps)))
    return _number(p, steps[0][0])


def _joined(p: Protocol, steps: list[tuple[Share, int]], count: int) -> list[tuple[Share, int]]:
    """Join so many steps at a time, at the rows of the lowest: a row won there, and the one above it, and so on."""
    chunks = [steps[at : at + count] for at in range(0, len(steps), count)]
    kept = chunks.pop() if len(chunks[-1]) == 1 else []
    planes: list[list[Share]] = [[] for _ in range(count)]
    spans = []
    for chunk in chunks:
        shape, span = chunk[0][0].shape, 1
        for plane, (won, k) in zip(planes, chunk, strict=False):
            plane.append(_spread(won, span, shape[0]).reshape(won.shape[1] * shape[0]))
            span *= k
        for plane in planes[len(chunk) :]:
            plane.append(p.constant_bits(np.ones(shape[0] * shape[1], np.uint8)))
        spans.append(span)
    sizes = [chunk[0][0].size for chunk in chunks]
    all_won = p.unpack(
        p.and_all(_packed(p, join(list(chain(*planes))).reshape(count, sum(sizes)))), (sum(sizes),)
    )
    made, at = [], 0
    for chunk, span in zip(chunks, spans, strict=True):
        low = chunk[0][0]
        made.append((all_won[at : at + low.size].reshape(*low.shape), span))
        at += low.size
    return [*made, *kept]


def _noting(p: Protocol, seats: Share, bits: int, hots: list[Share]) -> Iterator[Share]:
    """Give each block's greatest; add to `hots` which seats won."""
    for part, gaps, hot in _met(p, seats, bits):
        hots.append(p.unpack(hot, gaps.shape))
        yield _chosen(p, hot, gaps, part[-1])


def _spread(x: Share, k: int, rows: int) -> Share:
    """Return each row of x for the k rows below it."""
    if k == 1:
        return x
    return x.map(lambda a: np.repeat(a, k, axis=0)[:rows])


def _all_seats(p: Protocol, hot: Share, rows: int, alone: int) -> Share:
    """Return whether each row (rows, columns) wins its group, from all seats but the last; who is alone does."""
    k, groups, columns = hot.shape[0] + 1, *hot.shape[1:]
    parts = []
    for j, a in enumerate(hot.parts):
        one = np.uint8(p.holds_constant(j))
        seats = np.empty((groups * k + alone, columns), np.uint8)
        by_group = seats[: groups * k].reshape(groups, k, columns)
        by_group[:, :-1] = a.swapaxes(0, 1)
        by_group[:, -1] = (a[0] if k == 2 else np.bitwise_xor.reduce(a, axis=0)) ^ one
        seats[groups * k :] = one
        parts.append(seats[:rows])
    return Share(tuple(parts))


def _number(p: Protocol, hot: Share) -> Share:
    """Return the number of the one row of each column that is marked."""
    rows, columns = hot.shape
    bits = (rows - 1).bit_length()
    parts = [np.concatenate([a, np.zeros(((1 << bits) - rows, columns), np.uint8)]) for a in hot.parts]
    planes = []
    for b in range(bits)[::-1]:
        upper = [a[1 << b :] for a in parts]
        planes.append(p.pack(Share(tuple(np.bitwise_xor.reduce(a, axis=0) for a in upper))))
        parts = [a[: 1 << b] ^ u for a, u in zip(parts, upper, strict=True)]
    weights = p.ring.encode_ints(1 << np.arange(bits, dtype=np.int64)[::-1])[:, None]
    return p.sum(p.mul_public(p.to_arith(stack_planes(planes)), weights), (0,))


# -- of each row and all before it -----------------------------------------------------------------------------


def running(p: Protocol, x: Share, bits: int) -> Share:
    """Return the greatest of each row of x (rows, columns) and those before it.

    As `greatest`, where each row has a group of its own: itself, and rows `reach`, 2·reach … before it, each the
    greatest of its own `reach`. Two rows so far apart meet in several groups, and are compared once.
    """
    (rows, columns), reach = x.shape, 1
    cards = tuple(p.card(name) for name in ("sign", "and_all", "select"))
    for k in _spans(cards, p.party.n, p.party.network, p.ring, rows, columns, bits) if columns else ():
        # Rows before the first are the first again; those nearer to it than `reach` are decided.
        at = np.maximum(np.arange(reach, rows) - reach * np.arange(k)[:, None], 0)
        seats = x[at]
        gaps = p.sub(seats[:-1], seats[-1:])
        pairs = p.sub(seats[:1], seats[1:])
        later = p.sign(pairs.reshape(pairs.size), bits)
        if k == 2:
            hot = p.invert(later)
        else:
            known = np.zeros((k - 1, reach, columns), np.uint8)
            met = p.unpack(later, pairs.shape).map(lambda a: np.concatenate([known, a], axis=1))  # noqa: B023
            first, second = _pairs(k)
            met = met[(second - first - 1)[:, None], at[first]]
            hot = _winners(p, met.reshape(len(first), pairs[0].size), k)
        x = join([x[:reach], _chosen(p, hot, gaps, seats[-1])])
        reach *= k
    return x


@lru_cache(maxsize=1 << 10)
def _spans(
    cards: tuple[Card, ...], parties: int, network: Network, ring: Ring, rows: int, columns: int, bits: int
) -> tuple[int, ...]:
    """Return the sizes of groups of `running` that cost least."""
    found: dict[int, tuple[int, tuple[int, ...]]] = {}

    def best(reach: int) -> tuple[int, tuple[int, ...]]:
        if reach >= rows:
            return 0, ()
        if reach not in found:
            n, most = (rows - reach) * columns, -(-rows // reach)
            options = []
            for k in (*(k for k in ARITIES if k < most), *([most] if most <= ARITIES[-1] else [])):
                rest, levels = best(reach * k)
                here = _level(cards, parties, network, ring, n * (k - 1), n, k, bits, 1)
                options.append((here + rest, (k, *levels)))
            found[reach] = min(options, key=lambda option: option[0])
        return found[reach]

    return best(1)[1]
