"""Affine recurrences with public coefficients: s' = A s + b, all turns at once (decision 0095).

Turns lie in blocks. What a block adds up to from nothing is a public matrix times its rows; what is carried from block
to block follows the same way, of so many times fewer turns; and every state is a public matrix times its block's rows
and what was carried to the block. Products with public numbers are local: only what they round takes rounds.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import functions as xp
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Value, known

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter

Array = npt.NDArray[Any]
Span = tuple[float, float]
SIZES = (16, 8)
"""Turns of a block, if so many count: of what fades sooner, ranges of long sums would say too much."""
SHORT = 4
"""Turns of a block of what fades soon."""
PLAIN = 2.0**13
"""Below it, products of a ring of 64 bits leave all fractional bits that there are (`array/ranges.py`)."""
FADED = 2.0**-80
"""What no format can show."""
FEW_BLOCKS = 8
MOST_NUMBERS = 1 << 13
"""Public numbers in the text: some 150 kB. Of coefficients that differ by turn a loop's text has one for each, too."""
MOST_BY_TURN = 1 << 18
TOO_LARGE = 2.0**50
UNITS = 128
"""Roundings that the margin of an assumed range (`array/intervals.py`) is sure to hold."""
FINE = 2.0**-16
"""The largest unit of a format (`array/ranges.py`)."""
AT_ONCE = 1 << 10
APART = 6
"""Carries that are each multiplied apart where their ranges would cost fractional bits together."""
WHY = "what a loop carries is a sum of its rows with public weights"


class TooFar(Exception):
    """A recurrence that grows beyond what is computed, or takes too many numbers: a loop says what is wrong."""


def states(
    it: Interpreter,
    coefficients: tuple[Array, bool],
    rows: list[SecretArray],
    start: list[Value],
    stacked: bool,
    fed: list[Array] | None = None,
) -> list[SecretArray]:
    """Return each carry after every turn, or, not `stacked`, after the last, as one row.

    Coefficients are (turns or 1, places or 1, to, from); by place, of carries of one shape, or all with all. Rows are
    nought but for elements that are `fed`.
    """
    a, each = coefficients
    turns, shapes = rows[0].shape[0], [b.shape[1:] for b in rows]
    kind = rows[0].dtype
    if not np.all(np.isfinite(a)) or (kind == "int" and np.any(np.abs(a) > TOO_LARGE)):
        raise TooFar
    if a.size == 1 and a.flat[0] == 1:
        sums = xp.cumulative_sum(rows[0], 0) if stacked else xp.expand_dims(xp.sum(rows[0], (0,)), 0)
        return [xp.add(sums, xp.astype(it.lift(start[0]), kind))]
    laid = (-1, 1) if each else (1, -1)
    b = [xp.reshape(v, (turns, *_laid(s, laid))) for v, s in zip(rows, shapes, strict=True)]
    first: list[Any] = []
    for v, s in zip(start, shapes, strict=True):
        if known(v):
            first.append(np.asarray(v, np.int64 if kind == "int" else float).reshape(_laid(s, laid)))
        else:
            first.append(xp.reshape(xp.astype(v, kind), _laid(s, laid)))
    if not all(known(v) for v in first):
        first = [xp.astype(it.lift(v), kind) for v in first]
    sizes = [1 if each else math.prod(s) for s in shapes]
    spans, begins = (
        np.concatenate([np.repeat(_ends(v), n, 0) for v, n in zip(values, sizes, strict=True)])
        for values in (rows, start)
    )
    if fed is not None and not each:
        spans = spans * np.concatenate([v.reshape(-1, 1) for v in fed])
    source = moves(a)
    lo, hi = reach(a, turns, spans, begins) if source is None else _moved_reach(source, turns, spans, begins)
    parts = [slice(end - n, end) for n, end in zip(sizes, np.cumsum(sizes), strict=True)]
    ends = [(float(lo[p].min()), float(hi[p].max())) for p in parts]
    if source is not None:
        together = _moved(
            it, source, xp.concat(b, 2), xp.concat([it.context.const(v, kind) for v in first], 1)
        )
        found = [together[:, :, p] for p in parts]
        return [
            within(xp.reshape(v if stacked else v[-1:], (-1 if stacked else 1, *s)), *span)
            for v, s, span in zip(found, shapes, ends, strict=True)
        ]
    # What a block adds up to from nothing is a state, too, if all rows before it are nought.
    lo, hi = reach(a, turns, np.stack([spans.min(1, initial=0), spans.max(1, initial=0)], 1), 0 * begins)
    apart = [(float(lo[p].min()), float(hi[p].max())) for p in parts]
    solver = _Solver(it, kind, parts, ends, apart, _limit(a.size))
    if len(b) > 1 and (len(b) > APART or solver.most(a, b) <= PLAIN):
        whole = np.concatenate(first, 1) if all(map(known, first)) else xp.concat(first, 1)
        solver = _Solver(it, kind, [slice(0, sum(sizes))], [_hull(ends)], [_hull(apart)], solver.limit)
        (together,) = solver.solve(a, [xp.concat(b, 2)], [whole], stacked)
        found = [together[:, :, p] for p in parts]
    else:
        found = solver.solve(a, b, first, stacked)
    shaped = [xp.reshape(v, (v.shape[0], *s)) for v, s in zip(found, shapes, strict=True)]
    return [within(v, *span) for v, span in zip(shaped, ends, strict=True)]


def too_many(turns: int, k: int) -> bool:
    """Whether states of so many elements, each made of all by one matrix, take too many numbers."""
    return min(_numbers(size, turns, False, k * k) for size in (2, SHORT, *SIZES)) > _limit(k * k)


def _limit(coefficients: int) -> int:
    return max(MOST_NUMBERS, min(8 * coefficients, MOST_BY_TURN))


def _numbers(size: int, turns: int, by_turn: bool, coefficients: int) -> float:
    """Return how many public numbers blocks of a size take that are not nought, at all levels."""
    one = coefficients * size * (size + 3) / 2
    return one * (turns / (size - 1) if by_turn else math.ceil(math.log(max(turns, 2), size)))


def _hull(spans: list[Span]) -> Span:
    return min(lo for lo, _ in spans), max(hi for _, hi in spans)


def _laid(shape: tuple[int, ...], laid: tuple[int, int]) -> tuple[int, int]:
    n = math.prod(shape)
    return (n, 1) if laid[0] < 0 else (1, n)


def _ends(v: Value) -> Array:
    """Return the least and the greatest of a value, as one row."""
    if known(v):
        a = np.asarray(v, float)
        return np.array([[a.min(), a.max()]])
    return np.array([[v.aval.lo, v.aval.hi]], float)


def within(x: SecretArray, lo: float, hi: float) -> SecretArray:
    """Return an array whose range is known to be no wider."""
    if x.dtype == "int":
        lo, hi = math.floor(lo), math.ceil(hi)
    else:
        # Of a loop around this one ranges settle only if float64 adds nothing to them; the margin of what is assumed
        # is wider than what is cut off.
        lo, hi = float(f"{lo:.12g}"), float(f"{hi:.12g}")
    if lo <= x.aval.lo and x.aval.hi <= hi:
        return x
    return xp.assume(x, max(lo, x.aval.lo), min(hi, x.aval.hi), WHY)


def reach(a: Array, turns: int, rows: Array, start: Array) -> tuple[Array, Array]:
    """Return the least and the greatest that each carry can be after any turn; rows and start in [0, 1] of axis 1."""
    if a.shape[0] > 1:
        found = _step_by_step(a, rows, start)
        units = _step_by_step(np.abs(a), np.ones_like(rows) * [-1, 1], np.zeros_like(start))
    else:
        found = _powers(a[0], turns, rows, start)
        units = _powers(a[0], turns, np.ones_like(rows) * [-1, 1], np.zeros_like(start))
    # Roundings add up where they are many: in a loop, too.
    more = np.where(units[1] > UNITS, units[1] * FINE, 0)
    return found[0] - more, found[1] + more


def _image(g: Array, span: Array) -> Array:
    """Return the ranges, (..., to, 2), of products of matrices with what lies in ranges (from, 2)."""
    up, down = np.maximum(g, 0), np.minimum(g, 0)
    return np.stack([up @ span[:, 0] + down @ span[:, 1], up @ span[:, 1] + down @ span[:, 0]], -1)


def _powers(a: Array, turns: int, rows: Array, start: Array) -> tuple[Array, Array]:
    """Bound all states by the powers of one matrix (places, to, from): every row counts by its own."""
    ends, total = np.stack([start[:, 0], start[:, 1]], -1)[None], np.zeros((a.shape[0], a.shape[1], 2))
    before = np.eye(a.shape[1])[None] * np.ones((a.shape[0], 1, 1))
    with np.errstate(all="ignore"):
        chunk = before[None]
        while chunk.shape[0] < min(turns, AT_ONCE):
            power = chunk[-1] @ a
            chunk = np.concatenate([chunk, chunk @ power])
        step = chunk[-1] @ a
        for done in range(0, turns, chunk.shape[0]):
            g = (chunk @ before)[: turns - done]
            sums = total + np.cumsum(_image(g, rows), 0)
            states = sums + _image(g @ a, start)
            if not np.all(np.abs(states) < TOO_LARGE):
                raise TooFar
            low, high = states[..., 0].min((0, 1)), states[..., 1].max((0, 1))
            ends = np.concatenate([ends, np.stack([low, high], -1)[None]])
            total, before = sums[-1], before @ step
            if np.abs(before).sum(-1).max() < FADED:
                break
    return ends[..., 0].min(0), ends[..., 1].max(0)


def _step_by_step(a: Array, rows: Array, start: Array) -> tuple[Array, Array]:
    now = np.ones((a.shape[1], 1, 1)) * start
    lo, hi = start[:, 0], start[:, 1]
    for each in a:
        up, down = np.maximum(each, 0), np.minimum(each, 0)
        now = up @ now + (down @ now)[..., ::-1] + rows
        if not np.all(np.abs(now) < TOO_LARGE):
            raise TooFar
        lo, hi = np.minimum(lo, now[..., 0].min(0)), np.maximum(hi, now[..., 1].max(0))
    return lo, hi


def moves(a: Array) -> Array | None:
    """Return from where each element of the carries is next, -1 where from none, if they are moved and no more."""
    m = a[0, 0]
    if a.shape[:2] != (1, 1) or not np.all((m == 0) | (m == 1)) or np.any(m.sum(-1) > 1):
        return None
    return np.where(m.any(-1), m.argmax(-1), -1)


def _moved(it: Interpreter, source: Array, b: SecretArray, start: SecretArray) -> SecretArray:
    """Return all states of a window, a delay or a ring, by doubling: nothing is rounded."""
    x = xp.concat([xp.expand_dims(start, 0), b])
    nought, reach = it.context.const(np.zeros((*x.shape[:2], 1)), x.dtype), 1
    while reach < x.shape[0] and np.any(source >= 0):
        before = xp.concat([x, nought], 2)[:-reach]
        more = xp.take(before, np.where(source < 0, x.shape[2], source), 2)
        x = xp.concat([x[:reach], xp.add(x[reach:], more)])
        source = np.where(source < 0, -1, source[source])
        reach *= 2
    return x[1:]


def _moved_reach(source: Array, turns: int, rows: Array, start: Array) -> tuple[Array, Array]:
    """As `reach`; what has been moved as often as there are elements, and is still there, goes round for ever."""
    now, found, left = start, start.T, np.arange(source.size)
    for _ in range(turns):
        now = np.where((source < 0)[:, None], 0, now[source]) + rows
        found = np.stack([np.minimum(found[0], now[:, 0]), np.maximum(found[1], now[:, 1])])
        left = np.where(left < 0, -1, source[left])
        if np.all(left < 0):
            break
    return found[0], found[1]


class _Solver:
    """States (turns, places, columns), by blocks of blocks, in `parts` of the columns.

    They lie in `spans`, and in `sums` if nothing was before.
    """

    def __init__(
        self, it: Interpreter, kind: str, parts: list[slice], spans: list[Span], sums: list[Span], limit: int
    ) -> None:
        self.it, self.kind, self.parts, self.spans, self.sums = it, kind, parts, spans, sums
        self.limit = limit
        """Public numbers that may be written."""

    def solve(self, a: Array, b: list[SecretArray], start: list[Any], stacked: bool) -> list[SecretArray]:
        """Return all states, or the last, of s' = A s + b from `start` (places, columns), which may be known."""
        turns = b[0].shape[0]
        size = self._size(a, b)
        apart = a.shape[0] > 1
        # What is left over follows by itself; where only the last is wanted, always some turns.
        whole = (turns - (not stacked)) // size
        if turns <= size or not whole:
            return self._block(a, b, start, stacked)
        end = whole * size
        of = a[:end].reshape(whole, size, *a.shape[1:]) if apart else a[None]
        sums, powers = _matrices(of, size)
        blocks = [xp.reshape(v[:end], (whole, size, *v.shape[1:])) for v in b]
        ends = [
            within(xp.reshape(v, (whole, *v.shape[2:])), *span)
            for v, span in zip(
                self._summed(sums[:, :, -1:], blocks), self._reach(sums[:, :, -1], b), strict=True
            )
        ]
        onward = powers[:, :, -1]
        if np.abs(onward).sum(-1).max() < FADED:
            after = ends if stacked else [v[-1:] for v in ends]
        else:
            after = self.solve(onward, ends, start, stacked)
        rest, left = a[end:] if apart else a, [v[end:] for v in b]
        if not stacked:
            return self._block(rest, left, [v[0] for v in after], False)
        before = []
        for s, v in zip(start, after, strict=True):
            begin = xp.expand_dims(self.it.context.const(s, self.kind) if known(s) else s, 0)
            before.append(xp.concat([begin, v[:-1]]) if whole > 1 else begin)
        found = [xp.reshape(v, (end, *v.shape[2:])) for v in self._of(sums, powers, blocks, before)]
        if end == turns:
            return found
        last = self._block(rest, left, [v[-1] for v in after], True)
        return [xp.concat(pair) for pair in zip(found, last, strict=True)]

    def _block(self, a: Array, b: list[SecretArray], start: list[Any], stacked: bool) -> list[SecretArray]:
        """Return the states of one block, or its last."""
        sums, powers = _matrices(a[None], b[0].shape[0])
        if not stacked:
            sums, powers = sums[:, :, -1:], powers[:, :, -1:]
        before = [v[None] if known(v) else xp.expand_dims(v, 0) for v in start]
        return [v[0] for v in self._of(sums, powers, [xp.expand_dims(v, 0) for v in b], before)]

    def _of(
        self, sums: Array, powers: Array, blocks: list[SecretArray], before: list[Any]
    ) -> list[SecretArray]:
        """Return states (blocks, turns of one, places, columns) from rows, and from what is before each block."""
        n = blocks[0].shape[1]
        if all(map(known, before)):
            out, begun = self._summed(sums, blocks), np.concatenate(before, 2)
            if np.any(begun):
                # Of one block; places may share coefficients.
                shared = np.broadcast_to(powers, (1, begun.shape[1], *powers.shape[2:]))
                more = self._typed(np.einsum("bsmxy,bsy->bmsx", shared, begun))
                out = [
                    xp.add(v, self.it.context.const(more[..., p], self.kind))
                    for v, p in zip(out, self.parts, strict=True)
                ]
        elif n <= SHORT and max(self._largest(powers, self._most(blocks), n)) <= PLAIN:
            # What was before is one more row: rounded once.
            joined = [xp.concat([xp.expand_dims(s, 1), v], 1) for s, v in zip(before, blocks, strict=True)]
            out = self._summed(np.concatenate([powers[..., None, :], sums], 4), joined)
        else:
            past = self._apply(powers[..., None, :], [xp.expand_dims(v, 1) for v in before])
            out = [xp.add(v, s) for v, s in zip(self._summed(sums, blocks), past, strict=True)]
        return [within(v, *span) for v, span in zip(out, self.spans, strict=True)]

    def _summed(self, sums: Array, rows: list[SecretArray]) -> list[SecretArray]:
        """Return the rows of a block, the last ones as they are, and public multiples of all before each of them."""
        m, n = sums.shape[2], rows[0].shape[1]
        kept = [v[:, n - m :] if m < n else v for v in rows]
        if n == 1:
            return kept
        own = np.eye(sums.shape[3])
        rest = sums.copy()
        for j in range(m):
            rest[:, :, j, :, n - m + j] -= own
        more = self._apply(rest[..., : n - 1, :], [v[:, : n - 1] for v in rows])
        return [xp.add(v, w) for v, w in zip(kept, more, strict=True)]

    def _apply(self, matrices: Array, xs: list[SecretArray]) -> list[SecretArray]:
        """Multiply xs (blocks, from turns, places, columns) by matrices (blocks or 1, places or 1, to, …, from, …)."""
        if self.kind == "int" and np.abs(matrices).max() > TOO_LARGE:
            raise TooFar
        shape = matrices.shape
        batch = [axis for axis, n in ((0, shape[0]), (2, shape[1])) if n > 1]
        if not batch and 1 < xs[0].shape[0] <= FEW_BLOCKS and xs[0].shape[2] > 1:
            # Columns stay those of one axis, along which rows may be different owners' (`array/passes.py`).
            batch = [0]
        order, at = [*batch, 1, 3, *(axis for axis in (0, 2) if axis not in batch)], len(batch)
        many = [math.prod(xs[0].shape[axis] for axis in batch)] if batch else []
        turned = []
        for x in xs:
            sizes = [x.shape[axis] for axis in order]
            columns = math.prod(sizes[at + 2 :])
            turned.append(
                xp.reshape(xp.permute_dims(x, order), (*many, math.prod(sizes[at : at + 2]), columns))
            )
        # All products before what reads them: they share their rounds.
        found = [
            [self._product(matrices[:, :, :, p][..., q], x) for q, x in zip(self.parts, turned, strict=True)]
            for p in self.parts
        ]
        out = []
        for p, terms in zip(self.parts, found, strict=True):
            sizes = [xs[0].shape[axis] for axis in order]
            sizes[at : at + 2] = [shape[2], p.stop - p.start]
            total = xp.reshape(functools.reduce(xp.add, terms), sizes)
            out.append(xp.permute_dims(total, [int(i) for i in np.argsort(order)]))
        return out

    def _product(self, matrices: Array, x: SecretArray) -> SecretArray:
        blocks, places, turns, k = matrices.shape[:4]
        left = self._typed(matrices.reshape(blocks * places, turns * k, -1))
        return xp.matmul(left if x.ndim > 2 and blocks * places > 1 else left[0], x)

    # -- how large ------------------------------------------------------------------------------------------

    def most(self, a: Array, b: list[SecretArray]) -> float:
        """Return how large products of the carries by one matrix may be, as its range is found."""
        return max(self._most(b)) * float(np.abs(a).max()) * a.shape[-1]

    def _most(self, rows: list[SecretArray]) -> list[float]:
        return [
            max(abs(v) for v in (*span, x.aval.lo, x.aval.hi))
            for span, x in zip(self.spans, rows, strict=True)
        ]

    def _reach(self, last: Array, b: list[SecretArray]) -> list[Span]:
        """Return the ranges of sums of rows by matrices (blocks, places, to, turns, from)."""
        up, down = np.maximum(last, 0).sum(-2), np.minimum(last, 0).sum(-2)
        ends = np.concatenate(
            [_ends(x).repeat(p.stop - p.start, 0) for x, p in zip(b, self.parts, strict=True)]
        )
        lo, hi = up @ ends[:, 0] + down @ ends[:, 1], up @ ends[:, 1] + down @ ends[:, 0]
        return [
            (max(span[0], float(lo[..., p].min())), min(span[1], float(hi[..., p].max())))
            for p, span in zip(self.parts, self.sums, strict=True)
        ]

    def _largest(self, matrices: Array, most: list[float], terms: int) -> list[float]:
        """Return how large sums of so many turns may be, as matrices' ranges are found; they are (…, to, from)."""
        of = [(q.stop - q.start, q, m) for q, m in zip(self.parts, most, strict=True)]
        return [
            terms * sum(n * float(np.abs(matrices[..., p, q]).max()) * m for n, q, m in of)
            for p in self.parts
        ]

    def _size(self, a: Array, b: list[SecretArray]) -> int:
        """Return the turns of a block.

        Many, if so many count, the text does not grow by too many numbers, and the ranges of their sums, as matrices'
        are found, are no wider than those of products in a loop, or cost no fractional bits.
        """
        n, places, k, _ = a.shape
        turns = b[0].shape[0]

        def numbers(size: int) -> float:
            return _numbers(size, turns, n > 1, places * k * k)

        first = np.abs(_matrices(a[None, : SIZES[0]], min(SIZES[0], turns))[0])
        counts = first.sum((-2, -1)).max() / first.max()
        flat = first.transpose(0, 1, 2, 4, 3, 5)
        for size in (*SIZES, SHORT):
            terms = (size - 1) * k
            fits = terms <= counts or max(self._largest(flat, self._most(b), size - 1)) <= PLAIN
            if len(self.parts) > 1:
                rows = [max(abs(v) for v in (x.aval.lo, x.aval.hi)) for x in b]
                fits = all(
                    v <= max(PLAIN, *span, -span[0])
                    for v, span in zip(self._largest(flat, rows, size - 1), self.spans, strict=True)
                )
            if fits and (size == SHORT or size * k <= 4 * counts) and numbers(size) <= self.limit:
                return size
        if numbers(2) > self.limit:
            raise TooFar
        return 2

    def _typed(self, a: Array) -> Array:
        return np.rint(a).astype(np.int64) if self.kind == "int" else a


def _matrices(a: Array, size: int) -> tuple[Array, Array]:
    """Return by what rows, and what is before them, count in the states of blocks of `size` turns.

    A is (blocks, turns or 1, places, to, from); the matrices (blocks, places, turns, to, turns, from) and
    (blocks, places, turns, to, from).
    """
    blocks, turns, places, k, _ = a.shape
    sums = np.zeros((blocks, places, size, k, size, k))
    powers = np.zeros((blocks, places, size, k, k))
    with np.errstate(all="ignore"):
        for j in range(size):
            now = a[:, j if turns > 1 else 0]
            powers[:, :, j] = now @ powers[:, :, j - 1] if j else now
            if j:
                before = sums[:, :, j - 1].reshape(blocks, places, k, size * k)
                sums[:, :, j] = (now @ before).reshape(blocks, places, k, size, k)
            sums[:, :, j, :, j] = np.eye(k)
    if not (np.all(np.abs(sums) < TOO_LARGE) and np.all(np.abs(powers) < TOO_LARGE)):
        raise TooFar
    return sums, powers
