"""Inverses of definite matrices by squaring: as exact as by elimination wherever they are taken, in rounds of log κ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from accuracy import compute, on_grid

from tacit.array import inverses as iv
from tacit.array import linalg as la
from tacit.array.analyse import predict
from tacit.array.interpret import Trace, reveal
from tacit.array.loop import infer
from tacit.array.program import SECRET, Aval, parse
from tacit.array.runtime import Format
from tacit.errors import DataError, RangeError
from tacit.study import run_clear

NAMES = ("alice", "bob", "carol")
FORMATS = [Format(64, 16), Format(64, 20), Format(64, 24), Format(128, 40)]


def iterates(n: int, least: float, fmt: Format) -> bool:
    a = Aval((1, n, n), "fixed", -1.0, 1.0, SECRET)
    return iv.chosen(a, least, fmt) is not iv._program(a.shape, a.lo, a.hi, least, 0)


def definite(values: Any, bits: int, rng: np.random.Generator) -> Any:
    """A symmetric matrix of such eigenvalues, entries within one, none below the least of them after rounding."""
    n, bits = len(values), min(bits, 40)
    q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    a = (q * values) @ q.T
    a = on_grid(np.tril(a) + np.tril(a, -1).T, bits)
    short = values.min() - np.linalg.eigvalsh(a)[0]
    return a + np.eye(n) * on_grid(np.array(max(short, 0) + 2.0**-bits), bits)


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("n", [2, 5, 16])
@pytest.mark.parametrize("protocol", ["rep3", "semi2k"])
def test_the_largest_conditions_that_are_squared(n: int, fmt: Format, protocol: str) -> None:
    """Where one more would be eliminated: least eigenvalues alone, one of them small, and evenly."""
    least = next(2.0**e for e in range(-12, 4) if iterates(n, 2.0**e, fmt))
    assert least == 2.0**-12 or not iterates(n, least / 2, fmt)
    rng, unit = np.random.default_rng(n), 2.0**-fmt.frac_bits
    for values in (np.full(n, least), np.r_[0.9, np.full(n - 1, least)], np.geomspace(least, 0.9, n)):
        a = definite(values, fmt.frac_bits, rng)
        dealer = "dave" if protocol == "semi2k" else ""
        found = compute(
            lambda x: la.inv(x, least=least, definite=True), [a], [(-1.0, 1.0)], fmt, protocol, dealer=dealer
        )
        error = float(np.abs(np.asarray(found.values, float) - np.linalg.inv(a)).max()) / unit
        assert error <= 2 * n / least


def solved(n: int, least: float) -> Any:
    trace = Trace()
    a = trace.input("a", "alice", (n, n), "fixed", -1, 1) + trace.input("n", "bob", (n, n), "fixed", 0, 0)
    b = trace.input("b", "bob", (n,), "fixed", -1, 1)
    reveal(la.solve(a, b, least=least, definite=True), why="test", name="r")
    return trace.program()


def test_rounds_are_of_the_condition_not_of_the_size() -> None:
    def rounds(n: int, least: float) -> int:
        return predict(solved(n, least), "rep3", Format(64, 24), NAMES, NAMES).rounds

    # A product, and what it is rounded by, for each power of two; the bound on eigenvalues grows with the size.
    assert 0 < rounds(16, 1 / 16) - rounds(4, 1 / 16) <= 6
    assert 0 < rounds(8, 1 / 64) - rounds(8, 1 / 16) <= 6
    # A condition that rounding would drown in is eliminated: a root for each column.
    assert not iterates(16, 2.0**-20, Format(64, 24))
    assert rounds(16, 2.0**-20) > 5 * rounds(16, 1 / 16)


def test_conditions_beyond_are_eliminated() -> None:
    fmt, least = Format(64, 20), 2.0**-17
    assert not iterates(4, least, fmt)
    a = definite(np.array([0.9, 0.5, 0.25, 0.125]), 20, np.random.default_rng(3))
    found = compute(lambda x: la.inv(x, least=least, definite=True), [a], [(-1.0, 1.0)], fmt)
    np.testing.assert_allclose(np.asarray(found.values, float), np.linalg.inv(a), atol=2.0**-10)


@pytest.mark.parametrize("scale", [2.0**-4, 2.0**9])
def test_small_and_large_matrices_are_scaled(scale: float) -> None:
    """By powers of two that are known; a unit of the matrix changes its inverse by one over the least, squared."""
    fmt, least = Format(64, 20), 0.09 * scale
    a = on_grid(definite(np.geomspace(0.1, 0.9, 4), 15, np.random.default_rng(5)) * scale, 20)
    found = compute(lambda x: la.inv(x, least=least, definite=True), [a], [(-scale, scale)], fmt)
    error = np.abs(np.asarray(found.values, float) - np.linalg.inv(a)).max() * 2.0**20
    assert error <= 8 * max(1.0, 1 / least)


def test_a_program_says_it_in_one_operation() -> None:
    program = parse(solved(6, 0.25).text())
    (eqn,) = [eqn for eqn in program.eqns if eqn.op == "inverse"]
    assert eqn.params == {"least": 0.25}
    for wrong in ("0", "-1.0", "true", '"x"', "1e400"):
        with pytest.raises(DataError, match=r"malformed|canonical"):
            infer(parse(program.text().replace('"least": 0.25', f'"least": {wrong}')))
    rng = np.random.default_rng(7)
    a, b = definite(np.linspace(0.3, 0.9, 6), 20, rng), rng.uniform(-1, 1, 6)
    arrays = {"alice": {"a": a}, "bob": {"n": 0 * a, "b": b}}
    got = run_clear(program, Format(64, 20), arrays)["r"]
    np.testing.assert_allclose(got, np.linalg.solve(a, b), atol=2.0**-15)


def test_owners_invert_their_own_and_are_told_if_they_cannot() -> None:
    trace = Trace()
    a = trace.input("a", "alice", (2, 2), "fixed", -1, 1)
    reveal(la.inv(a, least=0.25, definite=True), why="test", name="r")
    program = trace.program()
    good = np.array([[0.5, 0.25], [0.25, 0.5]])
    got = run_clear(program, Format(64, 20), {"alice": {"a": good}})["r"]
    np.testing.assert_allclose(got, np.linalg.inv(good), atol=2.0**-18)
    assert predict(program, "rep3", Format(64, 20), NAMES, NAMES).rounds <= 2
    with pytest.raises(RangeError, match=r"no eigenvalue is below 0\.25"):
        run_clear(program, Format(64, 20), {"alice": {"a": np.ones((2, 2))}})
