"""Offers: commitments, encrypted parts and proofs as one message, with the complaint against a bad part.

A part travels encrypted inside the signed broadcast, so there is no private message that somebody could deny.
Whoever cannot use its part shows the one Diffie-Hellman value that opens it: then everybody sees whether the
sender or the complainer lied (as in publicly verifiable key generation, Fouque and Stern, PKC 2001). An
honest person's part to an honest person is never shown, since an honest sender's part always fits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tacit.crypto.box import Box, Opening, decode_box, open_box, open_shown, opening_holds, seal_to, show
from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Element, Group, Randomness, Scalar
from tacit.crypto.hashing import digest
from tacit.errors import DataError
from tacit.report.sums import Commitments, Dealt, Part, deal, part_fits

Prove = Callable[[Dealt, Commitments, bytes], list[bytes]]
Accept = Callable[[Commitments, Sequence[bytes], bytes], bool]


@dataclass(frozen=True, slots=True)
class Stage:
    """The public frame of one sum: session, round, cells of each slot, and everybody's encryption key."""

    group: Group
    session: bytes
    number: int
    widths: tuple[int, ...]
    keys: tuple[Element, ...]

    def context(self, sender: int) -> bytes:
        """Return what every proof of `sender` in this stage is bound to."""
        widths = b"".join(w.to_bytes(4) for w in self.widths)
        return pack([self.session, self.number.to_bytes(4), sender.to_bytes(2), widths])

    def box_context(self, sender: int, recipient: int, commitments: Sequence[bytes]) -> bytes:
        """Return what a part's encryption is bound to: also the commitments that it must fit."""
        return pack([self.context(sender), recipient.to_bytes(2), digest("report/commitments", *commitments)])


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer as everybody reads it."""

    commitments: Commitments
    encoded: tuple[bytes, ...]
    boxes: tuple[Box | None, ...]
    proofs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Complaint:
    """The claim that the part which `accused` sent does not fit, with what everybody needs to check it."""

    accused: int
    opening: Opening = field(repr=False)


def encode_parts(parts: Sequence[Part]) -> bytes:
    """Write one part a slot: cells, then blind, all of fixed length."""
    return b"".join(scalar.encode() for part in parts for scalar in (*part.cells, part.blind))


def decode_parts(group: Group, widths: Sequence[int], data: bytes) -> tuple[Part, ...]:
    """Read one part a slot; DataError for another length or an unreduced scalar."""
    size = group.scalar_bytes
    if len(data) != size * sum(w + 1 for w in widths):
        raise DataError("parts have another length than the slots")
    scalars = [group.decode_scalar(data[i : i + size]) for i in range(0, len(data), size)]
    parts, position = [], 0
    for width in widths:
        parts.append(Part(tuple(scalars[position : position + width]), scalars[position + width]))
        position += width + 1
    return tuple(parts)


def make_offer(
    stage: Stage, me: int, contribution: Sequence[tuple[Scalar, ...]], prove: Prove, randomness: Randomness
) -> tuple[bytes, Dealt]:
    """Return the message to broadcast and the secret to keep."""
    dealt, commitments = deal(stage.group, contribution, len(stage.keys), randomness)
    encoded = [element.encode() for slot in commitments for element in slot]
    boxes = []
    for person, key in enumerate(stage.keys):
        if person == me:
            boxes.append(b"")
            continue
        parts = encode_parts([slot[person] for slot in dealt.parts])
        boxes.append(seal_to(key, parts, stage.box_context(me, person, encoded), randomness).encode())
    proofs = prove(dealt, commitments, stage.context(me))
    return pack([pack(encoded), pack(boxes), pack(proofs)]), dealt


def read_offer(stage: Stage, sender: int, body: bytes) -> Offer:
    """Read an offer; DataError if anything in it is not as everybody can check (its proof: `accept`)."""
    people = len(stage.keys)
    flat, boxes, proofs = unpack(body, 3)
    encoded = unpack(flat, people * len(stage.widths))
    elements = [stage.group.decode_element(data) for data in encoded]
    commitments = tuple(tuple(elements[i : i + people]) for i in range(0, len(elements), people))
    sealed: list[Box | None] = []
    for person, data in enumerate(unpack(boxes, people)):
        if person == sender:
            if data:
                raise DataError("an offer contains a box for its own sender")
            sealed.append(None)
        else:
            sealed.append(decode_box(stage.keys[person], data, stage.box_context(sender, person, encoded)))
    return Offer(commitments, tuple(encoded), tuple(sealed), tuple(unpack(proofs)))


def _fitting(stage: Stage, offer: Offer, recipient: int, data: bytes) -> tuple[Part, ...]:
    parts = decode_parts(stage.group, stage.widths, data)
    if not all(part_fits(slot[recipient], part) for slot, part in zip(offer.commitments, parts, strict=True)):
        raise DataError("a part does not fit its commitment")
    return parts


def _box_of(offer: Offer, recipient: int) -> Box:
    box = offer.boxes[recipient]
    if box is None:
        raise DataError("nobody gets a part from itself")
    return box


def receive_parts(stage: Stage, offer: Offer, sender: int, me: int, secret: Scalar) -> tuple[Part, ...]:
    """Decrypt and check my part; DataError means: complain."""
    context = stage.box_context(sender, me, offer.encoded)
    return _fitting(stage, offer, me, open_box(secret, _box_of(offer, me), context))


def complain(
    stage: Stage, offer: Offer, accused: int, me: int, secret: Scalar, randomness: Randomness
) -> Complaint:
    """Show what lets everybody open the part that `accused` sent me."""
    context = stage.box_context(accused, me, offer.encoded)
    return Complaint(accused, show(secret, _box_of(offer, me), context, randomness))


def complaint_is_just(stage: Stage, offer: Offer, complainer: int, complaint: Complaint) -> bool:
    """Decide a complaint, alike at everybody: True blames the accused, False the complainer."""
    key, box = stage.keys[complainer], _box_of(offer, complainer)
    context = stage.box_context(complaint.accused, complainer, offer.encoded)
    if not opening_holds(key, box, complaint.opening, context):
        return False
    try:
        _fitting(stage, offer, complainer, open_shown(key, box, complaint.opening, context))
    except DataError:
        return True
    return False


def encode_complaint(complaint: Complaint) -> bytes:
    """Write a complaint."""
    opening = complaint.opening
    return pack([complaint.accused.to_bytes(2), opening.shared.encode(), opening.proof])


def decode_complaint(group: Group, people: int, complainer: int, data: bytes) -> Complaint:
    """Read a complaint against somebody else."""
    accused, shared, proof = unpack(data, 3)
    number = int.from_bytes(accused)
    if len(accused) != 2 or number >= people or number == complainer:
        raise DataError("a complaint accuses nobody who takes part")
    return Complaint(number, Opening(group.decode_element(shared), proof))
