"""Repair of a lost share by t others, as pure step functions.

The enrolment protocol in Laing and Stinson, "A survey and refinement of repairable threshold schemes" (ePrint
2017/1155), which the Zcash Foundation's FROST has too: helper i cuts lambda_i * s_i into random parts, one for
each helper; each helper adds the parts it got; the sums add up to the lost share. Here every part has a public
commitment, so that a wrong one names its sender. No helper learns another's share or the lost one.
Messages to one receiver are secret: the transport must encrypt them.

Rounds: (1) commitments of all parts to everybody; (2) echo; (3) parts between helpers; (4) sums to the
member who lost the share; (5) that member adds and compares with the known verification share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from tacit.crypto.groups import Element, Randomness, Scalar
from tacit.crypto.signing import SigningKey
from tacit.errors import DataError, PeerMisbehaved, UsageError
from tacit.threshold.echo import check_echoes, echo_body
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.envelope import (
    EVERYONE,
    Envelope,
    Inbox,
    Member,
    Session,
    is_authentic,
    seal_envelope,
    session_id,
)
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.polynomial import lagrange

COMMIT, ECHO, PART, SUM, COMPLAINT = (
    "repair/commit",
    "repair/echo",
    "repair/part",
    "repair/sum",
    "repair/complaint",
)


@dataclass(frozen=True, slots=True)
class State:
    """Keep one participant's side of a repair. Never send it."""

    group_key: GroupKey
    helpers: tuple[int, ...]
    lost: int
    inbox: Inbox
    phase: str
    key: SigningKey = field(repr=False)
    parts: Mapping[int, Scalar] = field(default_factory=dict, repr=False)
    commitments: Mapping[int, Mapping[int, Element]] = field(default_factory=dict)
    finished: bool = False
    share: KeyShare | None = None
    failure: PeerMisbehaved | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("the state of a protocol holds secrets and is not pickled")


def open_session(
    group_key: GroupKey,
    helpers: Sequence[int],
    lost: int,
    members: Iterable[Member],
    nonces: Mapping[int, bytes],
) -> Session:
    """Derive the session of a repair. Raises UsageError."""
    listed = {m.identifier: m for m in members}
    participants = {*helpers, lost}
    if lost in helpers or len(set(helpers)) != len(helpers) or len(helpers) < max(2, group_key.threshold):
        raise UsageError(f"a repair needs {max(2, group_key.threshold)} different helpers beside the loser")
    if (
        set(listed) != participants
        or set(nonces) != participants
        or not participants <= set(group_key.shares)
    ):
        raise UsageError("helpers, loser, their nonces and the group's members do not fit together")
    if any(group_key.names[i] != listed[i].name for i in listed) or any(
        len(n) != 32 for n in nonces.values()
    ):
        raise UsageError("a member keeps identifier and name, and a session nonce has 32 bytes")
    parameters = [group_key.fingerprint(), lost.to_bytes(2, "big")]
    sid = session_id("repair", parameters, listed.values(), [nonces[i] for i in sorted(nonces)])
    return Session(sid, listed)


def start(
    group_key: GroupKey,
    session: Session,
    lost: int,
    me: int,
    key: SigningKey,
    randomness: Randomness,
    share: KeyShare | None = None,
) -> tuple[State, list[Envelope]]:
    """Round 1: 1. cut lambda_i * s_i into random parts; 2. commit to each; 3. send the commitments."""
    helpers = tuple(sorted(i for i in session.members if i != lost))
    if session.members[me].public != key.public:
        raise UsageError("the signing key is not the one that the session lists")
    inbox = Inbox(session, me, frozenset((COMMIT, ECHO, PART, SUM, COMPLAINT)))
    state = State(group_key, helpers, lost, inbox, COMMIT, key)
    out: list[Envelope] = []
    if me != lost:
        if share is None or share.identifier != me or share.group_key != group_key:
            raise UsageError("a helper needs the present share of this very key and generation")
        group = group_key.suite.group
        rest = lagrange(group, helpers, me, x=lost) * share.secret  # 1
        parts = {}
        for helper in helpers[:-1]:
            parts[helper] = group.random_scalar(randomness)
            rest = rest - parts[helper]
        parts[helpers[-1]] = rest
        state = replace(state, parts=parts)
        body = pack(group.base_mul(parts[j]).encode() for j in helpers)  # 2
        state = _send(state, out, COMMIT, EVERYONE, body)  # 3
    state, more = step(state, ())
    return state, out + more


def _send(state: State, out: list[Envelope], step_name: str, receiver: int, body: bytes) -> State:
    envelope = seal_envelope(state.key, state.inbox.session.sid, step_name, state.inbox.me, receiver, body)
    out.append(envelope)
    return replace(state, inbox=state.inbox.accept([envelope])) if receiver == EVERYONE else state


def step(state: State, envelopes: Iterable[Envelope]) -> tuple[State, list[Envelope]]:
    """Take messages in, in any order; see :func:`tacit.threshold.dealing.step`."""
    out: list[Envelope] = []
    if state.failure is not None or state.finished:
        return state, out
    try:
        state = replace(state, inbox=state.inbox.accept(envelopes))
        while state.failure is None and not state.finished:
            advanced = _advance(state, out)
            if advanced is None:
                break
            state = advanced
    except PeerMisbehaved as failure:
        state = replace(state, failure=failure, parts={})
    return state, out


def awaiting(state: State) -> list[str]:
    """Return the names of those whose message this state waits for."""
    if state.finished or state.failure is not None:
        return []
    inbox, helpers = state.inbox, state.helpers
    if state.phase == COMMIT:
        missing = inbox.missing(COMMIT, helpers, EVERYONE)
    elif state.phase == ECHO:
        missing = inbox.missing(ECHO, sorted(inbox.session.members), EVERYONE)
    else:
        missing = inbox.missing(state.phase, [h for h in helpers if h != inbox.me], inbox.me)
    return inbox.session.names(missing)


def _advance(state: State, out: list[Envelope]) -> State | None:
    inbox, helpers = state.inbox, state.helpers
    if state.phase == COMMIT:
        commits = inbox.from_all(COMMIT, helpers, EVERYONE)
        if commits is None:
            return None
        return _send(replace(state, phase=ECHO), out, ECHO, EVERYONE, echo_body(commits))
    if state.phase == ECHO:
        echoes = inbox.from_all(ECHO, sorted(inbox.session.members), EVERYONE)
        return None if echoes is None else _round_3_parts(state, out, echoes)
    _judge_complaints(state)
    received = inbox.from_all(state.phase, [h for h in helpers if h != inbox.me], inbox.me)
    if received is None:
        return None
    return _round_4_sum(state, out, received) if state.phase == PART else _round_5_add(state, received)


def _read_commitments(state: State, helper: int, body: bytes) -> dict[int, Element]:
    """Check a helper's commitments: their sum is lambda_i * Y_i. Raises DataError."""
    group = state.group_key.suite.group
    fields = unpack(body, len(state.helpers))
    listed = {j: group.decode_element(f) for j, f in zip(state.helpers, fields, strict=True)}
    weight = lagrange(group, state.helpers, helper, x=state.lost)
    if group.total(listed.values()) != state.group_key.shares[helper].vartime_mul(weight):
        raise DataError("the parts do not add up to the helper's share")
    return listed


def _round_3_parts(state: State, out: list[Envelope], echoes: Mapping[int, Envelope]) -> State:
    """Compare echoes, check the commitments of every helper, send every part to its helper."""
    session, me = state.inbox.session, state.inbox.me
    commits = state.inbox.from_all(COMMIT, state.helpers, EVERYONE)
    assert commits is not None
    check_echoes(session, COMMIT, commits, echoes)
    commitments = {}
    for helper in state.helpers:
        try:
            commitments[helper] = _read_commitments(state, helper, commits[helper].body)
        except DataError as error:
            raise session.blame(helper, f"committed wrongly: {error}") from error
    state = replace(state, commitments=commitments, phase=SUM if me == state.lost else PART)
    if me != state.lost:
        for helper in state.helpers:
            if helper != me:
                state = _send(state, out, PART, helper, state.parts[helper].encode())
    return state


def _opened(state: State, expected: Element, body: bytes) -> Scalar | None:
    group = state.group_key.suite.group
    try:
        value = group.decode_scalar(body)
    except DataError:
        return None
    return value if group.base_mul(value) == expected else None


def _round_4_sum(state: State, out: list[Envelope], received: Mapping[int, Envelope]) -> State:
    """Check every part against its commitment, add them, send the sum to the loser; or complain."""
    me = state.inbox.me
    total = state.parts[me]
    for helper, envelope in received.items():
        part = _opened(state, state.commitments[helper][me], envelope.body)
        if part is None:
            state = _send(state, out, COMPLAINT, EVERYONE, envelope.encode())
            return replace(state, failure=state.inbox.session.blame(helper, "sent a wrong part"), parts={})
        total = total + part
    state = _send(state, out, SUM, state.lost, total.encode())
    return replace(state, finished=True, parts={})


def _judge_complaints(state: State) -> None:
    """Decide complaints by their evidence, as in a dealing. Raises PeerMisbehaved."""
    session = state.inbox.session
    for sender in state.helpers:
        envelope = state.inbox.held.get((COMPLAINT, sender, EVERYONE))
        if envelope is None or sender == state.inbox.me:
            continue
        try:
            evidence = Envelope.decode(envelope.body)
            fitting = (
                evidence.step == PART and evidence.receiver == sender and evidence.sender in state.helpers
            )
            if not fitting or not is_authentic(session, evidence):
                raise DataError("a complaint without evidence")
        except DataError as error:
            raise session.blame(sender, f"complained wrongly: {error}") from error
        if _opened(state, state.commitments[evidence.sender][sender], evidence.body) is not None:
            raise session.blame(sender, "complained about a part that is right")
        raise session.blame(evidence.sender, f"sent a wrong part to {session.members[sender].name}")


def _round_5_add(state: State, received: Mapping[int, Envelope]) -> State:
    """Check every sum against the commitments and add them to the lost share."""
    group = state.group_key.suite.group
    total = group.zero
    for helper, envelope in received.items():
        expected = group.total(state.commitments[i][helper] for i in state.helpers)
        value = _opened(state, expected, envelope.body)
        if value is None:
            raise state.inbox.session.blame(helper, "sent a wrong sum")
        total = total + value
    share = KeyShare(
        state.lost, total, state.group_key
    )  # raises DataError unless it fits: it does, by the sums above
    return replace(state, share=share, finished=True)
