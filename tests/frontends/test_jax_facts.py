"""What the front end proves of extremes, constants and empty arrays, beside JAX in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax_shared import same, shared

from tacit.array.interpret import Trace, reveal
from tacit.array.ranges import fit
from tacit.errors import NotRealised, RangeError
from tacit.frontends.jax import trace_jax

rng = np.random.default_rng(12)
X = rng.uniform(-4, 4, (3, 3))
TIES = np.round(rng.uniform(-1, 1, (6, 3)))

OTHER_AXIS: dict[str, Callable[[Any], Any]] = {
    "column's maximum from rows": lambda x: jnp.exp(x - jnp.max(x, axis=0)[:, None]),
    "row's maximum from columns": lambda x: jnp.exp(x - jnp.max(x, axis=1)),
    "reshaped": lambda x: jnp.exp(x - jnp.max(x, axis=0).reshape(3, 1)),
    "broadcast": lambda x: jnp.exp(x - lax.broadcast_in_dim(jnp.max(x, axis=0), (3, 3), (0,))),
    "turned": lambda x: jnp.exp(x - lax.broadcast_in_dim(jnp.max(x, 0, keepdims=True), (3, 3), (0, 1)).T),
    "reversed": lambda x: jnp.exp(x - jnp.max(x, axis=0)[::-1]),
    "its own": lambda x: jnp.exp(x - jnp.max(x, axis=0)),
}


@pytest.mark.parametrize("name", OTHER_AXIS)
def test_a_maximum_beside_other_elements_proves_nothing(name: str) -> None:
    x = np.diag([4.0, 0.5, -4.0])  # differences of both signs
    same(OTHER_AXIS[name], [x], atol=0.05)


GRADIENTS: dict[str, Callable[[Any], Any]] = {
    "max": lambda x: jax.grad(lambda v: jnp.max(v) ** 2)(x),
    "max of columns": lambda x: jax.grad(lambda v: (jnp.max(v, axis=0) ** 2).sum())(x),
    "min of rows": lambda x: jax.grad(lambda v: (jnp.min(v, axis=1) ** 2).sum())(x),
    "keepdims": lambda x: jax.grad(lambda v: (v - jnp.max(v, axis=0, keepdims=True)).sum())(x),
    "forward": lambda x: jax.jvp(lambda v: jnp.max(v, axis=0), (x,), (x * 0.5,))[1],
    "ptp": lambda x: jax.grad(lambda v: jnp.ptp(v, axis=0).sum())(x),
    "cummax": lambda x: jax.jvp(lambda v: lax.cummax(v, 0), (x,), (x * 0.5,))[1],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_extremes_with_ties(name: str) -> None:
    same(GRADIENTS[name], [TIES])


SHARED: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: jax.grad(lambda v: (jnp.maximum(v, 0) ** 2).sum())(x),
    "of two": lambda x: jax.grad(lambda v: (jnp.maximum(v, v[::-1]) * jnp.arange(3.0)).sum())(x),
    "minimum": lambda x: jax.grad(lambda v: jnp.minimum(v, 0.5).sum())(x),
    "any two numbers": lambda x: (x > 0).astype(x.dtype) / jnp.where(x > 1, -3.0, 0.25),
    "a number over two": lambda x: (x + 2) / jnp.where(x > 0, 2.0, 1.0),
}


@pytest.mark.parametrize("name", SHARED)
def test_a_truth_value_over_one_of_two_numbers_takes_no_division(name: str) -> None:
    """Nor does the gradient of a maximum, which JAX shares between equal operands by dividing by 2."""
    same(SHARED[name], [TIES])
    trace = Trace()
    trace_jax(SHARED[name], (trace.input("x", "alice", TIES.shape, "fixed", -1, 1),))
    assert ("div" in {e.op for e in trace.program().eqns}) == (name == "a number over two")


ONE_FOR_ALL: dict[str, Callable[[Any], Any]] = {
    "one or zero": lambda x: lax.select(x[0, 0] > 0, jnp.ones(3), jnp.zeros(3)),
    "numbers": lambda x: lax.select(x[0, 0] > 0, jnp.full(3, 2.0), jnp.full(3, 4.0)),
    "quotient": lambda x: (
        (x[0] > 0).astype(x.dtype) / lax.select(x[0, 0] > 0, jnp.full(3, 2.0), jnp.full(3, 4.0))
    ),
    "arrays": lambda x: lax.select(x[0, 0] > 0, x, jnp.zeros_like(x)),
}


@pytest.mark.parametrize("name", ONE_FOR_ALL)
def test_one_truth_value_selects_for_all_elements(name: str) -> None:
    same(ONE_FOR_ALL[name], [TIES])


ONE_BESIDE_MANY: dict[str, Callable[[Any], Any]] = {
    "and": lambda x: ((x[0, 0] > 0) & (x[0] > -9), (x[0] > -9) & (x[0, 0] > 0), (x[0] > 9) & (x[0, 0] > 0)),
    "or": lambda x: ((x[0, 0] > 0) | (x[0] > 9), (x[0] > 9) | (x[0, 0] > 0), (x[0] > -9) | (x[0, 0] > 0)),
    "power": lambda x: (jnp.abs(x[0, 0]) ** jnp.ones(3), jnp.abs(x[0, 0]) ** jnp.full(3, 1.5)),
    "extremes": lambda x: (
        jnp.maximum(x[0, 0], jnp.full(3, -jnp.inf)),
        jnp.minimum(jnp.full(3, jnp.inf), x[0, 0]),
    ),
}


@pytest.mark.parametrize("name", ONE_BESIDE_MANY)
def test_one_number_beside_an_array_that_changes_nothing(name: str) -> None:
    """The result has the array's shape, whichever operand it is."""
    same(ONE_BESIDE_MANY[name], [TIES])


EMPTY: dict[str, Callable[[Any], Any]] = {
    "functions": lambda x: (
        jnp.arctanh(x),
        jax.scipy.special.erfinv(x),
        jnp.sin(x),
        jax.scipy.special.gammaln(x + 2),
    ),
    "division": lambda x: (1 / x, x / x, jnp.log(x), jnp.sqrt(x), x**-1.5),
    "order": lambda x: (jnp.sort(x, 1), jnp.cumsum(x, 0), jnp.argsort(x, 1), lax.cummax(x, 1)),
    "products": lambda x: (x @ jnp.ones((3, 2)), jnp.outer(x, x)),
}


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
@pytest.mark.parametrize("name", EMPTY)
def test_empty_arrays(name: str, shape: tuple[int, ...]) -> None:
    same(lambda x: EMPTY[name](x), [np.zeros(shape)], lo=-0.5, hi=0.5)


NOT_FINITE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "where": (lambda x: jnp.where(x > 0, x, jnp.nan), "'select_n'"),
    "product": (lambda x: x * jnp.inf, "'mul'"),
    "table": (lambda x: x + jnp.array([1.0, -jnp.inf, 2.0]), "'add'"),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_constant_that_is_no_number_is_refused_by_operation_line_and_remedy(name: str) -> None:
    function, words = NOT_FINITE[name]
    with pytest.raises(
        RangeError,
        match=f"test_jax_facts.py:[0-9]+: jax primitive {words} meets .*NaN or infinite.*use a finite",
    ):
        shared(function, [X])


def test_attention_and_softmax_along_moved_axes() -> None:
    q, k, v = (rng.uniform(-2, 2, (1, 4, 2, 3)) for _ in range(3))
    same(lambda q, k, v: jax.nn.dot_product_attention(q, k, v), [q, k, v])
    moved = {
        "mapped": lambda x: jax.vmap(jax.nn.softmax, in_axes=1, out_axes=1)(x),
        "turned": lambda x: jnp.exp(x.T - jnp.max(x, axis=0)[:, None]),
        "of rows": lambda x: jax.nn.softmax(x[None], axis=(0, 2)),
    }
    for f in moved.values():
        # 64 bits hold this only because no exponent is positive.
        same(f, [rng.uniform(-40, 40, (3, 3))], lo=-40, hi=40)


XP, FP = np.array([-3.0, -1.0, 0.0, 2.0, 3.5]), np.array([1.0, 2.0, -1.0, 5.0, 4.0])
INTERPOLATED: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "known": (lambda x: jnp.interp(x, XP, FP), [X]),
    "ends": (lambda x: jnp.interp(x, XP, FP, left=-7.0, right=9.0), [X]),
    "extrapolated": (lambda x: jnp.interp(x, XP, FP, left="extrapolate", right="extrapolate"), [X]),
    "secret values": (lambda x, f: jnp.interp(x, XP, f), [X, FP / 2]),
    "mapped": (
        lambda x, f: jax.vmap(lambda a, b: jnp.interp(a, XP, b))(x, f),
        [X, np.stack([FP, -FP, FP / 2]) / 2],
    ),
    "gradient": (lambda x: jax.grad(lambda v: jnp.interp(v, XP, FP).sum())(x), [X]),
    "knots": (lambda x: jnp.interp(x, XP, FP), [XP]),
}


@pytest.mark.parametrize("name", INTERPOLATED)
def test_interpolation_between_known_knots(name: str) -> None:
    function, values = INTERPOLATED[name]
    same(function, values)


def test_interpolation_between_secret_knots_is_refused() -> None:
    with pytest.raises(RangeError, match=r"division by a value.*keep it away from zero"):
        shared(lambda x: jnp.interp(x, jnp.sort(x[0]), FP[:3]), [X])


def test_narrow_integers_do_not_leave_their_type() -> None:
    places = np.array([5, 9, 100])
    same(lambda k: jnp.uint8(200) - k.astype(jnp.uint8), [places])
    with pytest.raises(RangeError, match=r"'sub' may leave uint8, with values in .*convert to int64 first"):
        shared(lambda k: k.astype(jnp.uint8) - jnp.uint8(101), [places])
    with pytest.raises(RangeError, match="'mul' may leave int16"):
        shared(lambda k: k.astype(jnp.int16) * jnp.int16(400), [places])


def test_public_numbers_with_a_zero_among_them_over_a_secret() -> None:
    same(lambda x: (jnp.arange(3.0) / (x + 5), jax.grad(lambda v: (v / (1 + v**2)).sum())(x)), [X])


def test_refused_by_name() -> None:
    with pytest.raises(NotRealised, match="'while'"):
        shared(lambda x: lax.while_loop(lambda v: v.sum() > 0, lambda v: v - 1, x), [X])


SCORES = rng.uniform(-4, 4, (4, 4))
SCORES[:, 3] = -3.5  # a column of which x > 0 leaves nothing
LOWER = np.tri(4, 4) > 0


def masked(x: Any, far: float) -> Any:
    return jnp.where(x > 0, x, far)


MASKED: dict[str, Callable[[Any], Any]] = {
    "infinite": lambda x: jax.nn.softmax(jnp.where(LOWER, x, -jnp.inf)),
    "along columns": lambda x: jax.nn.softmax(jnp.where(LOWER, x, -jnp.inf), axis=0),
    "turned": lambda x: jax.nn.softmax(jnp.where(~LOWER, -jnp.inf, x).T),
    "the least float": lambda x: jax.nn.softmax(jnp.where(x > 0, x, jnp.finfo(jnp.float64).min)),
    "all masked": lambda x: jax.nn.softmax(jnp.where(x > 9, x, -1e300)),
    "causal attention": lambda x: jax.nn.dot_product_attention(*[x[None, :, None]] * 3, is_causal=True),
    "a maximum of some": lambda x: jnp.max(x, where=x > 0, initial=-9.0, axis=0),
    "a minimum of some": lambda x: jnp.min(x, where=x > 0, initial=9.0, axis=0),
    "from far": lambda x: [
        jnp.max(x, where=x > 0, initial=-1e6, axis=0),
        jnp.min(x, where=x > 0, initial=1e6, axis=0),
    ],
    "against an infinity": lambda x: jnp.maximum(jnp.max(x, where=x > 0, initial=-jnp.inf, axis=0), 0.0),
    "against numbers on both sides": lambda x: [
        jnp.maximum(masked(x, -jnp.inf), jnp.array([-1e5, -68.0, 1.0, -67.0])),
        jnp.minimum(masked(x, jnp.inf).min(0), jnp.array([1e5, 2.0, 1.0, 68.5])),
    ],
    "against a secret": lambda x: [
        jnp.maximum(masked(x, -jnp.inf).max(0), x[0]),
        jnp.minimum(x[0], masked(x, 1e300).min(0)),
    ],
    "where it is": lambda x: [
        jnp.argmax(masked(x, -jnp.inf), axis=0),
        jnp.argmin(masked(x, jnp.inf).T, axis=1),
        jnp.argmin(masked(x, jnp.inf).min(0)),
    ],
    "of what is known to be left": lambda x: [
        jnp.where(LOWER, x, -jnp.inf).max(0),
        jnp.where(LOWER, x, 1e300).T.min(0) + 1,
        jnp.min(x, where=LOWER, initial=jnp.inf, axis=1) * x[0],
    ],
    "the nearest of the others": lambda x: [
        f(jnp.where(jnp.eye(4, dtype=bool), jnp.inf, jnp.abs(x[:, :1] - x[:, 0])))
        for f in (jnp.min, jnp.argmin)
    ],
    "running": lambda x: [
        jnp.minimum(lax.cummin(masked(x, jnp.inf)), 1e5),
        jnp.maximum(lax.cummax(masked(x, -1e300), axis=1, reverse=True), x),
        lax.cummin(jnp.where(LOWER, x, jnp.inf), axis=1) * x,
        lax.cummax(jnp.where(LOWER.T, x, -jnp.inf), axis=1, reverse=True) + 1,
        lax.cummin(jnp.where(LOWER.T, x, jnp.inf))[3],
        lax.cummin(jnp.where(np.arange(4) > 1, x, jnp.inf), axis=1)[:, 2:] + 1,
    ],
    "sorted": lambda x: [
        jnp.minimum(jnp.sort(masked(x, jnp.inf), axis=0), 50.0),
        jnp.maximum(jnp.sort(masked(x, -jnp.inf)), x),
        jnp.sort(jnp.where(np.arange(4) != 1, x, jnp.inf), axis=1)[:, :3] + 1,
        jnp.sort(jnp.where(np.arange(4) != 1, x, -jnp.inf), axis=1)[:, 1:] + 1,
        jnp.sort(jnp.where(np.arange(4) != 1, x, jnp.inf).T, axis=0)[:3],
        jnp.argsort(masked(x, jnp.inf), axis=0),
    ],
    "of groups": lambda x: [
        jax.ops.segment_max(x, np.array([0, 1, 0, 1]), 2) + 1,
        jnp.maximum(jax.ops.segment_max(x, np.array([0, 2, 0, 2]), 4), -9.0),
        jax.ops.segment_min(x, np.array([0, 2, 0, 2]), 3)[::2] + 1,
    ],
    "of secret groups": lambda x: [
        jnp.minimum(jax.ops.segment_min(x[0], (x[1] > 0).astype(int), 3), 9.0),
        jnp.maximum(jax.ops.segment_max(x[0], (x[1] > 0).astype(int), 2), x[0, :2]),
    ],
    "in a loop": lambda x: lax.scan(
        lambda c, r: (c, jax.nn.softmax(jnp.where(LOWER[2], r, -jnp.inf))), 0.0, x
    )[1],
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_places_on_their_way_to_where_they_do_not_count(name: str) -> None:
    same(MASKED[name], [SCORES])


LOOKED_AT: dict[str, Callable[[Any], Any]] = {
    "returned": lambda x: jnp.where(LOWER, x, -1e300),
    "added": lambda x: jnp.where(LOWER, x, -1e300) + 1,
    "carried": lambda x: lax.scan(lambda c, r: (c + r, None), jnp.zeros(4), jnp.where(LOWER, x, -1e300))[0],
    "less another maximum": lambda x: jnp.exp(
        jnp.where(LOWER, x, -1e300) - jnp.max(jnp.where(LOWER, x, -1e300), 0)[:, None]
    ),
    "perhaps all of them": lambda x: jax.nn.softmax(masked(x, -jnp.inf)),
    "the maximum alone": lambda x: jnp.max(masked(x, -jnp.inf), 0),
    "the maxima of columns, one masked": lambda x: jnp.max(jnp.where(np.arange(4) < 3, x, -jnp.inf), 0),
    "the maxima of rows, one masked": lambda x: jnp.max(jnp.where(np.arange(4) < 3, x, -jnp.inf).T, 1),
    "the minimum alone": lambda x: masked(x, jnp.inf).min(),
    "the other extreme": lambda x: jnp.max(masked(x, jnp.inf), initial=9.0),
    "running": lambda x: lax.cummin(masked(x, jnp.inf)),
    "the other extreme, running": lambda x: lax.cummax(masked(x, jnp.inf)) + 1,
    "running, none so far": lambda x: lax.cummin(jnp.where(LOWER, x, jnp.inf), axis=0) + 1,
    "sorted": lambda x: jnp.sort(masked(x, jnp.inf))[0] + 1,
    "sorted, one too many": lambda x: jnp.sort(jnp.where(np.arange(4) != 1, x, jnp.inf))[:, 1:] + 1,
    "sorted, not as many in each row": lambda x: jnp.sort(jnp.where(LOWER, x, jnp.inf))[:, :2] + 1,
    "of groups, one empty": lambda x: jax.ops.segment_max(x, np.array([0, 2, 0, 2]), 3) + 1,
    "of secret groups": lambda x: jax.ops.segment_max(x[0], (x[1] > 0).astype(int), 2),
    "sorted by others": lambda x: lax.sort((x, masked(x, jnp.inf)))[1],
    "where the other is": lambda x: jnp.argmin(masked(x, -jnp.inf), 0),
    "against a secret as far": lambda x: jnp.maximum(masked(x, -jnp.inf), x * 30),
    "against a mask": lambda x: jnp.maximum(masked(x, -jnp.inf), jnp.where(LOWER, x, -1e300)),
    "against infinity and numbers": lambda x: jnp.maximum(
        masked(x, -jnp.inf), jnp.array([-jnp.inf, 1.0, 1.0, 1.0])
    ),
    "less its maximum, cut": lambda x: jnp.maximum(
        (m := masked(x, -1e300)) - jnp.max(m, 0, keepdims=True), -66.0
    ),
    "the exponential of infinity": lambda x: jnp.exp(masked(x, jnp.inf)),
    "less its minimum": lambda x: (m := masked(x, 1e300)) - jnp.min(m, 0, keepdims=True),
}


@pytest.mark.parametrize("name", LOOKED_AT)
def test_masked_places_that_would_count_are_refused(name: str) -> None:
    with pytest.raises(RangeError, match=r"(a mask makes|meets a constant) .* finite"):
        shared(LOOKED_AT[name], [SCORES])


COUNTS = rng.integers(-9, 9, (4, 4))
COUNTS[:, 3] = -3
INT = np.iinfo(np.int64)
IN_A_WORD: dict[str, Callable[[Any], Any]] = {
    "extremes": lambda k: [
        jnp.min(k, where=k > 0, initial=500, axis=0),
        jnp.max(k, where=k > 0, initial=-1, axis=1),
    ],
    "where they are": lambda k: [
        jnp.argmin(masked(k, INT.max), axis=0),
        jnp.argmax(masked(k, INT.min).T, 1),
    ],
    "of what is known to be left": lambda k: jnp.where(LOWER, k, INT.max).min(1) * k[0],
    "against a secret": lambda k: jnp.minimum(masked(k, INT.max).min(0), k[1]),
    "numbers on both sides": lambda k: jnp.minimum(masked(k, INT.max), jnp.array([0, 5, 71, 2**40])),
}
AS_JAX: dict[str, Callable[[Any], Any]] = {
    "returned": lambda k: [masked(k, INT.max), masked(k, INT.min).max(0)],
    "counted": lambda k: (masked(k, INT.max) - 1, masked(k, INT.max) < 100, masked(k, INT.min) == INT.min),
    "sorted": lambda k: jnp.sort(masked(k, INT.max), axis=0),
    "running": lambda k: lax.cummin(masked(k, INT.max)),
    "the other extreme": lambda k: jnp.max(masked(k, INT.max), initial=9),
    "in a loop": lambda k: lax.scan(lambda c, r: (c + (r > 100), None), k[0], masked(k, INT.max))[0],
    "as a float": lambda k: masked(k, INT.max).min(0).astype(float) / 2**60,
    "against another mask": lambda k: jnp.minimum(masked(k, INT.max), jnp.where(LOWER, k, INT.max)),
}


def width_of(function: Callable[[Any], Any]) -> int:
    trace = Trace()
    k = trace.input("x", "alice", (4, 4), "int", -9, 9) + trace.input("y", "bob", (4, 4), "int", 0, 0)
    for i, r in enumerate(jax.tree_util.tree_leaves(trace_jax(function, [k]))):
        reveal(r, why="test", name=f"r{i}")
    return fit(trace.program()).width


@pytest.mark.parametrize("name", IN_A_WORD)
def test_whole_numbers_that_a_mask_sends_to_the_end_of_their_type(name: str) -> None:
    same(IN_A_WORD[name], [COUNTS])
    assert width_of(IN_A_WORD[name]) == 64


@pytest.mark.parametrize("name", AS_JAX)
def test_whole_numbers_at_the_end_of_their_type_are_seen(name: str) -> None:
    same(AS_JAX[name], [COUNTS])


def test_a_histogram_whose_edges_would_be_rounded_is_refused() -> None:
    x = np.array([1, 11, 4, 4, 7, 2, 9, 11])
    for f in (lambda x: jnp.histogram(x, bins=10)[0], lambda x: jnp.histogram2d(x, x, bins=3)[0]):
        with pytest.raises(
            NotRealised, match=r"test_jax_facts.py:[0-9]+: .*edges with secret ends.*use range="
        ):
            shared(f, [x])
    same(lambda x: jnp.histogram(x, bins=10, range=(1, 11)), [x])
    same(lambda x: jnp.linspace(x[0], x[1], 7) * 2.0, [x])


UNCHANGED: dict[str, Callable[[Any], Any]] = {
    "times one": lambda x: (x * 1.0).T @ x,
    "one of whole numbers": lambda x: x.T @ (1 * x[:, ::-1]),
    "times ones": lambda x: (x * jnp.ones((3, 1))).T @ x,
    "all rows chosen": lambda x: jnp.where(np.ones((3, 1), bool), x, 0.0) @ x.T,
    "truth values": lambda x: jnp.stack([1 - (x[:, 0] > 0), (x[:, 0] > 0) * 1]) * 1.0 @ x,
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_a_matrix_that_weights_leave_as_it_is_has_no_others_behind_it(name: str) -> None:
    same(UNCHANGED[name], [X])


def test_what_is_written_twice_is_taken_once() -> None:
    """Known operands are the same by their bytes, or as one array; other parameters make another step."""
    big = np.random.default_rng(2).uniform(-1, 1, (3, 4096))
    places = np.array([0, 2])

    def twice(x: Any) -> Any:
        return x[places] * x[np.array([0, 2])], (x @ big) * (x @ big), x.sum(0) * x.sum(1), x[places] + x[:2]

    trace = Trace()
    a = trace.input("x", "alice", X.shape, "fixed", -4, 4) + trace.input("n", "bob", X.shape, "fixed", 0, 0)
    trace_jax(twice, [a])
    made = [eqn.op for eqn in trace.program().eqns]
    assert made.count("matmul") == 1 and made.count("sum") == 2
    same(twice, [X], atol=2.0**-8)


def test_a_square_divided_first_is_one() -> None:
    same(lambda x: 1 / (1 + (x / 2) * x), [X])
    same(lambda x: jnp.exp(-(x / 2) * x), [X])
