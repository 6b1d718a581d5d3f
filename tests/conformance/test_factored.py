"""F_factored: Σ_j g_j(a)·h_j(b) / 2^shift to within one unit, at every width, at the cost that its card states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance_cases import SIZES, integers
from test_costs import check

from tacit import kernels, testing
from tacit.algebra.ring import Ring
from tacit.errors import NotRealised, RangeError
from tacit.gadgets.waves import Lookup, Together
from tacit.kernels.waves import mask_rows, row
from tacit.protocols.rep3.turns import TURNED_FROM
from tacit.testing import gather, run, scatter, scatter_planes

Array = npt.NDArray[Any]
SEED = 11


@dataclass(frozen=True)
class Square:
    """(a + b)² / 2^shift in Z/2^width, as a²·1 + 2a·b + 1·b²."""

    width: int
    shift: int = 0
    terms: int = 3

    def mask(self, known: Sequence[Array], masks: Array, stride: int, first: int = 0) -> Array:
        """Return rows a², 2a, 1."""
        a = known[0]
        return mask_rows([a * a, a + a, np.ones_like(a)], masks, stride, first, self.width)

    def weigh(self, known: Sequence[Array], rows: Array, stride: int, first: int = 0) -> Array:
        """Weigh by 1, b, b²."""
        b = known[0]
        x, y, z = (row(rows, first + r, stride, self.width, b.size) for r in range(3))
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
                lambda p, x=x, how=Square(w, f): p.factored([scatter(p, ring.encode_ints(x))], how),
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
        return p.over(ring).factored([scatter(p, p.ring.encode_ints(x))], Square(width, shift))

    got = ring.to_ints(gather(run("rep3", 64, body), "rep3", ring))
    error = (got - (x * x >> shift)) % 2**32
    assert np.all((error == 0) | (error == 1))
    check("rep3", 64, body, 3, "", f"{width} bits over 2^{shift} into 32")


def test_tables_of_shared_bits_and_a_sum_of_several() -> None:
    rng, n = np.random.default_rng(SEED), 131
    ring, bits = Ring(64), rng.integers(0, 2, (3, n), dtype=np.uint8)
    index = (bits * np.array([[1], [2], [4]])).sum(axis=0)
    planes = np.stack([kernels.pack_bool(row) for row in bits])
    first, second = [(-1) ** i * 3**i for i in range(8)], list(range(-4, 4))
    x = integers(rng, n, -1000, 1000)

    def body(p: Any) -> Any:
        low, high = scatter_planes(p, planes[:2], n), scatter_planes(p, planes[2:], n)
        both = scatter_planes(p, planes, n)
        tables = Lookup((tuple(first), tuple(second)), 20)
        one = p.factored([(both, both)], tables)
        parts = (Lookup((tuple(second[:4]),), 40), Lookup(((0, 100),), 40), Square(40))
        return one, p.factored([(low,), (high,), scatter(p, ring.encode_ints(x))], Together(parts))

    got = run("rep3", 64, body)
    looked, summed = (
        ring.to_ints(gather({name: v[i] for name, v in got.items()}, "rep3", ring)) for i in (0, 1)
    )
    assert np.array_equal(looked[:n], np.array(first)[index])
    assert np.array_equal(looked[n:], np.array(second)[index])
    assert np.array_equal(summed, np.array(second)[index & 3] + 100 * (index >> 2) + (x * x).astype(np.int64))


@pytest.mark.parametrize("n", [TURNED_FROM, TURNED_FROM + 1, 20_001])
def test_large_arrays_turn_the_roles(n: int) -> None:
    rng = np.random.default_rng([SEED, n])
    ring, index = Ring(64), rng.integers(0, 4, n)
    planes = np.stack([kernels.pack_bool((index >> j & 1).astype(np.uint8)) for j in range(2)])
    x = rng.integers(-1000, 1000, n)
    first, second = (5, -7, 11, 0), (-1, 2, 3, 1 << 30)

    def body(p: Any) -> Any:
        held = scatter_planes(p, planes, n)
        looked = p.factored([(held, held)], Lookup((first, second), 40))
        number = scatter(p, ring.encode_ints(x))
        return looked, p.factored([number, (held,)], Together((Square(40), Lookup((first,), 40))))

    got = run("rep3", 64, body)
    looked, summed = (
        ring.to_ints(gather({name: v[i] for name, v in got.items()}, "rep3", ring)) for i in (0, 1)
    )
    assert np.array_equal(looked, np.concatenate([np.array(t)[index] for t in (first, second)]))
    assert np.array_equal(summed, x * x + np.array(first)[index])
    check("rep3", 64, body, 3, "", f"factored n={n}")


def test_rounding_is_unbiased() -> None:
    ring, n = Ring(64), 40_000
    x = integers(np.random.default_rng(SEED), n, -(2**20), 2**20)
    got = run("rep3", 64, lambda p: p.factored([scatter(p, ring.encode_ints(x))], Square(60, 16)), seed=SEED)
    error = ring.to_ints(gather(got, "rep3", ring)) - (x * x).astype(float) / 2**16
    assert abs(error.mean()) < 5 * 0.41 / n**0.5


@pytest.mark.parametrize("width", [63, 64])
def test_cost_is_as_the_card_says(width: int) -> None:
    ring = Ring(width)
    for w, f in squares(width):
        for n in SIZES:
            zero = ring.zeros((n,))
            check(
                "rep3",
                width,
                lambda p, zero=zero, how=Square(w, f): p.factored([scatter(p, zero)], how),
                3,
                "",
                f"factored n={n} {w} bits over 2^{f}",
            )


@pytest.mark.parametrize(("width", "how"), [(32, Square(65)), (32, Square(16, 15)), (100, Square(64))])
def test_what_does_not_lift_is_refused_before_any_message(width: int, how: Square) -> None:
    seen: dict[str, str] = {}

    def body(p: Any) -> None:
        with pytest.raises(RangeError, match="does not lift") as info:
            p.factored([scatter(p, p.ring.zeros((4,)))], how)
        seen[p.party.name] = str(info.value)

    run("rep3", width, body)
    assert len(seen) == 3


@pytest.mark.parametrize(("protocol", "n", "dealer"), [("semi2k", 3, "zoe"), ("clear", 1, "")])
def test_other_protocols_refuse_it_by_name(protocol: str, n: int, dealer: str) -> None:
    def body(p: Any) -> None:
        assert not p.offers("factored")
        if p.party.name != dealer:
            with pytest.raises(NotRealised, match="factored"):
                p.factored([scatter(p, p.ring.zeros((4,)))], Square(64))

    testing.run(protocol, 64, body, n=n, dealer=dealer)
