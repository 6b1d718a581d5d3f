"""Run the published vectors of FROST (RFC 9591), BIP-340 and the verifiers we rely on (Wycheproof)."""

from __future__ import annotations

import csv
import json
import lzma
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nacl")
pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

import coincurve
import nacl.exceptions
import nacl.signing
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tacit.errors import DataError
from tacit.threshold import dealer, frost
from tacit.threshold.suites import suite_named

SHARED = Path(os.environ.get("TACIT_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "vectors"

FROST = {
    "ed25519": "frost-ed25519-sha512.json",
    "ristretto255": "frost-ristretto255-sha512.json",
    "secp256k1": "frost-secp256k1-sha256.json",
}


def path_of(folder: str, file: str) -> Path:
    path = SHARED / folder / file
    if not path.exists():
        pytest.skip(f"vectors {folder}/{file} are not here")
    return path


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def replay(suite_name: str, vectors: Any) -> tuple[frost.GroupKey, bytes, bytes]:
    """Run both rounds and aggregation on the inputs of a vector and compare every stated value."""
    suite = suite_named(suite_name)
    group, inputs = suite.group, vectors["inputs"]
    tape = [unhex(x) for x in inputs["share_polynomial_coefficients"]]
    coefficients = [group.decode_scalar(unhex(inputs["group_secret_key"])), *map(group.decode_scalar, tape)]
    shares = {}
    for entry in inputs["participant_shares"]:
        share = dealer.evaluate(coefficients, entry["identifier"])
        assert share.encode().hex() == entry["participant_share"]
        shares[entry["identifier"]] = share
    group_key = frost.GroupKey(
        suite=suite,
        threshold=int(vectors["config"]["MIN_PARTICIPANTS"]),
        key=group.base_mul(coefficients[0]),
        shares={i: group.base_mul(s) for i, s in shares.items()},
        names={i: f"P{i}" for i in shares},
    )
    public = inputs.get("group_public_key", inputs.get("verifying_key_key"))
    assert group_key.key.encode().hex() == public
    message = unhex(inputs["message"])
    kept, sent = {}, []
    for entry in vectors["round_one_outputs"]["outputs"]:
        randomness = iter([unhex(entry["hiding_nonce_randomness"]), unhex(entry["binding_nonce_randomness"])])
        i = entry["identifier"]
        nonces, commitment = frost.commit(
            frost.KeyShare(i, shares[i], group_key), lambda _n, tape=randomness: next(tape)
        )
        hiding, binding = nonces.spend()
        assert hiding.encode().hex() == entry["hiding_nonce"]
        assert binding.encode().hex() == entry["binding_nonce"]
        assert commitment.hiding.encode().hex() == entry["hiding_nonce_commitment"]
        assert commitment.binding.encode().hex() == entry["binding_nonce_commitment"]
        kept[i] = frost.Nonces(hiding, binding, commitment)
        sent.append(commitment)
    joint = frost._join(group_key, message, sent)
    for entry in vectors["round_one_outputs"]["outputs"]:
        assert joint.factors[entry["identifier"]].encode().hex() == entry["binding_factor"]
        prefix = group_key.key.encode() + suite.h4(message) + suite.h5(frost.encode_commitments(suite, sent))
        stated = prefix + group.scalar(entry["identifier"]).encode()
        assert stated.hex() == entry["binding_factor_input"]
    produced = {}
    for entry in vectors["round_two_outputs"]["outputs"]:
        i = entry["identifier"]
        produced[i] = frost.sign(frost.KeyShare(i, shares[i], group_key), kept[i], message, sent)
        assert produced[i].encode().hex() == entry["sig_share"]
    signature = frost.aggregate(group_key, message, sent, produced)
    assert frost.verify(group_key, message, signature)
    return group_key, message, signature


@pytest.mark.parametrize("suite_name", sorted(FROST))
def test_rfc9591(suite_name: str) -> None:
    vectors = json.loads(path_of("frost-rfc9591", FROST[suite_name]).read_text())
    group_key, message, signature = replay(suite_name, vectors)
    assert signature.hex() == vectors["final_output"]["sig"]
    for position in range(0, len(signature), 7):
        changed = bytearray(signature)
        changed[position] ^= 1
        assert not frost.verify(group_key, message, bytes(changed))
    assert not frost.verify(group_key, message + b"x", signature)


def test_rfc9591_ed25519_under_ordinary_verifiers() -> None:
    vectors = json.loads(path_of("frost-rfc9591", FROST["ed25519"]).read_text())
    group_key, message, signature = replay("ed25519", vectors)
    public = group_key.suite.public_key_bytes(group_key.key)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    nacl.signing.VerifyKey(public).verify(message, signature)


def test_frost_taproot_agrees_with_the_zcash_foundation() -> None:
    vectors = json.loads((Path(__file__).parent / "frost-secp256k1-tr.json").read_text())
    group_key, message, signature = replay("bip340", vectors)
    assert signature.hex() == vectors["sig"]
    public = coincurve.PublicKeyXOnly(group_key.suite.public_key_bytes(group_key.key))
    assert public.verify(signature, message)


def test_bip340() -> None:
    suite = suite_named("bip340")
    cases = list(csv.DictReader(path_of("bip340", "test-vectors.csv").read_text().splitlines()))
    assert len(cases) >= 19
    for case in cases:
        public, message, signature = (unhex(case[k]) for k in ("public key", "message", "signature"))
        expected = case["verification result"] == "TRUE"
        try:
            key = suite.group.decode_element(b"\x02" + public)
            ours = suite.verify(key, message, signature)
        except DataError:
            ours = False
        try:
            theirs = coincurve.PublicKeyXOnly(public).verify(signature, message)
        except ValueError:
            theirs = False
        assert ours == expected == theirs, case["index"]
        if case["secret key"]:
            secret = suite.group.decode_scalar(unhex(case["secret key"]))
            assert suite.public_key_bytes(suite.group.base_mul(secret)) == public


def wycheproof(file: str) -> list[Any]:
    with lzma.open(path_of("wycheproof", file)) as text:
        groups: list[Any] = json.load(text)["testGroups"]
    return groups


def test_wycheproof_ed25519() -> None:
    """Our verifier and the library's agree with Wycheproof."""
    suite, count = suite_named("ed25519"), 0
    for group in wycheproof("ed25519_test.json.xz"):
        public = unhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            message, signature = unhex(case["msg"]), unhex(case["sig"])
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
                library = True
            except InvalidSignature:
                library = False
            try:
                ours = suite.verify(suite.group.decode_element(public), message, signature)
            except DataError:
                ours = False
            assert library == ours == (case["result"] == "valid"), case["tcId"]
            count += 1
    assert count > 100


def test_wycheproof_ecdsa_secp256k1() -> None:
    """The libraries under the secp256k1 group refuse what Wycheproof says they must."""
    count = 0
    for group in wycheproof("ecdsa_secp256k1_sha256_test.json.xz"):
        point = unhex(group["publicKey"]["uncompressed"])
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), point)
        twin = coincurve.PublicKey(point)
        assert suite_named("secp256k1").group.decode_element(twin.format()).encode() == twin.format()
        for case in group["tests"]:
            message, signature = unhex(case["msg"]), unhex(case["sig"])
            try:
                key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
                result = True
            except InvalidSignature:
                result = False
            assert result == (case["result"] == "valid"), case["tcId"]
            try:
                strict = twin.verify(signature, message)
            except ValueError:
                strict = False
            # libsecp256k1 takes low-s signatures only: it may refuse a valid one, never take an invalid one.
            assert result or not strict, case["tcId"]
            count += 1
    assert count > 100
