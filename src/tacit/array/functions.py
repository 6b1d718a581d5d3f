"""The array functions: the Python array API's names, composed from the op table.

Study code written against the standard (`xp = x.__array_namespace__()`) runs unchanged on NumPy, on JAX and on
Tacit's arrays.
"""

from __future__ import annotations

import builtins
import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tacit.array.limits import whole_equal, whole_limits
from tacit.array.secret import SecretArray, axis_of
from tacit.errors import ScaleError, ShapeError, UsageError

pi, e, newaxis = math.pi, math.e, None
float64 = float32 = "fixed"
int64 = int32 = "int"
bool = "bool"
Axis = int | Sequence[int] | None


# -- lifting, kinds, broadcasting -------------------------------------------------------------------------


def _context(*xs: Any) -> Any:
    for x in xs:
        if isinstance(x, SecretArray):
            return x.context
    raise UsageError("at least one operand must be an array of a session or trace")


def _lift(ctx: Any, x: Any, kind: str | None = None) -> SecretArray:
    if isinstance(x, SecretArray):
        return x
    made: SecretArray = ctx.const(x, kind)
    return made


def _pair(x: Any, y: Any, numeric: builtins.bool = True) -> tuple[SecretArray, SecretArray]:
    """Lift, bring to one kind, broadcast."""
    ctx = _context(x, y)
    kinds = [v.aval.kind for v in (x, y) if isinstance(v, SecretArray)]
    like = "fixed" if "fixed" in kinds else None
    a, b = _lift(ctx, x, like), _lift(ctx, y, like)
    if numeric:
        a, b = _number(a), _number(b)
    if a.dtype != b.dtype:
        if "bool" in (a.dtype, b.dtype):
            raise ScaleError(
                f"kinds {a.dtype} and {b.dtype} do not go together here; convert one with astype"
            )
        a, b = astype(a, "fixed"), astype(b, "fixed")
    shape = _common_shape(a.shape, b.shape)
    return broadcast_to(a, shape), broadcast_to(b, shape)


def _common_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"shapes {a} and {b} do not broadcast together") from None


def _number(x: SecretArray) -> SecretArray:
    return astype(x, "int") if x.dtype == "bool" else x


def _bind(op: str, *ins: SecretArray, **params: Any) -> SecretArray:
    return ins[0].context.bind(op, ins, params)[0]


def asarray(x: Any, like: SecretArray | None = None) -> Any:
    """Return x; with `like`, a public value becomes an array of the same session."""
    return x if like is None else _lift(like.context, x)


_KINDS = {"f": "fixed", "i": "int", "u": "int", "b": "bool"}


def astype(x: SecretArray, kind: Any) -> SecretArray:
    """Convert between kinds: bool → int → fixed is exact; fixed → int rounds toward zero; to bool is x ≠ 0."""
    if kind not in ("int", "fixed", "bool"):
        try:
            kind = _KINDS[np.dtype(kind).kind]
        except (TypeError, KeyError):
            raise UsageError(
                f"no kind of array corresponds to {kind!r}; use 'int', 'fixed' or 'bool'"
            ) from None
    if kind == x.dtype:
        return x
    if kind == "bool":
        return not_equal(x, 0)
    if (x.dtype, kind) == ("fixed", "int"):
        if x.aval.lo >= 0:
            return floor(x)
        return where(less(x, 0), negative(floor(negative(x))), floor(x))
    return _bind("convert", x, kind=kind)


def broadcast_to(x: SecretArray, shape: Sequence[int]) -> SecretArray:
    """Broadcast to `shape`, NumPy's rules."""
    shape = tuple(int(s) for s in shape)
    if x.shape == shape:
        return x
    try:
        np.broadcast_to(np.zeros(()), shape)
        if np.broadcast_shapes(x.shape, shape) != shape:
            raise ValueError
    except ValueError:
        raise ShapeError(f"shape {x.shape} does not broadcast to {shape}") from None
    return _bind("broadcast", x, shape=list(shape), dims=list(range(len(shape) - x.ndim, len(shape))))


# -- arithmetic -------------------------------------------------------------------------------------------


def add(x: Any, y: Any) -> SecretArray:
    """X + y."""
    return _bind("add", *_pair(x, y))


def subtract(x: Any, y: Any) -> SecretArray:
    """X − y."""
    return _bind("sub", *_pair(x, y))


def multiply(x: Any, y: Any) -> SecretArray:
    """x·y; a truth value selects."""
    if x is y and x.dtype != "bool":
        return square(x)
    ctx = _context(x, y)
    kinds = [v.dtype for v in (x, y) if isinstance(v, SecretArray)]
    a, b = _lift(ctx, x), _lift(ctx, y)
    if "bool" in kinds and not (a.dtype == b.dtype == "bool"):
        c, v = (a, b) if a.dtype == "bool" else (b, a)
        return where(c, v, 0)
    a, b = _number(a), _number(b)
    shape = _common_shape(a.shape, b.shape)
    return _bind("mul", broadcast_to(a, shape), broadcast_to(b, shape))


def square(x: SecretArray) -> SecretArray:
    """x²."""
    return _bind("square", _number(x))


def divide(x: Any, y: Any) -> SecretArray:
    """X / y on fixed-point values; y's range must exclude zero."""
    a, b = _pair(x, y)
    return _bind("div", astype(a, "fixed"), astype(b, "fixed"))


def reciprocal(x: SecretArray) -> SecretArray:
    """1 / x."""
    return divide(1.0, x)


def negative(x: SecretArray) -> SecretArray:
    """−x."""
    return _bind("neg", _number(x))


def positive(x: SecretArray) -> SecretArray:
    """X."""
    return x


def abs(x: SecretArray) -> SecretArray:
    """|x|."""
    return _bind("abs", _number(x))


def pow(x: Any, y: Any) -> SecretArray:
    """x^y: by squaring for a fixed integer y, x^0.5 and x^−0.5 as roots, else e^(y·ln x) for x > 0."""
    if isinstance(y, SecretArray) or np.ndim(y) != 0 or (y not in (0.5, -0.5) and not float(y).is_integer()):
        from tacit.array.inverse_functions import power

        return power(x, y)
    if y == 0.5:
        return sqrt(x)
    if y == -0.5:
        return rsqrt(x)
    n = int(y)
    if n < 0:
        return reciprocal(pow(x, -n))
    if n == 0:
        return add(multiply(x, 0), 1)
    result, base = None, x
    while True:
        if n & 1:
            result = base if result is None else multiply(result, base)
        n >>= 1
        if not n:
            return result  # type: ignore[return-value]
        base = square(base)


def sqrt(x: SecretArray) -> SecretArray:
    """√x for x ≥ 0."""
    return _bind("sqrt", astype(x, "fixed"))


def rsqrt(x: SecretArray) -> SecretArray:
    """1/√x for x > 0."""
    return _bind("rsqrt", astype(x, "fixed"))


def exp(x: SecretArray) -> SecretArray:
    """e^x."""
    return _bind("exp", astype(x, "fixed"))


def log(x: SecretArray) -> SecretArray:
    """Ln x for x > 0."""
    return _bind("log", astype(x, "fixed"))


def sigmoid(x: SecretArray) -> SecretArray:
    """1 / (1 + e^−x)."""
    return _bind("sigmoid", astype(x, "fixed"))


def long_sigmoid(x: SecretArray) -> SecretArray:
    """1 / (1 + e^−x), from e^−|x| so that nothing grows."""
    z = exp(negative(abs(x)))
    upper = divide(1.0, add(z, 1.0))
    return where(less(x, 0), subtract(1.0, upper), upper)


def tanh(x: SecretArray) -> SecretArray:
    """(e^x − e^−x) / (e^x + e^−x)."""
    return _bind("tanh", astype(x, "fixed"))


def long_tanh(x: SecretArray) -> SecretArray:
    """2·sigmoid(2x) − 1."""
    return subtract(multiply(sigmoid(multiply(x, 2)), 2), 1.0)


def floor(x: SecretArray) -> SecretArray:
    """Greatest integer not above x, as int."""
    return x if x.dtype == "int" else _bind("floor", x)


def sign(x: SecretArray) -> SecretArray:
    """−1, 0 or 1, as int."""
    return _bind("weigh", greater(x, 0), less(x, 0), weights=np.array([1, -1]))


def matmul(x: Any, y: Any) -> SecretArray:
    """Matrix product, NumPy's rules for one and more axes."""
    ctx = _context(x, y)
    a, b = _number(_lift(ctx, x)), _number(_lift(ctx, y))
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("matmul needs at least one axis on each side; use * for a scalar")
    drop_first, drop_last = a.ndim == 1, b.ndim == 1
    if drop_first:
        a = reshape(a, (1, -1))
    if drop_last:
        b = reshape(b, (-1, 1))
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape} do not fit")
    batch = _common_shape(a.shape[:-2], b.shape[:-2])
    a, b = broadcast_to(a, batch + a.shape[-2:]), broadcast_to(b, batch + b.shape[-2:])
    out = _bind("matmul", a, b)
    shape = out.shape
    if drop_first:
        shape = (*shape[:-2], shape[-1])
    if drop_last:
        shape = shape[:-1]
    return reshape(out, shape)


dot = matmul


def outer(x: SecretArray, y: Any) -> SecretArray:
    """Outer product of two vectors."""
    a, b = _lift(_context(x, y), x), _lift(_context(x, y), y)
    return multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


# -- comparison and logic ---------------------------------------------------------------------------------


def less(x: Any, y: Any) -> SecretArray:
    """X < y."""
    return _bind("lt", *_pair(*whole_limits(x, y)))


def greater(x: Any, y: Any) -> SecretArray:
    """X > y."""
    return less(y, x)


def less_equal(x: Any, y: Any) -> SecretArray:
    """X ≤ y."""
    return logical_not(less(y, x))


def greater_equal(x: Any, y: Any) -> SecretArray:
    """X ≥ y."""
    return logical_not(less(x, y))


def equal(x: Any, y: Any) -> SecretArray:
    """X = y."""
    x, y, possible = whole_equal(x, y)
    a, b = _pair(x, y, numeric=False)
    if a.dtype == "bool":
        return logical_not(_bind("xor", a, b))
    same = _bind("eq", a, b)
    return same if possible is None else logical_and(same, possible)


def not_equal(x: Any, y: Any) -> SecretArray:
    """X ≠ y."""
    return logical_not(equal(x, y))


def _truths(x: Any, y: Any) -> tuple[SecretArray, SecretArray]:
    a, b = _pair(x, y, numeric=False)
    if a.dtype != "bool":
        raise ScaleError("logic takes truth values; compare first")
    return a, b


def logical_and(x: Any, y: Any) -> SecretArray:
    """X AND y."""
    return _bind("and", *_truths(x, y))


def logical_or(x: Any, y: Any) -> SecretArray:
    """X OR y."""
    return _bind("or", *_truths(x, y))


def logical_xor(x: Any, y: Any) -> SecretArray:
    """X ≠ y on truth values."""
    return _bind("xor", *_truths(x, y))


def logical_not(x: SecretArray) -> SecretArray:
    """NOT x."""
    return _bind("not", astype(x, "bool"))


def where(c: Any, x: Any, y: Any) -> SecretArray:
    """X where c, else y."""
    ctx = _context(c, x, y)
    c = astype(_lift(ctx, c), "bool")
    if not isinstance(x, SecretArray) and not isinstance(y, SecretArray):
        x = _lift(ctx, x, "fixed" if np.asarray(y).dtype.kind == "f" else None)
    a, b = _pair(x, y, numeric=False)
    shape = _common_shape(c.shape, a.shape)
    return _bind("select", broadcast_to(c, shape), broadcast_to(a, shape), broadcast_to(b, shape))


def maximum(x: Any, y: Any) -> SecretArray:
    """Greater of x and y."""
    return _bind("maximum", *_pair(x, y))


def minimum(x: Any, y: Any) -> SecretArray:
    """Lesser of x and y."""
    return _bind("minimum", *_pair(x, y))


def clip(x: SecretArray, min: Any = None, max: Any = None) -> SecretArray:
    """Limit values to [min, max]."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


def assume(x: SecretArray, lo: float, hi: float, why: str = "") -> SecretArray:
    """State that x lies in [lo, hi]. Nothing checks it on secrets: a false statement gives wrong numbers.

    `check` tests it on sample data, and every plan lists it, by the reason `why` if one is given.
    """
    return _bind("assume", x, lo=lo, hi=hi, **({"why": why} if why else {}))


# -- reductions -------------------------------------------------------------------------------------------


def _axes(x: SecretArray, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    wanted = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    return tuple(sorted({axis_of(a, x.shape) for a in wanted}))


def _keep(x: SecretArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else s for i, s in enumerate(x.shape))


def sum(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Sum over `axis`."""
    axes = _axes(x, axis)
    out = _bind("sum", _number(x), axes=list(axes)) if axes else _number(x)
    return reshape(out, _keep(x, axes)) if keepdims else out


def mean(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Mean over `axis`."""
    n = math.prod(x.shape[a] for a in _axes(x, axis))
    if n == 0:
        raise ShapeError("the mean of no values does not exist")
    return divide(sum(_number(x), axis, keepdims), n)


def var(
    x: SecretArray, axis: Axis = None, correction: float = 0, keepdims: builtins.bool = False
) -> SecretArray:
    """Variance over `axis`: the mean square distance from the mean, over n − correction."""
    n = math.prod(x.shape[a] for a in _axes(x, axis))
    if n <= correction:
        raise ShapeError(f"the variance of {n} values with correction {correction} does not exist")
    centred = subtract(x, mean(x, axis, keepdims=True))
    return divide(sum(square(centred), axis, keepdims), n - correction)


def std(
    x: SecretArray, axis: Axis = None, correction: float = 0, keepdims: builtins.bool = False
) -> SecretArray:
    """Return the standard deviation over `axis`."""
    return sqrt(maximum(var(x, axis, correction, keepdims), 0.0))


def _rows(x: SecretArray, axes: tuple[int, ...]) -> SecretArray:
    """Return x with `axes` as one, the first."""
    rest = [i for i in range(x.ndim) if i not in axes]
    n = math.prod(x.shape[a] for a in axes)
    return reshape(permute_dims(x, (*axes, *rest)), (n, *(x.shape[i] for i in rest)))


def _extreme(
    x: SecretArray, axis: Axis, keepdims: builtins.bool, what: str, least: builtins.bool = False
) -> SecretArray:
    axes = _axes(x, axis)
    rows = _rows(_number(x), axes)
    if not rows.shape[0]:
        raise ShapeError(f"the {what} of no values does not exist")
    found = rows[0] if rows.shape[0] == 1 else _bind("extreme", rows, least=least, place=False)
    return reshape(found, _keep(x, axes)) if keepdims else found


def max(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Maximum over `axis`."""
    return _extreme(x, axis, keepdims, "maximum")


def min(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Minimum over `axis`."""
    return _extreme(x, axis, keepdims, "minimum", least=True)


def prod(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Product over `axis`, by halves: log2 steps."""
    axes = _axes(x, axis)
    flat = _rows(_number(x), axes)
    if not flat.shape[0]:
        return _lift(x.context, np.full(_keep(x, axes) if keepdims else flat.shape[1:], 1), flat.dtype)
    while flat.shape[0] > 1:
        half = flat.shape[0] // 2
        folded = multiply(flat[:half], flat[half : 2 * half])
        flat = folded if flat.shape[0] == 2 * half else concat([folded, flat[2 * half :]])
    return reshape(flat, _keep(x, axes) if keepdims else flat.shape[1:])


def all(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Whether all are true."""
    axes = _axes(x, axis)
    rows = _rows(astype(x, "bool"), axes)
    if rows.shape[0]:
        found = rows[0] if rows.shape[0] == 1 else _bind("every", rows)
    else:
        found = _lift(x.context, np.ones(rows.shape[1:], np.bool_), "bool")
    return reshape(found, _keep(x, axes)) if keepdims else found


def any(x: SecretArray, axis: Axis = None, keepdims: builtins.bool = False) -> SecretArray:
    """Whether any is true."""
    return logical_not(all(logical_not(astype(x, "bool")), axis, keepdims))


def cumulative_sum(x: SecretArray, axis: int | None = None) -> SecretArray:
    """Add up along `axis`, keeping every partial sum."""
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    return _bind("cumsum", _number(x), axis=_axes(x, axis)[0])


cumsum = cumulative_sum


# -- shape ------------------------------------------------------------------------------------------------


def reshape(x: SecretArray, shape: Any) -> SecretArray:
    """Return x in another shape; one axis may be −1."""
    wanted = [int(shape)] if isinstance(shape, int | np.integer) else [int(s) for s in shape]
    if -1 in wanted:
        known = math.prod(s for s in wanted if s != -1)
        if wanted.count(-1) > 1 or known == 0 or x.size % known:
            raise ShapeError(f"cannot reshape {x.shape} into {tuple(wanted)}")
        wanted[wanted.index(-1)] = x.size // known
    if math.prod(wanted) != x.size:
        raise ShapeError(f"cannot reshape {x.shape} into {tuple(wanted)}")
    return x if tuple(wanted) == x.shape else _bind("reshape", x, shape=wanted)


def permute_dims(x: SecretArray, axes: Sequence[int]) -> SecretArray:
    """Permute axes."""
    perm = [int(a) + x.ndim * (a < 0) for a in axes]
    if sorted(perm) != list(range(x.ndim)):
        raise ShapeError(f"{tuple(axes)} does not permute the axes of shape {x.shape}")
    return x if perm == list(range(x.ndim)) else _bind("transpose", x, perm=perm)


transpose = permute_dims


def expand_dims(x: SecretArray, axis: int = 0) -> SecretArray:
    """Insert an axis of size one."""
    at = axis_of(axis, (*x.shape, 1))
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


def squeeze(x: SecretArray, axis: Axis = None) -> SecretArray:
    """Remove axes of size one."""
    axes = _axes(x, axis) if axis is not None else tuple(i for i, s in enumerate(x.shape) if s == 1)
    if builtins.any(x.shape[a] != 1 for a in axes):
        raise ShapeError(f"an axis of shape {x.shape} to be removed is not of size one")
    return reshape(x, [s for i, s in enumerate(x.shape) if i not in axes])


def concat(arrays: Sequence[Any], axis: int = 0) -> SecretArray:
    """Join arrays along an existing axis."""
    ctx = _context(*arrays)
    # Public floats that are whole join whole numbers as such.
    fixed = [a.dtype == "fixed" if isinstance(a, SecretArray) else np.any(np.asarray(a) % 1) for a in arrays]
    like = "fixed" if builtins.any(fixed) else None
    items = [_lift(ctx, a, like) for a in arrays]
    if len({a.dtype for a in items}) > 1:
        items = [astype(_number(a), "fixed" if like else "int") for a in items]
    if flat := [a for a in items if not a.ndim]:
        raise ShapeError(f"{len(flat)} of the arrays to join have no axis; use stack")
    if len(items) == 1:
        return items[0]
    joined: SecretArray = ctx.bind("concat", items, {"axis": axis_of(axis, items[0].shape)})[0]
    return joined


concatenate = concat


def stack(arrays: Sequence[Any], axis: int = 0) -> SecretArray:
    """Join arrays along a new axis."""
    ctx = _context(*arrays)
    return concat([expand_dims(_lift(ctx, a), axis) for a in arrays], axis)


def flip(x: SecretArray, axis: Axis = None) -> SecretArray:
    """Reverse along `axis`."""
    return _bind("flip", x, axes=list(_axes(x, axis)))


def take(x: SecretArray, indices: Any, axis: int = 0) -> SecretArray:
    """Pick rows by public indices."""
    idx, axis = np.asarray(indices), axis_of(axis, x.shape)
    if idx.ndim != 1 or (idx.size and idx.dtype.kind not in "iu"):
        raise UsageError("take needs a one-dimensional array of public integers")
    n = x.shape[axis]
    if idx.size and (idx.min() < -n or idx.max() >= n):
        raise ShapeError(f"an index leaves the axis of {n}")
    return _bind("take", x, indices=np.where(idx < 0, idx + n, idx).astype(np.int64), axis=axis)


def diagonal(x: SecretArray) -> SecretArray:
    """Diagonal of a matrix."""
    n, m = x.shape
    return take(reshape(x, (-1,)), np.arange(builtins.min(n, m)) * (m + 1))


# What is composed from the functions above stands in files that import this one, so it is found on first use.
if TYPE_CHECKING:
    from tacit.array.elementary import *  # noqa: F403
    from tacit.array.indexing import *  # noqa: F403
    from tacit.array.integers import *  # noqa: F403
    from tacit.array.inverse_functions import *  # noqa: F403

_ELSEWHERE = ("elementary", "indexing", "integers", "inverse_functions")


def __getattr__(name: str) -> Any:
    for module in () if name.startswith("_") else _ELSEWHERE:
        found = importlib.import_module(f"tacit.array.{module}")
        if name in found.__all__:
            return getattr(found, name)
    order = importlib.import_module("tacit.array.order")
    there = (
        not name.startswith("_") and getattr(getattr(order, name, None), "__module__", "") == order.__name__
    )
    advice = (
        f"it is tacit.array.order.{name}"
        if there
        else "tacit.frontends.jax.trace_jax runs jax.numpy's functions"
    )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; {advice}")
