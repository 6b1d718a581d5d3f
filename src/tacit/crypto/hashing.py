"""Domain-separated hashing and key derivation."""

from __future__ import annotations

import hashlib
import hmac


def digest(domain: str, *fields: bytes) -> bytes:
    """Hash `fields`, each with its length, under `domain`: SHA-256, 32 bytes, no two lists collide."""
    h = hashlib.sha256()
    for field in (b"tacit/" + domain.encode(), *fields):
        h.update(len(field).to_bytes(8, "little"))
        h.update(field)
    return h.digest()


def hkdf(key: bytes, info: bytes, length: int = 32, salt: bytes = b"") -> bytes:
    """Derive `length` bytes (at most 255·32) from `key` (RFC 5869, SHA-256)."""
    prk = hmac.new(salt or bytes(32), key, hashlib.sha256).digest()
    out, block = b"", b""
    for i in range(1, -(-length // 32) + 1):
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out += block
    return out[:length]
