"""Time operations on secret arrays among three real processes on this machine, mutual TLS on.

Columns: median seconds with spread, the payload bytes of the busiest party, rounds, and the largest error against
float64. The floor is bytes over the bandwidth of one TLS stream, measured in the same run by `bench/net.py`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tacit
from tacit.array import functions as fn
from tacit.array.secret import SecretArray

Case = tuple[
    str, Callable[[dict[str, SecretArray]], SecretArray], Callable[[dict[str, np.ndarray]], np.ndarray]
]


def cases() -> list[Case]:
    """Return (name, on secrets, in the clear)."""
    return [
        ("multiply", lambda v: v["x"] * v["y"], lambda v: v["x"] * v["y"]),
        ("x < 0", lambda v: fn.astype(v["x"] < 0, "int"), lambda v: (v["x"] < 0).astype(float)),
        ("ReLU", lambda v: fn.maximum(v["x"], 0.0), lambda v: np.maximum(v["x"], 0)),
        ("maximum of all", lambda v: fn.max(v["x"]), lambda v: v["x"].max()),
        ("reciprocal", lambda v: 1.0 / v["p"], lambda v: 1 / v["p"]),
        ("sqrt", lambda v: fn.sqrt(v["p"]), lambda v: np.sqrt(v["p"])),
        ("rsqrt", lambda v: fn.rsqrt(v["p"]), lambda v: 1 / np.sqrt(v["p"])),
        ("log", lambda v: fn.log(v["p"]), lambda v: np.log(v["p"])),
        ("exp", lambda v: fn.exp(v["x"]), lambda v: np.exp(v["x"])),
        ("sigmoid", lambda v: fn.sigmoid(v["x"]), lambda v: 1 / (1 + np.exp(-v["x"]))),
    ]


def timed(session: Any, run: Callable[[], Any], repeats: int) -> tuple[dict[str, Any], list[int], Any]:
    """Return seconds and rounds of a run, the bytes that each party sent, and the last result; the first warms up."""
    out = run()
    before = session.traffic()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        out = run()
        times.append(time.perf_counter() - started)
    after = session.traffic()
    delta = {n: after[n] - before[n] for n in after}
    sent = [d.total.payload_sent // repeats for d in delta.values()]
    found = {
        "seconds": statistics.median(times),
        "least": min(times),
        "most": max(times),
        "rounds": max(d.rounds for d in delta.values()) / repeats,
    }
    return found, sent, out


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="elements")
    parser.add_argument("--side", type=int, default=512, help="side of the matrices")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="names that contain this text")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    data = {
        "x": rng.uniform(-8, 8, args.n),
        "y": rng.uniform(-8, 8, args.n),
        "p": np.exp(rng.uniform(np.log(0.01), np.log(1000), args.n)),
        "a": rng.uniform(-1, 1, (args.side, args.side)),
        "b": rng.uniform(-1, 1, (args.side, args.side)),
    }
    bounds = {"x": (-8, 8), "y": (-8, 8), "p": (0.009, 1000), "a": (-1, 1), "b": (-1, 1)}
    rows = []
    with tacit.local("rep3") as s:
        secret = {}
        for name, value in data.items():
            # Adding another owner's zero makes the array secret: no single party knows it.
            lo, hi = bounds[name]
            zero = s.input(np.zeros(value.shape), "bob", bound=(0, 1e-9))
            secret[name] = fn.assume(s.input(value, "alice", bound=(lo, hi)) + zero, lo, hi)
        todo = [(f"{name} {args.n:,}", do, clear) for name, do, clear in cases()]
        todo.append((f"matrix product {args.side}³", lambda v: v["a"] @ v["b"], lambda v: v["a"] @ v["b"]))
        for name, do, clear in todo:
            if args.only and args.only not in name:
                continue
            found, sent, out = timed(s, lambda do=do: do(secret), args.repeats)
            result = np.asarray(tacit.reveal(out, why="to compare"))
            found["error"] = float(np.max(np.abs(result - clear(data))))
            rows.append({"name": name, "bytes": max(sent), **found})
    if args.json:
        json.dump(rows, sys.stdout, indent=1)
        return 0
    table = Table(
        title="rep3, three processes, TLS on, 64-bit ring, 16 fractional bits", title_justify="left"
    )
    for heading in ("operation", "seconds", "least–most", "MB, busiest party", "rounds", "largest error"):
        table.add_column(heading, justify="left" if heading == "operation" else "right")
    for r in rows:
        spread = f"{r['least']:.3f}–{r['most']:.3f}"
        size, error = f"{r['bytes'] / 1e6:.2f}", f"{r['error']:.2g}"
        table.add_row(r["name"], f"{r['seconds']:.3f}", spread, size, f"{r['rounds']:.0f}", error)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
