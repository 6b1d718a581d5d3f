"""Random sessions under everything at once: delays, repeats, disorder, forgeries, replays, and a cheating person.

The invariant for every honest person: the right texts, or exactly the cheater's name, or waiting for the cheater;
and no two honest people with different texts. A failure prints its seed.
"""

import random
import secrets
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("rbcl")

from report_world import World
from test_report_session import CHEATS

from tacit.crypto.encoding import pack
from tacit.report import envelope, session, steps


def flip(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def second_version(world: World, rng: random.Random, data: bytes) -> bytes:
    """The cheater signs another version of its message: altered anywhere in the body."""
    message = envelope.open_envelope(world.circle, data)
    body = flip(rng, message.body) if message.body else b"x"
    cheater = world.cheater
    assert cheater is not None
    return envelope.seal_envelope(
        world.circle, world.keys[cheater], message.number, message.kind, cheater, body
    ).encode()


def rumour(world: World, rng: random.Random) -> bytes:
    """The cheater opens or answers a dispute about any round, showing any messages that it has."""
    cheater = world.cheater
    assert cheater is not None
    heard = [e.encode() for people in world.states[cheater].heard.values() for e in people.values()]
    shown = rng.sample(heard, rng.randrange(len(heard) + 1))
    kind, number = rng.choice([envelope.SHOW, envelope.RELAY]), rng.randrange(10)
    body = pack([rng.choice([b"\0", b"\1"]), *shown])
    return envelope.seal_envelope(world.circle, world.keys[cheater], number, kind, cheater, body).encode()


def run(seed: int) -> tuple[World, list[bytes]]:
    rng = random.Random(seed)
    people = rng.randrange(3, 6)
    texts = [rng.randbytes(rng.randrange(1, 80)) if rng.random() < 0.4 else None for _ in range(people)]
    cheater = rng.randrange(people) if rng.random() < 0.8 else None
    cheat = CHEATS[rng.choice(list(CHEATS))] if cheater is not None and rng.random() < 0.4 else None
    world = World(texts, seed, cheat=cheat, cheater=cheater, limits=session.Limits(max_cycles=6))
    seen: list[bytes] = []
    split_at = rng.randrange(9) if cheater is not None and cheat is None and rng.random() < 0.6 else None
    split_for = set(rng.sample(range(people), rng.randrange(1, people)))
    stop_at = rng.randrange(9) if cheater is not None and rng.random() < 0.2 else None
    rumours = 0.1 if cheater is not None and rng.random() < 0.4 else 0.0
    other: dict[bytes, bytes] = {}

    def wire(sender: int, receiver: int, data: bytes) -> list[bytes]:
        seen.append(data)
        out = [data]
        if sender == cheater and split_at is not None and receiver in split_for:
            message = envelope.open_envelope(world.circle, data)
            if message.number == split_at and message.kind == envelope.MAIN:
                out = [other.setdefault(data, second_version(world, rng, data))]
        if rng.random() < 0.2:  # repeats, replays, alterations, strangers
            out += [rng.choice(seen), flip(rng, data), rng.randbytes(rng.randrange(60))]
        if sender == cheater and rng.random() < rumours:
            out.insert(rng.randrange(len(out) + 1), rumour(world, rng))
        return out

    world.wire = wire
    if stop_at is not None:
        world.silenced = lambda person, state: person == cheater and state.number >= stop_at
    honest_texts = [t for i, t in enumerate(texts) if t is not None and i != cheater]
    return world.run(shuffle=rng.random() < 0.7), honest_texts


def check(seed: int) -> str:
    world, honest_texts = run(seed)
    bad = set() if world.cheater is None else {world.names[world.cheater]}
    outcomes: list[Any] = []
    for i in world.honest():
        state = world.states[i]
        if state.status == session.BLAMED:
            assert set(world.circle.names(state.culprits)) == bad, (seed, state.culprits, state.reason)
        elif state.status == session.RUNNING:
            assert bad & set(session.waiting_for(state)), (seed, session.waiting_for(state), state.number)
        else:
            outcomes.append(state.delivered)
            missing = [t for t in honest_texts if t not in state.delivered]
            assert not missing or state.cycle == world.limits.max_cycles - 1, (seed, missing)
    assert len(set(outcomes)) <= 1, seed
    return world.states[world.honest()[0]].status


def test_random_sessions() -> None:
    start = secrets.randbits(32)
    for seed in (140, 2978378247, *range(start, start + 12)):  # the first two once found mistakes
        check(seed)


@pytest.mark.slow
def test_many_random_sessions() -> None:
    start = secrets.randbits(32)
    seen = {check(seed) for seed in range(start, start + 300)}
    assert seen == {session.FINISHED, session.BLAMED, session.RUNNING}


def test_a_second_dispute_does_not_make_anybody_contradict_itself() -> None:
    """While one dispute blocks a person, an older one is answered, and the first is not shown in two versions."""
    world = World([None] * 3, 1).run()
    state = replace(world.states[0], number=3, status=session.RUNNING)
    state, first = steps._show(state, 3, False)
    assert state.showing == 3 and len(first) == 1
    state, older = steps._show(state, 1, False)
    assert state.showing == 3 and len(older) == 1
    again, nothing = steps._show(state, 3, True)
    assert again is state and nothing == [] and again.status == session.RUNNING
