"""The command `tacit report`: everybody receives the text, nobody learns who of the honest wrote it."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from tacit.cli import report_demo
from tacit.cli.report_home import check_home, has_passphrase, lies_open, make_identity, open_identity
from tacit.cli.sign_home import read_passphrase
from tacit.cli.sign_net import add_roster
from tacit.crypto.groups import group_named
from tacit.errors import UsageError
from tacit.net.roster import Roster, load_roster
from tacit.net.tls import connect_mesh
from tacit.report import drive, session, textbook

GROUP = "ristretto255"
MAX_BYTES = 1 << 16

STATEMENT = """\
What this hides: which of the people who did not collude wrote a text. With n people, any n-2 who pool all
they saw and all traffic learn only that it was one of the others. What it does not hide: who takes part and
when; how many texts there were and how long; network addresses; the style
of the text; and that somebody who is absent did not write it. Read docs/reporting.md before you depend on it."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `report` and its verbs to the command line."""
    parser = subparsers.add_parser("report", help="say something to all without showing who said it")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("address", help="make your identity, print your roster entry")
    verb.add_argument("name")
    verb.add_argument("--home", type=Path, default=Path.home() / ".tacit" / "report")
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=int, required=True)
    verb.set_defaults(run=_address)

    add_roster(verbs)

    verb = verbs.add_parser("join", help="take part in one session; everybody in the roster runs this")
    verb.add_argument("name")
    verb.add_argument("--home", type=Path, default=Path.home() / ".tacit" / "report")
    verb.add_argument("--roster", type=Path, required=True)
    verb.add_argument(
        "--say",
        metavar="FILE",
        help="the text to report, or - for standard input; leave it out to stay silent",
    )
    verb.add_argument("--timeout-s", type=float, default=120.0, help="how long silence is tolerated")
    verb.set_defaults(run=_join)

    verb = verbs.add_parser("demo", help="five processes on this machine, one report")
    verb.add_argument(
        "--cheat",
        nargs="?",
        const=report_demo.CHEATS[0],
        choices=report_demo.CHEATS,
        help="one of the five cheats and is named: writes into all slots (jam, the default), "
        "announces a wrong sum, or gives wrong parts",
    )
    verb.set_defaults(run=lambda args: report_demo.show(args.cheat))

    verb = verbs.add_parser("teach", help="the textbook's two steps with numbers you can follow")
    verb.add_argument("--people", type=int, default=5)
    verb.set_defaults(run=_teach)


def _address(args: argparse.Namespace) -> int:
    if has_passphrase(args.home):
        passphrase = read_passphrase()
    else:
        passphrase = read_passphrase("New passphrase: ", twice=True)
    exposed = lies_open(args.home)
    party = make_identity(args.home, args.name, passphrase).party(args.host, args.port)
    if exposed:
        print(
            "your key was not encrypted and now is; old copies of it (a backup, blocks of the disk) still open",
            file=sys.stderr,
        )
    path = args.home / "me.roster.json"
    Roster((party,)).save(path)
    print(f"your entry is in {path}; join everybody's with: tacit report roster")
    return 0


def read_text(source: str | None) -> bytes | None:
    """Read the text before anything is sent: never from the command line, where other users see it."""
    if source is None:
        return None
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if source == "-" else _read(Path(source))
    if not 1 <= len(data) <= MAX_BYTES:
        raise UsageError(f"a report has between 1 and {MAX_BYTES} bytes")
    return data


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def show_text(data: bytes) -> str:
    """Return a received text for the terminal: control characters in it do nothing there."""
    text = data.decode(errors="replace")
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _join(args: argparse.Namespace) -> int:
    check_home(args.home, args.name)
    text, roster = read_text(args.say), load_roster(args.roster)
    identity = open_identity(args.home, args.name, read_passphrase())
    limits = session.Limits(max_bytes=MAX_BYTES)
    with connect_mesh(identity, roster, args.name, round_timeout_s=args.timeout_s) as mesh:
        state = drive.run(mesh, roster.names, group_named(GROUP), secrets.token_bytes, text, limits)
    for data in state.delivered:
        print(f"report: {show_text(data)}")
    if not state.delivered:
        print("no report")
    print(STATEMENT, file=sys.stderr)
    if not session.was_delivered(state):
        print("your own text was not delivered: reservations collided too often; run again", file=sys.stderr)
        return 3
    return 0


def _teach(args: argparse.Namespace) -> int:
    """Show the split and the sum for one short text; anybody may be the one who speaks."""
    n, text = args.people, "boring"
    textbook.split(0, n, secrets.token_bytes)  # refuses too few people before anything is said
    print(f"One of {n} people says {text!r}; the others say 0. Everybody splits a number into {n} parts.")
    contributions = [textbook.text_to_number(text) if i == 1 else 0 for i in range(n)]
    parts = [textbook.split(value, n, secrets.token_bytes) for value in contributions]
    for i, row in enumerate(parts):
        print(f"  person {i + 1} gives: " + "  ".join(f"…{part % 10**6:06}" for part in row))
    announced = [textbook.combine([row[j] for row in parts]) for j in range(n)]
    print("Everybody adds up what it was given and announces the sum:")
    print("  " + "  ".join(f"…{value % 10**6:06}" for value in announced))
    print(f"All announcements together: {textbook.number_to_text(textbook.combine(announced))!r}")
    print("This is safe only if all follow it; `tacit report join` names whoever does not.")
    return 0
