"""Words stay bits where only their bits are asked for: a pass, like those of `passes` (docs/decisions/0093).

`population_count(a ^ b)` adds up the bits of a word that was made of bits a moment before, and `(x >> 3) & 1` looks
at one bit of a word of many. `unmade` follows bits back to what the word was made of, through what moves, shifts or
negates it, and compares a bit with a number by the bit itself; `prune` then drops words that nobody reads. What is
left to find of one number, `found_once` finds by one adder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tacit.array import functions as xp
from tacit.array.interpret import Again
from tacit.array.loop import infer, inside
from tacit.array.ops import table
from tacit.array.passes import prune
from tacit.array.program import Aval, Eqn, Program
from tacit.array.schema import MOST_BITS, MOVES
from tacit.array.secret import SecretArray
from tacit.array.words import weights_of, width


def unmade(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Return the Program with bits taken from where words were made of them, in loops, too."""
    avals = infer(program, ins)
    program = inside(program, avals, unmade)
    ops = {eqn.op for eqn in program.eqns}
    return prune(_Unmade(program, avals).run()) if ops & {"bits", "part", "word"} else program


class _Unmade(Again):
    """Records a Program again, with other equations where bits are asked for."""

    def __init__(self, program: Program, avals: dict[int, Aval]) -> None:
        super().__init__(program, avals)
        self.arrays: dict[int, SecretArray] = {}
        self.maker: dict[int, Eqn] = {}
        self.found: dict[tuple[int, tuple[int, ...]], SecretArray] = {}
        self.known: dict[int, bool] = {}

    def record(self, eqn: Eqn, ins: list[Aval], outs: list[Aval]) -> None:
        """Append one equation, and remember what it makes."""
        super().record(eqn, ins, outs)
        for var, aval in zip(eqn.outs, outs, strict=True):
            self.maker[var], self.arrays[var] = eqn, SecretArray(self, var, aval)

    def instead(self, eqn: Eqn, ins: list[SecretArray]) -> SecretArray | None:
        """Record what stands in the place of an equation that asks for bits."""
        # An input is nobody's result, so it is met here first.
        self.arrays.update({a.ref: a for a in ins})
        if eqn.op == "bits":
            return self.bits(ins[0], eqn.params["at"])
        if eqn.op == "part" and self._is_word(ins[0]):
            return self._part(ins[0], eqn.params)
        if eqn.op == "slice":
            return self._row(ins[0], eqn.params)
        return self._truth(eqn.op, *ins) if eqn.op in ("eq", "lt") else None

    # -- bits of numbers ---------------------------------------------------------------------------------------

    def bits(self, v: SecretArray, at: Sequence[int]) -> SecretArray:
        """Return the bits of v at rising places, a row each."""
        key = v.ref, tuple(at)
        if key not in self.found:
            made = self._made(v, list(at)) if self._is_known(v) else None
            self.found[key] = xp._bind("bits", v, at=list(at)) if made is None else made
        return self.found[key]

    def _is_known(self, v: SecretArray) -> bool:
        """Whether the bits of v are found without taking it apart, or by taking apart fewer numbers."""
        if v.ref not in self.known:
            self.known[v.ref] = self._follows(v)
        return self.known[v.ref]

    def _follows(self, v: SecretArray) -> bool:
        eqn = self.maker.get(v.ref)
        if eqn is None:
            return False
        if eqn.op == "word":
            return _places(eqn.params["weights"]) is not None
        if eqn.op in ("const", "part"):
            return True
        of = [self.arrays[u] for u in eqn.ins]
        if eqn.op == "concat":
            return any(map(self._is_known, of)) and v.size == sum(u.size for u in of)
        if eqn.op == "sub":
            return self._uniform(of[0]) is not None
        if eqn.op == "mul":
            return any(_power(self._uniform(u)) is not None for u in of)
        if eqn.op in ("assume", *MOVES):
            return self._is_known(of[0]) or of[0].size <= v.size
        return False

    def _made(self, v: SecretArray, at: list[int]) -> SecretArray | None:
        eqn = self.maker[v.ref]
        of = [self.arrays[u] for u in eqn.ins]
        if eqn.op == "word":
            return self._of_word(of[0], eqn.params["weights"], at)
        if eqn.op == "const":
            value = np.asarray(eqn.params["value"])
            return self.const((value >> np.reshape(at, (-1, *[1] * value.ndim))) & 1 == 1)
        if eqn.op == "assume":
            return self.bits(of[0], at)
        if eqn.op == "part" and not eqn.params["low"]:
            beyond = [i + eqn.params["by"] for i in at]
            return self.bits(of[0], beyond) if beyond[-1] < MOST_BITS else None
        if eqn.op == "part":
            kept = [i for i in at if i < eqn.params["by"]]
            return self._among(self.bits(of[0], kept) if kept else None, 0, len(at) - len(kept), v.shape)
        if eqn.op == "concat":
            return xp.concat([self.bits(u, at) for u in of], eqn.params["axis"] + 1)
        if eqn.op in MOVES:
            return self.bind(eqn.op, [self.bits(of[0], at)], _lower_axes(eqn, len(at)))[0]
        if eqn.op == "sub":
            # c − u has the bits of u changed where c has none but ones: no borrow.
            whole = 2 ** (at[-1] + 1)
            return xp.logical_not(self.bits(of[1], at)) if not (self._uniform(of[0]) + 1) % whole else None
        (by, u) = next((by, of[1 - i]) for i in (0, 1) if (by := _power(self._uniform(of[i]))) is not None)
        kept = [i - by for i in at if i >= by]
        return self._among(self.bits(u, kept) if kept else None, len(at) - len(kept), 0, v.shape)

    def _among(self, rows: SecretArray | None, below: int, above: int, shape: tuple[int, ...]) -> SecretArray:
        """Return rows of bits with so many zeros below and above them."""
        zeros = [self.const(np.zeros((n, *shape), bool)) if n else None for n in (below, above)]
        return xp.concat([each for each in (zeros[0], rows, zeros[1]) if each is not None])

    def _is_word(self, v: SecretArray) -> bool:
        """Whether v was made of bits, or is part of a number whose bits are at hand."""
        eqn = self.maker.get(v.ref)
        if eqn is not None and eqn.op in ("assume", *MOVES):
            return self._is_word(self.arrays[eqn.ins[0]])
        return eqn is not None and eqn.op in ("word", "part") and self._is_known(v)

    def _part(self, v: SecretArray, params: dict[str, Any]) -> SecretArray:
        """Return part of a word as the word of these bits."""
        by, low = params["by"], params["low"]
        own = width(v.aval.lo, v.aval.hi)
        at = list(range(by) if low else range(by, max(own, by + 1)))
        return xp._bind(
            "word", self.bits(v, at), weights=weights_of(range(len(at)), v.aval.lo < 0 and not low)
        )

    def _of_word(self, rows: SecretArray, weights: Any, at: list[int]) -> SecretArray:
        """Return rows that a word was made of, and what it has between and above them."""
        places = _places(weights)
        assert places is not None
        row = {place: i for i, place in enumerate(places)}
        top = places[-1] if weights[-1] < 0 else None
        wanted = [row.get(top if top is not None and i > top else i, -1) for i in at]
        if all(i >= 0 for i in wanted):
            return self.rows(rows, wanted)
        held = [i for i in wanted if i >= 0]
        none = self.const(np.zeros((1, *rows.shape[1:]), bool))
        if not held:
            return xp.broadcast_to(none, (len(at), *rows.shape[1:]))
        some = xp.concat([none, self.rows(rows, held)])
        order = iter(range(1, len(held) + 1))
        return self.rows(some, [next(order) if i >= 0 else 0 for i in wanted])

    # -- rows of bits ------------------------------------------------------------------------------------------

    def rows(self, v: SecretArray, at: list[int]) -> SecretArray:
        """Return some rows of bits; only these are found if nothing else reads the others."""
        if at == list(range(v.shape[0])):
            return v
        eqn = self.maker.get(v.ref)
        of = [self.arrays[u] for u in eqn.ins] if eqn is not None else []
        if eqn is not None and eqn.op in ("xor", "not"):
            return self.bind(eqn.op, [self.rows(u, at) for u in of], {})[0]
        if eqn is not None and eqn.op == "bits" and at == sorted(set(at)):
            return self.bits(of[0], [eqn.params["at"][i] for i in at])
        if eqn is not None and eqn.op == "reshape" and of[0].ndim and of[0].shape[0] == v.shape[0]:
            return xp.reshape(self.rows(of[0], at), (len(at), *v.shape[1:]))
        if at == list(range(at[0], at[-1] + 1)):
            return v[at[0] : at[-1] + 1]
        return xp.take(v, np.array(at), 0)

    def _row(self, v: SecretArray, params: dict[str, Any]) -> SecretArray | None:
        """Return a slice of rows of bits as these rows alone; None of anything else."""
        start, stop, steps = params["start"], params["stop"], params["steps"]
        if v.dtype != "bool" or not v.ndim or any(start[1:]) or list(stop[1:]) != list(v.shape[1:]):
            return None
        eqn = self.maker.get(v.ref)
        if eqn is None or eqn.op != "bits" or any(s != 1 for s in steps) or start[0] >= stop[0]:
            return None
        return self.rows(v, list(range(start[0], stop[0])))

    # -- comparisons -------------------------------------------------------------------------------------------

    def _truth(self, op: str, x: SecretArray, y: SecretArray) -> SecretArray | None:
        """Return what a comparison of a word with a number of the text asks of its bits; None if more than one bit."""
        for v, other, turned in ((x, y, False), (y, x, True)):
            number, word = self._uniform(other), self._word(v)
            if number is None or word is None:
                continue
            rows, weights = word
            if len(weights) == 1:
                ends = [np.int64(0), weights[0]]
                two = [[np.asarray(number), e] if turned else [e, np.asarray(number)] for e in ends]
                never, always = (bool(table()[op].clear(each, {})[0]) for each in two)
                row = xp.reshape(rows, v.shape)
                return None if never == always else row if always else xp.logical_not(row)
            if op == "eq" and number == 0 and (np.all(weights > 0) or _places(weights) is not None):
                return xp._bind("every", xp.logical_not(rows))
        return None

    def _word(self, v: SecretArray) -> tuple[SecretArray, Any] | None:
        """Return the bits that v is made of, and their weights; None if it is not."""
        eqn = self.maker.get(v.ref)
        if eqn is None or eqn.op not in ("assume", "part", "word"):
            return None
        of = self.arrays[eqn.ins[0]]
        if eqn.op == "assume":
            return self._word(of)
        if eqn.op == "word":
            return of, eqn.params["weights"]
        by = eqn.params["by"]
        return (self.bits(of, list(range(by))), weights_of(range(by), False)) if eqn.params["low"] else None

    def _uniform(self, v: SecretArray) -> Any:
        """Return the whole number of the text that all elements of v are, or None."""
        eqn = self.maker.get(v.ref)
        if eqn is not None and eqn.op in MOVES:
            return self._uniform(self.arrays[eqn.ins[0]])
        if eqn is None or eqn.op != "const" or v.dtype != "int" or not v.size:
            return None
        value = np.asarray(eqn.params["value"])
        return int(value.flat[0]) if np.all(value == value.flat[0]) else None


def _places(weights: Any) -> list[int] | None:
    """Return the rising places of bits that weights are those of, the last perhaps a sign's; None of others."""
    sizes = [int(w) for w in weights]
    sizes[-1] = abs(sizes[-1])
    places = [w.bit_length() - 1 for w in sizes]
    return (
        places
        if all(w > 0 and w == 1 << i for w, i in zip(sizes, places, strict=True))
        and places == sorted(set(places))
        else None
    )


def _power(number: int | None) -> int | None:
    """Return i of 2^i."""
    return (
        number.bit_length() - 1 if number is not None and number > 0 and not number & (number - 1) else None
    )


def _lower_axes(eqn: Eqn, rows: int) -> dict[str, Any]:
    """Return the parameters of a move for an array with rows of bits as another first axis."""
    params = eqn.params
    if eqn.op == "reshape":
        return {"shape": [rows, *params["shape"]]}
    if eqn.op == "transpose":
        return {"perm": [0, *(i + 1 for i in params["perm"])]}
    if eqn.op == "broadcast":
        return {"shape": [rows, *params["shape"]], "dims": [0, *(i + 1 for i in params["dims"])]}
    if eqn.op == "flip":
        return {"axes": [i + 1 for i in params["axes"]]}
    return {k: [first, *params[k]] for k, first in (("start", 0), ("stop", rows), ("steps", 1))}


# -- one adder for each number --------------------------------------------------------------------------------


def found_once(program: Program, ins: Sequence[Aval] | None = None) -> Program:
    """Find all bits of a number that are asked for where the first of them are, in loops, too."""
    avals = infer(program, ins)
    program = inside(program, avals, found_once)
    asked: dict[int, list[Eqn]] = {}
    for eqn in program.eqns:
        if eqn.op == "bits":
            asked.setdefault(eqn.ins[0], []).append(eqn)
    several = {v: eqns for v, eqns in asked.items() if len(eqns) > 1}
    return _gathered(program, avals, several) if several else program


def _gathered(program: Program, avals: dict[int, Aval], several: dict[int, list[Eqn]]) -> Program:
    eqns: list[Eqn] = []
    all_of: dict[int, int] = {}
    fresh = max(avals) + 1
    for eqn in program.eqns:
        if eqn.op != "bits" or eqn.ins[0] not in several:
            eqns.append(eqn)
            continue
        (v,) = eqn.ins
        places = sorted({i for e in several[v] for i in e.params["at"]})
        if v not in all_of:
            all_of[v] = fresh
            eqns.append(Eqn("bits", (v,), (fresh,), {"at": places}, eqn.source))
            fresh += 1
        indices = np.array([places.index(i) for i in eqn.params["at"]])
        eqns.append(Eqn("take", (all_of[v],), eqn.outs, {"axis": 0, "indices": indices}, eqn.source))
    return program.replace(eqns=tuple(eqns))
