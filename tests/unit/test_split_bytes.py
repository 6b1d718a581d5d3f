"""Shamir over a prime field and over GF(256): privacy by enumeration, refusals, damage."""

import itertools
import os
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tacit.algebra import field
from tacit.algebra.field import PrimeField
from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold import slip39, split


def seeded(seed: Any) -> Any:
    return random.Random(seed).randbytes


def test_gf256_against_tables() -> None:
    # x + 1 generates the multiplicative group (FIPS 197): an independent construction of the products.
    exp, value = [], 1
    for _ in range(255):
        exp.append(value)
        value ^= value << 1 ^ (0x11B if value & 0x80 else 0)
    assert sorted(exp) == list(range(1, 256))
    log = {v: i for i, v in enumerate(exp)}
    everything = bytes(range(256))
    for c in range(256):
        expected = bytes(0 if not (c and v) else exp[(log[c] + log[v]) % 255] for v in range(256))
        assert field.gf256_scale(everything, c) == expected
        assert bytes(field.gf256_multiply(v, c) for v in range(256)) == expected
        if c:
            assert field.gf256_multiply(c, field.gf256_inverse(c)) == 1


@given(st.binary(max_size=80), st.integers(1, 6), st.integers(0, 4), st.integers(0, 2**32))
def test_any_threshold_shares_combine(secret: Any, threshold: Any, more: Any, seed: Any) -> None:
    shares = split.split_bytes(secret, threshold, threshold + more, seeded(seed))
    chosen = random.Random(seed).sample(shares, threshold)
    assert split.combine_bytes(chosen) == secret
    assert split.combine_bytes(shares) == secret


def test_two_of_three_prime_field_is_perfectly_hiding() -> None:
    """Every single share has the same distribution for every secret: all tapes of a field of 7."""
    views = {}
    for secret in range(7):
        for i in range(3):
            tape = [iter([bytes([c])]) for c in range(7)]
            views[secret, i] = Counter(
                split.split_integer(PrimeField(7), secret, 2, 3, lambda n, t=t: next(t))[i].value
                for t in tape
            )
    for i in range(3):
        assert len({tuple(sorted(views[s, i].items())) for s in range(7)}) == 1


def test_gf256_single_byte_share_is_uniform_for_every_secret() -> None:
    for secret in (0, 1, 255):
        for index in (1, 2, 255):
            seen = Counter(field.gf256_evaluate([bytes([secret]), bytes([a])], index)[0] for a in range(256))
            assert set(seen.values()) == {1} and len(seen) == 256


@given(st.integers(0, 10**9), st.integers(1, 5), st.integers(0, 3))
def test_integers(seed: Any, threshold: Any, more: Any) -> None:
    prime = PrimeField(2**127 - 1)
    secret = random.Random(seed).randrange(prime.q)
    shares = split.split_integer(prime, secret, threshold, threshold + more, seeded(seed))
    assert split.combine_integers(prime, shares[::-1], threshold) == secret
    if more:
        wrong = [replace(shares[0], value=(shares[0].value + 1) % prime.q), *shares[1:]]
        with pytest.raises(DataError, match="polynomial"):
            split.combine_integers(prime, wrong, threshold)


@pytest.mark.parametrize(("t", "n"), [(0, 3), (4, 3), (-1, 2), (2, 256), (True, 3)])
def test_impossible_thresholds(t: Any, n: Any) -> None:
    with pytest.raises(UsageError):
        split.split_bytes(b"x", t, n, os.urandom)


@pytest.mark.parametrize("index", [0, -1, 4, 256, True])
def test_indices_zero_and_out_of_range_refused(index: Any) -> None:
    shares = split.split_bytes(b"secret", 2, 3, seeded(1))
    with pytest.raises(DataError, match="index"):
        split.combine_bytes([replace(shares[0], index=index), shares[1]])
    with pytest.raises(DataError, match="index"):
        split.combine_integers(
            PrimeField(101), [split.Share(index if index != 4 and index != 256 else 101, 1)], 1
        )


def test_duplicates_and_strangers_refused() -> None:
    shares = split.split_bytes(b"secret", 2, 3, seeded(1))
    others = split.split_bytes(b"secret", 2, 3, seeded(2))
    with pytest.raises(DataError, match="same index"):
        split.combine_bytes([shares[0], shares[0]])
    with pytest.raises(DataError, match="different secrets"):
        split.combine_bytes([shares[0], others[1]])
    with pytest.raises(DataError, match="needed"):
        split.combine_bytes(shares[:1])
    with pytest.raises(DataError, match="no shares"):
        split.combine_bytes([])


def test_damage_is_found_and_with_a_spare_share_named() -> None:
    shares = split.split_bytes(b"the combination is 4711", 3, 6, seeded(5))
    for position in range(0, len(shares[0].body), 7):
        body = bytearray(shares[1].body)
        body[position] ^= 1
        bad = replace(shares[1], body=bytes(body))
        with pytest.raises(DataError, match="wrong"):
            split.combine_bytes([shares[0], bad, shares[2]])
        with pytest.raises(PeerMisbehaved) as caught:
            split.combine_bytes([shares[0], bad, shares[2], shares[4]])
        assert caught.value.culprits == ("share 2",)


def test_a_holder_who_knows_the_secret_cannot_change_it() -> None:
    """Shifting a share shifts the payload by a chosen amount; the shared one-time key makes the tag
    unforgeable.
    """
    secret = b"pay 100 to Alice"
    shares = split.split_bytes(secret, 2, 2, seeded(9))
    weight = field.gf256_lagrange([1, 2])[0]
    delta = field.xor(secret, b"pay 999 to Mally") + bytes(64)
    shift = field.gf256_scale(delta, field.gf256_inverse(weight))
    moved = replace(shares[0], body=field.xor(shares[0].body, shift))
    payload = field.gf256_interpolate([1, 2], [moved.body, shares[1].body])
    assert payload.startswith(b"pay 999 to Mally")
    with pytest.raises(DataError, match="wrong"):
        split.combine_bytes([moved, shares[1]])


def test_secret_values_stay_out_of_repr() -> None:
    share = split.split_bytes(b"canary-value", 1, 1, seeded(1))[0]
    assert "canary" not in repr(share) and "body" not in repr(share)
    assert "canary" not in repr(split.split_integer(PrimeField(101), 7, 1, 1, seeded(1)))


@given(st.integers(0, 2**32), st.sampled_from([16, 18, 32, 64]), st.booleans())
def test_slip39_round_trip(seed: Any, size: Any, extendable: Any) -> None:
    rng = random.Random(seed)
    secret = rng.randbytes(size)
    groups = [(1, 1), (2, 3), (3, 5)]
    made = slip39.split(
        secret, groups, seeded(seed), group_threshold=2, passphrase=b"pass", extendable=extendable, exponent=0
    )
    chosen = rng.sample(range(3), 2)
    words = [str(m) for g in chosen for m in rng.sample(made[g], groups[g][0])]
    rng.shuffle(words)
    assert slip39.combine(words, b"pass") == secret
    assert slip39.combine(words, b"other") != secret


def test_slip39_refusals() -> None:
    entropy = seeded(3)
    made = [str(m) for m in slip39.split(bytes(16), [(2, 3)], entropy, exponent=0)[0]]
    for wrong, match in (
        ([], "no mnemonics"),
        ([made[0]], "exactly 2"),
        (made, "exactly 2"),
        ([made[0], made[0]], "twice"),
        ([made[0], made[1].rsplit(" ", 1)[0] + " xyzzy"], "not in the SLIP-39 list"),
        ([made[0], " ".join(sorted(made[1].split()))], "checksum"),
    ):
        with pytest.raises(DataError, match=match):
            slip39.combine(wrong)
    for arguments in (
        (bytes(15), [(2, 3)]),
        (bytes(17), [(2, 3)]),
        (bytes(16), [(1, 2)]),
        (bytes(16), [(3, 2)]),
        (bytes(16), [(2, 17)]),
        (bytes(16), []),
    ):
        with pytest.raises(UsageError):
            slip39.split(*arguments, entropy)
    with pytest.raises(UsageError):
        slip39.split(bytes(16), [(2, 3)], entropy, passphrase="é".encode())


def test_every_subset_below_the_threshold_says_nothing_about_a_bit() -> None:
    """Two of three shares of a 3-of-3 over GF(7): same joint distribution whatever the secret."""
    prime, views = PrimeField(7), {}
    for secret in range(7):
        for pair in itertools.combinations(range(3), 2):
            seen = Counter()
            for a, b in itertools.product(range(7), repeat=2):
                tape = iter([bytes([a]), bytes([b])])
                shares = split.split_integer(prime, secret, 3, 3, lambda n, t=tape: next(t))
                seen[tuple(shares[i].value for i in pair)] += 1
            views[secret, pair] = tuple(sorted(seen.items()))
    for pair in itertools.combinations(range(3), 2):
        assert len({views[s, pair] for s in range(7)}) == 1
