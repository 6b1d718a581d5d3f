"""Rows permuted by a permutation that no single party knows, and what follows from it.

π = g01 ∘ g02 ∘ g12, where P_i and P_j draw g_ij from their common stream: whoever looks lacks one factor, so
π is uniform to each party. Source of the idea: Laur, Willemson, Zhang, "Round-efficient oblivious database
manipulation", ISC 2011 (resharing by pairs); the two-message chains here follow from the two-operand view of
docs/decisions/0003, and every message is argued in docs/decisions/0040.

Opening a permutation that was shuffled by a fresh π ("shuffle and reveal": Hamada, Ikarashi, Chida, Takahashi,
"Oblivious radix sort", 2014/121; Chida et al. 2019/695) shows a uniform permutation, whatever the secret one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring
from tacit.core.rows import Column, inverse_places
from tacit.core.share import Share
from tacit.crypto.prg import Source
from tacit.errors import PeerMisbehaved
from tacit.kernels import rows as kernels
from tacit.protocols.rep3.turns import ends_at_once

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
Pair = tuple[int, int]
LABEL = "rep3.shuffle"


def shuffle(p: Rep3, columns: Sequence[Column]) -> list[Column]:
    """F_shuffle: out = x[π] for a fresh π. Two rounds."""
    if not columns:
        return []
    halves, _ = _chain(p, draw(p, *columns[0].share.shape), [*columns], 0)
    return [h.rows(None) for h in halves]


def place(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_place: out[at[i]] = x[i] for a secret permutation `at`.

    1., 2. shuffle `at` and the columns by one fresh π, open at[π]. Then every party moves its parts.
    """
    (blocks, rows), k, work = at.share.shape, at.ring.width, [*columns, at]
    how = _kind(at).plus
    del at, columns  # callers that let go of them as well have their memory for what follows
    halves, opened = _chain(p, draw(p, blocks, rows), work, 1)
    target = _places(opened, how, k, blocks, rows)
    return [h.rows(target) for h in halves]


def fetch(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_fetch: out[i] = x[at[i]] for a secret permutation `at`.

    1., 2. shuffle `at` by a fresh π and open at[π]. x[at[π]] = out[π].
    3., 4. undo π: the chain backwards; whoever moves first takes x[at[π]] at once.
    """
    perms = draw(p, *at.share.shape)
    opened = _chain(p, perms, [at], 1)[1]
    source = _places(opened, _kind(at).plus, at.ring.width, *at.share.shape)
    back = {pair: inverse_places(g) for pair, g in perms.items()}
    del perms, opened
    if (1, 2) in back:
        back[1, 2] = source[back[1, 2]]
    return [h.rows(None) for h in _chain(p, back, [*columns], 0, backwards=True)[0]]


def draw(p: Rep3, blocks: int, rows: int) -> dict[Pair, Array]:
    """Draw this party's two factors of π, as places in the flattened rows."""
    ends_at_once(p)
    i, out = p.party.index, {}
    for offset in (1, -1):
        j = (i + offset) % 3
        source = p.party.common(offset, "rep3/shuffle-permutation")
        out[min(i, j), max(i, j)] = source.permutation(blocks, rows)
    return out


def _places(opened: tuple[Array, Array], how: int, width: int, blocks: int, rows: int) -> Array:
    """Return opened places, in the flattened rows; PeerMisbehaved if they are no permutation."""
    found = kernels.places(*opened, how, width, blocks, blocks * rows)
    if found is None:
        raise PeerMisbehaved("the parties opened places that are no permutation: one of them deviated", ())
    return found


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is public of a column."""

    ring: Ring
    xor: bool
    shape: tuple[int, ...]

    @property
    def plus(self) -> int:
        return kernels.XOR if self.xor else kernels.ADD

    @property
    def minus(self) -> int:
        return kernels.XOR if self.xor else kernels.SUBTRACT

    def moved(self, x: Array, at: Array, mask: Array, how: int, pack: bool = False) -> Array:
        return kernels.moved(x, None, at, mask, how, self.ring.width, pack)

    def unpacked(self, packed: Array) -> Array:
        return self.ring.unpack(packed, (prod(self.shape),))


def _kind(c: Column) -> _Kind:
    return _Kind(c.ring, c.xor, c.share.shape)


@dataclass(slots=True)
class _Halves:
    """A reshared column before its rows are laid out: each part a packed draw, or two packed summands."""

    kind: _Kind
    parts: list[tuple[Array, Array | None]]

    def rows(self, target: Array | None) -> Column:
        """Return the column with row i at target[i], or where it is."""
        c, n = self.kind, prod(self.kind.shape)
        parts = (kernels.placed(*part, target, c.plus, c.ring.width, n, c.ring.wide) for part in self.parts)
        return Column(Share(tuple(part.reshape(c.shape) for part in parts)), c.ring, c.xor)


def _chain(
    p: Rep3, perms: dict[Pair, Array], work: list[Column], opened: int, backwards: bool = False
) -> tuple[list[_Halves], tuple[Array, Array]]:
    """Permute rows by three factors in turn; return reshared columns, and two packed summands of the `opened` last one.

    Roles A, B, C = P0, P1, P2 (backwards: P2, P1, P0) know a pair of factors each, in the order AB, AC, BC.
    A knows the operand a, B and C both know b; W are masks of the pair that they are named for.
    `work` is emptied once its shares are masked.

    1. A sends ((a[AB] + W_AB)[AC] + W_AC) to B; B sends b[AB] − W_AB to C.
    2. B holds u = that[BC], C holds v = ((b[AB] − W_AB)[AC] − W_AC)[BC], and u + v = x[π]. To reshare, A draws
       two components with B and with C; B and C exchange u and v less these. To open, B sends u + W_BC and C
       sends v − W_BC to the two others.
    """
    i = p.party.index
    role = 2 - i if backwards else i
    a, b, c = (p.party.compute[j] for j in ((2, 1, 0) if backwards else (0, 1, 2)))
    pairs = ((1, 2), (0, 2), (0, 1)) if backwards else ((0, 1), (0, 2), (1, 2))
    ab, ac, bc = (perms.get(pair, _NONE) for pair in pairs)
    kinds = [_kind(col) for col in work]
    reshared, last = kinds[: len(kinds) - opened], kinds[len(kinds) - opened :]
    # Where each pair's component lies among this party's two parts.
    low = {0: {"ac": 0, "ab": 1}, 1: {"ab": 0, "bc": 1}, 2: {"bc": 0, "ac": 1}}
    high = {2: {"ab": 0, "ac": 1}, 1: {"bc": 0, "ab": 1}, 0: {"ac": 0, "bc": 1}}
    place = (high if backwards else low)[i]
    if role == 0:
        out = []
        for col, k, with_b, with_c in zip(work, kinds, _masks(p, b, kinds), _masks(p, c, kinds), strict=True):
            x0, x1 = map(_flat, col.share.parts)
            x = kernels.moved(x0, x1, ab, with_b, k.plus, k.ring.width, False)
            out.append(k.moved(x, ac, with_c, k.plus, pack=True))
        work.clear()
        p.party.send(b, LABEL, *out)  # 1
        p.party.flush()
        fresh = zip(reshared, _new(p, b, reshared), _new(p, c, reshared), strict=True)
        halves = [_joined(k, place, {"ab": (s, None), "ac": (t, None)}) for k, s, t in fresh]
        return halves, (_recv(p, b, last)[0], _recv(p, c, last)[0]) if opened else (_EMPTY, _EMPTY)
    if role == 1:
        rest = [
            k.moved(_flat(col.share.parts[place["bc"]]), ab, m, k.minus, pack=True)
            for col, k, m in zip(work, kinds, _masks(p, a, kinds), strict=True)
        ]
        work.clear()
        p.party.send(c, LABEL, *rest)  # 1
        p.party.flush()
        del rest
        drawn, other = "ab", c
        masks = [*_new(p, a, reshared), *_masks(p, c, last)]
        summands = (k.unpacked(y) for k, y in zip(kinds, _recv(p, a, kinds), strict=True))
    else:
        work.clear()
        drawn, other = "ac", b
        with_a, masks = _masks(p, a, kinds), [*_new(p, a, reshared), *_masks(p, b, last)]
        summands = (
            k.moved(k.unpacked(y), ac, m, k.minus)
            for k, m, y in zip(kinds, with_a, _recv(p, b, kinds), strict=True)
        )
        del with_a
    hows = [k.minus for k in reshared] + [k.plus if role == 1 else k.minus for k in last]
    mine = [
        k.moved(h, bc, m, how, pack=True) for k, h, m, how in zip(kinds, summands, masks, hows, strict=True)
    ]
    del summands
    p.party.send(other, LABEL, *mine)  # 2
    if opened:
        p.party.send(a, LABEL, mine[-1])
    theirs = _recv(p, other, kinds)
    p.party.flush()
    parts = zip(reshared, masks, mine, theirs, strict=False)
    halves = [_joined(k, place, {drawn: (m, None), "bc": (x, y)}) for k, m, x, y in parts]
    return halves, (mine[-1], theirs[-1]) if opened else (_EMPTY, _EMPTY)


_NONE = np.empty(0, np.uint32)
_EMPTY = np.empty(0, np.uint8)


def _flat(part: Array) -> Array:
    return np.ascontiguousarray(part).reshape(-1)


def _masks(p: Rep3, other: str, kinds: list[_Kind]) -> list[Array]:
    """Draw W of the pair with another party, for each column, packed."""
    return _drawn(p.party.common_with(other, "rep3/shuffle-mask"), kinds)


def _new(p: Rep3, other: str, kinds: list[_Kind]) -> list[Array]:
    """Draw a new component of each column that A has in common with another party, packed."""
    return _drawn(p.party.common_with(other, "rep3/shuffle-share"), kinds)


def _drawn(source: Source, kinds: list[_Kind]) -> list[Array]:
    return [source.packed(k.ring.width, prod(k.shape), k.ring) for k in kinds]


def _joined(kind: _Kind, place: dict[str, int], parts: dict[str, tuple[Array, Array | None]]) -> _Halves:
    return _Halves(kind, [parts[key] for key in sorted(parts, key=lambda key: place[key])])


def _recv(p: Rep3, frm: str, kinds: list[_Kind]) -> list[Array]:
    """Receive the columns' packed rows."""
    sizes = [k.ring.wire_bytes(prod(k.shape)) for k in kinds]
    whole = p.party.recv(frm, LABEL, sum(sizes))
    return np.split(whole, np.cumsum(sizes)[:-1])
