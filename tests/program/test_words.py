"""Bits of whole numbers (decision 0093): what is sent is what was predicted, and words stay bits between operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from metering import assert_as_predicted, run_metered

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array import beside, words
from tacit.array import functions as fn
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Aval, Eqn, Program, parse
from tacit.array.ranges import fit
from tacit.array.runtime import Format
from tacit.array.schema import check_eqn
from tacit.array.session import simulate
from tacit.core.cost import CostModel
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.errors import DataError, RangeError, ShapeError
from tacit.testing import dealer_of

OWNERS = ("alice", "bob", "carol")
N = 70
Asked = Callable[[Any, Any], Any]


def _bit(v: Any, i: int) -> Any:
    return (v >> i) & 1


def _ones(v: Any) -> Any:
    return np.bitwise_count(v) if isinstance(v, np.ndarray) else fn.population_count(v)


def _pairs(x: Any, y: Any) -> Any:
    return _ones((x & 1023)[:3, None] ^ (y & 1023)[None, :4])


ASKED: dict[str, tuple[Asked, dict[str, int]]] = {
    "and": (lambda x, y: x & y, {"bits": 2, "word": 1}),
    "or": (lambda x, y: x | y, {"bits": 2, "word": 1}),
    "xor": (lambda x, y: x ^ y, {"bits": 2, "word": 1}),
    "bits that differ": (lambda x, y: _ones((x ^ y) & 1023), {"bits": 2, "word": 1}),
    "the same of all pairs": (_pairs, {"bits": 2, "word": 1}),
    "a bit": (lambda x, y: _bit(x, 3) == 1, {"bits": 1, "word": 0}),
    "no such bit": (lambda x, y: (x & 8) == 0, {"bits": 1, "word": 0}),
    "bits as bounds": (lambda x, y: ((x & 8) > 0) & ((x & 4) < 4), {"bits": 1, "word": 0}),
    "a sign": (lambda x, y: _bit(x, 40) != 0, {"bits": 1, "word": 0}),
    "flags": (lambda x, y: (x & 6) != 0, {"bits": 1, "word": 0}),
    "equal": (lambda x, y: (x ^ y) == 0, {"bits": 2, "word": 0}),
    "none that both have": (lambda x, y: (x & y & 12) == 0, {"bits": 2, "word": 0}),
    "Gray's code": (lambda x, y: x ^ (x >> 1), {"bits": 1, "word": 1}),
    "mixed": (lambda x, y: ((x ^ (x << 3)) & 0xFFF) ^ (y >> 2 & 0xFF), {"bits": 2, "word": 1}),
    "NOT": (lambda x, y: ~(x ^ y) & 0xFF, {"bits": 2, "word": 1}),
    "NOT of numbers": (lambda x, y: ~x & ~y & 7, {"bits": 2, "word": 1}),
    "moved": (lambda x, y: (x ^ y).reshape(2, -1).T[::-1][1:9] & 7, {"bits": 2, "word": 1}),
    "joined": (lambda x, y: _joined([x ^ y, y & 3]) ^ 5, {"bits": 2, "word": 1}),
    "far apart": (lambda x, y: (x & 4097) ^ 0b1010, {"bits": 1, "word": 1}),
    "more bits than there are": (lambda x, y: (x | 2**40) ^ y, {"bits": 2, "word": 1}),
    "shifted away": (lambda x, y: (x >> 50) + ((y & 7) >> 9), {"bits": 1, "word": 1}),
    "both ways": (lambda x, y: (x >> 2) + (x ^ y) + _bit(x ^ y, 1), {"bits": 2, "word": 2, "part": 1}),
}


def _joined(arrays: list[Any]) -> Any:
    return (np if isinstance(arrays[0], np.ndarray) else fn).concatenate(arrays)


def program(asked: Asked, lo: int, hi: int, n: int = N) -> Program:
    """Numbers that nobody knows: sums of two owners'."""
    trace = Trace()
    each = [[trace.input(k, o, (n,), "int", lo, hi) for k in "xy"] for o in OWNERS[:2]]
    x, y = (a + b for a, b in zip(*each, strict=True))
    reveal(asked(x, y), why="test", name="it")
    return trace.program()


def held(lo: int, hi: int, n: int = N) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(5)
    data = {o: {k: rng.integers(lo, hi + 1, n) for k in "xy"} for o in OWNERS[:2]}
    for k, ends in (("x", (lo, hi)), ("y", (hi, lo))):
        for own in data.values():
            own[k][:2] = ends
    return data


def ops(made: Program) -> list[str]:
    return [e.op for e in made.eqns]


@pytest.mark.parametrize("span", [(0, 2**15 - 1), (-1000, 300)], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", ASKED)
def test_answers_messages_and_what_is_left_to_do(name: str, span: tuple[int, int]) -> None:
    asked, counts = ASKED[name]
    made = optimise(program(asked, *span))
    assert parse(made.text()).text() == made.text()
    found = {op: ops(made).count(op) for op in counts}
    if span[0] == 0 and name in ("a sign", "shifted away"):
        counts = dict.fromkeys(counts, 0)  # there are no such bits
    assert found == counts
    data = held(*span)
    x, y = (data["alice"][k] + data["bob"][k] for k in "xy")
    fmt = fit(made)
    with simulate("rep3", OWNERS, width=fmt.width, frac_bits=fmt.frac_bits, seed=3) as s:
        learned, meters = run_metered(s, made, data)
    assert_as_predicted(meters, predict(made, "rep3", fmt, OWNERS, OWNERS))
    assert np.array_equal(learned["carol"]["it"], asked(x, y))


@pytest.mark.parametrize("width", [64, 128])
@pytest.mark.parametrize("protocol", [p for p in protocols.REGISTRY if p != "clear"])
def test_every_protocol(protocol: str, width: int) -> None:
    asked, span = ASKED["both ways"][0], (-(2**40), 2**40)
    made, data, dealer = optimise(program(asked, *span)), held(*span), dealer_of(protocol)
    fmt = Format(width, 16)
    with simulate(protocol, OWNERS, width=width, frac_bits=16, dealer=dealer, seed=3) as s:
        learned, meters = run_metered(s, made, data)
    assert_as_predicted(meters, predict(made, protocol, fmt, OWNERS, OWNERS, dealer))
    x, y = (data["alice"][k] + data["bob"][k] for k in "xy")
    assert np.array_equal(learned["carol"]["it"], asked(x, y))


@pytest.mark.parametrize("protocol", protocols.REGISTRY)
def test_sessions_compute_the_same(protocol: str) -> None:
    data = held(-1000, 300)
    with simulate(protocol, seed=3, dealer=dealer_of(protocol)) as s:
        x, y = (s.input(data["alice"][k], "alice", bound=(-1000, 300)) for k in "xy")
        if protocol != "clear":
            x, y = (v + s.input(np.zeros(N, int), "bob", bound=0) for v in (x, y))
        for name in ("xor", "Gray's code", "flags", "bits that differ"):
            got = reveal(ASKED[name][0](x, y), why="test")
            assert np.array_equal(got, ASKED[name][0](*(data["alice"][k] for k in "xy"))), name


def test_two_numbers_are_taken_apart_by_one_adder() -> None:
    made = optimise(program(lambda x, y: x ^ y, 0, 2**15 - 1))
    nobody = CostModel("rep3", protocols.load("rep3").cards, nowhere(OWNERS), Ring(64))
    groups = beside.groups(made, infer(made), nobody, Format(64, 16))
    assert ["bits", "bits"] in [[e.op for e in group] for group in groups]
    one, two = (
        predict(each, "rep3", Format(64, 16), OWNERS, OWNERS)
        for each in (optimise(program(lambda x, y: x | 1, 0, 2**15 - 1)), made)
    )
    assert two.rounds == one.rounds


def test_owners_take_their_own_numbers_apart() -> None:
    trace = Trace()
    x = fn.concat([trace.input("x", o, (5,), "int", -9, 90) for o in OWNERS])
    reveal(fn.sum(x & 5), why="test", name="it")
    made = optimise(trace.program())
    avals = infer(made)
    assert {avals[e.outs[0]].where for e in made.eqns if e.op in ("bits", "word")} == {
        f"owner:{o}" for o in OWNERS
    }


PARTS: dict[str, Asked] = {
    "upper": lambda x, y: x >> 5,
    "most": lambda x, y: x >> 1,
    "lower": lambda x, y: x & 31,
    "all but the highest": lambda x, y: x & 1023,
    "what is joined": lambda x, y: _joined([(x >> 3)[:9], (y >> 3)[:4]]),
}


@pytest.mark.parametrize(
    "network", [LOOPBACK, PRESETS["wan"], Network("narrow", 1000, 20_000)], ids=lambda n: n.name
)
@pytest.mark.parametrize("span", [(0, 2**15 - 1), (-1000, 300)], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", PARTS)
def test_parts_of_numbers_on_every_network(name: str, span: tuple[int, int], network: Network) -> None:
    for n in (N, 1500):
        made, data = optimise(program(PARTS[name], *span, n)), held(*span, n)
        assert "part" in ops(made)
        fmt = fit(made)
        with simulate("rep3", OWNERS, width=fmt.width, frac_bits=fmt.frac_bits, network=network, seed=3) as s:
            learned, meters = run_metered(s, made, data)
        assert_as_predicted(meters, predict(made, "rep3", fmt, OWNERS, OWNERS, network=network))
        x, y = (data["alice"][k] + data["bob"][k] for k in "xy")
        assert np.array_equal(learned["carol"]["it"], PARTS[name](x, y))


def test_a_part_is_cut_where_it_has_many_bits_and_made_of_bits_where_it_has_few() -> None:
    p = CostModel("rep3", protocols.load("rep3").cards, nowhere(OWNERS), Ring(64))
    a = Aval((10_000,), "int", 0, 2**30)
    found = [words.looked_at(p, 24, 10_000, a, {"by": by, "low": False}) for by in (1, 15, 28)]
    assert found == [0, 0, 31]


@pytest.mark.parametrize("at", [[], [3, 3], [5, 2], [63], [-1], "12", [1.5]])
def test_places_are_rising_whole_numbers(at: Any) -> None:
    trace = Trace()
    x = trace.input("x", "alice", (2,), "int", 0, 9)
    with pytest.raises(DataError, match="'at' is malformed"):
        check_eqn(Eqn("bits", (0,), (1,), {"at": at}), [x.aval])


def test_a_word_takes_a_weight_for_each_row() -> None:
    trace = Trace()
    b = trace.input("b", "alice", (2, 3), "bool", 0, 1)
    with pytest.raises(ShapeError, match="3 weights for truth values of shape"):
        trace.bind("word", [b], {"weights": np.array([1, 2, 4])})


def test_what_has_more_bits_is_refused() -> None:
    x = Trace().input("x", "alice", (2,), "int", 0, 2**62)
    with pytest.raises(RangeError, match=r"population_count of a value up to .* bound it"):
        fn.population_count(x)
