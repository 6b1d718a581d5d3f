"""The comparison with peers: its truths, its relay, its arithmetic of results, and what it does when a party fails."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

jax = pytest.importorskip("jax")

from bench.rig import engine_mpyc, engine_tacit, floor, page, plan, programs, runner  # noqa: E402
from bench.rig.engines import EngineFailed, Processes, share_out  # noqa: E402
from bench.rig.gloo_relay import own_port, rewritten  # noqa: E402
from bench.rig.relay import NETWORKS, Network, Relay, Relays, Uplink, Way, swapped  # noqa: E402
from bench.rig.small import described  # noqa: E402
from bench.rig.workloads import Workload, all_workloads, distinct  # noqa: E402

from tacit import kernels, testing  # noqa: E402
from tacit.array.runtime import Runtime  # noqa: E402
from tacit.crypto import prg  # noqa: E402

SLOW = ("lenet", "cnn")
"""Networks that JAX takes seconds to compile; their layers are the other networks' layers."""


@pytest.mark.parametrize(
    "w",
    [pytest.param(w, id=w.key, marks=[pytest.mark.slow] * (w.small.get("net") in SLOW)) for w in distinct()],
)
def test_the_program_in_the_clear_agrees_with_the_truth(w: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    stated: list[tuple[Any, float, float]] = []

    def noted(x: Any, lo: float, hi: float) -> Any:
        jax.debug.callback(lambda v: stated.append((np.asarray(v), lo, hi)), x)
        return x

    monkeypatch.setattr(programs, "bounded", noted)
    data = w.data(w.small)
    with jax.enable_x64(True):
        values = {k: jax.numpy.asarray(d.value) for k, d in data.items()}
        got = [np.asarray(a) for a in programs.PROGRAMS[w.program](w.small)(values)]
        jax.effects_barrier()
    assert w.error(got, w.expected(data, w.small))[1] < 1e-9
    assert w.wrong(got, w.expected(data, w.small)) == 0
    for value, lo, hi in stated:  # what the program tells Tacit must be true
        assert lo <= value.min() and value.max() <= hi
    for d in data.values():
        assert d.lo <= d.value.min() and d.value.max() <= d.hi
        assert np.array_equal(d.value, np.round(d.value * 2**16) / 2**16)


def test_inputs_come_from_a_seed_and_files_have_names_of_their_own() -> None:
    w = distinct()[0]
    assert np.array_equal(w.data(w.small)["x"].value, w.data(w.small)["x"].value)
    assert len({w.key for w in all_workloads()}) == len(all_workloads())


def test_errors_count_shapes_and_nonsense() -> None:
    w = distinct()[0]
    want = [np.array([1.0, 100.0])]
    assert w.error([np.array([1.5, 101.0])], want) == (1.0, 0.5)
    assert w.wrong([np.array([1.001, 102.0])], want) == 1
    assert w.error([np.array([1.0, np.nan])], want) == (np.inf, np.inf)
    assert w.wrong([np.array([1.0, np.nan])], want) == 1
    assert w.error([np.array([1.0])], want) == (np.inf, np.inf) and w.wrong([], want) == 2


class InTheClear(np.ndarray):
    """An array in the place of MPyC's secure ones, whose types are called with values, too."""

    def __new__(cls, values: Any) -> InTheClear:
        return np.asarray(values).view(cls)


class WithoutShares:
    """MPyC's runtime without shares: what its drivers call is NumPy's under the same name."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name.removeprefix("np_"))


@pytest.mark.parametrize(
    "w", [pytest.param(w, id=w.key) for w in distinct() if w.program in engine_mpyc.PROGRAMS]
)
def test_the_programs_for_mpyc_in_the_clear_agree_with_the_truth(w: Workload) -> None:
    data = w.data(w.small)
    values = {k: InTheClear(d.value) for k, d in data.items()}
    got = engine_mpyc.PROGRAMS[w.program](w.small)(WithoutShares(), values)
    assert w.error(got, w.expected(data, w.small))[1] < 1e-3


def test_mpyc_has_each_workload_or_a_reason_for_none() -> None:
    assert {*engine_mpyc.PROGRAMS, *engine_mpyc.ABSENT} == {w.program for w in all_workloads()}
    assert not set(engine_mpyc.PROGRAMS) & set(engine_mpyc.ABSENT)
    with pytest.raises(NotImplementedError, match="no exponential function"):
        engine_mpyc.Mpyc(0, Path()).prepare("exp", {}, {})
    rows = plan.rows(all_workloads(), list(NETWORKS), ["spu", "mpyc"])
    assert [r.workload.name for r in rows if "mpyc" in r.engines] == [w.name for w in all_workloads()]
    assert {r.network for r in rows if "mpyc" in r.engines} == {"loopback"}


# -- the relay ------------------------------------------------------------------------------------------------


def test_an_uplink_is_shared() -> None:
    line = Uplink(1000.0)
    assert line.leave(5.0, 500) == 5.5
    assert line.leave(5.1, 500) == 6.0, "what comes meanwhile waits"
    assert line.leave(9.0, 100) == 9.1


def test_a_way_delays_keeps_order_and_ends() -> None:
    (near, source), (target, far) = socket.socketpair(), socket.socketpair()
    for s in (near, source, target, far):
        s.setblocking(False)
    way = Way(source, target, Uplink(1000.0), 0.5)
    near.sendall(b"a" * 100)
    way.read(10.0)
    near.sendall(b"b" * 100)
    way.read(10.0)
    way.write(10.59)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    way.write(10.6)
    assert far.recv(1000) == b"a" * 100
    way.write(10.7)
    assert far.recv(1000) == b"b" * 100 and way.held == 0
    near.close()
    way.read(11.0)
    way.write(11.0)
    assert way.done and far.recv(1) == b""
    way.close()
    for s in (target, far):
        s.close()


def test_a_way_keeps_order_when_its_pipe_is_full_and_waits_for_its_target() -> None:
    (near, source), (target, far) = socket.socketpair(), socket.socketpair()
    for s in (near, source, target, far):
        s.setblocking(False)
    way = Way(source, target, Uplink(1e9), 0.0)
    sent = bytearray()
    for i in range(600):  # more pieces than a pipe holds, whatever their size
        near.sendall(bytes([i % 251]) * (1 + i % 3))
        sent += bytes([i % 251]) * (1 + i % 3)
        way.read(1.0)
    assert way.held == len(sent)
    if way.pipe is not None:
        assert 0 < way.piped < way.held, "what the pipe does not hold waits behind it"
    for _ in range(100):
        sent += bytes(50_000)
        try:
            near.sendall(bytes(50_000))
        except BlockingIOError:
            pytest.fail("the relay takes what comes")
        while way.held < len(sent):
            way.read(1.0)
    got = bytearray()
    while len(got) < len(sent):
        way.write(2.0)
        assert way.blocked or not way.waiting
        got += far.recv(1 << 20)
    assert got == sent and way.held == way.piped == 0
    way.close()
    for s in (near, target, far):
        s.close()


def test_a_relay_finds_ports_that_gloo_takes_for_smaller() -> None:
    relay = Relay(1e9, 0.0)
    own = 40001
    port = relay.open(0, 1, 1, own)
    assert port < 32768 and swapped(port) < swapped(own)
    for s in relay.listeners:
        s.close()
    relay.control.close()


def test_gloo_entries_are_changed_only_where_the_caller_reads_them() -> None:
    entry = b"head\x02\x00" + (0x9C41).to_bytes(2, "big") + b"\x7f\x00\x00\x01tail"
    assert own_port(entry) == 0x9C41 and own_port(b"nothing") == 0
    caller, callee = 0x9C42, 0x9C40
    assert own_port(rewritten(entry, caller, lambda port: {0x9C41: 20480}[port])) == 20480
    assert rewritten(entry, callee, lambda port: 20480) == entry
    assert rewritten(b"nothing", caller, lambda port: 20480) == b"nothing"


def test_the_relay_process_delays_both_ways() -> None:
    relays = Relays(Network("test", 1e9, 0.05))
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = relays.address(0, 1, listener.getsockname()[1])
            with socket.create_connection(("127.0.0.1", port)) as caller, listener.accept()[0] as callee:
                started = time.monotonic()
                caller.sendall(b"ping")
                assert callee.recv(4) == b"ping"
                callee.sendall(b"pong")
                assert caller.recv(4) == b"pong"
                assert time.monotonic() - started >= 0.05
    finally:
        relays.stop()


def test_the_relay_process_outlives_a_connection_that_is_broken_off() -> None:
    relays = Relays(Network("test", 4e8, 0.0))
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = relays.address(0, 1, listener.getsockname()[1])
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", port)) as near, listener.accept()[0] as far:
                    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    near.sendall(bytes(100_000))
                    far.close()
                    with contextlib.suppress(OSError):
                        near.sendall(bytes(100_000))
                        while near.recv(1):
                            pass
            with socket.create_connection(("127.0.0.1", port)) as near, listener.accept()[0] as far:
                near.sendall(b"still here")
                near.shutdown(socket.SHUT_WR)
                with far.makefile("rb") as got:
                    assert got.read() == b"still here"
    finally:
        relays.stop()


def test_the_relay_process_is_no_faster_than_its_link() -> None:
    """Of all ways of a party together; each byte comes, in order."""
    network = Network("test", 4e8, 0.0)
    relays = Relays(network)
    data = np.random.default_rng(5).bytes(3 << 20)
    got: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}

    def take(which: int, s: socket.socket) -> None:
        while len(got[which]) < len(data):
            got[which] += s.recv(1 << 16)

    try:
        ends: list[socket.socket] = []
        for which in got:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = relays.address(0, which, listener.getsockname()[1])
                ends += [socket.create_connection(("127.0.0.1", port)), listener.accept()[0]]
        takers = [threading.Thread(target=take, args=(which, ends[2 * which - 1])) for which in got]
        for t in takers:
            t.start()
        started = time.monotonic()
        for at in range(0, len(data), 100_000):
            for s in ends[::2]:
                s.sendall(data[at : at + 100_000])
        for t in takers:
            t.join(30)
        assert time.monotonic() - started >= 2 * len(data) / network.bytes_per_s
        assert got[1] == data and got[2] == data
        for s in ends:
            s.close()
    finally:
        relays.stop()


# -- results --------------------------------------------------------------------------------------------------


def result(seconds: float, **more: Any) -> dict[str, Any]:
    base = {
        "params": {"n": 1}, "seconds": seconds, "least": seconds, "most": seconds, "runs": 1, "right": True,
        "warm": True,
    }  # fmt: skip
    return base | more


def test_the_page_hides_no_loss() -> None:
    found = {
        "a": {"engines": {"tacit": result(2.0), "spu": result(1.0, right=False, wrong_values=3, values=10)}},
        "b": {"engines": {"tacit": {"params": {}, "failed": "RangeError: too large"}, "spu": result(1.0)}},
        "c": {"engines": {"tacit": result(1.0), "spu": result(3.0), "mpyc": result(0.1, params={"n": 2})}},
    }
    assert page.behind(found) == [
        "- a: SPU 0.9.5 takes 2.0 times less; 3 of its 10 values are wrong.",
        "- b: Tacit has no result (refused: range).",
    ]
    rows = "\n".join(page.times(found))
    assert "1.00 (once) wrong" in rows and "refused: range" in rows and "0.10 (once) at n 2" in rows
    smaller = result(0.1, params={"n": 2}, beside=0.2, beside_params={"n": 2})
    beside = {"engines": {"tacit": result(1.0), "mpyc": smaller}}
    assert page.ratio(beside, "mpyc") == "0.50", "against Tacit at the size of the peer"
    assert page.behind({"e": beside}) == ["- e: MPyC 0.11 takes 2.0 times less at n 2."]
    late = {"params": {"n": 2}, "failed": "no answer to 'run' within 300 s"}
    for failure, text in (
        (late, "did not end in time at n 2"),
        (late | {"failed": "NotImplementedError"}, "none"),
    ):
        both = {"engines": {"tacit": result(1.0), "mpyc": failure}}
        assert page.times({"d": both})[2].split(" | ")[2] == text
    assert page.ratio(found["c"], "spu") == "3.00" and page.ratio(found["c"], "mpyc") == ""


def beside_the_floor(more: dict[str, Any], measured: dict[str, float]) -> dict[str, str]:
    """Return the row of one workload on loopback, by column."""
    ours = result(
        2.0,
        factors=[[3, 1e8, 0], [1, 3e8, 10]],
        passed=4e9,
        predicted_bytes=[4e8, 1, 1],
        payload=[4e8, 1, 1],
        predicted_rounds=4,
        rounds=4,
    )
    lines = page.floors({"a": {"engines": {"tacit": ours | more}}}, NETWORKS["loopback"], measured)
    head, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[0], lines[2]))
    return dict(zip(head, row, strict=True))


MEASURED = {
    "tls_alone": 8e8, "tls_shared_one": 2e8, "tls_shared_both": 4e8,
    "products_alone": 4e9, "products_shared": 1e9,
    "reading_alone": 4e9, "reading_shared": 2e9,
}  # fmt: skip


def test_a_round_has_elapsed_and_processor_time() -> None:
    row = beside_the_floor({"cpus": [0.5, 1.0, 0.25], "looks": [0.0, 0.75, 0.0]}, MEASURED)
    assert (row["µs a round"], row["processor µs a round"]) == ("500000", "250000")
    assert row["own µs a round"] == "125000", (
        "the party that looked for messages longest is not the busiest without"
    )
    for what in ("processor µs a round", "own µs a round"):
        assert beside_the_floor({}, MEASURED)[what] == "", "results from before have no such figure"


def test_the_floor_is_link_products_generator_and_memory() -> None:
    rates = MEASURED | {"generator_alone": 8e9, "generator_shared": 2e9}
    row = beside_the_floor({"drawn": [1e9, 2e9, 1e9]}, rates)
    names = (
        "link shared, s",
        "products shared, s",
        "generator shared, s",
        "memory shared, s",
        "floor shared, s",
        "floor alone, s",
    )
    assert [row[n] for n in names] == ["1.00", "1.00", "1.00", "2.00", "5.00", "2.00"]
    assert (row["Tacit / floor shared"], row["Tacit / floor alone"]) == ("0.40", "1.00")
    read = beside_the_floor({"drawn": [0, 0, 0], "factors": [[2, 3e8, 2e9], [1, 6e8, 1e9]]}, rates)
    assert read["products shared, s"] == "3.00", "twice a second of reading, once one of multiplying"
    for old in (
        beside_the_floor({}, rates),
        beside_the_floor({"drawn": [1, 1, 1]}, MEASURED),
        beside_the_floor({"drawn": [1, 1, 1], "factors": None}, rates),
        beside_the_floor({"drawn": [1, 1, 1], "passed": None}, rates),
    ):
        assert (old["floor shared, s"], old["Tacit / floor alone"]) == ("", "")
        assert "" in (old["generator shared, s"], old["products shared, s"], old["memory shared, s"])


def test_a_product_reads_what_no_cache_holds() -> None:
    w = next(w for w in distinct() if w.name.endswith("10 full batches"))
    program = engine_tacit.trace(w.program, w.params, described(w.data()))
    n, m = w.params["rows"], w.params["cols"]
    # Ten times X w and X' e: two parts of 8 bytes for each element of X, none for what is short.
    assert floor.products(program, engine_tacit.FORMAT) == [(20, n * m, 16 * n * m)]


@pytest.mark.parametrize(
    ("name", "nbytes"),
    [
        ("multiply 10^6", 3 * 16 * 10**6),
        ("x < 0 10^6", 16 * 10**6),  # a truth value is a byte, two parts of which a cache holds
        ("exp 10^5", 0),
        ("statistics 3 x 10^6 rows", 16 * 10**6),  # two columns of each owner
        ("matrix product 1000^3", 16 * 10**6),  # its factors are counted with the product
    ],
)
def test_inputs_and_results_pass_once_where_no_cache_holds_them(name: str, nbytes: int) -> None:
    w = next(w for w in all_workloads() if w.name == name)
    program = engine_tacit.trace(w.program, w.params, described(w.data()))
    assert floor.passed(program, engine_tacit.FORMAT) == nbytes


def test_every_byte_of_the_generator_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()

    class Counted(kernels.KeyStream):
        def fill(self, out: Any, *keep: int) -> None:
            made[threading.current_thread().name] += -(-out.nbytes // floor.BLOCK) * floor.BLOCK
            super().fill(out, *keep)

        def skip(self, nbytes: int) -> int:
            made[threading.current_thread().name] += -(-nbytes // floor.BLOCK) * floor.BLOCK
            return int(super().skip(nbytes))

    def body(p: Any) -> tuple[int, int]:
        threading.current_thread().name = p.party.name
        runtime = Runtime(p, engine_tacit.FORMAT, engine_tacit.NAMES)
        inputs = engine_tacit.secret_inputs(runtime, program, {k: d.value for k, d in data.items()})
        before, counted_before = floor.drawn(p.party), made[p.party.name]
        runtime.block(program, inputs)
        p.party.flush()
        return floor.drawn(p.party) - before, made[p.party.name] - counted_before

    monkeypatch.setattr(prg, "_native_prg", lambda: True)
    monkeypatch.setattr(prg.kernels, "KeyStream", Counted)
    for w in distinct():
        if w.program not in ("multiply", "sort", "sigmoid"):
            continue
        data = w.data(w.small)
        program = engine_tacit.trace(w.program, w.small, described(data))
        for drawn, expected in testing.run("rep3", engine_tacit.FORMAT.width, body).values():
            assert drawn == expected > 0


def test_numbers_read_well() -> None:
    assert [page.number(x) for x in (0, 0.00123, 0.0123, 0.123, 1.234, 12.34, 1234.5)] == [
        "0", "0.0012", "0.012", "0.12", "1.23", "12.3", "1234",
    ]  # fmt: skip
    assert [page.size(x) for x in (12, 1500, 2.5e6, 3e9)] == ["12 B", "1.50 kB", "2.50 MB", "3.00 GB"]


def test_summary_takes_medians() -> None:
    runs = [
        {
            "seconds": s,
            "cpu": s,
            "cpus": [s, 2 * s, 4 - s],
            "looks": [s / 2, 0.0, 0.0],
            "cold": s,
            "wire": [1, 2, 3],
            "peak": 10 * s,
            "rounds": float("nan"),
            "payload": [None] * 3,
            "drawn": [16, 32, 48],
        }
        for s in (3.0, 1.0, 2.0)
    ]
    found = runner.summary(runs)
    assert (found["seconds"], found["least"], found["most"], found["peak"]) == (2.0, 1.0, 3.0, 30.0)
    assert found["rounds"] is None and found["payload"] is None and found["cpus"] == [2.0, 4.0, 2.0]
    assert found["looks"] == [1.0, 0.0, 0.0]
    assert found["drawn"] == [16, 32, 48]


def in_turn_of(asked: list[list[str]]) -> Any:
    def in_turn(self: Any, w: Workload, engines: list[str]) -> dict[str, Any]:
        asked.append(engines)
        return {e: result(float(len(asked))) for e in engines}

    return in_turn


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(runner.Bench, "_in_turn", in_turn_of(asked))
    w = distinct()[0]
    for peers in (["spu"], ["spu"], ["spu", "crypten"]):
        todo = plan.order(plan.rows([w], ["loopback"], peers), tmp_path, False, "")
        runner.spend(todo, np.inf, runner.Options(), lambda _: None, tmp_path)
    assert asked == [["tacit", "spu"], ["tacit", "crypten"]]
    stored = json.loads((tmp_path / "loopback" / f"{w.key}.json").read_text())
    assert set(stored["engines"]) == {"tacit", "spu", "crypten"}
    assert stored["engines"]["tacit"]["seconds"] == 1.0 and stored["engines"]["crypten"]["beside"] == 2.0
    assert stored["engines"]["crypten"]["beside_params"] == stored["engines"]["tacit"]["params"]


def test_beside_mpyc_all_engines_run_at_its_size() -> None:
    large = next(w for w in all_workloads() if w.name == "multiply 10^6")
    bench = runner.Bench("loopback", runner.Options(), lambda _: None)
    assert bench._params(large, ["tacit", "spu"]) == {"n": 10**6}
    assert bench._params(large, ["tacit", "mpyc"]) == {"n": 10**5}
    for w in all_workloads():  # smaller sizes are sizes of the same workload
        assert set(w.tiny) <= set(w.params) and all(0 < n <= w.params[k] for k, n in w.tiny.items())


def test_again_takes_the_oldest_first_and_nothing_longer_than_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(runner.Bench, "_in_turn", in_turn_of(asked))
    rows = plan.rows(all_workloads()[:4], ["loopback"], [])
    for row, taken, at, took in zip(
        rows[:3], ("2030-01-03", "2030-01-01", "2030-01-02"), "aab", (1, 50, 1), strict=True
    ):
        path = row.path(tmp_path)
        path.parent.mkdir(exist_ok=True)
        kept = result(1.0, taken=taken, commit=at, took=took)
        path.write_text(json.dumps({"engines": {"tacit": kept}}))
    new, first, second, third = rows[3], rows[1], rows[2], rows[0]

    def names(again: bool, done: str) -> list[plan.Row]:
        return [row for row, _ in plan.order(rows, tmp_path, again, done)]

    assert names(False, "") == [new]
    assert names(True, "") == [new, first, second, third]
    assert names(True, "a") == [new, second], "what was measured at this commit stays"
    todo = plan.order(rows, tmp_path, True, "")
    done = runner.spend(todo, time.monotonic() + 30, runner.Options(), lambda _: None, tmp_path)
    assert done == [new, second, third], "a row that took 50 s is not begun with 30 s left"


def test_cores_are_shared_by_fewer_than_three_and_split_from_three_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(2, 12)), raising=False)
    assert share_out(1) == [{2}] * 3 and share_out(2) == [{2, 3}] * 3
    assert share_out(3) == [{2}, {3}, {4}] and share_out(8) == [{2, 3}, {4, 5}, {6, 7}]
    with pytest.raises(ValueError, match="10 cores, not 11"):
        share_out(11)


def test_a_party_keeps_to_its_cores_and_reads_a_program_that_was_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = distinct()[0]
    data = w.data(w.small)
    made = engine_tacit.trace(w.program, w.small, described(data))
    engine_tacit.traced_file(tmp_path, w.program, w.small).write_text(made.text())
    monkeypatch.setenv(engine_tacit.TRACED, str(tmp_path))
    read = engine_tacit.trace(w.program, w.small, described(data))
    assert read.text() == made.text() and read.inputs == made.inputs
    cores = 1 if hasattr(os, "sched_getaffinity") else 0
    engine = Processes("tacit", cores=cores)
    try:
        engine.prepare(w.program, w.small, data, 60)
        engine.run(60)
        assert w.wrong(engine.output(60), w.expected(data, w.small)) == 0
        if cores:
            assert all(len(os.sched_getaffinity(p.pid)) == 1 for p in engine._processes)
    finally:
        engine.stop()


def test_three_processes_behind_a_relay_and_an_error_of_one() -> None:
    w = distinct()[0]
    relays = Relays(NETWORKS["lan"])
    engine = None
    try:
        engine = Processes("tacit", relays)
        data = w.data(w.small)
        engine.prepare(w.program, w.small, data, 60)
        found = engine.run(60)
        assert found["rounds"] == 2 and found["payload"] == [3000, 2000, 2000]
        assert all(0 < cpu < 60 for cpu in found["cpus"]) and found["cpu"] == sum(found["cpus"])
        assert all(0 <= look <= cpu for look, cpu in zip(found["looks"], found["cpus"], strict=True))
        assert all(n > 0 and n % floor.BLOCK == 0 for n in found["drawn"])
        assert min(found["wire"]) >= 2000 and found["seconds"] >= 2 * NETWORKS["lan"].rtt_s / 2
        short = engine.run(60, found["cold"])  # several in succession, counted as one
        assert (short["rounds"], short["payload"]) == (2, found["payload"]) and short["drawn"] == found[
            "drawn"
        ]
        assert min(short["wire"]) >= 2000 and max(short["wire"]) < 2 * max(found["wire"])
        assert w.wrong(engine.output(60), w.expected(data, w.small)) == 0
        with pytest.raises(EngineFailed, match="no-such-program"):
            engine.prepare("no-such-program", {}, data, 60)
    finally:
        if engine is not None:
            engine.stop()
        relays.stop()


def test_a_name_that_no_workload_has_is_refused() -> None:
    script = Path(runner.__file__).parents[1] / "peers.py"
    asked = subprocess.run(
        [sys.executable, str(script), "--only", "no such work"], capture_output=True, text=True, timeout=120
    )
    assert asked.returncode == 2
    assert "no workload's name contains 'no such work'; --list shows them" in asked.stderr


def test_results_of_two_processors_are_never_mixed(tmp_path: Path) -> None:
    (tmp_path / "machine.json").write_text('{"processor": "Another CPU"}')
    script = Path(runner.__file__).parents[1] / "peers.py"
    asked = subprocess.run(
        [sys.executable, str(script), "--peers", "--only", "multiply", "--results", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert asked.returncode == 2
    assert "are of another processor (Another CPU; this one: " in asked.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["machine.json"]


def test_a_folder_of_results_has_a_page_of_its_own(tmp_path: Path) -> None:
    row = plan.Row("loopback", next(w for w in all_workloads() if w.name == "x < 0 10^5"), ("tacit",))
    row.path(tmp_path).parent.mkdir(parents=True)
    row.path(tmp_path).write_bytes(row.path(page.RESULTS).read_bytes())
    before = page.PAGE.read_bytes()
    script = Path(runner.__file__).parents[1] / "peers.py"
    subprocess.run(
        [sys.executable, str(script), "--page", "--results", str(tmp_path)], check=True, timeout=120
    )
    own = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "\n| x < 0 10^5 |" in own
    assert "\nNot measured on this network: multiply 10^4; multiply 10^6; ReLU 10^5;" in own
    assert page.PAGE.read_bytes() == before
