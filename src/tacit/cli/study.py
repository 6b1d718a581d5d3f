"""`tacit demo` without more words: a joint study of several hospitals, beside the pooled answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tacit.cli.show import console, progress, rows_table, statement_lines
from tacit.node.demo_data import hospital_tables
from tacit.node.joint_study import (
    compare,
    linear_results,
    logistic_results,
    owners_of,
    pooled_answer,
    read_owners,
    study_job,
    with_errors,
)
from tacit.node.launch import Member, Parties, run_local
from tacit.node.room import check_room
from tacit.node.statement import statement
from tacit.node.study_spec import StudySpec, detect
from tacit.stats import Correlation, LogitResults, OlsResults, blank
from tacit.stats.linear import NEEDS_SCIPY

Results = Mapping[str, Any]
NOTHING = "–"
LEAST_UNITS = 2**10
"""From so many units of the ring on, a variance is known to about three digits."""


def run_study(data: Path | None, home: Path, scratch: Path) -> int:
    """Run the study of the tables in `data` (default: the bundled ones); print answer, comparison and statement."""
    folder = data
    if folder is None:
        folder = scratch / "data"
        hospital_tables(folder)
    spec = detect(folder)
    members = [Member(name, home / name, path) for name, path in owners_of(folder).items()]
    with Parties(members).starting() as parties:
        owners = read_owners(folder, spec)
        job = study_job(spec, owners.rows)
        listed = ", ".join(f"{name} ({n} rows)" for name, n in owners.rows.items())
        console().print(f"[bold]{spec.title}[/bold]: {listed}", highlight=False)
        plan = job.plan()
        check_room(sum(plan.cost.memory.values()), "these processes together")
        with progress() as bars:
            outcomes = run_local(job, parties, scratch, bars)
    rows = sum(owners.rows.values())
    results = with_errors(spec, outcomes[job.parties[0]].results, rows)
    expected = pooled_answer(spec, list(owners.tables.values()))
    show_results(spec, results, expected, job.fmt.frac_bits, rows)
    show_comparison(results, expected)
    how = f"{len(members)} processes, mutual TLS 1.3 with pinned identities in {home}"
    statement_lines(statement(plan, outcomes, how))
    return 0


def show_results(spec: StudySpec, got: Results, want: Results, frac_bits: int, rows: int) -> None:
    """Print the joint results of so many rows, and of so many fractional bits, beside the pooled ones."""
    if spec.describe:
        _describe(spec, got, want)
        _say_coarse(spec.describe, blank(got["scaled variances"], got["counts"], 2), frac_bits)
    if spec.disease is not None:
        _disease(spec, got)
    if spec.covariance:
        _covariance(spec, got)
        n = int(got["complete rows (covariance)"])
        _say_coarse(spec.covariance, blank(np.diagonal(got["spread"]) / max(n - 1, 1), n, 2), frac_bits)
    if spec.correlation:
        _correlation(spec, got)
    if spec.target:
        show_linear(linear_results(spec, got, rows), want["coefficients"])
    if spec.logistic is not None:
        show_logistic(logistic_results(spec, got, rows))


def _describe(spec: StudySpec, got: Results, want: Results) -> None:
    rows = []
    for i, name in enumerate(spec.describe):
        n = int(got["counts"][i])
        cells = [f"{n:,}"]
        for key, least in (("means", 1), ("variances", 2), ("standard errors", 2)):
            cells += [_cell(float(blank(v[i], n, least))) for v in (got[key], want[key])]
        rows.append([name, *cells])
    headings = ["", "n", "mean", "pooled", "variance", "pooled", "s.e.", "pooled"]
    rows_table("over the rows where each is present; 'pooled' is the same in the clear", headings, rows)


def _covariance(spec: StudySpec, got: Results) -> None:
    n = int(got["complete rows (covariance)"])
    matrix = blank(got["covariance"], n, 2)
    rows = [[name, *(_cell(v) for v in matrix[i])] for i, name in enumerate(spec.covariance)]
    rows_table(f"covariance over {n} complete rows", ["", *spec.covariance], rows)


def _correlation(spec: StudySpec, got: Results) -> None:
    matrix = Correlation(got["correlation"], got["pairs vary"]).filled()
    rows = [[name, *(_cell(v) for v in matrix[i])] for i, name in enumerate(spec.correlation)]
    rows_table("correlation over the rows where both are present", ["", *spec.correlation], rows)


def _say_coarse(names: Sequence[str], variances: Any, frac_bits: int) -> None:
    """Name the columns whose variances in standard units are so few units of the ring that their digits are noise."""
    few = [name for name, v in zip(names, variances, strict=True) if v < LEAST_UNITS * 2.0**-frac_bits]
    if few:
        console().print(
            f"at most three digits of the variance of {', '.join(few)} are sure: constant, or declared in bounds "
            "far wider than the values; declare tighter ones",
            highlight=False,
        )


def _cell(value: float) -> str:
    return NOTHING if np.isnan(value) else f"{value:.5g}"


def _disease(spec: StudySpec, got: Results) -> None:
    d = spec.disease
    assert d is not None
    rows = []
    for i, (_, label) in enumerate(d.sex_labels):
        cells = []
        for n, sick in zip(got["rows by group"][i], got["diseased by group"][i], strict=True):
            cells.append(f"{sick}/{n} = {sick / n:.1%}" if n else NOTHING)
        rows.append([label, *cells])
    rows_table(f"rate of {d.rule} by {d.sex} and {d.age} (exact counts)", ["", *d.bands], rows)


def show_linear(fit: OlsResults, pooled: Any) -> None:
    """Print the coefficients of a linear regression beside the pooled ones, or why there are none."""
    if not fit.usable:
        console().print(fit.heading, highlight=False)
        return
    headings, lines = fit.table()
    rows = [[*line[:2], f"{other:.4g}", *line[2:]] for line, other in zip(lines, pooled, strict=True)]
    rows_table(fit.heading, [*headings[:2], "pooled", *headings[2:]], rows)
    if len(headings) < 6:
        console().print(NEEDS_SCIPY, highlight=False)


def show_logistic(fit: LogitResults) -> None:
    """Print the coefficients of a logistic regression, or why there are none."""
    if not fit.converged:
        console().print(fit.heading, highlight=False)
        return
    headings, lines = fit.table()
    rows_table(fit.heading, headings, lines)


def show_comparison(got: Results, want: Results) -> None:
    """Print the largest relative difference from the pooled answer, per result and in all."""
    gaps = compare(got, want)
    exact = [name for name, gap in gaps.items() if gap == 0]
    worst = max(gaps, key=lambda name: gaps[name])
    console().print(
        f"largest relative difference from the pooled rows: {gaps[worst]:.2g} (in {worst}); exact: {', '.join(exact)}",
        highlight=False,
    )
    without = [name for name in want if name not in gaps]
    if without:
        console().print(f"without an answer, and not compared: {', '.join(without)}", highlight=False)
