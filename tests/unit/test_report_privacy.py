"""Who wrote it? Everything that n−2 others and a listener see has one distribution, whoever the reporter is.

Exhaustive over all random tapes in a group of order 3 (sums) and 5 (proofs); sampled in ristretto255. A
planted leak must be caught by the same tests.
"""

import itertools
from collections import Counter
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("rbcl")

from report_world import ToyGroup, World

from tacit.crypto.sigma import Statement, one_of_holds, prove_one_of
from tacit.report import envelope, sums, textbook

THREE = ToyGroup(3, 7, 2)
FIVE = ToyGroup(5, 11, 3)


def tape(values: Any) -> Any:
    """Randomness that replays single-byte draws."""
    remaining = iter(values)
    return lambda size: bytes([next(remaining)])


def deals(group: Any, message: Any, people: Any = 3) -> Any:
    """Every possible deal of one slot with one cell, as plain integers: (commitments, values, blinds)."""
    out = []
    for values in itertools.product(range(group.order), repeat=2 * people - 1):
        dealt, commitments = sums.deal(group, [(group.scalar(message),)], people, tape(values))
        parts = dealt.parts[0]
        out.append(
            (
                tuple(c._raw for c in commitments[0]),
                tuple(p.cells[0].vartime_int() for p in parts),
                tuple(p.blind.vartime_int() for p in parts),
            )
        )
    return out


def view(first: Any, second: Any, q: Any) -> Any:
    """What person 2 sees of persons 0 and 1: commitments, own parts, announced sums (own contribution is
    constant).
    """
    (c0, v0, b0), (c1, v1, b1) = first, second
    announced = tuple(((v0[i] + v1[i]) % q, (b0[i] + b1[i]) % q) for i in (0, 1))
    return c0, c1, v0[2], b0[2], v1[2], b1[2], announced


def distribution(group: Any, m0: Any, m1: Any) -> Any:
    q, second = group.order, deals(group, m1)
    return Counter(view(a, b, q) for a in deals(group, m0) for b in second)


def test_sums_hide_the_reporter_exhaustively() -> None:
    """All 3^10 tapes: the third person's view is the same if 0 says m, or 1 does, for every m."""
    for message in (1, 2):
        assert distribution(THREE, message, 0) == distribution(THREE, 0, message)
    # The sum itself is meant to be seen: other totals give other views.
    assert distribution(THREE, 1, 0) != distribution(THREE, 2, 0)


def test_the_textbook_steps_hide_the_reporter_exhaustively() -> Any:
    """The two steps alone, in the field of 3: parts to person 2 and both announcements."""
    with patch.object(textbook, "MODULUS", 3):
        made = {
            m: [textbook.split(m, 3, tape(t)) for t in itertools.product(range(3), repeat=2)] for m in (0, 1)
        }

        def views(m0: Any, m1: Any) -> Any:
            return Counter(
                (a[2], b[2], textbook.combine([a[0], b[0]]), textbook.combine([a[1], b[1]]))
                for a in made[m0]
                for b in made[m1]
            )

        assert views(1, 0) == views(0, 1)


def test_a_planted_leak_is_caught_by_the_exhaustive_test() -> Any:
    real = sums.uniform
    calls = itertools.count()

    def biased(group: Any, randomness: Any) -> Any:
        drawn = real(group, randomness)
        return group.zero if next(calls) % 5 < 2 else drawn  # forgets to mask: the last part is the message

    with patch.object(sums, "uniform", biased):
        assert distribution(THREE, 1, 0) != distribution(THREE, 0, 1)


@pytest.mark.parametrize("branches", [2, 3])
def test_one_of_several_proofs_are_the_same_for_every_witness(branches: Any) -> None:
    """All tapes: a proof made with either witness has one distribution, and always verifies."""
    group = FIVE if branches == 2 else THREE
    witnesses = [group.scalar(i + 1) for i in range(branches)]
    bases = [group.generator, *[group.base_mul(group.scalar(2)) for _ in range(branches - 1)]]
    statements = [Statement(b, w * b) for b, w in zip(bases, witnesses, strict=True)]
    seen = []
    for known in range(branches):
        proofs = Counter()
        for values in itertools.product(range(group.order), repeat=2 * branches + 1):
            proofs[prove_one_of(witnesses[known], known, statements, b"c", tape(values))] += 1
        assert all(one_of_holds(statements, b"c", proof) for proof in proofs)
        seen.append(proofs)
    assert all(proofs == seen[0] for proofs in seen)


def test_reservation_and_text_proofs_use_every_slot_alike() -> None:
    """A silent person's proof does not depend on the branch it used, nor an owner's on being the owner."""
    dealt, commitments = sums.deal(THREE, [(THREE.zero,)] * 2, 3, tape([1, 2, 0, 1, 2] * 2))
    by_slot = []
    for slot in (0, 1):
        tapes = itertools.product(range(3), repeat=5)
        by_slot.append(Counter(sums.prove_one_slot(dealt, commitments, slot, b"c", tape(t)) for t in tapes))
    assert by_slot[0] == by_slot[1]
    owner = THREE.base_mul(THREE.scalar(2))
    by_role = []
    for secret in (None, THREE.scalar(2)):
        tapes = itertools.product(range(3), repeat=5)
        by_role.append(
            Counter(
                sums.prove_owner_or_silent(dealt, commitments, 0, owner, secret, b"c", tape(t)) for t in tapes
            )
        )
    assert by_role[0] == by_role[1]


# ---- The real group


def messages_of(world: Any, people: Any) -> Any:
    """Bodies by (person, round), without the rounds' fixed points that carry no randomness."""
    out = {}
    for sender, data in world.sent:
        if sender in people:
            e = envelope.open_envelope(world.circle, data)
            out[sender, e.number] = e.body
    return out


def test_sizes_counts_and_order_do_not_depend_on_the_reporter() -> None:
    shapes = set()
    for reporter in range(3):
        for seed in range(3):
            texts = [b"0123456789" if i == reporter else None for i in range(3)]
            world = World(texts, 10 * reporter + seed).run()
            shapes.add(tuple((who, len(data)) for who, data in world.sent))
    assert len(shapes) == 1


def chi_square(a: Any, b: Any) -> Any:
    """Two-sample χ² over 256 bins."""
    total = 0.0
    ka, kb = (sum(b.values()) / sum(a.values())) ** 0.5, (sum(a.values()) / sum(b.values())) ** 0.5
    for value in range(256):
        if a[value] + b[value]:
            total += (ka * a[value] - kb * b[value]) ** 2 / (a[value] + b[value])
    return total


def samples(reporter: Any, runs: Any) -> Any:
    """Byte counts of what person 0 announces, by round (without the top byte, which is not uniform)."""
    counts = {4: Counter(), 7: Counter()}
    for seed in range(runs):
        texts = [b"This course is boring" if i == reporter else None for i in range(3)]
        bodies = messages_of(World(texts, 1000 * reporter + seed).run(), (0,))
        for number, count in counts.items():
            body = bodies[0, number]
            count.update(b for i in range(0, len(body), 32) for b in body[i : i + 31])
    return counts


# χ² with 255 degrees of freedom exceeds this with probability 1e-6.
CRITICAL = 377.1


@pytest.mark.slow
def test_announcements_are_alike_whoever_reports() -> None:
    first, second = samples(0, 150), samples(1, 150)
    for number in first:
        assert chi_square(first[number], second[number]) < CRITICAL, number


@pytest.mark.slow
def test_parts_are_alike_and_a_planted_leak_is_caught() -> Any:
    """All parts that are exchanged, and a mutant whose randomness is sometimes short."""

    def parts(reporter: Any, runs: Any) -> Any:
        seen = set()  # each part is checked several times: count it once
        original = sums.part_fits

        def watch(commitment: Any, part: Any) -> Any:
            seen.update(cell.encode()[:31] for cell in (*part.cells, part.blind))
            return original(commitment, part)

        for seed in range(runs):
            with patch("tacit.report.offers.part_fits", watch):
                World([b"x" * 100 if i == reporter else None for i in range(3)], 7000 * reporter + seed).run()
        return Counter(b for data in seen for b in data)

    honest = parts(0, 40)
    assert chi_square(honest, parts(1, 40)) < CRITICAL
    real = sums.uniform

    def leaky(group: Any, randomness: Any) -> Any:
        drawn = real(group, randomness)
        return group.scalar(drawn.vartime_int() >> 128) if drawn.encode()[0] < 64 else drawn

    with patch.object(sums, "uniform", leaky):
        assert chi_square(honest, parts(1, 40)) > CRITICAL
