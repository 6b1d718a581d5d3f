"""Whether a job fits into the memory of the machine, as far as it says how much it has (decision 0096)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tacit.array.analyse import nbytes_in_words
from tacit.errors import JobError

LEAST = 4
"""What a plan tells is at most so many times what a run takes: a fourth that is not there is missing for certain."""
ROOT = Path("/")


def check_room(told: int, whose: str, root: Path = ROOT) -> None:
    """Warn on standard error if about `told` bytes are more than are free; JobError if they can never be.

    Where the system does not say what it has, nothing is said.
    """
    total, free = _least(_total(root)), _least(_free(root))
    takes = f"{whose} may take about {nbytes_in_words(told)} of memory"
    if total is not None and told > LEAST * total:
        raise JobError(
            f"{takes}, and this machine has {total / 1e9:.2g} GB for it: run it on a larger one, or on fewer rows"
        )
    if free is not None and told > free:
        print(
            f"tacit: {takes}, and {free / 1e9:.2g} GB are free: if it is stopped, run it on a larger machine, or on "
            "fewer rows",
            file=sys.stderr,
        )


def _least(found: Iterator[int]) -> int | None:
    return min(found, default=None)


def _total(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield from _limits(root)


def _free(root: Path) -> Iterator[int]:
    yield from _total(root)
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _limits(root: Path) -> Iterator[int]:
    """Give the limits of the control groups that this process is in, of either version."""
    with contextlib.suppress(OSError):
        for line in (
            (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        ):
            kinds, _, path = line.partition(":")[2].partition(":")
            if kinds not in ("", "memory"):
                continue
            base = root / "sys/fs/cgroup" / kinds
            name = "memory.limit_in_bytes" if kinds else "memory.max"
            inside = Path(path.strip("/"))
            # In a container a group's own folder is the root of what is mounted.
            for folder in dict.fromkeys([inside, *inside.parents, Path()]):
                with contextlib.suppress(OSError, ValueError):
                    yield int((base / folder / name).read_text(encoding="ascii"))


__all__ = ["check_room"]
