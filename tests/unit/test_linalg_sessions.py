"""Linear algebra in an eager session gives what a traced Program gives."""

from __future__ import annotations

import numpy as np

import tacit
from tacit.array import eigen as ei
from tacit.array import linalg as la
from tacit.array.repeat import repeat

A = np.array([[2.0, 0.5], [0.5, 1.0]])


def test_loops_run_eagerly() -> None:
    with tacit.simulate("rep3", seed=3) as session:
        a = session.input(A, "alice", 4.0) + session.input(np.zeros((2, 2)), "bob", 1.0)
        inverse = tacit.reveal(la.inv(a, least=0.5, definite=True), why="test")
        values = tacit.reveal(ei.eigvalsh(a), why="test")
        (total,), (rows,) = repeat(
            lambda c, s, r: ([s[0] + c[0] * r[0]], [s[0] * 1.0]),
            [a],
            [a * 0.0],
            [(-100, 100)],
            [np.arange(3)],
        )
        sums = tacit.reveal(total, why="test"), tacit.reveal(rows, why="test")
    assert np.max(np.abs(np.asarray(inverse) - np.linalg.inv(A))) < 2.0**-12
    assert np.max(np.abs(np.asarray(values) - np.linalg.eigvalsh(A))) < 2.0**-12
    assert np.array_equal(np.asarray(sums[0]), 3 * A)
    assert np.array_equal(np.asarray(sums[1]), np.stack([0 * A, 0 * A, A]))
