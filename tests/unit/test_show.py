"""What commands print: every digit and every name, however narrow the terminal is, and on one line in a pipe."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from tacit.cli import show

NAMES = [f"measurement_number_{i}" for i in range(12)]
CELLS = [[f"{(-1) ** j * (i + 1.25) * 7.1662e-08 * 10**j:.5g}" for j in range(12)] for i in range(12)]
ROWS = [[name, *cells] for name, cells in zip(NAMES, CELLS, strict=True)]
TITLE = "covariance over 2,000 complete rows, of measurements that have long names"


def rows_of(said: str) -> list[list[str]]:
    lines = [line for line in said.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def narrow(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    out = io.StringIO()
    made = Console(
        file=out, width=width, force_terminal=True, color_system=None, highlight=False, soft_wrap=True
    )
    monkeypatch.setattr(show, "console", lambda: made)
    return out


def test_a_matrix_in_a_pipe_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows_table(TITLE, ["", *NAMES], ROWS)
    said = capsys.readouterr().out
    assert said.splitlines()[0].strip() == TITLE
    assert rows_of(said) == [["", *NAMES], *ROWS]


@pytest.mark.parametrize("width", [10, 60, 80, 200])
def test_a_matrix_on_a_narrow_terminal_is_in_blocks(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    out = narrow(monkeypatch, width)
    show.rows_table(TITLE, ["", *NAMES], ROWS)
    said = out.getvalue()
    assert "".join(said.split("┏")[0].split()) == TITLE.replace(" ", "")
    got = rows_of(said)
    blocks = [got[i : i + 13] for i in range(0, len(got), 13)]
    assert all([row[0] for row in block] == ["", *NAMES] for block in blocks)
    assert [cell for block in blocks for cell in block[0][1:]] == NAMES
    for i in range(12):
        assert [cell for block in blocks for cell in block[i + 1][1:]] == CELLS[i]
    if width >= 60:
        assert max(map(len, said.splitlines())) <= width
    assert said.count("┏") == len(blocks) == {10: 12, 60: 12, 80: 6, 200: 2}[width]


def test_brackets_are_no_style(capsys: pytest.CaptureFixture[str]) -> None:
    show.rows_table("rate of [red]", ["", "[0, 40)"], [["[bold] women", "1/2"]])
    said = capsys.readouterr().out
    assert "rate of [red]" in said and rows_of(said) == [["", "[0, 40)"], ["[bold] women", "1/2"]]


@pytest.mark.parametrize("width", [None, 10, 60])
def test_results_are_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int | None
) -> None:
    out = narrow(monkeypatch, width) if width else None
    values = np.array([float(cell) for cell in CELLS[0]])
    name = "standard errors of the coefficients of this regression"
    show.results_table({name: values, "r": np.float64(-1.234567e-8)})
    said = out.getvalue() if out else capsys.readouterr().out
    rows = rows_of(said)
    assert rows[1][0] == name
    numbers = " ".join(row[1] for row in rows[1:]).replace(",  ", ", ")
    assert numbers == ", ".join(show.number(v) for v in values) + " -1.234567e-08"
    assert (len(rows) == 3) == (width is None)
