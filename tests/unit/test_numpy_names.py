"""NumPy's functions on arrays of a session: the numbers that NumPy gives, or one line that names what works."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tacit
from tacit.errors import NotRealised, SecretUsedAsPublic, ShapeError, UsageError

rng = np.random.default_rng(11)
X = np.round(rng.uniform(0.5, 3, (4, 3)) * 64) / 64
Y = np.round(rng.uniform(-3, 3, (4, 3)) * 64) / 64
K = rng.integers(-5, 6, (4, 3))
B = Y > 0


@pytest.fixture
def session() -> Iterator[Any]:
    with tacit.simulate("rep3", seed=1) as s:
        yield s


@pytest.fixture
def shared(session: Any) -> tuple[Any, ...]:
    """The same numbers where nobody knows them."""
    owner, other = "alice", "bob"
    nought = session.input(np.zeros((4, 3)), bound=(0, 0), owner=other)
    x = session.input(X, bound=(0.5, 3), owner=owner) + nought
    y = session.input(Y, bound=(-3, 3), owner=owner) + nought
    k = session.input(K, bound=(-5, 5), owner=owner) + session.input(0 * K, bound=(0, 0), owner=other)
    return x, y, k, y > 0


Case = Callable[[Any, Any, Any, Any], Any]


def positive(name: str) -> Case:
    return lambda x, y, k, b: getattr(np, name)(x)


def with_known(name: str) -> Case:
    return lambda x, y, k, b: getattr(np, name)(Y, x)


def of_all(name: str) -> Case:
    return lambda x, y, k, b: getattr(np, name)(y)


def of_rows(name: str) -> Case:
    return lambda x, y, k, b: getattr(np, name)(y, axis=1)


ONE = "exp log sqrt square negative absolute floor ceil sign tanh sin arctan log1p rint reciprocal"
TWO = "add subtract multiply divide maximum minimum less greater_equal arctan2"
ALL = "sum mean max min amax std var ravel transpose sort median flip"
ROWS = "sum mean max min std prod argmax argmin argsort cumsum sort median"
CASES: dict[str, Case] = {
    **{name: positive(name) for name in ONE.split()},
    **{name: with_known(name) for name in TWO.split()},
    **{name: of_all(name) for name in ALL.split()},
    **{f"{name} of rows": of_rows(name) for name in ROWS.split()},
    "operators": lambda x, y, k, b: (Y + x, Y - x, Y * x, Y / x, x > Y, y == Y, Y[:, :3].T @ x, 2.0 - x),
    "whole numbers": lambda x, y, k, b: (
        np.floor_divide(k, 3),
        np.remainder(k, 3),
        np.power(k, 2),
        K // (k * k + 1),
    ),
    "bits": lambda x, y, k, b: (np.bitwise_and(k, 3), K & k, np.invert(b), B ^ b, np.logical_or(B, b)),
    "both of a division": lambda x, y, k, b: np.divmod(k, 4),
    "kept axes": lambda x, y, k, b: np.sum(y, axis=0, keepdims=True),
    "degrees": lambda x, y, k, b: np.var(y, axis=0, ddof=1),
    "where": lambda x, y, k, b: np.where(b, x, Y),
    "joined": lambda x, y, k, b: (np.concatenate([x, Y]), np.stack((X, y), axis=1)),
    "clipped": lambda x, y, k, b: np.clip(y, -1, 1),
    "shaped": lambda x, y, k, b: (np.reshape(y, (3, 4)), np.expand_dims(y, 0), np.squeeze(y[:1]), y.T),
    "by name": lambda x, y, k, b: np.sum(a=y, axis=1),
    "truths": lambda x, y, k, b: (np.any(b), np.all(b, axis=0)),
    "quantile": lambda x, y, k, b: (np.quantile(y, 0.25), np.percentile(y, [10, 90], axis=0)),
    "taken": lambda x, y, k, b: np.take(y, [2, 0], axis=1),
    "rounded": lambda x, y, k, b: np.round(y),
    "matrices": lambda x, y, k, b: np.matmul(x.T, y),
    "a number of NumPy": lambda x, y, k, b: np.float64(2.5) * x,
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_of_numpy(name: str, session: Any, shared: tuple[Any, ...]) -> None:
    got, want = CASES[name](*shared), CASES[name](X, Y, K, B)
    for g, w in zip(*(v if isinstance(v, tuple) else (v,) for v in (got, want)), strict=True):
        opened = tacit.reveal(g, why="test")
        assert np.shape(opened) == np.shape(w)
        np.testing.assert_allclose(np.asarray(opened, float), np.asarray(w, float), atol=2.0**-12)


def test_what_is_public_is_told_without_a_message(session: Any, shared: tuple[Any, ...]) -> None:
    before = session.traffic()
    y = shared[1]
    assert (np.shape(y), np.ndim(y), np.size(y)) == ((4, 3), 2, 12)
    np.testing.assert_array_equal(np.zeros_like(y), np.zeros((4, 3)))
    np.testing.assert_array_equal(np.ones_like(shared[2]), np.ones((4, 3), np.int64))
    assert session.traffic() == before


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "another function": (lambda y: np.fft.fft(y), NotRealised, "np.fft does not work.*__array_namespace__"),
    "another ufunc": (lambda y: np.nextafter(y, 1), NotRealised, "np.nextafter does not work"),
    "another way of a ufunc": (lambda y: np.multiply.outer(y, y), NotRealised, r"np\.multiply\.outer"),
    "in place": (lambda y: operator.iadd(np.zeros((4, 3)), y), UsageError, "a = a \\+ x instead of a \\+= x"),
    "out": (lambda y: np.exp(y, out=np.zeros((4, 3))), UsageError, "without out="),
    "other options": (lambda y: np.exp(y, dtype=np.float32), UsageError, "np.exp takes no dtype"),
    "an option of a function": (lambda y: np.sum(y, dtype=int), UsageError, "np.sum.*takes axis, keepdims"),
    "all rows for one": (lambda y: np.cumsum(y), ShapeError, "needs axis="),
    "its place in all": (lambda y: np.argmax(y), ShapeError, "needs axis="),
    "one condition": (lambda y: np.where(y > 0), UsageError, "np.where.*takes c, y"),
    "its numbers": (lambda y: np.asarray(y), SecretUsedAsPublic, "turning it into a NumPy array"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_work_names_what_does(name: str, session: Any, shared: tuple[Any, ...]) -> None:
    fn, error, match = REFUSED[name]
    before = session.traffic()
    with pytest.raises(error, match=match):
        fn(shared[1])
    assert session.traffic() == before or name == "one condition"  # which is compared first
