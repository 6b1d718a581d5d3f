"""Tacit's side of every workload at small size: what it sends, how often it calls kernels, whether it is right.

`python -m bench.rig.small` writes tests/repo/workload_costs.json, which tests/repo/test_workload_costs.py gates.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt
from bench.rig.engine_tacit import FORMAT, NAMES, cost, open_results, secret_inputs, trace
from bench.rig.workloads import Data, Workload, distinct

from tacit import kernels, testing
from tacit.array.program import Program
from tacit.array.runtime import Runtime
from tacit.errors import NotRealised
from tacit.kernels.table import KERNELS

Array = npt.NDArray[Any]
COSTS = Path(__file__).resolve().parents[2] / "tests" / "repo" / "workload_costs.json"


def described(data: dict[str, Data]) -> dict[str, dict[str, Any]]:
    """Return what the parties know of the inputs."""
    return {k: {"shape": d.value.shape, "lo": d.lo, "hi": d.hi, "owner": d.owner} for k, d in data.items()}


@contextmanager
def counted_kernels() -> Iterator[Counter[str]]:
    """Count calls of kernels that the first party's thread makes."""
    counts: Counter[str] = Counter()

    def counting(name: str, call: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            if threading.current_thread().name == NAMES[0]:
                counts[name] += 1
            return call(*arguments, **options)

        return counted

    class Drawn(kernels.KeyStream):
        """A key stream whose draws count, those aside that other kernels make where they read them."""

        fill = counting("prg", kernels.KeyStream.fill)

    names = ["KeyStream", *(k.name for k in KERNELS)]
    saved = {name: getattr(kernels, name) for name in names}
    try:
        for name, call in saved.items():
            setattr(kernels, name, Drawn if call is saved["KeyStream"] else counting(name, call))
        yield counts
    finally:
        for name, call in saved.items():
            setattr(kernels, name, call)


def simulate(program: Program, data: dict[str, Data]) -> tuple[list[Array], Counter[str]]:
    """Run the protocol among threads; return the opened results and one party's kernel calls, sharing left out."""
    values = {k: d.value for k, d in data.items()}

    def body(p: Any) -> list[Array]:
        runtime = Runtime(p, FORMAT, NAMES)
        inputs = secret_inputs(runtime, program, values)
        threading.current_thread().name = p.party.name
        results = runtime.block(program, inputs, opened=True)
        p.party.flush()
        threading.current_thread().name = "done"
        return open_results(runtime, results)

    with counted_kernels() as counts:
        found = testing.run("rep3", FORMAT.width, body)
    return found[NAMES[0]], counts


def measure(w: Workload) -> dict[str, Any]:
    """Return the small workload's costs, and its largest error relative to the tolerance."""
    data = w.data(w.small)
    program = trace(w.program, w.small, described(data))
    predicted = cost(program)
    got, calls = simulate(program, data)
    _, relative = w.error(got, w.expected(data, w.small))
    return {
        "right": bool(relative <= w.tolerance),
        "costs": {
            "rounds": predicted.rounds,
            "bytes": max(predicted.sent_by(n) for n in NAMES),
            "functionalities": sum(predicted.calls.values()),
            "kernels": sum(calls.values()),
        },
    }


def main() -> int:
    """Write the file of costs; say what grew."""
    old = json.loads(COSTS.read_text()) if COSTS.exists() else {}
    new: dict[str, dict[str, int]] = {}
    for w in distinct():
        try:
            found = measure(w)
        except NotRealised as exc:
            print(f"{w.name}: {exc}", file=sys.stderr)
            continue
        if not found["right"]:
            print(f"{w.name}: wrong", file=sys.stderr)
            return 1
        new[w.name] = found["costs"]
        for what, n in found["costs"].items():
            before = old.get(w.name, {}).get(what)
            if before is not None and n != before:
                print(f"{w.name}: {what} {before} -> {n}")
    COSTS.write_text(json.dumps(new, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
