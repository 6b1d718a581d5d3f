"""Measuring links: all parties find the same network, over TLS too; a job for another network is another job."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread

import numpy as np
import pytest
from jobs import OWNERS, visits_job

from tacit.array.interpret import reveal
from tacit.cli.main import main
from tacit.core.timing import PRESETS, Network, load_machine, load_network
from tacit.errors import PeerIncompatible, PeerMisbehaved, PolicyViolation, TacitError, UsageError
from tacit.net.identity import load_identity
from tacit.net.link import Mesh
from tacit.net.memory import Hub, Record
from tacit.net.roster import Roster
from tacit.net.sockets import listen_on
from tacit.node.job import load_job
from tacit.node.local import local
from tacit.node.measure import LAST_BURST, measure, measure_job


def ticking(step_s: float) -> Callable[[], float]:
    """Return a clock on which every reading is so much later than the last."""
    readings = itertools.count()
    return lambda: next(readings) * step_s


def measured(
    steps: dict[str, float], tamper: Callable[[Record], list[bytes] | None] | None = None
) -> dict[str, object]:
    def body(mesh: Mesh) -> Network | TacitError:
        try:
            return measure(mesh, OWNERS, ticking(steps[mesh.me]))
        except TacitError as error:
            mesh.abort(error)
            return error

    return Hub(OWNERS, tamper=tamper).run(dict.fromkeys(OWNERS, body))


class Links:
    """Links that take time on a clock of their own: half a round trip a message, and its bytes over the bandwidth.

    A burst is right behind the message that announces it.
    """

    def __init__(self, round_trip_s: float, rate: float, slower: Callable[[Record, int], float]) -> None:
        self.round_trip_s, self.rate, self.slower = round_trip_s, rate, slower
        self.now, self.sent, self.lock = 0.0, dict.fromkeys(itertools.permutations(OWNERS, 2), 0), Lock()

    def carry(self, r: Record) -> None:
        with self.lock:
            self.now += (r.label != "measure.burst") * self.round_trip_s / 2 + len(r.payload) / self.rate
            self.now += self.slower(r, self.sent[r.sender, r.receiver])
            self.sent[r.sender, r.receiver] += 1

    def measure(self) -> Network:
        found = Hub(OWNERS, tamper=self.carry).run(
            dict.fromkeys(OWNERS, lambda mesh: measure(mesh, OWNERS, lambda: self.now))
        )
        (network,) = set(found.values())
        return network


def steadily(r: Record, seq: int) -> float:
    return 0.0


def warming(r: Record, seq: int) -> float:
    """Take half a millisecond more for the first messages, and for all that Alice needs to measure Bob's link."""
    return 0.0005 if seq < (120 if (r.sender, r.receiver) == ("alice", "bob") else 40) else 0.0


def now_and_then(r: Record, seq: int) -> float:
    """Stop for 0.4 s at every seventh message, and for 2 ms at half of those that ask."""
    return 0.4 if seq % 7 == 6 else 0.002 if r.label == "measure.ask" and seq % 2 else 0.0


@pytest.mark.parametrize(
    ("round_trip_s", "rate", "slower"),
    [
        (0.0005, 125e6, steadily),
        (0.0005, 125e6, warming),
        (0.0005, 125e6, now_and_then),
        (0.04, 12.5e6, steadily),
        (0.04, 12.5e6, warming),
        (0.04, 12.5e6, now_and_then),
        (0.6, 2e4, steadily),
        (0.6, 2e4, now_and_then),
    ],
)
def test_what_makes_messages_slower_now_and_then_is_not_the_link(
    round_trip_s: float, rate: float, slower: Callable[[Record, int], float]
) -> None:
    links = Links(round_trip_s, rate, slower)
    found = links.measure()
    assert found.round_trip_us / 1e6 == pytest.approx(round_trip_s + 8 / rate, rel=0.1)
    assert found.bytes_per_s == pytest.approx(rate, rel=0.15)
    assert links.now < 6 * (30 * round_trip_s + 3.5), "six directions, each some round trips and bursts"


def test_the_slowest_link_stands_for_all_at_every_party() -> None:
    found = measured({"alice": 0.01, "bob": 0.0312, "carol": 0.02})
    assert len(set(found.values())) == 1
    (network,) = set(found.values())
    assert isinstance(network, Network)
    assert (network.name, network.round_trip_us) == ("measured", 20000)
    # Bob and Carol agree on the shorter of what they found, as either of them does with Alice.
    # A burst that takes no longer than a ping passed as fast as can be said.
    assert network.bytes_per_s == 10**12


def test_parties_that_tell_others_different_numbers_are_found() -> None:
    def lie(r: Record) -> list[bytes] | None:
        if (r.sender, r.receiver, r.label) != ("bob", "carol", "measure.report"):
            return None
        return [np.ones((3, 2), np.uint64).tobytes()]

    found = measured(dict.fromkeys(OWNERS, 0.01), lie)
    assert isinstance(found["carol"], PeerMisbehaved) or isinstance(found["alice"], PeerMisbehaved)
    assert not all(isinstance(f, Network) for f in found.values())


@pytest.mark.parametrize("value", [0, 2**63])
def test_a_link_that_cannot_be_is_refused(value: int) -> None:
    def junk(r: Record) -> list[bytes] | None:
        report = r.sender == "bob" and r.label == "measure.report"
        return [np.full((3, 2), value, np.uint64).tobytes()] if report else None

    found = measured(dict.fromkeys(OWNERS, 0.01), junk)
    assert isinstance(found["alice"], PeerMisbehaved) and "bob" in str(found["alice"])


def test_a_burst_takes_no_more_memory_than_agreed() -> None:
    def huge(r: Record) -> list[bytes] | None:
        first = (r.sender, r.receiver, r.label) == ("alice", "bob", "measure.ask")
        return [np.array([LAST_BURST + 1], np.uint64).tobytes()] if first else None

    found = measured(dict.fromkeys(OWNERS, 0.01), huge)
    assert isinstance(found["bob"], PeerMisbehaved) and "burst" in str(found["bob"])


def test_over_tls_and_only_between_parties_of_one_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {o: load_identity(tmp_path / o, o) for o in OWNERS}
    ports = {}
    for o in OWNERS:
        with listen_on("127.0.0.1") as listener:
            ports[o] = listener.getsockname()[1]
    roster = Roster(tuple(made[o].party("127.0.0.1", ports[o]) for o in OWNERS))

    def together(jobs: dict[str, object]) -> dict[str, object]:
        found: dict[str, object] = {}

        def body(o: str) -> None:
            try:
                found[o] = measure_job(jobs[o], roster, made[o])  # type: ignore[arg-type]
            except TacitError as error:
                found[o] = error

        threads = [Thread(target=body, args=(o,)) for o in OWNERS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    job = visits_job()
    job.save(tmp_path / "job.json")
    roster.save(tmp_path / "roster.json")
    command = ["job", "measure", str(tmp_path / "job.json"), "--roster", str(tmp_path / "roster.json")]
    threads = [
        Thread(
            target=main,
            args=(
                [*command, "--name", o, "--home", str(tmp_path / o), "--out", str(tmp_path / f"{o}.json")],
            ),
        )
        for o in OWNERS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({load_network(tmp_path / f"{o}.json") for o in OWNERS}) == 1
    printed = capsys.readouterr().out
    assert printed.count("network    measured") == 3 and "tacit job network" in printed
    found = together(dict.fromkeys(OWNERS, job))
    assert len(set(found.values())) == 1 and isinstance(found["alice"], Network)
    mixed = together({**dict.fromkeys(OWNERS, job), "bob": replace(job, title="another")})
    assert isinstance(mixed["bob"], PeerIncompatible)
    with pytest.raises(PolicyViolation, match="does not compute"):
        measure_job(
            replace(job, compute=("dora", *OWNERS[1:]), parties=("dora", *OWNERS)), roster, made["alice"]
        )


def test_a_job_for_another_network_is_another_job(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, path, out = visits_job(), tmp_path / "job.json", tmp_path / "far.json"
    job.save(path)
    assert main(["job", "network", str(path), "--to", "wan", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    far = load_job(out)
    assert far.digest() == replace(job, network=PRESETS["wan"]).digest() != job.digest()
    assert far.digest().hex() in printed and "100 Mbit/s" in printed
    measured_file = tmp_path / "links.json"
    measured_file.write_text(
        '{"name": "measured", "round_trip_us": 7000, "bytes_per_s": 5000000}', encoding="utf-8"
    )
    assert main(["job", "network", str(path), "--to", str(measured_file), "--out", str(out)]) == 0
    assert load_job(out).network == load_network(measured_file)
    assert main(["job", "network", str(path), "--to", "moon", "--out", str(out)]) == 1
    assert "moon" in capsys.readouterr().err


def test_a_session_of_processes_for_another_network() -> None:
    x = np.array([3.0, -1.5, 2.25, 8.0])
    taken = {}
    for links in ("loopback", "wan"):
        with local("rep3", network=links) as s:
            secret = s.input(x, owner="alice", bound=8)
            before = s.traffic()["bob"].rounds
            largest = reveal((secret + s.input(x, owner="bob", bound=8)).max(), why="the test's answer")
            taken[links] = s.traffic()["bob"].rounds - before
        assert float(largest) == 16.0
    assert taken["wan"] <= taken["loopback"]
    with pytest.raises(UsageError, match="no network is called 'moon'"):
        local("rep3", network="moon")


def test_a_plan_with_ones_own_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, slow = tmp_path / "job.json", tmp_path / "slow.json"
    replace(visits_job(), network=PRESETS["lan"]).save(path)
    slow.write_text(
        '{"curves": {"mul": [[1, 5.0], [2, 5.0]]}, "wake_s": 0, "cores": 1, "source": "a slide rule"}',
        encoding="utf-8",
    )
    assert main(["job", "show", str(path), "--machine", str(slow)]) == 0
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("time")]
    slowly = load_job(path).plan(load_machine(slow))
    assert slowly.time() in line and "on lan: 0.2 ms round trip" in line
    assert slowly.cost.seconds > 50 > 1 > load_job(path).plan().cost.seconds
    assert main(["job", "show", str(path), "--machine", str(path)]) == 1
    assert "not a calibration" in capsys.readouterr().err
