"""Every native kernel on secrets that valgrind takes for undefined: it reports each branch and address they decide.

Run by ``test_kernels_constant_time.py`` as ``valgrind python constant_time.py NATIVE MARKS TARGET``: the module as it
was built, the library of ``constant_time.cpp``, the instruction set. JSON says which calls were reported.
What is public, and so stays defined: sizes, widths, shifts, roles, places of rows and numbers of a plan.
Without the package and NumPy, whose start under valgrind would take longer than all kernels.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import json
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from constant_time_watch import NONE, Buffer, Watch, block_rows, int64s, octets, of, uint32s, words

MANY = 16_500
"""Elements that most kernels share among threads."""
SOME = 303
"""More than kernels take at a time, and no whole registers."""


# -- arithmetic ------------------------------------------------------------------------------------------------


def elements(c: Watch, w: int) -> None:
    """Element by element, in words of w bytes."""
    to = f"_{8 * w}"
    for n in (1, 7, 300, 66_000):
        for name in ("add", "sub", "mul"):
            c(name + to, c.out(n * w), c.secret(n * w), c.secret(n * w))
        c("neg" + to, c.out(n * w), c.secret(n * w))
        for name in ("shl", "shr"):
            for by in (0, 13, 8 * w - 1):
                c(name + to, c.out(n * w), c.secret(n * w), by)


Shapes = Sequence[tuple[int, int, int, int]]
"""Batch, rows, inner, columns."""
THIN = [(2, 1, 9, 21), (3, 2, 5, 37), (1, 3, 6, 40), (1, 4, 5, 37), (1, 7, 3, 37), (2, 9, 70, 5), (1, 5, 10, 9),
        (1, 2, 3, 9)]  # fmt: skip
THICK = [(1, 13, 300, 19), (1, 70, 64, 65), (1, 33, 64, 130), (3, 40, 64, 60)]
"""Shared among threads, but the first."""


def products(c: Watch, w: int, shapes: Shapes) -> None:
    """Matrix products: few rows, few columns, blocks; each party's part; operands that lie as their transposes."""
    to = f"_{8 * w}"
    for shape in shapes:
        batch, m, k, n = shape
        many = m * k * n > 1 << 18
        left, right, result = batch * m * k * w, batch * k * n * w, batch * m * n * w
        for turned in (
            ((False, False), (True, True)) if many else ((x, y) for x in (False, True) for y in (False, True))
        ):
            bits = 52 if turned[0] else 8 * w
            c("matmul" + to, c.out(result), c.secret(left), c.secret(right), *shape, *turned, bits)
            for role in (1,) if many else range(3):
                parts = (c.secret(left), c.secret(left), c.secret(right), c.secret(right))
                c("rep3_matmul" + to, c.out(result), role, *parts, *shape, *turned, bits)


def rows_of_products(c: Watch, w: int) -> None:
    """Some rows of a product whose right operand was packed before."""
    to = f"_{8 * w}"
    for whole, k, n in ((9, 5, 3), (9, 70, 40), (7, 300, 19), (45, 100, 70), (9, 40, 700), (2, 400, 340)):
        size = getattr(c.native, "right_bytes" + to)(k, n, 8 * w)
        for turned in (False, True):
            held = c.out(size)
            c("pack_right" + to, held, c.secret(k * n * w), c.secret(k * n * w), k, n, turned, 8 * w)
            for role in range(3):
                x = (c.secret(whole * k * w), c.secret(whole * k * w))
                c("rep3_rows" + to, c.out((whole - 1) * n * w), role, *x, held, 1, whole, k, n, turned, 8 * w)


def gathered(c: Watch, w: int) -> None:
    """Products of operands that lie anywhere, at public places: as windows, in halves of a register, one by one."""
    to = f"_{8 * w}"
    inner = [list(range(9)), [0, 1, 2, 3, 10, 11, 12, 13, 30], [3 * i for i in range(9)]]
    for m, n in ((5, 6), (4, 8), (9, 1), (1, 9)):
        for second in inner:
            for step in (1, 50):
                at = [int64s([0, 7]), int64s([step * i for i in range(m)]), int64s(second)]
                by = [
                    int64s([5, 0]),
                    int64s([20 * i for i in range(9)]),
                    int64s([step * j for j in range(n)]),
                ]
                into = (int64s([i * n for i in range(m)]), 1) if step == 1 else (int64s(range(m)), m)
                for parts in (1, 2):
                    for role in range(3) if parts == 2 else (0,):
                        x, y = (
                            [c.secret(900 * w), c.secret(900 * w) if parts == 2 else NONE] for _ in range(2)
                        )
                        c("gathered_matmul" + to, c.out(2 * m * n * w), role, *x, *y, *at, *by, *into, 52)
    m = k = 64
    n = 70
    at = [int64s([0]), int64s([k * i for i in range(m)]), int64s(range(k))]
    by = [int64s([0]), int64s([n * i for i in range(k)]), int64s(range(n))]
    x, y = ([c.secret(k * size * w), c.secret(k * size * w)] for size in (m, n))
    c(
        "gathered_matmul" + to,
        c.out(m * n * w),
        1,
        *x,
        *y,
        *at,
        *by,
        int64s([n * i for i in range(m)]),
        1,
        8 * w,
    )


# -- bits ------------------------------------------------------------------------------------------------------


def widths(w: int) -> list[int]:
    """Return widths of packed elements: whole bytes, all but one bit, more than 57 bits, all."""
    return [1, 8, 16, 20, 32, 33, 57, 58, 63, 64] if w == 8 else [1, 8, 16, 32, 40, 64, 65, 100, 127, 128]


def planes(c: Watch, w: int) -> None:
    """Elements to bit planes, to packed bits, and back."""
    to = f"_{8 * w}"
    for n in (1, 67, 600, 33_000):
        for bits in (1, 20, 8 * w - 3, 8 * w):
            for plus in (NONE, c.secret(n * w)):
                c("to_planes" + to, c.out(8 * bits * words(n)), c.secret(n * w), plus, bits)
            c("from_planes" + to, c.out(n * w), c.secret(8 * bits * words(n)), bits, words(n))
    for bits in widths(w):
        for n in (1, SOME, 66_000):
            c("pack_words" + to, c.out(octets(n * bits)), c.secret(n * w), bits)
            c("unpack_words" + to, c.out(n * w), c.secret(octets(n * bits)), bits)


def bits(c: Watch) -> None:
    """Booleans, sums of planes, tables of blocks and what is chosen from them."""
    for n in (1, 64, 133, 530_000):
        c("pack_bool", c.out(8 * words(n)), c.secret(n))
        c("unpack_bool", c.out(n), c.secret(8 * words(n)))
    for length in (1, 3, 9, 1100):
        for many in (1, 21):
            size = 8 * many * length
            c("add_planes", c.out(size), c.secret(size), c.secret(size), many, length)
            for radix in range(1, 9) if length < 10 else (3,):
                rows = 8 * block_rows(many, radix) * length
                for mask in (NONE, c.secret(rows)):
                    c("block_table", c.out(rows), c.secret(size), mask, many, length, radix)
                made = 8 * -(-many // radix) * length
                for lead in (False, True):
                    g, p = c.out(made), c.out(made)
                    c("block_select", g, p, c.secret(rows), c.secret(size), many, length, radix, lead)


def signs(c: Watch, w: int) -> None:
    """First steps of comparisons."""
    to = f"_{8 * w}"
    cases = [(n, k, 3) for n in (1, 67, 600) for k in (4, 21, 8 * w)]
    for n, k, radix in [*cases, *((67, 19, radix) for radix in range(1, 9)), (MANY, 33, 3)]:
        for made in c.streams:
            for top in (False, True):
                bits, length = k - top, words(n)
                rows, blocks = block_rows(bits, radix) + top, -(-bits // radix)
                kept = c.out(8 * (length + 3) * top)
                x, y = c.secret(n * w), c.secret(n * w)
                mask, at = c.mask(8 * rows * length, made), 2 if top else 0
                c("table_first" + to, c.out(8 * rows * length), kept, x, y, mask, bits, top, radix, at)
                for lead, skip in ((False, 0), (True, min(1, 2 * blocks - 1))):
                    count = 2 * blocks - skip
                    tops = [c.out(8 * length * top) for _ in range(2)]
                    own, out = c.out(8 * count * (length + 3)), c.out(8 * count * length)
                    held, more = c.mask(8 * rows * length, made), c.mask(8 * count * length, made)
                    public = (bits, top, radix, lead, skip, count, 0)
                    c("table_second" + to, out, own, *tops, c.secret(n * w), held, more, *public)


# -- replicated sharing ----------------------------------------------------------------------------------------


def rings(w: int) -> Iterator[tuple[int, int, int, int]]:
    """Return numbers of elements, bits of the ring, and two other widths: each is packed by a loop of its own."""
    few = widths(w)
    yield from ((SOME, k, few[(i + 3) % len(few)], few[(i + 6) % len(few)]) for i, k in enumerate(few))
    yield 1, few[3], 9, 7
    yield MANY, 33 if w == 8 else 100, 20, 7


def shifts(w: int) -> Iterator[tuple[int, int, int]]:
    """Return numbers of elements, bits of the ring, and of them those that are cut off."""
    yield from ((SOME, 8 * w, f) for f in widths(w) if f <= 8 * w - 2)
    yield from ((1, 20, 9), (SOME, 4, 2), (MANY, 33, 9), (MANY, 8 * w, 16), (MANY, 8 * w, 8 * w - 6))


def masks_and_cut(c: Watch, w: int, n: int, k: int, how: tuple[bool, str, int, bool, int]) -> tuple[Any, ...]:
    """Return masks, and what becomes of masked words: of which some are drawn."""
    made, drawn, moved, less, cut = how
    masks = [c.mask(octets(n * k), made), c.mask(octets(n * k), made)]
    masks.append(c.mask(octets(n * moved), made) if moved else NONE)
    t: tuple[Any, Any] = (NONE, NONE)
    if drawn == "held":
        t = (c.secret(n * w), NONE)
    elif drawn == "made":
        t = (c.out(n * w), c.mask(n * w, True))
    return (*masks, moved, less, *t, 5, 0, 9, 1, min(5, k - 1) if cut else 0, cut)


def masked(c: Watch, w: int) -> None:
    """Products that are masked and cut."""
    to, ways = f"_{8 * w}", [(False, "none"), (False, "held"), (True, "none"), (True, "made")]
    for n, k, other, width in rings(w):
        for made, drawn in (way for way in ways if way[0] in c.streams):
            for moved, less in (
                ((width, drawn == "none"), (0, False)) if n == 1 else ((width, drawn == "none"),)
            ):
                for cut in (0, other) if drawn == "none" else (other,):
                    how, size = (made, drawn, moved, less, cut), octets(n * cut) if cut else n * w
                    into, out = c.changed(n * w), c.out(size if cut else 0)
                    c("add_masks" + to, into, out, *masks_and_cut(c, w, n, k, how), k)
                    for rows in (1, 3):
                        x = [c.secret(rows * n * w) for _ in range(4)]
                        c("rep3_products" + to, c.out(size), *x, *masks_and_cut(c, w, n, k, how), rows, k)
        x = [c.secret(n * w) for _ in range(4)]
        bare = (NONE, NONE, NONE, 0, False, NONE, NONE, 5, 0, 9, 1, 0, 0)
        c("rep3_products" + to, c.out(n * w), *x, *bare, 1, k)


def truncations(c: Watch, w: int) -> None:
    """Truncations, also of what a shared bit chooses."""
    to = f"_{8 * w}"
    for n, k, f in shifts(w):
        size, few, length = n * w, octets(n * f), 8 * words(n)
        for up in (0, 1):
            outs = [c.out(size), c.out(few), c.out(size), c.out(size)]
            x, s = [c.secret(size) for _ in range(3)], [c.secret(few) for _ in range(3)]
            c("trunc_first" + to, *outs, *x, *s, up, f, k)
            edges, x = [c.out(size), c.out(size)], [c.secret(size) for _ in range(2)]
            c("trunc_third" + to, *edges, x[0], s[0], x[1], s[1], s[2], up, f, k)
        c("trunc_second" + to, c.out(few), c.secret(few), c.secret(size), c.secret(few), f, k)
        chosen, x = [c.secret(length) for _ in range(2)], [c.secret(size) for _ in range(2)]
        outs, s = [c.out(3 * size), c.out(few), c.out(few)], [c.secret(few) for _ in range(2)]
        c("select_trunc_first" + to, *outs, *chosen, *x, c.secret(3 * size), *s, f, k)
        for lead in (False, True):
            x = [c.secret(size) for _ in range(5)]
            c("select_trunc_second" + to, c.out(size), *x[:3], *s, chosen[0], *x[3:], lead, f, k)


def selections(c: Watch, w: int) -> None:
    """Choices by a shared bit; bits to numbers."""
    to = f"_{8 * w}"
    for n, k, *_ in rings(w):
        size, row, length = n * w, octets(n * k), 8 * words(n)
        for made in c.streams:
            chosen, x = [c.secret(length) for _ in range(2)], [c.secret(size) for _ in range(2)]
            c("select_first" + to, c.out(2 * row), *chosen, *x, c.mask(row, made), c.mask(row, made), k)
            for lead in (False, True):
                masks = [c.mask(row, made), c.mask(row, made)]
                t = (c.out(size), c.mask(size, True)) if made else (c.secret(size), NONE)
                c("select_second" + to, c.out(row), *masks, chosen[0], *x, *t, lead, k)
        for rows in (1, 3):
            chosen = [c.secret(rows * length) for _ in range(2)]
            c("bits_first" + to, c.out(rows * size), *chosen, c.secret(rows * size), rows, k)
            for lead in (False, True):
                got = (c.secret(rows * size), chosen[0], c.secret(rows * size))
                c("bits_second" + to, c.out(rows * size), *got, lead, rows, k)


# -- rows ------------------------------------------------------------------------------------------------------


def trees(c: Watch) -> None:
    """ANDs of rows of planes: which rows meet is public."""
    for length in (1, 3, 40, 7400):
        row, held = 8 * length, 4
        shares = [c.secret(held * row) for _ in range(2)]
        a, b = int64s([0, 1, 2]), int64s([3, 3, 0])
        for made in c.streams:
            masks = [c.mask(5 * row, made), c.mask(5 * row, made)]
            c("and_rows", c.out(3 * row), *shares, a, b, *masks, 1, length)
            c("place_rows", c.out(5 * (row + 16)), c.mask(5 * row, made), 5, 1, length)
        x, y = int64s([0, 1, -2, -3]), int64s([1, 2, 3, -2])
        c("lambda_rows", c.out(4 * row), *shares, x, y, c.secret(4 * row), length)
        begins, of_w, of_share = int64s([0, 2, 4]), int64s([0, -2, -1, 3]), int64s([1, -1, -2, 2])
        for lead in (False, True):
            held_by = (*shares, c.secret(2 * row))
            terms = (int64s([0, -2]), int64s([1, 2]), begins, of_w, of_share)
            c("sum_rows", c.out(2 * row), *held_by, *terms, c.secret(2 * row), lead, length)
        c("mix_rows", c.out(3 * row), *shares, int64s([0, -1, 2]), int64s([1, 0, -1]), length)
    c("and_rows", c.out(40 * 8 * 600), *shares_of(c, 600), *(int64s([i % 4 for i in range(40)]) for _ in range(2)),
      c.secret(40 * 8 * 600), c.secret(40 * 8 * 600), 0, 600)  # fmt: skip


def shares_of(c: Watch, length: int) -> list[Buffer]:
    """Return two parts of four rows."""
    return [c.secret(4 * 8 * length) for _ in range(2)]


def digits(c: Watch) -> None:
    """Ranks of rows by shared digits."""
    for bits in (1, 2, 3, 4):
        for k in (1, 5, 32):
            for length in (1, 9, 1100) if k == 5 else (1, 9):
                size, few = 8 * ((1 << bits) - 1) * k * length, 8 * bits * length
                c("hot_first", c.out(size), c.secret(few), c.secret(few), c.secret(size), bits, k)
                for lead in (False, True):
                    c("hot_second", c.out(size), c.secret(size), c.secret(few), c.secret(size), lead, bits, k)
                c("sum_planes", c.out(size), c.secret(size), c.secret(size), k, length)
        for k in (1, 8, 16, 17, 18, 20, 24, 32):
            for blocks, thirds in ((1, [1]), (3, [210]), (97, [576, 64, 39]), (1, [8192, 640, 77])):
                n, each = sum(thirds), ((1 << bits) - 1) * k
                if n > 8192 and k != 20:
                    continue
                parts = [[c.secret(8 * each * words(m)) for m in thirds] for _ in range(2)]
                outs = [c.out(octets(n * k)), c.out(8 * n), c.out(8 * n)]
                masks = (c.secret(octets(n * k)), c.secret(octets(n * k)))
                for one in ((1, 0), (0, 1), (0, 0)) if n < 1000 and k in (17, 32) else ((1, 0),):
                    c("digit_ranks", *outs, *parts, thirds, *one, *masks, bits, blocks, k)


def moves(c: Watch, w: int) -> None:
    """Rows at places that are no secret here: of their contents nothing is found out."""
    to = f"_{8 * w}"
    for n, k, *_ in rings(w):
        at, row = uint32s([(7 * i + 3) % n for i in range(n)]), octets(n * k)
        for how in range(3):
            for packed in (False, True):
                for y, mask in ((NONE, NONE), (c.secret(n * w), c.secret(row))):
                    out, public = c.out(row if packed else n * w), (2 if how == 2 else 0, how, k)
                    c("moved" + to, out, packed, c.secret(n * w), y, at, mask, *public)
            for b in (NONE, c.secret(row)):
                for places in (NONE, at):
                    c("placed" + to, c.out(n * w), c.secret(row), b, places, how, k)


def seats(c: Watch) -> None:
    """Levels of tournaments."""
    for k in (2, 3, 5, 64):
        for columns in (1, 3, 65):
            for rows in (k, 3 * k - 1, 3 * MANY // columns) if k == 3 else (k, 2 * k - 1):
                groups = -(-rows // k)
                for turned in (False, True):
                    for apart, step, first in ((groups, 1, 0), (1, k, 0), (1, k, 1 if rows > k else 0)):
                        some = groups - (first > 0)
                        public = (rows, columns, turned, k, some, apart, step, first * step, 23)
                        row, x = 8 * some * columns, c.secret(8 * rows * columns)
                        c("seat_gaps", c.out(k * (k - 1) // 2 * row), x, *public)
                        c("seat_sums", c.out(row), c.secret((k - 1) * row), x, *public)
                n = groups * columns
                hot = c.secret(8 * (words((k - 1) * n + 7) + 1))
                for one in (False, True):
                    if k < 64 or n < 200:
                        met = c.secret(8 * (words(k * (k - 1) // 2 * n) + 1))
                        c("seat_wins", c.out(8 * (k - 1) * words((k - 1) * n)), met, k, n, one)
                    for at in (0, 61):
                        room = 8 * (words(at + (rows + 1) * columns) + 1)
                        c("won_rows", c.out(room), at, hot, one, rows, 1, k, columns)
                        c("rows_below", c.out(room), at, hot, 7 if at else 0, rows, k, columns)
    c("rows_below", c.out(8 * 3), 0, c.secret(8 * 3), 5, 20, 1, 3)
    for columns in (1, 3, 65):
        for count in (1, 3, 7):
            size = 8 * words(columns << count)
            c(
                "row_numbers",
                c.out(8 * count * words(columns)),
                c.secret(size),
                c.secret(size),
                count,
                columns,
            )


# -- series, lifts ---------------------------------------------------------------------------------------------


def series(c: Watch) -> None:
    """Sums of sines and powers of one's own number, and products with bits."""
    sizes = [(n, width) for n in (1, 521) for width in (8, 20, 57, 58, 64)]
    for n, width in [*sizes, (MANY, 44)]:
        for made in c.streams:
            row = octets(n * width)
            for stride in {n * width, 8 * row}:
                rows = c.mask(octets(6 * stride), made)
                for step in (1, 2):
                    public = (stride, 3**39, step)
                    c("waves_left", c.out(6 * row), c.secret(8 * n), rows, *public, 2.0**6, 3, width)
                    weights = array("d", [1.5, -0.25, 3.0])
                    for cosines in (weights, array("d")):
                        c(
                            "waves_right",
                            c.out(8 * n),
                            c.secret(8 * n),
                            rows,
                            *public,
                            cosines,
                            weights,
                            width,
                        )
                rows = c.mask(octets(8 * stride), made)
                for bits, step in ((1, 1), (3, 7)):
                    powers = (stride, 3**39, 5, step, bits, step, -9, 61 - step, width)
                    c("powers_left", c.out(row << bits), c.secret(8 * n), rows, *powers)
                    c(
                        "powers_right",
                        c.out(8 * n),
                        c.secret(8 * n),
                        rows,
                        stride,
                        3**39,
                        step,
                        2.0**9,
                        bits,
                        width,
                    )
                c("bits_left", c.out(5 * row), c.secret(40 * words(n)), rows, stride, 5, width, n)
                for outs, lead in ((1, False), (3, True)):
                    weights, masks, public = (
                        int64s(range(5 * outs)),
                        c.secret(8 * outs * n),
                        (lead, 5, outs, width),
                    )
                    c(
                        "bits_right",
                        c.out(8 * outs * n),
                        c.secret(40 * words(n)),
                        rows,
                        stride,
                        weights,
                        masks,
                        *public,
                    )


LIFTS = [(64, 16, 64), (34, 10, 32), (8, 3, 63), (41, 16, 25), (20, 0, 16), (9, 1, 8), (30, 22, 57), (33, 1, 64),
         (128, 44, 128), (24, 4, 128), (100, 40, 64), (110, 40, 70), (65, 1, 65), (100, 84, 32), (100, 92, 16),
         (30, 8, 16), (100, 36, 96), (40, 8, 65), (64, 2, 70), (64, 8, 72), (64, 24, 72), (64, 0, 128), (100, 8, 100),
         (100, 16, 100), (100, 32, 100), (100, 64, 100), (100, 92, 40), (100, 99, 8)]  # fmt: skip
"""Bits before, shift, and bits after, each of one word or two; where those left are enough, no wrap counts."""


def lifts(c: Watch) -> None:
    """Sums of two parties' parts to shares."""
    for w, f, k in LIFTS:
        for n in (SOME, MANY):
            bits = max(0, k - w + f)
            few, gamma = octets(n) if bits else 0, octets(n * bits)
            size = 8 * n * (2 if w > 64 else 1)
            if bits:
                c("lift_product", c.out(gamma), c.secret(few), c.secret(few), c.secret(gamma), bits, n)
                c("lift_bit", c.out(few), c.secret(size), c.secret(few), 5, 0, w)
            for lead in (False, True):
                held = [c.secret(few) for _ in range(3)]
                t, public = c.secret(8 * n * (2 if k > 64 else 1)), (5, 0, 9, 0, w, f, lead, k)
                c("lift_part", c.out(octets(n * k)), c.secret(size), *held, c.secret(gamma), t, *public)


# -- key streams, permutations, and what must be reported ------------------------------------------------------


def streams(c: Watch) -> None:
    """Key streams of a secret key."""
    ones = 2**64 - 1
    for n in (1, 16, 300, 300_000) if c.native.has_aes() else ():
        c("prg", c.out(n), c.key(), 0, ones, ones, ones)
        stream = c.stream()
        c.watch("KeyStream", stream.fill, c.out(n))
        c.watch("KeyStream", stream.fill, c.out(n), ones, 0xFFFF)
        c.watch("KeyStream", stream.part, c.out(n), 7)


def exceptions(c: Watch) -> None:
    """What looks up at places that memory shows: factors of a shuffle, which this party knows, and opened places."""
    n, k = 40, 20
    c("permutation", c.out(4 * n), c.secret(8 * n), 2)
    for w in (8, 16):
        to, at = f"_{8 * w}", uint32s(range(n))
        c.hide(at)
        c("moved" + to, c.out(n * w), False, c.secret(n * w), NONE, at, NONE, 0, 0, k)
        seen = array("B", bytes(8 * words(n)))
        c("places" + to, c.out(4 * n), seen, c.secret(octets(n * k)), c.secret(octets(n * k)), 0, k, 2)


CONTROLS = ("choose_by_branch", "choose_by_look_up", "choose_by_mask")


def controls(c: Watch) -> None:
    """Mistakes, and what is none."""
    for name in CONTROLS:
        to, held = c.out(4), c.secret(4)
        c.watch(name, getattr(c.marks, name), of(to)[0], of(held)[0])


def kernels(c: Watch) -> None:
    """Every kernel."""
    for w in (8, 16):
        for threads, shapes in ((1, THIN + THICK), (2, THICK)):
            c.native.set_threads(threads)
            products(c, w, shapes)
        rows_of_products(c, w)
        gathered(c, w)
        for group in (elements, planes, signs, masked, truncations, selections, moves):
            group(c, w)
    for group in (bits, trees, digits, seats, series, lifts, streams):
        group(c)


def main(native_path: str, marks_path: str, target: str) -> None:
    """Call all kernels of a target."""
    marks = ctypes.CDLL(marks_path)
    marks.undefined.restype = marks.reports.restype = ctypes.c_size_t
    marks.undefined.argtypes = marks.undefine.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    for name in CONTROLS:
        getattr(marks, name).argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    for name in ("undefine", "say", *CONTROLS):
        getattr(marks, name).restype = None  # what a register holds by chance would be read
    if not marks.watched():
        raise SystemExit("only under valgrind")
    spec = importlib.util.spec_from_file_location("_native", native_path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no module at {native_path}")
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    native.set_target(target)
    told = {}
    for group in (kernels, exceptions, controls):
        c = Watch(native, marks)
        group(c)
        told[group.__name__] = {"found": c.found, "blind": c.blind}
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
