"""F_factored: Σ_j g_j(a)·h_j(b) / 2^shift to within one unit, at every width, at the cost that its card states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance_cases import SIZES, integers
from test_costs import check

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.errors import NotRealised, RangeError
from tacit.gadgets.separable import wide_exp_plan
from tacit.gadgets.waves import Powers, Series, Waves
from tacit.kernels import Mask, expanded
from tacit.kernels.reference_waves import mask_rows, row
from tacit.protocols.rep3.turns import TURNED_FROM
from tacit.testing import gather, run, scatter

Array = npt.NDArray[Any]
SEED = 11
QUARTERS = Waves(Series(0.0, (1.0,), (1.0,)), 1 << 62, 0, 0, 8, 0)
"""cos + sin of quarter turns, which are whole numbers."""


@dataclass(frozen=True)
class Square:
    """(a + b)² / 2^shift in Z/2^width, as a²·1 + 2a·b + 1·b²."""

    width: int
    shift: int = 0
    terms: int = 3

    def mask(self, known: Array, masks: Mask, stride: int) -> Array:
        """Return rows a², 2a, 1."""
        a = known
        return mask_rows([a * a, a + a, np.ones_like(a)], masks, stride, self.width)

    def weigh(self, known: Array, rows: Mask, stride: int) -> Array:
        """Weigh by 1, b, b²."""
        b = known
        x, y, z = (row(expanded(rows), r, stride, self.width, b.size) for r in range(3))
        return x + b * y + b * b * z


def squares(width: int) -> list[tuple[int, int]]:
    """Return (width of the sum, shift) that a ring of this width takes, the extremes included."""
    sums = sorted({w for w in (4, 8, width // 2, width - 1, width) if 4 <= w <= width})
    return [(w, f) for w in sums for f in sorted({0, 1, w // 2, w - 2})]


@pytest.mark.parametrize("width", [8, 16, 32, 63, 64])
def test_squares(width: int) -> None:
    ring, rng = Ring(width), np.random.default_rng([SEED, width])
    for w, f in squares(width):
        most = int((2 ** (w - 2) - 1) ** 0.5)
        for n in SIZES if (w, f) == (width, 1) else (65,):
            x = integers(rng, n, -most, most + 1)
            got = run(
                "rep3",
                width,
                lambda p, x=x, how=Square(w, f): p.factored(scatter(p, ring.encode_ints(x)), how),
            )
            error = ring.to_ints(gather(got, "rep3", ring)) - ((x * x) >> f)
            assert np.all((error == 0) | (error == 1)), f"{w} bits over 2^{f}"
            assert f or not np.any(error)


@pytest.mark.parametrize(("width", "shift"), [(40, 8), (60, 40), (64, 30), (64, 33), (64, 62)])
def test_sums_wider_than_the_ring_of_the_result(width: int, shift: int) -> None:
    """The operand counts mod 2^64; what is left of the sum counts mod 2^32, with a lift or without."""
    ring, most = Ring(32), int((2 ** (width - 2) - 1) ** 0.5)
    x = integers(np.random.default_rng([SEED, width]), 70, -most, most + 1)

    def body(p: Any) -> Any:
        return p.over(ring).factored(scatter(p, p.ring.encode_ints(x)), Square(width, shift))

    got = ring.to_ints(gather(run("rep3", 64, body), "rep3", ring))
    error = (got - (x * x >> shift)) % 2**32
    assert np.all((error == 0) | (error == 1))
    check("rep3", 64, body, 3, "", f"{width} bits over 2^{shift} into 32")


@pytest.mark.parametrize(("width", "shift"), [(40, 8), (64, 0), (64, 33)])
@pytest.mark.parametrize("k", [65, 100, 128])
def test_words_into_two(k: int, width: int, shift: int) -> None:
    """The operand is held in words, the result in a ring of two."""
    ring, most = Ring(k), int((2 ** (width - 2) - 1) ** 0.5)
    x = integers(np.random.default_rng([SEED, width, k]), 70, -most, most + 1)

    def body(p: Any) -> Any:
        return p.over(ring).factored(scatter(p, p.ring.encode_ints(x)), Square(width, shift))

    error = ring.to_ints(gather(run("rep3", 64, body), "rep3", ring)) - (x * x >> shift)
    assert np.all((error == 0) | (error == 1))
    assert shift or not np.any(error)
    check("rep3", 64, body, 3, "", f"{width} bits over 2^{shift} into {k}")


@pytest.mark.parametrize(("lo", "hi"), [(-31.5, 0.0), (-3.0, 20.0), (0.0, 1.0), (-130.0, 3.0), (-1.0, 21.0)])
@pytest.mark.parametrize("n", [1, 65])
def test_powers_of_two_words(lo: float, hi: float, n: int) -> None:
    """e^x of 128-bit numbers: within 3/2 units and the lift's one, or 2^-46 of it; at every digit and its ends."""
    how, ring, f = wide_exp_plan(44, lo, hi, 46), Ring(128), 44
    assert how is not None
    whole = np.arange(math.ceil(lo / math.log(2)), hi / math.log(2)) * math.log(2)
    x = np.concatenate(
        [np.linspace(lo, hi, max(n, 2))[:n], whole[: 8 * n], whole[: 8 * n] + 2.0**-44, [lo, hi]]
    )
    units = np.rint(np.clip(x, lo, hi) * 2.0**f).astype(np.int64)

    def body(p: Any) -> Any:
        return p.factored(scatter(p, ring.encode_ints(units)), how)

    got = ring.to_floats(gather(run("rep3", 128, body), "rep3", ring), f)
    want = np.exp(units * 2.0**-f)
    assert np.all(np.abs(got - want) <= 2.5 * 2.0**-f + 2.0**-45 * want)
    check("rep3", 128, body, 3, "", f"e^x on [{lo}, {hi}]")


def test_sines_of_any_turn() -> None:
    """Numbers of up to 2^15 turns, whose masks wrap as often as they like; with cosines, and without."""
    ring, f = Ring(64), 16
    x, sines = integers(np.random.default_rng(SEED), 131, -(2**39), 2**39), (0.75, 0.125)
    turns = x.astype(float) / 2**24
    for cosines in ((0.5, -0.25), ()):
        how = Waves(Series(0.0, cosines, sines), 1 << 40, 26, 26, 56, 52 - f)
        got = run("rep3", 64, lambda p, how=how: p.factored(scatter(p, ring.encode_ints(x)), how))
        exact = sum(b * np.sin(2 * np.pi * n * turns) for n, b in enumerate(sines, 1))
        exact += sum(a * np.cos(2 * np.pi * n * turns) for n, a in enumerate(cosines, 1))
        error = ring.to_ints(gather(got, "rep3", ring)) - exact * 2**f
        assert np.max(np.abs(error)) < 1.01


@pytest.mark.parametrize("digits", [2, 4, 16])
def test_powers_of_any_digit(digits: int) -> None:
    """2^(t − 1) for t = x / 2^8 in [1, digits): half a unit of the left values, and one of rounding."""
    ring, f = Ring(64), 8
    x = integers(np.random.default_rng([SEED, digits]), 300, 1 << 8, digits << 8)
    how = Powers((1 << 56) // digits, 0, digits, 1, -1, f + 1, 32, digits + f + 34, 33)
    got = run("rep3", 64, lambda p: p.factored(scatter(p, ring.encode_ints(x)), how))
    error = ring.to_ints(gather(got, "rep3", ring)) - np.exp2(x.astype(float) / 2**8 - 1) * 2**f
    assert np.max(np.abs(error)) < 1.51


@pytest.mark.parametrize("n", [TURNED_FROM, TURNED_FROM + 1, 20_001])
def test_large_arrays_turn_the_roles(n: int) -> None:
    ring, x = Ring(64), np.random.default_rng([SEED, n]).integers(-1000, 1000, n)

    def body(p: Any) -> Any:
        number = scatter(p, ring.encode_ints(x))
        return p.factored(number, Square(40)), p.factored(number, QUARTERS)

    got = run("rep3", 64, body)
    squares, quarters = (
        ring.to_ints(gather({name: v[i] for name, v in got.items()}, "rep3", ring)) for i in (0, 1)
    )
    assert np.array_equal(squares, x * x)
    assert np.array_equal(quarters, np.array([1, 1, -1, -1])[x & 3])
    check("rep3", 64, body, 3, "", f"factored n={n}")


def test_rounding_is_unbiased() -> None:
    ring, n = Ring(64), 40_000
    x = integers(np.random.default_rng(SEED), n, -(2**20), 2**20)
    got = run("rep3", 64, lambda p: p.factored(scatter(p, ring.encode_ints(x)), Square(60, 16)), seed=SEED)
    error = ring.to_ints(gather(got, "rep3", ring)) - (x * x).astype(float) / 2**16
    assert abs(error.mean()) < 5 * 0.41 / n**0.5


@pytest.mark.parametrize("width", [63, 64])
def test_cost_is_as_the_card_says(width: int) -> None:
    ring = Ring(width)
    for w, f in squares(width):
        # The last turns its roles, since three rows of it are longer than the words of so many elements.
        for n in (*SIZES, *([TURNED_FROM // 3 + 1] if w == 64 else ())):
            zero = ring.zeros((n,))
            check(
                "rep3",
                width,
                lambda p, zero=zero, how=Square(w, f): p.factored(scatter(p, zero), how),
                3,
                "",
                f"factored n={n} {w} bits over 2^{f}",
            )


@pytest.mark.parametrize(("width", "how"), [(32, Square(65)), (32, Square(16, 15)), (100, Square(64))])
def test_what_does_not_lift_is_refused_before_any_message(width: int, how: Square) -> None:
    seen: dict[str, str] = {}

    def body(p: Any) -> None:
        with pytest.raises(RangeError, match="does not lift") as info:
            p.factored(scatter(p, p.ring.zeros((4,))), how)
        seen[p.party.name] = str(info.value)

    run("rep3", width, body)
    assert len(seen) == 3


@pytest.mark.parametrize(("protocol", "n", "dealer"), [("semi2k", 3, "zoe"), ("clear", 1, "")])
def test_other_protocols_refuse_it_by_name(protocol: str, n: int, dealer: str) -> None:
    def body(p: Any) -> None:
        assert not p.offers("factored")
        if p.party.name != dealer:
            with pytest.raises(NotRealised, match="factored"):
                p.factored(scatter(p, p.ring.zeros((4,))), Square(64))

    testing.run(protocol, 64, body, n=n, dealer=dealer)
