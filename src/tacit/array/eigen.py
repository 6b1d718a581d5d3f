"""Eigenvalues of symmetric matrices and singular values, by Jacobi's rotations; elimination with pivots.

Jacobi's method needs no decision that depends on the data: a fixed number of sweeps turns every pair of rows and
columns once, as many pairs at a time as are disjoint (Brent and Luk, "The solution of singular-value and symmetric
eigenvalue problems on multiprocessor arrays", 1985). Errors are measured by tests/unit/test_eigen.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.linalg import at, matrices, pick, stated, straightened, turned, within
from tacit.array.repeat import repeat
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised

__all__ = ["det", "eigh", "eigvalsh", "lu_factor", "slogdet", "svd", "svdvals"]

# The pair that fixes an angle is made as large as 2^REACH before it is squared: what is small by 2^FINER more, twice.
REACH, FINER = 8, 6
# What is added to |a_pp − a_qq| at that size, so that the angle is defined where both are zero.
NUDGE = 2.0**-5


def eigvalsh(a: SecretArray) -> SecretArray:
    """Return the eigenvalues of symmetric matrices, ascending."""
    return eigh(a)[0]


def eigh(a: SecretArray) -> tuple[SecretArray, SecretArray]:
    """Return ascending eigenvalues (…, n) and orthonormal eigenvectors (…, n, n) of symmetric matrices, in columns.

    The entry of largest size of an eigenvector is positive. Eigenvalues that are closer than their size times 2^-20 may
    mix their vectors.
    """
    x = matrices(a, "eigh")
    n = x.shape[1]
    if not x.size:
        return xp.reshape(x, a.shape[:-1]), xp.reshape(x, a.shape)
    values, vectors = _jacobi(x)
    # With so few, comparing all pairs at once takes fewer rounds than sorting; one-hot rows move without rounding.
    left, right = np.triu_indices(n, 1)
    above = xp.astype(xp.less(xp.take(values, right, 1), xp.take(values, left, 1)), "int")
    places = np.arange(n)
    gains = (left[:, None] == places).astype(np.int64) - (right[:, None] == places)
    if n > 1:
        rank = xp.add(xp.matmul(above, gains), (right[:, None] == places).sum(0))
        hot = xp.astype(xp.equal(xp.expand_dims(rank, 1), places[:, None]), "int")
        reach, size = values.aval.magnitude, vectors.aval.magnitude
        values = within(
            xp.sum(xp.multiply(hot, xp.expand_dims(values, 1)), 2), -reach, reach, "values in order"
        )
        vectors = within(xp.matmul(vectors, turned(hot)), -size, size, "columns in order")
    tilt = xp.add(xp.max(vectors, 1, keepdims=True), xp.min(vectors, 1, keepdims=True))
    vectors = xp.where(xp.less(tilt, 0), xp.negative(vectors), vectors)
    return xp.reshape(values, a.shape[:-1]), xp.reshape(vectors, a.shape)


def _jacobi(a: SecretArray) -> tuple[SecretArray, SecretArray]:
    """Return eigenvalues and eigenvectors (batch, n, n), in no particular order.

    Sweeps end with the matrix turned anew by the vectors found, so that the rounding of many rotations is not in the
    result, and one more sweep.
    """
    batch, n = a.shape[:2]
    reach = max(a.aval.magnitude * n, 2.0**-8)
    eye = a.context.const(np.broadcast_to(np.eye(n), (batch, n, n)).copy())
    if n == 1:
        return xp.reshape(a, (batch, 1)), eye
    sweeps = 3 + math.ceil(math.log2(n))
    _, vectors = _sweeps(a, eye, reach, sweeps)
    vectors = _orthonormal(vectors)
    a_turned = _around(a, vectors, reach)
    _, vectors = _sweeps(a_turned, vectors, reach, 1)
    vectors = _orthonormal(vectors)
    along = xp.sum(xp.multiply(vectors, _bounded(xp.matmul(a, vectors), reach)), 1)
    return _bounded(along, reach), vectors


def _bounded(x: SecretArray, reach: float) -> SecretArray:
    return within(x, -reach, reach, "no entry of a turned matrix exceeds its norm")


def _around(a: SecretArray, v: SecretArray, reach: float) -> SecretArray:
    """Return vᵀ·a·v for orthonormal v."""
    return _bounded(xp.matmul(turned(v), _bounded(xp.matmul(a, v), reach)), reach)


def _orthonormal(v: SecretArray) -> SecretArray:
    """Return the orthonormal matrix near a nearly orthonormal one: a step of Newton's iteration v·(3 − vᵀv)/2."""
    n = v.shape[-1]
    gram = within(xp.matmul(turned(v), v), -2, 2, "products of columns of length one")
    inner = xp.subtract(1.5 * np.eye(n), xp.multiply(gram, 0.5))
    return within(xp.matmul(v, inner), -1, 1, "columns of length one")


def _sweeps(a: SecretArray, v: SecretArray, reach: float, count: int) -> tuple[SecretArray, SecretArray]:
    """Turn every pair of indices `count` times; return the turned matrix and the vectors."""
    batch, n = a.shape[:2]
    even = n + n % 2
    ctx = a.context
    if even > n:
        # An index without a partner meets one whose row and column are zero.
        a = xp.concat(
            [xp.concat([a, ctx.const(np.zeros((batch, n, 1)))], 2), ctx.const(np.zeros((batch, 1, even)))], 1
        )
        v = xp.concat([v, ctx.const(np.zeros((batch, v.shape[1], 1)))], 2)
    half = even // 2
    top, low = np.arange(half), np.arange(half, even)
    # The first stays where it is, the others move on by one place around the table.
    onward = np.concatenate([top[:1], low[:1], top[1:-1], low[1:], top[-1:]]) if half > 1 else np.arange(even)
    span = [(-reach, reach), (-1.0, 1.0)]

    def step(_: Any, carry: list[SecretArray], __: Any) -> tuple[list[SecretArray], list[SecretArray]]:
        m, w = carry
        cosine, sine = _rotations(m, reach)
        wide = [
            xp.multiply(xp.reshape(x, (batch, 1, half)), np.eye(half, dtype=np.int64)) for x in (cosine, sine)
        ]
        turn = xp.concat(
            [xp.concat([wide[0], wide[1]], 2), xp.concat([xp.negative(wide[1]), wide[0]], 2)],
            1,
        )
        turn = xp.take(turn, onward, 2)
        m = _around(m, turn, reach)
        w = within(xp.matmul(w, turn), -1, 1, "columns of length one")
        return [m, w], []

    steps = np.zeros(count * (even - 1), np.int64)
    (a, v), _ = repeat(step, [], [a, v], span, [steps])
    # Whole sweeps bring every index back to its place.
    return a[:, :n, :n], v[:, :, :n]


def _rotations(m: SecretArray, reach: float) -> tuple[SecretArray, SecretArray]:
    """Return cosine and sine (batch, half) that make the entries (i, half + i) zero, angles of at most an eighth turn.

    For d = a_qq − a_pp and o = 2·a_pq, cos 2θ = |d|/√(d² + o²) and sin 2θ = ±o/√(d² + o²).
    """
    half = m.shape[1] // 2
    top, low = np.arange(half), np.arange(half, 2 * half)
    scale = 2.0 ** (REACH - 1 - math.ceil(math.log2(reach)))
    d = xp.subtract(pick(m, low, low), pick(m, top, top))
    o = xp.add(pick(m, top, low), pick(m, low, top))
    # Before anything else is known, so that it is found beside the squares.
    negative = xp.less(d, 0)
    most = 2.0**REACH
    both = within(xp.multiply(xp.stack([d, o]), scale), -most, most, "twice the norm, scaled")
    length = xp.sum(xp.square(both), 0)
    small = xp.less(
        xp.stack([length, length]),
        np.array([2.0 ** (2 * (REACH - i * FINER)) for i in (1, 2)])[:, None, None],
    )
    finer = xp.where(small[1], xp.multiply(both, 2 ** (2 * FINER)), xp.multiply(both, 2**FINER))
    both = within(xp.where(small[0], finer, both), -most, most, "small, and scaled")
    both = xp.where(negative, xp.negative(both), both)
    d = within(both[0], 0, most, "a size")
    both = xp.stack([xp.add(d, NUDGE), both[1]])
    length = xp.sum(xp.square(both), 0)
    length = within(length, NUDGE**2, 2 * most**2, "a size that is kept away from zero")
    unit = within(xp.multiply(both, xp.rsqrt(length)), -1.5, 1.5, "over its length")
    unit = within(straightened(unit, 0), -1, 1, "over its length")
    h = within(xp.multiply(xp.add(unit[0], 1.0), 0.5), 0.5, 1, "half of 1 + cos 2θ")
    r = xp.rsqrt(h)
    sine = xp.multiply(xp.multiply(unit[1], r), 0.5)
    return within(xp.multiply(h, r), 0, 1, "a cosine"), within(sine, -1, 1, "a sine")


# -- singular values ------------------------------------------------------------------------------------------


def svdvals(a: SecretArray) -> SecretArray:
    """Return singular values, descending: the square roots of the eigenvalues of aᵀ·a.

    Small ones are as inexact as the root of a few units of (the largest)².
    """
    x = matrices(a, "svd", square=False)
    x = turned(x) if x.shape[1] < x.shape[2] else x
    scale, most = _scale(x)
    values = xp.sqrt(xp.maximum(_gram_values(xp.multiply(x, scale), most)[0], 0.0))
    return xp.reshape(xp.multiply(xp.flip(values, 1), 1 / scale), (*a.shape[:-2], x.shape[2]))


def _scale(x: SecretArray) -> tuple[float, float]:
    """Return the power of two that brings the norm of matrices to about 2^4, and the square of the norm then."""
    norm = math.sqrt(x.shape[1] * x.shape[2]) * max(x.aval.magnitude, 2.0**-16)
    scale = 2.0 ** (4 - math.ceil(math.log2(norm)))
    return scale, (norm * scale) ** 2


def _gram_values(x: SecretArray, most: float) -> tuple[SecretArray, SecretArray]:
    gram = within(xp.matmul(turned(x), x), -most, most, "products of columns")
    values, vectors = eigh(gram)
    return within(values, -most * 2.0**-8, most, "squares of singular values"), vectors


def svd(a: SecretArray, *, least: float | None = None) -> tuple[SecretArray, SecretArray, SecretArray]:
    """Return U (…, m, k), singular values (…, k) descending and Vᵀ (…, k, n), k = min(m, n), for full rank.

    The entry of largest size of a row of Vᵀ (of a column of U where m < n) is positive.
    """
    x = matrices(a, "svd", square=False)
    if x.shape[1] < x.shape[2]:
        u, s, vt = svd(turned(a), least=least)
        return turned(vt), s, turned(u)
    bound = stated(least, "svd")
    batch, n = x.shape[0], x.shape[2]
    scale, most = _scale(x)
    norm = math.sqrt(most)
    x = xp.multiply(x, scale)
    short = bound * scale
    values, vectors = _gram_values(x, most)
    vectors = xp.flip(vectors, 2)
    images = within(xp.matmul(x, vectors), -norm, norm, "a matrix times a vector of length one")
    r = xp.reshape(xp.rsqrt(xp.maximum(xp.flip(values, 1), short**2 / 2)), (batch, 1, n))
    u = within(xp.multiply(images, r), -1.5, 1.5, "a column over its length")
    u = within(straightened(u, 1), -1, 1, "a column over its length")
    s = within(xp.sum(xp.multiply(u, images), 1), short, norm, "a singular value")
    s = xp.multiply(s, 1 / scale)
    k = a.shape[:-2]
    return xp.reshape(u, a.shape), xp.reshape(s, (*k, n)), xp.reshape(turned(vectors), (*k, n, n))


# -- elimination with pivots ----------------------------------------------------------------------------------


def lu_factor(a: SecretArray, *, least: float | None = None) -> tuple[SecretArray, SecretArray, SecretArray]:
    """Return L and U in one matrix, pivots (…, n) and permutation (…, n) as LAPACK does; the latter are secret.

    Every column's largest entry is found obliviously and its row swapped by a one-hot vector, so |L_ij| ≤ 1 and no
    entry of U exceeds 2^(n−1) of those of `a`. What is left has an inverse that is a part of a⁻¹, so its first column
    is at least `least` long and its largest entry at least least/√n.
    """
    bound = stated(least, "lu")
    x = matrices(a, "lu")
    batch, n = x.shape[:2]
    if not x.size:
        none = a.context.const(np.zeros(a.shape[:-1], np.int64))
        return xp.reshape(x, a.shape), none, none
    least_pivot = bound / math.sqrt(n)
    reach = max(x.aval.magnitude * 2.0 ** (n - 1), least_pivot)
    places = np.arange(n)
    start = a.context.const(np.broadcast_to(places[None, :, None], (batch, n, 1)).copy())

    def step(
        _: Any, carry: list[SecretArray], row: list[SecretArray]
    ) -> tuple[list[SecretArray], list[SecretArray]]:
        (m, order), (place, here, below) = carry, row
        here, below = xp.reshape(here, (n, 1)), xp.reshape(below, (n, 1))
        sizes = xp.where(xp.logical_or(here, below), xp.abs(at(m, (0, 0, place), (batch, n, 1))), -1.0)
        size, pivot = _largest(sizes, places)
        hot = xp.astype(xp.equal(xp.reshape(pivot, (batch, 1, 1)), places[:, None]), "int")
        swap = xp.subtract(xp.astype(here, "int"), hot)
        m = xp.add(m, xp.multiply(swap, xp.subtract(_row(hot, m), at(m, (0, place, 0), (batch, 1, n)))))
        order = xp.add(
            order, xp.multiply(swap, xp.subtract(_row(hot, order), at(order, (0, place, 0), (batch, 1, 1))))
        )
        order = xp.assume(order, 0, n - 1, "a permutation")
        m = within(m, -reach, reach, "rows that change places")
        size = within(xp.maximum(size, least_pivot), least_pivot, reach, "a pivot of an elimination")
        inverse = xp.reshape(xp.reciprocal(size), (batch, 1, 1))
        inverse = xp.where(xp.less(at(m, (0, place, place), (batch, 1, 1)), 0), xp.negative(inverse), inverse)
        column = xp.where(below, xp.multiply(at(m, (0, 0, place), (batch, n, 1)), inverse), 0.0)
        column = within(column, -1, 1, "no entry of a column exceeds its pivot")
        right = xp.where(xp.reshape(below, (1, n)), at(m, (0, place, 0), (batch, 1, n)), 0.0)
        m = within(
            xp.subtract(m, xp.multiply(column, right)),
            -reach,
            reach,
            "an elimination at most doubles entries",
        )
        m = xp.where(xp.logical_and(below, xp.reshape(here, (1, n))), xp.broadcast_to(column, m.shape), m)
        return [m, order], [pivot]

    rows = [places, np.eye(n, dtype=bool), places > places[:, None]]
    (m, order), (pivots,) = repeat(step, [], [x, start], [(-reach, reach), (0, n - 1)], rows)
    pivots = xp.permute_dims(xp.reshape(pivots, (n, batch)), (1, 0))
    return xp.reshape(m, a.shape), xp.reshape(pivots, a.shape[:-1]), xp.reshape(order, a.shape[:-1])


def _row(hot: SecretArray, m: SecretArray) -> SecretArray:
    return within(xp.matmul(turned(hot), m), m.aval.lo, m.aval.hi, "one row")


def _largest(x: SecretArray, places: Any) -> tuple[SecretArray, SecretArray]:
    """Return the largest of x (batch, n, 1) along the second axis, and the first place where it is, (batch, 1)."""
    best = xp.reshape(x, x.shape[:2])
    where = x.context.const(np.broadcast_to(places, best.shape).copy())
    while best.shape[1] > 1:
        even = best.shape[1] // 2 * 2
        c = xp.greater(best[:, 1:even:2], best[:, 0:even:2])
        pair = [xp.where(c, v[:, 1:even:2], v[:, 0:even:2]) for v in (best, where)]
        if even < best.shape[1]:
            pair = [xp.concat([p, v[:, even:]], axis=1) for p, v in zip(pair, (best, where), strict=True)]
        best, where = pair
    return best, where


def slogdet(a: SecretArray, *, least: float | None = None) -> tuple[SecretArray, SecretArray]:
    """Return sign (int) and logarithm of the size of the determinant."""
    x = matrices(a, "slogdet")
    n = x.shape[1]
    if not x.size:
        raise NotRealised("the determinant of an empty matrix is one; it needs no computation")
    found, pivots, _ = lu_factor(x, least=least)
    bound = stated(least, "slogdet") / math.sqrt(n)
    diagonal = pick(found, np.arange(n), np.arange(n))
    size = xp.maximum(xp.abs(diagonal), bound)
    odd = xp.logical_xor(xp.less(diagonal, 0), xp.not_equal(pivots, np.arange(n)))
    while odd.shape[1] > 1:
        cut = odd.shape[1] // 2
        pair = xp.logical_xor(odd[:, :cut], odd[:, cut : 2 * cut])
        odd = xp.concat([pair, odd[:, 2 * cut :]], 1) if odd.shape[1] > 2 * cut else pair
    sign = xp.subtract(1, xp.multiply(xp.astype(odd, "int"), 2))
    return xp.reshape(sign, a.shape[:-2]), xp.reshape(xp.sum(xp.log(size), 1), a.shape[:-2])


def det(a: SecretArray, *, least: float | None = None) -> SecretArray:
    """Return the determinant, sign·exp(log|det|): its error is relative."""
    sign, log = slogdet(a, least=least)
    n = a.shape[-1]
    top = n * (math.log(max(a.aval.magnitude, 2.0**-30)) + math.log(n) / 2)
    low = n * math.log(stated(least, "det"))
    return xp.multiply(
        sign, xp.exp(within(log, low, max(top, low), "between the least singular value and Hadamard's bound"))
    )
