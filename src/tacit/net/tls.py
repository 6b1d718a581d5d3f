"""The mesh between processes: each link is three TLS 1.3 connections (data out, data in, control).

One connection per direction means that no TLS session is ever used by two threads and that sending and
receiving overlap at any size. Parts of up to `COPY_BYTES` are copied when they are queued, longer ones too unless
the caller says that they are stable; what is queued for a peer leaves in one write.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from tacit.errors import PeerError, PeerUnavailable, TacitError, UsageError
from tacit.net.control import LINGER_S, Control, State
from tacit.net.identity import Identity
from tacit.net.link import (
    ABORT,
    AHEAD_BYTES,
    DATA,
    GOODBYE,
    HEADER_BYTES,
    Buffer,
    Header,
    Mesh,
    decode_header,
    encode_label,
    flat,
    show_label,
)
from tacit.net.meter import Sends
from tacit.net.notice import encode_notice, notice_of
from tacit.net.rendezvous import Rendezvous
from tacit.net.roster import Roster
from tacit.net.sender import Sender
from tacit.net.stream import Link, TlsStream

COPY_BYTES = 1 << 14
# Beyond this much queued for one peer, sending starts without waiting for a flush.
EAGER_BYTES = 1 << 16


MOST_S = 7 * 86_400
"""The longest time limit: clocks of the system do not take every number."""


def check_limit(seconds: float) -> None:
    """Raise UsageError unless a party can wait for so long; not a number is no time either."""
    if not 0 < seconds <= MOST_S:
        raise UsageError(f"a time limit is more than 0 and at most {MOST_S:,} seconds")


def connect_mesh(
    identity: Identity,
    roster: Roster,
    me: str,
    *,
    listen: tuple[str, int] | socket.socket | None = None,
    links: Collection[tuple[str, str]] | None = None,
    connect_timeout_s: float = 30.0,
    silence_timeout_s: float = 20.0,
    round_timeout_s: float | None = None,
    session: bytes = b"",
) -> TlsMesh:
    """Connect to the peers over mutual TLS 1.3 and return this party's mesh; parties may start in any order.

    `listen` is the address to accept calls at (default: the roster's own; a listening socket stays the
    caller's). `links` lists the pairs that talk (default: all). A peer that sends no sign of life for
    `silence_timeout_s`, or not the message waited for within `round_timeout_s`, is unavailable. All parties
    must give the same `session`. Raises PeerUnavailable for a missing peer, PeerIncompatible for a wrong
    certificate, version, roster or session.
    """
    for limit in (connect_timeout_s, silence_timeout_s, round_timeout_s):
        if limit is not None:
            check_limit(limit)
    meeting = Rendezvous(identity, roster, me, links, listen, connect_timeout_s, silence_timeout_s, session)
    return TlsMesh(me, meeting.run(), silence_timeout_s, round_timeout_s)


LABELS = 1 << 12
"""Labels of which a mesh keeps what their messages have in common."""


class _Form:
    """What all messages of a label have in common: first four bytes (kind, label's length, zero), label, layout.

    The layout is that of these four bytes as a number, depth, sequence number, payload bytes and label.
    """

    __slots__ = ("pack", "raw", "size", "start", "unpack")

    def __init__(self, label: str) -> None:
        self.raw = encode_label(label)
        layout = struct.Struct(f"<IIQQ{len(self.raw)}s")
        self.start = DATA | len(self.raw) << 8
        self.size, self.pack, self.unpack = layout.size, layout.pack, layout.unpack_from


class _Sent(_Form):
    """That of messages to one peer, and where they go and are counted."""

    __slots__ = ("sender", "sends")

    def __init__(self, label: str, sender: Sender, sends: Sends) -> None:
        super().__init__(label)
        self.sender, self.sends = sender, sends


class _Heard(_Form):
    """That of messages from one peer, and where they come from."""

    __slots__ = ("stream",)

    def __init__(self, label: str, stream: TlsStream) -> None:
        super().__init__(label)
        self.stream = stream


class TlsMesh(Mesh):
    """One party's TLS links; made by `connect_mesh`."""

    def __init__(
        self, me: str, links: dict[str, Link], silence_timeout_s: float, round_timeout_s: float | None
    ) -> None:
        super().__init__(me, tuple(links))
        self._round_timeout_s = round_timeout_s
        self._incoming = {p: link.incoming for p, link in links.items()}
        self._outgoing = {p: link.outgoing for p, link in links.items()}
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._queued: dict[str, Sender] = {}
        """Those of the senders that hold anything."""
        self._failure: TacitError | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._over = False  # closed or failed
        self._senders = {p: self._make_sender(p, link.outgoing) for p, link in links.items()}
        for peer, link in links.items():
            link.incoming.traffic = self.meter.peers[peer]
            link.incoming.start_blocking(round_timeout_s)
            link.outgoing.start_blocking(None)
        self._control = Control(me, links, silence_timeout_s, self._fail)
        self._control.start()

    def _make_sender(self, peer: str, stream: TlsStream) -> Sender:
        name = f"tacit sender {self.me} to {peer}"
        return Sender(stream, self.meter.peers[peer], name, lambda: self._sender_broke(peer))

    def send(self, to: str, label: str, *parts: Buffer, stable: bool = False) -> None:
        """Queue one message; long ones start at once, in a thread."""
        form = self._sent.get((to, label)) or self._first_to(to, label)
        sender, sends, meter = form.sender, form.sends, self.meter
        views: Sequence[bytes | memoryview]
        if len(parts) == 1:
            views = (flat(parts[0], COPY_BYTES),)
            nbytes = len(views[0])
        else:
            views = [flat(part, COPY_BYTES) for part in parts]
            nbytes = sum(map(len, views))
        if not stable:
            views = [bytes(view) for view in views]
        traffic = sender.traffic
        seq = traffic.frames_sent
        traffic.frames_sent = seq + 1
        traffic.payload_sent += nbytes
        sends.count += 1
        sends.payload += nbytes
        sender.chunks += (form.pack(form.start, meter.rounds + 1, seq, nbytes, form.raw), *views)
        sender.nbytes += form.size + nbytes
        if sender.nbytes > EAGER_BYTES:
            self._check_alive()
            sender.push()
        else:
            self._queued[to] = sender

    def _first_to(self, to: str, label: str) -> _Sent:
        """Note what messages of a label to a peer have in common."""
        if len(self._sent) >= LABELS:
            self._sent.clear()
        sender = self._senders[self._known(to)]
        form = self._sent[to, label] = _Sent(label, sender, self.meter.sends[label])
        return form

    def _first_from(self, frm: str, label: str) -> _Heard:
        """Note what messages of a label from a peer have in common."""
        if len(self._heard) >= LABELS:
            self._heard.clear()
        form = self._heard[frm, label] = _Heard(label, self._incoming[self._known(frm)])
        return form

    def flush(self) -> None:
        """Start sending everything queued."""
        if self._over:
            self._check_alive()
        if self._queued:
            for sender in self._queued.values():
                if sender.chunks:
                    sender.push()
            self._queued.clear()

    def pace(self) -> None:
        """Wait while a peer has yet to take more than `AHEAD_BYTES`; on any error tell all and free everything."""
        for peer, sender in self._senders.items():
            if sender.waiting <= AHEAD_BYTES:
                continue
            try:
                if not sender.wait_below(AHEAD_BYTES, self._round_timeout_s):
                    text = f"{peer} took nothing of what it was sent for {self._round_timeout_s} s, though it is alive"
                    raise PeerUnavailable(text, peer)
            except BaseException as error:
                self.abort(error)
                raise

    def recv(self, frm: str, label: str, nbytes: int, held: bool = False) -> npt.NDArray[np.uint8]:
        """Wait for the expected message; on any error tell all peers and free everything."""
        form = self._heard.get((frm, label)) or self._first_from(frm, label)
        stream = form.stream
        try:
            if (self._queued or self._over) and not (held and stream.has(form.size + nbytes)):
                self.flush()
            if stream.at == stream.end:
                stream.next_record()
            at, traffic, meter = stream.at, stream.traffic, self.meter
            body = at + form.size
            end = body + nbytes
            seq = traffic.frames_received
            if end <= stream.end:
                start, depth, number, size, raw = form.unpack(stream.record_bytes, at)
                if start == form.start and number == seq and size == nbytes and raw == form.raw:
                    stream.at = end
                    traffic.payload_received += nbytes
                    traffic.frames_received = seq + 1
                    if depth > meter.rounds:
                        meter.rounds = depth
                    return stream.record[body:end].copy()
            # It goes on in the next record, or is another.
            header, other = _read_header(stream, frm)
            self._check(frm, header, other, label, nbytes)
            out = np.empty(nbytes, np.uint8)
            stream.read_into(out.data)
            meter.count_receive(traffic, header.depth, nbytes)
            return out
        except OSError as error:
            raise self._ended(frm, label, error) from None
        except BaseException as error:  # KeyboardInterrupt too: the peers must not wait for us
            self.abort(error)
            raise

    def recv_any(self, frm: str, max_bytes: int) -> tuple[str, bytes]:
        """Wait for a message of bounded size; on any error tell all peers and free everything."""
        stream = self._incoming[self._known(frm)]
        try:
            self.flush()
            header, raw = _read_header(stream, frm)
            self._check_bounded(frm, header, raw, max_bytes)
            out = bytearray(header.payload_bytes)
            stream.read_into(memoryview(out))
            self.meter.count_receive(stream.traffic, header.depth, header.payload_bytes)
            return show_label(raw), bytes(out)
        except OSError as error:
            raise self._ended(frm, "any message", error) from None
        except BaseException as error:
            self.abort(error)
            raise

    def close(self) -> None:
        """Deliver what is queued, say goodbye and free everything; peers may go on among themselves."""
        if self._closed:
            return
        try:
            self.flush()
            for peer, sender in self._senders.items():
                if not sender.drain() and self._control.verdict(peer, LINGER_S) is not State.LEFT:
                    raise self._failure or PeerUnavailable(f"the connection to {peer} broke", peer)
        except BaseException as error:
            self.abort(error)
            raise
        for stream in self._outgoing.values():
            stream.shutdown(socket.SHUT_WR)
        self._free(GOODBYE, b"")

    def abort(self, reason: BaseException) -> None:
        """Tell all peers the root cause and free everything; what is queued is dropped."""
        if not self._closed:
            self._free(ABORT, encode_notice(notice_of(reason)))

    def _free(self, kind: int, payload: bytes) -> None:
        self._closed = self._over = True
        self._control.finish(kind, payload)
        streams = [*self._incoming.values(), *self._outgoing.values()]
        if kind == ABORT:  # after a goodbye the data in the kernel must still arrive
            for stream in streams:
                stream.shutdown()
        for sender in self._senders.values():
            sender.stop()
        for stream in streams:
            stream.close()
        self._queued.clear()

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise UsageError(f"{self.me}'s mesh is closed")

    def _fail(self, error: PeerError) -> None:
        """Note the first failure and wake whoever is blocked; called from the control and sender threads."""
        with self._lock:
            if self._failure is not None or self._closed:
                return
            self._failure, self._over = error, True
        for stream in [*self._incoming.values(), *self._outgoing.values()]:
            stream.shutdown()

    def _sender_broke(self, peer: str) -> None:
        if self._control.verdict(peer, LINGER_S) is not State.LEFT:
            self._fail(PeerUnavailable(f"the connection to {peer} broke", peer))

    def _ended(self, frm: str, label: str, error: OSError) -> TacitError:
        """Return why reading from a peer ended, having told the others."""
        if isinstance(error, BlockingIOError):
            text = f"{frm} did not send {label!r} within {self._round_timeout_s} s, though it is alive"
            self._fail(PeerUnavailable(text, frm))
        elif isinstance(error, ssl.SSLError):
            self._fail(
                PeerUnavailable(f"what came from {frm} was altered on the way: {label!r} is lost", frm)
            )
        elif self._failure is None:
            if self._control.verdict(frm, LINGER_S) is State.LEFT:
                text = f"{frm} has left; {self.me} still expects {label!r} from it"
            else:
                text = f"the connection to {frm} broke while {self.me} expected {label!r}"
            self._fail(PeerUnavailable(text, frm))
        failure = self._failure or PeerUnavailable(f"the connection to {frm} broke", frm)
        self.abort(failure)
        return failure


def _read_header(stream: TlsStream, frm: str) -> tuple[Header, bytes]:
    """Read the header and the label of a frame, whatever they say; take no more than that."""
    data = bytearray(HEADER_BYTES)
    stream.read_into(memoryview(data))
    header = decode_header(data, frm)
    label = bytearray(header.label_bytes)
    stream.read_into(memoryview(label))
    return header, bytes(label)
