"""SLIP-39 mnemonics: a master secret as lists of words, shared in two levels (groups, then members).

Source: SLIP-0039, "Shamir's Secret-Sharing for Mnemonic Codes" (SatoshiLabs); section names are quoted below.
Member and group indices are the x coordinates 0..15; the secret sits at 255 and a digest of it at 254.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from tacit.algebra.field import gf256_interpolate, xor
from tacit.errors import DataError, UsageError

Entropy = Callable[[int], bytes]

RADIX_BITS = 10
CHECKSUM_WORDS = 3
METADATA_WORDS = 7  # identifier and exponent 2, share parameters 2, checksum 3
MIN_WORDS = 20  # 128 bits
MAX_SHARES = 16
DIGEST_BYTES = 4
DIGEST_INDEX = 254
SECRET_INDEX = 255
FEISTEL_ROUNDS = 4
BASE_ITERATIONS = 10_000

# Reed-Solomon code over GF(1024) that finds any 3 wrong words ("Checksum").
_GENERATOR = (
    *(0xE0E040, 0x1C1C080, 0x3838100, 0x7070200, 0xE0E0009),
    *(0x1C0C2412, 0x38086C24, 0x3090FC48, 0x21B1F890, 0x3F3F120),
)


@dataclass(frozen=True, slots=True)
class Mnemonic:
    """One share with its public parameters; `str()` gives the words, so it is kept out of `repr`."""

    identifier: int
    extendable: bool
    exponent: int
    group: int
    group_threshold: int
    group_count: int
    member: int
    member_threshold: int
    value: bytes

    def __repr__(self) -> str:
        return f"Mnemonic(group {self.group + 1}, member {self.member + 1}, <secret>)"

    def __str__(self) -> str:
        head = (self.identifier << 1 | self.extendable) << 4 | self.exponent
        for field in (self.group, self.group_threshold - 1, self.group_count - 1, self.member):
            head = head << 4 | field
        head = head << 4 | self.member_threshold - 1
        words = -(-len(self.value) * 8 // RADIX_BITS)
        data = [*_to_indices(head, 4), *_to_indices(int.from_bytes(self.value), words)]
        checksum = _polymod([*_customization(self.extendable), *data, 0, 0, 0]) ^ 1
        return " ".join(_words()[i] for i in (*data, *_to_indices(checksum, CHECKSUM_WORDS)))

    @property
    def common(self) -> tuple[int, ...]:
        """What all shares of one secret have in common."""
        return (self.identifier, self.extendable, self.exponent, self.group_threshold, self.group_count)


@cache
def _words() -> tuple[str, ...]:
    text = resources.files("tacit.threshold").joinpath("slip39_words.txt").read_text("ascii")
    return tuple(text.split())


@cache
def _index() -> dict[str, int]:
    return {word: i for i, word in enumerate(_words())}


def _to_indices(value: int, length: int) -> list[int]:
    return [value >> RADIX_BITS * i & 1023 for i in reversed(range(length))]


def _from_indices(indices: Sequence[int]) -> int:
    value = 0
    for index in indices:
        value = value << RADIX_BITS | index
    return value


def _customization(extendable: bool) -> bytes:
    return b"shamir_extendable" if extendable else b"shamir"


def _polymod(values: Sequence[int]) -> int:
    remainder = 1
    for value in values:
        top = remainder >> 20
        remainder = (remainder & 0xFFFFF) << 10 ^ value
        for bit, row in enumerate(_GENERATOR):
            if top >> bit & 1:
                remainder ^= row
    return remainder


def parse(mnemonic: str) -> Mnemonic:
    """Read one mnemonic ("Format of the share mnemonic"); DataError says what is wrong, never the words."""
    known = _index()
    try:
        data = [known[word.lower()] for word in mnemonic.split()]
    except KeyError:
        raise DataError("a mnemonic contains a word that is not in the SLIP-39 list") from None
    if len(data) < MIN_WORDS:
        raise DataError(f"a mnemonic has {len(data)} words; at least {MIN_WORDS} are needed")
    padding = RADIX_BITS * (len(data) - METADATA_WORDS) % 16
    if padding > 8:
        raise DataError("a mnemonic has a length that no share has")
    head = _from_indices(data[:4])
    extendable = bool(head >> 24 & 1)
    if _polymod([*_customization(extendable), *data]) != 1:
        raise DataError("a mnemonic has a wrong checksum: a word is misread or out of place")
    group, group_threshold, group_count, member, member_threshold = (
        head >> s & 15 for s in (16, 12, 8, 4, 0)
    )
    if group_count < group_threshold:
        raise DataError("a mnemonic asks for more groups than there are")
    if group > group_count:
        raise DataError("a mnemonic has a group index beyond the number of groups")
    size = (RADIX_BITS * (len(data) - METADATA_WORDS) - padding) // 8
    number = _from_indices(data[4:-CHECKSUM_WORDS])
    if number >> 8 * size:
        raise DataError("a mnemonic has non-zero padding")
    return Mnemonic(
        identifier=head >> 25,
        extendable=extendable,
        exponent=head >> 20 & 15,
        group=group,
        group_threshold=group_threshold + 1,
        group_count=group_count + 1,
        member=member,
        member_threshold=member_threshold + 1,
        value=number.to_bytes(size),
    )


def _cipher(data: bytes, passphrase: bytes, share: tuple[int, bool, int], rounds: Sequence[int]) -> bytes:
    """Run the four-round Feistel network of "Encryption of the master secret", PBKDF2 as round function."""
    identifier, extendable, exponent = share
    salt = b"" if extendable else b"shamir" + identifier.to_bytes(2)
    half = len(data) // 2
    left, right = data[:half], data[half:]
    for i in rounds:
        f = hashlib.pbkdf2_hmac(
            "sha256",
            bytes([i]) + passphrase,
            salt + right,
            (BASE_ITERATIONS << exponent) // FEISTEL_ROUNDS,
            half,
        )
        left, right = right, xor(left, f)
    return right + left


def _digest(random: bytes, secret: bytes) -> bytes:
    return hmac.digest(random, secret, "sha256")[:DIGEST_BYTES]


def _split(threshold: int, count: int, secret: bytes, entropy: Entropy) -> list[bytes]:
    """Give the values at 0..count-1 ("SplitSecret"): the digest at 254 shows a wrong share on recovery."""
    if not 1 <= threshold <= count <= MAX_SHARES:
        raise UsageError(f"SLIP-39 takes 1 ≤ threshold ≤ shares ≤ {MAX_SHARES}")
    if threshold == 1:
        return [secret] * count
    values = [entropy(len(secret)) for _ in range(threshold - 2)]
    random = entropy(len(secret) - DIGEST_BYTES)
    xs = [*range(threshold - 2), DIGEST_INDEX, SECRET_INDEX]
    ys = [*values, _digest(random, secret) + random, secret]
    return values + [gf256_interpolate(xs, ys, i) for i in range(threshold - 2, count)]


def _recover(threshold: int, shares: dict[int, bytes], what: str) -> bytes:
    """Return the secret at 255 ("RecoverSecret"); DataError if the digest at 254 disagrees."""
    xs, ys = list(shares), list(shares.values())
    if threshold == 1:
        return ys[0]
    if len({len(y) for y in ys}) != 1:
        raise DataError(f"the {what} have different lengths")
    secret = gf256_interpolate(xs, ys, SECRET_INDEX)
    proof = gf256_interpolate(xs, ys, DIGEST_INDEX)
    if not hmac.compare_digest(proof[:DIGEST_BYTES], _digest(proof[DIGEST_BYTES:], secret)):
        raise DataError(
            f"the {what} do not fit together: at least one is wrong, and SLIP-39 cannot say which"
        )
    return secret


def _check_passphrase(passphrase: bytes) -> None:
    if any(not 32 <= c <= 126 for c in passphrase):
        raise UsageError("a SLIP-39 passphrase consists of printable ASCII characters")


def split(
    secret: bytes,
    groups: Sequence[tuple[int, int]],
    entropy: Entropy,
    *,
    group_threshold: int = 1,
    passphrase: bytes = b"",
    extendable: bool = True,
    exponent: int = 1,
) -> list[list[Mnemonic]]:
    """Share `secret` (16 bytes or more, an even number): `groups` lists (threshold, members) of each group.

    A wrong passphrase on recovery yields another secret and no error: that is the standard's plausible
    deniability.
    """
    _check_passphrase(passphrase)
    if len(secret) < 16 or len(secret) % 2:
        raise UsageError("SLIP-39 takes a secret of at least 16 bytes and of even length")
    if not 0 <= exponent < 16:
        raise UsageError("the iteration exponent is in 0..15")
    if any(threshold == 1 and count > 1 for threshold, count in groups):
        raise UsageError("with threshold 1 a group has one member: copies of one share belong to one person")
    identifier = int.from_bytes(entropy(2)) & 0x7FFF
    parameters = (identifier, extendable, exponent)
    encrypted = _cipher(secret, passphrase, parameters, range(FEISTEL_ROUNDS))
    group_values = _split(group_threshold, len(groups), encrypted, entropy)
    return [
        [
            Mnemonic(*parameters, g, group_threshold, len(groups), m, threshold, value)
            for m, value in enumerate(_split(threshold, count, group_values[g], entropy))
        ]
        for g, (threshold, count) in enumerate(groups)
    ]


def combine(mnemonics: Sequence[str], passphrase: bytes = b"") -> bytes:
    """Return the master secret from exactly the needed mnemonics ("Combining the shares")."""
    _check_passphrase(passphrase)
    shares = [parse(m) for m in mnemonics]
    if not shares:
        raise DataError("no mnemonics were given")
    if len({share.common for share in shares}) != 1:
        raise DataError("the mnemonics belong to different secrets: the first words differ")
    groups: dict[int, dict[int, Mnemonic]] = {}
    for share in shares:
        group = groups.setdefault(share.group, {})
        if share.member in group:
            raise DataError("a mnemonic was given twice")
        if any(other.member_threshold != share.member_threshold for other in group.values()):
            raise DataError("mnemonics of one group disagree about its threshold")
        group[share.member] = share
    first = shares[0]
    if len(groups) != first.group_threshold:
        raise DataError(f"{first.group_threshold} groups are needed; mnemonics of {len(groups)} were given")
    values = {}
    for g, group in groups.items():
        threshold = next(iter(group.values())).member_threshold
        if len(group) != threshold:
            raise DataError(f"group {g + 1} needs exactly {threshold} mnemonics; {len(group)} were given")
        values[g] = _recover(
            threshold, {m: share.value for m, share in group.items()}, f"shares of group {g + 1}"
        )
    encrypted = _recover(first.group_threshold, values, "groups")
    if len(encrypted) % 2:
        raise DataError("the secret has an odd length: no SLIP-39 tool made these shares")
    parameters = (first.identifier, first.extendable, first.exponent)
    return _cipher(encrypted, passphrase, parameters, range(FEISTEL_ROUNDS - 1, -1, -1))
