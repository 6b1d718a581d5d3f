"""The ring is the narrowest that provably fits; what fits none is refused with line, interval and remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tacit.array import functions as fn
from tacit.array.analyse import plan
from tacit.array.interpret import Trace, reveal
from tacit.array.ops import table
from tacit.array.program import Program
from tacit.array.ranges import AS_MUCH, fit
from tacit.array.repeat import repeat
from tacit.errors import RangeError, UsageError

NAMES = ("alice", "bob", "carol")


def product(lo: float, hi: float, rows: int = 4) -> Program:
    trace = Trace()
    x = trace.input("x", "alice", (rows,), "fixed", lo, hi)
    y = trace.input("y", "bob", (rows,), "fixed", lo, hi)
    reveal((x * y).sum(), why="test")
    return trace.program()


@pytest.mark.parametrize(
    ("bound", "width", "frac_bits"),
    [(1, 64, 24), (100, 64, 24), (1000, 64, 20), (10_000, 64, 16), (60_000, 128, 44), (1e7, 128, 36)],
)
def test_format_follows_from_the_bounds(bound: float, width: int, frac_bits: int) -> None:
    chosen = fit(product(-bound, bound))
    assert (chosen.width, chosen.frac_bits) == (width, frac_bits)


def test_60_000_times_60_000_never_wraps() -> None:
    with pytest.raises(
        RangeError,
        match=r"test_ranges\.py:\d+: mul of values in .*60000.* may overflow.*, or allow width 128$",
    ):
        fit(product(-60_000, 60_000), width=64)


def test_nothing_fits() -> None:
    with pytest.raises(
        RangeError, match=r"the 128-bit ring.*Declare tighter bounds.*, or use fewer fractional bits$"
    ):
        fit(product(-1e18, 1e18))


def test_int_products_are_exact_or_refused() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (), "int", 0, 2**40)
    y = trace.input("y", "bob", (), "int", 0, 2**20)
    reveal(x * y, why="test")
    assert fit(trace.program()).width == 64
    reveal(x * y * y, why="test", name="cubed")
    assert fit(trace.program()).width == 128


def test_a_maximum_keeps_a_divisor_away_from_zero() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", 0, 9)
    y = trace.input("y", "bob", (3,), "fixed", 0, 9)
    reveal(x / fn.maximum(y, 1.0), why="test")
    assert fit(trace.program()).width == 64
    with pytest.raises(RangeError, match="may be zero"):
        x / y


def test_owner_local_values_need_no_ring() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (1000,), "fixed", -1e9, 1e9)
    total = (x * x).sum() * 1e-19
    reveal(total + trace.input("y", "bob", (), "fixed", -1, 1), why="test")
    assert fit(trace.program()).width == 64


@pytest.mark.parametrize("op", [lambda v: 1 / v, fn.log, fn.rsqrt], ids=["div", "log", "rsqrt"])
def test_what_may_round_to_zero_is_said_so(op: Callable[..., Any]) -> None:
    trace = Trace()
    for name, lo, hi in (("x", 1e-6, 1), ("wide", 1e-30, 1)):
        x = trace.input(name, "alice", (3,), "fixed", lo, hi) + trace.input(
            f"{name}0", "bob", (), "fixed", 0, 0
        )
        reveal(op(x), why="test", name=f"of {name}".replace(" ", "_"))
    with pytest.raises(
        RangeError, match=r"rounded to zero.*Declare a bound that keeps away from zero by"
    ) as caught:
        fit(trace.program())
    assert "unbounded" not in str(caught.value)


def quotient(bound: float) -> Program:
    trace = Trace()
    x = trace.input("x", "alice", (3,), "fixed", -bound, bound)
    n = trace.input("n", "bob", (3,), "fixed", 1, 9)
    reveal(x * 9 / n, why="test")
    return trace.program()


# 64 bits hold all of these; the quotients of the last two come to 2^-15, and not to 2^-10.
@pytest.mark.parametrize(
    ("bound", "chosen", "apart"),
    [
        (100, (64, 24), 0),
        (65536.0, (64, 22), 0),
        (1e6, (64, 18), 0),
        (1e7, (64, 16), 2.0**-15),
        (1e9, (128, 44), 0),
    ],
)
def test_quotients_are_close(bound: float, chosen: tuple[int, int], apart: float) -> None:
    """More fractional bits of a wide quotient were fewer of its divisor's reciprocal: a mean of 65536 was 65533."""
    program = quotient(bound)
    fmt = fit(program)
    assert (fmt.width, fmt.frac_bits) == chosen
    stated = plan(program, "rep3", fmt, NAMES, NAMES).noise
    assert (f"{apart:.2g} of itself" in stated and "div at test_ranges.py" in stated) if apart else not stated


@pytest.mark.parametrize(
    "asked", [{"frac_bits": 0}, {"frac_bits": 60}, {"frac_bits": -1}, {"width": 32}, {"at_least": 50}]
)
def test_a_format_that_there_is_not_is_named_with_those_there_are(asked: dict[str, int]) -> None:
    ((name, value),) = asked.items()
    with pytest.raises(RangeError, match=rf"{name}={value}\b.* rings of 64 bits take 4 to 24"):
        fit(product(0, 1), **asked)


@pytest.mark.parametrize("value", [16.5, "16", True])
def test_a_format_is_asked_for_in_whole_numbers(value: Any) -> None:
    with pytest.raises(UsageError, match="frac_bits is a whole number, not"):
        fit(product(0, 1), frac_bits=value)


@pytest.mark.parametrize("scale", [2828194.752355274, 1e6, 2.0**20, 986953.11])
def test_what_is_scaled_down_and_up_again_gets_more_bits(scale: float) -> None:
    """The end of the range is nearly six units, and rounds little; what lies inside is off by up to a third."""
    trace = Trace()
    x = fn.add(*(trace.input(f"x{o}", o, (3,), "fixed", 0, 0.5) for o in NAMES[:2]))
    reveal(fn.multiply(fn.divide(x, scale), scale), why="asked", name="r")
    program = trace.program()
    assert fit(program).width == 128
    stated = plan(program, "rep3", fit(program, width=64, frac_bits=24), NAMES, NAMES).noise
    assert "do not scale down what is scaled up again" in stated and "test_ranges.py" in stated


def test_a_range_that_rounds_to_nothing_is_not_taken_for_one() -> None:
    trace = Trace()
    x, y = (trace.input(f"x{o}", o, (3,), "fixed", 0, 1e-6) for o in NAMES[:2])
    reveal(fn.multiply(fn.multiply(x, y), 1e12), why="asked", name="r")
    assert fit(trace.program()).width == 128


def test_a_format_that_is_asked_for_is_taken_and_its_quotients_are_named() -> None:
    program = quotient(65536.0)
    asked = fit(program, frac_bits=24)
    assert asked.frac_bits == 24
    assert "div at test_ranges.py" in plan(program, "rep3", asked, NAMES, NAMES).noise
    # A few units are all that a small quotient with few fractional bits is off by: fewer would not help.
    program = quotient(0.1)
    coarse = fit(program, frac_bits=10)
    assert coarse.frac_bits == 10
    assert not plan(program, "rep3", coarse, NAMES, NAMES).noise


def looped(turn: Callable[[Any, Any], tuple[Any, Any]], x: Any) -> Any:
    """Return what a loop of three turns carries, and what it gives in each."""

    def body(held: list[Any], carry: list[Any], _: Any) -> tuple[list[Any], list[Any]]:
        after, out = turn(held[0], carry[0])
        return [after], [out]

    (last,), (every,) = repeat(body, [x], [fn.abs(x)], [(0.0, 2.0)], [np.zeros(3)])
    return last, every


STEPS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "Adam's step": (lambda g: g * 0.1 / 0.1 / (fn.sqrt(fn.square(g) * 0.001 / 0.001) + 1e-3), 128),
    "a logarithm": (lambda g: fn.log(fn.sqrt(fn.square(g)) + 1e-5), 128),
    "scaled up": (lambda g: 1e-3 / (fn.square(g) * 1e5 + 1e-3), 128),
    "through moves": (lambda g: g / (fn.maximum(-fn.sqrt(fn.square(g))[::-1], -1.0) * -1.0 + 1e-6), 128),
    "a cosine": (lambda g: g / (fn.sqrt(fn.square(g)) * fn.sqrt(fn.square(g[::-1])) + 1e-5), 128),
    "masked": (lambda g: g / (fn.sqrt(fn.square(g)) * (g > 0) + 1e-5), 128),
    "turned": (lambda g: g / (fn.matmul(np.eye(4), fn.sqrt(fn.square(g))) + 1e-5), 128),
    "of a loop": (lambda g: g / (looped(lambda x, c: (x * 0.0, fn.sqrt(fn.square(x))), g)[1][0] + 1e-5), 128),
    "carried": (lambda g: looped(lambda x, c: (fn.sqrt(fn.square(x)), x / (c + 2e-5)), g)[1][1], 128),
    "the root of a count": (lambda g: g / (fn.sqrt(fn.sum(g > 0)) + 1e-5), 64),
    "its variance and more": (lambda g: g / fn.sqrt(fn.square(g) + 1e-5), 64),
    "its deviation, held up": (lambda g: g / fn.maximum(fn.sqrt(fn.square(g)), 1e-2), 64),
    "away from zero": (lambda g: g / (fn.sqrt(fn.square(g) + 0.25) * 1000.0), 64),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("name", STEPS)
def test_a_divisor_that_may_be_rounding_alone_gets_more_bits(name: str, inside: bool) -> None:
    made, width = STEPS[name]
    trace = Trace()
    x = fn.multiply(*(trace.input(f"x{o}", o, (4,), "fixed", -1, 1) for o in NAMES[:2]))
    if inside:
        span = (-1e6, 1e6)
        (out,), _ = repeat(lambda held, carry, _: ([made(held[0])], []), [x], [x], [span], [np.zeros(3)])
    else:
        out = made(x)
    reveal(out, why="asked", name="r")
    program = trace.program()
    assert fit(program).width == width
    stated = plan(program, "rep3", fit(program, width=64), NAMES, NAMES).noise
    assert ("rounding before it may move its values" in stated and "test_ranges.py" in stated) == (width > 64)


def test_what_passes_an_error_on_is_in_the_table() -> None:
    assert set(table()) >= AS_MUCH
