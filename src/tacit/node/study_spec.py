"""What a joint study of several owners' tables asks: columns with bounds, and which statistics of them.

A folder says it in `study.toml`; two studies are built in and recognised by their columns. The format::

    title = "Four hospitals"
    describe = ["age", "chol"]
    covariance = ["age", "chol"]   # optional; lists stand above the first [table]
    correlation = ["age", "chol"]  # optional

    [[columns]]
    name = "chol"
    kind = "fixed"            # fixed, int or bool
    lo = 0
    hi = 700
    missing = [-9]            # optional: codes that mean "not measured"

    [disease]                 # optional: rate of column ≥ (or >) threshold, by sex and age band
    column = "num"
    threshold = 1
    strict = false            # optional: true for >
    [disease.sex]
    column = "sex"
    labels = { "0" = "women", "1" = "men" }
    [disease.age]
    column = "age"
    edges = [0, 45, 55, 65, 120]   # bands [0, 45), [45, 55) …

    [regression]              # optional
    target = "num"
    covariates = ["age", "chol"]

    [logistic]                # optional
    target = "num"
    at_least = 1              # a row is a case from this number on; left out for a bool, or an int from 0 to 1
    covariates = ["age", "chol"]
    steps = 12                # optional: of Newton's method, more for rare cases
"""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tacit.errors import DataError, UsageError
from tacit.node.tables import Column, find_tables, read_header
from tacit.stats.logistic import STEPS

SPEC_FILE = "study.toml"
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Disease:
    """Rows counted as diseased, and the groups in which they are counted."""

    column: str
    threshold: float
    sex: str
    sex_labels: tuple[tuple[float, str], ...]
    """Codes of the sex column with their names."""
    age: str
    age_edges: tuple[float, ...]
    """Bands are [edge, next edge)."""
    strict: bool = False
    """Whether disease is column > threshold instead of ≥."""

    @property
    def bands(self) -> list[str]:
        """Names of the age bands."""
        return [f"{a:g} to under {b:g}" for a, b in itertools.pairwise(self.age_edges)]

    @property
    def rule(self) -> str:
        """What counts as disease, in words."""
        return f"{self.column} {'>' if self.strict else '≥'} {self.threshold:g}"


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression of `target`, or of `target` ≥ `at_least`, over rows where all are present."""

    target: str
    covariates: tuple[str, ...]
    at_least: float | None = None
    steps: int = STEPS

    @property
    def case(self) -> str:
        """What counts as a case, in words."""
        return self.target if self.at_least is None else f"{self.target} ≥ {self.at_least:g}"


@dataclass(frozen=True, slots=True)
class StudySpec:
    """One joint study. Construction raises DataError or RangeError, naming the entry that is wrong."""

    title: str
    columns: tuple[Column, ...]
    describe: tuple[str, ...] = ()
    """Columns whose count, mean, variance and standard error are asked."""
    disease: Disease | None = None
    covariance: tuple[str, ...] = ()
    """Columns of the covariance matrix, over rows where all are present."""
    correlation: tuple[str, ...] = ()
    """Columns of the correlation matrix, each pair's over rows where both are present."""
    target: str = ""
    """What is regressed on `covariates`, over rows where all are present; "" for no regression."""
    covariates: tuple[str, ...] = ()
    logistic: Logistic | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.title, str) or not 1 <= len(self.title.strip()) <= 200:
            raise DataError("study: title has 1 to 200 characters")
        if not self.columns:
            raise DataError("study: columns is empty; declare at least one [[columns]] entry")
        _no_twins("columns", [c.name for c in self.columns])
        for entry, names in (
            ("describe", self.describe),
            ("covariance", self.covariance),
            ("correlation", self.correlation),
            ("regression.covariates", self.covariates),
            ("logistic.covariates", self.logistic.covariates if self.logistic else ()),
        ):
            _no_twins(entry, names)
            for name in names:
                self._find(entry, name)
        for entry, names in (("covariance", self.covariance), ("correlation", self.correlation)):
            if len(names) == 1:
                raise DataError(f"study: {entry} needs two or more columns")
        self._check_regression()
        if self.disease is not None:
            self._check_disease(self.disease)
        if self.logistic is not None:
            self._check_logistic(self.logistic)
        asked = (self.describe, self.disease, self.covariance, self.correlation, self.target, self.logistic)
        if not any(asked):
            raise DataError(
                "study: nothing is asked; give describe, disease, covariance, correlation, regression or logistic"
            )

    def column(self, name: str) -> Column:
        """Return a declared column; DataError if there is none of that name."""
        return self._find("column", name)

    @property
    def names(self) -> list[str]:
        """Names of the declared columns, in order."""
        return [c.name for c in self.columns]

    def _find(self, entry: str, name: str) -> Column:
        for c in self.columns:
            if c.name == name:
                return c
        raise DataError(f"study: {entry} names {name!r}, which is not declared{_near(name, self.names)}")

    def _check_regression(self) -> None:
        if bool(self.target) != bool(self.covariates):
            raise DataError("study: regression needs both a target and covariates")
        if self.target:
            self._find("regression.target", self.target)
            if self.target in self.covariates:
                raise DataError(f"study: regression.target {self.target!r} is among its covariates")
        self._check_vary("regression", self.covariates)

    def _check_vary(self, entry: str, covariates: Iterable[str]) -> None:
        for name in covariates:
            if self.column(name).lo == self.column(name).hi:
                raise DataError(
                    f"study: {entry}.covariates: {name!r} is declared constant; a covariate varies"
                )

    def _check_logistic(self, m: Logistic) -> None:
        target = self._find("logistic.target", m.target)
        if not m.covariates:
            raise DataError("study: logistic.covariates is empty; name at least one column")
        if m.target in m.covariates:
            raise DataError(f"study: logistic.target {m.target!r} is among its covariates")
        self._check_vary("logistic", m.covariates)
        if isinstance(m.steps, bool) or not isinstance(m.steps, int) or not 1 <= m.steps <= 1000:
            raise DataError(f"study: logistic.steps must be a whole number from 1 to 1000, not {m.steps!r}")
        if m.at_least is None and (target.kind == "fixed" or target.lo < 0 or target.hi > 1):
            raise DataError(
                f"study: logistic.target {m.target!r} is neither bool nor an int from 0 to 1; say with at_least from "
                "which number on a row is a case"
            )
        if m.at_least is not None and not target.lo < m.at_least <= target.hi:
            raise DataError(
                f"study: logistic.at_least {m.at_least:g} leaves no case, or nothing else, within the bound "
                f"[{target.lo:g}, {target.hi:g}] of {m.target!r}"
            )

    def _check_disease(self, d: Disease) -> None:
        self._find("disease.column", d.column)
        sex, age = self._find("disease.sex.column", d.sex), self._find("disease.age.column", d.age)
        codes = [code for code, _ in d.sex_labels]
        if not codes or len(set(codes)) != len(codes):
            raise DataError("study: disease.sex.labels needs one or more different codes")
        if any(not sex.lo <= code <= sex.hi for code in codes):
            raise DataError(
                f"study: disease.sex.labels has a code outside [{sex.lo:g}, {sex.hi:g}] of {sex.name!r}"
            )
        edges = d.age_edges
        if len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
            raise DataError("study: disease.age.edges needs two or more numbers in ascending order")
        if edges[0] > age.lo or edges[-1] <= age.hi:
            raise DataError(
                f"study: disease.age.edges must cover the bound [{age.lo:g}, {age.hi:g}] of {age.name!r}: the first "
                "edge at most the lower bound, the last edge above the upper one"
            )


# -- TOML -------------------------------------------------------------------------------------------------


def load_spec(path: str | Path) -> StudySpec:
    """Read a study from TOML; DataError or RangeError names the file and the entry that is wrong."""
    file = Path(path)
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise DataError(f"{file} cannot be read ({exc.strerror})") from None
    if len(raw) > MAX_BYTES:
        raise DataError(f"{file.name} is larger than {MAX_BYTES >> 20} MiB, which no study is")
    try:
        content = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DataError(f"{file.name} is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as exc:
        raise DataError(f"{file.name} is not TOML: {exc}") from None
    try:
        return parse_spec(content)
    except UsageError as exc:
        raise type(exc)(f"{file.name}: {exc}") from None


def parse_spec(content: Mapping[str, Any]) -> StudySpec:
    """Return the study that a TOML document describes; nothing unknown is skipped over."""
    lists = {"columns", "describe", "covariance", "correlation"}
    _only("study", content, {"title", *lists, "disease", "regression", "logistic"})
    entries = _get("study", content, "columns", list)
    regression = _get("study", content, "regression", dict, {})
    _only("regression", regression, {"target", "covariates"})
    return StudySpec(
        _get("study", content, "title", str),
        tuple(_column(i, c) for i, c in enumerate(entries)),
        _names("study", content, "describe"),
        _disease(content["disease"]) if "disease" in content else None,
        _names("study", content, "covariance"),
        _names("study", content, "correlation"),
        _get("regression", regression, "target", str, ""),
        _names("regression", regression, "covariates"),
        _logistic(content["logistic"]) if "logistic" in content else None,
    )


def _logistic(entry: Any) -> Logistic:
    if not isinstance(entry, dict):
        raise DataError("study: logistic is not a table")
    _only("logistic", entry, {"target", "at_least", "covariates", "steps"})
    at_least = _number("logistic", entry, "at_least", None) if "at_least" in entry else None
    target, covariates = _get("logistic", entry, "target", str), _names("logistic", entry, "covariates")
    return Logistic(target, covariates, at_least, entry.get("steps", STEPS))


def _column(at: int, entry: Any) -> Column:
    where = f"columns[{at + 1}]"
    if not isinstance(entry, dict):
        raise DataError(f"study: {where} is not a table of name, kind, lo, hi")
    _only(where, entry, {"name", "kind", "lo", "hi", "missing"})
    kind: Any = _get(where, entry, "kind", str)  # Column checks it
    default = {"bool": (0.0, 1.0)}.get(kind, (None, None))
    return Column(
        _get(where, entry, "name", str),
        kind,
        _number(where, entry, "lo", default[0]),
        _number(where, entry, "hi", default[1]),
        tuple(_as_number(where, "missing", v) for v in _get(where, entry, "missing", list, [])),
    )


def _disease(entry: Any) -> Disease:
    if not isinstance(entry, dict):
        raise DataError("study: disease is not a table")
    _only("disease", entry, {"column", "threshold", "strict", "sex", "age"})
    sex, age = _get("disease", entry, "sex", dict), _get("disease", entry, "age", dict)
    _only("disease.sex", sex, {"column", "labels"})
    _only("disease.age", age, {"column", "edges"})
    labels = []
    for code, label in _get("disease.sex", sex, "labels", dict).items():
        try:
            labels.append((float(code), str(label)))
        except ValueError:
            raise DataError(f"study: disease.sex.labels: the code {code!r} is not a number") from None
    return Disease(
        _get("disease", entry, "column", str),
        _number("disease", entry, "threshold", None),
        _get("disease.sex", sex, "column", str),
        tuple(labels),
        _get("disease.age", age, "column", str),
        tuple(_as_number("disease.age", "edges", v) for v in _get("disease.age", age, "edges", list)),
        _get("disease", entry, "strict", bool, False),
    )


def _only(where: str, entry: Mapping[str, Any], allowed: set[str]) -> None:
    for key in entry:
        if key not in allowed:
            raise DataError(f"study: {where} has an unknown entry {key!r}{_near(key, allowed)}")


def _get(where: str, entry: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    if key not in entry:
        if default is None:
            raise DataError(f"study: {where} lacks {key!r}")
        return default
    if not isinstance(entry[key], kind):
        words = {str: "a text", list: "a list", dict: "a table", bool: "true or false"}
        raise DataError(f"study: {where}.{key} must be {words[kind]}")
    return entry[key]


def _names(where: str, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = _get(where, entry, key, list, [])
    if not all(isinstance(n, str) for n in names):
        raise DataError(f"study: {where}.{key} must be a list of column names")
    return tuple(names)


def _number(where: str, entry: Mapping[str, Any], key: str, default: float | None) -> float:
    if key not in entry and default is not None:
        return default
    if key not in entry:
        raise DataError(f"study: {where} lacks {key!r}")
    return _as_number(where, key, entry[key])


def _as_number(where: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"study: {where}.{key} must be a number")
    return float(value)


def _near(name: str, known: Iterable[str]) -> str:
    listed = sorted(known)
    near = difflib.get_close_matches(name, listed, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(listed)}"


def _no_twins(entry: str, names: Iterable[str]) -> None:
    seen = list(names)
    twice = sorted({n for n in seen if seen.count(n) > 1})
    if twice:
        raise DataError(f"study: {entry} names {', '.join(map(repr, twice))} more than once")


# -- built-in studies -------------------------------------------------------------------------------------


def _fixed(name: str, lo: float, hi: float, missing: tuple[float, ...] = ()) -> Column:
    return Column(name, "fixed", lo, hi, missing)


DIABETES = StudySpec(
    title="Progression of diabetes at three hospitals",
    columns=(
        _fixed("age", 0, 110),
        Column("sex", "int", 1, 2),
        _fixed("bmi", 10, 60),
        _fixed("bp", 40, 200),
        _fixed("tc", 50, 500),
        _fixed("ldl", 0, 400),
        _fixed("hdl", 0, 150),
        _fixed("tch", 1, 15),
        _fixed("ltg", 2, 8),
        _fixed("glu", 30, 300),
        _fixed("progression", 0, 400),
    ),
    describe=("age", "bmi", "bp", "tc", "glu", "progression"),
    # The source does not say which of the codes 1 and 2 is which.
    disease=Disease(
        "progression",
        200.0,
        "sex",
        ((1.0, "sex 1"), (2.0, "sex 2")),
        "age",
        (0.0, 40.0, 50.0, 60.0, 111.0),
    ),
    covariance=("age", "bmi", "bp", "tc", "glu"),
    target="progression",
    covariates=("age", "sex", "bmi", "bp", "tc", "ldl", "hdl", "tch", "ltg", "glu"),
)

HEART = StudySpec(
    title="Heart disease at several hospitals",
    columns=(
        _fixed("age", 0, 110, (-9.0,)),
        Column("sex", "int", 0, 1, (-9.0,)),
        _fixed("trestbps", 0, 250, (-9.0,)),
        # One hospital recorded 0 where cholesterol was not measured; only −9 is documented as missing, so 0 counts.
        _fixed("chol", 0, 700, (-9.0,)),
        _fixed("thalach", 40, 230, (-9.0,)),
        _fixed("oldpeak", -5, 10, (-9.0,)),
        Column("num", "int", 0, 4, (-9.0,)),
    ),
    describe=("age", "trestbps", "chol", "thalach", "oldpeak"),
    disease=Disease("num", 1.0, "sex", ((0.0, "women"), (1.0, "men")), "age", (0.0, 45.0, 55.0, 65.0, 111.0)),
    covariance=("age", "trestbps", "chol", "thalach", "oldpeak"),
    target="num",
    covariates=("age", "sex", "trestbps", "chol", "thalach", "oldpeak"),
)

BUILT_IN = (DIABETES, HEART)


def detect(folder: str | Path) -> StudySpec:
    """Return the study of a data folder: its `study.toml`, or the built-in one whose columns every table has.

    DataError names the table and what it lacks.
    """
    own = Path(folder) / SPEC_FILE
    if own.is_file():
        return load_spec(own)
    tables = find_tables(folder)
    headers = {t.name: read_header(t) for t in tables}
    lacks: list[str] = []
    for spec in BUILT_IN:
        missing = {t: [n for n in spec.names if n not in header] for t, header in headers.items()}
        if not any(missing.values()):
            return spec
        worst = max(missing, key=lambda t: len(missing[t]))
        lacks.append(f"for {spec.title!r}, {worst} lacks {', '.join(missing[worst])}")
    raise DataError(
        f"{folder}: no built-in study fits these tables ({'; '.join(lacks)}). Put a {SPEC_FILE} beside them that "
        "names title, columns (name, kind, lo, hi, missing), and what is asked: describe, disease, covariance, "
        "correlation, regression or logistic"
    )
