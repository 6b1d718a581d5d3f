"""One party's part in a job: check the approval, read the table, connect, compute, account for it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array.runtime import Runtime
from tacit.array.streams import check_input
from tacit.core.party import handshake
from tacit.crypto.prg import Entropy, system_entropy
from tacit.errors import DataError, PeerIncompatible, PolicyViolation, TacitError
from tacit.net.identity import Identity
from tacit.net.link import Mesh
from tacit.net.roster import Roster
from tacit.net.tls import connect_mesh
from tacit.node.job import Job
from tacit.node.room import check_room
from tacit.node.tables import read_table

Array = npt.NDArray[Any]
Progress = Callable[[int, int], None]
TELL_S = 10.0
"""How long a party that cannot take part looks for the others, to tell them so."""


@dataclass(slots=True)
class Outcome:
    """What one party has at the end: its results, and an account of the run."""

    party: str
    results: dict[str, Array]
    rounds: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    """Payload bytes to each peer, the handshake left out."""
    wire: dict[str, int] = field(default_factory=dict)
    """Bytes to each peer with framing, before encryption."""
    seconds: float = 0.0
    """From the end of the handshake, as the plan estimates them; other parties may be some milliseconds behind."""
    digest: str = ""
    session: str = ""


def load_inputs(job: Job, party: str, table: Path | None) -> dict[str, Array]:
    """Read what `party` must provide, by input name; `x.present` is the mask of x's present rows."""
    specs = [i for i in job.program.inputs if i.owner == party]
    if not specs:
        return {}
    if table is None:
        raise DataError(
            f"{party} provides {', '.join(s.name for s in specs)}: give its table with --table FILE"
        )
    read = read_table(table, job.tables.get(party, ()))
    out: dict[str, Array] = {}
    for spec in specs:
        name, _, part = spec.name.partition(".")
        if name not in read.values or part not in ("", "present"):
            raise DataError(
                f"the job asks {party} for {spec.name!r}, which its declared columns do not contain"
            )
        values = read.present[name] if part else read.values[name]
        if spec.aval.shape == ():
            if len(values) != 1:
                raise DataError(f"{table}: one row is expected, there are {len(values)}")
            values = np.asarray(values[0])
        if spec.aval.shape and len(values) != spec.aval.shape[0]:
            raise DataError(
                f"{table}: the job was made for {spec.aval.shape[0]} rows, the table has {len(values)}; "
                "ask for a new job"
            )
        out[spec.name] = check_input(f"{party}/{spec.name}", values, spec.aval)
    return out


def run_member(
    job: Job,
    roster: Roster,
    identity: Identity,
    approved: str,
    table: Path | None = None,
    *,
    inputs: Mapping[str, Array] | None = None,
    listen: tuple[str, int] | socket.socket | None = None,
    progress: Progress | None = None,
    connect_timeout_s: float = 30.0,
    silence_timeout_s: float = 20.0,
) -> Outcome:
    """Take part in `job` as `identity`; returns when this party's part is done.

    Local mistakes (no approval, a bad table) are found first; the peers are then told that this party stopped,
    not why. Raises TacitError; nothing of this party's data has left unless all parties agreed on the job.
    """
    me = identity.name
    failure: TacitError | None = None
    own: dict[str, Array] = {}
    try:
        digest = job.check_approval(approved)
        if me not in job.parties:
            raise PeerIncompatible(
                f"{me} is not a party of this job; its parties are {', '.join(job.parties)}", me
            )
        if job.protocol == "clear":
            raise PolicyViolation(
                "protocol clear hides nothing: it is for checks in one process (tacit.simulate), not for parties"
            )
        check_room(job.plan().cost.memory.get(me, 0), me)
        own = dict(inputs) if inputs is not None else load_inputs(job, me, table)
    except TacitError as exc:
        failure = exc
    if failure is not None and me not in roster.names:
        raise failure

    def meet(timeout_s: float) -> Mesh:
        return connect_mesh(
            identity,
            roster,
            me,
            listen=listen,
            links=[pair for pair in job.links() if me in pair],
            connect_timeout_s=timeout_s,
            silence_timeout_s=silence_timeout_s,
        )

    if failure is not None:
        # Whatever becomes of the attempt to tell the others, this party's own mistake is what its user must see.
        with contextlib.suppress(TacitError), meet(min(connect_timeout_s, TELL_S)) as mesh:
            mesh.abort(failure)
        raise failure
    mesh = meet(connect_timeout_s)
    with mesh:
        return _compute(job, digest, mesh, roster.hash(), own, progress, system_entropy)


def compute(
    job: Job,
    mesh: Mesh,
    roster: bytes,
    inputs: Mapping[str, Array],
    progress: Progress | None = None,
    entropy: Entropy = system_entropy,
) -> Outcome:
    """Run the job over links that exist: handshake, program, account."""
    return _compute(job, job.digest(), mesh, roster, inputs, progress, entropy)


def _compute(
    job: Job,
    digest: bytes,
    mesh: Mesh,
    roster: bytes,
    inputs: Mapping[str, Array],
    progress: Progress | None,
    entropy: Entropy,
) -> Outcome:
    party = handshake(mesh, job.compute, digest, roster, entropy, job.network)
    started = time.monotonic()
    before = mesh.meter.snapshot()
    role = "dealer" if party.name == job.dealer else "compute" if party.index >= 0 else "client"
    options = {"dealer": job.dealer} if job.dealer else {}
    protocol = protocols.load(job.protocol, role)(party, Ring(job.fmt.width), **options)
    allowed = frozenset(e.params["name"] for e in job.program.reveals())
    runtime = Runtime(protocol, job.fmt, job.readers, allowed, progress=progress)
    try:
        results = runtime.run(job.program, inputs)
    finally:
        party.keys.destroy()
    traffic = mesh.meter.snapshot() - before
    return Outcome(
        party.name,
        dict(results),
        traffic.rounds,
        {p: t.payload_sent for p, t in traffic.peers.items()},
        {p: t.wire_sent for p, t in traffic.peers.items()},
        time.monotonic() - started,
        digest.hex(),
        party.sid.hex(),
    )


__all__ = ["Outcome", "compute", "load_inputs", "run_member"]
