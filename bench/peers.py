"""Run Tacit and its peers in turn; write bench/results and bench/RESULTS.md.

The peers' environments are made under .peers on first use. A workload that has a result is left alone unless
`--again` is given, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rig import floor, page
from bench.rig.engines import FACTS, PEERS, make_environment
from bench.rig.relay import NETWORKS
from bench.rig.runner import RESULTS, Bench, Options, machine, result_path
from bench.rig.workloads import Workload, all_workloads, distinct
from rich.console import Console

LONG = ("sort 10^5", "train", "(C): predict 128", "(D): predict 128")
LONGEST = ("(C): train", "(D): predict 128", "(D): train")
FAR = ("multiply 10^6", "x < 0 10^5", "exp 10^5", "reciprocal 10^5", "sigmoid 10^5", " max 10^5", "sort 10^4",
       "10 full batches", "(A): predict", "(C): predict 1 ")  # fmt: skip
"""What --short takes on the slow networks; where a peer needs a minute each time, one other stands for it."""
WITH_MPYC = ("multiply 10^4", "x < 0 10^5", "ReLU 10^5", "512^3", " max", "argmax", "sort 10^4", "statistics")
FAR_CRYPTEN = ("multiply 10^6", "x < 0 10^5", "sigmoid 10^5", "(A): predict", "(C): predict 1 ")


@dataclass(frozen=True, slots=True)
class Stage:
    """What to run on one network."""

    network: str
    workloads: list[Workload]
    peers: list[str]
    repeats: int = 0


def having(parts: Sequence[str], workloads: Sequence[Workload]) -> list[Workload]:
    """Return the workloads whose names contain one of the parts."""
    return [w for w in workloads if any(part in f" {w.name} " for part in parts)]


def short(peers: list[str], repeats: int) -> list[Stage]:
    """Return what to run, the most telling first."""
    every, others = all_workloads(), [p for p in peers if p != "mpyc"]
    long, longest = having(LONG, every), having(LONGEST, every)
    first = [w for w in every if w not in long] + [w for w in long if w not in longest]
    far = [
        Stage(network, having(names, every), [p], repeats or 2)
        for network in ("wan", "lan")
        for p, names in (("spu", FAR), ("crypten", FAR_CRYPTEN))
        if p in peers
    ]
    slow = [Stage("loopback", having(WITH_MPYC, every), ["mpyc"], repeats or 2)] if "mpyc" in peers else []
    return [
        Stage("loopback", first, others, repeats),
        *far,
        Stage("loopback", longest, others, repeats),
        *slow,
    ]


def record_machine(folder: Path) -> None:
    """Keep what the machine is and what its links and kernels reach."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {**machine(), "measured": floor.measure()}
    (folder / "machine.json").write_text(json.dumps(found, indent=1) + "\n")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", default=[], help="workloads whose name or group contains one of these"
    )
    parser.add_argument("--networks", nargs="*", default=["loopback"], choices=list(NETWORKS))
    parser.add_argument(
        "--peers", nargs="*", default=["spu", "crypten"], choices=[n for n in FACTS if n != "tacit"]
    )
    parser.add_argument("--repeats", type=int, default=0, help="measured runs (default: by duration)")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one run")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing new after this")
    parser.add_argument("--small", action="store_true", help="small sizes: does everything run and agree?")
    parser.add_argument("--again", action="store_true", help="measure what has a result too")
    parser.add_argument("--page", action="store_true", help="only write the page from what was measured")
    parser.add_argument("--note", default="", help="a sentence that the page puts first")
    parser.add_argument(
        "--short", action="store_true", help="all on loopback, some on the slow networks, longest last"
    )
    parser.add_argument("--list", action="store_true", help="list the workloads")
    args = parser.parse_args()
    known = distinct() if args.small else all_workloads()
    chosen = [w for w in known if not args.only or any(o in w.name or o == w.group for o in args.only)]
    if not chosen:
        parser.error(f"no workload's name contains {' or '.join(map(repr, args.only))}; --list shows them")
    if args.list:
        print("\n".join(f"{w.group:<12}{w.name}" for w in chosen))
        return 0
    console = Console(stderr=True)
    until = time.monotonic() + 60 * args.minutes
    folder = PEERS / "small" if args.small else RESULTS
    where = folder / "RESULTS.md" if args.small else page.PAGE
    stages = (
        short(args.peers, args.repeats)
        if args.short
        else [Stage(network, chosen, args.peers, args.repeats) for network in args.networks]
    )
    if args.page:
        page.write(folder, args.note, where)
        return 0
    # On a terminal one line says what is going on; in a pipe there is none.
    with console.status("") as status:
        say = status.update if console.is_terminal else (lambda _: None)
        for peer in args.peers:
            make_environment(peer, say)
        record_machine(folder)
        if args.again:
            for stage in stages:
                for w in stage.workloads:
                    result_path(folder, stage.network, w).unlink(missing_ok=True)
        for stage in stages:
            options = Options(stage.repeats, args.timeout, args.small)
            with Bench(stage.network, stage.peers, options, say, folder) as bench:
                for w in stage.workloads:
                    if time.monotonic() < until:
                        bench.measure(w)
            page.write(folder, args.note, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
