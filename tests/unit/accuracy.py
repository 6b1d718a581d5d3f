"""Running one function on shares and measuring its error against extended precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tacit.algebra.ring import Ring
from tacit.array.interpret import Trace
from tacit.array.loop import infer
from tacit.array.ops import table
from tacit.array.program import Aval, Program
from tacit.array.ranges import check, secret_steps
from tacit.array.runtime import Format, Runtime, Value
from tacit.testing import gather, run, scatter

Span = tuple[float, float]
Extended = np.longdouble


@dataclass(frozen=True)
class Outcome:
    """Results in extended precision, and what the op table says of the last operation."""

    values: Any
    absolute: float
    relative: float
    aval: Aval

    def excess(self, exact: Any, units: float = 0.0) -> float:
        """Largest error over its bound; `units` adds to the bound for operations before the last."""
        # Extended precision itself has 64 bits.
        bound = self.absolute + units + (self.relative + 2.0**-62) * np.abs(exact)
        return float(np.max(np.abs(self.values - exact) / bound, initial=0))


def record(fn: Callable[..., Any], avals: Sequence[Aval]) -> Program:
    """Trace `fn` on secret parameters."""
    trace = Trace()
    return trace.program([fn(*[trace.parameter(a) for a in avals])])


def compute(
    fn: Callable[..., Any],
    ins: Sequence[Any],
    spans: Sequence[Span],
    fmt: Format,
    protocol: str = "rep3",
    seed: int = 0,
    dealer: str = "",
) -> Outcome:
    """Run `fn` on shares of `ins`, whose declared ranges are `spans`; RangeError as before any run."""
    kinds = [{"f": "fixed", "i": "int", "b": "bool"}[np.asarray(v).dtype.kind] for v in ins]
    avals = [
        Aval(np.shape(v), k, lo, hi)  # type: ignore[arg-type]
        for v, k, (lo, hi) in zip(ins, kinds, spans, strict=True)
    ]
    program = record(fn, avals)
    for step in secret_steps(program, fmt):
        check(step, fmt)
    env, last, ring, f = infer(program), program.eqns[-1], Ring(fmt.width), fmt.frac_bits

    def go(p: Any) -> Any:
        rt = Runtime(p, fmt, ("alice", "bob", "carol"))
        values = []
        for v, a in zip(ins, avals, strict=True):
            encoded = ring.encode_floats(v, f) if a.kind == "fixed" else ring.encode_ints(v)
            values.append(Value(a, None, scatter(p, np.asarray(encoded))))
        return rt.share(rt.block(program, values)[0])

    total = ring.to_ints(gather(run(protocol, fmt.width, go, seed=seed, dealer=dealer), protocol, ring))
    out = env[program.outputs[0]]
    exact = np.array([Extended(int(v)) for v in np.ravel(total)]).reshape(np.shape(total))
    error = table()[last.op].error
    absolute, relative = 0.0, 0.0
    if error is not None:
        ins_avals, outs_avals = [env[v] for v in last.ins], [env[v] for v in last.outs]
        absolute, relative = error(ins_avals, outs_avals, last.params, fmt.width, f)
    return Outcome(exact / Extended(2) ** (f if out.kind == "fixed" else 0), absolute, relative, out)


def points(lo: float, hi: float, f: int, count: int = 150, seed: int = 0) -> Any:
    """Return edges, powers of two and their neighbours, and random values, all exact with f bits."""
    rng, unit = np.random.default_rng(seed), 2.0**-f
    found = [lo, hi, lo + unit, hi - unit, (lo + hi) / 2]
    for e in range(-f, int(np.log2(max(abs(lo), abs(hi), 1))) + 1):
        found += [s * 2.0**e + d for s in (1, -1) for d in (-unit, 0, unit)]
    found += list(rng.uniform(lo, hi, count))
    smallest = max(min(abs(lo), abs(hi)) if lo * hi > 0 else unit, unit)
    sizes = np.exp(rng.uniform(np.log(smallest), np.log(max(abs(lo), abs(hi))), count))
    found += list(sizes * np.sign(rng.standard_normal(count)))
    rounded = np.rint(np.ldexp(np.array(found), f)) * unit
    return np.unique(rounded[(rounded >= lo) & (rounded <= hi)])


def on_grid(values: Any, f: int) -> Any:
    """Round to f fractional bits."""
    return np.rint(np.ldexp(np.asarray(values, float), f)) * 2.0**-f
