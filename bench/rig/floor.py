"""What no implementation of these protocols could beat here: bytes over the link, products and the generator over the
cores, and the memory from which large inputs and factors are read, and to which large results are written."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from bench.rig.live import VIEWS, nbytes
from bench.rig.relay import Network

from tacit.array.loop import infer
from tacit.array.program import Aval, Eqn, Program
from tacit.array.runtime import Format
from tacit.core.party import Party

ROUNDS = 1000
MEGABYTES = 160
SIDES = (256, 1000)
DRAWS = (2**16, 2**20, 2**24)
"""Bytes of a draw: what stays in a core's caches, and what does not."""
READ = 1 << 24
"""Bytes of an array that is read from memory: more than a core's own caches hold."""
CACHED = 1 << 21
"""What a core's own cache may hold from one product to the next: to read that again takes no time."""
BLOCK, WORD, BITS = 16, 8, 8
REPEAT_S = 0.5
PRODUCTS = 5 / 3
"""Ring products that a party of replicated sharing computes for each product of the program: five by three parties."""


def products(program: Program, fmt: Format) -> list[tuple[int, int, int]]:
    """Return the matrix products and convolutions: how often, multiply-adds, bytes of factors that no cache holds."""
    times: dict[int, int] = {}
    found: dict[int, tuple[int, int]] = {}

    def walk(eqns: tuple[Eqn, ...], count: int) -> None:
        for eqn in eqns:
            times[id(eqn)] = count
            if eqn.op == "scan":
                walk(eqn.params["body"].eqns, count * eqn.params["length"])

    def visit(eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        if eqn.op == "matmul":
            macs = outs[0].size * ins[0].shape[-1]
        elif eqn.op == "conv":
            macs = outs[0].size * int(np.prod(ins[1].shape[1:]))
        else:
            return
        factors = dict(zip(eqn.ins, ins, strict=True)).values()  # a square reads its factor once
        found[id(eqn)] = macs, sum(_large(nbytes(a, fmt)) for a in factors)

    walk(program.eqns, 1)
    infer(program, visit=visit)
    every = Counter[tuple[int, int]]()
    for key, each in found.items():
        every[each] += times.get(key, 1)
    return [(n, *each) for each, n in every.items()]


def passed(program: Program, fmt: Format) -> int:
    """Return the bytes of inputs and results that no cache holds: a party reads or writes each of them at least once.

    Shares, and the columns of the owner who has most; results that are more than views. Where there are products,
    reading is counted with them.
    """
    avals, own, through = infer(program), Counter[str](), 0
    seen = {*(i.var for i in program.inputs), *(v for e in program.eqns if e.op in VIEWS for v in e.outs)}
    for i in () if products(program, fmt) else program.inputs:
        if i.aval.secret:
            through += _large(nbytes(i.aval, fmt))
        else:
            own[i.aval.owner] += _large(WORD * i.aval.size)
    return (
        through
        + max(own.values(), default=0)
        + sum(_large(_packed(avals[v], fmt)) for v in {*program.outputs} - seen)
    )


def _packed(aval: Aval, fmt: Format) -> int:
    """Return the bytes of a value's shares, truth values as bits."""
    return nbytes(aval, fmt) // (BITS if aval.kind == "bool" else 1)


def _large(nbytes: int) -> int:
    """Return the bytes of what no cache holds."""
    return nbytes if nbytes > CACHED else 0


def drawn(party: Party) -> int:
    """Return the bytes that a party's streams have expanded so far, in whole blocks as the generator makes them.

    Every draw of the library passes through one of these streams, which count their blocks anyway.
    """
    streams: list[Any] = [*party.keys._streams.values(), *party._open.values()]
    return BLOCK * sum(s.blocks for s in streams)


def _multiplying(side: int) -> tuple[Callable[[], Any], int]:
    """Return a product of matrices and its multiply-adds."""
    from bench.kernels import drawer

    from tacit import kernels

    draw = drawer(1)
    a, b = draw((side, side), False), draw((side, side), False)
    # The rings of nearly all products have no more bits than that, and some processors multiply these faster.
    return (lambda: kernels.matmul(a, b, bits=52)), side**3


def _drawing(nbytes: int) -> tuple[Callable[[], Any], int]:
    """Return a draw into memory that is there already, and its bytes."""
    from tacit.algebra.ring import Ring
    from tacit.crypto.prg import Stream

    stream, ring, out = Stream(bytes(16), "floor"), Ring(64), np.empty(nbytes // 8, np.uint64)
    return (lambda: stream.fill(ring, out)), nbytes


def _reading(nbytes: int) -> tuple[Callable[[], Any], int]:
    """Return a pass over memory, and its bytes."""
    held = np.ones(nbytes // 8, np.uint64)
    return (lambda: held.sum()), nbytes


def _repeat(ready: Any, out: Any, make: Callable[[int], tuple[Callable[[], Any], int]], size: int) -> None:
    """Do the same for half a second, at the same time as the other parties; report units a second."""
    call, units = make(size)
    call()
    ready.wait()
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + REPEAT_S:
        call()
        count += 1
    out.put(count * units / (time.perf_counter() - start))


def per_s(
    parties: int, make: Callable[[int], tuple[Callable[[], Any], int]], sizes: tuple[int, ...]
) -> float:
    """Return the units a second of each of so many processes that do the same at once, at the best of the sizes."""
    context = multiprocessing.get_context("fork")
    found = []
    for size in sizes:
        ready, out = context.Barrier(parties), context.SimpleQueue()
        processes = [context.Process(target=_repeat, args=(ready, out, make, size)) for _ in range(parties)]
        for p in processes:
            p.start()
        for p in processes:
            p.join()
        found.append(sum(out.get() for _ in processes) / parties)
    return float(max(found))


def measure() -> dict[str, float]:
    """Measure the links and the kernels of this machine: bytes sent or drawn, multiply-adds a second; seconds a round.

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
    nbytes, cores = MEGABYTES // 8 * 8e6, len(os.sched_getaffinity(0))
    return {
        "tls_alone": nbytes / tls["alone"],
        "tls_shared_one": nbytes / tls["exchange"],
        "tls_shared_both": nbytes / tls["both"],
        "tls_round_s": tls["ring"] / ROUNDS,
        "tcp_bytes_per_s": nbytes / raw["stream"],
        "tcp_round_trip_s": raw["ping"] / ROUNDS,
        "products_alone": per_s(1, _multiplying, SIDES),
        "products_shared": per_s(3, _multiplying, SIDES),
        "reading_alone": per_s(cores, _reading, (READ,)) * cores,  # a pass is the work of one core
        "reading_shared": per_s(3, _reading, (READ,)),
        "generator_alone": per_s(1, _drawing, DRAWS),
        "generator_shared": per_s(3, _drawing, DRAWS),
    }


class Floor(NamedTuple):
    """Seconds of a run on loopback that are left if everything else takes none; None where a rate is not known."""

    link: float
    products: float | None
    generator: float | None
    memory: float | None

    @property
    def whole(self) -> float | None:
        """The sum of all."""
        if self.products is None or self.generator is None or self.memory is None:
            return None
        return self.link + self.products + self.generator + self.memory


def near(
    measured: dict[str, float],
    sent: float,
    every: list[tuple[int, int, int]] | None,
    draws: float | None,
    through: float | None,
) -> dict[str, Floor]:
    """Return the floors on loopback, alone and shared.

    `sent` are the bytes of the busiest party, `draws` those that the party draws that draws most, `through` those of
    `passed`. Each party computes the products of `products`: each takes its multiply-adds or the reading of its
    factors, whichever is longer.
    """
    links = {"alone": measured["tls_alone"]}
    links["shared"] = max(measured["tls_shared_one"], measured["tls_shared_both"])
    found = {}
    for how, link in links.items():
        drawing, reading = measured.get(f"generator_{how}"), measured.get(f"reading_{how}")
        found[how] = Floor(
            sent / link,
            None
            if every is None or reading is None
            else sum(
                count * max(PRODUCTS * macs / measured[f"products_{how}"], read / reading)
                for count, macs, read in every
            ),
            None if drawing is None or draws is None else draws / drawing,
            None if reading is None or through is None else through / reading,
        )
    return found


def far(network: Network, rounds: float, nbytes: float) -> float:
    """Return the floor on a slow network: a round takes half a round trip."""
    return rounds * network.rtt_s / 2 + nbytes / network.bytes_per_s
