"""Choosing the ring: the narrowest format in which no value of a Program can overflow.

Intervals come from the owners' declared bounds by `infer`; each operation of the table says how many bits it
needs with f fractional bits. What could overflow every allowed format is refused before the run, with the
line, the interval and the remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tacit.array import intervals as iv
from tacit.array.after_sums import added, after_sums, lost, spared
from tacit.array.loop import infer
from tacit.array.ops import bits_needed, table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Program
from tacit.array.runtime import Format
from tacit.array.together import gather
from tacit.errors import RangeError, UsageError

CLOSE = 2.0**-16
"""Largest error of a result, as a part of it, that a choice of formats takes for granted (decisions 0064 and 0082)."""
FAIR = 2.0**-11
"""Largest one for which no wider ring is taken, which would cost many times as much: the plan says it instead."""
NOT_OF_ZERO = ("div", "rsqrt", "log")
"""Operations whose last operand must not be rounded to zero."""
CANDIDATES = tuple(Format(64, f) for f in (24, 22, 20, 18, 16)) + tuple(
    Format(128, f) for f in (44, 40, 36, 32, 24)
)


@dataclass(frozen=True, slots=True)
class Step:
    """One equation that is computed on shares, with what is known of its operands and results."""

    eqn: Eqn
    ins: list[Aval]
    outs: list[Aval]

    @property
    def place(self) -> str:
        """Operation and line, for a message."""
        return self.eqn.op + (f" at {self.eqn.source}" if self.eqn.source else "")

    def need(self, f: int) -> int:
        """Bits that the ring must offer, its two spare bits left out."""
        return bits_needed(self.eqn.op, self.ins, self.outs, self.eqn.params, f)


def secret_steps(program: Program, fmt: Format | None = None) -> list[Step]:
    """Return the equations that run on shares, loop bodies included; with a format, at the ranges computed in it."""
    steps: list[Step] = []

    def visit(eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        if eqn.op in ("const", "scan") or not ins:
            return
        hidden = {a.where for a in ins} - {"public"}
        if len(hidden) > 1 or SECRET in hidden or (eqn.op == "reveal" and hidden):
            steps.append(Step(eqn, ins, outs))

    infer(program, visit=visit, fmt=fmt)
    return steps


def check(step: Step, fmt: Format) -> None:
    """Raise RangeError if this equation could overflow `fmt`."""
    need = step.need(fmt.frac_bits)
    if need > fmt.width - 2:
        raise RangeError(explain(step, fmt, need))


def tightest(steps: Sequence[Step], fmt: Format) -> tuple[int, str]:
    """Return the bits that the largest value on shares takes in `fmt`, and where: operation and line."""
    best, where = 0, ""
    for step in steps:
        need = step.need(fmt.frac_bits)
        if need > best:
            best, where = need, step.place
    return best, where


def explain(step: Step, fmt: Format, need: int) -> str:
    """Say which line may overflow, from which intervals, and what to do."""
    where = f"{step.eqn.source}: " if step.eqn.source else ""
    operands = " and ".join(f"[{a.lo:.6g}, {a.hi:.6g}]" for a in step.ins if a.kind != "bool")
    unit = 2.0**-fmt.frac_bits
    last = step.ins[-1]
    if step.eqn.op in NOT_OF_ZERO and last.where != PUBLIC and -unit < max(last.lo, -last.hi) < unit:
        return (
            f"{where}{step.eqn.op} of values in {operands}: [{last.lo:.6g}, {last.hi:.6g}] comes closer to zero than "
            f"one unit, {unit:.3g} with {fmt.frac_bits} fractional bits, so a value may be rounded to zero. Declare a "
            f"bound that keeps away from zero by {unit:.3g} or more, for example maximum(x, 0.01), or take more "
            "fractional bits"
        )
    finite = all(math.isfinite(a.magnitude) for a in (*step.ins, *step.outs))
    reach = (
        f"it takes {need} bits"
        if need < 1 << 19
        else "its range is too wide"
        if finite
        else "its range is unbounded"
    )
    more = (
        "or use fewer fractional bits"
        if fmt.width == 128
        else "use fewer fractional bits, or allow width 128"
    )
    return (
        f"{where}{step.eqn.op} of values in {operands} may overflow: {reach}, and the {fmt} leaves {fmt.width - 2}. "
        f"Declare tighter bounds, scale the data, clip, {more}"
    )


FINE_BITS = 14


def fine(bits: int) -> str:
    """Return what the reason of an assumption ends with that was proved of units no larger than 2^−bits."""
    return f"(with {bits} fractional bits or more)"


FINE = fine(FINE_BITS)
_FINE = re.compile(r"\s*\(with (\d+) fractional bits or more\)$")


def _finest(program: Program) -> tuple[int, str]:
    """Return how many fractional bits the ranges of a program take for granted, and the line of the one that does."""
    found = (0, "")
    for eqn in program.eqns:
        why = str(eqn.params.get("why", "")) if eqn.op == "assume" else ""
        if of := _FINE.search(why):
            found = max(found, (int(of[1]), f"{eqn.source}: the range of {why[: of.start()]}"))
        if "body" in eqn.params:
            found = max(found, _finest(eqn.params["body"]))
    return found


def fine_enough(program: Program, fmt: Format) -> int:
    """Return how many fractional bits the ranges of a program take for granted; RangeError if `fmt` has fewer."""
    bits, line = _finest(program)
    if fmt.frac_bits < bits:
        raise RangeError(
            f"{line} is proved of {bits} fractional bits and more, not {fmt.frac_bits}; take as many, or let them be "
            "chosen"
        )
    return bits


def fit(
    program: Program, width: int | None = None, frac_bits: int | None = None, at_least: int = 16
) -> Format:
    """Return a format that holds every value: 64 bits if it can be, with as many fractional bits as fit.

    More fractional bits of a wide quotient leave its divisor's reciprocal the fewer (`rough`): the first format whose
    results are `CLOSE` is taken, else the closest one of the narrower ring if it is `FAIR`. One in which rounding stays
    small beside the values is preferred to one in which it does not (`doubts`), even if it is wider.

    `width` and `frac_bits` restrict the choice; `at_least` is the fewest fractional bits to accept. Raises
    RangeError naming the line that needs the most.
    """
    for name, value in (("width", width), ("frac_bits", frac_bits), ("at_least", at_least)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer)):
            raise UsageError(f"{name} is a whole number, not {value!r}")
    if width and frac_bits:
        found: tuple[Format, ...] = (Format(width, frac_bits),)
    else:
        found = tuple(
            c
            for c in CANDIDATES
            if (width in (None, c.width)) and (frac_bits in (None, c.frac_bits)) and c.frac_bits >= at_least
        )
        if frac_bits and not found:
            found = tuple(c for c in formats(frac_bits) if width in (None, c.width))
    if not found:
        asked = {"width": width, "frac_bits": frac_bits, "at_least": at_least}
        said = ", ".join(f"{k}={v}" for k, v in asked.items() if v is not None)
        raise RangeError(
            f"no format has {said}: rings of 64 bits take 4 to 24 fractional bits, rings of 128 bits 4 to 56, of which "
            "at_least chooses up to 44"
        )
    bits = fine_enough(program, max(found, key=lambda c: c.frac_bits))
    found = tuple(c for c in found if c.frac_bits >= bits)
    exact = secret_steps(program)
    refused: RangeError | None = None
    kept: list[tuple[bool, float, Format]] = []
    for fmt in found:
        if any(not poor and other.width < fmt.width for poor, _, other in kept):
            break
        # What does not fit without rounding does not fit with it.
        refused = _over(exact, fmt)
        if refused is None:
            try:
                computed = secret_steps(program, fmt)
                refused = _over(computed, fmt)
            except RangeError as exc:
                refused = exc
        if refused is None:
            apart = max(rough(computed, fmt)[0], CLOSE)
            noisy = bool(doubts(program, computed, fmt))
            if apart == CLOSE and not noisy:
                return fmt
            kept.append((noisy or apart > FAIR, apart, fmt))
    if kept:
        # Where all are noisy, the finest is least so.
        return min(kept, key=lambda each: (*each[:2], -each[2].frac_bits))[2]
    assert refused is not None
    raise refused


def settled(
    program: Program, width: int | None = None, frac_bits: int | None = None, at_least: int = 16
) -> tuple[Program, Format]:
    """Return the Program as it is run best, and its format, as `fit` chooses it.

    Public factors wait for the sums that they are in (decision 0101) where the ring stays as narrow, results are as
    close, and the bits that larger sums take are fewer than the roundings that they are spared cost, beyond those that
    other sums still add up.
    """
    chosen = width, frac_bits, at_least
    moved = after_sums(program)
    if moved is program:
        return program, fit(program, *chosen)
    moved = gather(moved)
    try:
        before = fit(program, *chosen)
    except RangeError as exc:
        try:
            return moved, fit(moved, *chosen)
        except RangeError:
            raise exc from None
    try:
        after = fit(moved, *chosen)
    except RangeError:
        return program, before
    fewer = before.frac_bits - after.frac_bits
    gained = spared(program) - added(moved)
    if after.width < before.width or (after.width == before.width and fewer <= max(gained, 0)):
        was, now = (_doubts(*each) for each in ((program, before), (moved, after)))
        if now[0] <= was[0] and now[1] <= max(was[1], CLOSE):
            return moved, after
    return program, before


def _doubts(program: Program, fmt: Format) -> tuple[bool, float]:
    computed = secret_steps(program, fmt)
    return bool(doubts(program, computed, fmt)), rough(computed, fmt)[0]


def doubts(program: Program, computed: Sequence[Step], fmt: Format) -> list[str]:
    """Say where rounding may be large beside the values, a line each."""
    exact = secret_steps(program)
    said = noise(exact, computed, fmt), drowned(program, computed, fmt), lost(program, fmt.frac_bits)
    return list(filter(None, said))


def _over(steps: Sequence[Step], fmt: Format) -> RangeError | None:
    need, step = max(((s.need(fmt.frac_bits), s) for s in steps), key=lambda b: b[0], default=(0, None))
    return None if step is None or need <= fmt.width - 2 else RangeError(explain(step, fmt, need))


def noise(exact: Sequence[Step], computed: Sequence[Step], fmt: Format) -> str:
    """Say where rounding alone may move a value far, or "": by 1/32 of its exact range and 256 units."""
    for a, b in zip(exact, computed, strict=True):
        for was, now in zip(a.outs, b.outs, strict=True):
            # Either way: a range that rounds to nothing is lost, too.
            beyond = max(abs(now.hi - was.hi), abs(was.lo - now.lo))
            if was.kind == "fixed" and beyond > iv.margin(was.magnitude, fmt.frac_bits):
                return (
                    f"{a.place}: rounding alone may move a value of [{was.lo:.6g}, {was.hi:.6g}] beyond it by "
                    f"{beyond:.3g}; take more fractional bits, or do not scale down what is scaled up again"
                )
        times = _scaled_up(a)
        if times and math.ldexp(times, -fmt.frac_bits) > iv.margin(a.outs[0].magnitude, fmt.frac_bits):
            return (
                f"{a.place}: values of [{a.ins[0].lo:.6g}, {a.ins[0].hi:.6g}], rounded to "
                f"{2.0**-fmt.frac_bits:.3g}, are made {times:.3g} times as large; take more fractional bits, or do not "
                "scale down what is scaled up again"
            )
    return ""


def _scaled_up(step: Step) -> float:
    """Return by how much an equation enlarges a secret by a public number, with what was rounded of it; 0 if not."""
    if step.eqn.op not in ("mul", "div") or PUBLIC not in (a.where for a in step.ins):
        return 0.0
    of = step.ins[step.ins[0].where == PUBLIC]
    return step.outs[0].magnitude / of.magnitude if of.kind == "fixed" and of.magnitude else 0.0


AS_MUCH = frozenset({
    "abs", "add", "arrange", "assume", "broadcast", "concat", "convert", "cumsum", "dynamic_slice", "extreme", "flip",
    "lookup", "maximum", "minimum", "neg", "reshape", "restore", "reveal", "running", "select", "slice", "sub", "sum",
    "take", "top", "transpose",
})  # fmt: skip
"""Operations whose results are taken to be off by as much as the operand that is off most."""


@dataclass(frozen=True, slots=True, order=True)
class _Off:
    """By how much a value may be off, and whether by a root next to zero, which products pass on."""

    by: float
    root: bool = False


def drowned(program: Program, steps: Sequence[Step], fmt: Format) -> str:
    """Say where a divisor, or what a logarithm is taken of, may be off by as much as its least value, or "".

    What is followed is what makes rounding of one unit large: a public factor, and the root of what may be next to
    nothing (√v of v = 0 ± one unit is up to √unit), the latter through products, too. Sums of many errors are not, nor
    factors of factors, nor what grows from turn to turn of a loop: they would be bounds, not errors.
    """
    made, unit = {id(step.eqn): step for step in steps}, math.ldexp(1.0, -fmt.frac_bits)
    exact, usual = _Off(0.0), _Off(unit)

    def off_by(step: Step, ins: list[_Off]) -> _Off:
        op, worst = step.eqn.op, max(ins, default=exact)
        if op == "convert" and not worst.by:
            return exact  # a whole number
        if times := _scaled_up(step):
            return max(usual, _Off(worst.by * times, worst.root))
        if op == "sqrt":
            least = max(step.ins[0].lo, 0.0)
            steep = worst.by / (2 * math.sqrt(least)) if least else math.inf
            return max(usual, _Off(min(math.sqrt(worst.by), steep), True))
        if op in ("mul", "matmul", "square"):
            (x, y), (off_x, off_y) = (step.ins * 2)[:2], (ins * 2)[:2]
            reach = [_Off(o.by * other.magnitude, True) for o, other in ((off_x, y), (off_y, x)) if o.root]
            return max(usual, *reach) if reach else usual
        return max(usual, worst) if op in AS_MUCH else usual

    def walk(of: Program, off: dict[int, _Off]) -> str:
        kinds = {i.var: i.aval.kind for i in of.inputs}
        for eqn in of.eqns:
            step = made.get(id(eqn))
            ins = [off.get(v, usual if kinds.get(v, "fixed") == "fixed" else exact) for v in eqn.ins]
            if "body" in eqn.params:
                if found := turns(eqn, ins, off):
                    return found
                continue
            if step is None:
                continue
            ins = [o if a.kind == "fixed" else exact for o, a in zip(ins, step.ins, strict=True)]
            last = step.ins[-1] if step.ins else None
            if eqn.op in NOT_OF_ZERO and last is not None and last.kind == "fixed" and last.where != PUBLIC:
                least = max(last.lo, -last.hi)
                if ins[-1].by > max(unit, least):
                    return (
                        f"{step.place}: rounding before it may move its values of [{last.lo:.6g}, {last.hi:.6g}] by "
                        f"{ins[-1].by:.2g}, so the least of them mean nothing; take more fractional bits, keep them "
                        "away from zero by more, or scale up before squaring, not after"
                    )
            off.update(dict.fromkeys(eqn.outs, off_by(step, ins)))
        return ""

    def turns(eqn: Eqn, ins: list[_Off], off: dict[int, _Off]) -> str:
        body, first, carry = eqn.params["body"], eqn.params["n_consts"], eqn.params["n_carry"]
        ends = [usual] * len(eqn.outs)
        for _ in range(2):  # the second turn has what the first carries
            inner = dict(zip((i.var for i in body.inputs), ins, strict=True))
            if found := walk(body, inner):
                return found
            ends = [inner.get(v, usual) for v in body.outputs]
            ins = ins[:first] + list(map(max, ins[first : first + carry], ends)) + ins[first + carry :]
        off.update(zip(eqn.outs, ends, strict=True))
        return ""

    return walk(program, {})


def rough(steps: Sequence[Step], fmt: Format) -> tuple[float, str]:
    """Return the largest relative bound on an operation's error, and a word on it if that is not `CLOSE`.

    Where it amounts to no more than the absolute bound, some units, at the result's largest, it is left out.
    """
    found: tuple[float, Step | None] = (0.0, None)
    for step in steps:
        error = table()[step.eqn.op].error
        if error is not None:
            units, relative = error(step.ins, step.outs, step.eqn.params, fmt.width, fmt.frac_bits)
            if relative * step.outs[0].magnitude > units:
                found = max(found, (relative, step), key=lambda each: each[0])
    relative, worst = found
    if worst is None or relative <= CLOSE:
        return relative, ""
    return relative, (
        f"{worst.place}: a result in [{worst.outs[0].lo:.6g}, {worst.outs[0].hi:.6g}] may be off by "
        f"{relative:.2g} of itself; take fewer fractional bits, tighter bounds, or width 128"
    )


def formats(frac_bits: int) -> tuple[Format, ...]:
    """Return the formats with so many fractional bits, the narrow one first."""
    return tuple(Format(w, frac_bits) for w in (64, 128) if 4 <= frac_bits <= w // 2 - 8)
