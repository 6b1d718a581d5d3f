"""The cost model: run a program on shapes alone and count, from the cards, every message it will send."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tacit.algebra.ring import Ring
from tacit.core.ghost import Ghost
from tacit.core.party import Party
from tacit.core.protocol import Card
from tacit.errors import NotRealised


@dataclass(slots=True)
class Cost:
    """Predicted traffic: payload bytes per directed link, causal rounds, calls per functionality."""

    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    depth: dict[str, int] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    elements: Counter[str] = field(default_factory=Counter)

    @property
    def rounds(self) -> int:
        """Length of the longest chain of messages, the handshake left out."""
        return max(self.depth.values(), default=0)

    @property
    def total_bytes(self) -> int:
        """Payload bytes over all links."""
        return sum(self.links.values())

    def sent_by(self, party: str) -> int:
        """Payload bytes that `party` sends."""
        return sum(b for (frm, _), b in self.links.items() if frm == party)

    def seconds(self, latency_s: float, bytes_per_s: float) -> float:
        """Time on the wire: rounds × latency + the busiest sender's bytes / bandwidth."""
        busiest = max((self.sent_by(p) for p in self.depth), default=0)
        return self.rounds * latency_s + busiest / bytes_per_s


class CostModel(Ghost):
    """Realises every functionality by counting the messages on its card; `dealer` names who deals, if any."""

    def __init__(self, name: str, cards: dict[str, Card], party: Party, ring: Ring, dealer: str = "") -> None:
        super().__init__(party, ring)
        self.protocol, self.table, self.dealer = name, cards, dealer
        self.cost = Cost()
        self._seeded: set[str] = set()

    def offers(self, functionality: str) -> bool:
        """Whether the modelled protocol has a card for it."""
        return functionality in self.table

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Add one call's messages."""
        card = self.table.get(functionality)
        if card is None:
            raise NotRealised(f"protocol {self.protocol} does not realise {functionality!r}")
        names = self.party.compute
        client = ""
        sizes.pop("value", None)
        targets: list[str] = []
        if "owner" in sizes:
            client = sizes["owner"]
            sizes["owner"] = names.index(client) if client in names else -1
            sizes["seeded"] = client in self._seeded
            if sizes["owner"] < 0:
                self._seeded.add(client)
        if "to" in sizes:
            targets = [t for t in sizes["to"] if t not in names]
            sizes["to"] = tuple(names.index(t) if t in names else -1 - targets.index(t) for t in sizes["to"])
        outside = targets or [client or self.dealer]
        waves = card.pattern(self.ring, n, parties=len(names), **sizes)
        if outside == [""] and any(a < 0 or b < 0 for wave in waves for a, b, _ in wave):
            raise NotRealised(
                f"protocol {self.protocol} realises {functionality!r} with material from a dealer: name one"
            )
        self.cost.calls[functionality] += 1
        self.cost.elements[functionality] += n
        for wave in waves:
            self._wave([(self._name(a, outside), self._name(b, outside), size) for a, b, size in wave])

    def _name(self, index: int, outside: list[str]) -> str:
        if index >= 0:
            return self.party.compute[index]
        return outside[-1 - index]

    def _wave(self, messages: list[tuple[str, str, int]]) -> None:
        depth = self.cost.depth
        arrive: dict[str, int] = {}
        for sender, receiver, size in messages:
            self.cost.links[sender, receiver] += size
            arrive[receiver] = max(arrive.get(receiver, 0), depth.get(sender, 0) + 1)
            depth.setdefault(sender, 0)
        for receiver, d in arrive.items():
            depth[receiver] = max(depth.get(receiver, 0), d)
