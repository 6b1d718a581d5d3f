"""The table of enumerated trials, and the check of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt
from privacy_factored import DOUBLE, QUARTERS, Parity, of_number
from privacy_lanes import Key, Lab, Pins, Program, Setting, enumerate_lanes

from tacit import protocols
from tacit.algebra.ring import Ring
from tacit.core.rows import Column
from tacit.core.share import Planes, Share, stack_planes
from tacit.protocols.rep3 import bits as bit_rows
from tacit.protocols.rep3 import leading, trees, turns
from tacit.testing import NAMES, gather, gather_planes

SEED = 99
Array = npt.NDArray[Any]
Secrets = tuple[int, ...]


@dataclass(frozen=True)
class Trial:
    """One functionality, what it is tried on, and what must come out."""

    name: str
    setting: Setting
    program: Callable[[Secrets], Program]
    secrets: list[Secrets]
    expected: Callable[[Secrets], int] | None
    owner: str = ""
    pinned: int = 0
    """0: input shares are enumerated with the draws; else how many choices of the corrupted are tried."""
    radix: int = 4
    thirds: bool = False
    """Turn the roles on thirds of the elements."""
    alternate: bool = False
    """Give the corrupted one choice of shares, 0 and 1 by turns, so that the rows they hold differ."""

    def coalitions(self) -> list[tuple[str, ...]]:
        """Return the sets of participants that may learn nothing."""
        compute = NAMES[: self.setting.n]
        size = protocols.entry(self.setting.protocol).pooled(self.setting.n)
        return [c for c in combinations(compute, size) if self.owner not in c]


SELECTED: list[Secrets] = [(b, x) for b in (0, 1) for x in (-1, 0, 1)]
"""A bit, and a number that is rounded to one bit less."""


def nothing(key: Key) -> bool:
    """Leave no mask out."""
    return False


def check(trial: Trial, mask_left_out: Callable[[Key], bool] = nothing, rewinds: bool = False) -> None:
    """Raise AssertionError if a coalition's view depends on the secrets, or a result is wrong."""
    broken = rewinds or mask_left_out is not nothing
    for coalition, pins_of in pinnings(trial):
        first: dict[tuple[str, ...], Array] = {}
        for secrets in trial.secrets:
            world, got = enumerate_lanes(
                trial.setting, trial.program(secrets), pins_of, mask_left_out, rewinds
            )
            for names in [coalition] if coalition else trial.coalitions():
                seen = world.view(names)
                assert np.array_equal(seen, first.setdefault(names, seen)), (
                    f"{trial.name}: the view of {names} depends on the secrets {secrets}, pins {pins_of}"
                )
            if not broken and trial.expected is not None:
                right = np.full(world.lanes, trial.expected(secrets))
                assert np.array_equal(_open(trial, got), right), f"{trial.name}: wrong result for {secrets}"


def pinnings(trial: Trial) -> list[tuple[tuple[str, ...], Pins | None]]:
    """Return (coalition, its input shares); an empty coalition stands for all of them, with free shares."""
    if not trial.pinned:
        return [((), None)]
    rng = np.random.default_rng(SEED)
    if trial.alternate:
        return [
            (c, {(i, (NAMES.index(c[0]) + j) % 3): i & 1 for i in range(4) for j in range(2)})
            for c in trial.coalitions()
        ]
    out: list[tuple[tuple[str, ...], Pins | None]] = []
    parts = protocols.load(trial.setting.protocol).parts
    for coalition in trial.coalitions():
        held = {(NAMES.index(c) + j) % trial.setting.n for c in coalition for j in range(parts)}
        for _ in range(trial.pinned):
            out.append(
                (
                    coalition,
                    {(i, c): int(rng.integers(1 << trial.setting.width)) for i in range(4) for c in held},
                )
            )
    return out


def _open(trial: Trial, got: dict[str, Any]) -> Array:
    """Add up the parties' results: one number per lane (planes: lowest first)."""
    if isinstance(got["alice"], Planes):
        bits = gather_planes(got, trial.setting.protocol, trial.setting.n).astype(np.int64)
        return (bits << np.arange(len(bits))[:, None]).sum(axis=0)
    if got["alice"].parts[0].dtype == np.uint8:
        return np.bitwise_xor.reduce([got[n].parts[0] for n in NAMES[: trial.setting.n]])
    ring = Ring(trial.setting.width)
    return np.asarray(ring.to_ints(gather(got, trial.setting.protocol, ring, trial.setting.n))).reshape(-1)


def signed(value: int, width: int) -> int:
    """Return the representative of value mod 2^width in [−2^(width−1), 2^(width−1))."""
    half = 1 << (width - 1)
    return (value + half) % (1 << width) - half


def values(low: int, high: int, count: int = 1) -> list[Secrets]:
    """Return all tuples of `count` numbers in [low, high)."""
    return list(product(range(low, high), repeat=count))


# -- the table -----------------------------------------------------------------------------------------------


def _mul(s: Secrets) -> Program:
    return lambda p, lab: p.mul(lab.share(s[0]), lab.share(s[1]))


def mul_twice(s: Secrets) -> Program:
    def program(p: Any, lab: Lab) -> Share:
        x, y = lab.share(s[0]), lab.share(s[1])
        p.mul(x, y)
        return p.mul(x, x)

    return program


def _mul_in_two_rings(s: Secrets) -> Program:
    """Multiply, and once more in a narrower ring: that takes fresh masks, too."""

    def program(p: Any, lab: Lab) -> Share:
        x, y, q = lab.share(s[0]), lab.share(s[1]), p.over(Ring(1))
        p.mul(x, y)
        return q.mul(*(v.map(q.ring.low) for v in (y, x)))

    return program


def _matmul(s: Secrets) -> Program:
    def program(p: Any, lab: Lab) -> Share:
        def matrix(pair: Secrets, *shape: int) -> Share:
            a, b = (lab.share(v) for v in pair)
            return Share(
                tuple(np.stack(c, axis=-1).reshape(-1, *shape) for c in zip(a.parts, b.parts, strict=True))
            )

        return p.matmul(matrix(s[:2], 1, 2), matrix(s[2:], 2, 1))

    return program


def _dot(s: Secrets) -> Program:
    def program(p: Any, lab: Lab) -> Share:
        def rows(a: int, b: int) -> Share:
            pair = zip(lab.share(a).parts, lab.share(b).parts, strict=True)
            return Share(tuple(np.stack(ps) for ps in pair))

        return p.dot(rows(*s[:2]), rows(*s[2:]))

    return program


def _and(s: Secrets) -> Program:
    return lambda p, lab: p.and_(lab.share_bit(s[0]), lab.share_bit(s[1]))


def _unary(name: str, *amount: int) -> Callable[[Secrets], Program]:
    return lambda s: lambda p, lab: getattr(p, name)(lab.share(s[0]), *amount)


def _as_turned(r: int, name: str, *amount: int) -> Callable[[Secrets], Program]:
    """Run `name` with the roles turned by r, on one operand."""
    return lambda s: lambda p, lab: getattr(p.turned(r), name)(lab.share(s[0]), *amount)


def _select_turned(r: int) -> Callable[[Secrets], Program]:
    return lambda s: lambda p, lab: p.turned(r).select(lab.share_bit(s[0]), lab.share(s[1]))


def _to_arith_turned(r: int) -> Callable[[Secrets], Program]:
    return lambda s: lambda p, lab: p.turned(r).to_arith(lab.share_bit(s[0]))


def on_thirds(name: str, *amount: Any) -> Callable[[Secrets], Program]:
    """Run `name` on three elements of every lane at once, one in each third, so that every party has every role."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Any:
            assert len(turns.thirds(3 * lab.world.lanes)) == 3
            if name in ("to_arith", "select"):
                bits = [lab.share_bit(v & 1) for v in s]
                planes = Planes(
                    tuple(np.concatenate(c, axis=1) for c in zip(*(b.parts for b in bits), strict=True)),
                    3 * lab.world.lanes,
                )
                if name == "to_arith":
                    return p.to_arith(planes)
            each = [lab.share(v) for v in s]
            x = Share(tuple(np.concatenate(c) for c in zip(*(e.parts for e in each), strict=True)))
            return p.select(planes, x) if name == "select" else getattr(p, name)(x, *amount)

        return program

    return of


def _combined(s: Secrets) -> Program:
    """Add up two bits, one of them three times."""

    def program(p: Any, lab: Lab) -> Share:
        bits = stack_planes([lab.share_bit(v) for v in s])
        return p.combine(bits, np.array([[3, 1]], np.uint64), [p.ring.width])[0]

    return program


def _combined_twice(s: Secrets) -> Program:
    """Make two sums of two bits over two rings: no two sums of one call may share a mask."""

    def program(p: Any, lab: Lab) -> Share:
        bits = stack_planes([lab.share_bit(v) for v in s])
        one, two = p.combine(bits, np.array([[1, 0], [0, 1]], np.uint64), [1, 2])
        return p.sub(p.shl(two, 1), one)

    return program


def _multiplied_early(s: Secrets) -> Program:
    return lambda p, lab: p.mul_early(lab.share(s[0]), lab.share(s[1]))


def _entry_early(s: Secrets) -> Program:
    return lambda p, lab: p.matmul_early(*(lab.share(v).reshape(-1, 1, 1) for v in s)).reshape(-1)


def _selected_rounded(s: Secrets) -> Program:
    return lambda p, lab: p.select_trunc(lab.share_bit(s[0]), lab.share(s[1]), 1)


def _sign_rounded(s: Secrets) -> Program:
    return lambda p, lab: p.sign(p.narrowed(lab.share(s[0]), 1), 1)


def _left(s: Secrets) -> Program:
    """Begin two calls before either ends: no two may share a mask."""

    def program(p: Any, lab: Lab) -> Share:
        bits = [lab.share_bit(v) for v in s]
        with p.together():
            one, two = (p.combine(b, np.array([[1]], np.uint64), [p.ring.width])[0] for b in bits)
            assert p.party.index < 1 or len(p.waiting) == 2
        return p.add(one, two)

    return program


def _taken_along(s: Secrets) -> Program:
    """Find a sign, which takes another call along: their messages come in between one another's."""

    def program(p: Any, lab: Lab) -> Share:
        bit, x = lab.share_bit(s[0]), lab.share(s[1])
        with p.later():
            one = p.combine(bit, np.array([[1]], np.uint64), [p.ring.width])[0]
        assert p.party.index < 1 or p.waiting
        with p.taking_along():
            p.sign(x, 1)
        assert p.party.index < 1 or not p.waiting
        return one

    return program


def _multiplied_into(s: Secrets) -> Program:
    return lambda p, lab: p.mul_into(lab.share(s[0]), lab.share(s[1]), 0, Ring(p.ring.width + 1))


def _multiplied_and_cut(s: Secrets) -> Program:
    return lambda p, lab: p.mul_into(lab.share(s[0]), lab.share(s[1]), 1, Ring(p.ring.width))


def _climbed(climb: Callable[..., Planes], levels: Any, r: int = 0) -> Callable[[Secrets], Program]:
    """Climb a tree of AND; of several rows in a level, no two may share a mask."""
    return lambda s: lambda p, lab: climb(p.turned(r), stack_planes([lab.share_bit(v) for v in s]), levels)


def _carried(s: Secrets) -> int:
    """Return the carry out of blocks: P of all but the lowest, then G."""
    above, out = s[: len(s) // 2], s[len(s) // 2]
    for propagate, generate in zip(above, s[len(s) // 2 + 1 :], strict=True):
        out = generate ^ (propagate & out)
    return out


def _two_planes(name: str) -> Callable[[Secrets], Program]:
    """Run `name` on two planes at once: the rows of one call may share no mask either."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Any:
            operands = [stack_planes([lab.share_bit(v) for v in s[i : i + 2]]) for i in range(0, len(s), 2)]
            return getattr(p, name)(*operands)

        return program

    return of


def _to_arith(s: Secrets) -> Program:
    return lambda p, lab: p.to_arith(lab.share_bit(s[0]))


def _digit_ranks(s: Secrets) -> Program:
    """Rank one row in every lane: it stays, but all messages are sent."""

    def program(p: Any, lab: Lab) -> Share:
        digit = stack_planes([lab.share_bit(v) for v in s])
        return p.digit_ranks(digit, lab.world.lanes, 1).reshape(lab.world.lanes)

    return program


def _select(s: Secrets) -> Program:
    return lambda p, lab: p.select(lab.share_bit(s[0]), lab.share(s[1]))


def _pair(lab: Lab, first: int, second: int) -> Column:
    """Share two rows of one block in every lane, as elements of the ring."""
    x, y = lab.share(first), lab.share(second)
    parts = zip(x.parts, y.parts, strict=True)
    return Column(Share(tuple(np.stack(ps, axis=1) for ps in parts)), lab.p.ring)


def _permuted(name: str) -> Callable[[Secrets], Program]:
    """Give the first row of what `name` makes of two rows; the first secret says whether `at` swaps them."""

    def of(s: Secrets) -> Program:
        def program(p: Any, lab: Lab) -> Share:
            x = _pair(lab, s[1], s[2])
            at = _pair(lab, s[0], 1 - s[0])
            (out,) = getattr(p, name)(at, [x])
            return Share(tuple(np.ascontiguousarray(part[:, 0]) for part in out.share.parts))

        return program

    return of


def _shuffled(s: Secrets, to: tuple[str, ...] = ()) -> Program:
    def program(p: Any, lab: Lab) -> Share:
        (out,) = p.shuffle([_pair(lab, s[0], s[1])])
        p.reveal(out.share, to)
        return Share(tuple(np.ascontiguousarray(part[:, 0]) for part in out.share.parts))

    return program


def _input(owner: str) -> Callable[[Secrets], Program]:
    def of(s: Secrets) -> Program:
        return lambda p, lab: p.share_input(
            owner, lab.constant(s[0]) if p.party.name == owner else None, (lab.world.lanes,)
        )

    return of


def _input_bits(owner: str) -> Callable[[Secrets], Program]:
    def of(s: Secrets) -> Program:
        bit = lambda lab: np.full(lab.world.lanes, s[0], np.uint8)  # noqa: E731
        return lambda p, lab: p.share_bits(
            owner, bit(lab) if p.party.name == owner else None, (lab.world.lanes,)
        )

    return of


def _table(setting: Callable[..., Setting], owners: tuple[str, ...]) -> list[Trial]:
    """Return what both protocols are tried on, where the enumeration is small enough."""
    out = [
        Trial("mul", setting(2), _mul, values(-2, 2, 2), lambda s: signed(s[0] * s[1], 2)),
        Trial("and_", setting(1), _and, values(0, 2, 2), lambda s: s[0] & s[1]),
        Trial("trunc", setting(3), _unary("trunc", 1), values(-2, 2), None),
        Trial("sign 1", setting(2), _unary("sign", 1), values(-2, 2), lambda s: s[0] < 0),
        Trial("sign 0", setting(2), _unary("sign", 0), values(-1, 1), lambda s: s[0] < 0),
        Trial("is_zero", setting(2), _unary("is_zero", 2), values(-1, 2), lambda s: s[0] == 0),
        Trial("decompose 2", setting(2), _unary("decompose", 2), values(0, 4), lambda s: s[0]),
        Trial("to_arith", setting(2), _to_arith, values(0, 2), lambda s: s[0]),
        Trial("select", setting(2), _select, list(product((0, 1), range(-2, 2))), lambda s: s[0] * s[1]),
        Trial("sign tree", setting(3), _unary("sign", 2), values(-4, 4), lambda s: s[0] < 0, radix=1),
        Trial("is_zero tree", setting(3), _unary("is_zero", 2), values(-3, 4), lambda s: s[0] == 0, radix=1),
        Trial("decompose", setting(3), _unary("decompose", 3), values(0, 8), lambda s: s[0], pinned=3),
        Trial("floor", setting(3), _unary("trunc_exact", 1), values(-2, 2), lambda s: s[0] // 2, pinned=2),
    ]  # fmt: skip
    for owner in owners:
        out.append(
            Trial(f"input by {owner}", setting(3), _input(owner), values(-4, 4), lambda s: s[0], owner)
        )
        out.append(
            Trial(f"bit by {owner}", setting(1), _input_bits(owner), values(0, 2), lambda s: s[0], owner)
        )
    return out


def _rep3(width: int) -> Setting:
    return Setting("rep3", width, clients=("carl",))


def _two(width: int) -> Setting:
    return Setting("semi2k", width, 2, "zoe", ("carl",))


def _three(width: int) -> Setting:
    return Setting("semi2k", width, 3, "zoe", ("carl",))


TRIALS = [
    *_table(_rep3, ("alice", "bob", "carol", "carl")),
    Trial("two products", _rep3(1), mul_twice, values(0, 2, 2), None),
    *(
        Trial("products in two rings", setting(2), _mul_in_two_rings, values(-1, 2, 2), None)
        for setting in (_rep3, _two)
    ),
    Trial("dot", _rep3(1), _dot, values(-1, 1, 4), lambda s: signed(s[0] * s[2] + s[1] * s[3], 1)),
    Trial("digit_ranks", _rep3(2), _digit_ranks, values(0, 2), lambda s: 0),
    Trial("digit_ranks of two bits", _rep3(1), _digit_ranks, values(0, 2, 2), lambda s: 0),
    Trial("shuffle", _rep3(1), _shuffled, values(0, 2, 2), None),
    # Whoever sees the rows come out learns nothing of where each came from: then every factor is needed.
    Trial("shuffle, opened", _rep3(1), lambda s: _shuffled(s, NAMES[:3]), [(0, 1), (1, 0)], None),
    *(
        Trial(
            name,
            _rep3(1),
            _permuted(name),
            [(0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 0, 0)],
            lambda s: -s[1 + s[0]],
            pinned=1,
            alternate=True,
        )
        for name in ("place", "fetch")
    ),
    Trial(
        "matmul",
        _rep3(2),
        _matmul,
        values(-2, 0, 4),
        lambda s: signed(s[0] * s[2] + s[1] * s[3], 2),
        pinned=2,
    ),
    Trial(
        "to_arith of two planes", Setting("rep3", 1), _two_planes("to_arith"), values(0, 2, 2), None, pinned=3
    ),
    Trial(
        "and_ of two planes",
        Setting("rep3", 1),
        _two_planes("and_"),
        values(0, 2, 4),
        lambda s: (s[0] & s[2]) + 2 * (s[1] & s[3]),
        pinned=3,
    ),
    Trial(
        "tree of AND, all alike",
        Setting("rep3", 1),
        _climbed(trees.climb_alike, trees.equal_plans(4)),
        values(0, 2, 4),
        lambda s: min(s),
        pinned=3,
    ),
    *(
        Trial(
            f"tree of AND turned by {r}",
            Setting("rep3", 1),
            _climbed(trees.climb_unlike, trees.equal_levels(((2, 2), (2,))), r),
            values(0, 2, 4),
            lambda s: min(s),
            pinned=3,
        )
        for r in range(3)
    ),
    *(
        Trial(
            f"AND of {k} turned by {r}",
            Setting("rep3", 1),
            _climbed(trees.climb_unlike, trees.equal_levels(((k,),)), r),
            values(0, 2, k),
            lambda s: min(s),
            pinned=2,
        )
        for k, r in ((3, 0), (3, 1), (3, 2), (4, 0))
    ),
    *(
        Trial(
            f"carry of {split}",
            Setting("rep3", 1),
            _climbed(trees.climb_unlike, trees.carry_levels(sum(split[0]), split)),
            values(0, 2, 2 * sum(split[0]) - 1),
            _carried,
            pinned=1,
        )
        for split in (((3,),), ((1, 2), (2,)))
    ),
    *(
        Trial(
            f"prefix of ANDs turned by {r}",
            Setting("rep3", 1),
            _climbed(trees.climb_unlike, leading.prefix_ways(3, (1, 2))[0], r),
            values(0, 2, 3),
            lambda s: s[0] + 2 * (s[0] & s[1]) + 4 * min(s),
            pinned=2,
        )
        for r in range(3)
    ),
    Trial(
        "prefix of carries",
        Setting("rep3", 1),
        _climbed(trees.climb_unlike, bit_rows.prefix_ways(3)[0]),
        values(0, 2, 5),
        lambda s: s[2] + 2 * (s[3] ^ s[0] & s[2]) + 4 * (s[4] ^ s[1] & (s[3] ^ s[0] & s[2])),
        pinned=1,
    ),
    Trial(
        "decompose, two pairs",
        Setting("rep3", 4),
        _unary("decompose", 4),
        [(0,), (5,), (11,), (15,)],
        lambda s: s[0],
        pinned=5,
    ),
    # Large arrays: the roles are turned, by r on the whole array, and on thirds of it at once.
    *(
        trial
        for r in (1, 2)
        for trial in (
            Trial(f"trunc turned by {r}", Setting("rep3", 3), _as_turned(r, "trunc", 1), values(-2, 2), None),
            Trial(
                f"sign turned by {r}",
                Setting("rep3", 2),
                _as_turned(r, "sign", 1),
                values(-2, 2),
                lambda s: s[0] < 0,
            ),
            Trial(
                f"decompose turned by {r}",
                Setting("rep3", 2),
                _as_turned(r, "decompose", 2),
                values(0, 4),
                lambda s: s[0],
            ),
            Trial(
                f"to_arith turned by {r}",
                Setting("rep3", 2),
                _to_arith_turned(r),
                values(0, 2),
                lambda s: s[0],
            ),
            Trial(
                f"is_zero turned by {r}",
                Setting("rep3", 2),
                _as_turned(r, "is_zero", 2),
                values(-1, 2),
                lambda s: s[0] == 0,
            ),
            Trial(
                f"select turned by {r}",
                Setting("rep3", 2),
                _select_turned(r),
                list(product((0, 1), range(-2, 2))),
                lambda s: s[0] * s[1],
            ),
        )
    ),
    *(
        Trial(
            f"{name} on thirds",
            Setting("rep3", width),
            on_thirds(name, *amount),
            secrets,
            None,
            pinned=1,
            thirds=True,
        )
        for name, width, amount, secrets in (
            ("to_arith", 1, (), [(0, 0, 0), (1, 0, 1)]),
            ("select", 1, (), [(0, 0, 0), (1, 1, 1), (0, 1, 0)]),
            ("sign", 2, (1,), [(0, 0, 0), (-1, 1, -2)]),
            ("decompose", 2, (2,), [(0, 0, 0), (3, 1, 2)]),
            ("trunc", 3, (1,), [(0, 0, 0), (-2, 1, -1)]),
            ("factored", 1, (Parity(3, 1),), [(0, 0, 0), (1, 0, 1), (0, 1, 1)]),
        )
    ),
    *(
        Trial(
            f"factored turned by {r}",
            Setting("rep3", 3),
            lambda s, r=r: lambda p, lab: p.turned(r).factored(lab.share(s[0]), Parity(3, 1)),
            values(-1, 1),
            None,
            pinned=3,
        )
        for r in (1, 2)
    ),
    Trial("factored", _rep3(3), of_number(Parity(3)), values(-2, 2), lambda s: (-1) ** (s[0] & 1)),
    Trial(
        "factored, lifted", _rep3(4), of_number(Parity(3)), values(-1, 1), lambda s: 1 + 2 * s[0], pinned=3
    ),
    Trial("factored, lifted and cut", _rep3(3), of_number(Parity(3, 1)), values(-1, 1), None, pinned=3),
    Trial("factored, sines", _rep3(2), of_number(QUARTERS), values(-2, 2), lambda s: 1 if s[0] >= 0 else -1),
    Trial(
        "factored, sines lifted",
        _rep3(4),
        of_number(QUARTERS),
        values(0, 4),
        lambda s: 1 if s[0] < 2 else -1,
        pinned=1,
    ),
    Trial("factored, powers", _rep3(1), of_number(DOUBLE), values(0, 2), lambda s: s[0] - 1),
    Trial(
        "factored into a narrow ring",
        Setting("rep3", 1),
        of_number(Parity(3, 1)),
        values(0, 2),
        None,
        pinned=3,
    ),
    Trial("below, two places", _rep3(3), _unary("below", 2, (1, 0)), values(0, 4), None, pinned=2),
    Trial(
        "below, a block of two",
        _rep3(3),
        _unary("below", 2, (0,)),
        values(0, 4),
        lambda s: s[0] == 0,
        pinned=2,
    ),
    Trial("combine", _rep3(2), _combined, values(0, 2, 2), lambda s: signed(3 * s[0] + s[1], 2), pinned=2),
    Trial("combine, two sums", _rep3(2), _combined_twice, values(0, 2, 2), None, pinned=2),
    Trial("mul_early", _rep3(2), _multiplied_early, values(-2, 2, 2), lambda s: signed(s[0] * s[1], 2)),
    Trial("mul_early, three bits", _rep3(3), _multiplied_early, [(0, 0), (3, -4), (-1, 2)], None, pinned=2),
    Trial("matmul_early", _rep3(2), _entry_early, values(-2, 2, 2), lambda s: signed(s[0] * s[1], 2)),
    Trial("select_trunc", _rep3(3), _selected_rounded, SELECTED, None, pinned=6),
    Trial("sign of a number rounded later", _rep3(3), _sign_rounded, values(-1, 2), None),
    Trial("two calls left", _rep3(1), _left, values(0, 2, 2), lambda s: signed(s[0] + s[1], 1)),
    Trial(
        "a sign takes along a call",
        _rep3(2),
        _taken_along,
        [(b, x) for b in (0, 1) for x in (-2, -1, 0, 1)],
        lambda s: s[0],
    ),
    Trial("mul_into", _rep3(3), _multiplied_into, [(0, 0), (1, 1), (1, -1)], None, pinned=1),
    Trial("mul_into, cut", _rep3(3), _multiplied_and_cut, [(0, 0), (1, 1), (1, -1)], None, pinned=1),
    *(
        Trial(
            f"{name} turned by {r}",
            Setting("rep3", 2 + (name != "combine")),
            lambda s, r=r, fn=fn: lambda p, lab: fn(s)(p.turned(r), lab),
            secrets,
            None,
            pinned=6,
        )
        for r in (1, 2)
        for name, fn, secrets in (
            ("below", _unary("below", 2, (0,)), values(0, 4)),
            ("combine", _combined, values(0, 2, 2)),
            ("mul_into", _multiplied_and_cut, [(0, 0), (1, 1), (1, -1)]),
            ("mul_early", _multiplied_early, [(0, 0), (3, -4), (-1, 2), (3, 1)]),
            ("select_trunc", _selected_rounded, SELECTED),
        )
    ),
    *_table(_two, ("alice", "bob", "carl")),
    Trial("matmul", _two(1), _matmul, values(-1, 1, 4), lambda s: signed(s[0] * s[2] + s[1] * s[3], 1)),
    Trial("mul", _three(1), _mul, values(-1, 1, 2), lambda s: signed(s[0] * s[1], 1)),
    Trial("and_", _three(1), _and, values(0, 2, 2), lambda s: s[0] & s[1]),
    Trial("sign", _three(2), _unary("sign", 1), values(-2, 2), lambda s: s[0] < 0),
    Trial("input by bob", _three(2), _input("bob"), values(-2, 2), lambda s: s[0], "bob"),
    Trial("input by carl", _three(2), _input("carl"), values(-2, 2), lambda s: s[0], "carl"),
]


def ids(trial: Trial) -> str:
    return f"{trial.setting.protocol}-{trial.setting.n}-{trial.name}"
