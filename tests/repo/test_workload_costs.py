"""The benchmark's workloads at small size: Tacit's side is right, and sends and calls no more than it did.

After a change that lowers costs, or a new workload: `python -m bench.rig.small` writes the file anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
pytest.importorskip("jax")

from bench.rig import small
from bench.rig.workloads import Workload

from tacit.errors import NotRealised

RECORDED = json.loads(small.COSTS.read_text())
WORKLOADS = {w.name: w for w in small.distinct()}


@pytest.mark.parametrize("w", WORKLOADS.values(), ids=lambda w: w.key)
def test_right_and_no_dearer(w: Workload) -> None:
    if w.name not in RECORDED:
        with pytest.raises(NotRealised) as lacking:
            small.measure(w)
        pytest.skip(f"not supported: {lacking.value}")
    found = small.measure(w)
    assert found["right"], "the result misses the truth in float64"
    grown = {k: (RECORDED[w.name][k], n) for k, n in found["costs"].items() if n > RECORDED[w.name][k]}
    assert not grown, f"grew (recorded, now): {grown}; see the docstring of this file"


def test_the_record_names_no_other_workload() -> None:
    assert not RECORDED.keys() - WORKLOADS.keys()
