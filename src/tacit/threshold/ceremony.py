"""From an order to a signature: approvals, signature shares and their aggregation, as signed documents.

(1) Each person looks at the rendered order and signs an approval (or a refusal); holders of a key share add
a FROST nonce commitment. (2) Each holder checks all approvals against the rule and gives a signature share.
(3) Anyone adds the shares up. What is signed under the group's key is the order's bytes, so ordinary
verifiers can check them.

The rule binds because every honest holder applies it before giving a share; t holders who collude need no
rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tacit.crypto.groups import Randomness
from tacit.crypto.hashing import digest
from tacit.crypto.signing import SigningKey, is_signed
from tacit.errors import DataError, NotApproved, PeerMisbehaved, PolicyViolation, UsageError
from tacit.threshold import frost
from tacit.threshold.frost import Commitment
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.nonces import NonceStore
from tacit.threshold.order import decode_canonical, encode_canonical, render
from tacit.threshold.policy import Directory, Order, check_order, decide, format_time, parse_time

_APPROVAL, _PART = "tacit-approval-1", "tacit-part-1"
APPROVE, REFUSE = "approve", "refuse"


@dataclass(frozen=True, slots=True)
class Approval:
    """Hold one person's signed decision about one order."""

    data: bytes
    person: str
    decision: str
    order: bytes
    time: datetime
    commitment: Commitment | None
    head: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Hold one holder's signed signature share."""

    data: bytes
    person: str
    order: bytes
    package: bytes
    share: bytes


def _signed(key: SigningKey, body: dict[str, Any]) -> bytes:
    signature = key.sign(body["format"], encode_canonical(body))
    return encode_canonical({**body, "signature": signature.hex()})


def _read_signed(data: bytes, form: str, fields: set[str], directory: Directory) -> dict[str, Any]:
    """Read a signed document and check form and signature. Raises DataError."""
    document = decode_canonical(data)
    if not isinstance(document, dict) or set(document) != fields | {"format", "person", "signature"}:
        raise DataError(f"this is not a document of the form {form}")
    if any(not isinstance(value, str) for value in document.values()) or document["format"] != form:
        raise DataError(f"this is not a document of the form {form}")
    person = directory.people.get(document["person"])
    body = {k: v for k, v in document.items() if k != "signature"}
    if person is None:
        raise DataError(f"{document['person']!r} is not in the directory")
    if not is_signed(person.public, _unhex(document["signature"]), form, encode_canonical(body)):
        raise DataError(f"the signature of {person.name} on this document is wrong")
    return body


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise DataError("a field is not written in hexadecimal") from error


def approve(
    order: Order,
    directory: Directory,
    group_key: GroupKey,
    person: str,
    key: SigningKey,
    decision: str,
    now: datetime,
    shown: str,
    head: bytes,
    holder: tuple[KeyShare, NonceStore, Randomness] | None = None,
) -> Approval:
    """Sign a decision. ``shown`` is what the person saw: it must be the rendering of the very bytes.

    ``head`` is the head of the person's log; a ``holder`` adds a nonce commitment, stored before it is told.
    """
    if shown != render(order.data):
        raise PolicyViolation("what was shown is not what would be signed")
    check_order(order, directory, group_key.fingerprint(), now)
    known = directory.people.get(person)
    if known is None or known.public != key.public:
        raise UsageError(f"this key does not belong to {person!r} in the directory")
    if decision not in (APPROVE, REFUSE):
        raise UsageError("a decision is approve or refuse")
    commitment = b""
    if holder is not None and decision == APPROVE:
        share, store, randomness = holder
        if share.name != person or share.group_key != group_key:
            raise UsageError("the key share belongs to another person or generation")
        nonces, sent = frost.commit(share, randomness)
        store.add(nonces)
        commitment = sent.encode()
    body = {
        "commitment": commitment.hex(),
        "decision": decision,
        "format": _APPROVAL,
        "head": head.hex(),
        "order": order.digest.hex(),
        "person": person,
        "time": format_time(now),
    }
    return read_approval(_signed(key, body), directory, group_key)


def read_approval(data: bytes, directory: Directory, group_key: GroupKey) -> Approval:
    """Read an approval and check its signature. Raises DataError."""
    fields = {"commitment", "decision", "head", "order", "time"}
    body = _read_signed(data, _APPROVAL, fields, directory)
    commitment = None
    if body["commitment"]:
        try:
            identifier = group_key.identifier_of(body["person"])
        except UsageError as error:
            raise DataError(f"{body['person']} holds no share of this key") from error
        commitment = Commitment.decode(group_key.suite, identifier, _unhex(body["commitment"]))
    if body["decision"] not in (APPROVE, REFUSE):
        raise DataError("a decision is approve or refuse")
    order, head = _unhex(body["order"]), _unhex(body["head"])
    return Approval(data, body["person"], body["decision"], order, parse_time(body["time"]), commitment, head)


def check_approvals(
    order: Order, approvals: Sequence[Approval], directory: Directory, group_key: GroupKey, now: datetime
) -> list[Commitment]:
    """Apply the rule to the approvals and return the commitments of those who will sign.

    Raises NotApproved, PolicyViolation, or UsageError if a person is listed twice.
    """
    rule = check_order(order, directory, group_key.fingerprint(), now)
    for approval in approvals:
        if read_approval(approval.data, directory, group_key) != approval:  # checks the signature, too
            raise UsageError("an approval was not read from its signed document")
        if approval.order != order.digest:
            raise PolicyViolation(f"{approval.person} approved another order")
        if approval.decision != APPROVE:
            raise NotApproved(f"{approval.person} refused this order")
        if not approval.time < order.expires:
            raise PolicyViolation(f"{approval.person} approved after the order expired")
    decide(rule, directory, [approval.person for approval in approvals])
    commitments = [a.commitment for a in approvals if a.commitment is not None]
    if len(commitments) < group_key.threshold:
        raise NotApproved(f"{group_key.threshold} holders of the key have to approve; {len(commitments)} did")
    return sorted(commitments, key=lambda c: c.identifier)


def package_digest(order: Order, group_key: GroupKey, commitments: Sequence[Commitment]) -> bytes:
    """Return the digest of what a signature share answers to: order, key and list of commitments."""
    listed = frost.encode_commitments(group_key.suite, commitments)
    return digest("threshold/package", order.digest, group_key.fingerprint(), listed)


def give_share(
    order: Order,
    approvals: Sequence[Approval],
    directory: Directory,
    share: KeyShare,
    key: SigningKey,
    store: NonceStore,
    now: datetime,
) -> Part:
    """Check everything again, take the nonces out of the store, for good, and give a signature share."""
    group_key = share.group_key
    commitments = check_approvals(order, approvals, directory, group_key, now)
    mine = [c for c in commitments if c.identifier == share.identifier]
    if not mine:
        raise UsageError("your own approval is not among these")
    package = package_digest(order, group_key, commitments)
    nonces = store.take(mine[0], group_key.suite, package)
    for approval in approvals:  # after one's own nonces: only what one really signs beside is remembered
        if approval.commitment is not None and approval.commitment.identifier != share.identifier:
            _refuse_reuse(approval, approval.commitment, store, package)
    z = frost.sign(share, nonces, order.data, commitments)
    body = {
        "format": _PART,
        "order": order.digest.hex(),
        "package": package.hex(),
        "person": share.name,
        "share": z.encode().hex(),
    }
    return read_part(_signed(key, body), directory)


def _refuse_reuse(approval: Approval, commitment: Commitment, store: NonceStore, package: bytes) -> None:
    """Refuse to sign beside a commitment that served something else before."""
    first = store.note(commitment, approval.order + package)
    if first[:32] != approval.order:
        raise PeerMisbehaved(
            f"{approval.person} signed the same nonce commitment for two orders: that machine was restored "
            "from an old state, or cheats; do not sign with it",
            [approval.person],
        )
    if first != approval.order + package:
        raise PolicyViolation(f"this approval of {approval.person} served another attempt; ask for a new one")


def read_part(data: bytes, directory: Directory) -> Part:
    """Read a signature share and check its sender's signature. Raises DataError."""
    body = _read_signed(data, _PART, {"order", "package", "share"}, directory)
    order, package, share = (_unhex(body[name]) for name in ("order", "package", "share"))
    return Part(data, body["person"], order, package, share)


def combine(
    order: Order,
    approvals: Sequence[Approval],
    parts: Sequence[Part],
    directory: Directory,
    group_key: GroupKey,
) -> bytes:
    """Add the signature shares to the group's signature on the order's bytes.

    Raises PeerMisbehaved with the sender of every wrong share; UsageError if one is missing, doubled or
    belongs to another set of approvals. Time plays no part: each holder has looked at the clock already.
    """
    commitments = sorted(
        (a.commitment for a in approvals if a.commitment is not None), key=lambda c: c.identifier
    )
    package = package_digest(order, group_key, commitments)
    shares = {}
    for part in parts:
        if part.order != order.digest or part.package != package:
            raise UsageError(f"the share of {part.person} belongs to another order or set of approvals")
        identifier = group_key.identifier_of(part.person)
        if identifier in shares:
            raise UsageError(f"{part.person} gave two shares")
        try:
            shares[identifier] = group_key.suite.group.decode_scalar(part.share)
        except DataError as error:
            raise PeerMisbehaved(
                f"{part.person} sent what is not a signature share", [part.person]
            ) from error
    missing = {c.identifier for c in commitments} - set(shares)
    if missing:
        names = ", ".join(group_key.names[i] for i in sorted(missing))
        raise UsageError(f"the signature shares of {names} are missing")
    return frost.aggregate(group_key, order.data, commitments, shares)
