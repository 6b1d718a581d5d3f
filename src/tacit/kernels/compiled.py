"""The native kernels behind the signatures of ``reference``: check, allocate, call C++."""

from __future__ import annotations

import numpy as np

from tacit.kernels import _native, reference, shapes
from tacit.kernels.reference_aes import expanded
from tacit.kernels.shapes import ABSENT, ALL_BITS, U64, U128, Array

__all__ = [
    "KeyStream",
    "add", "add_planes", "block_select", "block_table", "expanded", "from_planes", "gathered_matmul", "matmul", "mul",
    "neg",
    "pack_bool", "pack_words", "prg", "rep3_matmul",
    "rep3_matmul_rows", "shl", "shr", "sub",
    "to_planes", "unpack_bool", "unpack_words",
]  # fmt: skip


HAS_AES = _native.has_aes()
KeyStream = _native.KeyStream if HAS_AES else reference.KeyStream


def _an_array(a: Array) -> Array:
    """Return an array; TypeError for a tuple, which the native kernels would take for no array: for no mask."""
    if isinstance(a, tuple):
        raise TypeError("an array is due, not a tuple")
    return a


def given(a: Array | None) -> Array | tuple[()]:
    """Return an array, or for None what stands for it at the native kernels."""
    return ABSENT if a is None else _an_array(a)


def add(a: Array, b: Array) -> Array:
    """Return ``a + b``."""
    kernel = _native.add_128 if shapes.element_wise(a, b) else _native.add_64
    out = np.empty(a.shape, a.dtype)
    kernel(out, a, b)
    return out


def sub(a: Array, b: Array) -> Array:
    """Return ``a - b``."""
    kernel = _native.sub_128 if shapes.element_wise(a, b) else _native.sub_64
    out = np.empty(a.shape, a.dtype)
    kernel(out, a, b)
    return out


def neg(a: Array) -> Array:
    """Return ``-a``."""
    kernel = _native.neg_128 if shapes.is_wide(a) else _native.neg_64
    out = np.empty(a.shape, a.dtype)
    kernel(out, a)
    return out


def mul(a: Array, b: Array) -> Array:
    """Return ``a * b``."""
    kernel = _native.mul_128 if shapes.element_wise(a, b) else _native.mul_64
    out = np.empty(a.shape, a.dtype)
    kernel(out, a, b)
    return out


def shl(a: Array, s: int) -> Array:
    """Return ``a << s`` for ``0 <= s <= width``; the full width gives zero."""
    kernel = _native.shl_128 if shapes.shift(a, s) else _native.shl_64
    out = np.empty(a.shape, a.dtype)
    kernel(out, a, int(s))
    return out


def shr(a: Array, s: int) -> Array:
    """Return the logical shift ``a >> s`` for ``0 <= s <= width``; the full width gives zero."""
    kernel = _native.shr_128 if shapes.shift(a, s) else _native.shr_64
    out = np.empty(a.shape, a.dtype)
    kernel(out, a, int(s))
    return out


def _rows(*parts: Array) -> tuple[list[Array], bool]:
    """Return matrices as they lie in memory and whether all lie there as their transposes; others are copied."""
    if all(p.flags.c_contiguous for p in parts):
        return list(parts), False
    turned = [p.swapaxes(-1, -2) for p in parts]
    if all(p.flags.c_contiguous for p in turned):
        return turned, True
    return [np.ascontiguousarray(p) for p in parts], False


def _pair(a: Array, b: Array) -> tuple[Array, Array, bool]:
    """Return two matrices as `_rows` does."""
    if a.flags.c_contiguous and b.flags.c_contiguous:
        return a, b, False
    (a, b), turned = _rows(a, b)
    return a, b, turned


def matmul(a: Array, b: Array, *, bits: int = ALL_BITS) -> Array:
    """Return the matrix product ``(m,k)@(k,n)`` or, batched, ``(B,m,k)@(B,k,n)``; low bits as the reference."""
    wide, shape = shapes.product(a, b)
    out = np.empty(shape, a.dtype)
    kernel = _native.matmul_128 if wide else _native.matmul_64
    (x,), x_turned = _rows(a)
    (y,), y_turned = _rows(b)
    kernel(
        out, x, y, shape[0] if a.ndim == 3 else 1, shape[-2], a.shape[-1], shape[-1], x_turned, y_turned, bits
    )
    return out


def rep3_matmul(role: int, x0: Array, x1: Array, y0: Array, y1: Array, *, bits: int = ALL_BITS) -> Array:
    """Return a role's part of a replicated product, as the reference says (two dimensions, or batched)."""
    wide, shape = shapes.replicated_product(x0, x1, y0, y1, role)
    kernel = _native.rep3_matmul_128 if wide else _native.rep3_matmul_64
    out = np.empty(shape, x0.dtype)
    batch = shape[0] if x0.ndim == 3 else 1
    a0, a1, a_turned = _pair(x0, x1)
    b0, b1, b_turned = _pair(y0, y1)
    kernel(out, role, a0, a1, b0, b1, batch, shape[-2], x0.shape[-1], shape[-1], a_turned, b_turned, bits)
    return out


def rep3_matmul_rows(x0: Array, x1: Array, y0: Array, y1: Array, *, bits: int = ALL_BITS) -> shapes.Rows:
    """Return what writes rows ``start`` and following of a role's ``rep3_matmul`` to ``out``: it packs y once."""
    wide, (m, n) = shapes.row_products(x0, x1, y0, y1)
    k, kernel = x0.shape[1], _native.rep3_rows_128 if wide else _native.rep3_rows_64
    size, pack = (
        (_native.right_bytes_128, _native.pack_right_128)
        if wide
        else (_native.right_bytes_64, _native.pack_right_64)
    )
    (a0, a1), a_turned = _rows(x0, x1)
    (b0, b1), b_turned = _rows(y0, y1)
    right = np.empty(size(k, n, bits), np.uint8)
    pack(right, b0, b1, k, n, b_turned, bits)

    def rows(start: int, out: Array, role: int) -> None:
        shapes.some_rows(start, out, role, (m, n), wide)
        kernel(out, role, a0, a1, right, start, m, k, n, a_turned, bits)

    return rows


def gathered_matmul(
    x: tuple[Array, ...],
    x_at: shapes.Places,
    y: tuple[Array, ...],
    y_at: shapes.Places,
    role: int = 0,
    into: shapes.Into | None = None,
    *,
    bits: int = ALL_BITS,
) -> Array:
    """Return ``x0@y0``, or `rep3_matmul` of two parts: batches of matrices that lie anywhere in flat parts."""
    wide = shapes.gathered(x, x_at, y, y_at, role, into)
    kernel = _native.gathered_matmul_128 if wide else _native.gathered_matmul_64
    out, rows, step = into or shapes.in_rows(x_at, y_at, x[0].dtype)
    second = (x[1], y[1]) if len(x) == 2 else (ABSENT, ABSENT)
    if x_at[2].size:
        kernel(out, role, x[0], second[0], y[0], second[1], *x_at, *y_at, rows, step, bits)
    else:
        shapes.put(np.zeros((*map(len, x_at[:2]), y_at[2].size), out.dtype), (out, rows, step))
    return out


def pack_bool(a: Array) -> Array:
    """Pack flat ``uint8`` zeros and ones into ``uint64[ceil(N/64)]``, low bit first; padding is zero."""
    shapes.flat_bytes(a)
    out = np.empty((a.size + 63) // 64, U64)
    _native.pack_bool(out, a)
    return out


def unpack_bool(words: Array, n: int) -> Array:
    """Return the first ``n`` bits of flat ``uint64`` words as ``uint8`` zeros and ones."""
    shapes.only_u64(words)
    shapes.flat(words, 64)
    shapes.lanes(n, words.size)
    out = np.empty(n, np.uint8)
    _native.unpack_bool(out, words)
    return out


def to_planes(words: Array, bits: int, plus: Array | None = None) -> Array:
    """Return ``uint64[bits, ceil(N/64)]``, the low bit planes of flat ``words (+ plus)``; padding lanes are zero."""
    if plus is not None:
        shapes.element_wise(words, plus)
    kernel = _native.to_planes_128 if shapes.flat(words, bits) else _native.to_planes_64
    out = np.empty((bits, (words.size + 63) // 64), U64)
    kernel(out, words, given(plus), bits)
    return out


def from_planes(planes: Array, n: int, wide: bool = False) -> Array:
    """Return the ``n`` elements (``U128`` if ``wide``) with the bit planes ``uint64[m, L]``, zero above."""
    m, length = shapes.planes(planes)
    shapes.check_bits(m, wide)
    shapes.lanes(n, length)
    out = np.empty(n, U128 if wide else U64)
    kernel = _native.from_planes_128 if wide else _native.from_planes_64
    kernel(out, planes, m, length)
    return out


def pack_words(words: Array, bits: int) -> Array:
    """Return ``uint8[ceil(N*bits/8)]``: the low bits of flat elements, concatenated low bit first."""
    kernel = _native.pack_words_128 if shapes.flat(words, bits) else _native.pack_words_64
    out = np.empty((words.size * bits + 7) // 8, np.uint8)
    kernel(out, words, bits)
    return out


def unpack_words(buf: Array, bits: int, n: int, wide: bool = False) -> Array:
    """Return the ``n`` elements that ``pack_words`` packed into ``buf``."""
    shapes.packed(buf, bits, n, wide)
    out = np.empty(n, U128 if wide else U64)
    kernel = _native.unpack_words_128 if wide else _native.unpack_words_64
    kernel(out, buf, bits)
    return out


def add_planes(a: Array, b: Array) -> Array:
    """Return the planes of ``A + B mod 2^m`` for planes ``uint64[m, L]``: a ripple adder in the clear."""
    m, length = shapes.planes(a, b)
    out = np.empty((m, length), U64)
    _native.add_planes(out, a, b, m, length)
    return out


def block_table(a_planes: Array, radix: int, mask: Array | None = None) -> Array:
    """Return ``uint64[T, L]``: for each block of ``radix`` planes with value A, the planes ``[A >= j]``, ^ mask."""
    m, length = shapes.planes(a_planes)
    out = np.empty((shapes.table_rows(m, radix), length), U64)
    _native.block_table(out, a_planes, given(mask), m, length, radix)
    return out


def block_select(t: Array, b_planes: Array, radix: int, lead: bool) -> Array:
    """Return the planes P then G of every block, ``uint64[2*blocks, L]``: [A + B = 2^v - 1]; carry out of A + B."""
    count = len(shapes.select(t, b_planes, radix))
    m, length = b_planes.shape
    out = np.empty((2 * count, length), U64)
    _native.block_select(out[count:], out[:count], t, b_planes, m, length, radix, lead)
    return out


def prg(key: bytes, block: int, nbytes: int, out: Array | None = None, keep: int = shapes.ALL) -> Array:
    """Return ``uint8[nbytes]`` of the AES-128-CTR key stream, from counter ``block`` on; written to `out` if given.

    Of each block, as a little-endian number, only the bits of ``keep``; the others are zero.

    Without AES instructions it is the reference: there is no native table-based AES, whose timing would leak.
    """
    if not HAS_AES:
        return reference.prg(key, block, nbytes, out, keep)
    if out is None:
        out = np.empty(nbytes, np.uint8)
    elif out.nbytes != nbytes:  # the caller's counter would not say where the next stretch begins
        raise ValueError(f"{nbytes} bytes of a key stream do not fit {out.nbytes}")
    low = 0xFFFF_FFFF_FFFF_FFFF
    _native.prg(out, key, block >> 64, block & low, keep >> 64, keep & low)
    return out


def held(mask: shapes.Mask) -> shapes.Mask:
    """Return a mask as the native kernels take it: in memory where this CPU cannot make it."""
    if isinstance(mask, shapes.StreamPart):
        return mask if isinstance(mask.stream, _native.KeyStream) else expanded(mask)
    return _an_array(mask)
