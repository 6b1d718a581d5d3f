"""Makes torch's gloo links run through the relay.

Gloo's processes find one another by addresses that they put into a store. Of two processes the one with the greater
address calls; a store that hands it the relay's port in place of the other's sends the call through the relay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rig.relay import ask, swapped

# struct sockaddr_in: the family, the port in network order, 127.0.0.1.
_ADDRESS = re.compile(rb"\x02\x00(..)\x7f\x00\x00\x01", re.DOTALL)
_KEY = re.compile(r"^(.*/)(\d+)$")


def own_port(value: bytes) -> int:
    """Return the port in what gloo puts into the store, or 0 if there is no address."""
    address = _ADDRESS.search(value)
    return int.from_bytes(address[1], "big") if address else 0


def rewritten(value: bytes, own: int, relay: Callable[[int], int]) -> bytes:
    """Return another process's entry as a process with the port `own` is to see it: relayed if it will call."""
    port = own_port(value)
    if not port or swapped(own) < swapped(port):
        return value
    old, new = (b"\x02\x00" + p.to_bytes(2, "big") + b"\x7f\x00\x00\x01" for p in (port, relay(port)))
    return value.replace(old, new)


def through_relays(cards: list[dict[str, Any]], rank: int, folder: Path) -> None:
    """Make `torch.distributed.init_process_group` use such a store."""
    import torch.distributed as dist

    control = next(c["relay"] for c in cards if "relay" in c)

    class RelayStore(dist.Store):  # type: ignore[misc]
        """A store in a file, with other parties' addresses changed on the way out."""

        def __init__(self) -> None:
            super().__init__()
            self.file = dist.FileStore(f"{folder}/rendezvous", 3)
            self.own: dict[str, int] = {}

        def set(self, key: str, value: bytes) -> None:
            """Keep a value; note this party's own port."""
            place = _KEY.match(key)
            if place is not None and own_port(value):
                self.own[place[1]] = own_port(value)
            self.file.set(key, value)

        def get(self, key: str) -> bytes:
            """Return a value; where this party will call, with the relay's port."""
            value: bytes = self.file.get(key)
            place = _KEY.match(key)
            if place is None or not own_port(value) or int(place[2]) == rank:
                return value
            own, other = self.own[place[1]], int(place[2])
            return rewritten(value, own, lambda port: ask(control, rank, other, port, below=own))

        def add(self, key: str, n: int) -> int:
            """Count."""
            return int(self.file.add(key, n))

        def wait(self, *arguments: Any) -> None:
            """Wait for keys."""
            self.file.wait(*arguments)

        def check(self, keys: list[str]) -> bool:
            """Return whether keys are there."""
            return bool(self.file.check(keys))

        def compare_set(self, key: str, expected: bytes, wanted: bytes) -> bytes:
            """Exchange a value."""
            found: bytes = self.file.compare_set(key, expected, wanted)
            return found

        def num_keys(self) -> int:
            """Count keys."""
            return int(self.file.num_keys())

        @property
        def timeout(self) -> Any:
            """How long to wait for keys."""
            return self.file.timeout

        def delete_key(self, key: str) -> bool:
            """Forget a key."""
            return bool(self.file.delete_key(key))

        def set_timeout(self, timeout: Any) -> None:
            """Pass on."""
            self.file.set_timeout(timeout)

        def has_extended_api(self) -> bool:
            """Return that one value is asked for at a time."""
            return False

    start, store = dist.init_process_group, RelayStore()

    def init_process_group(backend: str, init_method: str, world_size: int, rank: int) -> None:
        start(backend, store=store, world_size=world_size, rank=rank)  # torch keeps no reference of its own

    dist.init_process_group = init_process_group


__all__ = ["through_relays"]
