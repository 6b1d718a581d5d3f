"""Who is to blame when people disagree on what was said: verdicts from signed messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tacit.crypto.encoding import unpack
from tacit.errors import DataError, InternalError
from tacit.report import offers
from tacit.report.envelope import MAIN, SHOW, Envelope, fingerprint, open_envelope
from tacit.report.session import HELLO_CONFIRM, State, blame

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who is guilty, whose messages prove it besides their own, and of what; or that the views differ."""

    culprits: Sequence[int]
    witnesses: Sequence[int] = field(default=())
    reason: str = ""
    split_view: bool = False


def opens_dispute(envelope: Envelope) -> bool:
    """Say whether a well-formed SHOW opens a dispute; if not, it answers one."""
    return unpack(envelope.body)[0] == b"\1"


def unanswered(state: State) -> list[int]:
    """Return the rounds that somebody disputes, that I have reached, and about which I have not answered."""
    return [
        number
        for (number, kind), shown in state.heard.items()
        if kind == SHOW
        and number <= state.number
        and state.me not in shown
        and any(map(opens_dispute, shown.values()))
    ]


def relayed(envelope: Envelope) -> list[bytes]:
    """Return the messages inside a SHOW or RELAY; DataError if it is malformed."""
    cause, *inner = unpack(envelope.body)
    if cause not in (b"\0", b"\1"):
        raise DataError("a relayed message has a malformed head")
    return inner


def read_confirmation(state: State, envelope: Envelope) -> list[bytes]:
    """Return the hashes in a CONFIRM; DataError if it, or a complaint in it, is malformed."""
    hashes, complaints = unpack(envelope.body, 2)
    if len(hashes) != HASH_BYTES * state.circle.size:
        raise DataError("a confirmation does not have one hash a person")
    found = unpack(complaints)
    if found and envelope.number == HELLO_CONFIRM:
        raise DataError("there is nothing to complain about in a greeting")
    for data in found:
        offers.decode_complaint(state.circle.group, state.circle.size, envelope.sender, data)
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


def judge_confirmations(state: State, envelopes: Sequence[Envelope]) -> Verdict:
    """Compare everybody's view of the round with mine."""
    mine = [fingerprint(state.main(state.number - 1)[i]) for i in range(state.circle.size)]
    bad, differs = [], False
    for i, envelope in enumerate(envelopes):
        try:
            differs |= read_confirmation(state, envelope) != mine
        except DataError:
            bad.append(i)
    if bad:
        return Verdict(bad, reason="sent a malformed confirmation")
    return Verdict([], split_view=differs)


def _claims(state: State, shown: Sequence[Envelope], number: int) -> dict[int, list[bytes]]:
    """Return the hash lists of all well-formed confirmations among `shown`, by sender."""
    out = {}
    for envelope in shown:
        if envelope.number == number and envelope.kind == MAIN:
            try:
                out[envelope.sender] = read_confirmation(state, envelope)
            except DataError:
                out[envelope.sender] = []
    return out


def resolve(state: State, shown: Mapping[int, Envelope]) -> State:
    """End a dispute after everybody has shown its messages (two versions of one were found on arrival).

    Whoever confirmed a message that it cannot show lied in the confirmation; whoever opened the dispute
    although its own messages agree opened it for nothing. An honest person can always show what it confirmed.
    """
    number, liars, idle = state.showing or 0, [], []
    for person, envelope in shown.items():
        _, *inner = unpack(envelope.body)
        mine = []
        for data in inner:
            try:
                mine.append(open_envelope(state.circle, data))
            except DataError:
                liars.append(person)
        own = state.main(number).get(person)
        backed = {e.sender: fingerprint(e) for e in mine if e.number == number - 1 and e.kind == MAIN}
        claims = _claims(state, mine, number)
        if own is not None:
            claimed = _claims(state, [own], number)[person]
            if claimed != [backed.get(i) for i in range(state.circle.size)]:
                liars.append(person)
        if opens_dispute(envelope) and len({tuple(c) for c in claims.values()}) <= 1:
            idle.append(person)
    if liars:
        return blame(state, liars, "confirmed messages that it cannot show")
    if idle:
        return blame(state, idle, "disputed messages that agree")
    # Unreachable: the opener's own messages differ, so two people confirmed different versions; each showed
    # its own (else it is in `liars`), and two signed versions of one message were found when they arrived.
    raise InternalError("a dispute ended without a verdict")
