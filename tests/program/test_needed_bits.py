"""What readers need of a value: the bits that are exchanged, the rounds that are saved, and the same answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered, with_all_bits

import tacit
from tacit import testing
from tacit.algebra.ring import Ring
from tacit.array import elementary as xe
from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array import widths
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import PUBLIC, Aval, Program, parse
from tacit.array.ranges import Format
from tacit.array.repeat import repeat
from tacit.array.runtime import Runtime, Value
from tacit.array.session import simulate
from tacit.array.widths import SHOWN, SPARE
from tacit.core.cost import CostModel
from tacit.core.share import Share
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.errors import RangeError, UsageError
from tacit.gadgets.tournament import ROOM
from tacit.protocols import load
from tacit.study import run_clear

OWNERS = ("alice", "bob", "carol")
FMT = Format(64, 16)
UNIT = 2.0**-16
WIDE = Format(128, 44)
NETWORKS = [*PRESETS.values(), Network("narrow", 1000, 20_000)]
Body = Callable[[Any, Any, Any], Any]


def looped(x: Any, w: Any, b: Any) -> Any:
    """Return what a loop makes; its body reads a value that the program reads after it with all bits."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        z = fn.maximum(carry[0] * consts[0], 0)
        return [fn.clip(z + row[0], -4, 4)], [z > 1]

    held = x[:4, :4]
    last, every = repeat(turn, [held], [fn.clip(x[:4, :4] @ w[:4, :], -4, 4)], [(-4, 4)], [[0.25, 0.125]])
    return [last[0], every[0], held * 3 + fn.exp(held)]


def weighed(truths: list[Any], weights: list[float]) -> Any:
    """Return a sum of truth values with public weights."""
    return truths[0].context.bind("weigh", truths, {"weights": np.array(weights)})[0]


BODIES: dict[str, Body] = {
    "counts as floats": lambda x, w, b: fn.astype(fn.sum(fn.astype(x > 0.3, "int"), 0), "fixed") * 0.5,
    "a count": lambda x, w, b: fn.astype(fn.sum(fn.astype(x @ w > 0.3, "int"), 0), "fixed"),
    "a product": lambda x, w, b: x[:, :4] * b,
    "a square": lambda x, w, b: fn.square(x),
    "matrices": lambda x, w, b: x @ w,
    "matrices of matrices": lambda x, w, b: x @ w @ w.T @ w,
    "many factors": lambda x, w, b: x[:, :4] * b * b * b * b * b,
    "a sum": lambda x, w, b: (x @ w).sum(axis=0) + b,
    "moves": lambda x, w, b: fn.concat([(x @ w)[::-1, 1:], -(x @ w)[:, :3] + b[1:]]).T,
    "a layer": lambda x, w, b: fn.maximum(x @ w + b, 0),
    "two layers": lambda x, w, b: fn.maximum(fn.maximum(x @ w + b, 0) @ w.T, 0) @ w,
    "absolute": lambda x, w, b: abs(x @ w - b),
    "between": lambda x, w, b: fn.clip(x @ w, -0.5, 0.5) * b,
    "chosen": lambda x, w, b: fn.where(x @ w > b, x[:, :4], x[:, 1:] * b),
    "counted": lambda x, w, b: fn.astype(x @ w > b, "int").sum(axis=0),
    "weighed": lambda x, w, b: (x @ w) * fn.astype(x[:, :4] > 0, "fixed"),
    "weights": lambda x, w, b: fn.exp((x @ w) + weighed([x[:, :4] + b > 0, x[:, 1:] > b], [0.5, 0.25])),
    "a constant": lambda x, w, b: (x @ w) * 0.3,
    "constants": lambda x, w, b: (x @ w) * np.array([0.3, -2.0, 1e-4, 77.7]),
    "a constant between products": lambda x, w, b: ((x @ w) * 3.3) @ w.T @ w,
    "a large constant": lambda x, w, b: (x @ w) / 0.03,
    "a small constant": lambda x, w, b: (
        fn.square(x[:, :4] * b + 3) * 2.0**-30 - fn.maximum(x[:, :4] * b + 3, 0)
    ),
    "not negative": lambda x, w, b: abs(fn.maximum(x @ w, 0)) @ w.T,
    "a quotient by a constant": lambda x, w, b: (x @ w) / 7,
    "a mean": lambda x, w, b: (x @ w).mean(axis=0),
    "greatest": lambda x, w, b: [fn.max(x @ w, axis=0), fn.min(x @ w, axis=1)],
    "the greatest of layers": lambda x, w, b: fn.maximum(fn.max(x @ w, axis=0), 0) @ w.T,
    "its place": lambda x, w, b: od.argmax(x @ w, axis=1),
    "running": lambda x, w, b: od.cummax(x @ w),
    "a function": lambda x, w, b: fn.exp(x @ w) * b,
    "of functions": lambda x, w, b: fn.sigmoid(x @ w) @ w.T,
    "roots": lambda x, w, b: fn.sqrt(fn.square(x @ w) + 1) / (fn.square(b) + 0.5),
    "functions told": lambda x, w, b: [
        fn.exp(z := x @ w),
        fn.log(fn.exp(z)),
        fn.tanh(z * 9),
        fn.sin(z) * b,
        xe.erf(z * 3),
        fn.rsqrt(fn.square(z) + 0.25),
        1 / (fn.square(z) + 0.25) + fn.sqrt(fn.square(b)),
    ],
    "divided": lambda x, w, b: [
        (z := fn.maximum(x @ w, 0.25)) / (fn.square(b) + 0.5),
        1 / z,
        fn.sqrt(z) + fn.rsqrt(fn.square(z) + 2),
        fn.sqrt(fn.square(x[:, :4] * b)),
        b / (x[0, 0] * b[0] + 2),
        fn.stack([z[0, 0] / z[1, 1], x[0, 0] / z[2, 2], z[1, 2] / z[0, 3]]) * fn.exp(z[2, 2]),
    ],
    "whole numbers": lambda x, w, b: fn.floor(x @ w) * fn.floor(b * 3) + fn.floor(x[:, :4]),
    "ordered": lambda x, w, b: od.sort(x @ w),
    "told and used": lambda x, w, b: [z := x @ w, fn.maximum(z, 0) @ w.T],
    "a loop": looped,
}


def recorded(body: Body) -> Program:
    trace = Trace()
    x = trace.input("x", "alice", (6, 5), "fixed", -1, 1)
    w = trace.input("w", "bob", (5, 4), "fixed", -1, 1)
    b = trace.input("b", "carol", (4,), "fixed", -1, 1)
    outs = body(x, w, b)
    for i, out in enumerate(outs if isinstance(outs, list | tuple) else [outs]):
        reveal(out, why="a test", name=f"r{i}")
    return parse(optimise(trace.program()).text())


def given(seed: int = 3) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    draw = lambda *shape: np.round(rng.choice([-1, 1, 0, 0.5], shape) * rng.uniform(0.9, 1, shape), 3)  # noqa: E731
    return {"alice": {"x": draw(6, 5)}, "bob": {"w": draw(5, 4)}, "carol": {"b": draw(4)}}


def run_in(fmt: Format, program: Program, inputs: Any, network: Network, seed: int) -> tuple[Any, Any]:
    """Return what all parties are told, and their meters."""
    how = {"width": fmt.width, "frac_bits": fmt.frac_bits}
    with simulate("rep3", OWNERS, network=network, seed=seed, **how) as session:
        return run_metered(session, program, inputs)


@pytest.mark.parametrize("fmt", [FMT, WIDE], ids=str)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("name", BODIES)
def test_same_answers_in_fewer_bytes(
    name: str, network: Network, fmt: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = recorded(BODIES[name])

    def run() -> tuple[Any, int, int]:
        got, meters = run_in(fmt, program, given(), network, 3)
        model = predict(program, "rep3", fmt, OWNERS, OWNERS, network=network)
        assert_as_predicted(meters, model)
        return got["carol"], model.rounds, model.total_bytes

    want = run_clear(program, fmt, given())
    got, rounds, size = run()
    with_all_bits(monkeypatch)
    whole, other, more = run()
    for key, value in want.items():
        for found in (got, whole):
            assert close(found[key], value, fmt), key
    assert rounds <= other or size < more
    assert size < more


def close(found: Any, value: Any, fmt: Format) -> bool:
    """Whether numbers agree within what a format's roundings leave, and what float64 constants do."""
    units = 128 * 2.0**-fmt.frac_bits
    return np.allclose(found, value, rtol=2.0**-12 if fmt == FMT else 2.0**-40, atol=units)


def needs(body: Body, network: Network = LOOPBACK, opened: bool = False) -> dict[int, int]:
    """Return the bits that are needed of a program's values."""
    program = recorded(body)
    model = CostModel("rep3", load("rep3").cards, nowhere(OWNERS, network=network), Ring(64))
    return Runtime(model, FMT, OWNERS).needed(program, opened)


def test_an_input_is_shared_with_the_bits_that_are_needed() -> None:
    """Of what is opened, its range's; of a factor, the result's and those that are rounded off."""
    assert set(needs(lambda x, w, b: b).values()) == {17 + 1 + SPARE}  # 1 + 1/32 and some units; a sign
    rounds = predict(recorded(lambda x, w, b: x[:, :4] * b), "rep3", FMT, OWNERS, OWNERS)
    assert rounds.calls["mul_into"] == 1 and not rounds.calls["mul_trunc"]
    # A function needs its operand modulo its period.
    assert max(needs(lambda x, w, b: fn.exp(x[0, :4] + b)).values()) == 64


@pytest.mark.parametrize(
    "fn_of", [lambda z: z[:4] / z[4:], lambda z: fn.sqrt(z[4:]), lambda z: fn.rsqrt(z[4:])]
)
def test_of_what_a_series_begins_with_one_word_is_needed(fn_of: Callable[[Any], Any]) -> None:
    """Over two words, unless the operand has more bits, or may be negative."""
    for low, high, short in ((0.5, 9, True), (0.5, 2**30, False), (-9, -0.5, False)):
        trace = Trace()
        x = trace.input("x", "alice", (8,), "fixed", low, high)
        y = trace.input("y", "bob", (8,), "fixed", 0, 1)
        if low < 0:
            reveal((x[:4] + y[:4]) / (x[4:] - y[4:]), why="a test", name="r")
        else:
            reveal(fn_of(x + y), why="a test", name="r")
        program = parse(optimise(trace.program()).text())
        (last,) = (e.ins[-1] for e in program.eqns if e.op in ("div", "sqrt", "rsqrt"))
        model = CostModel("rep3", load("rep3").cards, nowhere(OWNERS), Ring(128))
        assert Runtime(model, WIDE, OWNERS).needed(program)[last] == (64 if short else 128), (low, high)


@pytest.mark.parametrize("fmt", [FMT, WIDE, Format(128, 16)], ids=str)
def test_bits_above_the_needed_do_not_count(fmt: Format) -> None:
    """Every part of every share may have anything above: sums and moves are not reduced."""
    trace = Trace()
    x, y = (trace.input(v, o, (70,), "fixed", -8, 8) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(fn.maximum((x - y) * 5 * (y + x), 1) - 3 * y, why="a test", name="r")
    program = parse(trace.program().text())
    avals = [Aval(i.aval.shape, i.aval.kind, i.aval.lo, i.aval.hi) for i in program.inputs]
    program = program.replace(
        inputs=tuple(replace(i, aval=aval) for i, aval in zip(program.inputs, avals, strict=True))
    )
    rng = np.random.default_rng(5)
    a, b = (np.round(rng.uniform(-8, 8, 70), 3) for _ in range(2))

    def body(p: Any) -> Any:
        rt = Runtime(p, fmt, OWNERS)
        needed = rt.needed(program)
        values = []
        for spec, numbers in zip(program.inputs, (a, b), strict=True):
            share = testing.scatter(p, p.ring.encode_floats(numbers, fmt.frac_bits))
            bits = needed[spec.var]
            assert bits < fmt.width
            noise = [np.random.default_rng(i).integers(1, 2**63, 70) for i in range(3)]
            above = [p.ring.shl(p.ring.encode_ints(each), bits) for each in noise]
            parts = [p.ring.add(part, above[(p.party.index + j) % 3]) for j, part in enumerate(share.parts)]
            values.append(Value(spec.aval, None, Share(tuple(parts))))
        rt.block(program, values)
        p.party.flush()
        return rt.opened["r"]

    for got in testing.run("rep3", fmt.width, body, seed=3).values():
        want = np.maximum((a - b) * 5 * (a + b), 1) - 3 * b
        assert np.allclose(got, want, rtol=2.0**-50, atol=200 * 2.0**-fmt.frac_bits)


def test_of_what_a_tournament_reads_only_differences_count() -> None:
    """What is pooled is made with the bits of differences, though its greatest is multiplied on."""
    program = planned(
        lambda x, w, v: tacit.assume(fn.max(tacit.assume(x @ w, -2, 2), axis=0), -2, 2) @ v,
        ((4, 4096, 3), (3, 5), (5, 2)),
    )
    needed = needs_of(program)
    (pooled,) = (e for e in program.eqns if e.op == "extreme")
    assert needed[pooled.ins[0]] == 16 + 2 + 1 + ROOM  # from −2 to 2, and margins
    assert needed[pooled.outs[0]] > needed[pooled.ins[0]]


def planned(body: Body, shapes: Sequence[tuple[int, ...]]) -> Program:
    """Return a program of secrets from −1 to 1, of these shapes."""
    trace = Trace()
    given = [trace.parameter(Aval(shape, "fixed", -1, 1, "secret")) for shape in shapes]
    return optimise(trace.program([body(*given)]))


def needs_of(program: Program, network: Network = LOOPBACK) -> dict[int, int]:
    """Return the bits that are needed of a program's values, whose results are opened."""
    model = CostModel("rep3", load("rep3").cards, nowhere(OWNERS, network=network), Ring(64))
    return Runtime(model, FMT, OWNERS).needed(program, opened=True)


def lifted_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift each number that can be made with fewer bits than are needed of it, whatever that is worth."""
    whole = widths.widths
    monkeypatch.setattr(widths, "widths", lambda *args: whole(*args[:7]))
    monkeypatch.setattr(widths._Finder, "_cost", lambda self, v, bits, levels: bits << 64)


@pytest.mark.parametrize("fmt", [FMT, WIDE, Format(128, 24)], ids=str)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("name", BODIES)
def test_lifted_values(name: str, network: Network, fmt: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers wherever values are lifted, at the cost that is predicted, whatever is in bits not needed."""
    lifted_everywhere(monkeypatch)
    program = recorded(BODIES[name])
    got, meters = run_in(fmt, program, given(5), network, 5)
    assert_as_predicted(meters, predict(program, "rep3", fmt, OWNERS, OWNERS, network=network))
    for key, value in run_clear(program, fmt, given(5)).items():
        assert close(got["carol"][key], value, fmt), key


@pytest.mark.parametrize("fmt", [FMT, WIDE], ids=str)
@pytest.mark.parametrize("end", [-1, 1])
def test_lifted_values_at_the_ends_of_their_range(
    end: int, fmt: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values at a range's ends, and beyond them by what roundings and a range that is assumed may leave."""
    lifted_everywhere(monkeypatch)
    trace = Trace()
    x, y = (trace.input(v, o, (70,), "fixed", -8, 8) for v, o in (("x", "alice"), ("y", "bob")))
    near = tacit.assume(x * y, -2, 2)
    apart = fn.maximum(near, tacit.assume(x, -8, 8) * 0.25)
    for i, z in enumerate((fn.maximum(near, -3), fn.minimum(near, 3), fn.where(x > y, near, x / 4), apart)):
        reveal(fn.exp(z), why="a test", name=f"r{i}")
    program = parse(optimise(trace.program()).text())
    assert sum(len(step.eqns) for step in plan_of(program, fmt) if step.rounding.lift) >= 4
    inputs = {"alice": {"x": np.full(70, 8.0)}, "bob": {"y": np.full(70, end * (0.25 + 2**-8))}, "carol": {}}
    got, _ = run_in(fmt, program, inputs, LOOPBACK, 5)
    for key, value in run_clear(program, fmt, inputs).items():
        assert close(got["carol"][key], value, fmt), key


@pytest.mark.parametrize("fmt", [FMT, WIDE], ids=str)
def test_whole_numbers_far_from_zero_are_lifted_exactly(fmt: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their least one has more digits than a float."""
    lifted_everywhere(monkeypatch)
    trace, low = Trace(), 2**61 + 255
    x, y = (trace.input(v, o, (4, 70), "int", low, low + 100) for v, o in (("x", "alice"), ("y", "bob")))
    both = fn.maximum(x, y)
    outs = [(both - 2**61) * 3, fn.max(both, axis=0), fn.min(-both, axis=0)]
    if fmt == WIDE:  # numbers of 122 bits, whose differences have 71
        squares = fn.maximum(x * x, y * y)
        outs += [squares, fn.min(squares - both, axis=0), fn.max(-squares, axis=0)]
    for i, z in enumerate(outs):
        reveal(z, why="a test", name=f"r{i}")
    program = parse(optimise(trace.program()).text())
    assert any(step.rounding.lift for step in plan_of(program, fmt))
    draw = np.random.default_rng(5).integers(0, 101, (2, 4, 70)) + low
    inputs = {"alice": {"x": draw[0]}, "bob": {"y": draw[1]}, "carol": {}}
    got = run_in(fmt, program, inputs, LOOPBACK, 5)[0]["carol"]
    most = draw.max(axis=0).astype(object)
    wants = [(most - 2**61) * 3, most.max(axis=0), -most.max(axis=0)]
    wants += [most * most, (most * most - most).min(axis=0), -(most * most).min(axis=0)]
    for i, want in enumerate(wants[: len(outs)]):
        assert np.array_equal(got[f"r{i}"].astype(object), want), i


@pytest.mark.parametrize("fmt", [FMT, Format(128, 40)], ids=str)
def test_what_is_rounded_as_it_is_selected_has_the_bits_that_are_made(
    fmt: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product compared with all its bits, more than a word, of which a lift of the greater one needs few."""
    lifted_everywhere(monkeypatch)
    trace = Trace()
    x, y = (trace.input(v, o, (3, 3), "fixed", -1.29, 1.29) for v, o in (("x", "alice"), ("y", "bob")))
    both = (x + y) * 0.5
    reveal(fn.maximum(both * both.T, 0), why="a test", name="r")
    reveal(fn.exp(both), why="a test", name="s")
    reveal(both * 9, why="a test", name="t")  # is opened beside the first, with more bits
    program = parse(optimise(trace.program()).text())
    draw = np.round(np.random.default_rng(5).uniform(-1.29, 1.29, (2, 3, 3)), 3)
    inputs = {"alice": {"x": draw[0]}, "bob": {"y": draw[1]}, "carol": {}}
    for network in NETWORKS:
        got, _ = run_in(fmt, program, inputs, network, 5)
        for key, value in run_clear(program, fmt, inputs).items():
            assert close(got["carol"][key], value, fmt), (network, key)


def test_numbers_of_two_kinds_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole number's unit is not that of a fixed-point number: together they have no range to be lifted by."""
    lifted_everywhere(monkeypatch)
    trace = Trace()
    x, y = (trace.input(v, o, (70,), "fixed", -9, 9) for v, o in (("x", "alice"), ("y", "bob")))
    whole, half = (fn.floor(v * 0.5) for v in (x, y))
    many, some = fn.maximum(whole, half), fn.maximum(x, y)
    reveal(fn.astype(many, "fixed") + fn.exp(some * 0.125), why="a test", name="r")
    program = parse(optimise(trace.program()).text())
    kinds = [{x.kind for x in step.outs} for step in plan_of(program) if len(step.eqns) > 1]
    assert {"int", "fixed"} in kinds
    draw = np.round(np.random.default_rng(5).uniform(-9, 9, (2, 70)), 3)
    inputs = {"alice": {"x": draw[0]}, "bob": {"y": draw[1]}, "carol": {}}
    with simulate("rep3", OWNERS, seed=5) as session:
        got = session.run(program, inputs)["carol"]["r"]
    assert np.allclose(got, run_clear(program, FMT, inputs)["r"], rtol=2.0**-12, atol=64 * UNIT)


def plan_of(program: Program, fmt: Format = FMT) -> Any:
    """Return the prepared steps of a program."""
    model = CostModel("rep3", load("rep3").cards, nowhere(OWNERS), Ring(fmt.width))
    return Runtime(model, fmt, OWNERS)._plan(program, [i.aval for i in program.inputs], False).steps


@pytest.mark.parametrize("lost", [8, 10, 12])
def test_a_product_of_hardly_more_bits_than_it_loses(lost: int) -> None:
    """It is computed over a ring that a shift by so many fits, though its range has no need of it."""
    trace = Trace()
    x, y = (trace.input(v, o, (40,), "fixed", -1 / 64, 1 / 64) for v, o in (("x", "alice"), ("y", "bob")))
    z = trace.input("z", "carol", (40,), "fixed", -4096, 4096)
    reveal((x * y) * 2.0**-lost + z, why="a test", name="r")
    program = parse(optimise(trace.program()).text())
    ends = np.resize([1 / 64, 0, -1 / 64, 1 / 64, -1 / 64], 40)
    inputs = {"alice": {"x": ends}, "bob": {"y": ends[::-1]}, "carol": {"z": ends * 2**18}}
    with simulate("rep3", OWNERS, network=NETWORKS[-1], seed=5) as session:
        got, _ = run_metered(session, program, inputs)
    assert np.allclose(got["carol"]["r"], run_clear(program, FMT, inputs)["r"], rtol=2.0**-12, atol=64 * UNIT)


def test_a_function_is_made_with_the_bits_that_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is opened, a bit more than its range and sign, where its wrap does not count: a round less."""
    trace = Trace()
    x = trace.parameter(Aval((9000,), "fixed", -8, 8, "secret"))
    program = optimise(trace.program([fn.exp(x)]))
    assert needs_of(program)[program.outputs[0]] == 28 + 1 + SHOWN  # e^8 is below 2^12
    # Of a factor, what the product needs of it.
    many = optimise(trace.program([fn.exp(x) * x]))
    (e,) = (e for e in many.eqns if e.op == "exp")
    assert needs_of(many)[e.outs[0]] > 30
    told = recorded(lambda x, w, b: fn.exp(x[:, :4] + b))
    rounds = predict(told, "rep3", FMT, OWNERS, OWNERS).rounds
    with_all_bits(monkeypatch)
    assert predict(told, "rep3", FMT, OWNERS, OWNERS).rounds == rounds + 1


def test_a_value_that_is_read_with_all_bits_is_made_with_all() -> None:
    """By a loop, by a function of a period of 2^64 units, or by nobody knows whom: what a program returns."""

    def read(x: Any, w: Any, b: Any) -> Any:
        z = x @ w
        last, _ = repeat(lambda c, s, r: ([fn.clip(s[0] * c[0], -9, 9)], []), [z], [z], [(-9, 9)], [[1.0]])
        return [z, last[0]]

    for body in (lambda x, w, b: [z := x @ w, fn.exp(z)], read):
        assert max(needs(body).values()) == 64
    trace = Trace()
    x = trace.input("x", "alice", (4,), "fixed", -1, 1)
    program = parse(trace.program([x * x]).text())
    model = CostModel("rep3", load("rep3").cards, nowhere(OWNERS), Ring(64))
    (out,) = program.outputs
    assert Runtime(model, FMT, OWNERS).needed(program)[out] == 64
    assert Runtime(model, FMT, OWNERS).needed(program, opened=True)[out] < 40


def test_a_loop_that_counts_in_public_reads_all_bits() -> None:
    """The first of its results is public: what it reads is needed as ever."""
    trace, inner = Trace(), Trace()
    x, w = (trace.input(v, o, (4,), "fixed", -1, 1) for v, o in (("x", "alice"), ("w", "bob")))
    z = x * w
    at = inner.parameter(Aval((), "int", 0, 0, PUBLIC))
    c = inner.parameter(Aval((4,), "fixed", 0, 0))
    params = {"n_consts": 0, "n_carry": 2, "length": 3, "reverse": False}
    params["body"] = inner.program([at * 1, fn.clip(c * 40, -6e5, 6e5)])
    found = trace.bind("scan", [trace.const(0), z], params)[1]
    reveal(found, why="a test", name="r", to=["bob"])
    reveal(z, why="a test", name="z", to=["carol"])
    a, b = np.array([0.9, -0.9, 0.5, 1.0]), np.array([1, 0.9, -0.5, -1.0])
    with simulate("rep3", OWNERS, seed=3) as session:
        got = session.run(parse(trace.program().text()), {"alice": {"x": a}, "bob": {"w": b}, "carol": {}})
    assert np.allclose(got["bob"]["r"], a * b * 40**3, rtol=0, atol=2 * 40**3 * UNIT)


def test_outputs_that_are_opened_later() -> None:
    trace = Trace()
    x, y = (trace.input(v, o, (90,), "fixed", -8, 8) for v, o in (("x", "alice"), ("y", "bob")))
    program = parse(trace.program([x * y, x > y]).text())
    rng = np.random.default_rng(5)
    a, b = (np.round(rng.uniform(-8, 8, 90), 3) for _ in range(2))

    def body(p: Any) -> Any:
        rt = Runtime(p, FMT, OWNERS)
        mine = {"alice": {"x": a}, "bob": {"y": b}, "carol": {}}[p.party.name]
        needed = rt.needed(program, opened=True)
        values = [Value(s.aval, mine.get(s.name), width=needed[s.var]) for s in program.inputs]
        return rt.open_outputs(rt.block(program, values, opened=True), OWNERS)

    for product, greater in testing.run("rep3", 64, body, seed=3).values():
        assert np.allclose(product, a * b, rtol=0, atol=20 * UNIT)
        assert np.array_equal(greater, a > b)


def test_an_owners_outputs_are_opened_by_all() -> None:
    """The owner, who knows them, takes part."""
    trace = Trace()
    x, y = (trace.input(v, o, (9,), "fixed", -8, 8) for v, o in (("x", "alice"), ("y", "bob")))
    program = parse(trace.program([x * 2, x * y, trace.const(3.0)]).text())
    a, b = np.linspace(-8, 8, 9), np.linspace(8, -7, 9)

    def body(p: Any) -> Any:
        rt = Runtime(p, FMT, OWNERS)
        mine = {"alice": {"x": a}, "bob": {"y": b}, "carol": {}}[p.party.name]
        needed = rt.needed(program, opened=True)
        values = [Value(s.aval, mine.get(s.name), width=needed.get(s.var, 0)) for s in program.inputs]
        return rt.open_outputs(rt.block(program, values, opened=True), OWNERS)

    for double, product, number in testing.run("rep3", 64, body, seed=3).values():
        assert np.allclose(double, 2 * a, rtol=0, atol=UNIT)
        assert np.allclose(product, a * b, rtol=0, atol=20 * UNIT)
        assert number == 3


def test_a_false_assumption_shows() -> None:
    """What passes an assumed range by far more than it allows is refused once it is opened, not told as a number.

    To whom it is opened, after the last message: the others have their results, and learn nothing of it.
    """
    trace = Trace()
    x, y = (trace.input(v, o, (3,), "fixed", -1000, 1000) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(tacit.assume(x + y, -1, 1, why="a test") * 1.5, why="a test", name="r", to=["carol"])
    reveal(x > y, why="a test", name="s")
    program = parse(trace.program().text())
    data = {"x": np.array([900.0, 0.5, -1.0])}, {"y": np.zeros(3)}, {}

    def body(p: Any) -> Any:
        rt = Runtime(p, FMT, OWNERS)
        try:
            return rt.run(program, data[p.party.index])["s"].tolist()
        except RangeError as error:
            return str(error)

    got = testing.run("rep3", 64, body, seed=3)
    assert got["alice"] == got["bob"] == [True, True, False]
    assert "tacit.assume" in got["carol"]


@pytest.mark.parametrize(
    ("fmt", "fn_of", "low", "high", "value", "always"),
    [
        (FMT, fn.exp, -10, -3, 0.25, False),
        (FMT, fn.log, 0.5, 2, 4.0, True),
        (FMT, fn.log, 0.5, 2, 12.0, True),
        (Format(128, 40), fn.log, 0.9, 1.1, 13.1, True),
        (Format(128, 40), fn.sqrt, 0.25, 0.5, 40.5, True),
        (Format(128, 40), fn.rsqrt, 0.25, 4, 304.0, True),
        (Format(128, 40), fn.tanh, -2, 2, 42.0, False),
    ],
)
def test_a_false_assumption_of_an_operand_shows(
    fmt: Format, fn_of: Callable[[Any], Any], low: float, high: float, value: float, always: bool
) -> None:
    """As far as what a function makes of it lies outside the range of its results: powers, sines by chance alone."""
    trace = Trace()
    x, y = (trace.input(v, o, (1,), "fixed", -1000, 1000) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(fn_of(tacit.assume(x + y, low, high, why="a test")), why="a test", name="r", to=["carol"])
    made, half = parse(optimise(trace.program()).text()), np.full(1, value / 2)
    refused = []
    for seed in range(3 if always else 12):
        try:
            run_in(fmt, made, {"alice": {"x": half}, "bob": {"y": half}}, LOOPBACK, seed)
        except RangeError as error:
            refused.append("no result of this run" in str(error))
    assert all(refused) and (len(refused) == 3 if always else refused)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("shape", [(64, 3), (8, 1000)])
def test_a_tournament_in_words_gives_what_needs_more(shape: tuple[int, int], network: Network) -> None:
    """In formats of 128 bits it may read words where its greatest, lifted, takes two: it is held in two, then."""
    trace, fmt = Trace(), Format(128, 16)
    x, y = (trace.input(v, o, shape, "fixed", -2, 2) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(fn.exp(fn.max(x * y, axis=0)), why="a test", name="r")
    program, rng = parse(optimise(trace.program()).text()), np.random.default_rng(9)
    data = {"alice": {"x": rng.uniform(-2, 2, shape)}, "bob": {"y": rng.uniform(-2, 2, shape)}, "carol": {}}
    got, meters = run_in(fmt, program, data, network, 5)
    assert_as_predicted(meters, predict(program, "rep3", fmt, OWNERS, OWNERS, network=network))
    assert close(got["carol"]["r"], run_clear(program, fmt, data)["r"], fmt)


def test_what_was_shared_for_another_program_is_refused() -> None:
    """It has fewer bits than this one needs."""
    short, long = Trace(), Trace()
    for trace, body in ((short, lambda x, y: x + y), (long, lambda x, y: fn.exp((x + y) * 0.25))):
        x, y = (trace.input(v, o, (3,), "fixed", -4, 4) for v, o in (("x", "alice"), ("y", "bob")))
        reveal(body(x, y), why="a test", name="r")
    programs = [parse(trace.program().text()) for trace in (short, long)]
    mine = {"alice": {"x": np.zeros(3)}, "bob": {"y": np.ones(3)}, "carol": {}}

    def body(p: Any) -> Any:
        rt = Runtime(p, FMT, OWNERS)
        needed = rt.needed(programs[0])
        values = [
            Value(s.aval, mine[p.party.name].get(s.name), width=needed[s.var]) for s in programs[0].inputs
        ]
        rt.block(programs[0], values)
        p.party.flush()
        with pytest.raises(UsageError, match="fewer bits"):
            rt.block(programs[1], values)

    testing.run("rep3", 64, body, seed=3)


def test_a_value_just_beyond_its_range_is_told() -> None:
    trace = Trace()
    x, y = (trace.input(v, o, (3,), "fixed", -1000, 1000) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(tacit.assume(x + y, -1, 1, why="a test") * 1.5, why="a test", name="r")
    with simulate("rep3", OWNERS, seed=3) as session:
        data = {"alice": {"x": np.array([1.25, 0.5, -1.0])}, "bob": {"y": np.zeros(3)}}
        got = session.run(trace.program(), data)["carol"]["r"]
    assert np.allclose(got, [1.875, 0.75, -1.5], rtol=0, atol=2 * UNIT)


def test_other_protocols_hold_all_bits() -> None:
    program = recorded(BODIES["two layers"])
    for fmt in (FMT, WIDE):
        model = CostModel("semi2k", load("semi2k").cards, nowhere(OWNERS), Ring(fmt.width), dealer="zoe")
        assert Runtime(model, fmt, OWNERS).needed(program) == {}


def test_a_run_follows_what_was_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A party that has planned a job chooses nothing once more; for another network, or other inputs, it does."""
    program = recorded(looped)
    asked: list[Network] = []
    choose = widths._way

    def choosing(of: Program, avals: Any, p: Any, fmt: Any, opened: bool) -> widths.Way:
        asked.append(p.party.network)
        return choose(of, avals, p, fmt, opened)

    monkeypatch.setattr(widths, "_way", choosing)
    planned = predict(program, "rep3", FMT, OWNERS, OWNERS, network=LOOPBACK)
    assert asked and set(asked) == {LOOPBACK}
    asked.clear()
    _, meters = run_in(FMT, program, given(5), LOOPBACK, 5)
    assert not asked
    assert_as_predicted(meters, planned)
    wan = PRESETS["wan"]
    _, meters = run_in(FMT, program, given(5), wan, 5)
    assert set(asked) == {wan}
    assert_as_predicted(meters, predict(program, "rep3", FMT, OWNERS, OWNERS, network=wan))
    other = predict(program, "rep3", WIDE, OWNERS, OWNERS)
    assert other.total_bytes > planned.total_bytes
    dealt = predict(program, "semi2k", FMT, OWNERS, OWNERS, dealer="dora")
    assert dealt.total_bytes != planned.total_bytes
