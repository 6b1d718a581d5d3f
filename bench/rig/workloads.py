"""What is computed: inputs by seed, their public bounds, the cleartext truth in float64. NumPy only.

Inputs lie on multiples of 2^-16, so every engine holds them exactly and an error is an error of the computation.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from bench.rig import networks

Array = npt.NDArray[Any]
UNIT = 2.0**-16
FEW = {"chameleon": 32, "cnn": 4, "lenet": 4}
"""Inputs that a peer predicts at once that is too slow, or takes too much memory, for 128."""


@dataclass(frozen=True, slots=True)
class Data:
    """One input: values, public bounds, and the party that knows it ("" if it is secret from the start)."""

    value: Array
    lo: float
    hi: float
    owner: str = ""


Make = Callable[[np.random.Generator, dict[str, Any]], dict[str, Data]]
Truth = Callable[[Mapping[str, Array], dict[str, Any]], list[Array]]


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the table. `program` names the function that every engine's driver has under that name."""

    name: str
    group: str
    program: str
    make: Make
    truth: Truth
    params: dict[str, Any]
    small: dict[str, Any]
    """Sizes for a run of seconds: the tests and the cost gates."""
    tolerance: float = 2.0**-6
    """Largest error, relative to max(1, |truth|), of a right answer."""
    tiny: dict[str, Any] = field(default_factory=dict)
    """Sizes for a peer that is too slow for the others, if not `params`."""

    @property
    def key(self) -> str:
        """Name of its file of results."""
        return re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def data(self, params: dict[str, Any] | None = None) -> dict[str, Data]:
        """Return the inputs, the same on every call."""
        seed = zlib.crc32(self.program.encode())
        return self.make(np.random.default_rng(seed), self.params if params is None else params)

    def expected(self, data: Mapping[str, Data], params: dict[str, Any] | None = None) -> list[Array]:
        """Return the truth, a list of float64 arrays."""
        values = {k: np.asarray(d.value, np.float64) for k, d in data.items()}
        found = self.truth(values, self.params if params is None else params)
        return [np.asarray(a, np.float64) for a in found]

    def error(self, got: list[Array], want: list[Array]) -> tuple[float, float]:
        """Return the largest absolute error and the largest relative to max(1, |truth|); infinite on other shapes."""
        absolute = relative = 0.0
        if len(got) != len(want):
            return np.inf, np.inf
        for g, w in zip(got, want, strict=True):
            g = np.asarray(g, np.float64)
            if g.size != w.size:
                return np.inf, np.inf
            gap = np.abs(g.reshape(w.shape) - w)
            if not np.all(np.isfinite(gap)):
                return np.inf, np.inf
            absolute = max(absolute, float(gap.max(initial=0)))
            relative = max(relative, float((gap / np.maximum(1, np.abs(w))).max(initial=0)))
        return absolute, relative

    def wrong(self, got: list[Array], want: list[Array]) -> int:
        """Return how many values miss the truth by more than the tolerance; all of them on other shapes."""
        if len(got) != len(want) or any(g.size != w.size for g, w in zip(got, want, strict=True)):
            return sum(w.size for w in want)
        count = 0
        for g, w in zip(got, want, strict=True):
            gap = np.abs(np.asarray(g, np.float64).reshape(w.shape) - w)
            count += int(np.sum(~(gap <= self.tolerance * np.maximum(1, np.abs(w)))))
        return count


def grid(a: Array) -> Array:
    """Round to multiples of 2^-16."""
    return np.round(np.asarray(a, np.float64) / UNIT) * UNIT


def uniform(*names: str, lo: float = -8, hi: float = 8, shape: Callable[..., Any] | None = None) -> Make:
    """Make arrays of n values, uniform in [lo, hi]."""

    def make(rng: np.random.Generator, p: dict[str, Any]) -> dict[str, Data]:
        size = shape(p) if shape else (p["n"],)
        return {n: Data(grid(rng.uniform(lo, hi, size)), lo, hi) for n in names}

    return make


def positive(rng: np.random.Generator, p: dict[str, Any]) -> dict[str, Data]:
    """Make n values between 0.01 and 1000, uniform in the logarithm."""
    x = np.clip(grid(np.exp(rng.uniform(np.log(0.01), np.log(1000), p["n"]))), 0.01, 1000)
    return {"x": Data(grid(x), 0.009, 1000)}


def different(rng: np.random.Generator, p: dict[str, Any]) -> dict[str, Data]:
    """Make n different values in random order."""
    x = (rng.permutation(p["n"]) - p["n"] // 2) * 2.0**-10
    bound = float(2 ** np.ceil(np.log2(np.abs(x).max() + 1)))
    return {"x": Data(x, -bound, bound)}


def columns(rng: np.random.Generator, p: dict[str, Any]) -> dict[str, Data]:
    """Make two columns of n rows for each of three owners."""
    out = {}
    for i, owner in enumerate(("alice", "bob", "carol")):
        x = rng.uniform(-4, 4, p["n"])
        y = np.clip(0.5 * x + rng.normal(0, 1, p["n"]), -8, 8)
        out[f"x{i}"] = Data(grid(x), -8, 8, owner)
        out[f"y{i}"] = Data(grid(y), -8, 8, owner)
    return out


def statistics(v: Mapping[str, Array], p: dict[str, Any]) -> list[Array]:
    """Return sum and mean of x, variance of x, covariance of x and y, over all owners' rows."""
    x = np.concatenate([v[f"x{i}"] for i in range(3)])
    y = np.concatenate([v[f"y{i}"] for i in range(3)])
    return [x.sum(), x.mean(), x.var(), ((x - x.mean()) * (y - y.mean())).mean()]


def examples(rng: np.random.Generator, p: dict[str, Any]) -> dict[str, Data]:
    """Make features in [-1, 1] and labels of a logistic model."""
    x = grid(np.clip(rng.normal(0, 0.4, (p["rows"], p["cols"])), -1, 1))
    w = rng.normal(0, 1, p["cols"])
    y = (rng.uniform(size=p["rows"]) < 1 / (1 + np.exp(-x @ w))).astype(np.float64)
    return {"x": Data(x, -1, 1), "y": Data(y, 0, 1)}


def regression(v: Mapping[str, Array], p: dict[str, Any]) -> list[Array]:
    """Return the weights after gradient descent from zero, full batches or minibatches."""
    w = np.zeros(p["cols"])
    batch = p.get("batch", p["rows"])
    for _ in range(p["epochs"]):
        for at in range(0, p["rows"] - batch + 1, batch):
            x, y = v["x"][at : at + batch], v["y"][at : at + batch]
            w = w - p["rate"] / batch * (x.T @ (1 / (1 + np.exp(-(x @ w))) - y))
    return [w]


def _n(n: int) -> str:
    power = int(np.log10(n))
    return f"10^{power}" if 10**power == n else f"{n:,}"


def elementwise() -> list[Workload]:
    """Return products, comparisons and functions."""
    out = []
    for n in (10**4, 10**6):
        out.append(Workload(f"multiply {_n(n)}", "arithmetic", "multiply", uniform("x", "y"),
                            lambda v, p: [v["x"] * v["y"]], {"n": n}, {"n": 500},
                            tiny={"n": min(n, 10**5)}))  # fmt: skip
    for n in (10**5, 10**6):
        fewer = {"n": 10**4} if n > 10**5 else {}
        out.append(Workload(f"x < 0 {_n(n)}", "comparison", "negative", uniform("x"),
                            lambda v, p: [v["x"] < 0], {"n": n}, {"n": 500}, tiny=fewer))  # fmt: skip
        out.append(Workload(f"ReLU {_n(n)}", "comparison", "relu", uniform("x"),
                            lambda v, p: [np.maximum(v["x"], 0)], {"n": n}, {"n": 500}, tiny=fewer))  # fmt: skip
    square = uniform("x", "y", lo=-1, hi=1, shape=lambda p: (p["side"], p["side"]))
    for side in (512, 1000):
        out.append(Workload(f"matrix product {side}^3", "arithmetic", "matmul", square,
                            lambda v, p: [v["x"] @ v["y"]], {"side": side}, {"side": 16},
                            tiny={"side": side if side == 512 else 256}))  # fmt: skip
    functions: list[tuple[str, Make, Callable[[Array], Array]]] = [
        ("exp", uniform("x"), np.exp),
        ("log", positive, np.log),
        ("sqrt", positive, np.sqrt),
        ("rsqrt", positive, lambda x: 1 / np.sqrt(x)),
        ("reciprocal", positive, lambda x: 1 / x),
        ("sigmoid", uniform("x"), lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", uniform("x"), np.tanh),
    ]
    for name, make, clear in functions:
        out.append(Workload(f"{name} 10^5", "functions", name, make,
                            lambda v, p, f=clear: [f(v["x"])], {"n": 10**5}, {"n": 200},
                            tiny={"n": 10**4}))  # fmt: skip
    return out


def order() -> list[Workload]:
    """Return sorting, max and argmax."""
    keys = uniform("x", lo=-(2.0**15), hi=2.0**15 - 1)
    out = [
        Workload(f"sort {_n(n)}", "order", "sort", keys, lambda v, p: [np.sort(v["x"])], {"n": n}, {"n": small},
                 tiny={"n": 1000})
        for n, small in ((10**4, 200), (10**5, 600))  # few rows are compared in pairs, more are not
    ]  # fmt: skip
    out.append(Workload("max 10^5", "order", "max", different, lambda v, p: [v["x"].max()],
                        {"n": 10**5}, {"n": 200}))  # fmt: skip
    out.append(Workload("argmax 10^5", "order", "argmax", different, lambda v, p: [np.argmax(v["x"])],
                        {"n": 10**5}, {"n": 200}, tolerance=0.0))  # fmt: skip
    return out


def studies() -> list[Workload]:
    """Return statistics and regression."""
    full = {"rows": 10_000, "cols": 100, "epochs": 10, "rate": 1.0}
    mini = {"rows": 10_000, "cols": 100, "epochs": 1, "rate": 1.0, "batch": 128}
    return [
        Workload("statistics 3 x 10^6 rows", "statistics", "statistics", columns, statistics,
                 {"n": 10**6}, {"n": 500}, tiny={"n": 10**5}),
        Workload("logistic regression 10,000 x 100, 10 full batches", "regression", "regression", examples,
                 regression, full, {**full, "rows": 100, "cols": 5, "epochs": 2}),
        Workload("logistic regression 10,000 x 100, minibatch epoch", "regression", "regression", examples,
                 regression, mini, {**mini, "rows": 100, "cols": 5, "batch": 32}),
    ]  # fmt: skip


def neural() -> list[Workload]:
    """Return the networks: prediction of one and of 128 inputs, training steps."""
    out = []
    for net in networks.NETWORKS.values():
        for batch in (1, 128):
            p = {"net": net.name, "batch": batch}
            out.append(Workload(f"{net.title}: predict {batch}", "networks", "predict", networks.inputs,
                                networks.predict, p, {"net": net.name, "batch": 1},
                                tiny={"batch": min(batch, FEW.get(net.name, batch))}))  # fmt: skip
        p = {"net": net.name, "batch": 128, "steps": net.steps, "rate": 0.125}
        out.append(Workload(f"{net.title}: train {128 * net.steps:,}", "networks", "train", networks.inputs,
                            networks.train, p, {**p, "batch": 2, "steps": 1}))  # fmt: skip
    return out


def all_workloads() -> list[Workload]:
    """Return every workload in the order of the table."""
    return [*elementwise(), *order(), *studies(), *neural()]


def distinct() -> list[Workload]:
    """Return the workloads that differ at small size, the first of each kind."""
    found: dict[str, Workload] = {}
    for w in all_workloads():
        found.setdefault(f"{w.program} {w.small}", w)
    return list(found.values())
