"""Runs workloads on Tacit and its peers in turn and keeps one JSON file a workload and network."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.engines import FACTS, ROOT, EngineFailed, Processes
from bench.rig.page import RESULTS
from bench.rig.plan import Known, Row
from bench.rig.relay import NETWORKS, Relays
from bench.rig.workloads import Workload

SLOW_S = 2.0
ONCE_S = 15.0
"""A run that takes longer is not repeated, not even to be warm."""
PEER_NAMES = [name for name in FACTS if name != "tacit"]
Say = Callable[[str], None]


def title(name: str) -> str:
    """Return how an engine is called; "tacit@2" is Tacit on two cores."""
    engine, _, cores = name.partition("@")
    return FACTS[engine].title + (f" on {cores} cores" if cores else "")


@dataclass(slots=True)
class Options:
    """What to run and for how long."""

    repeats: int = 0
    """Measured runs; 0: by duration, at least 5 where one takes less than 2 s."""
    timeout_s: float = 300.0
    small: bool = False


@dataclass(slots=True)
class Bench:
    """Engines on one network or on some of the cores; started when first needed, and again after a failure."""

    network: str
    options: Options
    say: Say
    folder: Path = RESULTS
    _engines: dict[str, Processes] = field(default_factory=dict)
    _relays: Relays | None = None

    def __enter__(self) -> Bench:
        if self.network in NETWORKS and NETWORKS[self.network].rtt_s:
            self._relays = Relays(NETWORKS[self.network])
        return self

    def __exit__(self, *exc: object) -> None:
        for engine in list(self._engines):
            self._drop(engine)
        if self._relays is not None:
            self._relays.stop()

    def _engine(self, name: str) -> Processes:
        if name not in self._engines:
            self.say(f"starting {title(name)}")
            engine, _, cores = name.partition("@")
            self._engines[name] = Processes(engine, self._relays, int(cores or 0))
        return self._engines[name]

    def _drop(self, name: str) -> None:
        engine = self._engines.pop(name, None)
        if engine is not None:
            engine.stop()

    # -- one workload -------------------------------------------------------------------------------------

    def measure(self, row: Row, engines: Sequence[str]) -> None:
        """Measure these engines of a row in turn, Tacit beside them; write the file."""
        w, path, started = row.workload, row.path(self.folder), time.monotonic()
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        load = os.getloadavg()[0]
        # Ratios are of runs taken in turn, so Tacit runs beside every peer that is new.
        beside = ["tacit"] if any(e in PEER_NAMES for e in engines) else []
        results = self._in_turn(w, list(dict.fromkeys([*beside, *engines])))
        at = {"taken": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "commit": commit(), "load": load}
        for name in engines:
            results[name] |= at | {"took": round(time.monotonic() - started, 1)}
            if name in PEER_NAMES and "seconds" in results["tacit"]:
                results[name]["beside"] = results["tacit"]["seconds"]
                results[name]["beside_params"] = results["tacit"]["params"]
        # Tacit's own entry stays what it was if only peers are new: their ratios are against the runs beside them.
        record = {
            "workload": w.name,
            "group": w.group,
            "network": self.network,
            "small": self.options.small,
            "engines": dict(found.get("engines", {})) | {n: results[n] for n in engines},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")

    def _params(self, w: Workload, engines: Sequence[str]) -> dict[str, Any]:
        """Return the size for all engines of a row: a smaller one beside MPyC, which has rows of its own."""
        if self.options.small:
            return w.small
        return {**w.params, **w.tiny} if "mpyc" in engines else w.params

    def _in_turn(self, w: Workload, engines: list[str]) -> dict[str, dict[str, Any]]:
        """Prepare and warm up every engine, then run them in turn; return a result or an error for each."""
        out: dict[str, dict[str, Any]] = {}
        runs: dict[str, list[dict[str, Any]]] = {}
        params = self._params(w, engines)
        data = w.data(params)
        for name in engines:
            out[name] = {"params": params}
            with self._guard(w, name, out):
                out[name] |= self._engine(name).prepare(w.program, params, data, self.options.timeout_s)
                first = self._engine(name).run(self.options.timeout_s)
                out[name]["first"] = first["seconds"]
                out[name]["warm"] = first["seconds"] <= ONCE_S
                runs[name] = [] if out[name]["warm"] else [first]
        count = {n: 0 if runs[n] else self._count(out[n]["first"]) for n in runs}
        for i in range(max(count.values(), default=0)):
            for name in list(runs):
                if i < count[name]:
                    self.say(f"{w.name}: {title(name)} {i + 1} of {count[name]}")
                    with self._guard(w, name, out):
                        before = runs[name][-1]["seconds"] if runs[name] else out[name]["first"]
                        runs[name].append(self._engine(name).run(self.options.timeout_s, before))
                    if "failed" in out[name]:
                        del runs[name]
        for name in runs:
            with self._guard(w, name, out):
                out[name] |= summary(runs[name])
                got, want = self._engine(name).output(self.options.timeout_s), w.expected(data, params)
                absolute, relative = w.error(got, want)
                # JSON has no infinity; a result of another shape or not finite has no error to speak of.
                out[name]["error"] = absolute if np.isfinite(absolute) else None
                out[name]["relative"] = relative if np.isfinite(relative) else None
                out[name]["right"] = bool(relative <= w.tolerance)
                out[name]["wrong_values"] = w.wrong(got, want)
                out[name]["values"] = int(sum(a.size for a in want))
        return out

    @contextlib.contextmanager
    def _guard(self, w: Workload, name: str, out: dict[str, dict[str, Any]]) -> Any:
        try:
            yield
        except EngineFailed as exc:
            out[name].pop("seconds", None)  # of runs whose result nobody saw
            out[name]["failed"] = str(exc)
            self.say(f"{w.name}: {title(name)} failed: {exc}")
            self._drop(name)

    def _count(self, seconds: float) -> int:
        if self.options.repeats:
            return self.options.repeats
        if seconds >= SLOW_S:
            return 3 if seconds < 4 * SLOW_S else 1
        return max(5, min(9, math.ceil(3.0 / seconds)))


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians and spreads of the runs."""
    seconds = [r["seconds"] for r in runs]
    rounds, payload, drawn = (runs[-1][k] for k in ("rounds", "payload", "drawn"))
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "runs": len(runs),
        "cold": statistics.median(r["cold"] for r in runs),
        "cpu": statistics.median(r["cpu"] for r in runs),
        "cpus": [statistics.median(r["cpus"][i] for r in runs) for i in range(3)],
        "looks": [statistics.median(r["looks"][i] for r in runs) for i in range(3)],
        "wire": [int(statistics.median(r["wire"][i] for r in runs)) for i in range(3)],
        "payload": payload if all(p is not None for p in payload) else None,
        "drawn": drawn if all(d is not None for d in drawn) else None,
        "rounds": None if math.isnan(rounds) else rounds,
        "peak": max(r["peak"] for r in runs),
    }


def spend(
    todo: Sequence[tuple[Row, Known]], until: float, options: Options, say: Say, folder: Path = RESULTS
) -> list[Row]:
    """Measure rows in order until the moment `until` of the monotonic clock; return those that were measured.

    A row that took longer than what is left of the time waits for another call.
    """
    done: list[Row] = []
    with contextlib.ExitStack() as open_now:
        bench: Bench | None = None
        for row, k in todo:
            if time.monotonic() + k.took_s > until:
                continue
            if bench is None or bench.network != row.network:
                open_now.close()
                bench = open_now.enter_context(Bench(row.network, options, say, folder))
            bench.measure(row, k.missing or row.engines)
            done.append(row)
    return done


def commit() -> str:
    """Return the commit that Tacit is at."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


def machine() -> dict[str, Any]:
    """Return what the page says of the machine."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
                break
    congestion = "unknown"
    with contextlib.suppress(OSError):
        congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "congestion": congestion,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
