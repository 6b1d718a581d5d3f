"""Functions that separate over two operands: F(a + b) = Σ_j g_j(a)·h_j(b), computed without comparisons.

What one party knows (a) and two others know (b) is evaluated by them in the clear; only the sum of products is
computed on shares. Sines, cosines and powers separate like this (docs/decisions/0050).
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from tacit.kernels import Mask

Array = npt.NDArray[Any]


class Factors(Protocol):
    """How a function separates. Known halves are given as uint64 words or, if `width` is more than 64, as U128.

    Rows are elements of `width` bits, packed low bit first; row r starts at bit r·stride of its buffer. `weigh` is
    computed by two parties on their own machines and must use the same h_j(b) to the last bit: only integer
    operations, and float64 additions and products in a fixed order.
    """

    @property
    def terms(self) -> int:
        """Number of products."""

    @property
    def width(self) -> int:
        """The sum of products lies in (−2^(width−2), 2^(width−2)), in Z/2^width."""

    @property
    def shift(self) -> int:
        """The sum is divided by 2^shift, rounded to within one unit."""

    def mask(self, known: Array, masks: Mask, stride: int) -> Array:
        """Return the rows g_j(a) less the rows of the masks, mod 2^width: bytes, each row from a whole one on."""

    def weigh(self, known: Array, rows: Mask, stride: int) -> Array:
        """Return Σ_j h_j(b)·row j in whole words, a multiple of 2^width added or not."""


def lifted_bits(k: int, width: int, shift: int) -> int:
    """Return the bits of the wrap's multiple that count in Z/2^k: k − (width − shift), or none."""
    return max(0, k - width + shift)
