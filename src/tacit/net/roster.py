"""Who takes part: an ordered list of names, addresses and pinned public keys, the same at every party.

Each party calls those listed before it, so parties that cannot be reached from outside stand last, port 0.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from tacit.crypto.certificates import spki_fingerprint
from tacit.crypto.sealed import naming
from tacit.errors import DataError, UsageError
from tacit.net.codec import digest

MAX_PARTIES = 64
MAX_FILE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{0,253}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


def check_name(name: str) -> None:
    """Raise UsageError unless the text can name a party."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"party name {name!r}: need 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"
        )


@dataclass(frozen=True, slots=True)
class Party:
    """One entry: address (port 0: only calls others), SHA-256 of its public key in hex, certificate PEM."""

    name: str
    host: str
    port: int
    fingerprint: str
    certificate: str

    def __post_init__(self) -> None:
        check_name(self.name)
        if not isinstance(self.host, str) or not _HOST.fullmatch(self.host):
            raise DataError(f"roster: {self.name}'s host is not a host name or address")
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port < 1 << 16:
            raise DataError(f"roster: {self.name}'s port must be 0 to 65535")
        if self.port and not self.host:
            raise DataError(f"roster: {self.name} has a port but no host")
        if not isinstance(self.fingerprint, str) or not _FINGERPRINT.fullmatch(self.fingerprint):
            raise DataError(f"roster: {self.name}'s fingerprint must be 64 lower-case hex digits")
        try:
            found = spki_fingerprint(self.certificate.encode("ascii"))
        except (ValueError, AttributeError):
            raise DataError(f"roster: {self.name}'s certificate cannot be read") from None
        if found != self.fingerprint:
            raise DataError(
                f"roster: {self.name}'s certificate does not have the fingerprint listed; "
                f"ask {self.name} for both again, over a way you trust"
            )


@dataclass(frozen=True, slots=True)
class Roster:
    """The ordered parties of a job."""

    parties: tuple[Party, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.parties) <= MAX_PARTIES:
            raise DataError(f"roster: need 1 to {MAX_PARTIES} parties, got {len(self.parties)}")
        for what, values in (
            ("name", [p.name for p in self.parties]),
            ("fingerprint", [p.fingerprint for p in self.parties]),
            ("address", [f"{p.host}:{p.port}" for p in self.parties if p.port]),
        ):
            twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
            if twice is not None:
                raise DataError(f"roster: {what} {twice} appears twice")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names in order."""
        return tuple(p.name for p in self.parties)

    def party(self, name: str) -> Party:
        """Return one entry; UsageError when the name is not listed."""
        for party in self.parties:
            if party.name == name:
                return party
        raise UsageError(f"{name!r} is not in the roster; it lists {', '.join(self.names)}")

    def hash(self) -> bytes:
        """Return SHA-256 over names and keys in order; addresses may differ between sites, so not they."""
        return digest("tacit roster 1", [[p.name, p.fingerprint] for p in self.parties])

    def save(self, path: str | Path) -> None:
        """Write the roster as JSON; it holds no secret."""
        text = json.dumps({"parties": [asdict(p) for p in self.parties]}, indent=2)
        with naming(Path(path)):
            Path(path).write_text(text + "\n", encoding="utf-8")


def load_roster(path: str | Path) -> Roster:
    """Read a roster file; DataError names what is wrong with it."""
    with Path(path).open("rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise DataError(f"roster: {path} exceeds {MAX_FILE_BYTES} bytes")
    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        raise DataError(f"roster: {path} is not valid JSON") from None
    _check_keys(parsed, {"parties"}, "the file")
    if not isinstance(parsed["parties"], list):
        raise DataError("roster: 'parties' is not a list")
    keys = {"name", "host", "port", "fingerprint", "certificate"}
    for i, entry in enumerate(parsed["parties"]):
        _check_keys(entry, keys, f"party {i + 1}")
    return Roster(tuple(Party(**entry) for entry in parsed["parties"]))


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise DataError("roster: a key appears twice in one object")
    return result


def _check_keys(value: object, keys: set[str], where: str) -> None:
    if not isinstance(value, dict):
        raise DataError(f"roster: {where} is not an object")
    if set(value) != keys:
        missing, unknown = sorted(keys - set(value)), sorted(set(value) - keys)
        raise DataError(f"roster: {where} lacks {missing} and has unknown keys {unknown}")
