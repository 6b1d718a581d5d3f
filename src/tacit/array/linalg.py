"""Linear algebra on secret matrices: factorisations, inverses, least squares. NumPy's names.

Fixed point has no room for what is nearly singular, so whoever calls states how far the matrix is from it: `least`
is a bound below on its singular values, or on its eigenvalues where it is symmetric positive definite. Ranges follow
from it by the inequalities that stand beside each step. Leading axes are batches.

Errors are measured by tests/unit/test_linalg.py: some units of the last place times the size over `least`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.repeat import repeat
from tacit.array.secret import SecretArray
from tacit.errors import NotRealised, RangeError, ShapeError

__all__ = ["cholesky", "inv", "lstsq", "pinv", "qr", "solve", "solve_triangular"]

SLACK = 2.0**-6
"""Part of a bound by which statements reach outward, so that rounding cannot make them false."""
# Columns that one loop of a factorisation works on, before the matrix that is left is cut out.
BLOCKS = 4
# With so many times more rows than columns, nothing as long as all rows is inverted.
TALL = 2
# Products of columns that are shared are at most so large before they are scaled: beyond, they take room from digits.
ROOM = 2.0**16


def within(x: SecretArray, lo: float, hi: float, why: str) -> SecretArray:
    """Narrow the range by what is proved, widened for rounding; what is away from zero stays so."""
    room = (hi - lo) * SLACK
    lo, hi = max(lo / 2 if lo > 0 else lo - room, x.aval.lo), min(hi + room, x.aval.hi)
    return x if (lo, hi) == (x.aval.lo, x.aval.hi) else xp.assume(x, lo, hi, why)


def matrices(a: SecretArray, what: str, square: bool = True) -> SecretArray:
    """Return fixed-point matrices with one batch axis; refuse other shapes by name."""
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        raise ShapeError(f"{what} of shape {a.shape}: {'square ' if square else ''}matrices are needed")
    return xp.astype(xp.reshape(a, (math.prod(a.shape[:-2]), *a.shape[-2:])), "fixed")


def turned(a: SecretArray) -> SecretArray:
    """Transpose the last two axes."""
    return xp.permute_dims(a, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))


def stated(least: float | None, what: str) -> float:
    """Return the stated bound; RangeError names the remedy if nothing was stated."""
    if least is None:
        raise RangeError(
            f"{what} needs to know how far the matrix is from a singular one: state "
            "a = tacit.conditioned(a, least=...), no singular value of a is below `least` (definite=True: a is "
            "symmetric and no eigenvalue is), or add a multiple of the identity to a product x.T @ x"
        )
    if not (math.isfinite(least) and least > 0):
        raise RangeError(f"{what}: least must be a positive number, not {least}")
    return float(least)


def at(x: SecretArray, index: Sequence[Any], sizes: Sequence[int]) -> SecretArray:
    """Return the block of these sizes that begins at a public index; entries are numbers or arrays of a loop."""
    starts = [i if isinstance(i, SecretArray) else x.context.const(np.int64(i)) for i in index]
    found: SecretArray = x.context.bind("dynamic_slice", [x, *starts], {"sizes": list(sizes)})[0]
    return found


def pick(x: SecretArray, rows: Any, columns: Any) -> SecretArray:
    """Return the entries of matrices at public rows and columns, in their shape."""
    n = x.shape[-1]
    flat = xp.reshape(x, (x.shape[0], -1))
    where = np.asarray(rows) * n + np.asarray(columns)
    return xp.reshape(xp.take(flat, where.reshape(-1), 1), (x.shape[0], *where.shape))


def straightened(x: SecretArray, axis: int, beside: SecretArray | None = None) -> SecretArray:
    """Return x, of nearly length one along an axis, over its length; `beside`, put behind it, is divided by that too.

    With d = 1 − |x|², 1/√(1 − d) is 1 + d/2 + 3/8·d² + 5/16·d³, and 35/128·d⁴: as much as two steps of Newton's
    iteration leave, in two products less one after another.
    """
    length = xp.sum(xp.square(x), axis=axis, keepdims=True)
    d = xp.subtract(1.0, within(length, 0, 2, "a length of one, squared"))
    both = x if beside is None else xp.concat([x, beside], axis=axis)
    near = xp.multiply(both, xp.add(1.0, xp.multiply(d, 0.5)))
    rest = xp.multiply(both, xp.add(0.375, xp.multiply(d, 0.3125)))
    return xp.add(near, xp.multiply(rest, xp.square(d)))


# -- triangular matrices --------------------------------------------------------------------------------------


def solve_triangular(
    a: SecretArray,
    b: Any,
    *,
    least: float | None = None,
    lower: bool = False,
    transpose: bool = False,
    unit_diagonal: bool = False,
) -> SecretArray:
    """Return x with a·x = b (or aᵀ·x = b) for triangular `a`, no singular value below `least`; b (…, n, m)."""
    t, shape = matrices(a, "solve_triangular"), a.shape
    right = xp.broadcast_to(
        b if isinstance(b, SecretArray) else a.context.const(b, "fixed"), (*shape[:-2], *b.shape[-2:])
    )
    right = matrices(right, "solve_triangular", square=False)
    if right.shape[1] != t.shape[1]:
        raise ShapeError(f"solve_triangular: shapes {a.shape} and {b.shape} do not fit")
    if not t.size:
        return xp.reshape(right, (*shape[:-2], *right.shape[1:]))
    inverse = triangular_inverse(t, least, lower, unit_diagonal)
    inverse = turned(inverse) if transpose else inverse
    return xp.reshape(_product(inverse, right, least), (*shape[:-2], *right.shape[1:]))


def _product(inverse: SecretArray, b: SecretArray, least: float | None) -> SecretArray:
    """Return inverse·b; no entry exceeds ‖b‖ / least by more than rounding."""
    x = xp.matmul(inverse, b)
    if least is None:
        return x
    most = math.sqrt(b.shape[1]) * b.aval.magnitude / least
    return within(
        x, -most, most, "a solution is bounded by its right-hand side over the least singular value"
    )


def triangular_inverse(t: SecretArray, least: float | None, lower: bool, unit: bool) -> SecretArray:
    """Invert triangular matrices (batch, n, n); without `least` only those with ones on the diagonal."""
    n = t.shape[1]
    if not lower:
        return turned(triangular_inverse(turned(t), least, True, unit))
    norm = math.sqrt(n) * t.aval.magnitude
    if unit:
        return inverse_by_halves(t, None, norm, least)
    bound = stated(least, "a triangular solve")
    diagonal = pick(t, np.arange(n), np.arange(n))
    # No diagonal entry of a triangular matrix is below its least singular value, in size.
    size = within(xp.maximum(xp.abs(diagonal), bound), bound, max(t.aval.magnitude, bound), "a pivot")
    inverse = xp.reciprocal(size)
    if diagonal.aval.lo < 0:
        inverse = xp.where(xp.less(diagonal, 0), xp.negative(inverse), inverse)
    return inverse_by_halves(t, inverse, norm, bound)


def inverse_by_halves(
    t: SecretArray, diagonal: SecretArray | None, norm: float, least: float | None
) -> SecretArray:
    """Invert lower triangular matrices (batch, n, n) whose inverted diagonal is known; None for ones.

    [[A, 0], [C, B]]⁻¹ = [[A⁻¹, 0], [−B⁻¹·C·A⁻¹, B⁻¹]], for all blocks of one size at once: two products for each
    power of two. Each of these inverses is a part of t⁻¹, so its norm is at most 1/least, and that of C·A⁻¹ is at most
    norm/least where no row of t is longer than `norm`.
    """
    batch, n = t.shape[:2]
    full = 1 << max(n - 1, 0).bit_length()
    ctx = t.context
    if full > n:
        right = ctx.const(np.zeros((batch, n, full - n)))
        below = np.broadcast_to(np.eye(full)[n:], (batch, full - n, full)).copy()
        t = xp.concat([xp.concat([t, right], axis=2), ctx.const(below)], axis=1)
    ones = np.ones((batch, full if diagonal is None else full - n))
    parts = [p for p in (diagonal, ctx.const(ones) if ones.size else None) if p is not None]
    x = xp.reshape(xp.concat(parts, axis=1), (batch, full, 1, 1))
    most = None if least is None else 1 / min(least, 1.0)
    size = 1
    while size < full:
        first = np.arange(0, full, 2 * size)[:, None, None]
        corner = pick(t, first + size + np.arange(size)[:, None], first + np.arange(size))
        a, b = x[:, 0::2], x[:, 1::2]
        middle = xp.matmul(corner, a)
        if most is not None:
            middle = within(middle, -norm * most, norm * most, "a part of a triangular inverse, times a row")
        low = xp.negative(xp.matmul(b, middle))
        if most is not None:
            low = within(low, -most, most, "a part of a triangular inverse")
        zero = ctx.const(np.zeros((batch, full // (2 * size), size, size)))
        x = xp.concat([xp.concat([a, zero], axis=3), xp.concat([low, b], axis=3)], axis=2)
        size *= 2
    return xp.reshape(x, (batch, full, full))[:, :n, :n]


# -- Cholesky -------------------------------------------------------------------------------------------------


def cholesky(a: SecretArray, *, least: float | None = None, upper: bool = False) -> SecretArray:
    """Return lower triangular L with L·Lᵀ = a, for symmetric a whose eigenvalues are at least `least`."""
    found = _cholesky(matrices(a, "cholesky"), stated(least, "cholesky"))[0]
    return xp.reshape(turned(found) if upper else found, a.shape)


def _cholesky(a: SecretArray, least: float) -> tuple[SecretArray, SecretArray]:
    """Return L and the inverse of its diagonal, by columns.

    What elimination leaves of a positive definite matrix is positive definite with no larger diagonal, so no entry
    exceeds the largest diagonal entry D, and no entry of L exceeds √D. The eigenvalues that are left are at least
    `least` (its inverse is a part of a⁻¹), and with them each pivot. A smaller one, against what was stated, is
    replaced by `least`, which adds a positive semidefinite matrix: then too nothing grows.
    """
    batch, n = a.shape[:2]
    if not a.size:
        return a, xp.reshape(a, (batch, n))
    top = max(a.aval.hi, least)
    root = math.sqrt(top)
    left = within(a, -top, top, "no entry of a positive definite matrix exceeds its diagonal")
    columns, inverses = [], []
    width = n if n < 4 * BLOCKS else -(-n // BLOCKS)

    def step(
        _: Any, carry: list[SecretArray], row: list[SecretArray]
    ) -> tuple[list[SecretArray], list[SecretArray]]:
        (m,), (place, below) = carry, row
        size = m.shape[1]
        column = at(m, (0, 0, place), (batch, size, 1))
        pivot = at(m, (0, place, place), (batch, 1, 1))
        inverse = xp.rsqrt(within(xp.maximum(pivot, least), least, top, "a pivot of Cholesky's elimination"))
        scaled = xp.where(xp.reshape(below, (size, 1)), xp.multiply(column, inverse), 0.0)
        scaled = within(scaled, -root, root, "a column of a Cholesky factor")
        rest = xp.subtract(m, xp.multiply(scaled, turned(scaled)))
        return [within(rest, -top, top, "what Cholesky's elimination leaves")], [scaled, inverse]

    for start in range(0, n, width):
        size, count = n - start, min(width, n - start)
        below = np.arange(size) >= np.arange(count)[:, None]
        (left,), (found, inverse) = repeat(step, [], [left], [(-top, top)], [np.arange(count), below])
        found = xp.permute_dims(xp.reshape(found, (count, batch, size)), (1, 2, 0))
        if start:
            found = xp.concat([a.context.const(np.zeros((batch, start, count))), found], axis=1)
        columns.append(found)
        inverses.append(xp.permute_dims(xp.reshape(inverse, (count, batch)), (1, 0)))
        left = left[:, count:, count:]
    return xp.concat(columns, axis=2), xp.concat(inverses, axis=1)


# -- orthogonal factors ---------------------------------------------------------------------------------------


def _householder(
    a: SecretArray, right: SecretArray, least: float
) -> tuple[SecretArray, SecretArray, SecretArray]:
    """Return R (n, n), Qᵀ·right (m, c) and the inverse of R's diagonal, for a (m, n) with m ≥ n; all with a batch axis.

    Reflections keep the length of columns, so no entry exceeds the longest column. What is left of a column is at least
    `least` long, since R_jj⁻¹ is an entry of R⁻¹. The reflection that takes x to ∓|x|·e is 1 − v·vᵀ/(1 + |u_0|) for
    u = x/|x| and v = u ± e. |x|² has one unit of error, which is much of it for a short column: so u is straightened,
    and r = 1/|x| with it.
    """
    batch, m, n = a.shape
    if not a.size:
        return xp.reshape(a, (batch, n, n)), right, xp.reshape(a, (batch, n))
    norm = math.sqrt(m) * a.aval.magnitude
    reach = max(norm, math.sqrt(m) * right.aval.magnitude, 2 * least)
    # Columns are squared when they are about as long as 2^4: beneath, the unit of the square costs digits.
    scale = 2.0 ** (4 - math.ceil(math.log2(max(norm, least))))
    short, long = max(least * scale, 2.0**-5) / 2, 16.0
    work = xp.concat([a, right], axis=2)
    width = work.shape[2]

    def step(
        _: Any, carry: list[SecretArray], row: list[SecretArray]
    ) -> tuple[list[SecretArray], list[SecretArray]]:
        (w,), (place, below, unit) = carry, row
        column = xp.where(xp.reshape(below, (m, 1)), at(w, (0, 0, place), (batch, m, 1)), 0.0)
        x = within(xp.multiply(column, scale), -long, long, "reflections keep the length of a column")
        total = within(xp.sum(xp.square(x), axis=1, keepdims=True), 0, long**2, "the length of a column")
        r = xp.rsqrt(xp.maximum(total, short**2))
        u = within(xp.multiply(x, r), -1.5, 1.5, "a column over its length")
        both = straightened(u, 1, r)
        u = within(both[:, :m], -1, 1, "a column over its length")
        r = within(both[:, m:], 0, 2 / short, "a column is not shorter than the least singular value")
        first = at(u, (0, place, 0), (batch, 1, 1))
        negative = xp.less(first, 0)
        # Both selected at once, so that neither waits for the other nor for the sign as a number.
        pair = xp.concat([first, xp.multiply(r, scale)], axis=1)
        pair = xp.where(negative, xp.negative(pair), pair)
        factor = xp.reciprocal(xp.add(1.0, within(pair[:, :1], 0, 1, "a size")))
        turn = xp.subtract(1, xp.multiply(xp.astype(negative, "int"), 2))
        v = xp.add(u, xp.multiply(turn, xp.astype(xp.reshape(unit, (m, 1)), "fixed")))
        along = within(xp.matmul(turned(v), w), -2 * reach, 2 * reach, "a column along a reflection's axis")
        along = within(xp.multiply(along, factor), -reach, reach, "a column along a reflection's axis")
        w = within(
            xp.subtract(w, xp.multiply(v, along)), -reach, reach, "reflections keep the length of a column"
        )
        return [w], [xp.negative(pair[:, 1:])]

    rows = [np.arange(n), np.arange(m) >= np.arange(n)[:, None], np.eye(n, m, dtype=np.int64)]
    (work,), (inverse,) = repeat(step, [], [work], [(-reach, reach)], rows)
    kept = xp.where(np.triu(np.ones((n, n), bool)), work[:, :n, :n], 0.0)
    upper = within(kept, -norm, norm, "reflections keep the length of a column")
    inverse = xp.permute_dims(xp.reshape(inverse, (n, batch)), (1, 0))
    inverse = within(inverse, -1 / least, 1 / least, "no pivot is below the least singular value")
    return upper, work[:, :, n:width], inverse


def qr(a: SecretArray, *, least: float | None = None) -> tuple[SecretArray, SecretArray]:
    """Return Q (…, m, n) with orthonormal columns and upper triangular R with Q·R = a, m ≥ n.

    The signs are LAPACK's: R_jj has the sign opposite to the entry that it replaces, the last one of a square
    matrix excepted.
    """
    x = matrices(a, "qr", square=False)
    batch, m, n = x.shape
    if m < n:
        raise NotRealised(
            f"qr of a matrix with fewer rows than columns, {a.shape}, is not supported; factor a.T"
        )
    eye = a.context.const(np.broadcast_to(np.eye(m), (batch, m, m)).copy())
    upper, across, _ = _householder(x, eye, stated(least, "qr"))
    q = within(turned(across[:, :n]), -1, 1, "columns of length one")
    if m == n and n:
        # LAPACK leaves a column of one entry as it is.
        signs = np.where(np.arange(n) == n - 1, -1, 1)
        upper, q = xp.multiply(upper, signs[:, None]), xp.multiply(q, signs)
    return xp.reshape(q, a.shape), xp.reshape(upper, (*a.shape[:-2], n, n))


# -- inverses and least squares -------------------------------------------------------------------------------


def pinv(a: SecretArray, *, least: float | None = None, definite: bool = False) -> SecretArray:
    """Return the pseudo-inverse of matrices of full rank, the inverse of square ones."""
    x = matrices(a, "pinv", square=False)
    if x.shape[1] < x.shape[2]:
        return turned(pinv(turned(a), least=least))
    return xp.reshape(_inverse(x, stated(least, "an inverse"), definite), (*a.shape[:-2], *a.shape[:-3:-1]))


def inv(a: SecretArray, *, least: float | None = None, definite: bool = False) -> SecretArray:
    """Return the inverse of square matrices, symmetric positive definite ones if `definite`."""
    return xp.reshape(pinv(matrices(a, "inv"), least=least, definite=definite), a.shape)


def _inverse(a: SecretArray, least: float, definite: bool) -> SecretArray:
    """Return z with z·a = 1 for a (batch, m, n), m ≥ n; one step z + (1 − z·a)·z takes away the factors' errors."""
    batch, m, n = a.shape
    if not a.size:
        return xp.reshape(a, (batch, n, m))
    why = "an inverse is bounded by one over the least singular value"
    normal = None if definite else _normal(a, least, bool(a.aval.owner)) or _normal(a, least)
    if normal is not None:
        x, gram, scale, low = normal
        z = xp.multiply(xp.matmul(_inverse(gram, low, True), turned(x)), scale)
        z = within(z, -1 / least, 1 / least, why)
    elif definite:
        z = a.context.bind("inverse", [a], {"least": least})[0]
    else:
        eye = a.context.const(np.broadcast_to(np.eye(m), (batch, m, m)).copy())
        upper, across, diagonal = _householder(a, eye, least)
        back = turned(inverse_by_halves(turned(upper), diagonal, math.sqrt(m) * a.aval.magnitude, least))
        across = within(across[:, :n], -1, 1, "rows of length one")
        z = within(xp.matmul(back, across), -1 / least, 1 / least, why)
    # z·a = 1 also where a is not square; the step from the left serves both.
    gap = within(xp.subtract(np.eye(n), xp.matmul(z, a)), -1, 1, "the gap that an approximate inverse leaves")
    return within(xp.add(z, xp.matmul(gap, z)), -1 / least, 1 / least, why)


def eliminated(a: SecretArray, least: float) -> SecretArray:
    """Return nearly the inverse of definite matrices (batch, n, n), no eigenvalue below `least`, by Cholesky."""
    lower, diagonal = _cholesky(a, least)
    half = inverse_by_halves(lower, diagonal, math.sqrt(max(a.aval.hi, least)), math.sqrt(least))
    why = "an inverse is bounded by one over the least eigenvalue"
    return within(xp.matmul(turned(half), half), -1 / least, 1 / least, why)


def _normal(
    a: SecretArray, least: float, clear: bool = False
) -> tuple[SecretArray, SecretArray, float, float] | None:
    """Return x = 2^i·a, 4^(j − i)·xᵀ·x, 2^(2j − i), and a bound below on eigenvalues; None if accuracy would be lost.

    No column of 2^j·a is longer than four. A unit of error in each product changes a solution x for |b| ≤ 1 by
    n·|x|/low units, low being that bound and |x| ≤ √m/least, and one in aᵀ·b by 2^j·√n/low: together no more than half
    of what this module's results may be off by. So it is for tables of many rows, whose owners add up their products in
    the clear. What is multiplied in the `clear` has no units; there only float64 sets a limit.
    """
    m, n = a.shape[1:]
    size = max(a.aval.magnitude, 2.0**-30)
    norm = math.sqrt(m) * size
    if not a.size or (clear and math.sqrt(n) * norm > 2.0**20 * least):
        return None
    j = 2 - math.ceil(math.log2(norm))
    low = (least * 2.0**j) ** 2
    units = (n * math.sqrt(m) / least + 2.0**j * math.sqrt(n)) / low
    if not clear and units > m * max(1.0, size / least):
        return None
    # What makes entries larger comes first, so that units are small beside them; what makes them smaller after the
    # product, but for what that has no room for.
    i = j if j > 0 or clear else min(0, math.floor(math.log2(ROOM / norm**2) / 2))
    i = max(i, j)
    x = xp.multiply(a, 2.0**i) if i else a
    gram = xp.matmul(turned(x), x)
    gram = xp.multiply(gram, 4.0 ** (j - i)) if i != j else gram
    return x, within(gram, -16, 16, "products of columns no longer than 2^2"), 2.0 ** (2 * j - i), low


def solve(a: SecretArray, b: Any, *, least: float | None = None, definite: bool = False) -> SecretArray:
    """Return x with a·x = b for square a, and b (n,) or (…, n, m)."""
    matrices(a, "solve")
    return lstsq(a, b, least=least, definite=definite)


def lstsq(a: SecretArray, b: Any, *, least: float | None = None, definite: bool = False) -> SecretArray:
    """Return the x of least ‖a·x − b‖ for a (…, m, n) of full column rank.

    By the normal equations where they cost no accuracy (`_normal`), else x = z·b for the pseudo-inverse z, and one step
    of refinement, x + z·(b − a·x). With many rows z is R⁻¹·Qᵀ, of which only Qᵀ·b is computed, and the step is that of
    the seminormal equations, R⁻¹·R⁻ᵀ·aᵀ·(b − a·x) (Björck, "Stability analysis of the method of seminormal equations",
    Linear Algebra and its Applications 88/89, 1987).
    """
    bound = stated(least, "a solution")
    x = matrices(a, "solve", square=False)
    m, n = x.shape[1:]
    if m < n:
        raise NotRealised(
            f"least squares with fewer rows than columns, {a.shape}, has many solutions; use pinv(a) @ b"
        )
    right = b if isinstance(b, SecretArray) else a.context.const(np.asarray(b), "fixed")
    vector = right.ndim == 1
    right = xp.reshape(right, (-1, 1)) if vector else right
    if right.shape[-2] != m:
        raise ShapeError(f"solve: shapes {a.shape} and {right.shape} do not fit")
    right = matrices(xp.broadcast_to(right, (*a.shape[:-2], *right.shape[-2:])), "solve", square=False)
    shape = (*a.shape[:-2], n) if vector else (*a.shape[:-2], n, right.shape[2])
    if not x.size or not right.size:
        return a.context.const(np.zeros(shape))
    size = right.aval.magnitude * math.sqrt(m)
    why = "a solution is bounded by its right-hand side over the least singular value"
    normal = None if definite else _normal(x, bound)
    if normal is not None:
        x, gram, scale, low = normal
        side = xp.multiply(xp.matmul(turned(x), right), scale)
        found = lstsq(gram, side, least=low, definite=True)
        return xp.reshape(within(found, -size / bound, size / bound, why), shape)
    if x.aval.owner and not definite:  # who inverts it in the clear, and as exactly as it is then shared
        return xp.reshape(_product(_inverse(x, bound, False), right, bound), shape)
    if m > TALL * n:
        upper, across, diagonal = _householder(x, right, bound)
        back = turned(inverse_by_halves(turned(upper), diagonal, math.sqrt(m) * x.aval.magnitude, bound))
        found = _product(back, across[:, :n], bound)
        along = xp.matmul(turned(x), _residual(x, found, right, size))
        reach = math.sqrt(m) * x.aval.magnitude * size
        along = within(along, -reach, reach, "columns times a residual")
        along = within(
            xp.matmul(turned(back), along), -size, size, "a residual along unit columns is no longer"
        )
        change = xp.matmul(back, along)
    else:
        z = _inverse(x, bound, definite)
        found = _product(z, right, bound)
        change = xp.matmul(z, _residual(x, found, right, size))
    found = within(xp.add(found, change), -size / bound, size / bound, why)
    return xp.reshape(found, shape)


def _residual(a: SecretArray, x: SecretArray, b: SecretArray, size: float) -> SecretArray:
    """Return b − a·x."""
    gap = xp.subtract(b, xp.matmul(a, x))
    return within(gap, -size, size, "a residual is not longer than the right-hand side")
