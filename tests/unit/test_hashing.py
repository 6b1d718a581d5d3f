"""Key derivation against Wycheproof; digests that separate domains and fields."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from pathlib import Path

import pytest

from tacit.crypto.hashing import digest, hkdf

SHARED = Path(os.environ.get("TACIT_SHARED", Path(__file__).resolve().parents[3] / "shared"))
HKDF = SHARED / "vectors" / "wycheproof" / "hkdf_sha256_test.json.xz"


@pytest.mark.skipif(not HKDF.exists(), reason=f"no test vectors at {HKDF}; set TACIT_SHARED")
def test_wycheproof_hkdf_sha256() -> None:
    groups = json.loads(lzma.decompress(HKDF.read_bytes()))["testGroups"]
    seen = 0
    for test in (t for g in groups for t in g["tests"]):
        key, salt, info = (bytes.fromhex(test[f]) for f in ("ikm", "salt", "info"))
        if test["result"] == "invalid":
            with pytest.raises(ValueError):
                hkdf(key, info, test["size"], salt)
        else:
            assert hkdf(key, info, test["size"], salt).hex() == test["okm"], test["tcId"]
        seen += 1
    assert seen == 86


def test_rfc5869_first_example() -> None:
    got = hkdf(bytes([0x0B] * 22), bytes(range(0xF0, 0xFA)), 42, bytes(range(13)))
    assert got.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )


def test_digest_is_what_it_says() -> None:
    fields = (b"tacit/domain", b"a", b"bc")
    raw = b"".join(len(f).to_bytes(8, "little") + f for f in fields)
    assert digest("domain", b"a", b"bc") == hashlib.sha256(raw).digest()


def test_no_two_lists_of_fields_collide() -> None:
    lists = [(), (b"",), (b"", b""), (b"ab",), (b"a", b"b"), (b"b", b"a"), (b"ab", b""), (b"\0" * 8,)]
    digests = {digest(d, *fields) for d in ("x", "y") for fields in lists}
    assert len(digests) == 2 * len(lists)
