"""A verifiable sum: everybody adds a vector to each slot, all learn the totals, nobody who added what.

Source: von Ahn, Bortz and Hopper, "k-anonymous message transmission" (CCS 2003), section 4, the protocol with
Pedersen commitments; for whole vectors under one commitment. Slots, cells: a slot has one or more cells, a
cell one scalar. What others see of a contribution is uniform whatever it is (perfect hiding), so privacy does
not rest on a problem being hard; that nobody can add something else than committed rests on discrete
logarithms.

The parties are numbered 0..n−1 here; signatures, encryption and the order of messages are `session`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tacit.crypto.groups import Element, Group, Randomness, Scalar
from tacit.crypto.sigma import Statement, challenge, element_bytes, one_of_holds, prove_one_of
from tacit.errors import UsageError

Vector = tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What one person gives another for one slot: a vector and the randomness of its commitment."""

    cells: Vector = field(repr=False)
    blind: Scalar = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dealt:
    """The secret side of a contribution: parts[slot][person] and each slot's total randomness."""

    parts: tuple[tuple[Part, ...], ...] = field(repr=False)
    blinds: tuple[Scalar, ...] = field(repr=False)


# The public side: commitments[slot][person].
Commitments = tuple[tuple[Element, ...], ...]


@lru_cache(maxsize=8)
def blind_generator(group: Group) -> Element:
    """Return h, the base of the randomness."""
    return group.vartime_hash_to_element(b"blind", b"tacit/report/" + group.name.encode())


@lru_cache(maxsize=65_536)
def cell_generator(group: Group, cell: int) -> Element:
    """Return the base of one cell; no relation between the bases is known to anybody (RFC 9380)."""
    return group.vartime_hash_to_element(b"cell" + cell.to_bytes(4), b"tacit/report/" + group.name.encode())


def commit(group: Group, cells: Sequence[Scalar], blind: Scalar) -> Element:
    """Return blind·h + Σ cells[l]·g_l (Pedersen 1991, for vectors)."""
    terms = [cell * cell_generator(group, i) for i, cell in enumerate(cells)]
    return group.total([blind * blind_generator(group), *terms])


def uniform(group: Group, randomness: Randomness) -> Scalar:
    """Draw a uniform scalar, zero included."""
    return group.scalar_from_wide(randomness(group.wide_bytes))


def _sum(group: Group, values: Sequence[Scalar]) -> Scalar:
    total = group.zero
    for value in values:
        total = total + value
    return total


def _add(group: Group, vectors: Sequence[Vector]) -> Vector:
    return tuple(_sum(group, cells) for cells in zip(*vectors, strict=True))


def deal(
    group: Group, contribution: Sequence[Vector], people: int, randomness: Randomness
) -> tuple[Dealt, Commitments]:
    """Step 1. Split every slot's vector into one part a person, and commit to each part."""
    if people < 3:
        raise UsageError("anonymous reporting needs at least three people")
    all_parts, totals, commitments = [], [], []
    for vector in contribution:
        shares = [tuple(uniform(group, randomness) for _ in vector) for _ in range(people - 1)]
        rest = tuple(value - _sum(group, cells) for value, *cells in zip(vector, *shares, strict=True))
        parts = tuple(Part(cells, uniform(group, randomness)) for cells in (*shares, rest))
        all_parts.append(parts)
        totals.append(_sum(group, [part.blind for part in parts]))
        commitments.append(tuple(commit(group, part.cells, part.blind) for part in parts))
    return Dealt(tuple(all_parts), tuple(totals)), tuple(commitments)


def part_fits(commitment: Element, part: Part) -> bool:
    """Step 2. Check a part that was received against its commitment."""
    return commit(commitment.group, part.cells, part.blind) == commitment


def add_parts(group: Group, received: Sequence[Sequence[Part]]) -> tuple[Part, ...]:
    """Step 3. Add up the parts received from everybody (own part included), slot by slot."""
    return tuple(
        Part(_add(group, [part.cells for part in slot]), _sum(group, [part.blind for part in slot]))
        for slot in zip(*received, strict=True)
    )


def sum_fits(everybody: Sequence[Commitments], person: int, announced: Sequence[Part]) -> bool:
    """Check one person's announced sums against everybody's commitments to the parts that person received."""
    if len(announced) != len(everybody[0]):
        return False
    return all(
        part_fits(part.blind.group.total([commitments[slot][person] for commitments in everybody]), part)
        for slot, part in enumerate(announced)
    )


def totals(group: Group, announced: Sequence[Sequence[Part]]) -> tuple[Vector, ...]:
    """Step 4. Add up what everybody announced: the sum of all contributions, slot by slot."""
    return tuple(_add(group, [part.cells for part in slot]) for slot in zip(*announced, strict=True))


# ---- Proofs that a contribution is allowed. All are witness-indistinguishable without any assumption.


def slot_totals(commitments: Commitments) -> list[Element]:
    """Return the commitment to each slot's whole contribution."""
    return [slot[0].group.total(slot) for slot in commitments]


def _weights(group: Group, commitments: Commitments, context: bytes) -> list[Scalar]:
    flat = [element_bytes(c) for slot in commitments for c in slot]
    return [
        challenge(group, "report/weight", [context, k.to_bytes(4), *flat]) for k in range(len(commitments))
    ]


def _silent_but_one(commitments: Commitments, context: bytes) -> list[Statement]:
    """Write "all slots but k are zero" for every k, as one logarithm each.

    The weights are fixed by the commitments. If two slots are non-zero, then whichever k is left out, the
    weighted sum of the others is zero with probability 1/q only (Bellare, Garay and Rabin, EUROCRYPT 1998,
    random combination).
    """
    group = commitments[0][0].group
    weights = _weights(group, commitments, context)
    weighted = [c.vartime_mul(w) for c, w in zip(slot_totals(commitments), weights, strict=True)]
    everything = group.total(weighted)
    return [Statement(blind_generator(group), everything - w) for w in weighted]


def prove_one_slot(
    dealt: Dealt, commitments: Commitments, slot: int, context: bytes, randomness: Randomness
) -> bytes:
    """Prove that at most one slot is non-zero, without saying which or whether."""
    group = dealt.blinds[0].group
    weights = _weights(group, commitments, context)
    terms = [w * r for k, (w, r) in enumerate(zip(weights, dealt.blinds, strict=True)) if k != slot]
    statements = _silent_but_one(commitments, context)
    return prove_one_of(_sum(group, terms), slot, statements, context, randomness)


def one_slot_holds(commitments: Commitments, context: bytes, proof: bytes) -> bool:
    """Check that at most one slot is non-zero."""
    return one_of_holds(_silent_but_one(commitments, context), context, proof)


def _owner_or_silent(commitments: Commitments, slot: int, owner: Element) -> list[Statement]:
    group = owner.group
    total = group.total(commitments[slot])
    return [Statement(group.generator, owner), Statement(blind_generator(group), total)]


def prove_owner_or_silent(
    dealt: Dealt,
    commitments: Commitments,
    slot: int,
    owner: Element,
    owner_secret: Scalar | None,
    context: bytes,
    randomness: Randomness,
) -> bytes:
    """Prove "I own this slot or I add zero to it" without saying which (Verdict, USENIX Security 2013)."""
    known, secret = (1, dealt.blinds[slot]) if owner_secret is None else (0, owner_secret)
    statements = _owner_or_silent(commitments, slot, owner)
    return prove_one_of(secret, known, statements, context + slot.to_bytes(4), randomness)


def owner_or_silent_holds(
    commitments: Commitments, slot: int, owner: Element, context: bytes, proof: bytes
) -> bool:
    """Check that a contribution to an owned slot is its owner's or zero."""
    return one_of_holds(_owner_or_silent(commitments, slot, owner), context + slot.to_bytes(4), proof)
