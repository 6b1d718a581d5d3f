"""NumPy's functions on arrays of a session or trace: `np.exp(x)` is what the array API calls exp, or refused by name.

Operators of NumPy's arrays arrive here, too: `table * x` is a ufunc where `table` is NumPy's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array import order
from tacit.array.ops import kind_dtype
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised, ShapeError, UsageError

OTHERWISE = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "divmod": "divmod_floor", "fabs": "abs", "fmax": "maximum",
    "fmin": "minimum", "invert": "bitwise_invert", "left_shift": "bitwise_left_shift", "power": "pow", "rint": "round",
    "right_shift": "bitwise_right_shift", "concatenate": "concat",
}  # fmt: skip
"""NumPy's names of what the array API calls otherwise."""
BY_BITS = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
METHODS = {
    "all": "all", "amax": "max", "amin": "min", "any": "any", "around": "round", "cumsum": "cumsum", "max": "max",
    "mean": "mean", "min": "min", "prod": "prod", "ravel": "ravel", "reshape": "reshape", "round": "round",
    "squeeze": "squeeze", "std": "std", "sum": "sum", "transpose": "transpose", "var": "var",
}  # fmt: skip
"""Functions that are the first operand's methods."""
FUNCTIONS = frozenset({
    "broadcast_to", "clip", "concatenate", "diagonal", "expand_dims", "flip", "outer", "stack", "take", "where",
})  # fmt: skip
ORDERS = frozenset({"argmax", "argmin", "argsort", "median", "percentile", "quantile", "sort"})
FLATTENS = frozenset({"argmax", "argmin", "cumsum", "take"})
"""Functions that take an array without axes where no axis is said."""
NAMED = {"a": 0, "x": 0, "arr": 0, "arrays": 0, "array": 0, "m": 0}
"""What NumPy calls a first operand that stands by name."""


def of_ufunc(ufunc: Any, method: str, ins: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return what a ufunc of NumPy computes of these operands, one of them an array of a session or trace."""
    name = ufunc.__name__
    if method != "__call__":
        raise _refused(f"{name}.{method}")
    if "out" in options:
        raise UsageError(
            f"np.{name} cannot write into a NumPy array what nobody knows; compute a new one: a = a + x instead of "
            "a += x, and without out="
        )
    if options:
        raise UsageError(f"np.{name} takes no {', '.join(sorted(options))} on arrays of a session or trace")
    if name in BY_BITS:
        first, other = ins if isinstance(ins[0], SecretArray) else ins[::-1]
        return first._by_bits(BY_BITS[name], other)
    fn = _there(xp, OTHERWISE.get(name, name))
    if fn is None:
        raise _refused(name)
    return fn(*ins)


def of_function(func: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Return what another function of NumPy computes, one of whose operands is such an array."""
    name, said = func.__name__, dict(options)
    if not args:
        first = next((key for key in NAMED if key in said), None)
        args = () if first is None else (said.pop(first),)
    x = args[0] if args else None
    if name in ("shape", "ndim", "size") and len(args) == 1 and not said:
        return getattr(x, name)
    if name in ("zeros_like", "ones_like") and len(args) == 1 and not said and isinstance(x, SecretArray):
        return np.full(x.shape, name == "ones_like", kind_dtype(x.dtype))
    if name in FLATTENS and isinstance(x, SecretArray) and x.ndim > 1 and said.get("axis") is None:
        raise ShapeError(f"np.{name} of shape {x.shape} needs axis=; NumPy's would take all rows for one")
    if name in METHODS and isinstance(x, SecretArray):
        return _called(name, getattr(x, METHODS[name]), args[1:], said)
    fn = (
        _there(order, name)
        if name in ORDERS
        else _there(xp, OTHERWISE.get(name, name))
        if name in FUNCTIONS
        else None
    )
    if fn is None:
        raise _refused(name)
    return _called(name, fn, args, said)


def _called(name: str, fn: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Call a function; say which of NumPy's options it does not know."""
    try:
        inspect.signature(fn).bind(*args, **options)
    except TypeError:
        given = inspect.signature(fn)
        takes = ", ".join(p for p in given.parameters if p not in ("x", "arrays", "self"))
        raise UsageError(
            f"np.{name} on arrays of a session or trace takes {takes or 'nothing else'}"
        ) from None
    return fn(*args, **options)


def _there(module: Any, name: str) -> Callable[..., Any] | None:
    try:
        found = getattr(module, name)
    except AttributeError:
        return None
    return found if callable(found) else None


def _refused(name: str) -> NotRealised:
    return NotRealised(
        f"np.{name} does not work on arrays of a session or trace; their functions are in x.__array_namespace__() and "
        "tacit.array.order, and tacit.frontends.jax.trace_jax runs jax.numpy's"
    )
