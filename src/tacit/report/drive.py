"""Run a reporting session over a mesh: greet, agree on who signs with what, pass messages on, name who is silent.

The mesh authenticates links; the session's own signatures, with keys made for this one session, make a
deviation provable to everybody in it. A fresh key for every session also means that nobody signs twice
under one invitation.
"""

from __future__ import annotations

from collections.abc import Sequence

from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Group, Randomness
from tacit.crypto.hashing import digest
from tacit.crypto.signing import PUBLIC_BYTES, SigningKey
from tacit.errors import DataError, PeerIncompatible, PeerMisbehaved, UsageError
from tacit.net.link import Mesh
from tacit.report import session, steps
from tacit.report.envelope import Circle, Member
from tacit.report.session import RUNNING, Limits, State

_HELLO, _VIEW, _STEP = "report/hello", "report/view", "report/step"
_NONCE_BYTES = 32
_LARGEST_FRAME = 1 << 30


def largest_message(people: int, limits: Limits) -> int:
    """Return a bound on every honest message: all offers at once, in which everybody sends the longest text."""
    scalars = limits.max_bytes // 16 + 64
    return min(_LARGEST_FRAME, people * people * people * (32 * scalars + 4096))


def most_messages(limits: Limits) -> int:
    """Return a bound on how many messages an honest person sends: one a round, disputes, and one at the end."""
    return 8 + 4 * (session.FIRST_CYCLE + session.CYCLE_ROUNDS * limits.max_cycles)


def _exchange(mesh: Mesh, label: str, body: bytes) -> dict[str, bytes]:
    """Send the same to every peer and return what each sent."""
    for peer in mesh.peers:
        mesh.send(peer, label, body)
    out = {}
    for peer in mesh.peers:
        got, out[peer] = mesh.recv_any(peer, 1 << 12)
        if got != label:
            raise PeerIncompatible(
                f"{peer} sent {got!r} where {label!r} belongs: it runs something else", peer
            )
    return out


def greet(
    mesh: Mesh, names: Sequence[str], group: Group, limits: Limits, randomness: Randomness
) -> tuple[Circle, SigningKey]:
    """Exchange session keys and nonces, and compare that all heard the same.

    A difference is PeerIncompatible, naming whoever heard otherwise: at this point nobody can prove who
    spoke with two tongues, and nothing has been said yet that could be lost.
    """
    if set(names) != {mesh.me, *mesh.peers}:
        raise UsageError("the roster and the people who take part are not the same")
    key = SigningKey(randomness(32))
    terms = digest(
        "report/terms",
        group.name.encode(),
        repr((limits.max_bytes, limits.max_cycles)).encode(),
        pack([n.encode() for n in names]),
    )
    mine = pack([terms, key.public, randomness(_NONCE_BYTES)])
    greetings = {mesh.me: mine, **_exchange(mesh, _HELLO, mine)}
    members: list[Member] = []
    for name in names:
        try:
            theirs, public, nonce = unpack(greetings[name], 3)
            if len(public) != PUBLIC_BYTES or len(nonce) != _NONCE_BYTES:
                raise DataError("a greeting has fields of the wrong size")
        except DataError:
            raise PeerIncompatible(f"{name} greets in another format", name) from None
        if theirs != terms:
            raise PeerIncompatible(f"{name} has another list of people or other limits", name)
        same = [m.name for m in members if m.public == public]
        if same:
            raise PeerIncompatible(f"{same[0]} and {name} greet with the same key; one has copied it", name)
        members.append(Member(name, public))
    view = digest("report/greetings", *(greetings[name] for name in names))
    for peer, theirs in _exchange(mesh, _VIEW, view).items():
        if theirs != view:
            raise PeerIncompatible(
                f"{peer} heard other greetings; somebody spoke differently to the two", peer
            )
    return Circle(group, tuple(members), view), key


def _post(mesh: Mesh, messages: Sequence[bytes]) -> None:
    for data in messages:
        for peer in mesh.peers:
            mesh.send(peer, _STEP, data)
    mesh.flush()


def run(
    mesh: Mesh,
    names: Sequence[str],
    group: Group,
    randomness: Randomness,
    text: bytes | None = None,
    limits: Limits | None = None,
) -> State:
    """Take part in one session with everybody in the mesh, and return its final state.

    Raises PeerMisbehaved with the culprits (what proves it has been sent to the others before) and
    PeerUnavailable for somebody who stays silent. To go on without that person is the callers' decision,
    made together: see docs/reporting.md for what repeated sessions with fewer people can tell.
    """
    limits = limits or Limits()
    circle, key = greet(mesh, names, group, limits, randomness)
    state = session.begin(circle, mesh.me, key, text, limits)
    bound = largest_message(circle.size, limits)
    state, out = steps.start(state, randomness)
    _post(mesh, out)
    heard, most = dict.fromkeys(mesh.peers, 0), most_messages(limits)
    while state.status == RUNNING:
        # Everybody sends the same number of messages a round, so waiting for one person at a time blocks nobody.
        peer = session.waiting_for(state)[0]
        label, data = mesh.recv_any(peer, bound)
        if label != _STEP:
            raise PeerIncompatible(f"{peer} sent {label!r} in a reporting session", peer)
        heard[peer] += 1
        if heard[peer] > most:  # a flood of what is ignored would be a silence without an end
            raise PeerMisbehaved(f"{peer} sends more messages than a session has", [peer])
        state, out = steps.step(state, [data], randomness)
        _post(mesh, out)
    session.result(state)
    return state
