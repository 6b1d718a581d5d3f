"""Functions that separate over two operands: F(a + b) = Σ_j g_j(a)·h_j(b), computed without comparisons.

What one party knows (a) and two others know (b) is evaluated by them in the clear; only the sum of products is
computed on shares. Sines, cosines, powers and look-ups separate like this (docs/decisions/0050).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tacit.core.share import Planes, Share

Array = npt.NDArray[Any]
Operand = Share | tuple[Planes, ...]
"""Flat ring elements, or sets of at most 64 planes: words of XOR-shared bits, set after set."""


class Factors(Protocol):
    """How a function separates. Known halves are given as uint64 words, one array for each operand.

    `right` is computed by two parties on their own machines and must give both the same bits: only integer
    operations, and float64 additions and products in a fixed order. `left` is computed by one party.
    """

    @property
    def terms(self) -> int:
        """Number of products."""

    @property
    def width(self) -> int:
        """The sum of products lies in [−2^(width−2), 2^(width−2)), in Z/2^width."""

    @property
    def shift(self) -> int:
        """The sum is divided by 2^shift, rounded to within one unit."""

    def left(self, known: Sequence[Array]) -> Iterator[Array]:
        """Yield g_j(a) for every j: uint64 words below 2^width."""

    def right(self, known: Sequence[Array]) -> Iterator[Array]:
        """Yield h_j(b) for every j: uint64 words below 2^width."""


def size(operand: Operand) -> int:
    """Return the number of elements of an operand."""
    return operand.size if isinstance(operand, Share) else sum(p.n for p in operand)


def lifted_bits(k: int, width: int, shift: int) -> int:
    """Return the bits of the wrap's multiple that count in Z/2^k: k − (width − shift)."""
    return k - width + shift


def total(rows: Iterator[Array], weights: Iterator[Array], n: int) -> Array:
    """Return Σ rows_j·weights_j mod 2^64."""
    out, scratch = np.zeros(n, np.uint64), np.empty(n, np.uint64)
    for row, weight in zip(rows, weights, strict=True):
        np.multiply(row, weight, out=scratch)
        out += scratch
    return out
