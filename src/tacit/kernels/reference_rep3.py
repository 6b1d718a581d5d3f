"""Steps of replicated sharing in NumPy: the specification of the fused kernels in ``native/rep3.h``.

Ring elements are of Z/2^k, reduced; ``packed`` means ``pack_words`` of f bits an element. Who holds which argument,
and why the protocols that use these steps are private, is said in ``protocols/rep3``.
"""

from __future__ import annotations

import numpy as np

from tacit.errors import ShapeError
from tacit.kernels.reference import (
    add,
    block_select,
    block_table,
    mul,
    pack_words,
    shl,
    shr,
    sub,
    to_planes,
    unpack_bool,
    unpack_words,
)
from tacit.kernels.reference_aes import expanded
from tacit.kernels.shapes import (
    Array,
    Cut,
    Drawn,
    Made,
    Mask,
    Masks,
    Terms,
    flat,
    is_wide,
    shift_in,
    table_rows,
)
from tacit.kernels.shapes import rows as check_rows

_ONES = (1 << 64) - 1


def _constant(like: Array, value: int) -> Array:
    """Return ``value`` mod 2^128 or 2^64 in the shape of ``like``."""
    out = np.empty(like.shape, like.dtype)
    if is_wide(like):
        out["lo"], out["hi"] = value & _ONES, value >> 64 & _ONES
    else:
        out[...] = value & _ONES
    return out


def _reduced(a: Array, k: int) -> Array:
    """Return ``a`` mod 2^k."""
    if not is_wide(a):
        return np.asarray(a & np.uint64((1 << k) - 1))
    out = a.copy()
    out["lo"] &= np.uint64((1 << min(k, 64)) - 1)
    out["hi"] &= np.uint64((1 << max(k - 64, 0)) - 1)
    return out


def _bits(words: Array, n: int, like: Array) -> Array:
    """Return the first ``n`` bits of words as ring elements, shaped like ``like``."""
    out = _constant(like, 0)
    (out["lo"] if is_wide(like) else out).reshape(-1)[:] = unpack_bool(words.reshape(-1), n)
    return out


def _where(bit: Array, a: Array, b: Array) -> Array:
    """Return ``a`` where ``bit`` is 1, else ``b``."""
    return np.where((bit["lo"] if is_wide(bit) else bit) != 0, a, b)


def rep3_products(
    x0: Array,
    x1: Array,
    y0: Array,
    y1: Array,
    masks: Masks,
    k: int,
    summed: bool = False,
    cut: Cut | None = None,
) -> Array:
    """Return ``x0*(y0+y1) + x1*y0`` mod 2^k, or its sum over the first axis, masked; or that, cut."""
    out = add(mul(x0, add(y0, y1)), mul(x1, y0))
    if summed:
        total = out[0]
        for row in out[1:]:
            total = add(total, row)
        out = total
    out = _masked(out, masks, k)
    return out if cut is None else _cut(out, cut, k)


def add_masks(into: Array, masks: Masks, k: int, cut: Cut | None = None) -> Array:
    """Add masks mod 2^k to flat elements, in place, and return them; or return the sums, cut."""
    flat(into, k)
    sums = _masked(into, masks, k)
    if cut is not None:
        return _cut(sums, cut, k)
    into[...] = sums
    return into


def _masked(out: Array, masks: Masks, k: int) -> Array:
    plus, minus, moved = masks
    for octets, bits, less in ((plus, k, False), (minus, k, True), moved or (None, 0, False)):
        if octets is not None:
            words = unpack_words(expanded(octets), bits, out.size, is_wide(out)).reshape(out.shape)
            out = sub(out, words) if less else add(out, words)
    return _reduced(out, k)


def _cut(s: Array, cut: Cut, k: int) -> Array:
    s = s.reshape(-1)
    out = add(shr(_reduced(add(s, _constant(s, cut.add)), k), cut.shift), _constant(s, cut.constant))
    return pack_words(out if cut.t is None else sub(out, drawn_words(cut.t, cut.bits)), cut.bits)


def drawn_words(t: Drawn, bits: int) -> Array:
    """Return words; those that are made are written where they are kept."""
    if not isinstance(t, Made):
        return t
    made = expanded(t.part).view(t.words.dtype)
    if made.shape != t.words.shape:  # a word alone would be written to all places
        raise ShapeError(f"{made.size} words are made for {t.words.size} places")
    t.words[...] = _reduced(made, bits)
    return t.words


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
    """Return ``(c1, packed s1, out0, out1)`` for ``a = x + y + 2^(k-2) - round_up``, all flat.

    The last two are written into the arrays ``into``, if given.
    ``c1 = (a>>f) - c0``, ``s1 = 1 - msb(a) - s0`` mod 2^f, ``out0 = c0 + t02*2^(k-f)``, ``out1 = c1 + t01*2^(k-f)``.
    """
    shift_in(f, k, x)
    a = _reduced(add(add(x, y), _constant(x, (1 << (k - 2)) - round_up)), k)
    wide = is_wide(x)
    s, t2, t1 = (unpack_words(t, f, x.size, wide) for t in (s0, t02, t01))
    c1 = _reduced(sub(shr(a, f), c0), k)
    rest = sub(sub(_constant(x, 1), shr(a, k - 1)), s)
    out0, out1 = (_reduced(add(c, shl(t, k - f)), k) for c, t in ((c0, t2), (c1, t1)))
    return c1, pack_words(rest, f), *_placed(out0, out1, into)


def trunc_second(s: Array, b: Array, t: Array, f: int, k: int) -> Array:
    """Return, packed, ``s*(1 - msb(b)) - t`` mod 2^f for packed s and t."""
    shift_in(f, k, b)
    wide = is_wide(b)
    u, v = (unpack_words(w, f, b.size, wide) for w in (s, t))
    return pack_words(sub(_where(shr(b, k - 1), _constant(b, 0), u), v), f)


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
    """Return ``c + t*2^(k-f)`` and ``(b>>f) + round_up - 2^(k-2-f) - 2^(k-f) + (mine + theirs)*2^(k-f)``.

    They are written into the arrays ``into``, if given.
    """
    shift_in(f, k, b)
    wide = is_wide(b)
    u, m, o = (unpack_words(w, f, b.size, wide) for w in (t, mine, theirs))
    offset = _constant(b, round_up - (1 << (k - 2 - f)) - (1 << (k - f)))
    last = add(add(shr(b, f), offset), shl(add(m, o), k - f))
    return _placed(_reduced(add(c, shl(u, k - f)), k), _reduced(last, k), into)


def _placed(a: Array, b: Array, into: tuple[Array, Array] | None) -> tuple[Array, Array]:
    if into is None:
        return a, b
    into[0][...], into[1][...] = a, b
    return into


def select_first(bits0: Array, bits1: Array, x: Array, y: Array, rho0: Mask, rho1: Mask, k: int) -> Array:
    """Return, packed one after the other, ``β(x+y) - rho0`` and ``β - rho1`` for the bits β of ``bits0 ^ bits1``.

    The masks are packed, too.
    """
    bit = _bits(bits0 ^ bits1, x.size, x)
    rows = _where(bit, add(x, y), _constant(x, 0)), bit
    masks = (unpack_words(expanded(rho), k, x.size, is_wide(x)) for rho in (rho0, rho1))
    return np.concatenate([pack_words(sub(row, mask), k) for row, mask in zip(rows, masks, strict=True)])


def select_second(m0: Mask, m1: Mask, bits: Array, x: Array, b: Array, t: Drawn, lead: bool, k: int) -> Array:
    """Return, packed, ``(1 - 2γ)(m0 + m1*b) + γ(x + lead*b) - t`` for the bits γ and packed m0 and m1."""
    first, second = (unpack_words(expanded(m), k, x.size, is_wide(x)) for m in (m0, m1))
    return pack_words(_chosen(add(first, mul(second, b)), bits, x, b, drawn_words(t, k), lead), k)


def _chosen(w: Array, bits: Array, x: Array, b: Array, t: Array, lead: bool) -> Array:
    own = add(x, b) if lead else x
    return sub(_where(_bits(bits, x.size, x), sub(own, w), w), t)


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
    """Return ``[βA - rho[0], β - rho[1], A - rho[2]]``, packed ``u - s0`` and ``βu - s1``, for β of ``bits0 ^ bits1``.

    With ``a = x + y + 2^(k-2) - 1``: ``u = 1 - msb(a)``, and ``A = (a>>f) + 1 - 2^(k-2-f) - 2^(k-f)``.
    """
    shift_in(f, k, x)
    wide, none = is_wide(x), _constant(x, 0)
    a = _reduced(add(add(x, y), _constant(x, (1 << (k - 2)) - 1)), k)
    upper = add(shr(a, f), _constant(x, 1 - (1 << (k - 2 - f)) - (1 << (k - f))))
    u, bit = sub(_constant(x, 1), shr(a, k - 1)), _bits(bits0 ^ bits1, x.size, x)
    rows = sub(np.stack([_where(bit, upper, none), bit, upper]), rho)
    rest = [sub(w, unpack_words(s, f, x.size, wide)) for w, s in ((u, s0), (_where(bit, u, none), s1))]
    return _reduced(rows, k), pack_words(rest[0], f), pack_words(rest[1], f)


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
    """Return ``(1 - 2γ)(m0 + m1*B + vr*2^(k-f)) + γ(x + lead*B + vs*2^(k-f)) - t`` for the bits γ, packed s and r.

    ``B = b>>f``, ``v = 1 - msb(b)``.
    """
    shift_in(f, k, b)
    none, low, top = _constant(b, 0), shr(b, f), shr(b, k - 1)
    wraps = [_where(top, none, shl(unpack_words(p, f, b.size, is_wide(b)), k - f)) for p in (r, s)]
    w = add(add(m0, wraps[0]), mul(m1, low))
    return _reduced(_chosen(w, bits, add(x, wraps[1]), low, t, lead), k)


def bits_first(bits0: Array, bits1: Array, rho: Array, k: int) -> Array:
    """Return ``β - rho``, shape (planes, n), for the planes β of ``bits0 ^ bits1``."""
    beta = [_bits(w, rho.shape[1], r) for w, r in zip(bits0 ^ bits1, rho, strict=True)]
    return _reduced(sub(np.array(beta, rho.dtype).reshape(rho.shape), rho), k)


def bits_second(m: Array, bits: Array, t: Array, lead: bool, k: int) -> Array:
    """Return ``(1 - 2γ)m + lead*γ - t``, shape (planes, n), for the planes γ."""
    gamma = np.array([_bits(w, m.shape[1], r) for w, r in zip(bits, m, strict=True)], m.dtype).reshape(
        m.shape
    )
    return _reduced(sub(_where(gamma, sub(_constant(m, int(lead)), m), m), t), k)


def table_first(
    x: Array, y: Array, mask: Mask, bits: int, top: bool, radix: int, kept: Array, at: int = 0
) -> Array:
    """Return plane `bits` of x + y if `top`, then tables of those below, masked; the first row's mask is kept.

    That is written to the one row of `kept`, from its word `at` on.
    """
    planes = to_planes(add(x, y), bits + top)
    out = np.concatenate([planes[bits:], block_table(planes[:bits], radix)])
    masks = _rows_of(mask, *out.shape)
    kept[:, at : at + out.shape[1]] = masks[: int(top)]
    return np.asarray(out ^ masks)


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
    """Return rows of ``block_select`` by the planes of b, masked: `some` says which; masks and top planes are kept.

    `some` is the first row and how many. Kept, from the word `at` of their rows on: the masks; with `top`, plane `bits`
    of b, and the row of the table that comes before its blocks.
    """
    planes = to_planes(b, bits + top)
    length = planes.shape[1]
    rows, masks = _rows_of(table, table_rows(bits, radix) + top, length), _rows_of(mask, some[1], length)
    for to, row in zip(kept, (masks, planes[bits:], rows[: int(top)]), strict=True):
        to[:, at : at + length] = row
    found = block_select(rows[int(top) :], planes[:bits], radix, lead)
    if some[1] and not 0 <= some[0] <= sum(some) <= len(found):
        raise ShapeError(f"{some[1]} rows from {some[0]} on, of {len(found)}")
    return np.asarray(found[some[0] : sum(some)] ^ masks)


def place_rows(out: Array, words: Mask, at: int, length: int) -> None:
    """Write rows of planes of `length` words from the word `at` of each row of `out` on."""
    out[:, at : at + length] = _rows_of(words, len(out), length)


def _rows_of(mask: Mask, rows: int, length: int) -> Array:
    """Return planes of `length` words."""
    return np.ascontiguousarray(expanded(mask)).reshape(-1).view(np.uint64).reshape(rows, length)


def and_rows(s0: Array, s1: Array, a: Array, b: Array, plus: Mask, minus: Mask, first: int = 0) -> Array:
    """Return a party's part of the AND of rows a and b of shared planes s, masked by ``plus ^ minus`` from a row on."""
    check_rows(a, s0.shape[0])
    check_rows(b, s0.shape[0])
    rows, length = slice(first, first + len(a)), s0.shape[1]
    masks = [_rows_of(mask, -1 if length else rows.stop, length)[rows] for mask in (plus, minus)]
    if any(len(mask) != len(a) for mask in masks):  # one row alone would mask all
        raise ShapeError(f"no masks for {len(a)} rows from row {first} on")
    return np.asarray((s0[a] & (s0[b] ^ s1[b])) ^ (s1[a] & s0[b]) ^ masks[0] ^ masks[1])


def lambda_rows(s0: Array, s1: Array, x: Array, y: Array, mask: Array) -> Array:
    """Return products of rows of ``s0 ^ s1``, masked: rows ``x[r]`` and ``y[r]``, or products before (`sum_rows`)."""
    return np.asarray(_products_of_rows(s0 ^ s1, x, y) ^ mask)


def sum_rows(w: Array, share: Array, sets: Array, terms: Terms, mask: Array, lead: bool) -> Array:
    """Return sums of terms, masked: the o-th of terms ``begins[o]`` to ``begins[o + 1]``.

    A term is a row of w times a row of `share`. The number −1 stands for ones in place of w, and for `lead` in place
    of a share; −2, −3, … for the products of rows u and v of w, numbered likewise, and for the rows of `sets`.
    """
    u, v, begins, of_w, of_share = terms
    products, ones = _products_of_rows(w, u, v), np.full(w.shape[1], _ONES, np.uint64)
    ends = [int(at) for at in begins]
    if (
        len(ends) != len(mask) + 1
        or ends[0]
        or ends[-1] != len(of_w)
        or ends != sorted(ends)
        or len(of_w) != len(of_share)
    ):
        raise ValueError("these are not the terms of so many sums")
    out = mask.copy()
    for o in range(len(mask)):
        for p, s in zip(of_w[ends[o] : ends[o + 1]], of_share[ends[o] : ends[o + 1]], strict=True):
            known = _numbered_row(int(p), w, products, ones)
            out[o] ^= known & _numbered_row(int(s), share, sets, ones if lead else 0 * ones)
    return out


def _products_of_rows(rows: Array, x: Array, y: Array) -> Array:
    """Return products of two rows each; −2, −3, … stand for the first product, the second, …, of those before."""
    out = np.empty((len(x), rows.shape[1]), np.uint64)
    for r in range(len(x)):
        out[r] = _numbered_row(int(x[r]), rows, out[:r]) & _numbered_row(int(y[r]), rows, out[:r])
    return out


def _numbered_row(at: int, rows: Array, more: Array, one: Array | None = None) -> Array:
    if at == -1 and one is not None:
        return one
    if at == -1 or at >= len(rows) or -2 - at >= len(more):
        raise ValueError("no such row")
    return np.asarray(rows[at] if at >= 0 else more[-2 - at])


def mix_rows(s: Array, z: Array, a: Array, b: Array) -> Array:
    """Return the rows ``s[a] ^ z[b]``; a row number of -1 stands for zero, in one of the two at most."""
    check_rows(a, s.shape[0], b, z.shape[0])
    out = np.where((a >= 0)[:, None], s[a] if len(s) else np.uint64(0), np.uint64(0))
    return np.asarray(out ^ np.where((b >= 0)[:, None], z[b] if len(z) else np.uint64(0), np.uint64(0)))
