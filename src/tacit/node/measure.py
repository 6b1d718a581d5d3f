"""Measure the links among a job's compute parties: every party ends with the same `Network`, to approve with the job.

Nothing here depends on data. One ordered pair after the other: pings, then bursts that grow until one takes a quarter
of a second. What else runs on a machine, or has only just started there, makes pings and bursts slower, never faster: a
quarter of the pings were as short as the round trip that counts, and the fastest burst counts. Of a pair's two parties
the one that found the shorter round trip is believed, as it is the same. The longest round trip and the slowest
direction stand for all.
"""

from __future__ import annotations

import math
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

PINGS, MOST_PINGS = 5, 400
"""Round trips that are timed at least, and at most; in between for PING_S. One more comes before, untimed."""
PING_S = 0.1
FIRST_BURST, LAST_BURST = 1 << 12, 1 << 24
"""Bytes of a burst: each is four times the one before."""
BURSTS, BURSTS_S = 5, 1.0
"""Of one size: two at least, and no more once bursts to this peer have taken so long."""
LONG_ENOUGH_S = 0.25
END = 2**64 - 1
"""Asks for nothing more; another number asks for an answer to a burst of so many bytes, 0 for one at once."""
Clock = Callable[[], float]


def measure(mesh: Mesh, compute: tuple[str, ...], clock: Clock = time.perf_counter) -> Network:
    """Measure over links that exist, as one of the compute parties; raises PeerMisbehaved if the parties disagree."""
    own = np.zeros((len(compute), 2), np.uint64)
    for a, b in permutations(range(len(compute)), 2):
        if mesh.me == compute[a]:
            own[b] = _ask(mesh, compute[b], clock)
        elif mesh.me == compute[b]:
            _answer(mesh, compute[a])
    for peer in mesh.peers:
        mesh.send(peer, "measure.report", own)
    mesh.flush()
    told = {mesh.me: own}
    for peer in mesh.peers:
        theirs = mesh.recv(peer, "measure.report", own.nbytes).view(np.uint64).reshape(own.shape)
        others = np.delete(theirs, compute.index(peer), axis=0)
        if not np.all((others >= 1) & (others <= np.array([MOST_US, MOST_BYTES], np.uint64))):
            raise PeerMisbehaved(f"{peer} reports a link that cannot be", (peer,))
        told[peer] = theirs
    found = _slowest([[(int(trip), int(rate)) for trip, rate in told[name]] for name in compute])
    _confirm(mesh, found)
    return found


def _slowest(every: list[list[tuple[int, int]]]) -> Network:
    """Return the network from round trip (µs) and bytes a second of each ordered pair."""
    pairs = list(permutations(range(len(every)), 2))
    trip = max(min(every[a][b][0], every[b][a][0]) for a, b in pairs)
    rate = min(every[a][b][1] for a, b in pairs)
    return Network("measured", _rounded(trip, math.ceil), _rounded(rate, math.floor))


def _ask(mesh: Mesh, to: str, clock: Clock) -> tuple[int, int]:
    """Return the round trip in microseconds and the bytes a second from here to `to`."""

    def answered(size: int) -> float:
        start = clock()
        mesh.send(to, "measure.ask", np.array([size], np.uint64))
        if size:
            mesh.send(to, "measure.burst", np.zeros(size, np.uint8), stable=True)
        mesh.recv(to, "measure.answer", 0)
        return clock() - start

    trip = _round_trip(answered, clock)
    size, least = _burst(answered, clock, trip)
    mesh.send(to, "measure.ask", np.array([END], np.uint64))
    mesh.flush()
    rate = size / max(least, size / MOST_BYTES)
    return min(max(1, round(trip * 1e6)), MOST_US), max(1, round(rate))


def _round_trip(answered: Callable[[int], float], clock: Clock) -> float:
    """Return the lower quartile of as many pings as fit into PING_S."""
    answered(0)  # the peer may still be busy with another
    begun = clock()
    trips: list[float] = []
    while len(trips) < PINGS or (len(trips) < MOST_PINGS and clock() - begun < PING_S):
        trips.append(answered(0))
    return sorted(trips)[len(trips) // 4]


def _burst(answered: Callable[[int], float], clock: Clock, trip: float) -> tuple[int, float]:
    """Return the bytes of a burst that takes long enough, or of the last, and the least seconds that it took."""
    begun, size = clock(), FIRST_BURST
    while True:
        least = math.inf
        for done in range(BURSTS):
            if done >= 2 and clock() - begun > BURSTS_S:
                break
            least = min(least, answered(size) - trip)
            if least < LONG_ENOUGH_S and size < LAST_BURST:
                break
        if least >= LONG_ENOUGH_S or size >= LAST_BURST:
            return size, least
        size *= 4


def _answer(mesh: Mesh, to: str) -> None:
    """Answer what `_ask` sends."""
    while True:
        size = int(mesh.recv(to, "measure.ask", 8).view(np.uint64)[0])
        if size == END:
            return
        if size > LAST_BURST:
            raise PeerMisbehaved(
                f"{to} announces a burst of {size:,} bytes; {LAST_BURST:,} are the most", (to,)
            )
        if size:
            mesh.recv(to, "measure.burst", size)
        mesh.send(to, "measure.answer")
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


def measure_job(
    job: Job,
    roster: Roster,
    identity: Identity,
    connect_timeout_s: float = 30.0,
    listen: tuple[str, int] | None = None,
) -> Network:
    """Meet the job's other compute parties and measure; needs no approval, since nothing of the job is run.

    `listen` is the address to accept calls at, where it is not the roster's own.
    """
    if identity.name not in job.compute:
        raise PolicyViolation(
            f"{identity.name} does not compute in this job; {', '.join(job.compute)} measure their links"
        )
    pairs = [
        (a, b) for i, a in enumerate(job.compute) for b in job.compute[i + 1 :] if identity.name in (a, b)
    ]
    with connect_mesh(
        identity, roster, identity.name, listen=listen, links=pairs, connect_timeout_s=connect_timeout_s
    ) as mesh:
        handshake(mesh, job.compute, digest("measure", job.digest()), roster.hash())
        return measure(mesh, job.compute)
