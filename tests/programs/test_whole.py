"""Whole programs, traced from ordinary JAX code: on shares they give what JAX gives in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import catalogue as c
import pytest
from whole import compile, furthest, twin

from tacit.array.program import parse


@dataclass(frozen=True)
class Case:
    """A program at a size for every run and at its full size, and how far from float64 it may be."""

    small: Callable[[], c.Made]
    full: Callable[[], c.Made]
    within: float


CASES = {
    "logistic": Case(lambda: c.logistic(60, 4, 5), lambda: c.logistic(10_000, 100, 10), 3e-4),
    "logistic by columns": Case(
        lambda: c.logistic_columns(60, 4, 5), lambda: c.logistic_columns(10_000, 100, 10), 3e-4
    ),
    "logistic by minibatch": Case(
        lambda: c.logistic_batches(60, 4, 20, 2), lambda: c.logistic_batches(10_000, 100, 100, 1), 2e-5
    ),
    "network": Case(
        lambda: c.network(24, (12, 8, 6, 3), 8), lambda: c.network(1280, (784, 128, 128, 10), 128), 2e-3
    ),
    "convolutional network": Case(
        lambda: c.convolutional(2, 3, 12), lambda: c.convolutional(128, 16, 100), 2e-3
    ),
    "k-means": Case(lambda: c.clusters(40, 3, 3, 4), lambda: c.clusters(10_000, 10, 5, 10), 1e-5),
    "principal component": Case(lambda: c.components(50, 4, 12), lambda: c.components(10_000, 50, 30), 2e-4),
    "Newton": Case(lambda: c.rates(50, 5), lambda: c.rates(10_000, 8), 1e-3),
    "quantiles": Case(lambda: c.quantiles(300), lambda: c.quantiles(100_000), 1e-5),
    "group by": Case(lambda: c.groups(60, 6), lambda: c.groups(100_000, 100), 1e-3),
    "transformer": Case(lambda: c.language(6, 8, 2, 2, 11), lambda: c.language(64, 128, 8, 6, 512), 3e-5),
    "join": Case(lambda: c.joined(30, 20), lambda: c.joined(20_000, 10_000), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_jax(name: str) -> None:
    function, given = CASES[name].small()
    made = compile(function, given)
    assert parse(made.program.text()).text() == made.program.text()
    got, want = made.run(), twin(function, given)
    assert furthest(got, want) <= CASES[name].within
    assert made.metered == (made.plan.cost.rounds, dict(made.plan.cost.links)), "the price is what was paid"


@pytest.mark.parametrize("name", ["logistic", "k-means", "network"])
def test_with_a_dealer(name: str) -> None:
    function, given = CASES[name].small()
    made = compile(function, given, "semi2k")
    assert furthest(made.run("semi2k"), twin(function, given)) <= CASES[name].within
    assert made.metered == (made.plan.cost.rounds, dict(made.plan.cost.links))


@pytest.mark.parametrize("name", ["logistic", "logistic by minibatch", "k-means", "principal component"])
def test_loops_stay_loops(name: str) -> None:
    """The text does not grow with the number of iterations."""
    longer = {
        "logistic": lambda n: c.logistic(30, 3, n),
        "logistic by minibatch": lambda n: c.logistic_batches(10 * n, 3, 10, 1),
        "k-means": lambda n: c.clusters(20, 2, 2, n),
        "principal component": lambda n: c.components(20, 3, n),
    }[name]
    short, long = (compile(*longer(n)).program for n in (4, 40))
    assert len(long.text()) <= len(short.text()) + 40


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_full_size(name: str) -> None:
    function, given = CASES[name].full()
    made = compile(function, given)
    gap = furthest(made.run(), twin(function, given))
    print(
        f"\n{name}: compiled in {made.seconds:.2f} s, ran in {made.ran:.1f} s, off by {gap:.1e}; {made.fmt}"
    )
    assert gap <= CASES[name].within
