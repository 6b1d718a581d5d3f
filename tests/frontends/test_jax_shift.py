"""Windows at secret starts that are shifted by the bits of the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import OWNERS, same

from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.runtime import Format
from tacit.frontends import jax_shift
from tacit.frontends.jax import trace_jax

WINDOWS: dict[str, Callable[..., Any]] = {
    "slice": lambda x, k, u: lax.dynamic_slice(x, (k, 0), (4, 3)),
    "columns": lambda x, k, u: lax.dynamic_slice(x.T, (0, k), (2, 5)),
    "one": lambda x, k, u: lax.dynamic_slice(x, (k, 1), (1, 1)),
    "nearly all": lambda x, k, u: lax.dynamic_slice(x, (k, 0), (10, 3)),
    "whole numbers": lambda x, k, u: lax.dynamic_slice(jnp.floor(x).astype(int), (k, 0), (4, 3)),
    "truth values": lambda x, k, u: lax.dynamic_slice(x > 0, (k, 0), (4, 3)),
    "put": lambda x, k, u: lax.dynamic_update_slice(x, u, (k, 0)),
    "put a part of a row": lambda x, k, u: lax.dynamic_update_slice(x, u[:, 1:2], (k, 2)),
    "put one": lambda x, k, u: lax.dynamic_update_slice(x, u[:1], (k, 0)),
    "put truth values": lambda x, k, u: lax.dynamic_update_slice(x > 0, u > 0, (k, 0)),
    "put into known": lambda x, k, u: lax.dynamic_update_slice(jnp.ones((11, 3)), u, (k, 0)),
    "in turns": lambda x, k, u: lax.fori_loop(
        0, 2, lambda i, v: lax.dynamic_update_slice(v, lax.dynamic_slice(v, (k, 0), (4, 3)), (i, 0)), x
    ),
}


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("start", [-3, 0, 1, 5, 7, 8, 11, 40])
def test_long_windows_are_shifted(name: str, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        jax_shift, "long", lambda shape, sizes, hidden: hidden[0] if len(hidden) == 1 else None
    )
    rng = np.random.default_rng(8)
    x, u = (np.round(rng.uniform(-4, 4, (n, 3)) * 256) / 256 for n in (11, 4))

    def of(x: Any, k: Any, u: Any) -> Any:
        return WINDOWS[name](x, k[0] - k[1], u)

    same(of, [x, np.array([max(start, 0), max(-start, 0), 50]), u])


def test_long_windows_send_no_table() -> None:
    """All windows of 900 of 3,000 elements are 1.9 million."""

    def cost(name: str) -> Any:
        trace = Trace()
        x = trace.input("x", "alice", (3000,), "fixed", -4, 4) + trace.input(
            "n", "bob", (3000,), "fixed", 0, 0
        )
        k = trace.input("k", "bob", (1,), "int", 0, 3000)
        of = {
            "slice": lambda x, k: lax.dynamic_slice(x, (k[0],), (900,)),
            "put": lambda x, k: lax.dynamic_update_slice(x, x[:900], (k[0],)),
        }
        reveal(trace_jax(of[name], [x, k]), why="test", name="r")
        return predict(trace.program(), "rep3", Format(64, 16), OWNERS, OWNERS)

    assert sum(cost("slice").links.values()) < 500_000
    assert sum(cost("put").links.values()) < 600_000
