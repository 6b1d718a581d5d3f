"""The closed list of ideal functionalities, and the cards that say what realising each one costs.

A protocol is a class that realises this list; `clear` is the ideal world. Arithmetic shares are `Share`s of
ring elements, truth values are `Share`s of 0/1 bytes, words of bits are `Planes`. Operations that need no
message are written once here, over the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import zip_longest
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core.factors import Factors
from tacit.core.party import Party
from tacit.core.rows import Column
from tacit.core.share import Gathered, Matrix, Planes, Share, stack_planes
from tacit.core.timing import Network
from tacit.errors import Desync, NotRealised, RangeError

Array = npt.NDArray[Any]
T = TypeVar("T")
_ONES = np.full((1, 1), 0xFFFFFFFFFFFFFFFF, np.uint64)

Wave = list[tuple[int, int, int]]
"""Messages (sender, receiver, bytes) that all leave before any of them is received."""
Pattern = Callable[..., list[Wave]]
Call = tuple[str, int, dict[str, Any]]
"""A functionality, on how many elements, and the sizes that its card asks for."""


class Pieces(list[tuple[int, int, int]]):
    """Wave `number` of a call that is worked on in pieces, each of which goes on as soon as it has its messages.

    The messages are those of the first kind of piece, then as many of the second, …; `order` lists the kinds as they
    are worked on. Messages leave in so many `blocks`, each while the next is computed.
    """

    product = 0.0
    """The part of a local matrix product that is computed for its messages; what no wave says precedes them all."""

    def __init__(self, number: int, order: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.number, self.order, self.blocks = number, order, blocks


def deepen(
    depth: dict[T, int],
    waves: Sequence[Wave],
    name: Callable[[int], T],
    along: Callable[[bool], None] | None = None,
) -> None:
    """Move the causal depth of every party on: a message is one deeper than what its sender has received by then.

    `along` is called when a wave has been sent, before it is received; with False for a later one of a single message.
    """
    run: list[Wave] = []
    for wave, following in zip_longest(waves, waves[1:]):
        run.append(wave)
        if isinstance(wave, Pieces) and isinstance(following, Pieces) and following.number == len(run):
            continue
        begun = Begun(run)
        while begun.go_on(depth, name):
            if along is not None:
                along(wave is waves[0] or len(wave) > 1)
        run = []


class Begun:
    """A call on its way, as far as causal depth goes: waves of pieces that advance together, or plain ones."""

    def __init__(self, waves: Sequence[Wave]) -> None:
        self.waves, self.stage = waves, 0
        self.pieces = waves[0].order if waves and isinstance(waves[0], Pieces) else (0,)
        self.marks: list[list[int]] = [[] for _ in self.pieces]

    def go_on(self, depth: dict[T, int], name: Callable[[int], T]) -> bool:
        """Let every piece receive its part of the wave before, and send its part of the next; say if there was one."""
        got = self.waves[self.stage - 1] if self.stage else []
        sent = self.waves[self.stage] if self.stage < len(self.waves) else []
        for mark, kind in zip(self.marks, self.pieces, strict=True):
            for (_, receiver, _), deep in zip(_of(got, kind), mark, strict=True):
                depth[name(receiver)] = max(depth.get(name(receiver), 0), deep)
            mark[:] = [depth.setdefault(name(sender), 0) + 1 for sender, _, _ in _of(sent, kind)]
        self.stage += 1
        return self.stage <= len(self.waves)


class Left(list[T]):
    """Calls that were left, as they go on in each wave: the last begun first, those begun together in their order.

    What has just been begun waits for nobody who takes part in the calls before: to go on with these first would be to
    wait for their messages. Every party keeps to this order, so frames come as they are expected.
    """

    together = 0
    """How many were begun since the others last went on."""
    whole = False
    """Whether all end that waits if any does: parties count waves of their own, or what is left adds up the results."""

    @property
    def older(self) -> bool:
        """Whether any have gone on before: what these have sent comes before what is sent now."""
        return len(self) > self.together

    def add(self, some: Sequence[T]) -> None:
        """Add calls that are begun now."""
        self[self.together : self.together] = some
        self.together += len(some)

    def go_on(self, step: Callable[[T], bool]) -> None:
        """Let all go on by a wave, and keep those that are not at their end."""
        self.together = 0
        self[:] = [each for each in self if step(each)]


def rounds(waves: Sequence[Wave]) -> int:
    """Return the length of the longest chain of messages, if all parties begin together."""
    return _chains(_links(waves))[0]


Links = tuple[tuple[int, tuple[int, ...], tuple[tuple[int, int], ...]], ...]


def _links(waves: Sequence[Wave]) -> Links:
    """Return all that causal depths depend on: waves without sizes."""
    return tuple(
        [
            (w.number, w.order, tuple([m[:2] for m in w]))
            if isinstance(w, Pieces)
            else (-1, (), tuple([m[:2] for m in w]))
            for w in waves
        ]
    )


@lru_cache(maxsize=1 << 12)
def _chains(links: Links) -> tuple[int, int]:
    """Return the longest chain of messages, and by how much it grows when the same messages follow once more."""
    waves: list[Wave] = []
    for number, order, pairs in links:
        wave = Pieces(number, order, 1) if order else []
        wave += [(sender, receiver, 0) for sender, receiver in pairs]
        waves.append(wave)
    depth: dict[int, int] = {}
    lengths = []
    for _ in range(2):
        deepen(depth, waves, lambda place: max(place, -1))
        lengths.append(max(depth.values(), default=0))
    return lengths[0], lengths[1] - lengths[0]


def _of(wave: Wave, kind: int) -> Wave:
    """Return the messages of a wave that are those of a kind of piece."""
    if not isinstance(wave, Pieces):
        return wave
    each = len(wave) // (max(wave.order) + 1)
    return wave[kind * each : (kind + 1) * each]


@dataclass(frozen=True, slots=True)
class Card:
    """What one realisation promises and costs; tests hold it against the meter, docs render it.

    `pattern(ring, n, **sizes)` lists the messages of one call on `n` elements, wave by wave. Negative
    places are participants that hold no shares: the client that inputs or receives, else the dealer.
    """

    functionality: str
    protocol: str
    source: str
    adversary: str
    corruptions: str
    material: str
    leaks: str
    pattern: Pattern
    patient: bool = False
    """Whether a call may be begun and left for later (decision 0072)."""

    def bits(self, ring: Ring, parties: int, n: int = 64 * 1024, **sizes: int) -> list[float]:
        """Bits that each compute party sends for one element, amortised over `n`."""
        sent = [0.0] * parties
        for wave in self.pattern(ring, n, **{"parties": parties, **sizes}):
            for sender, _, nbytes in wave:
                if sender >= 0:
                    sent[sender] += 8 * nbytes / n
        return sent

    def rounds(self, ring: Ring, **sizes: int) -> int:
        """Count the rounds of one call that all parties begin together."""
        return rounds(self.pattern(ring, 64, **sizes))


def price(network: Network, parties: int, waves: Sequence[Wave]) -> int:
    """Return what waves of messages are worth, in bytes of the party that sends most.

    A round counts as the bytes that the network could carry in its time: so all participants choose alike. Rounds are
    those that the messages add to a program that goes on like this: what waits for nobody has left long before.
    """
    sent = [0] * (parties + 1)  # the last: whoever holds no shares
    for wave in waves:
        for sender, _, size in wave:
            sent[max(sender, -1)] += size
    return _chains(_links(waves))[1] * network.round_bytes + max(sent)


_Sized = tuple[Card, int, tuple[tuple[str, Any], ...]]


@lru_cache(maxsize=1 << 12)
def _worth(
    network: Network, parties: int, ring: Ring, calls: tuple[_Sized, ...], along: _Sized | None
) -> int:
    """Return the price of calls; a plan asks for that of the same ones again and again."""

    def waves(call: _Sized) -> list[Wave]:
        card, size, sizes = call
        return card.pattern(ring, size, parties=parties, network=network, **dict(sizes))

    each = [waves(call) for call in calls]
    if along is not None:
        each[0] = [[*left, *taken] for left, taken in zip_longest(waves(along), each[0], fillvalue=())]
    return price(network, parties, [wave for one in each for wave in one])


class _Within:
    """Within, something holds of a protocol; afterwards it holds if it did before."""

    __slots__ = ("before", "name", "protocol")

    def __init__(self, protocol: Protocol, name: str) -> None:
        self.protocol, self.name = protocol, name

    def __enter__(self) -> None:
        self.before = getattr(self.protocol, self.name)
        setattr(self.protocol, self.name, True)

    def __exit__(self, *_: object) -> None:
        setattr(self.protocol, self.name, self.before)


class Protocol:
    """One party's realisation of the functionalities, in one session, over one ring."""

    name: str = ""
    parts: ClassVar[int] = 1
    cards: Mapping[str, Card]

    def __init__(self, party: Party, ring: Ring) -> None:
        self.party = party
        self.ring = ring
        self.patient = False
        """Whether calls that can be left are."""
        self.takes_along = False
        """Whether what was left goes on while other calls wait."""
        self.number = 0
        """By which calls that are left now are told apart (`settle`)."""

    # -- which part a public constant is added to: a protocol says for each of its parts ---------------------

    def holds_constant(self, part: int) -> bool:
        """Whether this party adds public constants to its part number `part`."""
        raise NotImplementedError

    def constant_parts(self) -> tuple[int, ...]:
        """Return which of its parts this party adds public constants to."""
        return tuple(j for j in range(self.parts) if self.holds_constant(j))

    def offers(self, functionality: str) -> bool:
        """Whether this protocol has a card for a functionality: gadgets choose by it, alike at all participants."""
        return functionality in self.cards

    def card(self, functionality: str) -> Card:
        """Return what realising a functionality costs; NotRealised without."""
        if functionality not in self.cards:
            raise NotRealised(f"protocol {self.name} does not realise {functionality!r}")
        return self.cards[functionality]

    def price(self, *calls: Call, along: Call | None = None) -> int:
        """Return what calls in turn are worth (`price`), the first `along` with another: gadgets take the cheapest."""
        priced = tuple([self._sized(each) for each in calls])
        other = None if along is None else self._sized(along)
        return _worth(self.party.network, self.party.n, self.ring, priced, other)

    def _sized(self, call: Call) -> _Sized:
        name, size, sizes = call
        return self.card(name), size, tuple(sizes.items())

    def over(self, ring: Ring) -> Self:
        """Return the same party of the same session over another ring; streams and messages go on."""
        narrow = object.__new__(type(self))  # what `copy.copy` does, at a quarter of its time
        narrow.__dict__.update(self.__dict__)
        narrow.ring = ring
        return narrow

    # -- calls that share their rounds -----------------------------------------------------------------------

    def later(self) -> _Within:
        """Within, calls may be begun and left: nobody reads their results before `settle` (decision 0072)."""
        return _Within(self, "patient")

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let calls within, none of which reads another's results, share their rounds; they may be left if all may."""
        with self.later():
            yield
        if not self.patient:
            self.settle()

    def taking_along(self) -> _Within:
        """Within, what was left goes on by a wave with each wave of a call of F_sign, before that is received.

        But for a later wave of a single message, from a party that waits for nobody: to go on then would be to wait for
        the others. If roles are turned in some of what was left, all of it does: messages of that come before this one.
        No other calls may be made.
        """
        return _Within(self, "takes_along")

    def settle(self, some: Container[int] | None = None) -> None:
        """Let calls that were left end, their rounds shared: all, or those of `some` numbers at least.

        Others go on by as many waves and wait on, unless all end together (`Left.whole`).
        """

    def pace(self) -> None:
        """Wait while a peer has yet to take much of what it was sent: between calls, and while none is left."""
        self.party.mesh.pace()

    def total(self, terms: list[Share]) -> Share:
        """Return the sum of results of calls, which may have been left: it is there when they are."""
        return reduce(self.add, terms)

    # -- no messages -----------------------------------------------------------------------------------------

    def constant(self, value: Array) -> Share:
        """Return the trivial sharing of public ring elements."""
        zero = self.ring.zeros(value.shape)
        return Share(tuple(value if self.holds_constant(j) else zero for j in range(self.parts)))

    def constant_bits(self, value: Array) -> Share:
        """Return the trivial sharing of public truth values (0/1 bytes)."""
        zero = np.zeros(value.shape, np.uint8)
        return Share(tuple(value if self.holds_constant(j) else zero for j in range(self.parts)))

    def agree(self, value: Array) -> Array:
        """Let the first party's public ring elements stand for everyone's, within rounding.

        Machines differ in the last place of exp or of a long sum; shares of different constants would be
        inconsistent. Raises Desync if a party's own value differs by more than 2^12 units.
        """
        self.settle()
        party, ring = self.party, self.ring
        if party.index == 0:
            for peer in party.compute[1:]:
                party.send(peer, "agree", ring.pack(value))
            party.flush()
            return value
        theirs = ring.unpack(party.recv(party.compute[0], "agree", ring.wire_bytes(value.size)), value.shape)
        gap = ring.to_ints(ring.sub(theirs, value)).reshape(-1)
        if any(abs(int(g)) > 1 << 12 for g in gap):
            raise Desync("a public value differs between the parties", party.compute[0])
        return theirs

    def add(self, x: Share, y: Share) -> Share:
        """Return x + y."""
        return Share(tuple([self.ring.add(a, b) for a, b in zip(x.parts, y.parts, strict=True)]))

    def sub(self, x: Share, y: Share) -> Share:
        """Return x − y."""
        return Share(tuple([self.ring.sub(a, b) for a, b in zip(x.parts, y.parts, strict=True)]))

    def neg(self, x: Share) -> Share:
        """Return −x."""
        return x.map(self.ring.neg)

    def add_public(self, x: Share, c: Array) -> Share:
        """Return x + c for public ring elements c."""
        parts, shape = list(x.parts), x.parts[0].shape
        if c.ndim and shape != c.shape and (wide := np.broadcast_shapes(shape, c.shape)) != shape:
            parts = [np.broadcast_to(p, wide) for p in parts]
        for j in self.constant_parts():
            parts[j] = self.ring.add(parts[j], c)
        return Share(tuple(parts))

    def mul_public(self, x: Share, c: Array) -> Share:
        """Return x·c for public ring elements c."""
        return x.map(lambda p: self.ring.mul(p, c))

    def matmul_public(self, x: Matrix, c: Array | Matrix, left: bool = False) -> Share:
        """Return x @ c, or c @ x if `left`, for a public matrix c; both or none may lie anywhere (`Gathered`)."""
        if isinstance(x, Gathered):
            assert isinstance(c, Gathered)
            first, second = (c, x) if left else (x, c)
            bits = self.ring.width

            def product(a: Array, b: Array) -> Array:
                out = first.times(
                    second, lambda x, y, to: kernels.gathered_matmul((a,), x, (b,), y, into=to, bits=bits)
                )
                return self.ring.reduce(out[0] if len(out) == 1 else out)

            return Share(tuple([product(a, b) for a in first.flat.parts for b in second.flat.parts]))
        assert isinstance(c, np.ndarray)
        return x.map(lambda p: self.ring.matmul(c, p) if left else self.ring.matmul(p, c))

    def shl(self, x: Share, s: int) -> Share:
        """Return x·2^s."""
        return x.map(lambda p: self.ring.shl(p, s))

    def sum(self, x: Share, axes: tuple[int, ...]) -> Share:
        """Return the sum over `axes`."""
        return x.map(lambda p: self.ring.sum(p, axes))

    def cumsum(self, x: Share, axis: int) -> Share:
        """Return running sums along `axis`."""
        return x.map(lambda p: self.ring.cumsum(p, axis))

    def xor(self, x: Planes, y: Planes) -> Planes:
        """Return x XOR y."""
        return Planes(tuple([a ^ b for a, b in zip(x.parts, y.parts, strict=True)]), x.n)

    def xor_public(self, x: Planes, c: Array) -> Planes:
        """Return x XOR c for public planes c."""
        own = self.constant_parts()
        return Planes(tuple([p ^ c if j in own else p for j, p in enumerate(x.parts)]), x.n)

    def invert(self, x: Planes) -> Planes:
        """Return NOT x."""
        return self.xor_public(x, _ONES)

    def pack(self, x: Share) -> Planes:
        """Bit-slice shared truth values into one plane."""
        flat = (np.ascontiguousarray(p).reshape(-1) for p in x.parts)
        return Planes(tuple(kernels.pack_bool(p)[None, :] for p in flat), x.size)

    def unpack(self, x: Planes, shape: Sequence[int]) -> Share:
        """Invert `pack`: one plane to 0/1 bytes of `shape`."""
        return Share(tuple(kernels.unpack_bool(p[0], x.n).reshape(tuple(shape)) for p in x.parts))

    def words(self, x: Planes) -> Share:
        """Turn planes (at most 64) into XOR-shared words, flat: plane b is bit b."""
        return Share(tuple(kernels.from_planes(np.ascontiguousarray(p), x.n, False) for p in x.parts))

    def low_planes(self, x: Share, bits: int) -> Planes:
        """Return the low `bits` bits of XOR-shared words (flattened) as planes."""
        flat = (np.ascontiguousarray(p).reshape(-1) for p in x.parts)
        return Planes(tuple(kernels.to_planes(p, bits) for p in flat), x.size)

    # -- the functionalities that need messages --------------------------------------------------------------

    def share_input(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input: `owner` alone knows `value` (ring elements); everyone gets shares."""
        raise self._missing("share_input")

    def share_bits(self, owner: str, value: Array | None, shape: tuple[int, ...]) -> Share:
        """F_input for truth values (0/1 bytes)."""
        raise self._missing("share_bits")

    def reveal(self, x: Share, to: Sequence[str]) -> Array | None:
        """F_reveal: the parties named in `to` learn x and nothing else; returns it there, else None."""
        raise self._missing("reveal")

    def reveal_bits(self, x: Share, to: Sequence[str]) -> Array | None:
        """F_reveal for truth values."""
        raise self._missing("reveal_bits")

    def mul(self, x: Share, y: Share) -> Share:
        """F_mul: x·y elementwise (one shape)."""
        raise self._missing("mul")

    def mul_early(self, x: Share, y: Share) -> Share:
        """F_mul on flat x and y in the form in which the first party receives nothing, and goes on at once."""
        raise self._missing("mul_early")

    def matmul(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul: x @ y; both lie whole in memory, or both anywhere (`Gathered`)."""
        raise self._missing("matmul")

    def matmul_early(self, x: Matrix, y: Matrix) -> Share:
        """F_matmul in the form in which the first party receives nothing."""
        raise self._missing("matmul_early")

    def dot(self, x: Share, y: Share) -> Share:
        """F_mul, then the sum over the first axis."""
        return self.sum(self.mul(x, y), (0,))

    def digit_ranks(self, digit: Planes, blocks: int, rows: int) -> Share:
        """F_rank: where rows go that are sorted stably by a digit of 1 to 4 bits, block by block; (blocks, rows)."""
        raise self._missing("digit_ranks")

    def trunc(self, x: Share, f: int) -> Share:
        """F_trunc: a neighbour of x / 2^f, or x / 2^f itself if whole; needs −2^(k−2) < x < 2^(k−2), f ≤ k − 2."""
        raise self._missing("trunc")

    def trunc_exact(self, x: Share, f: int) -> Share:
        """F_floor: floor(x / 2^f); needs −2^(k−2) ≤ x < 2^(k−2) and f ≤ k − 2."""
        raise self._missing("trunc_exact")

    def mul_trunc(self, x: Share, y: Share, f: int) -> Share:
        """F_mul then F_trunc."""
        self.check_shift(f)
        return self.trunc(self.mul(x, y), f)

    def matmul_trunc(self, x: Matrix, y: Matrix, f: int) -> Share:
        """F_matmul then F_trunc."""
        self.check_shift(f)
        return self.trunc(self.matmul(x, y), f)

    def and_(self, x: Planes, y: Planes) -> Planes:
        """F_and: x AND y, plane by plane."""
        raise self._missing("and_")

    def and_all(self, x: Planes) -> Planes:
        """F_and of many: the AND of all planes of x, at least one; here by pairs, a round for each halving."""
        while x.planes > 1:
            half = x.planes // 2
            both = self.and_(x[:half], x[half : 2 * half])
            x = both if x.planes % 2 == 0 else stack_planes([both, x[2 * half :]])
        return x

    def sign(self, x: Share, bits: int) -> Planes:
        """F_sign: one plane, bit `bits` of x (flattened): [x < 0] for −2^bits ≤ x < 2^bits."""
        raise self._missing("sign")

    def is_zero(self, x: Share, bits: int) -> Planes:
        """F_zero: one plane [x = 0], for −2^bits < x < 2^bits (flattened)."""
        raise self._missing("is_zero")

    def decompose(self, x: Share, bits: int) -> Planes:
        """F_a2b: the low `bits` bits of x (flattened), lowest plane first."""
        raise self._missing("decompose")

    def to_arith(self, b: Planes) -> Share:
        """F_b2a: every bit as a ring element; shape (planes, n)."""
        raise self._missing("to_arith")

    def select(self, b: Planes, x: Share) -> Share:
        """F_inject: b·x, for one plane b and flat x of n elements."""
        raise self._missing("select")

    def narrowed(self, x: Share, f: int) -> Share:
        """Return F_trunc(x, f) without a message, for comparisons alone, of fewer than k − f bits (decision 0073)."""
        raise self._missing("narrowed")

    def select_trunc(self, b: Planes, x: Share, f: int) -> Share:
        """F_trunc then F_inject: b·F_trunc(x, f), rounded as `narrowed` rounds; for one plane b and flat x."""
        raise self._missing("select_trunc")

    def select_narrowed(self, b: Planes, x: Share) -> Share:
        """F_inject: b·x, for one plane b and flat x as `narrowed` returns it, over a ring that x holds (0077)."""
        raise self._missing("select_narrowed")

    def shuffle(self, columns: Sequence[Column]) -> list[Column]:
        """F_shuffle: the rows of all columns in one fresh uniform order, which nobody learns."""
        raise self._missing("shuffle")

    def trunc_into(self, x: Share, f: int, ring: Ring) -> Share:
        """F_trunc into a ring of at most k − f bits, for any x: what passes them is lost there."""
        raise self._missing("trunc_into")

    def mul_into(self, x: Share, y: Share, f: int, ring: Ring) -> Share:
        """F_mul then F_trunc into a ring: of at most k − f bits, for any x·y, else for |x·y| < 2^(k−2)."""
        raise self._missing("mul_into")

    def matmul_into(self, x: Matrix, y: Matrix, f: int, ring: Ring) -> Share:
        """F_matmul then F_trunc into a ring, as `mul_into`."""
        raise self._missing("matmul_into")

    def below(self, x: Share, bits: int, at: Sequence[int]) -> Planes:
        """F_below: a plane for each of falling places i: 1 if x < 2^i, 0 if x ≥ 2^(i+1), either in between.

        For 0 ≤ x < 2^bits (flattened); the place 0 is exact: 1 if and only if x = 0.
        """
        raise self._missing("below")

    def combine(self, b: Planes, weights: Array, widths: Sequence[int]) -> list[Share]:
        """F_combine: sums Σ_r weights[o, r]·b_r of bits, the o-th over Z/2^widths[o], flat (n,)."""
        raise self._missing("combine")

    def factored(self, x: Share, how: Factors) -> Share:
        """F_factored: Σ_j g_j(a)·h_j(b) / 2^shift, off by at most one unit, for flat x = a + b."""
        raise self._missing("factored")

    def place(self, at: Column, columns: Sequence[Column]) -> list[Column]:
        """F_place: out[at[i]] = x[i] in every block; `at` must be a permutation of each block's rows."""
        raise self._missing("place")

    def fetch(self, at: Column, columns: Sequence[Column]) -> list[Column]:
        """F_fetch: out[i] = x[at[i]] in every block; `at` must be a permutation of each block's rows."""
        raise self._missing("fetch")

    # -- preconditions, refused at every participant before any message --------------------------------------

    def check_shift(self, f: int) -> None:
        """Refuse a truncation that the offset 2^(k−2) does not survive."""
        if not 0 <= f <= max(self.ring.width - 2, 0):
            raise RangeError(f"cannot shift elements of {self.ring.width} bits by {f}; use a wider ring")

    def check_bits(self, bits: int, least: int = 1) -> None:
        """Refuse more bits than the ring has."""
        if not least <= bits <= self.ring.width:
            raise RangeError(f"cannot take {bits} bits of an element of {self.ring.width}; use a wider ring")

    def _missing(self, what: str) -> NotRealised:
        return NotRealised(
            f"protocol {self.name} does not realise {what!r}; use a protocol that does (for example rep3)"
        )
