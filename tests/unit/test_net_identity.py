"""Identities on disk and rosters: private files, strict reading."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tacit.errors import DataError, UsageError
from tacit.net.identity import load_identity, show_fingerprint
from tacit.net.roster import Party, Roster, load_roster


def test_identity_is_made_once_and_kept_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "id"
    first = load_identity(folder, "alice")
    again = load_identity(folder, "alice")
    assert first == again and len(first.fingerprint) == 64
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.listdir(folder) == ["identity.pem"]
    assert "PRIVATE" not in repr(first) and "PRIVATE" not in first.certificate
    assert show_fingerprint(first.fingerprint).replace(" ", "") == first.fingerprint


def test_unsafe_or_damaged_identity_is_refused(tmp_path: Path) -> None:
    identity = load_identity(tmp_path / "a", "alice")
    with pytest.raises(UsageError, match="identity of 'alice'"):
        load_identity(tmp_path / "a", "bob")
    identity.path.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        load_identity(tmp_path / "a", "alice")
    identity.path.chmod(0o600)
    (tmp_path / "a").chmod(0o770)
    with pytest.raises(UsageError, match="chmod 700"):
        load_identity(tmp_path / "a", "alice")
    (tmp_path / "a").chmod(0o700)
    other = load_identity(tmp_path / "b", "alice")
    mixed = identity.path.read_text().split("-----BEGIN CERT")[0] + other.certificate
    identity.path.write_text(mixed)
    with pytest.raises(DataError, match="do not belong together"):
        load_identity(tmp_path / "a", "alice")
    identity.path.write_text("SECRET GARBAGE")
    with pytest.raises(DataError, match="damaged") as info:
        load_identity(tmp_path / "a", "alice")
    assert "GARBAGE" not in str(info.value)
    identity.path.unlink()
    identity.path.symlink_to(other.path)
    with pytest.raises(UsageError, match="plain file"):
        load_identity(tmp_path / "a", "alice")


def roster(tmp_path: Path) -> Roster:
    """Return a roster of two fresh parties."""
    names = ("alice", "bob")
    return Roster(
        tuple(load_identity(tmp_path / n, n).party("127.0.0.1", 7000 + i) for i, n in enumerate(names))
    )


def test_roster_round_trip_and_hash(tmp_path: Path) -> None:
    r = roster(tmp_path)
    r.save(tmp_path / "r.json")
    assert load_roster(tmp_path / "r.json") == r
    assert "PRIVATE" not in (tmp_path / "r.json").read_text()
    a, b = r.parties
    assert r.hash() != Roster((b, a)).hash()
    assert r.hash() == Roster((a, Party(b.name, "example.org", 1, b.fingerprint, b.certificate))).hash()
    with pytest.raises(UsageError, match="not in the roster"):
        r.party("carol")


def test_roster_file_is_read_strictly(tmp_path: Path) -> None:
    r = roster(tmp_path)
    r.save(tmp_path / "r.json")
    good = json.loads((tmp_path / "r.json").read_text())

    def edit(index: int, **changes: Any) -> str:
        parties = [dict(p) for p in good["parties"]]
        parties[index].update(changes)
        return json.dumps({"parties": parties})

    one = good["parties"][0]
    bad = {
        "fingerprint listed": edit(0, fingerprint="0" * 64),
        "64 lower-case hex": edit(0, fingerprint="XYZ"),
        "name 'a b'": edit(0, name="a b"),
        "name alice appears twice": edit(1, name="alice"),
        "fingerprint .* appears twice": edit(
            1, fingerprint=one["fingerprint"], certificate=one["certificate"]
        ),
        "address .* appears twice": edit(1, port=7000),
        "port must": edit(0, port=70000),
        "port must be": edit(0, port=True),
        "no host": edit(0, host=""),
        "certificate cannot be read": edit(0, certificate="-----BEGIN"),
        "unknown keys": edit(0, role="boss"),
        "not an object": '{"parties": [1]}',
        "not a list": '{"parties": 1}',
        "need 1 to": '{"parties": []}',
        "key appears twice": '{"parties": [], "parties": []}',
        "not valid JSON": "{",
    }
    for message, text in bad.items():
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises((DataError, UsageError), match=message):
            load_roster(tmp_path / "bad.json")
