"""Secrets at rest: encrypted under a passphrase, in files that only their owner reads.

A blob is a magic, the Argon2id parameters (RFC 9106), a salt, and AES-256-GCM-SIV (RFC 8452) of the secret
with everything before it and the caller's label as associated data. Parameters read from a blob are bounded
before any memory is taken, and lowering them breaks the tag.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tacit.errors import MaterialError, UsageError

MAGIC = b"tacit-sealed-1\n"
MAX_PLAINTEXT_BYTES = 16 * 1024 * 1024
MAX_MEMORY_KIB = 1024 * 1024
MAX_ITERATIONS = 16
MAX_LANES = 16

# RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
DEFAULT_MEMORY_KIB, DEFAULT_ITERATIONS, DEFAULT_LANES = 64 * 1024, 3, 4
_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
_HEAD_BYTES = len(MAGIC) + 6 + _SALT_BYTES + _NONCE_BYTES


def _key(passphrase: bytes, salt: bytes, memory_kib: int, iterations: int, lanes: int) -> bytes:
    kdf = Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib)
    return kdf.derive(passphrase)


def _passphrase_bytes(passphrase: str | bytes) -> bytes:
    data = passphrase.encode() if isinstance(passphrase, str) else passphrase
    if not data:
        raise UsageError("the passphrase must not be empty")
    return data


def seal(
    passphrase: str | bytes,
    plaintext: bytes,
    label: bytes,
    *,
    memory_kib: int = DEFAULT_MEMORY_KIB,
    iterations: int = DEFAULT_ITERATIONS,
    lanes: int = DEFAULT_LANES,
    randomness: Callable[[int], bytes] = secrets.token_bytes,
) -> bytes:
    """Encrypt a secret under a passphrase; ``label`` says what it is and must be given again to open it."""
    data = _passphrase_bytes(passphrase)
    if len(plaintext) > MAX_PLAINTEXT_BYTES:
        raise UsageError(f"a sealed secret has at most {MAX_PLAINTEXT_BYTES} bytes")
    _check_parameters(memory_kib, iterations, lanes)
    salt, nonce = randomness(_SALT_BYTES), randomness(_NONCE_BYTES)
    head = MAGIC + memory_kib.to_bytes(4, "big") + bytes([iterations, lanes]) + salt + nonce
    key = _key(data, salt, memory_kib, iterations, lanes)
    return head + AESGCMSIV(key).encrypt(nonce, plaintext, head + label)


def open_sealed(passphrase: str | bytes, blob: bytes, label: bytes) -> bytes:
    """Decrypt what :func:`seal` wrote. Raises MaterialError for a wrong passphrase, label or damaged blob."""
    data = _passphrase_bytes(passphrase)
    if not blob.startswith(MAGIC) or not len(blob) >= _HEAD_BYTES + _TAG_BYTES:
        raise MaterialError("this is not a sealed secret")
    if len(blob) > _HEAD_BYTES + MAX_PLAINTEXT_BYTES + _TAG_BYTES:
        raise MaterialError("this sealed secret is larger than any that Tacit writes")
    head, body = blob[:_HEAD_BYTES], blob[_HEAD_BYTES:]
    numbers = head[len(MAGIC) :]
    memory_kib, iterations, lanes = int.from_bytes(numbers[:4], "big"), numbers[4], numbers[5]
    try:
        _check_parameters(memory_kib, iterations, lanes)
    except UsageError as error:
        raise MaterialError("this sealed secret asks for more work than Tacit does") from error
    salt, nonce = numbers[6 : 6 + _SALT_BYTES], numbers[6 + _SALT_BYTES :]
    key = _key(data, salt, memory_kib, iterations, lanes)
    try:
        return AESGCMSIV(key).decrypt(nonce, body, head + label)
    except InvalidTag:
        pass  # raised below, outside of this block: the traceback then holds nothing of the cipher's frame
    raise MaterialError("the passphrase is wrong, or this is another secret, or it is damaged")


def _check_parameters(memory_kib: int, iterations: int, lanes: int) -> None:
    if not (1 <= lanes <= MAX_LANES and 1 <= iterations <= MAX_ITERATIONS):
        raise UsageError("Argon2id: passes and lanes lie between 1 and 16")
    if not 8 * lanes <= memory_kib <= MAX_MEMORY_KIB:
        raise UsageError(f"Argon2id: memory lies between 8 KiB a lane and {MAX_MEMORY_KIB} KiB")


def write_private(
    path: Path, data: bytes, *, replace: bool = False, checkpoint: Callable[[str], None] = lambda _: None
) -> None:
    """Write a file of mode 0600; after a crash there is the old one, the new one or none, never a part.

    Raises UsageError if it exists, unless ``replace``. Parent folders are made with mode 0700. ``checkpoint``
    is called between the steps, for tests that crash there.
    """
    checkpoint("before")
    missing = [folder for folder in path.parents if not folder.exists()]
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            checkpoint("written")
            os.fsync(file.fileno())
        checkpoint("synced")
        if replace:
            os.replace(draft, path)
        else:
            try:
                os.link(draft, path)  # unlike rename, fails if the name is taken
            except FileExistsError as error:
                raise UsageError(f"{path} exists and is not overwritten") from error
        checkpoint("named")
    except OSError as error:
        error.filename = str(path)  # not the draft's name, or none, as where the disk is full
        draft.unlink(missing_ok=True)
        with suppress(OSError):  # another may use them by now
            for folder in missing:
                folder.rmdir()
        raise
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    checkpoint("after")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError that names no file, as that of a full disk, the name of the file that is written."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path, limit_bytes: int = MAX_PLAINTEXT_BYTES + 4096) -> bytes:
    """Read a secret's file. Raises MaterialError if it is missing, too large, or open to group or others."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise MaterialError(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & 0o077:
            raise MaterialError(f"{path} is open to other users; run: chmod 600 {path}")
        if status.st_size > limit_bytes:
            raise MaterialError(f"{path} is too large")
        return file.read()
