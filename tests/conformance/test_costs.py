"""The cost gate: the meter counts what the card says, byte for byte, link by link, round for round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
import pytest
from conformance_cases import EXACT, ROUNDED, ROW_SHAPES, cases, columns

from tacit import protocols, testing
from tacit.algebra.ring import Ring
from tacit.core.cost import Cost, CostModel
from tacit.core.party import Party
from tacit.core.protocol import Card, Pieces, Protocol, Wave, deepen
from tacit.core.timing import LOOPBACK, PRESETS, Network
from tacit.crypto.prg import KeyRing
from tacit.errors import NotRealised, RangeError
from tacit.gadgets import sort
from tacit.gadgets.places import greatest_place
from tacit.gadgets.tournament import greatest, running
from tacit.net.memory import Hub
from tacit.protocols.rep3.cards import REPEATING
from tacit.protocols.rep3.turns import TURNED_FROM, pieces
from tacit.testing import NAMES

SEED = 7
SETTINGS = [*testing.settings(2, 3, 5), ("clear", 1, "")]
CLIENTS = ("carl", "cleo")
PERMUTED = ("digit_ranks", "place", "fetch")


def metered(
    protocol: str, width: int, fn: Callable[[Any], Any], n: int, dealer: str, network: Network = LOOPBACK
) -> Cost:
    """Run `fn` for real and return what the meters counted."""
    clients = CLIENTS if protocols.entry(protocol).client else ()
    hub = Hub((*NAMES[:n], *clients, *((dealer,) if dealer else ())))
    testing.run(protocol, width, fn, n=n, clients=clients, dealer=dealer, hub=hub, network=network)
    cost = Cost()
    for name in hub.names:
        meter = hub.mesh(name).meter
        cost.depth[name] = meter.rounds
        cost.links.update({(name, to): t.payload_sent for to, t in meter.peers.items() if t.frames_sent})
    return cost


def predicted(
    protocol: str, width: int, fn: Callable[[Any], Any], n: int, dealer: str, network: Network = LOOPBACK
) -> Cost:
    """Walk `fn` on shapes and return what the cards say."""
    party = Party("the model", NAMES[:n], None, KeyRing({}, b""), network=network)  # type: ignore[arg-type]
    model = CostModel(protocol, protocols.load(protocol).cards, party, Ring(width), dealer)
    fn(model)
    return model.cost


def check(protocol: str, width: int, fn: Callable[[Any], Any], n: int, dealer: str, what: str) -> None:
    real, model = (f(protocol, width, fn, n, dealer) for f in (metered, predicted))
    assert +Counter(real.links) == +Counter(model.links), f"{protocol} {width} {what}: bytes"
    assert real.rounds == model.rounds, f"{protocol} {width} {what}: rounds"


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
@pytest.mark.parametrize("width", [63, 64, 128])
@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_functionality(protocol: str, n: int, dealer: str, width: int, name: str) -> None:
    if name in PERMUTED and name not in protocols.load(protocol).cards:
        pytest.skip(f"{protocol} does not realise {name}")
    for case in cases(name, Ring(width), SEED):
        check(protocol, width, case.run, n, dealer, f"{name} {case.tag}")


@pytest.mark.parametrize("width", [63, 64, 128])
@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS[:-1])
def test_input_and_reveal(protocol: str, n: int, dealer: str, width: int) -> None:
    ring, shape = Ring(width), (5, 13)
    everyone = (*NAMES[:n], *CLIENTS)
    for owner in everyone:
        for to in ([], ["alice"], [NAMES[n - 1]], ["carl"], list(CLIENTS), ["cleo", "bob"], list(everyone)):

            def body(p: Any, owner: str = owner, to: list[str] = to) -> None:
                mine = p.party.name == owner
                for _ in range(2):  # a client's seeds are sent once
                    x = p.share_input(owner, ring.zeros(shape) if mine else None, shape)
                    b = p.share_bits(owner, np.zeros(shape, np.uint8) if mine else None, shape)
                p.reveal(x, to)
                p.reveal_bits(b, to)

            check(protocol, width, body, n, dealer, f"input by {owner}, reveal to {to}")


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS[:-1])
def test_rounds_of_a_whole_program(protocol: str, n: int, dealer: str) -> None:
    """Causal depth over several calls, where messages of one overlap those of the next."""

    def body(p: Any) -> None:
        ring, name = p.ring, p.party.name
        x = p.share_input("carl", ring.zeros((4, 16)) if name == "carl" else None, (4, 16))
        y = p.share_input("bob", ring.zeros((16, 4)) if name == "bob" else None, (16, 4))
        z = p.matmul_trunc(x, y, 12)
        z = p.trunc(p.mul(z, z), 3).reshape(16)
        lower = p.sign(z, 20)
        z = p.mul_trunc(p.select(lower, z), z, 5)
        bits = p.decompose(z, 9)
        again = p.to_arith(p.and_(bits[:4], bits[4:8]))
        p.trunc_exact(p.sum(again, (0,)), 3)
        p.reveal(z, ["cleo", "alice"])
        p.reveal_bits(p.unpack(p.is_zero(z, 30), (16,)), ["carl"])

    check(protocol, 64, body, n, dealer, "whole program")


@pytest.mark.parametrize(
    ("blocks", "rows", "bits"), [(1, 3, 0), (1, 1, 5), (2, 70, 33), (1, 3000, 20), (1, 9000, 7)]
)
def test_sorting(blocks: int, rows: int, bits: int) -> None:
    """Gadgets over narrower rings are counted as they run."""

    def body(p: Any) -> None:
        n = blocks * rows
        x = testing.scatter(p, p.ring.zeros((n,)))
        held = columns(p, Ring(64), np.random.default_rng(SEED), blocks, rows)
        at = sort.order(p, p.decompose(x, bits) if bits else None, blocks, rows)
        p.place(at, p.fetch(at, held))
        sort.fill(p, p.sign(x, 20), held)

    check("rep3", 64, body, 3, "", f"sort of {blocks} x {rows}, {bits} bits")


@pytest.mark.parametrize("network", PRESETS.values(), ids=str)
@pytest.mark.parametrize(("rows", "width"), [(2, 40), (7, 3), (60, 1), (1500, 1), (20_000, 1)])
@pytest.mark.parametrize(("protocol", "n", "dealer"), testing.settings(2))
def test_tournaments(protocol: str, n: int, dealer: str, rows: int, width: int, network: Any) -> None:
    """Every participant chooses the same groups, on every network, and they cost what the cards say."""

    def body(p: Any) -> None:
        p.party.network = network
        x = testing.scatter(p, p.ring.zeros((rows, width)))
        greatest(p, x, 20, -(1 << 19))
        greatest_place(p, x, 20)
        running(p, x, 20)

    check(protocol, 64, body, n, dealer, f"tournament of {rows} x {width}")


# -- cards ---------------------------------------------------------------------------------------------------

FUNCTIONALITIES = (
    "share_input", "share_bits", "reveal", "reveal_bits", "mul", "matmul", "trunc", "trunc_exact",
    "mul_trunc", "matmul_trunc", "and_", "and_all", "sign", "is_zero", "decompose", "to_arith", "select",
    "dot", "digit_ranks", "shuffle", "place", "fetch", "factored", "below", "combine", "mul_into",
    "mul_early", "matmul_early", "select_trunc", "matmul_into", "trunc_into", "select_narrowed",
)  # fmt: skip


@pytest.mark.parametrize("protocol", protocols.REGISTRY)
def test_every_realised_functionality_has_a_full_card(protocol: str) -> None:
    cls = protocols.load(protocol)
    for name in FUNCTIONALITIES:
        if getattr(cls, name) is getattr(Protocol, name) and name not in cls.cards:
            continue
        card = cls.cards[name]
        assert card.functionality == name and card.protocol == protocol
        for field in fields(Card):
            assert getattr(card, field.name) or field.name == "patient", (
                f"{protocol} {name}: {field.name} is empty"
            )
        assert card.bits(Ring(64), 3) and card.rounds(Ring(64)) >= 0
    assert set(cls.cards) - set(FUNCTIONALITIES) <= {"agree"}


def test_rep3_card_figures_cited_in_the_decision_record() -> None:
    """Bits are those of a large array, rounds those of a small one: on loopback, they are of different variants."""
    cards, ring = protocols.load("rep3").cards, Ring(64)

    def figures(name: str, **sizes: int) -> tuple[int, int]:
        return round(sum(cards[name].bits(ring, 3, **sizes))), cards[name].rounds(ring, **sizes)

    assert figures("mul") == (192, 1)
    assert figures("mul_early") == (192, 2)
    assert figures("matmul_early") == (192, 2)
    assert figures("select_trunc", f=16) == (3 * 64 + 2 * 16 + 2 * 64, 2)
    assert figures("mul_trunc", f=16) == (210, 3)
    assert figures("trunc", f=16) == (112, 2)
    assert figures("sign", bits=62) == (331, 3)
    assert figures("sign", bits=31) == (162, 3)
    assert figures("is_zero", bits=62) == (245, 3)
    assert figures("to_arith") == (192, 2)
    assert figures("select") == (256, 2)
    assert figures("and_all", planes=8) == (21, 2)
    assert figures("decompose", bits=64) == (765, 5)
    assert figures("trunc_exact", f=16) == (390, 5)
    assert figures("dot") == (192, 1)
    assert figures("factored", terms=22, width=41, shift=23) == (22 * 41 + 46 + 2 + 2 * 64, 3)
    assert figures("mul_into", f=16) == (64 + 16 + 2 + 2 * 64, 3)
    assert figures("mul_into", f=16, into=48) == (64 + 2 * 48, 2)
    assert figures("matmul_into", f=16, into=20) == (64 + 2 * 20, 2)
    assert figures("matmul_into", f=16, into=49) == (64 + 1 + 2 + 2 * 49, 3)
    assert figures("trunc_into", f=16, into=20) == (20, 1)
    assert figures("select_narrowed") == (5 * 64, 2)
    assert figures("below", bits=26, at=(23, 21, 19, 17, 15, 13, 11)) == (37 + 2 * 8 + 3 * 12, 3)
    assert figures("combine", planes=7, widths=(64, 27)) == ((7 * 64 + 2 * 91) / 7, 2)
    assert figures("shuffle") == (256, 2)
    assert figures("place", widths=(49,), index=17) == (4 * 49 + 6 * 17, 2)
    assert figures("fetch", widths=(64,), index=17) == (4 * 64 + 6 * 17, 4)


# -- refusals come before any message ------------------------------------------------------------------------


def _refused(
    protocol: str, fn: Callable[[Any], Any], error: type[Exception], n: int = 3, dealer: str = ""
) -> str:
    """Run `fn`, which every compute party, and the dealer, must refuse before any message; return what one says."""
    outside = ("carl",) if protocols.entry(protocol).client else ()
    hub, seen = Hub((*NAMES[:n], *outside, *((dealer,) if dealer else ())), record=True), {}

    def body(p: Any) -> None:
        try:
            fn(p)
        except error as caught:
            seen[p.party.name] = str(caught)

    testing.run(protocol, 64, body, n=n, clients=outside, dealer=dealer, hub=hub)
    assert {*NAMES[:n], *((dealer,) if dealer else ())} <= set(seen) and not hub.records, seen
    return seen["alice"]


@pytest.mark.parametrize("width", [63, 64, 128])
def test_shuffle(width: int) -> None:
    for blocks, rows in ROW_SHAPES:

        def body(p: Any, blocks: int = blocks, rows: int = rows) -> None:
            p.shuffle(columns(p, Ring(width), np.random.default_rng(SEED), blocks, rows))

        check("rep3", width, body, 3, "", f"shuffle of {blocks} x {rows}")


@pytest.mark.parametrize("name", [n for n in (*EXACT, *ROUNDED) if n not in PERMUTED])
def test_without_a_dealer_products_are_not_realised(name: str) -> None:
    case = cases(name, Ring(64), SEED)[-1]
    message = _refused("semi2k", case.run, NotRealised)
    assert "dealer" in message and "rep3" in message
    with pytest.raises(NotRealised, match="dealer"):
        predicted("semi2k", 64, case.run, 3, "")


@pytest.mark.parametrize(
    "name", [n for n in FUNCTIONALITIES if n not in ("mul_trunc", "matmul_trunc", "dot", "and_all")]
)
def test_an_unrealised_functionality_names_itself(name: str) -> None:
    party = Party("alice", ("alice",), None, KeyRing({}, b""))  # type: ignore[arg-type]
    bare = Protocol(party, Ring(64))
    counts = {
        "share_input": 3,
        "share_bits": 3,
        "to_arith": 1,
        "digit_ranks": 3,
        "shuffle": 1,
        "below": 3,
        "combine": 3,
        "mul_into": 4,
        "matmul_into": 4,
        "trunc_into": 3,
        "select_trunc": 3,
    }
    arguments = counts.get(name, 2)
    with pytest.raises(NotRealised, match=name):
        getattr(bare, name)(*([None] * arguments))


SHIFTING = ("trunc", "trunc_exact", "mul_trunc", "matmul_trunc", "narrowed", "select_trunc", "trunc_into")


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
@pytest.mark.parametrize(
    ("name", "amount"),
    [*product(SHIFTING, (-1, 63)), ("sign", 64), ("is_zero", 65), ("decompose", 65), ("decompose", 0)],
)
def test_impossible_amounts_are_refused_by_all(
    protocol: str, n: int, dealer: str, name: str, amount: int
) -> None:
    cls = protocols.load(protocol)
    if name not in cls.cards and getattr(cls, name) is getattr(Protocol, name):
        pytest.skip(f"{protocol} does not realise {name}")

    def body(p: Any) -> None:
        x = testing.scatter(p, Ring(64).zeros((4, 4)))
        first = [p.pack(p.constant_bits(np.ones(16, np.uint8)))] if name == "select_trunc" else []
        operands = [x, x] if "mul_" in name else [*first, x.reshape(16)]
        getattr(p, name)(*operands, amount, *([Ring(1)] if name == "trunc_into" else []))

    assert str(amount) in _refused(protocol, body, RangeError, n, dealer) or name == "sign"


def test_party_counts_and_dealers_are_checked() -> None:
    from tacit.errors import UsageError

    with pytest.raises(UsageError, match="three"):
        testing.run("rep3", 64, lambda p: None, n=4)
    with pytest.raises(UsageError, match="two"):
        testing.run("semi2k", 64, lambda p: None, n=1)
    party = Party("alice", NAMES[:3], None, KeyRing({}, b""))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="deal"):
        protocols.load("semi2k")(party, Ring(64), dealer="bob")  # type: ignore[call-arg]


@pytest.mark.parametrize("width", [64, 100])
def test_turned_roles(width: int) -> None:
    """Large arrays are worked on in thirds with the roles turned: bytes and rounds stay exact, results right."""

    def body(p: Any) -> Any:
        n = TURNED_FROM + 77
        values = p.ring.encode_ints(np.arange(n) * 3 - 9000)
        x = testing.scatter(p, values)
        # A round that only some parties take part in, so that their depths differ.
        p.reveal(x[:1], ["bob"])
        low = p.sign(x, 20)
        y = p.mul_trunc(p.select(low, x), x, 5)
        bits = p.decompose(p.trunc(y, 3), 9)
        p.trunc_exact(p.to_arith(bits[:2]), 1)
        p.is_zero(y, 11)
        return y

    check("rep3", width, body, 3, "", "large arrays")
    ring = Ring(width)
    got = ring.to_ints(testing.gather(testing.run("rep3", width, body), "rep3", ring))
    x = np.arange(TURNED_FROM + 77) * 3 - 9000
    right = np.where(x < 0, x * x, 0) >> 5
    off = np.asarray(got - right, np.int64)
    assert off.min() >= 0 and off.max() <= 1


@pytest.mark.parametrize("behind", NAMES[:3])
@pytest.mark.parametrize(
    ("n", "step", "found", "trip_us"),
    [
        (0, 0, 3, 0),
        (1250, 448, 3, 100),
        (1250, 384, 5, 100),
        (1315, 384, 6, 100),
        (1250, 64, 20, 100),
        (1250, 640, 2, 40_000),  # of one role
        (1250, 64, 20, 40_000),
    ],
)
def test_depths_of_turned_roles(
    behind: str, n: int, step: int, found: int, trip_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parties begin at depths far apart, and work on thirds or blocks: each one's depth is as predicted."""
    network = Network("link", trip_us, 10**8 if trip_us > 100 else 10**7) if n else LOOPBACK
    monkeypatch.setattr("tacit.protocols.rep3.turns.BLOCK_BYTES", 8 * step)
    n = n or TURNED_FROM
    assert len(pieces(n, network, 64)) == found

    def body(p: Any) -> Any:
        x = testing.scatter(p, p.ring.encode_ints(np.arange(n) % 900 - 450))
        for steps in (3, 1, 2):
            for _ in range(steps):
                p.reveal(x[:1], [behind])
            y = p.mul_trunc(x, x, 5)
            p.reveal(x[:1], [behind])
            low = p.sign(y, 20)
            p.reveal(x[:1], [behind])
            p.trunc(p.select(low, x), 3)

    real, model = (f("rep3", 64, body, 3, "", network) for f in (metered, predicted))
    assert {k: real.depth[k] for k in NAMES[:3]} == {k: model.depth[k] for k in NAMES[:3]}
    assert +Counter(real.links) == +Counter(model.links)


def test_more_blocks_than_are_played_out_make_no_party_deeper() -> None:
    """Of two exchanges after the first message, from all depths: three blocks of each third are enough."""
    waves = [[(0, 1)], [(1, 2), (2, 1)], [(1, 2), (2, 1)]]

    def depths(begin: tuple[int, ...], order: tuple[int, ...]) -> dict[int, int]:
        depth = dict(enumerate(begin))
        run: list[Wave] = []
        for number, wave in enumerate(waves):
            run.append(Pieces(number, order, 1))
            run[-1] += [((a + r) % 3, (b + r) % 3, 0) for r in range(3) for a, b in wave]
        deepen(depth, run, lambda place: place)
        return depth

    for begin in product(range(6), repeat=3):
        for pieces_left in range(10, 20):
            order = (0, 1, 2) * 7
            assert depths(begin, order[:pieces_left]) == depths(begin, order[:REPEATING]), (
                begin,
                pieces_left,
            )
    assert depths((0, 0, 1), order[:6]) != depths((0, 0, 1), order)


def test_turned_roles_even_out_the_traffic() -> None:
    def sent(n: int) -> list[int]:
        model = predicted("rep3", 64, lambda p: p.sign(testing.scatter(p, p.ring.zeros((n,))), 62), 3, "")
        return [model.sent_by(name) for name in NAMES[:3]]

    small, large = sent(1 << 12), sent(3 << 16)
    assert max(small) > 2 * min(small)
    assert max(large) - min(large) <= 3 and sum(large) * 8 == 331 * (3 << 16)
