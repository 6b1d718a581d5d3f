"""Signed messages between members, and the inbox that sorts what arrives.

Every message carries session, step, sender and receiver under the sender's Ed25519 signature. So a member
who sends two different messages in one place, or a wrong share, leaves a proof that everyone can check; and
what a stranger, another session or a forger sends is dropped without blaming anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tacit.crypto.hashing import digest
from tacit.crypto.signing import SigningKey, is_signed
from tacit.errors import DataError, PeerMisbehaved
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.keys import check_identifiers

EVERYONE = 0
_DOMAIN = "threshold/envelope"


@dataclass(frozen=True, slots=True)
class Member:
    """Name a participant: identifier in the protocol, name for people, Ed25519 key for messages."""

    identifier: int
    name: str
    public: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """Hold what all participants agree on before the first message: the session's id and its members."""

    sid: bytes
    members: Mapping[int, Member]

    def __post_init__(self) -> None:
        check_identifiers(tuple(self.members))
        if len(self.sid) != 32:
            raise DataError("a session id has 32 bytes")
        if any(i != m.identifier for i, m in self.members.items()):
            raise DataError("a member is listed under another identifier")
        for distinct in ({m.name for m in self.members.values()}, {m.public for m in self.members.values()}):
            if len(distinct) != len(self.members):
                raise DataError("two members share a name or a key")

    def names(self, identifiers: Iterable[int]) -> list[str]:
        """Return the names of some members."""
        return [self.members[i].name for i in sorted(identifiers)]

    def blame(self, culprit: int, what: str) -> PeerMisbehaved:
        """Return the error that names a member and what it did."""
        name = self.members[culprit].name
        return PeerMisbehaved(f"{name} {what}", [name])


def session_id(
    purpose: str, parameters: Iterable[bytes], members: Iterable[Member], nonces: Iterable[bytes]
) -> bytes:
    """Derive a session id from purpose, parameters, ordered members and everybody's fresh 32-byte nonce."""
    ordered = sorted(members, key=lambda m: m.identifier)
    listed = pack(pack((m.identifier.to_bytes(2, "big"), m.name.encode(), m.public)) for m in ordered)
    return digest("threshold/session", purpose.encode(), pack(parameters), listed, pack(nonces))


@dataclass(frozen=True, slots=True)
class Envelope:
    """Carry one signed message; ``receiver`` is EVERYONE for what all must see alike."""

    sid: bytes
    step: str
    sender: int
    receiver: int
    body: bytes = field(repr=False)  # a share to one receiver is secret
    signature: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the message for a link or a file."""
        ends = self.sender.to_bytes(2, "big") + self.receiver.to_bytes(2, "big")
        return pack((self.sid, self.step.encode(), ends, self.body, self.signature))

    @staticmethod
    def decode(data: bytes) -> Envelope:
        """Read a message; says nothing of its signature. Raises DataError."""
        sid, step, ends, body, signature = unpack(data, 5)
        if len(ends) != 4 or len(sid) != 32 or len(step) > 40 or not step.isascii():
            raise DataError("this is not a message of a threshold protocol")
        sender, receiver = int.from_bytes(ends[:2], "big"), int.from_bytes(ends[2:], "big")
        return Envelope(sid, step.decode(), sender, receiver, body, signature)

    @property
    def place(self) -> tuple[str, int, int]:
        """Return where in the session this message belongs."""
        return self.step, self.sender, self.receiver


def body_hash(body: bytes) -> bytes:
    """Return what is signed in place of a body, so that an echo can be short."""
    return digest("threshold/body", body)


def _signed_fields(sid: bytes, step: str, sender: int, receiver: int, hashed: bytes) -> tuple[bytes, ...]:
    return sid, step.encode(), sender.to_bytes(2, "big"), receiver.to_bytes(2, "big"), hashed


def seal_envelope(
    key: SigningKey, sid: bytes, step: str, sender: int, receiver: int, body: bytes
) -> Envelope:
    """Sign a message."""
    signature = key.sign(_DOMAIN, *_signed_fields(sid, step, sender, receiver, body_hash(body)))
    return Envelope(sid, step, sender, receiver, body, signature)


def is_hash_signed(session: Session, step: str, sender: int, hashed: bytes, signature: bytes) -> bool:
    """Say whether a member signed a message to everyone with this body hash."""
    fields = _signed_fields(session.sid, step, sender, EVERYONE, hashed)
    return is_signed(session.members[sender].public, signature, _DOMAIN, *fields)


def is_authentic(session: Session, envelope: Envelope) -> bool:
    """Say whether an envelope is of this session and signed by the member it names."""
    member = session.members.get(envelope.sender)
    if member is None or envelope.sid != session.sid:
        return False
    hashed = body_hash(envelope.body)
    fields = _signed_fields(envelope.sid, envelope.step, envelope.sender, envelope.receiver, hashed)
    return is_signed(member.public, envelope.signature, _DOMAIN, *fields)


@dataclass(frozen=True, slots=True)
class Inbox:
    """Keep at most one message for each place of a session, in whatever order they come."""

    session: Session
    me: int
    steps: frozenset[str]
    held: Mapping[tuple[str, int, int], Envelope] = field(default_factory=dict)

    def accept(self, envelopes: Iterable[Envelope]) -> Inbox:
        """Take messages in; drop what is foreign, forged or repeated.

        Raises PeerMisbehaved for a member who signed two different messages for one place.
        """
        held = dict(self.held)
        for envelope in envelopes:
            if envelope.receiver not in (EVERYONE, self.me) or envelope.step not in self.steps:
                continue
            if not is_authentic(self.session, envelope):
                continue
            earlier = held.setdefault(envelope.place, envelope)
            if earlier.body != envelope.body:
                raise self.session.blame(
                    envelope.sender, f"signed two different messages for step {envelope.step}"
                )
        return replace(self, held=held)

    def from_all(self, step: str, senders: Iterable[int], receiver: int) -> dict[int, Envelope] | None:
        """Return the messages of one step by sender, or None while one is missing."""
        found = {}
        for sender in senders:
            envelope = self.held.get((step, sender, receiver))
            if envelope is None:
                return None
            found[sender] = envelope
        return found

    def missing(self, step: str, senders: Iterable[int], receiver: int) -> list[int]:
        """Return the members whose message of a step has not come."""
        return [sender for sender in senders if (step, sender, receiver) not in self.held]
