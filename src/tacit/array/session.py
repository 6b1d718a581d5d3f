"""Eager sessions: every operation runs at once at every party, on the real protocol code.

`simulate` runs the parties as threads of this process over in-memory links and stamps every result as a
simulation. `tacit.local` (in the node layer) does the same with processes. A session is a Context: it takes the
same equations that a trace records.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array import copies
from tacit.array.interpret import Context, array_of
from tacit.array.program import PUBLIC, Aval, Eqn, Program, owned
from tacit.array.ranges import Step, check, secret_steps
from tacit.array.ratios import Live
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.secret import SecretArray
from tacit.array.streams import check_input
from tacit.core.party import Party, handshake
from tacit.core.timing import LOOPBACK, Network, as_network
from tacit.crypto.prg import Entropy, system_entropy
from tacit.errors import InternalError, PeerUnavailable, UsageError
from tacit.net.link import Mesh
from tacit.net.memory import Hub
from tacit.net.meter import Snapshot

Array = npt.NDArray[Any]
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi")
EAGER_JOB = hashlib.sha256(b"tacit eager session 1").digest()


class Revealed(np.ndarray):
    """An opened result: an ordinary NumPy array whose repr says how it was computed."""

    stamp: str

    def __new__(cls, value: Any, stamp: str) -> Revealed:
        """Wrap `value`."""
        made = np.asarray(value).view(cls)
        made.stamp = stamp
        return made

    def __array_finalize__(self, obj: Any) -> None:
        self.stamp = getattr(obj, "stamp", "")

    def __repr__(self) -> str:
        return f"{np.asarray(self)!r}  # {self.stamp}"


class Worker:
    """One party of a session: a runtime, and the values it holds by number."""

    def __init__(
        self, party: Party, protocol: str, fmt: Format, parties: tuple[str, ...], dealer: str
    ) -> None:
        role = "dealer" if party.name == dealer else "compute" if party.index >= 0 else "client"
        options = {"dealer": dealer} if dealer else {}
        made = protocols.load(protocol, role)(party, Ring(fmt.width), **options)
        self.runtime = Runtime(made, fmt, parties)
        self.values: dict[int, Value] = {}

    def put(self, var: int, aval: Aval, data: Array | None) -> None:
        """Hold an input; `data` only at its owner."""
        self.values[var] = Value(aval, data)

    def step(self, eqn: Eqn, outs: list[Aval], drop: list[int]) -> Array | None:
        """Run one equation; return what a reveal opened here."""
        for v in drop:
            self.values.pop(v, None)
        ins = [self.values[v] for v in eqn.ins]
        results = self.runtime.step(eqn, ins, outs)
        copies.note(eqn, ins, results)
        self.runtime.p.party.flush()
        self.values.update(zip(eqn.outs, results, strict=True))
        if eqn.op == "reveal":
            return self.runtime.opened.pop(eqn.params["name"], None)
        return None

    def run(self, program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a whole Program on this party's inputs; return what it learned."""
        self.runtime.opened = {}
        return self.runtime.run(program, inputs)

    def meter(self) -> Snapshot:
        """Return the traffic so far."""
        return self.runtime.p.party.mesh.meter.snapshot()


class Cluster:
    """The parties of a session, wherever they run."""

    names: tuple[str, ...]

    def call(self, method: str, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        """Call a Worker method at every named party at once; return the results, or raise the root cause."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the parties."""


class Threads(Cluster):
    """Parties as threads of this process over a Hub."""

    def __init__(
        self,
        names: tuple[str, ...],
        make: Callable[[Mesh, Entropy], Worker],
        hub: Hub,
        seed: int | None,
    ) -> None:
        self.names = names
        self.hub = hub
        self._queues: dict[str, queue.SimpleQueue[Any]] = {n: queue.SimpleQueue() for n in names}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._broken: BaseException | None = None
        self.workers: dict[str, Worker] = {}
        self._threads = [
            threading.Thread(target=self._serve, args=(n, make, seed), name=f"tacit-{n}", daemon=True)
            for n in names
        ]
        for t in self._threads:
            t.start()
        self._collect(len(names))

    def _serve(self, name: str, make: Callable[[Mesh, Entropy], Worker], seed: int | None) -> None:
        mesh = self.hub.mesh(name)
        try:
            worker = self.workers[name] = make(mesh, seeded_entropy(seed, name))
            self._done.put((name, None, None))
            while True:
                job = self._queues[name].get()
                if job is None:
                    mesh.close()
                    return
                method, arguments = job
                self._done.put((name, getattr(worker, method)(*arguments), None))
        except BaseException as exc:
            mesh.abort(exc)
            self._done.put((name, None, exc))

    def call(self, method: str, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        """Call a Worker method at the named parties."""
        if self._broken is not None:
            raise InternalError("this session has ended") from self._broken
        for name, args in arguments.items():
            self._queues[name].put((method, args))
        return self._collect(len(arguments))

    def _collect(self, count: int) -> dict[str, Any]:
        results, errors = {}, []
        for _ in range(count):
            name, result, error = self._done.get()
            results[name] = result
            if error is not None:
                errors.append(error)
        if errors:
            self._broken = root_cause(errors)
            raise self._broken
        return results

    def close(self) -> None:
        """Let every thread end."""
        for q in self._queues.values():
            q.put(None)
        for t in self._threads:
            t.join(timeout=5)


def root_cause(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that explains the others: one that blames nobody else first."""
    return min(errors, key=lambda e: isinstance(e, PeerUnavailable))


def seeded_entropy(seed: int | None, name: str) -> Entropy:
    """Return the operating system's entropy, or for tests a repeatable stream for one party."""
    if seed is None:
        return system_entropy
    state = [0]

    def draw(n: int) -> bytes:
        state[0] += 1
        return hashlib.shake_256(f"tacit-seed/{seed}/{name}/{state[0]}".encode()).digest(n)

    return draw


class Session(Context):
    """Arrays held by several parties; operations on them run at once.

    >>> import tacit
    >>> with tacit.simulate("rep3") as s:
    ...     x = s.input([3.0, 6.0, 1.0], owner="alice")
    ...     total = tacit.reveal(x.sum(), why="the example's answer")
    >>> float(total)
    10.0
    """

    def __init__(
        self, cluster: Cluster, protocol: str, compute: tuple[str, ...], fmt: Format, stamp: str
    ) -> None:
        super().__init__()
        self.cluster = cluster
        self.protocol = protocol
        self.compute = compute
        self.fmt: Format = fmt
        self.stamp = stamp
        self._dropped: list[int] = []
        self._ratios = Live()
        self._reveals = 0
        # Parties that nobody can reach any more end, and those of a script that closes no session end with it.
        self._end = weakref.finalize(self, cluster.close)

    # -- values in and out --------------------------------------------------------------------------------

    def input(
        self, value: Any, owner: str | None = None, bound: float | tuple[float, float] | None = None
    ) -> SecretArray:
        """Hand `value` to its owner; it is shared when it first meets another party's data.

        `bound` is (lo, hi) or the largest magnitude, and is public. Without it, the powers of two that enclose the
        data are made public in its place.
        """
        owner = self.cluster.names[0] if owner is None else owner
        if owner not in self.cluster.names:
            raise UsageError(f"no party is called {owner!r}; there are {', '.join(self.cluster.names)}")
        a = array_of(value, "the data")
        kind = {"f": "fixed", "i": "int", "u": "int", "b": "bool"}.get(a.dtype.kind)
        if kind is None:
            raise UsageError(f"an array of type {a.dtype} is not numeric; convert it first")
        lo, hi = (0, 1) if kind == "bool" else _bound(a, bound, kind)
        aval = Aval(a.shape, kind, lo, hi, owned(owner))  # type: ignore[arg-type]
        data = check_input("value", a, aval).copy()  # the caller may change theirs
        var = self.new_var()
        self._call("put", {n: (var, aval, data if n == owner else None) for n in self.cluster.names})
        return SecretArray(self, var, aval)

    def const(self, value: Any, kind: str | None = None) -> SecretArray:
        """Return a public constant of this session."""
        return super().const(value, kind)

    def bind(
        self, op: str, ins: Sequence[SecretArray], params: dict[str, Any] | None = None
    ) -> list[SecretArray]:
        """Run one operation and return its results; what it asks of ratios is computed on whole numbers (0089)."""
        if any(a.context is not self for a in ins):
            return super().bind(op, ins, params)  # which refuses
        draft = Eqn(op, tuple(a.ref for a in ins), (), params or {})
        made = self._ratios.instead(draft, ins)
        if made is None:
            made = super().bind(op, ins, params)
            self._ratios.note(Eqn(op, draft.ins, tuple(a.ref for a in made), draft.params), ins, made)
        return made

    def record(self, eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        """Check the ranges of one equation, then run it at every party."""
        self._run(eqn, ins, outs)

    def _run(self, eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> dict[str, Any]:
        hidden = {a.where for a in ins} - {PUBLIC}
        if eqn.op == "scan":
            body = Program((), (eqn,))
            for step in secret_steps(_with_inputs(body, eqn, ins), self.fmt):
                check(step, self.fmt)
        elif len(hidden) > 1 or "secret" in hidden or (eqn.op == "reveal" and hidden):
            check(Step(eqn, ins, outs), self.fmt)
        drop, self._dropped = self._dropped, []
        return self._call("step", dict.fromkeys(self.cluster.names, (eqn, outs, drop)))

    def reveal(self, x: SecretArray, to: list[str], why: str, name: str) -> Revealed:
        """Open x to the parties named; the session's user sees what they see."""
        unknown = [t for t in to if t != "all" and t not in self.cluster.names]
        if unknown:
            raise UsageError(f"no party is called {unknown[0]!r}; there are {', '.join(self.cluster.names)}")
        self._reveals += 1
        params = {"to": to, "why": why, "name": name or f"result{self._reveals}"}
        if x.context is not self:
            raise UsageError("this value belongs to another session")
        from tacit.array.loop import infer_eqn

        draft = Eqn("reveal", (x.ref,), (self.new_var(),), params)
        opened = self._run(draft, [x.aval], infer_eqn(draft, [x.aval], self.fmt))
        self._dropped.append(draft.outs[0])
        reader = self.cluster.names[0] if to == ["all"] else to[0]
        whom = "" if to == ["all"] else f", seen by {', '.join(to)} only"
        return Revealed(opened[reader], self.stamp + whom)

    def run(
        self, program: Program, inputs: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Revealed]]:
        """Run a whole Program; `inputs[owner][name]`. Returns by party, by result name, what each learned."""
        for step in secret_steps(program, self.fmt):
            check(step, self.fmt)
        arguments = {n: (program, dict(inputs.get(n, {}))) for n in self.cluster.names}
        results = self._call("run", arguments)
        return {n: {k: Revealed(v, self.stamp) for k, v in r.items()} for n, r in results.items()}

    # -- the session --------------------------------------------------------------------------------------

    def traffic(self) -> dict[str, Snapshot]:
        """Return what each party has sent and received so far."""
        return self._call("meter", dict.fromkeys(self.cluster.names, ()))

    def release(self, var: int) -> None:
        """Note that nobody refers to a variable; the parties drop it with the next operation."""
        self._dropped.append(var)
        self._ratios.forget(var)

    def close(self) -> None:
        """End the session."""
        self._end()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {self.stamp}; {self.fmt}>"

    def _call(self, method: str, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        if not self._end.alive:
            raise UsageError("this session is closed; open another")
        return self.cluster.call(method, arguments)


def _with_inputs(program: Program, eqn: Eqn, ins: list[Aval]) -> Program:
    from tacit.array.program import Input

    inputs = {v: Input(f"v{v}", a.owner, v, a) for v, a in zip(eqn.ins, ins, strict=True)}
    return program.replace(inputs=tuple(inputs.values()))


def _bound(a: Array, bound: float | tuple[float, float] | None, kind: str) -> tuple[float, float]:
    if bound is None:
        if not a.size:
            return 0, 1
        least, most = float(a.min()), float(a.max())
        if not (np.isfinite(least) and np.isfinite(most)):
            raise UsageError("the data holds NaN or infinity; clean it first")
        lo, hi = _power_below(least), -_power_below(-most)
        return (int(np.floor(lo)), int(np.ceil(hi))) if kind == "int" else (lo, hi)
    lo, hi = (-bound, bound) if isinstance(bound, int | float) else bound
    if not lo <= hi:
        raise UsageError(f"the bound [{lo}, {hi}] is empty")
    return lo, hi


def _power_below(v: float) -> float:
    """Return the greatest of 0 and ±2^i that is at most v."""
    if v == 0:
        return 0.0
    if v > 0:
        return 2.0 ** int(np.floor(np.log2(v)))
    return -(2.0 ** int(np.ceil(np.log2(-v))))


def simulate(
    protocol: str = "rep3",
    parties: int | Sequence[str] | None = None,
    *,
    owners: Sequence[str] = (),
    width: int = 64,
    frac_bits: int | None = None,
    dealer: str = "",
    seed: int | None = None,
    record: bool = False,
    network: Network | str = LOOPBACK,
) -> Session:
    """Open a session of the real protocol code among threads of this process.

    `parties` are the compute parties (a count or names), `owners` further participants without shares. `seed`
    makes the run repeatable and therefore not secret. `network` (or a preset's name) is what variants are chosen
    for. Nothing leaves this process: every result is stamped.
    """
    protocols.check_dealer(protocol, dealer)
    low, high = protocols.entry(protocol).parties
    if parties is None or isinstance(parties, int):
        count = low if parties is None else parties
        if protocol == "semi2k" and parties is None:
            count = 3
        if not low <= count <= high or count > len(NAMES):
            raise UsageError(
                f"{protocol} takes {low} to {high} parties, not {count}; name them if more than 8"
            )
        compute = NAMES[:count]
    else:
        compute = tuple(parties)
        if not low <= len(compute) <= high:
            raise UsageError(f"{protocol} takes {low} to {high} parties, not {len(compute)}")
    names = (*compute, *owners, *((dealer,) if dealer and dealer not in owners else ()))
    if len(set(names)) != len(names):
        raise UsageError(f"two participants share a name among {', '.join(names)}")
    fmt = Format(width, frac_bits if frac_bits is not None else (16 if width == 64 else 40))
    readers = tuple(n for n in names if n != dealer or n in (*compute, *owners))
    hub, links = Hub(names, seed=seed or 0, record=record), as_network(network)

    def make(mesh: Mesh, entropy: Entropy) -> Worker:
        party = handshake(mesh, compute, EAGER_JOB, entropy=entropy, network=links)
        return Worker(party, protocol, fmt, readers, dealer)

    stamp = f"simulation: {protocol} among {', '.join(compute)} in one process, nothing is hidden from it"
    if dealer:
        stamp += f"; {dealer} deals the products' material and could read everything"
    return Session(Threads(names, make, hub, seed), protocol, compute, fmt, stamp)
