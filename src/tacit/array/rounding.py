"""What fixed point does to intervals: a computed value may lie outside the interval of the exact result.

An operation's rule on intervals holds for its operands as they were computed; what the operation itself rounds, by
the bound that the op table states, widens the result. So every interval that is derived at a format holds what will
be computed in it, however the rounding of a program adds up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tacit.array import intervals as iv
from tacit.array.bounds import public_factor
from tacit.array.program import PUBLIC, SECRET, Aval
from tacit.array.windows import sliding
from tacit.errors import RangeError

if TYPE_CHECKING:
    from tacit.array.ops import Op
    from tacit.array.runtime import Format

PRODUCTS = frozenset(["mul", "square", "matmul", "conv"])
FACTORS = PRODUCTS | {"div"}
"""Operations that take a public operand as exactly as it is, and state what that costs as their own error."""
ABOVE_ZERO = frozenset(["div", "sqrt", "rsqrt", "exp"])
"""Operations whose last step truncates a product of values of known sign, so that rounding does not cross zero."""
# Ends are float64: what their own arithmetic rounds.
FLOAT = 2.0**-50
EXACT = 2.0**52


def entering(op: str, ins: list[Aval], fmt: Format) -> list[Aval]:
    """Return operands as they enter shares: owners' and public values rounded to the nearest unit."""
    if op == "scan":
        return ins  # what a body does with them decides
    found = [a if a.kind != "fixed" or a.where == SECRET else nearest(a, fmt) for a in ins]
    if op in FACTORS:
        first = op == "div"  # a public dividend is shared
        found = [found[i] if i < first or a.where != PUBLIC else a for i, a in enumerate(ins)]
    return [_not_negative(a, fmt) for a in found] if op == "sqrt" else found


def _not_negative(a: Aval, fmt: Format) -> Aval:
    """Return the range under a root: what only rounding can have made negative is clipped there by `lower`."""
    slack = iv.margin(a.hi, fmt.frac_bits)
    return Aval(a.shape, a.kind, 0, a.hi, a.where) if -slack <= a.lo < 0 <= a.hi else a


def nearest(a: Aval, fmt: Format) -> Aval:
    """Return a fixed-point aval with its ends rounded to units, a tie outward."""
    lo, hi = _units(a.lo, fmt), _units(a.hi, fmt)
    if not (math.isfinite(lo) and math.isfinite(hi)):
        return a
    lo, hi = math.ceil(lo - 0.5), math.floor(hi + 0.5)
    return Aval(a.shape, a.kind, math.ldexp(lo, -fmt.frac_bits), math.ldexp(hi, -fmt.frac_bits), a.where)


def leaving(op: Op, ins: list[Aval], outs: list[Aval], params: dict[str, Any], fmt: Format) -> list[Aval]:
    """Return results as computed: each interval widened by the operation's own error, to whole units."""
    if op.error is None or all(a.kind != "fixed" for a in outs):
        return outs
    try:
        absolute, relative = op.error(ins, outs, params, fmt.width, fmt.frac_bits)
    except RangeError:
        # The ring is too narrow for the operation: its need says so.
        return outs
    if not absolute and not relative:
        return outs
    how = _truncates(op.name, ins, params, fmt)
    return [_widened(a, how, absolute, relative, fmt) for a in outs]


def _truncates(op: str, ins: list[Aval], params: dict[str, Any], fmt: Format) -> str:
    """Return "unit" for one truncation of the exact result, "sign" for one that keeps its sign, else ""."""
    if op in ABOVE_ZERO and PUBLIC not in (a.where for a in ins):
        return "sign"
    if op not in FACTORS or (op == "div" and ins[1].where != PUBLIC):
        return ""
    if all(a.where != PUBLIC for a in ins):
        return "unit"
    terms = ins[0].shape[-1] if op == "matmul" else 1
    if op == "conv":
        terms = sliding(ins[0].shape, ins[1].shape, params).terms()[1]
    # The parts of a public factor have either sign, so that only a single one keeps that of the product.
    how = public_factor(ins, fmt.width, fmt.frac_bits, terms, inverse=op == "div")
    return "sign" if len(how.parts) == 1 else ""


def _widened(a: Aval, how: str, absolute: float, relative: float, fmt: Format) -> Aval:
    lo, hi = _units(a.lo, fmt), _units(a.hi, fmt)
    if a.kind != "fixed" or not (math.isfinite(lo) and math.isfinite(hi)):
        return a
    if how == "unit" and max(abs(lo), abs(hi)) < math.ldexp(EXACT, -fmt.frac_bits):
        # The unit below or above, and nothing where the exact result is a whole unit.
        ends = math.floor(lo), math.ceil(hi)
    else:
        step = math.ldexp(absolute, fmt.frac_bits)
        ends = (
            math.ceil(lo - step - (relative + FLOAT) * abs(lo)),
            math.floor(hi + step + (relative + FLOAT) * abs(hi)),
        )
        if how:
            ends = (max(ends[0], 0) if lo >= 0 else ends[0], min(ends[1], 0) if hi <= 0 else ends[1])
    return Aval(
        a.shape, a.kind, math.ldexp(ends[0], -fmt.frac_bits), math.ldexp(ends[1], -fmt.frac_bits), a.where
    )


def _units(v: float, fmt: Format) -> float:
    try:
        return math.ldexp(v, fmt.frac_bits)
    except OverflowError:
        return math.copysign(math.inf, v)
