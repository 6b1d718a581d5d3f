"""Random programs: every protocol opens what `clear` opens. A failure is a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tacit import testing
from tacit.algebra.ring import Ring
from tacit.core.share import Share

Array = npt.NDArray[Any]
SETTINGS = testing.settings(3)
N = 9


def program(seed: int, width: int) -> Callable[[Any], Array | None]:
    """Return a program of a dozen exact operations on values that provably fit the ring."""

    def body(p: Any) -> Array | None:
        rng, ring = np.random.default_rng(seed), Ring(width)
        values: list[tuple[Share, int]] = []
        for owner in ("alice", "alice"):
            drawn = rng.integers(-50, 50, N)
            mine = p.party.name == owner
            values.append((p.share_input(owner, ring.encode_ints(drawn) if mine else None, (N,)), 6))
        for _ in range(12):
            (x, a), (y, b) = (values[rng.integers(len(values))] for _ in range(2))
            choice = rng.integers(8)
            if choice == 0 and a + b < width - 4:
                values.append((p.mul(x, y), a + b))
            elif choice == 1:
                values.append((p.select(p.sign(p.sub(x, y), max(a, b) + 1), x), a))
            elif choice == 2:
                values.append((p.to_arith(p.is_zero(x, a + 1)).reshape(N), 1))
            elif choice == 3:
                f = int(rng.integers(0, a + 1))
                values.append((p.trunc_exact(x, f), a - f + 1))
            elif choice == 4 and max(a, b) < width - 6:
                values.append((p.sub(x, y), max(a, b) + 1))
            elif choice == 5:
                bits = p.decompose(x, a + 1)
                both = p.to_arith(p.and_(bits, p.invert(p.decompose(y, a + 1))))
                values.append((both[0], 1))
            elif choice == 6 and a + 4 + b < width - 8:
                values.append((p.matmul(x.reshape(3, 3), y.reshape(3, 3)).reshape(N), a + b + 2))
            else:
                values.append((p.add_public(p.neg(x), ring.constant(7)), max(a, 3) + 1))
            if values[-1][1] > width - 6:
                values.pop()
        ends = [p.reveal(x, ["alice"]) for x, _ in values]
        return None if ends[0] is None else np.stack(ends)

    return body


def _compare(protocol: str, n: int, dealer: str, seed: int) -> None:
    width = (32, 64, 100)[seed % 3]
    fn = program(seed, width)
    got = testing.run(protocol, width, fn, n=n, dealer=dealer, seed=seed)["alice"]
    want = testing.run("clear", width, fn)["alice"]
    assert got is not None and want is not None
    assert np.array_equal(got, want), f"{protocol} width {width} seed {seed}"


@pytest.mark.parametrize("block", range(4))
@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_random_programs(protocol: str, n: int, dealer: str, block: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        _compare(protocol, n, dealer, seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
@pytest.mark.parametrize(("protocol", "n", "dealer"), SETTINGS)
def test_many_random_programs(protocol: str, n: int, dealer: str, block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        _compare(protocol, n, dealer, seed)
