"""`tacit job`: read a job's plan, join cards into a roster, measure the links, take part in a job across machines."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tacit.errors import UsageError

if TYPE_CHECKING:
    from tacit.node.job import Job
    from tacit.node.member import Outcome


def add_parser(sub: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its own verbs."""
    parser = sub.add_parser("job", help="show a job's plan, or take part in it")
    verbs = parser.add_subparsers(dest="job_verb", metavar="show|roster|measure|network|run", required=True)
    show = verbs.add_parser("show", help="print what a job computes, reveals and costs, and its digest")
    show.add_argument("job", type=Path)
    show.add_argument(
        "--machine", type=Path, help="estimate the time with this calibration (./dev bench calibrate)"
    )
    show.set_defaults(run=run_show)
    roster = verbs.add_parser("roster", help="join the parties' cards into a roster, in the job's order")
    roster.add_argument("job", type=Path)
    roster.add_argument("cards", type=Path, nargs="+")
    roster.add_argument("--out", type=Path, required=True)
    roster.set_defaults(run=run_roster)
    measured = verbs.add_parser(
        "measure", help="measure the links to the other compute parties, at the same time"
    )
    measured.add_argument("job", type=Path)
    _who(measured)
    measured.add_argument("--out", type=Path, help="write what was found here, for `tacit job network`")
    measured.set_defaults(run=run_measure)
    links = verbs.add_parser("network", help="make a job's parties choose variants for another network")
    links.add_argument("job", type=Path)
    links.add_argument(
        "--to", required=True, help="loopback, lan, wan, or a file that `tacit job measure` wrote"
    )
    links.add_argument("--out", type=Path, required=True, help="the new job; its owners approve it anew")
    links.set_defaults(run=run_network)
    take = verbs.add_parser("run", help="take part in a job as one party")
    take.add_argument("job", type=Path)
    _who(take)
    take.add_argument("--table", type=Path, help="this party's own table, if it provides data")
    take.add_argument("--approve", default="", help="digest of the job, as `tacit job show` prints it")
    take.add_argument(
        "--out", type=Path, help="write the results and the account here as JSON; must not exist"
    )
    take.set_defaults(run=run_take)


def _who(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--roster", type=Path, required=True)
    parser.add_argument("--name", required=True, help="this party's name in the roster")
    parser.add_argument("--home", type=Path, required=True, help="folder of this party's identity")
    parser.add_argument(
        "--listen",
        type=_address,
        metavar="HOST:PORT",
        help="listen here (default: at the roster's own address)",
    )
    parser.add_argument("--wait", type=_seconds, default=120.0, help="seconds to wait for the other parties")


def _seconds(text: str) -> float:
    from tacit.net.tls import check_limit

    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    try:
        check_limit(value)
    except UsageError as exc:
        raise argparse.ArgumentTypeError(f"{text!r}: {exc}") from None
    return value


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r}: give HOST:PORT, such as 0.0.0.0:9000 or [::]:9000")
    return host, int(port)


def run_show(args: argparse.Namespace) -> int:
    """Print the plan in words."""
    from tacit.core.timing import load_machine
    from tacit.node.job import load_job

    job = load_job(args.job)
    machine = None if args.machine is None else load_machine(args.machine)
    print(f"job        {job.title}")
    print("\n".join(job.plan(machine).lines()))
    return 0


def run_measure(args: argparse.Namespace) -> int:
    """Measure, and say what follows from it."""
    from tacit.net.identity import existing_identity
    from tacit.net.roster import load_roster
    from tacit.node.job import load_job
    from tacit.node.measure import measure_job

    job = load_job(args.job)
    identity = existing_identity(args.home, args.name)
    found = measure_job(job, load_roster(args.roster), identity, args.wait, args.listen)
    print(f"network    {found}")
    print(f"a round    is worth {found.round_bytes:,} bytes; this job chooses for {job.network}")
    if args.out is not None:
        args.out.write_text(json.dumps(found.content()) + "\n", encoding="utf-8")
        print(f"to use it  tacit job network {args.job} --to {args.out} --out NEW-JOB")
    return 0


def run_network(args: argparse.Namespace) -> int:
    """Write the job for another network, and its digest."""
    from dataclasses import replace

    from tacit.core.timing import PRESETS, load_network
    from tacit.node.job import load_job

    links = PRESETS[args.to] if args.to in PRESETS else load_network(args.to)
    job = replace(load_job(args.job), network=links)
    plan = job.plan()
    job.save(args.out)
    print(f"network    {links}")
    print(f"rounds     {plan.cost.rounds}")
    print(f"time       {plan.time()}")
    print(f"approve    {plan.job}")
    return 0


def run_roster(args: argparse.Namespace) -> int:
    """Write a roster from cards."""
    from tacit.errors import DataError
    from tacit.net.identity import show_fingerprint
    from tacit.net.roster import Party, Roster
    from tacit.node.job import load_job

    job = load_job(args.job)
    cards: dict[str, Party] = {}
    found: dict[str, Path] = {}
    for path in args.cards:
        try:
            card = Party(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise DataError(f"{path} is not a card; make one with `tacit identity --card FILE`") from None
        if cards.setdefault(card.name, card) != card:
            raise DataError(
                f"{found[card.name]} and {path} are different cards of {card.name}; keep the one whose fingerprint "
                f"{card.name} confirms over a way you trust"
            )
        found.setdefault(card.name, path)
    missing = [p for p in job.parties if p not in cards]
    if missing:
        raise DataError(f"no card was given for {', '.join(missing)}")
    Roster(tuple(cards[p] for p in job.parties)).save(args.out)
    for p in job.parties:
        print(f"{p}: {show_fingerprint(cards[p].fingerprint)}")
    print(
        f"roster of {len(job.parties)} parties written to {args.out}; compare each fingerprint with its party"
    )
    return 0


def run_take(args: argparse.Namespace) -> int:
    """Take part."""
    from tacit.kernels import reuse_memory
    from tacit.net.identity import existing_identity
    from tacit.net.roster import load_roster
    from tacit.node.job import load_job
    from tacit.node.managed import outcome_json
    from tacit.node.member import run_member
    from tacit.node.privacy import keep_memory_private

    keep_memory_private()
    reuse_memory()
    job = load_job(args.job)
    with _new_file(args.out) as keep:
        outcome = run_member(
            job,
            load_roster(args.roster),
            existing_identity(args.home, args.name),
            args.approve,
            args.table,
            listen=args.listen,
            connect_timeout_s=args.wait,
        )
        where = "they are lost here, since no --out FILE was given"
        try:
            if args.out is not None:
                where = f"{args.out} could not be written either"
                keep(json.dumps(outcome_json(outcome)) + "\n")
                where = f"they are in {args.out}"
        finally:
            _report(job, outcome, where)
    return 0


def _report(job: Job, outcome: Outcome, where: str) -> None:
    """Print the results and the statement; UsageError says `where` the results are if standard output takes nothing."""
    from tacit.cli.show import results_table
    from tacit.node.statement import statement

    if sys.stdout is None:
        raise UsageError(f"the results could not be printed (standard output is closed); {where}")
    try:
        results_table(outcome.results)
    except OSError as exc:
        raise UsageError(f"the results could not be printed ({exc.strerror}); {where}") from None
    for heading, text in statement(
        job.plan(), {outcome.party: outcome}, "this process, one party of the job"
    ):
        print(f"{heading:<12}{text}", file=sys.stderr)


@contextmanager
def _new_file(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield what fills a private file that must not exist; a place that takes none shows now, before others are called.

    What is half written never has the file's name, and what cannot have it, since another took it, stays beside it.
    """
    if path is None:
        yield lambda text: None
        return
    if os.path.lexists(path):
        raise UsageError(f"{path} exists and is not overwritten; give --out another name, or move it away")
    draft, keep = path.with_name(f".{path.name}.{secrets.token_hex(8)}"), False
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}; give --out another place") from None

    def fill(text: str) -> None:
        nonlocal keep
        rest = text.encode()
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
            keep = True
            try:
                os.link(draft, path)  # unlike rename, fails if the name is taken
            except FileExistsError:
                raise UsageError(f"{path} was made meanwhile and stays; the results are in {draft}") from None
            except OSError:  # no links in this file system
                draft.rename(path)
            keep = False
        except OSError as exc:
            kept = f"; the results are in {draft}" if keep else ""
            raise UsageError(f"{path} could not be written: {exc.strerror}{kept}") from None

    try:
        yield fill
    finally:
        os.close(handle)
        if not keep:
            draft.unlink(missing_ok=True)
