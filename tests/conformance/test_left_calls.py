"""Calls that are left end together: the same values and bytes, in the rounds of the longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_costs import metered, predicted
from test_factored import Square

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.core.rows import Column, index_ring
from tacit.core.share import Share
from tacit.core.timing import LOOPBACK, Network
from tacit.errors import UsageError
from tacit.protocols.rep3.cards import CARDS, PATIENT
from tacit.testing import NAMES

F = 8
RING = Ring(64)
SIZES = (1, 70, 5000, 40_000)
NETWORKS = (LOOPBACK, Network("far", 40_000, 1_000_000), Network("narrow", 200, 40_000_000))
"""On which no array here has its roles turned but the largest; all but the least; and more, in blocks."""


def call(p: Any, kind: str, n: int, at: int) -> Callable[[], Share]:
    """Return one call, on values that follow from its number."""
    n = min(n, 191) if kind == "select_narrowed" else n  # roles are not turned
    values = RING.encode_ints(np.arange(n) % 97 * (at + 3) - 50)
    if kind == "share_input":
        owner = NAMES[at % 3]
        return lambda: p.share_input(owner, values if p.party.name == owner else None, (n,))
    x = testing.scatter(p, values)
    column = testing.scatter(p, RING.encode_ints(np.arange(-3, 5)).reshape(8, 1))
    bits = testing.scatter_planes(p, np.full((1, -(-n // 64)), 0x123456789ABCDEF, np.uint64), n)
    return {
        "trunc": lambda: p.trunc(x, F),
        "mul_trunc": lambda: p.mul_trunc(x, x, F),
        "matmul_trunc": lambda: p.matmul_trunc(column, x.reshape(1, n), F),
        "mul_early": lambda: p.mul_early(x, x),
        "matmul_early": lambda: p.matmul_early(column, x.reshape(1, n)),
        "select": lambda: p.select(bits, x),
        "select_trunc": lambda: p.select_trunc(bits, x, F),
        "select_narrowed": lambda: p.over(Ring(30)).select_narrowed(bits, p.narrowed(x, F)),
        "mul_into": lambda: p.mul_into(x, x, F, RING if at % 2 else Ring(40)),
        "matmul_into": lambda: p.matmul_into(column, x.reshape(1, n), F, Ring(40) if at % 2 else RING),
        "trunc_into": lambda: p.trunc_into(x, F, Ring(20)),
        "combine": lambda: p.combine(bits, np.full((2, 1), 3, np.uint64), [64, 20])[at % 2],
        "factored": lambda: (
            p.factored(x, Square(64, F)) if at % 2 else p.over(Ring(32)).factored(x, Square(64, 30))
        ),
    }[kind]


def drawn(seed: int) -> list[tuple[str, int]]:
    """Return some calls in random order."""
    rng, kinds = np.random.default_rng(seed), sorted(PATIENT)
    return [(kinds[rng.integers(len(kinds))], SIZES[rng.integers(len(SIZES))]) for _ in range(5)]


def one_by_one(p: Any, some: list[tuple[str, int]]) -> list[Share]:
    """Run calls in turn, after one that leaves the parties apart."""
    apart(p)
    return [call(p, kind, n, at)() for at, (kind, n) in enumerate(some)]


def at_once(p: Any, some: list[tuple[str, int]]) -> list[Share]:
    """Leave all calls but the last, which may not be left."""
    apart(p)
    made = []
    with p.together():
        made = [call(p, kind, n, at)() for at, (kind, n) in enumerate(some)]
    p.reveal(made[0], [NAMES[1]])
    return made


def apart(p: Any) -> None:
    """Let the parties' clocks differ."""
    p.trunc(testing.scatter(p, RING.zeros((3,))), F)
    p.reveal(testing.scatter(p, RING.zeros((2,))), [NAMES[2]])


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("seed", range(6))
def test_values_bytes_and_rounds(seed: int, network: Network) -> None:
    some = drawn(seed)
    found = testing.run("rep3", 64, lambda p: at_once(p, some), seed=seed, network=network)
    alone = testing.run("rep3", 64, lambda p: one_by_one(p, some), seed=seed, network=network)
    for name in NAMES[:3]:
        for a, b in zip(found[name], alone[name], strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True)), f"{name} {some}"
    real = metered("rep3", 64, lambda p: at_once(p, some), 3, "", network)
    model = predicted("rep3", 64, lambda p: at_once(p, some), 3, "", network)
    assert +Counter(real.links) == +Counter(model.links), f"{some}: bytes"
    assert {n: real.depth[n] for n in NAMES[:3]} == {n: model.depth[n] for n in NAMES[:3]}, f"{some}: rounds"
    longest = max(rounds(network, [each]) for each in some)
    assert rounds(network, some) <= longest + 1, f"{some}"


def in_part(p: Any, some: list[tuple[str, int]], seed: int) -> list[Share]:
    """Leave calls, and let now and then one that was left before end, while others go on beside and wait."""
    rng = np.random.default_rng(seed)
    apart(p)
    made = []
    for at, (kind, n) in enumerate(some):
        p.number = at + 1
        with p.later():
            made.append(call(p, kind, n, at)())
        if rng.integers(3):
            p.settle({int(rng.integers(at + 1)) + 1})
    p.settle()
    p.reveal(made[0], [NAMES[1]])
    return made


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("seed", range(16))
def test_calls_that_end_while_others_wait(seed: int, network: Network) -> None:
    some = [*drawn(seed), *drawn(seed + 100)]
    if seed % 4:
        some = [(kind, min(n, 5000)) for kind, n in some]  # no roles are turned, on the first network

    def body(p: Any) -> list[Share]:
        return in_part(p, some, seed)

    found = testing.run("rep3", 64, body, seed=seed, network=network)
    alone = testing.run("rep3", 64, lambda p: one_by_one(p, some), seed=seed, network=network)
    for name in NAMES[:3]:
        for a, b in zip(found[name], alone[name], strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True)), f"{name} {some}"
    real, model = (f("rep3", 64, body, 3, "", network) for f in (metered, predicted))
    assert +Counter(real.links) == +Counter(model.links), f"{some}: bytes"
    assert {n: real.depth[n] for n in NAMES[:3]} == {n: model.depth[n] for n in NAMES[:3]}, f"{some}: rounds"


def test_a_call_that_ends_takes_its_own_rounds_beside_longer_ones() -> None:
    """Each of a chain of short calls, of which nothing but the last is read, as if the long ones were not there."""

    def body(p: Any, beside: bool) -> list[Share]:
        x = testing.scatter(p, RING.encode_ints(np.arange(70)))
        others = []
        for number in range(1, 4):
            p.number = 2 * number
            with p.later():
                if beside:
                    others.append(p.mul_trunc(x, x, F))
                p.number += 1
                x = p.mul_early(x, x)
            p.settle({p.number})
        p.settle()
        return [x, *others]

    chain, both = (predicted("rep3", 64, lambda p, b=b: body(p, b), 3, "", LOOPBACK) for b in (False, True))
    assert both.rounds <= chain.rounds + 1
    real = metered("rep3", 64, lambda p: body(p, True), 3, "", LOOPBACK)
    assert {n: real.depth[n] for n in NAMES[:3]} == {n: both.depth[n] for n in NAMES[:3]}


def with_a_sign(p: Any, some: list[tuple[str, int]], compared: tuple[int, int], along: bool) -> list[Any]:
    """Leave calls, and find signs, which take them along or follow them."""
    n, bits = compared
    values = np.arange(n) % 89 - 44
    x = testing.scatter(p, RING.encode_ints(values << bits - 6))
    apart(p)
    with p.later():
        made: list[Any] = [call(p, kind, n, at)() for at, (kind, n) in enumerate(some)]
    if along:
        with p.taking_along():
            found = p.sign(x, bits)
    p.settle()
    if not along:
        found = p.sign(x, bits)
    p.reveal(made[0], [NAMES[1]])
    opened = p.reveal_bits(p.unpack(found, (n,)), NAMES[:3])
    assert opened is None or np.array_equal(opened, values < 0)
    return [*made, found]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("seed", range(12))
def test_signs_take_along_what_was_left(seed: int, network: Network) -> None:
    rng = np.random.default_rng(seed)
    taken_along(
        drawn(seed)[: 1 + seed % 3], (SIZES[rng.integers(len(SIZES))], (8, 40, 62)[seed % 3]), seed, network
    )


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("turned", ["factored", "select", "mul_trunc"])
@pytest.mark.parametrize("first", [True, False])
def test_signs_take_along_calls_with_roles_turned_and_without(
    first: bool, turned: str, network: Network
) -> None:
    """Of one role and of three, in blocks and whole: while a tree waits for P0, all of them go on or none does."""
    some = [(turned, 40_000), ("factored", 70), ("mul_into", 3000)]
    taken_along(some if first else some[::-1], (70, 62), 3, network)


def taken_along(
    some: list[tuple[str, int]], compared: tuple[int, int], seed: int, network: Network
) -> tuple[int, int]:
    """Hold calls that a sign takes along against calls in turn, and the model against the meters; return rounds."""
    bodies = {
        along: lambda p, along=along: with_a_sign(p, some, compared, along)  # type: ignore[misc]
        for along in (True, False)
    }
    found, alone = (testing.run("rep3", 64, body, seed=seed, network=network) for body in bodies.values())
    for name in NAMES[:3]:
        for a, b in zip(found[name], alone[name], strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True)), (
                f"{name} {some} {compared}"
            )
    real, model, turns = (
        metered("rep3", 64, bodies[True], 3, "", network),
        predicted("rep3", 64, bodies[True], 3, "", network),
        predicted("rep3", 64, bodies[False], 3, "", network),
    )
    assert +Counter(real.links) == +Counter(model.links) == +Counter(turns.links), f"{some} {compared}: bytes"
    assert {n: real.depth[n] for n in NAMES[:3]} == {n: model.depth[n] for n in NAMES[:3]}, (
        f"{some} {compared}: rounds"
    )
    assert model.rounds <= turns.rounds, f"{some} {compared}"
    return model.rounds, turns.rounds


def test_a_call_in_blocks_takes_no_round_more_than_a_small_one() -> None:
    """Of one role, that is: P1 and P2 do not wait for each other while P0's message to the tree is on its way."""
    small, blocks = (taken_along([("mul_trunc", n)], (70, 62), 1, NETWORKS[1]) for n in (70, 4000))
    assert small == blocks


@pytest.mark.parametrize("n", [70, 40_000])
@pytest.mark.parametrize("kind", sorted(PATIENT))
def test_calls_of_a_kind_draw_in_turn(kind: str, n: int) -> None:
    """Both holders of a stream read it in the order of calls, whatever they wait for: here with a lift and without."""
    some = [(kind, n), (kind, n), (kind, 70)]
    found = testing.run("rep3", 64, lambda p: at_once(p, some), seed=1)
    alone = testing.run("rep3", 64, lambda p: one_by_one(p, some), seed=1)
    for name in NAMES[:3]:
        for a, b in zip(found[name], alone[name], strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a.parts, b.parts, strict=True)), name


def at_once_only(p: Any) -> dict[str, Callable[[], Any]]:
    """Return a call of each functionality that may not be left, and of one that was not asked to be."""
    n, narrow = 70, p.over(index_ring(70))
    x, small = testing.scatter(p, RING.zeros((n,))), testing.scatter(p, RING.zeros((2, 2)))
    planes = testing.scatter_planes(p, np.zeros((3, 2), np.uint64), n)
    rows = testing.scatter(p, RING.zeros((1, n)))
    at = Column(testing.scatter(narrow, narrow.ring.encode_ints(np.arange(n).reshape(1, n))), narrow.ring)
    return {
        "mul": lambda: p.mul(x, x), "matmul": lambda: p.matmul(small, small), "dot": lambda: p.dot(small, small),
        "trunc_exact": lambda: p.trunc_exact(x, F), "sign": lambda: p.sign(x, 8), "is_zero": lambda: p.is_zero(x, 8),
        "decompose": lambda: p.decompose(x, 8), "below": lambda: p.below(x, 8, [3]),
        "and_": lambda: p.and_(planes, planes), "and_all": lambda: p.and_all(planes),
        "to_arith": lambda: p.to_arith(planes), "reveal": lambda: p.reveal(x, NAMES[:3]),
        "reveal_bits": lambda: p.reveal_bits(p.unpack(planes, (n,)), NAMES[:3]),
        "shuffle": lambda: p.shuffle([Column(rows, RING)]), "place": lambda: p.place(at, [Column(rows, RING)]),
        "fetch": lambda: p.fetch(at, [Column(rows, RING)]), "digit_ranks": lambda: narrow.digit_ranks(planes, 1, n),
        "trunc": lambda: p.trunc(x, F),
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted({*CARDS} - PATIENT - {"agree", "share_bits"} | {"trunc"}))
def test_a_call_that_ends_at_once_is_refused_while_others_are_left(name: str) -> None:
    """Messages of both would change places, which nobody would notice where labels and sizes are the same.

    Two functionalities settle by themselves.
    """

    def body(p: Any) -> None:
        with p.later():
            call(p, "mul_trunc", 70, 1)()
        at_once_only(p)[name]()

    with pytest.raises(UsageError, match="settle"):
        testing.run("rep3", 64, body)


def rounds(network: Network, some: list[tuple[str, int]]) -> int:
    """Return the rounds of calls that share theirs."""

    def body(p: Any) -> None:
        with p.together():
            for at, (kind, n) in enumerate(some):
                call(p, kind, n, at)()

    return predicted("rep3", 64, body, 3, "", network).rounds


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("seed", range(2))
def test_masks_are_drawn_in_the_order_of_calls(seed: int, network: Network) -> None:
    """Of one stream, by calls of one functionality that wait for different messages, or for none."""
    n, rng = (SIZES[1], SIZES[3])[seed], np.random.default_rng(seed)
    x = rng.integers(-100, 100, n)

    def body(p: Any) -> list[Share]:
        held = testing.scatter(p, RING.encode_ints(x))
        bits = testing.scatter_planes(p, np.full((1, -(-n // 64)), 2**64 - 1, np.uint64), n)
        sums = [Square(64, 0), Square(64, 5), Square(20, 5), Square(64, 0)]
        with p.together():
            made = [p.factored(held, how) for how in sums]
            made += [p.trunc(held, 0), p.trunc(held, 3), p.trunc(held, 5)]
            made += [p.mul_trunc(held, held, 1), p.mul_into(held, held, 5, RING), p.mul_trunc(held, held, 5)]
            made += [*p.combine(bits, np.full((2, 1), 3, np.uint64), [64, 20])[:1], p.select(bits, held)]
        return made

    found = testing.run("rep3", 64, body, seed=seed, network=network)
    squares = [x * x / 2.0**f for f in (0, 5, 5, 0)]
    others = [x, x / 8, x / 32, x * x / 2, x * x / 32, x * x / 32, np.full(n, 3), x]
    for i, want in enumerate([*squares, *others]):
        got = RING.to_ints(testing.gather({p: found[p][i] for p in NAMES[:3]}, "rep3", RING))
        assert np.all(np.abs(got.astype(np.float64) - want) < 1 + (i < 4)), i
    real, model = (f("rep3", 64, body, 3, "", network) for f in (metered, predicted))
    assert +Counter(real.links) == +Counter(model.links) and real.rounds == model.rounds


@pytest.mark.parametrize("width", [40, 128])
def test_other_rings(width: int) -> None:
    """In rings of more than a word calls are not left, and nothing else changes."""

    def body(p: Any) -> list[Share]:
        x = testing.scatter(p, Ring(width).encode_ints(np.arange(-3, 5)))
        with p.together():
            made = [
                p.mul_trunc(x, x, 1),
                p.trunc(x, 1),
                p.share_input(NAMES[1], Ring(width).zeros((2,)), (2,)),
            ]
            total = p.total([p.trunc(x, 1), p.trunc(x, 2)])
        return [*made, total]

    found = testing.run("rep3", width, body)
    values = [
        Ring(width).to_ints(testing.gather({n: found[n][i] for n in NAMES[:3]}, "rep3", Ring(width)))
        for i in range(4)
    ]
    x = np.arange(-3, 5)
    for got, want in zip(values, (x * x / 2, x / 2, np.zeros(2), x / 2 + x / 4), strict=True):
        assert np.all(np.abs(got.astype(np.float64) - want) < 2)
    real, model = (f("rep3", width, body, 3, "") for f in (metered, predicted))
    assert +Counter(real.links) == +Counter(model.links) and real.rounds == model.rounds


def test_bits_and_agreed_values_end_what_waits() -> None:
    """Their messages are not of those that may be left, and come after them."""

    def body(p: Any) -> list[Share]:
        x = testing.scatter(p, RING.encode_ints(np.arange(100)))
        with p.later():
            first = p.mul_trunc(x, x, F)
            p.agree(RING.zeros((3,)))
            second = p.trunc(x, F)
            p.share_bits(NAMES[0], np.zeros(4, np.uint8), (4,))
        p.settle()
        return [first, second]

    found = testing.run("rep3", 64, body)
    for i, want in enumerate((np.arange(100) ** 2 / 2**F, np.arange(100) / 2**F)):
        got = RING.to_ints(testing.gather({n: found[n][i] for n in NAMES[:3]}, "rep3", RING))
        assert np.all(np.abs(got.astype(np.float64) - want) < 1)
    real, model = (f("rep3", 64, body, 3, "") for f in (metered, predicted))
    assert real.rounds == model.rounds
