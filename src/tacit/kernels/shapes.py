"""The argument rules that the NumPy reference and the native kernels share.

Ring elements of width up to 64 are ``uint64``; of width 65..128 they have the dtype ``U128``, whose memory is
that of a little-endian unsigned 128-bit integer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tacit.errors import ShapeError

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

U64 = np.dtype(np.uint64)
U128 = np.dtype([("lo", "<u8"), ("hi", "<u8")])
U8 = np.dtype(np.uint8)
ALL = (1 << 128) - 1
"""All bits of a block of the generator."""


ALL_BITS = 128
"""As many bits of a product of matrices as any element has."""
ABSENT: tuple[()] = ()
"""What native kernels are given in the place of an array that is not there. An empty array is one of a wrong size."""


class StreamPart(NamedTuple):
    """Bytes of a key stream that the kernel which reads them makes itself, so that they are never in memory."""

    stream: Any
    """A `KeyStream`, which has passed them."""
    block: int
    """The number of their first block."""
    size: int


Mask: TypeAlias = Array | StreamPart
"""Bytes in memory, or bytes that are made where they are read."""


class Scales(NamedTuple):
    """A power of two for each value h of a digit: 2^min(slope·h + base, most), and no less than 2^-1022."""

    bits: int
    """Of the digit."""
    slope: int
    base: int
    most: int

    def table(self) -> Array:
        """Return them, ``float64``: where the digit is secret, kernels compute them instead."""
        digits = np.arange(1 << self.bits)
        return np.ldexp(1.0, np.clip(digits * self.slope + self.base, -1022, self.most))


class Terms(NamedTuple):
    """Sums of products of rows, by number; ``reference_rep3.sum_rows`` says what numbers mean."""

    u: Array
    v: Array
    """The rows, or products before, that each product is of."""
    begins: Array
    """Where the terms of each sum begin, and where the last one's end."""
    of_w: Array
    of_share: Array
    """The two rows or products of each term."""


class Packed(NamedTuple):
    """Packed words of `bits` bits that are added to others, or taken away if `less`."""

    octets: Mask
    bits: int
    less: bool


class Masks(NamedTuple):
    """What is added to words mod 2^k, packed; each may be absent."""

    plus: Mask | None = None
    """Words of k bits."""
    minus: Mask | None = None
    """Words of k bits, taken away."""
    moved: Packed | None = None


class Made(NamedTuple):
    """Words that a kernel makes, mod 2^bits of what it is told, where it takes them away, and writes to `words`."""

    words: Array
    part: StreamPart


Drawn: TypeAlias = Array | Made
"""Words in memory, or words that are made where they are taken away, and kept."""


class Cut(NamedTuple):
    """What becomes of words s mod 2^k: (s + add mod 2^k >> shift) + constant − t, packed to `bits` bits each."""

    bits: int
    t: Drawn | None = None
    """Words of the type of s, flat."""
    add: int = 0
    constant: int = 0
    shift: int = 0


def halves(number: int) -> tuple[int, int]:
    """Return the low 64 bits and those above, up to 128."""
    return number & (1 << 64) - 1, number >> 64 & (1 << 64) - 1


def is_wide(a: Array) -> bool:
    """Return whether ``a`` holds 128-bit elements; refuse any dtype but ``uint64`` and ``U128``."""
    if a.dtype is U64 or a.dtype == U64:
        return False
    if a.dtype == U128:
        return True
    raise TypeError(f"kernels take uint64 or U128 arrays, not {a.dtype}")


def element_wise(*arrays: Array) -> bool:
    """Check that all dtypes and shapes are equal; return whether the elements are 128 bits wide."""
    first, *others = arrays
    dtype, shape = first.dtype, first.shape
    wide = dtype is not U64 and is_wide(first)
    for other in others:
        if other.dtype is not dtype and is_wide(other) != wide:
            raise TypeError("a kernel's operands mix uint64 and U128 elements")
        if other.shape != shape:
            raise ShapeError(f"element-wise kernel on shapes {shape} and {other.shape}")
    return wide


def shift(a: Array, s: int) -> bool:
    """Check a shift by ``0 <= s <= width``; return whether the elements are 128 bits wide."""
    wide = is_wide(a)
    if not 0 <= s <= (128 if wide else 64):
        raise ValueError(f"cannot shift a {128 if wide else 64}-bit element by {s}")
    return wide


def product(a: Array, b: Array) -> tuple[bool, tuple[int, ...]]:
    """Check ``(m,k)@(k,n)`` or ``(B,m,k)@(B,k,n)``; return (wide, shape of the result)."""
    wide = is_wide(a)
    if is_wide(b) != wide:
        raise TypeError("a kernel's operands mix uint64 and U128 elements")
    return wide, _product(a.shape, b.shape)


@lru_cache(maxsize=1024)
def _product(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a product of matrices, or of batches of as many."""
    if len(a) not in (2, 3) or len(a) != len(b) or a[-1] != b[-2] or a[:-2] != b[:-2]:
        raise ShapeError(f"matrix product of shapes {a} and {b}")
    return (*a[:-1], b[-1])


def replicated_product(x0: Array, x1: Array, y0: Array, y1: Array, role: int) -> tuple[bool, tuple[int, ...]]:
    """Check the operands of ``rep3_matmul``; return (wide, shape of the result)."""
    wide = element_wise(x0, x1)
    if element_wise(y0, y1) != wide:
        raise TypeError("a kernel's operands mix uint64 and U128 elements")
    one_of_three(role)
    return wide, _product(x0.shape, y0.shape)


def one_of_three(role: int) -> None:
    """Check a role."""
    if role not in (0, 1, 2):
        raise ValueError(f"roles are 0, 1 and 2, not {role}")


Rows: TypeAlias = Callable[[int, Array, int], None]
"""(start, out, role): write rows of a product, as many as `out` has."""


def row_products(x0: Array, x1: Array, y0: Array, y1: Array) -> tuple[bool, tuple[int, int]]:
    """Check the operands of ``rep3_matmul_rows``; return (wide, shape of the result)."""
    wide, shape = replicated_product(x0, x1, y0, y1, 0)
    if len(shape) != 2:
        raise ShapeError(f"rows of a product of shape {shape}, not of one matrix")
    return wide, (shape[0], shape[1])


def some_rows(start: int, out: Array, role: int, shape: tuple[int, int], wide: bool) -> None:
    """Check a role, and that rows of a product of ``shape`` fit into ``out``."""
    one_of_three(role)
    if out.ndim != 2 or out.shape[1] != shape[1] or not 0 <= start <= shape[0] - len(out):
        raise ShapeError(f"rows of shape {out.shape} from {start} on, of a product of shape {shape}")
    if is_wide(out) != wide:
        raise TypeError("a kernel's operands mix uint64 and U128 elements")
    if not out.flags.c_contiguous:
        raise ShapeError("rows are written to whole rows")


Places: TypeAlias = tuple[Array, Array, Array]
"""Where the elements of a batch of matrices lie in flat memory: (b, i, j) at batch[b] + first[i] + second[j]."""


Into: TypeAlias = tuple[Array, Array, int]
"""Where a batch of products is put, each element once: (b, i, j) at first[i] + j·step of array b of whole ones."""


def in_rows(x_at: Places, y_at: Places, dtype: npt.DTypeLike) -> Into:
    """Return new room for products, row by row."""
    rows, columns = x_at[1].size, y_at[2].size
    return np.empty((x_at[0].size, rows, columns), dtype), np.arange(rows) * columns, 1


def put(product: Array, into: Into) -> Array:
    """Put products (batch, rows, columns) where they belong; return the whole."""
    out, first, step = into
    if product.size:
        out.reshape(len(product), -1)[:, first[:, None] + step * np.arange(product.shape[2])] = product
    return out


def gathered(
    x: tuple[Array, ...],
    x_at: Places,
    y: tuple[Array, ...],
    y_at: Places,
    role: int,
    into: Into | None = None,
) -> bool:
    """Check the operands of ``gathered_matmul``; return whether they are wide."""
    wide = is_wide(x[0])
    one_of_three(role)
    if len(x) != len(y) or len(x) not in (1, 2):
        raise ShapeError(f"operands of {len(x)} and {len(y)} parts, not both of one or both of two")
    for parts, at in ((x, x_at), (y, y_at)):
        if element_wise(*parts) != wide:
            raise TypeError("a kernel's operands mix uint64 and U128 elements")
        if parts[0].ndim != 1 or any(table.ndim != 1 or table.dtype != np.int64 for table in at):
            raise ShapeError("gathered operands are flat, and so are their tables of int64")
        if all(table.size for table in at):
            least, most = min(int(table.min()) for table in at), sum(int(table.max()) for table in at)
            if least < 0 or most >= parts[0].size:
                raise ValueError(f"places must be 0 to {parts[0].size - 1}")
    if x_at[0].size != y_at[0].size or x_at[2].size != y_at[1].size:
        sizes = [tuple(table.size for table in at) for at in (x_at, y_at)]
        raise ShapeError(f"matrix product of shapes {sizes[0]} and {sizes[1]}")
    if into is not None:
        _room(into, x_at[0].size, x_at[1].size, y_at[2].size, wide)
    return wide


def _room(into: Into, batch: int, rows: int, columns: int, wide: bool) -> None:
    out, first, step = into
    if is_wide(out) != wide:
        raise TypeError("a kernel's operands mix uint64 and U128 elements")
    if (
        not out.flags.c_contiguous
        or out.shape[0] != batch
        or first.shape != (rows,)
        or first.dtype != np.int64
    ):
        raise ShapeError(f"no room for {batch} products of {rows} rows in an array of shape {out.shape}")
    if out.size and rows and columns:
        most = int(first.max()) + (columns - 1) * step
        if min(int(first.min()), step) < 0 or most >= out.size // batch:
            raise ValueError(f"places must be 0 to {out.size // batch - 1}")


def only_u64(*arrays: Array) -> None:
    """Check that all arrays are ``uint64`` and of one shape."""
    if element_wise(*arrays):
        raise TypeError("this kernel takes uint64 words, not U128")


def planes(*arrays: Array) -> tuple[int, int]:
    """Check that all arrays are ``uint64[m, L]`` of one shape; return (m, L)."""
    if len(arrays) > 1 or arrays[0].dtype is not U64:
        only_u64(*arrays)
    shape = arrays[0].shape
    if len(shape) != 2:
        raise ShapeError(f"bit planes have shape (bits, words), not {shape}")
    return shape


def flat(words: Array, bits: int) -> bool:
    """Check flat ring elements of which the low ``bits`` count; return whether they are wide."""
    wide = is_wide(words)
    if words.ndim != 1:
        raise ShapeError(f"expected a flat array of elements, not shape {words.shape}")
    check_bits(bits, wide)
    return wide


def check_bits(bits: int, wide: bool) -> None:
    """Check that ``bits`` fits the element width."""
    if not 0 <= bits <= (128 if wide else 64):
        raise ValueError(f"{bits} bits do not fit elements of {128 if wide else 64} bits")


def flat_bytes(a: Array) -> None:
    """Check a flat ``uint8`` array."""
    if a.dtype != U8:
        raise TypeError(f"expected bytes (uint8), not {a.dtype}")
    if a.ndim != 1:
        raise ShapeError(f"expected a flat array of bytes, not shape {a.shape}")


def lanes(n: int, words: int) -> None:
    """Check that ``n`` elements fit in ``words`` 64-lane words."""
    if not 0 <= n <= 64 * words:
        raise ShapeError(f"{n} elements do not fit in {words} words of 64 lanes")


def packed(buf: Array, bits: int, n: int, wide: bool) -> None:
    """Check that ``buf`` is exactly ``n`` elements of ``bits`` bits, packed."""
    flat_bytes(buf)
    check_bits(bits, wide)
    if n < 0 or buf.size != (n * bits + 7) // 8:
        raise ShapeError(f"{buf.size} bytes are not {n} packed elements of {bits} bits")


@lru_cache(maxsize=1024)
def blocks(m: int, radix: int) -> tuple[int, ...]:
    """Return the block sizes of ``m`` bits cut into blocks of ``radix``, the last one possibly shorter."""
    if not 1 <= radix <= 8:
        raise ValueError(f"radix is the number of bits in a block, 1 to 8, not {radix}")
    return tuple(min(radix, m - low) for low in range(0, m, radix))


@lru_cache(maxsize=1024)
def table_rows(m: int, radix: int) -> int:
    """Return the rows of the table of blocks of ``radix`` of ``m`` bits."""
    return sum((1 << v) - 1 for v in blocks(m, radix))


def select(t: Array, b_planes: Array, radix: int) -> tuple[int, ...]:
    """Check the operands of ``block_select``; return the block sizes."""
    m, length = planes(b_planes)
    rows = table_rows(m, radix)
    if planes(t) != (rows, length):
        raise ShapeError(f"table of shape {t.shape}, expected {(rows, length)}: {m} bits, radix {radix}")
    return blocks(m, radix)


def stream(key: bytes, block: int, nbytes: int) -> None:
    """Check the arguments of ``prg``."""
    if len(key) != 16:
        raise ValueError(f"an AES-128 key has 16 bytes, not {len(key)}")
    if not 0 <= block < 1 << 128 or nbytes < 0:
        raise ValueError("the first block counts from 0 to 2**128 - 1 and the length is not negative")


def shift_in(f: int, k: int, elements: Array) -> None:
    """Check that a flat element of Z/2^k can be shifted by ``f`` after the offset 2^(k-2) is added."""
    if elements.ndim != 1:
        raise ShapeError(f"expected a flat array of elements, not shape {elements.shape}")
    if not 1 <= f <= k - 2 or k > (128 if is_wide(elements) else 64):
        raise ValueError(f"a shift by {f} does not fit elements of {k} bits")


def rows(a: Array, held: int, b: Array | None = None, second: int = 0) -> None:
    """Check row numbers below ``held``; with ``b``, either of the two may be -1 in a place, not both."""
    least = 0 if b is None else -1
    for at, count in ((a, held), (b, second)):
        if at is not None and at.size and not (least <= int(at.min()) and int(at.max()) < count):
            raise ValueError(f"row numbers must be {least} to {count - 1}")
    if b is not None and bool(np.any((a < 0) & (b < 0))):
        raise ValueError("a row is made of nothing")
