"""The group secp256k1 through libsecp256k1 (coincurve). See tacit.crypto.groups for the interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from coincurve import PublicKey
from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]
from coincurve.context import GLOBAL_CONTEXT

from tacit.crypto import hash_to_curve
from tacit.crypto.groups import IDENTITY, Group
from tacit.errors import InternalError

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_ZERO = bytes(32)
_INVERSE_EXPONENT = [int(bit) for bit in bin(_ORDER - 2)[3:]]


@ffi.callback("int (unsigned char *, const unsigned char *, const unsigned char *, void *)")
def _compressed_point(output: Any, x: Any, y: Any, _data: Any) -> int:
    """Write the point, not a hash of it: secp256k1_ecdh becomes a constant-time multiplication."""
    output[0] = 2 + (y[31] & 1)
    ffi.memmove(output + 1, x, 32)
    return 1


def _compress(point: Any) -> bytes:
    output, length = ffi.new("unsigned char[33]"), ffi.new("size_t *", 33)
    lib.secp256k1_ec_pubkey_serialize(GLOBAL_CONTEXT.ctx, output, length, point, lib.SECP256K1_EC_COMPRESSED)
    return bytes(ffi.buffer(output))


class Secp256k1Group(Group):
    """Wrap libsecp256k1; elements are 33-byte compressed points."""

    name = "secp256k1"
    order = _ORDER
    scalar_bytes = 32
    element_bytes = 33
    wide_bytes = 48
    byte_order: Literal["little", "big"] = "big"

    # The library's "secret key" functions are its constant-time scalar arithmetic; they refuse zero, which
    # is handled here: an operand that is zero is public (0 has probability 2^-256 among secrets).

    def _scalar_add(self, a: bytes, b: bytes) -> bytes:
        if a == _ZERO:
            return b
        result = ffi.new("unsigned char[32]", a)
        if not lib.secp256k1_ec_seckey_tweak_add(GLOBAL_CONTEXT.ctx, result, b):
            return _ZERO  # both operands are canonical, so the only refusal is a sum of zero
        return bytes(ffi.buffer(result))

    def _scalar_mul(self, a: bytes, b: bytes) -> bytes:
        if a == _ZERO or b == _ZERO:
            return _ZERO
        result = ffi.new("unsigned char[32]", a)
        if not lib.secp256k1_ec_seckey_tweak_mul(GLOBAL_CONTEXT.ctx, result, b):
            raise InternalError("a product of two non-zero scalars was refused")
        return bytes(ffi.buffer(result))

    def _scalar_negate(self, a: bytes) -> bytes:
        if a == _ZERO:
            return a
        result = ffi.new("unsigned char[32]", a)
        if not lib.secp256k1_ec_seckey_negate(GLOBAL_CONTEXT.ctx, result):
            raise InternalError("the negation of a non-zero scalar was refused")
        return bytes(ffi.buffer(result))

    def _scalar_invert(self, a: bytes) -> bytes:
        # Fermat: a^(order-2); the chain of operations depends on the public exponent only.
        result = a
        for bit in _INVERSE_EXPONENT:
            result = self._scalar_mul(result, result)
            if bit:
                result = self._scalar_mul(result, a)
        return result

    def _scalar_is_canonical(self, data: bytes) -> bool:
        return data == _ZERO or bool(lib.secp256k1_ec_seckey_verify(GLOBAL_CONTEXT.ctx, data))

    def _reduce_wide(self, wide: bytes) -> bytes:
        # Three 128-bit limbs are canonical scalars by themselves, so Horner's rule needs no big integers.
        shift = (1 << 128).to_bytes(32, "big")
        result = _ZERO
        for start in (0, 16, 32):
            limb = bytes(16) + wide[start : start + 16]
            result = self._scalar_add(self._scalar_mul(result, shift), limb)
        return result

    def _element_is_valid(self, data: bytes) -> bool:
        if data[0] not in (2, 3):
            return False
        point = ffi.new("secp256k1_pubkey *")
        return bool(lib.secp256k1_ec_pubkey_parse(GLOBAL_CONTEXT.ctx, point, data, 33))

    def _base_multiply(self, scalar: bytes) -> bytes:
        # Not PublicKey.from_secret, which compares the secret as a Python integer first.
        point = ffi.new("secp256k1_pubkey *")
        if not lib.secp256k1_ec_pubkey_create(GLOBAL_CONTEXT.ctx, point, scalar):
            raise InternalError("a multiple of the generator by a non-zero scalar was refused")
        return _compress(point)

    def _multiply(self, scalar: bytes, element: bytes) -> bytes:
        output = ffi.new("unsigned char[33]")
        point = PublicKey(element).public_key
        if not lib.secp256k1_ecdh(GLOBAL_CONTEXT.ctx, output, point, scalar, _compressed_point, ffi.NULL):
            raise InternalError("a product of a non-zero scalar and an element was refused")
        return bytes(ffi.buffer(output))

    def _vartime_multiply(self, scalar: bytes, element: bytes) -> bytes:
        return PublicKey(element).multiply(scalar).format()

    def _negate(self, element: bytes) -> bytes:
        return bytes([element[0] ^ 1]) + element[1:]

    def _total(self, elements: Sequence[bytes]) -> bytes:
        if len(elements) == 1:
            return elements[0]
        points = [PublicKey(element).public_key for element in elements]
        result = ffi.new("secp256k1_pubkey *")
        if not lib.secp256k1_ec_pubkey_combine(GLOBAL_CONTEXT.ctx, result, points, len(points)):
            return IDENTITY
        return _compress(result)

    def _vartime_hash_to_element(self, message: bytes, dst: bytes) -> bytes:
        point = hash_to_curve.secp256k1_hash(message, dst)
        return IDENTITY if point is None else hash_to_curve.secp256k1_encode(point)
