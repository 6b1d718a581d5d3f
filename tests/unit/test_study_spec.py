"""Study descriptions: the built-in ones, TOML, detection, and every refusal."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tacit.errors import DataError, RangeError, UsageError
from tacit.node import demo_data, study_spec
from tacit.node.study_spec import BUILT_IN, DIABETES, HEART, detect, load_spec
from tacit.node.tables import find_tables, read_table

HEART_DATA = Path(__file__).parents[3] / "shared" / "data" / "heart"
GOOD = """
title = "Two clinics"
describe = ["age", "chol"]
covariance = ["age", "chol"]

[[columns]]
name = "age"
kind = "int"
lo = 0
hi = 110

[[columns]]
name = "sex"
kind = "bool"

[[columns]]
name = "chol"
kind = "fixed"
lo = 0
hi = 700
missing = [-9, 999.5]

[disease]
column = "chol"
threshold = 250
strict = true
[disease.sex]
column = "sex"
labels = { "0" = "women", "1" = "men" }
[disease.age]
column = "age"
edges = [0, 50, 111]

[regression]
target = "chol"
covariates = ["age", "sex"]
"""


def put(folder: Path, text: str | bytes) -> Path:
    file = folder / "study.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_reads_toml(tmp_path: Path) -> None:
    spec = load_spec(put(tmp_path, GOOD))
    assert spec.names == ["age", "sex", "chol"] and spec.column("chol").missing == (-9.0, 999.5)
    assert (spec.column("sex").lo, spec.column("sex").hi) == (0, 1)
    assert spec.disease is not None
    assert spec.disease.rule == "chol > 250" and spec.disease.bands == ["0 to under 50", "50 to under 111"]
    assert spec.disease.sex_labels == ((0.0, "women"), (1.0, "men"))
    assert (spec.target, spec.covariates) == ("chol", ("age", "sex"))


def test_a_byte_order_mark_is_no_entry(tmp_path: Path) -> None:
    assert load_spec(put(tmp_path, b"\xef\xbb\xbf" + GOOD.lstrip().encode())).title == "Two clinics"


def test_the_documented_example_is_valid_but_for_its_columns(tmp_path: Path) -> None:
    example = textwrap.dedent((study_spec.__doc__ or "").split("::", 1)[1])
    more = "".join(
        f'[[columns]]\nname = "{n}"\nkind = "int"\nlo = 0\nhi = {hi}\n'
        for n, hi in (("age", 110), ("num", 4), ("sex", 1))
    )
    at = example.index("[disease]")
    spec = load_spec(put(tmp_path, example[:at] + more + example[at:]))
    assert spec.disease is not None and len(spec.disease.bands) == 4


REFUSED = {
    "no title": ("title =", "titel =", ["unknown entry 'titel'", "did you mean 'title'"]),
    "empty title": ('"Two clinics"', '""', ["title"]),
    "title kind": ('"Two clinics"', "3", ["study.title must be a text"]),
    "unknown column": (
        'describe = ["age"',
        'describe = ["aeg"',
        ["describe names 'aeg'", "did you mean 'age'"],
    ),
    "twice": ('describe = ["age", "chol"]', 'describe = ["age", "age"]', ["describe", "more than once"]),
    "list kind": ('describe = ["age", "chol"]', 'describe = "age"', ["study.describe must be a list"]),
    "names kind": ('describe = ["age", "chol"]', "describe = [1]", ["list of column names"]),
    "one covariance": ('covariance = ["age", "chol"]', 'covariance = ["age"]', ["covariance needs two"]),
    "column twice": ('name = "sex"', 'name = "age"', ["columns names 'age' more than once"]),
    "column entry": ('kind = "bool"', 'kind = "bool"\nlow = 0', ["columns[2]", "'low'", "did you mean 'lo'"]),
    "column kind": ('kind = "bool"', 'kind = "text"', ["columns[2] lacks 'lo'"]),
    "kind": ('kind = "int"', 'kind = "text"', ["'age'", "kind is"]),
    "no bound": ("hi = 110\n", "", ["columns[1] lacks 'hi'"]),
    "bound kind": ("hi = 110\n", 'hi = "110"\n', ["columns[1].hi must be a number"]),
    "bool bound": ("hi = 110\n", "hi = true\n", ["columns[1].hi must be a number"]),
    "missing kind": ("[-9, 999.5]", '["NA"]', ["columns[3].missing must be a number"]),
    "name": ('name = "sex"', 'name = "s x"', ["no spaces"]),
    "disease column": ('column = "chol"\nthreshold', 'column = "x"\nthreshold', ["disease.column names 'x'"]),
    "threshold": ("threshold = 250\n", "", ["disease lacks 'threshold'"]),
    "strict": ("strict = true", "strict = 1", ["disease.strict must be true or false"]),
    "sex code": ('"1" = "men"', '"5" = "men"', ["labels has a code outside [0, 1]"]),
    "sex text": ('"1" = "men"', '"m" = "men"', ["the code 'm' is not a number"]),
    "sex twice": ('"1" = "men"', '"0.0" = "men"', ["different codes"]),
    "no sex": ('[disease.sex]\ncolumn = "sex"\nlabels = { "0" = "women", "1" = "men" }', "", ["lacks 'sex'"]),
    "edges order": ("[0, 50, 111]", "[0, 50, 50]", ["ascending"]),
    "edges low": ("[0, 50, 111]", "[10, 50, 111]", ["cover the bound [0, 110]"]),
    "edges high": ("[0, 50, 111]", "[0, 50, 110]", ["cover the bound [0, 110]", "above"]),
    "target": ('target = "chol"\n', "", ["both a target and covariates"]),
    "target among": ('covariates = ["age", "sex"]', 'covariates = ["age", "chol"]', ["among its covariates"]),
    "unknown target": (
        'target = "chol"',
        'target = "cholesterol"',
        ["regression.target names 'cholesterol'"],
    ),
    "not TOML": ("[disease]", "[disease", ["not TOML"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_and_names_the_entry(tmp_path: Path, name: str) -> None:
    old, new, words = REFUSED[name]
    assert GOOD.count(old) >= 1
    with pytest.raises(DataError) as caught:
        load_spec(put(tmp_path, GOOD.replace(old, new, 1)))
    for word in ("study.toml", *words):
        assert word in str(caught.value), str(caught.value)


def test_refuses_bounds_files_and_empty_questions(tmp_path: Path) -> None:
    with pytest.raises(RangeError, match=r"study\.toml: column 'age': the bound"):
        load_spec(put(tmp_path, GOOD.replace("hi = 110", "hi = -1")))
    with pytest.raises(DataError, match=r"UTF-8"):
        load_spec(put(tmp_path, b'title = "\xff"'))
    with pytest.raises(DataError, match=r"larger"):
        load_spec(put(tmp_path, b"#" * (study_spec.MAX_BYTES + 1)))
    with pytest.raises(DataError, match=r"cannot be read"):
        load_spec(tmp_path / "other.toml")
    with pytest.raises(DataError, match=r"columns is empty"):
        load_spec(put(tmp_path, 'title = "t"\ncolumns = []'))
    with pytest.raises(DataError, match=r"nothing is asked"):
        load_spec(put(tmp_path, 'title = "t"\n[[columns]]\nname = "a"\nkind = "bool"'))


def test_detects_by_columns(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    folder = tmp_path / "demo"
    files = demo_data.hospital_tables(folder)
    assert detect(folder) is DIABETES
    for file in files.values():
        assert all(mask.all() for mask in read_table(file, DIABETES.columns).present.values())
    put(folder, GOOD)
    assert detect(folder).title == "Two clinics"


def test_unknown_columns_say_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "north.csv").write_text("age,sex\n40,1\n")
    with pytest.raises(DataError) as caught:
        detect(tmp_path)
    for word in ("north.csv lacks", "trestbps", "progression", "study.toml", "columns"):
        assert word in str(caught.value)
    with pytest.raises(DataError, match=r"no \.csv"):
        detect(tmp_path / "..")
    with pytest.raises(UsageError, match=r"does not exist"):
        detect(tmp_path / "nowhere")


def test_heart_tables_fit_their_study() -> None:
    if not HEART_DATA.is_dir():
        pytest.skip("shared/data/heart is absent")
    assert detect(HEART_DATA) is HEART
    rows = {f.stem: read_table(f, HEART.columns).rows for f in find_tables(HEART_DATA)}
    assert rows == {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}


@pytest.mark.parametrize("spec", BUILT_IN, ids=lambda s: s.title)
def test_built_in_studies_ask_everything(spec: study_spec.StudySpec) -> None:
    assert spec.describe and spec.covariance and spec.target and spec.disease is not None
