"""The clock: small cases by hand, and what holds in every one: no work without a core, no message before it is sent."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tacit.core.clock import FRAME_BYTES, TURNS, Clock
from tacit.core.cost import Cost
from tacit.core.timing import IDLE_S, SLICE_S, Machine, Network

NAMES = ("a", "b", "c")
S = SLICE_S
SLOW = Network("slow", 2_000_000, 1_000_000)  # a second one way, a megabyte a second


def clock(cores: float, wake_s: float = 0.0, network: Network | None = None) -> Clock:
    """Return a clock of three parties who share so many cores of one machine, or who are in a network."""
    machine = Machine({"mul": ((1, 0.0), (2, 0.0))}, wake_s=wake_s, cores=cores / 3, together=network is None)
    return Clock.of(network or SLOW, machine, 3)


def test_nobody_does_anything() -> None:
    assert clock(2).ends() == {}


def test_work_of_one_party_adds_up() -> None:
    for cores in (1, 2, 3, 8):
        made = clock(cores)
        made.work("a", 1)
        made.work("a", 0)
        made.work("a", 2.5)
        assert made.ends() == {"a": pytest.approx(3.5)}


def test_messages_wait_for_the_senders_line_and_half_a_round_trip() -> None:
    made = clock(3, network=SLOW)
    for receiver in ("b", "c"):
        made.send("a", receiver, 10**6 - FRAME_BYTES)
    made.receive("a", "b")
    made.receive("a", "c")
    made.work("a", 0.5)
    made.work("b", 0.25)
    assert made.ends() == pytest.approx({"a": 0.5, "b": 2.25, "c": 3.0})


@pytest.mark.parametrize("cores", [2, math.inf])
def test_work_after_a_wait_takes_longer(cores: float) -> None:
    """Once for each wait: not where the message was there already, and not between processes of one machine."""
    machine = Machine({"mul": ((1, 0.0), (2, 0.0))}, cold_s=0.25, cores=min(1, cores / 3))
    made = Clock.of(SLOW, machine, 3)
    for _ in range(2):
        made.send("a", "b", 0)
        made.receive("a", "b")
    made.work("b", 0.5)
    made.work("c", 2.0)
    made.send("a", "c", 0)
    made.receive("a", "c")
    made.work("c", 0.5)
    assert made.ends() == pytest.approx({"a": 0.0, "b": 1.75, "c": 2.5}, abs=1e-3)
    assert made.sleeps == 1
    near = Clock.of(SLOW, replace(machine, together=True, wake_s=1.0), 3)
    near.send("a", "b", 0)
    near.receive("a", "b")
    near.work("b", 0.5)
    assert near.ends() == {"a": 0.0, "b": 1.5}


def test_between_processes_of_one_machine_bytes_take_no_time_of_their_own_but_waking_does() -> None:
    made = clock(3, wake_s=0.25)
    made.work("a", 1)
    made.send("a", "b", 10**9)
    made.receive("a", "b")
    assert made.ends() == {"a": 1.0, "b": 1.25}


def test_two_parties_alternate_on_any_number_of_cores() -> None:
    """A conversation is one chain of work: a second core helps nobody."""
    for cores in (1, 2, 3):
        made = clock(cores)
        for sender, receiver in (("a", "b"), ("b", "a"), ("a", "b")):
            made.work(sender, S / 2)
            made.send(sender, receiver, 1)
            made.receive(sender, receiver)
        made.work("b", S / 2)
        assert made.ends() == pytest.approx({"a": 1.5 * S, "b": 2 * S})


def test_three_parties_of_short_work_on_two_cores() -> None:
    """The third begins when the first has ended: its own core is taken, and the other is free for too short a time."""
    made = clock(2)
    for name in NAMES:
        made.work(name, S / 4)
    assert made.ends() == pytest.approx({"a": S / 4, "b": S / 4, "c": S / 2})
    alone = clock(1)
    for name in NAMES:
        alone.work(name, S / 4)
    assert alone.ends() == pytest.approx({"a": S / 4, "b": S / 2, "c": 3 * S / 4})


def test_a_core_that_stays_free_takes_over_who_waits_for_another() -> None:
    """a and c, of ten slices each, share a core by turns; b ends after half of one, and its core is free."""
    made = clock(2)
    for name, seconds in (("a", 10 * S), ("b", S / 2), ("c", 10 * S)):
        made.work(name, seconds)
    # At 1 c has its turn; before 3/2 a, who waits with 9 to go, moves to the other core.
    assert made.ends() == pytest.approx({"a": 9.5 * S + IDLE_S, "b": S / 2, "c": 11 * S})
    short = clock(2)
    for name in ("a", "b", "c"):
        short.work(name, S / 2)
    assert short.ends() == pytest.approx({"a": S / 2, "b": S / 2, "c": S})


def test_who_waits_for_a_long_turn_moves_before_that_ends() -> None:
    """a, on c's core, works on and tells b and c, who answer each other: soon these have the other core to themselves.

    A free core that waited for as long as a turn would find, each time, that c has just had its own: 19.9 for b and c.
    """
    made = clock(2)
    for _ in range(500):
        made.work("a", S / 50)
        for one, other in (("b", "c"), ("c", "b")):
            made.work(one, S / 100)
            made.send(one, other, 1)
            made.receive(one, other)
            made.send("a", one, 1)
            made.receive("a", other)
    ends = made.ends()
    assert ends["a"] == pytest.approx(10 * S, rel=0.01)
    assert max(ends["b"], ends["c"]) < 11 * S


def test_long_work_is_shared() -> None:
    for cores, least in ((1, 3.0), (2, 1.5), (3, 1.0)):
        made = clock(cores)
        for name in NAMES:
            made.work(name, 1000 * S)
        assert max(made.ends().values()) / (1000 * S) == pytest.approx(least, rel=1 / TURNS + 0.01)


def test_who_is_ahead_is_in_the_way_of_those_behind() -> None:
    """On one core a's next work delays the answer that b works on; on two it does not."""
    found = []
    for cores in (1, 2):
        made = clock(cores)
        made.send("a", "b", 1)
        made.work("a", S / 2)
        made.receive("a", "b")
        made.work("b", S / 4)
        found.append(made.ends()["b"])
    assert found == pytest.approx([3 * S / 4, S / 4])


def test_something_else_that_takes_part_of_the_cores_slows_who_uses_all_of_them() -> None:
    made = clock(1.5)
    made.work("a", S / 2)
    assert made.ends() == pytest.approx({"a": S / 2})
    made.work("b", S / 2)
    assert made.ends() == pytest.approx(dict.fromkeys("ab", S / 2 / 0.75))


def round_of_work(made: Clock, seconds: float) -> None:
    """Let each party work, tell the next, and wait for the one before."""
    for name in NAMES:
        made.work(name, seconds)
    for sender, receiver in zip("abc", "bca", strict=True):
        made.send(sender, receiver, 1000)
    for sender, receiver in zip("abc", "bca", strict=True):
        made.receive(sender, receiver)


@pytest.mark.parametrize("network", [None, SLOW])
@pytest.mark.parametrize("cores", [1, 2, 3])
def test_more_of_the_same_takes_as_much_time_again(cores: float, network: Network | None) -> None:
    made, whole = clock(cores, network=network), clock(cores, network=network)
    for _ in range(202):
        round_of_work(whole, S / 4)
    round_of_work(made, S / 4)
    begin = made.mark()
    round_of_work(made, S / 4)
    end = made.mark()
    for _ in range(200):
        made.again(begin, end)
    assert max(made.ends().values()) == pytest.approx(max(whole.ends().values()), rel=0.03)


def ahead(made: Clock) -> None:
    """Let a go ahead of b and c, who talk to each other."""
    made.work("a", S)
    made.send("a", "b", 1)
    made.receive("a", "b")
    for sender, receiver in (("b", "c"), ("c", "b")):
        made.work(sender, S / 2)
        made.send(sender, receiver, 1)
        made.receive(sender, receiver)


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_more_of_the_same_where_one_party_is_ahead(cores: float) -> None:
    made, whole = clock(cores), clock(cores)
    for _ in range(202):
        ahead(whole)
    ahead(made)
    begin = made.mark()
    ahead(made)
    end = made.mark()
    for _ in range(200):
        made.again(begin, end)
    assert max(made.ends().values()) == pytest.approx(max(whole.ends().values()), rel=0.03)


def loops(made: Clock, depth: int, times: int, body: Callable[[Clock], None]) -> None:
    """Do something in loops in loops, as the cost model counts them: twice, and then again."""
    if depth == 0:
        body(made)
        return
    loops(made, depth - 1, times, body)
    begin = made.mark()
    loops(made, depth - 1, times, body)
    end = made.mark()
    for _ in range(times - 2):
        made.again(begin, end)


def test_loops_in_loops_are_not_followed_step_by_step_to_the_last() -> None:
    """Steps do not grow with the power, but the time does."""
    made, once = clock(1), clock(1)
    loops(made, 5, 62, lambda c: round_of_work(c, S / 4))
    round_of_work(once, S / 4)
    assert sum(len(party.steps) for party in made._parties.values()) < 1 << 20
    assert max(made.ends().values()) == pytest.approx(62**5 * max(once.ends().values()), rel=0.03)


def test_no_fewer_seconds_than_the_cores_need_for_the_work() -> None:
    """Where a party is ahead in loops in loops, the others seem to have its core to themselves."""
    made = clock(1)
    loops(made, 2, 120, ahead)
    working = {"a": 120**2 * S, "b": 120**2 * S / 2, "c": 120**2 * S / 2}
    total = sum(working.values())
    assert Cost(clock=made, working=working).seconds >= total * (1 - 1e-9)


def somehow(seed: int, made: Clock) -> float:
    """Let three parties do a hundred things; return how long they work."""
    some = random.Random(seed)
    total = 0.0
    for _ in range(100):
        name = some.choice(NAMES)
        seconds = some.choice([0.01, 0.1, 1, 10]) * S * some.random()
        made.work(name, seconds)
        total += seconds
        if some.random() < 0.5:
            other = some.choice([n for n in NAMES if n != name])
            made.send(name, other, 100)
            made.receive(name, other)
    return total


@pytest.mark.parametrize("seed", range(30))
def test_cores_do_no_more_than_they_can_and_are_not_all_idle(seed: int) -> None:
    alone = clock(3)
    total = somehow(seed, alone)
    longest = max(alone.ends().values())  # what follows one from another
    last = total * (1 + 1e-9)
    for cores in (1, 1.5, 2, 2.5):
        made = clock(cores)
        somehow(seed, made)
        took = max(made.ends().values())
        assert max(longest, total / cores) <= took * (1 + 1e-9) and took <= last
        again = clock(cores)
        somehow(seed, again)
        assert again.ends() == made.ends()
    assert took >= longest and max(_on_one(seed).values()) == pytest.approx(total)


def _on_one(seed: int) -> dict[str, float]:
    made = clock(1)
    somehow(seed, made)
    return made.ends()
