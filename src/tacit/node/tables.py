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
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tacit.array import streams
from tacit.array.streams import Rows
from tacit.errors import DataError, RangeError, UsageError

Array = npt.NDArray[Any]
Kind = Literal["fixed", "int", "bool"]
_NAME = re.compile(r"\w[\w-]{0,55}")
_WHOLE = 2.0**53  # beyond this float64 does not hold every integer
_NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
_STRANGE = r"[+-]?(nan|inf|infinity)"
_FINE, _EMPTY, _TEXT, _NONFINITE, _INEXACT, _MARK, _BOOL, _TRUTH, _DATE = range(9)
_WORDS = {
    _NONFINITE: _STRANGE,
    _MARK: r"#?n[./]?a[.]?|<na>|#?null!?|none|missing|[.?*-]+",
    _BOOL: "true|false",
    _TRUTH: "t|f|y|n|yes|no",
    _DATE: r"([0-9]{4}([-/.][0-9]{1,2}){2}|([0-9]{1,2}[-/.]){2}([0-9]{2}|[0-9]{4}))([t ].*)?",
}
"""What else a cell may be than a number, in lower case; everything else is text."""
_CSV, _PARQUET = (".csv", ".tsv", ".txt"), (".parquet",)
_UNREAD = (
    ".7z .arrow .avro .bz2 .dat .data .dta .duckdb .feather .gz .h5 .jsonl .ndjson .ods .orc .parq .pickle .pkl "
    ".por .pq .psv .rda .rdata .rds .sas7bdat .sav .sqlite .tab .xls .xlsb .xlsm .xlsx .xpt .xz .zip .zst"
)
"""How names of tables end that are packed, or of a kind that is not read."""
_HEADER_BYTES = 1 << 20
_DTYPES: dict[str, Any] = {"fixed": np.float64, "int": np.int64, "bool": np.bool_}
_IN_MEMORY_BYTES = 1 << 28
"""A larger CSV file goes through a scratch file."""
_SAME_AS_TEXT = ("DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER")
_MEMORY = "256MB"
"""What DuckDB may use for a large table."""
_NOTES = ("readme.txt", "license.txt", "licence.txt", "notes.txt", "sources.txt", "source.txt")
"""What lies beside tables and is nobody's."""


class _Scratch:
    """A folder that only this user can read, removed when it is no longer used, at the latest on exit."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="tacit-table-")
        weakref.finalize(self, shutil.rmtree, self.folder, True)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Where a table's cells are as text: an SQL relation, its column for every name, and its row number."""

    source: str
    at: dict[str, str]
    row: str
    numeric: frozenset[str] = frozenset()
    """Names of columns that are not text but numbers, whole or of double precision."""
    scratch: _Scratch | None = None
    """Keeps the scratch file while the table is used."""


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
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise DataError(
                f"a column name has up to 56 letters, digits, _ and -, and no spaces or dots: {self.name!r}"
            )
        if self.kind not in ("fixed", "int", "bool"):
            raise DataError(f"column {self.name!r}: the kind is 'fixed', 'int' or 'bool', not {self.kind!r}")
        if isinstance(self.missing, str | bytes | Set | Mapping) or not isinstance(self.missing, Iterable):
            raise DataError(
                f"column {self.name!r}: missing is a tuple of codes, as in missing=(-9,), not {self.missing!r}"
            )
        codes = tuple(v.item() if isinstance(v, np.generic) else v for v in self.missing)
        object.__setattr__(self, "missing", codes)
        numbers = (self.lo, self.hi, *self.missing)
        if not all(isinstance(v, int | float | np.number) and np.isfinite(v) for v in numbers):
            raise RangeError(f"column {self.name!r}: bounds and missing codes are finite numbers")
        if not self.lo <= self.hi:
            raise RangeError(f"column {self.name!r}: the bound [{self.lo:g}, {self.hi:g}] is empty")
        if self.kind == "int" and not (float(self.lo).is_integer() and float(self.hi).is_integer()):
            raise RangeError(f"column {self.name!r}: the bounds of an int column are whole numbers")
        if self.kind == "int" and max(abs(self.lo), abs(self.hi)) > _WHOLE:
            raise RangeError(f"column {self.name!r}: whole numbers go up to 2^53 either way")
        if self.kind == "bool" and not (self.lo >= 0 and self.hi <= 1):
            raise RangeError(f"column {self.name!r}: a bool column is bounded by 0 and 1")


@dataclass(frozen=True, slots=True)
class Table:
    """An owner's rows: by column name the values (float64, int64 or bool; 0 at missing) and what is present.

    Columns of at least `LARGE` rows are `Rows`, read again in blocks whenever they are used.
    """

    rows: int
    values: dict[str, Any]
    present: dict[str, Any]


def find_tables(folder: str | Path) -> list[Path]:
    """Return the CSV (.csv, .tsv, .txt) and Parquet files of a folder by name.

    DataError if there is none, one is no plain file, or a file looks like a table of another kind.
    """
    root = Path(folder)
    if not root.exists():
        raise DataError(f"{root} does not exist; give a folder with one CSV or Parquet file an owner")
    if not root.is_dir():
        raise DataError(f"{root} is a file; give the folder that holds one CSV or Parquet file an owner")
    try:
        inside = sorted(root.iterdir())
    except OSError as exc:
        raise DataError(f"{root} cannot be read ({exc.strerror}); correct its permissions") from None
    found = []
    # An owner left out in silence would be a wrong answer.
    for p in inside:
        if p.suffix.lower() in _UNREAD.split():
            raise DataError(
                f"{p.name!r} looks like a table, and tables are .csv, .tsv, .txt or .parquet files; save it as one of "
                "these, or take it away"
            )
        if p.suffix.lower() not in _CSV + _PARQUET or p.name.lower() in _NOTES:
            continue
        if not p.is_file():
            what = "a folder" if p.is_dir() else "no plain file"
            what = "a link that leads nowhere" if not p.exists() else what
            raise DataError(f"{p.name!r} is {what}; put the owner's table there, or take it away")
        found.append(p)
    if not found:
        raise DataError(f"{root} holds no .csv, .tsv, .txt or .parquet file; put one table an owner there")
    return found


def read_header(path: str | Path) -> list[str]:
    """Return a table's column names, trimmed; DataError as `read_table`."""
    file = _existing(path)
    if file.suffix.lower() in _PARQUET:
        return list(_parquet_columns(_connect(file), file))
    return _csv_header(file)[0]


def read_table(path: str | Path, columns: Sequence[Column]) -> Table:
    """Read the declared columns of a CSV or Parquet file.

    DataError: the file, a column or a cell is not what was declared. RangeError: a value leaves its bound. Rows are
    counted from 1 below the header; a blank line is no row, as in pandas, and an empty cell of a table of one column
    is "". Text that spells a number in any usual way is read; nothing is guessed.
    """
    file = _existing(path)
    declared = [c.name for c in columns]
    if len(set(declared)) != len(declared):
        raise UsageError("the study declares a column twice")
    if not columns:
        raise UsageError("the study declares no column to read")
    con = _connect(file)
    if file.suffix.lower() in _PARQUET:
        cells = _open_parquet(con, file)
    else:
        cells = _open_csv(con, file)
    _require_columns(file, columns, list(cells.at))
    rows = int(con.execute(f"SELECT count(*) FROM {cells.source}").fetchone()[0])
    if not rows:
        raise DataError(f"{file.name} holds a header and no rows")
    if rows >= streams.LARGE:
        return _in_blocks(file, con, cells, columns, rows)
    values, present = {}, {}
    for c in columns:
        raw, status = _cells(con, cells, c)
        values[c.name], present[c.name] = _convert(file, c, raw, status)
    con.close()
    return Table(rows, values, present)


def _in_blocks(file: Path, con: Any, cells: _Cells, columns: Sequence[Column], rows: int) -> Table:
    """Check every cell once, block by block, and return columns that are read again when they are used."""
    values, present = {}, {}
    for c in columns:
        read = _BlockReader(file, con, cells, c)
        lo, hi = (min(c.lo, 0.0), max(c.hi, 0.0)) if c.missing else (c.lo, c.hi)
        values[c.name] = Rows((rows,), _DTYPES[c.kind], 0, read.values, (lo, hi))
        present[c.name] = Rows((rows,), np.bool_, 0, read.present, (0, 1))
        for start, stop in values[c.name].blocks():
            read.values(start, stop)
    return Table(rows, values, present)


class _BlockReader:
    """Reads and checks one column by blocks; keeps the last block, which values and mask share."""

    def __init__(self, file: Path, con: Any, cells: _Cells, column: Column) -> None:
        self.file, self.con, self.cells, self.column = file, con, cells, column
        self.last: tuple[int, int] = (0, 0)
        self.found: tuple[Array, Array] = (np.zeros(0), np.zeros(0, np.bool_))

    def values(self, start: int, stop: int, memo: Any = None) -> Array:
        """Return the values of some rows."""
        return self._read(start, stop)[0]

    def present(self, start: int, stop: int, memo: Any = None) -> Array:
        """Return which of some rows are present."""
        return self._read(start, stop)[1]

    def _read(self, start: int, stop: int) -> tuple[Array, Array]:
        if self.last != (start, stop):
            raw, status = _cells(self.con, self.cells, self.column, (start, stop))
            if len(raw) != stop - start:
                raise DataError(
                    f"{self.file.name} changed while it was read; leave it alone until the job ends"
                )
            self.found, self.last = _convert(self.file, self.column, raw, status, start), (start, stop)
        return self.found


# -- files ------------------------------------------------------------------------------------------------


def _existing(path: str | Path) -> Path:
    file = Path(path)
    try:
        there = file.exists()
        if file.is_file():
            file.open("rb").close()
    except OSError as exc:
        raise DataError(
            f"{file} cannot be read ({exc.strerror}); correct its permissions, or copy it"
        ) from None
    if not there:
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
            f"reading {file.name} needs DuckDB, which is not installed; in your clone of Tacit run: "
            ".venv/bin/pip install -e '.[data]'"
        ) from None
    return duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": "false", "allow_community_extensions": "false"}
    )


def _quiet(con: Any, sql: str, params: list[Any], message: str | Callable[[], str]) -> Any:
    """Run SQL; DuckDB's own errors quote cells, so they are replaced by `message`, or what it returns."""
    failed = importlib.import_module("duckdb").Error
    try:
        return con.execute(sql, params)
    except failed:
        raise DataError(message if isinstance(message, str) else message()) from None
    except RuntimeError as exc:
        # DuckDB puts this in the place of what the handler of a signal raised, which peers and the command understand.
        if str(exc) != "Query interrupted":
            raise
        raise KeyboardInterrupt from None


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
    if not text.strip():
        raise DataError(f"{file.name} is empty; its first line must be a header with the column names")
    if not text.splitlines()[0].strip():
        raise DataError(f"{file.name}: line 1 is blank; begin with the header, which holds the column names")
    if re.match(r'"?sep=.?"?[\r\n]', text, re.I):
        raise DataError(
            f"{file.name}: line 1 is an instruction for Excel (sep=); remove it, so that the header is first"
        )
    # Delimiters within quotes are part of a name.
    first = re.split(r"[\r\n]", re.sub(r'(^|[,;\t\r\n])"(?:[^"]|"")*"', r"\1", text), maxsplit=1)[0]
    delimiter = max(",;\t", key=first.count)
    if delimiter not in first and "|" in first:
        raise DataError(
            f"{file.name}: columns are separated by commas, semicolons or tabs, not by |; save the table so"
        )
    try:
        if re.search(r'(^|[,;\t])"', first):
            raise csv.Error
        names = [n.strip() for n in next(csv.reader(io.StringIO(text), delimiter=delimiter))]
    except csv.Error:
        raise DataError(
            f"{file.name}: the header cannot be read; end lines with LF or CRLF, not CR alone, and close its quotes"
        ) from None
    if any(_looks_like_data(n) for n in names):
        # Not quoted: without a header, the first line holds somebody's values.
        raise DataError(
            f"{file.name}: the first line holds numbers; it must be a header with the column names"
        )
    _refuse_twins(file, names)
    return names, delimiter


def _refuse_twins(file: Path, names: list[str]) -> None:
    twice = sorted({n for n in names if n and names.count(n) > 1})
    if twice:
        raise DataError(f"{file.name}: the header names {', '.join(map(repr, twice))} more than once")


def _looks_like_data(name: str) -> bool:
    return re.fullmatch(rf"{_NUMBER}|{_STRANGE}", name.lower()) is not None


def _open_csv(con: Any, file: Path) -> _Cells:
    """Load the file as text, into memory, or into a private scratch file that ends with this process."""
    names, delimiter = _csv_header(file)
    _check_utf8(file)
    table, scratch = "cells", None
    if file.stat().st_size > _IN_MEMORY_BYTES:
        scratch = _Scratch()
        con.execute(f"ATTACH '{scratch.folder}/cells.db' AS scratch")
        con.execute(f"SET memory_limit = '{_MEMORY}'")
        table = "scratch.cells"
    columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(names)))
    _quiet(
        con,
        f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, auto_detect=false, header=true, delim=?, quote='\"', "
        # Where empty cells are null, DuckDB drops surplus ones: row names would pass for the first column.
        f"escape='\"', columns={{{columns}}}, null_padding=false, store_rejects=true, nullstr='\x01')",
        [str(file), delimiter],
        lambda: (
            f"{file.name} cannot be read as CSV; {_other_end(file)}quote cells that hold the delimiter, quotes or "
            "line breaks, and end lines with LF or CRLF, not CR alone"
        ),
    )
    _refuse_ragged(con, file, len(names))
    return _Cells(table, {n: f"c{i}" for i, n in enumerate(names)}, "rowid", scratch=scratch)


def _other_end(file: Path) -> str:
    """Say which line does not end as the first does, if there is one."""
    first = ""
    with file.open(encoding="utf-8", newline="") as lines:
        for at, line in enumerate(lines, 1):
            end = line[len(line.rstrip("\r\n")) :]
            first = first or end
            if end and end != first:
                return f"line {at} does not end as line 1 does; "
    return ""


def _refuse_ragged(con: Any, file: Path, width: int) -> None:
    bad = con.execute(
        "SELECT line, error_type, "
        "max(TRY_CAST(regexp_extract(error_message, 'Columns: [0-9]+ Found: ([0-9]+)', 1) AS INT)) "
        "FROM reject_errors GROUP BY ALL ORDER BY line LIMIT 1"
    ).fetchone()
    if bad is None:
        return
    # The line is exact; the row is too unless empty lines or cells with line breaks come before it.
    where = f"{file.name}: row {bad[0] - 1} (line {bad[0]})"
    what = {"TOO MANY COLUMNS": "more", "MISSING COLUMNS": "fewer"}.get(str(bad[1]))
    if bad[1] == "LINE SIZE OVER MAXIMUM":
        raise DataError(
            f"{where} goes on for more than 2 MB; close the quote that it opens, or shorten its cells"
        )
    if what is None:
        raise DataError(f"{where} is malformed ({str(bad[1]).lower()}); correct its quotes")
    raise DataError(
        f"{where} has {bad[2]} cell{'' if bad[2] == 1 else 's'}, {what} than the header's {width} columns; name every "
        "column in the header, add or remove a delimiter, or quote the cell"
    )


def _parquet_columns(con: Any, file: Path) -> dict[str, tuple[str, str]]:
    """Return, by trimmed name, how SQL spells each column and its type."""
    broken = f"{file.name} is not a Parquet file"
    found = _quiet(con, "DESCRIBE SELECT * FROM read_parquet(?)", [str(file)], broken).fetchall()
    # DuckDB gives other names to those that differ from another in case alone; the file's own are in its tree of names.
    tree = _quiet(con, "SELECT name, num_children FROM parquet_schema(?)", [str(file)], broken).fetchall()
    names, below = [], 0
    for name, children in tree[1:]:
        if not below:
            names.append(str(name).strip())
        below = max(below - 1, 0) + int(children or 0)
    _refuse_twins(file, names)
    return {n: (f'"{_escaped(str(r[0]))}"', str(r[1])) for n, r in zip(names, found, strict=True)}


def _open_parquet(con: Any, file: Path) -> _Cells:
    """Load the file as text; a large one is read where it is."""
    columns = _parquet_columns(con, file)
    path = str(file).replace("'", "''")
    source = f"read_parquet('{path}')"
    damaged = f"{file.name} is damaged, or a column cannot be read as text"
    rows = _quiet(con, f"SELECT count(*) FROM {source}", [], damaged).fetchone()[0]
    if rows >= streams.LARGE:
        if "file_row_number" in map(str.lower, columns):
            raise DataError(
                f"{file.name}: rename the column file_row_number, a name that reading so many rows takes"
            )
        source = f"read_parquet('{path}', file_row_number=true)"
        con.execute(f"SET memory_limit = '{_MEMORY}'")
        # Numbers are read as they are where their text would spell the same float64.
        numeric = frozenset(n for n, (_, kind) in columns.items() if kind in _SAME_AS_TEXT)
        at = {n: sql + ("" if n in numeric else "::VARCHAR") for n, (sql, _) in columns.items()}
        return _Cells(source, at, "file_row_number", numeric)
    cells = ", ".join(f"CAST({sql} AS VARCHAR) AS c{i}" for i, (sql, _) in enumerate(columns.values()))
    _quiet(con, f"CREATE TABLE cells AS SELECT {cells} FROM {source}", [], damaged)
    return _Cells("cells", {n: f"c{i}" for i, n in enumerate(columns)}, "rowid")


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


def _cells(con: Any, cells: _Cells, c: Column, rows: tuple[int, int] | None = None) -> tuple[Array, Array]:
    """Return one column, or some rows of it, as float64 and what each cell is: fine, empty, or what is wrong."""
    column = cells.at[c.name]
    text = f"lower(trim({column}))"
    value = f"TRY_CAST({text} AS DOUBLE)"
    allowed = _NUMBER
    if c.kind == "bool":
        value = f"CASE {text} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE {value} END"
        allowed = f"{_NUMBER}|true|false"
    known = {_FINE: allowed, **_WORDS}
    whens = (f"WHEN regexp_full_match({text}, '{words}') THEN {found}" for found, words in known.items())
    status = f"CASE WHEN {column} IS NULL OR {text} = '' THEN {_EMPTY} {' '.join(whens)} ELSE {_TEXT} END"
    if c.kind == "int":
        whole = f"TRY_CAST({text} AS HUGEINT) <> TRY_CAST({value} AS HUGEINT)"
        status = f"CASE WHEN abs({value}) = {_WHOLE:.0f} AND {whole} THEN {_INEXACT} ELSE {status} END"
    if c.name in cells.numeric:
        value, status = (
            f"CAST({column} AS DOUBLE)",
            f"CASE WHEN {column} IS NULL THEN {_EMPTY} ELSE {_FINE} END",
        )
    some = "" if rows is None else f" WHERE {cells.row} >= {rows[0]} AND {cells.row} < {rows[1]}"
    out = _quiet(
        con.cursor(),
        f"SELECT coalesce({value}, 0.0) AS value, CAST({status} AS TINYINT) AS status "
        f"FROM {cells.source}{some}",
        [],
        f"column {c.name!r} cannot be read; is the file damaged?",
    ).fetchnumpy()
    raw, seen = np.asarray(out["value"], np.float64), np.asarray(out["status"])
    return raw, np.where((seen == _FINE) & ~np.isfinite(raw), _NONFINITE, seen)


def _convert(
    file: Path, c: Column, raw: Array, status: Array, first_row: int | None = None
) -> tuple[Array, Array]:
    """Return a column's values, 0 at missing, and its present mask; refuse what was not declared.

    `first_row` is given for a block of rows: then how many more rows are wrong is not known.
    """

    def refuse(bad: Array, what: str, remedy: str, kind: type[UsageError] = DataError) -> None:
        if bad.any():
            first = int(np.argmax(bad))
            more = int(np.count_nonzero(bad)) - 1 if first_row is None else 0
            also = f" (and {more} more row{'s' if more > 1 else ''})" if more else ""
            raise kind(
                f"{file.name}, column {c.name!r}, row {first + 1 + (first_row or 0)}: {what}{also}; {remedy}"
            )

    declare = "correct the table, or declare a missing-value code for this column"
    what = {"int": "a whole number", "fixed": "a number", "bool": "a truth value (0, 1, true or false)"}[
        c.kind
    ]
    code = (
        f"or write the code {c.missing[0]:g}"
        if c.missing
        else "and declare a missing-value code for this column"
    )
    for found, word, remedy in (
        (_MARK, "a mark for what is missing", f"leave the cell empty, {code}"),
        (_BOOL, "a truth word", "declare the column bool, or write 0 or 1"),
        (_TRUTH, "a truth word", "write 0 or 1"),
        (_DATE, "a date", "write a number, such as the days from a day that all owners agree on"),
        (_TEXT, "text", "write 0 or 1" if c.kind == "bool" else "use a decimal point and no units"),
    ):
        refuse(status == found, f"the cell is {word} where {what} belongs", remedy)
    write = (
        f"correct the table: write its missing-value code {c.missing[0]:g} there" if c.missing else declare
    )
    refuse(status == _NONFINITE, "the cell is NaN or infinite", write)
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
    refuse(
        present & (status == _INEXACT),
        "whole numbers beyond 2^53 are not exact",
        "correct the table, or give the number in two columns",
    )
    return np.where(present, raw, 0.0).astype(_DTYPES[c.kind]), present


__all__ = ["Column", "Table", "find_tables", "read_header", "read_table"]
