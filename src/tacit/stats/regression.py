"""Covariance and correlation matrices and ordinary least squares from one Gram product.

See `describe` for columns, standard units |u| ≤ 1 and what is opened. Everything here starts from totals over the
rows (count, sums, products UᵀU), each one reduction of the row axis, which each owner can compute on its own
rows in the clear. Results leave in standard units where precision asks for it; `in_units` and the other
post-steps use public scales only, so they may run on opened values and reveal nothing more.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tacit.array import functions
from tacit.array.ranges import fine
from tacit.array.secret import SecretArray
from tacit.errors import ShapeError
from tacit.stats._bounds import Bounds, Floats, as_int, namespace, within
from tacit.stats.describe import at_least_one, blank, per_row

Index = npt.NDArray[np.int64]
LEAST_PIVOT = 2.0**-12
"""Least share of a covariate's variance that the others must leave unexplained (1 / VIF)."""
LEAST_SPREAD = 2.0**-14
"""Mean square distance from the mean, in standard units, below which a column counts as nearly constant."""
LEAST_COVARIATE = 2.0**-16
"""The same for a covariate of a least-squares fit, where S is held at `LEAST_SPREAD`."""
RESIDUAL_TOLERANCE = 2.0**-8
FINE = f"standard errors of a least-squares fit {fine(36)}"
"""With fewer fractional bits, what a good fit leaves unexplained may be less than what rounding adds."""
REACH = LEAST_SPREAD**-0.5
"""Most of √rows·S_i in `ols`."""


class Gram(NamedTuple):
    """Totals over the complete rows of k standardised columns."""

    n: Any
    """Complete rows, int."""
    sums: Any
    """(k,) sums of u."""
    products: Any
    """(k, k) sums of u_i·u_j."""
    rows: int
    """Public number of rows, complete or not."""

    def join(self, other: Gram) -> Gram:
        """Return the totals of both sets of rows."""
        return Gram(
            self.n + other.n, self.sums + other.sums, self.products + other.products, self.rows + other.rows
        )


class Pairs(NamedTuple):
    """Totals of k standardised columns over the rows where both of a pair are present, all (k, k)."""

    n: Any
    sums: Any
    """Entry (i, j): sum of u_i over the rows where i and j are present."""
    products: Any
    squares: Any
    """Entry (i, j): sum of u_i² over the rows where i and j are present."""
    rows: int


class Correlation(NamedTuple):
    """Correlations, on shares or opened; see `filled`."""

    matrix: Any
    """(k, k), 1 on the diagonal; 0 wherever one of the two does not vary."""
    varies: Any
    """(k, k) whether both columns vary over the rows that count for the pair. Open it beside the matrix."""

    def filled(self) -> Floats:
        """Return the opened matrix with NaN where a column does not vary, as `DataFrame.corr` has it."""
        return blank(self.matrix, self.varies, 1)


class Fit(NamedTuple):
    """A least-squares fit in standard units; see `in_units`."""

    weights: Any
    """(p + 1,) intercept, then slopes; all 0 unless `usable`."""
    usable: Any
    """Whether the covariates determine the weights and the target varies. Open it beside the weights."""
    r_squared: Any
    """Share of the target's variance explained; 0 unless `usable`."""
    residual_error: Any
    """√(residual sum of squares / (n − p − 1)) in the target's standard units; 0 unless `usable`."""
    errors: Any
    """(p + 1,) from which `standard_errors` follow; 0 unless `usable`."""


def complete(present: Any) -> Any:
    """Return the mask (rows,) of rows where all of the k columns in `present` (rows, k) are present."""
    mask = present[:, 0]
    for j in range(1, present.shape[1]):
        mask = mask & present[:, j]
    return mask


def gram(units: Any, keep: Any) -> Gram:
    """Return count, sums and products over the rows in `keep` (rows,) of standardised columns (rows, k)."""
    xp = namespace(units, keep)
    u = xp.where(keep[:, None], units, 0.0)
    n = xp.sum(as_int(keep), axis=0)
    return Gram(n, xp.sum(u, axis=0), xp.matmul(xp.permute_dims(u, (1, 0)), u), int(units.shape[0]))


def pairs(units: Any, present: Any) -> Pairs:
    """Return count, sums and products of every pair of standardised columns (rows, k), 0 where missing."""
    xp = namespace(units, present)
    ones = as_int(present)
    left, ones_left = xp.permute_dims(units, (1, 0)), xp.permute_dims(ones, (1, 0))
    return Pairs(
        xp.matmul(ones_left, ones),
        xp.matmul(left, ones),
        xp.matmul(left, units),
        xp.matmul(xp.permute_dims(units * units, (1, 0)), ones),
        int(units.shape[0]),
    )


# -- symmetric matrices as their upper triangles ----------------------------------------------------------


def triangle(k: int) -> tuple[Index, Index, Index]:
    """Return rows and columns of the upper triangle, and for each entry of the matrix its place there.

    Work on the triangle keeps results exactly symmetric, where rounding would differ between the halves.
    """
    i, j = np.triu_indices(k)
    back = np.zeros((k, k), np.int64)
    back[i, j] = back[j, i] = np.arange(len(i))
    return i.astype(np.int64), j.astype(np.int64), back


def entries(x: Any, i: Index, j: Index) -> Any:
    """Return the entries (i, j) of a matrix."""
    xp = namespace(x)
    return xp.take(xp.reshape(x, (-1,)), i * x.shape[1] + j, axis=0)


def gather(x: Any, at: Index) -> Any:
    """Return x[at] for a flat x, in the shape of `at`."""
    xp = namespace(x)
    return xp.reshape(xp.take(x, at.reshape(-1), axis=0), at.shape)


def _centred(products: Any, left: Any, right: Any, n: Any, rows: int) -> Any:
    """Return Σ(u − ū)(v − v̄) = Σuv − Σu·Σv/n, flat; |.| ≤ n ≤ rows by Cauchy and Schwarz."""
    scaled, t = per_row(right, n, rows)
    most = float(max(rows, 1))
    return within(products - left * scaled * (1.0 / t), -most, most)


def normalised(x: Any, left: Any, right: Any, root: float) -> Any:
    """Return R_ij = C_ij·S_i·S_j in [−1, 1], for S_i ≤ 1/√C_ii and C_ii ≤ root².

    On the way |C_ij|·S_i ≤ √C_jj ≤ root, by Cauchy and Schwarz.
    """
    return within(within(x * left, -root, root) * right, -1.0, 1.0)


# -- covariance -------------------------------------------------------------------------------------------


def spread(totals: Gram | Pairs, n: Any = None) -> Any:
    """Return (k, k) sums of (u_i − ū_i)(u_j − ū_j) in standard units, exactly symmetric.

    From `gram` they are over complete rows, from `pairs` over each pair's rows. `n` is the opened count, if it is
    open: a number for `gram`, (k, k) for `pairs`. Together with the count these say what the covariances say.
    """
    flat, _ = _spread(totals, n)
    return gather(flat, triangle(totals.products.shape[0])[2])


def _spread(totals: Gram | Pairs, n: Any) -> tuple[Any, Any]:
    """Return the upper triangle of `spread`, and its counts: one, or one an entry."""
    i, j, _ = triangle(totals.products.shape[0])
    xp = namespace(totals.products)
    count = totals.n if n is None else n
    if isinstance(totals, Pairs):
        left, right = entries(totals.sums, i, j), entries(totals.sums, j, i)
        count = entries(count, i, j)
    else:
        left, right = xp.take(totals.sums, i, axis=0), xp.take(totals.sums, j, axis=0)
    return _centred(entries(totals.products, i, j), left, right, count, totals.rows), count


def covariance(totals: Gram | Pairs, bounds: Bounds, n: Any = None, ddof: int = 1) -> Any:
    """Return the (k, k) covariance matrix in the columns' own units; 0 where n ≤ ddof (see `describe.blank`).

    From `gram` it is `DataFrame.dropna().cov()`, from `pairs` it is `DataFrame.cov()`. The last step multiplies by
    the public h_i·h_j, on shares. Where the count is open, opening `spread` and finishing with `covariance_of` says
    the same and keeps more digits.
    """
    i, j, back = triangle(totals.products.shape[0])
    flat, count = _spread(totals, n)
    quotient, t = per_row(flat, count, totals.rows, ddof)
    return gather(quotient * (bounds.half[i] * bounds.half[j] / t), back)


def covariance_of(opened: Any, bounds: Bounds, n: Any, ddof: int = 1) -> Any:
    """Return the covariance matrix in the columns' own units from an opened `spread` and its opened counts."""
    scale: Floats = bounds.half[:, None] * bounds.half[None, :]
    return namespace(opened, n).divide(opened, at_least_one(n, ddof)) * scale


# -- correlation ------------------------------------------------------------------------------------------


def correlation(totals: Gram | Pairs, n: Any = None) -> Correlation:
    """Return the (k, k) correlation matrix, exactly symmetric, and where there is one.

    From `gram` it is `DataFrame.dropna().corr()`, from `pairs` it is `DataFrame.corr()`; `n` as for `spread`. A column
    does not vary if it is constant or nearly so: where its standard deviation is less than 2^−7 of half its bounds'
    width, tighter bounds help (if n of the rows count, less than √(rows / n) times that). Opened are one number a pair
    and what varies, where covariances would tell every column's variance, too.
    """
    xp = namespace(totals.products)
    rows = max(totals.rows, 1)
    i, j, back = triangle(totals.products.shape[0])
    around, count = _spread(totals, n)
    floor = LEAST_SPREAD * rows
    if isinstance(totals, Pairs):
        both = []
        for a, b in ((i, j), (j, i)):
            of = entries(totals.sums, a, b)
            own = _centred(entries(totals.squares, a, b), of, of, count, rows)
            both.append(within(own, 0.0, float(rows)))
        varies = (both[0] >= floor) & (both[1] >= floor)
        left, right = (xp.maximum(own, floor) ** -0.5 for own in both)
    else:
        own = within(xp.take(around, back.diagonal(), axis=0), 0.0, float(rows))
        each, scale = own >= floor, xp.maximum(own, floor) ** -0.5
        varies = xp.take(each, i, axis=0) & xp.take(each, j, axis=0)
        left, right = (xp.take(scale, at, axis=0) for at in (i, j))
    upper = normalised(around, left, right, math.sqrt(rows))
    upper = xp.where(varies, xp.where(i == j, 1.0, upper), 0.0)
    return Correlation(gather(upper, back), gather(varies, back))


# -- least squares ----------------------------------------------------------------------------------------


def ols(totals: Gram, n: Any = None, least_pivot: float = LEAST_PIVOT, at: Floats | None = None) -> Fit:
    r"""Fit the last column of `totals` on the others with an intercept, by the normal equations.

    Let C be the matrix of Σ(u_i − ū_i)(u_j − ū_j), which is positive semidefinite (PSD). Any scaling R = SCS of
    the covariates' block gives the same fit, so S_i = 1/√max(C_ii, floor) may be inexact; it makes 0 ≤ R_ii ≤ 1,
    and a PSD matrix then has |R_ij| ≤ 1. Cholesky elimination keeps that: with pivot d = R_00 replaced by
    d' = max(d, least_pivot), which adds a PSD matrix, the multiplier l_i = R_i0/√d' has l_i² ≤ d·R_ii/d' ≤ 1, and
    the Schur complement R_ij − l_i·l_j is PSD with diagonal at most R_ii ≤ 1. The target's column g = S·C_y rides
    along: |g_i| ≤ √C_yy ≤ √rows by Cauchy and Schwarz, and each z = g_0/√d' too, because Σz² ≤ C_yy.

    Back substitution has no such bound. Instead every covariate is put last once (p eliminations side by side, the
    same rounds), where its coefficient is z/√d' ≤ √rows/√least_pivot with d = R_kk·(1/VIF): bounded for certain.

    `usable` is false, and all results 0, when some pivot fell below `least_pivot` (collinear or constant covariates,
    fewer complete rows than covariates), when the target is (nearly) constant, as it is if its bounds are 2^8 of its
    standard deviations apart, or a covariate is, if 2^9 (declare tighter ones; where n of the rows are complete, less
    by √(n / rows)), or when the weights do not solve the normal equations, which would mean that precision ran out. It
    is the only thing learnt then.

    `errors` are those of the slopes, and of what is fitted at the point `at` (p,) in standard units. Left out it is 0,
    where the intercept stands in standard units; the one in the columns' own units stands at −centre/half. Who opens
    them needs 36 fractional bits, which formats are chosen by (0088).

    Measured on random designs with VIF up to 4096 against QR in float64: slopes are off by at most 2e-8 of their
    norm with 40 fractional bits in 128, by 6e-4 with 24 in 64 (2e-6 where no VIF exceeds about 10).
    """
    k, rows = totals.products.shape[0], max(totals.rows, 1)
    p = k - 1
    if p < 1:
        raise ShapeError("a regression needs at least one covariate and the target")
    point = np.zeros(p) if at is None else np.asarray(at, np.float64)
    if point.shape != (p,) or not np.all(np.isfinite(point)):
        raise ShapeError(f"ols: at is one finite number for each of {p} covariates, not {at!r}")
    xp = namespace(totals.products)
    count = totals.n if n is None else n
    back = triangle(k)[2]
    around, _ = _spread(totals, n)
    floor = LEAST_SPREAD * rows
    diagonal = within(xp.take(around, back.diagonal(), axis=0), 0.0, float(rows))
    scale = xp.maximum(diagonal[:p], floor) ** -0.5
    matrix, target = _normalise(around, scale, back, rows)
    solved = eliminate(matrix, target, math.sqrt(rows), least_pivot)
    slopes, pivots = solved.weights, solved.pivots
    # R·b = g up to rounding, or something went wrong; |R_ij| ≤ 1 and |g| ≤ √rows.
    gap = xp.reshape(xp.matmul(matrix, xp.reshape(slopes, (p, 1))), (p,)) - target
    room = RESIDUAL_TOLERANCE * math.sqrt(rows)
    # Without the second, rounding noise in a constant column's spread would pass for a pivot.
    spare = [pivots - least_pivot, diagonal[:p] - LEAST_COVARIATE * rows, diagonal[p:] - floor]
    spare += [gap + room, room - gap]
    usable = xp.all(xp.concat(spare, axis=0) >= 0.0)
    means, t = per_row(totals.sums, count, rows)
    weights = _weights(slopes, scale, means * (1.0 / t))
    r_squared, error = _goodness(diagonal[p], solved.explained, count, rows, p, floor)
    # C⁻¹ = S·R⁻¹·S, and √rows·S_i ≤ REACH. A slope's error is σ·S_k/√d_k. What is fitted at a point x has the variance
    # σ²·(1/n + v) with v = (x − ū)ᵀC⁻¹(x − ū) = |L⁻¹·S·(x − ū)|².
    small = within(scale * (math.sqrt(rows) / REACH), 0.0, 1.0)
    away = within((means[:p] * (1.0 / t) - point) * (1.0 / _room(point)), -1.0, 1.0)
    z = _solve_lower(solved, small * away * (1.0 / math.sqrt(p)), usable, least_pivot)
    square = within(xp.sum(z * z, axis=0, keepdims=True), 0.0, p / least_pivot)
    distance = xp.sqrt(xp.maximum(square, 0.0))
    errors = error * xp.concat([distance, small * solved.inverses], axis=0)
    if isinstance(errors, SecretArray):
        errors = functions.assume(errors, errors.aval.lo, errors.aval.hi, FINE)
    return Fit(
        xp.where(usable, weights, weights * 0.0),
        usable,
        xp.where(usable, r_squared, 0.0),
        xp.where(usable, error, 0.0),
        xp.where(usable, errors, 0.0),
    )


def _normalise(around: Any, scale: Any, back: Index, rows: int) -> tuple[Any, Any]:
    """Return R (p, p) with |R_ij| ≤ 1, exactly symmetric, and the scaled target column g (p,)."""
    xp = namespace(around)
    p = back.shape[0] - 1
    i, j, small = triangle(p)
    root = math.sqrt(rows)
    left, right = (xp.take(scale, at, axis=0) for at in (i, j))
    upper = normalised(xp.take(around, back[i, j], axis=0), left, right, root)
    # |C_iy|·S_i ≤ √C_yy ≤ √rows, by Cauchy and Schwarz.
    target = within(xp.take(around, back[:p, p], axis=0) * scale, -root, root)
    return gather(upper, small), target


class Solved(NamedTuple):
    """A solution of R·b = g, and what was found on the way."""

    weights: Any
    """(p,) b."""
    explained: Any
    """gᵀR⁻¹g."""
    pivots: Any
    """(p²,) all pivots, before they are held above the least."""
    inverses: Any
    """(p,) 1/√d' of each covariate put last: (R⁻¹)_kk is its square."""
    roots: Any
    """(p,) 1/√d' in the columns' own order: 1/L_ii of R = L·Lᵀ."""
    factor: list[Any]
    """The columns of L below the diagonal in that order: (p − 1,), (p − 2,), …, (1,)."""


def eliminate(matrix: Any, target: Any, root: float, least_pivot: float) -> Solved:
    """Solve R·b = g (p,) where gᵀR⁻¹g ≤ root² and |R_ij| ≤ 1; see `ols`."""
    xp = namespace(matrix)
    p = matrix.shape[0]
    flat = xp.reshape(xp.concat([matrix, target[:, None]], axis=1), (-1,))
    order = np.array([[c for c in range(p) if c != last] + [last] for last in range(p)], np.int64)
    beside = np.concatenate([order, np.full((p, 1), p, np.int64)], axis=1)
    left = gather(flat, order[:, :, None] * (p + 1) + beside[:, None, :])
    pivots, shares, roots, factor = [], [], [], []
    while True:
        pivot = within(left[:, 0, 0], 0.0, 1.0)
        inverse = (xp.maximum(pivot, least_pivot) ** -0.5)[:, None]
        row = left[:, 0, 1:] * inverse
        z = within(row[:, -1:], -root, root)
        pivots.append(pivot)
        shares.append(z[0])
        roots.append(inverse[p - 1])
        if left.shape[1] == 1:
            break
        steps = within(row[:, :-1], -1.0, 1.0)
        factor.append(steps[p - 1])
        row = xp.concat([steps, z], axis=1)
        left = within(left[:, 1:, 1:] - steps[:, :, None] * row[:, None, :], -root, root)
    share = xp.concat(shares, axis=0)
    explained = within(xp.sum(share * share, axis=0), 0.0, root * root)
    weights = (z * inverse)[:, 0]
    return Solved(
        weights, explained, xp.concat(pivots, axis=0), inverse[:, 0], xp.concat(roots, axis=0), factor
    )


def _weights(slopes: Any, scale: Any, means: Any) -> Any:
    """Return intercept and slopes in standard units."""
    xp = namespace(slopes)
    p = slopes.shape[0]
    inner = slopes * scale
    reach = xp.sum(inner * means[:p], axis=0, keepdims=True)
    return xp.concat([means[p:] - reach, inner], axis=0)


def _goodness(total: Any, explained: Any, n: Any, rows: int, p: int, floor: float) -> tuple[Any, Any]:
    """Return R² and the residual standard error in standard units."""
    xp = namespace(total)
    # The explained part of C_yy is at most C_yy.
    r_squared = within(xp.divide(explained, xp.maximum(total, floor)), 0.0, 1.0)
    remains = xp.maximum(within(total - explained, 0.0, float(rows)), 0.0)
    mean_square, t = per_row(remains, n, rows, p + 1)
    return r_squared, xp.sqrt(xp.maximum(mean_square, 0.0)) * (1.0 / math.sqrt(t))


def _solve_lower(solved: Solved, h: Any, usable: Any, least_pivot: float) -> Any:
    r"""Return L⁻¹h (p,) for |h| ≤ 1, at most √(p / least_pivot) long; h itself unless `usable`.

    Where the fit is usable every (R⁻¹)_kk = 1/d_k ≤ 1/least_pivot, and |L⁻¹h|² = hᵀR⁻¹h is at most their sum. What is
    left of h below a row is bounded likewise, as its Schur complement has a diagonal of at most 1; each row is divided
    by L_ii beforehand, for one product a step. Where it is not usable, L counts as the identity.
    """
    xp = namespace(h)
    p = h.shape[0]
    longest = math.sqrt(p / least_pivot)
    room = longest / math.sqrt(least_pivot)
    roots = xp.where(usable, solved.roots, 1.0)
    columns = []
    if p > 1:
        # Below the diagonal, column after column, each entry over the L_ii of its row.
        row = np.triu_indices(p, 1)[1]
        factor = xp.where(usable, xp.concat(solved.factor, axis=0), 0.0) * xp.take(roots, row, axis=0)
        ends = np.cumsum([0, *range(p - 1, 0, -1)]).tolist()
        columns = [factor[a:b] for a, b in itertools.pairwise(ends)]
    left, found = h * roots, []
    for column in columns:
        z = within(left[:1], -longest, longest)
        found.append(z)
        left = within(left[1:] - column * z, -room, room)
    return xp.concat([*found, within(left, -longest, longest)], axis=0)


def _room(point: Floats) -> float:
    """Return what a distance from the means, |ū_i| ≤ 1, is at most."""
    return 1.0 + float(np.max(np.abs(point)))


def standard_errors(fit: Fit, n: Any, rows: int, at: Floats | None = None) -> Floats:
    """Return (p + 1,) standard errors in standard units, in the clear: of what is fitted at `at`, and of the slopes.

    From an opened fit by `ols` with that `at`, its opened count and the public number of all rows. NaN unless
    `usable`, or where no more rows than coefficients are complete.
    """
    p = np.size(fit.weights) - 1
    point, spare = np.zeros(p) if at is None else np.asarray(at, np.float64), int(n) - p - 1
    if not bool(np.asarray(fit.usable)) or spare < 1:
        return np.full(p + 1, np.nan)
    errors, scale = np.asarray(fit.errors, np.float64), REACH / math.sqrt(max(rows, 1))
    away = errors[0] * scale * _room(point) * math.sqrt(p)
    first = math.hypot(float(fit.residual_error) / math.sqrt(int(n)), away)
    return np.concatenate([[first], errors[1:] * scale])


def in_units(weights: Any, bounds: Bounds) -> Any:
    """Return (p + 1,) intercept and slopes in the columns' own units from a fit's weights.

    `bounds` are those of the covariates and, last, of the target. It uses public scales only; on opened weights it
    runs in the clear, without the rounding of fixed point.
    """
    xp = namespace(weights)
    half, centre = bounds.half, bounds.centre
    factor: Floats = half[-1] / half[:-1]
    slopes = weights[1:] * factor
    constant = weights[:1] * float(half[-1]) + float(centre[-1])
    return xp.concat([constant - xp.sum(slopes * centre[:-1], axis=0, keepdims=True), slopes], axis=0)
