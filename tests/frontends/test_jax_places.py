"""Picking by the places of an order moves rows by it, and takes no look-up; beside JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same

from tacit.array.interpret import Trace, reveal
from tacit.frontends.jax import trace_jax

rng = np.random.default_rng(8)
N = 11
K = rng.integers(0, 5, N)
X = np.round(rng.uniform(-4, 4, N), 2)
ROWS = np.round(rng.uniform(-4, 4, (N, 3)), 2)
BLOCKS = np.round(rng.uniform(-4, 4, (2, N)), 1)


def back(k: Any, x: Any) -> Any:
    order = jnp.argsort(k)
    return jnp.cumsum(x[order])[jnp.argsort(order)]


BY_ORDER: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "rows": (lambda k, x: x[jnp.argsort(k)], [K, X]),
    "rows of several elements": (lambda k, x: x[jnp.argsort(k)], [K, ROWS]),
    "columns": (lambda k, x: x.T[:, jnp.argsort(k)], [K, ROWS]),
    "truth values": (lambda k, x: (x > 0)[jnp.argsort(k)], [K, X]),
    "whole numbers": (lambda k: k[jnp.argsort(k)] + 0, [K]),
    "a known array": (lambda k: jnp.arange(3.0, 3 + N)[jnp.argsort(k)], [K]),
    "take": (lambda k, x: jnp.take(x, jnp.argsort(k), axis=0), [K, ROWS]),
    "descending": (lambda k, x: x[jnp.argsort(k, descending=True)], [K, X]),
    "descending, the first": (lambda k, x: x[jnp.argsort(k, descending=True)[:4]], [K, X]),
    "ranks from above": (lambda k: jnp.argsort(jnp.argsort(k, descending=True)), [K]),
    "ranks descending": (lambda k: jnp.argsort(jnp.argsort(k), descending=True), [K]),
    "set from above": (lambda k, x: x.at[jnp.argsort(k, descending=True)].set(2 * x), [K, X]),
    "reversed": (lambda k, x: x[jnp.argsort(k)[::-1]], [K, X]),
    "a part reversed": (lambda k, x: x[jnp.argsort(k)[2:9][::-1][1:]], [K, X]),
    "a part reversed unevenly": (lambda k, x: x[jnp.argsort(k)[1:9][::-1][1:]], [K, X]),
    "by several keys": (lambda k, x: x[jnp.lexsort((x, k))], [K, X]),
    "the first": (lambda k, x: x[jnp.argsort(k)[:3]], [K, X]),
    "the last": (lambda k, x: x[jnp.argsort(k)[-4:]], [K, X]),
    "from the middle": (lambda k, x: x[jnp.argsort(k)[2:9][1:-1]], [K, X]),
    "as a matrix": (lambda k, x: x[:10][jnp.argsort(k[:10]).reshape(5, 2)], [K, X]),
    "of each block": (lambda b: jnp.take_along_axis(b, jnp.argsort(b, 1), 1), [BLOCKS]),
    "of each block, the first": (lambda b: jnp.take_along_axis(b, jnp.argsort(b, 1)[:, :5], 1), [BLOCKS]),
    "of mapped rows": (lambda b: jax.vmap(lambda r: r[jnp.argsort(r)])(b), [BLOCKS]),
    "of largest": (lambda k, x: x[lax.top_k(k, 5)[1]], [K, X]),
    "back again": (back, [K, X]),
    "ranks": (lambda k: jnp.argsort(jnp.argsort(k)), [K]),
    "the order of ranks": (lambda k: jnp.argsort(jnp.argsort(jnp.argsort(k))), [K]),
    "by ranks": (lambda k, x: x[jnp.argsort(jnp.argsort(k))], [K, X]),
    "ranks in each block": (lambda b: jnp.argsort(jnp.argsort(b, 1), 1), [BLOCKS]),
    "carried along": (lambda k, x: lax.sort((jnp.argsort(k), x), num_keys=1), [K, X]),
    "set": (lambda k, x: jnp.zeros(N).at[jnp.argsort(k)].set(x), [K, X]),
    "set of rows": (lambda k, x: (x * 0).at[jnp.argsort(k)].set(x), [K, ROWS]),
    "set by ranks": (lambda k, x: x.at[jnp.argsort(jnp.argsort(k))].set(2 * x), [K, X]),
    "added": (lambda k, x: x.at[jnp.argsort(k)].add(2 * x), [K, X]),
    "truth values set": (lambda k, x: (x > 5).at[jnp.argsort(k)].set(x > 0), [K, X]),
    "distinct": (lambda k: jnp.unique(k, size=4, fill_value=9, return_index=True)[0], [K]),
}

SQUARE, OTHER = np.round(rng.uniform(-4, 4, (4, 4)), 2), np.round(rng.uniform(-4, 4, (4, 4)), 2)
WIDE, HIGH = SQUARE.ravel()[:15].reshape(3, 5), OTHER.ravel()[:15].reshape(5, 3)
ACROSS = lax.GatherDimensionNumbers((), (2,), (2,), (0, 1), (1, 0))

NOT_ALL: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "rows of columns": (lambda k: jnp.take_along_axis(k, jnp.argsort(k, 1), 0), [SQUARE]),
    "another's rows of columns": (lambda k, x: jnp.take_along_axis(x, jnp.argsort(k, 1), 0), [SQUARE, OTHER]),
    "reshaped": (lambda k, x: jnp.take_along_axis(x, jnp.argsort(k, 1).reshape(5, 3), 0), [WIDE, HIGH]),
    "a few of other axes": (
        lambda b, c: jnp.take_along_axis(c.T, lax.top_k(b, 2)[1], 0),
        [WIDE[:2, :3], HIGH[:2]],
    ),
    "blocks across": (
        lambda k, x: lax.gather(x, jnp.argsort(k, -1)[..., None], ACROSS, (1, 1, 1)),
        [rng.uniform(-4, 4, (2, 3, 4)), rng.uniform(-4, 4, (3, 2, 4))],
    ),
    "truth values of places": (lambda k, x: x[jnp.argsort(k).astype(bool).astype(int)], [K, X]),
    "permuted by a reshape": (
        lambda x: jnp.take_along_axis(x, lax.reshape(jnp.argsort(x, 1), (4, 4), dimensions=(1, 0)), 1),
        [SQUARE],
    ),
    "blocks reversed": (lambda b: jnp.take_along_axis(b, jnp.argsort(b, 1)[::-1], 1), [BLOCKS]),
    "columns of a reshaped order": (
        lambda k, x: (
            x[:10][jnp.argsort(k[:10]).reshape(5, 2)[:, :1]],
            x[:10][jnp.argsort(k[:10]).reshape(2, 5)[:, :3]],
        ),
        [K, X],
    ),
    "sorted as floats": (lambda k: jnp.sort(jnp.argsort(k).astype(float)) / 2.0 + k, [K]),
    "sorted as short numbers": (lambda k: jnp.sort(jnp.argsort(k).astype(jnp.int32)) // jnp.int32(2), [K]),
    "of another length": (lambda k, x: jnp.concatenate([x, x])[jnp.argsort(k)], [K, X]),
    "twice as many places": (lambda k, x: x[jnp.concatenate([jnp.argsort(k), jnp.argsort(-k)])], [K, X]),
    "shifted": (lambda k, x: x[(jnp.argsort(k) + 1) % N], [K, X]),
    "every other": (lambda k, x: x[jnp.argsort(k)[::2]], [K, X]),
    "of other blocks": (lambda b: b[0][jnp.argsort(b, 1)], [BLOCKS]),
    "along the first axis": (lambda x: jnp.take_along_axis(x, jnp.argsort(x, 0), 0), [ROWS]),
    "some set": (lambda k, x: x.at[jnp.argsort(k)[:4]].set(0.0), [K, X]),
    "one key of two": (lambda k, x: lax.sort((jnp.argsort(k) // 2, x, jnp.arange(N)), num_keys=2), [K, X]),
    "not the elements' places": (lambda k: lax.sort((k, jnp.arange(N)[::-1]), num_keys=1)[1], [K]),
    "of another order": (lambda k, x: x[lax.sort((k, jnp.arange(1, N + 1) % N), num_keys=1)[1]], [K, X]),
    "joined": (lambda k, x: x.at[jnp.argsort(k)].max(-x), [K, X]),
}


@pytest.mark.parametrize("name", [*BY_ORDER, *NOT_ALL])
def test_picking_by_places(name: str) -> None:
    function, values = {**BY_ORDER, **NOT_ALL}[name]
    same(function, values)


@pytest.mark.parametrize("name", BY_ORDER)
def test_an_order_is_made_once_and_nothing_is_looked_up(name: str) -> None:
    function, values = BY_ORDER[name]
    trace = Trace()
    ins = [
        trace.input(f"x{i}", "alice", v.shape, "int" if v.dtype.kind == "i" else "fixed", 0, 4)
        + trace.input(f"n{i}", "bob", v.shape, "int" if v.dtype.kind == "i" else "fixed", 0, 0)
        for i, v in enumerate(values)
    ]
    for i, out in enumerate(
        jax.tree_util.tree_leaves(trace_jax(function, ins), is_leaf=lambda v: hasattr(v, "aval"))
    ):
        reveal(out, why="test", name=f"r{i}")
    ops = [e.op for e in trace.program().eqns]
    assert ops.count("order") == 1
    assert "spread" not in ops or name == "distinct"
    assert ops.count("lookup") == (name == "distinct")
