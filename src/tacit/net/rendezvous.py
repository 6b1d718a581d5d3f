"""Meeting the peers: calls, handshakes and introductions, driven by one loop in the caller's thread.

Of each pair the party that stands later in the roster calls the other, three times (one connection per
channel). After the TLS handshake the callee introduces itself first, so that a refused caller always sees
why; then the caller, then the callee's answer. Whoever cannot prove a roster key is a stranger: it is
dropped, counted, and changes nothing for the others. Strangers hold few, short-lived slots.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tacit.crypto.certificates import spki_fingerprint
from tacit.errors import PeerError, PeerIncompatible, PeerUnavailable, TacitError, UsageError
from tacit.net.codec import encode
from tacit.net.greeting import (
    CHANNELS,
    MAX_GREETING_BYTES,
    Greeter,
    at,
    clean,
    explain,
    read_greeting,
    show,
)
from tacit.net.identity import Identity
from tacit.net.link import ABORT, GOODBYE, HELLO
from tacit.net.notice import MAX_CONTROL_BYTES, decode_notice, encode_notice, error_of, notice_of
from tacit.net.roster import Party, Roster
from tacit.net.sockets import listen_on, no_delay, open_socket
from tacit.net.stream import Link, Steps, TlsStream, make_context

HANDSHAKE_TIMEOUT_S = 5.0
MAX_PENDING = 64
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.05, 1.0


@dataclass(slots=True)
class _Met:
    """The channels open to one run (`instance`) of a peer."""

    instance: bytes
    silence_s: float
    left: bool = False
    channels: dict[str, TlsStream] = field(default_factory=dict)


@dataclass(slots=True)
class _Call:
    """One channel that this party has to open."""

    party: Party
    channel: str
    retry_at: float = 0.0
    backoff_s: float = _FIRST_BACKOFF_S
    active: bool = False
    problem: str = "no answer"


@dataclass(slots=True)
class _Pending:
    """A connection being set up."""

    sock: socket.socket
    steps: Steps[None]
    until: float
    failed: Callable[[Exception], None]
    callee: str = ""


class Rendezvous:
    """One attempt to meet all peers; `run` may be called once."""

    def __init__(
        self,
        identity: Identity,
        roster: Roster,
        me: str,
        links: Collection[tuple[str, str]] | None,
        listen: tuple[str, int] | socket.socket | None,
        connect_timeout_s: float,
        silence_timeout_s: float,
        session: bytes,
    ) -> None:
        own = roster.party(me)
        if own.fingerprint != identity.fingerprint:
            raise UsageError(
                f"the roster lists another key for {me} than this identity's; exchange certificates again"
            )
        self._identity, self._roster, self._me = identity, roster, me
        self._peers = _linked(roster, me, links)
        order = roster.names
        self._callees = [p for p in self._peers if order.index(p) < order.index(me)]
        self._callers = [p for p in self._peers if order.index(p) > order.index(me)]
        self._address = listen if isinstance(listen, tuple) else (own.host, own.port)
        self._listener = listen if isinstance(listen, socket.socket) else None
        self._owns_listener = self._listener is None
        for name in self._callees:
            if not roster.party(name).port:
                raise UsageError(f"roster: {name} needs an address, since {me} stands after it and calls it")
        self._timeout_s = connect_timeout_s
        self._until = time.monotonic() + connect_timeout_s
        instance, silence_ms = secrets.token_bytes(16), int(silence_timeout_s * 1000)
        self._greeter = Greeter(me, roster.hash(), session, instance, silence_ms)
        self._contexts = {
            p: make_context(identity, [roster.party(p).certificate], server_side=False) for p in self._callees
        }
        self._selector = selectors.DefaultSelector()
        self._pending: dict[int, _Pending] = {}
        self._met: dict[str, _Met] = {}
        self._calls = [_Call(roster.party(p), c) for p in self._callees for c in CHANNELS]
        self._refused: list[str] = []

    def run(self) -> dict[str, Link]:
        """Return the links by peer; PeerError names who is missing or does not fit."""
        try:
            self._open_listener()
            while not all(self._complete(p) for p in self._peers):
                now = time.monotonic()
                if now >= self._until:
                    raise self._missing()
                self._start_calls(now)
                self._expire(now)
                self._wait(now)
            return {p: self._link(p) for p in self._peers}
        except BaseException as error:
            self._give_up(error)
            raise
        finally:
            for pending in self._pending.values():
                pending.sock.close()
            self._selector.close()
            if self._owns_listener and self._listener is not None:
                self._listener.close()

    def _complete(self, peer: str) -> bool:
        return peer in self._met and len(self._met[peer].channels) == len(CHANNELS)

    def _link(self, peer: str) -> Link:
        met = self._met[peer]
        up, down = met.channels["up"], met.channels["down"]
        calling = peer in self._callees
        return Link(
            met.channels["control"], up if calling else down, down if calling else up, met.silence_s, met.left
        )

    # The loop.

    def _open_listener(self) -> None:
        if not self._callers:
            return
        if self._listener is None:
            if not self._address[1] and self._address == (self._roster.party(self._me).host, 0):
                raise UsageError(f"roster: {self._me} needs an address, since {self._callers[0]} calls it")
            try:
                self._listener = listen_on(*self._address)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise UsageError(f"cannot listen at {show(self._address)}: {reason}") from None
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        callers = [self._roster.party(p).certificate for p in self._callers]
        self._server_context = make_context(self._identity, callers, server_side=True)

    def _wait(self, now: float) -> None:
        times = [self._until, *(p.until for p in self._pending.values())]
        times += [c.retry_at for c in self._calls if self._needed(c)]
        for key, _ in self._selector.select(max(0.0, min(times) - now)):
            if key.data == "listener":
                self._accept()
            elif isinstance(key.data, str):
                self._watch(key.data)
            elif (pending := self._pending.get(key.fd)) is not None and pending is key.data:
                self._advance(pending)  # else it was closed meanwhile

    def _add(self, pending: _Pending) -> None:
        fd = pending.sock.fileno()
        self._pending[fd] = pending
        self._selector.register(pending.sock, selectors.EVENT_READ, pending)
        self._advance(pending)

    def _advance(self, pending: _Pending) -> None:
        """Run a connection's set-up until it waits again, is done, or has failed."""
        try:
            self._selector.modify(pending.sock, next(pending.steps), pending)
        except StopIteration:
            pass
        except Exception as error:
            self._drop(pending)
            pending.failed(error)

    def _drop(self, pending: _Pending) -> None:
        self._release(pending.sock)
        pending.sock.close()

    def _release(self, sock: socket.socket) -> None:
        """Stop watching a socket that is set up or given up."""
        self._pending.pop(sock.fileno(), None)
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def _expire(self, now: float) -> None:
        for pending in [p for p in self._pending.values() if now >= p.until]:
            self._drop(pending)
            pending.failed(TimeoutError("no complete handshake in time"))

    # Calling.

    def _needed(self, call: _Call) -> bool:
        met = self._met.get(call.party.name)
        return not call.active and (met is None or call.channel not in met.channels)

    def _start_calls(self, now: float) -> None:
        for call in self._calls:
            if not self._needed(call) or now < call.retry_at:
                continue
            call.active = True
            try:
                sock = open_socket(call.party)
            except OSError as error:
                self._call_failed(call, error)
                continue
            steps = self._call_steps(call, sock)
            until = now + HANDSHAKE_TIMEOUT_S
            self._add(_Pending(sock, steps, until, partial(self._call_failed, call), call.party.name))

    def _call_steps(self, call: _Call, sock: socket.socket) -> Steps[None]:
        peer = call.party.name
        yield selectors.EVENT_WRITE
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        stream = TlsStream(sock, self._contexts[peer], server_side=False)
        yield from stream.handshake()
        if spki_fingerprint(stream.peer_certificate()) != call.party.fingerprint:
            raise PeerIncompatible(f"{at(call.party)} answers with another key than the roster's", peer)
        hello = read_greeting((yield from stream.read_frame(HELLO, MAX_GREETING_BYTES, peer)), peer)
        self._greeter.check_callee(peer, hello)
        yield from stream.write_frame(HELLO, encode(self._greeter.hello(peer, call.channel)))
        answer = read_greeting((yield from stream.read_frame(HELLO, MAX_GREETING_BYTES, peer)), peer)
        if answer.get("refused"):
            raise PeerIncompatible(f"{peer} refuses this party: {clean(answer['refused'])}", peer)
        self._welcome(peer, call.channel, hello, stream)
        call.active = False

    def _call_failed(self, call: _Call, error: Exception) -> None:
        """Try again later, unless it can never succeed."""
        peer = call.party.name
        if isinstance(error, ssl.SSLError):
            raise PeerIncompatible(explain(call.party, self._me, error), peer) from None
        if not isinstance(error, OSError):
            raise error
        call.active = False
        call.problem = error.strerror or str(error) or type(error).__name__
        call.retry_at = time.monotonic() + call.backoff_s
        call.backoff_s = min(2 * call.backoff_s, _MAX_BACKOFF_S)

    # Being called.

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, address = self._listener.accept()
        except OSError:  # the caller has gone already, or no file handle is free
            return
        if len(self._pending) >= MAX_PENDING:
            oldest = min(self._pending.values(), key=lambda p: p.until)
            self._drop(oldest)
            oldest.failed(TimeoutError("too many connections at once"))
        sock.setblocking(False)
        no_delay(sock)
        stream = TlsStream(sock, self._server_context, server_side=True)
        until = time.monotonic() + HANDSHAKE_TIMEOUT_S
        where = show(address)
        self._add(_Pending(sock, self._answer_steps(stream), until, partial(self._refuse, where)))

    def _answer_steps(self, stream: TlsStream) -> Steps[None]:
        yield from stream.handshake()
        found = spki_fingerprint(stream.peer_certificate())
        caller = next((p for p in self._callers if self._roster.party(p).fingerprint == found), "")
        if not caller:
            raise ConnectionError("its key is not in the roster")
        yield from stream.write_frame(HELLO, encode(self._greeter.hello(caller, "")))
        hello = read_greeting((yield from stream.read_frame(HELLO, MAX_GREETING_BYTES, caller)), caller)
        problem = self._greeter.judge(caller, hello)
        yield from stream.write_frame(HELLO, encode({"refused": problem}))
        if problem and hello.get("from") == caller:
            raise PeerIncompatible(f"{caller} does not fit: {problem}", caller)
        if problem:
            raise ConnectionError(problem)
        self._welcome(caller, str(hello["channel"]), hello, stream)

    def _refuse(self, where: str, error: Exception) -> None:
        """Note a stranger; an authenticated peer that does not fit ends the attempt."""
        if isinstance(error, PeerError):
            raise error
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = "its certificate is not in the roster"
        elif isinstance(error, ssl.SSLError):
            reason = "it does not speak mutual TLS 1.3"
        else:
            reason = clean(str(error) or type(error).__name__)
        self._refused = [*self._refused[-7:], f"{where}: {reason}"]

    # Both.

    def _welcome(self, peer: str, channel: str, hello: dict[str, Any], stream: TlsStream) -> None:
        """Keep a channel that is set up; a new run of the peer replaces what was met of an earlier one."""
        self._release(stream.sock)
        met = self._met.get(peer)
        if met is None or met.instance != hello["instance"]:
            if met is not None:
                self._forget(peer)
            met = self._met[peer] = _Met(hello["instance"], max(hello["silence_ms"], 1) / 1000)
        old = met.channels.get(channel)
        if old is not None:
            old.close()
        met.channels[channel] = stream
        if channel == "control":
            self._selector.register(stream.sock, selectors.EVENT_READ, peer)

    def _forget(self, peer: str) -> None:
        """Drop a peer that went away before all had met, and expect it again."""
        for stream in self._met.pop(peer).channels.values():
            self._release(stream.sock)
            stream.close()
        for call in self._calls:
            if call.party.name == peer:
                call.active, call.retry_at, call.problem = False, 0.0, "it went away again"
        for pending in [p for p in self._pending.values() if p.callee == peer]:
            self._drop(pending)

    def _watch(self, peer: str) -> None:
        """Read a control channel while others are still being met."""
        if peer not in self._met or "control" not in self._met[peer].channels:
            return
        stream = self._met[peer].channels["control"]
        for kind, payload in stream.poll_frames(MAX_CONTROL_BYTES, peer):
            if kind == ABORT:
                raise error_of(decode_notice(peer, payload), peer, self._me, tuple(self._peers))
            if kind == GOODBYE:  # it has sent us all it had to say, while we still wait for others
                self._met[peer].left = True
                self._release(stream.sock)
                stream.close()
                return
        if stream.ended:
            self._forget(peer)

    def _missing(self) -> TacitError:
        parts, first = [], ""
        for peer in self._peers:
            if self._complete(peer):
                continue
            first = first or peer
            if peer in self._callees:
                problem = next(
                    (c.problem for c in self._calls if c.party.name == peer and not c.active), "no answer"
                )
                parts.append(f"{at(self._roster.party(peer))} does not answer ({problem})")
            else:
                parts.append(f"{peer} has not called {show(self._address)}")
        text = f"{'; '.join(parts)} after {self._timeout_s:g} s: is it started? is the address right?"
        if self._refused:
            text += f" Refused meanwhile: {'; '.join(self._refused)}."
        return PeerUnavailable(text, first)

    def _give_up(self, error: BaseException) -> None:
        payload = encode_notice(notice_of(error))
        for met in self._met.values():
            if "control" in met.channels:
                met.channels["control"].queue_frame(ABORT, payload)
                met.channels["control"].try_write()
                met.channels["control"].shutdown(socket.SHUT_WR)
            for stream in met.channels.values():
                stream.close()


def _linked(roster: Roster, me: str, links: Collection[tuple[str, str]] | None) -> list[str]:
    """Return this party's peers in roster order."""
    if links is None:
        return [p for p in roster.names if p != me]
    for pair in links:
        for name in pair:
            roster.party(name)
    mine = {name for pair in links if me in pair for name in pair} - {me}
    return [p for p in roster.names if p in mine]
