"""The engines: what each promises, and three processes of one of them, driven from here."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.relay import Relays
from bench.rig.workloads import Data

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".peers"
LEAD_S = 0.005
"""How long before the common start the parties hear of it."""
SHORT_S = 0.1
SUCCESSION, MOST_RUNS, WARM_S = 4, 64, 0.2
"""A run that is shorter is measured at the end of at least so many in close succession, and of as many as start within
so many seconds: what is warm after a pause, in which other engines used the same caches, is not what is warm in a
service or in a loop."""
APART, LEAST_APART_S = 1.6, 0.002
"""How far apart they start, in times of a run, and at least."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an engine is, in the words of the table."""

    name: str
    title: str
    security: str
    truncation: str
    preprocessing: str
    links: str
    brief: tuple[str, str, str]
    """Adversary, truncation and preprocessing in a word or two, for the columns of long tables."""


FACTS = {
    f.name: f
    for f in (
        Facts(
            "tacit", "Tacit", "three parties, one curious", "at most 1 unit off, never a wrap",
            "none: pairwise streams", "mutual TLS 1.3", ("1 curious", "≤ 1 unit", "none"),
        ),
        Facts(
            "spu", "SPU 0.9.5", "three parties, one curious (ABY3)", "at most 1 unit off, never a wrap (its default)",
            "none: pairwise streams", "plain TCP (its default)", ("1 curious", "≤ 1 unit", "none"),
        ),
        Facts(
            "crypten", "CrypTen 0.4.1", "the first party sees all masks (its default)",
            "by the first party's wrap counts: now and then off by a whole 1",
            "triples from the first party", "plain TCP (gloo)", ("first party trusted", "may wrap", "first party"),
        ),
        Facts(
            "mpyc", "MPyC 0.11", "three parties, one curious (Shamir)", "at most 1 unit off",
            "none: pseudorandom shares", "plain TCP (its default)", ("1 curious", "≤ 1 unit", "none"),
        ),
    )
}  # fmt: skip


def python(engine: str) -> str:
    """Return the interpreter that runs an engine; BENCH_TACIT_PYTHON may name another one with Tacit installed."""
    if engine == "tacit":
        return os.environ.get("BENCH_TACIT_PYTHON", sys.executable)
    return str(PEERS / engine / "bin" / "python")


INSTALL: dict[str, list[list[str]]] = {
    "spu": [["spu==0.9.5", "setuptools<81"]],
    # CrypTen asks for the package "sklearn", which no longer installs; its other requirements come first.
    "crypten": [
        [
            "torch==2.13.0",
            "torchvision",
            "omegaconf",
            "onnx",
            "pandas",
            "pyyaml",
            "future",
            "scipy",
            "scikit-learn",
        ],
        ["--no-deps", "crypten==0.4.1"],
    ],
    "mpyc": [["mpyc==0.11", "numpy", "gmpy2"]],
}
"""Arguments of each call of pip that makes a peer's environment."""


def make_environment(engine: str, log: Callable[[str], None]) -> None:
    """Make a peer's virtual environment under .peers, once; SPU has packages for Python 3.10 and 3.11 only."""
    folder = PEERS / engine
    if engine == "tacit" or (folder / ".made").exists():
        return
    if (folder / "bin" / "python").exists() and _imports(engine):
        (folder / ".made").touch()
        return
    base = shutil.which("python3.11") or sys.executable
    log(f"making .peers/{engine} with {base}")
    PEERS.mkdir(exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([base, "-m", "venv", str(folder)], check=True)
    for arguments in INSTALL[engine]:
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *arguments]
        if subprocess.run(pip, check=False).returncode:
            raise SystemExit(
                f"{FACTS[engine].title} could not be installed; the lines above say why. Leave it out with --peers, "
                f"or put its environment into .peers/{engine} yourself."
            )
    (folder / ".made").touch()


def _imports(engine: str) -> bool:
    """Return whether an environment that somebody else made holds its engine."""
    code = f"import importlib.metadata as m; m.version({engine!r})"
    return subprocess.run([python(engine), "-c", code], capture_output=True, check=False).returncode == 0


class EngineFailed(Exception):
    """An engine's party reported an error, ended, or was too late."""


def share_out(cores: int) -> list[set[int]]:
    """Return each party's cores: all of fewer than three together, of more a third to each and none to two."""
    mine = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(mine):
        raise ValueError(f"this process may use {len(mine)} cores, not {cores}")
    each = cores // 3
    return [set(mine[i * each : (i + 1) * each] if each else mine[:cores]) for i in range(3)]


class Processes:
    """Three processes of one engine, connected."""

    def __init__(self, engine: str, relays: Relays | None = None, cores: int = 0) -> None:
        """Start; with relays the parties find one another through them; `cores` limits them as `share_out` says."""
        self.engine = engine
        places = share_out(cores) if cores else [set[int]()] * 3
        self.folder = Path(tempfile.mkdtemp(prefix=f"bench-{engine}-"))
        self._answers: list[queue.SimpleQueue[dict[str, Any] | None]] = []
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        env |= {"JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
        for rank in range(3):
            if places[rank]:
                env["BENCH_CORES"] = ",".join(map(str, sorted(places[rank])))
            with (self.folder / f"log-{rank}.txt").open("w") as log:
                process = subprocess.Popen(
                    [python(engine), "-m", "bench.rig.party", engine, str(rank), str(self.folder)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env, cwd=ROOT,
                )  # fmt: skip
            answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
            reader = threading.Thread(target=_read, args=(process, answers), daemon=True)
            reader.start()
            self._readers.append(reader)
            self._processes.append(process)
            self._answers.append(answers)
        try:
            cards = self.call("card", 120)
            for rank in range(3):
                seen = [dict(c) for c in cards]
                for other in range(3):
                    if relays is not None and other != rank:
                        seen[other]["port"] = relays.address(rank, other, cards[other]["port"])
                        seen[other]["relay"] = relays.control
                self._tell(rank, {"do": "connect", "cards": seen})
            self._collect("connect", 120)
        except BaseException:
            self.stop()
            raise

    def _tell(self, rank: int, command: Mapping[str, Any]) -> None:
        stdin = self._processes[rank].stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write(json.dumps(command) + "\n")
            stdin.flush()

    def call(self, do: str, timeout_s: float, **arguments: Any) -> list[dict[str, Any]]:
        """Give all parties one command; return their answers, or raise EngineFailed."""
        for rank in range(3):
            self._tell(rank, {"do": do, **arguments})
        return self._collect(do, timeout_s)

    def _collect(self, do: str, timeout_s: float) -> list[dict[str, Any]]:
        deadline, found, errors = time.monotonic() + timeout_s, [], []
        for rank in range(3):
            # A party that waits for one that has failed would wait for ever.
            left = deadline - time.monotonic() if not errors else min(5.0, deadline - time.monotonic())
            try:
                answer = self._answers[rank].get(timeout=max(0.01, left))
            except queue.Empty:
                errors.append(f"no answer to {do!r} within {timeout_s:.0f} s")
                continue
            if answer is None:
                errors.append(f"a party's process ended during {do!r}: {self._last_line(rank)}")
            elif "error" in answer:
                errors.append(answer["error"])
            else:
                found.append(answer)
        if errors:
            errors.sort(key=lambda e: e.startswith("no answer"))
            raise EngineFailed(errors[0])
        return found

    def _last_line(self, rank: int) -> str:
        lines = (self.folder / f"log-{rank}.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it printed nothing"

    def prepare(
        self, program: str, params: Mapping[str, Any], data: Mapping[str, Data], timeout_s: float
    ) -> dict[str, Any]:
        """Hand over a workload; return seconds of compilation and bytes of memory held before the run."""
        np.savez(self.folder / "inputs.npz", **{k: d.value for k, d in data.items()})
        inputs = {
            k: {"shape": list(np.shape(d.value)), "lo": d.lo, "hi": d.hi, "owner": d.owner}
            for k, d in data.items()
        }
        compiled = self.call("prepare", timeout_s, program=program, params=dict(params), inputs=inputs)
        held = self.call("share", timeout_s)
        times = {"compile": max(a["seconds"] for a in compiled), "held": max(a["held"] for a in held)}
        return times | compiled[0]["facts"]

    def run(self, timeout_s: float, about_s: float = math.inf) -> dict[str, Any]:
        """Run once, or in close succession if a run takes `about_s` and that is short.

        Seconds are from the common start until the slowest party has finished: "seconds" the median of the later half
        of runs, "cold" of the first, which follows a pause in which other engines ran. Of the same later half is each
        party's processor time, "cpus", and what of it was looking for messages, "looks".
        """
        self.call("meet", timeout_s)
        apart = max(LEAST_APART_S, APART * about_s)
        starts = [time.monotonic() + LEAD_S]
        if about_s <= SHORT_S:
            count = min(MOST_RUNS, max(SUCCESSION, math.ceil(WARM_S / apart)))
            starts += [starts[0] + i * apart for i in range(1, count)]
        answers = self.call("run", timeout_s, starts=starts)
        counts = self.call("count", 60)
        ends = [max(a["ends"][i] for a in answers) for i in range(len(starts))]
        times = [end - start for end, start in zip(ends, starts, strict=True)]
        # A run that was still going on when the next was to start makes that one look long.
        later = range(len(times) // 2, len(times))
        warm = [i for i in later if i and ends[i - 1] <= starts[i]] or [0]
        cpus, looks = (
            [statistics.median(a[what][i] for i in warm) for a in answers] for what in ("cpus", "looks")
        )
        sent = [c["tcp"] - a["sent_before"] for a, c in zip(answers, counts, strict=True)]
        return {
            "seconds": statistics.median(times[i] for i in warm),
            "cold": times[0],
            "cpu": sum(cpus),
            "cpus": cpus,
            "looks": looks,
            "wire": [n // len(starts) for n in sent],
            "peak": max(c["peak"] for c in counts),
            "rounds": max(a["meter"].get("rounds", np.nan) for a in answers),
            "payload": [a["meter"].get("payload") for a in answers],
            "drawn": [a["meter"].get("drawn") for a in answers],
        }

    def output(self, timeout_s: float) -> list[Any]:
        """Return the opened result."""
        self.call("output", timeout_s)
        with np.load(self.folder / "output.npz") as file:
            return [file[name] for name in file.files]

    def stop(self) -> None:
        """End the processes and remove their files."""
        for p in self._processes:
            with contextlib.suppress(OSError, AssertionError):
                assert p.stdin is not None
                p.stdin.close()
        deadline = time.monotonic() + 3
        for p in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.wait(timeout=max(0.05, deadline - time.monotonic()))
            if p.poll() is None:
                p.kill()
                p.wait()
        for reader in self._readers:
            reader.join()
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(process: subprocess.Popen[str], answers: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                answers.put(json.loads(line))
    answers.put(None)
