"""Finite fields for secret sharing: Z_q for a prime q, and GF(256) on whole byte strings.

Public values (indices, Lagrange coefficients) steer the control flow; secret values never do, and no table is
indexed by a secret. Python integers are nevertheless variable-time in their length: see docs/splitting.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tacit.errors import UsageError

_AES_POLYNOMIAL = 0x11B


@dataclass(frozen=True, slots=True)
class PrimeField:
    """The integers modulo a prime `q`; elements are plain integers in [0, q)."""

    q: int

    def element(self, value: int) -> int:
        """Return `value` if it is reduced, or raise UsageError: nothing is reduced silently."""
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < self.q:
            raise UsageError("a field element is outside [0, q)")
        return value

    def evaluate(self, coefficients: Sequence[int], x: int) -> int:
        """Return the polynomial Σ coefficients[k]·x^k at `x` (Horner's rule)."""
        value = 0
        for coefficient in reversed(coefficients):
            value = (value * x + coefficient) % self.q
        return value

    def lagrange(self, xs: Sequence[int], at: int = 0) -> list[int]:
        """Return λ with f(at) = Σ λ[k]·f(xs[k]) for every f of degree below len(xs); `xs` distinct mod q."""
        out = []
        for i, xi in enumerate(xs):
            numerator, denominator = 1, 1
            for j, xj in enumerate(xs):
                if j != i:
                    numerator = numerator * (at - xj) % self.q
                    denominator = denominator * (xi - xj) % self.q
            if denominator == 0:
                raise UsageError("two interpolation points coincide")
            out.append(numerator * pow(denominator, -1, self.q) % self.q)
        return out

    def interpolate(self, xs: Sequence[int], ys: Sequence[int], at: int = 0) -> int:
        """Return f(at) for the polynomial of least degree through the points."""
        weights = self.lagrange(xs, at)
        return sum(w * y for w, y in zip(weights, ys, strict=True)) % self.q


def gf256_multiply(a: int, b: int) -> int:
    """Return a·b in GF(2^8) with the AES polynomial x^8+x^4+x^3+x+1 (FIPS 197, section 4.2)."""
    product = 0
    for bit in range(8):
        product ^= (a << bit) * (b >> bit & 1)
    for bit in range(14, 7, -1):
        product ^= (_AES_POLYNOMIAL << (bit - 8)) * (product >> bit & 1)
    return product


@lru_cache(maxsize=256)
def gf256_inverse(a: int) -> int:
    """Return a^254 = 1/a for a public non-zero `a`."""
    if not 0 < a < 256:
        raise UsageError("only 1 to 255 have an inverse in GF(256)")
    power = a
    for _ in range(6):
        power = gf256_multiply(gf256_multiply(power, power), a)
    return gf256_multiply(power, power)


def gf256_scale(data: bytes, constant: int) -> bytes:
    """Return every byte of `data` times the public `constant`.

    All bytes are doubled at once inside one big integer; which doublings are added up depends on `constant`
    alone.
    """
    size = len(data)
    low, ones = int.from_bytes(b"\x7f" * size), int.from_bytes(b"\x01" * size)
    value, total = int.from_bytes(data), 0
    for bit in range(8):
        if constant >> bit & 1:
            total ^= value
        value = ((value & low) << 1) ^ ((value >> 7 & ones) * (_AES_POLYNOMIAL & 0xFF))
    return total.to_bytes(size)


def xor(a: bytes, b: bytes) -> bytes:
    """Return the sum in GF(256) of two byte strings of one length."""
    if len(a) != len(b):
        raise UsageError("byte strings of different lengths cannot be added")
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(len(a))


def gf256_lagrange(xs: Sequence[int], at: int = 0) -> list[int]:
    """Return λ with f(at) = Σ λ[k]·f(xs[k]) over GF(256); `xs` distinct, each in [0, 255]."""
    if len(set(xs)) != len(xs) or any(not 0 <= x < 256 for x in (*xs, at)):
        raise UsageError("interpolation points must be distinct and in 0..255")
    out = []
    for i, xi in enumerate(xs):
        weight = 1
        for j, xj in enumerate(xs):
            if j != i:
                weight = gf256_multiply(weight, gf256_multiply(at ^ xj, gf256_inverse(xi ^ xj)))
        out.append(weight)
    return out


def gf256_interpolate(xs: Sequence[int], ys: Sequence[bytes], at: int = 0) -> bytes:
    """Return f(at), byte by byte, for the polynomials of least degree through the points."""
    total = bytes(len(ys[0]))
    for weight, y in zip(gf256_lagrange(xs, at), ys, strict=True):
        total = xor(total, gf256_scale(y, weight))
    return total


def gf256_evaluate(coefficients: Sequence[bytes], x: int) -> bytes:
    """Return Σ coefficients[k]·x^k, byte by byte, at the public point `x`."""
    value = bytes(len(coefficients[0]))
    for coefficient in reversed(coefficients):
        value = xor(gf256_scale(value, x), coefficient)
    return value
