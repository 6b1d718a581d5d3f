"""Least squares on a study's columns by name: what is opened, and what follows from it in the clear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from tacit.array.secret import SecretArray
from tacit.errors import UsageError
from tacit.stats._bounds import Bounds, Floats
from tacit.stats._named import Regression, as_text, intervals
from tacit.stats.describe import columns
from tacit.stats.regression import Fit, gram, in_units, ols, standard_errors

LEAST_ERROR = 2.0**-15
"""Residual standard error, of half the target's bounds, from which it is more than rounding."""
NEEDS_SCIPY = "p values and intervals of Student's t need SciPy: .venv/bin/pip install -e '.[stats]'"


@dataclass(frozen=True)
class Ols(Regression):
    """Least squares of a study's column on others, by name: call it in the study, `read` what was opened.

    `exog` maps each covariate to its bounds, `endog_bounds` are those of the column `endog`, all as declared. Rows with
    a missing value in any of these columns are left out, and nobody learns which. Opened are the numbers of a table of
    coefficients, and no more: of the covariates' means and covariances only what the standard errors tell.
    """

    endog_bounds: tuple[float, float]

    results = ("rows", "usable", "weights", "errors", "r_squared", "residual_error")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_span(self.endog, self.endog_bounds)
        Bounds.of(*self.endog_bounds)

    @property
    def joint_bounds(self) -> Bounds:
        """Bounds for `in_units`: those of the covariates, and of the target."""
        return Bounds.join([self.bounds, Bounds.of(*self.endog_bounds)])

    @property
    def origin(self) -> Floats:
        """Where the intercept stands, x = 0, in the covariates' standard units."""
        return -self.bounds.centre / self.bounds.half

    def __call__(self, t: Mapping[str, Any]) -> dict[str, Any]:
        """Return the results by name, from a study's columns (values, and `name.present` where some are missing)."""
        if not isinstance(t[self.endog], SecretArray | np.ndarray):
            raise UsageError(
                "Ols is written against the Python array API, where it can say how many fractional bits its standard "
                "errors take; give the study frontend='array'"
            )
        keep = self._keep(t)
        spans = {**self.exog, self.endog: self.endog_bounds}
        totals = gram(columns([self._units(t, name, span, keep) for name, span in spans.items()]), keep)
        return {"rows": totals.n, **ols(totals, at=self.origin)._asdict()}

    def read(self, opened: Mapping[str, Any], rows: int) -> OlsResults:
        """Return the table of coefficients from the opened results; `rows` is the public number of all rows."""
        self._check_opened(opened)
        fit = Fit(*(opened[name] for name in Fit._fields))
        return OlsResults.of(self, fit, int(opened["rows"]), rows)


@dataclass(frozen=True)
class OlsResults:
    """Coefficients in the columns' own units with what statistics says of them; all NaN unless `usable`."""

    endog: str
    names: tuple[str, ...]
    """Of the coefficients: "(intercept)", then the covariates."""
    params: Floats
    bse: Floats
    """Standard errors; NaN where no more rows than coefficients are complete, or nothing is left unexplained."""
    rsquared: float
    scale: float
    """Residual sum of squares over `df_resid`, in squared units of the target."""
    nobs: int
    usable: bool

    @classmethod
    def of(cls, model: Ols, fit: Fit, nobs: int, rows: int) -> OlsResults:
        """Return them from a model's opened fit over `rows` rows, `nobs` of them complete."""
        names, k = ("(intercept)", *model.exog), len(model.exog) + 1
        if not bool(np.asarray(fit.usable)):
            none = np.full(k, np.nan)
            return cls(model.endog, names, none, none, np.nan, np.nan, nobs, False)
        bounds = model.joint_bounds
        own, told = float(bounds.half[-1]), nobs > k and float(fit.residual_error) >= LEAST_ERROR
        units = np.concatenate([[own], own / bounds.half[:-1]])
        return cls(
            model.endog,
            names,
            np.asarray(in_units(np.asarray(fit.weights, np.float64), bounds)),
            (standard_errors(fit, nobs, rows, model.origin) if told else np.nan) * units,
            float(fit.r_squared),
            (float(fit.residual_error) * own) ** 2 if told else np.nan,
            nobs,
            True,
        )

    @property
    def df_model(self) -> int:
        """How many covariates there are."""
        return len(self.names) - 1

    @property
    def df_resid(self) -> int:
        """How many more complete rows than coefficients there are."""
        return self.nobs - len(self.names)

    @property
    def rsquared_adj(self) -> float:
        """1 − (1 − R²)·(n − 1)/(n − p − 1)."""
        if self.df_resid < 1:
            return np.nan
        return 1 - (1 - self.rsquared) * (self.nobs - 1) / self.df_resid

    @property
    def fvalue(self) -> float:
        """F statistic of all covariates together, against the mean alone; NaN where R² is 1."""
        if np.isnan(self.scale) or not self.rsquared < 1:
            return np.nan
        return (self.rsquared / self.df_model) / ((1 - self.rsquared) / self.df_resid)

    @property
    def f_pvalue(self) -> float:
        """P value of `fvalue`."""
        return float(_special().fdtrc(self.df_model, self.df_resid, self.fvalue))

    @cached_property
    def tvalues(self) -> Floats:
        """Coefficients over their standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.params / self.bse

    @cached_property
    def pvalues(self) -> Floats:
        """Two-sided p values of t under Student's distribution."""
        return np.asarray(2 * _special().stdtr(self.df_resid, -np.abs(self.tvalues)), np.float64)

    def conf_int(self, alpha: float = 0.05) -> Floats:
        """Return (k, 2) confidence intervals of the coefficients at level 1 − alpha."""
        student = partial(_special().stdtrit, max(self.df_resid, 1))
        return intervals(self.params, self.bse, alpha, student)

    @property
    def heading(self) -> str:
        """What was fitted on how many rows, and whether there is an answer."""
        fitted = f"least squares of {self.endog} over {self.nobs} complete rows; R² {self.rsquared:.4g}"
        if self.usable and np.isnan(self.scale):
            cause = (
                "no more rows than coefficients" if self.df_resid < 1 else "residuals no larger than rounding"
            )
            return f"{fitted}; {cause}, so without standard errors"
        if self.usable:
            return f"{fitted}, adjusted {self.rsquared_adj:.4g}; residual standard error {np.sqrt(self.scale):.4g}"
        return (
            f"least squares of {self.endog}: {self.nobs} complete rows do not determine the coefficients (a column is "
            "constant, a covariate follows from others, or has declared bounds far wider than its values); declare "
            "tighter bounds, leave covariates out, or take more rows"
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return headings and one line for each coefficient, as text; without SciPy no p values and intervals."""
        headings = ["", "coef", "std err", "t"]
        lines = [
            [name, f"{self.params[i]:.4g}", f"{self.bse[i]:.3g}", f"{self.tvalues[i]:.2f}"]
            for i, name in enumerate(self.names)
        ]
        try:
            chances, spans = self.pvalues, self.conf_int()
        except UsageError:
            return headings, lines
        more = [[f"{p:.3f}", *(f"{v:.3g}" for v in span)] for p, span in zip(chances, spans, strict=True)]
        return [*headings, "P>|t|", "[0.025", "0.975]"], [a + b for a, b in zip(lines, more, strict=True)]

    def summary(self) -> str:
        """Return the table of coefficients as text, or why there is none."""
        if not self.usable:
            return self.heading
        headings, lines = self.table()
        text = as_text(self.heading, headings, lines)
        return text if len(headings) > 4 else f"{text}\n{NEEDS_SCIPY}"


def _special() -> Any:
    try:
        from scipy import special
    except ImportError:
        raise UsageError(NEEDS_SCIPY) from None
    return special
