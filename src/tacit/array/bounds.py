"""How many bits each operation needs of the ring, and how far its result may be from the exact one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tacit.array import intervals as iv
from tacit.array.constants import Split, split
from tacit.array.program import PUBLIC, Aval
from tacit.errors import RangeError
from tacit.gadgets import approximate as ap

Params = dict[str, Any]
Need = Callable[[list[Aval], list[Aval], Params, int], int]
Error = tuple[float, float]

PUBLIC_BITS = 8
"""Bits that a quotient by a public value needs beside its own, for the leading part of the reciprocal."""


def scale_of(aval: Aval, f: int) -> int:
    """Fractional bits of a value of this kind."""
    return f if aval.kind == "fixed" else 0


def fits(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits that the results themselves take."""
    return max(iv.bits_of(a.magnitude, scale_of(a, f)) for a in outs)


# -- bits ------------------------------------------------------------------------------------------


def input_bits(a: Aval, f: int) -> int:
    """Bits m with y·2^f < 2^m."""
    return iv.rounded_bits(a.magnitude, f)


def value_bits(a: Aval) -> int:
    """Bits q with |x| < 2^q."""
    return iv.bits_of(a.magnitude, 0)


def least_bits(a: Aval, f: int) -> int:
    """Bits l with 2^l ≤ |x|·2^f; −1 if that may be 0.

    A value that its range says too much of, by a rounding, may be a unit below: what is fitted to the range is as
    good there, if a unit is little of it.
    """
    units = math.floor(min(abs(a.lo), abs(a.hi)) * 2.0**f)
    return max(units - (units < 1 << 8), 0).bit_length() - 1


def end_units(a: Aval, f: int) -> tuple[int, int]:
    """Return the least and the largest size in units; (0, 0) if there are few of them.

    A value may be a unit beyond: of the shortest interval that is fitted, a sixteenth of its least end, that is then
    no more than 2^-8, as it is of whole octaves (`least_bits`).
    """
    low, high = sorted((abs(a.lo), abs(a.hi)))
    units = math.floor(low * 2.0**f)
    away = (a.lo > 0 or a.hi < 0) and units >= 1 << 12
    return (units, math.ceil(high * 2.0**f)) if away else (0, 0)


def difference_bits(ins: list[Aval], f: int) -> int:
    """Bits b with |x − y| < 2^b in ring units."""
    lo, hi = iv.sub((ins[0].lo, ins[0].hi), (ins[1].lo, ins[1].hi))
    return iv.rounded_bits(max(abs(lo), abs(hi)), scale_of(ins[0], f))


def least_units(a: Aval, f: int) -> int:
    """Return what no value is less than, in ring units, as its range and the margin of `rounded_bits` say."""
    scale = scale_of(a, f)
    if not scale:
        return math.floor(a.lo)  # of a whole number every digit counts, where a float has 53 bits
    return math.floor(math.ldexp(a.lo - iv.margin(abs(a.lo), scale), scale))


def tournament_bits(a: Aval, k: int, f: int) -> int:
    """Return b: values are less than 2^b more than `least_units`, and than one another; no more than k − 2."""
    scale = scale_of(a, f)
    slack = iv.margin(abs(a.lo), scale) + iv.margin(abs(a.hi), scale) if scale else 0
    # A ring of k bits is not narrowed, and only differences count there, which are known to fit.
    return min(max(difference_bits([a, a], f), iv.bits_of(a.hi - a.lo + slack, scale)), k - 2)


def product_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of a product before its truncation."""
    return iv.bits_of(outs[0].magnitude, scale_of(ins[0], f) + scale_of(ins[-1], f))


def select_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of the difference that is multiplied by the condition."""
    if outs[0].kind == "bool":
        return 1
    lo, hi = iv.sub((ins[1].lo, ins[1].hi), (ins[2].lo, ins[2].hi))
    return iv.bits_of(max(abs(lo), abs(hi)), scale_of(ins[1], f))


def abs_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of |x| and of the comparison with zero."""
    a = ins[0]
    return max(fits(ins, outs, params, f) + 1, iv.rounded_bits(a.magnitude, scale_of(a, f)))


def gap_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of the difference that is compared."""
    return difference_bits(ins, f)


def public_quotient(ins: list[Aval]) -> float:
    """Return the largest |x|·|1/y| for a public y."""
    lo, hi = iv.reciprocal((ins[1].lo, ins[1].hi))
    return ins[0].magnitude * max(abs(lo), abs(hi))


# -- functions: the narrowest ring that their gadget accepts ----------------------------------------


def need_fn(fn: Callable[..., Any], nonzero: bool = True) -> Need:
    """Return the need of a function whose gadget raises RangeError for a ring that is too narrow."""

    # The gadget refuses a ring that is too narrow; the narrowest it accepts is what it needs.
    def need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
        low = fits(ins, outs, params, f)
        if len(ins) == 2 and ins[1].where == PUBLIC:
            return iv.bits_of(public_quotient(ins), f + PUBLIC_BITS)
        # What may round to zero is no divisor, and no operand of a logarithm.
        if nonzero and min(abs(ins[-1].lo), abs(ins[-1].hi)) < 2.0**-f:
            return 1 << 20
        for k in (64, 128):
            try:
                fn(k, ins, outs, f)
                return max(low, k - 2) if low <= k - 2 else low
            except RangeError:
                continue
        return 1 << 20

    return need


def quotient_bits(a: Aval, f: int) -> tuple[int, int]:
    """Bits q with |x/y| < 2^q, of a quotient's range and of that range with the quotient's own error.

    A run goes by the second range; where that error is being found, only the first is known.
    """
    return value_bits(a), iv.bits_of(a.magnitude * (1 + 2.0**-9) + math.ldexp(4.0, -f), 0)


def plan_div(k: int, ins: list[Aval], outs: list[Aval], f: int) -> Any:
    """Precision of a division."""
    m = input_bits(ins[1], f)
    return [ap.divide_precision(k, f, m, q) for q in quotient_bits(outs[0], f)]


def plan_root(k: int, ins: list[Aval], outs: list[Aval], f: int) -> Any:
    """Precision of a root."""
    return ap.root_precision(k, f, input_bits(ins[0], f), value_bits(outs[0]))


def plan_log(k: int, ins: list[Aval], outs: list[Aval], f: int) -> Any:
    """Precision of a logarithm."""
    return ap.log_precision(k, f, input_bits(ins[0], f))


def plan_exp(k: int, ins: list[Aval], outs: list[Aval], f: int) -> Any:
    """Plan of an exponential."""
    return ap.exp_plan(k, f, ins[0].lo, ins[0].hi)


def public_factor(ins: list[Aval], k: int, f: int, terms: int = 1, inverse: bool = False) -> Split:
    """Return how a product's public operand, or its reciprocal, meets the other in sums of `terms` products."""
    public, other = (ins[0], ins[-1]) if ins[0].where == PUBLIC else (ins[-1], ins[0])
    span = (public.lo, public.hi)
    lo, hi = iv.reciprocal(span) if inverse else span
    return split(k, f, other, max(abs(lo), abs(hi)), terms)


def div_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> Error:
    """Bound on the error of a quotient."""
    if i[1].where == PUBLIC:
        return public_factor(i, k, f, inverse=True).units() * 2.0**-f, 0.0
    m = input_bits(i[1], f)
    first, second = (ap.divide_error(k, f, m, q) for q in quotient_bits(o[0], f))
    return max(first[0], second[0]), max(first[1], second[1])


def root_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> Error:
    """Bound on the error of a root."""
    return ap.root_error(k, f, input_bits(i[0], f), value_bits(o[0]))


def product_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> Error:
    """Bound on the error of a product."""
    if "fixed" not in (i[0].kind, i[-1].kind):
        return 0.0, 0.0
    public = [a for a in i if a.where == PUBLIC]
    if any(a.kind != "fixed" for a in (public or (i[0], i[-1]))):
        return 0.0, 0.0
    if not public:
        return 2.0**-f, 0.0
    return public_factor(i, k, f, i[0].shape[-1] if "terms" in p else 1).units() * 2.0**-f, 0.0


def matmul_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> Error:
    """Bound on the error of an entry of a matrix product."""
    return product_error(i, o, {"terms": True}, k, f)


def log_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> Error:
    """Bound on the error of a logarithm."""
    return ap.log_error(k, f, input_bits(i[0], f))


def exp_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> Error:
    """Bound on the error of an exponential."""
    return ap.exp_error(k, f, i[0].lo, i[0].hi)
