"""The folder in which one person keeps the identity for reporting; its key is encrypted under a passphrase.

``identity.sealed`` is a random password under the passphrase (Argon2id); ``identity.pem`` is the key, encrypted
under that password, and the certificate.
"""

from __future__ import annotations

import resource
import secrets
from pathlib import Path

from tacit.crypto.certificates import encrypt_key, is_encrypted
from tacit.crypto.sealed import open_sealed, read_private, seal, write_private
from tacit.errors import MaterialError
from tacit.net.identity import FILE_NAME, Identity, load_identity
from tacit.net.roster import check_name

SEALED_NAME = "identity.sealed"
_LABEL = b"tacit/report/links"


def has_passphrase(folder: Path) -> bool:
    """Tell whether the folder has a passphrase already."""
    return (folder / SEALED_NAME).exists()


def lies_open(folder: Path) -> bool:
    """Tell whether the folder's key is not encrypted, as earlier versions wrote it."""
    path = folder / FILE_NAME
    return path.exists() and not is_encrypted(path.read_bytes())


def make_identity(folder: Path, name: str, passphrase: str) -> Identity:
    """Open a person's identity, or make one; a key that lies open is kept and encrypted.

    After a crash at any point, the same call with the same passphrase ends it. Raises MaterialError for a wrong
    passphrase, UsageError for another person's folder.
    """
    check_name(name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash from here on leaves no memory on disk
    path, exposed = folder / FILE_NAME, lies_open(folder)
    if exposed:
        load_identity(folder, name)  # refuses a damaged file or another person's before anything is written
    if has_passphrase(folder):
        password = _password(folder, passphrase)
    elif path.exists() and not exposed:
        raise MaterialError(f"{folder / SEALED_NAME} is missing, and {path} does not open without it")
    else:
        password = secrets.token_hex(32).encode()
        write_private(folder / SEALED_NAME, seal(passphrase, password, _LABEL))
    if exposed:
        write_private(path, encrypt_key(read_private(path), password), replace=True)
    return load_identity(folder, name, password=password)


def check_home(folder: Path, name: str) -> None:
    """Raise MaterialError, with the remedy, where there is no identity or its key lies open."""
    remedy = f"run: tacit report address {name} --home {folder} --port PORT"
    if lies_open(folder):
        raise MaterialError(
            f"the key in {folder} is not encrypted; to encrypt it under a passphrase, {remedy}"
        )
    if not (folder / FILE_NAME).exists():
        raise MaterialError(f"{folder} is not a reporting folder; to make one, {remedy}")
    if not has_passphrase(folder):
        raise MaterialError(f"{folder / SEALED_NAME} is missing, and the key does not open without it")


def open_identity(folder: Path, name: str, passphrase: str) -> Identity:
    """Open a person's identity. Raises MaterialError for a wrong passphrase or a folder without one."""
    check_home(folder, name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash from here on leaves no memory on disk
    return load_identity(folder, name, password=_password(folder, passphrase))


def _password(folder: Path, passphrase: str) -> bytes:
    return open_sealed(passphrase, read_private(folder / SEALED_NAME), _LABEL)
