"""The two messages of a vault: a signed request to open, and a member's signed approval."""

from __future__ import annotations

from dataclasses import dataclass, field

from tacit.crypto.encoding import pack, unpack
from tacit.crypto.hashing import digest
from tacit.crypto.sigma import signature_holds
from tacit.crypto.signing import is_signed
from tacit.errors import DataError
from tacit.threshold.keys import GroupKey

NORMAL, EMERGENCY, NOTICE = "normal", "emergency", "notice"
PARTS = {NORMAL: (NORMAL,), EMERGENCY: (EMERGENCY, NOTICE)}
"""Which parts each way of opening needs."""
MAX_TEXT = 2_000


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants to open which file, how, why, until when; signed by the requester."""

    header: bytes
    record: str
    way: str
    requester: str
    reason: str
    issued_s: int
    expires_s: int
    reply: bytes
    nonce: bytes
    keys: bytes
    public: bytes
    signature: bytes = field(repr=False)

    def fields(self) -> list[bytes]:
        """Return everything that is signed."""
        times = self.issued_s.to_bytes(8) + self.expires_s.to_bytes(8)
        texts = [text.encode() for text in (self.record, self.way, self.requester, self.reason)]
        return [self.header, *texts, times, self.reply, self.nonce, self.keys, self.public]

    def encode(self) -> bytes:
        """Write the request."""
        return pack([*self.fields(), self.signature])

    @staticmethod
    def decode(data: bytes) -> Request:
        """Read a request; DataError unless it is well-formed and signed with the key it states."""
        header, record, way, requester, reason, times, reply, nonce, keys, public, signature = unpack(
            data, 11
        )
        try:
            texts = [text.decode() for text in (record, way, requester, reason)]
        except UnicodeDecodeError:
            raise DataError("a request is not text") from None
        sizes = [len(field) for field in (header, times, nonce, keys)]
        if sizes != [32, 16, 32, 32] or any(len(t) > MAX_TEXT for t in texts):
            raise DataError("a request has fields of the wrong size")
        if not all(text.isprintable() and text.strip() for text in texts) or texts[1] not in PARTS:
            raise DataError("a request leaves something out, or contains characters that cannot be shown")
        issued, expires = int.from_bytes(times[:8]), int.from_bytes(times[8:])
        words = (texts[0], texts[1], texts[2], texts[3])
        out = Request(header, *words, issued, expires, reply, nonce, keys, public, signature)
        if not is_signed(public, signature, "vault/request", *out.fields()):
            raise DataError("a request is not signed by the requester it names")
        return out

    def digest(self) -> bytes:
        """Return what approvals are bound to."""
        return digest("vault/request/digest", *self.fields(), self.signature)


@dataclass(frozen=True, slots=True)
class Approval:
    """One member's answer for one part: sealed to the requester, signed with the member's key share."""

    part: str
    identifier: int
    request: bytes
    box: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Write the approval."""
        return pack([self.part.encode(), self.identifier.to_bytes(2), self.request, self.box, self.signature])

    @staticmethod
    def decode(data: bytes) -> Approval:
        """Read an approval; says nothing of its truth."""
        part, identifier, request, box, signature = unpack(data, 5)
        name = part.decode(errors="replace")
        if name not in (NORMAL, EMERGENCY, NOTICE) or len(identifier) != 2 or len(request) != 32:
            raise DataError("this is not an approval")
        return Approval(name, int.from_bytes(identifier), request, box, signature)

    def is_signed(self, group_key: GroupKey) -> bool:
        """Say whether the member it names made it; nobody is blamed for a stranger's forgery."""
        public = group_key.shares.get(self.identifier)
        return public is not None and signature_holds(
            public, self.signed_bytes(), b"vault/approval", self.signature
        )

    def signed_bytes(self) -> bytes:
        """Return what the signature covers."""
        return pack([self.part.encode(), self.identifier.to_bytes(2), self.request, self.box])
