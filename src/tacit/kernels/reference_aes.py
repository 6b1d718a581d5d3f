"""AES-128 in counter mode in plain NumPy, vectorised over blocks: the specification of ``prg``.

FIPS 197 and NIST SP 800-38A. It looks up a table, so its timing depends on the data: it serves tests only.
Without the native kernel, ``tacit.crypto`` takes the same stream from OpenSSL.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tacit.kernels import shapes
from tacit.kernels.shapes import Array, Mask, StreamPart

# ShiftRows on a column-major state: byte r + 4c comes from byte r + 4((c + r) mod 4).
_SHIFT_ROWS = np.array([r + 4 * ((c + r) % 4) for c in range(4) for r in range(4)])


def _times_x(a: Array) -> Array:
    """Multiply by x in GF(2^8) = GF(2)[x]/(x^8 + x^4 + x^3 + x + 1)."""
    return (a << 1) ^ ((a >> 7) * np.uint8(0x1B))


@cache
def _s_box() -> Array:
    """Return the S-box: inversion in GF(2^8), then an affine map."""
    power, log = np.zeros(256, np.uint8), np.zeros(256, np.int64)
    value = 1
    for i in range(255):  # 3 generates the multiplicative group
        power[i], log[value] = value, i
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    inverse = power[(255 - log) % 255]
    inverse[0] = 0
    box = inverse.copy()
    for turn in (1, 2, 3, 4):
        box ^= (inverse << turn) | (inverse >> (8 - turn))
    return box ^ np.uint8(0x63)


def _round_keys(key: bytes) -> Array:
    """Return ``uint8[11, 16]``, the key schedule of FIPS 197, section 5.2."""
    words = np.zeros((44, 4), np.uint8)
    words[:4] = np.frombuffer(key, np.uint8).reshape(4, 4)
    constant = 1
    for i in range(4, 44):
        previous = words[i - 1]
        if i % 4 == 0:
            previous = _s_box()[np.roll(previous, -1)]
            previous[0] ^= np.uint8(constant)
            constant = (constant << 1) ^ (0x11B if constant & 0x80 else 0)
        words[i] = words[i - 4] ^ previous
    return words.reshape(11, 16)


def _encrypt(keys: Array, state: Array) -> Array:
    """Return the encryption of ``uint8[n, 16]`` blocks."""
    state = state ^ keys[0]
    for r in range(1, 11):
        state = _s_box()[state][:, _SHIFT_ROWS]
        if r < 10:  # MixColumns: 2a + 3b + c + d in every column
            a = state.reshape(-1, 4, 4)
            total = a[:, :, :1] ^ a[:, :, 1:2] ^ a[:, :, 2:3] ^ a[:, :, 3:]
            state = (a ^ total ^ _times_x(a ^ np.roll(a, -1, axis=2))).reshape(-1, 16)
        state = state ^ keys[r]
    return state


class KeyStream:
    """A key stream from block 0 on; every call takes the next whole blocks."""

    def __init__(self, key: bytes) -> None:
        shapes.stream(key, 0, 0)
        self._key = key
        self.blocks = 0
        """Blocks that were taken."""

    def fill(self, out: Array, keep_high: int = 2**64 - 1, keep_low: int = 2**64 - 1) -> None:
        """Write the next bytes to a contiguous array, as `prg` does; `keep` in two words."""
        if not out.flags.c_contiguous:  # of such an array a flat copy would be written
            raise ValueError("a key stream is written to a contiguous array")
        prg(self._key, self.skip(out.nbytes), out.nbytes, out, keep_high << 64 | keep_low)

    def skip(self, nbytes: int) -> int:
        """Take the next bytes without writing them; return the number of their first block."""
        first = self.blocks
        self.blocks = first + (nbytes + 15) // 16
        return first

    def part(self, out: Array, block: int) -> None:
        """Write the bytes from a block on, and take none."""
        prg(self._key, block, out.nbytes, out)


def prg(key: bytes, block: int, nbytes: int, out: Array | None = None, keep: int = shapes.ALL) -> Array:
    """Return ``uint8[nbytes]`` of the AES-128-CTR key stream: blocks of 16 bytes, E(block), E(block + 1), ...

    The counter is a 128-bit big-endian integer and wraps. The bytes are written to `out` if given. Of each block, as a
    little-endian number, only the bits of ``keep`` are: the others are zero.
    """
    shapes.stream(key, block, nbytes)
    count = (nbytes + 15) // 16
    steps = np.arange(count, dtype=np.uint64)
    low = np.full(count, block & (2**64 - 1), np.uint64) + steps
    high = np.full(count, block >> 64, np.uint64) + (low < steps)
    counters = np.stack([high, low], axis=1).astype(">u8").view(np.uint8)
    blocks = _encrypt(_round_keys(key), counters.reshape(count, 16))
    made = (blocks & np.frombuffer(keep.to_bytes(16, "little"), np.uint8)).reshape(-1)[:nbytes]
    if out is None:
        return made
    out.reshape(-1).view(np.uint8)[...] = made
    return out


def expanded(mask: Mask) -> Array:
    """Return the bytes of a mask, ``uint8``, in memory."""
    if not isinstance(mask, StreamPart):
        return mask
    out = np.empty(mask.size, np.uint8)
    mask.stream.part(out, mask.block)
    return out
