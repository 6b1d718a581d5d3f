"""`tacit`: one command, its verbs each in a module that loads only when used."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from tacit import __version__
from tacit.errors import TacitError

VERBS = (
    "demo",
    "job",
    "identity",
    "protocols",
    "sign",
    "vault",
    "split",
    "combine",
    "report",
    "party",
    "session",
)
# Verbs whose module has another name, or shares one.
_MODULES = {"session": ("party", "add_session"), "combine": ("split", "add_combine")}


class _Version(argparse.Action):
    """Print the version, and whether the native kernels were built: the package installs without them, too."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from tacit import kernels

        info = kernels.info()
        native = f"native kernels ({info['target']}, AES {info['aes']}, {info['threads']} threads)"
        print(f"tacit {__version__}, {native if info['native'] else 'without native kernels'}")
        if said := kernels.notice():
            print(said, file=sys.stderr)
        parser.exit()


def build_parser(verbs: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """Return the parser with the given verbs."""
    parser = argparse.ArgumentParser(
        prog="tacit",
        description="Several organisations compute one answer from data that none of them shows.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and which kernels run")
    sub = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in verbs:
        module, adder = _MODULES.get(verb, (verb, "add_parser"))
        getattr(import_module(f"tacit.cli.{module}"), adder)(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors become one message on stderr and status 1."""
    args = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        # Asked to end, clean up as after Ctrl-C: stop what was started, remove what was written for the run.
        for sign in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, _end)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a plan is worth reading on any terminal
    # A party process starts often: it loads its own verb alone.
    verbs = [v for v in VERBS if args[:1] == [v]] or VERBS
    try:
        parsed = build_parser(verbs).parse_args(args)
        status: int = parsed.run(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()  # what it does not take must show in the status
        return status
    except TacitError as exc:
        print(f"tacit: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as exc:
        print("tacit: stopped", file=sys.stderr)
        return exc.status if isinstance(exc, _Ended) else 130
    except BrokenPipeError:
        return 0
    except OSError as exc:
        print(f"tacit: {f'{exc.filename}: ' if exc.filename else ''}{exc.strerror or exc}", file=sys.stderr)
        return 1
    finally:
        _let_go()


def _let_go() -> None:
    """Drop what standard output does not take: Python would try again at the end, and complain in its own words."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Ended(KeyboardInterrupt):
    """Asked to end by a signal: like Ctrl-C to all that cleans up, and to peers, who hear that it was the operator."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def _end(sign: int, frame: object) -> None:
    raise _Ended(128 + sign)


if __name__ == "__main__":
    sys.exit(main())
