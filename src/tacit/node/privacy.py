"""What a party's process asks of the operating system before it holds keys, shares or rows."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Write no core file, and on Linux let no other process of the same user read this one's memory.

    Best effort: where the system offers neither, the party runs all the same. Root reads everything.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    os.umask(0o077)


__all__ = ["keep_memory_private"]
