"""Shares without content: what a participant that holds no shares computes with.

A client (an owner or a recipient outside the compute parties), a dealer and the cost model all walk through
the same calls as the compute parties; only the shapes matter to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring, ring_of
from tacit.core.factors import Factors
from tacit.core.protocol import Protocol
from tacit.core.rows import Column
from tacit.core.share import Matrix, Planes, Share

Array = npt.NDArray[Any]


def ghost(shape: Sequence[int]) -> Share:
    """Return a share of `shape` that holds nothing."""
    return Share((np.broadcast_to(np.zeros((), np.uint8), tuple(shape)),))


def ghost_planes(planes: int, n: int) -> Planes:
    """Return planes that hold nothing."""
    return Planes((np.broadcast_to(np.zeros((), np.uint8), (planes, -(-n // 64))),), n)


class Ghost(Protocol):
    """The functionalities on shapes alone; subclasses add the messages of their role."""

    # -- what results are: a subclass may count what they would take ------------------------------------------

    def made(self, shape: Sequence[int], ring: Ring | None = None) -> Share:
        """Return numbers of `shape` that are new, of this ring or another."""
        return ghost(shape)

    def made_bits(self, shape: Sequence[int]) -> Share:
        """Return truth values of `shape` that are new."""
        return ghost(shape)

    def made_planes(self, planes: int, n: int) -> Planes:
        """Return planes that are new."""
        return ghost_planes(planes, n)

    # -- no messages -----------------------------------------------------------------------------------------

    def holds_constant(self, part: int) -> bool:
        """Return False: there is nothing to add to."""
        return False

    def constant(self, value: Array) -> Share:
        """Return a ghost of the constant's shape."""
        return self.made(value.shape)

    def constant_bits(self, value: Array) -> Share:
        """Return a ghost of the constant's shape."""
        return self.made_bits(value.shape)

    def agree(self, value: Array) -> Array:
        """Return the value: nothing here depends on it."""
        self.visit("agree", value.size)
        return value

    def add(self, x: Share, y: Share) -> Share:
        """Return a ghost of the sum's shape."""
        return self.made(np.broadcast_shapes(x.shape, y.shape))

    sub = add

    def neg(self, x: Share) -> Share:
        """Return a ghost of x."""
        return self.made(x.shape)

    def add_public(self, x: Share, c: Array) -> Share:
        """Return a ghost of the sum's shape."""
        return self.made(np.broadcast_shapes(x.shape, c.shape))

    mul_public = add_public

    def matmul_public(self, x: Matrix, c: Array | Matrix, left: bool = False) -> Share:
        """Return a ghost of the product's shape."""
        return self.made(_matmul_shape(c.shape, x.shape) if left else _matmul_shape(x.shape, c.shape))

    def shl(self, x: Share, s: int) -> Share:
        """Return a ghost of x."""
        return self.made(x.shape)

    def sum(self, x: Share, axes: tuple[int, ...]) -> Share:
        """Return a ghost without `axes`."""
        drop = {a % len(x.shape) for a in axes}
        return self.made([s for i, s in enumerate(x.shape) if i not in drop])

    def cumsum(self, x: Share, axis: int) -> Share:
        """Return a ghost of x."""
        return self.made(x.shape)

    def xor(self, x: Planes, y: Planes) -> Planes:
        """Return as many planes as x or y has, whichever has more."""
        return self.made_planes(max(x.planes, y.planes), x.n)

    def xor_public(self, x: Planes, c: Array) -> Planes:
        """Return ghost planes."""
        return self.made_planes(x.planes, x.n)

    def invert(self, x: Planes) -> Planes:
        """Return ghost planes."""
        return self.made_planes(x.planes, x.n)

    def pack(self, x: Share) -> Planes:
        """Return one ghost plane."""
        return self.made_planes(1, x.size)

    def unpack(self, x: Planes, shape: Sequence[int]) -> Share:
        """Return a ghost of `shape`."""
        return self.made_bits(shape)

    def words(self, x: Planes) -> Share:
        """Return a flat ghost."""
        return self.made((x.n,))

    def low_planes(self, x: Share, bits: int) -> Planes:
        """Return ghost planes."""
        return self.made_planes(bits, x.size)

    # -- hook: a subclass counts or sends here ---------------------------------------------------------------

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Do what this role does when the compute parties run `functionality` on n elements."""

    def share_input(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input on shapes."""
        out = self.made(shape)
        self.visit("share_input", _size(shape), owner=owner, value=value)
        return out

    def share_bits(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input for truth values on shapes."""
        out = self.made_bits(shape)
        self.visit("share_bits", _size(shape), owner=owner, value=value)
        return out

    def reveal(self, x: Share, to: Sequence[str]) -> Array | None:
        """F_reveal on shapes."""
        self.visit("reveal", x.size, to=tuple(to))
        return None

    def reveal_bits(self, x: Share, to: Sequence[str]) -> Array | None:
        """F_reveal for truth values on shapes."""
        self.visit("reveal_bits", x.size, to=tuple(to))
        return None

    def mul(self, x: Share, y: Share) -> Share:
        """F_mul on shapes."""
        out = self.made(np.broadcast_shapes(x.shape, y.shape))
        self.visit("mul", out.size)
        return out

    def mul_early(self, x: Share, y: Share) -> Share:
        """F_mul on shapes."""
        out = self.made(x.shape)
        self.visit("mul_early", x.size)
        return out

    def matmul_early(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul on shapes."""
        out = self.made(_matmul_shape(x.shape, y.shape))
        self.visit("matmul_early", out.size, inner=x.shape[-1], shapes=(x.shape, y.shape))
        return out

    def matmul(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul on shapes."""
        out = self.made(_matmul_shape(x.shape, y.shape))
        self.visit("matmul", out.size, inner=x.shape[-1], shapes=(x.shape, y.shape))
        return out

    def trunc(self, x: Share, f: int) -> Share:
        """F_trunc on shapes."""
        self.check_shift(f)
        out = self.made(x.shape)
        self.visit("trunc", x.size, f=f)
        return out

    def trunc_exact(self, x: Share, f: int) -> Share:
        """F_floor on shapes."""
        self.check_shift(f)
        out = self.made(x.shape)
        self.visit("trunc_exact", x.size, f=f)
        return out

    def mul_trunc(self, x: Share, y: Share, f: int) -> Share:
        """F_mul then F_trunc on shapes."""
        self.check_shift(f)
        out = self.made(np.broadcast_shapes(x.shape, y.shape))
        self.visit("mul_trunc", out.size, f=f)
        return out

    def matmul_trunc(self, x: Matrix, y: Matrix, f: int) -> Share:
        """F_matmul then F_trunc on shapes."""
        self.check_shift(f)
        out = self.made(_matmul_shape(x.shape, y.shape))
        self.visit("matmul_trunc", out.size, f=f, inner=x.shape[-1], shapes=(x.shape, y.shape))
        return out

    def and_(self, x: Planes, y: Planes) -> Planes:
        """F_and on shapes."""
        out = self.xor(x, y)
        self.visit("and_", out.n, planes=out.planes)
        return out

    def and_all(self, x: Planes) -> Planes:
        """F_and of many on shapes."""
        out = self.made_planes(1, x.n)
        self.visit("and_all", x.n, planes=x.planes)
        return out

    def sign(self, x: Share, bits: int) -> Planes:
        """F_sign on shapes."""
        self.check_bits(bits + 1)
        out = self.made_planes(1, x.size)
        self.visit("sign", x.size, bits=bits)
        return out

    def is_zero(self, x: Share, bits: int) -> Planes:
        """F_zero on shapes."""
        self.check_bits(bits)
        out = self.made_planes(1, x.size)
        self.visit("is_zero", x.size, bits=bits)
        return out

    def decompose(self, x: Share, bits: int) -> Planes:
        """F_a2b on shapes."""
        self.check_bits(bits)
        out = self.made_planes(bits, x.size)
        self.visit("decompose", x.size, bits=bits)
        return out

    def to_arith(self, b: Planes) -> Share:
        """F_b2a on shapes."""
        out = self.made((b.planes, b.n))
        self.visit("to_arith", b.n * b.planes, planes=b.planes)
        return out

    def select(self, b: Planes, x: Share) -> Share:
        """F_inject on shapes."""
        out = self.made(x.shape)
        self.visit("select", x.size)
        return out

    def narrowed(self, x: Share, f: int) -> Share:
        """Return a ghost of x."""
        return self.made(x.shape)

    def select_trunc(self, b: Planes, x: Share, f: int) -> Share:
        """F_trunc then F_inject on shapes."""
        self.check_shift(f)
        out = self.made(x.shape)
        self.visit("select_trunc", x.size, f=f)
        return out

    def select_narrowed(self, b: Planes, x: Share) -> Share:
        """F_inject of two operands on shapes."""
        out = self.made(x.shape)
        self.visit("select_narrowed", x.size)
        return out

    def dot(self, x: Share, y: Share) -> Share:
        """F_mul and a sum over the first axis on shapes."""
        out = self.made(x.shape[1:])
        self.visit("dot", out.size, inner=x.shape[0])
        return out

    def mul_into(self, x: Share, y: Share, f: int, ring: Ring) -> Share:
        """F_mul and F_trunc into another ring, on shapes."""
        out = self.made(np.broadcast_shapes(x.shape, y.shape), ring)
        self.visit("mul_into", out.size, f=f, into=ring.width)
        return out

    def matmul_into(self, x: Matrix, y: Matrix, f: int, ring: Ring) -> Share:
        """F_matmul and F_trunc into another ring, on shapes."""
        out = self.made(_matmul_shape(x.shape, y.shape), ring)
        shapes = (x.shape, y.shape)
        self.visit("matmul_into", out.size, f=f, into=ring.width, inner=x.shape[-1], shapes=shapes)
        return out

    def trunc_into(self, x: Share, f: int, ring: Ring) -> Share:
        """F_trunc into a narrower ring, on shapes."""
        self.check_shift(f)
        out = self.made(x.shape, ring)
        self.visit("trunc_into", x.size, f=f, into=ring.width)
        return out

    def below(self, x: Share, bits: int, at: Sequence[int]) -> Planes:
        """F_below on shapes."""
        self.check_bits(bits + 1)
        out = self.made_planes(len(at), x.size)
        self.visit("below", x.size, bits=bits, at=tuple(at))
        return out

    def combine(self, b: Planes, weights: Array, widths: Sequence[int]) -> list[Share]:
        """F_combine on shapes."""
        out = [self.made((b.n,), ring_of(width)) for width in widths]
        self.visit("combine", b.n * b.planes, planes=b.planes, widths=tuple(widths))
        return out

    def digit_ranks(self, digit: Planes, blocks: int, rows: int) -> Share:
        """F_rank on shapes."""
        out = self.made((blocks, rows))
        self.visit("digit_ranks", digit.n, bits=digit.planes)
        return out

    def factored(self, x: Share, how: Factors) -> Share:
        """F_factored on shapes."""
        sizes = {"terms": how.terms, "width": how.width, "shift": how.shift}
        out = self.made((x.size,))
        self.visit("factored", x.size, kind=type(how).__name__, **sizes)
        return out

    def shuffle(self, columns: Sequence[Column]) -> list[Column]:
        """F_shuffle on shapes."""
        return self._rows("shuffle", None, columns)

    def place(self, at: Column, columns: Sequence[Column]) -> list[Column]:
        """F_place on shapes."""
        return self._rows("place", at, columns)

    def fetch(self, at: Column, columns: Sequence[Column]) -> list[Column]:
        """F_fetch on shapes."""
        return self._rows("fetch", at, columns)

    def _rows(self, what: str, at: Column | None, columns: Sequence[Column]) -> list[Column]:
        if at is None and not columns:
            return []
        first = at or columns[0]
        widths = tuple(c.ring.width for c in columns)
        index = at.ring.width if at is not None else 0
        out = [Column(self.made(c.share.shape, c.ring), c.ring, c.xor) for c in columns]
        self.visit(what, first.share.size, widths=widths, index=index)
        return out


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _matmul_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
