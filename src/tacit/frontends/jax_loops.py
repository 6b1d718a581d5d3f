"""JAX control flow: loops of fixed length become the `scan` operation, conditions on secrets become selections.

What a loop computes from constants alone (counters, learning-rate schedules, batch indices) is computed while tracing
and enters the loop as a table with one row for each iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from tacit.array import functions as xp
from tacit.array.interpret import Trace
from tacit.array.loop import changed, infer, one_of, scan_types
from tacit.array.ops import join_where
from tacit.array.program import Aval, Program
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised, RangeError
from tacit.frontends.jax_flat import Atom, Const, Flat, Step, Value, as_numpy, flatten, fold, kind_of, known
from tacit.frontends.jax_recurrent import at_once

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_rules import Rule

MAX_COUNT = 1_000_000
MAX_ROUNDS_OF_RANGES = 64
"""A word that a loop shifts gains a bit of its range each time."""
MAX_STEPS_OF_RANGES = 16


# -- what of a loop body is known while tracing -----------------------------------------------------------


def _known_vars(flat: Flat, start: set[int]) -> set[int]:
    """Return every variable of the body that follows from `start` and constants."""
    found = set(start)
    for step in flat.steps:
        if all(isinstance(a, Const) or a in found for a in step.ins):
            found.update(step.outs)
    return found


def _is_known(a: Atom, names: set[int]) -> bool:
    return isinstance(a, Const) or a in names


def _stable_carry(flat: Flat, n_consts: int, fixed: set[int], candidates: set[int]) -> set[int]:
    """Return the carry positions that stay known in every iteration."""
    keep = set(candidates)
    while True:
        names = _known_vars(flat, fixed | {flat.ins[n_consts + i] for i in keep})
        new = {i for i in keep if _is_known(flat.outs[i], names)}
        if new == keep:
            return keep
        keep = new


def _evaluate(steps: Sequence[Step], env: dict[int, Any]) -> None:
    for step in steps:
        ins = [a.value if isinstance(a, Const) else env[a] for a in step.ins]
        if any(isinstance(v, jax.core.Tracer) for v in ins):
            out = step.primitive.bind(*ins, **step.params)
            outs = list(out) if step.primitive.multiple_results else [out]
        else:
            outs = fold(step, ins)
        env.update(zip(step.outs, outs, strict=True))


def _read(a: Atom, env: dict[int, Any]) -> Any:
    return a.value if isinstance(a, Const) else env[a]


class Loop:
    """One loop: body, constants, initial carry, rows; split into a known part and the rest."""

    def __init__(
        self, body: Flat, consts: list[Value], carry: list[Value], xs: list[Value], length: int, reverse: bool
    ) -> None:
        self.body, self.length, self.reverse = body, length, reverse
        self.consts, self.carry, self.xs = consts, carry, xs
        a, b = len(consts), len(consts) + len(carry)
        self.const_ids, self.carry_ids, self.x_ids = body.ins[:a], body.ins[a:b], body.ins[b:]
        self.invariant = {i: v for i, v in zip(self.const_ids, consts, strict=True) if known(v)}
        rows = {i for i, v in zip(self.x_ids, xs, strict=True) if known(v)}
        start = {i for i, v in enumerate(carry) if known(v)}
        self.known_carry = _stable_carry(body, a, set(self.invariant) | rows, start)
        fixed = _known_vars(body, set(self.invariant))
        self.invariant_steps = [s for s in body.steps if set(s.outs) <= fixed]
        moving = rows | {self.carry_ids[i] for i in self.known_carry}
        names = _known_vars(body, fixed | moving)
        self.varying = names - fixed
        self.varying_steps = [s for s in body.steps if set(s.outs) <= self.varying]
        self.rest = [s for s in body.steps if not set(s.outs) <= names]
        _evaluate(self.invariant_steps, self.invariant)

    def needed(self) -> list[int]:
        """Return the known, changing variables that the rest of the body reads."""
        used = [a for s in self.rest for a in s.ins]
        used += [a for i, a in enumerate(self.body.outs) if i not in self.known_carry]
        return sorted({a for a in used if isinstance(a, int) and a in self.varying})

    def tables(self, wanted: list[int]) -> tuple[dict[int, Any], dict[int, Any]]:
        """Run the known part; return the final known carry by position, and tables of the wanted variables."""
        positions = sorted(self.known_carry)
        rows = [(i, v) for i, v in zip(self.x_ids, self.xs, strict=True) if known(v)]

        def step(carry: Any, xs: Any) -> tuple[Any, Any]:
            env = dict(self.invariant)
            env.update(zip((self.carry_ids[i] for i in positions), carry, strict=True))
            env.update(zip((i for i, _ in rows), xs, strict=True))
            _evaluate(self.varying_steps, env)
            new = [_read(self.body.outs[i], env) for i in positions]
            return [jax.numpy.asarray(v) for v in new], [jax.numpy.asarray(env[i]) for i in wanted]

        init = [jax.numpy.asarray(self.carry[i]) for i in positions]
        final, tables = jax.lax.scan(
            step, init, [jax.numpy.asarray(v) for _, v in rows], length=self.length, reverse=self.reverse
        )
        return (
            {i: as_numpy(v) for i, v in zip(positions, final, strict=True)},
            {i: as_numpy(v) for i, v in zip(wanted, tables, strict=True)},
        )


# -- loops ------------------------------------------------------------------------------------------------


def _scan(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    p = step.params
    a, b = p["num_consts"], p["num_consts"] + p["num_carry"]
    return _run(
        it,
        flatten(p["jaxpr"], step.source, step.within),
        ins[:a],
        ins[a:b],
        ins[b:],
        int(p["length"]),
        bool(p["reverse"]),
    )


def _run(
    it: Interpreter,
    body: Flat,
    consts: list[Value],
    carry: list[Value],
    xs: list[Value],
    length: int,
    reverse: bool,
) -> list[Value]:
    n = len(carry)
    if length == 0:
        return [*carry, *(np.zeros((0, *a.shape), a.dtype) for a in body.out_avals[n:])]
    loop = Loop(body, consts, carry, xs, length, reverse)
    wanted = loop.needed()
    final, tables = loop.tables(wanted) if loop.known_carry or wanted else ({}, {})
    stacks, moving = {}, []
    for j, a in enumerate(body.out_avals[n:], start=n):
        atom = body.outs[j]
        if isinstance(atom, Const) or atom in loop.invariant:
            stacks[j] = np.broadcast_to(np.asarray(_read(atom, loop.invariant)), (length, *a.shape))
        elif atom in tables:
            stacks[j] = tables[atom]
        else:
            moving.append(j)
    carried = [i for i in range(n) if i not in loop.known_carry]
    outs = _outs(it, loop, carried, moving, tables)
    results: dict[int, Value] = {**final, **stacks, **dict(zip([*carried, *moving], outs, strict=True))}
    return [results[i] for i in range(len(body.outs))]


def _outs(
    it: Interpreter, loop: Loop, carried: list[int], moving: list[int], tables: dict[int, Any]
) -> list[SecretArray]:
    """Return the final carry, then the stacked outputs, all turns at once if that can be told and done."""
    try:
        outs = at_once(it, loop, carried, moving, tables)
    except (NotRealised, RangeError) as exc:
        # Some of what is proved of one turn is not proved of all together.
        try:
            return _bind(it, loop, carried, moving, tables)
        except (NotRealised, RangeError):
            raise exc from None
    return _bind(it, loop, carried, moving, tables) if outs is None else outs


def _bind(
    it: Interpreter, loop: Loop, carried: list[int], moving: list[int], tables: dict[int, Any]
) -> list[SecretArray]:
    """Record the rest of the body as one `scan`; return the final carry, then the stacked outputs."""
    if not carried and not moving:
        return []
    used = {a for s in loop.rest for a in s.ins if isinstance(a, int)}
    used |= {a for i in (*carried, *moving) for a in (loop.body.outs[i],) if isinstance(a, int)}
    consts = [(i, v) for i, v in zip(loop.const_ids, loop.consts, strict=True) if i in used and not known(v)]
    rows = [(i, v) for i, v in zip(loop.x_ids, loop.xs, strict=True) if i in used and not known(v)]
    rows += [(i, it.lift(v)) for i, v in tables.items() if i in used]
    start = [(loop.carry_ids[i], _as_type(it, loop.carry[i], loop.body.out_avals[i])) for i in carried]
    ids = [i for i, _ in (*consts, *start, *rows)]
    operands: list[SecretArray] = [v for _, v in (*consts, *start, *rows)]
    out_types = [(loop.body.outs[i], loop.body.out_avals[i]) for i in (*carried, *moving)]
    params: dict[str, Any] = {
        "n_consts": len(consts),
        "n_carry": len(start),
        "length": loop.length,
        "reverse": loop.reverse,
    }

    def trace(avals: Sequence[Aval]) -> Program:
        inner = Trace()
        env: dict[int, Value] = {**loop.invariant, **dict(zip(ids, map(inner.parameter, avals), strict=True))}
        sub = type(it)(inner)
        sub.source = inner.source = it.source
        flat = Flat(tuple(env), tuple(loop.rest), tuple(a for a, _ in out_types), (), ())
        found = sub.run(flat, list(env.values()))
        return inner.program([_as_type(sub, v, a) for v, (_, a) in zip(found, out_types, strict=True)])

    params["body"] = _settled(trace, [v.aval for v in operands], params)
    return it.context.bind("scan", operands, params)


def _as_type(it: Interpreter, v: Value, aval: Any) -> SecretArray:
    kind = kind_of(aval.dtype)
    lifted = it.context.const(np.asarray(v), kind) if known(v) else v
    return xp.astype(lifted, kind)


def _settled(
    trace: Callable[[Sequence[Aval]], Program], avals: list[Aval], params: dict[str, Any]
) -> Program:
    """Trace the body at ranges that hold in every iteration, since what it records may depend on them."""
    length = params["length"]
    rows = params["n_consts"] + params["n_carry"]
    current = [a if i < rows else Aval(a.shape[1:], a.kind, a.lo, a.hi, a.where) for i, a in enumerate(avals)]
    body = trace(current)
    settling, carry = 0, slice(params["n_consts"], rows)
    said = ""
    for _ in range(MAX_ROUNDS_OF_RANGES + min(length, MAX_STEPS_OF_RANGES)):
        try:
            found, _ = scan_types(avals, {**params, "body": body})
        except RangeError:
            # What was recorded does not hold at wider ranges; it may if it is recorded at them, a step at a time.
            wider = _one_step(body, current, params["n_consts"], rows)
            if wider == current or any(a.magnitude > 2.0**62 for a in wider):
                raise
            current, body = wider, trace(wider)
            continue
        settling += 1
        if settling > MAX_ROUNDS_OF_RANGES:
            break
        if found == current:
            return body
        said = one_of(found[carry], changed(current[carry], found[carry]))
        current, before = found, body
        body = trace(current)
        if body.text() == before.text():
            return body
    raise RangeError(
        f"the ranges of a loop of {length} iterations do not settle; clip what is carried, or state what you know "
        f"{said}"
    )


def _one_step(body: Program, current: list[Aval], first: int, end: int) -> list[Aval]:
    """Return the ranges of the body's inputs, the carry's widened by one iteration."""
    env = infer(body, current)
    wider = list(current)
    for i, v in zip(range(first, end), body.outputs, strict=False):
        a, b = current[i], env[v]
        where = a.where if a.where == b.where else join_where([a, b])
        wider[i] = Aval(a.shape, a.kind, min(a.lo, b.lo), max(a.hi, b.hi), where)
    return wider


def _while(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    p = step.params
    a, b = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    cond, body = flatten(p["cond_jaxpr"], step.source), flatten(p["body_jaxpr"], step.source)
    length = _count(cond, body, ins[:a], ins[a:b], ins[b:])
    return _run(it, body, ins[a:b], ins[b:], [], length, False)


def _count(
    cond: Flat, body: Flat, cond_consts: list[Value], body_consts: list[Value], carry: list[Value]
) -> int:
    """Return how often a `while` runs, from its known part alone."""
    refuse = "jax primitive 'while': "
    if cond.out_avals[0].shape:  # of all turns of a loop around it
        raise NotRealised(
            refuse
            + "the number of iterations differs from turn to turn of the loop around it; use lax.fori_loop with "
            "the greatest number, and jnp.where for what is too much"
        )
    invariant = {i: v for i, v in zip(body.ins, body_consts, strict=False) if known(v)}
    start = {i for i, v in enumerate(carry) if known(v)}
    keep = sorted(_stable_carry(body, len(body_consts), set(invariant), start))
    tested = {i: v for i, v in zip(cond.ins, cond_consts, strict=False) if known(v)}
    names = _known_vars(cond, set(tested) | {cond.ins[len(cond_consts) + i] for i in keep})
    if not _is_known(cond.outs[0], names):
        raise NotRealised(
            refuse
            + "the number of iterations depends on a secret, which would reveal it; use lax.fori_loop with a fixed "
            "count, or lax.scan"
        )
    body_names = _known_vars(body, set(invariant) | {body.ins[len(body_consts) + i] for i in keep})
    body_steps = [s for s in body.steps if set(s.outs) <= body_names]
    cond_steps = [s for s in cond.steps if set(s.outs) <= names]

    def go(state: Any) -> Any:
        count, values = state
        env = {**tested, **{cond.ins[len(cond_consts) + i]: v for i, v in zip(keep, values, strict=True)}}
        _evaluate(cond_steps, env)
        return _read(cond.outs[0], env) & (count < MAX_COUNT)

    def advance(state: Any) -> Any:
        count, values = state
        env = {**invariant, **{body.ins[len(body_consts) + i]: v for i, v in zip(keep, values, strict=True)}}
        _evaluate(body_steps, env)
        return count + 1, [jax.numpy.asarray(_read(body.outs[i], env)) for i in keep]

    zero = jax.numpy.asarray(0, np.int64)
    count, _ = jax.lax.while_loop(go, advance, (zero, [jax.numpy.asarray(carry[i]) for i in keep]))
    if int(count) >= MAX_COUNT:
        raise NotRealised(
            refuse + f"it runs {MAX_COUNT} times or more, or for ever; use a fixed, smaller count"
        )
    return int(count)


# -- conditions -------------------------------------------------------------------------------------------


def _cond(it: Interpreter, step: Step, ins: list[Value]) -> list[Value]:
    which, args = ins[0], ins[1:]
    branches = [flatten(b, step.source) for b in step.params["branches"]]
    if known(which):
        return it.run(branches[min(max(int(which), 0), len(branches) - 1)], args)
    results = [it.run(b, args) for b in branches]
    outs: list[Value] = []
    for j, aval in enumerate(step.avals):
        cases = [r[j] for r in results]
        if all(c is cases[0] for c in cases):
            outs.append(cases[0])
            continue
        chosen = _as_type(it, cases[-1], aval)
        for i in range(len(cases) - 2, -1, -1):
            chosen = xp.where(_is_branch(it, which, i, len(cases)), _as_type(it, cases[i], aval), chosen)
        outs.append(chosen)
    return outs


def _is_branch(it: Interpreter, which: SecretArray, i: int, count: int) -> SecretArray:
    """Return whether branch i is taken; an index beyond the ends takes the branch at that end."""
    fact = it.facts.get(which.ref)
    if count == 2 and fact is not None and fact[0] == "truth":
        return xp.logical_not(fact[1])
    return xp.less_equal(which, 0) if i == 0 else xp.equal(which, i)


RULES: dict[str, Rule] = {"scan": _scan, "while": _while, "cond": _cond}
