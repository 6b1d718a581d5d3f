"""What a joint dealing is for, agreed by all before it starts, and the checks that depend on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tacit.crypto.groups import Element, Randomness, Scalar
from tacit.errors import DataError, UsageError
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.keys import GroupKey, check_identifiers, check_threshold
from tacit.threshold.polynomial import commit, lagrange, sample
from tacit.threshold.suites import Suite

KEYGEN, REFRESH, RESHARE = "keygen", "refresh", "reshare"


@dataclass(frozen=True, slots=True)
class Plan:
    """State the purpose (keygen, refresh or reshare), who deals, who receives, and the new threshold."""

    kind: str
    suite: Suite
    threshold: int
    dealers: tuple[int, ...]
    receivers: tuple[int, ...]
    old: GroupKey | None = None

    def __post_init__(self) -> None:
        check_identifiers(self.dealers)
        check_identifiers(self.receivers)
        check_threshold(self.threshold, len(self.receivers))
        if self.kind not in (KEYGEN, REFRESH, RESHARE) or (self.old is None) != (self.kind == KEYGEN):
            raise UsageError("a plan generates a key, or refreshes or reshares an existing one")
        if self.dealers != tuple(sorted(self.dealers)) or self.receivers != tuple(sorted(self.receivers)):
            raise UsageError("identifiers are listed in ascending order")
        if self.old is None:
            if self.dealers != self.receivers:
                raise UsageError("in key generation everybody deals and everybody receives")
            return
        if self.old.suite is not self.suite:
            raise UsageError("a key does not change its suite")
        if self.kind == REFRESH:
            same = self.dealers == self.receivers == self.old.identifiers
            if not same or self.threshold != self.old.threshold:
                raise UsageError("a refresh keeps members and threshold, and all of them deal; else reshare")
            if self.threshold < 2:
                raise UsageError("with a threshold of 1 every share is the key; there is nothing to refresh")
        elif len(self.dealers) < self.old.threshold or any(i not in self.old.shares for i in self.dealers):
            raise UsageError(f"resharing needs {self.old.threshold} of the present members as dealers")

    @property
    def participants(self) -> tuple[int, ...]:
        """Return everybody who takes part, in ascending order."""
        return tuple(sorted(set(self.dealers) | set(self.receivers)))

    def encode(self) -> bytes:
        """Write the plan for the session id."""
        listed = [
            self.kind.encode(),
            self.suite.name.encode(),
            self.threshold.to_bytes(2, "big"),
            pack(i.to_bytes(2, "big") for i in self.dealers),
            pack(i.to_bytes(2, "big") for i in self.receivers),
            self.old.fingerprint() if self.old else b"",
        ]
        return pack(listed)


def plan_keygen(suite: Suite, threshold: int, identifiers: Sequence[int]) -> Plan:
    """Plan a fresh key."""
    ordered = tuple(sorted(identifiers))
    return Plan(KEYGEN, suite, threshold, ordered, ordered)


def plan_refresh(old: GroupKey) -> Plan:
    """Plan new shares of the same key for the same members."""
    return Plan(REFRESH, old.suite, old.threshold, old.identifiers, old.identifiers, old)


def plan_reshare(old: GroupKey, dealers: Sequence[int], receivers: Sequence[int], threshold: int) -> Plan:
    """Plan shares of the same key for other members or another threshold."""
    return Plan(RESHARE, old.suite, threshold, tuple(sorted(dealers)), tuple(sorted(receivers)), old)


def draw(plan: Plan, secret: Scalar | None, randomness: Randomness) -> tuple[Scalar, ...]:
    """Return this dealer's polynomial; ``secret`` is the present share when resharing.

    Its constant term is random for a key, zero for a refresh, and the present share when resharing.
    """
    group = plan.suite.group
    if plan.kind == KEYGEN:
        constant = group.random_scalar(randomness)
    elif plan.kind == REFRESH:
        constant = group.zero
    elif secret is None:
        raise UsageError("whoever reshares needs the present share")
    else:
        constant = secret
    return sample(constant, plan.threshold, randomness)


def _proof_challenge(plan: Plan, sid: bytes, dealer: int, key: Element, nonce: Element) -> Scalar:
    fields = (sid, plan.encode(), dealer.to_bytes(2, "big"), key.encode(), nonce.encode())
    return plan.suite.hash_proof(pack(fields))


def dealing_body(
    plan: Plan, sid: bytes, dealer: int, coefficients: Sequence[Scalar], randomness: Randomness
) -> bytes:
    """Write the commitments and, for a fresh key, the proof of possession of the constant term.

    The proof is FROST's (Komlo and Goldberg 2020, figure 1, round 1, step 2), bound to session, plan, dealer.
    """
    suite, group = plan.suite, plan.suite.group
    commitments = commit(coefficients)
    if plan.kind == REFRESH:
        return pack(c.encode() for c in commitments[1:])
    fields = [c.encode() for c in commitments]
    if plan.kind == KEYGEN:
        k = suite.h3(randomness(32) + coefficients[0].encode())
        R = group.base_mul(k)
        c = _proof_challenge(plan, sid, dealer, commitments[0], R)
        mu = k + coefficients[0] * c
        fields += [R.encode(), mu.encode()]
    return pack(fields)


def read_dealing(plan: Plan, sid: bytes, dealer: int, body: bytes) -> tuple[Element, ...]:
    """Check a dealer's commitments: their number, every element, the constant term. Raises DataError."""
    group = plan.suite.group
    if plan.kind == REFRESH:
        listed = unpack(body, plan.threshold - 1)
        return (group.identity, *(group.decode_element(field) for field in listed))
    fields = unpack(body, plan.threshold + (2 if plan.kind == KEYGEN else 0))
    commitments = tuple(group.decode_element(field) for field in fields[: plan.threshold])
    if plan.kind == RESHARE:
        assert plan.old is not None
        if commitments[0] != plan.old.shares[dealer]:
            raise DataError("another value than the present share is dealt")
        return commitments
    R, mu = group.decode_element(fields[-2]), group.decode_scalar(fields[-1])
    c = _proof_challenge(plan, sid, dealer, commitments[0], R)
    if group.base_mul(mu) != R + commitments[0].vartime_mul(c):
        raise DataError("the proof of possession is wrong")
    return commitments


def _weights(plan: Plan) -> dict[int, Scalar]:
    group = plan.suite.group
    if plan.kind == RESHARE:
        return {d: lagrange(group, plan.dealers, d) for d in plan.dealers}
    return dict.fromkeys(plan.dealers, group.one)


def joint_commitments(plan: Plan, dealings: Mapping[int, Sequence[Element]]) -> tuple[Element, ...]:
    """Return the commitments to the joint polynomial, whose values the receivers hold (refresh: add)."""
    group, weights = plan.suite.group, _weights(plan)
    dealers = plan.dealers
    return tuple(
        group.vartime_multi_mul([weights[d] for d in dealers], [dealings[d][k] for d in dealers])
        if plan.kind == RESHARE
        else group.total(dealings[d][k] for d in dealers)
        for k in range(plan.threshold)
    )


def joint_share(plan: Plan, shares: Mapping[int, Scalar], present: Scalar | None) -> Scalar:
    """Return the receiver's new share from what the dealers sent."""
    weights = _weights(plan)
    total = plan.suite.group.zero
    for dealer in plan.dealers:
        total = total + weights[dealer] * shares[dealer]
    if plan.kind == REFRESH:
        assert present is not None
        total = total + present
    return total
