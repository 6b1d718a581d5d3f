"""The native steps of replicated sharing behind the signatures of ``reference_rep3``: allocate, call C++.

The C++ side checks every size. Operands are reduced elements of one type; only that is taken on trust.
"""

from __future__ import annotations

from math import prod

import numpy as np

from tacit.kernels import _native, shapes
from tacit.kernels.compiled import given, held
from tacit.kernels.reference_rep3 import drawn_words
from tacit.kernels.shapes import ABSENT, U64, Array, Mask

U8 = np.uint8
_NARROW = {
    name: getattr(_native, f"{name}_64")
    for name in (
        "rep3_products", "add_masks", "trunc_first", "trunc_second", "trunc_third", "select_first", "select_second",
        "select_trunc_first", "select_trunc_second", "bits_first",
        "bits_second", "table_first", "table_second",
    )
}  # fmt: skip
_UNWRITTEN = np.empty(0, U8)
_WIDE = {name: getattr(_native, f"{name}_128") for name in _NARROW}


def _held(mask: Mask | None) -> Mask | tuple[()]:
    return ABSENT if mask is None else held(mask)


def _masked(masks: shapes.Masks) -> tuple[Mask | tuple[()], Mask | tuple[()], Mask | tuple[()], int, bool]:
    plus, minus, (octets, bits, less) = masks.plus, masks.minus, masks.moved or (None, 0, False)
    return _held(plus), _held(minus), _held(octets), bits, less


def _drawn(t: shapes.Drawn | None, bits: int) -> tuple[Array | tuple[()], Mask | tuple[()]]:
    """Return words, and of what they are made."""
    if not isinstance(t, shapes.Made):
        return given(t), ABSENT
    if isinstance(held(t.part), shapes.StreamPart):
        return t.words, t.part
    return drawn_words(t, bits), ABSENT


def _cut(
    cut: shapes.Cut | None,
) -> tuple[Array | tuple[()], Mask | tuple[()], int, int, int, int, int, int]:
    if cut is None:
        return _NO_CUT
    return (
        *_drawn(cut.t, cut.bits),
        *shapes.halves(cut.add),
        *shapes.halves(cut.constant),
        cut.shift,
        cut.bits,
    )


_NO_CUT = (ABSENT, ABSENT, 0, 0, 0, 0, 0, 0)


def rep3_products(
    x0: Array,
    x1: Array,
    y0: Array,
    y1: Array,
    masks: shapes.Masks,
    k: int,
    summed: bool = False,
    cut: shapes.Cut | None = None,
) -> Array:
    """Return ``x0*(y0+y1) + x1*y0`` mod 2^k, or its sum over the first axis, masked; or that, cut."""
    kernel = (_WIDE if shapes.element_wise(x0, x1, y0, y1) else _NARROW)["rep3_products"]
    rows = x0.shape[0] if summed else 1
    shape = x0.shape[1:] if summed else x0.shape
    out = np.empty(shape, x0.dtype) if cut is None else np.empty(-(-prod(shape) * cut.bits // 8), U8)
    kernel(out, x0, x1, y0, y1, *_masked(masks), *_cut(cut), rows, k)
    return out


def add_masks(into: Array, masks: shapes.Masks, k: int, cut: shapes.Cut | None = None) -> Array:
    """Add masks mod 2^k to flat elements, in place, and return them; or return the sums, cut."""
    kernel = (_WIDE if shapes.flat(into, k) else _NARROW)["add_masks"]
    out = _UNWRITTEN if cut is None else np.empty(-(-into.size * cut.bits // 8), U8)
    kernel(into, out, *_masked(masks), *_cut(cut), k)
    return into if cut is None else out


def trunc_first(
    x: Array,
    y: Array,
    c0: Array,
    s0: Array,
    t02: Array,
    t01: Array,
    round_up: int,
    f: int,
    k: int,
    into: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array, Array]:
    """Return ``(c1, packed s1, out0, out1)`` for ``a = x + y + 2^(k-2) - round_up``, all flat."""
    shapes.shift_in(f, k, x)
    c1 = np.empty(x.size, x.dtype)
    out0, out1 = into or (np.empty(x.size, x.dtype), np.empty(x.size, x.dtype))
    message = np.empty((x.size * f + 7) // 8, U8)
    kernel = (_WIDE if shapes.is_wide(x) else _NARROW)["trunc_first"]
    kernel(c1, message, out0, out1, x, y, c0, s0, t02, t01, round_up, f, k)
    return c1, message, out0, out1


def trunc_second(s: Array, b: Array, t: Array, f: int, k: int) -> Array:
    """Return, packed, ``s*(1 - msb(b)) - t`` mod 2^f for packed s and t."""
    shapes.shift_in(f, k, b)
    out = np.empty((b.size * f + 7) // 8, U8)
    (_WIDE if shapes.is_wide(b) else _NARROW)["trunc_second"](out, s, b, t, f, k)
    return out


def trunc_third(
    c: Array,
    t: Array,
    b: Array,
    mine: Array,
    theirs: Array,
    round_up: int,
    f: int,
    k: int,
    into: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Return ``c + t*2^(k-f)`` and ``(b>>f) + round_up - 2^(k-2-f) - 2^(k-f) + (mine + theirs)*2^(k-f)``."""
    shapes.shift_in(f, k, b)
    edge, last = into or (np.empty(b.size, b.dtype), np.empty(b.size, b.dtype))
    kernel = (_WIDE if shapes.is_wide(b) else _NARROW)["trunc_third"]
    kernel(edge, last, c, t, b, mine, theirs, round_up, f, k)
    return edge, last


def select_first(bits0: Array, bits1: Array, x: Array, y: Array, rho0: Mask, rho1: Mask, k: int) -> Array:
    """Return, packed one after the other, ``β(x+y) - rho0`` and ``β - rho1`` for the bits β of ``bits0 ^ bits1``."""
    out = np.empty(2 * ((x.size * k + 7) // 8), U8)
    kernel = (_WIDE if shapes.is_wide(x) else _NARROW)["select_first"]
    kernel(out, bits0, bits1, x, y, held(rho0), held(rho1), k)
    return out


def select_second(
    m0: Mask, m1: Mask, bits: Array, x: Array, b: Array, t: shapes.Drawn, lead: bool, k: int
) -> Array:
    """Return, packed, ``(1 - 2γ)(m0 + m1*b) + γ(x + lead*b) - t`` for the bits γ and packed m0 and m1."""
    out = np.empty((x.size * k + 7) // 8, U8)
    kernel = (_WIDE if shapes.is_wide(x) else _NARROW)["select_second"]
    kernel(out, held(m0), held(m1), bits, x, b, *_drawn(t, k), lead, k)
    return out


def select_trunc_first(
    bits0: Array,
    bits1: Array,
    x: Array,
    y: Array,
    rho: Array,
    s0: Array,
    s1: Array,
    f: int,
    k: int,
) -> tuple[Array, Array, Array]:
    """Return ``[βA - rho[0], β - rho[1], A - rho[2]]``, packed ``u - s0``, ``βu - s1``; β is ``bits0 ^ bits1``."""
    shapes.shift_in(f, k, x)
    out = np.empty((3, x.size), x.dtype)
    wraps = [np.empty((x.size * f + 7) // 8, U8) for _ in range(2)]
    (_WIDE if shapes.is_wide(x) else _NARROW)["select_trunc_first"](
        out, *wraps, bits0, bits1, x, y, rho, s0, s1, f, k
    )
    return out, wraps[0], wraps[1]


def select_trunc_second(
    m0: Array,
    m1: Array,
    x: Array,
    s: Array,
    r: Array,
    bits: Array,
    b: Array,
    t: Array,
    lead: bool,
    f: int,
    k: int,
) -> Array:
    """Return ``(1 - 2γ)(m0 + m1*B + vr*2^(k-f)) + γ(x + lead*B + vs*2^(k-f)) - t`` for the bits γ, packed s and r."""
    shapes.shift_in(f, k, b)
    out = np.empty(b.size, b.dtype)
    (_WIDE if shapes.is_wide(b) else _NARROW)["select_trunc_second"](
        out, m0, m1, x, s, r, bits, b, t, lead, f, k
    )
    return out


def bits_first(bits0: Array, bits1: Array, rho: Array, k: int) -> Array:
    """Return ``β - rho``, shape (planes, n), for the planes β of ``bits0 ^ bits1``."""
    out = np.empty(rho.shape, rho.dtype)
    kernel = (_WIDE if shapes.is_wide(rho) else _NARROW)["bits_first"]
    kernel(out, bits0, bits1, rho, rho.shape[0], k)
    return out


def bits_second(m: Array, bits: Array, t: Array, lead: bool, k: int) -> Array:
    """Return ``(1 - 2γ)m + lead*γ - t``, shape (planes, n), for the planes γ."""
    out = np.empty(m.shape, m.dtype)
    kernel = (_WIDE if shapes.is_wide(m) else _NARROW)["bits_second"]
    kernel(out, m, bits, t, lead, m.shape[0], k)
    return out


def table_first(
    x: Array, y: Array, mask: Mask, bits: int, top: bool, radix: int, kept: Array, at: int = 0
) -> Array:
    """Return plane `bits` of x + y if `top`, then tables of those below, masked; the first row's mask is kept."""
    shapes.flat(x, bits + top)
    out = np.empty((shapes.table_rows(bits, radix) + top, -(-x.size // 64)), U64)
    kernel = (_WIDE if shapes.element_wise(x, y) else _NARROW)["table_first"]
    kernel(out, kept, x, y, held(mask), bits, top, radix, at)
    return out


def table_second(
    b: Array,
    table: Mask,
    mask: Mask,
    bits: int,
    top: bool,
    radix: int,
    lead: bool,
    some: tuple[int, int],
    kept: tuple[Array, Array, Array],
    at: int = 0,
) -> Array:
    """Return rows of ``block_select`` by the planes of b, masked: `some` says which; masks and top planes are kept."""
    wide = shapes.flat(b, bits + top)
    out = np.empty((some[1], -(-b.size // 64)), U64)
    kernel = (_WIDE if wide else _NARROW)["table_second"]
    kernel(out, *kept, b, held(table), held(mask), bits, top, radix, lead, *some, at)
    return out


def place_rows(out: Array, words: Mask, at: int, length: int) -> None:
    """Write rows of planes of `length` words from the word `at` of each row of `out` on."""
    _native.place_rows(out, held(words), len(out), at, length)


def and_rows(s0: Array, s1: Array, a: Array, b: Array, plus: Mask, minus: Mask, first: int = 0) -> Array:
    """Return a party's part of the AND of rows a and b of shared planes s, masked by ``plus ^ minus`` from a row on."""
    out = np.empty((a.size, s0.shape[1]), U64)
    _native.and_rows(out, s0, s1, a, b, held(plus), held(minus), first, s0.shape[1])
    return out


def lambda_rows(s0: Array, s1: Array, x: Array, y: Array, mask: Array) -> Array:
    """Return products of rows of ``s0 ^ s1``, masked: rows ``x[r]`` and ``y[r]``, or products before (`sum_rows`)."""
    out = np.empty(mask.shape, U64)
    _native.lambda_rows(out, s0, s1, x, y, mask, mask.shape[1])
    return out


def sum_rows(w: Array, share: Array, sets: Array, terms: shapes.Terms, mask: Array, lead: bool) -> Array:
    """Return sums of terms, masked; the reference says what numbers mean."""
    out = np.empty(mask.shape, U64)
    _native.sum_rows(out, w, share, sets, *terms, mask, lead, mask.shape[1])
    return out


def mix_rows(s: Array, z: Array, a: Array, b: Array) -> Array:
    """Return the rows ``s[a] ^ z[b]``; a row number of -1 stands for zero, in one of the two at most."""
    out = np.empty((a.size, s.shape[1]), U64)
    _native.mix_rows(out, s, z, a, b, s.shape[1])
    return out
