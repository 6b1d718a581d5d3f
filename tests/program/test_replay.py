"""What a run prepares and keeps for the next one changes no value."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

import tacit
from tacit import testing
from tacit.array import functions as fn
from tacit.array import ops
from tacit.array.analyse import predict
from tacit.array.interpret import Trace
from tacit.array.program import Aval, Program, parse
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.steps import prepared
from tacit.core.timing import PRESETS, Network
from tacit.study import run_clear

X = np.array([0.5, -1.25, 2.0])
ROWS = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25], [4.0, 0.0, -2.0]])


def looped() -> Program:
    """Return x + Σ 2·row + 1 by a loop whose rows are constants of the program outside, but not of the body."""
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", -4, 4)

    def body(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        doubled = row[0] * 2.0 + row[0].context.const(1.0)
        return [tacit.assume(carry[0] + doubled, -64, 64)], []

    (total,), _ = repeat(body, [], [x], [(-64, 64)], [ROWS])
    tacit.reveal(total, why="test", name="total")
    return trace.program()


def test_constants_of_a_loop_are_those_of_its_turn() -> None:
    with tacit.simulate("rep3", seed=3) as s:
        for x in (X, -X):
            found = s.run(looped(), {"alice": {"x": x}})["carol"]["total"]
            assert np.allclose(found, x + (2 * ROWS + 1).sum(0), atol=1e-4)


def test_a_program_runs_again_with_other_inputs_and_computes_its_constants_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[str] = Counter()
    for name in ("broadcast", "neg"):
        op = ops.table()[name]

        def counted(vals: Any, params: Any, name: str = name, clear: Any = op.clear) -> Any:
            calls[name] += 1
            return clear(vals, params)

        replaced = ops.Op(op.name, op.abstract, counted, op.lower, op.need, op.exact, op.local, op.error)
        monkeypatch.setitem(ops.table(), name, replaced)
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", -4, 4)
    factor = -trace.const(-3.0)
    tacit.reveal(fn.maximum(x * factor + 0.25, 0.0), why="test", name="out")
    program = trace.program()
    with tacit.simulate("rep3", seed=3) as s:
        first = s.run(program, {"alice": {"x": X}})["bob"]["out"]
        once = calls.copy()
        second = s.run(program, {"alice": {"x": -X}})["bob"]["out"]
    assert once["neg"] and calls == once
    assert np.allclose(first, np.maximum(3 * X + 0.25, 0), atol=1e-4)
    assert np.allclose(second, np.maximum(-3 * X + 0.25, 0), atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_what_a_loop_carries_is_as_visible_as_it_becomes(length: int) -> None:
    """A value may turn secret in fewer iterations than it takes until all that it makes secret has."""
    trace = Trace()
    x, y, z = (trace.input("x", owner, (3,), "fixed", -4, 4) for owner in ("alice", "bob", "bob"))

    def body(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        a, b, c = carry
        made = [a * consts[0], a * 0.5 + b, b - c * row[0]]
        return [fn.clip(v, -8, 8) for v in made], [c * 2]

    ends, rows = repeat(body, [x + y], [z, z * 0.5, z - 1], [(-8, 8)] * 3, [np.arange(1.0, length + 1)])
    for i, v in enumerate([*ends, *rows]):
        tacit.reveal(v + z, why="test", name=f"r{i}")
    program = trace.program()
    given = {"alice": {"x": X}, "bob": {"x": X[::-1].copy()}}
    want = run_clear(program, Format(64, 16), given)
    with tacit.simulate("rep3", seed=3) as s:
        found = s.run(program, given)["carol"]
    assert all(np.allclose(found[k], v, atol=1e-2) for k, v in want.items())


def test_what_is_kept_of_a_step_is_that_of_what_is_known_of_its_inputs() -> None:
    """A step whose input was shared must not be taken for one whose input an owner knows, nor the other way round."""
    trace = Trace()
    x = trace.input("x", "alice", (2, 3), "fixed", -4, 4)
    moved = fn.concat([x[::-1, 1:].T, x[:, :2]])
    tacit.reveal(moved * moved + moved, why="test", name="out")
    program, known = trace.program(), program_input_aval(trace.program())

    def body(p: Any) -> None:
        rt, me = Runtime(p, Format(64, 16), testing.NAMES[:3]), p.party.name
        for turn in range(3):
            for where in ("secret", "owner:alice", "public"):
                data = np.arange(6.0).reshape(2, 3) / 4 - turn
                aval = replace(known, where=where)
                mine = data if where == "public" or me == "alice" else None
                value = Value(aval, mine)
                if where == "secret":
                    encoded = p.ring.encode_floats(data, 16) if me == "alice" else None
                    value = Value(aval, None, p.share_input("alice", encoded, (2, 3)))
                sent = p.party.mesh.meter.total.payload_sent
                rt.block(program, [value])
                if where == "public":
                    assert p.party.mesh.meter.total.payload_sent == sent
                expected = np.concatenate([data[::-1, 1:].T, data[:, :2]])
                assert np.allclose(rt.opened["out"], expected**2 + expected, atol=2**-14), (turn, where)

    testing.run("rep3", 64, body)


def program_input_aval(program: Program) -> Aval:
    """Return what is known of a program's only input."""
    (spec,) = program.inputs
    return spec.aval


OWNERS = ("alice", "bob", "carol")


def kinds_of_steps() -> Program:
    """Return a Program of constants of the text, alone and in a row beside others, and of secret steps."""
    trace = Trace()
    x, y = (trace.input(v, o, (3,), "fixed", -4, 4) for v, o in (("x", "alice"), ("y", "bob")))
    z = x + y
    sides = z, -z
    ends = [-trace.const(np.array(end)) for end in ([-1.5, 2.0, 3.0], [-1.0, 0.0, 6.0])]
    a, b = [fn.equal(*each) for each in zip(sides, ends, strict=True)]  # side by side
    tacit.reveal(fn.logical_or(a, b), why="test", name="r")
    tacit.reveal(z * ends[0], why="test", name="q")
    return parse(trace.program().text())


def plan_of(program: Program, p: Any, fmt: Format, opened: bool = False) -> Any:
    """Return what can be compared of what is prepared."""
    found = prepared(program, [spec.aval for spec in program.inputs], p, fmt, opened)
    steps = [
        ([e.outs for e in s.eqns], s.ends, s.left, s.rounding, s.shared, s.fixed, s.text, s.outs)
        for s in found.steps
    ]
    return steps, found.needed, [(s.op is None, s.rule is None, s.move is None) for s in found.steps]


def test_what_is_prepared_is_kept_with_the_program_and_results_with_the_session() -> None:
    program = kinds_of_steps()
    inputs = {"alice": {"x": X}, "bob": {"y": 2 * X}}

    def body(p: Any) -> Runtime:
        rt = Runtime(p, Format(), OWNERS)
        found = rt.run(program, inputs.get(rt.me, {}))
        assert found["r"].tolist() == [True, False, True]
        assert np.allclose(found["q"], 3 * X * [1.5, -2, -3], atol=1e-3)
        return rt

    runs = [rt for seed in (1, 2) for rt in testing.run("rep3", 64, body, seed=seed).values()]
    plans = [next(iter(rt._plans.values())).steps for rt in runs]
    for same in zip(*plans, strict=True):
        own = same[0].fixed or bool(same[0].text)
        assert len({id(step) for step in same}) == (len(runs) if own else 1)
        assert all((step.kept is not None) == step.fixed for step in same)
        assert all(bool(step.joined) == bool(step.text) for step in same)
    for what in ("fixed", "text"):
        assert {bool(getattr(step, what)) for step in plans[0]} == {False, True}, what
    (kept,) = (known for key, known in program.memo.items() if key[0] == "steps")
    assert all(step.kept is None and not step.joined for step in kept[1])


def test_what_is_kept_of_a_program_is_of_its_network_format_and_openings() -> None:
    """What was prepared for one is never taken for another; nor what the cost model makes of it."""
    trace = Trace()
    x, z = (trace.input(v, o, (8, 1), "fixed", -1, 1) for v, o in (("x", "alice"), ("z", "carol")))
    y = trace.input("y", "bob", (1, 64), "fixed", -1, 1)
    both = x * z
    tacit.reveal(both @ y, why="test", name="r")  # when it is rounded is a matter of the network
    program = parse(trace.program([both * both]).text())
    formats = Format(64, 16), Format(128, 40), Format(64, 12)
    networks = *PRESETS.values(), Network("narrow", 1000, 20_000)
    found: dict[Any, Any] = {}
    for turn in range(2):
        for network, fmt, opened in product(networks, formats, (False, True)):
            predict(program, "rep3", fmt, OWNERS, OWNERS, network=network)

            def body(p: Any, fmt: Format = fmt, opened: bool = opened) -> Any:
                return plan_of(program, p, fmt, opened), plan_of(parse(program.text()), p, fmt, opened)

            for kept, fresh in testing.run("rep3", fmt.width, body, network=network).values():
                assert kept == fresh, (turn, network, fmt, opened)
                found[network.name, fmt, opened] = fresh
    usual = found["loopback", formats[0], False]
    assert any(usual != found[network.name, formats[0], False] for network in networks)
    assert usual != found["loopback", formats[1], False]
    assert usual != found["loopback", formats[0], True]
