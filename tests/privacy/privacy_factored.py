"""F_factored on tiny rings: functions of few products, for the enumeration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from privacy_lanes import Lab, Program

from tacit.core.factors import Factors
from tacit.gadgets.waves import Lookup
from tacit.kernels.waves import mask_rows, row

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Parity:
    """(−1)^(a + b), one product, divided by 2^shift."""

    width: int
    shift: int = 0
    terms: int = 1

    def _sign(self, x: Array) -> Array:
        return np.where((x & np.uint64(1)) == 0, np.uint64(1), np.uint64((1 << self.width) - 1))

    def mask(self, known: Sequence[Array], masks: Array, stride: int, first: int = 0) -> Array:
        """Return (−1)^a, masked."""
        return mask_rows([self._sign(known[0])], masks, stride, first, self.width)

    def weigh(self, known: Sequence[Array], rows: Array, stride: int, first: int = 0) -> Array:
        """Weigh by (−1)^b."""
        return self._sign(known[0]) * row(rows, first, stride, self.width, known[0].size)


def of_number(how: Factors) -> Any:
    """Return programs that apply `how` to a ring element."""

    def program(secrets: tuple[int, ...]) -> Program:
        return lambda p, lab: p.factored([lab.share(secrets[0])], how)

    return program


def of_bit(table: tuple[int, ...], width: int, shift: int = 0) -> Any:
    """Return programs that look a bit up in `table`."""

    def program(secrets: tuple[int, ...]) -> Program:
        def run(p: Any, lab: Lab) -> Any:
            return p.factored([(lab.share_bit(secrets[0]),)], Lookup((table,), width, shift))

        return run

    return program
