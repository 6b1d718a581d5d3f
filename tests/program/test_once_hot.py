"""Sums and look-ups by one key take it apart once: the same answers, fewer bytes and rounds, as predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from on_shares import OWNERS, run_on_shares

from tacit import testing
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.once_hot import once_hot
from tacit.array.program import Program, parse
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime
from tacit.errors import DataError, RangeError, ShapeError
from tacit.net.memory import Hub
from tacit.study import run_clear
from tacit.testing import run

ROWS, FMT = 12, Format(64, 16)
rng = np.random.default_rng(97)
V = np.round(rng.uniform(-2, 2, (ROWS, 3)) * 2**16) / 2**16


def grouped(groups: int, owned: bool = False) -> Program:
    """Record a group-by: two sums, a count, what is left of a column without its group's sum, and sums of that."""
    trace = Trace()
    v = trace.input("v", "alice", (ROWS, 3), "fixed", -2, 2)
    k = trace.input("k", "bob", (ROWS,), "int", 0, groups - 1)
    v = v + trace.input("z", "carol", (ROWS, 3), "fixed", 0, 0)
    if not owned:
        k = k + trace.input("n", "carol", (ROWS,), "int", 0, 0)
    at = fn.reshape(k, (1, -1))

    def by_key(rows: Any, size: int = groups) -> Any:
        rows = fn.reshape(rows, (1, ROWS, -1))
        return trace.bind("spread", [rows, at], {"size": size, "last": False})[0]

    first = by_key(v[:, 0])
    # Of a wider table only places that the key may name are asked for.
    left = v[:, 0] - fn.reshape(trace.bind("lookup", [first, at], {})[0], (ROWS,))
    out = [
        first,
        by_key(v[:, 1:], groups + 2),
        by_key(trace.const(np.ones(ROWS, np.int64))),
        left,
        by_key(left),
    ]
    for i, a in enumerate(out):
        reveal(a, why="test", name=f"r{i}")
    return parse(trace.program().text())


def answers(k: Any, groups: int) -> list[Any]:
    hot = np.eye(groups + 2)[k]
    first = (hot.T @ V[:, 0])[:groups]
    left = V[:, 0] - first[k]
    sums = [first, hot.T @ V[:, 1:], hot.sum(0)[:groups], left, (hot.T @ left)[:groups]]
    shapes = [(1, groups, 1), (1, groups + 2, 2), (1, groups, 1), (ROWS,), (1, groups, 1)]
    return [a.reshape(s) for a, s in zip(sums, shapes, strict=True)]


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("groups", [2, 5, 40])
@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize("width", [64, 128])
def test_a_group_by_takes_its_key_apart_once(protocol: str, groups: int, owned: bool, width: int) -> None:
    before, program, fmt = grouped(groups, owned), optimise(grouped(groups, owned)), Format(width, 16)
    assert [e.op for e in program.eqns].count("hot") == 1
    assert parse(program.text()).text() == program.text()
    k = rng.integers(0, groups, ROWS)
    data = {"v": V, "k": k, "z": 0 * V, "n": 0 * k}
    dealer = testing.dealer_of(protocol)
    hub = Hub((*OWNERS, *((dealer,) if dealer else ())))
    got = run(protocol, width, lambda p: Runtime(p, fmt, OWNERS).run(program, data), dealer=dealer, hub=hub)[
        "alice"
    ]
    clear = run_clear(program, fmt, dict.fromkeys(OWNERS, data))
    for i, want in enumerate(answers(k, groups)):
        np.testing.assert_allclose(got[f"r{i}"], want, rtol=0, atol=1e-12)
        np.testing.assert_allclose(clear[f"r{i}"], want, rtol=0, atol=1e-12)
    cost = predict(program, protocol, fmt, OWNERS, OWNERS, dealer)
    meters = {name: hub.mesh(name).meter for name in hub.names}
    sent = {(a, b): t.payload_sent for a, m in meters.items() for b, t in m.peers.items() if t.frames_sent}
    assert {link: size for link, size in cost.links.items() if size} == sent
    assert cost.rounds == max(m.rounds for m in meters.values())
    dearer = predict(before, protocol, fmt, OWNERS, OWNERS, dealer)
    # Additive shares send both operands of a product whole: there an owner's bits may cost a little more (0097).
    assert sum(sent.values()) < sum(dearer.links.values()) * (1.1 if owned and protocol == "semi2k" else 1)
    assert cost.rounds <= dearer.rounds


def test_one_use_of_a_key_stays_as_it_is() -> None:
    trace = Trace()
    v = trace.input("v", "alice", (1, ROWS, 1), "fixed", -2, 2)
    k = trace.input("k", "bob", (1, ROWS), "int", 0, 9)
    public = trace.const(rng.integers(0, 9, (1, ROWS)))
    out = [trace.bind("spread", [v, at], {"size": 10, "last": False})[0] for at in (k, public, public)]
    # An owner's own sums are its own affair.
    own = [
        trace.bind("spread", [trace.const(c), k], {"size": 10, "last": False})[0]
        for c in V.T[:2, None, :, None]
    ]
    for i, a in enumerate([*out, *own]):
        reveal(a, why="test", name=f"r{i}")
    program = trace.program()
    assert once_hot(program) is program


def test_keys_in_loops_are_taken_apart_once() -> None:
    trace = Trace()
    k = trace.input("k", "bob", (1, ROWS), "int", 0, 2) + trace.input("n", "carol", (), "int", 0, 0)

    def step(consts: Any, carry: Any, row: Any) -> Any:
        (at,), (now,) = consts, carry
        sums = at.context.bind("spread", [fn.expand_dims(now, 2), at], {"size": 3, "last": False})[0]
        found = fn.reshape(at.context.bind("lookup", [sums, at], {})[0], (1, ROWS))
        return [fn.minimum(found, 5)], []

    (last,), _ = repeat(step, [k], [k * 0 + 1], [(0, 5)], [np.zeros((2, 1))])
    reveal(last, why="test", name="r")
    after = once_hot(trace.program())
    (loop,) = (e for e in after.eqns if e.op == "scan")
    assert [e.op for e in loop.params["body"].eqns].count("hot") == 1
    where = rng.integers(0, 3, ROWS)
    found = run_on_shares(
        after, {"bob": {"k": where[None]}, "carol": {"n": np.zeros((), int)}}, "rep3", FMT, 3
    )
    want = np.ones(ROWS)
    for _ in range(2):
        want = np.minimum(np.bincount(where, want, 3)[where], 5)
    assert np.array_equal(found["r"].reshape(-1), want)


def test_malformed_bits_are_refused() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (1, 6, 2), "fixed", -2, 2)
    k = trace.input("k", "bob", (1, 4), "int", 0, 5)
    highs, lows = trace.bind("hot", [k], {"size": 6, "low": 1})
    for size, low in ((6, 3), (1, 0)):
        with pytest.raises(ShapeError, match="has no such bits"):
            trace.bind("hot", [k], {"size": size, "low": low})
    with pytest.raises(RangeError, match="5 places"):
        trace.bind("hot", [k], {"size": 5, "low": 1})
    with pytest.raises(DataError, match="parameters"):
        trace.bind("hot", [k], {"size": 6})
    for bits, why in (
        ([highs], "3 places for an index up to 5"),
        ([lows[:, :2]], "no bits"),
        ([highs, k], "no bits"),
    ):
        with pytest.raises(ShapeError, match=why):
            trace.bind("lookup", [x, k, *bits], {})
        with pytest.raises(ShapeError, match=why):
            trace.bind("spread", [x[:, :4], k, *bits], {"size": 6, "last": False})
