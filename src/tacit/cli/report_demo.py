"""A demonstration in separate processes over TLS: five people, one report, and optionally one who cheats."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tacit.cli.report_home import make_identity, open_identity
from tacit.cli.sign_home import read_passphrase
from tacit.crypto.groups import Group, group_named
from tacit.errors import PeerError, PeerMisbehaved, TacitError
from tacit.net.identity import Identity
from tacit.net.rendezvous import listen_on
from tacit.net.roster import Roster, load_roster
from tacit.net.tls import connect_mesh
from tacit.report import drive, offers, session, sums

PEOPLE = ("Ada", "Ben", "Cem", "Dia", "Eva")
REPORTER, CHEATER = "Dia", "Ben"
TEXT = b"This course is boring"
CHEATS = ("jam", "sum", "part")


def passphrases_for(names: Sequence[str]) -> dict[str, str]:
    """Return a fresh random passphrase for each person."""
    return {name: secrets.token_urlsafe(16) for name in names}


def prepare(folder: Path, passphrases: Mapping[str, str], roster_name: str = "roster.json") -> None:
    """Make everybody's identity and the roster that all agree on beforehand, with free ports."""
    parties, sockets = [], []
    for name, passphrase in passphrases.items():
        sockets.append(listen_on("127.0.0.1"))
        identity = make_identity(folder / name / "net", name, passphrase)
        parties.append(identity.party("127.0.0.1", sockets[-1].getsockname()[1]))
    for listener in sockets:
        listener.close()
    Roster(tuple(parties)).save(folder / roster_name)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Put Ctrl-C off until the end of the block (signals reach Python's main thread alone)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def launch(
    module: str,
    folder: Path,
    names: Sequence[str],
    extra: Sequence[str],
    environment: Callable[[str], Mapping[str, str]] = lambda _: {},
) -> tuple[int, list[str]]:
    """Start one process a person, print what each says under its name; return the worst status and all lines.

    The processes are in groups of their own: Ctrl-C reaches the caller alone, which ends them all.
    """
    processes: list[subprocess.Popen[str]] = []
    status, lines, width = 0, list[str](), max(map(len, names))
    try:
        with _no_interrupt():  # between a process's start and its entry in the list, it would be left behind
            for name in names:
                command = [sys.executable, "-m", module, str(folder), name, *extra]
                given = {**os.environ, **environment(name)}
                processes.append(
                    subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True, process_group=0)
                )
        for name, process in zip(names, processes, strict=True):
            said, _ = process.communicate(timeout=180)
            lines += said.splitlines()
            print("".join(f"{name:>{width}} | {line}\n" for line in said.splitlines()), end="", flush=True)
            if process.returncode < 0:
                print(f"{name:>{width}} | (this process was killed)", flush=True)
            status = max(status, abs(process.returncode))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
    return status, lines


def own_identity(folder: Path, name: str) -> Identity:
    """Open one's own identity in a process that :func:`launch` started with its passphrase."""
    return open_identity(folder / name / "net", name, read_passphrase())


def play(member: Callable[[], int]) -> int:
    """Run one person's part; an error becomes one line, since whoever watches sees only lines."""
    try:
        return member()
    except TacitError as error:
        print(f"stopped: {error}", flush=True)
        return 1


def show(cheat: str | None) -> int:
    """Run the five; say at the end what all received, or who broke it."""
    with tempfile.TemporaryDirectory(prefix="tacit-report-demo-") as root:
        folder, passphrases = Path(root), passphrases_for(PEOPLE)
        prepare(folder, passphrases)
        if cheat:
            print(f"{CHEATER}'s process cheats ({cheat}).")
        status, lines = launch(
            "tacit.cli.report_demo",
            folder,
            PEOPLE,
            [cheat or "honest"],
            lambda name: {"TACIT_PASSPHRASE": passphrases[name]},
        )
    if status:
        print("Nobody was named as a cheat, and not everybody finished: see above.")
        return status
    accused = {line.split(": ", 1)[1] for line in lines if line.startswith("named: ")}
    heard = {line for line in lines if line.startswith("report: ")}
    if accused:
        print(
            f"The culprit is {', '.join(sorted(accused))}. Who wrote the report stays hidden; without the culprit"
        )
        print("the others run again:")
        print("\n".join(sorted(heard)))
    else:
        print(
            f"All five received: {', '.join(sorted(heard)).replace('report: ', '')!r}. Nobody saw who wrote it."
        )
    return status


def _wrong_sum(original: Callable[..., tuple[sums.Part, ...]]) -> Callable[..., tuple[sums.Part, ...]]:
    def wrong(group: Group, received: Sequence[Sequence[sums.Part]]) -> tuple[sums.Part, ...]:
        first, *rest = original(group, received)
        return (replace(first, blind=first.blind + group.one), *rest)

    return wrong


def _jam(original: Callable[..., object]) -> Callable[..., object]:
    def write_everywhere(
        stage: offers.Stage, me: int, contribution: list[sums.Vector], *rest: object
    ) -> object:
        one = stage.group.one
        return original(stage, me, [(one, *vector[1:]) for vector in contribution], *rest)

    return write_everywhere


def _wrong_part(original: Callable[..., object]) -> Callable[..., object]:
    def other_part(recipient: object, message: bytes, *rest: object) -> object:
        return original(recipient, bytes(len(message)), *rest)

    return other_part


def _become(cheat: str) -> None:
    """Turn this process into a cheater by replacing one step of its own copy of the protocol."""
    if cheat == "sum":
        sums.add_parts = _wrong_sum(sums.add_parts)
    elif cheat == "jam":
        offers.make_offer = _jam(offers.make_offer)  # type: ignore[assignment]
    elif cheat == "part":
        offers.seal_to = _wrong_part(offers.seal_to)  # type: ignore[assignment]


def member(folder: Path, name: str, cheat: str) -> int:
    """Play one person; if somebody is named, the others run again without."""
    roster = load_roster(folder / "roster.json")
    identity = own_identity(folder, name)
    text = TEXT if name == REPORTER else None
    if name == CHEATER:
        _become(cheat)
    limits = session.Limits(max_bytes=1 << 12)
    try:
        with connect_mesh(identity, roster, name, round_timeout_s=60.0) as mesh:
            state = drive.run(
                mesh, roster.names, group_named("ristretto255"), secrets.token_bytes, text, limits
            )
    except PeerMisbehaved as error:
        print(f"named: {', '.join(error.culprits)}", flush=True)
        if name in error.culprits:
            return 0
        rest = Roster(tuple(party for party in roster.parties if party.name not in error.culprits))
        with connect_mesh(identity, rest, name, round_timeout_s=60.0) as mesh:
            state = drive.run(
                mesh, rest.names, group_named("ristretto255"), secrets.token_bytes, text, limits
            )
    except PeerError as error:
        if name == CHEATER and cheat != "honest":
            print(f"the others stopped: {type(error).__name__}")
            return 0
        raise
    for data in state.delivered:
        print(f"report: {data.decode()}")
    return 0


if __name__ == "__main__":
    sys.exit(play(lambda: member(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))
