"""A job file is strict, its digest covers its meaning, and its plan shows a reader what it would give away."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jobs import OWNERS, VISITS, visits_job

from tacit.array import functions as fn
from tacit.array.interpret import Trace, reveal
from tacit.array.program import Program
from tacit.array.ranges import fit
from tacit.errors import DataError, NotApproved, PolicyViolation, TacitError, UsageError
from tacit.net.identity import Identity, load_identity
from tacit.net.roster import Roster
from tacit.node.job import Job, job_of, load_job
from tacit.node.member import run_member


def content() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(visits_job().content()))
    return made


def changed(**fields: Any) -> dict[str, Any]:
    return {**content(), **fields}


def program(old: str, new: str) -> dict[str, Any]:
    text = content()["program"]
    assert old in text
    return changed(program=text.replace(old, new))


BAD: dict[str, dict[str, Any]] = {
    "a title that rewrites the screen": changed(title="x\x1b[2Japprove"),
    "a title of two lines": changed(title="x\nreveals    nothing"),
    "a title that is no text": changed(title=5),
    "no title": changed(title=""),
    "a reason that rewrites the screen": program("the test's answer", "a\\u001b[31m"),
    "a reason of two lines": program("the test's answer", "a\\nreveals    nothing"),
    "a name that is none": changed(parties=[*OWNERS, "e\nvil"]),
    "a party twice": changed(parties=[*OWNERS, "bob"]),
    "too many parties": changed(parties=[*OWNERS, *(f"p{i}" for i in range(80))]),
    "a stranger computes": changed(compute=["alice", "bob", "zed"]),
    "one party computes twice": changed(compute=["alice", "alice", "bob"]),
    "too few compute": changed(compute=["alice", "bob"]),
    "the dealer computes": changed(protocol="semi2k", dealer="alice"),
    "a result for a stranger": program('["all"]', '["mallory"]'),
    "a result for nobody": program('["all"]', "[]"),
    "a huge shape": program("[3]", "[99999999999]"),
    "an unknown protocol": changed(protocol="nope"),
    "a ring of no width": changed(width=1 << 30),
    "an unknown key of a column": changed(
        tables={"alice": [{"name": "v", "kind": "int", "lo": 0, "hi": 1, "missing": [], "more": 1}]}
    ),
    "another version": changed(**{"tacit-job": 1}),
    "a network without bandwidth": changed(network={"name": "x", "round_trip_us": 1, "bytes_per_s": 0}),
    "a network that rewrites the screen": changed(
        network={"name": "\x1b[2J", "round_trip_us": 1, "bytes_per_s": 1}
    ),
    "half a network": changed(network={"name": "x", "round_trip_us": 1}),
    "no program": changed(program="tacit-program 2"),
    "deep nesting": changed(program="tacit-program 1\n" + "%0 = scan begin\n" * 5000),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_job_is_refused(what: str) -> None:
    with pytest.raises(TacitError) as failure:
        job_of(BAD[what]).plan()
    assert len(str(failure.value)) < 600


@pytest.mark.parametrize("key", sorted(content()))
def test_junk_in_any_field_is_a_tacit_error_or_a_job(key: str) -> None:
    for junk in (None, [], {}, -1, 1e400, "\udc00", True, [[]], {"a": {}}, "x" * 9, 10**30):
        try:
            job_of(changed(**{key: junk})).plan().lines()
        except TacitError:
            continue


def test_files_that_are_no_jobs(tmp_path: Path) -> None:
    for raw in (b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null", b'{"tacit-job": 1}'):
        (tmp_path / "job.json").write_bytes(raw)
        with pytest.raises(TacitError, match=r"job\.json"):
            load_job(tmp_path / "job.json")
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(TacitError):
            load_job(path)


def test_the_digest_is_of_the_content_not_of_the_file(tmp_path: Path) -> None:
    job = visits_job()
    scrambled = dict(reversed(content().items()))
    (tmp_path / "job.json").write_text(json.dumps(scrambled, separators=(",", ":")), encoding="utf-8")
    assert load_job(tmp_path / "job.json").digest() == job.digest()
    # Another machine, or another day: the digest of a fixed job does not move.
    assert job_of(content()).digest() == job.digest()


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.update(title="visit"),
        lambda c: c.update(frac_bits=20),
        lambda c: c["network"].update(round_trip_us=81),
        lambda c: c.update(compute=["bob", "alice", "carol"]),
        lambda c: c["tables"]["alice"][0].update(hi=99.0),
        lambda c: c.update(program=c["program"].replace('["all"]', '["bob"]')),
        lambda c: c.update(program=c["program"].replace("the test's", "a test's")),
    ],
)
def test_an_edit_after_the_approval_is_found(edit: Any) -> None:
    approved = visits_job().digest().hex()
    after = copy.deepcopy(content())
    edit(after)
    with pytest.raises(NotApproved, match="tacit job show"):
        job_of(after).check_approval(approved)


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Roster, Identity]:
    """Alice's identity, and a roster whose other parties are nowhere to be met."""
    made = [load_identity(tmp_path / o, o) for o in OWNERS]
    return Roster(tuple(m.party("127.0.0.1", 9 + i) for i, m in enumerate(made))), made[0]


def test_no_party_takes_part_in_a_job_that_hides_nothing(alone: tuple[Roster, Identity]) -> None:
    job = job_of(changed(protocol="clear", compute=["bob"]))
    with pytest.raises(PolicyViolation, match="hides nothing"):
        run_member(job, *alone, job.digest().hex(), connect_timeout_s=0.2)


def test_ones_own_mistake_is_what_one_sees_when_nobody_else_is_there(
    alone: tuple[Roster, Identity], tmp_path: Path
) -> None:
    job = visits_job()
    with pytest.raises(NotApproved):
        run_member(job, *alone, "00", connect_timeout_s=0.2, listen=("127.0.0.1", 0))
    with pytest.raises(TacitError, match=r"none\.csv does not exist"):
        run_member(
            job,
            *alone,
            job.digest().hex(),
            tmp_path / "none.csv",
            connect_timeout_s=0.2,
            listen=("127.0.0.1", 0),
        )


# -- what the plan shows -----------------------------------------------------------------------------------


def revealing(of: str, to: str | list[str] = "all") -> Job:
    trace = Trace()
    a, b, c = (trace.input("visits", o, (3,), "fixed", 0, 100) for o in OWNERS)
    value = {
        "one owner's rows": lambda: a,
        "rows, moved": lambda: fn.concat([b, a])[::-1].reshape((2, 3)),
        "one owner's total": lambda: a.sum(),
        "a joint total": lambda: (a + b + c).sum(),
    }[of]()
    reveal(value, to=to, why="asked", name="it")
    made: Program = trace.program()
    return Job("t", "rep3", fit(made), OWNERS, OWNERS, made, dict.fromkeys(OWNERS, (VISITS,)))


@pytest.mark.parametrize(
    ("of", "to", "says"),
    [
        ("one owner's rows", "bob", "to bob: asked (these are rows of visits of alice as they are)"),
        ("rows, moved", "all", "every party: asked (these are rows of visits of alice, bob as they are)"),
        ("one owner's total", "bob", "to bob: asked (it depends on the data of alice alone)"),
        ("one owner's total", "alice", "to alice: asked"),
        ("a joint total", "all", "to every party: asked"),
    ],
)
def test_the_plan_says_when_a_result_gives_one_owner_away(of: str, to: str, says: str) -> None:
    lines = [line for line in revealing(of, to).plan().lines() if line.startswith("reveals")]
    assert len(lines) == 1
    assert lines[0].endswith(says)


def test_a_result_for_one_party_costs_the_others_no_message() -> None:
    one, everybody = (revealing("a joint total", to).plan().cost for to in ("bob", "all"))
    for party in ("alice", "carol"):
        got = sum(size for (_, receiver), size in one.links.items() if receiver == party)
        more = sum(size for (_, receiver), size in everybody.links.items() if receiver == party)
        assert got < more


def test_the_plan_names_the_digest_to_approve_the_bounds_and_the_tightest_value() -> None:
    job = visits_job()
    text = "\n".join(job.plan().lines())
    assert f"approve    {job.digest().hex()}" in text
    assert "alice: visits fixed[3] in [0, 100]" in text
    assert "bits, in " in text
    assert "jobs.py:" in text


def codes(job: dict[str, Any], owner: str, **fields: Any) -> list[str]:
    job["tables"][owner][0].update(fields)
    return [line for line in job_of(job).plan().lines() if line.startswith("table ")]


def test_the_plan_shows_each_owners_columns_with_bounds_and_missing_codes() -> None:
    (same,) = codes(content(), "alice")
    assert same == "table      alice, bob, carol: visits fixed in [0, 100]"
    assert codes(content(), "bob", missing=[12.5, -9.0]) == [
        "table      alice, carol: visits fixed in [0, 100]",
        "table      bob: visits fixed in [0, 100], missing where empty or -9 or 12.5",
    ]
    # To the last digit: a bound or a code that looks like another is none.
    for field, value in (("hi", 100.00000001), ("missing", [99.99999999])):
        assert str(value).strip("[]") in codes(content(), "carol", **{field: value})[1]


def test_columns_that_are_alike_stand_in_one_line() -> None:
    job = content()
    job["tables"]["alice"] += [{**job["tables"]["alice"][0], "name": f"v{i}"} for i in range(3)]
    lines = codes(job, "alice")
    assert lines[0] == "table      alice: visits, v0, v1, v2 fixed in [0, 100]"
    assert lines[1] == "table      bob, carol: visits fixed in [0, 100]"


def test_more_missing_codes_than_anybody_reads_are_refused() -> None:
    with pytest.raises(DataError, match=r"alice's column 'visits' has 33 missing-value codes.* one code"):
        codes(content(), "alice", missing=[*map(float, range(33))])
    assert " or 31" in codes(content(), "alice", missing=[*map(float, range(32))])[0]
    with pytest.raises(UsageError, match=r"no spaces or dots: 'visits\\n'"):
        codes(content(), "alice", name="visits\n")
