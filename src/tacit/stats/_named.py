"""Regressions on a study's columns by name: what linear and logistic ones have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tacit.array.secret import SecretArray
from tacit.errors import RangeError, UsageError
from tacit.stats._bounds import Bounds, Floats, as_number, namespace
from tacit.stats.describe import standardise
from tacit.stats.regression import complete


@dataclass(frozen=True)
class Regression:
    """A regression of the column `endog` on those of `exog`, which maps each covariate to its declared bounds.

    Rows with a missing value in any of these columns are left out, and nobody learns which.
    """

    endog: str
    exog: Mapping[str, tuple[float, float]]

    results: ClassVar[tuple[str, ...]] = ()
    """Names of what a call returns, all of which `read` needs opened."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.exog, Mapping):
            raise UsageError(f"{name}: exog maps each covariate to its bounds, as in {{'age': (0, 110)}}")
        if not self.exog:
            raise UsageError(f"{name} needs at least one covariate: exog={{'age': (0, 110), …}}")
        if self.endog in self.exog:
            raise UsageError(
                f"{name}: {self.endog!r} is both the outcome and a covariate; leave it out of exog"
            )
        for column, span in self.exog.items():
            self._check_span(column, span)
            if not span[0] < span[1]:
                raise RangeError(
                    f"{name}: {column!r} has bounds {tuple(span)!r}; a covariate varies, so lo < hi"
                )
        Bounds.of(*zip(*self.exog.values(), strict=True))

    def _check_span(self, column: str, span: Any) -> None:
        if np.shape(span) != (2,) or not all(isinstance(v, int | float | np.number) for v in span):
            raise UsageError(
                f"{type(self).__name__}: the bounds of {column!r} are a pair of numbers (lo, hi), not {span!r}"
            )

    @property
    def bounds(self) -> Bounds:
        """Bounds of the covariates, in order."""
        return Bounds.of(*zip(*self.exog.values(), strict=True))

    def _keep(self, t: Mapping[str, Any]) -> Any:
        """Return the mask of complete rows."""
        held = [m for m in (_present(t, name) for name in (*self.exog, self.endog)) if m is not None]
        if held:
            return complete(namespace(*held).stack(held, axis=1))
        outcome = t[self.endog]
        everyone = np.ones(outcome.shape, bool)
        if isinstance(outcome, SecretArray):
            return outcome.context.const(everyone)
        return namespace(outcome).asarray(everyone)

    def _units(self, t: Mapping[str, Any], name: str, span: tuple[float, float], keep: Any) -> Any:
        """Return one column in standard units, 0 in rows that are not kept."""
        mask, values, (lo, hi) = _present(t, name), as_number(t[name]), span
        self._inside(name, values, lo, hi, mask is not None)
        if mask is not None:
            values = namespace(values).where(mask, values, (lo + hi) / 2)
        return standardise(values, keep, Bounds.of(lo, hi))

    def _inside(self, name: str, values: Any, lo: float, hi: float, zeros: bool) -> None:
        """Refuse bounds that a column's declared ones leave, because everything after relies on them."""
        if not isinstance(values, SecretArray):
            return  # `standardise` looks at the values themselves
        low, high = values.aval.lo, values.aval.hi
        # A column with missing values is 0 there, whatever its bounds.
        if low < (min(lo, 0) if zeros else lo) or high > (max(hi, 0) if zeros else hi):
            raise RangeError(
                f"{type(self).__name__}: {name!r} has bounds ({lo:g}, {hi:g}), but its column is declared in "
                f"[{low:g}, {high:g}]; give the column's own bounds"
            )

    def _check_opened(self, opened: Mapping[str, Any]) -> None:
        lacks = [name for name in self.results if name not in opened]
        if lacks:
            raise UsageError(
                f"{type(self).__name__}: the results lack {', '.join(lacks)}; reveal all of {', '.join(self.results)}"
            )


def _present(t: Mapping[str, Any], name: str) -> Any:
    return t.get(f"{name}.present")


def intervals(params: Floats, errors: Floats, alpha: float, quantile: Callable[[float], float]) -> Floats:
    """Return (k, 2) confidence intervals at level 1 − alpha, of estimates over their errors with these quantiles."""
    if not 0 < alpha < 1:
        raise UsageError(f"conf_int: alpha is between 0 and 1, not {alpha!r}")
    reach = quantile(1 - alpha / 2) * errors
    return np.stack([params - reach, params + reach], axis=1)


def as_text(heading: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table as text: names to the left, numbers to the right."""
    widths = [max(len(row[c]) for row in (headings, *lines)) for c in range(len(headings))]
    text = [heading]
    for row in (headings, *lines):
        cells = [row[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)
