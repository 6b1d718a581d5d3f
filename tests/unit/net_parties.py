"""Helpers for the TLS tests: identities on disk, listeners on free ports, parties as threads or processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

from tacit.net.identity import Identity, load_identity
from tacit.net.roster import Roster
from tacit.net.sockets import listen_on
from tacit.net.tls import TlsMesh, connect_mesh

NAMES = ("alice", "bob", "carol")


class Site:
    """A roster of parties on loopback, with their identities and listening sockets."""

    def __init__(self, folder: Path, names: tuple[str, ...] = NAMES) -> None:
        self.folder = folder
        self.names = names
        self.identities: dict[str, Identity] = {n: load_identity(folder / n, n) for n in names}
        self.listeners: dict[str, socket] = {n: listen_on("127.0.0.1") for n in names}
        self.roster = self.make_roster()
        self.roster.save(folder / "roster.json")

    def address(self, name: str) -> tuple[str, int]:
        host, port = self.listeners[name].getsockname()[:2]
        return str(host), int(port)

    def make_roster(self, **addresses: tuple[str, int]) -> Roster:
        """Return the roster, with other addresses for some parties."""
        return Roster(tuple(self.identities[n].party(*addresses.get(n, self.address(n))) for n in self.names))

    def mesh(self, name: str, **options: Any) -> TlsMesh:
        """Connect one party."""
        options = {"connect_timeout_s": 10.0, "listen": self.listeners[name], **options}
        roster = options.pop("roster", self.roster)
        identity = options.pop("identity", self.identities[name])
        return connect_mesh(identity, roster, name, **options)

    def run(self, jobs: dict[str, Callable[[TlsMesh], Any]], **options: Any) -> dict[str, Any]:
        """Run parties in threads; a party's result is what its job returned, or the exception it raised."""
        results: dict[str, Any] = {}

        def body(name: str, job: Callable[[TlsMesh], Any]) -> None:
            try:
                with self.mesh(name, **options) as mesh:
                    results[name] = job(mesh)
            except BaseException as error:
                results[name] = error

        threads = [threading.Thread(target=body, args=item, name=f"party {item[0]}") for item in jobs.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    @contextmanager
    def process(self, name: str, code: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """Run one party in a process of its own; `code` sees `mesh`, and `say` prints a line to us."""
        program = (
            "import sys\n"
            "from tacit.net.identity import load_identity\n"
            "from tacit.net.roster import load_roster\n"
            "from tacit.net.tls import connect_mesh\n"
            "def say(text): print(text, flush=True)\n"
            f"folder, name = {str(self.folder)!r}, {name!r}\n"
            "identity = load_identity(folder + '/' + name, name)\n"
            "roster = load_roster(folder + '/roster.json')\n"
            f"mesh = connect_mesh(identity, roster, name, connect_timeout_s=20, **{options!r})\n"
            f"{code}\n"
        )
        self.listeners[name].close()  # the process opens it again
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield child
        finally:
            child.kill()
            child.communicate()

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.close()
