"""Shares as files: strict JSON that a person can keep for years, and a verifiable form for secrets of any size.

The verifiable form encrypts the secret under a fresh random key and shares the key (Krawczyk, "Secret
sharing made short", CRYPTO 1993) with Feldman's or Pedersen's commitments. So a wrong share is named even
without spares, and every holder can check its own on receipt; secrecy then rests on the cipher, not on
information theory.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tacit.crypto.encoding import pack
from tacit.crypto.groups import Group, Randomness, Scalar, group_named
from tacit.crypto.hashing import digest
from tacit.crypto.stream import open_bytes, seal_bytes
from tacit.errors import DataError, UsageError
from tacit.threshold import vss
from tacit.threshold.split import SET_BYTES, ByteShare

FORMAT = "tacit-share-1"
GF256, FELDMAN, PEDERSEN = "gf256", "feldman", "pedersen"
MAX_SECRET_BYTES = 64 << 20
_COMMON = {"format", "scheme", "set", "threshold", "shares", "index", "body"}
_VERIFIABLE = _COMMON | {"group", "commitments", "value", "blind"}


@dataclass(frozen=True, slots=True)
class SealedShare:
    """One share of a verifiably shared key, with the encrypted secret beside it."""

    public: vss.Commitments
    set_id: bytes
    body: bytes = field(repr=False)
    share: vss.ScalarShare

    def fingerprint(self) -> str:
        """Return what holders compare with one another: alike means that the dealer gave all the same commitments."""
        return _fingerprint(self.public, self.set_id, self.body).hex()


AnyShare = ByteShare | SealedShare


def _fingerprint(public: vss.Commitments, set_id: bytes, body: bytes) -> bytes:
    elements = pack([element.encode() for element in public.elements])
    shape = bytes([public.threshold, public.count, public.pedersen])
    return digest(
        "split/sealed", public.group.name.encode(), set_id, shape, elements, digest("split/body", body)
    )


def _key(secret: Scalar, set_id: bytes) -> bytes:
    return digest("split/key", secret.group.name.encode(), set_id, secret.encode())


def split_sealed(
    secret: bytes, scheme: str, threshold: int, count: int, randomness: Randomness, group: Group | None = None
) -> list[SealedShare]:
    """Share a secret of any size verifiably, by `scheme` feldman or pedersen."""
    group = group or group_named("ristretto255")
    key, set_id = group.random_scalar(randomness), randomness(SET_BYTES)
    deal = {FELDMAN: vss.feldman, PEDERSEN: vss.pedersen}[scheme]
    public, shares = deal(key, threshold, count, randomness)
    body = seal_bytes(_key(key, set_id), secret, b"split")
    return [SealedShare(public, set_id, body, share) for share in shares]


def combine_sealed(shares: Sequence[SealedShare]) -> bytes:
    """Return the secret; PeerMisbehaved names wrong shares, DataError differing public parts."""
    if not shares:
        raise DataError("no shares were given")
    if len({share.fingerprint() for share in shares}) != 1:
        raise DataError(
            "the shares' public parts differ: they belong to different secrets, or some were altered"
        )
    first = shares[0]
    key = vss.combine(first.public, [share.share for share in shares])
    return open_bytes(_key(key, first.set_id), first.body, b"split")


def is_valid(share: SealedShare) -> bool:
    """Say whether a holder's share fits the commitments in it."""
    return vss.is_valid(share.public, share.share)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def to_json(share: AnyShare) -> bytes:
    """Write one share; the result is secret."""
    document: dict[str, Any] = {"format": FORMAT, "set": share.set_id.hex(), "body": _base64(share.body)}
    if isinstance(share, ByteShare):
        document |= {
            "scheme": GF256,
            "threshold": share.threshold,
            "shares": share.count,
            "index": share.index,
        }
    else:
        public, own = share.public, share.share
        document |= {
            "scheme": PEDERSEN if public.pedersen else FELDMAN,
            "threshold": public.threshold,
            "shares": public.count,
            "index": own.index,
            "group": public.group.name,
            "commitments": [element.encode().hex() for element in public.elements],
            "value": own.value.encode().hex(),
            "blind": None if own.blind is None else own.blind.encode().hex(),
        }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise DataError("a share has the same entry twice")
    return dict(pairs)


def from_json(data: bytes) -> AnyShare:
    """Read one share; DataError for anything that `to_json` does not write."""
    try:
        d = json.loads(data.decode("ascii"), object_pairs_hook=_unique)
        if not isinstance(d, dict) or d.get("format") != FORMAT:
            raise DataError("this is not a share of this version")
        if set(d) != (_COMMON if d["scheme"] == GF256 else _VERIFIABLE):
            raise DataError("a share does not have the expected entries")
        numbers = [d["threshold"], d["shares"], d["index"]]
        if any(type(n) is not int or not 1 <= n <= 255 for n in numbers):
            raise DataError("a share states an impossible threshold, number or index")
        set_id, body = bytes.fromhex(d["set"]), base64.b64decode(d["body"], validate=True)
        if len(set_id) != SET_BYTES:
            raise DataError("a share has a malformed set")
        if d["scheme"] == GF256:
            return ByteShare(set_id, numbers[0], numbers[1], numbers[2], body)
        return _sealed_from(d, set_id, body)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, UsageError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError("this is not a share") from None


def _sealed_from(d: dict[str, Any], set_id: bytes, body: bytes) -> SealedShare:
    if d["scheme"] not in (FELDMAN, PEDERSEN):
        raise DataError("a share is of an unknown scheme")
    group = group_named(d["group"])
    elements = tuple(group.decode_element(bytes.fromhex(e)) for e in d["commitments"])
    public = vss.Commitments(group, d["threshold"], d["shares"], elements, d["scheme"] == PEDERSEN)
    blind = None if d["blind"] is None else group.decode_scalar(bytes.fromhex(d["blind"]))
    value = group.decode_scalar(bytes.fromhex(d["value"]))
    return SealedShare(public, set_id, body, vss.ScalarShare(d["index"], value, blind))
