"""Measure links on loopback: small rounds and bandwidth of the TLS mesh beside raw TCP in the same run.

Run: python bench/net.py [--json] [--rounds N] [--megabytes N]
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tacit.net.identity import Identity, load_identity
from tacit.net.link import Mesh
from tacit.net.memory import run_parties
from tacit.net.roster import Roster
from tacit.net.sockets import listen_on
from tacit.net.tls import connect_mesh

NAMES = ("alice", "bob", "carol")
REPEATS = 5
Job = Callable[[Mesh, int], None]


@contextmanager
def on_core(index: int) -> Iterator[None]:
    """Keep this thread on one core: on the same core or not, a ping-pong differs tenfold on some machines."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[index % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


def ping_pong(mesh: Mesh, count: int) -> None:
    """Send 8 bytes to and fro between two cores."""
    with on_core(NAMES.index(mesh.me)):
        _ping_pong(mesh, count)


def _ping_pong(mesh: Mesh, count: int) -> None:
    x = np.zeros(1, np.uint64)
    for _ in range(count):
        if mesh.me == "alice":
            mesh.send("bob", "x", x)
            mesh.recv("bob", "x", 8)
        elif mesh.me == "bob":
            mesh.recv("alice", "x", 8)
            mesh.send("alice", "x", x)
    mesh.flush()


def ring(mesh: Mesh, count: int) -> None:
    """Send 8 bytes to the next party and receive from the previous one."""
    me = NAMES.index(mesh.me)
    following, previous = NAMES[(me + 1) % 3], NAMES[(me + 2) % 3]
    x = np.zeros(1, np.uint64)
    for _ in range(count):
        mesh.send(following, "x", x)
        mesh.recv(previous, "x", 8)


def stream(mesh: Mesh, megabytes: int, stable: bool = False) -> None:
    """Send one way in messages of 8 MB."""
    x = np.zeros(10**6, np.uint64)
    if mesh.me == "alice":
        for _ in range(megabytes // 8):
            mesh.send("bob", "x", x, stable=stable)
        mesh.recv("bob", "done", 0)
    elif mesh.me == "bob":
        for _ in range(megabytes // 8):
            mesh.recv("alice", "x", x.nbytes)
        mesh.send("alice", "done")
        mesh.flush()


def stable_stream(mesh: Mesh, megabytes: int) -> None:
    """Send one way without a copy."""
    stream(mesh, megabytes, stable=True)


def exchange(mesh: Mesh, megabytes: int) -> None:
    """Send and receive at once, as a replicated product does: 8 MB to the next, 8 MB from the previous."""
    me = NAMES.index(mesh.me)
    following, previous = NAMES[(me + 1) % 3], NAMES[(me + 2) % 3]
    x = np.zeros(10**6, np.uint64)
    for _ in range(megabytes // 8):
        mesh.send(following, "x", x, stable=True)
        mesh.recv(previous, "x", x.nbytes)


def both(mesh: Mesh, megabytes: int) -> None:
    """Send 4 MB to each of the others and receive as much: every link is busy both ways."""
    x = np.zeros(10**6 // 2, np.uint64)
    for _ in range(megabytes // 8):
        for peer in mesh.peers:
            mesh.send(peer, "x", x, stable=True)
        for peer in mesh.peers:
            mesh.recv(peer, "x", x.nbytes)


def _party(
    name: str,
    identity: Identity,
    roster: Roster,
    listener: socket.socket,
    jobs: list[tuple[str, Job, int]],
    out: multiprocessing.queues.Queue[dict[str, float]],
) -> None:
    times: dict[str, list[float]] = {label: [] for label, _, _ in jobs}
    with connect_mesh(identity, roster, name, listen=listener) as mesh:
        for _ in range(REPEATS + 1):
            for label, job, count in jobs:
                for peer in mesh.peers:  # start together
                    mesh.send(peer, "ready")
                for peer in mesh.peers:
                    mesh.recv(peer, "ready", 0)
                start = time.perf_counter()
                job(mesh, count)
                times[label].append(time.perf_counter() - start)
    if name == "alice":
        out.put({label: statistics.median(t[1:]) for label, t in times.items()})


def measure_tls(jobs: list[tuple[str, Job, int]]) -> dict[str, float]:
    """Run the jobs among three processes; return median seconds by label."""
    context = multiprocessing.get_context("fork")
    out: multiprocessing.queues.Queue[dict[str, float]] = context.Queue()
    with tempfile.TemporaryDirectory() as folder:
        identities = {n: load_identity(Path(folder) / n, n) for n in NAMES}
        listeners = {n: listen_on("127.0.0.1") for n in NAMES}
        roster = Roster(tuple(identities[n].party(*listeners[n].getsockname()[:2]) for n in NAMES))
        processes = [
            context.Process(target=_party, args=(n, identities[n], roster, listeners[n], jobs, out))
            for n in NAMES
        ]
        for process in processes:
            process.start()
        result = out.get(timeout=600)
        for process in processes:
            process.join()
        for listener in listeners.values():
            listener.close()
    return result


def _raw_peer(listener: socket.socket, count: int, nbytes: int) -> None:
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(1 << 20))
    for _ in range(REPEATS + 1):
        with on_core(1):
            for _ in range(count):
                sock.recv_into(buffer[:8])
                sock.sendall(buffer[:8])
        left = nbytes
        while left:
            left -= sock.recv_into(buffer[: min(left, len(buffer))])
        sock.sendall(b"x")
    sock.close()


def measure_raw(count: int, megabytes: int) -> dict[str, float]:
    """Measure plain TCP between two processes: the yardstick."""
    listener = listen_on("127.0.0.1")
    nbytes = megabytes // 8 * 8 * 10**6
    process = multiprocessing.get_context("fork").Process(target=_raw_peer, args=(listener, count, nbytes))
    process.start()
    sock = socket.create_connection(listener.getsockname())
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    small, big = bytearray(8), memoryview(bytearray(8 * 10**6))
    pings, streams = [], []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        with on_core(0):
            for _ in range(count):
                sock.sendall(small)
                sock.recv_into(small)
        pings.append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(megabytes // 8):
            sock.sendall(big)
        sock.recv(1)
        streams.append(time.perf_counter() - start)
    sock.close()
    process.join()
    listener.close()
    return {"ping": statistics.median(pings[1:]), "stream": statistics.median(streams[1:])}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=240)
    args = parser.parse_args()
    n, mb = args.rounds, args.megabytes
    raw = measure_raw(n, mb)
    jobs: list[tuple[str, Job, int]] = [("ping", ping_pong, n), ("ring", ring, n)]
    jobs += [
        ("stream", stream, mb),
        ("stable", stable_stream, mb),
        ("exchange", exchange, mb),
        ("both", both, mb),
    ]
    tls = measure_tls(jobs)
    start = time.perf_counter()
    run_parties(NAMES, lambda mesh: ring(mesh, n))
    memory = time.perf_counter() - start
    gigabytes = mb // 8 * 8 / 1000
    ping = raw["ping"] / n
    rows = [
        ("raw TCP ping-pong, 8 bytes", ping * 1e6, "µs", 1.0),
        ("TLS mesh ping-pong, 8 bytes", tls["ping"] / n * 1e6, "µs", tls["ping"] / raw["ping"]),
        ("TLS mesh round of three, 8 bytes", tls["ring"] / n * 1e6, "µs", tls["ring"] / raw["ping"]),
        ("hub round of three threads, 8 bytes", memory / n * 1e6, "µs", memory / raw["ping"]),
        ("raw TCP, one stream", gigabytes / raw["stream"], "GB/s", 1.0),
        ("TLS mesh, one stream", gigabytes / tls["stream"], "GB/s", raw["stream"] / tls["stream"]),
        ("TLS mesh, one stream, no copy", gigabytes / tls["stable"], "GB/s", raw["stream"] / tls["stable"]),
        (
            "TLS mesh, three at once, each",
            gigabytes / tls["exchange"],
            "GB/s",
            raw["stream"] / tls["exchange"],
        ),
        (
            "TLS mesh, all links both ways, each party",
            gigabytes / tls["both"],
            "GB/s",
            raw["stream"] / tls["both"],
        ),
    ]
    if args.json:
        json.dump(
            [dict(zip(("what", "value", "unit", "ratio_to_raw"), r, strict=True)) for r in rows], sys.stdout
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("link", "value", "ratio to raw TCP")
    for what, value, unit, ratio in rows:
        table.add_row(what, f"{value:.3g} {unit}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
