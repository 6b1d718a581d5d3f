"""The TLS mesh on loopback: exchange at all sizes, orderly and disorderly ends, root causes, liveness."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from net_parties import NAMES, Site

from tacit.errors import Desync, PeerMisbehaved, PeerUnavailable, RangeError, UsageError
from tacit.net import tls
from tacit.net.link import AHEAD_BYTES, Mesh
from tacit.net.sockets import listen_on, open_socket
from tacit.net.tls import TlsMesh


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()
    left = [t.name for t in threading.enumerate() if t.name.startswith(("tacit", "party"))]
    assert not left, left


def others(me: str) -> list[str]:
    return [n for n in NAMES if n != me]


def test_three_parties_exchange_all_sizes_both_ways_at_once(site: Site) -> None:
    sizes = (0, 1, 1000, 16384, 16385, 300_000, 50_000_000)

    def job(mesh: Mesh) -> Any:
        for size in sizes:
            x = np.full(size, NAMES.index(mesh.me) + 1, np.uint8)
            for to in mesh.peers:
                mesh.send(to, f"size {size}", x[: size // 2], x[size // 2 :])
            x[:] = 0  # captured at send
            for frm in mesh.peers:
                got = mesh.recv(frm, f"size {size}", size)
                assert got.flags.writeable and got.ctypes.data % 16 == 0
                assert np.all(got == NAMES.index(frm) + 1) and got.size == size
        return mesh.meter.snapshot()

    results = site.run(dict.fromkeys(NAMES, job))
    for name in NAMES:
        meter = results[name]
        assert meter.rounds == len(sizes)
        for peer in others(name):
            assert meter.peers[peer].payload_sent == meter.peers[peer].payload_received == sum(sizes)
            assert meter.peers[peer].frames_sent == len(sizes)
        assert meter.sends["size 1000"].payload == 2000


@pytest.mark.skipif(not hasattr(socket, "TCP_CONGESTION"), reason="no choice of congestion control here")
def test_only_connections_within_this_machine_leave_out_congestion_control(site: Site) -> None:
    def control(sock: socket.socket) -> bytes:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")

    with socket.socket() as fresh, listen_on("0.0.0.0") as outward:
        assert control(outward) == control(fresh)
    server = site.listeners["alice"]
    with open_socket(site.roster.party("alice")) as caller, server.accept()[0] as accepted:
        assert {control(server), control(caller), control(accepted)} == {b"reno"}


def test_messages_queued_between_receives_leave_in_one_record(site: Site) -> None:
    def job(mesh: Mesh) -> int:
        (peer,) = mesh.peers
        for i in range(100):
            mesh.send(peer, "x", bytes([i]))
        assert mesh.meter.total.wire_sent == 0
        mesh.flush()
        wire = mesh.meter.total.wire_sent
        assert [mesh.recv(peer, "x", 1)[0] for _ in range(100)] == list(range(100))
        assert mesh.meter.rounds == 1
        return wire

    results = site.run({"alice": job, "bob": job}, links=[("alice", "bob")])
    assert results == {"alice": 100 * 26 + 22, "bob": 100 * 26 + 22}


def test_what_is_held_leaves_with_what_follows_unless_its_party_must_wait(site: Site) -> None:
    def alice(mesh: Mesh) -> None:
        mesh.send("bob", "a", b"1")
        mesh.send("bob", "b", b"2")
        assert mesh.recv("bob", "x", 1)[0] == mesh.recv("bob", "y", 1)[0] == 3
        mesh.recv("bob", "z", 0)
        mesh.send("bob", "c")  # bob waits for this, and holds what alice waits for

    def bob(mesh: Mesh) -> list[int]:
        mesh.recv("alice", "a", 1)
        mesh.send("alice", "x", b"\3")
        wire = [mesh.meter.total.wire_sent]
        mesh.recv("alice", "b", 1, held=True)  # it came with the first
        wire.append(mesh.meter.total.wire_sent)
        mesh.send("alice", "y", b"\3")
        mesh.flush()
        wire.append(mesh.meter.total.wire_sent)
        mesh.send("alice", "z")
        mesh.recv("alice", "c", 0, held=True)
        return wire

    results = site.run({"alice": alice, "bob": bob}, links=[("alice", "bob")])
    assert results["bob"] == [0, 0, 2 * 26 + 22]


def test_nothing_is_held_while_a_long_message_comes(site: Site) -> None:
    size = 1 << 24  # more than any buffer on the way: it has not come when its header has

    def alice(mesh: Mesh) -> None:
        mesh.send("bob", "a", b"1")
        mesh.send("bob", "long", bytes(size))  # its header comes in the record of what is before it
        mesh.recv("bob", "x", 1)

    def bob(mesh: Mesh) -> int:
        mesh.recv("alice", "a", 1)
        mesh.send("alice", "x", b"2")
        mesh.recv("alice", "long", size, held=True)
        return mesh.meter.total.wire_sent

    assert site.run({"alice": alice, "bob": bob}, links=[("alice", "bob")]) == {"alice": None, "bob": 26 + 22}


def test_stable_arrays_are_sent_without_a_copy_and_recv_any_is_bounded(site: Site) -> None:
    x = np.arange(100_000, dtype=np.uint64)

    def alice(mesh: Mesh) -> Any:
        mesh.send("bob", "stable", x, stable=True)
        mesh.send("bob", "manifest", b"a" * 100)
        mesh.send("bob", "manifest", b"b" * 100)
        return mesh.recv("bob", "never", 1)

    def bob(mesh: Mesh) -> Any:
        got = mesh.recv("alice", "stable", x.nbytes).view(np.uint64)
        assert np.array_equal(got, x)
        assert mesh.recv_any("alice", 100) == ("manifest", b"a" * 100)
        return mesh.recv_any("alice", 99)

    results = site.run({"alice": alice, "bob": bob}, links=[("alice", "bob")])
    assert isinstance(results["bob"], Desync) and results["bob"].party == "alice"
    assert "'manifest' (100 bytes, message 2)" in str(results["bob"])
    assert isinstance(results["alice"], Desync) and results["alice"].party == "bob"


@pytest.mark.parametrize(("label", "size"), [("open", 8), ("sum", 8), ("mul", 9), ("mul", 10**6), ("m", 0)])
def test_desync_reaches_all_three_with_both_tags(site: Site, label: str, size: int) -> None:
    def job(mesh: Mesh) -> Any:
        if mesh.me == "alice":
            mesh.send("bob", "mul", bytes(8))
            return mesh.recv("bob", "later", 1)
        return mesh.recv("alice", label, size) if mesh.me == "bob" else mesh.recv("bob", "later", 1)

    results = site.run(dict.fromkeys(NAMES, job))
    for name in NAMES:
        assert isinstance(results[name], Desync), results[name]
        assert "'mul' (8 bytes, message 0)" in str(results[name])
        assert f"{label!r} ({size} bytes, message 0)" in str(results[name])
    assert results["bob"].party == results["carol"].party == "alice"


def test_a_message_out_of_turn_is_a_desync(site: Site) -> None:
    def job(mesh: Mesh) -> Any:
        if mesh.me == "alice":
            mesh.meter.peers["bob"].frames_sent += 1  # as if one had been lost
            mesh.send("bob", "mul", bytes(8))
            return mesh.recv("bob", "later", 1)
        return mesh.recv("alice", "mul", 8) if mesh.me == "bob" else mesh.recv("bob", "later", 1)

    found = site.run(dict.fromkeys(NAMES, job))["bob"]
    assert isinstance(found, Desync) and "'mul' (8 bytes, message 1)" in str(found), found
    assert "expected 'mul' (8 bytes, message 0)" in str(found)


def test_root_cause_reaches_everyone_without_local_text(site: Site) -> None:
    def job(mesh: Mesh) -> Any:
        if mesh.me == "carol":
            raise RangeError("salary 123456 is too big")
        return mesh.recv(others(mesh.me)[0], "x", 1)  # alice and bob wait for each other

    results = site.run(dict.fromkeys(NAMES, job))
    assert isinstance(results["carol"], RangeError)
    for name in ("alice", "bob"):
        assert isinstance(results[name], PeerUnavailable) and results[name].party == "carol"
        assert "RangeError" in str(results[name]) and "123456" not in str(results[name])


def test_a_party_that_receives_nothing_keeps_close_to_the_others(site: Site) -> None:
    """What it has queued never exceeds the bound by more than one message."""
    piece, most = np.zeros(1 << 20, np.uint8), []

    def alice(mesh: Any) -> None:
        for _ in range(64):
            mesh.pace()
            mesh.send("bob", "x", piece)
            mesh.flush()
            most.append(mesh._senders["bob"].waiting)

    def bob(mesh: Mesh) -> int:
        return sum(mesh.recv("alice", "x", piece.nbytes).size for _ in range(64))

    assert site.run({"alice": alice, "bob": bob, "carol": lambda mesh: None})["bob"] == 64 << 20
    assert 0 < max(most) <= AHEAD_BYTES + piece.nbytes + 1000


def test_a_party_that_is_ahead_hears_of_the_end_of_those_behind(site: Site) -> None:
    ahead = threading.Event()

    def alice(mesh: Mesh) -> None:
        mesh.send("bob", "x", np.zeros(16 * AHEAD_BYTES, np.uint8))
        mesh.flush()
        ahead.set()
        mesh.pace()
        mesh.recv("bob", "y", 1)

    def bob(mesh: Mesh) -> None:
        ahead.wait()
        raise RangeError("too big")

    results = site.run({"alice": alice, "bob": bob, "carol": lambda mesh: None})
    assert isinstance(results["alice"], PeerUnavailable) and results["alice"].party == "bob"


def test_a_peer_that_is_alive_but_takes_nothing_meets_the_round_limit(site: Site) -> None:
    told = threading.Event()

    def ahead(mesh: Mesh) -> None:
        mesh.send("bob", "x", np.zeros(16 * AHEAD_BYTES, np.uint8))
        mesh.flush()
        try:
            mesh.pace()
        finally:
            told.set()

    def bob(mesh: Mesh) -> None:
        told.wait()
        mesh.recv("alice", "y", 1)

    results = site.run({"alice": ahead, "bob": bob, "carol": lambda mesh: None}, round_timeout_s=0.5)
    assert isinstance(results["alice"], PeerUnavailable) and results["alice"].party == "bob"
    assert "took nothing" in str(results["alice"]) and isinstance(results["bob"], PeerUnavailable)


def test_misbehaviour_is_reported_with_its_culprit(site: Site) -> None:
    def job(mesh: Mesh) -> Any:
        if mesh.me == "bob":
            raise PeerMisbehaved("carol's MAC is wrong", ["carol"])
        return mesh.recv("bob", "x", 1)

    results = site.run(dict.fromkeys(NAMES, job))
    for name in ("alice", "carol"):
        assert isinstance(results[name], PeerMisbehaved) and results[name].culprits == ("carol",)
        assert "reported by" in str(results[name])


def test_keyboard_interrupt_aborts_the_peers(site: Site) -> None:
    def job(mesh: Mesh) -> Any:
        if mesh.me == "alice":
            raise KeyboardInterrupt
        return mesh.recv("alice", "x", 1)

    results = site.run(dict.fromkeys(NAMES, job))
    assert isinstance(results["alice"], KeyboardInterrupt)
    assert "alice was stopped by its operator" in str(results["bob"]) and results["bob"].party == "alice"


def test_an_owner_may_leave_early(site: Site) -> None:
    left = threading.Event()

    def job(mesh: Mesh) -> Any:
        if mesh.me == "carol":
            for to in mesh.peers:
                mesh.send(to, "share", bytes(10**6))
            return None
        peer = others(mesh.me)[0]
        left.wait()
        assert mesh.recv("carol", "share", 10**6).size == 10**6
        for i in range(100):
            mesh.send(peer, "x", bytes([i]))
            assert mesh.recv(peer, "x", 1)[0] == i
        mesh.send("carol", "nobody reads this", bytes(10**6))
        mesh.send("carol", "nobody reads this")
        mesh.flush()
        return "done"

    def carol() -> None:
        with site.mesh("carol") as mesh:
            job(mesh)
        left.set()

    thread = threading.Thread(target=carol)
    thread.start()
    results = site.run({"alice": job, "bob": job})
    thread.join()
    assert results == {"alice": "done", "bob": "done"}


def test_expecting_more_from_one_who_left_is_an_error(site: Site) -> None:
    results = site.run({"alice": lambda m: m.recv("bob", "x", 1), "bob": lambda m: 1, "carol": lambda m: 1})
    assert isinstance(results["alice"], PeerUnavailable) and results["alice"].party == "bob"
    assert "bob has left" in str(results["alice"])


def test_owners_talk_only_to_those_they_are_linked_with(tmp_path: Path) -> None:
    site = Site(tmp_path, ("s1", "s2", "owner1", "owner2"))
    links = [("s1", "s2")] + [(o, s) for o in ("owner1", "owner2") for s in ("s1", "s2")]

    def job(mesh: Mesh) -> Any:
        if mesh.me.startswith("owner"):
            for to in mesh.peers:
                mesh.send(to, "share", b"1")
            with pytest.raises(UsageError, match="no link"):
                mesh.send("owner2" if mesh.me == "owner1" else "owner1", "x")
        else:
            for owner in ("owner1", "owner2"):
                mesh.recv(owner, "share", 1)
        return mesh.peers

    results = site.run(dict.fromkeys(site.names, job), links=links)
    site.close()
    assert results == {
        "s1": ("s2", "owner1", "owner2"),
        "s2": ("s1", "owner1", "owner2"),
        "owner1": ("s1", "s2"),
        "owner2": ("s1", "s2"),
    }


def test_killed_process_is_named_by_everyone_whoever_they_wait_for(site: Site) -> None:
    code = "mesh.recv('alice', 'go', 0); say('got it'); sys.stdin.read()"
    with site.process("carol", code) as child:

        def job(mesh: Mesh) -> Any:
            if mesh.me == "alice":
                mesh.send("carol", "go")
                mesh.send("carol", "big", np.zeros(50_000_000, np.uint8))  # in the middle of a message
                mesh.flush()
                assert child.stdout is not None and child.stdout.readline() == "got it\n"
                child.kill()
            return mesh.recv(others(mesh.me)[0], "x", 1)  # alice and bob wait for each other

        results = site.run({"alice": job, "bob": job})
    for name in ("alice", "bob"):
        assert isinstance(results[name], PeerUnavailable), results[name]
        assert results[name].party == "carol"


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_a_blocked_receive_propagates_and_tells_the_peers(
    site: Site, sign: signal.Signals
) -> None:
    code = (
        "import signal\n"
        "from tacit.cli.main import _end\n"
        "for sign in (signal.SIGTERM, signal.SIGHUP): signal.signal(sign, _end)\n"
        "with mesh:\n"
        "    mesh.recv('alice', 'go', 0)\n"
        "    say('ready')\n"
        "    try: mesh.recv('alice', 'never', 1)\n"
        "    except KeyboardInterrupt: say('interrupted'); raise\n"
    )
    with site.process("carol", code) as child:

        def job(mesh: Mesh) -> Any:
            if mesh.me == "alice":
                mesh.send("carol", "go")
                mesh.flush()
                assert child.stdout is not None and child.stdout.readline() == "ready\n"
                child.send_signal(sign)
            return mesh.recv("carol", "x", 1)

        results = site.run({"alice": job, "bob": job})
        assert child.wait(20) != 0
    for name in ("alice", "bob"):
        assert isinstance(results[name], PeerUnavailable) and results[name].party == "carol"
        assert "carol was stopped by its operator" in str(results[name])


def test_stopped_process_is_noticed_and_a_busy_one_is_not(site: Site) -> None:
    code = "mesh.recv('alice', 'stop', 0); say('ready'); mesh.recv('alice', 'more', 0)"
    with site.process("carol", code, silence_timeout_s=60.0) as child:

        def job(mesh: Mesh) -> Any:
            if mesh.me == "alice":
                mesh.send("carol", "stop")
                mesh.flush()
                assert child.stdout is not None and child.stdout.readline() == "ready\n"
                os.kill(child.pid, signal.SIGSTOP)
                return mesh.recv("bob", "x", 1)
            try:
                # bob computes, without a word to anyone, for longer than the silence limit: until all is over
                while mesh._failure is None:  # type: ignore[attr-defined]
                    sum(range(1000))
            finally:
                os.kill(child.pid, signal.SIGCONT)
            return mesh.recv("alice", "x", 1)

        results = site.run({"alice": job, "bob": job}, silence_timeout_s=1.0)
    for name in ("alice", "bob"):
        assert isinstance(results[name], PeerUnavailable), results[name]
        assert results[name].party == "carol", results[name]
    assert "silent for 1 s" in str(results["alice"])


def test_heartbeats_count_neither_as_payload_nor_as_rounds(site: Site) -> None:
    def job(mesh: Mesh) -> Any:
        (peer,) = mesh.peers
        for _ in range(3):
            mesh.send(peer, "x", b"1")
            mesh.recv(peer, "x", 1)
        control = mesh._control  # type: ignore[attr-defined]
        start = dict(control._heard)
        while control._heard == start:  # at least one heartbeat came
            threading.Event().wait(0.01)
        return mesh.meter.rounds, mesh.meter.total.payload_received, mesh.meter.total.frames_received

    results = site.run({"alice": job, "bob": job}, links=[("alice", "bob")], silence_timeout_s=0.4)
    assert results == {"alice": (3, 3, 3), "bob": (3, 3, 3)}


def test_a_peer_that_is_alive_but_does_not_answer_meets_the_round_limit(site: Site) -> None:
    done = threading.Event()

    def alice(mesh: Mesh) -> Any:
        try:
            return mesh.recv("bob", "x", 1)
        finally:
            done.set()

    def bob(mesh: Mesh) -> Any:
        done.wait()
        return mesh.recv("alice", "y", 1)

    jobs = {"alice": alice, "bob": bob}
    results = site.run(jobs, links=[("alice", "bob")], round_timeout_s=0.2)
    assert isinstance(results["alice"], PeerUnavailable) and results["alice"].party == "bob"
    assert "within 0.2 s" in str(results["alice"])
    assert isinstance(results["bob"], PeerUnavailable) and results["bob"].party == "alice"


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan"), 1e300])
@pytest.mark.parametrize("which", ["connect", "silence", "round"])
def test_a_time_limit_that_no_clock_has_is_refused(site: Site, which: str, seconds: float) -> None:
    with pytest.raises(UsageError, match="more than 0 and at most 604,800 seconds"):
        site.mesh("alice", **{f"{which}_timeout_s": seconds})


def test_a_closed_mesh_says_so(site: Site) -> None:
    def job(mesh: Mesh) -> Any:
        mesh.close()
        mesh.close()
        mesh.abort(ValueError())
        with pytest.raises(UsageError, match="closed"):
            mesh.flush()

    assert site.run({"alice": job, "bob": job}, links=[("alice", "bob")]) == {"alice": None, "bob": None}


def test_what_messages_have_in_common_is_kept_by_peer_and_label_and_bounded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LABELS", 3)

    def job(mesh: TlsMesh) -> None:
        for turn in range(3):
            for i in range(5):
                for peer in mesh.peers:
                    mesh.send(peer, f"label {i}", bytes([turn, i]), mesh.me.encode())
            for peer in mesh.peers:
                for i in range(5):
                    got = mesh.recv(peer, f"label {i}", 2 + len(peer)).tobytes()
                    assert got == bytes([turn, i]) + peer.encode()
                    assert len(mesh._sent) <= 3 and len(mesh._heard) <= 3
        assert {label: s.count for label, s in mesh.meter.sends.items()} == {
            f"label {i}": 6 for i in range(5)
        }
        for t in mesh.meter.peers.values():
            assert t.frames_sent == t.frames_received == 15

    assert site.run(dict.fromkeys(NAMES, job)) == dict.fromkeys(NAMES)
