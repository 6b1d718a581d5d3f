"""Convolution: a window of one array slides over another, one dot product and one truncation for each place.

Operands are laid out as (batch, features, places…) and (results, features of a group, taps…). The overlapping windows
are never laid side by side: the product reads them where they lie (docs/decisions/0055).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import constants
from tacit.array import intervals as iv
from tacit.array.bounds import Error, product_need, public_factor, scale_of
from tacit.array.lower import exact_matmul
from tacit.array.ops import Op, Params, need_kind
from tacit.array.program import PUBLIC, Aval
from tacit.core.ghost import Ghost, ghost
from tacit.core.share import Block, Gathered, Matrix, Share
from tacit.errors import ShapeError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
# Taps that meet data are counted one by one up to this many; beyond, any number of them may, and none is left out.
MAX_COUNTED = 1 << 22
LAID_OUT = 1 << 20
"""Elements of windows that are laid side by side at a time, where an owner computes in the clear."""
KEPT_PLACES = 1 << 17
"""Tables of up to so many places are kept for the next convolution like it."""
BLOCK = 1 << 18
"""Multiply-adds that take as long as one more product of matrices."""
Blocks = tuple[tuple[Array, Array], ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """How windows lie along one axis of `size` elements, `base` apart, between `low` and `high` places of padding.

    A window starts every `stride` places and has `taps` taps, `dilation` places apart. Padding may be negative.
    """

    size: int
    taps: int
    stride: int = 1
    low: int = 0
    high: int = 0
    base: int = 1
    dilation: int = 1

    @property
    def places(self) -> int:
        """Length of the axis with padding, and with places between elements."""
        return max(0, self.low + self.high + (max((self.size - 1) * self.base + 1, 0) if self.size else 0))

    @property
    def windows(self) -> int:
        """Number of windows."""
        reach = (self.taps - 1) * self.dilation + 1 if self.taps else 0
        return max(0, (self.places - reach) // self.stride + 1)

    @property
    def plain(self) -> bool:
        """Whether every window is one element, in order."""
        return self == Axis(self.size, 1)

    def slots(self, some: Array | None = None) -> Array:
        """Return, for each window, or each of some, and each tap the element there, or −1; shape (windows, taps)."""
        some = np.arange(self.windows) if some is None else some
        at = some[:, None] * self.stride + np.arange(self.taps) * self.dilation - self.low
        inside = (at >= 0) & (at <= (self.size - 1) * self.base) & (at % self.base == 0)
        return np.where(inside, at // self.base, -1)

    def _full(self) -> tuple[Array, Array]:
        """Return windows whose taps all meet elements, as far as their ends tell, and the others, few at the ends."""
        starts = np.arange(self.windows) * self.stride - self.low
        ends = starts + (self.taps - 1) * self.dilation
        full = (starts >= 0) & (ends < self.size) & (self.base == 1)
        return np.flatnonzero(full), np.flatnonzero(~full)

    def taps_used(self) -> tuple[int, int]:
        """Return the least and the greatest number of taps of a window that meet an element."""
        if self.windows * self.taps > MAX_COUNTED:
            return 0, self.taps
        full, rest = self._full()
        counts = [*([self.taps] if full.size else []), *(self.slots(rest) >= 0).sum(axis=1).tolist()]
        return min(counts, default=0), max(counts, default=0)

    def blocks(self) -> Blocks:
        """Return windows, each once, and the taps of them that meet an element."""
        full, rest = self._full()
        meets = self.slots(rest) >= 0
        if meets.all():
            return self.whole()
        _, first, kind = np.unique(np.packbits(meets, axis=1), axis=0, return_index=True, return_inverse=True)
        order = np.argsort(kind.reshape(-1), kind="stable")
        windows = np.split(order, np.cumsum(np.bincount(kind.reshape(-1)))[:-1])
        found = [(rest[some], np.flatnonzero(meets[at])) for some, at in zip(windows, first, strict=True)]
        if full.size:  # none of the rest has all taps, as then only its ends count
            found.append((full, np.arange(self.taps)))
        return tuple(found)

    def whole(self) -> Blocks:
        """Return all windows and all taps."""
        return ((np.arange(self.windows), np.arange(self.taps)),)

    def elements(self) -> tuple[slice, slice]:
        """Return which places hold an element, and which elements those are."""
        first = max(0, -(self.low // self.base))
        last = max(first, min(self.size, -((self.low - self.places) // self.base)))
        at = self.low + first * self.base
        return slice(at, at + (last - first - 1) * self.base + 1 if last > first else at, self.base), slice(
            first, last
        )


@dataclass(frozen=True, slots=True)
class Sliding:
    """A convolution's sizes: batch, groups, features and results of a group, and how windows lie."""

    batch: int
    groups: int
    features: int
    results: int
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the result."""
        return (self.batch, self.groups * self.results, *(a.windows for a in self.axes))

    @property
    def inner(self) -> int:
        """Products in each result, those with padding included."""
        return self.features * math.prod(a.taps for a in self.axes)

    @property
    def rows(self) -> int:
        """Windows of all of the batch."""
        return self.batch * self.run

    @property
    def run(self) -> int:
        """Windows of one image."""
        return math.prod(a.windows for a in self.axes)

    def terms(self) -> tuple[int, int]:
        """Return the least and the greatest number of products with data in one result."""
        used = [a.taps_used() for a in self.axes]
        return self.features * math.prod(u[0] for u in used), self.features * math.prod(u[1] for u in used)

    def padded(self, a: Array) -> Array:
        """Return the first operand with zeros at every place that has no element."""
        if all((x.low, x.high, x.base) == (0, 0, 1) for x in self.axes):
            return a
        out = np.zeros((*a.shape[:2], *(x.places for x in self.axes)), a.dtype)
        to, of = zip(*(x.elements() for x in self.axes), strict=True)
        out[(..., *to)] = a[(..., *of)]
        return out

    def windows(self, x: Share) -> Gathered:
        """Return all windows of the first operand as matrices (groups, rows, inner)."""
        if _split(self) is not None:
            return self._in_blocks(x)
        flat, steps = _flat(x.map(self.padded))
        windows = [(a.windows, a.stride * step) for a, step in zip(self.axes, steps[2:], strict=True)]
        taps = [(a.taps, a.dilation * step) for a, step in zip(self.axes, steps[2:], strict=True)]
        groups = _places((self.groups, self.features * steps[1]))
        at = (groups, _places((self.batch, steps[0]), *windows), _places((self.features, steps[1]), *taps))
        return Gathered(flat, (self.groups, self.rows, self.inner), (Block(at),), self.run)

    def _in_blocks(self, x: Share) -> Gathered:
        """Return the windows without padding, in blocks of those whose taps meet data alike.

        Images lie beside each other, element by element: so what a tap reads follows one another, whatever the windows.
        """
        order = (*range(1, 2 + len(self.axes)), 0)
        flat = x.map(lambda part: np.ascontiguousarray(part.transpose(order)).reshape(-1))
        blocks = _kept_blocks(self) if self.rows <= KEPT_PLACES else self.in_blocks()
        return Gathered(flat, (self.groups, self.rows, self.inner), blocks, self.run)

    def in_blocks(self) -> tuple[Block, ...]:
        """Return where windows lie in blocks of those whose taps meet data alike, and images beside each other."""
        axes = _split(self)
        assert axes is not None
        steps = [
            self.batch * math.prod(a.size for a in self.axes[i + 1 :]) for i in range(-1, len(self.axes))
        ]
        groups = _places((self.groups, self.features * steps[0]))
        rows = np.arange(self.rows).reshape(self.batch, *(a.windows for a in self.axes))
        columns = np.arange(self.inner).reshape(self.features, *(a.taps for a in self.axes))
        slots = [a.slots() for a in self.axes]
        found = []
        for each in itertools.product(*axes):
            windows, taps = zip(*each, strict=True)
            some = rows[np.ix_(np.arange(self.batch), *windows)]
            # A tap's place is that of the first, and the same further on in every window.
            met = [
                (s[w[:, None], t] if t.size else s[w, :0]) * step
                for s, w, t, step in zip(slots, windows, taps, steps[1:], strict=True)
            ]
            first = _sums(*[m[:, 0] if m.size else m.sum(axis=1) for m in met], np.arange(self.batch))
            second = _sums(np.arange(self.features) * steps[0], *[m[0] - m[0, :1] for m in met])
            found.append(
                Block(
                    (groups, first, second),
                    np.moveaxis(some, 0, -1).reshape(-1),
                    columns[np.ix_(np.arange(self.features), *taps)].reshape(-1),
                )
            )
        return tuple(found)

    def multiplied(self, axes: Sequence[Blocks]) -> int:
        """Return about how many multiply-adds products in such blocks take, their own time included."""
        each = [[(len(windows), len(taps)) for windows, taps in blocks] for blocks in axes]
        sums = math.prod(sum(w * t for w, t in blocks) for blocks in each)
        work = self.groups * self.batch * self.features * self.results * sums
        return work + BLOCK * math.prod(len(blocks) for blocks in each)

    def kernels(self, w: Share) -> Gathered:
        """Return the second operand as matrices (groups, inner, results)."""
        flat, steps = _flat(w)
        groups = _places((self.groups, self.results * steps[0]))
        taps = _places(*zip(w.shape[1:], steps[1:], strict=True))
        at = (groups, taps, _places((self.results, steps[0])))
        return Gathered(flat, (self.groups, self.inner, self.results), (Block(at),))

    def columns(self, a: Array) -> Array:
        """Return all windows of the first operand as matrices (groups, rows, inner), laid out."""
        rank, a = len(self.axes), self.padded(a)
        a = a.reshape(self.batch, self.groups, self.features, *a.shape[2:])
        steps = a.strides
        shape = (*a.shape[:3], *(x.windows for x in self.axes), *(x.taps for x in self.axes))
        strides = (
            *steps[:3],
            *(s * x.stride for s, x in zip(steps[3:], self.axes, strict=True)),
            *(s * x.dilation for s, x in zip(steps[3:], self.axes, strict=True)),
        )
        view = np.lib.stride_tricks.as_strided(a, shape, strides, writeable=False)
        order = (1, 0, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
        return view.transpose(order).reshape(self.matrices(self.rows, self.inner))

    def kernel(self, w: Array) -> Array:
        """Return the second operand as matrices (groups, inner, results)."""
        grouped = w.reshape(self.groups, self.results, self.inner)
        return grouped.transpose(0, 2, 1).reshape(self.matrices(self.inner, self.results))

    def folded(self, out: Array) -> Array:
        """Return products (groups, batch, results, windows of an image) in the result's shape."""
        whole = out.reshape(self.groups, self.batch, self.results, self.run)
        return whole.swapaxes(0, 1).reshape(self.shape)

    def unfolded(self, out: Array) -> Array:
        """Return products (groups, rows, results) in the result's shape."""
        return self.folded(out.reshape(self.groups, self.batch, self.run, self.results).swapaxes(2, 3))

    def matrices(self, rows: int, columns: int) -> tuple[int, ...]:
        """Return the shape of one matrix, or of one for each group."""
        return (rows, columns) if self.groups == 1 else (self.groups, rows, columns)


@lru_cache(maxsize=64)
def _split(sizes: Sliding) -> tuple[Blocks, ...] | None:
    """Return blocks along each axis, by the taps that meet data, if that spares more than it takes."""
    if any(a.windows * a.taps > MAX_COUNTED for a in sizes.axes):
        return None  # in blocks every axis is split: what reads them knows no padding
    whole, split = (tuple(f(a) for a in sizes.axes) for f in (Axis.whole, Axis.blocks))
    return split if sizes.rows and sizes.multiplied(split) < sizes.multiplied(whole) else None


_kept_blocks = lru_cache(maxsize=32)(Sliding.in_blocks)


def _sums(*tables: Array) -> Array:
    """Return the sums of one number of each table, flat, in order."""
    total = np.zeros(1, np.int64)
    for table in tables:
        total = np.add.outer(total, table).reshape(-1)
    return total


def _flat(x: Share) -> tuple[Share, list[int]]:
    """Return the parts as they lie in memory, flat, and how far apart neighbours along each axis are there."""
    # Axes that were only turned are left so; parts that lie otherwise than the first are copied.
    order = sorted(range(len(x.shape)), key=lambda i: -abs(x.parts[0].strides[i]))
    turned = x.map(lambda part: np.ascontiguousarray(part.transpose(order)))
    steps = dict(zip(order, [s // turned.parts[0].itemsize for s in turned.parts[0].strides], strict=True))
    return turned.map(lambda part: part.reshape(-1)), [steps[i] for i in range(len(order))]


def _places(*axes: tuple[int, int]) -> Array:
    """Return the sums of one multiple of each step, below the axis' count: axes are (count, step); flat, in order."""
    small = math.prod(count for count, _ in axes) <= KEPT_PLACES
    return _small_places(axes) if small else _all_places(axes)


def _all_places(axes: tuple[tuple[int, int], ...]) -> Array:
    total = _sums(*[np.arange(count) * step for count, step in axes])
    total.flags.writeable = False
    return total


_small_places = lru_cache(maxsize=128)(_all_places)


def sliding(x: tuple[int, ...], w: tuple[int, ...], params: Params) -> Sliding:
    """Return a convolution's sizes; ShapeError says what does not fit."""
    keys = ("strides", "low", "high", "base", "dilation")
    rank, groups = len(x) - 2, params["groups"]
    if rank < 0 or len(w) != len(x) or any(len(params[k]) != rank for k in keys):
        raise ShapeError(f"conv: shapes {x} and {w} do not have {max(rank, 0)} axes of places each")
    if groups < 1 or x[1] != w[1] * groups or w[0] % groups:
        raise ShapeError(f"conv: {x[1]} features and {w[0]} results in {groups} groups of {w[1]} do not fit")
    if any(v < 1 for k in ("strides", "base", "dilation") for v in params[k]):
        raise ShapeError("conv: strides and dilations are at least 1")
    axes = tuple(
        Axis(n, t, *(int(v) for v in rest))
        for n, t, *rest in zip(x[2:], w[2:], *(params[k] for k in keys), strict=True)
    )
    return Sliding(x[0], groups, w[1], w[0] // groups, axes)


def _abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "conv", "int", "fixed")
    x, w = ins
    sizes = sliding(x.shape, w.shape, params)
    if not sizes.inner or not math.prod(sizes.shape):
        raise ShapeError(f"conv: shapes {x.shape} and {w.shape} leave nothing to add up")
    least, most = sizes.terms()
    low, high = iv.mul((x.lo, x.hi), (w.lo, w.hi))
    lo, hi = iv.hull(iv.scale((low, high), least), iv.scale((low, high), most))
    kind = "fixed" if "fixed" in (x.kind, w.kind) else "int"
    return [Aval(sizes.shape, kind, lo, hi)]  # type: ignore[arg-type]


def _clear(vals: list[Array], params: Params) -> list[Array]:
    x, w = vals
    sizes = sliding(x.shape, w.shape, params)
    kernel, elements = sizes.kernel(w), sizes.groups * sizes.rows * sizes.inner
    step = max(1, LAID_OUT * sizes.batch // max(1, elements))
    pieces = []
    for at in range(0, max(1, sizes.batch), step):
        some = replace(sizes, batch=min(step, sizes.batch - at))
        pieces.append(some.unfolded(np.matmul(some.columns(x[at : at + step]), kernel)))
    return [np.concatenate(pieces) if len(pieces) > 1 else pieces[0]]


def _lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Return the products of all windows; one truncation for each of them."""
    x, w = v
    sizes = sliding(x.aval.shape, w.aval.shape, params)
    blind = isinstance(rt.p, Ghost)

    def windows(s: Share) -> Matrix:
        return ghost(sizes.matrices(sizes.rows, sizes.inner)) if blind else sizes.windows(s)

    def kernels(s: Share) -> Matrix:
        return ghost(sizes.matrices(sizes.inner, sizes.results)) if blind else sizes.kernels(s)

    def folded(s: Share) -> Share:
        return rt.p.made(sizes.shape) if isinstance(rt.p, Ghost) else s.map(sizes.folded)

    if PUBLIC in (x.aval.where, w.aval.where):
        left = x.aval.where == PUBLIC

        def product(s: Share, c: Array) -> Share:
            known = Share((c,))
            if left:
                return folded(rt.p.matmul_public(kernels(s), windows(known), True))
            return folded(rt.p.matmul_public(windows(s), kernels(known)))

        public, secret = (x, w) if left else (w, x)
        return [constants.multiply(rt, public, secret, product, sizes.terms()[1])]
    both = x.aval.kind == w.aval.kind == "fixed"
    a, b = rt.factors(x, w) if both else (rt.share(x), rt.share(w))
    made = (rt.matmul if both else exact_matmul(rt.q))(windows(a), kernels(b))
    if sizes.groups > 1:
        rt.p.settle()  # what follows copies the results
    return [folded(made)]


def _error(i: list[Aval], o: list[Aval], params: Params, k: int, f: int) -> Error:
    """Bound on the error of one result."""
    if not scale_of(i[0], f) + scale_of(i[1], f):
        return 0.0, 0.0
    public = [a for a in i if a.where == PUBLIC]
    if not public or public[0].kind != "fixed":
        return (2.0**-f, 0.0) if i[0].kind == i[1].kind else (0.0, 0.0)
    return public_factor(i, k, f, sliding(i[0].shape, i[1].shape, params).terms()[1]).units() * 2.0**-f, 0.0


ENTRIES = [Op("conv", _abstract, _clear, _lower, product_need, exact=False, local=False, error=_error)]
