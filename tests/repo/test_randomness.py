"""One source of randomness: no other generator in the package, and no two uses of a stream label."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "tacit"
FILES = sorted(p for p in SOURCE.rglob("*.py") if "testing" not in p.relative_to(SOURCE).parts)
NAMES = [str(p.relative_to(SOURCE)) for p in FILES]
PROTOCOL_LAYERS = ("protocols", "gadgets", "core", "array", "algebra", "kernels")
LABEL = re.compile(r"[a-z0-9]+(/[a-z0-9-]+)+")
DRAWS = {"common", "common_with", "private"}

TWO_ENDS = {
    ("protocols/rep3/client.py", "seeds"): "seeds_from",
    ("protocols/semi2k/client.py", "visit"): "share_input, share_bits",
    ("protocols/semi2k/arithmetic.py", "share_input"): "share_input, share_bits",
    ("protocols/semi2k/arithmetic.py", "share_bits"): "share_input, share_bits",
}
"""Functions that are ends of one functionality at other participants: (file, function) → common name."""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports or takes from NumPy."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{a.name}" for a in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_generator_but_ours(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] != "random", f"{path}: {name}"
        assert not re.match(r"(numpy|np)\.random(\.|$)", name), f"{path}: {name}"
        assert name.split(".")[-1] not in ("default_rng", "RandomState", "SystemRandom"), f"{path}: {name}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_protocol_code_draws_no_entropy_itself(path: Path) -> None:
    if path.relative_to(SOURCE).parts[0] not in PROTOCOL_LAYERS:
        return
    for name in imports(path):
        assert name not in ("os.urandom", "secrets", "time.time", "uuid"), f"{path}: {name}"
        assert not name.startswith(("secrets.", "uuid.")), f"{path}: {name}"


def _labels(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (label, function) for every stream label written in a file."""
    where = str(path.relative_to(SOURCE))
    for top in ast.walk(tree(path)):
        if not isinstance(top, ast.FunctionDef):
            continue
        for node in ast.walk(top):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and LABEL.fullmatch(node.value):
                yield node.value, TWO_ENDS.get((where, top.name), f"{where}:{top.name}")


def labels() -> dict[str, set[str]]:
    """Return, for every stream label in the protocols, the functionalities that use it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in FILES:
        if path.relative_to(SOURCE).parts[0] in ("protocols", "core", "gadgets"):
            for label, function in _labels(path):
                found[label].add("client seeds" if "seeds" in function else function)
    return found


def test_no_two_functionalities_share_a_stream_label() -> None:
    found = labels()
    assert len(found) > 20  # else the scan is broken
    shared = {label: uses for label, uses in found.items() if len(uses) > 1}
    assert not shared


def test_labels_are_named_after_their_protocol() -> None:
    for label, uses in labels().items():
        for use in uses - {"client seeds", "share_input, share_bits"}:
            assert use.startswith(f"protocols/{label.split('/')[0]}"), f"{label} in {use}"


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_labels_at_calls_are_written_out(path: Path) -> None:
    """A label is a literal, or a parameter that callers fill with one: never computed."""
    for node in ast.walk(tree(path)):
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DRAWS
        ):
            continue
        label = node.args[-1] if node.args else None
        written = isinstance(label, ast.Constant) and isinstance(label.value, str)
        # Parties that play another's role draw from streams of their own (docs/decisions/0051).
        written = written or (label is not None and ast.unparse(label) == "label + self._turn")
        assert written or isinstance(label, ast.Name), f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_the_scan_finds_a_planted_double_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "protocols"
    folder.mkdir()
    planted = folder / "planted.py"
    planted.write_text(
        "def a(p):\n    p.common(1, 'planted/x')\n\n\ndef b(p):\n    p.common(1, 'planted/x')\n    import random\n"
    )
    import test_randomness as me

    monkeypatch.setattr(me, "SOURCE", tmp_path)
    assert len({use for _, use in me._labels(planted)}) == 2
    assert "random" in list(imports(planted))
