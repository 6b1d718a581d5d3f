"""Whole programs in ordinary JAX code, each with data of a given size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from whole import Given

Array = Any
Made = tuple[Callable[..., Any], dict[str, Given]]


# -- logistic regression --------------------------------------------------------------------------------------


def full_batch(x: Array, y: Array, steps: int) -> Array:
    """Gradient descent on all rows."""

    def loss(w: Array) -> Array:
        z = x @ w
        return jnp.mean(jax.nn.softplus(z) - y * z)

    return lax.fori_loop(0, steps, lambda _, w: w - jax.grad(loss)(w), jnp.zeros(x.shape[1]))


def minibatches(x: Array, y: Array, batch: int, epochs: int) -> Array:
    """Gradient descent on consecutive batches, several times over."""
    n, d = x.shape
    xs, ys = x.reshape(n // batch, batch, d), y.reshape(n // batch, batch)

    def step(w: Array, rows: tuple[Array, Array]) -> tuple[Array, None]:
        a, b = rows
        return w - 0.5 * a.T @ (jax.nn.sigmoid(a @ w) - b) / batch, None

    def epoch(_: int, w: Array) -> Array:
        return lax.scan(step, w, (xs, ys))[0]

    return lax.fori_loop(0, epochs, epoch, jnp.zeros(d))


def labelled(n: int, d: int, seed: int = 0) -> tuple[Any, Any]:
    """Return rows in [-1, 1] and labels that a linear rule explains in part."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (n, d))
    y = (x @ rng.normal(size=d) + rng.normal(size=n) > 0).astype(float)
    return x, y


def logistic(n: int, d: int, steps: int) -> Made:
    x, y = labelled(n, d)
    return partial(full_batch, steps=steps), {"x": Given(x, -1, 1), "y": Given(y, 0, 1)}


def logistic_columns(n: int, d: int, steps: int) -> Made:
    """The same rows at every owner, other columns; one of them has the labels."""
    x, y = labelled(n, d)
    return partial(full_batch, steps=steps), {
        "x": Given(x, -1, 1, axis=1),
        "y": Given(y, 0, 1, owners=["bob"]),
    }


def logistic_batches(n: int, d: int, batch: int, epochs: int) -> Made:
    x, y = labelled(n, d)
    return partial(minibatches, batch=batch, epochs=epochs), {"x": Given(x, -1, 1), "y": Given(y, 0, 1)}


# -- a network ------------------------------------------------------------------------------------------------


def forward(params: Any, x: Array) -> Array:
    """Return logits of a network with rectified layers."""
    *inner, (w, b) = params
    for v, c in inner:
        x = jax.nn.relu(x @ v + c)
    return x @ w + b


def train(x: Array, y: Array, params: Any, batch: int, rate: float, limit: float) -> Any:
    """Train for one epoch; weights stay within ±limit, which keeps every range finite."""

    def loss(p: Any, a: Array, labels: Array) -> Array:
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(forward(p, a)) * labels, axis=1))

    def step(p: Any, rows: tuple[Array, Array]) -> tuple[Any, None]:
        g = jax.grad(loss)(p, *rows)
        return jax.tree_util.tree_map(lambda v, d: jnp.clip(v - rate * d, -limit, limit), p, g), None

    n = x.shape[0] // batch
    return lax.scan(step, params, (x.reshape(n, batch, -1), y.reshape(n, batch, -1)))[0]


def network(n: int, sizes: tuple[int, ...], batch: int) -> Made:
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (n, sizes[0])) * (rng.random((n, sizes[0])) < 0.2)
    y = np.eye(sizes[-1])[rng.integers(0, sizes[-1], n)]
    params = [(rng.uniform(-1, 1, (a, b)) * (3 / a) ** 0.5 / 2, np.zeros(b)) for a, b in pairwise(sizes)]
    return partial(train, params=params, batch=batch, rate=0.2, limit=1.0), {
        "x": Given(x, 0, 1),
        "y": Given(y, 0, 1),
    }


def lenet(x: Array, *params: Array) -> Array:
    """Two convolutions of 5 × 5, each pooled and rectified, and two dense layers, as LeNet has them."""
    for w in params[:2]:
        x = lax.conv_general_dilated(x, w, (1, 1), "VALID")
        x = jax.nn.relu(lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"))
    return jax.nn.relu(x.reshape(x.shape[0], -1) @ params[2]) @ params[3]


def convolutional(n: int, channels: int, dense: int) -> Made:
    """Images of one owner, 28 × 28, and weights of another."""
    rng = np.random.default_rng(2)
    sizes = [(channels, 1, 5, 5), (channels, channels, 5, 5), (16 * channels, dense), (dense, 10)]
    fans = [25, 25 * channels, 16 * channels, dense]
    weights = {
        f"w{i}": Given(rng.uniform(-1, 1, s) * (3 / fan) ** 0.5, -((3 / fan) ** 0.5), (3 / fan) ** 0.5)
        for i, (s, fan) in enumerate(zip(sizes, fans, strict=True))
    }
    return lenet, {"x": Given(rng.uniform(0, 1, (n, 1, 28, 28)), 0, 1), **weights}


# -- clusters, components, roots ------------------------------------------------------------------------------


def lloyd(x: Array, start: Array, steps: int) -> Array:
    """k-means from given centres; an empty cluster keeps its centre."""

    def step(_: int, c: Array) -> Array:
        d = jnp.sum(c * c, 1) - 2 * x @ c.T
        near = jax.nn.one_hot(jnp.argmin(d, 1), c.shape[0])
        count = near.sum(0)[:, None]
        moved = jnp.clip((near.T @ x) / jnp.maximum(count, 1), -1, 1)
        return jnp.where(count > 0, moved, c)

    return lax.fori_loop(0, steps, step, start)


def clusters(n: int, d: int, k: int, steps: int) -> Made:
    rng = np.random.default_rng(2)
    middles = rng.uniform(-0.8, 0.8, (k, d))
    x = np.clip(middles[rng.integers(0, k, n)] + 0.1 * rng.normal(size=(n, d)), -1, 1)
    return partial(lloyd, start=x[:k] * 0.9, steps=steps), {"x": Given(x, -1, 1)}


def leading(x: Array, steps: int) -> tuple[Array, Array]:
    """First principal component and its variance, by power iteration."""
    u = x - x.mean(0)
    c = u.T @ u / x.shape[0]

    def step(_: int, v: Array) -> Array:
        w = c @ v
        return jnp.clip(w * lax.rsqrt(jnp.maximum(jnp.sum(w * w), 1e-3)), -1, 1)

    v = lax.fori_loop(0, steps, step, jnp.full(x.shape[1], x.shape[1] ** -0.5))
    return v, v @ c @ v


def components(n: int, d: int, steps: int) -> Made:
    rng = np.random.default_rng(3)
    x = np.clip(rng.normal(size=(n, 1)) * rng.normal(size=d) * 0.4 + 0.1 * rng.normal(size=(n, d)), -1, 1)
    return partial(leading, steps=steps), {"x": Given(x, -1, 1)}


def newton(x: Array, y: Array, steps: int) -> Array:
    """Rate of a Poisson regression on one covariate by Newton's method."""

    def loss(b: Array) -> Array:
        return jnp.mean(jnp.exp(b * x) - y * b * x)

    def step(_: int, b: Array) -> Array:
        return jnp.clip(b - jax.grad(loss)(b) / jnp.maximum(jax.grad(jax.grad(loss))(b), 0.05), -2, 2)

    return lax.fori_loop(0, steps, step, jnp.zeros(()))


def rates(n: int, steps: int) -> Made:
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, n)
    y = rng.poisson(np.exp(0.7 * x)).clip(0, 15).astype(float)
    return partial(newton, steps=steps), {"x": Given(x, -1, 1), "y": Given(y, 0, 15)}


# -- order ----------------------------------------------------------------------------------------------------


def spread(x: Array) -> Array:
    """Median and quartiles."""
    return jnp.quantile(x, jnp.array([0.05, 0.25, 0.5, 0.75, 0.95]))


def quantiles(n: int) -> Made:
    rng = np.random.default_rng(5)
    return spread, {"x": Given(rng.normal(size=n).clip(-8, 8), -8, 8)}


def sales(key: Array, value: Array, most: int) -> tuple[Array, ...]:
    """Group by a secret key: sort, add up, and keep the rows where the key changes; the first `most` groups."""
    k, v = lax.sort((key, value), num_keys=1)
    last = jnp.append(k[1:] != k[:-1], True)
    _, there, k, running = (x[:most] for x in lax.sort((~last, last, k, jnp.cumsum(v)), num_keys=1))
    totals = jnp.diff(running, prepend=0.0)
    return jnp.where(there, k, -1), jnp.where(there, totals, 0.0)


def groups(n: int, k: int) -> Made:
    rng = np.random.default_rng(6)
    return partial(sales, most=k + 2), {
        "key": Given(rng.integers(0, k, n), 0, k),
        "value": Given(np.round(rng.uniform(0, 10, n), 2), 0, 10),
    }


def looked_up(left: Array, right: Array, payload: Array) -> Array:
    """Join on secret keys: for each left row the payload of the right row with its key, or -1."""
    n, m = left.shape[0], right.shape[0]
    keys = jnp.concatenate([right, left])
    is_left, places = jnp.arange(m + n) >= m, jnp.arange(m + n)
    offer = jnp.concatenate([payload + 1, jnp.zeros(n, payload.dtype)])
    k, _, places, offer = lax.sort((keys, is_left, places, offer), num_keys=2)
    # Keys ascend and each right row leads its group, so the largest so far is its offer, if the group has one.
    best = lax.cummax(k * 2048 + offer) - k * 2048
    return lax.sort((places, jnp.maximum(best, 0)), num_keys=1)[1][m:] - 1


def joined(n: int, m: int) -> Made:
    rng = np.random.default_rng(7)
    right = rng.permutation(3 * m)[:m]
    return looked_up, {
        "left": Given(rng.integers(0, 3 * m, n), 0, 3 * m, owners=["alice"]),
        "right": Given(right, 0, 3 * m, owners=["bob"]),
        "payload": Given(rng.integers(0, 1000, m), 0, 1000, owners=["bob"]),
    }


# -- a language model -------------------------------------------------------------------------------------------


def normalised(x: Array, scale: Array, offset: Array) -> Array:
    return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-3) * (1 + scale) + offset


def transformer(tokens: Array, words: Array, places: Array, *weights: Array, heads: int) -> Array:
    """Return scores of the next token: layers of causal attention and GELU, each after a normalised layer."""
    x = words[tokens] + places
    n, d = x.shape
    causal = jnp.tril(jnp.ones((n, n), bool))

    def split(a: Array) -> Array:
        return a.reshape(n, heads, d // heads).transpose(1, 0, 2)

    for at in range(0, len(weights), 8):
        query, key, value, out, up, down, scale, offset = weights[at : at + 8]
        y = normalised(x, scale, offset)
        scores = split(y @ query) @ split(y @ key).transpose(0, 2, 1) / (d // heads) ** 0.5
        seen = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), -1) @ split(y @ value)
        x = x + seen.transpose(1, 0, 2).reshape(n, d) @ out
        x = x + jax.nn.gelu(normalised(x, scale, offset) @ up) @ down
    return x[-1] @ words.T


def language(n: int, d: int, heads: int, layers: int, vocabulary: int) -> Made:
    """Tokens of one owner, weights of another."""
    rng = np.random.default_rng(3)
    names = ("query", "key", "value", "out", "up", "down", "scale", "offset")
    shapes: list[tuple[int, ...]] = [*[(d, d)] * 4, (d, 4 * d), (4 * d, d), (d,), (d,)]

    def held(*shape: int) -> Given:
        fan = shape[0] if len(shape) > 1 else d
        return Given(np.clip(rng.normal(size=shape) / np.sqrt(fan), -0.5, 0.5), -0.5, 0.5, owners=["bob"])

    weights = {f"{k}{i}": held(*s) for i in range(layers) for k, s in zip(names, shapes, strict=True)}
    return partial(transformer, heads=heads), {
        "tokens": Given(rng.integers(0, vocabulary, n), 0, vocabulary - 1, owners=["alice"]),
        "words": held(vocabulary, d),
        "places": held(n, d),
        **weights,
    }
