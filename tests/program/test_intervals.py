"""Ranges are sound: whatever the inputs, no value leaves the interval that was inferred for it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_gen import programs

from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import intervals as iv
from tacit.array.analyse import plan
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer, scan_types, split
from tacit.array.ops import table
from tacit.array.program import PUBLIC, SECRET, Aval, Program
from tacit.array.ranges import check, fit, secret_steps
from tacit.array.runtime import Format, Runtime, Value
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.testing import run

QUIET = settings(deadline=None, max_examples=80, derandomize=True, suppress_health_check=list(HealthCheck))
FORMATS = [Format(64, 8), Format(64, 16), Format(128, 24)]


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


def held_on_shares(program: Program, inputs: dict[str, Any], fmt: Format) -> dict[str, Any]:
    """Run on shares; every result must lie in the interval computed at this format, with no slack at all."""
    for step in secret_steps(program, fmt):
        check(step, fmt)
    avals = infer(program, fmt=fmt)
    parties = ("alice", "bob", "carol")
    out = run("rep3", fmt.width, lambda p: Runtime(p, fmt, parties).run(program, inputs))["alice"]
    for eqn in program.eqns:
        if eqn.op == "reveal" and avals[eqn.ins[0]].where == SECRET:
            a, value = avals[eqn.ins[0]], out[eqn.params["name"]]
            assert np.all(value >= a.lo) and np.all(value <= a.hi), f"{eqn} leaves {a}: {value}"
    return out


@settings(QUIET, max_examples=60)
@given(programs(most=5), st.data(), st.sampled_from(FORMATS))
def test_no_revealed_value_leaves_its_interval_on_shares(
    program: Program, data: st.DataObject, fmt: Format
) -> None:
    inputs = draw_inputs(data, program)
    try:
        held_on_shares(program, inputs, fmt)
    except RangeError:
        assert fmt.frac_bits < 24  # few bits may not do: said before anything runs


def test_what_rounding_builds_up_is_in_the_interval_and_no_comparison_wraps() -> None:
    """One unit is worth 15 after a division and a multiplication by 10^6: far beyond the exact interval."""
    trace = Trace()
    x = trace.input("x", "alice", (2000,), "fixed", -1, 1) + trace.input("y", "bob", (2000,), "fixed", 0, 0)
    noisy = (x * 1e-6) * 1e6
    for name, of in {
        "noisy": noisy,
        "above": noisy > 0.5,
        "most": fn.maximum(noisy, 0.5),
        "size": abs(noisy),
    }.items():
        reveal(of, why="test", name=name)
    program = trace.program()
    assert noisy.aval.magnitude <= 1.01
    inputs = {"x": np.random.default_rng(5).uniform(-1, 1, 2000), "y": np.zeros(2000)}
    out = held_on_shares(program, inputs, Format(64, 16))
    assert np.max(np.abs(out["noisy"])) > 8, "the case is to be one where rounding dominates"
    np.testing.assert_array_equal(out["above"], out["noisy"] > 0.5)
    np.testing.assert_array_equal(out["most"], np.maximum(out["noisy"], 0.5))
    np.testing.assert_array_equal(out["size"], np.abs(out["noisy"]))


def test_rounding_in_a_loop_is_in_the_carried_interval() -> None:
    """Sixty turns that scale down and up again: the noise of each is multiplied by all that follow."""
    trace = Trace()
    x = trace.input("x", "alice", (300,), "fixed", -1, 1) + trace.input("y", "bob", (300,), "fixed", 0, 0)
    body = Trace()
    carry = body.parameter(Aval((300,), "fixed", -1, 1))
    program = body.program([(carry * 0.01) * 100.0, carry > 0.25])
    params = {"n_consts": 0, "n_carry": 1, "length": 60, "reverse": False, "body": program}
    last, above = trace.bind("scan", [x], params)
    reveal(last, why="test", name="last")
    reveal(above, why="test", name="above")
    inputs = {"x": np.random.default_rng(6).uniform(-1, 1, 300), "y": np.zeros(300)}
    outer = trace.program()
    held_on_shares(outer, inputs, Format(64, 16))
    assert infer(outer, fmt=Format(64, 16))[last.ref].magnitude > 1.05


def test_ends_between_two_units_are_rounded_outward() -> None:
    """0.3·0.3 is 5898.24 units: a truncated product is 5898 or 5899, at both ends of its range."""
    trace = Trace()
    n = 400
    x, y = (
        trace.input("x", "alice", (n,), "fixed", 0.3, 0.3),
        trace.input("y", "bob", (n,), "fixed", -0.3, -0.3),
    )
    reveal(x * y, why="test", name="low")
    reveal(fn.square(x + y * 0.0), why="test", name="high")
    fmt = Format(64, 16)
    out = held_on_shares(trace.program(), {"x": np.full(n, 0.3), "y": np.full(n, -0.3)}, fmt)
    assert {len(np.unique(v)) for v in out.values()} == {2}


def test_public_values_enter_a_loop_as_they_are_used() -> None:
    """A start is rounded to the format's units; a factor is not."""
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", 0, 1) + trace.input("y", "bob", (3,), "fixed", 0, 0)
    body = Trace()
    factor = body.parameter(Aval((), "fixed", 1e-3, 1e-3, PUBLIC))
    carry = body.parameter(Aval((), "fixed", 0.3, 0.3))
    row = body.parameter(Aval((), "fixed", 0, 1))
    program = body.program([fn.minimum(row, 0.1), carry + row * 0.0, (row * 100.0) * factor])
    params = {"n_consts": 1, "n_carry": 1, "length": 3, "reverse": False, "body": program}
    _, before, small = trace.bind("scan", [trace.const(1e-3), trace.const(0.3), x], params)
    reveal(before, why="test", name="before")
    reveal(small, why="test", name="small")
    out = held_on_shares(trace.program(), {"x": np.array([0, 0.5, 1]), "y": np.zeros(3)}, Format(64, 8))
    np.testing.assert_array_equal(out["before"], [77 / 256, 0, 26 / 256])
    np.testing.assert_allclose(out["small"], [0, 0.05, 0.1], atol=2 / 256)


def test_rounding_that_overflows_a_format_is_refused_there_and_fits_a_finer_one() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (), "fixed", -1, 1) + trace.input("y", "bob", (), "fixed", 0, 1)
    reveal(fn.square(((x * 1e-12) * 1e6) * 1e6) * 1e3 < 1.0, why="test", name="r")
    program = trace.program()
    with pytest.raises(RangeError, match="may overflow"):
        fit(program, width=64)
    assert fit(program).width == 128


def test_a_plan_says_where_rounding_dominates_and_fit_avoids_it() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (), "fixed", -1, 1) + trace.input("y", "bob", (), "fixed", 0, 0)
    reveal((x * 1e-7) * 1e7, why="test", name="r")
    program = trace.program()
    names = ("alice", "bob", "carol")
    noisy = plan(program, "rep3", Format(64, 16), names, names)
    (line,) = [v for v in noisy.lines() if v.startswith("rounding")]
    assert re.search(
        r"mul at test_intervals\.py:\d+: .* of \[-1, 1\] beyond it by 152;.* more fractional bits", line
    )
    fmt = fit(program)
    assert fmt == Format(128, 44)
    assert not plan(program, "rep3", fmt, names, names).noise
    assert fit(program, width=64) == Format(64, 24), "where a format must be noisy, the finest"


@pytest.mark.parametrize("frac_bits", [8, 16])
def test_a_root_of_what_rounding_made_negative_is_zero(frac_bits: int) -> None:
    """p(1 − p) of a share p of ones is never negative, but for its rounding."""
    trace = Trace()
    k = trace.input("k", "alice", (97,), "bool", 0, 1) | trace.input("m", "bob", (97,), "bool", 0, 1)
    p = fn.mean(fn.astype(k, "fixed"))
    reveal(fn.sqrt(p * (1.0 - p)), why="test", name="r")
    fmt = Format(64, frac_bits)
    out = held_on_shares(trace.program(), {"k": np.ones(97, bool), "m": np.ones(97, bool)}, fmt)
    assert 0 <= out["r"] <= np.sqrt(3 * 2.0**-frac_bits)


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


@pytest.mark.parametrize(("step", "length"), [(lambda c: c * 2.0, 10_000), (lambda c: c + 1.0, 10_000_000)])
def test_what_grows_in_a_loop_is_told_from_what_else_is_carried(step: Any, length: int) -> None:
    trace, inner = Trace(), Trace()
    a, b = (inner.parameter(Aval(shape, "fixed", 1, 1)) for shape in ((3,), (2, 5)))
    params = {"n_consts": 0, "n_carry": 2, "reverse": False, "body": inner.program([a, step(b)])}
    start = [trace.const(np.ones(3)), trace.const(np.ones((2, 5)))]
    with pytest.raises(RangeError, match=r"value 2 of 2 carried.*shape \(2, 5\), in \[1, \d"):
        trace.bind("scan", start, {**params, "length": length})


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
    squares = fn.square(x)  # read otherwise, too, so that each is rounded (0094)
    total = fn.sum(squares)
    found = [fn.less(total, zero), fn.abs(total - zero), fn.maximum(total, zero)]
    program = trace.program([*found, squares])
    assert total.aval.hi * 2**16 < 2**10 - 1

    def go(p: Any) -> list[Any]:
        rt, ring = Runtime(p, Format(64, 16), ("alice",)), Ring(64)
        data = [np.full(n, top), np.zeros(())]
        values = [
            Value(i.aval, None, Share((ring.encode_floats(v, 16),)))
            for i, v in zip(program.inputs, data, strict=True)
        ]
        shares = [rt.share(v).parts[0] for v in rt.block(program, values)]
        return [int(shares[0]), *(float(ring.to_floats(s, 16)) for s in shares[1:3])]

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
