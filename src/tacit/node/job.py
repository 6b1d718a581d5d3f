"""A job: the exact thing that owners approve. Its digest covers every byte that changes what is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tacit import protocols
from tacit.array.analyse import Plan, plan
from tacit.array.program import Program, parse
from tacit.array.runtime import Format
from tacit.core.timing import LOOPBACK, Machine, Network, network_of
from tacit.crypto.hashing import digest
from tacit.errors import DataError, NotApproved
from tacit.net import codec
from tacit.net.roster import MAX_PARTIES, check_name
from tacit.node.tables import Column

VERSION = 2
MAX_BYTES = 64 << 20
MAX_TEXT = 200
MAX_CODES = 32
"""Missing-value codes of one column: a plan lists them all, and somebody reads them."""


@dataclass(frozen=True, slots=True)
class Job:
    """One computation: the program, the protocol and its parameters, who computes, provides and receives."""

    title: str
    protocol: str
    fmt: Format
    compute: tuple[str, ...]
    parties: tuple[str, ...]
    program: Program
    tables: Mapping[str, tuple[Column, ...]] = field(default_factory=dict)
    """Columns that each owner's table must have, with their bounds."""
    dealer: str = ""
    network: Network = LOOPBACK
    """The links between compute parties that all choose variants for: a preset, or as `tacit job measure` found it."""

    def __post_init__(self) -> None:
        protocols.check_dealer(self.protocol, self.dealer)
        low, high = protocols.entry(self.protocol).parties
        if not low <= len(self.compute) <= high:
            count = str(low) if low == high else f"{low} to {high}"
            raise DataError(
                f"{self.protocol} takes {count} compute parties, the job names {len(self.compute)}"
                f" ({', '.join(map(str, self.compute))}); they need not provide data"
            )
        if not (
            isinstance(self.title, str) and self.title.isprintable() and 1 <= len(self.title) <= MAX_TEXT
        ):
            raise DataError(f"the job's title is 1 to {MAX_TEXT} printable characters on one line")
        if len(self.parties) > MAX_PARTIES:
            raise DataError(f"the job names {len(self.parties)} parties; there may be {MAX_PARTIES}")
        for name in self.parties:
            check_name(name)
            if name == "all":
                raise DataError("no party may be called 'all': results revealed to \"all\" go to every party")
        for names in (self.parties, self.compute):
            if len(set(names)) != len(names):
                raise DataError("the job names a party twice")
        if self.dealer and self.dealer in self.compute:
            raise DataError(f"{self.dealer} deals the products' material and may not compute as well")
        results = [eqn.params["name"] for eqn in self.program.reveals()]
        if len(set(results)) != len(results):
            raise DataError("two results have one name; each is revealed once, to all who may see it")
        named = {*self.compute, *self.program.owners(), *self.tables, *([self.dealer] if self.dealer else [])}
        for eqn in self.program.reveals():
            named |= {t for t in eqn.params["to"] if t != "all"}
            # What an owner reads before it approves must not be able to rewrite the lines around it.
            if not eqn.params["why"].isprintable():
                raise DataError(
                    f"the reason given for {eqn.params['name']!r} is not printable text on one line"
                )
        for owner, columns in self.tables.items():
            for c in columns:
                if len(c.missing) > MAX_CODES:
                    raise DataError(
                        f"{owner}'s column {c.name!r} has {len(c.missing)} missing-value codes, of which there may be "
                        f"{MAX_CODES}; write one code for all of them into the table"
                    )
        unknown = named - set(self.parties)
        if unknown:
            raise DataError(f"the job mentions {', '.join(sorted(unknown))}, who is not among its parties")

    def content(self) -> dict[str, Any]:
        """Return everything that the digest covers."""
        return {
            "tacit-job": VERSION,
            "title": self.title,
            "protocol": self.protocol,
            "width": self.fmt.width,
            "frac_bits": self.fmt.frac_bits,
            "compute": list(self.compute),
            "parties": list(self.parties),
            "dealer": self.dealer,
            "network": self.network.content(),
            "tables": {o: [_column(c) for c in cols] for o, cols in self.tables.items()},
            "program": self.program.text(),
        }

    def digest(self) -> bytes:
        """Return the 32 bytes that owners approve."""
        return digest("job", codec.encode(self.content(), None))

    @property
    def readers(self) -> tuple[str, ...]:
        """Who receives what is revealed to all: everybody but a dealer that has no other part."""
        owners = {*self.compute, *self.program.owners(), *self.tables}
        return tuple(p for p in self.parties if p != self.dealer or p in owners)

    def check_approval(self, approved: str) -> bytes:
        """Return this job's digest; NotApproved unless `approved` is it, in hex."""
        found = self.digest()
        mine = found.hex()
        if approved.lower() != mine:
            raise NotApproved(
                f"this job's digest is {mine[:16]}…, approved was {approved[:16] or 'nothing'}…; read the plan "
                f"with `tacit job show` and approve it with --approve {mine}"
            )
        return found

    def plan(self, machine: Machine | None = None) -> Plan:
        """Analyse the job: cost, disclosures, ranges; `machine` is what its time is estimated with."""
        found = plan(
            self.program,
            self.protocol,
            self.fmt,
            self.compute,
            self.readers,
            self.dealer,
            self.network,
            machine,
        )
        return replace(found, job=self.digest().hex(), tables=tuple(_table_lines(self.tables)))

    def links(self) -> list[tuple[str, str]]:
        """Return the pairs that talk: compute parties with one another, everyone else with them."""
        core = [*self.compute, *([self.dealer] if self.dealer and self.dealer not in self.compute else [])]
        pairs = [(a, b) for i, a in enumerate(core) for b in core[i + 1 :]]
        return pairs + [(p, c) for p in self.parties if p not in core for c in self.compute]

    def save(self, path: str | Path) -> None:
        """Write the job as JSON; it holds no secret. DataError if it is larger than anybody would read."""
        text = json.dumps(self.content(), indent=1) + "\n"
        if len(text.encode()) > MAX_BYTES:
            raise DataError(
                f"the job is larger than {MAX_BYTES >> 20} MiB: its program holds too many public numbers; give them "
                "as columns of an owner's table"
            )
        Path(path).write_text(text, encoding="utf-8")


def _table_lines(tables: Mapping[str, tuple[Column, ...]]) -> list[str]:
    """Say what each owner's columns are, bounds and codes to the last digit: they decide which cells count."""
    owners: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for owner, columns in tables.items():
        alike: dict[str, list[str]] = {}
        for c in columns:
            codes = [_exactly(m) for m in sorted(set(c.missing))]
            absent = f", missing where empty or {' or '.join(codes)}" if codes else ""
            said = f"{c.kind} in [{_exactly(c.lo)}, {_exactly(c.hi)}]{absent}"
            alike.setdefault(said, []).append(c.name)
        key = tuple((", ".join(names), said) for said, names in alike.items())
        owners.setdefault(key, []).append(owner)
    return [f"{', '.join(who)}: {names} {said}" for key, who in owners.items() for names, said in key]


def _exactly(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _column(c: Column) -> dict[str, Any]:
    return {
        "name": c.name,
        "kind": c.kind,
        "lo": float(c.lo),
        "hi": float(c.hi),
        "missing": [float(m) for m in c.missing],
    }


def load_job(path: str | Path) -> Job:
    """Read a job file; DataError names what is wrong with it."""
    try:
        with Path(path).open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES >> 20} MiB, which no job is")
        content = json.loads(raw)
    except FileNotFoundError:
        raise DataError(f"there is no job file {path}") from None
    except OSError as exc:
        raise DataError(f"the job file {path} cannot be read: {exc.strerror}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is not a job: it is not valid JSON") from None
    return job_of(content, str(path))


def job_of(content: Any, where: str = "the job") -> Job:
    """Build a Job from its content, strictly."""
    keys = {
        "tacit-job",
        "title",
        "protocol",
        "width",
        "frac_bits",
        "compute",
        "parties",
        "dealer",
        "network",
        "tables",
        "program",
    }
    if not isinstance(content, dict) or set(content) != keys or content["tacit-job"] != VERSION:
        raise DataError(f"{where} is not a version {VERSION} Tacit job")
    try:
        return Job(
            content["title"],
            str(content["protocol"]),
            Format(content["width"], content["frac_bits"]),
            tuple(map(str, content["compute"])),
            tuple(map(str, content["parties"])),
            parse(content["program"]),
            {
                str(owner): tuple(Column(**{**c, "missing": tuple(c["missing"])}) for c in columns)
                for owner, columns in content["tables"].items()
            },
            str(content["dealer"]),
            network_of(content["network"], where),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise DataError(f"{where} is malformed ({type(exc).__name__})") from None
