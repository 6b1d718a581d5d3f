"""Where products are rounded: the same answers as if each were rounded at once, fewer rounds, costs as predicted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered, with_all_bits

import tacit
from tacit import testing
from tacit.algebra.ring import Ring
from tacit.array import functions as fn
from tacit.array import widths
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Aval, Eqn, Program, parse
from tacit.array.ranges import Format
from tacit.array.repeat import repeat
from tacit.array.runtime import Runtime, Value
from tacit.array.scales import Rounding, scales
from tacit.array.session import simulate
from tacit.core.cost import CostModel
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.protocols import load
from tacit.study import run_clear

OWNERS = ("alice", "bob", "carol")
FMT, WIDE = Format(64, 16), Format(128, 30)
UNIT = 2.0**-16
NETWORKS = [*PRESETS.values(), Network("narrow", 1000, 20_000)]
Body = Callable[[Any, Any, Any], Any]


def where(c: Any) -> Any:
    """Return truth values as numbers."""
    return fn.astype(c, "fixed")


def descent(x: Any, w: Any, b: Any) -> Any:
    """Return two steps of descent, as a gradient has them: masks of weights a half, a rate, a batch."""
    for _ in range(2):
        z = x @ w
        mask = where(z > 0) * 0.5 + where(z >= 0.0) * 0.5
        g = (fn.maximum(z, 0.0) - 0.25) * (1 / 6) * mask
        w = tacit.assume(w - (x.T @ g) * 0.125, -1, 1, why="a test")
    return w


def turning(x: Any, w: Any, b: Any) -> Any:
    """Go through products in a loop, in whose body what leaves it is rounded."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        z = (carry[0] @ consts[0]) @ consts[0]
        return [tacit.assume(z * 0.125, -4, 4, why="a test")], [z.T * 0.3]

    last, every = repeat(turn, [w @ w.T], [x[:4, :]], [(-4, 4)], [[0.25, 0.125, 0.5]])
    return [last[0], every[0]]


def told(x: Any, w: Any, b: Any) -> Any:
    """Return the products from a loop that its body reads, too."""

    def turn(consts: list[Any], carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        z = carry[0] @ consts[0]
        return [tacit.assume(z @ consts[0], -4, 4, why="a test")], [z]

    last, every = repeat(turn, [w @ w.T * 0.25], [x[:4, :]], [(-4, 4)], [[0.25, 0.125]])
    return [last[0], every[0]]


BODIES: dict[str, Body] = {
    "products of products": lambda x, w, b: x @ w @ w.T @ w,
    "three in a row": lambda x, w, b: [x[:, :4] * x[:, 1:] * x[:, :4], (x * x) * x],
    "sums of products": lambda x, w, b: (x @ w - x[:, :4] * x[:, 1:] + x[:, :4]) @ w.T,
    "a mean": lambda x, w, b: (x[:, :4] * x[:, 1:]).mean(axis=0),
    "a sum": lambda x, w, b: (x @ w).sum(axis=0) * b,
    "a factor": lambda x, w, b: (x @ w).T * (1 / 7),
    "a quotient": lambda x, w, b: -(x @ w)[1:] / 12,
    "factors": lambda x, w, b: [x[:, :4] * x[:, 1:] * -0.125, (x @ w) * 1e-3],
    "a factor first": lambda x, w, b: ((x * (-1 / 128)) @ w, (x[:, :4] * 0.3) * b.reshape(1, 4)),
    "a mask": lambda x, w, b: (x @ w) * where(x[:, :4] > 0),
    "a mask and a product": lambda x, w, b: ((x @ w) * where(x[:, :4] > 0)) @ w.T,
    "masks": lambda x, w, b: where(x > 0) * where(x < 0.5) * x,
    "a mask that is told": lambda x, w, b: [m := where(x > 0), m * x],
    "a mask and numbers": lambda x, w, b: (where(x > 0) + x) * x,
    "a late one": lambda x, w, b: fn.maximum((x @ w) @ w.T * where(x > 0), 0.125),
    "descent": descent,
    "a loop": turning,
    "a loop that tells": told,
}


AS_EVER = ("a mask that is told", "a mask and numbers", "a loop that tells")
"""Of which nothing can be held otherwise."""


def recorded(body: Body) -> Program:
    trace = Trace()
    x, y = (trace.input(v, o, (6, 5), "fixed", -0.5, 0.5) for v, o in (("x", "alice"), ("y", "bob")))
    w, u = (trace.input(v, o, (5, 4), "fixed", -0.5, 0.5) for v, o in (("w", "bob"), ("u", "carol")))
    b = trace.input("b", "carol", (4,), "fixed", -1, 1)
    outs = body(x + y, w + u, b)
    for i, out in enumerate(outs if isinstance(outs, list | tuple) else [outs]):
        reveal(out, why="a test", name=f"r{i}")
    return parse(optimise(trace.program()).text())


def given(seed: int = 3) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    draw = lambda *shape: np.round(rng.uniform(-0.5, 0.5, shape), 2)  # noqa: E731
    bob = {"y": draw(6, 5), "w": draw(5, 4)}
    return {"alice": {"x": draw(6, 5)}, "bob": bob, "carol": {"u": draw(5, 4), "b": draw(4)}}


def found(
    program: Program, fmt: Format = FMT, protocol: str = "rep3", network: Network = LOOPBACK
) -> dict[str, list[Rounding]]:
    """Return what is not rounded as ever, by operation."""
    place = nowhere(OWNERS, network=network)
    model = CostModel(protocol, load(protocol).cards, place, Ring(fmt.width), dealer="zoe")
    how = scales(program, infer(program, fmt=fmt), model, fmt)
    out: dict[str, list[Rounding]] = {}
    for eqn in program.eqns:
        if eqn.outs[0] in how:
            out.setdefault(eqn.op, []).append(how[eqn.outs[0]])
    return out


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("fmt", [FMT, WIDE], ids=str)
@pytest.mark.parametrize("name", BODIES)
def test_same_answers_at_the_cost_that_was_predicted(
    name: str, fmt: Format, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = recorded(BODIES[name])
    want = run_clear(program, fmt, given())

    def run() -> tuple[Any, int, int]:
        with simulate(
            "rep3", OWNERS, network=network, seed=3, width=fmt.width, frac_bits=fmt.frac_bits
        ) as session:
            got, meters = run_metered(session, program, given())
        model = predict(program, "rep3", fmt, OWNERS, OWNERS, network=network)
        assert_as_predicted(meters, model)
        return got["carol"], model.rounds, model.total_bytes

    got, _, _ = run()
    assert all(np.allclose(got[k], v, atol=64 * 2.0**-fmt.frac_bits) for k, v in want.items())
    with_all_bits(monkeypatch)
    got, rounds, size = run()
    assert all(np.allclose(got[k], v, atol=64 * 2.0**-fmt.frac_bits) for k, v in want.items())
    monkeypatch.setattr(widths, "scales", lambda *_: {})
    before, other, more = run()
    assert rounds < other or size < more or name in AS_EVER or network.name == "narrow"
    assert rounds <= other
    assert all(np.allclose(got[k], v, atol=64 * 2.0**-fmt.frac_bits) for k, v in before.items())


@pytest.mark.parametrize("name", BODIES)
def test_a_protocol_without_a_form_that_is_worth_keeping(name: str) -> None:
    """It multiplies by public factors as it rounds, and drops fewer bits of what was made of truth values."""
    program = recorded(BODIES[name])
    with simulate("semi2k", OWNERS, dealer="dora", seed=3) as session:
        learned, meters = run_metered(session, program, given())
    want, got = run_clear(program, FMT, given()), learned["carol"]
    assert all(np.allclose(got[k], v, atol=64 * UNIT) for k, v in want.items())
    how = [r for each in found(program, protocol="semi2k").values() for r in each]
    assert not [r for r in how if r.drop == 0 and (r.extra or r.early)]
    model = predict(program, "semi2k", FMT, OWNERS, OWNERS, dealer="dora")
    assert all(model.sent_by(o) == sum(t.payload_sent for t in meters[o].peers.values()) for o in OWNERS)


def numbers(seed: int, n: int, top: float) -> Any:
    rng = np.random.default_rng(seed)
    return rng.integers(-int(top / UNIT), int(top / UNIT) + 1, n) * UNIT


FACTORS = [0.125, -1 / 128, 1 / 3, -0.1, 1e-4, 7.25, 2.0**-17, 3.3, 3.0, -1.0, 12.0, 0.7]


@pytest.mark.parametrize(
    ("factor", "inverse"), [(c, False) for c in FACTORS] + [(c, True) for c in (7.25, 3.0, -128.0, 0.3, 0.5)]
)
def test_a_public_factor_is_rounded_once(factor: float, inverse: bool) -> None:
    """The error stays within that of the product with the public number alone: a unit and a 1/16 of one."""
    trace = Trace()
    x, y = (trace.input(v, o, (500,), "fixed", -4, 4) for v, o in (("x", "alice"), ("y", "bob")))
    z = x * y / factor if inverse else x * y * factor
    reveal(z, why="a test", name="r")
    program = trace.program()
    exact = Fraction(factor) if not inverse else 1 / Fraction(factor)
    how = found(program)
    rounded = exact.denominator != 1
    assert bool(how) == rounded
    if rounded:
        assert how["div" if inverse else "mul"][-1] == Rounding(done=True, quiet=True)
    a, b = numbers(1, 500, 4), numbers(2, 500, 4)
    with simulate("rep3", OWNERS, seed=7) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]["r"]
    gaps = [abs(Fraction(g) - Fraction(p) * Fraction(q) * exact) for g, p, q in zip(got, a, b, strict=True)]
    slack = 1 + Fraction(1, 16) if rounded else abs(exact)
    assert max(gaps) <= slack * Fraction(UNIT)


def test_what_is_kept_is_not_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of sums of products is off by a unit, not by what its factors would have been."""
    with_all_bits(monkeypatch)
    trace = Trace()
    x, y = (trace.input(v, o, (500,), "fixed", -8, 8) for v, o in (("x", "alice"), ("y", "bob")))
    reveal((x * y - x) * y, why="a test", name="r")
    program = trace.program()
    assert found(program) == {"mul": [Rounding(16, 0), Rounding(0, 32)], "sub": [Rounding(16)]}
    a, b = numbers(1, 500, 8), numbers(2, 500, 8)
    with simulate("rep3", OWNERS, seed=7) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]["r"]
    pairs = [(Fraction(p), Fraction(q)) for p, q in zip(a, b, strict=True)]
    gaps = [abs(Fraction(g) - (p * q - p) * q) for g, (p, q) in zip(got, pairs, strict=True)]
    assert max(gaps) < Fraction(UNIT)


def test_a_sum_is_rounded_once_before_its_factor() -> None:
    """And not each of its terms with the factor, which would add up their errors."""
    trace = Trace()
    x, y = (trace.input(v, o, (64, 50), "fixed", -1, 1) for v, o in (("x", "alice"), ("y", "bob")))
    reveal((x * y).sum(axis=0) * 0.75, why="a test", name="r")
    a, b = numbers(1, 3200, 1).reshape(64, 50), numbers(2, 3200, 1).reshape(64, 50)
    with simulate("rep3", OWNERS, seed=7) as session:
        got = session.run(trace.program(), {"alice": {"x": a}, "bob": {"y": b}})["carol"]["r"]
    assert np.all(np.abs(got - (a * b).sum(axis=0) * 0.75) <= UNIT)


def test_what_comes_after_a_program_is_rounded_as_ever() -> None:
    trace = Trace()
    x, y = (trace.input(v, o, (20,), "fixed", -1, 1) for v, o in (("x", "alice"), ("y", "bob")))
    program = trace.program([x * y * -0.75])
    last = scales(
        program,
        infer(program, fmt=FMT),
        CostModel("rep3", load("rep3").cards, nowhere(OWNERS), Ring(64)),
        FMT,
    )
    assert last[program.outputs[0]].done
    data = {"alice": numbers(1, 20, 1), "bob": numbers(2, 20, 1)}

    def body(p: Any) -> Any:
        rt = Runtime(p, FMT, OWNERS)
        a, b = (Value(i.aval, data[i.owner] if i.owner == rt.me else None) for i in program.inputs)
        (scaled,) = rt.block(program, [a, b])
        (z,) = rt.step(Eqn("mul", (0, 1), (2,)), [scaled, b], [Aval((20,), "fixed", -1, 1)])
        return p.reveal(rt.share(z), OWNERS)

    opened = testing.run("rep3", 64, body)["alice"]
    want = data["alice"] * data["bob"] ** 2 * -0.75
    assert np.all(np.abs(Ring(64).to_floats(opened, 16) - want) <= 2 * UNIT)


def test_what_takes_no_message_ends_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that is kept as it was multiplied lets calls that were left wait on."""
    with_all_bits(monkeypatch)

    def rounds(body: Body) -> int:
        return predict(recorded(body), "rep3", FMT, OWNERS, OWNERS).rounds

    assert rounds(lambda x, w, b: [x @ w, (x * 0.3) @ w]) == rounds(lambda x, w, b: x @ w)


def test_a_product_with_a_truth_value_is_exact() -> None:
    trace = Trace()
    x, y = (trace.input(v, o, (500,), "fixed", -8, 8) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(where(x > y) * y, why="a test", name="r")
    program = trace.program()
    assert found(program) == {"convert": [Rounding(-16)], "mul": [Rounding(0, 0)]}
    a, b = numbers(1, 500, 8), numbers(2, 500, 8)
    with simulate("rep3", OWNERS, seed=7) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]["r"]
    assert np.array_equal(got, np.where(a > b, b, 0))


OTHERS: dict[str, Body] = {
    "an opened product": lambda x, w, b: [z := x @ w, z @ w.T],
    "a sum with an opened one": lambda x, w, b: [z := x @ w + 1, z @ w.T],
    "a comparison of secrets": lambda x, w, b: [where((z := x @ w) < x[:, :4]), z @ w.T],
    "a function": lambda x, w, b: [fn.exp(z := x @ w), z @ w.T],
    "a factor, and another reader": lambda x, w, b: [(z := x @ w) * 0.125, fn.exp(z)],
    "a sum before a factor": lambda x, w, b: [fn.exp(s := (x @ w).sum(axis=0)), s * 0.125],
    "a whole number": lambda x, w, b: (x @ w) * 4.0,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_else_reads_a_product_has_it_rounded_at_once(name: str) -> None:
    assert not found(recorded(OTHERS[name]))


@pytest.mark.parametrize("bound", [*(2.0**b for b in (1, 3, 4, 4.5)), 25.3, 32.0, 256.0])
def test_it_is_done_where_it_fits(bound: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three factors take 48 fractional bits and those of the whole numbers, k − 2 at most, with a margin."""
    with_all_bits(monkeypatch)
    trace = Trace()
    x, y = (trace.input(v, o, (64,), "fixed", -bound, bound) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(x * y * y, why="a test", name="r")
    program = trace.program()
    assert bool(found(program)) == (bound <= 2**4.5)
    rng = np.random.default_rng(11)
    top = np.floor(bound / UNIT) * UNIT
    a, b = (rng.choice([-1, 1], 64) * (top - UNIT * rng.integers(0, 3, 64)) for _ in range(2))
    with simulate("rep3", OWNERS, seed=11) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]["r"]
    assert np.all(np.abs(got - a * b * b) <= UNIT * (2 if found(program) else bound + 2))


@pytest.mark.parametrize("t", [24, 25, 26, 27, 28, 29, 30, 31])
def test_a_factor_is_taken_along_where_it_fits(t: int) -> None:
    """A product of 2f fractional bits times m takes k − 2 bits at most."""
    trace = Trace()
    x, y = (trace.input(v, o, (64,), "fixed", -1.5, 1.5) for v, o in (("x", "alice"), ("y", "bob")))
    factor = (2.0**t - 1) * 2.0**-20
    reveal(x * y * factor, why="a test", name="r")
    program = trace.program()
    assert bool(found(program)) == (t < 29)
    narrow = Trace()
    x, y = (narrow.input(v, o, (64,), "fixed", -1.5, 1.5) for v, o in (("x", "alice"), ("y", "bob")))
    reveal(tacit.assume(x * y, -0.5, 0.5, why="a test") * factor, why="a test", name="r")
    done = [r for each in found(narrow.program()).values() for r in each if r.done]
    assert bool(done) == (t < 29)  # whatever is said of it, the product itself has to fit
    a, b = numbers(1, 64, 1.5), np.full(64, 1.5)
    a[:4] = 1.5, -1.5, 1.5 - UNIT, UNIT - 1.5
    with simulate("rep3", OWNERS, seed=11) as session:
        got = session.run(program, {"alice": {"x": a}, "bob": {"y": b}})["carol"]["r"]
    assert np.all(np.abs(got - a * b * factor) <= UNIT * (2 if t < 29 else factor + 2))


def test_a_price_decides() -> None:
    """Bits that are kept are lost later, by messages that grow with them: many results are not worth a round."""

    def kept(n: int, network: Network) -> bool:
        trace = Trace()
        x, z = (trace.input(v, o, (n, 1), "fixed", -1, 1) for v, o in (("x", "alice"), ("z", "carol")))
        y = trace.input("y", "bob", (1, 64), "fixed", -1, 1)
        reveal((x * z) @ y, why="a test", name="r")
        return bool(found(trace.program(), network=network))

    sizes = [[kept(n, network) for n in (8, 80, 800, 8000)] for network in NETWORKS]
    assert [sum(each) for each in sizes] == [2, 2, 3, 0]
