"""Check that the three groups have one shape, refuse what they must and never print a scalar."""

from __future__ import annotations

import hashlib
import itertools
import pickle
from typing import Any

import pytest

pytest.importorskip("nacl")
pytest.importorskip("coincurve")
pytest.importorskip("rbcl")

from tacit.crypto.groups import GROUP_NAMES, Group, Randomness, group_named
from tacit.errors import DataError, UsageError


def seeded(seed: str) -> Randomness:
    counter = itertools.count()
    return lambda n: hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(n)


@pytest.fixture(params=GROUP_NAMES)
def group(request: Any) -> Group:
    return group_named(request.param)


def test_scalars_are_a_field(group: Group) -> None:
    randomness = seeded(group.name)
    for _ in range(20):
        a, b, c = (group.random_scalar(randomness) for _ in range(3))
        x, y = a.vartime_int(), b.vartime_int()
        assert (a + b).vartime_int() == (x + y) % group.order
        assert (a * b).vartime_int() == x * y % group.order
        assert (a - b).vartime_int() == (x - y) % group.order
        assert (-a).vartime_int() == -x % group.order
        assert a * (b + c) == a * b + a * c
        assert a * a.inverse() == group.one == a * group.vartime_inverse(a)
        assert group.decode_scalar(a.encode()) == a


def test_scalar_edges(group: Group) -> None:
    zero, one, last = group.zero, group.one, group.scalar(-1)
    assert zero.is_zero() and not one.is_zero()
    assert zero + zero == zero == one + last == zero * last == last * zero == -zero == one - one
    assert zero + one == one == one + zero and last * last == one and -one == last
    for operation in (zero.inverse, lambda: group.vartime_inverse(zero)):
        with pytest.raises(UsageError):
            operation()


def test_wide_reduction(group: Group) -> None:
    for wide in (bytes(group.wide_bytes), b"\xff" * group.wide_bytes, seeded("wide")(group.wide_bytes)):
        expected = int.from_bytes(wide, group.byte_order) % group.order  # type: ignore[arg-type]
        assert group.scalar_from_wide(wide).vartime_int() == expected
    with pytest.raises(UsageError):
        group.scalar_from_wide(bytes(group.wide_bytes - 1))


def test_elements_are_a_group(group: Group) -> None:
    randomness = seeded("elements" + group.name)
    a, b = group.random_scalar(randomness), group.random_scalar(randomness)
    A, B = group.base_mul(a), group.base_mul(b)
    assert group.base_mul(a + b) == A + B
    assert group.base_mul(a - b) == A - B
    assert b * A == a * B == A.vartime_mul(b) == group.base_mul(a * b)
    assert A - A == group.identity == A + (-A) == group.zero * A == group.base_mul(group.zero)
    assert group.scalar(-1) * A == -A and A + group.identity == A and -group.identity == group.identity
    assert group.total([A, B, -A]) == B and group.total([]) == group.identity
    assert group.vartime_multi_mul([a, b], [B, A]) == group.base_mul(a * b + a * b)
    assert group.scalar(2) * A == A + A
    assert group.decode_element(A.encode()) == A and len({A, group.base_mul(a), B}) == 2


def test_encodings_are_refused(group: Group) -> None:
    order = group.order.to_bytes(group.scalar_bytes, group.byte_order)  # type: ignore[arg-type]
    for scalar in (order, b"\xff" * group.scalar_bytes, b"", bytes(group.scalar_bytes + 1), bytes(31)):
        with pytest.raises(DataError):
            group.decode_scalar(scalar)
    good = group.generator.encode()
    wrong = [b"", good[:-1], good + b"\0", bytes(group.element_bytes), b"\xff" * group.element_bytes]
    for data in [*wrong, bytearray(good), good.hex()]:
        with pytest.raises(DataError):
            group.decode_element(data)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        group.identity.encode()


def test_ed25519_refuses_other_subgroups() -> None:
    group = group_named("ed25519")
    p = 2**255 - 19
    small_order = [
        1,
        0,
        p - 1,
        2**255 - 19 + 1,
    ]  # y of the identity, of order 4, of order 2, and a non-canonical 1
    raw = [y.to_bytes(32, "little") for y in small_order]
    raw.append(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))  # order 8
    base = group.generator.encode()
    y, sign = int.from_bytes(base, "little") & (2**255 - 1), base[31] >> 7
    raw.append(
        ((p - y) | ((sign ^ 1) << 255)).to_bytes(32, "little")
    )  # the generator plus the point of order 2
    raw.append((2).to_bytes(32, "little"))  # not on the curve
    for data in raw:
        with pytest.raises(DataError):
            group.decode_element(data)


def test_secp256k1_refuses_other_forms() -> None:
    group = group_named("secp256k1")
    good = group.generator.encode()
    for prefix in (0, 1, 4, 5, 6, 7, 255):
        with pytest.raises(DataError):
            group.decode_element(bytes([prefix]) + good[1:])
    for x in (0, 5, 2**256 - 2**32 - 977, 2**256 - 1):  # 0 and 5 are on no point; the others are not reduced
        with pytest.raises(DataError):
            group.decode_element(b"\x02" + x.to_bytes(32, "big"))


def test_groups_do_not_mix() -> None:
    a, b = group_named("ed25519"), group_named("ristretto255")
    for wrong in (
        lambda: a.one + b.one,
        lambda: a.one * b.one,
        lambda: b.one * a.generator,
        lambda: a.generator.vartime_mul(b.one),
        lambda: a.generator + b.generator,
        lambda: a.base_mul(b.one),
        lambda: a.vartime_multi_mul([a.one], []),
        lambda: group_named("p-1"),
    ):
        with pytest.raises(UsageError):
            wrong()
    assert a.one != b.one and a.identity != b.identity


def test_scalars_are_never_shown(group: Group) -> None:
    secret = group.random_scalar(seeded("canary"))
    shown = f"{secret!r} {secret} {[secret]} {group!r}"
    assert (
        secret.encode().hex() not in shown and str(secret.vartime_int()) not in shown and "redacted" in shown
    )
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
