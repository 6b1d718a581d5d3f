"""AND, and trees of it, on shared bit planes: carries, equality, prefixes. A level of a tree is one round.

Where roles are turned (`turns`) all parties do alike, on pairs of rows (Araki et al., CCS 2016). Elsewhere P0 waits
for nobody: x = w ⊕ λ with w = x2, which P1 and P2 know, and λ = x0 ⊕ x1, which P0 knows and they share. A product of
many rows is a sum of products of w's, each times a product of λ's; P0 shares the latter, early, and P1 and P2 reshare
the sum. That is the multi-input AND of Patra, Schneider, Suresh, Yalame, "ABY2.0", USENIX Security 2021, with P0 for
its setup, as in Chaudhari, Choudhury, Patra, Suresh, "ASTRA", CCSW 2019 (docs/decisions/0068).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, combinations, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.core.share import Planes, stack_planes
from tacit.core.timing import Network
from tacit.kernels import Terms
from tacit.protocols.rep3.turns import Steps, ends_at_once, joined_planes, one_role, run_alike

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
NONE = -1
MOST = 8
"""Rows that are multiplied at once, at most: P0 shares a product for each of their subsets."""


Sum = Sequence[frozenset[int]]
"""A sum of products of rows."""


class Level(NamedTuple):
    """One level of sums of products of rows, where P0 waits for nobody; `kernels.sum_rows` says what numbers mean."""

    sets: tuple[Array, Array]
    """Products of λ's, each of two rows or products before it."""
    terms: Terms
    """Products of w's likewise; a term is a row or product of w's times one of λ's."""
    old: Array
    made: Array
    """A new row is an old row plus a sum (−1: without)."""
    counts: tuple[int, int]
    """How many products of λ's P0 shares, and how many sums are reshared."""


Ways = tuple[tuple[Level, ...], ...]
"""Levels that make the same rows, each way of its own."""


class Plan(NamedTuple):
    """One level of pairs: rows a and b are multiplied; a new row is an old row plus a product (−1: without)."""

    a: Array
    b: Array
    old: Array
    product: Array
    level: Level
    """The same where P0 waits for nobody."""


def and_(p: Rep3, x: Planes, y: Planes) -> Planes:
    """F_and: a tree of one level."""
    return climb(p, stack_planes([x, y]), pairs(x.planes))


@lru_cache(maxsize=256)
def pairs(k: int) -> tuple[Plan, ...]:
    """Return the one level that multiplies each of k rows with the one k further on."""
    return (plan(list(range(k)), list(range(k, 2 * k)), [NONE] * k, list(range(k))),) if k else ()


def climb(p: Rep3, s: Planes, plans: tuple[Plan, ...], ways: Ways = ()) -> Planes:
    """Go through levels of pairs: in each, multiply rows a and b of s, and make the rows of the next s.

    Where P0 waits for nobody, in the cheapest of the `ways` to the same rows, if there are others.
    """
    if not plans:
        return s
    if not one_role(s.n, p.party.network):
        return climb_alike(p, s, plans)
    return climb_unlike(p, s, least(plans, ways, s.n, p.party.network))


def carry(p: Rep3, blocks: Planes) -> Planes:
    """Return the carry out of blocks, of which P is given but for the lowest, then G."""
    nb, network = (blocks.planes + 1) // 2, p.party.network
    if nb == 1:
        return blocks
    if not one_role(blocks.n, network):
        return climb_alike(p, blocks, carry_plans(nb))
    return climb_unlike(p, blocks, carry_levels(nb, groups(nb, blocks.n, network)))


def and_all(p: Rep3, x: Planes) -> Planes:
    """F_and of many: levels of pairs, or of as many rows as are worth their products."""
    count, network = x.planes, p.party.network
    if count == 1:
        return x
    if not one_role(x.n, network):
        return climb_alike(p, x, equal_plans(count))
    return climb_unlike(p, x, equal_levels(groups(count, x.n, network, False)))


def climb_alike(p: Rep3, s: Planes, plans: tuple[Plan, ...]) -> Planes:
    """Every party sends its masked part of the products to one other, on slow links in blocks (`turns.block`)."""

    def steps(low: int, high: int) -> Steps[Planes]:
        words = slice(low // 64, -(-high // 64))
        return _alike(p, [np.ascontiguousarray(part[:, words]) for part in s.parts], high - low, plans)

    return joined_planes(run_alike(p, s.n, steps, max(len(each.a) for each in plans)))


def _alike(p: Rep3, parts: list[Array], n: int, plans: tuple[Plan, ...]) -> Steps[Planes]:
    party, (s0, s1) = p.party, parts
    total = sum(len(each.a) for each in plans)
    own, previous = (p.common(offset, "rep3/tree").plane_mask(total, n) for offset in (+1, -1))
    behind, ahead, used = party.peer(-1), party.peer(+1), 0
    for a, b, old, new, _ in plans:
        z = kernels.and_rows(s0, s1, a, b, own, previous, used)
        used += len(a)
        party.send(behind, "rep3.and", z)
        (got,) = yield ((ahead, "rep3.and", z.nbytes),)
        theirs = got.view(np.uint64).reshape(z.shape)
        s0, s1 = kernels.mix_rows(s0, z, old, new), kernels.mix_rows(s1, theirs, old, new)
    return Planes((s0, s1), n)


def climb_unlike(p: Rep3, s: Planes, levels: tuple[Level, ...]) -> Planes:
    """P0 shares products of λ's of all levels at once: its components of what a level makes are draws, t0 and t1.

    1. P0 → P1: the products, masked by draws with P2. 2… level by level P1 and P2 exchange their parts of the sums,
    less t0 and t1.
    """
    ends_at_once(p)
    party, n, (s0, s1) = p.party, s.n, s.parts
    (sets, sums), lanes = sizes(levels), -(-n // 64)
    if party.index == 0:
        with2, with1 = p.common(+2, "rep3/products"), p.common(+1, "rep3/products")
        rho, t0, t1 = with2.planes(sets, n), with2.planes(sums, n), with1.planes(sums, n)
        sent = []
        for level, at, to in _placed(levels):
            sent.append(kernels.lambda_rows(s0, s1, *level.sets, rho[at]))
            s0 = kernels.mix_rows(s0, t0[to], level.old, level.made)
            s1 = kernels.mix_rows(s1, t1[to], level.old, level.made)
        party.send(party.peer(1), "rep3.products", *sent)  # 1
        party.flush()
        p.take_along(1 + len(levels))
        return Planes((s0, s1), n)
    first = party.index == 1
    other = party.peer(1 if first else -1)
    if first:
        drawn = p.common(-1, "rep3/products").planes(sums, n)
        p.take_along(every=False)
        got = party.recv(party.peer(-1), "rep3.products", 8 * sets * lanes)
        held = got.view(np.uint64).reshape(sets, lanes)
    else:
        with0 = p.common(+1, "rep3/products")
        held, drawn = with0.planes(sets, n), with0.planes(sums, n)
        p.take_along(every=False)  # as P1 does, which waits for P0's message
    w, share = (s1, s0) if first else (s0, s1)
    for level, at, to in _placed(levels):
        mine = kernels.sum_rows(w, share, held[at], level.terms, drawn[to], first)
        party.send(other, "rep3.and", mine)  # 2…
        p.take_along()
        both = mine ^ party.recv(other, "rep3.and", mine.nbytes).view(np.uint64).reshape(mine.shape)
        w = kernels.mix_rows(w, both, level.old, level.made)
        share = kernels.mix_rows(share, drawn[to], level.old, level.made)
    return Planes((share, w) if first else (w, share), n)


def _placed(levels: Iterable[Level]) -> Iterator[tuple[Level, slice, slice]]:
    """Yield levels with the places of their products of λ's and of their sums among those of all levels."""
    used = made = 0
    for level in levels:
        sets, sums = level.counts
        yield level, slice(used, used + sets), slice(made, made + sums)
        used, made = used + sets, made + sums


def sizes(levels: Iterable[Level]) -> tuple[int, int]:
    """Return how many products of λ's P0 shares, and how many sums are reshared."""
    products = sums = 0
    for level in levels:
        products += level.counts[0]
        sums += level.counts[1]
    return products, sums


# -- prefixes --------------------------------------------------------------------------------------------------


def least(plans: tuple[Plan, ...], ways: Ways, n: int, network: Network) -> tuple[Level, ...]:
    """Return the levels of least price, in the bytes of P0, among pairs and other `ways` to the same rows."""
    lane = 8 * -(-n // 64)

    def price(levels: tuple[Level, ...]) -> int:
        return len(levels) * network.round_bytes + lane * sizes(levels)[0]

    return min((tuple(each.level for each in plans), *ways), key=price)


def radices(count: int) -> list[tuple[int, list[int]]]:
    """Return, for each number of levels less than pairs take, how many digits each joins at least, and their spans."""
    found: list[tuple[int, list[int]]] = []
    fewest = (count - 1).bit_length()
    for radix in range(3, MOST + 1):
        spans = [1]
        while spans[-1] * radix < count:
            spans.append(spans[-1] * radix)
        if len(spans) < fewest:
            found.append((radix, spans))
            fewest = len(spans)
    return found


def lower_ends(i: int, span: int, radix: int) -> list[int]:
    """Return the last digits of the spans below digit i's that are joined with it, the highest first."""
    return [(i // span - b) * span - 1 for b in range(i // span % radix)]


# -- levels of pairs ------------------------------------------------------------------------------------------


def plan(a: list[int], b: list[int], old: list[int], product: list[int]) -> Plan:
    """Return a level of pairs, of lists of row numbers."""
    first, second, kept, made = (np.array(rows, np.int64) for rows in (a, b, old, product))
    level = _level([[frozenset(pair)] for pair in zip(a, b, strict=True)], old, product)
    return Plan(first, second, kept, made, level)


@lru_cache(maxsize=256)
def equal_plans(count: int) -> tuple[Plan, ...]:
    """Return the levels that multiply all rows."""
    plans = []
    while count > 1:
        half, odd = divmod(count, 2)
        first, second = list(range(half)), list(range(half, 2 * half))
        plans.append(plan(first, second, [NONE] * half + [2 * half] * odd, [*first, *([NONE] * odd)]))
        count = half + odd
    return tuple(plans)


@lru_cache(maxsize=256)
def carry_plans(nb: int) -> tuple[Plan, ...]:
    """Return the levels that join nb blocks; the carry out of all of them is left."""
    plans = []
    while nb > 1:
        plans.append(_carry_plan(nb))
        nb -= nb // 2
    return tuple(plans)


def _carry_plan(nb: int) -> Plan:
    """Join nb blocks pairwise: (G, P) = (G1 ⊕ P1·G0, P1·P0). Rows: P of blocks 1…, then G of all blocks."""
    m, odd = nb // 2, nb % 2

    def p_row(block: int) -> int:
        return block - 1

    def g_row(block: int) -> int:
        return nb - 1 + block

    # The lowest block has no carry in, so its propagate is never needed.
    a = [p_row(2 * i + 1) for i in range(1, m)] + [p_row(2 * i + 1) for i in range(m)]
    b = [p_row(2 * i) for i in range(1, m)] + [g_row(2 * i) for i in range(m)]
    old = (
        [NONE] * (m - 1)
        + [p_row(nb - 1)] * odd
        + [g_row(2 * i + 1) for i in range(m)]
        + [g_row(nb - 1)] * odd
    )
    new = [*range(m - 1), *([NONE] * odd), *range(m - 1, 2 * m - 1), *([NONE] * odd)]
    return plan(a, b, old, new)


# -- levels of sums of products of many rows --------------------------------------------------------------------


def groups(count: int, n: int, network: Network, carries: bool = True) -> tuple[tuple[int, ...], ...]:
    """Return how many blocks (or rows) are joined into each of the next level, by level; the lowest come first."""
    return cheapest(count, 8 * -(-n // 64), network.round_bytes, carries)[1]


@lru_cache(maxsize=1 << 14)
def cheapest(
    count: int, lane: int, round_bytes: int, carries: bool
) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Return the least price (`core.protocol.price`) of joining `count` blocks, and its `groups`.

    In the bytes of P0, which sends most, at `lane` bytes a plane. Groups of a level differ by one block at most.
    """
    if count < 2:
        return 0, ()
    best: tuple[int, tuple[tuple[int, ...], ...]] | None = None
    for left in range(-(-count // MOST), -(-count // 2) + 1):
        each, more = divmod(count, left)
        smaller = left - more
        planes = _shared(each, True, carries) - _shared(each, False, carries)
        planes += smaller * _shared(each, False, carries) + more * _shared(each + 1, False, carries)
        rest, levels = cheapest(left, lane, round_bytes, carries)
        price = round_bytes + lane * planes + rest
        if best is None or price < best[0]:
            best = price, ((each,) * smaller + (each + 1,) * more, *levels)
    assert best is not None
    return best


def _shared(k: int, lowest: bool, carries: bool) -> int:
    """Return how many products of λ's a group of k takes (`carry_levels`, `equal_levels`)."""
    subsets = (1 << k) - 1 - k
    if not carries or k == 1:
        return subsets
    return subsets + (subsets if not lowest else (1 << (k - 1)) - k)


@lru_cache(maxsize=256)
def carry_levels(nb: int, split: tuple[tuple[int, ...], ...]) -> tuple[Level, ...]:
    """Return the levels that join nb blocks in groups: G = ⊕_i G_i·Π_{j>i} P_j, P = Π P_j. Rows as in `_carry_plan`."""
    levels = []
    for counts in split:
        sums: list[Sum] = []
        for low, high in pairwise(accumulate(counts, initial=0)):
            if low:
                sums.append([frozenset(range(low - 1, high - 1))])
        for low, high in pairwise(accumulate(counts, initial=0)):
            sums.append([frozenset([nb - 1 + i, *range(i, high - 1)]) for i in range(low, high)])
        levels.append(joined(sums))
        nb = len(counts)
    return tuple(levels)


@lru_cache(maxsize=256)
def equal_levels(split: tuple[tuple[int, ...], ...]) -> tuple[Level, ...]:
    """Return the levels that multiply all rows, in groups."""
    return tuple(
        joined([[frozenset(range(low, high))] for low, high in pairwise(accumulate(counts, initial=0))])
        for counts in split
    )


def equal_counts(split: tuple[tuple[int, ...], ...]) -> list[tuple[int, int]]:
    """Return the `counts` of `equal_levels`, which prices ask for many splits that never run."""
    each = [[k for k in counts if k > 1] for counts in split]
    return [(sum(_shared(k, True, False) for k in counts), len(counts)) for counts in each]


def joined(sums: list[Sum]) -> Level:
    """Return the level whose new rows are sums; one that is an old row alone is kept, not made."""
    kept = [next(iter(each[0])) if len(each) == len(each[0]) == 1 else NONE for each in sums]
    made = [i for i, old in enumerate(kept) if old == NONE]
    return _level(
        [sums[i] for i in made], kept, [NONE if old != NONE else made.index(i) for i, old in enumerate(kept)]
    )


def _level(sums: Sequence[Sum], old: list[int], made: list[int]) -> Level:
    """Multiply out: Π (w ⊕ λ) is the sum, over all ways to take w from some rows and λ from the others, of products."""
    sets: dict[frozenset[int], int] = {frozenset(): NONE}
    products = dict(sets)
    set_pairs: list[tuple[int, int]] = []
    product_pairs: list[tuple[int, int]] = []
    terms: list[tuple[int, int]] = []
    begins = [0]
    for each in sums:
        for rows in each:
            for size in range(len(rows) + 1):
                for chosen in combinations(sorted(rows), size):
                    of_w = _numbered(rows.difference(chosen), products, product_pairs)
                    terms.append((of_w, _numbered(frozenset(chosen), sets, set_pairs)))
        begins.append(len(terms))

    def columns(pairs: list[tuple[int, int]]) -> tuple[Array, Array]:
        found = np.array(pairs, np.int64).reshape(-1, 2)
        return np.ascontiguousarray(found[:, 0]), np.ascontiguousarray(found[:, 1])

    starts, kept, new = (np.array(each, np.int64) for each in (begins, old, made))
    found = Terms(*columns(product_pairs), starts, *columns(terms))
    return Level(columns(set_pairs), found, kept, new, (len(set_pairs), len(sums)))


def _numbered(rows: frozenset[int], known: dict[frozenset[int], int], pairs: list[tuple[int, int]]) -> int:
    """Return the number of a product of rows: the row's own, −1 for none; others from −2 down, as they are made."""
    if rows not in known:
        last = max(rows)
        if len(rows) == 1:
            return last
        pairs.append((_numbered(rows - {last}, known, pairs), last))
        known[rows] = -1 - len(pairs)
    return known[rows]
