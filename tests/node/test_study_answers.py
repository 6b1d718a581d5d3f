"""What a study file's demonstration prints: no number that does not exist, nothing compared that has no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tacit
from tacit.cli.study import show_comparison, show_results
from tacit.node.joint_study import compare, pooled_answer, read_owners, study_job
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
    return results, pooled_answer(spec, list(owners.tables.values()))


@pytest.mark.parametrize("complete", [0, 1])
def test_a_covariance_of_too_few_rows_is_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], complete: int
) -> None:
    spec = study([AGE, BMI], covariance=["age", "bmi"])
    got, want = answers(tmp_path, spec, [[50.3 if i < complete else -9, 20.7 + i] for i in range(6)])
    assert "covariance" not in compare(got, want)
    show_results(spec, got, want)
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
    show_results(spec, got, want)
    show_comparison(got, want)
    said = capsys.readouterr().out
    assert "9 complete rows do not determine the coefficients" in said
    assert "difference from the pooled rows: 0 " in said
    assert "not compared: coefficients, r squared" in said


def test_a_logistic_regression_without_an_answer_is_not_compared() -> None:
    got = {"logistic: rows": 9, "logistic: usable": False, "logistic: coefficients": np.zeros(2)}
    want = {"logistic: rows": np.asarray(9), "logistic: coefficients": np.array([1.0, 2.0])}
    assert compare(got, want) == {"logistic: rows": 0.0}
    assert "logistic: coefficients" in compare({**got, "logistic: usable": True}, want)
