"""Every documented command and example runs."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from tacit.cli.demo import DEFAULT_HOME

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDIES = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
SHARED = Path(os.environ.get("TACIT_SHARED", ROOT.parent / "shared"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd or ROOT, capture_output=True, text=True, timeout=120, check=False)


def tacit(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "tacit.cli.main", *arguments, cwd=cwd)


@pytest.mark.parametrize("code", blocks(README, "python"), ids=["notebook", "study"])
def test_readme_example(code: str, tmp_path: Path) -> None:
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_installing_names_the_clone_and_extras_that_exist() -> None:
    """Tacit is on no package index: a package of its name there would be a stranger's."""
    texts = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "src" / "tacit").rglob("*.py")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    named = [(text, found) for text in texts for found in re.findall(r"pip install ([^`\n]*)", text)]
    for _, words in named:
        assert (found := re.match(r"-e '\.\[(\w+)\]'", words)), words
        assert found[1] in extras
    assert len(named) >= 6 and named[0][0] == README
    assert "`. .venv/bin/activate`" in README and DEFAULT_HOME in README


def test_readme_commands_are_verbs_of_dev() -> None:
    listed = run("sh", "dev", "help")
    assert listed.returncode == 0
    verbs = set(re.findall(r"^\./dev (\w+)", listed.stdout, re.M))
    for line in "\n".join(blocks(README, "sh")).splitlines() + re.findall(r"`(\./dev [^`]+)`", README):
        words = shlex.split(line.split("#")[0])
        if words:
            assert words[0] == "./dev"
            assert words[1] in verbs, line


@functools.cache
def demo(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a demonstration once for all that is asked of it."""
    with tempfile.TemporaryDirectory() as home:
        return tacit(*command, "--home", home)


def commands() -> list[list[str]]:
    found = []
    for line in "\n".join(blocks(README, "sh")).splitlines():
        words = shlex.split(line.split("#")[0])
        if words[:2] == ["./dev", "demo"] and "DIR" not in words:
            found.append(words[1:])
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_readme_demo(command: list[str]) -> None:
    done = demo(*command)
    assert done.returncode == 0, done.stderr
    assert "Statement" in done.stdout
    assert "trusted" in done.stdout


def test_readme_statement_is_what_the_demo_prints() -> None:
    out = demo("demo").stdout
    quoted = README.split("```\n  learned")[1].split("```")[0]
    for line in ("  learned" + quoted).splitlines():
        start = re.split(r"…", line)[0].rstrip()
        assert start in out, line
    assert float(re.search(r"pooled rows: (\S+)", out)[1]) < 1e-8  # type: ignore[index]


def test_the_four_hospitals(tmp_path: Path) -> None:
    folder = SHARED / "data" / "heart"
    if not folder.is_dir():
        pytest.skip("the folder shared/data/heart is not here")
    done = tacit("demo", "study", "--data", str(folder), "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "4 processes" in done.stdout
    assert "cleveland (303 rows)" in done.stdout
    assert float(re.search(r"pooled rows: (\S+)", done.stdout)[1]) < 1e-4  # type: ignore[index]


def test_the_documented_study_file(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(blocks(STUDIES, "toml")[0], encoding="utf-8")
    for i, name in enumerate(("north", "south", "west")):
        rows = [f"{30 + 7 * j + i},{j % 2},{-9 if j == 4 else 110 + 9 * j - 3 * (j % 3)}" for j in range(9)]
        (tmp_path / f"{name}.csv").write_text("age,sex,pressure\n" + "\n".join(rows) + "\n", encoding="utf-8")
    done = tacit("demo", "study", "--data", str(tmp_path), "--home", str(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    assert "Blood pressure in three practices" in done.stdout
    assert float(re.search(r"pooled rows: (\S+)", done.stdout)[1]) < 1e-4  # type: ignore[index]


def test_the_steps_between_organisations(tmp_path: Path) -> None:
    """docs/studies.md, steps 1 to 6, each party in its own process and folder."""
    from tacit.node.programs import SALARY, salaries_job

    people = ("ann", "ben", "cleo")
    salaries_job(people).save(tmp_path / "job.json")
    shown = tacit("job", "show", "job.json", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    digest = re.search(r"^approve +(\w{64})$", shown.stdout, re.M)
    assert digest
    import socket

    ports = {}
    for person in people:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = ports[person] = free.getsockname()[1]
        done = tacit(
            *("identity", "--name", person, "--home", f"{person}-home", "--host", "127.0.0.1"),
            *("--port", str(port), "--card", f"{person}.json"),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        (tmp_path / f"{person}.csv").write_text(f"{SALARY.name}\n{len(person)}\n", encoding="utf-8")
    cards = [f"{p}.json" for p in people]
    assert tacit("job", "roster", "job.json", *cards, "--out", "roster.json", cwd=tmp_path).returncode == 0
    started = [
        subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "tacit.cli.main",
                    "job",
                    "run",
                    "job.json",
                    "--roster",
                    "roster.json",
                ),
                *("--name", p, "--home", f"{p}-home", "--table", f"{p}.csv", "--approve", digest[1]),
                *("--out", f"{p}-results.json", "--listen", f"127.0.0.1:{ports[p]}"),
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for p in people
    ]
    for process in started:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "10" in out
        assert "opened to   " in err
    assert {json.loads((tmp_path / f"{p}-results.json").read_text())["digest"] for p in people} == {digest[1]}
    refused = tacit(
        *("job", "run", "job.json", "--roster", "roster.json", "--name", "ann", "--home", "ann-home"),
        *("--table", "ann.csv", "--wait", "1"),
        cwd=tmp_path,
    )
    assert refused.returncode == 1
    assert f"approve it with --approve {digest[1]}" in refused.stderr
    alone = tacit(
        *("job", "run", "job.json", "--roster", "roster.json", "--name", "ann", "--home", "ann-home"),
        *("--table", "ann.csv", "--wait", "1", "--approve", digest[1]),
        cwd=tmp_path,
    )
    assert alone.returncode == 1
    assert "is it started?" in alone.stderr


def test_the_commands_verbs_explain_themselves() -> None:
    out = tacit("--help")
    assert out.returncode == 0
    for verb in re.findall(r"^    (\w+) ", out.stdout, re.M):
        assert tacit(verb, "--help").returncode == 0, verb


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("demo", "salaries", "--people", "2"), "fewer than three"),
        (("demo", "study", "--data", "/nonexistent"), "nonexistent"),
        (("job", "show", "/nonexistent.json"), "no job file"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = tacit(*arguments, *(("--home", str(tmp_path)) if arguments[0] == "demo" else ()))
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_page_of_protocols_is_current() -> None:
    page = tacit("protocols", "--markdown")
    assert page.returncode == 0
    committed = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert page.stdout == committed, "write it anew: ./dev tacit protocols --markdown > docs/protocols.md"
