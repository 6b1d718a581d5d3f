"""The page: tables and plots from the files of results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.rig.engines import FACTS, ROOT
from bench.rig.relay import NETWORKS
from bench.rig.workloads import Workload, all_workloads

PAGE = ROOT / "bench" / "RESULTS.md"
PEERS = ("spu", "crypten", "mpyc")
Record = dict[str, Any]


def load(folder: Path, network: str) -> dict[str, Record]:
    """Return the results of one network by workload name, in the order of the workloads."""
    found = {}
    for w in all_workloads():
        path = folder / network / f"{w.key}.json"
        if path.exists():
            found[w.name] = json.loads(path.read_text())
    return found


def table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Return a table in Markdown, the first column to the left."""
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + "--:|" * (len(head) - 1),
        *("| " + " | ".join(r) + " |" for r in rows),
    ]


def seconds(result: Record | None) -> str:
    """Return the median and the spread, or why there is none."""
    if result is None:
        return ""
    if "failed" in result:
        return short(result["failed"])
    mark = "" if result["right"] else " (wrong)"
    spread = f" ({number(result['least'])}–{number(result['most'])})" if result["runs"] > 1 else " (one run)"
    return f"{number(result['seconds'])}{spread}{mark}"


def short(reason: str) -> str:
    """Return a failure in a few words."""
    for sign, words in (
        ("NotImplementedError", "none"),
        ("no answer", "did not end in time"),
        ("process ended", "crashed"),
        ("RangeError", "refused: range"),
        ("NotRealised", "not supported"),
    ):
        if sign in reason:
            return words
    return "failed"


def number(x: float) -> str:
    """Return a number with two or three digits that count."""
    if x == 0:
        return "0"
    if x >= 100:
        return f"{x:.0f}"
    if x >= 10:
        return f"{x:.1f}"
    if x >= 0.1:
        return f"{x:.2f}"
    return f"{x:.4f}" if x < 0.01 else f"{x:.3f}"


def size(nbytes: float) -> str:
    """Return bytes in units that read well."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= one:
            return f"{number(nbytes / one)} {unit}"
    return f"{nbytes:.0f} B"


def ratio(record: Record, peer: str) -> str:
    """Return how many times as long as Tacit the peer takes; nothing where one of the two has no number."""
    ours, theirs = record["engines"].get("tacit", {}), record["engines"].get(peer, {})
    if "seconds" not in ours or "seconds" not in theirs or ours["params"] != theirs["params"]:
        return ""
    return (
        f"{theirs['seconds'] / ours['seconds']:.2g}"
        if theirs["seconds"] < 100 * ours["seconds"]
        else (f"{theirs['seconds'] / ours['seconds']:.0f}")
    )


def times(found: dict[str, Record]) -> list[str]:
    """Return the table of seconds and ratios."""
    present = [p for p in PEERS if any(p in r["engines"] for r in found.values())]
    head = ["workload", "Tacit, s", *(f"{FACTS[p].title}, s" for p in present)]
    head += [f"{FACTS[p].title.split()[0]} / Tacit" for p in present]
    rows = []
    for name, r in found.items():
        e = r["engines"]
        row = [name, seconds(e.get("tacit")), *(_sized(r, p) for p in present)]
        rows.append(row + [ratio(r, p) for p in present])
    return table(head, rows)


def _sized(record: Record, peer: str) -> str:
    """Return the peer's time, with its size where that is another one than Tacit's."""
    ours, theirs = record["engines"].get("tacit"), record["engines"].get(peer)
    text = seconds(theirs)
    if theirs and ours and theirs["params"] != ours["params"] and "seconds" in theirs:
        text += " at " + ", ".join(
            f"{k} {v:,}" for k, v in theirs["params"].items() if ours["params"].get(k) != v
        )
    return text


def details(found: dict[str, Record]) -> list[str]:
    """Return the table of bytes, rounds, memory and errors."""
    rows = []
    for name, r in found.items():
        for engine, e in r["engines"].items():
            if "seconds" not in e:
                continue
            rounds = "" if e["rounds"] is None else f"{e['rounds']:.0f}"
            wrong = f"{e['wrong_values']:,} of {e['values']:,}" if e["wrong_values"] else "0"
            error = "not finite" if e["error"] is None else f"{e['error']:.1e}"
            rows.append([
                name, FACTS[engine].title, size(max(e["wire"])), rounds, size(e["peak"]),
                size(max(0, e["peak"] - e["held"])), error, wrong, number(e["compile"]),
            ])  # fmt: skip
    head = ["workload", "engine", "bytes of the busiest party", "rounds", "peak memory", "above inputs",
            "largest error", "wrong values", "trace and compile, s"]  # fmt: skip
    return table(head, rows)


def write(folder: Path, note: str) -> None:
    """Write the page."""
    lines = ["# Tacit beside its peers", ""]
    if note:
        lines += [f"**{note}**", ""]
    for network in NETWORKS:
        found = load(folder, network)
        if found:
            lines += [f"## {network}", "", *times(found), ""]
    found = load(folder, "loopback")
    if found:
        lines += ["## Bytes, rounds, memory, errors (loopback)", "", *details(found), ""]
    PAGE.write_text("\n".join(lines))


def missing(found: dict[str, Record], workloads: list[Workload]) -> list[str]:
    """Return the workloads without a result."""
    return [w.name for w in workloads if w.name not in found]
