"""Verifiable sharing of a scalar: every holder checks its own share against public commitments.

Feldman, "A practical scheme for non-interactive verifiable secret sharing" (FOCS 1987): commitments g^a_k;
they reveal g^secret, so the secret must be a random key. Pedersen, "Non-interactive and information-theoretic
secure verifiable secret sharing" (CRYPTO 1991): commitments g^a_k·h^b_k reveal nothing at all. Groups are
written additively in code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tacit.algebra.field import PrimeField
from tacit.crypto.groups import Element, Group, Randomness, Scalar
from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold.split import check_indices, check_threshold

MAX_SHARES = 255


@dataclass(frozen=True, slots=True)
class ScalarShare:
    """One share; `blind` is None in Feldman's scheme."""

    index: int
    value: Scalar = field(repr=False)
    blind: Scalar | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Commitments:
    """The public part: exactly `threshold` elements, one a coefficient; `pedersen` says which scheme."""

    group: Group
    threshold: int
    count: int
    elements: tuple[Element, ...]
    pedersen: bool = False

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.count, MAX_SHARES)
        if len(self.elements) != self.threshold:
            # A longer vector is a polynomial of higher degree: the holders could then never combine.
            raise DataError(f"{len(self.elements)} commitments do not fit a threshold of {self.threshold}")

    def at(self, index: int) -> Element:
        """Return the commitment to share `index`: Σ index^k · elements[k]."""
        check_indices([index], self.count)
        total = self.elements[-1]
        for element in reversed(self.elements[:-1]):
            total = total.vartime_mul(self.group.scalar(index)) + element
        return total


@lru_cache(maxsize=16)
def second_generator(group: Group) -> Element:
    """Return h, whose logarithm to the base g nobody knows (hashed to the group, RFC 9380)."""
    return group.vartime_hash_to_element(b"second generator", b"tacit/vss/" + group.name.encode())


def _polynomial(group: Group, constant: Scalar, threshold: int, randomness: Randomness) -> list[Scalar]:
    return [constant, *(group.random_scalar(randomness) for _ in range(threshold - 1))]


def _evaluate(coefficients: Sequence[Scalar], index: int) -> Scalar:
    group = coefficients[0].group
    x, total = group.scalar(index), coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def feldman(
    secret: Scalar, threshold: int, count: int, randomness: Randomness
) -> tuple[Commitments, list[ScalarShare]]:
    """Deal a random, non-zero `secret`; publishes g^secret."""
    check_threshold(threshold, count, MAX_SHARES)
    if secret.is_zero():
        raise UsageError("Feldman's scheme shares a random non-zero key; zero would be recognised")
    group = secret.group
    a = _polynomial(group, secret, threshold, randomness)
    public = Commitments(group, threshold, count, tuple(group.base_mul(x) for x in a))
    return public, [ScalarShare(i, _evaluate(a, i)) for i in range(1, count + 1)]


def pedersen(
    secret: Scalar, threshold: int, count: int, randomness: Randomness
) -> tuple[Commitments, list[ScalarShare]]:
    """Deal any `secret`; the commitments are uniform whatever it is."""
    check_threshold(threshold, count, MAX_SHARES)
    group = secret.group
    h = second_generator(group)
    a = _polynomial(group, secret, threshold, randomness)
    b = _polynomial(group, group.random_scalar(randomness), threshold, randomness)
    elements = tuple(group.base_mul(x) + y * h for x, y in zip(a, b, strict=True))
    public = Commitments(group, threshold, count, elements, pedersen=True)
    return public, [ScalarShare(i, _evaluate(a, i), _evaluate(b, i)) for i in range(1, count + 1)]


def is_valid(public: Commitments, share: ScalarShare) -> bool:
    """Say whether the share lies on the committed polynomial; DataError for an impossible index."""
    if (share.blind is not None) != public.pedersen:
        return False
    expected = public.at(share.index)
    mine = public.group.base_mul(share.value)
    if share.blind is not None:
        mine = mine + share.blind * second_generator(public.group)
    return mine == expected


def combine(
    public: Commitments, shares: Sequence[ScalarShare], holders: Mapping[int, str] | None = None
) -> Scalar:
    """Return the secret; PeerMisbehaved names whoever gave a wrong share, even if enough others are right.

    `holders` gives the names for indices; without it a holder is called "share 3".
    """
    check_indices([s.index for s in shares], public.count)
    wrong = [s.index for s in shares if not is_valid(public, s)]
    if wrong:
        names = [(holders or {}).get(i, f"share {i}") for i in wrong]
        raise PeerMisbehaved(f"{', '.join(names)}: the share does not match the public commitments", names)
    if len(shares) < public.threshold:
        raise DataError(f"{public.threshold} shares are needed; {len(shares)} were given")
    used = shares[: public.threshold]
    weights = PrimeField(public.group.order).lagrange([s.index for s in used])
    total = public.group.zero
    for weight, share in zip(weights, used, strict=True):
        total = total + public.group.scalar(weight) * share.value
    return total
