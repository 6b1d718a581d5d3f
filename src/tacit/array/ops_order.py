"""Operations of the table that put rows in order: the permutation is a value that only these can touch.

`order` makes a permutation (kind "perm"); `arrange` and `restore` move rows by it and back. Nothing else makes
one or takes one, so that what the protocol opens under a fresh shuffle is always a permutation, and tells nothing.
All work along the last axis; leading axes are independent blocks. `extreme` and `running` find the greatest or
least along the first axis, or of each row and those before it, which takes no permutation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.array import intervals as iv
from tacit.array.bounds import difference_bits, fits, least_units, scale_of, tournament_bits
from tacit.array.lower import rows_as_planes
from tacit.array.ops import Op, Params, need_kind, same_shape
from tacit.array.program import PUBLIC, SECRET, Aval
from tacit.core.ghost import Ghost, ghost
from tacit.core.rows import Column, flat_places, index_ring, take_rows
from tacit.core.share import Planes, Share, stack_planes
from tacit.errors import NotRealised, ScaleError, ShapeError, UsageError
from tacit.gadgets import pairs
from tacit.gadgets import sort as gs
from tacit.gadgets.places import greatest_place
from tacit.gadgets.tournament import greatest, running

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
PERM_OPS = frozenset(["arrange", "restore"])


def _blocks(aval: Aval) -> tuple[int, int]:
    return math.prod(aval.shape[:-1]), aval.shape[-1]


def _need_axis(ins: list[Aval], what: str) -> tuple[int, ...]:
    shape = same_shape(ins, what)
    if not shape:
        raise ShapeError(f"{what} needs at least one axis")
    return shape


def _need_rows(ins: list[Aval], what: str) -> tuple[int, ...]:
    """Return the shape of rows that move: their places are numbers of 32 bits."""
    shape = _need_axis(ins, what)
    if math.prod(shape) >= 1 << 32:
        raise ShapeError(
            f"{what} of {math.prod(shape)} rows: at most 2^32 - 1 move at a time; sort parts of them"
        )
    return shape


def _refuse(rt: Runtime) -> None:
    """Raise NotRealised, before any message, where the protocol cannot shuffle."""
    if not rt.p.offers("shuffle"):
        name = getattr(rt.p, "protocol", rt.p.name)
        raise NotRealised(
            f"protocol {name} does not shuffle; use one that does (for example rep3), or sort, which it can"
        )


# -- order ------------------------------------------------------------------------------------------------


def _order_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "order", "int", "fixed", "bool")
    shape = _need_rows(ins, "order")
    if len(params["descending"]) != len(ins):
        raise ShapeError(f"order of {len(ins)} keys needs as many directions")
    return [Aval(shape, "perm", 0, max(shape[-1] - 1, 0))]


def _order_clear(vals: list[Array], params: Params) -> list[Array]:
    keys = []
    for v, down in zip(vals, params["descending"], strict=True):
        a = np.asarray(v)
        a = a.astype(np.int64) if a.dtype.kind == "b" else a
        keys.append(-a if down else a)
    return [np.asarray(np.lexsort(keys[::-1], axis=-1)).reshape(np.shape(vals[0])).astype(np.int64)]


def key_span(a: Aval, f: int) -> tuple[int, int]:
    """Return (lowest ring value, bits of the distance to the highest), with room for rounding on fixed point."""
    if a.kind != "fixed":
        low, high = math.floor(a.lo), math.ceil(a.hi)
    else:
        slack = [math.ldexp(abs(v), -5) for v in (a.lo, a.hi)]
        low = math.floor(math.ldexp(a.lo - slack[0], f)) - 256
        high = math.ceil(math.ldexp(a.hi + slack[1], f)) + 256
    return low, (high - low).bit_length()


def _order_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    bits = [iv.bits_of(a.magnitude, scale_of(a, f)) for a in ins]
    if max(bits) >= 1 << 20:
        return max(bits)
    return max(key_span(a, f)[1] for a in ins)


def _key_planes(rt: Runtime, v: Value, down: bool) -> Planes | None:
    """Return the bits of a key from its range's end, lowest first: bigger means later in the order."""
    a = v.aval
    if a.kind == "bool":
        planes = rt.p.pack(rt.share(v))
        return rt.p.invert(planes) if down else planes
    low, bits = key_span(a, rt.f)
    if not bits:
        return None
    high = low + (1 << bits) - 1
    if a.where == PUBLIC:
        units = rt.encode(v)
        units = (
            rt.ring.sub(rt.ring.constant(high), units) if down else rt.ring.sub(units, rt.ring.constant(low))
        )
        return ghost_or_constant(rt, units, bits)
    x = _from_end(rt, v, down)
    return rt.p.decompose(x.reshape(x.size), bits)


def _from_end(rt: Runtime, v: Value, down: bool) -> Share:
    """Return how far a secret key is from its range's end: bigger means later in the order."""
    (low, bits), x = key_span(v.aval, rt.f), rt.share(v)
    if down:
        return rt.p.add_public(rt.p.neg(x), rt.ring.constant(low + (1 << bits) - 1))
    return rt.p.add_public(x, rt.ring.constant(-low))


def ghost_or_constant(rt: Runtime, units: Array, bits: int) -> Planes:
    """Return planes of public ring elements, empty ones where no shares are held."""
    if isinstance(rt.p, Ghost):
        return rt.p.low_planes(ghost(units.shape), bits)
    return gs.constant_planes(rt.p, units, bits)


def _order_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    blocks, down, v = _blocks(outs[0]), params["descending"], vals[0]
    number = len(vals) == 1 and v.aval.kind != "bool" and v.aval.where != PUBLIC
    if number and pairs.cheaper(rt.p, bits := key_span(v.aval, rt.f)[1], *blocks):
        at = pairs.order(rt.p, _from_end(rt, v, bool(down[0])), bits, *blocks)
    else:
        at = gs.order(rt.p, _all_planes(rt, vals, down), *blocks)
    return [at.share.reshape(*outs[0].shape)]


def _all_planes(rt: Runtime, vals: list[Value], descending: list[bool]) -> Planes | None:
    """Return the bits of all keys, the last key's lowest."""
    found = (_key_planes(rt, v, bool(down)) for v, down in zip(vals[::-1], descending[::-1], strict=True))
    keys = [k for k in found if k is not None]
    return stack_planes(keys) if keys else None


# -- arrange, restore ---------------------------------------------------------------------------------------


def _moved_abstract(name: str) -> Any:
    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        if ins[0].kind != "perm":
            raise ScaleError(f"{name} takes what `order` made, not {ins[0].kind}")
        need_kind(ins[1:], name, "int", "fixed", "bool")
        _need_rows(ins, name)
        return [Aval(a.shape, a.kind, a.lo, a.hi) for a in ins[1:]]

    return abstract


def _arrange_clear(vals: list[Array], params: Params) -> list[Array]:
    return [np.take_along_axis(np.asarray(v), vals[0], axis=-1) for v in vals[1:]]


def _restore_clear(vals: list[Array], params: Params) -> list[Array]:
    out = []
    for v in vals[1:]:
        fresh = np.empty_like(np.asarray(v))
        np.put_along_axis(fresh, vals[0], np.asarray(v), axis=-1)
        out.append(fresh)
    return out


def _perm_column(rt: Runtime, v: Value) -> Column:
    """Return the shares of a permutation; an owner's, or a public one among secrets, becomes shared bits."""
    blocks, rows = _blocks(v.aval)
    ring = index_ring(rows)
    if v.share is None:
        bits = ring.width
        if v.aval.where == PUBLIC:
            data = np.zeros(v.aval.shape, np.int64) if v.data is None else v.data
            units = Ring(64).encode_ints(data)
            if not v.exact:
                raise NotRealised(
                    "an order by public numbers that machines round differently cannot be shared"
                )
            planes = ghost_or_constant(rt, units, bits)
        else:
            flat = None
            if v.data is not None:
                spread = np.arange(bits)[:, None]
                flat = ((v.data.reshape(-1)[None, :] >> spread) & 1).astype(np.uint8).reshape(-1)
            held = rt.p.share_bits(v.aval.owner, flat, (bits * v.aval.size,))
            planes = rows_as_planes(rt.p, held, bits, v.aval.size)
        v.share = rt.p.words(planes).reshape(*v.aval.shape)
    return Column(v.share.reshape(blocks, rows), ring, True)


def columns_of(rt: Runtime, vals: list[Value]) -> list[Column]:
    """Return columns of ring elements, and one column for every 64 truth values, in that order."""
    blocks, rows = _blocks(vals[0].aval)
    numbers = [rt.share(v).reshape(blocks, rows) for v in vals if v.aval.kind != "bool"]
    truths = [rt.share(v).reshape(blocks, rows) for v in vals if v.aval.kind == "bool"]
    out = [Column(s, rt.ring) for s in numbers]
    for at in range(0, len(truths), 64):
        some = truths[at : at + 64]
        out.append(Column(_pack_words(rt, some, (blocks, rows)), Ring(len(some)), True))
    return out


def _pack_words(rt: Runtime, truths: list[Share], shape: tuple[int, ...]) -> Share:
    if isinstance(rt.p, Ghost):
        return rt.p.made(shape)
    parts = []
    for bits in zip(*(t.parts for t in truths), strict=True):
        word = np.zeros(shape, np.uint64)
        for j, b in enumerate(bits):
            word |= b.astype(np.uint64) << np.uint64(j)
        parts.append(word)
    return Share(tuple(parts))


def values_of(rt: Runtime, columns: list[Column], outs: list[Aval]) -> list[Share]:
    """Invert `columns_of` for results of these types."""
    numbers = iter([c.share for c in columns if not c.xor])
    words = [c.share for c in columns if c.xor]
    out, seen = [], 0
    for a in outs:
        if a.kind != "bool":
            out.append(next(numbers).reshape(*a.shape))
            continue
        word, at = words[seen // 64], np.uint64(seen % 64)
        seen += 1
        if isinstance(rt.p, Ghost):
            out.append(rt.p.made_bits(a.shape))
        else:
            out.append(word.map(lambda w: ((w >> at) & np.uint64(1)).astype(np.uint8)).reshape(*a.shape))  # noqa: B023
    return out


def _mover(back: bool) -> Any:
    def lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
        perm, columns = vals[0], columns_of(rt, vals[1:])
        if perm.aval.where == PUBLIC and perm.data is not None and perm.exact:
            blocks, rows = _blocks(perm.aval)
            at = flat_places(perm.data.reshape(blocks, rows))
            if back:
                at = np.argsort(at)
            if not isinstance(rt.p, Ghost):
                columns = [c.with_parts(*(take_rows(a, at) for a in c.share.parts)) for c in columns]
            return values_of(rt, columns, outs)
        column = _perm_column(rt, perm)
        moved = gs.place(rt.p, column, columns) if back else gs.fetch(rt.p, column, columns)
        return values_of(rt, moved, outs)

    return lower


# -- shuffle, fill -------------------------------------------------------------------------------------------


def _shuffle_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "shuffle", "int", "fixed", "bool")
    _need_rows(ins, "shuffle")
    if SECRET not in {a.where for a in ins} and len({a.where for a in ins} - {PUBLIC}) < 2:
        raise UsageError("shuffle takes secret values; an owner shuffles its own data before providing it")
    return [Aval(a.shape, a.kind, a.lo, a.hi) for a in ins]


def _no_clear(vals: list[Array], params: Params) -> list[Array]:
    raise UsageError("shuffle takes secret values: there is no one answer to check in the clear")


def _shuffle_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    _refuse(rt)
    return values_of(rt, rt.p.shuffle(columns_of(rt, vals)), outs)


def _fill_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins[:1], "fill's flags", "bool")
    need_kind(ins[1:], "fill", "int", "fixed", "bool")
    _need_rows(ins, "fill")
    return [Aval(a.shape, a.kind, min(a.lo, 0), max(a.hi, 0)) for a in ins[1:]]


def _fill_clear(vals: list[Array], params: Params) -> list[Array]:
    flags = np.asarray(vals[0], bool)
    places = np.where(flags, np.arange(flags.shape[-1]), -1)
    last = np.maximum.accumulate(places, axis=-1) if flags.size else places
    out = []
    for v in vals[1:]:
        held = np.take_along_axis(np.asarray(v), np.maximum(last, 0), axis=-1)
        out.append(np.where(last >= 0, held, np.zeros((), held.dtype)))
    return out


def _fill_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    flags = rt.p.pack(rt.share(vals[0]))
    return values_of(rt, gs.fill(rt.p, flags, columns_of(rt, vals[1:])), outs)


def _move_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    return fits(ins, [a for a in outs if a.kind != "bool"] or outs, params, f)


# -- greatest and least ----------------------------------------------------------------------------------------


def _extreme_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "extreme", "int", "fixed")
    a, (rows, *shape) = ins[0], _need_axis(ins, "extreme")
    if not rows:
        raise ShapeError("the greatest or least of no values does not exist")
    if params["place"]:
        return [Aval(tuple(shape), "int", 0, rows - 1)]
    return [Aval(tuple(shape), a.kind, a.lo, a.hi)]


def _extreme_clear(vals: list[Array], params: Params) -> list[Array]:
    if params["place"]:
        return [np.asarray((np.argmin if params["least"] else np.argmax)(vals[0], axis=0)).astype(np.int64)]
    return [np.asarray((np.min if params["least"] else np.max)(vals[0], axis=0))]


def _extreme_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    return max(difference_bits([ins[0], ins[0]], f), fits(ins, outs, params, f))


def _extreme_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Find the greatest; for the least, of −x, whose differences have the same bounds."""
    a = vals[0].aval
    x = rt.share(vals[0]).reshape(a.shape[0], math.prod(a.shape[1:]))
    if params["least"]:
        x, a = rt.p.neg(x), replace(a, lo=-a.hi, hi=-a.lo)
    if params["place"]:
        found = greatest_place(rt.p, x, difference_bits([a, a], rt.f))
    else:
        found = greatest(rt.q, x, tournament_bits(a, rt.fmt.width, rt.f), least_units(a, rt.f))
    found = rt.q.neg(found) if params["least"] and not params["place"] else found
    return [found.reshape(*outs[0].shape)]


def _running_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "running", "int", "fixed")
    _need_axis(ins, "running")
    return [Aval(ins[0].shape, ins[0].kind, ins[0].lo, ins[0].hi)]


def _running_clear(vals: list[Array], params: Params) -> list[Array]:
    return [(np.minimum if params["least"] else np.maximum).accumulate(vals[0], axis=0)]


def _running_lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    a = vals[0].aval
    x, bits = rt.share(vals[0]).reshape(a.shape[0], math.prod(a.shape[1:])), difference_bits([a, a], rt.f)
    found = rt.p.neg(running(rt.q, rt.p.neg(x), bits)) if params["least"] else running(rt.q, x, bits)
    return [found.reshape(*a.shape)]


ENTRIES = [
    Op("order", _order_abstract, _order_clear, _order_lower, _order_need, local=False),
    Op("arrange", _moved_abstract("arrange"), _arrange_clear, _mover(False), _move_need, local=False),
    Op("restore", _moved_abstract("restore"), _restore_clear, _mover(True), _move_need, local=False),
    Op("shuffle", _shuffle_abstract, _no_clear, _shuffle_lower, _move_need, local=False),
    Op("fill", _fill_abstract, _fill_clear, _fill_lower, _move_need, local=False),
    Op("extreme", _extreme_abstract, _extreme_clear, _extreme_lower, _extreme_need, local=False),
    Op("running", _running_abstract, _running_clear, _running_lower, _extreme_need, local=False),
]

__all__ = ["ENTRIES", "PERM_OPS"]
