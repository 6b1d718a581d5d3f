"""`tacit split`, `combine`, `vault` and `report` as the command line calls them, in this process."""

import argparse
import sys
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
