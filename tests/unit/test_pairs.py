"""Ranks by comparing all pairs: against a stable sort, for keys that keep to their range and for those that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.core.cost import CostModel
from tacit.core.protocol import Protocol
from tacit.core.rows import Column, index_ring
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.errors import PeerMisbehaved
from tacit.gadgets import pairs
from tacit.net.memory import Hub
from tacit.protocols import load

Array = npt.NDArray[Any]
SEED = 29
SHAPES = [(1, 2), (3, 2), (1, 3), (2, 4), (5, 5), (1, 64), (2, 65), (1, 200)]
WIDE = PRESETS["wan"]


def keys(bits: int, blocks: int, rows: int, loose: bool) -> list[int]:
    """Return keys with many ties, below 2^bits or anywhere within 80 bits and their sign."""
    rng = np.random.default_rng([SEED, bits, blocks, rows])
    few = rng.integers(0, 1 << min(bits, 62), max(rows // 2, 2))
    found = [int(v) for v in rng.choice(few, blocks * rows)]
    if loose:
        found = [v + (int(rng.integers(-(2**40), 2**40)) << bits) for v in found]
    return found


def ranked(values: list[int], bits: int, blocks: int, rows: int) -> Array:
    """Return where each goes if it counts modulo 2^(bits + 1), as 0 from 2^bits on; of equal ones the first first."""
    kept = [v % 2 ** (bits + 1) for v in values]
    kept = [v if v < 2**bits else 0 for v in kept]
    at = np.argsort(np.array(kept, object).reshape(blocks, rows), axis=1, kind="stable")
    out = np.empty_like(at)
    np.put_along_axis(out, at, np.broadcast_to(np.arange(rows), at.shape), axis=1)
    return out


def sorted_by_ranks(p: Any, values: list[int], bits: int, blocks: int, rows: int) -> tuple[Array, Array]:
    """Return the ranks, opened, and the rows as they are moved by them, opened."""
    x = testing.scatter(p, p.ring.encode_ints(np.array(values, object)))
    at = pairs.ranks(p, x, bits, blocks, rows)
    index = index_ring(rows)
    (moved,) = p.place(Column(at, index), [Column(x.reshape(blocks, rows), p.ring)])
    everyone = p.party.compute
    return p.over(index).reveal(at, everyone), p.reveal(moved.share, everyone)


@pytest.mark.parametrize("loose", [False, True], ids=["in range", "out of it"])
@pytest.mark.parametrize("bits", [1, 9, 30, 62])
@pytest.mark.parametrize(("protocol", "width"), [("rep3", 64), ("rep3", 128), ("clear", 64)])
def test_ranks_are_those_of_a_stable_sort(protocol: str, width: int, bits: int, loose: bool) -> None:
    for blocks, rows in SHAPES:
        values = keys(bits, blocks, rows, loose)
        want = ranked(values, bits, blocks, rows)
        each = np.array(values, object).reshape(blocks, rows) % 2**width

        def body(
            p: Any, values: list[int] = values, blocks: int = blocks, rows: int = rows
        ) -> tuple[Array, Array]:
            return sorted_by_ranks(p, values, bits, blocks, rows)

        for found, moved in testing.run(protocol, width, body).values():
            assert np.array_equal(found, want), (SEED, blocks, rows)
            got = np.array(Ring(width).to_ints(moved), object).reshape(blocks, rows) % 2**width
            assert all(np.array_equal(got[b][want[b]], each[b]) for b in range(blocks)), (SEED, blocks, rows)


def test_keys_of_more_than_a_word() -> None:
    values = keys(90, 2, 7, True)
    found = testing.run("rep3", 128, lambda p: sorted_by_ranks(p, values, 90, 2, 7)[0])["alice"]
    assert np.array_equal(found, ranked(values, 90, 2, 7))


def test_without_the_first_step_keys_out_of_range_would_open_what_is_no_permutation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three keys a third of the ring apart: each is less than the next, all the way round."""
    values = [0, 340, 680]  # of 10 bits, said to have 9
    assert testing.run("rep3", 64, lambda p: sorted_by_ranks(p, values, 9, 1, 3)[0])["bob"].tolist() == [
        [0, 2, 1]
    ]
    monkeypatch.setattr(load("rep3"), "select", lambda self, b, x: x.map(self.ring.low))
    with pytest.raises(PeerMisbehaved, match="permutation"):
        testing.run("rep3", 64, lambda p: sorted_by_ranks(p, values, 9, 1, 3))


@pytest.mark.parametrize("network", [LOOPBACK, WIDE], ids=lambda n: n.name)
@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize(("blocks", "rows"), SHAPES)
def test_it_costs_what_was_predicted(blocks: int, rows: int, width: int, network: Network) -> None:
    def body(p: Any) -> None:
        x = testing.scatter(p, p.ring.encode_ints(np.arange(blocks * rows)))
        pairs.ranks(p, x, 20, blocks, rows)
        pairs.order(p, x, 20, blocks, rows)

    hub = Hub(testing.NAMES[:3])
    testing.run("rep3", width, body, hub=hub, network=network)
    model = on(network, width)
    body(model)
    for name in hub.names:
        sent = {to: t.payload_sent for to, t in hub.mesh(name).meter.peers.items() if t.frames_sent}
        assert sent == {to: size for (frm, to), size in model.cost.links.items() if frm == name}
    assert max(hub.mesh(name).meter.rounds for name in hub.names) == model.cost.rounds


def on(network: Network, width: int = 64, protocol: str = "rep3") -> CostModel:
    from tacit.array.analyse import nowhere

    return CostModel(protocol, load(protocol).cards, nowhere(testing.NAMES[:3], network=network), Ring(width))


def test_pairs_are_compared_where_that_is_cheaper() -> None:
    def chosen(p: Protocol, rows: int, blocks: int = 1, bits: int = 24) -> bool:
        return pairs.cheaper(p, bits, blocks, rows)

    near, far = on(LOOPBACK), on(WIDE)
    assert [chosen(near, n) for n in (1, 2, 100, 1000)] == [False, True, True, False]
    assert [chosen(far, n) for n in (100, 600, 3000)] == [True, True, False]
    assert not chosen(near, 100, blocks=1000), "bytes count when there are many blocks"
    assert not chosen(far, 600, blocks=20), "at most so many pairs at a time"
    assert not chosen(near, 100, bits=64) and not chosen(near, 100, bits=0), "no bit is left for the sign"
    assert not chosen(on(LOOPBACK, protocol="semi2k"), 100), "nothing moves by ranks there"


def test_orders_of_both_kinds_arrange_and_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    import tacit
    from tacit.array import order as od

    rng = np.random.default_rng(SEED)
    value, other = rng.integers(-4, 5, (3, 40)), rng.integers(0, 1000, (3, 40))
    seen: list[Array] = []
    for cheaper in (True, False):
        monkeypatch.setattr(pairs, "cheaper", lambda *_, cheaper=cheaper: cheaper)
        with tacit.simulate("rep3", owners=("dora",), seed=SEED) as s:
            x = s.input(value, "alice") + s.input(np.zeros_like(value), "dora", bound=(0, 0))
            y = s.input(other, "dora")
            for down in (False, True):
                at = od.order(x, descending=down)
                (moved,) = od.arrange(at, y)
                (back,) = od.restore(at, moved)
                want = np.argsort(-value if down else value, axis=1, kind="stable")
                seen.append(np.asarray(tacit.reveal(moved, why="test")))
                assert np.array_equal(seen[-1], np.take_along_axis(other, want, axis=1)), cheaper
                assert np.array_equal(np.asarray(tacit.reveal(back, why="test")), other), cheaper
    assert np.array_equal(seen[0], seen[2]) and np.array_equal(seen[1], seen[3])


@pytest.mark.parametrize("traced", [False, True])
def test_orders_that_a_loop_makes_arrange_what_is_outside(traced: bool) -> None:
    """An order is one kind of share however it was found: a loop puts its turns' orders in a row."""
    import tacit
    from tacit.array import order as od
    from tacit.array.interpret import Trace
    from tacit.array.repeat import repeat

    rng = np.random.default_rng(SEED)
    x, y, table = rng.integers(0, 101, 6), rng.integers(0, 101, 6), rng.integers(0, 99, (4, 6))
    signs = np.array([1, -1, 1, -1])

    def arranged(x: Any, y: Any, table: Any) -> Any:
        def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
            return [carry[0] + row[0]], [od.order((consts[0] + carry[0]) * row[0])]

        both = x + y
        orders = repeat(turn, [both], [both - both], [(-50, 50)], [signs])[1]
        return od.arrange(orders[0], table)[0]

    sums = np.cumsum(signs) - signs
    keys = ((x + y + s) * sign for s, sign in zip(sums, signs, strict=True))
    want = [row[np.argsort(key, kind="stable")] for row, key in zip(table, keys, strict=True)]
    with tacit.simulate("rep3", seed=SEED) as s:
        assert pairs.cheaper(on(LOOPBACK), 10, 1, 6)
        if traced:
            trace = Trace()
            names = zip("xyz", ("alice", "bob", "carol"), ((6,), (6,), (4, 6)), strict=True)
            given = [trace.input(v, o, shape, "int", 0, 100) for v, o, shape in names]
            tacit.reveal(arranged(*given), why="test", name="r")
            data = {"alice": {"x": x}, "bob": {"y": y}, "carol": {"z": table}}
            found = s.run(trace.program(), data)["carol"]["r"]
        else:
            held = (
                s.input(v, o, bound=(0, 100))
                for v, o in zip((x, y, table), ("alice", "bob", "carol"), strict=True)
            )
            found = tacit.reveal(arranged(*held), why="test")
    assert np.array_equal(np.asarray(found), want)
