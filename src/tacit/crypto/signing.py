"""Ed25519 signatures of one person or node (RFC 8032), with which members sign messages and approvals."""

from __future__ import annotations

from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tacit.crypto.hashing import digest
from tacit.errors import DataError

SIGNATURE_BYTES = 64
PUBLIC_BYTES = 32


class SigningKey:
    """Hold a private Ed25519 key; it is never printed or pickled."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        """Take the 32 secret bytes of RFC 8032."""
        if len(seed) != 32:
            raise DataError("an Ed25519 seed has 32 bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, domain: str, *fields: bytes) -> bytes:
        """Sign the digest of length-prefixed fields under a domain."""
        return self._key.sign(digest(domain, *fields))

    def encode(self) -> bytes:
        """Return the secret seed, for sealing."""
        return self._key.private_bytes_raw()

    def __repr__(self) -> str:
        return f"SigningKey({self.public.hex()[:16]}…, redacted)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not pickled; seal it")


def is_signed(public: bytes, signature: bytes, domain: str, *fields: bytes) -> bool:
    """Say whether ``public`` signed these fields under this domain."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, digest(domain, *fields))
    except (InvalidSignature, ValueError):
        return False
    return True
