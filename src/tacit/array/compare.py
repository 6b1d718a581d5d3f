"""A comparison and everything that follows from it, and sums of truth values with public weights.

`maximum`, `minimum`, `lt` and `abs` each find a sign of their own. Where a Program needs several of them of the same
operands, as a gradient does beside what it is the gradient of, `compare` finds it once (decision 0071).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.array import intervals as iv
from tacit.array import lower as lw
from tacit.array.bounds import abs_need, difference_bits, fits
from tacit.array.late import at_once
from tacit.array.ops import Op, Params, need_kind, same_shape
from tacit.array.program import PUBLIC, Aval, Eqn
from tacit.array.schema import ASKED, wanted
from tacit.core.share import Planes, Share, apart, join, stack_planes
from tacit.errors import ScaleError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
TRUTHS = ("less", "greater")
_TURNED = dict(zip(TRUTHS, TRUTHS[::-1], strict=True))


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
    return several(rt, [_Ask.of(rt, v, params["want"])])


def lt(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """[x < y], by the sign of x − y on as many bits as the ranges leave open."""
    return [_Ask.of(rt, v, (ASKED["lt"],)).alone(rt)]


def maximum(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Y + [x ≥ y]·(x − y)."""
    return [_Ask.of(rt, v, (ASKED["maximum"],)).alone(rt)]


def minimum(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """X − [x ≥ y]·(x − y)."""
    return [_Ask.of(rt, v, (ASKED["minimum"],)).alone(rt)]


def abs_(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """2·[x ≥ 0]·x − x."""
    if v[0].aval.lo >= 0:
        return [rt.share(v[0])]
    return [_Ask.of(rt, v, (ASKED["abs"],)).alone(rt)]


@dataclass(slots=True)
class _Ask:
    """What is asked of one comparison: x − y, flat, its bits, and the operands; without y, with zero.

    Where x is a product that is rounded as it is selected (decision 0073), x − y is at hand as it is compared, and with
    2f fractional bits as it is selected; then not more than one of both numbers is asked for, and y is public.
    """

    want: Sequence[str]
    difference: Share
    bits: int
    x: Value
    y: Value | None
    fine: Share | None = None

    @classmethod
    def of(cls, rt: Runtime, v: Sequence[Value], want: Sequence[str]) -> _Ask:
        """Take the difference of the operands."""
        x, y = v if len(v) == 2 else (v[0], None)
        other = Aval((), x.aval.kind, 0, 0) if y is None else y.aval
        bits = difference_bits([x.aval, other], rt.f)
        if y is not None and y.extra:
            x, y, want = y, x, [_TURNED.get(name, name) for name in want]
        if y is not None and x.extra:
            fine = rt.held(x) if lw.zero(y) else rt.p.sub(rt.held(x), rt.finer(y, rt.f))
            fine = fine.reshape(fine.size)
            return cls(want, rt.p.narrowed(fine, rt.f), bits, x, y, fine)
        d = rt.share(x) if y is None else lw.sub(rt, [x, y], [], {})[0]
        return cls(want, d.reshape(d.size), bits, x, y)

    def sides(self, rt: Runtime) -> list[Share]:
        """Return what signs are found of: x − y, y − x, or both."""
        d = self.difference
        if "greater" not in self.want:
            return [d]
        return [d, rt.p.neg(d)] if "less" in self.want else [rt.p.neg(d)]

    @property
    def falls(self) -> bool:
        """Whether x − y is selected where x is below, not above: it is all that is left of x, and added to y."""
        return self.fine is not None and "least" in self.want

    def number(self, rt: Runtime, name: str, step: Share) -> Share:
        """Return a number that is asked for; `step` is x − y times the bit."""
        step = step.reshape(*self.x.aval.shape)
        if self.y is not None and (name == "greatest" or self.falls):
            return lw.plus(rt, step, self.y)
        if name == "least":
            return rt.p.sub(rt.share(self.x), step)
        return rt.p.sub(rt.p.shl(step, 1), self.difference.reshape(*step.shape))

    def alone(self, rt: Runtime) -> Share:
        """Return the one thing that is asked for."""
        (name,), (side,) = self.want, self.sides(rt)
        bit = rt.p.sign(side, self.bits)
        if name in TRUTHS:
            return rt.p.unpack(bit, self.x.aval.shape)
        return self.number(rt, name, _times(rt, bit if self.falls else rt.p.invert(bit), [self]))

    def selected(self, rt: Runtime, signs: list[_Bits]) -> _Bits:
        """Return the bit that x − y is multiplied by."""
        # Whether x = y counts as above makes no difference: there is none to select.
        if "greater" in self.want:
            return signs[-1].inverted(rt) if self.falls else signs[-1]
        return signs[0] if self.falls else signs[0].inverted(rt)


@dataclass(slots=True)
class _Bits:
    """Shared truth values, packed or a byte each."""

    planes: Planes | None = None
    row: Share | None = None

    def packed(self, rt: Runtime) -> Planes:
        """Return them packed."""
        if self.planes is None:
            assert self.row is not None
            self.planes = rt.p.pack(self.row)
        return self.planes

    def bytes(self, rt: Runtime) -> Share:
        """Return them a byte each, flat."""
        if self.row is None:
            assert self.planes is not None
            self.row = rt.p.unpack(self.planes, (self.planes.n,))
        return self.row

    def inverted(self, rt: Runtime) -> _Bits:
        """Return NOT of each."""
        if self.planes is not None:
            return _Bits(rt.p.invert(self.planes))
        return _Bits(row=rt.xor_public(self.bytes(rt), np.ones((), np.uint8)))


def side_by_side(rt: Runtime, eqns: Sequence[Eqn], ins: Sequence[Value]) -> list[Share]:
    """Return the results of several such equations, in order; `ins` are the operands of one after another."""
    rest, asks = iter(ins), []
    for eqn in eqns:
        v = [next(rest) for _ in eqn.ins]
        asks.append(_Ask.of(rt, v, wanted(eqn)))
    return several(rt, asks)


def several(rt: Runtime, asks: Sequence[_Ask]) -> list[Share]:
    """Find all signs at once, then select all that is selected at once; return what is asked, in order."""
    sides = [ask.sides(rt) for ask in asks]
    signs = iter(
        _signs(
            rt,
            [x for each in sides for x in each],
            [a.bits for a, each in zip(asks, sides, strict=True) for _ in each],
        )
    )
    found: list[dict[str, Share]] = []
    chosen: list[tuple[_Ask, dict[str, Share]]] = []
    bits: list[_Bits] = []
    for ask, each in zip(asks, sides, strict=True):
        own = [next(signs) for _ in each]
        names = [name for name in TRUTHS if name in ask.want]
        truths = zip(names, own, strict=False)
        found.append({name: b.bytes(rt).reshape(*ask.x.aval.shape) for name, b in truths})
        if len(found[-1]) < len(ask.want):
            bits.append(ask.selected(rt, own))
            chosen.append((ask, found[-1]))
    for (ask, known), step in zip(chosen, _selected(rt, bits, [ask for ask, _ in chosen]), strict=True):
        known.update({name: ask.number(rt, name, step) for name in ask.want if name not in TRUTHS})
    return [known[name] for ask, known in zip(asks, found, strict=True) for name in ask.want]


def _signs(rt: Runtime, sides: list[Share], bits: list[int]) -> list[_Bits]:
    """Return [x < 0] of each, in the rounds of one sign unless that would double what very many elements take."""
    sizes = [x.size for x in sides]
    if len(sides) == 1 or at_once(TRUTHS, max(sizes), rt.p) == 1:
        return [_Bits(rt.p.sign(x, b)) for x, b in zip(sides, bits, strict=True)]
    row = rt.p.unpack(rt.p.sign(join(sides), max(bits)), (sum(sizes),))
    return [_Bits(row=x) for x in apart(row, sizes)]


def _selected(rt: Runtime, bits: list[_Bits], asks: list[_Ask]) -> list[Share]:
    """Return each truth value times its difference, in the rounds of one; all are rounded there, or none."""
    if len(asks) < 2:
        return [_times(rt, b.packed(rt), [ask]) for ask, b in zip(asks, bits, strict=True)]
    bit = rt.p.pack(join([b.bytes(rt) for b in bits]))
    return apart(_times(rt, bit, asks), [ask.difference.size for ask in asks])


def _times(rt: Runtime, bit: Planes, asks: list[_Ask]) -> Share:
    """Return the differences in a row, times a bit each."""
    fine = [ask.fine for ask in asks if ask.fine is not None]
    if fine and not rt.rounding.width:
        return rt.p.select_trunc(bit, join(fine), rt.f)
    differences = join([ask.difference for ask in asks])
    return rt.q.select_narrowed(bit, differences) if fine else rt.q.select(bit, differences)


# -- weights ----------------------------------------------------------------------------------------------


def _weigh_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "weigh", "bool")
    weights = params["weights"]
    if weights.shape != (len(ins),):
        raise ScaleError(f"weigh: {len(ins)} truth values take as many weights, not {weights.shape}")
    kind: Any = "fixed" if weights.dtype.kind == "f" else "int"
    return [Aval(same_shape(ins, "weigh"), kind, *span(weights))]


def span(weights: Array) -> tuple[Any, Any]:
    """Return the least and the greatest that weights of some truth values add up to."""
    return np.minimum(weights, 0).sum().item(), np.maximum(weights, 0).sum().item()


def _weigh_clear(vals: list[Array], params: Params) -> list[Array]:
    return [weighted_sum(vals, params["weights"])]


def weighted_sum(vals: Sequence[Array], weights: Array) -> Array:
    """Return Σ w·b in the clear, as Python's whole numbers if 64 bits do not hold it."""
    if weights.dtype.kind == "i" and sum(abs(int(w)) for w in weights) >= 2**63:
        weights = weights.astype(object)
    return np.asarray(sum(w * np.asarray(v, weights.dtype) for v, w in zip(vals, weights, strict=True)))


def _weigh_error(i: list[Aval], o: list[Aval], p: Params, k: int, f: int) -> tuple[float, float]:
    """Bound on the error: what rounding the weights to units leaves."""
    if p["weights"].dtype.kind != "f":
        return 0.0, 0.0
    units = np.ldexp(p["weights"], f)
    return float(np.ldexp(np.abs(units - np.round(units)).sum(), -f)), 0.0


def _weigh_lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    """Σ w·b; what is public of it is added up in the clear."""
    weights = params["weights"]
    secret = [i for i, x in enumerate(v) if x.aval.where != PUBLIC]
    planes = stack_planes([rt.p.pack(rt.share(v[i])) for i in secret])
    total = weighted(rt, planes, encoded(rt, weights[secret], outs[0])).reshape(*outs[0].shape)
    if len(secret) == len(v):
        return [total]
    known = [rt.public_bits(x) * w for x, w in zip(v, weights, strict=True) if x.aval.where == PUBLIC]
    return [rt.p.add_public(total, encoded(rt, np.sum(known, axis=0, dtype=weights.dtype), outs[0]))]


def encoded(rt: Runtime, numbers: Array, out: Aval) -> Array:
    """Return weights, or a sum of them, as ring elements with the fractional bits of the result."""
    ring = Ring(rt.fmt.width)
    if out.kind == "fixed":
        return rt.fitted(ring.encode_floats(numbers, rt.f + rt.rounding.extra))
    return rt.fitted(ring.encode_ints(numbers))


def weighted(rt: Runtime, planes: Planes, units: Array) -> Share:
    """Return Σ w·b over planes of secret bits, flat."""
    if not rt.ring.wide and rt.p.offers("combine"):
        return rt.q.combine(planes, units[None, :], [rt.q.ring.width])[0]
    rt.p.settle()  # this sends at once, where the other is left
    terms = rt.q.to_arith(planes)
    return rt.p.sum(rt.p.mul_public(terms, np.broadcast_to(units[:, None], terms.shape)), (0,))


ENTRIES = [
    Op("compare", _compare_abstract, _compare_clear, _compare_lower, _compare_need, local=False),
    Op("weigh", _weigh_abstract, _weigh_clear, _weigh_lower, local=False, error=_weigh_error),
]
