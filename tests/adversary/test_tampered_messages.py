"""Every message of a small program is changed in turn: every party ends, and ends cleanly.

Semi-honest protocols promise no correctness against this. Promised: no hang, no error of an unforeseen kind, no
value in an error, and a message of another size, label or number is refused where it arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.core.rows import Column
from tacit.errors import Desync, InternalError, PeerError, PeerMisbehaved, PeerUnavailable, TacitError
from tacit.gadgets import sort
from tacit.gadgets.waves import Series, Waves
from tacit.net.memory import Hub, Record
from tacit.testing import NAMES

CANARIES = (918273645, 192837465)
SETTINGS = testing.settings(2)
Key = tuple[str, str, int]


def program(p: Any) -> Any:
    """Touch every kind of message once."""
    ring, me = p.ring, p.party.name
    x = p.share_input("carl", ring.encode_ints([CANARIES[0]] * 3) if me == "carl" else None, (3,))
    y = p.share_input("bob", ring.encode_ints([CANARIES[1]] * 3) if me == "bob" else None, (3,))
    b = p.share_bits("alice", np.ones(3, np.uint8) if me == "alice" else None, (3,))
    z = p.mul_trunc(p.trunc(x, 16), p.trunc_exact(y, 16), 4)
    z = p.add(p.select(p.sign(z, 40), z), p.mul(x, y))
    z = p.matmul(z.reshape(1, 3), z.reshape(3, 1))
    bits = p.and_(p.decompose(z.reshape(1), 4), p.decompose(z.reshape(1), 4))
    z = p.add(z.reshape(1), p.to_arith(bits)[0])
    if p.offers("factored"):
        z = p.factored(z, Waves(Series(0.0, (0.5,), (0.75,)), 1 << 40, 20, 12, 48, 20))
        bits = p.below(z, 40, (30, 10))
        narrow, z = p.over(Ring(48)), p.mul_early(z, z)
        z = p.matmul_early(z.reshape(1, -1), z.reshape(-1, 1)).reshape(1)
        z = p.select_trunc(p.sign(p.narrowed(z, 9), 40), z, 9)
        z = p.add(z, narrow.mul_into(*narrow.combine(bits, np.ones((2, 2), np.uint64), [48, 48]), 1, p.ring))
        low = p.over(Ring(20))
        y = low.add(p.mul_into(z, z, 9, low.ring), p.trunc_into(z, 9, low.ring))
        y = low.add(y, p.matmul_into(z.reshape(1, 1), z.reshape(1, 1), 9, low.ring).reshape(1))
        low.reveal(low.select_narrowed(p.sign(z, 40), p.narrowed(z, 9)), ["bob"])
        low.reveal(y, ["carl", "alice"])
    p.is_zero(z, 20)
    return p.reveal(z, ["alice", "carl"]), p.reveal_bits(b, ["carl", "bob"])


class Trial:
    """One run under a tamper hook: what every participant ended with."""

    def __init__(
        self, protocol: str, n: int, dealer: str, tamper: Callable[[Record], list[bytes] | None] | None
    ) -> None:
        names = (*NAMES[:n], "carl", *((dealer,) if dealer else ()))
        self.ended: dict[str, Any] = {}
        self.hub = Hub(names, timeout_s=20, record=True, tamper=tamper)
        self.error: BaseException | None = None

        def body(p: Any) -> None:
            try:
                self.ended[p.party.name] = program(p)
            except BaseException as error:
                self.ended[p.party.name] = error
                raise

        try:
            testing.run(protocol, 64, body, n=n, clients=("carl",), dealer=dealer, hub=self.hub)
        except TacitError as error:
            self.error = error
        assert set(self.ended) == set(names), "a party did not end"

    def check(self) -> None:
        """Raise AssertionError unless every participant ended cleanly."""
        for name, end in self.ended.items():
            if isinstance(end, BaseException):
                assert isinstance(end, PeerError), f"{name}: {end!r}"
                text = " ".join((str(end), *getattr(end, "__notes__", ())))
                for value in CANARIES:
                    assert str(value) not in text and f"{value:x}" not in text
        if self.error is not None:
            assert isinstance(self.error, PeerError), repr(self.error)


def messages(protocol: str, n: int, dealer: str) -> list[Record]:
    return Trial(protocol, n, dealer, None).hub.records


def at(target: Record, change: Callable[[Record], list[bytes]]) -> Callable[[Record], list[bytes] | None]:
    def tamper(r: Record) -> list[bytes] | None:
        same = (r.sender, r.receiver, r.seq) == (target.sender, target.receiver, target.seq)
        return change(r) if same else None

    return tamper


def _flip(r: Record) -> list[bytes]:
    middle = len(r.payload) // 2
    return [r.payload[:middle] + bytes([r.payload[middle] ^ 0x10]) + r.payload[middle + 1 :]]


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_flipped_bits_end_cleanly(protocol: str, n: int, dealer: str) -> None:
    for r in messages(protocol, n, dealer):
        trial = Trial(protocol, n, dealer, at(r, _flip))
        trial.check()
        assert trial.error is None  # sizes are right, so nobody can notice: correctness is not promised


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
@pytest.mark.parametrize("change", ["shorter", "longer", "empty", "twice"])
def test_other_sizes_and_repeats_are_refused_on_arrival(
    protocol: str, n: int, dealer: str, change: str
) -> None:
    alter: dict[str, Callable[[Record], list[bytes]]] = {
        "shorter": lambda r: [r.payload[:-1]],
        "longer": lambda r: [r.payload + b"\0"],
        "empty": lambda r: [b""],
        "twice": lambda r: [r.payload, r.payload],
    }
    records = messages(protocol, n, dealer)
    last = {(r.sender, r.receiver): r.seq for r in records}
    for r in records:
        trial = Trial(protocol, n, dealer, at(r, alter[change]))
        trial.check()
        if change == "twice" and last[r.sender, r.receiver] == r.seq:
            continue  # nothing is read after it
        assert isinstance(trial.error, Desync), f"{r.sender} to {r.receiver}: {r.label}"
        assert trial.error.party == r.sender and r.receiver in str(trial.error)
        if change != "twice":
            assert f"{r.label!r}" in str(trial.error)


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_dropped_messages_are_noticed(protocol: str, n: int, dealer: str) -> None:
    for r in messages(protocol, n, dealer):
        trial = Trial(protocol, n, dealer, at(r, lambda r: []))
        trial.check()
        assert isinstance(trial.error, Desync | PeerUnavailable), f"{r.sender} to {r.receiver}: {r.label}"
        assert trial.error.party == r.sender or isinstance(trial.error, PeerUnavailable)


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_exchanged_contents_end_cleanly(protocol: str, n: int, dealer: str) -> None:
    """Each message carries what the next one of its link, and what another link's message, carried."""
    records = messages(protocol, n, dealer)
    for i, r in enumerate(records):
        for other in {records[(i + 1) % len(records)].payload, records[i - len(records) // 2].payload}:
            trial = Trial(protocol, n, dealer, at(r, lambda _, other=other: [other]))  # type: ignore[misc]
            trial.check()
            assert (trial.error is None) == (len(other) == len(r.payload))
            assert trial.error is None or isinstance(trial.error, Desync)


def test_parties_that_run_different_programs_stop_at_the_first_step_that_differs() -> None:
    def body(p: Any) -> None:
        x = testing.scatter(p, Ring(64).constant(CANARIES[0], (4, 4)))
        if p.party.name == "carol":
            p.matmul(x, x)
        else:
            p.mul(x, x)

    with pytest.raises(Desync) as info:
        testing.run("rep3", 64, body)
    assert "rep3.mul" in str(info.value) and "rep3.matmul" in str(info.value)

    def shapes(p: Any) -> None:
        x = testing.scatter(p, Ring(64).constant(1, (3 if p.party.name == "bob" else 4,)))
        p.mul(x, x)

    with pytest.raises(Desync, match="24 bytes"):
        testing.run("rep3", 64, shapes)


def test_a_party_that_stops_is_named_to_the_others() -> None:
    seen: dict[str, BaseException] = {}

    def body(p: Any) -> None:
        x = testing.scatter(p, Ring(64).constant(CANARIES[0], (4,)))
        if p.party.name == "bob":
            raise InternalError("planted")
        try:
            p.mul_trunc(p.mul(x, x), x, 3)
        except TacitError as error:
            seen[p.party.name] = error
            raise

    with pytest.raises(InternalError, match="planted"):
        testing.run("rep3", 64, body)
    assert {name: e.party for name, e in seen.items()} == {"alice": "bob", "carol": "bob"}  # type: ignore[attr-defined]


# -- rows: what is opened under a shuffle is checked to be a permutation -----------------------------------------


def sorting(p: Any) -> Any:
    """Sort three keys of two bits, and take a column along."""
    ring, me = p.ring, p.party.name
    keys = p.share_input("carl", ring.encode_ints([2, 0, 1]) if me == "carl" else None, (3,))
    x = p.share_input("bob", ring.encode_ints([CANARIES[1]] * 3) if me == "bob" else None, (3,))
    column = Column(x.reshape(1, 3), ring)
    at = sort.order(p, p.decompose(keys, 2), 1, 3, step=1)
    (y,) = p.place(at, p.fetch(at, p.shuffle([column])))
    return p.reveal(y.share, ["alice", "carl"]), None


@pytest.mark.parametrize("change", ["flip", "shorter", "empty", "drop"])
def test_a_changed_message_of_a_sort_ends_cleanly(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "program", sorting)
    alter: dict[str, Callable[[Record], list[bytes]]] = {
        "flip": _flip,
        "shorter": lambda r: [r.payload[:-1]],
        "empty": lambda r: [b""],
        "drop": lambda r: [],
    }
    noticed = 0
    for r in messages("rep3", 3, ""):
        trial = Trial("rep3", 3, "", at(r, alter[change]))
        trial.check()
        if change == "flip":
            assert trial.error is None or isinstance(trial.error, PeerMisbehaved | PeerUnavailable | Desync)
            noticed += isinstance(trial.error, PeerMisbehaved)
        else:
            assert isinstance(trial.error, PeerError), f"{r.sender} to {r.receiver}: {r.label}"
    assert noticed or change != "flip"
