"""The examples of docs/programs.md run and give what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "programs.md"


def test_example(capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    first, ready, line = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, Any] = {}
    exec(compile(first, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "reveals    weights" in printed
    gaps = re.findall(r"^(\w+) +largest difference from float64: (\S+)$", printed, re.M)
    assert {n for n, _ in gaps} == {"weights", "rows"}
    assert all(float(gap) < 1e-3 for _, gap in gaps)
    data, answer = names["data"], names["answer"]
    assert answer["rows"] == sum(np.sum(d["age"] != -9) for d in data.values())
    assert np.all(np.asarray(answer["weights"])[1:] > 0.5)
    exec(compile(ready, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    (shown,) = re.findall(r"```\n(logistic.*?)```", text, re.S)
    assert printed == shown
    fit, halves = names["fit"], np.array([35, 60])
    np.testing.assert_allclose(fit.params[1:] * halves, np.asarray(answer["weights"])[1:], rtol=1e-3)
    exec(compile(line, str(PAGE), "exec"), names)
    (shown,) = re.findall(r"```\n(least squares.*?)```", text, re.S)
    assert capsys.readouterr().out == shown
