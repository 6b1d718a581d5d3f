"""Affine recurrences with public coefficients: s' = A s + b, all turns at once (decision 0095).

Turns lie in blocks. What a block adds up to from nothing is a public matrix times its rows; what is carried from block
to block follows the same way, of so many times fewer turns; and every state is a public matrix times its block's rows
and what was carried to the block. Products with public numbers are local: only what they round takes rounds.
"""

from __future__ import annotations

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
SIZES = (16, 8)
"""Turns of a block, if so many count: of what fades sooner, ranges of long sums would say too much."""
SHORT = 4
"""Turns of a block of what fades soon."""
PLAIN = 2.0**13
"""Below it, products of a ring of 64 bits leave all fractional bits that there are (`array/ranges.py`)."""
FADED = 2.0**-80
"""What no format can show."""
NUMBERS = 1 << 12
"""Public numbers in the text for the blocks of one level."""
FEW_BLOCKS = 8
MOST_NUMBERS = 1 << 18
TOO_LARGE = 2.0**50
UNITS = 128
"""Roundings that the margin of an assumed range (`array/intervals.py`) is sure to hold."""
FINE = 2.0**-16
"""The largest unit of a format (`array/ranges.py`)."""
AT_ONCE = 1 << 10
WHY = "what a loop carries is a sum of its rows with public weights"


class TooFar(Exception):
    """A recurrence that grows beyond what is computed, or takes too many numbers: a loop says what is wrong."""


def states(
    it: Interpreter,
    coefficients: tuple[Array, bool],
    rows: list[SecretArray],
    start: list[Value],
    stacked: bool,
) -> list[SecretArray]:
    """Return each carry after every turn, or, not `stacked`, after the last, as one row.

    Coefficients are (turns or 1, places or 1, to, from); by place, of carries of one shape, or all with all.
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
    b = xp.concat([xp.reshape(v, (turns, *_laid(s, laid))) for v, s in zip(rows, shapes, strict=True)], 2)
    if all(known(v) for v in start):
        whole = np.int64 if kind == "int" else float
        first: Any = np.concatenate(
            [np.asarray(v, whole).reshape(_laid(s, laid)) for v, s in zip(start, shapes, strict=True)], 1
        )
    else:
        parts = [
            xp.reshape(xp.astype(it.lift(v), kind), _laid(s, laid))
            for v, s in zip(start, shapes, strict=True)
        ]
        first = xp.concat(parts, 1)
    spans = [
        np.repeat(_ends(values, each), 1 if each else math.prod(s), 0)
        for values, s in zip(rows, shapes, strict=True)
    ]
    begins = [
        np.repeat(_ends(values, each), 1 if each else math.prod(s), 0)
        for values, s in zip(start, shapes, strict=True)
    ]
    lo, hi = reach(a, turns, np.concatenate(spans), np.concatenate(begins))
    found = _Solver(it, kind, (float(lo.min()), float(hi.max()))).solve(a, b, first, stacked)
    out, at = [], 0
    for s in shapes:
        size = 1 if each else math.prod(s)
        part = xp.reshape(found[:, :, at : at + size], (found.shape[0], *s))
        out.append(within(part, float(lo[at : at + size].min()), float(hi[at : at + size].max())))
        at += size
    return out


def _laid(shape: tuple[int, ...], laid: tuple[int, int]) -> tuple[int, int]:
    n = math.prod(shape)
    return (n, 1) if laid[0] < 0 else (1, n)


def _ends(v: Value, each: bool) -> Array:
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


class _Solver:
    """States (turns, places, carries), by blocks of blocks; `span` holds them all."""

    def __init__(self, it: Interpreter, kind: str, span: tuple[float, float]) -> None:
        self.it, self.kind, self.span = it, kind, span

    def solve(self, a: Array, b: SecretArray, start: Any, stacked: bool) -> SecretArray:
        """Return all states, or the last, of s' = A s + b from `start` (places, carries), which may be known."""
        turns = b.shape[0]
        size = _size(a, turns, self._most(b))
        apart = a.shape[0] > 1
        # What is left over follows by itself; where only the last is wanted, always some turns.
        whole = (turns - (not stacked)) // size
        if turns <= size or not whole:
            return self._block(a, b, start, stacked)
        end = whole * size
        of = a[:end].reshape(whole, size, *a.shape[1:]) if apart else a[None]
        sums, powers = _matrices(of, size)
        blocks = xp.reshape(b[:end], (whole, size, *b.shape[1:]))
        summed = self._summed(sums[:, :, -1:], blocks)
        ends = within(xp.reshape(summed, (whole, *b.shape[1:])), *_sums(sums[:, :, -1], b))
        onward = powers[:, :, -1]
        if np.abs(onward).sum(-1).max() < FADED:
            after = ends if stacked else ends[-1:]
        else:
            after = self.solve(onward, ends, start, stacked)
        rest = a[end:] if apart else a
        if not stacked:
            return self._block(rest, b[end:], after[0], False)
        begin = self.it.context.const(start, self.kind) if known(start) else start
        before = xp.concat([xp.expand_dims(begin, 0), after[:-1]]) if whole > 1 else xp.expand_dims(begin, 0)
        found = xp.reshape(self._of(sums, powers, blocks, before), (end, *b.shape[1:]))
        return xp.concat([found, self._block(rest, b[end:], after[-1], True)]) if end < turns else found

    def _block(self, a: Array, b: SecretArray, start: Any, stacked: bool) -> SecretArray:
        """Return the states of one block, or its last."""
        sums, powers = _matrices(a[None], b.shape[0])
        if not stacked:
            sums, powers = sums[:, :, -1:], powers[:, :, -1:]
        found = self._of(
            sums, powers, xp.expand_dims(b, 0), start[None] if known(start) else xp.expand_dims(start, 0)
        )
        return found[0]

    def _of(self, sums: Array, powers: Array, blocks: SecretArray, before: Any) -> SecretArray:
        """Return states (blocks, turns of one, places, carries) from rows, and from what is before each block."""
        if known(before):
            out = self._summed(sums, blocks)
            if np.any(before):
                # Of one block; places may share coefficients.
                shared = np.broadcast_to(powers, (1, before.shape[1], *powers.shape[2:]))
                begun = np.einsum("bsmxy,bsy->bmsx", shared, before)
                out = xp.add(out, self.it.context.const(self._typed(begun), self.kind))
        elif (n := blocks.shape[1]) <= SHORT and n * sums.shape[3] * self._most(blocks) * np.abs(
            powers
        ).max() <= PLAIN:
            # What was before is one more row: rounded once.
            rows = xp.concat([xp.expand_dims(before, 1), blocks], 1)
            out = self._summed(np.concatenate([powers[..., None, :], sums], 4), rows)
        else:
            out = self._summed(sums, blocks)
            out = xp.add(out, self._apply(powers[..., None, :], xp.expand_dims(before, 1)))
        return within(out, *self.span)

    def _most(self, rows: SecretArray) -> float:
        return max(abs(v) for v in (*self.span, rows.aval.lo, rows.aval.hi))

    def _summed(self, sums: Array, rows: SecretArray) -> SecretArray:
        """Return the rows of a block, the last ones as they are, and public multiples of all before each of them."""
        m, n = sums.shape[2], rows.shape[1]
        kept = rows[:, n - m :] if m < n else rows
        if n == 1:
            return kept
        own = np.eye(sums.shape[3])
        rest = sums.copy()
        for j in range(m):
            rest[:, :, j, :, n - m + j] -= own
        return xp.add(kept, self._apply(rest[..., : n - 1, :], rows[:, : n - 1]))

    def _typed(self, a: Array) -> Array:
        return np.rint(a).astype(np.int64) if self.kind == "int" else a

    def _apply(self, matrices: Array, x: SecretArray) -> SecretArray:
        """Multiply x (blocks, from turns, places, carries) by matrices (blocks or 1, places or 1, to, …, from, …)."""
        shape = matrices.shape
        if self.kind == "int" and np.abs(matrices).max() > TOO_LARGE:
            raise TooFar
        batch = [axis for axis, n in ((0, shape[0]), (2, shape[1])) if n > 1]
        if not batch and 1 < x.shape[0] <= FEW_BLOCKS and x.shape[2] > 1:
            # Columns stay those of one axis, along which rows may be different owners' (`array/passes.py`).
            batch = [0]
        order = [*batch, 1, 3, *(axis for axis in (0, 2) if axis not in batch)]
        turned = xp.permute_dims(x, order)
        sizes = [x.shape[axis] for axis in order]
        many, at = math.prod(sizes[: len(batch)]), len(batch)
        inner, columns = math.prod(sizes[at : at + 2]), math.prod(sizes[at + 2 :])
        left = self._typed(matrices.reshape(-1, shape[2] * shape[3], inner))
        right = xp.reshape(turned, (many, inner, columns))
        out = xp.matmul(left, right) if many > 1 else xp.matmul(left[0], right[0])
        sizes[at] = shape[2]
        return xp.permute_dims(xp.reshape(out, sizes), [int(i) for i in np.argsort(order)])


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


def _sums(last: Array, b: SecretArray) -> tuple[float, float]:
    """Return the range of sums of rows by matrices (blocks, places, to, turns, from)."""
    up, down = (f(last, 0).sum((-2, -1)) for f in (np.maximum, np.minimum))
    lo, hi = up * b.aval.lo + down * b.aval.hi, up * b.aval.hi + down * b.aval.lo
    return float(lo.min()), float(hi.max())


def _size(a: Array, turns: int, most: float) -> int:
    """Return the turns of a block of numbers up to `most`.

    Many, if so many count, the text does not grow by too many numbers, and the ranges of their sums, as matrices' are
    found, are no wider than those of products in a loop, or cost no fractional bits.
    """
    n, places, k, _ = a.shape

    def numbers(size: int) -> int:
        return (-(-turns // size) if n > 1 else 1) * places * (size * k) ** 2

    first = np.abs(_matrices(a[None, : SIZES[0]], min(SIZES[0], turns))[0])
    counts = first.sum((-2, -1)).max() / first.max()
    for size in (*SIZES, SHORT):
        terms = (size - 1) * k
        fits = terms <= counts or terms * first.max() * most <= PLAIN
        if fits and (size == SHORT or (size * k <= 4 * counts and numbers(min(size, turns)) <= NUMBERS)):
            break
    else:
        size = 2
    if numbers(size) > MOST_NUMBERS:
        raise TooFar
    return size
