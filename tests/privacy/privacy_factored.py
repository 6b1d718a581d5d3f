"""F_factored on tiny rings: functions of few products, for the enumeration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from privacy_lanes import Program

from tacit.core.factors import Factors
from tacit.gadgets.waves import Powers, Series, Waves
from tacit.kernels.reference_waves import mask_rows, row

Array = npt.NDArray[Any]

QUARTERS = Waves(Series(0.0, (1.0,), (1.0,)), rate=1 << 62, s=0, t=0, width=3, shift=0)
"""cos + sin of quarter turns: 1, 1, −1, −1 for x = 0, 1, 2, 3 mod 4. Two products, of sines that are whole numbers."""
DOUBLE = Powers(rate=1 << 63, offset=0, digits=2, step=1, base=0, s=0, t=0, width=4, shift=0)
"""2^x for one bit x: two products, of which the digit of the known half picks one."""


@dataclass(frozen=True)
class Parity:
    """(−1)^(a + b), one product, divided by 2^shift: where two would be too many bits to enumerate."""

    width: int
    shift: int = 0
    terms: int = 1

    def _sign(self, x: Array) -> Array:
        return np.where((x & np.uint64(1)) == 0, np.uint64(1), np.uint64((1 << self.width) - 1))

    def mask(self, known: Array, masks: Array, stride: int) -> Array:
        """Return (−1)^a, masked."""
        return mask_rows([self._sign(known)], masks, stride, self.width)

    def weigh(self, known: Array, rows: Array, stride: int) -> Array:
        """Weigh by (−1)^b."""
        return self._sign(known) * row(rows, 0, stride, self.width, known.size)


def of_number(how: Factors) -> Any:
    """Return programs that apply `how` to a ring element."""

    def program(secrets: tuple[int, ...]) -> Program:
        return lambda p, lab: p.factored(lab.share(secrets[0]), how)

    return program
