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
from tacit.core.party import handshake
from tacit.core.rows import Column, index_ring
from tacit.core.timing import Machine, work
from tacit.gadgets import smooth
from tacit.net.identity import Identity, load_identity
from tacit.net.roster import Roster
from tacit.net.sockets import listen_on
from tacit.net.tls import connect_mesh

NAMES = ("alice", "bob", "carol")
SMALL, LARGE = 64, 1 << 17
REPEATS = 5
LEAST_S = 0.08
SIDE = 320
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
    assert how is not None
    tall, wide = x.reshape(n, 1), x[:1].reshape(1, 1)
    ones = ring.constant(3)
    found: dict[str, tuple[Call, dict[str, Any]]] = {
        "mul": (lambda: p.mul(x, x), {}),
        "mul_trunc": (lambda: p.mul_trunc(x, x, 16), {"f": 16}),
        "trunc": (lambda: p.trunc(x, 16), {"f": 16}),
        "trunc_exact": (lambda: p.trunc_exact(x, 16), {"f": 16}),
        "matmul": (lambda: p.matmul(tall, wide), {}),
        "matmul_trunc": (lambda: p.matmul_trunc(tall, wide, 16), {"f": 16}),
        "and_": (lambda: p.and_(planes, planes), {"planes": 8}),
        "sign": (lambda: p.sign(x, 40), {"bits": 40}),
        "is_zero": (lambda: p.is_zero(x, 40), {"bits": 40}),
        "decompose": (lambda: p.decompose(x, 40), {"bits": 40}),
        "to_arith": (lambda: p.to_arith(planes[:1]), {"planes": 1}),
        "select": (lambda: p.select(planes[:1], x), {}),
        "dot": (lambda: p.dot(x.reshape(1, n), x.reshape(1, n)), {"inner": 1}),
        "factored": (lambda: p.factored([x], how.series), {"terms": how.series.terms}),
        "shuffle": (lambda: p.shuffle([column]), {"widths": (64,)}),
        "place": (lambda: p.place(at, [column]), {"widths": (64,)}),
        "fetch": (lambda: p.fetch(at, [column]), {"widths": (64,)}),
        "share_input": (lambda: p.share_input("alice", ring.zeros((n,)), (n,)), {}),
        "share_bits": (lambda: p.share_bits("alice", np.zeros(n, np.uint8), (n,)), {}),
        "reveal": (lambda: p.reveal(x, NAMES), {}),
        "reveal_bits": (lambda: p.reveal_bits(p.unpack(planes[:1], (n,)), NAMES), {}),
        "agree": (lambda: p.agree(ring.zeros((n,))), {}),
        "linear": (lambda: p.add(p.mul_public(x, ones), x), {}),
        "clear": (lambda: _clear(n), {}),
    }
    return found


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


def _seconds(p: Any, call: Call) -> float:
    """Return processor seconds of one call; all parties make the same number of them."""
    best = float("inf")
    call()
    count = 1
    for _ in range(REPEATS):
        p.party.mesh.flush()
        start = time.process_time()
        for _ in range(count):
            call()
        p.party.flush()
        took = time.process_time() - start
        longest = _agreed(p, took)
        if count > 1 or longest >= LEAST_S:
            best = min(best, took / count)
        count = max(count, min(2000, int(LEAST_S / max(longest / count, 1e-6)) + 1))
    return best


def _agreed(p: Any, took: float) -> float:
    """Return the longest of all parties' times, so that all repeat equally often."""
    mine = np.array([took])
    for peer in p.party.mesh.peers:
        p.party.mesh.send(peer, "took", mine)
    others = [float(p.party.mesh.recv(peer, "took", 8).view(np.float64)[0]) for peer in p.party.mesh.peers]
    return max(took, *others)


def _party(
    name: str,
    identity: Identity,
    roster: Roster,
    listener: socket.socket,
    out: multiprocessing.queues.Queue[Any],
) -> None:
    with connect_mesh(identity, roster, name, listen=listener) as mesh:
        party = handshake(mesh, NAMES, b"calibrate".ljust(32), roster.hash())
        p = protocols.load("rep3")(party, Ring(64))
        small, large = cases(p, SMALL), cases(p, LARGE)
        found: dict[str, Any] = {}
        for what in small:
            found[what] = [
                (_seconds(p, case[what][0]), work(what, n, {**case[what][1], "inner": 1}))
                for case, n in ((small, SMALL), (large, LARGE))
            ]
        for what, (call, macs) in products(p, SIDE).items():
            found[what] = [(0.0, 0), (_seconds(p, call), macs)]
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
    calls, units = {}, {}
    for what in tables[0]:
        (small, few), (large, many) = ((float(np.mean([t[what][i][0] for t in tables])),
                                        tables[0][what][i][1]) for i in range(2))  # fmt: skip
        units[what] = max(0.0, (large - small) / (many - few))
        calls[what] = max(0.0, small - units[what] * few)
    # A product's elements are part of its multiply-adds.
    for what in ("products", "public products"):
        calls[what] = 0.0
    return calls, units


def main() -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "src/tacit/core/machine.json"
    )
    args = parser.parse_args()
    calls, units = measure()
    about = machine()
    source = f"{about['processor']}, {about['date']}, `./dev bench calibrate`"
    rounded = [{k: float(f"{v:.3g}") for k, v in table.items()} for table in (calls, units)]
    made = Machine(rounded[0], rounded[1], 1.0, source)
    args.out.write_text(json.dumps(made.content(), indent=1) + "\n")
    print(f"{'functionality':<18}{'µs a call':>12}{'ns a unit':>12}")
    for what in calls:
        print(f"{what:<18}{1e6 * calls[what]:>12.1f}{1e9 * units[what]:>12.3f}")
    print(f"written to {args.out}; load average {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
