"""`semi2k`: additive sharing over Z/2^k among n ≥ 2 parties; all but one may be corrupted semi-honestly."""

from __future__ import annotations

from typing import Self

from tacit.algebra.ring import Ring
from tacit.core.party import Party
from tacit.core.protocol import Protocol
from tacit.core.share import Planes, Share
from tacit.errors import NotRealised, UsageError
from tacit.protocols.semi2k import arithmetic, boolean
from tacit.protocols.semi2k.cards import CARDS
from tacit.protocols.semi2k.client import Semi2kClient, Semi2kDealer
from tacit.protocols.semi2k.material import Material

__all__ = ["Semi2k", "Semi2kClient", "Semi2kDealer"]


class Semi2k(Protocol):
    """One compute party of additive sharing; products need a dealer, which the job must name."""

    name = "semi2k"
    parts = 1
    cards = CARDS

    def __init__(self, party: Party, ring: Ring, dealer: str = "") -> None:
        if party.n < 2:
            raise UsageError(f"semi2k needs at least two compute parties, not {party.n}")
        if dealer in party.compute:
            raise UsageError(
                f"{dealer} cannot deal and compute: the dealer knows every mask; name another participant"
            )
        super().__init__(party, ring)
        self._material = Material(party, ring, dealer) if dealer else None

    def holds_constant(self, part: int) -> bool:
        """Public constants are added by the first party."""
        return self.party.index == 0

    def over(self, ring: Ring) -> Self:
        """Return the same party over another ring; so is what the dealer deals."""
        narrow = super().over(ring)
        if self._material is not None:
            narrow._material = Material(self.party, ring, self._material.dealer)
        return narrow

    def material(self, what: str) -> Material:
        """Return this party's end of the dealer's randomness; NotRealised, before any message, without."""
        if self._material is None:
            raise NotRealised(
                f"protocol semi2k does not realise {what!r} without correlated randomness: name a dealer "
                'that colludes with no party (dealer="…"; it shows in the statement), or use rep3'
            )
        return self._material

    share_input = arithmetic.share_input
    share_bits = arithmetic.share_bits
    reveal = arithmetic.reveal
    reveal_bits = arithmetic.reveal_bits
    mul = arithmetic.mul
    matmul = arithmetic.matmul
    trunc = arithmetic.trunc
    trunc_exact = boolean.trunc_exact
    and_ = boolean.and_
    sign = boolean.sign
    is_zero = boolean.is_zero
    decompose = boolean.decompose
    to_arith = boolean.to_arith

    def select(self, b: Planes, x: Share) -> Share:
        """F_inject: F_b2a then F_mul."""
        self.material("select")
        return self.mul(self.to_arith(b).reshape(*x.shape), x)
