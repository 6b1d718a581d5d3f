"""Logistic regression on one table whose rows lie with several owners, by Newton's method on shares.

See `describe` for columns, standard units |u| ≤ 1 and what is opened. `logit` is the computation; `Logit` is the same
for named columns of a study, and `LogitResults` what follows from the opened numbers in the clear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from tacit.array.repeat import repeat
from tacit.array.secret import SecretArray
from tacit.errors import ShapeError, UsageError
from tacit.stats._bounds import Bounds, Floats, as_int, as_number, namespace, within
from tacit.stats._named import Regression, as_text, intervals
from tacit.stats.describe import columns
from tacit.stats.regression import (
    LEAST_PIVOT,
    LEAST_SPREAD,
    eliminate,
    gather,
    in_units,
    normalised,
    triangle,
)

STEPS = 12
MOST_WEIGHT = 2.0**8
"""Weights in standard units are held within ±this; a fit that gets there is not usable."""
FLOOR = 2.0**-12
"""What is added to p(1 − p) in a step, so that one row's (y − p)²/w stays below 1/FLOOR."""
LEAST_WEIGHT = 2.0**-12
"""Mean of p(1 − p) over all rows below which there is nothing left to fit: separated, or hardly a complete row."""
SMALL_STEP = 2.0**-12
"""Last step, in standard deviations of each covariate, from which Newton's method counts as converged."""


class LogitFit(NamedTuple):
    """A logistic fit in standard units, on shares or opened; see `LogitResults`."""

    weights: Any
    """(p + 1,) intercept, then slopes; all 0 unless `usable`."""
    usable: Any
    """Whether the method converged to weights that the rows determine. Open it beside the weights."""
    information: Any
    """(p + 1, p + 1) mean over all rows of p(1 − p)·x·xᵀ at the weights, x = (1, u); all 0 unless `usable`."""


class _Point(NamedTuple):
    """Mean score and information at some weights."""

    score: Any
    information: Any


def logit(
    units: Any, keep: Any, cases: Any, steps: int = STEPS, least_pivot: float = LEAST_PIVOT
) -> LogitFit:
    r"""Fit the log-odds of `cases` (rows,) on standardised columns (rows, p) and an intercept, over the rows in `keep`.

    Newton's method, `steps` times from zero. With x = (1, u), p = 1/(1 + e^(−xᵀb)) and w = p(1 − p) + FLOOR, a step
    solves H·d = g for H the mean of w·x·xᵀ and g that of x·(y − p). FLOOR changes the way, not the end, where g is 0.
    It gives the bounds: g is the mean of w·x·r with r = (y − p)/w, and w·r² ≤ 1/FLOOR, so gᵀH⁻¹g ≤ 1/FLOOR =: root²
    by Bessel's inequality, for any subset of the columns, any scaling of them, and after taking out the intercept.
    `eliminate` (see `ols`) then keeps every number in range, and the slopes of a step below root/√least_pivot.

    `usable` is false, and all results 0, if at the last weights a step is still not small, if the information without
    FLOOR says that some covariate is (nearly) constant or collinear or that hardly a row is undecided (the
    cases are separated from the rest: no finite weights fit best), or if a weight reached the end of its range. It is
    the only thing learnt then. More steps help where the method was on its way, as with rare cases; tighter bounds
    where a covariate's are so wide that its values hardly move in standard units.
    """
    rows, p = _checked(units, keep, cases, steps)
    xp = namespace(units, keep, cases)
    kept = xp.where(keep, 1.0, 0.0)
    x = xp.concat([kept[:, None], xp.where(keep[:, None], units, 0.0)], axis=1)
    y = xp.where(keep & cases, 1.0, 0.0)
    ridge = within(xp.matmul(xp.permute_dims(x, (1, 0)), x) * (FLOOR / rows), -FLOOR, FLOOR)

    def step(held: list[Any], b: Any) -> Any:
        x, y, kept, ridge = held
        move, _, _ = _step(_point(x, y, kept, b), ridge, least_pivot)
        return xp.minimum(xp.maximum(b + move, -MOST_WEIGHT), MOST_WEIGHT)

    weights = _turns(step, [x, y, kept, ridge], p + 1, steps)
    last = _point(x, y, kept, weights)
    _, size, _ = _step(last, ridge, least_pivot)
    # The same without FLOOR: only what it says of the pivots counts.
    _, _, spare = _step(_Point(last.score * 0.0, last.information), 0.0, least_pivot)
    room = MOST_WEIGHT * (1 - 2.0**-8)
    tests = [SMALL_STEP - size, size + SMALL_STEP, room - weights, weights + room, spare]
    usable = xp.all(xp.concat(tests, axis=0) >= 0.0)
    return LogitFit(xp.where(usable, weights, weights * 0.0), usable, xp.where(usable, last.information, 0.0))


def _checked(units: Any, keep: Any, cases: Any, steps: int) -> tuple[int, int]:
    if len(units.shape) != 2 or keep.shape != units.shape[:1] or cases.shape != units.shape[:1]:
        raise ShapeError(
            f"logit: units {units.shape}, keep {keep.shape} and cases {cases.shape} are not (rows, covariates), "
            "(rows,) and (rows,)"
        )
    rows, p = units.shape
    if not p or not rows:
        raise ShapeError("a logistic regression needs at least one covariate and one row")
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or not 1 <= steps <= 1000:
        raise UsageError(f"logit: steps is a whole number from 1 to 1000, not {steps!r}")
    for name, mask in (("keep", keep), ("cases", cases)):
        if str(mask.dtype) != "bool":
            raise UsageError(
                f"logit: {name} holds truth values, not {mask.dtype}; compare first, as in y > 0"
            )
    return int(rows), int(p)


def _turns(step: Callable[[list[Any], Any], Any], held: list[Any], k: int, steps: int) -> Any:
    """Return b after `steps` turns of b = step(held, b) from zero; one equation on a session's or trace's arrays."""
    secrets = [v for v in held if isinstance(v, SecretArray)]
    if not secrets:
        b: Any = namespace(*held).zeros(k)
        for _ in range(steps):
            b = step(held, b)
        return b
    start = secrets[0].context.const(np.zeros(k))
    span = (-MOST_WEIGHT, MOST_WEIGHT)
    (b,), _ = repeat(
        lambda consts, carry, _: ([step(consts, carry[0])], []), held, [start], [span], [np.zeros(steps)]
    )
    return b


def _point(x: Any, y: Any, kept: Any, b: Any) -> _Point:
    """Return mean score and information at weights b; rows that are not kept have x = 0 and y = 0."""
    xp = namespace(x, b)
    n, k = x.shape
    p = _sigmoid(xp.matmul(x, b))
    turned = xp.permute_dims(x, (1, 0))
    # |x_ij| ≤ 1 and p(1 − p) ≤ 1/4; where a row is not kept, x is 0.
    weight = within(p - p * p, 0.0, 0.25)
    i, j, back = triangle(k)
    whole = xp.matmul(turned, x * weight[:, None]) * (1.0 / n)
    upper = xp.take(xp.reshape(whole, (-1,)), i * k + j, axis=0)
    score = xp.matmul(turned, y - kept * p) * (1.0 / n)
    return _Point(within(score, -1.0, 1.0), gather(within(upper, -0.25, 0.25), back))


def _sigmoid(x: Any) -> Any:
    if isinstance(x, SecretArray):
        return namespace(x).sigmoid(x)
    xp = namespace(x)
    return 1.0 / (1.0 + xp.exp(-xp.clip(x, -60.0, 60.0)))


def _step(at: _Point, ridge: Any, least_pivot: float) -> tuple[Any, Any, Any]:
    """Return a step, its size in standard deviations, and numbers that are negative where it means nothing."""
    xp = namespace(at.score)
    h, root = at.information + ridge, math.sqrt(1 / FLOOR)
    k = at.score.shape[0]
    p = k - 1
    i, j, back = triangle(p)
    # The intercept first: what is left is about the weighted means, |m| ≤ 1 because |u| ≤ 1.
    first = within(h[:1, 0], 0.0, 0.25 + FLOOR)
    whole = xp.maximum(first, LEAST_WEIGHT)
    both = xp.divide(xp.concat([h[1:, 0], at.score[:1]], axis=0), whole)
    means, shift = within(both[:p], -1.0, 1.0), within(both[p:], -1 / LEAST_WEIGHT, 1 / LEAST_WEIGHT)
    around = xp.take(xp.reshape(h[1:, 1:], (-1,)), i * p + j, axis=0) - xp.take(means, i, axis=0) * xp.take(
        h[1:, 0], j, axis=0
    )
    diagonal = within(xp.take(around, back.diagonal(), axis=0), 0.0, 0.25 + FLOOR)
    scale = xp.maximum(diagonal, LEAST_SPREAD) ** -0.5
    left, right = (xp.take(scale, at, axis=0) for at in (i, j))
    matrix = gather(normalised(xp.take(around, back[i, j], axis=0), left, right, 0.51), back)
    target = within((at.score[1:] - means * at.score[:1]) * scale, -root, root)
    solved = eliminate(matrix, target, root, least_pivot)
    slopes, pivots = solved.weights, solved.pivots
    inner = slopes * scale
    step = xp.concat([shift - xp.sum(inner * means, axis=0, keepdims=True), inner], axis=0)
    spare = xp.concat([pivots - least_pivot, diagonal - LEAST_SPREAD, first - LEAST_WEIGHT], axis=0)
    return step, xp.concat([shift, slopes], axis=0), spare


# -- a study's columns by name -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Logit(Regression):
    """Logistic regression of a study's column on others, by name: call it in the study, `read` what was opened.

    `exog` maps each covariate to its bounds, which are the column's declared ones. A row counts as a case where the
    column `endog` is true, or, with `at_least`, where it is not below that number. Rows with a missing value in
    any of these columns are left out, and nobody learns which.
    """

    at_least: float | None = None
    steps: int = STEPS

    results = ("rows", "usable", "weights", "information")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_least is not None and not isinstance(self.at_least, int | float | np.number):
            raise UsageError(f"Logit: at_least is a number or None, not {self.at_least!r}")

    @property
    def joint_bounds(self) -> Bounds:
        """Bounds for `in_units`: those of the covariates, and of log-odds, which have no units."""
        return Bounds.join([self.bounds, Bounds.of(-1.0, 1.0)])

    def __call__(self, t: Mapping[str, Any]) -> dict[str, Any]:
        """Return the results by name, from a study's columns (values, and `name.present` where some are missing)."""
        cases = self._cases(t[self.endog])
        xp = namespace(cases)
        keep = self._keep(t)
        units = [self._units(t, name, span, keep) for name, span in self.exog.items()]
        fit = logit(columns(units), keep, cases, self.steps)
        return {"rows": xp.sum(as_int(keep), axis=0), **fit._asdict()}

    def _cases(self, y: Any) -> Any:
        lo, hi = (
            (y.aval.lo, y.aval.hi)
            if isinstance(y, SecretArray)
            else (np.min(y, initial=0), np.max(y, initial=0))
        )
        if self.at_least is not None:
            # Rows in the clear may well be all cases; a declared bound says that they always are.
            if isinstance(y, SecretArray) and not lo < self.at_least <= hi:
                raise UsageError(
                    f"Logit: at_least={self.at_least:g} leaves no case, or nothing else, within the bound "
                    f"[{lo:g}, {hi:g}] of {self.endog!r}; give a number above {lo:g} and up to {hi:g}"
                )
            return as_number(y) >= self.at_least
        if str(y.dtype) == "bool":
            return y
        fixed = y.dtype == "fixed" if isinstance(y, SecretArray) else bool(np.any((y != 0) & (y != 1)))
        if fixed or lo < 0 or hi > 1:
            raise UsageError(
                f"Logit: {self.endog!r} is not declared as bool, or as int from 0 to 1; say from which number on a row "
                "is a case, as in at_least=1"
            )
        return y >= 1

    def read(self, opened: Mapping[str, Any], rows: int) -> LogitResults:
        """Return the table of coefficients from the opened results; `rows` is the public number of all rows."""
        self._check_opened(opened)
        fit = LogitFit(*(opened[name] for name in LogitFit._fields))
        return LogitResults.of(
            self.endog, tuple(self.exog), self.joint_bounds, fit, int(opened["rows"]), rows
        )


# -- what follows in the clear --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogitResults:
    """Coefficients in the columns' own units with what statistics says of them; all NaN unless `converged`."""

    endog: str
    names: tuple[str, ...]
    """Of the coefficients: "(intercept)", then the covariates."""
    params: Floats
    cov_params: Floats
    nobs: int
    converged: bool

    @classmethod
    def of(
        cls, endog: str, exog: Sequence[str], bounds: Bounds, fit: LogitFit, nobs: int, rows: int
    ) -> LogitResults:
        """Return them from an opened fit over `rows` rows, `nobs` of them complete; `bounds` as for `in_units`."""
        names, k = ("(intercept)", *exog), len(exog) + 1
        none = np.full((k, k), np.nan)
        if not bool(np.asarray(fit.usable)):
            return cls(endog, names, none[0], none, nobs, False)
        turn = np.stack([in_units(row, bounds) for row in np.eye(k)], axis=1)
        covariance = np.linalg.inv(np.asarray(fit.information, np.float64) * rows)
        weights = np.asarray(fit.weights, np.float64)
        return cls(endog, names, turn @ weights, turn @ covariance @ turn.T, nobs, True)

    @cached_property
    def bse(self) -> Floats:
        """Standard errors."""
        return np.sqrt(np.diagonal(self.cov_params))

    @cached_property
    def zvalues(self) -> Floats:
        """Coefficients over their standard errors."""
        return self.params / self.bse

    @cached_property
    def pvalues(self) -> Floats:
        """Two-sided p values of z under the normal distribution (Wald's test)."""
        return np.array([math.erfc(abs(z) / math.sqrt(2)) for z in self.zvalues])

    @cached_property
    def odds_ratios(self) -> Floats:
        """By what the odds are multiplied when a covariate grows by one of its units."""
        return np.exp(self.params)

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return (k, 2) confidence intervals of the coefficients at level 1 − alpha."""
        return intervals(self.params, self.bse, alpha, NormalDist().inv_cdf)

    @property
    def heading(self) -> str:
        """What was fitted on how many rows, and whether there is an answer."""
        if self.converged:
            return f"logistic regression of {self.endog} over {self.nobs} complete rows"
        return (
            f"logistic regression of {self.endog}: {self.nobs} complete rows do not determine the coefficients, or not "
            "at these bounds and in so many steps (the cases are separated from the rest; hardly any row is a case, or "
            "hardly any is not; a covariate is constant, follows from others, or has declared bounds far wider than "
            "its values); declare tighter bounds, take more steps, fewer covariates or more rows"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and one line for each coefficient, as text."""
        headings = ["", "coef", "std err", "z", "P>|z|", "odds", "[0.025", "0.975]"]
        spans = self.conf_int()
        lines = []
        for i, name in enumerate(self.names):
            numbers = [f"{self.params[i]:.4g}", f"{self.bse[i]:.3g}", f"{self.zvalues[i]:.2f}"]
            numbers += [f"{self.pvalues[i]:.3f}", f"{self.odds_ratios[i]:.4g}"]
            lines.append([name, *numbers, *(f"{v:.3g}" for v in spans[i])])
        return headings, lines

    def summary(self) -> str:
        """Return the table of coefficients as text, or why there is none."""
        if not self.converged:
            return self.heading
        return as_text(self.heading, *self.table())
