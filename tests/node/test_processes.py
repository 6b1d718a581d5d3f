"""Real processes over mutual TLS: right answers, and one clear error at every party when something is wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from jobs import OWNERS, members, visits_job, write_tables

from tacit.errors import UsageError
from tacit.node.launch import JobFailed, Parties, run_local

TIMES = {"connect_timeout_s": 8.0, "silence_timeout_s": 5.0}


def alive(parties: Parties) -> list[str]:
    return [n for n, p in parties.processes.items() if p.poll() is None]


def test_three_processes_one_answer_and_the_predicted_cost(tmp_path: Path) -> None:
    job = visits_job()
    outcomes = run_local(job, members(tmp_path, write_tables(tmp_path)), tmp_path, **TIMES)
    want = 1.5 * 2.5 + 4.0 + 3.25 * 3.25 + (3.5 + 2.0 + 3.25)
    cost = job.plan().cost
    for owner in OWNERS:
        assert abs(float(outcomes[owner].results["total"]) - want) <= 4 * 2.0**-job.fmt.frac_bits
        assert outcomes[owner].sent == {p: cost.links.get((owner, p), 0) for p in OWNERS if p != owner}
    assert max(o.rounds for o in outcomes.values()) == cost.rounds
    assert len({o.session for o in outcomes.values()}) == 1


def test_identities_are_made_once_and_kept_private(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    run_local(visits_job(), members(tmp_path, tables), tmp_path, **TIMES)
    files = sorted((tmp_path / "homes").glob("*/identity.pem"))
    first = [f.read_bytes() for f in files]
    run_local(visits_job(), members(tmp_path, tables), tmp_path, **TIMES)
    assert [f.read_bytes() for f in files] == first
    assert [f.stat().st_mode & 0o777 for f in files] == [0o600] * 3


CANARY = "271828"


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([1.0, "text" + CANARY, 3.0], "row"),
        ([1.0, "", 3.0], "row"),
        ([1.0, "nan", 3.0], "row"),
        ([1.0, CANARY, 3.0], r"\[0, 100\]"),
        ([1.0, 2.0], "3 rows"),
    ],
)
def test_a_bad_table_stops_everyone_and_leaks_nothing(tmp_path: Path, cells: list[object], says: str) -> None:
    tables = write_tables(tmp_path, {"bob": cells})
    with pytest.raises(JobFailed) as failure:
        run_local(visits_job(), members(tmp_path, tables), tmp_path, **TIMES)
    reports = failure.value.reports
    assert set(reports) == set(OWNERS)
    assert "bob.csv" in reports["bob"]
    assert pytest.importorskip("re").search(says, reports["bob"])
    assert all("bob stopped" in reports[o] for o in ("alice", "carol"))
    assert CANARY not in str(failure.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    tables = write_tables(tmp_path)
    tables["carol"].write_text("visit\n1\n2\n3\n", encoding="utf-8")
    with pytest.raises(JobFailed, match="visits"):
        run_local(visits_job(), members(tmp_path, tables), tmp_path, **TIMES)


def test_a_job_that_an_owner_did_not_approve_does_not_run(tmp_path: Path) -> None:
    job = visits_job()
    approve = {o: job.digest().hex() for o in OWNERS} | {"carol": visits_job(title="another").digest().hex()}
    with pytest.raises(JobFailed) as failure:
        run_local(job, members(tmp_path, write_tables(tmp_path)), tmp_path, approve=approve, **TIMES)
    assert "NotApproved" in failure.value.reports["carol"]
    assert "carol stopped with NotApproved" in failure.value.reports["alice"]


def test_different_programs_are_a_configuration_mismatch(tmp_path: Path) -> None:
    ours, theirs = visits_job(), visits_job(title="another")
    ours.save(tmp_path / "ours.json")
    theirs.save(tmp_path / "theirs.json")
    with Parties(members(tmp_path, write_tables(tmp_path))) as parties:
        roster = [parties.cards[o] for o in OWNERS]
        for owner in OWNERS:
            job, path = (theirs, "theirs.json") if owner == "bob" else (ours, "ours.json")
            approve = job.digest().hex()
            parties.tell(owner, {"roster": roster, "job": str(tmp_path / path), "approve": approve, **TIMES})
        with pytest.raises(JobFailed) as failure:
            parties.collect()
    assert all("PeerIncompatible" in r or "mismatch" in r for r in failure.value.reports.values())
    assert "configuration mismatch" in str(failure.value)


def test_a_party_that_never_comes_is_named(tmp_path: Path) -> None:
    job = visits_job()
    job.save(tmp_path / "job.json")
    with Parties(members(tmp_path, write_tables(tmp_path))) as parties:
        os.kill(parties.processes["carol"].pid, signal.SIGKILL)
        parties.processes["carol"].wait()
        approve = {o: job.digest().hex() for o in OWNERS}
        parties.order(job, tmp_path / "job.json", approve, connect_timeout_s=2.0)
        with pytest.raises(JobFailed) as failure:
            parties.collect()
    for owner in ("alice", "bob"):
        assert "carol" in failure.value.reports[owner]
        assert "PeerUnavailable" in failure.value.reports[owner]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_party_killed_or_frozen_in_the_middle_is_named_by_all(tmp_path: Path, sign: signal.Signals) -> None:
    job = visits_job(steps=4000)
    job.save(tmp_path / "job.json")
    with Parties(members(tmp_path, write_tables(tmp_path))) as parties:
        hit: list[int] = []

        def kill(name: str, done: int, total: int) -> None:
            if name == "bob" and not hit and 5 * done > total:
                hit.append(done)
                os.kill(parties.processes["bob"].pid, sign)

        approve = {o: job.digest().hex() for o in OWNERS}
        parties.order(job, tmp_path / "job.json", approve, connect_timeout_s=8.0, silence_timeout_s=2.0)
        with pytest.raises(JobFailed) as failure:
            parties.collect(kill)
        assert hit
        if sign == signal.SIGSTOP:
            os.kill(parties.processes["bob"].pid, signal.SIGCONT)
    assert all("PeerUnavailable" in failure.value.reports[o] for o in ("alice", "carol"))
    assert all("bob" in failure.value.reports[o] for o in ("alice", "carol"))
    assert not alive(parties)


def test_the_launcher_leaves_no_process_behind(tmp_path: Path) -> None:
    started: list[Any] = []
    with pytest.raises(KeyboardInterrupt), Parties(members(tmp_path, write_tables(tmp_path))) as parties:
        started.append(parties)
        raise KeyboardInterrupt
    assert not alive(started[0])


def test_processes_that_start_in_the_meantime_are_those_of_the_job(tmp_path: Path) -> None:
    started = Parties(members(tmp_path, write_tables(tmp_path)))
    with started.starting() as parties:
        before = {name: process.pid for name, process in parties.processes.items()}
        assert set(before) == set(OWNERS) and not parties.cards
        outcomes = run_local(visits_job(), parties, tmp_path, **TIMES)
        assert {name: process.pid for name, process in parties.processes.items()} == before
    assert set(outcomes) == set(OWNERS)
    assert not alive(started)


def test_processes_that_have_not_started_yet_are_left_behind_neither(tmp_path: Path) -> None:
    started = Parties(members(tmp_path, write_tables(tmp_path)))
    with pytest.raises(UsageError, match="a table is wrong"), started.starting():
        raise UsageError("a table is wrong")
    assert len(started.processes) == len(OWNERS)
    assert not alive(started)
