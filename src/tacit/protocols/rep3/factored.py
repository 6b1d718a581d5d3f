"""F_factored: Σ_j g_j(a)·h_j(b) for a = x0 + x1, which P0 knows, and b = x2, which P1 and P2 know.

P0 shares every g_j(a) between P1 and P2; they weigh by h_j(b), add up and reshare. The sum may live in a narrower
ring Z/2^w: then it is shifted and lifted to Z/2^k (`lift`), where P0's part travels with its first message, so all
takes three rounds. Large arrays are worked on in thirds with the roles turned (`turns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit import kernels
from tacit.algebra.ring import Ring
from tacit.core import factors
from tacit.core.factors import Factors, Operand
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.protocols.rep3 import lift
from tacit.protocols.rep3.lift import Lift
from tacit.protocols.rep3.turns import Steps, run

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
LABEL = "rep3/factored"


def factored(p: Rep3, operands: Sequence[Operand], how: Factors) -> Share:
    """F_factored on flat operands.

    1. P0 → P1: masked g_j(a), and what the lift needs. P2 → P1: its masked part of the sum, or its masked v.
    2. P1 → P2: its masked part, with a lift also masked u. 3. P2 → P1: with a lift, its masked part.
    """
    w, k = how.width, p.ring.width
    if not (w <= 64 and k <= 64 and 0 <= how.shift <= max(w - 2, 0)):
        raise RangeError(f"a sum of {w} bits, shifted by {how.shift}, does not lift to {k}")
    sets = factors.sets(operands[0])

    def steps(q: Rep3, low: int, high: int) -> Steps[Share]:
        known = [_known(q, x, low, high) for x in operands]
        run_as = (_first, _second, _third)[q.party.index]
        return run_as(q, known, sets * (high - low), how)

    pieces = run(p, factors.size(operands[0]) // sets, steps)
    if len(pieces) == 1:
        return pieces[0]
    # A piece holds its part of every set.
    parts = zip(*(piece.parts for piece in pieces), strict=True)
    return Share(tuple(np.concatenate([x.reshape(sets, -1) for x in ps], axis=1).reshape(-1) for ps in parts))


def _known(q: Rep3, x: Operand, low: int, high: int) -> Array:
    """Return a or b of one operand, from `low` to `high` of each of its sets, as words."""
    i = q.party.index
    if isinstance(x, Share):
        parts = [part[low:high] for part in x.parts]
        # Not reduced: the function's period may be longer than the ring of the result.
        return np.asarray(parts[0] + parts[1] if i == 0 else parts[1 if i == 1 else 0])
    lanes = slice(-(-low // 64), -(-high // 64))
    known = [s.parts[0] ^ s.parts[1] if i == 0 else s.parts[1 if i == 1 else 0] for s in x]
    words = [kernels.from_planes(np.ascontiguousarray(a[:, lanes]), high - low, False) for a in known]
    return np.concatenate(words)


def _first(q: Rep3, known: list[Array], n: int, how: Factors) -> Steps[Share]:
    party, ring, lifted = q.party, q.ring, _lift(how)
    with2, with1 = q.common(+2, LABEL), q.common(+1, LABEL)
    masks = with2.packed(how.width, how.terms * n, Ring(how.width))
    rows = how.mask(known, masks, n * how.width).reshape(how.terms, ring.wire_bytes(n, how.width))
    if lifted.bits(ring) == 0:
        party.send(party.peer(1), lifted.label, *rows)  # 1
        return Share((with2.ring(ring, (n,)), with1.ring(ring, (n,))))
    message, share = lift.first(q, n, lifted, with1, with2)
    party.send(party.peer(1), lifted.label, *rows, message)  # 1
    return share
    yield  # nothing is waited for


def _second(q: Rep3, known: list[Array], n: int, how: Factors) -> Steps[Share]:
    party, ring, lifted = q.party, q.ring, _lift(how)
    row, whole = ring.wire_bytes(n, how.width), ring.wire_bytes(n)
    rows, with0 = how.terms * row, q.common(-1, LABEL)
    if lifted.bits(ring) == 0:
        summed, buf = yield (
            (party.peer(1), lifted.label + "-last", whole),
            (party.peer(-1), lifted.label, rows),
        )
        t1 = with0.ring(ring, (n,))
        mine = ring.sub(lifted.cut(ring, how.weigh(known, buf, 8 * row), True), t1)
        party.send(party.peer(1), lifted.label + "-back", ring.pack(mine))  # 2
        party.flush()
        return Share((t1, ring.add(mine, ring.unpack(summed, (n,)))))
    theirs, buf = yield (
        (party.peer(1), lifted.label + "-bit", ring.wire_bytes(n, 1)),
        (party.peer(-1), lifted.label, rows + lifted.message(ring, n)),
    )
    m1 = how.weigh(known, buf[:rows], 8 * row)
    return (yield from lift.second(q, m1, buf[rows:], theirs, lifted, with0))


def _third(q: Rep3, known: list[Array], n: int, how: Factors) -> Steps[Share]:
    party, ring, lifted = q.party, q.ring, _lift(how)
    with0 = q.common(+1, LABEL)
    m2 = how.weigh(known, with0.packed(how.width, how.terms * n, Ring(how.width)), n * how.width)
    if lifted.bits(ring):
        return (yield from lift.Third.draw(q, n, lifted, with0).run(q, m2, lifted))
    t0 = with0.ring(ring, (n,))
    mine = ring.sub(lifted.cut(ring, m2, False), t0)
    party.send(party.peer(-1), lifted.label + "-last", ring.pack(mine))  # 1
    yield ()
    (back,) = yield ((party.peer(-1), lifted.label + "-back", ring.wire_bytes(n)),)
    return Share((ring.add(mine, ring.unpack(back, (n,))), t0))


def _lift(how: Factors) -> Lift:
    return Lift(how.width, how.shift, "rep3.factored")
