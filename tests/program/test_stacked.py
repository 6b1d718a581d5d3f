"""Sorts and extremes of columns one after another are those of all columns at once: answers, rounds and bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered
from on_shares import OWNERS

from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.runtime import Format
from tacit.array.session import simulate
from tacit.array.widths import ways
from tacit.core.blocks import elements
from tacit.core.cost import CostModel
from tacit.core.timing import PRESETS
from tacit.protocols import load
from tacit.study import run_clear

PARTIES = OWNERS[:3]
Body = Callable[[Any], Any]
COLUMNS = {
    "median": lambda x: od.median(x),
    "sort": lambda x: od.sort(x),
    "with a column of truth values": lambda x: fn.where(*od.arrange(od.order([x < 0, x]), x > 1, x), 0),
    "max": lambda x: fn.max(x, 0),
    "min of rows": lambda x: fn.min(fn.reshape(x, (4, -1)), 0),
    "argmin": lambda x: od.argmin(x),
    "any": lambda x: fn.any(x > 3),
    "back": lambda x: od.restore(od.order(x), x)[0],
}


def recorded(body: Body, count: int, n: int, kind: str = "fixed") -> Program:
    """Record what is asked of columns that no party knows, one after another."""
    trace, rows = Trace(), []
    for owner in PARTIES[:2]:
        rows.append(trace.input("x", owner, (4, n), kind, -4, 4))
    x = rows[0] + rows[1]
    reveal(fn.stack([body(x[i]) for i in range(count)]), why="test", name="r")
    return optimise(trace.program())


@pytest.mark.parametrize("fmt", [Format(64, 16), Format(128, 30)], ids=str)
@pytest.mark.parametrize("what", COLUMNS)
def test_columns_one_after_another(what: str, fmt: Format) -> None:
    n, kind = 64, "fixed" if what != "argmin" else "int"
    x = np.random.default_rng(1).permutation(4 * n).reshape(4, n) % 8 - 4
    given = {"alice": {"x": x}, "bob": {"x": x // 2}, "carol": {}}
    network, costs = PRESETS["wan"], []
    for count in (1, 4):
        program = recorded(COLUMNS[what], count, n, kind)
        with simulate(width=fmt.width, frac_bits=fmt.frac_bits, parties=PARTIES, network=network) as session:
            found, meters = run_metered(session, program, given)
        cost = predict(program, "rep3", fmt, PARTIES, PARTIES, network=network)
        assert_as_predicted(meters, cost)
        want = run_clear(program, fmt, given)["r"]
        assert np.allclose(found["alice"]["r"], want, atol=2.0**-14)
        costs.append(cost)
    assert costs[1].rounds <= costs[0].rounds + 6
    assert sum(costs[1].links.values()) < 4.5 * sum(costs[0].links.values())


def groups(program: Program, op: str, network: str = "loopback") -> list[int]:
    """Return how many equations of an operation are worked on at a time."""
    model = CostModel("rep3", load("rep3").cards, nowhere(PARTIES, network=PRESETS[network]), Ring(64))
    ins = [i.aval for i in program.inputs]
    return [len(g) for g in ways(program, ins, model, Format(64, 16), False)[1] if g[0].op == op]


def test_as_many_as_a_block_holds() -> None:
    third = elements(PRESETS["loopback"]) // 3
    program = recorded(lambda x: fn.max(x, 0), 4, third)
    assert groups(program, "extreme") == [3, 1]
    assert groups(program, "extreme", "wan") == [4]


def test_what_differs_is_done_by_itself() -> None:
    trace = Trace()
    x, y = (trace.input("x", o, (4, 9), "fixed", -4, 4) for o in PARTIES[:2])
    z = x + y
    wide = fn.assume(z[1] * 2, -16, 16)
    for i, each in enumerate([fn.max(z[0], 0), fn.max(wide, 0), fn.max(z[2, :8], 0), fn.min(z[3], 0)]):
        reveal(each, why="test", name=f"m{i}")
    reveal(od.sort(z[0]), why="test", name="up")
    reveal(od.sort(z[1], descending=True), why="test", name="down")
    program = optimise(trace.program())
    assert groups(program, "extreme") == [1] * 4
    assert groups(program, "order") == [1] * 2
