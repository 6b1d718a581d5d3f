"""Encryption of small records under a random 32-byte key: AES-256-GCM-SIV (RFC 8452)."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from tacit.errors import MaterialError

_NONCE_BYTES = 12


def encrypt_record(key: bytes, plaintext: bytes, label: bytes, randomness: Callable[[int], bytes]) -> bytes:
    """Encrypt under a label that must be given again to decrypt."""
    nonce = randomness(_NONCE_BYTES)
    return nonce + AESGCMSIV(key).encrypt(nonce, plaintext, label)


def decrypt_record(key: bytes, record: bytes, label: bytes) -> bytes:
    """Decrypt a record. Raises MaterialError if it is damaged or belongs to another key or label."""
    try:
        return AESGCMSIV(key).decrypt(record[:_NONCE_BYTES], record[_NONCE_BYTES:], label)
    except (InvalidTag, ValueError):
        pass
    raise MaterialError("a stored record is damaged or belongs to another key")
