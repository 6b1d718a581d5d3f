"""Check that secrets at rest open only with passphrase and label, and never show."""

from __future__ import annotations

import errno
import os
import stat
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tacit.crypto import sealed
from tacit.crypto.sealed import naming, write_private
from tacit.crypto.signing import SigningKey
from tacit.errors import MaterialError, UsageError
from tacit.net.identity import load_identity
from tacit.threshold import vault_files
from tacit.threshold.journal import Journal

CHEAP = {"memory_kib": 64, "iterations": 1, "lanes": 1}
CANARY = b"canary-9d1c4f-secret"


def test_round_trip_and_refusals() -> None:
    blob = sealed.seal("correct horse", CANARY, b"share/1", **CHEAP)
    assert sealed.open_sealed("correct horse", blob, b"share/1") == CANARY
    assert sealed.open_sealed(b"correct horse", blob, b"share/1") == CANARY
    assert CANARY not in blob and sealed.seal("correct horse", CANARY, b"share/1", **CHEAP) != blob
    for passphrase, label in (("wrong", b"share/1"), ("correct horse", b"share/2"), ("correct horse", b"")):
        with pytest.raises(MaterialError):
            sealed.open_sealed(passphrase, blob, label)
    with pytest.raises(UsageError):
        sealed.open_sealed("", blob, b"share/1")
    with pytest.raises(UsageError):
        sealed.seal("", CANARY, b"share/1")


def test_every_flipped_byte_is_refused() -> None:
    blob = sealed.seal("p", CANARY, b"l", **CHEAP)
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1
        with pytest.raises(MaterialError):
            sealed.open_sealed("p", bytes(changed), b"l")
    for short in range(len(blob)):
        with pytest.raises(MaterialError):
            sealed.open_sealed("p", blob[:short], b"l")


def test_parameters_are_bounded_before_work() -> None:
    blob = sealed.seal("p", CANARY, b"l", **CHEAP)
    at = len(sealed.MAGIC)
    for numbers in (b"\xff\xff\xff\xff\x01\x01", b"\0\0\0\x40\xff\x01", b"\0\0\0\x40\x01\xff", bytes(6)):
        with pytest.raises(MaterialError):
            sealed.open_sealed("p", blob[:at] + numbers + blob[at + 6 :], b"l")
    for wrong in ({"memory_kib": 1}, {"iterations": 0}, {"lanes": 17}, {"memory_kib": 2**31}):
        with pytest.raises(UsageError):
            sealed.seal("p", CANARY, b"l", **{**CHEAP, **wrong})


def test_nothing_in_tracebacks() -> None:
    blob = sealed.seal("canary-first", CANARY, b"l", **CHEAP)
    wrong = "".join(["canary", "-second"])
    with pytest.raises(MaterialError) as caught:
        sealed.open_sealed(wrong, blob, b"l")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary-" not in shown


def test_private_files(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "share"
    old = os.umask(0)
    try:
        sealed.write_private(path, b"one")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(UsageError):
        sealed.write_private(path, b"two")
    assert sealed.read_private(path) == b"one"
    sealed.write_private(path, b"two", replace=True)
    assert sealed.read_private(path) == b"two" and os.listdir(path.parent) == ["share"]
    path.chmod(0o640)
    with pytest.raises(MaterialError, match="chmod 600"):
        sealed.read_private(path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    for bad in (tmp_path / "link", tmp_path / "absent"):
        with pytest.raises(MaterialError):
            sealed.read_private(bad)
    with pytest.raises(MaterialError):
        sealed.read_private(path, limit_bytes=2)


def test_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        for path in (tmp_path / "new" / "deep" / "secret", tmp_path / "secret"):
            with pytest.raises(OSError, match="No space left") as caught:
                write_private(path, b"x")
            assert caught.value.filename == str(path)
        with pytest.raises(OSError, match="No space left") as caught:
            load_identity(tmp_path / "home", "alice")
        assert caught.value.filename == str(tmp_path / "home" / "identity.pem")
        with pytest.raises(OSError, match="No space left") as caught:
            vault_files.save(tmp_path / "body", [b"x"])
        assert caught.value.filename == str(tmp_path / "body")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(OSError, match="No space left") as caught:
            Journal(tmp_path / "log", SigningKey(bytes(32))).append(datetime.now(UTC), "e", "Ada", b"")
        assert caught.value.filename == str(tmp_path / "log")
    with pytest.raises(FileNotFoundError) as missing, naming(tmp_path / "card"):
        (tmp_path / "none" / "file").read_bytes()
    assert missing.value.filename == str(tmp_path / "none" / "file")
