"""Statistics: NumPy against pandas and statsmodels, secret sharing against pooled rows, degenerate inputs."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from tacit import stats
from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.merge import optimise
from tacit.array.passes import localise
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.array.runtime import Format, Runtime
from tacit.errors import RangeError, ShapeError
from tacit.node import study_spec
from tacit.testing import run

pd = pytest.importorskip("pandas")

COLUMNS = {"age": (0, 110), "chol": (0, 700), "peak": (-5, 10), "num": (0, 4)}
OWNERS = ("alice", "bob", "carol")
BOUNDS = [stats.Bounds.of(*b) for b in COLUMNS.values()]
JOINT = stats.Bounds.join(BOUNDS)
WIDE, NARROW = Format(128, 40), Format(64, 24)


def hospitals(rows: Any = (60, 35, 22), seed: int = 3) -> list[Any]:
    rng = np.random.default_rng(seed)
    frames = []
    for n in rows:
        age = rng.normal(54, 9, n).clip(20, 90).round(1)
        chol = rng.normal(240, 50, n).clip(80, 600).round()
        peak = (rng.normal(1, 1.2, n) + 0.02 * (age - 54)).clip(-3, 6).round(1)
        num = (0.03 * (age - 40) + 0.4 * peak + rng.normal(0, 0.7, n)).clip(0, 4).round(2)
        frame = pd.DataFrame({"age": age, "chol": chol, "peak": peak, "num": num})
        for name in ("chol", "peak"):
            frame.loc[rng.random(n) < 0.15, name] = np.nan
        frames.append(frame)
    return frames


def arrays(frame: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return values (0 at missing) and masks by column."""
    return {c: frame[c].fillna(0).to_numpy(float) for c in frame}, {
        c: frame[c].notna().to_numpy() for c in frame
    }


def study(values: Any, present: Any) -> tuple[Any, Any]:
    """Return units, masks, and all totals of one set of rows."""
    units = stats.columns(
        [stats.standardise(x, p, b) for x, p, b in zip(values, present, BOUNDS, strict=True)]
    )
    masks = stats.columns(present)
    return units, masks


def clear(frame: Any) -> tuple[Any, Any]:
    values, present = arrays(frame)
    return study([values[c] for c in COLUMNS], [present[c] for c in COLUMNS])


def least_squares(frame: Any) -> tuple[Any, float, float]:
    rows = frame.dropna().to_numpy()
    x = np.column_stack([np.ones(len(rows)), rows[:, :-1]])
    beta = np.linalg.lstsq(x, rows[:, -1], rcond=None)[0]
    gap = rows[:, -1] - x @ beta
    centred = rows[:, -1] - rows[:, -1].mean()
    return beta, 1 - gap @ gap / (centred @ centred), np.sqrt(gap @ gap / (len(rows) - x.shape[1]))


def near(got: Any, want: Any, rtol: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(got, float), np.asarray(want, float), rtol=rtol)


# -- NumPy ------------------------------------------------------------------------------------------------


def test_numpy_matches_pandas() -> None:
    frame = pd.concat(hospitals(), ignore_index=True)
    units, masks = clear(frame)
    assert np.abs(units).max() <= 1
    sums = stats.totals(units, masks)
    assert np.array_equal(sums.n, frame.notna().sum())
    near(stats.mean(sums, JOINT), frame.mean(), 1e-12)
    near(stats.variance(sums, JOINT), frame.var(), 1e-11)
    near(stats.variance(sums, JOINT, ddof=0), frame.var(ddof=0), 1e-11)
    near(stats.mean_in_units(stats.standard_mean(sums), JOINT), frame.mean(), 1e-12)
    variance = stats.variance_in_units(stats.standard_variance(sums), JOINT)
    near(variance, frame.var(), 1e-11)
    near(stats.standard_error(variance, sums.n), frame.sem(), 1e-11)
    whole = stats.gram(units, stats.complete(masks))
    near(stats.covariance(whole, JOINT), frame.dropna().cov(), 1e-10)
    near(stats.covariance_of(stats.spread(whole), JOINT, whole.n), frame.dropna().cov(), 1e-10)
    pairwise = stats.pairs(units, masks)
    near(stats.covariance(pairwise, JOINT), frame.cov(), 1e-10)
    near(stats.covariance_of(stats.spread(pairwise), JOINT, pairwise.n), frame.cov(), 1e-10)
    near(stats.correlation(whole).filled(), frame.dropna().corr(), 1e-10)
    near(stats.correlation(pairwise).filled(), frame.corr(), 1e-10)


def test_one_column_and_a_matrix_agree() -> None:
    values, present = arrays(pd.concat(hospitals(), ignore_index=True))
    matrix = stats.standardise(
        np.column_stack([values[c] for c in COLUMNS]), np.column_stack([present[c] for c in COLUMNS]), JOINT
    )
    one = stats.standardise(values["chol"], present["chol"], BOUNDS[1])
    assert np.array_equal(matrix[:, 1], one)
    sums = stats.totals(one, present["chol"])
    near(stats.mean(sums, BOUNDS[1]), stats.mean(stats.totals(matrix, present_all(present)), JOINT)[1], 1e-14)


def present_all(present: Any) -> Any:
    return np.column_stack([present[c] for c in COLUMNS])


def test_numpy_matches_statsmodels() -> None:
    api = pytest.importorskip("statsmodels.api")
    frame = pd.concat(hospitals(), ignore_index=True)
    units, masks = clear(frame)
    found = stats.ols(stats.gram(units, stats.complete(masks)))
    rows = frame.dropna()
    want = api.OLS(rows["num"], api.add_constant(rows[["age", "chol", "peak"]])).fit()
    assert found.usable
    near(stats.in_units(found.weights, JOINT), want.params, 1e-9)
    near(found.r_squared, want.rsquared, 1e-9)
    near(found.residual_error * JOINT.half[-1], np.sqrt(want.scale), 1e-9)


def test_one_covariate() -> None:
    frame = pd.concat(hospitals(), ignore_index=True)[["age", "num"]]
    values, present = arrays(frame)
    two = [BOUNDS[0], BOUNDS[3]]
    units = stats.columns(
        [stats.standardise(values[c], present[c], b) for c, b in zip(("age", "num"), two, strict=True)]
    )
    found = stats.ols(stats.gram(units, np.ones(len(units), bool)))
    near(stats.in_units(found.weights, stats.Bounds.join(two)), least_squares(frame)[0], 1e-9)


def test_cross_table_counts_exactly() -> None:
    rng = np.random.default_rng(5)
    sex, age, num = rng.integers(0, 2, 200), rng.integers(28, 77, 200), rng.integers(0, 5, 200)
    known = rng.random(200) < 0.9
    table = stats.cross_table(
        stats.code_masks(sex, np.ones(200, bool), [0, 1]),
        stats.band_masks(age, np.ones(200, bool), [0, 40, 50, 60, 120]),
        num > 0,
        known,
    )
    frame = pd.DataFrame(
        {"sex": sex, "band": pd.cut(age, [0, 40, 50, 60, 120], right=False), "ill": num > 0}
    )[known]
    groups = frame.groupby(["sex", "band"], observed=False)["ill"]
    assert np.array_equal(table.rows, groups.size().unstack())
    assert np.array_equal(table.flagged, groups.sum().unstack())
    near(stats.rates(table), groups.mean().unstack())
    empty = stats.CrossTable(np.array([[0, 4]]), np.array([[0, 1]]))
    assert np.isnan(stats.rates(empty)[0, 0]) and stats.rates(empty)[0, 1] == 0.25


# -- secret sharing ---------------------------------------------------------------------------------------


def traced(frames: list[Any], *, count_open: bool, by_owner: bool) -> tuple[Program, dict[str, Any]]:
    """Record the whole study; `by_owner` adds up owners' totals by hand, else rows are joined first."""
    t, data, sets = Trace(), {}, []
    for owner, frame in zip(OWNERS, frames, strict=True):
        values, present = arrays(frame)
        xs, ps = [], []
        for c, (lo, hi) in COLUMNS.items():
            data[f"{owner}.{c}"], data[f"{owner}.{c}.present"] = values[c], present[c]
            xs.append(t.input(f"{owner}.{c}", owner, (len(frame),), "fixed", min(lo, 0), max(hi, 0)))
            ps.append(t.input(f"{owner}.{c}.present", owner, (len(frame),), "bool", 0, 1))
        sets.append((xs, ps))
    if not by_owner:
        sets = [
            tuple(
                [fn.concat(list(same)) for same in zip(*part, strict=True)]
                for part in zip(*sets, strict=True)
            )
        ]
    sums, grams, pairs = [], [], []
    for xs, ps in sets:
        units, masks = study(xs, ps)
        sums.append(stats.totals(units, masks))
        grams.append(stats.gram(units, stats.complete(masks)))
        pairs.append(stats.pairs(units, masks))
    joint, whole = (
        functools.reduce(lambda a, b: a.join(b), sums),
        functools.reduce(lambda a, b: a.join(b), grams),
    )
    n, rows = open_(joint.n, "n"), open_(whole.n, "complete")
    if not count_open:
        n = rows = None
    open_(stats.standard_mean(joint, n), "mean")
    open_(stats.standard_variance(joint, n), "variance")
    open_(stats.spread(whole, rows), "spread")
    if not by_owner:
        open_(stats.covariance(pairs[0], JOINT), "pairwise")
        for name, value in stats.correlation(pairs[0])._asdict().items():
            open_(value, f"pairs: {name}")
    for name, value in stats.correlation(whole, rows)._asdict().items():
        open_(value, f"whole: {name}")
    found = stats.ols(whole, rows)
    for name in stats.Fit._fields:
        if name != "errors":  # which take a wide ring
            open_(getattr(found, name), name)
    return t.program(), data


def open_(x: Any, name: str) -> Any:
    return reveal(x, why="declared result", name=name)


def execute(program: Program, data: dict[str, Any], fmt: Format) -> dict[str, Any]:
    """Run under rep3 among three parties; all must learn the same."""
    results = run("rep3", fmt.width, lambda p: Runtime(p, fmt, OWNERS).run(program, data))
    for name, value in results["alice"].items():
        assert np.array_equal(value, results["bob"][name])
    return results["alice"]


def compare(got: Any, frame: Any, rtol: float) -> None:
    assert np.array_equal(got["n"], frame.notna().sum())
    assert int(got["complete"]) == len(frame.dropna())
    near(stats.mean_in_units(got["mean"], JOINT), frame.mean(), rtol)
    near(stats.variance_in_units(got["variance"], JOINT), frame.var(), rtol)
    near(stats.covariance_of(got["spread"], JOINT, got["complete"]), frame.dropna().cov(), rtol)
    assert np.array_equal(got["spread"], got["spread"].T)
    beta, r_squared, error = least_squares(frame)
    assert got["usable"]
    near(stats.in_units(got["weights"], JOINT), beta, rtol)
    correlation = stats.Correlation(got["whole: matrix"], got["whole: varies"]).filled()
    near(correlation, frame.dropna().corr(), rtol)
    assert np.array_equal(correlation, correlation.T) and np.all(np.diagonal(correlation) == 1)
    near(got["r_squared"], r_squared, rtol)
    near(got["residual_error"] * JOINT.half[-1], error, rtol)


@pytest.mark.parametrize("by_owner", [True, False])
@pytest.mark.parametrize("count_open", [True, False])
def test_shared_matches_pooled_rows(count_open: bool, by_owner: bool) -> None:
    frames = hospitals()
    frame = pd.concat(frames, ignore_index=True)
    program, data = traced(frames, count_open=count_open, by_owner=by_owner)
    got = execute(program, data, WIDE)
    compare(got, frame, 1e-7)
    if not by_owner:
        near(got["pairwise"], frame.cov(), 1e-6)
        near(stats.Correlation(got["pairs: matrix"], got["pairs: varies"]).filled(), frame.corr(), 1e-6)


def test_narrow_ring_suffices_and_the_pass_changes_no_answer() -> None:
    frames = hospitals()
    program, data = traced(frames, count_open=True, by_owner=True)
    assert fit(optimise(program)) == NARROW
    compare(execute(program, data, NARROW), pd.concat(frames), 1e-4)
    rows, data = traced(frames, count_open=True, by_owner=False)
    compare(execute(localise(rows), data, WIDE), pd.concat(frames), 1e-7)


def test_ranges_hold_for_a_million_rows() -> None:
    t = Trace()
    units = t.input("u", "alice", (10**6, 5), "fixed", -1, 1)
    keep = t.input("k", "alice", (10**6,), "bool", 0, 1)
    a = stats.gram(units, keep)
    other = stats.gram(t.input("v", "bob", (10, 5), "fixed", -1, 1), t.input("l", "bob", (10,), "bool", 0, 1))
    for name, value in stats.ols(a.join(other))._asdict().items():
        open_(value, name)
    assert fit(t.program()).width in (64, 128)


def test_cross_table_on_shares() -> None:
    rng = np.random.default_rng(6)
    data, t, masks = {}, Trace(), []
    frames = []
    for owner in OWNERS:
        frame = {
            "sex": rng.integers(0, 2, 30),
            "age": rng.integers(28, 77, 30),
            "num": rng.integers(0, 5, 30),
        }
        frames.append(pd.DataFrame(frame))
        xs = [t.input(f"{owner}.{c}", owner, (30,), "int", 0, 110) for c in frame]
        data |= {f"{owner}.{c}": v for c, v in frame.items()}
        p = t.input(f"{owner}.present", owner, (30,), "bool", 0, 1)
        data[f"{owner}.present"] = np.arange(30) % 7 > 0
        masks.append((*xs, p))
    sex, age, num, p = (fn.concat(list(same)) for same in zip(*masks, strict=True))
    table = stats.cross_table(
        stats.code_masks(sex, p, [0, 1]), stats.band_masks(age, p, [0, 40, 60, 120]), num > 0, p
    )
    open_(table.rows, "rows")
    open_(table.flagged, "flagged")
    frame = pd.concat(frames)[np.tile(np.arange(30) % 7 > 0, 3)]
    bands = pd.cut(frame["age"], [0, 40, 60, 120], right=False)
    ill = (frame["num"] > 0).groupby([frame["sex"], bands], observed=False)
    for program in (t.program(), localise(t.program())):
        got = execute(program, data, Format(64, 16))
        assert np.array_equal(got["rows"], ill.size().unstack())
        assert np.array_equal(got["flagged"], ill.sum().unstack())


def test_diabetes_by_ten_covariates_matches_numpy() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    source = datasets.load_diabetes(scaled=False)
    frame = pd.DataFrame(np.column_stack([source.data, source.target]))
    bounds = stats.Bounds.of(
        [c.lo for c in study_spec.DIABETES.columns], [c.hi for c in study_spec.DIABETES.columns]
    )
    t, parts, data = Trace(), [], {}
    for owner, rows in zip(OWNERS, (frame[:221], frame[221:354], frame[354:]), strict=True):
        data[owner] = stats.standardise(rows.to_numpy(), rows.notna().to_numpy(), bounds)
        units = t.input(owner, owner, rows.shape, "fixed", -1, 1)
        parts.append(stats.gram(units, t.const(np.ones(len(rows), bool))))
    found = stats.ols(functools.reduce(lambda a, b: a.join(b), parts))
    open_(found.weights, "weights")
    open_(found.usable, "usable")
    got = execute(t.program(), data, WIDE)
    assert got["usable"]
    near(stats.in_units(got["weights"], bounds), least_squares(frame)[0], 1e-7)


# -- degenerate inputs ------------------------------------------------------------------------------------


def small(matrix: Any, keep: Any = None) -> tuple[stats.Totals, stats.Gram, stats.Bounds]:
    """Return sums and fit of a matrix with all columns within ±10."""
    matrix = np.asarray(matrix, float)
    bounds = stats.Bounds.of([-10.0] * matrix.shape[1], [10.0] * matrix.shape[1])
    present = np.ones(matrix.shape, bool)
    units = stats.standardise(matrix, present, bounds)
    keep = np.ones(len(matrix), bool) if keep is None else keep
    return stats.totals(units, present), stats.gram(units, keep), bounds


def shared_fit(matrix: Any, fmt: Format) -> dict[str, Any]:
    matrix = np.asarray(matrix, float)
    t = Trace()
    units = t.input("u", "alice", matrix.shape, "fixed", -1, 1)
    # Bob's empty part makes everything secret.
    other = t.input("v", "bob", (1, matrix.shape[1]), "fixed", -1, 1)
    keep = t.input("k", "bob", (1,), "bool", 0, 1)
    all_ = units.context.const(np.ones(len(matrix), bool))
    total = stats.gram(units, all_).join(stats.gram(other, keep))
    for name, value in stats.ols(total)._asdict().items():
        open_(value, name)
    data = {"u": matrix / 10, "v": np.ones((1, matrix.shape[1])), "k": np.zeros(1, bool)}
    return execute(t.program(), data, fmt)


def test_no_rows_and_one_row() -> None:
    sums, gram, bounds = small(np.zeros((0, 3)))
    assert np.array_equal(sums.n, [0, 0, 0])
    assert np.all(np.isnan(stats.blank(stats.mean(sums, bounds), sums.n, 1)))
    assert np.all(np.isnan(stats.blank(stats.variance(sums, bounds), sums.n, 2)))
    found = stats.ols(gram)
    assert not found.usable and not np.any(found.weights)
    sums, gram, bounds = small([[1.0, 2.0, 3.0]])
    near(stats.blank(stats.mean(sums, bounds), sums.n, 1), [1, 2, 3])
    assert np.all(np.isnan(stats.blank(stats.variance(sums, bounds), sums.n, 2)))
    assert np.array_equal(stats.variance(sums, bounds), [0, 0, 0])
    assert not stats.ols(gram).usable
    assert np.array_equal(stats.covariance(gram, bounds), np.zeros((3, 3)))


def test_nothing_present() -> None:
    values, none = np.zeros(8), np.zeros(8, bool)
    units = stats.standardise(values, none, stats.Bounds.of(5, 9))
    assert not np.any(units)
    sums = stats.totals(units, none)
    assert sums.n == 0 and np.isnan(stats.blank(stats.mean(sums, stats.Bounds.of(5, 9)), sums.n, 1))


BASE = np.random.default_rng(11).normal(0, 3, (60, 3)).clip(-10, 10)
BAD = {
    "collinear": np.column_stack([BASE[:, 0], BASE[:, 1], 0.5 * BASE[:, 0] - 0.25 * BASE[:, 1], BASE[:, 2]]),
    "duplicate": np.column_stack([BASE[:, 0], BASE[:, 0], BASE[:, 2]]),
    "constant": np.column_stack([BASE[:, 0], np.full(60, 4.0), BASE[:, 2]]),
    "constant target": np.column_stack([BASE[:, 0], BASE[:, 1], np.full(60, 4.0)]),
    "too few rows": BASE[:2],
    "one point": np.tile(BASE[:1], (20, 1)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_determines_no_weights_is_said_and_masked(name: str) -> None:
    found = stats.ols(small(BAD[name])[1])
    for got in (found._asdict(), shared_fit(BAD[name], WIDE), shared_fit(BAD[name], NARROW)):
        assert not got["usable"]
        assert not np.any(got["weights"]) and got["r_squared"] == 0 and got["residual_error"] == 0


def test_nearly_collinear_covariates_are_solved_above_the_floor() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 3, 200).clip(-9, 9)
    z = (x + rng.normal(0, 0.2, 200)).clip(-10, 10)
    y = (0.3 * x - 0.2 * z + rng.normal(0, 0.5, 200)).clip(-10, 10)
    matrix = np.column_stack([x, z, y])
    want = np.linalg.lstsq(np.column_stack([np.ones(200), x, z]), y, rcond=None)[0]
    bounds = stats.Bounds.of([-10.0] * 3, [10.0] * 3)
    found = shared_fit(matrix, WIDE)
    assert found["usable"]
    np.testing.assert_allclose(stats.in_units(found["weights"], bounds), want, rtol=1e-7)


def test_a_column_that_does_not_vary_has_no_correlation() -> None:
    matrix = np.column_stack([BASE[:, 0], np.full(60, 4.0), -BASE[:, 0], np.zeros(60)])
    present = np.ones(matrix.shape, bool)
    # Of the third column one row is left beside the fourth, which varies in the others.
    matrix[1:, 3], present[1:, 2] = 1.0, np.arange(59) % 2 > 0
    present[:, 3] = ~present[:, 2]
    present[0, 2:] = True
    frame = pd.DataFrame(np.where(present, matrix, np.nan))
    bounds = stats.Bounds.of([-10.0] * 4, [10.0] * 4)
    units = stats.standardise(np.where(present, matrix, 0), present, bounds)
    np.testing.assert_allclose(
        stats.correlation(stats.pairs(units, present)).filled(), frame.corr(), rtol=1e-9
    )
    t = Trace()
    shared, masks = (
        t.input("u", "alice", units.shape, "fixed", -1, 1),
        t.input("p", "bob", units.shape, "bool", 0, 1),
    )
    for name, value in stats.correlation(stats.pairs(shared * 1.0, masks))._asdict().items():
        open_(value, name)
    for fmt in (WIDE, NARROW):
        got = stats.Correlation(**execute(t.program(), {"u": units, "p": present}, fmt))
        np.testing.assert_allclose(got.filled(), frame.corr(), rtol=1e-4)
        assert np.all(got.matrix[~got.varies] == 0)


def test_errors_name_the_remedy() -> None:
    with pytest.raises(RangeError, match=r"declared bound"):
        stats.standardise(np.array([4321.0]), np.array([True]), stats.Bounds.of(0, 1))
    with pytest.raises(RangeError, match=r"lo ≤ hi"):
        stats.Bounds.of(2, 1)
    with pytest.raises(RangeError):
        stats.Bounds.of(0, np.nan)
    with pytest.raises(ShapeError):
        stats.standardise(np.zeros((3, 2)), np.zeros((3, 2), bool), stats.Bounds.of([0], [1]))
    with pytest.raises(RangeError, match=r"ascending"):
        stats.band_masks(np.zeros(3), np.ones(3, bool), [5, 5])
    with pytest.raises(ShapeError, match=r"covariate"):
        stats.ols(small(np.zeros((4, 1)))[1])


# -- JAX --------------------------------------------------------------------------------------------------


def test_jax_runs_the_same_code() -> None:
    jax = pytest.importorskip("jax")
    frame = pd.concat(hospitals(), ignore_index=True)
    values, present = arrays(frame)

    def everything(xs: Any, ps: Any) -> Any:
        units, masks = study(xs, ps)
        sums, whole = stats.totals(units, masks), stats.gram(units, stats.complete(masks))
        found = stats.ols(whole)
        bands = stats.cross_table(
            stats.band_masks(xs[0], ps[0], [0, 50, 120]),
            stats.code_masks(xs[0], ps[0], [54.0]),
            xs[3] > 1,
            ps[3],
        )
        return (
            sums.n,
            stats.mean(sums, JOINT),
            stats.variance(sums, JOINT),
            stats.covariance(whole, JOINT),
            stats.in_units(found.weights, JOINT),
            found.usable,
            bands.rows,
        )

    xs, ps = [values[c] for c in COLUMNS], [present[c] for c in COLUMNS]
    got = jax.jit(everything)([jax.numpy.asarray(x) for x in xs], [jax.numpy.asarray(p) for p in ps])
    want = everything(xs, ps)
    assert np.array_equal(got[0], want[0]) and bool(got[5]) and np.array_equal(got[6], want[6])
    for a, b in zip(got[1:5], want[1:5], strict=True):
        near(a, b, 3e-2 if np.ndim(b) == 2 else 5e-3)
