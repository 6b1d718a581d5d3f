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


def everywhere(reference: Any, compiled: Any) -> Iterator[Any]:
    """Yield the reference and, on each instruction set, the native kernels."""
    yield reference
    for _ in each_target():
        yield compiled
