"""Random small programs, made by hypothesis from the array functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tacit.array import functions as fn
from tacit.array import order as od
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Aval, Program
from tacit.array.secret import SecretArray
from tacit.errors import UsageError

Build = Callable[[Any, list[SecretArray]], SecretArray]


def _any(draw: Any, live: list[SecretArray], *kinds: str) -> SecretArray:
    fitting = [a for a in live if a.dtype in kinds]
    return fitting[draw(st.integers(0, len(fitting) - 1))]


def _number(draw: Any, live: list[SecretArray]) -> SecretArray:
    return _any(draw, live, "fixed", "int")


def _small(x: SecretArray, reach: float = 50.0) -> SecretArray:
    """Bring a value back to where the next operation cannot overflow."""
    return x if x.aval.magnitude <= reach else fn.clip(x, -int(reach), int(reach))


def _scan(draw: Any, live: list[SecretArray]) -> SecretArray:
    x = _small(fn.astype(_number(draw, live), "fixed"))
    trace = x.context
    body = Trace()
    carry = body.parameter(Aval((), "fixed", 0, 0))
    row = body.parameter(Aval((), "fixed", x.aval.lo, x.aval.hi, x.aval.where))
    new = fn.clip(carry * 0.5 + row, -60, 60)
    program = body.program([new, fn.square(new)])
    flat = fn.reshape(x, (-1,))
    start = trace.const(0.0)
    params = {
        "n_consts": 0,
        "n_carry": 1,
        "length": flat.shape[0],
        "reverse": draw(st.booleans()),
        "body": program,
    }
    final, _rows = trace.bind("scan", [start, flat], params)
    return final


def _conv(draw: Any, live: list[SecretArray]) -> SecretArray:
    x, w = (fn.reshape(_small(_number(draw, live)), (1, 1, -1)) for _ in range(2))
    pad, stride = draw(st.sampled_from([(1, 1), (2, -1), (0, 2)])), draw(st.integers(1, 2))
    params = {"strides": [stride], "low": [pad[0]], "high": [pad[1]], "base": [draw(st.integers(1, 2))]}
    made = x.context.bind("conv", [x, w[:, :, :2]], {**params, "dilation": [1], "groups": 1})
    return fn.reshape(made[0], (-1,))


def _lookup(draw: Any, live: list[SecretArray]) -> SecretArray:
    x = fn.reshape(_any(draw, live, "fixed", "int", "bool"), (1, -1, 1))
    at = fn.clip(_any(draw, live, "int"), 0, x.shape[1] - 1)
    return fn.reshape(x.context.bind("lookup", [x, fn.reshape(at, (1, -1))], {})[0], (-1,))


def _spread(draw: Any, live: list[SecretArray]) -> SecretArray:
    x = fn.reshape(_number(draw, live), (1, -1, 1))
    size = draw(st.integers(1, 6))
    at = fn.reshape(fn.clip(_any(draw, live, "int"), 0, size - 1), (1, -1))
    return fn.reshape(x.context.bind("spread", [x, at], {"size": size, "last": False})[0], (-1,))


STEPS: dict[str, Build] = {
    "conv": _conv,
    "lookup": _lookup,
    "spread": _spread,
    "add": lambda d, v: _number(d, v) + _small(_number(d, v)),
    "sub": lambda d, v: _small(_number(d, v)) - _number(d, v),
    "mul": lambda d, v: _small(_number(d, v)) * _small(_number(d, v)),
    "constant": lambda d, v: _small(_number(d, v)) * d(st.sampled_from([2, 0.5, -0.3, 1e-5, 7, 3e4])),
    "square": lambda d, v: fn.square(_small(_number(d, v))),
    "abs": lambda d, v: abs(_number(d, v)),
    "neg": lambda d, v: -_number(d, v),
    "less": lambda d, v: _number(d, v) < _number(d, v),
    "equal": lambda d, v: _any(d, v, "int") == 3,
    "and": lambda d, v: _any(d, v, "bool") & _any(d, v, "bool"),
    "or": lambda d, v: _any(d, v, "bool") | _any(d, v, "bool"),
    "not": lambda d, v: ~_any(d, v, "bool"),
    "where": lambda d, v: fn.where(_any(d, v, "bool"), _number(d, v), _number(d, v)),
    "maximum": lambda d, v: fn.maximum(_number(d, v), _number(d, v)),
    "minimum": lambda d, v: fn.minimum(_number(d, v), 3),
    "sum": lambda d, v: fn.sum(_small(_number(d, v)), 0),
    "mean": lambda d, v: fn.mean(_small(_number(d, v))),
    "max": lambda d, v: fn.max(_number(d, v), 0),
    "cumsum": lambda d, v: fn.cumulative_sum(_small(_number(d, v)), 0),
    "exp": lambda d, v: fn.exp(_small(_number(d, v), 4.0)),
    "log": lambda d, v: fn.log(fn.maximum(abs(_number(d, v)), 0.125)),
    "sqrt": lambda d, v: fn.sqrt(abs(_number(d, v))),
    "rsqrt": lambda d, v: fn.rsqrt(fn.maximum(_number(d, v), 0.25)),
    "divide": lambda d, v: _small(_number(d, v)) / fn.maximum(_number(d, v), 0.5),
    "sigmoid": lambda d, v: fn.sigmoid(_small(_number(d, v))),
    "floor": lambda d, v: fn.floor(_number(d, v)),
    "convert": lambda d, v: fn.astype(_any(d, v, "bool", "int"), "fixed"),
    "flip": lambda d, v: fn.flip(_number(d, v)),
    "rows": lambda d, v: _number(d, v)[[1, 0, 1]],
    "slice": lambda d, v: _number(d, v)[1:],
    "stack": lambda d, v: fn.concat([_number(d, v), _number(d, v)]),
    "outer": lambda d, v: fn.sum(fn.outer(_small(_number(d, v)), _small(_number(d, v))), 1),
    "sort": lambda d, v: od.sort(_number(d, v), descending=d(st.booleans())),
    "argsort": lambda d, v: od.argsort(_any(d, v, "int", "bool")),
    "median": lambda d, v: od.median(_number(d, v)),
    "arrange": lambda d, v: od.arrange(od.order(_any(d, v, "int", "bool")), _number(d, v))[0],
    "restore": lambda d, v: od.restore(od.order(_any(d, v, "int", "bool")), _any(d, v, "bool"))[0],
    "fill": lambda d, v: od.fill(_any(d, v, "bool"), _number(d, v))[0],
    "scan": _scan,
}


@st.composite
def programs(draw: Any, most: int = 6) -> Program:
    """Draw a program of up to `most` random steps over three inputs of three owners; all results are revealed."""
    trace = Trace()
    n = draw(st.integers(2, 4))
    live = [
        trace.input("x", "alice", (n,), "fixed", -8, 8),
        trace.input("k", "bob", (n,), "int", -5, 9),
        trace.input("b", "carol", (n,), "bool", 0, 1),
    ]
    # Sums with two owners' values are secret: the steps run on shares too, not only at an owner.
    live.append(live[0] + live[1])
    for name in draw(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=most)):
        try:
            live.append(STEPS[name](draw, live))
        except (UsageError, ValueError):
            continue  # shapes that do not fit, an axis that is gone: not every draw is a step
    for i, a in enumerate(live[3:]):
        reveal(a, why="test", name=f"r{i}")
    return trace.program()
