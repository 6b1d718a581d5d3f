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
from bench.rig.relay import NETWORKS, Relays
from bench.rig.workloads import Workload

SLOW_S = 2.0
ONCE_S = 15.0
"""A run that takes longer is not repeated, not even to be warm."""
Say = Callable[[str], None]


@dataclass(slots=True)
class Options:
    """What to run and for how long."""

    repeats: int = 0
    """Measured runs; 0: by duration, at least 5 where one takes less than 2 s."""
    timeout_s: float = 300.0
    small: bool = False


@dataclass(slots=True)
class Bench:
    """Engines that run on one network; started when first needed, started again after a failure."""

    network: str
    peers: Sequence[str]
    options: Options
    say: Say
    folder: Path = RESULTS
    _engines: dict[str, Processes] = field(default_factory=dict)
    _relays: Relays | None = None

    def __enter__(self) -> Bench:
        if self.network != "loopback":
            self._relays = Relays(NETWORKS[self.network])
        return self

    def __exit__(self, *exc: object) -> None:
        for engine in list(self._engines):
            self._drop(engine)
        if self._relays is not None:
            self._relays.stop()

    def _engine(self, name: str) -> Processes:
        if name not in self._engines:
            self.say(f"starting {FACTS[name].title}")
            self._engines[name] = Processes(name, self._relays)
        return self._engines[name]

    def _drop(self, name: str) -> None:
        engine = self._engines.pop(name, None)
        if engine is not None:
            engine.stop()

    # -- one workload -------------------------------------------------------------------------------------

    def measure(self, w: Workload) -> None:
        """Measure one workload on every engine that has no result yet; write its file."""
        path = result_path(self.folder, self.network, w)
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        engines = ["tacit", *self.peers]
        missing = [e for e in engines if e not in found.get("engines", {})]
        if not missing:
            return
        # Ratios are of runs taken in turn, so Tacit runs beside every peer that is new.
        todo = list(dict.fromkeys(["tacit", *missing]))
        record = {
            "workload": w.name,
            "group": w.group,
            "network": self.network,
            "commit": commit(),
            "taken": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
            "load_before": os.getloadavg()[0],
            "small": self.options.small,
            "engines": dict(found.get("engines", {})),
        }
        results = self._in_turn(w, todo)
        for name in missing:
            if name != "tacit" and "seconds" in results["tacit"]:
                results[name]["beside"] = results["tacit"]["seconds"]
        # Tacit's own entry stays what it was; the new peers' ratios are against the runs beside them.
        record["engines"].update({n: r for n, r in results.items() if n in missing})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")

    def _params(self, w: Workload, engine: str) -> dict[str, Any]:
        if self.options.small:
            return w.small
        return {**w.params, **w.tiny} if engine == "mpyc" else w.params

    def _in_turn(self, w: Workload, engines: list[str]) -> dict[str, dict[str, Any]]:
        """Prepare and warm up every engine, then run them in turn; return a result or an error for each."""
        out: dict[str, dict[str, Any]] = {}
        runs: dict[str, list[dict[str, Any]]] = {}
        for name in engines:
            out[name] = {"params": self._params(w, name)}
            with self._guard(w, name, out):
                data = w.data(self._params(w, name))
                out[name] |= self._engine(name).prepare(
                    w.program, self._params(w, name), data, self.options.timeout_s
                )
                first = self._engine(name).run(self.options.timeout_s)
                out[name]["first"] = first["seconds"]
                out[name]["warm"] = first["seconds"] <= ONCE_S
                runs[name] = [] if out[name]["warm"] else [first]
        count = {n: 0 if runs[n] else self._count(out[n]["first"]) for n in runs}
        for i in range(max(count.values(), default=0)):
            for name in list(runs):
                if i < count[name]:
                    self.say(f"{w.name}: {FACTS[name].title} {i + 1} of {count[name]}")
                    with self._guard(w, name, out):
                        runs[name].append(self._engine(name).run(self.options.timeout_s))
                    if "failed" in out[name]:
                        del runs[name]
        for name in runs:
            with self._guard(w, name, out):
                out[name] |= summary(runs[name])
                params = self._params(w, name)
                data = w.data(params)
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
            out[name]["failed"] = str(exc)
            self.say(f"{w.name}: {FACTS[name].title} failed: {exc}")
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
    rounds, payload = runs[-1]["rounds"], runs[-1]["payload"]
    return {
        "seconds": statistics.median(seconds),
        "least": min(seconds),
        "most": max(seconds),
        "runs": len(runs),
        "cpu": statistics.median(r["cpu"] for r in runs),
        "wire": [int(statistics.median(r["wire"][i] for r in runs)) for i in range(3)],
        "payload": payload if all(p is not None for p in payload) else None,
        "rounds": None if math.isnan(rounds) else rounds,
        "peak": max(r["peak"] for r in runs),
    }


def result_path(folder: Path, network: str, w: Workload) -> Path:
    """Return where the result of a workload on a network is kept."""
    return folder / network / f"{w.key}.json"


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
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
