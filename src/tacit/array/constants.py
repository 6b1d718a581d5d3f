"""Products with public values, as exact as the format.

A constant c meets a secret x as the integer C = round(c·2^t), and the product is truncated. The rounding of c
costs |x|·2^-(t+1), so t follows from the range of x. Where the ring is too narrow for such a C, x first loses
bits that a small c makes invisible, and what is left of c after t bits becomes another, smaller constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.array import intervals as iv
from tacit.array.program import PUBLIC, Aval
from tacit.core.share import Share

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value
    from tacit.array.steps import Step

Array = npt.NDArray[Any]
Factors = tuple[int, list[tuple[int, Array]]]
"""Bits that a secret loses first; the bits of each part of a constant, and that part as ring elements."""
# What is rounded away before the last truncations stays below 2^-SPARE units of the last place, each time.
SPARE = 4
MAX_PARTS = 12


@dataclass(frozen=True, slots=True)
class Split:
    """Bits that the secret loses first, and the bits t of each part of the constant."""

    drop: int
    parts: tuple[int, ...]
    left: float
    """Units of the last place that the rounding of the last part costs."""
    room: int
    """Bits of a constant that fit beside all bits of the secret: with so many, one that has no more is whole."""

    def units(self) -> float:
        """Return the bound on the product's error in units of the last place."""
        return len(self.parts) + self.left + (2.0**-SPARE if self.drop else 0)


def split(k: int, f: int, secret: Aval, magnitude: float, terms: int = 1) -> Split:
    """Choose the bits of a constant of this magnitude in a sum of `terms` products with `secret`."""
    frac = f if secret.kind == "fixed" else 0
    reach = secret.magnitude * terms
    want = f + SPARE - 1 + iv.bits_of(reach, 0)
    size = max(magnitude, 2.0**-200)

    def room(part: float, drop: int) -> int:
        return k - 3 - iv.bits_of(reach * part, max(frac - drop, 0))

    first = max(0, min(want, room(size, 0)))
    if first >= want:
        return Split(0, (first,), 2.0**-SPARE, first)
    # A dropped bit of x is worth c bits of the result.
    drop = max(0, min(frac, math.floor(-math.log2(size * terms)) - SPARE - 1))
    parts = [max(0, min(want, room(size, drop)))]
    while parts[-1] < want and len(parts) < MAX_PARTS:
        parts.append(max(parts[-1] + 1, min(want, room(2.0 ** -(parts[-1] + 1), drop))))
    return Split(drop, tuple(parts), max(2.0**-SPARE, reach * 2.0 ** (f - parts[-1] - 1)), first)


def once(v: Value) -> Value:
    """Return a public value without the axes along which an array repeats, of one element instead, or as it is.

    Of what differs by machine every element is agreed on: that stays as it is, too.
    """
    if v.one is not None:
        return v.one
    if not (isinstance(v.data, np.ndarray) and v.exact and v.data.ndim and v.data.size > 1):
        return v
    repeats = [n > 1 and step == 0 for n, step in zip(v.data.shape, v.data.strides, strict=True)]
    if not any(repeats):
        return v
    first = v.data[tuple(slice(1 if repeated else None) for repeated in repeats)]
    aval = replace(v.aval, shape=first.shape)
    v.one = replace(v, aval=aval, data=first, share=None, encoded=None, factors=None)
    return v.one


def multiply(
    rt: Runtime,
    public: Value,
    secret: Value,
    product: Callable[[Share, Array], Share],
    terms: int = 1,
    inverse: bool = False,
) -> Share:
    """Return the truncated product of a secret with a public value, or with its reciprocal.

    `product` multiplies a share with an encoded constant; each result adds up `terms` products.
    """
    x, coarse = rt.held(secret), rt.coarse.pop((id(secret), id(public), inverse), None)
    if terms == 1 and public.aval.shape == secret.aval.shape:
        public = once(public)
    if public.aval.kind != "fixed":
        return product(x, rt.encode(public, 0))
    drop, factors = _known(rt, public, secret.aval, terms, inverse)
    if coarse is not None:
        x = coarse[1]
    elif drop:
        x = rt.rescale(x, drop)
        rt.p.settle()
    frac = (rt.f if secret.aval.kind == "fixed" else 0) + secret.extra - drop
    kept = rt.f + rt.rounding.extra

    def part(t: int, encoded: Array) -> Share:
        units = rt.fitted(encoded)
        return rt.rescale(product(x, units if public.exact else rt.p.agree(units)), frac + t - kept)

    if len(factors) == 1:
        return part(*factors[0])
    with rt.p.together():
        return rt.p.total([part(*each) for each in factors])


def coarsen(rt: Runtime, steps: Sequence[Step], env: Mapping[int, Value]) -> int:
    """Let what loses bits before a product with a number lose them in one round, for several products that follow.

    Of each the bits are those that it loses by itself; `multiply` takes it from `rt.coarse`. Returns the number of the
    last call that was left before, as all have ended then, or 0.
    """
    found: list[tuple[Step, Value, Value, int]] = []
    for step in steps:
        if not step.left and step.op is None and step.move is None:
            break  # it may send messages of its own
        values = [env[v] for v in step.eqn.ins if v in env] if step.sheds and not step.rounding.done else ()
        if len(values) == 2:
            known = [v.constant and v.aval.where == PUBLIC and v.aval.kind == "fixed" for v in values]
            x, c = values if known[1] else values[::-1]
            # What is read must be read once, as it is.
            here = x.share is not None and not x.same
            if sum(known) == 1 and here and all(x is not other for _, other, _, _ in found):
                number = once(c) if c.aval.shape == x.aval.shape else c
                drop, _ = _known(rt.words(step.rounding.word), number, x.aval, 1, step.eqn.op == "div")
                found += [(step, x, c, drop)] if drop else []
    late = [not steps[0].late.isdisjoint(step.eqn.ins) for step, *_ in found]
    if any(late) and found[0][0] is steps[0]:
        rt.p.settle()  # as the first would let all end, to lose bits by itself
    else:
        found = [each for each, waits in zip(found, late, strict=True) if not waits]
    if len(found) < 2:
        return 0
    before, rt.p.patient, rt.p.number = rt.p.patient, True, steps[0].left
    for step, x, c, drop in found:
        rt.rounding = step.rounding
        words = rt.words(step.rounding.word)
        rt.coarse[id(x), id(c), step.eqn.op == "div"] = x, words.rescale(words.held(x), drop)
    rt.p.patient = before
    rt.p.settle()
    return steps[0].left - 1


def _known(rt: Runtime, public: Value, secret: Aval, terms: int, inverse: bool) -> Factors:
    """Return what `_factors` does; of a constant the second time from memory."""
    how = (secret.kind, secret.magnitude, terms, inverse)
    if public.factors is not None and public.factors[0] == how:
        return public.factors[1]
    found = _factors(rt, public, secret, terms, inverse)
    if public.constant:
        public.factors = how, found
    return found


def _factors(rt: Runtime, public: Value, secret: Aval, terms: int, inverse: bool) -> Factors:
    """Split a public value, or its reciprocal, for products with a secret of these bounds."""
    span = (public.aval.lo, public.aval.hi)
    lo, hi = iv.reciprocal(span) if inverse else span
    c, rest = _value(public, inverse)
    plan = split(rt.fmt.width, rt.f, secret, max(abs(lo), abs(hi)), terms)
    if public.constant and not np.any(rest):
        few = fraction_bits(c.flat[:64])
        t = few if few > plan.room else fraction_bits(c)
        # Not by the first part: where the secret loses bits, that has more than fit beside all of them.
        plan = Split(0, (t,), 0.0, plan.room) if t <= min(plan.room, 1022) else plan
    made, ring = [], Ring(rt.fmt.width)
    for at, t in enumerate(plan.parts):
        near = np.ldexp(np.rint(np.ldexp(c, t)), -t)
        rest = (c - near) + rest
        encoded = ring.encode_floats(near, t)
        if at == len(plan.parts) - 1:
            encoded = ring.add(encoded, ring.encode_floats(rest, t))
        made.append((t, encoded))
        c, rest = rest, np.zeros_like(rest)
    return plan.drop, made


def fraction_bits(c: Array) -> int:
    """Return the least t for which all of c·2^t is whole."""
    mantissa, exponent = np.frexp(c[c != 0])
    digits = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = np.frexp((digits & -digits).astype(np.float64))[1] - 1  # the place of the lowest digit
    return max(0, int(np.max(53 - lowest - exponent, initial=0)))


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
