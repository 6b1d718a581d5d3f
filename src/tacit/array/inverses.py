"""Inverses of symmetric positive definite matrices: by an iteration where fixed point allows, else by elimination.

Elimination takes a root for each column, fifteen rounds one after another. Schulz's iteration (Ben-Israel, "An
iterative method for computing the generalized inverse of an arbitrary matrix", Mathematics of Computation 19, 1965)
squares what is missing: with R = 1 − x·a, (1 + R)·x misses R². R² is found beside it, from R itself, so that log₂ κ
rounds do for a condition of κ, whatever the size of the matrix. What rounding does to R grows as the inverse does,
κ times; so it is for κ·√n units that are little. It is one operation of the table, as only the format says whether
they are.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import functions as xp
from tacit.array.interpret import Trace
from tacit.array.linalg import eliminated, within
from tacit.array.ops import Op, Params, need_kind
from tacit.array.program import SECRET, Aval, Program
from tacit.array.ranges import formats, secret_steps
from tacit.array.repeat import repeat
from tacit.array.runtime import Format
from tacit.array.secret import SecretArray
from tacit.core.share import Share
from tacit.errors import RangeError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
LITTLE = 2.0**-3
"""What rounding may leave of R before last steps square it."""
ROUGH = 2.0**-7
"""What the squares leave of it besides."""


def _condition(a: Aval, least: float) -> tuple[int, float]:
    """Return k and κ: no eigenvalue of 2^−k·a exceeds one, none is below 1/κ."""
    k = math.ceil(math.log2(a.shape[-1] * max(a.magnitude, least)))
    return k, 2.0**k / least


def iterated(a: SecretArray, least: float, steps: int) -> SecretArray:
    """Return nearly the inverse of definite matrices (batch, n, n), no eigenvalue below `least`, after last steps."""
    n = a.shape[1]
    k, condition = _condition(a.aval, least)
    # Of x, the inverse of 2^−k·a, 2^−j·x is held: as it is wanted, or with two bits of its least eigenvalue.
    j = min(k, math.floor(math.log2(condition)) - 2)
    eye, first, most = np.eye(n), 2 / (1 + 1 / condition), (1 + 2 * LITTLE) * condition * 2.0**-j
    rest = xp.subtract(eye, xp.multiply(a, first * 2.0**-k))
    rest = within(rest, -1, 1, "what a multiple of one leaves")
    x = xp.multiply(xp.add(rest, eye), first * 2.0**-j)
    squares = max(1, math.ceil(math.log2(-math.log(ROUGH) * condition / 2)))
    if squares > 1:
        rest = within(xp.matmul(rest, rest), -1, 1, "what is left, squared")
        why = "a part of the series of an inverse does not exceed it"

        def step(
            _: Any, carry: list[SecretArray], row: list[SecretArray]
        ) -> tuple[list[SecretArray], list[SecretArray]]:
            r, z = carry
            both = xp.matmul(r, xp.concat([r, z], axis=2))
            r = within(both[:, :, :n], -1, 1, "what is left, squared")
            return [r, within(xp.add(z, both[:, :, n:]), -most, most, why)], []

        (rest, x), _ = repeat(step, [], [rest, x], [(-1.0, 1.0), (-most, most)], [np.arange(squares - 1)])
    of = xp.multiply(a, 2.0 ** (j - k)) if j != k else a
    for _ in range(steps):
        gap = within(xp.subtract(eye, xp.matmul(x, of)), -1, 1, "the gap that an approximate inverse leaves")
        x = within(
            xp.add(x, xp.matmul(gap, x)),
            -most,
            most,
            "an inverse is bounded by one over the least eigenvalue",
        )
    return xp.multiply(x, 2.0 ** (j - k)) if j != k else x


@lru_cache(256)
def _program(shape: tuple[int, ...], lo: float, hi: float, least: float, steps: int) -> Program:
    from tacit.array.merge import optimise

    trace = Trace()
    a = trace.parameter(Aval(shape, "fixed", lo, hi, SECRET))
    return optimise(trace.program([iterated(a, least, steps) if steps else eliminated(a, least)]))


def _bits(program: Program, fmt: Format) -> int:
    key = "bits", fmt
    if key not in program.memo:
        try:
            program.memo[key] = max(step.need(fmt.frac_bits) for step in secret_steps(program, fmt))
        except RangeError:
            program.memo[key] = 1 << 20
    found: int = program.memo[key]
    return found


def chosen(a: Aval, least: float, fmt: Format) -> Program:
    """Return the way in which an inverse is computed in a format."""
    n, f = a.shape[1], fmt.frac_bits
    rounded = 1.25 * _condition(a, least)[1] * math.sqrt(n) * 2.0**-f
    if n > 1 and rounded <= LITTLE:
        # Each step squares what is left, and so does what all inverses take (`linalg`): it is to be a unit.
        steps = math.ceil(math.log2(f / -math.log2(max(rounded, ROUGH)))) - 1
        program = _program(a.shape, a.lo, a.hi, least, max(1, steps))
        if _bits(program, fmt) <= fmt.width - 2:
            return program
    return _program(a.shape, a.lo, a.hi, least, 0)


def _abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "inverse", "fixed")
    most = (1 + 2.0**-5) / params["least"]
    return [Aval(ins[0].shape, "fixed", -most, most)]


def _clear(vals: list[Array], params: Params) -> list[Array]:
    try:
        return [np.asarray(np.linalg.inv(vals[0]))]
    except np.linalg.LinAlgError:
        raise RangeError(
            f"a matrix is singular of which it was stated that no eigenvalue is below {params['least']:.6g}"
        ) from None


def _need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    bits = 1 << 20
    for fmt in formats(f):
        bits = _bits(chosen(ins[0], params["least"], fmt), fmt)
        if bits <= fmt.width - 2:
            break
    return bits


def _lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    program = chosen(v[0].aval, params["least"], Format(rt.p.ring.width, rt.f))
    return [rt.share(rt.block(program, [v[0]])[0])]


def _error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> tuple[float, float]:
    return 2 * i[0].shape[1] * max(1.0, 1 / p["least"]) * 2.0**-f, 0.0


ENTRIES = [Op("inverse", _abstract, _clear, _lower, _need, exact=False, local=False, error=_error)]
