"""What a party's process keeps to itself, and how a launcher tells what became of it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from jobs import OWNERS, members, visits_job, write_tables

from tacit.errors import InternalError, TacitError, UsageError
from tacit.node.launch import JobFailed, Parties
from tacit.node.managed import PROGRESS_S, Reporter, unexpected

CANARY = "7351935"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Lines:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def reported(exc: Exception) -> dict[str, str]:
    out = Lines()
    Reporter(out).error(exc)  # type: ignore[arg-type]
    event: dict[str, str] = json.loads(out.text)
    return event


def test_an_unexpected_error_is_reported_by_type_and_place_alone() -> None:
    try:
        float("x" + CANARY)
    except ValueError as exc:
        caught = exc
    event = reported(caught)
    assert event["error"] == InternalError.__name__
    assert "ValueError at test_party_processes.py:" in event["message"]
    assert CANARY not in event["message"]
    assert CANARY not in unexpected(caught)


def test_an_error_of_the_system_is_the_users() -> None:
    event = reported(PermissionError(13, "Permission denied", "/some/place"))
    assert (event["error"], event["message"]) == (UsageError.__name__, "/some/place: Permission denied")
    assert reported(TacitError("as it is"))["message"] == "as it is"


def test_progress_is_told_by_time_and_at_the_end() -> None:
    """However many equations there are: whoever reads it may share the parties' cores."""
    out, now = Lines(), iter(at / 1000 for at in range(500, 10_000))
    reporter = Reporter(out, clock=lambda: next(now))  # type: ignore[arg-type]
    for done in range(1, 1001):  # a second of them
        reporter.progress(done, 1000)
    told = [json.loads(line)["done"] for line in out.text.splitlines()]
    assert (told[0], told[-1]) == (1, 1000)
    gaps = {after - before for before, after in pairwise(told[:-1])}
    assert gaps <= {
        round(1000 * PROGRESS_S),
        round(1000 * PROGRESS_S) + 1,
    }  # by how sums of floats are rounded


@linux
def test_a_party_writes_no_core_file_and_is_not_read_by_its_user(tmp_path: Path) -> None:
    check = (
        "import resource, ctypes\n"
        "from tacit.node.privacy import keep_memory_private\n"
        "keep_memory_private()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "(0, 0) 0"
    with Parties(members(tmp_path, write_tables(tmp_path))) as parties:
        for process in parties.processes.values():
            assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_what_a_party_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    with Parties(members(tmp_path, write_tables(tmp_path))):
        pass
    for path in (tmp_path / "homes").rglob("*"):
        assert path.stat().st_mode & 0o077 == (0o055 if path.name == "homes" else 0), path


def test_a_killed_party_is_named_with_its_signal_and_the_waiting_hear_of_it(tmp_path: Path) -> None:
    job = visits_job()
    job.save(tmp_path / "job.json")
    with Parties(members(tmp_path, write_tables(tmp_path))) as parties:
        os.kill(parties.processes["carol"].pid, signal.SIGKILL)
        approve = {o: job.digest().hex() for o in OWNERS}
        # The others would wait a minute for carol.
        parties.order(job, tmp_path / "job.json", approve, connect_timeout_s=60.0)
        with pytest.raises(JobFailed) as failure:
            parties.collect()
    reports = failure.value.reports
    assert "signal 9 (SIGKILL)" in reports["carol"]
    for owner in ("alice", "bob"):
        assert reports[owner].startswith("PeerUnavailable: carol has ended")


def test_a_party_obeys_only_its_stdin_and_leaves_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tacit.cli.main", "party", "--name", "alice", "--home", str(tmp_path)]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    card = json.loads(ran.stdout.splitlines()[0])["party"]
    assert card["host"] == "127.0.0.1"
    for order in ("junk", "7", '{"roster": 5}', '{"roster": [], "job": "/none", "approve": ""}'):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as process:
            assert process.stdin and process.stdout and process.stderr
            process.stdin.write(order + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.read().splitlines()[-1])["event"] == "error"
            assert not process.stderr.read()
        assert process.returncode == 1
