"""Levels of a tournament, in NumPy: the specification of the kernels in ``native/seats.h``.

Rows (rows, columns) meet in groups of k; seat i of group g is row ``first + i·apart + g·step``, or the last row where
there are fewer. A string of bits is a plane of whole words, of which those past its end carry no meaning in what is
read, and are zero in what is written. Why it is private is said in ``gadgets``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tacit.kernels.reference import pack_bool
from tacit.kernels.shapes import Array


class Seating(NamedTuple):
    """Which rows meet: groups of k, from a first row on; rows between seats of a group, and between groups."""

    k: int
    groups: int
    apart: int
    step: int
    first: int = 0

    def rows(self, held: int) -> Array:
        """Return the numbers of rows, of so many, in every seat of every group, ``int64[k, groups]``."""
        at = np.arange(self.k)[:, None] * self.apart + np.arange(self.groups) * self.step
        return np.minimum(self.first + at, held - 1)


def pairs(k: int) -> tuple[Array, Array]:
    """Return the seats (first, second) of every pair of k: those with the last seat, then the others."""
    first, second = np.triu_indices(k - 1, 1)
    return np.concatenate([np.arange(k - 1), first]), np.concatenate([np.full(k - 1, k - 1), second])


def _low(a: Array, bits: int) -> Array:
    return a & np.uint64((1 << bits) - 1)


def _bits(words: Array, n: int) -> Array:
    return np.unpackbits(words.view(np.uint8), count=n, bitorder="little")


def _put(out: Array, at: int, bits: Array) -> None:
    """Put bits in place in words, from a place on from where they are zero."""
    held = _bits(out, 64 * out.size)
    held[at : at + bits.size] = bits.reshape(-1)
    out[:] = pack_bool(held)


def seat_gaps(x: Array, s: Seating, bits: int) -> Array:
    """Return, of every pair of seats, the first less the second mod 2^bits, ``uint64[k(k−1)/2, groups, columns]``."""
    seats, (first, second) = x[s.rows(len(x))], pairs(s.k)
    return _low(seats[first] - seats[second], bits)


def seat_sums(steps: Array, x: Array, s: Seating, bits: int) -> Array:
    """Return the last seat plus the steps (k − 1, groups, columns) of all others mod 2^bits."""
    return _low(x[s.rows(len(x))[-1]] + steps.sum(axis=0, dtype=np.uint64), bits)


def seat_wins(met: Array, k: int, n: int, one: bool) -> Array:
    """Return planes of bits (k − 1 seats, n): of each seat its pairs' with all others, ``uint64[k−1, L]``.

    ``met`` has the bits of every pair, n each; with ``one`` those of a seat that is its pair's first are turned.
    """
    pair, seat = np.zeros((k, k), np.int64), np.arange(k - 1)
    pair[pairs(k)] = np.arange(k * (k - 1) // 2)
    other = np.arange(k - 1)[:, None]
    other = other + (other >= seat)
    won = _bits(met, k * (k - 1) // 2 * n).reshape(-1, n)[
        pair[np.minimum(seat, other), np.maximum(seat, other)]
    ]
    won = won ^ (one & (other > seat)).astype(np.uint8)[:, :, None]
    return np.array([pack_bool(row.reshape(-1)) for row in won]).reshape(k - 1, -1)


def won_rows(out: Array, at: int, hot: Array, one: bool, rows: int, alone: int, k: int, columns: int) -> None:
    """Put the bits (rows + alone, columns) of who won in place in ``out``, from bit ``at`` on.

    ``hot`` has those of all seats but the last, (k − 1, groups, columns); the last one's are the XOR of these and
    ``one``; who is alone has ``one``. Of the last group there may be fewer rows.
    """
    groups = -(-rows // k)
    seats = _bits(hot, (k - 1) * groups * columns).reshape(k - 1, groups, columns)
    last = np.bitwise_xor.reduce(seats, axis=0) ^ np.uint8(one)
    won = np.concatenate([seats, last[None]]).swapaxes(0, 1).reshape(groups * k, columns)[:rows]
    _put(out, at, np.concatenate([won, np.full((alone, columns), one, np.uint8)]))


def rows_below(out: Array, at: int, above: Array, start: int, rows: int, k: int, columns: int) -> None:
    """Put the bits (rows, columns) of the rows above, each k times, in place in ``out``, from bit ``at`` on.

    Those above begin at bit ``start``.
    """
    count = -(-rows // k) * columns
    held = _bits(above, start + count)[start:].reshape(-1, columns)
    _put(out, at, np.repeat(held, k, axis=0)[:rows])


def row_numbers(marks: Array, rows: int, columns: int, bits: int) -> Array:
    """Return the XOR of the numbers of marked rows (rows, columns), the highest bit first, ``uint64[bits, L]``."""
    marked = _bits(marks, rows * columns).reshape(rows, columns)
    of_row = np.arange(rows) >> np.arange(bits)[::-1, None] & 1
    found = [np.bitwise_xor.reduce(marked[each == 1], axis=0, initial=0) for each in of_row]
    return np.array([pack_bool(row.astype(np.uint8)) for row in found], np.uint64).reshape(bits, -1)
