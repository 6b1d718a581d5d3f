"""FROST: every suite under ordinary verifiers, nonces once, wrong shares named, on random schedules."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("nacl")
pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

import coincurve
import nacl.signing
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from threshold_network import seeded

from tacit.crypto.groups import Scalar
from tacit.errors import DataError, MaterialError, PeerMisbehaved, UsageError
from tacit.threshold import dealer, frost
from tacit.threshold.keys import KeyShare, taproot_output
from tacit.threshold.suites import SUITE_NAMES, suite_named

NAMES = ["Ada", "Ben", "Cem", "Dina", "Edo"]


def deal(suite: str, t: int, n: int, seed: object = 0) -> dict[int, KeyShare]:
    dealt = dealer.deal(suite_named(suite), t, NAMES[:n], seeded(seed))
    return {share.identifier: share for share, _ in dealt.values()}


def round_1(
    shares: dict[int, KeyShare], signers: list[int], seed: object
) -> tuple[dict[int, Any], list[Any]]:
    kept = {i: frost.commit(shares[i], seeded((seed, i))) for i in signers}
    return {i: n for i, (n, _) in kept.items()}, [c for _, c in kept.values()]


def ordinary_verify(suite: str, public: bytes, message: bytes, signature: bytes) -> None:
    if suite == "ed25519":
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        nacl.signing.VerifyKey(public).verify(message, signature)
    elif suite == "bip340":
        assert coincurve.PublicKeyXOnly(public).verify(signature, message)


@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_signatures_verify_with_ordinary_verifiers(suite: str) -> None:
    rng = random.Random(suite)
    for seed in range(24):  # for bip340: keys and nonces of both parities
        n = rng.randint(1, 5)
        t = rng.randint(1, n)
        shares = deal(suite, t, n, seed)
        signers = rng.sample(sorted(shares), rng.randint(t, n))
        message = rng.randbytes(rng.choice([0, 1, 32, 1000]))
        nonces, sent = round_1(shares, signers, seed)
        rng.shuffle(sent)
        parts = {i: frost.sign(shares[i], nonces[i], message, sent) for i in signers}
        group_key = shares[1].group_key
        signature = frost.aggregate(group_key, message, sent, parts)
        assert frost.verify(group_key, message, signature)
        assert not frost.verify(group_key, message + b"!", signature)
        ordinary_verify(suite, group_key.suite.public_key_bytes(group_key.key), message, signature)


@pytest.mark.parametrize("suite", ["ed25519", "bip340"])
def test_67_of_100(suite: str) -> None:
    names = [f"member {i}" for i in range(1, 101)]
    dealt = dealer.deal(suite_named(suite), 67, names, seeded("large"))
    shares = {share.identifier: share for share, _ in dealt.values()}
    signers = random.Random(1).sample(range(1, 101), 67)
    nonces, sent = round_1(shares, signers, "large")
    parts = {i: frost.sign(shares[i], nonces[i], b"m", sent) for i in signers}
    group_key = shares[1].group_key
    signature = frost.aggregate(group_key, b"m", sent, parts)
    ordinary_verify(suite, group_key.suite.public_key_bytes(group_key.key), b"m", signature)
    parts[signers[5]] = parts[signers[6]]
    with pytest.raises(PeerMisbehaved) as caught:
        frost.aggregate(group_key, b"m", sent, parts)
    assert caught.value.culprits == (names[signers[5] - 1],)


@pytest.mark.parametrize("root", [b"", bytes(range(32))])
def test_taproot_outputs(root: bytes) -> None:
    for seed in range(8):
        plain = deal("bip340", 2, 3, seed)
        shares = {i: taproot_output(share, root) for i, share in plain.items()}
        shares[1].group_key.check_consistent()
        nonces, sent = round_1(shares, [1, 3], seed)
        parts = {i: frost.sign(shares[i], nonces[i], b"spend", sent) for i in (1, 3)}
        signature = frost.aggregate(shares[1].group_key, b"spend", sent, parts)
        internal = coincurve.PublicKeyXOnly(plain[1].group_key.suite.public_key_bytes(plain[1].group_key.key))
        tweak = shares[1].group_key.suite.taproot_tweak(plain[1].group_key.key, root)  # type: ignore[attr-defined]
        internal.tweak_add(tweak.encode())  # libsecp256k1's own derivation of the output key
        assert internal.verify(signature, b"spend")
    with pytest.raises(UsageError):
        taproot_output(deal("secp256k1", 2, 3)[1])
    with pytest.raises(UsageError):
        taproot_output(plain[1], b"short")


@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_nonces_work_once(suite: str) -> None:
    shares = deal(suite, 2, 3)
    nonces, sent = round_1(shares, [1, 2], 0)
    frost.sign(shares[1], nonces[1], b"one", sent)
    with pytest.raises(MaterialError):
        frost.sign(shares[1], nonces[1], b"two", sent)
    with pytest.raises(MaterialError):
        frost.sign(shares[1], nonces[1], b"one", sent)
    with pytest.raises(DataError):
        frost.sign(shares[2], nonces[2], b"one", sent[:1])
    with pytest.raises(MaterialError):  # spent although the package was wrong
        frost.sign(shares[2], nonces[2], b"one", sent)
    with pytest.raises(TypeError):
        pickle.dumps(nonces[1])
    assert "redacted" in repr(nonces[1])


def test_wrong_packages_are_refused() -> None:
    shares = deal("ed25519", 2, 3)
    group = shares[1].group_key.suite.group

    def package(change: Callable[[list[frost.Commitment]], list[frost.Commitment]]) -> Callable[[], Scalar]:
        nonces, sent = round_1(shares, [1, 2], 5)
        return lambda: frost.sign(shares[1], nonces[1], b"m", change(sent))

    foreign = frost.Commitment(9, group.generator, group.generator)
    zero = frost.Commitment(2, group.identity, group.generator)
    nul = frost.Commitment(0, group.generator, group.generator)
    other = frost.Commitment(2, *(suite_named("ristretto255").group.generator,) * 2)
    for change in (
        lambda s: [],
        lambda s: s[:1],
        lambda s: s[1:],
        lambda s: [*s, s[0]],
        lambda s: [*s, s[1]],
        lambda s: [*s, foreign],
        lambda s: [s[0], zero],
        lambda s: [s[0], nul],
        lambda s: [s[0], other],
        lambda s: [frost.Commitment(1, s[0].binding, s[0].hiding), s[1]],
    ):
        with pytest.raises(DataError):
            package(change)()


@pytest.mark.parametrize("suite", SUITE_NAMES)
def test_wrong_shares_are_named(suite: str) -> None:
    for seed in range(6):
        shares = deal(suite, 3, 5, seed)
        group, group_key = shares[1].group_key.suite.group, shares[1].group_key
        signers = [1, 2, 4, 5]
        nonces, sent = round_1(shares, signers, seed)
        parts = {i: frost.sign(shares[i], nonces[i], b"m", sent) for i in signers}
        for culprits in ([2], [1, 5], signers):
            wrong = {i: z + group.scalar(i) if i in culprits else z for i, z in parts.items()}
            with pytest.raises(PeerMisbehaved) as caught:
                frost.aggregate(group_key, b"m", sent, wrong)
            assert list(caught.value.culprits) == [NAMES[i - 1] for i in culprits]
        swapped = {**parts, 1: parts[2], 2: parts[1]}  # their sum is right: a good signature, no harm done
        assert frost.verify(group_key, b"m", frost.aggregate(group_key, b"m", sent, swapped))
        cases: list[dict[int, Scalar]] = [{}, {1: parts[1]}, {**parts, 3: parts[1]}]
        for shares_given in cases:
            with pytest.raises(DataError):
                frost.aggregate(group_key, b"m", sent, shares_given)


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80))
def test_verifying_arbitrary_bytes_never_raises(data: bytes) -> None:
    for suite in SUITE_NAMES:
        assert not frost.verify(deal(suite, 2, 3)[1].group_key, b"m", data)


def test_members_by_name() -> None:
    group_key = deal("ed25519", 2, 3)[1].group_key
    assert frost.check_signers(group_key, ["Cem", "Ada"]) == (1, 3)
    for names in (["Ada"], ["Ada", "Ada"], ["Ada", "Mallory"]):
        with pytest.raises(UsageError):
            frost.check_signers(group_key, names)


class Signing(RuleBasedStateMachine):
    """Several orders at once; commitments and shares late, twice, mixed between orders, or altered.

    Invariants: every signature that comes out is on the message asked for; a failure names exactly those who
    altered their share; no pair of nonces ever answers twice.
    """

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.shares = deal("ed25519", 2, 4, "machine")
        self.seed, self.count = seed, 0
        self.held: list[tuple[int, frost.Nonces, frost.Commitment]] = []
        self.answered: dict[bytes, bytes] = {}
        self.good: list[tuple[bytes, bytes]] = []

    @rule(signer=st.integers(1, 4))
    def commit(self, signer: int) -> None:
        self.count += 1
        nonces, commitment = frost.commit(self.shares[signer], seeded((self.seed, self.count)))
        self.held.append((signer, nonces, commitment))

    @precondition(lambda self: len(self.held) >= 2)
    @rule(data=st.data(), message=st.binary(max_size=3), alter=st.sets(st.integers(1, 4), max_size=2))
    def sign(self, data: st.DataObject, message: bytes, alter: set[int]) -> None:
        indices = st.lists(st.integers(0, len(self.held) - 1), min_size=1, max_size=4)
        chosen = [self.held[i] for i in data.draw(indices)]
        sent = [commitment for _, _, commitment in chosen]
        parts: dict[int, Scalar] = {}
        for signer, nonces, commitment in chosen:
            try:
                part = frost.sign(self.shares[signer], nonces, message, sent)
            except (DataError, MaterialError):
                continue
            name = commitment.encode()
            assert name not in self.answered, "a pair of nonces answered twice"
            self.answered[name] = message
            parts[signer] = part + part if signer in alter else part
        try:
            signature = frost.aggregate(self.shares[1].group_key, message, sent, parts)
        except DataError:
            return
        except PeerMisbehaved as error:
            assert set(error.culprits) == {NAMES[i - 1] for i in alter & set(parts)}
            return
        assert not alter & set(parts)
        self.good.append((message, signature))

    @invariant()
    def signatures_are_right(self) -> None:
        for message, signature in getattr(self, "good", []):
            assert frost.verify(self.shares[1].group_key, message, signature)


TestSigning = Signing.TestCase
TestSigning.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
