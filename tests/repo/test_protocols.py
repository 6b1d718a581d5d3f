"""A registered protocol stands wherever the tests, the checks and the pages list protocols."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tacit import protocols, testing
from tacit.core.protocol import Protocol

ROOT = Path(__file__).resolve().parents[2]
REAL = {name for name in protocols.REGISTRY if name != "clear"}
TABLES = {
    "tests/privacy/privacy_trials.py": "TRIALS",
    "tests/wire/transcripts.json": "transcripts (test_transcripts.py writes them anew)",
    "docs/protocols.md": "the cards (./dev tacit protocols --markdown writes them anew)",
}
"""What is made by hand for each protocol: the file must name it."""


def _named(node: ast.expr) -> Iterator[str]:
    """Yield the strings of a list, and those that its rows begin with."""
    for each in getattr(node, "elts", []):
        first = each.elts[0] if isinstance(each, ast.Tuple | ast.List) and each.elts else each
        if isinstance(first, ast.Call) and first.args:
            first = first.args[0]
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value


def missing(names: set[str]) -> list[str]:
    """Return which lists of the tests lack which protocols: one that names two of them is meant to name all."""
    lines = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple | ast.Set):
                found = set(_named(node)) & names
                if len(found) > 1 and found != names:
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    lines.append(f"{where}: {ast.unparse(node)} lacks {', '.join(sorted(names - found))}")
    for file, table in TABLES.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        lines += [f"{file}: {table} lacks {n}" for n in sorted(names) if not re.search(rf"\b{n}\b", text)]
    return lines


def test_no_list_of_the_tests_lacks_a_protocol() -> None:
    assert not missing(REAL), "\n".join(missing(REAL))


def test_a_protocol_that_is_new_is_missed_by_file_and_list(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(missing({*REAL, "planted"}))
    for file in (*TABLES, "tests/frontends/test_jax_index.py", "tests/unit/test_timing.py"):
        assert re.search(rf"{re.escape(file)}.* lacks planted", lines), file
    monkeypatch.setitem(protocols.REGISTRY, "planted", replace(protocols.entry("rep3"), parties=(2, 4)))
    tried = {(n, dealer) for name, n, dealer in testing.settings(2, 5, 9) if name == "planted"}
    assert tried == {(2, ""), (4, "")}


def test_the_layers_keep_every_protocol_from_the_others() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [c for c in config["tool"]["importlinter"]["contracts"] if c["type"] == "independence"]
    assert set(contract["modules"]) == {entry.module for entry in protocols.REGISTRY.values()}


@pytest.mark.parametrize(
    ("page", "names"), [("README.md", set(protocols.REGISTRY)), ("docs/security.md", REAL)]
)
def test_the_tables_of_promises_have_every_protocol(page: str, names: set[str]) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    table = next(t for t in re.findall(r"(?:^\|.*\n)+", text, re.M) if t.startswith("| protocol |"))
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == names, f"{page}: its table of protocols"


AUTHORS = (ROOT / "docs" / "protocol-authors.md").read_text(encoding="utf-8")


def _defined() -> set[str]:
    """Return every name that the sources or the tests define, and those of modules."""
    found = {"tacit"}
    for path in [*(ROOT / "src" / "tacit").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        found |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def test_what_authors_of_protocols_are_told_of_exists() -> None:
    names = [n for n in re.findall(r"`([^`\n]+)`", AUTHORS) if "NAME" not in n and not re.search(r"[ (*]", n)]
    files = [n for n in names if "/" in n or n.endswith((".md", ".toml"))]
    assert len(files) > 10 and len(names) > 80
    for name in files:
        assert any((base / name).exists() for base in (ROOT, ROOT / "src" / "tacit")), name
    defined = _defined()
    assert not [n for n in names if n not in files and not set(n.split(".")) <= defined]


def test_what_is_offered_brings_what_the_authors_are_told() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$", AUTHORS, re.M)
    assert len(rows) == 5
    for protocol in protocols.REGISTRY:
        cls = protocols.load(protocol)
        for offered, needs in rows:
            for need in re.findall(r"`(\w+)`", needs) if offered in cls.cards else ():
                own = getattr(cls, need) is not getattr(Protocol, need)
                assert need in cls.cards or (own and need == "narrowed"), f"{protocol}: {offered}, not {need}"
