"""The command ``tacit sign``: files, TLS between members, crashes, and no secret in anything that is shown."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("nacl")

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from threshold_command import dies, forks

from tacit.cli import sign, sign_home, sign_net
from tacit.cli.sign_home import Home, make_home, open_home
from tacit.crypto import sealed
from tacit.crypto.sealed import write_private
from tacit.errors import DataError, MaterialError, PeerError, TacitError, UsageError
from tacit.net.identity import FILE_NAME, load_identity
from tacit.net.roster import Roster, load_roster
from tacit.net.sockets import listen_on
from tacit.threshold import drive
from tacit.threshold.keys import GroupKey
from tacit.threshold.order import encode_canonical

PEOPLE = {"Ada": "doctor", "Ben": "pharmacist", "Cem": "nurse supervisor"}
PASSPHRASE = "canary-passphrase-71c2"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TACIT_PASSPHRASE", PASSPHRASE)
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    cheap = sealed.seal
    for module in (sign_home, sign):
        monkeypatch.setattr(
            module, "seal", lambda p, s, label: cheap(p, s, label, memory_kib=64, iterations=1, lanes=1)
        )
    yield


def run(home: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    sign.add_parser(parser.add_subparsers())
    args = parser.parse_args(["sign", "--home", str(home), *words])
    return int(args.run(args))


def together(jobs: dict[str, tuple[Path, list[str]]]) -> dict[str, object]:
    results: dict[str, object] = {}

    def job(name: str, home: Path, words: list[str]) -> None:
        try:
            results[name] = run(home, *words)
        except TacitError as error:
            results[name] = error

    threads = [threading.Thread(target=job, args=(n, h, w)) for n, (h, w) in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def people(root: Path, names: list[str]) -> None:
    for name in names:
        make_home(root / name, name, PASSPHRASE)


def roster(root: Path, names: list[str], file: str = "roster.json") -> str:
    sockets = [listen_on("127.0.0.1") for _ in names]
    parties = [
        open_home(root / n, PASSPHRASE).identity().party("127.0.0.1", s.getsockname()[1])
        for n, s in zip(names, sockets, strict=True)
    ]
    for s in sockets:
        s.close()
    (root / file).unlink(missing_ok=True)
    Roster(tuple(parties)).save(root / file)
    return str(root / file)


def directory(root: Path) -> None:
    listed = []
    for name, role in PEOPLE.items():
        home = open_home(root / name, PASSPHRASE)
        listed.append({"name": name, "public": home.key.public.hex(), "roles": [role]})
    rule = {"kind": "count", "needed": 2, "each_role_once": True, "roles": sorted(PEOPLE.values())}
    data = encode_canonical({"format": "tacit-directory-1", "people": listed, "rules": {"medication": rule}})
    (root / "directory.json").write_bytes(data)
    for name in PEOPLE:
        assert run(root / name, "directory", str(root / "directory.json")) == 0


def ready(root: Path) -> None:
    """Three people with a key made together over TLS, and a directory."""
    people(root, list(PEOPLE))
    r = roster(root, list(PEOPLE))
    words = ["keygen", "--threshold", "2", "--roster", r]
    assert together({n: (root / n, words) for n in PEOPLE}) == dict.fromkeys(PEOPLE, 0)
    directory(root)


def signed(root: Path, who: list[str], name: str) -> None:
    content = root / f"{name}.content"
    content.write_text(json.dumps({"drug": "amoxicillin", "dose": "500 mg"}))
    order = str(root / f"{name}.order")
    assert run(root / who[0], "request", "medication", str(content), "--out", order) == 0
    approvals = [str(root / f"{name}.{n}.approval") for n in who]
    for n, approval in zip(who, approvals, strict=True):
        assert run(root / n, "approve", order, "--yes", "--out", approval) == 0
    parts = [str(root / f"{name}.{n}.part") for n in who]
    for n, part in zip(who, parts, strict=True):
        assert run(root / n, "sign", order, *approvals, "--out", part) == 0
    signature = str(root / f"{name}.sig")
    words = ["aggregate", order, "--approvals", *approvals, "--shares", *parts, "--out", signature]
    assert run(root / who[0], *words) == 0
    assert run(root / who[0], "verify", order, signature) == 0
    group_key = GroupKey.from_json((root / who[0] / "group.json").read_text())
    public = group_key.suite.public_key_bytes(group_key.key)
    raw = bytes.fromhex(Path(signature).read_text())
    Ed25519PublicKey.from_public_bytes(public).verify(raw, Path(order).read_bytes())


def test_from_key_to_signature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready(tmp_path)
    signed(tmp_path, ["Ada", "Ben"], "first")
    signed(tmp_path, ["Cem", "Ada"], "second")
    order, signature = tmp_path / "first.order", tmp_path / "second.sig"
    assert run(tmp_path / "Ada", "verify", str(order), str(signature)) == 1
    words = ["sign", str(order), str(tmp_path / "first.Ada.approval"), str(tmp_path / "first.Ben.approval")]
    with pytest.raises(MaterialError):  # the nonces of this approval are gone
        run(tmp_path / "Ada", *words, "--out", str(tmp_path / "again"))
    capsys.readouterr()
    with pytest.raises(UsageError):
        run(tmp_path / "Ada", "log", "--head", "not hexadecimal")
    with pytest.raises(MaterialError, match="cut"):
        run(tmp_path / "Ada", "log", "--head", "00" * 31 + "01")
    assert run(tmp_path / "Ada", "log") == 0
    shown = capsys.readouterr().out
    for event in (
        "key made together",
        "requested",
        "approve",
        "approval seen",
        "signature share given",
        "signed",
    ):
        assert event in shown
    head = open_home(tmp_path / "Ada", PASSPHRASE).journal.read().head.hex()
    assert shown.endswith(f"12 entries, chain and signatures hold, head {head}\n")
    home = open_home(tmp_path / "Ada", PASSPHRASE)
    canaries = [
        home.share().secret.encode().hex(),
        home.key.encode().hex(),
        home.record_key.hex(),
        PASSPHRASE,
    ]
    everything = shown + repr(home) + repr(home.share()) + repr(home.nonces())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            everything += data.hex() + data.decode(errors="replace")
            if path.is_relative_to(tmp_path / "Ada") and path.name not in ("me.roster.json",):
                assert path.stat().st_mode & 0o077 == 0, path
    for canary in canaries:
        assert canary not in everything


def test_refresh_reshare_repair(tmp_path: Path) -> None:
    ready(tmp_path)
    before = {n: open_home(tmp_path / n, PASSPHRASE).share() for n in PEOPLE}
    r = roster(tmp_path, list(PEOPLE))
    assert set(together({n: (tmp_path / n, ["refresh", "--roster", r]) for n in PEOPLE}).values()) == {0}
    after = {n: open_home(tmp_path / n, PASSPHRASE).share() for n in PEOPLE}
    assert after["Ada"].group_key.key == before["Ada"].group_key.key
    assert all(after[n].secret != before[n].secret for n in PEOPLE)
    signed(tmp_path, ["Ben", "Cem"], "refreshed")

    (tmp_path / "Cem" / "share.record").unlink()
    words = ["repair", "--lost", "Cem", "--roster", roster(tmp_path, list(PEOPLE))]
    assert set(together({n: (tmp_path / n, words) for n in PEOPLE}).values()) == {0}
    assert open_home(tmp_path / "Cem", PASSPHRASE).share().secret == after["Cem"].secret

    people(tmp_path, ["Dina"])
    everybody = ["Ada", "Ben", "Cem", "Dina"]
    (tmp_path / "group.json").write_text(after["Ada"].group_key.to_json())
    words = ["reshare", "--roster", roster(tmp_path, everybody), "--threshold", "3"]
    words += ["--dealers", "Ada,Ben", "--members", "Ben,Cem,Dina", "--group", str(tmp_path / "group.json")]
    results = together({n: (tmp_path / n, words) for n in everybody})
    assert set(results.values()) == {0}, results
    with pytest.raises(MaterialError):
        open_home(tmp_path / "Ada", PASSPHRASE).share()
    new = open_home(tmp_path / "Dina", PASSPHRASE).share().group_key
    assert (
        new.key == before["Ada"].group_key.key
        and new.threshold == 3
        and set(new.names.values()) == {"Ben", "Cem", "Dina"}
    )


def test_a_refresh_that_fails_leaves_the_old_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(tmp_path)
    before = {n: open_home(tmp_path / n, PASSPHRASE).share() for n in PEOPLE}
    right = Home.stage_share

    def full(self: Home, share: object) -> None:
        if self.name == "Ben":
            raise MaterialError("the disk is full")
        right(self, share)  # type: ignore[arg-type]

    monkeypatch.setattr(Home, "stage_share", full)
    r = roster(tmp_path, list(PEOPLE))
    results = together({n: (tmp_path / n, ["refresh", "--roster", r]) for n in PEOPLE})
    assert all(isinstance(e, TacitError) for e in results.values())
    assert all(open_home(tmp_path / n, PASSPHRASE).share().secret == before[n].secret for n in PEOPLE)
    monkeypatch.setattr(Home, "stage_share", right)
    signed(tmp_path, ["Ada", "Ben"], "still")


def test_a_crash_after_everybody_stored_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(tmp_path)
    right = Home.adopt_share

    def crash(self: Home) -> object:
        if self.name == "Cem":
            raise MaterialError("power cut")
        return right(self)

    monkeypatch.setattr(Home, "adopt_share", crash)
    r = roster(tmp_path, list(PEOPLE))
    results = together({n: (tmp_path / n, ["refresh", "--roster", r]) for n in PEOPLE})
    assert results["Ada"] == results["Ben"] == 0 and isinstance(results["Cem"], MaterialError)
    monkeypatch.setattr(Home, "adopt_share", right)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with pytest.raises(UsageError):
        run(tmp_path / "Cem", "adopt")
    monkeypatch.setattr("builtins.input", lambda _: "adopt")
    assert run(tmp_path / "Cem", "adopt") == 0
    signed(tmp_path, ["Cem", "Ada"], "after")
    with pytest.raises(MaterialError):
        run(tmp_path / "Cem", "adopt")


@forks
def test_kill_at_every_write_of_a_new_share(tmp_path: Path) -> None:
    """kill -9 before and after every system call that writes: the old share or the new one, never neither."""
    ready(tmp_path)
    old = open_home(tmp_path / "Ada", PASSPHRASE).share()
    r = roster(tmp_path, list(PEOPLE))
    shutil.copytree(tmp_path / "Ada", tmp_path / "keep")
    assert set(together({n: (tmp_path / n, ["refresh", "--roster", r]) for n in PEOPLE}).values()) == {0}
    new = open_home(tmp_path / "Ada", PASSPHRASE).share()
    stop, killed, seen = 0, True, set()
    while killed:
        root = tmp_path / f"kill-{stop}"
        shutil.copytree(tmp_path / "keep", root / "Ada")

        def work(folder: Path = root / "Ada") -> None:
            home = open_home(folder, PASSPHRASE)
            home.stage_share(new)
            home.adopt_share()
            home.journal.append(home.now(), "adopted", "Ada", bytes(32))

        killed = dies(stop, work)
        home = open_home(root / "Ada", PASSPHRASE)
        held = home.share().secret
        assert held in (old.secret, new.secret)
        seen.add(held == new.secret)
        if held == new.secret and (root / "Ada" / "share.new").exists():
            home.adopt_share()
        if held == new.secret:
            assert home.group_key().epoch == 1
        home.journal.append(home.now(), "opened again", "Ada", bytes(32))
        home.journal.read()
        stop += 1
    assert seen == {True, False} and stop > 30


def test_dealer(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    people(tmp_path, list(PEOPLE))
    out = tmp_path / "dealt"
    words = ["keygen", "--threshold", "2", "--suite", "bip340", "--dealer", "Ada,Ben,Cem", "--out", str(out)]
    assert run(tmp_path / "Ada", *words) == 0
    said = capsys.readouterr().out
    passphrases = {
        n: next(row.split(" ")[-1] for row in said.splitlines() if row.startswith(f"{n}:")) for n in PEOPLE
    }
    for name in PEOPLE:
        monkeypatch.setattr("getpass.getpass", lambda _, name=name: passphrases[name])
        with pytest.raises(TacitError):  # another's file
            other = "Ben" if name != "Ben" else "Cem"
            run(tmp_path / name, "import", str(out / f"{other}.share"))
        assert run(tmp_path / name, "import", str(out / f"{name}.share")) == 0
    keys = {(tmp_path / n / "group.json").read_text() for n in PEOPLE}
    assert len(keys) == 1
    with pytest.raises(UsageError):
        run(tmp_path / "Ada", "keygen", "--threshold", "2", "--dealer", "Ada,Ben")


def test_no_secret_lies_open_on_disk(tmp_path: Path) -> None:
    """Every secret of a folder is encrypted under what the passphrase opens, the key of the links too."""
    ready(tmp_path)
    home = open_home(tmp_path / "Ada", PASSPHRASE)
    path = home.folder / "net" / FILE_NAME
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with pytest.raises(UsageError, match="encrypted"):
        load_identity(home.folder / "net", "Ada")
    with pytest.raises(DataError):
        load_identity(home.folder / "net", "Ada", password=b"another")
    secrets = (home.key.encode(), home.record_key, home.share().secret.encode(), PASSPHRASE.encode())
    files = [file for file in home.folder.rglob("*") if file.is_file()]
    for file in files:
        data = file.read_bytes()
        assert not any(s in data or s.hex().encode() in data for s in secrets), file
        assert file.stat().st_mode & 0o077 == 0 or file.name.endswith("roster.json"), file
    assert {"share.record", "person.sealed", FILE_NAME} <= {file.name for file in files}


def test_mistakes_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MaterialError, match="tacit sign init"):
        run(tmp_path / "nobody", "log")
    assert run(tmp_path / "Ada", "init", "Ada", "--role", "doctor") == 0
    with pytest.raises(UsageError, match="not overwritten"):
        run(tmp_path / "Ada", "init", "Ada")
    with pytest.raises(UsageError, match="letters"):
        run(tmp_path / "Eve", "init", "../Eve")
    monkeypatch.setenv("TACIT_PASSPHRASE", "wrong-canary")
    with pytest.raises(MaterialError) as caught:
        run(tmp_path / "Ada", "log")
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    monkeypatch.delenv("TACIT_PASSPHRASE")
    answers = iter(["one", "two", ""])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    with pytest.raises(UsageError, match="differ"):
        run(tmp_path / "Ben", "init", "Ben")
    with pytest.raises(UsageError, match="empty"):
        run(tmp_path / "Ada", "log")


def test_a_directory_is_checked_before_it_replaces_the_one_in_force(tmp_path: Path) -> None:
    ready(tmp_path)
    home, bad = tmp_path / "Ada", tmp_path / "bad.json"
    before = {name: (home / name).read_bytes() for name in ("directory.json", "log.jsonl")}
    good = json.loads(before["directory.json"])
    rule = {"kind": "count", "needed": 9, "roles": ["doctor"]}
    for text, says in (
        ("", "not JSON"),
        (json.dumps({**good, "rules": {"medication": rule}}), "never be satisfied"),
        (json.dumps({**good, "format": "another"}), "tacit-directory-1"),
    ):
        bad.write_text(text)
        with pytest.raises(DataError, match=f"bad.json: .*({says})"):
            run(home, "directory", str(bad))
        assert {name: (home / name).read_bytes() for name in before} == before
    (home / "log.jsonl").write_bytes(b"broken\n" + before["log.jsonl"])
    bad.write_text(json.dumps({**good, "rules": {}}))
    with pytest.raises(MaterialError, match="broken"):
        run(home, "directory", str(bad))
    assert (home / "directory.json").read_bytes() == before["directory.json"]


def test_a_directory_that_a_person_wrote_is_the_same_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ready(tmp_path)
    adopted = (tmp_path / "Ada" / "directory.json").read_bytes()
    capsys.readouterr()
    assert run(tmp_path / "Ada", "directory", str(tmp_path / "directory.json")) == 0
    said = capsys.readouterr().out
    edited = tmp_path / "edited.json"
    turned = dict(reversed(json.loads(adopted).items()))
    edited.write_text(json.dumps(turned, indent=4) + "\n")
    assert run(tmp_path / "Ben", "directory", str(edited)) == 0
    assert capsys.readouterr().out == said
    assert (tmp_path / "Ben" / "directory.json").read_bytes() == adopted
    edited.write_text(adopted.decode()[:-1] + ',"format":"tacit-directory-1"}')
    with pytest.raises(DataError, match=r"edited.json: .*twice"):
        run(tmp_path / "Ben", "directory", str(edited))


def test_what_cannot_be_written_uses_nothing_up(tmp_path: Path) -> None:
    """A nonce or an approval is not spent on a file that exists already, or on a folder that does not."""
    ready(tmp_path)
    content, order = tmp_path / "c.json", str(tmp_path / "o")
    content.write_text('{"drug": "amoxicillin"}\n')
    taken, nowhere = tmp_path / "taken", tmp_path / "no" / "file"
    taken.write_text("here")
    words = ["request", "medication", str(content), "--out"]
    assert run(tmp_path / "Ada", *words, order) == 0
    approvals = [str(tmp_path / f"{name}.ok") for name in ("Ada", "Ben")]
    for name, path in zip(("Ada", "Ben"), approvals, strict=True):
        assert run(tmp_path / name, "approve", order, "--yes", "--out", path) == 0
    log = (tmp_path / "Ada" / "log.jsonl").read_bytes()
    for out in map(str, (taken, nowhere)):
        for command in (
            [*words, out],
            ["approve", order, "--yes", "--out", out],
            ["sign", order, *approvals, "--out", out],
        ):
            with pytest.raises(UsageError, match=out):
                run(tmp_path / "Ada", *command)
    assert (tmp_path / "Ada" / "log.jsonl").read_bytes() == log
    assert run(tmp_path / "Ada", "sign", order, *approvals, "--out", str(tmp_path / "part")) == 0
    content.write_text('{"drug": "amoxicillin", "drug": "aspirin"}')
    with pytest.raises(UsageError, match=r"c.json: .*twice"):
        run(tmp_path / "Ada", *words, str(tmp_path / "o2"))


def test_entries_are_joined_into_one_roster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(tmp_path, list(PEOPLE))
    for port, name in enumerate(PEOPLE, start=7001):
        assert run(tmp_path / name, "address", "--port", str(port if name != "Ada" else 0)) == 0
    entries = [str(tmp_path / name / "me.roster.json") for name in PEOPLE]
    capsys.readouterr()
    said = set()
    for number, listed in enumerate((entries, entries[::-1])):
        assert run(tmp_path / "none", "roster", *listed, "--out", str(tmp_path / f"{number}.json")) == 0
        said.add(capsys.readouterr().out.splitlines()[1])
    joined = load_roster(tmp_path / "0.json")
    assert joined == load_roster(tmp_path / "1.json") and joined.names == ("Ben", "Cem", "Ada")
    assert said == {f"roster {joined.hash().hex()}: compare this with the others"}
    with pytest.raises(UsageError, match=r"0.json exists"):
        run(tmp_path / "none", "roster", *entries, "--out", str(tmp_path / "0.json"))
    with pytest.raises(DataError, match="Ada appears twice"):
        run(tmp_path / "none", "roster", entries[0], entries[0], "--out", str(tmp_path / "2.json"))


def test_log_names_what_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people(tmp_path, list(PEOPLE))
    home = tmp_path / "Ada"
    assert run(home, "log") == 0
    assert capsys.readouterr().out == f"0 entries, chain and signatures hold, head {'00' * 32}\n"
    directory(tmp_path)
    with (home / "log.jsonl").open("ab") as file:
        file.write(b"torn")
    capsys.readouterr()
    assert run(home, "log") == 0
    entry, incomplete, verdict = capsys.readouterr().out.splitlines()
    assert "directory adopted" in entry and verdict.startswith("1 entry, chain and signatures hold")
    assert "4 bytes where entry 1 belongs" in incomplete and f"{home}/log.jsonl.torn-1" in incomplete
    (home / "log.jsonl").unlink()
    with pytest.raises(MaterialError, match=r"log.jsonl holds no entry, though directory.json is there"):
        run(home, "log")


def test_a_share_without_a_log_is_said(tmp_path: Path) -> None:
    ready(tmp_path)
    home = tmp_path / "Ada"
    for name in ("log.jsonl", "directory.json"):
        (home / name).unlink()
    with pytest.raises(MaterialError, match=r"holds no entry, though share.record and group.json is there"):
        run(home, "log")


def test_rules_that_the_log_does_not_know_are_not_in_force(tmp_path: Path) -> None:
    ready(tmp_path)
    path = tmp_path / "Ada" / "directory.json"
    adopted = path.read_bytes()
    path.write_bytes(encode_canonical({**json.loads(adopted), "rules": {}}))
    home = open_home(tmp_path / "Ada", PASSPHRASE)
    with pytest.raises(UsageError, match=r"not the directory that the log says .* tacit sign directory FILE"):
        home.directory()
    path.write_bytes(adopted)
    assert home.directory().digest == open_home(tmp_path / "Ben", PASSPHRASE).directory().digest


def test_a_closed_standard_input_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TACIT_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", None)

    def warns(_: str) -> str:
        warnings.warn("no echo", getpass.GetPassWarning, stacklevel=2)
        return ""

    monkeypatch.setattr("getpass.getpass", warns)
    with pytest.raises(
        UsageError, match="there is no terminal to ask for the passphrase: set TACIT_PASSPHRASE"
    ):
        sign_home.read_passphrase()


def test_a_document_on_a_full_disk_leaves_no_part_of_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        with pytest.raises(UsageError, match=r"order cannot be written: File too large"):
            sign_home.write_document(tmp_path / "order", b"12345678")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.glob("order")) == []
    sign_home.write_document(tmp_path / "order", b"12345678")
    with pytest.raises(UsageError, match=r"order cannot be written: File exists"):
        sign_home.write_document(tmp_path / "order", b"another")
    assert (tmp_path / "order").read_bytes() == b"12345678"


def test_a_dealt_share_takes_no_other_shares_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(tmp_path)
    held = open_home(tmp_path / "Ada", PASSPHRASE).share().secret
    out = tmp_path / "dealt"
    words = ["keygen", "--threshold", "2", "--dealer", "Ada,Ben", "--out", str(out)]
    write_private(out / "Ben.share", b"of another key")
    with pytest.raises(UsageError, match=r"Ben.share exists"):
        run(tmp_path / "Ada", *words)
    assert [path.name for path in out.iterdir()] == ["Ben.share"]
    with pytest.raises(UsageError, match="letters"):
        run(tmp_path / "Ada", "keygen", "--threshold", "1", "--dealer", "../Ada", "--out", str(out))
    monkeypatch.setattr("getpass.getpass", lambda _: pytest.fail("asked before it was checked"))
    with pytest.raises(UsageError, match="another --home"):
        run(tmp_path / "Ada", "import", str(out / "Ben.share"))
    assert open_home(tmp_path / "Ada", PASSPHRASE).share().secret == held


@pytest.mark.parametrize("typed", ["", PASSPHRASE + "\n"])
def test_without_a_terminal_one_line_says_so(tmp_path: Path, typed: str) -> None:
    """A passphrase on standard input is taken, as there is nobody who could see it typed."""
    people(tmp_path, ["Ada"])
    done = subprocess.run(
        [sys.executable, "-m", "tacit.cli.main", "sign", "--home", str(tmp_path / "Ada"), "log"],
        env={name: value for name, value in os.environ.items() if name != "TACIT_PASSPHRASE"},
        input=typed,
        start_new_session=True,  # without the terminal that this test may have
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if typed:
        assert (done.returncode, done.stderr) == (0, "") and "0 entries" in done.stdout
    else:
        said = "tacit: there is no terminal to ask for the passphrase: set TACIT_PASSPHRASE\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_what_lies_outside_of_the_folder_may_be_deleted(tmp_path: Path) -> None:
    """docs/threshold.md: it costs the approvals not signed yet, and makes no nonce usable again."""
    ready(tmp_path)
    content, order = tmp_path / "c.json", str(tmp_path / "o")
    content.write_text('{"drug":"amoxicillin"}')
    run(tmp_path / "Ada", "request", "medication", str(content), "--out", order)
    first, again, other, part = (str(tmp_path / name) for name in ("a1", "a2", "b", "part"))
    for name, out in (("Ada", first), ("Ben", other)):
        assert run(tmp_path / name, "approve", order, "--yes", "--out", out) == 0
    outside = sorted((tmp_path / "run" / "tacit").iterdir())
    assert [path.name.partition("-")[0] + path.suffix for path in outside] == ["nonces", "nonces.lock"] * 2
    for path in outside:
        path.unlink()
    with pytest.raises(MaterialError, match="approve again"):
        run(tmp_path / "Ada", "sign", order, first, other, "--out", part)
    assert run(tmp_path / "Ada", "approve", order, "--yes", "--out", again) == 0
    assert run(tmp_path / "Ada", "sign", order, again, other, "--out", part) == 0


def test_orders_ask_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready(tmp_path)
    content = tmp_path / "c.json"
    content.write_text('{"drug":"amoxicillin"}')
    order = str(tmp_path / "o")
    run(tmp_path / "Ada", "request", "medication", str(content), "--valid", "30m", "--out", order)
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    with pytest.raises(UsageError, match="nothing was decided"):
        run(tmp_path / "Ada", "approve", order, "--out", str(tmp_path / "a"))
    assert '"amoxicillin"' in capsys.readouterr().out and not (tmp_path / "a").exists()
    monkeypatch.setattr("builtins.input", lambda _: "refuse")
    assert run(tmp_path / "Ben", "approve", order, "--refuse", "--out", str(tmp_path / "b")) == 0
    for bad, valid in (
        ("[]", "2h"),
        ("{", "2h"),
        ('{"a":1.5}', "2h"),
        ('{"a":"\\u200b"}', "2h"),
        ('{"a":1}', "2 weeks"),
    ):
        content.write_text(bad)
        with pytest.raises(TacitError):
            words = ["request", "medication", str(content), "--valid", valid, "--out", str(tmp_path / "x")]
            run(tmp_path / "Ada", *words)


def test_keygen_refuses_to_overwrite_and_names_who_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(tmp_path)
    with pytest.raises(UsageError, match="already"):
        run(tmp_path / "Ada", "keygen", "--threshold", "2", "--roster", str(tmp_path / "roster.json"))
    connect = sign_net.connect_mesh
    monkeypatch.setattr(
        sign_net, "connect_mesh", lambda *a, **k: connect(*a, **{**k, "connect_timeout_s": 0.5})
    )
    with pytest.raises(PeerError, match=r"Ben|Cem"):
        run(tmp_path / "Ada", "refresh", "--roster", roster(tmp_path, list(PEOPLE)))
    assert drive.MAX_MESSAGE_BYTES


@pytest.mark.parametrize("cheat", [False, True])
def test_demo_between_processes(cheat: bool, tmp_path: Path) -> None:
    unit = Path(__file__).resolve()
    source = {**os.environ, "PYTHONPATH": str(unit.parents[2] / "src")}
    command = [
        sys.executable,
        "-c",
        f"import sys; from tacit.cli.sign_demo import show; sys.exit(show(cheat={cheat}))",
    ]
    done = subprocess.run(command, env=source, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count("key made together, 2 of 3") == 3 and done.stdout.count(" signed, approved by") == 3
    )
    assert ("The culprit is Ben." in done.stdout) == cheat
    assert done.stdout.count("named: Ben") == (3 if cheat else 0)
