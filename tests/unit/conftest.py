"""Fixtures of the unit tests."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Iterator

import pytest

# A shell starts what runs in the background with Ctrl-C ignored, and so would be the processes of a test that sends it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

HAS_NATIVE = importlib.util.find_spec("tacit.kernels._native") is not None
if HAS_NATIVE:
    from tacit.kernels import _native


@pytest.fixture(params=_native.targets() if HAS_NATIVE else ["absent"])
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run on each instruction set that this CPU offers."""
    if not HAS_NATIVE:
        pytest.skip("the native kernels are not built")
    before = _native.target()
    _native.set_target(request.param)
    yield request.param
    _native.set_target(before)
