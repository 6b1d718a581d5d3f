"""Passes change the cost, not the answer; the predicted cost is the metered cost, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jax import lax
from metering import assert_as_predicted

import tacit
from tacit import testing
from tacit.array import functions as fn
from tacit.array.analyse import plan, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.order import argmax, argmin
from tacit.array.passes import localise, once, prune
from tacit.array.program import Program, parse
from tacit.array.ranges import fit
from tacit.array.repeat import repeat
from tacit.array.runtime import Format, Runtime
from tacit.frontends.jax import trace_jax

OWNERS = {"alice": 7, "bob": 5, "carol": 4, "dave": 3}
COMPUTE = ("alice", "bob", "carol")
Body = Callable[[Any, Any], dict[str, Any]]


def pooled(body: Body) -> Program:
    trace = Trace()
    xs = [trace.input("x", o, (n, 3), "fixed", -10, 10) for o, n in OWNERS.items()]
    ps = [trace.input("p", o, (n,), "bool", 0, 1) for o, n in OWNERS.items()]
    for name, value in body(fn.concat(xs), fn.concat(ps)).items():
        reveal(value, why="test", name=name)
    return trace.program()


def top(x: Any, k: int) -> list[Any]:
    return list(x.context.bind("top", [x], {"k": k}))


def _mean(x: Any, p: Any) -> dict[str, Any]:
    n = reveal(p.sum(), why="count", name="n")
    return {"mean": fn.where(p[:, None], x, 0.0).sum(axis=0) / fn.maximum(n, 1)}


BODIES: dict[str, Body] = {
    "sum": lambda x, p: {"s": x.sum(axis=0), "t": (x * x).sum()},
    "mean": _mean,
    "gram": lambda x, p: {"g": (x * 0.1).T @ (x * 0.1)},
    "moment": lambda x, p: {"m": (x.T * fn.astype(p, "fixed")) @ x},
    "compare": lambda x, p: {"c": fn.astype((x[:, 0] > 1.5) & p, "int").sum()},
    "public rows": lambda x, p: {"w": (x * np.arange(19.0)[:, None]).sum(axis=0)},
    "fit": lambda x, p: {"y": x @ np.array([0.5, -1.0, 2.0])},
    "reshaped": lambda x, p: {"r": x.reshape(19, 3, 1)[:, 1:, :].sum(axis=(0, 2))},
    "columns": lambda x, p: {
        "d": fn.stack([x[:, 0], x[:, 2] * 2.0, fn.astype(p, "fixed")], axis=1).sum(axis=0)
    },
    "maximum": lambda x, p: {"h": fn.max(x, axis=0)},
    "minimum": lambda x, p: {"h": fn.min(x), "k": fn.min(x, axis=1).sum(), "m": fn.min(x, axis=(0, 1))},
    # Two rows are alike in whole tens, so that the first of them is asked for.
    "place": lambda x, p: {
        "i": argmax(fn.floor(x * 0.1), axis=0),
        "j": argmin(fn.floor(x * 0.1), axis=0),
        "k": (argmax(x, axis=1) * np.arange(19)).sum(),
    },
    "every": lambda x, p: {
        "a": fn.all(x > -9.5, axis=0),
        "b": fn.any(x > 9.5),
        "c": fn.astype(fn.any(x > 9, axis=1), "int").sum(),
        "d": fn.all(p, keepdims=True),
    },
    "top": lambda x, p: {
        "v": top(fn.floor(x.T), 2)[0],
        "i": top(fn.floor(x.T), 2)[1],
        "w": top(x[:, 0], 5)[0],
        "n": top(fn.astype(fn.floor(x[:, 1]), "int"), 7)[1],
        "all": top(x[:, 0], 19)[1],
        "rows": top(x, 2)[1].sum(axis=0),
    },
    "spread": lambda x, p: {
        "s": x.context.bind(
            "spread",
            [fn.reshape(x, (1, 19, 3)), fn.reshape(fn.astype(fn.floor(fn.abs(x[:, 0])), "int"), (1, 19))],
            {"size": 11, "last": False},
        )[0],
        "t": x.context.bind(
            "spread",
            [fn.reshape(x, (19, 3, 1)), fn.reshape(fn.astype(fn.floor(fn.abs(x)), "int"), (19, 3))],
            {"size": 11, "last": False},
        )[0].sum(axis=0),
    },
    "looked up": lambda x, p: {
        "s": x.context.bind(
            "lookup",
            [
                x.context.const(np.arange(11.0).reshape(1, 11, 1) ** 2),
                fn.reshape(fn.astype(fn.floor(fn.abs(x[:, 0])), "int"), (1, 19)),
            ],
            {},
        )[0].sum(),
        # A table for every row.
        "t": x.context.bind(
            "lookup",
            [x.context.const(np.arange(209.0).reshape(19, 11, 1)), fn.astype(fn.floor(fn.abs(x)), "int")],
            {},
        )[0],
    },
    "turned": lambda x, p: {"f": (x[::-1] * 2.0).sum(axis=0), "k": x[:, [2, 0]].sum(axis=0)},
}


def run(program: Program, fmt: Format) -> tuple[dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(11)
    data = {o: {"x": rng.uniform(-10, 10, (n, 3)), "p": rng.random(n) < 0.7} for o, n in OWNERS.items()}

    def body(p: Any) -> Any:
        runtime = Runtime(p, fmt, tuple(OWNERS))
        return runtime.run(program, data[p.party.name]), p.party.mesh.meter.snapshot()

    out = testing.run("rep3", fmt.width, body, clients=("dave",), seed=3)
    return {n: r for n, (r, _) in out.items()}, {n: s for n, (_, s) in out.items()}


@pytest.mark.parametrize("name", BODIES)
def test_local_computation_keeps_the_answer_and_lowers_the_cost(name: str) -> None:
    whole = prune(pooled(BODIES[name]))
    local = localise(whole)
    fmt = fit(whole)
    answers = []
    for program in (whole, local):
        results, meters = run(parse(program.text()), fmt)
        for other in results.values():
            assert all(np.array_equal(results["alice"][k], other[k]) for k in other)
        answers.append(results["dave"])
        cost = predict(program, "rep3", fmt, COMPUTE, tuple(OWNERS))
        assert_as_predicted(meters, cost)
    for key, value in answers[0].items():
        # Rounding differs: once per owner's total instead of once per row or product.
        assert np.allclose(
            np.asarray(value, float), np.asarray(answers[1][key], float), atol=400 * 2.0**-fmt.frac_bits
        )
    before, after = (predict(p, "rep3", fmt, COMPUTE, tuple(OWNERS)).total_bytes for p in (whole, local))
    assert after <= before


MIXED: dict[str, Callable[[Any], Any]] = {
    "greatest": lambda x: fn.max(x, axis=0),
    "least of columns": lambda x: fn.min(x, axis=1),
    "where": lambda x: argmax(fn.floor(x), axis=0),
    "any": lambda x: fn.any(x > 2, axis=0),
    "top": lambda x: fn.concat(top(fn.floor(x[:, 0]), 1) + top(x[:, 1], 3)[1:]),
    "sums": lambda x: x.context.bind(
        "spread",
        [fn.reshape(x, (1, 8, 2)), fn.reshape(fn.astype(fn.floor(fn.abs(x[:, 1])), "int"), (1, 8))],
        {"size": 17, "last": False},
    )[0],
}


@pytest.mark.parametrize("name", MIXED)
def test_rows_of_which_nobody_knows_some_and_everybody_others(name: str) -> None:
    trace = Trace()
    a, b = (trace.input("x", owner, (2, 2), "fixed", -4, 4) for owner in ("alice", "bob"))
    rows = [a, a * b, trace.const(np.array([[3.5, -3.5], [1.0, 4.0]])), b]
    reveal(MIXED[name](fn.concat(rows)), why="test", name="r")
    whole = prune(trace.program())
    local = localise(whole)
    rng = np.random.default_rng(5)
    data = {o: {"x": np.round(rng.uniform(-4, 4, (2, 2)), 2)} for o in ("alice", "bob")} | {"carol": {}}
    fmt, found = fit(whole), []
    for program in (whole, local):

        def body(p: Any, program: Program = program) -> Any:
            return Runtime(p, fmt, COMPUTE).run(program, data[p.party.name])

        ran = testing.run("rep3", fmt.width, body, seed=4)
        found.append(np.asarray(ran["carol"]["r"], float))
    np.testing.assert_allclose(found[0], found[1], atol=8 * 2.0**-fmt.frac_bits)
    shared = "\n".join(plan(local, "rep3", fmt, COMPUTE, COMPUTE).shared)
    assert ("extreme of" in shared) == (name == "greatest"), shared


UNSPLIT: dict[str, Callable[[Any], Any]] = {
    "any": lambda x: fn.any(x > 2, axis=0),
    "any of each row": lambda x: fn.astype(fn.any(x > 2, axis=1), "int").sum(),
    "greatest of each row": lambda x: fn.max(x, axis=1).sum(),
    "top": lambda x: top(x[:, 0], 3)[1].sum(),
    "where": lambda x: argmax(x, axis=0),
    "sums": lambda x: x.context.bind(
        "spread",
        [fn.reshape(x, (1, 80, 2)), fn.reshape(fn.astype(fn.floor(fn.abs(x[:, 1])), "int"), (1, 80))],
        {"size": 17, "last": False},
    )[0],
    "looked up": lambda x: x.context.bind(
        "lookup",
        [
            x.context.const(np.arange(17.0).reshape(1, 17, 1)),
            fn.reshape(fn.astype(fn.floor(fn.abs(x[:, 1])), "int"), (1, 80)),
        ],
        {},
    )[0].sum(),
    "a loop": lambda x: trace_jax(lambda x: lax.fori_loop(0, 4, lambda _, c: c * c * 0.01 + x, x).sum(), [x]),
}


@pytest.mark.parametrize("name", UNSPLIT)
def test_rows_that_nobody_knows_stay_together(name: str) -> None:
    """Parts of them, each by itself, would take the rounds of each."""
    trace = Trace()
    parts = []
    for i in range(7):
        a, b = (trace.input(f"x{i}", owner, (10, 2), "fixed", -4, 4) for owner in ("alice", "bob"))
        parts.append(a * b)
    parts.append(trace.input("y", "carol", (10, 2), "fixed", -4, 4))
    reveal(UNSPLIT[name](fn.concat(parts)), why="test", name="r")
    whole = prune(trace.program())
    local = localise(whole)
    fmt = fit(whole)
    before, after = (predict(p, "rep3", fmt, COMPUTE, COMPUTE) for p in (whole, local))
    assert after.rounds <= before.rounds + 1
    assert after.total_bytes <= 1.1 * before.total_bytes
    assert [e.op for e in local.eqns].count("scan") == (name == "a loop")


def test_a_loop_is_not_written_out_for_more_owners_than_a_program_should_hold() -> None:
    for owners, stays in ((3, False), (60, True)):
        trace = Trace()
        xs = [trace.input("x", f"o{i}", (4,), "fixed", -1, 1) for i in range(owners)]

        def steps(x: Any) -> Any:
            return lax.fori_loop(0, 12, lambda _, c: 0.5 * (0.5 * c * c + x) - 0.25 * x + 0.125 * c, x).sum()

        reveal(trace_jax(steps, [fn.concat(xs)]), why="test", name="r")
        ops = [e.op for e in localise(trace.program()).eqns]
        assert ("scan" in ops) == stays, (owners, len(ops))


def test_parts_without_rows_are_left_out() -> None:
    trace = Trace()
    a, b = (trace.input("x", owner, (4,), "int", 0, 9) for owner in ("alice", "bob"))
    x = fn.concat([a[4:], b, a[:0]])
    for i, r in enumerate((fn.max(x), argmax(x), fn.any(x > 3), fn.all(x > 0), x.sum())):
        reveal(r, why="test", name=f"r{i}")
    program = localise(trace.program())
    data = {"alice": {"x": np.array([9, 9, 9, 9])}, "bob": {"x": np.array([1, 7, 2, 7])}, "carol": {}}
    fmt = fit(program)
    ran = testing.run("rep3", fmt.width, lambda p: Runtime(p, fmt, COMPUTE).run(program, data[p.party.name]))
    assert [int(ran["carol"][f"r{i}"]) for i in range(5)] == [7, 1, 1, 1, 17]


@pytest.mark.parametrize("columns", [1, 3, 48, 64, 65])
@pytest.mark.parametrize("rows", [2, 63, 65, 130, 201, 1000, 9001])
def test_every_row_counts(rows: int, columns: int) -> None:
    """One that is false, wherever it is, among those left over too."""
    if rows * columns > 70_000:
        columns = 5
    rng = np.random.default_rng(rows + columns)
    x = np.ones((rows, columns), bool)
    ends = [0, rows // 2, rows - 2, rows - 1]
    x[rng.choice([*ends, *rng.integers(0, rows, 4)], columns), np.arange(columns)] = rng.random(columns) < 0.3
    trace = Trace()
    a, b = (trace.input("x", owner, x.shape, "bool", 0, 1) for owner in ("alice", "bob"))
    reveal(fn.all(a ^ b, axis=0), why="test", name="r")
    program, mask = trace.program(), rng.random(x.shape) < 0.5
    fmt = fit(program)
    data: dict[str, dict[str, Any]] = {"alice": {"x": x ^ mask}, "bob": {"x": mask}, "carol": {}}

    def body(p: Any) -> Any:
        return Runtime(p, fmt, COMPUTE).run(program, data[p.party.name]), p.party.mesh.meter.snapshot()

    out = testing.run("rep3", fmt.width, body, seed=rows)
    np.testing.assert_array_equal(np.asarray(out["bob"][0]["r"], bool), x.all(0))
    assert_as_predicted({n: m for n, (_, m) in out.items()}, predict(program, "rep3", fmt, COMPUTE, COMPUTE))


def test_very_many_rows_are_planned_at_once() -> None:
    trace = Trace()
    a, b = (trace.input("x", owner, (1 << 26,), "bool", 0, 1) for owner in ("alice", "bob"))
    reveal(fn.all(a ^ b), why="test", name="r")
    program = trace.program()
    assert predict(program, "rep3", fit(program), COMPUTE, COMPUTE).rounds < 40


def test_a_pooled_mean_shares_totals_only() -> None:
    local = localise(pooled(BODIES["mean"]))
    described = plan(local, "rep3", fit(local), COMPUTE, tuple(OWNERS))
    # Two totals an owner, and no rows.
    assert len(described.shared) == 2
    assert all(
        line.startswith("alice, bob, carol, dave: ") and "sum of " in line for line in described.shared
    )
    assert not [line for line in described.shared if "×" in line or "as they are" in line]


def test_the_plan_names_everything() -> None:
    program = localise(pooled(BODIES["mean"]))
    text = "\n".join(plan(program, "rep3", fit(program), COMPUTE, tuple(OWNERS)).lines())
    for word in (
        "alice, bob, carol",
        "collude",
        "n (one value) to every party: count",
        "rounds",
        "digest",
        "64-bit",
        "impossible within the declared bounds",
        "of 62 bits, in div at test_passes.py:",
    ):
        assert word in text


def test_pruning_drops_what_no_result_needs() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", -1, 1)
    y = trace.input("y", "bob", (3,), "fixed", -1, 1)
    _ = fn.exp(x * y)
    reveal(x + y, why="test")
    assert [e.op for e in prune(trace.program()).eqns] == ["add", "reveal"]


def test_the_same_equation_is_computed_once() -> None:
    """In loops too; what is fresh every time, or of other parameters, stays."""
    trace = Trace()
    x = trace.input("x", "alice", (4,), "fixed", -1, 1) + trace.input("y", "bob", (4,), "fixed", -1, 1)
    turned, _ = repeat(
        lambda _, c, r: ([(c[0] * c[0] + c[0] * c[0]) * r[0]], []), [], [x], [(-2, 2)], [[0.5] * 3]
    )
    for i, a in enumerate((fn.mean(x) * fn.mean(x), fn.mean(x[:2]), turned[0])):
        reveal(a, why="test", name=f"r{i}")
    for i in range(2):
        reveal(trace.bind("shuffle", [x], {})[0], why="test", name=f"s{i}")
    whole = prune(trace.program())
    program = once(whole)
    ops = [e.op for e in program.eqns]
    assert (ops.count("shuffle"), ops.count("reveal")) == (2, 5)
    assert ops.count("sum") == 2 and len(program.eqns) < len(whole.eqns)
    (loop,) = (e for e in program.eqns if e.op == "scan")
    assert [e.op for e in loop.params["body"].eqns].count("square") == 1
    assert parse(program.text()).text() == once(program).text() == program.text()


def test_what_differs_in_the_order_of_operands_or_a_parameter_stays() -> None:
    trace = Trace()
    x, y = (trace.input("x", o, (4,), "fixed", -1, 1) for o in ("alice", "bob"))
    made = [x - y, y - x, x < y, y < x, fn.cumulative_sum(x, 0), fn.flip(x), tacit.assume(x, 0, 1)]
    made += [x * 0.5, x * -0.5, x - y, tacit.assume(x, -1, 0), x[1:], x[:3]]
    program = prune(trace.program(made))
    # Of x − y alone there were two.
    assert len(once(program).eqns) == len(program.eqns) - 1
