"""A product that is rounded where it is compared and selected: the same number there and there, at the cards' costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance_cases import SIZES, integers
from test_costs import check

from tacit.algebra.ring import Ring
from tacit.core.share import Planes, Share
from tacit.core.timing import PRESETS
from tacit.errors import RangeError
from tacit.net.memory import Hub
from tacit.protocols.rep3 import turns
from tacit.testing import NAMES, gather, gather_planes, run, scatter, scatter_planes

Array = npt.NDArray[Any]
SEED = 73
FORMS = [
    (3, 1),
    (8, 3),
    (16, 14),
    (37, 9),
    (63, 7),
    (64, 1),
    (64, 16),
    (64, 40),
    (64, 62),
    (100, 30),
    (128, 60),
]


def near(ring: Ring, f: int, n: int) -> Array:
    """Return numbers of which many are rounded to 0 or 1 unit, multiples of 2^f and the extremes among them."""
    rng, most = np.random.default_rng([SEED, ring.width, f, n]), (1 << (ring.width - 2)) - 1
    x = integers(rng, n, -most, most + 1)
    tiny = integers(rng, n, -(2 << f), (2 << f) + 1)
    units = integers(rng, n, -2, 3) << f
    x[::3], x[1::3] = tiny[::3], units[1::3]
    return np.clip(x, -most, most)


def found(ring: Ring, f: int, x: Array) -> list[Array]:
    """Return [x < 0], [x > 0], max(x, 0), min(x, 0) and x, where x = F_trunc."""

    def body(p: Any) -> list[Share | Planes]:
        z = scatter(p, ring.encode_ints(x))
        narrow = p.narrowed(z, f)
        bits = ring.width - 1 - f
        below, above = p.sign(narrow, bits), p.sign(p.neg(narrow), bits)
        return [below, above, p.select_trunc(above, z, f), p.select_trunc(below, z, f), p.trunc(z, f)]

    got = run("rep3", ring.width, body, seed=SEED)
    of = [{name: got[name][i] for name in NAMES[:3]} for i in range(5)]
    planes = [gather_planes(each, "rep3")[0].astype(int) for each in of[:2]]
    return planes + [ring.to_ints(gather(each, "rep3", ring)) for each in of[2:]]


@pytest.mark.parametrize(("width", "f"), FORMS)
def test_one_rounding_for_what_is_compared_and_selected(width: int, f: int) -> None:
    ring = Ring(width)
    for n in SIZES[1:]:
        x = near(ring, f, n)
        below, above, greatest, least, rounded = found(ring, f, x)
        error = rounded - (x >> f)
        assert np.all((error == 0) | (error == 1)) and np.all(error[x % (1 << f) == 0] == 0)
        for got, want in (
            (below, rounded < 0),
            (above, rounded > 0),
            (greatest, np.where(rounded > 0, rounded, 0)),
            (least, np.where(rounded < 0, rounded, 0)),
        ):
            assert np.array_equal(got, want), f"{n} numbers of {width} bits over 2^{f}"
        # What a comparison with 0 says of the exact number it says of the rounded one, but for 0 itself.
        assert not np.any(greatest[x < 0]) and not np.any(least[x > 0])


@pytest.mark.parametrize("turned", [False, True])
def test_selections_of_any_size(turned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if turned:
        monkeypatch.setattr(turns, "TURNED_FROM", 0)
        monkeypatch.setattr(turns, "LEAST", 0)
    ring, f = Ring(64), 16
    for n in SIZES:
        x, planes = near(ring, f, n), np.random.default_rng(n).integers(0, 2**64, (1, -(-n // 64)), np.uint64)
        bits = np.unpackbits(planes.view(np.uint8), bitorder="little")[:n].astype(int)

        def body(p: Any, x: Array = x, planes: Array = planes, n: int = n) -> list[Share]:
            z, b = scatter(p, ring.encode_ints(x)), scatter_planes(p, planes, n)
            return [p.select_trunc(b, z, f), p.select_trunc(b, z, 0)]

        got = run("rep3", 64, body)
        cut, whole = (
            ring.to_ints(gather({name: v[i] for name, v in got.items()}, "rep3", ring)) for i in (0, 1)
        )
        error = cut - bits * (x >> f)
        assert np.array_equal(whole, bits * x) and not np.any(error[bits == 0])
        assert np.all((error == 0) | (error == 1)) and np.all(error[x % (1 << f) == 0] == 0)


def test_rounding_is_unbiased() -> None:
    ring, f, n = Ring(64), 16, 40_000
    x = integers(np.random.default_rng(SEED), n, -(2**30), 2**30)
    ones = np.full((1, n // 64), 2**64 - 1, np.uint64)

    def body(p: Any) -> Share:
        z = p.mul_early(scatter(p, ring.encode_ints(x)), scatter(p, ring.constant(1, (n,))))
        return p.select_trunc(scatter_planes(p, ones, n), z, f)

    error = ring.to_ints(gather(run("rep3", 64, body, seed=SEED), "rep3", ring)) - x.astype(float) / 2**f
    assert abs(error.mean()) < 5 * 0.41 / n**0.5


@pytest.mark.parametrize("width", [1, 37, 64, 65, 128])
def test_matrix_products_in_which_the_first_party_receives_nothing(width: int) -> None:
    rng, ring, half = np.random.default_rng([SEED, width]), Ring(width), 2 ** (width - 1)
    for a, b in (((1, 1), (1, 1)), ((3, 5), (5, 2)), ((2, 3, 4), (4, 2)), ((3, 0), (0, 2)), ((0, 3), (3, 2))):
        x, y = (integers(rng, int(np.prod(s)), -half, half, s) for s in (a, b))
        hub = Hub(NAMES, record=True)

        def body(p: Any, x: Array = x, y: Array = y) -> Share:
            return p.matmul_early(*(scatter(p, ring.encode_ints(v)) for v in (x, y)))

        got = gather(run("rep3", width, body, hub=hub), "rep3", ring)
        assert np.array_equal(got, ring.encode_ints(np.matmul(x, y))), f"{a} @ {b} of {width} bits"
        assert not hub.received(NAMES[0])


@pytest.mark.parametrize("network", PRESETS.values(), ids=str)
@pytest.mark.parametrize("n", [0, 1, 65, 1000, 30_000])
@pytest.mark.parametrize("width", [64, 100])
def test_costs_are_as_the_cards_say(width: int, n: int, network: Any) -> None:
    def body(p: Any) -> None:
        p.party.network = network
        x = scatter(p, p.ring.zeros((n, 1)))
        # A round that only some parties take part in, so that their depths differ.
        p.reveal(scatter(p, p.ring.zeros((1,))), ["bob"])
        z = p.matmul_early(x, scatter(p, p.ring.zeros((1, 1)))).reshape(n)
        p.select_trunc(p.sign(p.narrowed(z, 16), 30), p.mul_early(z, z), 16)

    check("rep3", width, body, 3, "", f"n={n}")


def test_impossible_amounts_are_refused() -> None:
    for call in (lambda p, z: p.narrowed(z, 63), lambda p, z: p.select_trunc(p.sign(z, 3), z, 63)):
        with pytest.raises(RangeError, match="63"):
            run("rep3", 64, lambda p, call=call: call(p, scatter(p, p.ring.zeros((3,)))))
