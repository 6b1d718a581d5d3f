"""The greatest of many rows: right whatever the groups are, the first of equal ones, and cheaper than pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import tacit
from tacit import protocols, testing
from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array.analyse import nowhere
from tacit.array.interpret import Trace, reveal
from tacit.array.ranges import fit
from tacit.array.session import Session
from tacit.core import blocks
from tacit.core.cost import CostModel
from tacit.core.ghost import ghost
from tacit.core.share import halvings
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.errors import RangeError, ShapeError
from tacit.gadgets import places, tournament
from tacit.protocols.rep3 import trees

Array = npt.NDArray[Any]
NETWORKS = [*PRESETS.values(), Network("satellite", 600_000, 125_000_000), Network("slow line", 2, 1000)]
BITS = 5
"""Of differences of the values below."""
SHAPES = [
    (1, 1),
    (1, 4),
    (2, 1),
    (2, 70),
    (3, 5),
    (4, 3),
    (5, 2),
    (6, 1),
    (7, 9),
    (9, 1),
    (11, 2),
    (64, 1),
    (65, 2),
]
SHAPES += [(66, 1), (130, 3), (1025, 1), (4, 3000)]


def greatest_above(p: Any, x: Any, bits: int) -> Any:
    """Return the greatest of numbers around zero, whose differences have so many bits."""
    return tournament.greatest(p, x, bits, -(1 << (bits - 1)))


def opened(protocol: str, width: int, network: Network, x: Array, run: Any) -> Array:
    """Return the opened result of run(protocol, shares of x), a whole number for each column."""

    def body(p: Any) -> Any:
        p.party.network = network
        return p.reveal(run(p, testing.scatter(p, p.ring.encode_ints(x))), p.party.compute)

    found = testing.run(protocol, width, body, dealer=testing.dealer_of(protocol))
    return np.array([int(v) for v in Ring(width).to_ints(found[testing.NAMES[0]])], np.int64)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_size_on_every_network(shape: tuple[int, int], network: Network) -> None:
    x = np.random.default_rng(shape).integers(-8, 9, shape)
    run = greatest_above, places.greatest_place
    greatest, place = (opened("rep3", 64, network, x, lambda p, s, f=f: f(p, s, BITS)) for f in run)
    assert np.array_equal(greatest, x.max(0))
    assert np.array_equal(place, x.argmax(0))


@pytest.mark.parametrize("network", [LOOPBACK, PRESETS["wan"], NETWORKS[-1]], ids=str)
@pytest.mark.parametrize(
    ("protocol", "width"), [*((name, 64) for name in protocols.REGISTRY), ("rep3", 128), ("rep3", 9)]
)
def test_every_protocol_and_width(protocol: str, width: int, network: Network) -> None:
    x = np.random.default_rng(1).integers(-8, 9, (23, 4))
    run = greatest_above, places.greatest_place
    greatest, place = (opened(protocol, width, network, x, lambda p, s, f=f: f(p, s, BITS)) for f in run)
    assert np.array_equal(greatest, x.max(0))
    assert np.array_equal(place, x.argmax(0))


@pytest.mark.parametrize("shape", [(130, 3), (131, 1), (1025, 1)], ids=str)
def test_many_groups_are_taken_in_blocks(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(shape).integers(-8, 9, shape)
    run = greatest_above, places.greatest_place
    signs: list[int] = []

    def counted(p: Any, s: Any, f: Any) -> Any:
        sign = p.sign
        if not p.party.index:
            p.sign = lambda x, bits: signs.append(x.size) or sign(x, bits)
        return f(p, s, BITS)

    whole = [opened("rep3", 64, LOOPBACK, x, lambda p, s, f=f: counted(p, s, f)) for f in run]
    compared, calls = sum(signs), len(signs)
    signs.clear()
    monkeypatch.setattr(blocks, "LEAST", 64)
    monkeypatch.setattr(blocks, "ROUNDS_WORTH", 0)
    parts = [opened("rep3", 64, LOOPBACK, x, lambda p, s, f=f: counted(p, s, f)) for f in run]
    assert np.array_equal(parts, whole) and np.array_equal(parts, [x.max(0), x.argmax(0)])
    assert sum(signs) == compared and len(signs) > calls


@pytest.mark.parametrize("way", [("_carried",), ("_traced", 2), ("_traced", 3), ("_traced", 8)], ids=str)
@pytest.mark.parametrize("k", tournament.ARITIES)
def test_the_first_of_equal_ones_in_groups_of_every_size(k: int, way: tuple[str, *tuple[int, ...]]) -> None:
    """Few values, so that most groups have several greatest; sizes around whole groups."""
    rng = np.random.default_rng(k)
    for rows in (k, k + 1, 2 * k - 1, 2 * k + 2):
        x = rng.integers(0, 3, (rows, 5))
        levels, left = [], rows
        while left > 1:
            levels.append(min(k, left))
            left = sum(tournament.groups_of(left, levels[-1]))
        run, rest = getattr(places, way[0]), (tuple(levels), *way[1:])
        for width in (BITS + tournament.ROOM + 2, 64):  # the numbers of up to 130 rows count, too
            found = opened(
                "rep3",
                64,
                LOOPBACK,
                x,
                lambda p, s, run=run, rest=rest, width=width: run(p, p.over(Ring(width)), s, BITS, *rest),
            )
            assert np.array_equal(found, x.argmax(0)), (rows, width)


@pytest.mark.parametrize("rows", [5, 17, 129, 300])
def test_numbers_of_rows_may_need_more_bits_than_differences(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_tracing", lambda *_: (1 << 60, 2))
    x = np.zeros((rows, 4), np.int64)
    x[[rows - 1, rows - 2, 0, rows // 2], np.arange(4)] = 1
    found = opened("rep3", 64, NETWORKS[-1], x, lambda p, s: places.greatest_place(p, s, 1))
    assert np.array_equal(found, x.argmax(0))


def test_ends_of_the_range_meet() -> None:
    """Differences of 2^bits − 1 are compared as they are: nothing is added to them."""
    x = np.array([[-16], [15], [-16], [15], [15], [-16], [-16]])
    for network in NETWORKS:
        for levels in ((7,), (2, 2, 2), (3, 3), (4, 2)):
            found = opened(
                "rep3", 7, network, x, lambda p, s, levels=levels: places._traced(p, p, s, BITS, levels, 2)
            )
            assert list(found) == [1]
        for width in (7, 64, 128):  # in a narrower ring, too, whose last row is the least, or the greatest
            for last in (-16, 15):
                y = np.concatenate([x, [[last]]] * 40)
                for run, want in ((greatest_above, 15), (places.greatest_place, 1)):
                    found = opened("rep3", width, network, y, lambda p, s, run=run: run(p, s, BITS))
                    assert list(found) == [want], (width, last, network)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] < 1000], ids=str)
def test_the_greatest_so_far(shape: tuple[int, int], network: Network) -> None:
    x = np.random.default_rng(shape).integers(-8, 9, shape)
    found = opened(
        "rep3", 64, network, x, lambda p, s: tournament.running(p, s, BITS).reshape(shape[0] * shape[1])
    )
    assert np.array_equal(found.reshape(shape), np.maximum.accumulate(x, 0))


RUNNING = [
    *(((), (k,)) for k in tournament.ARITIES),
    *(((k,), (64,)) for k in tournament.BLOCKS),
    *(((), (k, 3, 2, 20)) for k in (2, 3, 4, 7)),
    ((2, 2, 4), (3, 9)),
    ((4, 2, 2, 2, 2, 2, 2), (2,)),
]
"""Sizes of blocks and of spans."""


@pytest.mark.parametrize(("protocol", "width"), [*((n, 64) for n in protocols.REGISTRY), ("rep3", 128)])
def test_the_greatest_so_far_with_every_protocol(
    protocol: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(1).integers(-8, 9, (23, 2))
    for levels in (((2, 4), (3,)), ((), (3, 3, 3))):
        monkeypatch.setattr(tournament, "_plan_running", lambda *_, levels=levels: (0, levels))
        found = opened(
            protocol, width, LOOPBACK, x, lambda p, s: tournament.running(p, s, BITS).reshape(x.size)
        )
        assert np.array_equal(found.reshape(x.shape), np.maximum.accumulate(x, 0))


@pytest.mark.parametrize("levels", RUNNING, ids=str)
def test_the_greatest_so_far_by_blocks_and_spans_of_every_size(
    levels: tournament.Levels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few values, and the ends of the range; sizes around whole blocks."""
    monkeypatch.setattr(tournament, "_plan_running", lambda *_: (0, levels))
    sizes = levels[0] + levels[1]
    fewer, most = math.prod(sizes[:-1]), math.prod(sizes)
    near = (2, fewer + 1, fewer + 2, 2 * fewer - 1, 2 * fewer + 2, 23, 49, most)
    for rows in {n for n in near if fewer < n <= min(most, 600)}:
        x = np.random.default_rng(rows).integers(0, 3, (rows, 3))
        x[:, 2] = np.where(x[:, 2] > 1, 31, 0)
        found = opened("rep3", 7, LOOPBACK, x, lambda p, s: tournament.running(p, s, BITS).reshape(-1))
        assert np.array_equal(found.reshape(x.shape), np.maximum.accumulate(x, 0)), rows


def model(network: Network) -> CostModel:
    """Return the cost model of three parties on a network."""
    return CostModel("rep3", protocols.load("rep3").cards, nowhere(testing.NAMES, network=network), Ring(64))


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_the_greatest_so_far_calls_what_was_priced(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, int, dict[str, Any]]] = []
    monkeypatch.setattr(CostModel, "visit", lambda p, *what, **sizes: called.append((*what, sizes)))
    for rows in (2, 3, 20, 63, 130, 1025, 4099, 100_003):
        p = model(network)
        price, levels = tournament._plan_running(p, rows, 2, BITS)
        called.clear()
        assert tournament._so_far(p, ghost((rows, 2)), BITS, *levels).shape == (rows, 2)
        starts = [i for i, call in enumerate(called) if call[0] == "sign"]
        each = [called[a:b] for a, b in pairwise([*starts, len(called)])]
        assert price == sum(p.price(*calls) for calls in each)
        blocks, spans = levels
        assert len(each) == 2 * len(blocks) + len(spans)


def test_the_greatest_so_far_of_many_compares_few_and_is_planned_for_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twice as often as there are rows, where rounds are not much; where they are, few rows meet each other at once."""
    priced: list[Any] = []
    calls: list[int] = []
    price = tournament._level
    monkeypatch.setattr(tournament, "_level", lambda *what: priced.append(what) or price(*what))
    monkeypatch.setattr(CostModel, "visit", lambda p, name, n, **_: calls.append(n * (name == "sign")))
    compared = {}
    for network in NETWORKS:
        for rows in (60, 10**6):
            tournament._cheapest_running.cache_clear()
            priced.clear()
            levels = tournament._plan_running(model(network), rows, 1, 21)[1]
            assert len(priced) < 300
            calls.clear()
            tournament._so_far(model(network), ghost((rows, 1)), 21, *levels)
            compared[network.name, rows] = sum(calls) / rows
    assert 1.99 < compared["slow line", 10**6] < compared["loopback", 10**6] < 2.1
    assert compared["slow line", 60] < 3 and compared["wan", 60] == compared["satellite", 60] == 59 / 2


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_groups_of_least_price_are_found_without_trying_all(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, priced, price = model(network), list[Any](), tournament._level

    def all_ways(rows: int, columns: int) -> int:
        least = {1: 0}
        for n in range(2, rows + 1):
            ways = {k for k in (*tournament.ARITIES, n) if k < n or k == n <= tournament.ARITIES[-1]}
            costs = []
            for k in ways:
                groups, alone = tournament.groups_of(n, k)
                met = groups * columns
                cards = tuple(p.card(name) for name in ("sign", "and_all", "select"))
                sizes = met * k * (k - 1) // 2, met * (k - 1), k - 1
                costs.append(
                    price(cards, p.party.n, network, p.ring, *sizes, BITS, 1) + least[groups + alone]
                )
            least[n] = min(costs)
        return least[rows]

    monkeypatch.setattr(tournament, "_level", lambda *what: priced.append(what) or price(*what))
    for rows, columns in ((2, 1), (65, 1), (150, 3), (199, 1000)):
        assert tournament.plan(p, rows, columns, BITS, 1)[0] == all_ways(rows, columns)
    priced.clear()
    tournament.plan(p, 10**6 + 1, 1, 21, 1)
    assert 0 < len(priced) < 4000


def test_levels_that_are_only_priced_count_as_those_that_run() -> None:
    for split in (((2, 2), (2,)), ((1, 3, 8), (3,)), ((7,),), ((4, 4, 5, 5), (1, 3), (2,)), ((1, 1), (2,))):
        assert trees.equal_counts(split) == [level.counts for level in trees.equal_levels(split)]
    for count in range(66):
        assert halvings(count) == [len(each.a) for each in trees.equal_plans(count)]


def test_groups_grow_towards_the_end_and_with_what_a_round_is_worth() -> None:
    def levels(p: Any) -> tuple[tuple[int, ...], ...]:
        out = []
        for network in (Network("slow line", 2, 1000), *PRESETS.values()):
            p.party.network = network
            out.append(tournament.plan(p, 100_000, 1, 21, 1)[1])
        return tuple(out)

    every = testing.run("rep3", 64, levels, clients=("cleo",))
    assert len(set(every.values())) == 1
    slow, loopback, lan, wan = every["cleo"]
    assert slow[:8] == (2,) * 8
    assert len(slow) > len(loopback) >= len(lan) >= len(wan)
    assert sorted(loopback)[-3:] == list(loopback[-3:])


@pytest.fixture(scope="module")
def s() -> Iterator[Session]:
    with tacit.simulate("rep3", owners=("dora",), seed=3) as session:
        yield session


VALUES = np.random.default_rng(2).integers(-40, 40, (3, 4, 5))


@pytest.mark.parametrize(
    "value", [VALUES, VALUES / 4, VALUES < 0, VALUES * 0], ids=["int", "fixed", "bool", "equal"]
)
def test_reductions_of_arrays(s: Session, value: Array) -> None:
    if value.dtype == bool:
        x = fn.logical_xor(s.input(value, "alice"), s.input(np.zeros(value.shape, bool), "dora"))
    else:
        x = s.input(value, "alice", bound=(-40, 40)) + s.input(np.zeros_like(value), "dora", bound=(0, 0))
    for axis in (None, 0, -1, (0, 2), ()):
        for keep in (False, True):
            for found, want in ((fn.max, np.max), (fn.min, np.min)):
                got = np.asarray(tacit.reveal(found(x, axis, keep), why="test"))
                assert np.array_equal(got, want(value, axis=axis, keepdims=keep)), (axis, keep)
    for axis in (0, 1, -1):
        for found, want in ((od.argmax, np.argmax), (od.argmin, np.argmin)):
            assert np.array_equal(
                np.asarray(tacit.reveal(found(x, axis=axis), why="test")), want(value, axis=axis)
            )
            assert np.array_equal(found(value, axis=axis), want(value, axis=axis))
        for found, to in ((od.cummax, np.maximum), (od.cummin, np.minimum)):
            so_far = to.accumulate(value, axis=axis)
            assert np.array_equal(np.asarray(tacit.reveal(found(x, axis=axis), why="test")), so_far)
            assert np.array_equal(found(value, axis=axis), so_far)


def test_what_an_owner_or_everybody_knows_is_reduced_in_the_clear(s: Session) -> None:
    x = s.input(VALUES, "alice", bound=(-40, 40))
    assert fn.max(x, 0).aval.where == od.argmin(x, axis=0).aval.where == x.aval.where
    assert int(np.asarray(tacit.reveal(fn.min(x), why="test"))) == VALUES.min()


def test_nothing_has_no_greatest(s: Session) -> None:
    x = s.input(np.zeros((0, 3)), "alice", bound=(0, 1))
    for reduce in (lambda: fn.max(x), lambda: fn.min(x, 0), lambda: od.argmax(x, axis=0)):
        with pytest.raises(ShapeError, match="no values does not exist"):
            reduce()
    assert fn.max(x, 1).shape == (0,)
    assert od.cummax(x).shape == (0, 3)
    with pytest.raises(ShapeError, match="axis 2 does not exist"):
        od.argmax(x, axis=2)


def test_ranges_need_what_a_pair_needs() -> None:
    """Whole tournaments fit where the comparison of two fits, and are refused where it is."""

    def fits(reduce: Any, exponent: int) -> bool:
        trace = Trace()
        x, y = (trace.input(n, n, (9,), "fixed", -(2.0**exponent), 2.0**exponent) for n in ("alice", "bob"))
        z = fn.where(fn.less(x, 0.0), x, y)
        reveal(reduce(z), why="test")
        try:
            fit(trace.program(), 64, 16)
        except RangeError:
            return False
        return True

    found = [fits(lambda z: fn.maximum(z[:4], z[4:8]), e) for e in range(38, 50)]
    assert True in found and False in found
    for reduce in (fn.max, fn.min, od.argmax, od.cummin):
        assert [fits(reduce, e) for e in range(38, 50)] == found
