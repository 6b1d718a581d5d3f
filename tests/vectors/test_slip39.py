"""The official SLIP-39 vectors, failures included (../shared/vectors/slip39/SOURCE)."""

import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tacit.errors import DataError
from tacit.threshold import slip39

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("TACIT_SHARED", ROOT.parent / "shared"))
FILE = SHARED / "vectors" / "slip39" / "vectors.json"
VECTORS = json.loads(FILE.read_text()) if FILE.exists() else []

pytestmark = pytest.mark.skipif(not VECTORS, reason="shared/vectors/slip39/vectors.json is absent")
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def xprv(seed: bytes) -> str:
    """The BIP-32 master key of a seed, as the vectors print it."""
    i = hmac.digest(b"Bitcoin seed", seed, "sha512")
    raw = bytes.fromhex("0488ade4") + bytes(9) + i[32:] + b"\0" + i[:32]
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, out = int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, 58)
        out = BASE58[digit] + out
    return out


@pytest.mark.parametrize("vector", VECTORS, ids=[v[0] for v in VECTORS])
def test_official(vector: Any) -> None:
    _, mnemonics, secret, master_key = vector
    if not secret:
        with pytest.raises(DataError):
            slip39.combine(mnemonics, b"TREZOR")
        return
    assert slip39.combine(mnemonics, b"TREZOR").hex() == secret
    assert xprv(bytes.fromhex(secret)) == master_key
    for mnemonic in mnemonics:
        assert str(slip39.parse(mnemonic)) == mnemonic


def test_all_are_there() -> None:
    assert len(VECTORS) == 45
    assert sum(1 for v in VECTORS if not v[2]) == 30
