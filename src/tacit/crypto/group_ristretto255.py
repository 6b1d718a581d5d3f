"""The group ristretto255 (RFC 9496) through libsodium (rbcl). See tacit.crypto.groups for the interface."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import rbcl  # type: ignore[import-untyped]

from tacit.crypto import hash_to_curve
from tacit.crypto.group_ed25519 import Curve25519Scalars
from tacit.crypto.groups import IDENTITY

_NEUTRAL = bytes(32)

# rbcl unpacks its libsodium into a temporary file, loads it and forgets the file; the loaded library
# outlives its name.
_loaded = Path(rbcl._sodium._name)
if _loaded.parent == Path(tempfile.gettempdir()) and _loaded.name.startswith("tmp"):
    _loaded.unlink(missing_ok=True)


class Ristretto255Group(Curve25519Scalars):
    """Wrap libsodium's ristretto255 functions."""

    name = "ristretto255"

    def _element_is_valid(self, data: bytes) -> bool:
        return data != _NEUTRAL and bool(rbcl.crypto_core_ristretto255_is_valid_point(data))

    def _base_multiply(self, scalar: bytes) -> bytes:
        return bytes(rbcl.crypto_scalarmult_ristretto255_base(scalar))

    def _multiply(self, scalar: bytes, element: bytes) -> bytes:
        return bytes(rbcl.crypto_scalarmult_ristretto255(scalar, element))

    _vartime_multiply = _multiply

    def _negate(self, element: bytes) -> bytes:
        return bytes(rbcl.crypto_core_ristretto255_sub(_NEUTRAL, element))

    def _total(self, elements: Sequence[bytes]) -> bytes:
        # The wrapper drops libsodium's return code; it is non-zero only for invalid encodings, which never
        # get here.
        result = elements[0]
        for element in elements[1:]:
            result = bytes(rbcl.crypto_core_ristretto255_add(result, element))
        return IDENTITY if result == _NEUTRAL else result

    def _vartime_hash_to_element(self, message: bytes, dst: bytes) -> bytes:
        # ristretto255_XMD:SHA-512_R255MAP_RO_ (RFC 9380, appendix B): 64 uniform bytes, then RFC 9496's
        # one-way map.
        uniform = hash_to_curve.expand_message_xmd("sha512", message, dst, 64)
        result = bytes(rbcl.crypto_core_ristretto255_from_hash(uniform))
        return IDENTITY if result == _NEUTRAL else result
