"""The folder in which one person keeps what signing needs: identity, share, directory, nonces, log."""

from __future__ import annotations

import getpass
import os
import resource
import secrets
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tacit.crypto.hashing import hkdf
from tacit.crypto.record import decrypt_record, encrypt_record
from tacit.crypto.sealed import open_sealed, read_private, seal, write_private
from tacit.crypto.signing import SigningKey
from tacit.errors import DataError, MaterialError, UsageError
from tacit.net.identity import Identity, load_identity
from tacit.net.roster import check_name
from tacit.threshold.journal import Journal
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.nonces import NonceStore, default_anchor_folder
from tacit.threshold.order import MAX_ORDER_BYTES, decode_written, encode_canonical
from tacit.threshold.policy import Directory, read_directory

ADOPTED = "directory adopted"
_SHARE_LABEL = b"tacit/sign/share"


def read_passphrase(prompt: str = "Passphrase: ", *, twice: bool = False) -> str:
    """Return the passphrase from TACIT_PASSPHRASE or the terminal."""
    given = os.environ.get("TACIT_PASSPHRASE")
    if given:
        return given
    typed = ask_hidden(prompt)
    again = ask_hidden("Again: ") if twice else typed
    if again != typed:
        raise UsageError("the two passphrases differ")
    if not typed:
        raise UsageError("the passphrase must not be empty")
    return typed


def ask_hidden(prompt: str, otherwise: str = "set TACIT_PASSPHRASE") -> str:
    """Ask on the terminal without showing what is typed; where there is none, take a line of standard input.

    Raises UsageError where that is empty; ``otherwise`` is its remedy.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(prompt)
    except getpass.GetPassWarning:
        # Not with getpass's own prompt and warning: from a pipe or a file nothing is shown.
        if sys.stdin is not None and not sys.stdin.isatty() and (line := sys.stdin.readline()):
            return line.rstrip("\n")
    except EOFError:
        pass
    raise UsageError(f"there is no terminal to ask for the passphrase: {otherwise}")


@dataclass(frozen=True, slots=True)
class Home:
    """Hold an opened folder: the name, the signing key and the key of the records."""

    folder: Path
    name: str
    key: SigningKey
    record_key: bytes = field(repr=False)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def journal(self) -> Journal:
        """Return this person's log."""
        first = (self.folder / "directory.json", self.folder / "nonces")
        then = (self.folder / "share.record", self.folder / "group.json")
        return Journal(self.folder / "log.jsonl", self.key, first, then)

    def directory(self) -> Directory:
        """Read the directory of people and rules. Raises UsageError unless the log says that it is in force."""
        path = self.folder / "directory.json"
        if not path.exists():
            raise UsageError(f"{path} is missing; adopt a directory with: tacit sign directory FILE")
        directory = _read_directory(path, read_document(path))
        adopted = [e.document for e in self.journal.read().entries if e.event == ADOPTED]
        if adopted[-1:] != [directory.digest.hex()]:
            raise UsageError(
                f"{path} is not the directory that the log says was adopted last, so its rules were not chosen here; "
                "compare it with the others', then adopt the right one: tacit sign directory FILE"
            )
        return directory

    def adopt_directory(self, path: Path) -> Directory:
        """Put the directory that ``path`` holds in force, in its canonical form, and return it.

        It is checked, then logged, then written: none is in force that the log does not know. Raises UsageError,
        naming the file, for what is not a directory; the present one stays.
        """
        try:
            data = encode_canonical(decode_written(read_document(path)))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        directory = _read_directory(path, data)
        self.journal.append(self.now(), ADOPTED, self.name, directory.digest)
        write_private(self.folder / "directory.json", data, replace=True)
        return directory

    def group_key(self) -> GroupKey:
        """Read the group's public key material."""
        return GroupKey.from_json(read_document(self.folder / "group.json").decode(errors="replace"))

    def share(self) -> KeyShare:
        """Decrypt the key share. Raises MaterialError where there is none."""
        record = read_private(self.folder / "share.record")
        return KeyShare.decode(decrypt_record(self.record_key, record, _SHARE_LABEL))

    def check_no_share(self) -> None:
        """Raise UsageError where there is a share, which another key's would destroy."""
        if (self.folder / "share.record").exists():
            raise UsageError("there is a share already; use another --home for another key")

    def stage_share(self, share: KeyShare) -> None:
        """Write a new share beside the present one."""
        record = encrypt_record(self.record_key, share.encode(), _SHARE_LABEL, secrets.token_bytes)
        write_private(self.folder / "share.new", record, replace=True)

    def staged(self) -> KeyShare:
        """Decrypt the staged share. Raises MaterialError where there is none."""
        record = read_private(self.folder / "share.new")
        return KeyShare.decode(decrypt_record(self.record_key, record, _SHARE_LABEL))

    def adopt_share(self) -> KeyShare:
        """Put the staged share in the present one's place; that and its nonces are destroyed.

        Everybody has stored the new generation by then; after a crash, ``tacit sign adopt`` ends it.
        """
        share = self.staged()
        record = read_private(self.folder / "share.new")
        if (self.folder / "nonces").exists():
            self.nonces().burn()  # they were bound to the old generation
        write_private(self.folder / "share.record", record, replace=True)
        write_private(self.folder / "group.json", share.group_key.to_json().encode(), replace=True)
        (self.folder / "share.new").unlink()
        return share

    def forget_share(self) -> None:
        """Remove the present share, when one has left the group."""
        if (self.folder / "nonces").exists():
            self.nonces().burn()
        (self.folder / "share.record").unlink(missing_ok=True)

    def identity(self) -> Identity:
        """Load the identity for links; its key is encrypted under what the passphrase opens."""
        password = hkdf(self.record_key, b"tacit/sign/links").hex().encode()
        return load_identity(self.folder / "net", self.name, password=password)

    def nonces(self) -> NonceStore:
        """Open the nonce store."""
        anchor = default_anchor_folder() / f"nonces-{self.key.public.hex()[:32]}"
        return NonceStore(self.folder / "nonces", anchor, self.record_key, secrets.token_bytes)


def _read_directory(path: Path, data: bytes) -> Directory:
    try:
        return read_directory(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _label(name: str) -> bytes:
    return b"tacit/sign/person/" + name.encode()


def make_home(folder: Path, name: str, passphrase: str) -> Home:
    """Make a person's folder with a fresh signing key. Raises UsageError if it has one, or for a bad name."""
    check_name(name)
    seed, record_key = secrets.token_bytes(32), secrets.token_bytes(32)
    sealed = seal(passphrase, seed + record_key, _label(name))
    write_private(folder / "person.sealed", sealed)
    write_private(folder / "name", name.encode())
    return Home(folder, name, SigningKey(seed), record_key)


def open_home(folder: Path, passphrase: str) -> Home:
    """Open a person's folder. Raises MaterialError for a wrong passphrase or a missing folder."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash from here on leaves no memory on disk
    if not (folder / "person.sealed").exists():
        raise MaterialError(f"{folder} is not a signing folder; make one with: tacit sign init")
    name = read_private(folder / "name").decode()
    secret = open_sealed(passphrase, read_private(folder / "person.sealed"), _label(name))
    return Home(folder, name, SigningKey(secret[:32]), secret[32:])


def read_document(path: Path) -> bytes:
    """Read a public document of bounded size. Raises UsageError."""
    try:
        with path.open("rb") as file:
            data = file.read(16 * MAX_ORDER_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > 16 * MAX_ORDER_BYTES:
        raise UsageError(f"{path} is too large")
    return data


def check_new(path: Path) -> None:
    """Raise UsageError where a document could not be written, before anything is logged or used up for it."""
    if path.exists() or path.is_symlink():
        raise UsageError(f"{path} exists and is not overwritten")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path} cannot be written: {path.parent} is not a folder that you can write to")


def write_document(path: Path, data: bytes) -> None:
    """Write a public document, which must not exist. Raises UsageError."""
    try:
        file = path.open("xb")
        try:
            with file:
                file.write(data)
        except OSError:
            path.unlink()  # a part of it would be taken for the document
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
