"""Ask for an opening over a mesh, and answer: the requester is linked to every member, members need no links."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tacit.crypto.encoding import pack, unpack
from tacit.errors import DataError, JobError, PeerIncompatible, PeerMisbehaved
from tacit.net.link import Mesh
from tacit.threshold.vault import Approval, Asking, Header, Request, Vault
from tacit.threshold.vault_files import MAX_JSON_BYTES, header_from_json, header_to_json

_ASK, _APPROVAL, _REFUSAL = "vault/ask", "vault/approval", "vault/refusal"
_MAX_BYTES = 1 << 16

Decide = Callable[[Header, Request], Approval]
"""Show the request to the member and return the approval; raise NotApproved (or another JobError) to refuse."""


def collect(
    mesh: Mesh, asking: Asking, vault: Vault, header: Header, members: Sequence[str]
) -> dict[str, Approval]:
    """Send the request to the members and return the approvals by member; whoever refuses is left out.

    The link says who answers: a member that answers in another's name, or nonsense, is PeerMisbehaved.
    """
    message = pack([asking.request.encode(), header_to_json(header)])
    for member in members:
        mesh.send(member, _ASK, message)
    approvals = {}
    for member in members:
        label, body = mesh.recv_any(member, _MAX_BYTES)
        if label == _REFUSAL:
            continue
        if label != _APPROVAL:
            raise PeerIncompatible(f"{member} sent {label!r} in answer to a request", member)
        try:
            approval = Approval.decode(body)
        except DataError:
            raise PeerMisbehaved(f"{member} sent an approval that cannot be read", [member]) from None
        group_key = vault.part(approval.part)
        if group_key.names.get(approval.identifier) != member or not approval.is_signed(group_key):
            raise PeerMisbehaved(f"{member} sent an approval that is not its own", [member])
        approvals[member] = approval
    return approvals


def answer(mesh: Mesh, requester: str, decide: Decide) -> bool:
    """Wait for a request, let the member decide, and answer; returns whether it was approved."""
    label, body = mesh.recv_any(requester, MAX_JSON_BYTES + _MAX_BYTES)
    if label != _ASK:
        raise PeerIncompatible(f"{requester} sent {label!r} where a request belongs", requester)
    request, header = unpack(body, 2)
    try:
        approval = decide(header_from_json(header), Request.decode(request))
    except (JobError, DataError):
        mesh.send(requester, _REFUSAL, b"")
        mesh.flush()
        return False
    mesh.send(requester, _APPROVAL, approval.encode())
    mesh.flush()
    return True
