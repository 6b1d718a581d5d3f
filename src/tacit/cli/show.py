"""How results, plans and statements look on a terminal; plain text in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

ROWS = 12


class _Output(Console):
    """A console that leaves it to the command what follows when its reader has gone."""

    def on_broken_pipe(self) -> None:
        """Raise what was raised, where rich would end the process without a word."""
        raise


def console() -> Console:
    """Return the console of this process's standard output."""
    return _Output(highlight=False, soft_wrap=True)


def notice() -> None:
    """Say once if the slower kernels are in use."""
    from tacit import kernels

    line = kernels.notice()
    if line:
        Console(stderr=True, highlight=False, soft_wrap=True).print(line)


def number(value: Any) -> str:
    """Format one number for reading: integers whole, others to seven significant digits."""
    v = np.asarray(value).item() if np.ndim(value) == 0 else value
    if isinstance(v, bool | int | str):
        return str(v)
    return "missing" if np.isnan(v) else f"{v:,.7g}"


def results_table(results: Mapping[str, Any], title: str = "results") -> None:
    """Print every result by name."""
    table = Table(title=title, title_justify="left")
    table.add_column("result")
    table.add_column("value")
    for name, value in results.items():
        a = np.asarray(value)
        flat = [number(v) for v in a.reshape(-1)[:ROWS]]
        more = f" … {a.size - ROWS} more" if a.size > ROWS else ""
        table.add_row(name, ", ".join(flat) + more)
    console().print(table)


def rows_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with right-aligned columns after the first."""
    table = Table(title=title, title_justify="left")
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def statement_lines(rows: Sequence[tuple[str, str]]) -> None:
    """Print a statement: a heading, then what it says."""
    out = console()
    out.print("\n[bold]Statement[/bold]")
    last = ""
    for heading, text in rows:
        out.print(f"  {'' if heading == last else heading:<12} ", end="", markup=False)
        out.print(text, markup=False)
        last = heading


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar per party on a terminal; stay silent in a pipe."""
    err = Console(stderr=True)
    if not err.is_terminal:
        yield lambda name, done, total: None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def update(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield update
