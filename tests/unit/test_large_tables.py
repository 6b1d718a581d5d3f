"""Tables that are read in blocks: as tables in memory, error for error, and nothing left behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tacit.array import streams
from tacit.array.streams import Rows
from tacit.errors import DataError, RangeError, UsageError
from tacit.node import tables
from tacit.node.tables import Column, read_table

duckdb = pytest.importorskip("duckdb")

X = Column("x", "fixed", 0, 10, (-9,))
Y = Column("y", "int", 0, 5)
B = Column("b", "bool", 0, 1)
N = 50


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(streams, "BLOCK", 8)
    monkeypatch.setattr(tables, "_IN_MEMORY_BYTES", 100)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))


def made(folder: Path, kind: str, broken: str = "") -> Path:
    """Fifty rows with a missing code and an empty cell; `broken` replaces x in row 42."""
    file = folder / f"north.{kind}"
    x = [str(i / 8) if i not in (3, 30) else "-9" if i == 3 else "" for i in range(N)]
    if broken:
        x[41] = broken
    rows = [f"{x[i]},{i % 6},{'true' if i % 3 else 'false'}" for i in range(N)]
    if kind == "csv":
        file.write_text("x,y,b\n" + "\n".join(rows) + "\n")
    else:
        cells = ", ".join(
            f"({r[0] or 'NULL'}::DOUBLE, {r[1]}, {r[2]})" for r in (row.split(",") for row in rows)
        )
        duckdb.connect().execute(
            f"COPY (SELECT * FROM (VALUES {cells}) AS t(x, y, b)) TO '{file}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
    return file


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_blocks_hold_what_memory_would(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(tmp_path, kind)
    want = read_table(file, [X, Y, B])
    monkeypatch.setattr(streams, "LARGE", 20)
    got = read_table(file, [X, Y, B])
    assert got.rows == N
    for name in ("x", "y", "b"):
        for a, b in ((got.values, want.values), (got.present, want.present)):
            assert isinstance(a[name], Rows) and isinstance(b[name], np.ndarray)
            assert np.array_equal(np.asarray(a[name]), b[name]) and a[name].dtype == b[name].dtype
    assert got.values["x"].within == (0, 10) and got.values["y"].within == (0, 5)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("cell", "error"), [("10.5", RangeError), ("'nan'", DataError), ("", DataError)])
def test_what_is_wrong_is_named_by_row(
    tmp_path: Path, kind: str, cell: str, error: type[UsageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LARGE", 20)
    file = made(tmp_path, kind, cell.strip("'") if kind == "csv" else cell)
    column = X if cell else Column("x", "fixed", -9, 10)
    row = 42 if cell else 31
    with pytest.raises(error, match=rf"column 'x', row {row}:") as caught:
        read_table(file, [column])
    assert "10.5" not in str(caught.value)


def test_a_file_that_shrinks_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LARGE", 20)
    file = made(tmp_path, "parquet")
    got = read_table(file, [Y])
    duckdb.connect().execute(f"COPY (SELECT 1 AS y FROM range(9)) TO '{file}' (FORMAT parquet)")
    with pytest.raises(DataError, match=r"changed|damaged"):
        np.asarray(got.values["y"])


def test_a_scratch_file_is_private_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LARGE", 20)
    got: Any = read_table(made(tmp_path, "csv"), [Y])
    (folder,) = (tmp_path / "scratch").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert np.asarray(got.values["y"]).sum() == sum(i % 6 for i in range(N))
    del got
    gc.collect()
    assert not list((tmp_path / "scratch").iterdir())
