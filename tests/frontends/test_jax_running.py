"""Running products and scans of many rows: as exact as by doubling, short in the text, and far cheaper; beside JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Program
from tacit.array.runtime import Format, Runtime
from tacit.core.timing import PRESETS
from tacit.frontends import jax_rules
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.frontends.jax_move import MAX_PLACES
from tacit.study import run_clear
from tacit.testing import run

OWNERS = ("alice", "bob", "carol")
FMT = Format(64, 16)
UNIT = 2.0**-16


def recorded(
    function: Callable[..., Any], shape: tuple[int, ...], kind: str, lo: float, hi: float
) -> Program:
    """Trace a function of an array that two owners share the sum of."""
    trace = Trace()
    x = trace.input("x", "alice", shape, kind, lo, hi) + trace.input("nought", "bob", shape, kind, 0, 0)
    reveal(trace_jax(function, [x]), why="test", name="it")
    return trace.program()


def shared(program: Program, x: Any) -> Any:
    data = {"alice": {"x": x}, "bob": {"nought": np.zeros_like(x)}, "carol": {}}

    def go(p: Any) -> Any:
        return Runtime(p, FMT, OWNERS).run(program, data[p.party.name])

    return np.asarray(run("rep3", FMT.width, go)["alice"]["it"])


def wanted(function: Callable[..., Any], x: Any) -> Any:
    with x64():
        return np.asarray(jax.jit(function)(x))


@pytest.mark.parametrize("few", [1, 3], ids=str)
def test_running_products_of_pairs(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_rules, "FEW_ROWS", few)
    rng = np.random.default_rng(few)
    for rows in (0, 1, 2, 3, 4, 7, 8, 9, 13):
        k = rng.choice([-1, 1, 1, 2], (rows, 2))
        for function in (lambda x: lax.cumprod(x, 0), lambda x: lax.cumprod(x, 0, reverse=True)):
            got = shared(recorded(function, k.shape, "int", -2, 2), k)
            assert np.array_equal(got, wanted(function, k))
        x = np.round(rng.uniform(-1, 1, (2, rows)) / UNIT) * UNIT
        got = shared(recorded(lambda x: lax.cumprod(x, 1), x.shape, "fixed", -1, 1), x)
        # A unit for each product, times later factors, of which none is above one.
        assert np.all(np.abs(got - np.cumprod(x, 1)) <= UNIT * np.arange(rows))


def test_running_products_of_many_cost_less_on_every_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def cost() -> list[Any]:
        program = recorded(lax.cumprod, (1 << 16,), "fixed", 0.5, 1)
        return [predict(program, "rep3", FMT, OWNERS, OWNERS, network=n) for n in PRESETS.values()]

    pairs = cost()
    monkeypatch.setattr(jax_rules, "FEW_ROWS", 1 << 16)
    for less, more in zip(pairs, cost(), strict=True):
        assert 3 * sum(less.links.values()) < sum(more.links.values())
        assert less.rounds < more.rounds and less.seconds < more.seconds


PADDED: dict[str, Callable[[Any], Any]] = {
    "between": lambda x: lax.pad(x, 7, ((0, 0, 1), (0, 0, 3))),
    "around and between": lambda x: lax.pad(x, 7, ((2, 1, 2), (1, 3, 1))),
    "less than nothing around": lambda x: lax.pad(x, 7, ((-3, -2, 2), (-1, 1, 2))),
    "an end more than there is": lambda x: lax.pad(x[:1], 7, ((-2, 2, 2), (0, 0, 0))),
    "the other end": lambda x: lax.pad(x, 7, ((9, -9, 1), (3, -5, 0))),
    "with a secret": lambda x: lax.pad(x, x[1, 2], ((1, 0, 1), (0, 0, 0))),
    "of what is known": lambda x: lax.pad(np.arange(5), x[0, 0], ((1, -1, 1),)),
    "single rows": lambda x: lax.pad(x[:1], 7, ((1, 0, 5), (0, 0, 1))),
    "no rows": lambda x: lax.pad(x[:0], 7, ((1, 2, 5), (0, 0, 1))),
    "truth values": lambda x: lax.pad(x > 0, True, ((1, 0, 1), (0, 2, 1))).astype(int),
    "gradient of a slice": lambda x: jax.grad(lambda v: (v[::2, 1::3] ** 2).sum())(x * 1.0),
}


@pytest.mark.parametrize("name", PADDED)
def test_padding_between_elements(name: str) -> None:
    x = np.random.default_rng(1).integers(-9, 10, (4, 6))
    assert np.array_equal(shared(recorded(PADDED[name], x.shape, "int", -9, 9), x), wanted(PADDED[name], x))


def test_scans_of_more_elements_than_places() -> None:
    """The interleaving of JAX's scan lists no places: the text is as long as the scan is deep."""

    def means(v: Any) -> Any:
        return lax.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (0 * v + 0.5, v))[1]

    n = 2 * MAX_PLACES + 3
    x = np.round(np.random.default_rng(2).uniform(-1, 1, n) / UNIT) * UNIT
    greatest = recorded(lambda v: lax.associative_scan(jnp.maximum, v), (n,), "fixed", -1, 1)
    decayed = recorded(means, (n,), "fixed", -1, 1)
    weighed = np.convolve(x, 0.5 ** np.arange(60))[:n]
    for program, want, slack in ((greatest, np.maximum.accumulate(x), 0), (decayed, weighed, 64 * UNIT)):
        assert len(program.text()) < 40_000
        got = run_clear(program, FMT, {"alice": {"x": x}, "bob": {"nought": np.zeros(n)}})["it"]
        assert np.max(np.abs(np.asarray(got) - want)) <= slack


def test_scans_of_few_on_shares() -> None:
    x = np.random.default_rng(3).integers(-9, 10, 37)
    function = lambda v: lax.associative_scan(jnp.maximum, v)  # noqa: E731
    assert np.array_equal(shared(recorded(function, x.shape, "int", -9, 9), x), np.maximum.accumulate(x))
