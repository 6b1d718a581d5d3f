"""What no implementation of these protocols could beat here: bytes over the link, multiply-adds over the cores."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from bench.rig.relay import Network

from tacit.array.loop import infer
from tacit.array.program import Aval, Eqn, Program

ROUNDS = 1000
MEGABYTES = 160
PRODUCTS = 2
"""Ring products that a party of replicated sharing computes for each product of the program."""


def products(program: Program) -> int:
    """Return the multiply-adds of matrix products and convolutions, loops counted in full."""
    times: dict[int, int] = {}
    found: dict[int, int] = {}

    def walk(eqns: tuple[Eqn, ...], count: int) -> None:
        for eqn in eqns:
            times[id(eqn)] = count
            if eqn.op == "scan":
                walk(eqn.params["body"].eqns, count * eqn.params["length"])

    def visit(eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        if eqn.op == "matmul":
            found[id(eqn)] = outs[0].size * ins[0].shape[-1]
        elif eqn.op == "conv":
            found[id(eqn)] = outs[0].size * int(np.prod(ins[1].shape[1:]))

    walk(program.eqns, 1)
    infer(program, visit=visit)
    return sum(n * times.get(key, 1) for key, n in found.items())


def measure() -> dict[str, float]:
    """Measure the links and the kernels of this machine: bytes and multiply-adds a second, seconds a round."""
    from bench import net
    from bench.kernels import best, drawer

    from tacit import kernels

    jobs: list[Any] = [("ring", net.ring, ROUNDS), ("exchange", net.exchange, MEGABYTES)]
    tls = net.measure_tls(jobs)
    raw = net.measure_raw(ROUNDS, MEGABYTES)
    draw, side = drawer(1), 256
    a, b = draw((side, side), False), draw((side, side), False)
    return {
        "tls_bytes_per_s": MEGABYTES // 8 * 8e6 / tls["exchange"],
        "tls_round_s": tls["ring"] / ROUNDS,
        "tcp_bytes_per_s": MEGABYTES // 8 * 8e6 / raw["stream"],
        "tcp_round_trip_s": raw["ping"] / ROUNDS,
        "products_per_s": side**3 / best(kernels.matmul, (a, b), 0.5),
        "cores": float(os.cpu_count() or 1),
    }


def seconds(measured: dict[str, float], nbytes: float, macs: float) -> float:
    """Return the floor on loopback: `nbytes` of the busiest party, `macs` of the program among three parties."""
    return nbytes / measured["tls_bytes_per_s"] + 3 * PRODUCTS * macs / measured["products_per_s"]


def far(network: Network, rounds: float, nbytes: float) -> float:
    """Return the floor on a slow network: a round takes half a round trip."""
    return rounds * network.rtt_s / 2 + nbytes / network.bytes_per_s
