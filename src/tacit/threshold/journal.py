"""A log of who approved what and when: a chain of hashes, every entry signed by whoever keeps the log.

One line an entry, each a canonical document. A changed, dropped, swapped or inserted entry breaks the chain;
the last entries cut off are noticed by whoever knows a later head (members exchange heads with their
approvals). A crash can leave the last line incomplete: its head was never given out, so the log goes on without
it, but keeps its bytes and says so, for a cut looks the same.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tacit.crypto.hashing import digest
from tacit.crypto.sealed import naming, read_private, sync_folder, write_private
from tacit.crypto.signing import SigningKey, is_signed
from tacit.errors import DataError, MaterialError
from tacit.threshold.order import decode_canonical, encode_canonical
from tacit.threshold.policy import format_time, parse_time

_DOMAIN = "threshold/journal"
_FIRST = bytes(32)
KEEPER = "this log"  # who says that a line was incomplete: no person, whose names have no blanks


@dataclass(frozen=True, slots=True)
class Entry:
    """Hold one entry: number from 0, when, what happened, who did it, to which document, more in words."""

    number: int
    time: datetime
    event: str
    who: str
    document: str
    detail: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Hold what a log says: its checked entries, their head, and the bytes of an incomplete last line."""

    entries: list[Entry]
    head: bytes
    torn: bytes


class Journal:
    """Append to and check one log file.

    ``logged`` are files that are made only after an entry, ``then`` files that an entry follows: where one of them is
    and the log holds nothing, entries were lost, or, of the latter, a crash came before theirs.
    """

    def __init__(
        self, path: Path, keeper: SigningKey, logged: Sequence[Path] = (), then: Sequence[Path] = ()
    ) -> None:
        self._path, self._keeper, self._logged, self._then = path, keeper, logged, then

    def append(self, time: datetime, event: str, who: str, document: bytes, detail: str = "") -> bytes:
        """Write an entry, synced, and return the new head. Raises MaterialError if the log is broken.

        What a crash left of a last line goes into a file beside the log, and an entry says so; so does one where the
        log began anew.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        with naming(self._path), os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            data = file.read()
            chain = self._check(data)
            number, head = len(chain.entries), chain.head
            events = [(event, who, document, detail)]
            aside = self.set_aside(number)
            kept = read_private(aside) if aside.exists() else b""  # a crash came before its entry
            if chain.torn or kept:
                kept += b"" if kept.endswith(chain.torn) else chain.torn
                write_private(aside, kept, replace=True)  # before the log lets go of it
                said = f"{len(kept)} bytes, in {aside.name}"
                events.insert(0, ("incomplete line set aside", KEEPER, digest(_DOMAIN, kept), said))
            if not number and (present := _present(self._logged)):
                events.insert(0, ("log begun anew", KEEPER, b"", f"it held nothing, {present} was there"))
            if chain.torn:
                data = data[: -len(chain.torn)]
                file.truncate(len(data))
            # An entry may be whole but for the end of its line.
            lines = [b"\n" if data and not data.endswith(b"\n") else b""]
            for position, written in enumerate(events, start=number):
                line, head = self._line(position, head, time, *written)
                lines.append(line)
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync_folder(self._path.parent)
        return head

    def read(self, head: bytes | None = None) -> Chain:
        """Return what the log says, checked. ``head`` must be in the chain. Raises MaterialError.

        It raises, too, where the log holds nothing and there are files that only logged steps make.
        """
        data = b""
        if self._path.exists():
            with self._path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)  # not while a line is half written
                data = file.read()
        chain = self._check(data, head)
        if not chain.entries and (present := _present([*self._logged, *self._then])):
            raise MaterialError(
                f"{self._path} holds no entry, though {present} is there, which comes with entries: the log was "
                "removed or emptied. Put it back from a backup, and compare with a head that you wrote down "
                "(--head); the next entry begins a new log and says so"
            )
        return chain

    def set_aside(self, number: int) -> Path:
        """Return the file that keeps the incomplete line found where entry ``number`` belongs."""
        return self._path.with_name(f"{self._path.name}.torn-{number}")

    def _check(self, data: bytes, known_head: bytes | None = None) -> Chain:
        whole = data[: data.rfind(b"\n") + 1]
        entries, head = check_journal(whole, self._keeper.public)
        torn = data[len(whole) :]
        if torn:
            with suppress(DataError, KeyError, TypeError, ValueError):
                head, entry = _check_entry(torn, len(entries), head, self._keeper.public)
                entries, whole, torn = [*entries, entry], data + b"\n", b""
        check_journal(whole, self._keeper.public, known_head)
        return Chain(entries, head, torn)

    def _line(
        self, number: int, previous: bytes, time: datetime, event: str, who: str, document: bytes, detail: str
    ) -> tuple[bytes, bytes]:
        """Return an entry's line and the head after it."""
        body = {
            "detail": detail,
            "document": document.hex(),
            "event": event,
            "number": number,
            "previous": previous.hex(),
            "time": format_time(time),
            "who": who,
        }
        encoded = encode_canonical(body)
        signature = self._keeper.sign(_DOMAIN, encoded)
        line = encode_canonical({**body, "signature": signature.hex()}) + b"\n"
        return line, digest(_DOMAIN, encoded, signature)


def _present(paths: Sequence[Path]) -> str:
    return " and ".join(path.name for path in paths if path.exists())


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
