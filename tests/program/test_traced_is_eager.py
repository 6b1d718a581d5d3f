"""Traced and eager runs agree, in values and in every message, under the same seeds.

But for where a Program rounds later than an eager session, which knows of no reader (decisions 0073, 0075), and for
the bits that no reader of a Program's values needs (0077): without these its messages are the same, with them fewer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import with_all_bits

import tacit
from tacit.array import functions as fn
from tacit.array.interpret import Trace
from tacit.array.program import parse

Study = Callable[[Any, Any], Any]

STUDIES: dict[str, Study] = {
    "product": lambda x, y: x * y + 1.5,
    "gram": lambda x, y: x.T @ y,
    "compare": lambda x, y: fn.where(x < y, x, y * 2),
    "divide": lambda x, y: x / y,
    "functions": lambda x, y: fn.exp(x * 0.25) + fn.log(y) + fn.sqrt(y),
    "reduce": lambda x, y: fn.max(x + y, axis=0) - fn.mean(x + y, axis=0),
    "shape": lambda x, y: fn.concat([x, y])[::-1, 1:].reshape(-1).cumsum(),
    "logic": lambda x, y: (x > 0) & ~(y > 3) | (x == y),
}


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    return rng.uniform(-4, 4, (4, 3)), rng.uniform(1, 8, (4, 3))


@pytest.mark.parametrize("name", STUDIES)
def test_same_values_and_same_transcript(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study, (x, y) = STUDIES[name], data()
    with tacit.simulate("rep3", seed=5, record=True) as s:
        a, b = s.input(x, "alice", bound=4), s.input(y, "bob", bound=(1, 8))
        eager = tacit.reveal(study(a, b), why="test", name="out")
        eager_hash = s.cluster.hub.transcript_hash()

    trace = Trace()
    a = trace.input("x", "alice", (4, 3), "fixed", -4, 4)
    b = trace.input("y", "bob", (4, 3), "fixed", 1, 8)
    tacit.reveal(study(a, b), why="test", name="out")
    program = parse(trace.program().text())
    given = {"alice": {"x": x}, "bob": {"y": y}}
    with tacit.simulate("rep3", seed=5) as s:
        short = s.run(program, given)
        few = sum(m.total.payload_sent for m in s.traffic().values())
    with_all_bits(monkeypatch)
    with tacit.simulate("rep3", seed=5, record=True) as s:
        traced = s.run(program, given)
        traced_hash = s.cluster.hub.transcript_hash()
        many = sum(m.total.payload_sent for m in s.traffic().values())

    assert np.array_equal(eager, traced["carol"]["out"])
    assert eager_hash == traced_hash
    assert np.allclose(eager, short["carol"]["out"], rtol=0, atol=16 * 2.0**-16)
    assert few < many or name == "logic"


def test_another_seed_gives_another_transcript() -> None:
    x, y = data()
    hashes = set()
    for seed in (1, 2):
        with tacit.simulate("rep3", seed=seed, record=True) as s:
            tacit.reveal(s.input(x, "alice") * s.input(y, "bob"), why="test")
            hashes.add(s.cluster.hub.transcript_hash())
    assert len(hashes) == 2
