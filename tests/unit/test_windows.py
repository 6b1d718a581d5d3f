"""Sliding windows and look-ups as operations of the table: where taps fall, ranges, malformed forms, price."""

from __future__ import annotations

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit import testing
from tacit.array import functions as fn
from tacit.array import windows
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.ops import table
from tacit.array.program import Program, parse
from tacit.array.runtime import Format, Runtime
from tacit.array.windows import Axis, Sliding
from tacit.core.share import Gathered, Share
from tacit.errors import DataError, RangeError, ShapeError, TacitError
from tacit.kernels import Into, Places
from tacit.kernels.shapes import put
from tacit.net.memory import Hub
from tacit.testing import run

OWNERS = ("alice", "bob", "carol")
PLAIN = {"strides": [1], "low": [0], "high": [0], "base": [1], "dilation": [1], "groups": 1}
AXES = st.builds(
    Axis,
    st.integers(0, 6),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(-4, 4),
    st.integers(-4, 4),
    st.integers(1, 3),
    st.integers(1, 3),
)


@given(AXES)
@settings(max_examples=300, deadline=None)
def test_taps_fall_where_elements_are(axis: Axis) -> None:
    """Slots, counts and padded arrays all say the same as laying the elements out one by one."""
    length = axis.low + axis.high + (axis.size - 1) * axis.base + 1 if axis.size else axis.low + axis.high
    laid = np.full(max(length, 0), -1)
    for i in range(axis.size):
        at = axis.low + i * axis.base
        if 0 <= at < len(laid):
            laid[at] = i
    reach = (axis.taps - 1) * axis.dilation + 1
    starts = range(0, len(laid) - reach + 1, axis.stride)
    want = [[laid[s + t * axis.dilation] for t in range(axis.taps)] for s in starts]
    assert axis.windows == len(want)
    assert axis.slots().tolist() == want
    padded = Sliding(1, 1, 1, 1, (axis,)).padded(np.arange(1, axis.size + 1)[None, None])[0, 0]
    assert padded.tolist() == (laid + 1).tolist()
    if want:
        counts = (np.array(want) >= 0).sum(1)
        assert axis.taps_used() == (counts.min(), counts.max())


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(AXES, max_size=2),
    st.permutations(range(4)),
)
@settings(max_examples=200, deadline=None)
def test_windows_are_read_where_they_lie(
    batch: int, groups: int, features: int, axes: list[Axis], order: list[int]
) -> None:
    """Also of arrays that lie in memory with their axes turned or backwards, one part otherwise than the other."""
    sizes = Sliding(batch, groups, features, 2, tuple(axes))
    rank = 2 + len(axes)
    turn = [i for i in order if i < rank]

    def lying(shape: tuple[int, ...]) -> Share:
        a = np.arange(math.prod(shape)).reshape([shape[i] for i in turn]).transpose(np.argsort(turn))
        return Share((a, 7 * np.flip(a, -1)))

    x = lying((batch, groups * features, *(a.size for a in axes)))
    w = lying((groups * 2, features, *(a.taps for a in axes)))
    laid = [(sizes.windows(x), sizes.columns, x), (sizes.kernels(w), sizes.kernel, w)]
    for got, want, share in laid:
        for part, expected in zip(got.flat.parts, share.parts, strict=True):
            table = want(expected)
            assert got.shape == table.shape
            if table.size:
                assert np.array_equal(
                    Gathered(Share((part,)), got.sizes, got.blocks).laid_out().parts[0], table
                )


@given(st.integers(1, 2), st.integers(1, 2), st.lists(AXES, max_size=2), st.booleans())
@settings(max_examples=200, deadline=None)
def test_products_with_padding_are_left_out(batch: int, groups: int, axes: list[Axis], each: bool) -> None:
    """In blocks of windows, each once, with whatever taps meet data in them: the products are the same."""
    sizes = Sliding(batch, groups, 2, 3, tuple(axes))
    rng = np.random.default_rng(len(axes))
    shape = (batch, groups * 2, *(a.size for a in axes))
    # Where blocks cost nothing, all that may be split are.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK", 0 if each else windows.BLOCK)
        windows._split.cache_clear()
        x = sizes.windows(Share((rng.integers(1, 99, shape),)))
        windows._split.cache_clear()
    y = sizes.kernels(Share((rng.integers(-99, 99, (groups * 3, 2, *(a.taps for a in axes))),)))
    met = []

    def product(of: Places, by: Places, into: Into) -> None:
        met.append(of[1].size * of[2].size)
        (a,), (b,) = x.flat.parts, y.flat.parts
        first, second = (
            t[0][:, None, None] + t[1][:, None] + t[2] for t in ((of[0], of[1], of[2]), (by[0], by[1], by[2]))
        )
        put(a[first] @ b[second], into)

    got = x.times(y, product)
    laid = (x.laid_out().parts[0], y.laid_out().parts[0])
    want = x.in_runs(Share((laid[0] @ laid[1],))).parts[0]
    assert np.array_equal(got.reshape(want.shape), want)
    if each and sizes.rows and sizes.inner:
        data = math.prod(int((a.slots() >= 0).sum()) for a in axes)
        assert sum(met) == (2 * batch * data)


@pytest.mark.parametrize("axis", [0, 1])
def test_an_axis_too_long_to_count_is_not_split(monkeypatch: pytest.MonkeyPatch, axis: int) -> None:
    """Its padding would be read as if it were elements, beside an axis that is split."""
    monkeypatch.setattr(windows, "BLOCK", 0)
    monkeypatch.setattr(windows, "MAX_COUNTED", 20)
    windows._split.cache_clear()
    axes = [Axis(4, 3, low=1, high=1)]
    axes.insert(axis, Axis(40, 3, low=1, high=1))
    sizes = Sliding(2, 1, 2, 3, tuple(axes))
    x = np.arange(1, 2 * 2 * 40 * 4 + 1).reshape(2, 2, *(a.size for a in axes))
    try:
        got = sizes.windows(Share((x,)))
        assert np.array_equal(got.laid_out().parts[0], sizes.columns(x))
    finally:
        windows._split.cache_clear()


def test_only_windows_at_the_ends_are_looked_at_tap_by_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, slots = [], Axis.slots

    def noted(axis: Axis, *some: Any) -> Any:
        seen.append(slots(axis, *some))
        return seen[-1]

    monkeypatch.setattr(Axis, "slots", noted)
    axis = Axis(100_000, 30, 1, 29, 29)
    assert axis.taps_used() == (1, 30)
    assert sorted(len(some) for some, _ in axis.blocks())[-1] == 100_000 - 29
    assert max(len(table) for table in seen) == 58


@pytest.mark.parametrize("groups", [1, 2])
def test_an_owner_lays_few_windows_out_at_a_time(groups: int) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.integers(-9, 9, (150, 2, 40, 40)) * 1.0, rng.integers(-9, 9, (2, 2 // groups, 5, 5)) * 1.0
    pair = {
        "strides": [1, 1],
        "low": [0, 0],
        "high": [0, 0],
        "base": [1, 1],
        "dilation": [1, 1],
        "groups": groups,
    }
    tracemalloc.start()
    (got,) = table()["conv"].clear([x, w], pair)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    each = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(2, 3))
    parts = (each, each) if groups == 1 else (each[:, :1], each[:, 1:])
    want = [np.einsum("nchwab,cab->nhw", p, k, optimize=True) for p, k in zip(parts, w, strict=True)]
    assert np.array_equal(got, np.stack(want, axis=1)), "whole numbers are exact"
    assert peak < 30e6, "the windows of all take 78 MB"


@pytest.mark.parametrize(
    ("x", "w"),
    [((0, 3, 8), (4, 3, 3)), ((2, 0, 8), (4, 0, 3)), ((2, 3, 2), (4, 3, 3)), ((2, 3, 8), (0, 3, 3))],
)
def test_empty_convolutions_in_the_clear(x: tuple[int, ...], w: tuple[int, ...]) -> None:
    """No batch, no features, no window, no result: zeros of the shape that the sizes say."""
    (got,) = table()["conv"].clear([np.ones(x), np.ones(w)], PLAIN)
    assert got.shape == (x[0], w[0], max(0, x[2] - w[2] + 1))
    assert not got.any()


def test_ranges_count_the_taps_that_meet_data() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (1, 1, 8), "fixed", 1, 2)
    w = trace.input("w", "bob", (1, 1, 4), "fixed", 1, 3)
    (plain,) = trace.bind("conv", [x, w], PLAIN)
    assert (plain.aval.lo, plain.aval.hi) == (4, 24)
    (spaced,) = trace.bind("conv", [x, w], {**PLAIN, "base": [2]})
    assert (spaced.aval.lo, spaced.aval.hi) == (2, 12)
    (padded,) = trace.bind("conv", [x, w], {**PLAIN, "low": [4]})
    assert (padded.aval.lo, padded.aval.hi) == (0, 24)


@pytest.mark.parametrize(
    "change",
    [
        {"strides": [0]},
        {"base": [0]},
        {"dilation": [0]},
        {"groups": 0},
        {"groups": 3},
        {"strides": [1, 1]},
        {"low": []},
        {"low": [-9]},
        {"low": [0.5]},
        {"low": [True]},
        {"strides": [-1]},
        {"high": ["1"]},
        {"groups": True},
    ],
)
def test_malformed_convolutions_are_refused(change: dict[str, Any]) -> None:
    trace = Trace()
    x = trace.input("x", "alice", (1, 2, 8), "fixed", 1, 2)
    w = trace.input("w", "bob", (2, 2, 4), "fixed", 1, 3)
    with pytest.raises(TacitError):
        trace.bind("conv", [x, w], {**PLAIN, **change})


def test_malformed_look_ups_are_refused() -> None:
    trace = Trace()
    x = trace.input("x", "alice", (1, 4, 2), "fixed", 1, 2)
    k = trace.input("k", "bob", (1, 3), "int", 0, 4)
    good = fn.minimum(k, 3)
    with pytest.raises(RangeError, match="clip it"):
        trace.bind("lookup", [x, k], {})
    with pytest.raises(ShapeError, match="blocks"):
        trace.bind("lookup", [x, fn.reshape(good, (3,))], {})
    with pytest.raises(ShapeError, match="4 rows and 3 indices"):
        trace.bind("spread", [x, good], {"size": 4, "last": False})
    with pytest.raises(TacitError, match="public"):
        trace.bind("spread", [x[:, :3], good], {"size": 4, "last": True})
    with pytest.raises(DataError, match="parameters"):
        trace.bind("spread", [x[:, :3], good], {"size": 4})


def program(owned: bool) -> Program:
    """Return one of everything, of two owners' values or of values that nobody knows."""
    trace = Trace()
    x = trace.input("x", "alice", (2, 2, 9), "fixed", -2, 2)
    w = trace.input("w", "bob", (4, 1, 3), "fixed", -1, 1)
    k = trace.input("k", "carol", (2, 5), "int", 0, 8)
    if not owned:
        zero, nought = (
            trace.input(f"z{o}", o, (), kind, 0, 0) for o, kind in (("bob", "fixed"), ("alice", "int"))
        )
        x, w, k = x + zero, w + zero * 1, k + nought
    made = trace.bind("conv", [x, w], {**PLAIN, "strides": [2], "low": [1], "high": [2], "groups": 2})[0]
    rows = fn.permute_dims(x, (0, 2, 1))
    out = [made, trace.bind("lookup", [rows, k], {})[0], trace.bind("lookup", [rows > 0, k], {})[0]]
    out.append(trace.bind("spread", [rows[:, :5], k], {"size": 9, "last": False})[0])
    table = trace.const(np.linspace(-1, 1, 36).reshape(2, 9, 2))
    out.append(trace.bind("lookup", [table, k], {})[0])
    out.append(trace.bind("spread", [table[:, :5], k], {"size": 9, "last": False})[0])
    for i, v in enumerate(out):
        reveal(v, why="test", name=f"r{i}")
    return parse(trace.program().text())


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("protocol", [name for name, _, _ in testing.settings(3)])
@pytest.mark.parametrize("width", [64, 128])
def test_price_and_answers(protocol: str, owned: bool, width: int) -> None:
    """The model's bytes and rounds are the meter's, and the answers NumPy's."""
    rng = np.random.default_rng(3)
    p, fmt, dealer = program(owned), Format(width, 16), testing.dealer_of(protocol)
    x, w = (np.round(rng.uniform(-1, 1, s) * 2**16) / 2**16 for s in ((2, 2, 9), (4, 1, 3)))
    k = rng.integers(0, 9, (2, 5))
    data = {"x": x, "w": w, "k": k, "zbob": np.zeros(()), "zalice": np.zeros((), int)}
    hub = Hub((*OWNERS, *((dealer,) if dealer else ())))
    got = run(protocol, width, lambda q: Runtime(q, fmt, OWNERS).run(p, data), dealer=dealer, hub=hub)[
        "alice"
    ]
    cost = predict(p, protocol, fmt, OWNERS, OWNERS, dealer)
    meters = {name: hub.mesh(name).meter for name in hub.names}
    sent = {(a, b): t.payload_sent for a, m in meters.items() for b, t in m.peers.items() if t.frames_sent}
    assert {link: size for link, size in cost.links.items() if size} == sent
    assert cost.rounds == max(m.rounds for m in meters.values())
    rows, at = x.transpose(0, 2, 1), (np.arange(2)[:, None], k)
    table = np.linspace(-1, 1, 36).reshape(2, 9, 2)
    sums = np.zeros((2, 2, 9, 2))
    for out, add in zip(sums, (rows[:, :5], table[:, :5]), strict=True):
        np.add.at(out, at, add)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 2)))
    slid = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=2)[:, :, ::2]
    conv = np.einsum("bgpt,grt->bgrp", slid, w.reshape(2, 2, 3)).reshape(2, 4, -1)
    wanted = [conv, rows[at], (rows > 0)[at], sums[0], table[at], sums[1]]
    for i, want in enumerate(wanted):
        exact = i in (1, 2, 3)
        assert np.max(np.abs(got[f"r{i}"].astype(float) - want)) <= (0 if exact else 4 * 2.0**-16), i
