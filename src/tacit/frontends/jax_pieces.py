"""Arrays that are constant between numbers known while tracing, as places in a known table are, and what follows.

`jnp.searchsorted` and what calls it (digitize, histogram, interp) arrive as a binary search, a loop of look-ups. Its
result counts entries of a table; in a known one it is a function of the value sought that steps at known numbers. So is
what is computed of it alone, element by element, and what a known table holds there: that is computed while tracing,
and what is left are comparisons with the numbers, all at once, and sums of their truth values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Step, Value, fold, kind_of, known, with_notes
from tacit.frontends.jax_rules import only
from tacit.frontends.jax_sides import called
from tacit.frontends.jax_windows import add_rows

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

Array = npt.NDArray[Any]
FEW_CUTS, FEW_MEETINGS = 64, 1 << 20
"""Up to so many numbers, or values times numbers, what steps at them is made of comparisons with all of them."""
MOST_MEETINGS = 1 << 24
"""More values times numbers are never compared at once: it would take memory."""
SPARED = 1 << 17
"""So many comparisons fewer are worth the rounds of a second step."""
ROWS_OF_PAIRS, PAIRS = 36, 1 << 20
"""A row of a sort is worth so many comparisons of pairs, and its rounds are worth so many."""
EXACT = 2.0**53
NEAR = 2.0**-46
"""Numbers closer together than this part of the greatest differ by how float64 has rounded what they were made of."""
COMPARED = frozenset(["lt", "le", "gt", "ge", "eq", "ne", "lt_to", "le_to"])
NUMBERS = frozenset(
    [
        "abs",
        "add",
        "clamp",
        "div",
        "exp",
        "floor_divide",
        "integer_pow",
        "log",
        "max",
        "min",
        "mul",
        "neg",
        "rem",
    ]
)
ARITHMETIC = NUMBERS | {"remainder", "sign", "sqrt", "square", "sub"}
FOLDED = COMPARED | ARITHMETIC | {"and", "convert_element_type", "not", "or", "select_n"}
Passed = tuple[dict[tuple[float, bool], int], SecretArray]
MOVES = ("broadcast_in_dim", "copy", "expand_dims", "reshape", "squeeze")


@dataclass(frozen=True, slots=True)
class Pieces:
    """An array whose elements are, in row order, values[k] where as many of the cuts are passed by those of `of`."""

    of: SecretArray
    cuts: Array
    """Ascending; of equal ones, what is passed by being there comes first."""
    above: Array
    """Whether a cut is passed by what is greater alone, not by what is there."""
    values: Array
    """One more than there are cuts."""

    @property
    def few(self) -> bool:
        """Whether comparing with every cut is the way to what it holds."""
        meetings = self.of.size * len(self.cuts)
        return meetings <= MOST_MEETINGS and (len(self.cuts) <= FEW_CUTS or meetings <= FEW_MEETINGS)

    def plain(self) -> Pieces:
        """Return it without cuts that change nothing."""
        kept = np.flatnonzero(self.values[1:] != self.values[:-1])
        return replace(
            self, cuts=self.cuts[kept], above=self.above[kept], values=self.values[np.r_[0, kept + 1]]
        )

    def at(self, cuts: Array, above: Array) -> Array:
        """Return the values between these cuts, among which its own are."""
        ours, theirs = (list(zip(c, a, strict=True)) for c, a in ((self.cuts, self.above), (cuts, above)))
        places, k = np.zeros(len(theirs) + 1, np.int64), 0
        for i, cut in enumerate(theirs, start=1):
            k += k < len(ours) and ours[k] == cut
            places[i] = k
        return self.values[places]


def _held(it: Interpreter, v: Value) -> Pieces | None:
    return None if known(v) else it.pieces.get(v.ref)


def _bits(it: Interpreter, of: SecretArray, cuts: Array, above: Array) -> SecretArray:
    """Return which cuts each element passes, (elements, cuts), as whole numbers."""
    wanted = list(zip(cuts, above, strict=True))
    for held, bits in it.passed.setdefault(of.ref, []):
        if (at := [held[cut] for cut in wanted if cut in held]) and len(at) == len(wanted):
            return bits if at == list(range(bits.shape[1])) else xp.take(bits, at, 1)
    x = xp.reshape(of, (-1, 1))
    if above.all() or not above.any():
        bits = xp.astype((xp.greater if above.any() else xp.greater_equal)(x, cuts[None]), "int")
    else:
        # One comparison for both sides: two would not share their rounds.
        near, far = (it.lift(cuts[None, which]) for which in (~above, above))
        pair = [[xp.broadcast_to(v, (of.size, c.shape[1])) for v in (x, c)] for c in (near, far)]
        (x_near, c_near), (x_far, c_far) = pair
        passed = xp.astype(xp.less(xp.concat([x_near, c_far], 1), xp.concat([c_near, x_far], 1)), "int")
        split, order = near.shape[1], np.argsort(np.r_[np.flatnonzero(~above), np.flatnonzero(above)])
        bits = xp.take(xp.concat([xp.subtract(1, passed[:, :split]), passed[:, split:]], 1), order, 1)
    it.passed[of.ref].append(({cut: k for k, cut in enumerate(wanted)}, bits))
    return bits


def _hot(it: Interpreter, p: Pieces) -> SecretArray:
    """Return for each element in which piece it is, (elements, pieces): one, elsewhere zero."""
    bits, ends = _bits(it, p.of, p.cuts, p.above), np.ones((p.of.size, 1), np.int64)
    hot = xp.subtract(xp.concat([ends, bits], 1), xp.concat([bits, 0 * ends], 1))
    return xp.assume(hot, 0, 1, "whoever passes a number passes those before it")


def _made(it: Interpreter, p: Pieces, kind: str) -> Value | None:
    """Return the elements, in one row: a known array if all are one; None of truth values that change twice."""
    p = p.plain()
    values = p.values
    if not len(p.cuts):
        return np.full(p.of.size, values[0])
    if values.dtype.kind == "f":
        if np.ptp(values) <= NEAR * np.abs(values).max():
            return np.full(p.of.size, np.median(values))
        if kind == "int" or not np.all(np.isfinite(values)):
            return None
    if kind == "bool":
        if len(p.cuts) > 1:
            return None
        passed = (xp.greater if p.above[0] else xp.greater_equal)(p.of, p.cuts[0])
        return xp.reshape(passed if values[1] else xp.logical_not(passed), (-1,))
    if kind == "int":
        steps = np.diff(values.astype(np.int64))
        if np.all(steps > 0) or np.all(steps < 0):
            bits = _bits(it, p.of, p.cuts, p.above)
            changed = xp.sum(bits, 1) if np.all(steps == 1) else xp.matmul(bits, steps)
            return xp.add(changed, int(values[0])) if values[0] else changed
    return _within(xp.matmul(_hot(it, p), values), values, "a table holds one of its entries at each place")


def _within(x: SecretArray, values: Array, why: str) -> SecretArray:
    lo, hi = float(values.min()), float(values.max())
    return xp.assume(x, max(lo, x.aval.lo), min(hi, x.aval.hi), why)


# -- searches ---------------------------------------------------------------------------------------------------


def _nested(jaxpr: Any) -> Any:
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield eqn
        for v in eqn.params.values():
            if hasattr(v, "eqns") or hasattr(v, "jaxpr"):
                yield from _nested(v)


def _search(it: Interpreter, step: Step, ins: list[Value]) -> list[Value] | None:
    """Return the last bounds of a binary search as `jnp.searchsorted` traces it; None of any other loop."""
    p = step.params
    if step.within != "searchsorted" or (p["num_consts"], p["num_carry"], len(ins)) != (2, 2, 4):
        return None
    eqns = list(_nested(p["jaxpr"]))
    found = [e for e in eqns if e.primitive.name == "gather"]
    asked = {e.primitive.name for e in eqns} & {"lt_to", "le_to"}
    (table, sought), shape = ins[:2], step.avals[1].shape
    if len(found) != 1 or len(asked) != 1 or only(ins[2]) != 0 or only(ins[3]) != np.shape(table)[-1]:
        return None
    dims, blocks = found[0].params["dimension_numbers"], len(np.shape(table)) - 1
    first = tuple(range(blocks))
    if (*dims.operand_batching_dims,) != first or (*dims.start_indices_batching_dims,) != first:
        return None
    if tuple(np.shape(sought)) != tuple(shape) or tuple(np.shape(table)[:-1]) != tuple(shape[:blocks]):
        return None
    above = asked == {"le_to"}
    if not np.shape(table)[-1] or "bool" in (str(v.dtype) for v in (table, sought)):
        return None
    if known(table):
        return None if blocks else _in_known(it, np.asarray(table), sought, above, step.avals[:2])
    return _in_secret(it, table, sought, above, step)


def effective(table: Array) -> Array:
    """Return the ascending table of which a binary search finds what it finds in this one; NaN is the greatest."""
    held = np.where(np.isnan(table), np.inf, table) if table.dtype.kind == "f" else table
    if np.all(held[1:] >= held[:-1]):
        return held
    held, seen = held.copy(), np.zeros(len(held), bool)
    asked: list[tuple[int, int, Any, Any]] = [(0, len(held), held.min(), held.max())]
    while asked:
        low, high, least, most = asked.pop()
        at = low + (high - low) // 2
        if low == high or seen[at]:
            continue
        seen[at] = True
        held[at] = np.clip(held[at], least, most)
        asked += [(low, at, least, held[at]), (at, high, held[at], most)]
    return held


def _snapped(cuts: Array) -> Array:
    """Return numbers that differ from whole ones by how float64 has rounded them as these: `linspace` makes such."""
    whole = np.rint(cuts)
    return np.where(np.abs(cuts - whole) <= NEAR * np.maximum(np.abs(whole), 1), whole, cuts)


def _in_known(
    it: Interpreter, table: Array, x: SecretArray, above: bool, avals: Sequence[Any]
) -> list[Value] | None:
    """Return the bounds of a search in a known table, and note that they are pieces."""
    cuts, flat = effective(table), xp.reshape(x, (-1,))
    if x.dtype == "int" and cuts.dtype.kind == "f":
        cuts = (np.floor if above else np.ceil)(_snapped(cuts))
    within = (cuts >= x.aval.lo) & (cuts <= x.aval.hi)
    least, cuts = int(np.sum(cuts < x.aval.lo)), cuts[within]
    if np.any(np.abs(cuts) > EXACT):
        return None
    cuts = cuts.astype(np.float64)
    last = np.flatnonzero(np.r_[cuts[1:] != cuts[:-1], np.ones(min(len(cuts), 1), bool)])
    values = least + np.r_[0, last + 1]
    high = Pieces(flat, cuts[last], np.full(len(last), above), values)
    low = replace(high, values=np.maximum(values, 1) - 1)
    it.sought[called(it, x)] = flat
    rows = math.isqrt(max(len(cuts) - 1, 0)) + 1
    if flat.size * (len(cuts) - 2 * rows) <= SPARED:
        if not high.few:
            return None
        lower, upper = (_put(it, p, aval) for p, aval in zip((low, high), avals, strict=True))
        return None if lower is None or upper is None else [lower, upper]
    if flat.size * 2 * rows > MOST_MEETINGS:
        return None
    found = xp.reshape(xp.add(_by_rows(it, flat, cuts, above, rows), least), x.shape)
    it.pieces[found.ref] = high
    return [found, found]


def _by_rows(it: Interpreter, x: SecretArray, cuts: Array, above: bool, size: int) -> SecretArray:
    """Return how many cuts each element passes: of every `size`-th, then of those before the next."""
    ends, passes = cuts[size - 1 :: size], xp.greater if above else xp.greater_equal
    # What is beyond the range is never passed.
    padded = np.full((len(ends) + 1) * size, x.aval.hi + 1.0)
    padded[: len(cuts)] = cuts
    rows = padded.reshape(-1, size)[:, :-1]
    p = Pieces(x, ends, np.full(len(ends), above), np.arange(len(ends) + 1))
    row = xp.matmul(_hot(it, p), rows.astype(np.int64) if x.dtype == "int" else rows)
    row = _within(row, rows, "a table holds one of its entries at each place")
    passed = xp.sum(_bits(it, x, p.cuts, p.above), 1)
    return xp.add(xp.multiply(passed, size), xp.sum(passes(xp.reshape(x, (-1, 1)), row), 1))


def _in_secret(it: Interpreter, table: SecretArray, sought: Value, above: bool, step: Step) -> list[Value]:
    """Return the bounds of a search in tables (blocks, entries) that are not known: all pairs compared, or one sort."""
    m, shape = table.shape[-1], step.avals[1].shape
    t, x = xp.reshape(table, (-1, m)), xp.reshape(it.lift(sought), (math.prod(table.shape[:-1]), -1))
    pairs, rows = x.size * m, x.size + t.size
    if pairs <= ROWS_OF_PAIRS * rows + PAIRS:
        pair = xp.expand_dims(x, 2), xp.expand_dims(t, 1)
        found = xp.sum(xp.greater(*pair) if above else xp.greater_equal(*pair), 2)
    else:
        # Of equal ones an entry that counts comes first.
        both = [x, t] if above else [t, x]
        order = od.order(xp.concat(both, 1))
        ours = np.zeros((t.shape[0], x.shape[1]), np.int64)
        ones = np.concatenate([ours, ours[:, :1] + np.ones((1, m), np.int64)][:: 1 if above else -1], 1)
        passed = xp.cumulative_sum(od.arrange(order, it.lift(ones))[0], 1)
        (found,) = od.restore(order, passed)
        found = found[:, : x.shape[1]] if above else found[:, m:]
        found = xp.assume(found, 0, m, "no more entries are counted than there are")
    found = xp.reshape(found, shape)
    return [found, found]


def _put(it: Interpreter, p: Pieces, aval: Any) -> Value | None:
    """Return pieces as the array that JAX says, and note what it is; None where they are not to be made."""
    made = _made(it, p, kind_of(aval.dtype))
    if made is None or known(made):
        return made if made is None else np.reshape(made, aval.shape).astype(aval.dtype)
    out = xp.reshape(made, aval.shape)
    it.pieces[out.ref] = p
    return out


# -- what follows from them -------------------------------------------------------------------------------------


def _asked(it: Interpreter, step: Step, ins: list[Value]) -> Pieces | None:
    """Return what the comparison of a value that has been sought with a number is."""
    if step.name not in COMPARED or known(ins[0]) == known(ins[1]):
        return None
    at = int(known(ins[0]))
    x, c = ins[at], only(ins[1 - at])
    of = it.sought.get(called(it, x))
    if of is None or c is None or not abs(c) <= EXACT or x.size != math.prod(step.avals[0].shape):
        return None
    sides, zero = np.array([-1, 0, 1]), np.zeros(3, np.int64)
    (values,) = fold(step, [sides, zero][:: -1 if at else 1])
    c = float(_snapped(np.asarray(c, np.float64))) if x.dtype == "int" else float(c)
    return Pieces(of, np.full(2, c), np.array([False, True]), np.asarray(values))


def _wide(values: Array) -> Array:
    return values.astype({"b": np.bool_, "f": np.float64}.get(values.dtype.kind, np.int64))


def _followed(it: Interpreter, step: Step, ins: list[Value]) -> Pieces | None:
    """Return the pieces of a result that is computed of pieces of one value and of numbers."""
    held = [_held(it, v) for v in ins]
    pieces = [p for p in held if p is not None]
    numbers = [None if p is not None else only(v) for v, p in zip(ins, held, strict=True)]
    if not pieces or any(p is None and c is None for p, c in zip(held, numbers, strict=True)):
        return None
    if len({p.of.ref for p in pieces}) > 1 or pieces[0].of.size != math.prod(step.avals[0].shape):
        return None
    if any(not known(v) and v.size != pieces[0].of.size for v in ins):
        return None
    every = sorted({cut for p in pieces for cut in zip(p.cuts, p.above, strict=True)})
    cuts, above = np.array([c for c, _ in every], np.float64), np.array([a for _, a in every], bool)
    # Whole numbers of any type are one type here, which never wraps.
    args = [
        _wide(np.full(len(cuts) + 1, c) if p is None else p.at(cuts, above))
        for p, c in zip(held, numbers, strict=True)
    ]
    made_float = step.name in ARITHMETIC and np.dtype(step.avals[0].dtype).kind == "f"
    if made_float or any(a.dtype.kind == "f" for a in args):
        # A whole number that JAX has made a float is the same array here.
        args = [a if a.dtype.kind == "b" else a.astype(np.float64) for a in args]
    (values,) = (_wide(np.asarray(v)) for v in fold(step, args))
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        return None
    return Pieces(pieces[0].of, cuts, above, values).plain()


def _same(it: Interpreter, p: Pieces, ins: list[Value], aval: Any) -> Value | None:
    """Return the operand that the result is, if it is one of them."""
    for v in ins:
        held = _held(it, v)
        if held is not None and v.shape == aval.shape and v.dtype == kind_of(aval.dtype):
            held = held.plain()
            parts = (held.cuts, p.cuts), (held.above, p.above), (held.values, p.values)
            if all(np.array_equal(ours, theirs) for ours, theirs in parts):
                return v
    return None


def _folding(rule: Rule) -> Rule:
    """Return the rule of an operation on elements, of which pieces make pieces."""

    def run(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        p, aval = _followed(it, step, ins), step.avals[0]
        # Sums with whole numbers cost nothing.
        free = step.name in ("add", "sub", "neg") and np.dtype(aval.dtype).kind in "iu"
        if p is not None and p.few and not free:
            if (unchanged := _same(it, p, ins, aval)) is not None:
                return [unchanged]
            if (made := _put(it, p, aval)) is not None:
                return [made]
        outs = rule(it, step, ins)
        p = p or _asked(it, step, ins)
        if p is not None and not known(outs[0]):
            it.pieces.setdefault(outs[0].ref, p)
        return outs

    return run


def _moved(it: Interpreter, step: Step, ins: list[Value], outs: list[Value]) -> None:
    p = _held(it, ins[0])
    if (
        p is not None
        and not known(outs[0])
        and outs[0].size == p.of.size
        and step.params.get("dimensions") is None
    ):
        it.pieces.setdefault(outs[0].ref, p)


def _place_in(step: Step, p: Pieces, n: int) -> tuple[Array, Array]:
    """Return the places that indices name, moved inside where JAX moves them, and which are inside."""
    at = p.values.astype(np.int64)
    inside = (at >= 0) & (at < n)
    if "FILL" not in str(step.params["mode"]):
        inside[:] = True
    return np.clip(at, 0, n - 1), inside


def _picking(rule: Rule) -> Rule:
    """Return the rule of look-ups, of which those by pieces in a vector are sums."""

    def run(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        table, p, shape = ins[0], _held(it, ins[1]), step.avals[0].shape
        if p is None or len(np.shape(table)) != 1 or math.prod(shape) != p.of.size or not p.few:
            return rule(it, step, ins)
        at, inside = _place_in(step, p, np.shape(table)[0])
        if not inside.all():
            return rule(it, step, ins)
        if known(table):
            made = _put(it, replace(p, values=np.asarray(table)[at]), step.avals[0])
            return rule(it, step, ins) if made is None else [made]
        p = replace(p, values=at).plain()
        if table.dtype == "bool" or not len(p.cuts):
            return rule(it, step, ins)
        found = xp.matmul(_hot(it, p), xp.take(table, p.values))
        why = "a table holds one of its entries at each place"
        return [xp.reshape(xp.assume(found, table.aval.lo, table.aval.hi, why), shape)]

    return run


def _adding(rule: Rule) -> Rule:
    """Return the rule of sums by an index, of which those by pieces are sums for each piece."""

    def run(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        x, u, p = ins[0], ins[2], _held(it, ins[1])
        n = math.prod(np.shape(u))
        if p is None or len(np.shape(x)) != 1 or n != p.of.size or not p.few:
            return rule(it, step, ins)
        p = p.plain()
        if not len(p.cuts):
            return rule(it, step, ins)
        at, inside = _place_in(step, p, np.shape(x)[0])
        hot, c = _hot(it, p), only(u)
        if c is not None and c == int(c):
            added = xp.multiply(xp.sum(hot, 0), int(c)) if c != 1 else xp.sum(hot, 0)
        else:
            rows = xp.reshape(xp._number(it.lift(u)), (n, 1))
            added = xp.reshape(xp.matmul(xp.permute_dims(hot, (1, 0)), rows), (-1,))
            lo, hi = n * min(it.lift(u).aval.lo, 0), n * max(it.lift(u).aval.hi, 0)
            added = xp.assume(added, max(lo, added.aval.lo), min(hi, added.aval.hi), "each row is added once")
        kept = np.flatnonzero(inside)
        sums = add_rows(xp.take(added, kept), at[kept], np.shape(x)[0])
        return [sums if only(x) == 0 else xp.add(x, sums)]

    return run


def piecing(rules: dict[str, Rule]) -> dict[str, Rule]:
    """Return the rules, those of searches and of what is computed of their results knowing pieces."""
    made = with_notes(rules, dict.fromkeys(MOVES, _moved))
    scan = made["scan"]

    def searching(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
        return _search(it, step, ins) or scan(it, step, ins)

    made |= {n: _folding(made[n]) for n in FOLDED}
    return {
        **made,
        "scan": searching,
        "gather": _picking(made["gather"]),
        "scatter-add": _adding(made["scatter-add"]),
    }
