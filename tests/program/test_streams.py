"""Tables read in blocks: the same answers as arrays in memory, few passes, little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tacit
from tacit.array import functions as fn
from tacit.array import streams
from tacit.array.interpret import Trace, reveal
from tacit.array.order import argmax
from tacit.array.passes import localise
from tacit.array.program import Program
from tacit.array.streams import Rows, check_input
from tacit.errors import DataError, RangeError, ShapeError

OWNERS = {"alice": 70, "bob": 53}
Body = Callable[[Any, Any], dict[str, Any]]


def _variance(x: Any, p: Any) -> dict[str, Any]:
    mean = x.sum(axis=0) / float(sum(OWNERS.values()))
    away = x - reveal(mean, why="test", name="mean")
    return {"variance": (away * away).sum(axis=0)}


def _counts(x: Any, p: Any) -> dict[str, Any]:
    """Counts and sums by an index, and by what a table says of it."""
    n = sum(OWNERS.values())
    index = fn.reshape(fn.astype(fn.floor(fn.abs(x[:, 0])), "int"), (1, n))
    table = x.context.const(np.arange(11.0).reshape(1, 11, 1) % 4)
    ones = x.context.const(np.ones((1, n, 1), np.int64))
    again = fn.reshape(fn.astype(x.context.bind("lookup", [table, index], {})[0], "int"), (1, n))
    by = {
        "n": ones,
        "s": fn.reshape(x[:, 1:], (1, n, 2)),
    }
    found = {k: x.context.bind("spread", [v, index], {"size": 11, "last": False})[0] for k, v in by.items()}
    each = fn.astype(fn.floor(fn.abs(x)), "int")  # sums of every row's own
    found["e"] = x.context.bind("spread", [fn.reshape(x, (n, 3, 1)), each], {"size": 11, "last": False})[
        0
    ].sum(0)
    found["a"] = x.context.bind("spread", [by["s"], again], {"size": 4, "last": False})[0]
    return found


BODIES: dict[str, Body] = {
    "counts": _counts,
    "every": lambda x, p: {
        "a": fn.all(x > -9.9, axis=0),
        "b": fn.any(x[:, 1] > 9.9),
        "c": fn.astype(fn.all(x > -5, axis=1), "int").sum(),
    },
    "bits": lambda x, p: {
        "w": (fn.floor(x) ^ 5).sum(axis=0),
        "c": fn.population_count(fn.floor(x[:, 1]) & 7).sum(),
    },
    "extremes of rows": lambda x, p: {"h": fn.max(x, axis=1).sum(), "l": fn.min(x)},
    "where": lambda x, p: {"w": argmax(x, axis=0)},
    "sums": lambda x, p: {"s": x.sum(axis=0), "t": (x * x).sum(), "n": p.sum(), "c": x[:, 1].sum()},
    "gram": lambda x, p: {"g": (x * 0.1).T @ (x * 0.1)},
    "masked gram": lambda x, p: {"m": (x.T * fn.astype(p, "fixed")) @ x},
    "two passes": _variance,
    "histogram": lambda x, p: {
        "h": fn.astype(x[:, 0][:, None] < np.array([-5.0, 0.0, 2.5]), "int").sum(axis=0)
    },
    "maximum": lambda x, p: {"h": fn.max(x, axis=0), "l": fn.min(x[:, 2])},
    "columns": lambda x, p: {
        "d": fn.stack([x[:, 0], x[:, 2] * 2.0, fn.astype(p, "fixed")], axis=1).sum(axis=0)
    },
    "fit": lambda x, p: {"y": (x @ np.array([0.5, -1.0, 2.0])).sum()},
    "row sums": lambda x, p: {"r": x.sum(axis=1)},
    "rows themselves": lambda x, p: {"all": x * 2.0},
    "turned": lambda x, p: {"f": (x[::-1] * 2.0).sum(axis=0), "k": x[:, [2, 0]].sum(axis=0)},
    "part of the rows": lambda x, p: {"part": x[5:40].sum(axis=0), "every": x[::2].sum()},
    "reshaped": lambda x, p: {"r": x.reshape(sum(OWNERS.values()), 3, 1)[:, 1:, :].sum(axis=(0, 2))},
    "ordered": lambda x, p: {"c": fn.cumsum(x, axis=1).sum(axis=0), "along": fn.cumsum(x, axis=0)},
}


def program(body: Body) -> Program:
    trace = Trace()
    xs = [trace.input("x", o, (n, 3), "fixed", -10, 10) for o, n in OWNERS.items()]
    ps = [trace.input("p", o, (n,), "bool", 0, 1) for o, n in OWNERS.items()]
    for name, value in body(fn.concat(xs), fn.concat(ps)).items():
        reveal(value, why="test", name=name)
    return localise(trace.program())


def rows(a: np.ndarray, read: list[tuple[int, int]] | None = None) -> Rows:
    def block(start: int, stop: int, memo: Any) -> np.ndarray:
        if read is not None:
            read.append((start, stop))
        return a[start:stop]

    return Rows(a.shape, a.dtype, 0, block)


def data() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return {o: {"x": rng.uniform(-10, 10, (n, 3)), "p": rng.random(n) < 0.7} for o, n in OWNERS.items()}


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
@pytest.mark.parametrize("name", BODIES)
def test_the_same_answers_in_blocks(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", block)
    p, arrays = program(BODIES[name]), data()
    with tacit.simulate("rep3", parties=("alice", "bob", "carol"), seed=5) as s:
        plain = s.run(p, arrays)["carol"]
    blocks = {o: {k: rows(v) for k, v in columns.items()} for o, columns in arrays.items()}
    with tacit.simulate("rep3", parties=("alice", "bob", "carol"), seed=5) as s:
        streamed = s.run(p, blocks)["carol"]
    assert plain.keys() == streamed.keys()
    for key in plain:
        # Only the order of float64 additions differs: at most one unit after encoding.
        assert np.allclose(plain[key], streamed[key], rtol=0, atol=2.0**-15), key


def test_sums_that_need_no_other_share_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", 10)
    for name, passes in (
        ("sums", 1),
        ("gram", 1),
        ("two passes", 2),
        ("histogram", 1),
        ("maximum", 1),
        ("every", 1),
        ("bits", 1),
        ("counts", 1),
    ):
        reads: list[tuple[int, int]] = []
        arrays = data()
        inputs: dict[str, dict[str, Any]] = {o: dict(c) for o, c in arrays.items()}
        inputs["alice"]["x"] = rows(arrays["alice"]["x"], reads)
        with tacit.simulate("rep3", parties=("alice", "bob", "carol"), seed=5) as s:
            s.run(program(BODIES[name]), inputs)
        # One more pass, the first, checks the bounds.
        assert reads == [(at, at + 10) for at in range(0, 70, 10)] * (1 + passes), name


def test_bounds_are_checked_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", 10)
    spec = program(BODIES["sums"]).inputs[0].aval
    for value, error in ((11.0, RangeError), (np.nan, DataError)):
        a = data()["alice"]["x"]
        a[65, 1] = value
        with pytest.raises(error, match="'x'"):
            check_input("x", rows(a), spec)
    with pytest.raises(ShapeError, match="shape"):
        check_input("x", rows(data()["bob"]["x"]), spec)


def test_a_mapped_file_is_read_in_blocks(tmp_path: Path) -> None:
    a = np.arange(12.0).reshape(4, 3)
    np.save(tmp_path / "a.npy", a)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.array_equal(np.asarray(streams.from_file(mapped)), a)
    assert np.array_equal(np.asarray(streams.from_file(mapped[1:])), a[1:])
    assert np.array_equal(streams.from_file(mapped[:, 1:]).block(1, 3), a[1:3, 1:])


def test_memory_is_that_of_a_block(tmp_path: Path) -> None:
    n = 1 << 21
    file = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (n,))
    file[:] = 3.0
    file.flush()
    trace = Trace()
    x = trace.input("x", "alice", (n,), "fixed", 0, 100)
    y = trace.input("y", "bob", (), "fixed", 0, 100)
    reveal(((x - 1.0) * (x - 1.0)).sum() + y, why="test", name="out")
    p = localise(trace.program())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    with tacit.simulate("rep3", parties=("alice", "bob", "carol"), seed=5) as s:
        got = s.run(p, {"alice": {"x": mapped}, "bob": {"y": 2.0}})["carol"]["out"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert got == pytest.approx(4.0 * n + 2.0)
    assert peak < 8 * n / 2
