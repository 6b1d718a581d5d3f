"""Maxima, minima and sums, followed through the axes that JAX moves and puts back, to beside their elements.

Only there do they prove a range: x less its maximum is not positive, one of the elements equals it, none is larger than
the root of the sum of squares (`jax_norms`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tacit.array.secret import SecretArray
from tacit.frontends.jax_flat import Value, known

if TYPE_CHECKING:
    from tacit.frontends.jax import Interpreter
    from tacit.frontends.jax_norms import Norm

APART = -1
"""Label of an axis along which an array of extremes is constant, or has one element."""


@dataclass(frozen=True, slots=True)
class Reduced:
    """What an array holds of another, for which some axes were reduced."""

    of_ref: int
    axes: tuple[int, ...]
    labels: tuple[int, ...]
    """For each axis that there is now, the array's axis that it runs along, or APART."""
    what: str
    """"max" or "min"; or what `jax_norms` says of sums."""
    norm: Norm | None = None

    @classmethod
    def of(cls, x: SecretArray, axes: tuple[int, ...], what: str) -> Reduced:
        """Return what a reduction of x over axes leaves."""
        return cls(x.ref, axes, tuple(a for a in range(x.ndim) if a not in axes), what)


def reduced(it: Interpreter, x: Value, *what: str) -> Reduced | None:
    """Return what an array holds of another, if it is one of `what`; anything if there is none."""
    found = None if known(x) else it.reduced.get(x.ref)
    return found if found is None or not what or found.what in what else None


def spread(it: Interpreter, x: Value, out: SecretArray, dims: Sequence[int]) -> None:
    """Follow a broadcast that puts axis i of x at dims[i] of the result."""
    found = reduced(it, x)
    if found is not None:
        labels = [APART] * out.ndim
        for label, d in zip(found.labels, dims, strict=True):
            labels[int(d)] = label
        it.reduced[out.ref] = replace(found, labels=tuple(labels))


def reshape(it: Interpreter, x: Value, out: SecretArray) -> None:
    """Follow a reshape that puts in or takes out axes of size 1, and no other."""
    found = reduced(it, x)
    if found is None or [n for n in x.shape if n != 1] != [n for n in out.shape if n != 1]:
        return
    rest = iter(label for label, n in zip(found.labels, x.shape, strict=True) if n != 1)
    it.reduced[out.ref] = replace(found, labels=tuple(APART if n == 1 else next(rest) for n in out.shape))


def turn(it: Interpreter, x: Value, out: SecretArray, perm: Sequence[int]) -> None:
    """Follow a permutation of axes, of extremes or of the array itself."""
    if known(x) or out is x:
        return
    base, held = it.views.get(x.ref, (x.ref, tuple(range(x.ndim))))
    it.views[out.ref] = (base, tuple(held[int(p)] for p in perm))
    if (found := reduced(it, x)) is not None:
        it.reduced[out.ref] = replace(found, labels=tuple(found.labels[int(p)] for p in perm))


def beside(it: Interpreter, x: Value, y: Value, what: str) -> tuple[int, ...] | None:
    """Return the axes of x over which y holds this of it beside each element; None if it does not."""
    found = reduced(it, y, what)
    if found is None or known(x):
        return None

    base, held = x.ref, tuple(range(x.ndim))
    if base != found.of_ref:
        base, held = it.views.get(x.ref, (base, held))
    if base != found.of_ref or y.ndim not in (0, x.ndim):
        return None
    for k, label in enumerate(found.labels):
        fits = y.shape[k] in (1, x.shape[k])
        same = label == held[k] or (label == APART and (held[k] in found.axes or x.shape[k] == 1))
        if not (fits and same):
            return None
    if (
        not y.ndim
        and set(range(x.ndim)) - set(found.axes)
        and any(x.shape[k] != 1 for k in range(x.ndim) if held[k] not in found.axes)
    ):
        return None
    return tuple(k for k in range(x.ndim) if held[k] in found.axes)


# -- of two values ----------------------------------------------------------------------------------------


def identity(v: Value) -> Hashable:
    """Return what two values have in common if and only if they are one variable, or equal numbers."""
    if not known(v):
        return int(v.ref)
    a = np.asarray(v, np.float64)
    return ("number", a.reshape(-1)[0].item()) if a.size and np.all(a == a.reshape(-1)[0]) else a.tobytes()


def attain(it: Interpreter, x: Value, y: Value, out: SecretArray) -> None:
    """Note that `out` says whether the greater or lesser of two equals one of them."""
    for v, z in ((x, y), (y, x)):
        two = () if known(z) else it.of_two.get(z.ref, ())
        if identity(v) in two:
            it.attains[out.ref] = (z.ref, two.index(identity(v)))


def one_is_met(it: Interpreter, x: SecretArray, y: SecretArray) -> bool:
    """Whether x says that an extreme is the one and y that it is the other of two, so that x or y is true."""
    a, b = it.attains.get(x.ref), it.attains.get(y.ref)
    return a is not None and b is not None and a[0] == b[0] and a[1] != b[1]
