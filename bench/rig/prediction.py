"""How far the cost model's time is from the measured one: the page's section, from the results of every run.

`python -m bench.rig.prediction [--only …] [--networks …]` measures Tacit alone, and prints.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from bench.rig.engines import EngineFailed, Processes
from bench.rig.relay import NETWORKS, Relays
from bench.rig.workloads import Workload, all_workloads

CLOSE = 0.2
"""What the model is to come within."""
Record = dict[str, Any]


def off(e: Mapping[str, Any]) -> float:
    """Return predicted over measured time, less one."""
    return float(e["predicted_seconds"] / e["seconds"] - 1)


def measure(network: str, workloads: list[Workload], repeats: int, timeout_s: float) -> dict[str, Record]:
    """Run Tacit's parties alone; return a record for each workload."""
    from bench.rig.runner import summary

    relays = None if network == "loopback" else Relays(NETWORKS[network])
    found: dict[str, Record] = {}
    processes = None
    try:
        for w in workloads:
            try:
                processes = processes or Processes("tacit", relays)
                record = processes.prepare(w.program, w.params, w.data(), timeout_s)
                about = processes.run(timeout_s)["cold"]
                record |= summary([processes.run(timeout_s, about) for _ in range(repeats)])
            except EngineFailed as exc:
                print(f"{w.name} on {network}: {exc}", file=sys.stderr)
                if processes is not None:
                    processes.stop()
                processes = None
                continue
            found[w.name] = record
            print(line(w.name, network, record), flush=True)
    finally:
        if processes is not None:
            processes.stop()
        if relays is not None:
            relays.stop()
    return found


def line(name: str, network: str, e: Record) -> str:
    """Return a record in one line."""
    same = e["predicted_bytes"] == e["payload"] and e["predicted_rounds"] == e["rounds"]
    return (
        f"{network:<9}{name:<52}{e['predicted_seconds']:>9.4f} s predicted{e['seconds']:>9.4f} s "
        f"({e['least']:.4f}){off(e):>+7.0%}  processors {e['predicted_cpu']:>7.3f} {e['cpu']:>7.3f} s  "
        f"{'exact' if same else 'TRAFFIC DIFFERS'}"
    )


def within(records: Mapping[str, Record]) -> tuple[int, int]:
    """Return how many workloads are predicted within a fifth, and of how many."""
    some = [e for e in records.values() if "predicted_seconds" in e and "seconds" in e]
    return sum(abs(off(e)) <= CLOSE for e in some), len(some)


def section(results: Mapping[str, Mapping[str, Record]]) -> list[str]:
    """Return the page's section: predicted beside measured times, from Tacit's records by network and workload."""
    from bench.rig.page import number, table

    every = {
        n: {w: e for w, e in r.items() if "predicted_seconds" in e and "seconds" in e}
        for n, r in results.items()
    }
    every = {n: r for n, r in every.items() if r}
    if not every:
        return []
    rows = []
    for name in dict.fromkeys(w for r in every.values() for w in r):
        row = [name]
        for r in every.values():
            e = r.get(name)
            row.append(
                ""
                if e is None
                else f"{number(e['predicted_seconds'])} / {number(e['seconds'])} ({off(e):+.0%})"
            )
        rows.append(row)
    shares = []
    for network, r in every.items():
        good, count = within(r)
        shares.append(f"{good} of {count} on {network}")
    links = {n: next((e["network"] for e in r.values() if "network" in e), None) for n, r in every.items()}
    found = [
        f"{n}: {v['round_trip_us'] / 1000:g} ms, {v['bytes_per_s'] / 125e3:.0f} Mbit/s"
        for n, v in links.items()
        if v
    ]
    return [
        "## Predicted time",
        "",
        "Seconds that the cost model predicts before the run, and seconds measured. Rounds and bytes are predicted "
        "exactly, link by link; the time follows from them, from the links as the parties measured them through the "
        f"relay ({'; '.join(found)}), and from processor seconds of each functionality (`src/tacit/core/machine.json`, "
        f"`./dev bench calibrate`), the cores shared by three. Within {CLOSE:.0%}: {', '.join(shares)}.",
        "",
        *table(["workload", *every], rows),
        "",
    ]  # fmt: skip


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=[], help="workloads whose name contains one of these")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one run")
    parser.add_argument(
        "--keep", action="store_true", help="write what was found under bench/results/prediction"
    )
    args = parser.parse_args()
    chosen = [w for w in all_workloads() if not args.only or any(o in w.name for o in args.only)]
    for network in args.networks:
        found = measure(network, chosen, args.repeats, args.timeout)
        good, count = within(found)
        links = {json.dumps(e["network"]) for e in found.values()}
        print(f"{network}: {good} of {count} within {CLOSE:.0%}; {' '.join(links)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
