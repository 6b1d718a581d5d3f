"""Operations that keep many times their operands while they run take large arrays block by block (decision 0067).

A function of one element at a time keeps masks, bits and powers for every element; block by block it keeps them for
one block. Each block takes the operation's rounds again, so blocks are as large as makes those cheap.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import copies
from tacit.array.program import PUBLIC, Aval
from tacit.core.blocks import elements, put_together
from tacit.core.share import Share

if TYPE_CHECKING:
    from tacit.array.ops import Op, Params
    from tacit.array.runtime import Runtime, Value

Array = npt.NDArray[Any]
NAMES = frozenset({"div", "sqrt", "rsqrt", "exp", "log", "sigmoid", "tanh", "erf", "atan", "sin", "cos"})
"""Operations of one element at a time that keep more than three times their operands."""


def in_blocks(op: Op) -> Op:
    """Return the operation, lowered block by block if it is one of `NAMES`."""
    whole = op.lower
    if op.name not in NAMES or whole is None:
        return op

    def lower(rt: Runtime, v: list[Value], outs: list[Aval], params: Params) -> list[Share]:
        n, step = outs[0].size, elements(rt.p.party.network)
        # By a public divisor there is only a product.
        if n <= step or v[-1].aval.where == PUBLIC:
            return whole(rt, v, outs, params)

        def least(some: list[Value], made: list[Aval]) -> list[Share]:
            return whole(rt, some, made, params)

        if (found := copies.in_rows(rt, v, outs[0], step, least, put_together)) is not None:
            return found
        for x in v:
            if x.aval.where != PUBLIC:
                rt.share(x)  # once, not in every block

        def piece(at: int) -> Share:
            stop = min(n, at + step)
            return whole(rt, [_some(x, at, stop) for x in v], [_cut(outs[0], stop - at)], params)[0]

        return [put_together(n, map(piece, range(0, n, step))).reshape(*outs[0].shape)]

    return replace(op, lower=lower)


def _cut(a: Aval, n: int) -> Aval:
    return replace(a, shape=(n,))


def _some(v: Value, at: int, stop: int) -> Value:
    """Return elements `at` to `stop` of a value in order."""

    def take(a: Array) -> Array:
        # Of an array that repeats or is turned, only the block is copied.
        return a.reshape(-1)[at:stop] if a.flags.c_contiguous else np.asarray(a.flat[at:stop])

    aval = _cut(v.aval, stop - at)
    if v.aval.where == PUBLIC:
        return replace(
            v,
            aval=aval,
            data=None if v.data is None else take(v.data),
            share=None,
            encoded={},
            factors=None,
            one=None,
            same=frozenset(),
        )
    assert v.share is not None
    return replace(v, aval=aval, data=None, share=v.share.map(take), same=frozenset())
