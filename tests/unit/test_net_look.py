"""When a reader looks again and again and when it sleeps: a clock and a socket of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tacit.net import stream
from tacit.net.stream import LOOK_S, SLEEPS_WHEN_BUSY, TlsStream


class World:
    """A clock that moves by what letting others run takes, and a socket whose bytes come at given times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.turn, self.arrives = 0.0, LOOK_S / 10, 0.0
        self.turns = self.sleeps = 0
        monkeypatch.setattr(stream.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(stream, "_let_run", self.let_run)
        context: Any = SimpleNamespace(wrap_bio=lambda *_, **__: None)
        self.stream = TlsStream(self, context, server_side=False)  # type: ignore[arg-type]
        self.stream.start_blocking(None)

    def setblocking(self, flag: bool) -> None:
        """Nothing: what waits is this world's clock."""

    def let_run(self) -> None:
        self.turns += 1
        self.now += self.turn

    def recv_into(self, out: memoryview, nbytes: int = 0, flags: int = 0) -> int:
        if self.now < self.arrives:
            if flags & socket.MSG_DONTWAIT:
                raise BlockingIOError
            self.sleeps += 1
            self.now = self.arrives
        out[:1] = b"x"
        return 1

    def wait(self, for_s: float) -> tuple[int, int]:
        """Read what comes after `for_s`; return how often others were let run, and sleeps."""
        turns, sleeps = self.turns, self.sleeps
        self.arrives = self.now + for_s
        self.stream._fill()
        return self.turns - turns, self.sleeps - sleeps


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    yield World(monkeypatch)


def test_what_comes_soon_is_looked_for_and_what_comes_late_is_slept_for(world: World) -> None:
    assert world.wait(0) == (0, 0)
    assert world.wait(LOOK_S * 0.35) == (4, 0)
    turns, sleeps = world.wait(LOOK_S * 3)
    assert 10 <= turns <= 12 and sleeps == 1
    assert world.wait(LOOK_S * 3) == (0, 1)  # the last wait was long: no look
    assert world.wait(LOOK_S * 0.35) == (0, 1)  # neither, but it was short
    assert world.wait(LOOK_S * 0.35) == (4, 0)


def test_beside_a_busy_process_readers_sleep_for_a_while(world: World) -> None:
    world.turn = 10 * stream.BUSY_S  # letting others run once takes that long
    assert world.wait(LOOK_S * 0.5) == (1, 0)
    world.turn = LOOK_S / 10
    for _ in range(SLEEPS_WHEN_BUSY):
        assert world.wait(LOOK_S * 0.35) == (0, 1)
    assert world.wait(LOOK_S * 0.35) == (4, 0)


def test_the_end_of_the_stream_is_found_by_looking_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "recv_into", lambda *_: 0)
    with pytest.raises(ConnectionResetError, match="end of stream"):
        world.stream._fill()


def test_where_others_cannot_be_let_run_readers_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_let_run", None)
    context: Any = SimpleNamespace(wrap_bio=lambda *_, **__: None)
    assert TlsStream(None, context, server_side=False)._sleeps > 10**9  # type: ignore[arg-type]
