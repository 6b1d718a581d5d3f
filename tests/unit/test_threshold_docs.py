"""The examples of docs/threshold.md run, and its commands exist."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("nacl")

from tacit.cli import sign
from tacit.cli.sign_home import make_home
from tacit.net.sockets import listen_on
from tacit.threshold.policy import _read_rule

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "threshold.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def test_python_example_runs() -> None:
    (code,) = blocks("python")
    exec(compile(code, "docs/threshold.md", "exec"), {})


def test_commands_parse() -> None:
    parser = argparse.ArgumentParser()
    sign.add_parser(parser.add_subparsers())
    commands = [
        line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")
    ]
    inline = re.findall(r"`(tacit sign [a-z-]+[^`]*)`", DOCUMENT)
    assert len(commands) >= 14 and "tacit sign demo --cheat" in inline
    for command in [*commands, *inline]:
        words = shlex.split(command)
        assert words[0] == "tacit" and callable(parser.parse_args(words[1:]).run), command


def test_all_of_it_on_one_machine(tmp_path: Path) -> None:
    (code,) = blocks("sh")
    for port in ("7001", "7002", "7003"):
        with listen_on("127.0.0.1") as free:
            assert code.count(port) == 1
            code = code.replace(port, str(free.getsockname()[1]))
    (tmp_path / "run").mkdir(mode=0o700)
    command = f'tacit() {{ "{sys.executable}" -m tacit.cli.main "$@"; }}\n{code}'
    done = subprocess.run(
        ["sh", "-eu", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert done.stdout.count(": 2 of 3, epoch 0") == 3
    assert "signed by 2 of 3" in done.stdout
    assert re.search(r"entries, chain and signatures hold, head \w{64}\n\Z", done.stdout)


def test_directory_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "directory.json").write_text(blocks("json")[0])
    home = make_home(tmp_path / "ada", "Ada", "a passphrase")
    directory = home.adopt_directory(tmp_path / "directory.json")
    assert set(directory.people) == {"Ada", "Ben"} and home.directory() == directory


def test_rules_are_read() -> None:
    _, block = blocks("json")
    kinds = [_read_rule(json.loads(line)).kind for line in block.splitlines()]
    assert kinds == ["count", "majority", "weights"]
