"""Time sorting among three real processes on this machine, mutual TLS on: secret 32-bit keys.

Columns: median seconds with spread, payload bytes of the busiest party and of all, rounds. `--profile` shows where
one party's time goes, in one process.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
from typing import Any

import numpy as np
from rep3 import timed
from rich.console import Console
from rich.table import Table

import tacit
from tacit.array import functions as fn
from tacit.array import order as od


def secret(session: Any, value: np.ndarray, bound: tuple[float, float]) -> Any:
    """Return an array that no single party knows: another owner's zeros are added."""
    zero = session.input(np.zeros_like(value), "bob", bound=(0, 0))
    return fn.assume(session.input(value, "alice", bound=bound) + zero, *bound)


def measure(session: Any, n: int, repeats: int) -> list[dict[str, Any]]:
    """Return seconds, bytes and rounds of sorting n keys, alone and with a column beside them."""
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**32, n)
    x = secret(session, keys, (0, 2**32 - 1))
    rows = []
    cases = [
        ("order of the keys", lambda: od.order(x)),
        ("sorted keys", lambda: od.sort(x)),
    ]
    for name, run in cases:
        found, sent, out = timed(session, run, repeats)
        rows.append({"name": f"{name}, {n:,}", **found, "busiest": max(sent), "all": sum(sent)})
    if not np.array_equal(np.asarray(tacit.reveal(out, why="to compare")), np.sort(keys)):
        raise SystemExit("the keys are not sorted")
    return rows


def profile(n: int) -> None:
    """Print where the time of one party goes."""
    from tacit import testing
    from tacit.gadgets import sort

    keys = np.random.default_rng(1).integers(0, 2**32, n).astype(np.uint64)

    def body(p: Any) -> None:
        watch = cProfile.Profile() if p.party.index == 1 else None
        planes = p.decompose(testing.scatter(p, keys), 32)
        if watch:
            watch.enable()
        sort.order(p, planes, 1, n)
        if watch:
            watch.disable()
            pstats.Stats(watch).sort_stats("tottime").print_stats(25)

    testing.run("rep3", 64, body)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    if args.profile:
        profile(args.n[-1])
        return 0
    rows = []
    with tacit.local("rep3") as s:
        for n in args.n:
            rows += measure(s, n, args.repeats)
    if args.json:
        json.dump(rows, sys.stdout, indent=1)
        return 0
    table = Table(title="rep3, three processes, TLS on: sort of 32-bit keys", title_justify="left")
    for heading in ("operation", "seconds", "least–most", "MB, busiest party", "MB, all", "rounds"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for r in rows:
        table.add_row(
            r["name"],
            f"{r['seconds']:.3f}",
            f"{r['least']:.3f}–{r['most']:.3f}",
            f"{r['busiest'] / 1e6:.2f}",
            f"{r['all'] / 1e6:.2f}",
            f"{r['rounds']:.0f}",
        )
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
