"""MPyC's party: Shamir sharing among processes, secure fixed-point arrays of 64 bits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.networks import NETWORKS, Conv, windows
from bench.rig.party import Array, Engine

Values = dict[str, Any]
WIDTH = 64
FRACTION = {"reciprocal": 32}
"""Fractional bits where not 16: the reciprocal scales by 2^(f - 63), which is 0 unless f, too, is about half of 64."""


class Mpyc(Engine):
    """One party."""

    def connect(self, cards: list[dict[str, Any]]) -> None:
        """Start MPyC's runtime; it reads its parties from the command line."""
        ports = [self.port if i == self.rank else c["port"] for i, c in enumerate(cards)]
        addresses = [a for p in ports for a in ("-P", f"127.0.0.1:{p}")]
        sys.argv = ["mpyc", *addresses, "-I", str(self.rank), "--no-log"]
        from mpyc.runtime import mpc

        self.mpc = mpc
        mpc.run(mpc.start())

    def prepare(self, program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> None:
        """Choose the function."""
        if program in ABSENT:
            raise NotImplementedError(f"MPyC 0.11 has no {ABSENT[program]}")
        self.fn = PROGRAMS[program](params)
        self.fixed = self.mpc.SecFxp(WIDTH, FRACTION.get(program, 16))
        self.arrays, self.inputs = self.values(inputs), inputs

    def share(self) -> None:
        """Share every input."""
        self.shared = {}
        for name, array in self.arrays.items():
            owner = self.inputs[name]["owner"]
            sender = ("alice", "bob", "carol").index(owner) if owner else 0
            shares = self.mpc.input(self.fixed.array(array), senders=sender)
            self.shared[name] = self.mpc.run(_settled(self.mpc, shares))

    def run(self) -> None:
        """Compute, and wait until this party's shares are there."""
        self.results = [self.mpc.run(_settled(self.mpc, r)) for r in self.fn(self.mpc, dict(self.shared))]

    def output(self) -> list[Array]:
        """Open to everybody."""
        return [np.asarray(self.mpc.run(self.mpc.output(r)), np.float64) for r in self.results]


async def _settled(mpc: Any, x: Any) -> Any:
    await mpc.gather(x)
    return x


def statistics(mpc: Any, v: Values) -> list[Any]:
    """Return sum, mean, variance and covariance of pooled columns; sums of products are inner products."""
    x = mpc.np_concatenate([v["x0"], v["x1"], v["x2"]])
    y = mpc.np_concatenate([v["y0"], v["y1"], v["y2"]])
    n = len(x)
    e = n.bit_length() - 1

    def mean(total: Any) -> Any:
        # As mpyc.statistics.mean does, since 1 / n has few digits after the point; 2^-e in two steps has any at all.
        return total * (2**e / n) * 2.0 ** -(e // 2) * 2.0 ** -(e - e // 2)

    total = mpc.np_sum(x)
    center, other = mean(total), mean(mpc.np_sum(y))
    return [total, center, mean(x @ x) - center * center, mean(x @ y) - center * other]


def relu(x: Any) -> Any:
    """Return x where it is positive, as MPyC's demonstration of a network does it."""
    return (x >= 0) * x


def convolution(mpc: Any, x: Any, kernel: Any, bias: Any, c: Conv) -> Any:
    """Return a convolution as a product with patches; what lies outside of the image is one more value, a zero."""
    count, depth, height, width = x.shape
    inside = np.arange(depth * height * width).reshape(1, depth, height, width)
    at = windows(np.pad(inside + 1, ((0, 0), (0, 0), (c.pad, c.pad), (c.pad, c.pad))) - 1, replace(c, pad=0))[
        0
    ]
    flat = mpc.np_reshape(x, (count, -1))
    if c.pad:
        flat = mpc.np_concatenate([flat, type(x)(np.zeros((count, 1), int))], axis=1)
    rows, columns, taps = at.shape
    patches = mpc.np_reshape(flat[:, at.reshape(-1)], (count * rows * columns, taps))
    z = patches @ mpc.np_transpose(mpc.np_reshape(kernel, (c.channels, taps))) + bias
    return mpc.np_transpose(mpc.np_reshape(z, (count, rows, columns, c.channels)), (0, 3, 1, 2))


def predict(p: dict[str, Any]) -> Callable[[Any, Values], list[Any]]:
    """Return the scores of images."""
    net = NETWORKS[p["net"]]

    def run(mpc: Any, v: Values) -> list[Any]:
        x = v["x"]
        for i, c in enumerate(net.convs):
            x = convolution(mpc, x, v[f"k{i}"], v[f"kb{i}"], c)
            if c.pool:
                x = mpc.np_maximum(x[:, :, ::2, :], x[:, :, 1::2, :])
                x = mpc.np_maximum(x[:, :, :, ::2], x[:, :, :, 1::2])
            x = relu(x)
        x = mpc.np_reshape(x, (p["batch"], -1))
        for i in range(len(net.dense)):
            x = x @ v[f"w{i}"] + v[f"b{i}"]
            x = relu(x) if i + 1 < len(net.dense) else x
        return [x]

    return run


PROGRAMS: dict[str, Callable[[dict[str, Any]], Callable[[Any, Values], list[Any]]]] = {
    "multiply": lambda p: lambda mpc, v: [v["x"] * v["y"]],
    "negative": lambda p: lambda mpc, v: [v["x"] < 0],
    "relu": lambda p: lambda mpc, v: [relu(v["x"])],
    "matmul": lambda p: lambda mpc, v: [v["x"] @ v["y"]],
    "reciprocal": lambda p: lambda mpc, v: [1 / v["x"]],
    "sort": lambda p: lambda mpc, v: [mpc.np_sort(v["x"])],
    "max": lambda p: lambda mpc, v: [mpc.np_amax(v["x"])],
    "argmax": lambda p: lambda mpc, v: [mpc.np_argmax(v["x"])],
    "statistics": lambda p: statistics,
    "predict": predict,
}
ABSENT = {
    "exp": "exponential function",
    "log": "logarithm",
    "sqrt": "square root of arrays (its statistics have a private one of single numbers)",
    "rsqrt": "square root of arrays (its statistics have a private one of single numbers)",
    "sigmoid": "sigmoid",
    "tanh": "hyperbolic tangent",
    "regression": "sigmoid, which logistic regression needs",
    "train": "exponential function, which the gradient of cross-entropy needs",
}
"""What MPyC 0.11 does not offer, by the program that would need it."""


def make(rank: int, folder: Path) -> Engine:
    """Return the engine."""
    os.environ["MPYC_NONUMPY"] = "0"
    return Mpyc(rank, folder)
