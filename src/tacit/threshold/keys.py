"""Key material of a signing group: what everybody may know, and the share that one member keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from tacit.crypto.groups import Element, Scalar
from tacit.crypto.hashing import digest
from tacit.errors import DataError, UsageError
from tacit.threshold.polynomial import vartime_interpolate_committed
from tacit.threshold.suites import Bip340Suite, Suite, suite_named

MAX_MEMBERS = 100
MAX_IDENTIFIER = 65535


def check_threshold(threshold: int, members: int) -> None:
    """Refuse an impossible t of n. Raises UsageError."""
    if not (1 <= threshold <= members <= MAX_MEMBERS):
        raise UsageError(f"{threshold} of {members} is not possible: 1 <= t <= n <= {MAX_MEMBERS}")


def check_identifiers(identifiers: tuple[int, ...]) -> None:
    """Refuse identifiers that are zero, out of range or repeated. Raises DataError."""
    for i in identifiers:
        if type(i) is not int or not 1 <= i <= MAX_IDENTIFIER:
            raise DataError(f"an identifier lies between 1 and {MAX_IDENTIFIER}")
    if len(set(identifiers)) != len(identifiers):
        raise DataError("an identifier appears twice")


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Hold the public side: the group's key, every member's verification share, and the threshold.

    ``epoch`` counts the generations of shares of one key: refresh and resharing raise it, and shares of
    different generations do not sign together.
    """

    suite: Suite
    threshold: int
    key: Element
    shares: Mapping[int, Element]
    names: Mapping[int, str]
    epoch: int = 0

    def __post_init__(self) -> None:
        check_identifiers(tuple(self.shares))
        check_threshold(self.threshold, len(self.shares))
        if set(self.names) != set(self.shares) or len(set(self.names.values())) != len(self.names):
            raise DataError("every member needs one name, and no two members the same")

    @property
    def identifiers(self) -> tuple[int, ...]:
        """Return the members' identifiers in ascending order."""
        return tuple(sorted(self.shares))

    def identifier_of(self, name: str) -> int:
        """Return the identifier of a member by name. Raises UsageError for a stranger."""
        for identifier, known in self.names.items():
            if known == name:
                return identifier
        raise UsageError(f"{name!r} is not a member of this group")

    def check_consistent(self) -> None:
        """Check that the verification shares lie on one polynomial of degree t-1 through the key.

        Raises DataError. Interpolates from the first t and compares all others and the key.
        """
        basis = {i: self.shares[i] for i in self.identifiers[: self.threshold]}
        if vartime_interpolate_committed(basis, 0) != self.key:
            raise DataError("the verification shares do not belong to the group's key")
        for i in self.identifiers[self.threshold :]:
            if vartime_interpolate_committed(basis, i) != self.shares[i]:
                raise DataError(f"the verification share of {self.names[i]} does not fit the others")

    def fingerprint(self) -> bytes:
        """Return 32 bytes that identify key, members, threshold and epoch."""
        return digest("threshold/group-key", self.to_json().encode())

    def to_json(self) -> str:
        """Write the public key material as JSON (sorted keys, no blanks)."""
        members = [
            {"id": i, "name": self.names[i], "share": self.shares[i].encode().hex()} for i in self.identifiers
        ]
        document = {
            "epoch": self.epoch,
            "key": self.key.encode().hex(),
            "members": members,
            "suite": self.suite.name,
            "threshold": self.threshold,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> GroupKey:
        """Read and check public key material. Raises DataError."""
        try:
            document: dict[str, Any] = json.loads(text)
            suite = suite_named(document["suite"])
            members = document["members"]
            decode = suite.group.decode_element
            if len({m["id"] for m in members}) != len(members):
                raise DataError("an identifier appears twice")
            key = GroupKey(
                suite=suite,
                threshold=document["threshold"],
                key=decode(bytes.fromhex(document["key"])),
                shares={m["id"]: decode(bytes.fromhex(m["share"])) for m in members},
                names={m["id"]: str(m["name"]) for m in members},
                epoch=document["epoch"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
            raise DataError("this is not a group key") from error
        if (
            type(key.threshold) is not int
            or type(key.epoch) is not int
            or json.loads(key.to_json()) != document
        ):
            raise DataError("this is not a group key: a field is not as Tacit writes it")
        key.check_consistent()
        return key


@dataclass(frozen=True, slots=True)
class KeyShare:
    """Hold one member's secret share beside the group's public side. Keep it; never send it."""

    identifier: int
    secret: Scalar = field(repr=False)
    group_key: GroupKey

    def __post_init__(self) -> None:
        group = self.group_key.suite.group
        if group.base_mul(self.secret) != self.group_key.shares.get(self.identifier):
            raise DataError("the secret share does not match its verification share")

    @property
    def name(self) -> str:
        """Return the member's name."""
        return self.group_key.names[self.identifier]

    def encode(self) -> bytes:
        """Write the share for sealing. The result is secret."""
        head = self.identifier.to_bytes(2, "big")
        return head + self.secret.encode() + self.group_key.to_json().encode()

    @staticmethod
    def decode(data: bytes) -> KeyShare:
        """Read what :meth:`encode` wrote, after it was unsealed. Raises DataError."""
        group_key = GroupKey.from_json(data[34:].decode(errors="replace"))
        secret = group_key.suite.group.decode_scalar(data[2:34])
        return KeyShare(int.from_bytes(data[:2], "big"), secret, group_key)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key share is not pickled; seal it")


def taproot_output(share: KeyShare, merkle_root: bytes = b"") -> KeyShare:
    """Return the share of the BIP-341 output key Q = P + t·G: every share of P (with even y) plus t.

    Adding a constant to all shares adds it to the secret, because Lagrange coefficients sum to one.
    """
    suite = share.group_key.suite
    tweaked = taproot_group_key(share.group_key, merkle_root)
    if not isinstance(suite, Bip340Suite):
        raise UsageError("taproot outputs need the suite bip340")
    secret = (
        share.secret if suite.verification_key(share.group_key.key) == share.group_key.key else -share.secret
    )
    return KeyShare(share.identifier, secret + suite.taproot_tweak(share.group_key.key, merkle_root), tweaked)


def taproot_group_key(group_key: GroupKey, merkle_root: bytes = b"") -> GroupKey:
    """Return the public side of the BIP-341 output key."""
    suite = group_key.suite
    if not isinstance(suite, Bip340Suite):
        raise UsageError("taproot outputs need the suite bip340")
    shift = suite.group.base_mul(suite.taproot_tweak(group_key.key, merkle_root))
    even = suite.verification_key(group_key.key) == group_key.key
    return replace(
        group_key,
        key=suite.verification_key(group_key.key) + shift,
        shares={i: (share if even else -share) + shift for i, share in group_key.shares.items()},
    )
