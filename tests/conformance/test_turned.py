"""Turned roles on arrays of every size: the same results as `clear`, and nobody writes to what was sent.

The threshold is lowered, so that thirds are empty, shorter than a word, and uneven.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from threading import current_thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from conformance_cases import EXACT, ROUNDED, WIDTHS, cases, exact_quotient
from test_conformance import SEED, opened, run

from tacit import kernels, testing
from tacit.algebra.ring import Ring
from tacit.core.party import Party
from tacit.core.timing import LOOPBACK
from tacit.protocols.rep3 import turns

ROW_MOVERS = ("place", "fetch")


@pytest.fixture(params=["turned", "in blocks", "one role in blocks", "as they are"])
def _every_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "as they are":
        return
    roles = 1 if request.param == "one role in blocks" else 3
    monkeypatch.setattr(turns, "TURNED_FROM", 0)
    monkeypatch.setattr(turns, "LEAST", 0 if roles == 3 else 1 << 60)
    assert len(turns.thirds(1)) == roles
    if request.param != "turned":  # as on links that are slower than loopback, and of the fewest elements
        monkeypatch.setattr(turns, "ROUNDS_WORTH", 0)
        monkeypatch.setattr(turns, "LOOPBACK", replace(LOOPBACK, bytes_per_s=LOOPBACK.bytes_per_s + 1))
        monkeypatch.setattr(turns, "BLOCK_BYTES", 1)
        assert len(turns.pieces(400, LOOPBACK, 64)) == 7


@pytest.fixture
def _sent_is_never_written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Links take arrays without a copy and may encrypt them later: compare at the end what was sent with what is."""
    sent: list[tuple[str, bytes, npt.NDArray[Any]]] = []
    send = Party.send

    def noted(self: Party, to: str, label: str, *parts: npt.NDArray[Any]) -> None:
        sent.extend((label, _digest(part), part) for part in parts)
        send(self, to, label, *parts)

    monkeypatch.setattr(Party, "send", noted)
    yield
    assert sent
    changed = {label for label, before, part in sent if _digest(part) != before}
    assert not changed, f"written to after sending: {changed}"


def _digest(part: npt.NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(part).tobytes(), digest_size=8).digest()


@pytest.mark.usefixtures("_every_size", "_sent_is_never_written")
@pytest.mark.parametrize("name", [n for n in EXACT if n not in ROW_MOVERS])
@pytest.mark.parametrize("width", WIDTHS)
def test_exact(width: int, name: str) -> None:
    ring = Ring(width)
    table = cases(name, ring, SEED)
    got = run("rep3", width, lambda p: [c.run(p) for c in table], 3, "")
    want = run("clear", width, lambda p: [c.run(p) for c in table], 1, "")["alice"]
    for i, case in enumerate(table):
        a = opened([got[party][i] for party in got], "rep3", ring, 3)
        b = opened([want[i]], "clear", ring, 1)
        assert a.shape == b.shape and np.array_equal(a, b), f"{name} {case.tag} width {width} seed {SEED}"


@pytest.mark.usefixtures("_every_size", "_sent_is_never_written")
@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("width", WIDTHS)
def test_rounded(width: int, name: str) -> None:
    ring = Ring(width)
    table = cases(name, ring, SEED)
    got = run("rep3", width, lambda p: [c.run(p) for c in table], 3, "")
    for i, case in enumerate(table):
        f = int(case.tag.split()[0].removeprefix("f=")) if case.tag.startswith("f=") else 3
        floor, _ = exact_quotient(name, case, f)
        a = opened([got[party][i] for party in got], "rep3", ring, 3)
        error = (a - floor).reshape(-1)
        assert a.shape == floor.shape
        assert np.all((error == 0) | (error == 1)), f"{name} {case.tag} width {width} seed {SEED}"


@pytest.mark.usefixtures("_every_size", "_sent_is_never_written")
@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("width", [32, 64, 128])
def test_a_product_some_rows_at_a_time(width: int, turn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks begin and end within rows; an operand may lie in memory as its transpose."""
    for name in ("ROWS", "ROW_ELEMENTS", "ROW_PRODUCTS", "COLUMNS"):
        monkeypatch.setattr(turns, name, 3)
    done: dict[str, list[tuple[int, int]]] = {}  # by party: rows computed, and what is sent
    by_rows, send = kernels.rep3_matmul_rows, Party.send

    def sent(self: Party, to: str, label: str, *parts: npt.NDArray[Any]) -> None:
        done.setdefault(current_thread().name, []).append((-1, 0))
        send(self, to, label, *parts)

    def noted(*operands: Any, bits: int) -> Any:
        rows = by_rows(*operands, bits=bits)

        def some(start: int, out: npt.NDArray[Any], role: int) -> None:
            done.setdefault(current_thread().name, []).append((start, len(out)))
            rows(start, out, role)

        return some

    monkeypatch.setattr(kernels, "rep3_matmul_rows", noted)
    monkeypatch.setattr(Party, "send", sent)
    ring, (m, k, n), f = Ring(width), (37, 20, 23), 5
    x, y = (np.arange(size, dtype=object) * 7 % 50 - 25 for size in (m * k, k * n))
    x, y = x.reshape(m, k), y.reshape(k, n)

    def body(p: Any) -> Any:
        a, b = (
            testing.scatter(p, ring.encode_ints(x.T if turn else x)),
            testing.scatter(p, ring.encode_ints(y)),
        )
        return p.matmul_trunc(a.map(np.transpose) if turn else a, b, f)

    got = ring.to_ints(testing.gather(testing.run("rep3", width, body), "rep3", ring))
    error = got - (x @ y >> f)
    assert np.all((error == 0) | (error == 1))
    rows = turns.rows_at_once(m, k, n, LOOPBACK)
    each = [(start, min(rows, m - start)) for start in range(0, m, rows)] if rows else []
    assert len(done) == 3 and rows in (0, 3)
    for events in done.values():
        computed = [event for event in events if event[1]]
        assert sorted(computed) == each
        assert not rows or events.index((-1, 0)) < events.index(computed[4]), (
            "blocks leave before all is computed"
        )
