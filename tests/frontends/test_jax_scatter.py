"""Updates at secret indices that join, or are too many to be written one after the other, beside JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax_shared import same, shared
from window_cases import record

from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.errors import NotRealised

rng = np.random.default_rng(21)
X, ROWS = rng.uniform(-4, 4, 6), rng.uniform(-4, 4, (6, 3))
AT, FAR = np.array([1, 5, 1, 0, 1]), np.array([1, 9, -7, -1, 5])
U, ROWS_U = rng.uniform(-1, 1, 5), rng.uniform(-1, 1, (5, 3))
INTS = rng.integers(-5, 6, 6)
MANY, MANY_U = rng.integers(0, 20, 100), rng.uniform(-4, 4, 100)

JOINED: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "one value": (lambda at, x, i: at(x.at[i], 2.0), [X, AT]),
    "twice the same place": (lambda at, x, i, u: at(x.at[i], u), [X, AT, U]),
    "rows": (lambda at, x, i, u: at(x.at[i], u), [ROWS, AT, ROWS_U]),
    "columns": (lambda at, x, i, u: at(x.at[:, i], u), [ROWS, AT[:1], ROWS[:, :1] / 4]),
    "two indices": (lambda at, x, i, j, u: at(x.at[i, j], u), [ROWS, AT, AT % 3, U]),
    "outside": (lambda at, x, i, u: at(x.at[i], u), [X, FAR, U]),
    "clipped": (lambda at, x, i, u: at(x.at[i], u, mode="clip"), [X, FAR, U]),
    "whole numbers": (lambda at, x, i, u: at(x.at[i], u), [INTS, AT, AT - 3]),
}


@pytest.mark.parametrize("how", ["max", "min", "mul"])
@pytest.mark.parametrize("name", JOINED)
def test_joined_at_secret_indices(name: str, how: str) -> None:
    function, values = JOINED[name]
    same(lambda *a: function(lambda ref, *b, **k: getattr(ref, how)(*b, **k), *a), values)


WRITTEN: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "the last one counts": (lambda x, i, u: x.at[i].set(u), [np.zeros(20), MANY, MANY_U]),
    "outside": (lambda x, i, u: x.at[i].set(u), [np.zeros(20), MANY * 3 - 20, MANY_U]),
    "rows": (lambda x, i, u: x.at[i].set(u[:, None] * np.ones(3)), [np.zeros((20, 3)), MANY, MANY_U]),
    "truth values": (lambda x, i, u: x.at[i].set(u), [np.zeros(20, bool), MANY, MANY_U > 0]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_many_written_at_secret_indices(name: str) -> None:
    function, values = WRITTEN[name]
    same(function, values)


def test_group_maximum() -> None:
    same(lambda x, i: jax.ops.segment_max(x, i, 3), [INTS, AT[[0, 0, 1, 2, 3, 3]] % 3])


def test_too_many_are_refused_by_name_with_a_remedy() -> None:
    far = np.arange(2000) * 9
    for how in ("set", "max"):
        with pytest.raises(
            NotRealised, match=r"2000 elements among 20000 places.*add instead.*sort by the index"
        ):
            shared(lambda x, i, how=how: getattr(x.at[i], how)(jnp.ones(2000)), [np.zeros(20000), far])


KEYS, OTHER, COLUMN = rng.integers(0, 7, 60), rng.integers(0, 5, 60), rng.uniform(-1, 1, 60)


def sums(v: Any, k: Any) -> Any:
    return jax.ops.segment_sum(v, k, 7)


GROUPED: dict[str, Callable[..., Any]] = {
    "sums and counts": lambda k, v: (sums(v, k), sums(v * 2, k), jnp.bincount(k, length=7)),
    "means": lambda k, v: sums(v, k) / jnp.maximum(jnp.bincount(k, length=7), 1),
    "around the means": lambda k, v: sums((v - (sums(v, k) / 8)[k]) ** 2, k),
    "added to zeros": lambda k, v: (jnp.zeros(7).at[k].add(v), jnp.zeros(9).at[k].add(1)),
}


@pytest.mark.parametrize("name", GROUPED)
def test_group_bys_take_their_key_apart_once(name: str) -> None:
    function = GROUPED[name]
    same(function, [KEYS, COLUMN])
    program, _ = record(function, [KEYS, COLUMN], [(0, 6), (-1, 1)])
    ops = [e.op for e in optimise(program).eqns]
    assert ops.count("hot") == 1
    assert "maximum" not in ops or name == "means"


def test_counts_by_two_keys_are_sent_as_whole_numbers() -> None:
    def counts(a: Any, b: Any) -> Any:
        return jnp.zeros((7, 5)).at[a, b].add(1), jnp.zeros((7, 5)).at[a, b].add(-0.5)

    same(counts, [KEYS, OTHER])
    program, _ = record(counts, [KEYS, OTHER], [(0, 6), (0, 4)])
    rows = [e.ins[0] for e in program.eqns if e.op == "spread"]
    kinds = [infer(program)[v].kind for v in rows]
    assert kinds == ["int", "fixed"]


def test_whole_numbers_that_cannot_be_the_lesser_are_not_compared() -> None:
    def ends(k: Any) -> Any:
        low, high = np.array([0, -2, 0] * 20), np.array([6, 9, 8] * 20)
        return jnp.clip(k, low, high), jnp.maximum(7, k), jnp.minimum(7, k), jnp.maximum(k, 1)

    same(ends, [KEYS])
    program, _ = record(ends, [KEYS], [(0, 6)])
    assert [e.op for e in program.eqns if e.op in ("maximum", "minimum", "compare", "lt")] == ["maximum"]
