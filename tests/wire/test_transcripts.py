"""The wire format is committed: any change of a message, its label, order or mask is deliberate.

A hash covers every message of one functionality under fixed keys. After a deliberate change, raise
`WIRE_VERSION` in core/party.py if old and new must not meet, and regenerate the file with

    PYTHONPATH=src python tests/wire/test_transcripts.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.core.party import WIRE_VERSION
from tacit.core.rows import Column, index_ring
from tacit.core.share import Planes, Share, stack_planes
from tacit.gadgets.waves import Powers, Series, Waves
from tacit.net.memory import Hub
from tacit.protocols.rep3.turns import TURNED_FROM
from tacit.testing import NAMES, scatter

Array = npt.NDArray[Any]
FILE = Path(__file__).with_name("transcripts.json")
SEED = 2
N = 67
SETTINGS = [*((*each, 64) for each in testing.settings(3)), ("rep3", 3, "", 100), ("semi2k", 2, "zoe", 31)]


def _numbers(p: Any, scale: int) -> Array:
    return p.ring.encode_ints([(i * scale) % 1009 - 504 for i in range(N)])


def _x(p: Any, owner: str = "alice", scale: int = 37) -> Share:
    return p.share_input(owner, _numbers(p, scale) if p.party.name == owner else None, (N,))


def _bits(p: Any, owner: str = "bob") -> Planes:
    value = (np.arange(N) % 3 == 0).astype(np.uint8)
    return p.pack(p.share_bits(owner, value if p.party.name == owner else None, (N,)))


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "share_input by a compute party": lambda p: _x(p),
    "share_input by a client": lambda p: [_x(p, "carl"), _x(p, "carl", 11)],
    "share_bits by a compute party": lambda p: _bits(p),
    "share_bits by a client": lambda p: _bits(p, "carl"),
    "reveal": lambda p: [p.reveal(_x(p), [to]) for to in ("alice", "bob", "carl")],
    "reveal_bits": lambda p: [p.reveal_bits(p.unpack(_bits(p), (N,)), [to]) for to in ("alice", "carl")],
    "mul": lambda p: p.mul(_x(p), _x(p, "bob")),
    "matmul": lambda p: p.matmul(_x(p).reshape(1, N), _x(p, "bob").reshape(N, 1)),
    "and_": lambda p: p.and_(_bits(p), _bits(p, "alice")),
    "and_all": lambda p: p.and_all(stack_planes([_bits(p), _bits(p, "alice")] * 5)),
    "trunc": lambda p: p.trunc(_x(p), 5),
    "trunc_exact": lambda p: p.trunc_exact(_x(p), 5),
    "mul_trunc": lambda p: p.mul_trunc(_x(p), _x(p, "bob"), 5),
    "matmul_trunc": lambda p: p.matmul_trunc(_x(p).reshape(1, N), _x(p, "bob").reshape(N, 1), 5),
    "sign": lambda p: p.sign(_x(p), 22),
    "is_zero": lambda p: p.is_zero(_x(p), 22),
    "decompose": lambda p: p.decompose(_x(p), 22),
    "to_arith": lambda p: p.to_arith(_bits(p)),
    "select": lambda p: p.select(_bits(p), _x(p)),
    "dot": lambda p: p.dot(_x(p).reshape(1, N), _x(p, "bob").reshape(1, N)),
    "two calls": lambda p: p.mul(p.mul(_x(p), _x(p)), _x(p)),
}


def _column(p: Any) -> Column:
    return Column(_x(p).reshape(1, N), p.ring)


def _order(p: Any) -> Column:
    """Return places that the parties hold as constants, in the narrow ring."""
    narrow = index_ring(N)
    places = narrow.encode_ints([(i * 5) % N for i in range(N)])
    return Column(p.over(narrow).constant(places).reshape(1, N), narrow)


def _many(p: Any) -> Share:
    """Share one element more than from where on roles are turned."""
    return scatter(p, p.ring.encode_ints(np.arange(TURNED_FROM + 1) - 6000))


def _turned(p: Any) -> Any:
    x = _many(p)
    low = p.sign(x, 20)
    y = p.mul_trunc(p.select(low, x), x, 5)
    return p.trunc_exact(y, 3), p.to_arith(p.decompose(y, 9)), p.is_zero(y, 11)


PERMUTED: dict[str, Callable[[Any], Any]] = {
    "digit_ranks": lambda p: p.over(index_ring(N)).digit_ranks(_bits(p), 1, N),
    "shuffle": lambda p: p.shuffle([_column(p)]),
    "place": lambda p: p.place(_order(p), [_column(p)]),
    "fetch": lambda p: p.fetch(_order(p), [_column(p)]),
    "turned roles": _turned,
    "below": lambda p: p.below(_x(p), 40, (37, 35, 10)),
    "mul_early": lambda p: p.mul_early(_x(p), p.shl(_x(p), 3)),
    "matmul_early": lambda p: p.matmul_early(_x(p).reshape(1, N), _x(p, "bob").reshape(N, 1)),
    "select_trunc": lambda p: p.select_trunc(p.sign(p.narrowed(_x(p), 5), 22), _x(p), 5),
}
"""What rep3 alone realises."""
WORDS: dict[str, Callable[[Any], Any]] = {
    "factored": lambda p: p.factored(_x(p), _waves()),
    "factored, powers": lambda p: p.factored(_x(p), Powers(1 << 40, 1 << 61, 4, 2, -2, 12, 12, 40, 20)),
    "factored, turned roles": lambda p: p.factored(_many(p), _waves()),
    "factored into a narrow ring": lambda p: p.over(Ring(20)).factored(_x(p), _waves()),
    "combine": lambda p: p.combine(
        p.below(_x(p), 40, (37, 35)), np.array([[3, 5], [7, 9]], np.uint64), [30, 50]
    ),
    "mul_into": lambda p: p.over(Ring(40)).mul_into(*[_x(p).map(Ring(40).reduce)] * 2, 9, p.ring),
    "mul_into fewer bits": lambda p: p.over(Ring(40)).mul_into(_x(p), _x(p, "bob"), 9, Ring(31)),
    "matmul_into": lambda p: p.over(Ring(40)).matmul_into(
        _x(p).reshape(1, N), _x(p, "bob").reshape(N, 1), 9, p.ring
    ),
    "matmul_into fewer bits": lambda p: p.matmul_into(
        _x(p).reshape(N, 1), _x(p, "bob")[:2].reshape(1, 2), 9, Ring(20)
    ),
    "trunc_into": lambda p: p.trunc_into(_x(p), 9, Ring(31)),
    "select_narrowed": lambda p: p.over(Ring(20)).select_narrowed(
        p.sign(p.narrowed(_x(p), 9), 22), p.narrowed(_x(p), 9)
    ),
    "into fewer bits, turned roles": lambda p: [
        p.mul_into(_many(p), _many(p), 9, Ring(20)),
        p.trunc_into(_many(p), 9, Ring(20)),
    ],
    "operands of more bits": lambda p: _narrow(p.over(Ring(20)), _x(p), _x(p, "bob")),
}
"""What it realises over rings of one word."""


def _narrow(q: Any, x: Share, y: Share) -> Any:
    """Multiply, select and open over a ring that is narrower than that of the operands."""
    row, column = x.reshape(1, N), y.reshape(N, 1)
    made = q.mul(x, y), q.mul_early(x, y), q.matmul(row, column), q.matmul_early(row, column), q.dot(x, y)
    return made, q.select(_bits(q), x), q.reveal(x, ["bob", "carl"])


def _waves() -> Waves:
    return Waves(Series(0.0, (0.5, 0.25), (0.75, 0.125)), 1 << 40, 20, 12, 48, 20)


def programs(protocol: str, width: int) -> dict[str, Callable[[Any], Any]]:
    """Return the programs that a protocol can run."""
    more = {} if protocol != "rep3" else PERMUTED if width > 64 else {**PERMUTED, **WORDS}
    return {**PROGRAMS, **more}


def hashed(protocol: str, n: int, dealer: str, width: int, name: str) -> str:
    """Return the hash of one functionality's transcript."""
    hub = Hub((*NAMES[:n], "carl", *((dealer,) if dealer else ())), record=True)
    testing.run(
        protocol,
        width,
        programs(protocol, width)[name],
        n=n,
        clients=("carl",),
        dealer=dealer,
        seed=SEED,
        hub=hub,
    )
    return hub.transcript_hash()


def everything() -> dict[str, Any]:
    """Return what the file holds."""
    table = {
        f"{protocol} n={n} width={width}": {
            name: hashed(protocol, n, dealer, width, name) for name in programs(protocol, width)
        }
        for protocol, n, dealer, width in SETTINGS
    }
    return {"wire_version": WIRE_VERSION, "transcripts": table}


@pytest.mark.parametrize(("protocol", "n", "dealer", "width"), SETTINGS)
@pytest.mark.parametrize("name", {**PROGRAMS, **PERMUTED, **WORDS})
def test_transcript(protocol: str, n: int, dealer: str, width: int, name: str) -> None:
    if name not in programs(protocol, width):
        pytest.skip(f"{protocol} does not realise {name}")
    committed = json.loads(FILE.read_text())["transcripts"][f"{protocol} n={n} width={width}"]
    assert hashed(protocol, n, dealer, width, name) == committed[name], (
        f"the messages of {name} have changed; if that is meant, see the top of this file"
    )


def test_file_is_complete() -> None:
    held = json.loads(FILE.read_text())
    assert held["wire_version"] == WIRE_VERSION
    assert set(held["transcripts"]) == {f"{p} n={n} width={w}" for p, n, _, w in SETTINGS}
    for setting, table in held["transcripts"].items():
        assert set(table) == set(programs(setting.split()[0], int(setting.split("=")[-1])))


def test_transcript_does_not_depend_on_the_schedule() -> None:
    hashes = set()
    for lockstep, schedule in ((False, 0), (True, 1), (True, 2)):
        hub = Hub((*NAMES[:3], "carl"), seed=schedule, record=True, lockstep=lockstep)
        testing.run("rep3", 64, PROGRAMS["mul_trunc"], clients=("carl",), seed=SEED, hub=hub)
        hashes.add(hub.transcript_hash())
    assert hashes == {hashed("rep3", 3, "", 64, "mul_trunc")}


if __name__ == "__main__":
    FILE.write_text(json.dumps(everything(), indent=1) + "\n")
    print(f"wrote {FILE}")
