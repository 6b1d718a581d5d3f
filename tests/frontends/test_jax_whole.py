"""Programs on whole numbers: shifts by public amounts, masks, unsigned types; on shares beside JAX with 64 bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same

from tacit.errors import NotRealised

BYTES, SIGNED = np.array([0, 5, 200, 255, 77]), np.array([-100, -7, 0, 3, 100])
PLACES, LARGE = np.array([0, 1, 3, 7, 2]), BYTES * 2**24 + 5


def summed(turn: Callable[[Any, Any], Any], x: Any, turns: int = 8) -> Any:
    """Add up what each turn of a loop gives."""
    return lax.fori_loop(0, turns, lambda i, c: c + turn(x, i), jnp.zeros_like(x))


def scanned(x: Any, places: Any) -> Any:
    """Shift both ways by what a loop walks along."""
    return lax.scan(lambda c, p: (c + (x >> p), x << p), jnp.zeros_like(x), places)


SHIFTS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "a bit of each turn": (lambda x: summed(lambda x, i: (x >> i) & 1, x), [BYTES]),
    "negative numbers": (lambda x: summed(lambda x, i: x >> i, x), [SIGNED]),
    "logical": (lambda x: summed(lambda x, i: lax.shift_right_logical(x, jnp.full(x.shape, i)), x), [BYTES]),
    "to the left": (lambda x: summed(lambda x, i: x << i, x), [SIGNED]),
    "no room to multiply first": (lambda x: summed(lambda x, i: (x >> i) & 1, x, 32), [LARGE]),
    "large and negative": (lambda x: summed(lambda x, i: x >> (i + 3), x, 20), [SIGNED * 2**24 + 5]),
    "numbers walked along": (lambda x: scanned(x, jnp.arange(8)), [BYTES]),
    "arrays walked along": (lambda x: scanned(x, jnp.arange(10).reshape(2, 5)), [BYTES]),
    "more places than elements": (lambda x: scanned(x[0], jnp.arange(3))[1] + x[1], [BYTES]),
    "loops within loops": (
        lambda x: summed(
            lambda x, i: summed(lambda x, j: (x >> i) + (x >> (i + j)) + ((1 << i) & x), x, 3), x
        ),
        [BYTES],
    ),
    "vmap": (lambda x: jax.vmap(lambda p: summed(lambda x, i: x >> (p + i), x, 3))(jnp.arange(3)), [SIGNED]),
    "what is advised to the left": (lambda x, k: x * 2**k, [SIGNED, PLACES]),
    "what is advised to the right": (
        lambda x, k: sum(jnp.where(k == i, x >> i, 0) for i in range(8)),
        [SIGNED, PLACES],
    ),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_shifts_by_what_is_public(name: str) -> None:
    same(*SHIFTS[name])


def test_shifts_by_secrets_are_refused() -> None:
    with pytest.raises(NotRealised, match=r"secret number of places.*write x \* 2\*\*k"):
        same(lambda x, k: x << k, [SIGNED, PLACES])
    with pytest.raises(NotRealised, match=r"secret number of places.*jnp.where\(k == i, x >> i, 0\)"):
        same(lambda x, k: x >> k, [SIGNED, PLACES])
