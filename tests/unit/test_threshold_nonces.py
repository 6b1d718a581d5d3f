"""The nonce store: each nonce at most once, through crashes at every write, restores, restarts and races."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("nacl")

from threshold_network import keygen, seeded

from tacit.errors import MaterialError, UsageError
from tacit.threshold import frost, nonces
from tacit.threshold.frost import Commitment
from tacit.threshold.nonces import NonceStore, commitment_id, default_anchor_folder
from tacit.threshold.suites import suite_named

SUITE = suite_named("ed25519")
KEY = bytes(range(32))
SHARE = keygen(2, 3)[1]
PURPOSE = b"purpose"


def open_store(root: Path, key: bytes = KEY) -> NonceStore:
    return NonceStore(root / "nonces", root / "run" / "anchor", key, os.urandom)


def fresh(store: NonceStore, seed: object = 0) -> Commitment:
    pair, commitment = frost.commit(SHARE, seeded(seed))
    store.add(pair)
    with pytest.raises(MaterialError):
        pair.spend()  # the copy in memory is empty
    return commitment


def test_once_and_private(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    pair, commitment = frost.commit(SHARE, seeded("canary"))
    hiding, binding = pair.spend()
    store.add(frost.Nonces(hiding, binding, commitment))
    for path in (tmp_path / "nonces").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert hiding.encode() not in path.read_bytes() and binding.encode() not in path.read_bytes()
    again = open_store(tmp_path)  # another process, later
    taken = again.take(commitment, SUITE, PURPOSE)
    assert taken.spend() == (hiding, binding)
    assert not list((tmp_path / "nonces").glob("nonce-*"))
    for used in (store, again, open_store(tmp_path)):
        with pytest.raises(MaterialError, match="used"):
            used.take(commitment, SUITE, PURPOSE)
    with pytest.raises(MaterialError):
        store.take(frost.commit(SHARE, seeded("never stored"))[1], SUITE, PURPOSE)


def test_restored_backup_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first, second = fresh(store, 1), fresh(store, 2)
    shutil.copytree(tmp_path / "nonces", tmp_path / "backup")
    store.take(first, SUITE, PURPOSE)
    shutil.rmtree(tmp_path / "nonces")
    shutil.copytree(tmp_path / "backup", tmp_path / "nonces")
    for commitment in (first, second):  # the restored store cannot know which ones were used
        with pytest.raises(MaterialError):
            open_store(tmp_path).take(commitment, SUITE, PURPOSE)
        with pytest.raises(MaterialError):
            store.take(commitment, SUITE, PURPOSE)
    store.take(fresh(store, 3), SUITE, PURPOSE)


def test_restore_twice_and_restart_are_refused(tmp_path: Path) -> None:
    """A restart empties the anchor's folder; two restores must not make the counters meet again."""
    store = open_store(tmp_path)
    commitment = fresh(store)
    shutil.copytree(tmp_path / "nonces", tmp_path / "late")
    store.take(commitment, SUITE, PURPOSE)
    shutil.rmtree(tmp_path / "run")
    open_store(tmp_path)
    for _ in range(3):
        shutil.rmtree(tmp_path / "nonces")
        shutil.copytree(tmp_path / "late", tmp_path / "nonces")
        with pytest.raises(MaterialError):
            open_store(tmp_path).take(commitment, SUITE, PURPOSE)
    store = open_store(tmp_path)
    unused = fresh(store, 8)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(MaterialError):
        open_store(tmp_path).take(unused, SUITE, PURPOSE)


def test_restore_of_store_while_open(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commitment = fresh(store)
    record = next((tmp_path / "nonces").glob("nonce-*"))
    copy = record.read_bytes()
    store.take(commitment, SUITE, PURPOSE)
    record.write_bytes(copy)
    record.chmod(0o600)
    with pytest.raises(MaterialError):
        store.take(commitment, SUITE, PURPOSE)
    (tmp_path / "nonces" / f"used-{commitment_id(commitment)}").unlink()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(MaterialError):
        store.take(commitment, SUITE, PURPOSE)


def test_damage_and_wrong_key(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commitment = fresh(store)
    with pytest.raises(MaterialError):
        open_store(tmp_path, bytes(32)).take(commitment, SUITE, PURPOSE)
    with pytest.raises(MaterialError):  # and that try used it up
        store.take(commitment, SUITE, PURPOSE)
    one, two = fresh(store, 1), fresh(store, 2)
    folder = tmp_path / "nonces"
    os.replace(folder / f"nonce-{commitment_id(one)}", folder / f"nonce-{commitment_id(two)}")
    with pytest.raises(MaterialError):
        store.take(two, SUITE, PURPOSE)
    (folder / "generation").write_text("many")
    with pytest.raises(MaterialError, match="damaged"):
        open_store(tmp_path)
    (folder / "generation").chmod(0o644)
    with pytest.raises(MaterialError, match="chmod"):
        open_store(tmp_path)


def test_folders_open_to_others(tmp_path: Path) -> None:
    open_store(tmp_path)
    for folder in (tmp_path / "nonces", tmp_path / "run"):
        folder.chmod(0o750)
        with pytest.raises(MaterialError, match="chmod 700"):
            open_store(tmp_path)
        folder.chmod(0o700)
    open_store(tmp_path)


def test_race(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commitment, won = fresh(store), []

    def take() -> None:
        with contextlib.suppress(MaterialError):
            won.append(open_store(tmp_path).take(commitment, SUITE, PURPOSE))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_two_copies_of_a_store_do_not_work_at_once(tmp_path: Path) -> None:
    """A folder that was copied shares its anchor with the copy: while one gives a nonce out, the other waits."""
    commitment, won = fresh(open_store(tmp_path)), []
    waiting: list[threading.Thread] = []
    shutil.copytree(tmp_path / "nonces", tmp_path / "copy")
    other = open_store(tmp_path)

    def take(store: NonceStore) -> None:
        with contextlib.suppress(MaterialError):
            won.append(store.take(commitment, SUITE, PURPOSE))

    def meanwhile(point: str) -> None:
        if point == "synced" and not waiting:  # the first has looked at the anchor and not yet raised it
            waiting.append(threading.Thread(target=lambda: take(other)))
            waiting[0].start()
            waiting[0].join(0.2)

    take(NonceStore(tmp_path / "copy", tmp_path / "run" / "anchor", KEY, os.urandom, meanwhile))
    waiting[0].join()
    assert len(won) == 1


def test_notes_and_burning(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    commitment = fresh(store)
    assert (
        store.note(commitment, b"a") == b"a" == store.note(commitment, b"a") == store.note(commitment, b"b")
    )
    store.burn()
    with pytest.raises(MaterialError):
        store.take(commitment, SUITE, PURPOSE)
    assert str(tmp_path) in repr(store) and KEY.hex() not in repr(store)


def test_anchor_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_anchor_folder() == tmp_path / "tacit"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    if Path("/dev/shm").is_dir():
        assert default_anchor_folder().parent == Path("/dev/shm")
    monkeypatch.setattr(nonces.Path, "is_dir", lambda self: False)
    with pytest.raises(UsageError):
        default_anchor_folder()


CRASH = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{unit!r}, {src!r}]
from threshold_network import keygen, seeded
from tacit.threshold import frost
from tacit.threshold.nonces import NonceStore
from tacit.threshold.suites import suite_named

root, mode, stop = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
count = 0
def checkpoint(label):
    global count
    if armed and count == stop:
        os.kill(os.getpid(), signal.SIGKILL)
    count += armed
armed = mode == "open"
store = NonceStore(root / "nonces", root / "run" / "anchor", bytes(range(32)), os.urandom, checkpoint)
share = keygen(2, 3)[1]
pair, commitment = frost.commit(share, seeded("crash"))
armed = mode == "add"
if mode in ("add", "prepare"):
    store.add(pair)
armed = mode == "take"
if mode == "take":
    store.take(commitment, suite_named("ed25519"), b"p").spend()
    (root / "handed out").write_text("")
print("reached", count)
"""


def crash(root: Path, mode: str, stop: int) -> bool:
    """Run one operation and kill -9 it at a checkpoint; say whether it got that far."""
    unit = Path(__file__).resolve().parent
    script = CRASH.format(unit=str(unit), src=str(unit.parents[1] / "src"))
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), mode, str(stop)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("mode", ["take", "add", "open"])
def test_kill_at_every_write(tmp_path: Path, mode: str) -> None:
    """kill -9 before, inside and after every write: given out at most once, and the store opens again."""
    commitment = frost.commit(SHARE, seeded("crash"))[1]
    stop = 0
    if mode == "take":
        assert not crash(tmp_path / "template", "prepare", 0)
    while True:
        root = tmp_path / str(stop)
        if mode == "take":
            shutil.copytree(tmp_path / "template", root)
        killed = crash(root, mode, stop)
        used = (root / "nonces" / f"used-{commitment_id(commitment)}").exists()
        handed_out = (root / "handed out").exists()
        store = open_store(root)
        try:
            store.take(commitment, SUITE, PURPOSE)
            taken = True
        except MaterialError:
            taken = False
        assert not (taken and (used or handed_out))
        with pytest.raises(MaterialError):
            open_store(root).take(commitment, SUITE, PURPOSE)
        if mode == "take" and killed and stop == 0:
            assert taken  # killed before the first write: nothing was used
        store.take(fresh(store, "next"), SUITE, PURPOSE)
        assert not list((root / "nonces").glob("nonce-*"))
        if not killed:
            break
        stop += 1
    assert stop >= {"take": 15, "add": 5, "open": 9}[mode]
