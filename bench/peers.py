"""Run Tacit and its peers in turn; write bench/results and bench/RESULTS.md.

The peers' environments are made under .peers on first use. What has a result is left alone, so an interrupted run
goes on where it stopped. `--again` takes the rest once more, the oldest first; `--minutes` starts nothing that
would not end in time, so a benchmark of an hour can be taken in several calls: `--again --minutes 9`. A page is of one
processor: on another kind of machine `--results FOLDER` keeps results and page in a folder of their own.

`--cores 1 2` runs Tacit alone on so many cores of this machine: fewer than three are shared by the three parties,
of more each party gets a third. That needs no peers, and with `--programs` no JAX: `--trace FOLDER` writes the
workloads' Programs, on a machine that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rig import floor, page, plan
from bench.rig.engine_tacit import TRACED, trace, traced_file
from bench.rig.engines import FACTS, PEERS, make_environment
from bench.rig.relay import NETWORKS
from bench.rig.runner import RESULTS, Options, commit, machine, spend
from bench.rig.small import described
from bench.rig.workloads import Workload, all_workloads, distinct
from rich.console import Console


def other_machine(folder: Path, here: str) -> str:
    """Say why results of this processor do not go beside those in a folder; nothing if they do."""
    there = page.machine(folder).get("processor", here)
    if there == here:
        return ""
    return (
        f"the results in {folder} are of another processor ({there}; this one: {here}), and no ratio across two "
        "means anything; --results names another folder for this machine's"
    )


def record_machine(folder: Path) -> None:
    """Keep what the machine is and what its links and kernels reach."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {**machine(), "measured": floor.measure()}
    (folder / "machine.json").write_text(json.dumps(found, indent=1) + "\n")


def write_programs(folder: Path, workloads: Sequence[Workload], small: bool) -> None:
    """Trace the workloads and keep their Programs, for a machine without JAX."""
    folder.mkdir(parents=True, exist_ok=True)
    for w in workloads:
        params = w.small if small else w.params
        made = trace(w.program, params, described(w.data(params)))
        traced_file(folder, w.program, params).write_text(made.text())


def options() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="*", default=[], help="workloads whose name or group contains one of these")
    add("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), help="default: all three")
    add("--peers", nargs="*", default=[n for n in FACTS if n != "tacit"], choices=[n for n in FACTS if n != "tacit"],
        help="default: all; without a name after it: Tacit alone")  # fmt: skip
    add(
        "--cores",
        nargs="+",
        type=int,
        default=[],
        help="only Tacit, on loopback, on each of these numbers of cores",
    )
    add("--repeats", type=int, default=0, help="measured runs (default: by duration)")
    add("--timeout", type=float, default=300.0, help="seconds for one run")
    add("--minutes", type=float, default=float("inf"), help="start nothing that would not end within these")
    add(
        "--again",
        action="store_true",
        help="then what has a result of another commit, or one that --only names",
    )
    add("--small", action="store_true", help="small sizes: does everything run and agree?")
    add("--page", action="store_true", help="only write the page from what was measured")
    add("--note", default="", help="a sentence that the page puts first")
    add("--list", action="store_true", help="list the rows in order, with what the files say of them")
    add("--trace", type=Path, metavar="FOLDER", help="only write the workloads' Programs into a folder")
    add("--results", type=Path, default=RESULTS, metavar="FOLDER",
        help="keep results and page in this folder, not in bench/results: one a kind of machine")  # fmt: skip
    add(
        "--programs", type=Path, metavar="FOLDER", help="read the Programs from this folder: no JAX is needed"
    )
    return parser


def described_rows(todo: Sequence[tuple[plan.Row, plan.Known]]) -> str:
    """Return one line for each row that is to be measured."""
    return "\n".join(
        f"{row.network:<10}{row.workload.name:<52}{', '.join(k.missing or row.engines):<22}"
        f"{f'taken {k.taken}, {k.took_s:.0f} s' if k.taken else 'never'}"
        for row, k in todo
    )


def main() -> int:
    """Run the benchmark."""
    parser = options()
    args = parser.parse_args()
    workloads = distinct() if args.small else all_workloads()
    chosen = [w for w in workloads if not args.only or any(o in w.name or o == w.group for o in args.only)]
    if not chosen:
        parser.error(f"no workload's name contains {' or '.join(map(repr, args.only))}; --list shows them")
    if args.trace:
        write_programs(args.trace, chosen, args.small)
        return 0
    if args.programs:
        os.environ[TRACED] = str(args.programs.resolve())
    folder = (PEERS / "small" if args.small else args.results).resolve()
    where = page.PAGE if folder == RESULTS else folder / "RESULTS.md"
    if args.page:
        page.write(folder, args.note, where)
        return 0
    if args.cores:
        have = len(os.sched_getaffinity(0))
        if not all(1 <= c <= have for c in args.cores):
            parser.error(
                f"this machine lets the benchmark use {have} cores; --cores takes numbers from 1 to {have}"
            )
        engines = tuple(f"tacit@{c}" for c in sorted(set(args.cores)))
        rows = [plan.Row(f"cores-{have}", w, engines) for w in chosen]
    else:
        rows = plan.rows(chosen, args.networks, args.peers)
    todo = plan.order(rows, folder, args.again, "" if args.only else commit())
    if args.list:
        print(described_rows(todo))
        return 0
    if not args.small and (why := other_machine(folder, machine()["processor"])):
        parser.error(why)
    console = Console(stderr=True)
    until = time.monotonic() + 60 * args.minutes
    # On a terminal one line says what is going on; in a pipe there is none.
    with console.status("") as status:
        say = status.update if console.is_terminal else (lambda _: None)
        for peer in [] if args.cores else args.peers:
            make_environment(peer, say)
        if todo:
            say("measuring links and kernels")
            record_machine(folder / f"cores-{have}" if args.cores else folder)
        done = spend(todo, until, Options(args.repeats, args.timeout, args.small), say, folder)
        page.write(folder, args.note, where)
    left = [(row, k) for row, k in todo if row not in done]
    console.print(
        f"{len(done)} of {len(todo)} rows measured" + (f"; {len(left)} left:" if left else ""),
        highlight=False,
    )
    if left:
        console.print(described_rows(left), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
