"""The prime-order subgroup of edwards25519 through libsodium (PyNaCl)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from nacl import bindings as sodium
from nacl.exceptions import CryptoError

from tacit.crypto import hash_to_curve
from tacit.crypto.groups import IDENTITY, Group

_NEUTRAL = b"\x01" + bytes(31)
_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493


class Curve25519Scalars(Group):
    """Supply the constant-time scalars that edwards25519 and ristretto255 share."""

    order = _ORDER
    scalar_bytes = 32
    element_bytes = 32
    wide_bytes = 64
    byte_order: Literal["little", "big"] = "little"

    def _scalar_add(self, a: bytes, b: bytes) -> bytes:
        return sodium.crypto_core_ed25519_scalar_add(a, b)

    def _scalar_mul(self, a: bytes, b: bytes) -> bytes:
        return sodium.crypto_core_ed25519_scalar_mul(a, b)

    def _scalar_negate(self, a: bytes) -> bytes:
        return sodium.crypto_core_ed25519_scalar_negate(a)

    def _scalar_invert(self, a: bytes) -> bytes:
        return sodium.crypto_core_ed25519_scalar_invert(a)

    def _scalar_is_canonical(self, data: bytes) -> bool:
        # Reduction is constant-time in libsodium and is the identity exactly on canonical scalars.
        return sodium.crypto_core_ed25519_scalar_reduce(data + bytes(32)) == data

    def _reduce_wide(self, wide: bytes) -> bytes:
        return sodium.crypto_core_ed25519_scalar_reduce(wide)


class Ed25519Group(Curve25519Scalars):
    """Wrap libsodium's edwards25519 functions; only members of the prime-order subgroup exist here."""

    name = "ed25519"

    def _element_is_valid(self, data: bytes) -> bool:
        # libsodium checks: canonical, on the curve, not of small order, in the prime-order subgroup. Before
        # 1.0.20 (late 2025) it let some points outside the subgroup pass (CVE-2025-69277); PyNaCl >= 1.6.2
        # has the fix.
        return data != _NEUTRAL and bool(sodium.crypto_core_ed25519_is_valid_point(data))

    def _base_multiply(self, scalar: bytes) -> bytes:
        return sodium.crypto_scalarmult_ed25519_base_noclamp(scalar)

    def _multiply(self, scalar: bytes, element: bytes) -> bytes:
        return sodium.crypto_scalarmult_ed25519_noclamp(scalar, element)

    _vartime_multiply = _multiply

    def _negate(self, element: bytes) -> bytes:
        # -(x, y) = (-x, y): the encoding is y with the sign of x in the top bit; x = 0 does not occur in the
        # subgroup.
        return element[:31] + bytes([element[31] ^ 0x80])

    def _total(self, elements: Sequence[bytes]) -> bytes:
        result = elements[0]
        for element in elements[1:]:
            result = sodium.crypto_core_ed25519_add(result, element)
        return IDENTITY if result == _NEUTRAL else result

    def _vartime_hash_to_element(self, message: bytes, dst: bytes) -> bytes:
        encoded = hash_to_curve.edwards25519_encode(hash_to_curve.edwards25519_hash(message, dst))
        return IDENTITY if encoded == _NEUTRAL else encoded


def self_test() -> None:
    """Check that the installed libsodium refuses a mixed-order point (CVE-2025-69277). Raises CryptoError."""
    # B + T where T = (0, -1) has order 2: y -> -y, x -> -x of the generator.
    base = sodium.crypto_scalarmult_ed25519_base_noclamp(b"\x01" + bytes(31))
    y = int.from_bytes(base, "little") & (2**255 - 1)
    sign = (base[31] >> 7) ^ 1
    mixed = ((_P - y) | (sign << 255)).to_bytes(32, "little")
    if sodium.crypto_core_ed25519_is_valid_point(mixed):
        raise CryptoError(
            "libsodium accepts points outside the prime-order subgroup: install PyNaCl 1.6.2 or later"
        )


self_test()
