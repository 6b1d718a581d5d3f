"""Meeting: who is let in, what strangers can do, what is seen on the wire, and what a failed meeting says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from net_parties import Site

from tacit.errors import PeerIncompatible, PeerUnavailable, UsageError
from tacit.net import greeting, rendezvous
from tacit.net.codec import encode
from tacit.net.identity import load_identity
from tacit.net.link import HELLO, Mesh, encode_header
from tacit.net.roster import Party, Roster
from tacit.net.sockets import listen_on
from tacit.net.stream import make_context

CANARY = b"canary-7f3a9 salary 123456 "


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, ("alice", "bob"))
    yield made
    made.close()
    left = [t.name for t in threading.enumerate() if t.name.startswith(("tacit", "party", "relay"))]
    assert not left, left


def swap(mesh: Mesh) -> bytes:
    """Send a byte to the only peer and receive one."""
    (peer,) = mesh.peers
    mesh.send(peer, "x", mesh.me[:1].encode())
    return mesh.recv(peer, "x", 1).tobytes()


SWAPPED = {"alice": b"b", "bob": b"a"}


def with_first(roster: Roster, party: Party) -> Roster:
    """Return the roster with its entry of the same name replaced."""
    return Roster(tuple(party if p.name == party.name else p for p in roster.parties))


def both(site: Site, alice: dict[str, Any], bob: dict[str, Any]) -> dict[str, Any]:
    """Run both parties with their own options; a result or the exception."""
    results: dict[str, Any] = {}

    def body(name: str, options: dict[str, Any]) -> None:
        try:
            with site.mesh(name, **options) as mesh:
                results[name] = swap(mesh)
        except Exception as error:
            results[name] = error

    threads = [threading.Thread(target=body, args=a) for a in (("alice", alice), ("bob", bob))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def test_callers_wrong_certificate_is_explained_at_both_ends(pair: Site, tmp_path: Path) -> None:
    new = load_identity(tmp_path / "new", "bob")  # bob made another identity and told only himself
    his = with_first(pair.roster, new.party(*pair.address("bob")))
    got = both(pair, {"connect_timeout_s": 1.0}, {"identity": new, "roster": his})
    assert isinstance(got["bob"], PeerIncompatible) and got["bob"].party == "alice"
    assert "does not accept this party's certificate" in str(got["bob"])
    assert isinstance(got["alice"], PeerUnavailable) and got["alice"].party == "bob"
    assert "certificate is not in the roster" in str(got["alice"])


def test_callees_wrong_certificate_is_explained_at_both_ends(pair: Site, tmp_path: Path) -> None:
    new = load_identity(tmp_path / "new", "alice")
    hers = with_first(pair.roster, new.party(*pair.address("alice")))
    got = both(pair, {"identity": new, "roster": hers, "connect_timeout_s": 1.0}, {})
    assert isinstance(got["bob"], PeerIncompatible) and got["bob"].party == "alice"
    assert "presents another certificate than the roster's" in str(got["bob"])
    assert isinstance(got["alice"], PeerUnavailable) and got["alice"].party == "bob"
    assert "mutual TLS 1.3" in str(got["alice"])


@pytest.mark.parametrize("what", ["roster", "session"])
def test_differing_roster_or_session_is_refused_at_both_ends(pair: Site, tmp_path: Path, what: str) -> None:
    extra = load_identity(tmp_path / "carol", "carol").party()
    longer = Roster((*pair.roster.parties, extra))
    bob = {"roster": longer, "links": [("alice", "bob")]} if what == "roster" else {"session": b"another"}
    got = both(pair, {}, bob)
    for name, peer in (("alice", "bob"), ("bob", "alice")):
        assert isinstance(got[name], PeerIncompatible) and got[name].party == peer
        assert what in str(got[name])


def test_another_wire_version_is_refused(pair: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    original = greeting.Greeter.hello

    def older(self: greeting.Greeter, to: str, channel: str) -> Any:
        fields: Any = original(self, to, channel)
        return {**fields, "tacit": 0} if self.me == "bob" else fields

    monkeypatch.setattr(greeting.Greeter, "hello", older)
    got = both(pair, {}, {})
    assert isinstance(got["bob"], PeerIncompatible) and "version 0" in str(got["bob"])
    assert isinstance(got["alice"], PeerIncompatible) and "version 0" in str(got["alice"])


def dial(site: Site, name: str, trusted: str) -> ssl.SSLSocket:
    """Open a TLS connection to alice as the given party."""
    context = make_context(site.identities[name], [site.identities[trusted].certificate], server_side=False)
    return context.wrap_socket(socket.create_connection(site.address("alice"), timeout=10))


def test_an_impostor_among_the_members_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path, ("alice", "bob", "carol"))
    refused = threading.Event()

    def impostor() -> None:
        with dial(site, "carol", "alice") as sock:  # carol's own valid certificate, bob's name
            sock.recv(4096)
            hello = greeting.Greeter("bob", site.roster.hash(), b"", b"i" * 16, 1000).hello(
                "alice", "control"
            )
            body = encode(hello)
            sock.sendall(encode_header(HELLO, b"", 0, 0, len(body)) + body)
            answer = sock.recv(4096)
            assert b"carol's, but the name given is another" in answer
            assert sock.recv(1) == b""
        refused.set()

    def bob(mesh: Mesh) -> Any:
        return swap(mesh)

    thread = threading.Thread(target=impostor)
    results: dict[str, Any] = {}

    def alice() -> None:
        with site.mesh("alice", links=[("alice", "bob"), ("alice", "carol")]) as mesh:
            results["alice"] = [mesh.recv(p, "x", 1).tobytes() for p in mesh.peers]

    host = threading.Thread(target=alice)
    host.start()
    thread.start()
    assert refused.wait(20)

    def member(name: str) -> None:
        with site.mesh(name, links=[("alice", name)]) as mesh:
            mesh.send("alice", "x", name[:1].encode())

    members = [threading.Thread(target=member, args=(n,)) for n in ("bob", "carol")]
    for t in members:
        t.start()
    for t in [*members, host, thread]:
        t.join()
    site.close()
    assert results["alice"] == [b"b", b"c"]


def nothing(site: Site, sock: socket.socket) -> None:
    """A slow-loris: connect and stay silent."""


def garbage(site: Site, sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # reset at once, or answered by an alert first
        sock.sendall(bytes(range(256)) * 100)
        sock.recv(1 << 16)


def web_browser(site: Site, sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: alice\r\n\r\n")
        sock.recv(1 << 16)


def half_a_handshake(site: Site, sock: socket.socket) -> None:
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def no_certificate(site: Site, sock: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(OSError), context.wrap_socket(sock) as tls:
        assert tls.version() == "TLSv1.3"
        if not tls.recv(1):  # the alert may be lost in a reset
            raise ConnectionResetError


def older_tls(site: Site, sock: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        context.wrap_socket(sock)


STRANGERS: list[Callable[[Site, socket.socket], None]] = [
    nothing,
    garbage,
    web_browser,
    half_a_handshake,
    no_certificate,
    older_tls,
]


def test_strangers_change_nothing(pair: Site) -> None:
    results: dict[str, Any] = {}

    def alice() -> None:
        with pair.mesh("alice", connect_timeout_s=20.0) as mesh:
            results["alice"] = swap(mesh)

    host = threading.Thread(target=alice)
    host.start()
    kept = []
    for stranger in STRANGERS:
        sock = socket.create_connection(pair.address("alice"), timeout=10)
        kept.append(sock)
        stranger(pair, sock)
    flood = [socket.create_connection(pair.address("alice")) for _ in range(rendezvous.MAX_PENDING + 20)]
    with pair.mesh("bob") as mesh:
        results["bob"] = swap(mesh)
    host.join()
    for sock in [*kept, *flood]:
        sock.close()
    assert results == SWAPPED


def test_a_slow_stranger_is_dropped_in_bounded_time(pair: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendezvous, "HANDSHAKE_TIMEOUT_S", 0.1)
    waiting = threading.Thread(target=lambda: pair.run({"alice": swap}))
    waiting.start()
    with socket.create_connection(pair.address("alice"), timeout=10) as sock:
        assert sock.recv(1) == b""  # closed by alice
    assert pair.run({"bob": swap}) == {"bob": b"a"}
    waiting.join()


@pytest.mark.parametrize("size", [greeting.MAX_GREETING_BYTES + 1, 2**39, 2**63])
def test_an_oversize_greeting_of_a_member_is_refused_before_it_is_read(pair: Site, size: int) -> None:
    results: dict[str, Any] = {}

    def alice() -> None:
        try:
            pair.mesh("alice")
        except PeerIncompatible as error:
            results["alice"] = error

    host = threading.Thread(target=alice)
    host.start()
    with dial(pair, "bob", "alice") as sock:
        sock.recv(4096)
        sock.sendall(encode_header(HELLO, b"", 0, 0, size))
        with contextlib.suppress(OSError):
            assert sock.recv(1) == b""
    host.join()
    assert results["alice"].party == "bob"


def test_a_missing_peer_is_named_with_its_address(pair: Site) -> None:
    pair.listeners["alice"].close()
    with pytest.raises(PeerUnavailable) as info:
        pair.mesh("bob", connect_timeout_s=0.3)
    assert info.value.party == "alice"
    assert f"alice at 127.0.0.1:{pair.roster.party('alice').port}" in str(info.value)
    assert "is it started? is the address right?" in str(info.value)
    pair.listeners["alice"] = listen_on("127.0.0.1")
    with pytest.raises(PeerUnavailable, match="bob has not called") as info:
        pair.mesh("alice", connect_timeout_s=0.3)
    assert info.value.party == "bob"


def test_what_is_missing_at_one_party_is_told_to_those_already_met(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.listeners["carol"].close()
    results: dict[str, Any] = {}

    def party(name: str, limit_s: float) -> None:
        try:
            site.mesh(name, connect_timeout_s=limit_s)
        except PeerUnavailable as error:
            results[name] = error

    threads = [threading.Thread(target=party, args=a) for a in (("alice", 0.5), ("bob", 60.0))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    site.close()
    assert results["alice"].party == results["bob"].party == "carol"
    assert "reported by alice" in str(results["bob"])


def test_any_order_and_a_restart_before_all_have_met(tmp_path: Path) -> None:
    site = Site(tmp_path)
    address = site.address("alice")
    site.listeners["alice"].close()  # alice, whom the others call, starts last and opens her own port
    with pytest.raises(PeerUnavailable):
        site.mesh("carol", connect_timeout_s=0.2)  # carol gives up once and starts again

    def job(mesh: Mesh) -> list[bytes]:
        for peer in mesh.peers:
            mesh.send(peer, "x", mesh.me[:1].encode())
        return [mesh.recv(p, "x", 1).tobytes() for p in mesh.peers]

    results: dict[str, Any] = {}
    early = threading.Thread(target=lambda: results.update(site.run({"bob": job, "carol": job})))
    early.start()
    with socket.create_connection(site.address("bob")):
        pass
    results.update(site.run({"alice": job}, listen=address))
    early.join()
    site.close()
    assert results == {"alice": [b"b", b"c"], "bob": [b"a", b"c"], "carol": [b"a", b"b"]}


def relay(listener: socket.socket, target: tuple[str, int], seen: list[bytes]) -> list[threading.Thread]:
    """Forward connections to the target, keeping a copy of every byte."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with source, sink:
            try:
                while data := source.recv(1 << 16):
                    seen.append(data)
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def accept() -> None:
        for _ in greeting.CHANNELS:
            near, _ = listener.accept()
            far = socket.create_connection(target)
            for a, b in ((near, far), (far, near)):
                thread = threading.Thread(target=pump, args=(a.dup(), b.dup()), name="relay")
                threads.append(thread)
                thread.start()
            near.close()
            far.close()

    threads = [threading.Thread(target=accept, name="relay accept")]
    threads[0].start()
    return threads


def test_only_tls_13_and_no_plaintext_is_seen_on_the_wire(pair: Site) -> None:
    seen: list[bytes] = []
    listener = listen_on("127.0.0.1")
    port = listener.getsockname()[1]
    threads = relay(listener, pair.address("alice"), seen)
    roster = pair.make_roster(alice=("127.0.0.1", port))  # addresses may differ between sites
    payload = CANARY * 40_000

    def talk(mesh: Mesh) -> Any:
        (peer,) = mesh.peers
        mesh.send(peer, "canary-label", CANARY)
        mesh.send(peer, "canary-label", payload)
        assert mesh.recv(peer, "canary-label", len(CANARY)).tobytes() == CANARY
        assert mesh.recv(peer, "canary-label", len(payload)).tobytes() == payload
        streams = [*mesh._incoming.values(), *mesh._outgoing.values()]  # type: ignore[attr-defined]
        return {s.version() for s in streams}

    results: dict[str, Any] = {}
    host = threading.Thread(target=lambda: results.update(pair.run({"alice": talk})))
    host.start()
    results.update(pair.run({"bob": talk}, roster=roster))
    host.join()
    for t in threads:
        t.join()
    listener.close()
    assert results == {"alice": {"TLSv1.3"}, "bob": {"TLSv1.3"}}
    wire = b"".join(seen)
    assert len(wire) > 2 * len(payload)
    for secret in (CANARY, b"canary", b"salary", b"session", b"alice", pair.roster.hash()):
        assert secret not in wire


def test_a_flipped_bit_on_the_wire_ends_the_job(pair: Site) -> None:
    listener = listen_on("127.0.0.1")
    port = listener.getsockname()[1]
    count = [0]

    def pump(source: socket.socket, sink: socket.socket, corrupt: bool) -> None:
        with source, sink:
            try:
                while data := source.recv(1 << 16):
                    count[0] += len(data)
                    if corrupt and count[0] > 200_000:
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def accept() -> None:
        for _ in greeting.CHANNELS:
            near, _ = listener.accept()
            far = socket.create_connection(pair.address("alice"))
            for a, b, corrupt in ((near, far, True), (far, near, False)):
                thread = threading.Thread(target=pump, args=(a.dup(), b.dup(), corrupt), name="relay")
                threads.append(thread)
                thread.start()
            near.close()
            far.close()

    threads = [threading.Thread(target=accept, name="relay accept")]
    threads[0].start()
    roster = pair.make_roster(alice=("127.0.0.1", port))

    def alice(mesh: Mesh) -> Any:
        return mesh.recv("bob", "big", 1_000_000)

    def bob(mesh: Mesh) -> Any:
        mesh.send("alice", "big", bytes(1_000_000))
        return mesh.recv("alice", "never", 1)

    results: dict[str, Any] = {}
    host = threading.Thread(target=lambda: results.update(pair.run({"alice": alice})))
    host.start()
    results.update(pair.run({"bob": bob}, roster=roster))
    host.join()
    for t in threads:
        t.join()
    listener.close()
    assert isinstance(results["alice"], PeerUnavailable) and "altered" in str(results["alice"])
    assert isinstance(results["bob"], PeerUnavailable)


def test_wrong_use_is_told_before_anything_is_sent(pair: Site, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another key for alice"):
        pair.mesh("alice", identity=load_identity(tmp_path / "other", "alice"))
    with pytest.raises(UsageError, match="not in the roster"):
        pair.mesh("alice", links=[("alice", "dave")])
    with pytest.raises(UsageError, match="more than 0"):
        pair.mesh("alice", silence_timeout_s=0)
    with pytest.raises(UsageError, match="cannot listen at"):
        pair.mesh("alice", listen=pair.address("bob"))
    unreachable = pair.make_roster(alice=("", 0))
    with pytest.raises(UsageError, match="alice needs an address"):
        pair.mesh("bob", roster=unreachable)
    with pytest.raises(UsageError, match="alice needs an address"):
        pair.mesh("alice", roster=unreachable, listen=None)
