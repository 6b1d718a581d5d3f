"""Opening TCP sockets."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket

from tacit.net.roster import Party


def listen_on(host: str, port: int = 0) -> socket.socket:
    """Return a listening socket, to be given to `connect_mesh`; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=128)
    _unpaced_within_machine(sock, sock.getsockname()[0])  # accepted sockets take it over
    return sock


def open_socket(party: Party) -> socket.socket:
    """Start a connection without waiting for it."""
    family, kind, proto, _, address = socket.getaddrinfo(party.host, party.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        no_delay(sock)
        _unpaced_within_machine(sock, str(address[0]))
        code = sock.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


def no_delay(sock: socket.socket) -> None:
    """Send small messages at once, and notice links that are dead for days."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _unpaced_within_machine(sock: socket.socket, host: str) -> None:
    """Do not pace what is sent within this machine, where nothing is congested; before the connection is made.

    A machine whose default is BBR sets timers to send at the rate that it believes in: a third of the processor time of
    megabytes over loopback. Without it, or where the option is unknown, nothing is lost.
    """
    option = getattr(socket, "TCP_CONGESTION", None)
    if option is not None and ipaddress.ip_address(host).is_loopback:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, option, b"reno")
