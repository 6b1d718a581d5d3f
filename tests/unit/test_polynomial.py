"""Polynomials that every party finds for itself: the same bits on every machine, and close to the function."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from decimal import ROUND_UP, Context, Decimal, localcontext

import numpy as np
import pytest
import scipy.special as sp

from tacit.array import elementary, inverse_functions
from tacit.gadgets import approximate
from tacit.gadgets.polynomial import chebyshev_fit
from tacit.gadgets.waves import Real

# Function, exact value, interval, bits of the tolerance, hash of the coefficients.
FITS: dict[str, tuple[Real, Callable[..., object], float, float, int, str]] = {
    "reciprocal": (approximate._reciprocal, lambda v: 1 / v, 0.5, 1.0, 11, "bbfb61d7f1927b9f"),
    "inverse root": (approximate._inverse_root, lambda v: 1 / np.sqrt(v), 0.25, 1.25, 9, "ba2162d160e0f9dd"),
    "log": (Decimal.ln, np.log, 0.5, 1.0, 27, "d1caba85148b85c4"),
    "log, 128 bits": (Decimal.ln, np.log, 0.5, 1.0, 47, "e3f6fa0ee728191c"),
    "exp2": (approximate._exp2, np.exp2, 0.0, 1.0, 27, "de722c2c60818b0e"),
    "exp2, 128 bits": (approximate._exp2, np.exp2, 0.0, 1.0, 47, "baac5490e3a0f5bc"),
    "sinc": (
        elementary.sinc_of_square,
        lambda v: np.sinc(np.sqrt(v) / np.pi),
        0.0,
        4.0,
        45,
        "958e4ea95ea9f32b",
    ),
    "atan": (
        elementary._arctan_series,
        lambda v: np.arctan(np.sqrt(v)) / np.sqrt(v),
        0.0,
        1.0,
        45,
        "539768b68dc6dadd",
    ),
    "erfc": (elementary._by_share, lambda v: sp.erfcx(2 / v - 2), 0.25, 1.0, 45, "439bd78695f9e987"),
    "asin": (
        inverse_functions._asin_series,
        lambda v: np.arcsin(np.sqrt(v)) / np.sqrt(v),
        0.0,
        0.26,
        45,
        "a941c7df571fff08",
    ),
    "erfinv": (inverse_functions._by_gap, lambda v: _erfinv(v), 0.0, 5.0, 45, "fc132292be089d83"),
    "erfinv, far": (inverse_functions._by_root, lambda v: _erfinv(v * v), 2.2, 6.0, 45, "d08de140cbf9162f"),
}


def _erfinv(gap: np.ndarray) -> np.ndarray:
    x = np.sqrt(-np.expm1(-gap))
    return (
        np.where(x < 0.5, sp.erfinv(np.minimum(x, 0.5)), -sp.ndtri(np.exp(-gap) / (1 + x) / 2) / math.sqrt(2))
        / x
    )


@pytest.mark.parametrize("name", FITS)
def test_coefficients_are_those_of_every_machine(name: str) -> None:
    """Parties that multiply by constants one bit apart hold no sharing of anything any more."""
    fn, _, lo, hi, bits, digest = FITS[name]
    found = " ".join(c.hex() for c in chebyshev_fit(fn, lo, hi, 2.0**-bits))
    assert hashlib.sha256(found.encode()).hexdigest()[:16] == digest


def test_coefficients_are_those_of_every_application() -> None:
    """One party's may have set decimals to few digits."""
    fn, _, lo, hi, bits, _ = FITS["asin"]
    with localcontext(Context(prec=5, rounding=ROUND_UP)):
        found = chebyshev_fit.__wrapped__(fn, lo, hi, 2.0**-bits)
    assert found == chebyshev_fit(fn, lo, hi, 2.0**-bits)


@pytest.mark.parametrize("name", FITS)
def test_the_error_is_below_the_tolerance(name: str) -> None:
    fn, exact, lo, hi, bits, _ = FITS[name]
    c = chebyshev_fit(fn, lo, hi, 2.0**-bits)
    x = np.linspace(lo, hi, 1003)[1:]
    u = (2 * x - lo - hi) / (hi - lo)
    assert len(c) <= 29
    assert np.max(np.abs(np.polynomial.polynomial.polyval(u, c) - np.asarray(exact(x)))) < 1.02 * 2.0**-bits
