"""The greatest few of many values, and where they are: whole groups are left out by their greatest.

Of groups in a row, the k greatest values (of equal ones the first) lie in the k groups whose greatest come first in the
same order: the greatest of each group before them is before them, too. So of n values in groups of about sqrt(n/k) the
groups' greatest are found in one tournament, then the k groups among these, then the k values among those of k groups.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array import functions as xp
from tacit.array import order as od
from tacit.array.interpret import Trace
from tacit.array.ops import Op, Params, need_kind
from tacit.array.program import SECRET, Aval, Program
from tacit.array.ranges import secret_steps
from tacit.array.secret import SecretArray
from tacit.core.share import Share
from tacit.errors import ShapeError

if TYPE_CHECKING:
    from tacit.array.runtime import Runtime, Value
    from tacit.core.timing import Network

Array = npt.NDArray[Any]
MANY = 1 << 13
"""Of fewer values all are sorted."""
ROUNDS, BYTES = 64, 256
"""About how many rounds groups take more than a sort of all, and how many bytes less, for each value."""


def grouped(network: Network, shape: tuple[int, ...], k: int) -> bool:
    """Return whether groups are left out, rather than all values sorted."""
    size = math.prod(shape)
    return od.few(shape, k) and size >= MANY and BYTES * size >= ROUNDS * network.round_bytes


def by_groups(x: SecretArray, k: int) -> list[SecretArray]:
    """Return the k greatest values along the last axis, greatest first, and their places."""
    n, blocks = x.shape[-1], math.prod(x.shape[:-1])
    each = math.isqrt(n // k)
    count = n // each
    rest = count * each  # what fills no group is looked at as it is
    table = xp.reshape(x[..., :rest], (*x.shape[:-1], count, each))
    heads = xp.max(table, -1)
    (best,) = od.sorted_first(heads, od.places_of(heads), k=k)
    best = od.sort(best)  # so that of equal values the first stays the first
    rows = xp._bind("lookup", xp.reshape(table, (blocks, count, each)), xp.reshape(best, (blocks, k)))
    places = xp.add(xp.multiply(xp.expand_dims(best, -1), each), np.arange(each))
    values = [xp.reshape(rows, (*x.shape[:-1], k * each)), x[..., rest:]]
    at = [xp.reshape(places, (*x.shape[:-1], k * each)), od.places_of(x)[..., rest:]]
    candidates, where = (xp.concat(v, x.ndim - 1) if rest < n else v[0] for v in (values, at))
    return od.sorted_first(candidates, candidates, where, k=k)


# -- the operation ------------------------------------------------------------------------------------------


def _abstract(ins: list[Aval], params: Params) -> list[Aval]:
    need_kind(ins, "top", "int", "fixed")
    a, k = ins[0], params["k"]
    if not a.shape or not 0 < k <= a.shape[-1]:
        raise ShapeError(f"top of {k} from shape {a.shape}")
    shape = (*a.shape[:-1], k)
    return [Aval(shape, a.kind, a.lo, a.hi), Aval(shape, "int", 0, a.shape[-1] - 1)]


def _clear(vals: list[Array], params: Params) -> list[Array]:
    x = np.asarray(vals[0])
    at = np.argsort(-x, axis=-1, kind="stable")[..., : params["k"]]
    return [np.take_along_axis(x, at, axis=-1), at.astype(np.int64)]


@lru_cache(256)
def _program(a: Aval, k: int, groups: bool) -> Program:
    trace = Trace()
    x = trace.parameter(Aval(a.shape, a.kind, a.lo, a.hi, SECRET))
    return trace.program(by_groups(x, k) if groups else od.sorted_first(x, x, od.places_of(x), k=k))


def _need(ins: list[Aval], outs: list[Aval], params: Params, f: int) -> int:
    a, k = ins[0], params["k"]
    ways = [False, True] if od.few(a.shape, k) else [False]
    return max(step.need(f) for groups in ways for step in secret_steps(_program(a, k, groups)))


def _lower(rt: Runtime, vals: list[Value], outs: list[Aval], params: Params) -> list[Share]:
    a, k = vals[0].aval, params["k"]
    found = rt.block(_program(a, k, grouped(rt.p.party.network, a.shape, k)), vals)
    return [rt.share(v) for v in found]


ENTRIES = [Op("top", _abstract, _clear, _lower, _need, local=False)]
