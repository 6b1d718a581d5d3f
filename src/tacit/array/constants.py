"""Products with public values, as exact as the format.

A constant c meets a secret x as the integer C = round(c·2^t), and the product is truncated. The rounding of c
costs |x|·2^-(t+1), so t follows from the range of x; where the ring is too narrow for such a C, what is left of
c after t bits becomes a second, small constant with more bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import intervals as iv
from tacit.array.program import Aval
from tacit.core.share import Share

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
# The rounding of the constant stays below 2^-SPARE units of the result's last place.
SPARE = 4


@dataclass(frozen=True, slots=True)
class Split:
    """Bits t of the constant, and bits of the second part, 0 if one part is enough."""

    first: int
    second: int = 0

    def units(self, exact: bool = False) -> float:
        """Error of the product in units of the last place."""
        return (1.0 if exact or not self.second else 2.0) + 2.0**-SPARE


def split(k: int, f: int, secret: Aval, magnitude: float, terms: int = 1) -> Split:
    """Choose the bits of a constant of this magnitude in a sum of `terms` products with `secret`."""
    frac = f if secret.kind == "fixed" else 0
    reach = secret.magnitude * terms
    want = f + SPARE - 1 + iv.bits_of(reach, 0)

    def room(size: float) -> int:
        return k - 3 - iv.bits_of(reach * max(size, 2.0**-200), frac)

    first = max(0, min(want, room(magnitude)))
    if first >= want:
        return Split(first)
    return Split(first, max(first + 1, min(want, room(2.0 ** -(first + 1)))))


def multiply(
    rt: Runtime,
    public: Value,
    secret: Value,
    product: Callable[[Array], Share],
    terms: int = 1,
    inverse: bool = False,
) -> Share:
    """Return the truncated product of a secret with a public value, or with its reciprocal.

    `product` multiplies the secret's share with an encoded constant.
    """
    if public.aval.kind != "fixed":
        return product(rt.encode(public, 0))
    span = (public.aval.lo, public.aval.hi)
    lo, hi = iv.reciprocal(span) if inverse else span
    c, rest = _value(public, inverse)
    bits = split(rt.fmt.width, rt.f, secret.aval, max(abs(lo), abs(hi)), terms)
    if public.constant and not np.any(rest):
        bits = next((Split(t) for t in range(bits.first) if _whole(c, t)), bits)
    near = np.ldexp(np.rint(np.ldexp(c, bits.first)), -bits.first)
    rest = (c - near) + rest
    frac = rt.f if secret.aval.kind == "fixed" else 0

    def part(encoded: Array, t: int) -> Share:
        agreed = encoded if public.exact else rt.p.agree(encoded)
        return rt.rescale(product(agreed), frac + t - rt.f)

    ring = rt.ring
    first = ring.encode_floats(near, bits.first)
    if not bits.second:
        return part(ring.add(first, ring.encode_floats(rest, bits.first)), bits.first)
    return rt.p.add(part(first, bits.first), part(ring.encode_floats(rest, bits.second), bits.second))


def _whole(c: Array, t: int) -> bool:
    scaled = np.ldexp(c, t)
    return bool(np.array_equal(scaled, np.rint(scaled)))


def _value(v: Value, inverse: bool) -> tuple[Array, Array]:
    """Return the factor as a float64 and what that misses of it."""
    y = np.zeros(v.aval.shape) if v.data is None else np.asarray(v.data, np.float64)
    if not inverse or v.data is None:
        return y, np.zeros_like(y)
    c = 1.0 / y
    # 1 − c·y exactly, by Dekker's product of halves; the reciprocal is c + (1 − c·y)/y to twice the precision.
    product = c * y
    (ch, cl), (yh, yl) = _halves(c), _halves(y)
    missed = ((ch * yh - product) + ch * yl + cl * yh) + cl * yl
    return c, ((1.0 - product) - missed) / y


def _halves(a: Array) -> tuple[Array, Array]:
    t = 134217729.0 * a
    high = t - (t - a)
    return high, a - high
