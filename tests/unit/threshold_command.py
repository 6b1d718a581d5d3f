"""`tacit split`, `combine`, `vault` and `report` as the command line calls them, in this process."""

import argparse
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tacit.cli import report, split, vault
from tacit.errors import TacitError


def tacit(*arguments: Any) -> int:
    """Parse, run, and turn errors into status 1 and one line on stderr."""
    parser = argparse.ArgumentParser(prog="tacit")
    verbs = parser.add_subparsers(required=True)
    for add in (split.add_parser, split.add_combine, vault.add_parser, report.add_parser):
        add(verbs)
    parsed = parser.parse_args([str(a) for a in arguments])
    try:
        status: int = parsed.run(parsed)
    except TacitError as error:
        print(f"tacit: {error}", file=sys.stderr)
        return 1
    return status


def forks(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test that forks in a process of its own: threads of other tests, JAX's among them, do not survive one."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        if os.environ.get("TACIT_TEST_FORKS"):
            test(*arguments, **options)
            return
        node = os.environ["PYTEST_CURRENT_TEST"].rsplit(" ", 1)[0]
        keep = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", node],
            cwd=Path(__file__).resolve().parents[2],
            env={**keep, "TACIT_TEST_FORKS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]

    return run


def dies(stop: int, work: Callable[[], object]) -> bool:
    """Run `work` in a forked process that kill -9 ends before or after its `stop`-th call that writes.

    Returns whether it was killed; False says that `work` came to its end.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def deadly(name: str) -> None:
            right = getattr(os, name)

            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                result = None
                for moment in ("before", "after"):
                    if count == stop:
                        os.kill(os.getpid(), signal.SIGKILL)
                    count += 1
                    if moment == "before":
                        result = right(*arguments, **options)
                return result

            setattr(os, name, call)

        for name in ("fsync", "replace", "link", "unlink", "open"):
            deadly(name)
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)
