"""What a network and a processor cost: public numbers that choose variants and predict time (docs/decisions/0063).

A `Network` is part of what owners approve and of the handshake: all parties choose by the same one. A `Machine` only
predicts: it says how long one's own work takes, and nothing that is sent depends on it.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tacit import kernels
from tacit.errors import DataError, UsageError

MOST_US = 60_000_000
MOST_BYTES = 10**12
NAME_CHARACTERS = 40
SLICE_S = 1.5e-3
"""About how long a process keeps its core while others want it."""
IDLE_S = 1.25e-3
"""About how long a free core leaves others to theirs: not as long as a slice, or their turn always came just before."""


FAST = 600_000_000
"""Bytes a second between processes of one machine, TLS and all (`bench/net.py`)."""
ROUND_US = 300
"""What parties take for a round themselves, from message to message: on links of 1 Gbit/s 200 to 400."""


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
        """Bytes that could be sent in the time of one more round: what it may cost to save one.

        A round is a message's way and what parties take for it meanwhile. Where links are as fast as loopback, bytes
        are the processors' work as well: there these are as much dearer as rounds are.
        """
        own = ROUND_US if self.bytes_per_s < FAST else 0
        return (self.round_trip_us + 2 * own) * self.bytes_per_s // 2_000_000

    def __str__(self) -> str:
        return f"{self.name}: {self.round_trip_us / 1e3:g} ms round trip, {self.bytes_per_s / 125e3:g} Mbit/s"

    def content(self) -> dict[str, Any]:
        """Return what a job's digest covers."""
        return {"name": self.name, "round_trip_us": self.round_trip_us, "bytes_per_s": self.bytes_per_s}


LOOPBACK = Network("loopback", 80, FAST)
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


PRODUCTS = ("products", "public products")
"""Curves that a calibration has for each instruction set of the kernels too, the name of which follows."""
FIRST = " first"
"""What a curve's name ends with that holds for the first time a program comes by."""
Curve = tuple[tuple[float, float], ...]
"""Units of work and the processor seconds of one call on so many: pairs in ascending order, straight lines between."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Processor seconds of one party for one call of each functionality, by its units of `work`.

    Curves, not lines: a call on few elements is a matter of its messages, one on some thousands pays for turned roles
    and for threads, one on many for the memory that it reads.
    """

    curves: Mapping[str, Curve]
    wake_s: float = 0.0
    """Seconds from a message's departure until its receiver goes on, between processes of one machine."""
    cold_s: float = 0.0
    """Processor seconds that work takes longer after a party has slept until a message came: caches are cold."""
    cores: float = 1.0
    """Cores that each party has to itself; below one where parties share them."""
    together: bool = False
    """Whether the parties are processes of one machine: what passes between them is work, and counted as such."""
    source: str = ""
    """Where and when the numbers were taken."""

    def processor(self, functionality: str, units: float, first: bool = False) -> float:
        """Return about how many processor seconds a call takes; one that was not measured counts as `mul`.

        The first time that a program comes by is longer than the next where it is measured: its code is in no cache.
        """
        names = (functionality, functionality.split(" ")[0], "mul")
        known = next(k for k in names if k in self.curves)
        curve = self.curves.get(known + FIRST, self.curves[known]) if first else self.curves[known]
        at = max(1, min(bisect_left(curve, (units,)), len(curve) - 1))
        (low, least), (high, most) = curve[at - 1], curve[at]
        return least + max(0.0, units - low) * (most - least) / (high - low)

    def with_target(self, target: str) -> Machine:
        """Return the machine with the products of an instruction set, where they are known: these differ most."""
        own = {
            what: self.curves[f"{what} {target}"] for what in PRODUCTS if f"{what} {target}" in self.curves
        }
        return replace(self, curves={**self.curves, **own})

    def content(self) -> dict[str, Any]:
        """Return the numbers for a file."""
        curves = {kind: [list(point) for point in curve] for kind, curve in self.curves.items()}
        head = {"cores": self.cores, "source": self.source, "wake_s": self.wake_s, "cold_s": self.cold_s}
        return head | {"curves": curves}


EXCHANGED = frozenset(
    f"{what}{how}"
    for what in ("mul", "matmul", "select")
    for how in ("", "_early", "_trunc", "_into", "_narrowed")
) | {"trunc", "trunc_into", "factored"}
"""Functionalities that take as long as what they exchange, whatever the ring of their result."""


def work(functionality: str, n: int, sizes: Mapping[str, Any], width: int = 64, sent: int = 0) -> float:
    """Return the units of work of one call on n elements of so many bits: what a party's processor time grows with.

    The parties have `sent` so many bytes together.
    """
    if functionality in EXCHANGED:
        return sent
    if functionality in ("and_", "and_all"):
        return n * int(sizes.get("planes", 1))
    if functionality in ("sign", "is_zero", "decompose", "below"):
        return n * int(sizes["bits"])
    if functionality == "trunc_exact":
        return n * int(sizes["f"])
    if functionality == "combine":
        return n * sum(sizes["widths"])
    if functionality == "digit_ranks":
        return n * ((1 << int(sizes["bits"])) - 1) * width
    if functionality == "dot":
        n *= int(sizes["inner"])
    if functionality in ("shuffle", "place", "fetch"):
        return n * max(1, len(sizes["widths"]))
    # Half of it is with whole words, half with the bits that pass.
    return n * (64 + width) / 128


def load_machine(path: str | Path) -> Machine:
    """Read a calibration, as `bench/calibrate.py` writes it."""
    try:
        return _machine(_json(path, "a calibration"))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise DataError(f"{path} is not a calibration of a machine") from None


@cache
def default_machine() -> Machine:
    """Return the calibration that the package brings: of a processor with this one's instructions, if there is one.

    Otherwise it is the package's first, with the products of this process's kernels.
    """
    target = kernels.info()["target"]
    own = files("tacit.core") / f"machine_{target}.json"
    brought = own if own.is_file() else files("tacit.core") / "machine.json"
    return _machine(json.loads(brought.read_text(encoding="utf-8"))).with_target(target)


def _machine(found: Any) -> Machine:
    curves = {
        str(kind): tuple((float(units), float(seconds)) for units, seconds in curve)
        for kind, curve in found["curves"].items()
    }
    for curve in curves.values():
        units, seconds = zip(*curve, strict=True)
        if (
            len(curve) < 2
            or list(units) != sorted(set(units))
            or list(seconds) != sorted(seconds)
            or seconds[0] < 0
        ):
            raise ValueError
    wake_s, cores = float(found["wake_s"]), float(found["cores"])
    cold_s = float(found.get("cold_s", 0.0))  # calibrations of before have none
    if "mul" not in curves or not cores > 0 or not 0 <= wake_s < 1 or not 0 <= cold_s < 1:
        raise ValueError
    return Machine(curves, wake_s, cold_s, cores, source=str(found["source"]))


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
