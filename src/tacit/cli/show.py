"""How results, plans and statements look on a terminal; plain text in a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.cells import cell_len
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
from rich.text import Text

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
    """Print every result by name, each number whole."""
    rows = [("result", "value")]
    for name, value in results.items():
        a = np.asarray(value)
        flat = [number(v) for v in a.reshape(-1)[:ROWS]]
        more = f" … {a.size - ROWS} more" if a.size > ROWS else ""
        rows.append((name, ", ".join(flat) + more))
    out, longest = console(), max(cell_len(name) for name, _ in rows)
    # A terminal may fold between numbers, never within one; a pipe has no width.
    parts = [word for _, cell in rows for word in (cell.split() if out.is_terminal else [cell])]
    least = _width([longest, max(map(cell_len, parts))])
    out.width = max(out.width, least) if out.is_terminal else least
    table = Table(title=Text(title), title_justify="left")
    for i, heading in enumerate(rows[0]):
        table.add_column(heading, no_wrap=i == 0)
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    out.print(table)


def rows_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with right-aligned columns after the first, each cell whole.

    On a terminal that is too narrow it comes in blocks of columns, each below the other, beginning with the first.
    """
    out = console()
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    room = out.width if out.is_terminal else _width(widths)
    blocks: list[list[int]] = [[]]
    for i in range(1, len(headings)):
        if blocks[-1] and _width([widths[j] for j in (0, *blocks[-1], i)]) > room:
            blocks.append([])
        blocks[-1].append(i)
    out.print(title, style="table.title", markup=False, soft_wrap=not out.is_terminal)
    for block in blocks:
        shown = [0, *block]
        table = Table()
        for i in shown:
            table.add_column(Text(headings[i]), justify="left" if i == 0 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(row[i]) for i in shown))
        out.width = max(room, _width([widths[i] for i in shown]))
        out.print(table)


def _width(columns: Sequence[int]) -> int:
    """Return how wide a table of columns is whose cells have these widths."""
    return sum(columns) + 3 * len(columns) + 1


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
