"""What a study file's demonstration prints: no number that does not exist, nothing compared that has no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tacit
from tacit import stats
from tacit.cli.study import show_comparison, show_results
from tacit.node.joint_study import compare, pooled_answer, read_owners, study_job, with_errors
from tacit.node.study_spec import StudySpec, parse_spec

AGE: dict[str, Any] = {"name": "age", "kind": "fixed", "lo": 0, "hi": 120, "missing": [-9]}
BMI: dict[str, Any] = {"name": "bmi", "kind": "fixed", "lo": 10, "hi": 60}
SICK: dict[str, Any] = {"name": "sick", "kind": "bool"}


def study(columns: Any, **asked: Any) -> StudySpec:
    return parse_spec({"title": "A test", "columns": columns, **asked})


def answers(folder: Path, spec: StudySpec, rows: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the joint and the pooled results of a table whose rows lie with three owners."""
    for name, part in zip(
        ("north", "south", "west"), np.array_split(np.asarray(rows, object), 3), strict=True
    ):
        lines = [",".join(str(cell) for cell in row) for row in part]
        (folder / f"{name}.csv").write_text(
            "\n".join([",".join(spec.names), *lines]) + "\n", encoding="utf-8"
        )
    owners = read_owners(folder, spec)
    job = study_job(spec, owners.rows)
    data = {
        name: {**t.values, **{f"{c.name}.present": t.present[c.name] for c in spec.columns if c.missing}}
        for name, t in owners.tables.items()
    }
    with tacit.simulate(
        job.protocol, job.compute, width=job.fmt.width, frac_bits=job.fmt.frac_bits, seed=6
    ) as session:
        results = session.run(job.program, data)["west"]
    return with_errors(spec, results, len(rows)), pooled_answer(spec, list(owners.tables.values()))


@pytest.mark.parametrize("complete", [0, 1])
def test_a_covariance_of_too_few_rows_is_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], complete: int
) -> None:
    spec = study([AGE, BMI], covariance=["age", "bmi"])
    got, want = answers(tmp_path, spec, [[50.3 if i < complete else -9, 20.7 + i] for i in range(6)])
    assert "covariance" not in compare(got, want)
    show_results(spec, got, want, 40, 9)
    show_comparison(got, want)
    said = capsys.readouterr().out
    (_, *cells), (_, *others) = ([c.strip() for c in line.split("│")[1:-1]] for line in said.splitlines()
                                 if line.startswith(("│ age", "│ bmi")))  # fmt: skip
    assert cells == others == ["–", "–"]
    assert "exact: complete rows (covariance)" in said and "not compared: covariance" in said


def test_a_regression_without_an_answer_is_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = study([AGE, BMI], regression={"target": "bmi", "covariates": ["age"]})
    got, want = answers(tmp_path, spec, [[60, 20 + i] for i in range(9)])
    assert set(compare(got, want)) == {"complete rows (regression)"}
    show_results(spec, got, want, 40, 9)
    show_comparison(got, want)
    said = capsys.readouterr().out
    assert "9 complete rows do not determine the coefficients" in said and "bounds far wider" in said
    assert "difference from the pooled rows: 0 " in said
    assert "not compared: coefficients, standard errors of coefficients, r squared" in said


@pytest.mark.filterwarnings("error")
def test_a_constant_target_leaves_nothing_to_explain_and_no_warning(tmp_path: Path) -> None:
    spec = study([AGE, BMI], regression={"target": "bmi", "covariates": ["age"]})
    got, want = answers(tmp_path, spec, [[50 + i * 3 % 7, 25.1] for i in range(60)])
    assert np.isnan(want["r squared"])
    assert set(compare(got, want)) == {"complete rows (regression)"}


def test_a_logistic_regression_without_an_answer_is_not_compared() -> None:
    got = {"logistic: rows": 9, "logistic: usable": False, "logistic: coefficients": np.zeros(2)}
    want = {"logistic: rows": np.asarray(9), "logistic: coefficients": np.array([1.0, 2.0])}
    assert compare(got, want) == {"logistic: rows": 0.0}
    assert "logistic: coefficients" in compare({**got, "logistic: usable": True}, want)


def test_truth_values_are_columns_like_others(tmp_path: Path) -> None:
    """A bool column alone, as covariate, as group, as disease and as outcome, with and without missing values."""
    rng = np.random.default_rng(8)
    told = {**SICK, "name": "told", "missing": [-9]}
    columns = [AGE, SICK, told, {**SICK, "name": "case"}]
    rows = []
    for i in range(90):
        sick, age = int(rng.random() < 0.5), round(float(rng.uniform(20, 90)), 1)
        case = int(rng.random() < 1 / (1 + np.exp(-(age - 55) / 20 - sick)))
        rows.append([age, sick, -9 if i % 7 == 0 else int(rng.random() < 0.4), case])
    disease = {
        "column": "case",
        "threshold": 1,
        "sex": {"column": "told", "labels": {"0": "no", "1": "yes"}},
        "age": {"column": "sick", "edges": [0, 1, 2]},
    }
    for asked in (
        {"describe": ["sick"], "covariance": ["sick", "told"]},
        {"describe": ["told", "sick"], "disease": disease},
        {"logistic": {"target": "case", "covariates": ["age", "sick", "told"]}},
        {"logistic": {"target": "case", "at_least": 1, "covariates": ["age", "told"]}},
        {"regression": {"target": "case", "covariates": ["sick"]}},
    ):
        got, want = answers(tmp_path, study(columns, **asked), rows)
        gaps = compare(got, want)
        assert set(gaps) == set(want) and max(gaps.values()) < 1e-6, gaps


def test_statistics_take_truth_values_of_sessions_and_of_numpy() -> None:
    truth, present = np.array([True, False, True, True]), np.array([True, True, True, False])
    with tacit.simulate("rep3") as s:
        x, p = s.input(truth, "alice"), s.input(present, "bob")
        for mask, known in ((truth, present), (x, p)):
            units = stats.standardise(mask, known, stats.Bounds.of(0, 1))
            made = [
                units,
                stats.code_masks(mask, known, [0.0, 1.0]),
                stats.band_masks(mask, known, [0, 0.5, 2]),
            ]
            held = [v if isinstance(v, np.ndarray) else tacit.reveal(v, why="test") for v in made]
            assert np.asarray(held[0]).tolist() == [1, -1, 1, 0]
            for groups in held[1:]:
                assert np.asarray(groups).tolist() == [
                    [False, True],
                    [True, False],
                    [False, True],
                    [False, False],
                ]


def test_variances_of_few_units_are_said_to_be_coarse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(4)
    rows = [[round(float(rng.normal(60, 11)), 1), round(float(rng.normal(27, 4)), 1)] for _ in range(90)]
    for hi, coarse in ((1e9, True), (1e7, True), (120, False)):
        spec = study([{**AGE, "hi": hi}, BMI], describe=["age", "bmi"], covariance=["age", "bmi"])
        got, want = answers(tmp_path, spec, rows)
        show_results(spec, got, want, study_job(spec, dict.fromkeys("abc", 30)).fmt.frac_bits, 90)
        said = capsys.readouterr().out
        assert said.count("three digits of the variance of age are sure") == 2 * coarse
        assert coarse or max(compare(got, want).values()) < 1e-3
