"""One TCP connection under mutual TLS 1.3, driven through memory buffers.

Encryption and socket are separate steps, so that a caller may encrypt and then write only what the socket
takes, and so that megabytes are read at a time. One thread uses a stream at a time. Setting up is written
as generators that yield the readiness they wait for (`selectors.EVENT_READ` or `EVENT_WRITE`); one loop
drives many of them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import struct
import sys
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tacit.errors import PeerIncompatible
from tacit.net.identity import Identity
from tacit.net.link import HEADER_BYTES, decode_header, encode_header
from tacit.net.meter import Traffic

T = TypeVar("T")
Steps = Generator[int, None, T]

# Small enough for the second-level cache: measured 1.5 times faster than 256 KB to 1 MB.
READ_BYTES = 1 << 17
SEAL_BYTES = 1 << 16
RECORD_BYTES = 1 << 14  # the most plaintext that a TLS record holds
_SETUP_READ_BYTES = 1 << 14
# How long a reader looks again and again, letting others run in between, before it sleeps: to sleep and to be woken
# costs both sides some 30 µs and cold caches, several times what a small round computes.
LOOK_S = 2.5e-4
# A look that took so long met a busy process on this core, behind which a reader that does not sleep queues up again
# and again, while one that is woken goes first: then the next short waits sleep.
BUSY_S = 1e-3
SLEEPS_WHEN_BUSY = 100
_let_run = getattr(os, "sched_yield", None)
DONT_WAIT = int(socket.MSG_DONTWAIT)


def make_context(identity: Identity, trusted: Iterable[str], *, server_side: bool) -> ssl.SSLContext:
    """Return a context for mutual TLS 1.3 that trusts exactly the given certificates (PEM)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the public key is pinned instead
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a listed certificate is trusted for itself alone
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.load_verify_locations(cadata="\n".join(trusted))
    context.load_cert_chain(identity.path, password=identity.password)
    if server_side:
        context.num_tickets = 0
    # Python can choose TLS 1.3 ciphers only from 3.15 on; before, OpenSSL takes AES-256-GCM, which is slower.
    choose = getattr(context, "set_ciphersuites", None)
    if choose is not None:
        choose("TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384")
    return context


class TlsStream:
    """One encrypted connection; OSError (ssl.SSLError is one) when it breaks."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.sock = sock
        self.traffic = Traffic()
        """Where the bytes that come from the socket are counted while data flows."""
        self.ended = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._scratch = memoryview(b"")
        self._plain = bytearray()
        self.record = np.empty(0, np.uint8)
        """The last record; what of it is yet to be taken is from `at` to `end`."""
        self.record_bytes = self.record.data
        self.at = self.end = 0
        self._unsent = b""
        self._soon = True  # whether the last wait was short
        self._sleeps = (
            0 if _let_run is not None else sys.maxsize
        )  # short waits to sleep through before the next look

    # While data flows: the socket blocks.

    def start_blocking(self, timeout_s: float | None) -> None:
        """Let reads wait in the kernel, at most `timeout_s` each; Python's own limit costs a call a read."""
        self.sock.setblocking(True)
        self._scratch = memoryview(bytearray(READ_BYTES))
        self.record = np.empty(RECORD_BYTES, np.uint8)
        self.record_bytes = self.record.data
        if timeout_s is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s))

    def seal(self, data: bytes | bytearray | memoryview) -> bytes:
        """Encrypt and return what must now be written to the socket, in order."""
        written = self._tls.write(data)
        while written < len(data):
            written += self._tls.write(memoryview(data)[written:])
        return self._outgoing.read()

    def read_into(self, out: memoryview) -> None:
        """Fill the buffer with plaintext."""
        done, size = 0, len(out)
        while done < size:
            if self.at == self.end:
                if size - done >= RECORD_BYTES:  # decrypt in place
                    done += self._read_record(out[done:])
                    continue
                self.next_record()
            some = min(self.end - self.at, size - done)
            out[done : done + some] = self.record_bytes[self.at : self.at + some]
            self.at += some
            done += some

    def next_record(self) -> None:
        """Wait for the next record, when the last has been taken."""
        self.at, self.end = 0, self._read_record(self.record_bytes)

    def _read_record(self, out: memoryview) -> int:
        """Wait for one whole record and decrypt it, so that TLS never holds plaintext back; return its length."""
        if not self._incoming.pending:
            self._fill()
        while True:
            try:
                got: int = self._tls.read(RECORD_BYTES, out)  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                self._fill()
                continue
            if not got:
                raise ConnectionResetError("end of stream")
            return got

    def has(self, nbytes: int) -> bool:
        """Tell, without waiting, whether so many bytes have come, encrypted or not; False for many more than a read."""
        more = nbytes - (self.end - self.at)
        return self._incoming.pending >= more or (self._look_once() and self._incoming.pending >= more)

    def _look_once(self) -> bool:
        """Read what lies in the socket; say whether there is anything."""
        try:
            self._took(self.sock.recv_into(self._scratch, 0, DONT_WAIT))
        except BlockingIOError:
            return False
        return True

    def _fill(self) -> None:
        """Wait for bytes."""
        if self._sleeps or not self._soon:
            self._took(self._sleep(time.monotonic()))
        elif not self._look_once():
            started = time.monotonic()
            got = self._look(started + LOOK_S)
            if time.monotonic() > started + BUSY_S:
                self._sleeps = SLEEPS_WHEN_BUSY
            self._took(self._sleep(started) if got is None else got)

    def _look(self, until_s: float) -> int | None:
        """Let others run and read what comes before `until_s`, without sleeping; None if nothing does."""
        assert _let_run is not None
        while time.monotonic() <= until_s:
            _let_run()
            try:
                return self.sock.recv_into(self._scratch, 0, DONT_WAIT)
            except BlockingIOError:
                continue
        return None

    def _sleep(self, started_s: float) -> int:
        """Read what comes next, and note whether that was soon."""
        got = self.sock.recv_into(self._scratch)
        self._soon = time.monotonic() < started_s + LOOK_S
        if self._soon and self._sleeps:
            self._sleeps -= 1
        return got

    def _took(self, got: int) -> None:
        if not got:
            raise ConnectionResetError("end of stream")
        self.traffic.wire_received += got
        self._incoming.write(self._scratch[:got])

    # While setting up, and on control links: the socket does not block.

    def handshake(self) -> Steps[None]:
        """Run the TLS handshake."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                yield from self._write_steps()
                yield from self._read_steps()
                continue
            except ssl.SSLError:
                self.try_write()  # the alert that tells the other side why
                raise
            yield from self._write_steps()
            return

    def peer_certificate(self) -> bytes:
        """Return the peer's certificate (DER)."""
        return self._tls.getpeercert(binary_form=True) or b""

    def version(self) -> str:
        """Return the negotiated version, always TLSv1.3."""
        return self._tls.version() or ""

    def write_frame(self, kind: int, payload: bytes) -> Steps[None]:
        """Send one control frame."""
        self.queue_frame(kind, payload)
        yield from self._write_steps()

    def read_frame(self, kind: int, max_bytes: int, sender: str) -> Steps[bytes]:
        """Receive one control frame of the given kind; PeerIncompatible for another or a longer one."""
        header = decode_header((yield from self._exact_steps(HEADER_BYTES)), sender)
        if header.kind != kind or header.label_bytes or header.payload_bytes > max_bytes:
            raise PeerIncompatible(f"{sender} does not introduce itself as this version expects", sender)
        return (yield from self._exact_steps(header.payload_bytes))

    def queue_frame(self, kind: int, payload: bytes) -> None:
        """Encrypt one control frame, to be written by `try_write`."""
        self._unsent += self.seal(encode_header(kind, b"", 0, 0, len(payload)) + payload)

    def try_write(self) -> bool:
        """Write what the socket takes; tell whether nothing is left (also when the connection is broken)."""
        self._unsent += self._outgoing.read()
        try:
            while self._unsent:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            self._unsent = b""
        return True

    def poll_frames(self, max_bytes: int, sender: str) -> list[tuple[int, bytes]]:
        """Return the complete control frames that have come; sets `ended` at the end of the stream."""
        try:
            data = self.sock.recv(_SETUP_READ_BYTES)
            self.ended = not data
            self._incoming.write(data)
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        try:
            while data := self._tls.read(_SETUP_READ_BYTES):
                self._plain += data
            self.ended = True  # the peer closed the TLS session
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.ended = True
        return self._split_frames(max_bytes, sender)

    def _split_frames(self, max_bytes: int, sender: str) -> list[tuple[int, bytes]]:
        frames: list[tuple[int, bytes]] = []
        while len(self._plain) >= HEADER_BYTES:
            header = decode_header(self._plain, sender)
            if header.label_bytes or header.payload_bytes > max_bytes:
                raise PeerIncompatible(
                    f"{sender} sent a control frame that this version does not know", sender
                )
            end = HEADER_BYTES + header.payload_bytes
            if len(self._plain) < end:
                break
            frames.append((header.kind, bytes(self._plain[HEADER_BYTES:end])))
            del self._plain[:end]
        return frames

    def _exact_steps(self, n: int) -> Steps[bytes]:
        data = bytearray()
        while len(data) < n:
            try:
                got = self._tls.read(n - len(data))
            except ssl.SSLWantReadError:
                yield from self._read_steps()
                continue
            if not got:
                raise ConnectionResetError("end of stream")
            data += got
        return bytes(data)

    def _write_steps(self) -> Steps[None]:
        self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                self._unsent = self._unsent[self.sock.send(self._unsent) :]
            except BlockingIOError:
                yield selectors.EVENT_WRITE

    def _read_steps(self) -> Steps[None]:
        while True:
            try:
                data = self.sock.recv(_SETUP_READ_BYTES)
            except BlockingIOError:
                yield selectors.EVENT_READ
                continue
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._incoming.write(data)
            return

    def shutdown(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection in one or both directions; wakes a thread that reads or writes it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(how)

    def close(self) -> None:
        """Free the socket."""
        self.sock.close()


@dataclass(slots=True)
class Link:
    """The three connections to one peer, how long it bears silence, and whether it is done already."""

    control: TlsStream
    outgoing: TlsStream
    incoming: TlsStream
    peer_silence_s: float
    left: bool


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    return struct.pack("@ll", whole, int((seconds - whole) * 1e6))
