"""Arrays over the ring Z/2^k for any width k from 1 to 128.

Elements of a ring of at most 64 bits are ``uint64``; wider ones are the structured type ``U128`` (low and
high limb), whose arrays reshape, slice and concatenate like any other. Every result is reduced mod 2^k, so
nothing overflows silently: the ring is the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.errors import RangeError, ShapeError

Array = npt.NDArray[Any]
U128 = kernels.U128
_U64 = np.dtype("<u8")
_LOW32 = np.uint64(0xFFFFFFFF)
_SHIFTS = [np.array(s, np.uint64) for s in range(64)]
"""Arrays, which NumPy takes sooner than numbers."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The ring Z/2^width; its methods take and return arrays of reduced elements."""

    width: int
    dtype: np.dtype[Any] = field(init=False, compare=False, repr=False)
    """The NumPy type of one element."""
    wide: bool = field(init=False, compare=False, repr=False)
    """Whether elements need two 64-bit limbs."""
    keep: tuple[int, int] = field(init=False, compare=False, repr=False)
    """The bits that elements have of 128 uniform ones, high and low: two elements of up to 64 bits, or one."""
    ones: Array = field(init=False, compare=False, repr=False)
    """The bits of an element, of its high limb if there are two: an array, which NumPy takes sooner than a number."""

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 128:
            raise RangeError(f"ring width {self.width} is not between 1 and 128")
        wide, ones = self.width > 64, (1 << self.width) - 1
        object.__setattr__(self, "dtype", U128 if wide else _U64)
        object.__setattr__(self, "wide", wide)
        object.__setattr__(self, "keep", (ones >> 64, ones & (1 << 64) - 1) if wide else (ones, ones))
        object.__setattr__(self, "ones", np.array(ones >> 64 if wide else ones, np.uint64))

    # -- construction ------------------------------------------------------------------------------------

    def reduce(self, a: Array) -> Array:
        """Reduce `a` mod 2^width (in place where it owns the memory)."""
        if self.width in (64, 128):
            return a
        if self.wide:
            a["hi"] &= self.ones
            return a
        return np.asarray(a & self.ones)

    def reduce_fresh(self, a: Array) -> Array:
        """Reduce words that nobody else refers to, in place."""
        if self.width == 64:
            return a
        if self.wide:
            return self.reduce(a)
        if not isinstance(a, np.ndarray):  # NumPy makes scalars of arrays without axes
            return self.reduce(a)
        return np.bitwise_and(a, self.ones, a)

    def zeros(self, shape: Sequence[int]) -> Array:
        """Return zeros of `shape`."""
        return np.zeros(tuple(shape), self.dtype)

    def encode_ints(self, values: Any) -> Array:
        """Encode Python or NumPy integers (any size) mod 2^width."""
        a = np.asarray(values)
        if a.dtype.kind == "b":
            a = a.astype(np.int64)
        if a.dtype.kind in "iu":
            low = a.astype(np.uint64 if a.dtype.kind == "u" else np.int64, copy=not self.wide).view(np.uint64)
            if not self.wide:
                return self.reduce_fresh(low)
            out = self.zeros(a.shape)
            out["lo"] = low
            if a.dtype.kind == "i":
                out["hi"] = np.where(a < 0, np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0))
            return self.reduce(out)
        if a.dtype != object:
            raise ShapeError(f"integers expected, not {a.dtype}")
        out = self.zeros(a.shape)
        flat, mask = out.reshape(-1), (1 << self.width) - 1
        for i, v in enumerate(a.reshape(-1)):
            v = int(v) & mask
            flat[i] = (v & (2**64 - 1), v >> 64) if self.wide else v
        return out

    def encode_floats(self, values: Any, frac_bits: int) -> Array:
        """Encode real numbers as round-to-nearest multiples of 2^-frac_bits.

        Raises RangeError if a value is not finite or does not fit the signed range.
        """
        scaled = np.rint(np.ldexp(np.asarray(values, np.float64), frac_bits))
        if not np.all(np.isfinite(scaled)):
            raise RangeError("a value is NaN or infinite; clean or mask missing values first")
        if scaled.size and np.max(np.abs(scaled)) >= 2.0 ** (self.width - 1):
            raise RangeError(
                f"a value does not fit {self.width} bits with {frac_bits} fractional bits; "
                "declare its bound or choose a wider ring"
            )
        if not self.wide:
            return self.reduce_fresh(np.asarray(scaled.astype(np.int64)).view(np.uint64))
        # Magnitude first: −5 + 2^64 has no float64, so two's complement is taken in the ring.
        magnitude = np.abs(scaled)
        hi = np.floor(np.ldexp(magnitude, -64))
        out = self.zeros(scaled.shape)
        out["lo"] = (magnitude - np.ldexp(hi, 64)).astype(np.uint64)
        out["hi"] = hi.astype(np.uint64)
        return self.reduce(np.where(scaled < 0, kernels.neg(out), out))

    def to_ints(self, a: Array) -> Array:
        """Decode to signed integers: int64, or Python integers for rings over 64 bits."""
        if self.wide:
            half, full = 1 << (self.width - 1), 1 << self.width
            flat = a.reshape(-1)
            vals = [int(lo) | int(hi) << 64 for lo, hi in zip(flat["lo"], flat["hi"], strict=True)]
            out = np.empty(len(vals), object)
            out[:] = [v - full if v >= half else v for v in vals]
            return out.reshape(a.shape)
        shift = np.uint64(64 - self.width)
        return (a << shift).view(np.int64) >> np.int64(shift)

    def to_floats(self, a: Array, frac_bits: int) -> Array:
        """Decode signed fixed-point elements to float64 (rounded to nearest there)."""
        if not self.wide:
            return np.ldexp(self.to_ints(a).astype(np.float64), -frac_bits)
        negative = self.top_bit(a).astype(bool)
        mag = np.where(negative, self.neg(a), a)
        val = np.ldexp(mag["hi"].astype(np.float64), 64) + mag["lo"].astype(np.float64)
        return np.ldexp(np.where(negative, -val, val), -frac_bits)

    # -- arithmetic --------------------------------------------------------------------------------------

    def add(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """Return a + b, with broadcasting; in `out` if given."""
        if self.width <= 64:
            total = np.add(a, b, out=out)
            return total if self.width == 64 else self.reduce_fresh(total)
        total = self.reduce(kernels.add(*_same(a, b)))
        if out is None:
            return total
        out[...] = total
        return out

    def sub(self, a: Array, b: Array) -> Array:
        """Return a − b, with broadcasting."""
        if self.width <= 64:
            gap = np.subtract(a, b)
            return gap if self.width == 64 else self.reduce_fresh(gap)
        return self.reduce(kernels.sub(*_same(a, b)))

    def neg(self, a: Array) -> Array:
        """Return −a."""
        if not self.wide:
            return self.reduce_fresh(np.negative(a))
        return self.reduce(kernels.neg(a))

    def mul(self, a: Array, b: Array) -> Array:
        """Return the elementwise product, with broadcasting."""
        if not self.wide:
            return self.reduce_fresh(np.multiply(a, b))
        return self.reduce(kernels.mul(*_same(a, b)))

    def matmul(self, a: Array, b: Array) -> Array:
        """Return a @ b for matrices (..., m, k) and (..., k, n)."""
        return self._batched(lambda x, y: kernels.matmul(x, y, bits=self.width), a, b)

    def _batched(self, fn: Any, a: Array, b: Array) -> Array:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        if not batch:
            return self.reduce(fn(np.ascontiguousarray(a), np.ascontiguousarray(b)))
        x = np.broadcast_to(a, batch + a.shape[-2:]).reshape(-1, *a.shape[-2:])
        y = np.broadcast_to(b, batch + b.shape[-2:]).reshape(-1, *b.shape[-2:])
        out = fn(np.ascontiguousarray(x), np.ascontiguousarray(y))
        return self.reduce(out.reshape(*batch, a.shape[-2], b.shape[-1]))

    def sum(self, a: Array, axes: tuple[int, ...]) -> Array:
        """Return the sum over `axes`."""
        if not self.wide:
            return self.reduce(np.asarray(np.sum(a, axis=axes, dtype=np.uint64)))
        return self.reduce(_join32(map(partial(np.sum, axis=axes, dtype=np.uint64), _split32(a))))

    def cumsum(self, a: Array, axis: int) -> Array:
        """Return running sums along `axis`."""
        if not self.wide:
            return self.reduce_fresh(np.cumsum(a, axis=axis, dtype=np.uint64))
        return self.reduce(_join32(map(partial(np.cumsum, axis=axis, dtype=np.uint64), _split32(a))))

    def shl(self, a: Array, s: int) -> Array:
        """Return a·2^s."""
        if self.wide:
            return self.reduce(kernels.shl(a, s))
        return self.reduce_fresh(a << _SHIFTS[s]) if s < 64 else np.zeros_like(a)

    def shr(self, a: Array, s: int) -> Array:
        """Return the logical shift a >> s of the reduced representative."""
        if self.wide:
            return np.asarray(kernels.shr(a, s))
        return np.asarray(a >> _SHIFTS[s]) if s < 64 else np.zeros_like(a)

    def constant(self, value: int, shape: Sequence[int] = ()) -> Array:
        """Return an array filled with the integer `value` mod 2^width."""
        out = self.zeros(shape)
        value &= (1 << self.width) - 1
        if self.wide:
            out["lo"], out["hi"] = value & (2**64 - 1), value >> 64
        else:
            out[...] = value
        return out

    def top_bit(self, a: Array) -> Array:
        """Return the most significant bit of each element as uint64 0 or 1."""
        if self.wide:
            return np.asarray(a["hi"] >> np.uint64(self.width - 65))
        return np.asarray(a >> _SHIFTS[self.width - 1])

    def low_bits(self, a: Array, bits: int) -> Array:
        """Return a mod 2^bits."""
        if bits >= self.width:
            return a
        if not self.wide:
            return np.asarray(a & np.uint64((1 << bits) - 1))
        out = a.copy()
        if bits <= 64:
            out["hi"] = 0
            if bits < 64:
                out["lo"] &= np.uint64((1 << bits) - 1)
        else:
            out["hi"] &= np.uint64((1 << (bits - 64)) - 1)
        return out

    def low(self, a: Array) -> Array:
        """Return elements of this ring or of a wider one mod 2^width."""
        if self.wide:
            return self.reduce(a.copy())
        return np.asarray((a["lo"] if a.dtype.names else a) & self.ones)

    def from_words(self, words: Array) -> Array:
        """Lift small uint64 values into the ring."""
        if not self.wide:
            return self.reduce(np.asarray(words, np.uint64))
        out = self.zeros(np.shape(words))
        out["lo"] = words
        return out

    # -- wire ----------------------------------------------------------------------------------------------

    def wire_bytes(self, n: int, bits: int | None = None) -> int:
        """Return the bytes that `n` elements of `bits` bits (default: the width) take on the wire."""
        return -(-n * (self.width if bits is None else bits) // 8)

    def pack(self, a: Array, bits: int | None = None) -> Array:
        """Serialise the low `bits` bits of each element, flat, to uint8."""
        bits = self.width if bits is None else bits
        flat = a if a.ndim == 1 and a.flags.c_contiguous else np.ascontiguousarray(a).reshape(-1)
        if bits == (128 if self.width > 64 else 64):
            return flat.view(np.uint8)
        return np.asarray(kernels.pack_words(flat, bits))

    def unpack(self, buf: Array, shape: Sequence[int], bits: int | None = None) -> Array:
        """Invert `pack` for `shape`."""
        bits = self.width if bits is None else bits
        if bits == (128 if self.width > 64 else 64):
            flat = buf.view(self.dtype)
        else:
            flat = kernels.unpack_words(buf, bits, prod(shape), self.wide)
        return flat if flat.shape == shape else flat.reshape(tuple(shape))


def low_words(a: Array) -> Array:
    """Return the low 64 bits of elements, as a view; what has no more, truth values among it, as it is."""
    return a["lo"] if a.dtype.names else a


@lru_cache(maxsize=128)
def ring_of(width: int) -> Ring:
    """Return the ring Z/2^width, the same object each time: every call of a protocol asks for some."""
    return Ring(width)


def _same(a: Array, b: Array) -> tuple[Array, Array]:
    if a.shape == b.shape:
        return a, b
    shape = np.broadcast_shapes(a.shape, b.shape)
    return np.broadcast_to(a, shape), np.broadcast_to(b, shape)


def _split32(a: Array) -> Iterator[Array]:
    # One after another, and left to who reads them: all four are twice as large as `a`.
    s = np.uint64(32)
    for half in ("lo", "hi"):
        yield a[half] & _LOW32
        yield a[half] >> s


def _join32(limbs: Iterator[Any]) -> Array:
    # Each limb is a sum of at most 2^32 values below 2^32, so it holds in 64 bits; carries move up here.
    s = np.uint64(32)
    limb = next(limbs)
    out = np.empty(limb.shape, U128)
    for half in ("lo", "hi"):
        if half == "hi":
            limb >>= s
            limb += next(limbs)
        low = limb & _LOW32
        limb >>= s
        limb += next(limbs)
        out[half] = low | limb << s
    return out
