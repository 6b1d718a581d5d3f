"""The greatest of many rows: a tournament of groups, each decided by comparing all of its pairs at once.

Pairs need the fewest comparisons. A group of k needs k(k−1)/2 of them, all in one batch, and its winner is known
after the AND of k − 1 of them, where pairs would take ⌈log2 k⌉ batches one after the other. So groups are small
while many rows are left, and large near the end, where rounds are what costs (docs/decisions/0061).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import chain, count
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring, ring_of
from tacit.core.blocks import elements, put_together
from tacit.core.ghost import Ghost
from tacit.core.protocol import Card, Protocol, Wave, price
from tacit.core.share import Planes, Share, join, stack_planes
from tacit.core.timing import Network
from tacit.kernels import seats as kernels
from tacit.kernels.seats import Seating

Array = npt.NDArray[Any]

Plan = tuple[int, tuple[int, ...]]
"""A price, and sizes of groups level by level."""
ROOM = 2
"""Bits of a ring beyond those of a number that is not negative and is `lifted` from it."""
ARITIES = (2, 3, 4, 5, 7, 9, 17, 33, 64)
"""Sizes of groups, besides all that are left: with all up to 64, plans are worth less than 1% more."""
BLOCKS = (2, 4, 8, 16, 32)
"""Rows of a block of `running`: halves of halves, so that few numbers of rows are left to plan for."""
LEVELS = 4
"""The most levels at which spans are joined: of more rows, blocks compare fewer in as many rounds."""
Levels = tuple[tuple[int, ...], ...]
"""Sizes of blocks, and how many spans are joined, level by level; nothing where nothing is to do."""
L = TypeVar("L", bound=tuple[Any, ...])


def greatest(p: Protocol, x: Share, bits: int, low: int) -> Share:
    """Return the greatest of each column of x (rows, columns).

    Elements must be from `low` to less than low + 2^bits. Each level: F_sign of all pairs, F_and of many, F_inject.
    Where that is cheaper, in a ring of bits + 2 bits, which are all that is read then (`cheapest`); what the greatest
    is more than `low` comes back by F_trunc.
    """
    rows, columns = x.shape
    _, q, levels = cheapest(p, rows, columns, bits)
    x = in_place(q, x)
    for k in levels:
        groups, alone = groups_of(rows, k)
        # Of rows far apart: which of equal ones wins does not show.
        seats = Seats(x, Seating(k, groups, groups, 1))
        won = (chosen(q, hot, gaps, part) for part, gaps, hot in met(q, seats, bits))
        x = put_together(groups + alone, chain(won, [stored(q, x[rows - 1 :])] * alone))
        rows = groups + alone
    return widened(p, q, x.reshape(columns), low)


# -- how large the groups are ---------------------------------------------------------------------------------


def groups_of(rows: int, k: int) -> tuple[int, int]:
    """Return the groups that k-ary comparison makes of the rows, and how many rows (0 or 1) go on alone."""
    full, rest = divmod(rows, k)
    return (full, rest) if rest < 2 else (full + 1, 0)


def cheapest(p: Protocol, rows: int, columns: int, bits: int) -> tuple[int, Protocol, tuple[int, ...]]:
    """Return the least price of the `greatest`, over which ring, of bits + 2 bits if not p's, and sizes of groups."""
    return cheapest_of(p, lambda q: plan(q, rows, columns, bits, 1), bits + ROOM, columns)


def cheapest_of(
    p: Protocol, plan: Callable[[Protocol], tuple[int, L]], width: int, back: int
) -> tuple[int, Protocol, L]:
    """Return the least price of a plan, over which ring, and its sizes of groups.

    Numbers of which no more than `width` bits count may be worked on in a ring of so many, if `back` of them are
    `lifted` from it in the end.
    """
    price, levels = plan(p)
    if width >= p.ring.width or not levels:
        return price, p, levels
    q = p.over(ring_of(width))
    narrow, others = plan(q)
    if back:
        narrow += p.price(("trunc", back, {"f": p.ring.width - width}))
    return (narrow, q, others) if narrow < price else (price, p, levels)


def over(q: Protocol, x: Share) -> Share:
    """Return x over the ring of q, which is no wider than its own: shares of x are shares of x mod 2^width."""
    return x if isinstance(q, Ghost) else x.map(q.ring.low)


def in_place(q: Protocol, x: Share) -> Share:
    """Return rows that, or whose columns, lie in memory in order: copied once, not for every block of a level."""
    if isinstance(q, Ghost):
        return x
    return x.map(lambda a: a if a.T.flags.c_contiguous else np.ascontiguousarray(a))


def stored(q: Protocol, x: Share) -> Share:
    """Return elements as the ring of q has them, of that or a wider one; only what is made of them is reduced."""
    return over(q, x) if not isinstance(q, Ghost) and x.parts[0].dtype != q.ring.dtype else x


def lifted(p: Protocol, q: Protocol, x: Share) -> Share:
    """Return x, over the ring of q, over that of p: 0 ≤ x < 2^(width − 2). F_trunc of a multiple is exact."""
    f = p.ring.width - q.ring.width
    if not f:
        return x
    wider = x if p.ring.wide == q.ring.wide or isinstance(p, Ghost) else x.map(p.ring.from_words)
    return p.trunc(p.shl(wider, f), f)


def widened(p: Protocol, q: Protocol, x: Share, low: int) -> Share:
    """Return x, over the ring of q, over that of p: low ≤ x < low + 2^(width − 2)."""
    if q is p:
        return x
    more = q.add_public(x, q.ring.constant(-low))
    return p.add_public(lifted(p, q, more), p.ring.constant(low))


def plan(p: Protocol, rows: int, columns: int, bits: int, moving: int) -> Plan:
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
    known = [1]

    def best(n: int) -> tuple[int, tuple[int, ...]]:
        if n not in found:
            least: tuple[int, tuple[int, ...]] = (0, ())
            for k in (*(k for k in ARITIES if k < n), *([n] if n <= ARITIES[-1] else [])):
                groups, alone = groups_of(n, k)
                met = groups * columns
                compared, decided = met * k * (k - 1) // 2, met * (k - 1)
                here = _level(cards, parties, network, ring, compared, decided, k - 1, bits, moving)
                if least[1] and here >= least[0]:
                    break  # larger groups compare more
                fewer = known[bisect_right(known, groups + alone) - 1]
                if least[1] and here + found[fewer][0] >= least[0]:
                    continue  # no more rows than are left cost that already
                rest, levels = best(groups + alone)
                if not least[1] or here + rest < least[0]:
                    least = (here + rest, (k, *levels))
            found[n] = least
            insort(known, n)
        return found[n]

    return best(rows) if columns else (0, ())


def _level(
    cards: tuple[Card, ...],
    parties: int,
    network: Network,
    ring: Ring,
    compared: int,
    decided: int,
    planes: int,
    bits: int,
    moving: int,
) -> int:
    """Return the price of so many comparisons, by `planes` of which it is decided whether a row wins."""
    compare, every, select = cards
    calls: tuple[tuple[Card, int, dict[str, Any]], ...] = (
        (compare, compared, {"bits": bits}),
        (every, decided, {"planes": planes}),
        (select, decided * moving, {}),
    )
    waves: list[Wave] = []
    for card, size, sizes in calls:
        waves += card.pattern(ring, size, parties=parties, network=network, **sizes)
    return price(network, parties, waves)


# -- one level -------------------------------------------------------------------------------------------------


class Seats(NamedTuple):
    """Rows (rows, columns) that meet in the groups of a level, or in some of them."""

    x: Share
    at: Seating

    @property
    def shape(self) -> tuple[int, int, int]:
        """Seats of a group, groups, columns."""
        return self.at.k, self.at.groups, self.x.shape[1]

    def some(self, low: int, high: int) -> Seats:
        """Return the groups from one to another."""
        at = self.at
        return Seats(self.x, at._replace(groups=high - low, first=at.first + low * at.step))

    def laid_out(self) -> Share:
        """Return the rows seat by seat (k, groups, columns)."""
        return self.x[self.at.rows(self.x.shape[0])]

    def over(self, p: Protocol) -> Seats:
        """Return elements of one word if those of the ring of p are; only what is made of them is reduced."""
        if isinstance(p, Ghost) or self.x.parts[0].dtype == p.ring.dtype:
            return self
        k, groups, columns = self.shape
        return Seats(over(p, self.laid_out()).reshape(k * groups, columns), Seating(k, groups, groups, 1))


def _differences(p: Protocol, seats: Seats) -> Share:
    """Return, of every pair of seats, in the order of `pairs`, the first less the second."""
    k, groups, columns = seats.shape
    if isinstance(p, Ghost):
        return p.made((k * (k - 1) // 2, groups, columns))
    if p.ring.wide:
        rows, (first, second) = seats.laid_out(), kernels.pairs(k)
        return p.sub(rows[first], rows[second])
    return seats.x.map(lambda a: kernels.seat_gaps(a, seats.at, p.ring.width))


def meet(p: Protocol, seats: Seats, bits: int) -> tuple[Share, Planes]:
    """Return, of seats (k, groups, columns), the first k − 1 less the last, and whether each of these wins."""
    k, groups, columns = seats.shape
    gaps = _differences(p, seats)
    later = p.sign(gaps.reshape(gaps.size), bits)
    return gaps[: k - 1], p.invert(later) if k == 2 else _winners(p, later, k, groups * columns)


def met(p: Protocol, seats: Seats, bits: int) -> Iterator[tuple[Seats, Share, Planes]]:
    """Run the groups' comparisons, many in blocks (decision 0067); give each block's seats and what `meet` says."""
    k, groups, columns = seats.shape
    step = max(1, elements(p.party.network) // max(1, columns * max(k, k * (k - 1) // 2)))
    for at in range(0, groups, step):
        part = seats.some(at, min(at + step, groups)).over(p)
        gaps, hot = meet(p, part, bits)
        yield part, gaps, hot


def _winners(p: Protocol, met: Planes, k: int, n: int) -> Planes:
    """Return whether each seat but the last wins: one plane of k−1 times n bits, from k(k−1)/2 times n truth values.

    `met` says of each pair, in the order of `pairs`, whether the second is greater; so of equal ones the first wins,
    and of all seats exactly one.
    """
    if isinstance(p, Ghost):
        return p.and_all(p.made_planes(k - 1, (k - 1) * n))
    won = [kernels.seat_wins(a[0], k, n, p.holds_constant(j)) for j, a in enumerate(met.parts)]
    return p.and_all(Planes(tuple(won), (k - 1) * n))


def chosen(p: Protocol, hot: Planes, gaps: Share, seats: Seats) -> Share:
    """Return the last seat plus the gap of the seat that won, if another did."""
    return moved(p, p.select(hot, gaps.reshape(gaps.size)).reshape(*gaps.shape), seats)


def moved(p: Protocol, steps: Share, seats: Seats) -> Share:
    """Return the sum of the steps of all seats but the last, and the last."""
    if isinstance(p, Ghost):
        return p.made(seats.shape[1:])
    if p.ring.wide:
        last = seats.laid_out()[-1]
        return p.add(steps[0] if steps.shape[0] == 1 else p.sum(steps, (0,)), last)
    both = zip(steps.parts, seats.x.parts, strict=True)
    return Share(tuple([kernels.seat_sums(step, a, seats.at, p.ring.width) for step, a in both]))


# -- of each row and all before it -----------------------------------------------------------------------------


def running(p: Protocol, x: Share, bits: int) -> Share:
    """Return the greatest of each row of x (rows, columns) and those before it (decision 0091).

    While many rows are left, in blocks: each row meets those of its block before it, then the greatest of all blocks
    before, which is found likewise. Of few rows, spans that know it for themselves are joined to longer ones.
    """
    (rows, columns), own = x.shape, x
    _, q, levels = cheapest_of(
        p, lambda q: _plan_running(q, rows, columns, bits), bits + ROOM, rows * columns
    )
    least = x = over(q, x)
    if levels:
        x = _so_far(q, x, bits, *levels)
    if q is p:
        return x
    more = q.sub(x, least)
    return p.add(lifted(p, q, more.reshape(more.size)).reshape(rows, columns), own)


def _so_far(q: Protocol, x: Share, bits: int, blocks: tuple[int, ...], spans: tuple[int, ...]) -> Share:
    """Return the greatest so far, by blocks of so many rows, each level's of the last level's blocks, then spans."""
    rows, reach = x.shape[0], 1
    if not blocks:
        for k in spans:
            x, reach = _joined(q, x, reach, k, bits), reach * k
        return x
    k = blocks[0]
    x = _joined(q, x, 1, k, bits)
    last = np.append(np.arange(k - 1, rows - 1, k), rows - 1)
    found = _so_far(q, x[last], bits, blocks[1:], spans)
    others = np.delete(np.arange(rows), last)[k - 1 :]
    gaps = q.sub(found[others // k - 1], x[others])
    hot = q.invert(q.sign(gaps.reshape(gaps.size), bits))
    steps = q.select(hot, gaps.reshape(gaps.size)).reshape(*gaps.shape)
    return _put(q, _added(q, x, [others], steps), last, found)


def _joined(q: Protocol, x: Share, reach: int, k: int, bits: int) -> Share:
    """Join every k spans of `reach` rows, each row the greatest of its span so far, to one.

    A row meets the ends of the spans before its own. That these are compared with each other is known from the ends'
    own meetings.
    """
    rows, columns = x.shape
    span = np.arange(rows) // reach
    after = [np.flatnonzero(span % k > i) for i in range(min(k, span[-1] + 1) - 1)]
    which, second = np.repeat(np.arange(len(after)), [a.size for a in after]), np.concatenate(after)
    begins = (span - span % k)[second]
    first = (begins + which + 1) * reach - 1
    gaps = q.sub(x[first], x[second])
    later = q.sign(gaps.reshape(gaps.size), bits)
    hot = q.invert(later)
    if len(after) > 1:
        met = np.zeros((len(after), rows), np.int64)
        met[which, second] = np.arange(second.size)
        n, wins = second.size, []
        for i in range(len(after)):
            # An end beats those of spans before its own, and those after it, and the row.
            end = np.minimum((begins + i + 1) * reach - 1, rows - 1)
            beaten = np.where(i < span[second] % k, n + met[which, end], 2 * n)
            wins.append(np.where(i < which, met[i, first], np.where(i == which, n + np.arange(n), beaten)))
        known = q.constant_bits(np.ones((1, columns), np.uint8))
        table = join([q.unpack(later, gaps.shape), q.unpack(hot, gaps.shape), known])
        hot = q.and_all(stack_planes([q.pack(table[each]) for each in wins]))
    steps = q.select(hot, gaps.reshape(gaps.size)).reshape(*gaps.shape)
    return _added(q, x, after, steps)


def _added(q: Protocol, x: Share, rows: list[Array], steps: Share) -> Share:
    """Return x with steps added to rows, those of each list in turn."""
    if isinstance(q, Ghost):
        return x
    out, at = x.map(np.copy), 0
    for some in rows:
        for a, step in zip(out.parts, steps.parts, strict=True):
            a[some] = q.ring.add(a[some], step[at : at + some.size])
        at += some.size
    return out


def _put(q: Protocol, x: Share, rows: Array, those: Share) -> Share:
    """Return x, which nobody else holds, with those in the place of rows."""
    if not isinstance(q, Ghost):
        for a, b in zip(x.parts, those.parts, strict=True):
            a[rows] = b
    return x


# -- how large blocks and spans are ----------------------------------------------------------------------------


def _plan_running(p: Protocol, rows: int, columns: int, bits: int) -> tuple[int, Levels]:
    """Return the least price of `running`, and its sizes of blocks and of spans; nothing where nothing is to do."""
    cards = tuple(p.card(name) for name in ("sign", "and_all", "select"))
    if rows < 2 or not columns:
        return 0, ()
    return _cheapest_running(cards, p.party.n, p.party.network, p.ring, rows, columns, bits)


@lru_cache(maxsize=1 << 10)
def _cheapest_running(
    cards: tuple[Card, ...], parties: int, network: Network, ring: Ring, rows: int, columns: int, bits: int
) -> tuple[int, Levels]:
    @cache
    def level(met: int, k: int) -> int:
        return _level(cards, parties, network, ring, met * columns, met * columns, k - 1, bits, 1)

    @cache
    def best(n: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        least: tuple[int, tuple[int, ...], tuple[int, ...]] | None = None
        for k in BLOCKS:
            if k >= n:
                break
            here = level(_meetings(n, 1, k), k) + level(n - k - -(-n // k) + 1, 2)
            if least is not None and here >= least[0]:
                break  # larger blocks compare more
            rest, blocks, spans = best(-(-n // k))
            if least is None or here + rest < least[0]:
                least = here + rest, (k, *blocks), spans
        for spans in _spans(n):
            here, reach = 0, 1
            for k in spans:
                here += level(_meetings(n, reach, k), k)
                reach *= k
                if least is not None and here >= least[0]:
                    break
            else:
                least = here, (), spans
        assert least is not None
        return least

    price, blocks, spans = best(rows)
    return price, (blocks, spans)


def _meetings(rows: int, reach: int, k: int) -> int:
    """Return how many pairs of a row and a span's end meet where k spans of `reach` rows are joined."""
    groups, rest = divmod(rows, reach * k)
    spans, part = divmod(rest, reach)
    return groups * reach * (k * (k - 1) // 2) + reach * (spans * (spans - 1) // 2) + part * spans


def _spans(rows: int) -> Iterator[tuple[int, ...]]:
    """Return sizes of spans, one level to the next, for one to `LEVELS` levels, as even as can be."""
    for levels in range(1, LEVELS + 1):
        if rows > ARITIES[-1] ** levels:
            continue
        sizes, spans = [], rows
        for left in range(levels, 0, -1):
            sizes.append(next(k for k in count(1) if k**left >= spans))
            spans = -(-spans // sizes[-1])
        if sizes[-1] > 1:
            yield tuple(sizes)
