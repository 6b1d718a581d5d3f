"""Joint verifiable dealing, as pure step functions: key generation without a dealer, refresh, resharing.

Key generation is the Pedersen protocol of FROST with proofs of possession (Komlo and Goldberg, "FROST", SAC
2020, figure 1). Refresh deals zero (Herzberg, Jarecki, Krawczyk, Yung, "Proactive secret sharing", CRYPTO
1995). Resharing deals the present shares (Desmedt and Jajodia 1997; verifiable: Wong, Wang, Wing,
"Verifiable secret redistribution for archive systems", 2002). The three differ only in the constant term:
see ``plan``.

Rounds: (1) commitments to everybody; (2) echo of what was received, so that all use the same ones; (3)
shares, each to its receiver; (4) everybody signs the transcript, or shows a wrong share as a complaint; (5)
finish with all signatures (as ChillDKG's CertEq: whoever finished can convince the others).

Messages to one receiver are secret: the transport must encrypt them. Promises, with signed messages and
fewer than the threshold corrupted: privacy of the key, agreement on it, and for every deviation other than
silence the culprit's name. Not delivery: one silent participant stops it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from tacit.crypto.groups import Element, Randomness, Scalar
from tacit.crypto.hashing import digest
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
from tacit.threshold.plan import (
    KEYGEN,
    REFRESH,
    RESHARE,
    Plan,
    dealing_body,
    draw,
    joint_commitments,
    joint_share,
    read_dealing,
)
from tacit.threshold.polynomial import evaluate, vartime_evaluate_committed

COMMIT, ECHO, SHARE, DONE = "dealing/commit", "dealing/echo", "dealing/share", "dealing/done"
_OK, _COMPLAINT = b"ok", b"complaint"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what a finished dealing gives: public side, own share (if one receives), all signatures."""

    group_key: GroupKey
    share: KeyShare | None
    certificate: Mapping[int, Envelope]


@dataclass(frozen=True, slots=True)
class State:
    """Keep one participant's side of a dealing. Never send it."""

    plan: Plan
    inbox: Inbox
    phase: str
    key: SigningKey = field(repr=False)
    coefficients: tuple[Scalar, ...] = field(default=(), repr=False)
    present: KeyShare | None = None
    dealings: Mapping[int, tuple[Element, ...]] = field(default_factory=dict)
    received: Mapping[int, Scalar] = field(default_factory=dict, repr=False)
    transcript: bytes = b""
    outcome: Outcome | None = None
    failure: PeerMisbehaved | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("the state of a protocol holds secrets and is not pickled")


def open_session(plan: Plan, members: Iterable[Member], nonces: Mapping[int, bytes]) -> Session:
    """Derive the session that a plan, its members and everybody's fresh nonce give. Raises UsageError."""
    listed = {m.identifier: m for m in members}
    if set(listed) != set(plan.participants) or set(nonces) != set(listed):
        raise UsageError("the members, their nonces and the plan's participants are not the same")
    if any(len(nonce) != 32 for nonce in nonces.values()):
        raise UsageError("a session nonce has 32 bytes")
    if plan.old and any(plan.old.names.get(i, listed[i].name) != listed[i].name for i in listed):
        raise UsageError("a present member keeps identifier and name")
    sid = session_id("dealing", [plan.encode()], listed.values(), [nonces[i] for i in sorted(nonces)])
    return Session(sid, listed)


def start(
    plan: Plan,
    session: Session,
    me: int,
    key: SigningKey,
    randomness: Randomness,
    present: KeyShare | None = None,
) -> tuple[State, list[Envelope]]:
    """Round 1: deal, if one is a dealer. ``present`` is the share to refresh or reshare.

    1. draw a polynomial; 2. prove possession of its constant term (fresh key only); 3. commit to the
    coefficients; 4. send commitments and proof to everybody.
    """
    if session.members[me].public != key.public:
        raise UsageError("the signing key is not the one that the session lists")
    deals_old = plan.old is not None and me in plan.dealers
    if deals_old and (present is None or present.identifier != me or present.group_key != plan.old):
        raise UsageError("the present share belongs to another key, member or generation")
    state = State(
        plan, Inbox(session, me, frozenset((COMMIT, ECHO, SHARE, DONE))), COMMIT, key, present=present
    )
    out: list[Envelope] = []
    if me in plan.dealers:
        coefficients = draw(plan, present.secret if present else None, randomness)  # 1
        body = dealing_body(plan, session.sid, me, coefficients, randomness)  # 2, 3
        state = replace(state, coefficients=coefficients)
        state = _send(state, out, COMMIT, EVERYONE, body)  # 4
    state, more = step(state, ())
    return state, out + more


def _send(state: State, out: list[Envelope], step_name: str, receiver: int, body: bytes) -> State:
    envelope = seal_envelope(state.key, state.inbox.session.sid, step_name, state.inbox.me, receiver, body)
    out.append(envelope)
    return replace(state, inbox=state.inbox.accept([envelope])) if receiver == EVERYONE else state


def step(state: State, envelopes: Iterable[Envelope]) -> tuple[State, list[Envelope]]:
    """Take messages in, in any order, and go as far as they allow.

    The new state has ``outcome`` when it is finished and ``failure`` when a culprit is found; messages that
    come with a failure are a complaint and must still be sent.
    """
    out: list[Envelope] = []
    if state.failure is not None or state.outcome is not None:
        return state, out
    try:
        state = replace(state, inbox=state.inbox.accept(envelopes))
        while state.failure is None and state.outcome is None:
            advanced = _advance(state, out)
            if advanced is None:
                break
            state = advanced
    except PeerMisbehaved as failure:
        state = replace(state, failure=failure, coefficients=(), received={})
    return state, out


def awaiting(state: State) -> list[str]:
    """Return the names of those whose message this state waits for."""
    plan, inbox = state.plan, state.inbox
    if state.outcome is not None or state.failure is not None:
        return []
    if state.phase == SHARE:
        missing = inbox.missing(SHARE, [d for d in plan.dealers if d != inbox.me], inbox.me)
    else:
        senders = plan.dealers if state.phase == COMMIT else plan.participants
        missing = inbox.missing(state.phase, senders, EVERYONE)
    return inbox.session.names(missing)


def _advance(state: State, out: list[Envelope]) -> State | None:
    plan, inbox = state.plan, state.inbox
    if state.phase == COMMIT:
        commits = inbox.from_all(COMMIT, plan.dealers, EVERYONE)
        return None if commits is None else _round_2_echo(state, out, commits)
    if state.phase == ECHO:
        echoes = inbox.from_all(ECHO, plan.participants, EVERYONE)
        return None if echoes is None else _round_3_deal(state, out, echoes)
    _judge_complaints(state)
    if state.phase == SHARE:
        shares = inbox.from_all(SHARE, [d for d in plan.dealers if d != inbox.me], inbox.me)
        return None if shares is None else _round_4_check(state, out, shares)
    done = inbox.from_all(DONE, plan.participants, EVERYONE)
    return None if done is None else _round_5_finish(state, done)


def _round_2_echo(state: State, out: list[Envelope], commits: Mapping[int, Envelope]) -> State:
    """Tell everybody what was received from each dealer (Goldwasser and Lindell 2005: echo broadcast)."""
    state = replace(state, phase=ECHO)
    return _send(state, out, ECHO, EVERYONE, echo_body(commits))


def _round_3_deal(state: State, out: list[Envelope], echoes: Mapping[int, Envelope]) -> State:
    """Compare the echoes, check every dealing, then send the shares.

    1. all saw the same commitments, or who signed two is named; 2. degree, group membership and proof of
    possession of every dealer; 3. f_i(l) to every receiver l; the own one is kept.
    """
    plan, session, me = state.plan, state.inbox.session, state.inbox.me
    commits = state.inbox.from_all(COMMIT, plan.dealers, EVERYONE)
    assert commits is not None
    check_echoes(session, COMMIT, commits, echoes)  # 1
    dealings = {}
    for dealer in plan.dealers:  # 2
        try:
            dealings[dealer] = read_dealing(plan, session.sid, dealer, commits[dealer].body)
        except DataError as error:
            raise session.blame(dealer, f"dealt wrongly: {error}") from error
    listed = pack(commits[dealer].body for dealer in plan.dealers)
    transcript = digest("threshold/dealing-transcript", session.sid, listed)
    state = replace(state, dealings=dealings, transcript=transcript, phase=SHARE)
    if me in plan.dealers:
        for receiver in plan.receivers:  # 3
            if receiver == me:
                state = replace(state, received={me: evaluate(state.coefficients, me)})
            else:
                share = evaluate(state.coefficients, receiver)
                state = _send(state, out, SHARE, receiver, share.encode())
    state = replace(state, coefficients=())
    if me not in plan.receivers:
        return _announce(state, out, pack((_OK, transcript)))
    return state


def _share_fits(plan: Plan, commitments: Sequence[Element], receiver: int, body: bytes) -> Scalar | None:
    group = plan.suite.group
    try:
        share = group.decode_scalar(body)
    except DataError:
        return None
    return share if group.base_mul(share) == vartime_evaluate_committed(commitments, receiver) else None


def _round_4_check(state: State, out: list[Envelope], shares: Mapping[int, Envelope]) -> State:
    """Check every share against its dealer's commitments; sign the transcript, or show the wrong share."""
    plan, me = state.plan, state.inbox.me
    received = dict(state.received)
    for dealer, envelope in shares.items():
        share = _share_fits(plan, state.dealings[dealer], me, envelope.body)
        if share is None:
            state = _announce(state, out, pack((_COMPLAINT, envelope.encode())))
            return replace(
                state, failure=state.inbox.session.blame(dealer, "dealt a wrong share"), received={}
            )
        received[dealer] = share
    return _announce(replace(state, received=received), out, pack((_OK, state.transcript)))


def _announce(state: State, out: list[Envelope], body: bytes) -> State:
    return _send(replace(state, phase=DONE), out, DONE, EVERYONE, body)


def _judge_complaints(state: State) -> None:
    """Decide every complaint by its evidence: the dealer's signature on a share that does not fit.

    Raises PeerMisbehaved with the dealer, or with a complainer whose evidence proves nothing.
    """
    plan, inbox = state.plan, state.inbox
    session = inbox.session
    for sender in plan.participants:
        envelope = inbox.held.get((DONE, sender, EVERYONE))
        if envelope is None or sender == inbox.me:
            continue
        try:
            verdict, content = unpack(envelope.body, 2)
            if verdict == _OK:
                if content != state.transcript:
                    raise DataError("another transcript")
                continue
            if verdict != _COMPLAINT:
                raise DataError("neither consent nor complaint")
            evidence = Envelope.decode(content)
            fitting = (
                evidence.step == SHARE and evidence.receiver == sender and evidence.sender in plan.dealers
            )
            if not fitting or sender not in plan.receivers or not is_authentic(session, evidence):
                raise DataError("a complaint without evidence")
        except DataError as error:
            raise session.blame(sender, f"ended the dealing wrongly: {error}") from error
        if _share_fits(plan, state.dealings[evidence.sender], sender, evidence.body) is not None:
            raise session.blame(sender, "complained about a share that is right")
        raise session.blame(evidence.sender, f"dealt a wrong share to {session.members[sender].name}")


def _round_5_finish(state: State, done: Mapping[int, Envelope]) -> State:
    """Add up: the joint polynomial in the exponent, everybody's verification share, one's own share.

    Here all signed the same transcript, so all hold the same key.
    """
    plan, me = state.plan, state.inbox.me
    joint = joint_commitments(plan, state.dealings)
    shift = {r: vartime_evaluate_committed(joint, r) for r in plan.receivers}
    key = joint[0]
    if plan.old is not None:
        key = plan.old.key
        if plan.kind == RESHARE and joint[0] != key:
            raise UsageError("the present verification shares do not belong to the present key")
        if plan.kind == REFRESH:
            shift = {r: plan.old.shares[r] + shift[r] for r in plan.receivers}
    if key.is_identity() or any(element.is_identity() for element in shift.values()):
        raise UsageError("the joint key came out as zero, which honest dealers do not meet; start again")
    names = {r: state.inbox.session.members[r].name for r in plan.receivers}
    epoch = 0 if plan.kind == KEYGEN or plan.old is None else plan.old.epoch + 1
    group_key = GroupKey(plan.suite, plan.threshold, key, shift, names, epoch)
    share = None
    if me in plan.receivers:
        secret = joint_share(plan, state.received, state.present.secret if state.present else None)
        share = KeyShare(me, secret, group_key)
    outcome = Outcome(group_key, share, dict(done))
    return replace(state, outcome=outcome, received={}, present=None)
