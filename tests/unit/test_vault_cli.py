"""`tacit vault` from keys to an opened file, an emergency, new keys; and the demonstration over TLS."""

import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rbcl")

from threshold_command import dies, forks, tacit

from tacit.cli import sign_home, vault_demo
from tacit.cli.sign_home import make_home, open_home
from tacit.crypto import sealed
from tacit.threshold import dealer, vault, vault_notice
from tacit.threshold.order import encode_canonical
from tacit.threshold.policy import DIRECTORY_FORMAT
from tacit.threshold.suites import suite_named

PHRASE = "correct horse"


@pytest.fixture(autouse=True)
def passphrase(monkeypatch: Any) -> None:
    monkeypatch.setenv("TACIT_PASSPHRASE", PHRASE)
    right = sealed.seal
    monkeypatch.setattr(
        sign_home, "seal", lambda p, s, label: right(p, s, label, memory_kib=64, iterations=1, lanes=1)
    )


def people(folder: Path, threshold: int, names: list[str], group: str, directory: dict[str, Any]) -> None:
    """Folders with shares of one dealt key (see tests of `tacit sign` for keys made together)."""
    made = dealer.deal(suite_named("ristretto255"), threshold, names, os.urandom)
    for name, (share, _) in made.items():
        home = make_home(folder / name, name, PHRASE)
        (folder / f"{name}.directory").write_bytes(encode_canonical(directory))
        home.adopt_directory(folder / f"{name}.directory")
        home.stage_share(share)
        home.adopt_share()
        (folder / group).write_text(share.group_key.to_json())


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    clerk = make_home(tmp_path / "kim", "kim", PHRASE)
    directory = {
        "format": DIRECTORY_FORMAT,
        "people": [{"name": "kim", "public": clerk.key.public.hex(), "roles": ["clerk"]}],
        "rules": {},
    }
    people(tmp_path, 2, ["ann", "bob", "cem"], "members.json", directory)
    people(tmp_path, 1, ["head"], "emergency.json", directory)
    people(tmp_path, 2, ["phone1", "phone2"], "notice.json", directory)
    people(tmp_path, 1, ["zoe"], "new.json", directory)
    (tmp_path / "record.txt").write_text("blood group 0")
    groups = ["--members", tmp_path / "members.json", "--emergency", tmp_path / "emergency.json"]
    assert (
        tacit(
            "vault", "create", *groups, "--notice", tmp_path / "notice.json", "--out", tmp_path / "vault.json"
        )
        == 0
    )
    assert (
        tacit("vault", "create", "--members", tmp_path / "new.json", "--out", tmp_path / "vault2.json") == 0
    )
    sealing = ["--vault", tmp_path / "vault.json", "--record", "P-1042", "--out", tmp_path / "p"]
    assert tacit("vault", "seal", tmp_path / "record.txt", *sealing) == 0
    return tmp_path


def step(ward: Path, who: str, verb: str, *rest: Any, vault: str = "vault.json") -> int:
    return tacit("vault", "--home", ward / who, verb, "--vault", ward / vault, *rest)


def ask(ward: Path, name: str, *rest: Any, head: str = "p.head.json", vault: str = "vault.json") -> Path:
    out = ward / name
    assert step(ward, "kim", "ask", ward / head, "--reason", "surgery", "--out", out, *rest, vault=vault) == 0
    return out


def test_two_of_three_open(ward: Path, capsys: Any) -> None:
    request, head = ask(ward, "r"), ward / "p.head.json"
    for name in ("ann", "bob"):
        assert step(ward, name, "approve", head, request, "--yes", "--out", ward / f"{name}.ok") == 0
    shown = capsys.readouterr().out
    assert "P-1042" in shown and "surgery" in shown and "kim" in shown
    opening = ["--body", ward / "p.body", "--out", ward / "clear.txt"]
    assert step(ward, "kim", "open", head, request, ward / "ann.ok", *opening) == 1
    assert not (ward / "clear.txt").exists()
    assert (
        step(ward, "ann", "open", head, request, ward / "ann.ok", ward / "bob.ok", *opening) == 1
    )  # did not ask
    assert step(ward, "kim", "open", head, request, ward / "ann.ok", ward / "bob.ok", *opening) == 0
    assert (ward / "clear.txt").read_text() == "blood group 0"
    assert (ward / "clear.txt").stat().st_mode & 0o777 == 0o600


def test_a_cut_body_gives_no_file(ward: Path) -> None:
    request, head = ask(ward, "r"), ward / "p.head.json"
    for name in ("ann", "cem"):
        step(ward, name, "approve", head, request, "--yes", "--out", ward / f"{name}.ok")
    body = (ward / "p.body").read_bytes()
    (ward / "p.body").write_bytes(body[:-1])
    given = [ward / "ann.ok", ward / "cem.ok", "--body", ward / "p.body", "--out", ward / "clear.txt"]
    assert step(ward, "kim", "open", head, request, *given) == 1
    assert not (ward / "clear.txt").exists()


def test_a_member_does_not_approve_for_a_stranger(ward: Path) -> None:
    stranger = make_home(ward / "mal", "kim", PHRASE)  # calls himself kim
    assert stranger.name == "kim"
    assert step(ward, "mal", "ask", ward / "p.head.json", "--reason", "x", "--out", ward / "r") == 0
    assert step(ward, "ann", "approve", ward / "p.head.json", ward / "r", "--yes", "--out", ward / "a") == 1
    assert not (ward / "a").exists()


def test_emergency_with_notice(ward: Path, capsys: Any) -> None:
    request, head = ask(ward, "r", "--emergency"), ward / "p.head.json"
    assert step(ward, "head", "approve", head, request, "--yes", "--out", ward / "h.ok") == 0
    assert step(ward, "head", "notice", request, ward / "h.ok", "--out", ward / "notice") == 0
    for name in ("phone1", "phone2"):
        assert step(ward, name, "acknowledge", head, ward / "notice", "--out", ward / f"{name}.ok") == 0
        assert len(list((ward / name / "notices").iterdir())) == 1
    assert "EMERGENCY OPENING of P-1042, asked by kim (surgery), allowed by head" in capsys.readouterr().out
    opening = ["--body", ward / "p.body", "--out", ward / "clear.txt"]
    assert step(ward, "kim", "open", head, request, ward / "h.ok", ward / "phone1.ok", *opening) == 1
    given = [ward / "h.ok", ward / "phone1.ok", ward / "phone2.ok"]
    assert step(ward, "kim", "open", head, request, *given, *opening) == 0
    assert (ward / "clear.txt").read_text() == "blood group 0"


@forks
def test_kill_at_every_write_of_a_vault(ward: Path) -> None:
    """kill -9 before and after every call that writes: no part without its notice, no file that is not whole."""
    request, head, out = ask(ward, "r", "--emergency"), ward / "p.head.json", ward / "out"
    step(ward, "head", "approve", head, request, "--yes", "--out", ward / "h.ok")
    step(ward, "head", "notice", request, ward / "h.ok", "--out", ward / "notice")
    kept = ward / "phone1" / "notices"

    def until_it_ends(work: Callable[[], object], check: Callable[[], None]) -> int:
        stop = 0
        while dies(stop, work):
            check()
            out.unlink(missing_ok=True)
            stop += 1
        check()
        assert out.exists()
        return stop

    def noted() -> None:
        if out.exists():
            found = [vault_notice.Notice.decode(file.read_bytes()) for file in kept.glob("[!.]*")]
            assert [notice.request.record for notice in found] == ["P-1042"]
            assert vault.Approval.decode(out.read_bytes()).part == vault.NOTICE
        shutil.rmtree(kept, ignore_errors=True)

    noting = functools.partial(step, ward, "phone1", "acknowledge", head, ward / "notice", "--out", out)
    assert until_it_ends(noting, noted) > 15
    assert noting() == 1  # exists and is not overwritten: and phone1's log is whole
    assert len(open_home(ward / "phone1", PHRASE).journal.read().entries) > 1
    out.rename(ward / "phone1.ok")
    step(ward, "phone2", "acknowledge", head, ward / "notice", "--out", ward / "phone2.ok")

    def whole() -> None:
        assert not out.exists() or out.read_text() == "blood group 0"

    given = [ward / "h.ok", ward / "phone1.ok", ward / "phone2.ok"]
    opening = ["--body", ward / "p.body", "--out", out]
    assert (
        until_it_ends(functools.partial(step, ward, "kim", "open", head, request, *given, *opening), whole)
        > 10
    )


def test_new_keys_same_body(ward: Path) -> None:
    request, head = ask(ward, "r"), ward / "p.head.json"
    for name in ("ann", "bob"):
        step(ward, name, "approve", head, request, "--yes", "--out", ward / f"{name}.ok")
    before = (ward / "p.body").read_bytes()
    given = [ward / "ann.ok", ward / "bob.ok", "--to", ward / "vault2.json", "--out", ward / "p2.head.json"]
    assert step(ward, "kim", "rekey", head, request, *given) == 0
    second, head2 = ask(ward, "r2", head="p2.head.json", vault="vault2.json"), ward / "p2.head.json"
    assert (
        step(ward, "zoe", "approve", head2, second, "--yes", "--out", ward / "z.ok", vault="vault2.json") == 0
    )
    opening = [ward / "z.ok", "--body", ward / "p.body", "--out", ward / "clear.txt"]
    assert step(ward, "kim", "open", head2, second, *opening, vault="vault2.json") == 0
    assert (ward / "p.body").read_bytes() == before
    assert json.loads(head2.read_text())["file"] == json.loads(head.read_text())["file"]


@pytest.mark.parametrize("cheat", [False, True])
def test_demo_in_separate_processes(cheat: bool, capsys: Any) -> None:
    assert vault_demo.show(cheat=cheat) == 0
    said = capsys.readouterr().out
    assert "with two: too few valid approvals (normal: 2 of 3)" in said
    assert ("The culprit is Ben." in said) == cheat
    assert ("with Ada, Cem, Dia: Patient" if cheat else "with Ada, Ben, Cem: Patient") in said
