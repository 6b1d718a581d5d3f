"""The kernels that sort and move rows: native equals the NumPy reference on every instruction set; what they mean."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from test_kernels_rep3 import Draw, assert_same

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.kernels import reference_rows, rows
from tacit.kernels.shapes import Array

needs_native = pytest.mark.skipif(
    importlib.util.find_spec("tacit.kernels._native") is None, reason="the native kernels are not built"
)
if importlib.util.find_spec("tacit.kernels._native") is not None:
    from tacit.kernels import compiled_rows


def both(name: str, *given: Any) -> Any:
    """Return what the reference and the native kernel agree on."""
    expected = getattr(reference_rows, name)(*given)
    got = getattr(compiled_rows, name)(*given)
    if expected is None or got is None:
        assert expected is got
    else:
        assert_same(expected, got)
    return expected


@needs_native
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [1, 5, 18, 32])
@pytest.mark.parametrize("lanes", [0, 1, 9, 150])
def test_digits_told_apart(target: str, bits: int, k: int, lanes: int) -> None:
    draw = Draw(bits, k, lanes)
    rows = ((1 << bits) - 1) * k
    a, b, c = (draw.words(bits, lanes) for _ in range(3))
    rho, t = draw.words(rows, lanes), draw.words(rows, lanes)
    first = both("hot_first", a, b, rho, k)
    shares = [both("hot_second", held, c, t, lead, k) for held, lead in ((first, True), (rho, False))]
    total = both("sum_planes", *shares, k)
    if lanes:
        digits = kernels.from_planes(a ^ b ^ c, 64 * lanes)
        for v in range(1, 1 << bits):
            number, mask = (
                kernels.from_planes(x[(v - 1) * k : v * k], 64 * lanes)
                for x in (total, both("sum_planes", t, t, k))
            )
            assert np.array_equal(number + mask & np.uint64((1 << k) - 1), (digits == v).astype(np.uint64))


@needs_native
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("blocks", "thirds"),
    [
        (1, [1]),
        (1, [0]),
        (3, [210]),
        (1, [20_000]),
        (1, [8192, 640, 77]),
        (97, [576, 64, 39]),
        (2, [9000]),
        (0, [0]),
    ],
)
def test_digit_ranks(target: str, bits: int, blocks: int, thirds: list[int]) -> None:
    n, draw = sum(thirds), Draw(bits, blocks, *thirds)
    for one in ((0, 1), (1, 0), (0, 0)):
        for k in (1, 17, 32) if one[0] else (1, 16, 17, 18, 20, 24, 32):  # planes from 16 on are turned apart
            count = ((1 << bits) - 1) * k
            x, y = ([draw.words(count, -(-m // 64)) for m in thirds] for _ in range(2))
            plus, minus = draw.octets(-(-n * k // 8)), draw.octets(-(-n * k // 8))
            both("digit_ranks", x, y, thirds, *one, plus, minus, blocks, k)


def test_ranks_of_digits_in_the_clear() -> None:
    """One party holds all of everything: its product and its part of the rest are the places."""
    rng = np.random.default_rng(5)
    digit, k = rng.integers(0, 8, (3, 50), dtype=np.uint64), 6
    hot = [kernels.to_planes((digit.reshape(-1) == v).astype(np.uint64), k) for v in range(1, 8)]
    none = np.zeros(-(-150 * k // 8), np.uint8)
    x = np.concatenate(hot)
    _, at, rest = rows.digit_ranks([x], [np.zeros_like(x)], [150], 1, 0, none, none, 3, k)
    assert not rest.any()
    places = np.argsort(np.argsort(digit, axis=1, kind="stable"), axis=1, kind="stable")
    assert np.array_equal(at, places)


@needs_native
@pytest.mark.parametrize("n", [0, 1, 257, 20_000])
@pytest.mark.parametrize("k", [1, 17, 51, 64, 128])
def test_moves(target: str, n: int, k: int) -> None:
    draw, ring = Draw(n, k), Ring(k)
    x, y = draw.ring(ring, n), draw.ring(ring, n)
    at = draw.rng.permutation(n).astype(np.uint32)
    masks, other = draw.octets(-(-n * k // 8)), draw.octets(-(-n * k // 8))
    for how in range(3) if k <= 64 else range(2):
        for second in (None, y):
            for mask in (None, masks):
                for pack in (False, True):
                    both("moved", x, second, at, mask, how, k, pack)
        for b in (None, other):
            for to in (None, at):
                both("placed", masks, b, to, how, k, n, k > 64)
    words = both("moved", x, None, at, None, rows.ADD, k, True)
    assert np.array_equal(both("placed", words, None, at, rows.ADD, k, n, k > 64), x)


@pytest.mark.parametrize("k", [9, 64, 70])
def test_places_that_are_no_permutation_are_refused(k: int) -> None:
    ring, blocks, n = Ring(k), 3, 300
    at = np.stack([np.random.default_rng(b).permutation(100) for b in range(blocks)])
    none = np.zeros(-(-n * k // 8), np.uint8)

    def places(values: Array) -> Array | None:
        packed = ring.pack(ring.encode_ints(values))
        return rows.places(packed, none, rows.ADD, k, blocks, n)

    found = places(at)
    assert found is not None and np.array_equal(found.reshape(at.shape), at + np.arange(0, n, 100)[:, None])
    for wrong in (at[1, 0], 100, 255, -1):  # twice, or beyond the block
        bad = at.copy()
        bad[1, 5] = wrong
        assert places(bad) is None


@needs_native
@pytest.mark.parametrize(("blocks", "n"), [(0, 0), (1, 1), (1, 1000), (40, 7)])
def test_permutation(target: str, blocks: int, n: int) -> None:
    found = both("permutation", Draw(blocks, n).words(blocks * n), blocks)
    rows_of = found.reshape(blocks, n) if blocks else found
    assert np.array_equal(np.sort(rows_of, axis=-1).reshape(-1), np.arange(blocks * n))


@needs_native
def test_draws_that_would_make_some_order_likelier_are_refused(target: str) -> None:
    """Of three rows, 2^64 = 3q + 1: the draw 0 is one too many; of four or two, none is."""
    draws = np.full(4, 12345, np.uint64)
    for i, wanted in enumerate((True, False, True, True)):
        bad = draws.copy()
        bad[i] = 0
        assert (both("permutation", bad, 1) is not None) == wanted


@needs_native
def test_native_moves_check_places_and_sizes() -> None:
    x, at = np.zeros(5, np.uint64), np.array([0, 1, 2, 3, 5], np.uint32)
    with pytest.raises(ValueError, match="row"):
        compiled_rows.moved(x, None, at, None, 0, 9, False)
    with pytest.raises(ValueError, match="size"):
        compiled_rows.moved(x, None, at[:4], None, 0, 9, False)
    with pytest.raises(ValueError, match="row"):
        compiled_rows.placed(np.zeros(6, np.uint8), None, at, 0, 9, 5)
    with pytest.raises(ValueError, match="size"):
        compiled_rows.hot_first(
            np.zeros((2, 3), np.uint64), np.zeros((2, 2), np.uint64), np.zeros((12, 3), np.uint64), 4
        )
