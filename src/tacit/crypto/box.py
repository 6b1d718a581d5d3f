"""Encryption to one holder of a group key, whose opening the holder can later prove to everybody.

Source: DHIES (Abdalla, Bellare and Rogaway, CT-RSA 2001): a fresh Diffie-Hellman value, hashed with both
public values and the context to a one-time key of an authenticated cipher. Proving an opening: the recipient
shows the Diffie-Hellman value with a proof that it is right (Chaum and Pedersen 1992), so anybody can decrypt
that one box.

The sender signs the box with its one-time key (Schnorr, in the same context). Without that, somebody could
send garbage under the one-time value of another person's box: showing the opening of the garbage would open
that other box too. With it, a sender knows the secret of its value, and an opening tells it nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass

from tacit.crypto.groups import Element, Randomness, Scalar
from tacit.crypto.hashing import digest
from tacit.crypto.sigma import Statement, element_bytes, equal_holds, prove_equal, sign, signature_holds
from tacit.crypto.stream import TAG_BYTES, open_bytes, seal_bytes
from tacit.errors import DataError


@dataclass(frozen=True, slots=True)
class Box:
    """An encrypted message: the sender's one-time value, its signature, the cipher text."""

    ephemeral: Element
    signature: bytes
    body: bytes

    def encode(self) -> bytes:
        """Return the element, the signature, then the body."""
        return self.ephemeral.encode() + self.signature + self.body


@dataclass(frozen=True, slots=True)
class Opening:
    """What a recipient shows to let everybody open one box: the Diffie-Hellman value and its proof."""

    shared: Element
    proof: bytes


def decode_box(recipient: Element, data: bytes, context: bytes) -> Box:
    """Read a box made for `recipient` in this context; DataError if its maker lacks its one-time secret."""
    group = recipient.group
    start, end = group.element_bytes, group.element_bytes + 2 * group.scalar_bytes
    if len(data) < end + TAG_BYTES:
        raise DataError("an encrypted message is too short")
    box = Box(group.decode_element(data[:start]), data[start:end], data[end:])
    if not signature_holds(box.ephemeral, _signed(recipient, box.body), b"box" + context, box.signature):
        raise DataError("an encrypted message was not made by its sender for this recipient and purpose")
    return box


def _signed(recipient: Element, body: bytes) -> bytes:
    return element_bytes(recipient) + body


def _key(box_ephemeral: Element, recipient: Element, shared: Element, context: bytes) -> bytes:
    fields = (element_bytes(e) for e in (box_ephemeral, recipient, shared))
    return digest("box/key", recipient.group.name.encode(), *fields, context)


def seal_to(recipient: Element, message: bytes, context: bytes, randomness: Randomness) -> Box:
    """Encrypt `message` so that only `recipient`'s secret opens it, and only in this context."""
    group = recipient.group
    r = group.random_scalar(randomness)
    ephemeral = group.base_mul(r)
    body = seal_bytes(_key(ephemeral, recipient, r * recipient, context), message)
    return Box(ephemeral, sign(r, _signed(recipient, body), b"box" + context, randomness), body)


def open_box(secret: Scalar, box: Box, context: bytes) -> bytes:
    """Decrypt a box; DataError if it is altered or meant for another key or context."""
    return open_bytes(
        _key(box.ephemeral, secret.group.base_mul(secret), secret * box.ephemeral, context), box.body
    )


def _statements(recipient: Element, box: Box, shared: Element) -> list[Statement]:
    return [Statement(recipient.group.generator, recipient), Statement(box.ephemeral, shared)]


def show(secret: Scalar, box: Box, context: bytes, randomness: Randomness) -> Opening:
    """Return what everybody needs to decrypt this box and no other."""
    shared = secret * box.ephemeral
    statements = _statements(secret.group.base_mul(secret), box, shared)
    return Opening(shared, prove_equal(secret, statements, b"box/show" + context, randomness))


def opening_holds(recipient: Element, box: Box, opening: Opening, context: bytes) -> bool:
    """Say whether an opening is the right one."""
    return equal_holds(_statements(recipient, box, opening.shared), b"box/show" + context, opening.proof)


def open_shown(recipient: Element, box: Box, opening: Opening, context: bytes) -> bytes:
    """Decrypt a box with a verified opening; DataError if the sender had sealed nonsense."""
    return open_bytes(_key(box.ephemeral, recipient, opening.shared, context), box.body)
