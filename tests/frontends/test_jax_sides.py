"""Which side of a number an array is on where a truth value selects it, beside JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same

from tacit.array.interpret import Trace
from tacit.array.ranges import fit
from tacit.errors import RangeError
from tacit.frontends.jax import trace_jax

N = np.array([0, 1, 2, 7, 60, 0])
X = np.array([-4.0, -0.5, 0.25, 0.5, 1.0, 4.0])

COUNTS: dict[str, Callable[[Any, Any], Any]] = {
    "more than none": lambda x, n: x / jnp.where(n > 0, n, 1),
    "at least one": lambda x, n: x / jnp.where(n >= 1, n, 1),
    "none": lambda x, n: x / jnp.where(n == 0, 1, n),
    "not none": lambda x, n: x / jnp.where(n != 0, n, 1),
    "none or less": lambda x, n: x / jnp.where(n <= 0, 1, n),
    "less than one": lambda x, n: x / jnp.where(n < 1, 1, n),
    "number first": lambda x, n: x / jnp.where(0 < n, n, 1),  # noqa: SIM300
    "number first, at most": lambda x, n: x / jnp.where(0 >= n, 1, n),  # noqa: SIM300
    "by half": lambda x, n: x / jnp.where(n > 0.5, n, 1.0),
    "truth of a number": lambda x, n: x / jnp.where(n, n, 1),
    "negated": lambda x, n: x / jnp.where(~(n > 0), 1, n),
    "another fraction": lambda x, n: x / jnp.where(n > 0, n, 0.75),
    "below zero": lambda x, n: x / jnp.where(n - 60 < 0, n - 60, -1),
    "the highest": lambda x, n: x / jnp.where(n - 60 == 0, -1, n - 60),
    "and": lambda x, n: x / jnp.where((n > 0) & (x < 2), n, 1),
    "or": lambda x, n: x / jnp.where((n == 0) | (x > 2), 1, n),
    "twice": lambda x, n: x / jnp.where((n > 0) & (n < 30), n, 31),
    "counted again": lambda x, n: x / jnp.where((n * 2).sum() > 0, (n * 2).sum(), 1),
    "one axis more": lambda x, n: x / jnp.where((n > 0)[:, None], n[:, None], 1),
    "compared as a column": lambda x, n: x / jnp.where(n[:, None] > 0, n[:, None], 1),
    "selected": lambda x, n: x / lax.select_n(n < 1, n, jnp.ones_like(n)),
    "logarithm": lambda x, n: jnp.log(jnp.where(n > 0, n, 1)) + x,
    "in a loop": lambda x, n: lax.scan(
        lambda c, r: (jnp.where(c > 0, c, 1) + r, x / jnp.where(c > 0, c, 1)), n[0], n
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_over_which_is_divided_where_it_is_not_zero(name: str) -> None:
    same(COUNTS[name], [X, N])


FRACTIONS: dict[str, Callable[[Any], Any]] = {
    "above": lambda x: 1 / jnp.where(x > 0.25, x, 1.0),
    "from": lambda x: 1 / jnp.where(x >= 0.25, x, 1.0),
    "below": lambda x: 1 / jnp.where(x < -0.25, x, -1.0),
    "not below": lambda x: 1 / jnp.where(x < 0.25, 1.0, x),
    "a third": lambda x: 1 / jnp.where(x > 1 / 3, x, 1 / 3),
    "root": lambda x: jnp.sqrt(jnp.where(x > 0, x, 0.0)),
    "within": lambda x: jnp.exp(8 * jnp.where(jnp.abs(x) < 0.5, x, 0.0)) + jnp.where(x > 0.5, 0.5, x),
}


@pytest.mark.parametrize("name", FRACTIONS)
def test_a_fraction_on_its_side_of_a_number(name: str) -> None:
    same(FRACTIONS[name], [X])


def test_the_plan_says_why() -> None:
    trace = Trace()
    n = trace.input("n", "alice", (3,), "int", 0, 60)
    out = trace_jax(lambda n: jnp.where(n > 0, n, 1), (n,))
    assert (out.aval.lo, out.aval.hi) == (1, 60)
    assert [e.params["why"] for e in trace.eqns if e.op == "assume"] == [
        "what a comparison selects, on its side of a number"
    ]


OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "another array": lambda x, n: x / jnp.where(n > 0, n[::-1], 1),
    "the other side": lambda x, n: x / jnp.where(n > 0, 1, n),
    "not far enough": lambda x, n: x / jnp.where(n > -1, n, 1),
    "a number within": lambda x, n: x / jnp.where(n != 7, n, 7),
    "either": lambda x, n: x / jnp.where((n > 0) | (x < 2), n, 1),
    "not both": lambda x, n: x / jnp.where((n == 0) & (x < 2), 1, n),
    "zero instead": lambda x, n: x / jnp.where(n > 0, n, 0),
    "other rows": lambda x, n: x / jnp.where((n > 0)[:, None], n[None, :], 1),
    "no fraction is next to zero": lambda x, n: 1 / jnp.where(x > 0, x, 1.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_comparison_does_not_say_is_refused(name: str) -> None:
    trace = Trace()
    x = trace.input("x", "alice", (6,), "fixed", -4, 4) + trace.input("y", "bob", (6,), "fixed", 0, 0)
    n = trace.input("n", "alice", (6,), "int", 0, 60) + trace.input("m", "bob", (6,), "int", 0, 0)
    with pytest.raises(RangeError, match="which may be zero"):
        trace_jax(OTHERS[name], (x, n))


def test_an_end_that_a_format_may_round_to_zero_is_none() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (6,), "fixed", -4, 4) + trace.input("y", "bob", (6,), "fixed", 0, 0)
    trace_jax(lambda x: 1 / jnp.where(x > 2.0**-17, x, 1.0), (x,))
    with pytest.raises(RangeError, match="comes closer to zero"):
        fit(trace.program(), 64, 18)
