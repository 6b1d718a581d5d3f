"""Threshold decryption of short keys, secure against chosen ciphertexts: the scheme TDH2.

Source: Shoup and Gennaro, "Securing threshold cryptosystems against chosen ciphertext attack" (EUROCRYPT
1998; J. Cryptology 2002), section 5.2, under decisional Diffie-Hellman with hashes as random oracles.
Symbols as there, groups written additively: public key h = x·g, verification keys h_i = x_i·g, second
generator ḡ, label L. A ciphertext proves that its maker knows r, for this label: so nobody learns anything
by having changed copies opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tacit.algebra.field import PrimeField, xor
from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Element, Group, Randomness, Scalar
from tacit.crypto.hashing import digest
from tacit.crypto.sigma import Statement, challenge, element_bytes, equal_holds, prove_equal
from tacit.errors import DataError, UsageError
from tacit.threshold.keys import GroupKey, KeyShare

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A sealed 32-byte key: c = m ⊕ H1(r·h), u = r·g, ū = r·ḡ and the proof (e, f) that u and ū share r."""

    c: bytes
    u: Element
    u_bar: Element
    e: Scalar
    f: Scalar

    def encode(self) -> bytes:
        """Write the ciphertext; the label is not part of it."""
        return pack([self.c, self.u.encode(), self.u_bar.encode(), self.e.encode(), self.f.encode()])

    @staticmethod
    def decode(group: Group, data: bytes) -> Ciphertext:
        """Read a ciphertext; DataError for anything not canonical. `is_sound` must hold before it is used."""
        c, u, u_bar, e, f = unpack(data, 5)
        if len(c) != KEY_BYTES:
            raise DataError("a sealed key has another size")
        element, scalar = group.decode_element, group.decode_scalar
        return Ciphertext(c, element(u), element(u_bar), scalar(e), scalar(f))


@dataclass(frozen=True, slots=True)
class Partial:
    """One member's contribution u_i = x_i·u with the proof that x_i is the member's."""

    identifier: int
    u_i: Element
    proof: bytes


@lru_cache(maxsize=8)
def second_generator(group: Group) -> Element:
    """Return ḡ, whose logarithm nobody knows."""
    return group.vartime_hash_to_element(b"second generator", b"tacit/tdh2/" + group.name.encode())


def _mask(shared: Element) -> bytes:
    """H1."""
    return digest("tdh2/h1", shared.group.name.encode(), element_bytes(shared))


def _h2(key: Element, c: bytes, label: bytes, elements: tuple[Element, ...]) -> Scalar:
    """H2, with the public key among the inputs: one ciphertext is for one group of people."""
    encoded = [element_bytes(element) for element in elements]
    return challenge(key.group, "tdh2/h2", [element_bytes(key), c, label, *encoded])


def encrypt(key: Element, message: bytes, label: bytes, randomness: Randomness) -> Ciphertext:
    """Seal a 32-byte key to the holders of `key`, for this label only."""
    if len(message) != KEY_BYTES:
        raise UsageError(f"TDH2 here seals keys of {KEY_BYTES} bytes")
    group = key.group
    g_bar = second_generator(group)
    # 1. Choose r and s.
    r, s = group.random_scalar(randomness), group.random_scalar(randomness)
    # 2. c = H1(r·h) ⊕ m, u = r·g, w = s·g, ū = r·ḡ, w̄ = s·ḡ.
    c = xor(message, _mask(r * key))
    u, w, u_bar, w_bar = group.base_mul(r), group.base_mul(s), r * g_bar, s * g_bar
    # 3. e = H2(c, L, u, w, ū, w̄), f = s + r·e.
    e = _h2(key, c, label, (u, w, u_bar, w_bar))
    return Ciphertext(c, u, u_bar, e, s + r * e)


def is_sound(key: Element, ciphertext: Ciphertext, label: bytes) -> bool:
    """Check the ciphertext's own proof; nobody may give a partial decryption of one that fails."""
    group, x = key.group, ciphertext
    w = group.base_mul(x.f) - x.u.vartime_mul(x.e)
    w_bar = second_generator(group).vartime_mul(x.f) - x.u_bar.vartime_mul(x.e)
    return x.e == _h2(key, x.c, label, (x.u, w, x.u_bar, w_bar))


def _context(ciphertext: Ciphertext, label: bytes, identifier: int, purpose: bytes) -> bytes:
    return pack([b"tdh2/partial", ciphertext.encode(), label, identifier.to_bytes(2), purpose])


def partial(
    share: KeyShare, ciphertext: Ciphertext, label: bytes, purpose: bytes, randomness: Randomness
) -> Partial:
    """Give one member's partial decryption, with a proof bound to label, member and `purpose`."""
    if not is_sound(share.group_key.key, ciphertext, label):
        raise DataError("the sealed key is altered, or was sealed for another label or another group")
    u_i = share.secret * ciphertext.u
    statements = _statements(share.group_key, share.identifier, ciphertext, u_i)
    context = _context(ciphertext, label, share.identifier, purpose)
    return Partial(share.identifier, u_i, prove_equal(share.secret, statements, context, randomness))


def _statements(
    group_key: GroupKey, identifier: int, ciphertext: Ciphertext, u_i: Element
) -> list[Statement]:
    h_i = group_key.shares[identifier]
    return [Statement(h_i.group.generator, h_i), Statement(ciphertext.u, u_i)]


def partial_holds(
    group_key: GroupKey, ciphertext: Ciphertext, label: bytes, purpose: bytes, given: Partial
) -> bool:
    """Check a partial decryption against the giver's verification key."""
    if given.identifier not in group_key.shares:
        return False
    statements = _statements(group_key, given.identifier, ciphertext, given.u_i)
    return equal_holds(statements, _context(ciphertext, label, given.identifier, purpose), given.proof)


def combine(group_key: GroupKey, ciphertext: Ciphertext, partials: Mapping[int, Element]) -> bytes:
    """Open the sealed key with the verified values u_i of at least `threshold` members."""
    if len(partials) < group_key.threshold:
        raise DataError(f"{group_key.threshold} partial decryptions are needed; there are {len(partials)}")
    chosen = sorted(partials)[: group_key.threshold]
    if any(i not in group_key.shares for i in chosen):
        raise DataError("a partial decryption is of a stranger")
    group = group_key.key.group
    weights = PrimeField(group.order).lagrange(chosen)
    shared = group.total([group.scalar(w) * partials[i] for w, i in zip(weights, chosen, strict=True)])
    return xor(ciphertext.c, _mask(shared))
