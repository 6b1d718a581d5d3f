"""The ring Z/2^k against Python integers, for widths from 1 to 128."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit.algebra.ring import Ring
from tacit.errors import RangeError, ShapeError

Array = npt.NDArray[Any]
SEED = 5
WIDTHS = (1, 2, 3, 4, 8, 16, 31, 32, 33, 63, 64, 65, 96, 100, 127, 128)


def raw(ring: Ring, n: int, seed: int = SEED) -> Array:
    """Return n Python integers of [0, 2^width), edges first."""
    rng, size = np.random.default_rng(seed), 1 << ring.width
    out = np.empty(n, object)
    out[:] = [int.from_bytes(rng.bytes(17), "little") % size for _ in range(n)]
    edges = [0, size - 1, size >> 1, (size >> 1) - 1, 1 % size, (1 << 63) % size, (1 << 64) % size]
    out[: min(n, 7)] = edges[:n]
    return out


def plain(ring: Ring, a: Array) -> Array:
    """Return the representatives in [0, 2^width) as Python integers."""
    size = 1 << ring.width
    flat = [int(v) % size for v in ring.to_ints(a).reshape(-1)]
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(a.shape)


def signed(v: int, width: int) -> int:
    return v - (1 << width) if v >= 1 << (width - 1) else v


@pytest.mark.parametrize("width", WIDTHS)
def test_elementwise(width: int) -> None:
    ring = Ring(width)
    x, y = raw(ring, 40), raw(ring, 40, SEED + 1)[::-1]
    a, b, size = ring.encode_ints(x), ring.encode_ints(y), 1 << width
    table: list[tuple[Array, Callable[[int, int], int]]] = [
        (ring.add(a, b), lambda u, v: u + v),
        (ring.sub(a, b), lambda u, v: u - v),
        (ring.mul(a, b), lambda u, v: u * v),
        (ring.neg(a), lambda u, v: -u),
        (ring.add(a, b[:1]), lambda u, v: u + int(y[0])),
        (ring.sub(b[:1], a), lambda u, v: int(y[0]) - u),
        (ring.mul(a, ring.constant(-3)), lambda u, v: -3 * u),
    ]
    for i, (got, want) in enumerate(table):
        assert plain(ring, got).tolist() == [want(u, v) % size for u, v in zip(x, y, strict=True)], i
    assert ring.to_ints(a).tolist() == [signed(v, width) for v in x]
    assert ring.top_bit(a).tolist() == [v >> (width - 1) for v in x]
    for s in {0, 1, width // 2, width - 1}:
        assert plain(ring, ring.shl(a, s)).tolist() == [(v << s) % size for v in x]
        assert plain(ring, ring.shr(a, s)).tolist() == [v >> s for v in x]
        assert plain(ring, ring.low_bits(a, s + 1)).tolist() == [v % (1 << (s + 1)) for v in x]


@pytest.mark.parametrize("width", WIDTHS)
def test_sums_and_products_of_arrays(width: int) -> None:
    ring, size = Ring(width), 1 << width
    x, y = raw(ring, 24).reshape(2, 3, 4), raw(ring, 8, 9).reshape(4, 2)
    a, b = ring.encode_ints(x), ring.encode_ints(y)
    assert np.array_equal(plain(ring, ring.matmul(a, b)), (x @ y) % size)
    for axes in ((0,), (1, 2), (0, 1, 2)):
        want = x
        for axis in sorted(axes, reverse=True):
            want = want.sum(axis=axis)
        assert np.array_equal(plain(ring, np.asarray(ring.sum(a, axes))), np.asarray(want, object) % size)
    assert np.array_equal(plain(ring, ring.cumsum(a, 1)), np.cumsum(x, axis=1) % size)


@pytest.mark.parametrize("width", WIDTHS)
def test_wire(width: int) -> None:
    ring = Ring(width)
    for n in (0, 1, 7, 8, 9, 64):
        x = raw(ring, n)
        a = ring.encode_ints(x)
        for bits in {1, width // 2 or 1, width} - ({64} if width > 64 else set()):
            packed = ring.pack(a, bits)
            assert packed.dtype == np.uint8 and packed.size == ring.wire_bytes(n, bits) == -(-n * bits // 8)
            assert plain(ring, ring.unpack(packed.copy(), (n,), bits)).tolist() == [
                v % (1 << bits) for v in x
            ]


def test_pack_of_64_bits_in_a_wide_ring() -> None:
    """Truncation by f = 64 and comparison at 64 bits pack 64 of 128 bits."""
    ring = Ring(128)
    a = ring.encode_ints(np.array([1 << 70, 5, 2**64 - 1], object))
    packed = ring.pack(a, 64)
    assert packed.size == ring.wire_bytes(3, 64) == 24
    assert plain(ring, ring.unpack(packed, (3,), 64)).tolist() == [0, 5, 2**64 - 1]


@pytest.mark.parametrize("width", [8, 32, 63, 64, 65, 100, 128])
def test_floats_round_to_nearest_and_are_refused_beyond_the_range(width: int) -> None:
    ring, f = Ring(width), 3
    values = np.array([0.0, 1.0, -1.0, 1.3, -1.3, 2.0**-4, -(2.0**-5), 7.875, -8.0])
    back = ring.to_floats(ring.encode_floats(values, f), f)
    assert np.all(np.abs(back - values) <= 2.0**-4) and back[-1] == -8
    top = 2.0 ** (width - 1 - f)
    for bad in (np.nan, np.inf, -np.inf, top, -top):
        with pytest.raises(RangeError) as caught:
            ring.encode_floats(np.array([bad]), f)
        assert str(top) not in str(caught.value)
    if width > 60:
        big = np.array([2.0 ** (width - 2 - f), -(2.0 ** (width - 2 - f)), -5.0])
        assert np.array_equal(ring.to_floats(ring.encode_floats(big, f), f), big)


def test_other_inputs() -> None:
    for width in (0, 129, -1):
        with pytest.raises(RangeError):
            Ring(width)
    assert Ring(8).encode_ints([True, False]).tolist() == [1, 0]
    assert Ring(8).encode_ints(np.array([255, 256, 257], np.uint64)).tolist() == [255, 0, 1]
    assert Ring(100).to_ints(Ring(100).encode_ints(np.array([-1, 5]))).tolist() == [-1, 5]
    with pytest.raises(ShapeError):
        Ring(8).encode_ints([1.5])
    assert Ring(64).constant(-1).reshape(1).tolist() == [2**64 - 1]
    assert plain(Ring(100), Ring(100).from_words(np.array([7], np.uint64))).tolist() == [7]


def test_no_method_changes_its_arguments() -> None:
    for width in (63, 64, 100, 128):
        ring = Ring(width)
        a, b = ring.encode_ints(raw(ring, 9)), ring.encode_ints(raw(ring, 9, 8))
        before = a.copy(), b.copy()
        for result in (ring.add(a, b), ring.sub(a, b), ring.mul(a, b), ring.neg(a), ring.shl(a, 0)):
            result[...] = ring.zeros((9,))
        ring.sum(a, (0,)), ring.cumsum(a, 0), ring.low_bits(a, 5), ring.pack(a), ring.to_ints(a)
        assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


@pytest.mark.parametrize("width", [1, 23, 64, 65, 100])
def test_low_is_the_value_in_a_narrower_ring(width: int) -> None:
    values = [0, 1, -1, 2**62 + 5, -(2**63), 2**100 - 3]
    narrow = Ring(width)
    for wide in (Ring(w) for w in (64, 100, 128) if w >= width):
        held = wide.encode_ints(np.array(values, object))
        assert np.array_equal(narrow.low(held), narrow.encode_ints(np.array(values, object)))
        assert np.array_equal(held, wide.encode_ints(np.array(values, object)))  # nothing is written to it
