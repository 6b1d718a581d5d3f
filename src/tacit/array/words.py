"""Whole numbers as bits, in two's complement, and sums of bits with public weights (docs/decisions/0093)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.array import compare
from tacit.array import lower as lw
from tacit.array.bounds import fits
from tacit.array.ops import Op, Params, need_kind
from tacit.array.program import Aval
from tacit.core.ghost import Ghost
from tacit.core.protocol import Protocol
from tacit.core.share import Planes, Share
from tacit.errors import ShapeError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]


# -- the bits of a number ---------------------------------------------------------------------------------


def _bits_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "bits", "int")
    return [Aval((len(params["at"]), *ins[0].shape), "bool", 0, 1)]


def _bits_clear(vals: list[Array], params: Params) -> list[Array]:
    x = np.asarray(vals[0])
    at = np.array(params["at"], np.int64).reshape(-1, *[1] * x.ndim)
    return [((x >> at) & 1).astype(bool)]


def _bits_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of the number itself, and as many as are looked at."""
    return max(fits(ins, ins, params, f), params["at"][-1] + 1)


def _bits_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Every bit by one adder; a single one by the carry into it alone."""
    return [_found(rt, rt.share(v[0]), params["at"]).reshape(*outs[0].shape)]


def side_by_side(rt: Runtime, ins: list[Value], outs: Sequence[Aval], at: Sequence[int]) -> list[Share]:
    """Return the same bits of several numbers, by one adder for all."""
    found = _found(rt, rt.share(rt.in_a_row(ins)), at)
    ends = np.cumsum([0, *(v.aval.size for v in ins)]).tolist()
    columns = zip(ends, ends[1:], outs, strict=False)
    return [found[:, start:stop].reshape(*a.shape) for start, stop, a in columns]


def _found(rt: Runtime, x: Share, at: Sequence[int]) -> Share:
    """Return bits of shares, a row for each place."""
    x, top = x.reshape(x.size), at[-1]
    if not x.size:
        return rt.p.constant_bits(np.zeros((len(at), 0), np.uint8))
    planes = rt.p.sign(x, top) if len(at) == 1 else rt.p.decompose(x, top + 1)[np.array(at)]
    return _rows(rt.p, planes)


def _rows(p: Protocol, planes: Planes) -> Share:
    """Return every plane as a row of truth values."""
    if isinstance(p, Ghost):
        return p.made_bits((planes.planes, planes.n))
    rows = [p.unpack(planes[i], (planes.n,)) for i in range(planes.planes)]
    return Share(tuple([np.stack(parts) for parts in zip(*(row.parts for row in rows), strict=True)]))


# -- the number that bits make ----------------------------------------------------------------------------


def _word_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "word", "bool")
    (a,), weights = ins, params["weights"]
    if not a.shape or a.shape[0] != len(weights):
        raise ShapeError(f"word: {len(weights)} weights for truth values of shape {a.shape}")
    return [Aval(a.shape[1:], "int", *compare.span(weights))]


def _word_clear(vals: list[Array], params: Params) -> list[Array]:
    return [compare.weighted_sum(list(np.asarray(vals[0])), params["weights"])]


def _word_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Σ w·b over rows of bits."""
    weights, n = params["weights"], math.prod(outs[0].shape)
    if not n:
        return [rt.p.constant(rt.ring.zeros(outs[0].shape))]
    held = rt.share(v[0])
    planes = lw.rows_as_planes(rt.p, held.reshape(held.size), len(weights), n)
    return [compare.weighted(rt, planes, compare.encoded(rt, weights, outs[0])).reshape(*outs[0].shape)]


# -- the upper or the lower part of a number ---------------------------------------------------------------


def width(lo: float, hi: float) -> int:
    """Return how many bits the numbers of a range have, with that of their sign if any may be negative."""
    return max(int(hi), -int(lo) - 1).bit_length() + (lo < 0)


def _part_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "part", "int")
    a, by = ins[0], params["by"]
    span = (0, 2**by - 1) if params["low"] else (int(a.lo) >> by, int(a.hi) >> by)
    return [Aval(a.shape, "int", *span)]


def _part_clear(vals: list[Array], params: Params) -> list[Array]:
    x, by = np.asarray(vals[0]), params["by"]
    return [np.asarray(x & ((1 << by) - 1) if params["low"] else x >> by)]


def _part_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of the number itself, and of the places that are cut off."""
    return max(fits(ins, [*ins, *outs], params, f), params["by"])


def looked_at(p: Protocol, into: int, n: int, a: Aval, params: Params) -> int:
    """Return how many bits of numbers are taken to add up those of a part over `into` bits; 0 to cut by a carry.

    Whichever is worth less, counting that what makes the numbers sends only the bits that are looked at.
    """
    by, last = params["by"], _last(a, params)
    if not p.offers("combine") or p.ring.wide:
        return 0
    count = last if params["low"] else last - by
    add = p.over(Ring(into)).price(("combine", n * count, {"planes": count, "widths": (into,)}))
    taken = p.price(("decompose", n, {"bits": last})) + add
    carried = p.price(("trunc_exact", n, {"f": by})) + n * (p.ring.width - last) // 8
    return last if taken < carried else 0


def _last(a: Aval, params: Params) -> int:
    return int(params["by"] if params["low"] else max(width(a.lo, a.hi), params["by"] + 1))


def _part_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Cut off low bits by their carry, or add up the bits that are wanted, whichever is cheaper."""
    a, by, low, x = v[0].aval, params["by"], params["low"], rt.share(v[0])
    last = looked_at(rt.p, rt.q.ring.width, x.size, a, params) if x.size else 0
    if not last:
        upper = rt.p.trunc_exact(x, by)
        return [rt.p.sub(x, rt.p.shl(upper, by)) if low else upper]
    first = 0 if low else by
    planes = rt.p.decompose(x.reshape(x.size), last)[np.arange(first, last)]
    units = compare.encoded(rt, weights_of(range(last - first), a.lo < 0 and not low), outs[0])
    return [compare.weighted(rt, planes, units).reshape(*a.shape)]


def weights_of(places: Sequence[int], signed: bool) -> Array:
    """Return the weights of bits at these places, of which the last is the sign of `signed` numbers."""
    weights = 2 ** np.array(places, np.int64)
    weights[-1] *= -1 if signed else 1
    return weights


ENTRIES = [
    Op("bits", _bits_abstract, _bits_clear, _bits_lower, _bits_need, local=False),
    Op("part", _part_abstract, _part_clear, _part_lower, _part_need, local=False),
    Op("word", _word_abstract, _word_clear, _word_lower, local=False),
]
