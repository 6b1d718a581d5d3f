"""The one source of randomness: labelled AES-128-CTR streams from keys made of operating-system entropy.

Two parties that hold one key and draw the same sizes in the same order see the same values; nobody else can
tell them from uniform. A stream is never rewound. `Tape` replaces streams in the privacy tests, where every
possible outcome is enumerated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from math import prod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.crypto.hashing import hkdf
from tacit.errors import MaterialError
from tacit.kernels.rows import permutation
from tacit.kernels.shapes import ALL, Drawn, Made, Mask, StreamPart

Array = npt.NDArray[Any]
Entropy = Callable[[int], bytes]
system_entropy: Entropy = os.urandom


@cache
def _native_prg() -> bool:
    """Whether the native kernels expand AES-CTR themselves; otherwise OpenSSL does."""
    info = kernels.info()
    return bool(info["native"]) and info["aes"] != "none"


class Source(Protocol):
    """What protocol code draws from."""

    def ring(self, ring: Ring, shape: tuple[int, ...]) -> Array:
        """Return uniform ring elements of `shape`."""

    def fill(self, ring: Ring, out: Array) -> Array:
        """Write uniform ring elements to an array, and return it."""

    def keep(self, ring: Ring, out: Array) -> Drawn:
        """Return what `fill` would, for a kernel that takes it away and may make it, and write it to `out`, there."""

    def bits(self, bits: int, shape: tuple[int, ...], ring: Ring) -> Array:
        """Return uniform elements below 2^bits, in the representation of `ring`."""

    def packed(self, bits: int, n: int, ring: Ring) -> Array:
        """Return `n` uniform elements below 2^bits as `ring.pack` would; bits past the last are arbitrary."""

    def mask(self, bits: int, n: int, ring: Ring) -> Mask:
        """Return what `packed` would, for a kernel that may make it where it reads it."""

    def planes(self, planes: int, n: int) -> Array:
        """Return uniform bit planes, uint64 (planes, ceil(n/64))."""

    def plane_mask(self, planes: int, n: int) -> Mask:
        """Return what `planes` would, for a kernel that may make it where it reads it."""

    def permutation(self, blocks: int, n: int) -> Array:
        """Return a uniform permutation of each of `blocks` blocks of n rows, as uint32 places among all rows."""


class KeyStream(Protocol):
    """AES-128 in counter mode from block 0 on (NIST SP 800-38A), as `kernels.KeyStream`."""

    @property
    def blocks(self) -> int:
        """Blocks that were taken."""

    def fill(self, out: Array, keep_high: int = ..., keep_low: int = ...) -> None:
        """Write the next bytes to a contiguous array, of each block the bits of `keep`; whole blocks are taken."""

    def skip(self, nbytes: int) -> int:
        """Take the next bytes without writing them; return the number of their first block."""


class _OpenSsl:
    """The same from OpenSSL, for machines whose AES instructions the kernels do not use."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.blocks = 0

    def skip(self, nbytes: int) -> int:
        """Take the next bytes without writing them."""
        first = self.blocks
        self.blocks = first + (nbytes + 15) // 16
        return first

    def fill(self, out: Array, keep_high: int = 2**64 - 1, keep_low: int = 2**64 - 1) -> None:
        """Write the next bytes."""
        if not out.flags.c_contiguous:  # of such an array a flat copy would be written
            raise ValueError("a key stream is written to a contiguous array")
        nbytes, keep = out.nbytes, keep_high << 64 | keep_low
        first = self.skip(nbytes)
        encryptor = Cipher(algorithms.AES(self._key), modes.CTR(first.to_bytes(16, "big"))).encryptor()
        flat = out.reshape(-1).view(np.uint8)
        flat[...] = np.frombuffer(encryptor.update(bytes(nbytes)), np.uint8)
        if keep != ALL:
            flat &= np.resize(np.frombuffer(keep.to_bytes(16, "little"), np.uint8), nbytes)


class Stream:
    """A labelled stream under one key: AES-128 in counter mode (NIST SP 800-38A)."""

    def __init__(self, key: bytes, label: str) -> None:
        own = hkdf(key, b"tacit/stream/" + label.encode(), 16)
        self._stream: KeyStream = kernels.KeyStream(own) if _native_prg() else _OpenSsl(own)
        self._fill = self._stream.fill

    def __repr__(self) -> str:
        return "Stream(<secret>)"

    @property
    def blocks(self) -> int:
        """Blocks of 16 bytes that were drawn."""
        return self._stream.blocks

    def take(self, nbytes: int) -> Array:
        """Return the next `nbytes` bytes, uint8; whole blocks are consumed."""
        out = np.empty(nbytes, np.uint8)
        self._fill(out)
        return out

    def ring(self, ring: Ring, shape: tuple[int, ...]) -> Array:
        """Return uniform ring elements of `shape`."""
        out = np.empty(shape, ring.dtype)
        self._fill(out, *ring.keep)
        return out

    def fill(self, ring: Ring, out: Array) -> Array:
        """Write uniform ring elements to an array, and return it."""
        if out.flags.c_contiguous:
            self._fill(out, *ring.keep)
        else:
            out[...] = self.ring(ring, out.shape)
        return out

    def keep(self, ring: Ring, out: Array) -> Drawn:
        """Return what `fill` would, for a kernel that takes it away and may make it, and write it to `out`, there."""
        if isinstance(self._stream, _OpenSsl) or not out.flags.c_contiguous:
            return self.fill(ring, out)
        return Made(out, self._part(out.nbytes))

    def bits(self, bits: int, shape: tuple[int, ...], ring: Ring) -> Array:
        """Return uniform elements below 2^bits, in the representation of `ring`."""
        return ring.unpack(self.take(ring.wire_bytes(prod(shape), bits)), shape, bits)

    def packed(self, bits: int, n: int, ring: Ring) -> Array:
        """Return `n` uniform elements below 2^bits as `ring.pack` would; bits past the last are arbitrary."""
        out = np.empty(-(-n * bits // 8), np.uint8)
        self._fill(out)
        return out

    def mask(self, bits: int, n: int, ring: Ring) -> Mask:
        """Return what `packed` would, for a kernel that may make it where it reads it."""
        if isinstance(self._stream, _OpenSsl):
            return self.packed(bits, n, ring)
        return self._part(-(-n * bits // 8))

    def planes(self, planes: int, n: int) -> Array:
        """Return uniform bit planes, uint64 (planes, ceil(n/64))."""
        out = np.empty((planes, -(-n // 64)), np.uint64)
        self._fill(out)
        return out

    def plane_mask(self, planes: int, n: int) -> Mask:
        """Return what `planes` would, for a kernel that may make it where it reads it."""
        if isinstance(self._stream, _OpenSsl):
            return self.planes(planes, n)
        return self._part(8 * planes * -(-n // 64))

    def _part(self, nbytes: int) -> StreamPart:
        return StreamPart(self._stream, self._stream.skip(nbytes), nbytes)

    def permutation(self, blocks: int, n: int) -> Array:
        """Return a uniform permutation of each of `blocks` blocks of n rows, as uint32 places among all rows.

        A draw that would make some orders likelier than others is repeated, which depends on the stream alone.
        """
        while True:
            found = permutation(self.take(8 * blocks * n).view(np.uint64), blocks)
            if found is not None:
                return found


class Tape:
    """A source that replays given values and records how many bits each draw asked for (tests only)."""

    def __init__(self, values: Iterable[int] | None = None) -> None:
        self.widths: list[int] = []
        self._values = None if values is None else iter(values)

    def _next(self, bits: int) -> int:
        self.widths.append(bits)
        if self._values is None:
            return 0
        try:
            return next(self._values)
        except StopIteration:
            raise MaterialError("the tape is used up") from None

    def ring(self, ring: Ring, shape: tuple[int, ...]) -> Array:
        """Return the next elements of the tape."""
        return self.bits(ring.width, shape, ring)

    def fill(self, ring: Ring, out: Array) -> Array:
        """Write the next elements of the tape to an array, and return it."""
        out[...] = self.ring(ring, out.shape)
        return out

    keep = fill

    def bits(self, bits: int, shape: tuple[int, ...], ring: Ring) -> Array:
        """Return the next elements of the tape."""
        n = int(np.prod(shape, dtype=np.int64))
        drawn = np.empty(n, object)
        drawn[:] = [self._next(bits) for _ in range(n)]
        return ring.encode_ints(drawn).reshape(shape)

    def packed(self, bits: int, n: int, ring: Ring) -> Array:
        """Return the next elements of the tape, packed."""
        return ring.pack(self.bits(bits, (n,), ring), bits)

    mask = packed

    def planes(self, planes: int, n: int) -> Array:
        """Return planes whose first `n` lanes come from the tape, one bit each."""
        out = np.zeros((planes, -(-n // 64)), np.uint64)
        for p in range(planes):
            for i in range(n):
                out[p, i // 64] |= np.uint64(self._next(1) << (i % 64))
        return out

    plane_mask = planes

    def permutation(self, blocks: int, n: int) -> Array:
        """Return permutations by exchanging each place i with a later one, whose distance the tape gives."""
        out = np.arange(blocks * n, dtype=np.uint32).reshape(blocks, n)
        for row in out:
            for i in range(n - 1):
                j = i + self._next((n - 1 - i).bit_length()) % (n - i)
                row[[i, j]] = row[[j, i]]
        return out.reshape(-1)


class KeyRing:
    """One party's keys of one session: one per peer, and one of its own."""

    def __init__(self, keys: dict[str, bytes], own: bytes) -> None:
        self._keys = dict(keys)
        self._own = own
        self._streams: dict[tuple[str, str], Source] = {}

    def __repr__(self) -> str:
        return f"KeyRing(peers={sorted(self._keys)}, <secret>)"

    def common(self, peer: str, label: str) -> Source:
        """Return the stream that this party and `peer` alone know."""
        return self._streams.get((peer, label)) or self._stream(peer, label)

    def private(self, label: str) -> Source:
        """Return a stream that this party alone knows."""
        return self._stream("", label)

    def _stream(self, peer: str, label: str) -> Source:
        found = self._streams.get((peer, label))
        if found is None:
            key = self._keys.get(peer) if peer else self._own
            if not key:
                raise MaterialError(
                    f"no key is shared with {peer!r}; the session is closed or not linked to it"
                )
            found = self._streams[peer, label] = Stream(key, label)
        return found

    def destroy(self) -> None:
        """Forget every key and stream; drawing afterwards fails."""
        self._keys.clear()
        self._own = b""
        self._streams.clear()


class Agreement:
    """One party's half of an X25519 key agreement (RFC 7748)."""

    def __init__(self, entropy: Entropy = system_entropy) -> None:
        self._private = X25519PrivateKey.from_private_bytes(entropy(32))
        self.public: bytes = self._private.public_key().public_bytes_raw()

    def shared(self, peer_public: bytes, info: bytes) -> bytes:
        """Return 32 bytes known to both halves, bound to `info`; raises MaterialError on a bad point."""
        try:
            secret = self._private.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError:
            raise MaterialError("the peer's key-agreement value is not a valid point") from None
        return hkdf(secret, info)
