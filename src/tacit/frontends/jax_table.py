"""The page docs/operations.md: every JAX primitive with its bound and its price, made from the tables themselves.

`python -m tacit.frontends.jax_table` prints it; a test compares it with the committed page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array.analyse import nowhere
from tacit.array.interpret import Trace
from tacit.array.ops import table
from tacit.array.program import Aval, Program
from tacit.array.ranges import secret_steps
from tacit.array.runtime import Format, Runtime, Value
from tacit.core.cost import CostModel
from tacit.declare import conditioned
from tacit.frontends.jax import RULES, trace_jax
from tacit.frontends.jax_flat import CALLS
from tacit.frontends.jax_refused import REMEDIES

PARTIES = ("alice", "bob", "carol")
FORMAT = Format(64, 16)
N = 4096
# Shapes and ranges of the examples: x and y vectors, k whole numbers, b truth values, m and w matrices, e small ones.
SPECS = {
    "x": Aval((N,), "fixed", -8, 8),
    "y": Aval((N,), "fixed", 1, 8),
    "k": Aval((N,), "int", 0, 100),
    "b": Aval((N,), "bool", 0, 1),
    "m": Aval((64, 64), "fixed", -8, 8),
    "w": Aval((64, 64), "fixed", -1, 1),
    "e": Aval((64, 8, 8), "fixed", -8, 8),
}
PICK = np.arange(0, 64, 2)
Example = Callable[..., Any]


def _pool(m: Any) -> Any:
    return lax.reduce_window(m, -np.inf, lax.max, (2, 2), (2, 2), "VALID").sum()


def _loop(m: Any) -> Any:
    return lax.scan(lambda c, r: (c + r * r, None), jnp.zeros(64), m)[0]


GROUPS: dict[str, dict[str, Example]] = {
    "Arithmetic": {
        "add": lambda x, y: x + y,
        "sub": lambda x, y: x - y,
        "neg": lambda x: -x,
        "mul": lambda x, y: x * y,
        "square": lambda x: lax.square(x),
        "integer_pow": lambda x: lax.integer_pow(x, 3),
        "pow": lambda y: lax.pow(y, 1.5),
        "div": lambda x, y: x / y,
        "rem": lambda k: lax.rem(k, jnp.full(N, 7)),
        "divmod": lambda k: jnp.add(*jnp.divmod(k, 8)),
        "floor_divide": lambda k: k // 7,
        "remainder": lambda k: k % 8,
        "dot_general": lambda m, w: m @ w,
    },
    "Linear algebra": {
        "triangular_solve": lambda e: lax.linalg.triangular_solve(
            conditioned(e, 0.5), jnp.ones((64, 8, 1)), left_side=True
        ),
        "cholesky": lambda e: lax.linalg.cholesky(conditioned(e, 0.5, definite=True)),
        "custom_linear_solve": lambda e: jnp.linalg.solve(conditioned(e, 0.5), jnp.ones((64, 8, 1))),
        "lu": lambda e: lax.linalg.lu(conditioned(e, 0.5))[0],
        "qr": lambda e: jnp.linalg.qr(conditioned(e, 0.5))[1],
        "eigh": lambda e: jnp.linalg.eigvalsh(e),
        "svd": lambda e: jnp.linalg.svd(e, compute_uv=False),
    },
    "Order": {
        "sort": lambda x: jnp.sort(x),
        "top_k": lambda x: lax.top_k(x, 10)[0],
    },
    "Functions": {
        "sqrt": lambda y: lax.sqrt(y),
        "rsqrt": lambda y: lax.rsqrt(y),
        "exp": lambda x: lax.exp(x),
        "exp2": lambda x: lax.exp2(x),
        "expm1": lambda x: lax.expm1(x),
        "sinh": lambda x: lax.sinh(x),
        "cosh": lambda x: lax.cosh(x),
        "log": lambda y: lax.log(y),
        "log1p": lambda y: lax.log1p(y),
        "logistic": lambda x: lax.logistic(x),
        "tanh": lambda x: lax.tanh(x),
        "sin": lambda x: lax.sin(x),
        "cos": lambda x: lax.cos(x),
        "tan": lambda x: lax.tan(lax.clamp(-1.25, x, 1.25)),
        "atan": lambda x: lax.atan(x),
        "atan2": lambda x, y: lax.atan2(x, y),
        "erf": lambda x: lax.erf(x),
        "erfc": lambda x: lax.erfc(x),
        "cbrt": lambda y: lax.cbrt(y),
        "asin": lambda w: lax.asin(w),
        "acos": lambda w: lax.acos(w),
        "asinh": lambda x: lax.asinh(x),
        "acosh": lambda y: lax.acosh(y),
        "atanh": lambda x: lax.atanh(x / 9),
        "erf_inv": lambda x: lax.erf_inv(x / 9),
        "lgamma": lambda y: lax.lgamma(y),
        "digamma": lambda y: lax.digamma(y),
        "abs": lambda x: lax.abs(x),
        "sign": lambda x: lax.sign(x),
        "floor": lambda x: lax.floor(x),
        "ceil": lambda x: lax.ceil(x),
        "round": lambda x: lax.round(x),
    },
    "Comparison and logic": {
        "lt": lambda x, y: x < y,
        "le": lambda x, y: x <= y,
        "lt_to": lambda x, y: lax.lt_to_p.bind(x, y),
        "le_to": lambda x, y: lax.le_to_p.bind(x, y),
        "gt": lambda x, y: x > y,
        "ge": lambda x, y: x >= y,
        "eq": lambda x, y: x == y,
        "ne": lambda x, y: x != y,
        "max": lambda x, y: lax.max(x, y),
        "min": lambda x, y: lax.min(x, y),
        "clamp": lambda x: lax.clamp(-1.0, x, 1.0),
        "and": lambda b, x: b & (x > 0),
        "or": lambda b, x: b | (x > 0),
        "xor": lambda b: b ^ b[::-1],
        "not": lambda b: ~b,
        "shift_left": lambda k: k << 3,
        "shift_right_arithmetic": lambda k: k >> 3,
        "shift_right_logical": lambda k: lax.shift_right_logical(k, jnp.full(N, 3)),
        "population_count": lambda k: lax.population_count(k),
        "clz": lambda k: lax.clz(k),
        "select_n": lambda b, x, y: lax.select_n(b, x, y),
        "convert_element_type": lambda b: b.astype(float),
    },
    "Reductions": {
        "reduce_sum": lambda m: m.sum(0),
        "reduce_max": lambda m: m.max(0),
        "reduce_min": lambda m: m.min(0),
        "reduce_prod": lambda m: (m[:4] / 8).prod(0),
        "reduce_and": lambda b: lax.reduce_and(b.reshape(64, 64), (0,)),
        "reduce_or": lambda b: lax.reduce_or(b.reshape(64, 64), (0,)),
        "reduce_xor": lambda b: lax.reduce_xor(b.reshape(64, 64), (0,)),
        "argmax": lambda m: lax.argmax(m, 0, np.int64),
        "argmin": lambda m: lax.argmin(m, 0, np.int64),
        "cumsum": lambda m: lax.cumsum(m),
        "cumprod": lambda w: lax.cumprod(w),
        "cummax": lambda m: lax.cummax(m),
        "cummin": lambda m: lax.cummin(m),
    },
    "Movement": {
        "broadcast_in_dim": lambda x: lax.broadcast(x, (2,)),
        "reshape": lambda x: x.reshape(64, 64),
        "squeeze": lambda m: lax.squeeze(m[None], (0,)),
        "transpose": lambda m: m.T,
        "slice": lambda m: m[1:9, ::2],
        "split": lambda m: jnp.split(m, 2)[1],
        "rev": lambda x: x[::-1],
        "concatenate": lambda x, y: jnp.concatenate([x, y]),
        "pad": lambda m: jnp.pad(m, 1),
        "dynamic_slice": lambda m: lax.dynamic_slice(m, (1, 2), (8, 8)),
        "dynamic_update_slice": lambda m, w: lax.dynamic_update_slice(m, w[:8], (1, 0)),
        "gather": lambda m: m[PICK],
        "scatter": lambda m, w: m.at[PICK].set(w[:32]),
        "scatter-add": lambda m, w: m.at[PICK].add(w[:32]),
        "scatter-sub": lambda m, w: m.at[PICK].subtract(w[:32]),
        "scatter-max": lambda m, w: m.at[PICK].max(w[:32]),
        "scatter-min": lambda m, w: m.at[PICK].min(w[:32]),
        "scatter-mul": lambda m, w: m.at[PICK].mul(w[:32]),
    },
    "Windows": {
        "conv_general_dilated": lambda x, w: lax.conv(
            x.reshape(1, 4, 32, 32), w[:4, :36].reshape(4, 4, 3, 3), (1, 1), "SAME"
        ),
        "reduce_window_sum": lambda m: lax.reduce_window(m, 0.0, lax.add, (2, 2), (2, 2), "VALID"),
        "reduce_window_max": lambda m: lax.reduce_window(m, -np.inf, lax.max, (2, 2), (2, 2), "VALID"),
        "reduce_window_min": lambda m: lax.reduce_window(m, np.inf, lax.min, (2, 2), (2, 2), "VALID"),
        "reduce_window": lambda b: lax.reduce_window(b, False, lax.bitwise_or, (2,), (2,), "VALID"),
        "select_and_scatter_add": lambda m: jax.grad(_pool)(m),
        "select_and_gather_add": lambda m, w: jax.jvp(_pool, (m,), (w,))[1],
    },
    "Control": {
        "scan": _loop,
        "while": lambda m: lax.while_loop(lambda s: s[0] < 64, lambda s: (s[0] + 1, s[1] * 0.5), (0, m))[1],
        "cond": lambda x, m: lax.cond(x[0] > 0, lambda v: v, lambda v: -v, m),
    },
}

MEASURED = "2 units for each row, times the size over the least singular value"
MEASURED_VALUES = "12 units, or 10 for each row"
# Composed functions, in units of the last place; r is the result. tests/unit/test_functions.py sweeps the first ones.
BOUNDS = {
    **dict.fromkeys(["triangular_solve", "cholesky", "custom_linear_solve", "lu", "qr"], MEASURED),
    "eigh": f"{MEASURED}; eigenvalues {MEASURED_VALUES}",
    "svd": f"{MEASURED_VALUES} for values that are not small",
    "logistic": "4 units",
    "tanh": "6 units",
    "integer_pow": "1 unit for each product, times the later factors",
    "pow": "1 unit for each product or root, times the later factors",
    "exp2": "as exp, and 1 unit of the argument",
    "expm1": "as exp",
    **dict.fromkeys(["rem", "divmod", "floor_divide", "remainder"], "exact"),
    **dict.fromkeys(["asin", "acos"], "6 units"),
    **dict.fromkeys(["asinh", "acosh", "erf_inv"], "8 units"),
    "atanh": "4 units",
    "lgamma": "24 units, and 4 for each one of the argument",
    "digamma": "24 units, and 2^-18 over the argument",
    **dict.fromkeys(
        ["shift_left", "shift_right_arithmetic", "shift_right_logical", "population_count", "clz"],
        "exact",
    ),
    "sin": "4 units, and 2^-52 of the argument",
    "cos": "4 units, and 2^-52 of the argument",
    "tan": "4 units, times 1 + r²",
    "atan": "4 units",
    "atan2": "4 units",
    "erf": "6 units",
    "erfc": "6 units",
    "cbrt": "4 units, and 2 for each one of r",
    "sinh": "as exp",
    "cosh": "as exp",
    "log1p": "as log",
    "reduce_prod": "1 unit for each product, times the later factors",
    "cumprod": "1 unit for each product, times the later factors",
    "scan": "as the body",
    "while": "as the body",
}
FREE = (
    *("expand_dims", "stack", "unstack", "tile", "copy", "copy_p", "device_put", "stop_gradient", "real"),
    *("reduce_precision", "optimization_barrier", "name", "add_any"),
)
NOTES = {
    **dict.fromkeys(["triangular_solve", "custom_linear_solve", "lu", "qr"], "tacit.conditioned(a, least=…)"),
    "cholesky": "tacit.conditioned(a, least=…, definite=True), or x.T @ x and a multiple of the identity",
    "eigh": "symmetric; the entry of largest size of a vector is positive",
    "svd": "values of any matrix; vectors by tacit.conditioned(a, least=…)",
    "pow": "known exponents that are multiples of one half; any other, also a secret one, of a positive base, as exp",
    **dict.fromkeys(["asin", "acos"], "range within [−1, 1]"),
    **dict.fromkeys(["atanh", "erf_inv"], "range within (−1, 1)"),
    "acosh": "range of at least 1",
    **dict.fromkeys(["lgamma", "digamma"], "positive range"),
    "shift_left": "by a public number of places, a loop's counter, too; by a known one, of uint8 to uint32, what "
    "leaves the type is dropped",
    "shift_right_arithmetic": "by a public number of places, a loop's counter, too",
    "shift_right_logical": "by a public number of places, a loop's counter, too; no negative range",
    **dict.fromkeys(["population_count", "clz"], "no negative range"),
    "div": "the divisor's range must exclude zero; exact on whole numbers, up to 2^52",
    "divmod": "by a known divisor, here 8; any other is `div` and `rem`",
    "floor_divide": "by a known divisor, `//`; any other is `div` and `rem`",
    "remainder": "by a known divisor, `%`, here 8: powers of two take bits alone; any other is `rem`",
    "rem": "the divisor's range must exclude zero; a known float divisor is a multiple of 2^-16",
    "sin": "argument up to 2^20",
    "cos": "argument up to 2^20",
    "tan": "range between two poles, 1/16 away from each",
    "atan2": "one of the ranges must exclude zero",
    "erf": "beyond 6 it stays what it is at 6",
    "erfc": "beyond 6 it stays what it is at 6",
    "cbrt": "range of at least 2^-16, or of at most −2^-16",
    "sqrt": "no negative range",
    "rsqrt": "positive range",
    "log": "positive range",
    "log1p": "range above −1",
    "dynamic_slice": (
        "index known or public in a loop; secret, it is a look-up among all places of the window, of long ones a shift "
        "by its bits"
    ),
    "dynamic_update_slice": (
        "index known or public in a loop; secret, it is two sums by index, or for long windows a shift by its bits"
    ),
    "gather": "index known or public in a loop; by a secret one see below",
    "scatter": "index known or public in a loop; by secret ones up to 64 updates one after the other, or updates x "
    "places up to 2^20",
    "scatter-sub": "as scatter-add",
    "scatter-add": "index known or public in a loop; by a secret one see below",
    "scatter-max": "index known; by a secret one updates x places up to 2^20",
    "scatter-min": "index known; by a secret one updates x places up to 2^20",
    "scatter-mul": "index known; by a secret one updates x places up to 2^20",
    "scan": "fixed length; here the squares of 64 rows, added up all at once",
    "while": "only if the number of iterations follows from constants; here 64 halvings, all at once",
    "cond": "on a secret both branches run, then a selection",
    "conv_general_dilated": "all layouts, strides, paddings, dilations and groups; here 4 features to 4, 3 × 3 taps",
    "reduce_window_sum": "here 2 × 2, no overlap",
    "reduce_window_max": "here 2 × 2, no overlap; of equal elements the first counts",
    "reduce_window_min": "here 2 × 2, no overlap; of equal elements the first counts",
    "reduce_window": "add, mul, max, min; and, or of truth values; initial value known while tracing",
    "select_and_scatter_add": "with the maximum itself, whose comparisons it uses",
    "select_and_gather_add": "with the maximum itself, whose comparisons it uses",
    "argmax": "one axis",
    "argmin": "one axis",
    "round": "both rounding methods",
    "convert_element_type": "bool to int to float is exact; float to int rounds toward zero",
    **dict.fromkeys(
        ["reduce_and", "reduce_or", "reduce_xor"], "truth values; whole numbers bit by bit, exactly, in pairs"
    ),
    **dict.fromkeys(["and", "or", "xor", "not"], "truth values; whole numbers bit by bit, exactly"),
}


class _Counter(CostModel):
    """The cost model, counting messages too, in one place for all rings that it is taken over."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.tally: Counter[str] = Counter()

    @property
    def messages(self) -> int:
        """How many there were."""
        return self.tally["messages"]

    def _exchange(self, call: Any) -> None:
        self.tally["messages"] += sum(map(len, call.waves))
        super()._exchange(call)


@dataclass(frozen=True, slots=True)
class Row:
    """One primitive: its bound, and what one call on the example costs."""

    name: str
    bound: str
    rounds: int
    bits: float
    messages: int
    note: str


def record(function: Example, specs: Mapping[str, Aval] = SPECS) -> Program:
    """Trace an example on secret parameters named like its arguments."""
    trace = Trace()
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    out = trace_jax(function, [trace.parameter(specs[n]) for n in names])
    return trace.program([out])


def _priced(program: Program) -> _Counter:
    model = _Counter("rep3", protocols.load("rep3").cards, nowhere(PARTIES), Ring(FORMAT.width))
    values = [
        Value(i.aval, None, model.constant_bits(np.zeros(i.aval.shape, np.uint8))) for i in program.inputs
    ]
    Runtime(model, FORMAT, PARTIES).block(program, values)
    return model


def measure(name: str, function: Example) -> Row:
    """Price one example on rep3 with 64-bit shares."""
    program = record(function)
    model = _priced(program)
    bits = 8 * model.cost.total_bytes / len(PARTIES) / N
    return Row(name, bound(name, program), model.cost.rounds, bits, model.messages, NOTES.get(name, ""))


def bound(name: str, program: Program) -> str:
    """State the error: from the op table for one operation, else from the list of composed functions."""
    if name in BOUNDS:
        return BOUNDS[name]
    found = set()
    for step in secret_steps(program):
        error = table()[step.eqn.op].error
        if error is not None:
            k, f = FORMAT.width, FORMAT.frac_bits
            absolute, relative = error(step.ins, step.outs, step.eqn.params, k, f)
            if absolute or relative:
                found.add((round(absolute * 2.0**f, 2), relative))
    if not found:
        return "exact"
    absolute, relative = max(found)
    return f"{absolute:g} unit{'s' if absolute != 1 else ''}" + (
        f" + {relative:.1e} of r" if relative else ""
    )


HEAD = f"""# Operations

What a function of `jax.numpy` may use on secrets. JAX turns the function into primitives; each row is one. This page
is made from the tables that do the work: `python -m tacit.frontends.jax_table > docs/operations.md`.

The bound is on the difference from the exact result of the operation's own operands, in units of the last place
(2^-16 with 16 fractional bits); r is the result. Costs are one call's on `rep3` with {FORMAT},
on {N} elements (a matrix is 64 × 64; in linear algebra there are 64 of 8 × 8) that lie within [-8, 8], or within
[1, 8] where the operation asks for positive values: rounds, bits that each party sends per element, and messages
over all links. Tighter ranges cost less. Values that are public, or that one owner has, cost nothing: they are
computed in the clear where they are known.

Ranges follow from the owners' bounds. What you know besides, say where the value is used:
`x = tacit.assume(x, lo, hi)` for values, and for matrices `a = tacit.conditioned(a, least=0.1)`, no singular value of
`a` is below 0.1 (with `definite=True`, `a` is symmetric and no eigenvalue is). `x.T @ x + 0.1 * jnp.eye(p)` says so by
itself. Linear algebra keeps to what its ranges allow from there; docs/decisions/0054 says by which methods.
"""


def _secret_lines() -> list[str]:
    """Price look-ups and sums by a secret index."""
    index = Aval((64,), "int", 0, N - 1)
    cases: dict[str, Example] = {
        "`x[k]`, x secret": lambda x, k: x[k],
        "`x[k]`, x public": lambda k: jnp.asarray(np.linspace(-1, 1, N))[k],
        "`x.at[k].add(y)`": lambda x, k, y: x.at[k].add(y[:64]),
        "`dynamic_slice(x, k[0], 64)`": lambda x, k: lax.dynamic_slice(x, (k[0],), (64,)),
    }
    lines = [
        "An index that one party or nobody knows is turned into bits, one of which is set: of its high and of its low",
        f"part, so that a table of n rows takes about 2√n of them. Exact. Here 64 of them, x of {N} elements:",
        "",
        "| | rounds | bytes in all |",
        "|---|--:|--:|",
    ]
    for name, function in cases.items():
        model = _priced(record(function, {**SPECS, "k": index}))
        lines.append(f"| {name} | {model.cost.rounds} | {model.cost.total_bytes:,} |")
    return lines


def page() -> str:
    """Return the page."""
    lines = [HEAD]
    for title, examples in GROUPS.items():
        lines += [
            f"## {title}",
            "",
            "| primitive | bound | rounds | bits | messages | |",
            "|---|---|--:|--:|--:|---|",
        ]
        for name, function in examples.items():
            r = measure(name, function)
            lines.append(f"| `{name}` | {r.bound} | {r.rounds} | {r.bits:.4g} | {r.messages} | {r.note} |")
        lines.append("")
    lines += ["## Secret indices", "", *_secret_lines(), ""]
    lines += [
        "## Free",
        "",
        "No message and no rounding: "
        + ", ".join(f"`{n}`" for n in FREE)
        + ". `is_finite` is true of every secret.",
        "Calls are followed inside: "
        + ", ".join(f"`{n}`" for n in sorted(CALLS))
        + "; so `jit`, `vmap`, `grad`,",
        "`jacobian`, `hessian`, `jvp` and `checkpoint` work on what the tables hold.",
        "",
        "## Refused",
        "",
        "Each is refused while tracing, with its name and the line that uses it. So is every primitive that this",
        "page does not list.",
        "",
        "| primitive | instead |",
        "|---|---|",
        "| whether an index may leave the array, where JAX answers NaN | declare the index's bound, or mode='clip' |",
        "| complex numbers | keep real and imaginary parts apart |",
        *(f"| `{n}` | {REMEDIES[n]} |" for n in sorted(REMEDIES)),
    ]
    return "\n".join(lines) + "\n"


def listed() -> set[str]:
    """Return every primitive that the page says is supported."""
    return {n for g in GROUPS.values() for n in g} | set(FREE) | {"is_finite"}


def rules() -> set[str]:
    """Return every primitive that has a rule."""
    return set(RULES)


if __name__ == "__main__":
    print(page(), end="")
