"""A reporting session as a pure step function: signed broadcasts in, signed broadcasts out.

Each sum of `tacit.report.sums` runs in three rounds of broadcasts, numbered on every message:

1. OFFER    commitments, encrypted parts, proof that the contribution is allowed
2. CONFIRM  hashes of all offers received (so that an equivocation shows), and complaints about bad parts
3. SUM      each person's sums of the parts received; only after all confirmations agree and all proofs hold

A session opens with HELLO and its CONFIRM (fresh keys; the session's identity is the hash of all hellos),
then runs cycles: a sum over 2n reservation slots (von Ahn, Bortz and Hopper 2003: everybody may fill one, at
random), then, if somebody won a slot, a sum with one slot of the announced length for each winner, where
whoever is not the owner proves to add zero (Verdict 2013). Reservations that collided go into another cycle
with new random slots.

Nothing here waits, reads a clock or opens a file; whoever drives it decides how long silence is tolerated and
asks `waiting_for` whom to name. After a culprit is found the session is dead and its keys are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tacit.crypto.groups import Element, Scalar
from tacit.crypto.signing import SigningKey
from tacit.errors import PeerMisbehaved, UsageError
from tacit.report.envelope import MAIN, SHOW, Circle, Envelope
from tacit.report.offers import Offer
from tacit.report.slots import Reservation, check_text
from tacit.report.sums import Dealt, Part

HELLO, HELLO_CONFIRM = 0, 1
FIRST_CYCLE, CYCLE_ROUNDS = 2, 6
RESERVE, RESERVE_CONFIRM, RESERVE_SUM, SEND, SEND_CONFIRM, SEND_SUM = range(CYCLE_ROUNDS)
LOOK_AHEAD = CYCLE_ROUNDS

RUNNING, FINISHED, BLAMED = "running", "finished", "blamed"

Key = tuple[int, int]  # number of the round, kind of message


@dataclass(frozen=True, slots=True)
class Limits:
    """Public bounds that all members must share: longest text, and how often collisions are retried."""

    max_bytes: int = 1 << 20
    max_cycles: int = 24


@dataclass(frozen=True, slots=True)
class Keep:
    """What this person alone knows: the keys, the text still to be sent, the open contribution."""

    signing: SigningKey = field(repr=False)
    text: bytes | None = field(default=None, repr=False)
    session_key: Scalar | None = field(default=None, repr=False)
    dealt: Dealt | None = field(default=None, repr=False)
    owner_secret: Scalar | None = field(default=None, repr=False)
    owner: Element | None = field(default=None, repr=False)
    parts: tuple[tuple[Part, ...], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """Everything about a running session at one person."""

    circle: Circle
    me: int
    limits: Limits
    keep: Keep
    number: int = HELLO
    heard: Mapping[Key, Mapping[int, Envelope]] = field(default_factory=dict, repr=False)
    session: bytes = b""
    keys: tuple[Element, ...] = ()
    offers: tuple[Offer | None, ...] = field(default=(), repr=False)
    reservations: tuple[Reservation, ...] = ()
    garbled: int = 0
    collisions: int = 0
    delivered: tuple[bytes, ...] = ()
    showing: int | None = None
    ignored: int = 0
    status: str = RUNNING
    culprits: tuple[int, ...] = ()
    reason: str = ""
    evidence: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def phase(self) -> int:
        """Return the phase inside the cycle (only from FIRST_CYCLE on)."""
        return (self.number - FIRST_CYCLE) % CYCLE_ROUNDS

    @property
    def cycle(self) -> int:
        """Return the number of the cycle, from 0."""
        return (self.number - FIRST_CYCLE) // CYCLE_ROUNDS

    @property
    def slots(self) -> int:
        """Return the number of reservation slots: twice the people."""
        return 2 * self.circle.size

    @staticmethod
    def is_confirmation(number: int) -> bool:
        """Say whether the round of this number is a CONFIRM: only there can views be disputed."""
        return number == HELLO_CONFIRM or (
            number >= FIRST_CYCLE and (number - FIRST_CYCLE) % CYCLE_ROUNDS in (RESERVE_CONFIRM, SEND_CONFIRM)
        )

    def main(self, number: int) -> Mapping[int, Envelope]:
        """Return the ordinary messages of one round by sender."""
        return self.heard.get((number, MAIN), {})


def begin(
    circle: Circle, name: str, signing: SigningKey, text: bytes | None = None, limits: Limits | None = None
) -> State:
    """Return the state before the first message; `text` is what this person wants to say, or None.

    The invitation inside `circle` must never have been used with this key: a second run under it would look
    like two versions of one message, and that is the mark of a cheater.
    """
    limits = limits or Limits()
    names = [member.name for member in circle.members]
    if name not in names:
        raise UsageError(f"{name!r} is not in the circle")
    me = names.index(name)
    if signing.public != circle.members[me].public:
        raise UsageError(f"the signing key is not {name}'s")
    if text is not None:
        check_text(text, limits.max_bytes)
    return State(circle, me, limits, Keep(signing, text))


def result(state: State) -> tuple[bytes, ...]:
    """Return the delivered texts of a finished session; PeerMisbehaved names who broke it."""
    if state.status == BLAMED:
        names = state.circle.names(state.culprits)
        raise PeerMisbehaved(f"{', '.join(names)}: {state.reason}", names)
    if state.status != FINISHED:
        raise UsageError("the session is still running")
    return state.delivered


def was_delivered(state: State) -> bool:
    """Say whether this person's own text went out (also True if there was none)."""
    return state.keep.text is None


def waiting_for(state: State) -> tuple[str, ...]:
    """Name whose message the session needs next, the most needed first.

    A dispute stops only who has not passed its round; whoever has, found all views equal, and answers in passing.
    """
    if state.status != RUNNING:
        return ()
    everybody, numbers = range(state.circle.size), []
    if state.showing != state.number:
        numbers += [i for i in everybody if i not in state.main(state.number)]
    if state.showing is not None:
        shown = state.heard.get((state.showing, SHOW), {})
        numbers += [i for i in everybody if i not in shown and i not in numbers]
    return state.circle.names(numbers)


def store(state: State, envelope: Envelope) -> State:
    """Add a message; two different ones for one place are an equivocation, and name their signer."""
    key = (envelope.number, envelope.kind)
    known = state.heard.get(key, {})
    earlier = known.get(envelope.sender)
    if earlier is not None:
        if earlier.body != envelope.body:
            state = replace(state, evidence=(earlier.encode(), envelope.encode()))
            return blame(state, [envelope.sender], "signed two different versions of one message")
        return state
    return replace(state, heard={**state.heard, key: {**known, envelope.sender: envelope}})


def blame(state: State, culprits: Sequence[int], reason: str) -> State:
    """End the session with culprits; all secrets but the signing key and the unsent text are dropped."""
    if state.status != RUNNING:
        return state
    keep = Keep(state.keep.signing, state.keep.text)
    return replace(state, status=BLAMED, culprits=tuple(sorted(set(culprits))), reason=reason, keep=keep)
