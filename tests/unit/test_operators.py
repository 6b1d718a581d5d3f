"""Python's operators on secret arrays mean what they mean on NumPy arrays; what needs a value says so."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from accuracy import compute, on_grid

from tacit.array.interpret import Trace
from tacit.array.ops import table
from tacit.array.runtime import Format
from tacit.errors import SecretUsedAsPublic

FMT = Format(64, 20)
K, M = np.array([-7, -3, 0, 4, 9]), np.array([2, 3, 5, 1, 4])
X = on_grid([-2.5, -0.75, 0.5, 1.5, 2.5], 20)

WHOLE: dict[str, Callable[[Any, Any], Any]] = {
    "floordiv": lambda k, m: k // m,
    "floordiv_public": lambda k, m: k // -3,
    "rfloordiv": lambda k, m: 100 // m,
    "mod": lambda k, m: k % m,
    "mod_public": lambda k, m: k % -4,
    "rmod": lambda k, m: 100 % m,
    "divmod": lambda k, m: divmod(k, m)[0] * 100 + divmod(k, m)[1],
    "rdivmod": lambda k, m: divmod(50, m)[1],
    "power": lambda k, m: k**3,
    "shifts": lambda k, m: (k << 2) + (k >> 1),
    "bits": lambda k, m: (k & 5) + (m | 8) - (k ^ m) + ~k + (3 & m),
    "abs": lambda k, m: abs(k) - -k + +k,
    "compare": lambda k, m: ((k > 0) & (k < 5) | ~(k != 9) ^ (k <= -7)) * 1,
    "prod": lambda k, m: m.prod(),
    "logic": lambda k, m: (k > 0).any() * 2 + (m > 0).all() * 1,
    "squeeze": lambda k, m: k[None].squeeze(),
}
REAL: dict[str, Callable[[Any], Any]] = {
    "round": lambda x: round(x) if not isinstance(x, np.ndarray) else np.round(x),
    "method": lambda x: x.round(),
    "tenths": lambda x: x.round(1),
    "floor": lambda x: math.floor(x) if not isinstance(x, np.ndarray) else np.floor(x),
    "ceil": lambda x: math.ceil(x) if not isinstance(x, np.ndarray) else np.ceil(x),
    "trunc": lambda x: math.trunc(x) if not isinstance(x, np.ndarray) else np.trunc(x),
    "mod": lambda x: x % 0.5,
    "negative_power": lambda x: (x + 4) ** -2,
    "matmul": lambda x: x @ x,
    "rmatmul": lambda x: np.ones((2, 5)) @ x if isinstance(x, np.ndarray) else x.__rmatmul__(np.ones((2, 5))),
    "std": lambda x: x.std(),
    "rpow": lambda x: 2.0**x,
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers(name: str) -> None:
    function = WHOLE[name]
    got = compute(function, [K, M], [(-8, 9), (1, 5)], FMT).values
    assert np.array_equal(got.astype(np.int64), function(K, M))


@pytest.mark.parametrize("name", REAL)
def test_fractions(name: str) -> None:
    function = REAL[name]
    got = compute(function, [X], [(-3, 3)], FMT).values
    assert np.max(np.abs(got - function(X))) <= 2.0**-14


REFUSED: dict[str, Callable[[Any], Any]] = {
    "if": lambda x: 1 if x > 0 else 0,
    "chain": lambda x: 0 < x < 1,
    "and": lambda x: x > 0 and x < 1,
    "float": float,
    "int": int,
    "complex": complex,
    "in": lambda x: 1.0 in x,
    "index": lambda x: [1, 2][x],
    "item": lambda x: x.item(),
    "list": lambda x: x.tolist(),
    "numpy": np.asarray,
    "sorted": sorted,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_a_value_says_so(name: str) -> None:
    x = Trace().input("x", "alice", (3,), "fixed", -3, 3)
    with pytest.raises(SecretUsedAsPublic, match=r"tacit\.reveal"):
        REFUSED[name](x)


def test_arrays_have_no_hash() -> None:
    x = Trace().input("x", "alice", (3,), "fixed", -3, 3)
    with pytest.raises(TypeError, match="no hash"):
        hash(x)
    assert len(list(x)) == 3
    with pytest.raises(TypeError, match="without axes"):
        list(x[0])


@pytest.mark.parametrize(
    "at", [[0, 2, 4, 6], [1, 3, 5, 7], [2, 3, 4, 5], [0, 7], [7, 5, 3, 1], [3, 3, 3, 3], [3], []]
)
def test_every_other_row_is_taken_without_a_copy_and_few_rows_of_many_with_one(at: list[int]) -> None:
    a = np.arange(48).reshape(2, 8, 3)
    (got,) = table()["take"].clear([a], {"axis": 1, "indices": at})
    assert np.array_equal(got, np.take(a, np.array(at, int), axis=1))
    assert np.shares_memory(got, a) == (at in ([0, 2, 4, 6], [1, 3, 5, 7], [2, 3, 4, 5]))
