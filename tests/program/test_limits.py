"""Comparisons with public numbers that no unit stands for: right for whole numbers, and beside zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tacit
from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.limits import faithful
from tacit.array.merge import optimise

UNIT = 2.0**-24
VALUES = np.array([0.0, 0.25, -UNIT, UNIT, 0.5, -0.25])
WHOLE = np.array([0, 1, -1, 2, 5, -5])
LIMITS = (1e-9, -1e-9, UNIT / 2, -UNIT / 2, 1e-300)
FRACTIONS = (1e-9, -1e-9, 1 + 1e-9, 1 - 1e-9, 2.5, -0.5, 2.0, 0.0, 1e17, -1e17)
HOW: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda x, c: x < c,
    "<=": lambda x, c: x <= c,
    ">": lambda x, c: x > c,
    ">=": lambda x, c: x >= c,
    "==": lambda x, c: x == c,
    "!=": lambda x, c: x != c,
}


def answer(f: Callable[[Any], Any], values: np.ndarray, owners: str, column: tacit.Column) -> np.ndarray:
    """Return what a study of one owner's values, or of three that are added, finds."""
    study = tacit.Study(
        lambda t: {"r": f(sum(t[o] for o in owners))},
        tables=[
            tacit.Table(o, len(values), [tacit.Column(o, column.kind, column.lo, column.hi)]) for o in owners
        ],
        compute=("a", "b", "c"),
        results={"r": tacit.Result("all", why="asked")},
        frontend="array",
        frac_bits=24,
    )
    given = {o: {o: values if o == "a" else np.zeros_like(values)} for o in owners}
    return np.asarray(study.simulate(given)["a"]["r"])


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("owners", ["abc", "a"])
def test_zero_keeps_its_side_of_what_rounds_to_zero(how: str, owners: str) -> None:
    def every(x: Any) -> Any:
        return fn.stack([HOW[how](x, c) for c in LIMITS] + [HOW[how](x, np.full(6, c)) for c in LIMITS])

    got = answer(every, VALUES, owners, tacit.Column("x", "fixed", -1, 1))
    want = np.stack([HOW[how](VALUES, c) for c in LIMITS] * 2)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("how", HOW)
def test_several_limits_at_once_of_which_some_vanish(how: str) -> None:
    limits = np.array([1e-9, 0.25, -1e-9, 0.0, 0.5, -0.25])
    got = answer(lambda x: HOW[how](x, limits), VALUES, "abc", tacit.Column("x", "fixed", -1, 1))
    np.testing.assert_array_equal(got, HOW[how](VALUES, limits))


@pytest.mark.parametrize("how", HOW)
def test_whole_numbers_meet_fractions_exactly(how: str) -> None:
    got = answer(
        lambda x: fn.stack([HOW[how](x, c) for c in FRACTIONS] + [HOW[how](x, np.array(FRACTIONS[:6]))]),
        WHOLE,
        "abc",
        tacit.Column("x", "int", -9, 9),
    )
    want = np.stack([HOW[how](WHOLE, c) for c in FRACTIONS] + [HOW[how](WHOLE, np.array(FRACTIONS[:6]))])
    np.testing.assert_array_equal(got, want)


def test_comparisons_that_are_merged_with_an_extreme_stay_right() -> None:
    def both(x: Any) -> Any:
        lower = fn.minimum(x, 1e-9)
        return fn.stack([x < 1e-9, x > 1e-9]), lower

    def truths(x: Any) -> Any:
        found, lower = both(x)
        return fn.where(found, fn.broadcast_to(lower, (2, 6)), 7.0)

    got = answer(truths, VALUES, "abc", tacit.Column("x", "fixed", -1, 1))
    lower = np.minimum(VALUES, 0)
    np.testing.assert_array_equal(
        got, np.stack([np.where(VALUES < 1e-9, lower, 7), np.where(VALUES > 1e-9, lower, 7)])
    )


EPSILON = 1e-9
GUARDS: dict[str, Callable[[Any, Any], Any]] = {
    "maximum": lambda x, xp: xp.maximum(x, EPSILON) >= EPSILON,
    "maximum, below": lambda x, xp: xp.maximum(x, EPSILON) < EPSILON,
    "minimum": lambda x, xp: xp.minimum(x, EPSILON) <= EPSILON,
    "clip": lambda x, xp: xp.minimum(xp.maximum(x, EPSILON), 1.0) < EPSILON,
    "where": lambda x, xp: xp.where(x > 0.3, EPSILON, x + 1) == EPSILON,
    "sum": lambda x, xp: (x + EPSILON) < EPSILON,
    "difference": lambda x, xp: (EPSILON - x) < EPSILON,
}


@pytest.mark.parametrize("guard", GUARDS)
def test_a_value_meets_the_number_that_is_part_of_it_as_it_is_itself_rounded(guard: str) -> None:
    got = answer(lambda x: GUARDS[guard](x, fn), VALUES, "abc", tacit.Column("x", "fixed", -1, 1))
    np.testing.assert_array_equal(got, GUARDS[guard](VALUES, np))


def test_other_programs_stay_as_they_are() -> None:
    trace = Trace()
    parts = [trace.input("x", o, (6,), "fixed", -1, 1) for o in "abc"]
    reveal(fn.less(sum(parts[1:], parts[0]), 0.25), why="asked", name="r")
    program = optimise(trace.program())
    assert faithful(program, 24) is program
