"""Measure what one call and one unit of work of each functionality takes a party's processor; write it as data.

Run: ./dev bench calibrate [--out FILE]. Three processes over TLS, processor time of all their threads: other work on
the machine hardly shows in it. The package's own numbers are `src/tacit/core/machine.json`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.rig.runner import machine

from tacit import protocols, testing
from tacit.algebra.ring import Ring
from tacit.array.interpret import Trace
from tacit.array.program import Aval, Program
from tacit.array.runtime import Format, Runtime, Value
from tacit.core.party import handshake
from tacit.core.rows import Column, index_ring
from tacit.core.timing import Machine, work
from tacit.gadgets import separable, smooth
from tacit.kernels import reuse_memory
from tacit.net import stream
from tacit.net.identity import Identity, load_identity
from tacit.net.roster import Roster
from tacit.net.sockets import listen_on
from tacit.net.tls import connect_mesh

NAMES = ("alice", "bob", "carol")
SMALL, LARGE = 64, 1 << 18
FEW, MANY = 200, 9
"""Passes over all functionalities, on few elements and on many."""
SIDE = 640
EQUATIONS = 24
PLACES = tuple(range(36, 4, -2))
PARTS_OF = {"linear": EQUATIONS, "clear": 40}
"""What a call of `cases` does more than once: equations, operands read."""
Call = Callable[[], Any]


def cases(p: Any, n: int) -> dict[str, tuple[Call, dict[str, Any]]]:
    """Return a call of each functionality on n elements, and its sizes."""
    ring = p.ring
    x = testing.scatter(p, ring.encode_ints(np.arange(n) - n // 2))
    planes = testing.scatter_planes(p, np.zeros((8, -(-n // 64)), np.uint64), n)
    narrow = index_ring(n)
    column = Column(x.reshape(1, n), ring)
    at = Column(
        testing.scatter(p.over(narrow), np.arange(n, dtype=np.uint64).reshape(1, n) % (1 << narrow.width)),
        narrow,
    )
    how = smooth.plan(p, "sigmoid", 16, -8.0, 8.0, n)
    narrower = testing.scatter(p.over(Ring(40)), np.zeros(n, np.uint64))
    weights = ring.encode_ints(np.arange(8).reshape(2, 4))
    power = separable.exp_plan(64, 16, -8.0, 8.0, 20)
    assert how is not None and power is not None
    tall, wide = x.reshape(n, 1), x[:1].reshape(1, 1)
    runtime, shape = Runtime(p, Format(64, 16), NAMES), Aval((n,), "fixed", -1, 1, "secret")
    chain = _chain(shape)
    found: dict[str, tuple[Call, dict[str, Any]]] = {
        "mul": (lambda: p.mul(x, x), {}),
        "mul_trunc": (lambda: p.mul_trunc(x, x, 16), {"f": 16}),
        "trunc": (lambda: p.trunc(x, 16), {"f": 16}),
        "trunc_exact": (lambda: p.trunc_exact(x, 16), {"f": 16}),
        "matmul": (lambda: p.matmul(tall, wide), {}),
        "matmul_trunc": (lambda: p.matmul_trunc(tall, wide, 16), {"f": 16}),
        "mul_into": (lambda: p.over(Ring(40)).mul_into(narrower, narrower, 20, ring), {"f": 20, "into": 64}),
        "below": (lambda: p.below(x, 40, PLACES), {"bits": 40, "at": PLACES}),
        "combine": (lambda: p.combine(planes[:4], weights, (64, 24)), {"planes": 4, "widths": (64, 24)}),
        "and_": (lambda: p.and_(planes, planes), {"planes": 8}),
        "sign": (lambda: p.sign(x, 40), {"bits": 40}),
        "is_zero": (lambda: p.is_zero(x, 40), {"bits": 40}),
        "decompose": (lambda: p.decompose(x, 40), {"bits": 40}),
        "to_arith": (lambda: p.to_arith(planes[:1]), {"planes": 1}),
        "select": (lambda: p.select(planes[:1], x), {}),
        "dot": (lambda: p.dot(x.reshape(1, n), x.reshape(1, n)), {}),
        "factored Waves": (lambda: p.factored(x, how.series), {"terms": how.series.terms}),
        "factored Powers": (lambda: p.factored(x, power), {"terms": power.terms}),
        "shuffle": (lambda: p.shuffle([column]), {"widths": (64,)}),
        "place": (lambda: p.place(at, [column]), {"widths": (64,)}),
        "fetch": (lambda: p.fetch(at, [column]), {"widths": (64,)}),
        "share_input": (lambda: p.share_input("alice", ring.zeros((n,)), (n,)), {}),
        "share_bits": (lambda: p.share_bits("alice", np.zeros(n, np.uint8), (n,)), {}),
        "reveal": (lambda: p.reveal(x, NAMES), {}),
        "reveal_bits": (lambda: p.reveal_bits(p.unpack(planes[:1], (n,)), NAMES), {}),
        "agree": (lambda: p.agree(ring.zeros((n,))), {}),
        "linear": (lambda: runtime.block(chain, [Value(shape, None, x)]), {}),
        "own": (lambda: p.add(x, x), {}),
        "clear": (lambda: _clear(8 * n), {}),
    }
    return found


def _chain(of: Aval) -> Program:
    """Return a Program of EQUATIONS that need no message."""
    trace = Trace()
    x = trace.parameter(of)
    for i in range(EQUATIONS):
        x = -x if i % 2 else x[::-1]
    return trace.program([x])


def _clear(n: int) -> None:
    a = np.full(n, 0.5)
    ((a * a) + a).sum()


def products(p: Any, side: int) -> dict[str, tuple[Call, int]]:
    """Return matrix products and their multiply-adds."""
    x = testing.scatter(p, p.ring.zeros((side, side)))
    public = p.ring.zeros((side, side))
    return {
        "products": (lambda: p.matmul(x, x), side**3),
        "public products": (lambda: p.matmul_public(x, public), side**3),
    }


def _times(p: Any, calls: dict[str, Call], passes: int) -> dict[str, float]:
    """Return processor seconds of each call; they take turns, as in programs, where none finds a warm cache.

    The lower quartile: what else runs on the machine only makes a call slower.
    """
    found: dict[str, list[float]] = {what: [] for what in calls}
    for _ in range(passes + 1):
        for what, call in calls.items():
            p.party.flush()
            start = time.process_time()
            call()
            p.party.flush()
            found[what].append(time.process_time() - start)
    return {what: statistics.quantiles(times[1:])[0] for what, times in found.items()}


def _party(
    name: str,
    identity: Identity,
    roster: Roster,
    listener: socket.socket,
    out: multiprocessing.queues.Queue[Any],
) -> None:
    with connect_mesh(identity, roster, name, listen=listener) as mesh:
        party = handshake(mesh, NAMES, b"calibrate".ljust(32), roster.hash())
        reuse_memory()
        p = protocols.load("rep3")(party, Ring(64))
        small, large = cases(p, SMALL), cases(p, LARGE)
        stream.LOOK_S = 0.0  # to look for a message is to wait, not to work
        matrices = products(p, SIDE)
        few = _times(p, {what: call for what, (call, _) in small.items()}, FEW)
        many = _times(p, {what: call for what, (call, _) in (large | matrices).items()}, MANY)
        found: dict[str, Any] = {}
        for what, (_, sizes) in large.items():
            name, each = what.split(" ")[0], PARTS_OF.get(what, 1)
            # A call that takes several planes counts the bits of all.
            rows = sizes["planes"] if what == "combine" else 1
            unit = many[what] / each / work(name, rows * LARGE, {**sizes, "inner": 1})
            found[what] = (
                max(0.0, few[what] / each - unit * work(name, rows * SMALL, {**sizes, "inner": 1})),
                unit,
            )
        passed = found["matmul"][1] * SIDE**2
        for what, (_, macs) in matrices.items():
            found[what] = 0.0, (many[what] - passed * (what == "products")) / macs
        out.put(found)


def measure() -> tuple[dict[str, float], dict[str, float]]:
    """Run three parties; return seconds of a call and of a unit, the mean of the parties."""
    context = multiprocessing.get_context("fork")
    out: multiprocessing.queues.Queue[Any] = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        identities = {n: load_identity(Path(folder) / n, n) for n in NAMES}
        listeners = {n: listen_on("127.0.0.1") for n in NAMES}
        roster = Roster(tuple(identities[n].party(*listeners[n].getsockname()[:2]) for n in NAMES))
        processes = [
            context.Process(target=_party, args=(n, identities[n], roster, listeners[n], out)) for n in NAMES
        ]
        for process in processes:
            process.start()
        try:
            tables = [out.get(timeout=400) for _ in NAMES]
        finally:
            for process in processes:
                process.join(timeout=5)
                process.kill()
            for listener in listeners.values():
                listener.close()
    return tuple(  # type: ignore[return-value]
        {what: float(np.mean([t[what][i] for t in tables])) for what in tables[0]} for i in range(2)
    )


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "src/tacit/core/machine.json"
    )
    parser.add_argument("--rounds", type=int, default=3, help="measure so often and keep the least")
    args = parser.parse_args()
    every = [measure() for _ in range(args.rounds)]
    calls, units = ({k: min(found[i][k] for found in every) for k in every[0][i]} for i in range(2))
    about = machine()
    source = f"{about['processor']}, {about['date']}, `./dev bench calibrate`"
    rounded = [{k: float(f"{v:.3g}") for k, v in table.items()} for table in (calls, units)]
    made = Machine(rounded[0], rounded[1], 1.0, source=source)
    args.out.write_text(json.dumps(made.content(), indent=1) + "\n")
    print(f"{'functionality':<18}{'µs a call':>12}{'ns a unit':>12}")
    for what in calls:
        print(f"{what:<18}{1e6 * calls[what]:>12.1f}{1e9 * units[what]:>12.3f}")
    print(f"written to {args.out}; load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
