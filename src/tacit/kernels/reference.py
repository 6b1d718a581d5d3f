"""Every kernel in plain NumPy: the specification, and the fallback where the native part is missing.

All arithmetic is modulo 2^64 on ``uint64`` arrays and modulo 2^128 on ``U128`` arrays; masking to narrower
rings is the caller's. Functions return new arrays. Bit planes hold one bit of 64 elements per word: bit ``i``
of word ``j`` of plane ``b`` is bit ``b`` of element ``64*j + i``.
"""

from __future__ import annotations

import numpy as np

from tacit.kernels import shapes
from tacit.kernels.reference_aes import KeyStream, expanded, prg
from tacit.kernels.shapes import ALL_BITS, U128, Array

__all__ = [
    "KeyStream",
    "add", "add_planes", "block_select", "block_table", "expanded", "from_planes", "gathered_matmul", "matmul", "mul",
    "neg",
    "pack_bool", "pack_words", "prg", "rep3_matmul",
    "rep3_matmul_rows", "shl", "shr", "sub",
    "to_planes", "unpack_bool", "unpack_words",
]  # fmt: skip

_ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_LOW32 = np.uint64(0xFFFF_FFFF)
_32 = np.uint64(32)
_SMALL_PRODUCT = 4096  # multiply-adds below which NumPy's own integer product is quicker than the limbs
_EXACT_TERMS = 1 << 20  # 2^20 products of 16-bit limbs stay below 2^53, so float64 sums are exact


def _wide(lo: Array, hi: Array) -> Array:
    out = np.empty(np.shape(lo), U128)
    out["lo"], out["hi"] = lo, hi
    return out


def _split(a: Array) -> tuple[Array, Array]:
    return a["lo"], a["hi"]


def _fresh(a: Array) -> Array:
    return np.empty(a.shape, a.dtype)


# --- element-wise -------------------------------------------------------------------------------------------


def add(a: Array, b: Array) -> Array:
    """Return ``a + b``."""
    if not shapes.element_wise(a, b):
        return np.add(a, b, out=_fresh(a))
    (alo, ahi), (blo, bhi) = _split(a), _split(b)
    lo = alo + blo
    return _wide(lo, ahi + bhi + (lo < alo))


def sub(a: Array, b: Array) -> Array:
    """Return ``a - b``."""
    if not shapes.element_wise(a, b):
        return np.subtract(a, b, out=_fresh(a))
    (alo, ahi), (blo, bhi) = _split(a), _split(b)
    return _wide(alo - blo, ahi - bhi - (alo < blo))


def neg(a: Array) -> Array:
    """Return ``-a``."""
    return sub(np.zeros(a.shape, a.dtype), a)


def _mul_64_64(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the 128-bit product of 64-bit words as (low, high), by 32-bit halves."""
    a0, a1, b0, b1 = a & _LOW32, a >> _32, b & _LOW32, b >> _32
    middle = a1 * b0 + (a0 * b0 >> _32)  # at most (2^32-1)^2 + 2^32 - 1 < 2^64
    other = a0 * b1 + (middle & _LOW32)
    return a * b, a1 * b1 + (middle >> _32) + (other >> _32)


def mul(a: Array, b: Array) -> Array:
    """Return ``a * b``."""
    if not shapes.element_wise(a, b):
        return np.multiply(a, b, out=_fresh(a))
    # At least one dimension, because NumPy warns of overflow on scalars only.
    (alo, ahi), (blo, bhi) = _split(np.atleast_1d(a)), _split(np.atleast_1d(b))
    lo, hi = _mul_64_64(alo, blo)
    return _wide(lo, hi + alo * bhi + ahi * blo).reshape(a.shape)


def shl(a: Array, s: int) -> Array:
    """Return ``a << s`` for ``0 <= s <= width``; the full width gives zero."""
    if not shapes.shift(a, s):
        return np.zeros_like(a) if s == 64 else np.left_shift(a, np.uint64(s), out=_fresh(a))
    lo, hi = _split(a)
    if s >= 64:
        return _wide(np.zeros_like(lo), shl(lo, s - 64))
    return _wide(shl(lo, s), shl(hi, s) | shr(lo, 64 - s))


def shr(a: Array, s: int) -> Array:
    """Return the logical shift ``a >> s`` for ``0 <= s <= width``; the full width gives zero."""
    if not shapes.shift(a, s):
        return np.zeros_like(a) if s == 64 else np.right_shift(a, np.uint64(s), out=_fresh(a))
    lo, hi = _split(a)
    if s >= 64:
        return _wide(shr(hi, s - 64), np.zeros_like(hi))
    return _wide(shr(lo, s) | shl(hi, 64 - s), shr(hi, s))


# --- products -----------------------------------------------------------------------------------------------


def _limbs(a: Array) -> list[Array]:
    """Return the 16-bit limbs of every element, low to high, as float64 arrays."""
    words = _split(a) if a.dtype == U128 else (a,)
    shifts = [np.uint64(s) for s in (0, 16, 32, 48)]
    return [((w >> s) & np.uint64(0xFFFF)).astype(np.float64) for w in words for s in shifts]


def _limb_product(a: Array, b: Array) -> Array:
    """Multiply with at most 2^20 inner terms: sum over i+j=s of 2^(16 s) A_i B_j, each exact in float64."""
    wide = a.dtype == U128
    xs, ys = _limbs(a), _limbs(b)
    out = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for s in range(len(xs)):
        diagonal = sum(np.matmul(xs[i], ys[s - i]).astype(np.uint64) for i in range(s + 1))  # below 2^55
        column = np.asarray(diagonal, np.uint64)
        out = add(out, shl(_wide(column, np.zeros_like(column)) if wide else column, 16 * s))
    return out


def matmul(a: Array, b: Array, *, bits: int = ALL_BITS) -> Array:
    """Return the matrix product ``(m,k)@(k,n)`` or, batched, ``(B,m,k)@(B,k,n)``.

    Of this and the other products of matrices the low ``bits`` count; those above are right or not, as is faster.
    """
    wide, shape = shapes.product(a, b)
    k = a.shape[-1]
    if not wide and np.prod(shape) * k <= _SMALL_PRODUCT:
        return np.matmul(a, b)
    out = np.zeros(shape, a.dtype)
    for low in range(0, k, _EXACT_TERMS):
        high = low + _EXACT_TERMS
        out = add(out, _limb_product(a[..., low:high], b[..., low:high, :]))
    return out


def rep3_matmul(role: int, x0: Array, x1: Array, y0: Array, y1: Array, *, bits: int = ALL_BITS) -> Array:
    """Return a role's part of a replicated product, of its holder's components (two dimensions, or batched).

    The parts of roles 0, 1, 2, who hold components (0, 1), (1, 2), (2, 0), sum to the product: of its nine terms P0
    computes four as ``(x0+x1)@(y0+y1)``, P1 three as ``x0@y1 + x1@(y0+y1)``, P2 two as ``x0@y1 + x1@y0``.
    """
    shapes.replicated_product(x0, x1, y0, y1, role)
    if role == 0:
        return matmul(add(x0, x1), add(y0, y1))
    return add(matmul(x0, y1), matmul(x1, add(y0, y1) if role == 1 else y0))


def rep3_matmul_rows(x0: Array, x1: Array, y0: Array, y1: Array, *, bits: int = ALL_BITS) -> shapes.Rows:
    """Return what writes rows ``start`` and following of a role's ``rep3_matmul`` to ``out``."""
    wide, shape = shapes.row_products(x0, x1, y0, y1)

    def rows(start: int, out: Array, role: int) -> None:
        shapes.some_rows(start, out, role, shape, wide)
        stop = start + len(out)
        out[...] = rep3_matmul(role, x0[start:stop], x1[start:stop], y0, y1)

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
    """Return ``x0@y0``, or `rep3_matmul` of two parts: batches of matrices that lie anywhere in flat parts.

    Or put the elements where `into` says, and return the whole of that.
    """
    shapes.gathered(x, x_at, y, y_at, role, into)

    def laid_out(parts: tuple[Array, ...], at: shapes.Places) -> list[Array]:
        where = at[0][:, None, None] + at[1][:, None] + at[2]
        return [part[where] for part in parts]

    a, b = laid_out(x, x_at), laid_out(y, y_at)
    product = rep3_matmul(role, *a, *b) if len(a) == 2 else matmul(*a, *b)
    return product if into is None else shapes.put(product, into)


# --- bits and planes ----------------------------------------------------------------------------------------


def _bits_of(words: Array) -> Array:
    """Return ``uint8[N, width]``: the bits of flat elements, low to high."""
    data = np.ascontiguousarray(words).view(np.uint8).reshape(words.size, words.dtype.itemsize)
    return np.unpackbits(data, axis=1, bitorder="little")


def _from_bits(bits: Array, wide: bool) -> Array:
    """Return the elements of ``uint8[N, b]`` bits, low to high, zero above ``b``."""
    dtype = U128 if wide else shapes.U64
    data = np.zeros((bits.shape[0], dtype.itemsize), np.uint8)
    octets = np.packbits(bits, axis=1, bitorder="little")
    data[:, : octets.shape[1]] = octets
    return data.reshape(-1).view(dtype)


def pack_bool(a: Array) -> Array:
    """Pack flat ``uint8`` zeros and ones into ``uint64[ceil(N/64)]``, low bit first; padding is zero."""
    shapes.flat_bytes(a)
    out = np.zeros((a.size + 63) // 64 * 8, np.uint8)
    octets = np.packbits(a & np.uint8(1), bitorder="little")
    out[: octets.size] = octets
    return out.view(np.uint64)


def unpack_bool(words: Array, n: int) -> Array:
    """Return the first ``n`` bits of flat ``uint64`` words as ``uint8`` zeros and ones."""
    shapes.only_u64(words)
    shapes.flat(words, 64)
    shapes.lanes(n, words.size)
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), count=n, bitorder="little")


def to_planes(words: Array, bits: int, plus: Array | None = None) -> Array:
    """Return ``uint64[bits, ceil(N/64)]``, the low bit planes of flat ``words (+ plus)``; padding lanes are zero."""
    words = words if plus is None else add(words, plus)
    shapes.flat(words, bits)
    columns = np.zeros((bits, (words.size + 63) // 64 * 64), np.uint8)
    columns[:, : words.size] = _bits_of(words)[:, :bits].T
    return np.packbits(columns, axis=1, bitorder="little").view(np.uint64)


def from_planes(planes: Array, n: int, wide: bool = False) -> Array:
    """Return the ``n`` elements (``U128`` if ``wide``) with the bit planes ``uint64[m, L]``, zero above."""
    m, length = shapes.planes(planes)
    shapes.check_bits(m, wide)
    shapes.lanes(n, length)
    octets = np.ascontiguousarray(planes).view(np.uint8)
    return _from_bits(np.unpackbits(octets, axis=1, count=n, bitorder="little").T, wide)


def pack_words(words: Array, bits: int) -> Array:
    """Return ``uint8[ceil(N*bits/8)]``: the low bits of flat elements, concatenated low bit first."""
    shapes.flat(words, bits)
    return np.packbits(_bits_of(words)[:, :bits].reshape(-1), bitorder="little")


def unpack_words(buf: Array, bits: int, n: int, wide: bool = False) -> Array:
    """Return the ``n`` elements that ``pack_words`` packed into ``buf``."""
    shapes.packed(buf, bits, n, wide)
    return _from_bits(np.unpackbits(buf, count=n * bits, bitorder="little").reshape(n, bits), wide)


# --- addition of a secret-shared and a clear operand, bit-sliced --------------------------------------------


def add_planes(a: Array, b: Array) -> Array:
    """Return the planes of ``A + B mod 2^m`` for planes ``uint64[m, L]``: a ripple adder in the clear."""
    shapes.planes(a, b)
    out = a ^ b
    carry = np.zeros(a.shape[1], np.uint64)
    for i in range(a.shape[0]):
        both, either = a[i] & b[i], a[i] ^ b[i]
        out[i] ^= carry
        carry = both | (carry & either)
    return out


def block_table(a_planes: Array, radix: int, mask: Array | None = None) -> Array:
    """Return ``uint64[T, L]``: for each block of ``radix`` planes with value A, the planes ``[A >= j]``, ^ mask.

    A block of v bits gives the 2^v - 1 planes j = 1..2^v - 1; blocks follow one another from low to high, the
    last one may be shorter.
    """
    m, length = shapes.planes(a_planes)
    rows: list[Array] = []
    for low, v in zip(range(0, m, radix), shapes.blocks(m, radix), strict=True):
        table: list[Array] = []
        for h in a_planes[low : low + v]:  # h is the top bit so far: A = 2^i h + (value below)
            table = [h | t for t in table] + [h] + [h & t for t in table]
        rows += table
    out = np.array(rows, np.uint64).reshape(len(rows), length)
    return out if mask is None else np.asarray(out ^ mask)


def _choose(options: list[Array], bits: Array) -> Array:
    """Return option B, for B in bit planes from low to high, by a tree that is linear in the options."""
    for bit in bits:
        options = [even ^ (bit & (even ^ odd)) for even, odd in zip(options[::2], options[1::2], strict=True)]
    return options[0]


def block_select(t: Array, b_planes: Array, radix: int, lead: bool) -> Array:
    """Return the planes P then G of every block, ``uint64[2*blocks, L]``: [A + B = 2^v - 1]; carry out of A + B.

    ``t`` is an XOR share of ``block_table(A)``, ``b_planes`` are the planes of B in the clear. With T_0 the
    public constant 1, which only the leading party adds, and T_{2^v} = 0: G = T_{2^v - B} and
    P = T_{2^v - 1 - B} ^ G. Both are XOR shares, because the selection is linear over XOR in (t, lead).
    Padding lanes hold no meaning.
    """
    sizes = shapes.select(t, b_planes, radix)
    length = b_planes.shape[1]
    zero = np.zeros(length, np.uint64)
    first = np.full(length, _ONES) if lead else zero
    out = np.empty((2 * len(sizes), length), np.uint64)
    p, g = out[: len(sizes)], out[len(sizes) :]
    row = 0
    for block, v in enumerate(sizes):
        last = (1 << v) - 1
        below = [first, *t[row : row + last]]  # T_0 .. T_{2^v - 1}
        bits = b_planes[block * radix : block * radix + v]
        g[block] = _choose([zero, *below[:0:-1]], bits)  # option B is T_{2^v - B}
        p[block] = _choose(below[::-1], bits) ^ g[block]  # option B is T_{2^v - 1 - B}
        row += last
    return out
