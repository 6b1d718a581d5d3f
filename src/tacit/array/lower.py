"""How each operation of the table is computed on shares, at most one operand of a product being public."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import low_words
from tacit.array import constants, copies
from tacit.array.bounds import difference_bits, end_units, input_bits, least_bits, value_bits
from tacit.array.ops import Params
from tacit.array.program import PUBLIC, Aval
from tacit.core.ghost import Ghost
from tacit.core.share import Matrix, Planes, Share, join, stack_planes
from tacit.gadgets import approximate as ap

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value
    from tacit.core.protocol import Protocol

Array = npt.NDArray[Any]
Values = list["Value"]


def _public(v: Value) -> bool:
    return v.aval.where == PUBLIC


def zero(v: Value) -> bool:
    """Return whether a value is publicly zero."""
    return v.aval.where == PUBLIC and v.aval.lo == 0 == v.aval.hi


def add(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X + y."""
    x, y = v
    if _public(x):
        x, y = y, x
    if not _public(y):
        return [rt.p.add(rt.share(x), rt.share(y))]
    return [rt.share(x) if zero(y) else rt.p.add_public(rt.share(x), rt.encode(constants.once(y)))]


def sub(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X − y."""
    x, y = v
    if not (_public(x) or _public(y)):
        return [rt.p.sub(rt.share(x), rt.share(y))]
    if zero(y):
        return [rt.share(x)]
    if _public(y):
        return [rt.p.add_public(rt.share(x), rt.ring.neg(rt.encode(constants.once(y))))]
    rest = rt.p.neg(rt.share(y))
    return [rest if zero(x) else rt.p.add_public(rest, rt.encode(constants.once(x)))]


def neg(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """−x."""
    return [rt.p.neg(rt.share(v[0]))]


def mul(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """x·y; a truncation only where both carry fractional bits."""
    x, y = v
    if _public(x):
        x, y = y, x
    if _public(y):
        return [constants.multiply(rt, y, x, rt.p.mul_public)]
    both = x.aval.kind == y.aval.kind == "fixed"
    return [rt.mul(*rt.factors(x, y)) if both else rt.q.mul(rt.share(x), rt.share(y))]


def matmul(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X @ y; one truncation per entry of the result."""
    x, y = v
    if _public(x) or _public(y):
        left = _public(x)
        secret, public = (y, x) if left else (x, y)
        terms = x.aval.shape[-1]
        return [constants.multiply(rt, public, secret, lambda s, c: rt.p.matmul_public(s, c, left), terms)]
    both = x.aval.kind == y.aval.kind == "fixed"
    return [rt.matmul(*rt.factors(x, y)) if both else exact_matmul(rt.q)(rt.share(x), rt.share(y))]


def exact_matmul(p: Protocol) -> Callable[[Matrix, Matrix], Share]:
    """Return the form of F_matmul for numbers that lose no bits: where calls are left, one that may be."""
    return p.matmul_early if p.patient and p.offers("matmul_early") else p.matmul


def sum_(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """Sum over axes."""
    return [rt.p.sum(rt.share(v[0]), tuple(params["axes"]))]


def cumsum(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """Add up, keeping partial sums."""
    return [rt.p.cumsum(rt.share(v[0]), params["axis"])]


# -- comparison and logic ---------------------------------------------------------------------------------


def eq(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X = y."""
    bits = difference_bits([v[0].aval, v[1].aval], rt.f)
    d = sub(rt, v, outs, params)[0]
    return [rt.p.unpack(rt.p.is_zero(d.reshape(d.size), bits), d.shape)]


def xor(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X ≠ y on truth values."""
    x, y = v
    if _public(x):
        x, y = y, x
    if _public(y):
        return [rt.xor_public(rt.share(x), rt.public_bits(y))]
    return [rt.xor(rt.share(x), rt.share(y))]


def not_(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """NOT x."""
    return [rt.xor_public(rt.share(v[0]), np.ones((), np.uint8))]


def and_(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X AND y."""
    x, y = v
    if _public(x):
        x, y = y, x
    if _public(y):
        c = rt.public_bits(y)
        return [rt.share(x).map(lambda part: part & c)]
    return [rt.and_(rt.share(x), rt.share(y))]


def or_(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X OR y = x ⊕ y ⊕ xy."""
    return [rt.xor(xor(rt, v, outs, params)[0], and_(rt, v, outs, params)[0])]


MOST_PLANES = 64
"""Planes that meet at once: how they do is planned plane by plane."""


def every(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """AND of all rows: they are planes one above another, of whole words of lanes while there are many."""
    rows, columns = v[0].aval.shape[0], math.prod(v[0].aval.shape[1:])
    x = rt.share(v[0]).reshape(rows * columns)
    word = 64 // math.gcd(64, columns) if columns else 1
    while rows > 1 and columns:
        count = min(rows // word, MOST_PLANES)
        some = rows // count // word * word if count > 1 else -(-rows // MOST_PLANES)
        count = rows // some
        planes = rows_as_planes(rt.p, x[: count * some * columns], count, some * columns)
        met = rt.p.unpack(rt.p.and_all(planes), (some * columns,))
        left = x[count * some * columns :]
        rows = some + rows - count * some
        x = (
            rt.p.made_bits((rows * columns,))
            if isinstance(rt.p, Ghost)
            else join([met, left])
            if left.size
            else met
        )
    return [x.reshape(*outs[0].shape)]


def rows_as_planes(p: Protocol, x: Share, rows: int, columns: int) -> Planes:
    """Return every row of truth values as a plane."""
    if isinstance(p, Ghost):
        return p.made_planes(rows, columns)
    if columns % 64:
        return stack_planes([p.pack(x[i * columns : (i + 1) * columns]) for i in range(rows)])
    return Planes(tuple([a.reshape(rows, -1) for a in p.pack(x).parts]), columns)


def select(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """Y + c·(x − y); for truth values y ⊕ c(x ⊕ y)."""
    c, x, y = v
    if _public(c):
        keep = rt.public_bits(c).astype(bool)
        pairs = zip(rt.share(x).parts, rt.share(y).parts, strict=True)
        return [Share(tuple(np.where(keep, a, b) for a, b in pairs))]
    if outs[0].kind == "bool":
        other = rt.share(y)
        return [rt.xor(other, rt.and_(rt.share(c), rt.xor(rt.share(x), other)))]
    known = _public(x) and _public(y)
    d = rt.p.constant(rt.ring.sub(rt.encode(x), rt.encode(y))) if known else sub(rt, [x, y], outs, params)[0]
    chosen = rt.q.select(rt.p.pack(rt.share(c)), d.reshape(d.size)).reshape(*d.shape)
    return [plus(rt, chosen, y)]


def plus(rt: Runtime, x: Share, y: Value) -> Share:
    """X + y."""
    if zero(y):
        return x
    return rt.p.add_public(x, rt.encode(constants.once(y))) if _public(y) else rt.p.add(rt.share(y), x)


def square(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """x·x."""
    return mul(rt, [v[0], v[0]], outs, params)


def convert(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """To int or fixed, exactly."""
    a, share = v[0].aval, rt.share(v[0])
    if a.kind == "bool":
        share = rt.q.to_arith(rt.p.pack(share)).reshape(*a.shape)
    bits = rt.f + rt.rounding.extra if outs[0].kind == "fixed" and a.kind != "fixed" else 0
    return [rt.p.shl(share, bits) if bits else share]


def floor(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """Floor, exactly."""
    return [rt.p.trunc_exact(rt.share(v[0]), rt.f)]


# -- functions --------------------------------------------------------------------------------------------


def div(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """X / y; by a public y as a product with its reciprocal."""
    x, y = v
    if _public(y):
        return [constants.multiply(rt, y, x, rt.p.mul_public, inverse=True)]
    some = copies.axes(y)
    y = copies.once(rt, y, some) if some else y
    b, m, bits = _fitted(rt, y), input_bits(y.aval, rt.f), value_bits(outs[0])
    negative, least, ends = y.aval.hi < 0, least_bits(y.aval, rt.f), end_units(y.aval, rt.f)
    b = rt.p.neg(b) if negative else b
    if _is_one(x):
        out = ap.reciprocal(rt.p, b, rt.f, m, bits, max(least, 0), rt.q.ring, ends)
        return [(rt.p.neg(out) if negative else out).reshape(*outs[0].shape)]
    a = _flat(rt, x)

    def spread(s: Share) -> Share:
        return copies.spread(s.reshape(*y.aval.shape), outs[0].shape).reshape(outs[0].size) if some else s

    a = rt.p.neg(a) if negative else a
    out = ap.divide(rt.p, a, b, rt.f, m, bits, max(least, 0), rt.q.ring, ends, spread)
    return [out.reshape(*outs[0].shape)]


def _is_one(x: Value) -> bool:
    return _public(x) and x.aval.lo == x.aval.hi == 1


def sqrt(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """√x."""
    a, m = _fitted(rt, v[0]), input_bits(v[0].aval, rt.f)
    if v[0].aval.lo < 0:
        # Negative by rounding alone: the exact range is not.
        bits = difference_bits([v[0].aval, Aval((), v[0].aval.kind, 0, 0)], rt.f)
        a = rt.p.select(rt.p.invert(rt.p.sign(a, bits)), a)
    bits, least, ends = value_bits(outs[0]), least_bits(v[0].aval, rt.f), end_units(v[0].aval, rt.f)
    return [ap.sqrt(rt.p, a, rt.f, m, bits, least, rt.q.ring, ends).reshape(*outs[0].shape)]


def rsqrt(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """1/√x."""
    a, m = _fitted(rt, v[0]), input_bits(v[0].aval, rt.f)
    bits, least, ends = value_bits(outs[0]), max(least_bits(v[0].aval, rt.f), 0), end_units(v[0].aval, rt.f)
    return [ap.rsqrt(rt.p, a, rt.f, m, bits, least, rt.q.ring, ends).reshape(*outs[0].shape)]


def exp(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """e^x."""
    a = v[0].aval
    return [ap.exp(rt.p, _flat(rt, v[0]), rt.f, a.lo, a.hi, rt.q.ring).reshape(*a.shape)]


def log(rt: Runtime, v: Values, outs: list[Aval], params: Params) -> list[Share]:
    """Ln x."""
    a = v[0].aval
    m, least = input_bits(a, rt.f), max(least_bits(a, rt.f), 0)
    return [ap.log(rt.p, _flat(rt, v[0]), rt.f, m, least, rt.q.ring, end_units(a, rt.f)).reshape(*a.shape)]


def _fitted(rt: Runtime, v: Value) -> Share:
    """Return what a series is fitted to: where no more than a word of it is needed, that, so nothing reads the rest."""
    return _flat(rt, v).map(low_words) if rt.rounding.of else _flat(rt, v)


def _flat(rt: Runtime, v: Value) -> Share:
    share = rt.share(v)
    return share.reshape(share.size)
