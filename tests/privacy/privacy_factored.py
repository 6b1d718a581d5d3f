"""F_factored on tiny rings: functions of few products, for the enumeration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from privacy_lanes import Lab, Program

from tacit.core.factors import Factors
from tacit.gadgets.waves import Lookup

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Parity:
    """(−1)^(a + b), one product, divided by 2^shift."""

    width: int
    shift: int = 0
    terms: int = 1

    def left(self, known: Sequence[Array]) -> Iterator[Array]:
        """Yield (−1)^a."""
        even = (known[0] & np.uint64(1)) == 0
        yield np.where(even, np.uint64(1), np.uint64((1 << self.width) - 1))

    right = left


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
