"""People in a reporting session inside one process, with an adversary on the wires and in some of the people."""

import contextlib
import random
from dataclasses import replace
from typing import Any

from tacit.crypto.groups import Group, group_named
from tacit.crypto.signing import SigningKey
from tacit.report import envelope, session, steps
from tacit.report.envelope import Circle, Member

NAMES = ("ann", "bob", "cem", "dia", "eva")


class ToyGroup(Group):
    """A subgroup of Z_p^* of tiny prime order behind the real interface; raw form: one byte."""

    scalar_bytes = element_bytes = wide_bytes = 1
    byte_order = "big"

    def __init__(self, order: Any, p: Any, generator: Any) -> None:
        self.name, self.order, self._p, self._g = f"toy{order}", order, p, generator
        assert pow(generator, order, p) == 1 != generator
        super().__init__()

    def _element(self, value: Any) -> Any:
        return b"" if value % self._p == 1 else bytes([value % self._p])

    def _scalar_add(self, a: Any, b: Any) -> Any:
        return bytes([(a[0] + b[0]) % self.order])

    def _scalar_mul(self, a: Any, b: Any) -> Any:
        return bytes([a[0] * b[0] % self.order])

    def _scalar_negate(self, a: Any) -> Any:
        return bytes([-a[0] % self.order])

    def _scalar_invert(self, a: Any) -> Any:
        return bytes([pow(a[0], -1, self.order)])

    def _scalar_is_canonical(self, data: Any) -> Any:
        return data[0] < self.order

    def _reduce_wide(self, wide: Any) -> Any:
        return bytes([wide[0] % self.order])

    def _element_is_valid(self, data: Any) -> Any:
        return data[0] != 1 and pow(data[0], self.order, self._p) == 1

    def _base_multiply(self, scalar: Any) -> Any:
        return self._element(pow(self._g, scalar[0], self._p))

    def _multiply(self, scalar: Any, element: Any) -> Any:
        return self._element(pow(element[0], scalar[0], self._p))

    _vartime_multiply = _multiply

    def _negate(self, element: Any) -> Any:
        return self._element(pow(element[0], -1, self._p))

    def _total(self, elements: Any) -> Any:
        out = 1
        for element in elements:
            out = out * element[0] % self._p
        return self._element(out)

    def _vartime_hash_to_element(self, message: Any, dst: Any) -> Any:
        return self._element(pow(self._g, 1 + (sum(message) + len(message)) % (self.order - 1), self._p))


class World:
    """A circle whose messages pass through `wire(sender, receiver, data) -> list of data`."""

    def __init__(
        self,
        texts: Any,
        seed: Any = 0,
        group: Any = None,
        limits: Any = None,
        cheat: Any = None,
        cheater: Any = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.names = NAMES[: len(texts)]
        self.randomness = self.rng.randbytes
        self.keys = [SigningKey(self.rng.randbytes(32)) for _ in texts]
        members = tuple(Member(n, k.public) for n, k in zip(self.names, self.keys, strict=True))
        self.circle = Circle(group or group_named("ristretto255"), members, self.rng.randbytes(32))
        self.limits = limits or session.Limits()
        self.states = [
            session.begin(self.circle, n, k, t, self.limits)
            for n, k, t in zip(self.names, self.keys, texts, strict=True)
        ]
        self.inbox = [[] for _ in texts]
        self.sent = []  # (sender, bytes), in order: what somebody who sees all traffic sees
        self.cheat = cheat or (lambda world: contextlib.nullcontext())
        self.cheater = cheater
        self.wire = lambda sender, receiver, data: [data]
        self.silenced = lambda person, state: False
        # round -> function(world, body): the cheater speaks last there, having seen all others
        self.last_word = {}
        self.held = []

    def people(self) -> Any:
        return range(len(self.names))

    def honest(self) -> Any:
        return [i for i in self.people() if i != self.cheater]

    def broadcast(self, sender: Any, messages: Any) -> None:
        for data in messages:
            if sender == self.cheater and self.last_word:
                message = envelope.open_envelope(self.circle, data)
                if message.number in self.last_word:
                    self.held.append(message)
                    continue
            self.sent.append((sender, data))
            for receiver in self.people():
                if receiver != sender:
                    self.inbox[receiver] += self.wire(sender, receiver, data)

    def act(self, person: Any, function: Any) -> None:
        guard = self.cheat(self) if person == self.cheater else contextlib.nullcontext()
        with guard:
            state, out = function(self.states[person])
        if self.silenced(person, self.states[person]):
            return
        self.states[person] = state
        self.broadcast(person, out)

    def release(self) -> None:
        """Let the cheater rewrite what it held back, and send it."""
        message, me = self.held.pop(0), self.cheater
        body = self.last_word.pop(message.number)(self, message.body)
        changed = envelope.seal_envelope(self.circle, self.keys[me], message.number, message.kind, me, body)
        key = (message.number, message.kind)
        heard = {**self.states[me].heard, key: {**self.states[me].heard[key], me: changed}}
        self.states[me] = replace(self.states[me], heard=heard)
        self.broadcast(me, [changed.encode()])

    def run(self, shuffle: Any = False) -> Any:
        for person in self.people():
            self.act(person, lambda s: steps.start(s, self.randomness))
        while any(self.inbox) or self.held:
            if not any(self.inbox):
                self.release()
            order = list(self.people())
            if shuffle:
                self.rng.shuffle(order)
            for person in order:
                pile = self.inbox[person]
                if shuffle:  # messages late, twice and out of order
                    self.rng.shuffle(pile)
                    cut = self.rng.randrange(len(pile) + 1)
                    now, later = pile[:cut], pile[cut:]
                    later += self.rng.sample(now, min(len(now), self.rng.randrange(2))) if later else []
                else:
                    now, later = pile, []
                self.inbox[person] = later
                if now:
                    self.act(person, lambda s, now=now: steps.step(s, now, self.randomness))
        return self

    def check(self, texts: Any, allow_stall: Any = True) -> Any:
        """Every honest person: the right result, or a named culprit; never an honest name."""
        bad = {self.names[self.cheater]} if self.cheater is not None else set()
        named = 0
        for i in self.honest():
            state = self.states[i]
            if state.status == session.FINISHED:
                assert sorted(state.delivered) == sorted(texts), (self.names[i], state.delivered)
            elif state.status == session.BLAMED:
                assert set(self.circle.names(state.culprits)) == bad, (state.culprits, state.reason)
                named += 1
            else:
                assert allow_stall and bad & set(session.waiting_for(state)), (
                    self.names[i],
                    session.waiting_for(state),
                    state.number,
                )
        return named
