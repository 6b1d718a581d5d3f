"""What a party that stops tells the others, and what they make of it: the root cause, and no data.

A notice is a claim by the party that sends it; errors made from one say who reported it.
"""

from __future__ import annotations

from typing import NamedTuple

from tacit.errors import Desync, PeerError, PeerIncompatible, PeerMisbehaved, PeerUnavailable
from tacit.net.codec import decode_from, encode


class Notice(NamedTuple):
    """Why a party stopped, in the form that may leave it: allow-listed class name, culprits, short text."""

    kind: str
    culprits: tuple[str, ...]
    text: str


MAX_NOTICE_TEXT = 400
MAX_CONTROL_BYTES = 8192
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
    origin = getattr(reason, "_origin", None)
    if isinstance(origin, Notice):  # pass on what was heard as it was heard: the culprit stays the culprit
        return origin
    if isinstance(reason, PeerError):
        if isinstance(reason, PeerMisbehaved):
            return Notice("PeerMisbehaved", reason.culprits, _clean(str(reason)))
        kinds = [c.__name__ for c in type(reason).__mro__ if c.__name__ in _PEER_KINDS]
        return Notice(kinds[0] if kinds else "PeerUnavailable", (reason.party,), _clean(str(reason)))
    kinds = [c.__name__ for c in type(reason).__mro__ if c.__name__ in _OTHER_KINDS]
    return Notice(kinds[0] if kinds else "InternalError", (), "")


def error_of(notice: Notice, reporter: str, me: str, peers: tuple[str, ...]) -> PeerError:
    """Turn a peer's notice into the error to raise here: the root cause where it names a third party."""
    error = _error_of(notice, reporter, me, peers)
    if notice.culprits:
        error.__dict__["_origin"] = notice._replace(text=_clean(notice.text))
    return error


def _error_of(notice: Notice, reporter: str, me: str, peers: tuple[str, ...]) -> PeerError:
    text = f"{_clean(notice.text)} (reported by {reporter})"
    known = tuple(c for c in notice.culprits if c == me or c in peers)
    if notice.kind == "PeerMisbehaved" and known:
        return PeerMisbehaved(text, known)
    kind = _PEER_KINDS.get(notice.kind)
    if kind is not None:
        culprit = known[0] if known else reporter
        # An accusation of this very party is, seen from here, the reporter's leaving.
        return kind(text, reporter if culprit == me else culprit)
    if notice.kind == "KeyboardInterrupt":
        return PeerUnavailable(f"{reporter} was stopped by its operator or by its machine", reporter)
    what = notice.kind if notice.kind in _OTHER_KINDS else "an error"
    return PeerUnavailable(f"{reporter} stopped with {what}; its own log says why", reporter)


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_NOTICE_TEXT]


def encode_notice(notice: Notice) -> bytes:
    """Return the payload of an ABORT frame."""
    return encode([notice.kind, list(notice.culprits), notice.text])


def decode_notice(sender: str, payload: bytes) -> Notice:
    """Read the payload of an ABORT frame, or raise PeerIncompatible."""
    match decode_from(sender, payload, MAX_CONTROL_BYTES):
        case [str(kind), list(culprits), str(text)] if all(isinstance(c, str) for c in culprits):
            return Notice(kind, tuple(str(c) for c in culprits), text)
    raise PeerIncompatible(f"{sender} stopped for a reason that this version cannot read", sender)
