"""Orders: documents with exactly one byte form, whose display comes from those bytes and hides nothing.

Canonical form: RFC 8785 (JSON Canonicalization Scheme) restricted so that every reader agrees. UTF-8 without
blanks; objects with keys ``[a-z0-9_]{1,40}`` in ascending order, each once; arrays; booleans; integers of
magnitude below 2^53, without fraction, exponent or minus zero (amounts are strings); strings in Unicode form
NFKC without control, format, surrogate, private or unassigned characters, no space but U+0020 and that not
first, last or doubled, and no word that mixes scripts. Nothing that was signed is repaired: bytes that are not
canonical are refused. What a person writes becomes canonical before it is signed (:func:`decode_written`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NoReturn

from tacit.crypto.hashing import digest
from tacit.errors import DataError

MAX_ORDER_BYTES = 64 * 1024
MAX_DEPTH = 8
_KEY = re.compile(r"[a-z0-9_]{1,40}\Z")
_WRITTEN_TOGETHER = frozenset({"CJK", "HIRAGANA", "KATAKANA"})
# Letters, marks and symbols that show nothing (Unicode: Default_Ignorable_Code_Point, and the Braille blank).
_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2800, 0x2800),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def encode_canonical(document: Any) -> bytes:
    """Write a document in its one byte form. Raises DataError for what has none."""
    _check(document, "document", 0)
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = text.encode()
    if len(data) > MAX_ORDER_BYTES:
        raise DataError(f"a document has at most {MAX_ORDER_BYTES} bytes")
    return data


def decode_canonical(data: bytes) -> Any:
    """Read a document. Raises DataError unless the bytes are its one form."""
    document = decode_written(data)
    if encode_canonical(document) != data:
        raise DataError("the document's bytes are not in canonical form (order of keys, blanks, escapes)")
    return document


def decode_written(data: bytes) -> Any:
    """Read a document as a person writes it: blanks and the order of keys are free, all else is as strict.

    What is signed or compared is its canonical form, never these bytes. Raises DataError.
    """
    if len(data) > MAX_ORDER_BYTES:
        raise DataError(f"a document has at most {MAX_ORDER_BYTES} bytes")
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_no_duplicates, parse_float=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise DataError("this is not JSON") from error
    _check(document, "document", 0)
    return document


def document_digest(data: bytes) -> bytes:
    """Return the digest by which approvals and logs name a document."""
    return digest("threshold/document", data)


def render(data: bytes) -> str:
    """Show a document to a person: every field, one line each, from the very bytes that are signed.

    Strings stand in quotation marks, so that nothing in them can look like another field.
    """
    lines = [f"document {document_digest(data).hex()}"]
    _render(decode_canonical(data), "", lines)
    return "\n".join(lines)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DataError("an object has the same key twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise DataError("numbers are integers; write amounts with a fraction as strings")


def _check(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise DataError(f"{where}: nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or not _KEY.match(key):
                raise DataError(f"{where}: keys are made of a-z, 0-9 and _")
            _check(inner, f"{where}.{key}", depth + 1)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            _check(inner, f"{where}[{position}]", depth + 1)
    elif isinstance(value, str):
        check_text(value, where)
    elif isinstance(value, bool):
        pass
    elif isinstance(value, int):
        if abs(value) >= 2**53:
            raise DataError(f"{where}: an integer is too large; write it as a string")
    else:
        raise DataError(f"{where}: only objects, arrays, strings, integers and booleans")


def check_text(text: str, where: str) -> None:
    """Refuse text that may not look like what it is. Raises DataError, naming the character's code."""
    for character in text:
        category = unicodedata.category(character)
        invisible = any(first <= ord(character) <= last for first, last in _INVISIBLE)
        if invisible or category in _REFUSED_CATEGORIES or (category == "Zs" and character != " "):
            raise DataError(f"{where}: the invisible or reserved character U+{ord(character):04X} is refused")
    if unicodedata.normalize("NFKC", text) != text:
        raise DataError(
            f"{where}: a character has a look-alike or compatibility form; write the plain one (mcg, 2)"
        )
    if text != text.strip(" ") or "  " in text:
        raise DataError(f"{where}: blanks at the ends or doubled are refused")
    _check_scripts(text, where)


def _check_scripts(text: str, where: str) -> None:
    """Refuse a word of several scripts, foreign digits, and right-to-left text beside left-to-right."""
    if text and unicodedata.category(text[0]).startswith("M"):
        raise DataError(f"{where}: text does not begin with a combining mark")
    scripts: set[str] = set()
    directions: set[str] = set()
    for character in text:
        category = unicodedata.category(character)
        direction = unicodedata.bidirectional(character)
        directions |= (
            {"right"} if direction in ("R", "AL", "AN") else {"left"} if direction in ("L", "EN") else set()
        )
        if category == "Nd" and not character.isascii():
            raise DataError(f"{where}: write digits as 0 to 9")
        if category.startswith("L"):
            script = unicodedata.name(character, "?").split(" ")[0]
            scripts.add("EAST ASIAN" if script in _WRITTEN_TOGETHER else script)
        elif not category.startswith("M"):
            scripts = set()
        if len(scripts) > 1:
            raise DataError(f"{where}: one word mixes letters of {' and '.join(sorted(scripts))}")
    if len(directions) > 1:
        raise DataError(
            f"{where}: text to the right and to the left in one string changes its order on a screen"
        )


def _render(value: Any, path: str, lines: list[str]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _render(inner, f"{path}.{key}" if path else key, lines)
    elif isinstance(value, list) and value:
        for position, inner in enumerate(value, start=1):
            _render(inner, f"{path}[{position}]", lines)
    else:
        lines.append(f"  {path} = {json.dumps(value, ensure_ascii=False)}")
