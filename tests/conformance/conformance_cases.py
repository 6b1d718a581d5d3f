"""One table of functionalities with their operands: conformance, cost and wire tests all walk it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.rows import Column, index_ring
from tacit.core.share import Planes, Share
from tacit.testing import scatter, scatter_planes

Array = npt.NDArray[Any]
SIZES = (0, 1, 63, 64, 65, 1000)
WIDTHS = (8, 16, 32, 52, 63, 64, 65, 100, 128)


@dataclass(frozen=True)
class Operands:
    """Public test operands; `run` shares them and calls one functionality."""

    tag: str
    args: tuple[Any, ...]
    run: Callable[[Any], Share | Planes]


def integers(rng: np.random.Generator, n: int, low: int, high: int, shape: tuple[int, ...] = ()) -> Array:
    """Return n Python integers of [low, high), edges first."""
    edges = [low, high - 1, 0, 1, -1]
    drawn = [low + int.from_bytes(rng.bytes(20), "little") % (high - low) for _ in range(n)]
    drawn[: min(n, 5)] = [min(max(e, low), high - 1) for e in edges][:n]
    out = np.empty(n, object)
    out[:] = drawn
    return out.reshape(shape or (n,))


def shifts(width: int) -> list[int]:
    """Return amounts to truncate by, the extremes included."""
    return sorted({f for f in (0, 1, 4, 5, width // 2 - 1, width - 3, width - 2) if 0 <= f <= width - 2})


def bit_counts(width: int, most: int) -> list[int]:
    """Return bit counts to compare at, the extremes included."""
    chosen = {b for b in (1, 3, 4, 5, width // 2 - 1, most - 1, most) if 1 <= b <= most}
    return sorted(chosen)


def _binary(name: str, ring: Ring, rng: np.random.Generator, **kw: Any) -> Iterator[Operands]:
    half = 1 << (ring.width - 1)
    for n in SIZES:
        x, y = integers(rng, n, -half, half), integers(rng, n, -half, half)[::-1]
        yield _two(f"n={n}", name, ring, x, y, **kw)
    x = integers(rng, 24, -half, half, (2, 3, 4))
    yield _two("shape=(2,3,4)", name, ring, x, x[::-1], **kw)


def _two(tag: str, name: str, ring: Ring, x: Array, y: Array, **kw: Any) -> Operands:
    ex, ey = ring.encode_ints(x), ring.encode_ints(y)
    return Operands(tag, (x, y), lambda p: getattr(p, name)(scatter(p, ex), scatter(p, ey), **kw))


def _matmul(name: str, ring: Ring, rng: np.random.Generator, **kw: Any) -> Iterator[Operands]:
    half = 1 << (ring.width - 1)
    for a, b in (
        ((1, 1), (1, 1)), ((3, 5), (5, 2)), ((1, 64), (64, 1)), ((8, 1), (1, 9)), ((2, 3, 4), (4, 2)),
        ((3, 2), (4, 2, 5)), ((2, 1, 3), (2, 3, 1)), ((3, 0), (0, 2)), ((0, 3), (3, 2)),
    ):  # fmt: skip
        x = integers(rng, int(np.prod(a)), -half, half, a)
        yield _two(f"{a}@{b}", name, ring, x, integers(rng, int(np.prod(b)), -half, half, b), **kw)


def _shift(name: str, ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    quarter = 1 << (ring.width - 2)
    least = -quarter + (name == "trunc")
    for f in shifts(ring.width):
        for n in SIZES if f == 4 else (65,):
            yield _one(f"f={f} n={n}", name, ring, integers(rng, n, least, quarter), f)
    yield _one("shape=(2,3,4)", name, ring, integers(rng, 24, least, quarter, (2, 3, 4)), 3)


def _one(tag: str, name: str, ring: Ring, x: Array, *rest: int) -> Operands:
    ex = ring.encode_ints(x)
    return Operands(tag, (x, *rest), lambda p: getattr(p, name)(scatter(p, ex), *rest))


def _bits(name: str, ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    most = ring.width - (name != "decompose")
    low = 1 if name == "is_zero" else 0
    for bits in bit_counts(ring.width, most):
        for n in SIZES if bits == 5 else (65,):
            bound = 1 << (bits - (name == "decompose"))
            x = integers(rng, n, -bound + low, bound)
            yield _one(f"bits={bits} n={n}", name, ring, x, bits)
    if name == "sign":
        yield _one("bits=0", name, ring, integers(rng, 65, -1, 1), 0)


def _planes(rng: np.random.Generator, count: int, n: int) -> Array:
    return rng.integers(0, 2**64, (count, -(-n // 64)), dtype=np.uint64)


def _and(ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    for count, n in ((1, 0), (1, 1), (3, 63), (1, 64), (2, 65), (5, 1000)):
        x, y = _planes(rng, count, n), _planes(rng, count, n)
        yield Operands(
            f"{count}x{n}",
            (),
            lambda p, x=x, y=y, n=n: p.and_(scatter_planes(p, x, n), scatter_planes(p, y, n)),
        )


def _and_all(ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    for count, n in ((1, 65), (2, 0), (2, 1), (3, 63), (7, 64), (9, 65), (33, 30), (5, 1000)):
        x = _planes(rng, count, n) | _planes(rng, count, n) | _planes(rng, count, n)
        yield Operands(f"{count}x{n}", (), lambda p, x=x, n=n: p.and_all(scatter_planes(p, x, n)))


def _to_arith(ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    for count, n in ((1, 0), (1, 1), (3, 63), (1, 64), (2, 65), (5, 1000)):
        x = _planes(rng, count, n)
        yield Operands(f"{count}x{n}", (), lambda p, x=x, n=n: p.to_arith(scatter_planes(p, x, n)))


def _select(ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    half = 1 << (ring.width - 1)
    for n in SIZES:
        b, x = _planes(rng, 1, n), ring.encode_ints(integers(rng, n, -half, half))
        yield Operands(
            f"n={n}", (), lambda p, b=b, x=x, n=n: p.select(scatter_planes(p, b, n), scatter(p, x))
        )


def _dot(ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    half = 1 << (ring.width - 1)
    for shape in ((1, 0), (1, 1), (3, 65), (2, 3, 4), (7, 1000)):
        x = integers(rng, int(np.prod(shape)), -half, half, shape)
        y = integers(rng, int(np.prod(shape)), -half, half, shape)
        yield _two(f"{shape}", "dot", ring, x, y)


ROW_SHAPES = ((1, 0), (1, 1), (1, 2), (2, 3), (1, 64), (3, 65), (1, 1000), (0, 4))


def columns(p: Any, ring: Ring, rng: np.random.Generator, blocks: int, rows: int) -> list[Column]:
    """Return a column of ring elements and one of 37-bit words."""
    half, n = 1 << (ring.width - 1), blocks * rows
    numbers = ring.encode_ints(integers(rng, n, -half, half, (blocks, rows)))
    planes = scatter_planes(p, _planes(rng, 37, n), n)
    return [
        Column(scatter(p, numbers), ring),
        Column(p.words(planes).reshape(blocks, rows), Ring(37), True),
    ]


def _rows(name: str, ring: Ring, seed: int) -> Iterator[Operands]:
    for blocks, rows in ROW_SHAPES:
        order = np.argsort(np.random.default_rng(seed).random((blocks, rows)), axis=1).astype(np.uint64)
        for words in (False, True):

            def run(
                p: Any, blocks: int = blocks, rows: int = rows, order: Array = order, words: bool = words
            ) -> Share | Planes:
                narrow = index_ring(rows)
                at = Column(scatter(p.over(narrow), order), narrow)
                if words:  # the places may be words of bits as well
                    planes = kernels.to_planes(order.reshape(-1), narrow.width)
                    held = p.words(scatter_planes(p, planes, order.size))
                    at = Column(held.reshape(blocks, rows), narrow, True)
                held = getattr(p, name)(at, columns(p, ring, np.random.default_rng(seed), blocks, rows))
                return p.low_planes(held[1].share, 37) if words else held[0].share

            yield Operands(f"{blocks}x{rows} {'words' if words else 'numbers'}", (), run)


def _digits(ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    """Sort rows by a digit: ranks are in a ring of their own."""
    for blocks, rows in (*ROW_SHAPES, (40, 27), (1, 13_000)):
        for bits in (1, 2, 3, 4) if rows < 1000 else (3,):
            digit = _planes(rng, bits, blocks * rows)

            def run(p: Any, blocks: int = blocks, rows: int = rows, digit: Array = digit) -> Share:
                narrow = index_ring(rows)
                planes = scatter_planes(p, digit, blocks * rows)
                at = Column(p.over(narrow).digit_ranks(planes, blocks, rows), narrow)
                return p.place(at, columns(p, ring, np.random.default_rng(rows), blocks, rows))[0].share

            yield Operands(f"{blocks}x{rows} of {bits} bits", (), run)


def _product(name: str, ring: Ring, rng: np.random.Generator) -> Iterator[Operands]:
    """Give operands whose product stays below 2^(k−2)."""
    bound = 1 << ((ring.width - 2) // 2 - 2)
    for f in shifts(ring.width):
        x, y = integers(rng, 65, -bound, bound), integers(rng, 65, -bound, bound)[::-1]
        yield (
            _two(f"f={f}", name, ring, x, y, f=f)
            if name == "mul_trunc"
            else _two(f"f={f}", name, ring, x[:12].reshape(3, 4), y[:8].reshape(4, 2), f=f)
        )


EXACT = ("mul", "matmul", "and_", "and_all", "trunc_exact", "sign", "is_zero", "decompose", "to_arith", "select",
         "dot", "digit_ranks", "place", "fetch")  # fmt: skip
ROUNDED = ("trunc", "mul_trunc", "matmul_trunc")


def cases(name: str, ring: Ring, seed: int) -> list[Operands]:
    """Return the operands that functionality `name` is tried on."""
    rng = np.random.default_rng([seed, ring.width])
    if name == "mul":
        return list(_binary(name, ring, rng))
    if name == "matmul":
        return list(_matmul(name, ring, rng))
    if name in ("trunc", "trunc_exact"):
        return list(_shift(name, ring, rng))
    if name in ("mul_trunc", "matmul_trunc"):
        return list(_product(name, ring, rng))
    if name in ("sign", "is_zero", "decompose"):
        return list(_bits(name, ring, rng))
    if name == "dot":
        return list(_dot(ring, rng))
    if name == "digit_ranks":
        return list(_digits(ring, rng))
    if name in ("place", "fetch"):
        return list(_rows(name, ring, seed))
    makers = {"and_": _and, "and_all": _and_all, "to_arith": _to_arith, "select": _select}
    return list(makers[name](ring, rng))


def exact_quotient(name: str, operands: Operands, f: int) -> tuple[Array, Array]:
    """Return (floor, remainder) of the exact result of a rounded functionality over 2^f."""
    x, *rest = operands.args
    z = x * rest[0] if name == "mul_trunc" else x @ rest[0] if name == "matmul_trunc" else x
    return z >> f, z - ((z >> f) << f)


def plane_bits(planes: Array, n: int) -> Array:
    """Return uint8 (planes, n)."""
    return np.array([kernels.unpack_bool(row, n) for row in planes], np.uint8).reshape(len(planes), n)
