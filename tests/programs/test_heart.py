"""Logistic regression over four hospitals with missing values, as an analyst writes it, against pooled rows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tacit

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "heart"
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
BOUNDS = {
    "age": (20, 90),
    "sex": (0, 1),
    "trestbps": (80, 200),
    "thalach": (60, 210),
    "exang": (0, 1),
    "oldpeak": (-3, 7),
}
MISSING = {"trestbps": (-9, 0)}
CENTRE = np.array([(lo + hi) / 2 for lo, hi in BOUNDS.values()])
HALF = np.array([(hi - lo) / 2 for lo, hi in BOUNDS.values()])
STEPS = 9


def model(t: Any) -> Any:
    """Newton's method on the rows without a missing value, in standard units; weights for the columns' own units."""
    complete = t["num.present"]
    for name in BOUNDS:
        complete = complete & t[f"{name}.present"]
    units = [
        jnp.where(complete, (t[name] - c) / h, 0.0) for name, c, h in zip(BOUNDS, CENTRE, HALF, strict=True)
    ]
    x = jnp.stack([jnp.where(complete, 1.0, 0.0), *(jnp.clip(u, -1, 1) for u in units)], axis=1)
    sick = jnp.where(complete & (t["num"] > 0), 1.0, 0.0)
    n = x.shape[0]

    def step(_: int, w: Any) -> Any:
        p = jax.nn.sigmoid(x @ w)
        h = x.T @ (x * (p * (1 - p))[:, None]) / n
        h = tacit.conditioned(h, least=2.0**-9, definite=True)
        g = x.T @ jnp.where(complete, sick - p, 0.0) / n
        return jnp.clip(w + jnp.linalg.solve(h, g), -8, 8)

    w = lax.fori_loop(0, STEPS, step, jnp.zeros(x.shape[1]))
    return {"weights": w, "rows": complete.sum()}


def in_units(w: Any) -> Any:
    """Return intercept and slopes for the columns as they are."""
    slopes = np.asarray(w[1:]) / HALF
    return np.concatenate([[w[0] - slopes @ CENTRE], slopes])


def pooled(data: dict[str, dict[str, Any]]) -> Any:
    """Fit the same model on the pooled rows by iteratively reweighted least squares in float64."""
    held = {c: np.concatenate([data[h][c] for h in HOSPITALS]) for c in (*BOUNDS, "num")}
    keep = np.all([~np.isin(v, MISSING.get(c, (-9,))) for c, v in held.items()], axis=0)
    x = np.column_stack([np.ones(keep.sum()), *(held[c][keep] for c in BOUNDS)])
    y, w = (held["num"][keep] > 0).astype(float), np.zeros(len(BOUNDS) + 1)
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ w))
        w = w + np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]), x.T @ (y - p))
    return w, int(keep.sum())


def tables() -> dict[str, dict[str, Any]]:
    found = {}
    for name in HOSPITALS:
        with (FOLDER / f"{name}.csv").open() as f:
            lines = list(csv.DictReader(f))
        found[name] = {c: np.array([float(r[c]) for r in lines]) for c in (*BOUNDS, "num")}
    return found


def test_coefficients_are_those_of_the_pooled_rows() -> None:
    if not FOLDER.is_dir():
        pytest.skip("shared/data/heart is absent")
    data = tables()
    columns = [
        tacit.Column(c, "fixed", lo, hi, missing=MISSING.get(c, (-9,))) for c, (lo, hi) in BOUNDS.items()
    ]
    columns.append(tacit.Column("num", "fixed", 0, 4, missing=(-9,)))
    study = tacit.Study(
        model,
        tables=[tacit.Table(h, rows=len(data[h]["num"]), columns=columns) for h in HOSPITALS],
        results={
            "weights": tacit.Result("all", why="which measurements go with the disease"),
            "rows": tacit.Result("all", why="how many patients stand behind it"),
        },
        at_least=20,
    )
    assert {d.name for d in study.plan().disclosures} == {"weights", "rows"}
    answer = study.simulate(data)["va"]
    want, rows = pooled(data)
    assert answer["rows"] == rows
    np.testing.assert_allclose(in_units(answer["weights"]), want, rtol=1e-3)
