"""`tacit.local`: the eager session among real processes; and arrays on the pipes between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tacit
from tacit.errors import DataError, PeerError, UsageError
from tacit.node.arrays import pack, unpack


def test_an_eager_session_among_processes() -> None:
    with tacit.local("rep3", owners=("dave",)) as s:
        x = s.input([3.0, 6.0, 1.0], owner="dave")
        y = s.input([2.0, 3.0, 4.0], owner="bob")
        total = tacit.reveal((x * y).sum(), why="the test's answer")
        assert abs(float(total) - 28) < 1e-3
        assert "processes of this machine" in repr(total)
        processes = s.cluster.parties.processes  # type: ignore[attr-defined]
    assert [p.poll() is None for p in processes.values()] == [False] * 4


def test_a_party_killed_in_a_session_is_named_and_leaves_no_process() -> None:
    with tacit.local("semi2k") as s:
        x = s.input([3.0], owner="alice")
        processes = s.cluster.parties.processes  # type: ignore[attr-defined]
        processes["bob"].kill()
        processes["bob"].wait()
        with pytest.raises(PeerError, match="bob"):
            tacit.reveal(x + 1, why="the test's answer")
    assert [p.poll() is None for p in processes.values()] == [False] * 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"protocol": "rep3", "parties": 2}, "3 parties"),
        ({"protocol": "clear"}, "tacit.simulate"),
        ({"protocol": "rep3", "owners": ("alice",)}, "share a name"),
        ({"protocol": "rep3", "width": 32}, "width 64 or 128"),
        ({"protocol": "nope"}, "'nope'"),
    ],
)
def test_a_session_that_cannot_be_is_refused_before_it_starts(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as failure:
        tacit.local(**arguments)
    assert says in str(failure.value)


@pytest.mark.parametrize(
    "value", [np.float64(1.5), np.arange(6).reshape(2, 3), np.array([True]), np.array([2**70, -1], object)]
)
def test_arrays_cross_a_pipe_as_they_are(value: Any) -> None:
    back = unpack(pack(value))
    assert back.shape == np.shape(value)
    assert np.array_equal(back, value)


@pytest.mark.parametrize(
    "form",
    [
        None,
        {},
        {"shape": [2], "dtype": "<f8", "b64": "AAAA"},
        {"shape": [1], "dtype": "O", "b64": ""},
        {"shape": [1], "dtype": "<f8", "b64": "!"},
        {"shape": ["x"], "dtype": "int", "values": ["1"]},
        {"shape": [1], "dtype": "int", "values": ["one"]},
    ],
)
def test_a_malformed_array_is_refused(form: Any) -> None:
    with pytest.raises(DataError):
        unpack(form)
