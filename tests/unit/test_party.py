"""The handshake: keys that only the pair has, one session for all, and clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tacit.core.party import Party, handshake
from tacit.core.timing import LOOPBACK, Network
from tacit.errors import MaterialError, PeerError, PeerIncompatible, PeerMisbehaved, TacitError
from tacit.net import codec
from tacit.net.link import Mesh
from tacit.net.memory import Hub, Record

COMPUTE = ("alice", "bob", "carol")
ALL = (*COMPUTE, "dora")
JOB = bytes(32)


def entropy(name: str, seed: int = 0) -> Callable[[int], bytes]:
    """Return repeatable bytes that differ by name and call."""
    import hashlib

    count = iter(range(1000))
    return lambda n: hashlib.sha256(f"{name} {seed} {next(count)}".encode()).digest()[:n]


def meet(
    change: Callable[[str], dict[str, Any]] = lambda name: {},
    tamper: Callable[[Record], list[bytes] | None] | None = None,
    names: tuple[str, ...] = ALL,
    hub: Hub | None = None,
) -> dict[str, Party | TacitError]:
    """Run the handshake at everyone; return each one's party or error."""

    def body(mesh: Mesh) -> Party | TacitError:
        options = {"job": JOB, "roster": b"r" * 32, "entropy": entropy(mesh.me), **change(mesh.me)}
        try:
            return handshake(mesh, COMPUTE, **options)
        except TacitError as error:
            mesh.abort(error)
            return error

    return (hub or Hub(names, tamper=tamper)).run(dict.fromkeys(names, body))


def test_all_agree_on_one_session_and_each_pair_on_one_key() -> None:
    parties = meet()
    assert all(isinstance(p, Party) for p in parties.values())
    assert len({p.sid for p in parties.values()}) == 1  # type: ignore[union-attr]
    heads = {}
    for a in ALL:
        for b in ALL:
            if a != b:
                heads[a, b] = parties[a].keys.common(b, "x").take(16).tobytes()  # type: ignore[union-attr]
    assert all(heads[a, b] == heads[b, a] for a, b in heads)
    assert len(set(heads.values())) == 6
    private = {parties[a].keys.private("x").take(16).tobytes() for a in ALL}  # type: ignore[union-attr]
    assert len(private) == 4 and not private & set(heads.values())
    dora, bob = parties["dora"], parties["bob"]
    assert isinstance(dora, Party) and isinstance(bob, Party)
    assert dora.index == -1 and (bob.index, bob.n, bob.peer(+1), bob.peer(-1)) == (1, 3, "carol", "alice")


def test_another_run_has_other_keys() -> None:
    def heads(seed: int) -> set[bytes]:
        parties = meet(lambda name: {"entropy": entropy(name, seed)})
        return {p.keys.common("alice", "x").take(16).tobytes() for n, p in parties.items() if n != "alice"}  # type: ignore[union-attr]

    assert not heads(0) & heads(1)
    only_bob = meet(lambda name: {"entropy": entropy(name, int(name == "bob"))})
    assert only_bob["carol"].sid != meet()["carol"].sid  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("option", "word"), [("job", "another program or job"), ("roster", "another list of parties")]
)
@pytest.mark.parametrize("odd", ALL)
def test_a_different_configuration_is_refused_at_everyone_and_named(option: str, word: str, odd: str) -> None:
    got = meet(lambda name: {option: b"q" * 32} if name == odd else {})
    for name, error in got.items():
        assert isinstance(error, PeerIncompatible), (name, error)
        # Whoever notices first tells the others; the odd one itself may be that, and then only reports.
        assert error.party != name
        assert name == odd or odd in (error.party, *str(error).replace(")", " ").split()), (name, str(error))
    assert any(word in str(e) and "configuration mismatch" in str(e) for e in got.values())


def test_another_network_is_refused_before_any_message_of_the_protocol() -> None:
    far = Network("wan", 40_000, 12_500_000)
    # The same name with other numbers, or other numbers that are worth as much, are another network all the same.
    for other in (LOOPBACK, Network("wan", 20_000, 25_000_000), Network("else", 40_000, 12_500_000)):
        hub = Hub(ALL, record=True)
        got = meet(lambda name, other=other: {"network": other if name == "bob" else far}, hub=hub)
        assert all(isinstance(error, PeerIncompatible) for error in got.values())
        assert "another network to choose variants for" in str(got["bob"])
        assert {r.label for r in hub.records} == {"hello"}
    agreed = meet(lambda name: {"network": far})
    assert {p.network for p in agreed.values() if isinstance(p, Party)} == {far}


def _change_hello(field: str, value: Any) -> Callable[[Record], list[bytes] | None]:
    def tamper(r: Record) -> list[bytes] | None:
        if r.sender != "bob" or r.label != "hello":
            return None
        hello = codec.decode(r.payload)
        assert isinstance(hello, dict)
        return [codec.encode({**hello, field: value} if value is not ... else {"other": 1})]

    return tamper


@pytest.mark.parametrize(
    ("field", "value", "kind", "word"),
    [
        ("v", 1, PeerIncompatible, "wire version 1"),
        ("v", ..., PeerIncompatible, "does not speak this version"),
        ("extra", 1, PeerIncompatible, "does not speak this version"),
        ("job", 5, PeerIncompatible, "malformed"),
        ("nonce", b"short", PeerMisbehaved, "malformed hello"),
        ("key", "text", PeerMisbehaved, "malformed hello"),
    ],
)
def test_a_hello_that_is_not_one(field: str, value: Any, kind: type[PeerError], word: str) -> None:
    got = meet(tamper=_change_hello(field, value))
    for name in ("alice", "carol", "dora"):
        error = got[name]
        assert isinstance(error, kind) and error.party == "bob", (name, error)
    assert any(word in str(e) for e in got.values())


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")])
def test_a_point_of_small_order_ends_the_session(point: bytes) -> None:
    got = meet(tamper=_change_hello("key", point))
    assert not any(isinstance(p, Party) for p in got.values())
    assert any(isinstance(e, MaterialError | PeerError) and "point" in str(e) for e in got.values())


def test_a_point_of_small_order_names_the_peer() -> None:
    got = meet(tamper=_change_hello("key", bytes(32)))
    assert all(isinstance(got[n], PeerError) and got[n].party == "bob" for n in ("alice", "carol", "dora"))  # type: ignore[union-attr]


def test_a_hello_that_does_not_decode_names_the_peer() -> None:
    def tamper(r: Record) -> list[bytes] | None:
        return [b"\xff" * 9] if r.sender == "bob" and r.label == "hello" else None

    got = meet(tamper=tamper)
    assert all(isinstance(got[n], PeerError) and got[n].party == "bob" for n in ("alice", "carol", "dora"))  # type: ignore[union-attr]


def test_a_split_view_is_found_before_any_data() -> None:
    """Bob tells carol another nonce than alice: their session ids differ."""

    def tamper(r: Record) -> list[bytes] | None:
        if (r.sender, r.receiver, r.label) != ("bob", "carol", "hello"):
            return None
        hello = codec.decode(r.payload)
        assert isinstance(hello, dict)
        return [codec.encode({**hello, "nonce": b"n" * 32})]

    got = meet(tamper=tamper)
    assert not any(isinstance(p, Party) for p in got.values())
    assert isinstance(got["carol"], PeerMisbehaved) and "another session" in str(got["carol"])


def test_a_client_that_is_shown_two_sessions_notices() -> None:
    def tamper(r: Record) -> list[bytes] | None:
        return [bytes(32)] if (r.sender, r.receiver, r.label) == ("bob", "dora", "sid") else None

    got = meet(tamper=tamper)
    assert isinstance(got["dora"], PeerMisbehaved) and "another session" in str(got["dora"])


def test_a_changed_key_leaves_the_pair_without_a_common_stream() -> None:
    """A relay that swaps one public key gains no agreement: the two ends derive different keys."""
    from tacit.crypto.prg import Agreement

    other = Agreement(entropy("mallory"))

    def tamper(r: Record) -> list[bytes] | None:
        if (r.sender, r.receiver, r.label) != ("bob", "carol", "hello"):
            return None
        hello = codec.decode(r.payload)
        assert isinstance(hello, dict)
        return [codec.encode({**hello, "key": other.public})]

    got = meet(tamper=tamper)
    bob, carol = got["bob"], got["carol"]
    if isinstance(bob, Party) and isinstance(carol, Party):
        first, second = bob.keys.common("carol", "x"), carol.keys.common("bob", "x")
        assert first.take(16).tobytes() != second.take(16).tobytes()  # type: ignore[attr-defined]
