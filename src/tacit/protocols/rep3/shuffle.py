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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.core.rows import Column, inverse_places
from tacit.crypto.prg import Source
from tacit.errors import PeerMisbehaved
from tacit.kernels import rows as kernels

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
Pair = tuple[int, int]
LABEL = "rep3.shuffle"


def shuffle(p: Rep3, columns: Sequence[Column]) -> list[Column]:
    """F_shuffle: out = x[π] for a fresh π. Two rounds."""
    if not columns:
        return []
    halves, _ = _chain(p, draw(p, *columns[0].share.shape), columns, None)
    return [h.rows(None) for h in halves]


def place(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_place: out[at[i]] = x[i] for a secret permutation `at`.

    1., 2. shuffle `at` and the columns by one fresh π, open at[π]. Then every party moves its parts.
    """
    halves, opened = _chain(p, draw(p, *at.share.shape), columns, at)
    target = _places(at, opened)
    return [h.rows(target) for h in halves]


def fetch(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_fetch: out[i] = x[at[i]] for a secret permutation `at`.

    1., 2. shuffle `at` by a fresh π and open at[π]. x[at[π]] = out[π].
    3., 4. undo π: the chain backwards; whoever moves first takes x[at[π]] at once.
    """
    perms = draw(p, *at.share.shape)
    _, opened = _chain(p, perms, [], at)
    source = _places(at, opened)
    back = {pair: inverse_places(g) for pair, g in perms.items()}
    if (1, 2) in back:
        back[1, 2] = source[back[1, 2]]
    return [h.rows(None) for h in _chain(p, back, columns, None, backwards=True)[0]]


def draw(p: Rep3, blocks: int, rows: int) -> dict[Pair, Array]:
    """Draw this party's two factors of π, as places in the flattened rows."""
    i, out = p.party.index, {}
    for offset in (1, -1):
        j = (i + offset) % 3
        source = p.party.common(offset, "rep3/shuffle-permutation")
        out[min(i, j), max(i, j)] = source.permutation(blocks, rows)
    return out


def _places(at: Column, opened: tuple[Array, Array]) -> Array:
    """Return opened places, in the flattened rows; PeerMisbehaved if they are no permutation."""
    found = kernels.places(*opened, _plus(at), at.ring.width, at.share.shape[0], at.share.size)
    if found is None:
        raise PeerMisbehaved("the parties opened places that are no permutation: one of them deviated", ())
    return found


@dataclass(slots=True)
class _Halves:
    """A reshared column before its rows are laid out: each part a packed draw, or two summands."""

    column: Column
    parts: list[tuple[Array, Array | None]]

    def rows(self, target: Array | None) -> Column:
        """Return the column with row i at target[i], or where it is."""
        c = self.column
        how, k, n, wide = _plus(c), c.ring.width, c.share.size, c.ring.wide
        parts = (kernels.placed(*part, target, how, k, n, wide) for part in self.parts)
        return c.with_parts(*(part.reshape(c.share.shape) for part in parts))


def _chain(
    p: Rep3, perms: dict[Pair, Array], columns: Sequence[Column], opened: Column | None, backwards: bool = False
) -> tuple[list[_Halves], tuple[Array, Array]]:
    """Permute rows by three factors in turn; return reshared columns, and two packed summands of an opened one.

    Roles A, B, C = P0, P1, P2 (backwards: P2, P1, P0) know a pair of factors each, in the order AB, AC, BC.
    A knows the operand a, B and C both know b; W are masks of the pair that they are named for.

    1. A sends ((a[AB] + W_AB)[AC] + W_AC) to B; B sends b[AB] − W_AB to C.
    2. B holds u = that[BC], C holds v = ((b[AB] − W_AB)[AC] − W_AC)[BC], and u + v = x[π]. To reshare, A draws
       two components with B and with C; B and C exchange u and v less these. To open, B sends u + W_BC and C
       sends v − W_BC to the two others.
    """
    i = p.party.index
    role = 2 - i if backwards else i
    a, b, c = (p.party.compute[j] for j in ((2, 1, 0) if backwards else (0, 1, 2)))
    ab, ac, bc = (perms.get(pair) for pair in (((1, 2), (0, 2), (0, 1)) if backwards else ((0, 1), (0, 2), (1, 2))))
    work = [*columns, *([opened] if opened is not None else [])]
    # Where each pair's component lies among this party's two parts.
    low = {0: {"ac": 0, "ab": 1}, 1: {"ab": 0, "bc": 1}, 2: {"bc": 0, "ac": 1}}
    high = {2: {"ab": 0, "ac": 1}, 1: {"bc": 0, "ab": 1}, 0: {"ac": 0, "bc": 1}}
    place = (high if backwards else low)[i]
    if role == 0:
        assert ab is not None and ac is not None
        out = []
        for col, with_b, with_c in zip(work, _masks(p, b, work), _masks(p, c, work), strict=True):
            x = _moved(col, _flat(col, 0), _flat(col, 1), ab, with_b, _plus(col))
            out.append(_moved(col, x, None, ac, with_c, _plus(col), pack=True))
        p.party.send(b, LABEL, *out)  # 1
        p.party.flush()
        fresh = zip(columns, _new(p, b, columns), _new(p, c, columns), strict=True)
        halves = [_joined(col, place, {"ab": (s, None), "ac": (t, None)}) for col, s, t in fresh]
        if opened is None:
            return halves, _NONE
        return halves, (_recv(p, b, [opened])[0], _recv(p, c, [opened])[0])
    assert bc is not None
    if role == 1:
        assert ab is not None
        rest = [
            _moved(col, _flat(col, place["bc"]), None, ab, m, _minus(col), pack=True)
            for col, m in zip(work, _masks(p, a, work), strict=True)
        ]
        p.party.send(c, LABEL, *rest)  # 1
        p.party.flush()
        drawn, other = "ab", c
        masks = [*_new(p, a, columns), *_masks(p, c, work[len(columns) :])]
        halves_of = (_unpacked(col, y) for col, y in zip(work, _recv(p, a, work), strict=True))
    else:
        assert ac is not None
        drawn, other = "ac", b
        with_a, masks = _masks(p, a, work), [*_new(p, a, columns), *_masks(p, b, work[len(columns) :])]
        halves_of = (
            _moved(col, _unpacked(col, y), None, ac, m, _minus(col))
            for col, m, y in zip(work, with_a, _recv(p, b, work), strict=True)
        )
    mine = [
        _moved(col, h, None, bc, m, _plus(col) if j >= len(columns) and role == 1 else _minus(col), pack=True)
        for j, (col, h, m) in enumerate(zip(work, halves_of, masks, strict=True))
    ]
    p.party.send(other, LABEL, *mine)  # 2
    if opened is not None:
        p.party.send(a, LABEL, mine[-1])
    theirs = _recv(p, other, work)
    p.party.flush()
    reshared = zip(columns, masks, mine, theirs, strict=False)
    halves = [_joined(col, place, {drawn: (m, None), "bc": (x, y)}) for col, m, x, y in reshared]
    return halves, (mine[-1], theirs[-1]) if opened is not None else _NONE


_NONE = np.empty(0, np.uint8), np.empty(0, np.uint8)


def _plus(col: Column) -> int:
    return kernels.XOR if col.xor else kernels.ADD


def _minus(col: Column) -> int:
    return kernels.XOR if col.xor else kernels.SUBTRACT


def _flat(col: Column, part: int) -> Array:
    return np.ascontiguousarray(col.share.parts[part]).reshape(-1)


def _moved(
    col: Column, x: Array, y: Array | None, at: Array, mask: Array, how: int, pack: bool = False
) -> Array:
    return kernels.moved(x, y, at, mask, how, col.ring.width, pack)


def _unpacked(col: Column, packed: Array) -> Array:
    return col.ring.unpack(packed, (col.share.size,))


def _masks(p: Rep3, other: str, columns: Sequence[Column]) -> list[Array]:
    """Draw W of the pair with another party, for each column, packed."""
    return _drawn(p.party.common_with(other, "rep3/shuffle-mask"), columns)


def _new(p: Rep3, other: str, columns: Sequence[Column]) -> list[Array]:
    """Draw a new component of each column that A has in common with another party, packed."""
    return _drawn(p.party.common_with(other, "rep3/shuffle-share"), columns)


def _drawn(source: Source, columns: Sequence[Column]) -> list[Array]:
    return [source.packed(col.ring.width, col.share.size, col.ring) for col in columns]


def _joined(col: Column, place: dict[str, int], parts: dict[str, tuple[Array, Array | None]]) -> _Halves:
    return _Halves(col, [parts[key] for key in sorted(parts, key=lambda key: place[key])])


def _recv(p: Rep3, frm: str, columns: Sequence[Column]) -> list[Array]:
    """Receive the columns' packed rows."""
    sizes = [col.nbytes() for col in columns]
    whole = p.party.recv(frm, LABEL, sum(sizes))
    return np.split(whole, np.cumsum(sizes)[:-1])
