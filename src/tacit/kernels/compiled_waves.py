"""The native sums of sines and powers behind the signatures of ``reference_waves``: allocate, call C++."""

from __future__ import annotations

import numpy as np

from tacit.kernels import _native
from tacit.kernels.shapes import Array


def _c(a: Array) -> Array:
    """Return ``a`` in C order, copied only if it must be."""
    return a if a.flags.c_contiguous else np.ascontiguousarray(a)


def waves_left(
    x: Array,
    masks: Array,
    stride: int,
    first: int,
    rate: int,
    step: int,
    scale: float,
    harmonics: int,
    width: int,
) -> Array:
    """Return rows rint(scale·cos), rint(scale·sin) of every harmonic of x, less the masks."""
    out = np.empty(2 * harmonics * (-(-x.size * width // 8)), np.uint8)
    _native.waves_left(out, _c(x), _c(masks), stride, first, rate, step, scale, harmonics, width)
    return out


def waves_right(
    x: Array, rows: Array, stride: int, first: int, rate: int, step: int, a: Array, b: Array, width: int
) -> Array:
    """Return Σ_j row 2j·rint(a_j cos + b_j sin) + row 2j+1·rint(b_j cos − a_j sin), mod 2^64; `a` may be empty."""
    out = np.empty(x.size, np.uint64)
    _native.waves_right(out, _c(x), _c(rows), stride, first, rate, step, a, b, width)
    return out


def powers_left(
    x: Array,
    masks: Array,
    stride: int,
    first: int,
    rate: int,
    offset: int,
    step: int,
    table: Array,
    width: int,
) -> Array:
    """Return rows rint(2^(step·u)·table[(h + j) mod digits]), h.u being x·rate + offset in digits, less the masks."""
    out = np.empty(table.size * (-(-x.size * width // 8)), np.uint8)
    bits = table.size.bit_length() - 1
    _native.powers_left(out, _c(x), _c(masks), stride, first, rate, offset, step, table, bits, width)
    return out


def powers_right(
    x: Array, rows: Array, stride: int, first: int, rate: int, step: int, scale: float, bits: int, width: int
) -> Array:
    """Return row h·rint(2^(step·u)·scale) mod 2^64, h.u being x·rate in 2^bits digits."""
    out = np.empty(x.size, np.uint64)
    _native.powers_right(out, _c(x), _c(rows), stride, first, rate, step, scale, bits, width)
    return out


def look_up(index: Array, masks: Array, stride: int, first: int, tables: Array, width: int) -> Array:
    """Return rows tables[set][index XOR j], the indices of all sets after one another, less the masks."""
    out = np.empty(tables.shape[1] * (-(-index.size * width // 8)), np.uint8)
    _native.look_up(out, _c(index), _c(masks), stride, first, _c(tables), tables.shape[1], width)
    return out


def pick_rows(index: Array, rows: Array, stride: int, first: int, count: int, width: int) -> Array:
    """Return, for every element, what the row with its index holds."""
    out = np.empty(index.size, np.uint64)
    _native.pick_rows(out, _c(index), _c(rows), stride, first, count, width)
    return out
