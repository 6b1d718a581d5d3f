"""Start every party of a job as its own process on this machine, and collect what each one has at the end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacit import errors
from tacit.errors import PeerUnavailable, TacitError, UsageError
from tacit.node.arrays import unpack
from tacit.node.job import Job
from tacit.node.member import Outcome

GRACE_S = 6.0
TELL_S = 2.0
"""After a failure, how long the other parties have to find it out by themselves."""
START_S = 30.0


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
    """The running processes of one job; a context manager that waits until all have started, and leaves none behind."""

    def __init__(self, members: Sequence[Member], verb: str = "party") -> None:
        self.members = list(members)
        self.verb = verb
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.events: queue.SimpleQueue[tuple[str, dict[str, Any] | None]] = queue.SimpleQueue()
        self.cards: dict[str, dict[str, Any]] = {}
        self._readers: list[threading.Thread] = []

    @contextlib.contextmanager
    def starting(self) -> Iterator[Parties]:
        """Start the processes without waiting for them: what is done until `with parties` costs no time of theirs."""
        try:
            self._start_all()
            yield self
        finally:
            self.stop()

    def __enter__(self) -> Parties:
        try:
            if not self.processes:
                self._start_all()
            deadline = time.monotonic() + START_S
            while len(self.cards) < len(self.members):
                name, event = self._next(deadline)
                if event is None:
                    raise PeerUnavailable(f"{name} did not start: {self._ending(name)}", name)
                if event["event"] == "error":
                    raise PeerUnavailable(f"{name} did not start: {event['message']}", name)
                if event["event"] == "card":
                    self.cards[name] = event["party"]
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _start_all(self) -> None:
        for member in self.members:
            self._start(member)

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
        handle = os.open(member.home / "stderr.log", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        log = os.fdopen(handle, "w", encoding="utf-8")
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
            late = [name for name in self.processes if name not in self.cards]
            raise UsageError(
                f"{', '.join(late)} did not start in {START_S:.0f} seconds; is this machine overloaded?"
            ) from None

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
        deadline: float | None = None
        gone = ""
        told = False
        while len(outcomes.keys() | failed.keys()) < len(self.processes):
            try:
                name, event = self.events.get(timeout=_left(deadline, told or not gone))
            except queue.Empty:
                if told or not gone:
                    break
                told = True  # that the party which they wait for will not come
                for other in self.processes.keys() - outcomes.keys() - failed.keys():
                    self.tell(other, {"gone": gone})
                continue
            if event is None:
                if name not in outcomes and name not in failed:
                    failed[name] = self._ending(name)
                    gone = gone or name
            elif event["event"] == "progress" and progress is not None:
                progress(name, event["done"], event["total"])
            elif event["event"] == "done":
                outcomes[name] = _outcome(event)
            elif event["event"] == "error":
                failed[name] = f"{event['error']}: {event['message']}"
                if not isinstance(error_of(event, name), errors.PeerError):
                    gone = gone or name
            if failed and deadline is None:
                deadline = time.monotonic() + GRACE_S
        if failed:
            silent = self.processes.keys() - outcomes.keys() - failed.keys()
            failed.update(dict.fromkeys(sorted(silent), "it did not report in time and was stopped"))
            raise JobFailed(failed, "the job ended without results; each party reports:")
        return outcomes

    def _ending(self, name: str) -> str:
        """Say how a process ended that did not say so itself; of its stderr only what came before it had data."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.processes[name].wait(timeout=2)
            if status < 0:
                return f"its process was ended from outside, by signal {-status} ({_signal_name(-status)})"
        text = "its process ended without a report"
        home = next(m.home for m in self.members if m.name == name)
        with contextlib.suppress(OSError):
            lines = (home / "stderr.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if lines and name not in self.cards:
                return f"{text} ({lines[-1][:200]})"
            if lines:
                return f"{text}; see {home / 'stderr.log'}"
        return text

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


def _left(deadline: float | None, told: bool) -> float | None:
    """Return the seconds to wait for the next event: after a failure, until the rest are told, then to the end."""
    if deadline is None:
        return None
    return max(0.0, deadline - time.monotonic() - (0.0 if told else GRACE_S - TELL_S))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


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
    members: Sequence[Member] | Parties,
    folder: Path,
    progress: Callable[[str, int, int], None] | None = None,
    approve: dict[str, str] | None = None,
    **timeouts: float,
) -> dict[str, Outcome]:
    """Run `job` with one process per member on this machine, started or not; `folder` receives the job's file."""
    started = members if isinstance(members, Parties) else Parties(members)
    missing = set(job.parties) - {m.name for m in started.members}
    if missing:
        raise UsageError(f"no process is planned for {', '.join(sorted(missing))}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "job.json"
    job.save(path)
    agreed = (
        dict.fromkeys((m.name for m in started.members), job.digest().hex()) if approve is None else approve
    )
    with started as parties:
        parties.order(job, path, agreed, **timeouts)
        return parties.collect(progress)
