"""Lists of byte strings as one byte string, in exactly one way: count, then each field with its length."""

from __future__ import annotations

from collections.abc import Sequence

from tacit.errors import DataError

MAX_FIELDS = 1 << 24


def pack(fields: Sequence[bytes]) -> bytes:
    """Encode a list of fields: 4-byte count, then each with a 4-byte length; no two lists look alike."""
    parts = [len(fields).to_bytes(4)]
    for field in fields:
        parts += (len(field).to_bytes(4), field)
    return b"".join(parts)


def unpack(data: bytes, count: int | None = None) -> list[bytes]:
    """Decode what `pack` made, with exactly `count` fields if given; DataError for anything else."""
    found = int.from_bytes(data[:4])
    if len(data) < 4 or found > MAX_FIELDS or 4 * found > len(data) or (count is not None and found != count):
        raise DataError("a message does not have the expected number of fields")
    fields, position = [], 4
    for _ in range(found):
        size = int.from_bytes(data[position : position + 4])
        start, position = position + 4, position + 4 + size
        if position > len(data):
            raise DataError("a message ends inside a field")
        fields.append(data[start:position])
    if position != len(data):
        raise DataError("a message has bytes after its last field")
    return fields
