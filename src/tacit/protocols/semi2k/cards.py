"""The cards of `semi2k`: what each functionality costs, message by message, and what it promises.

Index −1 is the client that inputs or receives, or else the dealer.
"""

from __future__ import annotations

import math

from tacit.algebra.ring import Ring
from tacit.core.protocol import Card, Pattern, Wave
from tacit.core.share import halvings
from tacit.protocols.semi2k.boolean import prefix_steps, tree_planes
from tacit.protocols.semi2k.material import RADIX, table_rows

BEAVER = "Beaver, CRYPTO 1991"
MASKED = "masked opening, Damgård, Fitzi, Kiltz, Nielsen, Toft, TCC 2006; docs/decisions/0003"
DABIT = "daBits, Rotaru and Wood, INDOCRYPT 2019"
ADDITIVE = "additive sharing from pairwise streams (folklore)"


def planes_bytes(planes: int, n: int) -> int:
    """Bytes of `planes` bit planes of n elements."""
    return planes * 8 * -(-n // 64)


def _opened(parties: int, *steps: tuple[int, int]) -> list[Wave]:
    """Return the waves of steps (bytes dealt to the last party, bytes opened by everyone to everyone).

    The dealer never receives, so all it deals belongs to the first wave.
    """
    pairs = [(i, j) for i in range(parties) for j in range(parties) if i != j]
    dealt = sum(d for d, _ in steps)
    return [[(-1, parties - 1, dealt)], *([(i, j, each) for i, j in pairs] for _, each in steps)]


Shapes = tuple[tuple[int, ...], tuple[int, ...]]
Step = tuple[int, int]


def _mul_step(ring: Ring, n: int) -> Step:
    b = ring.wire_bytes(n)
    return b, 2 * b


def _matmul_step(ring: Ring, n: int, shapes: Shapes) -> Step:
    return ring.wire_bytes(n), sum(ring.wire_bytes(math.prod(s)) for s in shapes)


def _trunc_steps(ring: Ring, n: int, f: int) -> list[Step]:
    b = ring.wire_bytes(n)
    return [(b + ring.wire_bytes(n, f), b)] if f else []


def _and_steps(n: int, levels: list[int]) -> list[Step]:
    return [(planes_bytes(planes, n), planes_bytes(2 * planes, n)) for planes in levels]


def _to_arith_step(ring: Ring, n: int, planes: int = 1) -> Step:
    return ring.wire_bytes(n), planes_bytes(planes, n // planes)


def _mul(ring: Ring, n: int, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, _mul_step(ring, n))


def _dot(ring: Ring, n: int, inner: int = 1, parties: int = 3, **_: object) -> list[Wave]:
    return _mul(ring, n * inner, parties)


def _matmul(
    ring: Ring, n: int, parties: int = 3, shapes: Shapes = ((8, 8), (8, 8)), **_: object
) -> list[Wave]:
    return _opened(parties, _matmul_step(ring, n, shapes))


def _trunc(ring: Ring, n: int, f: int = 16, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, *_trunc_steps(ring, n, f)) if f else []


def _mul_trunc(ring: Ring, n: int, f: int = 16, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, _mul_step(ring, n), *_trunc_steps(ring, n, f))


def _matmul_trunc(
    ring: Ring, n: int, f: int = 16, parties: int = 3, shapes: Shapes = ((8, 8), (8, 8)), **_: object
) -> list[Wave]:
    return _opened(parties, _matmul_step(ring, n, shapes), *_trunc_steps(ring, n, f))


def _and(ring: Ring, n: int, planes: int = 1, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, *_and_steps(n, [planes]))


def _and_all(ring: Ring, n: int, planes: int = 8, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, *_and_steps(n, halvings(planes))) if planes > 1 else []


def _sign(ring: Ring, n: int, bits: int = 62, parties: int = 3, **_: object) -> list[Wave]:
    first = planes_bytes(1 + table_rows(bits), n), ring.wire_bytes(n, bits + 1)
    return _opened(parties, first, *_and_steps(n, tree_planes(-(-bits // RADIX))))


def _is_zero(ring: Ring, n: int, bits: int = 62, parties: int = 3, **_: object) -> list[Wave]:
    first = planes_bytes(table_rows(bits), n), ring.wire_bytes(n, bits)
    return _opened(parties, first, *_and_steps(n, halvings(-(-bits // RADIX))))


def _decompose(ring: Ring, n: int, bits: int = 64, parties: int = 3, **_: object) -> list[Wave]:
    levels = [len(nodes) + keep for nodes, low, keep in prefix_steps(bits)]
    return _opened(parties, (planes_bytes(bits, n), ring.wire_bytes(n, bits)), *_and_steps(n, levels))


def _to_arith(ring: Ring, n: int, planes: int = 1, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, _to_arith_step(ring, n, planes))


def _select(ring: Ring, n: int, parties: int = 3, **_: object) -> list[Wave]:
    return _opened(parties, _to_arith_step(ring, n), _mul_step(ring, n))


def _trunc_exact(ring: Ring, n: int, f: int = 16, parties: int = 3, **_: object) -> list[Wave]:
    if f == 0:
        return []
    dealt, each = _trunc_steps(ring, n, f)[0]
    first = dealt + planes_bytes(table_rows(f), n), each
    return _opened(parties, first, *_and_steps(n, tree_planes(-(-f // RADIX))), _to_arith_step(ring, n))


def _share_input(ring: Ring, n: int, owner: int = 0, parties: int = 3, **_: object) -> list[Wave]:
    return [] if owner >= 0 else [[(-1, parties - 1, ring.wire_bytes(n))]]


def _share_bits(ring: Ring, n: int, owner: int = 0, parties: int = 3, **_: object) -> list[Wave]:
    return [] if owner >= 0 else [[(-1, parties - 1, planes_bytes(1, n))]]


def _reveal_bytes(each: int, to: tuple[int, ...], parties: int) -> list[Wave]:
    return [[(i, j, each) for j in to for i in range(parties) if i != j]]


def _reveal(ring: Ring, n: int, to: tuple[int, ...] = (0, 1, 2), parties: int = 3, **_: object) -> list[Wave]:
    return _reveal_bytes(ring.wire_bytes(n), to, parties)


def _reveal_bits(
    ring: Ring, n: int, to: tuple[int, ...] = (0, 1, 2), parties: int = 3, **_: object
) -> list[Wave]:
    return _reveal_bytes(planes_bytes(1, n), to, parties)


def _agree(ring: Ring, n: int, parties: int = 3, **_: object) -> list[Wave]:
    return [[(0, j, ring.wire_bytes(n)) for j in range(1, parties)]]


NO_DEALER = "pairwise AES-CTR streams"
DEALT = (
    "from a named dealer, trusted to deal correctly and not to collude with any party (it knows every mask): "
)
DEALER_LEAK = "; everything to a compute party that colludes with the dealer"
ROUNDING = (
    "the result is within one unit of x/2^f; which side it falls on depends on a uniform value that every "
    "compute party sees, so an opened result tells them about the fraction below x's last unit, nothing else"
)


def _card(name: str, source: str, pattern: Pattern, material: str, leaks: str = "nothing") -> Card:
    return Card(
        functionality=name,
        protocol="semi2k",
        source=source,
        adversary="semi-honest",
        corruptions="n − 1 of n",
        material=DEALT + material if material else NO_DEALER,
        leaks=leaks + DEALER_LEAK if material else leaks,
        pattern=pattern,
    )


CARDS: dict[str, Card] = {
    c.functionality: c
    for c in (
        _card("share_input", ADDITIVE, _share_input, ""),
        _card("share_bits", ADDITIVE, _share_bits, ""),
        _card("reveal", ADDITIVE, _reveal, "", "the value, to the parties named"),
        _card("reveal_bits", ADDITIVE, _reveal_bits, "", "the value, to the parties named"),
        _card("agree", "public values, sent in the clear", _agree, "", "the public value"),
        _card("mul", BEAVER, _mul, "one triple an element"),
        _card("dot", BEAVER, _dot, "one triple for each product"),
        _card("matmul", BEAVER, _matmul, "one matrix triple"),
        _card("and_", BEAVER, _and, "one bit triple a bit"),
        _card("and_all", BEAVER, _and_all, "one bit triple for each AND of two bits"),
        _card("trunc", MASKED, _trunc, "a mask r, −r>>f and its top bit", ROUNDING),
        _card("trunc_exact", MASKED, _trunc_exact, "as trunc, block tables of −r, bit triples, daBits"),
        _card("mul_trunc", f"{BEAVER}; {MASKED}", _mul_trunc, "as mul, then trunc", ROUNDING),
        _card("matmul_trunc", f"{BEAVER}; {MASKED}", _matmul_trunc, "as matmul, then trunc", ROUNDING),
        _card("sign", MASKED, _sign, "a mask r, block tables of −r, bit triples"),
        _card("is_zero", MASKED, _is_zero, "a mask r, block tables of −r, bit triples"),
        _card("decompose", MASKED, _decompose, "a mask r, the bits of −r, bit triples"),
        _card("to_arith", DABIT, _to_arith, "one daBit a bit"),
        _card("select", f"{DABIT}; {BEAVER}", _select, "one daBit and one triple an element"),
    )
}
