"""What a party that stops tells the others, and what they make of it: the root cause, and no data.

A notice is a claim by the party that sends it; errors made from one say who reported it.
"""

from __future__ import annotations

from typing import NamedTuple

from tacit.errors import Desync, PeerError, PeerIncompatible, PeerMisbehaved, PeerUnavailable


class Notice(NamedTuple):
    """Why a party stopped, in the form that may leave it: allow-listed class name, culprits, short text."""

    kind: str
    culprits: tuple[str, ...]
    text: str


MAX_NOTICE_TEXT = 400
_PEER_KINDS: dict[str, type[PeerError]] = {
    "PeerUnavailable": PeerUnavailable,
    "PeerIncompatible": PeerIncompatible,
    "Desync": Desync,
}
_OTHER_KINDS = frozenset(
    {
        "UsageError",
        "ShapeError",
        "ScaleError",
        "RangeError",
        "DataError",
        "SecretUsedAsPublic",
        "NotRealised",
        "MaterialError",
        "JobError",
        "NotApproved",
        "PolicyViolation",
        "UndeclaredDisclosure",
        "BudgetExceeded",
        "InternalError",
        "KeyboardInterrupt",
    }
)


def notice_of(reason: BaseException) -> Notice:
    """Describe an exception to the peers; only text about peers travels: other text may quote local data."""
    if isinstance(reason, PeerError):
        text = str(reason).split(" (reported by ")[0]
        clean = "".join(c if c.isprintable() else " " for c in text)[:MAX_NOTICE_TEXT]
        if isinstance(reason, PeerMisbehaved):
            return Notice("PeerMisbehaved", reason.culprits, clean)
        kinds = [c.__name__ for c in type(reason).__mro__ if c.__name__ in _PEER_KINDS]
        return Notice(kinds[0] if kinds else "PeerUnavailable", (reason.party,), clean)
    kinds = [c.__name__ for c in type(reason).__mro__ if c.__name__ in _OTHER_KINDS]
    return Notice(kinds[0] if kinds else "InternalError", (), "")


def error_of(notice: Notice, reporter: str, me: str, peers: tuple[str, ...]) -> PeerError:
    """Turn a peer's notice into the error to raise here: the root cause where it names a third party."""
    clean = "".join(c if c.isprintable() else " " for c in notice.text)[:MAX_NOTICE_TEXT]
    known = tuple(c for c in notice.culprits if c == me or c in peers)
    if notice.kind == "PeerMisbehaved" and known:
        return PeerMisbehaved(f"{clean} (reported by {reporter})", known)
    kind = _PEER_KINDS.get(notice.kind)
    if kind is not None:
        culprit = known[0] if known else reporter
        # An accusation of this very party is, seen from here, the reporter's leaving.
        party = reporter if culprit == me else culprit
        return kind(f"{clean} (reported by {reporter})", party)
    what = notice.kind if notice.kind in _OTHER_KINDS else "an error"
    return PeerUnavailable(f"{reporter} stopped with {what}; its own log says why", reporter)
