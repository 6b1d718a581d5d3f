"""Participants of additive sharing that hold no shares: owners and recipients outside, and the dealer."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.ghost import Ghost
from tacit.core.party import Party
from tacit.core.share import Share, halvings
from tacit.errors import InternalError, NotRealised, UsageError
from tacit.protocols.semi2k.boolean import prefix_steps, tree_planes, word_ring
from tacit.protocols.semi2k.cards import CARDS
from tacit.protocols.semi2k.material import RADIX, Material

Array = npt.NDArray[Any]


class Semi2kClient(Ghost):
    """Shares its own inputs and receives what is revealed to it; holds no shares."""

    name = "semi2k"
    cards = CARDS

    def __init__(self, party: Party, ring: Ring, dealer: str = "") -> None:
        super().__init__(party, ring)

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Send the last party v − Σ of what the streams with the other parties say."""
        if functionality not in ("share_input", "share_bits") or sizes["owner"] != self.party.name:
            return
        value: Array = sizes["value"]
        *first, last = self.party.compute
        if functionality == "share_input":
            rest = value
            for peer in first:
                mask = self.party.common_with(peer, "semi2k/input").ring(self.ring, value.shape)
                rest = self.ring.sub(rest, mask)
            self.party.send(last, "semi2k.input", self.ring.pack(rest))
        else:
            bits = kernels.pack_bool(np.ascontiguousarray(value).reshape(-1))[None, :]
            for peer in first:
                bits = bits ^ self.party.common_with(peer, "semi2k/input-bits").planes(1, n)
            self.party.send(last, "semi2k.input-bits", bits)
        self.party.flush()

    def reveal(self, x: Share, to: Any) -> Array | None:
        """Receive a re-randomised share from every party and add up, if named."""
        if self.party.name not in to:
            return None
        ring, size = self.ring, self.ring.wire_bytes(x.size)
        total = ring.zeros(x.shape)
        for peer in self.party.compute:
            total = ring.add(total, ring.unpack(self.party.recv(peer, "semi2k.reveal", size), x.shape))
        return total

    def reveal_bits(self, x: Share, to: Any) -> Array | None:
        """Receive a re-randomised share from every party and add up, if named."""
        if self.party.name not in to:
            return None
        lanes = -(-x.size // 64)
        total = np.zeros(lanes, np.uint64)
        for peer in self.party.compute:
            total ^= self.party.recv(peer, "semi2k.reveal-bits", 8 * lanes).view(np.uint64)
        return np.asarray(kernels.unpack_bool(total, x.size)).reshape(x.shape)


class Semi2kDealer(Semi2kClient):
    """Walks the program on shapes and deals the material that each step takes, in the same order.

    It knows every mask, so it must not see what the compute parties open: it is trusted not to collude.
    """

    def __init__(self, party: Party, ring: Ring, dealer: str = "") -> None:
        super().__init__(party, ring)
        if dealer not in ("", party.name) or party.name in party.compute:
            raise UsageError(f"{party.name} is not the dealer of this job, or computes in it")
        self.material = Material(party, ring, party.name)

    def over(self, ring: Ring) -> Self:
        """Return the dealer of material over another ring."""
        narrow = super().over(ring)
        narrow.material = Material(self.party, ring, self.party.name)
        return narrow

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Deal what one call of `functionality` on n elements takes."""
        super().visit(functionality, n, **sizes)
        step = getattr(self, f"_deal_{functionality}", None)
        if step is not None:
            step(n, **sizes)
        elif functionality not in ("share_input", "share_bits", "reveal", "reveal_bits", "agree"):
            if functionality not in CARDS:
                raise NotRealised(f"protocol semi2k does not realise {functionality!r}; use rep3")
            raise InternalError(f"the dealer does not know what {functionality!r} takes")

    def _deal_mul(self, n: int, **_: Any) -> None:
        self.material.triple((n,))

    def _deal_dot(self, n: int, *, inner: int, **_: Any) -> None:
        self._deal_mul(n * inner)

    def _deal_matmul(self, n: int, *, shapes: tuple[tuple[int, ...], tuple[int, ...]], **_: Any) -> None:
        self.material.matrix_triple(*shapes)

    def _deal_trunc(self, n: int, *, f: int, **_: Any) -> None:
        if f:
            self.material.shifted_mask((n,), f)

    def _deal_mul_trunc(self, n: int, *, f: int, **_: Any) -> None:
        self._deal_mul(n)
        self._deal_trunc(n, f=f)

    def _deal_matmul_trunc(self, n: int, *, f: int, **sizes: Any) -> None:
        self._deal_matmul(n, **sizes)
        self._deal_trunc(n, f=f)

    def _deal_and_(self, n: int, *, planes: int, **_: Any) -> None:
        self.material.bit_triple(planes, n)

    def _deal_and_all(self, n: int, *, planes: int, **_: Any) -> None:
        self._deal_tree(n, halvings(planes))

    def _deal_sign(self, n: int, *, bits: int, **_: Any) -> None:
        m = self._words(bits + 1)
        b = m.mask(n, bits + 1)[1]
        m.share_planes(lambda: b[bits:], 1, n)
        if bits:
            m.blocks(b, n, bits)
            self._deal_tree(n, tree_planes(-(-bits // RADIX)))

    def _deal_is_zero(self, n: int, *, bits: int, **_: Any) -> None:
        b = self._words(bits).mask(n, bits)[1]
        self.material.blocks(b, n, bits)
        self._deal_tree(n, halvings(-(-bits // RADIX)))

    def _deal_decompose(self, n: int, *, bits: int, **_: Any) -> None:
        b = self._words(bits).mask(n, bits)[1]
        self.material.share_planes(lambda: b, bits, n)
        self._deal_tree(n, [len(nodes) + keep for nodes, low, keep in prefix_steps(bits)])

    def _deal_to_arith(self, n: int, *, planes: int = 1, **_: Any) -> None:
        self.material.dabits(planes, n // planes)

    def _deal_select(self, n: int, **_: Any) -> None:
        self._deal_to_arith(n)
        self._deal_mul(n)

    def _deal_trunc_exact(self, n: int, *, f: int, **_: Any) -> None:
        if not f:
            return
        m = self.material
        b = m.shifted_mask((n,), f)[3]
        m.blocks(kernels.to_planes(b, f), n, f)
        self._deal_tree(n, tree_planes(-(-f // RADIX)))
        self._deal_to_arith(n)

    def _words(self, bits: int) -> Material:
        """Return the material of masks of so many bits."""
        return self.over(word_ring(self.ring, bits)).material

    def _deal_tree(self, n: int, levels: list[int]) -> None:
        for planes in levels:
            self.material.bit_triple(planes, n)
