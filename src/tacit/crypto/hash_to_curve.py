"""Hashing to elliptic curves (RFC 9380) for edwards25519 and secp256k1, and ``expand_message_xmd``.

The field arithmetic uses Python integers and is therefore variable-time: every caller hashes public data,
and names it ``vartime_``. ``None`` stands for the point at infinity of secp256k1.
"""

from __future__ import annotations

import hashlib

from tacit.errors import UsageError

Affine = tuple[int, int]


def expand_message_xmd(hash_name: str, message: bytes, dst: bytes, length: int) -> bytes:
    """Expand a message to ``length`` uniform bytes under a domain separation tag (RFC 9380, 5.3.1)."""
    size, block = hashlib.new(hash_name).digest_size, hashlib.new(hash_name).block_size
    if len(dst) > 255:  # 5.3.3
        dst = hashlib.new(hash_name, b"H2C-OVERSIZE-DST-" + dst).digest()
    if not dst:
        raise UsageError("the domain separation tag must not be empty (RFC 9380, 3.1)")
    ell = -(-length // size)
    if ell > 255 or length > 65535:
        raise UsageError(f"{length} bytes are more than expand_message_xmd gives with {hash_name}")
    dst_prime = dst + bytes([len(dst)])
    b0 = hashlib.new(
        hash_name, bytes(block) + message + length.to_bytes(2, "big") + b"\x00" + dst_prime
    ).digest()
    blocks = [hashlib.new(hash_name, b0 + b"\x01" + dst_prime).digest()]
    for i in range(2, ell + 1):
        mixed = bytes(x ^ y for x, y in zip(b0, blocks[-1], strict=True))
        blocks.append(hashlib.new(hash_name, mixed + bytes([i]) + dst_prime).digest())
    return b"".join(blocks)[:length]


def hash_to_field(hash_name: str, message: bytes, dst: bytes, prime: int, count: int) -> list[int]:
    """Hash to ``count`` elements of a 255- or 256-bit prime field (RFC 9380, 5.2, with L = 48)."""
    uniform = expand_message_xmd(hash_name, message, dst, 48 * count)
    return [int.from_bytes(uniform[48 * i : 48 * i + 48], "big") % prime for i in range(count)]


# edwards25519 (RFC 9380, 6.7.1, 6.8.2 and appendix D.1)

_P25519 = 2**255 - 19
_D25519 = -121665 * pow(121666, -1, _P25519) % _P25519
_J = 486662
_SQRT_M1 = pow(2, (_P25519 - 1) // 4, _P25519)


def _sqrt_25519(value: int) -> int | None:
    root = pow(value, (_P25519 + 3) // 8, _P25519)
    if root * root % _P25519 != value % _P25519:
        root = root * _SQRT_M1 % _P25519
    return root if root * root % _P25519 == value % _P25519 else None


# c1 of appendix D.1: a square root of -486664 whose sign (RFC 9380, 4.1: parity) is 0.
_C1 = _sqrt_25519(-(_J + 2)) or 0
_C1 = _C1 if _C1 % 2 == 0 else _P25519 - _C1


def _map_to_montgomery(u: int) -> Affine:
    """Map a field element to curve25519 by Elligator 2 with Z = 2 (RFC 9380, 6.7.1)."""
    p = _P25519
    x1 = -_J * pow(1 + 2 * u * u, p - 2, p) % p  # 1 + 2u^2 is never zero: -1/2 is not a square
    gx1 = x1 * (x1 * (x1 + _J) + 1) % p
    y = _sqrt_25519(gx1)
    if y is not None:
        return x1, (y if y % 2 == 1 else -y % p)
    x2 = (-x1 - _J) % p
    y = _sqrt_25519(x2 * (x2 * (x2 + _J) + 1)) or 0
    return x2, (y if y % 2 == 0 else -y % p)


def edwards25519_map(u: int) -> Affine:
    """Map a field element to a point of edwards25519, any order (RFC 9380, appendix D.1)."""
    p = _P25519
    s, t = _map_to_montgomery(u)
    if t == 0 or (s + 1) % p == 0:
        return 0, 1
    return _C1 * s * pow(t, -1, p) % p, (s - 1) * pow(s + 1, -1, p) % p


def edwards25519_add(a: Affine, b: Affine) -> Affine:
    """Add two points with the complete twisted Edwards law (a = -1)."""
    p = _P25519
    (x1, y1), (x2, y2) = a, b
    product = _D25519 * x1 * x2 * y1 * y2 % p
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, p) % p
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, p) % p
    return x, y


def _clear_cofactor_25519(point: Affine) -> Affine:
    for _ in range(3):
        point = edwards25519_add(point, point)
    return point


def edwards25519_hash(message: bytes, dst: bytes) -> Affine:
    """Hash to the prime-order subgroup: edwards25519_XMD:SHA-512_ELL2_RO_."""
    u0, u1 = hash_to_field("sha512", message, dst, _P25519, 2)
    return _clear_cofactor_25519(edwards25519_add(edwards25519_map(u0), edwards25519_map(u1)))


def edwards25519_encode_to_curve(message: bytes, dst: bytes) -> Affine:
    """Encode, not uniformly, to the prime-order subgroup: edwards25519_XMD:SHA-512_ELL2_NU_."""
    (u,) = hash_to_field("sha512", message, dst, _P25519, 1)
    return _clear_cofactor_25519(edwards25519_map(u))


def edwards25519_encode(point: Affine) -> bytes:
    """Compress a point (RFC 8032, 5.1.2)."""
    return (point[1] | ((point[0] & 1) << 255)).to_bytes(32, "little")


# secp256k1 (RFC 9380, 8.7, 6.6.3 and appendix E.1)

_PK1 = 2**256 - 2**32 - 977
_A_ISO = 0x3F8731ABDD661ADCA08A5558F0F5D272E953D363CB6F0E5D405447C01A444533
_B_ISO = 1771
_Z_K1 = _PK1 - 11

# The 3-isogeny's numerators and denominators, lowest degree first.
_X_NUM = (
    0x8E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38DAAAAA8C7,
    0x7D3D4C80BC321D5B9F315CEA7FD44C5D595D2FC0BF63B92DFFF1044F17C6581,
    0x534C328D23F234E6E2A413DECA25CAECE4506144037C40314ECBD0B53D9DD262,
    0x8E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38DAAAAA88C,
)
_X_DEN = (
    0xD35771193D94918A9CA34CCBB7B640DD86CD409542F8487D9FE6B745781EB49B,
    0xEDADC6F64383DC1DF7C4B2D51B54225406D36B641F5E41BBC52A56612A8C6D14,
    1,
)
_Y_NUM = (
    0x4BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684B8E38E23C,
    0xC75E0C32D5CB7C0FA9D0A54B12A0A6D5647AB046D686DA6FDFFC90FC201D71A3,
    0x29A6194691F91A73715209EF6512E576722830A201BE2018A765E85A9ECEE931,
    0x2F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F38E38D84,
)
_Y_DEN = (
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFF93B,
    0x7A06534BB8BDB49FD5E9E6632722C2989467C1BFC8E8D978DFB425D2685C2573,
    0x6484AA716545CA2CF3A70C3FA8FE337E0A3D21162F0D6299A7BF8192BFD2A76F,
    1,
)


def _polynomial(coefficients: tuple[int, ...], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x + coefficient) % _PK1
    return value


def _sswu(u: int) -> Affine:
    """Map to the isogenous curve y^2 = x^3 + A'x + B' (RFC 9380, 6.6.2)."""
    p = _PK1
    zu2 = _Z_K1 * u * u % p
    denominator = (zu2 * zu2 + zu2) % p
    if denominator == 0:
        x1 = _B_ISO * pow(_Z_K1 * _A_ISO, -1, p) % p
    else:
        x1 = -_B_ISO * pow(_A_ISO, -1, p) * (1 + pow(denominator, -1, p)) % p
    gx1 = (x1 * (x1 * x1 + _A_ISO) + _B_ISO) % p
    y = pow(gx1, (p + 1) // 4, p)
    x = x1
    if y * y % p != gx1:
        x = zu2 * x1 % p
        y = pow((x * (x * x + _A_ISO) + _B_ISO) % p, (p + 1) // 4, p)
    return x, (y if y % 2 == u % 2 else p - y)


def secp256k1_map(u: int) -> Affine | None:
    """Map a field element to secp256k1 through the 3-isogeny (RFC 9380, 6.6.3)."""
    x, y = _sswu(u)
    x_den, y_den = _polynomial(_X_DEN, x), _polynomial(_Y_DEN, x)
    if x_den == 0 or y_den == 0:
        return None
    image_x = _polynomial(_X_NUM, x) * pow(x_den, -1, _PK1) % _PK1
    return image_x, y * _polynomial(_Y_NUM, x) * pow(y_den, -1, _PK1) % _PK1


def secp256k1_add(a: Affine | None, b: Affine | None) -> Affine | None:
    """Add two points of secp256k1 (chord and tangent)."""
    if a is None or b is None:
        return b if a is None else a
    (x1, y1), (x2, y2) = a, b
    if x1 == x2 and (y1 + y2) % _PK1 == 0:
        return None
    if x1 == x2:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, _PK1) % _PK1
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, _PK1) % _PK1
    x3 = (slope * slope - x1 - x2) % _PK1
    return x3, (slope * (x1 - x3) - y1) % _PK1


def secp256k1_hash(message: bytes, dst: bytes) -> Affine | None:
    """Hash to secp256k1: secp256k1_XMD:SHA-256_SSWU_RO_."""
    u0, u1 = hash_to_field("sha256", message, dst, _PK1, 2)
    return secp256k1_add(secp256k1_map(u0), secp256k1_map(u1))


def secp256k1_encode_to_curve(message: bytes, dst: bytes) -> Affine | None:
    """Encode, not uniformly, to secp256k1: secp256k1_XMD:SHA-256_SSWU_NU_."""
    (u,) = hash_to_field("sha256", message, dst, _PK1, 1)
    return secp256k1_map(u)


def secp256k1_encode(point: Affine) -> bytes:
    """Compress a point (SEC 1, 2.3.3)."""
    return bytes([2 + (point[1] & 1)]) + point[0].to_bytes(32, "big")
