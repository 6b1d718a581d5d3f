"""Loops that have nothing to do with each other take their turns together: the same answers in the rounds of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted
from on_shares import OWNERS

from tacit import testing
from tacit.array import functions as fn
from tacit.array import loop
from tacit.array.abreast import abreast
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Program, parse
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime
from tacit.study import run_clear

FMT = Format(64, 16)
TURNS, N = 4, 6
RNG = np.random.default_rng(104)
X = np.round(RNG.uniform(-2, 2, (3, N)) * 2**16) / 2**16
DATA = {owner: {"x": X[i]} for i, owner in enumerate(OWNERS)}
Turn = Callable[[list[Any], list[Any], list[Any]], tuple[list[Any], list[Any]]]


def inputs(trace: Trace) -> list[Any]:
    x, y, z = (trace.input("x", owner, (N,), "fixed", -2, 2) for owner in OWNERS)
    return [x + y, y - z, z]


def fitted(a: Any, weights: Any, rows: Any) -> Any:
    """Record one loop that compares, selects and multiplies, with a public table."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        (w,) = carry
        step = fn.where(w < consts[0], row[0], -0.25)
        after = fn.clip(w * consts[1] * 0.5 + step, -4, 4)
        return [after], [fn.sum(after)]

    (end,), (sums,) = repeat(turn, [a, weights], [weights * 0.5], [(-4, 4)], [rows])
    return fn.concat([end, sums])


def folds(count: int) -> Program:
    """Record as many loops alike, which read the same array."""
    trace = Trace()
    a, b, c = inputs(trace)
    for k in range(count):
        table = np.linspace(0.125 * k, 1, TURNS)
        reveal(fitted(a, b + 0.25 * k, table) + fn.sum(c), why="test", name=f"fold{k}")
    return trace.program()


def mixed() -> Program:
    """Record loops of other bodies, two of as many turns within another, one of more turns, one that reads another."""
    trace = Trace()
    a, b, c = inputs(trace)

    def counts(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        n, m = carry
        hit = consts[0] > row[0]
        return [n + fn.sum(fn.astype(hit, "int")), m | hit], [hit]

    def inner(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        return [fn.clip(carry[0] * carry[0] - row[0], -2, 2)], []

    def outer(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        p, q = carry
        (p,), _ = repeat(inner, [], [p], [(-2, 2)], [[0.5, 1.0]])
        (q,), _ = repeat(inner, [], [q], [(-2, 2)], [[1.5, 0.25]])
        return [p, q], [p * q]

    truth = fn.sum(a) < 100
    table = np.linspace(-1, 1, TURNS)
    first, hits = repeat(
        counts, [a], [fn.sum(fn.astype(truth, "int")) * 0, b < c], [(0, 1 << 16), (0, 1)], [table]
    )
    second = fitted(b, c * 0.5, table)
    nested, rows = repeat(outer, [], [fn.clip(a, -2, 2), fn.clip(b, -2, 2)], [(-2, 2)] * 2, [table])
    third = fitted(c, second[:N], table)
    more = fitted(c, b, np.linspace(0, 1, TURNS + 1))
    for i, each in enumerate([*first, *hits, second, *nested, *rows, third, more]):
        reveal(each, why="test", name=f"r{i}")
    return trace.program()


def loops(program: Program) -> list[int]:
    """Return how many values each loop carries, those within loops behind."""
    found = [e.params["n_carry"] for e in program.eqns if e.op == "scan"]
    for e in program.eqns:
        if e.op == "scan":
            found += loops(e.params["body"])
    return found


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize("make", [lambda: folds(3), mixed], ids=["folds", "mixed"])
def test_the_same_answers_as_predicted(make: Callable[[], Program], protocol: str) -> None:
    plain = make()
    program = parse(optimise(plain).text())
    dealer = testing.dealer_of(protocol, "dave")

    def body(p: Any) -> Any:
        learned = Runtime(p, FMT, OWNERS).run(program, DATA.get(p.party.name, {}))
        return learned, p.party.mesh.meter.snapshot()

    out = testing.run(protocol, FMT.width, body, dealer=dealer, seed=7)
    assert_as_predicted(
        {n: m for n, (_, m) in out.items()}, predict(program, protocol, FMT, OWNERS, OWNERS, dealer)
    )
    want = run_clear(plain, FMT, DATA)
    assert want.keys() == out["bob"][0].keys()
    for name, value in want.items():
        assert np.allclose(out["bob"][0][name], value, atol=40 * 2.0**-FMT.frac_bits), name


def test_as_many_rounds_as_one() -> None:
    one, four = (predict(optimise(folds(k)), "rep3", FMT, OWNERS, OWNERS) for k in (1, 4))
    assert one.rounds <= four.rounds <= one.rounds + 2


def test_which_are_one() -> None:
    made = optimise(folds(3))
    assert loops(made) == [3]
    (eqn,) = (e for e in made.eqns if e.op == "scan")
    assert eqn.params["n_consts"] == 4  # `a` once
    # Those of other lengths, and what reads another's result, stay; within the nested loop there is one of two.
    assert sorted(loops(optimise(mixed()))) == [1, 1, 2, 5]


def test_ranges_stay() -> None:
    for plain in (folds(3), mixed()):
        before, after = (
            sorted(str(infer(p)[e.ins[0]]) for e in p.reveals()) for p in (plain, optimise(plain))
        )
        assert before == after


def test_loops_stay_where_their_ranges_are_not_found_together(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace()
    a, b, _ = inputs(trace)

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        return [carry[0] + fn.maximum(consts[0], row[0])], []

    for i, x in enumerate((a, b)):
        ((end,), _) = repeat(turn, [x], [x * 0.5], [(-4, 4)], [np.linspace(0, 1, 40)])
        reveal(end, why="test", name=f"r{i}")
    program = trace.program()
    assert loops(optimise(program)) == [2]
    body = next(e for e in program.eqns if e.op == "scan").params["body"]
    monkeypatch.setattr(loop, "MAX_TURNS", 41 * len(body.eqns))
    fresh = parse(program.text())
    assert loops(optimise(fresh)) == [1, 1]


def test_a_program_without_loops_is_the_same() -> None:
    trace = Trace()
    program = trace.program([fn.sum(inputs(trace)[0])])
    assert abreast(program) is program
