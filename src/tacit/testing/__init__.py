"""Public test tools: run protocol code among in-memory parties with keys made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.core.ghost import ghost, ghost_planes
from tacit.core.party import Party
from tacit.core.protocol import Protocol
from tacit.core.share import Planes, Share
from tacit.core.timing import LOOPBACK, Network
from tacit.crypto.hashing import digest
from tacit.crypto.prg import KeyRing
from tacit.net.link import Mesh
from tacit.net.memory import Hub

Array = npt.NDArray[Any]
T = TypeVar("T")
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")


def dealer_of(protocol: str, name: str = "zoe") -> str:
    """Return `name` if the protocol has a dealer, else no name."""
    return name if protocols.entry(protocol).dealer else ""


def settings(*parties: int) -> list[tuple[str, int, str]]:
    """Return (protocol, how many compute, dealer) for every registered protocol but `clear`: tests for all walk it.

    `parties` says how many parties to try; a protocol that does not take so many takes the nearest number that it does.
    """
    found = dict.fromkeys(
        (name, max(entry.parties[0], min(n, entry.parties[1])), dealer_of(name))
        for name, entry in protocols.REGISTRY.items()
        if name != "clear"
        for n in parties
    )
    return list(found)


def seeded_keys(name: str, names: tuple[str, ...], seed: int) -> KeyRing:
    """Return the keys of one party, made from `seed` alone: for tests, never for data."""
    raw = str(seed).encode()
    pair = {p: digest("test-pair", raw, *(x.encode() for x in sorted((name, p)))) for p in names if p != name}
    return KeyRing(pair, digest("test-own", raw, name.encode()))


def run(
    protocol: str,
    width: int,
    fn: Callable[[Any], T],
    *,
    n: int = 3,
    clients: tuple[str, ...] = (),
    dealer: str = "",
    seed: int = 0,
    hub: Hub | None = None,
    keys: Callable[[str], KeyRing] | None = None,
    network: Network = LOOPBACK,
) -> dict[str, T]:
    """Run `fn(protocol)` at every compute party, client and dealer; return each one's result by name."""
    compute = NAMES[: 1 if protocol == "clear" else n]
    names = (*compute, *clients, *((dealer,) if dealer else ()))
    hub = hub or Hub(names, seed=seed)
    ring = Ring(width)

    def body(mesh: Mesh) -> T:
        made = keys(mesh.me) if keys else seeded_keys(mesh.me, names, seed)
        party = Party(mesh.me, compute, mesh, made, network=network)
        role = "compute" if mesh.me in compute else "dealer" if mesh.me == dealer else "client"
        options = {"dealer": dealer} if dealer else {}
        return fn(protocols.load(protocol, role)(party, ring, **options))

    return hub.run(dict.fromkeys(names, body))


def scatter(p: Protocol, value: Array) -> Share:
    """Return this party's shares of `value`, made from a common test seed instead of by any message."""
    value = np.asarray(value)
    if p.party.index < 0:
        return ghost(value.shape)
    if p.parts == 1 and p.party.n == 1:
        return Share((value,))
    rng = np.random.default_rng(1234)
    ring, n = p.ring, p.party.n
    raw = rng.integers(0, 2**64, size=(n - 1, *value.shape, 2), dtype=np.uint64)
    comps: list[Array] = []
    for j in range(n - 1):
        c = ring.from_words(raw[j, ..., 0])
        if ring.wide:
            c["hi"] = raw[j, ..., 1]
            c = ring.reduce(c)
        comps.append(c)
    last = value
    for c in comps:
        last = ring.sub(last, c)
    comps.append(last)
    i = p.party.index
    return Share(tuple(comps[(i + j) % n] for j in range(p.parts)))


def scatter_planes(p: Protocol, value: Array, n: int) -> Planes:
    """Return this party's XOR shares of bit planes."""
    if p.party.index < 0:
        return ghost_planes(len(value), n)
    rng = np.random.default_rng(4321)
    count = p.party.n
    comps = [rng.integers(0, 2**64, size=value.shape, dtype=np.uint64) for _ in range(count - 1)]
    last = value.copy()
    for c in comps:
        last ^= c
    comps.append(last)
    i = p.party.index
    return Planes(tuple(comps[(i + j) % count] for j in range(p.parts)), n)


def gather(results: dict[str, Share], protocol: str, ring: Ring, n: int = 3) -> Array:
    """Add up the parties' shares; AssertionError if replicated copies differ."""
    shares = [results[name] for name in NAMES[: 1 if protocol == "clear" else n]]
    if len(shares[0].parts) == 2:
        for i in range(3):
            assert np.array_equal(shares[i].parts[1], shares[(i + 1) % 3].parts[0]), (
                "copies of a component differ"
            )
    total = shares[0].parts[0]
    for s in shares[1:]:
        total = ring.add(total, s.parts[0])
    return total


def gather_planes(results: dict[str, Planes], protocol: str, n: int = 3) -> Array:
    """XOR the parties' planes and cut to the meaningful lanes: uint8 (planes, elements)."""
    sets = [results[name] for name in NAMES[: 1 if protocol == "clear" else n]]
    if len(sets[0].parts) == 2:
        for i in range(3):
            assert np.array_equal(sets[i].parts[1], sets[(i + 1) % 3].parts[0]), (
                "copies of a component differ"
            )
    total = sets[0].parts[0].copy()
    for s in sets[1:]:
        total = total ^ s.parts[0]
    bits = np.unpackbits(np.ascontiguousarray(total).view(np.uint8), axis=1, bitorder="little")
    return bits[:, : sets[0].n]
