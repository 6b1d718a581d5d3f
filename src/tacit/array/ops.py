"""The op table: the closed list of array operations that a Program may hold.

Each entry says what is publicly known of the results (`abstract`), what they are in the clear (`clear`, in
float64 and int64, at an owner or on public values), how many bits the ring must offer (`need`), and how
shares are computed (`lower`). Front ends translate to these and to nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import bounds as bd
from tacit.array import intervals as iv
from tacit.array.bounds import fits
from tacit.array.program import PUBLIC, SECRET, Aval, owned
from tacit.core.share import Share
from tacit.errors import RangeError, ScaleError, ShapeError, UsageError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of the table."""

    name: str
    abstract: Callable[[list[Aval], Params], list[Aval]]
    clear: Callable[[list[Array], Params], list[Array]]
    lower: Callable[[Runtime, list[Value], list[Aval], Params], list[Share]] | None
    need: Callable[[list[Aval], list[Aval], Params, int], int] = fits
    exact: bool = True
    """Whether every machine computes the same bits in the clear."""
    local: bool = True
    """Whether it needs no message when all operands are secret."""
    error: Callable[[list[Aval], list[Aval], Params, int, int], tuple[float, float]] | None = None
    """(absolute, relative) bound on the result's error for ring width k and f fractional bits."""
    prepare: Callable[[tuple[int, ...], Params], Callable[[Array], Array]] | None = None
    """What moves the elements of one operand, of its shape, if that is all it does; it can be kept."""


def join_where(ins: list[Aval]) -> str:
    """Visibility of what is computed from these: public < owned by one < secret."""
    seen = {a.where for a in ins if a.where != PUBLIC}
    return PUBLIC if not seen else seen.pop() if len(seen) == 1 else SECRET


def same_shape(ins: list[Aval], what: str) -> tuple[int, ...]:
    """Return the common shape, or raise ShapeError."""
    if any(a.shape != ins[0].shape for a in ins[1:]):
        raise ShapeError(f"{what}: shapes {' and '.join(str(a.shape) for a in ins)} differ")
    return ins[0].shape


def need_kind(ins: list[Aval], what: str, *kinds: str) -> None:
    """Raise ScaleError unless every operand has one of `kinds`."""
    for a in ins:
        if a.kind not in kinds:
            raise ScaleError(f"{what} takes {' or '.join(kinds)}, not {a.kind}; convert it first")


def kind_dtype(kind: str) -> Any:
    """NumPy type that holds a kind in the clear."""
    return {"int": np.int64, "fixed": np.float64, "bool": np.bool_}[kind]


# -- arithmetic -------------------------------------------------------------------------------------------


def _binary(name: str, rule: Callable[[iv.Interval, iv.Interval], iv.Interval]) -> Any:
    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        need_kind(ins, name, "int", "fixed")
        shape = same_shape(ins, name)
        x, y = ins
        if name != "mul" and x.kind != y.kind:
            raise ScaleError(f"{name}: kinds {x.kind} and {y.kind} differ; convert one")
        kind = "fixed" if "fixed" in (x.kind, y.kind) else "int"
        lo, hi = rule((x.lo, x.hi), (y.lo, y.hi))
        return [Aval(shape, kind, lo, hi)]  # type: ignore[arg-type]

    return abstract


def _square(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "square", "int", "fixed")
    lo, hi = iv.square((ins[0].lo, ins[0].hi))
    return [Aval(ins[0].shape, ins[0].kind, lo, hi)]


def _neg(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "neg", "int", "fixed")
    a = ins[0]
    return [Aval(a.shape, a.kind, -a.hi, -a.lo)]


def _sum(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "sum", "int", "fixed")
    a, axes = ins[0], params["axes"]
    shape = tuple(s for i, s in enumerate(a.shape) if i not in axes)
    n = int(np.prod([a.shape[i] for i in axes], dtype=np.int64))
    lo, hi = iv.scale((a.lo, a.hi), n)
    return [Aval(shape, a.kind, lo, hi)]


def _cumsum(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "cumsum", "int", "fixed")
    a = ins[0]
    n = max(a.shape[params["axis"]], 1)
    return [Aval(a.shape, a.kind, min(a.lo, a.lo * n), max(a.hi, a.hi * n))]


def _matmul(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "matmul", "int", "fixed")
    x, y = ins
    if (
        len(x.shape) < 2
        or len(y.shape) != len(x.shape)
        or x.shape[:-2] != y.shape[:-2]
        or x.shape[-1] != y.shape[-2]
    ):
        raise ShapeError(f"matmul: shapes {x.shape} and {y.shape} do not fit")
    lo, hi = iv.scale(iv.mul((x.lo, x.hi), (y.lo, y.hi)), x.shape[-1])
    kind = "fixed" if "fixed" in (x.kind, y.kind) else "int"
    return [Aval((*x.shape[:-1], y.shape[-1]), kind, lo, hi)]  # type: ignore[arg-type]


# -- functions --------------------------------------------------------------------------------------------


def _div(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "div", "fixed")
    shape = same_shape(ins, "div")
    x, y = ins
    if y.lo <= 0 <= y.hi:
        raise RangeError(iv.refuses_zero("division", (y.lo, y.hi)))
    lo, hi = iv.mul((x.lo, x.hi), iv.reciprocal((y.lo, y.hi)))
    found = Aval(shape, "fixed", lo, hi)
    return _assume([found], _stated(params)) if "within" in params else [found]


def _stated(params: Params) -> Params:
    """Return what is assumed of a quotient, so that it is never computed with more bits than that takes."""
    return dict(zip(("lo", "hi"), params["within"], strict=True))


def _sqrt(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "sqrt", "fixed")
    a = ins[0]
    if a.lo < 0:
        raise RangeError(
            f"sqrt of a value in [{a.lo:.6g}, {a.hi:.6g}], which may be negative; bound it, or clip at 0"
        )
    return [Aval(a.shape, "fixed", float(np.sqrt(a.lo)), float(np.sqrt(a.hi)))]


def _positive(name: str, fn: Callable[[float, float], iv.Interval]) -> Any:
    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        need_kind(ins, name, "fixed")
        a = ins[0]
        if a.lo <= 0:
            raise RangeError(
                f"{name} of a value in [{a.lo:.6g}, {a.hi:.6g}], which may be zero or negative; keep it positive, "
                "for example maximum(x, 0.01)"
            )
        lo, hi = fn(a.lo, a.hi)
        return [Aval(a.shape, "fixed", lo, hi)]

    return abstract


def _exp(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "exp", "fixed")
    a = ins[0]
    if a.hi > 700:
        raise RangeError(f"exp of a value that may reach {a.hi:.6g}; bound its argument")
    return [Aval(a.shape, "fixed", float(np.exp(a.lo)), float(np.exp(a.hi)))]


# -- logic ------------------------------------------------------------------------------------------------


def _compare(name: str) -> Any:
    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        need_kind(ins, name, "int", "fixed")
        if ins[0].kind != ins[1].kind:
            raise ScaleError(f"{name}: kinds {ins[0].kind} and {ins[1].kind} differ; convert one")
        return [Aval(same_shape(ins, name), "bool", 0, 1)]

    return abstract


def _logic(name: str) -> Any:
    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        need_kind(ins, name, "bool")
        return [Aval(same_shape(ins, name), "bool", 0, 1)]

    return abstract


def _every(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "every", "bool")
    if not ins[0].shape or not ins[0].shape[0]:
        raise ShapeError("every needs at least one row")
    return [Aval(ins[0].shape[1:], "bool", 0, 1)]


def _select(ins: list[Aval], params: Params) -> list[Aval]:
    c, a, b = ins
    need_kind([c], "select's condition", "bool")
    same_shape(ins, "select")
    if a.kind != b.kind:
        raise ScaleError(f"select: kinds {a.kind} and {b.kind} differ; convert one")
    lo, hi = iv.hull((a.lo, a.hi), (b.lo, b.hi))
    return [Aval(a.shape, a.kind, lo, hi)]


def _extreme(name: str) -> Any:
    fn = max if name == "maximum" else min

    def abstract(ins: list[Aval], params: Params) -> list[Aval]:
        need_kind(ins, name, "int", "fixed")
        shape = same_shape(ins, name)
        x, y = ins
        if x.kind != y.kind:
            raise ScaleError(f"{name}: kinds {x.kind} and {y.kind} differ; convert one")
        return [Aval(shape, x.kind, fn(x.lo, y.lo), fn(x.hi, y.hi))]

    return abstract


def _abs(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "abs", "int", "fixed")
    a = ins[0]
    low = 0 if a.lo <= 0 <= a.hi else min(abs(a.lo), abs(a.hi))
    return [Aval(a.shape, a.kind, low, a.magnitude)]


def _convert(ins: list[Aval], params: Params) -> list[Aval]:
    a, kind = ins[0], params["kind"]
    if kind not in ("int", "fixed") or (a.kind, kind) == ("fixed", "int"):
        raise ScaleError(f"no exact conversion from {a.kind} to {kind}; use floor or a comparison")
    return [Aval(a.shape, kind, a.lo, a.hi)]


def _floor(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "floor", "fixed")
    a = ins[0]
    return [Aval(a.shape, "int", int(np.floor(a.lo)), int(np.floor(a.hi)))]


def _whole_numbers(v: Array) -> Array:
    """Return floats without fractions as whole numbers, Python's if one of them passes 64 bits."""
    if np.all(np.abs(v) < 2.0**63):
        return v.astype(np.int64)
    if not np.all(np.isfinite(v)):
        raise RangeError(
            "floor of a value that is NaN or infinite; keep divisors from zero, and roots from below it"
        )
    return np.array([int(x) for x in v.reshape(-1)], object).reshape(v.shape)


def _assume(ins: list[Aval], params: Params) -> list[Aval]:
    a = ins[0]
    lo, hi = max(a.lo, params["lo"]), min(a.hi, params["hi"])
    if lo > hi:
        raise RangeError(f"assume: [{params['lo']}, {params['hi']}] excludes every value of [{a.lo}, {a.hi}]")
    return [Aval(a.shape, a.kind, lo, hi)]


def clear_assume(vals: list[Array], params: Params) -> list[Array]:
    """Check the assumption where the value is known."""
    v = vals[0]
    slack = 1e-9 * max(abs(params["lo"]), abs(params["hi"]), 1.0)
    if v.size and (np.min(v) < params["lo"] - slack or np.max(v) > params["hi"] + slack):
        raise RangeError(f"a value assumed to lie in [{params['lo']}, {params['hi']}] does not")
    # A root is taken of what is assumed not to be negative, and float64 may have rounded it there.
    return [np.clip(v, params["lo"], params["hi"])] if v.dtype.kind == "f" else [v]


def _reveal(ins: list[Aval], params: Params) -> list[Aval]:
    a, to = ins[0], params["to"]
    where = PUBLIC if to == ["all"] else owned(to[0]) if len(to) == 1 else "closed"
    return [Aval(a.shape, a.kind, a.lo, a.hi, where)]


def const_abstract(ins: list[Aval], params: Params) -> list[Aval]:
    """Return a public constant's aval: its interval is exact."""
    v = np.asarray(params["value"])
    kind = {"b": "bool", "i": "int", "u": "int", "f": "fixed"}.get(v.dtype.kind)
    if kind is None:
        raise UsageError(f"a constant of type {v.dtype} is not a number")
    if kind == "fixed" and not np.all(np.isfinite(v)):
        raise RangeError(
            "a constant is NaN or infinite, which no secret is; use a finite number in its place"
        )
    # Truth values lie in [0, 1] whatever they are, as those of inputs do.
    lo, hi = (0, 1) if kind == "bool" else (v.min().item(), v.max().item()) if v.size else (0, 0)
    return [Aval(v.shape, kind, lo, hi, PUBLIC)]  # type: ignore[arg-type]


def _no_clear(vals: list[Array], params: Params) -> list[Array]:
    raise UsageError("a loop is run equation by equation")


def _table() -> dict[str, Op]:
    from tacit.array import compare as cm
    from tacit.array import composed as cp
    from tacit.array import inverses, top
    from tacit.array import lookup as lk
    from tacit.array import lower as lw
    from tacit.array import ops_order as oo
    from tacit.array import shapes as sh
    from tacit.array import windows as wn
    from tacit.array import words as wd
    from tacit.array.blocks import in_blocks
    from tacit.array.loop import scan_abstract

    def one(fn: Callable[..., Any]) -> Callable[[list[Array], Params], list[Array]]:
        return lambda vals, params: [np.asarray(fn(*vals))]

    def log_range(lo: float, hi: float) -> iv.Interval:
        return float(np.log(lo)), float(np.log(hi))

    def rsqrt_range(lo: float, hi: float) -> iv.Interval:
        return hi**-0.5, lo**-0.5

    def div_clear(vals: list[Array], params: Params) -> list[Array]:
        quotient = np.asarray(vals[0] / vals[1])
        return clear_assume([quotient], _stated(params)) if "within" in params else [quotient]

    entries = [
        Op("const", const_abstract, lambda v, p: [np.asarray(p["value"])], None),
        Op("add", _binary("add", iv.add), one(np.add), lw.add),
        Op("sub", _binary("sub", iv.sub), one(np.subtract), lw.sub),
        Op(
            "mul",
            _binary("mul", iv.mul),
            one(np.multiply),
            lw.mul,
            bd.product_need,
            local=False,
            error=bd.product_error,
        ),
        Op(
            "square", _square, one(np.square), lw.square, bd.product_need, local=False, error=bd.product_error
        ),
        Op("maximum", _extreme("maximum"), one(np.maximum), cm.maximum, bd.gap_need, local=False),
        Op("minimum", _extreme("minimum"), one(np.minimum), cm.minimum, bd.gap_need, local=False),
        Op("abs", _abs, one(np.abs), cm.abs_, bd.abs_need, local=False),
        Op("neg", _neg, one(np.negative), lw.neg),
        Op("sum", _sum, lambda v, p: [np.asarray(np.sum(v[0], axis=tuple(p["axes"])))], lw.sum_, exact=False),
        Op("cumsum", _cumsum, lambda v, p: [np.cumsum(v[0], axis=p["axis"])], lw.cumsum, exact=False),
        Op(
            "matmul",
            _matmul,
            one(np.matmul),
            lw.matmul,
            bd.product_need,
            exact=False,
            local=False,
            error=bd.matmul_error,
        ),
        Op("div", _div, div_clear, lw.div, bd.need_fn(bd.plan_div), local=False, error=bd.div_error),
        Op(
            "sqrt",
            _sqrt,
            one(np.sqrt),
            lw.sqrt,
            bd.need_fn(bd.plan_root, False),
            local=False,
            error=bd.root_error,
        ),
        Op(
            "rsqrt",
            _positive("rsqrt", rsqrt_range),
            one(lambda v: 1 / np.sqrt(v)),
            lw.rsqrt,
            bd.need_fn(bd.plan_root),
            local=False,
            error=bd.root_error,
        ),
        Op(
            "exp",
            _exp,
            one(np.exp),
            lw.exp,
            bd.need_fn(bd.plan_exp, nonzero=False),
            False,
            False,
            bd.exp_error,
        ),
        Op(
            "log",
            _positive("log", log_range),
            one(np.log),
            lw.log,
            bd.need_fn(bd.plan_log),
            False,
            False,
            bd.log_error,
        ),
        Op("lt", _compare("lt"), one(np.less), cm.lt, bd.gap_need, local=False),
        Op("eq", _compare("eq"), one(np.equal), lw.eq, bd.gap_need, local=False),
        Op("and", _logic("and"), one(np.logical_and), lw.and_, local=False),
        Op("or", _logic("or"), one(np.logical_or), lw.or_, local=False),
        Op("xor", _logic("xor"), one(np.logical_xor), lw.xor),
        Op("not", _logic("not"), one(np.logical_not), lw.not_),
        Op("every", _every, lambda v, p: [np.asarray(v[0].all(0))], lw.every, local=False),
        Op("select", _select, one(np.where), lw.select, bd.select_need, local=False),
        Op(
            "convert",
            _convert,
            lambda v, p: [v[0].astype(kind_dtype(p["kind"]))],
            lw.convert,
            local=False,
        ),
        Op("floor", _floor, lambda v, p: [_whole_numbers(np.floor(v[0]))], lw.floor, local=False),
        Op("assume", _assume, clear_assume, lambda rt, v, o, p: [rt.share(v[0])]),
        Op("reveal", _reveal, lambda v, p: [v[0]], None, lambda i, o, p, f: fits(i, i, p, f), local=False),
        Op("scan", scan_abstract, _no_clear, None, lambda i, o, p, f: 1, exact=False, local=False),
        *cm.ENTRIES,
        *cp.ENTRIES,
        *inverses.ENTRIES,
        *sh.ENTRIES,
        *oo.ENTRIES,
        *top.ENTRIES,
        *wn.ENTRIES,
        *wd.ENTRIES,
        *lk.ENTRIES,
    ]
    return {op.name: in_blocks(op) for op in entries}


_CACHE: dict[str, Op] = {}


def table() -> dict[str, Op]:
    """Return the op table by name."""
    if not _CACHE:
        _CACHE.update(_table())
    return _CACHE


def bits_needed(op: str, ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    """Return the bits that the ring must offer to an equation on shares, its two spare bits left out."""
    shared = [iv.bits_of(a.magnitude, bd.scale_of(a, f)) for a in ins if a.kind != "bool"]
    return max([table()[op].need(ins, outs, params, f), *shared])
