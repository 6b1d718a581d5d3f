"""Reading an owner's table: CSV or Parquet, strictly, against the columns that a study declares.

DuckDB reads every cell as text, and the conversion is ours, so that whatever is wrong can be named by file,
column and row. A message never contains a cell's value: it may be shown to others.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import importlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tacit.errors import DataError, RangeError, UsageError

Array = npt.NDArray[Any]
Kind = Literal["fixed", "int", "bool"]
_NAME = re.compile(r"^\w[\w-]{0,55}$")
_WHOLE = 2.0**53  # beyond this float64 does not hold every integer
_NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_STRANGE = r"[+-]?(nan|inf|infinity)"
_FINE, _EMPTY, _TEXT, _NONFINITE = 0, 1, 2, 3
_CSV, _PARQUET = (".csv", ".tsv", ".txt"), (".parquet",)
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Column:
    """One declared column: its values lie in [lo, hi] wherever they are not one of the `missing` codes.

    A column with missing codes may also have empty cells, which count as missing.
    """

    name: str
    kind: Kind
    lo: float
    hi: float
    missing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.match(self.name):
            raise DataError(
                f"a column name has up to 56 letters, digits, _ and -, and no spaces or dots: {self.name!r}"
            )
        if self.kind not in ("fixed", "int", "bool"):
            raise DataError(f"column {self.name!r}: the kind is 'fixed', 'int' or 'bool', not {self.kind!r}")
        numbers = (self.lo, self.hi, *self.missing)
        if not all(isinstance(v, int | float | np.number) and np.isfinite(v) for v in numbers):
            raise RangeError(f"column {self.name!r}: bounds and missing codes are finite numbers")
        if not self.lo <= self.hi:
            raise RangeError(f"column {self.name!r}: the bound [{self.lo:g}, {self.hi:g}] is empty")
        if self.kind == "int" and max(abs(self.lo), abs(self.hi)) > _WHOLE:
            raise RangeError(f"column {self.name!r}: whole numbers go up to 2^53 either way")
        if self.kind == "bool" and not (self.lo >= 0 and self.hi <= 1):
            raise RangeError(f"column {self.name!r}: a bool column is bounded by 0 and 1")


@dataclass(frozen=True, slots=True)
class Table:
    """An owner's rows: by column name the values (float64, int64 or bool; 0 at missing) and what is present."""

    rows: int
    values: dict[str, Array]
    present: dict[str, Array]


def find_tables(folder: str | Path) -> list[Path]:
    """Return the CSV and Parquet files of a folder by name; DataError if there is none, or one is no plain file."""
    root = Path(folder)
    if not root.exists():
        raise DataError(f"{root} does not exist; give a folder with one CSV or Parquet file an owner")
    if not root.is_dir():
        raise DataError(f"{root} is a file; give the folder that holds one CSV or Parquet file an owner")
    found = sorted(p for p in root.iterdir() if p.suffix.lower() in (".csv", ".parquet"))
    for p in found:
        # An owner left out in silence would be a wrong answer.
        if not p.is_file():
            what = "a folder" if p.is_dir() else "no plain file"
            what = "a link that leads nowhere" if not p.exists() else what
            raise DataError(f"{p.name!r} is {what}; put the owner's table there, or take it away")
    if not found:
        raise DataError(f"{root} holds no .csv or .parquet file; put one table an owner there")
    return found


def read_header(path: str | Path) -> list[str]:
    """Return a table's column names, trimmed; DataError as `read_table`."""
    file = _existing(path)
    if file.suffix.lower() in _PARQUET:
        return [n.strip() for n in _parquet_names(_connect(file), file)]
    return _csv_header(file)[0]


def read_table(path: str | Path, columns: Sequence[Column]) -> Table:
    """Read the declared columns of a CSV or Parquet file.

    DataError: the file, a column or a cell is not what was declared. RangeError: a value leaves its bound. Rows are
    counted from 1 below the header. Text that spells a number in any usual way is read; nothing is guessed.
    """
    file = _existing(path)
    declared = [c.name for c in columns]
    if len(set(declared)) != len(declared):
        raise UsageError("the study declares a column twice")
    if not columns:
        raise UsageError("the study declares no column to read")
    con = _connect(file)
    source, at = _open_parquet(con, file) if file.suffix.lower() in _PARQUET else _open_csv(con, file)
    _require_columns(file, columns, list(at))
    rows = con.execute(f"SELECT count(*) FROM {source}").fetchone()[0]
    if not rows:
        raise DataError(f"{file.name} holds a header and no rows")
    values, present = {}, {}
    for c in columns:
        raw, status = _cells(con, source, at[c.name], c.kind)
        values[c.name], present[c.name] = _convert(file, c, raw, status)
    con.close()
    return Table(int(rows), values, present)


# -- files ------------------------------------------------------------------------------------------------


def _existing(path: str | Path) -> Path:
    file = Path(path)
    if not file.exists():
        near = difflib.get_close_matches(file.name, _neighbours(file), 1)
        raise DataError(f"the file {file} does not exist" + (f"; did you mean {near[0]}?" if near else ""))
    if file.is_dir():
        raise DataError(f"{file} is a folder; give one CSV or Parquet file")
    if file.suffix.lower() not in _CSV + _PARQUET:
        raise DataError(f"{file.name}: tables are .csv, .tsv, .txt or .parquet files")
    if re.search(r"[*?\[\]]", str(file)):
        raise DataError(f"{file}: the path may not contain * ? [ or ]; rename it")
    return file


def _neighbours(file: Path) -> list[str]:
    try:
        return [p.name for p in file.parent.iterdir()]
    except OSError:
        return []


def _connect(file: Path) -> Any:
    try:
        duckdb = importlib.import_module("duckdb")
    except ImportError:
        raise UsageError(
            f"reading {file.name} needs DuckDB, which is not installed; install it with: pip install 'tacit[data]'"
        ) from None
    return duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": "false", "allow_community_extensions": "false"}
    )


def _quiet(con: Any, sql: str, params: list[Any], message: str) -> Any:
    """Run SQL; DuckDB's own errors quote cells, so they are replaced by `message`."""
    failed = importlib.import_module("duckdb").Error
    try:
        return con.execute(sql, params)
    except failed:
        raise DataError(message) from None


def _check_utf8(file: Path) -> None:
    """Raise DataError naming the line unless the file is UTF-8."""
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as exc:
                # `exc.object` starts with what the decoder had kept of the chunk before.
                line += exc.object.count(b"\n", 0, exc.start)
                raise DataError(
                    f"{file.name}: line {line} is not UTF-8 text; save the table as UTF-8 CSV"
                ) from None
            line += chunk.count(b"\n")
    if decoder.getstate()[0]:
        raise DataError(f"{file.name}: line {line} is not UTF-8 text; save the table as UTF-8 CSV")


def _csv_header(file: Path) -> tuple[list[str], str]:
    """Return the trimmed column names and the delimiter."""
    with file.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    try:
        head.split(b"\n", 1)[0].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file.name}: line 1 is not UTF-8 text; save the table as UTF-8 CSV") from None
    # What follows the header is checked later; the block may end within a character.
    text = head.decode("utf-8-sig", errors="ignore")
    first = text.splitlines()[0] if text.strip() else ""
    if not first.strip():
        raise DataError(f"{file.name} is empty; its first line must be a header with the column names")
    delimiter = max(",;\t", key=first.count)
    names = [n.strip() for n in next(csv.reader(io.StringIO(text), delimiter=delimiter))]
    if any(_looks_like_data(n) for n in names):
        # Not quoted: without a header, the first line holds somebody's values.
        raise DataError(
            f"{file.name}: the first line holds numbers; it must be a header with the column names"
        )
    twice = sorted({n for n in names if n and names.count(n) > 1})
    if twice:
        raise DataError(f"{file.name}: the header names {', '.join(map(repr, twice))} more than once")
    return names, delimiter


def _looks_like_data(name: str) -> bool:
    return re.fullmatch(rf"{_NUMBER}|{_STRANGE}", name.lower()) is not None


def _open_csv(con: Any, file: Path) -> tuple[str, dict[str, str]]:
    """Load the file as text; return the table's name and its columns by header name."""
    names, delimiter = _csv_header(file)
    _check_utf8(file)
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    _quiet(
        con,
        "CREATE TABLE cells AS SELECT * FROM read_csv(?, auto_detect=false, header=true, delim=?, quote='\"', "
        f"escape='\"', columns={{{columns}}}, null_padding=false, store_rejects=true)",
        [str(file), delimiter],
        f"{file.name} cannot be read as CSV; quote cells that hold the delimiter, quotes or line breaks",
    )
    _refuse_ragged(con, file, len(names))
    return "cells", {n: f"c{i}" for i, n in enumerate(names)}


def _refuse_ragged(con: Any, file: Path, width: int) -> None:
    bad = con.execute("SELECT line, error_type FROM reject_errors ORDER BY line LIMIT 1").fetchone()
    if bad is None:
        return
    # The line is exact; the row is too unless empty lines or cells with line breaks come before it.
    where = f"{file.name}: row {bad[0] - 1} (line {bad[0]})"
    what = {"TOO MANY COLUMNS": "more", "MISSING COLUMNS": "fewer"}.get(str(bad[1]))
    if what is None:
        raise DataError(f"{where} is malformed ({str(bad[1]).lower()}); correct its quotes")
    raise DataError(
        f"{where} has {what} cells than the header's {width} columns; add or remove a delimiter, or quote the cell"
    )


def _parquet_names(con: Any, file: Path) -> list[str]:
    found = _quiet(
        con, "DESCRIBE SELECT * FROM read_parquet(?)", [str(file)], f"{file.name} is not a Parquet file"
    )
    return [str(r[0]) for r in found.fetchall()]


def _open_parquet(con: Any, file: Path) -> tuple[str, dict[str, str]]:
    names = _parquet_names(con, file)
    cells = ", ".join(f'CAST("{_escaped(n)}" AS VARCHAR) AS c{i}' for i, n in enumerate(names))
    _quiet(
        con,
        f"CREATE TABLE cells AS SELECT {cells} FROM read_parquet(?)",
        [str(file)],
        f"{file.name} is damaged, or a column cannot be read as text",
    )
    return "cells", {n.strip(): f"c{i}" for i, n in enumerate(names)}


def _escaped(name: str) -> str:
    return name.replace('"', '""')


def _require_columns(file: Path, columns: Sequence[Column], there: list[str]) -> None:
    for c in columns:
        if c.name in there:
            continue
        near = difflib.get_close_matches(c.name.lower(), [n.lower() for n in there], 1)
        hint = next((f" (did you mean {n!r}?)" for n in there if near and n.lower() == near[0]), "")
        listed = ", ".join(there[:40]) + (", …" if len(there) > 40 else "")
        raise DataError(f"{file.name} has no column {c.name!r}{hint}; it has {listed}")


# -- cells ------------------------------------------------------------------------------------------------


def _cells(con: Any, source: str, column: str, kind: Kind) -> tuple[Array, Array]:
    """Return one column as float64 and what each cell is: fine, empty, text, or not finite."""
    text = f"lower(trim({column}))"
    value = f"TRY_CAST({text} AS DOUBLE)"
    allowed = _NUMBER
    if kind == "bool":
        value = f"CASE {text} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE {value} END"
        allowed = f"{_NUMBER}|true|false"
    out = con.execute(
        f"SELECT coalesce({value}, 0.0) AS value, CAST(CASE WHEN {column} IS NULL OR {text} = '' THEN {_EMPTY} "
        f"WHEN regexp_full_match({text}, '{allowed}') THEN {_FINE} "
        f"WHEN regexp_full_match({text}, '{_STRANGE}') THEN {_NONFINITE} ELSE {_TEXT} END AS TINYINT) AS status "
        f"FROM {source}"
    ).fetchnumpy()
    raw, status = np.asarray(out["value"], np.float64), np.asarray(out["status"])
    return raw, np.where((status == _FINE) & ~np.isfinite(raw), _NONFINITE, status)


def _convert(file: Path, c: Column, raw: Array, status: Array) -> tuple[Array, Array]:
    """Return a column's values, 0 at missing, and its present mask; refuse what was not declared."""

    def refuse(bad: Array, what: str, remedy: str, kind: type[UsageError] = DataError) -> None:
        if bad.any():
            first = int(np.argmax(bad))
            more = int(np.count_nonzero(bad)) - 1
            also = f" (and {more} more row{'s' if more > 1 else ''})" if more else ""
            raise kind(f"{file.name}, column {c.name!r}, row {first + 1}: {what}{also}; {remedy}")

    declare = "correct the table, or declare a missing-value code for this column"
    what = {"int": "a whole number", "fixed": "a number", "bool": "a truth value (0, 1, true or false)"}[
        c.kind
    ]
    refuse(status == _TEXT, f"the cell is text where {what} belongs", "use a decimal point and no units")
    refuse(status == _NONFINITE, "the cell is NaN or infinite", declare)
    absent = status == _EMPTY
    if not c.missing:
        refuse(absent, "the cell is empty", declare)
    absent = absent | np.isin(raw, np.asarray(c.missing, np.float64))
    present = ~absent
    if c.kind == "bool":
        refuse(present & (raw != 0) & (raw != 1), f"the cell is not {what}", "correct the table")
    if c.kind == "int":
        refuse(
            present & (np.floor(raw) != raw),
            "the number has a fraction, and the column was declared int",
            "declare it fixed, or correct the table",
        )
    refuse(
        present & ((raw < c.lo) | (raw > c.hi)),
        f"the value lies beyond the declared bound [{c.lo:g}, {c.hi:g}]",
        "correct the table or the bound",
        RangeError,
    )
    dtype = {"fixed": np.float64, "int": np.int64, "bool": np.bool_}[c.kind]
    return np.where(present, raw, 0.0).astype(dtype), present


__all__ = ["Column", "Table", "find_tables", "read_header", "read_table"]
