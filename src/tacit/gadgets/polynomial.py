"""Polynomials with public coefficients on fixed-point shares."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from tacit.core.protocol import Protocol
from tacit.core.share import Share, join
from tacit.gadgets.waves import DIGITS, Real
from tacit.kernels.waves import turn

Array = npt.NDArray[Any]


SAMPLES = 64


@cache
def chebyshev_fit(fn: Real, lo: float, hi: float, tolerance: float) -> tuple[float, ...]:
    """Return power-basis coefficients in u = (2x − lo − hi)/(hi − lo) with error below `tolerance` on [lo, hi].

    Interpolates at Chebyshev nodes, raising the degree until the dense-grid error is small enough. Every party computes
    them for itself, so they are bit for bit alike on every machine, as in `waves.fit`: the function from decimals,
    nodes from `turn`, sums by fsum; NumPy's own fit is BLAS and the C library, which differ by processor.
    ValueError where no degree below 40 comes close enough: beside values about one float64 shows no error below 2^-48.
    """
    with localcontext(DIGITS):  # not the application's, which may differ among parties
        half, middle = Decimal(hi - lo) / 2, Decimal(hi + lo) / 2
        known = _interpolated([float(fn(Decimal(float(u)) * half + middle)) for u in _cosines(SAMPLES)[1]])
    grid: Any = np.linspace(-1, 1, 4001)
    exact = chebyshev.chebval(grid, known)
    for degree in range(1, 40):
        c = _interpolated(chebyshev.chebval(_cosines(degree + 1)[1], known))
        if np.max(np.abs(chebyshev.chebval(grid, c) - exact)) < tolerance:
            return tuple(map(float, chebyshev.cheb2poly(c)))
    raise ValueError(f"no polynomial of degree below 40 comes within {tolerance:.3g}")


@cache
def _cosines(n: int) -> Array:
    """Return T_j at the n roots of T_n, which are row 1: cos(π·j·(2k + 1)/(2n))."""
    angles = [[(j * (2 * k + 1) << 62) // n % 2**64 for k in range(n)] for j in range(n)]
    return turn(np.array(angles, np.uint64))[0]


def _interpolated(values: Any) -> Array:
    """Return the Chebyshev coefficients of the polynomial through the values at the roots of T_n."""
    n = len(values)
    sums = [math.fsum((row * np.asarray(values)).tolist()) for row in _cosines(n)]
    return np.array([sums[0] / n] + [2 * c / n for c in sums[1:]])


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
