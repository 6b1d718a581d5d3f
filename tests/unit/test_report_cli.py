"""`tacit report` in separate processes over TLS, the driver over a mesh, and the textbook's steps."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rbcl")

from hypothesis import given
from hypothesis import strategies as st
from report_world import NAMES
from threshold_command import tacit

from tacit.cli import report, report_demo
from tacit.crypto.groups import group_named
from tacit.errors import PeerIncompatible, PeerMisbehaved, PeerUnavailable, TacitError, UsageError
from tacit.net.memory import Hub
from tacit.report import drive, session, textbook


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
