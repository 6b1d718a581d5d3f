"""The native kernels of rows behind the signatures of ``reference_rows``: allocate, call C++, which checks sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tacit.kernels import _native, shapes
from tacit.kernels.compiled import given
from tacit.kernels.reference_rows import ADD, U32, XOR
from tacit.kernels.shapes import U64, U128, Array

U8 = np.uint8


def hot_first(bits0: Array, bits1: Array, rho: Array, k: int) -> Array:
    """Return planes of ``[A = v] − rho`` for the digits A of ``bits0 ^ bits1``."""
    out = np.empty(rho.shape, U64)
    _native.hot_first(out, bits0, bits1, rho, bits0.shape[0], k)
    return out


def hot_second(held: Array, bits: Array, t: Array, lead: bool, k: int) -> Array:
    """Return planes of ``h[v ^ B] − t`` for the digits B of ``bits`` and the numbers h, ``h[0] = lead − Σ h``."""
    out = np.empty(t.shape, U64)
    _native.hot_second(out, held, bits, t, lead, bits.shape[0], k)
    return out


def sum_planes(a: Array, b: Array, k: int) -> Array:
    """Return planes of sums mod 2^k."""
    out = np.empty(a.shape, U64)
    _native.sum_planes(out, a, b, k, a.shape[1])
    return out


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
    """Return a party's packed summand z of ranks above digit 0's, masked; z plus a part of those, and the other."""
    n = sum(rows)
    shape = (blocks, n // blocks if blocks else 0)
    message, at0, at1 = np.empty((n * k + 7) // 8, U8), np.empty(shape, U64), np.empty(shape, U64)
    bits = (parts0[0].shape[0] // k + 1).bit_length() - 1
    _native.digit_ranks(
        message, at0, at1, list(parts0), list(parts1), list(rows), one0, one1, plus, minus, bits, blocks, k
    )
    return message, at0, at1


def moved(x: Array, y: Array | None, at: Array, masks: Array | None, how: int, k: int, pack: bool) -> Array:
    """Return ``(x + y)[at]`` with packed masks added, subtracted or (then y as well) XORed; flat, mod 2^k or packed."""
    wide = shapes.is_wide(x)
    out = np.empty((x.size * k + 7) // 8, U8) if pack else np.empty(x.size, x.dtype)
    kernel = _native.moved_128 if wide else _native.moved_64
    kernel(out, pack, x, given(y), at, given(masks), XOR if how == XOR else ADD, how, k)
    return out


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
    out = np.empty(n, U128 if wide else U64) if out is None else out
    (_native.placed_128 if wide else _native.placed_64)(out, a, given(b), given(at), how, k)
    return out


def places(a: Array, b: Array, how: int, k: int, blocks: int, n: int) -> Array | None:
    """Return the places of n rows that ``a + b`` tells within their blocks; None if these are no permutations."""
    out = np.empty(n, U32)
    kernel = _native.places_128 if k > 64 else _native.places_64
    return out if kernel(out, np.zeros((n + 63) // 64, U64), a, b, how, k, blocks) else None


def permutation(draws: Array, blocks: int) -> Array | None:
    """Return permutations of each block's rows, by 64 uniform bits for each row; None if they must be drawn again."""
    out = np.empty(draws.size, U32)
    return out if _native.permutation(out, draws, blocks) else None
