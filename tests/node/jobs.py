"""Small jobs and their tables, for the tests of processes."""

from __future__ import annotations

from pathlib import Path

from tacit.array.interpret import Trace, reveal
from tacit.array.ranges import fit
from tacit.node.job import Job
from tacit.node.launch import Member
from tacit.node.tables import Column

OWNERS = ("alice", "bob", "carol")
VISITS = Column("visits", "fixed", 0, 100)
ROWS = 3


def visits_job(steps: int = 0, title: str = "visits") -> Job:
    """Three owners learn the product-sum of their columns; `steps` more products make it longer."""
    trace = Trace()
    a, b, c = (trace.input("visits", o, (ROWS,), "fixed", VISITS.lo, VISITS.hi) for o in OWNERS)
    total = (a * b).sum() + c.sum()
    extra = a * 0.001 * b * 0.001
    for _ in range(steps):
        extra = extra * extra
    reveal(total, why="the test's answer", name="total")
    if steps:
        reveal(extra, why="the test's long way", name="extra")
    program = trace.program()
    return Job(title, "rep3", fit(program), OWNERS, OWNERS, program, dict.fromkeys(OWNERS, (VISITS,)))


def write_tables(folder: Path, cells: dict[str, list[object]] | None = None) -> dict[str, Path]:
    """Write one CSV an owner; `cells` replaces an owner's column."""
    paths = {}
    for i, owner in enumerate(OWNERS):
        values = (cells or {}).get(owner, [1.5 + i, 2.0, 3.25])
        paths[owner] = folder / f"{owner}.csv"
        paths[owner].write_text("visits\n" + "\n".join(map(str, values)) + "\n", encoding="utf-8")
    return paths


def members(folder: Path, tables: dict[str, Path]) -> list[Member]:
    """One process for each owner."""
    return [Member(o, folder / "homes" / o, tables.get(o)) for o in OWNERS]
