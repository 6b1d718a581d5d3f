"""The two steps of the textbook, for teaching: split a number into parts that add up, then combine.

Source: Chaum, "The dining cryptographers problem" (J. Cryptology 1988), in the form with parts that von Ahn,
Bortz and Hopper use (CCS 2003, section 3). This is the passive heart of the protocol: it hides who spoke and
trusts everybody to follow it. `tacit.report.session` adds commitments and proofs, so that whoever does not is
named.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacit.algebra.field import PrimeField
from tacit.crypto.groups import Randomness
from tacit.errors import UsageError

MODULUS = 2**521 - 1
"""A prime large enough for 64 bytes of text."""
TEXT_BYTES = 64


def text_to_number(text: str) -> int:
    """Read a short text as a number below the modulus."""
    data = text.encode()
    if len(data) > TEXT_BYTES or data.startswith(b"\0"):
        raise UsageError(f"the teaching example takes a text of at most {TEXT_BYTES} bytes")
    return int.from_bytes(data)


def number_to_text(number: int) -> str:
    """Read the combined number as text again; garbage (two people spoke) is shown with replacement marks."""
    return number.to_bytes(-(-number.bit_length() // 8)).decode(errors="replace")


def split(value: int, people: int, randomness: Randomness) -> list[int]:
    """Step 1. Write `value` (the text, or 0 for silence) as one part a person; the parts add up to it.

    All parts but the last are uniform and the last is fixed by the sum: any people − 1 of them are uniform
    together.
    """
    if people < 3:
        raise UsageError("with fewer than three people everybody knows who spoke")
    modulus = PrimeField(MODULUS)
    size = (MODULUS.bit_length() + 7) // 8 + 16  # 16 bytes more than needed: the bias is below 2^-128
    parts = [int.from_bytes(randomness(size)) % MODULUS for _ in range(people - 1)]
    return [*parts, (modulus.element(value) - sum(parts)) % MODULUS]


def combine(parts: Sequence[int]) -> int:
    """Step 2. Add up: first each person the parts it got, then anybody what all announced."""
    modulus = PrimeField(MODULUS)
    return sum(modulus.element(part) for part in parts) % MODULUS
