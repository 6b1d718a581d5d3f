"""The memory that a plan tells is at least what a run takes, and not more than four times that (decision 0096)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from whole import OWNERS, Compiled, Given, compile

from tacit.array.analyse import nbytes_in_words
from tacit.core import held as held_module
from tacit.core.held import Held
from tacit.core.share import in_order
from tacit.kernels import U128

N = 1 << 18
X, Y = (Given(np.linspace(-1, 1, N), -1, 1, owners=[o]) for o in OWNERS[:2])
G = Given(np.arange(N // 4) % 20, 0, 19, owners=["carol"])
PART = Given(np.linspace(-1, 1, N // 4), -1, 1, owners=["alice"])
MATRIX = Given(np.linspace(-1, 1, 400 * 400).reshape(400, 400), -1, 1, owners=["alice"])
OTHER = Given(np.linspace(-1, 1, 400 * 400).reshape(400, 400), -1, 1, owners=["bob"])
ROW, OTHER_ROW = (Given(np.linspace(-1, 1, 1024), -1, 1, owners=[o]) for o in OWNERS[:2])
KEYS, OTHER_KEYS = (Given(np.arange(1024) * 7 % 1000, 0, 999, owners=[o]) for o in OWNERS[:2])
POINTS = Given(np.linspace(-1, 1, 600 * 8).reshape(600, 8), -1, 1, owners=["alice"])
ASKED = Given(np.linspace(-1, 1, 100 * 8).reshape(100, 8), -1, 1, owners=["bob"])


def nearest(x: Any, asked: Any) -> Any:
    return lax.top_k(-((asked[:, None] - x) ** 2).sum(-1), 3)[1]


def loop(x: Any, y: Any) -> Any:
    return lax.fori_loop(0, 12, lambda i, w: w * y * 0.5 + x, x)


def rows(x: Any, y: Any) -> Any:
    """Return what a loop collects, row by row."""
    pairs = x.reshape(64, -1), y.reshape(64, -1)
    return lax.scan(lambda c, r: (c * 0.5 + r[0], c * r[1]), pairs[0][0] * pairs[1][0], pairs)[1]


def spread(x: Any, g: Any) -> Any:
    return jax.ops.segment_sum(x, g, 20)


def repeated(x: Any, times: int) -> Any:
    """Return the sum of numbers that broadcasting repeats and a reshape copies."""
    return jnp.broadcast_to(x, (times, 1024)).reshape(-1).sum()


PROGRAMS: dict[str, tuple[Callable[..., Any], dict[str, Given]]] = {
    "multiply": (lambda x, y: x * y, {"x": X, "y": Y}),
    "compare": (lambda x, y: jnp.where(x > y, x, y), {"x": X, "y": Y}),
    "exp": (lambda x, y: jnp.exp(x + y), {"x": X, "y": Y}),
    "cumsum": (lambda x, y: jnp.cumsum(x * y), {"x": X, "y": Y}),
    "matrix product": (lambda x, y: x @ y, {"x": MATRIX, "y": OTHER}),
    "segment sum": (spread, {"x": PART, "g": G}),
    "nearest": (nearest, {"x": POINTS, "asked": ASKED}),
    "loop": (loop, {"x": X, "y": Y}),
    "rows": (rows, {"x": X, "y": Y}),
    "repeated": (lambda x, y: repeated(x * y, 512), {"x": ROW, "y": OTHER_ROW}),
    "repeated in the clear": (lambda x: repeated(x, 2048), {"x": ROW}),
    "in the clear": (lambda x: jnp.var(x * 2 + 1), {"x": X}),
    "public": (lambda x, y: (x + y) * np.linspace(0.1, 1, N), {"x": X, "y": Y}),
}


WIDE: dict[str, Callable[..., Any]] = {
    "repeated": lambda x, y: repeated(x + y, 512),
    "cumsum": lambda x, y: jnp.cumsum(jnp.tile(x + y, 256)),
}


def peak(made: Compiled, protocol: str = "rep3") -> int:
    made.run(protocol)  # what is made once, such as tables, is made here
    tracemalloc.start()
    try:
        made.run(protocol)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def check(made: Compiled, protocol: str = "rep3") -> None:
    taken, told = peak(made, protocol), sum(made.plan.cost.memory.values())
    # Owners' own columns are there before the run, and after it.
    taken += sum(np.asarray(a).nbytes for mine in made.data.values() for a in mine.values())
    assert taken <= told <= 4 * taken, f"{taken:,} taken, {told:,} told"


@pytest.mark.parametrize("name", PROGRAMS)
def test_told_before(name: str) -> None:
    check(compile(*PROGRAMS[name]))


@pytest.mark.parametrize("width", [64, 128])
def test_of_few_bits_no_more_is_kept_than_told(width: int) -> None:
    check(compile(lambda x, y: jnp.isin(x, y), {"x": KEYS, "y": OTHER_KEYS}, "semi2k", width=width), "semi2k")


@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
@pytest.mark.parametrize("name", WIDE)
def test_told_before_for_words_of_128_bits(name: str, protocol: str) -> None:
    check(compile(WIDE[name], {"x": ROW, "y": OTHER_ROW}, protocol, width=128), protocol)


@pytest.mark.parametrize("turns", [3, 40])
def test_a_loop_takes_as_much_however_long(turns: int) -> None:
    def made(n: int) -> Any:
        return compile(
            lambda x, y: lax.fori_loop(0, n, lambda i, w: w * y + x, x * y).sum(), {"x": X, "y": Y}
        )

    assert made(turns).plan.cost.memory == made(4).plan.cost.memory


def test_views_keep_what_they_look_at_and_copies_count() -> None:
    held = Held()
    x = held.array((4, 6), 16)
    assert held.now == held.most == 384
    view = x[2:].reshape(-1)
    del x
    assert (view.size, held.now) == (12, 384)
    twice = np.concatenate([view, view])
    assert held.now == 384 + 384
    del view
    assert held.now == 384
    del twice
    assert (held.now, held.most) == (0, 768)
    held.passing(1000)
    assert (held.now, held.most) == (0, 1000)


COPIES: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda x: x.reshape(-1),
    "turned": lambda x: x.T.reshape(24),
    "turned back": lambda x: x.T.T.reshape(2, 12),
    "part of rows": lambda x: x[:, :3].reshape(-1),
    "whole rows": lambda x: x[1:].reshape(-1),
    "repeated": lambda x: np.broadcast_to(x, (5, 4, 6)).reshape(-1),
    "repeated, as it is": lambda x: np.broadcast_to(x, (5, 4, 6)),
    "repeated, cut": lambda x: np.broadcast_to(x[:, None], (4, 5, 6))[:, :2].reshape(4, 12),
    "repeated along no axis": lambda x: np.broadcast_to(x, (1, 4, 6)).reshape(6, 4),
    "one number, repeated": lambda x: np.broadcast_to(x[:1, :1], (7, 3)).reshape(21),
    "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 3, axis=1).reshape(-1, 3),
    "where": lambda x: np.where(np.ones((5, 4, 6), bool), x, x),
    "copied": lambda x: np.copy(x),
    "laid in order": lambda x: in_order(x.T),
    "in order": in_order,
}


@pytest.mark.parametrize("name", COPIES)
def test_what_is_copied_counts_and_what_is_looked_at_does_not(name: str) -> None:
    held, real = Held(), np.zeros((4, 6), U128)
    x = held.array((4, 6), 16)
    seen, like = COPIES[name](x), COPIES[name](real)
    assert seen.shape == like.shape
    assert held.now == real.nbytes + (0 if np.shares_memory(real, like) else like.nbytes)
    del x
    kept = np.shares_memory(real, like)
    assert held.now == (real.nbytes if kept else like.nbytes)
    del seen
    assert held.now == 0


def test_of_what_counts_no_page_is_taken() -> None:
    held = Held()
    x = np.broadcast_to(held.array((1 << 20,), 16), (1 << 18, 1 << 20)).reshape(-1)
    assert (x.size, held.now) == (1 << 38, 1 << 42)


def test_where_address_space_is_limited_a_plan_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, size: int) -> Any:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(type(held_module._NOTHING), "of", refuse)
    held = Held()
    x = np.broadcast_to(held.array((3,), 16), (2, 3))
    assert (x.shape, held.now) == ((2, 3), 48)


def test_the_plan_says_it() -> None:
    made = compile(lambda x, y: x * y, {"x": X, "y": Y})
    said = [line for line in made.plan.lines() if line.startswith("memory")]
    assert any("carol" in line and "at its peak" in line for line in said)


@pytest.mark.parametrize(
    ("nbytes", "words"),
    [
        (150_000, "0.2 MB"),
        (4_194_304, "4.2 MB"),
        (9_950_000, "10 MB"),
        (99_600_000, "100 MB"),
        (101_000_000, "110 MB"),
        (989_000_000, "990 MB"),
        (1_010_000_000, "1.1 GB"),
        (23_100_000_000, "24 GB"),
    ],
)
def test_sizes_are_rounded_up_to_two_digits(nbytes: int, words: str) -> None:
    assert nbytes_in_words(nbytes) == words
