"""In-memory links between threads of one process: the real protocol code, no network.

For tests and simulations: it can record every message, change messages on the way (`tamper`), choose the
schedule from a seed (`lockstep`), and tells a deadlock from a wait. It never polls.
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from tacit.errors import InternalError, PeerUnavailable, TacitError, UsageError
from tacit.net.link import (
    AHEAD_BYTES,
    DATA,
    HEADER_BYTES,
    Buffer,
    Header,
    Mesh,
    encode_label,
    flat,
    join,
    show_label,
    size_of,
)
from tacit.net.notice import error_of, notice_of

T = TypeVar("T")


class Record(NamedTuple):
    """One message as it was sent: `seq` counts per direction of a link."""

    seq: int
    sender: str
    receiver: str
    label: str
    depth: int
    payload: bytes


Tamper = Callable[[Record], "list[bytes] | None"]


class _Schedule:
    """Repeatable choices from a seed; they order threads and never reach a protocol value."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def choose(self, names: list[str]) -> str:
        """Return one of the names."""
        self._count += 1
        digest = hashlib.sha256(f"tacit schedule {self._seed} {self._count}".encode()).digest()
        return sorted(names)[int.from_bytes(digest[:8], "little") % len(names)]


class _Message(NamedTuple):
    header: Header
    label: bytes
    payload: npt.NDArray[np.uint8]
    owned: bool  # the payload belongs to the receiver; else it must copy


class Hub:
    """Links among named parties of one process.

    A hub serves one run. `tamper(record)` returns None to deliver as is, or the payloads to deliver instead,
    all under the same header: `[]` drops, `[p, p]` repeats. With `lockstep=True`, `run` lets one party run at
    a time and `seed` chooses who goes on at each receive and flush; otherwise parties run freely. `timeout_s`
    bounds one wait (None: no bound).
    """

    def __init__(
        self,
        names: Iterable[str],
        seed: int = 0,
        timeout_s: float | None = 600.0,
        *,
        record: bool = False,
        tamper: Tamper | None = None,
        lockstep: bool = False,
    ) -> None:
        self.names = tuple(names)
        if len(set(self.names)) != len(self.names):
            raise UsageError(f"party names must differ: {', '.join(self.names)}")
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self._meshes = {name: HubMesh(self, name) for name in self.names}
        self._recording = record
        self._tamper = tamper
        self._dropped: list[str] = []  # senders of messages that the tamper hook swallowed
        self._records: dict[tuple[str, str], list[Record]] = {}
        self._schedule = _Schedule(seed)
        self._lockstep = lockstep
        self._turn: str | None = None  # whose turn it is, in a lockstep run
        self._errors: list[tuple[str, BaseException]] = []

    def mesh(self, name: str) -> HubMesh:
        """Return one party's mesh."""
        if name not in self._meshes:
            raise UsageError(f"no party {name!r} in this hub; it has {', '.join(self.names)}")
        return self._meshes[name]

    @property
    def records(self) -> list[Record]:
        """Return all recorded messages, link by link in name order, each link in the order sent."""
        return [r for link in sorted(self._records) for r in self._records[link]]

    def received(self, name: str) -> list[Record]:
        """Return the recorded messages one party was sent: what it sees besides its input and tape."""
        return [r for r in self.records if r.receiver == name]

    def transcript_hash(self) -> str:
        """Return SHA-256 over all recorded messages; it does not depend on how links interleaved."""
        digest = hashlib.sha256(b"tacit transcript 1")
        for r in self.records:
            for field in (r.sender.encode(), r.receiver.encode(), r.label.encode(), r.payload):
                digest.update(struct.pack("<Q", len(field)))
                digest.update(field)
            digest.update(struct.pack("<QQ", r.seq, r.depth))
        return digest.hexdigest()

    def run(self, parties: Mapping[str, Callable[[Mesh], T]]) -> dict[str, T]:
        """Run each party in a thread of its own and return the results by name.

        Re-raises the error that came first; errors that other parties raised because of it are not reported,
        and independent ones are noted on it. No thread outlives the call. Parties not given have left.
        """
        results: dict[str, T] = {}
        for name in self.names:
            if name not in parties:
                self.mesh(name).close()

        def body(name: str, job: Callable[[Mesh], T]) -> None:
            mesh = self.mesh(name)
            try:
                mesh._await_turn()
                results[name] = job(mesh)
                mesh.close()
            except BaseException as error:  # re-raised by run
                self._fail(mesh, error)

        threads = [threading.Thread(target=body, args=(n, j), name=f"party {n}") for n, j in parties.items()]
        if self._lockstep:
            self._turn = self._schedule.choose(list(parties))
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as interrupt:
            for name in parties:
                self.mesh(name).abort(interrupt)
            for thread in threads:
                thread.join()
            raise
        if self._errors:
            (_, first), *others = self._errors
            for name, other in others:
                first.add_note(f"and {name}: {type(other).__name__}: {other}")
            raise first
        return results

    # The rest is called by meshes; methods with a leading underscore and "locked" hold self._lock.

    def _fail(self, mesh: HubMesh, error: BaseException) -> None:
        with self._lock:
            if error is not mesh._failure:  # not merely passed on from another party
                self._errors.append((mesh.me, error))
        mesh.abort(error)

    def _deliver(self, sender: HubMesh, to: str, message: _Message) -> None:
        receiver = self._meshes[to]
        if self._recording or self._tamper is not None:
            messages = self._observe(sender.me, to, message)
        else:
            messages = [message]
        with self._lock:
            if sender._failure is not None:
                raise sender._failure
            if receiver._gone:
                return
            receiver._inbox[sender.me].extend(messages)
            receiver._held[sender.me] += sum(m.payload.nbytes for m in messages)
            if receiver._waiting is not None and receiver._waiting[0] == sender.me and not self._lockstep:
                receiver._wake.notify()

    def _observe(self, sender: str, to: str, message: _Message) -> list[_Message]:
        header = message.header
        record = Record(
            header.seq, sender, to, show_label(message.label), header.depth, message.payload.tobytes()
        )
        if self._recording:
            with self._lock:
                self._records.setdefault((sender, to), []).append(record)
        payloads = None if self._tamper is None else self._tamper(record)
        if payloads is None:
            return [message]
        if not payloads:
            self._dropped.append(sender)
        return [
            _Message(header._replace(payload_bytes=len(p)), message.label, join((p,), len(p)), True)
            for p in payloads
        ]

    def _locked_blocked(self, name: str) -> bool:
        """Tell whether a party waits for a message that is not there, from a party that may still send it."""
        mesh = self._meshes[name]
        if mesh._failure is not None:
            return False
        if mesh._pacing:
            return self._locked_ahead(name, mesh._pacing)
        if mesh._waiting is None:
            return False
        frm = mesh._waiting[0]
        return not mesh._inbox[frm] and not self._meshes[frm]._gone

    def _locked_ahead(self, name: str, peer: str) -> bool:
        """Tell whether a peer that has not left has much to take from a party."""
        receiver = self._meshes[peer]
        return not receiver._gone and receiver._held[name] > AHEAD_BYTES

    def _locked_pass_turn(self) -> None:
        """Let another party go on: all are runnable in free mode; in lockstep the seed chooses one."""
        live = [n for n in self.names if not self._meshes[n]._gone]
        ready = [n for n in live if not self._locked_blocked(n)]
        if not ready and live:
            self._locked_deadlock(live)
            ready = live
        if self._lockstep and ready:
            self._turn = self._schedule.choose(ready)
            self._meshes[self._turn]._wake.notify()

    def _locked_deadlock(self, live: list[str]) -> None:
        waits = {n: self._meshes[n]._waiting for n in live}
        story = "; ".join(f"{n} waits for {w[0]} ({w[1]!r})" for n, w in waits.items() if w is not None)
        for name in live:
            if self._dropped:
                # A tamper hook swallowed a message: to the parties that is a silent peer, not our mistake.
                failure: TacitError = PeerUnavailable(
                    f"{self._dropped[0]} is silent; {story}", self._dropped[0]
                )
            else:
                failure = InternalError(f"deadlock: {story}")
            self._meshes[name]._failure = failure
            self._meshes[name]._wake.notify()
            if name == live[0]:
                self._errors.append((name, failure))


class HubMesh(Mesh):
    """One party's end of a Hub."""

    def __init__(self, hub: Hub, me: str) -> None:
        super().__init__(me, tuple(n for n in hub.names if n != me))
        self._hub = hub
        self._wake = threading.Condition(hub._lock)
        self._inbox: dict[str, deque[_Message]] = {p: deque() for p in self.peers}
        self._outbox: list[tuple[str, _Message]] = []
        self._held = dict.fromkeys(self.peers, 0)  # bytes in the inbox
        self._waiting: tuple[str, str] | None = None
        self._pacing = ""  # the peer that has much to take
        self._failure: TacitError | None = None
        self._gone = False

    def send(self, to: str, label: str, *parts: Buffer, stable: bool = False) -> None:
        """Queue one message."""
        raw = encode_label(label)
        traffic = self.meter.peers[self._known(to)]
        if stable and len(parts) == 1:
            payload = np.frombuffer(flat(parts[0]), np.uint8)
            owned = False
        else:
            payload = join(parts, sum(map(size_of, parts)))
            owned = True
        seq = self.meter.count_send(traffic, label, payload.nbytes)
        header = Header(DATA, len(raw), self.meter.rounds + 1, seq, payload.nbytes)
        self._outbox.append((to, _Message(header, raw, payload, owned)))
        traffic.wire_sent += HEADER_BYTES + len(raw) + payload.nbytes

    def flush(self) -> None:
        """Deliver everything queued."""
        if self._gone:
            raise self._failure or UsageError(f"{self.me} has left; its mesh is closed")
        outbox, self._outbox = self._outbox, []
        for to, message in outbox:
            self._hub._deliver(self, to, message)
        if outbox and self._hub._lockstep:
            with self._hub._lock:
                self._hub._locked_pass_turn()
                self._locked_await_turn()

    def pace(self) -> None:
        """Wait while a peer has yet to take more than `AHEAD_BYTES`; in lockstep turns are what holds a party up."""
        hub = self._hub
        if hub._lockstep:
            return
        for peer in self.peers:
            if hub._meshes[peer]._held[self.me] <= AHEAD_BYTES:
                continue
            with hub._lock:
                self._pacing = peer
                hub._locked_pass_turn()
                taken = self._wake.wait_for(
                    lambda peer=peer: self._failure is not None or not hub._locked_ahead(self.me, peer),  # type: ignore[misc]
                    hub.timeout_s,
                )
                self._pacing = ""
            if not taken:
                raise PeerUnavailable(
                    f"{peer} took nothing of what {self.me} sent for {hub.timeout_s} s", peer
                )

    def recv(self, frm: str, label: str, nbytes: int, held: bool = False) -> npt.NDArray[np.uint8]:
        """Wait for the expected message."""
        message = self._next(frm, label, held)
        self._check(frm, message.header, message.label, label, nbytes)
        return self._take(frm, message)

    def recv_any(self, frm: str, max_bytes: int) -> tuple[str, bytes]:
        """Wait for a message of bounded size."""
        message = self._next(frm, "any")
        self._check_bounded(frm, message.header, message.label, max_bytes)
        return show_label(message.label), self._take(frm, message).tobytes()

    def close(self) -> None:
        """Deliver what is queued and leave; others may go on."""
        if not self._gone:
            if self._outbox:
                self.flush()
            self._leave()

    def abort(self, reason: BaseException) -> None:
        """Make every other party fail with the root cause, and leave."""
        with self._hub._lock:
            if self._gone:
                return
            for name in self.peers:
                peer = self._hub._meshes[name]
                if peer._failure is None and not peer._gone:
                    peer._failure = error_of(notice_of(reason), self.me, name, peer.peers)
                    peer._wake.notify()
        self._leave()

    def _leave(self) -> None:
        with self._hub._lock:
            self._gone = True
            self._waiting = None
            self._outbox.clear()
            for inbox in self._inbox.values():
                inbox.clear()
            for name in self.peers:
                self._hub._meshes[name]._wake.notify()
            self._wake.notify()
            self._hub._locked_pass_turn()

    def _next(self, frm: str, label: str, held: bool = False) -> _Message:
        """Flush and wait for the next message of one peer."""
        self._known(frm)
        hub = self._hub
        inbox = self._inbox[frm]
        if not (held and inbox):
            self.flush()
        with hub._lock:
            while True:
                if self._failure is not None:
                    raise self._failure
                if inbox:
                    message = inbox.popleft()
                    self._held[frm] -= message.payload.nbytes
                    if hub._meshes[frm]._pacing == self.me and not hub._locked_ahead(frm, self.me):
                        hub._meshes[frm]._wake.notify()
                    return message
                if hub._meshes[frm]._gone:
                    raise PeerUnavailable(f"{frm} has left; {self.me} still expects {label!r} from it", frm)
                self._locked_wait(frm, label)

    def _locked_wait(self, frm: str, label: str) -> None:
        self._waiting = (frm, label)
        try:
            self._hub._locked_pass_turn()
            if self._hub._lockstep:
                self._locked_await_turn()
            elif self._failure is None and not self._wake.wait(self._hub.timeout_s):
                raise PeerUnavailable(
                    f"{frm} sent nothing for {self._hub.timeout_s} s; {self.me} expects {label!r}", frm
                )
        finally:
            self._waiting = None

    def _await_turn(self) -> None:
        if self._hub._lockstep:
            with self._hub._lock:
                self._locked_await_turn()

    def _locked_await_turn(self) -> None:
        while self._hub._turn != self.me and self._failure is None and not self._gone:
            self._wake.wait()
        if self._failure is not None:
            raise self._failure

    def _take(self, frm: str, message: _Message) -> npt.NDArray[np.uint8]:
        payload = message.payload
        traffic = self.meter.peers[frm]
        traffic.wire_received += HEADER_BYTES + len(message.label) + payload.nbytes
        self.meter.count_receive(traffic, message.header.depth, payload.nbytes)
        return payload if message.owned else payload.copy()


def run_parties(names: Iterable[str], job: Callable[[Mesh], T], **options: Any) -> dict[str, T]:
    """Run the same function at every party of a fresh Hub and return the results by name."""
    hub = Hub(names, **options)
    return hub.run(dict.fromkeys(hub.names, job))
