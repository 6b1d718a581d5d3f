"""A party process under a launcher of the same user: it announces its card, waits for the job, reports events.

Lines of JSON on stdin and stdout. Keys are made and stay in this process; the launcher sees certificates,
progress, and the results that this party receives. When the launcher goes away, so does the party.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from tacit.errors import InternalError, PeerUnavailable, TacitError, UsageError
from tacit.kernels import reuse_memory
from tacit.net.identity import load_identity
from tacit.net.rendezvous import listen_on
from tacit.net.roster import Party, Roster
from tacit.node.arrays import pack
from tacit.node.job import load_job
from tacit.node.member import Outcome, run_member
from tacit.node.privacy import keep_memory_private

EXIT_ERROR = 1
PROGRESS_S = 0.05
"""How often a party tells how far it is: the launcher that reads it may share the parties' cores."""


class Reporter:
    """Writes one event per line."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def event(self, kind: str, **fields: Any) -> None:
        """Write an event."""
        # A launcher that has gone ends this party anyway.
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._out.write(json.dumps({"event": kind, **fields}) + "\n")
            self._out.flush()

    def error(self, exc: Exception) -> None:
        """Report an error; of one that Tacit did not raise on purpose, only what holds no data."""
        if isinstance(exc, OSError) and exc.strerror:
            exc = UsageError(f"{exc.filename or 'the system'}: {exc.strerror}")
        elif not isinstance(exc, TacitError):
            exc = InternalError(unexpected(exc))
        self.event("error", error=type(exc).__name__, message=str(exc))

    def progress(self, done: int, total: int) -> None:
        """Report progress every `PROGRESS_S`, and the end."""
        now = self._clock()
        if now >= self._next or done == total:
            self._next = now + PROGRESS_S
            self.event("progress", done=done, total=total)


def unexpected(exc: BaseException) -> str:
    """Describe an unexpected exception by type and place: its own text may quote a value."""
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(exc.__traceback__)]
    return (
        f"{type(exc).__name__} at {' < '.join(reversed(places[-6:]))}; please report it as a mistake in Tacit"
    )


def serve(name: str, home: Path, table: Path | None, host: str = "127.0.0.1") -> int:
    """Run one managed party to its end; returns the exit status."""
    report = Reporter(sys.stdout)
    keep_memory_private()
    reuse_memory()
    try:
        identity = load_identity(home, name)
        with listen_on(host) as listener:
            card = identity.party(host, listener.getsockname()[1])
            report.event("card", party=asdict(card))
            order = json.loads(sys.stdin.readline() or "{}")
            if not order:
                return EXIT_ERROR
            threading.Thread(target=_heed_launcher, args=(report,), daemon=True).start()
            roster = Roster(tuple(Party(**p) for p in order["roster"]))
            outcome = run_member(
                load_job(order["job"]),
                roster,
                identity,
                order["approve"],
                table,
                listen=listener,
                progress=report.progress,
                connect_timeout_s=order.get("connect_timeout_s", 30.0),
                silence_timeout_s=order.get("silence_timeout_s", 20.0),
            )
        report.event("done", **outcome_json(outcome))
        return 0
    except Exception as exc:
        report.error(exc)
        return EXIT_ERROR


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return an Outcome as JSON values."""
    fields = {
        k: getattr(outcome, k) for k in ("party", "rounds", "sent", "wire", "seconds", "digest", "session")
    }
    return {**fields, "results": {k: pack(v) for k, v in outcome.results.items()}}


def _heed_launcher(report: Reporter) -> None:
    # stdin ends when the launcher does; a party nobody watches must not live on.
    while line := sys.stdin.readline():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            gone = json.loads(line)["gone"]
            report.error(
                PeerUnavailable(f"{gone} has ended, and this party was still waiting for others", gone)
            )
            break
    os._exit(EXIT_ERROR)
