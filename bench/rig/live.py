"""What a Program keeps in shares at once, by its text alone: the measure that memory is held against."""

from __future__ import annotations

from tacit.array.loop import infer
from tacit.array.program import Aval, Eqn, Program
from tacit.array.runtime import Format

PARTS = 2
"""Each party of replicated sharing holds two of the three parts."""


VIEWS = frozenset({"reshape", "transpose", "broadcast", "slice", "dynamic_slice", "flip", "assume"})
"""Operations whose result is another look at the shares of their first operand."""


def nbytes(aval: Aval, fmt: Format) -> int:
    """Return the bytes of a value's shares at one party; what is not secret has none."""
    if not aval.secret:
        return 0
    return PARTS * aval.size * (1 if aval.kind == "bool" else fmt.width // 8)


def live_shares(program: Program, fmt: Format) -> tuple[int, int]:
    """Return the bytes of the inputs' shares, and the most that inputs and variables in use take at any equation.

    Inputs count throughout, since the caller holds them; variables from the equation that makes them until the last
    use of them, or of a view of them; in a loop those of one iteration.
    """
    made: dict[int, list[int]] = {}

    def visit(eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        made[id(eqn)] = [0 if eqn.op in VIEWS else nbytes(a, fmt) for a in outs]

    def most(block: Program) -> int:
        size = {i.var: 0 for i in block.inputs}
        seen_in = {i.var: i.var for i in block.inputs}
        live = set(seen_in)
        peak = 0
        for eqn, dead in zip(block.eqns, block.last_uses(), strict=True):
            for var, n in zip(eqn.outs, made[id(eqn)], strict=True):
                size[var] = n
                seen_in[var] = seen_in[eqn.ins[0]] if eqn.op in VIEWS else var
            live.update(eqn.outs)
            inside = most(eqn.params["body"]) if eqn.op == "scan" else 0
            peak = max(peak, sum(size[base] for base in {seen_in[var] for var in live}) + inside)
            live.difference_update(dead)
        return peak

    infer(program, visit=visit)
    inputs = sum(nbytes(i.aval, fmt) for i in program.inputs)
    return inputs, inputs + most(program)
