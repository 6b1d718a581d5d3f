"""`tacit demo`: three complete runs between separate processes on this machine."""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

from tacit.errors import UsageError

DEFAULT_HOME = "~/.tacit/demo"
PEOPLE = ("bob", "alice", "mallory", "dave", "erin", "frank", "grace", "heidi")
EXAMPLE_SALARIES = (3.0, 6.0, 1.0, 4.0, 5.0, 9.0, 2.0, 7.0)
EXAMPLE_CLIENTS = (
    (52_000.0, 9_100.0),
    (31_500.0, 26_400.0),
    (78_250.0, 0.0),
    (45_000.0, 61_000.0),
    (64_800.0, 12_350.5),
)
EXAMPLE_WEIGHTS = (0.02, -0.015, 12.5)


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its own verbs."""
    parser = sub.add_parser("demo", help="run a whole job between separate processes on this machine")
    parser.add_argument("what", nargs="?", default="study", choices=("study", "bank", "salaries"))
    parser.add_argument(
        "--data", type=Path, help="study: folder with one CSV a hospital (and study.toml, if new)"
    )
    parser.add_argument(
        "--people", type=int, default=3, help="salaries: how many people (3 to 8 by default names)"
    )
    parser.add_argument("--amounts", type=float, nargs="+", help="salaries: the numbers, one a person")
    parser.add_argument(
        "--home", type=Path, default=Path(DEFAULT_HOME), help=f"where identities are kept ({DEFAULT_HOME})"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the chosen demonstration."""
    from tacit.cli.show import notice

    notice()
    home: Path = args.home.expanduser()
    actions: dict[str, Callable[[argparse.Namespace, Path, Path], int]] = {
        "study": _study,
        "bank": _bank,
        "salaries": _salaries,
    }
    with tempfile.TemporaryDirectory(prefix="tacit-demo-") as scratch:
        return actions[args.what](args, home, Path(scratch))


def _write(path: Path, header: tuple[str, ...], rows: list[tuple[float, ...]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    path.chmod(0o600)
    return path


def _salaries(args: argparse.Namespace, home: Path, scratch: Path) -> int:
    from tacit.cli.show import progress, rows_table, statement_lines
    from tacit.node.launch import Member, run_local
    from tacit.node.programs import salaries_job
    from tacit.node.statement import statement

    amounts = tuple(args.amounts) if args.amounts else None
    count = len(amounts) if amounts else args.people
    if not 3 <= count <= 64:
        raise UsageError(
            f"{count} people: with fewer than three, the sum gives a person's number away; at most 64"
        )
    people = tuple(PEOPLE[i] if i < len(PEOPLE) else f"person-{i + 1}" for i in range(count))
    if amounts is None:
        amounts = tuple(EXAMPLE_SALARIES[i % len(EXAMPLE_SALARIES)] for i in range(count))
    job = salaries_job(people)
    members = [
        Member(p, home / p, _write(scratch / p / "salary.csv", ("salary",), [(v,)]))
        for p, v in zip(people, amounts, strict=True)
    ]
    with progress() as bars:
        outcomes = run_local(job, members, scratch, bars)
    rows = [(p, f"{outcomes[p].results['sum']:,.6g}", f"{outcomes[p].results['mean']:,.6g}") for p in people]
    rows_table(f"{count} people, no server: what each one learned", ("person", "sum", "mean"), rows)
    how = f"{count} processes, mutual TLS 1.3, identities in {home}"
    statement_lines(statement(job.plan(), outcomes, how))
    return 0


def _bank(args: argparse.Namespace, home: Path, scratch: Path) -> int:
    from tacit.cli.show import progress, rows_table, statement_lines
    from tacit.node.launch import Member, run_local
    from tacit.node.programs import bank_job
    from tacit.node.statement import statement

    job = bank_job(len(EXAMPLE_CLIENTS))
    tables = {
        "bank-a": _write(scratch / "bank-a.csv", ("income",), [(x,) for x, _ in EXAMPLE_CLIENTS]),
        "bank-b": _write(scratch / "bank-b.csv", ("debt",), [(y,) for _, y in EXAMPLE_CLIENTS]),
        "model-owner": _write(scratch / "model.csv", ("a", "b", "c"), [EXAMPLE_WEIGHTS]),
    }
    members = [Member(p, home / p, tables.get(p)) for p in job.parties]
    with progress() as bars:
        outcomes = run_local(job, members, scratch, bars)
    a, b, c = EXAMPLE_WEIGHTS
    scores = outcomes["bank-a"].results["score"]
    rows = [
        (f"client {i + 1}", f"{s:,.4f}", f"{a * x + b * y + c:,.4f}")
        for i, (s, (x, y)) in enumerate(zip(scores, EXAMPLE_CLIENTS, strict=True))
    ]
    rows_table("what bank-a alone learned", ("", "score", "in the clear"), rows)
    how = f"six processes, mutual TLS 1.3, identities in {home}; the owners leave once they have shared"
    statement_lines(statement(job.plan(), outcomes, how))
    return 0


def _study(args: argparse.Namespace, home: Path, scratch: Path) -> int:
    from tacit.cli.study import run_study

    return run_study(args.data, home, scratch)
