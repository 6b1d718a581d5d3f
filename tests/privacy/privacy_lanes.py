"""Enumerate every outcome of every random draw of a protocol, one outcome a lane, in one run.

Protocols work elementwise, so the run on N lanes is N runs: all parties' streams return the digits of the
lane number, each draw its own digits, and both holders of a stream the same ones. A participant's view is,
per lane: its input shares, what it draws, what it is sent. A protocol whose output stays shared is exactly
simulatable if that view has the same distribution for all secrets (outputs are then checked lane by lane).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit import kernels, protocols
from tacit.algebra.ring import Ring
from tacit.core.ghost import ghost, ghost_planes
from tacit.core.party import Party
from tacit.core.share import Planes, Share
from tacit.net.link import Mesh
from tacit.net.memory import Hub
from tacit.testing import NAMES

Array = npt.NDArray[Any]
Key = tuple[str, ...]
MOST_BITS = 21


@dataclass
class World:
    """One enumeration: which digits of the lane number each draw takes, and what everyone saw."""

    lanes: int = 64
    offsets: dict[Key, tuple[int, int]] | None = None  # None: the dry run, which finds out
    zeroed: Callable[[Key], bool] = lambda key: False
    rewinds: bool = False  # a planted mistake: every use of a stream starts over
    asked: dict[Key, int] = field(default_factory=dict)
    views: dict[str, dict[Key, tuple[Array, int]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def digits(self, key: Key, bits: int) -> Array:
        """Return the value of one draw in every lane."""
        with self.lock:
            assert self.asked.setdefault(key, bits) == bits, f"{key}: the holders disagree on its size"
        if self.offsets is None or self.zeroed(key):
            return np.zeros(self.lanes, np.uint64)
        offset, _ = self.offsets[key]
        return (np.arange(self.lanes, dtype=np.uint64) >> np.uint64(offset)) & np.uint64((1 << bits) - 1)

    def see(self, name: str, key: Key, value: Array, bits: int) -> None:
        """Add a column to a participant's view."""
        with self.lock:
            self.views.setdefault(name, {})[key] = (np.asarray(value, np.uint64), bits)

    def view(self, names: Iterable[str]) -> Array:
        """Return the joint view of several participants as sorted rows of packed words: its distribution."""
        words: list[Array] = []
        room = 0
        merged: dict[Key, tuple[Array, int]] = {}
        for name in names:
            merged.update(self.views.get(name, {}))
        for key in sorted(merged):
            value, bits = merged[key]
            if bits > room:
                words.append(np.zeros(self.lanes, np.uint64))
                room = 64
            words[-1] = (words[-1] << np.uint64(bits)) | value
            room -= bits
        if not words:
            return np.zeros((0, self.lanes), np.uint64)
        rows = np.stack(words)
        return np.sort(rows) if len(rows) == 1 else rows[:, np.lexsort(words)]


class LaneSource:
    """A stream as one holder sees it."""

    def __init__(self, world: World, holder: str, key: Key) -> None:
        self.world, self.holder, self.key, self.count = world, holder, key, 0

    def _next(self, bits: int) -> Array:
        key = (*self.key, f"{self.count:03}")
        self.count += 1
        value = self.world.digits(key, bits)
        self.world.see(self.holder, key, value, bits)
        return value

    def bits(self, bits: int, shape: tuple[int, ...], ring: Ring) -> Array:
        """Return one element per lane for every other index of `shape`."""
        n = self.world.lanes
        count = int(np.prod(shape)) // n
        drawn = [self._next(bits) for _ in range(count)]
        if shape[0] == n:
            return np.stack(drawn, axis=-1).reshape(shape)
        return np.stack(drawn).reshape(shape)

    def ring(self, ring: Ring, shape: tuple[int, ...]) -> Array:
        """Return ring elements."""
        return self.bits(ring.width, shape, ring)

    def fill(self, ring: Ring, out: Array) -> Array:
        """Write ring elements to an array."""
        out[...] = self.ring(ring, out.shape)
        return out

    keep = fill

    def packed(self, bits: int, n: int, ring: Ring) -> Array:
        """Return packed elements; those of rows that move lie lane after lane."""
        rows = (self.world.lanes, n // self.world.lanes)
        moved = self.key[-1].startswith("rep3/shuffle")
        return ring.pack(self.bits(bits, rows if moved else (n,), ring), bits)

    mask = packed

    def planes(self, planes: int, n: int) -> Array:
        """Return bit planes, one bit per lane and plane."""
        if n != self.world.lanes:  # a client's seeds: its streams are replaced as well
            return np.zeros((planes, -(-n // 64)), np.uint64)
        rows = [kernels.pack_bool(self._next(1).astype(np.uint8)) for _ in range(planes)]
        return np.array(rows, np.uint64).reshape(planes, -(-n // 64))

    plane_mask = planes

    def permutation(self, blocks: int, n: int) -> Array:
        """Return, for every lane, one of the two orders of two rows."""
        assert (blocks, n) == (self.world.lanes, 2)
        first = self._next(1).astype(np.int64)
        return (
            (np.stack([first, 1 - first], axis=1) + 2 * np.arange(blocks)[:, None])
            .reshape(-1)
            .astype(np.uint32)
        )


class LaneKeys:
    """Stands for a KeyRing."""

    def __init__(self, world: World, me: str) -> None:
        self.world, self.me = world, me
        self.sources: dict[Key, LaneSource] = {}

    def common(self, peer: str, label: str) -> LaneSource:
        """Return the stream of this pair."""
        key: Key = ("draw", *sorted((self.me, peer)), label)
        if self.world.rewinds or key not in self.sources:
            self.sources[key] = LaneSource(self.world, self.me, key)
        return self.sources[key]

    def private(self, label: str) -> LaneSource:
        """Return a stream of this party alone."""
        return self.common("", label)


class Known:
    """Stands for a stream that everybody knows: the same in every lane."""

    def ring(self, ring: Ring, shape: tuple[int, ...]) -> Array:
        """Return ones."""
        return ring.constant(1, shape)


class LaneParty(Party):
    """Notes, per lane, what is sent to whom."""

    __slots__ = ("sent", "width", "world")
    width: int
    world: World
    sent: dict[tuple[str, str], int]

    def open(self, label: str) -> Known:  # type: ignore[override]
        """Return a fixed stream."""
        return Known()

    def send(self, to: str, label: str, *parts: Array) -> None:
        """Record the parts in the receiver's view and send them."""
        if label != "rep3.client-seed":  # its content is the streams that seeds name, recorded when drawn
            for part in parts:
                place = self.sent.get((to, label), 0)
                self.sent[to, label] = place + 1
                if label.startswith("rep3.b2a"):  # plane after plane
                    part = _lane_after_lane(np.ascontiguousarray(part), self.world.lanes, self.width)
                rows = (
                    part if part.dtype == np.uint8 and part.ndim == 2 else [part]
                )  # one packed row after another
                columns = [c for row in rows for c in _per_lane(np.ascontiguousarray(row), self.world.lanes)]
                for j, (value, bits) in enumerate(columns):
                    key = ("sent", self.name, to, label, f"{place:03}", f"{j:03}")
                    self.world.see(to, key, value, bits)
        Party.send(self, to, label, *parts)


def _lane_after_lane(part: Array, lanes: int, width: int) -> Array:
    """Lay packed elements, whole lanes of one plane after whole lanes of another, lane after lane."""
    bits = np.unpackbits(part, bitorder="little").reshape(-1, lanes, width)
    return np.packbits(bits.swapaxes(0, 1).reshape(-1), bitorder="little")


def _per_lane(part: Array, lanes: int) -> list[tuple[Array, int]]:
    """Split a payload into columns: planes, or consecutive elements of whole lanes."""
    if part.dtype == np.uint64:
        rows = np.unpackbits(part.reshape(-1).view(np.uint8), bitorder="little").reshape(-1, lanes)
        return [(row.astype(np.uint64), 1) for row in rows]
    bits, rest = divmod(8 * part.size, lanes)
    assert not rest
    return [(kernels.unpack_words(part.reshape(-1), bits, lanes), bits)]


@dataclass
class Setting:
    """A protocol, its parties, and the ring of one enumeration."""

    protocol: str
    width: int
    n: int = 3
    dealer: str = ""
    clients: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return all participants."""
        return (*NAMES[: self.n], *self.clients, *((self.dealer,) if self.dealer else ()))


Pins = dict[tuple[int, int], int]
"""(number of the input, component) → value: components that are not enumerated."""


class Lab:
    """What a program under test uses to make input shares in every lane."""

    def __init__(self, p: Any, world: World, pins: Pins | None) -> None:
        self.p, self.world, self.pins, self.inputs = p, world, pins, 0

    def _components(self, secret: int, bits: int, xor: bool) -> list[Array]:
        """Return all components; the free ones are enumerated unless pinned."""
        number, self.inputs = self.inputs, self.inputs + 1
        count, mask = self.p.party.n, np.uint64((1 << bits) - 1)
        pinned = {c: v for (i, c), v in (self.pins or {}).items() if i == number}
        free = [c for c in range(count) if c not in pinned]
        comps = {c: np.full(self.world.lanes, v, np.uint64) & mask for c, v in pinned.items()}
        for c in free[:-1]:
            comps[c] = self.world.digits(("share", f"{number}", f"{c}"), bits)
        total = np.zeros(self.world.lanes, np.uint64)
        for value in comps.values():
            total = total ^ value if xor else total + value
        last = np.full(self.world.lanes, secret % (1 << bits), np.uint64)
        comps[free[-1]] = (last ^ total if xor else last - total) & mask
        for j in range(self.p.parts):
            c = (self.p.party.index + j) % count
            self.world.see(self.p.party.name, ("share", f"{number}", f"{c}"), comps[c], bits)
        return [comps[c] for c in range(count)]

    def share(self, secret: int) -> Share:
        """Share one secret in every lane: shape (lanes,)."""
        if self.p.party.index < 0:
            return ghost((self.world.lanes,))
        comps = self._components(secret, self.p.ring.width, xor=False)
        return Share(tuple(comps[(self.p.party.index + j) % len(comps)] for j in range(self.p.parts)))

    def share_bit(self, secret: int) -> Planes:
        """Share one bit in every lane."""
        if self.p.party.index < 0:
            return ghost_planes(1, self.world.lanes)
        comps = self._components(secret, 1, xor=True)
        packed = [kernels.pack_bool(c.astype(np.uint8))[None, :] for c in comps]
        mine = tuple(packed[(self.p.party.index + j) % len(comps)] for j in range(self.p.parts))
        return Planes(mine, self.world.lanes)

    def constant(self, value: int) -> Array:
        """Return a public value in every lane."""
        return self.p.ring.constant(value, (self.world.lanes,))


Program = Callable[[Any, Lab], Any]
_current: list[World] = []


def lane_stream(raw: bytes, label: str) -> LaneSource:
    """Stand for `Stream` where a protocol makes one from a seed that a client sent."""
    holder = threading.current_thread().name.removeprefix("party ")
    return LaneSource(_current[-1], holder, ("draw", "client", label))


def enumerate_lanes(
    setting: Setting,
    program: Program,
    pins: Pins | None = None,
    zeroed: Callable[[Key], bool] = lambda key: False,
    rewinds: bool = False,
) -> tuple[World, dict[str, Any]]:
    """Run `program` once per outcome of all draws; return the world and every participant's result."""
    dry = World()
    _run(setting, program, dry, pins)
    if rewinds:
        dry = World(rewinds=True)
        _run(setting, program, dry, pins)
    offsets, at = {}, 0
    for key in sorted(dry.asked):
        if not zeroed(key):
            offsets[key] = (at, dry.asked[key])
            at += dry.asked[key]
    assert at <= MOST_BITS, f"{at} bits are too many to enumerate: {dry.asked}"
    world = World(max(64, 1 << at), offsets, zeroed, rewinds)
    return world, _run(setting, program, world, pins)


def draws(setting: Setting, program: Program, pins: Pins | None = None) -> list[Key]:
    """Return the keys of all draws from streams."""
    dry = World()
    _run(setting, program, dry, pins)
    return sorted(k for k in dry.asked if k[0] == "draw")


def _run(setting: Setting, program: Program, world: World, pins: Pins | None) -> dict[str, Any]:
    hub = Hub(setting.names)
    _current[:] = [world]
    compute = NAMES[: setting.n]

    def body(mesh: Mesh) -> Any:
        party = LaneParty(mesh.me, compute, mesh, LaneKeys(world, mesh.me))  # type: ignore[arg-type]
        party.world, party.sent, party.width = world, {}, setting.width
        role = "compute" if mesh.me in compute else "dealer" if mesh.me == setting.dealer else "client"
        options = {"dealer": setting.dealer} if setting.dealer else {}
        p = protocols.load(setting.protocol, role)(party, Ring(setting.width), **options)
        return program(p, Lab(p, world, pins))

    return hub.run(dict.fromkeys(setting.names, body))
