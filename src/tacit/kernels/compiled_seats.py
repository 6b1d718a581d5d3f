"""The native kernels of tournaments behind the signatures of ``reference_seats``: allocate, call C++."""

from __future__ import annotations

import numpy as np

from tacit.kernels import _native
from tacit.kernels.reference_seats import Seating
from tacit.kernels.shapes import U64, Array


def _laid(x: Array) -> tuple[Array, bool]:
    """Return rows as they lie in memory, and whether columns are rows there; copied if they lie otherwise."""
    if x.flags.c_contiguous:
        return x, False
    return (x.T, True) if x.T.flags.c_contiguous else (np.ascontiguousarray(x), False)


def seat_gaps(x: Array, s: Seating, bits: int) -> Array:
    """Return, of every pair of seats, the first less the second mod 2^bits, ``uint64[k(k−1)/2, groups, columns]``."""
    held, turned = _laid(x)
    out = np.empty((s.k * (s.k - 1) // 2, s.groups, x.shape[1]), U64)
    _native.seat_gaps(out, held, len(x), x.shape[1], turned, *s, bits)
    return out


def seat_sums(steps: Array, x: Array, s: Seating, bits: int) -> Array:
    """Return the last seat plus the steps (k − 1, groups, columns) of all others mod 2^bits."""
    held, turned = _laid(x)
    out = np.empty((s.groups, x.shape[1]), U64)
    _native.seat_sums(out, np.ascontiguousarray(steps), held, len(x), x.shape[1], turned, *s, bits)
    return out


def seat_wins(met: Array, k: int, n: int, one: bool) -> Array:
    """Return planes of bits (k − 1 seats, n): of each seat its pairs' with all others, ``uint64[k−1, L]``."""
    out = np.empty((k - 1, -(-(k - 1) * n // 64)), U64)
    _native.seat_wins(out, met, k, n, one)
    return out


def won_rows(out: Array, at: int, hot: Array, one: bool, rows: int, alone: int, k: int, columns: int) -> None:
    """Put the bits (rows + alone, columns) of who won in place in ``out``, from bit ``at`` on."""
    _native.won_rows(out, at, hot, one, rows, alone, k, columns)


def rows_below(out: Array, at: int, above: Array, start: int, rows: int, k: int, columns: int) -> None:
    """Put the bits (rows, columns) of the rows above, each k times, in place in ``out``, from bit ``at`` on."""
    _native.rows_below(out, at, above, start, rows, k, columns)


def row_numbers(marks: Array, rows: int, columns: int, bits: int) -> Array:
    """Return the XOR of the numbers of marked rows (rows, columns), the highest bit first, ``uint64[bits, L]``."""
    out = np.empty((bits, -(-columns // 64)), U64)
    held = np.zeros(-(-(columns << bits) // 64), U64)
    _native.rows_below(held, 0, marks, 0, rows, 1, columns)
    _native.row_numbers(out, held, np.empty(held.size, U64), bits, columns)
    return out
