"""House rules that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tacit

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "tacit").rglob("*.py"))
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}
BANNED_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "random", "torch", "yaml"}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_foreign_code_no_pickle(path: Path) -> None:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in BANNED_CALLS, f"line {node.lineno}"
        if isinstance(node, ast.Import):
            assert not {a.name.split(".")[0] for a in node.names} & BANNED_MODULES, f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] not in BANNED_MODULES, f"line {node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_sizes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 620, "a file of this size should be two"
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno <= 130, f"{node.name} at line {node.lineno} is too long"


def test_no_module_is_called_utils() -> None:
    assert not [p for p in SOURCES if p.stem in ("utils", "common", "base", "helpers", "misc")]


def test_public_names_exist_and_are_documented() -> None:
    for name in tacit.__all__:
        assert getattr(tacit, name).__doc__, name


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light() -> None:
    heavy = ("jax", "sklearn", "duckdb", "pandas", "numpy", "cryptography", "rich")
    out = _run(f"import sys, tacit; print([m for m in {heavy} if m in sys.modules])")
    assert out.strip() == "[]"


def test_a_session_and_a_node_import_no_analyst_library() -> None:
    code = (
        "import sys, tacit, tacit.node.member, tacit.node.launch, tacit.cli.main; tacit.simulate('rep3').close();"
        "print([m for m in ('jax', 'sklearn', 'duckdb', 'pandas', 'onnx', 'scipy') if m in sys.modules])"
    )
    assert _run(code).strip() == "[]"


def test_nothing_of_this_machine_is_in_the_tree() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".json", ".cpp", ".h", ""} and path.is_file():
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert "/" + "work/" not in text, name
            assert "BEGIN " + "PRIVATE KEY" not in text, name
