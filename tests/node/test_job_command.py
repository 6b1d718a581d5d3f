"""`tacit job`: what an operator may mistype, where results go, and how a party ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from jobs import OWNERS, visits_job

from tacit.cli.main import main
from tacit.errors import PeerUnavailable
from tacit.net.identity import load_identity, show_fingerprint
from tacit.net.roster import Roster, load_roster
from tacit.node.tables import _quiet

RUN = """
import sys
import numpy as np
import tacit.node.member as member
from tacit.cli.main import main
from tacit.errors import PeerUnavailable
def ran(job, *_, **__):
    open("ran", "w").close()
    return member.Outcome("alice", {"total": np.asarray(28.5)}, sent={}, wire={}, digest=job.digest().hex())
member.run_member = ran
sys.exit(main())
"""
"""A party whose run among the others has gone well."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a job, its roster, and alice's identity."""
    visits_job().save(tmp_path / "job.json")
    made = [load_identity(tmp_path / f"{o}-home", o) for o in OWNERS]
    parties = tuple(m.party("127.0.0.1", 9 + i) for i, m in enumerate(made))
    Roster(parties).save(tmp_path / "roster.json")
    return tmp_path


def options(home: str = "alice-home", name: str = "alice") -> list[str]:
    return ["job.json", "--roster", "roster.json", "--name", name, "--home", home]


def take_part(site: Path, *more: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """`tacit job run` as alice, with what run_member does left out."""
    command = [sys.executable, "-c", RUN, "job", "run", *options(), *more]
    return subprocess.run(
        command, cwd=site, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False
    )


# -- where results go --------------------------------------------------------------------------------------


def test_results_are_written_for_their_user_alone_and_printed(site: Path) -> None:
    done = take_part(site, "--out", "out.json")
    assert done.returncode == 0, done.stderr
    assert "28.5" in done.stdout and "opened to" in done.stderr
    assert json.loads((site / "out.json").read_text())["party"] == "alice"
    assert stat.S_IMODE((site / "out.json").stat().st_mode) == 0o600
    assert not [p for p in site.iterdir() if p.name.startswith(".")]


def test_out_overwrites_nothing_and_changes_nobodys_mode(site: Path) -> None:
    (site / "table.csv").write_text("visits\n1\n", encoding="utf-8")
    (site / "folder").mkdir(mode=0o755)
    (site / "link").symlink_to("table.csv")
    (site / "dangling").symlink_to("elsewhere")
    for what in ("table.csv", "folder", "link", "dangling", "job.json", "/dev/null"):
        mode = os.stat(site / what, follow_symlinks=False).st_mode
        done = take_part(site, "--out", what)
        assert done.returncode == 1
        assert f"{what} exists and is not overwritten" in done.stderr
        assert os.stat(site / what, follow_symlinks=False).st_mode == mode
    assert (site / "table.csv").read_text(encoding="utf-8") == "visits\n1\n"
    assert not (site / "elsewhere").exists() and not (site / "ran").exists()


def test_a_folder_that_takes_no_file_shows_before_the_others_are_called(site: Path) -> None:
    for what in ("none/out.json", "/proc/out.json", "x" * 300):
        done = take_part(site, "--out", what)
        assert done.returncode == 1 and "cannot be written" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (site / "ran").exists()


def test_a_name_taken_during_the_run_leaves_the_results_beside_it(site: Path) -> None:
    late = RUN.replace('open("ran", "w").close()', 'open("out.json", "x").write("mine")')
    command = [sys.executable, "-c", late, "job", "run", *options(), "--out", "out.json"]
    done = subprocess.run(command, cwd=site, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    (draft,) = [p for p in site.iterdir() if p.name.startswith(".out.json.")]
    assert draft.name in done.stderr and json.loads(draft.read_text())["party"] == "alice"
    assert (site / "out.json").read_text() == "mine" and "28.5" in done.stdout


def test_no_draft_stays_where_the_run_fails(site: Path) -> None:
    command = [sys.executable, "-m", "tacit.cli.main", "job", "run", *options(), "--out", "out.json"]
    done = subprocess.run(
        [*command, "--wait", "0.1"], cwd=site, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1 and "approve it with" in done.stderr
    assert not [p for p in site.iterdir() if "out.json" in p.name]


def broken(how: str) -> int:
    """A standard output that takes nothing: a full disk, or a reader that has gone."""
    if how == "full":
        return os.open("/dev/full", os.O_WRONLY)
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_closed_standard_output_does_not_pass_for_a_result_seen(site: Path) -> None:
    kept = RUN.replace("sys.exit(main())", "sys.stdout = None\nsys.exit(main())")
    command = [sys.executable, "-c", kept, "job", "run", *options()]
    for more, says in ((["--out", "out.json"], "they are in out.json"), ([], "no --out FILE was given")):
        done = subprocess.run(
            [*command, *more], cwd=site, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert "(standard output is closed)" in done.stderr and says in done.stderr


@pytest.mark.parametrize("how", ["full", "gone"])
def test_a_broken_standard_output_loses_no_results(site: Path, how: str) -> None:
    stdout = broken(how)
    try:
        done = take_part(site, "--out", "out.json", stdout=stdout)
        lost = take_part(site, stdout=stdout)
        shown = subprocess.run(
            [sys.executable, "-m", "tacit.cli.main", "job", "show", "job.json"],
            cwd=site, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(stdout)
    assert done.returncode == 1
    assert "could not be printed" in done.stderr and "they are in out.json" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert "results" in json.loads((site / "out.json").read_text())
    assert lost.returncode == 1 and "--out FILE" in lost.stderr
    # A reader of a plan may stop reading; a disk that is full is an error.
    assert shown.returncode == (1 if how == "full" else 0)
    assert "Exception ignored" not in shown.stderr and "Traceback" not in shown.stderr


# -- what an operator may mistype --------------------------------------------------------------------------


def command(site: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tacit.cli.main", *arguments],
        cwd=site, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["run", "measure"])
@pytest.mark.parametrize(
    ("home", "name"), [("alice-hom", "alice"), ("empty", "alice"), ("alice-hom", "alicia")]
)
def test_a_mistyped_home_makes_no_identity(site: Path, verb: str, home: str, name: str) -> None:
    (site / "empty").mkdir()
    before = sorted(site.rglob("*"))
    done = command(site, "job", verb, *options(home, name))
    assert done.returncode == 1
    assert f"{home} holds no identity" in done.stderr
    assert f"tacit identity --name {name} --home {home}" in done.stderr
    assert sorted(site.rglob("*")) == before


def test_another_partys_home_is_named(site: Path) -> None:
    done = command(site, "job", "run", *options("bob-home", "alice"))
    assert done.returncode == 1 and "identity of 'bob', not of 'alice'" in done.stderr


def test_different_cards_of_one_name_are_refused_and_fingerprints_are_shown(site: Path) -> None:
    for owner in (*OWNERS, "imposter"):
        name = "bob" if owner == "imposter" else owner
        home = ("--name", name, "--home", f"{owner}-home", "--host", "127.0.0.1", "--port", "9000")
        assert command(site, "identity", *home, "--card", f"{owner}.json").returncode == 0
        if owner != "imposter":
            card = json.loads((site / f"{owner}.json").read_text())
            card["port"] += OWNERS.index(owner)
            (site / f"{owner}.json").write_text(json.dumps(card))
    cards = [f"{o}.json" for o in OWNERS]
    for order in ([*cards, "imposter.json"], ["imposter.json", *cards]):
        done = command(site, "job", "roster", "job.json", *order, "--out", "new.json")
        assert done.returncode == 1 and not (site / "new.json").exists()
        assert "bob.json" in done.stderr and "imposter.json" in done.stderr and "fingerprint" in done.stderr
    done = command(site, "job", "roster", "job.json", *cards, "bob.json", "--out", "new.json")
    assert done.returncode == 0, done.stderr
    for party in load_roster(site / "new.json").parties:
        assert f"{party.name}: {show_fingerprint(party.fingerprint)}" in done.stdout


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e300", "-1", "0", "604801", "soon"])
def test_a_wait_that_no_clock_has_is_refused(
    site: Path, seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("run", "measure"):
        with pytest.raises(SystemExit) as failure:
            main(["job", verb, *options(), f"--wait={seconds}"])
        assert failure.value.code == 2
        said = capsys.readouterr().err
        assert "--wait" in said and "more than 0 and at most 604,800 seconds" in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_a_terminal_cannot_show_is_spelled_out(site: Path, encoding: str) -> None:
    shown = command(site, "job", "show", "job.json", PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert "alice \\u2192 bob: " in shown.stdout
    refused = command(site, "job", "show", "\u2192.json", PYTHONIOENCODING=encoding)
    assert refused.returncode == 1 and "there is no job file \\u2192.json" in refused.stderr


@pytest.mark.parametrize("where", ["9000", ":9000", "host:", "host:0", "host:65536", "host:x", "host:-1"])
def test_an_address_to_listen_at_that_is_none_is_refused(
    site: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as failure:
        main(["job", "run", *options(), f"--listen={where}"])
    assert failure.value.code == 2 and "give HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["run", "measure"])
@pytest.mark.parametrize(
    ("where", "at"), [("0.0.0.0:9000", ("0.0.0.0", 9000)), ("[::1]:9000", ("::1", 9000))]
)
def test_a_party_listens_where_it_is_told_to(
    site: Path, verb: str, where: str, at: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a router the roster names another address than the one that a party can listen at."""
    seen = []

    def mesh(*_: object, listen: object, **__: object) -> None:
        seen.append(listen)
        raise PeerUnavailable("bob does not answer", "bob")

    monkeypatch.chdir(site)
    monkeypatch.setattr("tacit.node.privacy.keep_memory_private", lambda: None)
    monkeypatch.setattr(f"tacit.node.{'member' if verb == 'run' else 'measure'}.connect_mesh", mesh)
    (site / "alice.csv").write_text("visits\n1\n2\n3\n", encoding="utf-8")
    more = ["--table", "alice.csv", "--approve", visits_job().digest().hex()] if verb == "run" else []
    assert main(["job", verb, *options(), *more, "--listen", where]) == 1
    assert seen == [at]


# -- how a party ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_party_that_is_stopped_says_so_in_one_line(site: Path, sign: signal.Signals) -> None:
    waits = "print('ready', flush=True); import signal; signal.pause()"
    code = RUN.replace('open("ran", "w").close()', waits)
    arguments = [sys.executable, "-c", code, "job", "run", *options(), "--out", "out.json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, cwd=site, text=True, **pipes) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(sign)
        said = process.communicate(timeout=60)[1]
    assert said == "tacit: stopped\n" and process.returncode == 128 + sign
    assert not [p for p in site.iterdir() if "out.json" in p.name]


@pytest.mark.parametrize(
    ("raised", "seen"), [("Query interrupted", KeyboardInterrupt), ("anything else", RuntimeError)]
)
def test_a_signal_while_a_table_is_read_is_no_mistake_in_tacit(
    raised: str, seen: type[BaseException]
) -> None:
    pytest.importorskip("duckdb")

    class Connection:
        """What DuckDB's does when the handler of a signal raises while it runs a query."""

        def execute(self, sql: str, parameters: list[object]) -> None:
            raise RuntimeError(raised)

    with pytest.raises(seen):
        _quiet(Connection(), "SELECT 1", [], "the table cannot be read")
