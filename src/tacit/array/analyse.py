"""What a Program will do, before it runs: who provides what, what is opened to whom, in which ring, at what cost."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array.loop import infer
from tacit.array.ops import Op, table
from tacit.array.program import PUBLIC, Aval, Eqn, Input, Program, owned
from tacit.array.ranges import Format, check, doubts, fine_enough, rough, secret_steps, tightest
from tacit.array.runtime import Runtime, Value
from tacit.array.steps import KEPT_ELEMENTS, Prepared
from tacit.core.cost import Cost, CostModel
from tacit.core.ghost import ghost
from tacit.core.held import Held
from tacit.core.party import Party
from tacit.core.timing import LOOPBACK, Machine, Network, default_machine
from tacit.crypto.prg import KeyRing
from tacit.net.link import Mesh


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One result that leaves the computation: its name, to whom, why, and what it looks like."""

    name: str
    to: tuple[str, ...]
    why: str
    aval: Aval
    source: str = ""
    of: str = ""
    """Whose data it depends on, in words; rows that are opened as they are say so."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The analysed Program."""

    program: Program
    protocol: str
    fmt: Format
    compute: tuple[str, ...]
    parties: tuple[str, ...]
    cost: Cost
    disclosures: tuple[Disclosure, ...]
    assumptions: tuple[str, ...]
    shared: tuple[str, ...]
    """What owners secret-share, a line for all that is made of the same columns in the same way."""
    network: Network = LOOPBACK
    """What variants are chosen for, and the time is estimated on."""
    dealer: str = ""
    largest: int = 0
    """Bits that the largest value on shares takes, its sign and scale included."""
    largest_at: str = ""
    noise: str = ""
    """Where rounding may be large beside the exact values, in words."""
    job: str = ""
    """Digest of the job that this is the plan of, in hex: what owners approve."""
    tables: tuple[str, ...] = ()
    """What the job takes each owner's table to hold, a line for columns and owners that are alike."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the owners provide."""
        return self.program.inputs

    def trust(self) -> str:
        """Who must be trusted, in words."""
        entry = protocols.entry(self.protocol)
        text = entry.trust.format(compute=", ".join(self.compute))
        if self.dealer:
            text += f"; and {self.dealer}, who deals the multiplication material, shares it with nobody"
        return text

    def lines(self) -> list[str]:
        """Return the plan in words, a line each."""
        entry = protocols.entry(self.protocol)
        out = [f"protocol   {self.protocol} among {', '.join(self.compute)}; {self.fmt}"]
        out += [
            f"trusted    {self.trust()}",
            f"gives      {entry.gives}",
            f"not        {entry.does_not_give}",
        ]
        out += [f"provides   {owner}: {self._provided(owner)}" for owner in self.program.owners()]
        out += [f"table      {line}" for line in self.tables]
        out += [f"shares     {line}" for line in self.shared]
        for d in self.disclosures:
            to = "every party" if d.to == ("all",) else ", ".join(d.to)
            of = f" ({d.of})" if d.of else ""
            out.append(f"reveals    {d.name} ({_dims(d.aval)}) to {to}: {d.why}{of}")
        out += [f"assumes    {line}" for line in self.assumptions]
        out.append(f"overflow   {self._overflow()}")
        if self.noise:
            out.append(f"rounding   {self.noise}")
        out.append(f"rounds     {self.cost.rounds}")
        out.append(f"time       {self.time()}")
        out += [f"memory     {line}" for line in self.memory()]
        for (sender, receiver), size in sorted(self.cost.links.items()):
            out.append(f"bytes      {sender} → {receiver}: {size:,}")
        out.append(f"program    digest {self.program.digest().hex()}")
        if self.job:
            out.append(f"approve    {self.job}")
        return out

    def time(self) -> str:
        """Say how long the computation takes, in words that leave no doubt that it is an estimate."""
        place = "one machine" if self.network == LOOPBACK else str(self.network)
        without = "an estimate; starting, reading tables and meeting left out"
        return f"about {_duration(self.cost.seconds)} on {place} ({without})"

    def memory(self) -> list[str]:
        """Say how much memory the run takes, a line for all parties that take as much."""
        alike: dict[str, list[str]] = {}
        for name, nbytes in self.cost.memory.items():
            alike.setdefault(nbytes_in_words(nbytes), []).append(name)
        return [
            f"{', '.join(names)}: about {size} at its peak (an estimate; the program and reading tables left out)"
            for size, names in alike.items()
        ]

    def _provided(self, owner: str) -> str:
        mine = [i for i in self.inputs if i.owner == owner]
        return ", ".join(f"{i.name} {i.aval.kind}{list(i.aval.shape)}{_bound(i.aval)}" for i in mine)

    def _overflow(self) -> str:
        if not self.largest:
            return "impossible: nothing is computed on shares"
        where = f", in {self.largest_at}" if self.largest_at else ""
        assumed = " and if the assumptions hold" if self.assumptions else ""
        return (
            f"impossible within the declared bounds{assumed}: the largest value takes {self.largest} of "
            f"{self.fmt.width - 2} bits{where}"
        )


def _duration(seconds: float) -> str:
    amount, unit = seconds, "s"
    for longer, length in (("minutes", 60.0), ("hours", 3600.0)):
        if seconds >= 2 * length:
            amount, unit = seconds / length, longer
    return f"{amount:.0f} {unit}" if amount >= 99.5 else f"{amount:.2g} {unit}"


def nbytes_in_words(nbytes: int) -> str:
    """Return a size in words, rounded up to two digits."""
    amount, unit = nbytes / 1e6, "MB"
    if amount > 990:
        amount, unit = amount / 1e3, "GB"
    step = 10.0 ** (math.floor(math.log10(amount)) - 1) if amount >= 1 else 0.1
    up = math.ceil(amount / step) * step
    return f"{up:.0f} {unit}" if up >= 10 else f"{up:.2g} {unit}"


def _dims(a: Aval) -> str:
    return "×".join(map(str, a.shape)) or "one value"


def _bound(a: Aval) -> str:
    return "" if a.kind == "bool" else f" in [{a.lo:g}, {a.hi:g}]"


@dataclass(slots=True)
class Origins:
    """From which inputs each variable is made, and which variables are inputs' rows as they were given."""

    inputs: dict[int, frozenset[tuple[str, str]]]
    """Owner and column of every input that the variable depends on."""
    rows: set[int]
    made: dict[int, Eqn]

    @classmethod
    def of(cls, program: Program) -> Origins:
        """Follow a Program from its inputs."""
        found = cls(
            {i.var: frozenset({(i.owner, i.name)}) for i in program.inputs},
            {i.var for i in program.inputs},
            {},
        )
        for eqn in program.eqns:
            parts: frozenset[tuple[str, str]] = frozenset().union(*(found.inputs[v] for v in eqn.ins))
            untouched = eqn.op in MOVES and any(v in found.rows for v in eqn.ins)
            moved = eqn.op in MOVES and len(eqn.ins) == 1
            made = found.made.get(eqn.ins[0], eqn) if moved else eqn
            for v in eqn.outs:
                found.inputs[v] = parts
                found.made[v] = made
                if untouched:
                    found.rows.add(v)
        return found

    def columns(self, var: int) -> str:
        """Name the columns behind a variable, without their owners."""
        return _few(sorted({name for _, name in self.inputs[var]}))

    def describe(self, var: int, to: tuple[str, ...]) -> str:
        """Say whose data a result depends on where a reader should stop: rows as they are, or one owner's data."""
        owners = sorted({owner for owner, _ in self.inputs[var]})
        if not owners or to == tuple(owners):
            return ""
        if var in self.rows:
            return f"these are rows of {self.columns(var)} of {_few(owners)} as they are"
        return f"it depends on the data of {owners[0]} alone" if len(owners) == 1 else ""


def _few(names: list[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


ROOM = 1 << 22
"""Bytes that a run takes whatever it computes: tables of constants, buffers of links, threads' own memory."""
SPREAD = 1.5
"""Memory that a process takes over what is in use: what is free between arrays, and what kernels keep for a moment."""
MOVES = frozenset(
    {"arrange", "assume", "broadcast", "concat", "convert", "dynamic_slice", "flip", "lookup", "neg", "reshape",
     "restore", "reveal", "shuffle", "slice", "take", "transpose"}
)  # fmt: skip
"""Operations whose results hold operands' elements as they were, up to their sign and order."""


def _shared_lines(program: Program, avals: dict[int, Aval], origins: Origins) -> list[str]:
    """Say what each owner shares, everything of one making in one line."""
    order: dict[int, None] = {}
    for eqn in program.eqns:
        ins = [avals[v] for v in eqn.ins]
        hidden = {a.where for a in ins} - {"public"}
        if eqn.op == "reveal" or len(hidden) > 1:
            order.update({v: None for v, a in zip(eqn.ins, ins, strict=True) if a.owner})
    groups: dict[str, dict[str, list[str]]] = {}
    for v in order:
        a = avals[v]
        if v in origins.rows:
            label = f"rows of {origins.columns(v)} as they are"
        else:
            made = origins.made[v]
            label = f"{made.op} of {origins.columns(v)}" + (f" at {made.source}" if made.source else "")
        groups.setdefault(f"{label} ({a.kind})", {}).setdefault(a.owner, []).append(_dims(a))
    lines = []
    for label, owners in groups.items():
        by_dims: dict[str, list[str]] = {}
        for owner, dims in owners.items():
            by_dims.setdefault(" and ".join(dims), []).append(owner)
        who = "; ".join(f"{', '.join(names)}: {dims}" for dims, names in by_dims.items())
        lines.append(f"{who}, {label}")
    return lines


class _Nowhere(Mesh):
    """Links that lead nowhere: the cost model sends nothing."""

    def send(self, to: str, label: str, *parts: object, stable: bool = False) -> None:
        """Drop."""

    def flush(self) -> None:
        """Do nothing."""

    def pace(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def abort(self, reason: BaseException) -> None:
        """Do nothing."""

    def recv(self, frm: str, label: str, nbytes: int, held: bool = False) -> Any:
        """Refuse."""
        raise AssertionError("the cost model receives nothing")

    def recv_any(self, frm: str, max_bytes: int) -> tuple[str, bytes]:
        """Refuse."""
        raise AssertionError("the cost model receives nothing")


def nowhere(compute: tuple[str, ...], name: str = "", network: Network = LOOPBACK) -> Party:
    """Return a party without links or keys, for roles that neither send nor draw."""
    return Party(name, compute, _Nowhere(name, ()), KeyRing({}, b""), network=network)


def usual(network: Network, parties: int) -> Machine:
    """Return the package's calibration: on loopback all parties share the cores of this machine."""
    machine = default_machine()
    if network != LOOPBACK:
        return machine
    return replace(machine, cores=(os.cpu_count() or 1) / parties, together=True)


def predict(
    program: Program,
    protocol: str,
    fmt: Format,
    compute: tuple[str, ...],
    parties: tuple[str, ...],
    dealer: str = "",
    network: Network = LOOPBACK,
    machine: Machine | None = None,
    opened: bool = False,
) -> Cost:
    """Return the exact traffic of the computation, the handshake left out, and about how long it takes.

    Inputs that are secret from the start count as shared already; outputs may be `opened` afterwards (`Runtime.block`).
    """
    kind, place = protocols.load(protocol), nowhere(compute, network=network)
    machine = machine or usual(network, len(compute))
    ring = Ring(fmt.width)
    model = CostModel(protocol, kind.cards, place, ring, dealer=dealer, machine=machine, copies=kind.parts)
    pricing = _Pricing(model, fmt, parties)
    needed = pricing.needed(program, opened)

    def given(spec: Input) -> Value:
        made = model.made_bits if spec.aval.kind == "bool" else model.made
        share = made(spec.aval.shape) if spec.aval.secret else None
        return Value(spec.aval, None, share, width=needed.get(spec.var, 0))

    pricing.block(program, [given(spec) for spec in program.inputs], opened=opened)
    model.clock.close()
    clear = pricing.clear(program, opened)
    for name in dict.fromkeys([*compute, *program.owners()]):
        shares = model.cost.held.most if name in compute else 0
        model.cost.memory[name] = ROOM + round(SPREAD * (shares + clear[PUBLIC] + clear[owned(name)]))
    return model.cost


@dataclass(slots=True)
class _Pricing(Runtime):
    """Counts the first iteration of a loop and one of each kind that follows; the others add what those added.

    What an iteration costs follows from shapes, ranges and constants, not from shares. Its rounds follow from how far
    apart the parties are in rounds at its start: if they are as far apart as once before, all move on as they did then.
    """

    seen: dict[Any, Any] = field(default_factory=dict)

    def _plan(self, program: Program, ins: list[Aval], opened: bool) -> Prepared:
        """Let every equation that does not follow from the text go through `local` or `step`, which count its work."""
        plan = Runtime._plan(self, program, ins, opened)
        if any(step.move or step.rule for step in plan.steps):
            plan.steps[:] = [replace(step, move=None, rule=None) for step in plan.steps]
        return plan

    def clear(self, program: Program, opened: bool) -> Counter[str]:
        """Return the most that values in the clear take at once, by visibility: inputs and what is made of them."""
        plan = self._plan(program, [i.aval for i in program.inputs], opened)
        held: dict[str, Held] = defaultdict(Held)
        env: dict[int, Any] = {}

        def take(var: int, a: Aval) -> None:
            # A public number is encoded, too, for every ring that it meets shares in.
            each = 8 + self.ring.dtype.itemsize * (a.where == PUBLIC)
            env[var] = None if a.secret else held[a.where].array(a.shape, each)

        for spec in plan.program.inputs:
            take(spec.var, spec.aval)
        for step in plan.steps:
            eqn = step.eqn
            of = env[eqn.ins[0]] if eqn.ins else None
            if of is not None and eqn.op == "assume":
                env[eqn.outs[0]] = of
            elif of is not None and (move := table()[eqn.op].prepare):
                env[eqn.outs[0]] = move(of.shape, eqn.params)(of)
            else:
                for var, a in zip(eqn.outs, step.outs, strict=True):
                    take(var, a)
            for var in step.dead:
                del env[var]
        return Counter({where: some.most for where, some in held.items()})

    def local(self, op: Op, eqn: Eqn, ins: list[Value], outs: list[Aval]) -> list[Value]:
        """Count one equation without messages like any other."""
        return self.step(eqn, ins, outs)

    def step(self, eqn: Eqn, ins: list[Value], outs: list[Aval], *known: str) -> list[Value]:
        """Count one equation, and the work of it that needs no message."""
        assert isinstance(self.p, CostModel)
        size, cost = sum(a.size for a in outs), self.p.cost
        if not any(a.secret for a in outs):
            if outs and (outs[0].owner or size > KEPT_ELEMENTS):
                inner = ins[0].aval.shape[-1] if eqn.op == "matmul" else 0
                self.p.spend("clear", sum(v.aval.size for v in ins) + size * inner // 8, outs[0].owner)
            return Runtime.step(self, eqn, ins, outs, *known)
        before = cost.units.total() + cost.calls.total()
        results = Runtime.step(self, eqn, ins, outs, *known)
        # What did nothing else moved elements about, as a convolution does with its results.
        idle = before == cost.units.total() + cost.calls.total()
        self.p.spend("linear", size if idle or eqn.op == "conv" else 0)
        public = any(v.aval.where == PUBLIC for v in ins)
        kind = equation_kind(eqn, public)
        wide = kind + " wide" * (self.p.ring.width > 64 and not self.rounding.word)
        if (found := next((k for k in (wide, kind) if k in self.p.machine.curves), None)) is not None:
            self.p.spend(found, sum(v.aval.size for v in ins))
        return results

    def turn(self, body: Program, consts: list[Value], carry: list[Value], rows: list[Value]) -> list[Value]:
        """Count one iteration, or add what a like one added."""
        assert isinstance(self.p, CostModel)
        cost, compute = self.p.cost, self.p.party.compute
        clocks = [cost.depth.get(n, 0) for n in compute]
        now, working = max(clocks), dict(cost.working)
        key = (
            id(body),
            *((v.aval, v.share is None, v.exact, v.constant, v.same) for v in (*consts, *carry, *rows)),
            *(v.data.tobytes() for v in rows if v.constant and v.data is not None),
            *(now - c for c in clocks),
        )
        held = cost.held
        if key in self.seen:
            added, moved, spent, rise, outs = self.seen[key]
            held.passing(rise)
            for total, more in zip(_counts(cost), added, strict=True):
                total.update(more)
            cost.depth.update({n: now + m for n, m in zip(compute, moved, strict=True)})
            self.p.again(*spent)
            return [self._anew(v) for v in outs]
        before, begin = [c.copy() for c in _counts(cost)], self.p.clock.mark()
        most, held.most = held.most, held.now
        at_first = held.now
        outs = self.block(body, [*consts, *carry, *rows])
        rise, held.most = held.most - at_first, max(most, held.most)
        # Owners outside pay for their first message once, so a loop's first iteration speaks for no other.
        if id(body) in self.seen:
            added = [c - b for c, b in zip(_counts(cost), before, strict=True)]
            worked = {n: seconds - working.get(n, 0.0) for n, seconds in cost.working.items()}
            spent = begin, self.p.clock.mark(), worked
            moved = [cost.depth.get(n, 0) - now for n in compute]
            self.seen[key] = (added, moved, spent, rise, [_described(v) for v in outs])
        self.seen[id(body)] = None
        return list(outs)

    def _anew(self, v: Value) -> Value:
        """Return a value like one that `_described` tells of, and let it count as held."""
        if v.share is None:
            return v
        assert isinstance(self.p, CostModel)
        made = self.p.made_bits if v.aval.kind == "bool" else self.p.made
        return replace(v, share=made(v.share.shape))


def _described(v: Value) -> Value:
    """Return a value whose share does not count as held."""
    return v if v.share is None else replace(v, share=ghost(v.share.shape))


def equation_kind(eqn: Eqn, public: bool) -> str:
    """Return under which name a calibration has what an equation takes besides its calls."""
    return f"equation {eqn.op}" + " place" * bool(eqn.params.get("place")) + " public" * public


def _counts(cost: Cost) -> tuple[Counter[Any], ...]:
    return cost.links, cost.calls, cost.elements, cost.units


def plan(
    program: Program,
    protocol: str,
    fmt: Format,
    compute: tuple[str, ...],
    parties: tuple[str, ...],
    dealer: str = "",
    network: Network = LOOPBACK,
    machine: Machine | None = None,
) -> Plan:
    """Analyse a Program; RangeError if it could overflow `fmt`, NotRealised if the protocol lacks an operation."""
    fine_enough(program, fmt)
    steps = secret_steps(program, fmt)
    for step in steps:
        check(step, fmt)
    disclosures: list[Disclosure] = []
    stated: dict[str, int] = {}

    def visit(eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        p = eqn.params
        if eqn.op == "assume" or "within" in p:
            lo, hi = p.get("within") or (p["lo"], p["hi"])
            line = f"{eqn.source or 'the program'}: a value lies in [{lo:g}, {hi:g}], unchecked"
            why = p.get("why")
            key = f"ranges {why}" if why else line
            stated[key] = stated.get(key, 0) + 1

    avals = infer(program, visit=visit)
    origins = Origins.of(program)
    for eqn in program.eqns:
        if eqn.op == "reveal":
            p, to = eqn.params, tuple(eqn.params["to"])
            of = origins.describe(eqn.ins[0], to)
            disclosures.append(Disclosure(p["name"], to, p["why"], avals[eqn.ins[0]], eqn.source, of))
    cost = predict(program, protocol, fmt, compute, parties, dealer, network, machine)
    largest, largest_at = tightest(steps, fmt)
    said = [*doubts(program, steps, fmt), rough(steps, fmt)[1]]
    return Plan(
        program,
        protocol,
        fmt,
        compute,
        parties,
        cost,
        tuple(disclosures),
        tuple(f"{line} ({n} times)" if n > 1 else line for line, n in stated.items()),
        tuple(_shared_lines(program, avals, origins)),
        network,
        dealer,
        largest,
        largest_at,
        "; ".join(filter(None, said)),
    )
