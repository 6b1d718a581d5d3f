"""Large arrays through functions of one element, block by block: values within the same bounds, exact costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array import blocks as array_blocks
from tacit.array import functions as xp
from tacit.array import order
from tacit.array.analyse import nowhere
from tacit.array.interpret import Trace
from tacit.array.ops import table
from tacit.array.program import Aval, Program
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.secret import SecretArray
from tacit.core import blocks
from tacit.core.cost import CostModel
from tacit.core.ghost import ghost
from tacit.core.share import Share
from tacit.core.timing import LOOPBACK, Network
from tacit.gadgets import pairs
from tacit.net.memory import Hub
from tacit.testing import NAMES, dealer_of, gather, run, scatter

FORMAT = Format(64, 16)
SHAPE = (5, 50)
"""250 elements: four blocks of 64, the last one shorter."""
Call = Callable[[Any, Any], Any]
CALLS: dict[str, tuple[Call, Call]] = {
    "div": (lambda x, y: x / y, lambda x, y: x / y),
    "reciprocal": (lambda x, y: 1 / y, lambda x, y: 1 / y),
    "by a turned divisor": (lambda x, y: x.T / y.T, lambda x, y: x.T / y.T),
    "sqrt": (lambda x, y: xp.sqrt(y), lambda x, y: np.sqrt(y)),
    "rsqrt": (lambda x, y: xp.rsqrt(y), lambda x, y: 1 / np.sqrt(y)),
    "exp": (lambda x, y: xp.exp(x), lambda x, y: np.exp(x)),
    "log": (lambda x, y: xp.log(y), lambda x, y: np.log(y)),
    "sigmoid": (lambda x, y: xp.sigmoid(x), lambda x, y: 1 / (1 + np.exp(-x))),
    "greatest": (lambda x, y: xp.max(x), lambda x, y: x.max()),
    "tanh": (lambda x, y: xp.tanh(x), lambda x, y: np.tanh(x)),
}
"""On shares and in the clear; x lies in [-4, 4], y in [1/4, 4]."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LEAST", 64)
    monkeypatch.setattr(blocks, "ROUNDS_WORTH", 0)


def program(call: Callable[[SecretArray, SecretArray], SecretArray]) -> Program:
    trace = Trace()
    x, y = (trace.parameter(Aval(SHAPE, "fixed", lo, 4.0)) for lo in (-4.0, 0.25))
    return trace.program([call(x, y)])


def values() -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.integers(lo, 1024, SHAPE) / 256 for lo in (-1024, 64)]


def simulated(made: Program, protocol: str) -> tuple[Any, int, list[int]]:
    """Return the opened result, the rounds, and what each compute party sent."""
    names, dealer = NAMES[: 1 if protocol == "clear" else 3], dealer_of(protocol)
    hub = Hub((*names, *([dealer] if dealer else [])))

    def go(p: Any) -> Any:
        def held(v: Any) -> Share:
            return scatter(p, np.asarray(p.ring.encode_floats(v, FORMAT.frac_bits)))

        inputs = [Value(i.aval, None, held(v)) for i, v in zip(made.inputs, values(), strict=True)]
        (out,) = Runtime(p, FORMAT, names).block(made, inputs)
        p.party.flush()
        return out.share

    shares = run(protocol, FORMAT.width, go, dealer=dealer, hub=hub)
    ring = Ring(FORMAT.width)
    opened = gather({n: shares[n] for n in names}, protocol, ring)
    meters = [hub.mesh(n).meter for n in names]
    sent = [m.snapshot().total.payload_sent for m in meters]
    return ring.to_floats(opened, FORMAT.frac_bits), max(m.rounds for m in meters), sent


def predicted(made: Program) -> tuple[int, list[int]]:
    """Return rounds and what each party sends, of replicated sharing."""
    names = NAMES[:3]
    model = CostModel("rep3", protocols.load("rep3").cards, nowhere(names), Ring(FORMAT.width))
    Runtime(model, FORMAT, names).block(made, [Value(i.aval, None, ghost(SHAPE)) for i in made.inputs])
    return model.cost.rounds, [model.cost.sent_by(n) for n in names]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("protocol", protocols.REGISTRY)
@pytest.mark.parametrize("name", CALLS)
def test_blocks_give_what_the_whole_gives(name: str, protocol: str) -> None:
    call, clear = CALLS[name]
    got, _, _ = simulated(program(call), protocol)
    want = clear(*values())
    assert got.shape == want.shape
    assert np.max(np.abs(got - want) / np.maximum(1, np.abs(want))) < 2.0**-13


@pytest.mark.parametrize("name", CALLS)
def test_each_block_takes_the_rounds_again_and_the_model_knows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = program(CALLS[name][0])
    whole = predicted(made)
    monkeypatch.setattr(blocks, "LEAST", 64)
    monkeypatch.setattr(blocks, "ROUNDS_WORTH", 0)
    parts = predicted(made)
    assert whole[0] < parts[0]
    assert parts[0] <= 4 * whole[0] or name == "greatest", "four blocks"
    assert parts == simulated(made, "rep3")[1:]


def test_many_rows_are_sorted_with_a_few_bits_converted_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(lambda x, y: order.sort(xp.reshape(x, (x.size,))))
    monkeypatch.setattr(pairs, "cheaper", lambda *_: False)  # so few would be compared in pairs
    whole = predicted(made)
    monkeypatch.setattr(blocks, "LEAST", 128)
    monkeypatch.setattr(blocks, "ROUNDS_WORTH", 0)
    got, *costs = simulated(made, "rep3")
    assert np.array_equal(got, np.sort(values()[0].reshape(-1)))
    assert tuple(costs) == predicted(made) and costs[0] > whole[0]


def test_a_public_divisor_is_not_taken_in_blocks(small: None) -> None:
    made = program(lambda x, y: x / 3.0)
    assert predicted(made)[0] <= 3


def test_what_is_not_of_one_element_at_a_time_stays_whole() -> None:
    assert table().keys() >= array_blocks.NAMES
    assert not array_blocks.NAMES & {
        "sum",
        "matmul",
        "sort",
        "max",
        "cumsum",
        "scan",
        "concatenate",
        "reveal",
    }


def test_blocks_are_larger_where_rounds_are_dear() -> None:
    assert blocks.elements(LOOPBACK) == blocks.LEAST
    far = Network("far", 40_000, 12_500_000)
    assert blocks.elements(far) >= 2 * far.round_bytes > blocks.LEAST and blocks.elements(far) % 64 == 0
