"""Feldman's and Pedersen's verifiable sharing, and the mutants they must catch."""

import random
import secrets
from typing import Any

import pytest

pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

from tacit.crypto.groups import group_named
from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold import vss

GROUPS = ["ristretto255", "secp256k1", "ed25519"]


@pytest.fixture(params=GROUPS)
def group(request: Any) -> Any:
    return group_named(request.param)


@pytest.mark.parametrize("scheme", [vss.feldman, vss.pedersen])
def test_round_trip_and_culprit(group: Any, scheme: Any) -> None:
    secret = group.random_scalar(secrets.token_bytes)
    public, shares = scheme(secret, 3, 5, secrets.token_bytes)
    assert all(vss.is_valid(public, s) for s in shares)
    for _ in range(3):
        assert vss.combine(public, random.sample(shares, 3)) == secret
    wrong = vss.ScalarShare(2, shares[1].value + group.one, shares[1].blind)
    with pytest.raises(PeerMisbehaved) as caught:
        vss.combine(public, [shares[0], wrong, shares[2], shares[3]], {2: "bob"})
    assert caught.value.culprits == ("bob",)


@pytest.mark.parametrize("scheme", [vss.feldman, vss.pedersen])
def test_mutant_vector_of_t_plus_k(group: Any, scheme: Any) -> None:
    """A dealer who commits to a polynomial of higher degree: its shares verify, but t of them never combine."""
    secret = group.random_scalar(secrets.token_bytes)
    public, _ = scheme(secret, 4, 5, secrets.token_bytes)
    for wrong in (public.elements, public.elements[:2], ()):
        with pytest.raises(DataError, match="threshold"):
            vss.Commitments(group, 3, 5, tuple(wrong), public.pedersen)


def test_indices(group: Any) -> None:
    public, shares = vss.feldman(group.random_scalar(secrets.token_bytes), 2, 3, secrets.token_bytes)
    for index in (0, -1, 4, group.order, group.order + 1):
        with pytest.raises(DataError, match="index"):
            vss.combine(public, [vss.ScalarShare(index, shares[0].value), shares[1]])
    with pytest.raises(DataError, match="same index"):
        vss.combine(public, [shares[0], shares[0]])
    with pytest.raises(DataError, match="needed"):
        vss.combine(public, shares[:1])


def test_schemes_do_not_mix(group: Any) -> None:
    secret = group.random_scalar(secrets.token_bytes)
    feldman, plain = vss.feldman(secret, 2, 3, secrets.token_bytes)
    pedersen, blinded = vss.pedersen(secret, 2, 3, secrets.token_bytes)
    assert not vss.is_valid(feldman, blinded[0]) and not vss.is_valid(pedersen, plain[0])
    assert feldman.elements[0] == group.base_mul(secret)  # what Feldman reveals, and Pedersen does not
    assert pedersen.elements[0] != group.base_mul(secret)
    with pytest.raises(UsageError, match="zero"):
        vss.feldman(group.zero, 2, 3, secrets.token_bytes)
    public, shares = vss.pedersen(group.zero, 2, 3, secrets.token_bytes)
    assert vss.combine(public, shares[:2]).is_zero()
