"""The table of all kernels, from which the equality test and the benchmark come.

A sample makes arguments of about ``n`` elements from ``draw(shape, wide)``, uniform ring elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, TypeAlias

import numpy as np

from tacit.kernels import reference
from tacit.kernels.shapes import Array

Draw: TypeAlias = Callable[[tuple[int, ...], bool], Array]
Arguments: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel: its name, whether it has a U128 form, samples of its arguments."""

    name: str
    wide: bool
    sample: Callable[[Draw, int, bool], Arguments]
    products: Callable[[int], int] | None = None  # ring multiply-adds in a sample of n


def _arrays(count: int) -> Callable[[Draw, int, bool], Arguments]:
    return lambda draw, n, wide: tuple(draw((n,), wide) for _ in range(count))


def _shift(draw: Draw, n: int, wide: bool) -> Arguments:
    return draw((n,), wide), 77 if wide else 23


def _square(count: int) -> Callable[[Draw, int, bool], Arguments]:
    return lambda draw, n, wide: tuple(draw((isqrt(n), isqrt(n)), wide) for _ in range(count))


def _second_part(draw: Draw, n: int, wide: bool) -> Arguments:
    """Draw operands for the role that computes most."""
    return (1, *_square(4)(draw, n, wide))


def _gathered(draw: Draw, n: int, wide: bool) -> Arguments:
    """Windows of 3 x 3 on a square image of four features, of which there are half as many places as elements."""
    side = isqrt(n // 2) + 3
    places = np.arange(side - 2)
    rows = (places[:, None] * side + places).reshape(-1)
    taps = (np.arange(4)[:, None, None] * side * side + np.arange(3)[:, None] * side + np.arange(3)).reshape(
        -1
    )
    x = tuple(draw((4 * side * side,), wide) for _ in range(2))
    y = tuple(draw((36 * 16,), wide) for _ in range(2))
    none = np.zeros(1, np.int64)
    return x, (none, rows, taps), y, (none, np.arange(36), 36 * np.arange(16)), 1


def _to_planes(draw: Draw, n: int, wide: bool) -> Arguments:
    return draw((n,), wide), 128 if wide else 64


def _from_planes(draw: Draw, n: int, wide: bool) -> Arguments:
    return draw((128 if wide else 64, -(-n // 64)), False), n, wide


def _pack_words(draw: Draw, n: int, wide: bool) -> Arguments:
    return draw((n,), wide), 93 if wide else 37


def _unpack_words(draw: Draw, n: int, wide: bool) -> Arguments:
    bits = 93 if wide else 37
    octets = -(-n * bits // 8)
    return draw((octets // 8 + 1,), False).view(np.uint8)[:octets], bits, n, wide


def _pack_bool(draw: Draw, n: int, wide: bool) -> Arguments:
    return (reference.unpack_bool(draw((-(-n // 64),), False), n),)


def _unpack_bool(draw: Draw, n: int, wide: bool) -> Arguments:
    return draw((-(-n // 64),), False), n


def _planes(draw: Draw, n: int) -> Array:
    return draw((64, -(-n // 64)), False)


def _block_select(draw: Draw, n: int, wide: bool) -> Arguments:
    return draw((16 * 15, -(-n // 64)), False), _planes(draw, n), 4, True


KERNELS: tuple[Kernel, ...] = (
    Kernel("add", True, _arrays(2)),
    Kernel("sub", True, _arrays(2)),
    Kernel("neg", True, _arrays(1)),
    Kernel("mul", True, _arrays(2)),
    Kernel("shl", True, _shift),
    Kernel("shr", True, _shift),
    Kernel("matmul", True, _square(2), lambda n: isqrt(n) ** 3),
    Kernel("rep3_matmul", True, _second_part, lambda n: 2 * isqrt(n) ** 3),
    Kernel("gathered_matmul", True, _gathered, lambda n: 2 * 36 * 16 * (isqrt(n // 2) + 1) ** 2),
    Kernel("to_planes", True, _to_planes),
    Kernel("from_planes", True, _from_planes),
    Kernel("pack_words", True, _pack_words),
    Kernel("unpack_words", True, _unpack_words),
    Kernel("pack_bool", False, _pack_bool),
    Kernel("unpack_bool", False, _unpack_bool),
    Kernel("add_planes", False, lambda draw, n, wide: (_planes(draw, n), _planes(draw, n))),
    Kernel("block_table", False, lambda draw, n, wide: (_planes(draw, n), 4)),
    Kernel("block_select", False, _block_select),
    Kernel("prg", False, lambda draw, n, wide: (draw((2,), False).tobytes(), 2**64 - n // 4 - 1, 8 * n + 5)),
)
