"""Tacit's party: mutual TLS between processes, the rep3 protocol, Programs traced from jax.numpy."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench.rig.floor import drawn, passed, products
from bench.rig.live import live_shares
from bench.rig.party import Array, Engine
from bench.rig.relay import relay_seconds

from tacit import kernels, protocols
from tacit.algebra.ring import Ring
from tacit.array.analyse import predict
from tacit.array.interpret import Trace
from tacit.array.merge import optimise
from tacit.array.program import Aval, Input, Program, owned, parse
from tacit.array.ranges import check, secret_steps
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.secret import SecretArray
from tacit.array.session import EAGER_JOB
from tacit.core.cost import Cost
from tacit.core.party import handshake
from tacit.core.timing import LOOPBACK, Network, default_machine
from tacit.kernels import reuse_memory
from tacit.net.identity import load_identity
from tacit.net.roster import Party, Roster
from tacit.net.sockets import listen_on
from tacit.net.stream import TlsStream
from tacit.net.tls import connect_mesh
from tacit.node.measure import measure

NAMES = ("alice", "bob", "carol")
FORMAT = Format(64, 16)
TRACED = "BENCH_PROGRAMS"
"""Names a folder of Programs that were traced before, for machines without JAX."""


def traced_file(folder: Path, program: str, params: dict[str, Any]) -> Path:
    """Return where the traced Program of a workload is kept."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"{program}-{digest}.txt"


def trace(program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> Program:
    """Return the Program of a workload; what no owner has is secret from the start."""
    if folder := os.environ.get(TRACED):
        return secret_from_the_start(parse(traced_file(Path(folder), program, params).read_text()), inputs)
    from bench.rig import programs

    import tacit
    from tacit.frontends.jax import trace_jax

    programs.bounded = tacit.assume
    context = Trace()
    arrays: dict[str, SecretArray] = {}
    for name, spec in inputs.items():
        where = owned(spec["owner"]) if spec["owner"] else "secret"
        aval = Aval(tuple(spec["shape"]), "fixed", spec["lo"], spec["hi"], where)
        var = context.new_var()
        context.inputs.append(Input(name, spec["owner"] or NAMES[0], var, aval))
        arrays[name] = SecretArray(context, var, aval)
    outs = trace_jax(programs.PROGRAMS[program](params), [arrays])
    made = optimise(context.program(outs))
    for step in secret_steps(made):
        check(step, FORMAT)
    return made


def secret_from_the_start(program: Program, inputs: dict[str, dict[str, Any]]) -> Program:
    """Return a Program that was read as text, where every input has an owner, with inputs that nobody knows."""
    return program.replace(
        inputs=tuple(
            i if inputs[i.name]["owner"] else replace(i, aval=replace(i.aval, where="secret"))
            for i in program.inputs
        )
    )


def cost(program: Program, network: Network = LOOPBACK) -> Cost:
    """Return what the cost model predicts; what is secret from the start is shared already."""
    near, cores = network == LOOPBACK, len(os.sched_getaffinity(0))

    def with_cores(cores: float) -> Cost:
        here = replace(default_machine(), cores=cores / len(NAMES), together=near)
        return predict(program, "rep3", FORMAT, NAMES, NAMES, network=network, machine=here, opened=True)

    found = with_cores(cores)
    if near:
        return found
    # All parties share the cores of this machine with the relay; of what they exchange a round is a message of each.
    passing = relay_seconds(found.rounds * len(NAMES), found.total_bytes)
    return with_cores(cores - min(cores / 2, passing / found.seconds if found.seconds else 0.0))


def secret_inputs(runtime: Runtime, program: Program, arrays: dict[str, Array]) -> list[Value]:
    """Return the inputs as this party holds them: the first party shares what nobody is to know."""
    found = []
    needed = runtime.needed(program, opened=True)
    for spec in program.inputs:
        a, me = spec.aval, runtime.me
        if a.where != "secret":
            data = arrays[spec.name] if spec.owner == me else None
            found.append(Value(a, data, width=needed.get(spec.var, 0)))
            continue
        known = Aval(a.shape, a.kind, a.lo, a.hi, owned(NAMES[0]))
        mine = Value(known, arrays[spec.name] if me == NAMES[0] else None)
        found.append(Value(a, None, runtime.share(mine)))
    return found


class Looking:
    """Counts the processor time in which readers of this process look for messages instead of sleeping."""

    def __init__(self) -> None:
        self.seconds, look = 0.0, TlsStream._look

        def counted(stream: TlsStream, until_s: float) -> int | None:
            began = time.thread_time()
            try:
                return look(stream, until_s)
            finally:
                self.seconds += time.thread_time() - began

        TlsStream._look = counted  # type: ignore[method-assign]


def open_results(runtime: Runtime, results: list[Value]) -> list[Array]:
    """Open the results to everybody."""
    return [np.asarray(a) for a in runtime.open_outputs(results, NAMES)]


class Tacit(Engine):
    """One party."""

    def card(self) -> dict[str, Any]:
        """Make keys and listen."""
        name = NAMES[self.rank]
        self.identity = load_identity(self.folder / "identities" / name, name)
        self.listener = listen_on("127.0.0.1")
        party = self.identity.party("127.0.0.1", self.listener.getsockname()[1])
        return {"port": party.port, "fingerprint": party.fingerprint, "certificate": party.certificate}

    def connect(self, cards: list[dict[str, Any]]) -> None:
        """Meet over mutual TLS."""
        roster = Roster(
            tuple(
                Party(n, "127.0.0.1", c["port"], c["fingerprint"], c["certificate"])
                for n, c in zip(NAMES, cards, strict=True)
            )
        )
        mesh = connect_mesh(self.identity, roster, NAMES[self.rank], listen=self.listener)
        # Through relays the links are measured, and variants chosen for what was found, as `tacit job measure` does.
        self.network = measure(mesh, NAMES) if any("relay" in c for c in cards) else LOOPBACK
        party = handshake(mesh, NAMES, EAGER_JOB, roster.hash(), network=self.network)
        protocol = protocols.load("rep3", "compute")(party, Ring(FORMAT.width))
        self.mesh, self.runtime = mesh, Runtime(protocol, FORMAT, NAMES)
        self.looking = Looking()

    def prepare(self, program: str, params: dict[str, Any], inputs: dict[str, dict[str, Any]]) -> None:
        """Trace, optimise, check ranges."""
        self.program = trace(program, params, inputs)
        self.inputs, self.arrays = inputs, self.values(inputs)
        self.shared: list[Value] = []
        self.results: list[Value] = []

    def facts(self) -> dict[str, Any]:
        """Return what the cost model predicts, what products multiply and read, and what else is read and written."""
        model = cost(self.program, self.network)
        return {
            "network": self.network.content(),
            "kernels": kernels.info()["target"],
            "predicted_seconds": model.seconds,
            "predicted_cpu": sum(model.working.values()),
            "predicted_rounds": model.rounds,
            "predicted_bytes": [model.sent_by(n) for n in NAMES],
            "factors": products(self.program, FORMAT),
            "passed": passed(self.program, FORMAT),
            "live": live_shares(self.program, FORMAT),
        }

    def share(self) -> None:
        """Share what is secret from the start; an owner's columns stay with the owner."""
        self.shared = secret_inputs(self.runtime, self.program, self.arrays)
        self.runtime.p.party.flush()
        self.arrays = {}

    def meet(self) -> None:
        """Exchange two empty messages, after which all parties count rounds from the same number."""
        for _ in range(2):
            for peer in self.mesh.peers:
                self.mesh.send(peer, "meet")
            for peer in self.mesh.peers:
                self.mesh.recv(peer, "meet", 0)
        self.mesh.flush()

    def run(self) -> None:
        """Run the Program."""
        self.results = []
        inputs = [Value(v.aval, v.data, v.share, v.exact, v.constant, width=v.width) for v in self.shared]
        self.results = self.runtime.block(self.program, inputs, opened=True)
        self.runtime.p.party.flush()

    def output(self) -> list[Array]:
        """Reveal to everybody."""
        return open_results(self.runtime, self.results)

    def meter(self) -> dict[str, float]:
        """Return causal rounds, payload bytes and bytes drawn so far."""
        snapshot = self.mesh.meter.snapshot()
        return {
            "rounds": snapshot.rounds,
            "payload": snapshot.total.payload_sent,
            "drawn": drawn(self.runtime.p.party),
        }

    def looked_s(self) -> float:
        """Return the processor seconds of looking for messages so far."""
        return self.looking.seconds

    def close(self) -> None:
        """Say goodbye."""
        self.mesh.close()


def make(rank: int, folder: Path) -> Engine:
    """Return the engine, with the memory settings of a node's process."""
    reuse_memory()
    return Tacit(rank, folder)
