"""Whole numbers beyond 64 bits are right wherever they are computed: at an owner, in public, on shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tacit.array import functions as fn
from tacit.array import order, streams
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.ops import table
from tacit.array.program import PUBLIC, Aval
from tacit.array.ranges import fit
from tacit.array.session import simulate
from tacit.array.streams import Rows, check_input
from tacit.errors import RangeError
from tacit.study import run_clear

OWNERS = ("alice", "bob", "carol")
TOP = 2**40
X = np.array([TOP, -TOP, TOP - 1, 3, 0, 1 - TOP])
Body = Callable[[Any, Any], list[Any]]


def answers(body: Body, owner: str, local: bool = True, large: bool = False) -> list[Any]:
    """Return what a Program of a column of alice's and one of `owner` gives."""
    trace = Trace()
    x = trace.input("x", "alice", X.shape, "int", -TOP, TOP)
    y = trace.input("y", owner, X.shape, "int", -TOP, TOP)
    for i, value in enumerate(body(x, y)):
        reveal(value, why="a test", name=f"r{i}")
    program = optimise(trace.program(), local)
    fmt = fit(program)
    held = Rows(X.shape, X.dtype, 0, lambda start, stop, memo: X[start:stop]) if large else X
    data: dict[str, dict[str, Any]] = {o: {} for o in OWNERS}
    data["alice"]["x"] = held
    data[owner]["y"] = X[::-1].copy()
    with simulate("rep3", OWNERS, width=fmt.width, frac_bits=fmt.frac_bits, seed=3) as session:
        got = session.run(program, data)["bob"]
    clear = run_clear(program, fmt, data)
    assert all(np.array_equal(clear[name], got[name]) for name in got)
    return [got[f"r{i}"] for i in range(len(got))]


BODIES: dict[str, Body] = {
    "products": lambda x, y: [x * x, x * y * 3, x * x + y, fn.square(x), -(x * x)],
    "sums": lambda x, y: [fn.sum(x * y), fn.cumulative_sum(x * x), fn.sum(x * x) - fn.sum(y * y)],
    "matrices": lambda x, y: [x @ y, fn.outer(x, x), fn.reshape(x, (2, 3)) @ fn.reshape(y, (3, 2))],
    "order": lambda x, y: [
        fn.maximum(x * x, y),
        fn.max(x * y),
        abs(x * y),
        fn.clip(x * x, -5, 5),
        order.cummax(x * y),
        order.argmax(x * y),
    ],
    "choice": lambda x, y: [fn.where(x > 0, x * x, -(x * x)), fn.concat([x * x, y])[::2], fn.flip(x * x)],
    "places": lambda x, y: [
        order.sort(x * x),
        fn.take(x * y, np.array([5, 1])),
        fn._bind("spread", fn.reshape(x * x, (1, 6, 1)), fn.reshape(x % 2, (1, 6)), size=2, last=False),
        fn._bind("lookup", fn.reshape(x * x, (1, 6, 1)), fn.reshape(x % 2, (1, 6))),
    ],
    "truth": lambda x, y: [x * x > y * y, x * x == y * y, x * x * (x > 0)],
}


def exact(name: str) -> list[Any]:
    """Return the answers in Python's whole numbers."""
    x, y = X.astype(object), X[::-1].astype(object)
    return {
        "products": [x * x, x * y * 3, x * x + y, x * x, -(x * x)],
        "sums": [(x * y).sum(), np.cumsum(x * x), (x * x).sum() - (y * y).sum()],
        "matrices": [x @ y, np.outer(x, x), x.reshape(2, 3) @ y.reshape(3, 2)],
        "order": [
            np.maximum(x * x, y),
            (x * y).max(),
            abs(x * y),
            np.clip(x * x, -5, 5),
            np.maximum.accumulate(x * y),
            np.argmax(x * y),
        ],
        "choice": [np.where(x > 0, x * x, -(x * x)), np.concatenate([x * x, y])[::2], (x * x)[::-1]],
        "places": [
            np.sort(x * x),
            (x * y)[[5, 1]],
            np.array([[[sum(v * v for v in X.tolist() if v % 2 == b)] for b in (0, 1)]], object),
            np.array([[[X.tolist()[v % 2] ** 2] for v in X.tolist()]], object),
        ],
        "truth": [x * x > y * y, x * x == y * y, x * x * (x > 0)],
    }[name]


@pytest.mark.parametrize("owner", ["alice", "bob"])
@pytest.mark.parametrize("name", BODIES)
def test_owners_and_shares_hold_more_than_64_bits(name: str, owner: str) -> None:
    """An owner's product of whole numbers wrapped at 64 bits where that of two owners is right."""
    for got, want in zip(answers(BODIES[name], owner), exact(name), strict=True):
        assert np.array_equal(got, want), name


@pytest.mark.parametrize("local", [True, False])
def test_tables_in_blocks(local: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", 4)
    for name in ("products", "sums", "choice"):
        for got, want in zip(answers(BODIES[name], "alice", local, large=True), exact(name), strict=True):
            assert np.array_equal(got, want), name


def test_inputs_that_no_word_holds_are_refused() -> None:
    """2^64 − 3 is not −3."""
    aval = Aval((2,), "int", -8, 8, PUBLIC)
    with pytest.raises(RangeError, match="correct the table or the bound"):
        check_input("x", np.array([1, 2**64 - 3], np.uint64), aval)
    assert check_input("x", np.array([1, 7], np.uint64), aval).dtype == np.int64


@pytest.mark.parametrize("large", [False, True])
def test_words_without_a_sign(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner's 2^63 + 5 was shared as −2^63 + 5, though within its range."""
    monkeypatch.setattr(streams, "BLOCK", 2)
    words = np.array([2**63 + 5, 2**64 - 1, 7], np.uint64)
    trace = Trace()
    x = trace.input("x", "alice", (3,), "int", 0, 2**64 - 1)
    y = trace.input("y", "bob", (3,), "int", 0, 9)
    for i, value in enumerate((x, x + y, x + 1)):
        reveal(value, why="a test", name=f"r{i}")
    program = optimise(trace.program())
    fmt = fit(program)
    held = Rows((3,), words.dtype, 0, lambda start, stop, memo: words[start:stop]) if large else words
    data = {"alice": {"x": held}, "bob": {"y": np.array([1, 2, 3])}, "carol": {}}
    with simulate("rep3", OWNERS, width=fmt.width, frac_bits=fmt.frac_bits, seed=3) as session:
        got = session.run(program, data)["bob"]
    clear = run_clear(program, fmt, data)
    whole = words.astype(object)
    for i, want in enumerate((whole, whole + np.arange(1, 4), whole + 1)):
        assert np.array_equal(got[f"r{i}"], want) and np.array_equal(clear[f"r{i}"], want), i


def test_what_float64_rounded_is_no_broken_assumption() -> None:
    """A variance of equal values is −1e−17 in float64; its root was NaN, an error of another name."""
    (value,) = table()["assume"].clear([np.array([-1e-17, 0.5])], {"lo": 0.0, "hi": 1.0})
    assert np.array_equal(value, [0, 0.5])
    with pytest.raises(RangeError, match="does not"):
        table()["assume"].clear([np.array([-1e-3])], {"lo": 0.0, "hi": 1.0})
    with pytest.raises(RangeError, match="NaN or infinite"):
        table()["floor"].clear([np.array([np.nan])], {})
