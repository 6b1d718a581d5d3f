"""Inverse functions, powers and bits from JAX: on every protocol, of scalars, empty and batched arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from window_cases import compare

from tacit.errors import RangeError

PROTOCOLS = ["rep3", "semi2k", "clear"]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1, 3), (2, 1, 2)]

INSIDE: dict[str, Callable[[Any], Any]] = {
    "asin": jnp.arcsin,
    "acos": jnp.arccos,
    "asinh": jnp.arcsinh,
    "atanh": lambda x: jnp.arctanh(x * 0.875),
    "erfinv": lambda x: jax.scipy.special.erfinv(x * 0.875),
    "acosh": lambda x: jnp.arccosh(x + 2),
    "digamma": lambda x: jax.scipy.special.digamma(x + 2),
    "lgamma": lambda x: jax.scipy.special.gammaln(x + 2),
    "power": lambda x: (x + 2) ** x,
    "known powers": lambda x: jnp.expand_dims(x, -1) ** jnp.array([2, 0, 3.0, 1]),
    "known powers, a base of each": lambda x: (
        (x * jnp.ones(3)[:, None, None, None]) ** jnp.array([[1.0], [3]])
    ),
    "known powers below zero": lambda x: jnp.expand_dims(x + 2, -1) ** jnp.array([-1.0, 2, -2]),
    "sinc": jnp.sinc,
    "hypot": lambda x: jnp.hypot(x, x + 3),
}
WHOLE: dict[str, Callable[[Any], Any]] = {
    "and": lambda k: k & 6,
    "xor": lambda k: k ^ (k * 2),
    "shift": lambda k: (k >> 1) + (k << 2) + ~k,
    "count": jnp.bitwise_count,
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", INSIDE)
def test_fractions(name: str, protocol: str) -> None:
    rng = np.random.default_rng(1)
    for shape in SHAPES if protocol == "rep3" else SHAPES[-1:]:
        x = np.round(rng.uniform(-1, 1, shape) * 2.0**16) / 2.0**16
        compare(INSIDE[name], [x], [(-1, 1)], 32, protocol)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers(name: str, protocol: str) -> None:
    rng = np.random.default_rng(2)
    for shape in SHAPES if protocol == "rep3" else SHAPES[-1:]:
        compare(WHOLE[name], [rng.integers(0, 100, shape)], [(0, 100)], 0, protocol)


@pytest.mark.parametrize("exponent", [np.inf, -np.inf, np.nan])
def test_an_exponent_that_is_no_number_is_refused(exponent: float) -> None:
    for powers in (exponent, np.array([exponent, 2.0])):
        with pytest.raises(RangeError, match=r"NaN|infinite"):
            compare(lambda x: (x + 2) ** powers, [np.zeros(2)], [(-1, 1)], 0, "clear")  # noqa: B023
