"""What is broadcast is worked on once: the same answers and bounds, at the cost that was predicted (0092)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered

from tacit.algebra.ring import Ring
from tacit.array import beside, blocks, copies, integers
from tacit.array import functions as fn
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.ops import table
from tacit.array.program import Aval, Eqn, Program, parse
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Value
from tacit.array.session import simulate
from tacit.study import run_clear

OWNERS = ("alice", "bob", "carol")
FMT, WIDE = Format(64, 16), Format(128, 30)
SHAPE = (12, 30)
Body = Callable[[Any], Any]


def in_turns(x: Any) -> Any:
    """Divide in a loop by what is broadcast outside of it, and by what is broadcast inside."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        rest = carry[0] / consts[0]
        return [fn.clip(rest / (fn.sum(rest, 1, keepdims=True) + 1), 0, 4)], []

    divisor = fn.broadcast_to(fn.sum(x, 0, keepdims=True), x.shape)
    return repeat(turn, [divisor], [x], [(0, 4)], [[0.0, 1.0]])[0][0]


BODIES: dict[str, Body] = {
    "rows by their sums": lambda x: x / fn.sum(x, 1, keepdims=True),
    "columns by their sums": lambda x: x / fn.sum(x, 0),
    "turned": lambda x: x.T / fn.broadcast_to(fn.sum(x, 1, keepdims=True), x.shape).T,
    "all by one": lambda x: x / fn.sum(x),
    "by a negative": lambda x: (x - 2) / (-fn.sum(x, 1, keepdims=True)),
    "a number by each": lambda x: 1 / fn.broadcast_to(fn.sum(x, 1, keepdims=True), x.shape),
    "after other functions": lambda x: (
        x / fn.sqrt(fn.broadcast_to(fn.sum(x * x, 1, keepdims=True), x.shape) + 0.5)
    ),
    "cut": lambda x: x[:5, 3:] / fn.broadcast_to(fn.sum(x, 1, keepdims=True), x.shape)[:5, 3:],
    "functions": lambda x: fn.exp(fn.broadcast_to(fn.max(x, 0), x.shape)) * x + fn.log(fn.sum(x)),
    "whole numbers": lambda x: integers.floor_divide(
        fn.floor(x * 400), fn.sum(fn.floor(x * 2), 1, keepdims=True) + 1
    ),
    "both": lambda x: fn.broadcast_to(fn.sum(x, 0), x.shape) / fn.sum(x),
    "in turns": in_turns,
}


def recorded(body: Body, shape: tuple[int, ...] = SHAPE) -> Program:
    trace = Trace()
    x = trace.input("x", "alice", shape, "fixed", 0.25, 4)
    y = trace.input("y", "bob", shape, "fixed", 0, 0.25)
    reveal(body(x + y), why="test", name="r")
    return parse(optimise(trace.program()).text())


def given(shape: tuple[int, ...] = SHAPE) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(92)
    return {"alice": {"x": rng.uniform(0.25, 4, shape)}, "bob": {"y": rng.uniform(0, 0.25, shape)}}


@pytest.mark.parametrize("fmt", [FMT, WIDE], ids=str)
@pytest.mark.parametrize("name", BODIES)
def test_the_same_answers_at_the_cost_that_was_predicted(
    name: str, fmt: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = recorded(BODIES[name])
    want = run_clear(program, fmt, given())["r"]

    def run() -> tuple[int, int]:
        with simulate("rep3", OWNERS, seed=3, width=fmt.width, frac_bits=fmt.frac_bits) as session:
            learned, meters = run_metered(session, program, given())
        cost = predict(program, "rep3", fmt, OWNERS, OWNERS)
        assert_as_predicted(meters, cost)
        got = np.asarray(learned["carol"]["r"])
        assert np.allclose(got, want, rtol=2.0**-10, atol=2.0**-12)
        return cost.rounds, sum(cost.links.values())

    rounds, sent = run()
    monkeypatch.setattr(copies, "note", lambda *_: None)
    before = run()
    assert rounds <= before[0] and sent < before[1] * 0.9, (rounds, sent, before)


@pytest.mark.parametrize("axis", [0, 1])
def test_blocks_hold_all_copies_of_their_numbers(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many blocks as there are of divisors, whatever is divided by them; both are cut alike."""
    shape, fmt = ((300, 3), FMT) if axis else ((3, 300), FMT)
    program = recorded(lambda x: x / fn.sum(x, axis, keepdims=True), shape)
    want = run_clear(program, fmt, given(shape))["r"]
    rounds = []
    for step in (1 << 17, 320, 128):
        monkeypatch.setattr(blocks, "elements", lambda network, step=step: step)
        with simulate("rep3", OWNERS, seed=3) as session:
            learned, meters = run_metered(session, program, given(shape))
        cost = predict(program, "rep3", fmt, OWNERS, OWNERS)
        assert_as_predicted(meters, cost)
        assert np.allclose(np.asarray(learned["bob"]["r"]), want, rtol=2.0**-10, atol=2.0**-12)
        rounds.append(cost.rounds)
    assert rounds[0] == rounds[1] < rounds[2]


BESIDE: dict[str, Body] = {
    "quotients": lambda x: x / fn.sum(x, 0)[:1] + (4 - x) / fn.sum(x, 0)[1:2],
    "of rows": lambda x: x / fn.sum(x, 1, keepdims=True) + (4 - x) / fn.sum(4.5 - x, 1, keepdims=True),
    "a number by each": lambda x: (
        (1 / fn.broadcast_to(fn.sum(x, 0)[:1], x.shape)) * (1 / fn.broadcast_to(fn.sum(x, 0)[1:2], x.shape))
    ),
    "functions, and what is divided by them": lambda x: (
        x / fn.exp(fn.broadcast_to(x[0, 0], x.shape)) + (1 + x) / fn.exp(fn.broadcast_to(x[0, 1], x.shape))
    ),
}


@pytest.mark.parametrize("fmt", [FMT, WIDE], ids=str)
@pytest.mark.parametrize("name", BESIDE)
def test_what_is_worked_on_side_by_side_stays_copies(
    name: str, fmt: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two such equations share their rounds, and send no more than one after the other."""
    program, data = recorded(BESIDE[name]), given()
    with simulate("rep3", OWNERS, width=fmt.width, frac_bits=fmt.frac_bits, seed=92) as s:
        learned, meters = run_metered(s, program, data)
    cost = predict(program, "rep3", fmt, OWNERS, OWNERS)
    assert_as_predicted(meters, cost)
    want = run_clear(program, fmt, data)["r"]
    assert np.allclose(learned["alice"]["r"], want, rtol=2.0**-10, atol=2.0**-12)
    monkeypatch.setattr(beside, "JOINED", frozenset())
    alone = predict(recorded(BESIDE[name]), "rep3", fmt, OWNERS, OWNERS)
    assert cost.rounds < alone.rounds
    assert sum(cost.links.values()) <= 1.02 * sum(alone.links.values())


def test_sessions_divide_by_each_number_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, values = [], given()["alice"]["x"]
    for note in (copies.note, lambda *_: None):
        monkeypatch.setattr(copies, "note", note)
        with simulate("rep3", OWNERS, seed=3) as session:
            x = session.input(values, owner="alice", bound=(0.25, 4)) + session.input(
                values * 0, owner="bob", bound=(0, 0.25)
            )
            total = fn.sum(x, 1, keepdims=True)
            reveal(total, why="so that nothing of it is left")
            before = session.traffic()["alice"]
            found = np.asarray(reveal(x / total, why="test"))
            after = session.traffic()["alice"] - before
        assert np.allclose(found, values / values.sum(1, keepdims=True), atol=2.0**-12)
        sent.append(after.total.payload_sent)
    assert sent[0] < sent[1] / 2


def test_copies_are_copies() -> None:
    """Whatever moves an array, along the axes that are noted its elements are the same, and all such axes are noted."""
    rng = np.random.default_rng(92)
    found = 0
    for _ in range(400):
        array = rng.permutation(6.0 * np.arange(1, 7)).reshape((2, 3) if rng.random() < 0.5 else (6, 1))
        value = Value(Aval(array.shape, "fixed", 0, 64))
        for _ in range(5):
            op, params = move(rng, array.shape)
            (out,) = table()[op].abstract([value.aval], params)
            (array,) = table()[op].clear([array], params)
            made = Value(out)
            copies.note(Eqn(op, (0,), (1,), params, ""), [value], [made])
            value = made
        for axis, n in enumerate(array.shape):
            alike = n > 1 and bool(np.all(array == np.take(array, [0], axis)))
            assert alike == (axis in copies.axes(value)), (array.shape, axis)
            found += alike
    assert found > 200


def move(rng: Any, shape: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    """Return an operation that moves an array of a shape, and its parameters."""
    rank = len(shape)
    match rng.integers(5):
        case 0:
            dims = sorted(rng.choice(rank + 1, rank, replace=False).tolist())
            to = [4] * (rank + 1)
            for i, d in enumerate(dims):
                to[d] = shape[i] if shape[i] != 1 else int(rng.integers(1, 4))
            return ("broadcast", {"shape": to, "dims": dims}) if rank < 5 else ("flip", {"axes": [0]})
        case 1:
            return "transpose", {"perm": rng.permutation(rank).tolist()}
        case 2:
            cuts = {"start": [int(n > 2) for n in shape], "stop": list(shape), "steps": [1] * rank}
            return "slice", cuts
        case 3:
            kept = [n for n in shape if n != 1]
            at = int(rng.integers(len(kept) + 1))
            return "reshape", {"shape": [*kept[:at], 1, *kept[at:]]}
        case _:
            return "flip", {"axes": [rank - 1]}


def test_public_copies_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    edges, sizes, encode = np.array([1.0, 2.25, 3.0, 0.1]), [], Ring.encode_floats

    def noted(ring: Ring, values: Any, frac_bits: int) -> Any:
        sizes.append(np.size(values))
        return encode(ring, values, frac_bits)

    def body(x: Any) -> Any:
        wide = (*x.shape, len(edges))
        each = fn.broadcast_to(fn.expand_dims(x, -1), wide)
        all_edges = fn.broadcast_to(x.context.const(edges), wide)
        return fn.astype(each > all_edges, "fixed") + each * all_edges + each / all_edges + (all_edges - each)

    program = recorded(body)
    monkeypatch.setattr(Ring, "encode_floats", noted)
    with simulate("rep3", OWNERS, seed=3) as session:
        learned, _ = run_metered(session, program, given())
    x = sum(v for values in given().values() for v in values.values())[:, :, None]
    want = (x > edges) + x * edges + x / edges + edges - x
    assert np.allclose(np.asarray(learned["bob"]["r"]), want, atol=2.0**-12)
    inputs = 12 * 30
    assert max(sizes) == inputs and sizes.count(len(edges)) > 5
