"""The command `tacit vault`: files that several people open together.

Keys and people come from `tacit sign`: `init`, `keygen --suite ristretto255` in a folder of its own,
`directory`.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from tacit.cli import vault_demo
from tacit.cli.sign_home import Home, check_new, open_home, read_document, read_passphrase
from tacit.crypto.encoding import pack, unpack
from tacit.crypto.record import decrypt_record, encrypt_record
from tacit.crypto.sealed import read_private, write_private
from tacit.errors import DataError, MaterialError, NotApproved, UsageError
from tacit.threshold import vault, vault_files, vault_notice
from tacit.threshold.keys import GroupKey

_ASKING = b"tacit/vault/asking"
_DURATIONS_S = {"10m": 600, "1h": 3600, "1d": 86_400, "7d": 604_800}
_HEADER, _BODY = ".head.json", ".body"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `vault` and its verbs to the command line."""
    parser = subparsers.add_parser("vault", help="seal files so that several people must open them together")
    parser.add_argument("--home", type=Path, default=Path.home() / ".tacit" / "vault", help="your folder")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = verbs.add_parser("create", help="write the vault's public keys into one file")
    verb.add_argument("--members", type=Path, required=True, metavar="group.json")
    verb.add_argument("--emergency", type=Path, metavar="group.json", help="who may declare an emergency")
    verb.add_argument("--notice", type=Path, metavar="group.json", help="whose devices must have the notice")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_create)

    verb = _with_vault(verbs.add_parser("seal", help="seal a file of any size: OUT.head.json and OUT.body"))
    verb.add_argument("file", type=Path)
    verb.add_argument("--record", required=True, help="which record this is; shown in every request")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_seal)

    verb = _with_vault(verbs.add_parser("ask", help="write a request to open a file"))
    verb.add_argument("header", type=Path)
    verb.add_argument("--reason", required=True)
    verb.add_argument("--emergency", action="store_true")
    verb.add_argument("--valid", choices=_DURATIONS_S, default="1h")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_ask)

    verb = _with_vault(verbs.add_parser("approve", help="look at a request and give your part"))
    verb.add_argument("header", type=Path)
    verb.add_argument("request", type=Path)
    verb.add_argument("--yes", action="store_true", help="do not ask (the request is still shown)")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_approve)

    verb = _with_vault(
        verbs.add_parser("notice", help="emergency: write the notice that goes to all devices")
    )
    verb.add_argument("request", type=Path)
    verb.add_argument("approvals", type=Path, nargs="+")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_notice)

    verb = _with_vault(verbs.add_parser("acknowledge", help="device: keep the notice, then give the part"))
    verb.add_argument("header", type=Path)
    verb.add_argument("notice", type=Path)
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_acknowledge)

    verb = _with_vault(verbs.add_parser("open", help="open a file with enough approvals"))
    _add_opening(verb)
    verb.add_argument("--body", type=Path, required=True)
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_open)

    verb = _with_vault(
        verbs.add_parser("rekey", help="seal an opened file to new keys: a new header, same body")
    )
    _add_opening(verb)
    verb.add_argument("--to", type=Path, required=True, metavar="vault.json")
    verb.add_argument("--out", type=Path, required=True)
    verb.set_defaults(run=_rekey)

    verb = verbs.add_parser("demo", help="six processes: three of five doctors open a patient's record")
    verb.add_argument("--cheat", action="store_true", help="one doctor gives a wrong part and is named")
    verb.set_defaults(run=lambda args: vault_demo.show(cheat=args.cheat))


def _with_vault(verb: argparse.ArgumentParser) -> argparse.ArgumentParser:
    verb.add_argument("--vault", type=Path, required=True, metavar="vault.json")
    return verb


def _add_opening(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("header", type=Path)
    verb.add_argument("request", type=Path)
    verb.add_argument("approvals", type=Path, nargs="+")


def _load_vault(args: argparse.Namespace) -> vault.Vault:
    return vault_files.vault_from_json(read_document(args.vault))


def _load_header(path: Path) -> vault.Header:
    return vault_files.header_from_json(read_document(path))


def _load_approvals(paths: Sequence[Path]) -> list[vault.Approval]:
    return [vault.Approval.decode(read_document(path)) for path in paths]


def _group(path: Path | None) -> GroupKey | None:
    if path is None:
        return None
    found = GroupKey.from_json(read_document(path).decode(errors="replace"))
    if found.suite.name not in ("ristretto255", "secp256k1"):
        raise UsageError("a vault's keys are made with: tacit sign keygen --suite ristretto255")
    return found


def _create(args: argparse.Namespace) -> int:
    members = _group(args.members)
    assert members is not None
    made = vault.Vault(members, _group(args.emergency), _group(args.notice))
    vault_files.save(args.out, [vault_files.vault_to_json(made)])
    print(f"{args.out}: {members.threshold} of {len(members.shares)} open")
    return 0


def _seal(args: argparse.Namespace) -> int:
    made = _load_vault(args)
    header, key = vault.seal_header(made, args.record, secrets.token_bytes)
    head = args.out.with_name(args.out.name + _HEADER)
    if head.exists():
        raise UsageError(f"{head} exists and is not overwritten")
    try:
        with args.file.open("rb") as file:
            body = args.out.with_name(args.out.name + _BODY)
            vault_files.save(body, vault_files.seal_body(key, header, file.read))
    except OSError as error:
        raise UsageError(
            f"{error.filename or args.file} cannot be read or written: {error.strerror}"
        ) from None
    vault_files.save(head, [vault_files.header_to_json(header)])
    print(f"{args.out}{_HEADER} and {args.out}{_BODY}; {args.file} itself is still there")
    return 0


def _ask(args: argparse.Namespace) -> int:
    check_new(args.out)
    home = open_home(args.home, read_passphrase())
    way = vault.EMERGENCY if args.emergency else vault.NORMAL
    asking = vault.ask(
        _load_header(args.header),
        _load_vault(args),
        way,
        home.name,
        home.key,
        args.reason,
        int(time.time()),
        _DURATIONS_S[args.valid],
        secrets.token_bytes,
    )
    kept = pack([asking.request.encode(), asking.secret.encode()])
    record = encrypt_record(home.record_key, kept, _ASKING, secrets.token_bytes)
    write_private(home.folder / "asked" / asking.request.digest().hex(), record)
    vault_files.save(args.out, [asking.request.encode()])
    print(describe(asking.request))
    return 0


def describe(request: vault.Request) -> str:
    """Return what a member reads before deciding: every word of it is under the requester's signature."""
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(request.expires_s))
    return (
        f"record:    {request.record}\nasked by:  {request.requester}\nreason:    {request.reason}\n"
        f"way:       {request.way}\nvalid to:  {until}"
    )


def _requester_key(home: Home, request: vault.Request) -> bytes:
    """Return the key that the member's own directory gives for whoever the request says it is from."""
    person = home.directory().people.get(request.requester)
    if person is None:
        raise NotApproved(f"{request.requester} is not in your directory")
    return person.public


def _approve(args: argparse.Namespace) -> int:
    check_new(args.out)
    home, made, header = open_home(args.home, read_passphrase()), _load_vault(args), _load_header(args.header)
    request = vault.Request.decode(read_document(args.request))
    share = home.share()
    part = vault.NORMAL if share.group_key.key == made.normal.key else vault.EMERGENCY
    print(describe(request))
    if not args.yes and input("Give your part? [y/N] ").strip().lower() not in ("y", "yes"):
        print("refused")
        return 1
    public, now_s = _requester_key(home, request), int(time.time())
    approval = vault.approve(share, made, part, header, request, public, now_s, secrets.token_bytes)
    _log(home, f"{part} part given for an opening", request)
    vault_files.save(args.out, [approval.encode()])
    return 0


def _notice(args: argparse.Namespace) -> int:
    made, request = _load_vault(args), vault.Request.decode(read_document(args.request))
    notice = vault_notice.make_notice(made, request, _load_approvals(args.approvals))
    vault_files.save(args.out, [notice.encode()])
    print(f"{notice.describe(made)}\nSend {args.out} to every member's device.")
    return 0


def _acknowledge(args: argparse.Namespace) -> int:
    check_new(args.out)
    home, made, header = open_home(args.home, read_passphrase()), _load_vault(args), _load_header(args.header)
    notice = vault_notice.Notice.decode(read_document(args.notice))
    kept = home.folder / "notices" / notice.request.digest().hex()

    def store(data: bytes) -> None:
        write_private(kept, data, replace=True)
        print(notice.describe(made), flush=True)

    approval = vault_notice.acknowledge(
        home.share(),
        made,
        header,
        notice,
        _requester_key(home, notice.request),
        store,
        int(time.time()),
        secrets.token_bytes,
    )
    _log(home, "emergency acknowledged", notice.request)
    vault_files.save(args.out, [approval.encode()])
    return 0


def _log(home: Home, event: str, request: vault.Request) -> None:
    """Write to this person's log (tacit sign log) what was done for whom, before it leaves the machine."""
    home.journal.append(
        home.now(), event, request.requester, request.digest(), f"file {request.header.hex()}"
    )


def _opened(args: argparse.Namespace) -> tuple[vault.Header, vault.Opened]:
    check_new(args.out)
    home, made, header = open_home(args.home, read_passphrase()), _load_vault(args), _load_header(args.header)
    request = vault.Request.decode(read_document(args.request))
    path = home.folder / "asked" / request.digest().hex()
    if not path.exists():
        raise MaterialError("this request was not made in your folder: only who asked can open")
    encoded, secret = unpack(decrypt_record(home.record_key, read_private(path), _ASKING), 2)
    if encoded != request.encode():
        raise DataError("the request differs from the one that was made here")
    asking = vault.Asking(request, made.normal.key.group.decode_scalar(secret))
    opened = vault.open_key(asking, made, header, _load_approvals(args.approvals))
    _log(home, "opened", request)
    for name in opened.culprits:
        print(f"{name} gave a wrong part; the file opened without it")
    print(f"opened with {', '.join(opened.givers)}")
    return header, opened


def _open(args: argparse.Namespace) -> int:
    header, opened = _opened(args)
    try:
        with args.body.open("rb") as file:
            vault_files.save(args.out, vault_files.open_body(opened.key, header, file.read))
    except OSError as error:
        raise UsageError(
            f"{error.filename or args.body} cannot be read or written: {error.strerror}"
        ) from None
    return 0


def _rekey(args: argparse.Namespace) -> int:
    header, opened = _opened(args)
    new = vault_files.vault_from_json(read_document(args.to))
    changed = vault.change_keys(header, opened.key, new, secrets.token_bytes)
    vault_files.save(args.out, [vault_files.header_to_json(changed)])
    print(f"{args.out} replaces {args.header}; the body stays. Destroy the old header and the old shares:")
    print("whoever keeps enough of both can still open the file.")
    return 0
