"""A comparison and everything that follows from it, and sums of truth values with public weights.

`maximum`, `minimum`, `lt` and `abs` each find a sign of their own. Where a Program needs several of them of the same
operands, as a gradient does beside what it is the gradient of, `compare` finds it once (decision 0071).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import intervals as iv
from tacit.array import lower as lw
from tacit.array.bounds import abs_need, difference_bits, fits
from tacit.array.late import at_once
from tacit.array.ops import Op, Params, need_kind, same_shape
from tacit.array.program import PUBLIC, Aval
from tacit.core.share import Share, join, stack_planes
from tacit.errors import ScaleError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
_TURNED = {"less": "greater", "greater": "less"}


# -- one comparison ---------------------------------------------------------------------------------------


def _compare_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "compare", "int", "fixed")
    x, y = ins
    if x.kind != y.kind:
        raise ScaleError(f"compare: kinds {x.kind} and {y.kind} differ; convert one")
    lo, hi = iv.sub((x.lo, x.hi), (y.lo, y.hi))
    spans = {
        "greatest": (max(x.lo, y.lo), max(x.hi, y.hi)),
        "least": (min(x.lo, y.lo), min(x.hi, y.hi)),
        "distance": (0 if lo <= 0 <= hi else min(abs(lo), abs(hi)), max(abs(lo), abs(hi))),
    }
    shape = same_shape(ins, "compare")
    return [
        Aval(shape, x.kind, *spans[name]) if name in spans else Aval(shape, "bool", 0, 1)
        for name in params["want"]
    ]


_CLEAR: dict[str, Any] = {
    "less": np.less,
    "greater": np.greater,
    "greatest": np.maximum,
    "least": np.minimum,
    "distance": lambda x, y: np.abs(x - y),
}


def _compare_clear(vals: list[Array], params: Params) -> list[Array]:
    return [np.asarray(_CLEAR[name](*vals)) for name in params["want"]]


def _compare_need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Bits of the difference, and of what is computed of it."""
    numbers = [a for a in outs if a.kind != "bool"]
    bits = max(difference_bits(ins, f), fits(ins, numbers, params, f) if numbers else 0)
    if "distance" not in params["want"]:
        return bits
    lo, hi = iv.sub((ins[0].lo, ins[0].hi), (ins[1].lo, ins[1].hi))
    return max(bits, abs_need([Aval(ins[0].shape, ins[0].kind, lo, hi)], numbers, params, f))


def _compare_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Find the sign of x − y, and that of y − x beside it if both truth values are wanted; then select x − y once."""
    (x, y), want = v, params["want"]
    if y.late:  # of the two, the other is at hand
        x, y, want = y, x, [_TURNED.get(name, name) for name in want]
    shape, bits = x.aval.shape, difference_bits([x.aval, y.aval], rt.f)
    flat, select = lw.gap(rt, x, y)
    found: dict[str, Share] = {}
    if "less" in want and "greater" in want:
        found["less"], found["greater"] = (b.reshape(*shape) for b in _both_signs(rt, flat, bits))
        above = rt.p.pack(found["greater"])
    elif "greater" in want:
        above = rt.p.sign(rt.p.neg(flat), bits)
        found["greater"] = rt.p.unpack(above, shape)
    else:
        below = rt.p.sign(flat, bits)
        found["less"], above = rt.p.unpack(below, shape), rt.p.invert(below)
    if any(name not in found for name in want):
        # Whether x = y counts as above makes no difference: there is none to select.
        turned = x.late and "least" in want
        step = select(rt.p.invert(above) if turned else above).reshape(*shape)
        if turned or "greatest" in want:
            found["least" if turned else "greatest"] = lw.plus(rt, step, y)
        if "least" in want and not turned:
            found["least"] = rt.p.sub(rt.share(x), step)
        if "distance" in want:
            found["distance"] = rt.p.sub(rt.p.shl(step, 1), flat.reshape(*shape))
    return [found[name] for name in want]


def _both_signs(rt: Runtime, d: Share, bits: int) -> list[Share]:
    """Return [d < 0] and [−d < 0], in the rounds of one sign unless that would double what very many elements take."""
    sides, n = [d, rt.p.neg(d)], d.size
    if at_once(("less", "greater"), n, rt.p) == 1:
        return [rt.p.unpack(rt.p.sign(x, bits), (n,)) for x in sides]
    both = rt.p.unpack(rt.p.sign(join(sides), bits), (2, n))
    return [both[0], both[1]]


# -- weights ----------------------------------------------------------------------------------------------


def _weigh_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "weigh", "bool")
    weights = params["weights"]
    if weights.shape != (len(ins),):
        raise ScaleError(f"weigh: {len(ins)} truth values take as many weights, not {weights.shape}")
    lo, hi = np.minimum(weights, 0).sum().item(), np.maximum(weights, 0).sum().item()
    return [Aval(same_shape(ins, "weigh"), "fixed" if weights.dtype.kind == "f" else "int", lo, hi)]


def _weigh_clear(vals: list[Array], params: Params) -> list[Array]:
    weights = params["weights"]
    return [np.asarray(sum(w * np.asarray(v, weights.dtype) for v, w in zip(vals, weights, strict=True)))]


def _weigh_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> tuple[float, float]:
    """Bound on the error: what rounding the weights to units leaves."""
    if p["weights"].dtype.kind != "f":
        return 0.0, 0.0
    units = np.ldexp(p["weights"], f)
    return float(np.ldexp(np.abs(units - np.round(units)).sum(), -f)), 0.0


def _weigh_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Σ w·b; what is public of it is added up in the clear."""
    ring, weights = rt.ring, params["weights"]
    encode = (lambda a: ring.encode_floats(a, rt.f)) if outs[0].kind == "fixed" else ring.encode_ints
    secret = [i for i, x in enumerate(v) if x.aval.where != PUBLIC]
    planes, units = stack_planes([rt.p.pack(rt.share(v[i])) for i in secret]), encode(weights[secret])
    if ring.width <= 64 and rt.p.offers("combine"):
        total = rt.p.combine(planes, units[None, :], [ring.width])[0]
    else:
        terms = rt.p.to_arith(planes)
        total = rt.p.sum(rt.p.mul_public(terms, np.broadcast_to(units[:, None], terms.shape)), (0,))
    total = total.reshape(*outs[0].shape)
    if len(secret) == len(v):
        return [total]
    known = [rt.public_bits(x) * w for x, w in zip(v, weights, strict=True) if x.aval.where == PUBLIC]
    return [rt.p.add_public(total, encode(np.sum(known, axis=0, dtype=weights.dtype)))]


ENTRIES = [
    Op("compare", _compare_abstract, _compare_clear, _compare_lower, _compare_need, local=False),
    Op("weigh", _weigh_abstract, _weigh_clear, _weigh_lower, local=False, error=_weigh_error),
]
