"""Running many traced functions in one session, and JAX beside it in float64."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from parity_cases import FAMILIES, Case, Key
from parity_refused import REFUSED
from parity_table import GROUPS

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.array.analyse import nowhere
from tacit.array.interpret import Trace
from tacit.array.program import PUBLIC, Aval, Program
from tacit.array.ranges import check, secret_steps
from tacit.array.runtime import Format, Runtime, Value
from tacit.array.secret import SecretArray
from tacit.core.cost import CostModel
from tacit.core.ghost import ghost
from tacit.core.share import Share
from tacit.errors import NotRealised, RangeError
from tacit.frontends.jax import trace_jax
from tacit.frontends.jax_flat import x64
from tacit.testing import NAMES, dealer_of, gather, run, scatter

NARROW, WIDE = Format(64, 16), Format(128, 40)
GRID = 2.0**-8  # exact in both formats, so that only the functions round


def data(key: Key) -> Any:
    """Return the values of an input: the ends of its range first, the rest at random."""
    family, shape = key
    kind, lo, hi = FAMILIES[family]
    rng = np.random.default_rng(zlib.crc32(repr(key).encode()))
    size = int(np.prod(shape))
    if kind == "bool":
        return (rng.random(size) < 0.5).reshape(shape)
    if kind == "int":
        values = rng.integers(int(lo), int(hi), size, endpoint=True)
    else:
        values = np.round(rng.uniform(lo, hi, size) / GRID) * GRID
    values[: min(size, 2)] = [hi, lo][: min(size, 2)]
    return values.reshape(shape)


@dataclass
class Traced:
    """One call as a Program, its format, and the structure of what it returns."""

    name: str
    case: Case
    program: Program
    fmt: Format
    tree: Any
    units: float


def trace(name: str, case: Case, units: float) -> Traced:
    """Trace a call on secrets; errors as a user would see them."""
    recorder = Trace()
    ins = [recorder.parameter(Aval(shape, *FAMILIES[family])) for family, shape in case.inputs]  # type: ignore[arg-type]
    leaves, tree = jax.tree_util.tree_flatten(
        trace_jax(case.call, ins), is_leaf=lambda v: isinstance(v, SecretArray)
    )
    program = recorder.program(leaves)
    fmt = NARROW
    for step in secret_steps(program):
        try:
            check(step, NARROW)
        except RangeError:
            check(step, WIDE)
            fmt = WIDE
    return Traced(name, case, program, fmt, tree, units)


def _held(p: Any, a: Aval, value: Any, f: int) -> Value:
    """Return this party's shares of an input."""
    if a.kind != "bool":
        encoded = p.ring.encode_floats(value, f) if a.kind == "fixed" else p.ring.encode_ints(value)
        return Value(a, None, scatter(p, np.asarray(encoded)))
    bits = np.asarray(value).astype(np.uint8)
    if p.party.index < 0:
        return Value(a, None, ghost(bits.shape))
    n, i = p.party.n, p.party.index
    rng = np.random.default_rng(99)
    pieces = [rng.integers(0, 2, bits.shape, dtype=np.uint8) for _ in range(n - 1)]
    pieces.append(np.bitwise_xor.reduce([bits, *pieces]).reshape(bits.shape))
    return Value(a, None, Share(tuple(pieces[(i + j) % n] for j in range(p.parts))))


def on_shares(traced: Sequence[Traced], protocol: str) -> list[list[Any]]:
    """Run all calls of one width among three parties; return the results of each as NumPy arrays."""
    fmt = traced[0].fmt
    ring = Ring(fmt.width)

    def go(p: Any) -> list[Any]:
        found = []
        for t in traced:
            rt = Runtime(p, fmt, NAMES[:3])
            ins = [
                _held(p, i.aval, data(key), fmt.frac_bits)
                for i, key in zip(t.program.inputs, t.case.inputs, strict=True)
            ]
            outs = rt.block(t.program, ins)
            found.append([v if v.aval.where == PUBLIC else Value(v.aval, None, rt.share(v)) for v in outs])
        p.party.flush()
        return found

    results = run(protocol, fmt.width, go, dealer=dealer_of(protocol))
    compute = NAMES[: 1 if protocol == "clear" else 3]
    return [
        [_opened([results[name][i][j] for name in compute], protocol, ring, fmt) for j in range(len(first))]
        for i, first in enumerate(results[NAMES[0]])
    ]


def _opened(values: Sequence[Value], protocol: str, ring: Ring, fmt: Format) -> Any:
    a = values[0].aval
    if a.where == PUBLIC:
        return values[0].data
    shares = [v.share for v in values]
    if a.kind == "bool":
        total = np.bitwise_xor.reduce([s.parts[0] for s in shares])  # type: ignore[union-attr]
        return np.asarray(total).astype(bool).reshape(a.shape)
    total = gather(dict(zip(NAMES, shares, strict=False)), protocol, ring)  # type: ignore[arg-type]
    return np.asarray(ring.to_floats(total, fmt.frac_bits) if a.kind == "fixed" else ring.to_ints(total))


def in_jax(traced: Sequence[Traced]) -> list[list[Any]]:
    """Return what JAX gives in float64, all calls compiled as one."""
    keys = sorted({key for t in traced for key in t.case.inputs})

    def every(values: list[Any]) -> list[Any]:
        at = dict(zip(keys, values, strict=True))
        return [
            jax.tree_util.tree_map(jnp.asarray, t.case.call(*(at[k] for k in t.case.inputs))) for t in traced
        ]

    with x64():
        outs = jax.jit(every)([jnp.asarray(data(k)) for k in keys])
        return [[np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(out)] for out in outs]


Prepared = list[tuple[Traced, list[Any]]]


@functools.cache
def prepared(group: str) -> Prepared:
    """Trace the supported calls of a group, and compute what JAX says."""
    table = {n: row for n, row in GROUPS[group].items() if n not in REFUSED}
    traced = [trace(name, case, row.units) for name, row in table.items() for case in row.cases]
    return list(zip(traced, in_jax(traced), strict=True))


def differences(group: str, protocol: str) -> list[str]:
    """Return a line for each call whose results are not those of JAX within its bound."""
    lines = []
    for width in (64, 128):
        part = [(t, w) for t, w in prepared(group) if t.fmt.width == width and realised(t.program, protocol)]
        if part:
            for (t, want), got in zip(part, on_shares([t for t, _ in part], protocol), strict=True):
                lines += [
                    f"{t.name}{[s for _, s in t.case.inputs]}: {line}" for line in _compared(t, got, want)
                ]
    return lines


def realised(program: Program, protocol: str) -> bool:
    """Whether a protocol has all that the program needs; NotRealised is what the plan raises before any message."""
    cards = protocols.load(protocol).cards
    if protocol in ("clear", "rep3"):  # these realise everything
        return True
    model = CostModel(protocol, cards, nowhere(NAMES[:3]), Ring(64), dealer_of(protocol))
    values = []
    for i in program.inputs:
        like = np.zeros(i.aval.shape, np.uint8)
        values.append(
            Value(i.aval, None, model.constant_bits(like) if i.aval.kind == "bool" else model.constant(like))
        )
    try:
        Runtime(model, NARROW, NAMES[:3]).block(program, values)
    except NotRealised as exc:
        assert f"{protocol} does not" in str(exc), str(exc)
        return False
    except RangeError:
        return True  # wider than this format, as the caller knows
    return True


def _compared(t: Traced, got: list[Any], want: list[Any]) -> list[str]:
    if len(got) != len(want):
        return [f"{len(got)} results, JAX gives {len(want)}"]
    found = []
    for g, w in zip(got, want, strict=True):
        if np.shape(g) != w.shape:
            found.append(f"shape {np.shape(g)}, JAX gives {w.shape}")
        elif w.dtype.kind in "biu":
            if not np.array_equal(g, w):
                found.append(f"{g} differs from {w}")
        elif not np.all(np.isfinite(w)):
            found.append("JAX gives NaN or infinity")
        else:
            units = (
                np.max(np.abs(np.asarray(g, float) - w) / np.maximum(np.abs(w), 1), initial=0)
                * 2.0**t.fmt.frac_bits
            )
            if units > t.units:
                found.append(f"off by {units:.3g} units, {t.units:g} allowed")
    return found
