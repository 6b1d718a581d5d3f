"""Sorting and moving rows where the protocol cannot shuffle, against NumPy; the predicted cost is the metered one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tacit
from tacit import testing
from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array import tables
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.runtime import Format, Runtime
from tacit.array.session import Session
from tacit.errors import NotRealised
from tacit.gadgets import exchange

SEED = 17
rng = np.random.default_rng(SEED)


@pytest.fixture(scope="module", params=[2, 3])
def s(request: Any) -> Iterator[Session]:
    names = ("alice", "bob", "carol")[: request.param]
    with tacit.simulate("semi2k", names, dealer="dora", seed=SEED) as session:
        yield session


def secret(s: Session, value: Any) -> Any:
    a = np.asarray(value)
    x = s.input(a, "alice")
    if a.dtype.kind == "b":
        return fn.logical_xor(x, s.input(np.zeros(a.shape, bool), "bob"))
    both = x + s.input(np.zeros_like(a), "bob", bound=(0, 0))
    return fn.assume(both, x.aval.lo, x.aval.hi)


def opened(x: Any) -> Any:
    return np.asarray(tacit.reveal(x, why="test"))


@pytest.mark.parametrize("rows", [*range(1, 9)])
def test_the_network_sorts_every_order_of_zeros_and_ones(rows: int) -> None:
    """By the zero-one principle (Knuth, 5.3.4) it then sorts everything."""
    for bits in itertools.product((0, 1), repeat=rows):
        held = np.array(bits)
        for upper, lower in exchange.waves(rows):
            assert len({*upper, *lower}) == 2 * len(upper), "no row meets two others at once"
            pair = held[upper], held[lower]
            held[upper], held[lower] = np.minimum(*pair), np.maximum(*pair)
        assert np.all(np.diff(held) >= 0)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 40])
@pytest.mark.parametrize("kind", ["int", "fixed", "bool", "equal"])
def test_sort_and_argsort_are_stable(s: Session, n: int, kind: str) -> None:
    value = {
        "int": rng.integers(-(2**31), 2**31, n),
        "fixed": rng.integers(-9, 9, n) / 8,
        "bool": rng.integers(0, 2, n).astype(bool),
        "equal": np.full(n, 7),
    }[kind]
    x, signed = secret(s, value), value.astype(np.float64)
    for down in (False, True):
        places = np.argsort(-signed if down else signed, kind="stable")
        assert np.array_equal(opened(od.argsort(x, descending=down)), places)
        assert np.array_equal(opened(od.sort(x, descending=down)), value[places])


def test_blocks_several_keys_and_columns_of_every_kind(s: Session) -> None:
    first, second = rng.integers(0, 3, (4, 9)), rng.integers(-(2**50), 2**50, (4, 9))
    carried = [rng.integers(0, 99, (4, 9)) / 4, rng.random((4, 9)) < 0.5, rng.integers(0, 9, (4, 9))]
    keys = [secret(s, first), secret(s, second)]
    at = od.order(keys, descending=[False, True])  # 54 bits and a place: more than one word
    columns = [secret(s, c) for c in carried]
    want = np.lexsort((-second, first), axis=-1)
    moved = od.arrange(at, *columns)
    for m, c in zip(moved, carried, strict=True):
        assert np.array_equal(opened(m), np.take_along_axis(c, want, -1))
    for m, c in zip(od.restore(at, *moved), carried, strict=True):
        assert np.array_equal(opened(m), c)


def test_fill_takes_the_nearest_flagged_row(s: Session) -> None:
    flags = np.array([[0, 1, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0, 1]], bool)
    value, truth = rng.integers(-9, 9, (2, 7)), rng.random((2, 7)) < 0.5
    got, truths = od.fill(secret(s, flags), secret(s, value), secret(s, truth))
    last = np.maximum.accumulate(np.where(flags, np.arange(7), -1), axis=-1)
    want = np.where(last >= 0, np.take_along_axis(value, np.maximum(last, 0), -1), 0)
    assert np.array_equal(opened(got), want)
    assert np.array_equal(opened(truths), (last >= 0) & np.take_along_axis(truth, np.maximum(last, 0), -1))


def test_group_by_and_order_statistics(s: Session) -> None:
    key, value = rng.integers(0, 4, 15), rng.integers(0, 50, 15)
    found = tables.group_by(secret(s, key), {"v": secret(s, value)}, ["sum"], max_groups=5)
    valid = opened(found.valid)
    got = zip(
        opened(found.keys[0])[valid].tolist(), opened(found.columns["v_sum"])[valid].tolist(), strict=True
    )
    assert dict(got) == {int(k): int(value[key == k].sum()) for k in np.unique(key)}
    assert opened(od.median(secret(s, value))) == np.median(value)


def test_shuffling_is_refused_and_says_what_is_not(s: Session) -> None:
    with pytest.raises(NotRealised, match=r"semi2k does not shuffle.*rep3.*or sort"):
        od.shuffle(secret(s, np.arange(3)))


@pytest.mark.parametrize("rows", [2, 33])
def test_the_plan_says_what_it_costs(rows: int) -> None:
    trace = Trace()
    x = trace.input("x", "alice", (rows,), "int", 0, 1000)
    y = trace.input("y", "bob", (rows,), "fixed", -4, 4)
    flags = trace.input("b", "bob", (rows,), "bool", 0, 1)
    at = od.order(x + fn.astype(flags, "int"))
    for i, v in enumerate([*od.arrange(at, y * fn.astype(x, "fixed"), flags), *od.fill(flags, x + 1)]):
        reveal(v, why="test", name=f"r{i}")
    program, fmt, compute = trace.program(), Format(64, 16), ("alice", "bob")
    data = {
        "alice": {"x": rng.integers(0, 1000, rows)},
        "bob": {"y": rng.uniform(-4, 4, rows), "b": np.arange(rows) % 3 == 0},
    }

    def body(p: Any) -> Any:
        Runtime(p, fmt, compute).run(program, data.get(p.party.name, {}))
        return p.party.mesh.meter.snapshot()

    seen = testing.run("semi2k", 64, body, n=2, dealer="dora", seed=SEED)
    cost = predict(program, "semi2k", fmt, compute, compute, "dora")
    sent = {(me, to): t.payload_sent for me, m in seen.items() for to, t in m.peers.items() if t.payload_sent}
    assert sent == {k: v for k, v in cost.links.items() if v}
    assert cost.rounds == max(m.rounds for m in seen.values())
