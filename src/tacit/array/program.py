"""Programs: what will be computed, as data. A Program is a recording of array operations, nothing else.

Its text form is canonical: parsing and printing round-trip, and the digest that owners approve is the SHA-256 of
that text. Types, visibility and ranges are never trusted from the text; `infer` derives them again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tacit.errors import DataError

Array = npt.NDArray[Any]
Kind = Literal["int", "fixed", "bool", "perm"]
PUBLIC, SECRET = "public", "secret"
HEADER = "tacit-program 1"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")


def owned(owner: str) -> str:
    """Return the visibility of a value that only `owner` knows."""
    return f"owner:{owner}"


@dataclass(frozen=True, slots=True)
class Aval:
    """What is publicly known of an array: shape, kind, the interval its values lie in, who may see it."""

    shape: tuple[int, ...]
    kind: Kind
    lo: float
    hi: float
    where: str = SECRET

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def magnitude(self) -> float:
        """Largest absolute value."""
        return max(abs(self.lo), abs(self.hi))

    @property
    def secret(self) -> bool:
        """Whether no single party knows the value."""
        return self.where == SECRET

    @property
    def owner(self) -> str:
        """The one party that knows the value, or ""."""
        return self.where[6:] if self.where.startswith("owner:") else ""

    def __str__(self) -> str:
        dims = ",".join(map(str, self.shape))
        span = "" if self.kind == "bool" else f" in [{self.lo:.6g}, {self.hi:.6g}]"
        return f"{self.where} {self.kind}[{dims}]{span}"


@dataclass(frozen=True, slots=True)
class Eqn:
    """One operation: `outs` = op(`ins`; `params`). `source` is where the user wrote it, outside the digest."""

    op: str
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    params: dict[str, Any] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Input:
    """One array that one owner provides: its name, shape, kind and the bound its values must keep."""

    name: str
    owner: str
    var: int
    aval: Aval


@dataclass(frozen=True, slots=True)
class Program:
    """Inputs, equations in order, and the variables a caller gets back. Outputs of a job are its reveals."""

    inputs: tuple[Input, ...]
    eqns: tuple[Eqn, ...]
    outputs: tuple[int, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What analysis found of this Program, by the ranges of its inputs: loops ask for the same again and again."""

    def text(self) -> str:
        """Return the canonical text."""
        return "\n".join([HEADER, *_lines(self, "")]) + "\n"

    def digest(self) -> bytes:
        """Return the SHA-256 of the text, 32 bytes."""
        return hashlib.sha256(self.text().encode()).digest()

    def reveals(self) -> list[Eqn]:
        """Return every equation that opens something, those inside loops included."""
        found = []
        for eqn in self.eqns:
            if eqn.op == "reveal":
                found.append(eqn)
            if "body" in eqn.params:
                found += eqn.params["body"].reveals()
        return found

    def last_uses(self) -> list[tuple[int, ...]]:
        """Return, for each equation, the variables that nothing after it needs."""
        if "last" not in self.memo:
            last = {i.var: 0 for i in self.inputs}
            for at, eqn in enumerate(self.eqns):
                last.update(dict.fromkeys((*eqn.ins, *eqn.outs), at))
            dead: list[list[int]] = [[] for _ in self.eqns]
            for v in last.keys() - set(self.outputs):
                if self.eqns:
                    dead[last[v]].append(v)
            self.memo["last"] = [tuple(vs) for vs in dead]
        found: list[tuple[int, ...]] = self.memo["last"]
        return found

    def owners(self) -> list[str]:
        """Return the owners of inputs, in order of first use."""
        return list(dict.fromkeys(i.owner for i in self.inputs if i.owner))

    def replace(self, **changes: Any) -> Program:
        """Return a copy with fields changed."""
        return replace(self, **changes)


# -- text -------------------------------------------------------------------------------------------------


LISTED = 16
"""An array of no more elements is written as a list of them."""


def _lines(program: Program, indent: str) -> Iterator[str]:
    for i in program.inputs:
        a = i.aval
        spec = json.dumps({"kind": a.kind, "shape": list(a.shape), "lo": a.lo, "hi": a.hi})
        yield f"{indent}input %{i.var} {i.owner or '-'} {i.name} {spec}"
    for eqn in program.eqns:
        outs = ", ".join(f"%{v}" for v in eqn.outs)
        ins = "".join(f" %{v}" for v in eqn.ins)
        params = " " + params_text(eqn) if eqn.params.keys() - {"body"} else ""
        if "body" in eqn.params:
            yield f"{indent}{outs} = {eqn.op}{ins}{params} begin"
            yield from _lines(eqn.params["body"], indent + "  ")
            yield f"{indent}end"
        else:
            yield f"{indent}{outs} = {eqn.op}{ins}{params}"
    yield f"{indent}return" + "".join(f" %{v}" for v in program.outputs)


def params_text(eqn: Eqn) -> str:
    """Return the parameters of an equation as its line has them, a body left out."""
    plain = {k: v for k, v in eqn.params.items() if k != "body"}
    return json.dumps(plain, sort_keys=True, default=_encode_param)


def _encode_param(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        a = np.asarray(value, order="C")  # ascontiguousarray would give a scalar an axis
        kind = {"f": "<f8", "i": "<i8", "b": "|b1"}[a.dtype.kind]
        a = a.astype(kind)
        if a.size <= LISTED:
            return {"shape": list(a.shape), "dtype": kind, "values": a.reshape(-1).tolist()}
        return {"shape": list(a.shape), "dtype": kind, "b64": base64.b64encode(a.tobytes()).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a parameter of type {type(value).__name__} has no text form")


def _decode_param(value: Any, at: int) -> Any:
    if isinstance(value, dict) and set(value) in ({"shape", "dtype", "values"}, {"shape", "dtype", "b64"}):
        if value["dtype"] not in ("<f8", "<i8", "|b1"):
            raise DataError(
                f"line {at}: an array of type {str(value['dtype'])[:20]!r} is not part of the format"
            )
        try:
            if "values" in value:
                plain = np.array(value["values"])
                if plain.size and plain.dtype.kind != {"<f8": "f", "<i8": "i", "|b1": "b"}[value["dtype"]]:
                    raise ValueError
                return plain.astype(value["dtype"]).reshape(value["shape"])
            raw = np.frombuffer(base64.b64decode(value["b64"], validate=True), value["dtype"])
            return raw.reshape(value["shape"]).copy()
        except (ValueError, TypeError, OverflowError):
            raise DataError(f"line {at}: an array is malformed") from None
    return value


def _json(text: str, at: int) -> dict[str, Any]:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    try:
        found = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise DataError(f"line {at}: the parameters are malformed") from None
    return dict(found)


MAX_LINES = 100_000
_INPUT = re.compile(r"^input %([0-9]{1,9}) (\S+) (\S+) (\{.*\})$")
_EQN = re.compile(r"^((?:%[0-9]{1,9}(?:, (?=%))?)+) = ([a-z_0-9]+)((?: %[0-9]{1,9})*)( \{.*\})?( begin)?$")
_RETURN = re.compile(r"^return(?: %[0-9]{1,9})*$")


def parse(text: str) -> Program:
    """Read a Program's text; DataError names the line that is not part of the format."""
    lines = text.splitlines()
    if not lines or lines[0] != HEADER:
        raise DataError(f"this is not a program: the first line is not {HEADER!r}")
    program, at = _parse_block(lines, 1, 0)
    if at != len(lines):
        raise DataError(f"line {at + 1}: nothing may follow the program's end")
    if program.text() != text:
        raise DataError("the program is not in canonical form")
    return program


def _parse_block(lines: list[str], at: int, depth: int) -> tuple[Program, int]:
    inputs: list[Input] = []
    eqns: list[Eqn] = []
    known: set[int] = set()
    if depth > 8:
        raise DataError("loops nest more than 8 deep")
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if len(eqns) + len(inputs) > MAX_LINES:
            raise DataError(f"a program has at most {MAX_LINES} lines")
        if line.startswith("return"):
            if not _RETURN.match(line):
                raise DataError(f"line {at}: not part of the program format")
            outs = tuple(int(v[1:]) for v in line.split()[1:])
            _require(outs, known, at)
            return Program(tuple(inputs), tuple(eqns), outs), at
        if match := _INPUT.match(line):
            inputs.append(_parse_input(match, at))
            if inputs[-1].var in known:
                raise DataError(f"line {at}: a variable is defined twice")
            known.add(inputs[-1].var)
        elif match := _EQN.match(line):
            eqn_outs = tuple(int(v[1:]) for v in match[1].split(", "))
            ins = tuple(int(v[1:]) for v in match[3].split())
            _require(ins, known, at)
            params = {k: _decode_param(v, at) for k, v in _json(match[4] or "{}", at).items()}
            if match[5]:
                params["body"], at = _parse_block(lines, at, depth + 1)
                if at >= len(lines) or lines[at].strip() != "end":
                    raise DataError(f"line {at + 1}: 'end' of the loop expected")
                at += 1
            if known & set(eqn_outs) or len(set(eqn_outs)) < len(eqn_outs):
                raise DataError(f"line {at}: a variable is defined twice")
            known.update(eqn_outs)
            eqns.append(Eqn(match[2], ins, eqn_outs, params))
        else:
            raise DataError(f"line {at}: not part of the program format")
    raise DataError("the program ends without 'return'")


def _parse_input(match: re.Match[str], at: int) -> Input:
    spec = _json(match[4], at)
    if set(spec) != {"kind", "shape", "lo", "hi"} or not isinstance(spec["shape"], list):
        raise DataError(f"line {at}: the input's description is malformed")
    if not _NAME.fullmatch(match[2]) and match[2] != "-":
        raise DataError(f"line {at}: the owner's name is malformed")
    owner = "" if match[2] == "-" else match[2]
    where = owned(owner) if owner else SECRET
    aval = Aval(tuple(spec["shape"]), spec["kind"], spec["lo"], spec["hi"], where)
    return Input(match[3], owner, int(match[1]), aval)


def _require(needed: tuple[int, ...], known: set[int], at: int) -> None:
    for v in needed:
        if v not in known:
            raise DataError(f"line {at}: %{v} is used before it is defined")
