"""Functions with a short way on shares, where a protocol offers one; else composed from the rest of the op table.

Each is one operation of the table, so that the way is chosen when it runs; the composition is a Program, traced for
the range at hand, which also says how many bits of the ring it takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import elementary, functions
from tacit.array import intervals as iv
from tacit.array.interpret import Trace
from tacit.array.ops import Op, Params, need_kind
from tacit.array.program import SECRET, Aval, Program
from tacit.array.ranges import formats, secret_steps
from tacit.array.secret import SecretArray
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.gadgets import separable, smooth

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Function:
    """The composition, the value in the clear, the range of results, and units of error in the last place."""

    body: Callable[[SecretArray], SecretArray]
    clear: Callable[[Any], Any]
    span: Callable[[float, float], iv.Interval]
    units: float


def _sigmoid(v: Any) -> Any:
    z = np.exp(-np.abs(v))
    return np.where(v < 0, z, 1.0) / (1 + z)


def _rising(fn: Callable[[Any], Any]) -> Callable[[float, float], iv.Interval]:
    return lambda lo, hi: (float(fn(np.float64(lo))), float(fn(np.float64(hi))))


def _between(lo: float, hi: float) -> iv.Interval:
    return -1 - 2.0**-8, 1 + 2.0**-8


_erf = np.vectorize(math.erf, otypes=[float])

FUNCTIONS = {
    "sigmoid": Function(functions.long_sigmoid, _sigmoid, _rising(_sigmoid), 4),
    "tanh": Function(functions.long_tanh, np.tanh, _rising(np.tanh), 6),
    "erf": Function(elementary.long_erf, _erf, _rising(math.erf), 6),
    "atan": Function(elementary.long_atan, np.arctan, _rising(np.arctan), 4),
    "sin": Function(elementary.long_sin, np.sin, _between, 4),
    "cos": Function(elementary.long_cos, np.cos, _between, 4),
}


@lru_cache(1024)
def _program(name: str, shape: tuple[int, ...], lo: float, hi: float) -> Program:
    trace = Trace()
    return trace.program([FUNCTIONS[name].body(trace.parameter(Aval(shape, "fixed", lo, hi, SECRET)))])


def _of(name: str, a: Aval) -> Program:
    return _program(name, a.shape, a.lo, a.hi)


def _entry(name: str, what: Function) -> Op:
    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        need_kind(ins, name, "fixed")
        a = ins[0]
        if name in ("sin", "cos"):
            elementary.check_angle(a.lo, a.hi)
        return [Aval(a.shape, "fixed", *what.span(a.lo, a.hi))]

    def need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
        bits = 1 << 20
        for fmt in formats(f):
            try:
                bits = max(step.need(f) for step in secret_steps(_of(name, ins[0]), fmt))
            except RangeError:
                continue
            if bits <= fmt.width - 2:
                break
        return bits

    def lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
        a = v[0].aval
        into = rt.q.ring
        how = smooth.plan(rt.p, name, rt.f, a.lo, a.hi, a.size, into) if separable.offered(rt.p) else None
        if how is None:
            return [rt.share(rt.block(_of(name, a), [v[0]])[0])]
        x = rt.share(v[0])
        return [smooth.evaluate(rt.p, x.reshape(x.size), how, rt.f, a.magnitude, into).reshape(*a.shape)]

    def error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> tuple[float, float]:
        # A float64 π is off by what grows with the angle.
        angle = i[0].magnitude * 2.0**-52 if name in ("sin", "cos") else 0.0
        return what.units * 2.0**-f + angle, 0.0

    def clear(vals: list[Array], params: Params) -> list[Array]:
        return [np.asarray(what.clear(vals[0]))]

    return Op(name, abstract, clear, lower, need, exact=False, local=False, error=error)


ENTRIES = [_entry(name, what) for name, what in FUNCTIONS.items()]
