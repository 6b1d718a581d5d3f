"""What every run of a Program has in common: its equations, prepared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tacit.array.ops import Op
from tacit.array.program import Aval, Eqn, Program
from tacit.array.scales import Rounding

if TYPE_CHECKING:
    from tacit.array.runtime import Value

Array = npt.NDArray[Any]


@dataclass(slots=True)
class Step:
    """One equation, prepared, or several that are worked on side by side."""

    at: int
    """Which equation of the program it is, or the first of them."""
    eqns: list[Eqn]
    eqn: Eqn
    """It, or the one that they are worked on as (`beside.as_one`)."""
    row: list[Aval]
    """What is known of the results in a row, where operands are joined."""
    outs: list[Aval]
    """What is known of each."""
    dead: tuple[int, ...]
    fixed: bool
    """Whether the results are small and follow from this program's text alone, whatever its inputs."""
    ends: frozenset[int] | None
    """The calls that were left and must end before it; None for all."""
    left: int
    """Its own number, if it may be left, else 0."""
    rounding: Rounding
    """How its results are held."""
    shared: tuple[int, ...]
    """Owners' values that are shared before it, in one round."""
    op: Op | None = None
    """What it does, if all that it takes are shares and it sends nothing."""
    rule: Op | None = None
    """What it does, if it computes on shares and reads them as they are."""
    move: Callable[[Array], Array] | None = None
    """What it does to each part, if it only moves the elements of one share."""
    kept: list[Value] | None = None
    """The results, from the first run on."""
    text: frozenset[int] = frozenset()
    """Operands, by place, that in all of the equations follow from this program's text alone."""
    joined: dict[int, Value] = field(default_factory=dict)
    """They in a row, from the first run on."""


@dataclass(slots=True)
class Prepared:
    """What every run of a program on inputs of these avals has in common."""

    program: Program
    ins: list[Aval]
    opened: bool
    avals: dict[int, Aval]
    steps: list[Step]
    needed: dict[int, int]
    """Bits of values that their readers need."""
