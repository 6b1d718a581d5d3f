"""Memory follows the arrays that are alive, not the length of the program."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from whole import OWNERS, Compiled, Given, compile

ROWS = 1 << 16
# The sum of two owners' values is computed on shares from the start.
XY = {
    n: Given(np.linspace(-0.5, 0.5, ROWS), -0.5, 0.5, owners=[o]) for n, o in zip("xy", OWNERS, strict=False)
}


def peak(made: Compiled, protocol: str) -> int:
    made.run(protocol)  # what is made once, such as tables, is made here
    tracemalloc.start()
    try:
        made.run(protocol)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chain(n: int) -> Callable[[Any], Any]:
    def function(x: Any, y: Any) -> Any:
        x = x + y
        for i in range(n):
            x = jnp.clip(x * x - x * 0.5 + 0.01 * i, -1, 1)
        return x.sum()

    return function


def loop(n: int) -> Callable[[Any], Any]:
    def step(i: Any, w: Any) -> Any:
        return jnp.clip(w * w - w * 0.5 + 0.01 * i, -1, 1)

    return lambda x, y: lax.fori_loop(0, n, step, x + y).sum()


def nested(n: int) -> Callable[[Any], Any]:
    def step(i: Any, w: Any) -> Any:
        return lax.scan(lambda c, d: (jnp.clip(c * c - d, -1, 1), None), w, np.arange(2.0))[0]

    return lambda x, y: lax.fori_loop(0, n, step, x + y).sum()


@pytest.mark.parametrize("protocol", ["clear", "rep3"])
@pytest.mark.parametrize("make", [chain, loop, nested])
def test_flat_in_the_length(make: Callable[[int], Any], protocol: str) -> None:
    short, long = (peak(compile(make(n), XY), protocol) for n in (3, 24))
    # Three parties meet their peaks at different moments; one array kept in each iteration would double the peak.
    assert long <= (1.1 if protocol == "clear" else 1.5) * short


def test_inputs_go_when_they_are_used_up() -> None:
    """Thirty inputs, each folded into one array at once, are not all held as shares."""

    def total(*xs: Any) -> Any:
        out = xs[0]
        for x in xs[1:]:
            out = jnp.minimum(out + x, 1.0)
        return out.sum()

    def made(count: int) -> Compiled:
        owners = [OWNERS[i % 3] for i in range(count)]
        return compile(
            total, {f"x{i}": Given(XY["x"].values, -1, 1, owners=[o]) for i, o in enumerate(owners)}
        )

    # Beside six, as ranges and so steps of fewer inputs are smaller; all held, thirty take five times as much.
    assert peak(made(30), "rep3") <= peak(made(6), "rep3") * 1.3
