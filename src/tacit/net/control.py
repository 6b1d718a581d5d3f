"""Who is alive: one thread per mesh that keeps a control connection to every peer.

It sends heartbeats, so that a party that computes for long is told from one that is stopped or cut off; it
carries the goodbye of a party that is done and the reason of one that gives up; and since it reads all
peers at once, the death of any peer is known at once, whoever the protocol happens to wait for.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum

from tacit.errors import PeerError, PeerIncompatible, PeerUnavailable
from tacit.net.link import ABORT, GOODBYE, HEARTBEAT
from tacit.net.notice import MAX_CONTROL_BYTES, decode_notice, encode_notice, error_of, notice_of
from tacit.net.stream import Link

# How long a leaving party waits for its peers to hear the goodbye.
LINGER_S = 2.0
MIN_BEAT_S = 0.05


class State(Enum):
    """What is known of a peer."""

    OPEN = 1
    LEFT = 2  # it said goodbye
    FAILED = 3


class Control:
    """The control connections of one party; `failed` is called from its thread with the error to raise."""

    def __init__(
        self,
        me: str,
        links: Mapping[str, Link],
        silence_timeout_s: float,
        failed: Callable[[PeerError], None],
    ) -> None:
        self._me = me
        self._streams = {p: link.control for p, link in links.items()}
        self._silence_timeout_s = silence_timeout_s
        # Beat often enough for the least patient peer.
        patience_s = min([silence_timeout_s, *(link.peer_silence_s for link in links.values())])
        self._beat_s = max(patience_s / 4, MIN_BEAT_S)
        self._failed = failed
        self._changed = threading.Condition()
        self._states = {p: State.LEFT if link.left else State.OPEN for p, link in links.items()}
        self._heard = dict.fromkeys(self._streams, 0.0)
        self._last_word: tuple[int, bytes] | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=f"tacit control {me}", daemon=True)

    def start(self) -> None:
        """Start watching."""
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        for peer in self._open():
            self._selector.register(self._streams[peer].sock, selectors.EVENT_READ, peer)
        self._thread.start()

    def state(self, peer: str) -> State:
        """Return what is known of a peer now."""
        return self._states[peer]

    def verdict(self, peer: str, timeout_s: float) -> State:
        """Wait until a peer is known to have left or failed, at most `timeout_s`; return its state."""
        with self._changed:
            self._changed.wait_for(lambda: self._states[peer] is not State.OPEN, timeout_s)
            return self._states[peer]

    def finish(self, kind: int, payload: bytes = b"") -> None:
        """Say GOODBYE or ABORT to all peers, wait briefly for them to hear it, and free everything."""
        self._last_word = (kind, payload)
        with contextlib.suppress(OSError):
            self._wake_out.send(b"x")
        self._thread.join(2 * LINGER_S)
        for stream in self._streams.values():
            stream.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _open(self) -> list[str]:
        return [p for p, s in self._states.items() if s is State.OPEN]

    def _run(self) -> None:
        now = time.monotonic()
        self._heard = dict.fromkeys(self._streams, now)
        beat_at = now
        while self._last_word is None:
            if now >= beat_at:
                for peer in self._open():
                    self._say(peer, HEARTBEAT, b"")
                beat_at = now + self._beat_s
            before = time.monotonic()
            self._read_all(max(0.0, beat_at - before))
            now = time.monotonic()
            if now - before > 2 * self._beat_s:
                # This process itself was stopped or starved: what the peers sent meanwhile comes next.
                self._heard = dict.fromkeys(self._heard, now)
            for peer in self._open():
                if now - self._heard[peer] > self._silence_timeout_s:
                    self._too_silent(peer)
        self._take_leave(*self._last_word)

    def _too_silent(self, peer: str) -> None:
        silence = f"{peer} has been silent for {self._silence_timeout_s:g} s"
        error = PeerUnavailable(f"{silence}: it hangs, or the network is down", peer)
        # Should it wake up, it learns why it is alone.
        self._say(peer, ABORT, encode_notice(notice_of(error)))
        self._fail(peer, error)

    def _take_leave(self, kind: int, payload: bytes) -> None:
        until = time.monotonic() + LINGER_S
        waiting = self._open()
        for peer in waiting:
            stream = self._streams[peer]
            stream.queue_frame(kind, payload)
            if stream.try_write():
                stream.shutdown(socket.SHUT_WR)
        while self._open() and (left_s := until - time.monotonic()) > 0:
            for peer in self._open():
                self._streams[peer].try_write()
            self._read_all(left_s)

    def _read_all(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                with contextlib.suppress(OSError):
                    self._wake_in.recv(64)
            elif self._states[key.data] is State.OPEN:
                self._read(key.data)

    def _read(self, peer: str) -> None:
        stream = self._streams[peer]
        self._heard[peer] = time.monotonic()
        try:
            for kind, payload in stream.poll_frames(MAX_CONTROL_BYTES, peer):
                if kind == GOODBYE:
                    self._set(peer, State.LEFT)
                    return
                if kind == ABORT:
                    notice = decode_notice(peer, payload)
                    self._fail(peer, error_of(notice, peer, self._me, tuple(self._streams)))
                    return
                if kind != HEARTBEAT:
                    raise PeerIncompatible(
                        f"{peer} sent a control frame that this version does not know", peer
                    )
        except PeerIncompatible as error:
            self._fail(peer, error)
            return
        if stream.ended:
            text = f"{peer} stopped: its connection ended without a goodbye; its own log says why"
            self._fail(peer, PeerUnavailable(text, peer))

    def _say(self, peer: str, kind: int, payload: bytes) -> None:
        stream = self._streams[peer]
        if stream.try_write():  # else the peer does not read: no use in queueing more
            stream.queue_frame(kind, payload)
            stream.try_write()

    def _fail(self, peer: str, error: PeerError) -> None:
        if self._last_word is None:
            self._failed(error)
        self._set(peer, State.FAILED)

    def _set(self, peer: str, state: State) -> None:
        # Closing at once lets the peer, which waits for it, finish quickly.
        self._selector.unregister(self._streams[peer].sock)
        self._streams[peer].close()
        with self._changed:
            self._states[peer] = state
            self._changed.notify_all()
