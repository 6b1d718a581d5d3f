"""F_below, F_combine and F_mul_into: right at every size, turned or not, at the cost that their cards state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance_cases import SIZES, integers, plane_bits
from test_costs import check

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.array import functions
from tacit.array.analyse import predict
from tacit.array.interpret import Trace
from tacit.array.program import Aval
from tacit.array.runtime import Format
from tacit.core.cost import Cost
from tacit.core.share import Planes, Share
from tacit.core.timing import PRESETS, Network, default_machine
from tacit.errors import NotRealised, RangeError
from tacit.gadgets import separable
from tacit.gadgets.separable import Costs
from tacit.net.memory import Hub
from tacit.protocols.rep3 import bits as bit_rows
from tacit.protocols.rep3 import trees, turns
from tacit.protocols.rep3.leading import layout, prefix_plans, prefix_ways
from tacit.testing import gather, gather_planes, run, scatter, scatter_planes

Array = npt.NDArray[Any]
SEED = 12
NAMES = testing.NAMES[:3]
PLACES = [
    (2, (1, 0)), (2, (0,)), (1, (0,)), (5, (4,)), (5, (3, 0)), (8, (7, 6, 5, 4, 3, 2, 1, 0)), (12, (9, 7, 5, 3, 1)),
    (26, (23, 21, 19, 17, 15, 13, 11)), (40, (30, 10, 0)), (61, (58, 2)),
]  # fmt: skip


@pytest.fixture(params=["turned", "as they are"])
def _every_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "turned":
        monkeypatch.setattr(turns, "TURNED_FROM", 0)
        monkeypatch.setattr(turns, "LEAST", 0)
        assert len(turns.thirds(1)) == 3


def _octaves(rng: np.random.Generator, n: int, bits: int) -> Array:
    """Return n numbers below 2^bits of every length, and the powers of two and their neighbours."""
    edges = [e for i in range(bits) for e in ((1 << i) - 1, 1 << i, (2 << i) - 1)]
    drawn = [int.from_bytes(rng.bytes(8), "little") % (1 << int(rng.integers(0, bits + 1))) for _ in range(n)]
    out = np.empty(len(edges) + n, object)
    out[:] = edges + drawn
    return out


def _check_tests(bits: Array, x: Array, at: tuple[int, ...]) -> None:
    for row, place in zip(bits, at, strict=True):
        assert np.all(row[x < 1 << place] == 1), f"place {place} of {at}: a smaller number"
        # Bit 0 has no carry from below.
        assert np.all(row[x >= (2 << place if place else 1)] == 0), f"place {place} of {at}: a larger number"


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("width", [63, 64, 100, 128])
def test_below_errs_by_one_place_at_most(width: int) -> None:
    ring, rng = Ring(width), np.random.default_rng([SEED, width])
    numbers = [_octaves(rng, n, bits) for (bits, _), n in zip(PLACES, range(30, 130, 10), strict=True)]

    def body(p: Any) -> list[Planes]:
        return [
            p.below(scatter(p, ring.encode_ints(x)), *how) for x, how in zip(numbers, PLACES, strict=True)
        ]

    got = run("rep3", width, body, seed=SEED)
    for i, (x, (_, at)) in enumerate(zip(numbers, PLACES, strict=True)):
        _check_tests(gather_planes({name: v[i] for name, v in got.items()}, "rep3"), x, at)


def test_below_is_right_for_all_shares_of_all_small_numbers() -> None:
    """Every split of every number of 4 bits into two operands, over Z/2^5, for all places."""
    ring, at = Ring(5), (3, 2, 1, 0)
    x, b = (v.reshape(-1) for v in np.meshgrid(np.arange(16), np.arange(32)))
    parts = [ring.encode_ints(v.astype(object) % 32) for v in (x - b, np.zeros_like(b), b)]

    def body(p: Any) -> Planes:
        i = p.party.index
        return p.below(Share((parts[i], parts[(i + 1) % 3])), 4, at)

    _check_tests(gather_planes(run("rep3", 5, body), "rep3"), x, at)


@pytest.mark.parametrize("blocks", range(1, 20))
def test_prefix_plans_leave_the_products_that_are_asked_for(blocks: int) -> None:
    rng = np.random.default_rng([SEED, blocks])
    for ends in ((blocks - 1,), tuple(range(blocks)), tuple(range(0, blocks, 3))):
        rows = rng.integers(0, 4, (blocks, 50)) > 0
        want = np.logical_and.accumulate(rows)
        for a, b, old, new, _ in prefix_plans(blocks, ends):
            z = rows[a] & rows[b]
            rows = np.array([z[n] if o < 0 else rows[o] for o, n in zip(old, new, strict=True)])
        assert np.array_equal(rows[list(ends)], want[list(ends)])
        assert len(prefix_plans(blocks, ends)) == (blocks - 1).bit_length()


@pytest.mark.parametrize("count", [3, 5, 8, 9, 16, 31])
def test_prefixes_that_join_several_spans_at_once(count: int) -> None:
    rng, n = np.random.default_rng([SEED, count]), 100
    rows = rng.integers(0, 1 << 64, (2 * count - 1, 2), dtype=np.uint64)
    rows |= rng.integers(0, 1 << 64, rows.shape, dtype=np.uint64)
    all_ends, some = tuple(range(count)), tuple(range(count - 1, 0, -3))[::-1]
    carried = [rows[count - 1]]
    for propagate, generate in zip(rows[: count - 1], rows[count:], strict=True):
        carried.append(generate ^ (propagate & carried[-1]))
    met = np.bitwise_and.accumulate(rows[:count])
    ways = [
        *((way, slice(None), all_ends, np.array(carried)) for way in bit_rows.prefix_ways(count)),
        *((way, slice(count), ends, met) for ends in (all_ends, some) for way in prefix_ways(count, ends)),
    ]
    assert len(ways) >= 3 and all(len(way) < (count - 1).bit_length() for way, *_ in ways)

    def body(p: Any) -> list[Planes]:
        held = scatter_planes(p, rows, n)
        return [trees.climb_unlike(p, held[part], way) for way, part, _, _ in ways]

    found = run("rep3", 64, body)
    for i, (_, _, ends, want) in enumerate(ways):
        got = gather_planes({name: each[i] for name, each in found.items()}, "rep3")
        assert np.array_equal(got[list(ends)], plane_bits(want, n)[list(ends)])


def test_blocks_cover_all_places_and_end_where_they_are_asked_to() -> None:
    for bits, at in PLACES:
        how = layout(bits, at)
        lowest = dict(zip(how.single[1].tolist(), how.single[0].tolist(), strict=True))
        lowest |= dict(zip(how.double[1].tolist(), how.double[0].tolist(), strict=True))
        assert [lowest[e] + how.low for e in how.ends] == list(at)
        covered = sorted([*how.single[0], *how.double[0], *(how.double[0] + 1)])
        assert covered == list(range(bits - how.low))


@pytest.mark.usefixtures("_every_size")
def test_sums_of_bits_over_several_rings() -> None:
    rng, widths, outer = np.random.default_rng(SEED), [1, 13, 50, 64], Ring(64)
    for n in SIZES:
        bits = rng.integers(0, 2, (5, n), dtype=np.uint8)
        weights = rng.integers(0, 2**63, (4, 5), dtype=np.uint64)
        planes = np.stack([np.packbits(row, bitorder="little") for row in bits]).astype(np.uint8)
        words = np.zeros((5, -(-n // 64) * 8), np.uint8)
        words[:, : planes.shape[1]] = planes
        held = words.view(np.uint64)
        got = run(
            "rep3", 64, lambda p, held=held, n=n, w=weights: p.combine(scatter_planes(p, held, n), w, widths)
        )
        want = (weights[:, :, None] * bits.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
        for o, width in enumerate(widths):
            ring = Ring(width)
            sums = gather({name: v[o] for name, v in got.items()}, "rep3", ring)
            assert np.array_equal(sums, ring.reduce(want[o].copy())), f"n={n} {width} bits"
            assert outer.width >= width


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize(("narrow", "into"), [(20, 64), (40, 64), (64, 64), (8, 9), (33, 63)])
def test_products_into_a_wider_ring(narrow: int, into: int) -> None:
    rng, wide, ring = np.random.default_rng([SEED, narrow]), Ring(into), Ring(narrow)
    for f in sorted({0, 1, narrow // 2, narrow - 2}):
        if narrow - f >= into:
            continue
        for n in SIZES:
            x = integers(rng, n, -(2 ** ((narrow - 4) // 2)), 2 ** ((narrow - 4) // 2))
            y = integers(rng, n, -(2 ** ((narrow - 3) // 2)), 2 ** ((narrow - 3) // 2))[::-1]

            def body(p: Any, x: Array = x, y: Array = y, f: int = f) -> Share:
                return p.mul_into(scatter(p, ring.encode_ints(x)), scatter(p, ring.encode_ints(y)), f, wide)

            error = wide.to_ints(gather(run("rep3", narrow, body), "rep3", wide)) - (x * y >> f)
            assert np.all((error == 0) | ((error == 1) & (x * y % (1 << f) != 0))), (
                f"{narrow} bits over 2^{f}"
            )


@pytest.mark.parametrize("width", [1, 3, 37, 64, 65, 128])
def test_products_in_which_the_first_party_receives_nothing(width: int) -> None:
    rng, ring = np.random.default_rng([SEED, width]), Ring(width)
    for n in SIZES:
        x, y = (ring.encode_ints(integers(rng, n, -(2 ** (width - 1)), 2 ** (width - 1))) for _ in range(2))
        hub = Hub(NAMES, record=True)

        def body(p: Any, x: Any = x, y: Any = y) -> Share:
            return p.mul_early(scatter(p, x), scatter(p, y))

        found = gather(run("rep3", width, body, hub=hub), "rep3", ring)
        assert np.array_equal(found, ring.mul(x, y)), f"{n} products of {width} bits"
        assert not hub.received(NAMES[0])


@pytest.mark.parametrize("network", PRESETS.values(), ids=str)
@pytest.mark.parametrize("n", [1, 100, 10_000])
@pytest.mark.parametrize("fn", ["log", "sqrt", "rsqrt", "reciprocal"])
def test_the_product_with_the_scale_holds_nobody_up(fn: str, n: int, network: Network) -> None:
    """The form of a product is chosen by its place: never more rounds, nor more bytes, for any party."""
    trace = Trace()
    x = trace.parameter(Aval((n,), "fixed", 0.01, 1000, "secret"))
    program = trace.program([1 / x if fn == "reciprocal" else getattr(functions, fn)(x)])

    def cost() -> Cost:
        for plan in (separable._log_plan, separable._scaled_plan, separable._word_plan):
            plan.cache_clear()
        # Each on a core of its own: where cores are shared, what counts is the work.
        return predict(
            program, "rep3", Format(64, 16), NAMES, NAMES, network=network, machine=default_machine()
        )

    def other(self: Costs, *way: Any) -> tuple[int, bool]:
        return worth(self, *way)[0], False

    worth = Costs.worth
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Costs, "worth", other)
        before = cost()
    now = cost()
    assert now.seconds <= before.seconds and now.links.total() == before.links.total()
    assert all(
        now.depth[name] <= before.depth[name] and now.sent_by(name) == before.sent_by(name) for name in NAMES
    )
    if n <= 100:
        assert (now.rounds, now.depth[NAMES[0]]) == (before.rounds - 1, 0)


def test_rounding_of_products_is_unbiased() -> None:
    ring, wide, n = Ring(50), Ring(64), 40_000
    x = integers(np.random.default_rng(SEED), n, -(2**20), 2**20)

    def body(p: Any) -> Share:
        held = scatter(p, ring.encode_ints(x))
        return p.mul_into(held, held, 16, wide)

    error = (
        wide.to_ints(gather(run("rep3", 50, body, seed=SEED), "rep3", wide)) - (x * x).astype(float) / 2**16
    )
    assert abs(error.mean()) < 5 * 0.41 / n**0.5


@pytest.mark.usefixtures("_every_size")
def test_costs_are_as_the_cards_say() -> None:
    for n in (*SIZES, 300):
        zero, planes = Ring(64).zeros((n,)), np.zeros((3, -(-n // 64)), np.uint64)
        weights = np.ones((2, 3), np.uint64)

        def body(p: Any, zero: Array = zero, planes: Array = planes, n: int = n, w: Array = weights) -> Any:
            x, narrow = scatter(p, zero), p.over(Ring(40))
            tests = [p.below(x, bits, at) for bits, at in PLACES]
            sums = narrow.combine(scatter_planes(p, planes, n), w, [40, 17])
            x = x.map(narrow.ring.reduce)
            return tests, narrow.mul_into(x, x, 9, Ring(63)), sums, narrow.mul_early(x, x)

        check("rep3", 64, body, 3, "", f"n={n}")


def test_many_planes_turn_the_roles_of_few_elements() -> None:
    n = turns.TURNED_FROM // 3 + 1
    planes, weights = np.zeros((3, -(-n // 64)), np.uint64), np.ones((1, 3), np.uint64)
    assert len(turns.thirds(n)) == 1 and len(turns.thirds(n, bits=3 * 64)) == 3
    check("rep3", 64, lambda p: p.combine(scatter_planes(p, planes, n), weights, [64]), 3, "", f"n={n}")


@pytest.mark.parametrize(
    ("width", "body", "message"),
    [
        (8, lambda p: p.below(scatter(p, p.ring.zeros((3,))), 8, (3,)), "use a wider ring"),
        (8, lambda p: p.below(scatter(p, p.ring.zeros((3,))), 5, ()), "falling numbers"),
        (8, lambda p: p.below(scatter(p, p.ring.zeros((3,))), 5, (2, 3)), "falling numbers"),
        (8, lambda p: p.below(scatter(p, p.ring.zeros((3,))), 5, (5,)), "falling numbers"),
        (100, lambda p: p.combine(scatter_planes(p, np.zeros((1, 1), np.uint64), 3), np.ones((1, 1)), [9]), "not fit"),
        (8, lambda p: p.combine(scatter_planes(p, np.zeros((1, 1), np.uint64), 3), np.ones((1, 1)), [9]), "not fit"),
        (8, lambda p: p.mul_into(*[scatter(p, p.ring.zeros((3,)))] * 2, 7, Ring(64)), "does not lift"),
        (8, lambda p: p.trunc_into(scatter(p, p.ring.zeros((3,))), 2, Ring(7)), "are not cut"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_any_message(width: int, body: Any, message: str) -> None:
    refused = []

    def refusing(p: Any) -> None:
        with pytest.raises(RangeError, match=message):
            body(p)
        refused.append(p.party.name)

    run("rep3", width, refusing)
    assert len(refused) == 3


@pytest.mark.parametrize(("protocol", "n", "dealer"), [("semi2k", 3, "zoe"), ("clear", 1, "")])
def test_other_protocols_refuse_them_by_name(protocol: str, n: int, dealer: str) -> None:
    def body(p: Any) -> None:
        for name, count in (("below", 3), ("combine", 3), ("mul_into", 4)):
            assert not p.offers(name)
            if p.party.name != dealer:
                with pytest.raises(NotRealised, match=name):
                    getattr(p, name)(*[None] * count)

    testing.run(protocol, 64, body, n=n, dealer=dealer)
