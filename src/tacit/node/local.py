"""`tacit.local`: an eager session whose parties are real processes on this machine, linked by mutual TLS.

The session's user owns every process. Operations travel as program text over pipes; values stay in the parties.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tacit import protocols
from tacit.array.loop import infer_eqn
from tacit.array.program import Aval, Eqn, Input, Program, parse
from tacit.array.runtime import Format
from tacit.array.session import EAGER_JOB, NAMES, Cluster, Session, Worker
from tacit.core.party import handshake
from tacit.core.timing import LOOPBACK, Network, as_network, network_of
from tacit.errors import InternalError, PeerUnavailable, TacitError, UsageError
from tacit.kernels import reuse_memory
from tacit.net.identity import load_identity
from tacit.net.meter import Snapshot, Traffic
from tacit.net.rendezvous import listen_on
from tacit.net.roster import Party, Roster
from tacit.net.tls import connect_mesh
from tacit.node.arrays import pack, unpack
from tacit.node.launch import JobFailed, Member, Parties, error_of
from tacit.node.managed import Reporter
from tacit.node.privacy import keep_memory_private

# -- what crosses the pipe ---------------------------------------------------------------------------------


def _aval_json(a: Aval) -> list[Any]:
    return [list(a.shape), a.kind, a.lo, a.hi, a.where]


def _aval(form: list[Any]) -> Aval:
    return Aval(tuple(form[0]), form[1], form[2], form[3], form[4])


def encode_call(method: str, args: tuple[Any, ...]) -> dict[str, Any]:
    """Return a Worker call as JSON values."""
    if method == "put":
        var, aval, data = args
        return {
            "method": method,
            "var": var,
            "aval": _aval_json(aval),
            "data": None if data is None else pack(data),
        }
    if method == "step":
        eqn, _, drop = args
        inputs = tuple(Input(f"v{v}", "", v, Aval((), "int", 0, 0)) for v in dict.fromkeys(eqn.ins))
        return {"method": method, "program": Program(inputs, (eqn,)).text(), "drop": drop}
    if method == "run":
        program, inputs = args
        return {
            "method": method,
            "program": program.text(),
            "inputs": {k: pack(v) for k, v in inputs.items()},
        }
    return {"method": method}


def answer(worker: Worker, call: dict[str, Any]) -> Any:
    """Run one call at a party; return its result as JSON values."""
    method = call["method"]
    if method == "put":
        worker.put(call["var"], _aval(call["aval"]), None if call["data"] is None else unpack(call["data"]))
        return None
    if method == "step":
        eqn: Eqn = parse(call["program"]).eqns[0]
        outs = infer_eqn(eqn, [worker.values[v].aval for v in eqn.ins], worker.runtime.fmt)
        opened = worker.step(eqn, outs, call["drop"])
        return None if opened is None else pack(opened)
    if method == "run":
        results = worker.run(parse(call["program"]), {k: unpack(v) for k, v in call["inputs"].items()})
        return {k: pack(v) for k, v in results.items()}
    if method == "meter":
        s = worker.meter()
        return {"rounds": s.rounds, "peers": {p: [t.payload_sent, t.payload_received, t.frames_sent,
                t.frames_received, t.wire_sent, t.wire_received] for p, t in s.peers.items()}}  # fmt: skip
    raise InternalError(f"no call is named {method!r}")


def _decode(method: str, result: Any) -> Any:
    if result is None:
        return None
    if method == "step":
        return unpack(result)
    if method == "run":
        return {k: unpack(v) for k, v in result.items()}
    return Snapshot(result["rounds"], {p: Traffic(*t) for p, t in result["peers"].items()}, {})


# -- the party's side -----------------------------------------------------------------------------------------


def serve(name: str, home: Path, host: str = "127.0.0.1") -> int:
    """Run one party of an eager session: connect, then answer calls until stdin ends."""
    report = Reporter(sys.stdout)
    keep_memory_private()
    reuse_memory()
    try:
        identity = load_identity(home, name)
        with listen_on(host) as listener:
            from dataclasses import asdict

            report.event("card", party=asdict(identity.party(host, listener.getsockname()[1])))
            order = json.loads(sys.stdin.readline() or "{}")
            if not order:
                return 1
            roster = Roster(tuple(Party(**p) for p in order["roster"]))
            mesh = connect_mesh(
                identity,
                roster,
                name,
                listen=listener,
                links=[p for p in map(tuple, order["links"]) if name in p],
            )
        with mesh:
            links = network_of(order["network"], "the session's order")
            party = handshake(mesh, tuple(order["compute"]), EAGER_JOB, roster.hash(), network=links)
            fmt = Format(order["width"], order["frac_bits"])
            worker = Worker(party, order["protocol"], fmt, tuple(order["readers"]), order["dealer"])
            report.event("ready")
            for line in sys.stdin:
                report.event("answer", result=answer(worker, json.loads(line)))
        return 0
    except Exception as exc:
        report.error(exc)
        return 1


# -- the session's side ---------------------------------------------------------------------------------------


class Processes(Cluster):
    """Parties as processes of this machine."""

    def __init__(self, parties: Parties, folder: tempfile.TemporaryDirectory[str] | None) -> None:
        self.parties = parties
        self.names = tuple(m.name for m in parties.members)
        self._folder = folder
        self._broken: BaseException | None = None
        self._lock = threading.Lock()

    def call(self, method: str, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        """Call a Worker method at the named parties."""
        if self._broken is not None:
            raise InternalError("this session has ended") from self._broken
        with self._lock:
            for name, args in arguments.items():
                self.parties.tell(name, encode_call(method, args))
            results = self.wait("answer", len(arguments))
        return {name: _decode(method, event["result"]) for name, event in results.items()}

    def wait(self, kind: str, count: int) -> dict[str, dict[str, Any]]:
        """Wait for `count` events of a kind; raise the root cause if a party fails."""
        results: dict[str, dict[str, Any]] = {}
        errors: dict[str, TacitError] = {}
        while len(results) + len(errors) < count:
            name, event = self.parties.events.get()
            if event is None:
                errors.setdefault(name, PeerUnavailable(f"{name}'s process has ended", name))
            elif event["event"] == "error":
                errors[name] = error_of(event, name)
            elif event["event"] == kind:
                results[name] = event
        if errors:
            own = [e for e in errors.values() if not isinstance(e, PeerUnavailable)]
            self._broken = (own or list(errors.values()))[0]
            raise self._broken
        return results

    def close(self) -> None:
        """End the processes."""
        self.parties.stop()
        if self._folder is not None:
            self._folder.cleanup()


def local(
    protocol: str = "rep3",
    parties: int | Sequence[str] | None = None,
    *,
    owners: Sequence[str] = (),
    width: int = 64,
    frac_bits: int | None = None,
    dealer: str = "",
    home: str | Path | None = None,
    network: Network | str = LOOPBACK,
) -> Session:
    """Open an eager session among real processes on this machine, linked by mutual TLS 1.3.

    Arguments as for `simulate`; `home` keeps the parties' identities (default: made anew, gone at the end).
    """
    protocols.check_dealer(protocol, dealer)
    low, high = protocols.entry(protocol).parties
    count = max(low, 3 if protocol == "semi2k" else low) if parties is None else parties
    compute = NAMES[:count] if isinstance(count, int) else tuple(count)
    if not low <= len(compute) <= high:
        raise UsageError(f"{protocol} takes {low} to {high} parties, not {len(compute)}")
    if protocol == "clear":
        raise UsageError("clear has one party and no links; use tacit.simulate('clear')")
    names = (*compute, *owners, *((dealer,) if dealer and dealer not in owners else ()))
    if len(set(names)) != len(names):
        raise UsageError(f"two participants share a name among {', '.join(names)}")
    fmt = Format(width, frac_bits if frac_bits is not None else (16 if width == 64 else 40))
    chosen = as_network(network)
    folder = tempfile.TemporaryDirectory(prefix="tacit-local-") if home is None else None
    base = Path(folder.name if folder is not None else str(home))
    started = Parties([Member(n, base / n) for n in names], verb="session")
    started.__enter__()
    cluster = Processes(started, folder)
    core = [n for n in names if n in compute or n == dealer]
    links = [(a, b) for i, a in enumerate(core) for b in core[i + 1 :]]
    links += [(o, c) for o in names if o not in core for c in compute]
    try:
        for name in names:
            cluster.parties.tell(
                name,
                {
                    "roster": [started.cards[n] for n in names],
                    "links": links,
                    "compute": list(compute),
                    "readers": [n for n in names if n != dealer or n in (*compute, *owners)],
                    "protocol": protocol,
                    "dealer": dealer,
                    "width": fmt.width,
                    "frac_bits": fmt.frac_bits,
                    "network": chosen.content(),
                },
            )
        cluster.wait("ready", len(names))
    except BaseException:
        cluster.close()
        raise
    stamp = f"{protocol} among {', '.join(compute)}, {len(names)} processes of this machine"
    if dealer:
        stamp += f"; {dealer} deals the products' material and could read everything"
    return Session(cluster, protocol, compute, fmt, stamp)


__all__ = ["JobFailed", "local", "serve"]
