"""Canonical bytes for small control messages: one value has one encoding, and nothing else decodes to it.

A value is None, bool, int, float, str, bytes, a list of values, or a dict with str keys. Layout, all
numbers little-endian: one tag byte; then for int (shortest two's complement), str (UTF-8) and bytes a
4-byte length and the bytes; for float 8 bytes (IEEE 754, no NaN); for list and dict a 4-byte count and the
items, a dict's as key without tag, then value, keys strictly ascending by their bytes.
"""

from __future__ import annotations

import hashlib
import math
import struct
from typing import TypeAlias

from tacit.errors import DataError, PeerIncompatible, UsageError

Value: TypeAlias = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"] | None

MAX_DEPTH = 16
MAX_BYTES = 1 << 20
MAX_INT_BYTES = 64

_U32 = struct.Struct("<I")
_F64 = struct.Struct("<d")


def encode(value: Value, most: int | None = MAX_BYTES) -> bytes:
    """Return the canonical bytes; UsageError when the value is of another type, too deep or larger than `most`."""
    out = bytearray()
    _encode(value, out, 0)
    if most is not None and len(out) > most:
        raise UsageError(f"a control message of {len(out)} bytes exceeds {most}")
    return bytes(out)


def digest(domain: str, value: Value) -> bytes:
    """Return SHA-256 of the canonical bytes, of any length, separated by purpose."""
    return hashlib.sha256(encode([domain, value], None)).digest()


def decode(data: bytes, max_bytes: int = MAX_BYTES) -> Value:
    """Return the value of canonical bytes; DataError on anything else, including trailing bytes."""
    if len(data) > max_bytes:
        raise DataError(f"a control message of {len(data)} bytes exceeds {max_bytes}")
    value, at = _decode(data, 0, 0)
    if at != len(data):
        raise DataError("malformed control message: bytes follow its end")
    return value


def decode_from(sender: str, data: bytes, max_bytes: int = MAX_BYTES) -> Value:
    """Decode what a peer sent; PeerIncompatible naming it when that is not canonical."""
    try:
        return decode(data, max_bytes)
    except DataError as error:
        raise PeerIncompatible(
            f"{sender} sent a control message that does not decode: {error}", sender
        ) from None


def _put(tag: bytes, body: bytes, out: bytearray) -> None:
    out += tag
    out += _U32.pack(len(body))
    out += body


def _encode(value: Value, out: bytearray, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UsageError(f"a control message is nested deeper than {MAX_DEPTH}")
    if value is None:
        out += b"n"
    elif isinstance(value, bool):
        out += b"t" if value else b"f"
    elif isinstance(value, int):
        body = _int_bytes(value)
        if len(body) > MAX_INT_BYTES:
            raise UsageError(f"an integer of {len(body)} bytes exceeds {MAX_INT_BYTES} in a control message")
        _put(b"i", body, out)
    elif isinstance(value, float):
        if math.isnan(value):
            raise UsageError("a control message holds no NaN")
        out += b"d" + _F64.pack(value)
    elif isinstance(value, str):
        _put(b"s", _text_bytes(value), out)
    elif isinstance(value, bytes):
        _put(b"b", value, out)
    elif isinstance(value, (list, tuple)):
        out += b"l" + _U32.pack(len(value))
        for item in value:
            _encode(item, out, depth + 1)
    elif isinstance(value, dict):
        _encode_dict(value, out, depth)
    else:
        raise UsageError(f"a control message holds no {type(value).__name__}")


def _encode_dict(value: dict[str, Value], out: bytearray, depth: int) -> None:
    if not all(isinstance(key, str) for key in value):
        raise UsageError("keys in a control message are str")
    out += b"m" + _U32.pack(len(value))
    for key, item in sorted((_text_bytes(key), item) for key, item in value.items()):
        _put(b"", key, out)
        _encode(item, out, depth + 1)


def _text_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("text in a control message is not valid Unicode") from None


def _int_bytes(value: int) -> bytes:
    """Return the shortest two's complement bytes; zero is one byte."""
    bits = value.bit_length() if value >= 0 else (~value).bit_length()
    return value.to_bytes(bits // 8 + 1, "little", signed=True)


def _length(data: bytes, at: int, unit: int) -> tuple[int, int]:
    """Read a length or count and check that this many units can still follow."""
    if len(data) - at < 4:
        raise DataError("malformed control message: it ends too early")
    n = _U32.unpack_from(data, at)[0]
    if n * unit > len(data) - at - 4:
        raise DataError("malformed control message: a length exceeds it")
    return n, at + 4


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise DataError(f"malformed control message: nested deeper than {MAX_DEPTH}")
    tag = data[at : at + 1]
    at += 1
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    if tag == b"d":
        if len(data) - at < 8:
            raise DataError("malformed control message: it ends too early")
        number = float(_F64.unpack_from(data, at)[0])
        if math.isnan(number):
            raise DataError("malformed control message: NaN")
        return number, at + 8
    if tag == b"l":
        n, at = _length(data, at, 1)
        items: list[Value] = []
        for _ in range(n):
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at
    if tag == b"m":
        return _decode_dict(data, at, depth)
    if tag not in (b"i", b"s", b"b"):
        raise DataError("malformed control message: unknown tag")
    n, at = _length(data, at, 1)
    body = data[at : at + n]
    at += n
    if tag == b"b":
        return body, at
    return (_text(body) if tag == b"s" else _integer(body)), at


_CONSTANTS: dict[bytes, Value] = {b"n": None, b"t": True, b"f": False}


def _decode_dict(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    n, at = _length(data, at, 5)
    result: dict[str, Value] = {}
    last: bytes | None = None
    for _ in range(n):
        size, at = _length(data, at, 1)
        key = data[at : at + size]
        if last is not None and key <= last:
            raise DataError("malformed control message: keys are not strictly ascending")
        last = key
        result[_text(key)], at = _decode(data, at + size, depth + 1)
    return result, at


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError("malformed control message: text is not UTF-8") from None


def _integer(body: bytes) -> int:
    value = int.from_bytes(body, "little", signed=True)
    if not 0 < len(body) <= MAX_INT_BYTES or _int_bytes(value) != body:
        raise DataError("malformed control message: an integer is too long or not in its shortest form")
    return value
