"""The command ``tacit sign``: keys that no one holds alone, and orders signed under a rule."""

from __future__ import annotations

import argparse
import base64
import json
import re
import secrets
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tacit.cli import sign_demo, sign_net
from tacit.cli.sign_home import (
    ask_hidden,
    check_new,
    make_home,
    open_home,
    read_document,
    read_passphrase,
    write_document,
)
from tacit.crypto.sealed import open_sealed, read_private, seal, write_private
from tacit.errors import DataError, UsageError
from tacit.net.roster import check_name
from tacit.threshold import ceremony, dealer, frost
from tacit.threshold.ceremony import APPROVE, REFUSE
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.order import decode_written, render
from tacit.threshold.policy import check_order, make_order, read_order
from tacit.threshold.suites import SUITE_NAMES, suite_named

_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhd])\Z")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``sign`` and its verbs to the command line."""
    parser = subparsers.add_parser("sign", help="sign together: no one holds the key, a rule decides")
    parser.add_argument("--home", type=Path, default=Path.home() / ".tacit" / "sign", help="your folder")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("init", help="make your folder and signing key")
    verb.add_argument("name")
    verb.add_argument(
        "--role", action="append", default=[], help="a role for the directory entry that is printed"
    )
    verb.set_defaults(run=_init)

    verb = verbs.add_parser("directory", help="adopt a directory of people and rules")
    verb.add_argument("file", type=Path)
    verb.set_defaults(run=_directory)

    verb = verbs.add_parser("keygen", help="make a group key: together (default) or by a dealer")
    verb.add_argument("--suite", choices=SUITE_NAMES, default="ed25519")
    verb.add_argument("--threshold", type=int, required=True)
    how = verb.add_mutually_exclusive_group(required=True)
    how.add_argument("--roster", type=Path, help="the members, who run this at the same time")
    how.add_argument("--dealer", metavar="NAME,NAME,…", help="deal to these; whoever deals knows the key")
    verb.add_argument("--out", type=Path, help="with --dealer: folder for the share files")
    verb.set_defaults(run=_keygen)

    verb = verbs.add_parser("import", help="take a dealt share file into your folder")
    verb.add_argument("file", type=Path)
    verb.set_defaults(run=_import)

    verb = verbs.add_parser("request", help="write an order")
    verb.add_argument("kind")
    verb.add_argument("content", type=Path, help="a JSON file: what the order says")
    verb.add_argument("--valid", default="2h", help="how long, as 30m, 2h or 3d")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_request)

    verb = verbs.add_parser("approve", help="look at an order and approve or refuse it")
    verb.add_argument("order", type=Path)
    verb.add_argument("--refuse", action="store_true")
    verb.add_argument("--yes", action="store_true", help="do not ask (the order is still shown)")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_approve)

    verb = verbs.add_parser("sign", help="give your signature share, if the approvals suffice")
    verb.add_argument("order", type=Path)
    verb.add_argument("approvals", type=Path, nargs="+")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_sign)

    verb = verbs.add_parser("aggregate", help="add signature shares to the signature")
    verb.add_argument("order", type=Path)
    verb.add_argument("--approvals", type=Path, nargs="+", required=True)
    verb.add_argument("--shares", type=Path, nargs="+", required=True)
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_aggregate)

    verb = verbs.add_parser("verify", help="check a signature; needs only the group's public key file")
    verb.add_argument("order", type=Path)
    verb.add_argument("signature", type=Path)
    verb.add_argument("--group", type=Path, help="default: group.json in your folder")
    verb.set_defaults(run=_verify)

    verb = verbs.add_parser("log", help="show who approved what and when, and check the chain")
    verb.add_argument("--head", help="a head that you wrote down earlier; tells whether the log was cut")
    verb.set_defaults(run=_log)

    verb = verbs.add_parser("adopt", help="after a crash: take the share that was staged but not adopted")
    verb.set_defaults(run=_adopt)

    verb = verbs.add_parser("demo", help="three processes on this machine sign a medication order")
    verb.add_argument("--cheat", action="store_true", help="one of them gives a wrong share and is named")
    verb.set_defaults(run=lambda args: sign_demo.show(cheat=args.cheat))
    sign_net.add_verbs(verbs)


def _init(args: argparse.Namespace) -> int:
    home = make_home(args.home, args.name, read_passphrase("New passphrase: ", twice=True))
    print(
        json.dumps({"name": home.name, "public": home.key.public.hex(), "roles": args.role}, sort_keys=True)
    )
    return 0


def _directory(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    directory = home.adopt_directory(args.file)
    for kind, rule in sorted(directory.rules.items()):
        print(f"{kind}: {rule.describe()}")
    print(f"directory {directory.digest.hex()}: compare this with the others")
    return 0


def _keygen(args: argparse.Namespace) -> int:
    if args.roster:
        return sign_net.keygen(args)
    if not args.out:
        raise UsageError("--dealer needs --out, a folder for the share files")
    names = args.dealer.split(",")
    for name in names:
        check_name(name)
        if (args.out / f"{name}.share").exists():
            raise UsageError(f"{args.out / name}.share exists and is not overwritten")
    dealt = dealer.deal(suite_named(args.suite), args.threshold, names, secrets.token_bytes)
    for name, (share, public) in dealt.items():
        passphrase = base64.b32encode(secrets.token_bytes(15)).decode().lower()
        blob = seal(passphrase, pack((share.encode(), public)), b"tacit/sign/dealt")
        write_private(args.out / f"{name}.share", blob)
        print(f"{name}: {name}.share opens with {passphrase}")
    print(
        "Tell each passphrase to its person only. A dealer could keep the key: that is what is trusted here."
    )
    return 0


def _import(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    home.check_no_share()
    opened = open_sealed(
        ask_hidden("Passphrase of the share file: ", "give it on standard input"),
        read_private(args.file),
        b"tacit/sign/dealt",
    )
    encoded, public = unpack(opened, 2)
    share = KeyShare.decode(encoded)
    dealer.accept(share, public)
    if share.name != home.name:
        raise UsageError(f"this share is for {share.name}, not for {home.name}")
    home.stage_share(share)
    home.adopt_share()
    fingerprint = share.group_key.fingerprint()
    home.journal.append(home.now(), "share imported", home.name, fingerprint)
    print(f"group {fingerprint.hex()}: compare this with the others, and delete {args.file}")
    return 0


def _adopt(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    fingerprint = home.staged().group_key.fingerprint().hex()
    print(f"staged: group {fingerprint}")
    if input("Compare this with the others. Type 'adopt' if it is theirs: ").strip() != "adopt":
        raise UsageError("nothing was changed")
    home.adopt_share()
    home.journal.append(home.now(), "staged share adopted", home.name, bytes.fromhex(fingerprint))
    return 0


def _request(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    matched = _DURATION.match(args.valid)
    if not matched:
        raise UsageError("write a duration as 30m, 2h or 3d")
    unit = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}[matched[2]]
    try:
        content = decode_written(read_document(args.content))
    except DataError as error:
        raise DataError(f"{args.content}: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{args.content} is not a JSON object")
    now, nonce = home.now(), secrets.token_bytes(16)
    fingerprint = home.group_key().fingerprint()
    expires = now + int(matched[1]) * unit
    order = make_order(args.kind, content, home.directory(), fingerprint, home.name, now, expires, nonce)
    write_document(args.out, order.data)
    home.journal.append(now, "requested", home.name, order.digest, args.kind)
    print(render(order.data))
    return 0


def _approve(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    order, directory, group_key = read_order(read_document(args.order)), home.directory(), home.group_key()
    decision = REFUSE if args.refuse else APPROVE
    check_new(args.out)
    shown = render(order.data)
    print(shown)
    print(f"rule: {directory.rule(order.kind).describe()}")
    if not args.yes and input(f"Type {decision!r} to {decision} exactly this: ").strip() != decision:
        raise UsageError("nothing was decided")
    now = home.now()
    check_order(order, directory, group_key.fingerprint(), now)  # before the log says that it was approved
    head = home.journal.append(now, decision, home.name, order.digest, order.kind)
    holder = None
    if decision == APPROVE and home.name in group_key.names.values():
        holder = (home.share(), home.nonces(), secrets.token_bytes)
    approval = ceremony.approve(
        order, directory, group_key, home.name, home.key, decision, now, shown, head, holder
    )
    write_document(args.out, approval.data)
    print(f"{decision} written to {args.out}; log head {head.hex()}")
    return 0


def _sign(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    order, directory, share = read_order(read_document(args.order)), home.directory(), home.share()
    check_new(args.out)
    read = [ceremony.read_approval(read_document(p), directory, share.group_key) for p in args.approvals]
    now = home.now()
    part = ceremony.give_share(order, read, directory, share, home.key, home.nonces(), now)
    for approval in read:
        detail = f"approved at {approval.time:%Y-%m-%dT%H:%M:%SZ}, log head {approval.head.hex()}"
        home.journal.append(now, "approval seen", approval.person, order.digest, detail)
    home.journal.append(now, "signature share given", home.name, order.digest)
    write_document(args.out, part.data)
    return 0


def _aggregate(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    order, directory, group_key = read_order(read_document(args.order)), home.directory(), home.group_key()
    approvals = [ceremony.read_approval(read_document(p), directory, group_key) for p in args.approvals]
    parts = [ceremony.read_part(read_document(p), directory) for p in args.shares]
    signature = ceremony.combine(order, approvals, parts, directory, group_key)
    write_document(args.out, signature.hex().encode() + b"\n")
    who = ", ".join(sorted(approval.person for approval in approvals))
    home.journal.append(home.now(), "signed", home.name, order.digest, f"approved by {who}")
    print(f"signed: {args.out}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    group_key = GroupKey.from_json(
        read_document(args.group or args.home / "group.json").decode(errors="replace")
    )
    data = read_document(args.order)
    try:
        signature = bytes.fromhex(read_document(args.signature).decode().strip())
    except ValueError as error:
        raise UsageError(f"{args.signature} is not a signature file") from error
    if not frost.verify(group_key, data, signature):
        print("NOT signed by this group", file=sys.stderr)
        return 1
    order = read_order(data)
    print(render(data))
    expired = "" if datetime.now(UTC) < order.expires else " (the order has expired since)"
    print(f"signed by {group_key.threshold} of {len(group_key.shares)}{expired}")
    return 0


def _log(args: argparse.Namespace) -> int:
    home = open_home(args.home, read_passphrase())
    try:
        head = bytes.fromhex(args.head) if args.head else None
    except ValueError as error:
        raise UsageError("a head is written in hexadecimal") from error
    journal = home.journal
    chain = journal.read(head)
    for entry in chain.entries:
        what = f"{entry.who}: {entry.event}  {entry.document[:16]}  {entry.detail}"
        print(f"{entry.number:5d}  {entry.time:%Y-%m-%d %H:%M:%S}  {what}")
    count = len(chain.entries)
    if chain.torn:
        print(
            f"incomplete last line: {len(chain.torn)} bytes where entry {count} belongs, from a crash or a cut; "
            f"the next entry keeps them in {journal.set_aside(count)} and says so"
        )
    print(f"{count} entr{'y' if count == 1 else 'ies'}, chain and signatures hold, head {chain.head.hex()}")
    return 0
