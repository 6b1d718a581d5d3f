"""A seeded network for the threshold protocols: it delays, reorders, repeats and alters messages."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tacit.crypto.groups import Randomness
from tacit.crypto.signing import SigningKey
from tacit.threshold import dealing, repair
from tacit.threshold.envelope import EVERYONE, Envelope, Member, Session
from tacit.threshold.keys import KeyShare
from tacit.threshold.plan import Plan, plan_keygen
from tacit.threshold.suites import suite_named

Tamper = Callable[[Envelope, int], Iterable[Envelope]]
"""Turns one sent message into what one receiver gets of it."""


def seeded(seed: object) -> Randomness:
    counter = itertools.count()
    return lambda n: hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(n)


def signing_key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


NAMES = ["", "Ada", "Ben", "Cem", "Dina", "Edo", "Fay", "Gil", "Hua", "Ivo"]


def name_of(i: int) -> str:
    return NAMES[i] if i < len(NAMES) else f"M{i}"


def member(i: int) -> Member:
    return Member(i, name_of(i), signing_key(name_of(i)).public)


def nonces_for(identifiers: Iterable[int], seed: object) -> dict[int, bytes]:
    return {i: hashlib.sha256(f"{seed}/{i}".encode()).digest() for i in identifiers}


def honest(envelope: Envelope, receiver: int) -> Iterable[Envelope]:
    return [envelope]


def run(
    states: dict[int, Any],
    sent: Iterable[tuple[int, Envelope]],
    step: Callable[[Any, Iterable[Envelope]], tuple[Any, list[Envelope]]],
    seed: object = 0,
    tamper: Tamper = honest,
    silent: Iterable[int] = (),
    extra: Iterable[tuple[int, Envelope]] = (),
) -> list[Envelope]:
    """Deliver until nothing moves, in a seeded order, some messages twice; return the transcript."""
    rng = random.Random(str(seed))
    queue: list[tuple[int, Envelope]] = list(extra)
    transcript: list[Envelope] = []

    def post(sender: int, envelope: Envelope) -> None:
        transcript.append(envelope)
        to = [i for i in states if i != sender] if envelope.receiver == EVERYONE else [envelope.receiver]
        for receiver in to:
            queue.extend((receiver, variant) for variant in tamper(envelope, receiver))

    for sender, envelope in sent:
        post(sender, envelope)
    while queue:
        rng.shuffle(queue)
        batch = [queue.pop() for _ in range(min(len(queue), rng.randint(1, 4)))]
        if rng.random() < 0.2:
            queue.append(batch[0])  # twice, perhaps much later
        for receiver, envelope in batch:
            if receiver in silent or receiver not in states:
                continue
            decoded = Envelope.decode(envelope.encode())
            states[receiver], out = step(states[receiver], [decoded])
            for more in out:
                post(receiver, more)
    return transcript


def run_dealing(
    plan: Plan,
    shares: Mapping[int, KeyShare] | None = None,
    seed: object = 0,
    tamper: Tamper = honest,
    extra: Callable[[Session], Iterable[tuple[int, Envelope]]] = lambda session: (),
    silent: Iterable[int] = (),
    rewrite: Callable[[Envelope], Envelope] = lambda envelope: envelope,
) -> tuple[dict[int, dealing.State], list[Envelope]]:
    people = [member(i) for i in plan.participants]
    session = dealing.open_session(plan, people, nonces_for(plan.participants, seed))
    states: dict[int, dealing.State] = {}
    sent: list[tuple[int, Envelope]] = []
    for i in plan.participants:
        key, present = signing_key(name_of(i)), (shares or {}).get(i)
        states[i], out = dealing.start(plan, session, i, key, seeded((seed, i)), present)
        out = [rewrite(e) for e in out]  # a cheat who is consistent: its own inbox holds what it sends
        held = {e.place: e for e in out if e.receiver == EVERYONE}
        states[i] = replace(states[i], inbox=replace(states[i].inbox, held={**states[i].inbox.held, **held}))
        sent += [(i, e) for e in out]
    return states, run(states, sent, dealing.step, seed, tamper, silent, extra(session))


def keygen(t: int, n: int, suite: str = "ed25519", seed: object = 0) -> dict[int, KeyShare]:
    states, _ = run_dealing(plan_keygen(suite_named(suite), t, range(1, n + 1)), seed=seed)
    return shares_of(states)


def shares_of(states: Mapping[int, dealing.State]) -> dict[int, KeyShare]:
    found = {}
    for i, state in states.items():
        assert state.failure is None and state.outcome is not None, (
            i,
            state.failure,
            dealing.awaiting(state),
        )
        if state.outcome.share is not None:
            found[i] = state.outcome.share
    return found


def run_repair(
    shares: Mapping[int, KeyShare],
    helpers: Iterable[int],
    lost: int,
    seed: object = 0,
    tamper: Tamper = honest,
    rewrite: Callable[[Envelope], Envelope] = lambda envelope: envelope,
) -> tuple[dict[int, repair.State], list[Envelope]]:
    helpers = sorted(helpers)
    group_key = shares[helpers[0]].group_key
    everyone = sorted([*helpers, lost])
    session = repair.open_session(
        group_key, helpers, lost, [member(i) for i in everyone], nonces_for(everyone, seed)
    )
    states: dict[int, repair.State] = {}
    sent: list[tuple[int, Envelope]] = []
    for i in everyone:
        present = None if i == lost else shares[i]
        key = signing_key(name_of(i))
        states[i], out = repair.start(group_key, session, lost, i, key, seeded((seed, i)), present)
        out = [rewrite(e) for e in out]
        held = {e.place: e for e in out if e.receiver == EVERYONE}
        states[i] = replace(states[i], inbox=replace(states[i].inbox, held={**states[i].inbox.held, **held}))
        sent += [(i, e) for e in out]
    return states, run(states, sent, repair.step, seed, tamper)
