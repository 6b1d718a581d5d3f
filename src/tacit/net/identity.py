"""A party's own identity: one private file made on first use, holding its key and certificate."""

from __future__ import annotations

import contextlib
import datetime
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from tacit.crypto.certificates import (
    certificate_name,
    is_encrypted,
    key_matches,
    make_certificate,
    spki_fingerprint,
)
from tacit.crypto.sealed import write_private
from tacit.errors import DataError, UsageError
from tacit.net.roster import Party, check_name

FILE_NAME = "identity.pem"
_SPLIT = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this party is: the file with its key, its certificate and its public key's SHA-256 in hex.

    The key itself stays in the file; only the TLS library reads it.
    """

    name: str
    path: Path
    certificate: str
    fingerprint: str
    password: bytes | None = field(default=None, repr=False)

    def party(self, host: str = "", port: int = 0) -> Party:
        """Return this party's entry for a roster; port 0 means that it only calls others."""
        return Party(self.name, host, port, self.fingerprint, self.certificate)


def show_fingerprint(fingerprint: str) -> str:
    """Return a fingerprint in groups of four, to be read over the telephone."""
    return " ".join(fingerprint[i : i + 4] for i in range(0, len(fingerprint), 4))


def load_identity(
    directory: str | Path,
    name: str,
    now: datetime.datetime | None = None,
    password: bytes | None = None,
) -> Identity:
    """Load this party's identity from a directory, making it on first use (directory 0700, file 0600).

    A `password` (random bytes, sealed elsewhere) encrypts the key in a file that is made, and opens it again.
    Raises UsageError when other users may read the file or when it belongs to another name, DataError when it
    is damaged.
    """
    check_name(name)
    folder = Path(directory)
    path = folder / FILE_NAME
    if not path.exists():
        _make(path, name, now or datetime.datetime.now(datetime.UTC), password)
    _check_private(folder, path)
    private, mark, rest = path.read_bytes().partition(_SPLIT)
    certificate = mark + rest
    if is_encrypted(private) and password is None:
        raise UsageError(f"{path} is encrypted and opens only together with the folder it belongs to")
    try:
        if not key_matches(private, certificate, password):
            raise DataError(
                f"{path}: key and certificate do not belong together; restore the file from a backup"
            )
        found = certificate_name(certificate)
        fingerprint = spki_fingerprint(certificate)
    except (ValueError, TypeError):  # the parser's own message could quote the file
        raise DataError(
            f"{path} is damaged; restore it from a backup, or remove it to make another"
        ) from None
    if found != name:
        raise UsageError(f"{path} is the identity of {found!r}, not of {name!r}; choose another directory")
    return Identity(name, path, certificate.decode("ascii"), fingerprint, password)


def existing_identity(directory: str | Path, name: str) -> Identity:
    """Load an identity as `load_identity` does, making none: UsageError for a folder, perhaps mistyped, without one."""
    check_name(name)
    if not (Path(directory) / FILE_NAME).exists():
        raise UsageError(
            f"{directory} holds no identity; check --home and --name, or make one: "
            f"tacit identity --name {name} --home {directory}"
        )
    return load_identity(directory, name)


def _make(path: Path, name: str, now: datetime.datetime, password: bytes | None) -> None:
    """Write a fresh identity; of two processes that race, the first wins and the second uses its file."""
    private, certificate = make_certificate(name, now, password)
    with contextlib.suppress(UsageError):
        write_private(path, private + certificate)


def _check_private(folder: Path, path: Path) -> None:
    """Refuse a key that another user may read or replace."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user; run as its owner")
    if status.st_mode & 0o077:
        raise UsageError(f"{path} can be read by other users; run: chmod 600 {path}")
    if folder.stat().st_mode & 0o022:
        raise UsageError(f"{folder} can be written by other users; run: chmod 700 {folder}")
