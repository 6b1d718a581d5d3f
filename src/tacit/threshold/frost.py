"""FROST, two-round threshold Schnorr signatures, exactly as in RFC 9591 (with the numbers of its sections).

Security: unforgeable while fewer than t members are corrupted; needs the nonces of one commitment to be used
once (:class:`Nonces` and ``tacit.threshold.nonces``). A wrong signature share names its sender. Delivery is
not promised: a signer who stays silent stops that attempt.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from tacit.crypto.groups import Element, Randomness, Scalar
from tacit.errors import DataError, InternalError, MaterialError, PeerMisbehaved, UsageError
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.polynomial import lagrange
from tacit.threshold.suites import Suite, has_even_y


class Nonces:
    """Hold the two secret nonces of one signature, to keep; :func:`sign` empties it: it works once."""

    __slots__ = ("_lock", "_pair", "commitment")

    def __init__(self, hiding: Scalar, binding: Scalar, commitment: Commitment) -> None:
        self._pair: tuple[Scalar, Scalar] | None = (hiding, binding)
        self._lock = threading.Lock()
        self.commitment = commitment

    def spend(self) -> tuple[Scalar, Scalar]:
        """Hand the nonces out, once. Raises MaterialError the second time."""
        with self._lock:
            pair, self._pair = self._pair, None
        if pair is None:
            raise MaterialError(
                "these nonces were used; a second signature with them would give the key share away"
            )
        return pair

    def __repr__(self) -> str:
        return (
            f"Nonces({self.commitment.identifier}, {'spent' if self._pair is None else 'unused'}, redacted)"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("nonces are not pickled; the nonce store keeps them")


@dataclass(frozen=True, slots=True)
class Commitment:
    """Hold a signer's public nonce commitments. To send (section 5.1)."""

    identifier: int
    hiding: Element
    binding: Element

    def encode(self) -> bytes:
        """Write both elements."""
        return self.hiding.encode() + self.binding.encode()

    @staticmethod
    def decode(suite: Suite, identifier: int, data: bytes) -> Commitment:
        """Read both elements. Raises DataError."""
        split = suite.group.element_bytes
        decode = suite.group.decode_element
        return Commitment(identifier, decode(data[:split]), decode(data[split:]))


def commit(share: KeyShare, randomness: Randomness) -> tuple[Nonces, Commitment]:
    """Round one: draw two nonces and commit to them (section 5.1)."""
    suite, group = share.group_key.suite, share.group_key.suite.group
    # nonce_generate (4.1): H3(32 random bytes || secret), so that a weak source alone does not give the
    # nonce away.
    hiding = suite.h3(randomness(32) + share.secret.encode())
    binding = suite.h3(randomness(32) + share.secret.encode())
    commitment = Commitment(share.identifier, group.base_mul(hiding), group.base_mul(binding))
    return Nonces(hiding, binding, commitment), commitment


def encode_commitments(suite: Suite, commitments: Sequence[Commitment]) -> bytes:
    """Write the list in ascending order of identifiers, each of fixed length (section 4.3)."""
    ordered = sorted(commitments, key=lambda c: c.identifier)
    return b"".join(suite.group.scalar(c.identifier).encode() + c.encode() for c in ordered)


@dataclass(frozen=True, slots=True)
class _Joint:
    """What all signers of one package derive alike."""

    factors: Mapping[int, Scalar]
    commitment: Element
    challenge: Scalar
    negate_key: bool
    negate_nonces: bool


def _check_package(group_key: GroupKey, commitments: Sequence[Commitment]) -> None:
    identifiers = [c.identifier for c in commitments]
    if len(set(identifiers)) != len(identifiers):
        raise DataError("the package lists a signer twice")
    if any(i not in group_key.shares for i in identifiers):
        raise DataError("the package lists a signer who is not a member")
    if len(identifiers) < group_key.threshold:
        raise DataError(f"the package lists {len(identifiers)} signers and {group_key.threshold} are needed")
    for c in commitments:
        if c.hiding.is_identity() or c.binding.is_identity() or c.hiding.group is not group_key.suite.group:
            raise DataError("a commitment is not an element of the suite's group")


def _join(group_key: GroupKey, message: bytes, commitments: Sequence[Commitment]) -> _Joint:
    _check_package(group_key, commitments)
    suite, group = group_key.suite, group_key.suite.group
    key = suite.verification_key(group_key.key)
    # 4.4 compute_binding_factors
    prefix = key.encode() + suite.h4(message) + suite.h5(encode_commitments(suite, commitments))
    factors = {c.identifier: suite.h1(prefix + group.scalar(c.identifier).encode()) for c in commitments}
    # 4.5 compute_group_commitment: R = sum of D_i + rho_i * E_i
    R = group.total(
        [c.hiding for c in commitments] + [c.binding.vartime_mul(factors[c.identifier]) for c in commitments]
    )
    if R.is_identity():
        raise DataError("the commitments cancel out; start again with fresh ones")
    # 4.6 compute_challenge; BIP-340 takes the even one of R and -R, of PK and -PK
    odd = suite.even_y and not has_even_y(R)
    c = suite.challenge(R, key, message)
    return _Joint(factors, R, c, key != group_key.key, odd)


def sign(share: KeyShare, nonces: Nonces, message: bytes, commitments: Sequence[Commitment]) -> Scalar:
    """Round two: return this signer's signature share (section 5.2).

    The nonces are spent even if the package turns out to be wrong. Raises DataError for a package that does
    not list this signer's commitment or lists too few, repeated or foreign signers.
    """
    hiding, binding = nonces.spend()
    mine = [c for c in commitments if c.identifier == share.identifier]
    if mine != [nonces.commitment]:
        raise DataError("the package does not carry the commitment that these nonces belong to")
    joint = _join(share.group_key, message, commitments)
    identifiers = sorted(c.identifier for c in commitments)
    weight = lagrange(share.group_key.suite.group, identifiers, share.identifier)
    secret = -share.secret if joint.negate_key else share.secret
    nonce = hiding + binding * joint.factors[share.identifier]
    # sig_share = hiding_nonce + binding_nonce * rho_i + lambda_i * sk_i * c
    return (-nonce if joint.negate_nonces else nonce) + weight * secret * joint.challenge


def _share_is_valid(
    group_key: GroupKey, joint: _Joint, commitment: Commitment, weight: Scalar, share: Scalar
) -> bool:
    """Check one share (section 5.4, verify_signature_share)."""
    nonce = commitment.hiding + commitment.binding.vartime_mul(joint.factors[commitment.identifier])
    key = group_key.shares[commitment.identifier]
    left = group_key.suite.group.base_mul(share)
    right = (-nonce if joint.negate_nonces else nonce) + (-key if joint.negate_key else key).vartime_mul(
        joint.challenge * weight
    )
    return left == right


def aggregate(
    group_key: GroupKey, message: bytes, commitments: Sequence[Commitment], shares: Mapping[int, Scalar]
) -> bytes:
    """Add the shares to a signature and verify it (section 5.3).

    Raises PeerMisbehaved with every sender of a wrong share; DataError if shares and commitments differ.
    """
    if set(shares) != {c.identifier for c in commitments}:
        raise DataError("every signer of the package gives exactly one signature share")
    joint = _join(group_key, message, commitments)
    suite = group_key.suite
    z = suite.group.zero
    for share in shares.values():
        z = z + share
    R = -joint.commitment if joint.negate_nonces else joint.commitment
    signature = suite.encode_signature(R, z)
    if suite.verify(group_key.key, message, signature):
        return signature
    # 5.4: find who is to blame
    identifiers = sorted(shares)
    culprits = []
    for c in sorted(commitments, key=lambda c: c.identifier):
        weight = lagrange(suite.group, identifiers, c.identifier)
        if not _share_is_valid(group_key, joint, c, weight, shares[c.identifier]):
            culprits.append(group_key.names[c.identifier])
    if not culprits:
        raise InternalError("all signature shares are right and the signature is not")
    raise PeerMisbehaved(f"wrong signature share from {', '.join(culprits)}", culprits)


def verify(group_key: GroupKey, message: bytes, signature: bytes) -> bool:
    """Say whether the group signed the message."""
    return group_key.suite.verify(group_key.key, message, signature)


def check_signers(group_key: GroupKey, names: Sequence[str]) -> tuple[int, ...]:
    """Return the sorted identifiers of enough distinct members. Raises UsageError."""
    identifiers = tuple(sorted({group_key.identifier_of(name) for name in names}))
    if len(identifiers) != len(names) or len(identifiers) < group_key.threshold:
        raise UsageError(f"{group_key.threshold} different members have to sign")
    return identifiers
