"""The greatest few of many values, and where they are: as a stable sort of all finds them, for less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered

from tacit import protocols
from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array import top
from tacit.array.analyse import plan, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.passes import localise
from tacit.array.program import Program, parse
from tacit.array.ranges import fit
from tacit.array.session import simulate
from tacit.core.timing import LOOPBACK, PRESETS
from tacit.errors import DataError, ShapeError
from tacit.testing import dealer_of

OWNERS = ("alice", "bob", "carol")
LAN, WAN = PRESETS["lan"], PRESETS["wan"]
SHAPES = {
    "one row": ((8192,), 3),
    "rows": ((2, 3, 1500), 2),
    "with a rest": ((8195,), 128),
    "one": ((9000,), 1),
}


def values(shape: tuple[int, ...], kind: str, seed: int = 1) -> Any:
    """Values of which many are equal, so that it matters which come first."""
    whole = np.random.default_rng(seed).integers(-20, 20, shape)
    whole[..., -1] = 20  # what fills no group counts, too
    return whole if kind == "int" else whole / 8


def program(shape: tuple[int, ...], k: int, kind: str = "fixed") -> Program:
    """Numbers that nobody knows, and those of them that are greatest, with their places."""
    trace = Trace()
    a, b = (trace.input("x", o, shape, kind, -20, 20) for o in OWNERS[:2])
    for name, out in zip("vp", od.top_k(a + b, k), strict=True):
        reveal(out, why="test", name=name)
    return trace.program()


def ran(made: Program, *held: Any) -> dict[str, Any]:
    """Run among three owners; what was sent is what was predicted."""
    fmt = fit(made)
    data = {o: {"x": v} for o, v in zip(OWNERS, held, strict=False)}
    with simulate("rep3", OWNERS, width=fmt.width, frac_bits=fmt.frac_bits, seed=3) as s:
        learned, meters = run_metered(s, made, data)
    assert_as_predicted(meters, predict(made, "rep3", fmt, OWNERS, OWNERS))
    return learned["bob"]


def first(x: Any, k: int) -> tuple[Any, Any]:
    at = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x, at, -1), at


@pytest.mark.parametrize("kind", ["int", "fixed"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_greatest_are_those_of_a_stable_sort(name: str, kind: str) -> None:
    shape, k = SHAPES[name]
    made = program(shape, k, kind)
    assert parse(made.text()).text() == made.text()
    assert [e.op for e in made.eqns].count("top") == 1
    assert top.grouped(LOOPBACK, shape, k)
    a, b = values(shape, kind), values(shape, kind, 2)
    found = ran(made, a, b)
    want = first(a + b, k)
    assert np.array_equal(found["v"], want[0]) and np.array_equal(found["p"], want[1])


@pytest.mark.parametrize("protocol", protocols.REGISTRY)
def test_of_few_values_all_are_sorted(protocol: str) -> None:
    shape, k = (2, 130), 2
    assert not top.grouped(LOOPBACK, shape, k)
    x = values(shape, "fixed")
    with simulate(protocol, seed=2, dealer=dealer_of(protocol)) as s:
        held = s.input(x, "alice", bound=4)
        secret = held if protocol == "clear" else held + s.input(np.zeros(shape), "bob", bound=0)
        found = [np.asarray(reveal(v, why="test")) for v in od.top_k(secret, k)]
    for got, want in zip(found, first(x, k), strict=True):
        assert np.array_equal(got, want)


def test_where_rounds_are_dear_all_are_sorted_until_bytes_count_more() -> None:
    sizes = {
        n: [top.grouped(net, (n,), 3) for net in (LOOPBACK, LAN, WAN)] for n in (4096, 8192, 20_000, 100_000)
    }
    assert sizes == {
        4096: [False, False, False],
        8192: [True, False, False],
        20_000: [True, True, False],
        100_000: [True, True, True],
    }


@pytest.mark.parametrize("network", [LOOPBACK, LAN, WAN])
def test_groups_take_less_than_a_sort(network: Any) -> None:
    trace, other = Trace(), Trace()
    for t in (trace, other):
        x = t.input("x", "alice", (100_000,), "fixed", -20, 20) + t.input("y", "bob", (), "fixed", 0, 1)
        found = od.top_k(x, 3) if t is trace else od.sorted_first(x, x, od.places_of(x), k=3)
        for name, out in zip("vp", found, strict=True):
            reveal(out, why="test", name=name)
    costs = [
        predict(t.program(), "rep3", fit(t.program()), OWNERS, OWNERS, network=network)
        for t in (trace, other)
    ]
    assert costs[0].total_bytes < costs[1].total_bytes / 4
    assert costs[0].seconds < costs[1].seconds


def test_owners_find_their_own_first() -> None:
    trace = Trace()
    xs = [trace.input("x", o, (n,), "int", -20, 20) for o, n in zip(OWNERS, (3000, 2, 5000), strict=True)]
    for name, out in zip("vp", od.top_k(fn.concat(xs), 4), strict=True):
        reveal(out, why="test", name=name)
    local = localise(trace.program())
    data = [values((n,), "int", n) for n in (3000, 2, 5000)]
    found, want = ran(local, *data), first(np.concatenate(data), 4)
    assert np.array_equal(found["v"], want[0]) and np.array_equal(found["p"], want[1])
    assert plan(local, "rep3", fit(local), OWNERS, OWNERS).cost.total_bytes < 20_000


def test_what_is_no_number_of_values() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (5,), "int", 0, 9)
    for k in (0, 6, -1):
        with pytest.raises((ShapeError, DataError)):
            trace.bind("top", [x], {"k": k})
    with pytest.raises(ShapeError):
        od.top_k(x, 6)
