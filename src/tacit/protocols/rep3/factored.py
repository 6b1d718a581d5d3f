"""F_factored: Σ_j g_j(a)·h_j(b) for a = x0 + x1, which P0 knows, and b = x2, which P1 and P2 know.

P0 shares every g_j(a) between P1 and P2; they weigh by h_j(b), add up and reshare. The sum may live in a narrower
ring Z/2^w: then it is shifted and lifted to Z/2^k (`lift`), where P0's part travels with its first message, so all
takes three rounds. Large arrays are worked on in thirds with the roles turned (`turns`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tacit.algebra.ring import Ring, ring_of
from tacit.core.factors import Factors
from tacit.core.share import Share
from tacit.errors import RangeError
from tacit.protocols.rep3 import lift
from tacit.protocols.rep3.lift import Into, Lift, lift_of
from tacit.protocols.rep3.turns import Steps

if TYPE_CHECKING:
    from tacit.protocols.rep3 import Rep3

Array = npt.NDArray[Any]
LABEL = "rep3/factored"


def factored(p: Rep3, x: Share, how: Factors) -> Share:
    """F_factored on flat x.

    1. P0 → P1: masked g_j(a), and what the lift needs. 2. With a lift P1 and P2 exchange masked bits u and v.
    3. They exchange their masked parts of the sum.
    """
    w, k, words = how.width, p.ring.width, 2 if x.parts[0].dtype.names else 1
    if not 64 * (words - 1) < max(w, 1) <= 64 * words or not 0 <= how.shift <= max(w - 2, 0):
        raise RangeError(
            f"a sum of {w} bits of numbers of {64 * words}, shifted by {how.shift}, does not lift to {k}"
        )
    whole = ring_of(64 * words)

    def steps(q: Rep3, low: int, high: int, into: Into) -> Steps[Share]:
        i, (first, second) = q.party.index, (part[low:high] for part in x.parts)
        # a = x0 + x1 is not reduced: the function's period may be longer than the ring of the result.
        known = whole.add(first, second) if i == 0 else second if i == 1 else first
        return (_first, _second, _third)[i](q, known, how, into)

    return lift.in_place(p, (x.size,), steps, how.terms * how.width)


def _first(q: Rep3, known: Array, how: Factors, into: Into) -> Steps[Share]:
    ring, n, lifted = q.ring, known.size, _lift(how, q.ring)
    with2, with1 = q.common(+2, LABEL), q.common(+1, LABEL)
    masks = with2.mask(how.width, how.terms * n, ring_of(how.width))
    rows = how.mask(known, masks, n * how.width).reshape(how.terms, ring.wire_bytes(n, how.width))
    return lift.first(q, lifted, with1, with2, into, rows)  # 1
    yield  # nothing is waited for


def _second(q: Rep3, known: Array, how: Factors, into: Into) -> Steps[Share]:
    party, ring, n, lifted = q.party, q.ring, known.size, _lift(how, q.ring)
    row = ring.wire_bytes(n, how.width)
    rows, with0 = how.terms * row, q.common(-1, LABEL)
    drawn = lift.Second.draw(q, lifted, with0, into)
    (buf,) = yield ((party.peer(-1), lifted.label, rows + lifted.message(n)),)
    m1 = how.weigh(known, buf[:rows], 8 * row)
    return (yield from drawn.run(q, m1, buf[rows:], lifted))


def _third(q: Rep3, known: Array, how: Factors, into: Into) -> Steps[Share]:
    n, lifted, with0 = known.size, _lift(how, q.ring), q.common(+1, LABEL)
    m2 = how.weigh(known, with0.mask(how.width, how.terms * n, ring_of(how.width)), n * how.width)
    return (yield from lift.Third.draw(q, n, lifted, with0, into).run(q, m2, lifted))


def _lift(how: Factors, ring: Ring) -> Lift:
    return lift_of(how.width, how.shift, "rep3.factored", ring.width)
