"""The entry ./dev: what it does where it is run for the first time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A Python whose virtual environments log what they are asked for, and install when they are told to.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$4/bin"
    cat >"$4/bin/python" <<'INNER'
#!/bin/sh
case "$*" in
"-m pip --version") ;;
"-m pip install"*) echo install >>log; read -r told <go; echo "$told" >>log; [ "$told" = installed ] ;;
*) echo "run $*" >>log ;;
esac
INNER
    chmod +x "$4/bin/python"
else
    exec {python} "$@"
fi
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dev", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "stub-python"
    python.write_text(PYTHON.replace("{python}", sys.executable))
    python.chmod(0o755)
    os.mkfifo(tmp_path / "go")
    return tmp_path


@contextmanager
def start(folder: Path, *verb: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHON": str(folder / "stub-python")}
    with subprocess.Popen(
        ["sh", "./dev", *verb], cwd=folder, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # it may wait for a word for ever
            raise


def line(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def tell(folder: Path, word: str) -> None:
    (folder / "go").write_text(word + "\n")  # waits until it is read


def test_the_second_waits_for_the_first(folder: Path) -> None:
    with start(folder, "tacit", "one") as first:
        assert "installing" in line(first)
        with start(folder, "tacit", "two") as second:
            assert "waiting" in line(second)
            tell(folder, "installed")
    assert first.returncode == second.returncode == 0
    log = (folder / "log").read_text().splitlines()
    assert log[:2] == ["install", "installed"]
    assert sorted(log[2:]) == [f"run -m tacit.cli.main {name}" for name in ("one", "two")]


def test_what_failed_is_tried_again(folder: Path) -> None:
    with start(folder, "check") as first:
        assert "installing" in line(first)
        tell(folder, "failed")
        assert "the installation failed" in line(first)
    assert first.returncode == 1
    with start(folder, "tacit") as again:
        assert "installing" in line(again)
        tell(folder, "installed")
    assert again.returncode == 0
    log = (folder / "log").read_text().splitlines()
    assert log == ["install", "failed", "install", "installed", "run -m tacit.cli.main"]
