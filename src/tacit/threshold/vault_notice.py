"""Emergencies: the signed notice, and the devices that must have stored it before anything opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tacit.crypto.encoding import pack, unpack
from tacit.crypto.groups import Randomness
from tacit.errors import DataError, NotApproved
from tacit.threshold import vault as v
from tacit.threshold.keys import KeyShare

Store = Callable[[bytes], None]
"""Keep a notice durably and show it to the member; return only after that."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What every member is told: this request, allowed as an emergency by those who signed."""

    request: v.Request
    approvals: tuple[v.Approval, ...]

    def encode(self) -> bytes:
        """Write the notice."""
        return pack([self.request.encode(), *(approval.encode() for approval in self.approvals)])

    @staticmethod
    def decode(data: bytes) -> Notice:
        """Read a notice; `signers` says what it is worth."""
        request, *approvals = unpack(data)
        return Notice(v.Request.decode(request), tuple(v.Approval.decode(a) for a in approvals))

    def signers(self, vault: v.Vault) -> tuple[str, ...]:
        """Return the emergency members who signed an approval of exactly this request."""
        group_key, purpose = vault.part(v.EMERGENCY), self.request.digest()
        found = {
            a.identifier
            for a in self.approvals
            if a.part == v.EMERGENCY and a.request == purpose and a.is_signed(group_key)
        }
        return tuple(group_key.names[i] for i in sorted(found))

    def describe(self, vault: v.Vault) -> str:
        """Say it in words for the member's screen."""
        r = self.request
        return (
            f"EMERGENCY OPENING of {r.record}, asked by {r.requester} ({r.reason}), "
            f"allowed by {', '.join(self.signers(vault))}"
        )


def make_notice(vault: v.Vault, request: v.Request, approvals: Sequence[v.Approval]) -> Notice:
    """Write the notice from the emergency members' approvals; NotApproved if they are too few."""
    notice = Notice(request, tuple(a for a in approvals if a.part == v.EMERGENCY))
    _check(vault, notice)
    return notice


def _check(vault: v.Vault, notice: Notice) -> None:
    if notice.request.way != v.EMERGENCY:
        raise DataError("a notice tells of emergencies only")
    needed, signers = vault.part(v.EMERGENCY).threshold, notice.signers(vault)
    if len(signers) < needed:
        raise NotApproved(f"an emergency needs {needed} of its members; {len(signers)} signed")


def acknowledge(
    share: KeyShare,
    vault: v.Vault,
    header: v.Header,
    notice: Notice,
    requester_public: bytes,
    store: Store,
    now_s: int,
    randomness: Randomness,
) -> v.Approval:
    """Store the notice, and only then give this device's part of the emergency opening.

    A device does this without asking its owner: it witnesses, it does not judge.
    """
    _check(vault, notice)
    v.check_request(header, notice.request, requester_public, now_s)
    store(notice.encode())
    return v.give_part(share, vault, v.NOTICE, header, notice.request, requester_public, now_s, randomness)
