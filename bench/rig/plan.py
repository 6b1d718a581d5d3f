"""What there is to measure, and in which order: what was never measured first, then the oldest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rig.workloads import Workload

FAR_CRYPTEN = ("multiply 10^6", "x < 0 10^5", "sigmoid 10^5", "(A): predict", "(C): predict 1 ")
"""What CrypTen runs on the slow networks, where it takes minutes for the others."""
LONG = ("sort 10^5", "train", "(C): predict 128", "(D): predict 128", "minibatch")


@dataclass(frozen=True, slots=True)
class Row:
    """One workload on one network, run by these engines in turn; Tacit runs beside them whether it is one or not."""

    network: str
    workload: Workload
    engines: tuple[str, ...]

    def path(self, folder: Path) -> Path:
        """Return the file of its results, which other engines' rows may share."""
        return folder / self.network / f"{self.workload.key}.json"


def has(w: Workload, parts: Sequence[str]) -> bool:
    """Return whether a workload's name contains one of the parts."""
    return any(part in f" {w.name} " for part in parts)


def rows(workloads: Sequence[Workload], networks: Sequence[str], peers: Sequence[str]) -> list[Row]:
    """Return every row, the quick ones and the fast networks first; MPyC, the slowest, has rows of its own."""
    quick = [w for w in workloads if not has(w, LONG)]
    found = []
    for some in (quick, [w for w in workloads if w not in quick]):
        for network in networks:
            for w in some:
                far = network != "loopback"
                others = [
                    p
                    for p in peers
                    if p == "spu" or (p == "crypten" and not (far and not has(w, FAR_CRYPTEN)))
                ]
                found.append(Row(network, w, ("tacit", *others)))
    if "mpyc" in peers and "loopback" in networks:
        found += [Row("loopback", w, ("mpyc",)) for w in workloads]
    return found


@dataclass(frozen=True, slots=True)
class Known:
    """What the files say of a row."""

    missing: tuple[str, ...]
    """Engines without a result."""
    taken: str = ""
    """When the oldest result was taken."""
    commits: frozenset[str] = frozenset()
    took_s: float = 0.0
    """How long the row took altogether."""


def known(row: Row, folder: Path) -> Known:
    """Read a row's results."""
    path = row.path(folder)
    if not path.exists():
        return Known(row.engines)
    record: dict[str, Any] = json.loads(path.read_text())
    results = {e: record["engines"][e] for e in row.engines if e in record["engines"]}
    missing = tuple(e for e in row.engines if e not in results)
    # Files from before engines had dates of their own have one for all.
    return Known(
        missing,
        min((r.get("taken", record.get("taken", "")) for r in results.values()), default=""),
        frozenset(r.get("commit", record.get("commit", "")) for r in results.values()),
        max((r.get("took", 0.0) for r in results.values()), default=0.0),
    )


def order(candidates: Iterable[Row], folder: Path, again: bool, done: str) -> list[tuple[Row, Known]]:
    """Return what to measure: rows with a result missing; then with `again` the rest, the oldest first.

    What was measured at the commit `done` is left alone.
    """
    every = [(row, known(row, folder)) for row in candidates]
    new = [(row, k) for row, k in every if k.missing]
    old = [(row, k) for row, k in every if not k.missing and k.commits != {done}]
    return new + (sorted(old, key=lambda pair: pair[1].taken) if again else [])
