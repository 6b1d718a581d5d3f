"""A loop of fixed length written with array functions: its body is recorded once, as one equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tacit.array import intervals as iv
from tacit.array.interpret import Trace, caller
from tacit.array.ops import join_where
from tacit.array.program import Aval
from tacit.array.secret import SecretArray

Span = tuple[float, float]
Body = Callable[
    [list[SecretArray], list[SecretArray], list[SecretArray]], tuple[list[SecretArray], list[SecretArray]]
]


def repeat(
    body: Body,
    consts: Sequence[SecretArray],
    carry: Sequence[SecretArray],
    spans: Sequence[Span],
    rows: Sequence[Any],
) -> tuple[list[SecretArray], list[SecretArray]]:
    """Run `body(consts, carry, row) -> (carry, outputs)` for each row of the public tables `rows`.

    `spans` are ranges that the carried values keep in every turn: the body states or proves them. Returns the last
    carry and the outputs, stacked along a new first axis.
    """
    context = carry[0].context
    tables = [context.const(np.asarray(r)) for r in rows]
    where = join_where([v.aval for v in (*consts, *carry)])
    inner = Trace()
    inner.source = context.source or caller()
    fixed = [inner.parameter(v.aval) for v in consts]
    state = []
    for v, span in zip(carry, spans, strict=True):
        lo, hi = iv.hull((v.aval.lo, v.aval.hi), span)
        state.append(inner.parameter(Aval(v.shape, v.aval.kind, lo, hi, where)))
    row = [
        inner.parameter(Aval(t.shape[1:], t.aval.kind, t.aval.lo, t.aval.hi, t.aval.where)) for t in tables
    ]
    after, outs = body(fixed, state, row)
    params = {
        "n_consts": len(consts),
        "n_carry": len(carry),
        "length": int(tables[0].shape[0]),
        "reverse": False,
        "body": inner.program([*after, *outs]),
    }
    found = context.bind("scan", [*consts, *carry, *tables], params)
    return found[: len(carry)], found[len(carry) :]
