"""Measure the links among a job's compute parties: every party ends with the same `Network`, to approve with the job.

Nothing here depends on data. One pair after the other: pings, then bursts that grow until one takes a quarter of a
second; the longest round trip and the slowest direction stand for all.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from itertools import permutations

import numpy as np

from tacit.core.party import handshake
from tacit.core.timing import MOST_BYTES, MOST_US, Network
from tacit.crypto.hashing import digest
from tacit.errors import PeerMisbehaved, PolicyViolation
from tacit.net import codec
from tacit.net.identity import Identity
from tacit.net.link import Mesh
from tacit.net.roster import Roster
from tacit.net.tls import connect_mesh
from tacit.node.job import Job

PINGS = 9
FIRST_BURST, LAST_BURST = 1 << 16, 1 << 24
"""Bytes of a burst: each is four times the one before."""
BURSTS = 3
"""Of the last size; the fastest counts."""
LONG_ENOUGH_S = 0.25
Clock = Callable[[], float]


def measure(mesh: Mesh, compute: tuple[str, ...], clock: Clock = time.perf_counter) -> Network:
    """Measure over links that exist, as one of the compute parties; raises PeerMisbehaved if the parties disagree."""
    own = []
    for a, b in permutations(compute, 2):
        if mesh.me == a:
            own.append(_ask(mesh, b, clock))
        elif mesh.me == b:
            _answer(mesh, a)
    report = np.array(own, np.uint64)
    for peer in mesh.peers:
        mesh.send(peer, "measure.report", report)
    mesh.flush()
    told = [report]
    for peer in mesh.peers:
        theirs = mesh.recv(peer, "measure.report", report.nbytes).view(np.uint64).reshape(report.shape)
        if not np.all((theirs >= 1) & (theirs <= np.array([MOST_US, MOST_BYTES], np.uint64))):
            raise PeerMisbehaved(f"{peer} reports a link that cannot be", (peer,))
        told.append(theirs)
    every = np.concatenate(told)
    found = Network(
        "measured", _rounded(int(every[:, 0].max()), math.ceil), _rounded(int(every[:, 1].min()), math.floor)
    )
    _confirm(mesh, found)
    return found


def _ask(mesh: Mesh, to: str, clock: Clock) -> tuple[int, int]:
    """Return the round trip in microseconds and the bytes a second from here to `to`."""
    trips = []
    for _ in range(PINGS):
        start = clock()
        mesh.send(to, "measure.ping")
        mesh.recv(to, "measure.pong", 0)
        trips.append(clock() - start)
    trip, size, fastest, left = statistics.median(trips[1:]), FIRST_BURST, 0.0, BURSTS
    while left:
        start = clock()
        mesh.send(to, "measure.size", np.array([size], np.uint64))
        mesh.send(to, "measure.burst", np.zeros(size, np.uint8), stable=True)
        mesh.recv(to, "measure.pong", 0)
        took = max(clock() - start - trip, size / MOST_BYTES)
        fastest = max(fastest, size / took)
        if took >= LONG_ENOUGH_S or size >= LAST_BURST:
            left -= 1  # what else runs on the machine only makes a burst slower
        else:
            size *= 4
    mesh.send(to, "measure.size", np.zeros(1, np.uint64))
    mesh.flush()
    return min(max(1, round(trip * 1e6)), MOST_US), min(max(1, round(fastest)), MOST_BYTES)


def _answer(mesh: Mesh, to: str) -> None:
    """Answer what `_ask` sends."""
    for _ in range(PINGS):
        mesh.recv(to, "measure.ping", 0)
        mesh.send(to, "measure.pong")
        mesh.flush()
    while True:
        size = int(mesh.recv(to, "measure.size", 8).view(np.uint64)[0])
        if size == 0:
            return
        if size > LAST_BURST:
            raise PeerMisbehaved(
                f"{to} announces a burst of {size:,} bytes; {LAST_BURST:,} are the most", (to,)
            )
        mesh.recv(to, "measure.burst", size)
        mesh.send(to, "measure.pong")
        mesh.flush()


def _rounded(value: int, way: Callable[[float], int]) -> int:
    """Round to three digits that count."""
    unit = int(10 ** max(0, len(str(value)) - 3))
    return max(1, way(value / unit) * unit)


def _confirm(mesh: Mesh, found: Network) -> None:
    mine = digest("measured", codec.encode(found.content()))
    for peer in mesh.peers:
        mesh.send(peer, "measure.found", np.frombuffer(mine, np.uint8))
    mesh.flush()
    for peer in mesh.peers:
        if mesh.recv(peer, "measure.found", 32).tobytes() != mine:
            raise PeerMisbehaved(f"{peer} told the parties different numbers", (peer,))


def measure_job(job: Job, roster: Roster, identity: Identity, connect_timeout_s: float = 30.0) -> Network:
    """Meet the job's other compute parties and measure; needs no approval, since nothing of the job is run."""
    if identity.name not in job.compute:
        raise PolicyViolation(
            f"{identity.name} does not compute in this job; {', '.join(job.compute)} measure their links"
        )
    pairs = [
        (a, b) for i, a in enumerate(job.compute) for b in job.compute[i + 1 :] if identity.name in (a, b)
    ]
    with connect_mesh(
        identity, roster, identity.name, links=pairs, connect_timeout_s=connect_timeout_s
    ) as mesh:
        handshake(mesh, job.compute, digest("measure", job.digest()), roster.hash())
        return measure(mesh, job.compute)
