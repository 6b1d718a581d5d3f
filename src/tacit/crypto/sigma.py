"""Proofs about discrete logarithms, each bound to a context: signatures, equality, one of several.

Schnorr 1991 (knowledge, signatures); Chaum and Pedersen, CRYPTO 1992 (equality); Cramer, Damgård and
Schoenmakers, CRYPTO 1994 (one of several: which one stays hidden even from unlimited computing power). All
made non-interactive by hashing the whole statement, the context and the commitments (Fiat and Shamir, strong
form: Bernhard, Pereira and Warinschi, ASIACRYPT 2012). Groups are written additively: y = x·base.

The caller's `context` must name the session, the prover and the purpose. The nonce of a signature or an
equality proof hashes the secret, the statement and fresh randomness together, so that a weak source alone
does not repeat one; one-of-several proofs draw theirs uniformly, since their hiding is meant to be perfect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Element, Group, Randomness, Scalar
from tacit.crypto.hashing import digest, hkdf
from tacit.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class Statement:
    """The claim `target = x·base` for an x that the prover knows."""

    base: Element
    target: Element


def element_bytes(element: Element) -> bytes:
    """Return an encoding for hashing; the identity, which has none on the wire, is the empty string."""
    return b"" if element.is_identity() else element.encode()


def challenge(group: Group, domain: str, fields: Sequence[bytes]) -> Scalar:
    """Hash fields to a scalar; every field enters with its length, the group with its name."""
    seed = digest(domain, group.name.encode(), pack(fields))
    return group.scalar_from_wide(hkdf(seed, b"challenge", group.wide_bytes))


def _nonce(domain: str, secret: Scalar, fields: Sequence[bytes], randomness: Randomness) -> Scalar:
    group = secret.group
    while True:
        seed = digest(domain + "/nonce", randomness(32), secret.encode(), pack(fields))
        nonce = group.scalar_from_wide(hkdf(seed, b"nonce", group.wide_bytes))
        if not nonce.is_zero():
            return nonce


def sign(secret: Scalar, message: bytes, context: bytes, randomness: Randomness) -> bytes:
    """Return a Schnorr signature (challenge, response) on `message`."""
    group = secret.group
    public = element_bytes(group.base_mul(secret))
    k = _nonce("sigma/sign", secret, [context, message], randomness)
    c = challenge(group, "sigma/sign", [context, public, element_bytes(group.base_mul(k)), message])
    return c.encode() + (k + c * secret).encode()


def signature_holds(public: Element, message: bytes, context: bytes, signature: bytes) -> bool:
    """Say whether `signature` on `message` was made with the key of `public`."""
    group = public.group
    if public.is_identity() or len(signature) != 2 * group.scalar_bytes:
        return False
    try:
        c, s = (group.decode_scalar(signature[i : i + group.scalar_bytes]) for i in (0, group.scalar_bytes))
    except DataError:
        return False
    commitment = group.base_mul(s) - public.vartime_mul(c)
    expected = challenge(
        group, "sigma/sign", [context, element_bytes(public), element_bytes(commitment), message]
    )
    return c == expected


def _statement_bytes(statements: Sequence[Statement]) -> bytes:
    return pack([element_bytes(e) for s in statements for e in (s.base, s.target)])


def prove_equal(
    secret: Scalar, statements: Sequence[Statement], context: bytes, randomness: Randomness
) -> bytes:
    """Prove that one x satisfies all statements."""
    if not statements:
        raise UsageError("a proof of nothing proves nothing")
    group = secret.group
    fields = [context, _statement_bytes(statements)]
    k = _nonce("sigma/equal", secret, fields, randomness)
    commitments = pack([element_bytes(k * s.base) for s in statements])
    c = challenge(group, "sigma/equal", [*fields, commitments])
    return c.encode() + (k + c * secret).encode()


def equal_holds(statements: Sequence[Statement], context: bytes, proof: bytes) -> bool:
    """Say whether `proof` shows one x for all statements; an empty list shows nothing."""
    if not statements or any(s.base.is_identity() for s in statements):
        return False
    group = statements[0].base.group
    if len(proof) != 2 * group.scalar_bytes:
        return False
    try:
        c, z = (group.decode_scalar(proof[i : i + group.scalar_bytes]) for i in (0, group.scalar_bytes))
    except DataError:
        return False
    commitments = [s.base.vartime_mul(z) - s.target.vartime_mul(c) for s in statements]
    fields = [context, _statement_bytes(statements), pack([element_bytes(e) for e in commitments])]
    return c == challenge(group, "sigma/equal", fields)


def prove_one_of(
    secret: Scalar, known: int, statements: Sequence[Statement], context: bytes, randomness: Randomness
) -> bytes:
    """Prove knowledge of x for one of the statements, hiding which (CDS94, section 4).

    The other branches are simulated with challenges and responses drawn at random; all challenges add up to
    the hash. Every branch does the same number of group operations, known or simulated.
    """
    group = secret.group
    if not 0 <= known < len(statements):
        raise UsageError("the known statement is not in the list")
    # 1. Commit: honestly in the known branch, by simulation (k = z·base − c·target) elsewhere.
    challenges, responses, commitments = [], [], []
    w = _uniform(group, randomness)
    for i, s in enumerate(statements):
        c, z = (_uniform(group, randomness) for _ in range(2))
        if i == known:
            c, z = group.zero, w
        challenges.append(c)
        responses.append(z)
        commitments.append(z * s.base - c * s.target)
    # 2. Hash, and give the known branch what is left of the challenge.
    fields = [context, _statement_bytes(statements), pack([element_bytes(e) for e in commitments])]
    rest = challenge(group, "sigma/one-of", fields)
    for i, c in enumerate(challenges):
        if i != known:
            rest = rest - c
    # 3. Respond.
    challenges[known] = rest
    responses[known] = w + rest * secret
    return pack([x.encode() for pair in zip(challenges, responses, strict=True) for x in pair])


def one_of_holds(statements: Sequence[Statement], context: bytes, proof: bytes) -> bool:
    """Say whether `proof` shows knowledge of one x; an empty list shows nothing."""
    if not statements or any(s.base.is_identity() for s in statements):
        return False
    group = statements[0].base.group
    try:
        scalars = [group.decode_scalar(x) for x in unpack(proof, 2 * len(statements))]
    except DataError:
        return False
    challenges, responses = scalars[::2], scalars[1::2]
    commitments = [
        s.base.vartime_mul(z) - s.target.vartime_mul(c)
        for s, c, z in zip(statements, challenges, responses, strict=True)
    ]
    fields = [context, _statement_bytes(statements), pack([element_bytes(e) for e in commitments])]
    total = challenges[0]
    for c in challenges[1:]:
        total = total + c
    return total == challenge(group, "sigma/one-of", fields)


def _uniform(group: Group, randomness: Randomness) -> Scalar:
    """Draw a uniform scalar, zero included: a simulated branch must look exactly like a real one."""
    return group.scalar_from_wide(randomness(group.wide_bytes))
