"""Reporting sessions: delivery, collisions, silence, and every way of cheating that has a name."""

import contextlib
import secrets
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

pytest.importorskip("rbcl")

from report_world import NAMES, World

from tacit.crypto.encoding import pack, unpack
from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.report import disputes, envelope, offers, session, slots, steps, sums
from tacit.report.envelope import MAIN, RELAY, SHOW

TEXT = b"This course is boring"
NOBODY = [None] * 5


def five(**at: Any) -> Any:
    return [at.get(name) for name in NAMES]


def finished(world: Any) -> Any:
    assert {s.status for s in world.states} == {session.FINISHED}
    return world.states[0].delivered


# ---- Honest people


@pytest.mark.parametrize("reporter", NAMES)
def test_all_receive_exactly_the_text(reporter: Any) -> None:
    world = World(five(**{reporter: TEXT})).run()
    assert [s.delivered for s in world.states] == [(TEXT,)] * 5
    assert all(session.was_delivered(s) for s in world.states)


def test_an_empty_round() -> None:
    assert finished(World(NOBODY).run()) == ()


@pytest.mark.parametrize("people", [3, 4])
def test_few_people(people: Any) -> None:
    world = World([TEXT] + [None] * (people - 1)).run()
    assert finished(world) == (TEXT,)


def test_everybody_reports_and_collisions_are_resolved() -> None:
    texts = [f"report {i}".encode() * (i + 1) for i in range(5)]
    collided = 0
    for seed in range(2):
        world = World(texts, seed).run()
        assert sorted(finished(world)) == sorted(texts)
        collided += world.states[0].collisions
    assert collided, "no seed made a collision: choose others"


def test_the_same_text_twice_arrives_twice() -> None:
    assert finished(World([TEXT, TEXT, None, None, None]).run()) == (TEXT, TEXT)


@pytest.mark.parametrize("size", [1, 30, 31, 32, 62, 63, 5_000])
def test_any_length(size: Any) -> None:
    text = (
        secrets.token_bytes(size - 1) + b"\0"
    )  # ends in a zero byte: padding must not be confused with text
    assert finished(World([text, None, None]).run()) == (text,)


def test_collisions_without_end_are_cut_and_the_reporter_knows() -> None:
    with patch.object(steps, "_random_below", lambda bound, randomness: 0):  # everybody takes slot 0, always
        world = World([TEXT, TEXT, None], limits=session.Limits(max_cycles=2)).run()
    assert finished(world) == ()
    assert [session.was_delivered(s) for s in world.states] == [False, False, True]


def test_messages_late_twice_and_reordered() -> None:
    for seed in range(3):
        world = World(five(bob=TEXT, eva=b"x"), seed).run(shuffle=True)
        assert sorted(finished(world)) == [TEXT, b"x"], seed


def test_strangers_altered_and_foreign_messages_change_nothing() -> Any:
    foreign = World(five(ann=b"other"), 99).run().sent
    world = World(five(cem=TEXT), 1)
    rng = world.rng

    def wire(sender: Any, receiver: Any, data: Any) -> Any:
        altered = bytearray(data)
        altered[rng.randrange(len(altered))] ^= 1 << rng.randrange(8)
        return [rng.choice(foreign)[1], bytes(altered), data, secrets.token_bytes(40), b""]

    world.wire = wire
    assert finished(world.run()) == (TEXT,)
    assert all(s.ignored for s in world.states)


def test_silence_names_who_is_silent() -> None:
    for stop_at in range(7):
        world = World([TEXT, None, None, None], cheater=3)
        world.silenced = lambda i, s, stop_at=stop_at: i == 3 and s.number >= stop_at
        world.run()
        for i in world.honest():
            assert session.waiting_for(world.states[i]) == ("dia",), stop_at
        # The others can start again without dia; the reporter still has the text to send.
        assert world.states[0].keep.text == TEXT


def test_what_begin_refuses() -> None:
    world = World(NOBODY)
    circle, key = world.circle, world.keys[0]
    for name, k, text in (
        ("zoe", key, None),
        ("bob", key, None),
        ("ann", key, b""),
        ("ann", key, bytes(2**21)),
    ):
        with pytest.raises(UsageError):
            session.begin(circle, name, k, text)
    with pytest.raises(UsageError, match="people"):
        replace(circle, members=circle.members[:2])
    with pytest.raises(UsageError, match="same"):
        replace(circle, members=(*circle.members, circle.members[0]))
    with pytest.raises(UsageError, match="fresh"):
        replace(circle, invitation=b"again")
    with pytest.raises(UsageError, match="running"):
        session.result(world.states[0])


def test_secrets_stay_out_of_repr() -> None:
    world = World(five(ann=b"canary-text"))
    state, _ = steps.start(world.states[0], world.randomness)
    assert "canary" not in repr(state) and "Scalar(" not in repr(state)


# ---- Cheaters: each of these must end with the cheater's name, or harmlessly


def patched(module: Any, name: Any, function: Any) -> Any:
    original = getattr(module, name)
    return lambda world: patch.object(module, name, lambda *a, **k: function(world, original, *a, **k))


def wrong_sum(world: Any, original: Any, group: Any, received: Any) -> Any:
    first, *rest = original(group, received)
    return (replace(first, cells=(first.cells[0] + group.one, *first.cells[1:])), *rest)


def two_slots(
    world: Any, original: Any, stage: Any, me: Any, contribution: Any, prove: Any, randomness: Any
) -> Any:
    """Write into every slot: jams whatever anybody sends."""
    one = stage.group.one
    return original(stage, me, [(one, *v[1:]) for v in contribution], prove, randomness)


def garbage_part(
    world: Any, original: Any, recipient: Any, message: Any, context: Any, randomness: Any
) -> Any:
    return original(recipient, bytes(len(message)), context, randomness)


def shifted_part(
    world: Any, original: Any, recipient: Any, message: Any, context: Any, randomness: Any
) -> Any:
    return original(recipient, bytes([message[0] ^ 1]) + message[1:], context, randomness)


def short_part(world: Any, original: Any, recipient: Any, message: Any, context: Any, randomness: Any) -> Any:
    return original(recipient, b"", context, randomness)


def false_complaint(
    world: Any, original: Any, stage: Any, offer: Any, sender: Any, me: Any, secret: Any
) -> None:
    raise DataError("I do not like it")


def no_proof(world: Any, original: Any, *arguments: Any) -> Any:
    return b""


def forged_proof(world: Any, original: Any, *arguments: Any) -> Any:
    return bytes(len(original(*arguments)))


def other_context(
    world: Any, original: Any, dealt: Any, commitments: Any, slot: Any, context: Any, randomness: Any
) -> Any:
    """A proof for another session, person or round."""
    return original(dealt, commitments, slot, b"other" + context, randomness)


def wrong_hashes(world: Any, original: Any, envelope: Any) -> Any:
    return bytes(32)


CHEATS = {
    "a sum that does not fit": patched(sums, "add_parts", wrong_sum),
    "writing into every slot": patched(offers, "make_offer", two_slots),
    "a part of zeros": patched(offers, "seal_to", garbage_part),
    "a part changed in one bit": patched(offers, "seal_to", shifted_part),
    "an empty part": patched(offers, "seal_to", short_part),
    "a false complaint": patched(offers, "receive_parts", false_complaint),
    "no proof": patched(sums, "prove_one_of", no_proof),
    "a forged proof": patched(sums, "prove_one_of", forged_proof),
    "a proof for another context": patched(sums, "prove_one_slot", other_context),
    "hashes of nothing": patched(steps, "fingerprint", wrong_hashes),
}


@pytest.mark.parametrize("cheat", CHEATS)
@pytest.mark.parametrize("cheater", [0, 4])
def test_the_cheater_is_named_by_everybody(cheat: Any, cheater: Any) -> None:
    world = World(five(bob=TEXT), cheat=CHEATS[cheat], cheater=cheater).run()
    assert world.check([TEXT]) == 4, cheat
    for i in world.honest():
        with pytest.raises(PeerMisbehaved) as caught:
            session.result(world.states[i])
        assert caught.value.culprits == (NAMES[cheater],)
        assert world.states[i].keep.session_key is None and world.states[i].keep.dealt is None
    # Nothing was lost and nobody unmasked: without the cheater the text goes out.
    rest = [world.states[i].keep.text for i in world.honest()]
    assert rest.count(TEXT) == 1
    if cheater == 4:
        assert finished(World(rest, 5).run()) == (TEXT,)


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize(
    "body", [b"", b"\0" * 40, pack([b"", b"", b""]), pack([bytes(32 * 3), pack([b"x"])])]
)
def test_malformed_messages_name_their_signer(number: Any, body: Any) -> Any:
    """Signed nonsense in each round of a session with one report."""

    def nonsense(world: Any) -> Any:
        original = steps._send

        def send(state: Any, honest_body: Any, kind: Any = MAIN, at: Any = None) -> Any:
            return original(state, body if state.number == number else honest_body, kind, at)

        return patch.object(steps, "_send", send)

    world = World([None, TEXT, None], cheat=nonsense, cheater=2).run()
    assert world.check([TEXT], allow_stall=False) == 2


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("victims", [(0,), (0, 2)])
def test_equivocation_names_the_equivocator(number: Any, victims: Any) -> None:
    """Two well-made versions of one message, to different people: a split view."""
    world = World([None, TEXT, None, None], cheater=3)
    second = {}

    def act(person: Any, function: Any) -> None:
        before = world.states[person]
        World.act(world, person, function)
        if person == 3 and before.number <= number <= world.states[3].number and not second:
            with contextlib.suppress(Exception):
                mine = world.states[3].main(number)[3]
                honest_sum = number in (4, 7)
                body = bytearray(mine.body)
                if honest_sum:
                    body[0] ^= 1
                else:  # change a nonce, a hash or a proof's last byte; sign again
                    body[20 if number in (0, 1) else -1] ^= 1
                other = envelope.seal_envelope(world.circle, world.keys[3], number, MAIN, 3, bytes(body))
                second[mine.encode()] = other.encode()
                for v in victims:
                    box = world.inbox[v]
                    box[:] = [second.get(d, d) for d in box]

    world.act = act
    world.wire = lambda sender, receiver, data: [second.get(data, data) if receiver in victims else data]
    world.run()
    assert second
    assert world.check([TEXT]) >= 1


def test_a_copied_offer_is_refused() -> None:
    """The copied commitment: a cheater who waits for bob's offer and sends it as its own."""
    for number in (2, 5):
        world = World(five(bob=TEXT), cheater=4)
        world.last_word = {number: lambda world, body, n=number: world.states[1].main(n)[1].body}
        world.run()
        assert not world.last_word and world.check([TEXT]) == 4


def copied_box(world: Any, body: Any) -> Any:
    """Send bob's box for ann as one's own: were it accepted, her complaint would open it."""
    commitments, boxes, proofs = unpack(body, 3)
    mine, bobs = unpack(boxes), unpack(unpack(world.states[1].main(2)[1].body, 3)[1])
    return pack([commitments, pack([bobs[0], *mine[1:]]), proofs])


def complaints_of_ann(world: Any) -> Any:
    return [unpack(unpack(s.main(3)[0].body, 2)[1]) for s in world.states if 0 in s.main(3)]


def test_a_copied_one_time_value_does_not_open_an_honest_box() -> None:
    world = World(five(bob=TEXT), cheater=4)
    world.last_word = {2: copied_box}
    world.run()
    assert world.check([TEXT]) == 4
    assert complaints_of_ann(world) and not any(complaints_of_ann(world))


def test_mutant_boxes_without_their_senders_signature() -> None:
    """The mutant: ann complains, and what she shows opens bob's box: the check is what protects him."""
    world = World(five(bob=TEXT), cheater=4)
    world.last_word = {2: copied_box}
    with patch("tacit.crypto.box.signature_holds", return_value=True):
        world.run()
    assert any(complaints_of_ann(world))


@pytest.mark.parametrize("cause", [0, 1])
def test_a_dispute_about_nothing(cause: Any) -> Any:
    """A SHOW without a difference: whoever opens one is named; an answer to nobody is ignored."""
    world = World(five(bob=TEXT), cheater=4)
    seen = []

    def wire(sender: Any, receiver: Any, data: Any) -> Any:
        out = [data]
        if sender == 4 and world.states[4].number == 4 and receiver not in seen:
            seen.append(receiver)
            inner = [e.encode() for n in (2, 3) for e in world.states[4].main(n).values()]
            show = envelope.seal_envelope(
                world.circle, world.keys[4], 3, SHOW, 4, pack([bytes([cause]), *inner])
            )
            out.insert(0, show.encode())
        return out

    world.wire = wire
    world.run()
    assert len(seen) == 4
    assert world.check([TEXT]) == (4 if cause else 0)


@pytest.mark.parametrize("number", [0, 2, 4, 5, 7])
def test_a_dispute_about_a_round_without_confirmations_blames_nobody_honest(number: int) -> None:
    world = World([None, TEXT, None, None], cheater=3)
    seen: list[int] = []

    def wire(sender: Any, receiver: Any, data: Any) -> Any:
        if sender != 3 or receiver in seen or world.states[0].number < min(number, 5):
            return [data]
        seen.append(receiver)
        show = envelope.seal_envelope(world.circle, world.keys[3], number, SHOW, 3, pack([b"\1"]))
        return [show.encode(), data]

    world.wire = wire
    world.run()
    assert seen and world.check([TEXT]) == 0
    assert [world.states[i].delivered for i in world.honest()] == [(TEXT,)] * 3


def test_relaying_others_messages_is_harmless() -> Any:
    world = World(five(bob=TEXT), cheater=4)

    def wire(sender: Any, receiver: Any, data: Any) -> Any:
        if sender != 4:
            return [data]
        mine = [e.encode() for heard in world.states[4].heard.values() for e in heard.values()]
        relay = envelope.seal_envelope(world.circle, world.keys[4], 0, RELAY, 4, pack([b"\0", *mine]))
        bad = envelope.seal_envelope(world.circle, world.keys[4], 0, RELAY, 4, b"nonsense")
        return [relay.encode(), bad.encode(), data]

    world.wire = wire
    world.run()
    assert [world.states[i].delivered for i in world.honest()] == [(TEXT,)] * 4


def test_no_sum_is_announced_before_every_check_held() -> None:
    """Verification is a barrier: with a cheater in the offers, no honest person ever sends a SUM."""
    for cheat in ("writing into every slot", "a part of zeros", "a forged proof"):
        world = World(five(bob=TEXT), cheat=CHEATS[cheat], cheater=4).run()
        for i in world.honest():
            numbers = {envelope.open_envelope(world.circle, d).number for who, d in world.sent if who == i}
            assert max(numbers) == 3, cheat


def test_a_jammer_who_uses_one_slot_a_round_only_delays() -> Any:
    """One garbage reservation in every cycle is within the rules; honest reports get through all the same."""

    def jam(world: Any) -> Any:
        original = slots.encode_reservation

        def garbage(wish: Any, context: Any) -> Any:
            return tuple(c + c.group.one for c in original(wish, context))

        return patch.object(slots, "encode_reservation", garbage)

    for seed in range(2):
        world = World(
            [TEXT, None, b"jam"], seed, cheat=jam, cheater=2, limits=session.Limits(max_cycles=5)
        ).run()
        assert [world.states[i].delivered for i in world.honest()] == [(TEXT,)] * 2
        assert world.states[0].cycle == 4


def test_a_wrong_verdict_needs_a_lie_in_a_signed_message() -> None:
    """Unit of the dispute rules: claims that are not backed name the claimer."""
    world = World(NOBODY).run()
    state = world.states[0]
    confirmations = [state.main(1)[i] for i in range(5)]
    assert disputes.judge_confirmations(replace(state, number=1), confirmations) == disputes.Verdict([])
    lie = replace(confirmations[2], body=pack([bytes(160), pack([])]))
    verdict = disputes.judge_confirmations(
        replace(state, number=1), [*confirmations[:2], lie, *confirmations[3:]]
    )
    assert verdict.split_view and not verdict.culprits
