"""What a network and a processor cost: public numbers that choose variants and predict time (docs/decisions/0063).

A `Network` is part of what owners approve and of the handshake: all parties choose by the same one. A `Machine` only
predicts: it says how long one's own work takes, and nothing that is sent depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tacit.errors import DataError, UsageError

MOST_US = 60_000_000
MOST_BYTES = 10**12
NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Network:
    """The links between any two compute parties: whole numbers, so that every machine computes alike with them."""

    name: str
    round_trip_us: int
    bytes_per_s: int
    """What one party sends in a second, to all others together; both directions of a link run at once."""

    def __post_init__(self) -> None:
        if not (
            isinstance(self.name, str) and self.name.isprintable() and 1 <= len(self.name) <= NAME_CHARACTERS
        ):
            raise UsageError(f"a network's name is 1 to {NAME_CHARACTERS} printable characters on one line")
        for what, value, most in (
            ("round trip in microseconds", self.round_trip_us, MOST_US),
            ("bandwidth in bytes a second", self.bytes_per_s, MOST_BYTES),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise UsageError(f"a network's {what} is a whole number from 1 to {most:,}, not {value!r}")

    @property
    def one_way_s(self) -> float:
        """Seconds that a message is on its way, its bytes left out."""
        return self.round_trip_us / 2e6

    @property
    def round_bytes(self) -> int:
        """Bytes that could be sent in the time of one more round: what it may cost to save one."""
        return self.round_trip_us * self.bytes_per_s // 2_000_000

    def __str__(self) -> str:
        return f"{self.name}: {self.round_trip_us / 1e3:g} ms round trip, {self.bytes_per_s / 125e3:g} Mbit/s"

    def content(self) -> dict[str, Any]:
        """Return what a job's digest covers."""
        return {"name": self.name, "round_trip_us": self.round_trip_us, "bytes_per_s": self.bytes_per_s}


LOOPBACK = Network("loopback", 80, 600_000_000)
"""Processes of one machine over TLS, as `bench/net.py` finds them: a round is the waking of a process."""
PRESETS = {
    n.name: n for n in (LOOPBACK, Network("lan", 200, 125_000_000), Network("wan", 40_000, 12_500_000))
}


def as_network(of: Network | str) -> Network:
    """Return a network, or the preset of that name; UsageError names those there are."""
    if isinstance(of, Network):
        return of
    if of not in PRESETS:
        raise UsageError(
            f"no network is called {of!r}; there are {', '.join(PRESETS)}, or measure it with `tacit job measure`"
        )
    return PRESETS[of]


def network_of(content: Any, where: str) -> Network:
    """Build a Network from its content, strictly."""
    if not isinstance(content, dict) or set(content) != {"name", "round_trip_us", "bytes_per_s"}:
        raise DataError(f"{where} does not describe a network: name, round_trip_us, bytes_per_s")
    try:
        return Network(**content)
    except UsageError as exc:
        raise DataError(f"{where}: {exc}") from None


def load_network(path: str | Path) -> Network:
    """Read a network's file, as `tacit job measure` writes it."""
    return network_of(_json(path, "a network"), str(path))


# -- processors ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor seconds of one party: for each functionality, those of a call and those of a unit of `work`."""

    calls: Mapping[str, float]
    units: Mapping[str, float]
    cores: float = 1.0
    """Cores that each party has to itself; below one where parties share them."""
    together: bool = False
    """Whether the parties are processes of one machine: what passes between them is work, and counted as such."""
    source: str = ""
    """Where and when the numbers were taken."""

    def _of(self, functionality: str) -> tuple[float, float]:
        """Return seconds of a call and of a unit; functionalities that were not measured count as `mul`."""
        known = next((k for k in (functionality, functionality.split(" ")[0]) if k in self.calls), "mul")
        return self.calls.get(known, 0.0), self.units.get(known, 0.0)

    def processor(self, functionality: str, calls: float, units: float) -> float:
        """Return about how many processor seconds one party takes."""
        call, unit = self._of(functionality)
        return calls * call + units * unit

    def crowd(self, busy: int, parties: int) -> float:
        """Return how much longer work takes while so many of the parties work at once, if they share cores."""
        return max(1.0, busy / (self.cores * parties))

    def content(self) -> dict[str, Any]:
        """Return the numbers for a file."""
        return {
            "cores": self.cores,
            "source": self.source,
            "calls": dict(self.calls),
            "units": dict(self.units),
        }


def work(functionality: str, n: int, sizes: Mapping[str, Any]) -> int:
    """Return the units of work of one call on n elements: what a party's processor time grows with."""
    if functionality == "and_":
        return n * int(sizes.get("planes", 1))
    if functionality in ("sign", "is_zero", "decompose", "below"):
        return n * int(sizes["bits"])
    if functionality == "trunc_exact":
        return n * int(sizes["f"])
    if functionality == "factored":
        return n * int(sizes["terms"])
    if functionality == "dot":
        return n * int(sizes["inner"])
    if functionality in ("shuffle", "place", "fetch"):
        return n * max(1, len(sizes["widths"]))
    return n


def load_machine(path: str | Path) -> Machine:
    """Read a calibration, as `bench/rig/prediction.py` writes it."""
    found = _json(path, "a calibration")
    try:
        calls, units = (
            {str(k): float(v) for k, v in found[part].items() if float(v) >= 0} for part in ("calls", "units")
        )
        if calls.keys() != units.keys() or not calls or not float(found["cores"]) > 0:
            raise ValueError
        return Machine(calls, units, float(found["cores"]), source=str(found["source"]))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError(f"{path} is not a calibration of a machine") from None


@cache
def default_machine() -> Machine:
    """Return the calibration that the package brings."""
    found = json.loads((files("tacit.core") / "machine.json").read_text(encoding="utf-8"))
    return Machine(found["calls"], found["units"], found["cores"], source=found["source"])


def _json(path: str | Path, what: str) -> Any:
    try:
        with Path(path).open("rb") as file:
            return json.loads(file.read(1 << 20))
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is not {what}: it is not valid JSON") from None
