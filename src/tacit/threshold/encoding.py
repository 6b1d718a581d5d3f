"""Length-prefixed lists of byte strings: one encoding for each list, and bounds before allocation."""

from __future__ import annotations

from collections.abc import Iterable

from tacit.errors import DataError

MAX_FIELDS = 4096
MAX_BYTES = 16 * 1024 * 1024


def pack(fields: Iterable[bytes]) -> bytes:
    """Write the number of fields, then each with its length (32 bits, big-endian)."""
    listed = list(fields)
    parts = [len(listed).to_bytes(4, "big")]
    for field in listed:
        parts += [len(field).to_bytes(4, "big"), field]
    return b"".join(parts)


def unpack(data: bytes, count: int | None = None) -> list[bytes]:
    """Read what :func:`pack` wrote, to the last byte. Raises DataError, also for another number of fields."""
    if len(data) > MAX_BYTES or len(data) < 4:
        raise DataError("a list of fields has an impossible size")
    stated, position = int.from_bytes(data[:4], "big"), 4
    if stated > MAX_FIELDS or (count is not None and stated != count):
        raise DataError(f"a list has {stated} fields" + ("" if count is None else f" where {count} belong"))
    fields = []
    for _ in range(stated):
        length = int.from_bytes(data[position : position + 4], "big")
        position += 4
        if position + length > len(data):
            raise DataError("a field is longer than its list")
        fields.append(data[position : position + length])
        position += length
    if position != len(data):
        raise DataError("bytes follow the last field")
    return fields
