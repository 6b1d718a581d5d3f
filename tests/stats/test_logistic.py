"""Logistic regression: NumPy against iteratively reweighted least squares, shares against pooled rows, and refusals."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tacit
from tacit import stats
from tacit.errors import RangeError, ShapeError, UsageError
from tacit.node.joint_study import logistic_model, logistic_results, pooled_answer, read_owners, study_job
from tacit.node.study_spec import parse_spec

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "heart"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
BOUNDS = {"age": (20, 90), "sex": (0, 1), "trestbps": (80, 200), "thalach": (60, 210), "oldpeak": (-3, 7)}
MISSING = {"trestbps": (-9, 0)}
SQUARE = {"a": (-1.0, 1.0), "b": (-1.0, 1.0)}


def irls(x: Any, y: Any) -> tuple[Any, Any]:
    """Return float64 coefficients and standard errors on pooled rows."""
    x = np.column_stack([np.ones(len(x)), x])
    w = np.zeros(x.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-x @ w))
        h = x.T @ (x * (p * (1 - p))[:, None])
        w = w + np.linalg.solve(h, x.T @ (y - p))
    return w, np.sqrt(np.diagonal(np.linalg.inv(h)))


def drawn(n: int, spread: float = 0.4, seed: int = 2) -> Any:
    return np.clip(np.random.default_rng(seed).normal(0, spread, (n, 2)), -1, 1)


def happens(chance: Any, seed: int = 3) -> Any:
    return np.random.default_rng(seed).random(len(chance)) < 1 / (1 + np.exp(-chance))


def read(fit: stats.LogitFit, n: int) -> stats.LogitResults:
    model = stats.Logit("y", SQUARE)
    return model.read({"rows": n, **fit._asdict()}, n)


# -- NumPy ------------------------------------------------------------------------------------------------


def test_numpy_matches_least_squares_and_what_follows_from_it() -> None:
    x = drawn(400)
    y = happens(0.4 + 2 * x[:, 0] - x[:, 1])
    found = read(stats.logit(x, np.ones(400, bool), y), 400)
    want, error = irls(x, y)
    assert found.converged and found.nobs == 400 and found.names == ("(intercept)", "a", "b")
    np.testing.assert_allclose(found.params, want, rtol=1e-9)
    np.testing.assert_allclose(found.bse, error, rtol=1e-9)
    np.testing.assert_allclose(found.zvalues, want / error, rtol=1e-9)
    np.testing.assert_allclose(found.odds_ratios, np.exp(want))
    np.testing.assert_allclose(
        found.conf_int(), np.stack([want - 1.959964 * error, want + 1.959964 * error], 1)
    )
    assert found.pvalues[1] < 1e-6 < found.pvalues[0] < 1
    assert "P>|z|" in found.summary()


def test_statsmodels_says_the_same() -> None:
    api = pytest.importorskip("statsmodels.api")
    x = drawn(300)
    y = happens(1 - 2 * x[:, 0])
    found = read(stats.logit(x, np.ones(300, bool), y), 300)
    want = api.Logit(y.astype(float), api.add_constant(x)).fit(disp=0)
    for name in ("params", "bse", "pvalues"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), rtol=1e-6)
    np.testing.assert_allclose(found.conf_int(), want.conf_int(), rtol=1e-5)


@pytest.mark.parametrize("chance", [-5.0, 5.0], ids=["rare", "usual"])
def test_rare_cases(chance: float) -> None:
    x = drawn(3000)
    y = happens(chance + 2 * x[:, 0])
    found = read(stats.logit(x, np.ones(3000, bool), y), 3000)
    np.testing.assert_allclose(found.params, irls(x, y)[0], rtol=1e-4)


def test_rows_left_out_do_not_count() -> None:
    x, keep = drawn(300), np.arange(300) % 3 > 0
    y = happens(x[:, 0] - x[:, 1])
    found = read(stats.logit(np.where(keep[:, None], x, 0.9), keep, y | ~keep), 300)
    want, error = irls(x[keep], y[keep])
    np.testing.assert_allclose(found.params, want, rtol=1e-6)
    np.testing.assert_allclose(found.bse, error, rtol=1e-6)


def quasi(x: Any) -> Any:
    """On one side of a line everything is a case, on the other as chance has it."""
    return (x[:, 0] > 0.1) | ((x[:, 0] > 0) & happens(0 * x[:, 0]))


NOT_DETERMINED: dict[str, tuple[int, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "separated": (200, lambda x: x, lambda x: x[:, 0] > 0),
    "quasi-separated": (200, lambda x: x, quasi),
    "separated by two": (200, lambda x: x, lambda x: x[:, 0] + x[:, 1] > 0.1),
    "all are cases": (200, lambda x: x, lambda x: x[:, 0] < 9),
    "none is a case": (200, lambda x: x, lambda x: x[:, 0] > 9),
    "a constant column": (200, lambda x: x * [1, 0] + [0, 0.3], lambda x: happens(x[:, 0])),
    "a column twice": (200, lambda x: x[:, [0, 0]], lambda x: happens(x[:, 0])),
    "one row": (1, lambda x: x, lambda x: x[:, 0] > 0),
    "three rows": (3, lambda x: x, lambda x: np.array([True, False, True])),
}


@pytest.mark.parametrize("steps", [12, 60, 300])
@pytest.mark.parametrize("name", NOT_DETERMINED)
def test_what_rows_do_not_determine_is_said_and_not_shown(name: str, steps: int) -> None:
    n, change, cases = NOT_DETERMINED[name]
    x = change(drawn(n))
    fit = stats.logit(x, np.ones(n, bool), cases(drawn(n)), steps=steps)
    assert not fit.usable and not np.any(fit.weights) and not np.any(fit.information)
    found = read(fit, n)
    assert not found.converged
    assert np.all(np.isnan(found.params)) and np.all(np.isnan(found.bse)) and np.all(np.isnan(found.pvalues))
    assert "do not determine the coefficients" in found.summary() and "nan" not in found.summary()


def test_too_few_steps_are_not_convergence() -> None:
    x = drawn(400)
    fit = stats.logit(x, np.ones(400, bool), happens(3 * x[:, 0]), steps=2)
    assert not fit.usable


def summary(model: stats.Logit, t: dict[str, Any]) -> tuple[bool, str]:
    found = model.read(model(t), len(t["y"]))
    return found.converged, found.summary()


def test_bounds_far_wider_than_the_values_are_named_among_the_causes() -> None:
    rng = np.random.default_rng(7)
    year = rng.integers(1990, 2021, 900).astype(float)
    t = {"year": year, "y": happens((year - 2005) / 10)}
    good, said = summary(stats.Logit("y", {"year": (0, 2100 * 4)}), t)
    assert not good and "declared bounds far wider" in said and "tighter bounds" in said
    assert summary(stats.Logit("y", {"year": (1990, 2020)}), t)[0]


def test_rare_cases_need_more_steps_and_the_message_says_so() -> None:
    x = drawn(9000)
    t = {"a": x[:, 0], "b": x[:, 1], "y": happens(x[:, 0] - 7.2)}
    assert 0 < np.count_nonzero(t["y"]) < 15
    good, said = summary(stats.Logit("y", SQUARE), t)
    assert not good and "hardly any row is a case" in said and "more steps" in said
    assert summary(stats.Logit("y", SQUARE, steps=40), t)[0]


X = np.zeros((4, 2))
YES = np.ones(4, bool)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "rows": (lambda: stats.logit(X, YES[:3], YES), ShapeError, "are not"),
    "no covariate": (lambda: stats.logit(X[:, :0], YES, YES), ShapeError, "at least one covariate"),
    "no row": (lambda: stats.logit(X[:0], YES[:0], YES[:0]), ShapeError, "one row"),
    "steps": (lambda: stats.logit(X, YES, YES, steps=0), UsageError, "whole number from 1"),
    "numbers for truth": (lambda: stats.logit(X, YES, X[:, 0]), UsageError, "compare first"),
    "nothing named": (lambda: stats.Logit("y", {}), UsageError, "at least one covariate"),
    "itself": (lambda: stats.Logit("y", {"y": (0, 1)}), UsageError, "both the outcome and a covariate"),
    "no bounds": (lambda: stats.Logit("y", {"a": 3}), UsageError, "pair"),  # type: ignore[dict-item]
    "constant bounds": (lambda: stats.Logit("y", {"a": (3, 3)}), RangeError, "lo < hi"),
    "names alone": (lambda: stats.Logit("y", exog=["x"]), UsageError, "maps each covariate to its bounds"),  # type: ignore[arg-type]
    "texts as bounds": (lambda: stats.Logit("y", {"a": ("0", "1")}), UsageError, "pair of numbers"),  # type: ignore[dict-item]
    "a text from which on": (lambda: stats.Logit("y", SQUARE, at_least="1"), UsageError, "at_least is"),  # type: ignore[arg-type]
    "results lack": (lambda: stats.Logit("y", SQUARE).read({"rows": 3}, 3), UsageError, "reveal all of rows"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name: str) -> None:
    call, kind, words = WRONG[name]
    with pytest.raises(kind, match=words):
        call()


# -- studies ----------------------------------------------------------------------------------------------


def study(
    model: stats.Logit, columns: list[tacit.Column], rows: dict[str, int], at_least: int
) -> tacit.Study:
    return tacit.Study(
        model,
        tables=[tacit.Table(o, rows=n, columns=columns) for o, n in rows.items()],
        results={name: tacit.Result("all", why="test") for name in model.results},
        frontend="array",
        at_least=at_least,
    )


def hospitals() -> dict[str, dict[str, Any]]:
    if not FOLDER.is_dir():
        pytest.skip("shared/data/heart is absent")
    found = {}
    for name in HOSPITALS:
        with (FOLDER / f"{name}.csv").open() as f:
            lines = list(csv.DictReader(f))
        found[name] = {c: np.array([float(r[c]) for r in lines]) for c in (*BOUNDS, "num")}
    return found


@pytest.mark.parametrize(("at_least", "rtol"), [(16, 1e-3), (32, 1e-8)])
def test_four_hospitals(at_least: int, rtol: float) -> None:
    data = hospitals()
    columns = [tacit.Column(c, "fixed", *b, missing=MISSING.get(c, (-9,))) for c, b in BOUNDS.items()]
    columns.append(tacit.Column("num", "int", 0, 4, missing=(-9,)))
    rows = {h: len(data[h]["num"]) for h in HOSPITALS}
    model = stats.Logit("num", BOUNDS, at_least=1)
    answer = study(model, columns, rows, at_least).simulate(data, seed=4)["va"]
    found = model.read(answer, rows=sum(rows.values()))
    pool = {c: np.concatenate([data[h][c] for h in HOSPITALS]) for c in (*BOUNDS, "num")}
    keep = np.all([~np.isin(v, MISSING.get(c, (-9,))) for c, v in pool.items()], axis=0)
    want, error = irls(np.column_stack([pool[c][keep] for c in BOUNDS]), pool["num"][keep] > 0)
    assert found.nobs == keep.sum()
    np.testing.assert_allclose(found.params, want, rtol=rtol)
    np.testing.assert_allclose(found.bse, error, rtol=rtol)


@pytest.mark.parametrize("name", ["separated", "a constant column", "all are cases", "one row"])
def test_on_shares_nothing_is_shown_either(name: str) -> None:
    n, change, cases = NOT_DETERMINED[name]
    x, y = change(drawn(n)), cases(drawn(n))
    columns = [*(tacit.Column(c, "fixed", -1, 1) for c in SQUARE), tacit.Column("y", "bool", 0, 1)]
    parts = np.array_split(np.arange(n), 3) if n > 3 else [np.arange(n)] * 3
    data = {o: {"a": x[i, 0], "b": x[i, 1], "y": y[i]} for o, i in zip("abc", parts, strict=True)}
    model = stats.Logit("y", SQUARE)
    made = study(model, columns, {o: len(d["y"]) for o, d in data.items()}, 16)
    answer = made.simulate(data, seed=5)["c"]
    assert not answer["usable"] and not np.any(answer["weights"]) and not np.any(answer["information"])
    assert "do not determine" in model.read(answer, rows=n).summary()


def refused(outcome: tacit.Column, model: stats.Logit, lo: float = -1) -> Callable[[], Any]:
    columns = [tacit.Column("a", "fixed", lo, 1), tacit.Column("b", "fixed", -1, 1, missing=(-9,)), outcome]
    return study(model, columns, dict.fromkeys("abc", 5), 16).job


def test_a_study_is_refused_before_anything_runs() -> None:
    yes = tacit.Column("y", "bool", 0, 1)
    with pytest.raises(RangeError, match="column's own bounds"):
        refused(yes, stats.Logit("y", SQUARE), lo=-2)()
    with pytest.raises(UsageError, match="at_least=1"):
        refused(tacit.Column("y", "int", 0, 4), stats.Logit("y", SQUARE))()
    with pytest.raises(UsageError, match="no column 'c'; it has a, b"):
        refused(yes, stats.Logit("y", {**SQUARE, "c": (0, 1)}))()
    for kind, lo, hi, at_least in (
        ("int", 1, 2, 5),
        ("int", 1, 2, 1),
        ("fixed", 0, 1, 1.5),
        ("bool", 0, 1, 0),
    ):
        with pytest.raises(UsageError, match="leaves no case, or nothing else"):
            refused(tacit.Column("y", kind, lo, hi), stats.Logit("y", SQUARE, at_least))()  # type: ignore[arg-type]
    refused(tacit.Column("y", "int", 1, 2), stats.Logit("y", SQUARE, at_least=2))()
    refused(yes, stats.Logit("y", SQUARE))()


# -- study files ------------------------------------------------------------------------------------------

SPEC: dict[str, Any] = {
    "title": "A test",
    "columns": [
        {"name": "age", "kind": "fixed", "lo": 20, "hi": 90},
        {"name": "ill", "kind": "int", "lo": 0, "hi": 4, "missing": [-9]},
        {"name": "one", "kind": "int", "lo": 1, "hi": 1},
    ],
    "logistic": {"target": "ill", "at_least": 2, "covariates": ["age"]},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no target": ({"covariates": ["age"]}, "lacks 'target'"),
    "no covariate": ({"target": "ill", "at_least": 2}, "covariates is empty"),
    "unknown": ({"target": "ill", "covariates": ["agee"]}, "did you mean 'age'"),
    "constant": ({"target": "ill", "at_least": 2, "covariates": ["one"]}, "declared constant"),
    "no threshold": ({"target": "ill", "covariates": ["age"]}, "at_least"),
    "no case": ({"target": "ill", "at_least": 5, "covariates": ["age"]}, "leaves no case"),
    "half a step": ({**SPEC["logistic"], "steps": 2.5}, "steps must be a whole number from 1 to 1000"),
    "no step": ({**SPEC["logistic"], "steps": 0}, "steps must be a whole number from 1 to 1000"),
    "itself": ({"target": "age", "at_least": 50, "covariates": ["age"]}, "among its covariates"),
    "another entry": ({"target": "ill", "threshold": 2, "covariates": ["age"]}, "unknown entry 'threshold'"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_study_file_says_what_is_wrong(name: str) -> None:
    entry, words = BAD[name]
    with pytest.raises(tacit.errors.DataError, match=words):
        parse_spec({**SPEC, "logistic": entry})


def test_a_study_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    for name in ("north", "south", "west"):
        age = rng.uniform(20, 90, 80).round(1)
        ill = np.where(happens((age - 55) / 15, seed=len(name)), 3, 1)
        ill[::9] = -9
        lines = [f"{a},{i},1" for a, i in zip(age, ill, strict=True)]
        (tmp_path / f"{name}.csv").write_text("age,ill,one\n" + "\n".join(lines) + "\n")
    spec = parse_spec({**SPEC, "logistic": {**SPEC["logistic"], "steps": 14}})
    assert logistic_model(spec).steps == 14
    owners = read_owners(tmp_path, spec)
    job = study_job(spec, owners.rows)
    data = {}
    for name, table in owners.tables.items():
        data[name] = {**table.values, **{f"{c}.present": m for c, m in table.present.items()}}
    with tacit.simulate(job.protocol, job.compute, width=128, frac_bits=job.fmt.frac_bits, seed=6) as session:
        results = session.run(job.program, data)["west"]
    want = pooled_answer(spec, list(owners.tables.values()))["logistic: coefficients"]
    found = logistic_results(spec, results, 240)
    np.testing.assert_allclose(found.params, want, rtol=1e-7)
    np.testing.assert_allclose(results["logistic: coefficients"], want, rtol=1e-7)


def test_no_row_in_the_clear_is_named() -> None:
    model = stats.Logit("y", exog={"x": (0, 1)}, at_least=1)
    with pytest.raises(ShapeError, match="at least one covariate and one row"):
        model({"x": np.zeros(0), "y": np.zeros(0)})
