"""Correlations in studies, of either front end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tacit
from tacit import stats


def found(t: Any) -> dict[str, Any]:
    """Return the correlations of two columns over the rows where both are present."""
    bounds = stats.Bounds.of([0, -5], [10, 5])
    present = stats.columns([t["a.present"], t["b"] == t["b"]])
    units = stats.standardise(stats.columns([t["a"], t["b"]]), present, bounds)
    return stats.correlation(stats.pairs(units, present))._asdict()


@pytest.mark.parametrize("frontend", ["array", "jax"])
def test_a_study(frontend: Any) -> None:
    if frontend == "jax":
        pytest.importorskip("jax")
    rng = np.random.default_rng(5)
    data = {}
    for owner in "abc":
        a = rng.uniform(0, 10, 30).round(2)
        b = (0.4 * a - 3 + rng.normal(0, 1, 30)).clip(-5, 5)
        a[::8] = -9
        data[owner] = {"a": a, "b": b}
    columns = [tacit.Column("a", "fixed", 0, 10, missing=(-9,)), tacit.Column("b", "fixed", -5, 5)]
    results = {name: tacit.Result("all", why="test") for name in stats.Correlation._fields}
    study = tacit.Study(found, [tacit.Table(o, 30, columns) for o in data], results, frontend=frontend)
    answer = study.simulate(data, seed=3)["b"]
    a, b = (np.concatenate([table[c] for table in data.values()]) for c in "ab")
    want = np.corrcoef(a[a != -9], b[a != -9])
    np.testing.assert_allclose(stats.Correlation(**answer).filled(), want, atol=1e-5)
