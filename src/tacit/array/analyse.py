"""What a Program will do, before it runs: who provides what, what is opened to whom, in which ring, at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array.loop import infer
from tacit.array.program import Aval, Eqn, Input, Program
from tacit.array.ranges import Format, check, secret_steps
from tacit.array.runtime import Runtime, Value
from tacit.core.cost import Cost, CostModel
from tacit.core.party import Party
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
    """Description of each value that is secret-shared by an owner."""
    dealer: str = ""

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
        for owner in self.program.owners():
            mine = [i for i in self.inputs if i.owner == owner]
            names = ", ".join(f"{i.name} {i.aval.kind}{list(i.aval.shape)}" for i in mine)
            out.append(f"provides   {owner}: {names}")
        out += [f"shares     {line}" for line in self.shared]
        for d in self.disclosures:
            to = "every party" if d.to == ("all",) else ", ".join(d.to)
            dims = "×".join(map(str, d.aval.shape)) or "one value"
            out.append(f"reveals    {d.name} ({dims}) to {to}: {d.why}")
        out += [f"assumes    {line}" for line in self.assumptions]
        out.append(f"rounds     {self.cost.rounds}")
        for (sender, receiver), size in sorted(self.cost.links.items()):
            out.append(f"bytes      {sender} → {receiver}: {size:,}")
        out.append(f"digest     {self.program.digest().hex()}")
        return out


class _Nowhere(Mesh):
    """Links that lead nowhere: the cost model sends nothing."""

    def send(self, to: str, label: str, *parts: object, stable: bool = False) -> None:
        """Drop."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def abort(self, reason: BaseException) -> None:
        """Do nothing."""

    def recv(self, frm: str, label: str, nbytes: int) -> Any:
        """Refuse."""
        raise AssertionError("the cost model receives nothing")

    def recv_any(self, frm: str, max_bytes: int) -> tuple[str, bytes]:
        """Refuse."""
        raise AssertionError("the cost model receives nothing")


def nowhere(compute: tuple[str, ...], name: str = "") -> Party:
    """Return a party without links or keys, for roles that neither send nor draw."""
    return Party(name, compute, _Nowhere(name, ()), KeyRing({}, b""))


def predict(
    program: Program,
    protocol: str,
    fmt: Format,
    compute: tuple[str, ...],
    parties: tuple[str, ...],
    dealer: str = "",
) -> Cost:
    """Return the exact traffic of the computation, the handshake left out."""
    cards = protocols.load(protocol).cards
    model = CostModel(protocol, cards, nowhere(compute), Ring(fmt.width), dealer=dealer)
    rt = Runtime(model, fmt, parties)
    rt.block(program, [Value(i.aval) for i in program.inputs])
    return model.cost


def plan(
    program: Program,
    protocol: str,
    fmt: Format,
    compute: tuple[str, ...],
    parties: tuple[str, ...],
    dealer: str = "",
) -> Plan:
    """Analyse a Program; RangeError if it could overflow `fmt`, NotRealised if the protocol lacks an operation."""
    for step in secret_steps(program):
        check(step, fmt)
    avals = infer(program)
    disclosures: list[Disclosure] = []
    stated: dict[str, int] = {}
    shared: dict[int, str] = {}

    def visit(eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        if eqn.op == "assume":
            p = eqn.params
            line = f"{eqn.source or 'the program'}: a value lies in [{p['lo']:g}, {p['hi']:g}], unchecked"
            why = p.get("why")
            key = f"ranges {why}" if why else line
            stated[key] = stated.get(key, 0) + 1

    infer(program, visit=visit)
    for eqn in program.eqns:
        ins = [avals[v] for v in eqn.ins]
        if eqn.op == "reveal":
            p = eqn.params
            disclosures.append(Disclosure(p["name"], tuple(p["to"]), p["why"], ins[0], eqn.source))
        hidden = {a.where for a in ins} - {"public"}
        if eqn.op == "reveal" or len(hidden) > 1:
            for v, a in zip(eqn.ins, ins, strict=True):
                if a.owner:
                    dims = "×".join(map(str, a.shape)) or "one value"
                    shared[v] = f"{a.owner}: {dims} ({a.kind}), %{v}"
    cost = predict(program, protocol, fmt, compute, parties, dealer)
    return Plan(
        program,
        protocol,
        fmt,
        compute,
        parties,
        cost,
        tuple(disclosures),
        tuple(f"{line} ({n} times)" if n > 1 else line for line, n in stated.items()),
        tuple(shared.values()),
        dealer,
    )
