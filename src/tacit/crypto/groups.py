"""Prime-order groups behind one interface: Ed25519's subgroup, ristretto255 and secp256k1.

A :class:`Scalar` or :class:`Element` is valid by construction: only canonical encodings are decoded, an
element is always in the prime-order group, and the identity is neither encoded nor decoded. Back ends wrap
maintained native libraries. Operators are constant-time in the scalar; what is not says ``vartime_`` in its
name and is for public values only.

Needs the extra ``threshold`` (PyNaCl, rbcl, coincurve).
"""

from __future__ import annotations

import hmac
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Literal, NoReturn

from tacit.errors import DataError, InternalError, NotRealised, UsageError

Randomness = Callable[[int], bytes]
"""A source of uniform bytes; ``secrets.token_bytes`` outside of tests."""

IDENTITY = b""
"""Internal form of the neutral element: no group encodes it, so no peer can send it."""


class Scalar:
    """Hold an integer modulo the group order; arithmetic is constant-time and the value is never printed."""

    __slots__ = ("_raw", "group")

    def __init__(self, group: Group, raw: bytes) -> None:
        """Keep ``raw``, which must be canonical; decode untrusted bytes with :meth:`Group.decode_scalar`."""
        self.group = group
        self._raw = raw

    def __add__(self, other: Scalar) -> Scalar:
        return Scalar(self.group, self.group._scalar_add(self._raw, self._operand(other)))

    def __sub__(self, other: Scalar) -> Scalar:
        return self + (-other)

    def __mul__(self, other: Scalar) -> Scalar:
        if isinstance(other, Element):
            return NotImplemented  # Element.__rmul__ multiplies
        return Scalar(self.group, self.group._scalar_mul(self._raw, self._operand(other)))

    def __neg__(self) -> Scalar:
        return Scalar(self.group, self.group._scalar_negate(self._raw))

    def inverse(self) -> Scalar:
        """Return the multiplicative inverse in constant time. Raises UsageError for zero."""
        if self.is_zero():
            raise UsageError("zero has no inverse")
        return Scalar(self.group, self.group._scalar_invert(self._raw))

    def is_zero(self) -> bool:
        """Say whether this is zero (reveals only that)."""
        return hmac.compare_digest(self._raw, bytes(len(self._raw)))

    def encode(self) -> bytes:
        """Return the canonical fixed-length encoding. The caller now holds the secret."""
        return self._raw

    def vartime_int(self) -> int:
        """Return a public scalar as a Python integer (whose arithmetic is not constant-time)."""
        return int.from_bytes(self._raw, self.group.byte_order)

    def _operand(self, other: Scalar) -> bytes:
        if not isinstance(other, Scalar) or other.group is not self.group:
            raise UsageError("scalars of different groups do not combine")
        return other._raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scalar) or other.group is not self.group:
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)

    __hash__ = None  # type: ignore[assignment]  # a secret does not belong in a hash table

    def __repr__(self) -> str:
        return f"Scalar({self.group.name}, redacted)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Scalar may be secret and is not pickled; use encode() deliberately")


class Element:
    """Hold a member of a prime-order group, the identity included (which cannot be encoded)."""

    __slots__ = ("_raw", "group")

    def __init__(self, group: Group, raw: bytes) -> None:
        """Keep ``raw``, which must be canonical; decode untrusted bytes with :meth:`Group.decode_element`."""
        self.group = group
        self._raw = raw

    def __add__(self, other: Element) -> Element:
        return self.group.total((self, other))

    def __sub__(self, other: Element) -> Element:
        return self.group.total((self, -other))

    def __neg__(self) -> Element:
        if self.is_identity():
            return self
        return Element(self.group, self.group._negate(self._raw))

    def __rmul__(self, scalar: Scalar) -> Element:
        """Multiply by a scalar in constant time."""
        if not isinstance(scalar, Scalar) or scalar.group is not self.group:
            raise UsageError("the scalar and the element belong to different groups")
        if self.is_identity() or scalar.is_zero():
            return self.group.identity
        return Element(self.group, self.group._multiply(scalar.encode(), self._raw))

    def vartime_mul(self, scalar: Scalar) -> Element:
        """Multiply by a public scalar; may take less time than ``scalar * element``."""
        if not isinstance(scalar, Scalar) or scalar.group is not self.group:
            raise UsageError("the scalar and the element belong to different groups")
        if self.is_identity() or scalar.is_zero():
            return self.group.identity
        return Element(self.group, self.group._vartime_multiply(scalar.encode(), self._raw))

    def is_identity(self) -> bool:
        """Say whether this is the neutral element."""
        return self._raw == IDENTITY

    def encode(self) -> bytes:
        """Return the canonical fixed-length encoding. Raises UsageError for the identity (RFC 9591, 3.1)."""
        if self.is_identity():
            raise UsageError("the identity element has no encoding")
        return self._raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Element):
            return NotImplemented
        return other.group is self.group and hmac.compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash((self.group.name, self._raw))

    def __repr__(self) -> str:
        shown = "identity" if self.is_identity() else self._raw.hex()
        return f"Element({self.group.name}, {shown})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Element is not pickled; use encode()")


class Group(ABC):
    """Offer one prime-order group; every back end has exactly this shape (RFC 9591, section 3.1)."""

    name: str
    order: int
    scalar_bytes: int
    element_bytes: int
    wide_bytes: int
    byte_order: Literal["little", "big"]  # how a scalar is written

    def __init__(self) -> None:
        self.identity = Element(self, IDENTITY)
        self.zero = self.scalar(0)
        self.one = self.scalar(1)
        self.generator = self.base_mul(self.one)

    def scalar(self, value: int) -> Scalar:
        """Return a public integer modulo the group order as a scalar."""
        return Scalar(self, (value % self.order).to_bytes(self.scalar_bytes, self.byte_order))

    def random_scalar(self, randomness: Randomness) -> Scalar:
        """Draw a uniform non-zero scalar (bias below 2^-128)."""
        while True:
            drawn = self.scalar_from_wide(randomness(self.wide_bytes))
            if (
                not drawn.is_zero()
            ):  # a repeat happens with probability 1/order: it says nothing of the result
                return drawn

    def scalar_from_wide(self, wide: bytes) -> Scalar:
        """Reduce ``wide_bytes`` uniform bytes, in the group's byte order, to a scalar in constant time."""
        if len(wide) != self.wide_bytes:
            raise UsageError(f"{self.name} reduces exactly {self.wide_bytes} bytes, not {len(wide)}")
        return Scalar(self, self._reduce_wide(wide))

    def decode_scalar(self, data: bytes) -> Scalar:
        """Decode a canonical scalar in [0, order). Raises DataError otherwise, without the value."""
        if type(data) is not bytes or len(data) != self.scalar_bytes:
            raise DataError(f"a {self.name} scalar has {self.scalar_bytes} bytes")
        if not self._scalar_is_canonical(data):
            raise DataError(f"a {self.name} scalar is not reduced modulo the group order")
        return Scalar(self, data)

    def decode_element(self, data: bytes) -> Element:
        """Decode a canonical, non-identity element of the prime-order group. Raises DataError otherwise."""
        if type(data) is not bytes or len(data) != self.element_bytes:
            raise DataError(f"a {self.name} element has {self.element_bytes} bytes")
        if not self._element_is_valid(data):
            raise DataError(
                f"these bytes are not the canonical encoding of a {self.name} element other than the identity"
            )
        return Element(self, data)

    def base_mul(self, scalar: Scalar) -> Element:
        """Multiply the generator by a scalar in constant time."""
        if scalar.group is not self:
            raise UsageError("the scalar belongs to another group")
        if scalar.is_zero():
            return self.identity
        return Element(self, self._base_multiply(scalar.encode()))

    def total(self, elements: Iterable[Element]) -> Element:
        """Add any number of elements (variable-time only in how many are the identity)."""
        raw = []
        for element in elements:
            if not isinstance(element, Element) or element.group is not self:
                raise UsageError("elements of different groups do not combine")
            if not element.is_identity():
                raw.append(element._raw)
        return Element(self, self._total(raw)) if raw else self.identity

    def vartime_multi_mul(self, scalars: Sequence[Scalar], elements: Sequence[Element]) -> Element:
        """Return the sum of public scalars times elements."""
        if len(scalars) != len(elements):
            raise UsageError(f"{len(scalars)} scalars and {len(elements)} elements do not pair up")
        return self.total([x.vartime_mul(s) for s, x in zip(scalars, elements, strict=True)])

    def vartime_inverse(self, scalar: Scalar) -> Scalar:
        """Invert a public scalar. Raises UsageError for zero."""
        if scalar.is_zero():
            raise UsageError("zero has no inverse")
        return self.scalar(pow(scalar.vartime_int(), -1, self.order))

    def vartime_hash_to_element(self, message: bytes, dst: bytes) -> Element:
        """Hash public bytes to an element whose logarithm nobody knows (RFC 9380, random-oracle suites)."""
        element = Element(self, self._vartime_hash_to_element(message, dst))
        if element.is_identity():
            raise InternalError("a hash fell on the identity, which happens with probability 2^-250")
        return element

    def __repr__(self) -> str:
        return f"Group({self.name})"

    # What a back end supplies: raw canonical bytes in, raw canonical bytes out; never the identity as an
    # input.

    @abstractmethod
    def _scalar_add(self, a: bytes, b: bytes) -> bytes: ...

    @abstractmethod
    def _scalar_mul(self, a: bytes, b: bytes) -> bytes: ...

    @abstractmethod
    def _scalar_negate(self, a: bytes) -> bytes: ...

    @abstractmethod
    def _scalar_invert(self, a: bytes) -> bytes: ...

    @abstractmethod
    def _scalar_is_canonical(self, data: bytes) -> bool: ...

    @abstractmethod
    def _reduce_wide(self, wide: bytes) -> bytes: ...

    @abstractmethod
    def _element_is_valid(self, data: bytes) -> bool: ...

    @abstractmethod
    def _base_multiply(self, scalar: bytes) -> bytes: ...

    @abstractmethod
    def _multiply(self, scalar: bytes, element: bytes) -> bytes: ...

    @abstractmethod
    def _vartime_multiply(self, scalar: bytes, element: bytes) -> bytes: ...

    @abstractmethod
    def _negate(self, element: bytes) -> bytes: ...

    @abstractmethod
    def _total(self, elements: Sequence[bytes]) -> bytes: ...

    @abstractmethod
    def _vartime_hash_to_element(self, message: bytes, dst: bytes) -> bytes: ...


_BACK_ENDS = {
    "ed25519": ("tacit.crypto.group_ed25519", "Ed25519Group"),
    "ristretto255": ("tacit.crypto.group_ristretto255", "Ristretto255Group"),
    "secp256k1": ("tacit.crypto.group_secp256k1", "Secp256k1Group"),
}

GROUP_NAMES = tuple(_BACK_ENDS)


@cache
def group_named(name: str) -> Group:
    """Return the one instance of a group. Raises NotRealised where its library is missing."""
    if name not in _BACK_ENDS:
        raise UsageError(f"no group is called {name!r}; there are {', '.join(GROUP_NAMES)}")
    module, attribute = _BACK_ENDS[name]
    try:
        back_end = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise NotRealised(
            f"the group {name} needs a library ({error.name}); in your clone of Tacit run: "
            ".venv/bin/pip install -e '.[threshold]'"
        ) from error
    group = back_end()
    if not isinstance(group, Group):
        raise NotRealised(f"the back end of {name} is not a group")
    return group
