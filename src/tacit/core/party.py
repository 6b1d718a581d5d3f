"""One party in one session: its name, its links, its keys; and the handshake that makes them.

The handshake runs inside links that already authenticate the peer (mutual TLS, or the hub of a simulation).
Each pair agrees on a fresh key by X25519, bound to the job, the roster and both nonces; the compute parties
then compare one session id, so that nobody can be shown another session (SECURITY.md section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.core.timing import LOOPBACK, Network
from tacit.crypto.hashing import digest
from tacit.crypto.prg import Agreement, Entropy, KeyRing, Source, Stream, system_entropy
from tacit.errors import MaterialError, PeerIncompatible, PeerMisbehaved
from tacit.net import codec
from tacit.net.link import Mesh

Array = npt.NDArray[Any]
WIRE_VERSION = 25
HELLO_LIMIT = 4096


@dataclass(slots=True)
class Party:
    """One participant's view of a session.

    `compute` names the parties that hold shares, in order; `index` is this party's place among them, or −1
    for a participant that only provides inputs or receives results.
    """

    name: str
    compute: tuple[str, ...]
    mesh: Mesh
    keys: KeyRing
    sid: bytes = b""
    network: Network = LOOPBACK
    """What variants are chosen for, the same at every party: a public part of the job."""
    index: int = field(init=False)
    _around: tuple[str, ...] = field(init=False, repr=False)
    _open: dict[str, Source] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.index = self.compute.index(self.name) if self.name in self.compute else -1
        self._around = (*self.compute[self.index :], *self.compute[: self.index])

    @property
    def n(self) -> int:
        """Number of compute parties."""
        return len(self.compute)

    def peer(self, offset: int) -> str:
        """Name of the compute party `offset` places after this one, cyclically."""
        return self._around[offset]

    def common(self, offset: int, label: str) -> Source:
        """Stream shared with the compute party `offset` places after this one."""
        return self.keys.common(self._around[offset], label)

    def common_with(self, peer: str, label: str) -> Source:
        """Stream shared with the participant `peer`."""
        return self.keys.common(peer, label)

    def open(self, label: str) -> Source:
        """Stream that everybody knows, fixed by the session's id: it spreads values and hides nothing."""
        if label not in self._open:
            self._open[label] = Stream(digest("open", self.sid), label)
        return self._open[label]

    def send(self, to: str, label: str, *parts: Array) -> None:
        """Queue `parts` for `to`, which nobody writes to again; they leave at the next receive or flush."""
        self.mesh.send(to, label, *parts, stable=True)

    def recv(self, frm: str, label: str, nbytes: int, held: bool = False) -> Array:
        """Return the `nbytes` bytes that `frm` sends at this step, uint8; `held` as `Mesh.recv` says."""
        return self.mesh.recv(frm, label, nbytes, held)

    def flush(self) -> None:
        """Let queued messages leave."""
        self.mesh.flush()


def handshake(
    mesh: Mesh,
    compute: Sequence[str],
    job: bytes,
    roster: bytes = b"",
    entropy: Entropy = system_entropy,
    network: Network = LOOPBACK,
) -> Party:
    """Agree on keys and a session id with every linked party; return this party.

    `job` and `roster` are digests of what the parties believe they run, and with whom; `network` is what they
    choose variants for. Raises PeerIncompatible if a peer believes otherwise, before anything that depends on data
    is sent.
    """
    me = mesh.me
    own, nonce = Agreement(entropy), entropy(32)
    mine: dict[str, Any] = {
        "v": WIRE_VERSION,
        "job": job,
        "roster": roster,
        "network": digest("network", codec.encode(network.content())),
        "nonce": nonce,
        "key": own.public,
    }
    hello = codec.encode(mine)
    for peer in mesh.peers:
        mesh.send(peer, "hello", np.frombuffer(hello, np.uint8))
    mesh.flush()
    hellos: dict[str, dict[str, Any]] = {me: mine}
    for peer in mesh.peers:
        hellos[peer] = _read_hello(mesh, peer, mine)
    keys = {p: _shared(own, p, hellos, _pair_info(me, p, hellos, job, roster)) for p in mesh.peers}
    sid = _agree_on_sid(mesh, tuple(compute), hellos, job, roster)
    keys = {p: digest("pair", k, sid) for p, k in keys.items()}
    return Party(me, tuple(compute), mesh, KeyRing(keys, digest("own", entropy(32), sid)), sid, network)


def _read_hello(mesh: Mesh, peer: str, mine: dict[str, Any]) -> dict[str, Any]:
    label, payload = mesh.recv_any(peer, HELLO_LIMIT)
    theirs: Any = codec.decode_from(peer, bytes(payload)) if label == "hello" else None
    if not isinstance(theirs, dict) or set(theirs) != set(mine):
        raise PeerIncompatible(f"{peer} does not speak this version of Tacit; install the same one", peer)
    if theirs["v"] != mine["v"]:
        raise PeerIncompatible(f"{peer} speaks wire version {theirs['v']}, we speak {mine['v']}", peer)
    for part, what in (
        ("job", "another program or job"),
        ("roster", "another list of parties"),
        ("network", "another network to choose variants for"),
    ):
        if theirs[part] != mine[part]:
            raise PeerIncompatible(
                f"configuration mismatch: {peer} and {mesh.me} were given {what} each "
                f"({_short(theirs[part])} and {_short(mine[part])}); give every party the same files",
                peer,
            )
    if not all(isinstance(theirs[f], bytes) and len(theirs[f]) == 32 for f in ("nonce", "key")):
        raise PeerMisbehaved(f"{peer} sent a malformed hello", (peer,))
    return theirs


def _shared(own: Agreement, peer: str, hellos: dict[str, dict[str, Any]], info: bytes) -> bytes:
    try:
        return own.shared(hellos[peer]["key"], info)
    except MaterialError:
        raise PeerMisbehaved(
            f"{peer} sent a key-agreement value that is not a valid point", (peer,)
        ) from None


def _short(value: object) -> str:
    return value.hex()[:12] if isinstance(value, bytes) else "malformed"


def _pair_info(me: str, peer: str, hellos: dict[str, dict[str, Any]], job: bytes, roster: bytes) -> bytes:
    a, b = sorted((me, peer))
    fields = [f for p in (a, b) for f in (p.encode(), hellos[p]["nonce"], hellos[p]["key"])]
    return digest("pair-info", job, roster, *fields)


def _agree_on_sid(
    mesh: Mesh, compute: tuple[str, ...], hellos: dict[str, dict[str, Any]], job: bytes, roster: bytes
) -> bytes:
    """Derive the session id from the compute parties' nonces and check that all hold the same one."""
    me = mesh.me
    if me in compute:
        fields = [f for p in compute for f in (p.encode(), hellos[p]["nonce"])]
        sid = digest("sid", bytes([WIRE_VERSION]), job, roster, *fields)
        for peer in mesh.peers:
            mesh.send(peer, "sid", np.frombuffer(sid, np.uint8))
        mesh.flush()
    told = {p: mesh.recv(p, "sid", 32).tobytes() for p in compute if p in mesh.peers}
    if me not in compute:
        sid = told[compute[0]]
    for peer, theirs in told.items():
        if theirs != sid:
            raise PeerMisbehaved(f"{peer} is in another session than the other parties", (peer,))
    return sid
