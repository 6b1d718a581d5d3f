"""Start every party of a job as its own process on this machine, and collect what each one has at the end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacit import errors
from tacit.errors import PeerUnavailable, TacitError, UsageError
from tacit.node.arrays import unpack
from tacit.node.job import Job
from tacit.node.member import Outcome

GRACE_S = 6.0
START_S = 60.0


@dataclass(frozen=True, slots=True)
class Member:
    """One party to start: its name, the folder of its identity, its table if it provides data."""

    name: str
    home: Path
    table: Path | None = None


class JobFailed(TacitError):
    """A job ended without its results; `reports` has each party's own error."""

    def __init__(self, reports: dict[str, str], cause: str) -> None:
        self.reports = reports
        lines = [cause, *(f"  {name}: {text}" for name, text in reports.items())]
        super().__init__("\n".join(lines))


class Parties:
    """The running processes of one job; a context manager that leaves none behind."""

    def __init__(self, members: Sequence[Member], verb: str = "party") -> None:
        self.members = list(members)
        self.verb = verb
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.events: queue.SimpleQueue[tuple[str, dict[str, Any] | None]] = queue.SimpleQueue()
        self.cards: dict[str, dict[str, Any]] = {}
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Parties:
        try:
            for member in self.members:
                self._start(member)
            deadline = time.monotonic() + START_S
            while len(self.cards) < len(self.members):
                name, event = self._next(deadline)
                if event is None or event["event"] == "error":
                    raise PeerUnavailable(
                        f"{name} did not start: {event['message'] if event else self._stderr(name)}", name
                    )
                if event["event"] == "card":
                    self.cards[name] = event["party"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _start(self, member: Member) -> None:
        member.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [
            sys.executable,
            "-m",
            "tacit.cli.main",
            self.verb,
            "--name",
            member.name,
            "--home",
            str(member.home),
        ]
        if member.table is not None:
            command += ["--table", str(member.table)]
        log = open(member.home / "stderr.log", "w+", encoding="utf-8")  # noqa: SIM115 (lives as long as the process)
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=env,
            start_new_session=True,  # Ctrl-C reaches the launcher, which stops the parties in order
        )
        log.close()
        self.processes[member.name] = process
        reader = threading.Thread(target=self._read, args=(member.name, process), daemon=True)
        self._readers.append(reader)
        reader.start()

    def _read(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                self.events.put((name, json.loads(line)))
        self.events.put((name, None))

    def _next(self, deadline: float) -> tuple[str, dict[str, Any] | None]:
        try:
            return self.events.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise UsageError("the parties did not start in time; is this machine overloaded?") from None

    def tell(self, name: str, line: dict[str, Any]) -> None:
        """Write one line of JSON to a party; a party that is gone shows in its events."""
        process = self.processes[name]
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()

    def order(self, job: Job, path: Path, approve: dict[str, str], **timeouts: float) -> None:
        """Give every party the roster, the job's file and its owner's approval."""
        roster = [self.cards[name] for name in job.parties]
        for name in self.processes:
            self.tell(
                name, {"roster": roster, "job": str(path), "approve": approve.get(name, ""), **timeouts}
            )

    def collect(self, progress: Callable[[str, int, int], None] | None = None) -> dict[str, Outcome]:
        """Wait for every party; return the outcomes, or raise JobFailed once all have reported or given up."""
        outcomes: dict[str, Outcome] = {}
        failed: dict[str, str] = {}
        gone: set[str] = set()
        deadline: float | None = None
        while len(outcomes.keys() | failed.keys() | gone) < len(self.processes):
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                name, event = self.events.get(timeout=wait)
            except queue.Empty:
                break
            if event is None:
                if name not in outcomes and name not in failed:
                    failed[name] = f"its process ended without a report{self._stderr(name)}"
                    gone.add(name)
            elif event["event"] == "progress" and progress is not None:
                progress(name, event["done"], event["total"])
            elif event["event"] == "done":
                outcomes[name] = _outcome(event)
            elif event["event"] == "error":
                failed[name] = f"{event['error']}: {event['message']}"
            if failed and deadline is None:
                deadline = time.monotonic() + GRACE_S
        if failed:
            silent = self.processes.keys() - outcomes.keys() - failed.keys()
            failed.update(dict.fromkeys(sorted(silent), "it did not report in time and was stopped"))
            raise JobFailed(failed, "the job ended without results; each party reports:")
        return outcomes

    def _stderr(self, name: str) -> str:
        home = next(m.home for m in self.members if m.name == name)
        with contextlib.suppress(OSError):
            lines = (home / "stderr.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines:
                return f" ({lines[-1][:200]})"
        return ""

    def stop(self) -> None:
        """End every process: ask, then insist."""
        for process in self.processes.values():
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
        for process in self.processes.values():
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        for process in self.processes.values():
            if process.stdout is not None:
                process.stdout.close()


def error_of(event: dict[str, Any], name: str) -> TacitError:
    """Return a party's reported error as an exception of the class it names."""
    cls = getattr(errors, str(event["error"]), TacitError)
    text = str(event["message"])
    if not (isinstance(cls, type) and issubclass(cls, TacitError)):
        return TacitError(text)
    if issubclass(cls, errors.PeerMisbehaved):
        return errors.PeerMisbehaved(text, (name,))
    return cls(text, name) if issubclass(cls, errors.PeerError) else cls(text)


def _outcome(event: dict[str, Any]) -> Outcome:
    return Outcome(
        event["party"],
        {k: unpack(v) for k, v in event["results"].items()},
        event["rounds"],
        event["sent"],
        event["wire"],
        event["seconds"],
        event["digest"],
        event["session"],
    )


def run_local(
    job: Job,
    members: Sequence[Member],
    folder: Path,
    progress: Callable[[str, int, int], None] | None = None,
    approve: dict[str, str] | None = None,
    **timeouts: float,
) -> dict[str, Outcome]:
    """Run `job` with one process per member on this machine; `folder` receives the job's file."""
    missing = set(job.parties) - {m.name for m in members}
    if missing:
        raise UsageError(f"no process is planned for {', '.join(sorted(missing))}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "job.json"
    job.save(path)
    agreed = {m.name: job.digest().hex() for m in members} if approve is None else approve
    with Parties(members) as parties:
        parties.order(job, path, agreed, **timeouts)
        return parties.collect(progress)
