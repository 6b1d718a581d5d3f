"""Polynomials over the scalars, in the clear and in the exponent: what every protocol here stands on."""

from __future__ import annotations

from collections.abc import Sequence

from tacit.crypto.groups import Element, Group, Randomness, Scalar
from tacit.errors import UsageError


def sample(constant: Scalar, threshold: int, randomness: Randomness) -> tuple[Scalar, ...]:
    """Return the ``threshold`` coefficients of a random polynomial with the given constant term."""
    group = constant.group
    return (constant, *(group.random_scalar(randomness) for _ in range(threshold - 1)))


def evaluate(coefficients: Sequence[Scalar], x: int) -> Scalar:
    """Evaluate at a public non-zero point by Horner's rule, in constant time (RFC 9591, appendix C.1.1)."""
    if x <= 0:
        raise UsageError("a share lies at a positive point; the secret lies at 0")
    point = coefficients[0].group.scalar(x)
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = value * point + coefficient
    return value


def commit(coefficients: Sequence[Scalar]) -> tuple[Element, ...]:
    """Return the Feldman commitments to the coefficients (RFC 9591, appendix C.2, vss_commit)."""
    return tuple(c.group.base_mul(c) for c in coefficients)


def vartime_evaluate_committed(commitments: Sequence[Element], x: int) -> Element:
    """Evaluate a committed polynomial in the exponent (RFC 9591, appendix C.2)."""
    point = commitments[0].group.scalar(x)
    value = commitments[-1]
    for commitment in reversed(commitments[:-1]):
        value = value.vartime_mul(point) + commitment
    return value


def lagrange(group: Group, identifiers: Sequence[int], identifier: int, x: int = 0) -> Scalar:
    """Return the weight of ``identifier`` when interpolating at a public point ``x`` (RFC 9591, 4.2)."""
    if len(set(identifiers)) != len(identifiers):
        raise UsageError("an identifier appears twice")
    if identifier not in identifiers or any(i <= 0 for i in identifiers):
        raise UsageError("interpolation is over positive identifiers that include one's own")
    numerator, denominator = 1, 1
    for other in identifiers:
        if other != identifier:
            numerator = numerator * (x - other) % group.order
            denominator = denominator * (identifier - other) % group.order
    return group.scalar(numerator * pow(denominator, -1, group.order))


def vartime_interpolate_committed(points: dict[int, Element], x: int) -> Element:
    """Interpolate public elements at ``x``."""
    group = next(iter(points.values())).group
    identifiers = sorted(points)
    weights = [lagrange(group, identifiers, i, x) for i in identifiers]
    return group.vartime_multi_mul(weights, [points[i] for i in identifiers])
