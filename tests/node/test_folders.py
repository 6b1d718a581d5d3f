"""Folders of tables as strangers fill them: one clear error, no value in it; and processes of the demonstrations."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tacit.errors import TacitError
from tacit.node.joint_study import compare, pooled_answer, read_owners, study_job
from tacit.node.study_spec import detect
from tacit.node.tables import find_tables, read_header

CANARY = "7351935"
STUDY = """title = "t"
describe = ["age"]
[[columns]]
name = "age"
kind = "fixed"
lo = 0
hi = 120
missing = [-9]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    for name in "abc":
        (tmp_path / f"{name}.csv").write_text("age\n30\n41.5\n", encoding="utf-8")
    return tmp_path


def prepare(folder: Path) -> None:
    spec = detect(folder)
    study_job(spec, read_owners(folder, spec).rows).plan()


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8")


def many(folder: Path) -> None:
    for i in range(62):
        (folder / f"more-{i}.csv").write_text("age\n30\n", encoding="utf-8")


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no header": (text("b.csv", f"{CANARY}\n31\n"), "b.csv: the first line holds numbers"),
    "no header, twice the same": (text("b.csv", f"{CANARY},{CANARY}\n"), "b.csv: the first line holds numbers"),
    "text": (text("b.csv", f"age\nx{CANARY}\n"), "b.csv, column 'age', row 1: the cell is text"),
    "bound": (text("b.csv", f"age\n1\n{CANARY}\n"), "b.csv, column 'age', row 2: the value lies beyond"),
    "1e400": (text("b.csv", "age\n1e400\n"), "b.csv, column 'age', row 1: the cell is NaN or infinite"),
    "hexadecimal": (text("b.csv", "age\n0x1F\n"), "use a decimal point and no units"),
    "thousands": (text("b.csv", f'age\n"1,{CANARY}"\n'), "use a decimal point and no units"),
    "a space in the name": (text("my hospital.csv", "age\n30\n"), "rename the file"),
    "an escape in the name": (text("a\x1b[31m.csv", "age\n30\n"), "rename the file"),
    "one owner twice": (text("a.CSV", "age\n30\n"), "a.CSV and a.csv name one owner"),
    "one owner twice, tabs": (text("a.tsv", "age\n30\n"), "a.csv and a.tsv name one owner"),
    "a note": (text("remarks.txt", "About\nage\n"), "remarks.txt has no column 'age'"),
    "packed": (text("d.csv.gz", CANARY), "'d.csv.gz' looks like a table, and tables are .csv, .tsv, .txt or .parquet"),
    "a workbook": (text("d.XLSX", CANARY), "'d.XLSX' looks like a table"),
    "a folder": (lambda f: (f / "x.csv").mkdir(), "'x.csv' is a folder"),
    "a dangling link": (lambda f: (f / "x.csv").symlink_to(f / "gone.csv"), "'x.csv' is a link that leads nowhere"),
    "a pipe": (lambda f: os.mkfifo(f / "x.csv"), "'x.csv' is no plain file"),
    "two tables": (lambda f: (f / "a.csv").unlink(), "at least three tables"),
    "65 tables": (many, "at most 64 tables"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_folder_is_named_and_quotes_no_value(folder: Path, mistake: str) -> None:
    make, says = MISTAKES[mistake]
    make(folder)
    with pytest.raises(TacitError) as failure:
        prepare(folder)
    assert says in str(failure.value)
    assert CANARY not in str(failure.value)
    assert str(failure.value).isprintable()


@pytest.mark.parametrize(
    "content",
    ["\ufeffage\n30\n31\n", "age\r\n30\r\n31\r\n", '"age"\n"30"\n31\n', 'note,age\n"two\nlines",30\nx,31\n'],
)
def test_usual_ways_to_write_a_table_are_read(folder: Path, content: str) -> None:
    (folder / "b.csv").write_bytes(content.encode())
    prepare(folder)
    assert read_owners(folder, detect(folder)).rows == {"a": 2, "b": 2, "c": 2}


def test_a_link_to_a_table_is_a_table(folder: Path) -> None:
    (folder / "d.csv").symlink_to(folder / "a.csv")
    assert [p.name for p in find_tables(folder)] == ["a.csv", "b.csv", "c.csv", "d.csv"]
    assert read_header(folder / "d.csv") == ["age"]


def test_tables_of_other_names_are_owners_too(folder: Path) -> None:
    (folder / "east.tsv").write_text("note\tage\nx\t30\n", encoding="utf-8")
    (folder / "west.txt").write_text("note;age\nx;30\n", encoding="utf-8")
    (folder / "README.md").write_text("about", encoding="utf-8")
    prepare(folder)
    assert read_owners(folder, detect(folder)).rows == {"a": 2, "b": 2, "c": 2, "east": 1, "west": 1}


def test_the_pooled_answer_of_no_rows_is_quiet(folder: Path) -> None:
    for name in "abc":
        (folder / f"{name}.csv").write_text("age\n-9\n-9\n", encoding="utf-8")
    spec = detect(folder)
    pooled = pooled_answer(spec, list(read_owners(folder, spec).tables.values()))
    assert pooled["counts"].tolist() == [0]
    assert np.isnan(pooled["means"]).all()
    assert set(compare({**pooled, "means": np.zeros(1)}, pooled)) == {"counts"}


# -- the command ------------------------------------------------------------------------------------------


def tacit(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tacit.cli.main", *args]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_the_demonstration_stops_in_one_line(folder: Path) -> None:
    (folder / "b.csv").write_text(f"age\nx{CANARY}\n", encoding="utf-8")
    ran = tacit("demo", "study", "--data", ".", "--home", "home", cwd=folder)
    assert ran.returncode == 1
    assert ran.stderr.startswith("tacit: b.csv, column 'age', row 1")
    assert len(ran.stderr.splitlines()) == 1
    assert not ran.stdout


def test_a_place_that_cannot_be_written_is_one_line(folder: Path) -> None:
    (folder / "home").write_text("in the way", encoding="utf-8")
    ran = tacit("demo", "salaries", "--home", "home", cwd=folder)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "home" in ran.stderr
