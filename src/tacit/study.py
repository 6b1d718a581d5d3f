"""A study: a plain function, who provides which table, who may see which result and why.

>>> import tacit
>>> def pooled(t):
...     return {"total": t["visits"].sum()}
>>> study = tacit.Study(
...     pooled,
...     tables=[tacit.Table(name, rows=2, columns=[tacit.Column("visits", "int", 0, 365)]) for name in "abc"],
...     results={"total": tacit.Result("all", why="the network's yearly report")},
...     frontend="array",
... )
>>> answer = study.simulate({"a": {"visits": [1, 2]}, "b": {"visits": [3, 4]}, "c": {"visits": [5, 6]}})
>>> int(answer["a"]["total"])
21
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import protocols
from tacit.array import functions as fn
from tacit.array.analyse import Plan
from tacit.array.interpret import Trace, reveal
from tacit.array.limits import faithful
from tacit.array.merge import optimise
from tacit.array.program import Program
from tacit.array.ranges import fit, settled
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.secret import SecretArray
from tacit.array.session import Revealed, simulate
from tacit.array.streams import check_input
from tacit.core.timing import Network, as_network
from tacit.errors import DataError, NotRealised, RangeError, UsageError
from tacit.node.job import Job
from tacit.node.launch import Member, run_local
from tacit.node.member import Outcome
from tacit.node.tables import Column

Array = npt.NDArray[Any]
Data = Mapping[str, Mapping[str, Any]]
PRESENT = ".present"


@dataclass(frozen=True, slots=True)
class Table:
    """What one owner provides: its name, how many rows (public), its columns with their bounds."""

    owner: str
    rows: int
    columns: Sequence[Column]

    def __post_init__(self) -> None:
        if not isinstance(self.rows, int | np.integer) or isinstance(self.rows, bool) or self.rows < 1:
            raise UsageError(f"the table of {self.owner} has a whole number of rows, at least one")
        names = [c.name for c in self.columns]
        twice = sorted({n for n in names if names.count(n) > 1})
        if not names or twice:
            raise UsageError(
                f"the table of {self.owner} declares {', '.join(twice)} twice"
                if twice
                else f"the table of {self.owner} declares no column"
            )


@dataclass(frozen=True, slots=True)
class Result:
    """Who may see a result ("all" or names), and why: the reason is what owners approve."""

    to: str | Sequence[str]
    why: str


class Columns(dict[str, Any]):
    """A study's columns by name; one that is not there is named beside those that are."""

    def __missing__(self, name: str) -> Any:
        raise UsageError(f"the study has no column {name!r}; it has {', '.join(self)}")


@dataclass(frozen=True, slots=True)
class Check:
    """A study on sample data in the clear: what the function gives, and what the ring arithmetic gives."""

    expected: dict[str, Array]
    computed: dict[str, Array]
    plan: Plan
    unopened: tuple[str, ...] = ()
    """What the function gives besides: it is no result of the study."""

    @property
    def worst(self) -> dict[str, float]:
        """Largest absolute difference per result."""
        gaps = {}
        for name, value in self.expected.items():
            gap = np.abs(np.asarray(self.computed[name], np.float64) - np.asarray(value, np.float64))
            gaps[name] = float(gap.max()) if gap.size else 0.0
        return gaps

    def __str__(self) -> str:
        lines = [*self.plan.lines(), "", "on the sample, in the clear:"]
        for name, gap in self.worst.items():
            lines.append(f"{name:<20} largest difference from float64: {gap:.3g}")
        if self.unopened:
            lines.append(f"not opened: {', '.join(self.unopened)}, which `results` does not list")
        return "\n".join(lines)


@dataclass(slots=True)
class Study:
    """A study, traced when first needed. `function` takes a mapping of columns, returns a mapping of results.

    A column that several owners provide is pooled, their rows one after another in the order of `tables`; a column
    with missing-value codes comes with a mask `name.present` and holds 0 where it is missing. Only what `results` lists
    is computed and opened; `check` names what else the function returns. `frontend` says what
    the function is written in: "jax" (jax.numpy) or "array" (operators and the Python array API).
    """

    function: Callable[[dict[str, Any]], Mapping[str, Any]]
    tables: Sequence[Table]
    results: Mapping[str, Result]
    title: str = ""
    protocol: str = "rep3"
    compute: Sequence[str] | None = None
    frontend: str = "jax"
    width: int | None = None
    frac_bits: int | None = None
    at_least: int = 16
    """Fewest fractional bits to accept."""
    local: bool = True
    """Whether owners compute on their own rows before sharing."""
    dealer: str = ""
    """Who deals the products' material where the protocol needs it; it is trusted, and every statement says so."""
    network: Network | str = "loopback"
    """The links between compute parties: "loopback", "lan", "wan", or a `Network` as measured. Fewer rounds are chosen
    where they are far apart, fewer bytes where links are narrow."""
    _job: Job | None = field(default=None, repr=False)

    def job(self) -> Job:
        """Trace, choose the ring, and return the job to approve. Raises UsageError, RangeError, NotRealised."""
        if self._job is None:
            owners = tuple(t.owner for t in self.tables)
            if not owners or not self.results:
                raise UsageError(
                    "a study needs tables and results: who provides what, and who may see what, and why"
                )
            if len(set(owners)) != len(owners):
                raise UsageError("two tables have one owner; put their columns into one table")
            self._check_count(owners)
            compute = tuple(self.compute) if self.compute is not None else owners[:3]
            others = (*owners, *((self.dealer,) if self.dealer else ()))
            parties = tuple(dict.fromkeys((*compute, *others)))
            program = self._trace()
            program, fmt = settled(optimise(program, self.local), self.width, self.frac_bits, self.at_least)
            if (exact := faithful(program, fmt.frac_bits)) is not program:
                program, fmt = exact, fit(exact, fmt.width, fmt.frac_bits, self.at_least)
            name = getattr(self.function, "__name__", "study")
            title = self.title or ("study" if name == "<lambda>" else name)
            columns = {t.owner: tuple(t.columns) for t in self.tables}
            links = as_network(self.network)
            self._job = Job(title, self.protocol, fmt, compute, parties, program, columns, self.dealer, links)
        return self._job

    def _check_count(self, owners: Sequence[str]) -> None:
        """Refuse fewer owners than a protocol takes where nobody else is named to compute."""
        low, _ = protocols.entry(self.protocol).parties
        if self.compute is None and len(owners) < low:
            raise UsageError(
                f"{self.protocol} takes {low} compute parties, and {len(owners)} provide data ({', '.join(owners)}); "
                'name more with compute=, who need not provide data, or take protocol="semi2k" with a dealer='
            )

    def plan(self) -> Plan:
        """Return what the study will do and cost."""
        return self.job().plan()

    def check(self, data: Data) -> Check:
        """Run the function on sample data in the clear, and its Program in ring arithmetic; compare."""
        job, arrays = self.job(), self._arrays(data)
        returned = self._in_the_clear(self._pool_clear(arrays))
        computed = run_clear(job.program, job.fmt, arrays)
        expected = {k: returned[k] for k in self.results}
        return Check(expected, computed, job.plan(), tuple(k for k in returned if k not in expected))

    def simulate(self, data: Data, seed: int | None = None) -> dict[str, dict[str, Revealed]]:
        """Run the real protocol code among threads of this process; what each party learned, by party."""
        job, arrays = self.job(), self._arrays(data)
        fmt = job.fmt
        with simulate(
            job.protocol,
            job.compute,
            owners=[p for p in job.parties if p not in (*job.compute, job.dealer)],
            width=fmt.width,
            frac_bits=fmt.frac_bits,
            dealer=job.dealer,
            seed=seed,
            network=job.network,
        ) as session:
            return session.run(job.program, arrays)

    def run(self, tables: Mapping[str, str | Path], folder: str | Path) -> dict[str, Outcome]:
        """Run with one process per party on this machine, each reading its own file; `folder` keeps identities."""
        job, base = self.job(), Path(folder)
        members = [Member(p, base / p, Path(tables[p]) if p in tables else None) for p in job.parties]
        return run_local(job, members, base / "job")

    # -- tracing ------------------------------------------------------------------------------------------

    def _trace(self) -> Program:
        trace = Trace()
        pieces: dict[str, list[SecretArray]] = {}
        masked = self._masked()
        for table in self.tables:
            for c in table.columns:
                # A missing value is stored as 0, which the declared bound need not contain.
                lo, hi = (min(c.lo, 0), max(c.hi, 0)) if c.missing else (c.lo, c.hi)
                values = trace.input(c.name, table.owner, (table.rows,), c.kind, lo, hi)
                pieces.setdefault(c.name, []).append(values)
                if c.missing:
                    mask = trace.input(c.name + PRESENT, table.owner, (table.rows,), "bool", 0, 1)
                    pieces.setdefault(c.name + PRESENT, []).append(mask)
                elif c.name in masked:
                    pieces.setdefault(c.name + PRESENT, []).append(trace.const(np.ones(table.rows, bool)))
        columns = {name: fn.concat(parts) if len(parts) > 1 else parts[0] for name, parts in pieces.items()}
        out = self._call(columns)
        for name, result in self.results.items():
            if not isinstance(result, Result):
                raise UsageError(
                    f'result {name!r} is declared as a {type(result).__name__}; write tacit.Result("all", why="…")'
                )
            if name not in out:
                raise UsageError(
                    f"the function returns no result called {name!r}; it returns {', '.join(out)}"
                )
            reveal(_array(trace, name, out[name]), result.to, why=result.why, name=name)
        return trace.program()

    def _in_the_clear(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return what the function gives in float64 and int64; JAX would take half as many bits by itself."""
        if self.frontend != "jax":
            return {k: np.asarray(v) for k, v in self.function(Columns(columns)).items()}
        import jax.numpy as jnp

        from tacit.frontends.jax import x64

        with x64():
            given = Columns({name: jnp.asarray(v) for name, v in columns.items()})
            return {k: np.asarray(v) for k, v in self.function(given).items()}

    def _masked(self) -> set[str]:
        """Return the columns of which some owner may lack a value; the others' rows are all there."""
        return {c.name for table in self.tables for c in table.columns if c.missing}

    def _call(self, columns: dict[str, SecretArray]) -> Mapping[str, Any]:
        function = self.function

        def named(columns: dict[str, Any]) -> Mapping[str, Any]:
            return function(Columns(columns))

        if self.frontend == "array":
            out = named(columns)
        elif self.frontend == "jax":
            try:
                from tacit.frontends.jax import trace_jax
            except ImportError:
                raise NotRealised(
                    "the study is written in jax.numpy and JAX is not installed; in your clone of Tacit run: "
                    ".venv/bin/pip install -e '.[jax]', or write "
                    'it with operators and the array API and pass frontend="array"'
                ) from None
            out = trace_jax(named, [columns])
        else:
            raise UsageError(f"no front end is called {self.frontend!r}; there are 'jax' and 'array'")
        if not isinstance(out, Mapping):
            raise UsageError("the study's function must return a mapping of results by name")
        return out

    # -- data ---------------------------------------------------------------------------------------------

    def _arrays(self, data: Data) -> dict[str, dict[str, Array]]:
        out: dict[str, dict[str, Array]] = {}
        for table in self.tables:
            if table.owner not in data:
                raise DataError(f"no data was given for {table.owner}")
            out[table.owner] = {}
            for c in table.columns:
                try:
                    given = data[table.owner][c.name]
                except KeyError:
                    raise DataError(f"{table.owner}: there is no column {c.name!r}") from None
                except (TypeError, IndexError):
                    raise DataError(
                        f"{table.owner}: columns are given by name, as in {{{c.name!r}: [1, 2]}}"
                    ) from None
                if np.ma.is_masked(given):
                    raise DataError(
                        f"{table.owner}/{c.name}: values are masked; write a missing-value code there, as x.filled(-9) "
                        "does, and declare it"
                    )
                try:
                    raw = np.asarray(given)
                except ValueError:
                    raise DataError(f"{table.owner}/{c.name}: the rows are of different lengths") from None
                values, present = split_missing(c, raw, table.owner)
                if values.shape != (table.rows,):
                    raise DataError(
                        f"{table.owner}/{c.name}: {table.rows} rows declared, shape {values.shape} given"
                    )
                out[table.owner][c.name] = values
                if c.missing:
                    out[table.owner][c.name + PRESENT] = present
        return out

    def _pool_clear(self, arrays: dict[str, dict[str, Array]]) -> dict[str, Any]:
        pooled: dict[str, list[Array]] = {}
        masked = self._masked()
        for table in self.tables:
            for name, value in arrays[table.owner].items():
                pooled.setdefault(name, []).append(value)
                if name in masked and name + PRESENT not in arrays[table.owner]:
                    pooled.setdefault(name + PRESENT, []).append(np.ones(table.rows, bool))
        return {name: np.concatenate(parts) for name, parts in pooled.items()}


def _array(trace: Trace, name: str, value: Any) -> SecretArray:
    """Return a result as an array of the trace."""
    if isinstance(value, SecretArray):
        return value
    inside = value if isinstance(value, list | tuple) else ()
    nested = isinstance(value, Mapping) or any(isinstance(v, SecretArray) for v in inside)
    a = np.asarray(None if nested else value)
    if a.dtype.kind not in "biuf":
        raise UsageError(
            f"result {name!r} is a {type(value).__name__}; results are arrays by name: return each by a name of its own"
        )
    if not np.all(np.isfinite(a)):
        raise RangeError(
            f"result {name!r} holds NaN or infinity, which no result can be; use a finite number instead"
        )
    return trace.const(a)


def split_missing(c: Column, raw: Array, owner: str) -> tuple[Array, Array]:
    """Return a column's values in its kind (0 where missing) and the mask of present rows, its bound checked."""
    if raw.dtype.kind == "O":  # how pandas gives a column with absent values
        absent = np.array([v is None or str(v) == "<NA>" for v in raw.flat])
        try:
            raw = np.where(absent.reshape(raw.shape), np.nan, raw).astype(np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{owner}/{c.name}: numbers are expected, and a value is none") from None
    if raw.dtype.kind not in "iufb":
        raise DataError(f"{owner}/{c.name}: numbers are expected, not {raw.dtype}")
    codes = np.asarray(c.missing, np.float64)
    if raw.dtype.kind == "f":  # of 32-bit numbers the code is the nearest such number, too, if there is one
        with np.errstate(over="ignore"):
            codes = codes.astype(raw.dtype)
        codes = codes[np.isfinite(codes)]
    present = ~np.isin(raw, codes)
    if c.missing and raw.dtype.kind == "f":
        present &= ~np.isnan(raw)
    seen = raw[present]
    if seen.size and (not np.all(np.isfinite(seen)) or seen.min() < c.lo or seen.max() > c.hi):
        raise DataError(
            f"{owner}/{c.name}: a value is not finite or outside the declared [{c.lo:g}, {c.hi:g}]; correct it or the "
            "bound, or declare a missing-value code"
        )
    if c.kind != "fixed" and np.any(np.floor(seen) != seen):
        raise DataError(f"{owner}/{c.name}: a value has a fraction, and the column was declared {c.kind}")
    dtype = {"fixed": np.float64, "int": np.int64, "bool": np.bool_}[c.kind]
    return np.where(present, raw, 0).astype(dtype), present


def run_clear(program: Program, fmt: Format, arrays: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
    """Run a Program in ring arithmetic with no secrecy at all: what the parties would open, up to rounding."""
    from tacit.algebra.ring import Ring
    from tacit.array.analyse import nowhere
    from tacit.protocols.clear import Clear

    ring = Ring(fmt.width)
    runtime = Runtime(Clear(nowhere(("clear",), "clear"), ring), fmt, ("clear",), sees_all=True)
    values = [
        Value(spec.aval, check_input(spec.name, arrays[spec.owner][spec.name], spec.aval))
        for spec in program.inputs
    ]
    runtime.block(program, values)
    return runtime.opened


__all__ = ["Check", "Column", "Result", "Study", "Table", "run_clear"]
