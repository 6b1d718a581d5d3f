"""Opening TCP sockets."""

from __future__ import annotations

import errno
import os
import socket

from tacit.net.roster import Party


def listen_on(host: str, port: int = 0) -> socket.socket:
    """Return a listening socket, to be given to `connect_mesh`; port 0 takes a free one."""
    return socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
    )


def open_socket(party: Party) -> socket.socket:
    """Start a connection without waiting for it."""
    family, kind, proto, _, address = socket.getaddrinfo(party.host, party.port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        no_delay(sock)
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
