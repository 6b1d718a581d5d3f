"""What owners compute of their own rows, though a function of jax.numpy is given all in one column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import tacit
from tacit.array.analyse import Plan
from tacit.errors import DataError
from tacit.frontends.jax_flat import x64
from tacit.node.job import load_job

ROWS = {"north": 40, "south": 25, "west": 35}
rng = np.random.default_rng(8)
DATA: dict[str, dict[str, Any]] = {
    owner: {
        "cost": np.where(rng.random(n) < 0.2, -9.0, rng.integers(0, 64000, n) / 128),
        "age": rng.integers(20, 90, n),
        "ward": rng.integers(0, 5, n),
        "ill": rng.random(n) < 0.4,
    }
    for owner, n in ROWS.items()
}
EDGES = np.array([0.0, 20.0, 35.5, 100.0, 400.0])


def newton(t: Any) -> Any:
    """Square roots of every row, by a loop."""
    return lax.fori_loop(0, 6, lambda _, r: 0.5 * (r + t["age"] / r), jnp.full(t["age"].shape, 6.0)).sum()


LOCAL: dict[str, Callable[[Any], Any]] = {
    "histogram": lambda t: jnp.histogram(t["cost"], bins=7, range=(0, 500))[0],
    "histogram by edges": lambda t: jnp.histogram(t["cost"], EDGES)[0],
    "histogram of weights": lambda t: jnp.histogram(t["cost"], EDGES, weights=t["cost"])[0],
    "counts": lambda t: jnp.bincount(t["ward"], length=5),
    "counts of some": lambda t: jnp.bincount(t["ward"], weights=t["cost.present"] * 1.0, length=5),
    "sums": lambda t: jax.ops.segment_sum(t["cost"], t["ward"], 5),
    "sums by two": lambda t: (
        jnp.zeros((5, 3)).at[t["ward"], jnp.digitize(t["age"], jnp.array([30, 60]))].add(1.0)
    ),
    "places in a table": lambda t: jnp.searchsorted(EDGES, t["cost"]).sum(),
    "prices of wards": lambda t: (jnp.array([1.0, 2.5, 4.0, 0.5, 8.0])[t["ward"]] * t["age"]).sum(),
    "a loop over rows": newton,
    "a polynomial": lambda t: jnp.polyval(jnp.array([0.5, -1.0, 0.25, 2.0]), t["age"] / 64).sum(),
    "a loop over numbers, from the last": lambda t: lax.scan(
        lambda r, c: (r * c[0] + c[1], None),
        t["age"] / 64,
        jnp.array([[0.5, 1.0], [0.25, 3.0]]),
        reverse=True,
    )[0].sum(),
}
FEW_ROUNDS: dict[str, Callable[[Any], Any]] = {
    "greatest": lambda t: jnp.max(t["cost"]),
    "least of those present": lambda t: jnp.min(t["cost"], where=t["cost.present"], initial=500.0),
    "span": lambda t: jnp.ptp(t["age"]),
    "where the greatest is": lambda t: jnp.argmax(t["age"]),
    "where the least is": lambda t: jnp.argmin(t["age"]),
    "greatest of groups": lambda t: jnp.zeros(5).at[t["ward"]].max(t["cost"]),
    "any": lambda t: jnp.any((t["age"] > 88) & t["ill"]),
    "all": lambda t: jnp.all(t["age"] < 95),
}


def study(function: Callable[[Any], Any], rows: dict[str, int]) -> tacit.Study:
    columns = [
        tacit.Column("cost", "fixed", 0, 500, missing=(-9,)),
        tacit.Column("age", "int", 20, 90),
        tacit.Column("ward", "int", 0, 4),
        tacit.Column("ill", "bool", 0, 1),
    ]
    return tacit.Study(
        lambda t: {"r": function(t)},
        tables=[tacit.Table(owner, rows=n, columns=columns) for owner, n in rows.items()],
        results={"r": tacit.Result("all", why="test")},
    )


def pooled(function: Callable[[Any], Any]) -> Any:
    columns = {name: np.concatenate([DATA[o][name] for o in ROWS]) for name in DATA["north"]}
    columns["cost.present"] = columns["cost"] != -9
    columns["cost"] = np.where(columns["cost.present"], columns["cost"], 0)
    with x64():
        return np.asarray(jax.jit(function)({k: jnp.asarray(v) for k, v in columns.items()}), float)


def planned(function: Callable[[Any], Any], times: int) -> Plan:
    return study(function, {owner: times * n for owner, n in ROWS.items()}).plan()


@pytest.mark.parametrize("name", [*LOCAL, *FEW_ROUNDS])
def test_answers_are_those_of_all_rows(name: str) -> None:
    function = (LOCAL | FEW_ROUNDS)[name]
    found = study(function, ROWS).simulate(DATA, seed=3)["west"]["r"]
    np.testing.assert_allclose(np.asarray(found, float), pooled(function), atol=2.0**-8, rtol=2.0**-20)


@pytest.mark.parametrize("name", [*LOCAL, *FEW_ROUNDS])
def test_what_is_sent_does_not_grow_with_rows(name: str) -> None:
    few, many = (planned((LOCAL | FEW_ROUNDS)[name], times) for times in (1, 100))
    assert many.cost.rounds == few.cost.rounds <= (2 if name in LOCAL else 12)
    # Sums of more rows have more bits.
    assert many.cost.total_bytes <= 1.5 * few.cost.total_bytes + 64
    assert not [line for line in many.shared if "as they are" in line]


def test_loops_that_owners_cannot_take_alone_stay_loops() -> None:
    def descent(t: Any) -> Any:
        """About the mean, by steps that need all rows."""
        return lax.fori_loop(0, 4, lambda _, m: m + 0.5 * jnp.mean(jnp.tanh(t["age"] / 90 - m)), 0.0)

    def beyond(t: Any) -> Any:
        """A product with what nobody knows."""
        scale = tacit.assume(jnp.mean(t["age"]) / 100, 0.2, 0.9)
        return lax.fori_loop(0, 4, lambda _, r: r * scale + 1.0, t["age"] / 90).sum()

    def beside(t: Any) -> Any:
        """A number that nobody knows, carried beside rows that owners have."""
        scale = tacit.assume(jnp.mean(t["age"]) / 100, 0.2, 0.9)
        step = lambda _, c: (0.5 * c[0] + t["age"] / 90, c[1] * c[1])  # noqa: E731
        rows, power = lax.fori_loop(0, 3, step, (t["age"] / 90, scale))
        return rows.sum() * power

    long = lambda t: lax.fori_loop(0, 100, lambda _, r: 0.5 * r * r, t["age"] / 90).sum()  # noqa: E731
    for function in (descent, beyond, beside, long):
        made = study(function, ROWS)
        assert "scan" in [eqn.op for eqn in made.job().program.eqns]
        found = made.simulate(DATA, seed=3)["west"]["r"]
        np.testing.assert_allclose(np.asarray(found, float), pooled(function), atol=2.0**-6)


def test_a_column_of_ones_for_every_row_is_one_number_in_the_job() -> None:
    job = study(LOCAL["counts"], dict.fromkeys(ROWS, 200_000)).job()
    assert len(job.program.text()) < 20_000


def test_a_job_of_a_million_public_numbers_is_approved_and_read(tmp_path: Path) -> None:
    weights = np.arange(300_000) % 7
    job = study(lambda t: (weights * t["age"]).sum(), dict.fromkeys(ROWS, 100_000)).job()
    assert len(job.program.text()) > 1 << 20  # more than a message of the handshake may have
    job.save(tmp_path / "job.json")
    assert load_job(tmp_path / "job.json").digest() == job.digest()


def test_a_job_that_nobody_would_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = rng.random(300_000)
    job = study(lambda t: (weights * t["cost"]).sum(), dict.fromkeys(ROWS, 100_000)).job()
    monkeypatch.setattr(tacit.node.job, "MAX_BYTES", 2 << 20)
    with pytest.raises(DataError, match=r"larger than 2 MiB.*as columns of an owner's table"):
        job.save(tmp_path / "job.json")
    assert not (tmp_path / "job.json").exists()
