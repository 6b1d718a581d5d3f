"""Kernels on each instruction set that this CPU offers, where the native ones are built."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def each_target() -> Iterator[str]:
    """Let the native kernels be those of one instruction set after the other, then what they were."""
    from tacit.kernels import _native

    before = _native.target()
    try:
        for name in _native.targets():
            _native.set_target(name)
            yield name
    finally:
        _native.set_target(before)


def each_threads(*counts: int) -> Iterator[int]:
    """Let the native kernels run on one number of threads after the other, then on as many as before."""
    from tacit.kernels import _native

    before = _native.get_threads()
    try:
        for threads in counts:
            _native.set_threads(threads)
            yield threads
    finally:
        _native.set_threads(before)


def everywhere(reference: Any, compiled: Any) -> Iterator[Any]:
    """Yield the reference and, on each instruction set, the native kernels."""
    yield reference
    for _ in each_target():
        yield compiled
