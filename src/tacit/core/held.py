"""What a walk on shapes would hold in memory: an array without content counts as long as Python keeps it (0096).

The same code that works on shares works on such arrays, and lets go of them where it would let go of shares; so
nothing has to know when a value is used for the last time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

_NOTHING = np.zeros(1, np.uint8)


class Kept:
    """So many bytes, held as long as this is."""

    __slots__ = ("held", "nbytes")

    def __init__(self, held: Held, nbytes: int) -> None:
        self.held, self.nbytes = held, nbytes
        held.now += nbytes
        held.passing(0)

    def __del__(self) -> None:
        self.held.now -= self.nbytes


class _Counted(np.ndarray[Any, np.dtype[np.uint8]]):
    """Elements of no content; views of them keep them, as they would keep shares, and copies are counted, too."""

    held: ClassVar[Held]
    each: ClassVar[int]
    """Bytes that an element's shares take."""
    __array_priority__ = 1.0  # so that what NumPy joins of such arrays is one
    kept: Kept

    def __array_finalize__(self, of: object) -> None:
        if self.flags.owndata:
            self.kept = Kept(self.held, self.size * self.each)


class Held:
    """Bytes that are held now, and the most that were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._kinds: dict[int, type[_Counted]] = {}
        """By bytes of an element: what NumPy makes of arrays of a class is of that class."""

    def passing(self, nbytes: int) -> None:
        """Note so many bytes that are held for a moment only."""
        self.most = max(self.most, self.now + nbytes)

    def array(self, shape: Sequence[int], each: int) -> npt.NDArray[Any]:
        """Return an array without content that counts `each` bytes for an element."""
        kind = self._kinds.get(each)
        if kind is None:
            kind = self._kinds[each] = type("_Counted", (_Counted,), {"held": self, "each": each})
        shape = tuple(shape)
        made = kind(shape, np.uint8, _NOTHING, 0, (0,) * len(shape))
        made.kept = Kept(self, made.size * each)
        return made
