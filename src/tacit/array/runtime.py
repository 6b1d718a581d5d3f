"""One participant running equations: public values in the clear, an owner's at the owner, the rest on shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tacit.algebra.ring import Ring, low_words, ring_of
from tacit.array import beside, compare, constants, copies, streams, words
from tacit.array.bounds import scale_of
from tacit.array.loop import scan_types, split
from tacit.array.ops import Op, join_where, kind_dtype, table
from tacit.array.program import PUBLIC, SECRET, Aval, Eqn, Input, Program, owned
from tacit.array.scales import SUMS, USUAL, Rounding
from tacit.array.steps import Prepared, Step, prepared
from tacit.array.streams import Rows
from tacit.array.together import SHARING, is_shared_at_once
from tacit.array.widths import outside, refuse, widened
from tacit.core.protocol import Protocol
from tacit.core.share import Matrix, Share, apart, join
from tacit.errors import UndeclaredDisclosure, UsageError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Format:
    """Ring width k in bits and fractional bits f of fixed-point values."""

    width: int = 64
    frac_bits: int = 16

    def __post_init__(self) -> None:
        if self.width not in (64, 128) or not 4 <= self.frac_bits <= self.width // 2 - 8:
            raise UsageError(f"width 64 or 128 with 4 to width/2 − 8 fractional bits, not {self}")

    def __str__(self) -> str:
        return f"{self.width}-bit ring, {self.frac_bits} fractional bits"


@dataclass(slots=True)
class Value:
    """What this participant holds of one variable."""

    aval: Aval
    data: Array | None = None
    share: Share | None = None
    exact: bool = True
    """Whether every machine has the same bits of a public value."""
    constant: bool = False
    """Whether the value follows from the program text alone."""
    encoded: dict[int, Array] | None = None
    """A constant as ring elements, by fractional bits."""
    factors: tuple[tuple[Any, ...], constants.Factors] | None = None
    """How a constant was multiplied last: the bounds of the other factor, and its parts."""
    one: Value | None = None
    """A public value without the axes along which its array repeats (`constants.once`)."""
    extra: int = 0
    """Fractional bits of the share beyond the format's: whoever reads it rounds (decisions 0073, 0075)."""
    width: int = 0
    """Bits that an owner's value is shared with, as far as they are needed; 0 for all."""
    same: frozenset[int] = frozenset()
    """Axes along which it holds copies, by the equations that made it (`copies`)."""


MOST_AHEAD = 256
"""Steps among which products with public numbers lose bits together."""
KEPT_PLANS = 64
"""Programs of which a runtime keeps what all runs have in common."""
WORD = Ring(64)


@dataclass(slots=True)
class Runtime:
    """Runs equations for one participant; `parties` are all that receive what is revealed to "all"."""

    p: Protocol
    fmt: Format
    parties: tuple[str, ...]
    allowed: frozenset[str] | None = None
    """Names of the reveals the approved manifest lists; None allows what the program says (eager sessions)."""
    opened: dict[str, Array] = field(default_factory=dict)
    progress: Callable[[int, int], None] | None = None
    sees_all: bool = False
    """Whether this runtime stands for every recipient: a check in the clear."""
    rounding: Rounding = USUAL
    """How the results of the equation that runs are held."""
    doubted: Aval | None = None
    """What is known of a result that was opened, and was not so (`widths.outside`)."""
    whole: Runtime | None = None
    """Where this one runs equations in words of 64 bits: that of the format."""
    coarse: dict[tuple[int, int, bool], tuple[Value, Share]] = field(default_factory=dict, repr=False)
    """Values of which bits were lost for a product that follows, and what is left (`constants.coarsen`).

    By the `id` of both factors, and whether the other is divided by: each product loses bits of its own.
    """
    _plans: dict[int, Prepared] = field(default_factory=dict, repr=False)

    @property
    def me(self) -> str:
        """Name of this participant."""
        return self.p.party.name

    @property
    def ring(self) -> Any:
        """The ring."""
        return self.p.ring

    @property
    def f(self) -> int:
        """Fractional bits."""
        return self.fmt.frac_bits

    @property
    def q(self) -> Protocol:
        """The protocol over the ring in which the results of the equation that runs are made."""
        return self.over(self.rounding.width)

    def over(self, width: int) -> Protocol:
        """Return the protocol over a ring of so many bits, the format's own for as many as it has, or `p` for 0."""
        if 0 < width < self.fmt.width:
            return self.p.over(ring_of(width))
        return self.whole.p if width and self.whole is not None else self.p

    def words(self, short: bool) -> Runtime:
        """Return what runs an equation: this, or over words of 64 bits if it reads and makes no more than those.

        What `share`, `held` and `encode` return is of its words; shares may be views of longer ones.
        """
        if not short:
            return self
        return Runtime(
            self.p.over(WORD), self.fmt, self.parties, rounding=self.rounding, whole=self, coarse=self.coarse
        )

    def fitted(self, units: Array) -> Array:
        """Return elements of the format's ring, or of fewer bits, in this runtime's words: a view of them."""
        return units if self.whole is None else low_words(units)

    def knows(self, where: str) -> bool:
        """Whether this participant sees values of a visibility in the clear."""
        return where in (PUBLIC, owned(self.me)) or (self.sees_all and where != SECRET)

    # -- running ------------------------------------------------------------------------------------------

    def run(self, program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a Program with this participant's own inputs by name; return what it learned, by reveal name."""
        needed = self.needed(program)

        def given(spec: Input) -> Value:
            mine = spec.owner == self.me
            data = streams.check_input(spec.name, inputs[spec.name], spec.aval) if mine else None
            return Value(spec.aval, data, width=needed.get(spec.var, 0))

        self.block(program, [given(spec) for spec in program.inputs], self.progress)
        self.p.party.flush()
        refuse(self.doubted)
        return self.opened

    def needed(self, program: Program, opened: bool = False) -> dict[int, int]:
        """Return how many bits a program needs of its values, those among them that owners are to share."""
        return self._plan(program, [spec.aval for spec in program.inputs], opened).needed

    def block(
        self,
        program: Program,
        values: Sequence[Value],
        progress: Callable[[int, int], None] | None = None,
        opened: bool = False,
    ) -> list[Value]:
        """Run the equations on `values` for the inputs; return the outputs. Values are dropped after last use.

        Outputs that will only be `opened` hold no more bits than that needs (decision 0077).
        """
        plan = self._plan(program, [v.aval for v in values], opened)
        program = plan.program
        for spec, v in zip(program.inputs, values, strict=True):
            if 0 < v.width < plan.needed.get(spec.var, 0):
                raise UsageError(
                    f"input {spec.name!r} was shared for another program, with fewer bits than needed"
                )
        env = {spec.var: v for spec, v in zip(program.inputs, values, strict=True)}
        del values  # so that inputs, too, are held no longer than they are needed
        large = any(isinstance(v.data, Rows) for v in env.values())
        sums: dict[int, Array] = {}
        ended = 0
        for at, step in enumerate(plan.steps):
            eqn = step.eqn
            if step.kept is None and (step.ends is None or max(step.ends, default=0) > ended):
                self.p.settle(step.ends)
            if step.sheds and not self.coarse:
                ended = constants.coarsen(self, plan.steps[at : at + MOST_AHEAD], env) or ended
            if step.move is not None:
                of = env[eqn.ins[0]]
                env[eqn.outs[0]] = moved = Value(step.outs[0], None, self.share(of).map(step.move))
                copies.note(eqn, [of], [moved])
            else:
                results = step.kept
                if results is None:
                    ins = [env[v] for v in eqn.ins]
                    if large and eqn.outs[0] not in sums and any(isinstance(v.data, Rows) for v in ins):
                        known = {var: v.data for var, v in env.items() if v.data is not None}
                        sums |= streams.ahead(program, step.at, known, plan.avals, owned(self.me))
                    summed = sums.pop(eqn.outs[0], None) if large else None
                    if step.shared:
                        self.share_together([env[v] for v in step.shared])
                    self.rounding = step.rounding
                    results = self._results(step, ins, summed)
                    copies.note_each(step.eqns, ins, results)
                for var, value in zip(eqn.outs, results, strict=True):
                    if value.share is None:
                        value.width = plan.needed.get(var, 0)
                    env[var] = value
            for var in step.dead:
                del env[var]
            if progress is not None:
                progress(at + 1, len(plan.steps))
        assert not self.coarse
        self.rounding = USUAL
        self.p.settle()
        if opened:
            return [_opened(env[v], plan.needed.get(v, 0)) for v in program.outputs]
        return [env[v] for v in program.outputs]

    def _plan(self, program: Program, ins: list[Aval], opened: bool) -> Prepared:
        found = self._plans.get(id(program))
        if found is not None and found.text is program and (found.ins, found.opened) == (ins, opened):
            return found
        if len(self._plans) >= KEPT_PLANS:
            self._plans.clear()
        plan = self._plans[id(program)] = prepared(program, ins, self.p, self.fmt, opened)
        return plan

    def _results(self, step: Step, ins: list[Value], summed: Array | None) -> list[Value]:
        """Work on one step; `summed` is its result if an owner found that while reading a table."""
        if step.op is not None:
            return self.local(step.op, step.eqn, ins, step.outs)
        if summed is not None:
            results = [Value(step.outs[0], summed, None, False)]
        elif step.left:
            p, rule = self.p, step.rule
            p.number, before, p.patient = step.left, p.patient, True
            try:
                return self._on_shares(rule, step, ins) if rule else self.step(step.eqn, ins, step.outs)
            finally:
                p.patient = before
        elif step.rule is not None:
            return self._on_shares(step.rule, step, ins)
        elif len(step.eqns) > 1:
            return self._beside(step, ins)
        else:
            results = self.step(step.eqn, ins, step.outs)
        if step.fixed and all(v.exact for v in results):
            step.kept = results
        return results

    def _on_shares(self, op: Op, step: Step, ins: list[Value]) -> list[Value]:
        """As `step` does where nothing is to be shared or brought to other fractional bits before."""
        assert op.lower is not None
        self.p.pace()
        rounding = step.rounding
        shares = self._made(op, self.words(rounding.word), ins, step.outs, step.eqn.params)
        extra = rounding.extra
        return [Value(a, None, s, extra=extra) for a, s in zip(step.outs, shares, strict=True)]

    def _made(
        self, op: Op, rt: Runtime, ins: list[Value], outs: list[Aval], params: dict[str, Any]
    ) -> list[Share]:
        """Return an equation's results as their readers need them, worked on in the words of `rt`."""
        assert op.lower is not None
        if not (some := copies.of_all(op, ins)):
            return widened(self, op.lower(rt, ins, outs, params), outs)
        few, made = [copies.once(self, v, some) for v in ins], [copies.cut(a, some) for a in outs]
        shares = widened(self, op.lower(rt, few, made, params), made)
        return [copies.spread(s, a.shape) for s, a in zip(shares, outs, strict=True)]

    def local(self, op: Op, eqn: Eqn, ins: list[Value], outs: list[Aval]) -> list[Value]:
        """Run an equation that reads shares alone, of the usual fractional bits, and sends nothing."""
        assert op.lower is not None
        shares = op.lower(self.words(self.rounding.word), ins, outs, eqn.params)
        return [Value(a, None, s) for a, s in zip(outs, shares, strict=True)]

    def step(self, eqn: Eqn, ins: list[Value], outs: list[Aval]) -> list[Value]:
        """Run one equation."""
        self.p.pace()  # a party that receives nothing would queue the messages of the whole program
        if eqn.op == "reveal":
            return self._reveal([eqn], ins, outs)
        if eqn.op == "scan":
            return self._scan(eqn, ins)
        op = table()[eqn.op]
        where = SECRET if outs[0].where == SECRET else join_where([v.aval for v in ins])
        if where != SECRET:
            known = all(v.data is not None for v in ins)
            data: list[Array | None] = [None] * len(outs)
            if known and self.knows(where):
                with np.errstate(all="ignore"):
                    data = streams.clear(eqn, [v.data for v in ins], outs)
            constant = eqn.op == "const" or (where == PUBLIC and all(v.constant for v in ins))
            exact = all(v.exact for v in ins) and (op.exact or outs[0].kind != "fixed")
            return [Value(a, d, None, exact, constant) for a, d in zip(outs, data, strict=True)]
        assert op.lower is not None
        if eqn.op in SHARING:
            self._share_owners(ins)
        extra = self.rounding.extra
        if self.rounding.done:
            return [Value(outs[0], None, v.share) for v in ins if v.aval.where == SECRET]
        rt = self.words(self.rounding.word)
        if eqn.op in SUMS and (extra or any(v.extra for v in ins)):
            ins = [
                Value(a if (a := v.aval).secret else replace(a, where=SECRET), None, rt.finer(v, extra))
                for v in ins
            ]
        shares = self._made(op, rt, ins, outs, eqn.params)
        return [Value(a, None, s, extra=extra) for a, s in zip(outs, shares, strict=True)]

    def _beside(self, step: Step, ins: list[Value]) -> list[Value]:
        """Work on equations side by side: on all their elements in a row, as one."""
        self._share_owners(ins)
        rt = self.words(self.rounding.word)
        if not step.row:
            self.p.pace()
            if step.eqn.op == "reveal":
                return self._reveal(step.eqns, ins, step.outs)
            if step.eqn.op == "bits":
                found = words.side_by_side(rt, ins, step.outs, step.eqn.params["at"])
                return [Value(a, None, s) for a, s in zip(step.outs, found, strict=True)]
            shares = widened(self, compare.side_by_side(rt, step.eqns, ins), step.outs)
            return [Value(a, None, s) for a, s in zip(step.outs, shares, strict=True)]
        operands = []
        arity = len(step.eqns[0].ins)
        once = beside.divided_by_one(step.eqns)
        for i in range(arity - once):
            if (joined := step.joined.get(i)) is None:
                joined = rt.in_a_row(ins[i::arity], beside.whose(step.eqn.op, i, ins[i].aval))
                if i in step.text:
                    step.joined[i] = joined
            operands.append(joined)
        if (op := step.eqn.op) in beside.STACKED or op in beside.BLOCKS:
            return self._stacked(step, operands, ins[:arity])
        row = step.row
        if once:
            operands = [copies.above(rt, x, row[0].shape) for x in (*operands, ins[1])]
        elif same := copies.of_rows(ins, arity):
            row = [replace(row[0], shape=(len(step.eqns), *step.outs[0].shape))]
            operands = [copies.above(rt, x, row[0].shape, of) for x, of in zip(operands, same, strict=True)]
        (whole,) = self.step(step.eqn, operands, row)
        assert whole.share is not None
        parts = apart(whole.share.reshape(whole.share.size), [a.size for a in step.outs])
        extra = self.rounding.extra
        return [
            Value(a, None, s.reshape(*a.shape), extra=extra) for a, s in zip(step.outs, parts, strict=True)
        ]

    def _stacked(self, step: Step, operands: list[Value], first: list[Value]) -> list[Value]:
        """Work on equations of one shape as on one, of which `operands` are in a row."""
        op, count = step.eqn.op, len(step.eqns)
        taken = [
            beside.as_one_operand(self, op, count, row, one.aval.shape)
            for row, one in zip(operands, first, strict=True)
        ]
        found = [beside.each_of(op, count, self.share(v)) for v in self.step(step.eqn, taken, step.row)]
        made = [s for each in zip(*found, strict=True) for s in each]
        return [Value(a, None, s) for a, s in zip(step.outs, made, strict=True)]

    def in_a_row(self, values: list[Value], where: str = SECRET) -> Value:
        """Return the elements of several values in a row, secrets but for public ones and those of one `where`."""
        aval = beside.hull([v.aval for v in values], where)
        if aval.where == SECRET:
            shares = [s.reshape(s.size) for s in map(self.share, values)]
            if self.ring.wide and any(not s.parts[0].dtype.names for s in shares):
                # No more than a word is needed of any.
                shares = [s.map(low_words) for s in shares]
            return Value(aval, None, join(shares))
        data = [streams.whole(v.data).reshape(-1) for v in values if v.data is not None]
        known = np.concatenate(data) if len(data) == len(values) else None
        return Value(aval, known, None, all(v.exact for v in values), all(v.constant for v in values))

    def _scan(self, eqn: Eqn, ins: list[Value]) -> list[Value]:
        params, body = eqn.params, eqn.params["body"]
        body_avals, out_avals = scan_types([v.aval for v in ins], params, self.fmt)
        consts, carry, xs = split(params, ins)
        _, carry_avals, _ = split(params, body_avals)
        carry = [self._as(v, a) for v, a in zip(carry, carry_avals, strict=True)]
        for v in xs:
            v.data = streams.whole(v.data)
        stacked: list[list[Value]] = [[] for _ in out_avals[len(carry) :]]
        for i in range(params["length"]):
            row = i if not params.get("reverse") else params["length"] - 1 - i
            rows = [_row(v, row) for v in xs]
            outs = self.turn(body, consts, carry, rows)
            carry = [self._as(v, a) for v, a in zip(outs, carry_avals, strict=False)]
            for pile, v, a in zip(stacked, outs[len(carry) :], out_avals[len(carry) :], strict=True):
                pile.append(self._as(v, a))
        ys = []
        for pile, a in zip(stacked, out_avals[len(carry) :], strict=True):
            whole = Aval((params["length"], *a.shape), a.kind, a.lo, a.hi, a.where)
            ys.append(_stack(pile[::-1] if params.get("reverse") else pile, whole, self))
        return [*carry, *ys]

    def turn(self, body: Program, consts: list[Value], carry: list[Value], rows: list[Value]) -> list[Value]:
        """Run one iteration of a loop."""
        return self.block(body, [*consts, *carry, *rows])

    def _as(self, v: Value, aval: Aval) -> Value:
        """Give a value the visibility and range that hold in every iteration."""
        if aval.where == SECRET and v.aval.where != SECRET:
            return Value(aval, None, self.share(v))
        if aval.where.startswith("owner:") and v.aval.where == PUBLIC:
            return Value(aval, v.data if self.knows(aval.where) else None, None)
        return Value(aval, v.data, v.share, v.exact, False)

    def _reveal(self, eqns: list[Eqn], values: list[Value], outs: list[Aval]) -> list[Value]:
        """Open values to the same recipients, at once."""
        names = [e.params["name"] for e in eqns]
        for name in names:
            if self.allowed is not None and name not in self.allowed:
                raise UndeclaredDisclosure(f"the approved manifest does not list a result called {name!r}")
        to = eqns[0].params["to"]
        readers = self.parties if to == ["all"] else tuple(to)
        data: list[Array | None] = [v.data for v in values]
        if values[0].aval.where != PUBLIC:
            data = self._open(values, readers, self.rounding.width)
        if self.sees_all or self.me in readers:
            self.opened.update({name: d for name, d in zip(names, data, strict=True) if d is not None})
        return [Value(a, d) for a, d in zip(outs, data, strict=True)]

    def _open(self, values: list[Value], readers: tuple[str, ...], width: int) -> list[Array | None]:
        """Open values of one kind, truth values or not, in one round; return each where it is known.

        Of numbers, `width` bits count, or all if 0.
        """
        rt = self.words(0 < width <= WORD.width < self.fmt.width)
        row = rt.share(values[0]) if len(values) == 1 else rt.share(rt.in_a_row(values))
        bits, p = values[0].aval.kind == "bool", self.over(width)
        opened = p.reveal_bits(row, readers) if bits else p.reveal(row, readers)
        if opened is None:
            return [None] * len(values)
        found: list[Array | None] = []
        rest = opened.reshape(-1)
        for v in values:
            own, rest = rest[: v.aval.size].reshape(v.aval.shape), rest[v.aval.size :]
            numbers = own.astype(bool) if bits else self.decode(own, v.aval, p.ring)
            if width and not bits and outside(numbers, v.aval):
                self.doubted = v.aval
            found.append(numbers)
        return found

    def open_outputs(self, values: Sequence[Value], readers: tuple[str, ...]) -> list[Array | None]:
        """Open what `block` returned to be opened; return each where it is known."""
        found = [v.data if v.aval.where == PUBLIC else self._open([v], readers, v.width)[0] for v in values]
        refuse(self.doubted)
        return found

    # -- between the clear and shares ---------------------------------------------------------------------

    def decode(self, opened: Array, aval: Aval, ring: Ring | None = None) -> Array:
        """Return opened elements of a ring, usually the format's, as float64 or integers."""
        ring = ring or self.ring
        if aval.kind == "fixed":
            return np.asarray(ring.to_floats(opened, self.f))
        ints = ring.to_ints(opened)
        fits = ints.dtype != object or all(abs(v) < 2**63 for v in ints.reshape(-1))
        return np.asarray(ints.astype(np.int64) if fits else ints)

    def share(self, v: Value) -> Share:
        """Return shares of a value; an owner's value is shared on first use, once."""
        assert not v.extra  # whoever reads such a value takes it by `held` or `finer`
        if self.whole is not None:
            return self.whole.share(v).map(low_words)
        if v.share is None:
            if v.aval.where == PUBLIC:
                made = self.p.constant_bits(self.public_bits(v)) if v.aval.kind == "bool" else None
                v.share = made if made is not None else self.p.constant(self.encode(v))
            elif v.aval.kind == "bool":
                bits = None if v.data is None else np.asarray(v.data).astype(np.uint8)
                v.share = self.p.share_bits(v.aval.owner, bits, v.aval.shape)
            else:
                p = self.over(v.width)
                data = None if v.data is None else p.ring.low(self._encode(v, scale_of(v.aval, self.f)))
                v.share = p.share_input(v.aval.owner, data, v.aval.shape)
        return v.share

    def _share_owners(self, values: Sequence[Value]) -> None:
        """Share those values in one round that owners know and that are not shared yet."""
        if owners := [v for v in values if v.share is None and is_shared_at_once(v.aval)]:
            self.share_together(owners)

    def share_together(self, values: Sequence[Value]) -> None:
        """Share owners' values in one round."""
        with self.p.later():
            for v in values:
                self.share(v)
        self.p.settle()

    def encode(self, v: Value, frac_bits: int | None = None) -> Array:
        """Return a public value as ring elements, the same at every party."""
        if self.whole is not None:
            return low_words(self.whole.encode(v, frac_bits))
        frac = scale_of(v.aval, self.f) if frac_bits is None else frac_bits
        if v.encoded is not None and frac in v.encoded:
            return v.encoded[frac]
        encoded = self.ring.zeros(v.aval.shape) if v.data is None else self._encode(v, frac)
        if v.aval.kind == "fixed" and not v.exact:
            return self.p.agree(encoded)
        if v.constant:
            v.encoded = {**(v.encoded or {}), frac: encoded}
        return np.asarray(encoded)

    def _encode(self, v: Value, frac: int) -> Array:
        assert v.data is not None
        data = streams.whole(v.data)
        if v.aval.kind == "fixed":
            return np.asarray(self.ring.encode_floats(data, frac))
        return np.asarray(self.ring.shl(self.ring.encode_ints(data), frac))

    def public_bits(self, v: Value) -> Array:
        """Return a public truth value as 0/1 bytes."""
        if v.data is None:
            return np.zeros(v.aval.shape, np.uint8)
        return np.asarray(v.data).astype(np.uint8)

    def held(self, v: Value) -> Share:
        """Return shares of a value as it is held, whatever its fractional bits."""
        if not v.extra:
            return self.share(v)
        assert v.share is not None
        return v.share if self.whole is None else v.share.map(low_words)

    def finer(self, v: Value, extra: int) -> Share:
        """Return shares of a fixed-point value with so many extra fractional bits, at least as many as it has."""
        if v.aval.where == PUBLIC:
            return self.p.constant(self.ring.shl(self.encode(v), extra))
        return self.p.shl(self.held(v), extra - v.extra) if extra > v.extra else self.held(v)

    def factors(self, x: Value, y: Value) -> tuple[Share, Share]:
        """Return shares of what a product multiplies, the smaller times the public number that the product takes."""
        a, b = self.held(x), self.held(y)
        if (times := self.rounding.times) == 1:
            return a, b
        number = self.ring.constant(times)
        return (a, self.p.mul_public(b, number)) if b.size <= a.size else (self.p.mul_public(a, number), b)

    @property
    def drop(self) -> int:
        """Bits that a product of two fixed-point secrets loses."""
        return self.f if self.rounding.drop is None else self.rounding.drop

    def mul(self, x: Share, y: Share) -> Share:
        """Product of fixed-point shares, rounded unless what reads it does that."""
        p = self.q
        if self.rounding.of:
            return self.over(self.rounding.of).mul_into(x, y, self.drop, p.ring)
        if self.drop:
            return p.mul_trunc(x, y, self.drop)
        form = p.mul_early if self.rounding.early else p.mul
        return form(x.reshape(x.size), y.reshape(y.size)).reshape(*x.shape)

    def matmul(self, x: Matrix, y: Matrix) -> Share:
        """Product of fixed-point matrices, rounded unless what reads it does that."""
        p = self.q
        if self.rounding.of:
            return self.over(self.rounding.of).matmul_into(x, y, self.drop, p.ring)
        if self.drop:
            return p.matmul_trunc(x, y, self.drop)
        return p.matmul_early(x, y) if self.rounding.early else p.matmul(x, y)

    def rescale(self, x: Share, g: int) -> Share:
        """Divide by 2^g, or multiply by 2^−g."""
        if g > 0 and self.rounding.of:
            return self.over(self.rounding.of).trunc_into(x, g, self.q.ring)
        return self.p.trunc(x, g) if g > 0 else self.p.shl(x, -g) if g else x

    # -- truth values -------------------------------------------------------------------------------------

    def xor(self, x: Share, y: Share) -> Share:
        """XOR of truth values."""
        return Share(tuple(a ^ b for a, b in zip(x.parts, y.parts, strict=True)))

    def xor_public(self, x: Share, c: Array) -> Share:
        """XOR with public truth values."""
        return Share(tuple(a ^ c if self.p.holds_constant(j) else a for j, a in enumerate(x.parts)))

    def and_(self, x: Share, y: Share) -> Share:
        """AND of truth values."""
        return self.p.unpack(self.p.and_(self.p.pack(x), self.p.pack(y)), x.shape)


def _opened(v: Value, width: int) -> Value:
    return Value(v.aval, v.data, v.share, v.exact, v.constant, extra=v.extra, width=width)


def _row(v: Value, i: int) -> Value:
    a = v.aval
    aval = Aval(a.shape[1:], a.kind, a.lo, a.hi, a.where)
    return Value(
        aval,
        None if v.data is None else v.data[i],
        None if v.share is None else v.share[i],
        v.exact,
        v.constant,
    )


def _stack(pile: list[Value], aval: Aval, rt: Runtime) -> Value:
    if not pile:
        empty = Value(replace(aval, where=PUBLIC), np.zeros(aval.shape, kind_dtype(aval.kind)))
        return Value(aval, None, rt.share(empty)) if aval.where == SECRET else Value(aval, empty.data)
    if aval.where == SECRET:
        shares = [rt.share(v) for v in pile]
        parts = zip(*(s.parts for s in shares), strict=True)
        return Value(aval, None, Share(tuple(np.stack(ps) for ps in parts)))
    known = [v.data for v in pile if v.data is not None]
    data = np.stack(known) if len(known) == len(pile) else None
    return Value(aval, data, None, all(v.exact for v in pile))
