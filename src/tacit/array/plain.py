"""The few array functions that sorting and tables use, on NumPy arrays: what a check in the clear runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.array import functions
from tacit.array.ops import kind_dtype, table
from tacit.array.secret import SecretArray
from tacit.errors import UsageError


class Plain:
    """NumPy under the names and kinds of `array.functions`."""

    add = staticmethod(np.add)
    subtract = staticmethod(np.subtract)
    multiply = staticmethod(np.multiply)
    divide = staticmethod(np.divide)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    less = staticmethod(np.less)
    equal = staticmethod(np.equal)
    where = staticmethod(np.where)
    logical_and = staticmethod(np.logical_and)
    logical_or = staticmethod(np.logical_or)
    logical_not = staticmethod(np.logical_not)
    concat = staticmethod(np.concatenate)
    reshape = staticmethod(np.reshape)
    permute_dims = staticmethod(np.transpose)
    take = staticmethod(np.take)
    sum = staticmethod(np.sum)
    cumulative_sum = staticmethod(np.cumsum)

    @staticmethod
    def astype(x: Any, kind: str) -> Any:
        """Convert between kinds."""
        return np.asarray(x).astype(kind_dtype(kind))


def space(*arrays: Any) -> Any:
    """Return the functions that work on these arrays."""
    return functions if any(isinstance(x, SecretArray) for x in arrays) else Plain


def kind_of(x: Any) -> str:
    """Return "int", "fixed" or "bool"."""
    if isinstance(x, SecretArray):
        return x.dtype
    return {"b": "bool", "i": "int", "u": "int"}.get(np.asarray(x).dtype.kind, "fixed")


def array(x: Any, what: str) -> Any:
    """Return x; UsageError unless it is an array, because a list may mean one array or several."""
    if not (hasattr(x, "shape") and hasattr(x, "ndim")):
        raise UsageError(f"{what} is of type {type(x).__name__}, not an array; give np.array(…)")
    return x


def whole(value: Any, what: str) -> int:
    """Return a public whole number; UsageError for anything else."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise UsageError(f"{what} is a public whole number, not {value!r}")
    return int(value)


def constant(like: Any, value: Any) -> Any:
    """Return a public value beside `like`."""
    return like.context.const(value) if isinstance(like, SecretArray) else np.asarray(value)


def within(x: Any, data: Any, why: str, zero: bool = False, times: int = 1) -> Any:
    """State that x lies in the range of `data` (widened to zero), times a count: intervals alone do not see it."""
    if not (isinstance(x, SecretArray) and isinstance(data, SecretArray)):
        return x
    lo, hi = data.aval.lo, data.aval.hi
    if zero:
        lo, hi = min(lo, 0) * times, max(hi, 0) * times
    return functions.assume(x, lo, hi, why=why)


def bind(op: str, ins: Sequence[Any], **params: Any) -> list[Any]:
    """Run an operation of the table on arrays of a session or trace, or on NumPy arrays."""
    for x in ins:
        if isinstance(x, SecretArray):
            lifted = [y if isinstance(y, SecretArray) else x.context.const(y) for y in ins]
            return list(x.context.bind(op, lifted, params))
    return table()[op].clear([np.asarray(x) for x in ins], params)
