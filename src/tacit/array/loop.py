"""Deriving what is publicly known of every variable of a Program, loops included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tacit.array import intervals as iv
from tacit.array.ops import Params, join_where, table
from tacit.array.ops_order import PERM_OPS
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.rounding import entering, leaving, nearest
from tacit.array.schema import check_eqn, check_input, check_shape
from tacit.errors import DataError, NotRealised, RangeError, ScaleError, ShapeError, TacitError, UsageError

if TYPE_CHECKING:
    from tacit.array.runtime import Format

Visit = Callable[[Eqn, list[Aval], list[Aval]], None]
HUGE = 2.0**120
# Equations looked at while the ranges of one loop settle: seconds.
MAX_TURNS = 200_000


def infer_eqn(eqn: Eqn, ins: list[Aval], fmt: Format | None = None) -> list[Aval]:
    """Return the results' avals of one equation; errors name the user's line.

    With a format, the intervals hold what is computed in it, rounding included; without, what is exact.
    """
    op = table().get(eqn.op)
    if op is None:
        raise NotRealised(f"{eqn.source or 'the program'}: operation {eqn.op!r} is not in the op table")
    if any(a.where == "closed" for a in ins):
        raise UsageError(
            f"{eqn.source}: a value revealed to several, not all, parties cannot be used further; reveal it to all"
        )
    if eqn.op not in PERM_OPS and any(a.kind == "perm" for a in ins):
        raise ScaleError(f"{eqn.source}: {eqn.op} does not take an order; arrange or restore rows by it")
    try:
        check_eqn(eqn, ins)
        where = join_where(ins)
        if fmt is not None and where == SECRET:
            ins = entering(eqn.op, ins, fmt)
        outs = scan_abstract(ins, eqn.params, fmt) if eqn.op == "scan" else op.abstract(ins, eqn.params)
        for a in outs:
            check_shape(a.shape)
        if fmt is not None and where == SECRET:
            outs = leaving(op, ins, outs, eqn.params, fmt)
    except TacitError as exc:
        if not eqn.source or eqn.source in str(exc):
            raise
        raise type(exc)(f"{eqn.source}: {exc}") from None
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, MemoryError) as exc:
        raise DataError(f"{eqn.op}: malformed parameters ({type(exc).__name__}: {exc})") from None
    if eqn.op in ("const", "reveal", "scan"):
        return outs
    return [Aval(a.shape, a.kind, a.lo, a.hi, where) for a in outs]


def infer(
    program: Program,
    ins: Sequence[Aval] | None = None,
    visit: Visit | None = None,
    before: dict[int, Aval] | None = None,
    fmt: Format | None = None,
) -> dict[int, Aval]:
    """Return the aval of every variable; `visit` sees each equation, those of loop bodies at their final ranges.

    `before` is an earlier result: equations whose operands are the very same avals as then are not looked at again.
    With `fmt`, intervals hold what is computed in that format; without, the exact results.
    """
    if ins is None:
        for i in program.inputs:
            check_input(i.name, i.aval)
    avals = list(ins) if ins is not None else [i.aval for i in program.inputs]
    if len(avals) != len(program.inputs):
        raise DataError(f"{len(program.inputs)} inputs are declared, {len(avals)} are given")
    env = {i.var: a for i, a in zip(program.inputs, avals, strict=True)}
    for eqn in program.eqns:
        args = [env[v] for v in eqn.ins]
        if before is not None and all(env[v] is before[v] for v in eqn.ins):
            env.update((v, before[v]) for v in eqn.outs)
            continue
        outs = infer_eqn(eqn, args, fmt)
        if before is not None:
            outs = [before[v] if a == before[v] else a for v, a in zip(eqn.outs, outs, strict=True)]
        if len(outs) != len(eqn.outs):
            raise DataError(f"{eqn.op} has {len(outs)} results, the program names {len(eqn.outs)}")
        env.update(zip(eqn.outs, outs, strict=True))
        if visit is not None:
            visit(eqn, args, outs)
            if eqn.op == "scan":
                body_ins, _ = scan_types(args, eqn.params, fmt)
                infer(eqn.params["body"], body_ins, visit, fmt=fmt)
    return env


def infer_once(program: Program, ins: Sequence[Aval], fmt: Format) -> dict[int, Aval]:
    """Return what `infer` does; the second time for the same inputs from memory."""
    key = (fmt, *ins)
    found: dict[int, Aval] | None = program.memo.get(key)
    if found is None:
        found = program.memo[key] = infer(program, ins, fmt=fmt)
    return found


def split(params: Params, items: Sequence[object]) -> tuple[list[Any], list[Any], list[Any]]:
    """Split a scan's operands into constants, carry and sliced inputs."""
    a, b = params["n_consts"], params["n_consts"] + params["n_carry"]
    return list(items[:a]), list(items[a:b]), list(items[b:])


def scan_types(
    ins: Sequence[Aval], params: Params, fmt: Format | None = None
) -> tuple[list[Aval], list[Aval]]:
    """Return the avals of the body's inputs and outputs that hold in every iteration."""
    key = (fmt, params["n_consts"], params["n_carry"], params["length"], *ins)
    memo = params["body"].memo
    if key not in memo:
        memo[key] = _settle(ins, params, fmt)
    body_ins, outs = memo[key]
    return list(body_ins), list(outs)


def inside(
    program: Program, avals: dict[int, Aval], rewrite: Callable[[Program, list[Aval]], Program]
) -> Program:
    """Return the Program with the bodies of its loops rewritten for the avals that hold in every iteration."""
    eqns = []
    for eqn in program.eqns:
        if eqn.op == "scan":
            body = eqn.params["body"]
            made = rewrite(body, scan_types([avals[v] for v in eqn.ins], eqn.params)[0])
            if made is not body:
                eqn = Eqn(eqn.op, eqn.ins, eqn.outs, {**eqn.params, "body": made}, eqn.source)
        eqns.append(eqn)
    return (
        program
        if all(a is b for a, b in zip(eqns, program.eqns, strict=True))
        else program.replace(eqns=tuple(eqns))
    )


def _settle(ins: Sequence[Aval], params: Params, fmt: Format | None) -> tuple[list[Aval], list[Aval]]:
    consts, carry, xs = split(params, ins)
    length, body = params["length"], params["body"]
    if len(ins) < params["n_consts"] + params["n_carry"] or len(body.outputs) < params["n_carry"]:
        raise DataError("scan: fewer operands or results than it carries")
    for x in xs:
        if not x.shape or x.shape[0] != length:
            raise ShapeError(f"scan: an input of shape {x.shape} does not have {length} rows")
    rows = [Aval(x.shape[1:], x.kind, x.lo, x.hi, x.where) for x in xs]
    current = list(carry)
    outs: list[Aval] = []
    env: dict[int, Aval] | None = None
    turn, moved, grown = 0, True, 0
    while turn < length or moved:
        if turn * len(body.eqns) > MAX_TURNS:
            raise RangeError(
                f"the range of a value carried through a loop of {length} iterations still grows after {turn}; "
                f"clip it in the loop, or state what you know with tacit.assume(x, lo, hi) {one_of(current, grown)}"
            )
        env = infer(body, [*consts, *current, *rows], before=env, fmt=fmt)
        outs = [env[v] for v in body.outputs]
        merged = [_merge(a, b, fmt) for a, b in zip(current, outs[: len(current)], strict=True)]
        if turn >= length:
            # Every iteration runs on values as visible as in the last: what follows from that, and no wider range.
            merged = [b if a.where != b.where else a for a, b in zip(current, merged, strict=True)]
        if merged == current or not length:
            break
        moved = any(a.where != b.where for a, b in zip(current, merged, strict=True))
        grown = changed(current, merged)
        current = [a if a == b else b for a, b in zip(current, merged, strict=True)]
        worst = max(range(len(current)), key=lambda i: current[i].magnitude)
        if current[worst].magnitude > HUGE:
            raise RangeError(
                "a value carried through a loop may grow without bound; clip it in the loop, or state what you "
                f"know with tacit.assume(x, lo, hi) {one_of(current, worst)}"
            )
        turn += 1
    return [*consts, *current, *rows], outs


def changed(before: Sequence[Aval], after: Sequence[Aval]) -> int:
    """Return which of what is carried has another range, or is more visible; the first that does."""
    return next((i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), 0)


def one_of(carry: Sequence[Aval], at: int) -> str:
    """Say which of the values that a loop carries an error is about."""
    a = carry[at]
    return (
        f"(value {at + 1} of {len(carry)} carried, known counters left out: shape {a.shape}, in [{a.lo:.6g}, "
        f"{a.hi:.6g}])"
    )


def _merge(before: Aval, after: Aval, fmt: Format | None) -> Aval:
    if before.shape != after.shape:
        raise ShapeError(f"scan: the carry changes shape from {before.shape} to {after.shape}")
    if before.kind != after.kind:
        raise ScaleError(f"scan: the carry changes kind from {before.kind} to {after.kind}")
    where = before.where if before.where == after.where else join_where([before, after])
    if fmt is not None and where == SECRET and before.kind == "fixed":
        # Shared before the first turn, or after one in which it is known to somebody.
        before, after = (a if a.where == SECRET else nearest(a, fmt) for a in (before, after))
    lo, hi = iv.hull((before.lo, before.hi), (after.lo, after.hi))
    return Aval(before.shape, before.kind, lo, hi, where)


def scan_abstract(ins: list[Aval], params: Params, fmt: Format | None = None) -> list[Aval]:
    """Return what is known of a scan's results: the final carry, then stacked outputs."""
    length, n_carry = params["length"], params["n_carry"]
    if params["body"].reveals():
        raise UsageError("a loop has a fixed, non-negative count, and reveals nothing inside")
    body_ins, outs = scan_types(ins, params, fmt)
    carry = body_ins[params["n_consts"] : params["n_consts"] + n_carry]
    stacked = [Aval((length, *a.shape), a.kind, a.lo, a.hi, a.where) for a in outs[n_carry:]]
    return [*carry, *stacked]


__all__ = ["PUBLIC", "SECRET", "infer", "infer_eqn", "infer_once", "scan_abstract", "scan_types", "split"]
