"""The workloads in jax.numpy, as a user writes them: Tacit and SPU run the same text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from bench.rig.networks import NETWORKS, Network
from jax import lax

Program = Callable[..., Any]


def bounded(x: Any, lo: float, hi: float) -> Any:
    """State the range of a value. Tacit's driver puts tacit.assume here; an engine that proves nothing needs none."""
    return x


@jax.custom_vjp
def steady(z: Any) -> Any:
    """Return z; its derivative is stated to stay within 4, as runs in the clear show."""
    return z


def _steady_forward(z: Any) -> tuple[Any, None]:
    return z, None


def _steady_backward(_: None, g: Any) -> tuple[Any]:
    return (bounded(g, -4, 4),)


steady.defvjp(_steady_forward, _steady_backward)


def statistics(v: dict[str, Any]) -> Any:
    """Return sum, mean, variance and covariance of pooled columns."""
    x = jnp.concatenate([v["x0"], v["x1"], v["x2"]])
    y = jnp.concatenate([v["y0"], v["y1"], v["y2"]])
    # As moments, not jnp.var: sums of products are what each owner can add up alone.
    variance = (x * x).mean() - x.mean() ** 2
    covariance = (x * y).mean() - x.mean() * y.mean()
    return [x.sum(), x.mean(), variance, covariance]


def regression(p: dict[str, Any]) -> Program:
    """Return gradient descent from zero weights."""

    def run(v: dict[str, Any]) -> Any:
        batch = p.get("batch", p["rows"])
        w = jnp.zeros(p["cols"])
        for _ in range(p["epochs"]):
            for at in range(0, p["rows"] - batch + 1, batch):
                x, y = v["x"][at : at + batch], v["y"][at : at + batch]
                w = w - x.T @ (jax.nn.sigmoid(x @ w) - y) * (p["rate"] / batch)
        return [w]

    return run


def forward(net: Network, v: dict[str, Any], x: Any, reach: float = 0.0) -> Any:
    """Return the scores of a batch of images; `reach` is known to bound every layer's sums."""

    def within(z: Any) -> Any:
        return steady(bounded(z, -reach, reach)) if reach else z

    for i, c in enumerate(net.convs):
        x = lax.conv_general_dilated(x, v[f"k{i}"], (c.stride, c.stride), [(c.pad, c.pad)] * 2)
        x = within(x + v[f"kb{i}"].reshape(1, -1, 1, 1))
        if c.pool:
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        x = jnp.maximum(x, 0)
    x = x.reshape(x.shape[0], -1)
    for i in range(len(net.dense)):
        x = within(x @ v[f"w{i}"] + v[f"b{i}"])
        x = jnp.maximum(x, 0) if i + 1 < len(net.dense) else x
    return x


def predict(p: dict[str, Any]) -> Program:
    """Return the scores of images."""
    return lambda v: [forward(NETWORKS[p["net"]], v, v["x"])]


def train(p: dict[str, Any]) -> Program:
    """Return gradient descent on the mean cross-entropy."""
    net = NETWORKS[p["net"]]
    bounds = net.bounds()

    def loss(weights: dict[str, Any], x: Any, y: Any) -> Any:
        scores = forward(net, weights, x, reach=16)
        return -(jax.nn.log_softmax(scores) * y).sum() * (1 / p["batch"])

    def run(v: dict[str, Any]) -> Any:
        weights = {name: v[name] for name, _ in net.shapes()}
        for at in range(0, p["batch"] * p["steps"], p["batch"]):
            x, y = v["x"][at : at + p["batch"]], v["y"][at : at + p["batch"]]
            g = jax.grad(loss)(weights, x, y)
            # What descent keeps weights within is known from running it in the clear, not from intervals.
            weights = {
                n: bounded(w - p["rate"] * g[n], -2 * bounds[n], 2 * bounds[n]) for n, w in weights.items()
            }
        return [weights[name] for name, _ in net.shapes()]

    return run


PROGRAMS: dict[str, Callable[[dict[str, Any]], Program]] = {
    "multiply": lambda p: lambda v: [v["x"] * v["y"]],
    "negative": lambda p: lambda v: [v["x"] < 0],
    "relu": lambda p: lambda v: [jnp.maximum(v["x"], 0)],
    "matmul": lambda p: lambda v: [v["x"] @ v["y"]],
    "exp": lambda p: lambda v: [jnp.exp(v["x"])],
    "log": lambda p: lambda v: [jnp.log(v["x"])],
    "sqrt": lambda p: lambda v: [jnp.sqrt(v["x"])],
    "rsqrt": lambda p: lambda v: [lax.rsqrt(v["x"])],
    "reciprocal": lambda p: lambda v: [1 / v["x"]],
    "sigmoid": lambda p: lambda v: [jax.nn.sigmoid(v["x"])],
    "tanh": lambda p: lambda v: [jnp.tanh(v["x"])],
    "sort": lambda p: lambda v: [jnp.sort(v["x"])],
    "max": lambda p: lambda v: [v["x"].max()],
    "argmax": lambda p: lambda v: [jnp.argmax(v["x"])],
    "statistics": lambda p: statistics,
    "regression": regression,
    "predict": predict,
    "train": train,
}
