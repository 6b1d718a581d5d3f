"""The cards of `rep3`: what each functionality costs, message by message, and what it promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tacit.algebra.ring import Ring
from tacit.core.factors import lifted_bits
from tacit.core.protocol import Card, Pattern, Pieces, Wave
from tacit.core.share import halvings
from tacit.core.timing import LOOPBACK, Network
from tacit.protocols.rep3 import bits as bit_rows
from tacit.protocols.rep3 import leading, trees
from tacit.protocols.rep3.ranks import planes as digit_planes
from tacit.protocols.rep3.ranks import row_blocks
from tacit.protocols.rep3.turns import one_role, pieces, rows_at_once, thirds

ARAKI = "Araki, Furukawa, Lindell, Nof, Ohara, CCS 2016, section 2.2"
MANY_ROWS = (
    "AND of many rows: Patra, Schneider, Suresh, Yalame (ABY2.0), USENIX Security 2021; docs/decisions/0068"
)
EARLY = "P0 as the dealer: Chaudhari, Choudhury, Patra, Suresh (ASTRA), CCSW 2019; docs/decisions/0068"
TWO_OPERANDS = "two-operand view of Mohassel and Rindal (ABY3), CCS 2018, section 5; docs/decisions/0003"

PERMUTED = "Laur, Willemson, Zhang, ISC 2011; opened as in Chida et al., ePrint 2019/695; docs/decisions/0040"

REPEATING = 9
"""From the third block of every third on, no party gets deeper by more (all starting depths were tried)."""

LEADING = "leading-zero anticipation: Schmookler and Nowka, ARITH 2001; docs/decisions/0050"


def planes_bytes(planes: int, n: int) -> int:
    """Bytes of `planes` bit planes of n elements."""
    return planes * 8 * -(-n // 64)


def _ring_pass(ring: Ring, n: int, **_: object) -> list[Wave]:
    b = ring.wire_bytes(n)
    return [[(0, 2, b), (1, 0, b), (2, 1, b)]]


def _mul_early(ring: Ring, n: int, **_: object) -> list[Wave]:
    b = ring.wire_bytes(n)
    return _exchange(b, b)


def _and(ring: Ring, n: int, planes: int = 1, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    return _climb(n, trees.pairs(planes), network)


def _and_all(ring: Ring, n: int, planes: int = 8, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    joins = trees.equal_counts(trees.groups(planes, n, network, False))
    return _tree(n, halvings(planes), joins, network)


def _turned(pattern: Callable[..., list[Wave]], bits: int = 64) -> Callable[..., list[Wave]]:
    """Return the pattern on thirds of a large array, with the roles turned from third to third, or blocks (`turns`).

    P0 sends some `bits` for each element.
    """

    def whole(ring: Ring, n: int, network: Network = LOOPBACK, **sizes: Any) -> list[Wave]:
        bounds, order = thirds(n, network, bits), tuple([r for r, _, _ in pieces(n, network, bits)])
        if len(order) == 1:
            return pattern(ring, n, **sizes)
        waves: list[Wave] = []
        for r, (low, high) in enumerate(bounds):
            for number, wave in enumerate(pattern(ring, high - low, **sizes)):
                if number == len(waves):
                    waves.append(Pieces(number, order[:REPEATING], len(order) // len(bounds)))
                waves[number] += [((a + r) % 3, (b + r) % 3, size) for a, b, size in wave]
        return waves

    return whole


def _trunc(ring: Ring, n: int, f: int = 16, **_: object) -> list[Wave]:
    if f == 0:
        return []
    b, fb = ring.wire_bytes(n), ring.wire_bytes(n, f)
    return _exchange(b + fb, fb)


def _mul_trunc(ring: Ring, n: int, f: int = 16, **_: object) -> list[Wave]:
    return _lifted(ring, n, ring.wire_bytes(n), f)


def _mul_trunc_or_mul(
    ring: Ring, n: int, f: int = 16, network: Network = LOOPBACK, **_: object
) -> list[Wave]:
    return _turned(_mul_trunc)(ring, n, network, f=f) if f else _ring_pass(ring, n)


def _matmul_trunc(
    ring: Ring,
    n: int,
    f: int = 16,
    shapes: tuple[tuple[int, ...], ...] = (),
    network: Network = LOOPBACK,
    **_: object,
) -> list[Wave]:
    return _multiplied(_mul_trunc_or_mul(ring, n, f, network), f, shapes, network)


def _multiplied(
    waves: list[Wave], f: int, shapes: tuple[tuple[int, ...], ...], network: Network
) -> list[Wave]:
    """Say which part of a local matrix product is computed for which messages."""
    single = [len(s) for s in shapes] == [2, 2]
    if f and single and rows_at_once(shapes[0][0], shapes[0][1], shapes[1][1], network):
        # Two thirds are computed in the roles of P0 and P2, who send first, one in that of P1.
        for wave, part in zip(waves, (2 / 3, 1 / 3), strict=False):
            if isinstance(wave, Pieces):
                wave.product = part
    return waves


def _exchange(first: int, *each: int) -> list[Wave]:
    return [[(0, 1, first)], *([(1, 2, size), (2, 1, size)] for size in each)]


def _tree(n: int, pairs: Iterable[int], joins: Iterable[tuple[int, int]], network: Network) -> list[Wave]:
    """Return the waves of either way to climb a tree: pairs of each level, or `Level.counts` of each."""
    if one_role(n, network):
        planes = list(joins)
        shared = planes_bytes(sum(sets for sets, _ in planes), n)
        return _exchange(shared, *(planes_bytes(sums, n) for _, sums in planes)) if planes else []
    return [[(a, b, planes_bytes(each, n)) for a, b in ((0, 2), (1, 0), (2, 1))] for each in pairs]


def _climb(n: int, plans: tuple[trees.Plan, ...], network: Network, ways: trees.Ways = ()) -> list[Wave]:
    return _levels(n, plans, trees.least(plans, ways, n, network), network)


def _levels(
    n: int, plans: Iterable[trees.Plan], levels: Iterable[trees.Level], network: Network
) -> list[Wave]:
    return _tree(n, (len(each.a) for each in plans), (each.counts for each in levels), network)


def _blocks(ring: Ring, n: int, rows: int = 0, count: int = 0, **_: object) -> list[Wave]:
    first = planes_bytes(rows, n)
    return _exchange(first, planes_bytes(count, n)) if count else [[(0, 1, first)]]


def _carry(ring: Ring, n: int, bits: int, extra: int, network: Network) -> list[Wave]:
    radix = bit_rows.block_bits(bits, n, network)
    nb = -(-bits // radix)
    rows, count = bit_rows.table_rows(bits, radix) + extra, max(2 * nb - 1, 0)
    blocks = _turned(_blocks)(ring, n, network, rows=rows, count=count)
    return [
        *blocks,
        *_levels(n, trees.carry_plans(nb), trees.carry_levels(nb, trees.groups(nb, n, network)), network),
    ]


def _sign(ring: Ring, n: int, bits: int = 62, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    return _carry(ring, n, bits, 1, network)


def _trunc_exact(ring: Ring, n: int, f: int = 16, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    if f == 0:
        return []
    last = _turned(_trunc)(ring, n, network, f=f)
    return [*_carry(ring, n, f, 0, network), *_to_arith(ring, n, network=network), *last]


def _is_zero(ring: Ring, n: int, bits: int = 62, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    radix = bit_rows.block_bits(bits, n, network)
    nb = -(-bits // radix)
    waves = _turned(_blocks)(ring, n, network, rows=bit_rows.table_rows(bits, radix), count=nb)
    return [*waves, *_and_all(ring, n, nb, network)]


def _decompose(ring: Ring, n: int, bits: int = 64, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    rows, count = bit_rows.pair_rows(bits)
    upper, below = bit_rows.pair_counts(bits)[1:]
    waves = _turned(_blocks)(ring, n, network, rows=rows, count=count)
    waves += _climb(n, bit_rows.prefix_plans(below), network, bit_rows.prefix_ways(below))
    return [*waves, *(_and(ring, n, upper - 1, network) if upper > 1 else [])]


def _to_arith(ring: Ring, n: int, planes: int = 1, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    def pattern(ring: Ring, n: int) -> list[Wave]:
        b = ring.wire_bytes(n * planes)
        return _exchange(b, b)

    return _turned(pattern)(ring, n // planes if planes else 0, network)


def _digit_ranks(ring: Ring, n: int, bits: int = 3, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    count = digit_planes(bits, ring.width)

    def pattern(ring: Ring, n: int) -> list[Wave]:
        b = planes_bytes(count, n)
        return _exchange(b, b)

    waves: list[Wave] = []
    for at, end in row_blocks(n, network):
        waves += _turned(pattern, count)(ring, end - at, network)
    return [*waves, *_ring_pass(ring, n)]


def _select(ring: Ring, n: int, **_: object) -> list[Wave]:
    b = ring.wire_bytes(n)
    return _exchange(2 * b, b)


def _selected(ring: Ring, n: int, network: Network = LOOPBACK, **_: object) -> list[Wave]:
    return _turned(_select, min(ring.width, 64))(ring, n, network)


def _select_trunc(ring: Ring, n: int, f: int = 16, **_: object) -> list[Wave]:
    b = ring.wire_bytes(n)
    return _exchange(3 * b + 2 * ring.wire_bytes(n, f), b) if f else _select(ring, n)


def _select_narrowed(ring: Ring, n: int, **_: object) -> list[Wave]:
    b = ring.wire_bytes(n)
    return _exchange(3 * b, b)


def _factored(
    ring: Ring,
    n: int,
    terms: int = 10,
    width: int = 48,
    shift: int = 24,
    network: Network = LOOPBACK,
    **_: object,
) -> list[Wave]:
    bits = lifted_bits(ring.width, width, shift)

    def pattern(ring: Ring, n: int) -> list[Wave]:
        return _lifted(ring, n, terms * ring.wire_bytes(n, width), bits)

    return _turned(pattern, terms * width)(ring, n, network)


def _lifted(ring: Ring, n: int, first: int, bits: int) -> list[Wave]:
    bit, whole = ring.wire_bytes(n, 1), ring.wire_bytes(n)
    if not bits:  # the wrap does not count
        return _exchange(first, whole)
    return _exchange(first + ring.wire_bytes(n, bits), bit, whole)


def _mul_into(
    ring: Ring, n: int, f: int = 16, into: int = 64, network: Network = LOOPBACK, **_: object
) -> list[Wave]:
    def pattern(ring: Ring, n: int) -> list[Wave]:
        return _lifted(Ring(into), n, ring.wire_bytes(n), lifted_bits(into, ring.width, f))

    return _turned(pattern)(ring, n, network)


def _matmul_into(
    ring: Ring,
    n: int,
    f: int = 16,
    into: int = 64,
    shapes: tuple[tuple[int, ...], ...] = (),
    network: Network = LOOPBACK,
    **_: object,
) -> list[Wave]:
    return _multiplied(_mul_into(ring, n, f, into, network), f, shapes, network)


def _trunc_into(
    ring: Ring, n: int, f: int = 16, into: int = 0, network: Network = LOOPBACK, **_: object
) -> list[Wave]:
    def pattern(ring: Ring, n: int) -> list[Wave]:
        return [[(0, 1, ring.wire_bytes(n, into or ring.width - f))]]

    return _turned(pattern)(ring, n, network)


def _below(
    ring: Ring,
    n: int,
    bits: int = 26,
    at: tuple[int, ...] = (23, 21, 19, 17),
    network: Network = LOOPBACK,
    **_: object,
) -> list[Wave]:
    how = leading.layout(bits, at)
    waves = _turned(_blocks)(ring, n, network, rows=how.rows(bits), count=how.blocks)
    steps = how.blocks, how.ends
    return [*waves, *_climb(n, leading.prefix_plans(*steps), network, leading.prefix_ways(*steps))]


def _combine(
    ring: Ring,
    n: int,
    planes: int = 4,
    widths: tuple[int, ...] = (64,),
    network: Network = LOOPBACK,
    **_: object,
) -> list[Wave]:
    def pattern(ring: Ring, n: int) -> list[Wave]:
        return _exchange(planes * ring.wire_bytes(n), sum(ring.wire_bytes(n, w) for w in widths))

    return _turned(pattern, planes * ring.width)(ring, n // planes, network)


def _input_bytes(b: int, owner: int, seeded: bool) -> list[Wave]:
    if owner >= 0:
        return [[(owner, (owner + 1) % 3, b)]]
    seeds = [(-1, 0, 32), (-1, 1, 16), (-1, 2, 16)] if not seeded else []
    return [[*seeds, (-1, 1, b), (-1, 2, b)]]


def _share_input(ring: Ring, n: int, owner: int = 0, seeded: bool = True, **_: object) -> list[Wave]:
    return _input_bytes(ring.wire_bytes(n), owner, seeded)


def _share_bits(ring: Ring, n: int, owner: int = 0, seeded: bool = True, **_: object) -> list[Wave]:
    return _input_bytes(planes_bytes(1, n), owner, seeded)


def _reveal_bytes(b: int, to: tuple[int, ...]) -> list[Wave]:
    wave: Wave = []
    for j in to:
        wave += [((j - 1) % 3, j, b)] if j >= 0 else [(0, j, b), (1, j, b)]
    return [wave]


def _reveal(ring: Ring, n: int, to: tuple[int, ...] = (0, 1, 2), **_: object) -> list[Wave]:
    return _reveal_bytes(ring.wire_bytes(n), to)


def _reveal_bits(ring: Ring, n: int, to: tuple[int, ...] = (0, 1, 2), **_: object) -> list[Wave]:
    return _reveal_bytes(planes_bytes(1, n), to)


def _shuffle(ring: Ring, n: int, widths: tuple[int, ...] = (64,), **_: object) -> list[Wave]:
    b = sum(ring.wire_bytes(n, w) for w in widths)
    return [[(0, 1, b), (1, 2, b)], [(1, 2, b), (2, 1, b)]]


def _place(ring: Ring, n: int, widths: tuple[int, ...] = (64,), index: int = 17, **_: object) -> list[Wave]:
    b, d = sum(ring.wire_bytes(n, w) for w in widths), ring.wire_bytes(n, index)
    return [[(0, 1, b + d), (1, 2, b + d)], [(1, 2, b + d), (2, 1, b + d), (1, 0, d), (2, 0, d)]]


def _fetch(ring: Ring, n: int, widths: tuple[int, ...] = (64,), index: int = 17, **_: object) -> list[Wave]:
    b = sum(ring.wire_bytes(n, w) for w in widths)
    return [*_place(ring, n, (), index), [(2, 1, b), (1, 0, b)], [(1, 0, b), (0, 1, b)]]


def _agree(ring: Ring, n: int, **_: object) -> list[Wave]:
    b = ring.wire_bytes(n)
    return [[(0, 1, b), (0, 2, b)]]


ROUNDING = (
    "the result is within one unit of x/2^f; which side it falls on depends on a value that parties know, so "
    "an opened result tells them about the fraction below x's last unit, nothing else"
)


PATIENT = frozenset(
    {
        "share_input",
        "trunc",
        "mul_early",
        "mul_trunc",
        "matmul_early",
        "matmul_trunc",
        "select",
        "select_trunc",
        "select_narrowed",
        "mul_into",
        "matmul_into",
        "trunc_into",
        "factored",
        "combine",
    }
)
"""What runs as steps that write their results in place."""


def _card(name: str, source: str, pattern: Pattern, leaks: str = "nothing") -> Card:
    return Card(
        functionality=name,
        protocol="rep3",
        source=source,
        adversary="semi-honest",
        corruptions="1 of 3",
        material="pairwise AES-CTR streams",
        leaks=leaks,
        pattern=pattern,
        patient=name in PATIENT,
    )


CARDS: dict[str, Card] = {
    c.functionality: c
    for c in (
        _card("share_input", ARAKI, _share_input),
        _card("share_bits", ARAKI, _share_bits),
        _card("reveal", ARAKI, _reveal, "the value, to the parties named"),
        _card("reveal_bits", ARAKI, _reveal_bits, "the value, to the parties named"),
        _card("agree", "public values, sent in the clear", _agree, "the public value"),
        _card("mul", ARAKI, _ring_pass),
        _card("mul_early", EARLY, _mul_early),
        _card("matmul", ARAKI, _ring_pass),
        _card("matmul_early", EARLY, _mul_early),
        _card("and_", f"{ARAKI}, where roles are turned; else {MANY_ROWS}", _and),
        _card("and_all", f"{ARAKI}, where roles are turned; else {MANY_ROWS}", _and_all),
        _card("trunc", TWO_OPERANDS, _turned(_trunc), ROUNDING),
        _card("trunc_exact", f"{TWO_OPERANDS}; {MANY_ROWS}", _trunc_exact),
        _card("mul_trunc", TWO_OPERANDS, _mul_trunc_or_mul, ROUNDING),
        _card("matmul_trunc", TWO_OPERANDS, _matmul_trunc, ROUNDING),
        _card("sign", f"{TWO_OPERANDS}; {MANY_ROWS}", _sign),
        _card("is_zero", f"{TWO_OPERANDS}; {MANY_ROWS}", _is_zero),
        _card("decompose", f"{TWO_OPERANDS}; prefix: Sklansky 1960; {MANY_ROWS}", _decompose),
        _card("to_arith", TWO_OPERANDS, _to_arith),
        _card("select", TWO_OPERANDS, _selected),
        _card("select_trunc", TWO_OPERANDS.replace("0003", "0073"), _turned(_select_trunc), ROUNDING),
        _card("select_narrowed", TWO_OPERANDS.replace("0003", "0077"), _select_narrowed),
        _card("factored", TWO_OPERANDS.replace("0003", "0050"), _factored, ROUNDING),
        _card("mul_into", TWO_OPERANDS.replace("0003", "0050"), _mul_into, ROUNDING),
        _card("matmul_into", TWO_OPERANDS.replace("0003", "0077"), _matmul_into, ROUNDING),
        _card("trunc_into", TWO_OPERANDS.replace("0003", "0077"), _trunc_into, ROUNDING),
        _card(
            "below",
            f"{LEADING}; {MANY_ROWS}",
            _below,
            "nothing; in between, the bit depends on the shares, so nobody may see it",
        ),
        _card("combine", TWO_OPERANDS, _combine),
        _card("dot", ARAKI, _ring_pass),
        _card("digit_ranks", TWO_OPERANDS.replace("0003", "0040"), _digit_ranks),
        _card("shuffle", PERMUTED, _shuffle),
        _card("place", PERMUTED, _place),
        _card("fetch", PERMUTED, _fetch),
    )
}
