"""Realisations of the functionality list; `load` is the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tacit.errors import UsageError

if TYPE_CHECKING:
    from tacit.core.protocol import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """What a job must know of a protocol before it runs."""

    module: str
    compute: str
    client: str
    dealer: str
    parties: tuple[int, int]
    """Fewest and most compute parties."""
    corruptions: int
    """How many compute parties may pool what they see and learn nothing; below 0: all but so many."""
    trust: str
    gives: str
    does_not_give: str

    def pooled(self, n: int) -> int:
        """Return how many of n compute parties may pool what they see."""
        return self.corruptions + (n if self.corruptions < 0 else 0)


REGISTRY: dict[str, Entry] = {
    "clear": Entry(
        "tacit.protocols.clear",
        "Clear",
        "",
        "",
        (1, 1),
        0,
        "the one party that computes sees everything",
        "nothing: the ideal world, for checking",
        "any privacy",
    ),
    "rep3": Entry(
        "tacit.protocols.rep3",
        "Rep3",
        "Rep3Client",
        "",
        (3, 3),
        1,
        "no two of {compute} pool what they hold",
        "privacy against one curious compute party that follows the protocol",
        "anything if two compute parties collude; correctness if one of them deviates",
    ),
    "semi2k": Entry(
        "tacit.protocols.semi2k",
        "Semi2k",
        "Semi2kClient",
        "Semi2kDealer",
        (2, 64),
        -1,
        "each of {compute} follows the protocol; nobody is trusted beyond that: even all the others together learn "
        "only what the results tell them",
        "privacy against all compute parties but one, if they follow the protocol",
        "correctness if a party deviates",
    ),
}


def entry(name: str) -> Entry:
    """Return the registry's entry for `name`; UsageError names the known ones."""
    if name not in REGISTRY:
        raise UsageError(f"no protocol is called {name!r}; there are {', '.join(REGISTRY)}")
    return REGISTRY[name]


def check_dealer(name: str, dealer: str) -> None:
    """Raise UsageError for a dealer where the protocol has none."""
    if dealer and not entry(name).dealer:
        raise UsageError(f"{name} needs no dealer; leave dealer= out")


def load(name: str, role: str = "compute") -> type[Protocol]:
    """Return the class that plays `role` ("compute", "client", "dealer") in the protocol `name`."""
    from importlib import import_module

    found = entry(name)
    attribute = getattr(found, role)
    if not attribute:
        raise UsageError(f"protocol {name} has no role {role!r}")
    cls: type[Protocol] = getattr(import_module(found.module), attribute)
    return cls
