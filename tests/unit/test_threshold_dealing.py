"""Joint key generation, refresh, resharing, repair: right on any schedule, a culprit for any deviation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("nacl")
pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

from hypothesis import given, settings
from hypothesis import strategies as st
from threshold_network import (
    keygen,
    member,
    name_of,
    nonces_for,
    run_dealing,
    run_repair,
    seeded,
    shares_of,
    signing_key,
)

from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold import dealer, dealing, frost, repair
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.envelope import EVERYONE, Envelope, Inbox, Session, seal_envelope
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.plan import Plan, plan_keygen, plan_refresh, plan_reshare
from tacit.threshold.suites import SUITE_NAMES, suite_named


def sign_with(shares: Mapping[int, KeyShare], signers: Iterable[int], message: bytes = b"order") -> bytes:
    signers = list(signers)
    kept = {i: frost.commit(shares[i], seeded(("nonce", i, message))) for i in signers}
    sent = [commitment for _, commitment in kept.values()]
    parts = {i: frost.sign(shares[i], kept[i][0], message, sent) for i in signers}
    signature = frost.aggregate(shares[signers[0]].group_key, message, sent, parts)
    assert frost.verify(shares[signers[0]].group_key, message, signature)
    return signature


@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_life_of_a_key(suite: str) -> None:
    shares = keygen(2, 3, suite)
    key = shares[1].group_key.key
    assert len({s.group_key.fingerprint() for s in shares.values()}) == 1
    for signers in ([1, 2], [1, 3], [2, 3], [3, 2, 1]):
        sign_with(shares, signers)

    states, _ = run_dealing(plan_refresh(shares[1].group_key), shares, seed="refresh")
    fresh = shares_of(states)
    assert fresh[1].group_key.key == key and fresh[1].group_key.epoch == 1
    assert all(fresh[i].secret != shares[i].secret for i in shares)
    sign_with(fresh, [1, 3])

    # other members, another t: member 2 leaves, 4, 5 and 6 come, 3 of 5
    plan = plan_reshare(fresh[1].group_key, [1, 3], [1, 3, 4, 5, 6], 3)
    states, _ = run_dealing(plan, fresh, seed="reshare")
    moved = shares_of(states)
    assert (
        moved[4].group_key.key == key and moved[4].group_key.threshold == 3 and set(moved) == {1, 3, 4, 5, 6}
    )
    sign_with(moved, [4, 5, 6])
    moved[1].group_key.check_consistent()

    repaired, _ = run_repair(moved, [1, 4, 6], 5, seed="repair")
    share = repaired[5].share
    assert (
        share is not None and share.secret == moved[5].secret and all(s.finished for s in repaired.values())
    )


def test_old_shares_die() -> None:
    """Shares of two generations do not sign together, and t-1 old ones with new ones do not give the key."""
    shares = keygen(2, 3)
    fresh = shares_of(run_dealing(plan_refresh(shares[1].group_key), shares, seed=1)[0])
    with pytest.raises(DataError):
        dealer.combine(fresh[1].group_key, {1: shares[1].secret, 2: fresh[2].secret})
    mixed = {1: shares[1], 2: fresh[2]}
    kept = {i: frost.commit(s, seeded(i)) for i, s in mixed.items()}
    sent = [c for _, c in kept.values()]
    parts = {i: frost.sign(mixed[i], kept[i][0], b"m", sent) for i in mixed}
    with pytest.raises(PeerMisbehaved) as caught:
        frost.aggregate(fresh[1].group_key, b"m", sent, parts)
    assert caught.value.culprits == ("Ada",)
    with pytest.raises(DataError):
        KeyShare(1, shares[1].secret, fresh[1].group_key)


def test_nobody_holds_the_key_and_t_shares_give_it() -> None:
    shares = keygen(3, 5)
    group_key = shares[1].group_key
    secret = dealer.combine(group_key, {i: shares[i].secret for i in (1, 3, 5)})
    assert group_key.suite.group.base_mul(secret) == group_key.key
    assert all(s.secret != secret for s in shares.values())
    with pytest.raises(UsageError):
        dealer.combine(group_key, {i: shares[i].secret for i in (1, 3)})


def test_dealer_and_its_refusals() -> None:
    suite = suite_named("ed25519")
    dealt = dealer.deal(suite, 2, ["Ada", "Ben", "Cem"], seeded("dealer"))
    for share, public in dealt.values():
        dealer.accept(share, public)
    share, public = dealt["Ada"]
    other = dealer.deal(suite, 2, ["Ada", "Ben", "Cem"], seeded("other"))["Ada"][1]
    longer = public + suite.group.generator.encode()  # a polynomial of degree t: VSS vector of t + k
    for wrong in (other, public[:-1], b"", longer, bytes(len(public)), public[32:] + public[:32]):
        with pytest.raises(PeerMisbehaved) as caught:
            dealer.accept(share, wrong, "Dora")
        assert caught.value.culprits == ("Dora",)
    higher = dealer.deal(suite, 3, ["Ada", "Ben", "Cem"], seeded("higher"))[
        "Ada"
    ]  # consistent, of too high degree
    claimed = KeyShare(1, higher[0].secret, replace(higher[0].group_key, threshold=2))
    with pytest.raises(PeerMisbehaved, match="wrong degree"):
        dealer.accept(claimed, higher[1])
    for t, names in ((0, ["A"]), (2, ["A"]), (1, []), (2, ["A"] * 101)):
        with pytest.raises(UsageError):
            dealer.deal(suite, t, names, seeded(0))
    with pytest.raises(DataError):
        dealer.deal(suite, 2, ["A", "A"], seeded(0))
    with pytest.raises(UsageError):
        dealer.deal(suite, 1, ["A"], seeded(0), secret=suite.group.zero)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 3))
def test_any_schedule_gives_one_key(seed: int, t: int, extra: int) -> None:
    """Late, twice and reordered: the network does all of it by itself."""
    n = t + extra
    states, _ = run_dealing(plan_keygen(suite_named("ed25519"), t, range(1, n + 1)), seed=seed)
    shares = shares_of(states)
    assert len({s.group_key.fingerprint() for s in shares.values()}) == 1
    sign_with(shares, random.Random(seed).sample(range(1, n + 1), t))


# Deviations. Each turns what member 2 sends into something else; member 2, and nobody else, must be named.

CHEAT = 2


def resigned(envelope: Envelope, body: bytes) -> Envelope:
    return seal_envelope(
        signing_key(name_of(envelope.sender)),
        envelope.sid,
        envelope.step,
        envelope.sender,
        envelope.receiver,
        body,
    )


def edit_fields(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda body: pack(change(unpack(body)))


G = suite_named("ed25519").group
B = G.generator.encode()


def swap_first(fields: list[bytes]) -> list[bytes]:
    return [B, *fields[1:]]


COMMIT_CHEATS: dict[str, Callable[[bytes], bytes]] = {
    "another constant term": edit_fields(swap_first),
    "another coefficient": edit_fields(lambda f: [f[0], B, *f[2:]]),
    "one commitment more": edit_fields(lambda f: [*f[:2], B, *f[2:]]),
    "one commitment less": edit_fields(lambda f: [f[0], *f[2:]]),
    "no commitments": edit_fields(lambda f: f[2:]),
    "no proof": edit_fields(lambda f: f[:-2]),
    "empty list": lambda body: pack([]),
    "identity": edit_fields(lambda f: [b"\x01" + bytes(31), *f[1:]]),
    "point outside the subgroup": edit_fields(lambda f: [f[0], (2**255 - 20).to_bytes(32, "little"), *f[2:]]),
    "not a point": edit_fields(lambda f: [f[0], b"\x02" + bytes(31), *f[2:]]),
    "wrong response": edit_fields(lambda f: [*f[:-1], G.scalar(5).encode()]),
    "unreduced response": edit_fields(lambda f: [*f[:-1], G.order.to_bytes(32, "little")]),
    "wrong nonce point": edit_fields(lambda f: [*f[:-2], B, f[-1]]),
    "bytes after the list": lambda body: body + b"\0",
    "a length that lies": lambda body: body[:4] + b"\xff\xff\xff\xff" + body[8:],
    "empty": lambda body: b"",
}


def to_all(step: str, change: Callable[[bytes], bytes]) -> Any:
    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.sender == CHEAT and envelope.step == step:
            return [resigned(envelope, change(envelope.body))]
        return [envelope]

    return tamper


def honest_failures(states: Mapping[int, Any]) -> dict[int, tuple[str, ...]]:
    found = {}
    for i, state in states.items():
        if i != CHEAT:
            assert getattr(state, "outcome", None) is None and getattr(state, "share", None) is None
            found[i] = () if state.failure is None else state.failure.culprits
    return found


def dealt_as(change: Callable[[bytes], bytes]) -> Callable[[Envelope], Envelope]:
    """Let the cheat deal something else, and stand by it in its echo."""
    return lambda e: resigned(e, change(e.body)) if (e.sender, e.step) == (CHEAT, dealing.COMMIT) else e


@pytest.mark.parametrize("cheat", sorted(COMMIT_CHEATS))
def test_wrong_dealing_names_the_dealer(cheat: str) -> None:
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 5))
    states, _ = run_dealing(plan, rewrite=dealt_as(COMMIT_CHEATS[cheat]))
    assert set(honest_failures(states).values()) == {("Ben",)}
    assert all("dealt wrongly" in str(states[i].failure) for i in (1, 3, 4)) or cheat == "another coefficient"


def test_copied_dealing_is_refused() -> None:
    """A rushing member sends another's commitments and proof as its own: the proof is bound to the dealer."""
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    _, transcript = run_dealing(plan)
    copied = next(e.body for e in transcript if e.step == dealing.COMMIT and e.sender == 1)
    states, _ = run_dealing(plan, rewrite=dealt_as(lambda _: copied))
    assert set(honest_failures(states).values()) == {("Ben",)}
    assert all("proof of possession" in str(states[i].failure) for i in (1, 3))


@pytest.mark.parametrize(
    "other", [(2, "earlier", (1, 2, 3)), (2, "now", (1, 2, 3, 4)), (3, "now", (1, 2, 3))]
)
def test_proof_of_another_session_is_refused(other: tuple[int, str, tuple[int, ...]]) -> None:
    """A proof made under another session id (another run, roster or threshold) does not count."""
    suite = suite_named("ed25519")
    _, transcript = run_dealing(plan_keygen(suite, other[0], other[2]), seed=other[1])
    old = next(unpack(e.body) for e in transcript if e.step == dealing.COMMIT and e.sender == CHEAT)
    replayed = pack([*old[:2], *old[-2:]])
    states, _ = run_dealing(
        plan_keygen(suite, 2, (1, 2, 3)), seed="now", rewrite=dealt_as(lambda _: replayed)
    )
    assert set(honest_failures(states).values()) == {("Ben",)}
    assert all("proof of possession" in str(states[i].failure) for i in (1, 3))


def test_split_view_names_who_signed_both() -> None:
    """Different commitments to different members: multicast is not broadcast."""
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 5))
    _, transcript = run_dealing(plan, seed="same")
    session = dealing.open_session(
        plan, [member(i) for i in plan.participants], nonces_for(plan.participants, 7)
    )
    second, out = dealing.start(plan, session, CHEAT, signing_key("Ben"), seeded("another polynomial"))
    assert second.failure is None

    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.sender == CHEAT and envelope.step == dealing.COMMIT and receiver == 4:
            return [resigned(envelope, out[0].body)]  # right in itself
        return [envelope]

    states, _ = run_dealing(plan, seed=7, tamper=tamper)
    assert set(honest_failures(states).values()) == {("Ben",)}
    assert transcript


@pytest.mark.parametrize(
    "change",
    [
        lambda body: (G.decode_scalar(body) + G.one).encode(),
        lambda body: G.order.to_bytes(32, "little"),
        lambda body: b"",
        lambda body: bytes(32),
    ],
)
def test_wrong_share_to_one_is_known_to_all(change: Callable[[bytes], bytes]) -> None:
    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.sender == CHEAT and envelope.step == dealing.SHARE and receiver == 3:
            return [resigned(envelope, change(envelope.body))]
        return [envelope]

    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 5))
    states, _ = run_dealing(plan, tamper=tamper)
    assert set(honest_failures(states).values()) == {("Ben",)}
    shares = keygen(2, 4)
    states, _ = run_dealing(plan_refresh(shares[1].group_key), shares, tamper=tamper)
    assert set(honest_failures(states).values()) == {("Ben",)}
    states, _ = run_dealing(plan_reshare(shares[1].group_key, [1, 2], [1, 3, 5], 2), shares, tamper=tamper)
    assert set(honest_failures(states).values()) == {("Ben",)}


def complaint_with(body_of: Callable[[Envelope, dict[str, Envelope]], bytes]) -> Any:
    seen: dict[str, Envelope] = {}

    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.step == dealing.SHARE and envelope.sender == 1 and envelope.receiver == CHEAT:
            seen["mine"] = envelope
        if envelope.step == dealing.SHARE and envelope.sender == 1 and envelope.receiver == 3:
            seen["other"] = envelope
        if envelope.step == dealing.DONE and envelope.sender == CHEAT:
            return [resigned(envelope, body_of(envelope, seen))]
        return [envelope]

    return tamper


FALSE_COMPLAINTS: dict[str, Callable[[Envelope, dict[str, Envelope]], bytes]] = {
    "about a right share": lambda e, seen: pack((b"complaint", seen["mine"].encode())),
    "about another's share": lambda e, seen: pack((b"complaint", seen["other"].encode())),
    "forged": lambda e, seen: pack(
        (
            b"complaint",
            seal_envelope(signing_key("Ben"), e.sid, dealing.SHARE, 1, CHEAT, bytes(32)).encode(),
        )
    ),
    "of another session": lambda e, seen: pack(
        (
            b"complaint",
            seal_envelope(signing_key("Ada"), bytes(32), dealing.SHARE, 1, CHEAT, bytes(32)).encode(),
        )
    ),
    "without evidence": lambda e, seen: pack((b"complaint", b"")),
    "another transcript": lambda e, seen: pack((b"ok", bytes(32))),
    "neither": lambda e, seen: pack((b"perhaps", b"")),
    "unreadable": lambda e, seen: b"\xff" * 9,
}


@pytest.mark.parametrize("kind", sorted(FALSE_COMPLAINTS))
def test_false_complaints_name_the_complainer(kind: str) -> None:
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    states, _ = run_dealing(plan, tamper=complaint_with(FALSE_COMPLAINTS[kind]))
    assert set(honest_failures(states).values()) == {("Ben",)}


def reversed_echo(body: bytes) -> bytes:
    return pack(reversed(unpack(body)))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: pack([]),
        lambda body: pack([bytes(96)] * 3),
        lambda body: pack([*unpack(body)[:2], bytes(96)]),
        lambda body: pack([entry[:-1] for entry in unpack(body)]),
        reversed_echo,
    ],
)
def test_false_echoes_name_the_echoer(change: Callable[[bytes], bytes]) -> None:
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    states, _ = run_dealing(plan, tamper=to_all(dealing.ECHO, change))
    assert set(honest_failures(states).values()) == {("Ben",)}


def test_reshare_of_something_else_names_the_dealer() -> None:
    shares = keygen(2, 3)
    plan = plan_reshare(shares[1].group_key, [1, 2], [1, 2, 3, 4], 2)
    states, _ = run_dealing(plan, shares, rewrite=dealt_as(edit_fields(swap_first)))
    assert set(honest_failures(states).values()) == {("Ben",)}
    assert all("present share" in str(states[i].failure) for i in (1, 3, 4))


def test_refresh_with_a_constant_term_names_the_dealer() -> None:
    """A refresh that would move the key: one commitment too many."""
    shares = keygen(2, 3)
    rewrite = dealt_as(lambda body: pack([B, *unpack(body)]))
    states, _ = run_dealing(plan_refresh(shares[1].group_key), shares, rewrite=rewrite)
    assert set(honest_failures(states).values()) == {("Ben",)}


def test_lists_have_one_meaning() -> None:
    lists = [[b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [b"", b"abc"], [], [b""]]
    assert len({pack(one) for one in lists}) == len(lists)
    assert [unpack(pack(one)) for one in lists] == lists
    for bad in (b"", b"\0\0\0", pack([b"a"]) + b"b", pack([b"ab"])[:-1], b"\xff" * 8, b"\0\0\0\1"):
        with pytest.raises(DataError):
            unpack(bad)
    with pytest.raises(DataError):
        unpack(pack([b"a"]), 2)


def test_strangers_and_other_sessions_change_nothing() -> None:
    """Messages of a stranger, of another session, forged or misdirected are dropped; nobody is blamed."""
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))

    def extra(session: Session) -> list[tuple[int, Envelope]]:
        mallory = signing_key("Mallory")
        out = []
        for receiver in (1, 2, 3):
            for sender in (1, 2, 3, 9):
                for step in (dealing.COMMIT, dealing.ECHO, dealing.SHARE, dealing.DONE, "dealing/other"):
                    to = receiver if step == dealing.SHARE else EVERYONE
                    out.append((receiver, seal_envelope(mallory, session.sid, step, sender, to, b"x")))
            key = signing_key("Ben")
            out.append((receiver, seal_envelope(key, bytes(32), dealing.COMMIT, 2, EVERYONE, b"x")))
            out.append((receiver, seal_envelope(key, session.sid, dealing.SHARE, 2, receiver % 3 + 1, b"x")))
        return out

    states, _ = run_dealing(plan, extra=extra)
    sign_with(shares_of(states), [1, 2])


def test_misdirected_messages_change_nothing() -> None:
    """Right messages with another sender, receiver or step written on them are nobody's fault."""
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    _, transcript = run_dealing(plan)

    def extra(session: Session) -> list[tuple[int, Envelope]]:
        out = []
        for e in transcript:
            for to in (1, 2, 3):
                out.append((to, replace(e, receiver=to if e.receiver != to else EVERYONE)))
                out.append((to, replace(e, sender=e.sender % 3 + 1)))
                out.append((to, replace(e, step=dealing.DONE if e.step != dealing.DONE else dealing.ECHO)))
        return out

    states, _ = run_dealing(plan, extra=extra)
    sign_with(shares_of(states), [1, 3])


def test_sizes_and_counts_do_not_depend_on_secrets() -> None:
    shapes = set()
    for seed in range(20):
        plan = plan_keygen(suite_named("ed25519"), 2, (1, 2, 3))
        states, transcript = run_dealing(plan, seed=seed)
        shares = shares_of(states)
        _, more = run_dealing(plan_refresh(shares[1].group_key), shares, seed=seed)
        _, last = run_repair(shares, [1, 2], 3, seed=seed)
        sent = [*transcript, *more, *last]
        shapes.add(tuple(sorted((e.step, e.sender, e.receiver, len(e.encode())) for e in sent)))
    assert len(shapes) == 1


def test_resharing_needs_a_consistent_key() -> None:
    shares = keygen(2, 3)
    broken = replace(shares[1].group_key, key=shares[1].group_key.key + G.generator)
    plan = plan_reshare(broken, [1, 2], [1, 2], 2)
    wrong = {i: KeyShare(i, shares[i].secret, broken) for i in (1, 2)}
    with pytest.raises(UsageError, match="present key"):
        run_dealing(plan, wrong)


def test_silence_is_named_but_not_called_cheating() -> None:
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    states, _ = run_dealing(plan, silent=[2])
    for i in (1, 3):
        assert states[i].failure is None and states[i].outcome is None
        assert dealing.awaiting(states[i]) == ["Ben"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_random_alterations_blame_only_the_cheat(seed: int, data: st.DataObject) -> None:
    """Member 2 alters a random message at a random byte: one right key, or Ben named, never another."""
    step = data.draw(st.sampled_from([dealing.COMMIT, dealing.ECHO, dealing.SHARE, dealing.DONE]))
    position, bit, victim = (
        data.draw(st.integers(0, 400)),
        data.draw(st.integers(0, 7)),
        data.draw(st.integers(0, 4)),
    )

    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.sender == CHEAT and envelope.step == step and victim in (0, receiver) and envelope.body:
            body = bytearray(envelope.body)
            body[position % len(body)] ^= 1 << bit
            return [resigned(envelope, bytes(body))]
        return [envelope]

    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    states, transcript = run_dealing(plan, seed=seed, tamper=tamper)
    keys = set()
    for i in (1, 3):
        if states[i].failure is not None:
            assert states[i].failure.culprits == ("Ben",)
        elif states[i].outcome is not None:
            keys.add(states[i].outcome.group_key.fingerprint())
    assert len(keys) <= 1
    broadcast = b"".join(e.body for e in transcript if e.receiver == EVERYONE and e.sender != CHEAT)
    for i in (1, 3):  # no honest share in what everybody sees
        if states[i].outcome is not None:
            assert states[i].outcome.share.secret.encode() not in broadcast


def test_equivocation_is_seen_even_when_late() -> None:
    plan = plan_keygen(suite_named("ed25519"), 2, range(1, 4))
    session = dealing.open_session(plan, [member(i) for i in (1, 2, 3)], nonces_for((1, 2, 3), 0))
    inbox = Inbox(session, 1, frozenset([dealing.COMMIT]))
    one, two = (
        seal_envelope(signing_key("Ben"), session.sid, dealing.COMMIT, 2, EVERYONE, body)
        for body in (b"1", b"2")
    )
    inbox = inbox.accept([one, one])
    with pytest.raises(PeerMisbehaved) as caught:
        inbox.accept([two])
    assert caught.value.culprits == ("Ben",)


# Repair

REPAIR_CHEATS: list[tuple[str, int | None, Callable[[bytes], bytes]]] = [
    (repair.COMMIT, None, edit_fields(swap_first)),
    (repair.COMMIT, None, edit_fields(lambda f: f[:-1])),
    (repair.COMMIT, None, lambda body: b""),
    (repair.ECHO, None, lambda body: pack([])),
    (repair.PART, 1, lambda body: (G.decode_scalar(body) + G.one).encode()),
    (repair.PART, 1, lambda body: b""),
    (repair.SUM, 4, lambda body: (G.decode_scalar(body) + G.one).encode()),
]


@pytest.mark.parametrize("number", range(len(REPAIR_CHEATS)))
def test_wrong_repair_names_the_helper(number: int) -> None:
    step, only, change = REPAIR_CHEATS[number]

    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.sender == CHEAT and envelope.step == step and only in (None, receiver):
            return [resigned(envelope, change(envelope.body))]
        return [envelope]

    states, _ = run_repair(keygen(3, 4), [1, 2, 3], 4, tamper=tamper)
    assert states[4].share is None and states[4].failure is not None
    assert states[4].failure.culprits == ("Ben",)
    for i in (1, 3):
        assert states[i].failure is None or states[i].failure.culprits == ("Ben",)


def test_repair_with_other_parts_names_the_helper() -> None:
    """A helper commits to parts of something else than its share, and stands by it."""

    def rewrite(e: Envelope) -> Envelope:
        if (e.sender, e.step) == (CHEAT, repair.COMMIT):
            return resigned(e, edit_fields(swap_first)(e.body))
        return e

    states, _ = run_repair(keygen(3, 4), [1, 2, 3], 4, rewrite=rewrite)
    for i in (1, 3, 4):
        failure = states[i].failure
        assert failure is not None and failure.culprits == ("Ben",) and "do not add up" in str(failure)


def test_false_complaint_in_a_repair_names_the_complainer() -> None:
    shares = keygen(2, 3)

    def tamper(envelope: Envelope, receiver: int) -> list[Envelope]:
        if envelope.sender == CHEAT and envelope.step == repair.SUM:
            right = seal_envelope(signing_key("Ben"), envelope.sid, repair.PART, 1, 2, bytes(32))
            body = right.encode()
            return [
                seal_envelope(signing_key("Ben"), envelope.sid, repair.COMPLAINT, 2, EVERYONE, body),
            ]
        return [envelope]

    states, _ = run_repair(shares, [1, 2], 3, tamper=tamper)
    assert states[3].failure is not None and states[3].failure.culprits == ("Ben",)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_repair_on_any_schedule(seed: int) -> None:
    shares = keygen(3, 5)
    rng = random.Random(seed)
    lost = rng.randint(1, 5)
    helpers = rng.sample([i for i in range(1, 6) if i != lost], rng.choice([3, 4]))
    states, transcript = run_repair(shares, helpers, lost, seed=seed)
    assert states[lost].share is not None and states[lost].share.secret == shares[lost].secret
    secrets = [s.secret.encode() for s in shares.values()]
    assert not any(secret in e.body for e in transcript for secret in secrets)


# What is refused before anything is sent


def test_impossible_plans_are_refused() -> None:
    suite, shares = suite_named("ed25519"), keygen(2, 3)
    old = shares[1].group_key
    wrong: list[Callable[[], Any]] = [
        lambda: plan_keygen(suite, 0, [1, 2]),
        lambda: plan_keygen(suite, 3, [1, 2]),
        lambda: plan_keygen(suite, 1, []),
        lambda: plan_keygen(suite, 2, [0, 1]),
        lambda: plan_keygen(suite, 2, [1, 1]),
        lambda: plan_keygen(suite, 2, [1, 65536]),
        lambda: plan_keygen(suite, 2, range(1, 102)),
        lambda: plan_reshare(old, [1], [1, 2], 2),
        lambda: plan_reshare(old, [1, 9], [1, 2], 2),
        lambda: plan_reshare(old, [1, 1], [1, 2], 2),
        lambda: Plan("keygen", suite, 2, (1, 2), (1, 2, 3)),
        lambda: Plan("keygen", suite, 2, (2, 1), (2, 1)),
        lambda: Plan("refresh", suite, 2, (1, 2), (1, 2), old),
        lambda: Plan("refresh", suite, 2, (1, 2), (1, 2)),
        lambda: Plan("other", suite, 2, (1, 2), (1, 2)),
        lambda: Plan("reshare", suite_named("ristretto255"), 2, (1, 2), (1, 2), old),
        lambda: plan_refresh(keygen(1, 1)[1].group_key),
    ]
    for make in wrong:
        with pytest.raises((UsageError, DataError)):
            make()


def test_sessions_bind_everything() -> None:
    suite = suite_named("ed25519")
    plan, people = plan_keygen(suite, 2, (1, 2, 3)), [member(i) for i in (1, 2, 3)]
    base = dealing.open_session(plan, people, nonces_for((1, 2, 3), 0)).sid
    others = [
        dealing.open_session(plan, people, nonces_for((1, 2, 3), 1)).sid,
        dealing.open_session(plan_keygen(suite, 3, (1, 2, 3)), people, nonces_for((1, 2, 3), 0)).sid,
        dealing.open_session(
            plan_keygen(suite_named("ristretto255"), 2, (1, 2, 3)), people, nonces_for((1, 2, 3), 0)
        ).sid,
    ]
    assert len({base, *others}) == 4
    with pytest.raises(UsageError):
        dealing.open_session(plan, people[:2], nonces_for((1, 2, 3), 0))
    with pytest.raises(UsageError):
        dealing.open_session(plan, people, {**nonces_for((1, 2), 0), 3: b"short"})
    twice = [member(1), member(2), dealing.Member(3, "Cem", member(2).public)]
    with pytest.raises(DataError):
        dealing.open_session(plan, twice, nonces_for((1, 2, 3), 0))


def test_group_keys_are_checked_when_read() -> None:
    group_key = keygen(2, 3)[1].group_key
    text = group_key.to_json()
    assert GroupKey.from_json(text).fingerprint() == group_key.fingerprint()
    one, two = (group_key.shares[i].encode().hex() for i in (1, 2))
    wrong = [
        "",
        "[]",
        "{}",
        text.replace(one, two),
        text.replace('"threshold":2', '"threshold":1'),
        text.replace('"threshold":2', '"threshold":4'),
        text.replace('"id":3', '"id":2'),
        text.replace('"id":1', '"id":0'),
        text.replace("Ben", "Ada"),
        text.replace("ed25519", "p-521"),
        text.replace(group_key.key.encode().hex(), one),
        text.replace(one, "00" * 32),
    ]
    for bad in wrong:
        with pytest.raises(DataError):
            GroupKey.from_json(bad)


def test_key_shares_survive_sealing_and_never_show() -> None:
    share = keygen(2, 3)[2]
    again = KeyShare.decode(share.encode())
    assert again.secret == share.secret and again.group_key.fingerprint() == share.group_key.fingerprint()
    state, _ = dealing.start(
        plan_keygen(suite_named("ed25519"), 2, (1, 2)),
        dealing.open_session(
            plan_keygen(suite_named("ed25519"), 2, (1, 2)), [member(1), member(2)], nonces_for((1, 2), 0)
        ),
        1,
        signing_key("Ada"),
        seeded("canary"),
    )
    shown = f"{share!r} {state!r} {signing_key('Ada')!r}"
    hidden = [share.secret, *state.coefficients]
    assert state.coefficients and all(
        s.encode().hex() not in shown and repr(s.encode()) not in shown for s in hidden
    )
    assert signing_key("Ada").encode().hex() not in shown
    import pickle

    for secret in (share, state, signing_key("Ada")):
        with pytest.raises(TypeError):
            pickle.dumps(secret)


@pytest.mark.slow
@pytest.mark.parametrize("suite", ["ed25519", "secp256k1"])
def test_67_of_100_without_a_dealer(suite: str) -> None:
    shares = keygen(67, 100, suite)
    sign_with(shares, range(34, 101))
