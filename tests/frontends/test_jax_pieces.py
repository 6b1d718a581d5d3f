"""Searches in tables, and what is computed of the places found: counted by comparisons, not by a loop of look-ups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from window_cases import FORMAT, OWNERS, Array, compare, grid, record

from tacit.array.analyse import predict
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.session import simulate
from tacit.frontends import jax_pieces
from tacit.frontends.jax_flat import x64

EDGES = np.array([-1.5, -1.0, -0.25, 0.0, 0.0, 0.5, 1.75])
X = np.concatenate([EDGES, grid(3, 13), [-2.0, 2.0]])
W = np.random.default_rng(4).permutation(grid(4, X.size, lo=-1, hi=1))
SPAN = (-2.0, 2.0)
K = np.array([0, 1, 4, 4, 5, 9, 10, 10, 7])
FP = np.array([1.0, -0.5, 0.25, 0.75, 0.75, 2.0, -1.0])
KNOTS = np.array([-1.5, -1.0, -0.25, 0.0, 0.25, 0.5, 1.75])
SHUFFLED = np.random.default_rng(5).permutation(len(EDGES))

KNOWN: dict[str, Callable[[Array], Any]] = {
    "left": lambda x: jnp.searchsorted(EDGES, x),
    "right": lambda x: jnp.searchsorted(EDGES, x, side="right"),
    "of one": lambda x: jnp.searchsorted(EDGES[:1], x),
    "all pairs": lambda x: jnp.searchsorted(EDGES, x, side="right", method="compare_all"),
    "by a sorter": lambda x: jnp.searchsorted(EDGES[SHUFFLED], x, sorter=np.argsort(EDGES[SHUFFLED])),
    "in no order": lambda x: (
        jnp.searchsorted(EDGES[SHUFFLED], x),
        jnp.searchsorted(EDGES[SHUFFLED], x, side="right"),
    ),
    "infinite": lambda x: jnp.digitize(x, np.array([-np.inf, -1.0, 0.0, np.inf])),
    "NaN": lambda x: jnp.searchsorted(np.array([-1.0, 0.0, np.nan]), x, side="right"),
    "beyond": lambda x: jnp.searchsorted(np.array([-9.0, -2.0, 0.0, 2.0, 9.0]), x),
    "nowhere": lambda x: jnp.searchsorted(np.array([-9.0, 9.0]), x),
    "of rows": lambda x: jnp.searchsorted(EDGES, x.reshape(2, 11)),
    "mapped": lambda x: jax.vmap(lambda v: jnp.searchsorted(EDGES, v))(x.reshape(2, 11)),
    "digits": lambda x: (jnp.digitize(x, EDGES), jnp.digitize(x, EDGES, right=True)),
    "falling": lambda x: (jnp.digitize(x, EDGES[::-1]), jnp.digitize(x, EDGES[::-1], right=True)),
    "arithmetic": lambda x: 3 - 2 * jnp.digitize(x, EDGES) ** 2,
    "a question": lambda x: (
        jnp.digitize(x, EDGES) > 3,
        jnp.digitize(x, EDGES) == 3,
        jnp.digitize(x, EDGES) >= 0,
    ),
    "two places": lambda x: jnp.digitize(x, EDGES) * 10 + jnp.searchsorted(KNOTS, x),
    "a table": lambda x: jnp.asarray([3, 1, 4, 1, 5, 9, 2, 6])[jnp.digitize(x, EDGES)],
    "histogram": lambda x: jnp.histogram(x, KNOTS)[0],
    "of all": lambda x: jnp.histogram(x, bins=8, range=SPAN)[0],
    "to the last edge": lambda x: jnp.histogram(x, np.array([-1.0, 0.0, 0.5]))[0],
    "histogram of two": lambda x: jnp.histogram2d(x, x[::-1], bins=4, range=(SPAN, SPAN))[0],
    "counts": lambda x: jnp.bincount(jnp.digitize(x, EDGES), length=5),
    "clipped": lambda x: jnp.zeros(5, int).at[jnp.digitize(x, EDGES)].add(2, mode="clip"),
}
FIXED: dict[str, tuple[Callable[..., Any], float]] = {
    "a table": (lambda x, w: jnp.asarray(FP)[jnp.digitize(x, EDGES) - 1], 1),
    "of hidden numbers": (lambda x, w: w[jnp.digitize(x, EDGES)], 0),
    "interpolated": (lambda x, w: jnp.interp(x, KNOTS, FP), 8),
    "with ends": (lambda x, w: jnp.interp(x, KNOTS, FP, left=-3.0, right=7.0), 8),
    "equally spaced": (lambda x, w: jnp.interp(x, np.linspace(-1.7, 1.9, 7), FP), 8),
    "with a period": (lambda x, w: jnp.interp(x, KNOTS[3:], FP[3:], period=2.0), 16),
    "hidden heights": (lambda x, w: jnp.interp(x, KNOTS, w[:7]), 8),
    "weights": (lambda x, w: jnp.histogram(x, KNOTS, weights=w)[0], 0),
    "known weights": (lambda x, w: jnp.histogram(x, KNOTS, weights=jnp.arange(22) / 4)[0], 0),
    "weights of two": (lambda x, w: jnp.histogram2d(x, w, bins=3, range=(SPAN, SPAN), weights=w)[0], 0),
    "added": (lambda x, w: w.at[jnp.digitize(x, EDGES)].add(w), 0),
}
HIDDEN: dict[str, Callable[[Array, Array], Any]] = {
    "left": lambda x, t: jnp.searchsorted(jnp.sort(t), x),
    "right": lambda x, t: jnp.searchsorted(jnp.sort(t), x, side="right"),
    "known values": lambda x, t: jnp.searchsorted(jnp.sort(t), X[::2]),
    "mapped": lambda x, t: jax.vmap(jnp.searchsorted)(jnp.sort(t.reshape(2, -1)), x[:20].reshape(2, -1)),
    "of rows": lambda x, t: jnp.searchsorted(jnp.sort(t), x.reshape(2, 11), side="right"),
}
T = np.concatenate([X[::3], X[:4]])


def ops(program: Program) -> set[str]:
    return {eqn.op for eqn in optimise(program).eqns}


@pytest.mark.parametrize("name", KNOWN)
def test_places_in_a_known_table_are_counted(name: str) -> None:
    program = compare(KNOWN[name], [X], [SPAN], 0)
    assert not ops(program) & {"scan", "lookup"}


@pytest.mark.parametrize("name", KNOWN)
def test_places_in_a_long_table_are_counted_in_two_steps(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_pieces, "SPARED", 0)
    assert "scan" not in ops(compare(KNOWN[name], [X], [SPAN], 0))


def test_places_in_a_long_table_where_bounds_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands for edges beyond the last is no type of the others."""
    monkeypatch.setattr(jax_pieces, "SPARED", 0)
    edges = np.linspace(-1.9, 3.1, 41)
    for side in ("left", "right"):
        found = compare(lambda x, side=side: jnp.searchsorted(edges, x, side=side), [X], [(-2, 2)], 0)
        assert "scan" not in ops(found)


@pytest.mark.parametrize("few", [True, False])
def test_places_are_numbers_like_others(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not few:
        monkeypatch.setattr(jax_pieces, "SPARED", 0)
        monkeypatch.setattr(jax_pieces, "FEW_CUTS", 0)
        monkeypatch.setattr(jax_pieces, "FEW_MEETINGS", 0)
    for function in (
        lambda x: jnp.digitize(x, EDGES) / 8,
        lambda x: jnp.digitize(x, EDGES).astype(float) / 3,
        lambda x: (jnp.digitize(x, EDGES) / 4.0) ** 2,
        lambda x: jnp.sqrt(jnp.digitize(x, EDGES) * 1.0),
        lambda x: jnp.maximum(jnp.digitize(x, EDGES), 2.5) * 0.5,
    ):
        compare(function, [X], [SPAN], 4)


@pytest.mark.parametrize("name", FIXED)
def test_what_known_tables_hold_is_added_up(name: str) -> None:
    function, units = FIXED[name]
    assert not ops(compare(function, [X, W], [SPAN, SPAN], units)) & {"scan", "lookup"}


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("name", HIDDEN)
def test_places_in_a_hidden_table(name: str, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not few:
        monkeypatch.setattr(jax_pieces, "ROWS_OF_PAIRS", 0)
        monkeypatch.setattr(jax_pieces, "PAIRS", 0)
    found, sort = (ops(record(f, [X, T], [SPAN, SPAN])[0]) for f in (HIDDEN[name], lambda x, t: jnp.sort(t)))
    assert "scan" not in found
    assert ("lt" in found) == few and "order" in sort
    compare(HIDDEN[name], [X, T], [SPAN, SPAN], 0)


def test_whole_numbers_meet_edges_that_linspace_makes() -> None:
    tenths = np.array([0.0, 3.9999999999999996, 4.5, 5.000000000000001, 10.0])
    for function in (
        lambda k: jnp.histogram(k, bins=10, range=(0, 10))[0],
        lambda k: jnp.searchsorted(np.rint(tenths * 2) / 2, k),
        lambda k: jnp.digitize(k, np.array([0.5, 4.0, 9.5])),
    ):
        compare(function, [K], [(0, 10)], 0)
    with x64():
        want = np.asarray(jnp.digitize(K, np.rint(tenths * 2) / 2))
    program, _ = record(lambda k: jnp.digitize(k, tenths), [K], [(0, 10)])
    wanted, _ = record(lambda k: jnp.digitize(k, np.rint(tenths * 2) / 2), [K], [(0, 10)])
    assert program.text() == wanted.text() and want.max() == 5


@pytest.mark.parametrize("seed", range(40))
def test_a_search_in_no_order_finds_what_one_in_order_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = random.integers(0, 10, 1 + seed % 19).astype(float)
    table[random.integers(0, len(table))] = random.choice([np.nan, np.inf, -np.inf, 5.0])
    x = np.arange(-1, 12, 0.5)
    for side in ("left", "right"):
        found = np.searchsorted(jax_pieces.effective(table), x, side=side)  # type: ignore[call-overload]
        with x64():
            np.testing.assert_array_equal(found, jnp.searchsorted(table, x, side=side))


def shaped(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Program:
    program, _ = record(function, [np.zeros(s) for s in shapes], [(0, 100)] * len(shapes))
    return optimise(program)


def cost(function: Callable[..., Any], *shapes: tuple[int, ...]) -> tuple[int, float]:
    found = predict(shaped(function, *shapes), "rep3", FORMAT, OWNERS, OWNERS)
    return found.rounds, found.total_bytes / 1e6


def test_what_searches_take() -> None:
    edges, ends = np.sort(np.random.default_rng(1).uniform(0, 100, 1000)), (0.0, 100.0)
    made = {
        "histogram": cost(lambda x: jnp.histogram(x, bins=50, range=ends)[0], (10_000,)),
        "digitize": cost(lambda x: jnp.digitize(x, edges[::50]), (10_000,)),
        "long": cost(lambda x: jnp.searchsorted(edges, x), (10_000,)),
        "interp": cost(lambda x: jnp.interp(x, np.linspace(0, 100, 20), np.arange(20.0) ** 2), (10_000,)),
        "hidden": cost(lambda x, t: jnp.searchsorted(t, x), (1000,), (1000,)),
        "hidden, long": cost(lambda x, t: jnp.searchsorted(t, x), (3000,), (3000,)),
    }
    most = {
        "histogram": (11, 15),
        "digitize": (11, 6),
        "long": (21, 25),
        "interp": (25, 11),
        "hidden": (66, 2),
        "hidden, long": (80, 6),
    }
    assert all(made[n][0] <= most[n][0] and made[n][1] <= most[n][1] for n in made), made


@pytest.mark.parametrize("name", ["histogram", "digits", "interpolated", "hidden, sorted"])
def test_a_plan_says_what_a_search_sends(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_pieces, "SPARED", 0)
    function: Any = {**KNOWN, "interpolated": lambda x: jnp.interp(x, KNOTS, FP)}.get(name)
    if function is None:
        monkeypatch.setattr(jax_pieces, "ROWS_OF_PAIRS", 0)
        monkeypatch.setattr(jax_pieces, "PAIRS", 0)
        function = lambda x: jnp.searchsorted(jnp.sort(x), x)  # noqa: E731
    program, data = record(function, [X], [SPAN])
    program = optimise(program)
    with simulate("rep3", OWNERS, width=FORMAT.width, frac_bits=FORMAT.frac_bits, seed=3) as session:
        given = {
            i.owner: {j.name: data[j.name] for j in program.inputs if j.owner == i.owner}
            for i in program.inputs
        }
        before = session.traffic()
        session.run(program, given)
        sent = [after - before[who] for who, after in session.traffic().items()]
    cost = predict(program, "rep3", FORMAT, OWNERS, OWNERS)
    assert max(m.rounds for m in sent) == cost.rounds
    assert sum(t.payload_sent for m in sent for t in m.peers.values()) == cost.total_bytes


def test_what_would_take_much_memory_stays_a_loop() -> None:
    edges = np.linspace(0, 100, 400)
    assert "scan" not in {e.op for e in shaped(lambda x: jnp.searchsorted(edges, x), (100_000,)).eqns}
    assert "scan" in {e.op for e in shaped(lambda x: jnp.searchsorted(edges, x), (1_000_000,)).eqns}


def test_a_count_that_is_opened_as_a_float_is_compared_in_as_few_bits() -> None:
    whole = cost(lambda x: (x > 50).sum(0), (1000, 8))
    floats = cost(lambda x: (x > 50).sum(0).astype(float), (1000, 8))
    assert floats[0] == whole[0] and floats[1] <= 1.02 * whole[1]
