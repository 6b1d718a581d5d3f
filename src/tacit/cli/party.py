"""`tacit party`: one party's process, started and watched by a launcher of the same user."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = sub.add_parser("party", help="one party's process under a launcher (used by the demos)")
    parser.add_argument("--name", required=True, help="this party's name")
    parser.add_argument("--home", required=True, type=Path, help="folder of this party's identity")
    parser.add_argument("--table", type=Path, help="this party's own table, if it provides data")
    parser.set_defaults(run=run)


def add_session(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb of a party in an eager session."""
    parser = sub.add_parser("session", help="one party's process of tacit.local (used by notebooks)")
    parser.add_argument("--name", required=True, help="this party's name")
    parser.add_argument("--home", required=True, type=Path, help="folder of this party's identity")
    parser.set_defaults(run=run_session)


def run_session(args: argparse.Namespace) -> int:
    """Answer a session's calls."""
    from tacit.node.local import serve

    return serve(args.name, args.home)


def run(args: argparse.Namespace) -> int:
    """Serve one job."""
    from tacit.node.managed import serve

    return serve(args.name, args.home, args.table)
