"""The ciphersuites of FROST: RFC 9591, section 6 (Ed25519, ristretto255, secp256k1), and BIP-340 signatures.

The last one, ``bip340``, is FROST(secp256k1, SHA-256) with the challenge, x-only points and even-y rule of
BIP-340; its hash functions and negations are those of the Zcash Foundation's ``frost-secp256k1-tr``.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cache

from tacit.crypto.groups import Element, Group, Scalar, group_named
from tacit.crypto.hash_to_curve import expand_message_xmd
from tacit.errors import DataError, UsageError


class Suite(ABC):
    """Hold what a ciphersuite fixes: group, hash functions, challenge, signature format (RFC 9591, 6)."""

    name: str
    context: bytes
    group_name: str
    even_y = False
    signature_bytes: int

    def __init__(self) -> None:
        self.group: Group = group_named(self.group_name)

    @abstractmethod
    def _to_scalar(self, label: bytes, message: bytes) -> Scalar: ...

    @abstractmethod
    def _digest(self, label: bytes, message: bytes) -> bytes: ...

    def h1(self, message: bytes) -> Scalar:
        """Hash to a binding factor."""
        return self._to_scalar(b"rho", message)

    @abstractmethod
    def h2(self, message: bytes) -> Scalar:
        """Hash to a challenge."""

    def h3(self, message: bytes) -> Scalar:
        """Hash fresh randomness and the secret share to a nonce (constant-time reduction)."""
        return self._to_scalar(b"nonce", message)

    def h4(self, message: bytes) -> bytes:
        """Hash the message."""
        return self._digest(b"msg", message)

    def h5(self, message: bytes) -> bytes:
        """Hash the list of commitments."""
        return self._digest(b"com", message)

    def hash_proof(self, message: bytes) -> Scalar:
        """Hash to the challenge of a proof of possession (label as in the Zcash Foundation's code)."""
        return self._to_scalar(b"dkg", message)

    def challenge(self, commitment: Element, key: Element, message: bytes) -> Scalar:
        """Return c = H2(R, PK, message) (RFC 9591, 4.6)."""
        return self.h2(commitment.encode() + key.encode() + message)

    def encode_signature(self, commitment: Element, response: Scalar) -> bytes:
        """Write a signature as R, z (RFC 9591, appendix A)."""
        return commitment.encode() + response.encode()

    def _decode_signature(self, signature: bytes) -> tuple[Element, Scalar]:
        split = self.group.element_bytes
        return self.group.decode_element(signature[:split]), self.group.decode_scalar(signature[split:])

    def public_key_bytes(self, key: Element) -> bytes:
        """Return the public key as ordinary verifiers expect it."""
        return key.encode()

    def verification_key(self, key: Element) -> Element:
        """Return the key that the equation uses: itself, or for BIP-340 the one of the two with even y."""
        return key

    def verify(self, key: Element, message: bytes, signature: bytes) -> bool:
        """Say whether a signature is valid: z·B = R + c·PK (RFC 9591, appendix B)."""
        if type(signature) is not bytes or len(signature) != self.signature_bytes:
            return False
        try:
            commitment, response = self._decode_signature(signature)
        except DataError:
            return False
        key = self.verification_key(key)
        c = self.challenge(commitment, key, message)
        return self.group.base_mul(response) == commitment + key.vartime_mul(c)

    def __repr__(self) -> str:
        return f"Suite({self.name})"


class _Curve25519Suite(Suite):
    signature_bytes = 64

    def _digest(self, label: bytes, message: bytes) -> bytes:
        return hashlib.sha512(self.context + label + message).digest()

    def _to_scalar(self, label: bytes, message: bytes) -> Scalar:
        return self.group.scalar_from_wide(self._digest(label, message))


class Ed25519Suite(_Curve25519Suite):
    """FROST(Ed25519, SHA-512), RFC 9591 section 6.1: signatures verify as plain Ed25519 (RFC 8032)."""

    name = "ed25519"
    context = b"FROST-ED25519-SHA512-v1"
    group_name = "ed25519"

    def h2(self, message: bytes) -> Scalar:
        """Hash to a challenge, without a prefix so that RFC 8032 verifiers agree."""
        return self.group.scalar_from_wide(hashlib.sha512(message).digest())


class Ristretto255Suite(_Curve25519Suite):
    """FROST(ristretto255, SHA-512), RFC 9591 section 6.2."""

    name = "ristretto255"
    context = b"FROST-RISTRETTO255-SHA512-v1"
    group_name = "ristretto255"

    def h2(self, message: bytes) -> Scalar:
        """Hash to a challenge."""
        return self._to_scalar(b"chal", message)


class Secp256k1Suite(Suite):
    """FROST(secp256k1, SHA-256), RFC 9591 section 6.5."""

    name = "secp256k1"
    context = b"FROST-secp256k1-SHA256-v1"
    group_name = "secp256k1"
    signature_bytes = 65

    def _digest(self, label: bytes, message: bytes) -> bytes:
        return hashlib.sha256(self.context + label + message).digest()

    def _to_scalar(self, label: bytes, message: bytes) -> Scalar:
        wide = expand_message_xmd("sha256", message, self.context + label, self.group.wide_bytes)
        return self.group.scalar_from_wide(wide)

    def h2(self, message: bytes) -> Scalar:
        """Hash to a challenge."""
        return self._to_scalar(b"chal", message)


def _tagged_hash(tag: bytes, message: bytes) -> bytes:
    prefix = hashlib.sha256(tag).digest()
    return hashlib.sha256(prefix + prefix + message).digest()


class Bip340Suite(Secp256k1Suite):
    """FROST on secp256k1 whose signatures verify under BIP-340 (and, with a tweak, BIP-341 outputs)."""

    name = "bip340"
    context = b"FROST-secp256k1-SHA256-TR-v1"
    even_y = True
    signature_bytes = 64

    def h2(self, message: bytes) -> Scalar:
        """Hash to a challenge with BIP-340's tag."""
        return self._tagged_scalar(b"BIP0340/challenge", message)

    def _tagged_scalar(self, tag: bytes, message: bytes) -> Scalar:
        return self.group.scalar(int.from_bytes(_tagged_hash(tag, message), "big"))

    def challenge(self, commitment: Element, key: Element, message: bytes) -> Scalar:
        """Return c from the x-coordinates only (BIP-340, verification)."""
        return self.h2(commitment.encode()[1:] + key.encode()[1:] + message)

    def encode_signature(self, commitment: Element, response: Scalar) -> bytes:
        """Write x(R), z (BIP-340)."""
        return commitment.encode()[1:] + response.encode()

    def _decode_signature(self, signature: bytes) -> tuple[Element, Scalar]:
        return self.group.decode_element(b"\x02" + signature[:32]), self.group.decode_scalar(signature[32:])

    def public_key_bytes(self, key: Element) -> bytes:
        """Return the x-only public key."""
        return key.encode()[1:]

    def verification_key(self, key: Element) -> Element:
        """Return the point with the same x and even y."""
        return key if has_even_y(key) else -key

    def taproot_tweak(self, key: Element, merkle_root: bytes = b"") -> Scalar:
        """Return t = hash_TapTweak(x(P) || root) (BIP-341; empty root: no script path can be spent)."""
        if merkle_root and len(merkle_root) != 32:
            raise UsageError("a Merkle root has 32 bytes")
        return self._tagged_scalar(b"TapTweak", self.public_key_bytes(key) + merkle_root)


def has_even_y(element: Element) -> bool:
    """Say whether a secp256k1 element has an even y-coordinate (BIP-340)."""
    return element.encode()[0] == 2


_SUITES = {suite.name: suite for suite in (Ed25519Suite, Ristretto255Suite, Secp256k1Suite, Bip340Suite)}
SUITE_NAMES = tuple(_SUITES)


@cache
def suite_named(name: str) -> Suite:
    """Return a ciphersuite by its name. Raises UsageError for an unknown one."""
    if name not in _SUITES:
        raise UsageError(f"no suite is called {name!r}; there are {', '.join(SUITE_NAMES)}")
    return _SUITES[name]()
