"""Every pair of rows with equal secret keys, against pandas; what does not fit is counted, not lost silently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tacit
from tacit.array import tables
from tacit.array.session import Session
from tacit.errors import ShapeError, UsageError

PARTIES = ["north", "south", "east"]


@pytest.fixture(scope="module")
def s() -> Iterator[Session]:
    with tacit.simulate("rep3", parties=PARTIES) as session:
        yield session


def opened(x: Any) -> Any:
    return np.asarray(tacit.reveal(x, why="test")) if hasattr(x, "context") else np.asarray(x)


def pairs(left: Any, right: Any, keep_left: Any = None, keep_right: Any = None) -> pd.DataFrame:
    """Return all pairs in the left table's order, then the right one's."""
    a = pd.DataFrame({"k": left, "x": np.arange(len(left)) * 0.5})
    b = pd.DataFrame({"k": right, "y": 100 + np.arange(len(right))})
    a = a if keep_left is None else a[keep_left]
    b = b if keep_right is None else b[keep_right]
    return a.merge(b, on="k", how="inner", sort=False)


def joined(s: Session | None, left: Any, right: Any, rows: int, keep: Any = (None, None)) -> tables.Pairs:
    def given(v: Any, owner: str, hi: float) -> Any:
        if v is None or s is None:
            return v
        return s.input(v, owner=owner, bound=(0, hi)) if v.dtype != bool else s.input(v, owner=owner)

    a, b = given(left, "north", 40), given(right, "south", 40)
    x = given(np.arange(len(left)) * 0.5, "north", 400)
    y = given(100 + np.arange(len(right)), "east", 400)
    return tables.join_many(
        a,
        b,
        {"x": x, "k": a},
        {"y": y},
        max_rows=rows,
        left_valid=given(keep[0], "north", 1),
        right_valid=given(keep[1], "east", 1),
    )


def check(made: tables.Pairs, want: pd.DataFrame, rows: int) -> None:
    n = min(len(want), rows)
    assert int(opened(made.number)) == len(want)
    assert np.array_equal(opened(made.valid), np.arange(rows) < n)
    for found, name in ((made.left["x"], "x"), (made.left["k"], "k"), (made.right["y"], "y")):
        column = opened(found)
        assert np.array_equal(column[:n], want[name].to_numpy()[:n])
        assert not np.any(column[n:])


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "keys", "rows"), [(7, 9, 4, 40), (12, 5, 2, 30), (1, 6, 1, 6), (6, 1, 3, 4), (9, 9, 40, 5)]
)
def test_pairs(s: Session, n: int, m: int, keys: int, rows: int, clear: bool) -> None:
    rng = np.random.default_rng([n, m, keys])
    left, right = rng.integers(0, keys, n), rng.integers(0, keys, m)
    check(joined(None if clear else s, left, right, rows), pairs(left, right), rows)


def test_rows_that_are_not_valid_match_none(s: Session) -> None:
    rng = np.random.default_rng(3)
    left, right = rng.integers(0, 3, 8), rng.integers(0, 3, 7)
    keep = (rng.random(8) < 0.6, rng.random(7) < 0.6)
    check(joined(s, left, right, 30, keep), pairs(left, right, *keep), 30)


def test_no_pair_at_all_and_all_pairs(s: Session) -> None:
    left, right = np.zeros(4, int), np.ones(3, int)
    check(joined(s, left, right, 3), pairs(left, right), 3)
    check(joined(s, left, np.zeros(3, int), 12), pairs(left, np.zeros(3, int)), 12)


def test_more_pairs_than_rows_are_counted(s: Session) -> None:
    left, right = np.zeros(5, int), np.zeros(6, int)
    check(joined(s, left, right, 7), pairs(left, right), 7)


def test_two_keys(s: Session) -> None:
    rng = np.random.default_rng(4)
    a, b, c, d = (rng.integers(0, 2, 8) for _ in range(4))
    keys = [
        s.input(v, owner=o, bound=(0, 1)) for v, o in ((a, "north"), (b, "south"), (c, "east"), (d, "south"))
    ]
    x, y = (s.input(np.arange(8), owner=o, bound=(0, 8)) for o in ("north", "east"))
    made = tables.join_many(keys[:2], keys[2:], {"x": x}, {"y": y}, max_rows=40)
    want = pd.DataFrame({"a": a, "b": b, "x": np.arange(8)}).merge(
        pd.DataFrame({"a": c, "b": d, "y": np.arange(8)}), on=["a", "b"], how="inner"
    )
    assert int(opened(made.number)) == len(want)
    assert np.array_equal(opened(made.left["x"])[: len(want)], want["x"])
    assert np.array_equal(opened(made.right["y"])[: len(want)], want["y"])


def test_public_masks_keys_and_columns_beside_secret_ones(s: Session) -> None:
    left, right, keep = np.array([1, 2, 1]), np.array([2, 1]), np.array([True, True, False])
    x = s.input(left, owner="north", bound=(0, 9))
    y = np.array([100, 101])
    made = tables.join_many(x, right, {"k": x}, {"y": y}, max_rows=4, left_valid=keep, right_valid=keep[:2])
    assert opened(made.right["y"]).tolist() == [101, 100, 0, 0]
    secret_y = s.input(y, owner="south", bound=(0, 200))
    made = tables.join_many(left, right, {"k": left}, {"y": secret_y}, max_rows=4)
    assert opened(made.right["y"]).tolist() == [101, 100, 101, 0]
    assert opened(made.left["k"]).tolist() == [1, 2, 1, 0]


def test_refused_before_any_message(s: Session) -> None:
    x = s.input(np.arange(3), owner="north", bound=(0, 9))
    with pytest.raises(ShapeError, match="room for one pair"):
        tables.join_many(x, x, {}, {}, max_rows=0)
    with pytest.raises(ShapeError, match="2 left and 1 right"):
        tables.join_many([x, x], [x], {}, {}, max_rows=3)
    with pytest.raises(ShapeError, match="column 'v' has shape"):
        tables.join_many(x, x, {"v": x[:2]}, {}, max_rows=3)
    for wrong in (2.5, "3", None, True):
        with pytest.raises(UsageError, match="max_rows is a public whole number"):
            tables.join_many(x, x, {}, {}, max_rows=wrong)  # type: ignore[arg-type]
    for name in ("left_valid", "right_valid"):
        with pytest.raises(ShapeError, match=f"join_many: {name} has shape"):
            tables.join_many(x, x, {}, {}, max_rows=3, **{name: np.array([True])})


def test_joined_without_a_shuffle() -> None:
    with tacit.simulate("semi2k", parties=PARTIES, dealer="dave") as other:
        y = other.input(np.array([2, 5, 2]), owner="north", bound=(0, 9))
        z = other.input(np.array([2, 2, 7]), owner="south", bound=(0, 9))
        v = other.input(np.array([10, 20, 30]), owner="south", bound=(0, 99))
        made = tables.join_many(y, z, {}, {"v": v}, max_rows=5)
        valid = opened(made.valid).astype(bool)
        assert sorted(opened(made.right["v"])[valid]) == [10, 10, 20, 20]
