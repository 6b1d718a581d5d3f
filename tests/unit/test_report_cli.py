"""`tacit report` in separate processes over TLS, the driver over a mesh, and the textbook's steps."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rbcl")

from hypothesis import given
from hypothesis import strategies as st
from report_world import NAMES
from threshold_command import dies, forks, tacit

from tacit.cli import report, report_demo, report_home
from tacit.crypto.groups import group_named
from tacit.crypto.sealed import seal
from tacit.errors import PeerIncompatible, PeerMisbehaved, PeerUnavailable, TacitError, UsageError
from tacit.net.identity import FILE_NAME, load_identity
from tacit.net.memory import Hub
from tacit.net.roster import Roster, load_roster
from tacit.report import drive, session, textbook


@pytest.fixture(autouse=True)
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seal with little memory: what Argon2id costs by default is measured in no test here."""
    monkeypatch.setattr(report_home, "seal", partial(seal, memory_kib=64, iterations=1, lanes=1))


@pytest.mark.parametrize("cheat", [None, *report_demo.CHEATS])
def test_demo_in_separate_processes(cheat: str | None, capsys: Any) -> None:
    assert report_demo.show(cheat) == 0
    said = capsys.readouterr().out
    if cheat is None:
        assert said.count("| report: This course is boring") == 5
        assert "All five received: 'This course is boring'. Nobody saw who wrote it." in said
    else:
        assert said.count("| named: Ben") >= 4 and "The culprit is Ben." in said
        assert said.count("| report: This course is boring") == 4


def test_cheat_without_a_value_jams(capsys: Any, monkeypatch: Any) -> None:
    asked: list[str | None] = []

    def show(cheat: str | None) -> int:
        asked.append(cheat)
        return 0

    monkeypatch.setattr(report_demo, "show", show)
    for words in ([], ["--cheat"], ["--cheat", "sum"]):
        assert tacit("report", "demo", *words) == 0
    assert asked == [None, "jam", "sum"]


def test_an_interrupted_demo_ends_all_its_processes(tmp_path: Path) -> None:
    """Ctrl-C reaches the command alone: it ends its processes, and prints one line."""
    command = [sys.executable, "-m", "tacit.cli.main", "report", "demo"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("*/roster.json")):
        time.sleep(0.02)
        assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    said, wrong = demo.communicate(timeout=30)
    assert (demo.returncode, said, wrong) == (130, "", "tacit: stopped\n"), wrong
    assert not list(tmp_path.glob("tacit-*"))


def over_memory(texts: list[bytes | None], tamper: Any = None, terms: Any = None) -> list[tuple[bytes, ...]]:
    """Run everybody in a thread over in-memory links."""
    names = NAMES[: len(texts)]
    hub = Hub(names, tamper=tamper, timeout_s=60.0)

    def one(i: int) -> Any:
        limits = (terms or {}).get(i, session.Limits(max_bytes=1000))
        randomness = random.Random(i).randbytes
        group = group_named("ristretto255")
        return lambda mesh: drive.run(mesh, names, group, randomness, texts[i], limits).delivered

    done = hub.run({name: one(i) for i, name in enumerate(names)})
    return [done[name] for name in names]


def test_driver() -> None:
    assert over_memory([None, b"hello", None]) == [(b"hello",)] * 3
    assert over_memory([None, None, None, None]) == [()] * 4


def test_driver_refuses_other_terms_and_other_people() -> None:
    with pytest.raises(PeerIncompatible, match="limits"):
        over_memory([None] * 3, terms={2: session.Limits(max_bytes=2000)})
    hub = Hub(("ann", "bob", "cem"))
    with pytest.raises(UsageError, match="not the same"):
        drive.greet(
            hub.mesh("ann"),
            ("ann", "bob"),
            group_named("ristretto255"),
            session.Limits(),
            random.Random(1).randbytes,
        )


def test_a_greeting_in_two_tongues_stops_before_anything_is_said() -> None:
    def tamper(record: Any) -> list[bytes] | None:
        if record.label == "report/hello" and record.sender == "cem" and record.receiver == "ann":
            return [bytes(record.payload[:-1]) + bytes([record.payload[-1] ^ 1])]
        return None

    with pytest.raises(PeerIncompatible, match="other greetings"):
        over_memory([b"secret", None, None], tamper)


def test_a_flood_names_its_sender() -> None:
    """Whoever sends forever what is ignored would otherwise be waited for forever."""
    names, limits = ("ann", "bob", "cem"), session.Limits(max_cycles=1)
    hub = Hub(names, timeout_s=30.0)

    def job(mesh: Any) -> Any:
        group, randomness = group_named("ristretto255"), random.Random(mesh.me).randbytes
        if mesh.me == "bob":
            drive.greet(mesh, names, group, limits, randomness)
            for peer in mesh.peers * 100:
                mesh.send(peer, "report/step", b"noise")
            with contextlib.suppress(TacitError):
                while True:  # takes part no further, and does not leave
                    mesh.recv_any("ann", 1 << 20)
        return drive.run(mesh, names, group, randomness, None, limits)

    with pytest.raises(PeerMisbehaved, match="more messages") as caught:
        hub.run(dict.fromkeys(names, job))
    assert caught.value.culprits == ("bob",)


def test_a_copied_key_is_noticed() -> None:
    names = ("ann", "bob", "cem")
    hub = Hub(names, timeout_s=30.0)

    def job(mesh: Any) -> Any:
        seed = "ann" if mesh.me == "bob" else mesh.me
        group = group_named("ristretto255")
        return drive.greet(mesh, names, group, session.Limits(), random.Random(seed).randbytes)

    with pytest.raises(PeerIncompatible, match="same key"):
        hub.run(dict.fromkeys(names, job))


def test_silence_over_a_mesh_names_who_is_silent() -> None:
    def tamper(record: Any) -> list[bytes] | None:
        return [] if record.label == "report/step" and record.sender == "bob" else None

    with pytest.raises(PeerUnavailable) as caught:
        over_memory([b"hello", None, None], tamper)
    assert caught.value.party == "bob"


@given(st.integers(3, 9), st.integers(0, 8), st.text(max_size=15), st.integers(0, 2**32))
def test_textbook(people: int, speaker: int, text: str, seed: int) -> None:
    if text.startswith("\0"):
        return
    randomness = random.Random(seed).randbytes
    values = [textbook.text_to_number(text) if i == speaker % people else 0 for i in range(people)]
    parts = [textbook.split(v, people, randomness) for v in values]
    announced = [textbook.combine([row[j] for row in parts]) for j in range(people)]
    assert textbook.number_to_text(textbook.combine(announced)) == text


def test_textbook_refusals(capsys: Any) -> None:
    with pytest.raises(UsageError, match="three"):
        textbook.split(1, 2, random.Random(1).randbytes)
    with pytest.raises(UsageError, match="64 bytes"):
        textbook.text_to_number("x" * 65)
    assert tacit("report", "teach") == 0
    assert "'boring'" in capsys.readouterr().out


def test_texts_come_from_files_and_go_to_the_terminal_harmlessly(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"hello")
    assert report.read_text(str(tmp_path / "t")) == b"hello" and report.read_text(None) is None
    (tmp_path / "e").write_bytes(b"")
    with pytest.raises(UsageError, match="bytes"):
        report.read_text(str(tmp_path / "e"))
    with pytest.raises(UsageError, match="cannot be read"):
        report.read_text("This course is boring")
    assert report.show_text(b"\x1b[2Jred\xff\n") == "\ufffd[2Jred\ufffd\n"
    assert "does not hide" in report.STATEMENT


PASSPHRASE = "canary-passphrase-5e0d"


def address(home: Path, name: str = "Ada", port: int = 7001) -> int:
    return tacit("report", "address", name, "--home", home, "--port", port)


def holds_no_key(home: Path) -> None:
    """No file of the folder shows the key, the passphrase, or anything to other users."""
    for path in home.iterdir():
        data = path.read_bytes()
        assert b"PRIVATE KEY" not in data.replace(b"ENCRYPTED PRIVATE KEY", b""), path
        assert PASSPHRASE.encode() not in data, path
    for name in (FILE_NAME, report_home.SEALED_NAME):
        assert (home / name).stat().st_mode & 0o777 == 0o600
    assert (home / FILE_NAME).read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert home.stat().st_mode & 0o777 == 0o700


def test_the_key_at_rest_is_encrypted(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    home, roster = tmp_path / "ada", tmp_path / "ada" / "me.roster.json"
    monkeypatch.setenv("TACIT_PASSPHRASE", PASSPHRASE)
    assert address(home) == 0
    holds_no_key(home)
    entry = load_roster(roster)
    assert address(home) == 0 and load_roster(roster) == entry  # the same identity again
    assert address(home, "Ben") == 1 and "the identity of 'Ada'" in capsys.readouterr().err
    monkeypatch.setenv("TACIT_PASSPHRASE", "another")
    for verb in (["address", "Ada", "--port", 7001], ["join", "Ada", "--roster", roster]):
        assert tacit("report", *verb, "--home", home) == 1
        error = capsys.readouterr().err
        assert error.startswith("tacit: the passphrase is wrong") and error.count("\n") == 1
    with pytest.raises(UsageError, match="encrypted"):
        load_identity(home, "Ada")


def test_entries_are_joined_into_one_roster(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TACIT_PASSPHRASE", PASSPHRASE)
    names = ("Cem", "Ada", "Ben")
    for port, name in enumerate(names, start=7001):
        assert address(tmp_path / name, name, port) == 0
    entries, joined = [tmp_path / name / "me.roster.json" for name in names], tmp_path / "roster.json"
    assert tacit("report", "roster", *entries, "--out", joined) == 0
    assert load_roster(joined).names == ("Ada", "Ben", "Cem")


def test_the_passphrase_is_asked_for_on_a_terminal(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.delenv("TACIT_PASSPHRASE", raising=False)
    asked: list[str] = []

    def answers(*typed: str) -> None:
        rest = list(typed)
        monkeypatch.setattr("getpass.getpass", lambda prompt: (asked.append(prompt), rest.pop(0))[1])

    answers("one", "other")
    assert address(tmp_path / "ada") == 1 and "differ" in capsys.readouterr().err
    assert not (tmp_path / "ada").exists()
    answers(PASSPHRASE, PASSPHRASE)
    assert address(tmp_path / "ada") == 0
    answers(PASSPHRASE)
    assert address(tmp_path / "ada") == 0
    assert asked == ["New passphrase: ", "Again: "] * 2 + ["Passphrase: "]

    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", nobody)
    assert address(tmp_path / "ada") == 1 and "set TACIT_PASSPHRASE" in capsys.readouterr().err


def test_an_old_key_is_refused_until_address_encrypts_it(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    home, roster = tmp_path / "ada", tmp_path / "roster.json"
    party = load_identity(home, "Ada").party("127.0.0.1", 7001)
    Roster((party,)).save(roster)
    monkeypatch.setenv("TACIT_PASSPHRASE", PASSPHRASE)
    join = ("report", "join", "Ada", "--roster", roster, "--home")
    assert tacit(*join, tmp_path / "none") == 1
    assert "not a reporting folder; to make one, run: tacit report address" in capsys.readouterr().err
    assert tacit(*join, home) == 1
    assert "not encrypted; to encrypt it under a passphrase, run: tacit report" in capsys.readouterr().err
    assert address(home, "Ben") == 1 and report_home.lies_open(home) and not report_home.has_passphrase(home)
    assert address(home) == 0 and "old copies" in capsys.readouterr().err
    holds_no_key(home)
    assert load_roster(home / "me.roster.json").parties == (party,)
    assert report_home.open_identity(home, "Ada", PASSPHRASE).party("127.0.0.1", 7001) == party
    (home / report_home.SEALED_NAME).unlink()
    assert address(home) == 1 and tacit(*join, home) == 1
    assert capsys.readouterr().err.count("identity.sealed is missing") == 2


@forks
def test_encrypting_an_old_key_survives_a_kill(tmp_path: Path) -> None:
    stop = 0
    while True:
        home = tmp_path / str(stop)
        fingerprint = load_identity(home, "Ada").fingerprint
        killed = dies(stop, lambda home=home: report_home.make_identity(home, "Ada", PASSPHRASE))  # type: ignore[misc]
        assert report_home.make_identity(home, "Ada", PASSPHRASE).fingerprint == fingerprint
        holds_no_key(home)
        if not killed:
            break
        stop += 1
    assert stop > 8


def test_three_join_with_their_passphrases(tmp_path: Path) -> None:
    passphrases = report_demo.passphrases_for(("Ada", "Ben", "Cem"))
    report_demo.prepare(tmp_path, passphrases)
    (tmp_path / "text").write_text("hello")
    people = []
    for name, passphrase in passphrases.items():
        holds_no_key(tmp_path / name / "net")
        command = [sys.executable, "-m", "tacit.cli.main", "report", "join", name, "--timeout-s", "60"]
        command += ["--home", str(tmp_path / name / "net"), "--roster", str(tmp_path / "roster.json")]
        command += ["--say", str(tmp_path / "text")] if name == "Ben" else []
        environment = {**os.environ, "TACIT_PASSPHRASE": passphrase}
        people.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    try:
        assert [person.communicate(timeout=100)[0] for person in people] == ["report: hello\n"] * 3
        assert [person.returncode for person in people] == [0, 0, 0]
    finally:
        for person in people:
            person.kill()
            person.wait()
