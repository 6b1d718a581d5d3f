"""Tables with secret keys: group by, distinct, join. Nothing but declared sizes is revealed.

Results have a declared number of rows; a secret truth value says which rows hold something. Sorting once brings equal
keys together; the rest is local sums and a constant number of rounds of moving rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tacit.array.ops import kind_dtype
from tacit.array.order import arrange, fill, order, restore
from tacit.array.plain import Plain, array, constant, kind_of, space, whole, within
from tacit.array.secret import SecretArray
from tacit.errors import ShapeError, UsageError

Keys = Any
AGGREGATES = ("count", "sum", "mean", "min", "max")


@dataclass(frozen=True, slots=True)
class Groups:
    """A grouped table of `max_groups` rows, sorted by key; rows past the number of groups are zero."""

    keys: tuple[Any, ...]
    columns: dict[str, Any]
    valid: Any
    """Which rows hold a group."""
    number: Any
    """How many groups there are, those beyond `max_groups` included: secret unless revealed."""

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]


@dataclass(frozen=True, slots=True)
class Joined:
    """For each left row, in the left table's order: the right table's columns, and whether it has a match."""

    columns: dict[str, Any]
    matched: Any

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs of a left and a right row with equal keys, in `max_rows` rows; rows past their number are zero."""

    left: dict[str, Any]
    right: dict[str, Any]
    valid: Any
    """Which rows hold a pair."""
    number: Any
    """How many pairs there are, those beyond `max_rows` included: secret unless revealed."""


def _keys(keys: Keys, what: str) -> tuple[Any, ...]:
    held = tuple(keys) if isinstance(keys, list | tuple) else (keys,)
    for k in held:
        array(k, f"{what}: a key")
    if not held or any(k.ndim != 1 or k.shape != held[0].shape for k in held):
        raise ShapeError(f"{what}: keys are columns of one length")
    return held


def _columns(columns: Mapping[str, Any], n: int, what: str) -> dict[str, Any]:
    """Return the columns by name, each beside keys of n rows."""
    if not isinstance(columns, Mapping):
        raise UsageError(f"{what}: columns are given by name, as in {{'age': age}}")
    for name, column in columns.items():
        if not isinstance(name, str):
            # Names of results are made from them, and 1 and "1" would make the same.
            raise UsageError(f"{what}: columns are named by texts, not {name!r}")
        if array(column, f"{what}: column {name!r}").shape != (n,):
            raise ShapeError(f"{what}: column {name!r} has shape {column.shape} beside keys of {n} rows")
    return dict(columns)


def _mask(valid: Any | None, n: int, what: str) -> Any | None:
    """Return which of n rows count; `what` names the argument."""
    if valid is not None and array(valid, what).shape != (n,):
        raise ShapeError(
            f"{what} has shape {valid.shape} beside keys of {n} rows; give one truth value a row"
        )
    return valid


def _lift(*given: Any) -> Callable[[Any], Any]:
    """Return what puts public arrays beside the secret ones among `given`, if there are any."""
    like = next((x for x in given if isinstance(x, SecretArray)), None)
    return lambda x: x if x is None or like is None else like.context.const(x)


def _starts(keys: Sequence[Any]) -> Any:
    """Return, for sorted keys, which rows differ from the row before; the first row does."""
    fn, same = space(*keys), None
    for k in keys:
        equal = fn.equal(k[1:], k[:-1])
        same = equal if same is None else fn.logical_and(same, equal)
    assert same is not None
    return fn.concat([constant(same, np.ones(1, bool)), fn.logical_not(same)])


def _zero_where_not(valid: Any, x: Any) -> Any:
    fn = space(valid, x)
    return fn.logical_and(valid, x) if kind_of(x) == "bool" else fn.where(valid, x, 0)


def _difference(x: Any) -> Any:
    fn = space(x)
    return fn.concat([x[:1], fn.subtract(x[1:], x[:-1])])


def _padded(x: Any, rows: int) -> Any:
    """Cut or extend with zeros to `rows` rows."""
    if x.shape[0] >= rows:
        return x[:rows]
    rest = np.zeros(rows - x.shape[0], kind_dtype(kind_of(x)))
    return space(x).concat([x, constant(x, rest)])


def group_by(
    keys: Keys,
    values: Mapping[str, Any] | None = None,
    aggs: Sequence[str] = ("count", "sum"),
    *,
    max_groups: int,
    valid: Any | None = None,
) -> Groups:
    """Aggregate `values` over rows of equal keys; result columns are "count" and "<name>_<aggregate>".

    `max_groups` is public: the first groups in key order are kept. Rows where `valid` is false do not count.
    Minimum and maximum cost one sort for each value column, the rest one sort in all.
    """
    held = _keys(keys, "group_by")
    n = held[0].shape[0]
    if isinstance(aggs, str):
        raise UsageError(f"group_by: aggs is a list of names, as in [{aggs!r}]")
    unknown = [a for a in aggs if a not in AGGREGATES]
    if unknown:
        raise UsageError(f"no aggregate is called {unknown[0]!r}; there are {', '.join(AGGREGATES)}")
    if whole(max_groups, "group_by: max_groups") < 1 or n < 1:
        raise ShapeError("group_by needs at least one row, and room for one group")
    values, valid = _columns(values or {}, n, "group_by"), _mask(valid, n, "group_by: valid")
    lift = _lift(*held, *values.values(), valid)
    held, valid = tuple(map(lift, held)), lift(valid)
    values = {name: lift(v) for name, v in values.items()}
    sums = [a for a in ("sum", "mean") if a in aggs]
    ends = [a for a in ("min", "max") if a in aggs]
    columns: dict[str, Any] = {}
    made, totals = _sums(held, values if sums else {}, valid, max_groups)
    if "count" in aggs:
        columns["count"] = made["count"]
    for name in values:
        if "sum" in sums:
            columns[f"{name}_sum"] = totals[name]
        if "mean" in sums:
            fn = space(totals[name])
            quotient = fn.divide(totals[name], fn.maximum(made["count"], 1))
            why = "a mean lies within its data's range"
            columns[f"{name}_mean"] = within(quotient, values[name], why, zero=True)
        if ends:
            low, high = _ends(held, values[name], valid, max_groups)
            found = {"min": low, "max": high}
            columns.update({f"{name}_{a}": found[a] for a in ends})
    return Groups(made.keys, columns, made.valid, made.number)


def _marked(keys: Sequence[Any], valid: Any | None) -> list[Any]:
    """Put rows that do not count behind all others."""
    if valid is None:
        return list(keys)
    fn = space(valid)
    return [fn.logical_not(fn.astype(valid, "bool")), *keys]


def _last_rows(keys: list[Any], valid: Any | None) -> Any:
    """Return, for sorted keys, which rows are the last of a group that counts."""
    starts = _starts(keys)
    fn = space(starts)
    last = fn.concat([starts[1:], constant(starts, np.ones(1, bool))])
    return last if valid is None else fn.logical_and(last, fn.logical_not(keys[0]))


def _sums(
    keys: Sequence[Any], values: Mapping[str, Any], valid: Any | None, rows: int
) -> tuple[Groups, dict[str, Any]]:
    """Return groups with their counts, and sums: running sums at each group's last row, less the group before's."""
    n, fn = keys[0].shape[0], space(*keys, *values.values(), valid)
    marked = _marked(keys, valid)
    moved = arrange(order(marked), *marked, *values.values())
    sorted_keys, columns = moved[: len(marked)], moved[len(marked) :]
    last = _last_rows(sorted_keys, valid)
    totals = [fn.cumulative_sum(c) for c in columns]
    places = constant(last, np.arange(1, n + 1))
    why = "a group's sum lies between sums of all rows or none"
    # The groups' last rows come to the front, in key order: a sort by one bit.
    front = order(last, descending=True)
    kept = arrange(front, last, places, *sorted_keys[len(marked) - len(keys) :], *totals)
    there, at, *rest = (_padded(x, rows) for x in kept)
    found = [_zero_where_not(there, x) for x in rest[: len(keys)]]
    # A value may be called "count", too: counts and sums stay apart.
    count, *sums = (
        within(_zero_where_not(there, _difference(total)), data, why, zero=True, times=n)
        for total, data in zip((at, *rest[len(keys) :]), (last, *values.values()), strict=True)
    )
    number = fn.sum(fn.astype(last, "int"))
    return Groups(tuple(found), {"count": count}, there, number), dict(zip(values, sums, strict=True))


def _ends(keys: Sequence[Any], value: Any, valid: Any | None, rows: int) -> tuple[Any, Any]:
    """Return each group's least and greatest value: sorted by key, then value, its first and last row's."""
    marked = _marked(keys, valid)
    *sorted_keys, ranked = arrange(order([*marked, value]), *marked, value)
    last = _last_rows(sorted_keys, valid)
    # The first row of the next group follows the last row of this one.
    fn = space(ranked)
    following = fn.concat([ranked[1:], ranked[-1:]])
    there, high, low = (
        _padded(x, rows) for x in arrange(order(last, descending=True), last, ranked, following)
    )
    low = fn.concat([ranked[:1], low[:-1]])
    return _zero_where_not(there, low), _zero_where_not(there, high)


def distinct(keys: Keys, *, max_groups: int, valid: Any | None = None) -> Groups:
    """Return the distinct keys in order, and how often each occurs ("count")."""
    return group_by(keys, {}, ("count",), max_groups=max_groups, valid=valid)


def join(
    left: Keys,
    right: Keys,
    columns: Mapping[str, Any],
    *,
    multiplicity: str,
    left_valid: Any | None = None,
    right_valid: Any | None = None,
) -> Joined:
    """Look up each left row's key among the right keys; return the right columns found there, zero without a match.

    `multiplicity` states what is known: "many-to-one" (no right key occurs twice) or "one-to-one" (no left key does
    either). Nothing checks it on secrets: of equal right keys the last is taken. Rows that are not valid match none.
    """
    if multiplicity not in ("many-to-one", "one-to-one"):
        raise UsageError(
            'multiplicity must be "many-to-one" or "one-to-one"; swap the tables, or take join_many'
        )
    a, b = _keys(left, "join"), _keys(right, "join")
    if len(a) != len(b):
        raise ShapeError(f"join on {len(a)} left and {len(b)} right keys")
    n, m = a[0].shape[0], b[0].shape[0]
    names = list(_columns(columns, m, "join"))
    given = (
        *columns.values(),
        _mask(left_valid, n, "join: left_valid"),
        _mask(right_valid, m, "join: right_valid"),
    )
    lift = _lift(*a, *b, *given)
    a, b = tuple(map(lift, a)), tuple(map(lift, b))
    *payload, left_valid, right_valid = map(lift, given)
    fn, like = space(*a), a[0]
    # Right rows come first, so that a stable sort puts them before the left rows of the same key.
    keys = [fn.concat([y, x]) for x, y in zip(a, b, strict=True)]
    is_right = constant(like, np.arange(m + n) < m)
    offered = is_right
    if right_valid is not None:
        offered = fn.concat([fn.astype(right_valid, "bool"), constant(like, np.zeros(n, bool))])
    at = order(keys)
    wide = [_padded(column, m + n) for column in payload]
    sorted_offer, *moved = arrange(at, offered, *keys, *wide)
    sorted_keys, payload = moved[: len(keys)], moved[len(keys) :]
    starts = _starts(sorted_keys)
    # A row takes what the nearest group start or offer at or before it holds: an offer's columns, or none.
    flags = fn.logical_or(starts, sorted_offer)
    held, *found = restore(at, *fill(flags, sorted_offer, *payload))
    matched, *out = (x[m:] for x in (held, *found))
    if left_valid is not None:
        matched = fn.logical_and(matched, fn.astype(left_valid, "bool"))
    return Joined({name: _zero_where_not(matched, x) for name, x in zip(names, out, strict=True)}, matched)


def join_many(
    left: Keys,
    right: Keys,
    left_columns: Mapping[str, Any],
    right_columns: Mapping[str, Any],
    *,
    max_rows: int,
    left_valid: Any | None = None,
    right_valid: Any | None = None,
) -> Pairs:
    """Return every pair of a left and a right row with equal keys, in the left table's order, then the right one's.

    `max_rows` is public: the first pairs are kept, and `number` tells how many there would be. Rows that are not valid
    match none. Source: the expansion and alignment of Krastnikov, Kerschbaum, Stebila, "Efficient Oblivious Database
    Joins", PVLDB 13(11), 2020, by sorts and fills: each left row is laid out once for each of its matches, and each
    result row finds its right row by rank.
    """
    a, b = _keys(left, "join_many"), _keys(right, "join_many")
    n, m = a[0].shape[0], b[0].shape[0]
    if len(a) != len(b):
        raise ShapeError(f"join_many on {len(a)} left and {len(b)} right keys")
    if whole(max_rows, "join_many: max_rows") < 1 or n < 1 or m < 1:
        raise ShapeError("join_many needs at least one row on each side, and room for one pair")
    left_columns, right_columns = (
        _columns(left_columns, n, "join_many"),
        _columns(right_columns, m, "join_many"),
    )
    masks = (_mask(left_valid, n, "join_many: left_valid"), _mask(right_valid, m, "join_many: right_valid"))
    lift = _lift(*a, *b, *left_columns.values(), *right_columns.values(), *masks)
    a, b, (left_valid, right_valid) = tuple(map(lift, a)), tuple(map(lift, b)), map(lift, masks)
    left_columns = {name: lift(x) for name, x in left_columns.items()}
    right_columns = {name: lift(x) for name, x in right_columns.items()}
    fn, like = space(*a), a[0]
    offered = constant(like, np.ones(m, bool)) if right_valid is None else fn.astype(right_valid, "bool")
    before, matches, rank = _matches(fn, a, b, offered)
    if left_valid is not None:
        matches = fn.where(fn.astype(left_valid, "bool"), matches, 0)
    # Row r of the result belongs to the last left row that has matches and starts at or before r.
    ends = fn.cumulative_sum(matches)
    number = ends[n - 1]
    starts = fn.minimum(fn.subtract(ends, matches), max_rows)
    places = constant(like, np.arange(max_rows))
    valid = fn.less(places, number)
    from_left = _taken(starts, places, fn.less(0, matches), [starts, before, *left_columns.values()])
    first, base, *out_left = from_left
    # Its right row is as far behind the first one of its key as the result row is behind the left row's first.
    wanted = fn.add(base, fn.subtract(places, first))
    why = "a row that holds a pair asks for a right row"
    wanted = _known_range(fn.where(valid, wanted, m), 0, m, why)
    out_right = _taken(rank, wanted, offered, list(right_columns.values()))
    return Pairs(
        {k: _zero_where_not(valid, x) for k, x in zip(left_columns, out_left, strict=True)},
        {k: _zero_where_not(valid, x) for k, x in zip(right_columns, out_right, strict=True)},
        valid,
        number,
    )


def _known_range(x: Any, lo: float, hi: float, why: str) -> Any:
    fn = space(x)
    return x if fn is Plain else fn.assume(x, lo, hi, why=why)


def _matches(fn: Any, left: Sequence[Any], right: Sequence[Any], offered: Any) -> tuple[Any, Any, Any]:
    """Return, for left rows, the offers with lesser keys and with equal ones; for right rows, the rank of an offer."""
    n, m = left[0].shape[0], right[0].shape[0]
    keys = [fn.concat([y, x]) for x, y in zip(left, right, strict=True)]
    # Right rows come first, so that a stable sort puts them before the left rows of the same key.
    at = order(keys)
    flags = fn.concat([offered, constant(offered, np.zeros(n, bool))])
    sorted_flags, *sorted_keys = arrange(at, flags, *keys)
    counted = fn.cumulative_sum(fn.astype(sorted_flags, "int"))
    ahead = fn.subtract(counted, fn.astype(sorted_flags, "int"))
    ahead = _known_range(ahead, 0, m, "a count lies between none and all rows")
    (base,) = fill(_starts(sorted_keys), ahead)
    counted, ahead, base = restore(at, counted, ahead, base)
    matches = fn.subtract(counted[m:], base[m:])
    return base[m:], _known_range(matches, 0, m, "a count lies between none and all rows"), ahead[:m]


def _taken(keys: Any, wanted: Any, offered: Any, columns: Sequence[Any]) -> list[Any]:
    """Return, for each wanted whole number, the columns of the offered row with the greatest key up to it."""
    if not columns:
        return []
    fn, rows = space(keys, wanted, offered, *columns), wanted.shape[0]
    joined = fn.concat([keys, wanted])
    flags = fn.concat([offered, constant(keys, np.zeros(rows, bool))])
    at = order(joined)
    moved = arrange(at, flags, *(_padded(x, keys.shape[0] + rows) for x in columns))
    found = restore(at, *fill(moved[0], *moved[1:]))
    return [x[keys.shape[0] :] for x in found]
