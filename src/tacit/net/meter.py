"""Counters of one party's traffic: what protocol cards and cost tests are checked against."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace


@dataclass(slots=True)
class Traffic:
    """Counts for one peer; wire bytes include headers, labels and, over TLS, the cost of encryption."""

    payload_sent: int = 0
    payload_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    wire_sent: int = 0
    wire_received: int = 0

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(Traffic)))

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Traffic)))


@dataclass(slots=True)
class Sends:
    """How often a label was sent, and its payload bytes in all."""

    count: int = 0
    payload: int = 0

    def __sub__(self, other: Sends) -> Sends:
        return Sends(self.count - other.count, self.payload - other.payload)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A meter's state at one moment, or the difference of two (`later - earlier`)."""

    rounds: int
    peers: Mapping[str, Traffic]
    sends: Mapping[str, Sends]

    @property
    def total(self) -> Traffic:
        """Return the sum over all peers."""
        return sum(self.peers.values(), Traffic())

    def __sub__(self, earlier: Snapshot) -> Snapshot:
        zero, none = Traffic(), Sends()
        sends = {label: s - earlier.sends.get(label, none) for label, s in self.sends.items()}
        return Snapshot(
            self.rounds - earlier.rounds,
            {p: t - earlier.peers.get(p, zero) for p, t in self.peers.items()},
            {label: s for label, s in sends.items() if s.count},
        )


@dataclass(slots=True, init=False)
class Meter:
    """Running counters of one mesh; `rounds` is the causal depth (the longest chain of messages so far)."""

    rounds: int
    peers: dict[str, Traffic]
    sends: defaultdict[str, Sends]

    def __init__(self, peers: tuple[str, ...]) -> None:
        self.rounds = 0
        self.peers = {p: Traffic() for p in peers}
        self.sends = defaultdict(Sends)

    @property
    def total(self) -> Traffic:
        """Return the sum over all peers."""
        return sum(self.peers.values(), Traffic())

    def snapshot(self) -> Snapshot:
        """Return an independent copy of all counters."""
        return Snapshot(
            self.rounds,
            {p: replace(t) for p, t in self.peers.items()},
            {label: replace(s) for label, s in self.sends.items()},
        )

    def count_send(self, peer: Traffic, label: str, nbytes: int) -> int:
        """Count one queued message; return how many went to that peer before it."""
        before = peer.frames_sent
        peer.frames_sent = before + 1
        peer.payload_sent += nbytes
        sends = self.sends[label]
        sends.count += 1
        sends.payload += nbytes
        return before

    def count_receive(self, peer: Traffic, depth: int, nbytes: int) -> None:
        """Count one received message and take over its depth."""
        peer.payload_received += nbytes
        peer.frames_received += 1
        if depth > self.rounds:
            self.rounds = depth
