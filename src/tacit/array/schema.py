"""The exact form of every operation's operands and parameters: what a Program may say, and nothing besides."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from tacit.array.program import Aval, Eqn, Program
from tacit.errors import DataError, ShapeError

Check = Callable[[Any], bool]
WANTED = ("less", "greater", "greatest", "least", "distance")
"""What a comparison of x and y may be asked for, in the order of its results: x < y, x > y, max, min, |x − y|."""
ASKED = {"lt": "less", "maximum": "greatest", "minimum": "least", "abs": "distance"}
"""What operations with a name of their own ask of one comparison; `abs` compares with zero."""
MOVES = frozenset({"broadcast", "reshape", "transpose", "slice", "flip"})
"""Operations on one value that give its elements as they are, in other places."""
ELEMENTWISE = frozenset(
    [
        "add",
        "sub",
        "mul",
        "square",
        "neg",
        "maximum",
        "minimum",
        "abs",
        "div",
        "sqrt",
        "rsqrt",
        "sigmoid",
        "tanh",
        "erf",
        "atan",
        "sin",
        "cos",
        "exp",
        "log",
        "lt",
        "eq",
        "compare",
        "weigh",
        "and",
        "or",
        "xor",
        "not",
        "select",
        "convert",
        "floor",
        "assume",
        "part",
    ]
)
"""Operations whose results have an element for each element of their operands, which are of one shape."""
MAX_AXES, MAX_ELEMENTS, MAX_REACH = 32, 1 << 36, 2.0**300
INPUT_NAME = re.compile(r"^[^\s%]{1,128}$")


def wanted(eqn: Eqn) -> Sequence[str]:
    """Return what an equation that compares asks for."""
    return (ASKED[eqn.op],) if eqn.op in ASKED else eqn.params["want"]


def is_whole(v: Any) -> bool:
    """Whether v is an integer from 0 to 2^62, and no truth value."""
    return isinstance(v, Integral) and not isinstance(v, bool) and 0 <= int(v) < 1 << 62


def is_number(v: Any) -> bool:
    """Whether v is a finite real number of sensible size."""
    return (
        isinstance(v, int | float | np.number)
        and not isinstance(v, bool)
        and bool(-MAX_REACH < v < MAX_REACH)
    )


def _wholes(v: Any) -> bool:
    return isinstance(v, list | tuple) and len(v) <= MAX_AXES and all(is_whole(x) for x in v)


def _offsets(v: Any) -> bool:
    whole = isinstance(v, list | tuple) and all(
        isinstance(x, Integral) and not isinstance(x, bool) for x in v
    )
    return whole and len(v) <= MAX_AXES and all(is_whole(abs(x)) for x in v)


def _axes(v: Any) -> bool:
    return _wholes(v) and list(v) == sorted(set(v))


def _array(v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind in "fib"


def _indices(v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind == "i" and v.ndim == 1


def _targets(v: Any) -> bool:
    return isinstance(v, list | tuple) and len(v) > 0 and all(_text(x) for x in v)


def _text(v: Any) -> bool:
    return isinstance(v, str) and bool(v.strip())


def _flag(v: Any) -> bool:
    return isinstance(v, bool | np.bool_)


def _flags(v: Any) -> bool:
    return isinstance(v, list | tuple) and all(_flag(x) for x in v)


def _name(v: Any) -> bool:
    return isinstance(v, str) and v.isprintable() and 0 < len(v) <= 128


def _wanted(v: Any) -> bool:
    return isinstance(v, list | tuple) and len(v) > 0 and list(v) == [name for name in WANTED if name in v]


def _weights(v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind in "fi" and v.ndim == 1 and all(is_number(w) for w in v)


MOST_BITS = 63
"""Bits of a whole number that may be looked at."""


def _places(v: Any) -> bool:
    whole = isinstance(v, list | tuple) and 0 < len(v) <= MOST_BITS and all(is_whole(x) for x in v)
    return whole and list(v) == sorted(set(v)) and v[-1] < MOST_BITS


PARAMS: dict[str, dict[str, Check]] = {
    "const": {"value": _array},
    "sum": {"axes": _axes},
    "inverse": {"least": lambda v: is_number(v) and v > 0},
    "cumsum": {"axis": is_whole},
    "convert": {"kind": lambda v: v in ("int", "fixed")},
    "assume": {"lo": is_number, "hi": is_number},
    "reveal": {"to": _targets, "why": _text, "name": _name},
    "scan": {
        "n_consts": is_whole,
        "n_carry": is_whole,
        "length": is_whole,
        "reverse": _flag,
        "body": lambda v: isinstance(v, Program),
    },
    "reshape": {"shape": _wholes},
    "transpose": {"perm": _wholes},
    "broadcast": {"shape": _wholes, "dims": _axes},
    "slice": {"start": _wholes, "stop": _wholes, "steps": _wholes},
    "flip": {"axes": _axes},
    "take": {"axis": is_whole, "indices": _indices},
    "concat": {"axis": is_whole},
    "dynamic_slice": {"sizes": _wholes},
    "order": {"descending": _flags},
    "extreme": {"least": _flag, "place": _flag},
    "top": {"k": is_whole},
    "compare": {"want": _wanted},
    "weigh": {"weights": _weights},
    "bits": {"at": _places},
    "part": {"by": lambda v: is_whole(v) and 0 < v < MOST_BITS, "low": _flag},
    "word": {"weights": lambda v: _weights(v) and v.dtype.kind == "i" and 0 < len(v) < 1 << 10},
    "running": {"least": _flag},
    "spread": {"size": is_whole, "last": _flag},
    "hot": {"size": is_whole, "low": lambda v: is_whole(v) and v < MOST_BITS},
    "conv": {
        **dict.fromkeys(["strides", "base", "dilation"], _wholes),
        **dict.fromkeys(["low", "high"], _offsets),
        "groups": is_whole,
    },
}


def _within(v: Any) -> bool:
    return isinstance(v, list | tuple) and len(v) == 2 and all(is_number(x) for x in v) and bool(v[0] <= v[1])


OPTIONAL: dict[str, dict[str, Check]] = {
    "assume": {"why": _text},
    "div": {"within": _within, "why": _text},
    "floor": {"estimate": _flag},
}

_TWO = "add sub mul maximum minimum compare matmul conv div lt eq and or xor"
OPERANDS: dict[str, range] = {
    "const": range(1),
    "select": range(3, 4),
    "scan": range(1 << 16),
    "concat": range(1, 1 << 16),
    "weigh": range(1, 1 << 10),
    "dynamic_slice": range(1, MAX_AXES + 2),
    "dynamic_update": range(2, MAX_AXES + 3),
    **dict.fromkeys(["lookup", "spread"], range(2, 5)),
    **dict.fromkeys(["order", "shuffle"], range(1, 1 << 10)),
    **dict.fromkeys(["arrange", "restore", "fill"], range(2, 1 << 10)),
    **dict.fromkeys(_TWO.split(), range(2, 3)),
}


def check_eqn(eqn: Eqn, ins: Sequence[Aval]) -> None:
    """Raise DataError unless the equation has the operands and parameters of its operation, exactly."""
    if len(ins) not in OPERANDS.get(eqn.op, range(1, 2)):
        raise DataError(f"{eqn.op} does not take {len(ins)} operands")
    required = PARAMS.get(eqn.op, {})
    wanted = {**required, **{k: v for k, v in OPTIONAL.get(eqn.op, {}).items() if k in eqn.params}}
    if set(eqn.params) != set(wanted):
        extra, missing = sorted(set(eqn.params) - set(wanted)), sorted(set(required) - set(eqn.params))
        raise DataError(f"{eqn.op}: parameters missing {missing}, not known {extra}")
    for key, check in wanted.items():
        if not check(eqn.params[key]):
            raise DataError(f"{eqn.op}: parameter {key!r} is malformed")
    if "shape" in wanted:
        check_shape(eqn.params["shape"])


def check_shape(shape: Sequence[int]) -> None:
    """Raise ShapeError for more axes or elements than any array here may have."""
    if len(shape) > MAX_AXES or math.prod(int(s) for s in shape) > MAX_ELEMENTS:
        raise ShapeError(f"shape {tuple(shape)[:8]} is larger than any array may be")


def check_input(name: str, aval: Aval) -> None:
    """Raise DataError unless an input is described as inputs are."""
    if not (_name(name) and INPUT_NAME.fullmatch(name)):
        raise DataError(
            f"the input name {name[:64]!r} is malformed: 1 to 128 printable characters without spaces"
        )
    if aval.kind not in ("int", "fixed", "bool") or not all(is_whole(s) for s in aval.shape):
        raise DataError(f"input {name!r}: kind or shape is malformed")
    check_shape(aval.shape)
    if not (is_number(aval.lo) and is_number(aval.hi) and aval.lo <= aval.hi):
        raise DataError(f"input {name!r}: the bound [{aval.lo}, {aval.hi}] is empty or not finite")
    if aval.kind == "bool" and (aval.lo, aval.hi) != (0, 1):
        raise DataError(f"input {name!r}: truth values lie in [0, 1]")
