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

from tacit.core.rows import Column, flat_places, inverse_places, is_permutation, take_rows
from tacit.core.share import Share
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
    target = inverse_places(flat_places(_places(p, at, opened)))
    return [c.with_parts(*(take_rows(part, target) for part in c.share.parts)) for c in moved]


def fetch(p: Rep3, at: Column, columns: Sequence[Column]) -> list[Column]:
    """F_fetch: out[i] = x[at[i]] for a secret permutation `at`.

    1., 2. shuffle `at` by a fresh π and open at[π]. Every party takes x[at[π]] = out[π].
    3., 4. undo π: the chain backwards.
    """
    perms = draw(p, *at.share.shape)
    _, (opened,) = _chain(p, perms, [], [at])
    source = flat_places(_places(p, at, opened))
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


def _places(p: Rep3, at: Column, opened: Array) -> Array:
    places = np.where(opened["hi"] == 0, opened["lo"], np.uint64(2**63)) if at.ring.wide else opened
    if not is_permutation(places):
        raise PeerMisbehaved("the parties opened places that are no permutation: one of them deviated", ())
    return np.asarray(places)


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
    mask = [_masks(p, col, (a, b, c), j >= reshared) for j, col in enumerate(work)]
    # Where each pair's component lies among this party's two parts.
    low = {0: {"ac": 0, "ab": 1}, 1: {"ab": 0, "bc": 1}, 2: {"bc": 0, "ac": 1}}
    high = {2: {"ab": 0, "ac": 1}, 1: {"bc": 0, "ab": 1}, 0: {"ac": 0, "bc": 1}}
    place = (high if backwards else low)[i]
    if role == 0:
        assert g["ab"] is not None and g["ac"] is not None
        out = []
        for col, m in zip(work, mask, strict=True):
            x = take_rows(col.plus(*col.share.parts), g["ab"])
            x = take_rows(col.plus(x, m["ab"]), g["ac"])
            out.append(col.plus(x, m["ac"]))
        _send(p, b, work, out)  # 1
        p.party.flush()
        shares = [_joined(col, place, {"ab": m["to-ab"], "ac": m["to-ac"]})
                  for col, m in zip(columns, mask[:reshared], strict=True)]  # fmt: skip
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
            col.minus(take_rows(col.share.parts[place["bc"]], g["ab"]), m["ab"])
            for col, m in zip(work, mask, strict=True)
        ]
        _send(p, c, work, rest)  # 1
        halves = [take_rows(x, g["bc"]) for x in _recv(p, a, work)]
        drawn, other = "ab", c
    else:
        assert g["ac"] is not None
        halves = []
        for col, m, y in zip(work, mask, _recv(p, b, work), strict=True):
            halves.append(take_rows(col.minus(take_rows(y, g["ac"]), m["ac"]), g["bc"]))
        drawn, other = "ac", b
    mine = [
        col.minus(h, m[f"to-{drawn}"])
        if j < reshared
        else (col.plus(h, m["bc"]) if role == 1 else col.minus(h, m["bc"]))
        for j, (col, h, m) in enumerate(zip(work, halves, mask, strict=True))
    ]
    _send(p, other, work, mine)  # 2
    if opened:
        _send(p, a, opened, mine[reshared:])
    theirs = _recv(p, other, work)
    total = [col.plus(x, y) for col, x, y in zip(work, mine, theirs, strict=True)]
    shares = [
        _joined(col, place, {drawn: m[f"to-{drawn}"], "bc": t})
        for col, m, t in zip(columns, mask[:reshared], total[:reshared], strict=True)
    ]
    p.party.flush()
    return shares, total[reshared:]


def _masks(p: Rep3, col: Column, names: tuple[str, str, str], is_opened: bool) -> dict[str, Array]:
    """Draw what this party shares with the others: W of each pair, and the two new components that A draws."""
    a, b, c = names
    out: dict[str, Array] = {}
    for key, pair in (("ab", (a, b)), ("ac", (a, c)), ("bc", (b, c))):
        if p.party.name not in pair or (key == "bc" and not is_opened):
            continue
        other = pair[1] if pair[0] == p.party.name else pair[0]
        shape, width = col.share.shape, col.ring.width
        out[key] = p.party.common_with(other, "rep3/shuffle-mask").bits(width, shape, col.ring)
        if key != "bc" and not is_opened:
            out[f"to-{key}"] = p.party.common_with(other, "rep3/shuffle-share").bits(width, shape, col.ring)
    return out


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
