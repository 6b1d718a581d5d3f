"""What no implementation of these protocols could beat here: bytes over the link, multiply-adds over the cores."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import numpy as np
from bench.rig.relay import Network

from tacit.array.loop import infer
from tacit.array.program import Aval, Eqn, Program

ROUNDS = 1000
MEGABYTES = 160
SIDES = (256, 1000)
PRODUCTS_S = 0.5
PRODUCTS = 5 / 3
"""Ring products that a party of replicated sharing computes for each product of the program: five by three parties."""


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


def _multiply(ready: Any, out: Any, side: int) -> None:
    """Multiply matrices for half a second, at the same time as the other parties; report multiply-adds a second."""
    from bench.kernels import drawer

    from tacit import kernels

    draw = drawer(1)
    a, b = draw((side, side), False), draw((side, side), False)
    kernels.matmul(a, b)
    ready.wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + PRODUCTS_S:
        kernels.matmul(a, b)
        count += 1
    out.put(count * side**3 / (time.perf_counter() - start))


def products_per_s(parties: int, side: int) -> float:
    """Return the multiply-adds a second of each of so many processes that multiply matrices at once."""
    context = multiprocessing.get_context("fork")
    ready, out = context.Barrier(parties), context.SimpleQueue()
    processes = [context.Process(target=_multiply, args=(ready, out, side)) for _ in range(parties)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    rates: list[float] = [out.get() for _ in processes]
    return sum(rates) / parties


def measure() -> dict[str, float]:
    """Measure the links and the kernels of this machine: bytes and multiply-adds a second, seconds a round.

    "alone" is one link one way, or one process on all cores; "shared" is what a party gets while all three do the
    same on the same cores, as in a workload: links by TLS, to one neighbour or to both, whichever is faster.
    """
    from bench import net

    jobs: list[Any] = [
        ("ring", net.ring, ROUNDS),
        ("alone", net.stable_stream, MEGABYTES),
        ("exchange", net.exchange, MEGABYTES),
        ("both", net.both, MEGABYTES),
    ]
    tls = net.measure_tls(jobs)
    raw = net.measure_raw(ROUNDS, MEGABYTES)
    nbytes = MEGABYTES // 8 * 8e6
    return {
        "tls_alone": nbytes / tls["alone"],
        "tls_shared_one": nbytes / tls["exchange"],
        "tls_shared_both": nbytes / tls["both"],
        "tls_round_s": tls["ring"] / ROUNDS,
        "tcp_bytes_per_s": nbytes / raw["stream"],
        "tcp_round_trip_s": raw["ping"] / ROUNDS,
        "products_alone": max(products_per_s(1, side) for side in SIDES),
        "products_shared": max(products_per_s(3, side) for side in SIDES),
    }


def seconds(measured: dict[str, float], nbytes: float, macs: float) -> tuple[float, float]:
    """Return the floors on loopback, alone and shared: `nbytes` of the busiest party, its products for `macs`."""
    shared = max(measured["tls_shared_one"], measured["tls_shared_both"])
    work = PRODUCTS * macs
    return (
        nbytes / measured["tls_alone"] + work / measured["products_alone"],
        nbytes / shared + work / measured["products_shared"],
    )


def far(network: Network, rounds: float, nbytes: float) -> float:
    """Return the floor on a slow network: a round takes half a round trip."""
    return rounds * network.rtt_s / 2 + nbytes / network.bytes_per_s
