"""Authenticated encryption of files of any size: STREAM over ChaCha20-Poly1305.

Source: Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance" (CRYPTO 2015), section 7: segment number and a last-segment flag in the nonce, so that
reordering, repetition, truncation and extension all fail. ChaCha20-Poly1305 as in RFC 8439. A segment's plain
text is handed on only after its tag held; the end is known to be the end only when the iterator is exhausted.

A key seals one stream and no other. The cipher does not commit to its key: callers publish a commitment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tacit.errors import DataError

SEGMENT_BYTES = 1 << 16
TAG_BYTES = 16
Read = Callable[[int], bytes]


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _read_full(read: Read, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the input (pipes return short counts before it)."""
    parts, missing = [], size
    while missing:
        part = read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _segments(read: Read, size: int) -> Iterator[tuple[int, bytes, bool]]:
    number, current = 0, _read_full(read, size)
    while True:
        following = _read_full(read, size) if len(current) == size else b""
        yield number, current, not following
        if not following:
            return
        number, current = number + 1, following


def seal(key: bytes, read: Read, context: bytes = b"") -> Iterator[bytes]:
    """Encrypt everything that `read` returns, segment by segment; `key` (32 bytes) must be new."""
    cipher = ChaCha20Poly1305(key)
    for number, segment, last in _segments(read, SEGMENT_BYTES):
        yield cipher.encrypt(_nonce(number, last), segment, context)


def open_sealed(key: bytes, read: Read, context: bytes = b"") -> Iterator[bytes]:
    """Decrypt a sealed stream, yielding verified segments; DataError at the first that is not as sealed.

    Nothing yielded is final before the iterator ends: a cut stream raises in place of its missing end.
    """
    cipher = ChaCha20Poly1305(key)
    for number, segment, last in _segments(read, SEGMENT_BYTES + TAG_BYTES):
        if len(segment) < TAG_BYTES or (number and len(segment) == TAG_BYTES):
            raise DataError("the sealed data end in the middle of a segment")
        try:
            yield cipher.decrypt(_nonce(number, last), segment, context)
        except InvalidTag:
            raise DataError(
                f"segment {number} of the sealed data is altered, out of place, cut off or under another key"
            ) from None


def sealed_bytes(size: int) -> int:
    """Return how many bytes a stream of `size` bytes has when sealed."""
    return size + TAG_BYTES * max(1, -(-size // SEGMENT_BYTES))


def seal_bytes(key: bytes, data: bytes, context: bytes = b"") -> bytes:
    """Encrypt a short text in one piece under a new key."""
    return b"".join(seal(key, _reader(data), context))


def open_bytes(key: bytes, data: bytes, context: bytes = b"") -> bytes:
    """Decrypt what `seal_bytes` made, whole or not at all."""
    return b"".join(open_sealed(key, _reader(data), context))


def _reader(data: bytes) -> Read:
    position = 0

    def read(size: int) -> bytes:
        nonlocal position
        part = data[position : position + size]
        position += len(part)
        return part

    return read
