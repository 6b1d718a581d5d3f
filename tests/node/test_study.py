"""What an analyst meets: right answers, and one clear error for each usual mistake, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import tacit
from tacit.errors import TacitError

Function = Callable[[Any], Any]
X = tacit.Column("x", "fixed", 0, 100)
PLAIN = tacit.Column("x", "int", 0, 100)
ROWS = {"a": 4, "b": 1, "c": 3}
HOLED = tacit.Column("x", "int", 0, 100, missing=(-9,))
DATA = {o: {"x": [1.0, 2.0, 3.0, 4.0]} for o in "abcd"}
ALL = tacit.Result("all", why="asked")


def total(t: Any) -> dict[str, Any]:
    return {"r": t["x"].sum()}


def study(
    function: Function = total, owners: str = "abc", column: tacit.Column = X, **options: Any
) -> tacit.Study:
    options = {"results": {"r": ALL}, "frontend": "array", **options}
    tables = [tacit.Table(o, 4, [column]) for o in owners]
    return tacit.Study(function, tables=tables, **options)


def test_a_result_for_one_party_reaches_no_other() -> None:
    answers = study(owners="abcd", results={"r": tacit.Result("b", why="asked")}).simulate(DATA)
    assert {party: set(results) for party, results in answers.items()} == {
        "a": set(), "b": {"r"}, "c": set(), "d": set()
    }  # fmt: skip
    assert abs(float(answers["b"]["r"]) - 40) < 1e-6


def test_owners_need_not_compute() -> None:
    answers = study(owners="ad", compute=("p", "q", "s")).simulate(DATA)
    assert {abs(float(results["r"]) - 20) < 1e-6 for results in answers.values()} == {True}
    assert set(answers) == {"a", "d", "p", "q", "s"}


def test_products_with_a_dealer_say_who_is_trusted() -> None:
    made = study(lambda t: {"r": (t["x"] * t["x"][::-1]).sum()}, protocol="semi2k", dealer="dora")
    answers = made.simulate(DATA)
    assert abs(float(answers["a"]["r"]) - 60) < 1e-4
    assert not answers.get("dora")
    assert "dora, who deals the multiplication material" in made.plan().trust()


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "too few compute": (lambda: study(owners="ab", compute="ab").job(),
                        "rep3 takes 3 compute parties, the job names 2"),
    "too few owners to compute": (lambda: study(owners="ab").job(),
                                  'name more with compute=, who need not provide data, or take protocol="semi2k"'),
    "an infinite result": (lambda: study(lambda t: {"q": t["x"], "r": np.array([1, np.inf])}).job(),
                           "result 'r' holds NaN or infinity"),
    "an infinite result of JAX": (lambda: study(lambda t: {"q": t["x"], "r": np.array([1, np.inf])},
                                                frontend="jax").job(), "result 'r' holds NaN or infinity"),
    "a masked result": (lambda: study(lambda t: {"q": t["x"], "r": jnp.where(t["x"] > 3, t["x"], jnp.inf)},
                                      frontend="jax").job(), "result 'r' holds places that a mask makes inf"),
    "results of results": (lambda: study(lambda t: {"r": {"sum": t["x"].sum()}}).job(),
                           "result 'r' is a dict; results are arrays by name"),
    "results of results of JAX": (lambda: study(lambda t: {"r": {"sum": t["x"].sum()}}, frontend="jax").job(),
                                  "result 'r' is a dict; results are arrays by name"),
    "a list of results": (lambda: study(lambda t: {"r": [t["x"].sum()]}).job(),
                          "result 'r' is a list; results are arrays by name"),
    "no result": (lambda: study(lambda t: {"r": None}).job(), "result 'r' is a NoneType; results are arrays by name"),
    "a result not returned": (lambda: study(results={"q": ALL}).job(), "no result called 'q'; it returns r"),
    "a result for a stranger": (lambda: study(results={"r": tacit.Result("zed", why="w")}).job(), "zed"),
    "a result for nobody": (lambda: study(results={"r": tacit.Result([], why="w")}).job(), "'to'"),
    "a result for all and one": (lambda: study(results={"r": tacit.Result(["all", "a"], why="w")}).job(),
                                "stands alone"),
    "a result without a reason": (lambda: study(results={"r": "all"}).job(),  # type: ignore[dict-item]
                                  "result 'r' is declared as a str; write tacit.Result(\"all\", why=\"…\")"),
    "a dealer for nothing": (lambda: study(dealer="dora").job(), "rep3 needs no dealer"),
    "no reason": (lambda: study(results={"r": tacit.Result("all", why="")}).job(), "needs a reason"),
    "no results": (lambda: study(results={}).job(), "needs tables and results"),
    "no tables": (lambda: study(owners="").job(), "needs tables and results"),
    "no mapping": (lambda: study(lambda t: t["x"]).job(), "must return a mapping"),
    "no such column": (lambda: study(lambda t: {"r": t["y"]}).job(), "no column 'y'; it has x"),
    "a branch on a secret": (lambda: study(lambda t: {"r": 1.0 if t["x"].sum() > 3 else 0.0}).job(), "Python"),
    "an overflow": (lambda: study(lambda t: {"r": (t["x"] * 1e9) ** 4}).job(), "test_study.py:"),
    "no such front end": (lambda: study(frontend="torch").job(), "'torch'"),
    "no such protocol": (lambda: study(protocol="spdz").job(), "'spdz'"),
    "products without a dealer": (lambda: study(lambda t: {"r": t["x"][:2] * t["x"][-2:]}, protocol="semi2k").plan(),
                                  "a dealer: name one"),
    "a dealer who computes": (lambda: study(protocol="semi2k", dealer="a").job(), "may not compute"),
    "an owner called all": (lambda: study(results={"r": ALL}, compute=("all", "a", "b")).job(), "'all'"),
    "an owner twice": (lambda: study(owners="aab").job(), "two tables have one owner"),
    "no rows": (lambda: tacit.Table("a", 0, [X]), "at least one"),
    "half a row": (lambda: tacit.Table("a", 2.5, [X]), "whole number of rows"),  # type: ignore[arg-type]
    "no columns": (lambda: tacit.Table("a", 2, []), "declares no column"),
    "a column twice": (lambda: tacit.Table("a", 2, [X, X]), "declares x twice"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_the_study_is_named(what: str) -> None:
    make, says = MISTAKES[what]
    with pytest.raises(TacitError) as failure:
        make()
    assert says in str(failure.value)


def test_what_is_no_result_is_not_opened_and_said() -> None:
    made = study(lambda t: {"r": t["x"].sum(), "mean": t["x"].sum() / 12, "least": t["x"].min()})
    assert [d.name for d in made.plan().disclosures] == ["r"]
    checked = made.check(DATA)
    assert set(checked.worst) == set(checked.computed) == {"r"}
    assert "not opened: mean, least, which `results` does not list" in str(checked)
    assert "not opened" not in str(study().check(DATA))


CANARY = "7351935"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "no data was given for b"),
        ({"b": {"z": [1.0]}}, "b: there is no column 'x'"),
        ({"b": {"x": [1.0, 2.0]}}, "4 rows declared, shape (2,) given"),
        ({"b": {"x": [[1, 2], 3]}}, "different lengths"),
        ({"b": {"x": np.ma.array([1, 2, 3, float(CANARY)], mask=[0, 0, 0, 1])}}, "b/x: values are masked"),
        ({"b": [1.0, 2.0, 3.0, 4.0]}, "b: columns are given by name"),
        ({"b": "b.csv"}, "b: columns are given by name"),
        ({"b": {"x": ["1", "2", "3", CANARY]}}, "numbers are expected"),
        ({"b": {"x": [1, 2, 3, object()]}}, "numbers are expected"),
        ({"b": {"x": [1, 2, 3, float(CANARY)]}}, "outside the declared [0, 100]"),
        ({"b": {"x": [1, 2, 3, None]}}, "declare a missing-value code"),
        ({"b": {"x": [1, 2, 3, np.nan]}}, "declare a missing-value code"),
    ],
)
def test_data_that_is_not_as_declared_is_named_and_not_quoted(
    given: Mapping[str, Mapping[str, Any]], says: str
) -> None:
    rest = {o: DATA[o] for o in "ac"}
    for run in (study().check, study().simulate):
        with pytest.raises(TacitError) as failure:
            run({**rest, **given})
        assert says in str(failure.value)
        assert CANARY not in str(failure.value)


def test_frames_with_absent_values() -> None:
    pandas = pytest.importorskip("pandas")
    count = study(lambda t: {"r": t["x.present"].sum()}, column=HOLED)
    for column in (pandas.array([1, None, 3, 4], dtype="Int64"), [1.0, None, 3.0, 4.0], [1, -9, 3, 4]):
        frames = {o: pandas.DataFrame({"x": column}) for o in "abc"}
        assert int(count.simulate(frames)["a"]["r"]) == 9
        assert count.check(frames).worst == {"r": 0.0}


def test_codes_of_some_owners_leave_the_others_rows_present() -> None:
    """Rows of owners who declare no code are all there, wherever their tables stand."""
    for holed in "abc":
        made = tacit.Study(
            lambda t: {"r": ((t["x"] < 9) & t["x.present"]).sum(), "n": t["x.present"].sum()},
            tables=[tacit.Table(o, n, [HOLED if o == holed else PLAIN]) for o, n in ROWS.items()],
            results={"r": ALL, "n": ALL},
            frontend="array",
        )
        data = {o: {"x": [2] * (n - 1) + [-9 if o == holed else 5]} for o, n in ROWS.items()}
        there = [v for d in data.values() for v in d["x"] if v != -9]
        answer = made.simulate(data)["a"]
        assert int(answer["r"]) == int(answer["n"]) == len(there)
        checked = made.check(data)
        assert int(checked.expected["n"]) == int(checked.computed["n"]) == len(there)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_codes_are_known_in_shorter_floats(kind: type) -> None:
    column = tacit.Column("x", "fixed", -20, 20, missing=(-9.9,))
    made = study(lambda t: {"r": t["x.present"].sum()}, column=column)
    data = {o: {"x": np.array([1, -9.9, 3, np.nan], kind)} for o in "abc"}
    assert int(made.simulate(data)["a"]["r"]) == 6


def test_an_infinity_is_no_code_that_half_floats_cannot_hold() -> None:
    made = study(column=tacit.Column("x", "fixed", 1, 9, missing=(1e9,)))
    with pytest.raises(TacitError, match="not finite or outside"):
        made.simulate({o: {"x": np.array([1, 2, 3, np.inf], np.float16)} for o in "abc"})


def test_check_compares_with_64_bits() -> None:
    pytest.importorskip("jax")
    big = tacit.Column("x", "int", 0, 2**40)
    made = study(lambda t: {"r": t["x"].at[0].set(7).sum()}, column=big, frontend="jax")
    checked = made.check({o: {"x": [3_000_000_000, 5, 6, 7]} for o in "abc"})
    assert int(checked.expected["r"]) == 6_000_000_061
    assert checked.worst == {"r": 0.0}


def test_whole_numbers_may_come_as_floats_and_halves_may_not() -> None:
    whole = study(column=tacit.Column("x", "int", 0, 100))
    assert int(whole.simulate(DATA)["a"]["r"]) == 30
    with pytest.raises(TacitError, match="has a fraction"):
        whole.simulate({**DATA, "b": {"x": [1.5, 2, 3, 4]}})


def test_check_prints_what_owners_approve() -> None:
    checked = study().check(DATA)
    for words in ("provides   a: x fixed[4] in [0, 100]", "reveals    r (one value) to every party: asked", "overflow",
                  "rounds", "bytes", f"approve    {study().job().digest().hex()}", "largest difference"):  # fmt: skip
        assert words in str(checked)


def test_a_reveal_inside_the_function_is_in_the_plan() -> None:
    def sly(t: Any) -> dict[str, Any]:
        tacit.reveal(t["x"], to="b", why="sly")
        return {"r": t["x"].sum()}

    lines = study(sly).plan().lines()
    assert [line for line in lines if "to b: sly (these are rows of x of a, b, c as they are)" in line]
