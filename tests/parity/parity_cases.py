"""What a row of the tables is: a function of JAX, on which inputs it is called, and how far from float64 it may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Key = tuple[str, Shape]

# Families of inputs: kind, range, distance between neighbouring values.
FAMILIES: dict[str, tuple[str, float, float]] = {
    "R": ("fixed", -4, 4),  # any sign
    "P": ("fixed", 1, 9),  # positive
    "U": ("fixed", -1, 1),
    "H": ("fixed", -0.5, 0.5),
    "Q": ("fixed", 0.125, 0.875),  # probabilities
    "G": ("fixed", 1, 3),
    "K": ("int", 0, 10),
    "J": ("int", -5, 5),
    "N": ("int", 1, 7),
    "B": ("bool", 0, 1),
}
ONE: tuple[Shape, ...] = ((4, 3), (), (0, 3), (1, 3), (2, 1, 3, 2))
FULL = tuple(s for s in ONE if 0 not in s)
TWO: tuple[tuple[Shape, Shape], ...] = (
    ((4, 3), (4, 3)),
    ((4, 1), (3,)),
    ((), (1, 3)),
    ((0, 3), (1, 3)),
    ((2, 1, 3, 2), (3, 1)),
)
NAMED: dict[str, Shape] = {
    "x": (4, 3),
    "v": (6,),
    "m": (3, 3),
    "t": (2, 3, 4),
    "z": (0, 3),
    "s": (),
    "r": (1, 3),
    "a": (2, 1, 3, 2),
    "o": (1,),
}
"""By letter: matrix, vector, square, tensor, empty; scalar, row, many axes, one element."""


@dataclass(frozen=True)
class Case:
    """One call: inputs by family and shape."""

    call: Callable[..., Any]
    inputs: tuple[Key, ...]


@dataclass(frozen=True)
class Row:
    """A function's calls, and its bound in units of the last place (relative above 1)."""

    cases: tuple[Case, ...]
    units: float = 4.0


def on(spec: str, call: Callable[..., Any]) -> Case:
    """Call on inputs written as family and shape letter: "Rx Pv"."""
    return Case(call, tuple((w[0], NAMED[w[1]]) for w in spec.split()))


def each(
    call: Callable[..., Any], family: str = "R", units: float = 4.0, shapes: Sequence[Shape] = ONE
) -> Row:
    """A function of one array, element by element: every shape."""
    return Row(tuple(Case(call, ((family, s),)) for s in shapes), units)


def pair(call: Callable[..., Any], families: str = "RR", units: float = 4.0) -> Row:
    """A function of two arrays that broadcast."""
    return Row(tuple(Case(call, ((families[0], a), (families[1], b))) for a, b in TWO), units)


def rows(units: float, *cases: Case) -> Row:
    """Calls written one by one."""
    return Row(cases, units)


def reduction(call: Callable[..., Any], family: str = "R", units: float = 4.0, empty: bool = True) -> Row:
    """A reduction: of everything, along an axis, of one row, of many axes, of nothing."""
    shaped = [
        Case(call, ((family, (4, 3)),)),
        Case(lambda x: call(x, axis=0), ((family, (4, 3)),)),
        Case(lambda x: call(x, axis=-1), ((family, (1, 3)),)),
        Case(lambda x: call(x, axis=2), ((family, (2, 1, 3, 2)),)),
    ]
    if empty:
        shaped.append(Case(lambda x: call(x, axis=0), ((family, (0, 3)),)))
    return Row(tuple(shaped), units)
