"""Who must approve before a group signs: people, roles and rules, and the decision by them.

A directory is a canonical document that all members hold alike: people (name, roles, Ed25519 key) and, for
each kind of order, a rule. Orders and approvals name it by its digest, so nobody is asked under another rule
than they think.

Rules: ``count`` (so many people with a role of the list; ``each_role_once``: each in another role),
``majority`` (more than half of all people with such a role), ``weights`` (people weigh what their heaviest
role weighs). A person counts once, whatever roles they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tacit.errors import DataError, NotApproved, PolicyViolation, UsageError
from tacit.threshold.order import decode_canonical, document_digest, encode_canonical

DIRECTORY_FORMAT = "tacit-directory-1"
ORDER_FORMAT = "tacit-order-1"
MAX_VALIDITY = timedelta(days=31)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def format_time(moment: datetime) -> str:
    """Write a moment in UTC, to the second."""
    return moment.astimezone(UTC).strftime(_TIME)


def parse_time(text: Any) -> datetime:
    """Read a moment that :func:`format_time` wrote. Raises DataError."""
    try:
        moment = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except (TypeError, ValueError) as error:
        raise DataError("a time is written as 2026-01-31T18:00:00Z") from error
    if format_time(moment) != text:
        raise DataError("a time is written as 2026-01-31T18:00:00Z")
    return moment


@dataclass(frozen=True, slots=True)
class Person:
    """Name someone who approves, with roles and the Ed25519 key that signs their approvals."""

    name: str
    roles: frozenset[str]
    public: bytes


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold one rule; ``needed`` is a number of people, or of weight, and unused for a majority."""

    kind: str
    roles: frozenset[str]
    needed: int = 0
    each_role_once: bool = False
    weights: Mapping[str, int] | None = None

    def describe(self) -> str:
        """Say the rule in words."""
        listed = ", ".join(sorted(self.roles))
        if self.kind == "majority":
            return f"a majority of all with one of the roles {listed}"
        if self.kind == "weights":
            assert self.weights is not None
            weighed = ", ".join(f"{role} {self.weights[role]}" for role in sorted(self.weights))
            return f"weight {self.needed} of {weighed}"
        return (
            f"{self.needed} people with {'different roles' if self.each_role_once else 'roles'} of {listed}"
        )


@dataclass(frozen=True, slots=True)
class Directory:
    """Hold people and rules, as read from one canonical document."""

    people: Mapping[str, Person]
    rules: Mapping[str, Rule]
    digest: bytes

    def rule(self, kind: str) -> Rule:
        """Return the rule for a kind of order; there is no default. Raises PolicyViolation."""
        if kind not in self.rules:
            raise PolicyViolation(f"the directory has no rule for orders of kind {kind!r}")
        return self.rules[kind]


def read_directory(data: bytes) -> Directory:
    """Read and check a directory. Raises DataError."""
    document = decode_canonical(data)
    if not isinstance(document, dict) or document.get("format") != DIRECTORY_FORMAT:
        raise DataError(
            f'this is not a directory of people and rules: it has no "format": "{DIRECTORY_FORMAT}"'
        )
    if set(document) != {"format", "people", "rules"}:
        raise DataError("a directory has exactly format, people and rules")
    try:
        people = [
            Person(p["name"], _roles(p["roles"]), bytes.fromhex(p["public"])) for p in document["people"]
        ]
        rules = {kind: _read_rule(rule) for kind, rule in document["rules"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            "a person has name, roles and public; a rule has a kind and what belongs to it"
        ) from error
    if any(not isinstance(p.name, str) or not p.name or len(p.public) != 32 or not p.roles for p in people):
        raise DataError("a person needs a name, at least one role, and a key of 32 bytes")
    # One key under two names would be one person who counts twice.
    names, publics = {p.name.casefold() for p in people}, {p.public for p in people}
    if len(names) != len(people) or len(publics) != len(people):
        raise DataError("two people share a name or a key")
    directory = Directory({p.name: p for p in people}, rules, document_digest(data))
    for kind, rule in rules.items():
        if not _satisfied(rule, directory, set(directory.people)):
            raise DataError(f"the rule for {kind} can never be satisfied by these people")
        if _satisfied(rule, directory, set()):
            raise DataError(f"the rule for {kind} needs nobody")
    return directory


def _roles(listed: Any) -> frozenset[str]:
    if not isinstance(listed, list) or not all(isinstance(role, str) and role for role in listed):
        raise DataError("roles are a list of words")
    if len(set(listed)) != len(listed):
        raise DataError("a role is listed twice")
    return frozenset(listed)


def _read_rule(document: dict[str, Any]) -> Rule:
    kind = document["kind"]
    allowed = {
        "count": {"kind", "needed", "roles", "each_role_once"},
        "majority": {"kind", "roles"},
        "weights": {"kind", "needed", "weights"},
    }
    if kind not in allowed or not set(document) <= allowed[kind]:
        raise DataError("a rule is a count, a majority or weights, with nothing else in it")
    if kind == "majority":
        return Rule(kind, _roles(document["roles"]))
    needed = document["needed"]
    if type(needed) is not int or needed < 1:
        raise DataError("a rule needs at least one")
    if kind == "weights":
        weights = document["weights"]
        if any(type(w) is not int or w < 1 for w in weights.values()):
            raise DataError("a weight is a positive integer")
        return Rule(kind, frozenset(weights), needed, weights=dict(weights))
    once = document.get("each_role_once", False)
    if type(once) is not bool:
        raise DataError("each_role_once is true or false")
    return Rule(kind, _roles(document["roles"]), needed, once)


def _fill_roles(rule: Rule, people: Iterable[Person]) -> int:
    """Return how many roles can be filled by different people (a maximum bipartite matching, Kuhn)."""
    taken: dict[str, Person] = {}

    def place(person: Person, tried: set[str]) -> bool:
        for role in sorted(person.roles & rule.roles):
            if role in tried:
                continue
            tried.add(role)
            if role not in taken or place(taken[role], tried):
                taken[role] = person
                return True
        return False

    return sum(place(person, set()) for person in people)


def _satisfied(rule: Rule, directory: Directory, names: set[str]) -> bool:
    people = [directory.people[name] for name in sorted(names)]
    fitting = [p for p in people if p.roles & rule.roles]
    if rule.kind == "majority":
        electorate = [p for p in directory.people.values() if p.roles & rule.roles]
        return 2 * len(fitting) > len(electorate)
    if rule.kind == "weights":
        assert rule.weights is not None
        return sum(max(rule.weights[r] for r in p.roles & rule.roles) for p in fitting) >= rule.needed
    if rule.each_role_once:
        return _fill_roles(rule, fitting) >= rule.needed
    return len(fitting) >= rule.needed


@dataclass(frozen=True, slots=True)
class Order:
    """Hold an order as read from its bytes; ``data`` is what is shown, approved and signed."""

    data: bytes
    kind: str
    directory: bytes
    group: bytes
    requested_by: str
    issued: datetime
    expires: datetime

    @property
    def digest(self) -> bytes:
        """Return the digest that approvals name."""
        return document_digest(self.data)


def make_order(
    kind: str,
    content: Mapping[str, Any],
    directory: Directory,
    group_fingerprint: bytes,
    requested_by: str,
    issued: datetime,
    expires: datetime,
    nonce: bytes,
) -> Order:
    """Write an order. ``nonce`` makes two orders with the same content different."""
    directory.rule(kind)
    document = {
        "content": dict(content),
        "directory": directory.digest.hex(),
        "expires": format_time(expires),
        "format": ORDER_FORMAT,
        "group": group_fingerprint.hex(),
        "issued": format_time(issued),
        "kind": kind,
        "nonce": nonce.hex(),
        "requested_by": requested_by,
    }
    return read_order(encode_canonical(document))


def read_order(data: bytes) -> Order:
    """Read an order. Raises DataError."""
    document = decode_canonical(data)
    fields = {"content", "directory", "expires", "format", "group", "issued", "kind", "nonce", "requested_by"}
    if not isinstance(document, dict) or set(document) != fields or document["format"] != ORDER_FORMAT:
        raise DataError(f"an order has exactly the fields {', '.join(sorted(fields))}")
    if not isinstance(document["content"], dict) or not document["content"]:
        raise DataError("an order says something in its content")
    try:
        digests = [bytes.fromhex(document[name]) for name in ("directory", "group", "nonce")]
    except (TypeError, ValueError) as error:
        raise DataError("directory, group and nonce are written in hexadecimal") from error
    if [len(d) for d in digests] != [32, 32, 16] or not isinstance(document["kind"], str):
        raise DataError("directory and group have 32 bytes, the nonce 16")
    issued, expires = parse_time(document["issued"]), parse_time(document["expires"])
    if not timedelta(0) < expires - issued <= MAX_VALIDITY:
        raise DataError(f"an order expires after it is issued, within {MAX_VALIDITY.days} days")
    kind, by = document["kind"], document["requested_by"]
    if not isinstance(by, str):
        raise DataError("requested_by is a name")
    return Order(data, kind, digests[0], digests[1], by, issued, expires)


def check_order(order: Order, directory: Directory, group_fingerprint: bytes, now: datetime) -> Rule:
    """Check that an order is for this directory and group and is not expired. Raises PolicyViolation."""
    if order.directory != directory.digest:
        raise PolicyViolation("the order was written for another directory of people and rules")
    if order.group != group_fingerprint:
        raise PolicyViolation("the order was written for another group key or generation")
    if now >= order.expires:
        raise PolicyViolation(f"the order expired at {format_time(order.expires)}")
    if now < order.issued - timedelta(minutes=5):
        raise PolicyViolation("the order is issued in the future; check the clocks")
    return directory.rule(order.kind)


def decide(rule: Rule, directory: Directory, approvers: Iterable[str]) -> None:
    """Check that the approvers suffice. Raises NotApproved; UsageError for a stranger or someone twice."""
    listed = list(approvers)
    if len(set(listed)) != len(listed):
        raise UsageError("a person approves once")
    strangers = [name for name in listed if name not in directory.people]
    if strangers:
        raise UsageError(f"{strangers[0]!r} is not in the directory")
    if not _satisfied(rule, directory, set(listed)):
        raise NotApproved(f"needed: {rule.describe()}; approved by: {', '.join(sorted(listed)) or 'nobody'}")
