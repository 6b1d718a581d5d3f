"""A store for signing nonces in which every one is used at most once, whatever crashes or is restored.

A nonce that signs two messages gives the key share away. So the order on disk is: (1) a used mark, written
and synced; (2) the store's generation, raised; (3) the anchor, raised; (4) the nonce, read and removed; then
it is handed out. A crash anywhere loses the nonce and never offers it again.

The anchor is a second copy of the generation in a folder that backups do not carry and a reboot empties (by
default in ``XDG_RUNTIME_DIR`` or ``/dev/shm``). A store that differs from its anchor was restored; one
without its anchor was moved, or the machine restarted: in all these cases the unused nonces are destroyed.
What this cannot see is a machine whose memory and disks are set back together; against that, members compare
commitments (:meth:`NonceStore.note`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tacit.crypto.groups import Randomness
from tacit.crypto.hashing import digest
from tacit.crypto.record import decrypt_record, encrypt_record
from tacit.crypto.sealed import read_private, sync_folder, write_private
from tacit.errors import MaterialError, UsageError
from tacit.threshold.frost import Commitment, Nonces
from tacit.threshold.suites import Suite

_LIMIT_BYTES = 4096


def default_anchor_folder() -> Path:
    """Return a folder of this user that a reboot empties. Raises UsageError where the system has none."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "tacit"
    if Path("/dev/shm").is_dir():
        return Path(f"/dev/shm/tacit-{os.getuid()}")
    raise UsageError("this system has no folder that a restart empties; set XDG_RUNTIME_DIR to one")


class NonceStore:
    """Keep unused nonces encrypted on disk and give each out once.

    ``folder`` holds the store, ``anchor`` is the file of its second copy of the generation, ``key`` (32
    random bytes, sealed beside the key share) encrypts them. ``checkpoint`` is for tests that crash.
    """

    def __init__(
        self,
        folder: Path,
        anchor: Path,
        key: bytes,
        randomness: Randomness,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder, self._anchor, self._key = folder, anchor, key
        self._randomness, self._checkpoint = randomness, checkpoint
        for needed in (folder, anchor.parent):
            needed.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = needed.lstat()  # a link is refused by its mode: it could lead anywhere
            if status.st_uid != os.getuid() or status.st_mode & 0o077:
                raise MaterialError(f"{needed} belongs or is open to other users; run: chmod 700 {needed}")
        with self._locked():
            self._sweep()
            self._settle()

    def __repr__(self) -> str:
        return f"NonceStore({self._folder})"

    def add(self, nonces: Nonces) -> str:
        """Store fresh nonces and return their public id. The object given is empty afterwards."""
        name = commitment_id(nonces.commitment)
        hiding, binding = nonces.spend()
        secret = hiding.encode() + binding.encode()
        with self._locked():
            self._settle()
            record = encrypt_record(self._key, secret, self._label(name), self._randomness)
            write_private(self._path("nonce", name), record, checkpoint=self._checkpoint)
        return name

    def take(self, commitment: Commitment, suite: Suite, purpose: bytes) -> Nonces:
        """Give nonces out, once; ``purpose`` (a digest of what is signed) goes into the used mark.

        Raises MaterialError if they were used, lost in a crash, or made before a restart or a restore.
        """
        name = commitment_id(commitment)
        with self._locked():
            self._settle()
            record_path = self._path("nonce", name)
            if self._path("used", name).exists():
                raise MaterialError("these nonces were used, or a crash interrupted their use; approve again")
            if not record_path.exists():
                raise MaterialError(
                    "these nonces are not here: a restart or a restore destroyed them; approve again"
                )
            # (1) from here on the nonce is spent, whatever happens
            write_private(self._path("used", name), purpose, checkpoint=self._checkpoint)
            # (2), (3)
            self._raise_to(self._generation() + 1)
            # (4)
            record = read_private(record_path, _LIMIT_BYTES)
            self._checkpoint("read")
            record_path.unlink()
            sync_folder(self._folder)
            self._checkpoint("removed")
        secret = decrypt_record(self._key, record, self._label(name))
        decode = suite.group.decode_scalar
        return Nonces(decode(secret[:32]), decode(secret[32:]), commitment)

    def note(self, commitment: Commitment, purpose: bytes) -> bytes:
        """Remember what another member's commitment served, and return what it served first.

        If that differs, the member was set back to an old state or reuses nonces: do not sign with it.
        """
        path = self._path("seen", commitment_id(commitment))
        with self._locked():
            if path.exists():
                return read_private(path, _LIMIT_BYTES)
            write_private(path, purpose, checkpoint=self._checkpoint)
        return purpose

    def burn(self) -> None:
        """Destroy all unused nonces."""
        with self._locked():
            self._burn()

    def _label(self, name: str) -> bytes:
        return digest("threshold/nonce-record", name.encode())

    def _path(self, kind: str, name: str = "") -> Path:
        return self._folder / (f"{kind}-{name}" if name else kind)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The anchor's lock as well: two copies of one store share the anchor, and must not use it at once.
        self._anchor.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # emptied since, perhaps
        with ExitStack() as held:
            for path in (self._anchor.with_name(f"{self._anchor.name}.lock"), self._folder / "lock"):
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def _read_mark(self, path: Path) -> tuple[int, str]:
        try:
            number, token = read_private(path, _LIMIT_BYTES).decode().split(" ")
            return int(number), token
        except ValueError as error:
            raise MaterialError(f"{path} is damaged; remove the nonce store to start a new one") from error

    def _generation(self) -> int:
        """Return the highest generation that either copy knows."""
        copies = [path for path in (self._path("generation"), self._anchor) if path.exists()]
        return max((self._read_mark(path)[0] for path in copies), default=0)

    def _raise_to(self, generation: int) -> None:
        # The random token tells two histories of the same length apart (a restore, use, and a second restore).
        text = f"{generation} {self._randomness(16).hex()}".encode()
        write_private(self._path("generation"), text, replace=True, checkpoint=self._checkpoint)
        write_private(self._anchor, text, replace=True, checkpoint=self._checkpoint)

    def _settle(self) -> None:
        """Compare the two copies of the generation and destroy the unused nonces unless they agree.

        A crash between raising the two leaves them apart; that cannot be told from a restore: it burns too.
        """
        own = self._path("generation")
        if own.exists() and self._anchor.exists() and self._read_mark(own) == self._read_mark(self._anchor):
            return
        self._burn()

    def _sweep(self) -> None:
        """Remove what a crash left: drafts of files, and nonces that have a used mark."""
        for path in self._folder.iterdir():
            kind, _, name = path.name.partition("-")
            if kind.startswith(".") or (kind == "nonce" and self._path("used", name).exists()):
                path.unlink()

    def _burn(self) -> None:
        for path in self._folder.iterdir():
            if path.name.startswith("nonce-"):
                path.unlink()
        sync_folder(self._folder)
        self._checkpoint("burnt")
        self._raise_to(self._generation() + 1)


def commitment_id(commitment: Commitment) -> str:
    """Return the public name of a pair of nonces: a digest of its commitment."""
    return digest("threshold/commitment", commitment.encode()).hex()
