"""The in-memory hub and the semantics every mesh shares: order, coalescing, depth, errors by whose fault."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tacit.errors import Desync, InternalError, PeerMisbehaved, PeerUnavailable, RangeError, UsageError
from tacit.net.link import AHEAD_BYTES, Mesh
from tacit.net.memory import Hub, Record, run_parties
from tacit.net.notice import error_of, notice_of

ABC = ("alice", "bob", "carol")
RING = {"alice": ("bob", "carol"), "bob": ("carol", "alice"), "carol": ("alice", "bob")}


def ring(mesh: Mesh, rounds: int = 5, n: int = 3) -> int:
    """Pass numbers around: to the next party, from the previous one."""
    following, previous = RING[mesh.me]
    x = np.full(n, ABC.index(mesh.me), np.uint64)
    for _ in range(rounds):
        mesh.send(following, "ring", x)
        x = mesh.recv(previous, "ring", 8 * n).view(np.uint64) + np.uint64(1)
    return int(x.sum())


@pytest.mark.parametrize("lockstep", [False, True])
def test_ring(lockstep: bool) -> None:
    hub = Hub(ABC, lockstep=lockstep)
    got = hub.run(dict.fromkeys(ABC, ring))
    assert got == {"alice": 3 * (1 + 5), "bob": 3 * (2 + 5), "carol": 3 * (0 + 5)}
    meter = hub.mesh("alice").meter
    assert meter.rounds == 5
    assert meter.peers["bob"].payload_sent == meter.peers["carol"].payload_received == 5 * 24
    assert meter.peers["bob"].frames_sent == 5 and meter.peers["bob"].payload_received == 0
    assert meter.sends["ring"].count == 5 and meter.sends["ring"].payload == 120
    assert meter.total.wire_sent == 5 * (24 + 24 + 4)


def test_transcript_does_not_depend_on_the_schedule() -> None:
    hashes = set()
    for seed in range(8):
        hub = Hub(ABC, seed, record=True, lockstep=seed < 6)
        hub.run(dict.fromkeys(ABC, ring))
        hashes.add(hub.transcript_hash())
    assert len(hashes) == 1
    assert [r.seq for r in hub.received("alice")] == [0, 1, 2, 3, 4]
    assert {r.sender for r in hub.received("alice")} == {"carol"}


def test_lockstep_schedule_is_a_function_of_the_seed() -> None:
    def order(seed: int) -> list[str]:
        log: list[str] = []

        def job(mesh: Mesh) -> None:
            for _ in range(4):
                log.append(mesh.me)
                mesh.send(RING[mesh.me][0], "x")
                mesh.recv(RING[mesh.me][1], "x", 0)

        Hub(ABC, seed, lockstep=True).run(dict.fromkeys(ABC, job))
        return log

    assert all(order(seed) == order(seed) for seed in range(5))
    assert len({tuple(order(seed)) for seed in range(5)}) > 1


def test_depth_counts_the_longest_chain_and_parallel_messages_once() -> None:
    def job(mesh: Mesh) -> int:
        before = mesh.meter.snapshot()
        others = RING[mesh.me]
        for label in ("a", "b"):  # two messages to each, all independent: one round
            for to in others:
                mesh.send(to, label, b"1")
        for label in ("a", "b"):
            for frm in others:
                mesh.recv(frm, label, 1)
        if mesh.me == "alice":  # and a relay alice -> bob -> carol: two more
            mesh.send("bob", "relay")
        if mesh.me == "bob":
            mesh.recv("alice", "relay", 0)
            mesh.send("carol", "relay")
        if mesh.me == "carol":
            mesh.recv("bob", "relay", 0)
        used = mesh.meter.snapshot() - before
        assert used.total.payload_sent == 4
        return used.rounds

    assert run_parties(ABC, job) == {"alice": 1, "bob": 2, "carol": 3}


def test_content_is_captured_at_send_and_received_arrays_are_writable_and_aligned() -> None:
    def job(mesh: Mesh) -> None:
        if mesh.me == "alice":
            x = np.arange(4, dtype=np.uint64)
            mesh.send("bob", "x", x, b"abcdefgh", np.array([True, False] * 4), np.zeros((0, 3)))
            x[:] = 9
            mesh.flush()
        else:
            got = mesh.recv("alice", "x", 48)
            assert got.flags.writeable and got.ctypes.data % 16 == 0
            assert got.view(np.uint64)[:4].tolist() == [0, 1, 2, 3]
            assert got[32:40].tobytes() == b"abcdefgh" and got[40:].sum() == 4

    run_parties(("alice", "bob"), job)


def test_strided_parts_are_sent_in_order() -> None:
    x = np.arange(8, dtype=np.uint8).reshape(2, 4)

    def job(mesh: Mesh) -> list[int]:
        if mesh.me == "alice":
            mesh.send("bob", "x", x.T, x[:, 1], stable=True)
            mesh.send("bob", "y", x[:, 2], stable=True)
            return []
        return [*mesh.recv("alice", "x", 10).tolist(), *mesh.recv("alice", "y", 2).tolist()]

    assert run_parties(("alice", "bob"), job)["bob"] == [0, 4, 1, 5, 2, 6, 3, 7, 1, 5, 2, 6]


@pytest.mark.parametrize("lockstep", [False, True])
def test_what_is_held_leaves_when_its_party_must_wait(lockstep: bool) -> None:
    def job(mesh: Mesh) -> None:
        if mesh.me == "alice":
            mesh.recv("bob", "x", 1)
            mesh.send("bob", "y", b"2")
        else:
            mesh.send("alice", "x", b"1")
            mesh.recv("alice", "y", 1, held=True)

    run_parties(("alice", "bob"), job, lockstep=lockstep)


def test_stable_payload_is_still_private_to_the_receiver() -> None:
    x = np.arange(4, dtype=np.uint64)

    def job(mesh: Mesh) -> None:
        if mesh.me == "alice":
            mesh.send("bob", "x", x, stable=True)
            mesh.flush()
        else:
            mesh.recv("alice", "x", 32)[:] = 255

    run_parties(("alice", "bob"), job)
    assert x.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("label", "size"), [("open", 8), ("mul", 9)])
def test_first_differing_step_is_a_desync_with_both_tags(label: str, size: int) -> None:
    def job(mesh: Mesh) -> None:
        ring(mesh, 2)
        if mesh.me == "alice":
            mesh.send("bob", "mul", bytes(8))
            mesh.recv("bob", "late", 0)
        else:
            mesh.recv("alice", label, size)

    with pytest.raises(Desync) as info:
        Hub(ABC).run({"alice": job, "bob": job, "carol": ring_twice})
    assert info.value.party == "alice"
    assert "'mul' (8 bytes, message 2)" in str(info.value)
    assert f"{label!r} ({size} bytes, message 2)" in str(info.value)


def ring_twice(mesh: Mesh) -> None:
    """Take part in the two rounds that precede the error."""
    ring(mesh, 2)


def test_recv_any_is_bounded() -> None:
    def job(mesh: Mesh, limit: int) -> Any:
        if mesh.me == "alice":
            return mesh.send("bob", "hello", bytes(100))
        return mesh.recv_any("alice", limit)

    assert run_parties(("alice", "bob"), lambda m: job(m, 100))["bob"] == ("hello", bytes(100))
    with pytest.raises(Desync, match="at most 99 bytes"):
        run_parties(("alice", "bob"), lambda m: job(m, 99))


@pytest.mark.parametrize("lockstep", [False, True])
def test_deadlock_lists_who_waits_for_whom(lockstep: bool) -> None:
    def job(mesh: Mesh) -> None:
        mesh.recv(RING[mesh.me][0], f"from {RING[mesh.me][0]}", 1)

    with pytest.raises(InternalError) as info:
        run_parties(ABC, job, lockstep=lockstep)
    for me in ABC:
        assert f"{me} waits for {RING[me][0]} ('from {RING[me][0]}')" in str(info.value)
    assert not [t for t in threading.enumerate() if t.name.startswith("party ")]


def test_a_party_that_receives_nothing_keeps_close_to_the_others() -> None:
    """What it has queued never exceeds the bound by more than one message."""
    hub, piece, most = Hub(("alice", "bob")), np.zeros(1 << 20, np.uint8), []

    def alice(mesh: Mesh) -> None:
        for _ in range(16):
            mesh.pace()
            mesh.send("bob", "x", piece)
            mesh.flush()
            most.append(hub.mesh("bob")._held["alice"])

    def bob(mesh: Mesh) -> int:
        return sum(mesh.recv("alice", "x", piece.nbytes).size for _ in range(16))

    assert hub.run({"alice": alice, "bob": bob})["bob"] == 16 << 20
    assert 0 < max(most) <= AHEAD_BYTES + piece.nbytes and hub.mesh("bob")._held["alice"] == 0


def test_a_deadlock_behind_a_party_that_is_ahead_is_found() -> None:
    def job(mesh: Mesh) -> None:
        if mesh.me == "alice":
            mesh.send("bob", "x", np.zeros(2 * AHEAD_BYTES, np.uint8))
            mesh.flush()
            mesh.pace()
        mesh.recv({"alice": "carol", "bob": "carol", "carol": "alice"}[mesh.me], "never", 1)

    with pytest.raises(InternalError, match=r"bob waits for carol \('never'\); carol waits for alice"):
        run_parties(ABC, job)


def test_root_cause_reaches_everyone_and_run_raises_it() -> None:
    seen: dict[str, BaseException] = {}

    def job(mesh: Mesh) -> None:
        if mesh.me == "carol":
            raise RangeError("salary 123456 is too big")
        try:
            ring(mesh)
        except BaseException as error:
            seen[mesh.me] = error
            raise

    with pytest.raises(RangeError, match="123456"):
        run_parties(ABC, job)
    for error in seen.values():
        assert isinstance(error, PeerUnavailable) and error.party == "carol"
        assert "RangeError" in str(error) and "123456" not in str(error)
    assert set(seen) == {"alice", "bob"}


def test_leaving_early_is_fine_until_somebody_needs_you() -> None:
    def job(mesh: Mesh) -> None:
        if mesh.me == "carol":
            mesh.send("alice", "input", b"1")
            return
        if mesh.me == "alice":
            mesh.send("bob", "x", mesh.recv("carol", "input", 1))
        else:
            mesh.recv("alice", "x", 1)
            mesh.send("carol", "nobody is there")
            mesh.flush()

    run_parties(ABC, job)
    with pytest.raises(PeerUnavailable, match="carol has left") as info:
        Hub(ABC).run({"alice": ring, "bob": ring})
    assert info.value.party == "carol"


def _pair(tamper: Any) -> Any:
    def job(mesh: Mesh) -> Any:
        if mesh.me == "alice":
            for i in range(3):
                mesh.send("bob", "x", bytes([i] * 4))
            return mesh.recv("bob", "done", 0).size
        got = [mesh.recv("alice", "x", 4).tobytes() for _ in range(3)]
        mesh.send("alice", "done")
        return b"".join(got)

    return run_parties(("alice", "bob"), job, tamper=tamper)["bob"]


def test_tamper_hook() -> None:
    def at(seq: int, *payloads: bytes) -> Any:
        def hook(r: Record) -> list[bytes] | None:
            return list(payloads) if r.sender == "alice" and r.seq == seq else None

        return hook

    assert _pair(None) == bytes([0] * 4 + [1] * 4 + [2] * 4)
    assert _pair(at(1, b"flip")) == bytes(4) + b"flip" + bytes([2] * 4)
    with pytest.raises(Desync, match="3 bytes"):
        _pair(at(1, b"cut"))
    with pytest.raises(Desync, match="message 2"):
        _pair(at(1))
    with pytest.raises(Desync, match="message 1"):
        _pair(at(1, b"once", b"once"))
    with pytest.raises(PeerUnavailable, match="silent") as info:
        _pair(at(2))
    assert info.value.party == "alice"


def test_unknown_party_and_bad_label_are_usage_errors() -> None:
    mesh = Hub(ABC).mesh("alice")
    with pytest.raises(UsageError, match="no link to 'dave'"):
        mesh.send("dave", "x")
    for label in ("", "é", "x" * 65, "a\n"):
        with pytest.raises(UsageError):
            mesh.send("bob", label)
    with pytest.raises(UsageError):
        mesh.recv("alice", "x", 1)


def test_time_limit_of_a_wait_names_the_silent_party() -> None:
    mesh = Hub(("alice", "bob"), timeout_s=0.01).mesh("alice")
    with pytest.raises(PeerUnavailable, match="bob sent nothing") as info:
        mesh.recv("bob", "x", 1)
    assert info.value.party == "bob"


def test_notices_name_the_culprit_and_carry_no_local_text() -> None:
    kept = notice_of(PeerUnavailable("carol is silent", "carol"))
    error = error_of(kept, "bob", "alice", ("bob", "carol"))
    assert isinstance(error, PeerUnavailable) and error.party == "carol"
    assert str(error) == "carol is silent (reported by bob)"
    again = error_of(notice_of(error), "dave", "alice", ("bob", "carol", "dave"))
    assert str(again) == "carol is silent (reported by dave)"
    cheat = error_of(notice_of(PeerMisbehaved("bad MAC", ["carol"])), "bob", "alice", ("bob", "carol"))
    assert isinstance(cheat, PeerMisbehaved) and cheat.culprits == ("carol",)
    blamed = error_of(notice_of(PeerUnavailable("alice is silent", "alice")), "bob", "alice", ("bob",))
    assert blamed.party == "bob"
    assert notice_of(ValueError("secret 7")) == ("InternalError", (), "")
    made_up = error_of(notice_of(PeerUnavailable("x", "nobody")), "bob", "alice", ("bob",))
    assert made_up.party == "bob"
