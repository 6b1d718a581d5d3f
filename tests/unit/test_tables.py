"""Reading owners' tables: what is read, what is refused, and that no message holds a cell's value."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tacit.array import streams
from tacit.errors import DataError, RangeError, UsageError
from tacit.node import demo_data
from tacit.node.tables import Column, find_tables, read_header, read_table

duckdb = pytest.importorskip("duckdb")

X = Column("x", "fixed", 0, 10, (-9,))
Y = Column("y", "int", 0, 5)
B = Column("b", "bool", 0, 1)
CANARY = "7345"


def put(folder: Path, text: str | bytes, name: str = "north.csv") -> Path:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_reads_values_and_missing_cells(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, ' x ,"y",note\n1.5,2,hello\n-9,3,"a,b"\n,4.0,\n-9.0,0,z\n'), [X, Y])
    assert table.rows == 4
    assert np.array_equal(table.values["x"], [1.5, 0, 0, 0]) and table.values["x"].dtype == np.float64
    assert np.array_equal(table.present["x"], [True, False, False, False])
    assert np.array_equal(table.values["y"], [2, 3, 4, 0]) and table.values["y"].dtype == np.int64
    assert table.present["y"].all() and table.present["y"].dtype == np.bool_
    assert list(table.values) == ["x", "y"]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfx,y\r\n1,2\r\n3,4\r\n",
        "x;y\n1;2\n3;4",
        "x\ty\n+1.0\t2\n3e0\t4\n",
        "x,y\n01,2\n\n.3e1,4\n",
        "x,y,\n1,2,\n3,4,\n",
        '"w, k, g";x;y\n0;1;2\n0;3;4\n',
        'x;y;"u, v, w"\n1;2;"a;b"\n3;4;"c, d"\n',
        '"a ""b"", c, d";"two\nlines, here";x;y\n0;0;1;2\n0;0;3;4\n',
        'height 5",x,y\n"a",1,2\n"b",3,4\n',
        "note,y,x\n\u00e9,2,1\n\u4e2d,4,3\n",
    ],
)
def test_reads_usual_spellings(tmp_path: Path, text: str | bytes) -> None:
    table = read_table(put(tmp_path, text), [X, Y])
    assert np.array_equal(table.values["x"], [1, 3]) and np.array_equal(table.values["y"], [2, 4])


def test_reads_truth_values(tmp_path: Path) -> None:
    table = read_table(put(tmp_path, "b\ntrue\n0\n1.0\nFALSE\n"), [B])
    assert np.array_equal(table.values["b"], [True, False, True, False])


def test_reads_parquet(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    duckdb.sql(
        "SELECT * FROM (VALUES (0.1::DOUBLE, 2, true), (-9, 3, false), (NULL, 4, true)) AS t(x, y, b)"
    ).write_parquet(str(file))
    table = read_table(file, [X, Y, B])
    assert np.array_equal(table.values["x"], [0.1, 0, 0])
    assert np.array_equal(table.present["x"], [True, False, False])
    assert np.array_equal(table.values["y"], [2, 3, 4]) and np.array_equal(
        table.values["b"], [True, False, True]
    )
    assert read_header(file) == ["x", "y", "b"]


def parquet(folder: Path, select: str, *renamed: tuple[str, str]) -> Path:
    """Write a query's rows; `renamed` makes names that DuckDB does not write, in the bytes."""
    file = folder / "north.parquet"
    duckdb.sql(f"COPY (SELECT {select}) TO '{file}' (FORMAT parquet)")
    for old, new in renamed:
        file.write_bytes(file.read_bytes().replace(old.encode(), new.encode()))
    return file


def test_parquet_names_that_only_spaces_tell_apart_are_refused(tmp_path: Path) -> None:
    file = parquet(tmp_path, '1 AS x, 2 AS "x "')
    for read in (read_header, lambda f: read_table(f, [X])):
        with pytest.raises(DataError, match=r"north\.parquet: the header names 'x' more than once"):
            read(file)


def test_parquet_names_that_only_case_tells_apart_are_columns_of_their_own(tmp_path: Path) -> None:
    select = "1 AS \"Vabc\", {'p': 1, 'q': [2, 3]} AS s, 2 AS wabc, 3 AS \"Vabc_1\", 4 AS z"
    file = parquet(tmp_path, select, ("wabc", "vabc"))
    names = ["Vabc", "s", "vabc", "Vabc_1", "z"]
    assert read_header(file) == names
    numbers = [n for n in names if n != "s"]
    table = read_table(file, [Column(n, "int", 0, 9) for n in numbers])
    assert [int(table.values[n][0]) for n in numbers] == [1, 2, 3, 4]
    with pytest.raises(DataError, match=r"no column 'x'; it has Vabc, s, vabc, Vabc_1, z$"):
        read_table(file, [X])


def test_a_parquet_column_may_be_called_file_row_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = parquet(tmp_path, "i AS x, 7 AS file_row_number FROM range(9) t(i)")
    columns = [X, Column("file_row_number", "int", 0, 9)]
    assert read_table(file, columns).values["file_row_number"].tolist() == [7] * 9
    monkeypatch.setattr(streams, "LARGE", 9)
    with pytest.raises(DataError, match=r"rename the column file_row_number"):
        read_table(file, columns)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("beyond", [2**53 + 1, -(2**53) - 1])
def test_whole_numbers_that_float64_cannot_hold_are_refused(tmp_path: Path, kind: str, beyond: int) -> None:
    v = Column("v", "int", -(2**53), 2**53)

    def table(*numbers: int) -> Path:
        if kind == "csv":
            return put(tmp_path, "v\n" + "\n".join(map(str, numbers)))
        return parquet(tmp_path, f"unnest({list(numbers)}) AS v")

    held = [2**53 - 1, 2**53, -(2**53)]
    assert read_table(table(*held), [v]).values["v"].tolist() == held
    with pytest.raises(
        DataError, match=r"column 'v', row 2: whole numbers beyond 2\^53 are not exact; correct"
    ):
        read_table(table(1, beyond), [v])
    with pytest.raises(DataError, match=r"row 2: whole numbers beyond"):
        read_table(put(tmp_path, f"v\n9007199254740992.0\n{beyond}.0\n"), [v])


LEFT_EMPTY = "leave the cell empty, and declare a missing-value code for this column"
WORDS = {
    "a mark for what is missing": ["NA", "NULL", ".", "N/A", "#N/A", "n.a.", "None", "-", "?", "<NA>"],
    "a truth word": ["T", "f", "yes", "No", "TRUE", "false"],
    "a date": ["2021-03-04", "04.03.2021", "3/4/21", "2021-03-04 05:06:07", "2021-03-04T05:06:07Z"],
    "text": ["1 kg", "1.2.3", "0x1F", "1-2", "n.b.", "truly"],
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("column", [X, Y, B], ids=lambda c: c.kind)
def test_words_in_number_columns_get_their_own_remedies(tmp_path: Path, word: str, column: Column) -> None:
    for cell in WORDS[word]:
        if column.kind == "bool" and cell in ("TRUE", "false"):
            continue
        said = {
            "a mark for what is missing": "leave the cell empty, or write the code -9"
            if column is X
            else LEFT_EMPTY,
            "a truth word": "declare the column bool, or write 0 or 1" if len(cell) > 3 else "write 0 or 1",
            "a date": "write a number, such as the days from a day",
            "text": "write 0 or 1" if column is B else "use a decimal point and no units",
        }[word]
        with pytest.raises(DataError) as caught:
            read_table(put(tmp_path, f"{column.name}\n1\n{cell}\n"), [column])
        message = str(caught.value)
        assert f"row 2: the cell is {word} where a" in message and f"; {said}" in message, (cell, message)


def test_truth_values_of_parquet_in_an_int_column_say_bool(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'y', row 1: the cell is a truth word .*; declare the column bool"):
        read_table(parquet(tmp_path, "true AS y"), [Y])


REFUSED = {
    "text": (f"x,y\n1,2\n{CANARY}seven,2\n", DataError, ["north.csv", "'x'", "row 2", "text"]),
    "text in an integer": (f"x,y\n1,{CANARY}a\n", DataError, ["'y'", "row 1", "whole number"]),
    "decimal comma": (f'x,y\n"{CANARY},5",2\n', DataError, ["'x'", "row 1", "decimal point"]),
    "NaN": ("x,y\nnan,2\n", DataError, ["'x'", "row 1", "NaN", "missing-value code"]),
    "NaN beside a code": (
        "x,y\nnan,2\n",
        DataError,
        ["'x'", "row 1", "NaN", "write its missing-value code -9"],
    ),
    "CR line ends": (f"x,y\r1,2\r{CANARY},2\r", DataError, ["north.csv", "LF or CRLF, not CR alone"]),
    "CR line ends after the header": (f"x,y\n1,2\r{CANARY},2\r", DataError, ["LF or CRLF, not CR alone"]),
    "mixed line ends": (
        f"x,y\r\n1,2\r{CANARY},2\r\n",
        DataError,
        ["line 2 does not", "LF or CRLF, not CR alone"],
    ),
    "LF after CRLF": (
        f"x,y\r\n1,2\r\n{CANARY},2\n",
        DataError,
        ["line 3 does not end as line 1 does", "LF or CRLF"],
    ),
    "a blank first line": (f"\nx,y\n{CANARY},2\n", DataError, ["line 1 is blank", "begin with the header"]),
    "pipes": (f"x|y\n{CANARY}|2\n", DataError, ["separated by commas, semicolons or tabs, not by |"]),
    "Excel's sep": (
        f"sep=;\nx;y\n{CANARY};2\n",
        DataError,
        ["line 1 is an instruction for Excel (sep=)", "remove"],
    ),
    "Excel's other sep": (
        f"SEP=,\r\nx,y\r\n{CANARY},2\r\n",
        DataError,
        ["line 1 is an instruction for Excel"],
    ),
    "a quote open for megabytes": (
        'x,y\n1,2\n3,"' + f"{CANARY}" * 750_000 + '"\n',
        DataError,
        ["row 2 (line 3)", "more than 2 MB", "close the quote"],
    ),
    "a quote open in the header": (
        f'x,"y\n{CANARY},2\n',
        DataError,
        ["the header cannot be read", "close its quotes"],
    ),
    "infinity": ("x,y\n1,2\n-Infinity,2\n", DataError, ["'x'", "row 2", "infinite"]),
    "overflow": ("x,y\n1e999,2\n", DataError, ["'x'", "row 1", "infinite"]),
    "empty": ("x,y\n1,2\n2,\n", DataError, ["'y'", "row 2", "empty", "missing-value code"]),
    "bound": (f"x,y\n1,2\n{CANARY},2\n", RangeError, ["'x'", "row 2", "[0, 10]", "bound"]),
    "bounds": (f"x,y\n{CANARY},2\n-{CANARY},2\n", RangeError, ["row 1", "1 more row"]),
    "fraction": (f"x,y\n1,2\n1,3.{CANARY}\n", DataError, ["'y'", "row 2", "fraction", "fixed"]),
    "no rows": ("x,y\n", DataError, ["no rows"]),
    "nothing": ("", DataError, ["empty", "header"]),
    "blank": ("\n\n", DataError, ["empty", "header"]),
    "twice": ("x, x,y\n1,2,3\n", DataError, ["'x'", "more than once"]),
    "long row": (
        f"x,y\n1,2\n3,4,{CANARY}\n",
        DataError,
        ["row 2", "3 cells, more than the header's 2 columns"],
    ),
    "short row": (f"x,y\n1,2\n{CANARY}\n", DataError, ["row 2", "1 cell, fewer than the header's 2"]),
    "row names": (
        f"x,y\n{CANARY},1,\n{CANARY},2,\n",
        DataError,
        ["row 1", "3 cells, more", "name every column"],
    ),
    "a surplus empty cell": (
        f'x,y\n1,2\n3,{CANARY},"",\n',
        DataError,
        ["row 2", "4 cells, more than the header's 2"],
    ),
    "a surplus empty cell at the end": (f"x,y\n1,2\n3,{CANARY},", DataError, ["row 2", "3 cells, more"]),
    "quotes": (f'x,y\n1,2\n"{CANARY}" z,2\n', DataError, ["row 2", "malformed", "quotes"]),
    "open quote": (f'x,y\n1,2\n"{CANARY},2\n3,4\n', DataError, ["north.csv", "quotes"]),
    "no column": ("xx,y\n1,2\n", DataError, ["no column 'x'", "did you mean 'xx'", "xx, y"]),
    "another case": ("X,y\n1,2\n", DataError, ["no column 'x'", "did you mean 'X'"]),
    "other columns": ("p,q\n1,2\n", DataError, ["no column 'x'", "p, q"]),
    "not UTF-8": (f"x,y\n1,2\n{CANARY}\xff,2\n".encode("latin-1"), DataError, ["line 3", "UTF-8"]),
    "header not UTF-8": (b"x,y\xff\n1,2\n", DataError, ["line 1", "UTF-8"]),
    "cut UTF-8": (b"x,y,z\n1,2,\xc3", DataError, ["line 2", "UTF-8"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_says_where(tmp_path: Path, name: str) -> None:
    text, kind, words = REFUSED[name]
    with pytest.raises(kind) as caught:
        read_table(put(tmp_path, text), [X, Y])
    message = str(caught.value)
    assert type(caught.value) is kind and CANARY not in message and CANARY not in repr(caught.value.__cause__)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    for word in words:
        assert word in message, message


def test_a_surplus_cell_in_a_table_of_one_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2 \(line 3\) has 2 cells, more than the header's 1"):
        read_table(put(tmp_path, "y\n1\n2,\n"), [Y])


def test_refuses_other_truth_values_and_empty_cells_without_a_code(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 2.*truth value"):
        read_table(put(tmp_path, f"b\n1\n{CANARY}\n"), [B])
    with pytest.raises(DataError, match=r"row 2.*empty"):
        read_table(put(tmp_path, 'b\n1\n""\n0\n'), [B])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("missing", [(), (-9,)])
def test_blank_lines_are_no_rows_as_in_pandas(tmp_path: Path, end: str, missing: tuple[float, ...]) -> None:
    pd = pytest.importorskip("pandas")
    one = ["x", "", "1", "", '""' if missing else "5", "2", "", ""]
    for lines in (one, ["x,y", "1,2", "", "3,4", "", ""]):
        file = put(tmp_path, end.join(lines) + end)
        table = read_table(file, [Column("x", "fixed", 0, 10, missing)])
        want = pd.read_csv(file)["x"]
        assert table.rows == len(want)
        assert np.array_equal(table.present["x"], want.notna())
        assert np.array_equal(table.values["x"], want.fillna(0))
    with pytest.raises(DataError, match="no rows"):
        read_table(put(tmp_path, "x" + end * 3), [Column("x", "fixed", 0, 10, missing)])


def test_refuses_what_is_no_table(tmp_path: Path) -> None:
    put(tmp_path, "x,y\n1,2\n")
    with pytest.raises(DataError, match=r"does not exist; did you mean north.csv"):
        read_table(tmp_path / "nort.csv", [X])
    with pytest.raises(DataError, match=r"is a folder"):
        read_table(tmp_path, [X])
    with pytest.raises(DataError, match=r"tables are .csv"):
        read_table(put(tmp_path, "x\n1\n", "t.xlsx"), [X])
    with pytest.raises(DataError, match=r"rename"):
        read_table(put(tmp_path, "x\n1\n", "a[1].csv"), [X])
    with pytest.raises(DataError, match=r"not a Parquet file"):
        read_table(put(tmp_path, f"x,y\n{CANARY},2\n", "t.parquet"), [X])
    with pytest.raises(UsageError, match=r"twice"):
        read_table(tmp_path / "north.csv", [X, X])
    with pytest.raises(UsageError, match=r"no column"):
        read_table(tmp_path / "north.csv", [])


@pytest.mark.parametrize("read", [read_header, lambda f: read_table(f, [X])])
@pytest.mark.parametrize("name", ["north.csv", "north.parquet"])
def test_a_file_that_cannot_be_opened_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: Callable[[Path], object]
) -> None:
    file = put(tmp_path, "x,y\n1,2\n", name)

    def locked(*args: object, **kwargs: object) -> object:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(
        DataError, match=rf"{name} cannot be read \(Permission denied\); correct its permissions"
    ):
        read(file)


def test_finds_the_tables_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not exist"):
        find_tables(tmp_path / "nowhere")
    put(tmp_path, "about", "README")
    with pytest.raises(DataError, match=r"no \.csv, \.tsv, \.txt or \.parquet"):
        find_tables(tmp_path)
    put(tmp_path, "x\n1\n", "b.CSV")
    first = put(tmp_path, "x\n1\n", "a.csv")
    put(tmp_path, "x\n1\n", "c.tsv")
    put(tmp_path, "x\n1\n", "d.TXT")
    put(tmp_path, "Where these come from.\n", "README.txt")
    put(tmp_path, "{}", "job.json")
    assert [f.name for f in find_tables(tmp_path)] == ["a.csv", "b.CSV", "c.tsv", "d.TXT"]
    with pytest.raises(DataError, match=r"is a file"):
        find_tables(first)


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (("a b", "fixed", 0, 1), DataError),
        (("x.present", "fixed", 0, 1), DataError),
        (("", "fixed", 0, 1), DataError),
        (("x\n", "fixed", 0, 1), DataError),
        (("x", "fixed", 0, 1, -9), DataError),
        (("x", "fixed", 0, 1, "-9"), DataError),
        (("x", "int", 0.5, 1), RangeError),
        (("x", "int", 0, 1.5), RangeError),
        (("x", "float", 0, 1), DataError),
        (("x", "fixed", 2, 1), RangeError),
        (("x", "fixed", 0, float("inf")), RangeError),
        (("x", "fixed", 0, 1, (float("nan"),)), RangeError),
        (("x", "int", 0, 2**60), RangeError),
        (("x", "bool", 0, 2), RangeError),
    ],
)
def test_column_checks_itself(args: tuple, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        Column(*args)


def test_a_missing_dependency_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def refuse(name: str, package: str | None = None) -> object:
        if name == "duckdb":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", refuse)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"in your clone of Tacit run: .*'\.\[data\]'"):
        read_table(put(tmp_path, "x,y\n1,2\n"), [X])
    with pytest.raises(UsageError, match=r"in your clone of Tacit run: .*'\.\[demo\]'"):
        demo_data.hospital_tables(tmp_path / "demo")


def test_importing_loads_no_reader() -> None:
    code = "import sys, tacit.node.tables, tacit.node.demo_data as d; print({'duckdb', 'sklearn'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_million_rows_in_seconds(tmp_path: Path) -> None:
    n = 10**6
    file = tmp_path / "big.csv"
    duckdb.sql(f"SELECT i % 997 AS a, i % 991 AS b, i % 7 AS c FROM range({n}) t(i)").write_csv(str(file))
    started = time.monotonic()
    table = read_table(file, [Column(c, "int", 0, 1000) for c in "abc"])
    assert time.monotonic() - started < 10
    index = np.arange(n)
    for c, m in (("a", 997), ("b", 991), ("c", 7)):
        assert np.array_equal(table.values[c], index % m)
    assert table.rows == n


def test_a_late_bad_row_is_found(tmp_path: Path) -> None:
    lines = ["x,y"] + ["1,2"] * 300_000
    lines[250_001] = "1,2,3"
    with pytest.raises(DataError, match=r"row 250001 "):
        read_table(put(tmp_path, "\n".join(lines)), [X, Y])
    lines[250_001] = "oops,2"
    with pytest.raises(DataError, match=r"row 250001:"):
        read_table(put(tmp_path, "\n".join(lines)), [X, Y])


@pytest.mark.parametrize("where", ["its files", "no files"])
def test_demo_tables_hold_the_source_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    found = importlib.util.find_spec("sklearn")
    assert found is not None
    if where == "no files":
        found.submodule_search_locations = [str(tmp_path)]
    else:
        monkeypatch.setattr(datasets, "load_diabetes", None)
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: found)
        files = demo_data.hospital_tables(tmp_path / "demo")
    monkeypatch.undo()
    rows = []
    for file in files.values():
        with file.open(newline="") as stream:
            header, *body = list(csv.reader(stream))
        assert tuple(header) == demo_data.COLUMNS
        rows += [tuple(map(float, r)) for r in body]
    source = datasets.load_diabetes(scaled=False)
    assert sorted(rows) == sorted(map(tuple, np.column_stack([source.data, source.target]).tolist()))
    sizes = [len(read_table(f, [Column("age", "fixed", 0, 110)]).values["age"]) for f in files.values()]
    assert sizes == [222, 132, 88]


@pytest.mark.parametrize("codes", [-9, "-9", b"-9", {-9}, {-9: "gone"}])
def test_codes_are_a_sequence(codes: object) -> None:
    with pytest.raises(DataError, match=r"missing is a tuple of codes, as in missing=\(-9,\)"):
        Column("x", "int", 0, 9, codes)  # type: ignore[arg-type]


def test_codes_of_any_sequence_are_kept_as_a_tuple() -> None:
    given = ([-9, -8], np.array([-9, -8]), (c for c in (-9, -8)))
    assert {Column("x", "int", 0, 9, codes).missing for codes in given} == {(-9, -8)}  # type: ignore[arg-type]
