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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.core.rows import Column, flat_places, inverse_places, take_rows
from tacit.core.share import Share
from tacit.crypto.prg import Source
from tacit.errors import PeerMisbehaved

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
Pair = tuple[int, int]
LABEL = "rep3.shuffle"


def shuffle(p: Rep3, columns: Sequence[Column]) -> list[Column]:
    """F_shuffle: out = x[π] for a fresh π. Two rounds."""
    if not columns:
        return []
    return _chain(p, draw(p, *columns[0].share.shape), columns, [])[0]


def place(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_place: out[at[i]] = x[i] for a secret permutation `at`.

    1., 2. shuffle `at` and the columns by one fresh π, open at[π]. Then every party moves its parts.
    """
    moved, (opened,) = _chain(p, draw(p, *at.share.shape), columns, [at])
    target = _places(at, opened)[1]
    return [c.with_parts(*(take_rows(part, target) for part in c.share.parts)) for c in moved]


def fetch(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_fetch: out[i] = x[at[i]] for a secret permutation `at`.

    1., 2. shuffle `at` by a fresh π and open at[π]. Every party takes x[at[π]] = out[π].
    3., 4. undo π: the chain backwards.
    """
    perms = draw(p, *at.share.shape)
    _, (opened,) = _chain(p, perms, [], [at])
    source = _places(at, opened)[0]
    taken = [c.with_parts(*(take_rows(part, source) for part in c.share.parts)) for c in columns]
    back = {pair: inverse_places(g) for pair, g in perms.items()}
    return _chain(p, back, taken, [], backwards=True)[0]


def draw(p: Rep3, blocks: int, rows: int) -> dict[Pair, Array]:
    """Draw this party's two factors of π, as places in the flattened rows."""
    i, out = p.party.index, {}
    for offset in (1, -1):
        j = (i + offset) % 3
        source = p.party.common(offset, "rep3/shuffle-permutation")
        out[min(i, j), max(i, j)] = source.permutation(blocks, rows)
    return out


def _places(at: Column, opened: Array) -> tuple[Array, Array]:
    """Return opened places and their inverse, in the flattened rows; PeerMisbehaved if they are no permutation."""
    places = np.where(opened["hi"] == 0, opened["lo"], np.uint64(2**63)) if at.ring.wide else opened
    if not places.size or int(places.max()) < places.shape[1]:
        source = flat_places(places)
        inverse = inverse_places(source)
        if not np.any(inverse < 0):
            return source, inverse
    raise PeerMisbehaved("the parties opened places that are no permutation: one of them deviated", ())


def _chain(
    p: Rep3,
    perms: dict[Pair, Array],
    columns: Sequence[Column],
    opened: Sequence[Column],
    backwards: bool = False,
) -> tuple[list[Column], list[Array]]:
    """Permute rows by three factors in turn; return reshared columns, and values that all parties see.

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
    g = {"ab": perms.get((1, 2) if backwards else (0, 1)), "ac": perms.get((0, 2)),
         "bc": perms.get((0, 1) if backwards else (1, 2))}  # fmt: skip
    work = [*columns, *opened]
    reshared = len(columns)
    # Where each pair's component lies among this party's two parts.
    low = {0: {"ac": 0, "ab": 1}, 1: {"ab": 0, "bc": 1}, 2: {"bc": 0, "ac": 1}}
    high = {2: {"ab": 0, "ac": 1}, 1: {"bc": 0, "ab": 1}, 0: {"ac": 0, "bc": 1}}
    place = (high if backwards else low)[i]
    if role == 0:
        assert g["ab"] is not None and g["ac"] is not None
        out = []
        for col, with_b, with_c in zip(work, _masks(p, b, work), _masks(p, c, work), strict=True):
            x = take_rows(col.plus(*col.share.parts), g["ab"])
            x = take_rows(col.plus(x, with_b), g["ac"])
            out.append(col.plus(x, with_c))
        _send(p, b, work, out)  # 1
        p.party.flush()
        fresh = zip(columns, _new(p, b, columns), _new(p, c, columns), strict=True)
        shares = [_joined(col, place, {"ab": s, "ac": t}) for col, s, t in fresh]
        seen = []
        if opened:
            us = _recv(p, b, opened)
            vs = _recv(p, c, opened)
            seen = [col.plus(u, v) for col, u, v in zip(opened, us, vs, strict=True)]
        return shares, seen
    assert g["bc"] is not None
    if role == 1:
        assert g["ab"] is not None
        rest = [
            col.minus(take_rows(col.share.parts[place["bc"]], g["ab"]), m)
            for col, m in zip(work, _masks(p, a, work), strict=True)
        ]
        _send(p, c, work, rest)  # 1
        p.party.flush()
        drawn, other = "ab", c
        masks = [*_new(p, a, columns), *_masks(p, c, opened)]
        halves = [take_rows(x, g["bc"]) for x in _recv(p, a, work)]
    else:
        assert g["ac"] is not None
        drawn, other = "ac", b
        with_a, masks = _masks(p, a, work), [*_new(p, a, columns), *_masks(p, b, opened)]
        halves = []
        for col, m, y in zip(work, with_a, _recv(p, b, work), strict=True):
            halves.append(take_rows(col.minus(take_rows(y, g["ac"]), m), g["bc"]))
    mine = [
        col.plus(h, m) if j >= reshared and role == 1 else col.minus(h, m)
        for j, (col, h, m) in enumerate(zip(work, halves, masks, strict=True))
    ]
    _send(p, other, work, mine)  # 2
    if opened:
        _send(p, a, opened, mine[reshared:])
    theirs = _recv(p, other, work)
    total = [col.plus(x, y) for col, x, y in zip(work, mine, theirs, strict=True)]
    shares = [
        _joined(col, place, {drawn: m, "bc": t})
        for col, m, t in zip(columns, masks[:reshared], total[:reshared], strict=True)
    ]
    p.party.flush()
    return shares, total[reshared:]


def _masks(p: Rep3, other: str, columns: Sequence[Column]) -> list[Array]:
    """Draw W of the pair with another party, for each column."""
    return _drawn(p.party.common_with(other, "rep3/shuffle-mask"), columns)


def _new(p: Rep3, other: str, columns: Sequence[Column]) -> list[Array]:
    """Draw a new component of each column that A has in common with another party."""
    return _drawn(p.party.common_with(other, "rep3/shuffle-share"), columns)


def _drawn(source: Source, columns: Sequence[Column]) -> list[Array]:
    return [source.bits(col.ring.width, col.share.shape, col.ring) for col in columns]


def _joined(col: Column, place: dict[str, int], parts: dict[str, Array]) -> Column:
    ordered = sorted(parts, key=lambda key: place[key])
    return Column(Share(tuple(parts[key] for key in ordered)), col.ring, col.xor)


def _send(p: Rep3, to: str, columns: Sequence[Column], values: Sequence[Array]) -> None:
    p.party.send(to, LABEL, *(col.ring.pack(v) for col, v in zip(columns, values, strict=True)))


def _recv(p: Rep3, frm: str, columns: Sequence[Column]) -> list[Array]:
    sizes = [col.nbytes() for col in columns]
    whole = p.party.recv(frm, LABEL, sum(sizes))
    out, at = [], 0
    for col, size in zip(columns, sizes, strict=True):
        out.append(col.ring.unpack(np.ascontiguousarray(whole[at : at + size]), col.share.shape))
        at += size
    return out
