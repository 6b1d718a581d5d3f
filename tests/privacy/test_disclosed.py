"""What reveals and truncations disclose is what their cards say; planted mistakes are caught.

F_reveal: the recipients learn x. Without a corrupted recipient nothing is learned; with one, the view is a
function of x, the corrupted parties' input shares and fresh coins: the same for every history of x's sharing.

F_trunc: the adversary is told ρ, uniform below 2^f where x's sharing is uniform, and the result is
floor(x/2^f) + 1 − [x mod 2^f < ρ] (x offset to be non-negative). Each party's ρ is the low part of the
operand it knows: the result, though it stays shared, is a function of the secret and of each party's view.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from privacy_lanes import Key, Lab, Program, Setting, World, draws, enumerate_lanes
from privacy_trials import TRIALS, Trial, check, values
from privacy_widths import NARROWING

from tacit.algebra.ring import Ring
from tacit.core.share import Share
from tacit.kernels import Masks
from tacit.protocols import load
from tacit.protocols.rep3 import arithmetic
from tacit.testing import NAMES, gather, settings

REP3 = Setting("rep3", 2, clients=("carl",))
SEMI2K = Setting("semi2k", 2, 3, clients=("carl",))
EVERY = [Setting(protocol, 2, n, clients=("carl",)) for protocol, n, _ in settings(3)]


def trial(name: str, protocol: str = "rep3") -> Trial:
    """Return the first trial of that name."""
    return next(t for t in (*TRIALS, *NARROWING) if t.name == name and t.setting.protocol == protocol)


# -- reveal --------------------------------------------------------------------------------------------------


def _reveal(secret: int, to: list[str], bits: bool = False) -> Program:
    def program(p: Any, lab: Lab) -> Any:
        if bits:
            return p.reveal_bits(p.unpack(lab.share_bit(secret), (lab.world.lanes,)), to)
        return p.reveal(lab.share(secret), to)

    return program


@pytest.mark.parametrize("setting", EVERY, ids=lambda setting: setting.protocol)
@pytest.mark.parametrize("to", [["bob"], ["carl"], ["carl", "alice"]])
@pytest.mark.parametrize("bits", [False, True])
def test_reveal_tells_the_others_nothing(setting: Setting, to: list[str], bits: bool) -> None:
    blind = [n for n in NAMES[: setting.n] if n not in to]
    first: dict[str, Any] = {}
    for secret in range(2 if bits else 4):
        world, got = enumerate_lanes(setting, _reveal(secret, to, bits))
        for name in blind:
            assert got[name] is None
            assert np.array_equal(world.view([name]), first.setdefault(name, world.view([name])))
        for name in to:
            assert np.all(got[name] == secret)


def _histories(width: int, n: int) -> list[dict[tuple[int, int], int]]:
    """Return all sharings of a secret in n components as pins that leave the last component free."""
    return [{(0, c): v for c, v in enumerate(held)} for held in product(range(1 << width), repeat=n - 1)]


@pytest.mark.parametrize("setting", EVERY, ids=lambda setting: setting.protocol)
@pytest.mark.parametrize("bits", [False, True])
def test_a_client_sees_the_sum_alone_whatever_the_history(setting: Setting, bits: bool) -> None:
    for secret in range(2 if bits else 4):
        views = [
            enumerate_lanes(setting, _reveal(secret, ["carl"], bits), pins)[0].view(["carl"])
            for pins in _histories(1 if bits else 2, setting.n)
        ]
        assert all(np.array_equal(v, views[0]) for v in views)


@pytest.mark.parametrize("recipient", ["carl", "bob"])
def test_an_additive_recipient_with_a_corrupted_party_sees_no_honest_share(recipient: str) -> None:
    """Alice's share is fixed; the two honest ones may be any with the right sum."""
    for secret in range(4):
        for own in range(4):
            names = ["alice", recipient]
            views = []
            for other in range(4):
                pins = {(0, 0): own, (0, 1): other} if recipient == "carl" else {(0, 0): own, (0, 1): 1}
                setting = SEMI2K if recipient == "carl" else Setting("semi2k", 2, 4, clients=("carl",))
                if recipient == "bob":
                    pins[0, 2] = other
                views.append(enumerate_lanes(setting, _reveal(secret, [recipient]), pins)[0].view(names))
            assert all(np.array_equal(v, views[0]) for v in views)


def test_a_replicated_recipient_learns_the_value_and_no_more() -> None:
    """What bob is sent is the component that he can compute from x and his own two."""
    for secret in range(4):
        world, _ = enumerate_lanes(REP3, _reveal(secret, ["bob"]))
        seen = world.views["bob"]
        own = [v for k, (v, _) in seen.items() if k[0] == "share"]
        (sent,) = [v for k, (v, _) in seen.items() if k[0] == "sent"]
        assert np.array_equal((sum(own) + sent) % 4, np.full(world.lanes, secret, np.uint64))


# -- truncation ----------------------------------------------------------------------------------------------


def _floor_and_rest(secret: int, width: int, f: int) -> tuple[int, int]:
    offset = secret - 1 + (1 << (width - 2))
    return (offset >> f) - (1 << (width - 2 - f)), offset % (1 << f)


def _check_rounding(setting: Setting, f: int, secret: int, got: dict[str, Any], rho: list[Any]) -> None:
    ring = Ring(setting.width)
    out = ring.to_ints(gather({n: got[n][0] for n in NAMES[: setting.n]}, setting.protocol, ring, setting.n))
    floor, rest = _floor_and_rest(secret, setting.width, f)
    for known in rho:
        assert np.array_equal(out, floor + 1 - (rest < known.astype(np.int64)))


@pytest.mark.parametrize(("width", "f"), [(3, 1), (4, 1), (4, 2)])
def test_rounding_of_trunc_is_a_function_of_each_partys_operand(width: int, f: int) -> None:
    setting, low = Setting("rep3", width), np.uint64((1 << f) - 1)
    for secret in range(1 - (1 << (width - 2)), 1 << (width - 2)):

        def program(p: Any, lab: Lab, secret: int = secret) -> tuple[Share, Share]:
            x = lab.share(secret)
            return p.trunc(x, f), x

        _, got = enumerate_lanes(setting, program)
        x0, x1 = got["alice"][1].parts
        x2 = got["bob"][1].parts[1]
        # The carry is 1 iff rest < b's low part iff rest < a's, offset included.
        a = (x0 + x1 + np.uint64((1 << (width - 2)) - 1)) & low
        _check_rounding(setting, f, secret, got, [x2 & low, a])


@pytest.mark.parametrize("protocol", [protocol for protocol, _, _ in settings(3)])
def test_a_card_says_so_where_how_a_truncation_is_rounded_is_told(protocol: str) -> None:
    """Told: among runs on one secret, the result, opened, is not the same whatever a party sees before."""
    of, told = trial("trunc", protocol), False
    for secrets in of.secrets:
        world, got = enumerate_lanes(of.setting, of.program(secrets))
        ring = Ring(of.setting.width)
        out = ring.to_ints(gather(got, protocol, ring, of.setting.n)).astype(float)
        for name in NAMES[: of.setting.n]:
            seen = np.zeros(world.lanes, np.uint64)
            for column, bits in world.views[name].values():
                seen = np.unique(seen << np.uint64(bits) | column, return_inverse=True)[1].astype(np.uint64)
            view = seen.astype(np.int64)
            means = np.bincount(view, out) / np.bincount(view)
            told |= not np.allclose(means, means[0])
    assert told != load(protocol).cards["trunc"].leaks.startswith("nothing")


@pytest.mark.parametrize("factors", [s for s in values(-2, 2, 2) if -2 < s[0] * s[1] < 2])
def test_rounding_of_mul_trunc(factors: tuple[int, int]) -> None:
    """The rounding depends on P2's part, in which ρ is P0's and P2's draw, and r is P1's and P2's."""
    width, f, secret = 3, 1, factors[0] * factors[1]
    setting = Setting("rep3", width)

    def program(p: Any, lab: Lab) -> tuple[Share, Share]:
        x, y = lab.share(factors[0]), lab.share(factors[1])
        return p.mul_trunc(x, y, f), x

    pins = {(0, 0): 3, (0, 1): 6, (1, 0): 1, (1, 1): 5}
    world, got = enumerate_lanes(setting, program, pins)
    rho = world.digits(("draw", "alice", "carol", "rep3/product", "000"), width)
    x0, y0 = pins[0, 0], pins[1, 0]
    x2, y2 = (v - pins[i, 0] - pins[i, 1] for i, v in enumerate(factors))
    r = world.digits(("draw", "bob", "carol", "rep3/rounding", "000"), f)
    part = rho + r + np.uint64((x2 * (y2 + y0) + x0 * y2) % 2**width)
    _check_rounding(setting, f, secret, got, [part & np.uint64(1)])


@pytest.mark.parametrize(("width", "f", "into"), [(3, 1, 2), (3, 1, 1), (4, 1, 3), (4, 2, 2), (4, 2, 1)])
def test_rounding_into_fewer_bits_is_that_of_trunc(width: int, f: int, into: int) -> None:
    """For every number, by the same operands, whether all is kept or a bit selects it."""
    setting, low, ring = Setting("rep3", width), np.uint64((1 << f) - 1), Ring(into)
    for secret in range(-(1 << (width - 1)), 1 << (width - 1)):

        def program(p: Any, lab: Lab, secret: int = secret) -> tuple[Share, Share, Share]:
            x, q = lab.share(secret), p.over(ring)
            ones = p.pack(p.constant_bits(np.ones(lab.world.lanes, np.uint8)))
            return p.trunc_into(x, f, ring), q.select_narrowed(ones, p.narrowed(x, f)), x

        def few(key: Key) -> bool:
            return key[-2] == "rep3/select-narrowed"  # hides no rounding

        _, got = enumerate_lanes(setting, program, None, few)
        x0, x1 = got["alice"][2].parts
        x2 = got["bob"][2].parts[1]
        a = (x0 + x1 + np.uint64((1 << (width - 2)) - 1)) & low
        floor, rest = _floor_and_rest(secret, width, f)
        for known in (x2 & low, a):
            want = ring.encode_ints(floor + 1 - (rest < known.astype(np.int64)))
            for i in (0, 1):
                assert np.array_equal(gather({n: got[n][i] for n in NAMES[:3]}, "rep3", ring), want)


PRODUCT = {"mul_trunc": "rep3/product", "matmul_trunc": "rep3/product"}
"""The stream that a product's ρ is drawn from, where it is not that of those into other rings."""
ROUNDED = [(name, 4) for name in PRODUCT] + [
    (name, into) for name in ("mul_into", "matmul_into") for into in (4, 2, 1)
]


def _seen_by_the_first_party(name: str, into: int, left_out: Any) -> list[Any]:
    """Count what P0 knows of an opened product's rounding, with the result: for other factors of the same product."""
    width, f, seen = 4, 2, list[Any]()
    pins, ring = {(0, 0): 3, (0, 1): 8, (1, 0): 5, (1, 1): 10}, Ring(into)
    more = [(3, 6), (-6, -3)] if into <= width - f else []  # 18: what passes those bits is lost there
    for factors in ((1, 2), (2, 1), (-1, -2), (-2, -1), *more):

        def program(p: Any, lab: Lab, factors: tuple[int, ...] = factors) -> Share:
            shape = (-1, 1, 1) if name.startswith("matmul") else (-1,)
            x, y = (lab.share(v).reshape(*shape) for v in factors)
            rest = () if name in PRODUCT else (ring,)
            return getattr(p, name)(x, y, f, *rest).reshape(-1)

        world, got = enumerate_lanes(Setting("rep3", width), program, pins, left_out)
        rho = world.digits(("draw", "alice", "carol", PRODUCT.get(name, "rep3/mul-into"), "000"), width)
        known = rho << np.uint64(width) | gather(got, "rep3", ring)
        seen.append(np.bincount(known.astype(np.int64), minlength=4**width) * 2**20 // world.lanes)
    return seen


@pytest.mark.parametrize(("name", "into"), ROUNDED)
def test_how_an_opened_product_is_rounded_tells_the_first_party_nothing_of_its_factors(
    name: str, into: int
) -> None:
    """It knows ρ and how P2's part depends on the factors, so P1 and P2 move a draw of theirs between the parts."""
    seen = _seen_by_the_first_party(name, into, lambda key: False)
    assert all(np.array_equal(counts, seen[0]) for counts in seen)


@pytest.mark.parametrize(("name", "into"), ROUNDED)
def test_planted_product_without_the_draw_that_hides_how_it_is_rounded(name: str, into: int) -> None:
    seen = _seen_by_the_first_party(name, into, without("rep3/rounding"))
    assert not all(np.array_equal(counts, seen[0]) for counts in seen)


def test_how_a_product_that_is_rounded_later_tells_the_first_party_nothing_of_its_factors() -> None:
    """It knows a, which is drawn for the product alone, and so the value opened is a function of z and a."""
    width, f, seen = 4, 2, list[Any]()
    pins = {(0, 0): 3, (0, 1): 8, (1, 0): 5, (1, 1): 10}
    for factors in ((1, 2), (2, 1), (-1, -2), (-2, -1)):

        def program(p: Any, lab: Lab, factors: tuple[int, ...] = factors) -> tuple[Share, Share]:
            z = p.mul_early(*(lab.share(v) for v in factors))
            ones = p.constant_bits(np.ones(lab.world.lanes, np.uint8))
            return p.select_trunc(p.pack(ones), z, f), z

        def few(key: Key) -> bool:
            return key[-2] == "rep3/select-trunc"  # what it draws, the other test's matter, hides no rounding

        _, got = enumerate_lanes(Setting("rep3", width), program, pins, few)
        a = np.asarray(sum(got["alice"][1].parts), np.uint64) % np.uint64(1 << width)
        out = gather({n: got[n][0] for n in NAMES[:3]}, "rep3", Ring(width))
        b = got["bob"][1].parts[1]
        offset = a + np.uint64((1 << (width - 2)) - 1)
        low = np.uint64((1 << f) - 1)
        _check_rounding(
            Setting("rep3", width),
            f,
            factors[0] * factors[1],
            {n: (got[n][0],) for n in NAMES[:3]},
            [b & low, offset & low],
        )
        seen.append(np.bincount((a << np.uint64(width) | out).astype(np.int64), minlength=4**width))
    assert all(np.array_equal(counts, seen[0]) for counts in seen)


def _mul_trunc_trial(turned: int = 0, name: str = "mul_trunc") -> Trial:
    pairs = [s for s in values(-2, 2, 2) if -2 < s[0] * s[1] < 2]

    def of(s: tuple[int, ...]) -> Program:
        def program(p: Any, lab: Lab) -> Share:
            x, y = (lab.share(v).reshape(-1, *((1, 1) if name == "matmul_trunc" else ())) for v in s)
            return getattr(p.turned(turned), name)(x, y, 1).reshape(-1)

        return program

    return Trial(name, Setting("rep3", 3), of, pairs, None, pinned=3)


@pytest.mark.parametrize("name", ["mul_trunc", "matmul_trunc"])
@pytest.mark.parametrize("turned", [0, 1, 2])
def test_mul_trunc_is_private_and_needs_every_mask(turned: int, name: str) -> None:
    planted = _mul_trunc_trial(turned, name)
    check(planted)
    for left_out in draws(planted.setting, planted.program((0, 0))):
        if left_out[-2].startswith("rep3/rounding"):
            continue  # it hides how an opened product is rounded, above
        with pytest.raises(AssertionError, match="depends on the secrets"):
            check(planted, lambda key, left_out=left_out: key == left_out)  # type: ignore[misc]


def test_rounding_of_the_additive_trunc_is_a_function_of_the_opened_value() -> None:
    width, f = 3, 1
    setting = Setting("semi2k", width, 2, "zoe")
    for secret in range(-1, 2):

        def program(p: Any, lab: Lab, secret: int = secret) -> tuple[Share, Share]:
            return p.trunc(lab.share(secret), f), lab.share(0)

        world, got = enumerate_lanes(setting, program)
        r = sum(world.digits(("draw", *sorted((n, "zoe")), "semi2k/deal", "000"), width) for n in NAMES[:2])
        opened = (np.uint64((secret - 1) % 8) + np.uint64(1 << (width - 2)) + r) & np.uint64(1)
        _check_rounding(setting, f, secret, got, [opened])


# -- planted mistakes ----------------------------------------------------------------------------------------


def without(*labels: str, draw: str = "") -> Any:
    """Leave out the masks drawn from streams of these labels (only draw number `draw`)."""

    def left_out(key: Key) -> bool:
        return key[0] == "draw" and key[-2] in labels and draw in ("", key[-1])

    return left_out


def caught(planted: Trial, **mistake: Any) -> None:
    """Assert that the mistake is found, and that the trial passes without it."""
    with pytest.raises(AssertionError, match="depends on the secrets"):
        check(planted, **mistake)


def test_planted_unmasked_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "zero_share", lambda p, n, label: Masks())
    caught(trial("mul"))


@pytest.mark.parametrize(
    "name", ["two products", "mul_into twice", "trunc_into twice", "select_narrowed twice"]
)
def test_planted_stream_used_twice(name: str) -> None:
    caught(trial(name), rewinds=True)


def test_planted_product_without_rho() -> None:
    caught(_mul_trunc_trial(), mask_left_out=without("rep3/product", draw="001"))


def test_planted_product_without_r() -> None:
    caught(_mul_trunc_trial(), mask_left_out=without("rep3/product", draw="000"))


@pytest.mark.parametrize(("name", "label"), [("to_arith", "rep3/b2a"), ("select", "rep3/select")])
def test_planted_exchange_without_t(name: str, label: str) -> None:
    def left_out(key: Key) -> bool:
        # Draws of P0 with P2: what P0 shares, then t; of P0 with P1: t alone.
        if key[0] != "draw" or key[-2] != label:
            return False
        last = {"to_arith": "001", "select": "002"}[name]
        return "bob" in key or key[-1] == last

    caught(trial(name), mask_left_out=left_out)


@pytest.mark.parametrize("owner", ["alice", "bob", "carol"])
def test_planted_input_without_mask(owner: str) -> None:
    caught(trial(f"input by {owner}"), mask_left_out=without("rep3/input"))


def test_planted_client_input_without_mask() -> None:
    caught(trial("input by carl"), mask_left_out=without("rep3/client-low"))


@pytest.mark.parametrize(
    ("setting", "label"),
    [(REP3, "rep3/reveal-client"), (SEMI2K, "semi2k/reveal-zero")],
    ids=["rep3", "semi2k"],
)
def test_planted_reveal_without_rerandomising(setting: Setting, label: str) -> None:
    def views() -> list[Any]:
        worlds: list[World] = [
            enumerate_lanes(setting, _reveal(1, ["carl"]), pins, without(label))[0]
            for pins in _histories(2, setting.n)
        ]
        return [w.view(["carl"]) for w in worlds]

    seen = views()
    assert not all(np.array_equal(v, seen[0]) for v in seen)


def test_planted_opening_without_a_mask() -> None:
    for name in ("mul", "trunc", "sign 1", "to_arith"):
        caught(trial(name, "semi2k"), mask_left_out=without("semi2k/deal"))


@pytest.mark.parametrize("pair", [("alice", "bob"), ("alice", "carol"), ("bob", "carol")])
def test_planted_biased_shuffle(pair: tuple[str, str]) -> None:
    """A factor that is always the identity: the party outside the pair knows the whole permutation."""

    def left_out(key: Key) -> bool:
        return key[0] == "draw" and key[1:3] == pair and key[3] == "rep3/shuffle-permutation"

    for name in ("place", "fetch", "shuffle, opened"):
        caught(trial(name), mask_left_out=left_out)
