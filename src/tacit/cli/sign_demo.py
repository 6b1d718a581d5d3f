"""A demonstration in separate processes over TLS: three people make a key, two approve, the group signs.

With ``cheat`` the pharmacist's process gives a wrong signature share; the others name it and sign without it.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from tacit.cli.report_demo import launch, play
from tacit.cli.sign_home import Home, make_home, open_home, write_document
from tacit.errors import PeerMisbehaved
from tacit.net.link import Mesh
from tacit.net.roster import Roster, load_roster
from tacit.net.sockets import listen_on
from tacit.net.tls import connect_mesh
from tacit.threshold import ceremony, dealing, drive, frost
from tacit.threshold.ceremony import Approval, Part
from tacit.threshold.order import decode_canonical, encode_canonical, render
from tacit.threshold.plan import plan_keygen
from tacit.threshold.policy import DIRECTORY_FORMAT, Directory, Order, make_order, read_order
from tacit.threshold.suites import suite_named

PEOPLE = {"Ada": "doctor", "Ben": "pharmacist", "Cem": "nurse supervisor"}
CHEAT = "Ben"
CONTENT = {"patient": "P-1042", "drug": "amoxicillin", "dose": "500 mg", "times_a_day": 3, "days": 7}
_PASSPHRASE = "demonstration only"


def show(*, cheat: bool = False) -> int:
    """Prepare three folders, start three processes, print what they say; return the worst exit status."""
    with tempfile.TemporaryDirectory(prefix="tacit-sign-demo-") as root:
        folder = Path(root)
        _prepare(folder)
        status, lines = launch(
            "tacit.cli.sign_demo",
            folder,
            list(PEOPLE),
            ["cheat" if cheat else "honest"],
            lambda name: {"XDG_RUNTIME_DIR": str(folder / name / "run")},
        )
    for culprit in sorted({line.split(" (")[0] for line in lines if line.startswith("named: ")}):
        print(f"The culprit is {culprit.removeprefix('named: ')}. The order was signed without that share.")
    if not status:
        print("Two of three signed; an ordinary Ed25519 verifier accepts it. Nobody ever held the key.")
    return status


def _prepare(folder: Path) -> None:
    """Make everybody's identity, and the roster and directory that all agree on beforehand."""
    parties, people, sockets = [], [], []
    for name, role in PEOPLE.items():
        home = make_home(folder / name, name, _PASSPHRASE)
        (folder / name / "run").mkdir(mode=0o700)
        sockets.append(listen_on("127.0.0.1"))  # finds a free port
        parties.append(home.identity().party("127.0.0.1", sockets[-1].getsockname()[1]))
        people.append({"name": name, "public": home.key.public.hex(), "roles": [role]})
    for listener in sockets:
        listener.close()
    Roster(tuple(parties)).save(folder / "roster.json")
    rule = {"each_role_once": True, "kind": "count", "needed": 2, "roles": sorted(PEOPLE.values())}
    directory = {"format": DIRECTORY_FORMAT, "people": people, "rules": {"medication": rule}}
    (folder / "directory.json").write_text(json.dumps(directory))
    for name in PEOPLE:
        open_home(folder / name, _PASSPHRASE).adopt_directory(folder / "directory.json")


def member(folder: Path, name: str, cheat: bool) -> int:
    """Play one person: make the key, approve, sign, aggregate, verify; name who cheats and go on without."""
    home, roster = open_home(folder / name, _PASSPHRASE), load_roster(folder / "roster.json")
    with connect_mesh(home.identity(), roster, name, round_timeout_s=60.0) as mesh:
        identifiers = {n: i for i, n in enumerate(roster.names, start=1)}
        plan = plan_keygen(suite_named("ed25519"), 2, list(identifiers.values()))

        def store(outcome: dealing.Outcome) -> None:
            assert outcome.share is not None
            home.stage_share(outcome.share)

        drive.deal_over(mesh, plan, identifiers, home.key, secrets.token_bytes, None, store)
        share = home.adopt_share()
        print(f"key made together, 2 of 3: {share.group_key.key.encode().hex()}")
        try:
            _sign_order(mesh, home, ["Ada", "Ben"], cheat and name == CHEAT)
        except PeerMisbehaved as error:
            print(f"named: {', '.join(error.culprits)} ({error})")
            _sign_order(mesh, home, [n for n in PEOPLE if n not in error.culprits], False)
    return 0


def _sign_order(mesh: Mesh, home: Home, approvers: list[str], cheat: bool) -> None:
    """Sign one order: the first approver writes it, the approvers look and sign, everybody verifies."""
    directory, share = home.directory(), home.share()
    group_key = share.group_key
    data = b""
    if home.name == approvers[0]:
        now = home.now()
        expires, fingerprint = now + timedelta(hours=2), group_key.fingerprint()
        data = make_order(
            "medication", CONTENT, directory, fingerprint, home.name, now, expires, secrets.token_bytes(16)
        ).data
    order = read_order(drive.swap(mesh, "demo/order", data)[approvers[0]])
    mine = b""
    if home.name in approvers:
        mine = _approve(home, directory, order).data
    swapped = drive.swap(mesh, "demo/approval", mine)
    approvals = [ceremony.read_approval(swapped[n], directory, group_key) for n in approvers]
    part = b""
    if home.name in approvers:
        given = ceremony.give_share(order, approvals, directory, share, home.key, home.nonces(), home.now())
        part = _spoil(home, given).data if cheat else given.data
    swapped = drive.swap(mesh, "demo/share", part)
    parts = [ceremony.read_part(swapped[n], directory) for n in approvers]
    signature = ceremony.combine(order, approvals, parts, directory, group_key)
    assert frost.verify(group_key, order.data, signature)
    home.journal.append(home.now(), "signed", home.name, order.digest, f"approved by {', '.join(approvers)}")
    write_document(home.folder / f"order-{order.digest.hex()[:8]}.sig", signature.hex().encode())
    print(
        f"order {order.digest.hex()[:16]} signed, approved by {' and '.join(approvers)}: {signature.hex()[:32]}…"
    )


def _approve(home: Home, directory: Directory, order: Order) -> Approval:
    share, now = home.share(), home.now()
    shown = render(order.data)
    print(shown)
    head = home.journal.append(now, ceremony.APPROVE, home.name, order.digest, order.kind)
    holder = (share, home.nonces(), secrets.token_bytes)
    return ceremony.approve(
        order, directory, share.group_key, home.name, home.key, ceremony.APPROVE, now, shown, head, holder
    )


def _spoil(home: Home, part: Part) -> Part:
    """Return a wrong signature share, properly signed: what a cheat would send."""
    body = {k: v for k, v in decode_canonical(part.data).items() if k != "signature"}
    group = home.share().group_key.suite.group
    body["share"] = (group.decode_scalar(part.share) + group.one).encode().hex()
    signature = home.key.sign(body["format"], encode_canonical(body))
    return ceremony.read_part(encode_canonical({**body, "signature": signature.hex()}), home.directory())


if __name__ == "__main__":
    sys.exit(play(lambda: member(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "cheat")))
