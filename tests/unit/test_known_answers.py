"""The textbook's numbers: additive 3 + 6 + 1 and replicated 3 · 6."""

from __future__ import annotations

from typing import Any

import numpy as np

from tacit import kernels, testing
from tacit.algebra.ring import Ring
from tacit.core.share import Share
from tacit.crypto.prg import KeyRing, Tape
from tacit.testing import NAMES

RING = Ring(64)


class Silence(KeyRing):
    """Every stream is a tape of zeros: nothing is masked."""

    def __init__(self) -> None:
        super().__init__({}, b"")

    def _stream(self, peer: str, label: str) -> Any:
        return Tape()


def shares(p: Any, *values: int) -> Share:
    """Return this party's parts of explicitly given components."""
    i, n = p.party.index, len(values)
    return Share(tuple(RING.encode_ints(np.array([values[(i + j) % n]])) for j in range(p.parts)))


def test_three_plus_six_plus_one() -> None:
    """Bob's 3 = 2 − 5 + 6, Alice's 6 = 1 + 7 − 2, Mallory's 1 = −3 − 5 + 9."""

    def body(p: Any) -> tuple[int, Any]:
        bob, alice, mallory = shares(p, 2, -5, 6), shares(p, 1, 7, -2), shares(p, -3, -5, 9)
        total = p.add(p.add(bob, alice), mallory)
        return int(RING.to_ints(total.parts[0])[0]), RING.to_ints(p.reveal(total, NAMES[:3]))

    got = testing.run("semi2k", 64, body)
    assert [got[name][0] for name in NAMES[:3]] == [0, -3, 13]
    assert all(opened == 10 for _, opened in got.values())


def test_three_times_six() -> None:
    """3 = 1 + 4 − 2 and 6 = 2 + 3 + 1, P_i holding components i and i + 1; P_i: x_i·y_i + x_i·y_{i+1} + x_{i+1}·y_i."""

    def body(p: Any) -> tuple[int, Share, Any]:
        x, y = shares(p, 1, 4, -2), shares(p, 2, 3, 1)
        local = int(RING.to_ints(kernels.rep3_products(*x.parts, *y.parts, kernels.Masks(), 64))[0])
        z = p.mul(x, y)
        return local, z, p.reveal(z, NAMES[:3])

    got = testing.run("rep3", 64, body, keys=lambda name: Silence())
    assert [got[name][0] for name in NAMES[:3]] == [13, 10, -5]
    assert [int(RING.to_ints(got[name][1].parts[0])[0]) for name in NAMES[:3]] == [13, 10, -5]
    assert all(RING.to_ints(opened) == 18 for _, _, opened in got.values())
    masked = testing.run("rep3", 64, body)
    assert [int(RING.to_ints(masked[n][1].parts[0])[0]) for n in NAMES[:3]] != [13, 10, -5]
    assert all(RING.to_ints(opened) == 18 for _, _, opened in masked.values())
