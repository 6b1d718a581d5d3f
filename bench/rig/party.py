"""One party of one engine: a process that connects once, then prepares and runs workloads as it is told.

It reads commands and writes answers, one JSON object a line. It runs in the engine's own environment, so it imports
nothing but that engine, NumPy and the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import socket
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
AWAKE_S = 3e-4
_NOT_SENT, _SENT = 144, 200
"""Offsets in Linux's struct tcp_info: tcpi_notsent_bytes; tcpi_bytes_sent, followed by tcpi_bytes_retrans."""


class Engine:
    """What a driver offers; one object in each party's process."""

    def __init__(self, rank: int, folder: Path) -> None:
        self.rank, self.folder = rank, folder

    def card(self) -> dict[str, Any]:
        """Return what the others need to reach this party; at least its port."""
        with socket.create_server(("127.0.0.1", 0)) as s:
            self.port = s.getsockname()[1]
        return {"port": self.port}

    def connect(self, cards: list[dict[str, Any]]) -> None:
        """Connect to the other parties; `cards` has the ports at which this party finds them."""
        raise NotImplementedError

    def prepare(self, program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> None:
        """Trace and compile a workload."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what is known of the prepared workload before it runs."""
        return {}

    def share(self) -> None:
        """Share the inputs, outside of the time that is measured."""

    def meet(self) -> None:
        """Wait for the others before a run, where the engine has a way to."""

    def run(self) -> None:
        """Compute on shares; the result stays shared."""
        raise NotImplementedError

    def output(self) -> list[Array]:
        """Open the result."""
        raise NotImplementedError

    def meter(self) -> dict[str, float]:
        """Return the engine's own counters, if it has any: rounds, payload bytes, bytes drawn from generators."""
        return {}

    def looked_s(self) -> float:
        """Return the processor seconds so far in which the engine looked for messages without sleeping, if it knows."""
        return 0.0

    def close(self) -> None:
        """Leave."""

    def values(self, inputs: dict[str, dict[str, Any]]) -> dict[str, Array]:
        """Read the inputs from the runner's file."""
        with np.load(self.folder / "inputs.npz") as file:
            return {name: file[name] for name in inputs}


def tcp_bytes() -> int:
    """Return the bytes that this process has sent on its TCP connections, as the kernel counts them."""
    total, seen = 0, set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
            if not target.startswith("socket:") or target in seen:
                continue
            seen.add(target)
            with socket.socket(fileno=os.dup(int(name))) as s:
                if s.family not in (socket.AF_INET, socket.AF_INET6) or s.type != socket.SOCK_STREAM:
                    continue
                info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            continue
        if len(info) >= _SENT + 16:
            sent, again = struct.unpack_from("QQ", info, _SENT)
            total += sent - again + struct.unpack_from("I", info, _NOT_SENT)[0]
    return total


def peak_bytes(reset: bool = False) -> int:
    """Return the most memory this process held since the last reset, which gives free memory back first."""
    if reset:
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # elsewhere than with glibc free memory may stay
            ctypes.CDLL(None).malloc_trim(0)
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _until(at: float) -> None:
    """Wait for a moment of the machine's monotonic clock; the end of it awake, since to be woken takes a while."""
    time.sleep(max(0.0, at - AWAKE_S - time.monotonic()))
    while time.monotonic() < at:
        os.sched_yield()


def _run(engine: Engine, starts: list[float]) -> dict[str, Any]:
    """Run at each of these moments of the machine's monotonic clock; count the traffic of the first run.

    A run's processor time is that of the whole process: every thread, and the kernel on its behalf;
    what of it was looking for messages is told apart.
    """
    sent, counted = tcp_bytes(), engine.meter()
    ends: list[float] = []
    cpus: list[float] = []
    looks: list[float] = []
    for at in starts:
        _until(at)
        began, looked = time.process_time(), engine.looked_s()
        engine.run()
        ends.append(time.monotonic())
        cpus.append(time.process_time() - began)
        looks.append(engine.looked_s() - looked)
        if len(ends) == 1:
            after = engine.meter()
    return {
        "ends": ends,
        "cpus": cpus,
        "looks": looks,
        "sent_before": sent,
        "meter": {k: after[k] - counted[k] for k in after},
    }


def _answer(engine: Engine, command: dict[str, Any]) -> dict[str, Any]:
    do = command["do"]
    if do == "card":
        return engine.card()
    if do == "connect":
        engine.connect(command["cards"])
    elif do == "prepare":
        started = time.monotonic()
        engine.prepare(command["program"], command["params"], command["inputs"])
        return {"seconds": time.monotonic() - started, "facts": engine.facts() if engine.rank == 0 else {}}
    elif do == "share":
        engine.share()
        return {"held": peak_bytes(reset=True)}
    elif do == "meet":
        engine.meet()
    elif do == "run":
        return _run(engine, command["starts"])
    elif do == "count":
        return {"tcp": tcp_bytes(), "peak": peak_bytes()}
    elif do == "output":
        found = engine.output()
        if engine.rank == 0:
            np.savez(engine.folder / "output.npz", *found)
    elif do == "close":
        engine.close()
    else:
        raise ValueError(f"no command is called {do!r}")
    return {}


def main() -> None:
    """Answer commands until the input ends."""
    name, rank, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    # Before the engine is imported: it counts the cores that it has.
    if "BENCH_CORES" in os.environ:
        os.sched_setaffinity(0, {int(core) for core in os.environ["BENCH_CORES"].split(",")})
    # Whatever the engine prints goes to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engine: Engine = importlib.import_module(f"bench.rig.engine_{name}").make(rank, folder)
    for line in sys.stdin:
        try:
            answer = _answer(engine, json.loads(line))
        except BaseException as exc:
            traceback.print_exc()
            answer = {"error": f"{type(exc).__name__}: {str(exc)[:600]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # engines leave threads behind


if __name__ == "__main__":
    main()
