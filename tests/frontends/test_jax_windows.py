"""Convolutions and pooling, their gradients, and a small network of them equal JAX in float64."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from window_cases import Array, compare, grid, record

from tacit import errors
from tacit.array.analyse import predict
from tacit.array.passes import localise
from tacit.array.runtime import Format

PROTOCOLS = ["rep3", "semi2k", "clear"]
PAIR = [(-2, 2), (-2, 2)]
NHWC = ("NHWC", "HWIO", "NHWC")

# name: (shape of x, shape of w, parameters)
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "same": ((2, 3, 6, 5), (4, 3, 3, 3), {"padding": "SAME"}),
    "strides": ((2, 3, 8, 7), (4, 3, 3, 2), {"window_strides": (2, 3), "padding": "VALID"}),
    "explicit": (
        (2, 3, 8, 7),
        (4, 3, 3, 2),
        {"window_strides": (2, 1), "padding": ((1, 2), (-1, 3)), "rhs_dilation": (2, 1)},
    ),
    "dilated": (
        (2, 3, 5, 4),
        (4, 3, 3, 2),
        {"window_strides": (2, 1), "padding": ((1, 2), (-1, 0)), "lhs_dilation": (2, 3)},
    ),
    "cropped": (
        (2, 3, 5, 4),
        (4, 3, 3, 2),
        {"padding": ((-3, -2), (-1, -4)), "lhs_dilation": (3, 2), "rhs_dilation": (2, 1)},
    ),
    "groups": ((2, 6, 5, 4), (4, 3, 3, 2), {"padding": "SAME", "feature_group_count": 2}),
    "depthwise": ((2, 3, 5, 4), (6, 1, 3, 2), {"padding": "SAME", "feature_group_count": 3}),
    "batches": ((4, 3, 5, 4), (6, 3, 3, 2), {"padding": "SAME", "batch_group_count": 2}),
    "layout": ((2, 6, 5, 3), (3, 2, 3, 4), {"padding": "SAME", "dimension_numbers": NHWC}),
    "line": (
        (2, 9, 3),
        (5, 3, 4),
        {"window_strides": (2,), "padding": "SAME", "dimension_numbers": ("NWC", "WIO", "NWC")},
    ),
    "volume": (
        (2, 3, 4, 3, 2),
        (2, 2, 3, 2, 5),
        {"window_strides": (1, 2, 1), "padding": "SAME", "dimension_numbers": ("NDHWC", "DHWIO", "NDHWC")},
    ),
    "no_places": ((2, 3), (4, 3), {"padding": ()}),
    "one_row": ((1, 1, 1, 1), (1, 1, 1, 1), {"padding": "VALID"}),
}
EMPTY: dict[str, tuple[tuple[int, ...], tuple[int, ...], Any]] = {
    "no_batch": ((0, 3, 8, 8), (4, 3, 3, 3), "SAME"),
    "too_small": ((2, 3, 2, 8), (4, 3, 3, 3), "VALID"),
    "no_row": ((2, 3, 0, 8), (4, 3, 3, 3), "SAME"),
    "padding_alone": ((2, 3, 0, 8), (4, 3, 3, 3), ((2, 2), (0, 0))),
    "no_features": ((2, 0, 4, 4), (4, 0, 3, 3), "SAME"),
}


def convolve(name: str) -> Any:
    xs, _, params = CONVOLUTIONS[name]
    filled = {"window_strides": (1,) * (len(xs) - 2), **params}
    return lambda x, w: lax.conv_general_dilated(x, w, **filled)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_convolution_and_both_gradients(name: str, protocol: str) -> None:
    xs, ws, _ = CONVOLUTIONS[name]
    f, x, w = convolve(name), grid(1, *xs), grid(2, *ws)
    g = grid(3, *f(x, w).shape)

    def both(x: Array, w: Array) -> Any:
        out, back = jax.vjp(f, x, w)
        return out, back(jnp.asarray(g))

    # One truncation for each result, whatever the number of products; two where a constant gradient needs them.
    compare(both, [x, w], PAIR, 1.1, protocol)


@pytest.mark.parametrize("name", EMPTY)
def test_empty_convolutions(name: str) -> None:
    xs, ws, padding = EMPTY[name]
    f = lambda x, w: lax.conv_general_dilated(x, w, (1, 1), padding) + x.sum()  # noqa: E731
    compare(f, [grid(1, *xs), grid(2, *ws)], PAIR, 1)


def test_convolution_of_mixed_kinds_and_owners() -> None:
    x, w = grid(1, 2, 3, 6, 5), grid(2, 4, 3, 3, 3)
    k = np.random.default_rng(3).integers(-9, 9, x.shape)
    f = lambda x, w: lax.conv(x, w, (1, 1), "SAME")  # noqa: E731
    compare(f, [k, k[:, :, :3, :3]], [(-9, 9)] * 2, 0)
    compare(lambda v: f(v, w), [x], PAIR[:1], 2)  # public weights
    compare(lambda v: f(x, v), [w], PAIR[:1], 2)  # public data
    compare(f, [x, w], PAIR, 1.1, hide=False)  # two owners
    compare(lambda v: f(v, w), [x], PAIR[:1], 1, hide=False)  # one owner: in the clear
    compare(f, [x, w], PAIR, 1.1, fmt=Format(128, 40))


def test_an_owner_shares_an_image_once_not_once_for_each_tap() -> None:
    x, w = grid(1, 4, 1, 20, 20), grid(2, 2, 1, 5, 5)
    program, _ = record(lambda x, w: lax.conv(x, w, (1, 1), "VALID").sum(), [x, w], PAIR, hide=False)
    cost = predict(program, "rep3", Format(64, 16), ("alice", "bob", "carol"), ("alice", "bob", "carol"))
    out = 4 * 2 * 16 * 16
    assert cost.total_bytes < 8 * (x.size + w.size) + 32 * out + 1000


def test_public_weights_stay_at_the_owners_of_the_rows() -> None:
    w = grid(2, 2, 1, 3, 3)

    def both(x: Array, y: Array) -> Array:
        return lax.conv(jnp.concatenate([x, y]), w, (1, 1), "VALID").sum()

    values = [grid(1, 2, 1, 8, 8), grid(3, 3, 1, 8, 8)]
    program, _ = record(both, values, PAIR, hide=False)
    owners = ("alice", "bob", "carol")
    cost = predict(localise(program), "rep3", Format(64, 16), owners, owners)
    assert cost.total_bytes < 200, "two sums are shared, no image"


def test_a_loop_over_images_stays_a_loop() -> None:
    w = grid(2, 2, 1, 3, 3)

    def total(c: Array, v: Array) -> Any:
        return c + lax.conv(v[None], w, (1, 1), "SAME"), v.max()

    compare(lambda x: lax.scan(total, jnp.zeros((1, 2, 5, 5)), x), [grid(1, 3, 1, 5, 5)], PAIR[:1], 6)


# -- pooling ----------------------------------------------------------------------------------------------

# name: (window, strides, padding) on shape (2, 8, 7, 3)
WINDOWS: dict[str, tuple[Any, Any, Any]] = {
    "pool": ((1, 2, 2, 1), (1, 2, 2, 1), "VALID"),
    "overlap": ((1, 3, 3, 1), (1, 2, 2, 1), "SAME"),
    "sliding": ((1, 3, 2, 1), (1, 1, 1, 1), "SAME"),
    "odd": ((2, 5, 1, 3), (1, 1, 3, 1), ((1, 0), (2, 1), (0, 0), (0, 2))),
    "global": ((1, 8, 7, 1), (1, 1, 1, 1), "VALID"),
    "one": ((1, 1, 1, 1), (1, 1, 1, 1), "VALID"),
}
REDUCTIONS: dict[str, tuple[Any, float]] = {
    "max": (lax.max, -np.inf),
    "min": (lax.min, np.inf),
    "add": (lax.add, 0.0),
    "max_from": (lax.max, 0.25),
}


def ties(seed: int) -> Array:
    """Return values many of which are equal."""
    return np.round(grid(seed, 2, 8, 7, 3) * 2) / 2


@pytest.mark.parametrize("what", REDUCTIONS)
@pytest.mark.parametrize("name", WINDOWS)
def test_pooling_and_its_gradient(name: str, what: str) -> None:
    window, (fn, init) = WINDOWS[name], REDUCTIONS[what]
    f = lambda v: lax.reduce_window(v, init, fn, *window)  # noqa: E731
    x = ties(1)
    g = np.round(grid(2, *f(x).shape) * 4) / 4

    def both(v: Array) -> Any:
        if what == "max_from":
            return f(v)
        out, back = jax.vjp(f, v)
        return out, back(jnp.asarray(g))[0]

    compare(both, [x], PAIR[:1], 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pooling_forward_mode_and_batches(protocol: str) -> None:
    f = lambda v: lax.reduce_window(v, -jnp.inf, lax.max, (2, 2), (2, 1), "SAME")  # noqa: E731
    # Of equal elements, JAX's forward mode takes no particular one: these differ.
    x, t = grid(1, 2, 8, 7), grid(2, 2, 8, 7)
    compare(jax.vmap(lambda v, u: jax.jvp(f, (v,), (u,))), [x, t], PAIR, 0, protocol)
    compare(jax.vmap(jax.grad(lambda v: (f(v) ** 2).sum())), [x], PAIR[:1], 1, protocol)


@pytest.mark.parametrize(
    ("size", "stride", "dilation"),
    [((2, 2), (2, 2), (1, 1)), ((3, 1), (3, 2), (1, 1)), ((2, 3), (5, 3), (3, 1)), ((6, 5), (6, 5), (1, 1))],
    ids=str,
)
def test_windows_that_are_apart_are_one_tournament(size: Any, stride: Any, dilation: Any) -> None:
    """What is left over at an end, and between windows, takes no part."""
    frame: Any = ((1, *size), (1, *stride), "VALID")

    def both(v: Array) -> Any:
        most = lax.reduce_window(v, -jnp.inf, lax.max, *frame, window_dilation=(1, *dilation))
        return most, lax.reduce_window(v, jnp.inf, lax.min, *frame, window_dilation=(1, *dilation))

    x = grid(1, 3, 13, 11)
    program, _ = record(both, [x], PAIR[:1])
    assert [e.op for e in program.eqns if e.op in ("lt", "extreme")] == ["extreme"] * 2
    compare(both, [x], PAIR[:1], 0)


def test_a_gradient_of_pooling_compares_nothing_again() -> None:
    f = lambda v: lax.reduce_window(v, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID").sum()  # noqa: E731
    program, _ = record(jax.value_and_grad(f), [ties(1)], PAIR[:1])
    compared = [e for e in program.eqns if e.op in ("lt", "eq", "maximum", "minimum")]
    assert len(compared) == 2, "a window of 2 by 2 takes two rounds"


def test_shared_pairs_are_compared_once() -> None:
    f = lambda v: lax.reduce_window(v, -jnp.inf, lax.max, (8,), (1,), "VALID")  # noqa: E731
    program, _ = record(f, [grid(1, 100)], PAIR[:1])
    sizes = [e.params["shape"] for e in program.eqns if e.op == "reshape"]
    assert len([e for e in program.eqns if e.op == "lt"]) == 3
    assert all(np.prod(s, dtype=int) <= 100 for s in sizes)


def test_other_reductions_of_windows() -> None:
    y, b = grid(1, 4, 6, lo=0.5, hi=1.5), np.random.default_rng(2).random((5, 6)) < 0.5
    k = np.random.default_rng(3).integers(-9, 9, (5, 6))
    frame = ((2, 3), (1, 2))
    low = np.iinfo(np.int64).min
    gaps = {"base_dilation": (2, 3), "window_dilation": (2, 1)}
    padded = ((1, 1), (2, 0))
    compare(
        lambda v: (
            lax.reduce_window(v, 1.0, lax.mul, *frame, "SAME"),
            lax.reduce_window(v, 2.0, lax.mul, *frame, "VALID"),
            lax.reduce_window(v, 2.0, lax.add, *frame, "VALID"),
            lax.reduce_window(v, 0.0, lax.add, *frame, padded, **gaps),
            lax.reduce_window(v, 0.0, lax.max, *frame, padded, **gaps),
        ),
        [y],
        [(0.5, 1.5)],
        8,
    )
    compare(
        lambda v: (
            lax.reduce_window(v, False, lax.bitwise_or, *frame, "SAME"),
            lax.reduce_window(v, True, lax.bitwise_and, *frame, "SAME"),
            lax.reduce_window(v, False, lax.max, *frame, "SAME"),
        ),
        [b],
        [(0, 1)],
        0,
    )
    compare(
        lambda v: (
            lax.reduce_window(v, 0, lax.add, *frame, "SAME"),
            lax.reduce_window(v, low, lax.max, *frame, "SAME"),
            lax.reduce_window(v, -3, lax.max, *frame, "SAME"),
            lax.reduce_window(v, 1, lax.mul, (2, 2), (1, 2), "SAME"),
        ),
        [k],
        [(-9, 9)],
        0,
    )
    compare(
        lambda v: lax.reduce_window(v, -jnp.inf, lax.max, *frame, "VALID"), [np.zeros((0, 4))], PAIR[:1], 0
    )
    # Averages as network libraries write them: sums over counts.
    compare(
        lambda v: (
            lax.reduce_window(v, 0.0, lax.add, *frame, "SAME")
            / lax.reduce_window(jnp.ones_like(v), 0.0, lax.add, *frame, "SAME")
        ),
        [y],
        [(0.5, 1.5)],
        2,
    )


REFUSED: dict[str, tuple[Any, str]] = {
    "padding_alone": (
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), ((3, 0), (0, 0))),
        "padding",
    ),
    "padded_start": (lambda x: lax.reduce_window(x, 1.0, lax.add, (2, 2), (1, 1), "SAME"), "initial value"),
    "function": (
        lambda x: lax.reduce_window(x, 0.0, lambda a, b: a + 2 * b, (2, 2), (1, 1), "SAME"),
        "reduce_window",
    ),
    "secret_start": (
        lambda x: lax.reduce_window(x, x[0, 0], lambda a, b: a + b, (2, 2), (1, 1), "SAME"),
        "initial value",
    ),
    "whole": (
        lambda x: lax.reduce_window(x.astype(int), 0, lax.bitwise_or, (2, 2), (1, 1), "SAME"),
        "truth values",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    f, word = REFUSED[name]
    with pytest.raises(errors.NotRealised, match=word):
        record(f, [grid(1, 4, 4)], PAIR[:1])


def test_a_convolution_that_may_overflow_is_refused() -> None:
    from tacit.array.ranges import fit

    program, _ = record(
        lambda x, w: lax.conv(x, w, (1, 1), "SAME"), [grid(1, 1, 1, 9, 9)] * 2, [(-1e15, 1e15)] * 2
    )
    with pytest.raises(errors.RangeError, match=r"conv of values"):
        fit(program)


# -- a small network ----------------------------------------------------------------------------------------


def network(params: Any, x: Array) -> Array:
    """Two convolutions, each rectified and pooled, and two dense layers."""
    for w, b in params[:2]:
        x = jax.nn.relu(lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=NHWC) + b)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    (w, b), (v, c) = params[2:]
    return jax.nn.relu(x.reshape(x.shape[0], -1) @ w + b) @ v + c


def weights(first: int, second: int, dense: int) -> Any:
    """Return parameters for images of 28 × 28."""
    sizes = [(5, 5, 1, first), (5, 5, first, second), (16 * second, dense), (dense, 10)]
    spread = [float(np.prod(s[:-1])) ** -0.5 for s in sizes]
    return [
        (grid(i, *s, lo=-h, hi=h), grid(9 + i, s[-1], lo=-h, hi=h))
        for i, (s, h) in enumerate(zip(sizes, spread, strict=True))
    ]


def trained(params: Any, x: Array, y: Array) -> Any:
    """Take one step of gradient descent; weights stay within ±1."""

    def loss(p: Any) -> Array:
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(network(p, x)) * y, 1))

    return jax.tree_util.tree_map(lambda p, d: jnp.clip(p - 0.1 * d, -1, 1), params, jax.grad(loss)(params))


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
def test_a_small_convolutional_network_predicts_and_learns(protocol: str) -> None:
    leaves, tree = jax.tree_util.tree_flatten(weights(4, 6, 20))
    x, y = grid(20, 4, 28, 28, 1, lo=0, hi=1), np.eye(10)[[3, 1, 4, 1]]
    bounds = [(0, 1), (0, 1), *[(-1, 1)] * len(leaves)]

    def both(x: Array, y: Array, *held: Array) -> Any:
        params = jax.tree_util.tree_unflatten(tree, held)
        return network(params, x), trained(params, x, y)

    compare(both, [x, y, *leaves], bounds, 24, protocol, hide=False)
