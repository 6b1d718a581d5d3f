"""`tacit split` and `tacit combine`, and the share files."""

import io
import json
import secrets
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rbcl")

from threshold_command import tacit

from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold import split, split_files

SECRET = b"the vault's combination is 4711\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(SECRET)
    return tmp_path


@pytest.mark.parametrize("scheme", ["gf256", "feldman", "pedersen", "slip39"])
def test_split_and_combine(folder: Path, scheme: str, capsys: Any) -> None:
    out = folder / "shares"
    assert (
        tacit("split", folder / "secret", "--threshold", 3, "--shares", 5, "--scheme", scheme, "--out", out)
        == 0
    )
    paths = sorted(out.iterdir())
    assert len(paths) == 5 and {p.stat().st_mode & 0o777 for p in paths} == {0o600}
    assert "4711" not in capsys.readouterr().out
    assert tacit("combine", *paths[1:4], "--out", folder / "again") == 0
    assert (folder / "again").read_bytes() == SECRET and (folder / "again").stat().st_mode & 0o777 == 0o600
    assert tacit("combine", *paths[:2], "--out", folder / "few") == 1
    assert tacit("combine", paths[0], paths[0], paths[1], "--out", folder / "twice") == 1
    assert not (folder / "few").exists() and not (folder / "twice").exists()
    assert "4711" not in capsys.readouterr().err
    # Shares are not overwritten, and a second set does not mix with the first.
    assert (
        tacit("split", folder / "secret", "--threshold", 3, "--shares", 5, "--out", out, "--scheme", scheme)
        == 1
    )
    assert (
        tacit(
            "split",
            folder / "secret",
            "--threshold",
            3,
            "--shares",
            5,
            "--out",
            folder / "b",
            "--scheme",
            scheme,
        )
        == 0
    )
    other = sorted((folder / "b").iterdir())
    assert tacit("combine", *paths[:2], other[2], "--out", folder / "mixed") == 1


def test_standard_input_and_output(folder: Path, monkeypatch: Any, capfdbinary: Any) -> None:
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO(SECRET)}))
    assert tacit("split", "-", "--threshold", 2, "--shares", 2, "--out", folder / "s") == 0
    capfdbinary.readouterr()
    assert tacit("combine", *sorted((folder / "s").iterdir()), "--out", "-") == 0
    assert capfdbinary.readouterr().out == SECRET


def test_a_holder_checks_its_share_and_a_wrong_one_is_named(folder: Path, capsys: Any) -> None:
    tacit(
        "split",
        folder / "secret",
        "--threshold",
        2,
        "--shares",
        3,
        "--scheme",
        "feldman",
        "--out",
        folder / "s",
    )
    paths = sorted((folder / "s").iterdir())
    assert tacit("combine", "--check", *paths) == 0
    document = json.loads(paths[1].read_text())
    value = bytearray.fromhex(document["value"])
    value[0] ^= 1
    paths[1].write_text(json.dumps(document | {"value": bytes(value).hex()}))
    capsys.readouterr()
    assert tacit("combine", "--check", *paths) == 1
    assert "share-2.json: DOES NOT FIT" in capsys.readouterr().out
    assert tacit("combine", paths[0], paths[1], "--out", folder / "x") == 1
    assert "share 2" in capsys.readouterr().err


def test_strict_share_files() -> None:
    for share in (
        split.split_bytes(SECRET, 2, 3, secrets.token_bytes)[0],
        split_files.split_sealed(SECRET, "pedersen", 2, 3, secrets.token_bytes)[0],
    ):
        data = split_files.to_json(share)
        assert split_files.to_json(split_files.from_json(data)) == data
        document = json.loads(data)
        for change in (
            {"index": 0},
            {"index": 256},
            {"index": "1"},
            {"index": True},
            {"threshold": 0},
            {"set": "00"},
            {"body": "?"},
            {"scheme": "none"},
            {"format": "tacit-share-2"},
            {"extra": 1},
        ):
            with pytest.raises(DataError):
                split_files.from_json(json.dumps(document | change).encode())
        for key in document:
            with pytest.raises(DataError):
                split_files.from_json(json.dumps({k: v for k, v in document.items() if k != key}).encode())
        with pytest.raises(DataError):
            split_files.from_json(data.replace(b'"index"', b'"index": 2, "index"'))
        with pytest.raises(DataError):
            split_files.from_json(data[:-3])


def test_sealed_shares_must_agree_on_everything_public() -> None:
    shares = split_files.split_sealed(SECRET, "feldman", 2, 3, secrets.token_bytes)
    document = json.loads(split_files.to_json(shares[1]))
    body = split_files.from_json(json.dumps(document | {"body": "AAAA" * 20}).encode())
    assert isinstance(body, split_files.SealedShare)
    with pytest.raises(DataError, match="differ"):
        split_files.combine_sealed([shares[0], body])
    with pytest.raises(DataError, match="threshold"):  # a vector of t+k commitments
        split_files.from_json(json.dumps(document | {"commitments": [*document["commitments"]] * 2}).encode())
    swapped = split_files.SealedShare(shares[0].public, shares[0].set_id, shares[0].body, shares[1].share)
    moved = json.loads(split_files.to_json(swapped)) | {"index": 3}
    wrong = split_files.from_json(json.dumps(moved).encode())
    assert isinstance(wrong, split_files.SealedShare)
    with pytest.raises(PeerMisbehaved) as caught:
        split_files.combine_sealed([shares[0], wrong])
    assert caught.value.culprits == ("share 3",)


def test_secrets_never_come_from_the_command_line(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        from tacit.cli.split import _read

        _read("my secret itself")
    assert tacit("split", folder / "secret", "--threshold", 0, "--shares", 5, "--out", folder / "s") == 1
    assert tacit("split", folder / "secret", "--threshold", 6, "--shares", 5, "--out", folder / "s") == 1
