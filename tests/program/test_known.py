"""What one party knows stays known: results of a loop of no turns, and what a check in the clear sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tacit import testing
from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Aval, Program
from tacit.array.runtime import Format, Runtime
from tacit.study import run_clear

FMT = Format(64, 16)
PARTIES = ("alice", "bob", "carol", "dave")
X = np.array([1.5, -2.0])


def run(program: Program, arrays: dict[str, Any]) -> dict[str, Any]:
    def body(p: Any) -> Any:
        return Runtime(p, FMT, PARTIES).run(program, arrays.get(p.party.name, {}))

    return testing.run("rep3", 64, body, clients=("dave",))


@pytest.mark.parametrize("mixed", [False, True])
def test_a_loop_of_no_turns(mixed: bool) -> None:
    """Its stacked results are empty, of each kind: at their owner, and on shares."""
    trace, body = Trace(), Trace()
    x = trace.input("x", "alice", (2,), "fixed", -4, 4)
    x = x + trace.input("y", "bob", (2,), "fixed", -4, 4) if mixed else x
    carry = body.parameter(x.aval)
    inner = body.program([carry, carry * 2.0, carry < 1])
    params = {"n_consts": 0, "n_carry": 1, "length": 0, "reverse": False, "body": inner}
    last, numbers, truths = trace.bind("scan", [x], params)
    for name, each in (("last", last), ("numbers", numbers), ("truths", ~truths)):
        reveal(each, why="test", name=name)
    program, arrays = trace.program(), {"alice": {"x": X}, "bob": {"y": X}}
    for found in (run_clear(program, FMT, arrays), *run(program, arrays).values()):
        assert np.array_equal(found["last"], 2 * X if mixed else X)
        assert found["numbers"].shape == found["truths"].shape == (0, 2)
        assert found["truths"].dtype == np.bool_


def test_a_result_of_one_party_is_computed_with() -> None:
    """A check in the clear stands for that party, too."""
    trace = Trace()
    x, y = (trace.input("x", o, (2,), "fixed", -4, 4) for o in ("alice", "bob"))
    body = Trace()
    carry, row = (body.parameter(Aval((), "fixed", -8, 8, f"owner:{o}")) for o in ("dave", "dave"))
    params = {"n_consts": 0, "n_carry": 1, "length": 2, "reverse": False}
    params["body"] = body.program([fn.clip(carry * 0.5 + row, -8, 8)])
    for_dave = reveal(x + y, ["dave"], why="test", name="sum") * 2.0
    start = trace.const(0.0)
    (end,) = trace.bind("scan", [start, fn.clip(for_dave, -8, 8)], params)
    reveal(for_dave + x, why="test", name="all")
    reveal(end, why="test", name="end")
    program, arrays = trace.program(), {o: {"x": X} for o in ("alice", "bob")}
    assert Aval((2,), "fixed", -16, 16, "owner:dave") == for_dave.aval and end.aval.owner == "dave"
    for found in (run_clear(program, FMT, arrays), *run(program, arrays).values()):
        assert np.allclose(found["all"], 5 * X, atol=1e-3)
        assert np.allclose(found["end"], -5.0, atol=1e-3)
