"""Shamir sharing over a prime field and over GF(256), with the checks that the plain scheme lacks.

Source: Shamir, "How to share a secret" (CACM 1979). A threshold of t means: t shares give the secret, t−1
give nothing, whatever computing power their holders have. Index 0 is where the secret sits, so no share has
it.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

from tacit.algebra.field import PrimeField, gf256_evaluate, gf256_interpolate
from tacit.crypto.groups import Randomness
from tacit.crypto.hashing import digest
from tacit.errors import DataError, PeerMisbehaved, UsageError

KEY_BYTES = 32
SET_BYTES = 16
MAX_BYTE_SHARES = 255
MAX_SUBSETS = 5_000


@dataclass(frozen=True, slots=True)
class Share:
    """One share of an integer: the polynomial's value at `index`."""

    index: int
    value: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class ByteShare:
    """One share of a byte string; `set_id`, `threshold` and `count` are alike in all shares of a secret."""

    set_id: bytes
    threshold: int
    count: int
    index: int
    body: bytes = field(repr=False)


def check_threshold(threshold: int, count: int, largest: int) -> None:
    """Refuse a threshold or a number of shares that cannot be."""
    if any(isinstance(x, bool) or not isinstance(x, int) for x in (threshold, count)):
        raise UsageError("threshold and number of shares are integers")
    if not 1 <= threshold <= count <= largest:
        raise UsageError(f"a sharing takes 1 ≤ threshold ≤ shares ≤ {largest}; got {threshold} of {count}")


def check_indices(indices: Sequence[int], count: int) -> None:
    """Refuse zero, duplicate and out-of-range indices: at 0 lies the secret itself."""
    if any(isinstance(i, bool) or not isinstance(i, int) or not 1 <= i <= count for i in indices):
        raise DataError(f"a share's index is outside 1..{count}")
    if len(set(indices)) != len(indices):
        raise DataError("two shares have the same index")


def random_element(modulus: PrimeField, randomness: Randomness) -> int:
    """Draw a uniform field element by rejection, so that no value is likelier than another."""
    bits = modulus.q.bit_length()
    size = (bits + 7) // 8
    while True:
        drawn = int.from_bytes(randomness(size)) & ((1 << bits) - 1)
        if drawn < modulus.q:
            return drawn


def split_integer(
    modulus: PrimeField, secret: int, threshold: int, count: int, randomness: Randomness
) -> list[Share]:
    """Share a field element: f(0) = secret, f random of degree threshold − 1, share i = f(i)."""
    check_threshold(threshold, count, min(modulus.q - 1, 1 << 16))
    coefficients = [modulus.element(secret)]
    coefficients += [random_element(modulus, randomness) for _ in range(threshold - 1)]
    return [Share(i, modulus.evaluate(coefficients, i)) for i in range(1, count + 1)]


def combine_integers(modulus: PrimeField, shares: Sequence[Share], threshold: int) -> int:
    """Return f(0) from at least `threshold` shares; DataError if surplus shares show that one is wrong.

    With exactly `threshold` shares any values fit some polynomial: this format cannot notice a wrong one.
    """
    check_indices([s.index for s in shares], modulus.q - 1)
    check_threshold(threshold, max(len(shares), threshold), modulus.q - 1)
    if len(shares) < threshold:
        raise DataError(f"{threshold} shares are needed; {len(shares)} were given")
    used = shares[:threshold]
    xs, ys = [s.index for s in used], [modulus.element(s.value) for s in used]
    for extra in shares[threshold:]:
        if modulus.interpolate(xs, ys, extra.index) != modulus.element(extra.value):
            raise DataError("the shares do not lie on one polynomial: at least one is wrong")
    return modulus.interpolate(xs, ys)


def _tag(key: bytes, set_id: bytes, threshold: int, count: int, secret: bytes) -> bytes:
    """Authenticate the secret and the set's parameters under a key that is shared along with it."""
    return hmac.digest(key, digest("split/gf256", set_id, bytes([threshold, count]), secret), "sha256")


def split_bytes(secret: bytes, threshold: int, count: int, randomness: Randomness) -> list[ByteShare]:
    """Share `secret ‖ key ‖ HMAC(key, secret)` byte by byte over GF(256).

    The one-time key is shared too, so the tag tells fewer than `threshold` people nothing, and whoever
    changes a share would have to forge a tag under a key that nobody knows before the shares meet.
    """
    check_threshold(threshold, count, MAX_BYTE_SHARES)
    set_id, key = randomness(SET_BYTES), randomness(KEY_BYTES)
    payload = secret + key + _tag(key, set_id, threshold, count, secret)
    coefficients = [payload, *(randomness(len(payload)) for _ in range(threshold - 1))]
    return [
        ByteShare(set_id, threshold, count, i, gf256_evaluate(coefficients, i)) for i in range(1, count + 1)
    ]


def check_set(shares: Sequence[ByteShare]) -> tuple[int, int]:
    """Refuse shares that cannot belong together; return threshold and count."""
    if not shares:
        raise DataError("no shares were given")
    if len({(s.set_id, s.threshold, s.count, len(s.body)) for s in shares}) != 1:
        raise DataError("the shares belong to different secrets")
    threshold, count = shares[0].threshold, shares[0].count
    if not 1 <= threshold <= count <= MAX_BYTE_SHARES:
        raise DataError("a share states an impossible threshold")
    check_indices([s.index for s in shares], count)
    if len(shares) < threshold:
        raise DataError(f"{threshold} shares are needed; {len(shares)} were given")
    if len(shares[0].body) < KEY_BYTES + 32:
        raise DataError("the shares are too short to hold a secret")
    return threshold, count


def _open(shares: Sequence[ByteShare], threshold: int, count: int) -> bytes | None:
    payload = gf256_interpolate([s.index for s in shares], [s.body for s in shares])
    secret, key, tag = payload[: -KEY_BYTES - 32], payload[-KEY_BYTES - 32 : -32], payload[-32:]
    good = hmac.compare_digest(tag, _tag(key, shares[0].set_id, threshold, count, secret))
    return secret if good else None


def combine_bytes(shares: Sequence[ByteShare]) -> bytes:
    """Return the secret, or say that it is damaged; with surplus shares, PeerMisbehaved names the wrong ones.

    The culprits are called "share 3": who holds share 3 is for the caller to know. A correct tag is what
    decides, so the honest majority need not be large: `threshold` correct shares suffice.
    """
    threshold, count = check_set(shares)
    if comb(len(shares), threshold) > MAX_SUBSETS:
        raise UsageError(f"too many shares at once: give {threshold} or a few more")
    for subset in combinations(shares, threshold):
        secret = _open(subset, threshold, count)
        if secret is not None:
            xs, ys = [s.index for s in subset], [s.body for s in subset]
            wrong = [s.index for s in shares if gf256_interpolate(xs, ys, s.index) != s.body]
            if wrong:
                raise PeerMisbehaved(
                    f"share {', '.join(map(str, wrong))} is wrong; the others fit: combine without it",
                    [f"share {i}" for i in wrong],
                )
            return secret
    raise DataError(
        "at least one share is wrong: nothing was recovered; with one more share Tacit could say which"
    )
