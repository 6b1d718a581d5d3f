"""The examples of docs/tables.md run and print what their comments say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_the_example_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for numbers in (
        "[10.  30.   1.5  0. ]",
        "[ True  True  True False]",
        "[34  0 34 61  0]",
        "[7 7 3 3 9]",
        "[ 6. 16.]",
    ):
        assert numbers in done.stdout, done.stdout
