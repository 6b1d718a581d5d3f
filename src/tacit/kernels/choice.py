"""Which implementation of the kernels this process uses, and what it can say about it.

``TACIT_KERNELS`` is ``auto`` (native if it is there), ``native`` or ``reference``; ``TACIT_TARGET`` forces
one of the native instruction sets: ``baseline``, ``avx2``, ``avx512``, ``ifma`` or ``amx``; ``TACIT_THREADS`` is the
most threads that a native kernel uses, as many as the process has cores (``taskset`` counts) if it is not set.
"""

from __future__ import annotations

import os
from typing import TypedDict

from tacit.errors import UsageError

try:
    from tacit.kernels import _native
except ImportError:
    HAS_NATIVE = False
else:
    HAS_NATIVE = True


class Info(TypedDict):
    """What ``info`` tells: implementation, instruction set, threads, AES instructions (or "none")."""

    native: bool
    target: str
    threads: int
    aes: str


def _threads() -> int:
    """Return the threads asked for, or the number of cores that this process may use."""
    wanted = os.environ.get("TACIT_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= 1024:
            raise UsageError(f"TACIT_THREADS is a number of threads from 1 to 1024, not {wanted!r}")
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _choose() -> bool:
    wanted = os.environ.get("TACIT_KERNELS", "auto")
    if wanted not in ("auto", "native", "reference"):
        raise UsageError(f"TACIT_KERNELS is auto, native or reference, not {wanted!r}")
    if wanted == "native" and not HAS_NATIVE:
        raise UsageError("TACIT_KERNELS=native, but the native kernels are not built; install a C++ compiler")
    native = HAS_NATIVE and wanted != "reference"
    target = os.environ.get("TACIT_TARGET")
    threads = _threads()
    if native:
        _native.set_threads(threads)
        if target:
            try:
                _native.set_target(target)
            except ValueError as problem:
                offered = ", ".join(_native.targets())
                raise UsageError(f"TACIT_TARGET: {problem}; it offers {offered}") from None
    elif target:
        raise UsageError("TACIT_TARGET chooses among the native kernels, which are not in use")
    return native


NATIVE = _choose()
_said = False


def info() -> Info:
    """Return which kernels run: native or not, the instruction set, threads, AES instructions."""
    if not NATIVE:
        return {"native": False, "target": "numpy", "threads": 1, "aes": "none"}
    return {
        "native": True,
        "target": _native.target(),
        "threads": _native.get_threads(),
        "aes": _native.aes(),
    }


def set_threads(n: int) -> None:
    """Let the kernels use ``n`` threads in this process; results do not depend on it."""
    if n < 1:
        raise UsageError(f"kernels need at least one thread, not {n}")
    if NATIVE:
        _native.set_threads(n)


def reuse_memory(nbytes: int = 1 << 28) -> bool:
    """Let this process keep up to ``nbytes`` of freed memory for the next arrays; False where that cannot be set.

    For processes that compute on arrays all the time: pages from the system are cleared one by one.
    """
    return NATIVE and _native.reuse_memory(nbytes)


def notice() -> str:
    """Return, once in a process, the line to show where the native part is missing; otherwise nothing."""
    global _said
    if HAS_NATIVE or _said:
        return ""
    _said = True
    return "tacit runs without its native kernels, more slowly: reinstall it with a C++ compiler present"
