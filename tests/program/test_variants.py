"""Variants by network: fewer rounds where they are slow, fewer bytes where links are narrow; the same answers.

What is chosen changes messages, so the cost model must choose alike: bytes and rounds are held against the meters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from metering import assert_as_predicted, run_metered

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import order
from tacit.array.analyse import nowhere, plan, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Aval, Program
from tacit.array.ranges import fit
from tacit.array.runtime import Format
from tacit.array.secret import SecretArray
from tacit.array.session import simulate
from tacit.core.cost import CostModel
from tacit.core.ghost import ghost
from tacit.core.timing import LOOPBACK, PRESETS, Machine, Network, default_machine
from tacit.gadgets import smooth, sort
from tacit.protocols import load
from tacit.protocols.rep3 import bits, turns

Array = npt.NDArray[Any]
OWNERS = ("alice", "bob", "carol")
LAN, WAN = PRESETS["lan"], PRESETS["wan"]
NARROW = Network("narrow", 1000, 20_000)
"""A slow link close by: a round is worth ten bytes."""
NETWORKS = [LOOPBACK, LAN, WAN, NARROW]
N = 600


BODIES: dict[str, tuple[Callable[[SecretArray], Any], Callable[[Array], Array], float]] = {
    "sign": (lambda x: fn.astype(x > 0, "int"), lambda x: (x > 0).astype(float), 0),
    "floor": (fn.floor, np.floor, 0),
    "equality": (lambda x: fn.astype(fn.equal(x, 3.5), "int"), lambda x: (x == 3.5).astype(float), 0),
    "sort": (order.sort, np.sort, 0),
    "max": (lambda x: fn.max(x), np.max, 0),
    "tanh": (lambda x: fn.tanh(x), np.tanh, 2.0**-12),
}


def program(name: str, n: int = N, bound: float = 12) -> Program:
    """Two owners' numbers joined, through one operation, opened to all."""
    trace = Trace()
    halves = [trace.input("x", o, (n // 2,), "fixed", -bound, bound) for o in OWNERS[:2]]
    reveal(BODIES[name][0](fn.concat(halves)), why="the test's answer", name="it")
    return trace.program()


def cost_on(network: Network, name: str, n: int = N) -> Any:
    return predict(program(name, n), "rep3", Format(64, 16), OWNERS, OWNERS, network=network)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("name", BODIES)
def test_every_variant_is_right_and_costs_what_was_predicted(name: str, network: Network) -> None:
    rng = np.random.default_rng(5)
    halves = {o: {"x": np.round(rng.uniform(-12, 12, N // 2) * 2) / 2} for o in OWNERS[:2]}
    with simulate("rep3", OWNERS, network=network, seed=3) as session:
        got, meters = run_metered(session, program(name), halves)
    x = np.concatenate([halves[o]["x"] for o in OWNERS[:2]])
    assert np.max(np.abs(np.asarray(got["carol"]["it"]) - BODIES[name][1](x))) <= BODIES[name][2]
    assert_as_predicted(meters, cost_on(network, name))


@pytest.mark.parametrize("name", ["sign", "sort", "max", "tanh"])
def test_slow_rounds_are_saved_and_narrow_links_are_spared(name: str) -> None:
    size = {"tanh": 4000, "sign": 4000}.get(name, N)
    far, narrow = cost_on(WAN, name, size), cost_on(NARROW, name, size)
    assert far.rounds < narrow.rounds
    assert max(narrow.sent_by(o) for o in OWNERS) < max(far.sent_by(o) for o in OWNERS)


def test_wide_blocks_where_a_round_is_worth_their_bytes() -> None:
    assert bits.block_bits(40, 64, WAN) >= 5 and bits.block_bits(40, 64, NARROW) == 3
    levels = {r: (-(-40 // r) - 1).bit_length() for r in bits.RADICES}
    assert levels[bits.block_bits(40, 64, WAN)] < levels[4] == levels[3]
    # A million elements are bytes on any network.
    assert {bits.block_bits(40, 10**6, n) for n in (LOOPBACK, LAN, WAN)} == {3}


def test_roles_are_turned_from_what_rounds_are_worth() -> None:
    assert turns.turned_from(LAN) < turns.turned_from(LOOPBACK) == turns.TURNED_FROM < turns.turned_from(WAN)
    assert turns.turned_from(WAN) == 2 * WAN.round_bytes // 8
    assert (
        turns.turned_from(NARROW) == turns.LEAST
        and turns.turned_from(Network("x", 1, 10**12)) == turns.TURNED_FROM
    )
    assert len(turns.thirds(turns.LEAST, NARROW)) == 3 and len(turns.thirds(turns.LEAST - 1, NARROW)) == 1
    assert len(turns.thirds(turns.TURNED_FROM - 1)) == 1
    # What counts is how much the first party would send.
    assert len(turns.thirds(turns.TURNED_FROM // 16, bits=16 * 64)) == 3
    assert len(turns.thirds(turns.TURNED_FROM // 16, bits=15 * 64)) == 1
    assert len(turns.thirds(turns.LEAST - 1, bits=10**6)) == 1
    assert len(turns.thirds(turns.TURNED_FROM * 4, bits=16)) == 3
    assert len(turns.thirds(turns.TURNED_FROM * 4 - 1, bits=16)) == 1


def test_blocks_of_one_role_are_as_long_as_a_link_repays() -> None:
    n = turns.turned_from(WAN) - 64
    found = turns.pieces(n, WAN, 64)
    each = WAN.bytes_per_s // turns.PER_SECOND
    assert {r for r, _, _ in found} == {0} and len(found) in (turns.BLOCKS, turns.BLOCKS + 1)
    assert all(b[1] == a[2] and a[2] % 64 == 0 for a, b in pairwise(found)) and found[-1][2] == n
    assert len(turns.pieces(each // 8 // 64 * 64, WAN, 64)) == 1
    assert len(turns.pieces(each // 8 + 64, WAN, 64)) == 2


def test_blocks_of_thirds_carry_the_same_bytes_in_order() -> None:
    for n in (12_544, 12_545, 100_001):
        assert turns.pieces(n, LOOPBACK, 64) == [(r, *b) for r, b in enumerate(turns.thirds(n))]
        for each in (64, 100, 1_000):
            found = turns.pieces(n, LAN, each)
            assert [r for r, _, _ in found[:3]] == [0, 1, 2] and found[0][1] == 0
            in_order = sorted(found, key=lambda piece: piece[1])
            assert in_order[-1][2] == n and all(b[1] == a[2] for a, b in pairwise(in_order))
            assert all(
                low % 64 == 0 and (high - low) * each <= 8 * turns.BLOCK_BYTES for _, low, high in found
            )
            for r, (start, stop) in enumerate(turns.thirds(n, LAN, each)):
                assert all(start <= low and high <= stop for role, low, high in found if role == r)


def test_work_beside_blocks_on_their_way_takes_little_time_of_its_own() -> None:
    n, work = 10**6, 0.03  # seconds of a party, much less than its bytes take
    machine = Machine({"mul_trunc": ((1, work), (2, work))}, cores=1.0)

    def seconds(network: Network, machine: Machine) -> tuple[float, float]:
        cards = load("rep3").cards
        model = CostModel("rep3", cards, nowhere(OWNERS, network=network), Ring(64), machine=machine)
        model.mul_trunc(ghost((n,)), ghost((n,)), 16)
        return model.cost.seconds, max(model.cost.sent_by(o) for o in OWNERS) / network.bytes_per_s

    took, bytes_alone = seconds(LAN, machine)
    assert bytes_alone < took < bytes_alone + work / 3
    fast = Network("fast", 80, LOOPBACK.bytes_per_s)
    idle = replace(machine, curves={"mul_trunc": ((1, 0.0), (2, 0.0))})
    assert seconds(fast, machine)[0] > seconds(fast, idle)[0] + 0.99 * work


def test_rows_of_a_product_are_computed_while_those_before_them_are_on_their_way() -> None:
    assert turns.rows_at_once(1000, 1000, 1000, LAN) == turns.ROWS
    assert turns.rows_at_once(73_728, 25, 64, LAN) == 41 * turns.ROWS  # so many that they repay a call
    for m, k, n in (
        (1000, 1000, 50),
        (1000, 4, 1000),
        (100, 1000, 1000),
        (1000, 5000, 1000),
        (128, 100, 128),
    ):
        assert not turns.rows_at_once(m, k, n, LAN)
    assert not turns.rows_at_once(1000, 1000, 1000, LOOPBACK)

    work, nothing = 0.06, ((1, 0.0), (2, 0.0))
    machine = Machine(
        dict.fromkeys(("mul", "operands"), nothing) | {"products": ((1, 0.0), (10**9, work))}, cores=1.0
    )

    def model(*shapes: tuple[int, ...]) -> CostModel:
        cards = load("rep3").cards
        found = CostModel("rep3", cards, nowhere(OWNERS, network=LAN), Ring(64), machine=machine)
        found.matmul_trunc(*(ghost(shape) for shape in shapes), 16)
        return found

    in_rows = model((1000, 1000), (1000, 1000)).cost
    at_once = model((1, 1000, 1000), (1, 1000, 1000)).cost
    assert in_rows.units == at_once.units and in_rows.links == at_once.links
    assert in_rows.working == pytest.approx(at_once.working) == dict.fromkeys(OWNERS, pytest.approx(work))
    assert at_once.seconds - work < in_rows.seconds < at_once.seconds - work / 3


def test_digits_of_a_sort_and_clamps_follow_the_price() -> None:
    def on(network: Network) -> CostModel:
        return CostModel("rep3", load("rep3").cards, nowhere(OWNERS, network=network), Ring(64))

    assert sort.radix(on(WAN), 33, 1, 1000)[0] == 4 and sort.radix(on(NARROW), 33, 1, 1000)[0] < 4
    plans = [smooth.plan(on(n), "tanh", 16, -12, 12, 4000) for n in (WAN, NARROW)]
    assert [p is not None and p.end is None for p in plans] == [True, False]
    assert smooth.plan(on(WAN), "tanh", 16, -12, 12, 10**6) == plans[1]


@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("radix", bits.RADICES)
def test_blocks_of_every_width_are_exact(radix: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "block_bits", lambda *_: radix)
    ring, count = Ring(width), 41
    x = np.array([*range(-40, 41), 2**40, -(2**40), 2**41 - 1, -(2**41)], object)

    def body(p: Any) -> Any:
        held = testing.scatter(p, ring.encode_ints(x))
        return p.sign(held, count), p.is_zero(held, count + 1), p.trunc_exact(held, 7)

    got = testing.run("rep3", width, body)
    signs, zeros = (testing.gather_planes({k: v[i] for k, v in got.items()}, "rep3")[0] for i in range(2))
    assert np.array_equal(signs, x < 0) and np.array_equal(zeros, x == 0)
    floors = testing.gather({k: v[2] for k, v in got.items()}, "rep3", ring)
    assert np.array_equal(ring.to_ints(floors), x >> 7)


# -- time ---------------------------------------------------------------------------------------------------------


def test_time_is_rounds_and_bytes_where_links_are_slow() -> None:
    for network in (WAN, NARROW):
        for name in ("sign", "sort", "max"):
            cost = cost_on(network, name)
            ways = cost.rounds * network.one_way_s
            least = max(cost.sent_by(o) for o in OWNERS) / network.bytes_per_s
            work = max(cost.working.values())
            # Bytes of one round pass while another round's message is on its way only if they belong to one wave.
            assert max(ways, least) <= cost.seconds <= 1.6 * (ways + least + work)


def test_a_loop_takes_as_long_as_its_iterations() -> None:
    def looped(times: int) -> Program:
        trace = Trace()
        x = trace.input("x", "alice", (50,), "fixed", -1, 1)
        y = trace.input("x", "bob", (50,), "fixed", -1, 1)
        for _ in range(times):
            x = x * y
        reveal(x, why="the test's answer", name="it")
        return trace.program()

    seconds = [
        predict(looped(t), "rep3", Format(64, 16), OWNERS, OWNERS, network=WAN).seconds for t in (2, 4, 6, 18)
    ]
    assert seconds[3] - seconds[2] == pytest.approx(6 * (seconds[2] - seconds[1]), rel=0.01)


@pytest.mark.parametrize("protocol", [name for name, _, _ in testing.settings(3)])
@pytest.mark.parametrize("network", [LOOPBACK, LAN, WAN])
def test_iterations_that_are_not_counted_one_by_one_take_as_long(protocol: str, network: Network) -> None:
    """A loop of values whose owner, as the dealer, holds no shares: as long as the same program without a loop."""
    length, aval = 80, Aval((50,), "fixed", -1, 1, "secret")
    found = []
    for loop in (True, False):
        trace = Trace()
        x, y = (trace.input("x", owner, aval.shape, "fixed", -1, 1) for owner in ("dave", "erin"))
        x = x * y
        if loop:
            body = Trace()
            carry = body.parameter(aval)
            body_program = body.program([fn.clip(carry * carry - 0.5, -1, 1)])
            params = {"n_consts": 0, "n_carry": 1, "length": length, "reverse": False, "body": body_program}
            (x,) = trace.bind("scan", [x], params)
        else:
            for _ in range(length):
                x = fn.clip(x * x - 0.5, -1, 1)
        reveal(x, to=("dave",), why="the test's answer", name="it")
        machine = replace(default_machine(), cores=2 / 3, together=network == LOOPBACK)
        dealer = testing.dealer_of(protocol)
        cost = predict(
            trace.program(),
            protocol,
            Format(64, 16),
            OWNERS,
            (*OWNERS, "dave", "erin"),
            dealer,
            network,
            machine,
        )
        assert cost.rounds > length
        found.append((cost.seconds, cost.clock.ends()["dave"], max(cost.working.values())))
    assert found[0] == pytest.approx(found[1], rel=0.1)
    assert found[0][0] == pytest.approx(found[0][1], rel=0.05)


def test_the_plan_says_how_long_and_that_it_is_an_estimate() -> None:
    made = program("max")
    far = plan(made, "rep3", fit(made), OWNERS, OWNERS, network=WAN)
    (line,) = [text for text in far.lines() if text.startswith("time")]
    assert "estimate" in line and "wan: 40 ms round trip, 100 Mbit/s" in line
    assert f"about {far.cost.seconds:.2g} s" in line
    near = plan(made, "rep3", fit(made), OWNERS, OWNERS)
    assert "on one machine" in near.time() and near.cost.seconds < far.cost.seconds / 10
