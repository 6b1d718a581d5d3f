"""The Python examples in the documents on splitting, vaults and reporting run."""

import re
from pathlib import Path

import pytest

pytest.importorskip("rbcl")

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["splitting.md", "vault.md", "reporting.md"])
def test_examples_run(name: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, name, "exec"), {})
