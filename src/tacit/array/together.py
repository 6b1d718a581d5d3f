"""Which equations may share their rounds with the next ones (decisions 0072, 0074).

A product's result is needed by whoever reads it, not by the equation that follows in the Program. A run begins such
calls and leaves them; before the first equation that reads what they make, all of them end together. Others share
rounds with their like, if they are next to each other (`beside`). `gather` puts them there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from tacit.array import beside
from tacit.array.loop import infer, inside
from tacit.array.ops import table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program

PATIENT = frozenset({"mul", "square", "matmul", "conv", "div", "weigh", "word"})
"""Operations whose lowering ends in a call that may be left: nothing of it reads the results before `settle`."""
WAITING_ELEMENTS = 1 << 20
"""Results that may wait at a time: their operands and masks are held as long."""


def patient(eqn: Eqn, ins: Sequence[Aval], outs: Sequence[Aval]) -> bool:
    """Whether an equation's calls may be left: products, and sums of secret bits with weights.

    Exact products of elements are not: they are joined (`beside`).
    """
    if eqn.op not in PATIENT or outs[0].where != SECRET or outs[0].size > WAITING_ELEMENTS:
        return False
    known = [a for a in ins if a.where == PUBLIC]
    if eqn.op in ("weigh", "word"):
        return not known
    if known or eqn.op == "div":
        return (
            bool(known)
            and ins[-1 if eqn.op == "div" else ins.index(known[0])] in known
            and known[0].kind == "fixed"
        )
    return eqn.op in ("matmul", "conv") or all(a.kind == "fixed" for a in ins)


def _talks(eqn: Eqn, ins: Sequence[Aval], outs: Sequence[Aval]) -> bool:
    """Whether an equation sends messages, those of sharing its operands left out."""
    if eqn.op == "reveal":
        return ins[0].where != PUBLIC
    if eqn.op == "convert" and ins[0].kind != "bool":
        return False  # a shift
    return eqn.op == "scan" or (outs[0].where == SECRET and not table()[eqn.op].local)


def turns(eqn: Eqn, outs: Sequence[Aval]) -> tuple[Any, ...] | None:
    """Return what loops have in common that may take their turns together (`abreast`); None for what is no loop."""
    if eqn.op != "scan" or all(a.where != SECRET for a in outs):
        return None
    return "scan", eqn.params["length"], bool(eqn.params.get("reverse"))


SHARING = PATIENT | beside.JOINED | {"add", "sub", "concat"}
"""Operations that share every operand which one owner knows."""
SHARED_ELEMENTS = 1 << 12
"""A larger array is not shared before it is needed, but with others that calls which are left together need."""


def is_shared_at_once(a: Aval) -> bool:
    """Whether a value is shared with others of an operation of SHARING."""
    return bool(a.owner) and a.kind != "bool"


def _ends(eqn: Eqn, avals: dict[int, Aval]) -> bool:
    """Whether an equation lets calls end that were left before it."""
    known = [avals[v] for v in eqn.ins], [avals[v] for v in eqn.outs]
    return _talks(eqn, *known) and not patient(eqn, *known)


def shared_ahead(program: Program, avals: dict[int, Aval]) -> list[tuple[int, ...]]:
    """Return, for each equation, the owners' values to share just before it: all that are known by then, at once."""
    wanted: dict[int, int] = {}
    made = {spec.var: -1 for spec in program.inputs}
    for at, eqn in enumerate(program.eqns):
        made.update(dict.fromkeys(eqn.outs, at))
        if eqn.op in SHARING and avals[eqn.outs[0]].where == SECRET:
            for v in eqn.ins:
                if is_shared_at_once(avals[v]):
                    wanted.setdefault(v, at)
    found: list[tuple[int, ...]] = [()] * len(program.eqns)
    ended = [*accumulate(_ends(eqn, avals) for eqn in program.eqns)]
    while wanted:
        first = min(wanted.values())
        now = {
            v: at
            for v, at in wanted.items()
            if at == first or (made[v] < first and avals[v].size <= SHARED_ELEMENTS)
        }
        size = sum(avals[v].size for v in now)
        begun = ended[first - 1] if first else 0
        for v, at in sorted(wanted.items(), key=lambda each: each[1]):
            if ended[at] > begun:
                break
            if made[v] < first and v not in now and size + avals[v].size <= WAITING_ELEMENTS:
                size += avals[v].size
                now[v] = at
        found[first] = tuple(now)
        for v in now:
            del wanted[v]
    return found


VIEWS = frozenset({"transpose", "slice", "flip", "broadcast", "assume"})
"""Operations whose results are those of what they read, in other places of the same memory."""


def views(eqn: Eqn, ins: Sequence[Aval], outs: Sequence[Aval]) -> bool:
    """Whether results are views of what is read, however that lies in memory: axes of one element come or go."""
    if eqn.op == "reshape":
        before, after = ([n for n in a.shape if n != 1] for a in (ins[0], outs[0]))
        return before == after
    return eqn.op in VIEWS


@dataclass(slots=True)
class Waiting:
    """Follows, equation by equation, which results are not there yet: by variable, the number of the call."""

    outs: dict[int, int] = field(default_factory=dict)
    elements: dict[int, int] = field(default_factory=dict)
    """Of the results of each call that waits."""
    number: int = 0
    """Of the last call that was left."""

    def take(
        self,
        eqn: Eqn,
        ins: Sequence[Aval],
        outs: Sequence[Aval],
        quiet: bool = False,
        renamed: bool = False,
        lifted: bool = False,
    ) -> tuple[frozenset[int] | None, int]:
        """Return the calls that must end before an equation, None for all; and the number of its own if left, else 0.

        Of a `quiet` one no message is left; one that is `renamed` has what it reads as its result (`scales`); what is
        `lifted` is read at once.
        """
        left, size = not (quiet or lifted) and patient(eqn, ins, outs), sum(a.size for a in outs)
        talks = not quiet and _talks(eqn, ins, outs)
        read = {self.outs[v] for v in eqn.ins if v in self.outs}
        if read and (renamed or views(eqn, ins, outs)):
            self.outs.update(dict.fromkeys(eqn.outs, max(read)))
            return frozenset(), 0
        ends: frozenset[int] | None = frozenset(read)
        if (talks and not left) or (left and sum(self.elements.values()) + size > WAITING_ELEMENTS):
            ends = None if self.elements else frozenset()
        for number in [*self.elements] if ends is None else ends:
            del self.elements[number]
        self.outs = {v: number for v, number in self.outs.items() if number in self.elements}
        if not left:
            return ends, 0
        self.number += 1
        self.outs.update(dict.fromkeys(eqn.outs, self.number))
        self.elements[self.number] = size
        return ends, self.number


# -- the order of equations -------------------------------------------------------------------------------

WINDOW = 512
"""Equations that an equation may be moved across, upwards: what it makes lives as much longer."""
BEHIND = 64
"""After so many in turn that wait for others, one looks no further."""
MOVED_ELEMENTS = 1 << 21
"""Results of calls on many elements that such an equation may be moved across: as many more are held."""
ROUNDS = {"mul": 2, "square": 2, "matmul": 2, "conv": 2, "weigh": 2, "word": 2, "select": 2, "reveal": 1}
"""About how many rounds operations take, others SEVERAL: which of two comes first is decided by what follows them."""
SEVERAL = 8


def gather(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Put equations that may share their rounds next to each other, those of loops too.

    In turn: of the equations that send messages and depend on nothing that is still to come, the one that the longest
    chain of others begins with, and all of the window that may share its rounds. What may be left is put off while a
    longer chain begins with an equation that may not, otherwise taken when it is next or the longest chain begins with
    such; the opening of a result is put off while there is anything else to do. What leaves little of many elements,
    as a sum does, is done at once.
    """
    avals = infer(program, ins)
    program = inside(program, avals, gather)
    return in_order(program, avals)


def in_order(program: Program, avals: dict[int, Aval]) -> Program:
    """Put equations next to each other that may share their rounds, those of loops as they are."""
    return program.replace(eqns=tuple(program.eqns[i] for i in _Order(program, avals).run()))


class _Order:
    """Equations by number, in a new order."""

    def __init__(self, program: Program, avals: dict[int, Aval]) -> None:
        self.eqns = eqns = program.eqns
        results = [[avals[v] for v in e.outs] for e in eqns]
        known = [(e, [avals[v] for v in e.ins], outs) for e, outs in zip(eqns, results, strict=True)]
        self.talks = [_talks(*each) for each in known]
        self.left = [patient(*each) for each in known]
        self.key = [
            None if left else turns(each[0], each[2]) or beside.key(*each)
            for each, left in zip(known, self.left, strict=True)
        ]
        self.secret = [outs[0].where == SECRET for outs in results]
        self.size = [max(beside.size(*each), sum(a.size for a in each[2])) for each in known]
        many = Counter(key for key, size in zip(self.key, self.size, strict=True) if size > beside.ELEMENTS)
        alone = beside.Alone(program, avals)
        for i, key in enumerate(self.key):
            if self.size[i] > beside.ELEMENTS and many[key] > 1 and eqns[i] in alone:
                self.key[i] = None
        most = [max((avals[v].size for v in e.ins), default=0) for e in eqns]
        self.ends = [
            not talks and 2 * size <= read and read > beside.ELEMENTS
            for talks, size, read in zip(self.talks, self.size, most, strict=True)
        ]
        """Which equations leave little of many elements: at once, since those are held until then."""
        self.height = self._heights()
        self.maker = {v: i for i, e in enumerate(eqns) for v in e.outs}
        self.read = {v: avals[v].size for e in eqns for v in e.ins}
        opening = [
            e.op == "reveal" and key is not None and height == ROUNDS["reveal"]
            for e, key, height in zip(eqns, self.key, self.height, strict=True)
        ]
        self.rest = [i for i, last in enumerate(opening) if not last]
        self.last = [i for i, last in enumerate(opening) if last]
        """What opens results that no message depends on."""
        self.made: list[int] = []

    def _heights(self) -> list[int]:
        """Return the rounds of the longest chain that begins with each equation."""
        after: dict[int, int] = {}
        heights = [0] * len(self.eqns)
        for i in reversed(range(len(self.eqns))):
            eqn = self.eqns[i]
            own = ROUNDS.get(eqn.op, SEVERAL) if self.talks[i] else 0
            heights[i] = own + max((after.get(v, 0) for v in eqn.outs), default=0)
            for v in eqn.ins:
                after[v] = max(after.get(v, 0), heights[i])
        return heights

    def run(self) -> list[int]:
        """Return the numbers of the equations in their new order."""
        while self.rest or self.last:
            first, ready = self._ready()
            if first is None:
                if free := set(self.window) - self.blocked:
                    self._emit(self._owners_first(free))
                else:  # what is left waits for what is opened
                    alike = [i for i in self.last if self.key[i] == self.key[self.last[0]]]
                    self._emit(self._alike(self.last[0], alike, beside.OPENED))
                continue
            group = self._group(first, ready)
            before = {i for i in self.rest[: self.rest.index(first)] if i not in self.blocked}
            done = {i for i in self.window if self.ends[i] and i not in self.blocked}
            *parts, last = self._parts(group)
            for part in parts:
                now = self._needed(part)
                now |= {i for i in done if self._needed([i]) <= now}
                self._emit(self._owners_first(now))
                self._emit(part)
                done -= now
                before -= now
            self._emit(self._owners_first({*before, *self._needed([*done, *last]), *done} - set(last)))
            self._emit(last)
        return self.made

    def _parts(self, group: list[int]) -> list[list[int]]:
        """Return a group that is begun in some parts, so that what they read need not be there at a time."""
        if not self.left[group[0]]:
            return [group]
        parts: list[list[int]] = [[]]
        waiting, read = set(self.window), set[int]()
        for i in group:
            made = {v for v in self.eqns[i].ins if self.maker.get(v) in waiting}
            if parts[-1] and sum(self.read[v] for v in read | made) > WAITING_ELEMENTS:
                parts.append([])
                read = set()
            parts[-1].append(i)
            read |= made
        return parts

    def _group(self, first: int, ready: list[int]) -> list[int]:
        """Return what is begun next, of equations with messages that wait for nothing still to come."""
        top = max(ready, key=lambda i: self.height[i])
        if self.left[top] or (self.left[first] and self.height[top] <= self.height[first]):
            begun = first if self.left[first] else top
            return self._alike(begun, [i for i in ready if self.left[i]], WAITING_ELEMENTS)
        lead = max((i for i in ready if not self.left[i]), key=lambda i: (self.height[i], -i))
        if self.key[lead] is None:
            return [lead]
        return self._alike(
            lead, [i for i in ready if self.key[i] == self.key[lead]], beside.most(self.eqns[lead])
        )

    def _alike(self, first: int, some: list[int], most: int) -> list[int]:
        """Return those of some equations that share rounds with one of them: up to so many elements."""
        group, size = [], 0
        for i in some:
            if i == first or size + self.size[i] <= most:
                group.append(i)
                size += self.size[i]
        return group

    def _ready(self) -> tuple[int | None, list[int]]:
        """Return the next equation with messages, and all of the window that depend on no others."""
        late = {v for i in self.last for v in self.eqns[i].outs}
        ready: list[int] = []
        self.blocked: set[int] = set()
        self.window = self.rest[: WINDOW + 1]
        passed, behind = 0, 0
        for at, i in enumerate(self.window):
            if behind > BEHIND:
                del self.window[at:]
                break
            eqn, many = self.eqns[i], self.talks[i] and self.size[i] > beside.ELEMENTS
            if not late.isdisjoint(eqn.ins):
                self.blocked.add(i)
            elif self.talks[i] and (passed < MOVED_ELEMENTS or not many or self.left[i]):
                ready.append(i)
            if i in self.blocked or self.talks[i]:
                late.update(eqn.outs)
            passed += self.size[i] if many else 0
            behind = behind + 1 if i in self.blocked else 0
        return (ready[0] if ready else None), ready

    def _needed(self, group: list[int]) -> set[int]:
        """Return what is still to be computed for a group."""
        waiting, found, todo = set(self.window), set(), list(group)
        while todo:
            for v in self.eqns[todo.pop()].ins:
                i = self.maker.get(v)
                if i is not None and i in waiting and i not in found:
                    found.add(i)
                    todo.append(i)
        return found

    def _owners_first(self, some: set[int]) -> list[int]:
        """Return equations without messages, those in the clear first: then all that is shared is shared at once."""
        return sorted(some, key=lambda i: (self.secret[i], i))

    def _emit(self, some: list[int]) -> None:
        self.made += some
        gone = set(some)
        n = len(self.window)
        self.rest[:n] = self.window = [i for i in self.window if i not in gone]
        self.last = [i for i in self.last if i not in gone]
