"""The kernels of tournaments: native equals the NumPy reference on every instruction set; what they mean."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from test_kernels_rep3 import Draw, assert_same

from tacit.kernels import reference_seats
from tacit.kernels.reference import pack_bool, unpack_bool
from tacit.kernels.reference_seats import Seating, pairs
from tacit.kernels.shapes import Array

needs_native = pytest.mark.skipif(
    importlib.util.find_spec("tacit.kernels._native") is None, reason="the native kernels are not built"
)
if importlib.util.find_spec("tacit.kernels._native") is not None:
    from tacit.kernels import _native, compiled_seats

SIZES = [2, 3, 4, 5, 7, 9, 17, 33, 64]
COLUMNS = [1, 2, 63, 64, 65, 300]


def seatings(k: int, rows: int) -> list[Seating]:
    """Groups of rows far apart and of neighbours, all of them and from some row on, with and without missing rows."""
    groups = -(-rows // k)
    found = [Seating(k, groups, groups, 1), Seating(k, groups, 1, k)]
    return [*found, *(s._replace(groups=groups - groups // 3, first=groups // 3 * s.step) for s in found)]


@needs_native
@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("columns", COLUMNS)
def test_differences_and_sums_of_seats(target: str, k: int, columns: int) -> None:
    for rows in {k, 3 * k - 1, 3 * k, 1400 // columns + k}:
        draw = Draw(k, columns, rows)
        x = draw.words(rows, columns)
        for s in seatings(k, rows):
            for held in (x, np.asfortranarray(x), np.concatenate([x, x], axis=1)[:, ::2]):
                for bits in (1, 23, 64):
                    gaps = reference_seats.seat_gaps(held, s, bits)
                    assert_same(gaps, compiled_seats.seat_gaps(held, s, bits))
                    sums = reference_seats.seat_sums(gaps[: k - 1], held, s, bits)
                    assert_same(sums, compiled_seats.seat_sums(gaps[: k - 1], held, s, bits))


@needs_native
@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("n", [1, 2, 31, 64, 129, 1000])
def test_pairs_of_seats(target: str, k: int, n: int) -> None:
    met = Draw(k, n).words(-(-k * (k - 1) // 2 * n // 64) + 1)  # what lies past the end is not read
    for one in (False, True):
        found = reference_seats.seat_wins(met, k, n, one)
        assert_same(found, compiled_seats.seat_wins(met, k, n, one))


@needs_native
@pytest.mark.parametrize("k", [1, *SIZES])
@pytest.mark.parametrize("columns", COLUMNS)
def test_rows_of_groups(target: str, k: int, columns: int) -> None:
    for rows in {0, 1, k, 5 * k - 1, 40 * k, 67 * k - 1, 1400 // columns}:
        draw, groups = Draw(k, columns, rows), -(-rows // k)
        hot = draw.words(-(-max(1, k - 1) * groups * columns // 64) + 1)
        for at, start, alone, one in (
            (0, 0, 0, False),
            (0, 0, 1, True),
            (61, 7, 1, True),
            (128, 64, 0, False),
        ):
            outs = [np.zeros(-(-(at + (rows + 1) * columns) // 64) + 1, np.uint64) for _ in range(2)]
            for out, kernels in zip(outs, (reference_seats, compiled_seats), strict=True):
                out[: at // 64] = 2**64 - 1  # what was put before stays
                out[at // 64] = (1 << at % 64) - 1
                if k > 1:
                    kernels.won_rows(out, at, hot, one, rows, alone, k, columns)
                else:
                    kernels.rows_below(out, at, hot, 0, rows, k, columns)
            assert_same(*outs)
            outs = [np.zeros_like(out) for out in outs]
            above = draw.words(-(-(start + groups * columns) // 64) + 1)
            for out, kernels in zip(outs, (reference_seats, compiled_seats), strict=True):
                kernels.rows_below(out, at, above, start, rows, k, columns)
            assert_same(*outs)


@needs_native
@pytest.mark.parametrize("columns", COLUMNS)
def test_numbers_of_marked_rows(target: str, columns: int) -> None:
    for rows in (2, 3, 5, 64, 65, 700):
        marks = Draw(columns, rows).words(-(-rows * columns // 64) + 1)
        for bits in ((rows - 1).bit_length(), 11):
            found = reference_seats.row_numbers(marks, rows, columns, bits)
            assert_same(found, compiled_seats.row_numbers(marks, rows, columns, bits))


def bits_of(words: Array, n: int) -> Array:
    return unpack_bool(words[: -(-n // 64)], n)


def test_what_they_mean() -> None:
    rng = np.random.default_rng(7)
    for k, rows, columns in ((2, 9, 1), (3, 7, 2), (5, 19, 3)):
        groups = -(-rows // k)
        x, s = rng.integers(0, 50, (rows, columns)), Seating(k, groups, 1, k)
        seats = (
            np.concatenate([x, *[x[-1:]] * (groups * k - rows)]).reshape(groups, k, columns).swapaxes(0, 1)
        )
        gaps = reference_seats.seat_gaps(x.astype(np.uint64), s, 64).view(np.int64)
        for gap, i, j in zip(gaps, *pairs(k), strict=True):
            assert np.array_equal(gap, seats[i] - seats[j])
        n = groups * columns
        planes = reference_seats.seat_wins(pack_bool((gaps < 0).astype(np.uint8).reshape(-1)), k, n, True)
        won = np.bitwise_and.reduce([bits_of(row, (k - 1) * n) for row in planes]).reshape(
            k - 1, groups, columns
        )
        first = seats.argmax(axis=0)
        assert np.array_equal(won, np.arange(k - 1)[:, None, None] == first)
        steps = (won * gaps[: k - 1]).view(np.uint64)
        assert np.array_equal(
            reference_seats.seat_sums(steps, x.astype(np.uint64), s, 64).view(np.int64), seats.max(axis=0)
        )
        out = np.zeros(-(-rows * columns // 64), np.uint64)
        reference_seats.won_rows(
            out, 0, pack_bool(won.astype(np.uint8).reshape(-1)), True, rows, 0, k, columns
        )
        marked = bits_of(out, rows * columns).reshape(rows, columns)
        assert np.array_equal(marked, [first[row // k] == row % k for row in range(rows)])
        below = np.zeros_like(out)
        above = pack_bool(rng.integers(0, 2, n, dtype=np.uint8))
        reference_seats.rows_below(below, 0, above, 0, rows, k, columns)
        repeated = bits_of(above, n).reshape(groups, columns)[np.arange(rows) // k]
        assert np.array_equal(bits_of(below, rows * columns).reshape(rows, columns), repeated)
        one = pack_bool((np.arange(rows)[:, None] == x.argmax(axis=0)).astype(np.uint8).reshape(-1))
        bits = [bits_of(plane, columns) for plane in reference_seats.row_numbers(one, rows, columns, 5)]
        assert np.array_equal(np.tensordot(1 << np.arange(5)[::-1], bits, 1), x.argmax(axis=0))


@needs_native
def test_buffers_of_a_wrong_size_are_refused() -> None:
    out, x = np.zeros(4, np.uint64), np.zeros((4, 1), np.uint64)
    for given in (
        ("seat_gaps", out, x, 4, 1, False, 2, 2, 1, 2, 0, 64),
        ("seat_gaps", out[:2], x, 5, 1, False, 2, 2, 1, 2, 0, 64),
        ("seat_gaps", out[:2], x, 4, 1, False, 65, 2, 1, 2, 0, 64),
        ("seat_sums", out[:2], out, x, 4, 1, False, 2, 2, 1, 2, 0, 64),
        ("seat_wins", out, x, 4, 1, True),
        ("seat_wins", out, x, 3, 100, True),
        ("won_rows", out, 200, x, True, 56, 1, 2, 1),
        ("won_rows", out, 0, x, True, 256, 0, 64, 2),
        ("rows_below", out, 0, x, 0, 257, 64, 1),
        ("rows_below", out, 0, x, 253, 7, 2, 1),
        ("row_numbers", out, np.zeros(1, np.uint64), np.zeros(1, np.uint64), 4, 5),
    ):
        with pytest.raises(ValueError, match=r"wrong size|2 to 64|up to 64"):
            getattr(_native, given[0])(*given[1:])
