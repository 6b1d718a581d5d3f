"""Elements picked and changed by indices: known, public and varying in a loop, one owner's, and secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from window_cases import FORMAT, OWNERS, Array, compare, grid, record

from tacit import errors
from tacit.array.analyse import plan, predict
from tacit.array.interpret import Trace
from tacit.array.ranges import fit
from tacit.frontends import jax_recurrent
from tacit.frontends.jax import trace_jax

X = grid(1, 8, 3)
SPAN = [(-2, 2)]
rng = np.random.default_rng(5)
ORDER = rng.permutation(8)
PAIRS = ORDER.reshape(4, 2)
REPEATED = rng.integers(0, 8, (4, 3))
COLUMNS = rng.integers(0, 3, (4, 5))
EACH = rng.integers(0, 3, (4, 8, 2))
BOTH = rng.integers(0, 3, (4, 2, 5))
STARTS = rng.integers(0, 6, (4, 5))
OUTSIDE = rng.integers(-3, 12, (4, 5))
K = np.array([3, 0, 7, 7, 1, 2, 5, 4])
FEW = K[:3]


def scanned(step: Callable[[Array, Array], Any], table: Array) -> Callable[[Array], Any]:
    """Return a function that scans over rows of a public table of indices, carrying its argument."""
    return lambda x: lax.scan(step, x, table)


# -- indices that vary in a loop ------------------------------------------------------------------------------

VARYING: dict[str, Callable[[Array], Any]] = {
    "shuffled": lambda x: lax.fori_loop(
        0, 4, lambda i, c: c + x[lax.dynamic_slice(jnp.asarray(ORDER), (i * 2,), (2,))].sum(0), jnp.zeros(3)
    ),
    "batch": lambda x: lax.fori_loop(
        0, 4, lambda i, c: c + lax.dynamic_slice_in_dim(x, i * 2, 2).sum(0), jnp.zeros(3)
    ),
    "slice": lambda x: lax.fori_loop(
        0, 2, lambda i, c: c + lax.dynamic_slice(x, (i * 3, 1), (3, 2)), jnp.zeros((3, 2))
    ),
    "rows": scanned(lambda c, i: (c, c[i]), PAIRS),
    "rows_of_many": scanned(lambda c, i: (c, c[i]), rng.integers(0, 8, (2, 3, 2))),
    "columns": scanned(lambda c, i: (c, jnp.take(c, i, axis=1)), COLUMNS),
    "along": scanned(lambda c, i: (c, jnp.take_along_axis(c, i, axis=1)), EACH),
    "pairs": scanned(lambda c, i: (c, c[i[0], i[1]]), BOTH),
    "one": scanned(lambda c, i: (c, c[i[0], i[1]]), BOTH[:, :, 0]),
    "windows": scanned(lambda c, i: (c, jax.vmap(lambda s: lax.dynamic_slice(c, (s, 0), (3, 2)))(i)), STARTS),
    "clamped": scanned(
        lambda c, i: (c, jax.vmap(lambda s: lax.dynamic_slice(c, (s, 0), (3, 2)))(i)), OUTSIDE
    ),
    "fill": scanned(lambda c, i: (c, jnp.take(c, i, axis=0, mode="fill", fill_value=7.0)), OUTSIDE),
    "clip": scanned(lambda c, i: (c, c.at[i].get(mode="clip")), OUTSIDE),
    "add": scanned(lambda c, i: (c.at[i].add(c[i] * 0.5), None), REPEATED),
    "subtract": scanned(lambda c, i: (c.at[i].subtract(c[i] * 0.5), None), REPEATED),
    "drop": scanned(lambda c, i: (c.at[i].add(1.0, mode="drop"), None), OUTSIDE),
    "set": scanned(lambda c, i: (c.at[i].set(c[i][::-1]), None), REPEATED),
    "set_drop": scanned(lambda c, i: (c.at[i].set(c[:5], mode="drop"), None), OUTSIDE),
    "set_one": scanned(lambda c, i: (c.at[i[0], i[1]].set(1.0), None), BOTH[:, :, 0]),
    "set_pairs": scanned(lambda c, i: (c.at[i[0], i[1]].set(c[0, 0]), None), BOTH),
    "set_along": scanned(
        lambda c, i: (jnp.put_along_axis(c, i[:, :1], 1.5, axis=1, inplace=False), None), EACH
    ),
    "gradient": lambda x: jax.grad(
        lambda v: lax.scan(lambda c, i: (c + (v[i] ** 2).sum(), None), 0.0, REPEATED)[0]
    )(x),
    "segments": scanned(lambda c, i: (c, jax.ops.segment_sum(c, i, 3)), EACH[:, :, 0]),
    "nested": lambda x: lax.fori_loop(
        0, 2, lambda e, c: lax.scan(lambda d, i: (d + x[(i + e) % 8].sum(), None), c, PAIRS)[0], 0.0
    ),
}


@pytest.mark.parametrize("name", VARYING)
def test_indices_that_vary_in_a_loop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_recurrent, "LEAST", 1 << 20)
    program = compare(VARYING[name], [X], SPAN, 4)
    assert len(program.eqns) < 14, "the loop stays a loop"


@pytest.mark.parametrize("name", ["shuffled", "batch", "slice", "gradient"])
def test_indices_of_all_turns_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_recurrent, "LEAST", 2)
    program = compare(VARYING[name], [X], SPAN, 4)
    assert "scan" not in [eqn.op for eqn in program.eqns]


@pytest.mark.parametrize("protocol", ["semi2k", "clear"])
def test_indices_that_vary_in_a_loop_elsewhere(protocol: str) -> None:
    several = [VARYING[n] for n in ("shuffled", "fill", "add", "set", "along")]
    compare(lambda x: [f(x) for f in several], [X], SPAN, 4, protocol)


def test_minibatches_of_one_owner_are_drawn_there() -> None:
    f = lambda x: lax.scan(lambda c, i: (c + x[i].sum(0), None), jnp.zeros(3), PAIRS)[0]  # noqa: E731
    program, _ = record(f, [X], SPAN, hide=False)
    assert predict(program, "rep3", FORMAT, OWNERS, OWNERS).total_bytes < 300


# -- known indices --------------------------------------------------------------------------------------------

KNOWN: dict[str, Callable[[Array], Any]] = {
    "index": lambda x: (
        x[ORDER],
        x[ORDER, K % 3],
        x[:, FEW % 3],
        x[FEW[:, None], np.array([0, 2])],
        x[..., -1],
    ),
    "masks": lambda x: (x[np.array([True, False] * 4)], x[:, np.array([True, False, True])]),
    "take": lambda x: (
        jnp.take(x, FEW),
        jnp.take(x, FEW[:, None], axis=0),
        jnp.take_along_axis(x, K[:, None] % 3, 1),
    ),
    "set": lambda x: (x.at[FEW].set(0.5), x.at[1:3, ::2].set(x[:2, :2]), x.at[ORDER[:3], 1].set(x[0])),
    "add": lambda x: (x.at[K].add(x), x.at[:, 1].add(1.0), x.at[np.array([], int)].add(jnp.ones((0, 3)))),
    "extremes": lambda x: (x.at[K].max(x[::-1]), x.at[K].min(x[::-1]), x.at[FEW, 1].max(0.5)),
    "multiply": lambda x: (x.at[FEW].multiply(0.5), x.at[FEW, 1].mul(x[:3, 0]), x.at[1].divide(2.0)),
    "drop": lambda x: (x.at[K + 3].add(x, mode="drop"), x.at[K + 3].set(1.0, mode="drop")),
    "fill": lambda x: (
        x.at[K + 3].get(mode="fill", fill_value=0.25),
        jnp.take(x, K + 3, axis=0, mode="clip"),
    ),
    "segments": lambda x: (
        jax.ops.segment_sum(x, K % 3, 3),
        jax.ops.segment_sum(x, np.sort(K % 3), 4, indices_are_sorted=True)[:3],
        jax.ops.segment_prod(x, K % 3, 3),
    ),
    "moves": lambda x: (
        jnp.roll(x, 3, 0),
        jnp.roll(x, (1, 2), (0, 1)),
        jnp.diff(x, axis=0),
        jnp.flip(x),
        jnp.rot90(x),
    ),
    "where": lambda x: (jnp.where(np.arange(3) < 2, x, 0.0), x[np.nonzero(np.array([1, 0, 1]))[0]]),
    "search": lambda x: x[jnp.searchsorted(np.arange(0.0, 8.0), np.array([0.5, 3.0, 6.5]))],
    "tri": lambda x: (x[jnp.triu_indices(3)], jnp.tril(x), jnp.diagonal(x[:3]), jnp.trace(x[:3])),
    "repeat": lambda x: (
        jnp.repeat(x, 2, 0),
        jnp.repeat(x[:, 0], K % 2, total_repeat_length=5),
        jnp.delete(x, 2, 0),
    ),
    "insert": lambda x: (jnp.insert(x, 1, 0.5, axis=0), jnp.append(x, x[:1], 0), jnp.resize(x, (2, 5))),
    "choose": lambda x: jnp.choose(K % 2, [x[:, 0], x[:, 1]], mode="wrap"),
    "empty": lambda x: (x[np.array([], int)], x[:0].at[np.array([], int)].set(jnp.zeros((0, 3))), x[3:3, 1]),
    "pad": lambda x: (
        lax.pad(x, 0.5, ((1, -2, 2), (-1, 3, 0))),
        lax.pad(x, 0.0, ((-1, -1, 1), (0, 0, 1))),
        lax.pad(x[:0], 1.0, ((2, 1, 1), (0, 0, 0))),
        lax.pad(x, 0.0, ((-8, 0, 0), (0, 0, 0))),
        lax.pad(x[:1], 0.0, ((-1, 2, 3), (0, -1, 0))),
        jnp.pad(x, ((1, 2), (0, 1)), mode="edge"),
        jnp.pad(x, 1, mode="reflect"),
        jnp.pad(x, 1, mode="wrap"),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_indices(name: str) -> None:
    compare(KNOWN[name], [X], SPAN, 8)


def test_many_places_need_no_list_of_places() -> None:
    wide = grid(2, 600, 600)
    at = np.arange(0, 600, 3)

    def f(x: Array) -> Any:
        return (
            x[at, at].sum(),
            x.at[at].add(x[:200]).sum(),
            jax.ops.segment_sum(x, np.arange(600) % 7, 7).sum(1),
        )

    program, _ = record(f, [wide], SPAN)
    assert len(program.text()) < 60_000
    compare(f, [wide], SPAN, 4)


# -- secret indices -------------------------------------------------------------------------------------------

SECRET: dict[str, Callable[[Array, Array], Any]] = {
    "rows": lambda x, k: (x[k], x[k[0]], jnp.take(x, k, axis=0)),
    "columns": lambda x, k: jnp.take(x, jnp.minimum(k, 2), axis=1),
    "along": lambda x, k: jnp.take_along_axis(x, jnp.minimum(k, 2)[:, None], axis=1),
    "pairs": lambda x, k: (x[k, jnp.minimum(k, 2)], x[k[0], jnp.minimum(k[1], 2)]),
    "slices": lambda x, k: (
        lax.dynamic_slice(x, (k[0], 0), (2, 3)),
        lax.dynamic_slice(x, (k[0], k[1]), (2, 2)),
        lax.dynamic_index_in_dim(x, k[2], 0),
    ),
    "add": lambda x, k: (
        x.at[k].add(x),
        x.at[k[0]].add(1.5),
        x.at[k[0], 1].add(1.5),
        x.at[k + 3].add(1.0, mode="drop"),
    ),
    "set": lambda x, k: (
        x.at[k[0]].set(1.5),
        x.at[k[:3]].set(x[:3]),
        x.at[k[0] + 3, 0].set(9.0, mode="drop"),
    ),
    "update": lambda x, k: (
        lax.dynamic_update_slice(x, x[:2, :2], (k[0], k[1])),
        lax.dynamic_update_slice(x, x[:2], (k[0], 0)),
    ),
    "public_table": lambda x, k: (
        jnp.arange(8)[k],
        jnp.asarray(np.linspace(-1, 1, 100))[k * 9],
        jnp.asarray(K > 3)[k],
    ),
    "modes": lambda x, k: (
        x.at[k + 3].get(mode="clip"),
        x.at[k - 3].get(mode="fill", fill_value=0.5),
        jnp.take(x, k - 2, axis=0, mode="clip"),
    ),
    "negative": lambda x, k: x.at[k - 8].get(mode="clip"),
    "truths": lambda x, k: ((x > 0)[k], (x > 0).at[k[:2]].set(True)),
    "gradient": lambda x, k: jax.grad(lambda v: (v[k] ** 2).sum())(x),
    "embedding": lambda x, k: jax.vmap(lambda i: x[i])(k),
    "segments": lambda x, k: jax.ops.segment_sum(x, k, 8),
    "one_hot": lambda x, k: jax.nn.one_hot(k, 8),
    "loop": lambda x, k: lax.scan(lambda c, i: (c.at[i].add(c[0] * 0.5), c[i]), x, k[:3]),
    "one_row": lambda x, k: (x[:1][k * 0], x[:1].at[k[:1] * 0].set(2.0)),
    "nothing": lambda x, k: (x[k[:0]], x[:, :0][k], x.at[k[:0]].set(1.0)),
}


@pytest.mark.parametrize("protocol", ["rep3", "semi2k", "clear"])
@pytest.mark.parametrize("name", SECRET)
def test_secret_indices(name: str, protocol: str) -> None:
    compare(SECRET[name], [X, K], [(-2, 2), (0, 7)], 4 if name == "loop" else 1, protocol)


def test_an_owners_index_and_anothers_table() -> None:
    both = [(-2, 2), (0, 7)]
    compare(SECRET["rows"], [X, K], both, 0, hide=False)
    compare(SECRET["add"], [X, K], both, 0, hide=False)
    compare(SECRET["public_table"], [X, K], both, 1, hide=False)
    ints, _ = record(SECRET["rows"], [X, K], both, hide=False)
    assert not [e for e in ints.eqns if e.op in ("eq", "lt")]
    table = np.random.default_rng(1).integers(-(2**40), 2**40, (50, 2))
    compare(lambda t, k: t[k], [table, K], [(-(2**40), 2**40), (0, 49)], 0)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 100])
def test_every_row_of_a_table(n: int) -> None:
    k = np.arange(n)
    compare(
        lambda t, k: (t[k], t.at[k].add(1.0), jnp.zeros(n).at[k].add(t[:, 0])),
        [grid(1, n, 2), k],
        [*SPAN, (0, n - 1)],
        0,
    )


def test_a_look_up_in_a_large_table_sends_about_two_roots() -> None:
    n, m = 10_000, 50
    table = np.linspace(-1, 1, n)
    k = np.random.default_rng(1).integers(0, n, m)
    secret, _ = record(lambda t, k: t[k], [table, k], [(-1, 1), (0, n - 1)])
    public, _ = record(lambda k: jnp.asarray(table)[k], [k], [(0, n - 1)])
    for program, most in ((secret, 8 * 3 * 4 * 100 * m + 3 * 8 * n), (public, 8 * 3 * 3 * 100 * m)):
        assert predict(program, "rep3", FORMAT, OWNERS, OWNERS).total_bytes < most
    compare(lambda t, k: t[k], [table, k], [(-1, 1), (0, n - 1)], 1)


def test_what_a_plan_says_of_a_look_up() -> None:
    program, _ = record(lambda x, k: x[k], [X, K], [(-2, 2), (0, 7)], hide=False)
    made = plan(program, "rep3", fit(program), OWNERS, OWNERS)
    assert any("rows of a0" in d.of for d in made.disclosures)
    assert not made.assumptions, "the range of a look-up is proved, not assumed"


REFUSED: dict[str, tuple[Callable[[Array, Array], Any], type[Exception], str]] = {
    "nan": (lambda x, k: jnp.take(x, k + 3, axis=0), errors.NotRealised, "mode='clip'"),
    "many": (lambda x, k: x.at[jnp.tile(k, 1 << 16)].set(1.0), errors.NotRealised, "add instead"),
    "extreme": (lambda x, k: x.at[jnp.tile(k, 1 << 16)].max(1.0), errors.NotRealised, "scatter-max"),
    "mask": (lambda x, k: x[x > 0], errors.SecretUsedAsPublic, "jnp.where"),
    "size": (lambda x, k: jnp.nonzero(k), errors.UsageError, "jnp.where"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    function, error, word = REFUSED[name]
    trace = Trace()
    x = trace.input("x", "alice", (8, 3), "fixed", -2, 2)
    k = trace.input("k", "bob", (8,), "int", 0, 7)
    with pytest.raises(error, match=word):
        trace_jax(function, (x, k))


def test_a_remainder_is_an_index() -> None:
    """What ranges decide of a whole number costs nothing and keeps its range narrow."""
    compare(lambda x, k: (x[:, :][k % 8], jnp.take(x, k % 3, axis=1)), [X, K], [(-2, 2), (0, 7)], 0)
    trace = Trace()
    k = trace.input("k", "bob", (8,), "int", 0, 7)
    assert trace_jax(lambda k: k % 3, (k,)).aval.hi == 2


def test_a_search_looks_up_at_ranges_that_hold_in_every_step() -> None:
    """A loop whose carry becomes an index is recorded anew at the ranges of its later iterations."""
    edges = np.linspace(-2, 2, 5)
    compare(
        lambda x: (
            jnp.searchsorted(edges, x[:, 0]),
            jnp.digitize(x[:, 1], edges),
            jnp.histogram(x, edges)[0],
        ),
        [X],
        SPAN,
        0,
    )
