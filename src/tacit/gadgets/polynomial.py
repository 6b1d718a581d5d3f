"""Polynomials with public coefficients on fixed-point shares."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from tacit.core.protocol import Protocol
from tacit.core.share import Share, join


@cache
def chebyshev_fit(
    fn: Callable[[np.ndarray], np.ndarray], lo: float, hi: float, tolerance: float
) -> tuple[float, ...]:
    """Return power-basis coefficients in u = (2x − lo − hi)/(hi − lo) with error below `tolerance` on [lo, hi].

    Interpolates at Chebyshev nodes, raising the degree until the dense-grid error is small enough.
    """
    grid = np.linspace(-1, 1, 4001)
    exact = fn((grid * (hi - lo) + lo + hi) / 2)
    for degree in range(1, 40):
        c: Any = chebyshev.chebinterpolate(lambda u: fn((u * (hi - lo) + lo + hi) / 2), degree)
        if np.max(np.abs(chebyshev.chebval(grid, c) - exact)) < tolerance or degree == 39:
            return tuple(chebyshev.cheb2poly(c))
    raise AssertionError("unreachable")


def centred(p: Protocol, x: Share, lo: float, hi: float, s: int) -> Share:
    """Return u = (2x − lo − hi)/(hi − lo) for an interval whose width is a power of two; x has s bits."""
    width = hi - lo
    shift = round(1 - np.log2(width))
    ring = p.ring
    moved = p.add_public(p.shl(x, shift), ring.encode_floats(-(lo + hi) / width, s))
    return moved


def evaluate(p: Protocol, u: Share, coefficients: tuple[float, ...], s: int) -> Share:
    """Return Σ c_i u^i with s fractional bits; |u| ≤ 1. Powers in log2(degree) steps, one truncation for the sum."""
    ring, degree, n = p.ring, len(coefficients) - 1, u.shape[0]
    powers = {1: u}
    have = 1
    while have < degree:
        new = range(have + 1, min(2 * have, degree) + 1)
        left = join([powers[have] for _ in new])
        right = join([powers[i - have] for i in new])
        product = p.mul_trunc(left, right, s)
        for j, i in enumerate(new):
            powers[i] = product[j * n : (j + 1) * n]
        have = new[-1]
    total = p.mul_public(powers[1], ring.encode_floats(coefficients[1], s))
    for i in range(2, degree + 1):
        total = p.add(total, p.mul_public(powers[i], ring.encode_floats(coefficients[i], s)))
    return p.add_public(p.trunc(total, s), ring.encode_floats(coefficients[0], s))
