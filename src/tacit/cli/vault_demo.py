"""A demonstration in separate processes over TLS: three of five doctors open a patient's record for a clerk."""

from __future__ import annotations

import io
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tacit.cli.report_demo import launch, own_identity, passphrases_for, play, prepare
from tacit.crypto.box import seal_to
from tacit.crypto.encoding import pack
from tacit.crypto.signing import SigningKey
from tacit.errors import NotApproved
from tacit.net.roster import load_roster
from tacit.net.tls import connect_mesh
from tacit.threshold import dealing, drive, vault, vault_drive, vault_files
from tacit.threshold.keys import KeyShare
from tacit.threshold.plan import plan_keygen
from tacit.threshold.suites import suite_named

DOCTORS = ("Ada", "Ben", "Cem", "Dia", "Eva")
CLERK, CHEATER, BUSY = "Kim", "Ben", "Eva"
RECORD = b"Patient P-1042: allergic to penicillin.\n" * 4000
_SEED = b"demonstration: the clerk's key!!"


def show(*, cheat: bool = False) -> int:
    """Run five doctors and a clerk; one doctor is busy and refuses, with `cheat` another gives a wrong part."""
    with tempfile.TemporaryDirectory(prefix="tacit-vault-demo-") as root:
        folder, passphrases = Path(root), passphrases_for((CLERK, *DOCTORS))
        prepare(folder, {name: passphrases[name] for name in DOCTORS}, "doctors.json")
        prepare(folder, passphrases, "all.json")
        status, lines = launch(
            "tacit.cli.vault_demo",
            folder,
            (CLERK, *DOCTORS),
            ["cheat" if cheat else "honest"],
            lambda name: {"TACIT_PASSPHRASE": passphrases[name]},
        )
    for name in [line.split(": ", 1)[1] for line in lines if line.startswith("named: ")]:
        print(f"The culprit is {name}. The record opened with three right parts all the same.")
    if not status:
        print("Three of the five opened the record for Kim; two alone could not.")
    return status


def _doctor(folder: Path, name: str, cheat: bool) -> int:
    """Make the vault's key with the other doctors, then answer the clerk's request."""
    identity, doctors = own_identity(folder, name), load_roster(folder / "doctors.json")
    identifiers = {n: i for i, n in enumerate(doctors.names, start=1)}
    plan = plan_keygen(suite_named("ristretto255"), 3, list(identifiers.values()))
    kept: list[KeyShare] = []

    def store(outcome: dealing.Outcome) -> None:
        assert outcome.share is not None
        kept.append(outcome.share)  # a demonstration keeps it in memory

    with connect_mesh(identity, doctors, name, round_timeout_s=60.0, session=b"keygen") as mesh:
        drive.deal_over(
            mesh, plan, identifiers, SigningKey(secrets.token_bytes(32)), secrets.token_bytes, None, store
        )
    share = kept[0]
    made = vault.Vault(share.group_key)
    if name == DOCTORS[0]:
        vault_files.save(folder / "vault.json", [vault_files.vault_to_json(made)])

    def decide(header: vault.Header, request: vault.Request) -> vault.Approval:
        if name == BUSY:
            raise NotApproved("not now")
        public, now_s = SigningKey(_SEED).public, int(time.time())
        right = vault.approve(share, made, vault.NORMAL, header, request, public, now_s, secrets.token_bytes)
        print(f"approves: {request.record} for {request.requester} ({request.reason})", flush=True)
        return _wrong(share, request, right) if cheat and name == CHEATER else right

    everybody = load_roster(folder / "all.json")
    links = [(CLERK, doctor) for doctor in DOCTORS]
    with connect_mesh(identity, everybody, name, links=links, round_timeout_s=60.0, session=b"open") as mesh:
        if not vault_drive.answer(mesh, CLERK, decide):
            print("refuses: not now")
    return 0


def _wrong(share: KeyShare, request: vault.Request, right: vault.Approval) -> vault.Approval:
    """Make a wrong part, well encrypted and signed: what a cheating doctor can send."""
    group, purpose = share.secret.group, request.digest()
    message = pack([group.base_mul(group.random_scalar(secrets.token_bytes)).encode(), bytes(64)])
    context = vault.box_context(vault.NORMAL, share.identifier, purpose)
    box = seal_to(group.decode_element(request.reply), message, context, secrets.token_bytes).encode()
    return vault.sign_approval(share, right.part, purpose, box, secrets.token_bytes)


def _clerk(folder: Path) -> int:
    """Seal a record to the doctors' key, ask them to open it, and open it with three right parts."""
    identity, everybody = own_identity(folder, CLERK), load_roster(folder / "all.json")
    links = [(CLERK, doctor) for doctor in DOCTORS]
    with connect_mesh(identity, everybody, CLERK, links=links, round_timeout_s=60.0, session=b"open") as mesh:
        made = vault_files.vault_from_json((folder / "vault.json").read_bytes())
        header, key = vault.seal_header(made, "P-1042", secrets.token_bytes)
        body = b"".join(vault_files.seal_body(key, header, io.BytesIO(RECORD).read))
        asking = vault.ask(
            header,
            made,
            vault.NORMAL,
            CLERK,
            SigningKey(_SEED),
            "surgery at noon",
            int(time.time()),
            600,
            secrets.token_bytes,
        )
        approvals = vault_drive.collect(mesh, asking, made, header, DOCTORS)
    print(f"{len(approvals)} of {len(DOCTORS)} doctors approved")
    given = [approvals[name] for name in DOCTORS if name in approvals]
    try:
        vault.open_key(asking, made, header, given[-2:])
    except NotApproved as error:
        print(f"with two: {error}")
    opened = vault.open_key(asking, made, header, given)
    for name in opened.culprits:
        print(f"named: {name}")
    text = b"".join(vault_files.open_body(opened.key, header, io.BytesIO(body).read))
    print(f"with {', '.join(opened.givers[:3])}: {text[:39].decode()} … ({len(text)} bytes)")
    return 0 if text == RECORD else 1


def member(folder: Path, name: str, cheat: bool) -> int:
    """Play one person."""
    return _clerk(folder) if name == CLERK else _doctor(folder, name, cheat)


if __name__ == "__main__":
    sys.exit(play(lambda: member(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "cheat")))
