"""MPyC's party: Shamir sharing among processes, secure fixed-point arrays of 64 bits with 16 fractional bits."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.party import Array, Engine

Values = dict[str, Any]


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
        self.fixed = mpc.SecFxp(64, 16)

    def prepare(self, program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> None:
        """Choose the function."""
        if program not in PROGRAMS:
            raise NotImplementedError(f"no driver of MPyC for {program}")
        self.fn = PROGRAMS[program](params)
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
    """Return sum, mean, variance and covariance of pooled columns."""
    x = mpc.np_concatenate([v["x0"], v["x1"], v["x2"]])
    y = mpc.np_concatenate([v["y0"], v["y1"], v["y2"]])
    n = len(x)
    mean, other = mpc.np_sum(x) / n, mpc.np_sum(y) / n
    return [mpc.np_sum(x), mean, mpc.np_sum(x * x) / n - mean * mean, mpc.np_sum(x * y) / n - mean * other]


PROGRAMS: dict[str, Callable[[dict[str, Any]], Callable[[Any, Values], list[Any]]]] = {
    "multiply": lambda p: lambda mpc, v: [v["x"] * v["y"]],
    "negative": lambda p: lambda mpc, v: [v["x"] < 0],
    "relu": lambda p: lambda mpc, v: [mpc.np_maximum(v["x"], 0)],
    "matmul": lambda p: lambda mpc, v: [v["x"] @ v["y"]],
    "reciprocal": lambda p: lambda mpc, v: [1 / v["x"]],
    "sort": lambda p: lambda mpc, v: [mpc.np_sort(v["x"])],
    "max": lambda p: lambda mpc, v: [mpc.np_amax(v["x"])],
    "argmax": lambda p: lambda mpc, v: [mpc.np_argmax(v["x"])],
    "statistics": lambda p: statistics,
}


def make(rank: int, folder: Path) -> Engine:
    """Return the engine."""
    os.environ["MPYC_NONUMPY"] = "0"
    return Mpyc(rank, folder)
