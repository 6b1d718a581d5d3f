"""How much of a large array an operation takes at a time, where it keeps many times its operand (decision 0067)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tacit.core.share import Share
from tacit.core.timing import Network

LEAST = 1 << 17
"""Elements: what such an operation keeps of so many fits a processor's cache, or nearly."""
ROUNDS_WORTH = 2
"""Elements of a block for each byte that a round could send; an operation sends several for each element and round."""


def elements(network: Network) -> int:
    """Return how many elements one block has, the same at every party: a multiple of 64."""
    return -(-max(LEAST, ROUNDS_WORTH * network.round_bytes) // 64) * 64


def put_together(rows: int, pieces: Iterable[Share]) -> Share:
    """Return shares of `rows` rows in all, one after another; made at the first piece, so that none is held twice."""
    made, at = Share(()), 0
    for piece in pieces:
        n = piece.shape[0]
        if n == rows:
            return piece
        if not made.parts:
            made = Share(tuple(np.empty_like(a, order="C", shape=(rows, *a.shape[1:])) for a in piece.parts))
        for whole, part in zip(made.parts, piece.parts, strict=True):
            whole[at : at + n] = part
        at += n
    return made
