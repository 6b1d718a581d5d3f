"""A log of who approved what and when: a chain of hashes, every entry signed by whoever keeps the log.

One line an entry, each a canonical document. A changed, dropped, swapped or inserted entry breaks the chain;
the last entries cut off are noticed by whoever knows a later head (members exchange heads with their
approvals).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tacit.crypto.hashing import digest
from tacit.crypto.sealed import sync_folder
from tacit.crypto.signing import SigningKey, is_signed
from tacit.errors import DataError, MaterialError
from tacit.threshold.order import decode_canonical, encode_canonical
from tacit.threshold.policy import format_time, parse_time

_DOMAIN = "threshold/journal"
_FIRST = bytes(32)


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one entry: number from 0, when, what happened, who did it, to which document, more in words."""

    number: int
    time: datetime
    event: str
    who: str
    document: str
    detail: str


class Journal:
    """Append to and check one log file."""

    def __init__(self, path: Path, keeper: SigningKey) -> None:
        self._path, self._keeper = path, keeper

    def append(self, time: datetime, event: str, who: str, document: bytes, detail: str = "") -> bytes:
        """Write an entry, synced, and return the new head. Raises MaterialError if the log is broken."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            data = file.read()
            if data and not data.endswith(b"\n"):  # a crash tore the last line: it was never acknowledged
                data = data[: data.rfind(b"\n") + 1]
                file.truncate(len(data))
            entries, head = check_journal(data, self._keeper.public)
            body = {
                "detail": detail,
                "document": document.hex(),
                "event": event,
                "number": len(entries),
                "previous": head.hex(),
                "time": format_time(time),
                "who": who,
            }
            encoded = encode_canonical(body)
            signature = self._keeper.sign(_DOMAIN, encoded)
            file.write(encode_canonical({**body, "signature": signature.hex()}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync_folder(self._path.parent)
        return digest(_DOMAIN, encoded, signature)

    def read(self, head: bytes | None = None) -> list[Entry]:
        """Return all entries, checked. ``head`` must be in the chain. Raises MaterialError.

        A last line that a crash tore was never acknowledged and is left out.
        """
        data = self._path.read_bytes() if self._path.exists() else b""
        data = data[: data.rfind(b"\n") + 1]
        entries, _ = check_journal(data, self._keeper.public, head)
        return entries


def check_journal(data: bytes, public: bytes, known_head: bytes | None = None) -> tuple[list[Entry], bytes]:
    """Check a log from its first entry and return entries and head.

    Raises MaterialError with the number of the first bad entry, or if ``known_head`` (from an earlier time)
    is not in the chain: then the log was cut or replaced.
    """
    head, entries, heads = _FIRST, [], {_FIRST}
    for number, line in enumerate(data.split(b"\n")[:-1] if data else []):
        try:
            head, entry = _check_entry(line, number, head, public)
        except (DataError, KeyError, TypeError, ValueError) as error:
            raise MaterialError(f"the log is broken at entry {number}") from error
        entries.append(entry)
        heads.add(head)
    if data and not data.endswith(b"\n"):
        raise MaterialError(f"the log is broken at entry {len(entries)}")
    if known_head is not None and known_head not in heads:
        raise MaterialError("the log was cut or replaced: an entry that was known is not in it")
    return entries, head


def _check_entry(line: bytes, number: int, previous: bytes, public: bytes) -> tuple[bytes, Entry]:
    document: Mapping[str, object] = decode_canonical(line)
    body = {k: v for k, v in document.items() if k != "signature"}
    signature = bytes.fromhex(str(document["signature"]))
    if body["number"] != number or body["previous"] != previous.hex():
        raise DataError("out of order")
    encoded = encode_canonical(body)
    if not is_signed(public, signature, _DOMAIN, encoded):
        raise DataError("not signed by the keeper")
    words = [str(body[name]) for name in ("event", "who", "document", "detail")]
    return digest(_DOMAIN, encoded, signature), Entry(number, parse_time(body["time"]), *words)
