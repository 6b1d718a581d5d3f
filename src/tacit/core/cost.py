"""The cost model: run a program on shapes alone and count, from the cards, every message it will send."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.clock import Clock, Mark
from tacit.core.ghost import Ghost
from tacit.core.held import Held, Kept
from tacit.core.party import Party
from tacit.core.protocol import Begun, Card, Left, Pieces, deepen
from tacit.core.share import Matrix, Planes, Share
from tacit.core.timing import Machine, default_machine, work
from tacit.errors import NotRealised

Array = npt.NDArray[Any]
WORD = 8
"""Truth values, a byte each, in a ring element's place."""
CALLED = 1.5
"""What a call keeps while it runs, over the bytes that a party sends and receives: these, masks, sums of both."""


@dataclass(slots=True)
class Cost:
    """Predicted traffic: payload bytes per directed link, causal rounds, calls per functionality; and seconds."""

    links: Counter[tuple[str, str]] = field(default_factory=Counter)
    depth: dict[str, int] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    elements: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    """Units of work (`timing.work`) of message-less operations, by kind."""
    working: dict[str, float] = field(default_factory=dict)
    """About how many processor seconds each party takes: an estimate, as is the clock."""
    clock: Clock = field(default_factory=Clock)
    """What the parties do in which order, from which it follows when they have finished."""
    held: Held = field(default_factory=Held)
    """Shares that a compute party holds, and the most that it did."""
    memory: dict[str, int] = field(default_factory=dict)
    """About how many bytes a party takes at most at once, beyond what its process took before: an estimate (0096)."""

    @property
    def rounds(self) -> int:
        """Length of the longest chain of messages, the handshake left out."""
        return max(self.depth.values(), default=0)

    @property
    def seconds(self) -> float:
        """About when the last party has finished: not before the cores have done all work.

        In loops in loops the clock may say so: while it takes the mean of what a party does again, others seem alone.
        """
        return max(*self.clock.ends().values(), sum(self.working.values()) / self.clock.cores, 0.0)

    @property
    def total_bytes(self) -> int:
        """Payload bytes over all links."""
        return sum(self.links.values())

    def sent_by(self, party: str) -> int:
        """Payload bytes that `party` sends."""
        return sum(b for (frm, _), b in self.links.items() if frm == party)


@dataclass(frozen=True, slots=True)
class _Call:
    """Messages of a call, wave by wave, and the work that goes with them (`CostModel._exchange`)."""

    waves: list[list[tuple[str, str, int]]]
    seconds: float
    blocks: list[int]
    ahead: list[float]

    def put_off(self, places: list[int]) -> _Call:
        """Return a call without messages in some waves."""
        waves, blocks, ahead = [*self.waves], [*self.blocks], [*self.ahead]
        for at in places:
            if at < len(waves):
                waves.insert(at, [])
                blocks.insert(at, 1)
                ahead.insert(at, 0.0)
        return _Call(waves, self.seconds, blocks, ahead)

    def cut(self, waves: int) -> tuple[_Call, _Call | None]:
        """Return the first so many waves, and what is left after them: nobody waits for that before the next wave."""
        if waves >= len(self.waves):
            return self, None
        share = self.seconds * waves / (len(self.waves) + 1)
        first = _Call(self.waves[:waves], share, self.blocks[:waves], self.ahead[:waves])
        rest = _Call(self.waves[waves:], self.seconds - share, self.blocks[waves:], self.ahead[waves:])
        return first, rest.put_off([0])

    @classmethod
    def joined(cls, calls: list[_Call]) -> _Call:
        """Return calls that share their rounds as one."""
        return cls(
            [
                [m for wave in waves for m in wave]
                for waves in zip_longest(*(c.waves for c in calls), fillvalue=[])
            ],
            sum(c.seconds for c in calls),
            [max(each) for each in zip_longest(*(c.blocks for c in calls), fillvalue=1)],
            [sum(each) for each in zip_longest(*(c.ahead for c in calls), fillvalue=0.0)],
        )


class CostModel(Ghost):
    """Realises every functionality by counting the messages on its card; `dealer` names who deals, if any.

    A clock follows what each party does, too: it works for as long as `machine` says, a message arrives after its bytes
    have passed the sender's line, one after the other, and half a round trip more, and a receiver waits for it.
    """

    def __init__(
        self,
        name: str,
        cards: Mapping[str, Card],
        party: Party,
        ring: Ring,
        dealer: str = "",
        machine: Machine | None = None,
        copies: int = 2,
    ) -> None:
        super().__init__(party, ring)
        self.name, self.cards, self.dealer = name, cards, dealer
        self.copies = copies
        """Parts of a value that a party holds."""
        self.machine = machine or default_machine()
        self.clock = Clock.of(party.network, self.machine, party.n)
        self.cost = Cost(clock=self.clock)
        self._done: set[str] = set()
        """Kinds of work that were done before."""
        self._seeded: set[str] = set()
        self._left: Left[tuple[Begun, Callable[[int], str], int, Kept]] = Left()
        self._uncounted: list[_Call] = []
        """Calls that were left, until their messages are counted."""

    # -- what results would take -----------------------------------------------------------------------------

    def made(self, shape: Sequence[int], ring: Ring | None = None) -> Share:
        """Return new numbers, and count what they would take."""
        each = self.copies * (ring or self.ring).dtype.itemsize
        return Share((self.cost.held.array(shape, each),))

    def made_bits(self, shape: Sequence[int]) -> Share:
        """Return new truth values, and count what they would take."""
        return Share((self.cost.held.array(shape, self.copies),))

    def made_planes(self, planes: int, n: int) -> Planes:
        """Return new planes, and count what they would take."""
        return Planes((self.cost.held.array((planes, -(-n // 64)), self.copies * WORD),), n)

    def settle(self, some: Container[int] | None = None) -> None:
        """Let what was left go on, wave by wave."""
        if self._left.whole:
            some = None
        waves = 0
        while self._left and (some is None or any(number in some for _, _, number, _ in self._left)):
            self._take_along()
            waves += 1
        if some is None:
            self._left.whole, self._left.together = False, 0
        parts = [call.cut(waves) if self._left else (call, None) for call in self._uncounted]
        if waves and parts:
            self._exchange(_Call.joined([first for first, _ in parts]))
            self._uncounted[:] = [rest for _, rest in parts if rest is not None]

    def total(self, terms: list[Share]) -> Share:
        """Sum on shapes."""
        self._left.whole = True
        return super().total(terms)

    def _take_along(self, every: bool = True) -> None:
        if every or self._turned():
            self._left.go_on(lambda each: each[0].go_on(self.cost.depth, each[1]))

    def _turned(self) -> bool:
        """Whether roles are turned in any of what was left."""
        return any(max(begun.pieces) for begun, _, _, _ in self._left)

    def _with_left(self, call: _Call) -> _Call:
        """Return a call and what was left and is not counted yet, which it takes along (`Protocol.taking_along`)."""
        alone = [at for at, wave in enumerate(call.waves) if at and len(wave) == 1 and not self._turned()]
        joined = _Call.joined([*(left.put_off(alone) for left in self._uncounted), call])
        self._uncounted.clear()
        return joined

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Add one call's messages."""
        card = self.card(functionality)
        names = self.party.compute
        client = ""
        sizes.pop("value", None)
        kind = f"{functionality} {sizes.pop('kind', '')}".strip()
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
        waves = card.pattern(self.ring, n, parties=len(names), network=self.party.network, **sizes)
        if outside == [""] and any(a < 0 or b < 0 for wave in waves for a, b, _ in wave):
            raise NotRealised(
                f"protocol {self.name} realises {functionality!r} with material from a dealer: name one"
            )
        self.cost.calls[functionality] += 1
        self.cost.elements[functionality] += n

        def name(place: int) -> str:
            return self._name(place, outside)

        ways: Counter[str] = Counter()
        for wave in waves:
            for a, b, size in wave:
                ways.update({name(a): size, name(b): size})
        called = round(CALLED * max((ways[party] for party in names), default=0))
        self.cost.held.passing(called)
        local = _product_units(n, *sizes["shapes"]) if "shapes" in sizes else {}
        product = sum(self.machine.processor(k, units) for k, units in local.items())
        sent = sum(size for wave in waves for _, _, size in wave)
        ahead = [product * wave.product if isinstance(wave, Pieces) else 0.0 for wave in waves]
        call = _Call(
            [[(name(a), name(b), size) for a, b, size in wave] for wave in waves],
            self._seconds(kind, work(functionality, n, sizes, self.ring.width, sent)),
            [wave.blocks if isinstance(wave, Pieces) else 1 for wave in waves],
            ahead,
        )
        if self.patient and card.patient and waves and sizes.get("owner", 0) >= 0:
            begun = Begun(waves)
            if "owner" in sizes or max(begun.pieces) > 0:
                if self._left.older:
                    self.settle()
                self._left.whole = True
            begun.go_on(self.cost.depth, name)
            self._left.add([(begun, name, self.number, Kept(self.cost.held, called))])
            self._uncounted.append(call)
        else:
            if waves and not self.takes_along:
                self.settle()
            counted = self._with_left(call) if self.takes_along else call
            deepen(self.cost.depth, waves, name, self._take_along if self.takes_along else None)
            self._exchange(counted)
        for k, units in local.items():
            if any(ahead):
                self.cost.units[k] += units
            else:
                self.spend(k, units)

    def _exchange(self, call: _Call) -> None:
        """Add a call's waves; each party works as much before each message that it sends as after the last.

        Senders of a wave have work `ahead` of it besides.
        Of a wave in blocks, the first is on its way while the others are computed, and worked on while they arrive.
        """
        clock, working = self.clock, self.cost.working
        senders = [dict.fromkeys([sender for sender, _, _ in wave]) for wave in call.waves]
        part = {}
        for name in self.party.compute:
            ahead = [more for some, more in zip(senders, call.ahead, strict=True) if name in some]
            part[name] = call.seconds / (len(ahead) + 1)
            working[name] = working.get(name, 0.0) + call.seconds + sum(ahead)
        came: list[tuple[str, str, int]] = []
        cut = 1
        waves = [*call.waves, []]
        for wave, blocks, more, some in zip(
            waves, [*call.blocks, 0], [*call.ahead, 0.0], [*senders, dict.fromkeys(part)], strict=True
        ):
            pieces = max(cut, blocks)
            for i in range(pieces):
                if i * cut % pieces < cut:
                    for sender, receiver, _ in came:
                        clock.receive(sender, receiver)
                for name in some:
                    if name in part:
                        clock.work(name, (part[name] + more) / pieces)
                if (i + 1) * blocks % pieces < blocks:
                    for sender, receiver, size in wave:
                        clock.send(sender, receiver, size / blocks)
            for sender, receiver, size in wave:
                self.cost.links[sender, receiver] += size
            came, cut = wave, blocks

    def _name(self, index: int, outside: list[str]) -> str:
        if index >= 0:
            return self.party.compute[index]
        return outside[-1 - index]

    # -- work without messages -------------------------------------------------------------------------------

    def spend(self, kind: str, units: int, party: str = "") -> None:
        """Count work of a kind, at a party or at every compute party."""
        self.cost.units[kind] += units
        seconds, working = self._seconds(kind, units), self.cost.working
        for name in [party] if party else self.party.compute:
            self.clock.work(name, seconds)
            working[name] = working.get(name, 0.0) + seconds

    def _seconds(self, kind: str, units: float) -> float:
        first = kind not in self._done
        self._done.add(kind)
        return self.machine.processor(kind, units, first)

    def again(self, begin: Mark, end: Mark, worked: dict[str, float]) -> None:
        """Count once more what lies between two marks of the clock, and the work."""
        self.clock.again(begin, end)
        for name, seconds in worked.items():
            self.cost.working[name] += seconds

    def matmul_public(self, x: Matrix, c: Array | Matrix, left: bool = False) -> Share:
        """Product with a public matrix on shapes."""
        out = super().matmul_public(x, c, left)
        self.spend("public products", out.size * x.shape[-2 if left else -1])
        return out

    # Work on one's own shares counts where it is done on whole arrays; views of them are free.

    def add(self, x: Share, y: Share) -> Share:
        """Sum on shapes."""
        return self._own(super().add(x, y))

    def sub(self, x: Share, y: Share) -> Share:
        """Difference on shapes."""
        return self._own(super().add(x, y))

    def neg(self, x: Share) -> Share:
        """Negation on shapes."""
        return self._own(super().neg(x))

    def add_public(self, x: Share, c: Array) -> Share:
        """Sum with public numbers on shapes."""
        return self._own(super().add_public(x, c))

    def mul_public(self, x: Share, c: Array) -> Share:
        """Product with public numbers on shapes."""
        return self._own(super().add_public(x, c))

    def sum(self, x: Share, axes: tuple[int, ...]) -> Share:
        """Sum over axes on shapes."""
        self._own(x)
        return super().sum(x, axes)

    def cumsum(self, x: Share, axis: int) -> Share:
        """Cumulative sum on shapes."""
        return self._own(super().cumsum(x, axis))

    def pack(self, x: Share) -> Planes:
        """Bytes to bits on shapes."""
        self.spend("own", x.size // WORD)
        return super().pack(x)

    def unpack(self, x: Planes, shape: Sequence[int]) -> Share:
        """Bits to bytes on shapes."""
        self.spend("own", x.n // WORD)
        return super().unpack(x, shape)

    def _own(self, x: Share) -> Share:
        self.spend("own", x.size)
        return x


def _product_units(n: int, x: tuple[int, ...], y: tuple[int, ...]) -> dict[str, int]:
    """Return the units of work of a party's part of a matrix product with n elements."""
    if x[-2] == 1 or y[-1] == 1:
        return {"vectors": n * x[-1]}
    # Few rows are not worth the time that their operands take to be read.
    return {"operands": math.prod(x) + math.prod(y), "products": n * x[-1]}
