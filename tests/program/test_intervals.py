"""Ranges are sound: whatever the inputs, no value leaves the interval that was inferred for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_gen import programs

from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import intervals as iv
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer, scan_types, split
from tacit.array.ops import table
from tacit.array.program import Aval, Program
from tacit.array.runtime import Format, Runtime, Value
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.testing import run

QUIET = settings(deadline=None, max_examples=80, derandomize=True, suppress_health_check=list(HealthCheck))
# What rounding may add on top of an exact interval: the margin that comparisons allow.
SLACK = 256 * 2.0**-16


def evaluate(program: Program, env: dict[int, Any], avals: dict[int, Aval], slack: float) -> list[Any]:
    """Run in the clear, checking every value of every equation, loop bodies included."""
    for eqn in program.eqns:
        ins = [env[v] for v in eqn.ins]
        if eqn.op == "scan":
            outs = _loop(eqn.params, ins, [avals[v] for v in eqn.ins], slack)
        else:
            with np.errstate(all="ignore"):
                outs = table()[eqn.op].clear(ins, eqn.params)
        for v, value in zip(eqn.outs, outs, strict=True):
            a = avals[v]
            assert np.shape(value) == a.shape
            room = slack * max(1.0, a.magnitude)
            assert np.all(value >= a.lo - room) and np.all(value <= a.hi + room), f"{eqn.op} leaves {a}"
            env[v] = value
    return [env[v] for v in program.outputs]


def _loop(params: dict[str, Any], ins: list[Any], avals: list[Aval], slack: float) -> list[Any]:
    body = params["body"]
    inside, _ = scan_types(avals, params)
    consts, carry, xs = split(params, ins)
    rows: list[list[Any]] = []
    order = range(params["length"])
    for i in reversed(order) if params["reverse"] else order:
        start = dict(zip((p.var for p in body.inputs), [*consts, *carry, *(x[i] for x in xs)], strict=True))
        outs = evaluate(body, start, infer(body, inside), slack)
        carry = outs[: len(carry)]
        rows.append(outs[len(carry) :])
    stacked = [np.stack(r) for r in zip(*(rows[::-1] if params["reverse"] else rows), strict=True)]
    return [*carry, *stacked]


def draw_inputs(data: st.DataObject, program: Program) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for spec in program.inputs:
        a = spec.aval
        edge = data.draw(st.sampled_from(["low", "high", "random"]))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        lo, hi = np.full(a.shape, a.lo, float), np.full(a.shape, a.hi, float)
        value = lo if edge == "low" else hi if edge == "high" else rng.uniform(a.lo, a.hi, a.shape)
        out[spec.name] = {"fixed": value, "int": np.rint(value).astype(np.int64), "bool": value > 0.5}[a.kind]
    return out


@QUIET
@given(programs(), st.data())
def test_no_value_leaves_its_interval(program: Program, data: st.DataObject) -> None:
    inputs = draw_inputs(data, program)
    env = {i.var: inputs[i.name] for i in program.inputs}
    evaluate(program, env, infer(program), slack=1e-9)


@settings(QUIET, max_examples=40)
@given(programs(most=4), st.data())
def test_no_revealed_value_leaves_its_interval_on_shares(program: Program, data: st.DataObject) -> None:
    inputs = draw_inputs(data, program)
    avals = infer(program)
    parties = ("alice", "bob", "carol")
    out = run("rep3", 128, lambda p: Runtime(p, Format(128, 24), parties).run(program, inputs))["alice"]
    for eqn in program.eqns:
        if eqn.op == "reveal":
            a, value = avals[eqn.ins[0]], out[eqn.params["name"]]
            room = SLACK * max(1.0, a.magnitude)
            assert np.all(value >= a.lo - room) and np.all(value <= a.hi + room), f"{eqn} leaves {a}"


@pytest.mark.parametrize("name", ["add", "sub", "mul", "square", "scale"])
def test_interval_arithmetic(name: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        (a, b), (c, d) = np.sort(rng.normal(size=(2, 2)) * 10.0 ** rng.integers(-3, 4), axis=1).tolist()
        x, y = rng.uniform(a, b, 50), rng.uniform(c, d, 50)
        if name == "square":
            lo, hi, v = *iv.square((a, b)), x * x
        elif name == "scale":
            lo, hi, v = *iv.scale((a, b), 7), 7 * x
        else:
            lo, hi = getattr(iv, name)((a, b), (c, d))
            v = {"add": x + y, "sub": x - y, "mul": x * y}[name]
        assert np.all((v >= lo) & (v <= hi))


def body_of(step: Any, lo: float = 0.0, hi: float = 0.0) -> tuple[Program, dict[str, Any]]:
    body = Trace()
    carry = body.parameter(Aval((), "fixed", lo, hi))
    return body.program([step(carry)]), {"n_consts": 0, "n_carry": 1, "reverse": False}


def carried(step: Any, length: int, start: float = 0.0) -> Aval:
    trace = Trace()
    program, params = body_of(step, start, start)
    return trace.bind("scan", [trace.const(start)], {**params, "length": length, "body": program})[0].aval


def test_scan_ranges_hold_in_every_iteration() -> None:
    assert (carried(lambda c: c + 2.0, 10).lo, carried(lambda c: c + 2.0, 10).hi) == (0, 20)
    assert carried(lambda c: c * 0.5 + 1.0, 1000).hi == pytest.approx(2, abs=1e-6)
    assert carried(lambda c: -c, 50, 3.0).lo == -3
    assert carried(lambda c: fn.clip(c * 3.0 + 1.0, -9, 9), 10_000).hi == 9
    assert carried(lambda c: c + 1.0, 0).hi == 0
    assert carried(lambda c: c * 2.0, 40, 1.0).hi == 2.0**40


def test_growth_in_a_loop_is_refused_with_the_remedy() -> None:
    with pytest.raises(RangeError, match=r"test_intervals\.py:\d+: .*loop may grow without bound; clip it"):
        carried(lambda c: c * 2.0 + 1.0, 10_000, 1.0)
    with pytest.raises(RangeError, match=r"test_intervals\.py:\d+: .*10000000 iterations still grows"):
        carried(lambda c: c + 1.0, 10_000_000)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda x: 1 / x, r"division by a value in \[-3, 3\], which may be zero.*maximum\(y, 1\)"),
        (lambda x: fn.sqrt(x), r"sqrt of a value in \[-3, 3\], which may be negative"),
        (lambda x: fn.log(x), r"log of a value in \[-3, 3\], which may be zero or negative"),
        (lambda x: fn.exp(x * 1000.0), r"exp of a value that may reach 3000"),
        (lambda x: fn.assume(x, 5.0, 6.0), r"excludes every value of \[-3, 3\]"),
    ],
)
def test_range_errors_name_line_and_bound(build: Any, words: str) -> None:
    trace = Trace()
    x = trace.input("x", "alice", (2,), "fixed", -3, 3)
    with pytest.raises(RangeError, match=r"^test_intervals\.py:\d+: .*" + words):
        build(x)


@pytest.mark.parametrize("bound", [(0, float("inf")), (float("nan"), 1), (2, 1)])
def test_a_bound_is_finite_and_not_empty(bound: tuple[float, float]) -> None:
    with pytest.raises(Exception, match="empty or not finite"):
        Trace().input("x", "alice", (2,), "fixed", *bound)


def test_comparison_has_room_for_rounding() -> None:
    """Sixty-one squares that all round up pass the end of their interval, which is just below a power of two."""
    n, units = 61, 1040
    top = units / 2**16
    trace = Trace()
    x, zero = trace.parameter(Aval((n,), "fixed", 0, top)), trace.parameter(Aval((), "fixed", 0, 0))
    total = fn.sum(fn.square(x))
    program = trace.program([fn.less(total, zero), fn.abs(total - zero), fn.maximum(total, zero)])
    assert total.aval.hi * 2**16 < 2**10 - 1

    def go(p: Any) -> list[Any]:
        rt, ring = Runtime(p, Format(64, 16), ("alice",)), Ring(64)
        data = [np.full(n, top), np.zeros(())]
        values = [
            Value(i.aval, None, Share((ring.encode_floats(v, 16),)))
            for i, v in zip(program.inputs, data, strict=True)
        ]
        shares = [rt.share(v).parts[0] for v in rt.block(program, values)]
        return [int(shares[0]), *(float(ring.to_floats(s, 16)) for s in shares[1:])]

    negative, size, greater = run("clear", 64, go)["alice"]
    assert negative == 0
    assert size == greater >= 2**10 / 2**16


def test_operands_that_may_round_to_zero_are_refused() -> None:
    from tacit.array.ranges import fit

    trace = Trace()
    tiny = trace.input("x", "alice", (2,), "fixed", 1e-9, 1) + trace.input("z", "bob", (2,), "fixed", 0, 0)
    reveal(fn.log(tiny), why="test")
    with pytest.raises(RangeError):
        fit(trace.program(), width=64)
    assert fit(trace.program()).frac_bits >= 30
