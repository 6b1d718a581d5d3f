"""A slower network on one machine: every link runs through a process of ours that delays and limits it.

`tc netem` does the same where the kernel has it. Here each ordered pair (caller, callee) gets a port; what arrives
there goes on to the callee and comes back, each direction delayed by half the round-trip time. What a party sends to
both others together passes one uplink of the given bandwidth. Bytes are TCP payload: the headers of a real
network (about 3%) are left out, and so are loss and congestion control. What passes stays in the kernel where that has
`splice`: copied to this process and back, it took twice the processor time from the parties.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHUNK, CHUNKS = 1 << 16, 4
"""Most bytes that leave together, when the last of them has passed; and most that are read of one way at a time."""
LOOK_S = 60e-6
SOON_S = 1e-3
"""How long before an uplink is free more is read of what it is to carry: reading it sooner changes nothing."""
SLICE_NS = 100_000
PIPE_BYTES = 1 << 20
_PR_SET_TIMERSLACK, _SCHED_SETATTR = 29, {"x86_64": 314, "aarch64": 274}
_SPLICE = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
MESSAGE_S, BYTE_S = 60e-6, 1e-9
"""About what a message and a byte that pass take this process, measured on two 2.3 GHz cores."""
WINDOW_S = 2.0
"""How much a direction may hold back, in seconds of its bandwidth, before its sender has to wait."""


@dataclass(frozen=True, slots=True)
class Network:
    """Bandwidth of each party's uplink and the round-trip time between any two."""

    name: str
    bits_per_s: float
    rtt_s: float

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth in bytes."""
        return self.bits_per_s / 8


NETWORKS = {
    n.name: n for n in (Network("loopback", 0, 0), Network("lan", 1e9, 0.2e-3), Network("wan", 1e8, 40e-3))
}


class Relays:
    """The relay process; `address` opens a way through it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.rig.relay", str(network.bits_per_s), str(network.rtt_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        assert self._process.stdout is not None
        self.control = int(self._process.stdout.readline())
        """Port at which processes ask for ways by themselves."""

    def address(self, caller: int, callee: int, port: int) -> int:
        """Return the port at which `caller` reaches `callee`, who listens on `port`."""
        return ask(self.control, caller, callee, port)

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def relay_seconds(messages: int, nbytes: int) -> float:
    """Return about how long a relay works to pass so much."""
    return messages * MESSAGE_S + nbytes * BYTE_S


def ask(control: int, caller: int, callee: int, port: int, below: int = 0) -> int:
    """Ask the relay for a way.

    Its port, its bytes exchanged, is less than `below` with its bytes exchanged: so gloo orders addresses.
    """
    with socket.create_connection(("127.0.0.1", control)) as s:
        s.sendall(json.dumps([caller, callee, port, below]).encode() + b"\n")
        with s.makefile() as answer:
            return int(answer.readline())


def swapped(port: int) -> int:
    """Return a port with its bytes exchanged."""
    return (port & 255) << 8 | port >> 8


def wake_on_time() -> None:
    """Let this thread's waits end when they are due: Linux may add 50 µs to let several end together."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(1), 0, 0, 0)


def go_first() -> None:
    """Ask for short slices, so that this process runs as soon as it has something to do: a line waits for no party.

    Linux from 6.12 on grants them to everybody; elsewhere nothing changes.
    """
    number = _SCHED_SETATTR.get(os.uname().machine)
    if sys.platform == "linux" and number is not None:
        asked = struct.pack("=IIQiIQQQ", 48, os.SCHED_OTHER, 0, 0, 0, SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(ctypes.c_long(number), 0, asked, 0)


@dataclass(slots=True)
class Uplink:
    """What one party sends: when its line is free again."""

    bytes_per_s: float
    free_at: float = 0.0
    sources: list[socket.socket] = field(default_factory=list)
    """Where what it carries comes from."""

    def leave(self, now: float, nbytes: int) -> float:
        """Return when the last of `nbytes` that arrive now has left."""
        self.free_at = max(self.free_at, now) + nbytes / self.bytes_per_s
        return self.free_at


@dataclass(slots=True, eq=False)
class Way:
    """One direction of one connection: bytes wait here until they are due."""

    source: socket.socket
    target: socket.socket
    uplink: Uplink
    delay_s: float
    waiting: deque[tuple[float, int, memoryview | None]] = field(default_factory=deque)
    """When how many bytes are due; and the bytes, but those in the pipe."""
    held: int = 0
    piped: int = 0
    pipe: tuple[int, int] | None = field(default_factory=lambda: _pipe())
    ended: bool = False
    done: bool = False
    watched: bool = True
    """Whether it is to be read, once its uplink is free."""
    blocked: bool = False
    """Whether the target takes no more for now."""

    @property
    def full(self) -> bool:
        """Whether it holds as much as it may."""
        return self.held >= max(1 << 20, int(self.uplink.bytes_per_s * WINDOW_S))

    def read(self, now: float) -> None:
        """Take what has arrived, or the first of it."""
        for _ in range(CHUNKS):
            if self.full:
                return
            try:
                n, data = self._take()
            except BlockingIOError:
                return
            except OSError:
                n, data = 0, None
            if not n:
                self.ended = True
                return
            self.held += n
            self.waiting.append((self.uplink.leave(now, n) + self.delay_s, n, data))
            if n < CHUNK:
                return

    def _take(self) -> tuple[int, memoryview | None]:
        if self.pipe is not None:
            try:
                n = os.splice(self.source.fileno(), self.pipe[1], CHUNK, flags=_SPLICE)
                self.piped += n
                return n, None
            except BlockingIOError:
                # Nothing has come, or the pipe, which holds so many pieces of whatever size, is full.
                if not self.piped:
                    raise
        data = memoryview(self.source.recv(CHUNK))
        return len(data), data

    def write(self, now: float) -> None:
        """Pass on what is due."""
        self.blocked = False
        while self.waiting and self.waiting[0][0] <= now:
            due, n, data = self.waiting[0]
            try:
                sent = self._pass(n) if data is None else self.target.send(data)
            except BlockingIOError:
                self.blocked = True
                return
            except OSError:
                self.waiting.clear()
                self.ended = self.done = True
                return
            self.held -= sent
            if sent < n:
                self.waiting[0] = (due, n - sent, None if data is None else data[sent:])
                self.blocked = True
                return
            self.waiting.popleft()
        if self.ended and not self.waiting and not self.done:
            self.done = True
            with contextlib.suppress(OSError):
                self.target.shutdown(socket.SHUT_WR)

    def _pass(self, n: int) -> int:
        assert self.pipe is not None
        sent = os.splice(self.pipe[0], self.target.fileno(), n, flags=_SPLICE)
        self.piped -= sent
        return sent

    def close(self) -> None:
        """Free the source and the pipe."""
        self.source.close()
        for end in self.pipe or ():
            os.close(end)


def _pipe() -> tuple[int, int] | None:
    """Return a pipe that holds as much as this system lets it, if it has `splice`."""
    if not hasattr(os, "splice"):
        return None
    out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return out, into


class Relay:
    """All ways through one process, driven by one loop."""

    def __init__(self, bits_per_s: float, rtt_s: float) -> None:
        self.delay_s = rtt_s / 2
        self.uplinks = [Uplink(bits_per_s / 8) for _ in range(3)]
        self.ways: dict[socket.socket, Way] = {}
        """By source."""
        self.busy: list[Way] = []
        """Those that hold something, or have just ended."""
        self.listeners: dict[socket.socket, tuple[int, int, int]] = {}
        self.control = socket.create_server(("127.0.0.1", 0), backlog=64)

    def open(self, caller: int, callee: int, port: int, below: int) -> int:
        """Listen for one pair and return the port."""
        # Below the ports that the system itself gives out.
        candidates = range(10000, 32000)
        for candidate in sorted(candidates, key=swapped) if below else reversed(candidates):
            if below and swapped(candidate) >= swapped(below):
                break
            with contextlib.suppress(OSError):
                listener = socket.create_server(("127.0.0.1", candidate), backlog=64)
                listener.setblocking(False)
                self.listeners[listener] = (caller, callee, port)
                return candidate
        raise OSError("no port is free for a relay")

    def accept(self, listener: socket.socket) -> None:
        """Connect a caller with its callee."""
        caller, callee, port = self.listeners[listener]
        near, _ = listener.accept()
        far = socket.socket()
        try:
            far.connect(("127.0.0.1", port))  # on loopback: at once
        except OSError:
            near.close()
            far.close()
            return
        for s in (near, far):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target, uplink in ((near, far, self.uplinks[caller]), (far, near, self.uplinks[callee])):
            self.ways[source] = Way(source, target, uplink, self.delay_s)
            uplink.sources.append(source)

    def run(self) -> None:
        """Serve until the input ends."""
        wake_on_time()
        go_first()
        print(self.control.getsockname()[1], flush=True)
        while True:
            wake_at, targets = self._write()
            sources: list[Any] = [0, self.control, *self.listeners]
            now = time.monotonic()
            for uplink in self.uplinks:
                if uplink.free_at <= now + SOON_S:
                    sources += uplink.sources
                else:
                    wake_at = min(wake_at, uplink.free_at - SOON_S)
            # To the microsecond: epoll waits in whole milliseconds, and looking again and again would take a core from
            # the parties.
            for ready in select.select(sources, targets, (), max(0.0, wake_at - now))[0]:
                if ready == 0:
                    return
                if ready is self.control:
                    self._answer()
                elif ready in self.listeners:
                    self.accept(ready)
                else:
                    self._read(self.ways[ready])

    def _write(self) -> tuple[float, list[socket.socket]]:
        """Pass on what is due; return when to look again, and the targets that take no more for now."""
        now = time.monotonic()
        wake_at, targets = now + 1.0, []
        for way in self.busy:
            way.write(now)
            if way.blocked:
                targets.append(way.target)
            elif way.waiting:
                # Waking takes a moment. Before the last of what has come it is spent looking; what has more behind it
                # may as well be late.
                wake_at = min(wake_at, way.waiting[0][0] - (LOOK_S if len(way.waiting) == 1 else 0.0))
            if way.done:
                self._forget(way)
            elif not (way.watched or way.ended or way.full):
                way.watched = True
                way.uplink.sources.append(way.source)
        self.busy = [way for way in self.busy if way.waiting]
        return wake_at, targets

    def _read(self, way: Way) -> None:
        if not way.waiting:
            self.busy.append(way)
        way.read(time.monotonic())
        if way.ended or way.full:
            way.watched = False
            way.uplink.sources.remove(way.source)

    def _forget(self, way: Way) -> None:
        """Close a connection of which both directions have ended."""
        twin = self.ways.get(way.target)
        if twin is not None and twin.done:
            for each in (way, twin):
                del self.ways[each.source]
                if each.watched:  # its target broke off
                    each.uplink.sources.remove(each.source)
                each.close()

    def _answer(self) -> None:
        with self.control.accept()[0] as s:
            s.settimeout(5)
            with s.makefile() as question:
                caller, callee, port, below = json.loads(question.readline())
            s.sendall(b"%d\n" % self.open(caller, callee, port, below))


if __name__ == "__main__":
    Relay(float(sys.argv[1]), float(sys.argv[2])).run()
