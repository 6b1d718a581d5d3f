"""An owner or recipient outside the three compute parties of replicated sharing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.ghost import Ghost
from tacit.core.party import Party
from tacit.core.share import Share
from tacit.crypto.prg import Source, Stream
from tacit.protocols.rep3.cards import CARDS

Array = npt.NDArray[Any]
SEED_BYTES = 16


class Rep3Client(Ghost):
    """Shares its own inputs and receives what is revealed to it; holds no shares."""

    name = "rep3"
    cards = CARDS

    def __init__(self, party: Party, ring: Ring) -> None:
        super().__init__(party, ring)
        self._seeds: list[Source] = []  # shared with the same participant over other rings

    def seeds(self) -> tuple[Source, Source]:
        """Return the streams of components 0 and 1; the first call sends each seed to its two holders."""
        if not self._seeds:
            draw = self.party.keys.private("rep3/client-seeds")
            raw = draw.planes(1, 64 * 4).tobytes()
            low, high = raw[:SEED_BYTES], raw[SEED_BYTES : 2 * SEED_BYTES]
            for peer, seeds in zip(self.party.compute, (low + high, high, low), strict=True):
                self.party.send(peer, "rep3.client-seed", np.frombuffer(seeds, np.uint8))
            self._seeds += [Stream(low, "rep3/client-low"), Stream(high, "rep3/client-high")]
        low_stream, high_stream = self._seeds
        return low_stream, high_stream

    def visit(self, functionality: str, n: int, **sizes: Any) -> None:
        """Send component 2 of an own input to P1 and P2: v − c0 − c1."""
        if functionality not in ("share_input", "share_bits") or sizes["owner"] != self.party.name:
            return
        low, high = self.seeds()
        value: Array = sizes["value"]
        if functionality == "share_input":
            rest = self.ring.sub(
                self.ring.sub(value, low.ring(self.ring, value.shape)), high.ring(self.ring, value.shape)
            )
            payload, label = self.ring.pack(rest), "rep3.client-input"
        else:
            payload = (
                kernels.pack_bool(np.ascontiguousarray(value).reshape(-1))
                ^ low.planes(1, n)[0]
                ^ high.planes(1, n)[0]
            )
            label = "rep3.client-bits"
        for peer in self.party.compute[1:]:
            self.party.send(peer, label, payload)
        self.party.flush()

    def reveal(self, x: Share, to: Any) -> Array | None:
        """Receive x0 + r from P0 and x1 + x2 − r from P1, if named."""
        if self.party.name not in to:
            return None
        size = self.ring.wire_bytes(x.size)
        parts = [self.party.recv(p, "rep3.reveal", size) for p in self.party.compute[:2]]
        return self.ring.add(*(self.ring.unpack(b, x.shape) for b in parts))

    def reveal_bits(self, x: Share, to: Any) -> Array | None:
        """Receive both XOR parts, if named."""
        if self.party.name not in to:
            return None
        size = -(-x.size // 64) * 8
        first, second = (
            self.party.recv(p, "rep3.reveal-bits", size).view(np.uint64) for p in self.party.compute[:2]
        )
        return np.asarray(kernels.unpack_bool(first ^ second, x.size)).reshape(x.shape)
