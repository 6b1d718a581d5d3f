"""Planted mistakes in the checks: each mutant must let an attack through that the real code stops.

A scenario passes on the real code and has to fail under the mutant; SECURITY.md, section 6, is the list.
"""

import contextlib
import random
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("rbcl")

from report_world import World
from test_report_session import CHEATS, TEXT, five, patched

from tacit.crypto import encoding, sigma
from tacit.crypto.groups import group_named
from tacit.crypto.sigma import Statement
from tacit.errors import DataError, TacitError
from tacit.report import disputes, envelope, offers, session, steps, sums

GROUP = group_named("ristretto255")


def named(cheat: Any) -> Any:
    """The cheater is named by everybody."""

    def scenario() -> None:
        world = World(
            five(bob=TEXT), cheat=CHEATS.get(cheat) or cheat, cheater=4, limits=session.Limits(max_cycles=2)
        ).run()
        assert world.check([TEXT]) == 4

    return scenario


def framed(world: Any, original: Any, secret: Any, box: Any, context: Any, randomness: Any) -> Any:
    """Show a made-up value instead of the Diffie-Hellman value."""
    opening = original(secret, box, context, randomness)
    return replace(opening, shared=opening.shared + opening.shared.group.generator)


def false_complaint_with_made_up_value() -> Any:
    def cheat(world: Any) -> Any:
        stack = contextlib.ExitStack()
        stack.enter_context(CHEATS["a false complaint"](world))
        stack.enter_context(patched(offers, "show", framed)(world))
        return stack

    named(cheat)()


def split_view() -> Any:
    world = World(five(bob=TEXT), cheater=4)
    other = {}

    def wire(sender: Any, receiver: Any, data: Any) -> Any:
        if sender == 4 and receiver < 2:
            message = envelope.open_envelope(world.circle, data)
            if message.number == 2 and message.kind == envelope.MAIN:
                body = message.body[:-1] + bytes([message.body[-1] ^ 1])
                forged = envelope.seal_envelope(world.circle, world.keys[4], 2, envelope.MAIN, 4, body)
                return [other.setdefault(data, forged.encode())]
        return [data]

    world.wire = wire
    world.run()
    assert world.check([TEXT], allow_stall=False) == 4


def strangers() -> Any:
    world = World(five(cem=TEXT), 1)

    def wire(sender: Any, receiver: Any, data: Any) -> Any:
        message = envelope.open_envelope(world.circle, data) if sender != 9 else None
        fake = replace(message, sender=(sender + 1) % 5, signature=bytes(64))
        return [data] if fake.sender == receiver else [fake.encode(), data]

    world.wire = wire
    world.run()
    assert {s.status for s in world.states} == {session.FINISHED}


def cancelling_slots() -> None:
    """Two slots whose plain sum is zero: only random weights see them."""
    v = GROUP.scalar(42)
    contribution = [(v,), (-v,), (GROUP.zero,)]
    randomness = random.Random(3).randbytes
    dealt, commitments = sums.deal(GROUP, contribution, 3, randomness)
    proof = sums.prove_one_slot(dealt, commitments, 2, b"c", randomness)
    assert not sums.one_slot_holds(commitments, b"c", proof)


def contexts_differ() -> None:
    stage = offers.Stage(GROUP, bytes(32), 2, (2, 2), (GROUP.generator,) * 3)
    contexts = {
        s.context(sender)
        for s in (
            stage,
            replace(stage, session=b"\1" * 32),
            replace(stage, number=8),
            replace(stage, widths=(2, 3)),
        )
        for sender in range(3)
    }
    assert len(contexts) == 12
    boxes = {stage.box_context(i, j, [c]) for i in range(3) for j in range(3) for c in (b"a", b"b")}
    assert len(boxes) == 18


def lists_are_unambiguous() -> None:
    lists = [[], [b""], [b"", b""], [b"ab"], [b"a", b"b"], [b"", b"ab"], [b"ab", b""], [b"\0\0\0\0"]]
    assert len({encoding.pack(fields) for fields in lists}) == len(lists)
    for fields in lists:
        assert encoding.unpack(encoding.pack(fields)) == fields
    for wrong in (b"", b"\0\0\0", b"\0\0\0\1", encoding.pack([b"a"]) + b"\0", b"\xff\xff\xff\xff"):
        with pytest.raises(DataError):
            encoding.unpack(wrong)


def empty_proof_lists() -> None:
    assert not sigma.equal_holds([], b"", bytes(64))
    assert not sigma.one_of_holds([], b"", encoding.pack([]))


def proofs_do_not_move() -> None:
    """To another context, statement or prover."""
    randomness = random.Random(4).randbytes
    x, y = GROUP.random_scalar(randomness), GROUP.random_scalar(randomness)
    real = [
        Statement(GROUP.generator, GROUP.base_mul(x)),
        Statement(GROUP.base_mul(y), y * GROUP.base_mul(x)),
    ]
    other = [Statement(GROUP.generator, GROUP.base_mul(y)), real[1]]
    for prove, holds in (
        (lambda: sigma.prove_equal(x, real, b"ann", randomness), sigma.equal_holds),
        (lambda: sigma.prove_one_of(x, 0, real, b"ann", randomness), sigma.one_of_holds),
    ):
        proof = prove()
        assert holds(real, b"ann", proof)
        assert not holds(real, b"bob", proof) and not holds(other, b"ann", proof)
        assert not holds(real[:1], b"ann", proof) and not holds(real[::-1], b"ann", proof)
        assert not holds(real, b"ann", bytes(len(proof))) and not holds(real, b"ann", b"")


def wrong_points() -> Any:
    """Unvalidated points: the identity, a non-canonical encoding, no point at all."""
    for data in (bytes(32), b"\xff" * 32, b"\1" + bytes(31), bytes(31)):
        with pytest.raises(DataError):
            GROUP.decode_element(data)
    world = World(five(bob=TEXT), cheater=4)

    def zero_key(world: Any, body: Any) -> Any:
        nonce, _, proof = encoding.unpack(body, 3)
        return encoding.pack([nonce, bytes(32), proof])

    world.last_word = {0: zero_key}
    world.run()
    assert world.check([TEXT]) == 4


def barrier() -> None:
    for cheat in ("writing into every slot", "a part of zeros"):
        world = World(
            five(bob=TEXT), cheat=CHEATS[cheat], cheater=4, limits=session.Limits(max_cycles=2)
        ).run()
        for i in world.honest():
            numbers = {envelope.open_envelope(world.circle, d).number for who, d in world.sent if who == i}
            assert max(numbers) == 3


def always(value: Any) -> Any:
    return lambda *arguments, **names: value


def no_session_context(self: Any, sender: Any) -> Any:
    return encoding.pack([self.number.to_bytes(4), sender.to_bytes(2), repr(self.widths).encode()])


def no_party_context(self: Any, sender: Any) -> Any:
    return encoding.pack([self.session, self.number.to_bytes(4), repr(self.widths).encode()])


def proceed(state: Any, envelopes: Any, go_on: Any, randomness: Any) -> Any:
    return go_on(state, randomness)


def first_wins(state: Any, message: Any) -> Any:
    key = (message.number, message.kind)
    heard = {**state.heard, key: {message.sender: message, **state.heard.get(key, {})}}
    return replace(state, heard=heard)


MUTANTS = {
    "reservation proof not checked": (
        patch.object(sums, "one_slot_holds", always(True)),
        named("writing into every slot"),
    ),
    "one-of proof not checked": (
        patch.object(sums, "one_of_holds", always(True)),
        named("writing into every slot"),
    ),
    "parts not checked": (
        patch.object(offers, "part_fits", always(True)),
        named("a part changed in one bit"),
    ),
    "sums not checked": (patch.object(sums, "sum_fits", always(True)), named("a sum that does not fit")),
    "complaints always believed": (
        patch.object(offers, "complaint_is_just", always(True)),
        named("a false complaint"),
    ),
    "complaints never believed": (
        patch.object(offers, "complaint_is_just", always(False)),
        named("a part of zeros"),
    ),
    "opening of a complaint not checked": (
        patch.object(offers, "opening_holds", always(True)),
        false_complaint_with_made_up_value,
    ),
    "multicast taken for broadcast": (
        patch.object(disputes, "judge_confirmations", always(disputes.Verdict([]))),
        split_view,
    ),
    "equivocation not noticed": (patch.object(steps, "store", first_wins), split_view),
    "signature of a message not checked": (patch.object(envelope, "is_signed", always(True)), strangers),
    "weights all one": (patch.object(sums, "_weights", lambda g, c, x: [g.one] * len(c)), cancelling_slots),
    "session missing in the challenge": (
        patch.object(offers.Stage, "context", no_session_context),
        contexts_differ,
    ),
    "party missing in the challenge": (
        patch.object(offers.Stage, "context", no_party_context),
        contexts_differ,
    ),
    "ambiguous list encoding": (
        patch.object(encoding, "pack", lambda fields: b"".join(fields)),
        lists_are_unambiguous,
    ),
    "statement missing in the challenge": (patch.object(sigma, "_statement_bytes", always(b"")), None),
    "announcing before the checks": (patch.object(steps, "_after_confirm", proceed), barrier),
    "key of a greeting not proven or checked": (
        patch.object(type(GROUP), "_element_is_valid", always(True)),
        wrong_points,
    ),
}

SCENARIOS = [
    false_complaint_with_made_up_value,
    split_view,
    strangers,
    cancelling_slots,
    contexts_differ,
    lists_are_unambiguous,
    empty_proof_lists,
    proofs_do_not_move,
    wrong_points,
    barrier,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_scenario(scenario: Any) -> None:
    scenario()


@pytest.mark.parametrize("name", [m for m, (_, scenario) in MUTANTS.items() if scenario])
def test_mutant_is_killed(name: Any) -> None:
    mutant, scenario = MUTANTS[name]
    with mutant, pytest.raises((AssertionError, TacitError, KeyError, IndexError, pytest.fail.Exception)):
        scenario()


def test_statement_must_be_hashed() -> Any:
    """The weak Fiat-Shamir mutant: without the statement in the hash a proof fits a chosen target.

    With c = H(commitment), choose commitment k·g and response z at random and solve for target = (z·g −
    k·g)/c.
    """
    randomness = random.Random(5).randbytes
    k, z = GROUP.random_scalar(randomness), GROUP.random_scalar(randomness)

    def forge() -> Any:
        commitment = GROUP.base_mul(k)
        fields = [b"c", sigma._statement_bytes([]), encoding.pack([sigma.element_bytes(commitment)])]
        c = sigma.challenge(GROUP, "sigma/equal", fields)
        target = c.inverse() * (GROUP.base_mul(z) - commitment)
        return [Statement(GROUP.generator, target)], c.encode() + z.encode()

    statements, proof = forge()
    assert not sigma.equal_holds(statements, b"c", proof)
    with patch.object(sigma, "_statement_bytes", always(b"")):
        statements, proof = forge()
        assert sigma.equal_holds(statements, b"c", proof)
