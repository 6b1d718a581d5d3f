"""Every protocol of the registry does what `clear` does, at every ring width, size and edge value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conformance_cases import (
    EXACT,
    ROUNDED,
    ROW_SHAPES,
    WIDTHS,
    cases,
    columns,
    exact_quotient,
    integers,
)

from tacit import protocols, testing
from tacit.algebra.ring import Ring
from tacit.core.share import Planes, Share
from tacit.testing import NAMES

SEED = 20240611
SETTINGS = testing.settings(2, 4)
PERMUTED = ("digit_ranks", "place", "fetch", "shuffle")
"""Functionalities that only some protocols realise; the others refuse them by name."""


def realises(protocol: str, name: str) -> bool:
    return name not in PERMUTED or name in protocols.load(protocol).cards


def run(protocol: str, width: int, fn: Any, n: int, dealer: str, **options: Any) -> dict[str, Any]:
    got = testing.run(protocol, width, fn, n=n, dealer=dealer, seed=SEED, **options)
    return {name: got[name] for name in NAMES[: 1 if protocol == "clear" else n]}


def opened(shares: list[Share | Planes], protocol: str, ring: Ring, n: int) -> Any:
    named: dict[str, Any] = dict(zip(NAMES, shares, strict=False))
    if isinstance(shares[0], Planes):
        return testing.gather_planes(named, protocol, n)
    return ring.to_ints(testing.gather(named, protocol, ring, n))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_exact(protocol: str, n: int, dealer: str, width: int, name: str) -> None:
    if not realises(protocol, name):
        pytest.skip(f"{protocol} does not realise {name}")
    ring = Ring(width)
    table = cases(name, ring, SEED)
    got = run(protocol, width, lambda p: [c.run(p) for c in table], n, dealer)
    want = run("clear", width, lambda p: [c.run(p) for c in table], 1, "")["alice"]
    for i, case in enumerate(table):
        a = opened([got[party][i] for party in got], protocol, ring, n)
        b = opened([want[i]], "clear", ring, 1)
        assert a.shape == b.shape and np.array_equal(a, b), f"{name} {case.tag} width {width} seed {SEED}"


@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("protocol", "n", "dealer"), [*SETTINGS, ("clear", 1, "")])
def test_rounded(protocol: str, n: int, dealer: str, width: int, name: str) -> None:
    """The result is floor or floor + 1, and never moves an exact multiple by more than the one unit."""
    ring = Ring(width)
    table = cases(name, ring, SEED)
    got = run(protocol, width, lambda p: [c.run(p) for c in table], n, dealer)
    for i, case in enumerate(table):
        f = int(case.tag.split()[0].removeprefix("f=")) if case.tag.startswith("f=") else 3
        floor, rest = exact_quotient(name, case, f)
        a = opened([got[party][i] for party in got], protocol, ring, n)
        error = (a - floor).reshape(-1)
        assert a.shape == floor.shape
        assert np.all((error == 0) | (error == 1)), f"{name} {case.tag} width {width} seed {SEED}"
        assert not np.any(error[rest.reshape(-1) == 0]), "a multiple of 2^f stays exact"


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
@pytest.mark.parametrize("name", ["trunc", "mul_trunc"])
def test_rounding_is_unbiased_on_uniform_shares(protocol: str, n: int, dealer: str, name: str) -> None:
    ring, f, count = Ring(64), 8, 40_000
    x = integers(np.random.default_rng(SEED), count, -(2**30), 2**30)
    encoded = ring.encode_ints(x)

    def body(p: Any) -> Share:
        share = testing.scatter(p, encoded)
        if name == "trunc":
            return p.trunc(share, f)
        return p.mul_trunc(share, testing.scatter(p, ring.constant(1, (count,))), f)

    got = run(protocol, 64, body, n, dealer)
    error = (opened(list(got.values()), protocol, ring, n) - x / 2**f).astype(float)
    # An error around 0 in (−1, 1) has standard deviation below 1.
    assert abs(error.mean()) < 5 * error.std() / np.sqrt(count), f"seed {SEED}"
    assert error.min() > -1 and error.max() < 1


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_linear_operations(protocol: str, n: int, dealer: str) -> None:
    for width in WIDTHS:
        ring, rng = Ring(width), np.random.default_rng(SEED)
        half = 1 << (width - 1)
        x, y, c = (ring.encode_ints(integers(rng, 12, -half, half, (3, 4))) for _ in range(3))
        m = ring.encode_ints(integers(rng, 8, -half, half, (4, 2)))

        def body(p: Any, x: Any = x, y: Any = y, c: Any = c, m: Any = m) -> list[Share]:
            a, b = testing.scatter(p, x), testing.scatter(p, y)
            return [
                p.add(a, b), p.sub(a, b), p.neg(a), p.add_public(a, c), p.mul_public(a, c), p.shl(a, 3),
                p.matmul_public(a, m), p.matmul_public(testing.scatter(p, m), c, left=True),
                p.sum(a, (0,)), p.sum(a, (0, 1)), p.cumsum(a, 1), p.constant(c), p.add_public(a[:, :1], c),
            ]  # fmt: skip

        got, want = run(protocol, width, body, n, dealer), run("clear", width, body, 1, "")["alice"]
        for i, w in enumerate(want):
            a = opened([got[party][i] for party in got], protocol, ring, n)
            assert np.array_equal(a, opened([w], "clear", ring, 1)), f"operation {i} width {width}"


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
@pytest.mark.parametrize("width", [8, 64, 100])
def test_bits_and_packing(protocol: str, n: int, dealer: str, width: int) -> None:
    bits = np.random.default_rng(SEED).integers(0, 2, (3, 43)).astype(np.uint8)
    public = np.random.default_rng(SEED).integers(0, 2**64, (1, 3), dtype=np.uint64)

    def body(p: Any) -> list[Any]:
        x = p.share_bits("alice", bits if p.party.name == "alice" else None, (3, 43))
        y = p.share_bits("bob", bits[::-1] if p.party.name == "bob" else None, (3, 43))
        z = p.unpack(p.invert(p.xor_public(p.xor(p.pack(x), p.pack(y)), public)), (3, 43))
        return [p.reveal_bits(z, ["alice", "carl"]), p.reveal_bits(x, [NAMES[n - 1]])]

    got = testing.run(protocol, width, body, n=n, dealer=dealer, clients=("carl",), seed=SEED)
    plane = np.unpackbits(public.view(np.uint8), bitorder="little")[:129].reshape(3, 43)
    want = bits ^ bits[::-1] ^ plane ^ 1
    for name, (both, own) in got.items():
        assert np.array_equal(both, want) if name in ("alice", "carl") else both is None
        assert np.array_equal(own, bits) if name == NAMES[n - 1] else own is None


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
@pytest.mark.parametrize("width", WIDTHS)
def test_input_and_reveal_by_everyone_to_everyone(protocol: str, n: int, dealer: str, width: int) -> None:
    ring, rng = Ring(width), np.random.default_rng(SEED)
    half = 1 << (width - 1)
    owners = (*NAMES[:n], "carl", "cleo")
    values = {o: integers(rng, 6 + i, -half, half) for i, o in enumerate(owners)}
    bits = {o: rng.integers(0, 2, 70 + i).astype(np.uint8) for i, o in enumerate(owners)}

    def body(p: Any) -> list[Any]:
        out = []
        for i, o in enumerate(owners):
            mine = p.party.name == o
            x = p.share_input(o, ring.encode_ints(values[o]) if mine else None, (6 + i,))
            b = p.share_bits(o, bits[o] if mine else None, (70 + i,))
            for to in ([owners[i - 1]], owners, ["carl", "alice"]):
                out.append((o, to, p.reveal(x, to), p.reveal_bits(b, to)))
        return out

    got = testing.run(protocol, width, body, n=n, dealer=dealer, clients=("carl", "cleo"), seed=SEED)
    for name, items in got.items():
        for owner, to, value, truth in items:
            if name in to:
                assert np.array_equal(ring.to_ints(value), values[owner]), (name, owner, to)
                assert np.array_equal(truth, bits[owner]), (name, owner, to)
            else:
                assert value is None and truth is None


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("protocol", ["rep3", "clear"])
def test_shuffle_keeps_rows_together_and_moves_them(protocol: str, width: int) -> None:
    ring, n = Ring(width), 1 if protocol == "clear" else 3
    for blocks, rows in ROW_SHAPES:

        def body(p: Any, blocks: int = blocks, rows: int = rows) -> list[Any]:
            held = columns(p, ring, np.random.default_rng(SEED), blocks, rows)
            moved = p.shuffle([*held, *held])
            return [c.share if not c.xor else p.low_planes(c.share, 37) for c in (*held, *moved)]

        got = run(protocol, width, body, n, "")
        first, word, a, b, c, d = (
            opened([got[party][i] for party in got], protocol, ring, n) for i in range(6)
        )
        assert np.array_equal(a, c) and np.array_equal(b, d)
        weights = np.array([1 << j for j in range(37)], object)
        before = [
            sorted(zip(x, y, strict=True))
            for x, y in zip(
                first.tolist(), (weights @ word.astype(object)).reshape(blocks, rows).tolist(), strict=True
            )
        ]
        after = [
            list(zip(x, y, strict=True))
            for x, y in zip(
                a.tolist(), (weights @ b.astype(object)).reshape(blocks, rows).tolist(), strict=True
            )
        ]
        assert [sorted(r) for r in after] == before
        if rows >= 64:
            assert after != before and after[0] != list(zip(first[0], after[0], strict=True))


@pytest.mark.parametrize("name", PERMUTED)
def test_permuting_is_refused_by_name_where_it_is_not_realised(name: str) -> None:
    from tacit.errors import NotRealised

    def body(p: Any) -> None:
        held = columns(p, Ring(64), np.random.default_rng(SEED), 1, 4)
        with pytest.raises(NotRealised, match=name):
            getattr(p, name)(*{"shuffle": [held], "digit_ranks": [None, 1, 4]}.get(name, [held[0], held]))

    testing.run("semi2k", 64, body)


@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
@pytest.mark.parametrize("owner", [*NAMES[:4], "zack"])
@pytest.mark.parametrize("count", [4_000, 40_000])
def test_rounding_is_unbiased_on_fresh_inputs(
    protocol: str, n: int, dealer: str, owner: str, count: int
) -> None:
    # Sums over many truncated inputs would drift if the share by which truncation rounds were a constant.
    clients = () if owner in NAMES[:n] else (owner,)
    ring, f = Ring(64), 8
    x = integers(np.random.default_rng(SEED), count, -(2**30), 2**30)

    def body(p: Any) -> Share:
        mine = ring.encode_ints(x) if p.party.name == owner else None
        return p.trunc(p.share_input(owner, mine, (count,)), f)

    got = run(protocol, 64, body, n, dealer, clients=clients)
    error = (opened(list(got.values()), protocol, ring, n) - x / 2**f).astype(float)
    assert abs(error.mean()) < 5 * error.std() / np.sqrt(count), f"seed {SEED}"
