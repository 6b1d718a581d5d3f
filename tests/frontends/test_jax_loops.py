"""Loops whose carried ranges shrink towards an end, on shares beside JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same

rng = np.random.default_rng(7)
X = rng.uniform(-1, 1, 12)
SEEN = (X > 0).astype(int)
STEP, SHOWN = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([[0.6, 0.4], [0.1, 0.9]])


def forward(step: Any, shown: Any, seen: Any) -> Any:
    """Run a hidden Markov model forwards; return the log-likelihood and the last state."""

    def turn(a: Any, o: Any) -> Any:
        a = (a @ step) * shown.T[o]
        c = jnp.maximum(a.sum(), 1e-3)
        return jnp.clip(a / c, 0, 1), jnp.log(c)

    last, logs = lax.scan(turn, jnp.ones(2) / 2, seen)
    return logs.sum(), last


def boosted(x: Any) -> Any:
    """Reweight cases by the errors of one stump after another, as AdaBoost does."""

    def turn(w: Any, at: Any) -> Any:
        agrees = jnp.where(x > at, 1.0, -1.0) * jnp.where(x > 0, 1.0, -1.0)
        e = jnp.clip(jnp.where(agrees < 0, w, 0.0).sum(), 1e-2, 1 - 1e-2)
        w = w * jnp.exp(jnp.log(e / (1 - e)) / 2 * agrees)
        return jnp.clip(w / jnp.maximum(w.sum(), 1e-3), 0, 1), e

    return lax.scan(turn, jnp.ones(12) / 12, jnp.linspace(-0.5, 0.5, 8))


LOOPS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "hidden states, known steps": (lambda o: forward(jnp.asarray(STEP), jnp.asarray(SHOWN), o), [SEEN]),
    "hidden states, secret steps": (forward, [STEP, SHOWN, SEEN]),
    "boosting": (boosted, [X]),
}


@pytest.mark.parametrize("name", LOOPS)
def test_what_is_clipped_to_a_share_of_one_settles(name: str) -> None:
    function, values = LOOPS[name]
    same(function, values, atol=2.0**-10, lo=-1.0 if values[0] is X else 0.0, hi=1.0)
