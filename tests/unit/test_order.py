"""Sorting, order statistics, group-by and join of secret arrays, against NumPy and pandas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tacit
from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array import tables
from tacit.array.analyse import predict
from tacit.array.interpret import Trace
from tacit.array.ops import table
from tacit.array.program import Aval
from tacit.array.runtime import Format
from tacit.array.session import Session
from tacit.errors import DataError, NotRealised, ScaleError, ShapeError, UsageError

SEED = 11


@pytest.fixture(scope="module")
def s() -> Iterator[Session]:
    with tacit.simulate("rep3", owners=("dora",), seed=SEED) as session:
        yield session


def secret(s: Session, value: Any, bound: Any = None) -> Any:
    """Return an array that no single party knows."""
    a = np.asarray(value)
    if a.dtype.kind == "b":
        return fn.logical_xor(s.input(a, "alice"), s.input(np.zeros(a.shape, bool), "dora"))
    x = s.input(a, "alice", bound=bound)
    both = x + s.input(np.zeros_like(a), "dora", bound=(0, 0))
    return fn.assume(both, x.aval.lo, x.aval.hi)


def opened(x: Any) -> Any:
    return np.asarray(tacit.reveal(x, why="test"))


def close(x: Any, want: Any, units: float = 2.0) -> bool:
    return bool(np.allclose(opened(x), want, rtol=0, atol=units * 2.0**-16))


# -- sort ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2, 3, 64, 1000])
@pytest.mark.parametrize("kind", ["int", "fixed", "bool", "equal"])
def test_sort_and_argsort(s: Session, n: int, kind: str) -> None:
    rng = np.random.default_rng([SEED, n])
    value = {
        "int": rng.integers(-(2**31), 2**31, n),
        "fixed": rng.integers(-99, 99, n) / 8,
        "bool": rng.integers(0, 2, n).astype(bool),
        "equal": np.full(n, 7),
    }[kind]
    x = secret(s, value)
    signed = value.astype(np.float64)
    for down in (False, True):
        places = np.argsort(-signed if down else signed, kind="stable")
        assert np.array_equal(opened(od.argsort(x, descending=down)), places)
        assert np.array_equal(opened(od.sort(x, descending=down)), value[places])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_sort_along_any_axis(s: Session, axis: int) -> None:
    value = np.random.default_rng(SEED).integers(-9, 9, (3, 4, 5))
    x = secret(s, value)
    assert np.array_equal(opened(od.sort(x, axis=axis)), np.sort(value, axis=axis))
    assert np.array_equal(opened(od.argsort(x, axis=axis)), np.argsort(value, axis=axis, kind="stable"))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_several_keys_any_direction(s: Session, data: Any) -> None:
    n = data.draw(st.integers(0, 40))
    rows = st.lists(st.integers(-3, 3), min_size=n, max_size=n)
    keys = [np.array(data.draw(rows), np.int64) for _ in range(data.draw(st.integers(1, 3)))]
    down = [data.draw(st.booleans()) for _ in keys]
    at = od.order([secret(s, k, bound=3) for k in keys], down)
    want = np.lexsort([-k if d else k for k, d in zip(keys, down, strict=True)][::-1])
    column = np.arange(n) * 3 - 50
    moved, truth = od.arrange(at, secret(s, column), secret(s, column % 2 == 0))
    assert np.array_equal(opened(moved), column[want])
    assert np.array_equal(opened(truth), column[want] % 2 == 0)
    back = od.restore(at, moved)[0]
    assert np.array_equal(opened(back), column)


def test_keys_of_all_bits_and_many_keys(s: Session) -> None:
    rng = np.random.default_rng(SEED)
    wide = [rng.integers(-(2**58), 2**58, 30) for _ in range(2)]
    narrow = rng.integers(0, 2, 30).astype(bool)
    at = od.order([secret(s, narrow), *(secret(s, w) for w in wide)])
    assert np.array_equal(
        opened(od.arrange(at, secret(s, wide[1]))[0]), wide[1][np.lexsort([wide[1], wide[0], narrow])]
    )


def test_orders_known_to_one_party_or_to_all(s: Session) -> None:
    rng = np.random.default_rng(SEED)
    keys, value = rng.integers(0, 9, (2, 12)), rng.integers(-9, 9, (2, 12))
    places = np.argsort(keys, kind="stable")
    for key in (s.input(keys, "bob"), s.input(keys, "dora"), s.const(keys)):
        at = od.order(key)
        moved = od.arrange(at, secret(s, value))[0]
        assert np.array_equal(opened(moved), np.take_along_axis(value, places, -1))
        assert np.array_equal(opened(od.restore(at, moved)[0]), value)
    mixed = od.order([secret(s, keys), s.input(value, "bob"), s.const(value)])
    assert np.array_equal(opened(od.arrange(mixed, s.const(keys))[0]), np.sort(keys))


def test_top_k_and_order_statistics(s: Session) -> None:
    rng = np.random.default_rng(SEED)
    value = rng.normal(size=(4, 21)).round(3)
    x = secret(s, value, bound=8)
    values, places = od.top_k(x, 5)
    best = np.argsort(-value, kind="stable")[:, :5]
    assert np.array_equal(opened(places), best)
    assert close(values, np.take_along_axis(value, best, -1))
    for axis in (None, 0, 1):
        assert close(od.median(x, axis=axis), np.median(value, axis=axis))
        q = [0, 0.1, 0.333, 0.5, 0.99, 1]
        assert close(od.quantile(x, q, axis=axis), np.quantile(value, q, axis=axis))
    assert close(od.percentile(x, 25), np.percentile(value, 25))
    whole = secret(s, rng.integers(0, 99, 11))
    assert od.median(whole).dtype == "int"


def test_fill(s: Session) -> None:
    rng = np.random.default_rng(SEED)
    flags = rng.integers(0, 2, (3, 17)).astype(bool)
    flags[1], flags[2] = False, True
    value, truth = rng.integers(-(2**40), 2**40, (3, 17)), rng.integers(0, 2, (3, 17)).astype(bool)
    got, got_truth = od.fill(secret(s, flags), secret(s, value), secret(s, truth))
    frame = pd.DataFrame(np.where(flags, value, np.nan)).ffill(axis=1).fillna(0)
    assert np.array_equal(opened(got), frame.to_numpy())
    last = np.maximum.accumulate(np.where(flags, np.arange(17), -1), axis=1)
    assert np.array_equal(
        opened(got_truth), np.where(last >= 0, np.take_along_axis(truth, np.maximum(last, 0), 1), False)
    )


def test_shuffle_keeps_rows_together(s: Session) -> None:
    value = np.arange(60).reshape(3, 20)
    a, b = od.shuffle(secret(s, value), secret(s, value * 2))
    first = opened(a)
    assert np.array_equal(opened(b), 2 * first)
    assert np.array_equal(np.sort(first), value) and not np.array_equal(first, value)


# -- tables ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    n=st.integers(1, 30),
    groups=st.integers(1, 6),
    room=st.integers(1, 9),
    seed=st.integers(0, 99),
    nulls=st.booleans(),
)
def test_group_by(s: Session, n: int, groups: int, room: int, seed: int, nulls: bool) -> None:
    rng = np.random.default_rng(seed)
    keys = [rng.integers(-groups, groups, n), rng.integers(0, 2, n).astype(bool)]
    v, w = rng.integers(-99, 99, n), rng.integers(-64, 64, n) / 8
    valid = rng.integers(0, 3, n) > 0 if nulls else np.ones(n, bool)
    made = tables.group_by(
        [secret(s, keys[0], bound=6), secret(s, keys[1])],
        {"v": secret(s, v, bound=99), "w": secret(s, w, bound=8)},
        tables.AGGREGATES,
        max_groups=room,
        valid=secret(s, valid) if nulls else None,
    )
    frame = pd.DataFrame({"a": keys[0], "b": keys[1], "v": v, "w": w})[valid].groupby(["a", "b"])
    want = frame.agg(
        count=("v", "size"), v_sum=("v", "sum"), v_mean=("v", "mean"), v_min=("v", "min"), v_max=("v", "max"),
        w_sum=("w", "sum"), w_mean=("w", "mean"), w_min=("w", "min"), w_max=("w", "max"),
    ).reset_index()  # fmt: skip
    assert int(opened(made.number)) == len(want)
    kept = want[:room]
    there = np.arange(room) < len(kept)
    assert np.array_equal(opened(made.valid), there)
    for name, column in {"a": made.keys[0], "b": made.keys[1], **made.columns}.items():
        padded = np.zeros(room)
        padded[: len(kept)] = kept[name].to_numpy(np.float64)
        assert np.allclose(
            opened(column).astype(float), padded, rtol=0, atol=3e-3 if "mean" in name else 0
        ), name


@pytest.mark.parametrize("clear", [False, True])
def test_a_value_called_count_is_not_the_number_of_rows(s: Session, clear: bool) -> None:
    key, value, other = np.array([1, 2, 2, 1, 2]), np.array([10, 30, 40, 20, 50]), np.arange(5)
    given = [v if clear else secret(s, v, bound=99) for v in (key, value, other)]
    values = {"count": given[1], "count_sum": given[2]}
    made = tables.group_by(given[0], values, ["count", "sum", "mean"], max_groups=3)
    assert (opened if not clear else np.asarray)(made["count"]).tolist() == [2, 3, 0]
    want = {"count_sum": [30, 120, 0], "count_mean": [15, 40, 0], "count_sum_sum": [3, 7, 0]}
    for name, numbers in want.items():
        assert np.allclose(made[name] if clear else opened(made[name]), numbers, rtol=0, atol=1e-3), name
    with pytest.raises(UsageError, match="named by texts, not 1"):
        tables.group_by(given[0], {"1": given[1], 1: given[2]}, max_groups=3)  # type: ignore[dict-item]


def test_distinct(s: Session) -> None:
    value = np.array([5, -2, 5, 5, 9, -2])
    made = tables.distinct(secret(s, value), max_groups=4)
    assert opened(made.keys[0]).tolist() == [-2, 5, 9, 0]
    assert opened(made["count"]).tolist() == [2, 3, 1, 0]
    assert opened(made.valid).tolist() == [True, True, True, False]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(n=st.integers(1, 25), m=st.integers(1, 25), seed=st.integers(0, 99), nulls=st.booleans())
def test_join(s: Session, n: int, m: int, seed: int, nulls: bool) -> None:
    rng = np.random.default_rng(seed)
    right = np.sort(rng.permutation(np.arange(-20, 20))[:m])
    rng.shuffle(right)
    left = rng.integers(-20, 20, n)
    price, label = rng.integers(-64, 64, m) / 8, rng.integers(0, 2, m).astype(bool)
    ok_left, ok_right = (rng.integers(0, 3, k) > 0 if nulls else np.ones(k, bool) for k in (n, m))
    made = tables.join(
        secret(s, left, bound=20),
        secret(s, right, bound=20),
        {"price": secret(s, price, bound=8), "label": secret(s, label)},
        multiplicity="many-to-one",
        left_valid=secret(s, ok_left) if nulls else None,
        right_valid=secret(s, ok_right) if nulls else None,
    )
    table = pd.DataFrame({"k": right, "price": price, "label": label, "there": True})[ok_right]
    want = pd.DataFrame({"k": left}).merge(table, on="k", how="left")
    there = want["there"].notna().to_numpy() & ok_left
    assert np.array_equal(opened(made.matched), there)
    assert close(made["price"], np.where(there, want["price"].fillna(0), 0), units=0)
    assert np.array_equal(opened(made["label"]), there & (want["label"] == True).to_numpy())  # noqa: E712


def test_public_keys_and_masks_beside_secret_columns(s: Session) -> None:
    value = secret(s, np.array([10, 20, 40]), bound=99)
    key, found, keep = np.array([1, 2, 1]), np.array([2, 1]), np.array([True, True, False])
    joined = tables.join(
        key, found, {"v": value[:2]}, multiplicity="many-to-one", left_valid=keep, right_valid=keep[:2]
    )
    assert opened(joined["v"]).tolist() == [20, 10, 0]
    for valid, sums in ((None, [50, 20, 0]), (keep, [10, 20, 0])):
        made = tables.group_by(key, {"v": value}, ["sum", "max"], max_groups=3, valid=valid)
        assert opened(made["v_sum"]).tolist() == sums
        assert opened(made.keys[0]).tolist() == [1, 2, 0] and int(opened(made.number)) == 2
    made = tables.group_by(secret(s, key), {"v": np.array([1.5, 2, 4])}, ["sum"], max_groups=3, valid=keep)
    assert opened(made["v_sum"]).tolist() == [1.5, 2, 0]


def test_join_on_two_keys_one_to_one(s: Session) -> None:
    left, right = np.array([[1, 1, 2], [0, 1, 0]]), np.array([[2, 1], [0, 1]])
    made = tables.join(
        [secret(s, k) for k in left],
        [secret(s, k) for k in right],
        {"x": secret(s, np.array([7, 8]))},
        multiplicity="one-to-one",
    )
    assert opened(made["x"]).tolist() == [0, 8, 7]


# -- refusals, ranges, cost ------------------------------------------------------------------------------------


def test_an_order_does_nothing_but_move_rows(s: Session) -> None:
    at = od.order(secret(s, np.arange(4)))
    for misuse in (
        lambda: tacit.reveal(at, why="no"),
        lambda: at + 1,
        lambda: at[1:],
        lambda: fn.concat([at, at]),
    ):
        with pytest.raises((ScaleError, UsageError)):
            misuse()
    with pytest.raises(ScaleError, match="order"):
        od.arrange(secret(s, np.array([0, 0, 0, 0])), secret(s, np.arange(4)))
    with pytest.raises(DataError):
        Trace().bind("order", [Trace().input("x", "a", (2,), "perm", 0, 1)], {"descending": [False]})


def test_refusals_name_the_remedy(s: Session) -> None:
    x = secret(s, np.arange(4))
    with pytest.raises(UsageError, match="many-to-one"):
        tables.join(x, x, {}, multiplicity="many-to-many")
    with pytest.raises(UsageError, match="median"):
        tables.group_by(x, {"x": x}, ["median"], max_groups=2)
    with pytest.raises(ShapeError):
        tables.group_by(x, {"x": x[:2]}, max_groups=2)
    with pytest.raises(UsageError, match="owner"):
        od.shuffle(s.input(np.arange(3), "alice"))
    with pytest.raises(UsageError, match="between 0 and 1"):
        od.quantile(x, 1.5)
    with tacit.simulate("semi2k") as other, pytest.raises(NotRealised, match="rep3"):
        od.shuffle(secret_of_two(other))


RAW: dict[str, tuple[Any, type[Exception], str]] = {
    "a left mask of one row": (lambda x: join(x, left_valid=x[:1] > 0), ShapeError, r"left_valid has shape \(1,\)"),
    "a left mask of two axes": (lambda x: join(x, left_valid=x[:, None] > 0), ShapeError, "left_valid has shape"),
    "a right mask": (lambda x: join(x, right_valid=x[:2] > 0), ShapeError, "right_valid has shape"),
    "a mask of rows": (lambda x: group(x, valid=x[:2] > 0), ShapeError, r"group_by: valid has shape \(2,\)"),
    "half a group": (lambda x: group(x, max_groups=2.5), UsageError, "max_groups is a public whole number, not 2.5"),
    "a text of groups": (lambda x: group(x, max_groups="3"), UsageError, "max_groups is a public whole number"),
    "no number of groups": (lambda x: group(x, max_groups=None), UsageError, "max_groups is a public whole number"),
    "one aggregate": (lambda x: group(x, aggs="sum"), UsageError, r"as in \['sum'\]"),
    "a list as key": (lambda x: tables.group_by([1, 2, 1, 2], max_groups=2), UsageError, "key is of type int, not an"),
    "a list as left key": (lambda x: tables.join([1, 2], x, {}, multiplicity="one-to-one"), UsageError, "np.array"),
    "a list as value": (lambda x: group(x, {"v": [1, 2, 3, 4]}), UsageError, "column 'v' is of type list"),
    "a column without a name": (lambda x: group(x, [x]), UsageError, "given by name"),
    "a list to sort": (lambda x: od.sort([3, 1, 2]), UsageError, "is of type list, not an array"),
    "a list of numbers as keys": (lambda x: od.order([3, 1, 2]), UsageError, "a key of an order is of type int"),
    "half a place": (lambda x: od.top_k(x, 1.5), UsageError, "k is a public whole number, not 1.5"),
    "a text as point": (lambda x: od.quantile(x, "a"), UsageError, "between 0 and 1"),
    "a secret point": (lambda x: od.quantile(x, x), UsageError, "public number"),
    "a percentile beyond": (lambda x: od.percentile(x, 101), UsageError, "between 0 and 100"),
}  # fmt: skip


def join(x: Any, **more: Any) -> Any:
    return tables.join(x, x, {"x": x}, multiplicity="many-to-one", **more)


def group(x: Any, values: Any = None, **more: Any) -> Any:
    return tables.group_by(x, values, **{"max_groups": 2, **more})


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("name", RAW)
def test_wrong_arguments_end_in_one_clear_error(s: Session, name: str, clear: bool) -> None:
    call, kind, says = RAW[name]
    if clear and name == "a secret point":
        says = "between 0 and 1"  # where nothing is secret, it is merely out of range
    before = s.traffic()
    x = np.arange(4) if clear else s.input(np.arange(4), "alice")
    with pytest.raises(kind, match=says):
        call(x)
    assert s.traffic() == before


def test_more_rows_than_places_can_be_told_apart_are_refused() -> None:
    rows, perm = Aval((1 << 16, 1 << 16), "int", 0, 1), Aval((1 << 16, 1 << 16), "perm", 0, 1)
    for op, ins, params in (("order", [rows], {"descending": [False]}), ("arrange", [perm, rows], {}),
                            ("restore", [perm, rows], {}), ("shuffle", [rows], {})):  # fmt: skip
        with pytest.raises(ShapeError, match=f"{op} of 4294967296 rows"):
            table()[op].abstract(ins, params)


def secret_of_two(s: Session) -> Any:
    return s.input(np.arange(3), "alice") + s.input(np.arange(3), "bob")


def test_what_is_sent_depends_on_sizes_alone() -> None:
    shapes = set()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        with tacit.simulate("rep3", seed=seed) as s:
            x = s.input(rng.integers(0, 99, 50), "alice", bound=(0, 99))
            y = s.input(rng.integers(0, 99, 50), "bob", bound=(0, 99))
            tables.group_by(x + y, {"y": y}, tables.AGGREGATES, max_groups=5)
            shapes.add(tuple((n, t.rounds, t.total.payload_sent) for n, t in sorted(s.traffic().items())))
    assert len(shapes) == 1


def test_the_plan_counts_every_message() -> None:
    """Predicted bytes and rounds of a grouped table and a join are those of the run."""
    trace = Trace()
    key = trace.input("key", "alice", (30,), "int", 0, 9)
    other = trace.input("other", "bob", (30,), "int", 0, 9)
    value = trace.input("value", "carol", (30,), "fixed", -8, 8)
    groups = tables.group_by(key + other, {"v": value}, tables.AGGREGATES, max_groups=4)
    joined = tables.join(other, groups.keys[0], {"v": groups["v_sum"]}, multiplicity="many-to-one")
    tacit.reveal(joined["v"], why="test", name="v")
    tacit.reveal(groups["v_mean"], to="bob", why="test", name="mean")
    program = trace.program()
    rng = np.random.default_rng(SEED)
    data = {
        "alice": {"key": rng.integers(0, 10, 30)},
        "bob": {"other": rng.integers(0, 10, 30)},
        "carol": {"value": rng.normal(size=30)},
    }
    with tacit.simulate("rep3", seed=1) as s:
        before = s.traffic()
        s.run(program, data)
        after = s.traffic()
    names = ("alice", "bob", "carol")
    plan = predict(program, "rep3", Format(64, 16), names, names)
    assert plan.rounds == max((after[n] - before[n]).rounds for n in names)
    for n in names:
        assert plan.sent_by(n) == (after[n] - before[n]).total.payload_sent


@pytest.mark.slow
def test_sort_of_100_000_keys() -> None:
    value = np.random.default_rng(SEED).integers(0, 2**32, 100_000)
    with tacit.simulate("rep3", owners=("dora",)) as s:
        assert np.array_equal(opened(od.sort(secret(s, value))), np.sort(value))


def test_the_same_functions_run_on_numpy() -> None:
    """A study's check runs the function on pooled rows; the answers are those of the shares."""

    def study(t: Any) -> dict[str, Any]:
        groups = tables.group_by(t["k"], {"v": t["v"]}, tables.AGGREGATES, max_groups=5, valid=t["ok"])
        found = tables.join(t["k"], groups.keys[0], {"n": groups["count"]}, multiplicity="many-to-one",
                            right_valid=groups.valid, left_valid=t["ok"])  # fmt: skip
        best, places = od.top_k(t["v"], 3)
        return {
            "mean": groups["v_mean"],
            "most": groups["v_max"],
            "found": found["n"],
            "best": best,
            "places": places,
            "middle": od.median(t["v"]),
            "filled": od.fill(t["ok"], t["v"])[0],
        }

    rng = np.random.default_rng(SEED)
    columns = [
        tacit.Column("v", "fixed", -8, 8), tacit.Column("k", "int", 0, 3), tacit.Column("ok", "bool", 0, 1),
    ]  # fmt: skip
    names = ("mean", "most", "found", "best", "places", "middle", "filled")
    made = tacit.Study(
        study,
        tables=[tacit.Table(name, rows=6, columns=columns) for name in "abc"],
        results={name: tacit.Result("all", why="test") for name in names},
        frontend="array",
    )
    data = {
        name: {
            "v": rng.permutation(90)[:6] / 8 - 5,
            "k": rng.integers(0, 4, 6),
            "ok": rng.integers(0, 2, 6) > 0,
        }
        for name in "abc"
    }
    pooled = {c: np.concatenate([data[n][c] for n in "abc"]) for c in ("v", "k", "ok")}
    want, got = study(pooled), made.simulate(data)["a"]
    for name in names:
        assert np.allclose(np.asarray(got[name], float), np.asarray(want[name], float), rtol=0, atol=1e-3), (
            name
        )
    assert "largest difference" in str(made.check(data))
