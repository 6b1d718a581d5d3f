"""The protocols over a mesh: same results, everybody names the same culprit, differences of plan are no accusation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("nacl")

from threshold_network import keygen, seeded, signing_key

from tacit.crypto.hashing import digest
from tacit.errors import PeerError, PeerIncompatible, PeerMisbehaved, TacitError, UsageError
from tacit.net.link import Mesh
from tacit.net.memory import Record, run_parties
from tacit.threshold import dealing, drive, repair
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.envelope import Envelope, seal_envelope
from tacit.threshold.keys import KeyShare
from tacit.threshold.plan import Plan, plan_keygen, plan_refresh, plan_reshare
from tacit.threshold.suites import suite_named

SUITE = suite_named("ed25519")
IDS = {"Ada": 1, "Ben": 2, "Cem": 3, "Dina": 4}


def deal(
    plans: Callable[[str], Plan], names: list[str], shares: dict[int, KeyShare] | None = None, **options: Any
) -> dict[str, Any]:
    """Run a dealing at every party; a result is the outcome or the error."""
    stored: list[str] = []

    def job(mesh: Mesh) -> Any:
        present = (shares or {}).get(IDS[mesh.me])
        key, randomness = signing_key(mesh.me), seeded(("drive", mesh.me))
        ids = {name: IDS[name] for name in names}
        try:
            outcome = drive.deal_over(
                mesh, plans(mesh.me), ids, key, randomness, present, lambda _: stored.append(mesh.me)
            )
        except TacitError as error:
            return error
        assert set(stored) == set(names)  # confirmed only when everybody has stored
        return outcome

    return run_parties(names, job, **options)


def test_life_over_a_mesh() -> None:
    names = ["Ada", "Ben", "Cem"]
    made = deal(lambda _: plan_keygen(SUITE, 2, (1, 2, 3)), names)
    shares = {IDS[n]: o.share for n, o in made.items()}
    old = shares[1].group_key
    fresh = deal(lambda _: plan_refresh(old), names, shares)
    again = {IDS[n]: o.share for n, o in fresh.items()}
    new_key = again[1].group_key
    moved = deal(lambda _: plan_reshare(new_key, (1, 2), (2, 3, 4), 2), list(IDS), again)
    assert moved["Ada"].share is None and moved["Dina"].share.group_key.key == old.key
    latest = {IDS[n]: o.share for n, o in moved.items() if o.share}
    got: list[KeyShare] = []

    def job(mesh: Mesh) -> None:
        present = None if mesh.me == "Dina" else latest[IDS[mesh.me]]
        key = signing_key(mesh.me)
        drive.repair_over(mesh, latest[2].group_key, "Dina", key, seeded(mesh.me), present, got.append)

    run_parties(["Ben", "Cem", "Dina"], job)
    assert [s.secret for s in got] == [latest[4].secret]


def altered(step: str, to: str, change: Callable[[bytes], bytes]) -> Callable[[Record], list[bytes] | None]:
    """Ben alters one message on its way to one or (``to`` empty) all."""

    def tamper(record: Record) -> list[bytes] | None:
        if record.sender != "Ben" or record.label != "threshold/step" or to not in ("", record.receiver):
            return None
        e = Envelope.decode(record.payload)
        if e.step != step or e.sender != 2:
            return None
        body = change(e.body)
        return [seal_envelope(signing_key("Ben"), e.sid, e.step, e.sender, e.receiver, body).encode()]

    return tamper


def plus_one(body: bytes) -> bytes:
    return (SUITE.group.decode_scalar(body) + SUITE.group.one).encode()


CHEATS: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "split view": (dealing.COMMIT, "Dina", lambda b: pack([*unpack(b)[:-1], SUITE.group.one.encode()])),
    "wrong share": (dealing.SHARE, "Cem", plus_one),
    "false echo": (dealing.ECHO, "", lambda b: pack([])),
    "false transcript": (dealing.DONE, "", lambda b: pack((b"ok", bytes(32)))),
    "false complaint to one": (dealing.DONE, "Dina", lambda b: pack((b"complaint", b""))),
}


@pytest.mark.parametrize("cheat", sorted(CHEATS))
@pytest.mark.parametrize("seed", range(5))
def test_everybody_names_the_same_culprit(cheat: str, seed: int) -> None:
    results = deal(
        lambda _: plan_keygen(SUITE, 2, (1, 2, 3, 4)),
        list(IDS),
        tamper=altered(*CHEATS[cheat]),
        lockstep=seed,
    )
    for name in ("Ada", "Cem", "Dina"):
        error = results[name]
        if cheat == "false complaint to one" and name != "Dina":
            # Ben told these two that all was well and Dina that it was not: Dina names Ben, and passes it on.
            assert isinstance(error, PeerError)
            assert not isinstance(error, PeerMisbehaved) or error.culprits == ("Ben",)
            continue
        assert isinstance(error, PeerMisbehaved) and error.culprits == ("Ben",), (name, error)


def test_different_plans_are_not_cheating() -> None:
    results = deal(
        lambda name: plan_keygen(SUITE, 3 if name == "Cem" else 2, (1, 2, 3)), ["Ada", "Ben", "Cem"]
    )
    assert all(isinstance(r, PeerError) and not isinstance(r, PeerMisbehaved) for r in results.values())
    assert any(isinstance(r, PeerIncompatible) and "plans something else" in str(r) for r in results.values())


def test_different_greetings_are_noticed() -> None:
    """Somebody shows another signing key to one member."""

    def tamper(record: Record) -> list[bytes] | None:
        if record.label == "threshold/hello" and (record.sender, record.receiver) == ("Ben", "Cem"):
            purpose, _, nonce = unpack(record.payload)
            return [pack((purpose, signing_key("Mallory").public, nonce))]
        return None

    results = deal(lambda _: plan_keygen(SUITE, 2, (1, 2, 3)), ["Ada", "Ben", "Cem"], tamper=tamper)
    assert all(isinstance(r, PeerError) and not isinstance(r, PeerMisbehaved) for r in results.values())


def test_unreadable_messages_name_their_sender() -> None:
    def tamper(record: Record) -> list[bytes] | None:
        return [b"\xff" * 9] if record.sender == "Ben" and record.label == "threshold/step" else None

    results = deal(lambda _: plan_keygen(SUITE, 2, (1, 2, 3)), ["Ada", "Ben", "Cem"], tamper=tamper)
    culprits = [r.culprits for r in (results["Ada"], results["Cem"]) if isinstance(r, PeerMisbehaved)]
    assert culprits and set(culprits) == {("Ben",)}


def test_a_flood_names_its_sender() -> None:
    """Whoever sends forever what is ignored would otherwise be waited for forever."""
    ids, plan = {"Ada": 1, "Ben": 2, "Cem": 3}, plan_keygen(SUITE, 2, (1, 2, 3))

    def job(mesh: Mesh) -> Any:
        key, randomness = signing_key(mesh.me), seeded(mesh.me)
        if mesh.me == "Ben":
            purpose = digest("threshold/purpose", b"dealing", plan.encode())
            drive.greet(mesh, ids, key, purpose, randomness)
            noise = seal_envelope(key, bytes(32), dealing.COMMIT, 2, 0, b"").encode()
            for _ in range(100):
                for peer in mesh.peers:
                    mesh.send(peer, "threshold/step", noise)
        try:
            while mesh.me == "Ben":  # takes part no further, and does not leave
                mesh.recv_any("Ada", 1 << 20)
            return drive.deal_over(mesh, plan, ids, key, randomness, None, lambda _: None)
        except TacitError as error:
            return error

    results = run_parties(list(ids), job)
    errors = [results[name] for name in ("Ada", "Cem")]
    assert any(isinstance(e, PeerMisbehaved) and e.culprits == ("Ben",) for e in errors), errors


@pytest.mark.parametrize("other", ["Mallory", "Cem"])
def test_a_signing_key_must_be_the_one_that_is_known(other: str) -> None:
    """Whoever stole only the key of Ben's links cannot take part as Ben; nor can Ben copy Cem's key."""

    def job(mesh: Mesh) -> Any:
        key = signing_key(other if mesh.me == "Ben" else mesh.me)
        known = {name: signing_key(name).public for name in ("Ada", "Ben")} if other == "Mallory" else None
        try:
            return drive.greet(mesh, {"Ada": 1, "Ben": 2, "Cem": 3}, key, bytes(32), seeded(mesh.me), known)
        except TacitError as error:
            return error

    results = run_parties(["Ada", "Ben", "Cem"], job)
    said = {"Mallory": "another key than your directory", "Cem": "same signing key"}[other]
    for name in ("Ada", "Cem"):
        assert isinstance(results[name], PeerError), results[name]
    assert any(isinstance(r, PeerIncompatible) and said in str(r) for r in results.values())


def test_wrong_part_in_a_repair() -> None:
    shares = keygen(2, 3)
    errors: dict[str, BaseException | None] = {}

    def job(mesh: Mesh) -> None:
        present = None if mesh.me == "Cem" else shares[IDS[mesh.me]]
        key = signing_key(mesh.me)
        try:
            drive.repair_over(mesh, shares[1].group_key, "Cem", key, seeded(mesh.me), present, lambda _: None)
            errors[mesh.me] = None
        except TacitError as error:
            errors[mesh.me] = error

    run_parties(["Ada", "Ben", "Cem"], job, tamper=altered(repair.SUM, "Cem", plus_one))
    assert isinstance(errors["Cem"], PeerMisbehaved) and errors["Cem"].culprits == ("Ben",)


def test_roster_and_participants_must_agree() -> None:
    def job(mesh: Mesh) -> None:
        with pytest.raises(UsageError):
            drive.greet(mesh, {"Ada": 1, "Cem": 2}, signing_key(mesh.me), bytes(32), seeded(0))

    run_parties(["Ada", "Ben"], job)
