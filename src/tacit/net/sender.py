"""The sending half of a data link: small messages at once, large ones from a thread.

A small message is encrypted and written by the caller if the socket takes it; that saves two thread
switches per round. Everything else goes to this link's thread, which encrypts while the caller computes or
receives, so no amount of data sent both ways can block.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable

from tacit.net.meter import Traffic
from tacit.net.stream import SEAL_BYTES, TlsStream

# Encrypting so much takes some 80 µs; waking a thread and handing the interpreter to it and back takes as long.
INLINE_BYTES = 1 << 18
_JOIN_BYTES = 1 << 14

Chunk = bytes | bytearray | memoryview


class Sender:
    """Ordered, never blocking writes to one stream; `broken` is called once if the connection fails."""

    def __init__(self, stream: TlsStream, traffic: Traffic, name: str, broken: Callable[[], None]) -> None:
        self._stream = stream
        self._traffic = traffic
        self._name = name
        self._broken = broken
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._backlog: deque[tuple[Chunk, bool]] = deque()  # (bytes, already encrypted)
        self._busy = False  # the thread is using the stream
        self._stopped = False
        self._failed = False
        self._thread: threading.Thread | None = None
        self.waiting = 0
        """Bytes that are left to the thread and not yet written."""

    def push(self, chunks: list[Chunk], nbytes: int) -> None:
        """Write the chunks, or leave them to the thread; they must not change any more."""
        with self._lock:
            if self._stopped or self._failed:
                return
            if nbytes <= INLINE_BYTES and not self._busy and not self._backlog:
                self._write_inline(chunks)
            else:
                self._backlog.extend((chunk, False) for chunk in chunks)
                self.waiting += nbytes
            if self._backlog:
                self._wake_thread()
            failed = self._failed
        if failed:
            self._broken()

    def drain(self) -> bool:
        """Wait until everything is written; False when the connection failed first."""
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._stopped or not (self._backlog or self._busy))
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
            self._stopped = True
            self._backlog.clear()
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _write_inline(self, chunks: list[Chunk]) -> None:
        sealed = self._stream.seal(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        self._traffic.wire_sent += len(sealed)
        try:
            sent = self._stream.sock.send(sealed, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._failed = True
            return
        if sent < len(sealed):
            self._backlog.append((memoryview(sealed)[sent:], True))
            self.waiting += len(sealed) - sent

    def _wake_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        written = 0
        while True:
            with self._changed:
                self._busy = False
                self.waiting -= written
                if written:
                    self._changed.notify_all()
                if not self._backlog:
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._backlog or self._stopped)
                if self._stopped:
                    return
                batch = list(self._backlog)
                written = self.waiting
                self._backlog.clear()
                self._busy = True
            try:
                self._write_batch(batch)
            except OSError:
                with self._changed:
                    self._failed, self._busy = True, False
                    self._backlog.clear()
                    stopped = self._stopped
                    self._changed.notify_all()
                if not stopped:
                    self._broken()
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
            self._traffic.wire_sent += len(data)
            self._stream.sock.sendall(data)
