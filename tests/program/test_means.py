"""Means of what truth values or whole weights choose are known to lie among it, whatever is divided by whatever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from on_shares import OWNERS, run_on_shares

from tacit.array import functions as fn
from tacit.array.analyse import plan, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.means import LEFT, SLACK, WHY, means
from tacit.array.merge import optimise
from tacit.array.ops import table
from tacit.array.program import Program, parse
from tacit.array.ranges import fit
from tacit.array.repeat import repeat
from tacit.array.runtime import Format
from tacit.errors import DataError, RangeError

FMT = Format(64, 16)
Body = Callable[[Any, Any], Any]


def recorded(body: Body, shapes: Any = ((60,), (60,)), most: float = 8) -> Program:
    """Record a function of values in [−most, most / 2] and of keys from 0 to 5, that no party knows."""
    trace, made = Trace(), []
    spans = ("fixed", -most, most / 2), ("int", 0, 5)
    for i, (owner, shape, span) in enumerate(zip(OWNERS[:2], shapes, spans, strict=True)):
        a = trace.input(f"v{i}", owner, shape, *span)
        made.append(a + trace.input(f"z{i}", "carol", shape, span[0], 0, 0))
    reveal(body(*made), why="test", name="r")
    return trace.program()


def given_to(x: Any, k: Any) -> dict[str, dict[str, Any]]:
    zeros = {"z0": np.zeros(np.shape(x)), "z1": np.zeros(np.shape(k), np.int64)}
    return {"alice": {"v0": x}, "bob": {"v1": k}, "carol": zeros}


def known(program: Program) -> tuple[float, float]:
    """Return the range of the result."""
    made = optimise(program)
    a = infer(made)[made.eqns[-1].ins[0]]
    return float(a.lo), float(a.hi)


def count(keep: Any, axis: Any = None) -> Any:
    return fn.maximum(fn.sum(fn.astype(keep, "int"), axis), 1)


def masked(x: Any, k: Any) -> Any:
    return fn.sum(fn.where(k == 2, x, 0.0)) / count(k == 2)


def columns(x: Any, k: Any) -> Any:
    keep = fn.expand_dims(k == 2, axis=1)
    return fn.sum(fn.where(fn.broadcast_to(keep, x.shape), x, 0.0), 0) / count(k == 2)


def rows(x: Any, k: Any) -> Any:
    return fn.sum(fn.where(k == 2, x, 0.0), 1) / count(k == 2, 1)


MEANS: dict[str, tuple[Body, Any, Any]] = {
    "masked": (masked, ((60,), (60,)), lambda x, k: x[k == 2].mean() if (k == 2).any() else 0),
    "by a product": (
        lambda x, k: fn.sum(x * fn.astype(k == 2, "fixed")) / count(k == 2),
        ((60,), (60,)),
        lambda x, k: x[k == 2].mean() if (k == 2).any() else 0,
    ),
    "columns": (
        columns,
        ((60, 3), (60,)),
        lambda x, k: (x * (k == 2)[:, None]).sum(0) / max((k == 2).sum(), 1),
    ),
    "each column": (
        lambda x, k: fn.sum(fn.where(k == 2, x, 0.0), 0) / count(k == 2, 0),
        ((60, 3), (60, 3)),
        lambda x, k: (x * (k == 2)).sum(0) / np.maximum((k == 2).sum(0), 1),
    ),
    "rows": (rows, ((60, 3), (60, 3)), lambda x, k: (x * (k == 2)).sum(1) / np.maximum((k == 2).sum(1), 1)),
    "whole weights": (
        lambda x, k: fn.sum(x * k) / fn.maximum(fn.sum(k), 1),
        ((60,), (60,)),
        lambda x, k: (x * k).sum() / max(k.sum(), 1),
    ),
    "one more": (
        lambda x, k: fn.sum(fn.where(k == 2, x, 0.0)) / (fn.sum(fn.astype(k == 2, "int")) + 1),
        ((60,), (60,)),
        lambda x, k: (x * (k == 2)).sum() / ((k == 2).sum() + 1),
    ),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_lies_among_its_values_or_is_zero(name: str) -> None:
    """Of none, of all, of the greatest or the least alone; the format is chosen for it."""
    body, shapes, clear = MEANS[name]
    program = recorded(body, shapes)
    lo, hi = known(program)
    assert (lo, hi) == (-8 * SLACK, 4 * SLACK)
    program = optimise(program)
    fmt = fit(program)
    assert fmt.width == 64
    x = np.random.default_rng(3).uniform(-8, 4, shapes[0])
    k = np.random.default_rng(4).integers(0, 5, shapes[1])
    alone = np.where(np.arange(k.size).reshape(k.shape) == 7, 2, 0)
    for v, key in (
        (x, k),
        (x, np.zeros_like(k)),
        (x, np.full_like(k, 2)),
        (np.full_like(x, -8), np.full_like(k, 2)),
        (np.full_like(x, 4), alone),
    ):
        got = run_on_shares(program, given_to(v, key), "rep3", fmt, 5)["r"]
        want = clear(v, key)
        assert np.abs(got - want).max() < 1e-4 * np.abs(want).max() + 60 * 2.0**-fmt.frac_bits
        assert np.all((lo <= got) & (got <= hi))


OTHERS: dict[str, tuple[Body, Any]] = {
    "a known count": (lambda x, k: fn.sum(fn.where(np.arange(60) < 9, x, 0.0)) / 9.0, ((60,), (60,))),
    "another mask": (lambda x, k: fn.sum(fn.where(k == 2, x, 0.0)) / count(k == 3), ((60,), (60,))),
    "its opposite": (lambda x, k: fn.sum(fn.where(k == 2, 0.0, x)) / count(k == 2), ((60,), (60,))),
    "not zero": (lambda x, k: fn.sum(fn.where(k == 2, x, 1.0)) / count(k == 2), ((60,), (60,))),
    "copies": (
        lambda x, k: (
            fn.sum(fn.where(fn.broadcast_to(fn.expand_dims(k == 2, axis=1), x.shape), x, 0.0)) / count(k == 2)
        ),
        ((60, 3), (60,)),
    ),
    "other axes": (
        lambda x, k: fn.sum(fn.where(k == 2, x, 0.0), (0, 1)) / count(k == 2, 0)[0],
        ((60, 3), (60, 3)),
    ),
    "another row's count": (
        lambda x, k: fn.sum(fn.where(k == 2, x, 0.0), 1) / count(k == 2, 0),
        ((3, 3), (3, 3)),
    ),
    "turned": (
        lambda x, k: (
            fn.expand_dims(fn.sum(fn.where(k == 2, x, 0.0), 1), axis=1)
            / fn.expand_dims(count(k == 2, 1), axis=0)
        ),
        ((3, 3), (3, 3)),
    ),
    "less": (
        lambda x, k: fn.sum(fn.where(k == 2, x, 0.0)) / fn.maximum(fn.sum(fn.astype(k == 2, "int")) - 1, 1),
        ((60,), (60,)),
    ),
    "the lesser": (
        lambda x, k: fn.sum(fn.where(k == 2, x, 0.0)) / fn.minimum(count(k == 2), 30),
        ((60,), (60,)),
    ),
    "weights below zero": (
        lambda x, k: fn.sum(x * (k - 1)) / fn.maximum(fn.sum(k - 1), 1),
        ((60,), (60,)),
    ),
    "fractions": (
        lambda x, k: (
            fn.sum(x * fn.astype(k, "fixed") * 0.5) / fn.maximum(fn.sum(fn.astype(k, "fixed") * 0.5), 1.0)
        ),
        ((60,), (60,)),
    ),
    "two means": (
        lambda x, k: (fn.sum(fn.where(k == 2, x, 0.0)) + fn.sum(x)) / count(k == 2),
        ((60,), (60,)),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_such_mean_keeps_its_range(name: str) -> None:
    body, shapes = OTHERS[name]
    program = recorded(body, shapes)
    assert means(program) is program
    assert not any(e.params.get("why") == WHY for e in optimise(program).eqns)


def test_a_million_values_stay_in_one_word() -> None:
    """A quotient is not computed with bits that no mean has; the plan says what it goes by."""
    n = 1 << 20
    program = optimise(recorded(masked, ((n,), (n,)), 512))
    fmt = fit(program)
    assert (fmt.width, fmt.frac_bits) == (64, 24)
    (div,) = (e for e in program.eqns if e.op == "div")
    assert div.params["within"] == [-LEFT, LEFT / 2]
    bare = (replace(e, params={}) if e.op == "div" else e for e in program.eqns)
    wide = program.replace(eqns=tuple(bare))
    assert fit(wide).width == 128
    assert any(WHY in line for line in plan(program, "rep3", fmt, OWNERS, OWNERS).assumptions)
    less, more = (predict(each, "rep3", fit(each), OWNERS, OWNERS).total_bytes for each in (program, wide))
    assert less < 0.6 * more


def test_it_is_said_once() -> None:
    """A Program that is read again is as it was, and says so in its text."""
    made = optimise(recorded(masked, most=512.0))
    assert optimise(made).text() == made.text() == parse(made.text()).text()


def test_in_loops() -> None:
    """The mean of what is left, turn by turn."""

    def turn(_: Any, held: Any, __: Any) -> Any:
        x = held[0]
        keep = x > 0
        return [fn.assume(x - fn.sum(fn.where(keep, x, 0.0)) / count(keep), -512, 512, why="less")], []

    program = recorded(lambda x, k: repeat(turn, [], [x], [(-512, 512)], [np.arange(2)])[0][0], most=512)
    made = optimise(program)
    (body,) = (e.params["body"] for e in made.eqns if e.op == "scan")
    assert any(e.params.get("why") == WHY for e in body.eqns)
    x = np.random.default_rng(9).uniform(-512, 256, 60)
    want = x
    for _ in range(2):
        want = want - np.where(want > 0, want, 0).sum() / max((want > 0).sum(), 1)
    got = run_on_shares(made, given_to(x, np.zeros(60, np.int64)), "rep3", FMT, 5)["r"]
    assert np.abs(got - want).max() < 0.01


@pytest.mark.parametrize("within", [[1], [2, 1], ["a", 1], None, [0, float("nan")]])
def test_a_malformed_bound_is_refused(within: Any) -> None:
    program = recorded(masked)
    bad = program.replace(
        eqns=tuple(replace(e, params={"within": within}) if e.op == "div" else e for e in program.eqns)
    )
    with pytest.raises(DataError, match="within"):
        infer(bad)


def test_a_false_bound_is_seen_where_values_are_known() -> None:
    trace = Trace()
    a = trace.input("a", "alice", (2,), "fixed", 1, 4)
    out = trace.bind("div", [a, trace.const(np.ones(2))], {"within": [1, 2], "why": "test"})[0]
    assert (out.aval.lo, out.aval.hi) == (1, 2)
    with pytest.raises(RangeError, match="assumed to lie"):
        table()["div"].clear([np.array([1.0, 4.0]), np.ones(2)], {"within": [1, 2]})
    with pytest.raises(RangeError, match="excludes every value"):
        trace.bind("div", [a, trace.const(np.ones(2))], {"within": [5, 6]})
