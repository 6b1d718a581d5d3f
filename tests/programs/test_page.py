"""The example of docs/programs.md runs and gives what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "reveals    weights" in printed
    gaps = re.findall(r"^(\w+) +largest difference from float64: (\S+)$", printed, re.M)
    assert {n for n, _ in gaps} == {"weights", "rows"}
    assert all(float(gap) < 1e-3 for _, gap in gaps)
    data, answer = names["data"], names["answer"]
    assert answer["rows"] == sum(np.sum(d["age"] != -9) for d in data.values())  # type: ignore[index, attr-defined]
    assert np.all(np.asarray(answer["weights"])[1:] > 0.5)  # type: ignore[index]
