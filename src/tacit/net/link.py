"""The one view that protocol code has of its peers: tagged, bounded, metered messages.

A message is one frame: fixed header, label, payload. Frames to one peer that are queued between two
receives travel in one write. The receiver states label and size before it reads, so nothing on the wire is
trusted to say how much memory to take; any difference is a Desync at the first step that differs.

Rounds are counted as causal depth: a party at depth d marks what it sends d + 1, and receiving a frame marked
d raises it to at least d. The largest mark is the longest chain of messages, whatever the scheduling was.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit.errors import Desync, PeerIncompatible, UsageError
from tacit.net.meter import Meter

Buffer = bytes | bytearray | memoryview | npt.NDArray[Any]

MAX_LABEL_BYTES = 64
MAX_PAYLOAD_BYTES = 1 << 40

# A party that nobody's messages hold up must not fill its memory with what others have not taken yet. On loopback this
# is 8 ms of a link, at 100 Mbit/s a third of a second: enough never to keep the receiver waiting.
AHEAD_BYTES = 1 << 22

# Frame kinds. Only DATA travels on data links; the rest belongs to the control link of the TLS mesh.
DATA, HELLO, HEARTBEAT, GOODBYE, ABORT = 1, 2, 3, 4, 5

HEADER = struct.Struct("<BBHIQQ")
HEADER_BYTES = HEADER.size


class Header(NamedTuple):
    """What precedes a payload, 24 bytes little-endian; two bytes after the label length are zero."""

    kind: int
    label_bytes: int
    depth: int
    seq: int
    payload_bytes: int


def encode_header(kind: int, label: bytes, depth: int, seq: int, payload_bytes: int) -> bytes:
    """Return the header and the label of one frame."""
    return HEADER.pack(kind, len(label), 0, depth, seq, payload_bytes) + label


def decode_header(data: bytes | bytearray | memoryview, sender: str) -> Header:
    """Read a frame header, or raise PeerIncompatible naming the sender; it allocates nothing."""
    kind, label_bytes, zero, depth, seq, payload_bytes = HEADER.unpack_from(data)
    if (
        not DATA <= kind <= ABORT
        or zero
        or label_bytes > MAX_LABEL_BYTES
        or payload_bytes > MAX_PAYLOAD_BYTES
    ):
        raise PeerIncompatible(
            f"{sender} sent bytes that are not a frame: it runs another version of Tacit", sender
        )
    return Header(kind, label_bytes, depth, seq, payload_bytes)


@lru_cache(maxsize=1 << 12)
def encode_label(label: str) -> bytes:
    """Return the label's bytes; UsageError unless it is 1 to 64 printable ASCII characters."""
    if not (0 < len(label) <= MAX_LABEL_BYTES and label.isascii() and label.isprintable()):
        raise UsageError(f"message label {label!r}: need 1 to {MAX_LABEL_BYTES} printable ASCII characters")
    return label.encode("ascii")


def show_label(raw: bytes) -> str:
    """Return a received label as text that is safe to print."""
    return "".join(c if c.isprintable() else "?" for c in raw.decode("ascii", "replace"))


def size_of(part: Buffer) -> int:
    """Return the number of bytes of one part."""
    return len(part) if isinstance(part, (bytes, bytearray)) else part.nbytes


def flat(part: Buffer, copy_bytes: int = 0) -> bytes | memoryview:
    """Return one part as bytes: copied if it has up to `copy_bytes` or is strided, else a view."""
    if isinstance(part, np.ndarray):
        if part.nbytes <= copy_bytes and not part.dtype.hasobject:
            return part.tobytes()
        return np.ascontiguousarray(part).reshape(-1).view(np.uint8).data if part.nbytes else memoryview(b"")
    view = memoryview(part)
    return view.cast("B") if view.nbytes else memoryview(b"")


def join(parts: tuple[Buffer, ...], total: int) -> npt.NDArray[np.uint8]:
    """Copy the parts into one fresh, writable, 16-byte aligned array of `total` bytes."""
    out = np.empty(total, np.uint8)
    at = 0
    for part in parts:
        n = size_of(part)
        if n:
            out[at : at + n] = np.frombuffer(flat(part), np.uint8)
        at += n
    return out


class Mesh(ABC):
    """One party's links to its peers; used by one thread at a time.

    Content is captured when `send` is called, so the caller may change its arrays right after. A caller that
    never writes to them again says `stable=True` and saves that copy.
    """

    def __init__(self, me: str, peers: tuple[str, ...]) -> None:
        self.me = me
        self.peers = peers
        self.meter = Meter(peers)
        """Its counts of frames are the sequence numbers of the next, too."""

    @abstractmethod
    def send(self, to: str, label: str, *parts: Buffer, stable: bool = False) -> None:
        """Queue one message made of parts; never wait for the peer."""

    @abstractmethod
    def recv(self, frm: str, label: str, nbytes: int, held: bool = False) -> npt.NDArray[np.uint8]:
        """Flush, then wait for the next message from `frm`: `nbytes` bytes, writable, 16-byte aligned.

        If `held`, what is queued stays queued where that message has come already: more will soon leave with it.
        Raises Desync when another label, size or sequence number arrives, PeerError when a party has failed.
        """

    @abstractmethod
    def recv_any(self, frm: str, max_bytes: int) -> tuple[str, bytes]:
        """Flush, then wait for the next message from `frm`: any label, at most `max_bytes` bytes."""

    @abstractmethod
    def flush(self) -> None:
        """Start sending everything queued; never wait for a peer."""

    @abstractmethod
    def pace(self) -> None:
        """Wait while a peer has yet to take more than `AHEAD_BYTES` of what was sent to it.

        Only between operations that all parties run in the same order: the party that is furthest behind has then been
        sent all that it waits for, or will be by one that does not wait for it. Returns when the link has failed, too.
        """

    @abstractmethod
    def close(self) -> None:
        """Deliver what is queued, tell the peers that this party is done, and free everything."""

    @abstractmethod
    def abort(self, reason: BaseException) -> None:
        """Tell the peers why this party stops (never a value), and free everything."""

    def __enter__(self) -> Mesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort(error)

    def _known(self, party: str) -> str:
        """Return the name if it is one of the peers, else raise UsageError."""
        if party not in self.meter.peers:
            raise UsageError(
                f"{self.me} has no link to {party!r}; its peers are {', '.join(self.peers) or 'none'}"
            )
        return party

    def _check(self, frm: str, got: Header, got_label: bytes, label: str, nbytes: int) -> None:
        """Compare a frame's header with what this step expects, or raise Desync with both."""
        seq = self.meter.peers[frm].frames_received
        if (got.kind, got.seq, got.payload_bytes, got_label) != (DATA, seq, nbytes, encode_label(label)):
            raise self._desync(frm, got, got_label, f"{label!r} ({nbytes} bytes, message {seq})")

    def _check_bounded(self, frm: str, got: Header, got_label: bytes, max_bytes: int) -> None:
        """Compare a variable-size frame's header with sequence and limit, or raise Desync with both."""
        seq = self.meter.peers[frm].frames_received
        if (got.kind, got.seq) != (DATA, seq) or got.payload_bytes > max_bytes:
            raise self._desync(frm, got, got_label, f"at most {max_bytes} bytes (message {seq})")

    def _desync(self, frm: str, got: Header, got_label: bytes, expected: str) -> Desync:
        sent = f"{show_label(got_label)!r} ({got.payload_bytes} bytes, message {got.seq})"
        return Desync(
            f"{frm} sent {sent} to {self.me}, which expected {expected}: "
            "the parties run different programs or versions",
            frm,
        )
