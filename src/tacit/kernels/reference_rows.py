"""Rows that are sorted and moved, in NumPy: the specification of the kernels in ``native/sort.h`` and ``rows.h``.

Digits of w bits are told apart by numbers [the digit is v] mod 2^k for v = 1…2^w − 1, k bit planes each, one number
after another: ``uint64[(2^w − 1)·k, L]``. ``packed`` means ``pack_words`` of k bits an element. Places are ``uint32``,
rows of all blocks counted together. Who holds what, and why it is private, is said in ``protocols/rep3``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tacit.kernels.reference import add, from_planes, pack_words, sub, to_planes, unpack_words
from tacit.kernels.reference_rep3 import _reduced
from tacit.kernels.shapes import U128, Array, is_wide

ADD, SUBTRACT, XOR = range(3)
U32 = np.uint32


def _numbers(planes: Array, k: int) -> Array:
    """Return numbers of k planes each, ``uint64[count, 64·L]``."""
    n = 64 * planes.shape[1]
    rows = [from_planes(planes[at : at + k], n) for at in range(0, planes.shape[0], k)]
    return np.array(rows, np.uint64).reshape(len(rows), n)


def _planes(numbers: Array, k: int) -> Array:
    """Invert ``_numbers``, mod 2^k."""
    return np.concatenate([to_planes(row, k) for row in numbers])


def _digits(bits: Array) -> Array:
    return from_planes(bits, 64 * bits.shape[1])


def hot_first(bits0: Array, bits1: Array, rho: Array, k: int) -> Array:
    """Return planes of ``[A = v] − rho`` for the digits A of ``bits0 ^ bits1``."""
    v = np.arange(1, 1 << bits0.shape[0], dtype=np.uint64)[:, None]
    return _planes((_digits(bits0 ^ bits1) == v).astype(np.uint64) - _numbers(rho, k), k)


def hot_second(held: Array, bits: Array, t: Array, lead: bool, k: int) -> Array:
    """Return planes of ``h[v ^ B] − t`` for the digits B of ``bits`` and the numbers h, ``h[0] = lead − Σ h``."""
    rest = _numbers(held, k)
    h = np.concatenate([np.uint64(lead) - rest.sum(axis=0, dtype=np.uint64)[None, :], rest])
    v = np.arange(1, 1 << bits.shape[0], dtype=np.uint64)[:, None]
    return _planes(np.take_along_axis(h, (v ^ _digits(bits)).astype(np.int64), 0) - _numbers(t, k), k)


def sum_planes(a: Array, b: Array, k: int) -> Array:
    """Return planes of sums mod 2^k."""
    return _planes(_numbers(a, k) + _numbers(b, k), k)


def digit_ranks(
    parts0: Sequence[Array],
    parts1: Sequence[Array],
    rows: Sequence[int],
    one0: int,
    one1: int,
    plus: Array,
    minus: Array,
    blocks: int,
    k: int,
) -> tuple[Array, Array, Array]:
    """Return a party's packed summand z of ranks above digit 0's, masked; z plus a part of those, and the other.

    The parts are planes of consecutive rows, as many as ``rows`` says: whole words, but the last. The rank of a row is
    base + Σ_v hot·gap (`_digit_counts`), a sum of products of shared values; masks are packed, the rest is uint64.
    """
    n = sum(rows)
    sides = []
    for parts, one in ((parts0, one0), (parts1, one1)):
        numbers = np.concatenate([_numbers(p, k)[:, :m] for p, m in zip(parts, rows, strict=True)], axis=1)
        sides.append(_digit_counts(numbers.reshape(len(numbers), blocks, -1 if n else 0), one, k))
    (hot0, gap0, base0), (hot1, gap1, base1) = sides
    masks = unpack_words(plus, k, n) - unpack_words(minus, k, n)
    z = (hot0 * (gap0 + gap1) + hot1 * gap0).sum(axis=0, dtype=np.uint64) + masks.reshape(base0.shape)
    mask = np.uint64((1 << k) - 1)
    return pack_words((z & mask).reshape(-1), k), (z + base0) & mask, base1


def _digit_counts(numbers: Array, one: int, k: int) -> tuple[Array, Array, Array]:
    """Return a party's parts of ``(hot, gap, base)`` for numbers of shape (2^w − 1, blocks, rows).

    ``one`` is this party's part of 1. With the count C_v of rows that come before a row or at it, were v its digit,
    block by block: ``hot`` is [d = v] and ``gap`` C_v − C_0 for v = 1…; ``base`` is C_0 − 1. All mod 2^k.
    """
    count, blocks, rows = numbers.shape
    hot = np.concatenate([(np.uint64(one) - numbers.sum(axis=0, dtype=np.uint64))[None], numbers])
    before = np.moveaxis(hot, 0, 1).reshape(blocks, (count + 1) * rows).cumsum(axis=1, dtype=np.uint64)
    before = np.moveaxis(before.reshape(blocks, count + 1, rows), 1, 0)
    mask = np.uint64((1 << k) - 1)
    return numbers & mask, (before[1:] - before[0]) & mask, (before[0] - np.uint64(one)) & mask


# -- moving ----------------------------------------------------------------------------------------------------


def _joined(a: Array, b: Array, how: int) -> Array:
    if how == XOR:
        return a ^ b
    return add(a, b) if how == ADD else sub(a, b)


def moved(x: Array, y: Array | None, at: Array, masks: Array | None, how: int, k: int, pack: bool) -> Array:
    """Return ``(x + y)[at]`` with packed masks added, subtracted or (then y as well) XORed; flat, mod 2^k or packed."""
    s = x if y is None else _joined(x, y, XOR if how == XOR else ADD)
    s = s[at]
    if masks is not None:
        s = _joined(s, unpack_words(masks, k, x.size, is_wide(x)), how)
    return pack_words(s, k) if pack else _reduced(s, k)


def placed(
    a: Array,
    b: Array | None,
    at: Array | None,
    how: int,
    k: int,
    n: int,
    wide: bool = False,
    out: Array | None = None,
) -> Array:
    """Return ``out[at] = a + b`` (or XOR) of n packed elements, flat, in `out` if given; ``at`` is a permutation."""
    s = unpack_words(a, k, n, wide)
    if b is not None:
        s = _reduced(_joined(s, unpack_words(b, k, n, wide), how), k)
    if out is None:
        out = np.empty(n, U128 if wide else np.uint64)
    out[... if at is None else at] = s
    return out


def places(a: Array, b: Array, how: int, k: int, blocks: int, n: int) -> Array | None:
    """Return the places of n rows that ``a + b`` tells within their blocks; None if these are no permutations."""
    s = placed(a, b, None, how, k, n, k > 64)
    rows = n // blocks if blocks else 0
    inside = s["lo"] < rows if k > 64 else s < rows
    if k > 64:
        inside &= s["hi"] == 0
    if not np.all(inside):
        return None
    at = (s["lo"] if k > 64 else s).reshape(blocks, rows) + (
        np.arange(blocks, dtype=np.uint64) * np.uint64(rows)
    )[:, None]
    met = np.zeros(n, bool)
    met[at.reshape(-1)] = True
    return at.reshape(-1).astype(U32) if np.all(met) else None


def permutation(draws: Array, blocks: int) -> Array | None:
    """Return permutations of each block's rows, by 64 uniform bits for each row; None if they must be drawn again.

    One row after another changes places with itself or a later one (Fisher, Yates): of m rows the one that the upper
    half of draw·m names; draws whose lower half is below 2^64 mod m are refused, so that all m are equally likely
    (Lemire, "Fast random integer generation in an interval", 2019).
    """
    n = draws.size
    rows = n // blocks if blocks else 0
    left = np.arange(rows, 0, -1, dtype=np.uint64)
    r, s = draws.reshape(blocks, rows), np.uint64(32)
    high = ((r >> s) * left + ((r & np.uint64(0xFFFFFFFF)) * left >> s)) >> s
    if np.any(r * left < (np.uint64(0) - left) % left):
        return None
    out = np.arange(n, dtype=U32).reshape(blocks, rows)
    for block, jumps in zip(out, high.tolist(), strict=True):
        row = block.tolist()
        for i, jump in enumerate(jumps):
            row[i], row[i + jump] = row[i + jump], row[i]
        block[:] = row
    return out.reshape(-1)
