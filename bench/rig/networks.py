"""The networks: layers as data, random weights by seed, and forward and training steps in NumPy float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution: kernels of size x size, then optionally a maximum over 2 x 2, then ReLU."""

    channels: int
    size: int
    stride: int = 1
    pad: int = 0
    pool: bool = True


@dataclass(frozen=True, slots=True)
class Network:
    """Convolutions on a 28 x 28 image, then dense layers with ReLU between them."""

    name: str
    title: str
    convs: tuple[Conv, ...]
    dense: tuple[int, ...]
    steps: int
    """Minibatches of 128 in the training workload."""

    def shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return the weights' names and shapes."""
        out: list[tuple[str, tuple[int, ...]]] = []
        depth, side = 1, 28
        for i, c in enumerate(self.convs):
            out += [(f"k{i}", (c.channels, depth, c.size, c.size)), (f"kb{i}", (c.channels,))]
            depth = c.channels
            side = (side + 2 * c.pad - c.size) // c.stride + 1
            side = side // 2 if c.pool else side
        width = depth * side * side
        for i, n in enumerate(self.dense):
            out += [(f"w{i}", (width, n)), (f"b{i}", (n,))]
            width = n
        return out

    def bounds(self) -> dict[str, float]:
        """Return the public bound of each weight: a power of two above four standard deviations."""
        return {name: 2.0 ** int(np.ceil(np.log2(4 * _spread(name, shape)))) for name, shape in self.shapes()}


def _spread(name: str, shape: tuple[int, ...]) -> float:
    """Return the standard deviation of a weight at the start: He's for weights, little for the rest."""
    if len(shape) == 1:
        return 0.05
    return float(np.sqrt(2 / (np.prod(shape[1:]) if name.startswith("k") else shape[0])))


NETWORKS = {
    n.name: n
    for n in (
        Network("mlp", "MLP 784-128-128-10 (A)", (), (128, 128, 10), 10),
        Network("chameleon", "one convolution, 980-100-10 (B)", (Conv(5, 5, 2, 2, False),), (100, 10), 1),
        Network("cnn", "CNN 16-16-100-10 (C)", (Conv(16, 5), Conv(16, 5)), (100, 10), 1),
        Network("lenet", "LeNet 20-50-500-10 (D)", (Conv(20, 5), Conv(50, 5)), (500, 10), 1),
    )
}


def inputs(rng: np.random.Generator, p: dict[str, Any]) -> dict[str, Any]:
    """Make images, one-hot labels (when training) and weights of one network."""
    from bench.rig.workloads import Data, grid

    net = NETWORKS[p["net"]]
    count = p["batch"] * p.get("steps", 1)
    # Images as normalised MNIST has them: most of the surface is background.
    images = grid(
        np.where(rng.uniform(size=(count, 1, 28, 28)) < 0.8, 0, rng.uniform(size=(count, 1, 28, 28)))
    )
    out = {"x": Data(images, 0, 1)}
    if "steps" in p:
        out["y"] = Data(np.eye(10)[rng.integers(0, 10, count)], 0, 1)
    bounds = net.bounds()
    for name, shape in net.shapes():
        b = bounds[name]
        out[name] = Data(grid(np.clip(rng.normal(0, _spread(name, shape), shape), -b, b)), -b, b)
    return out


def predict(v: Mapping[str, Array], p: dict[str, Any]) -> list[Array]:
    """Return the ten scores of each image."""
    return [_forward(NETWORKS[p["net"]], v, v["x"])[0]]


def train(v: Mapping[str, Array], p: dict[str, Any]) -> list[Array]:
    """Return the weights after steps of gradient descent on the mean cross-entropy, in order."""
    net = NETWORKS[p["net"]]
    weights = {name: v[name] for name, _ in net.shapes()}
    for at in range(0, len(v["x"]), p["batch"]):
        x, y = v["x"][at : at + p["batch"]], v["y"][at : at + p["batch"]]
        gradients = _gradients(net, weights, x, y)
        weights = {n: w - p["rate"] * gradients[n] for n, w in weights.items()}
    return list(weights.values())


def windows(x: Array, c: Conv) -> Array:
    """Return the patches, (images, rows, columns, channels x size x size)."""
    x = np.pad(x, ((0, 0), (0, 0), (c.pad, c.pad), (c.pad, c.pad)))
    w = np.lib.stride_tricks.sliding_window_view(x, (c.size, c.size), axis=(2, 3))[
        :, :, :: c.stride, :: c.stride
    ]
    return w.transpose(0, 2, 3, 1, 4, 5).reshape(w.shape[0], w.shape[2], w.shape[3], -1)


def _forward(net: Network, v: Mapping[str, Array], x: Array) -> tuple[Array, list[Any]]:
    """Return the scores, and what the backward pass needs of every layer."""
    kept: list[Any] = []
    for i, c in enumerate(net.convs):
        patches = windows(x, c)
        z = (patches @ v[f"k{i}"].reshape(c.channels, -1).T + v[f"kb{i}"]).transpose(0, 3, 1, 2)
        first = None
        if c.pool:
            n, d, h, w = z.shape
            blocks = (
                z.reshape(n, d, h // 2, 2, w // 2, 2)
                .transpose(0, 1, 2, 4, 3, 5)
                .reshape(n, d, h // 2, w // 2, 4)
            )
            first = blocks.argmax(-1)
            z = blocks.max(-1)
        kept.append((x.shape, patches, first, z > 0))
        x = np.maximum(z, 0)
    kept.append(x.shape)
    x = x.reshape(len(x), -1)
    for i in range(len(net.dense)):
        z = x @ v[f"w{i}"] + v[f"b{i}"]
        kept.append((x, z > 0))
        x = np.maximum(z, 0) if i + 1 < len(net.dense) else z
    return x, kept


def _gradients(net: Network, v: Mapping[str, Array], x: Array, y: Array) -> dict[str, Array]:
    scores, kept = _forward(net, v, x)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    g = (e / e.sum(axis=1, keepdims=True) - y) / len(x)
    out: dict[str, Array] = {}
    for i in range(len(net.dense) - 1, -1, -1):
        below, positive = kept[len(net.convs) + 1 + i]
        if i + 1 < len(net.dense):
            g = g * positive
        out[f"w{i}"], out[f"b{i}"] = below.T @ g, g.sum(axis=0)
        g = g @ v[f"w{i}"].T
    g = g.reshape(kept[len(net.convs)])
    for i in range(len(net.convs) - 1, -1, -1):
        c = net.convs[i]
        shape, patches, first, positive = kept[i]
        g = g * positive
        if first is not None:
            n, d, h, w = g.shape
            blocks = np.zeros((n, d, h, w, 4))
            np.put_along_axis(blocks, first[..., None], g[..., None], axis=-1)
            g = blocks.reshape(n, d, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, d, 2 * h, 2 * w)
        out[f"kb{i}"] = g.sum(axis=(0, 2, 3))
        flat = g.transpose(0, 2, 3, 1)
        out[f"k{i}"] = np.einsum("nhwd,nhwp->dp", flat, patches, optimize=True).reshape(v[f"k{i}"].shape)
        if i:
            g = _fold(flat @ v[f"k{i}"].reshape(c.channels, -1), shape, c)
    return out


def _fold(patches: Array, shape: tuple[int, ...], c: Conv) -> Array:
    """Add patches back to where they came from."""
    n, d, h, w = shape
    out = np.zeros((n, d, h + 2 * c.pad, w + 2 * c.pad))
    rows, cols = patches.shape[1:3]
    parts = patches.reshape(n, rows, cols, d, c.size, c.size)
    for a in range(c.size):
        for b in range(c.size):
            out[:, :, a : a + rows * c.stride : c.stride, b : b + cols * c.stride : c.stride] += parts[
                :, :, :, :, a, b
            ].transpose(0, 3, 1, 2)
    return out[:, :, c.pad : c.pad + h, c.pad : c.pad + w]
