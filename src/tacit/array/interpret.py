"""Where a call of an array operation goes: into a Program (tracing) or to the parties at once (eager).

Both record the same equations. `bind` is the only door; operators and functions end here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tacit.array.loop import infer_eqn
from tacit.array.program import LISTED, Aval, Eqn, Input, Program, owned
from tacit.array.schema import check_input
from tacit.array.secret import SecretArray
from tacit.errors import UsageError

if TYPE_CHECKING:
    from tacit.array.runtime import Format

Array = npt.NDArray[Any]
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SKIP = (_PACKAGE, f"{os.sep}jax{os.sep}", f"{os.sep}numpy{os.sep}", "<frozen")


def is_users(filename: str) -> bool:
    """Whether a source file is the user's: outside Tacit and the array libraries."""
    return not any(part in filename for part in _SKIP)


def caller() -> str:
    """Return "file.py:line" of the nearest frame outside Tacit and the array libraries."""
    frame = sys._getframe(1)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


class Context:
    """Something that takes equations. A subclass decides what happens to them."""

    stamp: str = ""
    fmt: Format | None = None
    """The format that operations run in at once; None where it is chosen later."""

    def __init__(self) -> None:
        self._next = 0
        self.source = ""
        """The user's line of the equations to come, where a front end knows it better than the stack."""

    def new_var(self) -> int:
        """Return a fresh variable number."""
        self._next += 1
        return self._next - 1

    def bind(
        self, op: str, ins: Sequence[SecretArray], params: dict[str, Any] | None = None
    ) -> list[SecretArray]:
        """Record one operation and return its results."""
        for a in ins:
            if a.context is not self:
                raise UsageError(
                    f"{op}: an operand belongs to another session or trace; values cannot cross between them"
                )
        eqn_ins = tuple(a.ref for a in ins)
        draft = Eqn(op, eqn_ins, (), params or {}, self.source or caller())
        avals = infer_eqn(draft, [a.aval for a in ins], self.fmt)
        outs = tuple(self.new_var() for _ in avals)
        self.record(Eqn(op, eqn_ins, outs, draft.params, draft.source), [a.aval for a in ins], avals)
        return [SecretArray(self, v, a) for v, a in zip(outs, avals, strict=True)]

    def const(self, value: Any, kind: str | None = None) -> SecretArray:
        """Record a public constant."""
        if isinstance(value, SecretArray):
            return value
        a = array_of(value, "a constant")
        if kind == "fixed" and a.dtype.kind == "O":  # fractions, decimals, whole numbers of more than 64 bits
            with suppress(TypeError, ValueError):
                a = a.astype(np.float64)
        if a.dtype.kind == "f" or (kind == "fixed" and a.dtype.kind in "biu"):
            a = a.astype(np.float64)
        elif a.dtype.kind in "iu":
            if a.size and int(a.max()) >= 2**63:
                raise UsageError("an integer constant exceeds 63 bits")
            a = a.astype(np.int64)
        elif a.dtype.kind != "b":
            raise UsageError(f"a constant of type {a.dtype} is not a number; convert it first")
        if a.size <= LISTED or not np.all(a == a.flat[0]):
            return self.bind("const", [], {"value": a})[0]
        # As many ones as there are rows would be most of a Program's text.
        one = self.bind("const", [], {"value": np.asarray(a.flat[0])})
        return self.bind("broadcast", one, {"shape": list(a.shape), "dims": []})[0]

    def record(self, eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        """Take one equation."""
        raise NotImplementedError

    def reveal(self, x: SecretArray, to: list[str], why: str, name: str) -> Any:
        """Open a value, or record that it will be."""
        raise NotImplementedError

    def release(self, var: int) -> None:
        """Forget a variable that nobody refers to."""


class Trace(Context):
    """Records a Program."""

    stamp = "trace"

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Input] = []
        self.eqns: list[Eqn] = []

    def input(
        self, name: str, owner: str, shape: Sequence[int], kind: str, lo: float, hi: float
    ) -> SecretArray:
        """Declare one array that `owner` provides, its values in [lo, hi]."""
        aval = Aval(tuple(int(s) for s in shape), kind, lo, hi, owned(owner))  # type: ignore[arg-type]
        check_input(name, aval)
        var = self.new_var()
        self.inputs.append(Input(name, owner, var, aval))
        return SecretArray(self, var, aval)

    def parameter(self, aval: Aval) -> SecretArray:
        """Declare an input of a loop body."""
        var = self.new_var()
        self.inputs.append(Input(f"p{var}", "", var, aval))
        return SecretArray(self, var, aval)

    def record(self, eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        """Append one equation."""
        self.eqns.append(eqn)

    def reveal(self, x: SecretArray, to: list[str], why: str, name: str) -> SecretArray:
        """Record a disclosure; its name must be new."""
        taken = {e.params["name"] for e in self.eqns if e.op == "reveal"}
        name = name or f"result{len(taken)}"
        if name in taken:
            raise UsageError(f"two results are called {name!r}")
        return self.bind("reveal", [x], {"to": to, "why": why, "name": name})[0]

    def program(self, outputs: Sequence[SecretArray] = ()) -> Program:
        """Return what was recorded."""
        return Program(tuple(self.inputs), tuple(self.eqns), tuple(o.ref for o in outputs))


class Again(Trace):
    """Records a Program again, with something else in the place of some equations."""

    def __init__(self, program: Program, avals: Mapping[int, Aval]) -> None:
        super().__init__()
        self.before, self.avals = program, avals
        self.now: dict[int, SecretArray] = {}
        """What stands for the variables of the Program as it was."""

    def run(self) -> Program:
        """Return the Program."""
        for spec in self.before.inputs:
            var = self.new_var()
            self.inputs.append(Input(spec.name, spec.owner, var, spec.aval))
            self.now[spec.var] = SecretArray(self, var, self.avals[spec.var])
        for eqn in self.before.eqns:
            self.source = eqn.source
            ins = [self.now[v] for v in eqn.ins]
            made = self.instead(eqn, ins)
            self.now.update(
                zip(eqn.outs, self.bind(eqn.op, ins, eqn.params) if made is None else [made], strict=True)
            )
        return self.program([self.now[v] for v in self.before.outputs])

    def instead(self, eqn: Eqn, ins: list[SecretArray]) -> SecretArray | None:
        """Record what stands in the place of an equation with one result; None if it stays."""
        raise NotImplementedError


def array_of(value: Any, what: str) -> Any:
    """Return NumPy's array of a value; UsageError where that would forget which places a mask leaves out."""
    if np.ma.is_masked(value):
        raise UsageError(
            f"{what} is masked in places, and no secret is; put numbers there, as x.filled(0) does, and keep the mask "
            "as an array of its own"
        )
    try:
        return np.asarray(value)
    except ValueError:
        raise UsageError(f"{what} has rows of different lengths; make them one array first") from None


def reveal(x: SecretArray, to: str | Sequence[str] = "all", *, why: str, name: str = "") -> Any:
    """Open `x` to the parties named in `to`, or to "all"; `why` is shown to the owners who approve it.

    Returns the opened array in a session, a public array while tracing.
    """
    if not isinstance(x, SecretArray):
        raise UsageError("reveal takes an array of a session or trace; this value is public already")
    if not isinstance(why, str) or not why.strip():
        raise UsageError("reveal needs a reason: why='…' is what the owners read when they approve")
    targets = [to] if isinstance(to, str) else list(to)
    if "all" in targets[1:] or (targets[:1] == ["all"] and targets[1:]):
        raise UsageError('a result goes to all, or to parties by name: to="all" stands alone')
    return x.context.reveal(x, targets, why, name)
