"""A party that may run out of memory hears of it before any message is sent (decision 0096)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jobs import OWNERS, visits_job

from tacit.errors import JobError
from tacit.net.identity import load_identity
from tacit.net.roster import Roster
from tacit.node.member import run_member
from tacit.node.room import check_room


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 GB of which 2 GB are free."""
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 8 * 10**6}.__getitem__)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 1953125 kB\n")
    return tmp_path


def limit(system: Path, path: str, name: str, value: str, line: str) -> None:
    folder = system / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(value)
    (system / "proc/self/cgroup").write_text(line)


def test_what_fits_is_not_spoken_of(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_room(2 * 10**9, "alice", system)
    assert capsys.readouterr().err == ""


def test_what_may_not_fit_is_one_line(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_room(2 * 10**9 + 1, "alice", system)
    (line,) = capsys.readouterr().err.splitlines()
    assert "alice may take about 2.1 GB" in line and "2 GB are free" in line and "larger machine" in line


def test_what_cannot_fit_is_refused(system: Path) -> None:
    check_room(32 * 10**9, "alice", system)
    with pytest.raises(JobError, match="has 8 GB for it: run it on a larger one"):
        check_room(32 * 10**9 + 1, "alice", system)


@pytest.mark.parametrize(
    ("path", "name", "line"),
    [
        ("a/b", "memory.max", "0::/a/b\n"),
        ("a", "memory.max", "0::/a/b\n"),
        ("", "memory.max", "0::/not/mounted/here\n"),
        ("memory/a", "memory.limit_in_bytes", "5:cpu:/a\n4:memory:/a\n"),
    ],
)
def test_limits_of_control_groups_count(
    system: Path, capsys: pytest.CaptureFixture[str], path: str, name: str, line: str
) -> None:
    limit(system, path, name, "1000000000\n", line)
    check_room(10**9, "alice", system)
    assert capsys.readouterr().err == ""
    check_room(10**9 + 1, "alice", system)
    assert "1 GB are free" in capsys.readouterr().err
    with pytest.raises(JobError):
        check_room(4 * 10**9 + 1, "alice", system)


def test_no_limit_is_none(system: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit(system, "a", "memory.max", "max\n", "0::/a\n")
    check_room(2 * 10**9, "alice", system)
    assert capsys.readouterr().err == ""


def test_a_system_that_does_not_say_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", unknown)
    check_room(10**15, "alice", tmp_path)
    assert capsys.readouterr().err == ""


def test_a_party_that_has_too_little_stops_before_it_meets_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [load_identity(tmp_path / o, o) for o in OWNERS]
    roster = Roster(tuple(m.party("127.0.0.1", 9 + i) for i, m in enumerate(made)))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1000, "SC_PHYS_PAGES": 1}.__getitem__)
    job = visits_job()
    with pytest.raises(JobError, match=rf"{OWNERS[0]} may take about .* MB of memory"):
        run_member(job, roster, made[0], job.digest().hex(), connect_timeout_s=0.2, listen=("127.0.0.1", 0))


@pytest.mark.parametrize("line", [b"", b"\n", b"0\n", b"0::/caf\xe9\n", b"1:memory\n"])
def test_what_the_system_says_oddly_is_passed_over(
    line: bytes, system: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (system / "proc/self/cgroup").write_bytes(line)
    (system / "proc/meminfo").write_text("MemAvailable:\n")
    check_room(2 * 10**9, "alice", system)
    assert capsys.readouterr().err == ""
