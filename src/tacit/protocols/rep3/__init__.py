"""`rep3`: replicated sharing among three parties, one of which may be corrupted semi-honestly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import reduce

from tacit.algebra.ring import Ring
from tacit.core.party import Party
from tacit.core.protocol import Left, Protocol
from tacit.core.share import Matrix, Planes, Share
from tacit.crypto.prg import Source, Stream
from tacit.errors import UsageError
from tacit.protocols.rep3 import (
    arithmetic,
    bits,
    factored,
    late,
    leading,
    ranks,
    trees,
    turns,
    twoparty,
)
from tacit.protocols.rep3 import shuffle as rows
from tacit.protocols.rep3.cards import CARDS
from tacit.protocols.rep3.client import SEED_BYTES, Rep3Client

__all__ = ["Rep3", "Rep3Client"]


CONSTANT_PARTS: tuple[tuple[int, ...], ...] = ((0,), (), (1,))
"""Of each party: where it holds component 0."""


class Rep3(Protocol):
    """One compute party; every functionality is a function of `arithmetic` or `twoparty`."""

    name = "rep3"
    parts = 2
    cards = CARDS

    def __init__(self, party: Party, ring: Ring) -> None:
        if party.n != 3:
            raise UsageError(f"rep3 needs exactly three compute parties, not {party.n}")
        super().__init__(party, ring)
        self._clients: dict[str, tuple[Source, Source]] = {}
        self._seats = tuple(turns.turned(party, r) for r in range(3))
        self._turn = ""
        self._turned: dict[tuple[int, int], Rep3] = {}
        self.waiting: Left[turns.Running] = Left()
        """What has been begun and left."""
        self.last: list[Callable[[], None]] = []
        """What is to be done when that has ended."""

    settle = turns.settle

    def pace(self) -> None:
        """Wait as ever, but not before this party has taken what it is sent: the others might wait for that."""
        if not self.waiting:
            self.party.mesh.pace()

    def take_along(self, waves: int = 1, every: bool = True) -> None:
        """Let what was left go on by a wave, or only if roles are turned in some of it (`taking_along`).

        P0, whom a call makes wait for nothing, does so once for each wave of the others: then all parties send and
        receive in one order. All goes on or nothing: one call's messages would overtake another's.
        """
        if self.takes_along:
            for _ in range(waves if every or any(r.turned for r in self.waiting) else 0):
                turns.go_on_together(self)

    def total(self, terms: list[Share]) -> Share:
        """Return the sum of results of calls; if any was left, written over the first when all have ended."""
        self.waiting.whole = True
        if not self.waiting:
            return super().total(terms)

        def add_up() -> None:
            for into, part in zip(terms[0].parts, reduce(self.add, terms).parts, strict=True):
                into[...] = part

        self.last.append(add_up)
        return terms[0]

    def holds_constant(self, part: int) -> bool:
        """Public constants are added to component 0, which P0 holds first and P2 second."""
        return part in CONSTANT_PARTS[self.party.index]

    def constant_parts(self) -> tuple[int, ...]:
        """Return which of its parts this party adds public constants to."""
        return CONSTANT_PARTS[self.party.index]

    def turned(self, r: int) -> Rep3:
        """Return this party as P_{i−r}, with streams that only parties turned by r draw from."""
        if r == 0:
            return self
        seen = self._turned.get((r, self.ring.width))
        if seen is None:
            seen = self._turned[r, self.ring.width] = copy.copy(self)
            seen.party, seen._turn = self._seats[r], f"/{r}"
        return seen

    def common(self, offset: int, label: str) -> Source:
        """Return the stream shared with the compute party `offset` places after this one."""
        return self.party.common(offset, label + self._turn)

    def seeds_from(self, owner: str) -> tuple[Source, Source]:
        """Return the streams of a client's components 0 and 1; P1 lacks the first, P2 the second."""
        if owner not in self._clients:
            i = self.party.index
            raw = self.party.recv(owner, "rep3.client-seed", SEED_BYTES * (2 if i == 0 else 1)).tobytes()
            low = Stream(raw[:SEED_BYTES], "rep3/client-low")
            high = Stream(raw[-SEED_BYTES:], "rep3/client-high")
            self._clients[owner] = (low, high)
        return self._clients[owner]

    share_input = arithmetic.share_input
    share_bits = arithmetic.share_bits
    reveal = arithmetic.reveal
    reveal_bits = arithmetic.reveal_bits
    mul = arithmetic.mul
    mul_early = arithmetic.mul_early
    matmul = arithmetic.matmul
    matmul_early = arithmetic.matmul_early
    and_ = trees.and_
    and_all = trees.and_all
    trunc = twoparty.trunc
    trunc_exact = bits.trunc_exact
    sign = bits.sign
    is_zero = bits.is_zero
    decompose = bits.decompose
    to_arith = twoparty.to_arith
    select = twoparty.select
    narrowed = late.narrowed
    select_trunc = late.select_trunc
    select_narrowed = late.select_narrowed
    trunc_into = twoparty.trunc_into
    factored = factored.factored
    mul_into = arithmetic.mul_into
    matmul_into = arithmetic.matmul_into
    below = leading.below
    combine = leading.combine
    shuffle = rows.shuffle
    place = rows.place
    fetch = rows.fetch

    def dot(self, x: Share, y: Share) -> Share:
        """F_mul, then the sum over the first axis, in messages of the result's size."""
        return arithmetic.dot(self, x, y)

    def digit_ranks(self, digit: Planes, blocks: int, rows: int) -> Share:
        """F_rank, in a ring of at most 32 bits."""
        return ranks.digit_ranks(self, digit, blocks, rows)

    def mul_trunc(self, x: Share, y: Share, f: int) -> Share:
        """F_mul then F_trunc in three rounds and less traffic than the two apart."""
        self.check_shift(f)
        if f == 0:
            return self.mul(x, y)
        return arithmetic.mul_trunc(self, x, y, f)

    def matmul_trunc(self, x: Matrix, y: Matrix, f: int) -> Share:
        """F_matmul then F_trunc; the messages have the size of the result."""
        self.check_shift(f)
        if f == 0:
            return self.matmul(x, y)
        return arithmetic.matmul_trunc(self, x, y, f)
