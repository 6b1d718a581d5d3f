"""Rows of a table by index, and the sum of rows by index; who may see the index decides how.

By a public index rows just move. By an index that a party or nobody knows, the index becomes bits of which one is
set: of its high part and of its low part, so that a table of n rows takes about 2√n of them, not n. Their products
with the table are exact: no truncation, and every row is touched alike. What several look-ups and sums ask of one
index, `hot` makes once (`array/once_hot.py` puts it there); its bits then are further operands.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import intervals as iv
from tacit.array.bounds import fits
from tacit.array.ops import Op, Params, need_kind
from tacit.array.program import PUBLIC, Aval
from tacit.core.ghost import Ghost
from tacit.core.share import Planes, Share, in_order, stack_planes
from tacit.errors import NotRealised, RangeError, ShapeError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]


def _check(rows: Aval, index: Aval, size: int, what: str) -> None:
    need_kind([index], f"{what}'s index", "int")
    if len(rows.shape) != 3 or len(index.shape) != 2 or rows.shape[0] != index.shape[0]:
        raise ShapeError(
            f"{what}: rows {rows.shape} and index {index.shape} are not (blocks, n, k) and (blocks, m)"
        )
    if index.size and not 0 <= index.lo <= index.hi < size:
        raise RangeError(
            f"{what}: an index in [{index.lo:g}, {index.hi:g}] may leave the {size} rows; clip it, or declare its bound"
        )


# -- look-up ----------------------------------------------------------------------------------------------


def _lookup_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    table, index = ins[:2]
    need_kind([table], "lookup", "int", "fixed", "bool")
    _check(table, index, table.shape[1] if len(table.shape) == 3 else 0, "lookup")
    _check_hot(ins, "lookup")
    return [Aval((*index.shape, table.shape[2]), table.kind, table.lo, table.hi)]


def _rows(table: Array, index: Array) -> Array:
    return table[np.arange(len(table))[:, None], index]


def _lookup_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Return Σ_h [high = h] Σ_l [low = l]·table[h, l]: the sum over h first, for all l at once."""
    table, index = v[:2]
    if index.aval.where == PUBLIC:
        held = rt.share(table)
        if isinstance(rt.p, Ghost):
            return [rt.p.made(outs[0].shape)]
        assert index.data is not None
        at = np.asarray(index.data)
        return [held.map(lambda part: _rows(part, at))]
    blocks, n, k = table.aval.shape
    m, free = index.aval.shape[1], table.aval.where == PUBLIC
    highs, lows = _hot(rt, v, n, 0 if free else k)
    count, inner = highs.shape[2], lows.shape[2]
    if free:
        truths = table.aval.kind == "bool"
        data = rt.ring.encode_ints(rt.public_bits(table).astype(np.int64)) if truths else rt.encode(table)
        shape = (blocks, count, inner * k)
        found = rt.p.matmul_public(highs, _padded(data, count * inner).reshape(shape))
    else:
        share = _numbers(rt, table).map(lambda part: _padded(part, count * inner))
        found = rt.q.matmul(highs, share.reshape(blocks, count, inner * k))
    if inner > 1:
        per = found.reshape(blocks * m, inner, k)
        found = rt.q.matmul(lows.reshape(blocks * m, 1, inner), per)
    found = found.reshape(blocks, m, k)
    if outs[0].kind == "bool":
        bit = rt.p.decompose(found.reshape(found.size), 1)
        return [rt.p.unpack(bit, outs[0].shape)]
    return [found]


def _numbers(rt: Runtime, v: Value) -> Share:
    """Return shares of a value as ring elements, truth values too."""
    share = rt.share(v)
    if v.aval.kind != "bool":
        return share
    return rt.p.to_arith(rt.p.pack(share)).reshape(*v.aval.shape)


def _padded(a: Array, rows: int) -> Array:
    """Return the first rows, zeros behind the last: no index names any of these."""
    if a.shape[1] >= rows:
        return a[:, :rows]
    return np.concatenate([a, np.zeros((a.shape[0], rows - a.shape[1], a.shape[2]), a.dtype)], axis=1)


# -- sums by index ----------------------------------------------------------------------------------------


def _spread_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    rows, index = ins[:2]
    need_kind([rows], "spread", "int", "fixed")
    _check(rows, index, params["size"], "spread")
    _check_hot(ins, "spread")
    if rows.shape[1] != index.shape[1]:
        raise ShapeError(f"spread: {rows.shape[1]} rows and {index.shape[1]} indices")
    blocks, m, k = rows.shape
    if params["last"] and not index.where == rows.where == PUBLIC:
        raise NotRealised("spread: the last row of an index is taken of public values only")
    span = (rows.lo, rows.hi)
    lo, hi = iv.hull((0, 0), span) if params["last"] or m <= 1 else iv.hull((0, 0), iv.scale(span, m), span)
    return [Aval((blocks, params["size"], k), rows.kind, lo, hi)]


def _spread_clear(vals: list[Array], params: Params) -> list[Array]:
    rows, index = vals[:2]
    out = np.zeros((rows.shape[0], params["size"], rows.shape[2]), rows.dtype)
    at = (np.arange(len(rows))[:, None], index)
    if params["last"]:
        out[at] = rows
    else:
        np.add.at(out, at, rows)
    return [out]


def _spread_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Return Σ_i [high_i = h]·([low_i = l]·rows[i]) for all h and l."""
    rows, index = v[:2]
    blocks, m, k = rows.aval.shape
    n = params["size"]
    if params["last"]:
        raise NotRealised("spread: the last row of an index is taken of public values only")
    if index.aval.where == PUBLIC:
        held = rt.share(rows)
        if isinstance(rt.p, Ghost):
            return [rt.p.made(outs[0].shape)]
        assert index.data is not None
        at = np.asarray(index.data)
        return [held.map(lambda part: _added(rt, part, at, n))]
    free = rows.aval.where == PUBLIC
    highs, lows = _hot(rt, v, n, 0 if free else k)
    count, inner = highs.shape[2], lows.shape[2]
    flipped = highs.map(lambda part: np.swapaxes(part, 1, 2))
    if free and inner == 1:
        out = rt.p.matmul_public(flipped, rt.encode(rows))
    else:
        out = rt.q.matmul(flipped, _placed(rt, rows, lows, inner).reshape(blocks, m, inner * k))
    return [out.reshape(blocks, count * inner, k).map(lambda part: _padded(part, n))]


def _placed(rt: Runtime, rows: Value, lows: Share, inner: int) -> Share:
    """Return [low_i = l]·rows[i], of shape (blocks, m, inner, k)."""
    blocks, m, k = rows.aval.shape
    if inner == 1:
        return rt.share(rows)
    shape = (blocks, m, inner, k)
    bits = lows.map(lambda part: np.broadcast_to(part[..., None], shape))
    if rows.aval.where == PUBLIC:
        return rt.p.mul_public(bits, np.broadcast_to(rt.encode(rows)[:, :, None], shape))
    wide = rt.share(rows).map(lambda part: np.broadcast_to(part[:, :, None], shape))
    return rt.q.mul(bits.map(in_order), wide.map(in_order))


def _added(rt: Runtime, part: Array, index: Array, n: int) -> Array:
    """Add up ring elements by index: differences of running sums in the index's order."""
    blocks, m, k = part.shape
    ring = rt.ring
    keys = (np.arange(blocks)[:, None] * n + index).reshape(-1)
    order = np.argsort(keys, kind="stable")
    sums = ring.cumsum(np.ascontiguousarray(part.reshape(blocks * m, k)[order]), 0)
    sums = np.concatenate([ring.zeros((1, k)), sums])
    ends = np.searchsorted(keys[order], np.arange(blocks * n), side="right")
    starts = np.searchsorted(keys[order], np.arange(blocks * n), side="left")
    return np.asarray(ring.sub(sums[ends], sums[starts]).reshape(blocks, n, k))


# -- one bit of many --------------------------------------------------------------------------------------


def low_bits(n: int, width: int) -> tuple[int, int]:
    """Return how many ring elements are sent for an index, and with how many of its bits looked up last: the fewest.

    A look-up sends one element for each bit of either part, and `width` for each bit of the low part.
    """
    best = max(n - 1, 0).bit_length() // 2
    return min((-(-n // (1 << t)) + ((1 + width) << t if t else 0), t) for t in range(best + 2))


def _hot_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "hot", "int")
    (index,), size, low = ins, params["size"], params["low"]
    if len(index.shape) != 2 or not 1 << low < size:
        raise ShapeError(
            f"hot: an index {index.shape} among {size} places, {low} bits of it last, has no such bits"
        )
    if index.size and not 0 <= index.lo <= index.hi < size:
        raise RangeError(f"hot: an index in [{index.lo:g}, {index.hi:g}] may leave the {size} places")
    counts = [-(-size // (1 << low)), *([1 << low] if low else [])]
    return [Aval((*index.shape, count), "int", 0, 1) for count in counts]


def _hot_clear(vals: list[Array], params: Params) -> list[Array]:
    index, size, low = np.asarray(vals[0])[..., None], params["size"], params["low"]
    made = [index >> low == np.arange(-(-size // (1 << low)))]
    if low:
        made.append(index & ((1 << low) - 1) == np.arange(1 << low))
    return [each.astype(np.int64) for each in made]


def _hot_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Return, as numbers, which high part each index has, and which low part if that has bits."""
    if not outs[0].size:
        return [rt.p.constant(rt.ring.zeros(a.shape)) for a in outs]
    return list(_one_hot(rt, v[0], params["size"], params["low"]))[: len(outs)]


def _check_hot(ins: list[Aval], what: str) -> None:
    """Refuse operands that are not what `hot` makes of this index."""
    index, made = ins[1], ins[2:]
    counts = [a.shape[-1] if a.shape else 0 for a in made]
    for a, count in zip(made, counts, strict=True):
        need_kind([a], f"{what}'s bits", "int")
        if a.shape != (*index.shape, count) or (a.lo, a.hi) != (0, 1):
            raise ShapeError(f"{what}: {a.shape} holds no bits of an index {index.shape}")
    if made and index.hi >= math.prod(counts):
        raise ShapeError(f"{what}: bits of {math.prod(counts)} places for an index up to {index.hi:g}")


def _hot(rt: Runtime, v: list[Value], n: int, width: int) -> tuple[Share, Share]:
    """Return the bits of a look-up's or a sum's index: those that it is given, or its own."""
    index, made = v[1], [rt.share(each) for each in v[2:]]
    if not made:
        return _one_hot(rt, index, n, low_bits(n, width)[1])
    return made[0], made[1] if len(made) > 1 else rt.p.constant(rt.ring.constant(1, (*index.aval.shape, 1)))


def _one_hot(rt: Runtime, index: Value, n: int, low: int) -> tuple[Share, Share]:
    """Return, as numbers, which high part and which low part each index has; (blocks, m, count) each."""
    blocks, m = index.aval.shape
    count, inner = -(-n // (1 << low)), 1 << low
    if index.aval.owner:
        return _owners(rt, index, count, low)
    total, bits = blocks * m, (n - 1).bit_length()
    if not total or not bits:
        ones = rt.p.constant(rt.ring.constant(1, (blocks, m, 1)))
        return ones, ones
    planes = rt.p.decompose(rt.share(index).reshape(total), max(bits, low))
    parts = [[planes[j] for j in range(at, to)] for at, to in ((low, bits), (0, low)) if to > at]
    made = _demultiplexed(rt, parts) if parts else []
    high = made[0][slice(0, count)] if bits > low else None
    wanted = [p for p in (high, made[-1] if low else None) if p is not None]
    flat = rt.q.to_arith(stack_planes(wanted))
    ones = rt.p.constant(rt.ring.constant(1, (1, total)))
    highs = flat[: high.planes] if high is not None else ones
    lows = flat[flat.shape[0] - inner :] if low else ones

    def turned(s: Share) -> Share:
        return s.map(lambda part: in_order(part.T)).reshape(blocks, m, s.shape[0])

    return turned(highs), turned(lows)


def _owners(rt: Runtime, index: Value, count: int, low: int) -> tuple[Share, Share]:
    """Let the index's owner make the bits in the clear and share them."""
    found = []
    for size, part in ((count, lambda a: a >> low), (1 << low, lambda a: a & ((1 << low) - 1))):
        shape = (*index.aval.shape, size)
        if size == 1:
            found.append(rt.p.constant(rt.ring.constant(1, shape)))
            continue
        data = None
        if index.data is not None:
            data = (part(np.asarray(index.data))[..., None] == np.arange(size)).astype(np.int64)
        made = type(index)(Aval(shape, "int", 0, 1, index.aval.where), data, width=rt.rounding.width)
        found.append(rt.share(made))
    return found[0], found[1]


def _demultiplexed(rt: Runtime, groups: list[list[Planes]]) -> list[Planes]:
    """Return, for each group of bits (lowest first), the planes [bits = j] for every j; log2 rounds for all groups."""
    tables = [[stack_planes([rt.p.invert(b), b]) for b in group] for group in groups]
    while any(len(group) > 1 for group in tables):
        left, right, sizes = [], [], []
        for group in tables:
            for a, b in zip(group[0::2], group[1::2], strict=False):
                i, j = np.divmod(np.arange(a.planes * b.planes), a.planes)
                left.append(a[j])
                right.append(b[i])
                sizes.append(a.planes * b.planes)
        met = rt.p.and_(stack_planes(left), stack_planes(right))
        cuts = np.cumsum([0, *sizes])
        made = iter([met[slice(int(a), int(b))] for a, b in pairwise(cuts)])
        tables = [[*(next(made) for _ in range(len(g) // 2)), *g[len(g) // 2 * 2 :]] for g in tables]
    return [group[0] for group in tables]


ENTRIES = [
    Op("hot", _hot_abstract, _hot_clear, _hot_lower, fits, local=False),
    Op("lookup", _lookup_abstract, lambda v, p: [_rows(v[0], v[1])], _lookup_lower, fits, local=False),
    Op("spread", _spread_abstract, _spread_clear, _spread_lower, fits, exact=False, local=False),
]
