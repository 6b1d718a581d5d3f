"""Run the published vectors of the groups: ristretto255 (RFC 9496) and hashing to curves (RFC 9380)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nacl")
pytest.importorskip("rbcl")
pytest.importorskip("coincurve")

from tacit.crypto import hash_to_curve as h2c
from tacit.crypto.groups import group_named
from tacit.errors import DataError

SHARED = Path(os.environ.get("TACIT_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "vectors"


def load(folder: str, file: str) -> Any:
    path = SHARED / folder / file
    if not path.exists():
        pytest.skip(f"vectors {folder}/{file} are not here")
    return json.loads(path.read_text())


def test_ristretto255_multiples_and_refusals() -> None:
    vectors = load("ristretto255", "ristretto255.json")
    group = group_named("ristretto255")
    multiples = [bytes.fromhex(value) for value in vectors["base_multiples_0_to_15"]]
    with pytest.raises(DataError):
        group.decode_element(multiples[0])  # the identity: a correct encoding that no peer may send
    total = group.identity
    for k, encoding in enumerate(multiples[1:], start=1):
        total = total + group.generator
        assert total.encode() == encoding == group.base_mul(group.scalar(k)).encode()
        assert group.decode_element(encoding) == total
    assert len(vectors["bad_encodings"]) == 30
    for encoding in vectors["bad_encodings"]:
        with pytest.raises(DataError):
            group.decode_element(bytes.fromhex(encoding))


def test_ristretto255_one_way_map() -> None:
    vectors = load("ristretto255", "ristretto255.json")
    group: Any = group_named("ristretto255")
    import rbcl

    for case in vectors["from_uniform_64"]:
        assert bytes(rbcl.crypto_core_ristretto255_from_hash(bytes.fromhex(case["in"]))).hex() == case["out"]
    for case in vectors["rfc9497_hash_to_group"]:
        dst = b"HashToGroup-OPRFV1-" + bytes([case["mode"]]) + b"-ristretto255-SHA512"
        if case["mode"] != 0 and case["input"] == "":
            continue
        assert (
            group.vartime_hash_to_element(bytes.fromhex(case["input"]), dst).encode().hex() == case["element"]
        )


@pytest.mark.parametrize(
    "file",
    [
        "expand_message_xmd_SHA256_38.json",
        "expand_message_xmd_SHA256_256.json",
        "expand_message_xmd_SHA512_38.json",
    ],
)
def test_expand_message(file: str) -> None:
    vectors = load("h2c-rfc9380", file)
    for case in vectors["tests"]:
        got = h2c.expand_message_xmd(
            vectors["hash"].lower(),
            case["msg"].encode(),
            vectors["DST"].encode(),
            int(case["len_in_bytes"], 16),
        )
        assert got.hex() == case["uniform_bytes"]


CURVES = [
    ("secp256k1_XMD-SHA-256_SSWU_RO_.json", h2c.secp256k1_hash, "secp256k1", h2c.secp256k1_encode),
    ("secp256k1_XMD-SHA-256_SSWU_NU_.json", h2c.secp256k1_encode_to_curve, "secp256k1", h2c.secp256k1_encode),
    ("edwards25519_XMD-SHA-512_ELL2_RO_.json", h2c.edwards25519_hash, "ed25519", h2c.edwards25519_encode),
    (
        "edwards25519_XMD-SHA-512_ELL2_NU_.json",
        h2c.edwards25519_encode_to_curve,
        "ed25519",
        h2c.edwards25519_encode,
    ),
]


@pytest.mark.parametrize(("file", "function", "name", "encode"), CURVES, ids=[c[0] for c in CURVES])
def test_hash_to_curve(file: str, function: Any, name: str, encode: Any) -> None:
    vectors = load("h2c-rfc9380", file)
    group = group_named(name)
    for case in vectors["vectors"]:
        point = function(case["msg"].encode(), vectors["dst"].encode())
        assert point == (int(case["P"]["x"], 16), int(case["P"]["y"], 16))
        element = group.decode_element(encode(point))  # the library agrees that it is in the group
        if vectors["randomOracle"]:
            assert group.vartime_hash_to_element(case["msg"].encode(), vectors["dst"].encode()) == element
