"""What a walk on shapes would hold in memory: an array without content counts as long as Python keeps it (0096).

The same code that works on shares works on such arrays, and lets go of them where it would let go of shares; so
nothing has to know when a value is used for the last time.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Array = npt.NDArray[Any]
_VIEWS = (np.broadcast_to, sliding_window_view)
"""What makes views of the plain class of NumPy unless it is told not to."""


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
    kept: Kept | None

    def __array_finalize__(self, of: object) -> None:
        # Not left to the base of a view: NumPy makes some views of what is below a class, and they keep only that.
        self.kept = (
            Kept(self.held, self.size * self.each) if self.flags.owndata else getattr(of, "kept", None)
        )

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in _VIEWS:
            kwargs = {**kwargs, "subok": True}
        made = super().__array_function__(func, types, args, kwargs)
        if type(made) is not np.ndarray:
            return made
        # Such as what `where` and `copy` make.
        counted = made.view(type(self))
        counted.kept = Kept(self.held, made.size * self.each)
        return counted

    def reshape(self, *shape: Any, **how: Any) -> Any:
        """Return a view, or what counts as the copy that NumPy would make."""
        try:
            return super().reshape(*shape, **{"copy": False, **how})
        except ValueError:  # also of a shape that does not fit, which is refused again
            return np.ndarray.reshape(self.held.array(self.shape, self.each), *shape, **how)


class _Nothing:
    """Address space of which no page is ever written, so that it takes none: arrays on it have strides, as shares do.

    The more elements an array is to have, the more there is of it.
    """

    def __init__(self) -> None:
        self.bytes = np.zeros(1, np.uint8)

    def of(self, size: int) -> Array:
        """Return at least so many bytes."""
        if size > self.bytes.size:
            room = mmap.mmap(-1, 1 << max(24, size.bit_length()), mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
            self.bytes = np.frombuffer(room, np.uint8)
        return self.bytes


_NOTHING = _Nothing()


class Held:
    """Bytes that are held now, and the most that were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._kinds: dict[int, type[_Counted]] = {}
        """By bytes of an element: what NumPy makes of arrays of a class is of that class."""

    def passing(self, nbytes: int) -> None:
        """Note so many bytes that are held for a moment only."""
        self.most = max(self.most, self.now + nbytes)

    def array(self, shape: Sequence[int], each: int) -> Array:
        """Return an array without content that counts `each` bytes for an element."""
        kind = self._kinds.get(each)
        if kind is None:
            kind = self._kinds[each] = type("_Counted", (_Counted,), {"held": self, "each": each})
        shape = tuple(shape)
        size = prod(shape)
        try:
            made = kind(shape, np.uint8, _NOTHING.of(size))
        except OSError:  # of limited address space; reshaped or not, what repeats then passes for a view
            made = kind(shape, np.uint8, np.zeros(1, np.uint8), 0, (0,) * len(shape))
        made.kept = Kept(self, size * each)
        return made
