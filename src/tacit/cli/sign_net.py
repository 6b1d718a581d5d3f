"""The verbs of ``tacit sign`` that members run together over TLS: keygen, refresh, reshare, repair."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Mapping
from pathlib import Path

from tacit.cli.sign_home import Home, check_new, open_home, read_document, read_passphrase
from tacit.errors import UsageError
from tacit.net.link import Mesh
from tacit.net.roster import Roster, load_roster
from tacit.net.tls import connect_mesh
from tacit.threshold import dealing, drive
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.plan import Plan, plan_keygen, plan_refresh, plan_reshare
from tacit.threshold.suites import suite_named

_ROUND_TIMEOUT_S = 120.0


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verbs that need a roster."""
    verb = verbs.add_parser("address", help="print your roster entry: name, address, certificate")
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=int, required=True)
    verb.set_defaults(run=_address)

    add_roster(verbs)

    verb = verbs.add_parser("refresh", help="new shares of the same key; the old ones die")
    verb.add_argument("--roster", type=Path, required=True)
    verb.set_defaults(run=_refresh)

    verb = verbs.add_parser("reshare", help="the same key for other members or another threshold")
    verb.add_argument("--roster", type=Path, required=True, help="everybody who deals or receives")
    verb.add_argument("--threshold", type=int, required=True)
    verb.add_argument("--members", required=True, metavar="NAME,NAME,…", help="who holds shares afterwards")
    verb.add_argument("--dealers", required=True, metavar="NAME,NAME,…", help="present members, at least t")
    verb.add_argument("--group", type=Path, help="for new members: the present group.json")
    verb.set_defaults(run=_reshare)

    verb = verbs.add_parser("repair", help="give a member's lost share back, with t others")
    verb.add_argument("--roster", type=Path, required=True, help="the helpers and the member who lost it")
    verb.add_argument("--lost", required=True, metavar="NAME")
    verb.add_argument("--group", type=Path, help="for the member who lost everything: the present group.json")
    verb.set_defaults(run=_repair)


def _address(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    party = home.identity().party(args.host, args.port)
    roster = args.home / "me.roster.json"
    Roster((party,)).save(roster)
    print(f"your entry is in {roster}; join everybody's with: tacit sign roster")
    return 0


def add_roster(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb that joins everybody's entries; `tacit report` has it, too."""
    verb = verbs.add_parser("roster", help="join everybody's entries (me.roster.json) into one roster")
    verb.add_argument("entries", type=Path, nargs="+", metavar="me.roster.json")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_roster)


def _roster(args: argparse.Namespace) -> int:
    check_new(args.out)
    parties = [party for path in args.entries for party in load_roster(path).parties]
    # In one order, whoever joins them; those without a port only call others, and everybody calls who stands before.
    joined = Roster(tuple(sorted(parties, key=lambda party: (not party.port, party.name))))
    joined.save(args.out)
    print(f"{args.out}: {', '.join(joined.names)}")
    print(f"roster {joined.hash().hex()}: compare this with the others")
    return 0


def _connect(home: Home, roster: Roster) -> Mesh:
    return connect_mesh(home.identity(), roster, home.name, round_timeout_s=_ROUND_TIMEOUT_S)


def _known(home: Home) -> dict[str, bytes]:
    """Return the signing keys that this person's directory lists, if there is one."""
    if not (home.folder / "directory.json").exists():
        return {}
    return {name: person.public for name, person in home.directory().people.items()}


def _deal(home: Home, roster: Roster, plan: Plan, identifiers: Mapping[str, int], event: str) -> int:
    """Run a dealing, adopt the new share only after everybody has stored it, and log the outcome."""
    present = home.share() if plan.old is not None and identifiers[home.name] in plan.dealers else None

    def store(outcome: dealing.Outcome) -> None:
        if outcome.share is not None:
            home.stage_share(outcome.share)

    with _connect(home, roster) as mesh:
        outcome = drive.deal_over(
            mesh, plan, identifiers, home.key, secrets.token_bytes, present, store, _known(home)
        )
    if outcome.share is not None:
        home.adopt_share()
    else:
        home.forget_share()
    fingerprint = outcome.group_key.fingerprint()
    detail = f"{plan.threshold} of {len(plan.receivers)}, epoch {outcome.group_key.epoch}"
    home.journal.append(home.now(), event, home.name, fingerprint, detail)
    print(f"group {fingerprint.hex()}: {detail}")
    return 0


def keygen(args: argparse.Namespace) -> int:
    """Make a key together with everybody in the roster."""
    home, roster = open_home(args.home, read_passphrase()), load_roster(args.roster)
    home.check_no_share()
    identifiers = {name: i for i, name in enumerate(roster.names, start=1)}
    plan = plan_keygen(suite_named(args.suite), args.threshold, list(identifiers.values()))
    return _deal(home, roster, plan, identifiers, "key made together")


def _refresh(args: argparse.Namespace) -> int:
    home, roster = open_home(args.home, read_passphrase()), load_roster(args.roster)
    old = home.group_key()
    identifiers = {name: old.identifier_of(name) for name in roster.names}
    return _deal(home, roster, plan_refresh(old), identifiers, "shares refreshed")


def _old_key(home: Home, given: Path | None) -> GroupKey:
    if given is None:
        return home.group_key()
    return GroupKey.from_json(read_document(given).decode(errors="replace"))


def _reshare(args: argparse.Namespace) -> int:
    home, roster = open_home(args.home, read_passphrase()), load_roster(args.roster)
    old = _old_key(home, args.group)
    members, dealers = args.members.split(","), args.dealers.split(",")
    known = {name: identifier for identifier, name in old.names.items()}
    following = max(old.shares) + 1
    for name in sorted(set(members) - set(known)):
        known[name], following = following, following + 1
    wanted = set(members) | set(dealers)
    if wanted != set(roster.names) or any(name not in known for name in dealers):
        raise UsageError("the roster lists exactly the dealers and the members to be")
    identifiers = {name: known[name] for name in roster.names}
    receivers = [known[name] for name in members]
    plan = plan_reshare(old, [known[name] for name in dealers], receivers, args.threshold)
    return _deal(home, roster, plan, identifiers, "shares moved")


def _repair(args: argparse.Namespace) -> int:
    home, roster = open_home(args.home, read_passphrase()), load_roster(args.roster)
    group_key = _old_key(home, args.group)
    present = None if home.name == args.lost else home.share()

    def store(share: KeyShare) -> None:
        home.stage_share(share)
        home.adopt_share()

    with _connect(home, roster) as mesh:
        drive.repair_over(
            mesh, group_key, args.lost, home.key, secrets.token_bytes, present, store, _known(home)
        )
    home.journal.append(home.now(), "share repaired", home.name, group_key.fingerprint(), f"of {args.lost}")
    print(f"the share of {args.lost} is back")
    return 0
