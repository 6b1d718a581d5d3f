"""Calls of native kernels under valgrind, with arguments that it takes for undefined: what `constant_time.py` calls."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Iterable
from typing import Any

Buffer = Any  # array.array
Mask = Any
NONE = ()
KEY_BYTES = 16


def words(n: int) -> int:
    """Return the 64-bit words of n bits."""
    return -(-n // 64)


def octets(bits: int) -> int:
    """Return the bytes of so many bits."""
    return -(-bits // 8)


def block_rows(bits: int, radix: int) -> int:
    """Return the rows of the tables of blocks of `radix` bits."""
    return sum((1 << min(radix, bits - low)) - 1 for low in range(0, bits, radix))


class Watch:
    """Calls of one target's kernels."""

    def __init__(self, native: Any, marks: ctypes.CDLL) -> None:
        self.native, self.marks = native, marks
        self._outs: list[Buffer] = []
        self.found: dict[str, list[str]] = {}
        """Of each kernel that was called the calls of which something was reported."""
        self.blind: list[str] = []
        """Calls with a result that depends on no secret."""
        self.streams = (False, True) if native.has_aes() else (False,)

    # -- arguments ---------------------------------------------------------------------------------------------

    def secret(self, nbytes: int) -> Buffer:
        """Return bytes that must decide nothing."""
        held = array("B", (NOISE * -(-nbytes // len(NOISE)))[:nbytes])
        self.hide(held)
        return held

    def hide(self, held: Buffer) -> None:
        """Make bytes secret."""
        self.marks.undefine(*of(held))

    def out(self, nbytes: int) -> Buffer:
        """Return room for a result, of which some must depend on a secret."""
        held = array("B", bytes(nbytes))
        self._outs.append(held)
        return held

    def changed(self, nbytes: int) -> Buffer:
        """Return secret bytes that are written, too."""
        held = self.secret(nbytes)
        self._outs.append(held)
        return held

    def key(self) -> bytes:
        """Return a secret key."""
        held = bytes(range(KEY_BYTES))
        self.marks.undefine(ctypes.cast(held, ctypes.c_void_p), KEY_BYTES)
        return held

    def mask(self, nbytes: int, made: bool) -> Mask:
        """Return a mask in memory, or one that the kernel makes of a secret key."""
        return (self.stream(), 5, nbytes) if made else self.secret(nbytes)

    def stream(self) -> Any:
        """Return a key stream of a secret key."""
        before, made = self.marks.reports(), self.native.KeyStream(self.key())
        if self.marks.reports() > before:
            self.found.setdefault("KeyStream", []).append("KeyStream()")
        return made

    # -- calls -------------------------------------------------------------------------------------------------

    def __call__(self, kernel: str, *arguments: Any) -> None:
        """Call a kernel of the module."""
        self.watch(kernel, getattr(self.native, kernel), *arguments)

    def watch(self, name: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Call, and note what was reported, and whether secrets came as far as the results."""
        before = self.marks.reports()
        call(*arguments)
        reports = self.marks.reports() - before
        bad = self.found.setdefault(name, [])
        public = ", ".join(str(a) for a in arguments if isinstance(a, int | float))
        if reports:
            bad.append(f"{name}({public})")
            self.marks.say(f"-- of {self.native.target()} {bad[-1]}".encode())
        if not all(self.marks.undefined(*of(o)) for o in self._outs if o):
            self.blind.append(f"{name}({public})")
        self._outs.clear()


def of(held: Buffer) -> tuple[int, int]:
    """Return where an array lies, and its bytes."""
    at, count = held.buffer_info()
    return at, count * held.itemsize


def int64s(values: Iterable[int]) -> Buffer:
    """Return public numbers."""
    return array("q", values)


def uint32s(values: Iterable[int]) -> Buffer:
    """Return public places."""
    return array("I", values)


NOISE = b"".join((i * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") for i in range(1, 1 << 13))
