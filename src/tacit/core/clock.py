"""When each party has finished: what parties do, each in its own order, moved on from event to event (decision 0063).

The cost model notes what each party does: work, messages that it sends, messages that it waits for. Times are found
at the end, since what a party that is ahead does is in the way of those behind it where they share cores.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from tacit.core.timing import IDLE_S, SLICE_S, Machine, Network

FRAME_BYTES = 80
"""About what a message adds to its payload: its frame, a record of TLS, a packet."""
FOLLOWED = 32
"""How often what parties do again is followed step by step."""
STEPS = 1 << 16
"""Steps that are followed so at most: what takes many is followed less often, or loops in loops would take hours."""
TURNS = 16
"""Turns that a piece of work takes at most while others want its core: more would be more events, and little else."""


class _Core:
    """A core of the machine: the parties that want it, of which the first has it, and since when nobody does."""

    def __init__(self) -> None:
        self.queue: deque[_Party] = deque()
        self.free = -math.inf

    def begin(self, now: float) -> None:
        """Give the first party its turn; without one the core is free."""
        if self.queue:
            self.queue[0].turn = max(SLICE_S, self.queue[0].left / TURNS)
        else:
            self.free = now

    def wants(self) -> float:
        """Return seconds of its work until the first has done its own, or has to let the next have its turn."""
        first = self.queue[0]
        return max(0.0, min(first.left, first.turn) if len(self.queue) > 1 else first.left)


@dataclass(slots=True, eq=False)
class _Link:
    """What one party sends to another: when the messages arrive that are not received yet."""

    receiver: _Party
    due: deque[float] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Message:
    link: _Link
    bytes: float


@dataclass(slots=True, eq=False)
class Mark:
    """A place in what parties do; when each came by, and until when its line was taken then."""

    places: dict[str, int]
    at: dict[str, tuple[float, float]] = field(default_factory=dict)
    followed: list[Mark] = field(default_factory=list)
    """Where parties have done again what ends here."""


@dataclass(slots=True)
class _Again:
    """The time between two marks, some more times."""

    begin: Mark
    end: Mark
    counted: int
    """How many times lie between the marks."""
    times: int = 1


@dataclass(slots=True, eq=False)
class _Party:
    """What a party does, and how far it is."""

    name: str
    steps: list[float | _Message | _Link | Mark | _Again] = field(default_factory=list)
    """Seconds of work, a message to send, a link from which to receive one, …"""
    next: int = 0
    now: float = 0.0
    line: float = 0.0
    """When all that it has sent has left."""
    left: float = 0.0
    """Seconds of a core that it wants before its next step."""
    turn: float = 0.0
    """Seconds of a core until it has to let others have theirs."""
    waits: _Link | None = None
    slept: bool = False
    """Whether it has waited for a message since it last worked."""
    core: _Core = field(default_factory=_Core)


class Clock:
    """What every party does, and when it has finished.

    Where parties share cores, each core works for one of its parties at a time. It goes on to the next when that one
    waits for a message, or has had its turn; a core that has been free for nearly as long takes over a party that
    waits for another core. A party that has waited for a message works `cold_s` longer.
    """

    def __init__(
        self, cores: float = math.inf, byte_s: float = 0.0, way_s: float = 0.0, cold_s: float = 0.0
    ) -> None:
        self.cores, self.byte_s, self.way_s, self.cold_s = cores, byte_s, way_s, cold_s
        self.sleeps = 0
        """How often a party worked after it had waited, of what was followed."""
        self._parties: dict[str, _Party] = {}
        self._links: dict[tuple[str, str], _Link] = {}
        self._ends: dict[str, float] | None = None

    @classmethod
    def of(cls, network: Network, machine: Machine, parties: int) -> Clock:
        """Return the clock of parties in a network, or in one machine."""
        cores = round(machine.cores * parties, 6) if machine.cores < 1 else math.inf
        if machine.together:  # bytes are work of the calls that send them
            return cls(cores, 0.0, machine.wake_s)
        return cls(cores, 1 / network.bytes_per_s, network.one_way_s, machine.cold_s)

    # -- what parties do -------------------------------------------------------------------------------------

    def work(self, name: str, seconds: float) -> None:
        """Let a party work."""
        steps = self._party(name).steps
        if steps and isinstance(last := steps[-1], float):
            steps[-1] = last + seconds
        elif seconds > 0:
            steps.append(float(seconds))

    def send(self, sender: str, receiver: str, nbytes: float) -> None:
        """Let a message leave."""
        self._party(sender).steps.append(_Message(self._link(sender, receiver), nbytes))

    def receive(self, sender: str, receiver: str) -> None:
        """Let a party wait for the next message of another."""
        self._party(receiver).steps.append(self._link(sender, receiver))

    def mark(self) -> Mark:
        """Note the place that parties have come to."""
        found = Mark({name: len(party.steps) for name, party in self._parties.items()})
        for party in self._parties.values():
            party.steps.append(found)
        return found

    def again(self, begin: Mark, end: Mark) -> None:
        """Let parties do what lies between two of their marks once more.

        Some times are followed step by step, since parties need not be as far as one another, nor take as long each
        time; the others take as long as these in the mean.
        """
        followed, starts = end.followed, {name: begin.places.get(name, -1) + 1 for name in end.places}
        length = sum(end.places.values()) - sum(starts.values())
        most = max(1, min(FOLLOWED, STEPS // max(1, length)))
        for name, at in end.places.items():
            steps = self._party(name).steps
            if len(followed) < most:
                steps += steps[starts[name] : at]
            elif isinstance(last := steps[-1], _Again) and last.end is followed[-1]:
                last.times += 1
            else:
                steps.append(_Again(end, followed[-1], most))
        if len(followed) < most:
            followed.append(self.mark())

    def _party(self, name: str) -> _Party:
        self._ends = None
        found = self._parties.get(name)
        if found is None:
            found = self._parties[name] = _Party(name)
        return found

    def _link(self, sender: str, receiver: str) -> _Link:
        found = self._links.get((sender, receiver))
        if found is None:
            found = self._links[sender, receiver] = _Link(self._party(receiver))
        return found

    # -- when --------------------------------------------------------------------------------------------------

    def ends(self) -> dict[str, float]:
        """Return when each party has finished, in seconds."""
        if self._ends is None:
            for link in self._links.values():
                link.due.clear()
            run = _Run(self, list(self._parties.values()))
            self._ends, self.sleeps = run.ends(), run.sleeps
        return self._ends

    def close(self) -> None:
        """Find when parties have finished, and let go of what they did."""
        self.ends()
        self._parties, self._links = {}, {}


class _Run:
    """The parties on their way, from start to end."""

    def __init__(self, clock: Clock, parties: list[_Party]) -> None:
        self.parties, self.limit = parties, clock.cores
        self.byte_s, self.way_s, self.cold_s, self.sleeps = clock.byte_s, clock.way_s, clock.cold_s, 0
        self.cores = [_Core() for _ in range(math.ceil(min(clock.cores, len(parties))))]
        self.coming: list[tuple[float, int, _Party]] = []
        """Who will want a core, and when; at the same time, whoever was first to say so."""
        self.order = count()
        for i, party in enumerate(parties):
            party.next, party.waits, party.slept = 0, None, False
            party.core = self.cores[i % len(self.cores)]
            party.now = party.line = party.left = party.turn = 0.0

    def ends(self) -> dict[str, float]:
        """Move on from event to event; return when each party has finished."""
        now = 0.0
        for party in self.parties:
            if self._go_on(party):
                self._want(party, now)
        while True:
            busy = [core for core in self.cores if core.queue]
            if not busy and not self.coming:
                return {party.name: party.now for party in self.parties}
            # Fewer cores than places, as where something else takes a part of them: all are as much slower.
            rate = min(1.0, self.limit / max(1, len(busy)))
            events = [now + core.wants() / rate for core in busy]
            if self.coming:
                events.append(self.coming[0][0])
            if any(len(core.queue) > 1 for core in busy):
                events += [max(now, core.free + IDLE_S) for core in self.cores if not core.queue]
            worked, now = (min(events) - now) * rate, min(events)
            for core in busy:
                self._worked(core, worked, now)
            while self.coming and self.coming[0][0] <= now:
                self._want(heappop(self.coming)[2], now)
            for core in self.cores:
                if not core.queue and core.free + IDLE_S <= now:
                    self._take_over(core, now)

    def _worked(self, core: _Core, seconds: float, now: float) -> None:
        """Let a core have worked so long for the first of its parties."""
        party, least = core.queue[0], 1e-12 + 1e-14 * now  # what rounding may leave
        party.left -= seconds
        party.turn -= seconds
        if party.left < least:
            party.left, party.now = 0.0, now
            if not self._go_on(party):
                core.queue.popleft()
                core.begin(now)
        elif party.turn < least and len(core.queue) > 1:
            core.queue.rotate(-1)
            core.begin(now)

    def _want(self, party: _Party, now: float) -> None:
        """Queue a party at its core."""
        party.core.queue.append(party)
        if len(party.core.queue) == 1:
            party.core.begin(now)

    def _take_over(self, core: _Core, now: float) -> None:
        """Give a free core the party that waits first where most do."""
        longest = max(self.cores, key=lambda c: len(c.queue))
        if len(longest.queue) > 1:
            party = longest.queue[1]
            longest.queue.remove(party)
            party.core = core
            self._want(party, now)

    def _go_on(self, first: _Party) -> bool:
        """Let a party do what takes no core, and those whom it wakes; say whether it wants a core at once."""
        begun, awake = first.now, [first]
        while awake:
            party = awake.pop()
            steps = party.steps
            while party.next < len(steps):
                step = steps[party.next]
                if isinstance(step, _Link):
                    if not step.due:
                        party.waits = step
                        break
                    due = step.due.popleft()
                    if due > party.now:
                        party.now, party.slept = due, True
                elif isinstance(step, _Message):
                    link = step.link
                    party.line = max(party.line, party.now) + (step.bytes + FRAME_BYTES) * self.byte_s
                    link.due.append(party.line + self.way_s)
                    if link.receiver.waits is link:
                        link.receiver.waits = None
                        awake.append(link.receiver)
                elif isinstance(step, Mark):
                    step.at[party.name] = party.now, party.line
                elif isinstance(step, _Again):
                    (now, line), (then, line_then) = step.end.at[party.name], step.begin.at[party.name]
                    party.now += step.times * (now - then) / step.counted
                    party.line += step.times * (line - line_then) / step.counted
                elif self.limit == math.inf:
                    party.now += step + self._cold(party)
                else:
                    party.next += 1
                    party.left = step + self._cold(party)
                    if party is not first or party.now > begun:
                        heappush(self.coming, (party.now, next(self.order), party))
                    break
                party.next += 1
        return bool(first.left) and first.now <= begun

    def _cold(self, party: _Party) -> float:
        """Return how much longer a party's next work takes as it has waited."""
        if not party.slept:
            return 0.0
        party.slept = False
        self.sleeps += 1
        return self.cold_s
