"""The joint study of several owners' tables: its program, and the same numbers from pooled rows for comparison."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import stats
from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.errors import DataError, UsageError
from tacit.net.roster import MAX_PARTIES, check_name
from tacit.node.job import Job
from tacit.node.study_spec import Logistic, StudySpec
from tacit.node.tables import Table, find_tables, read_table

Array = npt.NDArray[Any]
Disclose = Callable[[Any, str, str], Any]
PRESENT = ".present"
LOGISTIC = "logistic: "
"""Begins the names of the logistic regression's results."""
ERRORS = "standard errors of coefficients"
"""What follows from the linear regression's results in the clear, for comparison with the pooled rows'."""
ANSWERED = {
    "coefficients": "regression is usable",
    "r squared": "regression is usable",
    ERRORS: "regression is usable",
    "correlation": "pairs vary",
    LOGISTIC + "coefficients": LOGISTIC + "usable",
}
"""Which result says whether these, or each number of them, are more than zeros."""
FRACTION = 32
"""Fewest fractional bits: regression weights then match float64 to about seven digits."""


def joint(spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose) -> None:
    """Compute every result that `spec` asks for and hand each to `disclose(value, name, why)`.

    What `disclose` returns is used further: in a program that is the opened, public value.
    """
    if spec.describe:
        _describe(spec, values, present, disclose)
    if spec.disease is not None:
        _disease(spec, values, present, disclose)
    if spec.covariance:
        _covariance(spec, values, present, disclose)
    if spec.correlation:
        _correlation(spec, values, present, disclose)
    if spec.target:
        _regression(spec, values, present, disclose)
    if spec.logistic is not None:
        _logistic(spec, values, present, disclose)


def _bounds(spec: StudySpec, names: Sequence[str]) -> stats.Bounds:
    found = [spec.column(n) for n in names]
    return stats.Bounds.of([c.lo for c in found], [c.hi for c in found])


def _units(
    spec: StudySpec, names: Sequence[str], values: Mapping[str, Any], present: Mapping[str, Any]
) -> tuple[Any, Any, stats.Bounds]:
    bounds = _bounds(spec, names)
    masks = stats.columns([present[n] for n in names])
    return stats.standardise(stats.columns([values[n] for n in names]), masks, bounds), masks, bounds


def _describe(
    spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose
) -> None:
    units, masks, bounds = _units(spec, spec.describe, values, present)
    totals = stats.totals(units, masks)
    listed = ", ".join(spec.describe)
    n = disclose(totals.n, "counts", f"rows where each is present: {listed}")
    mean = disclose(stats.standard_mean(totals, n), "scaled means", f"mean of {listed}, scaled to the bounds")
    variance = disclose(
        stats.standard_variance(totals, n), "scaled variances", f"variance of {listed}, likewise"
    )
    # In the columns' own units by public numbers only: the ring need not hold squared units.
    disclose(stats.mean_in_units(mean, bounds), "means", "follows from the scaled means")
    variances = disclose(
        stats.variance_in_units(variance, bounds), "variances", "follows from the scaled variances"
    )
    disclose(stats.standard_error(variances, n), "standard errors", "follows from variances and counts")


def _disease(
    spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose
) -> None:
    d = spec.disease
    assert d is not None
    across = stats.code_masks(values[d.sex], present[d.sex], [code for code, _ in d.sex_labels])
    down = stats.band_masks(values[d.age], present[d.age], d.age_edges)
    column = values[d.column]
    flag = column > d.threshold if d.strict else column >= d.threshold
    table = stats.cross_table(across, down, flag, present[d.column])
    disclose(table.rows, "rows by group", f"rows by {d.sex} and band of {d.age}")
    disclose(table.flagged, "diseased by group", f"rows with {d.rule}, by {d.sex} and band of {d.age}")


def _covariance(
    spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose
) -> None:
    units, masks, bounds = _units(spec, spec.covariance, values, present)
    gram = stats.gram(units, stats.complete(masks))
    listed = ", ".join(spec.covariance)
    n = disclose(gram.n, "complete rows (covariance)", f"rows where all are present: {listed}")
    spread = disclose(
        stats.spread(gram, n), "spread", f"sums of products around the means of {listed}, scaled"
    )
    disclose(stats.covariance_of(spread, bounds, n), "covariance", "follows from spread and complete rows")


def _correlation(
    spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose
) -> None:
    units, masks, _ = _units(spec, spec.correlation, values, present)
    pairs = stats.pairs(units, masks)
    listed = ", ".join(spec.correlation)
    n = disclose(pairs.n, "rows of pairs", f"rows where both are present, of each two of {listed}")
    found = stats.correlation(pairs, n)
    disclose(found.varies, "pairs vary", "whether there is a correlation: both vary over these rows")
    disclose(found.matrix, "correlation", f"of each two of {listed}, over the rows where both are present")


def _regression(
    spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose
) -> None:
    names = (*spec.covariates, spec.target)
    units, masks, bounds = _units(spec, names, values, present)
    gram = stats.gram(units, stats.complete(masks))
    listed = ", ".join(spec.covariates)
    n = disclose(
        gram.n, "complete rows (regression)", f"rows where {spec.target} and all of {listed} are present"
    )
    model = stats.ols(gram, n, at=linear_model(spec).origin)
    disclose(model.usable, "regression is usable", "whether the rows determine the coefficients")
    weights = disclose(model.weights, "weights", f"least squares of {spec.target} on {listed}, scaled")
    disclose(stats.in_units(weights, bounds), "coefficients", "the weights in the columns' own units")
    disclose(model.errors, "scaled errors", "standard errors of the coefficients follow from them")
    disclose(model.residual_error, "residual error", f"of {spec.target}, scaled to the bounds")
    disclose(model.r_squared, "r squared", f"share of the variance of {spec.target} that is explained")


def linear_model(spec: StudySpec) -> stats.Ols:
    """Return the linear regression that a study asks for."""
    spans = {n: (spec.column(n).lo, spec.column(n).hi) for n in (*spec.covariates, spec.target)}
    return stats.Ols(spec.target, {n: spans[n] for n in spec.covariates}, spans[spec.target])


def with_errors(spec: StudySpec, results: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """Return a study's opened results, and what follows from them in the clear and can be compared."""
    return dict(results) | ({ERRORS: linear_results(spec, results, rows).bse} if spec.target else {})


def linear_results(spec: StudySpec, results: Mapping[str, Array], rows: int) -> stats.OlsResults:
    """Return the table of coefficients from a study's opened results; `rows` is the public number of all rows."""
    names = {"rows": "complete rows (regression)", "usable": "regression is usable", "weights": "weights"}
    names |= {"errors": "scaled errors", "r_squared": "r squared", "residual_error": "residual error"}
    return linear_model(spec).read({name: results[held] for name, held in names.items()}, rows)


def logistic_model(spec: StudySpec) -> stats.Logit:
    """Return the logistic regression that a study asks for."""
    m = spec.logistic
    assert m is not None
    return stats.Logit(
        m.target, {n: (spec.column(n).lo, spec.column(n).hi) for n in m.covariates}, m.at_least, m.steps
    )


def _logistic(
    spec: StudySpec, values: Mapping[str, Any], present: Mapping[str, Any], disclose: Disclose
) -> None:
    model, m = logistic_model(spec), spec.logistic
    assert m is not None
    held = {name: values[name] for name in (m.target, *m.covariates)}
    for name in list(held):
        if spec.column(name).missing:
            held[name + PRESENT] = present[name]
    listed = ", ".join(m.covariates)
    why = {
        "rows": f"rows where {m.target} and all of {listed} are present",
        "usable": "whether the rows determine the coefficients",
        "weights": f"log-odds of {m.case} by {listed}, scaled",
        "information": "standard errors of the coefficients follow from it",
    }
    opened = {name: disclose(value, LOGISTIC + name, why[name]) for name, value in model(held).items()}
    own = stats.in_units(opened["weights"], model.joint_bounds)
    disclose(own, LOGISTIC + "coefficients", "the weights in the columns' own units")


def logistic_results(spec: StudySpec, results: Mapping[str, Array], rows: int) -> stats.LogitResults:
    """Return the table of coefficients from a study's opened results; `rows` is the public number of all rows."""
    model = logistic_model(spec)
    return model.read({name: results[LOGISTIC + name] for name in model.results}, rows)


# -- as a job ---------------------------------------------------------------------------------------------


def study_program(spec: StudySpec, rows: Mapping[str, int]) -> Program:
    """Return the study's program for owners with these (public) numbers of rows."""
    trace = Trace()
    values: dict[str, list[Any]] = {}
    present: dict[str, list[Any]] = {}
    for owner, n in rows.items():
        for c in spec.columns:
            # A missing value is stored as 0, which the declared bound need not contain.
            lo, hi = (min(c.lo, 0), max(c.hi, 0)) if c.missing else (c.lo, c.hi)
            values.setdefault(c.name, []).append(trace.input(c.name, owner, (n,), c.kind, lo, hi))
            if c.missing:
                present.setdefault(c.name, []).append(
                    trace.input(c.name + PRESENT, owner, (n,), "bool", 0, 1)
                )
    everyone = trace.const(np.ones(sum(rows.values()), bool))
    joint(
        spec,
        {name: fn.concat(parts) for name, parts in values.items()},
        {c.name: fn.concat(present[c.name]) if c.missing else everyone for c in spec.columns},
        lambda value, name, why: reveal(value, why=why, name=name),
    )
    return trace.program()


def study_job(spec: StudySpec, rows: Mapping[str, int]) -> Job:
    """Return the job: the first three owners compute, all provide rows and receive the results."""
    owners = tuple(rows)
    if len(owners) > MAX_PARTIES:
        raise DataError(f"a joint study has at most {MAX_PARTIES} tables, one an owner; found {len(owners)}")
    if len(owners) < 3:
        raise DataError(
            f"a joint study needs at least three tables, because the first three owners compute; found {len(owners)}"
        )
    program = optimise(study_program(spec, rows))
    columns = dict.fromkeys(owners, spec.columns)
    return Job(spec.title, "rep3", fit(program, at_least=FRACTION), owners[:3], owners, program, columns)


@dataclass(frozen=True, slots=True)
class Owners:
    """The tables of a folder, by owner: the file's name without its suffix."""

    paths: dict[str, Path]
    tables: dict[str, Table]

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each owner's table."""
        return {name: t.rows for name, t in self.tables.items()}


def owners_of(folder: Path) -> dict[str, Path]:
    """Return every owner's table by its name; DataError for a name that cannot be an owner's."""
    paths: dict[str, Path] = {}
    for path in find_tables(folder):
        try:
            check_name(path.stem)
        except UsageError as exc:
            raise DataError(f"{path.name!r} cannot name an owner; rename the file ({exc})") from None
        twin = paths.setdefault(path.stem, path)
        if twin != path:
            raise DataError(f"{twin.name} and {path.name} name one owner; keep one of them, or rename it")
    return paths


def read_owners(folder: Path, spec: StudySpec) -> Owners:
    """Read every table of a folder as its owner would."""
    paths = owners_of(folder)
    return Owners(paths, {name: read_table(path, spec.columns) for name, path in paths.items()})


# -- the same numbers from pooled rows, by plain NumPy -------------------------------------------------------


def pooled_answer(spec: StudySpec, tables: Sequence[Table]) -> dict[str, Array]:
    """Return the study's results computed in the clear on all rows, by other means than the program's."""
    v = {c.name: np.concatenate([t.values[c.name] for t in tables]).astype(float) for c in spec.columns}
    p = {c.name: np.concatenate([t.present[c.name] for t in tables]) for c in spec.columns}
    out: dict[str, Array] = {}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no rows: no number, which is NaN here
        if spec.describe:
            seen = [v[c][p[c]] for c in spec.describe]
            out["counts"] = np.array([len(s) for s in seen])
            out["means"] = np.array([s.mean() for s in seen])
            out["variances"] = np.array([s.var(ddof=1) for s in seen])
            out["standard errors"] = np.array([s.std(ddof=1) / np.sqrt(len(s)) for s in seen])
        if spec.disease is not None:
            out.update(_pooled_disease(spec, v, p))
        if spec.covariance:
            whole = np.logical_and.reduce([p[c] for c in spec.covariance])
            out["complete rows (covariance)"] = np.asarray(whole.sum())
            out["covariance"] = np.cov(np.stack([v[c][whole] for c in spec.covariance]))
        if spec.correlation:
            out["rows of pairs"], out["correlation"] = _pooled_correlation(spec.correlation, v, p)
        if spec.target:
            names = (*spec.covariates, spec.target)
            whole = np.logical_and.reduce([p[c] for c in names])
            x = np.column_stack([np.ones(whole.sum()), *(v[c][whole] for c in spec.covariates)])
            y = v[spec.target][whole]
            weights, *_ = np.linalg.lstsq(x, y, rcond=None)
            rest = y - x @ weights
            spare = len(y) - x.shape[1]
            out["complete rows (regression)"] = np.asarray(whole.sum())
            out["coefficients"] = weights
            variances = np.diagonal(np.linalg.pinv(x.T @ x)) * (rest @ rest)
            out[ERRORS] = np.sqrt(variances / spare) if spare > 0 else np.full(len(weights), np.nan)
            # A constant target leaves nothing to explain, and rounding would make that infinite.
            around = (y - y.mean()) @ (y - y.mean()) if len(y) and np.ptp(y) > 0 else np.nan
            out["r squared"] = np.asarray(1 - rest @ rest / around)
        if spec.logistic is not None:
            names = (spec.logistic.target, *spec.logistic.covariates)
            out[LOGISTIC + "rows"] = np.logical_and.reduce([p[c] for c in names]).sum()
            out[LOGISTIC + "coefficients"] = _pooled_logistic(spec.logistic, v, p)
    return out


def _pooled_correlation(
    names: Sequence[str], v: dict[str, Array], p: dict[str, Array]
) -> tuple[Array, Array]:
    """Return rows and correlations of each pair, NaN where one does not vary."""
    counts, found = np.empty((2, len(names), len(names)))
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            both = p[a] & p[b]
            x, y = v[a][both], v[b][both]
            varied = both.any() and np.ptp(x) > 0 and np.ptp(y) > 0
            counts[i, j], found[i, j] = both.sum(), np.corrcoef(x, y)[0, 1] if varied else np.nan
    return counts, found


def _pooled_logistic(m: Logistic, v: dict[str, Array], p: dict[str, Array]) -> Array:
    """Return the coefficients by iteratively reweighted least squares, NaN where they do not settle."""
    whole = np.logical_and.reduce([p[c] for c in (m.target, *m.covariates)])
    x = np.column_stack([np.ones(whole.sum()), *(v[c][whole] for c in m.covariates)])
    y = (v[m.target][whole] >= (1 if m.at_least is None else m.at_least)).astype(float)
    size = np.abs(x).max(axis=0, initial=1e-9)
    x, w = x / size, np.zeros(x.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-x @ w))
        move, *_, rank = np.linalg.lstsq(x.T @ (x * (chance * (1 - chance))[:, None]), x.T @ (y - chance))[:3]
        w = w + move
        if int(rank) < len(w):
            break
        if np.abs(move).max() < 1e-10 * max(1.0, np.abs(w).max()):
            return np.asarray(w / size)
    return np.full(len(w), np.nan)


def _pooled_disease(spec: StudySpec, v: dict[str, Array], p: dict[str, Array]) -> dict[str, Array]:
    d = spec.disease
    assert d is not None
    flag = v[d.column] > d.threshold if d.strict else v[d.column] >= d.threshold
    rows, sick = [], []
    for code, _ in d.sex_labels:
        for low, high in itertools.pairwise(d.age_edges):
            group = (
                p[d.sex] & (v[d.sex] == code) & p[d.age] & (v[d.age] >= low) & (v[d.age] < high) & p[d.column]
            )
            rows.append(group.sum())
            sick.append((group & flag).sum())
    shape = (len(d.sex_labels), len(d.age_edges) - 1)
    return {"rows by group": np.reshape(rows, shape), "diseased by group": np.reshape(sick, shape)}


def compare(results: Mapping[str, Array], expected: Mapping[str, Array]) -> dict[str, float]:
    """Return, per result, the largest difference relative to the largest magnitude of 1e-9 and the expected value.

    Results without a number to compare are left out: means of no rows, coefficients that rows do not determine.
    """
    gaps = {}
    for name, want in expected.items():
        got, w = np.asarray(results[name], float), np.asarray(want, float)
        answered = np.asarray(results.get(ANSWERED.get(name, ""), True), bool)
        gap = (np.abs(got - w) / np.maximum(np.abs(w), 1e-9))[answered & ~np.isnan(w) & ~np.isnan(got)]
        if gap.size:
            gaps[name] = float(gap.max())
    return gaps
