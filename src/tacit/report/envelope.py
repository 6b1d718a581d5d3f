"""Signed messages of a reporting session: what makes an equivocation provable and a stranger powerless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Group
from tacit.crypto.hashing import digest
from tacit.crypto.signing import PUBLIC_BYTES, SigningKey, is_signed
from tacit.errors import DataError, UsageError

MAIN, SHOW, RELAY = 0, 1, 2
MIN_PEOPLE, MAX_PEOPLE = 3, 64


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who takes part: a name and the Ed25519 key that checks this person's signatures."""

    name: str
    public: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """One signed message; `number` counts the rounds, `kind` is MAIN, SHOW or RELAY."""

    number: int
    kind: int
    sender: int
    body: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the bytes that travel."""
        return pack([_head(self.number, self.kind, self.sender), self.body, self.signature])


@dataclass(frozen=True, slots=True)
class Circle:
    """Who takes part in which session. `invitation` must be fresh: nobody may sign under one twice."""

    group: Group
    members: tuple[Member, ...]
    invitation: bytes

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        keys = {member.public for member in self.members}
        if not MIN_PEOPLE <= len(names) <= MAX_PEOPLE:
            raise UsageError(
                f"anonymous reporting takes {MIN_PEOPLE} to {MAX_PEOPLE} people, not {len(names)}"
            )
        if len(set(names)) != len(names) or len(keys) != len(names):
            raise UsageError("two members have the same name or the same key")
        if any(len(key) != PUBLIC_BYTES for key in keys):
            raise UsageError(f"a member's signing key has {PUBLIC_BYTES} bytes")
        if len(self.invitation) < 16:
            raise UsageError("an invitation has at least 16 fresh random bytes")

    @property
    def tag(self) -> bytes:
        """Return the hash that binds every signature to this session and this list of people."""
        people = [pack([m.name.encode(), m.public]) for m in self.members]
        return digest("report/circle", self.group.name.encode(), self.invitation, *people)

    @property
    def size(self) -> int:
        """Return the number of people."""
        return len(self.members)

    def names(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """Return names for numbers."""
        return tuple(self.members[i].name for i in numbers)


def _head(number: int, kind: int, sender: int) -> bytes:
    return number.to_bytes(4) + bytes([kind]) + sender.to_bytes(2)


def seal_envelope(
    circle: Circle, key: SigningKey, number: int, kind: int, sender: int, body: bytes
) -> Envelope:
    """Sign a message of this session."""
    signature = key.sign("report/envelope", circle.tag, _head(number, kind, sender), body)
    return Envelope(number, kind, sender, body, signature)


def open_envelope(circle: Circle, data: bytes) -> Envelope:
    """Read a message; DataError if no member of this session signed it."""
    head, body, signature = unpack(data, 3)
    if len(head) != 7:
        raise DataError("a message has a malformed head")
    number, kind, sender = int.from_bytes(head[:4]), head[4], int.from_bytes(head[5:])
    if kind not in (MAIN, SHOW, RELAY) or sender >= circle.size:
        raise DataError("a message is of an unknown kind or from a stranger")
    if not is_signed(circle.members[sender].public, signature, "report/envelope", circle.tag, head, body):
        raise DataError("a message is not signed by its sender for this session")
    return Envelope(number, kind, sender, body, signature)


def fingerprint(envelope: Envelope) -> bytes:
    """Return what a confirmation says about a message: a hash of what was signed."""
    head = _head(envelope.number, envelope.kind, envelope.sender)
    return digest("report/fingerprint", head, envelope.body)
