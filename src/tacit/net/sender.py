"""The sending half of a data link: small messages at once, large ones from a thread.

A small message is encrypted and written by the caller if the socket takes it; that saves two thread
switches per round. Everything else goes to this link's thread, which encrypts while the caller computes or
receives, so no amount of data sent both ways can block.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from tacit.net.meter import Traffic
from tacit.net.stream import DONT_WAIT, SEAL_BYTES, TlsStream

# Encrypting so much takes some 80 µs; waking a thread and handing the interpreter to it and back takes as long.
INLINE_BYTES = 1 << 18
_JOIN_BYTES = 1 << 14

Chunk = bytes | bytearray | memoryview


class Sender:
    """Ordered, never blocking writes to one stream; `broken` is called once if the connection fails."""

    def __init__(self, stream: TlsStream, traffic: Traffic, name: str, broken: Callable[[], None]) -> None:
        self._stream = stream
        self.traffic = traffic
        self._name = name
        self._broken = broken
        self._changed = threading.Condition(threading.Lock())
        self._backlog: deque[tuple[Chunk, bool]] = deque()  # (bytes, already encrypted)
        self._direct = True  # nothing is left to the thread: the caller may use the stream
        self._stopped = False
        self._failed = False
        self._thread: threading.Thread | None = None
        self.chunks: list[Chunk] = []
        """What is queued for `push`; it must not change any more."""
        self.nbytes = 0
        """Bytes that are queued."""
        self.waiting = 0
        """Bytes that are left to the thread and not yet written."""

    def push(self) -> None:
        """Write what is queued, or leave it to the thread."""
        chunks, nbytes = self.chunks, self.nbytes
        self.chunks, self.nbytes = [], 0
        if not self._direct or nbytes > INLINE_BYTES:
            self._leave([(chunk, False) for chunk in chunks], nbytes)
            return
        sealed = self._stream.seal(b"".join(chunks))
        self.traffic.wire_sent += len(sealed)
        try:
            sent = self._stream.sock.send(sealed, DONT_WAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._fail()
            return
        if sent < len(sealed):
            self._leave([(memoryview(sealed)[sent:], True)], len(sealed) - sent)

    def drain(self) -> bool:
        """Wait until everything is written; False when the connection failed first."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._stopped or self._direct)
            return not self._failed and not self._backlog

    def wait_below(self, limit: int, timeout_s: float | None) -> bool:
        """Wait until at most `limit` bytes are still to be written, or never will be; False when that took too long."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._failed or self._stopped or self.waiting <= limit, timeout_s
            )

    def stop(self) -> None:
        """Drop what is left and end the thread; its socket must be shut down if it may be blocked."""
        with self._changed:
            self._stopped, self._direct = True, False
            self._backlog.clear()
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _leave(self, chunks: list[tuple[Chunk, bool]], nbytes: int) -> None:
        with self._changed:
            if self._stopped or self._failed:
                return
            self._direct = False
            self._backlog.extend(chunks)
            self.waiting += nbytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _fail(self) -> None:
        with self._changed:
            self._failed, self._direct = True, False
            self._backlog.clear()
            stopped = self._stopped
            self._changed.notify_all()
        if not stopped:
            self._broken()

    def _run(self) -> None:
        written = 0
        while True:
            with self._changed:
                self.waiting -= written
                self._direct = not (self._backlog or self._stopped)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._backlog or self._stopped)
                if self._stopped:
                    return
                batch = list(self._backlog)
                written = self.waiting
                self._backlog.clear()
            try:
                self._write_batch(batch)
            except OSError:
                self._fail()
                return
            del batch

    def _write_batch(self, batch: list[tuple[Chunk, bool]]) -> None:
        batch.reverse()
        small = bytearray()
        while batch:
            chunk, sealed = batch.pop()  # popped, so that memory is freed as it is written
            if not sealed and len(chunk) < _JOIN_BYTES:
                small += chunk
                if len(small) < SEAL_BYTES:
                    continue
                chunk = b""
            self._seal_and_send(small)
            small = bytearray()
            if sealed:
                self._stream.sock.sendall(chunk)
            else:
                self._seal_and_send(chunk)
        self._seal_and_send(small)

    def _seal_and_send(self, chunk: Chunk) -> None:
        view = memoryview(chunk)
        for at in range(0, len(view), SEAL_BYTES):
            data = self._stream.seal(view[at : at + SEAL_BYTES])
            self.traffic.wire_sent += len(data)
            self._stream.sock.sendall(data)
