"""Run the step functions over a mesh: greet, agree on the session, pass messages on, confirm what was stored.

The mesh authenticates links; envelopes authenticate content. Nothing here decides anything: a driver over
files, or over carrier pigeons, could replace it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from tacit.crypto.groups import Randomness
from tacit.crypto.hashing import digest
from tacit.crypto.signing import SigningKey
from tacit.errors import DataError, PeerIncompatible, PeerMisbehaved, TacitError, UsageError
from tacit.net.link import Mesh
from tacit.threshold import dealing, repair
from tacit.threshold.encoding import pack, unpack
from tacit.threshold.envelope import EVERYONE, Envelope, Inbox, Member
from tacit.threshold.keys import GroupKey, KeyShare
from tacit.threshold.plan import Plan

MAX_MESSAGE_BYTES = 1 << 20
_HELLO, _VIEW, _STEP, _STORED = "threshold/hello", "threshold/view", "threshold/step", "threshold/stored"


class _Running(Protocol):
    @property
    def failure(self) -> PeerMisbehaved | None: ...

    @property
    def inbox(self) -> Inbox: ...


S = TypeVar("S", bound=_Running)


def _receive(mesh: Mesh, peer: str, label: str) -> bytes:
    got, body = mesh.recv_any(peer, MAX_MESSAGE_BYTES)
    if got != label:
        raise PeerIncompatible(f"{peer} sent {got!r} where {label!r} belongs: it runs another command", peer)
    return body


def _exchange(mesh: Mesh, label: str, body: bytes) -> dict[str, bytes]:
    """Send the same to every peer and return what each sent."""
    for peer in mesh.peers:
        mesh.send(peer, label, body)
    return {peer: _receive(mesh, peer, label) for peer in mesh.peers}


def greet(
    mesh: Mesh,
    identifiers: Mapping[str, int],
    key: SigningKey,
    purpose: bytes,
    randomness: Randomness,
    known: Mapping[str, bytes] | None = None,
) -> tuple[list[Member], dict[int, bytes]]:
    """Exchange signing keys, fresh nonces and the purpose; compare that all heard the same.

    ``purpose`` is a digest of everything that must agree. Raises PeerIncompatible, naming a party that plans
    something else (a difference of configuration, not an accusation), or signs with another key than ``known``
    lists for its name: links are not enough, since their keys lie on disk for the transport to read.
    """
    if set(identifiers) != {mesh.me, *mesh.peers}:
        raise UsageError("the roster and the list of participants are not the same people")
    mine = pack((purpose, key.public, randomness(32)))
    bodies = {mesh.me: mine, **_exchange(mesh, _HELLO, mine)}
    members: list[Member] = []
    nonces: dict[int, bytes] = {}
    for name, identifier in identifiers.items():
        try:
            theirs, public, nonce = unpack(bodies[name], 3)
        except DataError as error:
            raise PeerIncompatible(f"{name} greets in another format", name) from error
        if theirs != purpose:
            raise PeerIncompatible(
                f"{name} plans something else: compare command, members and threshold", name
            )
        if len(public) != 32 or len(nonce) != 32:
            raise PeerIncompatible(f"{name} greets in another format", name)
        if public != (known or {}).get(name, public):
            raise PeerIncompatible(f"{name} signs with another key than your directory lists", name)
        same = [m.name for m in members if m.public == public]
        if same:
            raise PeerIncompatible(f"{same[0]} and {name} greet with the same signing key", name)
        members.append(Member(identifier, name, public))
        nonces[identifier] = nonce
    view = digest("threshold/greetings", *(bodies[name] for name in sorted(bodies)))
    for peer, theirs in _exchange(mesh, _VIEW, view).items():
        if theirs != view:
            raise PeerIncompatible(
                f"{peer} heard other greetings; somebody spoke differently to the two", peer
            )
    return members, nonces


def run(
    mesh: Mesh,
    names: Mapping[int, str],
    state: S,
    out: Iterable[Envelope],
    step: Callable[[S, Iterable[Envelope]], tuple[S, list[Envelope]]],
    awaiting: Callable[[S], list[str]],
) -> S:
    """Pass messages until the state waits for nothing more. Raises PeerMisbehaved with the culprits.

    The messages that prove a failure are passed on to all before this raises.
    """
    _post(mesh, names, out)
    heard, most = dict.fromkeys(mesh.peers, 0), _most_messages(len(names))
    trigger: list[Envelope] = []
    while state.failure is None:
        waiting = awaiting(state)
        if not waiting:
            return state
        body = _receive(mesh, waiting[0], _STEP)
        heard[waiting[0]] += 1
        if heard[waiting[0]] > most:  # a flood of what is ignored would be a silence without an end
            raise PeerMisbehaved(f"{waiting[0]} sends more messages than there are", [waiting[0]])
        try:
            trigger = [Envelope.decode(body)]
        except DataError as error:
            raise PeerMisbehaved(f"{waiting[0]} sent an unreadable message", [waiting[0]]) from error
        state, out = step(state, trigger)
        _post(mesh, names, out)
    # Others may wait for this party first: pass on what everybody may see, so that they find the culprit too.
    seen = [e for e in [*state.inbox.held.values(), *trigger] if e.receiver == EVERYONE]
    _post(mesh, names, seen)
    with contextlib.suppress(TacitError):
        mesh.close()  # delivers; leaving by the error alone would drop what is queued
    raise state.failure


def _most_messages(people: int) -> int:
    """Return a bound on what an honest party sends: its steps, and what it passes on after a failure."""
    return 16 + 8 * people


def _post(mesh: Mesh, names: Mapping[int, str], out: Iterable[Envelope]) -> None:
    for envelope in out:
        data = envelope.encode()
        for peer in mesh.peers if envelope.receiver == EVERYONE else [names[envelope.receiver]]:
            mesh.send(peer, _STEP, data)
    mesh.flush()


def deal_over(
    mesh: Mesh,
    plan: Plan,
    identifiers: Mapping[str, int],
    key: SigningKey,
    randomness: Randomness,
    present: KeyShare | None,
    store: Callable[[dealing.Outcome], None],
    known: Mapping[str, bytes] | None = None,
) -> dealing.Outcome:
    """Run a joint dealing over a mesh. ``store`` must make the outcome durable; then all confirm.

    ``known`` lists the signing keys of those who are known already (see :func:`greet`).

    Only after this returns may a present share be destroyed: everybody holds the new one on disk.
    """
    purpose = digest("threshold/purpose", b"dealing", plan.encode())
    members, nonces = greet(mesh, identifiers, key, purpose, randomness, known)
    session = dealing.open_session(plan, members, nonces)
    names = {m.identifier: m.name for m in members}
    state, out = dealing.start(plan, session, identifiers[mesh.me], key, randomness, present)
    state = run(mesh, names, state, out, dealing.step, dealing.awaiting)
    assert state.outcome is not None
    store(state.outcome)
    _confirm(mesh, state.outcome.group_key)
    return state.outcome


def repair_over(
    mesh: Mesh,
    group_key: GroupKey,
    lost: str,
    key: SigningKey,
    randomness: Randomness,
    present: KeyShare | None,
    store: Callable[[KeyShare], None],
    known: Mapping[str, bytes] | None = None,
) -> None:
    """Repair the share of ``lost`` over a mesh whose other parties are the helpers."""
    identifiers = {name: group_key.identifier_of(name) for name in sorted({mesh.me, *mesh.peers})}
    purpose = digest("threshold/purpose", b"repair", group_key.fingerprint(), lost.encode())
    members, nonces = greet(mesh, identifiers, key, purpose, randomness, known)
    target = identifiers[lost]
    helpers = [i for i in identifiers.values() if i != target]
    session = repair.open_session(group_key, helpers, target, members, nonces)
    names = {m.identifier: m.name for m in members}
    me = identifiers[mesh.me]
    state, out = repair.start(group_key, session, target, me, key, randomness, present)
    state = run(mesh, names, state, out, repair.step, repair.awaiting)
    if state.share is not None:
        store(state.share)
    _confirm(mesh, group_key)


def _confirm(mesh: Mesh, group_key: GroupKey) -> None:
    """Wait until everybody says that the outcome is on disk."""
    mine = group_key.fingerprint()
    for peer, theirs in _exchange(mesh, _STORED, mine).items():
        if theirs != mine:
            raise PeerIncompatible(f"{peer} stored another group key; keep the present shares", peer)


def swap(mesh: Mesh, label: str, body: bytes) -> dict[str, bytes]:
    """Exchange one document with every peer (approvals, signature shares); includes one's own.

    Raises PeerError for a silent peer.
    """
    return {mesh.me: body, **_exchange(mesh, label, body)}
