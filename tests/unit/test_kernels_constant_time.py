"""What native kernels do with secrets depends on them in no branch and at no address, but where it is said and why.

Checked with valgrind on the module as it was built (after A. Langley's ctgrind): secrets are marked as undefined, and
memcheck reports each jump and each address that they decide. Which are secret, ``constant_time.py`` says. What is not
seen: what is compiled for AVX-512 and AMX, which valgrind does not know, and for other processors; and
instructions whose time depends on operands.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
if HAS_NATIVE:
    from tacit.kernels import _native

PUBLIC = {
    *("aes", "get_threads", "has_aes", "reuse_memory", "set_target", "set_threads", "target", "targets"),
    *("right_bytes_64", "right_bytes_128"),
}
"""These are given no secrets."""
EXCEPTIONS = {"moved_128", "moved_64", "permutation", "places_128", "places_64"}
"""A shuffle's order. Its factors are known to the two parties that draw and apply them: what they look up shows in the
caches of their own machines. Places that are opened are known to all."""
ONLY_EXCEPTIONS = EXCEPTIONS - {"moved_128", "moved_64"}  # rows' contents decide nothing where they move
CONTROLS = {"choose_by_branch": True, "choose_by_look_up": True, "choose_by_mask": False}

Told = dict[str, Any]


def missing() -> str:
    """Return what this test needs and is not here."""
    if not HAS_NATIVE:
        return "the native kernels are not built"
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"not tried on {platform.machine()}"
    return ", ".join(f"no {tool}" for tool in ("valgrind", "g++") if shutil.which(tool) is None)


def watched(tmp: Path, target: str) -> Told:
    """Return what is told of one target's kernels under valgrind, and its report."""
    marks, report = tmp / "marks.so", tmp / "report"
    build = ["g++", "-O1", "-shared", "-fPIC", "-o", str(marks), str(HERE / "constant_time.cpp")]
    built = subprocess.run(build, capture_output=True, text=True, check=False, timeout=60)
    if "no headers of valgrind" in built.stderr:
        pytest.skip("no headers of valgrind")
    assert built.returncode == 0, built.stderr
    run = ["valgrind", "--tool=memcheck", "--vgdb=no", "--error-limit=no", "--num-callers=6",
           f"--log-file={report}", sys.executable, "-s", "-S", str(HERE / "constant_time.py"), _native.__file__,
           str(marks), target]  # fmt: skip
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "VALGRIND_OPTS": ""}
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=900, env=environment)
    report_text = report.read_text() if report.exists() else ""
    assert done.returncode == 0, done.stderr + report_text[-5000:]
    return {**json.loads(done.stdout), "report": report_text}


SEEN = [name for name in _native.targets() if name in ("avx2", "baseline")] if HAS_NATIVE else ["none"]


@pytest.fixture(
    scope="module", params=[SEEN[0], *(pytest.param(t, marks=pytest.mark.slow) for t in SEEN[1:])]
)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    return watched(tmp_path_factory.mktemp("constant_time"), request.param)


def test_secrets_decide_no_branch_and_no_address(told: Told) -> None:
    bad = {kernel: calls[:3] for kernel, calls in told["kernels"]["found"].items() if calls}
    assert not bad, f"{bad}\n{told['report'][:4000]}"
    assert not told["kernels"]["blind"], "results that depend on no secret"


def test_every_kernel_is_called(told: Told) -> None:
    offered = {name for name in dir(_native) if not name.startswith("_")} - PUBLIC
    if not _native.has_aes():
        offered -= {"KeyStream", "prg"}
    assert set(told["kernels"]["found"]) == offered - ONLY_EXCEPTIONS


def test_a_branch_and_an_address_are_seen(told: Told) -> None:
    found = told["controls"]["found"]
    assert {name: bool(calls) for name, calls in found.items()} == CONTROLS
    assert not told["controls"]["blind"]


def test_the_exceptions_are_these(told: Told) -> None:
    found = told["exceptions"]["found"]
    assert set(found) == EXCEPTIONS
    assert all(found.values()), "no exception any more"
