"""Least squares by column names: NumPy against statsmodels, shares against pooled rows, and refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tacit
from tacit import stats
from tacit.array.ranges import fit
from tacit.array.runtime import Format
from tacit.errors import RangeError, ShapeError, UsageError
from tacit.stats.linear import NEEDS_SCIPY

api = pytest.importorskip("statsmodels.api")

BOUNDS = {"age": (0.0, 110.0), "year": (1990.0, 2020.0), "sex": (0.0, 1.0)}
MODEL = stats.Ols("cost", BOUNDS, (0.0, 5000.0))


def drawn(n: int, seed: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    age = rng.normal(54, 9, n).clip(20, 90).round(1)
    year = rng.integers(1992, 2019, n).astype(float)
    sex = (rng.random(n) < 0.4).astype(float)
    cost = (300 + 20 * age + 15 * (year - 2000) - 100 * sex + rng.normal(0, 300, n)).clip(0, 5000).round(2)
    return {"age": age, "year": year, "sex": sex, "cost": cost}


def fitted(t: dict[str, Any]) -> Any:
    return api.OLS(t["cost"], api.add_constant(np.column_stack([t[c] for c in BOUNDS]))).fit()


def same(found: stats.OlsResults, want: Any, rtol: float) -> None:
    assert found.usable and found.nobs == want.nobs
    assert (found.df_model, found.df_resid) == (want.df_model, want.df_resid)
    for name in ("params", "bse", "tvalues", "rsquared", "rsquared_adj", "scale", "fvalue"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), rtol=rtol, err_msg=name)
    # A p value of 1e-30 moves by as much as 70 times what t does.
    for name in ("pvalues", "f_pvalue"):
        np.testing.assert_allclose(getattr(found, name), getattr(want, name), rtol=100 * rtol, err_msg=name)
    for alpha in (0.05, 0.3):
        np.testing.assert_allclose(found.conf_int(alpha), want.conf_int(alpha), rtol=10 * rtol)


@pytest.mark.parametrize("n", [6, 300])
def test_statsmodels_says_the_same(n: int) -> None:
    t = drawn(n)
    found = MODEL.read(MODEL(t), n)
    same(found, fitted(t), 1e-6)
    assert found.names == ("(intercept)", "age", "year", "sex")
    assert "P>|t|" in found.summary() and f"over {n} complete rows" in found.summary()


def test_rows_left_out_do_not_count() -> None:
    t = drawn(300)
    keep = np.arange(300) % 3 > 0
    gaps = {**t, "age": np.where(keep, t["age"], 0), "age.present": keep}
    same(MODEL.read(MODEL(gaps), 300), fitted({c: v[keep] for c, v in t.items()}), 1e-6)


def test_the_errors_are_those_of_the_point_that_was_asked_for() -> None:
    t, at = drawn(200), np.array([0.3, -2.0, 0.5])
    units = np.column_stack(
        [
            stats.standardise(t[c], np.ones(200, bool), stats.Bounds.of(*b))
            for c, b in {**BOUNDS, "cost": (0, 5000)}.items()
        ]
    )
    for k, point in ((3, None), (3, at), (1, at[:1])):
        x = units[:, :k] - (0 if point is None else point)
        fit = stats.ols(stats.gram(units[:, [*range(k), 3]], np.ones(200, bool)), at=point)
        want = api.OLS(units[:, 3], api.add_constant(x)).fit().bse
        np.testing.assert_allclose(stats.standard_errors(fit, 200, 200, point), want, rtol=1e-9)
    gram = stats.gram(units, np.ones(200, bool))
    for wrong in (at[:2], [0, 0, np.nan], 3.0):
        with pytest.raises(ShapeError, match="at is one finite number for each of 3 covariates"):
            stats.ols(gram, at=wrong)  # type: ignore[arg-type]


def test_as_many_rows_as_coefficients_leave_no_errors() -> None:
    t = drawn(4, seed=4)
    found = MODEL.read(MODEL(t), 4)
    assert found.usable and found.df_resid == 0
    np.testing.assert_allclose(
        found.params,
        np.linalg.solve(np.column_stack([np.ones(4), *(t[c] for c in BOUNDS)]), t["cost"]),
        rtol=1e-5,
    )
    for value in (
        found.bse,
        found.tvalues,
        found.pvalues,
        found.conf_int(),
        found.scale,
        found.rsquared_adj,
        found.fvalue,
        found.f_pvalue,
    ):
        assert np.all(np.isnan(value))


def test_what_rows_do_not_determine_is_said_and_not_shown() -> None:
    t = drawn(50)
    for change in ({"sex": np.zeros(50)}, {"year": 1990 + t["age"] / 10}, {"cost": np.full(50, 7.0)}):
        opened = MODEL({**t, **change})
        assert not opened["usable"] and not np.any(opened["errors"]) and not np.any(opened["weights"])
        found = MODEL.read(opened, 50)
        assert not found.usable and np.all(np.isnan(found.params)) and np.all(np.isnan(found.bse))
        assert "50 complete rows do not determine the coefficients" in found.summary()
        assert "nan" not in found.summary()


def test_without_scipy_there_are_coefficients_and_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    t = drawn(40)
    found = MODEL.read(MODEL(t), 40)
    monkeypatch.setitem(sys.modules, "scipy", None)
    said = found.summary()
    assert "std err" in said and "P>|t|" not in said and said.endswith(NEEDS_SCIPY)
    with pytest.raises(UsageError, match=r"need SciPy: \.venv/bin/pip install"):
        found.conf_int()


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "nothing named": (lambda: stats.Ols("y", {}, (0, 1)), UsageError, "Ols needs at least one covariate"),
    "itself": (lambda: stats.Ols("y", {"y": (0, 1)}, (0, 1)), UsageError, "both the outcome and a covariate"),
    "no bounds": (lambda: stats.Ols("y", {"a": (0, 1)}, 3), UsageError, "bounds of 'y' are a pair"),  # type: ignore[arg-type]
    "empty bounds": (lambda: stats.Ols("y", {"a": (0, 1)}, (2, 1)), RangeError, "lo ≤ hi"),
    "constant": (lambda: stats.Ols("y", {"a": (3, 3)}, (0, 1)), RangeError, "lo < hi"),
    "values outside": (
        lambda: stats.Ols("y", {"a": (0, 1)}, (0, 1))({"a": np.ones(3), "y": np.arange(3.0)}),
        RangeError,
        "declared bound",
    ),
    "results lack": (lambda: MODEL.read({"rows": 3}, 3), UsageError, "reveal all of rows, usable, weights"),
    "level": (lambda: MODEL.read(MODEL(drawn(9)), 9).conf_int(5), UsageError, "alpha is between 0 and 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs(name: str) -> None:
    call, kind, words = WRONG[name]
    with pytest.raises(kind, match=words):
        call()


# -- studies ----------------------------------------------------------------------------------------------


def study(rows: int, missing: tuple[float, ...], **changed: Any) -> tacit.Study:
    spans = {**BOUNDS, "cost": (0.0, 5000.0), **changed}
    columns = [
        tacit.Column(c, "bool" if c == "sex" else "fixed", *span, missing=missing if c == "year" else ())
        for c, span in spans.items()
    ]
    return tacit.Study(
        MODEL,
        tables=[tacit.Table(o, rows=rows, columns=columns) for o in "abc"],
        results={name: tacit.Result("all", why="test") for name in MODEL.results},
        frontend="array",
    )


@pytest.mark.parametrize("missing", [(), (-9.0,)])
def test_a_study(missing: tuple[float, ...]) -> None:
    pool = drawn(240, seed=7)
    if missing:
        pool["year"][::7] = -9
    data = {o: {c: v[i * 80 : (i + 1) * 80] for c, v in pool.items()} for i, o in enumerate("abc")}
    for table in data.values():
        table["sex"] = table["sex"].astype(bool)
    answer = study(80, missing).simulate(data, seed=4)["c"]
    keep = pool["year"] != -9
    same(MODEL.read(answer, rows=240), fitted({c: v[keep] for c, v in pool.items()}), 1e-7)


def test_on_shares_nothing_is_shown_either() -> None:
    pool = drawn(60)
    data = {
        o: {**{c: v[i * 20 : (i + 1) * 20] for c, v in pool.items()}, "sex": np.ones(20, bool)}
        for i, o in enumerate("abc")
    }
    answer = study(20, ()).simulate(data, seed=5)["a"]
    assert not answer["usable"]
    assert not any(np.any(answer[name]) for name in ("weights", "errors", "r_squared", "residual_error"))


def test_bounds_that_the_column_leaves_are_refused() -> None:
    for name in ("age", "cost"):
        with pytest.raises(RangeError, match=f"'{name}' has bounds .*column's own bounds"):
            study(5, (), **{name: (-1.0, 6000.0)}).job()


def test_errors_take_units_that_are_finer_than_what_a_good_fit_leaves() -> None:
    job = study(40, ()).job()
    assert job.fmt.frac_bits >= 36
    said = "standard errors of a least-squares fit is proved of 36 fractional bits"
    with pytest.raises(RangeError, match=said):
        fit(job.program, frac_bits=24)
    # A job's file is read by others, who may have been sent another one.
    with pytest.raises(RangeError, match=said):
        replace(job, fmt=Format(128, 32)).plan()
    jax = pytest.importorskip("jax")
    with pytest.raises(UsageError, match="frontend='array'"):
        jax.make_jaxpr(MODEL)({c: np.ones(4) for c in (*BOUNDS, "cost")})
    rng = np.random.default_rng(0)
    pool = {
        "age": rng.uniform(40, 60, 300),
        "year": rng.uniform(2000, 2005, 300),
        "sex": rng.random(300) < 0.5,
    }
    mean = 1000 + 20 * pool["age"] + 5 * (pool["year"] - 2000)
    for noise, rtol in ((2.0, 1e-5), (0.0, None)):
        pool["cost"] = mean + noise * rng.normal(size=300)
        data = {o: {c: v[i * 100 : (i + 1) * 100] for c, v in pool.items()} for i, o in enumerate("abc")}
        found = MODEL.read(study(100, ()).simulate(data, seed=6)["b"], rows=300)
        want = fitted(pool)
        np.testing.assert_allclose(found.params, want.params, rtol=1e-4, atol=1e-3)
        if rtol:
            assert want.rsquared > 0.9995
            np.testing.assert_allclose(found.bse, want.bse, rtol=rtol)
        else:
            assert np.all(np.isnan(found.bse)) and np.isnan(found.fvalue)
            assert "residuals no larger than rounding, so without standard errors" in found.summary()


def test_a_constant_covariate_is_not_usable_however_few_the_rows_and_bits() -> None:
    """Rounding noise in its spread, enlarged by its scale, would pass for a pivot: in one of six such fits."""

    def fitting(t: Any) -> dict[str, Any]:
        everyone = t["x"] == t["x"]
        units = stats.standardise(
            stats.columns([t["x"], t["z"], t["y"]]),
            stats.columns([everyone] * 3),
            stats.Bounds.of([0, 0, 0], [10, 1, 1]),
        )
        found = stats.ols(stats.gram(units, everyone))
        return {"usable": found.usable, "weights": found.weights}

    columns = [tacit.Column(c, "fixed", 0, hi) for c, hi in (("x", 10), ("z", 1), ("y", 1))]
    for seed in range(16):
        rng = np.random.default_rng(seed)
        constant, n = rng.uniform(0, 10), 2
        data = {
            o: {"x": np.full(n, constant), "z": rng.uniform(0, 1, n), "y": rng.uniform(0, 1, n)}
            for o in "abc"
        }
        answer = tacit.Study(
            fitting,
            [tacit.Table(o, n, columns) for o in data],
            {name: tacit.Result("all", why="test") for name in ("usable", "weights")},
            frontend="array",
            width=64,
        ).simulate(data, seed=seed)["a"]
        assert not answer["usable"] and not np.any(answer["weights"]), seed


def test_what_is_explained_wholly_has_no_f() -> None:
    found = MODEL.read({**MODEL(drawn(9)), "r_squared": 1.0 + 1e-9}, 9)
    assert np.isnan(found.fvalue) and np.isnan(found.f_pvalue)
