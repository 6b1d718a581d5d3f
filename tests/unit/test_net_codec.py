"""The control-message codec: one value, one encoding, and a decoder that survives anything."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tacit.errors import DataError, PeerIncompatible, UsageError
from tacit.net.codec import MAX_DEPTH, Value, decode, decode_from, digest, encode

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**500), 2**500)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=20
)
SAMPLE: Value = {
    "a": [1, -1, 0, 2**70, None, True, False, 1.5, b"xy", "é"],
    "b": {"": [], "k": {}},
    "c": -129,
}


def same(a: Any, b: Any) -> bool:
    """Compare with types: True is not 1, 1.0 is not 1."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_round_trip(value: Value) -> None:
    assert same(decode(encode(value)), value)


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_whatever_decodes_is_canonical(data: bytes) -> None:
    try:
        value = decode(data)
    except DataError:
        return
    assert encode(value) == data


def fuzz(count: int, seed: int) -> int:
    """Mutate a valid message `count` times; return how many mutants still decode."""
    rng = random.Random(seed)
    base = encode(SAMPLE)
    alive = 0
    for _ in range(count):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 4)):
            kind, at = rng.randrange(4), rng.randrange(len(data)) if data else 0
            if kind == 0 and data:
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at : at + rng.randrange(1, 6)]
            elif kind == 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 6))
            else:
                data = data[:at]
        raw = bytes(data)
        try:
            value = decode(raw)
        except DataError:
            continue
        alive += 1
        assert encode(value) == raw
    return alive


def test_mutants() -> None:
    assert fuzz(200_000, 1) > 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"nn",
        b"i\0\0\0\0",
        b"i\2\0\0\0\1\0",  # not the shortest form
        b"s\1\0\0\0\xff",
        b"l\xff\xff\xff\xff",
        b"m\1\0\0\0",
        b"m\2\0\0\0\1\0\0\0bn\1\0\0\0an",  # unsorted
        b"m\2\0\0\0\1\0\0\0an\1\0\0\0an",  # duplicate
        b"d\0\0\0\0\0\0\xf8\x7f",  # NaN
        b"l\1\0\0\0" * (MAX_DEPTH + 2) + b"n",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data)
    with pytest.raises(PeerIncompatible) as info:
        decode_from("bob", data)
    assert info.value.party == "bob"


def test_encoder_refuses_what_has_no_encoding() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    bad: list[Any] = [deep, {1: 2}, {1, 2}, float("nan"), 2**600, "\ud800", object(), bytes(2**20)]
    for value in bad:
        with pytest.raises(UsageError):
            encode(value)


def test_size_limit_and_digest() -> None:
    data = encode(SAMPLE)
    with pytest.raises(DataError, match="exceeds"):
        decode(data, len(data) - 1)
    assert digest("a", 1) != digest("b", 1) and len(digest("a", 1)) == 32
    assert encode({"b": 1, "a": 2}) == encode({"a": 2, "b": 1})
