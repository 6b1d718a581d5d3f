"""Networks and machines: what they refuse, what a round is worth, how messages pass in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array.analyse import nowhere
from tacit.core.cost import FRAME_BYTES, CostModel
from tacit.core.ghost import ghost
from tacit.core.protocol import price
from tacit.core.timing import (
    LOOPBACK,
    PRESETS,
    Machine,
    Network,
    as_network,
    default_machine,
    load_machine,
    load_network,
    network_of,
    work,
)
from tacit.errors import DataError, NotRealised, UsageError

WAN = PRESETS["wan"]
IDLE = Machine({"mul": 0.0}, {"mul": 0.0})


@pytest.mark.parametrize(
    ("name", "trip", "rate"),
    [("", 1, 1), ("x" * 41, 1, 1), ("a\nb", 1, 1), ("x", 0, 1), ("x", 1, 0), ("x", 1.5, 1), ("x", 1, True),
     ("x", 10**9, 1)],
)  # fmt: skip
def test_a_network_of_other_than_whole_positive_numbers_is_refused(name: Any, trip: Any, rate: Any) -> None:
    with pytest.raises(UsageError, match="network"):
        Network(name, trip, rate)
    with pytest.raises(DataError, match="the job"):
        network_of({"name": name, "round_trip_us": trip, "bytes_per_s": rate}, "the job")


def test_names_and_files_of_networks(tmp_path: Path) -> None:
    assert as_network("wan") == WAN and as_network(WAN) is WAN
    with pytest.raises(UsageError, match="loopback, lan, wan"):
        as_network("moon")
    path = tmp_path / "n.json"
    path.write_text(json.dumps(WAN.content()), encoding="utf-8")
    assert load_network(path) == WAN
    for text in ("", "[]", "{}", '{"name": "x", "round_trip_us": 1}', "[" * 100_000):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=r"n\.json"):
            load_network(path)
    with pytest.raises(DataError, match="no file"):
        load_network(tmp_path / "none.json")


def test_a_round_is_worth_what_passes_in_its_time() -> None:
    assert WAN.round_bytes == 250_000 and LOOPBACK.round_bytes == 24_000
    assert str(WAN) == "wan: 40 ms round trip, 100 Mbit/s"
    waves = [[(0, 1, 100), (0, 2, 50), (2, 1, 120)], [(1, 2, 10)], [(-1, 0, 40)]]
    assert price(WAN, 3, waves) == 3 * 250_000 + 150
    assert price(Network("x", 2, 10**6), 3, waves) == 3 + 150
    assert price(Network("x", 2, 10**6), 3, [[(-1, 0, 400)], *waves]) == 4 + 440


def test_a_price_of_what_is_not_realised_names_it() -> None:
    model = CostModel("semi2k", protocols.load("semi2k").cards, nowhere(("a", "b", "c")), Ring(64), "zoe")
    with pytest.raises(NotRealised, match="'place'"):
        model.price(("place", 5, {"widths": (64,), "index": 3}))


def test_messages_pass_one_after_the_other_through_a_senders_line() -> None:
    """A product and its truncation, wave by wave: from 0 and 2 to 1, then from 1 to 2, then from 2 to 1."""
    model = CostModel(
        "rep3", protocols.load("rep3").cards, nowhere(("a", "b", "c"), network=WAN), Ring(64), machine=IDLE
    )
    n = 100  # few enough that the roles are not turned
    model.mul_trunc(ghost((n,)), ghost((n,)), 16)

    def passing(nbytes: int) -> float:
        return (nbytes + FRAME_BYTES) / WAN.bytes_per_s

    b, fb, bit, way = 8 * n, 2 * n, -(-n // 8), WAN.one_way_s
    first = passing(b + fb) + way
    second = first + passing(bit + b) + way
    third = second + passing(b) + way
    assert model.cost.clock["a"] == 0
    assert model.cost.clock["c"] == pytest.approx(second)
    assert model.cost.clock["b"] == pytest.approx(third) and model.cost.seconds == model.cost.clock["b"]
    # Two messages of one sender share its line; nobody else's are in their way.
    twice = CostModel(
        "rep3", protocols.load("rep3").cards, nowhere(("a", "b", "c"), network=WAN), Ring(64), machine=IDLE
    )
    twice.agree(Ring(64).zeros((n,)))
    assert twice.cost.clock["b"] == pytest.approx(passing(b) + way)
    assert twice.cost.clock["c"] == pytest.approx(2 * passing(b) + way)


def test_parties_wait_for_what_others_compute_before_they_send() -> None:
    """A product and its truncation: 0 and 2 work, then 1, then 2, then 1; nobody's messages take any time."""
    near = Network("near", 1, 10**12)
    busy = Machine({"mul": 0.0, "mul_trunc": 6.0}, {"mul": 0.0, "mul_trunc": 0.0})
    clocks = {}
    for cores in (1.0, 2 / 3, 1 / 3):
        machine = Machine(busy.calls, busy.units, cores)
        party = nowhere(("a", "b", "c"), network=near)
        model = CostModel("rep3", protocols.load("rep3").cards, party, Ring(64), machine=machine)
        model.mul_trunc(ghost((100,)), ghost((100,)), 16)
        assert model.cost.working == pytest.approx({"a": 6.0, "b": 6.0, "c": 6.0})
        clocks[cores] = model.cost.seconds
    # 3 (0) or 2 (2) before the first wave; 3 (1) before the second; 2 (2) before the third; the rest of 1.
    assert clocks[1.0] == pytest.approx(3 + 3 + 2 + 3, abs=1e-3)
    assert clocks[1.0] < clocks[2 / 3] < 18 <= clocks[1 / 3]


def test_what_was_not_measured_counts_as_what_is_like_it() -> None:
    kinds = Machine(
        {"mul": 0.5, "factored": 1.0, "factored Waves": 2.0}, {"mul": 0, "factored": 0, "factored Waves": 0}
    )
    found = [kinds.processor(k, 1, 1) for k in ("factored Waves", "factored Powers", "new")]
    assert found == [2.0, 1.0, 0.5]


def test_the_packages_calibration_has_a_time_for_every_functionality() -> None:
    machine = default_machine()
    assert machine.source
    for protocol in ("rep3", "semi2k"):
        assert all(machine.processor(name, 1, 1000) > 0 for name in protocols.load(protocol).cards)
    assert machine.calls.keys() == machine.units.keys()


def test_a_calibration_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(default_machine().content()), encoding="utf-8")
    assert load_machine(path) == default_machine()
    for text in ("{}", '{"calls": {}, "units": {}, "cores": 1, "source": ""}',
                 '{"calls": {"mul": 1}, "units": {}, "cores": 1, "source": ""}',
                 '{"calls": {"mul": 1}, "units": {"mul": 1}, "cores": 0, "source": ""}'):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="calibration"):
            load_machine(path)


def test_work_grows_with_what_a_functionality_does() -> None:
    sizes = {"planes": 3, "bits": 40, "terms": 22, "inner": 7, "widths": (64, 3), "f": 16}
    assert [work(name, 10, sizes) for name in ("and_", "sign", "factored", "dot", "place", "trunc_exact", "mul")] == [
        30, 400, 220, 70, 20, 160, 10
    ]  # fmt: skip
