"""Shares without content: what a participant that holds no shares computes with.

A client (an owner or a recipient outside the compute parties), a dealer and the cost model all walk through
the same calls as the compute parties; only the shapes matter to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
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

    def holds_constant(self, part: int) -> bool:
        """Return False: there is nothing to add to."""
        return False

    def constant(self, value: Array) -> Share:
        """Return a ghost of the constant's shape."""
        return ghost(value.shape)

    def constant_bits(self, value: Array) -> Share:
        """Return a ghost of the constant's shape."""
        return ghost(value.shape)

    def agree(self, value: Array) -> Array:
        """Return the value: nothing here depends on it."""
        self.visit("agree", value.size)
        return value

    def add(self, x: Share, y: Share) -> Share:
        """Return a ghost of the sum's shape."""
        return ghost(np.broadcast_shapes(x.shape, y.shape))

    sub = add

    def neg(self, x: Share) -> Share:
        """Return x."""
        return x

    def add_public(self, x: Share, c: Array) -> Share:
        """Return a ghost of the sum's shape."""
        return ghost(np.broadcast_shapes(x.shape, c.shape))

    mul_public = add_public

    def matmul_public(self, x: Matrix, c: Array | Matrix, left: bool = False) -> Share:
        """Return a ghost of the product's shape."""
        return ghost(_matmul_shape(c.shape, x.shape) if left else _matmul_shape(x.shape, c.shape))

    def shl(self, x: Share, s: int) -> Share:
        """Return x."""
        return x

    def sum(self, x: Share, axes: tuple[int, ...]) -> Share:
        """Return a ghost without `axes`."""
        drop = {a % len(x.shape) for a in axes}
        return ghost([s for i, s in enumerate(x.shape) if i not in drop])

    def cumsum(self, x: Share, axis: int) -> Share:
        """Return x."""
        return x

    def xor(self, x: Planes, y: Planes) -> Planes:
        """Return x or y, whichever has more planes."""
        return x if x.planes >= y.planes else y

    def xor_public(self, x: Planes, c: Array) -> Planes:
        """Return x."""
        return x

    def invert(self, x: Planes) -> Planes:
        """Return x."""
        return x

    def pack(self, x: Share) -> Planes:
        """Return one ghost plane."""
        return ghost_planes(1, x.size)

    def unpack(self, x: Planes, shape: Sequence[int]) -> Share:
        """Return a ghost of `shape`."""
        return ghost(shape)

    def words(self, x: Planes) -> Share:
        """Return a flat ghost."""
        return ghost((x.n,))

    def low_planes(self, x: Share, bits: int) -> Planes:
        """Return ghost planes."""
        return ghost_planes(bits, x.size)

    # -- hook: a subclass counts or sends here ---------------------------------------------------------------

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Do what this role does when the compute parties run `functionality` on n elements."""

    def share_input(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input on shapes."""
        self.visit("share_input", _size(shape), owner=owner, value=value)
        return ghost(shape)

    def share_bits(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input for truth values on shapes."""
        self.visit("share_bits", _size(shape), owner=owner, value=value)
        return ghost(shape)

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
        out = ghost(np.broadcast_shapes(x.shape, y.shape))
        self.visit("mul", out.size)
        return out

    def mul_early(self, x: Share, y: Share) -> Share:
        """F_mul on shapes."""
        self.visit("mul_early", x.size)
        return x

    def matmul_early(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul on shapes."""
        out = ghost(_matmul_shape(x.shape, y.shape))
        self.visit("matmul_early", out.size, inner=x.shape[-1], shapes=(x.shape, y.shape))
        return out

    def matmul(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul on shapes."""
        out = ghost(_matmul_shape(x.shape, y.shape))
        self.visit("matmul", out.size, inner=x.shape[-1], shapes=(x.shape, y.shape))
        return out

    def trunc(self, x: Share, f: int) -> Share:
        """F_trunc on shapes."""
        self.check_shift(f)
        self.visit("trunc", x.size, f=f)
        return x

    def trunc_exact(self, x: Share, f: int) -> Share:
        """F_floor on shapes."""
        self.check_shift(f)
        self.visit("trunc_exact", x.size, f=f)
        return x

    def mul_trunc(self, x: Share, y: Share, f: int) -> Share:
        """F_mul then F_trunc on shapes."""
        self.check_shift(f)
        out = ghost(np.broadcast_shapes(x.shape, y.shape))
        self.visit("mul_trunc", out.size, f=f)
        return out

    def matmul_trunc(self, x: Matrix, y: Matrix, f: int) -> Share:
        """F_matmul then F_trunc on shapes."""
        self.check_shift(f)
        out = ghost(_matmul_shape(x.shape, y.shape))
        self.visit("matmul_trunc", out.size, f=f, inner=x.shape[-1], shapes=(x.shape, y.shape))
        return out

    def and_(self, x: Planes, y: Planes) -> Planes:
        """F_and on shapes."""
        out = self.xor(x, y)
        self.visit("and_", out.n, planes=out.planes)
        return out

    def and_all(self, x: Planes) -> Planes:
        """F_and of many on shapes."""
        self.visit("and_all", x.n, planes=x.planes)
        return ghost_planes(1, x.n)

    def sign(self, x: Share, bits: int) -> Planes:
        """F_sign on shapes."""
        self.check_bits(bits + 1)
        self.visit("sign", x.size, bits=bits)
        return ghost_planes(1, x.size)

    def is_zero(self, x: Share, bits: int) -> Planes:
        """F_zero on shapes."""
        self.check_bits(bits)
        self.visit("is_zero", x.size, bits=bits)
        return ghost_planes(1, x.size)

    def decompose(self, x: Share, bits: int) -> Planes:
        """F_a2b on shapes."""
        self.check_bits(bits)
        self.visit("decompose", x.size, bits=bits)
        return ghost_planes(bits, x.size)

    def to_arith(self, b: Planes) -> Share:
        """F_b2a on shapes."""
        self.visit("to_arith", b.n * b.planes, planes=b.planes)
        return ghost((b.planes, b.n))

    def select(self, b: Planes, x: Share) -> Share:
        """F_inject on shapes."""
        self.visit("select", x.size)
        return x

    def narrowed(self, x: Share, f: int) -> Share:
        """Return x."""
        return x

    def select_trunc(self, b: Planes, x: Share, f: int) -> Share:
        """F_trunc then F_inject on shapes."""
        self.check_shift(f)
        self.visit("select_trunc", x.size, f=f)
        return x

    def select_narrowed(self, b: Planes, x: Share) -> Share:
        """F_inject of two operands on shapes."""
        self.visit("select_narrowed", x.size)
        return x

    def dot(self, x: Share, y: Share) -> Share:
        """F_mul and a sum over the first axis on shapes."""
        out = ghost(x.shape[1:])
        self.visit("dot", out.size, inner=x.shape[0])
        return out

    def mul_into(self, x: Share, y: Share, f: int, ring: Ring) -> Share:
        """F_mul and F_trunc into another ring, on shapes."""
        out = ghost(np.broadcast_shapes(x.shape, y.shape))
        self.visit("mul_into", out.size, f=f, into=ring.width)
        return out

    def matmul_into(self, x: Matrix, y: Matrix, f: int, ring: Ring) -> Share:
        """F_matmul and F_trunc into another ring, on shapes."""
        out = ghost(_matmul_shape(x.shape, y.shape))
        shapes = (x.shape, y.shape)
        self.visit("matmul_into", out.size, f=f, into=ring.width, inner=x.shape[-1], shapes=shapes)
        return out

    def trunc_into(self, x: Share, f: int, ring: Ring) -> Share:
        """F_trunc into a narrower ring, on shapes."""
        self.check_shift(f)
        self.visit("trunc_into", x.size, f=f, into=ring.width)
        return x

    def below(self, x: Share, bits: int, at: Sequence[int]) -> Planes:
        """F_below on shapes."""
        self.check_bits(bits + 1)
        self.visit("below", x.size, bits=bits, at=tuple(at))
        return ghost_planes(len(at), x.size)

    def combine(self, b: Planes, weights: Array, widths: Sequence[int]) -> list[Share]:
        """F_combine on shapes."""
        self.visit("combine", b.n * b.planes, planes=b.planes, widths=tuple(widths))
        return [ghost((b.n,)) for _ in widths]

    def digit_ranks(self, digit: Planes, blocks: int, rows: int) -> Share:
        """F_rank on shapes."""
        self.visit("digit_ranks", digit.n, bits=digit.planes)
        return ghost((blocks, rows))

    def factored(self, x: Share, how: Factors) -> Share:
        """F_factored on shapes."""
        sizes = {"terms": how.terms, "width": how.width, "shift": how.shift}
        self.visit("factored", x.size, kind=type(how).__name__, **sizes)
        return ghost((x.size,))

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
        self.visit(what, first.share.size, widths=widths, index=index)
        return [Column(ghost(c.share.shape), c.ring, c.xor) for c in columns]


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _matmul_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    return (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
