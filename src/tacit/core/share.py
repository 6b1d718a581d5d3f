"""Shares: what one party holds of a secret array."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.kernels import Into, Places

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Share:
    """One party's parts of a secret array: ring elements, or 0/1 bytes for XOR-shared truth values.

    All parts have the shape of the secret. The number of parts belongs to the protocol (replicated sharing
    holds two, additive sharing and the clear one).
    """

    parts: tuple[Array, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the secret."""
        return self.parts[0].shape

    @property
    def size(self) -> int:
        """Number of elements of the secret."""
        return self.parts[0].size

    def map(self, fn: Callable[[Array], Array]) -> Share:
        """Apply a function that only moves elements (reshape, slice, transpose) to every part."""
        return Share(tuple([fn(p) for p in self.parts]))

    def reshape(self, *shape: int) -> Share:
        """Return the share of the reshaped secret."""
        if self.parts[0].shape == shape:
            return self
        return Share(tuple([p.reshape(shape) for p in self.parts]))

    def __getitem__(self, key: Any) -> Share:
        return Share(tuple([p[key] for p in self.parts]))

    def __repr__(self) -> str:
        return f"Share(shape={self.shape}, parts={len(self.parts)})"


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows and some columns of matrices: element (b, i, j) of them is flat[batch[b] + first[i] + second[j]].

    `rows` and `columns` say which these are, None all in order.
    """

    at: Places
    rows: Array | None = None
    columns: Array | None = None


KEPT_ROWS = 1 << 17
"""Rows of a matrix of which places are kept; more are found again each time."""


def _rows_at(runs: int, apart: int, run: int, step: int) -> Array:
    """Return where rows begin that lie in runs, `apart` from one to the next, a run's rows by `step`; read only."""
    of = _kept_rows_at if runs * run <= KEPT_ROWS else _kept_rows_at.__wrapped__
    return of(runs, apart, run, step)


@lru_cache(maxsize=16)
def _kept_rows_at(runs: int, apart: int, run: int, step: int) -> Array:
    at = (np.arange(runs)[:, None] * apart + np.arange(run) * step).reshape(-1)
    at.flags.writeable = False
    return at


@dataclass(frozen=True, slots=True)
class Gathered:
    """One party's parts of a secret matrix, or of several, whose elements lie anywhere in `flat`, some more than once.

    The windows of an image, without laying them out. Rows are each in one block; outside of the blocks are zeros.
    """

    flat: Share
    sizes: tuple[int, int, int]
    """Matrices, rows and columns."""
    blocks: tuple[Block, ...]
    run: int = 0
    """Rows whose products with a column lie in a row in the result (`in_runs`), as an image's places do; or 0."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the matrices; a single one has two axes."""
        return self.sizes if self.sizes[0] != 1 else self.sizes[1:]

    @property
    def size(self) -> int:
        """Number of elements of the matrices."""
        return math.prod(self.shape)

    def times(self, y: Gathered, product: Callable[[Places, Places, Into], object]) -> Array:
        """Return what `product` makes of the tables of blocks and of those of y, which is one block.

        It puts the products where they belong: three axes, or four where rows lie in runs.
        """
        (batch, rows, columns), (matrices, height, _) = y.blocks[0].at, self.sizes
        width, run = columns.size, self.run or 1
        missed = any(not block.at[2].size for block in self.blocks)
        room = np.zeros if missed else np.empty
        dtype = self.flat.parts[0].dtype
        if self.blocks[0].rows is None:
            out = room((matrices, height // run, width, run), dtype)
            if not missed:
                at = _rows_at(height // run, width * run, run, 1)
                product(self.blocks[0].at, y.blocks[0].at, (out, at, run))
            return out if self.run else out.reshape(matrices, height, width)
        # Of each of its rows a block has all runs, one beside the other: they are turned at the end.
        out = room((matrices, width, run, height // run), dtype)
        at = _rows_at(height // run, 1, run, height // run)
        for block in self.blocks:
            if block.at[2].size:
                product(block.at, (batch, rows[block.columns], columns), (out, at[block.rows], height))
        out = np.ascontiguousarray(out.transpose(0, 3, 1, 2))
        return out if self.run else out.reshape(matrices, height, width)

    def in_runs(self, product: Share) -> Share:
        """Return the product of these matrices and others (matrices, rows, columns) as `times` lays it."""
        if not self.run:
            return product

        def turned(part: Array) -> Array:
            runs = part.reshape(*part.shape[:-2], part.shape[-2] // self.run, self.run, part.shape[-1])
            return runs.swapaxes(-1, -2)

        return product.map(turned)

    def laid_out(self) -> Share:
        """Return the matrices with a place for every element."""
        return self.flat.map(self._laid_out)

    def _laid_out(self, part: Array) -> Array:
        out = np.zeros(self.sizes, part.dtype)
        for block in self.blocks:
            batch, first, second = block.at
            some = part[batch[:, None, None] + first[:, None] + second]
            if block.rows is None:
                return some.reshape(self.shape)
            assert block.columns is not None
            out[:, block.rows[:, None], block.columns] = some
        return out.reshape(self.shape)


Matrix = Share | Gathered


def laid_out(x: Matrix) -> Share:
    """Return shares of matrices with a place for every element."""
    return x.laid_out() if isinstance(x, Gathered) else x


@dataclass(frozen=True, slots=True)
class Planes:
    """One party's parts of XOR-shared bits, bit-sliced: each part is uint64 (planes, ceil(n/64)).

    Bit i of word j of plane b is bit b of element 64·j+i. Lanes past `n` carry no meaning.
    """

    parts: tuple[Array, ...]
    n: int

    @property
    def planes(self) -> int:
        """Number of bit planes."""
        return self.parts[0].shape[0]

    def __getitem__(self, key: Any) -> Planes:
        """Select planes (an integer keeps the axis)."""
        if isinstance(key, int):
            key = slice(key, key + 1 or None)
        return Planes(tuple([p[key] for p in self.parts]), self.n)

    def __repr__(self) -> str:
        return f"Planes(planes={self.planes}, n={self.n})"


def in_order(part: Array) -> Array:
    """Return elements that lie in memory in order: `part`, or a copy of its class, which a ghost's is counted by."""
    return np.asanyarray(part, order="C")


def join(shares: list[Share], axis: int = 0) -> Share:
    """Concatenate shares of several secrets along `axis`."""
    if len(shares) == 1:
        return shares[0]
    return Share(tuple(np.concatenate(ps, axis=axis) for ps in zip(*(s.parts for s in shares), strict=True)))


def apart(row: Share, sizes: Sequence[int]) -> list[Share]:
    """Return the shares of several secrets of so many elements that lie in a row."""
    ends = list(accumulate(sizes))
    return [row[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def stack_planes(items: list[Planes]) -> Planes:
    """Put the planes of several sets, of the same elements, above one another."""
    if len(items) == 1:
        return items[0]
    parts = zip(*(p.parts for p in items), strict=True)
    return Planes(tuple(np.concatenate(ps, axis=0) for ps in parts), items[0].n)


def halvings(planes: int) -> list[int]:
    """Return how many pairs each level joins, until of so many planes one is left; an odd one goes on alone."""
    levels = []
    while planes > 1:
        levels.append(planes // 2)
        planes -= planes // 2
    return levels
