"""First steps of comparisons: masks in memory or made where they are read, on every instruction set, as in NumPy."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from targets import everywhere

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.errors import ShapeError
from tacit.kernels import reference, reference_rep3
from tacit.kernels.shapes import Array, StreamPart, table_rows

HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
needs_native = pytest.mark.skipif(not HAS_NATIVE, reason="the native kernels are not built")
if HAS_NATIVE:
    from tacit.kernels import compiled_rep3

SIZES = [0, 1, 63, 65, 511, 513, 64 * 128, 64 * 128 + 1, 3 * 64 * 128 + 700]


class Masks:
    """Masks of a key stream: made where they are read, and in memory."""

    def __init__(self) -> None:
        self.stream = kernels.KeyStream(bytes(range(16)))
        self.block = 3

    def __call__(self, rows: int, lanes: int) -> tuple[StreamPart, Array]:
        part = StreamPart(self.stream, self.block, 8 * rows * lanes)
        self.block += part.size // 16 + 1
        return part, kernels.expanded(part).view(np.uint64).reshape(rows, lanes)


def elements(n: int, k: int, seed: int) -> Array:
    """Return uniform elements of Z/2^k."""
    ring, rng = Ring(k), np.random.default_rng((n, k, seed))
    out = np.empty(n, ring.dtype)
    for half in ("lo", "hi") if ring.wide else (...,):
        out[half] = rng.integers(0, 2**64, n, dtype=np.uint64)
    return ring.reduce(out)


@needs_native
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("k", "bits", "radix"), [(64, 20, 3), (64, 63, 4), (33, 0, 3), (64, 9, 8), (128, 127, 5)]
)
@pytest.mark.parametrize("top", [True, False])
def test_tables_and_what_is_selected_from_them(n: int, k: int, bits: int, radix: int, top: bool) -> None:
    x, y, b = (elements(n, k, i) for i in range(3))
    lanes, rows, nb, at = -(-n // 64), table_rows(bits, radix) + top, -(-bits // radix), 5
    draw = Masks()
    rho, table = draw(rows, lanes), draw(rows, lanes)
    # From the kernels that they are made of, whose own tests say what tables are.
    total, own = (reference.to_planes(a, bits + top) for a in (reference.add(x, y), b))
    expected = np.concatenate([total[bits:], reference.block_table(total[:bits], radix)]) ^ rho[1]
    chosen = [reference.block_select(table[1][int(top) :], own[:bits], radix, lead) for lead in (True, False)]
    for steps in everywhere(reference_rep3, compiled_rep3):
        for which in (0, 1):
            whole = np.zeros((int(top), lanes + 9), np.uint64)
            assert np.array_equal(steps.table_first(x, y, rho[which], bits, top, radix, whole, at), expected)
            check_row(whole, at, rho[1][: int(top)])
            for lead, first, count in ((True, 0, nb), (False, 1, max(2 * nb - 1, 0)), (True, 0, 0)):
                draws = draw(count, lanes)
                kept = tuple(np.zeros((r, lanes + 9), np.uint64) for r in (count, int(top), int(top)))
                found = steps.table_second(
                    b, table[which], draws[which], bits, top, radix, lead, (first, count), kept, at
                )
                assert np.array_equal(found, chosen[int(not lead)][first : first + count] ^ draws[1])
                for row, held in zip(kept, (draws[1], own[bits:], table[1][: int(top)]), strict=True):
                    check_row(row, at, held)


def check_row(whole: Array, at: int, rows: Array) -> None:
    """Check that rows were written from the word `at` on, and nothing else."""
    assert np.array_equal(whole[:, at : at + rows.shape[1]], rows)
    assert not whole[:, :at].any() and not whole[:, at + rows.shape[1] :].any()


@needs_native
@pytest.mark.parametrize("lanes", [0, 1, 7, 512, 1025])
def test_masks_of_rows_are_made_where_they_are_read(lanes: int) -> None:
    draw, rng = Masks(), np.random.default_rng(lanes)
    s0, s1 = rng.integers(0, 2**64, (2, 9, lanes), dtype=np.uint64)
    own, previous = draw(7, lanes), draw(7, lanes)
    a, b, first = np.array([0, 8, 3, 3]), np.array([8, 0, 3, 4]), 2
    expected = (s0[a] & (s0[b] ^ s1[b])) ^ (s1[a] & s0[b]) ^ own[1][2:6] ^ previous[1][2:6]
    for steps in everywhere(reference_rep3, compiled_rep3):
        for which in (0, 1):
            assert np.array_equal(steps.and_rows(s0, s1, a, b, own[which], previous[which], first), expected)
            whole = np.zeros((7, lanes + 3), np.uint64)
            steps.place_rows(whole, own[which], 1, lanes)
            check_row(whole, 1, own[1])


@needs_native
def test_buffers_of_a_wrong_size_are_refused() -> None:
    x, part = np.zeros(130, np.uint64), Masks()
    good, short = part(8, 3)[0], part(7, 3)[0]
    one, three, zeros = np.zeros((1, 4), np.uint64), np.zeros((1, 3), np.uint64), np.zeros(3, np.int64)
    wrong: list[Callable[[], object]] = [
        lambda: compiled_rep3.table_first(x, x, short, 3, True, 3, one),
        lambda: compiled_rep3.table_first(x, x, good, 3, True, 3, one, 2),
        lambda: compiled_rep3.table_first(x, x, good, 3, True, 3, np.zeros((0, 4), np.uint64)),
        lambda: compiled_rep3.table_first(x, x, good, 64, True, 3, one),
        lambda: compiled_rep3.table_first(x, x, good, 3, True, 9, one),
        lambda: compiled_rep3.table_first(x, x[:129], good, 3, True, 3, one),
        lambda: compiled_rep3.table_second(x, short, good, 3, True, 3, True, (0, 1), (one, one, one)),
        lambda: compiled_rep3.table_second(x, good, good, 3, True, 3, True, (0, 1), (one, one, one)),
        lambda: compiled_rep3.table_second(x, good, part(1, 3)[0], 3, True, 3, True, (0, 1), (one, one, one), 2),
        lambda: compiled_rep3.place_rows(np.zeros((8, 3), np.uint64), good, 1, 3),
        lambda: compiled_rep3.place_rows(np.zeros((8, 3), np.uint64), short, 0, 3),
        lambda: compiled_rep3.and_rows(three, three, zeros, zeros, good, good, 6),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises((ValueError, ShapeError), match=r"size|bits|row|radix|shape"):
            call()


@needs_native
@pytest.mark.parametrize("steps", [reference_rep3, compiled_rep3] if HAS_NATIVE else [])
def test_rows_without_masks_and_words_without_draws_are_refused(steps: Any) -> None:
    """Also where one row, or one word, could stand for all."""
    x, part = np.zeros(130, np.uint64), Masks()
    words, bits, rows = np.zeros((1, 3), np.uint64), np.zeros(3, np.uint64), np.zeros(3, np.int64)
    table, masks = part(7, 3)[0], [part(r, 3)[0] for r in range(10)]
    drawn, short = StreamPart(part.stream, 0, 8 * 130), StreamPart(part.stream, 0, 8)
    none: Any = np.zeros((0, 3), np.uint64)

    def selected(first: int, count: int) -> object:
        kept = (np.zeros((count, 3), np.uint64), none, none)
        return steps.table_second(x, table, masks[count], 3, False, 3, True, (first, count), kept)

    def cut(words: Any, part: StreamPart) -> object:
        return steps.add_masks(x.copy(), kernels.Masks(), 64, kernels.Cut(64, kernels.Made(words, part)))

    def chosen(words: Any, part: StreamPart) -> object:
        return steps.select_second(drawn, drawn, bits, x, x, kernels.Made(words, part), True, 64)

    selected(0, 2), selected(1, 1), selected(2, 0), cut(x.copy(), drawn), chosen(x.copy(), drawn)
    wrong: list[Callable[[], object]] = [
        lambda: selected(0, 9), lambda: selected(1, 2), lambda: selected(7, 1),
        lambda: steps.and_rows(words, words, rows, rows, masks[1], masks[1]),
        lambda: steps.and_rows(words, words, rows, rows, masks[3], masks[3], 2),
        lambda: cut(x.copy(), short), lambda: chosen(x.copy(), short),
        lambda: cut((), drawn), lambda: chosen((), drawn),
    ]  # fmt: skip
    for call in wrong:
        with pytest.raises((ValueError, ShapeError, AttributeError)):
            call()
