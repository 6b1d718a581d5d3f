"""Numbers of which only the low bits count (decision 0077): products, quotients and selections into any ring.

Shares over Z/2^64 are used as shares over Z/2^m without being reduced first. So what each functionality sends and
returns modulo 2^m must be the same whatever stands above, and no bit of that may leave its party.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import conformance_cases
import numpy as np
import numpy.typing as npt
import pytest
import test_turned
from conformance_cases import EXACT, ROUNDED, cases, integers
from test_costs import CLIENTS, check

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.core.share import Block, Gathered, Planes, Share
from tacit.core.timing import PRESETS, Network
from tacit.errors import NotRealised, RangeError
from tacit.gadgets.places import greatest_place
from tacit.gadgets.tournament import greatest, running
from tacit.net.memory import Hub
from tacit.protocols.rep3 import turns
from tacit.testing import gather, gather_planes, scatter, scatter_planes

Array = npt.NDArray[Any]
SEED = 77
NAMES = testing.NAMES[:3]
SIZES = (0, 1, 63, 64, 65, 200)
WIDTHS = (3, 8, 20, 40, 63, 64)
WIDE = (65, 104, 128)
WHOLE = ("trunc", "trunc_exact")
"""What reads the top bits of operands' parts: these must be of the ring, as all words are of Z/2^64."""
_every_size = test_turned._every_size


def soiled(p: Any, x: Share, seed: int = 0) -> Share:
    """Return x with other bits above the ring: in every part, and at every party, others."""
    if p.party.index < 0 or p.ring.width in (64, 128):
        return x
    rng = np.random.default_rng([seed, p.party.index])

    def soil(part: Array) -> Array:
        out, words = part.copy(), rng.integers(0, 2**64, part.shape, np.uint64)
        out["hi" if p.ring.wide else ...] |= words << np.uint64(p.ring.width % 64)
        return out

    return x.map(soil)


def held(p: Any, x: Array, soil: bool = False) -> Share:
    """Share integers, with or without bits above the ring."""
    shared = scatter(p, p.ring.encode_ints(x))
    return soiled(p, shared) if soil else shared


def run(width: int, body: Callable[[Any], Any], clients: tuple[str, ...] = ()) -> tuple[dict[str, Any], str]:
    """Return every participant's results, and the hash of all messages."""
    hub = Hub((*NAMES, *clients), record=True)
    found = testing.run("rep3", width, body, seed=SEED, clients=clients, hub=hub)
    return found, hub.transcript_hash()


def both(width: int, body: Callable[[Any, bool], Any]) -> list[dict[str, Any]]:
    """Return results on operands with and without bits above the ring, which take the same messages."""
    (clean, sent), (soil, also) = (run(width, lambda p, s=s: body(p, s)) for s in (False, True))
    assert sent == also, "a bit above the ring was sent, or changed what was"
    return [clean, soil]


def opened(found: dict[str, Any], at: int, ring: Ring) -> Array:
    """Return one of the parties' results as integers; copies of a component may differ above the ring."""
    return ring.to_ints(gather({n: found[n][at].map(ring.low) for n in NAMES}, "rep3", ring))


def rounded(got: Array, z: Array, f: int, ring: Ring, what: str) -> None:
    """Assert that integers are neighbours of z / 2^f modulo the ring's size, and multiples of 2^f exact."""
    assert got.shape == z.shape
    error = np.asarray((got.astype(object) - (z >> f)) % (1 << ring.width))
    assert np.all((error == 0) | (error == 1 % (1 << ring.width))), what
    assert not np.any(error[z % (1 << f) == 0]), f"{what}: a multiple of 2^f stays exact"


def edges(seed: int, n: int, most: int) -> tuple[Array, Array]:
    """Return pairs of integers of [−most, most), first the extremes, 0, 1 and −1 with each other."""
    rng = np.random.default_rng([SEED, seed, n])
    x, y = integers(rng, n, -most, most), integers(rng, n, -most, most)[::-1].copy()
    some = [min(max(e, -most), most - 1) for e in (-most, most - 1, 0, 1, -1)]
    pairs = [(a, b) for a in some for b in some][:n]
    x[: len(pairs)], y[: len(pairs)] = [a for a, _ in pairs], [b for _, b in pairs]
    return x, y


def shifts(k: int) -> list[int]:
    """Return amounts to shift by, the extremes included."""
    return sorted({0, 1, k // 2, k - 2})


def narrower(k: int, f: int) -> list[int]:
    """Return rings in which the wrap does not count, the extremes included."""
    return sorted({m for m in (1, (k - f) // 2, k - f - 1, k - f) if m > 0})


def wider(k: int, f: int) -> list[int]:
    """Return rings in which it does."""
    return sorted({m for m in (k - f + 1, k, min(k + 7, 64), 64, 90, 128) if k - f < m <= 128})


def bounded(k: int, wrap: bool) -> int:
    """Return below what factors are: of any product, or of one of less than k − 2 bits."""
    return 1 << ((k - 2) // 2 if wrap else k - 1)


# -- products, quotients and selections into other rings ------------------------------------------------------


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("k", (*WIDTHS, *WIDE))
def test_products_into_any_ring(k: int) -> None:
    table = [
        (f, m, n, wrap)
        for f in shifts(k)
        for wrap in (False, True)
        for m in (wider(k, f) if wrap else narrower(k, f))
        for n in (SIZES if m in (k - f, 64, 128) else (65,))
    ]

    def body(p: Any, soil: bool) -> list[Share]:
        return [
            p.mul_into(*(held(p, v, soil) for v in edges(f, n, bounded(k, wrap))), f, Ring(m))
            for f, m, n, wrap in table
        ]

    for found in both(k, body):
        for i, (f, m, n, wrap) in enumerate(table):
            x, y = edges(f, n, bounded(k, wrap))
            if wrap:  # the greatest product of two factors is one too many
                keep = abs(x * y) < 1 << (k - 2)
                x, y, got = x[keep], y[keep], opened(found, i, Ring(m))[keep.astype(bool)]
            else:
                got = opened(found, i, Ring(m))
            rounded(got, x * y, f, Ring(m), f"{n} products of {k} bits over 2^{f}, of which {m} count")


SHAPES = (
    ((1, 1), (1, 1)), ((3, 5), (5, 2)), ((1, 63), (63, 1)), ((64, 1), (1, 1)), ((5, 3), (3, 13)), ((2, 3, 4), (4, 2)),
    ((3, 2), (4, 2, 5)), ((2, 1, 3), (2, 3, 1)), ((3, 0), (0, 2)), ((0, 3), (3, 2)), ((10, 2), (2, 20)),
)  # fmt: skip


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("k", [13, 20, 40, 63, 64, *WIDE])
def test_matrix_products_into_any_ring(k: int) -> None:
    def factors(f: int, at: int, wrap: bool) -> list[Array]:
        most = 1 << ((k - 2 - 6) // 2 if wrap else k - 1)
        a, b = SHAPES[at]
        return [
            integers(np.random.default_rng([SEED, f, j]), int(np.prod(s)), -most, most, s)
            for j, s in enumerate((a, b))
        ]

    table = [
        (f, m, at, wrap)
        for f in shifts(k)
        for wrap in (False, True)
        for m in (wider(k, f)[-1:] if wrap else [k - f])
        for at in range(len(SHAPES))
    ]

    def body(p: Any, soil: bool) -> list[Share]:
        return [
            p.matmul_into(*(held(p, v, soil) for v in factors(f, at, wrap)), f, Ring(m))
            for f, m, at, wrap in table
        ]

    for found in both(k, body):
        for i, (f, m, at, wrap) in enumerate(table):
            x, y = factors(f, at, wrap)
            got, want = opened(found, i, Ring(m)), np.asarray(x @ y, object)
            rounded(
                got,
                want if x.shape[-1] else np.zeros(want.shape, object),
                f,
                Ring(m),
                f"{SHAPES[at]} of {k} bits over 2^{f} into {m}",
            )


@pytest.mark.parametrize(("k", "f", "m"), [(40, 16, 20), (64, 16, 48), (40, 16, 64)])
def test_windows_into_any_ring(k: int, f: int, m: int) -> None:
    """An operand of a matrix product may lie anywhere in memory, and have bits above its ring as well."""
    x, y = edges(1, 40, 1 << 9)
    at = tuple(np.array(v, np.int64) for v in ([0], range(0, 12, 3), range(7)))

    def body(p: Any, soil: bool) -> list[Share]:
        a, b = held(p, x, soil), held(p, y[:14], soil).reshape(7, 2)
        windows = Gathered(a, (1, 4, 7), (Block(at),))  # type: ignore[arg-type]
        return [p.matmul_into(windows, b, f, Ring(m))]

    rows = x[np.arange(0, 12, 3)[:, None] + np.arange(7)]
    for found in both(k, body):
        rounded(opened(found, 0, Ring(m)), rows @ y[:14].reshape(7, 2), f, Ring(m), f"windows of {k} bits")


def quotients(k: int) -> list[tuple[int, int, int]]:
    """Return (shift, bits that count, numbers) of what is shifted, and fits a ring."""
    return [(f, m, n) for f in shifts(k) for m in narrower(k, f) for n in (SIZES if m == k - f else (65,))]


def dividends(k: int, f: int, n: int, most: int = 0) -> Array:
    """Return any numbers of k bits, or from −most to most − 1."""
    return edges(f, n, most or 1 << (k - 1))[0]


@pytest.mark.usefixtures("_every_size")
def test_operands_of_any_shape() -> None:
    """Results have the shape of the operands, which may lie in memory in any order."""
    f, x = 5, edges(2, 24, 1 << 20)[0].reshape(2, 3, 4)

    def body(p: Any, soil: bool) -> list[Share]:
        s = held(p, x, soil).map(np.transpose)
        return [p.mul_into(s, s, f, Ring(20)), p.mul_into(s, s, f, Ring(64)), p.trunc_into(s, f, Ring(20))]

    for found in both(48, body):
        for i, (z, m) in enumerate(((x * x, 20), (x * x, 64), (x, 20))):
            rounded(opened(found, i, Ring(m)), z.T, f, Ring(m), f"call {i}")


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("k", (*WIDTHS, *WIDE))
def test_quotients_are_those_of_a_truncation(k: int) -> None:
    """F_trunc's result on the same shares, modulo 2^m; and for numbers that it does not take."""
    table, most = quotients(k), (1 << (k - 2)) - 1

    def body(p: Any, soil: bool) -> list[Share]:
        out = []
        for f, m, n in table:
            out.append(p.trunc_into(held(p, dividends(k, f, n), soil), f, Ring(m)))
            z = dividends(k, f, n, most)
            out += [p.trunc_into(held(p, z, soil), f, Ring(m)), p.trunc(held(p, z), f)]
        return out

    for found in both(k, body):
        for i, (f, m, n) in enumerate(table):
            ring, what = Ring(m), f"{n} numbers of {k} bits over 2^{f}, of which {m} count"
            rounded(opened(found, 3 * i, ring), dividends(k, f, n), f, ring, what)
            low, whole = opened(found, 3 * i + 1, ring), opened(found, 3 * i + 2, Ring(k))
            assert np.array_equal(low, ring.to_ints(ring.encode_ints(whole))), what


@pytest.mark.parametrize("_every_size", ["one role in blocks", "as they are"], indirect=True)
@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("k", (*WIDTHS, 104))
def test_what_is_selected_is_rounded_as_it_is_compared(k: int) -> None:
    """A bit times F_trunc's result modulo 2^m, or times minus that, as comparisons read both; in one role as these."""
    table = quotients(k)

    def chosen(n: int) -> tuple[Array, Array]:
        planes = np.random.default_rng([SEED, n]).integers(0, 2**64, (1, -(-n // 64)), np.uint64)
        return planes, np.unpackbits(planes.view(np.uint8), bitorder="little")[:n].astype(np.int64)

    def body(p: Any, soil: bool) -> list[Share]:
        out = []
        for f, m, n in table:
            x, b, q = held(p, dividends(k, f, n), soil), scatter_planes(p, chosen(n)[0], n), p.over(Ring(m))
            narrow = p.narrowed(x, f) if p.ring.wide == q.ring.wide else p.narrowed(x, f).map(q.ring.low)
            some = soiled(q, narrow) if soil else narrow
            out += [
                q.select_narrowed(b, some),
                q.select_narrowed(b, q.neg(narrow)),
                p.trunc_into(x, f, q.ring),
            ]
        return out

    for found in both(k, body):
        for i, (f, m, n) in enumerate(table):
            ring, bits = Ring(m), chosen(n)[1]
            picked, less, cut = (opened(found, 3 * i + j, ring) for j in range(3))
            what = f"{n} numbers of {k} bits over 2^{f}, of which {m} count"
            assert np.array_equal(picked, cut * bits), what
            assert np.array_equal(ring.encode_ints(less), ring.encode_ints(-cut * bits)), what


@pytest.mark.parametrize(
    "network", [PRESETS["lan"], Network("narrow", 200, 40_000_000)], ids=lambda n: n.name
)
@pytest.mark.parametrize("soil", [False, True])
def test_large_arrays(soil: bool, network: Network) -> None:
    """As many elements as roles are turned for, and blocks of them; matrix products some rows at a time."""
    n, k, f = turns.TURNED_FROM + 77, 48, 16
    few = min(turns.turned_from(network), n // 3) // 64 * 64 - 64  # of one role, that of the first third
    assert turns.one_role(few, network) and not turns.one_role(n, network)
    rng = np.random.default_rng(SEED)
    x, y = (rng.integers(-(2**30), 2**30, n) for _ in range(2))
    a, b = rng.integers(-(2**15), 2**15, (300, 64)), rng.integers(-(2**15), 2**15, (64, 90))
    planes = rng.integers(0, 2**64, (1, -(-n // 64)), np.uint64)
    bits = np.unpackbits(planes.view(np.uint8), bitorder="little")[:n].astype(np.int64)

    def body(p: Any) -> list[Share]:
        p.party.network = network
        s, t, q = held(p, x, soil), held(p, y, soil), p.over(Ring(20))
        return [
            p.mul_into(s, t, f, Ring(20)),
            p.mul_into(s, held(p, y >> 20, soil), f, Ring(64)),
            p.matmul_into(held(p, a, soil), held(p, b, soil), f, Ring(20)),
            p.matmul_into(held(p, a, soil), held(p, b, soil), f, Ring(64)),
            p.trunc_into(s, f, Ring(20)),
            q.select_narrowed(scatter_planes(p, planes[:, : few // 64], few), p.narrowed(s[:few], f)),
        ]

    found, _ = run(k, body)
    product = a.astype(object) @ b.astype(object)
    wants = (x.astype(object) * y, x.astype(object) * (y >> 20), product, product, x.astype(object))
    for i, (want, m) in enumerate(zip(wants, (20, 64, 20, 64, 20), strict=True)):
        rounded(opened(found, i, Ring(m)), want, f, Ring(m), f"call {i}")
    assert np.array_equal(opened(found, 5, Ring(20)), (opened(found, 4, Ring(20)) * bits)[:few])


def test_rounding_is_unbiased() -> None:
    n, f = 20_032, 16
    x = integers(np.random.default_rng(SEED), n, -(2**30), 2**30)
    bits = np.full((1, n // 64), 2**64 - 1, np.uint64)

    def body(p: Any) -> list[Share]:
        s, one, ring = held(p, x), scatter(p, p.ring.constant(1, (n,))), Ring(34)
        z = p.mul_early(s, one)
        return [
            p.mul_into(s, one, f, ring),
            p.matmul_into(s.reshape(n, 1), one[:1].reshape(1, 1), f, ring).reshape(n),
            p.trunc_into(z, f, ring),
            p.over(ring).select_narrowed(scatter_planes(p, bits, n), p.narrowed(z, f)),
        ]

    found, _ = run(50, body)
    for i in range(4):
        error = opened(found, i, Ring(34)) - x.astype(float) / 2**f
        assert abs(error.mean()) < 5 * 0.41 / n**0.5, f"call {i}"


# -- operands that nobody reduced ------------------------------------------------------------------------------


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("name", [n for n in (*EXACT, *ROUNDED) if n not in WHOLE])
@pytest.mark.parametrize("width", [8, 32, 63, 100])
def test_bits_above_the_ring_change_nothing(width: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table = cases(name, Ring(width), SEED)

    def body(p: Any, soil: bool) -> list[Any]:
        held = (lambda q, v: soiled(q, scatter(q, v))) if soil else scatter
        monkeypatch.setattr(conformance_cases, "scatter", held)
        return [c.run(p) for c in table]

    clean, soil = both(width, body)
    for i, case in enumerate(table):
        if isinstance(clean[NAMES[0]][i], Planes):
            a, b = (gather_planes({n: v[n][i] for n in NAMES}, "rep3") for v in (clean, soil))
        else:
            a, b = (opened(v, i, Ring(width)) for v in (clean, soil))
        assert np.array_equal(a, b), f"{name} {case.tag} width {width}"


@pytest.mark.usefixtures("_every_size")
@pytest.mark.parametrize("width", [1, 8, 37, 63, 100])
def test_early_products_and_openings_of_unreduced_operands(width: int) -> None:
    ring, half = Ring(width), 1 << (width - 1)

    def body(p: Any, soil: bool) -> list[Any]:
        out: list[Any] = []
        for n in SIZES:
            x, y = (held(p, v, soil) for v in edges(n, n, half))
            row, column = x.reshape(1, n), y.reshape(n, 1)
            out += [p.mul_early(x, y), p.matmul_early(row, column), p.matmul_early(column, row)]
            out.append([p.reveal(x, to) for to in ([NAMES[1]], NAMES, [*CLIENTS, NAMES[0]])])
        return out

    def bodies(p: Any, soil: bool) -> list[Any]:
        return body(p, soil) if p.party.index >= 0 else [_revealed_to_a_client(p, n) for n in SIZES]

    (clean, sent), (soil, also) = (run(width, lambda p, s=s: bodies(p, s), CLIENTS) for s in (False, True))
    assert sent == also
    for found in (clean, soil):
        for i, n in enumerate(SIZES):
            x, y = edges(n, n, half)
            wants = x * y, (x[None] @ y[:, None]), y[:, None] * x[None]
            for j, want in enumerate(wants):
                want = np.asarray(want, object) if n else np.zeros(np.shape(want), object)
                got = opened({name: found[name] for name in NAMES}, 4 * i + j, ring)
                assert np.array_equal(ring.encode_ints(got), ring.encode_ints(want)), (
                    f"{n} of {width} bits, {j}"
                )
            for name in NAMES:
                for to, got in zip(
                    ([NAMES[1]], NAMES, [*CLIENTS, NAMES[0]]), found[name][4 * i + 3], strict=True
                ):
                    assert (got is None) == (name not in to)
                    assert got is None or np.array_equal(got, ring.encode_ints(x))
            for name in CLIENTS:
                assert np.array_equal(found[name][i], ring.encode_ints(x))


def _revealed_to_a_client(p: Any, n: int) -> Any:
    """Receive what is opened to a client, whatever else is computed."""
    return p.reveal(testing.ghost((n,)), [*CLIENTS, NAMES[0]])


@pytest.mark.parametrize("first", [64, 20])
@pytest.mark.parametrize("owner", [*NAMES, CLIENTS[0]])
def test_inputs_over_several_rings_of_one_session(owner: str, first: int) -> None:
    """An owner need not reduce its numbers either; a client's seeds are sent once for all rings."""
    x = np.arange(-30, 40) * 0x1234567

    def body(p: Any) -> list[Any]:
        out = []
        for width in (first, 20, 64, 37):
            q, mine = p.over(Ring(width)), p.party.name == owner
            held = q.share_input(owner, x.astype(np.uint64) if mine else None, x.shape)
            out.append(q.reveal(held, [*NAMES, CLIENTS[0]]))
        return out

    found, _ = run(64, body, CLIENTS[:1])
    for name in (*NAMES, CLIENTS[0]):
        for width, got in zip((first, 20, 64, 37), found[name], strict=True):
            assert np.array_equal(got, Ring(width).encode_ints(x)), f"{name} {width}"

    def shapes(p: Any) -> None:
        for width in (first, 20, 64, 37):
            q, mine = p.over(Ring(width)), p.party.name == owner
            q.reveal(q.share_input(owner, q.ring.zeros(x.shape) if mine else None, x.shape), NAMES)

    check("rep3", 64, shapes, 3, "", f"input by {owner}")


@pytest.mark.parametrize("network", [*PRESETS.values()], ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (2, 40), (7, 3), (60, 1), (300, 2)])
@pytest.mark.parametrize("extra", [1, 2, 10, 43, 60])
def test_tournaments_of_unreduced_operands(rows: int, columns: int, extra: int, network: Network) -> None:
    """Over a ring of one bit more than the differences, of what tournaments themselves choose, of more, of all."""
    bits = 20
    x = np.random.default_rng([SEED, rows]).integers(-(1 << (bits - 1)), 1 << (bits - 1), (rows, columns))
    x[-1], x[0, 0] = -(1 << (bits - 1)), (1 << (bits - 1)) - 1

    def body(p: Any, soil: bool) -> list[Share]:
        p.party.network = network
        s = held(p, x, soil)
        return [greatest(p, s, bits, -(1 << (bits - 1))), running(p, s, bits), greatest_place(p, s, bits)]

    ring = Ring(bits + extra)
    for found in both(ring.width, body):
        top, each, place = (opened(found, i, ring) for i in range(3))
        assert np.array_equal(top, x.max(0)) and np.array_equal(each, np.maximum.accumulate(x))
        assert np.array_equal(place, ring.to_ints(ring.encode_ints(x.argmax(0))))


# -- costs and refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", PRESETS.values(), ids=str)
@pytest.mark.parametrize("n", [0, 1, 65, 200, 30_000])
@pytest.mark.parametrize("width", [37, 64, 104])
def test_costs_are_as_the_cards_say(width: int, n: int, network: Network) -> None:
    def body(p: Any) -> None:
        p.party.network = network
        x, q, one = (
            scatter(p, p.ring.zeros((n,))),
            p.over(Ring(70 if p.ring.wide else 20)),
            scatter(p, p.ring.zeros((1, 1))),
        )
        # A round that only some parties take part in, so that their depths differ.
        p.reveal(scatter(p, p.ring.zeros((1,))), ["bob"])
        p.mul_into(x, x, 16, q.ring)
        p.matmul_into(x.reshape(n, 1), one, 16, q.ring)
        p.matmul_into(x.reshape(n, 1), one, 16, Ring(50))
        p.trunc_into(x, 16, q.ring)
        p.reveal(scatter(p, p.ring.zeros((1,))), ["alice"])
        few = x[:191]  # roles are not turned
        q.select_narrowed(p.sign(few, 30), p.narrowed(few, 16))

    check("rep3", width, body, 3, "", f"n={n}")


@pytest.mark.parametrize(("m", "k", "n"), [(300, 64, 90), (64, 8, 64), (5, 3, 7)])
@pytest.mark.parametrize("network", PRESETS.values(), ids=str)
def test_costs_of_matrix_products(m: int, k: int, n: int, network: Network) -> None:
    def body(p: Any) -> None:
        p.party.network = network
        x, y = scatter(p, p.ring.zeros((m, k))), scatter(p, p.ring.zeros((k, n)))
        for width in (20, 64):
            p.matmul_into(x, y, 16, Ring(width))

    check("rep3", 48, body, 3, "", f"({m}, {k}) @ ({k}, {n})")


@pytest.mark.parametrize(
    ("width", "call", "message"),
    [
        (8, lambda p, x: p.mul_into(x, x, 7, Ring(1)), "does not lift"),
        (8, lambda p, x: p.mul_into(x, x, -1, Ring(1)), "does not lift"),
        (8, lambda p, x: p.matmul_into(x, x, 7, Ring(1)), "does not lift"),
        (100, lambda p, x: p.matmul_into(x, x, 99, Ring(20)), "does not lift"),
        (100, lambda p, x: p.trunc_into(x, 40, Ring(61)), "are not cut"),
        (8, lambda p, x: p.trunc_into(x, 2, Ring(7)), "are not cut"),
        (8, lambda p, x: p.trunc_into(x, 7, Ring(1)), "7"),
        (8, lambda p, x: p.trunc_into(x, -1, Ring(1)), "-1"),
        (65, lambda p, x: p.trunc_into(x, 1, Ring(65)), "are not cut"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_any_message(width: int, call: Any, message: str) -> None:
    hub, refused = Hub(NAMES, record=True), []

    def refusing(p: Any) -> None:
        with pytest.raises(RangeError, match=message):
            call(p, scatter(p, p.ring.zeros((3, 3))))
        refused.append(p.party.name)

    testing.run("rep3", width, refusing, hub=hub)
    assert len(refused) == 3 and not hub.records


@pytest.mark.parametrize(("protocol", "n", "dealer"), [("semi2k", 3, "zoe"), ("clear", 1, "")])
def test_other_protocols_refuse_them_by_name(protocol: str, n: int, dealer: str) -> None:
    def body(p: Any) -> None:
        for name, count in (("matmul_into", 4), ("trunc_into", 3), ("select_narrowed", 2)):
            assert not p.offers(name)
            if p.party.name != dealer:
                with pytest.raises(NotRealised, match=name):
                    getattr(p, name)(*[None] * count)

    testing.run(protocol, 64, body, n=n, dealer=dealer)
