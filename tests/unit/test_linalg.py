"""Factorisations, inverses, least squares, eigenvalues: as exact as stated, on every protocol, or refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from accuracy import compute, on_grid, record

from tacit.array import eigen as ei
from tacit.array import functions as xp
from tacit.array import linalg as la
from tacit.array.analyse import plan
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.merge import optimise
from tacit.array.program import Aval
from tacit.array.ranges import fit
from tacit.array.runtime import Format
from tacit.errors import NotRealised, RangeError, ShapeError

FORMATS = [Format(64, 16), Format(64, 20), Format(128, 40)]
IDS = ["64-16", "64-20", "128-40"]
SIZE, LEAST = 4.0, 0.125
NAMES = ("alice", "bob", "carol")


def symmetric(values: Any, rng: np.random.Generator) -> Any:
    n = len(values)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    a = on_grid(q * values @ q.T, 16)
    return np.tril(a) + np.tril(a, -1).T


def general(values: Any, m: int, rng: np.random.Generator) -> Any:
    n = len(values)
    left = np.linalg.qr(rng.standard_normal((m, n)))[0]
    return on_grid(left * values @ np.linalg.qr(rng.standard_normal((n, n)))[0], 16)


def spectra(n: int) -> list[Any]:
    """Values between 1/8 and 4: evenly, clustered, all equal, most of them small."""
    if n == 1:
        return [np.array([0.5]), np.array([3.0])]
    small = np.full(n, 0.13)
    small[0] = 3.0
    close = np.linspace(2, 2.001, n)
    return [np.linspace(0.13, 3.5, n), close, np.ones(n), small]


def bound(n: int, least: float = 1.0) -> float:
    """2 units for each row, times the size over the least singular value."""
    return 2 * n * max(1.0, SIZE / least)


def worst(fn: Callable[..., Any], ins: list[Any], want: Any, fmt: Format, protocol: str = "rep3") -> float:
    """Return the largest error in units of the last place."""
    got = compute(fn, ins, [(-SIZE, SIZE)] * len(ins), fmt, protocol).values
    assert got.shape == np.shape(want)
    return float(np.max(np.abs(got - want), initial=0)) * 2.0**fmt.frac_bits


def fixed_signs(v: Any) -> Any:
    return v * np.sign(v[np.abs(v).argmax(0), np.arange(v.shape[1])])


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_definite_matrices(n: int, fmt: Format) -> None:
    rng, most = np.random.default_rng(n), bound(n, LEAST)
    a = np.stack([symmetric(values, rng) for values in spectra(n)])
    b = on_grid(rng.uniform(-1, 1, (len(a), n, 2)), 16)
    assert worst(lambda v: la.cholesky(v, least=LEAST), [a], np.linalg.cholesky(a), fmt) <= most
    assert worst(lambda v: la.inv(v, least=LEAST, definite=True), [a], np.linalg.inv(a), fmt) <= most
    want = np.linalg.solve(a, b)
    assert worst(lambda v, w: la.solve(v, w, least=LEAST, definite=True), [a, b], want, fmt) <= most


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 2), (5, 5), (7, 3), (3, 1)])
def test_general_matrices(m: int, n: int, fmt: Format) -> None:
    rng, most = np.random.default_rng(10 * m + n), bound(m, LEAST)
    a = np.stack([general(values, m, rng) for values in spectra(n)[:: 1 if m == n else 2]])
    b = on_grid(rng.uniform(-1, 1, (len(a), m, 1)), 16)
    inverse = np.linalg.pinv(a)
    assert worst(lambda v: la.pinv(v, least=LEAST), [a], inverse, fmt) <= most
    want = np.stack([np.linalg.lstsq(x, y, rcond=None)[0] for x, y in zip(a, b, strict=True)])
    assert worst(lambda v, w: la.lstsq(v, w, least=LEAST), [a, b], want, fmt) <= most
    both = np.concatenate(np.linalg.qr(a), -2)
    assert worst(lambda v: xp.concat(la.qr(v, least=LEAST), axis=-2), [a], both, fmt) <= most
    want = np.linalg.lstsq(a[0], b[0, :, 0], rcond=None)[0]
    assert worst(lambda v, w: la.lstsq(v, w, least=LEAST), [a[0], b[0, :, 0]], want, fmt) <= most


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize(
    ("m", "n", "size", "share", "formed"),
    [
        (400, 3, 1.0, 0.15, True), (400, 3, 1.0, 0.01, False), (1000, 4, 1.0, 0.3, True), (12, 1, 4.0, 0.5, True),
        (9, 9, 4.0, 0.5, False), (200, 1, 0.125, 0.5, True), (3, 3, 0.125, 0.5, False), (60, 3, 2.0**-8, 0.5, False),
        (1, 1, 0.125, 0.5, False), (40, 3, 2.0**7, 0.3, True),
    ],
)  # fmt: skip
def test_normal_equations_are_formed_where_they_cost_no_accuracy(
    m: int, n: int, size: float, share: float, formed: bool, fmt: Format
) -> None:
    """`share` is that of the least singular value in √m times the largest entry. Reflections are not in the Program."""
    rng = np.random.default_rng([m, n])
    a = general(np.linspace(1, 3, n) if n > 1 else [1.0], m, rng)
    a = on_grid(a * (0.95 * size / np.abs(a).max()), 16)
    least = min(0.99 * np.linalg.svd(a, compute_uv=False).min(), share * math.sqrt(m) * size)
    b = on_grid(rng.uniform(-1, 1, (m, 2)), 16)
    spans, most = [(-size, size), (-1, 1)], 2 * m * max(1.0, size / least)
    for fn, ins, want in (
        (lambda v: la.pinv(v, least=least), [a], np.linalg.pinv(a)),
        (lambda v, w: la.lstsq(v, w, least=least), [a, b], np.linalg.lstsq(a, b, rcond=None)[0]),
    ):
        if formed or size >= 1:  # reflections of small entries are not as exact, as they never were
            got = compute(fn, ins, spans[: len(ins)], fmt).values
            assert np.max(np.abs(got - want)) * 2.0**fmt.frac_bits <= most
        program = record(fn, [Aval(v.shape, "fixed", *span) for v, span in zip(ins, spans, strict=False)])
        assert ("reflections" not in program.text()) == formed


def test_what_one_owner_inverts_it_inverts_alone() -> None:
    """Whatever its singular values: all that is left is a product with the other's side."""
    trace = Trace()
    a = trace.input("a", "alice", (40, 3), "fixed", -1, 1)
    b = trace.input("b", "bob", (40,), "fixed", -1, 1)
    reveal(la.lstsq(a, b, least=0.3), why="test", name="x")
    cost = plan(optimise(trace.program()), "rep3", Format(64, 16), NAMES, NAMES).cost
    assert cost.rounds <= 4 and cost.sent_by("alice") < 2500


def test_many_rows_are_not_turned_by_a_matrix_of_all_rows() -> None:
    """Of 300 x 2, whose normal equations would lose too much, nothing is as large as 300 x 300."""
    program = record(lambda v: la.lstsq(v, np.ones(300), least=0.25), [Aval((300, 2), "fixed", -SIZE, SIZE)])
    assert "reflections" in program.text()
    sizes = [a.size for a in infer(program).values()]
    assert max(sizes) <= 300 * 3


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_triangular_systems(fmt: Format) -> None:
    rng = np.random.default_rng(4)
    for n in (1, 2, 3, 6):
        a = on_grid(rng.uniform(-1, 1, (n, n)), 16)
        a[np.arange(n), np.arange(n)] = np.where(np.arange(n) % 2, -2.0, 1.5)
        b = on_grid(rng.uniform(-1, 1, (n, 3)), 16)
        for lower in (True, False):
            for unit in (True, False):
                t = np.tril(a) if lower else np.triu(a)
                t = t - np.diag(np.diag(t)) + np.eye(n) if unit else t
                least = 0.9 * np.linalg.svd(t, compute_uv=False).min()
                for turn in (True, False):
                    want = np.linalg.solve(t.T if turn else t, b)

                    def fn(
                        v: Any, w: Any, o: tuple[bool, bool, bool] = (lower, turn, unit), s: float = least
                    ) -> Any:
                        return la.solve_triangular(
                            v, w, least=s, lower=o[0], transpose=o[1], unit_diagonal=o[2]
                        )

                    # The other half is not read.
                    assert worst(fn, [a, b], want, fmt) <= bound(n, least)


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_eigenvalues(n: int, fmt: Format) -> None:
    rng = np.random.default_rng(n)
    kinds = [np.linspace(-3, 3.5, n), np.zeros(n), np.where(np.arange(n) == 0, 3.0, 0.25), np.full(n, -2.0)]
    stack = np.stack([symmetric(values, rng) for values in kinds])
    assert worst(ei.eigvalsh, [stack], np.linalg.eigvalsh(stack), fmt) <= max(10 * n, 12)
    found = compute(lambda v: ei.eigh(v)[1], [stack], [(-SIZE, SIZE)], fmt).values.astype(float)
    unit = 2.0**-fmt.frac_bits
    for a, got in zip(stack, found, strict=True):
        want, vectors = np.linalg.eigh(a)
        assert np.max(np.abs(got.T @ got - np.eye(n))) <= 4 * n * unit
        # What is left beside the diagonal: vectors of equal eigenvalues are free to turn.
        assert np.max(np.abs(got.T @ a @ got - np.diag(want))) <= 16 * n * unit + SIZE * n * 2.0**-23
        assert np.all(got.max(0) >= -got.min(0) - 4 * unit)
        if np.min(np.diff(want), initial=1.0) > 0.5:
            assert np.max(np.abs(got - fixed_signs(vectors))) <= 8 * n * unit


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
def test_singular_values(fmt: Format) -> None:
    rng = np.random.default_rng(9)
    for m, n in ((3, 3), (6, 2), (2, 5)):
        k = min(m, n)
        a = general(np.linspace(0.5, 3, k), max(m, n), rng)
        a = a if m >= n else a.T
        want = np.linalg.svd(a, compute_uv=False)
        assert worst(ei.svdvals, [a], want, fmt) <= 8 * max(m, n)
        assert worst(lambda v: ei.svd(v, least=0.4)[1], [a], want, fmt) <= 4 * max(m, n)

        def product(v: Any) -> Any:
            left, values, right = ei.svd(v, least=0.4)
            return xp.matmul(xp.multiply(left, xp.expand_dims(values, -2)), right)

        back = worst(product, [a], a, fmt)
        assert back <= 8 * max(m, n)


@pytest.mark.parametrize("fmt", FORMATS, ids=IDS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_elimination_with_pivots(n: int, fmt: Format) -> None:
    import scipy.linalg

    rng = np.random.default_rng(n)
    a = np.stack([general(np.linspace(0.5, 3, n), n, rng) for _ in range(2)])
    found, exact = [], []
    for x in a:
        lu, pivots = scipy.linalg.lu_factor(x)
        order = np.arange(n)
        for i, p in enumerate(pivots):
            order[[i, p]] = order[[p, i]]
        found.append(lu)
        exact.append(np.stack([pivots, order]))

    def numbers(v: Any) -> Any:
        lu, pivots, order = ei.lu_factor(v, least=0.4)
        return xp.concat([lu, xp.astype(xp.stack([pivots, order], axis=-2), "fixed")], axis=-2)

    got = compute(numbers, [a], [(-SIZE, SIZE)], fmt).values
    assert np.max(np.abs(got[:, :n] - np.stack(found))) * 2.0**fmt.frac_bits <= bound(n, 0.4)
    assert np.array_equal(got[:, n:], np.stack(exact))
    sign, log = np.linalg.slogdet(a)
    found = compute(lambda v: xp.stack(ei.slogdet(v, least=0.4)), [a], [(-SIZE, SIZE)], fmt).values
    assert np.array_equal(found[0], sign)
    assert np.max(np.abs(found[1] - log)) * 2.0**fmt.frac_bits <= bound(n, 0.4)
    for x, det in zip(a, np.linalg.det(a), strict=True):
        error = worst(lambda v: ei.det(v, least=0.4), [x], det, fmt)
        assert error <= (bound(n, 0.4) + 2.0 ** (fmt.frac_bits - 16)) * max(abs(det), 1)


def test_batches_and_empty_shapes() -> None:
    rng, fmt = np.random.default_rng(5), Format(64, 16)
    a = np.stack([symmetric(np.linspace(0.2, 3, 3), rng) for _ in range(4)]).reshape(2, 2, 3, 3)
    b = on_grid(rng.uniform(-1, 1, (2, 2, 3, 2)), 16)
    assert worst(lambda v, w: la.solve(v, w, least=0.15), [a, b], np.linalg.solve(a, b), fmt) <= bound(
        3, 0.15
    )
    assert worst(lambda v: la.cholesky(v, least=0.15), [a], np.linalg.cholesky(a), fmt) <= bound(3, 0.15)
    assert worst(ei.eigvalsh, [a], np.linalg.eigvalsh(a), fmt) <= 30
    one = np.ones((3, 2))[None, :] * np.ones((4, 1, 1))
    assert record(lambda v: la.solve(v, one[0], least=0.1), [Aval((4, 3, 3), "fixed", -1, 1)]).outputs
    for shape in ((0, 0), (0, 3, 3), (2, 0, 0)):
        aval = Aval(shape, "fixed", -1, 1)
        for fn in (
            lambda v: la.cholesky(v, least=1),
            lambda v: la.inv(v, least=1),
            lambda v: la.qr(v, least=1)[0],
            lambda v: ei.eigh(v)[1],
            lambda v: ei.lu_factor(v, least=1)[0],
        ):
            program = record(fn, [aval])
            assert program.outputs, shape


def test_checks_in_the_clear_agree() -> None:
    rng, fmt = np.random.default_rng(6), Format(64, 16)
    a = symmetric(np.linspace(0.3, 3, 3), rng)
    assert worst(lambda v: la.inv(v, least=0.25), [a], np.linalg.inv(a), fmt, "clear") <= bound(3, 0.25)
    assert worst(ei.eigvalsh, [a], np.linalg.eigvalsh(a), fmt, "clear") <= 30


def test_a_false_statement_does_not_wrap() -> None:
    # The least eigenvalue is 0, not 1/4: the pivot is replaced, and what comes out stays within its range.
    rng, fmt = np.random.default_rng(7), Format(64, 16)
    a = symmetric(np.array([0.0, 0.0, 2.0]), rng)
    got = compute(lambda v: la.cholesky(v, least=0.25), [a], [(-SIZE, SIZE)], fmt).values
    assert np.max(np.abs(got)) <= 2.1


def test_programs_stay_small() -> None:
    def count(n: int, fn: Callable[..., Any]) -> int:
        return len(record(fn, [Aval((n, n), "fixed", -1, 1)]).text().splitlines())

    for fn in (lambda v: la.inv(v, least=0.1), lambda v: la.cholesky(v, least=0.1), ei.eigvalsh):
        assert count(64, fn) < 5 * count(8, fn) < 3000
    big = record(lambda v: la.inv(v, least=0.1), [Aval((32, 32), "fixed", -1, 1)])
    assert fit(big).width in (64, 128)


def test_refused() -> None:
    square, wide = Aval((3, 3), "fixed", -1, 1), Aval((2, 3), "fixed", -1, 1)
    for fn in (la.cholesky, la.inv, la.qr, ei.svd, ei.lu_factor):
        with pytest.raises(RangeError, match=r"tacit\.conditioned"):
            record(fn, [square])
    with pytest.raises(RangeError, match="positive"):
        record(lambda v: la.inv(v, least=-1), [square])
    with pytest.raises(ShapeError, match="square"):
        record(lambda v: la.cholesky(v, least=1), [wide])
    with pytest.raises(ShapeError, match="do not fit"):
        record(lambda v: la.solve(v, np.ones(4), least=1), [square])
    for fn in (lambda v: la.qr(v, least=1), lambda v: la.lstsq(v, np.ones(2), least=1)):
        with pytest.raises(NotRealised, match="fewer rows"):
            record(fn, [wide])
