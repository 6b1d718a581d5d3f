"""A slower network on one machine: every link runs through a process of ours that delays and limits it.

`tc netem` does the same where the kernel has it. Here each ordered pair (caller, callee) gets a port; what arrives
there goes on to the callee and comes back, each direction delayed by half the round-trip time. What a party sends to
both others together passes one uplink of the given bandwidth. Bytes are TCP payload: the headers of a real
network (about 3%) are left out, and so are loss and congestion control.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 1 << 16
LOOK_S = 60e-6
_PR_SET_TIMERSLACK = 29
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


@dataclass(slots=True)
class Uplink:
    """What one party sends: when its line is free again."""

    bytes_per_s: float
    free_at: float = 0.0

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
    waiting: deque[tuple[float, memoryview]] = field(default_factory=deque)
    held: int = 0
    ended: bool = False
    done: bool = False
    watched: bool = True

    @property
    def limit(self) -> int:
        """Most bytes to hold."""
        return max(1 << 20, int(self.uplink.bytes_per_s * WINDOW_S))

    def read(self, now: float) -> None:
        """Take what has arrived."""
        while self.held < self.limit:
            try:
                data = self.source.recv(CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.ended = True
                return
            self.held += len(data)
            self.waiting.append((self.uplink.leave(now, len(data)) + self.delay_s, memoryview(data)))

    def write(self, now: float) -> bool:
        """Pass on what is due; return whether the target takes no more for now."""
        while self.waiting and self.waiting[0][0] <= now:
            due, data = self.waiting[0]
            try:
                sent = self.target.send(data)
            except BlockingIOError:
                return True
            except OSError:
                self.waiting.clear()
                self.ended = self.done = True
                return False
            self.held -= sent
            if sent < len(data):
                self.waiting[0] = (due, data[sent:])
                return True
            self.waiting.popleft()
        if self.ended and not self.waiting and not self.done:
            self.done = True
            with contextlib.suppress(OSError):
                self.target.shutdown(socket.SHUT_WR)
        return False


class Relay:
    """All ways through one process, driven by one loop."""

    def __init__(self, bits_per_s: float, rtt_s: float) -> None:
        self.delay_s = rtt_s / 2
        self.uplinks = [Uplink(bits_per_s / 8) for _ in range(3)]
        # To the microsecond: epoll waits in whole milliseconds, and looking again and again would take a core from the
        # parties.
        self.selector = selectors.SelectSelector()
        self.ways: list[Way] = []
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
                self.selector.register(listener, selectors.EVENT_READ, "listener")
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
        there = Way(near, far, self.uplinks[caller], self.delay_s)
        back = Way(far, near, self.uplinks[callee], self.delay_s)
        self.ways += [there, back]
        for way in (there, back):
            self.selector.register(way.source, selectors.EVENT_READ, way)

    def run(self) -> None:
        """Serve until the input ends."""
        wake_on_time()
        print(self.control.getsockname()[1], flush=True)
        self.selector.register(0, selectors.EVENT_READ, "end")
        self.selector.register(self.control, selectors.EVENT_READ, "control")
        while True:
            now = time.monotonic()
            blocked, due = False, now + 1.0
            for way in self.busy:
                blocked |= way.write(now)
                if way.waiting:
                    due = min(due, way.waiting[0][0])
                wanted = not way.ended and way.held < way.limit
                if wanted != way.watched:
                    way.watched = wanted
                    if wanted:
                        self.selector.register(way.source, selectors.EVENT_READ, way)
                    else:
                        self.selector.unregister(way.source)
            self.busy = [way for way in self.busy if way.waiting]
            self._forget()
            # A target that takes nothing is tried again soon. Waking takes a moment, so the last one is spent looking.
            wait = 0.0005 if blocked else due - time.monotonic()
            for key, _ in self.selector.select(max(0.0, wait - LOOK_S)):
                if key.data == "end":
                    return
                if key.data == "control":
                    self._answer()
                elif key.data == "listener":
                    self.accept(key.fileobj)  # type: ignore[arg-type]
                else:
                    if not key.data.waiting:
                        self.busy.append(key.data)
                    key.data.read(time.monotonic())

    def _forget(self) -> None:
        """Close connections of which both directions have ended."""
        for way in [w for w in self.ways if w.done]:
            twin = next((w for w in self.ways if w.source is way.target), None)
            if twin is not None and twin.done:
                self.ways = [w for w in self.ways if w not in (way, twin)]
                way.source.close()
                way.target.close()

    def _answer(self) -> None:
        with self.control.accept()[0] as s:
            s.settimeout(5)
            with s.makefile() as question:
                caller, callee, port, below = json.loads(question.readline())
            s.sendall(b"%d\n" % self.open(caller, callee, port, below))


if __name__ == "__main__":
    Relay(float(sys.argv[1]), float(sys.argv[2])).run()
