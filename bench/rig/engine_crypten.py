"""CrypTen's party: its defaults (Beaver triples from the trusted first party), processes linked by gloo.

CrypTen 0.4.1 imports `torch.onnx._internal.registration`, which newer versions of torch no longer have; only its ONNX
importer uses it. An empty module takes its place; networks are built from tensors, without that importer.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.networks import NETWORKS
from bench.rig.party import Array, Engine

Values = dict[str, Any]


def load_crypten() -> Any:
    """Import CrypTen beside a torch without the old ONNX registry."""
    absent = types.ModuleType("torch.onnx._internal.registration")
    absent.registry = None  # type: ignore[attr-defined]
    sys.modules.setdefault(absent.__name__, absent)
    import crypten

    return crypten


class CrypTen(Engine):
    """One party."""

    def connect(self, cards: list[dict[str, Any]]) -> None:
        """Join the process group."""
        import torch

        torch.set_num_threads(1)
        os.environ.update(
            WORLD_SIZE="3",
            RANK=str(self.rank),
            DISTRIBUTED_BACKEND="gloo",
            RENDEZVOUS=f"file://{self.folder}/rendezvous",
            GLOO_SOCKET_IFNAME="lo",
        )
        self.crypten = load_crypten()
        if any("relay" in c for c in cards):
            from bench.rig.gloo_relay import through_relays

            through_relays(cards, self.rank, self.folder)
        self.crypten.init()
        # Only then does CrypTen count rounds; the count costs microseconds.
        self.crypten.config.cfg.communicator.verbose = True

    def prepare(self, program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> None:
        """Choose the function."""
        if program not in PROGRAMS:
            raise NotImplementedError(f"CrypTen has no {program}")
        self.fn = PROGRAMS[program](params)
        self.arrays, self.inputs = self.values(inputs), inputs
        self.results: list[Any] = []

    def share(self) -> None:
        """Share every input."""
        import torch

        owners = ("alice", "bob", "carol")
        self.shared = {}
        for name, spec in self.inputs.items():
            source = owners.index(spec["owner"]) if spec["owner"] else 0
            tensor = torch.from_numpy(self.arrays[name])
            self.shared[name] = self.crypten.cryptensor(tensor, src=source)
        self.arrays = {}

    def run(self) -> None:
        """Compute."""
        self.results = self.fn(dict(self.shared))

    def output(self) -> list[Array]:
        """Open to everybody."""
        found = [np.asarray(r.get_plain_text()) for r in self.results]
        self.results = []
        return found

    def meter(self) -> dict[str, float]:
        """Return the communicator's count of rounds."""
        return {"rounds": self.crypten.comm.get().get_communication_stats()["rounds"]}


def statistics(v: Values) -> list[Any]:
    """Return sum, mean, variance and covariance of pooled columns."""
    import crypten

    x = crypten.cat([v["x0"], v["x1"], v["x2"]])
    y = crypten.cat([v["y0"], v["y1"], v["y2"]])
    covariance = (x * y).mean() - x.mean() * y.mean()
    return [x.sum(), x.mean(), (x * x).mean() - x.mean() * x.mean(), covariance]


def regression(p: dict[str, Any]) -> Callable[[Values], list[Any]]:
    """Return gradient descent from zero weights."""

    def run(v: Values) -> list[Any]:
        import crypten
        import torch

        batch = p.get("batch", p["rows"])
        w = crypten.cryptensor(torch.zeros(p["cols"]))
        for _ in range(p["epochs"]):
            for at in range(0, p["rows"] - batch + 1, batch):
                x, y = v["x"][at : at + batch], v["y"][at : at + batch]
                w = w - x.t().matmul(x.matmul(w).sigmoid() - y) * (p["rate"] / batch)
        return [w]

    return run


def forward(net: Any, v: Values, x: Any) -> Any:
    """Return the scores of a batch of images."""
    for i, c in enumerate(net.convs):
        x = x.conv2d(v[f"k{i}"], stride=c.stride, padding=c.pad) + v[f"kb{i}"].view(1, -1, 1, 1)
        if c.pool:
            x = x.max_pool2d(2)
        x = x.relu()
    x = x.view(x.size(0), -1)
    for i in range(len(net.dense)):
        x = x.matmul(v[f"w{i}"]) + v[f"b{i}"]
        x = x.relu() if i + 1 < len(net.dense) else x
    return x


def predict(p: dict[str, Any]) -> Callable[[Values], list[Any]]:
    """Return the scores of images."""
    return lambda v: [forward(NETWORKS[p["net"]], v, v["x"])]


def train(p: dict[str, Any]) -> Callable[[Values], list[Any]]:
    """Return gradient descent on the mean cross-entropy, by CrypTen's own derivatives."""
    net = NETWORKS[p["net"]]

    def run(v: Values) -> list[Any]:
        names = [name for name, _ in net.shapes()]
        weights = {n: v[n].clone() for n in names}
        for at in range(0, p["batch"] * p["steps"], p["batch"]):
            x, y = v["x"][at : at + p["batch"]], v["y"][at : at + p["batch"]]
            for w in weights.values():
                w.requires_grad = True
            forward(net, weights, x).cross_entropy(y).backward()
            for n, w in weights.items():
                new = w.detach() - w.grad * p["rate"]
                weights[n] = new
        return [weights[n] for n in names]

    return run


PROGRAMS: dict[str, Callable[[dict[str, Any]], Callable[[Values], list[Any]]]] = {
    "multiply": lambda p: lambda v: [v["x"] * v["y"]],
    "negative": lambda p: lambda v: [v["x"] < 0],
    "relu": lambda p: lambda v: [v["x"].relu()],
    "matmul": lambda p: lambda v: [v["x"].matmul(v["y"])],
    "exp": lambda p: lambda v: [v["x"].exp()],
    "log": lambda p: lambda v: [v["x"].log()],
    "sqrt": lambda p: lambda v: [v["x"].sqrt()],
    "rsqrt": lambda p: lambda v: [v["x"].inv_sqrt()],
    "reciprocal": lambda p: lambda v: [v["x"].reciprocal()],
    "sigmoid": lambda p: lambda v: [v["x"].sigmoid()],
    "tanh": lambda p: lambda v: [v["x"].tanh()],
    "max": lambda p: lambda v: [v["x"].max()],
    "argmax": lambda p: lambda v: [v["x"].argmax(one_hot=False)],
    "statistics": lambda p: statistics,
    "regression": regression,
    "predict": predict,
    "train": train,
}


def make(rank: int, folder: Path) -> Engine:
    """Return the engine."""
    return CrypTen(rank, folder)
