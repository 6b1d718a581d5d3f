"""Compiling whole programs from JAX code and running them on the shares of several owners."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from tacit.array import functions as fn
from tacit.array.analyse import Plan, plan
from tacit.array.interpret import Trace, reveal
from tacit.array.passes import localise
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.array.runtime import Format, Runtime
from tacit.array.secret import SecretArray
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.study import run_clear
from tacit.testing import dealer_of, run

OWNERS = ("alice", "bob", "carol")


@dataclass(frozen=True)
class Given:
    """One array of the program: its values, its public bound, and who holds which part along which axis."""

    values: Any
    lo: float
    hi: float
    axis: int = 0
    owners: Sequence[str] = OWNERS

    def pieces(self) -> list[Any]:
        """Return the part of each owner."""
        values = np.asarray(self.values)
        return [values] if len(self.owners) == 1 else np.array_split(values, len(self.owners), self.axis)


@dataclass
class Compiled:
    """A program ready to run, with what compiling it took."""

    program: Program
    plan: Plan
    tree: Any
    data: dict[str, dict[str, Any]]
    seconds: float
    metered: tuple[int, dict[tuple[str, str], int]] = field(default_factory=lambda: (0, {}))
    """Rounds and bytes on every link of the last run."""
    ran: float = 0.0
    """Seconds that the last run took."""

    @property
    def fmt(self) -> Format:
        """Ring and scale."""
        return self.plan.fmt

    def run(self, protocol: str = "rep3", party: str = "bob") -> Any:
        """Run among three parties in memory and return what `party` learns; or in the clear."""
        start = time.perf_counter()
        if protocol == "clear":
            opened = run_clear(self.program, self.fmt, self.data)
        else:
            dealer = dealer_of(protocol, "dave")

            def go(p: Any) -> Any:
                learned = Runtime(p, self.fmt, OWNERS).run(self.program, self.data.get(p.party.name, {}))
                return learned, p.party.mesh.meter.snapshot()

            results = run(protocol, self.fmt.width, go, dealer=dealer)
            opened, meters = results[party][0], {n: m for n, (_, m) in results.items()}
            links = {
                (a, b): t.payload_sent
                for a, m in meters.items()
                for b, t in m.peers.items()
                if t.payload_sent
            }
            self.metered = max(m.rounds for m in meters.values()), links
        self.ran = time.perf_counter() - start
        return jax.tree_util.tree_unflatten(self.tree, [opened[f"r{i}"] for i in range(len(opened))])


def compile(
    function: Callable[..., Any], given: Mapping[str, Given], protocol: str = "rep3", **limits: Any
) -> Compiled:
    """Do everything that precedes the first message: trace, rewrite, choose the ring, price."""
    data: dict[str, dict[str, Any]] = {}
    for name, g in given.items():
        for owner, piece in zip(g.owners, g.pieces(), strict=True):
            data.setdefault(owner, {})[name] = piece
    start = time.perf_counter()
    trace = Trace()
    arrays = []
    for name, g in given.items():
        parts = []
        for owner, piece in zip(g.owners, g.pieces(), strict=True):
            kind = {"f": "fixed", "i": "int", "b": "bool"}[piece.dtype.kind]
            parts.append(trace.input(name, owner, piece.shape, kind, g.lo, g.hi))
        arrays.append(fn.concat(parts, g.axis) if len(parts) > 1 else parts[0])
    out = trace_jax(function, arrays)
    leaves, tree = jax.tree_util.tree_flatten(out, is_leaf=lambda v: isinstance(v, SecretArray))
    for i, leaf in enumerate(leaves):
        reveal(leaf, why="the program's answer", name=f"r{i}")
    program = localise(trace.program())
    fmt = fit(program, **limits)
    dealer = dealer_of(protocol, "dave")
    made = plan(program, protocol, fmt, OWNERS, OWNERS, dealer)
    return Compiled(program, made, tree, data, time.perf_counter() - start)


def twin(function: Callable[..., Any], given: Mapping[str, Given]) -> Any:
    """Run the same function in JAX, in float64, on the joined data."""
    with x64():
        return jax.tree_util.tree_map(
            np.asarray, function(*(jax.numpy.asarray(g.values) for g in given.values()))
        )


def furthest(got: Any, want: Any) -> float:
    """Return the largest absolute difference between two trees of arrays."""
    gaps = jax.tree_util.tree_map(
        lambda a, b: float(np.max(np.abs(np.asarray(a, float) - b), initial=0)), got, want
    )
    return max(jax.tree_util.tree_leaves(gaps))
