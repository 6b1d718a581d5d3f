"""Networks and machines: what they refuse, what a round is worth, how messages pass in time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array import functions
from tacit.array.analyse import nowhere, predict
from tacit.array.interpret import Trace
from tacit.array.program import Aval
from tacit.array.runtime import Format
from tacit.core import timing
from tacit.core.clock import FRAME_BYTES
from tacit.core.cost import CostModel
from tacit.core.ghost import ghost
from tacit.core.protocol import price
from tacit.core.timing import (
    LOOPBACK,
    PRESETS,
    Curve,
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
NOTHING = ((1.0, 0.0), (2.0, 0.0))
IDLE = Machine({"mul": NOTHING})


def taking(seconds: float) -> Curve:
    """Return the curve of what takes as long on any number of elements."""
    return ((1.0, seconds), (2.0, seconds))


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
    assert WAN.round_bytes == 253_750 and LOOPBACK.round_bytes == 24_000
    assert str(WAN) == "wan: 40 ms round trip, 100 Mbit/s"
    waves = [[(0, 1, 100), (0, 2, 50), (2, 1, 120)], [(1, 2, 10)], [(-1, 0, 40)]]
    # Of one time after another: the last message waits for nobody, nor does who sends it.
    assert price(WAN, 3, waves) == 2 * 253_750 + 150
    assert price(Network("x", 2, 10**6), 3, waves) == 2 * 301 + 150
    assert price(Network("x", 2, 10**6), 3, [[(-1, 0, 400)], *waves]) == 2 * 301 + 440


def test_a_price_of_what_is_not_realised_names_it() -> None:
    model = CostModel("semi2k", protocols.load("semi2k").cards, nowhere(("a", "b", "c")), Ring(64), "zoe")
    with pytest.raises(NotRealised, match="'place'"):
        model.price(("place", 5, {"widths": (64,), "index": 3}))


def test_messages_pass_one_after_the_other_through_a_senders_line() -> None:
    """A product and its truncation, wave by wave: from 0 to 1, then 1 and 2 exchange bits, then parts."""
    model = CostModel(
        "rep3", protocols.load("rep3").cards, nowhere(("a", "b", "c"), network=WAN), Ring(64), machine=IDLE
    )
    n = 100  # few enough that the roles are not turned
    model.mul_trunc(ghost((n,)), ghost((n,)), 16)

    def passing(nbytes: int) -> float:
        return (nbytes + FRAME_BYTES) / WAN.bytes_per_s

    b, fb, bit, way = 8 * n, 2 * n, -(-n // 8), WAN.one_way_s
    first = passing(b + fb) + way
    second = first + passing(bit) + way
    ends = model.clock.ends()
    assert ends["a"] == 0
    # 1 has had the bit of 2 when it sends its own, so its part follows at once; 2 waits for that bit.
    assert ends["c"] == pytest.approx(second + passing(b))
    assert ends["b"] == pytest.approx(second + passing(b) + way)
    assert model.cost.seconds == ends["b"]
    # Two messages of one sender share its line; nobody else's are in their way.
    twice = CostModel(
        "rep3", protocols.load("rep3").cards, nowhere(("a", "b", "c"), network=WAN), Ring(64), machine=IDLE
    )
    twice.agree(Ring(64).zeros((n,)))
    assert twice.clock.ends()["b"] == pytest.approx(passing(b) + way)
    assert twice.clock.ends()["c"] == pytest.approx(2 * passing(b) + way)


def test_parties_wait_for_what_others_compute_before_they_send() -> None:
    """A product and its truncation: 0 works, then 1 and 2, three times; nobody's messages take any time."""
    near = Network("near", 1, 10**12)
    curves = {"mul": NOTHING, "mul_trunc": taking(6.0)}
    clocks = {}
    for cores in (1.0, 2 / 3, 1 / 3):
        machine = Machine(curves, cores=cores)
        party = nowhere(("a", "b", "c"), network=near)
        model = CostModel("rep3", protocols.load("rep3").cards, party, Ring(64), machine=machine)
        model.mul_trunc(ghost((100,)), ghost((100,)), 16)
        assert model.cost.working == pytest.approx({"a": 6.0, "b": 6.0, "c": 6.0})
        clocks[cores] = model.cost.seconds
    # 3 (0) before the first wave; 2 (1) before the second; 2 before the third; the rest of both.
    assert clocks[1.0] == pytest.approx(3 + 2 + 2 + 2, abs=1e-3)
    assert clocks[1.0] < clocks[2 / 3] < 18 <= clocks[1 / 3]


def test_shared_cores_do_no_more_than_they_can() -> None:
    """Three owners who work alone at the same time, on two cores: 4 seconds each are 6."""
    for cores, seconds in ((1.0, 4.0), (2 / 3, 6.0), (1 / 3, 12.0)):
        machine = Machine({"mul": NOTHING, "clear": taking(4.0)}, cores=cores)
        model = CostModel("rep3", {}, nowhere(("a", "b", "c")), Ring(64), machine=machine)
        for owner in ("a", "b", "c"):
            model.spend("clear", 1, owner)
        assert model.cost.seconds == pytest.approx(seconds, rel=0.01)  # by turns


def test_the_work_of_equations_counts_however_a_run_takes_them() -> None:
    """A run moves elements and begins tournaments by what it has prepared; what these take is counted all the same."""
    trace = Trace()
    x = trace.parameter(Aval((8, 8), "fixed", -1, 1, "secret"))
    program = trace.program([functions.max(x[::-1].T, axis=0)])
    found = {}
    for what in ("linear", "equation extreme"):
        machine = Machine({"mul": NOTHING, what: taking(1.0)}, cores=1.0)
        cost = predict(program, "rep3", Format(64, 16), ("a", "b", "c"), ("a", "b", "c"), machine=machine)
        found[what] = cost.working["a"]
    assert [e.op for e in program.eqns] == ["flip", "transpose", "extreme"]
    assert found == {
        "linear": 3.0,
        "equation extreme": 1.0,
    }  # one for each equation


def test_between_processes_of_one_machine_a_message_takes_the_waking_alone() -> None:
    machine = Machine({"mul": NOTHING}, wake_s=0.25, together=True)
    party = nowhere(("a", "b", "c"), network=WAN)
    model = CostModel("rep3", protocols.load("rep3").cards, party, Ring(64), machine=machine)
    model.mul_trunc(ghost((100,)), ghost((100,)), 16)
    assert model.cost.rounds == 3 and model.cost.seconds == 0.75


def test_a_call_takes_what_lies_between_measured_sizes() -> None:
    machine = Machine({"mul": ((10, 1.0), (20, 1.0), (40, 5.0), (50, 6.0))})
    found = [machine.processor("mul", units) for units in (0, 10, 15, 20, 30, 40, 45, 50, 100)]
    assert found == pytest.approx([1, 1, 1, 1, 3, 5, 5.5, 6, 11])


def test_what_was_not_measured_counts_as_what_is_like_it() -> None:
    kinds = Machine({"mul": taking(0.5), "factored": taking(1.0), "factored Waves": taking(2.0)})
    found = [kinds.processor(k, 1) for k in ("factored Waves", "factored Powers", "new")]
    assert found == [2.0, 1.0, 0.5]


def test_the_packages_calibration_has_a_time_for_every_functionality() -> None:
    machine = default_machine()
    assert machine.source and 0 <= machine.wake_s < 1e-3
    for protocol in ("rep3", "semi2k"):
        assert all(machine.processor(name, 1000) > 0 for name in protocols.load(protocol).cards)


@pytest.mark.parametrize("target", ["amx", "ifma", "avx2"])
def test_each_processor_has_the_calibration_of_its_instructions(
    target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_machine(Path(timing.__file__).with_name("machine.json"))
    monkeypatch.setattr(timing.kernels, "info", lambda: {"target": target})
    found = default_machine.__wrapped__()
    own = Path(timing.__file__).with_name(f"machine_{target}.json")
    assert found == (load_machine(own) if own.exists() else first).with_target(target)
    assert (found.source != first.source) == (target == "ifma")
    assert set(found.curves) == set(first.curves)


def test_the_first_time_takes_longer_than_the_next_where_that_is_measured() -> None:
    """Kind by kind, whatever comes between; a loop's first iteration is the first time, too."""
    party = nowhere(("a", "b", "c"), network=WAN)
    curves = {"mul": taking(1.0), "mul first": taking(10.0), "sign": taking(2.0), "trunc first": taking(40.0)}
    machine = Machine(curves | {"trunc": taking(3.0)})
    model = CostModel("rep3", protocols.load("rep3").cards, party, Ring(64), machine=machine)
    taken = []
    for call in (
        model.mul,
        model.mul,
        lambda x, _: model.sign(x, 9),
        model.mul,
        lambda x, _: model.trunc(x, 3),
    ):
        before = model.cost.working.get("a", 0.0)
        call(ghost((100,)), ghost((100,)))
        taken.append(model.cost.working["a"] - before)
    assert taken == [10.0, 1.0, 2.0, 1.0, 40.0]


def test_a_narrower_result_takes_less() -> None:
    """Curves of products are by what passes, of which their results' bits are a part."""
    party, curve = nowhere(("a", "b", "c")), ((0.0, 0.0), (1e6, 1.0))
    seconds = []
    for into in (24, 64):
        machine = Machine({"mul": curve, "mul_into": curve})
        model = CostModel("rep3", protocols.load("rep3").cards, party, Ring(64), machine=machine)
        model.mul_into(ghost((100,)), ghost((100,)), 16, Ring(into))
        seconds.append(model.cost.working["a"])
        assert seconds[-1] == pytest.approx(model.cost.total_bytes / 1e6)
    assert seconds[0] < seconds[1]


def test_products_count_by_the_instruction_set_that_multiplies() -> None:
    curves = {
        "mul": taking(0.5),
        "products": taking(1.0),
        "products old": taking(9.0),
        "public products": taking(2.0),
    }
    old, new = (Machine(curves).with_target(target) for target in ("old", "new"))
    assert [old.processor(k, 1) for k in ("products", "public products", "mul")] == [9.0, 2.0, 0.5]
    assert new == Machine(curves)
    known = default_machine().with_target("avx2").curves
    assert (
        known["products"] == known["products avx2"] != default_machine().with_target("amx").curves["products"]
    )


def test_products_with_vectors_and_of_matrices_count_by_what_they_read_and_multiply() -> None:
    model = CostModel("rep3", protocols.load("rep3").cards, nowhere(("a", "b", "c")), Ring(64), machine=IDLE)
    model.matmul(ghost((30, 20)), ghost((20, 1)))
    model.matmul_trunc(ghost((1, 20)), ghost((20, 5)), 16)
    model.matmul(ghost((4, 30, 20)), ghost((20, 5)))
    assert model.cost.units == {"vectors": 600 + 100, "operands": 2400 + 100, "products": 12_000}


def test_a_calibration_file(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(default_machine().content()), encoding="utf-8")
    assert load_machine(path) == default_machine()
    good = {"cores": 1, "source": "", "wake_s": 0, "curves": {"mul": [[1, 0], [2, 1]]}}
    path.write_text(json.dumps(good), encoding="utf-8")
    assert load_machine(path).processor("mul", 2) == 1
    for part, bad in (
        ("cores", 0), ("wake_s", -1), ("wake_s", 1), ("wake_s", None), ("curves", {}), ("curves", [1]),
        ("curves", {"sign": [[1, 0], [2, 1]]}), ("curves", {"mul": [[1, 0]]}), ("curves", {"mul": []}),
        ("curves", {"mul": [[2, 0], [1, 1]]}), ("curves", {"mul": [[1, 0], [1, 1]]}), ("curves", {"mul": [[1], [2]]}),
        ("curves", {"mul": [[1, 1], [2, 0]]}), ("curves", {"mul": [[1, -1], [2, 0]]}),
    ):  # fmt: skip
        path.write_text(json.dumps(good | {part: bad}), encoding="utf-8")
        with pytest.raises(DataError, match="calibration"):
            load_machine(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="calibration"):
        load_machine(path)


def test_work_grows_with_what_a_functionality_does() -> None:
    sizes = {"planes": 3, "bits": 40, "terms": 22, "width": 41, "inner": 7, "widths": (64, 3), "f": 16}
    kinds = ("and_", "sign", "dot", "place", "trunc_exact", "to_arith", "combine")
    assert [work(name, 10, sizes) for name in kinds] == [30, 400, 70, 20, 160, 10, 670]
    # What exchanges numbers takes as long as these are, whatever else it is given.
    assert {work(name, 10, sizes, sent=1234) for name in ("mul", "matmul_into", "factored")} == {1234}
    # Elements of a wider ring are more words to pass; bits are bits in every ring.
    assert [work(name, 10, sizes, 128) for name in ("to_arith", "dot", "sign")] == [15, 105, 400]
